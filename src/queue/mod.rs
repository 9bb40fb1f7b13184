//! The queue as everybody sees it: who is next, on which runner, and why the others wait.
//!
//! The worker that gives slots out, the comment that tells a position and the answer to `/track status` read the same list.

pub mod schedule;

use anyhow::Result;

use crate::context::Context;
use crate::db;
use crate::db::runs::Run;
use crate::model::{Kind, RunId, Status};
use schedule::{Busy, Turn, Waiting, schedule};

/// Runs of a line among which the newest that reached a runner is looked for.
const RUNS_LOOKED_AT: i64 = 10;

/// Every queued run with its turn, in the order of asking.
pub async fn turns(context: &Context) -> Result<Vec<(RunId, Turn)>> {
    let live = db::runs::live(&mut *context.db.read().await?).await?;
    let mut waiting = Vec::new();
    for run in live.iter().filter(|run| run.status == Status::Queued && run.cancel_at.is_none()) {
        waiting.push(Waiting {
            id: run.id,
            repository: run.repository,
            runner: run.runner.clone().or_else(|| run.wanted_runner.clone()),
            is_there: run.runner.is_some(),
            prefers: earlier_runner(context, run).await?,
            not_before: run.not_before,
            per_repository: run.limits.runs_per_repository.min(run.limits.runs),
        });
    }
    let busy: Vec<Busy> = live
        .iter()
        .filter(|run| run.status != Status::Queued)
        .filter_map(|run| Some(Busy { repository: run.repository, runner: run.runner.clone()? }))
        .collect();
    Ok(schedule(&waiting, &busy, &context.runners.slots(), context.config.limits.runs, context.clock.now()))
}

/// Where the work is that a follow-up goes on with.
async fn earlier_runner(context: &Context, run: &Run) -> Result<Option<String>> {
    let (Kind::FollowUp, Some(line)) = (run.kind, run.line) else { return Ok(None) };
    let runs = db::runs::of_line(&mut *context.db.read().await?, line, RUNS_LOOKED_AT).await?;
    Ok(runs.into_iter().find(|earlier| earlier.fence > 0).and_then(|earlier| earlier.runner))
}

/// Place of a run in the queue, 1 for the next one, and why it waits.
pub async fn place(context: &Context, run: RunId) -> Result<(Option<usize>, Option<String>)> {
    let turns = turns(context).await?;
    let Some(at) = turns.iter().position(|(id, _)| *id == run) else { return Ok((None, None)) };
    let waits = match &turns[at].1 {
        Turn::Wait(why) => Some(why.clone()),
        Turn::Start(_) => None,
    };
    Ok((Some(at + 1), waits))
}
