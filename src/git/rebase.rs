//! Puts an agent's commits on top of what somebody else pushed meanwhile, with git's plumbing alone: no checkout, no hooks, no filters.
//!
//! `git merge-tree --write-tree` (git 2.38) merges two commits into a tree. What it takes for their common ancestor is chosen by giving it
//! one commit whose parent is the ancestor that is meant, as a rebase means the parent of each commit.

use super::error::{GitError, classify};
use super::mirror::Mirror;
use crate::model::Sha;

/// Commits that are moved one by one at most; longer work is merged.
const MOST_COMMITS: usize = 100;
/// Conflicting paths that are named.
const PATHS_NAMED: usize = 20;
/// Characters of a commit's message that are kept: it travels as an argument.
const MESSAGE_CHARS: usize = 16_384;

/// What became of the commits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rebased {
    /// They stand on top of the other commit now; this is the newest.
    At(Sha),
    /// They cannot without somebody's decision.
    Conflict {
        /// The paths that both sides changed.
        paths: Vec<String>,
    },
}

/// Puts the commits of `from..to` on top of `onto`, oldest first. Where merges are among them, whose resolutions cannot be repeated, or very
/// many commits, one merge joins both sides. Nothing but objects is written.
pub async fn rebase(mirror: &Mirror, (from, to): (&Sha, &Sha), onto: &Sha) -> Result<Rebased, GitError> {
    let what = "moving the agent's commits";
    let range = format!("{from}..{to}");
    let output = mirror.git(what).args(["rev-list", "--reverse", "--parents", &range, "--"]).ok().await?;
    let text = String::from_utf8_lossy(&output).into_owned();
    // Each line has a commit and its parents.
    let has_merges = text.lines().any(|line| line.split(' ').count() > 2);
    let commits: Vec<Sha> =
        text.lines().filter_map(|line| line.split(' ').next().and_then(|sha| sha.parse().ok())).collect();
    if has_merges || commits.len() > MOST_COMMITS {
        return merge(mirror, onto, to).await;
    }
    let mut tip = onto.clone();
    for commit in &commits {
        let parent = one(mirror, &["rev-parse", "--verify", &format!("{commit}^1")]).await?;
        let ours = format!("{tip}^{{tree}}");
        let ours = one(mirror, &["commit-tree", &ours, "-p", parent.as_str(), "-m", "as if it were beside"]).await?;
        match tree_of_both(mirror, what, &ours, commit).await? {
            Ok(tree) => tip = repeated(mirror, commit, &tree, &tip).await?,
            Err(paths) => return Ok(Rebased::Conflict { paths }),
        }
    }
    Ok(Rebased::At(tip))
}

async fn merge(mirror: &Mirror, onto: &Sha, to: &Sha) -> Result<Rebased, GitError> {
    match tree_of_both(mirror, "merging the agent's commits", onto, to).await? {
        Ok(tree) => {
            let message = format!("Merge {} into {}", to.short(), onto.short());
            let commit = ["commit-tree", tree.as_str(), "-p", onto.as_str(), "-p", to.as_str(), "-m", &message];
            Ok(Rebased::At(one(mirror, &commit).await?))
        }
        Err(paths) => Ok(Rebased::Conflict { paths }),
    }
}

/// The tree of two commits merged, or the paths that both changed.
async fn tree_of_both(
    mirror: &Mirror,
    what: &'static str,
    ours: &Sha,
    theirs: &Sha,
) -> Result<Result<Sha, Vec<String>>, GitError> {
    let merge = ["merge-tree", "--write-tree", "--name-only", "--no-messages", ours.as_str(), theirs.as_str()];
    let merged = identified(mirror.git(what).args(merge)).run().await?;
    let text = String::from_utf8_lossy(&merged.stdout).into_owned();
    let mut lines = text.lines();
    let tree: Option<Sha> = lines.next().and_then(|line| line.parse().ok());
    match (merged.code, tree) {
        (Some(0), Some(tree)) => Ok(Ok(tree)),
        (Some(1), Some(_)) => {
            Ok(Err(lines.filter(|line| !line.is_empty()).take(PATHS_NAMED).map(str::to_owned).collect()))
        }
        _ => Err(classify(what, merged.stderr)),
    }
}

/// The paths in which merging `head` into `base` would conflict.
pub async fn conflicts(mirror: &Mirror, base: &Sha, head: &Sha) -> Result<Vec<String>, GitError> {
    Ok(tree_of_both(mirror, "trying the merge", base, head).await?.err().unwrap_or_default())
}

/// A commit with another tree and parent, by the same author with the same message; nothing where it would change nothing.
async fn repeated(mirror: &Mirror, commit: &Sha, tree: &Sha, parent: &Sha) -> Result<Sha, GitError> {
    if one(mirror, &["rev-parse", "--verify", &format!("{parent}^{{tree}}")]).await? == *tree {
        return Ok(parent.clone());
    }
    let what = "repeating a commit";
    let format =
        ["log", "-1", "--no-show-signature", "--no-mailmap", "--format=%an%x00%ae%x00%aI%x00%B", commit.as_str(), "--"];
    let output = mirror.git(what).args(format).ok().await?;
    let text = String::from_utf8_lossy(&output);
    let mut fields = text.splitn(4, '\0');
    let mut field = || fields.next().unwrap_or_default().to_owned();
    let (name, email, date, message) = (field(), field(), field(), field());
    let message: String = message.chars().take(MESSAGE_CHARS).collect();
    let git = identified(mirror.git(what).args([
        "commit-tree",
        tree.as_str(),
        "-p",
        parent.as_str(),
        "-m",
        message.trim_end(),
    ]))
    .env("GIT_AUTHOR_DATE", date);
    let git = if name.is_empty() { git } else { git.env("GIT_AUTHOR_NAME", name).env("GIT_AUTHOR_EMAIL", email) };
    let output = git.ok().await?;
    String::from_utf8_lossy(&output).trim().parse().map_err(|_| classify(what, "it gave no commit".to_owned()))
}

