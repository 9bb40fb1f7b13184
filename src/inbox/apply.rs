//! Handles a screened delivery: asks GitHub for what the decisions need, and carries each wish out in the one transaction that marks the
//! delivery as handled.

use super::Trouble;
use super::act::Act;
use super::cause::Cause;
use super::facts::{self, GitHubFacts};
use super::screen::{Asked, Origin, Screened};
use super::{feedback, life, ours};
use crate::context::Context;
use crate::db::decisions::{About, Decision as Record};
use crate::db::deliveries::Delivery;
use crate::db::lines::Line;
use crate::db::threads::Thread;
use crate::db::{self, Conn};
use crate::event::{self, Envelope, Event, label_trigger_key, trigger_key};
use crate::github::pulls::PullRequest;
use crate::model::{Account, AccountId, LineState, Millis, Number, Repository, RunId};
use crate::queue;
use crate::trigger::allow;

/// Handles a screened delivery to its end.
pub async fn apply(
    context: &Context,
    delivery: &Delivery,
    envelope: &Envelope,
    screened: Screened,
) -> Result<(), Trouble> {
    if let Screened::Installed(installation) = &screened {
        return life::installation(context, delivery, envelope, installation).await;
    }
    let found = envelope.repository.as_ref().zip(envelope.installation).map(|(r, i)| (r.through(i), r.owner.id));
    let Some((repository, owner)) = found else {
        let (reason, detail) = match screened {
            Screened::Ignored { reason, detail } => (reason, detail),
            _ => ("no_installation", "it names no repository or no installation".to_owned()),
        };
        return ignored(context, (delivery, envelope), (None, About::default()), (reason, &detail)).await;
    };
    match screened {
        Screened::Ignored { reason, detail } => {
            ignored(context, (delivery, envelope), (Some(&repository), About::default()), (reason, &detail)).await
        }
        Screened::Life { number, on_pull, head_branch, change } => {
            if on_pull {
                // While the line's own pull request is open, another one of its branch ends nothing.
                let free = |line: &Line| line.pull.is_none() || line.state != LineState::Open;
                ours::adopt(context, &repository, (number, head_branch.as_deref()), free).await?;
            }
            life::turn(context, (delivery, envelope), &repository, (number, on_pull, change)).await
        }
        Screened::Moved(change) => life::repository(context, delivery, envelope, (&repository, change)).await,
        // Handled above: it is about no repository alone.
        Screened::Installed(_) => Ok(()),
        Screened::Asked(asked) => ask(context, Cause::Delivery(delivery), (&repository, owner), &asked).await,
    }
}

/// Decides about what somebody asked for in a repository of this owner, and writes what comes of it.
pub(super) async fn ask(
    context: &Context,
    cause: Cause<'_>,
    (repository, owner): (&Repository, AccountId),
    asked: &Asked,
) -> Result<(), Trouble> {
    match served(context, repository, owner).await? {
        Ok(()) => answer(context, cause, repository, asked).await,
        Err(detail) => {
            let about = (asked.number, &asked.actor);
            ignore(context, cause, repository, about, About::default(), ("not_allowed", &detail)).await
        }
    }
}

/// Whether the repository is among those that this server serves, else why not.
pub(super) async fn served(
    context: &Context,
    repository: &Repository,
    owner: AccountId,
) -> Result<Result<(), String>, Trouble> {
    if repository.installation.is_none() {
        // Only the operator can have asked, by hand: that is a decision of its own.
        return Ok(Ok(()));
    }
    let patterns = context.config.allow.as_deref();
    let app_owner = match patterns {
        // The App's owner is of no account where patterns decide.
        Some(_) => owner,
        None => context.bot(repository).await?.owner.id,
    };
    Ok(allow::served(patterns, &repository.name, owner, app_owner))
}

/// Records that nothing comes of a delivery, and why.
pub(super) async fn ignored(
    context: &Context,
    (delivery, envelope): (&Delivery, &Envelope),
    (repository, about): (Option<&Repository>, About),
    (reason, detail): (&str, &str),
) -> Result<(), Trouble> {
    let said_at = match &envelope.event {
        Event::Said(said) => Some(said.place),
        _ => None,
    };
    let record = Record {
        delivery: Some(delivery.id.clone()),
        repository: repository.map(|repository| repository.id),
        number: envelope.number,
        trigger: None,
        run: None,
        actor: envelope.sender.as_ref().map(|sender| sender.account.login.clone()),
        verdict: "ignored",
        reason: reason.to_owned(),
        detail: detail.to_owned(),
        about: About { review_state: review_state(said_at), ..about },
    };
    record_alone(context, Cause::Delivery(delivery), repository, &record).await
}

