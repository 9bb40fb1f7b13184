//! A working agent: its journal is streamed to the bot's disk as it grows, limits and cancel reach it, and its end is noticed at once.
//!
//! Losing the connection ends nothing: the agent goes on under its supervisor, and the stream is taken up at the stored offset.

use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tracing::info;

use super::journal::Journal;
use super::plan::{self, PlanError};
use super::snapshot;
use super::step::{Next, STEP_RETRY, canceled, end, failed, lost};
use super::trouble::Trouble;
use crate::agent::{self, Agent, Answer, AnswerStatus};
use crate::context::Context;
use crate::db;
use crate::db::runs::{Again, Ending, Run};
use crate::model::{Kind, Outcome, Reason};
use crate::report::worker::PROGRESS_EVERY;
use crate::runner::{Attach, Blob, Exit, ExitReason, HostError, Machine, RunnerError, State, TurnState};

/// Looks in a row, since this start of the bot, before a run may be lost.
const LOOKS_BEFORE_LOST: usize = 2;
/// Progress is stored at most this often, and at the end.
const STORE_EVERY: Duration = Duration::from_secs(1);

/// Watches until the agent ended, the run is given up, or the bot stops.
pub async fn step(context: &Context, run: &Run, bell: &Notify) -> Result<Next> {
    // Taken out of the configuration while it works, it is read like any program.
    let agent = agent::resolve(&run.agent, &context.config.agents)
        .unwrap_or_else(|| Agent::Custom { name: run.agent.clone(), command: Vec::new() });
    let mut journal = Journal::open(context, run, &agent, run.resumed.as_ref()).await?;
    let mut tries = 0;
    loop {
        match look(context, run, &mut journal, bell).await {
            Ok(Seen::Stopping) => return Ok(Next::Leave),
            Ok(Seen::Ended(state)) => return over(context, run, &journal, state).await,
            Ok(Seen::Impossible(ending)) => return end(context, run, ending).await,
            Ok(Seen::StillRunning) => {}
            Err(Trouble::Bot(error)) => return Err(error),
            Err(error) => {
                lost_sight(context, run, &error).await?;
                // A machine that slept may believe that a day has passed since it last looked: it looks a few times first.
                if tries >= LOOKS_BEFORE_LOST
                    && let Some(ending) = given_up(context, run).await?
                {
                    return end(context, run, ending).await;
                }
            }
        }
        pause(context, bell, tries).await;
        tries += 1;
    }
}

enum Seen {
    Ended(Box<TurnState>),
    StillRunning,
    Stopping,
    /// The turn that is due cannot be.
    Impossible(Ending),
}

/// Attaches to the journal until it ends, then asks how it stands.
async fn look(context: &Context, run: &Run, journal: &mut Journal, bell: &Notify) -> Result<Seen, Trouble> {
    if context.stop.is_cancelled() {
        return Ok(Seen::Stopping);
    }
    let name = run.runner.as_deref().context("a running run has a runner")?;
    let machine = context.runners.get(name).ok_or_else(|| {
        RunnerError::Host(HostError::Unreachable(format!("runner {name} is not configured any more")))
    })?;
    cancel_if_asked(context, run, &machine).await?;
    let fence = context.epoch.unsigned_abs();
    let turn = u32::try_from(run.turn).unwrap_or(1);
    if run.again.is_some()
        && let Some(ending) = begin_turn(context, run, &machine).await?
    {
        return Ok(Seen::Impossible(ending));
    }
    match machine.attach(run.id, fence, turn, journal.offset()).await {
        Ok(stream) => {
            in_sight(context, run).await?;
            if let Followed::Stopping = follow(context, run, &machine, stream, journal, bell).await? {
                return Ok(Seen::Stopping);
            }
        }
        // Nothing of it is there any more, and its state says so.
        Err(RunnerError::Unknown(_)) => {}
        Err(error) => return Err(error.into()),
    }
    loop {
        let mut state = machine.status(run.id, fence, turn, journal.offset()).await?;
        journal.append(&state.journal).await?;
        if state.more {
            continue;
        }
        store(context, run, journal).await?;
        state.journal.clear();
        return Ok(match state.state {
            State::Running { .. } => Seen::StillRunning,
            State::Ended(_) => Seen::Ended(Box::new(state)),
            State::Died { .. } | State::NotStarted | State::Unknown => {
                // What a dead supervisor left behind may live on.
                cancel(context, run, &machine).await?;
                Seen::Ended(Box::new(state))
            }
        });
    }
}