async fn one(mirror: &Mirror, args: &[&str]) -> Result<Sha, GitError> {
    let what = "moving the agent's commits";
    let output = identified(mirror.git(what).args(args.iter().copied())).ok().await?;
    String::from_utf8_lossy(&output).trim().parse().map_err(|_| classify(what, "it gave no commit".to_owned()))
}

/// Who moves the commits; git insists on an identity.
fn identified(git: super::command::Git<'_>) -> super::command::Git<'_> {
    git.env("GIT_AUTHOR_NAME", "track")
        .env("GIT_AUTHOR_EMAIL", "track@localhost")
        .env("GIT_COMMITTER_NAME", "track")
        .env("GIT_COMMITTER_EMAIL", "track@localhost")
}

#[cfg(test)]
mod tests {
    use super::super::testing::{World, git};
    use super::super::{Fetch, checks};
    use super::*;

    /// A base, an agent's two commits on it in the mirror, and somebody else's commit beside them.
    async fn beside(theirs: (&str, &str)) -> (World, Mirror, [Sha; 3]) {
        let world = World::new().await;
        world.commit("shared.txt", "one\ntwo\nthree\nfour\nfive\n");
        let base = world.commit("base.txt", "base");
        git(&world.work, &["checkout", "--quiet", "-b", "agent"]);
        world.commit("shared.txt", "ONE\ntwo\nthree\nfour\nfive\n");
        let agent = world.commit("agent.txt", "agent");
        git(&world.work, &["push", "--quiet", world.origin.to_str().unwrap(), "HEAD:refs/heads/agent"]);
        git(&world.work, &["checkout", "--quiet", &base.to_string()]);
        let other = world.commit(theirs.0, theirs.1);
        world.publish();
        let mirror = world.mirror().await;
        mirror.fetch(world.remote(), Fetch::Heads).await.unwrap();
        (world, mirror, [base, agent, other])
    }

    #[tokio::test]
    async fn commits_move_with_author_and_message() {
        let (_world, mirror, [base, agent, other]) = beside(("shared.txt", "one\ntwo\nthree\nfour\nFIVE\n")).await;
        let Rebased::At(tip) = rebase(&mirror, (&base, &agent), &other).await.unwrap() else { panic!("a conflict") };
        assert!(checks::is_ancestor(&mirror, &other, &tip).await.unwrap());
        assert!(!checks::is_ancestor(&mirror, &agent, &tip).await.unwrap());
        let moved = checks::commits(&mirror, &other, &tip, 10).await.unwrap();
        let told: Vec<_> = moved.iter().map(|commit| (commit.author.as_str(), commit.subject.as_str())).collect();
        assert_eq!(told, [("Agent", "change agent.txt"), ("Agent", "change shared.txt")]);
        let shown = mirror.git("showing").args(["show", &format!("{tip}:shared.txt")]).ok().await.unwrap();
        assert_eq!(String::from_utf8(shown).unwrap(), "ONE\ntwo\nthree\nfour\nFIVE\n");
    }

    #[tokio::test]
    async fn what_both_changed_is_named() {
        let (_world, mirror, [base, agent, other]) = beside(("shared.txt", "uno\ntwo\nthree\nfour\nfive\n")).await;
        let rebased = rebase(&mirror, (&base, &agent), &other).await.unwrap();
        assert_eq!(rebased, Rebased::Conflict { paths: vec!["shared.txt".to_owned()] });
    }

    #[tokio::test]
    async fn what_is_there_already_is_left_out() {
        let (_world, mirror, [base, agent, other]) = beside(("agent.txt", "agent")).await;
        let Rebased::At(tip) = rebase(&mirror, (&base, &agent), &other).await.unwrap() else { panic!("a conflict") };
        assert_eq!(checks::count_commits(&mirror, &other, &tip).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn resolutions_of_merges_are_not_lost() {
        let (world, mirror, [base, _, other]) = beside(("theirs.txt", "theirs")).await;
        git(&world.work, &["checkout", "--quiet", "-b", "merging", &base.to_string()]);
        world.commit("shared.txt", "uno\ntwo\nthree\nfour\nfive\n");
        git(&world.work, &["merge", "--quiet", "--no-commit", "--strategy=ours", "agent"]);
        let merged = world.commit("shared.txt", "both\ntwo\nthree\nfour\nfive\n");
        git(&world.work, &["push", "--quiet", world.origin.to_str().unwrap(), "HEAD:refs/heads/merging"]);
        mirror.fetch(world.remote(), Fetch::Heads).await.unwrap();
        let Rebased::At(tip) = rebase(&mirror, (&base, &merged), &other).await.unwrap() else { panic!("a conflict") };
        for commit in [&merged, &other] {
            assert!(checks::is_ancestor(&mirror, commit, &tip).await.unwrap());
        }
        let shown = mirror.git("showing").args(["show", &format!("{tip}:shared.txt")]).ok().await.unwrap();
        assert_eq!(String::from_utf8(shown).unwrap(), "both\ntwo\nthree\nfour\nfive\n");
    }
}
