//! What the bot has of each run when its workspace is gone (B81): commits in the mirror, what was uncommitted among them, and the prompt;
//! the journal lies beside (`journal.rs`), the answer in the run's row.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use tokio::fs::{DirBuilder, OpenOptions};
use tokio::io::AsyncWriteExt as _;
use tracing::{info, warn};

use super::prepare::BEYOND;
use super::publish;
use super::trouble::Trouble;
use crate::agent;
use crate::context::Context;
use crate::db;
use crate::db::runs::Run;
use crate::db::snapshots::Snapshot;
use crate::model::{Kept, Lane, ThreadId};
use crate::runner::{Identity, Machine, RunnerError, Start, State};

/// Runs of a thread among which the one is looked for whose workspace it is.
const RUNS_LOOKED_AT: i64 = 50;

/// What lay in a workspace and is in the mirror.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Whose it is, and where.
    pub snapshot: Snapshot,
    /// Paths that were uncommitted when it was looked at, and are in its last commit.
    pub leftovers: usize,
}

/// Where the files of runs lie that are no journals: a folder for each.
pub fn root(home: &Path) -> PathBuf {
    home.join("snapshots")
}

/// Keeps the prompt as the agent is given it. It helps people and is not needed, so that the run goes on without it.
pub async fn keep_prompt(context: &Context, run: &Run, start: &Start) {
    let Some((_, prompt)) = start.files.iter().find(|(name, _)| name == agent::PROMPT_FILE) else { return };
    let name = if run.turn > 1 { format!("prompt.{}.md", run.turn) } else { agent::PROMPT_FILE.to_owned() };
    let folder = root(&context.config.home).join(run.id.to_string());
    let write = async {
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).await?;
        let mut options = OpenOptions::new();
        let mut file = options.create(true).truncate(true).write(true).mode(0o600).open(folder.join(name)).await?;
        file.write_all(prompt).await?;
        file.flush().await
    };
    if let Err(error) = write.await {
        warn!("the prompt of run {} cannot be kept in {}: {error}", run.id, folder.display());
    }
}

/// Brings into the mirror what lies in a thread's workspaces on a machine and is not there yet; the runs must be over.
pub async fn take(context: &Context, machine: &Machine, thread: ThreadId) -> Result<Vec<Taken>, Trouble> {
    let runs = db::runs::of_thread(&mut *context.db.read().await?, thread, RUNS_LOOKED_AT).await?;
    let name = Some(machine.config().name.as_str());
    let mut taken = Vec::new();
    for lane in [Lane::Work, Lane::Review] {
        let had_it = |run: &&Run| run.lane == lane && run.fence > 0 && run.runner.as_deref() == name;
        taken.extend(take_newest(context, machine, runs.iter().filter(had_it)).await?);
    }
    Ok(taken)
}

/// A run that was canceled before its start is not known there: then the workspace is that of the one before it.
async fn take_newest<'a>(
    context: &Context,
    machine: &Machine,
    newest_first: impl Iterator<Item = &'a Run>,
) -> Result<Option<Taken>, Trouble> {
    for run in newest_first {
        // Asked first, because `finish` makes a folder for a run that is not known.
        let there = machine.status(run.id, context.epoch.unsigned_abs(), 1, BEYOND).await?;
        if there.state != State::Unknown {
            return take_of(context, machine, run).await;
        }
    }
    Ok(None)
}

async fn take_of(context: &Context, machine: &Machine, run: &Run) -> Result<Option<Taken>, Trouble> {
    let repository = db::repositories::get(&mut *context.db.read().await?, run.repository)
        .await?
        .context("a run's repository is stored")?;
    let fence = context.epoch.unsigned_abs();
    let bot = context.bot(&repository).await?;
    let identity = Identity { name: bot.git_name.clone(), email: bot.git_email.clone() };
    let message = format!("chore: what was left in the workspace of run {}", run.id);
    let finished = match machine.finish(run.id, fence, &message, &identity).await {
        // Whatever was there is gone already.
        Err(RunnerError::Unknown(why)) => {
            info!("nothing is kept of run {}: {why}", run.id);
            return Ok(None);
        }
        finished => finished?,
    };
    if run.given.as_ref() == Some(&finished.head) {
        return Ok(None);
    }
    let mirror = context.mirrors.open(run.repository).await?;
    let leftovers = finished.leftovers.len();
    for kept in Kept::ALL {
        if mirror.kept(*kept, run.id).await?.as_ref() == Some(&finished.head) {
            let snapshot = Snapshot { run: run.id, kept: *kept, sha: finished.head };
            return Ok(Some(Taken { snapshot, leftovers }));
        }
    }
    if let (Lane::Work, None, Some(given)) = (run.lane, &run.result, &run.given) {
        // It could not be had when the run ended.
        let sha = publish::collect(context, run, &repository, given).await?;
        return Ok(Some(Taken { snapshot: Snapshot { run: run.id, kept: Kept::Result, sha }, leftovers }));
    }
    let endpoint = machine.git_upload(run.id, fence).await?;
    let sha = mirror.keep(&super::endpoint(&endpoint), finished.head.as_str(), (Kept::Left, run.id)).await?;
    let snapshot = Snapshot { run: run.id, kept: Kept::Left, sha };
    let mut tx = context.db.begin().await?;
    db::snapshots::put(&mut tx, &snapshot, context.clock.now()).await?;
    tx.commit().await?;
    Ok(Some(Taken { snapshot, leftovers }))
}

/// What was taken, for the record.
pub fn told(taken: &[Taken]) -> String {
    let each = taken.iter().map(|Taken { snapshot, leftovers }| {
        let at = format!("{} at {}", snapshot.kept.reference(snapshot.run), snapshot.sha);
        match leftovers {
            0 => at,
            1 => format!("{at}, with 1 uncommitted file"),
            n => format!("{at}, with {n} uncommitted files"),
        }
    });
    let each: Vec<String> = each.collect();
    if each.is_empty() {
        "nothing was there that is not kept".to_owned()
    } else {
        format!("kept is {}", each.join("; "))
    }
}
