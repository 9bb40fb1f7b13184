//! What the bot has of each run when its workspace is gone (B81): commits in the mirror, what was uncommitted among them, and the prompt;
//! the journal lies beside (`journal.rs`), the answer in the run's row.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use tokio::fs::{DirBuilder, File, OpenOptions};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tracing::{info, warn};

use super::plan;
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
    let folder = root(&context.config.home).join(run.id.to_string());
    // What lies beside the prompt is on GitHub or in the repository: which files it was is enough.
    let beside: Vec<&(String, Vec<u8>)> = start.files.iter().filter(|(name, _)| in_context(name)).collect();
    let list: String = beside.iter().map(|(name, content)| format!("{}\t{name}\n", content.len())).collect();
    let write = async {
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).await?;
        keep(&folder.join(prompt_name(run.turn)), prompt).await?;
        keep(&folder.join(files_name(run.turn)), list.as_bytes()).await
    };
    if let Err(error) = write.await {
        warn!("the prompt of run {} cannot be kept in {}: {error}", run.id, folder.display());
    }
}

fn in_context(name: &str) -> bool {
    name.strip_prefix(plan::CONTEXT).is_some_and(|rest| rest.starts_with('/'))
}

async fn keep(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options.create(true).truncate(true).write(true).mode(0o600).open(path).await?;
    file.write_all(content).await?;
    file.flush().await
}

fn prompt_name(turn: i64) -> String {
    if turn > 1 { format!("prompt.{turn}.md") } else { agent::PROMPT_FILE.to_owned() }
}

fn files_name(turn: i64) -> String {
    format!("files.{turn}")
}

/// What the agent was given in a turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// The turn.
    pub turn: i64,
    /// The prompt, or how it begins.
    pub prompt: String,
    /// Bytes of the prompt that are left out.
    pub cut: u64,
    /// The files that lay beside it, with their sizes.
    pub files: Vec<(String, u64)>,
}

/// What a run's agent was given, turn by turn, as far as it is kept; at most `most` bytes of each prompt.
///
/// # Errors
/// What is there cannot be read.
pub async fn given(home: &Path, run: &Run, most: u64) -> std::io::Result<Vec<Given>> {
    let folder = root(home).join(run.id.to_string());
    let mut all = Vec::new();
    for turn in 1..=run.turn {
        let file = match File::open(folder.join(prompt_name(turn))).await {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            file => file?,
        };
        let size = file.metadata().await?.len();
        let mut prompt = Vec::new();
        file.take(most).read_to_end(&mut prompt).await?;
        // Runs from before the list was kept have none.
        let list = tokio::fs::read_to_string(folder.join(files_name(turn))).await.unwrap_or_default();
        let entry = |line: &str| {
            let (size, name) = line.split_once('\t')?;
            Some((name.to_owned(), size.parse().ok()?))
        };
        all.push(Given {
            turn,
            cut: size.saturating_sub(prompt.len() as u64),
            prompt: String::from_utf8_lossy(&prompt).into_owned(),
            files: list.lines().filter_map(entry).collect(),
        });
    }
    Ok(all)
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
