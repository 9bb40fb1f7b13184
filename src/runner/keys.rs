//! The key pair by which the bot logs in to its runners: its own, made at first use, or one that the operator names.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::process::Command;
use tokio::sync::Mutex;

/// A key pair on disk. Only the path of the private half is kept: ssh reads the file, the bot never does more than look at its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPair {
    /// The private key.
    pub private: PathBuf,
    /// The line for `authorized_keys` on the runner, without a newline.
    pub public: String,
}

/// The bot's own pair at `home/keys/runner_ed25519`, made if it is not there.
///
/// # Errors
/// The folder cannot be written, or `ssh-keygen` is missing or fails.
pub async fn own(home: &Path) -> anyhow::Result<KeyPair> {
    // Two callers at once must not make two pairs; other processes are kept away by the lock on `home`.
    static MAKING: Mutex<()> = Mutex::const_new(());
    let _making = MAKING.lock().await;
    let folder = std::path::absolute(home).context("cannot tell the working directory")?.join("keys");
    let private = folder.join("runner_ed25519");
    if !private.exists() {
        make(&folder, &private).await?;
    }
    given(&private).await
}

/// A pair that exists already, checked: ssh in batch mode would only say "Permission denied" about most mistakes found here.
///
/// # Errors
/// The file is missing, is no private key, is readable by others, or needs a passphrase.
pub async fn given(private: &Path) -> anyhow::Result<KeyPair> {
    check_private(private)?;
    let beside = with_pub(private);
    let public = match fs::read_to_string(&beside) {
        Ok(line) => line,
        Err(_) => derive_public(private).await?,
    };
    let public = public.trim();
    ensure!(!public.is_empty() && !public.contains('\n'), "{} must hold one line, the public key", beside.display());
    Ok(KeyPair { private: private.to_owned(), public: public.to_owned() })
}

/// Whether the private key at `path` can be used by ssh without asking anybody.
///
/// # Errors
/// Says which file, what is wrong and how to put it right.
pub fn check_private(path: &Path) -> anyhow::Result<()> {
    let shown = path.display();
    let about = fs::metadata(path).with_context(|| format!("cannot find the private key {shown}; check key_path"))?;
    ensure!(about.is_file(), "the private key {shown} is not a file");
    let mode = about.permissions().mode() & 0o777;
    ensure!(
        mode & 0o077 == 0,
        "the private key {shown} can be read by others (mode {mode:03o}), and ssh refuses such a key: chmod 600 {shown}"
    );
    ensure!(about.len() < 64 * 1024, "{shown} is too large to be a private key; check key_path");
    let text = fs::read_to_string(path).with_context(|| {
        format!("cannot read the private key {shown}: it must be text and belong to the account the bot runs as")
    })?;
    match kind(&text) {
        Kind::Plain => Ok(()),
        Kind::Encrypted => bail!(
            "the private key {shown} has a passphrase, which nobody can type for the bot: use a key of its own, or remove it with ssh-keygen -p -f {shown}"
        ),
        Kind::Public => bail!("{shown} is a public key; key_path names the private half, without .pub"),
        Kind::Unknown => {
            bail!("{shown} is not a private key that OpenSSH can read; make one with ssh-keygen -t ed25519")
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Plain,
    Encrypted,
    Public,
    Unknown,
}

/// OpenSSH's own format names the cipher in front (PROTOCOL.key in its sources), older PEM files in a header or in the label.
fn kind(text: &str) -> Kind {
    let text = text.trim_start();
    if text.starts_with("ssh-") || text.starts_with("ecdsa-") || text.starts_with("sk-") {
        return Kind::Public;
    }
    let Some(label) = text.strip_prefix("-----BEGIN ").and_then(|rest| rest.split_once(" PRIVATE KEY-----")) else {
        return Kind::Unknown;
    };
    match label {
        ("OPENSSH", body) => {
            let body: String = body.lines().take_while(|line| !line.starts_with("-----END")).collect();
            let Ok(bytes) = STANDARD.decode(body) else { return Kind::Unknown };
            let Some(rest) = bytes.strip_prefix(b"openssh-key-v1\0") else { return Kind::Unknown };
            if rest.starts_with(b"\0\0\0\x04none") { Kind::Plain } else { Kind::Encrypted }
        }
        ("ENCRYPTED", _) => Kind::Encrypted,
        (_, body) if body.contains("Proc-Type: 4,ENCRYPTED") => Kind::Encrypted,
        _ => Kind::Plain,
    }
}

async fn make(folder: &Path, private: &Path) -> anyhow::Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("cannot make {}", folder.display()))?;
    let staged = folder.join(".runner_ed25519.new");
    for leftover in [staged.clone(), with_pub(&staged)] {
        // A leftover of a killed attempt would make ssh-keygen ask whether to overwrite it.
        let _ = fs::remove_file(leftover);
    }
    let mut keygen = Command::new("ssh-keygen");
    keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", "track", "-f"]).arg(&staged);
    run(keygen).await.with_context(|| format!("cannot make the bot's key pair in {}", folder.display()))?;
    // The private half comes last: where it is, the pair is whole.
    fs::rename(with_pub(&staged), with_pub(private))
        .and_then(|()| fs::rename(&staged, private))
        .with_context(|| format!("cannot write {}", private.display()))
}

