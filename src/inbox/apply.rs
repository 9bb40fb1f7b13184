//! Gathers the facts, asks `trigger` for the decision, and writes everything that comes of a delivery in one transaction.

use tracing::info;

use super::Trouble;
use super::cause::Cause;
use super::facts::{self, GitHubFacts};
use super::screen::{Asked, Origin, Screened};
use super::{feedback, life, ours};
use crate::agent::BUILT_IN;
use crate::config::Limits;
use crate::context::Context;
use crate::db::decisions::{About, Decision as Record};
use crate::db::deliveries::Delivery;
use crate::db::lines::Line;
use crate::db::reports::{NewReport, Payload};
use crate::db::runs::{Ending, Run};
use crate::db::threads::Thread;
use crate::db::triggers::Trigger;
use crate::db::{self, Conn};
use crate::event::{self, Envelope, Event, label_trigger_key, trigger_key};
use crate::github::pulls::PullRequest;
use crate::model::{
    Account, AccountId, Ask, Kind, LineState, Millis, Number, Outcome, Place, Reaction, Reason, Repository, RunId,
    Status,
};
use crate::queue;
use crate::report::wording;
use crate::run::discard::{Discarded, discard};
use crate::run::feedback as run_feedback;
use crate::run::start::{NewWork, start};
use crate::trigger::allow;
use crate::trigger::decide::{
    Decision, Facts, LastRun, LineFacts, LiveRun, ProfileFacts, PullFacts, Question, ReviewFacts, Start, Wish,
    dearest_until, decide,
};
use crate::trigger::{help, policy};

