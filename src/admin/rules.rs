//! What holds in a repository: what the server says, what `.github/track.yml` says, and which of them counts. Pure.

use std::time::Duration;

use crate::config::{Config, FollowUp};
use crate::db::repositories::Traits;
use crate::trigger::policy::{self, Policy};

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    /// Its name, as `track.yml` has it where it has it.
    pub name: &'static str,
    /// What the server says; empty: nothing.
    pub server: String,
    /// What the repository says; empty: nothing.
    pub repository: String,
    /// What counts.
    pub counts: String,
}

impl Rule {
    /// What stands in its columns, and whether the repository says it.
    pub fn cells(&self) -> [(&str, bool); 3] {
        [(&self.server, false), (&self.repository, true), (&self.counts, false)]
    }
}

/// Every rule of a repository. `policy` is `None` where it was not read.
pub(super) fn rules(config: &Config, traits: Option<&Traits>, policy: Option<&Policy>) -> Vec<Rule> {
    let nothing = Policy::default();
    let of = policy.unwrap_or(&nothing);
    let said = |text: &Option<String>| text.clone().unwrap_or_default();
    let chosen = |name: &'static str, server: String, repository: String| {
        let counts = if repository.is_empty() { server.clone() } else { repository.clone() };
        Rule { name, server, repository, counts }
    };
    let profile_agent =
        of.profile.as_ref().and_then(|name| config.profiles.get(name)).map(|profile| profile.agent.clone());
    let default_branch = traits.map_or_else(|| "the default branch".to_owned(), |traits| traits.default_branch.clone());
    let mut rules = vec![
        chosen("agent", config.default_agent.clone(), of.agent.clone().or(profile_agent).unwrap_or_default()),
        chosen("model", String::new(), said(&of.model)),
        chosen("profile", String::new(), said(&of.profile)),
        chosen("base_branch", default_branch, said(&of.base_branch)),
        main_users(config, of),
        follow_up(config.follow_up, of.follow_up),
        chosen("instructions", String::new(), said(&of.instructions)),
        chosen("review_prompt", String::new(), said(&of.review_prompt)),
    ];
    rules.extend(limits(config, of));
    // What needs approval is refused as long as nobody can approve.
    let paths = |name, list: &[String]| chosen(name, String::new(), list.join("\n"));
    rules.push(paths("paths.refused", &of.paths.refused));
    rules.push(paths("paths.approval", &of.paths.approval));
    rules
}

/// The server's count where it names any.
fn main_users(config: &Config, policy: &Policy) -> Rule {
    let (server, repository) = (config.main_user.join(", "), policy.main_users.join(", "));
    let counts = match (server.is_empty(), repository.is_empty()) {
        (false, _) => server.clone(),
        (true, false) => repository.clone(),
        (true, true) => "whoever asked for the run".to_owned(),
    };
    Rule { name: "main_users", server, repository, counts }
}

/// Off wherever either says so.
fn follow_up(server: FollowUp, repository: Option<FollowUp>) -> Rule {
    let word = |mode: FollowUp| if mode == FollowUp::Off { "off" } else { "auto" };
    let counts = if repository == Some(FollowUp::Off) { FollowUp::Off } else { server };
    Rule {
        name: "follow_up",
        server: word(server).to_owned(),
        repository: repository.map(word).unwrap_or_default().to_owned(),
        counts: word(counts).to_owned(),
    }
}

/// The lower one counts.
fn limits(config: &Config, policy: &Policy) -> Vec<Rule> {
    let (server, of, counts) = (&config.limits, &policy.limits, policy::effective(&config.limits, policy));
    let minutes = |span: Duration| (span.as_secs() / 60).to_string();
    let plain = |n: Option<u32>| n.map(|n| n.to_string()).unwrap_or_default();
    let dollars = |sum: f64| format!("${sum:.2}");
    let rule = |name, server: String, repository: String, counts: String| Rule { name, server, repository, counts };
    let number =
        |name, server: u32, of: Option<u32>, counts: u32| rule(name, server.to_string(), plain(of), counts.to_string());
    let time = |name, server: Duration, of: Option<u32>, counts: Duration| {
        rule(name, minutes(server), plain(of), minutes(counts))
    };
    let money = |name, server: f64, of: Option<f64>, counts: f64| {
        rule(name, dollars(server), of.map(dollars).unwrap_or_default(), dollars(counts))
    };
    vec![
        number("limits.runs", server.runs, of.runs, counts.runs),
        number(
            "limits.runs_per_repository",
            server.runs_per_repository,
            of.runs_per_repository,
            counts.runs_per_repository,
        ),
        time("limits.wall_minutes", server.wall, of.wall_minutes, counts.wall),
        time("limits.silence_minutes", server.silence, of.silence_minutes, counts.silence),
        number("limits.followups_per_day", server.followups_per_day, of.followups_per_day, counts.followups_per_day),
        number(
            "limits.runs_per_user_hour",
            server.runs_per_user_hour,
            of.runs_per_user_hour,
            counts.runs_per_user_hour,
        ),
        number("limits.lost_after_hours", server.lost_after_hours, of.lost_after_hours, counts.lost_after_hours),
        money("limits.cost_usd_per_run", server.cost_usd_per_run, of.cost_usd_per_run, counts.cost_usd_per_run),
        money("limits.cost_usd_per_day", server.cost_usd_per_day, of.cost_usd_per_day, counts.cost_usd_per_day),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_and_the_repository_stand_beside_what_counts() {
        let mut config = Config::defaults("/tmp/track".into());
        let text = "agent: claude\nbase_branch: next\nmain_users: [mona]\nfollow_up: off\nlimits: {wall_minutes: 30}\npaths: {refused: [\"*.lock\"]}\n";
        let policy = policy::parse(text.as_bytes(), &config.limits).unwrap();
        let traits = Traits { default_branch: "trunk".into(), issues: true, archived: false };
        let told = |config: &Config, policy: Option<&Policy>| {
            let rules = rules(config, Some(&traits), policy).into_iter();
            rules
                .map(|rule| format!("{}: {} | {} | {}", rule.name, rule.server, rule.repository, rule.counts))
                .collect::<Vec<_>>()
        };
        let all = told(&config, Some(&policy));
        let changed: Vec<_> = all.iter().filter(|line| !told(&config, None).contains(line)).cloned().collect();
        insta::assert_snapshot!(changed.join("\n"), @"
        agent: codex | claude | claude
        base_branch: trunk | next | next
        main_users:  | mona | mona
        follow_up: auto | off | off
        limits.wall_minutes: 120 | 30 | 30
        paths.refused:  | *.lock | *.lock
        ");
        config.main_user = vec!["hubot".into()];
        assert!(told(&config, Some(&policy)).contains(&"main_users: hubot | mona | hubot".to_owned()));
    }
}
