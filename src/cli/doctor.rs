//! `track doctor`: looks first, judges then, so that what it says can be tested without the things that it looks at.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use serde::Deserialize;
use tokio::process::Command;
use tokio::time::timeout;

use super::Program;
use super::api::{Check, RunnerRow};
use super::client::{Connection, connect};
use super::table::line;
use crate::config::{Config, Mistakes, Sandbox, Transport};

/// Less than this, and a clone or the database will soon fail.
const LITTLE_DISK: u64 = 2 * 1024 * 1024 * 1024;

/// `git merge-tree --write-tree` came with it, by which work is put on top of what others pushed.
const OLDEST_GIT: (u32, u32) = (2, 38);

/// The App as it should be.
const MANIFEST: &str = include_str!("../../app-manifest.yml");

/// What can be said to it; its help stands in [`super::Command`].
#[derive(Debug, Args)]
#[command(after_help = "\
What comes next: put right what is marked MISS, from the top, and run it again; then `track serve`.")]
pub struct DoctorArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What GitHub says of the configured App (`GET /app`).
#[derive(Clone, Debug, Default)]
pub struct AppFacts {
    /// Its slug.
    pub slug: String,
    /// Permission to level: `contents` to `write`.
    pub permissions: BTreeMap<String, String>,
    /// The events it subscribes to.
    pub events: Vec<String>,
    /// How many accounts it is installed on.
    pub installations: usize,
}

/// A runner and what was found on it.
type CheckedRunner = (RunnerRow, Vec<Check>);

/// What was found, before anything is said of it.
struct Facts {
    config: Result<Config, Mistakes>,
    /// Program to the first line of its `--version`.
    tools: BTreeMap<&'static str, Option<String>>,
    /// The folder of the state and whether it can be written, with the bytes free there.
    home: Option<(PathBuf, Result<u64, String>)>,
    /// `None` where no App is configured.
    app: Option<Result<AppFacts, String>>,
    /// `None` where no server runs.
    runners: Option<Result<Vec<CheckedRunner>, String>>,
}

/// A check, or a warning that does not count as a miss.
struct Finding {
    check: Check,
    warning: bool,
}

/// Collects, judges and prints; `false` on a miss.
pub async fn run(args: &DoctorArgs, config: Result<Config, Mistakes>, program: &dyn Program) -> anyhow::Result<bool> {
    let findings = judge(&collect(config, program).await);
    if args.json {
        let checks: Vec<_> = findings.iter().map(|finding| &finding.check).collect();
        println!("{}", serde_json::to_string_pretty(&checks)?);
    } else {
        print!("{}", render(&findings));
    }
    Ok(findings.iter().all(|finding| finding.check.ok))
}

async fn collect(config: Result<Config, Mistakes>, program: &dyn Program) -> Facts {
    let mut tools = BTreeMap::new();
    for (tool, flag) in [("git", "--version"), ("ssh", "-V"), ("bash", "--version"), ("bwrap", "--version")] {
        tools.insert(tool, version_of(tool, flag).await);
    }
    let (mut home, mut app, mut runners) = (None, None, None);
    if let Ok(config) = &config {
        home = Some((config.home.clone(), room_in(&config.home).map_err(|error| format!("{error:#}"))));
        if config.github.is_some() {
            app = Some(program.app_facts(config).await.map_err(|error| format!("{error:#}")));
        }
        runners = runners_of(config).await.map_err(|error| format!("{error:#}")).transpose();
    }
    Facts { config, tools, home, app, runners }
}

/// The first line that a program prints of its version; ssh prints it on standard error.
async fn version_of(tool: &str, flag: &str) -> Option<String> {
    let output = Command::new(tool).arg(flag).stdin(Stdio::null()).kill_on_drop(true).output();
    let output = timeout(Duration::from_secs(10), output).await.ok()?.ok()?;
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text).lines().next().map(str::to_owned)
}

/// Whether the folder can be made and written, and the bytes free there. Nothing is left behind.
fn room_in(home: &Path) -> anyhow::Result<u64> {
    let there = home.ancestors().find(|folder| folder.exists()).context("no part of the path exists")?;
    let probe = there.join(format!(".track-doctor-{}", std::process::id()));
    fs::write(&probe, b"").with_context(|| format!("{} cannot be written", there.display()))?;
    fs::remove_file(&probe).with_context(|| format!("{} cannot be removed", probe.display()))?;
    let disk = rustix::fs::statvfs(there).with_context(|| format!("no free space is told for {}", there.display()))?;
    Ok(disk.f_bavail * disk.f_frsize)
}

