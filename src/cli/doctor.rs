//! `track doctor`: gathers what can be found without the running bot, asks it for the rest, and prints what is said of that.

use std::sync::Arc;

use clap::Args;

use super::api::ServerFacts;
use super::client::{Connection, connect};
use super::table::line;
use crate::config::{Config, Mistakes};
use crate::doctor::{Check, Facts, Finding, Mark, around, judge};
use crate::github::GitHub;
use crate::model::Clock;

/// What can be said to it; its help stands in [`super::Command`].
#[derive(Debug, Args)]
#[command(after_help = "\
What comes next: put right what is marked MISS, from the top, and run it again; then `track serve`.")]
pub struct DoctorArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Collects, judges and prints; `false` on a miss.
pub async fn run(args: &DoctorArgs, config: Result<Config, Mistakes>) -> anyhow::Result<bool> {
    let findings = judge(&collect(config).await);
    if args.json {
        let checks: Vec<&Check> = findings.iter().map(|finding| &finding.check).collect();
        println!("{}", serde_json::to_string_pretty(&checks)?);
    } else {
        print!("{}", render(&findings));
    }
    Ok(findings.iter().all(|finding| finding.check.ok))
}

async fn collect(config: Result<Config, Mistakes>) -> Facts {
    let clock = Clock::System;
    let config = config.map(Arc::new);
    let known = config.as_ref().ok().map(Arc::as_ref);
    let github = known.and_then(|config| config.github.as_ref()).map(|app| GitHub::new(app, clock.clone()));
    let (mut around, server) =
        tokio::join!(around(known, github.as_ref().and_then(|github| github.as_ref().ok()), &clock), async {
            match known {
                Some(config) => of_server(config).await.map_err(|error| format!("{error:#}")).transpose(),
                None => None,
            }
        });
    if let Some(Err(error)) = github {
        around.github = Some(Err(format!("{error:#}")));
    }
    Facts { config, now: clock.now(), around: Some(around), server }
}

/// What the running bot says, if one runs.
async fn of_server(config: &Config) -> anyhow::Result<Option<ServerFacts>> {
    let Connection::Socket(client) = connect(&config.home).await? else { return Ok(None) };
    Ok(Some(client.get("/api/v1/doctor").await?))
}

fn render(findings: &[Finding]) -> String {
    let width = findings.iter().map(|finding| finding.check.what.chars().count()).max().unwrap_or(0);
    let mut out = String::new();
    for finding in findings {
        let mark = match finding.mark() {
            Mark::Miss => "MISS",
            Mark::Note => "note",
            Mark::Fine => "ok  ",
        };
        out += &line(mark, &finding.check, width);
    }
    out += &match findings.iter().filter(|finding| !finding.check.ok).count() {
        0 => "\nnothing is missing\n".to_owned(),
        n => format!("\n{n} missing\n"),
    };
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Group;

    #[test]
    fn each_mark_and_each_remedy_has_its_place() {
        let finding = |what: &str, ok, found: &str, remedy: &str| Finding {
            group: Group::Machine,
            runner: None,
            check: Check { what: what.into(), ok, found: found.into(), remedy: remedy.into() },
        };
        let findings = [
            finding("git", true, "git version 2.47.3", ""),
            finding("bwrap", true, "not found", "apt install bubblewrap"),
            finding("build-1: connection", false, "refuses\u{1b}[2J", "put this line there:\nssh-ed25519 AAAA"),
        ];
        insta::assert_snapshot!(render(&findings), @r"
        ok    git                  git version 2.47.3
        note  bwrap                not found
                                   -> apt install bubblewrap
        MISS  build-1: connection  refuses\u{1b}[2J
                                   -> put this line there:
                                   -> ssh-ed25519 AAAA

        1 missing
        ");
        assert!(render(&findings[..1]).ends_with("\nnothing is missing\n"));
    }
}
