//! What was found, before anything is said of it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::config::{Config, Mistakes, RunnerConfig};
use crate::db::deliveries::Ways;
use crate::github::app::{DeliverySummary, Grants, Hook};
use crate::model::Millis;
use crate::runner::AgentSeen;

/// One line of a check: what was looked at, and what to do if it is missing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What was looked at: `git`, `disk`, `claude`.
    pub what: String,
    /// Whether it is as it should be.
    pub ok: bool,
    /// What is there: a version, a size, an error.
    pub found: String,
    /// What to do about a miss; empty where nothing is missing. With one, what is as it should be could be better.
    #[serde(default)]
    pub remedy: String,
}

/// Everything that is judged.
#[derive(Clone)]
pub struct Facts {
    /// The configuration, or all that is wrong with it.
    pub config: Result<Arc<Config>, Mistakes>,
    /// The present time.
    pub now: Millis,
    /// What anybody on the bot's machine can find; `None`: not looked at yet.
    pub around: Option<Around>,
    /// What only the running bot knows; `None` where none runs.
    pub server: Option<Result<ServerFacts, String>>,
}

/// What anybody on the bot's machine can find out with its configuration.
#[derive(Clone, Debug)]
pub struct Around {
    /// When it was looked at.
    pub at: Millis,
    /// Program to the first line of its `--version`.
    pub tools: BTreeMap<&'static str, Option<String>>,
    /// The folder of the state, and the bytes free there or why it cannot be written.
    pub home: Option<(PathBuf, Result<u64, String>)>,
    /// `None` where no App is configured.
    pub github: Option<Result<GitHubFacts, String>>,
}

/// What GitHub says of the configured App.
#[derive(Clone, Debug)]
pub struct GitHubFacts {
    /// What it may do.
    pub grants: Grants,
    /// Where its webhooks go; `None`: nowhere.
    pub hook: Result<Option<Hook>, String>,
    /// GitHub's log of the newest webhooks, newest first.
    pub attempts: Result<Vec<DeliverySummary>, String>,
    /// GitHub's clock minus ours; 0 where they differ by less than can be told.
    pub skew: Millis,
}

/// What only the running bot knows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ServerFacts {
    /// How it is doing.
    pub machinery: Machinery,
    /// Its runners, each with what was found there last.
    pub runners: Vec<RunnerRow>,
}

/// How the running bot is doing.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Machinery {
    /// Its version.
    pub version: String,
    /// When it started; 0 for a subcommand that answers itself.
    pub started_at: Millis,
    /// Deliveries that are not handled.
    pub deliveries_waiting: i64,
    /// When the oldest of them came.
    pub oldest_delivery: Option<Millis>,
    /// Reports that GitHub does not show yet.
    pub reports_owed: i64,
    /// Since when the oldest of them is owed.
    pub oldest_report: Option<Millis>,
    /// How the deliveries of the last day came.
    pub ways: Ways,
    /// Size of the database with its log, where it is a file.
    pub database_bytes: Option<u64>,
}

/// One runner and how it is doing.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunnerRow {
    /// As configured, with no more of the prelude than whether there is one.
    pub config: RunnerConfig,
    /// Whether it stands in `track.toml`, where only an editor changes it.
    pub from_file: bool,
    /// Live runs on it.
    pub live: u32,
    /// `ready`, or what keeps it from working.
    pub state: String,
    /// `SHA256:…` of the key that the bot logs in with; over SSH only.
    pub key_fingerprint: Option<String>,
    /// `SHA256:…` of the machine's host key, where it is pinned by itself.
    pub host_key_fingerprint: Option<String>,
    /// Whether it is given no new runs.
    #[serde(default)]
    pub draining: bool,
    /// What was found there last, since the bot started.
    #[serde(default)]
    pub look: Option<Look>,
}

/// What was found on a runner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Look {
    /// When.
    pub at: Millis,
    /// Line by line; where it could not be reached, that is the only one.
    pub checks: Vec<Check>,
    /// How long a command takes that does nothing, in microseconds.
    pub round_trip: Option<u64>,
    /// Bytes free below its root.
    pub free: Option<u64>,
    /// Bytes that the bot takes there.
    pub used: Option<u64>,
    /// The agents that are there.
    pub agents: Vec<AgentSeen>,
}

impl Look {
    /// How many things are missing.
    pub fn missing(&self) -> usize {
        self.checks.iter().filter(|check| !check.ok).count()
    }
}
