//! Rules for runners, the same whether they come from `track.toml`, the page or `track runner add`.

use base64::Engine;

use super::mistake::{Mistake, Mistakes};
use super::{Jump, Network, RunnerConfig, Sandbox, Transport};

/// The most runs at once that one machine may be given.
const MAX_SLOTS: u32 = 256;

/// Key types that OpenSSH writes into known_hosts and that may be pinned, see sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT".
const HOST_KEY_TYPES: [&str; 5] =
    ["ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "ssh-rsa"];

impl RunnerConfig {
    /// Everything wrong with this runner by itself; whether it fits this bot is for [`super::Config::check_runner`].
    pub fn validate(&self) -> Result<(), Mistakes> {
        let mut found = Findings { runner: &self.name, mistakes: Vec::new() };
        if !is_name(&self.name) {
            found.add(
                "name",
                "is no usable name",
                "use 1 to 64 letters, digits, '.', '_' and '-', beginning with a letter or digit",
            );
        }
        match self.transport {
            Transport::Ssh => self.validate_ssh(&mut found),
            Transport::Local => self.validate_local(&mut found),
        }
        if let Err(problem) = check_root(&self.root) {
            found.add("root", &problem, "name a folder of the bot's own on the runner, such as ~/track or /srv/track");
        }
        if self.slots == 0 || self.slots > MAX_SLOTS {
            found.add("slots", &format!("is {}", self.slots), "set how many runs may go on at once there, 1 to 256");
        }
        if self.prelude.contains('\0') {
            found.add(
                "prelude",
                "contains a NUL character",
                "write shell text, such as export PATH=\"$HOME/.local/bin:$PATH\"",
            );
        }
        for (key, paths) in [("read_only", &self.read_only), ("read_write", &self.read_write)] {
            for path in paths {
                if let Err(problem) = check_folder(path) {
                    let remedy = "list files or folders as absolute paths or beginning with ~/";
                    found.add(key, &format!("has {path:?}, which {problem}"), remedy);
                }
            }
        }
        if self.network == Network::Relay {
            let problem = "is \"relay\", which this version cannot do yet";
            found.add("network", problem, "set it to \"open\" or \"none\"");
        }
        if self.sandbox == Sandbox::None && self.network != Network::Open {
            let remedy = "set sandbox = \"bubblewrap\", or leave network out";
            found.add("network", "can only be restricted inside a sandbox, and sandbox is \"none\"", remedy);
        }
        Mistakes::none_or(found.mistakes, ())
    }

    fn validate_ssh(&self, found: &mut Findings<'_>) {
        match &self.host {
            None => found.add("host", "is missing", "set the host name or address of the machine"),
            Some(host) if !is_host(host) => found.add(
                "host",
                &format!("is {host:?}, which is no host name or address"),
                "write it bare, without user, port or brackets: build-1.example.org, 10.0.0.5 or fd00::5",
            ),
            Some(_) => {}
        }
        match &self.user {
            None => found.add("user", "is missing", "set the account that agents work under on the machine"),
            Some(user) if !is_user(user) => {
                found.add(
                    "user",
                    &format!("is {user:?}, which is no account name"),
                    "write the bare account name, such as agent",
                );
            }
            Some(_) => {}
        }
        if self.port == Some(0) {
            found.add("port", "is 0", "set the port of sshd, or leave it out for 22");
        }
        for (setting, keys) in [("host_key", self.host_key.as_slice()), ("jump_host_keys", &self.jump_host_keys)] {
            if keys.iter().any(|key| !is_host_key(key)) {
                let remedy = "copy one line of `ssh-keyscan` without the host: ssh-ed25519 AAAA…";
                found.add(setting, "is no public host key", remedy);
            }
            if !keys.is_empty() && self.known_hosts_path.is_some() {
                found.add(setting, "is set together with known_hosts_path", "keep one of the two");
            }
        }
        self.validate_way(found);
    }

    fn validate_way(&self, found: &mut Findings<'_>) {
        for text in &self.proxy_jump {
            match Jump::parse(text) {
                None => found.add(
                    "proxy_jump",
                    &format!("has {text:?}, which names no machine"),
                    "write each machine on the way like me@bastion.example.org:22, an IPv6 address in brackets",
                ),
                // What is configured for the runner's host would hold for this machine, too.
                Some(jump) if self.host.as_ref().is_some_and(|host| host.eq_ignore_ascii_case(&jump.host)) => found
                    .add(
                        "proxy_jump",
                        &format!("has {text:?}, which is the runner's own host"),
                        "give one of the two by another name or address",
                    ),
                Some(_) => {}
            }
        }
        if self.jump_host_keys.len() > self.proxy_jump.len() {
            let problem = format!("has {} keys for {} machines", self.jump_host_keys.len(), self.proxy_jump.len());
            found.add("jump_host_keys", &problem, "list one host key for each machine of proxy_jump, in its order");
        }
    }

    fn validate_local(&self, found: &mut Findings<'_>) {
        for (key, set) in [
            ("host", self.host.is_some()),
            ("user", self.user.is_some()),
            ("port", self.port.is_some()),
            ("key_path", self.key_path.is_some()),
            ("known_hosts_path", self.known_hosts_path.is_some()),
            ("host_key", self.host_key.is_some()),
            ("proxy_jump", !self.proxy_jump.is_empty()),
            ("jump_host_keys", !self.jump_host_keys.is_empty()),
        ] {
            if set {
                let remedy = "leave it out, or set transport = \"ssh\"";
                found.add(key, "has no meaning for a local runner", remedy);
            }
        }
    }
}

/// Joins the runners of `track.toml` and of the database; a name in both is a mistake, because one of the two would silently lose.
pub fn merge_runners(from_toml: Vec<RunnerConfig>, from_db: Vec<RunnerConfig>) -> Result<Vec<RunnerConfig>, Mistakes> {
    let twice = from_db
        .iter()
        .filter(|stored| from_toml.iter().any(|written| written.name.eq_ignore_ascii_case(&stored.name)))
        .map(|stored| {
            Mistake::new(
                format!("runner {:?}", stored.name),
                "is in track.toml and was also added by `track runner add` or on the page",
                format!("rename or delete it in track.toml, or take that out, run `track runner remove {}`, and put it back", stored.name),
            )
        })
        .collect();
    Mistakes::none_or(twice, from_toml.into_iter().chain(from_db).collect())
}

/// Whether `name` can name a runner, an agent or a profile: it becomes part of labels, commands and lines of output.
pub fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

/// A host name, IPv4 or IPv6 address. A leading `-` would be an option to ssh, and anything else a word to a shell (T38).
pub fn is_host(host: &str) -> bool {
    (1..=253).contains(&host.len())
        && host.starts_with(|c: char| c.is_ascii_alphanumeric() || c == ':')
        && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-:".contains(&b))
        && (!host.contains(':') || host.parse::<std::net::Ipv6Addr>().is_ok())
}

/// A POSIX account name, see useradd(8).
pub fn is_user(user: &str) -> bool {
    (1..=32).contains(&user.len())
        && user.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && user.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

/// `<type> <base64>`, with an optional comment.
pub fn is_host_key(key: &str) -> bool {
    let mut words = key.split(' ');
    let known = words.next().is_some_and(|kind| HOST_KEY_TYPES.contains(&kind));
    let blob = words
        .next()
        .is_some_and(|blob| base64::engine::general_purpose::STANDARD.decode(blob).is_ok_and(|bytes| bytes.len() > 16));
    known && blob && !key.chars().any(char::is_control)
}

struct Findings<'a> {
    runner: &'a str,
    mistakes: Vec<Mistake>,
}

impl Findings<'_> {
    fn add(&mut self, key: &str, problem: &str, remedy: &str) {
        self.mistakes.push(Mistake::new(format!("runner {:?}: {key}", self.runner), problem, remedy));
    }
}

