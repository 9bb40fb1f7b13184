//! What the bot tells a runner to start, and what the runner tells of it.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::{Network, RunnerConfig, Sandbox};
use crate::model::{Lane, Millis, RepositoryId, RunId, Sha, ThreadId};

use super::error::RunnerError;
use super::wire::{Answer, Blob, Request};

/// Everything that one execution of an agent needs.
#[derive(Clone, Debug)]
pub struct Start {
    /// The run.
    pub run: RunId,
    /// The owner's fence; the runner keeps the highest and refuses lower ones.
    pub fence: u64,
    /// 1, or 2 when the agent is asked once more; the workspace is prepared for turn 1 only.
    pub turn: u32,
    /// Whose workspace it is.
    pub thread: ThreadId,
    /// Which of the thread's two.
    pub lane: Lane,
    /// Which bare repository has the commit.
    pub repository: RepositoryId,
    /// What to check out.
    pub commit: Sha,
    /// The branch that is made for it.
    pub branch: String,
    /// Begin with an empty folder; otherwise files that git ignores stay.
    pub fresh: bool,
    /// Files of `in/` by name: prompt, schema, `hooks/…`, which become executable.
    pub files: Vec<(String, Vec<u8>)>,
    /// Program and arguments, executed without a shell. `{in}`, `{out}` and `{work}` in them become paths.
    pub command: Vec<String>,
    /// The file of `in/` that is the agent's standard input; nothing if unset.
    pub stdin_file: Option<String>,
    /// Environment of the agent. Values that begin with `{in}/`, `{out}/` or `{work}` become paths.
    pub env: Vec<(String, String)>,
    /// The agent is ended after this time, also while the bot is away.
    pub wall: Duration,
    /// The agent is ended after this time without output.
    pub silence: Duration,
}

/// Names that would change the shells around the agent, or that bash refuses to set.
const REFUSED_NAMES: &[&str] = &["UID", "EUID", "PPID", "BASHOPTS", "SHELLOPTS", "BASH_VERSINFO", "IFS", "LD_PRELOAD"];

impl Start {
    pub(super) fn request(
        &self,
        config: &RunnerConfig,
        hidden: &[PathBuf],
        min_free: u64,
    ) -> Result<Vec<u8>, RunnerError> {
        let mut request = Request::default();
        request.record("thread", self.thread)?;
        request.record("lane", self.lane)?;
        request.record("repository", self.repository)?;
        request.record("commit", &self.commit)?;
        request.record("branch", &self.branch)?;
        request.record("fresh", u8::from(self.fresh))?;
        request.record("wall", self.wall.as_millis())?;
        request.record("silence", self.silence.as_millis())?;
        request.record("stdin", self.stdin_file.as_deref().unwrap_or_default())?;
        request.record("min_free", min_free)?;
        machine_records(config, hidden, &mut request)?;
        if self.command.is_empty() {
            return Err(RunnerError::Protocol("the agent has no command".to_owned()));
        }
        for word in &self.command {
            request.record("arg", word)?;
        }
        for (name, value) in &self.env {
            let sound = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
                && name.bytes().next().is_some_and(|b| !b.is_ascii_digit());
            if !sound || REFUSED_NAMES.contains(&name.as_str()) {
                return Err(RunnerError::Protocol(format!("{name:?} cannot be set for an agent")));
            }
            request.record("env", format_args!("{name}={value}"))?;
        }
        request.end_records();
        for (name, bytes) in &self.files {
            request.file(name, bytes)?;
        }
        request.end_files();
        Ok(request.into_bytes())
    }
}

/// What of a runner's configuration its script must know.
pub(super) fn machine_records(
    config: &RunnerConfig,
    hidden: &[PathBuf],
    request: &mut Request,
) -> Result<(), RunnerError> {
    request.record("sandbox", sandbox_word(config.sandbox))?;
    let network = match config.network {
        Network::Open => "open",
        Network::Relay => "relay",
        Network::None => "none",
    };
    request.record("network", network)?;
    request.record("prelude", &config.prelude)?;
    for path in &config.read_only {
        request.record("ro", path)?;
    }
    for path in &config.read_write {
        request.record("rw", path)?;
    }
    for path in hidden {
        request.record("hide", path.display())?;
    }
    Ok(())
}

pub(super) fn sandbox_word(sandbox: Sandbox) -> &'static str {
    match sandbox {
        Sandbox::Bubblewrap => "bubblewrap",
        Sandbox::None => "none",
    }
}

/// A turn that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Started {
    /// When, by the runner's clock.
    pub at: Millis,
    /// The runner's clock when it answered.
    pub now: Millis,
    /// An earlier start had done it already.
    pub again: bool,
}

impl Started {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let words: Vec<&str> = text.split(' ').collect();
        let [at, _pid, now, how] = words[..] else { return None };
        Some(Self { at: at.parse().ok()?, now: now.parse().ok()?, again: how == "again" })
    }
}

