//! One git command: nobody's configuration but ours, no prompt, a time limit, and no child that outlives it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process_group, prlimit};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::io::AsyncReadExt as _;

use super::error::{GitError, classify};

/// Time for a command that stays on this machine.
const LOCAL: Duration = Duration::from_secs(60);
/// Largest output that is kept; a command that prints more is ended.
const STDOUT_BYTES: u64 = 64 * 1024 * 1024;
/// Part of standard error that is kept.
const STDERR_BYTES: u64 = 64 * 1024;
/// Part of git's words that becomes an error message.
const TEXT_BYTES: usize = 2_000;

/// Settings of every command. Hooks and file-system monitors would run programs, automatic maintenance would outlive the command,
/// and an empty helper ends the list of credential helpers that stood before.
const SETTINGS: &[&str] = &[
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.askPass=",
    "credential.helper=",
    "fetch.fsckObjects=true",
    "fetch.recurseSubmodules=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "protocol.allow=never",
    "push.gpgSign=false",
    "push.recurseSubmodules=no",
    "submodule.recurse=false",
    "transfer.fsckObjects=true",
];

/// Variables that pass from the bot's environment: where programs are, and how a corporate network is left.
const PASSED: &[&str] =
    &["PATH", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY"];

/// A git command in the making.
pub(super) struct Git<'a> {
    /// What it is for, in words for messages.
    what: &'a str,
    settings: Vec<String>,
    args: Vec<OsString>,
    env: BTreeMap<OsString, OsString>,
    timeout: Duration,
    /// Whether it waits for another machine.
    network: bool,
    file_bytes: Option<u64>,
    /// Only so much of its output is wanted; more is no mistake.
    first: Option<u64>,
    /// Never to appear in a message.
    secret: Option<&'a SecretString>,
}

/// What a command came to.
pub(super) struct Output {
    pub success: bool,
    /// Its exit code; none where a signal ended it.
    pub code: Option<i32>,
    pub stdout: Vec<u8>,
    /// Whether it would have printed more than was wanted.
    pub cut: bool,
    /// Cleaned and cut.
    pub stderr: String,
}

impl<'a> Git<'a> {
    /// A command in the repository at `dir`, which is named outright: nothing is searched for.
    pub fn new(what: &'a str, dir: &Path) -> Self {
        let mut env: BTreeMap<OsString, OsString> =
            PASSED.iter().filter_map(|name| Some((name.into(), std::env::var_os(name)?))).collect();
        for (name, value) in [
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_NO_REPLACE_OBJECTS", "1"),
            ("GIT_NO_LAZY_FETCH", "1"),
            ("LC_ALL", "C"),
            // curl reads ~/.netrc there.
            ("HOME", "/nonexistent"),
        ] {
            env.insert(name.into(), value.into());
        }
        env.insert("GIT_DIR".into(), dir.into());
        Self {
            what,
            settings: SETTINGS.iter().map(|&setting| setting.to_owned()).collect(),
            args: Vec::new(),
            env,
            timeout: LOCAL,
            network: false,
            file_bytes: None,
            first: None,
            secret: None,
        }
    }

    pub fn setting(mut self, setting: String) -> Self {
        self.settings.push(setting);
        self
    }

