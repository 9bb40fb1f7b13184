//! Looks at runners, and tells what of that is a miss.

use futures_util::future::join_all;

use super::facts::{Check, Look, RunnerRow};
use super::gather::Parts;
use crate::agent::BUILT_IN;
use crate::config::{Config, RunnerConfig, Transport};
use crate::db;
use crate::model::{Millis, Status, date_time};
use crate::runner::pool::Pool;
use crate::runner::{self, AgentProbe, AgentSeen, HostError, Login, Machine, Renewal, RunnerError, Seen, hostkeys};

/// Every runner, with how it is doing and what was found there last.
pub async fn rows(parts: &Parts<'_>) -> anyhow::Result<Vec<RunnerRow>> {
    let live = db::runs::live(&mut *parts.db.read().await?).await?;
    let mut rows = Vec::new();
    for machine in parts.runners.all() {
        let config = machine.config();
        let on_it = |run: &&db::runs::Run| run.runner.as_deref() == Some(&config.name) && run.status != Status::Queued;
        let key = match config.transport {
            Transport::Ssh => parts.runners.key_of(config).await.ok(),
            Transport::Local => None,
        };
        rows.push(RunnerRow {
            from_file: is_from_file(parts.config, &config.name),
            live: live.iter().filter(on_it).count() as u32,
            state: service(parts.runners, &config.name),
            key_fingerprint: key.and_then(|key| fingerprint(&key.public)),
            host_key_fingerprint: config.host_key.as_deref().and_then(fingerprint),
            draining: parts.runners.is_draining(&config.name),
            look: parts.kept.look(&config.name),
            config: config.shown(),
        });
    }
    Ok(rows)
}

/// Looks at a runner and keeps what was found; `None` if there is none of the name. Who comes while somebody looks gets what that one finds.
pub async fn look(parts: &Parts<'_>, name: &str) -> Option<Look> {
    let mut changed = parts.kept.subscribe();
    loop {
        let machine = parts.runners.get(name)?;
        if let Some(looking) = parts.kept.begin(name) {
            let look = look_at(parts, &machine, &mut |check| looking.line(check)).await;
            looking.done(look.clone());
            return Some(look);
        }
        while parts.kept.underway(name).is_some() {
            // The sender is kept with what it tells of.
            let _ = changed.changed().await;
        }
        if let Some(look) = parts.kept.look(name) {
            return Some(look);
        }
    }
}

/// Looks at every runner, at the same time.
pub async fn look_at_all(parts: &Parts<'_>) {
    let machines = parts.runners.all();
    join_all(machines.iter().map(|machine| look(parts, &machine.config().name))).await;
}

async fn look_at(parts: &Parts<'_>, machine: &Machine, on_check: &mut (dyn FnMut(Check) + Send)) -> Look {
    let config = machine.config();
    let name = &config.name;
    let probes = probes(parts.config, config);
    let tell = |check: &runner::Check| told(check.clone(), |agent| is_wanted(parts.config, config, agent));
    let seen = machine.look(&probes, &mut |check| on_check(tell(check))).await;
    let at = parts.clock.now();
    match seen {
        Ok(seen) => {
            parts.runners.answered(name);
            let mut checks: Vec<Check> = seen.checks.iter().map(tell).collect();
            for check in seen
                .agents
                .iter()
                .filter_map(|agent| login(agent, config, is_wanted(parts.config, config, &agent.name), at))
            {
                on_check(check.clone());
                checks.push(check);
            }
            let round_trip = machine.round_trip().await.ok().map(|took| took.as_micros() as u64);
            let Seen { free, used, agents, .. } = seen;
            Look { at, checks, round_trip, free, used, agents }
        }
        Err(error) => {
            match &error {
                RunnerError::Host(HostError::Unreachable(_)) => parts.runners.no_answer(name, at),
                RunnerError::Host(HostError::Login(_)) => parts.runners.refused_login(name, at),
                _ => {}
            }
            let remedy = way_in(parts.runners, config, &error).await;
            let check = Check { what: "connection".to_owned(), ok: false, found: error.to_string(), remedy };
            on_check(check.clone());
            Look { at, checks: vec![check], round_trip: None, free: None, used: None, agents: Vec::new() }
        }
    }
}

/// Nobody needs every agent that track knows; those that are configured, or chosen where nobody chooses, must be there.
fn probes(config: &Config, runner: &RunnerConfig) -> Vec<AgentProbe> {
    let chosen = [Some(&config.default_agent), runner.agent.as_ref()];
    let profiles = config.profiles.values().map(|profile| &profile.agent);
    let used: Vec<&String> = chosen.into_iter().flatten().chain(profiles).collect();
    let built_in = BUILT_IN.iter().filter(|name| used.iter().any(|used| *used == *name));
    let built_in = built_in.map(|name| AgentProbe { name: (*name).to_owned(), program: (*name).to_owned() });
    let custom = config
        .agents
        .iter()
        .filter_map(|(name, agent)| Some(AgentProbe { name: name.clone(), program: agent.command.first()?.clone() }));
    built_in.chain(custom).collect()
}

