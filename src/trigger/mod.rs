//! From an event to what somebody wants, purely: commands and labels, the repository's policy, which repositories are served, and who
//! chooses the agent.

pub mod address;
pub mod allow;
pub mod choose;
pub mod command;
pub mod decide;
mod facts;
pub mod feedback;
pub mod help;
mod names;
pub mod offers;
pub mod policy;
