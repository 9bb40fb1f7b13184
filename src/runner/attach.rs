//! Following a journal while the agent writes it.

use std::fmt;
use std::pin::Pin;

use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, BufReader};

use super::error::RunnerError;
use super::host::{ChannelLane, Host, HostError, Process};
use super::wire::{lost, read_line};

/// Lines that the account's own shell may print before the script says its first word.
const FOREIGN_LINES: usize = 50;

/// Bytes of a journal as they come. Dropping it ends what it started on the runner, and nothing else there.
pub struct Attach {
    stdout: BufReader<Pin<Box<dyn AsyncRead + Send>>>,
    wait: Option<BoxFuture<'static, Result<i32, HostError>>>,
    /// Open as long as we listen: its end is how the runner notices that we went away.
    _stdin: Pin<Box<dyn AsyncWrite + Send>>,
    stderr: Option<Pin<Box<dyn AsyncRead + Send>>>,
}

impl Attach {
    /// `None` if the script is not on the machine.
    pub(super) async fn open(host: &dyn Host, command: &str) -> Result<Option<Self>, RunnerError> {
        let Process { stdin, stdout, stderr, wait } = host.exec(command, ChannelLane::Lasting).await?;
        let mut stdout = BufReader::with_capacity(64 * 1024, stdout);
        for _ in 0..=FOREIGN_LINES {
            match read_line(&mut stdout).await?.as_deref() {
                Some("attached") => {
                    return Ok(Some(Self { stdout, wait: Some(wait), _stdin: stdin, stderr: Some(stderr) }));
                }
                Some(line) => {
                    if let Some(error) = line.strip_prefix("error ") {
                        return Err(RunnerError::stated(error));
                    }
                }
                None => {
                    drop((stdin, stdout, stderr));
                    return match wait.await? {
                        127 => Ok(None),
                        code => Err(RunnerError::Protocol(format!(
                            "attach ended with exit code {code} and without an answer"
                        ))),
                    };
                }
            }
        }
        Err(RunnerError::Protocol(format!("none of {FOREIGN_LINES} lines is an answer to attach")))
    }

    /// The next bytes; `None` once the supervisor is gone. A lost connection is an error, and the last item. Safe to cancel.
    pub async fn next(&mut self) -> Option<Result<Bytes, RunnerError>> {
        self.wait.as_ref()?;
        let mut bytes = BytesMut::with_capacity(64 * 1024);
        match self.stdout.read_buf(&mut bytes).await {
            Ok(1..) => return Some(Ok(bytes.freeze())),
            Ok(0) => (),
            Err(error) => {
                self.wait = None;
                return Some(Err(lost(error)));
            }
        }
        // The exit code comes when nobody reads any more (see `Host::exec`).
        self.stderr = None;
        let code = self.wait.as_mut()?.await;
        self.wait = None;
        match code {
            Ok(0) => None,
            Ok(code) => {
                let text = format!("the journal broke off with exit code {code}");
                Some(Err(RunnerError::Host(HostError::Unreachable(text))))
            }
            Err(error) => Some(Err(error.into())),
        }
    }
}

impl fmt::Debug for Attach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Attach")
    }
}
