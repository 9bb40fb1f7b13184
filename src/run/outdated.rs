//! Which snapshots of runs go, each night: those that are old, those of discarded runs, and the oldest where all of them take too much.
//!
//! A run's commits in the mirror, its prompt and its journal stay and go together; its row, and with it the answer, stays.

use std::collections::{HashMap, HashSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Result;
use tracing::{info, warn};

use super::snapshot;
use crate::context::Context;
use crate::db;
use crate::db::snapshots::{Held, Snapshot};
use crate::git::checks;
use crate::model::{Millis, RepositoryId, RunId};

/// How long after its end, or after something of it was kept last, a run's snapshot stays.
const KEPT: Millis = 30 * 24 * 3_600_000;
/// What all snapshots may take together, in bytes.
const MOST_BYTES: u64 = 8 * 1024 * 1024 * 1024;

/// One snapshot and what it takes.
struct Weighed {
    held: Held,
    bytes: u64,
}

/// Removes what is outdated.
pub async fn remove(context: &Context, now: Millis) -> Result<()> {
    let (held, commits) = {
        let mut conn = context.db.read().await?;
        let commits = db::snapshots::all(&mut conn).await?;
        (db::snapshots::held(&mut conn).await?, by_run(commits))
    };
    let files = files(&context.config.home).await?;
    let mut weighed = Vec::new();
    for held in held.into_iter().filter(|held| commits.contains_key(&held.run) || files.contains_key(&held.run)) {
        let mut bytes = 0;
        for path in files.get(&held.run).into_iter().flatten() {
            bytes += size(path).await;
        }
        for snapshot in commits.get(&held.run).into_iter().flatten() {
            bytes += weigh(context, &held, snapshot).await;
        }
        weighed.push(Weighed { held, bytes });
    }
    let mut lighter = HashSet::new();
    for gone in outdated(&weighed, now - KEPT, MOST_BYTES) {
        let paths = files.get(&gone.run).map_or(&[][..], Vec::as_slice);
        remove_one(context, gone, (paths, commits.contains_key(&gone.run))).await?;
        if commits.contains_key(&gone.run) {
            lighter.insert(gone.repository);
        }
    }
    for repository in lighter {
        collect_garbage(context, repository).await?;
    }
    Ok(())
}

/// Which go. What a next run begins from stays, however old and large it is.
fn outdated(weighed: &[Weighed], before: Millis, most: u64) -> Vec<&Held> {
    let mut oldest_first: Vec<&Weighed> = weighed.iter().collect();
    oldest_first.sort_by_key(|snapshot| (snapshot.held.since, snapshot.held.run));
    let is_over = |held: &Held| held.discarded || held.since < before;
    let mut total: u64 = weighed.iter().filter(|one| one.held.needed || !is_over(&one.held)).map(|one| one.bytes).sum();
    let mut gone = Vec::new();
    for Weighed { held, bytes } in oldest_first.into_iter().filter(|one| !one.held.needed) {
        if is_over(held) {
            gone.push(held);
        } else if total > most {
            total -= bytes;
            gone.push(held);
        }
    }
    gone
}

async fn remove_one(context: &Context, gone: &Held, (files, has_commits): (&[PathBuf], bool)) -> Result<()> {
    if has_commits && context.mirrors.has(gone.repository) {
        context.mirrors.open(gone.repository).await?.forget(gone.run).await?;
    }
    for path in files {
        let removed = match path.is_dir() {
            true => tokio::fs::remove_dir_all(path).await,
            false => tokio::fs::remove_file(path).await,
        };
        removed.or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) })?;
    }
    // Last, so that what a killed bot left half removed is looked at again.
    let mut tx = context.db.begin().await?;
    db::snapshots::forget(&mut tx, gone.run).await?;
    tx.commit().await?;
    Ok(())
}