async fn runners_of(config: &Config) -> anyhow::Result<Option<Vec<CheckedRunner>>> {
    let Connection::Socket(client) = connect(&config.home).await? else { return Ok(None) };
    let mut found = Vec::new();
    for row in client.get::<Vec<RunnerRow>>("/api/v1/runners").await? {
        let path = format!("/api/v1/runners/{}/check", row.config.name);
        let checks = match client.post(&path, &serde_json::json!({})).await {
            Ok(checks) => checks,
            Err(error) => vec![miss("check", format!("{error:#}"), "see the server's log")],
        };
        found.push((row, checks));
    }
    Ok(Some(found))
}

fn judge(facts: &Facts) -> Vec<Finding> {
    let mut findings = tools(facts);
    match &facts.config {
        Ok(_) => findings.push(fine("configuration", "no mistakes")),
        Err(mistakes) => findings.extend(
            mistakes.0.iter().map(|m| failed("configuration", format!("{} {}", m.setting, m.problem), &m.remedy)),
        ),
    }
    match &facts.home {
        Some((home, Ok(free))) if *free < LITTLE_DISK => findings.push(failed(
            "state",
            format!("{} has {} free", home.display(), bytes(*free)),
            &format!("free {}, or set TRACK_HOME to a folder on a larger disk", bytes(LITTLE_DISK)),
        )),
        Some((home, Ok(free))) => findings.push(fine("state", format!("{}, {} free", home.display(), bytes(*free)))),
        Some((_, Err(error))) => {
            findings.push(failed("state", error.clone(), "set TRACK_HOME to a folder that this account may write"));
        }
        None => {}
    }
    if let Ok(config) = &facts.config {
        findings.extend(app(config, facts.app.as_ref()));
        findings.extend(runners(config, facts.runners.as_ref()));
    }
    findings
}

fn tools(facts: &Facts) -> Vec<Finding> {
    facts
        .tools
        .iter()
        .map(|(&tool, version)| match (tool, version) {
            ("git", Some(version)) if git_version(version).is_some_and(|found| found < OLDEST_GIT) => {
                let remedy = format!("install git {}.{} or newer", OLDEST_GIT.0, OLDEST_GIT.1);
                failed("git", format!("{version} is too old"), &remedy)
            }
            (tool, Some(version)) => fine(tool, version.clone()),
            ("bwrap", None) => {
                let remedy = "apt install bubblewrap, if this machine is to be a runner itself";
                warning("bwrap", "not found", remedy)
            }
            ("ssh", None) => failed("ssh", "not found", "apt install openssh-client"),
            (tool, None) => failed(tool, "not found", &format!("apt install {tool}")),
        })
        .collect()
}

