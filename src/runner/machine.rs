//! One runner, as the verbs that the rest of the bot uses: each is one exec of the script, typed.

use std::fmt::Display;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::config::RunnerConfig;
use crate::model::{Phase, RepositoryId, RunId, ThreadId};

use super::attach::Attach;
use super::error::RunnerError;
use super::host::{ChannelLane, Host, HostError};
use super::layout::{Layout, SCRIPT};
use super::turn::{
    AgentProbe, Canceled, Check, Finished, Identity, Removed, Seen, Start, Started, TurnState, Usage, machine_records,
    sandbox_word,
};
use super::wire::{Answer, Request, exchange};

/// Free space below the root without which no agent is started, in bytes.
const MIN_FREE: u64 = 2 * 1024 * 1024 * 1024;
/// How long preparing and starting may take, a large checkout included.
const START: Duration = Duration::from_secs(15 * 60);
/// How long committing what is left may take.
const FINISH: Duration = Duration::from_secs(10 * 60);
/// How long removing workspaces may take.
const REMOVE: Duration = Duration::from_secs(10 * 60);
/// How long looking at a machine may take; an agent has 15 seconds to say its version.
const CHECK: Duration = Duration::from_secs(120);
/// How long everything else may take.
const SHORT: Duration = Duration::from_secs(30);

/// A runner and the way there.
pub struct Machine {
    config: RunnerConfig,
    host: Arc<dyn Host>,
    instance: String,
    min_free: u64,
    hidden: Vec<PathBuf>,
    /// The script was seen there; a start finds out by itself, git cannot.
    installed: AtomicBool,
}

/// What `git fetch` and `git push` need to reach a repository on a runner.
pub struct GitEndpoint {
    /// The URL; the script ignores its path and goes by the ids in `pack_program`.
    pub url: String,
    /// Environment of the bot's git.
    pub env: Vec<(String, String)>,
    /// For `--upload-pack` or `--receive-pack`.
    pub pack_program: String,
    /// Held while git runs.
    pub guard: Box<dyn Send + Sync>,
}

impl Machine {
    /// A runner below whose root everything of this `instance` of the bot lies.
    pub fn new(config: RunnerConfig, host: Arc<dyn Host>, instance: String) -> Self {
        Self { config, host, instance, min_free: MIN_FREE, hidden: Vec::new(), installed: AtomicBool::new(false) }
    }

    /// The same with another limit on free space, in bytes, for machines that are small on purpose.
    pub fn with_min_free(self, bytes: u64) -> Self {
        Self { min_free: bytes, ..self }
    }

    /// The same with paths of the bot's own, without links in them, that no agent may see, whatever is bound into its sandbox.
    pub fn hiding(self, hidden: Vec<PathBuf>) -> Self {
        Self { hidden, ..self }
    }

    /// How it is configured.
    pub fn config(&self) -> &RunnerConfig {
        &self.config
    }

    /// The way there.
    pub fn host(&self) -> &Arc<dyn Host> {
        &self.host
    }

    /// Logs in if nobody is logged in; on a connection that is there it costs no round trip.
    pub async fn reach(&self) -> Result<(), RunnerError> {
        within(SHORT, async { Ok(self.host.git().await.map(drop)?) }).await
    }

    /// Prepares the workspace, uploads the files and launches the agent, in one exec on a machine that has the script. Repeating it
    /// is harmless: one run and turn is one agent.
    pub async fn start(&self, start: &Start, on_phase: &mut (dyn FnMut(Phase) + Send)) -> Result<Started, RunnerError> {
        let input = start.request(&self.config, &self.hidden, self.min_free)?;
        let command = self.layout()?.verb("start", &[&start.run, &start.fence, &start.turn]);
        let mut on_line = |line: &str| {
            if let Some(phase) = line.strip_prefix("phase ").and_then(|word| word.parse().ok()) {
                on_phase(phase);
            }
        };
        let call = Call { command, lane: ChannelLane::Ordinary, limit: START };
        let answer = self.call(call, &input, &mut on_line).await?;
        expect(&answer, "started", Started::parse)
    }

    /// Sees to it that the machine is reached and has the script.
    pub async fn warm_up(&self) -> Result<(), RunnerError> {
        if self.installed.load(Ordering::Relaxed) {
            return Ok(());
        }
        match self.plain(&self.layout()?.look_for_script(), &[]).await?.code() {
            Some(0) => self.installed.store(true, Ordering::Relaxed),
            _ => self.install().await?,
        }
        Ok(())
    }

    /// Follows the journal of a turn from a byte offset until its supervisor is gone. It may end a little before the last bytes:
    /// [`Machine::status`] with the offset then reached gives the rest.
    pub async fn attach(&self, run: RunId, fence: u64, turn: u32, offset: u64) -> Result<Attach, RunnerError> {
        let command = self.layout()?.verb("attach", &[&run, &fence, &turn, &offset]);
        for _ in 0..2 {
            match within(SHORT, Attach::open(&*self.host, &command)).await? {
                Some(attach) => return Ok(attach),
                None => self.install().await?,
            }
        }
        Err(RunnerError::Protocol("the script cannot be run even though it was just installed".to_owned()))
    }