async fn collect_garbage(context: &Context, repository: RepositoryId) -> Result<()> {
    if !context.mirrors.has(repository) {
        return Ok(());
    }
    let heads = db::lines::open_heads(&mut *context.db.read().await?, repository).await?;
    match context.mirrors.open(repository).await?.collect_garbage(&heads).await {
        Ok(()) => info!("the mirror {repository} is rid of commits that are kept no longer"),
        Err(error) => warn!("commits that are kept no longer stay in the mirror {repository}: {error}"),
    }
    Ok(())
}

fn by_run(commits: Vec<Snapshot>) -> HashMap<RunId, Vec<Snapshot>> {
    let mut runs: HashMap<RunId, Vec<Snapshot>> = HashMap::new();
    for snapshot in commits {
        runs.entry(snapshot.run).or_default().push(snapshot);
    }
    runs
}

/// Files and folders that are named for runs.
async fn files(home: &Path) -> Result<HashMap<RunId, Vec<PathBuf>>> {
    let mut runs: HashMap<RunId, Vec<PathBuf>> = HashMap::new();
    for folder in [home.join("journals"), snapshot::root(home)] {
        let mut entries = match tokio::fs::read_dir(folder).await {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            entries => entries?,
        };
        while let Some(entry) = entries.next_entry().await? {
            let name = entry.file_name();
            if let Some(run) = name.to_str().and_then(|name| name.split('.').next()?.parse().ok()) {
                runs.entry(run).or_default().push(entry.path());
            }
        }
    }
    Ok(runs)
}

/// Bytes of a file, or of the files in a folder; what cannot be read counts nothing.
async fn size(path: &Path) -> u64 {
    let Ok(mut entries) = tokio::fs::read_dir(path).await else {
        return tokio::fs::metadata(path).await.map_or(0, |found| found.len());
    };
    let mut bytes = 0;
    while let Ok(Some(entry)) = entries.next_entry().await {
        bytes += entry.metadata().await.map_or(0, |found| found.len());
    }
    bytes
}

/// Bytes of the commits that a run added; what cannot be read counts nothing.
async fn weigh(context: &Context, held: &Held, snapshot: &Snapshot) -> u64 {
    let Some(given) = held.given.as_ref().filter(|_| context.mirrors.has(held.repository)) else { return 0 };
    let Ok(mirror) = context.mirrors.open(held.repository).await else { return 0 };
    checks::new_bytes(&mirror, given, &snapshot.sha).await.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(since: Millis, bytes: u64) -> Weighed {
        let (run, repository) = (RunId::new(), RepositoryId(1));
        Weighed { held: Held { run, repository, given: None, since, needed: false, discarded: false }, bytes }
    }

    fn needed(mut snapshot: Weighed) -> Weighed {
        snapshot.held.needed = true;
        snapshot
    }

    fn discarded(mut snapshot: Weighed) -> Weighed {
        snapshot.held.discarded = true;
        snapshot
    }

    #[test]
    fn the_old_the_discarded_and_too_many_go_and_the_needed_stay() {
        for (snapshots, most, gone) in [
            (vec![one(9, 1), one(10, 1), one(99, 1)], 100, vec![9]),
            (vec![needed(one(9, 1)), one(8, 1)], 100, vec![8]),
            (vec![discarded(one(50, 1)), one(51, 1)], 100, vec![50]),
            // The oldest first, whatever order they are in, until the rest is few enough.
            (vec![one(30, 40), one(20, 40), one(40, 40)], 100, vec![20]),
            (vec![one(30, 40), one(20, 40), one(40, 40)], 79, vec![20, 30]),
            (vec![one(30, 50), one(20, 50)], 100, vec![]),
            // What goes anyway makes room, and what is needed takes it.
            (vec![one(9, 90), one(20, 90)], 100, vec![9]),
            (vec![needed(one(9, 90)), one(20, 40), one(30, 40)], 100, vec![20, 30]),
            (vec![needed(one(20, 200))], 100, vec![]),
        ] {
            let times: Vec<Millis> = outdated(&snapshots, 10, most).iter().map(|held| held.since).collect();
            assert_eq!(times, gone);
        }
    }
}
