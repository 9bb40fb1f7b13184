//! What the operator decided, as checked values.
//!
//! Precedence: environment > `.env` > `track.toml` > `app.env` (what setting up stored) > database (what the page and `track runner add`
//! edit) > default.
//! Every mistake is one message that names the setting, what is wrong and how to set it; all mistakes are told at once.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

pub mod app_env;
mod env;
mod jump;
mod load;
mod mistake;
mod nearest;
pub mod reach;
mod runner;
mod toml_file;
mod toml_reader;

#[cfg(test)]
mod tests;

pub use jump::Jump;
pub use load::{MIN_WEBHOOK_SECRET_BYTES, check_pem, is_admin, is_login, load, log_settings, plain_url};
pub use mistake::{Mistake, Mistakes};
pub use nearest::nearest;
pub use runner::{check_root, is_host, is_host_key, is_name, is_user, merge_runners};

/// Everything that `track serve` runs by.
#[derive(Clone, Debug)]
pub struct Config {
    /// The GitHub App, where one is configured; `track serve` needs it, see [`Config::app`].
    pub github: Option<GitHubConfig>,
    /// `GITHUB_SERVER_URL`, where it is set, whether or not there is an App.
    pub server_url: Option<String>,
    /// Sign-in to the admin page through GitHub; without it the page is for the bot's own machine.
    pub sign_in: Option<SignInConfig>,
    /// State: database, keys, mirrors, journals.
    pub home: PathBuf,
    /// Files outside of it that hold secrets: the App's key and `.env`, where they are there.
    pub secret_files: Vec<PathBuf>,
    /// `sqlite://…`; PostgreSQL comes later.
    pub database_url: String,
    /// Where HTTP is served.
    pub listen: SocketAddr,
    /// How people reach the admin page, without a trailing slash; links in comments use it.
    pub public_url: Option<String>,
    /// Who may do everything on the admin page: logins, and teams as `org/team`.
    pub admins: Vec<String>,
    /// `owner/*` or `owner/name` patterns of the repositories served; `None`: those of the App's owner.
    pub allow: Option<Vec<String>>,
    /// Logins whose reviews start follow-ups.
    pub main_user: Vec<String>,
    /// Whether reviews of the main user start follow-ups by themselves.
    pub follow_up: FollowUp,
    /// The agent where nothing else chooses one.
    pub default_agent: String,
    /// The trigger label.
    pub label: String,
    /// Concurrency, time and money.
    pub limits: Limits,
    /// Runners of `track.toml`, read-only on the page; those of the database join at start.
    pub runners: Vec<RunnerConfig>,
    /// Custom agents by name.
    pub agents: BTreeMap<String, AgentConfig>,
    /// Named profiles.
    pub profiles: BTreeMap<String, ProfileConfig>,
    /// How the bot logs.
    pub log: LogConfig,
}

/// Agents that need no configuration.
pub const BUILT_IN_AGENTS: [&str; 2] = ["claude", "codex"];

impl Config {
    /// Defaults alone, with state below `home`: what `track demo` and tests begin with.
    pub fn defaults(home: PathBuf) -> Self {
        Self {
            github: None,
            server_url: None,
            sign_in: None,
            database_url: load::sqlite_url(&home),
            home,
            secret_files: Vec::new(),
            listen: SocketAddr::from(([127, 0, 0, 1], 3000)),
            public_url: None,
            admins: Vec::new(),
            allow: None,
            main_user: Vec::new(),
            follow_up: FollowUp::default(),
            default_agent: "codex".to_owned(),
            label: "track".to_owned(),
            limits: Limits::default(),
            runners: Vec::new(),
            agents: BTreeMap::new(),
            profiles: BTreeMap::new(),
            log: LogConfig::default(),
        }
    }

    /// The App, or one mistake that says how to get and set all that is missing.
    pub fn app(&self) -> Result<&GitHubConfig, Mistakes> {
        self.github.as_ref().ok_or_else(|| load::no_app().into())
    }

    /// Whether an agent of this name can be run.
    pub fn knows_agent(&self, name: &str) -> bool {
        self.agent_names().any(|known| known == name)
    }

