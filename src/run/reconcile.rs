//! What ended runs left on runners that were away at the time: agents are ended and results kept once the runner is back (B10, B44).
//!
//! The outcome of such a run stays as it was told, and nothing of it is pushed; its comment says what was found.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tracing::{error, info};

use super::cleanup::clean_up;
use super::publish;
use super::trouble::Trouble;
use crate::context::Context;
use crate::db;
use crate::db::decisions::Decision;
use crate::db::runs::Run;
use crate::model::Sha;
use crate::runner::Machine;

/// Time between two looks at runners for which something is owed.
const EVERY: Duration = Duration::from_secs(30);
/// Runs of a thread among which a later user of the workspace is looked for.
const LATER_RUNS: i64 = 50;

/// Works until the bot stops.
pub async fn work(context: Arc<Context>) {
    while !context.stop.is_cancelled() {
        if let Err(error) = look(&context).await {
            error!("what ended runs left could not be looked after: {error:#}");
        }
        if let Err(error) = clean_up(&context).await {
            error!("files of threads that are over could not be removed: {error:#}");
        }
        tokio::select! {
            () = context.stop.cancelled() => return,
            () = context.wake.tidy.notified() => {}
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

/// One look at every runner for which something is owed.
pub async fn look(context: &Context) -> Result<()> {
    let owed = db::runs::unsettled(&mut *context.db.read().await?).await?;
    let mut away = HashSet::new();
    for run in owed {
        let name = run.runner.as_deref().unwrap_or_default();
        let Some(machine) = context.runners.get(name) else { continue };
        if away.contains(name) || context.runners.out_of_service(name).is_some() {
            continue;
        }
        if machine.reach().await.is_err() {
            away.insert(name.to_owned());
            continue;
        }
        match settle(context, &run, &machine).await {
            Ok(()) => info!("run {} is settled on {name}", run.id),
            Err(trouble) => info!("run {} cannot be settled on {name} yet: {trouble}", run.id),
        }
    }
    Ok(())
}

async fn settle(context: &Context, run: &Run, machine: &Machine) -> Result<(), Trouble> {
    let there = machine.cancel(run.id, context.epoch.unsigned_abs()).await?;
    match &run.given {
        Some(given) if !has_successor(context, run).await? => keep(context, run, given).await?,
        _ => {}
    }
    let now = context.clock.now();
    let mut tx = context.db.begin().await.map_err(Trouble::Bot)?;
    db::runs::set_left(&mut tx, run.id, i64::from(there.left)).await?;
    db::runs::set_unsettled(&mut tx, run.id, false).await?;
    db::reports::touch_status(&mut tx, run.id, now).await?;
    let thread = db::threads::get(&mut tx, run.thread).await?;
    let detail = format!("runner {} is back; what run {} left there was ended and kept", machine.config().name, run.id);
    db::decisions::insert(&mut tx, &Decision::of_run(&thread, run.id, "settled", detail), now).await?;
    tx.commit().await?;
    context.wake.reports.notify_one();
    Ok(())
}

/// Keeps what the run left. What the runner says of a workspace that it can reach stays true, so only other trouble is worth another look.
async fn keep(context: &Context, run: &Run, given: &Sha) -> Result<(), Trouble> {
    let repository = db::repositories::get(&mut *context.db.read().await?, run.repository)
        .await?
        .context("a run's repository is stored")?;
    match publish::collect(context, run, &repository, given).await {
        Ok(_) => Ok(()),
        Err(trouble) if publish::may_pass(&trouble) || matches!(trouble, Trouble::GitHub(_) | Trouble::Bot(_)) => {
            Err(trouble)
        }
        Err(trouble) => {
            info!("nothing of run {} can be kept: {trouble}", run.id);
            Ok(())
        }
    }
}

/// Whether a later run has had the workspace, so that what lies there is not this run's.
async fn has_successor(context: &Context, run: &Run) -> Result<bool> {
    let runs = db::runs::of_thread(&mut *context.db.read().await?, run.thread, LATER_RUNS).await?;
    Ok(runs
        .iter()
        .take_while(|later| later.id != run.id)
        .any(|later| later.lane == run.lane && later.runner == run.runner && later.fence > 0))
}
