//! What is said of the App and of its webhooks.

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde::Deserialize;

use super::super::facts::{Around, GitHubFacts};
use super::{Finding, Group, fine, is_silent, miss, note};
use crate::config::Config;
use crate::config::reach::{NOWHERE, reaches};
use crate::db::deliveries::Ways;
use crate::github::app::{DeliverySummary, Hook};
use crate::model::Millis;

/// The App as it should be.
const MANIFEST: &str = include_str!("../../../app-manifest.yml");
/// Where webhooks come to.
const PATH: &str = "/webhooks/github";

#[derive(Deserialize)]
pub(in super::super) struct Manifest {
    pub default_permissions: BTreeMap<String, String>,
    pub default_events: Vec<String>,
    hook_attributes: HookAttributes,
}

#[derive(Deserialize)]
struct HookAttributes {
    url: String,
}

pub(in super::super) fn manifest() -> anyhow::Result<Manifest> {
    serde_saphyr::from_str(MANIFEST).context("app-manifest.yml cannot be read")
}

/// The App's permissions and events against the manifest.
pub(super) fn app(config: &Config, around: Option<&Around>) -> Vec<Finding> {
    use Group::App;
    if let Err(missing) = config.app() {
        return missing.0.iter().map(|m| miss(App, "app", format!("{} {}", m.setting, m.problem), &m.remedy)).collect();
    }
    let grants = match around.and_then(|around| around.github.as_ref()) {
        None => return Vec::new(),
        Some(Err(error)) => {
            let remedy = "check GITHUB_APP_ID and the private key, and that this machine reaches GITHUB_API_URL";
            return vec![miss(App, "app", error.clone(), remedy)];
        }
        Some(Ok(facts)) => &facts.grants,
    };
    let mut findings = vec![fine(App, "app", grants.slug.clone())];
    let mut wanted = match manifest() {
        Ok(wanted) => wanted,
        Err(error) => return vec![miss(App, "app", format!("{error:#}"), "report this: the program is damaged")],
    };
    if config.admins.iter().any(|admin| admin.contains('/')) {
        // Who is in a team is asked of its organization.
        wanted.default_permissions.insert("members".to_owned(), "read".to_owned());
    }
    let level = |word: Option<&String>| {
        word.map_or(0, |word| ["read", "write", "admin"].iter().position(|w| w == word).map_or(0, |n| n + 1))
    };
    for (permission, least) in &wanted.default_permissions {
        let has = grants.permissions.get(permission);
        if level(has) < level(Some(least)) {
            let found = format!("{permission} is {}, and {least} is needed", has.map_or("not granted", |has| has));
            let remedy = "grant it on the App's settings page, then accept it for each installation";
            findings.push(miss(App, "permission", found, remedy));
        }
    }
    // Nobody can misuse what was never granted.
    for (permission, has) in &grants.permissions {
        if level(Some(has)) > level(wanted.default_permissions.get(permission)) {
            let found = format!("{permission} is {has}, which track never uses");
            findings.push(note(App, "permission", found, "take it away on the App's settings page"));
        }
    }
    for event in wanted.default_events.iter().filter(|event| !grants.events.contains(event)) {
        let remedy = "subscribe to it on the App's settings page, under \"Permissions & events\"";
        findings.push(miss(App, "event", format!("{event} is not subscribed"), remedy));
    }
    if grants.installations == 0 {
        let remedy = "install the App on your repositories, from its settings page";
        findings.push(miss(App, "installation", "none", remedy));
    }
    findings
}

/// Whether webhooks arrive: where GitHub sends them, what became of the newest, and what came here.
pub(super) fn webhooks(config: &Config, around: Option<&Around>, ways: Option<&Ways>, now: Millis) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(Ok(facts)) = around.and_then(|around| around.github.as_ref()) {
        if let Ok(Some(Hook { url: Some(url), .. })) = &facts.hook
            && url.starts_with(NOWHERE)
        {
            return vec![nowhere(config)];
        }
        let address = match &facts.hook {
            Ok(hook) => address(config, hook.as_ref()),
            Err(error) => vec![unknown("webhook", error)],
        };
        findings.extend(address);
        findings.extend(sent(facts, now));
    }
    if let Some(ways) = ways.filter(|_| config.github.is_some()) {
        findings.extend(arrived(ways, now));
    }
    findings
}

fn unknown(what: &str, error: &str) -> Finding {
    note(Group::Webhooks, what, format!("GitHub does not say: {error}"), "run this again in a moment")
}

/// A bot without a public address, as setting up makes it.
fn nowhere(config: &Config) -> Finding {
    let found = "it leads nowhere, as this bot has no public address: what happens is found by asking GitHub, up to a minute late";
    let remedy = match &config.public_url {
        // Whichever GitHub it is: to this address its own servers would come.
        Some(url) if reaches("https://github.com", url) => {
            format!("{url} is one: set \"Webhook URL\" on the App's settings page to {url}{PATH}")
        }
        _ => format!(
            "when it has one (a tunnel will do), set TRACK_PUBLIC_URL to it, and \"Webhook URL\" on the App's settings page to the same with {PATH}"
        ),
    };
    note(Group::Webhooks, "webhook", found, &remedy)
}

