//! What can come between a run and its next state, told apart as far as the steps act differently on it.

use crate::git::GitError;
use crate::github::ApiError;
use crate::runner::RunnerError;

/// Why a step did not get through.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The runner refused or did not answer.
    #[error("the runner {0}")]
    Runner(#[from] RunnerError),
    /// GitHub refused or did not answer.
    #[error(transparent)]
    GitHub(#[from] ApiError),
    /// The bot's git failed.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The bot itself broke.
    #[error("{0:#}")]
    Bot(anyhow::Error),
}

impl From<anyhow::Error> for Trouble {
    fn from(error: anyhow::Error) -> Self {
        Self::Bot(error)
    }
}

impl From<sqlx::Error> for Trouble {
    fn from(error: sqlx::Error) -> Self {
        Self::Bot(error.into())
    }
}
