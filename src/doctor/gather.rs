//! Looks at this machine, at GitHub, and at what the running bot knows.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::process::Command;
use tokio::time::timeout;

use super::facts::{Around, Facts, GitHubFacts, Machinery, ServerFacts};
use super::judge::{Alert, alerts_of};
use super::kept::Kept;
use super::runners;
use crate::config::Config;
use crate::config::reach::reaches;
use crate::db::{self, Db};
use crate::github::{GitHub, app};
use crate::model::{Clock, Millis};
use crate::runner::pool::Pool;

/// How long a program may take to say its version.
const VERSION_WITHIN: Duration = Duration::from_secs(10);
/// Deliveries that are counted by the way in which they came.
const NEWEST: i64 = 1_000;
/// The same where each view of a page asks.
const NEWEST_FOR_ALERTS: i64 = 50;
const DAY: Millis = 24 * 3_600_000;

/// The parts of a bot that are looked at.
#[derive(Clone, Copy)]
pub struct Parts<'a> {
    /// The operator's decisions.
    pub config: &'a Config,
    /// The tables.
    pub db: &'a Db,
    /// The machines.
    pub runners: &'a Pool,
    /// The time.
    pub clock: &'a Clock,
    /// When the bot started; 0 for a subcommand that answers itself.
    pub started_at: Millis,
    /// What was found before.
    pub kept: &'a Kept,
}

/// Looks at everything again, and keeps what was found; nothing if somebody does so already.
pub async fn refresh(parts: &Parts<'_>, github: Option<&GitHub>) {
    let Some(looking) = parts.kept.begin_around() else { return };
    let (around, ()) = tokio::join!(around(Some(parts.config), github, parts.clock), runners::look_at_all(parts));
    looking.done(around);
}

/// All that a running bot can say of itself without looking.
pub async fn facts(parts: &Parts<'_>, config: &Arc<Config>) -> Facts {
    Facts {
        config: Ok(config.clone()),
        now: parts.clock.now(),
        around: parts.kept.around(),
        server: Some(server(parts).await.map_err(|error| format!("{error:#}"))),
    }
}

/// What anybody on the bot's machine finds with its configuration.
pub async fn around(config: Option<&Config>, github: Option<&GitHub>, clock: &Clock) -> Around {
    let tools = async {
        let mut tools = BTreeMap::new();
        for (tool, flag) in [("git", "--version"), ("ssh", "-V"), ("bash", "--version"), ("bwrap", "--version")] {
            tools.insert(tool, version_of(tool, flag).await);
        }
        tools
    };
    let github = async {
        match github {
            Some(github) => Some(of_github(github).await.map_err(|error| error.to_string())),
            None => None,
        }
    };
    let (tools, github) = tokio::join!(tools, github);
    let home = config.map(|config| (config.home.clone(), room_in(&config.home).map_err(|error| format!("{error:#}"))));
    Around { at: clock.now(), tools, home, github }
}

/// What only the running bot knows, with what was found on its runners last.
pub async fn server(parts: &Parts<'_>) -> anyhow::Result<ServerFacts> {
    let now = parts.clock.now();
    let ((deliveries_waiting, oldest_delivery), (reports_owed, oldest_report), ways) = {
        let mut conn = parts.db.read().await?;
        (
            db::deliveries::backlog(&mut conn).await?,
            db::reports::backlog(&mut conn).await?,
            db::deliveries::ways(&mut conn, now - DAY, NEWEST).await?,
        )
    };
    let machinery = Machinery {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_at: parts.started_at,
        deliveries_waiting,
        oldest_delivery,
        reports_owed,
        oldest_report,
        ways,
        database_bytes: size_of(&parts.config.database_url),
    };
    Ok(ServerFacts { machinery, runners: runners::rows(parts).await? })
}

/// What needs an operator now, from what is known without looking: cheap enough for every page.
pub async fn alerts(parts: &Parts<'_>) -> anyhow::Result<Vec<Alert>> {
    let ways = {
        let mut conn = parts.db.read().await?;
        db::deliveries::ways(&mut conn, parts.clock.now() - DAY, NEWEST_FOR_ALERTS).await?
    };
    let ways = if expects_webhooks(parts.config) { ways } else { db::deliveries::Ways::default() };
    Ok(alerts_of(&parts.runners.slots(), |name| parts.runners.out_of_service(name), &ways))
}

/// Whether GitHub should come by itself: a bot without a public address asks instead, and its operator knows it.
pub(super) fn expects_webhooks(config: &Config) -> bool {
    match (&config.github, &config.public_url) {
        (Some(github), Some(url)) => reaches(&github.server_url, url),
        _ => true,
    }
}

async fn of_github(github: &GitHub) -> Result<GitHubFacts, crate::github::ApiError> {
    let grants = app::grants(github).await?;
    let hook = app::hook(github).await.map_err(|error| error.to_string());
    let attempts = app::deliveries(github, None).await.map(|page| page.deliveries).map_err(|error| error.to_string());
    Ok(GitHubFacts { grants, hook, attempts, skew: github.skew() })
}

/// The first line that a program prints of its version; ssh prints it on standard error.
async fn version_of(tool: &str, flag: &str) -> Option<String> {
    let output = Command::new(tool).arg(flag).stdin(Stdio::null()).kill_on_drop(true).output();
    let output = timeout(VERSION_WITHIN, output).await.ok()?.ok()?;
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text).lines().next().map(str::to_owned)
}

/// Whether the folder can be made and written, and the bytes free there. Nothing is left behind.
pub(super) fn room_in(home: &Path) -> anyhow::Result<u64> {
    let there = home.ancestors().find(|folder| folder.exists()).context("no part of the path exists")?;
    let probe = there.join(format!(".track-doctor-{}", std::process::id()));
    fs::write(&probe, b"").with_context(|| format!("{} cannot be written", there.display()))?;
    fs::remove_file(&probe).with_context(|| format!("{} cannot be removed", probe.display()))?;
    let disk = rustix::fs::statvfs(there).with_context(|| format!("no free space is told for {}", there.display()))?;
    Ok(disk.f_bavail * disk.f_frsize)
}

/// Bytes of the database and its log, where it is a file.
fn size_of(url: &str) -> Option<u64> {
    let path = url.strip_prefix("sqlite://")?.split('?').next()?;
    let size = |path: PathBuf| fs::metadata(path).map_or(0, |about| about.len());
    Some(size(path.into()) + size(format!("{path}-wal").into()))
}
