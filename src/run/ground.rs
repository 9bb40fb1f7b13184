//! The commit from which an agent begins, brought into the bot's mirror.

use super::plan::{self, PlanError};
use super::trouble::Trouble;
use crate::context::Context;
use crate::db;
use crate::db::lines::Line;
use crate::db::runs::{Ground, LeftOut, Run};
use crate::git::checks::TreeNotes;
use crate::git::rebase::{Rebased, rebase};
use crate::git::{Fetch, GitError, Mirror, checks};
use crate::github::{ApiError, pulls, repos};
use crate::model::{Kind, Millis, Outcome, Pin, Reason, Repository, Sha};
use crate::trigger::policy;

/// How long what GitHub said of a pull request at the decision is not asked for again.
const MOMENT: Millis = 5_000;
/// Runs of a line among which unpublished work is looked for.
const RUNS_LOOKED_AT: i64 = 5;

/// Where an agent begins, and what is to be said about it.
pub struct Found {
    /// The commits.
    pub ground: Ground,
    /// What the tree has that is not fetched.
    pub notes: TreeNotes,
    /// What became of work that an earlier run had left unpublished.
    pub kept: Option<String>,
}

/// Finds it: a review's pinned head, or the line's branch on GitHub, or the base branch. What the runner may have begun from already stays:
/// a branch that moved since must not change what the work is measured by.
pub async fn find(
    context: &Context,
    repository: &Repository,
    run: &Run,
    line: Option<&Line>,
) -> Result<Found, PlanError> {
    if let (Some(base_branch), Some(given), true) = (&run.base_branch, &run.given, run.fence > 0) {
        let mirror = context.mirrors.open(repository.id).await?;
        let notes = checks::tree_notes(&mirror, given).await?.unwrap_or_default();
        let ground = Ground {
            base_branch: base_branch.clone(),
            given: given.clone(),
            lease: run.lease.clone(),
            left_out: LeftOut::default(),
        };
        return Ok(Found { ground, notes, kept: None });
    }
    match (&run.ask.pin, line) {
        (Some(pin), _) => pinned(context, repository, pin).await,
        (None, Some(line)) => {
            let default = plan::recent_about(context, repository).await?.default_branch;
            let base_branch = base_branch(context, repository, run, line).await?.unwrap_or_else(|| default.clone());
            let found = starting_point(context, repository, line, (base_branch, &default)).await?;
            match run.kind {
                Kind::FollowUp if found.ground.lease.is_none() && line.head.is_some() => {
                    from_own_copy(context, line, found).await
                }
                Kind::FollowUp => with_kept_work(context, run, line, found).await,
                Kind::Task | Kind::Review => Ok(found),
            }
        }
        (None, None) => Err(PlanError::Other(anyhow::anyhow!("work belongs to a line, and a review is pinned"))),
    }
}

