//! What is done about one wish: a pure function of the wish, the facts and the policy. No IO, so every rule is a row in a table of tests.

use crate::config::Limits;
use crate::model::{
    Account, AccountId, Kind, Lane, LineState, Millis, Number, Outcome, Pin, ReviewPrompt, RunId, Status, date_time,
};

use super::choose::{Choices, ChosenBy, choose_agent};
use super::command::{Command, Dispatch, Followup, Mistake, Review};
use super::policy::{self, Policy};

pub use super::facts::{
    Decision, Facts, LastRun, LineFacts, LiveRun, ProfileFacts, PullFacts, Question, ReviewFacts, Standing, Start, Wish,
};

const MINUTE: Millis = 60_000;

/// Decides about one wish of an entitled actor.
pub fn decide(wish: &Wish, facts: &Facts) -> Decision {
    match wish {
        Wish::Mistake(mistake) => refuse("bad_command", correction(mistake)),
        Wish::Label { selects } => dispatch(&Dispatch::default(), selects.as_deref(), facts),
        Wish::Command(Command::Dispatch(request)) => dispatch(request, None, facts),
        Wish::Command(Command::Followup(request)) => followup(request, facts),
        Wish::Command(Command::Review(request)) => review(request, facts),
        Wish::Command(Command::Pause) => pause(true, facts),
        Wish::Command(Command::Resume) => pause(false, facts),
        Wish::Command(Command::Discard) => discard(facts),
        Wish::Command(Command::Cancel) => cancel(&facts.live),
        Wish::Command(Command::Retry) => retry(facts),
        Wish::Command(Command::Status) => Decision::Answer(Question::Status),
        Wish::Command(Command::Why) => Decision::Answer(Question::Why),
        Wish::Command(Command::Help) => Decision::Answer(Question::Help),
    }
}

fn dispatch(request: &Dispatch, label_selects: Option<&str>, facts: &Facts) -> Decision {
    // Whoever begins anew does not wait for a runner that may never answer.
    let abandons = facts.live.iter().find(|run| request.fresh && run.lane == Lane::Work && run.out_of_sight);
    let live = || if abandons.is_some() { None } else { live_here(Kind::Task, facts) };
    let refusal =
        foreign(facts, "dispatch").or_else(|| not_here(Kind::Task, facts)).or_else(live).or_else(|| too_many(facts));
    if let Some(refusal) = refusal {
        return refusal;
    }
    let open = facts.line.as_ref().filter(|line| line.state == LineState::Open);
    if let (Some(wanted), Some(base)) = (&request.base, open.and_then(|line| line.base.as_ref()))
        && !request.fresh
        && wanted != base
    {
        let text = format!(
            "The open line of work here goes into `{base}`. Leave `--base` out to go on with it, or add `--fresh` to begin another one from `{wanted}`."
        );
        return refuse("other_base", text);
    }
    match start(Kind::Task, request, label_selects, facts) {
        Decision::Start(start) => Decision::Start(Box::new(Start { abandons: abandons.map(|run| run.id), ..*start })),
        other => other,
    }
}

/// Goes on with a line: the newest work that there is (B20).
fn followup(request: &Followup, facts: &Facts) -> Decision {
    if let Some(refusal) = foreign(facts, "followup").or_else(|| not_here(Kind::FollowUp, facts)) {
        return refusal;
    }
    if let Some(refusal) = live_here(Kind::FollowUp, facts) {
        return match (&facts.line, facts.live.iter().find(|run| run.lane == Lane::Work)) {
            (Some(line), Some(live)) if !request.fresh && line.agent.is_some() => Decision::Keep {
                line: line.id,
                instructions: request.instructions.clone(),
                text: format!(
                    "Run `{}` is still {} here. This is kept, and becomes a follow-up when it is over.",
                    live.id, live.status
                ),
            },
            _ => refusal,
        };
    }
    if let Some(refusal) = too_many(facts) {
        return refusal;
    }
    let Some(line) = facts.line.as_ref().filter(|line| line.agent.is_some()) else {
        return refuse(
            "nothing_to_follow_up",
            "There is no work here to go on with. `/track dispatch` starts the first run.",
        );
    };
    if line.state == LineState::Merged && !request.fresh {
        return merged(line.pull);
    }
    let wanted = Dispatch { fresh: request.fresh, instructions: request.instructions.clone(), ..Dispatch::default() };
    match start(Kind::FollowUp, &wanted, None, facts) {
        Decision::Start(start) if !request.fresh => Decision::Start(Box::new(Start { line: Some(line.id), ..*start })),
        other => other,
    }
}

