//! One login: the ssh process that holds a connection (the master), its control socket, and what becomes of both.
//!
//! The masters are started here and not by the openssh crate, because an attempt that takes too long or is given up must be killed,
//! the environment must not name an agent, and orphans of a killed bot must be told from masters of another one that lives.

use std::fs::{self, File};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::process::Command;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::runner::HostError;

/// What authentication may take beyond `ConnectTimeout`, which covers everything up to the key exchange.
const LOGIN_GRACE: Duration = Duration::from_secs(15);

/// How long ending a master may take.
const EXIT_TIMEOUT: Duration = Duration::from_secs(3);

/// The longest `control_dir`: a socket path has 107 bytes (unix(7)), and ssh appends 17 while it makes one.
const CONTROL_DIR_MAX: usize = 107 - 17 - "/0123abcd/99999".len();

/// Names of a control folder's files other than sockets and logs.
const LOCK: &str = "lock";
const CONFIG: &str = "config";

/// A live connection.
pub(super) struct Master {
    session: Arc<openssh::Session>,
    config: PathBuf,
    control: PathBuf,
    log: PathBuf,
    watch: OnceLock<AbortHandle>,
}

impl Master {
    /// The crate's view of it.
    pub(super) fn session(&self) -> Arc<openssh::Session> {
        self.session.clone()
    }

    /// How another ssh gets a channel of this connection, or fails, but never logs in: words for a shell, which needs no quotes for them.
    pub(super) fn mux_command(&self) -> String {
        let (config, control) = (self.config.display(), self.control.display());
        format!("ssh -F {config} -S {control} -o ControlMaster=no -o ProxyCommand=false")
    }

    /// What ssh said last about the connection.
    pub(super) fn last_words(&self) -> String {
        one_line(&fs::read_to_string(&self.log).unwrap_or_default(), "the connection was lost")
    }

    /// Keeps a client on the control socket: as long as it is there the master does not end for idleness, and when it is cut the master is dead.
    /// `gone` is called then.
    pub(super) async fn watch(&self, gone: impl FnOnce() + Send + 'static) -> Result<(), HostError> {
        let mut client =
            UnixStream::connect(&self.control).await.map_err(|_| HostError::Unreachable(self.last_words()))?;
        let task = tokio::spawn(async move {
            let mut ignored = [0; 256];
            while matches!(client.read(&mut ignored).await, Ok(1..)) {}
            gone();
        });
        let _ = self.watch.set(task.abort_handle());
        Ok(())
    }

    /// Ends the connection at once; what runs on the machine goes on.
    pub(super) async fn exit(&self) {
        exit(&self.control).await;
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        if let Some(watch) = self.watch.get() {
            watch.abort();
        }
        let _ = fs::remove_file(&self.log);
    }
}

/// A folder of control sockets below `control_dir`, marked as in use by a lock that ends with this process.
pub(super) struct ControlDir {
    path: PathBuf,
    /// Held, not read: the lock says that the masters in the folder have an owner.
    _lock: File,
    next: AtomicU64,
}

impl ControlDir {
    /// Makes a folder below `parent` and writes the ssh configuration into it.
    pub(super) fn make(parent: &Path, config: &str) -> Result<Self, HostError> {
        let setup = |e: std::io::Error| {
            HostError::Setup(format!("cannot use {} for ssh's control sockets: {e}", parent.display()))
        };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(parent).map_err(setup)?;
        let about = fs::metadata(parent).map_err(setup)?;
        if about.uid() != rustix::process::geteuid().as_raw() || about.mode() & 0o022 != 0 {
            return Err(HostError::Setup(format!(
                "{}, for ssh's control sockets, can be written by others; make it a folder of the bot's own",
                parent.display()
            )));
        }
        let name = format!("{:08x}", rand::random::<u32>());
        // Only a locked folder gets a name under which others look for orphans.
        let staged = parent.join(format!("new-{name}"));
        let path = parent.join(name);
        fs::DirBuilder::new().mode(0o700).create(&staged).map_err(setup)?;
        let lock = File::options().write(true).create_new(true).mode(0o600).open(staged.join(LOCK)).map_err(setup)?;
        lock.lock().map_err(setup)?;
        fs::write(staged.join(CONFIG), config).map_err(setup)?;
        fs::rename(&staged, &path).map_err(setup)?;
        Ok(Self { path, _lock: lock, next: AtomicU64::new(0) })
    }

    /// Whether it still is on disk: something that tidies temporary files may have taken it.
    pub(super) fn is_intact(&self) -> bool {
        self.path.join(LOCK).exists() && self.path.join(CONFIG).exists()
    }
}

