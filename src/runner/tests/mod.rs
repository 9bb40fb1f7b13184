//! The script and its typed verbs on this machine, with real bash, git and bubblewrap, and agents of a few lines.

mod ends;
mod logins;
mod shells;
mod starts;
mod tidy;
mod work;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::*;
use crate::config::{RunnerConfig, Sandbox};
use crate::model::{Lane, RepositoryId, RunId, Sha, ThreadId};

const BOTH: [Sandbox; 2] = [Sandbox::Bubblewrap, Sandbox::None];
const REPOSITORY: RepositoryId = RepositoryId(4711);

/// A runner in a folder of its own, the bot's mirror beside it, and one commit in it.
struct Lab {
    home: tempfile::TempDir,
    machine: Arc<Machine>,
    mirror: PathBuf,
    commit: Sha,
}

impl Lab {
    async fn new(sandbox: Sandbox) -> Self {
        Self::with(sandbox, |_| ()).await
    }

    async fn with(sandbox: Sandbox, configure: impl FnOnce(&mut RunnerConfig)) -> Self {
        let has_bubblewrap = Command::new("bwrap").arg("--version").output().is_ok();
        assert!(has_bubblewrap, "these tests need bubblewrap: install the package of that name");
        let home = tempfile::Builder::new().prefix("track-runner-").tempdir().unwrap();
        let root = home.path().join("root");
        let mut config: RunnerConfig = serde_json::from_value(serde_json::json!({
            "name": "here", "transport": "local", "root": root, "sandbox": sandbox,
        }))
        .unwrap();
        configure(&mut config);
        let machine = Machine::new(config, Arc::new(Local), "lab00001".to_owned()).with_min_free(1);
        let mirror = home.path().join("mirror");
        std::fs::create_dir(&mirror).unwrap();
        git(&mirror, &["init", "-q", "-b", "main", "."]);
        std::fs::write(mirror.join("README.md"), "hello\n").unwrap();
        std::fs::write(mirror.join(".gitignore"), "target/\n").unwrap();
        git(&mirror, &["add", "."]);
        git(&mirror, &["commit", "-q", "-m", "feat: first"]);
        let commit = git(&mirror, &["rev-parse", "HEAD"]).parse().unwrap();
        Self { home, machine: Arc::new(machine), mirror, commit }
    }

    /// The description of a run of this little script as the agent.
    fn agent(&self, script: &str) -> Start {
        let words = ["bash", "-c", script, "agent", "{in}", "{out}", "{work}"];
        Start {
            run: RunId::new(),
            fence: 1,
            turn: 1,
            thread: ThreadId::new(),
            lane: Lane::Work,
            repository: REPOSITORY,
            commit: self.commit.clone(),
            branch: "track/issue-1-abcdefgh".to_owned(),
            fresh: true,
            files: vec![("prompt.md".to_owned(), b"do it\n".to_vec())],
            command: words.map(str::to_owned).to_vec(),
            stdin_file: Some("prompt.md".to_owned()),
            env: vec![("TRACK_KIND".to_owned(), "task".to_owned())],
            wall: Duration::from_secs(60),
            silence: Duration::from_secs(60),
        }
    }

    /// Pushes the commit of the run as the bot does.
    async fn give(&self, start: &Start) {
        let to = self.machine.git_receive(start.repository, start.run, start.fence).await.unwrap();
        let refspec = format!("{}:refs/track/given/{}", start.commit, start.run);
        git(&self.mirror, &["push", "-q", &format!("--receive-pack={}", to.pack_program), &to.url, &refspec]);
    }

    async fn start(&self, start: &Start) -> Started {
        self.give(start).await;
        self.machine.start(start, &mut |_| ()).await.unwrap()
    }

    /// Waits until the supervisor is gone.
    async fn end(&self, start: &Start) -> TurnState {
        let mut attach = self.machine.attach(start.run, start.fence, start.turn, 0).await.unwrap();
        while let Some(bytes) = attach.next().await {
            bytes.unwrap();
        }
        self.status(start).await
    }

    async fn status(&self, start: &Start) -> TurnState {
        self.machine.status(start.run, start.fence, start.turn, 0).await.unwrap()
    }

    async fn run(&self, start: &Start) -> (Exit, TurnState) {
        self.start(start).await;
        let turn = self.end(start).await;
        let State::Ended(exit) = &turn.state else { panic!("{turn:?}") };
        (exit.clone(), turn)
    }

    async fn finish(&self, start: &Start) -> Finished {
        let identity = Identity { name: "track[bot]".to_owned(), email: "1+track[bot]@example.org".to_owned() };
        self.machine.finish(start.run, start.fence, "feat: what was left", &identity).await.unwrap()
    }

    fn base(&self) -> PathBuf {
        self.home.path().join("root/lab00001")
    }

    /// Changes the script as it lies on the machine, so that a limit is small enough to be reached.
    fn change_script(&self, from: &str, to: &str) {
        for script in std::fs::read_dir(self.base().join("bin")).unwrap() {
            let path = script.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(text.contains(from), "{from}");
            std::fs::write(path, text.replace(from, to)).unwrap();
        }
    }

    fn turn_dir(&self, start: &Start) -> PathBuf {
        self.base().join(format!("runs/{}/{}", start.run, start.turn))
    }

    fn work(&self, start: &Start) -> PathBuf {
        self.base().join(format!("threads/{}/{}/work", start.thread, start.lane))
    }

    /// Nothing that was started below the root of this lab is left, T36.
    async fn assert_quiet(&self) {
        let root = self.home.path().to_str().unwrap().to_owned();
        until("no process is left", || processes_with(&root).is_empty()).await;
    }
}

/// Processes that have this text in their command line or environment.
fn processes_with(text: &str) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let read = |name| std::fs::read(entry.path().join(name)).unwrap_or_default();
        let all = [read("cmdline"), read("environ")].concat();
        if pid != std::process::id() && String::from_utf8_lossy(&all).replace('\0', " ").contains(text) {
            found.push(pid);
        }
    }
    found
}

/// Awaits a condition of the machine that nothing announces.
async fn until(what: &str, condition: impl Fn() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < Duration::from_secs(20), "never came: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn git(folder: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=bot", "-c", "user.email=bot@example.org"])
        .args(args)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

/// The texts of the frames of one kind.
fn frames(journal: &[u8], kind: &str) -> Vec<String> {
    let journal = String::from_utf8_lossy(journal);
    let fields = journal.lines().map(|line| line.splitn(3, '\t').collect::<Vec<_>>());
    fields.filter(|fields| fields[1] == kind).map(|fields| fields[2].to_owned()).collect()
}