/// Where the work is meant to go: where the pull request leads now, if there is one, else what the request or the line says.
async fn base_branch(
    context: &Context,
    repository: &Repository,
    run: &Run,
    line: &Line,
) -> Result<Option<String>, ApiError> {
    match line.pull {
        Some(pull) => {
            let known = context.pulls.since((repository.id, pull), context.clock.now() - MOMENT);
            let pull = match known {
                Some(pull) => pull,
                None => pulls::get(&context.github, repository, pull).await?,
            };
            Ok(Some(pull.base.r#ref))
        }
        None => Ok(run.ask.base.clone().or_else(|| line.base_branch.clone())),
    }
}

/// The commit from which the agent starts, in the mirror: the line's branch on GitHub if it is there, else the base branch.
async fn starting_point(
    context: &Context,
    repository: &Repository,
    line: &Line,
    (base_branch, default_branch): (String, &str),
) -> Result<Found, PlanError> {
    let (branch, base) = tokio::join!(
        async {
            match line.head {
                Some(_) => repos::branch_head(&context.github, repository, &line.branch).await,
                None => Ok(repos::BranchHead::Missing),
            }
        },
        repos::branch_head(&context.github, repository, &base_branch),
    );
    let lease = match branch? {
        repos::BranchHead::At(sha) => Some(sha),
        _ => None,
    };
    let head = match (lease.clone(), base?) {
        (Some(sha), _) | (_, repos::BranchHead::At(sha)) => sha,
        (_, missing) if missing == repos::BranchHead::EmptyRepository || base_branch == default_branch => {
            // A default branch is missing only before the first commit.
            let detail = "the repository is empty: push a first commit, then ask again";
            return Err(PlanError::Unusable(Reason::RepositoryUnusable, detail.into()));
        }
        _ => {
            let detail =
                format!("there is no branch `{base_branch}`: name another with `--base`, or in `{}`", policy::PATH);
            return Err(PlanError::Unusable(Reason::RepositoryUnusable, detail));
        }
    };
    let mirror = context.mirrors.open(repository.id).await?;
    let ground = Ground { base_branch, given: head.clone(), lease, left_out: LeftOut::default() };
    if let Some(notes) = checks::tree_notes(&mirror, &head).await? {
        return Ok(Found { ground, notes, kept: None });
    }
    fetch(context, repository, &mirror, Fetch::Heads).await?;
    match checks::tree_notes(&mirror, &head).await? {
        Some(notes) => Ok(Found { ground, notes, kept: None }),
        None => {
            let message = format!("GitHub says that the branch is at {head} and does not hand that commit out yet");
            Err(PlanError::GitHub(super::remote_unavailable(message)))
        }
    }
}

/// A branch that is gone from GitHub is followed up from the bot's copy (B20): work that was never merged is not dropped in silence.
async fn from_own_copy(context: &Context, line: &Line, found: Found) -> Result<Found, PlanError> {
    let Some(head) = line.head.clone() else { return Ok(found) };
    let mirror = context.mirrors.open(line.repository).await?;
    if !mirror.has(&head).await? {
        let detail = format!(
            "the branch `{}` is gone from GitHub, and the bot has no copy of {head}: restore the branch, or say `/track followup --fresh`",
            line.branch
        );
        return Err(PlanError::Unusable(Reason::RepositoryUnusable, detail));
    }
    let told =
        format!("The branch was gone from GitHub, so the work goes on from the bot's copy of it (`{}`).", head.short());
    Ok(Found { ground: Ground { given: head, ..found.ground }, kept: Some(told), ..found })
}

/// Whether a run began from commits that are on no branch of GitHub, so that there is something to publish even if it adds nothing.
pub async fn holds_unpublished(context: &Context, run: &Run) -> Result<bool, GitError> {
    match (&run.given, &run.lease, &run.base_branch) {
        _ if run.kind != Kind::FollowUp => Ok(false),
        (Some(given), Some(lease), _) => Ok(given != lease),
        (Some(given), None, Some(base)) => {
            let mirror = context.mirrors.open(run.repository).await?;
            match mirror.branch(base).await? {
                Some(tip) => Ok(!checks::is_ancestor(&mirror, given, &tip).await?),
                None => Ok(false),
            }
        }
        _ => Ok(false),
    }
}

/// The head that a review is pinned to, whatever became of the pull request since (B31), with the branch where it leads.
async fn pinned(context: &Context, repository: &Repository, pin: &Pin) -> Result<Found, PlanError> {
    let mirror = context.mirrors.open(repository.id).await?;
    if !mirror.has(&pin.head).await? {
        match super::fetch(context, repository, &mirror, Fetch::Commit(&pin.head)).await {
            // What that means is said below, with where the pull request is by now.
            Ok(()) | Err(Trouble::Git(GitError::NoCommit { .. })) => {}
            Err(trouble) => return Err(plan_error(trouble)),
        }
    }
    if mirror.branch(&pin.base).await?.is_none() {
        fetch(context, repository, &mirror, Fetch::Heads).await?;
    }
    let ground =
        Ground { base_branch: pin.base.clone(), given: pin.head.clone(), lease: None, left_out: LeftOut::default() };
    match checks::tree_notes(&mirror, &pin.head).await? {
        Some(notes) => Ok(Found { ground, notes, kept: None }),
        None => {
            let now = pulls::get(&context.github, repository, pin.pull).await?.head.sha;
            if now == pin.head {
                let message =
                    format!("GitHub says that the pull request is at {now} and does not hand that commit out yet");
                return Err(PlanError::GitHub(super::remote_unavailable(message)));
            }
            let detail =
                format!("the review is pinned to {}, which cannot be had; the pull request is at {now}", pin.head);
            Err(PlanError::Unusable(Reason::CommitGone, detail))
        }
    }
}

/// Where a pull request and its base parted: its diff on GitHub begins there.
pub async fn diff_base(context: &Context, repository: &Repository, pin: &Pin) -> Result<Option<Sha>, PlanError> {
    let mirror = context.mirrors.open(repository.id).await?;
    match mirror.branch(&pin.base).await? {
        Some(base) => Ok(checks::merge_base(&mirror, &base, &pin.head).await?),
        None => Ok(None),
    }
}

/// A follow-up goes on with what the line's last run committed and the bot kept without publishing it, on top of the branch as it is now.
async fn with_kept_work(context: &Context, run: &Run, line: &Line, found: Found) -> Result<Found, PlanError> {
    let earlier = db::runs::of_line(&mut *context.db.read().await?, line.id, RUNS_LOOKED_AT).await?;
    let Some(last) = earlier.iter().find(|earlier| earlier.id != run.id && earlier.fence > 0) else { return Ok(found) };
    let (Some(kept), Some(given)) = (&last.result, &last.given) else { return Ok(found) };
    let left_something = kept != given || holds_unpublished(context, last).await?;
    if last.outcome == Some(Outcome::Succeeded) || !left_something || last.pushed.as_ref() == Some(kept) {
        return Ok(found);
    }
    let mirror = context.mirrors.open(line.repository).await?;
    // What does not even continue what it was given is not gone on with.
    if !mirror.has(kept).await? || !checks::is_ancestor(&mirror, given, kept).await? {
        return Ok(found);
    }
    let short = kept.short();
    let head = found.ground.given.clone();
    if checks::is_ancestor(&mirror, &head, kept).await? {
        let ground = Ground { given: kept.clone(), ..found.ground };
        return Ok(Found {
            ground,
            kept: Some(format!("It goes on from `{short}`, which an earlier run left unpublished.")),
            ..found
        });
    }
    let from = last.lease.as_ref().unwrap_or(given);
    let (given, told) = match rebase(&mirror, (from, kept), &head).await? {
        Rebased::At(tip) => {
            (tip, format!("What an earlier run left unpublished (`{short}`) was put on top of the branch."))
        }
        Rebased::Conflict { paths } => (
            head,
            format!(
                "What an earlier run left unpublished (`{short}`) conflicts with the branch and was left out: {}.",
                paths.join(", ")
            ),
        ),
    };
    Ok(Found { ground: Ground { given, ..found.ground }, kept: Some(told), ..found })
}

async fn fetch(context: &Context, repository: &Repository, mirror: &Mirror, what: Fetch<'_>) -> Result<(), PlanError> {
    super::fetch(context, repository, mirror, what).await.map_err(plan_error)
}

fn plan_error(trouble: Trouble) -> PlanError {
    match trouble {
        Trouble::GitHub(error) => PlanError::GitHub(error),
        other => PlanError::Other(other.into()),
    }
}
