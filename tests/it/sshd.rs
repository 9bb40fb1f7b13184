//! A real sshd on a free port, with OpenSSH's default limits: what tests and benches reach machines through.
//!
//! Run as root it lets in an account of its own, `track-test`, made once; run as anybody else it lets in that account.
//! Each one has its own home folder, host key and authorized key, so that tests do not meet.

#![allow(dead_code)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The account that root's sshd lets in.
const ACCOUNT: &str = "track-test";

/// How long sshd may take to listen, and a line to appear in its log.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running sshd; stopped, with all its connections, when it is dropped.
pub struct Sshd {
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
    /// The account to log in as.
    pub user: String,
    /// What `$HOME` is for those who log in; removed with the sshd.
    pub home: PathBuf,
    /// The private key that it lets in.
    pub client_key: PathBuf,
    /// Its host key as `ssh-ed25519 AAAA…`.
    pub host_public_key: String,
    folder: TempDir,
    child: Child,
    log: Arc<Log>,
}

#[derive(Default)]
struct Log {
    lines: Mutex<Vec<String>>,
    grew: Condvar,
}

impl Sshd {
    /// Starts one and waits until it listens.
    pub fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("sshd").tempdir().expect("a temp folder");
        // The account must reach authorized_keys.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("chmod");
        let (user, home) = account();
        let client_key = make_key(folder.path(), "client");
        fs::copy(folder.path().join("client.pub"), folder.path().join("authorized_keys")).expect("authorized_keys");
        let host_public_key = make_host_key(folder.path());
        let port = free_port();
        write_config(folder.path(), port, &user, &home);
        let log = Arc::new(Log::default());
        let child = launch(folder.path(), &log);
        Self { port, user, home, client_key, host_public_key, folder, child, log }
    }

    /// The known_hosts line that pins its present host key.
    pub fn known_hosts_line(&self) -> String {
        format!("[127.0.0.1]:{} {}\n", self.port, self.host_public_key)
    }

    /// A known_hosts file in `folder` that pins its present host key.
    pub fn pin_in(&self, folder: &Path) -> PathBuf {
        let path = folder.join("known_hosts");
        fs::write(&path, self.known_hosts_line()).expect("known_hosts");
        path
    }

    /// How many logins it has accepted.
    pub fn count_logins(&self) -> usize {
        self.count("Accepted publickey")
    }

    /// How many lines of its log contain `text`.
    pub fn count(&self, text: &str) -> usize {
        self.log.lines.lock().expect("log").iter().filter(|line| line.contains(text)).count()
    }

    /// Its whole log, for the message of a failed test.
    pub fn log(&self) -> String {
        self.log.lines.lock().expect("log").join("\n")
    }

    /// Kills every connection as a crash of the network would; what runs in them goes on, and new logins are accepted.
    pub fn cut_connections(&self) {
        self.signal_connections(Signal::KILL);
    }

    /// Makes every connection a black hole: it stays open and nothing answers.
    pub fn freeze_connections(&self) {
        self.signal_connections(Signal::STOP);
    }

    /// Starts it again on the same port with a host key that nobody has pinned.
    pub fn restart_with_new_host_key(&mut self) {
        self.stop();
        self.host_public_key = make_host_key(self.folder.path());
        self.child = launch(self.folder.path(), &self.log);
    }

    /// Starts it again as it was, after [`Sshd::stop`].
    pub fn start_again(&mut self) {
        self.child = launch(self.folder.path(), &self.log);
    }

    /// Lets in whoever has the private half of one more key, as a line of `authorized_keys`.
    pub fn authorize(&self, public_key: &str) {
        let path = self.folder.path().join("authorized_keys");
        let known = fs::read_to_string(&path).expect("authorized_keys");
        fs::write(path, format!("{known}{public_key}\n")).expect("authorized_keys");
    }

    /// Stops it and cuts its connections; the port refuses connections then.
    pub fn stop(&mut self) {
        // The listener first, so that nobody logs in meanwhile; its children are looked for before they lose their parent.
        let connections = self.connections();
        let _ = self.child.kill();
        let _ = self.child.wait();
        connections.into_iter().for_each(|pid| signal(pid, Signal::KILL));
    }

    /// A port in front of it whose connections take `rtt` longer for a round trip.
    pub async fn delay_proxy(&self, rtt: Duration) -> DelayProxy {
        DelayProxy::start(self.port, rtt).await
    }

    fn signal_connections(&self, with: Signal) {
        self.connections().into_iter().for_each(|pid| signal(pid, with));
    }

    /// The processes of sshd that serve connections: its children and, with privilege separation, theirs.
    fn connections(&self) -> Vec<i32> {
        let all = sshd_processes();
        let children = |of: i32| all.iter().filter(move |(_, parent)| *parent == of).map(|(pid, _)| *pid);
        children(self.child.id() as i32).flat_map(|pid| std::iter::once(pid).chain(children(pid))).collect()
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        self.stop();
        let _ = fs::remove_dir_all(&self.home);
    }
}

/// A TCP port that forwards to another one and adds latency, half of it in each direction, without limiting the rate.
pub struct DelayProxy {
    /// Where it listens, on 127.0.0.1.
    pub port: u16,
    task: tokio::task::JoinHandle<()>,
}

