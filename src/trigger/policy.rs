//! `.github/track.yml`: what a repository says about the work done in it.
//!
//! It comes from the default branch, and may only choose within what the server allows or narrow it. Everything in it is written by people
//! and checked; a mistake is one message with line, column and remedy, good enough to be the comment.

use std::fmt;
use std::time::Duration;

use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::names::{Rule, check_branch, check_model, check_name, nearest};
use crate::config::{FollowUp, Limits, minutes};

/// Where the policy lives in a repository.
pub const PATH: &str = ".github/track.yml";

/// A larger file is no policy.
const MAX_BYTES: usize = 64 * 1024;

/// Lists in it are no longer than this.
const MAX_ITEMS: usize = 200;

/// What a repository says; what it leaves out is the server's choice.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// The agent that works here.
    #[serde(deserialize_with = "name")]
    pub agent: Option<String>,
    /// The model that it uses.
    #[serde(deserialize_with = "model")]
    pub model: Option<String>,
    /// The profile that work here has.
    #[serde(deserialize_with = "name")]
    pub profile: Option<String>,
    /// The branch that work starts from and returns to; else the default branch.
    #[serde(deserialize_with = "branch")]
    pub base_branch: Option<String>,
    /// Logins whose reviews start follow-ups, when the server names none.
    #[serde(deserialize_with = "logins")]
    pub main_users: Vec<String>,
    /// Whether reviews start follow-ups by themselves.
    pub follow_up: Option<FollowUp>,
    /// Joins the prompt of every task and follow-up.
    pub instructions: Option<String>,
    /// Joins the prompt of every review.
    pub review_prompt: Option<String>,
    /// Limits below the server's.
    pub limits: PolicyLimits,
    /// Files that agents must leave alone or ask about.
    pub paths: Paths,
}

/// Limits of a repository, each at most the server's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs, reason = "the fields are those of config::Limits")]
pub struct PolicyLimits {
    pub runs: Option<u32>,
    pub runs_per_repository: Option<u32>,
    pub wall_minutes: Option<u32>,
    pub silence_minutes: Option<u32>,
    pub followups_per_day: Option<u32>,
    pub runs_per_user_hour: Option<u32>,
    pub lost_after_hours: Option<u32>,
    pub cost_usd_per_run: Option<f64>,
    pub cost_usd_per_day: Option<f64>,
}

/// Path patterns, as in `.gitignore`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Paths {
    /// Changes here are never published.
    #[serde(deserialize_with = "path_patterns")]
    pub refused: Vec<String>,
    /// Changes here wait for somebody's approval.
    #[serde(deserialize_with = "path_patterns")]
    pub approval: Vec<String>,
}

/// A policy that cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct PolicyError {
    /// Line and column, from 1, where the place is known.
    at: Option<(u64, u64)>,
    what: String,
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            Some((line, column)) => write!(f, "`{PATH}`, line {line}, column {column}: {}", self.what),
            None => write!(f, "`{PATH}`: {}", self.what),
        }
    }
}

/// Reads a policy; an empty file is one that says nothing.
pub fn parse(bytes: &[u8], server: &Limits) -> Result<Policy, PolicyError> {
    let problem = |what: String| PolicyError { at: None, what };
    if bytes.len() > MAX_BYTES {
        return Err(problem(format!("it has {} bytes; at most {MAX_BYTES} are read. Shorten it.", bytes.len())));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| problem("it is not UTF-8. Save it as UTF-8.".to_owned()))?;
    let says_something = text.lines().map(str::trim).any(|line| !line.is_empty() && !line.starts_with('#'));
    if !says_something {
        return Ok(Policy::default());
    }
    let policy: Policy = serde_saphyr::from_str_with_options(text, yaml_options()).map_err(|error| explain(&error))?;
    check_limits(&policy.limits, server).map_err(|(key, what)| PolicyError { at: place_of(key, text), what })?;
    Ok(policy)
}