/// What a runner knows of a turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TurnState {
    /// Where it is.
    pub state: State,
    /// Whether the run was canceled; a turn that has not started then never will.
    pub canceled: bool,
    /// The runner's clock, for the difference to ours (B11).
    pub now: Millis,
    /// Journal from the offset on, at most 1 MiB.
    pub journal: Vec<u8>,
    /// The journal has more than that: ask again.
    pub more: bool,
    /// What the agent wrote to `out/answer.json`, at most 1 MiB of it; only once the turn is over.
    pub answer: Option<Blob>,
    /// The last line that the agent printed, at most 1 MiB of it; only once the turn is over.
    pub last: Option<Blob>,
    /// The last 8 KiB of the agent's standard error; only once the turn is over.
    pub stderr: Option<Blob>,
}

/// Where a turn is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing is known of it.
    Unknown,
    /// It is prepared, and no agent was launched.
    NotStarted,
    /// Its supervisor lives.
    Running {
        /// When it started, by the runner's clock.
        since: Millis,
    },
    /// It is over.
    Ended(Exit),
    /// Its supervisor is gone without a last word: the certain kind of death. What it left behind may live until it is canceled.
    Died {
        /// When it had started, by the runner's clock.
        since: Millis,
    },
}

/// How a turn ended. Times are the runner's.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Exit {
    /// The exit code as a shell tells it: 128 and the signal for a process that a signal ended.
    pub code: i32,
    /// That signal.
    pub signal: Option<i32>,
    /// Who ended it.
    pub reason: ExitReason,
    /// When the agent was launched.
    pub started_at: Millis,
    /// When it was over.
    pub finished_at: Millis,
    /// Processes of the run that could not be ended.
    pub left: u32,
    /// The runner's disk was full while the agent worked, so journal or last line have gaps (F07).
    pub disk_full: bool,
}

/// Who ended a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitReason {
    /// The agent itself.
    Exited,
    /// The limit on its time.
    WallClock,
    /// The limit on its silence.
    Silence,
    /// A cancellation.
    Canceled,
}

impl TurnState {
    pub(super) fn parse(mut answer: Answer, offset: u64) -> Option<Self> {
        let number = |word| answer.line(word).and_then(|text| text.parse::<Millis>().ok());
        let state = match answer.line("state")? {
            "unknown" => State::Unknown,
            "not_started" => State::NotStarted,
            "running" => State::Running { since: number("since")? },
            "ended" => State::Ended(serde_json::from_str(answer.line("exit")?).ok()?),
            "died" => State::Died { since: number("since")? },
            _ => return None,
        };
        let now = number("now")?;
        let canceled = answer.line("canceled").is_some();
        answer.line("end")?;
        let journal = answer.take_blob("journal").unwrap_or(Blob { bytes: Vec::new(), size: 0 });
        let more = journal.size > offset.saturating_add(journal.bytes.len() as u64);
        Some(Self {
            state,
            canceled,
            now,
            journal: journal.bytes,
            more,
            answer: answer.take_blob("answer"),
            last: answer.take_blob("last"),
            stderr: answer.take_blob("stderr"),
        })
    }
}

/// What a cancellation achieved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Canceled {
    /// Processes of the run that are still there (B10).
    pub left: u32,
    /// The kernel vouches for it (a pid namespace that is gone); otherwise none was found.
    pub proven: bool,
}

impl Canceled {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (left, proven) = text.split_once(' ')?;
        Some(Self { left: left.parse().ok()?, proven: proven == "1" })
    }
}

/// The work as it lies in the workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// The commit that HEAD is.
    pub head: Sha,
    /// The branch it is on; none if detached.
    pub branch: Option<String>,
    /// Paths that were uncommitted and are now in a commit of the bot's, at most 1,000.
    pub leftovers: Vec<String>,
}

impl Finished {
    pub(super) fn parse(mut answer: Answer) -> Option<Self> {
        let head = answer.line("head")?.parse().ok()?;
        answer.line("end")?;
        let branch = answer.line("branch").map(str::to_owned);
        let mut leftovers = Vec::new();
        while let Some(path) = answer.take_blob("leftover") {
            leftovers.push(String::from_utf8_lossy(&path.bytes).into_owned());
        }
        Some(Self { head, branch, leftovers })
    }
}

/// In whose name leftovers are committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Name of author and committer.
    pub name: String,
    /// Their address.
    pub email: String,
}

/// One finding of a look at a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What was looked at.
    pub what: String,
    /// Whether it will do.
    pub ok: bool,
    /// What was found.
    pub found: String,
    /// How to put it right.
    pub remedy: Option<String>,
}

impl Check {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (verdict, rest) = text.split_once(' ')?;
        let (what, rest) = rest.split_once('|')?;
        let (found, remedy) = rest.rsplit_once('|')?;
        let remedy = (!remedy.is_empty()).then(|| remedy.to_owned());
        Some(Self { what: what.to_owned(), ok: verdict == "ok", found: found.to_owned(), remedy })
    }
}

/// An agent whose program is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentProbe {
    /// The agent's name.
    pub name: String,
    /// Its program, as in its command.
    pub program: String,
}