/// A follow-up adds to its pull request, which can no longer be done (B20).
fn merged(pull: Option<Number>) -> Decision {
    let pull = pull.map_or_else(|| "The pull request".to_owned(), |pull| format!("#{pull}"));
    let text = format!(
        "{pull} is merged, so nothing can be added to it. `/track followup --fresh <text>` begins a new line of work that knows what was said."
    );
    refuse("merged", text)
}

/// Reviews a pull request as it is at the time of the request (B30, B31).
fn review(request: &Review, facts: &Facts) -> Decision {
    let Some(pull) = &facts.pull else {
        return refuse(
            "wrong_place",
            "`/track review` works on pull requests, and this is an issue. Say it on the pull request that is to be reviewed.",
        );
    };
    if pull.merged {
        return refuse("merged", "This pull request is merged, so there is nothing left to review.");
    }
    if !pull.open {
        return refuse("closed", "This pull request is closed. Reopen it first, then ask again.");
    }
    if let Some(refusal) = cannot_start(Kind::Review, facts) {
        return refusal;
    }
    let wanted = Dispatch {
        agent: request.agent.clone(),
        model: request.model.clone(),
        runner: request.runner.clone(),
        instructions: request.instructions.clone(),
        ..Dispatch::default()
    };
    match start(Kind::Review, &wanted, None, facts) {
        Decision::Start(start) => {
            let before = before(&wanted, facts);
            let pin = Pin {
                pull: pull.number,
                head: pull.head.clone(),
                base: pull.base.clone(),
                prompt: before.and_then(|before| before.prompt.clone()).or_else(|| Some(prompt(&start, facts))),
                replaces: before.map(|before| before.agent.clone()).filter(|agent| *agent != start.agent),
            };
            Decision::Start(Box::new(Start { base: None, pin: Some(pin), ..*start }))
        }
        other => other,
    }
}

/// The review with whose settings a further one is made: none if another agent is asked for.
fn before<'a>(request: &Dispatch, facts: &'a Facts) -> Option<&'a ReviewFacts> {
    facts.reviewed.as_ref().filter(|before| request.agent.as_ref().is_none_or(|agent| *agent == before.agent))
}

/// A further review is done as the one before, whatever was configured since, unless its agent is gone (B37).
fn as_before(request: &Dispatch, facts: &Facts) -> Option<Chosen> {
    let before = before(request, facts).filter(|before| facts.agents.contains(&before.agent))?;
    Some(Chosen {
        agent: before.agent.clone(),
        by: if request.agent.is_some() { ChosenBy::Command } else { ChosenBy::Review },
        model: before.model.clone(),
        profile: before.profile.clone(),
    })
}

/// What a reviewer is told beside the request.
fn prompt(start: &Start, facts: &Facts) -> ReviewPrompt {
    let profile = facts.profiles.iter().find(|profile| Some(&profile.name) == start.profile.as_ref());
    ReviewPrompt {
        repository: facts.policy.as_ref().ok().and_then(|policy| policy.review_prompt.clone()),
        profile: profile.and_then(|profile| profile.instructions.clone()),
    }
}

