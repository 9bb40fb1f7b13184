//! A machine over SSH: a few multiplexed connections, logged in to once and shared by everything that goes there.
//!
//! A login costs a quarter of a second and counts against sshd's `MaxStartups`; a channel on a connection that is there costs milliseconds.
//! So callers share connections, one login is made at a time, and nobody, git included, ever logs in on the side.

mod config;
mod master;
mod pool;
mod streams;

use std::error::Error as _;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::{BoxFuture, FutureExt};
use openssh::Stdio;
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout, timeout_at};

use self::master::{ControlDir, Master};
use self::pool::{Channel, Pool, REFUSAL_PAUSE};
use super::{ChannelLane, GitRoute, Host, HostError, Process};
use crate::config::Jump;

pub use self::config::{check_host, check_user};
pub(crate) use self::master::{check_control_dir, one_line};

/// How long a caller waits for a channel to be given back before a further login is made for it: about what the login would cost.
const PATIENCE: Duration = Duration::from_millis(200);

/// Channels beside those of live attaches, so that the next run does not wait for a login: ⌈(live attaches + 4) / 8⌉ connections.
const SPARE: usize = 4;

/// Connections to one machine at most; beyond these, callers wait.
const MAX_CONNECTIONS: usize = 8;

/// How often a channel that was refused before anything ran in it is asked for again.
const ATTEMPTS: u32 = 4;

/// How long opening a channel may take. A dead peer is found within 12 s, so only a stuck ssh takes longer.
const OPEN_TIMEOUT: Duration = Duration::from_secs(20);

/// The pause before the master, too busy to accept another client, is asked again.
const BUSY_PAUSE: Duration = Duration::from_millis(20);

/// How a machine is reached over SSH.
#[derive(Clone, Debug)]
pub struct SshSettings {
    /// Host name or address.
    pub host: String,
    /// Account on the host.
    pub user: String,
    /// Port of its sshd.
    pub port: u16,
    /// Machines on the way, in order; where an account is not named, it is that on the host.
    pub jumps: Vec<Jump>,
    /// Private key, usable without a passphrase.
    pub key_path: PathBuf,
    /// The file that pins the host keys, also of the machines on the way (see [`super::hostkeys::pin`]).
    pub known_hosts_path: PathBuf,
    /// Folder for control sockets, made if missing, writable by the bot alone; short, because socket paths are. Several machines may share it.
    pub control_dir: PathBuf,
    /// How long connecting may take, in whole seconds.
    pub connect_timeout: Duration,
}

/// A machine over SSH.
pub struct Ssh {
    shared: Arc<Shared>,
}

struct Shared {
    settings: SshSettings,
    config: String,
    pool: Arc<Pool<Master>>,
    /// One login at a time; whoever holds this makes it for all who wait.
    login: Mutex<Login>,
    /// Attempts to log in that have ended, well or not.
    attempts: AtomicU64,
    logins: AtomicU64,
    /// Whether somebody already looks after [`SPARE`].
    sparing: AtomicBool,
}

#[derive(Default)]
struct Login {
    dir: Option<ControlDir>,
    /// Why the last attempt failed, for those who waited for it.
    failure: Option<HostError>,
}

impl Ssh {
    /// Checks the settings; connects at the first use.
    ///
    /// # Errors
    /// [`HostError::Setup`] names the setting that cannot work.
    pub fn new(settings: SshSettings) -> Result<Self, HostError> {
        let (settings, config) = checked(settings)?;
        let shared = Arc::new(Shared {
            settings,
            config,
            pool: Pool::new(),
            login: Mutex::default(),
            attempts: AtomicU64::new(0),
            logins: AtomicU64::new(0),
            sparing: AtomicBool::new(false),
        });
        Ok(Self { shared })
    }
}

fn checked(mut settings: SshSettings) -> Result<(SshSettings, String), HostError> {
    check_host(&settings.host)?;
    check_user(&settings.user)?;
    if settings.port == 0 {
        return Err(HostError::Setup("the port is 0; sshd listens on 22 unless it was told otherwise".to_owned()));
    }
    settings.control_dir = master::check_control_dir(&settings.control_dir)?;
    let config = config::text(&settings)?;
    Ok((settings, config))
}

/// The host key that a machine shows which is reached through others, as `ssh-ed25519 AAAA…`. Those must let the bot in and are held to
/// their pinned keys; nothing is trusted of the machine itself.
///
/// # Errors
/// A machine on the way refuses the login or shows another key, or the one behind them does not answer.
pub async fn shown_host_key(settings: SshSettings) -> Result<String, HostError> {
    let (settings, config) = checked(settings)?;
    let dir = ControlDir::make(&settings.control_dir, &config)?;
    master::shown_host_key(&settings.host, &dir, settings.connect_timeout).await
}