/// The server's limits as far as the policy leaves them.
pub fn effective(server: &Limits, policy: &Policy) -> Limits {
    let limits = policy.limits;
    let lower = |server: u32, policy: Option<u32>| policy.map_or(server, |policy| policy.min(server));
    let shorter = |server: Duration, policy: Option<u32>| policy.map_or(server, |policy| minutes(policy).min(server));
    let cheaper = |server: f64, policy: Option<f64>| policy.map_or(server, |policy| policy.min(server));
    Limits {
        runs: lower(server.runs, limits.runs),
        runs_per_repository: lower(server.runs_per_repository, limits.runs_per_repository),
        wall: shorter(server.wall, limits.wall_minutes),
        silence: shorter(server.silence, limits.silence_minutes),
        quiet: server.quiet,
        followups_per_day: lower(server.followups_per_day, limits.followups_per_day),
        runs_per_user_hour: lower(server.runs_per_user_hour, limits.runs_per_user_hour),
        lost_after_hours: lower(server.lost_after_hours, limits.lost_after_hours),
        cost_usd_per_run: cheaper(server.cost_usd_per_run, limits.cost_usd_per_run),
        cost_usd_per_day: cheaper(server.cost_usd_per_day, limits.cost_usd_per_day),
    }
}

/// A policy needs neither depth nor aliases; without them no small file becomes a large value.
fn yaml_options() -> serde_saphyr::Options {
    let budget =
        serde_saphyr::budget! { max_depth: 8, max_aliases: 0, max_anchors: 0, max_documents: 1, max_nodes: 4_000 };
    serde_saphyr::options! { budget: budget }
}

/// The parser's error in words that say how to put it right.
fn explain(error: &serde_saphyr::Error) -> PolicyError {
    use serde_saphyr::Error;
    let error = error.without_snippet();
    let at = error.location().filter(|at| at.line() > 0).map(|at| (at.line(), at.column()));
    let what = match error {
        Error::SerdeUnknownField { field, expected, .. } => {
            let remedy = match nearest(field, expected.iter().copied()) {
                Some(meant) => format!("Did you mean `{meant}`?"),
                None => format!("There are {}.", listed(expected)),
            };
            format!("there is no key {}. {remedy}", shown(field))
        }
        Error::SerdeUnknownVariant { variant, expected, .. } => {
            format!("{} is not possible here. Write one of {}.", shown(variant), listed(expected))
        }
        Error::SerdeInvalidType { unexpected, expected, .. }
        | Error::SerdeInvalidValue { unexpected, expected, .. } => {
            format!("there is a {} where {} is needed.", plain(unexpected), plain(expected))
        }
        Error::DuplicateMappingKey { key, .. } => {
            format!("the key {} is there twice. Keep one.", shown(key.as_deref().unwrap_or_default()))
        }
        Error::Budget { .. } | Error::AliasError { .. } => {
            "it is nested too deeply, too long, has several documents or uses anchors. Write it plainly.".to_owned()
        }
        Error::InvalidScalar { ty, .. } if ty.starts_with(['u', 'i']) => "a whole number is needed here.".to_owned(),
        Error::InvalidScalar { .. } => "a number is needed here.".to_owned(),
        Error::Unexpected { expected: "string scalar", .. } => {
            "one text is needed here, in quotes if it is special.".to_owned()
        }
        Error::Unexpected { expected: "mapping start", .. } => {
            "keys with values are needed here, as in `agent: codex`.".to_owned()
        }
        Error::Message { msg, .. } => format!("{}.", plain(msg)),
        other => {
            // The place is told already; only what comes before it is news.
            let message = other.to_string();
            let news = message.lines().next().and_then(|line| line.split(" at line ").next()).unwrap_or_default();
            format!("this is no YAML: {}.", plain(news))
        }
    };
    PolicyError { at, what }
}

fn check_limits(policy: &PolicyLimits, server: &Limits) -> Result<(), (&'static str, String)> {
    let counts = [
        ("runs", policy.runs, server.runs),
        ("runs_per_repository", policy.runs_per_repository, server.runs_per_repository),
        ("followups_per_day", policy.followups_per_day, server.followups_per_day),
        ("runs_per_user_hour", policy.runs_per_user_hour, server.runs_per_user_hour),
        ("lost_after_hours", policy.lost_after_hours, server.lost_after_hours),
    ];
    let times = [
        ("wall_minutes", policy.wall_minutes, server.wall),
        ("silence_minutes", policy.silence_minutes, server.silence),
    ];
    let costs = [
        ("cost_usd_per_run", policy.cost_usd_per_run, server.cost_usd_per_run),
        ("cost_usd_per_day", policy.cost_usd_per_day, server.cost_usd_per_day),
    ];
    let counts = counts.map(|(key, wanted, allowed)| (key, wanted.map(f64::from), f64::from(allowed)));
    let times = times.map(|(key, wanted, allowed)| (key, wanted.map(f64::from), allowed.as_secs_f64() / 60.0));
    for (key, wanted, allowed) in counts.into_iter().chain(times).chain(costs) {
        let Some(wanted) = wanted else { continue };
        let means_something = wanted > 0.0 || (wanted == 0.0 && key == "followups_per_day");
        if !means_something {
            let remedy = format!("It has to be more than 0; leave it out for the server's {allowed}.");
            return Err((key, format!("`limits.{key}` is {wanted}. {remedy}")));
        }
        if wanted > allowed {
            let remedy = "A repository can only lower it; the operator can raise the server's.";
            return Err((key, format!("`limits.{key}` is {wanted}, more than the server's {allowed}. {remedy}")));
        }
    }
    Ok(())
}

