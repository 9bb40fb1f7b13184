//! Drives one live run: looks at its row, does what its status asks for, and again, until it is over or has to wait.

use std::time::Duration;

use anyhow::Result;
use tokio::sync::Notify;
use tracing::{error, info, warn};

use super::{finalize, prepare, publish, watch};
use crate::context::Context;
use crate::db;
use crate::db::runs::{Ending, Run};
use crate::github::ApiError;
use crate::model::{Millis, Outcome, Reason, RunId, Status};

/// Waits between attempts of one step, by the number of attempts; the last one is repeated.
pub const STEP_RETRY: &[Duration] = &[
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(20),
    Duration::from_secs(30),
];

/// Attempts of a step that fails for no reason of GitHub's or the runner's, before the run is failed.
const INTERNAL_ATTEMPTS: i64 = 8;

/// What comes after a step.
#[derive(Debug)]
pub enum Next {
    /// Look at the row again.
    Again,
    /// Something outside is not there; try the same step again.
    Later {
        /// Not before this time; `None`: by [`STEP_RETRY`].
        at: Option<Millis>,
        /// Why, for the log.
        why: String,
        /// Whether it counts as a failure, of which a step may have only so many; waiting does not.
        failed: bool,
    },
    /// It waits for a slot, is over, or the bot stops.
    Leave,
}

impl Next {
    /// Waits by the table of this module.
    pub fn later(why: impl ToString) -> Self {
        Self::Later { at: None, why: why.to_string(), failed: false }
    }

    /// Tries again after a failure that counts.
    pub fn failed(why: impl ToString) -> Self {
        Self::Later { at: None, why: why.to_string(), failed: true }
    }
}

/// Drives a run as far as it goes now.
pub async fn drive(context: &Context, id: RunId, bell: &Notify) {
    loop {
        if context.stop.is_cancelled() {
            return;
        }
        match Box::pin(step(context, id, bell)).await {
            Ok(Next::Again) => {}
            Ok(Next::Leave) => return,
            Ok(Next::Later { at, why, failed }) => {
                info!("run {id} waits: {why}");
                match wait(context, id, at, failed).await {
                    Ok(()) => return,
                    Err(error) => error!("run {id} could not be put off: {error:#}"),
                }
                idle(context, STEP_RETRY[0]).await;
            }
            Err(error) => {
                return broken(context, id, &error).await;
            }
        }
    }
}

/// Passes time, unless the bot stops.
async fn idle(context: &Context, time: Duration) {
    tokio::select! {
        () = context.stop.cancelled() => {}
        () = tokio::time::sleep(time) => {}
    }
}

async fn step(context: &Context, id: RunId, bell: &Notify) -> Result<Next> {
    let run = db::runs::get(&mut *context.db.read().await?, id).await?;
    match run.status {
        Status::Queued if run.cancel_at.is_some() => end(context, &run, canceled()).await,
        Status::Queued | Status::Done => Ok(Next::Leave),
        Status::Preparing => prepare::step(context, &run, bell).await,
        Status::Running => watch::step(context, &run, bell).await,
        Status::Publishing => publish::step(context, &run).await,
    }
}

/// Ends a run: outcome and reason are set with the move to publishing.
pub async fn end(context: &Context, run: &Run, ending: Ending) -> Result<Next> {
    let mut tx = context.db.begin().await?;
    let moved = db::runs::end(&mut tx, run.id, run.status, &ending, context.clock.now()).await?;
    tx.commit().await?;
    if moved {
        info!("run {} ends: {} ({})", run.id, ending.outcome, ending.reason);
    }
    Ok(Next::Again)
}

/// The ending of a run that somebody canceled.
pub fn canceled() -> Ending {
    Ending { outcome: Outcome::Canceled, reason: Reason::Canceled, detail: String::new() }
}

/// A failure with its reason.
pub fn failed(reason: Reason, detail: impl ToString) -> Ending {
    Ending { outcome: Outcome::Failed, reason, detail: detail.to_string() }
}

/// How long to wait for GitHub; `None`: waiting does not help.
pub fn github_wait(error: &ApiError, run: &Run, now: Millis) -> Option<Next> {
    let at = error.retry_at(u32::try_from(run.tries + 1).unwrap_or(u32::MAX), now)?;
    Some(Next::Later { at: Some(at), why: error.to_string(), failed: false })
}

/// Time of the next attempt of a step that was tried `tries` times before.
pub fn retry_time(tries: i64, now: Millis) -> Millis {
    let index = usize::try_from(tries).unwrap_or(usize::MAX).min(STEP_RETRY.len() - 1);
    now + STEP_RETRY[index].as_millis() as Millis
}

/// The ending of a run whose runner did not answer for too long.
pub fn lost(run: &Run, what: &str) -> Ending {
    let detail = format!("{what} for {} hours", run.limits.lost_after_hours);
    Ending { outcome: Outcome::Lost, reason: Reason::RunnerUnreachable, detail }
}

async fn wait(context: &Context, id: RunId, at: Option<Millis>, failed: bool) -> Result<()> {
    let mut tx = context.db.begin().await?;
    let run = db::runs::get(&mut tx, id).await?;
    let at = at.unwrap_or_else(|| retry_time(run.tries, context.clock.now()));
    db::runs::retry_step(&mut tx, id, at, failed).await?;
    tx.commit().await?;
    Ok(())
}

/// A step that failed in the bot itself is tried a few times, then the run ends with that reason; an agent that runs is never given up for it.
pub async fn broken(context: &Context, id: RunId, error: &anyhow::Error) {
    error!("run {id} failed in a step: {error:#}");
    if let Err(error) = after_failure(context, id, error).await {
        error!("run {id} could not be put off: {error:#}");
        idle(context, STEP_RETRY[STEP_RETRY.len() - 1]).await;
    }
}

async fn after_failure(context: &Context, id: RunId, error: &anyhow::Error) -> Result<()> {
    let run = db::runs::get(&mut *context.db.read().await?, id).await?;
    let ending = failed(Reason::Internal, format!("{error:#}"));
    match run.status {
        _ if run.failures + 1 < INTERNAL_ATTEMPTS => wait(context, id, None, true).await,
        Status::Preparing => match prepare::give_up(context, &run, ending).await? {
            Next::Later { at, failed, .. } => wait(context, id, at, failed).await,
            Next::Again | Next::Leave => Ok(()),
        },
        Status::Publishing => {
            warn!("run {id} is given up while publishing");
            finalize::finalize(context, &run, Some(ending)).await.map(drop)
        }
        Status::Queued | Status::Running | Status::Done => wait(context, id, None, true).await,
    }
}
