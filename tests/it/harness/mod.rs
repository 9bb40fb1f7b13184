//! The world of a conversation: the real App over HTTP, the simulator as GitHub, a runner with a scripted agent.
//!
//! A test lets people act on GitHub, lets everything settle, and looks at what people would see. Settling drains the tables; there are
//! no hooks in production code and no sleeps.

#![allow(dead_code)]

pub mod crowd;
pub mod page;
pub mod process;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use secrecy::ExposeSecret as _;
use sha2::Sha256;
use tempfile::TempDir;
use tokio::time::{Instant, MissedTickBehavior, interval};
use track::app::{self, Running};
use track::config::{AgentConfig, Config, GitHubConfig, RunnerConfig, Sandbox, Transport};
use track::db::Db;
use track::db::runs::Run;
use track::model::{Clock, Millis, Number, RunId, Status};
use track::sim::{APP_PRIVATE_KEY_PEM, AppSettings, Fault, Options, RequestInfo, Role, Sim};

use crate::sshd::Sshd;

/// The repository of most conversations; the App's owner owns it.
pub const REPO: &str = "octo/hello";
/// May write there.
pub const MAINTAINER: &str = "mona";
/// May read only, like anybody.
pub const STRANGER: &str = "eve";
/// Longer than anything may take here; only a hang gets there.
const PATIENCE: Duration = Duration::from_secs(60);

/// Everything that a conversation needs; what it made is gone when it is dropped.
pub struct World {
    pub sim: Sim,
    pub clock: Clock,
    pub config: Config,
    pub sshd: Option<Sshd>,
    running: Option<Running>,
    /// The bot as a process of its own, see [`World::serve`].
    process: Option<process::Bot>,
    /// What agents see: their script, and a folder where they leave traces for the test.
    shared: PathBuf,
    folder: TempDir,
}

impl World {
    /// A bot with one local runner under bubblewrap, and an agent that commits a file and succeeds.
    pub async fn new() -> Self {
        Self::with(|_| ()).await
    }

