//! Gives slots to queued runs and keeps one task on every other live run.
//!
//! The tables are the truth: at a start every live run is found there and taken up where it was. The bell only shortens waiting.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use tracing::{Instrument as _, error, info_span};

use super::step;
use crate::context::Context;
use crate::db::decisions::Decision;
use crate::db::{self, Conn};
use crate::model::{Millis, RunId, Status};
use crate::queue::{schedule::Turn, turns};
use crate::report::worker::PROGRESS_EVERY;

/// Longest time between two looks at the tables.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Works until the bot stops.
pub async fn work(context: Arc<Context>) {
    while !context.stop.is_cancelled() {
        let pause = look(&context).await.unwrap_or_else(|error| {
            error!("runs could not be looked at: {error:#}");
            LOOK_EVERY
        });
        tokio::select! {
            () = context.stop.cancelled() => return,
            () = context.wake.runs.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// One look: slots to queued runs, a task for each live run that has none and whose time has come. Answers when to look again.
pub async fn look(context: &Arc<Context>) -> Result<Duration> {
    assign_slots(context).await?;
    let now = context.clock.now();
    let live = db::runs::live(&mut *context.db.read().await?).await?;
    for run in live.iter().filter(|run| run.status != Status::Queued && run.not_before <= now) {
        spawn(context, run.id);
    }
    // A queued run that was canceled has no slot to wait for.
    for run in live.iter().filter(|run| run.status == Status::Queued && run.cancel_at.is_some()) {
        spawn(context, run.id);
    }
    let next = live.iter().filter(|run| run.not_before > now).map(|run| run.not_before - now).min();
    Ok(next.map_or(LOOK_EVERY, |wait| Duration::from_millis(wait.unsigned_abs()).min(LOOK_EVERY)))
}

async fn assign_slots(context: &Arc<Context>) -> Result<()> {
    let turns = turns(context).await?;
    if !turns.iter().any(|(_, turn)| matches!(turn, Turn::Start(_))) {
        return Ok(());
    }
    let now = context.clock.now();
    let mut tx = context.db.begin().await?;
    for (run, turn) in &turns {
        match turn {
            Turn::Start(runner) => {
                if db::runs::assign(&mut tx, *run, runner, now).await? {
                    tell_assigned(&mut tx, *run, runner, now).await?;
                }
                db::reports::touch_status(&mut tx, *run, now).await?;
            }
            // The others moved up.
            Turn::Wait(_) => db::reports::touch_status(&mut tx, *run, now + PROGRESS_EVERY).await?,
        }
    }
    tx.commit().await?;
    context.wake.reports.notify_one();
    Ok(())
}

/// Says on the timeline which runner has a run: once for each, however often it goes back to the queue.
async fn tell_assigned(tx: &mut Conn, run: RunId, runner: &str, now: Millis) -> Result<()> {
    let run = db::runs::get(&mut *tx, run).await?;
    let thread = db::threads::get(&mut *tx, run.thread).await?;
    const REASON: &str = "assigned";
    if !db::decisions::is_told(&mut *tx, &thread, run.id, (REASON, runner)).await? {
        let detail = format!("run {} is on runner {runner}", run.id);
        db::decisions::insert(tx, &Decision::of_run(&thread, run.id, REASON, detail), now).await?;
    }
    Ok(())
}

fn spawn(context: &Arc<Context>, run: RunId) {
    let Some(bell) = context.active.claim(run) else { return };
    let context = context.clone();
    let span = info_span!("run", run = %run);
    tokio::spawn(
        async move {
            let _guard = Claimed { context: context.clone(), run };
            let driven = context.clone();
            let task = tokio::spawn(async move { Box::pin(step::drive(&driven, run, &bell)).await }.in_current_span());
            if let Err(panic) = task.await {
                step::broken(&context, run, &anyhow::anyhow!("it panicked: {panic}")).await;
            }
        }
        .instrument(span),
    );
}

/// Gives the run back whatever becomes of its task, so that the next look takes it up again.
struct Claimed {
    context: Arc<Context>,
    run: RunId,
}

impl Drop for Claimed {
    fn drop(&mut self) {
        self.context.active.release(self.run);
        self.context.wake.runs.notify_one();
    }
}