/// What is the same for every kind: who does it, and where.
fn start(kind: Kind, request: &Dispatch, label_selects: Option<&str>, facts: &Facts) -> Decision {
    let policy = match &facts.policy {
        Ok(policy) => policy,
        Err(mistake) => return refuse("bad_policy", mistake.clone()),
    };
    let previous = match kind {
        Kind::Review => None,
        // A follow-up keeps the agent of the work that it follows, whatever became of its line.
        Kind::FollowUp => facts.line.as_ref().and_then(|line| line.agent.as_deref()),
        Kind::Task => {
            facts.line.as_ref().filter(|line| line.state == LineState::Open).and_then(|line| line.agent.as_deref())
        }
    };
    let chosen = match as_before(request, facts).filter(|_| kind == Kind::Review) {
        Some(chosen) => Ok(chosen),
        None => choose(request, (label_selects, previous), policy, facts),
    };
    let Chosen { agent, by, model, profile } = match chosen {
        Ok(chosen) => chosen,
        Err((reason, text)) => return refuse(reason, text),
    };
    if let Some(wanted) = &request.runner
        && !facts.runners.iter().any(|(name, _)| name == wanted)
    {
        let names: Vec<&str> = facts.runners.iter().map(|(name, _)| name.as_str()).collect();
        return refuse("unknown_runner", format!("There is no runner `{wanted}`. {}", known("Runners", &names)));
    }
    Decision::Start(Box::new(Start {
        kind,
        agent,
        chosen_by: by,
        model: request.model.clone().or(model),
        profile,
        runner: request.runner.clone(),
        base: request.base.clone().or_else(|| policy.base_branch.clone()),
        fresh: request.fresh,
        line: None,
        abandons: None,
        pin: None,
        instructions: request.instructions.clone(),
    }))
}

/// Work is done on issues and on track's own pull requests.
fn foreign(facts: &Facts, verb: &str) -> Option<Decision> {
    facts.pull.as_ref().filter(|pull| !pull.ours)?;
    Some(refuse(
        "wrong_place",
        format!(
            "`/track {verb}` works on issues and on pull requests that track opened; this pull request is somebody else's. \
             Open an issue that says what to do, and dispatch there. `/track review` reviews this one."
        ),
    ))
}

/// The rules that hold for everything that would start a run.
fn cannot_start(kind: Kind, facts: &Facts) -> Option<Decision> {
    not_here(kind, facts).or_else(|| live_here(kind, facts)).or_else(|| too_many(facts))
}

/// Nothing works where nothing can be changed.
fn not_here(kind: Kind, facts: &Facts) -> Option<Decision> {
    if facts.archived {
        return Some(refuse("archived", "This repository is archived, so nothing can be pushed. Unarchive it first."));
    }
    // A review is about the pull request, whatever became of its issue.
    if !facts.open && kind != Kind::Review {
        return Some(refuse("closed", "This is closed. Reopen it first, then ask again."));
    }
    None
}

/// One run at a time works in a lane.
fn live_here(kind: Kind, facts: &Facts) -> Option<Decision> {
    let LiveRun { id: run, status, canceling, out_of_sight, .. } =
        facts.live.iter().find(|run| run.lane == kind.lane())?;
    let next = match (canceling, out_of_sight) {
        (_, true) if kind == Kind::Task => {
            "Its runner does not answer: wait for it, or give it up with `/track dispatch --fresh`."
        }
        (true, _) => "It is being canceled; ask again when it is over.",
        (false, _) => "Wait for it, or end it with `/track cancel`.",
    };
    Some(refuse("already_live", format!("Run `{run}` is still {status} here. {next}")))
}

/// Nobody spends more than the limits say.
fn too_many(facts: &Facts) -> Option<Decision> {
    let per_hour = i64::from(facts.limits.runs_per_user_hour);
    if facts.asked_last_hour >= per_hour {
        let what = format!(
            "You have reached the limit of runs per person and hour ({} of {per_hour}, `runs_per_user_hour`).",
            facts.asked_last_hour
        );
        return Some(not_yet("user_limit", what, facts.asked_again_at));
    }
    too_dear(facts.cost_last_day, &facts.limits).map(|what| not_yet("cost_limit", what, facts.afforded_again_at))
}

fn not_yet(reason: &'static str, what: String, again_at: Option<Millis>) -> Decision {
    match again_at {
        Some(again_at) => {
            let text = format!("{what} Ask again after {}.", next_minute(again_at));
            Decision::NotYet { reason, text, again_at }
        }
        None => refuse(reason, format!("{what} No run starts until it is raised.")),
    }
}

/// A moment as people read it who must not be early.
pub(super) fn next_minute(at: Millis) -> String {
    date_time(at.saturating_add(MINUTE - 1))
}

