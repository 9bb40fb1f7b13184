//! Host keys: fetched once to be shown to a person, then pinned in a file that ssh is strict about.
//!
//! A machine that shows another key than the pinned one is never talked to, so nothing is trusted on first use while the bot serves.

use std::fmt;
use std::path::Path;
use std::process::Stdio;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use sha2::{Digest, Sha256};
use tokio::process::Command;

/// Key types that are accepted, best first: the order in which one is chosen to be pinned.
const ALGORITHMS: [&str; 5] =
    ["ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa"];

/// The public key of a machine's sshd: type and blob, as in `ssh-ed25519 AAAA…` (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostKey {
    algorithm: &'static str,
    blob: Vec<u8>,
}

impl HostKey {
    /// The type, `ssh-ed25519` for instance.
    pub fn algorithm(&self) -> &str {
        self.algorithm
    }

    /// The fingerprint as OpenSSH prints it: `SHA256:` and the digest of the blob in base64 without padding (ssh-keygen(1), `-l`).
    pub fn fingerprint(&self) -> String {
        format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(&self.blob)))
    }

    fn rank(&self) -> usize {
        ALGORITHMS.iter().position(|known| *known == self.algorithm).unwrap_or(ALGORITHMS.len())
    }
}

impl fmt::Display for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.algorithm, STANDARD.encode(&self.blob))
    }
}

impl FromStr for HostKey {
    type Err = anyhow::Error;

    /// Reads `type base64 [comment]`, one line, and checks that the blob names the same type (RFC 4253, section 6.6).
    fn from_str(line: &str) -> anyhow::Result<Self> {
        let line = line.trim();
        ensure!(!line.contains(['\n', '\r']), "a host key is one line, `ssh-ed25519 AAAA…`");
        let mut words = line.split_whitespace();
        let (Some(name), Some(encoded)) = (words.next(), words.next()) else {
            bail!("a host key looks like `ssh-ed25519 AAAA…`: the type, a space, the key in base64");
        };
        let Some(algorithm) = ALGORITHMS.into_iter().find(|known| *known == name) else {
            bail!("{name:?} is not a type of host key that is known here; use one of {}", ALGORITHMS.join(", "));
        };
        let blob = STANDARD.decode(encoded).with_context(|| format!("the {algorithm} host key is not valid base64"))?;
        let inner = blob.split_first_chunk::<4>().and_then(|(length, rest)| {
            let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
            rest.split_at_checked(length)
        });
        let Some((inner, key)) = inner else { bail!("the {algorithm} host key is cut off; copy the whole line") };
        ensure!(inner == algorithm.as_bytes(), "the host key says {algorithm} and holds a key of another type");
        ensure!(
            !key.is_empty() && (algorithm != "ssh-ed25519" || key.len() == 4 + 32),
            "the {algorithm} host key has the wrong length; copy the whole line"
        );
        Ok(Self { algorithm, blob })
    }
}

/// The keys that the sshd at `host:port` shows, best first. Nothing is trusted by this: show the fingerprint to a person before [`pin`].
///
/// # Errors
/// The host has an impossible name, cannot be reached within `timeout`, or shows no key of a known type.
pub async fn fetch(host: &str, port: u16, timeout: Duration) -> anyhow::Result<Vec<HostKey>> {
    super::ssh::check_host(host)?;
    let mut scan = Command::new("ssh-keyscan");
    scan.arg("-T").arg(timeout.as_secs().max(1).to_string()).arg("-p").arg(port.to_string());
    scan.arg("-t").arg("ed25519,ecdsa,rsa").arg("--").arg(host);
    scan.stdin(Stdio::null()).kill_on_drop(true);
    // ssh-keyscan counts its timeout per key type, hence the outer one.
    let output = tokio::time::timeout(timeout + Duration::from_secs(1), scan.output())
        .await
        .with_context(|| format!("{host} port {port} did not show a host key within {} s", timeout.as_secs()))?
        .context("cannot run ssh-keyscan; install the OpenSSH client")?;
    let keys = parse_scan(&String::from_utf8_lossy(&output.stdout));
    ensure!(
        !keys.is_empty(),
        "{host} port {port} shows no host key: check the address, the port and that sshd runs there ({})",
        super::ssh::one_line(&String::from_utf8_lossy(&output.stderr), "no answer")
    );
    Ok(keys)
}