    /// Where a turn is, with its journal from a byte offset on, and with the agent's answer once it is over.
    pub async fn status(&self, run: RunId, fence: u64, turn: u32, offset: u64) -> Result<TurnState, RunnerError> {
        let answer = self.urgent("status", &[&run, &fence, &turn, &offset]).await?;
        let broken = answer.broken();
        TurnState::parse(answer, offset).ok_or(broken)
    }

    /// Ends the agent with all its descendants and makes every later start of the run refuse, also where nothing was started yet.
    pub async fn cancel(&self, run: RunId, fence: u64) -> Result<Canceled, RunnerError> {
        let answer = self.urgent("cancel", &[&run, &fence]).await?;
        expect(&answer, "canceled", Canceled::parse)
    }

    /// Commits what the agent left uncommitted, if it is not ignored, and says what the work is (B12a).
    pub async fn finish(
        &self,
        run: RunId,
        fence: u64,
        message: &str,
        identity: &Identity,
    ) -> Result<Finished, RunnerError> {
        let mut request = Request::default();
        request.record("name", &identity.name)?;
        request.record("email", &identity.email)?;
        request.record("message", message)?;
        request.end_records();
        let command = self.layout()?.verb("finish", &[&run, &fence]);
        let call = Call { command, lane: ChannelLane::Ordinary, limit: FINISH };
        let answer = self.call(call, &request.into_bytes(), &mut |_| ()).await?;
        let broken = answer.broken();
        Finished::parse(answer).ok_or(broken)
    }

    /// From where the bot fetches what is in the workspace of a run.
    pub async fn git_upload(&self, run: RunId, fence: u64) -> Result<GitEndpoint, RunnerError> {
        self.endpoint(format!("runs/{run}"), "upload", &[&run, &fence]).await
    }

    /// Where the bot pushes what a run is given; the bare repository is made at first use.
    pub async fn git_receive(
        &self,
        repository: RepositoryId,
        run: RunId,
        fence: u64,
    ) -> Result<GitEndpoint, RunnerError> {
        let sandbox = sandbox_word(self.config.sandbox);
        self.endpoint(format!("repos/{repository}.git"), "receive", &[&run, &fence, &repository, &sandbox]).await
    }

    /// Looks at everything that runs need (B04); each check is told as it comes.
    pub async fn look(
        &self,
        agents: &[AgentProbe],
        on_check: &mut (dyn FnMut(&Check) + Send),
    ) -> Result<Seen, RunnerError> {
        let mut request = Request::default();
        machine_records(&self.config, &self.hidden, &mut request)?;
        request.record("min_free", self.min_free)?;
        for agent in agents {
            request.record("agent", format_args!("{}={}", agent.name, agent.program))?;
        }
        request.end_records();
        let call = Call { command: self.layout()?.verb("check", &[]), lane: ChannelLane::Ordinary, limit: CHECK };
        let mut on_line = |line: &str| {
            if let Some(check) = line.strip_prefix("check ").and_then(Check::parse) {
                on_check(&check);
            }
        };
        let answer = self.call(call, &request.into_bytes(), &mut on_line).await?;
        let checks = answer.lines("check").map(Check::parse).collect::<Option<Vec<_>>>();
        let checks = checks.filter(|_| answer.line("end").is_some()).ok_or_else(|| answer.broken())?;
        let mut seen = Seen { checks, ..Seen::default() };
        answer.lines("found").for_each(|found| seen.note(found));
        if let Some(line) = answer.foreign_line(&["check", "found", "end"]) {
            let shell = Check {
                what: "shell".to_owned(),
                ok: false,
                found: format!("the account's shell prints text when nobody types: {line:?}"),
                remedy: Some("guard it in ~/.bashrc".to_owned()),
            };
            on_check(&shell);
            seen.checks.push(shell);
        }
        Ok(seen)
    }

    /// How long a command takes that does nothing, on a connection that is there.
    pub async fn round_trip(&self) -> Result<Duration, RunnerError> {
        self.reach().await?;
        let began = Instant::now();
        self.plain(":", &[]).await?;
        Ok(began.elapsed())
    }

    /// Removes the workspaces and run directories of a thread; refused while one of its runs lives.
    pub async fn discard(&self, thread: ThreadId) -> Result<Removed, RunnerError> {
        self.remove(self.layout()?.verb("discard", &[&thread]), &[]).await
    }

