//! What is done about one wish: a pure function of the wish, the facts and the policy. No IO, so every rule is a row in a table of tests.

use crate::config::Limits;
use crate::model::{Account, AccountId, Kind, Millis, Outcome, RunId, Status};

use super::choose::{Choices, ChosenBy, choose_agent};
use super::command::{Command, Dispatch, Mistake};
use super::policy::{self, Policy};

/// One thing that somebody may want, found in a delivery.
#[derive(Clone, Debug, PartialEq)]
pub enum Wish {
    /// The trigger label was put on; `track:<name>` selects an agent or a profile.
    Label {
        /// What stands behind the colon.
        selects: Option<String>,
    },
    /// A command that was understood.
    Command(Command),
    /// A command that was not.
    Mistake(Mistake),
}

impl Wish {
    /// The word under which the trigger is stored.
    pub fn verb(&self) -> &'static str {
        match self {
            Wish::Label { .. } => "label",
            Wish::Command(Command::Dispatch(_)) => "dispatch",
            Wish::Command(Command::Cancel) => "cancel",
            Wish::Command(Command::Retry) => "retry",
            Wish::Command(Command::Status) => "status",
            Wish::Command(Command::Why) => "why",
            Wish::Command(Command::Help) => "help",
            Wish::Mistake(_) => "mistake",
        }
    }
}

/// A profile of the server's configuration, as far as decisions need it.
#[derive(Clone, Debug)]
pub struct ProfileFacts {
    /// Its name.
    pub name: String,
    /// The agent that it stands for.
    pub agent: String,
    /// The model that it asks for.
    pub model: Option<String>,
}

/// What is known when a wish is decided; words come from the delivery, state from GitHub and the tables.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Whether the issue or pull request is open.
    pub open: bool,
    /// Whether the repository is archived.
    pub archived: bool,
    /// Whether it was said on a pull request that track did not open.
    pub foreign_pull: bool,
    /// The live run of the thread's work lane.
    pub live: Option<LiveRun>,
    /// The newest run that is over.
    pub last: Option<LastRun>,
    /// The agent of the open line's newest run.
    pub line_agent: Option<String>,
    /// The branch that the open line goes into, once a run has chosen one.
    pub line_base: Option<String>,
    /// `.github/track.yml`, or what is wrong with it.
    pub policy: Result<Policy, String>,
    /// Names of the agents that exist.
    pub agents: Vec<String>,
    /// Profiles that exist.
    pub profiles: Vec<ProfileFacts>,
    /// Names of the runners that exist, each with its default agent.
    pub runners: Vec<(String, Option<String>)>,
    /// The server's default agent.
    pub default_agent: String,
    /// The limits of server and repository together.
    pub limits: Limits,
    /// Runs that the actor asked for in the last hour.
    pub asked_last_hour: i64,
    /// US dollars spent in the last day.
    pub cost_last_day: f64,
}

/// A live run, as far as decisions depend on it.
#[derive(Clone, Copy, Debug)]
pub struct LiveRun {
    /// Its identity.
    pub id: RunId,
    /// Where it is.
    pub status: Status,
    /// Whether somebody has asked for its end already.
    pub canceling: bool,
    /// Whether its runner does not answer.
    pub out_of_sight: bool,
}

/// The newest run that is over, as `retry` and `dispatch` need it.
#[derive(Clone, Debug)]
pub struct LastRun {
    /// Its identity.
    pub id: RunId,
    /// How it ended.
    pub outcome: Outcome,
    /// Its number of attempts so far.
    pub attempt: i64,
}

/// What is done about a wish.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// A run is queued.
    Start(Start),
    /// The last run is attempted again.
    Retry {
        /// The run to repeat.
        of: RunId,
        /// The number of the new attempt.
        attempt: i64,
    },
    /// The live run is ended.
    Cancel {
        /// Which.
        run: RunId,
    },
    /// A question is answered.
    Answer(Question),
    /// Nothing is done, and the actor is told why.
    Refuse {
        /// A word that names the rule.
        reason: &'static str,
        /// What the actor reads, Markdown.
        text: String,
    },
}

/// Questions whose answers need the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// The runs of the thread.
    Status,
    /// The newest decisions.
    Why,
    /// The commands.
    Help,
}

/// A run about to be queued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// What sort of work.
    pub kind: Kind,
    /// The agent's name.
    pub agent: String,
    /// What chose it.
    pub chosen_by: ChosenBy,
    /// The model to ask for.
    pub model: Option<String>,
    /// The profile that chose agent and model.
    pub profile: Option<String>,
    /// The runner that the request names.
    pub runner: Option<String>,
    /// The base branch that the request or the repository names.
    pub base: Option<String>,
    /// Whether to open a new line.
    pub fresh: bool,
    /// Free text of the request.
    pub instructions: String,
}

/// Whether an account may make track do something: by GitHub's answer for the account itself, never by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Write, maintain or admin on the repository.
    Entitled,
    /// Anybody else: silence, and a decision record.
    Stranger,
}