/// Launches a further turn if it was not launched yet; a crash in between repeats this. Answers how the run ends if there can be none.
async fn begin_turn(context: &Context, run: &Run, machine: &Machine) -> Result<Option<Ending>, Trouble> {
    let turn = u32::try_from(run.turn).unwrap_or(1);
    let there = machine.status(run.id, context.epoch.unsigned_abs(), turn, super::prepare::BEYOND).await?;
    if there.canceled || !matches!(there.state, State::Unknown | State::NotStarted) {
        return Ok(None);
    }
    let plan = match plan::plan(context, run).await {
        Ok(plan) => plan,
        Err(PlanError::GitHub(error)) if error.retry_at(1, context.clock.now()).is_none() => {
            return Ok(Some(failed(Reason::RepositoryUnusable, error)));
        }
        Err(PlanError::GitHub(error)) => return Err(error.into()),
        Err(PlanError::Unusable(reason, detail)) => return Ok(Some(failed(reason, detail))),
        Err(PlanError::Other(error)) => return Err(Trouble::Bot(error)),
    };
    snapshot::keep_prompt(context, run, &plan.start).await;
    Box::pin(machine.start(&plan.start, &mut |_| ())).await?;
    info!("run {} is asked once more, in turn {turn}", run.id);
    Ok(None)
}

enum Followed {
    ToTheEnd,
    Stopping,
}

/// Keeps what the agent prints until its supervisor is gone. A cancel goes out beside the stream, which then ends by itself.
async fn follow(
    context: &Context,
    run: &Run,
    machine: &Machine,
    mut stream: Attach,
    journal: &mut Journal,
    bell: &Notify,
) -> Result<Followed, Trouble> {
    // When what was read last must be in the database, also if the agent says nothing more.
    let mut store_at = None;
    let mut ended = false;
    loop {
        tokio::select! {
            () = context.stop.cancelled() => {
                store(context, run, journal).await?;
                return Ok(Followed::Stopping);
            }
            () = bell.notified() => cancel_if_asked(context, run, machine).await?,
            () = sleep_until(store_at.unwrap_or_else(Instant::now)), if store_at.is_some() => {
                store(context, run, journal).await?;
                store_at = None;
                // Whoever has said its last word needs no ending, and may have earned its answer.
                if !ended && !journal.reader().is_over() && too_dear(run, journal).is_some() {
                    machine.cancel(run.id, context.epoch.unsigned_abs()).await?;
                    ended = true;
                }
            }
            chunk = stream.next() => match chunk {
                Some(Ok(bytes)) => {
                    journal.append(&bytes).await?;
                    store_at.get_or_insert_with(|| Instant::now() + STORE_EVERY);
                }
                Some(Err(error)) => {
                    store(context, run, journal).await?;
                    return Err(error.into());
                }
                None => return Ok(Followed::ToTheEnd),
            },
        }
    }
}

/// Ends the agent if somebody asked for it and it was not ended yet.
async fn cancel_if_asked(context: &Context, run: &Run, machine: &Machine) -> Result<(), Trouble> {
    let now = db::runs::get(&mut *context.db.read().await?, run.id).await?;
    if now.cancel_at.is_some() && now.left_processes.is_none() {
        cancel(context, run, machine).await?;
    }
    Ok(())
}

async fn cancel(context: &Context, run: &Run, machine: &Machine) -> Result<(), Trouble> {
    let canceled = machine.cancel(run.id, context.epoch.unsigned_abs()).await?;
    info!("run {} is ended, {} processes left", run.id, canceled.left);
    let mut tx = context.db.begin().await?;
    db::runs::set_left(&mut tx, run.id, i64::from(canceled.left)).await?;
    tx.commit().await?;
    Ok(())
}

async fn store(context: &Context, run: &Run, journal: &Journal) -> Result<()> {
    let mut learned = journal.learned();
    if let Some(before) = &run.usage_before {
        learned.usage = learned.usage.plus(before);
    }
    let mut tx = context.db.begin().await?;
    db::runs::set_progress(&mut tx, run.id, journal.offset(), &learned).await?;
    db::runs::set_unreachable(&mut tx, run.id, None).await?;
    db::reports::touch_status(&mut tx, run.id, context.clock.now() + PROGRESS_EVERY).await?;
    tx.commit().await?;
    Ok(())
}