    /// The names of all agents, built in and custom.
    pub fn agent_names(&self) -> impl Iterator<Item = &str> {
        BUILT_IN_AGENTS.into_iter().chain(self.agents.keys().map(String::as_str))
    }

    /// All that is wrong with a runner as one of this bot's.
    pub fn check_runner(&self, runner: &RunnerConfig) -> Result<(), Mistakes> {
        let mut found = runner.validate().err().map_or_else(Vec::new, |mistakes| mistakes.0);
        if let Some(agent) = runner.agent.as_deref().filter(|agent| !self.knows_agent(agent)) {
            found.push(load::unknown_agent(&format!("runner {:?}: agent", runner.name), agent, self.agent_names()));
        }
        if runner.transport == Transport::Local {
            let bound = runner.read_only.iter().chain(&runner.read_write);
            for path in bound.filter(|path| at_home(path).starts_with(&self.home)) {
                found.push(Mistake::new(
                    format!("runner {:?}: read_only or read_write", runner.name),
                    format!("has {path:?}, which lies in TRACK_HOME"),
                    "keep what agents need elsewhere: TRACK_HOME holds the bot's keys and database",
                ));
            }
        }
        Mistakes::none_or(found, ())
    }
}

/// A path of a local runner, as this account means it.
fn at_home(path: &str) -> PathBuf {
    match (path.strip_prefix("~/"), std::env::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(path),
    }
}

/// How the bot logs; `logging` carries it out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogConfig {
    /// `TRACK_LOG_FORMAT`; unset: pretty on a terminal, else JSON.
    pub format: Option<LogFormat>,
    /// `RUST_LOG`: directives of tracing's `EnvFilter`.
    pub filter: Option<String>,
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object per line, for machines.
    Json,
}

/// Sign-in to the admin page by the App's own client.
#[derive(Clone, Debug)]
pub struct SignInConfig {
    /// The App's client id.
    pub client_id: String,
    /// Its client secret.
    pub client_secret: SecretString,
}

/// How the bot is known to GitHub.
#[derive(Clone, Debug)]
pub struct GitHubConfig {
    /// The App's numeric id.
    pub app_id: u64,
    /// Its private key, PEM.
    pub private_key: SecretString,
    /// The secret under which webhooks are signed, at least 16 bytes.
    pub webhook_secret: SecretString,
    /// `https://api.github.com` unless GitHub Enterprise or the simulator is meant; no trailing slash.
    pub api_url: String,
    /// `https://github.com`; no trailing slash.
    pub server_url: String,
}

/// Whether the bot follows up by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FollowUp {
    /// A main user's review starts a follow-up.
    #[default]
    Auto,
    /// Only `/track followup` does.
    Off,
}

/// Limits, each with the default that the README states.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Limits {
    /// Runs at once, over all runners.
    pub runs: u32,
    /// Runs at once in one repository.
    pub runs_per_repository: u32,
    /// Wall clock for one agent; `wall_minutes` in `track.toml`.
    pub wall: Duration,
    /// The longest time without a line of output; `silence_minutes` in `track.toml`.
    pub silence: Duration,
    /// How long lone review comments wait for each other; `quiet_seconds` in `track.toml`.
    pub quiet: Duration,
    /// Automatic follow-ups per pull request and day.
    pub followups_per_day: u32,
    /// Runs that one person may ask for in an hour.
    pub runs_per_user_hour: u32,
    /// Hours without a sign of the runner after which a run is lost.
    pub lost_after_hours: u32,
    /// US dollars for one run.
    pub cost_usd_per_run: f64,
    /// US dollars for all runs of a day.
    pub cost_usd_per_day: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            runs: 16,
            runs_per_repository: 4,
            wall: minutes(120),
            silence: minutes(30),
            quiet: Duration::from_secs(45),
            followups_per_day: 5,
            runs_per_user_hour: 10,
            lost_after_hours: 24,
            cost_usd_per_run: 20.0,
            cost_usd_per_day: 100.0,
        }
    }
}