/// Line and column of a key that stands in the text exactly once.
fn place_of(key: &str, text: &str) -> Option<(u64, u64)> {
    let mut places = text.lines().enumerate().flat_map(|(line, content)| {
        let found = content.match_indices(key).filter(move |(at, _)| {
            let starts = content[..*at].ends_with([' ', '{', ',', '"', '\'']);
            let ends = content[at + key.len()..].trim_start_matches(['"', '\'']).trim_start().starts_with(':');
            starts && ends
        });
        found.map(move |(at, _)| (line as u64 + 1, content[..at].chars().count() as u64 + 1))
    });
    places.next().filter(|_| places.next().is_none())
}

fn name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    checked(Option::deserialize(deserializer)?, check_name)
}

fn model<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    checked(Option::deserialize(deserializer)?, check_model)
}

fn branch<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    checked(Option::deserialize(deserializer)?, check_branch)
}

fn logins<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    one_or_many(deserializer)?.into_iter().map(|login| check_one(login, check_login)).collect()
}

fn path_patterns<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    one_or_many(deserializer)?.into_iter().map(|pattern| check_one(pattern, check_path_pattern)).collect()
}

fn checked<E: de::Error>(value: Option<String>, rule: Rule) -> Result<Option<String>, E> {
    value.map(|value| check_one(value, rule)).transpose()
}

/// Values are checked while they are read, because only then their place is known.
fn check_one<E: de::Error>(value: String, rule: Rule) -> Result<String, E> {
    match rule(&value) {
        Ok(()) => Ok(value),
        Err(rule) => Err(E::custom(format!("the value cannot be {}: {rule}", shown(&value)))),
    }
}

/// One text or a list of them.
fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    struct OneOrMany;

    impl<'de> Visitor<'de> for OneOrMany {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("one text or a list of texts")
        }

        fn visit_str<E: de::Error>(self, one: &str) -> Result<Self::Value, E> {
            Ok(vec![one.to_owned()])
        }

        fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
            Ok(Vec::new())
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
            let mut many = Vec::new();
            while let Some(item) = items.next_element()? {
                many.push(item);
                if many.len() > MAX_ITEMS {
                    return Err(de::Error::custom(format!("a list can have {MAX_ITEMS} items")));
                }
            }
            Ok(many)
        }
    }

    deserializer.deserialize_any(OneOrMany)
}

/// GitHub's logins; those of managed users contain an underscore.
fn check_login(login: &str) -> Result<(), String> {
    let valid = (1..=39).contains(&login.len())
        && login.starts_with(|c: char| c.is_ascii_alphanumeric())
        && login.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    if valid {
        Ok(())
    } else {
        Err("it is no login of a person on GitHub; write it as in a profile's address, without an at sign".to_owned())
    }
}

fn check_path_pattern(pattern: &str) -> Result<(), String> {
    let valid = (1..=256).contains(&pattern.len())
        && !pattern.chars().any(char::is_control)
        && !pattern.contains('\\')
        && pattern.split('/').all(|part| part != "..");
    if valid { Ok(()) } else { Err("it is no pattern for paths below the repository's root".to_owned()) }
}

fn listed(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

/// A value of the file as a comment may repeat it: as code, without what would end the code.
fn shown(value: &str) -> String {
    let value = plain(value).replace('`', "");
    if value.is_empty() { "like that".to_owned() } else { format!("`{value}`") }
}

/// Text without what GitHub would make a mention, a tag or another line of.
fn plain(text: &str) -> String {
    let harmless = |c: &char| (c.is_ascii_graphic() || c.is_alphanumeric() || *c == ' ') && !"@<>".contains(*c);
    text.chars().filter(harmless).take(300).collect()
}

#[cfg(test)]
mod tests;