/// `2.47` of `git version 2.47.3 (Apple Git-1)`.
fn git_version(line: &str) -> Option<(u32, u32)> {
    let mut numbers = line.split_whitespace().nth(2)?.split('.').map(|part| part.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

fn app(config: &Config, facts: Option<&Result<AppFacts, String>>) -> Vec<Finding> {
    let facts = match facts {
        None => {
            return config
                .app()
                .err()
                .into_iter()
                .flat_map(|missing| missing.0)
                .map(|m| failed("app", format!("{} {}", m.setting, m.problem), &m.remedy))
                .collect();
        }
        Some(Err(error)) => {
            let remedy = "check GITHUB_APP_ID and the private key, and that this machine reaches GITHUB_API_URL";
            return vec![failed("app", error.clone(), remedy)];
        }
        Some(Ok(facts)) => facts,
    };
    let mut findings = vec![fine("app", facts.slug.clone())];
    let wanted = match manifest() {
        Ok(wanted) => wanted,
        Err(error) => return vec![failed("app", format!("{error:#}"), "report this: the program is damaged")],
    };
    let level = |word: Option<&String>| {
        word.map_or(0, |word| ["read", "write", "admin"].iter().position(|w| w == word).map_or(0, |n| n + 1))
    };
    for (permission, least) in &wanted.default_permissions {
        let has = facts.permissions.get(permission);
        if level(has) < level(Some(least)) {
            let found = format!("{permission} is {}, and {least} is needed", has.map_or("not granted", |has| has));
            findings.push(failed(
                "permission",
                found,
                "grant it on the App's settings page, then accept it for each installation",
            ));
        }
    }
    // Nobody can misuse what was never granted.
    for (permission, has) in &facts.permissions {
        if level(Some(has)) > level(wanted.default_permissions.get(permission)) {
            let found = format!("{permission} is {has}, which track never uses");
            findings.push(warning("permission", found, "take it away on the App's settings page"));
        }
    }
    for event in wanted.default_events.iter().filter(|event| !facts.events.contains(event)) {
        let remedy = "subscribe to it on the App's settings page, under \"Permissions & events\"";
        findings.push(failed("event", format!("{event} is not subscribed"), remedy));
    }
    if facts.installations == 0 {
        findings.push(failed("installation", "none", "install the App on your repositories, from its settings page"));
    }
    findings
}

fn runners(config: &Config, facts: Option<&Result<Vec<CheckedRunner>, String>>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let configured: Vec<_> = match facts {
        None => {
            let found = "not looked at: no server runs";
            findings.push(warning(
                "runners",
                found,
                "start `track serve` and run this again, or track runner check NAME",
            ));
            config.runners.iter().collect()
        }
        Some(Err(error)) => {
            findings.push(failed("runners", error.clone(), "see the server's log"));
            config.runners.iter().collect()
        }
        Some(Ok(rows)) => {
            if rows.is_empty() {
                findings.push(failed("runners", "none", "track runner add NAME --host HOST --user USER"));
            }
            for (row, checks) in rows {
                let name = &row.config.name;
                findings.extend(checks.iter().map(|check| Finding {
                    check: Check { what: format!("{name}: {}", check.what), ..check.clone() },
                    warning: false,
                }));
            }
            rows.iter().map(|(row, _)| &row.config).collect()
        }
    };
    for runner in configured {
        if runner.transport == Transport::Local && runner.sandbox == Sandbox::None && config.github.is_some() {
            let found = "agents on it can read the App's private key, and with it act as the App everywhere";
            let remedy = "use sandbox = \"bubblewrap\", or a runner over SSH";
            findings.push(warning(&runner.name, found, remedy));
        }
    }
    findings
}

#[derive(Deserialize)]
struct Manifest {
    default_permissions: BTreeMap<String, String>,
    default_events: Vec<String>,
}

fn manifest() -> anyhow::Result<Manifest> {
    serde_saphyr::from_str(MANIFEST).context("app-manifest.yml cannot be read")
}

fn render(findings: &[Finding]) -> String {
    let width = findings.iter().map(|finding| finding.check.what.chars().count()).max().unwrap_or(0);
    let mut out = String::new();
    for Finding { check, warning } in findings {
        let mark = match (check.ok, warning) {
            (false, _) => "MISS",
            (true, true) => "note",
            (true, false) => "ok  ",
        };
        out += &line(mark, check, width);
    }
    out += &match findings.iter().filter(|finding| !finding.check.ok).count() {
        0 => "\nnothing is missing\n".to_owned(),
        n => format!("\n{n} missing\n"),
    };
    out
}

fn bytes(n: u64) -> String {
    match n {
        0..0x4000_0000 => format!("{} MiB", n >> 20),
        _ => format!("{:.1} GiB", n as f64 / f64::from(1 << 30)),
    }
}

fn fine(what: &str, found: impl Into<String>) -> Finding {
    Finding { check: Check { what: what.into(), ok: true, found: found.into(), remedy: String::new() }, warning: false }
}

fn failed(what: &str, found: impl Into<String>, remedy: &str) -> Finding {
    Finding { check: miss(what, found, remedy), warning: false }
}

fn warning(what: &str, found: impl Into<String>, remedy: &str) -> Finding {
    Finding { check: Check { ok: true, ..miss(what, found, remedy) }, warning: true }
}

fn miss(what: &str, found: impl Into<String>, remedy: &str) -> Check {
    Check { what: what.into(), ok: false, found: found.into(), remedy: remedy.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{GitHubConfig, Mistake, RunnerConfig};

    fn healthy() -> Facts {
        let wanted = manifest().unwrap();
        let mut config = Config::defaults("/data".into());
        config.github = Some(GitHubConfig {
            app_id: 7,
            private_key: "key".into(),
            webhook_secret: "secret".into(),
            api_url: "https://api.github.com".into(),
            server_url: "https://github.com".into(),
        });
        let runner = RunnerConfig {
            host: Some("10.0.0.5".into()),
            user: Some("agent".into()),
            ..RunnerConfig::named("build-1", Transport::Ssh)
        };
        let row = RunnerRow {
            config: runner,
            from_file: true,
            live: 0,
            state: "ready".into(),
            key_fingerprint: None,
            host_key_fingerprint: None,
        };
        Facts {
            config: Ok(config),
            tools: [
                ("git", "git version 2.47.3"),
                ("ssh", "OpenSSH_9.2p1"),
                ("bash", "GNU bash"),
                ("bwrap", "bubblewrap 0.8.0"),
            ]
            .into_iter()
            .map(|(tool, version)| (tool, Some(version.to_owned())))
            .collect(),
            home: Some(("/data".into(), Ok(50 << 30))),
            app: Some(Ok(AppFacts {
                slug: "track".into(),
                permissions: wanted.default_permissions,
                events: wanted.default_events,
                installations: 1,
            })),
            runners: Some(Ok(vec![(row, vec![fine("git", "2.43.0").check])])),
        }
    }

    fn told(facts: &Facts) -> String {
        render(&judge(facts))
    }

    #[test]
    fn a_machine_that_has_everything() {
        insta::assert_snapshot!(told(&healthy()), @"
        ok    bash           GNU bash
        ok    bwrap          bubblewrap 0.8.0
        ok    git            git version 2.47.3
        ok    ssh            OpenSSH_9.2p1
        ok    configuration  no mistakes
        ok    state          /data, 50.0 GiB free
        ok    app            track
        ok    build-1: git   2.43.0

        nothing is missing
        ");
    }

    #[test]
    fn every_miss_has_its_remedy() {
        let mut facts = healthy();
        facts.tools.insert("git", Some("git version 2.30.2".into()));
        facts.tools.insert("ssh", None);
        facts.tools.insert("bwrap", None);
        facts.home = Some(("/data".into(), Ok(100 << 20)));
        let permissions = [
            ("checks", "read"),
            ("contents", "read"),
            ("metadata", "read"),
            ("issues", "write"),
            ("administration", "write"),
        ];
        facts.app = Some(Ok(AppFacts {
            slug: "track".into(),
            permissions: permissions.into_iter().map(|(a, b)| (a.to_owned(), b.to_owned())).collect(),
            events: ["issues", "issue_comment", "pull_request", "pull_request_review", "repository"]
                .map(str::to_owned)
                .into(),
            installations: 0,
        }));
        facts.runners = Some(Ok(Vec::new()));
        insta::assert_snapshot!(told(&facts), @r#"
        ok    bash           GNU bash
        note  bwrap          not found
                             -> apt install bubblewrap, if this machine is to be a runner itself
        MISS  git            git version 2.30.2 is too old
                             -> install git 2.38 or newer
        MISS  ssh            not found
                             -> apt install openssh-client
        ok    configuration  no mistakes
        MISS  state          /data has 100 MiB free
                             -> free 2.0 GiB, or set TRACK_HOME to a folder on a larger disk
        ok    app            track
        MISS  permission     contents is read, and write is needed
                             -> grant it on the App's settings page, then accept it for each installation
        MISS  permission     pull_requests is not granted, and write is needed
                             -> grant it on the App's settings page, then accept it for each installation
        note  permission     administration is write, which track never uses
                             -> take it away on the App's settings page
        MISS  event          pull_request_review_comment is not subscribed
                             -> subscribe to it on the App's settings page, under "Permissions & events"
        MISS  installation   none
                             -> install the App on your repositories, from its settings page
        MISS  runners        none
                             -> track runner add NAME --host HOST --user USER

        8 missing
        "#);
    }

    #[test]
    fn what_cannot_be_looked_at_is_said() {
        let mut facts = healthy();
        let config = facts.config.as_mut().unwrap();
        config.runners = vec![RunnerConfig { sandbox: Sandbox::None, ..RunnerConfig::named("here", Transport::Local) }];
        facts.home = Some(("/data".into(), Err("/data cannot be written: Permission denied".into())));
        facts.app = Some(Err("GitHub answers 401: the private key is not this App's".into()));
        facts.runners = None;
        insta::assert_snapshot!(told(&facts), @r#"
        ok    bash           GNU bash
        ok    bwrap          bubblewrap 0.8.0
        ok    git            git version 2.47.3
        ok    ssh            OpenSSH_9.2p1
        ok    configuration  no mistakes
        MISS  state          /data cannot be written: Permission denied
                             -> set TRACK_HOME to a folder that this account may write
        MISS  app            GitHub answers 401: the private key is not this App's
                             -> check GITHUB_APP_ID and the private key, and that this machine reaches GITHUB_API_URL
        note  runners        not looked at: no server runs
                             -> start `track serve` and run this again, or track runner check NAME
        note  here           agents on it can read the App's private key, and with it act as the App everywhere
                             -> use sandbox = "bubblewrap", or a runner over SSH

        2 missing
        "#);

        let mistake = Mistake::new("GITHUB_APP_ID", "is \"x\", which is no number", "set the number");
        let facts = Facts { config: Err(mistake.into()), home: None, app: None, ..facts };
        let findings = judge(&facts);
        assert!(findings.iter().any(|finding| !finding.check.ok && finding.check.found.starts_with("GITHUB_APP_ID")));
    }

    #[test]
    fn looking_for_room_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        assert!(room_in(&folder.path().join("a/b")).unwrap() > 0);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        assert!(room_in(Path::new("/proc/nothing/here")).is_err());
    }

    // T31
    #[test]
    fn the_manifest_asks_for_the_least() {
        let wanted = manifest().unwrap();
        let permissions: Vec<_> =
            wanted.default_permissions.iter().map(|(name, level)| format!("{name}:{level}")).collect();
        assert_eq!(
            permissions,
            ["checks:read", "contents:write", "issues:write", "metadata:read", "pull_requests:write"]
        );
    }
}
