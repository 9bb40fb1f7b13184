//! What is said of the facts, each miss with its remedy: pure.

mod github;

#[cfg(test)]
pub(super) use github::manifest;

use serde::{Deserialize, Serialize};

use super::facts::{Around, Check, Facts, RunnerRow};
use crate::config::{Config, Sandbox, Transport};
use crate::db::deliveries::Ways;
use crate::model::Millis;
use crate::runner::pool::Slots;

/// Less than this, and a clone or the database will soon fail.
const LITTLE_DISK: u64 = 2 * 1024 * 1024 * 1024;
/// `git merge-tree --write-tree` came with it, by which work is put on top of what others pushed.
const OLDEST_GIT: (u32, u32) = (2, 38);
/// GitHub's clock and ours may differ by this much; tokens and times of what people said hang on it.
const SKEW_MOST: Millis = 30_000;

/// What a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// The machine on which the bot runs.
    Machine,
    /// Its settings.
    Configuration,
    /// The App.
    App,
    /// Whether GitHub's webhooks arrive.
    Webhooks,
    /// Who may use the page.
    SignIn,
    /// The machines on which agents work.
    Runners,
}

impl Group {
    /// All of them, in the order in which they are told.
    pub const ALL: [Self; 6] =
        [Self::Machine, Self::Configuration, Self::App, Self::Webhooks, Self::SignIn, Self::Runners];

    /// Its heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::Machine => "This machine",
            Self::Configuration => "Configuration",
            Self::App => "GitHub App",
            Self::Webhooks => "Webhooks",
            Self::SignIn => "Sign-in",
            Self::Runners => "Runners",
        }
    }
}

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    /// Something is missing.
    Miss,
    /// It works, and could be better.
    Note,
    /// As it should be.
    Fine,
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is about.
    pub group: Group,
    /// The runner that it is about.
    pub runner: Option<String>,
    /// What was found, and what to do.
    pub check: Check,
}

impl Finding {
    /// How much it matters.
    pub fn mark(&self) -> Mark {
        match (self.check.ok, self.check.remedy.is_empty()) {
            (false, _) => Mark::Miss,
            (true, false) => Mark::Note,
            (true, true) => Mark::Fine,
        }
    }
}

/// Something that needs an operator now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// What is wrong, as a sentence.
    pub text: String,
    /// The path of the page that says more.
    pub path: String,
}

/// Everything that can be said, in the order in which it is best put right.
pub fn judge(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(around) = &facts.around {
        findings.extend(tools(around));
    }
    match &facts.config {
        Ok(_) => findings.push(fine(Group::Configuration, "configuration", "no mistakes")),
        Err(mistakes) => findings.extend(mistakes.0.iter().map(|mistake| {
            miss(
                Group::Configuration,
                "configuration",
                format!("{} {}", mistake.setting, mistake.problem),
                &mistake.remedy,
            )
        })),
    }
    if let Some(around) = &facts.around {
        findings.extend(state(around));
    }
    if let Ok(config) = &facts.config {
        let ways = facts.server.as_ref().and_then(|server| Some(&server.as_ref().ok()?.machinery.ways));
        findings.extend(github::app(config, facts.around.as_ref()));
        findings.extend(github::webhooks(config, facts.around.as_ref(), ways, facts.now));
        findings.extend(sign_in(config));
        findings.extend(runners(config, facts));
    }
    findings
}

/// What needs an operator now: runners that cannot work, and webhooks that do not arrive.
pub(super) fn alerts_of(slots: &[Slots], out_of_service: impl Fn(&str) -> Option<String>, ways: &Ways) -> Vec<Alert> {
    let mut alerts = Vec::new();
    for runner in slots {
        let name = &runner.name;
        let text = match out_of_service(name) {
            Some(why) => format!("Runner {name} is out of service: {why}"),
            None if runner.refuses_login => format!("Runner {name} refuses the bot's login"),
            None if runner.silent_until.is_some() => format!("Runner {name} does not answer"),
            None => continue,
        };
        alerts.push(Alert { text, path: format!("/admin/runners/{name}") });
    }
    if is_silent(ways) {
        let text = "GitHub's webhooks do not arrive: the newest were found by asking GitHub, up to a minute late";
        alerts.push(Alert { text: text.to_owned(), path: "/admin/health".to_owned() });
    }
    alerts
}

