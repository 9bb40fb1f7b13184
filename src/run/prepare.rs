//! From a slot to a working agent: the right to ask is confirmed, the commit is found, and one exec prepares and launches.

use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::sync::Notify;
use tracing::{debug, info, warn};

use super::brief::Brief;
use super::plan::{self, PlanError};
use super::snapshot;
use super::step::{Next, canceled, end, failed, github_wait, lost};
use super::trouble::Trouble;
use crate::context::Context;
use crate::db;
use crate::db::runs::{Ending, Run};
use crate::git::GitError;
use crate::github::permission;
use crate::model::{Outcome, Phase, Reason, Repository, Status};
use crate::report::worker::PROGRESS_EVERY;
use crate::runner::{HostError, Machine, RunnerError, Start, State};
use crate::trigger::decide::{PERMISSION_TRUSTED, Standing, standing};

/// How often the runner may ask for a commit that was just pushed to it.
const PUSH_ATTEMPTS: u32 = 2;
/// A phase is written once it lasts this long.
const PHASE_SEEN: Duration = Duration::from_millis(100);

/// Attempts after which a step that keeps failing on the runner ends the run.
const FAILURES_BORNE: i64 = 3;
/// An offset beyond every journal: where a turn stands is asked, not what was said.
pub const BEYOND: u64 = 1 << 56;

/// One attempt to prepare and launch. Repeating it is safe at any point: the runner makes one agent of two starts.
pub async fn step(context: &Context, run: &Run, bell: &Notify) -> Result<Next> {
    let name = run.runner.as_deref().context("a preparing run has a runner")?;
    let Some(machine) = context.runners.get(name) else {
        return unreachable(context, run, format!("runner {name} is not configured any more")).await;
    };
    if run.cancel_at.is_some() {
        return give_up(context, run, canceled()).await;
    }
    if run.fence == 0 {
        // Before anything is sent there, a runner that is away costs the run only its slot.
        match machine.reach().await {
            Ok(()) => answered(context, run).await?,
            Err(error) => return refused(context, run, error).await,
        }
    } else if let Some(next) = launched_before(context, run, &machine).await? {
        return Ok(next);
    }
    if let Some(next) = confirm_permission(context, run).await? {
        return Ok(next);
    }
    let plan = match plan::plan(context, run).await {
        Ok(plan) => plan,
        Err(PlanError::GitHub(error)) => {
            return match github_wait(&error, run, context.clock.now()) {
                Some(next) => Ok(next),
                None => {
                    let repository = repository_of(context, run).await?;
                    let why = (Reason::RepositoryUnusable, error);
                    give_up(context, run, super::refused_by_github(context, &repository, why).await).await
                }
            };
        }
        Err(PlanError::Unusable(reason, detail)) => return give_up(context, run, failed(reason, detail)).await,
        Err(PlanError::Other(error)) => return Err(error),
    };
    debug!("planned: {}", plan.start.commit);
    let mut tx = context.db.begin().await?;
    db::runs::set_ground(&mut tx, run.id, &plan.ground).await?;
    let Brief { feedback, resumed, note } = &plan.brief;
    db::runs::set_brief(&mut tx, run.id, feedback, resumed.as_ref(), note.as_deref()).await?;
    db::runs::set_fence(&mut tx, run.id, context.epoch).await?;
    tx.commit().await?;
    debug!("plan stored");
    snapshot::keep_prompt(context, run, &plan.start).await;
    launch(context, run, &machine, (plan.start, bell)).await
}

async fn launch(context: &Context, before: &Run, machine: &Machine, (start, bell): (Start, &Notify)) -> Result<Next> {
    // From here on the runner may have it, so another one may not.
    let run = &Run { fence: context.epoch, ..before.clone() };
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
                    // This repository is too much for the bot's machine, which says nothing about the runner.
                    Err(Trouble::Git(error @ GitError::Slow { .. })) => return Err(Trouble::Git(error).into()),
                    Err(Trouble::Git(error)) => {
                        return refused(context, run, RunnerError::Failed(error.to_string())).await;
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            // Nobody was let in, so nothing was launched unless an earlier attempt did.
            Err(error @ RunnerError::Host(HostError::HostKey(_) | HostError::Login(_))) => {
                return refused(context, before, error).await;
            }
            Err(error) => return refused(context, run, error).await,
        }
    }
    working(context, run, machine).await
}

