//! What may keep the bot from working, and how to put it right: looked at first, judged then, so that what is said can be tested without
//! the things that are looked at.
//!
//! The command line and the page say the same. A running bot keeps what it found last ([`Kept`]), so that a page costs no look.

mod facts;
mod gather;
mod judge;
mod kept;
mod runners;
#[cfg(test)]
mod tests;

pub use facts::{Around, Check, Facts, GitHubFacts, Look, Machinery, RunnerRow, ServerFacts};
pub use gather::{Parts, alerts, around, facts, refresh, server};
pub use judge::{Alert, Finding, Group, Mark, judge};
pub use kept::Kept;
pub use runners::{look, look_at_all, rows};
