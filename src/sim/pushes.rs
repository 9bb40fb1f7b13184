//! What follows from changed branches, whoever pushed: pull requests move, and the App is told.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::git::{self, Branches, Commit, Difference};
use super::world::{Actor, Pull, Repository, World, stamp};
use super::{Inner, json, reviews};

/// GitHub's id for "no commit" in push events.
const NOTHING: &str = "0000000000000000000000000000000000000000";

/// A push event lists no more commits than this.
const LISTED_COMMITS: usize = 20;

/// One branch that was made, moved or deleted.
struct Move {
    branch: String,
    before: Option<String>,
    after: Option<String>,
    forced: bool,
    commits: Vec<Commit>,
}

/// Compares the branches with what they were, moves pull requests and queues webhooks. The caller holds
/// [`Inner::pushes`], so that nobody else changes branches meanwhile.
pub(super) async fn noticed(inner: &Inner, repository: i64, actor: Actor) -> anyhow::Result<()> {
    let (folder, old) = {
        let world = inner.world();
        let Some(of) = world.repositories.get(&repository) else { return Ok(()) };
        (of.folder.clone(), of.branches.clone())
    };
    let new = git::branches(&folder).await?;
    let moves = moves(&folder, &old, &new).await?;
    let affected = {
        let mut world = inner.world();
        if let Some(of) = world.repositories.get_mut(&repository) {
            of.branches = new;
        }
        for moved in &moves {
            push_event(&mut world, repository, actor, moved);
        }
        affected(&world, repository, &moves)
    };
    for Affected { repository: into, number, folder: base_folder, pull, base, head } in affected {
        if into != repository {
            bring(&folder, &base_folder, &head).await?;
        }
        let difference = git::difference(&base_folder, &base, &head).await?;
        set_pull_ref(&base_folder, number, &head).await?;
        let lines = reviews::carried(&base_folder, &pull, &head).await;
        synchronize(&mut inner.world(), (into, number), actor, (head, difference, lines));
    }
    let mut world = inner.world();
    for (into, number) in orphaned(&world, repository, &moves) {
        world.set_open(into, actor, number, false)?;
    }
    Ok(())
}

/// Brings a commit of a fork to the repository that it was forked from.
pub(super) async fn bring(fork: &Path, folder: &Path, commit: &str) -> anyhow::Result<()> {
    git::run(folder, &["fetch", "--quiet", "--no-tags", &fork.to_string_lossy(), commit], b"").await?;
    Ok(())
}

/// Keeps `refs/pull/<number>/head`, from which GitHub lets a pull request's commits be fetched.
pub(super) async fn set_pull_ref(folder: &Path, number: i64, head: &str) -> anyhow::Result<()> {
    git::run(folder, &["update-ref", &format!("refs/pull/{number}/head"), head], b"").await?;
    Ok(())
}

async fn moves(folder: &Path, old: &Branches, new: &Branches) -> anyhow::Result<Vec<Move>> {
    let mut moves = Vec::new();
    for branch in old.keys().filter(|branch| !new.contains_key(*branch)) {
        let before = old.get(branch).cloned();
        moves.push(Move { branch: branch.clone(), before, after: None, forced: false, commits: Vec::new() });
    }
    for (branch, after) in new {
        let before = old.get(branch).cloned();
        if before.as_ref() == Some(after) {
            continue;
        }
        let (forced, range, limit) = match &before {
            Some(before) => {
                let kept = git::run(folder, &["merge-base", "--is-ancestor", before, after], b"").await.is_ok();
                (!kept, format!("{before}..{after}"), LISTED_COMMITS)
            }
            None => (false, after.clone(), 1),
        };
        let commits = git::log(folder, &range, limit).await?;
        moves.push(Move { branch: branch.clone(), before, after: Some(after.clone()), forced, commits });
    }
    Ok(moves)
}

/// An open pull request whose head moved.
struct Affected {
    repository: i64,
    number: i64,
    folder: PathBuf,
    pull: Pull,
    base: String,
    head: String,
}