impl Drop for ControlDir {
    fn drop(&mut self) {
        // Masters that were not told to end find their socket gone and end for idleness.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Whether `parent` can hold control sockets: short enough, and plain enough to stand in a command line of git.
pub(crate) fn check_control_dir(parent: &Path) -> Result<PathBuf, HostError> {
    let absolute = std::path::absolute(parent)
        .map_err(|e| HostError::Setup(format!("{} cannot hold ssh's control sockets: {e}", parent.display())))?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-');
    match absolute.to_str() {
        Some(text) if text.len() <= CONTROL_DIR_MAX && text.chars().all(plain) => Ok(absolute),
        _ => Err(HostError::Setup(format!(
            "{} cannot hold ssh's control sockets: set TRACK_HOME or TMPDIR to a shorter path, of letters, digits, '.', '_', '-' and '/'",
            absolute.display()
        ))),
    }
}

/// Logs in to `host` by the configuration in `dir`. Given up (dropped), the attempt is killed.
pub(super) async fn login(host: &str, dir: &ControlDir, connect_timeout: Duration) -> Result<Master, HostError> {
    let number = dir.next.fetch_add(1, Ordering::Relaxed);
    let (config, control) = (dir.path.join(CONFIG), dir.path.join(number.to_string()));
    let log = dir.path.join(format!("{number}.log"));
    let mut ssh = ssh();
    ssh.arg("-F").arg(&config).arg("-E").arg(&log).arg("-S").arg(&control);
    // The master goes to the background once it is logged in and listens; until then it is our child.
    ssh.args(["-M", "-N", "-f", "--", host]);
    let status = match timeout(connect_timeout + LOGIN_GRACE, ssh.status()).await {
        Ok(Ok(status)) => status,
        Ok(Err(e)) => {
            return Err(HostError::Setup(format!("cannot run ssh ({e}); install the OpenSSH client")));
        }
        Err(_) => return Err(HostError::Unreachable("the login took too long and was given up".to_owned())),
    };
    if !status.success() {
        let said = fs::read_to_string(&log).unwrap_or_default();
        let _ = fs::remove_file(&log);
        return Err(classify(&said));
    }
    let session = Arc::new(openssh::Session::resume_mux(control.clone().into_boxed_path(), None));
    Ok(Master { session, config, control, log, watch: OnceLock::new() })
}

/// Connects to `host` by the configuration in `dir` until it shows its host key, which need not be pinned, and no further.
pub(super) async fn shown_host_key(
    host: &str,
    dir: &ControlDir,
    connect_timeout: Duration,
) -> Result<String, HostError> {
    let (shown, said) = (dir.path.join("shown"), dir.path.join("said"));
    let mut ssh = ssh();
    ssh.arg("-F").arg(dir.path.join(CONFIG)).arg("-o").arg(format!("UserKnownHostsFile={}", shown.display()));
    // What is said on the command line holds for the last machine only; those on the way keep to the configuration.
    ssh.args(["-o", "StrictHostKeyChecking=accept-new", "-o", "PreferredAuthentications=none", "--", host, "true"]);
    ssh.stderr(said_in(&said)?);
    match timeout(connect_timeout + LOGIN_GRACE, ssh.status()).await {
        Ok(Ok(_)) => {}
        Ok(Err(e)) => return Err(HostError::Setup(format!("cannot run ssh ({e}); install the OpenSSH client"))),
        Err(_) => return Err(HostError::Unreachable("it took too long to show a host key".to_owned())),
    }
    let shown = fs::read_to_string(shown).unwrap_or_default();
    match shown.lines().find_map(|line| line.split_once(' ')) {
        Some((_, key)) => Ok(key.to_owned()),
        None => Err(classify(&on_the_way(&said))),
    }
}

/// Why a login to a host behind others failed, if it does so again: ssh hides what is said on the way to a master.
pub(super) async fn trouble_on_the_way(host: &str, dir: &ControlDir, connect_timeout: Duration) -> Option<HostError> {
    let said = dir.path.join("said");
    let mut ssh = ssh();
    ssh.arg("-F").arg(dir.path.join(CONFIG)).args(["-o", "ControlPath=none", "-o", "ControlPersist=no"]);
    ssh.args(["--", host, "true"]).stderr(said_in(&said).ok()?);
    let status = timeout(connect_timeout + LOGIN_GRACE, ssh.status()).await.ok()?.ok()?;
    let said = on_the_way(&said);
    (!status.success() && !said.is_empty()).then(|| classify(&said))
}

/// What was said, without what follows from it: the last ssh only knows that there is nothing to talk to.
fn on_the_way(said: &Path) -> String {
    let said = fs::read_to_string(said).unwrap_or_default();
    let follows = |line: &&str| line.contains("UNKNOWN port 65535") || line.contains("kex_exchange_identification");
    said.lines().filter(|line| !follows(line)).map(|line| format!("{line}\n")).collect()
}

/// A file for what a program says.
fn said_in(path: &Path) -> Result<Stdio, HostError> {
    match File::create(path) {
        Ok(file) => Ok(file.into()),
        Err(e) => Err(HostError::Setup(format!("cannot write {}: {e}", path.display()))),
    }
}

/// Ends masters below `parent` whose bot died without ending them, and removes their folders. Those of a living bot are left alone.
pub(super) async fn sweep_orphans(parent: &Path) {
    let Ok(folders) = fs::read_dir(parent) else { return };
    for folder in folders.flatten() {
        let name = folder.file_name();
        let ours = name.to_str().is_some_and(|name| name.len() == 8 && name.bytes().all(|b| b.is_ascii_hexdigit()));
        let Ok(lock) = File::options().write(true).open(folder.path().join(LOCK)) else { continue };
        if !ours || lock.try_lock().is_err() {
            continue;
        }
        for file in fs::read_dir(folder.path()).into_iter().flatten().flatten() {
            if file.file_type().is_ok_and(|kind| kind.is_socket()) {
                exit(&file.path()).await;
            }
        }
        let _ = fs::remove_dir_all(folder.path());
    }
}

async fn exit(control: &Path) {
    let mut ssh = ssh();
    // The host is not looked at: the request goes to the socket.
    ssh.args(["-F", "/dev/null", "-O", "exit", "-S"]).arg(control).args(["--", "master"]);
    let _ = timeout(EXIT_TIMEOUT, ssh.status()).await;
}

fn ssh() -> Command {
    let mut ssh = Command::new("ssh");
    ssh.env_remove("SSH_AUTH_SOCK").env_remove("SSH_ASKPASS").env_remove("DISPLAY");
    ssh.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    ssh
}

/// What ssh's log of a failed login means. ssh has one exit code for all of it, so its words decide.
fn classify(log: &str) -> HostError {
    let says = |text: &str| log.contains(text);
    let last = one_line(log, "ssh gave no reason");
    if says("Host key verification failed") || says("no matching host key type") {
        let shown = log.split_whitespace().find(|word| word.starts_with("SHA256:"));
        let shown =
            shown.map_or(String::new(), |print| format!(" It shows {}.", one_line(print.trim_end_matches('.'), "")));
        return HostError::HostKey(format!(
            "{last}.{shown} If the machine was set up anew, pin its new key with `track runner add`; if not, somebody may be in between"
        ));
    }
    if says("Permission denied (") || says("Too many authentication failures") || says("UNPROTECTED PRIVATE KEY") {
        return HostError::Login(last);
    }
    if says("Bad configuration option") || says("Bad owner or permissions") {
        return HostError::Setup(format!("ssh does not accept the configuration that track wrote: {last}"));
    }
    HostError::Unreachable(last)
}

/// The last line of what a program said, without control characters and at most 300 characters long, or `otherwise`.
pub(crate) fn one_line(text: &str, otherwise: &str) -> String {
    let last = text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or(otherwise);
    last.trim_end_matches('.').chars().filter(|c| !c.is_control()).take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ssh_says_decides_what_went_wrong() {
        let changed = "\
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@\r
@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\r
The fingerprint for the ED25519 key sent by the remote host is\r
SHA256:abc.\r
Host key for h has changed and you have requested strict checking.\r
Host key verification failed.\r
";
        insta::assert_snapshot!(classify(changed), @"shows a host key that is not the pinned one: Host key verification failed. It shows SHA256:abc. If the machine was set up anew, pin its new key with `track runner add`; if not, somebody may be in between");
        for (log, expected) in [
            (
                "No ED25519 host key is known for h and you have requested strict checking.\nHost key verification failed.",
                "shows a host key",
            ),
            ("Unable to negotiate with h: no matching host key type found. Their offer: x", "shows a host key"),
            ("agent@h: Permission denied (publickey).", "refuses the login: agent@h: Permission denied (publickey)"),
            ("ssh: connect to host h port 22: Connection refused", "cannot be reached: ssh: connect to host h"),
            ("kex_exchange_identification: Connection closed by remote host", "cannot be reached: kex"),
            ("ssh: Could not resolve hostname h: Name or service not known", "cannot be reached: ssh: Could not"),
            ("", "cannot be reached: ssh gave no reason"),
            ("x: line 3: Bad configuration option: y", "ssh does not accept"),
        ] {
            let text = classify(log).to_string();
            assert!(text.starts_with(expected), "{log:?}: {text}");
        }
    }

    #[test]
    fn words_of_a_machine_are_one_clean_line() {
        // T39
        assert_eq!(one_line("a\n\x1b[31mred\x07\x1b[0m \n\n", ""), "[31mred[0m");
        assert_eq!(one_line(&"x".repeat(9_000), "").len(), 300);
        assert_eq!(one_line("\n \n", "nothing"), "nothing");
    }

    #[test]
    fn a_control_folder_must_be_short_and_plain() {
        check_control_dir(Path::new("/run/user/1000/track")).expect("fine");
        let long = format!("/{}", "a".repeat(CONTROL_DIR_MAX));
        for path in [long.as_str(), "/run/my track", "/run/%h", "/run/$x", "/run/a'b"] {
            check_control_dir(Path::new(path)).expect_err(path);
        }
    }

    #[tokio::test]
    async fn only_folders_without_an_owner_are_swept() {
        let parent = tempfile::tempdir().expect("a folder");
        let living = ControlDir::make(parent.path(), "").expect("made");
        let orphan = parent.path().join("0123abcd");
        let foreign = parent.path().join("somebody");
        for folder in [&orphan, &foreign] {
            fs::create_dir(folder).expect("made");
            fs::write(folder.join(LOCK), "").expect("written");
        }
        sweep_orphans(parent.path()).await;
        assert!(living.is_intact() && foreign.exists() && !orphan.exists());
    }
}
