//! The bot as its operator runs it: the real program, a `track.toml`, an environment. It can be killed at any moment.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::process::{Command, ExitStatus, Output};

use secrecy::ExposeSecret as _;
use serde::Serialize;
use tokio::net::TcpStream;
use tokio::process::Child;
use track::config::RunnerConfig;
use track::db::Db;
use track::sim::APP_PRIVATE_KEY_PEM;

use super::World;

/// A process that serves.
pub struct Bot {
    child: Child,
    /// Read beside it, as SQLite allows.
    pub(super) db: Db,
}

impl World {
    /// `track` with this world's configuration.
    pub fn track(&self, words: &[&str]) -> Command {
        #[derive(Serialize)]
        struct Agent<'a> {
            command: &'a [String],
        }
        #[derive(Serialize)]
        struct Written<'a> {
            default_agent: &'a str,
            runners: &'a [RunnerConfig],
            agents: BTreeMap<&'a str, Agent<'a>>,
        }
        let agents = self.config.agents.iter().map(|(name, agent)| (name.as_str(), Agent { command: &agent.command }));
        let written = Written {
            default_agent: &self.config.default_agent,
            runners: &self.config.runners,
            agents: agents.collect(),
        };
        let path = self.folder.path().join("track.toml");
        fs::write(&path, toml::to_string(&written).expect("TOML")).expect("track.toml");
        let mut command = self.bare_track(words);
        let github = self.config.github.as_ref().expect("an App");
        command
            .env("TRACK_CONFIG", path)
            .env("TRACK_LISTEN", self.config.listen.to_string())
            .env("GITHUB_APP_ID", github.app_id.to_string())
            .env("GITHUB_APP_PRIVATE_KEY", APP_PRIVATE_KEY_PEM)
            .env("GITHUB_WEBHOOK_SECRET", github.webhook_secret.expose_secret())
            .env("GITHUB_API_URL", &github.api_url)
            .env("GITHUB_SERVER_URL", &github.server_url);
        command
    }

    /// `track` with the world's home and nothing else.
    pub fn bare_track(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_track"));
        command.args(words).current_dir(self.folder.path()).env_clear().env("TRACK_HOME", &self.config.home);
        for name in ["PATH", "HOME"] {
            command.env(name, std::env::var_os(name).expect("set everywhere"));
        }
        command
    }

    /// Runs `track` to its end, without blocking the simulator.
    pub async fn run_track(&self, words: &[&str]) -> Output {
        let command = tokio::process::Command::from(self.track(words)).output();
        command.await.expect("track runs")
    }

    /// Serves in a process of its own, on the address of the bot that ran before.
    pub async fn serve(&mut self) {
        if self.running.is_some() {
            self.stop().await;
        }
        self.process = None;
        let log = File::options().create(true).append(true).open(self.folder.path().join("serve.log")).expect("a log");
        let mut serve = self.track(&["serve"]);
        serve.stderr(log);
        let child = tokio::process::Command::from(serve).kill_on_drop(true).spawn().expect("track serves");
        let address = self.config.listen;
        self.until("the bot listens", async || TcpStream::connect(address).await.is_ok()).await;
        let db = Db::open(&self.config.database_url).await.expect("the database");
        self.process = Some(Bot { child, db });
    }

    /// What the serving processes logged.
    pub fn serve_log(&self) -> String {
        fs::read_to_string(self.folder.path().join("serve.log")).unwrap_or_default()
    }

    /// Ends the serving process by a signal and waits for its end.
    pub async fn end(&mut self, signal: rustix::process::Signal) -> ExitStatus {
        let child = &mut self.process.as_mut().expect("it serves").child;
        let pid = child.id().and_then(|id| rustix::process::Pid::from_raw(id as i32)).expect("it runs");
        rustix::process::kill_process(pid, signal).expect("a signal");
        child.wait().await.expect("it ended")
    }
}

/// What a program printed, first on standard output.
pub fn printed(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}