/// Does nothing about what somebody asked for, and records why.
async fn ignore(
    context: &Context,
    cause: Cause<'_>,
    repository: &Repository,
    (number, actor): (Number, &Account),
    about: About,
    (reason, detail): (&str, &str),
) -> Result<(), Trouble> {
    let record = Record {
        delivery: Some(cause.id().to_owned()),
        repository: Some(repository.id),
        number: Some(number),
        trigger: None,
        run: None,
        actor: Some(actor.login.clone()),
        verdict: "ignored",
        reason: reason.to_owned(),
        detail: detail.to_owned(),
        about,
    };
    record_alone(context, cause, Some(repository), &record).await
}

/// Nothing but a decision comes of it.
async fn record_alone(
    context: &Context,
    cause: Cause<'_>,
    repository: Option<&Repository>,
    record: &Record,
) -> Result<(), Trouble> {
    let now = context.clock.now();
    let (mut tx, seq) = cause.begin(context).await?;
    if let Some(repository) = repository {
        db::repositories::upsert(&mut tx, repository, cause.received_at()).await?;
    }
    db::decisions::insert(&mut tx, record, now).await?;
    db::deliveries::handled(&mut tx, seq, now).await?;
    tx.commit().await?;
    Ok(())
}

/// What a review decides, for the record.
pub(super) fn review_state(said_at: Option<event::Place>) -> Option<String> {
    Some(said_at?.review_state()?.as_str().to_owned())
}

/// What the tables know of the place where somebody asked.
pub(super) struct Scene {
    pub thread: Option<Thread>,
    /// The line of the pull request on which it was said, else the open one, else the newest.
    pub line: Option<Line>,
    /// Whether it was said on a pull request whose branch is a line's.
    pub on_ours: bool,
    /// The issue or pull request whose words are the ask.
    pub subject: Number,
}

/// What a wish is about: the line of work, or somebody else's pull request.
pub(super) fn about(scene: &Scene, asked: &Asked, pull: Option<&PullRequest>) -> About {
    let known = match &scene.line {
        Some(line) if scene.on_ours || !asked.on_pull => About::line(line),
        _ if asked.on_pull => {
            let pull = pull.filter(|pull| pull.number == asked.number);
            About { pull: Some(asked.number), head: pull.map(|pull| pull.head.sha.clone()), ..About::default() }
        }
        _ => About::default(),
    };
    About { review_state: review_state(asked.origin.place()), ..known }
}

async fn scene(conn: &mut Conn, repository: &Repository, asked: &Asked) -> Result<Scene, Trouble> {
    let ours = match asked.on_pull {
        true => db::lines::by_pull(&mut *conn, repository.id, asked.number).await?,
        false => None,
    };
    let on_ours = ours.is_some();
    let thread = match &ours {
        Some(line) => Some(db::threads::get(&mut *conn, line.thread).await?),
        None => db::threads::find(&mut *conn, repository.id, asked.number).await?,
    };
    let line = match (ours, thread) {
        (Some(line), _) => Some(line),
        (None, Some(thread)) => match db::lines::open_of(&mut *conn, thread.id).await? {
            Some(open) => Some(open),
            None => db::lines::newest_of(conn, thread.id).await?,
        },
        (None, None) => None,
    };
    Ok(Scene { thread, line, on_ours, subject: thread.map_or(asked.number, |thread| thread.number) })
}

