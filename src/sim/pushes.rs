//! What follows from changed branches, whoever pushed: pull requests move, and the App is told.

use std::path::Path;

use serde_json::{Value, json};

use super::git::{self, Branches, Commit, Difference};
use super::world::{Actor, World, stamp};
use super::{Inner, json};

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
    let pulls = {
        let mut world = inner.world();
        if let Some(of) = world.repositories.get_mut(&repository) {
            of.branches = new;
        }
        for moved in &moves {
            push_event(&mut world, repository, actor, moved);
        }
        affected(&world, repository, &moves)
    };
    for (number, base, head) in pulls {
        let difference = git::difference(&folder, &base, &head).await?;
        set_pull_ref(&folder, number, &head).await?;
        synchronize(&mut inner.world(), (repository, number), actor, (head, difference));
    }
    let mut world = inner.world();
    for number in orphaned(&world, repository, &moves) {
        world.set_open(repository, actor, number, false)?;
    }
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

/// The open pull requests whose head moved: number, base, new head.
fn affected(world: &World, repository: i64, moves: &[Move]) -> Vec<(i64, String, String)> {
    let Some(of) = world.repositories.get(&repository) else { return Vec::new() };
    let open = of.issues.values().filter(|issue| issue.open);
    let moved = open.filter_map(|issue| {
        let pull = issue.pull.as_ref()?;
        let head = moves.iter().find(|moved| moved.branch == pull.head_ref)?.after.clone()?;
        let base = of.branches.get(&pull.base_ref).unwrap_or(&pull.base_sha).clone();
        Some((issue.number, base, head))
    });
    moved.collect()
}

/// The open pull requests whose head branch is gone; GitHub closes them.
fn orphaned(world: &World, repository: i64, moves: &[Move]) -> Vec<i64> {
    let Some(of) = world.repositories.get(&repository) else { return Vec::new() };
    let gone = |name: &str| moves.iter().any(|moved| moved.branch == name && moved.after.is_none());
    let open = of.issues.values().filter(|issue| issue.open);
    open.filter(|issue| issue.pull.as_ref().is_some_and(|pull| gone(&pull.head_ref)))
        .map(|issue| issue.number)
        .collect()
}

fn synchronize(
    world: &mut World,
    (repository, number): (i64, i64),
    actor: Actor,
    (head, difference): (String, Difference),
) {
    let now = world.now();
    let Some(issue) = world.issue_mut(repository, number) else { return };
    issue.updated_at = now;
    let Some(pull) = &mut issue.pull else { return };
    pull.difference = difference;
    let before = std::mem::replace(&mut pull.head_sha, head.clone());
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