/// The open pull requests from a repository's branches, into whichever repository.
fn open_from(world: &World, repository: i64) -> impl Iterator<Item = (&Repository, i64, &Pull)> {
    let all = world.repositories.values().flat_map(|of| of.issues.values().map(move |issue| (of, issue)));
    let open = all.filter(|(_, issue)| issue.open);
    let pulls = open.filter_map(|(of, issue)| Some((of, issue.number, issue.pull.as_ref()?)));
    pulls.filter(move |(_, _, pull)| pull.head_repository == Some(repository))
}

fn affected(world: &World, repository: i64, moves: &[Move]) -> Vec<Affected> {
    let moved = open_from(world, repository).filter_map(|(of, number, pull)| {
        let head = moves.iter().find(|moved| moved.branch == pull.head_ref)?.after.clone()?;
        let base = of.branches.get(&pull.base_ref).unwrap_or(&pull.base_sha).clone();
        Some(Affected { repository: of.id, number, folder: of.folder.clone(), pull: pull.clone(), base, head })
    });
    moved.collect()
}

/// The open pull requests whose head branch is gone; GitHub closes them.
fn orphaned(world: &World, repository: i64, moves: &[Move]) -> Vec<(i64, i64)> {
    let gone = |name: &str| moves.iter().any(|moved| moved.branch == name && moved.after.is_none());
    open_from(world, repository)
        .filter(|(_, _, pull)| gone(&pull.head_ref))
        .map(|(of, number, _)| (of.id, number))
        .collect()
}

fn synchronize(
    world: &mut World,
    (repository, number): (i64, i64),
    actor: Actor,
    (head, difference, lines): (String, Difference, Vec<(i64, Option<u32>)>),
) {
    let now = world.now();
    let Some(issue) = world.issue_mut(repository, number) else { return };
    issue.updated_at = now;
    let Some(pull) = &mut issue.pull else { return };
    pull.difference = difference;
    for comment in &mut pull.comments {
        if let Some((_, line)) = lines.iter().find(|(id, _)| *id == comment.id) {
            comment.line = *line;
            // An outdated comment stays with the commit that last had its line.
            if line.is_some() {
                comment.commit.clone_from(&head);
            }
        }
    }
    let before = std::mem::replace(&mut pull.head_sha, head.clone());
    pull.earlier_heads.push(before.clone());
    let more = json!({ "before": before, "after": head });
    // The issue was there a moment ago, under the same lock.
    let _ = world.issue_event(repository, number, actor, ("synchronize", more));
}

fn push_event(world: &mut World, repository: i64, actor: Actor, moved: &Move) {
    let Some(of) = world.repositories.get(&repository) else { return };
    let url = json::repository_url(world, of);
    let html = format!("{}/{}", world.server, of.full_name);
    let (before, after) = (moved.before.as_deref().unwrap_or(NOTHING), moved.after.as_deref().unwrap_or(NOTHING));
    let commit = |commit: &Commit| {
        let person = |of: &git::Signature| json!({ "name": of.name, "email": of.email, "date": of.date });
        json!({
            "id": commit.sha,
            "tree_id": commit.tree,
            "distinct": true,
            "message": commit.message,
            "timestamp": commit.committer.date,
            "url": format!("{html}/commit/{}", commit.sha),
            "author": person(&commit.author),
            "committer": person(&commit.committer),
            "added": [],
            "removed": [],
            "modified": [],
        })
    };
    let payload = json!({
        "ref": format!("refs/heads/{}", moved.branch),
        "before": before,
        "after": after,
        "base_ref": null,
        "created": moved.before.is_none(),
        "deleted": moved.after.is_none(),
        "forced": moved.forced,
        "compare": format!("{url}/compare/{before}...{after}"),
        "commits": moved.commits.iter().map(commit).collect::<Vec<Value>>(),
        "head_commit": moved.commits.last().map(commit),
        "pusher": { "name": world.login(actor.account), "email": null, "date": stamp(world.now()) },
    });
    world.emit(repository, "push", actor, payload);
}
