//! What the bot owes GitHub: comments and reactions as desired states, and the worker that brings GitHub there.

pub mod budget;
mod posts;
pub mod review;
pub mod text;
mod timeline;
pub mod wording;
pub mod worker;
