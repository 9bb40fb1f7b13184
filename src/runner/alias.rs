//! An alias of the operator's ssh configuration, as OpenSSH itself evaluates it (`ssh -G`): what a runner can take from it, and what not.
//!
//! The bot's own ssh reads no configuration but the bot's, so whatever a runner does not take has no effect for it, and is named.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, ensure};
use tokio::process::Command;

use super::keys;
use super::ssh::one_line;
use crate::config::Jump;

/// What leads to a machine or opens its door otherwise than a runner can, and what to do instead.
const NOT_TAKEN: &[(&str, &str)] = &[
    ("proxycommand", "the bot starts no program to connect"),
    ("certificatefile", "the bot logs in with a plain key; put its public half into authorized_keys there"),
    ("pkcs11provider", "nobody is there to unlock a hardware key; use a key in a file"),
    ("identityagent", "the bot asks no agent; use a key in a file"),
    ("hostkeyalias", "the host key is pinned under the machine's own name"),
    ("knownhostscommand", "the host key that the machine shows now is pinned"),
    ("bindaddress", "the system chooses the address to connect from"),
    ("bindinterface", "the system chooses the interface to connect through"),
    ("addressfamily", "the system chooses between IPv4 and IPv6; name an address with --host"),
    ("kexalgorithms", "OpenSSH's own preferences are used"),
    ("ciphers", "OpenSSH's own preferences are used"),
    ("macs", "OpenSSH's own preferences are used"),
    ("hostkeyalgorithms", "OpenSSH's own preferences are used"),
    ("pubkeyacceptedalgorithms", "OpenSSH's own preferences are used"),
    ("remotecommand", "the runner script is what is executed there"),
    ("setenv", "the prelude sets variables"),
];

/// Those without which the machine is somewhere else.
const DETOURS: [&str; 2] = ["proxyjump", "proxycommand"];

/// What an alias stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Alias {
    /// Host name or address.
    pub host: String,
    /// The account.
    pub user: String,
    /// The port.
    pub port: u16,
    /// Machines on the way, in order.
    pub jumps: Vec<Jump>,
    /// The key to log in with: the first of those that are configured which a program can use by itself.
    pub key: Option<PathBuf>,
    /// What is configured and not taken over.
    pub not_taken: Vec<NotTaken>,
}

/// A setting that is not taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotTaken {
    /// Its keyword in lower case, with its value.
    pub setting: String,
    /// Why, and what to do instead.
    pub why: String,
    /// Whether the machine may be out of reach without it.
    pub is_detour: bool,
}

/// Asks OpenSSH for an alias of the operator's configuration, or of another `file`.
///
/// # Errors
/// ssh is missing, or refuses the configuration or the alias.
pub async fn resolve(alias: &str, file: Option<&Path>) -> anyhow::Result<Alias> {
    let (configured, bare) = (evaluated(alias, file).await?, evaluated(alias, Some(Path::new("/dev/null"))).await?);
    let mut found = read(&configured, &bare)?;
    if let Some(way) = values(&configured, "proxyjump").find(|way| *way != "none") {
        match hops(way, file).await? {
            Some(jumps) => found.jumps = jumps,
            None => found.refuse("proxyjump", way, "a machine on the way has a way of its own, or no plain name"),
        }
    }
    for identity in identities(&configured, &bare) {
        let usable = match expanded(&identity, alias, &found) {
            Some(path) => usable(&path).await.map(|()| path),
            None => Err("it has a token that only ssh knows; name the file with --key".to_owned()),
        };
        match usable {
            Ok(path) if found.key.is_none() => found.key = Some(path),
            Ok(_) => found.refuse("identityfile", &identity, "a runner has one key"),
            Err(why) => found.refuse("identityfile", &identity, &why),
        }
    }
    Ok(found)
}

impl Alias {
    fn refuse(&mut self, keyword: &str, value: &str, why: &str) {
        let is_detour = DETOURS.contains(&keyword);
        self.not_taken.push(NotTaken { setting: format!("{keyword} {value}"), why: why.to_owned(), is_detour });
    }
}

/// The machines on the way, each of which may be an alias itself.
async fn hops(way: &str, file: Option<&Path>) -> anyhow::Result<Option<Vec<Jump>>> {
    let mut jumps = Vec::new();
    for text in way.split(',') {
        let Some(written) = Jump::parse(text) else { return Ok(None) };
        let settings = evaluated(&written.host, file).await?;
        let hop = read(&settings, &settings)?;
        if DETOURS.iter().any(|detour| values(&settings, detour).any(|value| value != "none")) {
            return Ok(None);
        }
        // A port that is written out is the last part.
        let port = if text.ends_with(&format!(":{}", written.port)) { written.port } else { hop.port };
        jumps.push(Jump { user: Some(written.user.unwrap_or(hop.user)), host: hop.host, port });
    }
    Ok(Some(jumps))
}

