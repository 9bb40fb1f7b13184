//! The bot's own bare mirrors: what comes from GitHub, what goes to runners, what comes back from them, and what is pushed.
//!
//! Commits pass through here because runners hold no credential for GitHub. Everything that comes back is an agent's and therefore hostile:
//! it is received with fsck into a repository whose configuration, hooks and references are the bot's alone, and checked before it is pushed.

pub mod checks;
mod command;
mod credentials;
pub mod diff;
mod error;
mod forget;
pub mod hunks;
mod mirror;
pub mod paths;
mod push;
pub mod rebase;
#[cfg(test)]
mod testing;

pub use error::GitError;
pub use mirror::{Endpoint, Fetch, Mirror, Mirrors, Remote};
pub use push::{LineBranch, NotALineBranch, Push, PushOutcome, push};
