//! Brings GitHub to what it is owed: edits in place, waits for the budget, and never posts twice what may be there already.
//!
//! A create whose answer was lost is the one write that GitHub cannot repeat safely. The row is marked before it is sent, and from
//! then on the comment is looked for by its marker first, for longer than GitHub's lists may lag, before it is posted again; after that it
//! is looked for once more, and all but the oldest are taken away (P4).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures_util::future::join_all;
use sha2::{Digest as _, Sha256};
use tracing::{error, info, warn};
use ulid::Ulid;

use super::budget::Budget;
use super::posts::{self, Post};
use super::text::{BODY_LIMIT, cut};
use super::timeline;
use super::wording::{self, StatusFacts};
use crate::context::Context;
use crate::db::reports::{Payload, Report};
use crate::db::runs::Run;
use crate::db::{self, Conn};
use crate::github::issues::ReactionTo;
use crate::github::{ApiError, LONGEST_CALL, issues, threads};
use crate::model::{InstallationId, Millis, Outcome, Place, Repository, Status};
use crate::queue;

/// Longest time between two looks at the table.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Reports looked at per round.
const BATCH: i64 = 200;
/// Progress of one run is shown at most this often.
pub const PROGRESS_EVERY: Millis = 30_000;
/// How long a create is only looked for after its answer was lost: GitHub's lists may lag behind its writes.
const LOOK_FOR_LOST: Millis = 35_000;
/// How long one is looked for that GitHub answered with a 5xx: mostly it was not carried out, and people wait.
const LOOK_FOR_FAILED: Millis = 8_000;
/// When a twin is looked for after a comment was posted again: whatever was carried out before is in GitHub's lists by then.
const LOOK_FOR_TWIN: Millis = 40_000;
/// How often it is looked for meanwhile.
const LOOK_AGAIN_AFTER: Millis = 2_000;
/// Comments from before this much earlier than the report cannot be it; clocks differ a little.
const CLOCK_DIFFERENCE: Millis = 120_000;