/// The settings in effect, a line for each.
async fn evaluated(alias: &str, file: Option<&Path>) -> anyhow::Result<String> {
    let mut ssh = Command::new("ssh");
    ssh.arg("-G");
    if let Some(file) = file {
        ssh.arg("-F").arg(file);
    }
    ssh.arg("--").arg(alias).stdin(Stdio::null()).kill_on_drop(true);
    let output = ssh.output().await.context("cannot run ssh; install the OpenSSH client")?;
    ensure!(
        output.status.success(),
        "ssh cannot tell what {alias:?} stands for: {}",
        one_line(&String::from_utf8_lossy(&output.stderr), "it gave no reason")
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Reads the settings in effect, beside those that are in effect where nothing is configured.
fn read(configured: &str, bare: &str) -> anyhow::Result<Alias> {
    let one = |keyword: &'static str| values(configured, keyword).next().context(format!("ssh -G names no {keyword}"));
    let mut alias = Alias {
        host: one("hostname")?.to_owned(),
        user: one("user")?.to_owned(),
        port: one("port")?.parse().context("ssh -G names a port that is none")?,
        ..Alias::default()
    };
    for (keyword, why) in NOT_TAKEN {
        for value in values(configured, keyword).filter(|value| !values(bare, keyword).any(|usual| usual == *value)) {
            alias.refuse(keyword, value, why);
        }
    }
    Ok(alias)
}

/// The configured identity files; ssh names its usual ones where none is configured, whether they are there or not.
fn identities(configured: &str, bare: &str) -> Vec<String> {
    let named: Vec<&str> = values(configured, "identityfile").collect();
    if values(bare, "identityfile").eq(named.iter().copied()) {
        return Vec::new();
    }
    named.into_iter().filter(|file| *file != "none").map(str::to_owned).collect()
}

fn values<'a>(settings: &'a str, keyword: &'a str) -> impl Iterator<Item = &'a str> {
    settings.lines().filter_map(move |line| {
        let (word, value) = line.split_once(' ')?;
        word.eq_ignore_ascii_case(keyword).then_some(value.trim())
    })
}

/// The path with `~` and the plain tokens of ssh_config(5) replaced, which `ssh -G` leaves as they are written.
fn expanded(written: &str, alias: &str, found: &Alias) -> Option<PathBuf> {
    let home = std::env::home_dir()?;
    let home = home.to_str()?;
    let mut path = String::new();
    let mut rest = written.chars();
    while let Some(c) = rest.next() {
        match c {
            '%' => match rest.next()? {
                '%' => path.push('%'),
                'd' => path.push_str(home),
                'h' => path.push_str(&found.host),
                'n' => path.push_str(alias),
                'p' => path.push_str(&found.port.to_string()),
                'r' => path.push_str(&found.user),
                _ => return None,
            },
            '$' => return None,
            c => path.push(c),
        }
    }
    match path.strip_prefix("~/") {
        Some(below) => Some(Path::new(home).join(below)),
        None => path.starts_with('/').then(|| PathBuf::from(path)),
    }
}

/// Whether a program can log in with a key by itself.
async fn usable(path: &Path) -> Result<(), String> {
    match keys::given(path).await {
        Ok(pair) if pair.public.starts_with("sk-") => {
            Err("it lies in hardware that somebody has to touch; use a key in a file".to_owned())
        }
        Ok(_) => Ok(()),
        Err(error) => Err(format!("{error:#}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BARE: &str = "host build\nuser me\nhostname build\nport 22\naddressfamily any\nidentityfile ~/.ssh/id_rsa\n\
                        identityfile ~/.ssh/id_ed25519\nciphers a,b\n";

    #[test]
    fn what_is_usual_is_not_configured() {
        let alias = read(BARE, BARE).unwrap();
        assert_eq!((alias.host.as_str(), alias.user.as_str(), alias.port), ("build", "me", 22));
        assert_eq!(alias.not_taken, []);
        assert_eq!(identities(BARE, BARE), Vec::<String>::new());
        assert!(read("user me\nport 22\n", BARE).is_err());
    }

    #[test]
    fn what_a_runner_cannot_take_is_named() {
        let configured = "user agent\nhostname 10.0.0.5\nport 2222\naddressfamily inet\nciphers a,b\nidentityfile none\n\
                          identityfile /k 1\nproxyCommand nc %h %p\nsetenv A=1\nsetenv B=2\nforwardagent yes\n";
        let alias = read(configured, BARE).unwrap();
        let named: Vec<_> = alias.not_taken.iter().map(|one| (one.setting.as_str(), one.is_detour)).collect();
        let expected = [
            ("proxycommand nc %h %p", true),
            ("addressfamily inet", false),
            ("setenv A=1", false),
            ("setenv B=2", false),
        ];
        assert_eq!(named, expected);
        assert_eq!(identities(configured, BARE), ["/k 1"]);
    }

    #[test]
    fn paths_of_keys_are_what_ssh_makes_of_them() {
        let found = Alias { host: "10.0.0.5".into(), user: "agent".into(), port: 22, ..Alias::default() };
        let home = std::env::home_dir().unwrap();
        for (written, path) in [
            ("/k", Some("/k".into())),
            ("~/.ssh/%n-%h", Some(home.join(".ssh/build-10.0.0.5"))),
            ("%d/%r%%%p", Some(home.join("agent%22"))),
            ("k", None),
            ("~bob/k", None),
            ("/k/%L", None),
            ("/k/%", None),
            ("/${KEY}", None),
        ] {
            assert_eq!(expanded(written, "build", &found), path, "{written}");
        }
    }
}