/// The runner did not answer, which is noted and said once; or somebody else answers in its place, which is said in any case: a comment that
/// says it already stays as it is.
async fn lost_sight(context: &Context, run: &Run, why: &Trouble) -> Result<()> {
    let changed = match why {
        Trouble::Runner(RunnerError::Host(changed @ HostError::HostKey(_))) => Some(changed),
        _ => None,
    };
    if let Some(changed) = changed {
        context.runners.quarantine(run.runner.as_deref().unwrap_or_default(), &changed.to_string());
    }
    info!("run {} is out of sight: {why}", run.id);
    let since = db::runs::get(&mut *context.db.read().await?, run.id).await?.unreachable_since;
    if since.is_some() && changed.is_none() {
        return Ok(());
    }
    let now = context.clock.now();
    // A connection that was only cut is back before anybody reads of it.
    let told_at = if changed.is_some() { now } else { now + PROGRESS_EVERY / 3 };
    let mut tx = context.db.begin().await?;
    db::runs::set_unreachable(&mut tx, run.id, Some(since.unwrap_or(now))).await?;
    db::reports::touch_status(&mut tx, run.id, told_at).await?;
    tx.commit().await?;
    context.wake.reports.notify_one();
    Ok(())
}

/// The runner answers again, though the agent may print nothing for long: the comment says so, and [`given_up`] counts anew.
async fn in_sight(context: &Context, run: &Run) -> Result<()> {
    if db::runs::get(&mut *context.db.read().await?, run.id).await?.unreachable_since.is_none() {
        return Ok(());
    }
    let mut tx = context.db.begin().await?;
    db::runs::set_unreachable(&mut tx, run.id, None).await?;
    db::reports::touch_status(&mut tx, run.id, context.clock.now()).await?;
    tx.commit().await?;
    context.wake.reports.notify_one();
    Ok(())
}

async fn pause(context: &Context, bell: &Notify, tries: usize) {
    tokio::select! {
        () = context.stop.cancelled() => {}
        () = bell.notified() => {}
        () = tokio::time::sleep(STEP_RETRY[tries.min(STEP_RETRY.len() - 1)]) => {}
    }
}

/// A run whose runner did not answer for too long is lost.
async fn given_up(context: &Context, run: &Run) -> Result<Option<Ending>> {
    let run = db::runs::get(&mut *context.db.read().await?, run.id).await?;
    let since = run.unreachable_since.filter(|since| context.clock.now() - since >= run.lost_after());
    Ok(since.map(|_| lost(&run, "no answer")))
}

/// The agent ended: what it says and how it ended make the outcome, which is in the database before anything is published.
async fn over(context: &Context, run: &Run, journal: &Journal, state: Box<TurnState>) -> Result<Next> {
    let now = context.clock.now();
    // The runner's clock may differ from ours; the difference is measured by its "now" in the same answer.
    let ours = now - state.now;
    let mut again = None;
    let (ending, answer, times) = match &state.state {
        State::Ended(exit) => {
            let Read { ending, answer, again: once_more } = read_ending(run, (journal, &state), exit);
            again = once_more;
            (ending, answer, Some((exit.started_at + ours, exit.finished_at + ours)))
        }
        State::Died { .. } => {
            (failed(Reason::SupervisorDied, "the supervisor on the runner is gone and left no result"), None, None)
        }
        _ => (failed(Reason::RunForgotten, "its folder on the runner is gone"), None, None),
    };
    let mut tx = context.db.begin().await?;
    // Asked for while the runner was away or the agent was ending anyway: what it left is kept, and not published (B10).
    let asked = db::runs::get(&mut tx, run.id).await?.cancel_at.is_some();
    if let (Some(again), false) = (&again, asked) {
        // What is missing is asked for in the session that the agent has just named; one that is lost is begun anew.
        let session = match again {
            Again::Missing(_) => journal.reader().session(),
            Again::SessionLost => None,
        };
        db::runs::next_turn(&mut tx, run, again, session.as_ref()).await?;
        tx.commit().await?;
        return Ok(Next::Again);
    }
    let ending = if asked { canceled() } else { ending };
    if let State::Ended(exit) = &state.state
        && asked
    {
        db::runs::set_left(&mut tx, run.id, i64::from(exit.left)).await?;
    }
    if let Some(answer) = answer {
        db::runs::set_answer(&mut tx, run.id, &answer).await?;
    }
    let (started_at, ended_at) = times.unwrap_or((run.started_at.unwrap_or(now), now));
    db::runs::set_started(&mut tx, run.id, started_at.clamp(run.queued_at.min(now), now)).await?;
    let at = ended_at.clamp(started_at.min(now), now);
    if db::runs::end(&mut tx, run.id, run.status, &ending, at).await? {
        db::reports::touch_status(&mut tx, run.id, now + PROGRESS_EVERY).await?;
    }
    tx.commit().await?;
    info!("run {} ended: {} ({})", run.id, ending.outcome, ending.reason);
    Ok(Next::Again)
}

