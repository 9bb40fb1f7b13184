//! Why something could not be done on a runner, in the cases that callers tell apart.

use crate::model::Sha;

use super::host::HostError;

/// Why a verb was not carried out. The texts continue "runner build-1 …" or stand behind a colon.
#[derive(Debug, thiserror::Error)]
pub enum RunnerError {
    /// The machine could not be used at all.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The runner's bare repository lacks the commit: push it and repeat.
    #[error("lacks the commit {0}")]
    NeedCommit(Sha),
    /// A newer owner has the run; this one must let go of it.
    #[error("refuses: {0}")]
    Fenced(String),
    /// The run was canceled before.
    #[error("refuses: the run was canceled")]
    Canceled,
    /// Something that is not ours is where a workspace should go (B07).
    #[error("has something in the way: {0}; move it away, or set another root for this runner")]
    Taken(String),
    /// Another agent or start holds the lane; trying later can help.
    #[error("is busy: {0}")]
    Busy(String),
    /// The run, or its workspace, is not known there.
    #[error("does not know this run: {0}")]
    Unknown(String),
    /// The machine lacks something (B04).
    #[error("lacks something: {what}: {remedy}")]
    Missing {
        /// What is missing.
        what: String,
        /// How to put it right.
        remedy: String,
    },
    /// No space, or a write failed (F07).
    #[error("cannot write: {0}")]
    Disk(String),
    /// A step failed for a reason that the text gives.
    #[error("failed: {0}")]
    Failed(String),
    /// The machine answered nonsense, or the request was malformed.
    #[error("gave no usable answer: {0}")]
    Protocol(String),
}

impl RunnerError {
    /// Whether waiting can help.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Host(error) => error.is_transient(),
            Self::Busy(_) => true,
            _ => false,
        }
    }

    /// Reads `<code> <text>` of the script.
    pub(super) fn stated(error: &str) -> Self {
        let (code, text) = error.split_once(' ').unwrap_or((error, ""));
        let text = text.to_owned();
        match code {
            "need_commit" => match text.parse() {
                Ok(sha) => Self::NeedCommit(sha),
                Err(error) => Self::Protocol(error.to_string()),
            },
            "fenced" => Self::Fenced(text),
            "canceled" => Self::Canceled,
            "taken" => Self::Taken(text),
            "busy" => Self::Busy(text),
            "unknown" => Self::Unknown(text),
            "missing" => {
                let (what, remedy) = text.split_once('|').unwrap_or((&text, ""));
                Self::Missing { what: what.to_owned(), remedy: remedy.to_owned() }
            }
            "disk" => Self::Disk(text),
            "protocol" => Self::Protocol(text),
            _ => Self::Failed(text),
        }
    }
}