/// Whether the last that came of GitHub had to be fetched.
fn is_silent(ways: &Ways) -> bool {
    ways.fetched > 0 && ways.last_fetched > ways.last_sent
}

fn tools(around: &Around) -> Vec<Finding> {
    use Group::Machine;
    let tool = |(&tool, version): (&&'static str, &Option<String>)| match (tool, version) {
        ("git", Some(version)) if git_version(version).is_some_and(|found| found < OLDEST_GIT) => {
            let remedy = format!("install git {}.{} or newer", OLDEST_GIT.0, OLDEST_GIT.1);
            miss(Machine, "git", format!("{version} is too old"), &remedy)
        }
        (tool, Some(version)) => fine(Machine, tool, version.clone()),
        ("bwrap", None) => {
            note(Machine, "bwrap", "not found", "apt install bubblewrap, if this machine is to be a runner itself")
        }
        ("ssh", None) => miss(Machine, "ssh", "not found", "apt install openssh-client"),
        (tool, None) => miss(Machine, tool, "not found", &format!("apt install {tool}")),
    };
    around.tools.iter().map(tool).collect()
}

/// `2.47` of `git version 2.47.3 (Apple Git-1)`.
fn git_version(line: &str) -> Option<(u32, u32)> {
    let mut numbers = line.split_whitespace().nth(2)?.split('.').map(|part| part.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

/// The folder of the state, and the clock.
fn state(around: &Around) -> Vec<Finding> {
    use Group::Machine;
    let home = match &around.home {
        Some((home, Ok(free))) if *free < LITTLE_DISK => {
            let remedy = format!("free {}, or set TRACK_HOME to a folder on a larger disk", bytes(LITTLE_DISK));
            Some(miss(Machine, "state", format!("{} has {} free", home.display(), bytes(*free)), &remedy))
        }
        Some((home, Ok(free))) => Some(fine(Machine, "state", format!("{}, {} free", home.display(), bytes(*free)))),
        Some((_, Err(error))) => {
            Some(miss(Machine, "state", error.clone(), "set TRACK_HOME to a folder that this account may write"))
        }
        None => None,
    };
    let clock = around.github.as_ref().and_then(|github| github.as_ref().ok()).map(|github| {
        let found = match github.skew {
            0 => return fine(Machine, "clock", "agrees with GitHub's"),
            skew if skew > 0 => format!("{} s behind GitHub's", skew / 1_000),
            skew => format!("{} s ahead of GitHub's", -skew / 1_000),
        };
        match github.skew.abs() > SKEW_MOST {
            true => miss(Machine, "clock", found, "set this machine's clock by the network: timedatectl set-ntp true"),
            false => fine(Machine, "clock", found),
        }
    });
    home.into_iter().chain(clock).collect()
}

/// Whether those who should can sign in to the page, and nobody else.
fn sign_in(config: &Config) -> Vec<Finding> {
    use Group::SignIn;
    let Some(_) = &config.sign_in else {
        if config.github.is_none() {
            return Vec::new();
        }
        let remedy = "set GITHUB_APP_CLIENT_ID and GITHUB_APP_CLIENT_SECRET from the App's settings page, and TRACK_ADMINS; until then \
                      `track login-link` opens the page on this machine";
        return vec![note(SignIn, "sign-in", "not set up", remedy)];
    };
    let mut findings = Vec::new();
    match config.admins.as_slice() {
        [] => findings.push(miss(
            SignIn,
            "sign-in",
            "nobody is named who may use the admin page",
            "set TRACK_ADMINS to GitHub logins, with commas between",
        )),
        admins => findings.push(fine(SignIn, "sign-in", format!("admins: {}", admins.join(", ")))),
    }
    match config.public_url.as_deref() {
        None => findings.push(miss(
            SignIn,
            "public URL",
            "not set, so GitHub cannot lead people back here",
            "set TRACK_PUBLIC_URL to the address at which people reach this server",
        )),
        Some(url) if !url.starts_with("https://") && !is_loopback(url) => findings.push(miss(
            SignIn,
            "public URL",
            format!("{url} is not encrypted, and browsers keep no sign-in there"),
            "put a proxy with a certificate in front, and set TRACK_PUBLIC_URL to its https:// address",
        )),
        Some(url) => findings.push(fine(SignIn, "public URL", url)),
    }
    findings
}

/// Whether an address means the machine on which it is opened.
fn is_loopback(url: &str) -> bool {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest).split('/').next().unwrap_or_default();
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
    matches!(host, "localhost" | "[::1]")
        || host.parse::<std::net::Ipv4Addr>().is_ok_and(|address| address.is_loopback())
}

fn runners(config: &Config, facts: &Facts) -> Vec<Finding> {
    use Group::Runners;
    let mut findings = Vec::new();
    let configured: Vec<_> = match &facts.server {
        None => {
            let remedy = "start `track serve` and run this again, or track runner check NAME";
            findings.push(note(Runners, "runners", "not looked at: no server runs", remedy));
            config.runners.iter().collect()
        }
        Some(Err(error)) => {
            findings.push(miss(Runners, "runners", error.clone(), "see the server's log"));
            config.runners.iter().collect()
        }
        Some(Ok(server)) => {
            if server.runners.is_empty() {
                findings.push(miss(Runners, "runners", "none", "track runner add NAME --host HOST --user USER"));
            }
            findings.extend(server.runners.iter().flat_map(runner));
            server.runners.iter().map(|row| &row.config).collect()
        }
    };
    for runner in configured {
        if runner.transport == Transport::Local && runner.sandbox == Sandbox::None && config.github.is_some() {
            let found = "agents on it can read the App's private key, and with it act as the App everywhere";
            let remedy = "use sandbox = \"bubblewrap\", or a runner over SSH";
            findings.push(Finding { runner: Some(runner.name.clone()), ..note(Runners, &runner.name, found, remedy) });
        }
    }
    findings
}

fn runner(row: &RunnerRow) -> Vec<Finding> {
    use Group::Runners;
    let name = &row.config.name;
    let of = |finding: Finding| Finding { runner: Some(name.clone()), ..finding };
    let mut findings = Vec::new();
    if let Some(why) = row.state.strip_prefix("out of service: ") {
        let remedy = match row.from_file {
            true => {
                "compare the machine's host key; if it was set up anew, put the new key into track.toml and restart"
                    .to_owned()
            }
            false => format!(
                "compare the machine's host key; if it was set up anew, `track runner add {name}` with its host and user pins the new one"
            ),
        };
        findings.push(of(miss(Runners, &format!("{name}: service"), format!("out of service: {why}"), &remedy)));
    }
    if row.draining {
        let remedy = format!("`track runner undrain {name}` has it take runs again");
        findings.push(of(note(Runners, &format!("{name}: drained"), "takes no new runs", &remedy)));
    }
    match &row.look {
        None => {
            let remedy = format!("`track runner check {name}`");
            findings.push(of(note(Runners, &format!("{name}: check"), "not looked at yet", &remedy)));
        }
        Some(look) => {
            findings.extend(look.checks.iter().map(|check| {
                let check = Check { what: format!("{name}: {}", check.what), ..check.clone() };
                Finding { group: Runners, runner: Some(name.clone()), check }
            }));
        }
    }
    findings
}

/// A size as people read it.
pub fn bytes(n: u64) -> String {
    match n {
        0..0x4000_0000 => format!("{} MiB", n >> 20),
        _ => format!("{:.1} GiB", n as f64 / f64::from(1 << 30)),
    }
}

fn fine(group: Group, what: &str, found: impl Into<String>) -> Finding {
    let check = Check { what: what.into(), ok: true, found: found.into(), remedy: String::new() };
    Finding { group, runner: None, check }
}

fn miss(group: Group, what: &str, found: impl Into<String>, remedy: &str) -> Finding {
    let check = Check { what: what.into(), ok: false, found: found.into(), remedy: remedy.into() };
    Finding { group, runner: None, check }
}

fn note(group: Group, what: &str, found: impl Into<String>, remedy: &str) -> Finding {
    let finding = miss(group, what, found, remedy);
    Finding { check: Check { ok: true, ..finding.check }, ..finding }
}