/// What the end of a turn means.
struct Read {
    ending: Ending,
    answer: Option<serde_json::Value>,
    /// The agent is to be asked once more before this ending counts.
    again: Option<Again>,
}

impl From<Ending> for Read {
    fn from(ending: Ending) -> Self {
        Self { ending, answer: None, again: None }
    }
}

fn read_ending(run: &Run, (journal, state): (&Journal, &TurnState), exit: &Exit) -> Read {
    match exit.reason {
        ExitReason::Canceled => {
            // Nobody but the bot itself ends an agent besides those who ask for it.
            let dear = too_dear(run, journal).map(|detail| failed(Reason::AgentLimit, detail));
            return dear.unwrap_or_else(canceled).into();
        }
        ExitReason::WallClock => return timed_out(Reason::WallClock, journal).into(),
        ExitReason::Silence => return timed_out(Reason::Silence, journal).into(),
        ExitReason::Exited => {}
    }
    let bytes = |blob: &'_ Option<Blob>| blob.as_ref().map(|blob| blob.bytes.clone());
    let (answer_file, last_line) = (bytes(&state.answer), bytes(&state.last));
    let stderr = bytes(&state.stderr).unwrap_or_default();
    let left = agent::Ending {
        exit: agent::Exit { code: Some(exit.code), signal: exit.signal },
        answer_file: answer_file.as_deref(),
        last_line: last_line.as_deref(),
        stderr_tail: &String::from_utf8_lossy(&stderr),
    };
    match agent::verdict(run.kind, journal.reader(), &left) {
        Ok(answer) => {
            let value = serde_json::to_value(&answer).ok();
            if let Some(missing) = missing_replies(run, &answer) {
                let again = run.again.is_none().then(|| Again::Missing(missing.clone()));
                return Read { ending: failed(Reason::BadAnswer, missing), answer: value, again };
            }
            let reason = if run.kind == Kind::Review { Reason::Reviewed } else { Reason::Changes };
            let ending = match answer.status() {
                AnswerStatus::Succeeded => Ending { outcome: Outcome::Succeeded, reason, detail: String::new() },
                AnswerStatus::Failed => failed(Reason::AgentFailed, ""),
                AnswerStatus::Blocked => {
                    Ending { outcome: Outcome::Blocked, reason: Reason::AgentBlocked, detail: String::new() }
                }
            };
            Read { ending, answer: value, again: None }
        }
        Err(failure) if failure.session_lost && run.again.is_none() => {
            Read { again: Some(Again::SessionLost), ..failed(failure.reason, failure.detail).into() }
        }
        // Whatever else it looks like: without room for its words and files an agent cannot but fail (F07).
        Err(failure) if exit.disk_full => failed(Reason::RunnerDisk, failure.detail).into(),
        Err(failure) if failure.reason == Reason::BadAnswer => {
            let cut = state.answer.as_ref().filter(|blob| blob.size > blob.bytes.len() as u64);
            let too_long =
                |blob: &Blob| format!("it is {} bytes long, at most {} are read", blob.size, agent::MAX_ANSWER);
            failed(failure.reason, cut.map_or(failure.detail, too_long)).into()
        }
        Err(failure) => failed(failure.reason, failure.detail).into(),
    }
}

/// Which of the comments that the prompt listed have no reply, as it is said to the agent; only work that succeeded owes any.
fn missing_replies(run: &Run, answer: &Answer) -> Option<String> {
    let Answer::Work(work) = answer else { return None };
    let comments = &run.feedback.as_ref()?.comments;
    let missing: Vec<String> = comments
        .iter()
        .filter(|comment| !work.replies.iter().any(|reply| reply.comment_id == comment.id))
        .map(|comment| comment.id.to_string())
        .collect();
    (work.status == AnswerStatus::Succeeded && !missing.is_empty())
        .then(|| format!("`replies` has no entry for review comment {}", missing.join(", ")))
}

/// What is said of a run that costs more than one may.
fn too_dear(run: &Run, journal: &Journal) -> Option<String> {
    let limit = run.limits.cost_usd_per_run;
    let cost = journal.reader().usage().cost_usd.filter(|cost| *cost > limit)?;
    Some(format!("it had cost ${cost:.2} when it was ended, and ${limit:.2} is the limit (`cost_usd_per_run`)"))
}

/// Where the agent was when its time was over is told by the last that it said.
fn timed_out(reason: Reason, journal: &Journal) -> Ending {
    let detail = journal.learned().progress.map_or_else(String::new, |said| format!("it said last: {said}"));
    Ending { outcome: Outcome::TimedOut, reason, detail }
}