/// A time as people write it in configuration.
pub fn minutes(n: u32) -> Duration {
    Duration::from_secs(u64::from(n) * 60)
}

/// One machine that executes runs, as written in `track.toml` or kept in the database (as the same JSON).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunnerConfig {
    /// Its name: letters, digits, `.`, `_`, `-`.
    pub name: String,
    /// How it is reached.
    pub transport: Transport,
    /// Host name or address; ssh only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Account on the host; ssh only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// ssh port, 22 unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Private key; unset: the bot's own, made at first use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_path: Option<PathBuf>,
    /// A known_hosts file that pins the host key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_hosts_path: Option<PathBuf>,
    /// The pinned host key itself, `ssh-ed25519 AAAA…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_key: Option<String>,
    /// Machines on the way, in order, each as [`Jump`] reads it; ssh only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub proxy_jump: Vec<String>,
    /// The pinned host keys of those machines, in their order, unless `known_hosts_path` has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub jump_host_keys: Vec<String>,
    /// Folder on the runner; everything the bot makes lies below `root/<instance>/`. `~` is expanded there.
    #[serde(default = "default_root")]
    pub root: String,
    /// Runs at once on this runner.
    #[serde(default = "default_slots")]
    pub slots: u32,
    /// This runner's default agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// Shell text that runs before the bot's scripts and the agent; what it exports reaches the agent.
    #[serde(default)]
    pub prelude: String,
    /// How agents are contained; `none` must be written out.
    #[serde(default)]
    pub sandbox: Sandbox,
    /// What the agent can reach from inside the sandbox.
    #[serde(default)]
    pub network: Network,
    /// Paths bound read-only into the sandbox (tools).
    #[serde(default)]
    pub read_only: Vec<String>,
    /// Paths bound writable, never copied (logins that refresh themselves).
    #[serde(default)]
    pub read_write: Vec<String>,
}

impl RunnerConfig {
    /// A runner with defaults for all but name and transport; an ssh runner needs host and user besides.
    pub fn named(name: &str, transport: Transport) -> Self {
        Self {
            name: name.to_owned(),
            transport,
            host: None,
            user: None,
            port: None,
            key_path: None,
            known_hosts_path: None,
            host_key: None,
            proxy_jump: Vec::new(),
            jump_host_keys: Vec::new(),
            root: default_root(),
            slots: default_slots(),
            agent: None,
            prelude: String::new(),
            sandbox: Sandbox::default(),
            network: Network::default(),
            read_only: Vec::new(),
            read_write: Vec::new(),
        }
    }

    /// As it may be shown: a prelude may export secrets, so only whether there is one is told.
    pub fn shown(&self) -> Self {
        let prelude = if self.prelude.is_empty() { "" } else { "(set, not shown)" };
        Self { prelude: prelude.to_owned(), ..self.clone() }
    }
}

impl fmt::Debug for RunnerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = serde_json::to_string(&self.shown()).map_err(|_| fmt::Error)?;
        write!(f, "RunnerConfig {shown}")
    }
}

fn default_root() -> String {
    "~/track".to_owned()
}

fn default_slots() -> u32 {
    4
}

/// How a runner is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// Over SSH.
    Ssh,
    /// The machine on which the bot runs.
    Local,
}

/// How agents are contained on a runner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sandbox {
    /// Own namespaces and bound paths, by bubblewrap.
    #[default]
    Bubblewrap,
    /// Nothing: the agent may do what the runner's account may.
    None,
}

/// What the agent can reach from inside the sandbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// The runner's network.
    #[default]
    Open,
    /// The bot's relay only.
    Relay,
    /// Nothing.
    None,
}

/// Any program as an agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgentConfig {
    /// Program and arguments, executed as they are, without a shell.
    pub command: Vec<String>,
}

/// An agent with model and instructions under a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProfileConfig {
    /// The agent that it stands for.
    pub agent: String,
    /// The model to ask for.
    #[serde(default)]
    pub model: Option<String>,
    /// Instructions that join the prompt.
    #[serde(default)]
    pub instructions: Option<String>,
}
