//! From a slot to a working agent: the right to ask is confirmed, the commit is found, and one exec prepares and launches.

use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::sync::Notify;
use tracing::{debug, info, warn};

use super::plan::{self, PlanError};
use super::step::{Next, canceled, end, failed, github_wait};
use super::trouble::Trouble;
use crate::context::Context;
use crate::db;
use crate::db::runs::{Ending, Run};
use crate::git::GitError;
use crate::github::permission;
use crate::model::{Outcome, Phase, Reason, Status};
use crate::report::worker::PROGRESS_EVERY;
use crate::runner::{HostError, Machine, RunnerError, Start};
use crate::trigger::decide::{PERMISSION_TRUSTED, Standing, standing};

/// How often the runner may ask for a commit that was just pushed to it.
const PUSH_ATTEMPTS: u32 = 2;
/// A phase is written once it lasts this long.
const PHASE_SEEN: Duration = Duration::from_millis(100);

/// Attempts after which a step that keeps failing on the runner ends the run.
const FAILURES_BORNE: i64 = 3;

/// One attempt to prepare and launch. Repeating it is safe at any point: the runner makes one agent of two starts.
pub async fn step(context: &Context, run: &Run, bell: &Notify) -> Result<Next> {
    let name = run.runner.as_deref().context("a preparing run has a runner")?;
    let Some(machine) = context.runners.get(name) else {
        return unreachable(context, run, format!("runner {name} is not configured any more")).await;
    };
    if run.cancel_at.is_some() {
        return cancel(context, run, &machine).await;
    }
    // Before anything is sent there, a runner that is away costs the run only its slot.
    if run.fence == 0
        && let Err(error) = machine.reach().await
    {
        return refused(context, run, error).await;
    }
    if let Some(next) = confirm_permission(context, run).await? {
        return Ok(next);
    }
    let plan = match plan::plan(context, run).await {
        Ok(plan) => plan,
        Err(PlanError::GitHub(error)) => {
            return match github_wait(&error, run, context.clock.now()) {
                Some(next) => Ok(next),
                None => end(context, run, failed(Reason::RepositoryUnusable, error)).await,
            };
        }
        Err(PlanError::Unusable(reason, detail)) => return end(context, run, failed(reason, detail)).await,
        Err(PlanError::Other(error)) => return Err(error),
    };
    debug!("planned: {}", plan.start.commit);
    let mut tx = context.db.begin().await?;
    db::runs::set_given(&mut tx, run.id, &plan.base_branch, &plan.start.commit).await?;
    db::runs::set_fence(&mut tx, run.id, context.epoch).await?;
    tx.commit().await?;
    debug!("plan stored");
    // From here on the runner may have it, so another one may not.
    let run = Run { fence: context.epoch, ..run.clone() };
    launch(context, &run, &machine, (plan.start, bell)).await
}

