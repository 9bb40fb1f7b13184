//! GitHub's REST API as far as track uses it: one client, one kind of error, one file per resource.
//!
//! octocrab carries the requests. Which credential goes with a call, when a limit forbids calling at all and what a failure means is decided here,
//! because those answers differ between a read and a write and because only the caller's durable queue may repeat anything.
//! Every call names whom it speaks as ([`As`]), and a repository's token is narrowed to that repository.

pub mod app;
pub mod checks;
mod client;
pub mod created;
mod error;
pub mod issues;
pub mod oauth;
mod path;
pub mod permission;
pub mod pulls;
pub mod repos;
pub mod reviews;
pub mod teams;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
pub mod threads;
mod token;
pub mod users;
mod withhold;

pub use client::{As, GitHub, LONGEST_CALL, Reply};
pub use error::ApiError;
pub use withhold::withhold;

use serde::{Deserialize, Deserializer, de::Error as _};

use crate::model::{Account, Millis};

/// A person, bot or organization in a reply.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct User {
    /// Id and login.
    #[serde(flatten)]
    pub account: Account,
    /// `User`, `Bot` or `Organization`; empty where GitHub leaves it out.
    #[serde(default, rename = "type")]
    pub kind: String,
}

/// The App through which something was written (`performed_via_github_app`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct ViaApp {
    /// The App's id.
    pub id: u64,
}

/// Reads an RFC 3339 time as milliseconds since the Unix epoch.
pub(crate) fn millis<'de, D: Deserializer<'de>>(from: D) -> Result<Millis, D::Error> {
    let text = String::deserialize(from)?;
    chrono::DateTime::parse_from_rfc3339(&text).map(|time| time.timestamp_millis()).map_err(D::Error::custom)
}

/// Reads a time that GitHub may leave null.
pub(crate) fn millis_or_null<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Millis>, D::Error> {
    let text = Option::<String>::deserialize(from)?;
    let read = |text: String| chrono::DateTime::parse_from_rfc3339(&text).map(|time| time.timestamp_millis());
    text.map(read).transpose().map_err(D::Error::custom)
}

/// Milliseconds since the Unix epoch as the RFC 3339 text that GitHub takes (whole seconds, UTC).
pub(crate) fn rfc3339(time: Millis) -> String {
    chrono::DateTime::from_timestamp_millis(time).unwrap_or_default().to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

/// Reads a text that GitHub may leave null as an empty one.
pub(crate) fn text_or_null<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Ok(Option::<String>::deserialize(from)?.unwrap_or_default())
}