/// What was seen of an agent that is on a machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentSeen {
    /// The agent's name.
    pub name: String,
    /// The first line that its program says of its version.
    pub version: String,
    /// How it is logged in, as it finds it where it runs; nobody looks for a custom agent.
    pub login: Option<Login>,
}

/// How an agent is logged in. Nothing of the login itself is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Login {
    /// Not at all.
    None,
    /// By an API key or a long-lived token.
    Key,
    /// By what its own settings say of a model provider.
    Provider,
    /// By an account.
    Account {
        /// When what it holds now expires.
        until: Option<Millis>,
        /// Whether it lasts beyond that.
        renewal: Renewal,
    },
}

/// Whether the login of an account is prolonged by its agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Renewal {
    /// It renews itself.
    Renews,
    /// It could, but its file cannot be written where the agent runs.
    Stuck,
    /// It ends.
    Ends,
}

impl Login {
    /// Reads the words of the script's probe.
    fn parse(text: &str) -> Option<Self> {
        match text.split(' ').collect::<Vec<_>>()[..] {
            ["none"] => Some(Self::None),
            ["key"] => Some(Self::Key),
            ["provider"] => Some(Self::Provider),
            ["account", until, renewal] => {
                let renewal = match renewal {
                    "renews" => Renewal::Renews,
                    "stuck" => Renewal::Stuck,
                    "ends" => Renewal::Ends,
                    _ => return None,
                };
                Some(Self::Account { until: if until == "-" { None } else { Some(until.parse().ok()?) }, renewal })
            }
            _ => None,
        }
    }
}

/// What was seen on a machine: the checks, and what of it is counted.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Line by line, whether it has what runs need.
    pub checks: Vec<Check>,
    /// Bytes free below the root.
    pub free: Option<u64>,
    /// Bytes that this instance of the bot takes there; unknown where counting took too long.
    pub used: Option<u64>,
    /// The agents that are there.
    pub agents: Vec<AgentSeen>,
}

impl Seen {
    /// Takes one line `found …`; what is malformed is left out, for nothing depends on it.
    pub(super) fn note(&mut self, found: &str) {
        match found.splitn(4, ' ').collect::<Vec<_>>()[..] {
            ["disk", free, used] => (self.free, self.used) = (free.parse().ok(), used.parse().ok()),
            ["agent", name] => self.note_agent(name, String::new()),
            ["agent", name, version] => self.note_agent(name, version.to_owned()),
            ["agent", name, first, rest] => self.note_agent(name, format!("{first} {rest}")),
            ["login", name, ..] => {
                let login = found.splitn(3, ' ').nth(2).and_then(Login::parse);
                if let Some(agent) = self.agents.iter_mut().rfind(|agent| agent.name == name) {
                    agent.login = login;
                }
            }
            _ => {}
        }
    }

    fn note_agent(&mut self, name: &str, version: String) {
        self.agents.push(AgentSeen { name: name.to_owned(), version, login: None });
    }
}

/// What a cleanup removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    /// Run directories.
    pub runs: u32,
    /// Workspaces.
    pub workspaces: u32,
    /// Bare repositories.
    pub repositories: u32,
}

impl Removed {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let numbers: Vec<u32> = text.split(' ').map(|word| word.parse().ok()).collect::<Option<_>>()?;
        let [runs, workspaces, repositories] = numbers[..] else { return None };
        Some(Self { runs, workspaces, repositories })
    }
}

/// What lies on a runner's disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Bytes below the folder of this instance of the bot; unset if counting took too long.
    pub used: Option<u64>,
    /// Bytes that are free there.
    pub free: u64,
}

impl Usage {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (used, free) = text.split_once(' ')?;
        Some(Self { used: if used == "-" { None } else { Some(used.parse().ok()?) }, free: free.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_script_found_is_taken_as_far_as_it_makes_sense() {
        let mut seen = Seen::default();
        for line in [
            "disk 123 -",
            "agent codex codex-cli 0.5 (x)",
            "login codex account 17 stuck",
            "agent claude",
            "login claude none",
            "agent odd 1",
            "login odd account x renews",
            "login nobody key",
            "nonsense",
            "",
        ] {
            seen.note(line);
        }
        assert_eq!((seen.free, seen.used), (Some(123), None));
        let agents: Vec<_> = seen.agents.iter().map(|a| (a.name.as_str(), a.version.as_str(), a.login)).collect();
        let account = Login::Account { until: Some(17), renewal: Renewal::Stuck };
        assert_eq!(
            agents,
            [("codex", "codex-cli 0.5 (x)", Some(account)), ("claude", "", Some(Login::None)), ("odd", "1", None)]
        );
        assert_eq!(Login::parse("account - ends"), Some(Login::Account { until: None, renewal: Renewal::Ends }));
        for word in ["", "Key", "account", "account 1", "account 1 lives", "account -1x ends", "key sk-123"] {
            assert_eq!(Login::parse(word), None, "{word}");
        }
    }
}