/// Works until the bot stops.
pub async fn work(context: Arc<Context>) {
    let mut budgets = HashMap::new();
    while !context.stop.is_cancelled() {
        if let Err(error) = round(&context, &mut budgets).await {
            error!("reports could not be looked at: {error:#}");
        }
        let pause = next_look(&context, &mut budgets).await.unwrap_or(LOOK_EVERY);
        tokio::select! {
            () = context.stop.cancelled() => return,
            () = context.wake.reports.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

async fn next_look(context: &Context, budgets: &mut HashMap<Option<InstallationId>, Budget>) -> Result<Duration> {
    let now = context.clock.now();
    let due = db::reports::next_due(&mut *context.db.read().await?, now).await?;
    let opens = budgets.values_mut().filter_map(|budget| budget.open(now, false).err());
    let next = opens.chain(due).min();
    Ok(next.map_or(LOOK_EVERY, |at| Duration::from_millis((at - now).unsigned_abs()).min(LOOK_EVERY)))
}

/// Sends what is due, one at a time per installation and the installations side by side, until nothing is due that a budget lets through.
async fn round(context: &Context, budgets: &mut HashMap<Option<InstallationId>, Budget>) -> Result<()> {
    loop {
        let now = context.clock.now();
        let closed = budgets.iter_mut().filter_map(|(id, budget)| budget.open(now, false).is_err().then_some(*id));
        let closed: Vec<_> = closed.collect();
        let due = db::reports::due(&mut *context.db.read().await?, now, &closed, BATCH).await?;
        if due.is_empty() || context.stop.is_cancelled() {
            return Ok(());
        }
        let mut lanes: HashMap<Option<InstallationId>, Vec<(Report, Repository)>> = HashMap::new();
        for report in due {
            let repository = db::repositories::get(&mut *context.db.read().await?, report.repository)
                .await?
                .context("a report's repository is stored")?;
            lanes.entry(repository.installation).or_default().push((report, repository));
        }
        let mut taken = Vec::new();
        for (installation, reports) in lanes {
            let budget = budgets.remove(&installation).unwrap_or_else(|| Budget::new(now));
            taken.push(lane(context, installation, budget, reports));
        }
        for (installation, budget) in join_all(taken).await {
            budgets.insert(installation, budget);
        }
    }
}

async fn lane(
    context: &Context,
    installation: Option<InstallationId>,
    mut budget: Budget,
    reports: Vec<(Report, Repository)>,
) -> (Option<InstallationId>, Budget) {
    for (report, repository) in reports {
        // What the budget does not let through stays due as it is: the next round asks the budget first.
        if context.stop.is_cancelled() || budget.open(context.clock.now(), false).is_err() {
            break;
        }
        if let Err(error) = serve(context, &report, &repository, &mut budget).await {
            error!("report {} could not be served: {error:#}", report.key);
            let at = context.clock.now() + LOOK_AGAIN_AFTER;
            if let Err(error) = put_off(context, &report, at, &format!("{error:#}")).await {
                error!("report {} could not be put off: {error:#}", report.key);
                break;
            }
        }
    }
    (installation, budget)
}

async fn serve(context: &Context, report: &Report, repository: &Repository, budget: &mut Budget) -> Result<()> {
    let now = context.clock.now();
    let Some(desired) = desired(context, report).await? else {
        return settled(context, report, Sent::default(), None).await;
    };
    let twins_at = report.in_doubt.filter(|_| report.remote_id.is_some());
    if twins_at.is_some_and(|at| at <= now) {
        return match remove_twins(context, report, repository, &desired).await {
            Ok(()) => Ok(()),
            Err(error) => refused(context, report, &desired, error).await,
        };
    }
    let hash = hex::encode(Sha256::digest(desired.body.as_bytes()));
    if report.shown.as_deref() == Some(&hash) {
        return settled(context, report, Sent { remote: None, twins_at }, None).await;
    }
    if desired.is_progress
        && let Some(shown_at) = report.shown_at
        && now < shown_at + PROGRESS_EVERY
    {
        let at = shown_at + PROGRESS_EVERY;
        return put_off_unhurried(context, report, twins_at.map_or(at, |twins_at| twins_at.min(at))).await;
    }
    if let Err(at) = budget.take(now, desired.is_progress) {
        return put_off_unhurried(context, report, at).await;
    }
    match send(context, report, repository, &desired).await {
        Ok(sent) => settled(context, report, sent, Some(&hash)).await,
        Err(error) => refused(context, report, &desired, error).await,
    }
}

/// What GitHub should show.
struct Desired {
    body: String,
    is_progress: bool,
    marker: Option<(Ulid, &'static str)>,
}

async fn desired(context: &Context, report: &Report) -> Result<Option<Desired>> {
    let marked = |text: &str, run: Ulid, kind: &'static str| {
        let marker = context.marker.marker(run, kind);
        let text = cut(text, BODY_LIMIT - marker.len() - 100);
        Desired { body: format!("{text}\n\n{marker}"), is_progress: false, marker: Some((run, kind)) }
    };
    Ok(Some(match &report.payload {
        Payload::Reply { text } | Payload::ThreadReply { text, .. } => marked(text, report.id, "reply"),
        Payload::Review { text, .. } => marked(text, report.id, "review"),
        Payload::Final { text, .. } => marked(text, report.run.map_or(report.id, |run| run.0), "final"),
        Payload::Status => {
            let run = report.run.context("a status comment belongs to a run")?;
            let run = db::runs::get(&mut *context.db.read().await?, run).await?;
            let text = wording::status(&run, &status_facts(context, &run).await?);
            let is_progress = run.status != Status::Done;
            Desired { is_progress: is_progress && report.remote_id.is_some(), ..marked(&text, run.id.0, "status") }
        }
        Payload::Reaction { place, content } => {
            Desired { body: format!("{place:?} {}", content.as_str()), is_progress: false, marker: None }
        }
        Payload::Unlabel { label } => Desired { body: label.clone(), is_progress: false, marker: None },
        Payload::Resolve { root } => Desired { body: root.to_string(), is_progress: false, marker: None },
    }))
}

/// What the status of a run is told from, as it is now.
pub async fn status_facts(context: &Context, run: &Run) -> Result<StatusFacts> {
    let mut conn = context.db.read().await?;
    let repository = db::repositories::get(&mut conn, run.repository).await?.context("a run's repository is stored")?;
    let line = match run.line {
        Some(line) => Some(db::lines::get(&mut conn, line).await?),
        None => None,
    };
    drop(conn);
    let line_state = line.as_ref().map(|line| line.state);
    let mut facts = StatusFacts {
        branch: line.map(|line| line.branch),
        run_url: context.run_url(run.id),
        repository_url: context.repository_url(&repository.name),
        ..StatusFacts::default()
    };
    facts.out_of_service = run.runner.as_deref().and_then(|name| context.runners.out_of_service(name));
    if run.status == Status::Queued {
        let (position, waits_for) = queue::place(context, run.id).await?;
        facts.position = position;
        facts.waits_for = waits_for;
    }
    if run.status == Status::Done {
        let text = |key: &str| run.answer.as_ref().and_then(|answer| answer.get(key)).and_then(|v| v.as_str());
        facts.summary = text("summary").map(str::to_owned);
        facts.notes = text("notes").map(str::to_owned);
        if run.outcome != Some(Outcome::Succeeded) {
            facts.next_attempt = db::runs::next_attempt(&mut *context.db.read().await?, run).await?;
            facts.remedy = context.remedy(run, line_state);
        }
    }
    Ok(facts)
}

/// What GitHub shows by now.
#[derive(Default)]
struct Sent {
    /// GitHub's id of the comment that was made or found.
    remote: Option<i64>,
    /// When a twin of it is to be looked for.
    twins_at: Option<Millis>,
}

/// Sends one report.
async fn send(context: &Context, report: &Report, repository: &Repository, desired: &Desired) -> Result<Sent, Undone> {
    let github = &context.github;
    match &report.payload {
        Payload::Reaction { place, content } => {
            let target = match place {
                Place::Issue => ReactionTo::Issue(report.number),
                Place::Comment(id) => ReactionTo::Comment(*id),
                Place::ReviewComment(id) => ReactionTo::ReviewComment(*id),
                Place::Review(_) | Place::Nowhere => return Ok(Sent::default()),
            };
            issues::react(github, repository, target, *content).await?;
            Ok(Sent::default())
        }
        Payload::Unlabel { label } => {
            issues::remove_label(github, repository, report.number, label).await?;
            Ok(Sent::default())
        }
        Payload::Resolve { root } => {
            threads::resolve(github, repository, report.number, *root).await?;
            Ok(Sent::default())
        }
        Payload::Status
        | Payload::Reply { .. }
        | Payload::Final { .. }
        | Payload::Review { .. }
        | Payload::ThreadReply { .. } => post(context, report, repository, desired).await,
    }
}

/// Why a report was not sent.
enum Undone {
    GitHub(ApiError),
    /// A create is in doubt and not found yet.
    InDoubt,
    Other(anyhow::Error),
}

impl From<ApiError> for Undone {
    fn from(error: ApiError) -> Self {
        Self::GitHub(error)
    }
}

impl From<anyhow::Error> for Undone {
    fn from(error: anyhow::Error) -> Self {
        Self::Other(error)
    }
}

async fn post(context: &Context, report: &Report, repository: &Repository, desired: &Desired) -> Result<Sent, Undone> {
    if let Some(id) = report.remote_id {
        posts::update(context, report, repository, (id, &desired.body)).await?;
        return Ok(Sent { remote: Some(id), twins_at: report.in_doubt });
    }
    let now = context.clock.now();
    if let Some(until) = report.in_doubt {
        let found = find(context, report, repository, desired).await?;
        if let Some(oldest) = found.first() {
            info!("the comment of {} was found again as {}", report.key, oldest.id);
            if oldest.body != desired.body {
                posts::update(context, report, repository, (oldest.id, &desired.body)).await?;
            }
            return Ok(Sent { remote: Some(oldest.id), twins_at: (found.len() > 1).then_some(now) });
        }
        if now < until {
            return Err(Undone::InDoubt);
        }
    }
    doubt(context, report, Some(now + LONGEST_CALL.as_millis() as Millis + LOOK_FOR_LOST)).await?;
    let created = posts::create(context, report, repository, &desired.body).await;
    // The call may have been carried out at its very end.
    let now = context.clock.now();
    match created {
        Ok(comment) => {
            let twins_at = report.in_doubt.map(|_| now + LOOK_FOR_TWIN);
            Ok(Sent { remote: Some(comment.id), twins_at })
        }
        Err(error) => {
            let until = match &error {
                ApiError::Unavailable { answered: true, ambiguous: true, .. } => Some(now + LOOK_FOR_FAILED),
                error if error.is_ambiguous() => Some(now + LOOK_FOR_LOST),
                // This one was not carried out; what an earlier one left in doubt stays so.
                _ => report.in_doubt,
            };
            doubt(context, report, until).await?;
            Err(error.into())
        }
    }
}

/// Looks for comments of our own that end with the marker, oldest first.
async fn find(
    context: &Context,
    report: &Report,
    repository: &Repository,
    desired: &Desired,
) -> Result<Vec<Post>, Undone> {
    let Some((run, kind)) = desired.marker else { return Ok(Vec::new()) };
    let bot = context.bot(repository).await?;
    let since = report.created_at + context.github.skew() - CLOCK_DIFFERENCE;
    let mut comments = posts::list(context, report, repository, since).await?;
    let ours = |comment: &Post| comment.user.as_ref().is_some_and(|user| user.account.id == bot.account.id);
    comments.retain(|comment| ours(comment) && context.marker.is_in(&comment.body, run, kind));
    comments.sort_by_key(|comment| comment.id);
    Ok(comments)
}

/// Leaves one comment where an attempt that was in doubt had been carried out after all: the oldest, which people saw first (P4).
async fn remove_twins(
    context: &Context,
    report: &Report,
    repository: &Repository,
    desired: &Desired,
) -> Result<(), Undone> {
    let mut found = find(context, report, repository, desired).await?.into_iter().map(|comment| comment.id);
    let kept = found.next().or(report.remote_id);
    for twin in found {
        info!("the comment of {} is there twice: {twin} is removed", report.key);
        match posts::delete(context, report, repository, twin).await {
            Err(error) if error.retry_at(1, context.clock.now()).is_some() => return Err(error.into()),
            Err(error) => warn!("the comment {twin} stays beside its twin: {error}"),
            Ok(()) => {}
        }
    }
    set_remote(context, report, kept).await?;
    Ok(())
}

async fn doubt(context: &Context, report: &Report, until: Option<Millis>) -> Result<()> {
    let mut tx = context.db.begin().await?;
    db::reports::set_in_doubt(&mut tx, report.id, until).await?;
    tx.commit().await?;
    Ok(())
}

/// Which comment is the report's, or that there is none any more; what it shows is looked at again.
async fn set_remote(context: &Context, report: &Report, remote: Option<i64>) -> Result<()> {
    let mut tx = context.db.begin().await?;
    db::reports::set_remote(&mut tx, report.id, remote).await?;
    tx.commit().await?;
    Ok(())
}

async fn settled(context: &Context, report: &Report, sent: Sent, shown: Option<&str>) -> Result<()> {
    let mut tx = context.db.begin().await?;
    let now = context.clock.now();
    if sent.remote.is_some() && report.remote_id.is_none() {
        tell(&mut tx, report, None, now).await?;
    }
    db::reports::shown(&mut tx, report, sent.remote, shown, sent.twins_at, now).await?;
    tx.commit().await?;
    Ok(())
}

async fn put_off(context: &Context, report: &Report, at: Millis, why: &str) -> Result<()> {
    let mut tx = context.db.begin().await?;
    db::reports::retry_at(&mut tx, report.id, at, why).await?;
    tx.commit().await?;
    Ok(())
}

/// Waits for its time without counting as an attempt that failed.
async fn put_off_unhurried(context: &Context, report: &Report, at: Millis) -> Result<()> {
    let mut tx = context.db.begin().await?;
    db::reports::wait_until(&mut tx, report, at).await?;
    tx.commit().await?;
    Ok(())
}

async fn refused(context: &Context, report: &Report, desired: &Desired, undone: Undone) -> Result<()> {
    let now = context.clock.now();
    let error = match undone {
        Undone::Other(error) => return Err(error),
        Undone::InDoubt => return put_off(context, report, now + LOOK_AGAIN_AFTER, "its answer was lost").await,
        Undone::GitHub(error) => error,
    };
    let tries = u32::try_from(report.tries + 1).unwrap_or(u32::MAX);
    match error.retry_at(tries, now) {
        Some(at) => {
            info!("report {} waits for GitHub: {error}", report.key);
            return put_off(context, report, at, &error.to_string()).await;
        }
        None if error.is_not_found() && report.remote_id.is_some() => {
            // Somebody deleted the comment. Whoever did that wants no news of the work, so progress is given up; the result is what the
            // work was for, so it is posted anew, once: nothing is edited after it.
            info!("the comment of {} was deleted", report.key);
            set_remote(context, report, None).await?;
            if !desired.is_progress {
                return Ok(());
            }
        }
        None if desired.is_progress => {
            // The next change is tried again, and the end in any case.
            warn!("progress of {} cannot be shown: {error}", report.key);
            let twins_at = report.in_doubt;
            return settled(context, report, Sent { remote: None, twins_at }, None).await;
        }
        // Gone, locked or forbidden: repeating it would not help, and a failing reaction never fails a run.
        None => warn!("report {} is given up: {error}", report.key),
    }
    let error = error.to_string();
    let mut tx = context.db.begin().await?;
    tell(&mut tx, report, Some(&error), now).await?;
    db::reports::dead(&mut tx, report.id, &error).await?;
    tx.commit().await?;
    Ok(())
}

/// Says on the timeline what became of a post, where that is worth a line.
async fn tell(tx: &mut Conn, report: &Report, error: Option<&str>, now: Millis) -> Result<()> {
    let Some(run) = report.run else { return Ok(()) };
    let run = db::runs::get(&mut *tx, run).await?;
    let thread = db::threads::get(&mut *tx, run.thread).await?;
    if let Some(record) = timeline::told(report, (&run, &thread), error) {
        db::decisions::insert(tx, &record, now).await?;
    }
    Ok(())
}