/// What is said where the day's money is spent.
pub(super) fn too_dear(cost_last_day: f64, limits: &Limits) -> Option<String> {
    (cost_last_day >= limits.cost_usd_per_day).then(|| {
        format!(
            "The runs of the last 24 hours cost ${cost_last_day:.2}, and ${:.2} a day is the limit (`cost_usd_per_day`).",
            limits.cost_usd_per_day
        )
    })
}

/// The time of the run with which enough of these costs, oldest first, will have passed for the rest to be below the limit; `None` where
/// even nothing is too much.
pub fn dearest_until(costs: &[(Millis, f64)], limits: &Limits) -> Option<Millis> {
    let mut left: f64 = costs.iter().map(|(_, cost)| cost).sum();
    for (at, cost) in costs {
        left -= cost;
        if left < limits.cost_usd_per_day {
            return Some(*at);
        }
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

/// `previous` is the agent of the work that is gone on with.
fn choose(
    request: &Dispatch,
    (label_selects, previous): (Option<&str>, Option<&str>),
    policy: &Policy,
    facts: &Facts,
) -> Result<Chosen, Refusal> {
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
        line: previous,
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

/// Ends these live runs, which are a thread's or one of them.
pub fn cancel(live: &[LiveRun]) -> Decision {
    let too_late = |run: &&LiveRun| run.status == Status::Publishing && !run.out_of_sight;
    let runs: Vec<RunId> = live.iter().filter(|run| !too_late(run)).map(|run| run.id).collect();
    match (runs.is_empty(), live.first()) {
        (false, _) => Decision::Cancel { runs },
        (true, Some(LiveRun { id, .. })) => {
            refuse("too_late", format!("Run `{id}` is over and being published, so there is nothing left to cancel."))
        }
        (true, None) => refuse(
            "nothing_live",
            "Nothing is live here, so there is nothing to cancel. `/track status` lists the runs.",
        ),
    }
}

fn pause(paused: bool, facts: &Facts) -> Decision {
    let line = facts.line.as_ref().filter(|line| line.state == LineState::Open);
    let Some((line, pull)) = line.and_then(|line| Some((line.id, line.pull?))) else {
        return refuse(
            "no_pull_request",
            "There is no open pull request of track's here, so no review can start a follow-up.",
        );
    };
    let text = if paused {
        format!(
            "Reviews of #{pull} start no follow-ups from now on; `/track followup <text>` still does. `/track resume` turns them on again."
        )
    } else {
        format!("Reviews of #{pull} start follow-ups again, and what was said meanwhile is taken up.")
    };
    Decision::Pause { line, paused, text }
}

fn discard(facts: &Facts) -> Decision {
    match (facts.live.first(), &facts.last) {
        (Some(LiveRun { id, status, .. }), _) => refuse(
            "already_live",
            format!("Run `{id}` is still {status} here. Wait for it, or end it with `/track cancel`, then discard."),
        ),
        (None, None) => refuse("nothing_to_discard", "No run is kept here, so there is nothing to discard."),
        (None, Some(_)) => Decision::Discard,
    }
}

fn retry(facts: &Facts) -> Decision {
    let Some(last) = &facts.last else {
        return refuse(
            "nothing_to_retry",
            "There is no run to try again here. `/track dispatch` starts the first one.",
        );
    };
    let elsewhere = if last.kind == Kind::Review { None } else { foreign(facts, "retry") };
    if let Some(refusal) = elsewhere.or_else(|| cannot_start(last.kind, facts)) {
        return refusal;
    }
    if last.outcome == Outcome::Succeeded {
        return refuse("last_succeeded", succeeded(last.kind));
    }
    if let (Kind::FollowUp, Some((LineState::Merged, pull))) = (last.kind, last.line) {
        return merged(pull);
    }
    Decision::Retry { of: last.id, attempt: last.attempt + 1 }
}

fn succeeded(kind: Kind) -> &'static str {
    match kind {
        Kind::Task | Kind::FollowUp => {
            "The last run succeeded. To have more done, say what: `/track followup <what to change>`."
        }
        Kind::Review => "The last review was submitted. `/track review` reviews what came since.",
    }
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
