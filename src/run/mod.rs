//! The one state machine for every kind of ask: `queued → preparing → running → publishing → done`.
//!
//! [`start`] puts a run into the queue, [`worker`] gives slots out and drives each live run, one step per status. Steps may be
//! repeated after a crash at any byte, so each finds out what is there before it does anything.

pub mod attachments;
pub mod brief;
pub mod cleanup;
pub mod destination;
pub mod discard;
pub mod feed;
pub mod feedback;
pub mod finalize;
pub mod ground;
pub mod journal;
pub mod mains;
pub mod outdated;
pub mod phases;
pub mod plan;
pub mod prepare;
pub mod publish;
pub mod reconcile;
pub mod review;
pub mod snapshot;
pub mod start;
pub mod step;
pub mod tidy;
pub mod trouble;
pub mod watch;
pub mod worker;

use anyhow::Context as _;

use crate::context::Context;
use crate::db::runs::{Ending, Run};
use crate::db::{self, Conn};
use crate::git::{self, Fetch, GitError, Mirror, Remote};
use crate::github::ApiError;
use crate::model::{Reason, Repository};
use crate::runner::GitEndpoint;
use trouble::Trouble;

/// A runner's repository as the bot's git sees it.
fn endpoint(endpoint: &GitEndpoint) -> git::Endpoint {
    git::Endpoint {
        url: endpoint.url.clone(),
        env: endpoint.env.clone(),
        pack_program: Some(endpoint.pack_program.clone()),
    }
}

/// The repository of a run as the run reaches it: for one that is not posted, as everybody does, whatever became of the App since.
async fn repository_of(conn: &mut Conn, run: &Run) -> anyhow::Result<Repository> {
    let found = db::repositories::get(conn, run.repository).await?.context("a run's repository is stored")?;
    Ok(if run.ask.unposted { Repository { installation: None, ..found } } else { found })
}

/// Brings commits from GitHub into the mirror. A token that was revoked since it was made is replaced once, without a loop (T31).
async fn fetch(context: &Context, repository: &Repository, mirror: &Mirror, what: Fetch<'_>) -> Result<(), Trouble> {
    let url = context.remote(repository);
    for attempt in 0..2 {
        let token = context.github.git_token(repository, false).await?;
        let remote = Remote { url: &url, token: token.as_ref() };
        match mirror.fetch(remote, what).await {
            Err(GitError::Denied { .. }) if attempt == 0 => context.github.forget_git_token(repository, false).await,
            Err(error) => return Err(remote_trouble(error)),
            Ok(()) => return Ok(()),
        }
    }
    Ok(())
}

/// git's trouble with GitHub's repository is GitHub's: it is waited for like any other.
fn remote_trouble(error: GitError) -> Trouble {
    match error {
        GitError::Unreachable { .. } | GitError::TimedOut { .. } => {
            Trouble::GitHub(remote_unavailable(error.to_string()))
        }
        GitError::NoRepository { text, .. } => {
            Trouble::GitHub(ApiError::NotFound { call: "git".to_owned(), message: text })
        }
        other => Trouble::Git(other),
    }
}

/// The ending where a refusal of GitHub's cannot be waited out: the repository itself may be out of reach, and then nothing else is to blame.
async fn refused_by_github(context: &Context, repository: &Repository, (reason, error): (Reason, ApiError)) -> Ending {
    if is_out_of_reach(&error) && plan::about(context, repository).await.is_err_and(|error| is_out_of_reach(&error)) {
        let detail = format!("the repository is gone, or the App has no access to it any more: {error}");
        return step::failed(Reason::RepositoryUnusable, detail);
    }
    step::failed(reason, error)
}

fn is_out_of_reach(error: &ApiError) -> bool {
    matches!(error, ApiError::NotFound { .. } | ApiError::NoInstallation { .. })
}

fn remote_unavailable(message: String) -> ApiError {
    ApiError::Unavailable { call: "git".to_owned(), message, ambiguous: false, answered: false, not_before: None }
}