/// The pattern under which a known_hosts file lists a host: `[host]:port` unless the port is 22.
pub fn known_hosts_name(host: &str, port: u16) -> String {
    if port == 22 { host.to_owned() } else { format!("[{host}]:{port}") }
}

/// Writes the known_hosts file at `path` so that it holds exactly `keys` for `host:port`.
///
/// # Errors
/// The host has an impossible name, there is no key, or the file cannot be written.
pub fn pin(path: &Path, host: &str, port: u16, keys: &[HostKey]) -> anyhow::Result<()> {
    ensure!(!keys.is_empty(), "there is no host key to pin for {host}");
    let pins: Vec<Pin> = keys.iter().map(|key| (host.to_owned(), port, key.clone())).collect();
    pin_all(path, &pins)
}

/// A host, its port, and a key of it.
pub type Pin = (String, u16, HostKey);

/// Writes the known_hosts file at `path` so that it holds exactly these.
///
/// # Errors
/// A host has an impossible name, or the file cannot be written.
pub fn pin_all(path: &Path, pins: &[Pin]) -> anyhow::Result<()> {
    let mut text = String::new();
    for (host, port, key) in pins {
        super::ssh::check_host(host)?;
        text += &format!("{} {key}\n", known_hosts_name(host, *port));
    }
    let staged = path.with_extension("new");
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    }
    std::fs::write(&staged, text)
        .and_then(|()| std::fs::rename(&staged, path))
        .with_context(|| format!("cannot write the pinned host key to {}", path.display()))
}

fn parse_scan(text: &str) -> Vec<HostKey> {
    let mut keys: Vec<HostKey> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once(' ')?.1.parse().ok())
        .collect();
    keys.sort_by_key(HostKey::rank);
    keys.dedup();
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    const ED25519: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";

    #[test]
    fn the_fingerprint_is_what_openssh_prints() {
        // GitHub's own key and fingerprint: docs.github.com, "GitHub's SSH key fingerprints".
        let key: HostKey = format!("{ED25519} a comment").parse().expect("a valid key");
        assert_eq!(key.fingerprint(), "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU");
        assert_eq!(key.to_string(), ED25519);
    }

    #[test]
    fn a_wrong_host_key_says_what_is_wrong() {
        let cut = &ED25519[..ED25519.len() - 8];
        let other = ED25519.replace("ssh-ed25519 ", "ssh-rsa ");
        let two = format!("{ED25519}\n* ssh-ed25519 AAAA");
        for (text, expected) in [
            ("", "looks like"),
            ("ssh-ed25519", "looks like"),
            ("ssh-dss AAAA", "not a type of host key"),
            ("command=\"id\" ssh-ed25519", "not a type of host key"),
            ("ssh-ed25519 !!!!", "not valid base64"),
            ("ssh-ed25519 AAAA", "cut off"),
            (cut, "wrong length"),
            (&other, "another type"),
            (&two, "one line"),
        ] {
            let message = text.parse::<HostKey>().expect_err(text).to_string();
            assert!(message.contains(expected), "{text:?}: {message}");
        }
    }

    #[test]
    fn a_scan_is_sorted_best_key_first() {
        let scan = format!(
            "# 10.0.0.5:22 SSH-2.0-OpenSSH_9.2\n10.0.0.5 ssh-rsa {}\nnot a key at all\n10.0.0.5 {ED25519}\n",
            STANDARD.encode(b"\0\0\0\x07ssh-rsa\0\0\0\x03\x01\0\x01")
        );
        let algorithms: Vec<_> = parse_scan(&scan).iter().map(|key| key.algorithm).collect();
        assert_eq!(algorithms, ["ssh-ed25519", "ssh-rsa"]);
    }

    #[test]
    fn the_pinned_file_names_the_port_unless_it_is_22() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("known_hosts");
        let key: HostKey = ED25519.parse().expect("a valid key");
        for (port, expected) in
            [(22, format!("h.example {ED25519}\n")), (2222, format!("[h.example]:2222 {ED25519}\n"))]
        {
            pin(&file, "h.example", port, std::slice::from_ref(&key)).expect("pinned");
            assert_eq!(std::fs::read_to_string(&file).expect("written"), expected);
        }
        pin(&file, "*", 22, &[key]).expect_err("a pattern is not a host");
    }
}
