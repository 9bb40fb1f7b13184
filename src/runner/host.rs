//! The few things that reaching a machine means, the same for `local` and `ssh`.

use std::pin::Pin;

use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};

/// A machine on which verbs of the runner script are executed.
///
/// Implementations know nothing of runs: they start a program, hand over its streams, and tell git how to get there.
pub trait Host: Send + Sync {
    /// Starts `command` under `bash -c` on the machine. User text never is in it: everything that people wrote goes through standard input.
    ///
    /// Dropping the process closes its streams and does not end what it started.
    fn exec<'a>(&'a self, command: &'a str, lane: ChannelLane) -> BoxFuture<'a, Result<Process, HostError>>;

    /// How the bot's git reaches repositories of the machine; holds a channel until it is dropped.
    fn git(&self) -> BoxFuture<'_, Result<GitRoute, HostError>>;

    /// How many logins have been made since the start; 0 for local.
    fn logins(&self) -> u64;

    /// Ends the connections; what runs on the machine goes on.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// Which channels an exec may take: two of each connection are kept for cancel and status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelLane {
    /// Prepare, start, git: over in a moment.
    Ordinary,
    /// Attach, which stays as long as an agent works.
    Lasting,
    /// Cancel and status, which must not wait behind the ordinary ones.
    Urgent,
}

/// A started program and its streams.
pub struct Process {
    /// Writing here reaches its standard input; shutting it down ends it.
    pub stdin: Pin<Box<dyn AsyncWrite + Send>>,
    /// Its standard output.
    pub stdout: Pin<Box<dyn AsyncRead + Send>>,
    /// Its standard error.
    pub stderr: Pin<Box<dyn AsyncRead + Send>>,
    /// Its exit code, once both streams are read. A dead connection is an error, never a code.
    pub wait: BoxFuture<'static, Result<i32, HostError>>,
}

/// How `git fetch` and `git push` of the bot reach a machine.
pub struct GitRoute {
    /// Put before an absolute path to make a URL: empty for local, `ssh://user@host:port` for ssh.
    pub url_prefix: String,
    /// Environment of git (GIT_SSH_COMMAND over the multiplexed connection).
    pub env: Vec<(String, String)>,
    /// Held while git runs (a channel of the connection).
    pub guard: Box<dyn Send + Sync>,
}

/// Why a machine could not be used.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// Network, sshd or machine down, connection lost: try later.
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    /// The login was refused: key not installed, account missing.
    #[error("refuses the login: {0}")]
    Login(String),
    /// The host key is not the pinned one. Never retried by itself.
    #[error("shows a host key that is not the pinned one: {0}")]
    HostKey(String),
    /// The configuration cannot work.
    #[error("{0}")]
    Setup(String),
}

impl HostError {
    /// Whether waiting can help.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable(_))
    }
}
