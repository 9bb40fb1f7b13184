//! From a main user's review to a follow-up without a command: reviews are kept as triggers, and become one run when their time has come (B22 to B25).
//!
//! Every review ends in exactly one follow-up or in one stated reason; while work is live on the thread they wait.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tracing::{error, info, warn};

use super::Trouble;
use super::apply::{Scene, review_state};
use super::cause::Cause;
use super::facts::{self, GitHubFacts};
use super::screen::Asked;
use crate::config::FollowUp;
use crate::context::Context;
use crate::db::decisions::{About, Decision as Record};
use crate::db::lines::Line;
use crate::db::reports::{NewReport, Payload};
use crate::db::triggers::Trigger;
use crate::db::{self, Conn};
use crate::event::{Place, ReviewState, trigger_key};
use crate::github::reviews;
use crate::model::{Ask, Feedback, Kind, Lane, LineId, LineState, Millis, Number, Place as Said, Repository, RunId};
use crate::run::plan::{self, PlanError};
use crate::run::start::{NewWork, start};
use crate::run::trouble::Trouble as RunTrouble;
use crate::run::{feedback, mains};
use crate::trigger::choose::ChosenBy;
use crate::trigger::command::Command;
use crate::trigger::decide::{Wish, dearest_until};
use crate::trigger::feedback::{FeedbackFacts, Received, Verdict, act, receive as received};
use crate::trigger::policy;

/// Longest time between two looks at the table.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long feedback waits after GitHub did not answer.
const TRY_AGAIN: Millis = 20_000;
const DAY: Millis = 24 * 3_600_000;

/// A review on its way into the tables.
pub(super) struct Kept {
    /// The line of its pull request.
    pub line: LineId,
    received: Received,
    /// Whether a command in it takes it along, so that it asks for nothing by itself.
    with_command: bool,
}

impl Kept {
    /// Whether it is decided about by itself.
    pub fn alone(&self) -> bool {
        !self.with_command
    }

    /// Whether it would become a follow-up without a command.
    pub fn counts(&self) -> bool {
        !matches!(self.received, Received::Ignored { .. })
    }
}

/// What is done about the review of a delivery; `None` if it has none or is about somebody else's pull request.
pub(super) async fn receive(
    context: &Context,
    repository: &Repository,
    asked: &Asked,
    (scene, github): (&Scene, &GitHubFacts),
) -> Result<Option<Kept>, Trouble> {
    let (Some(review), Some(line), true) = (&asked.review, &scene.line, scene.on_ours) else { return Ok(None) };
    let takes_it_along = |wish: &Wish| match wish {
        Wish::Command(Command::Dispatch(dispatch)) => !dispatch.fresh,
        Wish::Command(Command::Followup(followup)) => !followup.fresh,
        _ => false,
    };
    // While a run is live the command is not obeyed, and the review waits like any other (B24).
    let with_command = asked.wishes.iter().any(takes_it_along)
        && db::runs::live_of(&mut *context.db.read().await?, line.thread, Lane::Work).await?.is_none();
    let mains = mains::main_users(context, repository, github.policy.as_ref().ok(), Some(line.id)).await?;
    let mains: Vec<_> = mains.into_iter().map(|main| main.id).collect();
    let counted = !with_command && !review.says_something && review.wants_changes && mains.contains(&asked.actor.id);
    let comments = if !counted {
        0
    } else {
        reviews::comments_of(&context.github, repository, asked.number, review.id).await?.len()
    };
    Ok(Some(Kept { line: line.id, received: received(review, comments, asked.actor.id, &mains), with_command }))
}