async fn derive_public(private: &Path) -> anyhow::Result<String> {
    let mut keygen = Command::new("ssh-keygen");
    keygen.args(["-y", "-P", "", "-f"]).arg(private);
    run(keygen).await.with_context(|| format!("cannot read the public half of {}", private.display()))
}

async fn run(mut keygen: Command) -> anyhow::Result<String> {
    let output = keygen
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .context("cannot run ssh-keygen; install the OpenSSH client")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ssh-keygen failed: {}", super::ssh::one_line(&said, "no reason given"));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn with_pub(private: &Path) -> PathBuf {
    let mut name = private.as_os_str().to_owned();
    name.push(".pub");
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("there").permissions().mode() & 0o777
    }

    #[tokio::test]
    async fn the_bot_makes_one_pair_and_keeps_it() {
        let home = tempfile::tempdir().expect("a folder");
        let (first, second) = tokio::join!(own(home.path()), own(home.path()));
        let (first, second) = (first.expect("made"), second.expect("found"));
        assert_eq!(first, second);
        assert!(first.public.starts_with("ssh-ed25519 AAAA") && first.public.ends_with(" track"), "{}", first.public);
        assert_eq!(mode(&first.private), 0o600);
        assert_eq!(mode(&home.path().join("keys")), 0o700);

        fs::remove_file(with_pub(&first.private)).expect("removed");
        assert_eq!(own(home.path()).await.expect("derived").public, first.public);
    }

    #[tokio::test]
    async fn a_wrong_key_says_what_is_wrong() {
        let home = tempfile::tempdir().expect("a folder");
        let good = own(home.path()).await.expect("made").private;
        let file = |name: &str, mode: u32, text: &str| {
            let path = home.path().join(name);
            fs::write(&path, text).expect("written");
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("changed");
            path
        };
        let plain = fs::read_to_string(&good).expect("read");
        let encrypted = home.path().join("encrypted");
        let mut keygen = Command::new("ssh-keygen");
        run({
            keygen.args(["-q", "-t", "ed25519", "-N", "secret", "-f"]).arg(&encrypted);
            keygen
        })
        .await
        .expect("made");
        for (path, expected) in [
            (home.path().join("missing"), "cannot find the private key"),
            (home.path().to_owned(), "is not a file"),
            (file("open", 0o644, &plain), "chmod 600"),
            (file("public", 0o600, "ssh-ed25519 AAAA track"), "is a public key"),
            (file("text", 0o600, "hello"), "not a private key"),
            (file("pem", 0o600, "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n"), "has a passphrase"),
            (encrypted, "has a passphrase"),
        ] {
            let message = check_private(&path).expect_err(expected).to_string();
            assert!(message.contains(expected), "{}: {message}", path.display());
        }
        check_private(&good).expect("the bot's own key is fine");
    }
}