/// Decides about one wish of an entitled actor.
pub fn decide(wish: &Wish, facts: &Facts) -> Decision {
    match wish {
        Wish::Mistake(mistake) => refuse("bad_command", correction(mistake)),
        Wish::Label { selects } => dispatch(&Dispatch::default(), selects.as_deref(), facts),
        Wish::Command(Command::Dispatch(request)) => dispatch(request, None, facts),
        Wish::Command(Command::Cancel) => cancel(facts),
        Wish::Command(Command::Retry) => retry(facts),
        Wish::Command(Command::Status) => Decision::Answer(Question::Status),
        Wish::Command(Command::Why) => Decision::Answer(Question::Why),
        Wish::Command(Command::Help) => Decision::Answer(Question::Help),
    }
}

fn dispatch(request: &Dispatch, label_selects: Option<&str>, facts: &Facts) -> Decision {
    if let Some(refusal) = cannot_start(facts) {
        return refusal;
    }
    let policy = match &facts.policy {
        Ok(policy) => policy,
        Err(mistake) => return refuse("bad_policy", mistake.clone()),
    };
    let Chosen { agent, by, model, profile } = match choose(request, label_selects, policy, facts) {
        Ok(chosen) => chosen,
        Err((reason, text)) => return refuse(reason, text),
    };
    if let Some(wanted) = &request.runner
        && !facts.runners.iter().any(|(name, _)| name == wanted)
    {
        let names: Vec<&str> = facts.runners.iter().map(|(name, _)| name.as_str()).collect();
        return refuse("unknown_runner", format!("There is no runner `{wanted}`. {}", known("Runners", &names)));
    }
    if let (Some(wanted), Some(base)) = (&request.base, &facts.line_base)
        && !request.fresh
        && wanted != base
    {
        let text = format!(
            "The open line of work here goes into `{base}`. Leave `--base` out to go on with it, or add `--fresh` to begin another one from `{wanted}`."
        );
        return refuse("other_base", text);
    }
    Decision::Start(Start {
        kind: Kind::Task,
        agent,
        chosen_by: by,
        model: request.model.clone().or(model),
        profile,
        runner: request.runner.clone(),
        base: request.base.clone().or_else(|| policy.base_branch.clone()),
        fresh: request.fresh,
        instructions: request.instructions.clone(),
    })
}

/// The rules that hold for everything that would start a run.
fn cannot_start(facts: &Facts) -> Option<Decision> {
    if facts.foreign_pull {
        return Some(refuse(
            "wrong_place",
            "`/track dispatch` works on issues and on pull requests that track opened; this pull request is somebody else's. \
             Open an issue that says what to do, and dispatch there.",
        ));
    }
    if facts.archived {
        return Some(refuse("archived", "This repository is archived, so nothing can be pushed. Unarchive it first."));
    }
    if !facts.open {
        return Some(refuse("closed", "This is closed. Reopen it first, then ask again."));
    }
    if let Some(LiveRun { id: run, status, canceling, .. }) = facts.live {
        let next = if canceling {
            "It is being canceled; ask again when it is over."
        } else {
            "Wait for it, or end it with `/track cancel`."
        };
        return Some(refuse("already_live", format!("Run `{run}` is still {status} here. {next}")));
    }
    let per_hour = i64::from(facts.limits.runs_per_user_hour);
    if facts.asked_last_hour >= per_hour {
        return Some(refuse(
            "user_limit",
            format!(
                "You have reached the limit of runs per person and hour ({} of {per_hour}, `runs_per_user_hour`). Ask again later.",
                facts.asked_last_hour
            ),
        ));
    }
    if facts.cost_last_day >= facts.limits.cost_usd_per_day {
        return Some(refuse(
            "cost_limit",
            format!(
                "The runs of the last 24 hours cost ${:.2}, and ${:.2} a day is the limit (`cost_usd_per_day`). Ask again later.",
                facts.cost_last_day, facts.limits.cost_usd_per_day
            ),
        ));
    }
    None
}

struct Chosen {
    agent: String,
    by: ChosenBy,
    model: Option<String>,
    profile: Option<String>,
}