impl Host for Ssh {
    /// Both output streams must be read to their ends, or dropped, before the exit code comes.
    fn exec<'a>(&'a self, command: &'a str, lane: ChannelLane) -> BoxFuture<'a, Result<Process, HostError>> {
        self.shared.open(command, lane).boxed()
    }

    fn git(&self) -> BoxFuture<'_, Result<GitRoute, HostError>> {
        self.shared.route().boxed()
    }

    fn logins(&self) -> u64 {
        self.shared.logins.load(Ordering::SeqCst)
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        async {
            // A login that is under way is waited for, so that it is ended too.
            let mut login = self.shared.login.lock().await;
            for master in self.shared.pool.drain() {
                master.exit().await;
            }
            login.dir = None;
        }
        .boxed()
    }
}

impl Shared {
    async fn open(self: &Arc<Self>, command: &str, lane: ChannelLane) -> Result<Process, HostError> {
        let command = remote_command(command);
        for _ in 0..ATTEMPTS {
            let channel = self.channel(lane).await?;
            let mut remote = channel.connection().session().arc_raw_command(&command);
            remote.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let Ok(spawned) = timeout(OPEN_TIMEOUT, remote.spawn()).await else {
                channel.dead();
                return Err(HostError::Unreachable("no channel was opened in time".to_owned()));
            };
            match spawned.map_err(Trouble::from) {
                Ok(child) => {
                    channel.opened();
                    self.keep_spare();
                    return streams::process(child, channel);
                }
                Err(Trouble::Refused) => channel.refused(Instant::now()),
                Err(Trouble::Busy) => sleep(BUSY_PAUSE).await,
                Err(Trouble::Gone) => channel.dead(),
                Err(Trouble::Lost) => {
                    let why = channel.connection().last_words();
                    channel.dead();
                    return Err(HostError::Unreachable(why));
                }
                Err(Trouble::Local(error)) => return Err(error),
            }
        }
        Err(HostError::Unreachable(format!("it refused a channel {ATTEMPTS} times; does its sshd limit MaxSessions?")))
    }

    async fn route(self: &Arc<Self>) -> Result<GitRoute, HostError> {
        let mut tries = 0;
        let channel = loop {
            let channel = self.channel(ChannelLane::Ordinary).await?;
            tries += 1;
            if tries == ATTEMPTS || channel.connection().session().check().await.is_ok() {
                break channel;
            }
            channel.dead();
        };
        let SshSettings { host, user, port, .. } = &self.settings;
        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        Ok(GitRoute {
            url_prefix: format!("ssh://{user}@{host}:{port}"),
            env: vec![
                ("GIT_SSH_COMMAND".to_owned(), channel.connection().mux_command()),
                ("GIT_SSH_VARIANT".to_owned(), "ssh".to_owned()),
            ],
            guard: Box::new(channel),
        })
    }

    /// A free channel: of a connection that is there, after a short wait for one to be given back, or else of a new connection.
    async fn channel(&self, lane: ChannelLane) -> Result<Channel<Master>, HostError> {
        let seen = self.attempts.load(Ordering::SeqCst);
        let mut patience = None;
        loop {
            let mut changed = std::pin::pin!(self.pool.changed());
            // From here on nothing that is given back is missed.
            changed.as_mut().enable();
            if let Some(channel) = self.pool.take(lane, Instant::now()) {
                return Ok(channel);
            }
            let connections = self.pool.len();
            let paused = || if lane == ChannelLane::Urgent { self.pool.take_paused(lane) } else { None };
            if connections >= MAX_CONNECTIONS {
                if let Some(channel) = paused() {
                    return Ok(channel);
                }
                // A connection that is passed over after a refusal comes back without a sign, hence the timeout.
                let _ = timeout(REFUSAL_PAUSE, changed).await;
                continue;
            }
            if connections > 0 {
                let until = *patience.get_or_insert_with(|| tokio::time::Instant::now() + PATIENCE);
                if timeout_at(until, changed.as_mut()).await.is_ok() {
                    continue;
                }
            }
            let mut login = tokio::select! {
                login = self.login.lock() => login,
                () = changed => continue,
            };
            if let Some(channel) = self.pool.take(lane, Instant::now()) {
                return Ok(channel);
            }
            if self.attempts.load(Ordering::SeqCst) > seen
                && let Some(failure) = &login.failure
            {
                return paused().ok_or_else(|| again(failure));
            }
            if self.pool.len() > 0 && patience.is_none() {
                continue;
            }
            if let Err(failure) = self.log_in(&mut login).await {
                return paused().ok_or(failure);
            }
        }
    }

