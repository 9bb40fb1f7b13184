//! The machine on which the bot itself runs, as a [`Host`].
//!
//! The bot's own environment holds the App's secrets, so nothing of it but a few harmless names reaches what is started here.

use std::process::{ExitStatus, Stdio};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::process::Command;

use super::host::{ChannelLane, GitRoute, Host, HostError, Process};

/// Names of the bot's environment that started programs get.
const KEPT: &[&str] = &["PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ"];

/// Starts programs on this machine, in process groups of their own so that a Ctrl-C meant for the bot does not reach them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Local;

impl Host for Local {
    fn exec<'a>(&'a self, command: &'a str, _lane: ChannelLane) -> BoxFuture<'a, Result<Process, HostError>> {
        async move {
            let kept = KEPT.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
            let mut child = Command::new("bash")
                .arg("-c")
                .arg(command)
                .env_clear()
                .envs(kept)
                .current_dir("/")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .process_group(0)
                .spawn()
                .map_err(|error| HostError::Setup(format!("bash cannot be started on this machine: {error}")))?;
            let (Some(stdin), Some(stdout), Some(stderr)) =
                (child.stdin.take(), child.stdout.take(), child.stderr.take())
            else {
                return Err(HostError::Setup("bash was started without its streams".to_owned()));
            };
            let wait = async move {
                let status = child.wait().await;
                status.map(exit_code).map_err(|error| HostError::Unreachable(format!("cannot wait for bash: {error}")))
            };
            Ok(Process {
                stdin: Box::pin(stdin),
                stdout: Box::pin(stdout),
                stderr: Box::pin(stderr),
                wait: wait.boxed(),
            })
        }
        .boxed()
    }

    fn git(&self) -> BoxFuture<'_, Result<GitRoute, HostError>> {
        let route = GitRoute { url_prefix: String::new(), env: Vec::new(), guard: Box::new(()) };
        async move { Ok(route) }.boxed()
    }

    fn logins(&self) -> u64 {
        0
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        async {}.boxed()
    }
}

/// The code as a shell tells it: 128 and the signal for a process that a signal ended.
fn exit_code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(-1)
}
