//! The ssh configuration that every ssh of the bot runs by, and the checks that keep what it is made of inert.
//!
//! `ssh -F` with this file is the whole configuration: neither the operator's `~/.ssh/config` nor the system's is read (ssh(1), `-F`).

use std::net::Ipv6Addr;
use std::path::Path;

use crate::config::Jump;
use crate::runner::HostError;

use super::SshSettings;

/// Seconds after which a master that nobody uses and nobody watches ends by itself: what a killed bot leaves behind does not stay.
const PERSIST_SECONDS: u32 = 20;

/// The text of the configuration file for these settings, which have been checked.
pub(super) fn text(settings: &SshSettings) -> Result<String, HostError> {
    let SshSettings { user, port, connect_timeout, .. } = settings;
    let key = file(&settings.key_path, "key_path")?;
    let known_hosts = file(&settings.known_hosts_path, "known_hosts_path")?;
    let timeout = connect_timeout.as_secs().max(1);
    let way = way(settings)?;
    // ServerAlive: three unanswered questions, 3 s apart, end the connection within 12 s.
    Ok(format!(
        "\
# Written by track at each login; changes are lost.
{way}Host *
    User {user}
    Port {port}
    IdentityFile {key}
    IdentitiesOnly yes
    IdentityAgent none
    BatchMode yes
    PreferredAuthentications publickey
    PasswordAuthentication no
    KbdInteractiveAuthentication no
    StrictHostKeyChecking yes
    UserKnownHostsFile {known_hosts}
    GlobalKnownHostsFile /dev/null
    UpdateHostKeys no
    HashKnownHosts no
    CheckHostIP no
    CanonicalizeHostname no
    ForwardAgent no
    ForwardX11 no
    ClearAllForwardings yes
    PermitLocalCommand no
    Tunnel no
    AddKeysToAgent no
    ConnectTimeout {timeout}
    ConnectionAttempts 1
    ServerAliveInterval 3
    ServerAliveCountMax 3
    ControlPersist {PERSIST_SECONDS}
    LogLevel INFO
"
    ))
}

/// The machines on the way, for this host alone: ssh reads the same file for each of them.
fn way(settings: &SshSettings) -> Result<String, HostError> {
    let mut jumps = Vec::new();
    for jump in &settings.jumps {
        let user = jump.user.as_ref().unwrap_or(&settings.user);
        check_host(&jump.host)?;
        check_user(user)?;
        jumps.push(Jump { user: Some(user.clone()), ..jump.clone() }.to_string());
    }
    match jumps.is_empty() {
        true => Ok(String::new()),
        false => Ok(format!("Host {}\n    ProxyJump {}\n\n", settings.host, jumps.join(","))),
    }
}

/// Whether `host` is a host name or an address, and nothing that ssh, git or a shell could take for something else.
///
/// # Errors
/// [`HostError::Setup`], which says what a host looks like.
pub fn check_host(host: &str) -> Result<(), HostError> {
    let name = host.len() <= 253
        && host.starts_with(|c: char| c.is_ascii_alphanumeric())
        && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'));
    if name || host.parse::<Ipv6Addr>().is_ok() {
        return Ok(());
    }
    Err(HostError::Setup(format!(
        "the host {host:?} is neither a host name nor an address; write it without user and port, like build-1.example.org or 10.0.0.5"
    )))
}

/// Whether `user` is the name of an account.
///
/// # Errors
/// [`HostError::Setup`], which says what a user looks like.
pub fn check_user(user: &str) -> Result<(), HostError> {
    let fine = user.len() <= 64
        && user.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && user.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'));
    if fine {
        return Ok(());
    }
    Err(HostError::Setup(format!(
        "the user {user:?} is no name of an account; letters, digits, '.', '-' and '_' are allowed, and it starts with a letter, a digit or '_'"
    )))
}