/// Whether runs on a runner use an agent without being asked to, or an operator configured it by hand.
fn is_wanted(config: &Config, runner: &RunnerConfig, agent: &str) -> bool {
    runner.agent.as_deref().unwrap_or(&config.default_agent) == agent || config.agents.contains_key(agent)
}

/// An agent that nothing asks for by default is no miss.
fn told(check: runner::Check, is_wanted: impl Fn(&str) -> bool) -> Check {
    let idle = check.what.strip_prefix("agent ").is_some_and(|agent| !is_wanted(agent));
    if !check.ok && idle {
        let found = "not found; needed only if runs here are to use it".to_owned();
        return Check { what: check.what, ok: true, found, remedy: String::new() };
    }
    Check { what: check.what, ok: check.ok, found: check.found, remedy: check.remedy.unwrap_or_default() }
}

/// How an agent is logged in, and what to do if it is not (B79).
pub(super) fn login(agent: &AgentSeen, runner: &RunnerConfig, is_wanted: bool, now: Millis) -> Option<Check> {
    let name = &agent.name;
    let (found, ok, remedy) = match agent.login? {
        Login::Key => ("by a key".to_owned(), true, String::new()),
        Login::Provider => ("by a model provider of its own settings".to_owned(), true, String::new()),
        Login::None => ("not logged in".to_owned(), false, log_in(name, runner)),
        Login::Account { until, renewal: Renewal::Renews } => {
            let next = until.filter(|until| *until > now);
            let until = next.map(|until| format!(", next by {}", date_time(until))).unwrap_or_default();
            (format!("by an account; renews itself{until}"), true, String::new())
        }
        Login::Account { until: Some(until), renewal } if until <= now => {
            let why =
                if renewal == Renewal::Stuck { ", and its file cannot be written where the agent runs" } else { "" };
            (format!("the login expired {}{why}", date_time(until)), false, log_in(name, runner))
        }
        Login::Account { until, renewal: Renewal::Stuck } => {
            let until = until.map_or_else(|| "soon".to_owned(), |until| format!("after {}", date_time(until)));
            let remedy = format!("list {} under read_write of this runner instead of read_only", folder(name));
            (format!("by an account; cannot renew itself, and does not hold {until}"), true, remedy)
        }
        Login::Account { until, renewal: Renewal::Ends } => {
            let until = until.map(|until| format!(" until {}", date_time(until))).unwrap_or_default();
            (format!("by an account{until}"), true, String::new())
        }
    };
    let what = format!("login {name}");
    if !ok && !is_wanted {
        return Some(Check {
            what,
            ok: true,
            found: format!("{found}; needed only if runs here are to use it"),
            remedy: String::new(),
        });
    }
    Some(Check { what, ok, found, remedy })
}

fn folder(agent: &str) -> &'static str {
    if agent == "codex" { "~/.codex" } else { "~/.claude" }
}

fn log_in(agent: &str, runner: &RunnerConfig) -> String {
    let (command, key) = match agent {
        "codex" => ("codex login --device-auth", "OPENAI_API_KEY"),
        _ => ("claude", "CLAUDE_CODE_OAUTH_TOKEN (of `claude setup-token`)"),
    };
    let there = match (&runner.user, &runner.host) {
        (Some(user), Some(host)) => format!("ssh -t -p {} {user}@{host} {command}", runner.port.unwrap_or(22)),
        _ => command.to_owned(),
    };
    format!(
        "log in there ({there}) and list {} under read_write of this runner, or export {key} in its prelude",
        folder(agent)
    )
}

/// What to do about a machine that cannot be worked with.
async fn way_in(pool: &Pool, config: &RunnerConfig, error: &RunnerError) -> String {
    if let (RunnerError::Host(HostError::Login(_)), Ok(key)) = (error, pool.key_of(config).await) {
        let user = config.user.as_deref().unwrap_or_default();
        return format!("put this line into ~/.ssh/authorized_keys of {user} there:\n{}", key.public);
    }
    "check host, user, key and host key of the runner; `track runner list` shows them".to_owned()
}

/// Whether it is the operator's file that says of a runner.
pub(super) fn is_from_file(config: &Config, name: &str) -> bool {
    config.runners.iter().any(|runner| runner.name == name)
}

/// Whether a machine works, in a few words.
fn service(pool: &Pool, name: &str) -> String {
    match pool.out_of_service(name) {
        Some(why) => format!("out of service: {why}"),
        None if pool.refuses_login(name) => "refuses the login".to_owned(),
        None if pool.is_silent(name) => "does not answer".to_owned(),
        None => "ready".to_owned(),
    }
}

/// Keys of people and of machines have one form.
fn fingerprint(key: &str) -> Option<String> {
    Some(key.parse::<hostkeys::HostKey>().ok()?.fingerprint())
}