async fn answer(context: &Context, cause: Cause<'_>, repository: &Repository, asked: &Asked) -> Result<(), Trouble> {
    if asked.on_pull {
        let branch = asked.issue.head_branch.as_deref();
        ours::adopt(context, repository, (asked.number, branch), |_| true).await?;
    }
    let before = scene(&mut *context.db.read().await?, repository, asked).await?;
    // What happens on a pull request of ours is the thread's.
    let ignore = async |reason: &str, detail: &str| {
        let about = about(&before, asked, None);
        ignore(context, cause, repository, (before.subject, &asked.actor), about, (reason, detail)).await
    };
    if asked.wishes.is_empty() && !before.on_ours {
        return ignore("not_ours", "reviews of other people's pull requests start nothing").await;
    }
    let open_line = before.line.as_ref().filter(|line| line.state == LineState::Open);
    let pull = if asked.on_pull { Some(asked.number) } else { open_line.and_then(|line| line.pull) };
    let Some(github) = facts::gather(context, repository, asked, (before.subject, pull)).await? else {
        // Strangers get silence: an answer would let anybody make the bot write.
        return ignore("stranger", "the actor may not write here").await;
    };
    let received = feedback::receive(context, repository, asked, (&before, &github)).await?;
    let alone = received.as_ref().filter(|review| review.alone());
    let keys = match keys(context, cause, asked, &github, alone.is_some())? {
        Keys::Of(keys) => keys,
        Keys::LabelGone => return ignore("label_gone", "the label was taken off again").await,
        Keys::OtherActor => {
            return ignore("label_by_other", "somebody else put the label on since, and is decided about alone").await;
        }
    };
    let positions: Vec<RunId> = queue::turns(context).await?.into_iter().map(|(run, _)| run).collect();

    let now = context.clock.now();
    let (mut tx, seq) = cause.begin(context).await?;
    db::repositories::upsert(&mut tx, repository, cause.received_at()).await?;
    db::repositories::set_traits(&mut tx, repository.id, &github.traits).await?;
    if let (Some(line), Some(_)) = (open_line, pull)
        && let Some(ended) = facts::ended(github.pull.as_ref())
        && line.pull == pull
    {
        db::lines::set_state(&mut tx, line.id, ended).await?;
    }
    let mut rings = Vec::new();
    if let Some(received) = alone {
        let quiet = context.config.limits.quiet.as_millis() as Millis;
        feedback::keep(&mut tx, (cause, repository, asked), (received, quiet), now).await?;
    }
    for (wish, key) in asked.wishes.iter().zip(&keys) {
        let review = received.as_ref();
        let positions = &positions;
        let act = Act { context, cause, repository, asked, review, github: &github, wish, key, positions, now };
        // Looked at anew for each wish: the one before, or somebody on the pull request, may have changed it.
        let scene = scene(&mut tx, repository, asked).await?;
        rings.extend(act.perform(&mut tx, &scene).await?);
    }
    db::deliveries::handled(&mut tx, seq, now).await?;
    tx.commit().await?;
    for run in rings {
        context.active.ring(run);
    }
    context.wake.runs.notify_one();
    context.wake.reports.notify_one();
    context.wake.feedback.notify_one();
    context.wake.tidy.notify_one();
    Ok(())
}

/// The unique keys of the wishes, or why there are none.
enum Keys {
    Of(Vec<String>),
    /// The label is not on any more.
    LabelGone,
    /// The label is on by somebody else's act.
    OtherActor,
}

/// An event this much older than what the delivery shows is an earlier one; GitHub's times are whole seconds.
const SAME_MOMENT: Millis = 3_000;

fn keys(
    context: &Context,
    cause: Cause<'_>,
    asked: &Asked,
    github: &GitHubFacts,
    review_waits: bool,
) -> Result<Keys, Trouble> {
    match &asked.origin {
        Origin::Said(place) => {
            // The first key of a review is the review's own, which its feedback takes.
            let first = if review_waits { 2 } else { 1 };
            return Ok(Keys::Of((first..first + asked.wishes.len()).map(|n| trigger_key(*place, n)).collect()));
        }
        Origin::ByHand(key) => return Ok(Keys::Of(vec![key.clone()])),
        Origin::Label => {}
    }
    if !github.label_is_on {
        return Ok(Keys::LabelGone);
    }
    // GitHub's lists may lag behind its webhooks, so that the newest event there is an earlier one, or none.
    let shown_at = asked.issue.updated_at.unwrap_or(0);
    let listed = github.labeled_event.as_ref().is_some_and(|event| event.at + SAME_MOMENT >= shown_at);
    if !listed && context.clock.now() - cause.received_at() < facts::LISTED_WITHIN {
        return Err(facts::not_listed_yet(asked.number).into());
    }
    Ok(match &github.labeled_event {
        None => Keys::LabelGone,
        // Whoever puts the label on is asked about, and nobody else's right to counts for it (T14).
        Some(event) if event.actor.as_ref().is_some_and(|actor| actor.account.id == asked.actor.id) => {
            Keys::Of(vec![label_trigger_key(event.id)])
        }
        Some(_) => Keys::OtherActor,
    })
}
