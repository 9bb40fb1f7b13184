//! A conversation with an agent, as a run keeps it for the next one.

use serde::{Deserialize, Serialize};

use super::usage::Usage;

/// A conversation that an agent keeps on the runner and can go on with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// The agent's id of it, always a UUID.
    pub id: String,
    /// What the agent reported last. Agents count over the whole session, so a run's own usage is the difference.
    pub reported: Usage,
}
