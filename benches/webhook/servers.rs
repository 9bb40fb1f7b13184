//! The two servers, each a child process that says its port on standard output and stops when its standard input ends.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use sqlx::Row as _;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use track::db::Db;
use track::http;
use track::model::Clock;
use track::webhook::{self, IntakeState, Store, health};

const CHILD: &str = "TRACK_BENCH_CHILD";

/// A running server.
pub struct Server {
    pub port: u16,
    child: Child,
    says: BufReader<ChildStdout>,
}

impl Server {
    /// This program as the server, with an empty database below `scratch`.
    pub fn track(scratch: &Path) -> Result<Self> {
        Self::start(Command::new(std::env::current_exe()?).env(CHILD, "1").current_dir(scratch))
    }

    /// Probot from `folder`, at its best: no logs, and no handler for the event that is sent.
    pub fn probot(folder: &Path, secret: &str) -> Result<Self> {
        Self::start(
            Command::new("node").arg(folder.join("app.js")).env("WEBHOOK_SECRET", secret).env("NODE_ENV", "production"),
        )
    }

    fn start(command: &mut Command) -> Result<Self> {
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("the server cannot be started")?;
        let mut says = BufReader::new(child.stdout.take().context("the server has no output")?);
        let mut line = String::new();
        says.read_line(&mut line)?;
        let port = line.trim().strip_prefix("port ").and_then(|port| port.parse().ok());
        Ok(Self { port: port.with_context(|| format!("instead of its port the server said {line:?}"))?, child, says })
    }

    /// Processor time that the server has used so far.
    pub fn cpu(&self) -> Result<Duration> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The program's name is in parentheses and may hold spaces; user and system time are the 12th and 13th fields after it, in
        // hundredths of a second (proc_pid_stat(5)).
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
        let ticks: u64 = fields.filter_map(|field| field.parse::<u64>().ok()).sum();
        Ok(Duration::from_millis(ticks * 10))
    }

    /// Stops the server; returns how many deliveries it says that it stored, if it says so.
    pub fn stop(mut self) -> Result<Option<u64>> {
        drop(self.child.stdin.take());
        let mut rest = String::new();
        self.says.read_to_string(&mut rest)?;
        self.child.wait()?;
        Ok(rest.trim().strip_prefix("stored ").and_then(|count| count.parse().ok()))
    }
}

/// Whether this process was started to be a server.
pub fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

/// The intake as `track serve` has it, until standard input ends.
#[tokio::main]
pub async fn serve_track(scratch: &Path) -> Result<()> {
    let folder = tempfile::tempdir_in(scratch)?;
    let db = Db::open(&format!("sqlite://{}", folder.path().join("track.db").display())).await?;
    health::collect_metrics()?;
    let (store, writer) = Store::spawn(db.clone(), Clock::System, Arc::new(Notify::new()));
    let router = webhook::router(IntakeState::new(&super::SECRET.into(), store.clone()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("port {}", listener.local_addr()?.port());
    let stop = CancellationToken::new();
    let serving = tokio::spawn(http::serve(listener, router, http::Limits::default(), stop.clone()));
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    stop.cancel();
    serving.await?;
    store.stop();
    writer.await?;
    let stored: i64 =
        sqlx::query("select count(*) from delivery").fetch_one(&mut *db.read().await?).await?.try_get(0)?;
    println!("stored {stored}");
    db.close().await;
    Ok(())
}