/// The agent is launched: from here on the run is watched.
async fn working(context: &Context, run: &Run, machine: &Machine) -> Result<Next> {
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

/// The runner is there (again).
async fn answered(context: &Context, run: &Run) -> Result<()> {
    context.runners.answered(run.runner.as_deref().unwrap_or_default());
    if run.unreachable_since.is_some() {
        let mut tx = context.db.begin().await?;
        db::runs::set_unreachable(&mut tx, run.id, None).await?;
        tx.commit().await?;
    }
    Ok(())
}

/// An earlier attempt may have launched the agent though its answer was lost. Then nothing else is asked or decided: it is watched.
async fn launched_before(context: &Context, run: &Run, machine: &Machine) -> Result<Option<Next>> {
    let turn = u32::try_from(run.turn).unwrap_or(1);
    match machine.status(run.id, context.epoch.unsigned_abs(), turn, BEYOND).await {
        Ok(there) => match there.state {
            State::Unknown | State::NotStarted => Ok(None),
            State::Running { .. } | State::Ended(_) | State::Died { .. } => {
                working(context, run, machine).await.map(Some)
            }
        },
        Err(error) => refused(context, run, error).await.map(Some),
    }
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
        RunnerError::Host(HostError::Unreachable(why)) | RunnerError::Fenced(why) => {
            return unreachable(context, run, why.clone()).await;
        }
        RunnerError::Host(away @ HostError::Login(_)) if run.fence == 0 => {
            // A machine may be added before the bot's key is installed there.
            return wait_for_runner(context, run, (away.to_string(), true)).await;
        }
        RunnerError::Host(away @ (HostError::HostKey(_) | HostError::Login(_))) => {
            if let HostError::HostKey(_) = away {
                context.runners.quarantine(run.runner.as_deref().unwrap_or_default(), &away.to_string());
            }
            if run.fence > 0 {
                // The agent may be there: it is waited for, as it would be if it were known to work.
                return unreachable(context, run, away.to_string()).await;
            }
            Reason::HostKeyChanged
        }
        RunnerError::Canceled => return end(context, run, canceled()).await,
        RunnerError::Busy(why) => {
            let waited = context.clock.now() - run.prepared_at.unwrap_or(run.queued_at);
            if waited < run.lost_after() {
                return Ok(Next::later(why));
            }
            Reason::RunnerSetup
        }
        RunnerError::Taken(_) => Reason::WorkspaceTaken,
        RunnerError::Disk(_) => Reason::RunnerDisk,
        RunnerError::NeedCommit(_) => Reason::Internal,
        RunnerError::Host(_) | RunnerError::Missing { .. } => Reason::RunnerSetup,
        RunnerError::Failed(_) | RunnerError::Protocol(_) | RunnerError::Unknown(_)
            if run.failures < FAILURES_BORNE =>
        {
            return Ok(Next::failed(error));
        }
        RunnerError::Failed(_) | RunnerError::Protocol(_) | RunnerError::Unknown(_) => Reason::RunnerSetup,
    };
    give_up(context, run, failed(reason, error)).await
}

/// A runner that does not answer.
async fn unreachable(context: &Context, run: &Run, why: String) -> Result<Next> {
    wait_for_runner(context, run, (why, false)).await
}

/// A run that never was sent to a runner that does not let the bot in goes back to the queue, another waits for it.
async fn wait_for_runner(context: &Context, run: &Run, (why, refuses_login): (String, bool)) -> Result<Next> {
    let now = context.clock.now();
    let since = run.unreachable_since.unwrap_or(now);
    if now - since >= run.lost_after() {
        let lost = lost(run, &why);
        let ending = match run.fence {
            0 if refuses_login => failed(Reason::RunnerSetup, lost.detail),
            0 => Ending { outcome: Outcome::Failed, ..lost },
            _ => lost,
        };
        return end(context, run, ending).await;
    }
    let mut tx = context.db.begin().await?;
    db::runs::set_unreachable(&mut tx, run.id, Some(since)).await?;
    if run.fence == 0 && db::runs::advance(&mut tx, run.id, Status::Preparing, Status::Queued, now).await? {
        // The queue passes the runner over for a while, so that it does not attract every run.
        let name = run.runner.as_deref().unwrap_or_default();
        match refuses_login {
            true => context.runners.refused_login(name, now),
            false => context.runners.no_answer(name, now),
        }
        db::runs::release_runner(&mut tx, run.id).await?;
    }
    db::reports::touch_status(&mut tx, run.id, now).await?;
    tx.commit().await?;
    context.wake.reports.notify_one();
    if run.fence == 0 { Ok(Next::Leave) } else { Ok(Next::later(why)) }
}

/// Ends a run before its agent is known to work. Where a launch may be in flight the runner is told first, and until it has heard it the
/// run is not over: an agent that nobody watches could meet another one of the same run.
pub async fn give_up(context: &Context, run: &Run, ending: Ending) -> Result<Next> {
    if run.fence == 0 {
        return end(context, run, ending).await;
    }
    let told = match context.runners.get(run.runner.as_deref().unwrap_or_default()) {
        Some(machine) => machine.cancel(run.id, context.epoch.unsigned_abs()).await,
        None => Err(HostError::Unreachable("its runner is not configured any more".to_owned()).into()),
    };
    match told {
        Ok(there) => {
            let mut tx = context.db.begin().await?;
            db::runs::set_left(&mut tx, run.id, i64::from(there.left)).await?;
            tx.commit().await?;
            end(context, run, ending).await
        }
        Err(error) => unreachable(context, run, error.to_string()).await,
    }
}

async fn repository_of(context: &Context, run: &Run) -> Result<Repository> {
    let stored = db::repositories::get(&mut *context.db.read().await?, run.repository).await?;
    stored.context("a run's repository is stored")
}

/// The right to ask may have been taken away while the run was queued (T13).
async fn confirm_permission(context: &Context, run: &Run) -> Result<Option<Next>> {
    let now = context.clock.now();
    // Where the App is not installed, GitHub tells nobody's rights, and the operator has asked by hand.
    if now - run.allowed_at <= PERMISSION_TRUSTED || run.ask.unposted {
        return Ok(None);
    }
    let repository = repository_of(context, run).await?;
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
            Ok(Some(give_up(context, run, failed(Reason::PermissionLost, detail)).await?))
        }
        Err(error) => match github_wait(&error, run, now) {
            Some(next) => Ok(Some(next)),
            None => {
                let why = (Reason::PermissionLost, error);
                let ending = super::refused_by_github(context, &repository, why).await;
                Ok(Some(give_up(context, run, ending).await?))
            }
        },
    }
}