/// The address that GitHub sends webhooks to.
fn address(config: &Config, hook: Option<&Hook>) -> Vec<Finding> {
    use Group::Webhooks;
    let base = config.public_url.as_deref().unwrap_or("https://<this server>");
    let ours = format!("{base}{PATH}");
    let set = format!("set \"Webhook URL\" on the App's settings page to {ours}, and tick \"Active\"");
    let example = manifest().map(|manifest| manifest.hook_attributes.url).unwrap_or_default();
    let Some((hook, url)) = hook.and_then(|hook| Some((hook, hook.url.as_deref().filter(|url| !url.is_empty())?)))
    else {
        return vec![miss(Webhooks, "webhook", "the App has none, so GitHub tells nothing of what happens", &set)];
    };
    let mut findings = vec![if url == example {
        miss(Webhooks, "webhook", format!("{url} is the example's address"), &set)
    } else if !url.split(['?', '#']).next().is_some_and(|url| url.trim_end_matches('/').ends_with(PATH)) {
        let found = format!("{url} does not end in {PATH}");
        note(Webhooks, "webhook", found, &format!("{set}, unless a proxy leads it there"))
    } else if config.public_url.as_deref().is_some_and(|base| !url.starts_with(base)) {
        let found = format!("{url} is on another server than TRACK_PUBLIC_URL says");
        note(Webhooks, "webhook", found, &format!("{set}, unless webhooks take a way of their own"))
    } else {
        fine(Webhooks, "webhook", url)
    }];
    if hook.content_type.as_deref().is_some_and(|kind| kind != "json") {
        let remedy = "choose application/json as content type on the App's settings page";
        findings.push(miss(Webhooks, "content type", "form, which is refused here", remedy));
    }
    if hook.is_unverified() && url.starts_with("https:") {
        let found = "GitHub does not look at the certificate, so anybody on the way could read webhooks";
        findings.push(note(Webhooks, "certificate", found, "enable SSL verification on the App's settings page"));
    }
    findings
}

/// What GitHub's log says became of what it sent.
fn sent(facts: &GitHubFacts, now: Millis) -> Option<Finding> {
    use Group::Webhooks;
    let attempts = match &facts.attempts {
        Ok(attempts) => attempts,
        Err(error) => return Some(unknown("deliveries", error)),
    };
    // Of two in one second the log has the newer first.
    let Some(newest) = attempts.iter().rev().max_by_key(|attempt| attempt.delivered_at) else {
        return Some(fine(Webhooks, "deliveries", "GitHub has sent nothing yet"));
    };
    let failed = attempts.iter().filter(|attempt| !is_taken(attempt)).count();
    let when = ago(now + facts.skew - newest.delivered_at);
    let count = attempts.len();
    if is_taken(newest) {
        let others =
            if failed == 0 { String::new() } else { format!("; of the last {count}, {failed} were not taken") };
        let found = format!("the newest ({}, {when}) was taken{others}", newest.event);
        return Some(fine(Webhooks, "deliveries", found));
    }
    let status = match (newest.status_code, newest.status.as_str()) {
        (0, "") => "nobody answered".to_owned(),
        (0, words) => words.to_owned(),
        (code, "") => code.to_string(),
        (code, words) => format!("{code} {words}"),
    };
    let found =
        format!("of the last {count}, {failed} were not taken; the newest ({}, {when}): {status}", newest.event);
    Some(miss(Webhooks, "deliveries", found, remedy(newest)))
}

fn is_taken(attempt: &DeliverySummary) -> bool {
    (200..300).contains(&attempt.status_code)
}

/// What to do about a webhook that was not taken. Where GitHub reached nobody, the status is its own, and the words say so.
fn remedy(attempt: &DeliverySummary) -> &'static str {
    let words = attempt.status.to_lowercase();
    let is_out_of_reach =
        ["connect", "timed out", "resolve", "certificate", "ssl"].iter().any(|word| words.contains(word));
    match attempt.status_code {
        status if status == 0 || is_out_of_reach => {
            "see that the webhook's address reaches this server from the internet: DNS, firewall, tunnel, certificate"
        }
        401 | 403 => {
            "set GITHUB_WEBHOOK_SECRET to the \"Webhook secret\" of the App's settings page, or write a new one in both places"
        }
        404 | 405 => "the webhook's address must lead to /webhooks/github of this server",
        _ => "see the log of the server, and of the proxy in front of it",
    }
}

/// How what is in the inbox came there.
fn arrived(ways: &Ways, now: Millis) -> Option<Finding> {
    use Group::Webhooks;
    let last = ways.last_sent.map(|at| ago(now - at));
    if is_silent(ways) {
        let last = last.map_or_else(
            || "none ever came by itself".to_owned(),
            |last| format!("the last that came by itself: {last}"),
        );
        let found = format!("{} in 24 hours only came by asking GitHub, up to a minute late; {last}", ways.fetched);
        return Some(miss(Webhooks, "arrival", found, "put the webhook's address right, as said above"));
    }
    let last = last?;
    Some(match ways.fetched {
        0 => fine(Webhooks, "arrival", format!("the last came {last}; {} in 24 hours", ways.sent)),
        fetched => {
            let found = format!(
                "the last came {last}; of {} in 24 hours, {fetched} only by asking GitHub",
                ways.sent + fetched
            );
            fine(Webhooks, "arrival", found)
        }
    })
}

/// How long ago, in words.
fn ago(time: Millis) -> String {
    let minutes = time.max(0) / 60_000;
    match minutes {
        0 => "just now".to_owned(),
        1..120 => format!("{minutes} min ago"),
        120..2_880 => format!("{} h ago", minutes / 60),
        _ => format!("{} days ago", minutes / 1_440),
    }
}