async fn launch(context: &Context, run: &Run, machine: &Machine, (start, bell): (Start, &Notify)) -> Result<Next> {
    let mut pushes = 0;
    loop {
        match Box::pin(start_once(context, run, machine, (&start, bell))).await {
            Ok(()) => break,
            Err(RunnerError::NeedCommit(commit)) if pushes < PUSH_ATTEMPTS => {
                pushes += 1;
                match plan::give(context, run, machine, &commit).await {
                    Ok(()) => {}
                    Err(Trouble::Runner(error)) => return refused(context, run, error).await,
                    Err(Trouble::Git(error @ (GitError::Unreachable { .. } | GitError::TimedOut { .. }))) => {
                        return unreachable(context, run, error.to_string()).await;
                    }
                    Err(Trouble::Git(error)) => {
                        return refused(context, run, RunnerError::Failed(error.to_string())).await;
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            Err(error) => return refused(context, run, error).await,
        }
    }
    let mut tx = context.db.begin().await?;
    let moved = db::runs::advance(&mut tx, run.id, Status::Preparing, Status::Running, context.clock.now()).await?;
    db::runs::set_unreachable(&mut tx, run.id, None).await?;
    db::reports::touch_status(&mut tx, run.id, context.clock.now()).await?;
    tx.commit().await?;
    context.wake.reports.notify_one();
    if moved {
        info!("run {} started on {}", run.id, machine.config().name);
    }
    Ok(Next::Again)
}

/// One exec. Phases are written as they come and last; a crash in between repeats the step.
async fn start_once(
    context: &Context,
    run: &Run,
    machine: &Machine,
    (start, bell): (&Start, &Notify),
) -> Result<(), RunnerError> {
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel::<Phase>();
    let phases = async {
        let mut latest = told.recv().await;
        while let Some(phase) = latest {
            // Phases are for people: one that is over before anybody could read it is not worth a synced write.
            if let Ok(newer) = tokio::time::timeout(PHASE_SEEN, told.recv()).await {
                latest = newer;
                continue;
            }
            if let Err(error) = write_phase(context, run, phase).await {
                warn!("the phase of run {} could not be written: {error:#}", run.id);
            }
            latest = told.recv().await;
        }
    };
    let starting = async move {
        let mut report = move |phase| {
            debug!("the runner is {phase}");
            let _ = tell.send(phase);
        };
        machine.start(start, &mut report).await
    };
    // A large checkout takes minutes, in which a cancel must not wait: the runner then refuses to launch.
    let canceling = async {
        loop {
            bell.notified().await;
            if let Err(error) = cancel_beside(context, run, machine).await {
                warn!("run {} is canceled after its launch: {error:#}", run.id);
            }
        }
    };
    tokio::select! {
        (started, ()) = async { tokio::join!(starting, phases) } => started.map(|_| ()),
        () = canceling => Ok(()),
    }
}

async fn cancel_beside(context: &Context, run: &Run, machine: &Machine) -> Result<()> {
    if db::runs::get(&mut *context.db.read().await?, run.id).await?.cancel_at.is_none() {
        return Ok(());
    }
    let there = machine.cancel(run.id, context.epoch.unsigned_abs()).await?;
    let mut tx = context.db.begin().await?;
    db::runs::set_left(&mut tx, run.id, i64::from(there.left)).await?;
    tx.commit().await?;
    Ok(())
}

async fn write_phase(context: &Context, run: &Run, phase: Phase) -> Result<()> {
    let mut tx = context.db.begin().await?;
    db::runs::set_phase(&mut tx, run.id, phase).await?;
    db::reports::touch_status(&mut tx, run.id, context.clock.now() + PROGRESS_EVERY).await?;
    tx.commit().await?;
    Ok(())
}

/// What becomes of the run when the runner says no.
async fn refused(context: &Context, run: &Run, error: RunnerError) -> Result<Next> {
    let reason = match &error {
        RunnerError::Host(HostError::Unreachable(why)) => return unreachable(context, run, why.clone()).await,
        RunnerError::Host(changed @ HostError::HostKey(_)) => {
            context.runners.quarantine(run.runner.as_deref().unwrap_or_default(), &changed.to_string());
            Reason::HostKeyChanged
        }
        RunnerError::Canceled => {
            return end(context, run, canceled()).await;
        }
        RunnerError::Fenced(why) => return Ok(Next::later(why)),
        RunnerError::Taken(_) => Reason::WorkspaceTaken,
        RunnerError::Disk(_) => Reason::RunnerDisk,
        RunnerError::Busy(why) => return Ok(Next::later(why)),
        RunnerError::NeedCommit(_) => Reason::Internal,
        RunnerError::Host(_) | RunnerError::Missing { .. } => Reason::RunnerSetup,
        RunnerError::Failed(_) | RunnerError::Protocol(_) | RunnerError::Unknown(_) if run.tries < FAILURES_BORNE => {
            return Ok(Next::later(error));
        }
        RunnerError::Failed(_) | RunnerError::Protocol(_) | RunnerError::Unknown(_) => Reason::RunnerSetup,
    };
    end(context, run, failed(reason, error)).await
}

/// A runner that does not answer: a run that never was sent there goes back to the queue, another waits for it.
async fn unreachable(context: &Context, run: &Run, why: String) -> Result<Next> {
    let now = context.clock.now();
    let since = run.unreachable_since.unwrap_or(now);
    let lost_after = i64::from(context.config.limits.lost_after_hours) * 3_600_000;
    if now - since >= lost_after {
        let outcome = if run.fence == 0 { Outcome::Failed } else { Outcome::Lost };
        return end(context, run, Ending { outcome, reason: Reason::RunnerUnreachable, detail: why }).await;
    }
    let mut tx = context.db.begin().await?;
    db::runs::set_unreachable(&mut tx, run.id, Some(since)).await?;
    if run.fence == 0 {
        let tries = run.tries;
        if db::runs::advance(&mut tx, run.id, Status::Preparing, Status::Queued, now).await? {
            db::runs::release_runner(&mut tx, run.id).await?;
            db::runs::retry_step(&mut tx, run.id, super::step::retry_time(tries + 2, now)).await?;
        }
    }
    db::reports::touch_status(&mut tx, run.id, now).await?;
    tx.commit().await?;
    context.wake.reports.notify_one();
    if run.fence == 0 {
        return Ok(Next::Leave);
    }
    Ok(Next::later(why))
}

/// Canceled while preparing: it never launches; if a launch may be in flight it is ended right after.
async fn cancel(context: &Context, run: &Run, machine: &Machine) -> Result<Next> {
    if run.fence == 0 {
        return end(context, run, canceled()).await;
    }
    match machine.cancel(run.id, context.epoch.unsigned_abs()).await {
        Ok(canceled_there) => {
            let mut tx = context.db.begin().await?;
            db::runs::set_left(&mut tx, run.id, i64::from(canceled_there.left)).await?;
            tx.commit().await?;
            end(context, run, canceled()).await
        }
        Err(error) => refused(context, run, error).await,
    }
}

/// The right to ask may have been taken away while the run was queued (T13).
async fn confirm_permission(context: &Context, run: &Run) -> Result<Option<Next>> {
    let now = context.clock.now();
    if now - run.allowed_at <= PERMISSION_TRUSTED {
        return Ok(None);
    }
    let repository = db::repositories::get(&mut *context.db.read().await?, run.repository)
        .await?
        .context("a run's repository is stored")?;
    let requester = &run.ask.requester;
    match permission::of_login(&context.github, &repository, &requester.login).await {
        Ok(found) if standing(requester, found.role.may_write(), found.user) == Standing::Entitled => {
            let mut tx = context.db.begin().await?;
            db::runs::set_allowed(&mut tx, run.id, now).await?;
            tx.commit().await?;
            Ok(None)
        }
        Ok(found) => {
            let role = format!("{:?}", found.role).to_lowercase();
            let detail = format!("{} has the role `{role}` here now", requester.login);
            Ok(Some(end(context, run, failed(Reason::PermissionLost, detail)).await?))
        }
        Err(error) => match github_wait(&error, run, now) {
            Some(next) => Ok(Some(next)),
            None => Ok(Some(end(context, run, failed(Reason::PermissionLost, error)).await?)),
        },
    }
}