    pub fn args<I: IntoIterator<Item = S>, S: Into<OsString>>(mut self, args: I) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    pub fn env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.env.insert(name.into(), value.into());
        self
    }

    /// Lets a variable of the bot's environment through.
    pub fn pass(self, name: &str) -> Self {
        match std::env::var_os(name) {
            Some(value) => self.env(name, value),
            None => self,
        }
    }

    /// Another limit than what a command on this machine usually has.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Says that it talks to another machine, and how long that may take.
    pub fn network(mut self, timeout: Duration) -> Self {
        self.network = true;
        self.timeout(timeout)
    }

    /// The largest file that it, or a program that it starts, may write.
    pub fn file_bytes(mut self, bytes: u64) -> Self {
        self.file_bytes = Some(bytes);
        self
    }

    /// Takes so many bytes of its output and ends it there.
    pub fn first(mut self, bytes: u64) -> Self {
        self.first = Some(bytes);
        self
    }

    pub fn secret(mut self, secret: Option<&'a SecretString>) -> Self {
        self.secret = secret;
        self
    }

    /// Its standard output, if it succeeds.
    pub async fn ok(self) -> Result<Vec<u8>, GitError> {
        let what = self.what;
        let output = self.run().await?;
        if output.success { Ok(output.stdout) } else { Err(classify(what, output.stderr)) }
    }

    /// Runs it to its end, whatever that is.
    pub async fn run(self) -> Result<Output, GitError> {
        let io = |error: std::io::Error| GitError::Failed { what: self.what.to_owned(), text: error.to_string() };
        let mut command = tokio::process::Command::new("git");
        for setting in &self.settings {
            command.arg("-c").arg(setting);
        }
        command.args(&self.args).env_clear().envs(&self.env).current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // A group of its own, so that its helpers (curl, ssh, index-pack, the shell) end with it.
        command.process_group(0).kill_on_drop(true);
        let mut child = command.spawn().map_err(GitError::NotInstalled)?;
        let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        // After `child`, so that it is dropped first: the group's number is ours until the child is reaped.
        let mut group = Group(pid);
        if let Some(bytes) = self.file_bytes {
            // Inherited by what it starts, and it starts nothing before the other side has answered.
            let limit = Rlimit { current: Some(bytes), maximum: Some(bytes) };
            prlimit(pid, Resource::Fsize, limit).map_err(|error| io(error.into()))?;
        }

        let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(io(std::io::Error::other("its streams are missing")));
        };
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let most = self.first.unwrap_or(STDOUT_BYTES);
        let exchange = async {
            // Whoever prints more finds the pipe closed, and ends.
            let read_out = async { stdout.take(most + 1).read_to_end(&mut out).await };
            let read_err = async {
                let mut stderr = stderr;
                (&mut stderr).take(STDERR_BYTES).read_to_end(&mut err).await?;
                tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await
            };
            let (read_out, read_err) = tokio::join!(read_out, read_err);
            read_out?;
            read_err?;
            child.wait().await
        };
        let status = match tokio::time::timeout(self.timeout, exchange).await {
            Ok(status) => status.map_err(io)?,
            Err(_) => {
                let (what, seconds) = (self.what.to_owned(), self.timeout.as_secs());
                return Err(match self.network {
                    true => GitError::TimedOut { what, seconds },
                    false => GitError::Slow { what, seconds },
                });
            }
        };
        group.0 = None;
        if self.first.is_some() && out.len() as u64 > most {
            out.truncate(usize::try_from(most).unwrap_or(usize::MAX));
            return Ok(Output { success: true, code: None, stdout: out, cut: true, stderr: String::new() });
        }
        if out.len() as u64 > most {
            let text = format!("more than {} MiB of output", STDOUT_BYTES / 1024 / 1024);
            return Err(GitError::TooLarge { what: self.what.to_owned(), text });
        }
        let mut text = clean(&err, self.secret);
        if !status.success() && text.is_empty() {
            text = status.to_string();
        }
        Ok(Output { success: status.success(), code: status.code(), stdout: out, cut: false, stderr: text })
    }
}

/// Ends a process group when it is dropped armed: on a timeout, and when the waiting task is dropped.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // Gone already is as good.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// git's words without credentials, terminal sequences and the part beyond the cap.
pub(super) fn clean(bytes: &[u8], secret: Option<&SecretString>) -> String {
    let mut text = String::from_utf8_lossy(bytes).into_owned();
    if let Some(secret) = secret {
        text = text.replace(secret.expose_secret(), "***");
    }
    let mut clean: String = text
        .chars()
        .map(|c| if c == '\r' { '\n' } else { c })
        .filter(|&c| c == '\n' || !c.is_control())
        .collect::<String>()
        .lines()
        .map(str::trim_end)
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join("\n");
    if clean.len() > TEXT_BYTES {
        // The end says what went wrong.
        let from = (clean.len() - TEXT_BYTES..clean.len()).find(|&at| clean.is_char_boundary(at)).unwrap_or(0);
        clean.replace_range(..from, "…");
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_command_ends_at_its_limit_with_everything_it_started() {
        let dir = tempfile::tempdir().unwrap();
        let pid = dir.path().join("pid");
        let script = format!("!sleep 600 & echo $! >{}; wait", pid.display());
        let git = Git::new("waiting", dir.path()).setting(format!("alias.hang={script}")).args(["hang"]);
        // The limit leaves time for the child to be there on a busy machine.
        let error = git.timeout(Duration::from_secs(3)).run().await.err().unwrap();
        insta::assert_snapshot!(error, @"waiting: not done after 3 s, with nothing to wait for but this machine: too much for it");
        assert!(!error.is_transient());
        let child = std::fs::read_to_string(&pid).unwrap();
        let stat = format!("/proc/{}/stat", child.trim());
        let gone = || std::fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z "));
        for _ in 0..200 {
            if gone() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the helper lives on");
    }

    #[tokio::test]
    async fn whoever_waits_for_another_machine_may_try_again() {
        let dir = tempfile::tempdir().unwrap();
        let git = Git::new("waiting", dir.path()).setting("alias.hang=!sleep 600".to_owned()).args(["hang"]);
        let error = git.network(Duration::from_millis(100)).run().await.err().unwrap();
        assert!(matches!(error, GitError::TimedOut { .. }) && error.is_transient(), "{error:?}");
    }

    #[test]
    fn words_are_cleaned() {
        let secret = SecretString::from("ghs_abc.def-ghi".to_owned());
        let text = "remote: \u{1b}[31mno\u{1b}[0m ghs_abc.def-ghi\r\n\n  fatal: x \n";
        assert_eq!(clean(text.as_bytes(), Some(&secret)), "remote: [31mno[0m ***\n  fatal: x");
        assert!(clean(&[b'x'; 100_000], None).len() < 2_010);
    }
}
