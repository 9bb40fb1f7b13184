use std::path::Path;
use std::sync::Arc;

use super::gather::expects_webhooks;
use super::judge::{alerts_of, manifest};
use super::runners::login;
use super::*;
use crate::config::reach::NOWHERE;
use crate::config::{Config, GitHubConfig, Mistake, RunnerConfig, Sandbox, SignInConfig, Transport};
use crate::db::deliveries::Ways;
use crate::github::app::{DeliverySummary, Grants, Hook};
use crate::runner::pool::Slots;
use crate::runner::{AgentSeen, Login, Renewal};

/// 2026-11-27 20:00 UTC.
const NOW: i64 = 1_795_809_600_000;
const MINUTE: i64 = 60_000;

fn attempt(minutes_ago: i64, status_code: u16, status: &str) -> DeliverySummary {
    serde_json::from_value(serde_json::json!({
        "id": minutes_ago, "guid": "g", "delivered_at": at(NOW - minutes_ago * MINUTE), "event": "issues",
        "status_code": status_code, "status": status,
    }))
    .unwrap()
}

fn at(millis: i64) -> String {
    chrono::DateTime::from_timestamp_millis(millis).unwrap().to_rfc3339()
}

fn hook(value: serde_json::Value) -> Option<Hook> {
    Some(serde_json::from_value(value).unwrap())
}

fn app() -> GitHubConfig {
    GitHubConfig {
        app_id: 7,
        private_key: "key".into(),
        webhook_secret: "secret".into(),
        api_url: "https://api.github.com".into(),
        server_url: "https://github.com".into(),
    }
}

fn row() -> RunnerRow {
    let config = RunnerConfig {
        host: Some("10.0.0.5".into()),
        user: Some("agent".into()),
        ..RunnerConfig::named("build-1", Transport::Ssh)
    };
    let git = Check { what: "git".into(), ok: true, found: "2.43.0".into(), remedy: String::new() };
    RunnerRow {
        config,
        from_file: true,
        live: 0,
        state: "ready".into(),
        key_fingerprint: None,
        host_key_fingerprint: None,
        draining: false,
        look: Some(Look {
            at: NOW,
            checks: vec![git],
            round_trip: Some(18_000),
            free: Some(50 << 30),
            used: None,
            agents: Vec::new(),
        }),
    }
}

/// A bot that lacks nothing, its configuration changed.
fn healthy_with(change: impl FnOnce(&mut Config)) -> Facts {
    let wanted = manifest().unwrap();
    let mut config = Config::defaults("/data".into());
    config.github = Some(app());
    config.sign_in = Some(SignInConfig { client_id: "Iv1.1".into(), client_secret: "secret".into() });
    config.admins = vec!["mona".into()];
    config.public_url = Some("https://track.octo.dev".into());
    change(&mut config);
    let tools =
        [("git", "git version 2.47.3"), ("ssh", "OpenSSH_9.2p1"), ("bash", "GNU bash"), ("bwrap", "bubblewrap 0.8.0")];
    Facts {
        config: Ok(Arc::new(config)),
        now: NOW,
        around: Some(Around {
            at: NOW,
            tools: tools.into_iter().map(|(tool, version)| (tool, Some(version.to_owned()))).collect(),
            home: Some(("/data".into(), Ok(50 << 30))),
            github: Some(Ok(GitHubFacts {
                grants: Grants {
                    slug: "track".into(),
                    permissions: wanted.default_permissions,
                    events: wanted.default_events,
                    installations: 1,
                },
                hook: Ok(hook(serde_json::json!({
                    "url": "https://track.octo.dev/webhooks/github", "content_type": "json", "insecure_ssl": "0",
                }))),
                attempts: Ok(vec![attempt(5, 202, "OK"), attempt(9, 202, "OK")]),
                skew: 0,
            })),
        }),
        server: Some(Ok(ServerFacts {
            machinery: Machinery {
                ways: Ways { sent: 12, last_sent: Some(NOW - 5 * MINUTE), fetched: 0, last_fetched: None },
                ..Machinery::default()
            },
            runners: vec![row()],
        })),
    }
}

fn healthy() -> Facts {
    healthy_with(|_| ())
}

fn around(facts: &mut Facts) -> &mut Around {
    facts.around.as_mut().unwrap()
}

fn github(facts: &mut Facts) -> &mut GitHubFacts {
    around(facts).github.as_mut().unwrap().as_mut().unwrap()
}