    /// Removes the workspaces and run directories of all threads but these, the bare repositories but these, scripts of earlier
    /// versions and leftovers. A run that lives for a thread which is not kept is ended first. What is not named is gone, so both
    /// lists name everything that a run may still need; a thread in which a start is at work is left alone, and so is all that a run
    /// which came after the newest one that was known when the lists were made may need.
    pub async fn clean(
        &self,
        threads: &[ThreadId],
        repositories: &[RepositoryId],
        newest: Option<RunId>,
    ) -> Result<Removed, RunnerError> {
        let mut request = Request::default();
        if let Some(newest) = newest {
            request.record("newest", newest)?;
        }
        for thread in threads {
            request.record("keep", thread)?;
        }
        for repository in repositories {
            request.record("repository", repository)?;
        }
        request.end_records();
        self.remove(self.layout()?.verb("clean", &[]), &request.into_bytes()).await
    }

    /// How much this instance of the bot takes there, and how much is free.
    pub async fn usage(&self) -> Result<Usage, RunnerError> {
        let call = Call { command: self.layout()?.verb("usage", &[]), lane: ChannelLane::Ordinary, limit: CHECK };
        let answer = self.call(call, &[], &mut |_| ()).await?;
        expect(&answer, "usage", Usage::parse)
    }

    /// Removes everything of this instance of the bot; refused while a run lives (B43).
    pub async fn reset(&self) -> Result<Removed, RunnerError> {
        let layout = self.layout()?;
        let removed = self.remove(layout.verb("reset", &[&layout.instance()]), &[]).await;
        self.installed.store(false, Ordering::Relaxed);
        removed
    }

    fn layout(&self) -> Result<Layout, RunnerError> {
        Ok(Layout::new(&self.config.root, &self.instance)?)
    }

    async fn urgent(&self, verb: &str, ids: &[&(dyn Display + Sync)]) -> Result<Answer, RunnerError> {
        let command = {
            let ids: Vec<&(dyn Display + Sync)> = ids.iter().map(|id| *id as &(dyn Display + Sync)).collect();
            self.layout()?.verb(verb, &ids)
        };
        self.call(Call { command, lane: ChannelLane::Urgent, limit: SHORT }, &[], &mut |_| ()).await
    }

    async fn remove(&self, command: String, input: &[u8]) -> Result<Removed, RunnerError> {
        let call = Call { command, lane: ChannelLane::Ordinary, limit: REMOVE };
        let answer = self.call(call, input, &mut |_| ()).await?;
        expect(&answer, "removed", Removed::parse)
    }

    async fn endpoint(
        &self,
        path: String,
        verb: &str,
        ids: &[&(dyn Display + Sync)],
    ) -> Result<GitEndpoint, RunnerError> {
        let layout = self.layout()?;
        let ids: Vec<&(dyn Display + Sync)> = ids.iter().map(|id| *id as &(dyn Display + Sync)).collect();
        let pack_program = layout.verb(verb, &ids);
        drop(ids);
        self.warm_up().await?;
        let route = self.host.git().await?;
        let url = format!("{}/track/{}/{path}", route.url_prefix, layout.instance());
        Ok(GitEndpoint { url, env: route.env, pack_program, guard: route.guard })
    }

    /// Runs a verb; if the script is not there, installs it and runs the verb again, so that a warm machine takes one exec.
    async fn call(
        &self,
        call: Call,
        input: &[u8],
        on_line: &mut (dyn FnMut(&str) + Send),
    ) -> Result<Answer, RunnerError> {
        for _ in 0..2 {
            let answer = within(call.limit, exchange(&*self.host, &call.command, call.lane, input, on_line)).await?;
            if answer.lacks_script() {
                self.install().await?;
                continue;
            }
            self.installed.store(true, Ordering::Relaxed);
            return answer.error().map_or(Ok(answer), Err);
        }
        Err(RunnerError::Protocol("the script cannot be run even though it was just installed".to_owned()))
    }

    /// Runs a command that is no verb.
    async fn plain(&self, command: &str, input: &[u8]) -> Result<Answer, RunnerError> {
        within(SHORT, exchange(&*self.host, command, ChannelLane::Ordinary, input, &mut |_| ())).await
    }

    async fn install(&self) -> Result<(), RunnerError> {
        let command = self.layout()?.install_script();
        let answer = self.plain(&command, SCRIPT.as_bytes()).await?;
        if answer.code() != Some(0) {
            return Err(RunnerError::Disk(format!(
                "the runner script cannot be installed below {}: {}",
                self.config.root,
                answer.stderr().trim()
            )));
        }
        self.installed.store(true, Ordering::Relaxed);
        Ok(())
    }
}

struct Call {
    command: String,
    lane: ChannelLane,
    limit: Duration,
}

fn expect<T>(answer: &Answer, word: &str, parse: impl Fn(&str) -> Option<T>) -> Result<T, RunnerError> {
    answer.line(word).and_then(parse).ok_or_else(|| answer.broken())
}

async fn within<T>(limit: Duration, work: impl Future<Output = Result<T, RunnerError>>) -> Result<T, RunnerError> {
    match tokio::time::timeout(limit, work).await {
        Ok(done) => done,
        Err(_) => {
            let text = format!("gave no answer within {} seconds", limit.as_secs());
            Err(RunnerError::Host(HostError::Unreachable(text)))
        }
    }
}