    /// The same, its configuration changed before it starts.
    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::with_github(|_| (), change).await
    }

    /// The same, GitHub changed too.
    pub async fn with_github(github: impl FnOnce(&mut Options), change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::Builder::new().prefix("track-it").tempdir().expect("a temp folder");
        let shared = folder.path().join("shared");
        Self::build(folder, shared, None, github, change).await
    }

    /// A bot whose runner is a real sshd with default limits.
    pub async fn over_ssh() -> Self {
        Self::over_ssh_with(|_| ()).await
    }

    /// The same, its configuration changed before it starts.
    pub async fn over_ssh_with(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::Builder::new().prefix("track-it").tempdir().expect("a temp folder");
        let sshd = Sshd::start();
        let shared = sshd.home.join("shared");
        Self::build(folder, shared, Some(sshd), |_| (), change).await
    }

    async fn build(
        folder: TempDir,
        shared: PathBuf,
        sshd: Option<Sshd>,
        github: impl FnOnce(&mut Options),
        change: impl FnOnce(&mut Config),
    ) -> Self {
        for folder in [&shared, &shared.join("log")] {
            fs::create_dir_all(folder).expect("a folder");
            // The account of the ssh runner is another one than ours.
            fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).expect("chmod");
        }
        let clock = Clock::shifted();
        let mut options =
            Options::new(folder.path().join("github"), AppSettings::new("a secret of tests, long".into()));
        options.clock = clock.clone();
        github(&mut options);
        let sim = Sim::start(options).await.expect("the simulator starts");
        sim.add_user(MAINTAINER);
        sim.add_user(STRANGER);
        sim.add_repository(REPO, &[("README.md", "# hello\n"), (".gitignore", "ignored/\n")])
            .await
            .expect("a repository");
        sim.set_role(REPO, MAINTAINER, Role::Maintain).expect("a role");
        let mut config = config(folder.path(), &shared, &sim, sshd.as_ref());
        change(&mut config);
        let mut world = Self { sim, clock, config, sshd, running: None, process: None, shared, folder };
        world.agent(r#"say "working"; commit hello.txt hello "feat: say hello"; answer succeeded "Said hello." "feat: say hello""#);
        world.start().await;
        world
    }

    /// Starts the bot, as it is done after [`World::stop`].
    pub async fn start(&mut self) {
        let running = app::start(self.config.clone(), self.clock.clone()).await.expect("the bot starts");
        // The address is kept over restarts, as a real one is.
        self.config.listen = running.address();
        self.sim.set_webhook_url(Some(&format!("http://{}/webhooks/github", running.address())));
        self.running = Some(running);
    }

    /// Stops the bot as SIGTERM does.
    pub async fn stop(&mut self) {
        self.running.take().expect("the bot runs").stop().await;
    }

    /// Stops the bot and takes everything from it but its runner and its agent: a machine on which it was never started.
    pub async fn forget(&mut self) {
        self.stop().await;
        self.config.home = self.folder.path().join("new-home");
        self.config.database_url = format!("sqlite://{}", self.config.home.join("track.db").display());
        self.config.github = None;
        self.config.server_url = Some(self.sim.url());
    }

    /// A bot that began by itself is the one to talk to.
    pub fn adopt(&mut self, running: Running) {
        self.config = Config::clone(&running.context().config);
        self.running = Some(running);
    }

    /// The running bot.
    pub fn bot(&self) -> &Running {
        self.running.as_ref().expect("the bot runs")
    }

    /// The database of the bot, running or not.
    pub fn db(&self) -> Db {
        match (&self.running, &self.process) {
            (Some(running), _) => running.context().db.clone(),
            (None, Some(process)) => process.db.clone(),
            (None, None) => panic!("the bot was stopped"),
        }
    }

    /// What the agent does from now on: bash, after `agent-prelude.sh`.
    pub fn agent(&self, script: &str) {
        let text = format!("{}\n{script}\n", include_str!("agent-prelude.sh"));
        let path = self.shared.join("agent.sh");
        // Replaced, not rewritten: bash reads scripts as it goes, and an agent may be at work.
        let new = self.shared.join("agent.new");
        fs::write(&new, text).expect("the agent's script");
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).expect("chmod");
        fs::rename(new, path).expect("the agent's script");
    }

    /// Lets an agent that waits with `await NAME` go on.
    pub fn signal(&self, name: &str) {
        fs::write(self.shared.join("log").join(name), "").expect("a signal");
    }

    /// Has agents that come to `await NAME` wait again.
    pub fn unsignal(&self, name: &str) {
        let _ = fs::remove_file(self.shared.join("log").join(name));
    }

    /// The runs whose agents started, in order; one entry for each start.
    pub fn starts(&self) -> Vec<String> {
        fs::read_to_string(self.shared.join("log/starts")).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    /// A file that an agent left in `$TRACK_TEST_LOG`.
    pub fn trace(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.shared.join("log").join(name)).ok()
    }

    /// Every file that agents left in `$TRACK_TEST_LOG` under a name with this beginning.
    pub fn traces(&self, beginning: &str) -> Vec<String> {
        let files = fs::read_dir(self.shared.join("log")).expect("the folder").flatten();
        let named = files.filter(|file| file.file_name().to_string_lossy().starts_with(beginning));
        named.map(|file| fs::read_to_string(file.path()).unwrap_or_default()).collect()
    }

    /// What the agent of a run was told.
    pub fn prompt(&self, run: RunId) -> String {
        self.trace(&format!("prompt-{run}")).expect("the run's agent started")
    }

    /// Where a file lies that [`World::trace`] reads: agents can write it.
    pub fn trace_path(&self, name: &str) -> PathBuf {
        self.shared.join("log").join(name)
    }

    /// A folder for what agents need besides their script: made with the world, for everybody to read.
    pub fn shared(&self) -> &Path {
        &self.shared
    }

    /// A label and everything that follows from it, for the issue that asks for it.
    pub async fn work_on(&self, title: &str, body: &str) -> Number {
        let issue = self.issue(title, body).await;
        self.label(issue, "track").await;
        self.settle().await;
        issue
    }

    /// What git says of GitHub's repository.
    pub fn git_at_github(&self, args: &[&str]) -> String {
        git(&self.folder.path().join("github").join(format!("{REPO}.git")), args)
    }

    /// What git says of the bot's mirror.
    pub async fn git_at_bot(&self, args: &[&str]) -> String {
        git(&self.home().join("mirrors").join(format!("{}.git", self.repository_id().await)), args)
    }

    /// The folder of the bot's state.
    pub fn home(&self) -> &Path {
        &self.config.home
    }

    /// The folder of this bot on its local runner.
    pub fn runner_root(&self) -> PathBuf {
        let made = fs::read_dir(self.folder.path().join("runner")).expect("the runner was used");
        made.flatten().next().expect("one bot's folder").path()
    }

    /// GitHub takes no new pull request until `sim.clear_faults()`, so that a run stays in publishing.
    pub fn hold_pull_requests(&self) {
        self.sim.set_fault(Box::new(|request| {
            let held = request.method == "POST" && request.path.ends_with("/pulls");
            held.then(|| Fault::Status { code: 503, headers: Vec::new(), body: String::new() })
        }));
    }

    /// An open issue by the maintainer.
    pub async fn issue(&self, title: &str, body: &str) -> Number {
        self.sim.open_issue(REPO, MAINTAINER, (title, body), &[]).await.expect("an issue")
    }

    /// The maintainer puts a label on.
    pub async fn label(&self, issue: Number, label: &str) {
        self.sim.label(REPO, MAINTAINER, issue, label).await.expect("a label");
    }

    /// Somebody comments.
    pub async fn comment(&self, who: &str, issue: Number, text: &str) -> i64 {
        self.sim.comment(REPO, who, issue, text).await.expect("a comment")
    }

    /// A webhook of the test's own making, signed as GitHub signs; answers the status.
    pub async fn post(&self, id: &str, event: &str, body: &serde_json::Value) -> u16 {
        let body = Bytes::from(body.to_string());
        let secret = self.sim.app().webhook_secret;
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()).expect("any length");
        mac.update(&body);
        let request = hyper::Request::post(format!("http://{}/webhooks/github", self.bot().address()))
            .header("content-type", "application/json")
            .header("x-github-event", event)
            .header("x-github-delivery", id)
            .header("x-hub-signature-256", format!("sha256={}", hex::encode(mac.finalize().into_bytes())))
            .body(Full::new(body))
            .expect("a request");
        let client = Client::builder(TokioExecutor::new()).build_http();
        client.request(request).await.expect("the bot answers").status().as_u16()
    }

    /// The newest webhook of a kind that GitHub sent: its id and its body.
    pub async fn sent(&self, event: &str) -> (String, serde_json::Value) {
        self.sim.settled().await;
        let sent = self.sim.deliveries();
        let newest = sent.iter().rev().find(|delivery| delivery.event == event).expect("such a webhook");
        (newest.guid.clone(), serde_json::from_slice(&newest.payload).expect("JSON"))
    }

    /// Time passes: waits and budgets are over, and whoever waits looks at the clock again.
    pub fn later(&self, by: Millis) {
        self.clock.advance(by);
        let wake = &self.bot().context().wake;
        wake.inbox.notify_one();
        wake.runs.notify_one();
        wake.reports.notify_one();
        wake.feedback.notify_one();
    }

    /// Waits until nothing is left to do: webhooks delivered and handled, runs over, reports shown.
    pub async fn settle(&self) {
        self.until("everything settled", async || {
            self.sim.settled().await;
            self.rest().await == (0, 0, 0) && {
                // What the bot wrote came back as webhooks.
                self.sim.settled().await;
                self.rest().await == (0, 0, 0)
            }
        })
        .await;
    }

    /// The same while a second passes with every look, so that nobody waits for GitHub's limits or for the bot's patience.
    pub async fn settle_soon(&self) {
        self.until("everything settled", async || {
            self.pass(1_000);
            self.rest().await == (0, 0, 0) && {
                self.sim.settled().await;
                self.rest().await == (0, 0, 0)
            }
        })
        .await;
    }

    /// Lets time pass, in milliseconds, and has everybody look at the clock.
    pub fn pass(&self, time: Millis) {
        self.clock.advance(time);
        let wake = &self.bot().context().wake;
        wake.inbox.notify_one();
        wake.runs.notify_one();
        wake.reports.notify_one();
        wake.feedback.notify_one();
    }

    /// The first requests that `which` picks meet a fault; answers how many did so far. Replaces the fault before.
    pub fn fault(
        &self,
        times: usize,
        which: impl Fn(&RequestInfo) -> bool + Send + Sync + 'static,
        fault: Fault,
    ) -> Arc<AtomicUsize> {
        let met = Arc::new(AtomicUsize::new(0));
        let counted = met.clone();
        self.sim.set_fault(Box::new(move |request| {
            let meets =
                which(request) && counted.fetch_update(SeqCst, SeqCst, |met| (met < times).then_some(met + 1)).is_ok();
            meets.then(|| fault.clone())
        }));
        met
    }

    /// Deliveries and feedback not handled, runs not over, reports not shown.
    async fn rest(&self) -> (i64, usize, i64) {
        let mut conn = self.db().read().await.expect("the database");
        let (waiting, _) = track::db::deliveries::backlog(&mut conn).await.expect("deliveries");
        let live = track::db::runs::live(&mut conn).await.expect("runs").len();
        let owed = track::db::reports::owed(&mut conn).await.expect("reports");
        let feedback = track::db::lines::with_feedback(&mut conn, self.clock.now()).await.expect("lines").len();
        (waiting + feedback as i64, live, owed)
    }

    /// Waits for a condition; fails with everything that is known if it does not come.
    pub async fn until(&self, what: &str, mut condition: impl AsyncFnMut() -> bool) {
        let began = Instant::now();
        let mut tick = interval(Duration::from_millis(10));
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while !condition().await {
            assert!(began.elapsed() < PATIENCE, "still not: {what}\n{}", self.describe().await);
            tick.tick().await;
        }
    }

    /// Waits until the newest run is in a state.
    pub async fn until_status(&self, status: Status) -> Run {
        self.until(&format!("a run that is {status}"), async || {
            self.runs().await.first().is_some_and(|run| run.status == status)
        })
        .await;
        self.runs().await.remove(0)
    }

    /// Waits until so many agents started.
    pub async fn until_started(&self, agents: usize) {
        self.until(&format!("{agents} agents started"), async || self.starts().len() >= agents).await;
    }

    /// Every run, newest first.
    pub async fn runs(&self) -> Vec<Run> {
        let filter = track::db::runs::Filter { repo: None, number: None, limit: 1000 };
        let mut conn = self.db().read().await.expect("the database");
        track::db::runs::filtered(&mut conn, &filter).await.expect("runs")
    }

    /// What the bot said on an issue or pull request, each comment with what changes from run to run replaced.
    pub fn said(&self, number: Number) -> Vec<String> {
        let comments = self.sim.comments(REPO, number);
        comments.iter().filter(|comment| comment.author_is_app).map(|comment| self.readable(&comment.body)).collect()
    }

    /// The bot's only comment on an issue or pull request.
    pub fn only_comment(&self, number: Number) -> String {
        let mut said = self.said(number);
        assert_eq!(said.len(), 1, "{said:#?}");
        said.remove(0)
    }

    /// A text with ids, times, hashes and addresses replaced by words, and without the marker.
    pub fn readable(&self, text: &str) -> String {
        let text = text.replace(&self.sim.url(), "https://github.test");
        let mut out = Vec::new();
        for line in text.lines().filter(|line| !line.starts_with("<!-- track run=")) {
            let cells: Vec<String> = line.split(" | ").map(readable_cell).collect();
            let words: Vec<String> = cells.join(" | ").split(' ').map(readable_word).collect();
            out.push(readable_dates(&words.join(" ")));
        }
        out.join("\n").trim_end().to_owned()
    }

    /// Labels on an issue.
    pub fn labels(&self, issue: Number) -> Vec<String> {
        self.sim.issue(REPO, issue).expect("the issue").labels
    }

    /// Reactions on an issue's opening text.
    pub fn reactions(&self, issue: Number) -> Vec<String> {
        self.sim.issue(REPO, issue).expect("the issue").reactions.into_iter().map(|reaction| reaction.content).collect()
    }

    /// Reactions on a comment.
    pub fn reactions_on(&self, number: Number, comment: i64) -> Vec<String> {
        let comments = self.sim.comments(REPO, number);
        let found = comments.into_iter().find(|found| found.id == comment).expect("the comment");
        found.reactions.into_iter().map(|reaction| reaction.content).collect()
    }

    /// How often the bot asked GitHub for something whose path ends so.
    pub fn asked(&self, path_end: &str) -> usize {
        self.sim.journal().iter().filter(|request| request.path.ends_with(path_end)).count()
    }

    /// How often the bot changed something on GitHub about issues and pull requests.
    pub fn writes(&self) -> usize {
        let changes = |method: &str| matches!(method, "POST" | "PATCH" | "PUT" | "DELETE");
        self.sim.journal().iter().filter(|r| changes(&r.method) && r.path.starts_with("/repos/")).count()
    }

    /// The newest decisions about an issue as `verdict reason`, newest first.
    pub async fn decisions(&self, number: Number) -> Vec<String> {
        let mut conn = self.db().read().await.expect("the database");
        let repository = self.repository_id().await;
        let shown = track::db::decisions::newest(&mut conn, repository, number, 50).await.expect("decisions");
        shown.into_iter().map(|decision| format!("{} {}", decision.verdict, decision.reason)).collect()
    }

    pub async fn repository_id(&self) -> track::model::RepositoryId {
        let rows = self.sim.deliveries();
        let body: serde_json::Value = serde_json::from_slice(&rows.last().expect("a delivery").payload).expect("JSON");
        track::model::RepositoryId(body["repository"]["id"].as_i64().expect("an id"))
    }

    pub async fn describe(&self) -> String {
        let mut out = String::new();
        if self.running.is_some() || self.process.is_some() {
            out.push_str(&format!("rest (deliveries, runs, reports): {:?}\n", self.rest().await));
            let mut conn = self.db().read().await.expect("the database");
            for run in track::db::runs::live(&mut conn).await.expect("runs") {
                out.push_str(&format!("{run:#?}\n"));
            }
            for report in track::db::reports::due(&mut conn, i64::MAX, &[], 20).await.expect("reports") {
                out.push_str(&format!("{report:#?}\n"));
            }
        }
        for delivery in self.sim.deliveries().iter().rev().take(5) {
            let (event, action) = (&delivery.event, delivery.action.as_deref().unwrap_or_default());
            out.push_str(&format!("{event} {action} at {}: {}\n", delivery.delivered_at, delivery.status_code));
        }
        for request in self.sim.journal().iter().rev().take(15) {
            out.push_str(&format!("{} {} -> {}\n", request.method, request.path, request.status));
        }
        out.push_str(&self.serve_log());
        out
    }
}

