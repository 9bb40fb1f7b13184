//! `track.toml`, key by key, so that one wrong value does not hide the next and every mistake has its line.

use std::ops::Range;
use std::time::Duration;

use serde::Deserialize;
use toml::de::DeTable;

use super::load::{is_login, unknown_agent};
use super::mistake::Mistake;
use super::runner::is_name;
use super::toml_reader::{Place, Reader, Table};
use super::{
    AgentConfig, BUILT_IN_AGENTS, Config, FollowUp, Limits, Network, ProfileConfig, RunnerConfig, Sandbox, Transport,
    minutes,
};

/// Lays what the file says over `config`; what is wrong with it is appended to `mistakes`.
pub(super) fn apply(text: &str, place: &Place<'_>, config: &mut Config, mistakes: &mut Vec<Mistake>) {
    let (document, errors) = DeTable::parse_recoverable(text);
    let mut reader = Reader { text, place, mistakes: Vec::new() };
    if !errors.is_empty() {
        for error in errors {
            let at = error.span().unwrap_or(0..0);
            reader.note(
                at,
                "",
                format!("is not TOML: {}", error.message()),
                "see https://toml.io for how it is written",
            );
        }
        // What a half-read file says of the rest would mislead.
        reader.mistakes.dedup();
        mistakes.extend(reader.in_order());
        return;
    }
    let mut root = Table { values: document.into_inner(), path: String::new(), asked: Vec::new() };

    if let Some((at, allow)) = reader.take::<Vec<String>>(&mut root, "allow", r#"allow = ["owner/*", "org/repo"]"#) {
        for pattern in &allow {
            if !is_pattern(pattern) {
                let problem = format!("has {pattern:?}, which is neither owner/name nor owner/*");
                reader.note(at.clone(), "allow", problem, r#"write it like this: allow = ["owner/*", "org/repo"]"#);
            }
        }
        config.allow = Some(allow);
    }
    if let Some((at, users)) = reader.take::<OneOrMore>(&mut root, "main_user", r#"main_user = ["octocat"]"#) {
        config.main_user = users.into();
        for login in config.main_user.iter_mut() {
            *login = login.trim_start_matches('@').to_owned();
            if !is_login(login) {
                let problem = format!("has {login:?}, which is no GitHub login");
                reader.note(at.clone(), "main_user", problem, r#"write it like this: main_user = ["octocat"]"#);
            }
        }
    }
    if let Some((_, follow_up)) = reader.take::<FollowUp>(&mut root, "follow_up", r#"follow_up = "auto", or "off""#) {
        config.follow_up = follow_up;
    }
    let default_agent = reader.take::<String>(&mut root, "default_agent", r#"default_agent = "codex""#);
    if let Some((at, label)) = reader.take::<String>(&mut root, "label", r#"label = "track""#) {
        // GitHub's own limit for a label is 50 characters, and `:<agent>` has to fit behind ours.
        if label.trim() != label || !(1..=32).contains(&label.chars().count()) || label.contains([':', ',']) {
            let remedy = "choose 1 to 32 characters without ':' and ',' and without blanks around them";
            reader.note(at, "label", format!("is {label:?}"), remedy);
        }
        config.label = label;
    }
    if let Some(mut limits) = reader.table(&mut root, "limits") {
        read_limits(&mut reader, &mut limits, &mut config.limits);
        reader.unknown_keys(limits);
    }
    // Agents first: runners, profiles and the default name them.
    for (at, name, mut table) in reader.named_tables(&mut root, "agents") {
        if let Some(agent) = read_agent(&mut reader, &at, &name, &mut table) {
            config.agents.insert(name, agent);
        }
        reader.unknown_keys(table);
    }
    for (at, name, mut table) in reader.named_tables(&mut root, "profiles") {
        if let Some(profile) = read_profile(&mut reader, &at, &name, &mut table, config) {
            config.profiles.insert(name, profile);
        }
        reader.unknown_keys(table);
    }
    if let Some((at, agent)) = default_agent {
        if !config.knows_agent(&agent) {
            reader.keep(at, unknown_agent("default_agent", &agent, config.agent_names()));
        }
        config.default_agent = agent;
    }
    for (at, mut table) in reader.tables(&mut root, "runners") {
        if let Some(runner) = read_runner(&mut reader, &at, &mut table) {
            if config.runners.iter().any(|other| other.name.eq_ignore_ascii_case(&runner.name)) {
                let setting = format!("runner {:?}", runner.name);
                reader.note(at.clone(), &setting, "is there twice".to_owned(), "give each runner a name of its own");
            }
            for mistake in config.check_runner(&runner).err().into_iter().flat_map(|found| found.0) {
                reader.keep(at.clone(), mistake);
            }
            config.runners.push(runner);
        }
        reader.unknown_keys(table);
    }
    reader.unknown_keys(root);
    mistakes.extend(reader.in_order());
}

fn read_limits<'a>(reader: &mut Reader<'a>, table: &mut Table<'a>, limits: &mut Limits) {
    let mut quiet = u32::try_from(limits.quiet.as_secs()).unwrap_or(u32::MAX);
    /// Two weeks: longer than that, nobody waits for an agent.
    const MAX_MINUTES: u32 = 14 * 24 * 60;
    for (key, value, least, most) in [
        ("runs", &mut limits.runs, 1, 1000),
        ("runs_per_repository", &mut limits.runs_per_repository, 1, 1000),
        ("followups_per_day", &mut limits.followups_per_day, 0, 1000),
        ("runs_per_user_hour", &mut limits.runs_per_user_hour, 1, 10_000),
        ("lost_after_hours", &mut limits.lost_after_hours, 1, 24 * 30),
        ("quiet_seconds", &mut quiet, 0, 3600),
    ] {
        if let Some((at, written)) = reader.take::<u32>(table, key, &format!("{key} = {value}")) {
            if !(least..=most).contains(&written) {
                reader.note(at, &table.name(key), format!("is {written}"), &format!("set it from {least} to {most}"));
            }
            *value = written;
        }
    }
    limits.quiet = Duration::from_secs(quiet.into());
    for (key, value) in [("wall_minutes", &mut limits.wall), ("silence_minutes", &mut limits.silence)] {
        let example = format!("{key} = {}", value.as_secs() / 60);
        if let Some((at, written)) = reader.take::<u32>(table, key, &example) {
            if !(1..=MAX_MINUTES).contains(&written) {
                let remedy = format!("set it from 1 to {MAX_MINUTES}");
                reader.note(at, &table.name(key), format!("is {written}"), &remedy);
            }
            *value = minutes(written);
        }
    }
    for (key, value) in
        [("cost_usd_per_run", &mut limits.cost_usd_per_run), ("cost_usd_per_day", &mut limits.cost_usd_per_day)]
    {
        if let Some((at, written)) = reader.take::<f64>(table, key, &format!("{key} = {value}")) {
            if !(written.is_finite() && written > 0.0) {
                reader.note(at, &table.name(key), format!("is {written}"), "set an amount in US dollars above 0");
            }
            *value = written;
        }
    }
}

fn read_agent<'a>(
    reader: &mut Reader<'a>,
    at: &Range<usize>,
    name: &str,
    table: &mut Table<'a>,
) -> Option<AgentConfig> {
    let example = r#"command = ["bash", "/opt/agents/scripted.sh"]"#;
    let setting = format!("agents.{name}");
    if BUILT_IN_AGENTS.iter().any(|known| known.eq_ignore_ascii_case(name)) {
        reader.note(at.clone(), &setting, "is built in".to_owned(), "give your own agent another name");
        table.values.clear();
        return None;
    }
    if !is_name(name) {
        reader.note(at.clone(), &setting, "is no usable name".to_owned(), "use letters, digits, '.', '_' and '-'");
    }
    let missing = reader.mistakes.len();
    let Some((at, command)) = reader.take::<Vec<String>>(table, "command", example) else {
        if reader.mistakes.len() == missing {
            reader.note(at.clone(), &setting, "has no command".to_owned(), &format!("write it like this: {example}"));
        }
        return None;
    };
    if command.first().is_none_or(|program| program.trim().is_empty()) || command.iter().any(|arg| arg.contains('\0')) {
        let problem = "is no program with arguments".to_owned();
        reader.note(at, &table.name("command"), problem, &format!("write it like this: {example}"));
    }
    Some(AgentConfig { command })
}

fn read_profile<'a>(
    reader: &mut Reader<'a>,
    at: &Range<usize>,
    name: &str,
    table: &mut Table<'a>,
    config: &Config,
) -> Option<ProfileConfig> {
    let setting = format!("profiles.{name}");
    if !is_name(name) {
        reader.note(at.clone(), &setting, "is no usable name".to_owned(), "use letters, digits, '.', '_' and '-'");
    } else if config.agent_names().any(|agent| agent.eq_ignore_ascii_case(name)) {
        let problem = "has the name of an agent, and labels could not tell them apart".to_owned();
        reader.note(at.clone(), &setting, problem, "give the profile another name");
    }
    let model = reader.take(table, "model", r#"model = "the model's name""#).map(|(_, model)| model);
    let instructions = reader.take(table, "instructions", r#"instructions = "…""#).map(|(_, text)| text);
    let seen = reader.mistakes.len();
    let Some((agent_at, agent)) = reader.take::<String>(table, "agent", r#"agent = "claude""#) else {
        if reader.mistakes.len() == seen {
            let remedy = r#"write the agent that it stands for, like this: agent = "claude""#;
            reader.note(at.clone(), &setting, "has no agent".to_owned(), remedy);
        }
        return None;
    };
    if !config.knows_agent(&agent) {
        reader.keep(agent_at, unknown_agent(&table.name("agent"), &agent, config.agent_names()));
    }
    Some(ProfileConfig { agent, model, instructions })
}

fn read_runner<'a>(reader: &mut Reader<'a>, at: &Range<usize>, table: &mut Table<'a>) -> Option<RunnerConfig> {
    let seen = reader.mistakes.len();
    let name = reader.take::<String>(table, "name", r#"name = "build-1""#).map(|(_, name)| name);
    let transport = reader.take::<Transport>(table, "transport", r#"transport = "ssh", or "local""#);
    let mut runner = RunnerConfig::named(name.as_deref().unwrap_or_default(), Transport::Ssh);
    reader.set_some(table, "host", r#"host = "10.0.0.5""#, &mut runner.host);
    reader.set_some(table, "user", r#"user = "agent""#, &mut runner.user);
    reader.set_some(table, "port", "port = 22", &mut runner.port);
    reader.set_some(table, "key_path", r#"key_path = "/etc/track/runner""#, &mut runner.key_path);
    let example = r#"known_hosts_path = "/etc/track/known_hosts""#;
    reader.set_some(table, "known_hosts_path", example, &mut runner.known_hosts_path);
    reader.set_some(table, "host_key", r#"host_key = "ssh-ed25519 AAAA…""#, &mut runner.host_key);
    reader.set(table, "proxy_jump", r#"proxy_jump = ["me@bastion.example.org:22"]"#, &mut runner.proxy_jump);
    reader.set(table, "jump_host_keys", r#"jump_host_keys = ["ssh-ed25519 AAAA…"]"#, &mut runner.jump_host_keys);
    reader.set(table, "root", r#"root = "~/track""#, &mut runner.root);
    reader.set(table, "slots", "slots = 4", &mut runner.slots);
    reader.set_some(table, "agent", r#"agent = "claude""#, &mut runner.agent);
    let example = r#"prelude = 'export PATH="$HOME/.local/bin:$PATH"'"#;
    reader.set(table, "prelude", example, &mut runner.prelude);
    reader.set::<Sandbox>(table, "sandbox", r#"sandbox = "bubblewrap", or "none""#, &mut runner.sandbox);
    reader.set::<Network>(table, "network", r#"network = "open" or "none""#, &mut runner.network);
    reader.set(table, "read_only", r#"read_only = ["~/.local"]"#, &mut runner.read_only);
    reader.set(table, "read_write", r#"read_write = ["~/.codex"]"#, &mut runner.read_write);
    for path in [&mut runner.key_path, &mut runner.known_hosts_path].into_iter().flatten() {
        *path = reader.place.resolve(path);
    }
    // A value of the wrong type has been told already, and is not missing.
    if reader.mistakes.len() == seen {
        if name.is_none() {
            reader.note(at.clone(), "runner", "has no name".to_owned(), r#"write it like this: name = "build-1""#);
        } else if transport.is_none() {
            let setting = format!("runner {:?}", runner.name);
            let remedy = r#"write it like this: transport = "ssh", or "local" for the bot's own machine"#;
            reader.note(at.clone(), &setting, "has no transport".to_owned(), remedy);
        }
    }
    runner.transport = transport?.1;
    name.is_some().then_some(runner)
}

/// Some settings are one login or several.
#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

impl From<OneOrMore> for Vec<String> {
    fn from(value: OneOrMore) -> Self {
        match value {
            OneOrMore::One(one) => vec![one],
            OneOrMore::More(more) => more,
        }
    }
}

fn is_pattern(pattern: &str) -> bool {
    let concrete = pattern.strip_suffix("/*").map_or_else(|| pattern.to_owned(), |owner| format!("{owner}/any"));
    concrete.parse::<crate::model::RepoName>().is_ok()
}