/// The rule's name, and what the actor reads.
type Refusal = (&'static str, String);

fn choose(request: &Dispatch, label_selects: Option<&str>, policy: &Policy, facts: &Facts) -> Result<Chosen, Refusal> {
    let named = |name: &str| facts.profiles.iter().find(|profile| profile.name == name);
    let profile_name = request
        .profile
        .as_deref()
        .or(label_selects.filter(|name| named(name).is_some()))
        .or(policy.profile.as_deref().filter(|_| request.agent.is_none() && label_selects.is_none()));
    let profile = match profile_name {
        None => None,
        Some(name) => Some(named(name).ok_or_else(|| {
            let names: Vec<&str> = facts.profiles.iter().map(|profile| profile.name.as_str()).collect();
            let by = if request.profile.is_some() { ChosenBy::Command } else { ChosenBy::Policy };
            let text = format!("There is no profile `{name}`{}. {}", named_by(by), known("Profiles", &names));
            ("unknown_profile", text)
        })?),
    };
    let from_profile = |chosen: bool| profile.filter(|_| chosen).map(|profile| profile.agent.as_str());
    let runner = runner_default(request.runner.as_deref(), facts);
    let (agent, by) = choose_agent(&Choices {
        command: request.agent.as_deref().or_else(|| from_profile(request.profile.is_some())),
        label: label_selects.map(|name| from_profile(named(name).is_some()).unwrap_or(name)),
        line: facts.line_agent.as_deref(),
        policy: policy.agent.as_deref().or_else(|| from_profile(policy.profile.is_some())),
        runner,
        default: &facts.default_agent,
    });
    if !facts.agents.iter().any(|known| known == agent) {
        let names: Vec<&str> = facts.agents.iter().map(String::as_str).collect();
        let text = format!("There is no agent `{agent}`{}. {}", named_by(by), known("Agents", &names));
        return Err(("unknown_agent", text));
    }
    // A model belongs to the agent that it was written for; another one does not know it.
    let policy_agent = policy.agent.as_deref().or_else(|| Some(named(policy.profile.as_deref()?)?.agent.as_str()));
    let policy_agent = policy_agent.or(runner).unwrap_or(&facts.default_agent);
    let of_profile = profile.filter(|profile| profile.agent == agent).and_then(|profile| profile.model.clone());
    let of_policy = policy.model.clone().filter(|_| policy_agent == agent);
    Ok(Chosen {
        agent: agent.to_owned(),
        by,
        model: of_profile.or(of_policy),
        profile: profile.map(|profile| profile.name.clone()),
    })
}

/// Who named something that does not exist, where that is not the actor himself.
fn named_by(by: ChosenBy) -> String {
    match by {
        ChosenBy::Command | ChosenBy::Label => String::new(),
        ChosenBy::Policy => format!(", which `{}` names", policy::PATH),
        other => format!(", which {} names", other.as_str()),
    }
}

/// The default agent of the runner that is named, or of all runners if they agree: which one will have the slot is not known yet.
fn runner_default<'a>(wanted: Option<&str>, facts: &'a Facts) -> Option<&'a str> {
    let mut candidates = facts.runners.iter().filter(|(name, _)| wanted.is_none_or(|wanted| wanted == name));
    let first = candidates.next()?.1.as_deref()?;
    candidates.all(|(_, agent)| agent.as_deref() == Some(first)).then_some(first)
}

fn cancel(facts: &Facts) -> Decision {
    match facts.live {
        Some(LiveRun { id, status: Status::Publishing, out_of_sight: false, .. }) => {
            refuse("too_late", format!("Run `{id}` is over and being published, so there is nothing left to cancel."))
        }
        Some(live) => Decision::Cancel { run: live.id },
        None => refuse(
            "nothing_live",
            "Nothing is live here, so there is nothing to cancel. `/track status` lists the runs.",
        ),
    }
}

fn retry(facts: &Facts) -> Decision {
    let Some(last) = &facts.last else {
        return refuse(
            "nothing_to_retry",
            "There is no run to try again here. `/track dispatch` starts the first one.",
        );
    };
    if let Some(refusal) = cannot_start(facts) {
        return refusal;
    }
    if last.outcome == Outcome::Succeeded {
        return refuse(
            "last_succeeded",
            "The last run succeeded. To have more done, say what: `/track dispatch <what to change>`.",
        );
    }
    Decision::Retry { of: last.id, attempt: last.attempt + 1 }
}

/// What was wrong, the nearest right one, the usage line.
fn correction(mistake: &Mistake) -> String {
    let nearest = mistake.nearest.as_ref().map_or_else(String::new, |nearest| format!(" Did you mean `{nearest}`?"));
    let mut what = mistake.what.trim_end_matches('.').chars();
    let first: String = what.next().into_iter().flat_map(char::to_uppercase).collect();
    format!("{first}{}.{nearest}\n\nUsage: {}", what.as_str(), mistake.usage)
}

fn refuse(reason: &'static str, text: impl Into<String>) -> Decision {
    Decision::Refuse { reason, text: text.into() }
}

fn known(what: &str, names: &[&str]) -> String {
    if names.is_empty() {
        return format!("{what}: none are configured.");
    }
    format!("{what}: {}.", names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "))
}

/// Whether a wish may be granted at all, by the acting account's role on the repository; a renamed or confused login does not pass.
pub fn standing(actor: &Account, may_write: bool, answer_is_about: Option<AccountId>) -> Standing {
    if may_write && answer_is_about == Some(actor.id) { Standing::Entitled } else { Standing::Stranger }
}

/// How long a permission that was confirmed is believed before it is asked for again (T13).
pub const PERMISSION_TRUSTED: Millis = 60_000;

#[cfg(test)]
mod tests;