/// Runs git with nothing of the machine's configuration; what it prints, without the last line end.
fn git(folder: &Path, args: &[&str]) -> String {
    let mut git = std::process::Command::new("git");
    git.arg("--git-dir").arg(folder).args(args).env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
    let output = git.output().expect("git runs");
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

fn config(folder: &Path, shared: &Path, sim: &Sim, sshd: Option<&Sshd>) -> Config {
    let text = |path: PathBuf| path.to_str().expect("UTF-8").to_owned();
    let mut config = Config::defaults(folder.join("home"));
    config.github = Some(GitHubConfig {
        app_id: sim.app().id,
        private_key: APP_PRIVATE_KEY_PEM.into(),
        webhook_secret: sim.app().webhook_secret,
        api_url: sim.api_url(),
        server_url: sim.url(),
    });
    config.listen = ([127, 0, 0, 1], 0).into();
    config.default_agent = "scripted".to_owned();
    let script = text(shared.join("agent.sh"));
    config.agents.insert("scripted".to_owned(), AgentConfig { command: vec!["bash".to_owned(), script] });
    let log = text(shared.join("log"));
    let mut runner = match sshd {
        None => {
            let mut runner = RunnerConfig::named("local-1", Transport::Local);
            runner.root = text(folder.join("runner"));
            runner
        }
        Some(sshd) => {
            let mut runner = RunnerConfig::named("ssh-1", Transport::Ssh);
            runner.host = Some("127.0.0.1".to_owned());
            runner.user = Some(sshd.user.clone());
            runner.port = Some(sshd.port);
            runner.key_path = Some(sshd.client_key.clone());
            runner.host_key = Some(sshd.host_public_key.clone());
            runner
        }
    };
    runner.sandbox = Sandbox::Bubblewrap;
    runner.prelude = format!("export TRACK_TEST_LOG={log}");
    runner.read_only = vec![text(shared.to_owned())];
    runner.read_write = vec![log];
    config.runners = vec![runner];
    config
}

/// Replaces a length of time in a table.
fn readable_cell(cell: &str) -> String {
    let mut words = cell.split(' ');
    let is_time =
        words.next().is_some_and(|n| n.parse::<u32>().is_ok()) && matches!(words.next(), Some("s" | "min" | "h"));
    // The last cell of a row has the row's end in it.
    let end = if cell.ends_with(" |") { " |" } else { "" };
    if is_time { format!("TIME{end}") } else { cell.to_owned() }
}

/// Replaces the end of a branch of ours, which need not have a digit.
fn readable_branch(word: &str) -> Option<String> {
    let (before, rest) = word.split_once("track/issue-")?;
    let (number, line) = rest.split_once('-')?;
    let after = line.get(8..)?;
    number.bytes().all(|b| b.is_ascii_digit()).then(|| format!("{before}track/issue-{number}-LINE{after}"))
}

/// Replaces what changes from run to run inside one word: ULIDs, hashes, durations, times.
/// `2026-03-20 23:40 UTC` becomes `TIME`.
fn readable_dates(line: &str) -> String {
    let mut line = line.to_owned();
    let dated = |line: &str, end: usize| {
        let date = end.checked_sub(16).and_then(|begin| line.as_bytes().get(begin..end));
        date.is_some_and(|date| date.starts_with(b"20") && date[4] == b'-' && date[13] == b':')
    };
    while let Some(end) = line.match_indices(" UTC").map(|(at, _)| at).find(|end| dated(&line, *end)) {
        line.replace_range(end - 16..end + 4, "TIME");
    }
    line
}

fn readable_word(word: &str) -> String {
    if let Some(word) = readable_branch(word) {
        return word;
    }
    let mut out = String::new();
    let mut part = String::new();
    let flush = |part: &mut String, out: &mut String| {
        let hex = part.len() >= 7 && part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        let ulid = part.len() == 26 && part.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_uppercase());
        let tail = part.len() == 8 && out.trim_end_matches(|c: char| c == '-' || c.is_ascii_digit()).ends_with("issue");
        out.push_str(match (ulid, hex, tail) {
            (true, _, _) => "RUN",
            (_, true, _) => "SHA",
            (_, _, true) => "LINE",
            _ => part,
        });
        part.clear();
    };
    for c in word.chars() {
        if c.is_ascii_alphanumeric() {
            part.push(c);
        } else {
            flush(&mut part, &mut out);
            out.push(c);
        }
    }
    flush(&mut part, &mut out);
    out
}