/// Writes what is done about a review.
pub(super) async fn keep(
    tx: &mut Conn,
    (cause, repository, asked): (Cause<'_>, &Repository, &Asked),
    (kept, quiet): (&Kept, Millis),
    now: Millis,
) -> Result<(), Trouble> {
    let line = db::lines::get(&mut *tx, kept.line).await?;
    let thread = db::threads::get(&mut *tx, line.thread).await?;
    let key = review_key(asked);
    let (verdict, reason, detail) = match &kept.received {
        _ if db::triggers::exists(&mut *tx, &key).await? => {
            ("ignored", "repeated", "this was asked for and decided before".to_owned())
        }
        received => {
            let trigger = Trigger {
                key: key.clone(),
                delivery: cause.id().to_owned(),
                repository: repository.id,
                number: asked.number,
                thread: Some(thread.id),
                place: asked.place,
                verb: "feedback".to_owned(),
                actor: asked.actor.clone(),
                run: None,
                request: None,
                created_at: now,
            };
            db::triggers::insert(&mut *tx, &trigger).await?;
            match received {
                Received::Ignored { reason, detail } => ("ignored", *reason, detail.clone()),
                Received::Now | Received::AfterQuiet => {
                    db::triggers::set_waiting(&mut *tx, &key, line.id).await?;
                    let due = match (received, line.follow_up_at) {
                        // It is due already and waits for the live run alone.
                        (_, Some(due)) if due <= now => due,
                        (Received::Now, _) => now,
                        (_, _) => now + quiet,
                    };
                    db::lines::set_follow_up_at(&mut *tx, line.id, Some(due)).await?;
                    let detail = if line.paused {
                        "it waits: automatic follow-ups are paused here"
                    } else {
                        "it becomes a follow-up as soon as nothing is live here"
                    };
                    ("accepted", "feedback", detail.to_owned())
                }
            }
        }
    };
    let record = Record {
        delivery: Some(cause.id().to_owned()),
        repository: Some(repository.id),
        number: Some(thread.number),
        trigger: Some(key),
        run: None,
        actor: Some(asked.actor.login.clone()),
        verdict,
        reason: reason.to_owned(),
        detail,
        about: About { review_state: review_state(asked.origin.place()), ..About::line(&line) },
    };
    Ok(db::decisions::insert(tx, &record, now).await?)
}

fn review_key(asked: &Asked) -> String {
    let id = asked.review.map_or(0, |review| review.id);
    // The key does not depend on the state.
    trigger_key(Place::Review { id, state: ReviewState::Other }, 1)
}

/// Works until the bot stops.
pub async fn work(context: Arc<Context>) {
    while !context.stop.is_cancelled() {
        if let Err(error) = look(&context).await {
            error!("waiting feedback could not be looked at: {error:#}");
        }
        let pause = next_look(&context).await.unwrap_or(LOOK_EVERY);
        tokio::select! {
            () = context.stop.cancelled() => return,
            () = context.wake.feedback.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

async fn next_look(context: &Context) -> Result<Duration> {
    let now = context.clock.now();
    let next = db::lines::next_feedback(&mut *context.db.read().await?, now).await?;
    Ok(next.map_or(LOOK_EVERY, |at| Duration::from_millis((at - now).unsigned_abs()).min(LOOK_EVERY)))
}

/// Acts on all feedback whose time has come.
async fn look(context: &Context) -> Result<()> {
    let lines = db::lines::with_feedback(&mut *context.db.read().await?, context.clock.now()).await?;
    for line in lines {
        if let Err(trouble) = act_on(context, &line).await {
            let now = context.clock.now();
            let (why, again) = match trouble {
                Trouble::GitHub(error) => (error.to_string(), error.retry_at(1, now).map(|at| at.max(now + TRY_AGAIN))),
                Trouble::Other(error) => (format!("{error:#}"), Some(now + TRY_AGAIN)),
            };
            warn!("feedback on {} waits: {why}", line.branch);
            let mut tx = context.db.begin().await?;
            if again.is_some() {
                db::lines::set_follow_up_at(&mut tx, line.id, again).await?;
            } else {
                let triggers = db::triggers::waiting_for(&mut tx, line.id).await?;
                settle(&mut tx, &line, &triggers, (None, ("refused", "unavailable", &why)), now).await?;
            }
            tx.commit().await?;
        }
    }
    Ok(())
}

/// Ends the waiting of feedback, with a record for each that says what became of it.
pub(super) async fn settle(
    tx: &mut Conn,
    line: &Line,
    triggers: &[Trigger],
    (run, (verdict, reason, detail)): (Option<RunId>, (&'static str, &str, &str)),
    now: Millis,
) -> sqlx::Result<()> {
    let thread = db::threads::get(&mut *tx, line.thread).await?;
    for trigger in triggers {
        let record = Record {
            delivery: Some(trigger.delivery.clone()),
            trigger: Some(trigger.key.clone()),
            run,
            actor: Some(trigger.actor.login.clone()),
            verdict,
            about: About::line(line),
            ..Record::noted(&thread, reason, detail.to_owned())
        };
        db::decisions::insert(&mut *tx, &record, now).await?;
    }
    db::triggers::settle_waiting(tx, line.id, triggers, run, now).await
}

async fn act_on(context: &Context, line: &Line) -> Result<(), Trouble> {
    let mut conn = context.db.read().await?;
    let repository =
        db::repositories::get(&mut conn, line.repository).await?.context("a line's repository is stored")?;
    let thread = db::threads::get(&mut conn, line.thread).await?;
    // Read before GitHub is asked: what comes meanwhile may not be in its answers.
    let triggers = db::triggers::waiting_for(&mut conn, line.id).await?;
    drop(conn);
    let (pull, issue, about, policy) = tokio::join!(
        async {
            match line.pull {
                Some(number) => facts::recent_pull(context, &repository, number).await,
                None => Ok(None),
            }
        },
        facts::recent_words(context, &repository, thread.number),
        plan::recent_about(context, &repository),
        plan::recent_policy(context, &repository),
    );
    let (pull, issue, about) = (pull?, issue?, about?);
    let (policy, bad_policy) = match policy {
        Ok(policy) => (Some(policy), None),
        Err(PlanError::Unusable(_, mistake)) => (None, Some(mistake)),
        Err(PlanError::GitHub(error)) => return Err(error.into()),
        Err(PlanError::Other(error)) => return Err(error.into()),
    };
    let mains = mains::main_users(context, &repository, policy.as_ref(), Some(line.id)).await?;
    let (open, listed) = match line.pull {
        Some(number) => feedback::by_main_users(context, &repository, number, &mains).await?,
        None => (Feedback::default(), HashSet::new()),
    };
    let unlisted = |trigger: &Trigger| {
        matches!(trigger.place, Said::Review(id) if !listed.contains(&id))
            && context.clock.now() - trigger.created_at < facts::LISTED_WITHIN
    };
    if triggers.iter().any(unlisted) {
        return Err(facts::not_listed_yet(line.pull.unwrap_or(thread.number)).into());
    }
    let ended = line.pull.and_then(|_| facts::ended(pull.as_ref()));
    let request = requested(&triggers);
    let off = |mode: Option<FollowUp>| mode == Some(FollowUp::Off);
    let mode = if off(Some(context.config.follow_up)) || off(policy.as_ref().and_then(|policy| policy.follow_up)) {
        FollowUp::Off
    } else {
        FollowUp::Auto
    };
    let limits = match &policy {
        Some(policy) => policy::effective(&context.config.limits, policy),
        None => context.config.limits.clone(),
    };

    let now = context.clock.now();
    let mut tx = context.db.begin().await?;
    if db::runs::live_of(&mut tx, line.thread, Lane::Work).await?.is_some() {
        return Ok(());
    }
    let costs = db::runs::costs_since(&mut tx, now - DAY).await?;
    let facts = FeedbackFacts {
        requested: request.is_some(),
        issue_open: issue.open,
        pull_open: ended.is_none(),
        archived: about.archived,
        mode,
        bad_policy,
        open: open.reviews.len() + open.comments.len(),
        rounds: db::runs::automatic_since(&mut tx, line.id, now - DAY).await?,
        cost_last_day: costs.iter().map(|(_, cost)| cost).sum(),
        afforded_again_at: dearest_until(&costs, &limits).map(|at| at + DAY + 1),
        limits: limits.clone(),
    };
    if let (LineState::Open, Some(ended)) = (line.state, ended) {
        db::lines::set_state(&mut tx, line.id, ended).await?;
    }
    let previous = db::runs::of_line(&mut tx, line.id, 1).await?.pop();
    let told_on = line.pull.unwrap_or(thread.number);
    let newest = request.as_ref().map(|(_, newest)| *newest).or(triggers.last());
    let (run, (verdict, reason, detail)) = match (act(&facts), previous, newest) {
        (Verdict::Start, Some(previous), Some(newest)) => {
            let work = NewWork {
                thread,
                ask: Ask {
                    kind: Kind::FollowUp,
                    title: issue.title,
                    body: issue.body,
                    author: issue.author.unwrap_or_default(),
                    instructions: request.as_ref().map(|(words, _)| words.clone()).unwrap_or_default(),
                    base: None,
                    fresh: false,
                    requester: newest.actor.clone(),
                    pin: None,
                    told_on: Some(if request.is_some() { newest.number } else { told_on }),
                    unposted: false,
                },
                retry_of: None,
                line: Some(line.id),
                agent: previous.agent,
                chosen_by: ChosenBy::Line.as_str().to_owned(),
                model: previous.model,
                profile: previous.profile,
                runner: previous.wanted_runner,
                limits,
                // The right to ask is as old as the review, and is confirmed anew if that is a while ago (T13).
                allowed_at: newest.created_at,
                automatic: request.is_none(),
            };
            let run = start(&mut tx, &work, now).await?.context("the lane is free")?;
            // What a person asks for brings more than the main users' words, which is gathered when the run begins.
            if request.is_none() {
                db::runs::set_feedback(&mut tx, run, &open).await?;
            }
            info!("feedback on {} becomes run {run}", line.branch);
            (Some(run), ("accepted", "follow_up", format!("run {run} follows up on what was said")))
        }
        (Verdict::Wait { reason, text, until }, ..) => {
            tell(&mut tx, line, (told_on, reason), &text, now).await?;
            db::lines::set_follow_up_at(&mut tx, line.id, Some(until)).await?;
            db::decisions::insert(&mut tx, &Record::noted(&thread, reason, text), now).await?;
            tx.commit().await?;
            context.wake.reports.notify_one();
            return Ok(());
        }
        (Verdict::Skip { reason, detail }, ..) => (None, ("ignored", reason, detail)),
        (Verdict::Tell { reason, text }, ..) => {
            tell(&mut tx, line, (told_on, reason), &text, now).await?;
            (None, ("refused", reason, text))
        }
        (Verdict::Start, ..) => (None, ("refused", "no_work", "no run is left to go on with".to_owned())),
    };
    settle(&mut tx, line, &triggers, (run, (verdict, reason, &detail)), now).await?;
    tx.commit().await?;
    context.wake.runs.notify_one();
    context.wake.reports.notify_one();
    Ok(())
}

/// What people asked for in so many words while a run was live, and who did so last.
fn requested(triggers: &[Trigger]) -> Option<(String, &Trigger)> {
    let asked: Vec<_> = triggers.iter().filter_map(|trigger| Some((trigger.request.as_deref()?, trigger))).collect();
    let words: Vec<&str> = asked.iter().map(|(words, _)| *words).collect();
    asked.last().map(|(_, newest)| (words.join("\n\n"), *newest))
}

/// Tells people once a day and rule, however many reviews come.
async fn tell(
    tx: &mut Conn,
    line: &Line,
    (number, reason): (Number, &str),
    text: &str,
    now: Millis,
) -> Result<(), Trouble> {
    let report = NewReport {
        key: format!("told:{}:{reason}:{}", line.id, now / DAY),
        repository: line.repository,
        number,
        run: None,
        payload: Payload::Reply { text: text.to_owned() },
    };
    Ok(db::reports::owe(tx, &report, now).await?)
}

impl From<RunTrouble> for Trouble {
    fn from(trouble: RunTrouble) -> Self {
        match trouble {
            RunTrouble::GitHub(error) => Self::GitHub(error),
            other => Self::Other(other.into()),
        }
    }
}