    /// Adds a connection in the background where working agents have taken most channels of those that are there.
    fn keep_spare(self: &Arc<Self>) {
        if self.pool.wanted(SPARE).min(MAX_CONNECTIONS) <= self.pool.len() || self.sparing.swap(true, Ordering::SeqCst)
        {
            return;
        }
        let shared = self.clone();
        tokio::spawn(async move {
            let mut login = shared.login.lock().await;
            // Without any connection it was closed or broken meanwhile, and whoever comes next logs in.
            if (1..shared.pool.wanted(SPARE).min(MAX_CONNECTIONS)).contains(&shared.pool.len()) {
                // Whoever needs the connection that could not be made will be told why.
                let _ = shared.log_in(&mut login).await;
            }
            drop(login);
            shared.sparing.store(false, Ordering::SeqCst);
        });
    }

    async fn log_in(&self, login: &mut Login) -> Result<(), HostError> {
        let connected = self.connect(&mut login.dir).await;
        self.attempts.fetch_add(1, Ordering::SeqCst);
        login.failure = connected.as_ref().err().map(again);
        connected
    }

    async fn connect(&self, dir: &mut Option<ControlDir>) -> Result<(), HostError> {
        let dir = match dir {
            Some(made) if made.is_intact() => made,
            _ => {
                master::sweep_orphans(&self.settings.control_dir).await;
                dir.insert(ControlDir::make(&self.settings.control_dir, &self.config)?)
            }
        };
        let SshSettings { host, jumps, connect_timeout, .. } = &self.settings;
        let master = match master::login(host, dir, *connect_timeout).await {
            Err(error @ HostError::Unreachable(_)) if !jumps.is_empty() => {
                return Err(master::trouble_on_the_way(host, dir, *connect_timeout).await.unwrap_or(error));
            }
            master => Arc::new(master?),
        };
        self.logins.fetch_add(1, Ordering::SeqCst);
        let id = self.pool.add(master.clone());
        let pool = Arc::downgrade(&self.pool);
        let gone = move || {
            if let Some(pool) = pool.upgrade() {
                pool.remove(id);
            }
        };
        let watched = master.watch(gone).await;
        if watched.is_err() {
            self.pool.remove(id);
        }
        watched
    }
}

/// Why a channel was not opened, as far as the next step differs.
enum Trouble {
    /// sshd has no session left on this connection; nothing was started.
    Refused,
    /// The master does not accept clients fast enough; nothing was started.
    Busy,
    /// There is no master any more; nothing was started.
    Gone,
    /// The connection ended after the request: whether anything was started is unknown, so it is not asked again.
    Lost,
    /// Nothing that another connection could help with.
    Local(HostError),
}

impl From<openssh::Error> for Trouble {
    fn from(error: openssh::Error) -> Self {
        use openssh::Error;
        match &error {
            Error::Disconnected => Self::Gone,
            Error::SshMux(mux) => match mux.source().and_then(|source| source.downcast_ref::<io::Error>()) {
                Some(e) if e.kind() == io::ErrorKind::WouldBlock => Self::Busy,
                // The type of the crate below is not ours to name; its text is all there is.
                None if mux.to_string().contains("refused the request") => Self::Refused,
                _ => Self::Lost,
            },
            Error::InvalidCommand => Self::Local(HostError::Setup("a command holds a NUL byte".to_owned())),
            _ => Self::Local(HostError::Unreachable(match error.source() {
                Some(source) => format!("{error}: {source}"),
                None => error.to_string(),
            })),
        }
    }
}

/// The text that the login shell gets. Without `exec`: shells run the last command of `-c` in their own place anyway, and bash,
/// told so explicitly, would take the second bash for a login's first one and read `~/.bashrc` again.
fn remote_command(command: &str) -> String {
    format!("bash -c '{}'", command.replace('\'', r"'\''"))
}

fn again(error: &HostError) -> HostError {
    match error {
        HostError::Unreachable(why) => HostError::Unreachable(why.clone()),
        HostError::Login(why) => HostError::Login(why.clone()),
        HostError::HostKey(why) => HostError::HostKey(why.clone()),
        HostError::Setup(why) => HostError::Setup(why.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_command_survives_the_login_shell() {
        // T22
        for command in ["echo 'a b'", r#"printf '%s' "$HOME" \\ '\''"#, "printf 'x\ny'", "echo $(echo '$x' `id -u`)"] {
            let run = |text: &str| {
                let output = std::process::Command::new("sh").args(["-c", text]).output().expect("sh runs");
                String::from_utf8(output.stdout).expect("text")
            };
            let direct = std::process::Command::new("bash").args(["-c", command]).output().expect("bash runs").stdout;
            assert_eq!(run(&remote_command(command)).as_bytes(), direct, "{command}");
        }
    }
}