/// A path as a word of ssh_config(5): quoted, with the percent signs doubled that would start a token.
fn file(path: &Path, setting: &str) -> Result<String, HostError> {
    let absolute =
        std::path::absolute(path).map_err(|e| HostError::Setup(format!("{setting} {}: {e}", path.display())))?;
    match absolute.to_str() {
        Some(text) if !text.chars().any(|c| c.is_control() || matches!(c, '"' | '\\' | '$')) => {
            Ok(format!("\"{}\"", text.replace('%', "%%")))
        }
        _ => Err(HostError::Setup(format!(
            "{setting} {path:?} has a character that ssh gives a meaning to (quote, backslash, dollar, control); rename the file"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn settings() -> SshSettings {
        SshSettings {
            host: "10.0.0.5".to_owned(),
            user: "agent".to_owned(),
            port: 2222,
            jumps: Vec::new(),
            key_path: "/etc/track/my 100% key".into(),
            known_hosts_path: "/etc/track/known_hosts".into(),
            control_dir: "/run/track".into(),
            connect_timeout: Duration::from_secs(10),
        }
    }

    #[test]
    fn only_hosts_and_users_pass() {
        // T38
        for host in ["build-1", "build_1.example.org", "10.0.0.5", "::1", "2001:db8::1", "xn--bcher-kva.example"] {
            check_host(host).expect(host);
        }
        let long = "a".repeat(254);
        for host in [
            "",
            "-oProxyCommand=touch x",
            "-F",
            "a b",
            "a;b",
            "$(id)",
            "`id`",
            "user@host",
            "host:22",
            "[::1]",
            "fe80::1%eth0",
            "host\n",
            "host\0",
            "*",
            "!host",
            "a,b",
            "host/path",
            "bücher",
            &long,
        ] {
            check_host(host).expect_err(host);
        }
        for user in ["agent", "_ci", "a.b-c_9"] {
            check_user(user).expect(user);
        }
        for user in ["", "-l", ".x", "a b", "a@b", "a:b", "a'b", "root\n", "%r"] {
            check_user(user).expect_err(user);
        }
    }

    #[test]
    fn a_way_holds_for_the_runner_alone() {
        let jump = |text| Jump::parse(text).expect(text);
        let jumps = vec![jump("me@bastion:2200"), jump("[fd00::5]")];
        let written = text(&SshSettings { jumps, ..settings() }).expect("fine");
        let way = "\nHost 10.0.0.5\n    ProxyJump me@bastion:2200,agent@[fd00::5]:22\n\nHost *\n";
        assert!(written.contains(way), "{written}");
        let hostile = Jump { user: None, host: "-oProxyCommand=x".to_owned(), port: 22 };
        text(&SshSettings { jumps: vec![hostile], ..settings() }).expect_err("no machine");
    }

    #[test]
    fn a_path_that_ssh_would_read_otherwise_is_refused() {
        // T38
        for path in ["/a\"b", "/a\nProxyCommand x", "/${HOME}/key", "/a\\b"] {
            let error = text(&SshSettings { key_path: path.into(), ..settings() }).expect_err(path);
            assert!(matches!(error, HostError::Setup(_)), "{error}");
        }
    }

    /// What ssh itself makes of the file: the same options, for any host.
    #[test]
    fn ssh_understands_the_configuration_as_meant() {
        // T38
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("config");
        std::fs::write(&path, text(&settings()).expect("valid")).expect("written");
        let output = std::process::Command::new("ssh").arg("-F").arg(&path).args(["-G", "10.0.0.5"]).output();
        let output = output.expect("ssh is installed");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let understood = String::from_utf8(output.stdout).expect("text");
        for line in [
            "user agent",
            "port 2222",
            "identityfile /etc/track/my 100%% key",
            "identityagent none",
            "identitiesonly yes",
            "batchmode yes",
            "stricthostkeychecking true",
            "userknownhostsfile /etc/track/known_hosts",
            "globalknownhostsfile /dev/null",
            "updatehostkeys false",
            "passwordauthentication no",
            "forwardagent no",
            "forwardx11 no",
            "clearallforwardings yes",
            "permitlocalcommand no",
            "serveraliveinterval 3",
            "serveralivecountmax 3",
            "controlpersist 20",
            "connecttimeout 10",
        ] {
            assert!(understood.lines().any(|l| l == line), "{line:?} is missing in:\n{understood}");
        }
        assert!(!understood.contains("sendenv"), "no environment is sent:\n{understood}");
    }
}