fn server(facts: &mut Facts) -> &mut ServerFacts {
    facts.server.as_mut().unwrap().as_mut().unwrap()
}

/// One line for each finding, with its remedy.
fn told(facts: &Facts) -> String {
    told_of(facts, |_| true)
}

fn told_of(facts: &Facts, which: impl Fn(&Finding) -> bool) -> String {
    let line = |finding: &Finding| {
        let Check { what, found, remedy, .. } = &finding.check;
        let mark = match finding.mark() {
            Mark::Miss => "MISS",
            Mark::Note => "note",
            Mark::Fine => "ok",
        };
        let remedy = if remedy.is_empty() { String::new() } else { format!("\n     -> {remedy}") };
        format!("{mark:4} {}: {what}: {found}{remedy}", finding.group.title())
    };
    judge(facts).iter().filter(|finding| which(finding)).map(line).collect::<Vec<_>>().join("\n")
}

fn is_no_tool(finding: &Finding) -> bool {
    finding.mark() != Mark::Fine
}

#[test]
fn a_bot_that_has_everything() {
    insta::assert_snapshot!(told(&healthy()), @"
    ok   This machine: bash: GNU bash
    ok   This machine: bwrap: bubblewrap 0.8.0
    ok   This machine: git: git version 2.47.3
    ok   This machine: ssh: OpenSSH_9.2p1
    ok   Configuration: configuration: no mistakes
    ok   This machine: state: /data, 50.0 GiB free
    ok   This machine: clock: agrees with GitHub's
    ok   GitHub App: app: track
    ok   Webhooks: webhook: https://track.octo.dev/webhooks/github
    ok   Webhooks: deliveries: the newest (issues, 5 min ago) was taken
    ok   Webhooks: arrival: the last came 5 min ago; 12 in 24 hours
    ok   Sign-in: sign-in: admins: mona
    ok   Sign-in: public URL: https://track.octo.dev
    ok   Runners: build-1: git: 2.43.0
    ");
}

#[test]
fn every_miss_has_its_remedy() {
    let mut facts = healthy();
    let machine = around(&mut facts);
    machine.tools.insert("git", Some("git version 2.30.2".into()));
    machine.tools.insert("ssh", None);
    machine.tools.insert("bwrap", None);
    machine.home = Some(("/data".into(), Ok(100 << 20)));
    let permissions = [
        ("checks", "read"),
        ("contents", "read"),
        ("metadata", "read"),
        ("issues", "write"),
        ("administration", "write"),
    ];
    github(&mut facts).skew = 61_000;
    github(&mut facts).grants = Grants {
        slug: "track".into(),
        permissions: permissions.into_iter().map(|(a, b)| (a.to_owned(), b.to_owned())).collect(),
        events: ["issues", "issue_comment", "pull_request", "pull_request_review", "repository"]
            .map(str::to_owned)
            .into(),
        installations: 0,
    };
    server(&mut facts).runners.clear();
    insta::assert_snapshot!(told_of(&facts, is_no_tool), @r#"
    note This machine: bwrap: not found
         -> apt install bubblewrap, if this machine is to be a runner itself
    MISS This machine: git: git version 2.30.2 is too old
         -> install git 2.38 or newer
    MISS This machine: ssh: not found
         -> apt install openssh-client
    MISS This machine: state: /data has 100 MiB free
         -> free 2.0 GiB, or set TRACK_HOME to a folder on a larger disk
    MISS This machine: clock: 61 s behind GitHub's
         -> set this machine's clock by the network: timedatectl set-ntp true
    MISS GitHub App: permission: contents is read, and write is needed
         -> grant it on the App's settings page, then accept it for each installation
    MISS GitHub App: permission: pull_requests is not granted, and write is needed
         -> grant it on the App's settings page, then accept it for each installation
    note GitHub App: permission: administration is write, which track never uses
         -> take it away on the App's settings page
    MISS GitHub App: event: pull_request_review_comment is not subscribed
         -> subscribe to it on the App's settings page, under "Permissions & events"
    MISS GitHub App: installation: none
         -> install the App on your repositories, from its settings page
    MISS Runners: runners: none
         -> track runner add NAME --host HOST --user USER
    "#);
}

#[test]
fn what_cannot_be_looked_at_is_said() {
    let mut facts = healthy_with(|config| {
        config.sign_in = None;
        config.runners = vec![RunnerConfig { sandbox: Sandbox::None, ..RunnerConfig::named("here", Transport::Local) }];
    });
    around(&mut facts).home = Some(("/data".into(), Err("/data cannot be written: Permission denied".into())));
    around(&mut facts).github = Some(Err("GitHub answers 401: the private key is not this App's".into()));
    facts.server = None;
    insta::assert_snapshot!(told_of(&facts, is_no_tool), @r#"
    MISS This machine: state: /data cannot be written: Permission denied
         -> set TRACK_HOME to a folder that this account may write
    MISS GitHub App: app: GitHub answers 401: the private key is not this App's
         -> check GITHUB_APP_ID and the private key, and that this machine reaches GITHUB_API_URL
    note Sign-in: sign-in: not set up
         -> set GITHUB_APP_CLIENT_ID and GITHUB_APP_CLIENT_SECRET from the App's settings page, and TRACK_ADMINS; until then `track login-link` opens the page on this machine
    note Runners: runners: not looked at: no server runs
         -> start `track serve` and run this again, or track runner check NAME
    note Runners: here: agents on it can read the App's private key, and with it act as the App everywhere
         -> use sandbox = "bubblewrap", or a runner over SSH
    "#);

    let mistake = Mistake::new("GITHUB_APP_ID", "is \"x\", which is no number", "set the number");
    let facts = Facts { config: Err(mistake.into()), around: None, ..facts };
    insta::assert_snapshot!(told(&facts), @r#"
    MISS Configuration: configuration: GITHUB_APP_ID is "x", which is no number
         -> set the number
    "#);
}

#[test]
fn whether_webhooks_arrive() {
    let url = |url: &str| Ok(hook(serde_json::json!({ "url": url, "content_type": "json", "insecure_ssl": 0 })));
    let ways = |sent, last_sent: Option<i64>, fetched, last_fetched: Option<i64>| Ways {
        sent,
        last_sent: last_sent.map(|ago| NOW - ago * MINUTE),
        fetched,
        last_fetched: last_fetched.map(|ago| NOW - ago * MINUTE),
    };
    let good = || url("https://track.octo.dev/webhooks/github");
    type Case = (Result<Option<Hook>, String>, Vec<DeliverySummary>, Ways);
    let cases: Vec<Case> = vec![
        (Ok(None), vec![], Ways::default()),
        (url(""), vec![], Ways::default()),
        (url("https://track.example.org/webhooks/github"), vec![], Ways::default()),
        (
            url(&format!("{NOWHERE}/webhooks/github")),
            vec![attempt(3, 502, "failed to connect to host")],
            ways(0, None, 1, Some(3)),
        ),
        (url("https://smee.io/x"), vec![attempt(200, 200, "OK")], ways(1, Some(200), 0, None)),
        (
            url("https://track.other.dev/webhooks/github?x"),
            vec![attempt(6_000, 202, "OK")],
            ways(0, Some(6_000), 0, None),
        ),
        (
            Ok(hook(
                serde_json::json!({ "url": "https://track.octo.dev/webhooks/github", "content_type": "form", "insecure_ssl": "1" }),
            )),
            vec![attempt(0, 401, "Unauthorized")],
            Ways::default(),
        ),
        (
            good(),
            vec![attempt(3, 502, "failed to connect to host"), attempt(9, 202, "OK")],
            ways(1, Some(9), 1, Some(3)),
        ),
        (good(), vec![attempt(3, 502, ""), attempt(4, 0, "")], ways(0, None, 2, Some(3))),
        (good(), vec![attempt(3, 202, "OK"), attempt(9, 404, "Not Found")], ways(4, Some(3), 1, Some(9))),
        (
            Err("GET /app/hook/config: GitHub is not available".into()),
            vec![attempt(3, 202, "OK")],
            ways(4, Some(3), 0, None),
        ),
    ];
    let mut out = String::new();
    for (hook, attempts, ways) in cases {
        let mut facts = healthy();
        github(&mut facts).hook = hook;
        github(&mut facts).attempts = Ok(attempts);
        server(&mut facts).machinery.ways = ways;
        out += &told_of(&facts, |finding| finding.group == Group::Webhooks);
        out += "\n--\n";
    }
    insta::assert_snapshot!(out.replace("https://track.octo.dev", "OURS"), @r#"
    MISS Webhooks: webhook: the App has none, so GitHub tells nothing of what happens
         -> set "Webhook URL" on the App's settings page to OURS/webhooks/github, and tick "Active"
    ok   Webhooks: deliveries: GitHub has sent nothing yet
    --
    MISS Webhooks: webhook: the App has none, so GitHub tells nothing of what happens
         -> set "Webhook URL" on the App's settings page to OURS/webhooks/github, and tick "Active"
    ok   Webhooks: deliveries: GitHub has sent nothing yet
    --
    MISS Webhooks: webhook: https://track.example.org/webhooks/github is the example's address
         -> set "Webhook URL" on the App's settings page to OURS/webhooks/github, and tick "Active"
    ok   Webhooks: deliveries: GitHub has sent nothing yet
    --
    note Webhooks: webhook: it leads nowhere, as this bot has no public address: what happens is found by asking GitHub, up to a minute late
         -> OURS is one: set "Webhook URL" on the App's settings page to OURS/webhooks/github
    --
    note Webhooks: webhook: https://smee.io/x does not end in /webhooks/github
         -> set "Webhook URL" on the App's settings page to OURS/webhooks/github, and tick "Active", unless a proxy leads it there
    ok   Webhooks: deliveries: the newest (issues, 3 h ago) was taken
    ok   Webhooks: arrival: the last came 3 h ago; 1 in 24 hours
    --
    note Webhooks: webhook: https://track.other.dev/webhooks/github?x is on another server than TRACK_PUBLIC_URL says
         -> set "Webhook URL" on the App's settings page to OURS/webhooks/github, and tick "Active", unless webhooks take a way of their own
    ok   Webhooks: deliveries: the newest (issues, 4 days ago) was taken
    ok   Webhooks: arrival: the last came 4 days ago; 0 in 24 hours
    --
    ok   Webhooks: webhook: OURS/webhooks/github
    MISS Webhooks: content type: form, which is refused here
         -> choose application/json as content type on the App's settings page
    note Webhooks: certificate: GitHub does not look at the certificate, so anybody on the way could read webhooks
         -> enable SSL verification on the App's settings page
    MISS Webhooks: deliveries: of the last 1, 1 were not taken; the newest (issues, just now): 401 Unauthorized
         -> set GITHUB_WEBHOOK_SECRET to the "Webhook secret" of the App's settings page, or write a new one in both places
    --
    ok   Webhooks: webhook: OURS/webhooks/github
    MISS Webhooks: deliveries: of the last 2, 1 were not taken; the newest (issues, 3 min ago): 502 failed to connect to host
         -> see that the webhook's address reaches this server from the internet: DNS, firewall, tunnel, certificate
    MISS Webhooks: arrival: 1 in 24 hours only came by asking GitHub, up to a minute late; the last that came by itself: 9 min ago
         -> put the webhook's address right, as said above
    --
    ok   Webhooks: webhook: OURS/webhooks/github
    MISS Webhooks: deliveries: of the last 2, 2 were not taken; the newest (issues, 3 min ago): 502
         -> see the log of the server, and of the proxy in front of it
    MISS Webhooks: arrival: 2 in 24 hours only came by asking GitHub, up to a minute late; none ever came by itself
         -> put the webhook's address right, as said above
    --
    ok   Webhooks: webhook: OURS/webhooks/github
    ok   Webhooks: deliveries: the newest (issues, 3 min ago) was taken; of the last 2, 1 were not taken
    ok   Webhooks: arrival: the last came 3 min ago; of 5 in 24 hours, 1 only by asking GitHub
    --
    note Webhooks: webhook: GitHub does not say: GET /app/hook/config: GitHub is not available
         -> run this again in a moment
    ok   Webhooks: deliveries: the newest (issues, 3 min ago) was taken
    ok   Webhooks: arrival: the last came 3 min ago; 4 in 24 hours
    --
    "#);
}

#[test]
fn who_can_sign_in() {
    let mut out = String::new();
    for (admins, url) in [
        (vec![], None),
        (vec!["mona".to_owned(), "hubot".to_owned()], Some("http://track.octo.dev")),
        (vec!["mona".to_owned()], Some("http://127.0.0.1:3000")),
        (vec!["mona".to_owned()], Some("http://127.evil.example.org")),
    ] {
        let facts = healthy_with(|config| {
            config.admins = admins;
            config.public_url = url.map(str::to_owned);
        });
        out += &told_of(&facts, |finding| finding.group == Group::SignIn);
        out += "\n--\n";
    }
    insta::assert_snapshot!(out, @"
    MISS Sign-in: sign-in: nobody is named who may use the admin page
         -> set TRACK_ADMINS to GitHub logins, with commas between
    MISS Sign-in: public URL: not set, so GitHub cannot lead people back here
         -> set TRACK_PUBLIC_URL to the address at which people reach this server
    --
    ok   Sign-in: sign-in: admins: mona, hubot
    MISS Sign-in: public URL: http://track.octo.dev is not encrypted, and browsers keep no sign-in there
         -> put a proxy with a certificate in front, and set TRACK_PUBLIC_URL to its https:// address
    --
    ok   Sign-in: sign-in: admins: mona
    ok   Sign-in: public URL: http://127.0.0.1:3000
    --
    ok   Sign-in: sign-in: admins: mona
    MISS Sign-in: public URL: http://127.evil.example.org is not encrypted, and browsers keep no sign-in there
         -> put a proxy with a certificate in front, and set TRACK_PUBLIC_URL to its https:// address
    --
    ");
}

// A team among the admins is one thing more that the App must be able to read.
#[test]
fn teams_need_a_permission_of_their_own() {
    let of_app = |finding: &Finding| finding.group == Group::App;
    let mut facts = healthy_with(|config| config.admins = vec!["mona".into(), "octo-org/bot-admins".into()]);
    insta::assert_snapshot!(told_of(&facts, of_app), @"
    ok   GitHub App: app: track
    MISS GitHub App: permission: members is not granted, and read is needed
         -> grant it on the App's settings page, then accept it for each installation
    ");
    github(&mut facts).grants.permissions.insert("members".into(), "read".into());
    assert_eq!(told_of(&facts, of_app), "ok   GitHub App: app: track");
}

#[test]
fn what_is_wrong_with_runners() {
    let mut facts = healthy();
    let service = RunnerRow { state: "out of service: shows a host key that is not the pinned one".into(), ..row() };
    let mut added = RunnerRow { from_file: false, draining: true, ..service.clone() };
    added.config.name = "build-2".into();
    let mut new = RunnerRow { look: None, ..row() };
    new.config.name = "build-3".into();
    server(&mut facts).runners = vec![service, added, new];
    insta::assert_snapshot!(told_of(&facts, |finding| finding.group == Group::Runners), @"
    MISS Runners: build-1: service: out of service: shows a host key that is not the pinned one
         -> compare the machine's host key; if it was set up anew, put the new key into track.toml and restart
    ok   Runners: build-1: git: 2.43.0
    MISS Runners: build-2: service: out of service: shows a host key that is not the pinned one
         -> compare the machine's host key; if it was set up anew, `track runner add build-2` with its host and user pins the new one
    note Runners: build-2: drained: takes no new runs
         -> `track runner undrain build-2` has it take runs again
    ok   Runners: build-2: git: 2.43.0
    note Runners: build-3: check: not looked at yet
         -> `track runner check build-3`
    ");
    assert!(
        judge(&facts).iter().filter(|finding| finding.group == Group::Runners).all(|finding| finding.runner.is_some())
    );
}

// B79
#[test]
fn how_agents_are_logged_in() {
    let ssh = row().config;
    let local = RunnerConfig::named("here", Transport::Local);
    let account = |until: Option<i64>, renewal| Some(Login::Account { until, renewal });
    let (past, future) = (Some(NOW - MINUTE), Some(NOW + 60 * MINUTE));
    let mut out = String::new();
    for (name, login_of, runner, is_wanted) in [
        ("codex", None, &ssh, true),
        ("codex", Some(Login::None), &ssh, true),
        ("claude", Some(Login::None), &local, true),
        ("claude", Some(Login::None), &local, false),
        ("codex", Some(Login::Key), &ssh, true),
        ("codex", Some(Login::Provider), &ssh, true),
        ("claude", account(past, Renewal::Renews), &ssh, true),
        ("claude", account(future, Renewal::Renews), &ssh, true),
        ("claude", account(future, Renewal::Stuck), &ssh, true),
        ("claude", account(past, Renewal::Stuck), &ssh, true),
        ("codex", account(future, Renewal::Ends), &ssh, true),
        ("codex", account(past, Renewal::Ends), &ssh, true),
        ("codex", account(past, Renewal::Ends), &ssh, false),
    ] {
        let agent = AgentSeen { name: name.into(), version: "1".into(), login: login_of };
        out += &match login(&agent, runner, is_wanted, NOW) {
            None => "nothing\n".to_owned(),
            Some(check) if check.remedy.is_empty() => format!("{} {}: {}\n", check.ok, check.what, check.found),
            Some(check) => format!("{} {}: {} -> {}\n", check.ok, check.what, check.found, check.remedy),
        };
    }
    insta::assert_snapshot!(out, @"
    nothing
    false login codex: not logged in -> log in there (ssh -t -p 22 agent@10.0.0.5 codex login --device-auth) and list ~/.codex under read_write of this runner, or export OPENAI_API_KEY in its prelude
    false login claude: not logged in -> log in there (claude) and list ~/.claude under read_write of this runner, or export CLAUDE_CODE_OAUTH_TOKEN (of `claude setup-token`) in its prelude
    true login claude: not logged in; needed only if runs here are to use it
    true login codex: by a key
    true login codex: by a model provider of its own settings
    true login claude: by an account; renews itself
    true login claude: by an account; renews itself, next by 2026-11-27 21:00 UTC
    true login claude: by an account; cannot renew itself, and does not hold after 2026-11-27 21:00 UTC -> list ~/.claude under read_write of this runner instead of read_only
    false login claude: the login expired 2026-11-27 19:59 UTC, and its file cannot be written where the agent runs -> log in there (ssh -t -p 22 agent@10.0.0.5 claude) and list ~/.claude under read_write of this runner, or export CLAUDE_CODE_OAUTH_TOKEN (of `claude setup-token`) in its prelude
    true login codex: by an account until 2026-11-27 21:00 UTC
    false login codex: the login expired 2026-11-27 19:59 UTC -> log in there (ssh -t -p 22 agent@10.0.0.5 codex login --device-auth) and list ~/.codex under read_write of this runner, or export OPENAI_API_KEY in its prelude
    true login codex: the login expired 2026-11-27 19:59 UTC; needed only if runs here are to use it
    ");
}

#[test]
fn what_needs_somebody_now() {
    let slots = |name: &str, silent_until, refuses_login| Slots {
        name: name.into(),
        total: 1,
        in_service: true,
        silent_until,
        refuses_login,
        draining: false,
    };
    let runners =
        [slots("a", None, false), slots("b", Some(1), false), slots("c", Some(1), true), slots("d", Some(1), false)];
    let out = |name: &str| (name == "d").then(|| "shows another host key".to_owned());
    let ways = Ways { sent: 5, last_sent: Some(1), fetched: 1, last_fetched: Some(2) };
    let alerts: Vec<String> =
        alerts_of(&runners, out, &ways).into_iter().map(|alert| format!("{} ({})", alert.text, alert.path)).collect();
    insta::assert_snapshot!(alerts.join("\n"), @"
    Runner b does not answer (/admin/runners/b)
    Runner c refuses the bot's login (/admin/runners/c)
    Runner d is out of service: shows another host key (/admin/runners/d)
    GitHub's webhooks do not arrive: the newest were found by asking GitHub, up to a minute late (/admin/health)
    ");
    assert_eq!(alerts_of(&runners[..1], |_| None, &Ways { last_sent: Some(3), ..ways }), []);
    assert_eq!(alerts_of(&[], |_| None, &Ways::default()), []);
}

#[test]
fn a_bot_of_its_own_machine_waits_for_no_webhooks() {
    let mut config = Config::defaults("/nonexistent".into());
    for (server, url, expected) in [
        ("https://github.com", Some("https://track.octo.dev"), true),
        ("https://github.com", Some("http://127.0.0.1:3000"), false),
        ("https://github.octo.lan", Some("http://10.0.0.5:3000"), true),
        ("https://github.com", None, true),
    ] {
        config.github = Some(GitHubConfig { server_url: server.to_owned(), ..app() });
        config.public_url = url.map(str::to_owned);
        assert_eq!(expects_webhooks(&config), expected, "{server} {url:?}");
    }
}

#[test]
fn looking_for_room_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    assert!(super::gather::room_in(&folder.path().join("a/b")).unwrap() > 0);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    assert!(super::gather::room_in(Path::new("/proc/nothing/here")).is_err());
}

// T31
#[test]
fn the_manifest_asks_for_the_least() {
    let wanted = manifest().unwrap();
    let permissions: Vec<_> =
        wanted.default_permissions.iter().map(|(name, level)| format!("{name}:{level}")).collect();
    assert_eq!(permissions, ["checks:read", "contents:write", "issues:write", "metadata:read", "pull_requests:write"]);
}