impl DelayProxy {
    async fn start(to: u16, rtt: Duration) -> Self {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let task = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let Ok(far) = tokio::net::TcpStream::connect((Ipv4Addr::LOCALHOST, to)).await else { continue };
                let (_, _) = (near.set_nodelay(true), far.set_nodelay(true));
                let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
                tokio::spawn(delay(near_in, far_out, rtt / 2));
                tokio::spawn(delay(far_in, near_out, rtt / 2));
            }
        });
        Self { port, task }
    }
}

impl Drop for DelayProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn delay(mut from: impl AsyncReadExt + Unpin, mut to: impl AsyncWriteExt + Unpin + Send + 'static, by: Duration) {
    let (queue, mut due) = tokio::sync::mpsc::channel::<(tokio::time::Instant, Vec<u8>)>(1024);
    tokio::spawn(async move {
        while let Some((at, bytes)) = due.recv().await {
            tokio::time::sleep_until(at).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
        let _ = to.shutdown().await;
    });
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(n @ 1..) = from.read(&mut buffer).await {
        if queue.send((tokio::time::Instant::now() + by, buffer[..n].to_vec())).await.is_err() {
            return;
        }
    }
}

impl Log {
    fn push(&self, line: String) {
        self.lines.lock().expect("log").push(line);
        self.grew.notify_all();
    }

    fn await_line(&self, from: usize, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        let mut lines = self.lines.lock().expect("log");
        while !lines[from..].iter().any(|line| line.contains(text)) {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "sshd did not say {text:?}:\n{}", lines.join("\n"));
            lines = self.grew.wait_timeout(lines, left).expect("log").0;
        }
    }
}

fn launch(folder: &Path, log: &Arc<Log>) -> Child {
    let seen = log.lines.lock().expect("log").len();
    // sshd insists on an absolute path, because it executes itself for each connection.
    let program =
        ["/usr/sbin/sshd", "/usr/local/sbin/sshd", "/usr/bin/sshd"].into_iter().find(|p| Path::new(p).exists());
    let program = program.expect("sshd is missing: install openssh-server");
    let mut child = Command::new(program)
        .args(["-D", "-e", "-f"])
        .arg(folder.join("sshd_config"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("sshd starts");
    let stderr = child.stderr.take().expect("piped");
    let sink = log.clone();
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            sink.push(line);
        }
    });
    log.await_line(seen, "Server listening on");
    child
}

/// Limits (`MaxSessions`, `MaxStartups`) are OpenSSH's own, because they are what most machines have.
fn write_config(folder: &Path, port: u16, user: &str, home: &Path) {
    let (folder_path, home) = (folder.display(), home.display());
    let text = format!(
        "\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder_path}/host_key
AuthorizedKeysFile {folder_path}/authorized_keys
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
AllowUsers {user}
SetEnv HOME={home}
PrintMotd no
"
    );
    fs::write(folder.join("sshd_config"), text).expect("sshd_config");
}

fn make_host_key(folder: &Path) -> String {
    let key = make_key(folder, "host_key");
    let public = fs::read_to_string(key.with_extension("pub")).expect("the public half");
    public.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
}

fn make_key(folder: &Path, name: &str) -> PathBuf {
    let path = folder.join(name);
    let _ = fs::remove_file(&path);
    let status =
        Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"]).arg(&path).status();
    assert!(status.expect("ssh-keygen runs").success());
    path
}

/// Whom to let in, and a fresh home folder of theirs.
fn account() -> (String, PathBuf) {
    if !rustix::process::geteuid().is_root() {
        let name = Command::new("id").arg("-un").output().expect("id runs").stdout;
        let user = String::from_utf8(name).expect("a name").trim().to_owned();
        let home = tempfile::Builder::new().prefix("home").tempdir().expect("a temp folder").keep();
        return (user, home);
    }
    // Privilege separation needs it, and only a packaged sshd service makes it.
    fs::create_dir_all("/run/sshd").expect("/run/sshd");
    let exists = || Command::new("id").arg(ACCOUNT).output().expect("id runs").status.success();
    if !exists() {
        // `*` is a password that nobody has; without one the account counts as locked, and sshd without PAM refuses it.
        let made =
            Command::new("useradd").args(["-m", "-s", "/bin/bash", "-p", "*", ACCOUNT]).output().expect("useradd runs");
        // Another test may have made it in the same moment.
        let deadline = Instant::now() + PATIENCE;
        while !exists() {
            assert!(Instant::now() < deadline, "useradd: {}", String::from_utf8_lossy(&made.stderr));
            std::thread::yield_now();
        }
    }
    let parent = PathBuf::from("/home").join(ACCOUNT);
    let home = tempfile::Builder::new().prefix("t-").tempdir_in(&parent).expect("a home folder").keep();
    let chown = Command::new("chown").arg(format!("{ACCOUNT}:")).arg(&home).status().expect("chown runs");
    assert!(chown.success());
    (ACCOUNT.to_owned(), home)
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("an address").port()
}

fn signal(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = kill_process(pid, signal);
    }
}

/// Process id and parent of everything named sshd (`sshd-session` and `sshd-auth` since OpenSSH 9.8): proc_pid_stat(5).
fn sshd_processes() -> Vec<(i32, i32)> {
    let folders = fs::read_dir("/proc").expect("/proc").flatten();
    let read = |name: String| {
        let pid: i32 = name.parse().ok()?;
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (command, rest) = stat.split_once('(')?.1.rsplit_once(')')?;
        let parent = rest.split_whitespace().nth(1)?.parse().ok()?;
        command.starts_with("sshd").then_some((pid, parent))
    };
    folders.filter_map(|folder| read(folder.file_name().into_string().ok()?)).collect()
}