const HOUR: Millis = 3_600_000;
const DAY: Millis = 24 * HOUR;
/// Runs that `/track status` lists.
const HISTORY: i64 = 10;
/// Decisions that `/track why` lists; a run has a handful of them.
const DECISIONS: i64 = 20;

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
async fn served(context: &Context, repository: &Repository, owner: AccountId) -> Result<Result<(), String>, Trouble> {
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
fn about(scene: &Scene, asked: &Asked, pull: Option<&PullRequest>) -> About {
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

/// One wish on its way into the tables.
struct Act<'a> {
    context: &'a Context,
    cause: Cause<'a>,
    repository: &'a Repository,
    asked: &'a Asked,
    /// The review in which it stands.
    review: Option<&'a feedback::Kept>,
    github: &'a GitHubFacts,
    wish: &'a Wish,
    key: &'a str,
    positions: &'a [RunId],
    now: Millis,
}

impl Act<'_> {
    /// Decides about the wish and writes what comes of it; answers the runs whose tasks are to look again.
    async fn perform(&self, tx: &mut Conn, scene: &Scene) -> Result<Vec<RunId>, Trouble> {
        if db::triggers::exists(&mut *tx, self.key).await? {
            self.record(&mut *tx, scene, None, ("ignored", "repeated", "this was asked for and decided before".into()))
                .await?;
            return Ok(Vec::new());
        }
        let facts = self.facts(&mut *tx, scene).await?;
        let decision = decide(self.wish, &facts);
        info!("{} by {}: {}", self.wish.verb(), self.asked.actor.login, word(&decision));
        let mut thread = scene.thread;
        let (mut rings, mut taken_along, mut waits) = (Vec::new(), None, None);
        let (run, verdict, reason, detail) = match decision {
            Decision::Start(wanted) => {
                let found = db::threads::ensure(&mut *tx, self.repository.id, scene.subject, self.now).await?;
                thread = Some(found);
                let work = self.new_work(found, &wanted, facts.limits);
                if let (Some(line), Kind::FollowUp, false) = (&scene.line, wanted.kind, wanted.fresh) {
                    // What reviewers said is in the follow-up that a person asks for, too.
                    let named = run_feedback::named(&wanted.instructions);
                    let mut waiting = db::triggers::waiting_for(&mut *tx, line.id).await?;
                    waiting.retain(|said| named.is_empty() || named.contains(&said.actor.login.to_ascii_lowercase()));
                    taken_along = Some((line.clone(), waiting));
                }
                if let Some(run) = wanted.abandons {
                    self.abandon(&mut *tx, run).await?;
                    rings.push(run);
                }
                match start(&mut *tx, &work, self.now).await? {
                    Some(run) => (Some(run), "accepted", "queued", format!("run {run} is queued for {}", wanted.agent)),
                    None => return Err(anyhow::anyhow!("the lane was taken between decision and start").into()),
                }
            }
            Decision::Retry { of, attempt } => {
                let earlier = db::runs::get(&mut *tx, of).await?;
                let again = NewWork::again(&mut *tx, &earlier, self.asked.actor.clone(), self.now).await?;
                // The App may have been installed since.
                let ask = Ask { unposted: self.repository.installation.is_none(), ..again.ask.clone() };
                let work = NewWork { ask, limits: facts.limits, ..again };
                match start(&mut *tx, &work, self.now).await? {
                    Some(run) => (Some(run), "accepted", "retried", format!("run {run} is attempt {attempt} of {of}")),
                    None => return Err(anyhow::anyhow!("the lane was taken between decision and start").into()),
                }
            }
            Decision::Cancel { runs } => {
                for run in &runs {
                    db::runs::request_cancel(&mut *tx, *run, &self.asked.actor.login, self.now).await?;
                    db::reports::touch_status(&mut *tx, *run, self.now).await?;
                }
                let named: Vec<String> = runs.iter().map(RunId::to_string).collect();
                rings.extend(&runs);
                (runs.first().copied(), "accepted", "canceled", format!("to end: {}", named.join(", ")))
            }
            Decision::Pause { line, paused, text } => {
                db::lines::set_paused(&mut *tx, line, paused).await?;
                if !paused && !db::triggers::waiting_for(&mut *tx, line).await?.is_empty() {
                    db::lines::set_follow_up_at(&mut *tx, line, Some(self.now)).await?;
                }
                self.owe(&mut *tx, "reply", Payload::Reply { text: text.clone() }).await?;
                (None, "accepted", if paused { "paused" } else { "resumed" }, text)
            }
            Decision::Keep { line, instructions, text } => {
                waits = Some((line, Some(instructions), self.now));
                self.owe(&mut *tx, "reply", Payload::Reply { text: text.clone() }).await?;
                (None, "accepted", "kept", text)
            }
            Decision::Discard => {
                let text = self.discard(&mut *tx, scene).await?;
                self.owe(&mut *tx, "reply", Payload::Reply { text: text.clone() }).await?;
                (None, "accepted", "discarded", text)
            }
            Decision::Answer(question) => {
                let text = self.answer_to(&mut *tx, scene, question).await?;
                self.owe(&mut *tx, "reply", Payload::Reply { text }).await?;
                (None, "accepted", "answered", format!("{} was answered", self.wish.verb()))
            }
            Decision::NotYet { reason, mut text, again_at } => {
                // The command is refused, and what the review says besides is still open (B23).
                if let Some(review) = self.review.filter(|review| !review.alone()) {
                    text.push_str(" What else this review says is kept for the next follow-up.");
                    waits = review.counts().then_some((review.line, None, again_at));
                }
                self.owe(&mut *tx, "reply", Payload::Reply { text: text.clone() }).await?;
                (None, "refused", reason, text)
            }
            Decision::Refuse { reason, text } => {
                self.owe(&mut *tx, "reply", Payload::Reply { text: text.clone() }).await?;
                (None, "refused", reason, text)
            }
        };
        self.react(&mut *tx, if verdict == "refused" { Reaction::Confused } else { Reaction::Eyes }).await?;
        if let Some(label) = &self.asked.label {
            // Taken off when it is obeyed or refused, so that putting it on again asks again.
            self.owe(&mut *tx, "unlabel", Payload::Unlabel { label: label.clone() }).await?;
        }
        let consumes = run.filter(|_| reason != "canceled");
        let trigger = Trigger {
            key: self.key.to_owned(),
            delivery: self.cause.id().to_owned(),
            repository: self.repository.id,
            number: self.asked.number,
            thread: thread.map(|thread| thread.id),
            place: self.asked.place,
            verb: self.wish.verb().to_owned(),
            actor: self.asked.actor.clone(),
            run: consumes,
            request: waits.as_ref().and_then(|(_, instructions, _)| instructions.clone()),
            created_at: self.now,
        };
        db::triggers::insert(&mut *tx, &trigger).await?;
        if let Some((line, _, at)) = waits {
            db::triggers::set_waiting(&mut *tx, self.key, line).await?;
            let sooner = db::lines::get(&mut *tx, line).await?.follow_up_at.filter(|due| *due < at);
            db::lines::set_follow_up_at(&mut *tx, line, Some(sooner.unwrap_or(at))).await?;
        }
        if let (Some((line, waiting)), Some(_)) = (taken_along, run) {
            let detail = format!("the follow-up that {} asked for takes it along", self.asked.actor.login);
            feedback::settle(&mut *tx, &line, &waiting, (run, ("accepted", "follow_up", &detail)), self.now).await?;
        }
        self.record(tx, scene, run, (verdict, reason, detail)).await?;
        Ok(rings)
    }

    /// Gives a run up whose runner does not answer: what its agent does until it is ended, as soon as the runner is back, is not published (B44).
    async fn abandon(&self, tx: &mut Conn, id: RunId) -> Result<(), Trouble> {
        let run = db::runs::get(&mut *tx, id).await?;
        let detail = format!(
            "{} began anew without it; its agent may still be working on runner {} until that answers",
            self.asked.actor.login,
            run.runner.as_deref().unwrap_or("that it was given")
        );
        let ending = Ending { outcome: Outcome::Lost, reason: Reason::RunnerUnreachable, detail };
        if run.status == Status::Publishing {
            db::runs::set_ending(&mut *tx, id, &ending).await?;
        } else {
            db::runs::end(&mut *tx, id, run.status, &ending, self.now).await?;
        }
        db::runs::advance(&mut *tx, id, Status::Publishing, Status::Done, self.now).await?;
        let thread = db::threads::get(&mut *tx, run.thread).await?;
        let record = Record::of_run(&thread, id, "lost", format!("run {id} is given up: {}", ending.detail));
        db::decisions::insert(&mut *tx, &record, self.now).await?;
        db::runs::set_unsettled(&mut *tx, id, true).await?;
        Ok(db::reports::hurry_status(tx, id).await?)
    }

    /// Forgets the runs that are over; their files go as soon as their runners answer (B41).
    async fn discard(&self, tx: &mut Conn, scene: &Scene) -> Result<String, Trouble> {
        let Some(thread) = scene.thread else { return Err(anyhow::anyhow!("a thread with runs exists").into()) };
        match discard(tx, thread.id, self.now).await? {
            Discarded::Done { runs, runners } => Ok(wording::discarded(runs, runners)),
            Discarded::Live(..) => Err(anyhow::anyhow!("a run began between decision and discarding").into()),
        }
    }

    async fn facts(&self, tx: &mut Conn, scene: &Scene) -> Result<Facts, Trouble> {
        let config = &self.context.config;
        let (mut live, mut last, mut reviewed) = (Vec::new(), None, None);
        if let Some(thread) = scene.thread {
            let runs = db::runs::of_thread(&mut *tx, thread.id, HISTORY).await?;
            live = runs.iter().filter(|run| run.status != Status::Done).map(live_run).collect();
            let over = runs.iter().find(|run| run.status == Status::Done);
            let line = match over.and_then(|run| run.line) {
                Some(line) => Some(db::lines::get(&mut *tx, line).await?),
                None => None,
            };
            let line = line.map(|line| (line.state, line.pull));
            last = over.and_then(|run| {
                Some(LastRun { id: run.id, kind: run.kind, outcome: run.outcome?, attempt: run.attempt, line })
            });
            if self.asked.on_pull {
                reviewed = db::runs::newest_review(&mut *tx, thread.id, self.asked.number).await?.map(review_facts);
            }
        }
        let line = match &scene.line {
            Some(line) => {
                let newest = db::runs::of_line(&mut *tx, line.id, 1).await?.pop();
                Some(LineFacts {
                    id: line.id,
                    state: line.state,
                    pull: line.pull,
                    base: line.base_branch.clone(),
                    agent: newest.map(|run| run.agent),
                })
            }
            None => None,
        };
        let pull = self.github.pull.as_ref().filter(|_| self.asked.on_pull).map(|pull| PullFacts {
            number: pull.number,
            ours: scene.on_ours,
            open: pull.is_open(),
            merged: pull.is_merged(),
            head: pull.head.sha.clone(),
            base: pull.base.r#ref.clone(),
        });
        let limits = match &self.github.policy {
            Ok(policy) => policy::effective(&config.limits, policy),
            Err(_) => config.limits.clone(),
        };
        let costs = db::runs::costs_since(&mut *tx, self.now - DAY).await?;
        let actor = self.asked.actor.id;
        let agents = BUILT_IN.iter().map(|name| (*name).to_owned()).chain(config.agents.keys().cloned()).collect();
        let profiles = config
            .profiles
            .iter()
            .map(|(name, profile)| ProfileFacts {
                name: name.clone(),
                agent: profile.agent.clone(),
                model: profile.model.clone(),
                instructions: profile.instructions.clone(),
            })
            .collect();
        Ok(Facts {
            open: self.github.open,
            archived: self.github.archived,
            pull,
            live,
            last,
            line,
            reviewed,
            policy: self.github.policy.clone(),
            agents,
            profiles,
            runners: self.context.runners.defaults(),
            default_agent: config.default_agent.clone(),
            asked_last_hour: db::runs::asked_since(&mut *tx, actor, self.now - HOUR).await?,
            asked_again_at: match limits.runs_per_user_hour {
                0 => None,
                n => db::runs::nth_asked_since(tx, actor, (n, self.now - HOUR)).await?.map(|at| at + HOUR + 1),
            },
            cost_last_day: costs.iter().map(|(_, cost)| cost).sum(),
            afforded_again_at: dearest_until(&costs, &limits).map(|at| at + DAY + 1),
            limits,
        })
    }

    fn new_work(&self, thread: Thread, wanted: &Start, limits: Limits) -> NewWork {
        // Words come from the delivery where it carries them; on one of our pull requests the task is the issue's. A review is about the
        // pull request on which it is asked for.
        let same = self.asked.number == thread.number || wanted.kind == Kind::Review;
        let (title, body, author) = if same {
            let author = self.asked.issue.author.as_ref().map(|author| author.account.login.clone());
            (self.asked.issue.title.clone(), self.asked.issue.body.clone(), author)
        } else {
            (self.github.title.clone(), self.github.body.clone(), self.github.author.clone())
        };
        NewWork {
            thread,
            ask: Ask {
                kind: wanted.kind,
                title,
                body,
                author: author.unwrap_or_default(),
                instructions: wanted.instructions.clone(),
                base: wanted.base.clone(),
                fresh: wanted.fresh,
                requester: self.asked.actor.clone(),
                told_on: match wanted.kind {
                    Kind::Task => None,
                    Kind::FollowUp | Kind::Review => Some(self.asked.number),
                },
                pin: wanted.pin.clone(),
                unposted: self.repository.installation.is_none(),
            },
            retry_of: None,
            line: wanted.line,
            agent: wanted.agent.clone(),
            chosen_by: wanted.chosen_by.as_str().to_owned(),
            model: wanted.model.clone(),
            profile: wanted.profile.clone(),
            runner: wanted.runner.clone(),
            limits,
            allowed_at: self.now,
            automatic: false,
        }
    }

    async fn answer_to(&self, tx: &mut Conn, scene: &Scene, question: Question) -> Result<String, Trouble> {
        Ok(match question {
            Question::Help => help::markdown(&self.context.config.label),
            Question::Why => {
                let number = scene.subject;
                wording::why(&db::decisions::newest_asked(tx, self.repository.id, number, DECISIONS).await?)
            }
            Question::Status => {
                let runs = match scene.thread {
                    Some(thread) => db::runs::of_thread(tx, thread.id, HISTORY).await?,
                    None => Vec::new(),
                };
                wording::history(&runs, &|run| self.positions.iter().position(|id| *id == run.id).map(|n| n + 1))
            }
        })
    }

    async fn react(&self, tx: &mut Conn, content: Reaction) -> Result<(), Trouble> {
        if !self.asked.place.takes_reactions() {
            return Ok(());
        }
        let payload = Payload::Reaction { place: self.asked.place, content };
        self.owe(tx, "reaction", payload).await
    }

    async fn owe(&self, tx: &mut Conn, what: &str, payload: Payload) -> Result<(), Trouble> {
        if self.asked.place == Place::Nowhere {
            // Whoever asked is told there, from the decision's record.
            return Ok(());
        }
        let report = NewReport {
            key: format!("{what}:{}", self.key),
            repository: self.repository.id,
            number: self.asked.number,
            run: None,
            payload,
        };
        Ok(db::reports::owe(tx, &report, self.now).await?)
    }

    async fn record(
        &self,
        tx: &mut Conn,
        scene: &Scene,
        run: Option<RunId>,
        (verdict, reason, detail): (&'static str, &str, String),
    ) -> Result<(), Trouble> {
        let record = Record {
            delivery: Some(self.cause.id().to_owned()),
            repository: Some(self.repository.id),
            number: Some(scene.subject),
            trigger: Some(self.key.to_owned()),
            run,
            actor: Some(self.asked.actor.login.clone()),
            verdict,
            reason: reason.to_owned(),
            detail,
            about: about(scene, self.asked, self.github.pull.as_ref()),
        };
        Ok(db::decisions::insert(tx, &record, self.now).await?)
    }
}

fn review_facts(run: Run) -> ReviewFacts {
    ReviewFacts {
        agent: run.agent,
        model: run.model,
        profile: run.profile,
        prompt: run.ask.pin.and_then(|pin| pin.prompt),
    }
}

fn live_run(run: &Run) -> LiveRun {
    LiveRun {
        id: run.id,
        lane: run.lane,
        status: run.status,
        canceling: run.cancel_at.is_some(),
        out_of_sight: run.unreachable_since.is_some(),
    }
}

fn word(decision: &Decision) -> &'static str {
    match decision {
        Decision::Start(_) => "a run is queued",
        Decision::Retry { .. } => "the last run is attempted again",
        Decision::Cancel { .. } => "what is live is to end",
        Decision::Pause { paused: true, .. } => "automatic follow-ups are paused",
        Decision::Pause { paused: false, .. } => "automatic follow-ups are resumed",
        Decision::Keep { .. } => "it is kept until the live run is over",
        Decision::Discard => "the history is discarded",
        Decision::Answer(_) => "answered",
        Decision::Refuse { reason, .. } | Decision::NotYet { reason, .. } => reason,
    }
}