/// What is wrong with the folder of the bot's own on a runner, as a predicate. It becomes part of commands and of git URLs, so every
/// character means itself in both.
pub fn check_root(root: &str) -> Result<(), String> {
    check_folder(root)?;
    let usable = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    if let Some(c) = root.chars().skip(1).find(|&c| !usable(c)) {
        return Err(format!("contains {c:?}"));
    }
    let rest = root.strip_prefix("~/").or_else(|| root.strip_prefix('/')).unwrap_or_default();
    match rest.strip_suffix('/').unwrap_or(rest).split('/').find(|part| matches!(*part, "" | ".")) {
        Some(part) => Err(format!("contains /{part}/")),
        None => Ok(()),
    }
}

/// What is wrong with a path on a runner, as a predicate. The whole disk and the whole home are refused: the first hides nothing from
/// an agent, and a cleanup of the second would be a disaster (B43).
fn check_folder(path: &str) -> Result<(), String> {
    if !(path.starts_with('/') || path.starts_with("~/") || path == "~") {
        return Err("is not absolute and does not begin with ~/".to_owned());
    }
    if path.trim_start_matches('~').split('/').all(|part| part.is_empty() || part == ".") {
        return Err("is the whole disk or home".to_owned());
    }
    if path.split('/').any(|part| part == "..") {
        return Err("contains ..".to_owned());
    }
    match path.chars().find(|c| c.is_control()) {
        Some(c) => Err(format!("contains {c:?}")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ3aZ6kO2Qk0Zz7nJ1m3mJd0v4k1nE0m2b7yq3w6c8xK";

    fn ssh() -> RunnerConfig {
        RunnerConfig {
            host: Some("10.0.0.5".to_owned()),
            user: Some("agent".to_owned()),
            ..RunnerConfig::named("build-1", Transport::Ssh)
        }
    }

    fn problems(runner: &RunnerConfig) -> Vec<String> {
        match runner.validate() {
            Ok(()) => Vec::new(),
            Err(mistakes) => mistakes.0.iter().map(|m| format!("{} {}", m.setting, m.problem)).collect(),
        }
    }

    #[test]
    fn ordinary_runners_are_fine() {
        let local = RunnerConfig { sandbox: Sandbox::None, ..RunnerConfig::named("here", Transport::Local) };
        let full = RunnerConfig {
            host: Some("fd00::5".to_owned()),
            port: Some(2222),
            host_key: Some(KEY.to_owned()),
            root: "/srv/track".to_owned(),
            read_only: vec!["~/.local".to_owned(), "/opt/some tools".to_owned()],
            ..ssh()
        };
        for runner in [ssh(), local, full] {
            assert_eq!(problems(&runner), Vec::<String>::new());
        }
    }

    // T38
    #[test]
    fn a_host_that_ssh_would_take_for_something_else_is_refused() {
        for host in [
            "-oProxyCommand=touch x",
            "--",
            "",
            "a b",
            "user@host",
            "ssh://host",
            "[::1]",
            "host:22",
            "$(id)",
            "`id`",
            "a;b",
            "a\nb",
            "ho\u{202e}st",
            "%h",
        ] {
            let runner = RunnerConfig { host: Some(host.to_owned()), ..ssh() };
            assert_eq!(problems(&runner).len(), 1, "{host:?}");
        }
        for user in ["-l", "", "root;id", "a b", "a@b", "$USER", "é"] {
            let runner = RunnerConfig { user: Some(user.to_owned()), ..ssh() };
            assert_eq!(problems(&runner).len(), 1, "{user:?}");
        }
    }

    // T38, B45
    #[test]
    fn a_way_leads_over_other_machines_each_with_its_key() {
        let way = |jumps: &[&str], keys: usize| RunnerConfig {
            proxy_jump: jumps.iter().map(|&jump| jump.to_owned()).collect(),
            jump_host_keys: vec![KEY.to_owned(); keys],
            ..ssh()
        };
        assert_eq!(problems(&way(&["me@bastion", "[fd00::5]:2200"], 2)), Vec::<String>::new());
        let bad_key = RunnerConfig { jump_host_keys: vec!["ssh-dss nonsense".to_owned()], ..way(&["bastion"], 0) };
        let twice = RunnerConfig { known_hosts_path: Some("/k".into()), ..way(&["bastion"], 1) };
        for wrong in [way(&["a b"], 1), way(&["me@10.0.0.5:2200"], 1), way(&["bastion"], 2), bad_key, twice] {
            assert_eq!(problems(&wrong).len(), 1, "{wrong:?}");
        }
    }

    // T24, B43
    #[test]
    fn paths_that_mean_everything_or_nothing_are_refused() {
        for root in [
            "",
            "/",
            "//",
            "~",
            "~/",
            "~/.",
            "track",
            "./track",
            "~bob/track",
            "/srv/../etc",
            "/srv/a b",
            "/srv/$HOME",
            "/srv/a\nb",
            "/srv/a@b",
            "/srv/a+b",
            "/srv//track",
            "/srv/./track",
            "~//track",
            "//srv/track",
        ] {
            let runner = RunnerConfig { root: root.to_owned(), ..ssh() };
            assert_eq!(problems(&runner).len(), 1, "{root:?}");
        }
        for path in ["/", "~", "~/..", "tools", "/opt/a\nb"] {
            let runner = RunnerConfig { read_write: vec![path.to_owned()], ..ssh() };
            assert_eq!(problems(&runner).len(), 1, "{path:?}");
        }
    }

    #[test]
    fn every_mistake_of_a_runner_is_told() {
        let runner = RunnerConfig {
            slots: 0,
            port: Some(0),
            host_key: Some("ssh-dss nonsense".to_owned()),
            root: "/".to_owned(),
            ..RunnerConfig::named("../x", Transport::Ssh)
        };
        insta::assert_snapshot!(problems(&runner).join("\n"), @r#"
        runner "../x": name is no usable name
        runner "../x": host is missing
        runner "../x": user is missing
        runner "../x": port is 0
        runner "../x": host_key is no public host key
        runner "../x": root is the whole disk or home
        runner "../x": slots is 0
        "#);
    }

    #[test]
    fn what_only_ssh_knows_is_refused_on_a_local_runner() {
        let runner = RunnerConfig { transport: Transport::Local, port: Some(22), ..ssh() };
        assert_eq!(problems(&runner).len(), 3);
    }

    #[test]
    fn a_network_rule_without_a_sandbox_would_be_a_lie() {
        let runner = RunnerConfig { sandbox: Sandbox::None, network: Network::None, ..ssh() };
        assert_eq!(problems(&runner).len(), 1);
    }

    #[test]
    fn a_network_rule_that_nothing_carries_out_is_refused() {
        let runner = RunnerConfig { network: Network::Relay, ..ssh() };
        assert_eq!(problems(&runner), ["runner \"build-1\": network is \"relay\", which this version cannot do yet"]);
    }

    #[test]
    fn a_runner_in_both_places_is_a_mistake() {
        let other = || RunnerConfig { name: "build-2".to_owned(), ..ssh() };
        let merged = merge_runners(vec![ssh()], vec![other()]).unwrap();
        assert_eq!(merged.iter().map(|r| r.name.as_str()).collect::<Vec<_>>(), ["build-1", "build-2"]);

        let mistakes = merge_runners(vec![ssh()], vec![other(), ssh()]).unwrap_err();
        insta::assert_snapshot!(mistakes, @r#"
        one mistake in the configuration:

          runner "build-1" is in track.toml and was also added by `track runner add` or on the page
            -> rename or delete it in track.toml, or take that out, run `track runner remove build-1`, and put it back
        "#);
    }

    // T45
    #[test]
    fn what_is_shown_of_a_runner_has_no_secrets() {
        let runner = RunnerConfig { prelude: "export KEY=sk-canary".to_owned(), ..ssh() };
        let debug = format!("{runner:?}");
        assert!(
            debug.contains("build-1") && debug.contains("(set, not shown)") && !debug.contains("canary"),
            "{debug}"
        );
        assert_eq!(ssh().shown(), ssh());
    }

    #[test]
    fn a_stored_runner_reads_back_as_what_it_was() {
        let json = serde_json::to_string(&ssh()).unwrap();
        assert_eq!(serde_json::from_str::<RunnerConfig>(&json).unwrap(), ssh());
    }
}
