//! What must happen on a machine, through a [`Host`] of few methods with two implementations, ssh and local.
//!
//! [`Machine`] has the verbs, `runner.sh` carries them out there: it prepares workspaces, launches agents detached under a supervisor of
//! their own, and tells of them, so that a run outlives the bot and the network.

pub mod alias;
mod attach;
mod error;
pub mod host;
pub mod hostkeys;
pub mod keys;
mod layout;
pub mod local;
mod machine;
pub mod pool;
pub mod ssh;
mod turn;
mod wire;

#[cfg(test)]
mod tests;

pub use attach::Attach;
pub use error::RunnerError;
pub use host::{ChannelLane, GitRoute, Host, HostError, Process};
pub use local::Local;
pub use machine::{GitEndpoint, Machine};
pub use ssh::{Ssh, SshSettings};
pub use turn::{
    AgentProbe, AgentSeen, Canceled, Check, Exit, ExitReason, Finished, Identity, Login, Removed, Renewal, Seen, Start,
    Started, State, TurnState, Usage,
};
pub use wire::Blob;
