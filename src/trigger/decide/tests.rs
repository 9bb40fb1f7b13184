use super::*;
use crate::model::AccountId;
use crate::trigger::command;

/// An open issue in a repository without a policy, nothing live, one runner.
fn facts() -> Facts {
    Facts {
        open: true,
        archived: false,
        pull: None,
        live: Vec::new(),
        last: None,
        line: None,
        reviewed: None,
        policy: Ok(Policy::default()),
        agents: vec!["codex".into(), "claude".into(), "scripted".into()],
        profiles: vec![ProfileFacts {
            name: "careful".into(),
            agent: "claude".into(),
            model: Some("opus".into()),
            instructions: Some("Be careful.".into()),
        }],
        runners: vec![("build-1".into(), None)],
        default_agent: "codex".into(),
        limits: Limits::default(),
        asked_last_hour: 0,
        asked_again_at: Some(1_774_000_000_001),
        cost_last_day: 0.0,
        afforded_again_at: Some(1_774_050_000_000),
    }
}

fn policy(text: &str) -> Result<Policy, String> {
    super::super::policy::parse(text.as_bytes(), &Limits::default()).map_err(|error| error.to_string())
}

fn wish(text: &str) -> Wish {
    if let Some(selects) = text.strip_prefix("label track") {
        return Wish::Label { selects: selects.strip_prefix(':').map(str::to_owned) };
    }
    let mut parsed = command::parse(text);
    assert_eq!(parsed.len(), 1, "{text}");
    parsed.remove(0).map_or_else(Wish::Mistake, Wish::Command)
}

/// The decision in a line.
fn decided(text: &str, facts: &Facts) -> String {
    match decide(&wish(text), facts) {
        Decision::Start(start) => {
            let Start {
                kind,
                agent,
                chosen_by,
                model,
                profile,
                runner,
                base,
                fresh,
                instructions,
                line,
                abandons,
                pin,
            } = *start;
            let kind = if kind == Kind::Task { String::new() } else { format!("{kind}: ") };
            let mut told = format!("{kind}start {agent} by {}", chosen_by.as_str());
            if line.is_some() {
                told += ", goes on with its line";
            }
            if let Some(pin) = pin {
                told += &format!(", #{} at {} into {}", pin.pull, pin.head.short(), pin.base);
                let Pin { prompt, replaces, .. } = pin;
                let ReviewPrompt { repository, profile } = prompt.expect("a new review keeps what it is told");
                let said = [("told", repository), ("and", profile), ("in the place of", replaces)];
                for (what, value) in said.into_iter().filter_map(|(what, value)| Some((what, value?))) {
                    told += &format!(", {what} {value}");
                }
            }
            let said = [("model", model), ("profile", profile), ("runner", runner), ("base", base)];
            for (what, value) in said.into_iter().filter_map(|(what, value)| Some((what, value?))) {
                told += &format!(", {what} {value}");
            }
            if fresh {
                told += ", fresh";
            }
            if abandons.is_some() {
                told += ", abandons a run";
            }
            if !instructions.is_empty() {
                told += &format!(": {instructions}");
            }
            told
        }
        Decision::Retry { attempt, .. } => format!("retry, attempt {attempt}"),
        Decision::Cancel { runs } => format!("cancel {}", runs.len()),
        Decision::Pause { paused, .. } => if paused { "pause" } else { "resume" }.to_owned(),
        Decision::Keep { instructions, .. } => format!("keep: {instructions}"),
        Decision::Discard => "discard".to_owned(),
        Decision::Answer(question) => format!("answer {question:?}"),
        Decision::Refuse { reason, .. } | Decision::NotYet { reason, .. } => format!("refuse {reason}"),
    }
}

/// What the actor reads.
fn refusal(text: &str, facts: &Facts) -> String {
    match decide(&wish(text), facts) {
        Decision::Refuse { text, .. } | Decision::NotYet { text, .. } => text,
        other => panic!("{other:?}"),
    }
}

fn live(status: Status) -> Vec<LiveRun> {
    vec![LiveRun { id: run(), lane: Lane::Work, status, canceling: false, out_of_sight: false }]
}

/// An open line with a pull request, worked on by codex.
fn line() -> LineFacts {
    LineFacts {
        id: "01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap(),
        state: LineState::Open,
        pull: Some(Number(8)),
        base: Some("main".into()),
        agent: Some("codex".into()),
    }
}

/// A pull request as somebody comments on it.
fn pull(ours: bool) -> PullFacts {
    PullFacts {
        number: Number(8),
        ours,
        open: true,
        merged: false,
        head: "0123456789abcdef0123456789abcdef01234567".parse().unwrap(),
        base: "main".into(),
    }
}

fn run() -> RunId {
    "01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap()
}

fn last(outcome: Outcome) -> Option<LastRun> {
    Some(LastRun { id: run(), kind: Kind::Task, outcome, attempt: 1, line: Some((LineState::Open, Some(Number(8)))) })
}

// B01
#[test]
fn every_wish_has_its_decision() {
    for (text, decision) in [
        ("label track", "start codex by default_agent"),
        ("/track dispatch", "start codex by default_agent"),
        ("/track dispatch be quick", "start codex by default_agent: be quick"),
        (
            "/track dispatch --model m --runner build-1 --base develop --fresh go",
            "start codex by default_agent, model m, runner build-1, base develop, fresh: go",
        ),
        ("/track dispatch --runner build-2", "refuse unknown_runner"),
        ("/track cancel", "refuse nothing_live"),
        ("/track retry", "refuse nothing_to_retry"),
        ("/track status", "answer Status"),
        ("/track why", "answer Why"),
        ("/track help", "answer Help"),
        ("/track hlep", "refuse bad_command"),
    ] {
        assert_eq!(decided(text, &facts()), decision, "{text}");
    }
}

// B14
#[test]
fn the_agent_and_the_model_are_those_of_the_first_who_chose() {
    let line = || Facts { line: Some(LineFacts { agent: Some("scripted".into()), ..line() }), ..facts() };
    let with = |text: &str| Facts { policy: policy(text), ..facts() };
    let runner = |agent: &str| Facts { runners: vec![("build-1".into(), Some(agent.into()))], ..facts() };
    for (text, facts, decision) in [
        ("/track dispatch --agent claude", line(), "start claude by the command"),
        ("label track:claude", line(), "start claude by the label"),
        ("/track dispatch", line(), "start scripted by the previous run of this line"),
        ("/track dispatch", with("agent: claude"), "start claude by .github/track.yml"),
        ("/track dispatch", runner("claude"), "start claude by the runner's configuration"),
        ("label track:careful", facts(), "start claude by the label, model opus, profile careful"),
        ("/track dispatch --profile careful", facts(), "start claude by the command, model opus, profile careful"),
        ("/track dispatch", with("profile: careful"), "start claude by .github/track.yml, model opus, profile careful"),
        // The model of a profile or policy goes with its agent, never with another one.
        ("/track dispatch --agent codex --profile careful", facts(), "start codex by the command, profile careful"),
        ("/track dispatch --agent codex", with("profile: careful"), "start codex by the command"),
        ("/track dispatch", with("model: gpt"), "start codex by default_agent, model gpt"),
        ("/track dispatch", with("agent: claude\nmodel: haiku"), "start claude by .github/track.yml, model haiku"),
        ("/track dispatch --agent codex", with("agent: claude\nmodel: haiku"), "start codex by the command"),
        (
            "/track dispatch --model m",
            with("agent: claude\nmodel: haiku"),
            "start claude by .github/track.yml, model m",
        ),
        ("label track:nobody", facts(), "refuse unknown_agent"),
        ("/track dispatch --agent nobody", facts(), "refuse unknown_agent"),
        ("/track dispatch --profile nobody", facts(), "refuse unknown_profile"),
        ("/track dispatch", with("agent: nobody"), "refuse unknown_agent"),
    ] {
        assert_eq!(decided(text, &facts), decision, "{text} with {:?}", facts.policy);
    }
    let both = Facts { line: Some(self::line()), policy: policy("profile: careful"), ..facts() };
    assert_eq!(decided("/track dispatch", &both), "start codex by the previous run of this line, profile careful");
}

#[test]
fn an_open_line_keeps_its_base() {
    let open = Facts { line: Some(LineFacts { agent: None, ..line() }), ..facts() };
    for (text, decision) in [
        ("/track dispatch", "start codex by default_agent"),
        ("/track dispatch --base main", "start codex by default_agent, base main"),
        ("/track dispatch --base dev", "refuse other_base"),
        ("/track dispatch --base dev --fresh", "start codex by default_agent, base dev, fresh"),
    ] {
        assert_eq!(decided(text, &open), decision, "{text}");
    }
    insta::assert_snapshot!(refusal("/track dispatch --base dev", &open), @"The open line of work here goes into `main`. Leave `--base` out to go on with it, or add `--fresh` to begin another one from `dev`.");
}

// B02, B04
#[test]
fn what_forbids_a_start_forbids_every_way_to_start() {
    let limits = Limits::default();
    let forbidden = [
        ("archived", Facts { archived: true, ..facts() }),
        ("closed", Facts { open: false, ..facts() }),
        ("already_live", Facts { live: live(Status::Queued), ..facts() }),
        ("already_live", Facts { live: live(Status::Publishing), ..facts() }),
        ("user_limit", Facts { asked_last_hour: limits.runs_per_user_hour.into(), ..facts() }),
        ("cost_limit", Facts { cost_last_day: limits.cost_usd_per_day, ..facts() }),
        ("wrong_place", Facts { pull: Some(pull(false)), ..facts() }),
    ];
    for (reason, facts) in forbidden {
        let facts = Facts { last: last(Outcome::Failed), ..facts };
        for text in ["label track", "/track dispatch", "/track dispatch --fresh", "/track retry"] {
            assert_eq!(decided(text, &facts), format!("refuse {reason}"), "{text}");
        }
        for text in ["/track status", "/track why", "/track help"] {
            assert!(decided(text, &facts).starts_with("answer"), "questions are always answered");
        }
    }
    let below = Facts { asked_last_hour: i64::from(limits.runs_per_user_hour) - 1, cost_last_day: 99.99, ..facts() };
    assert_eq!(decided("/track dispatch", &below), "start codex by default_agent");
}

// B10
#[test]
fn a_live_run_can_be_canceled_until_it_is_published() {
    for (status, decision) in [
        (Status::Queued, "cancel 1"),
        (Status::Preparing, "cancel 1"),
        (Status::Running, "cancel 1"),
        (Status::Publishing, "refuse too_late"),
    ] {
        assert_eq!(decided("/track cancel", &Facts { live: live(status), ..facts() }), decision, "{status}");
    }
    let away = || vec![LiveRun { out_of_sight: true, ..live(Status::Running)[0] }];
    assert_eq!(decided("/track dispatch", &Facts { live: away(), ..facts() }), "refuse already_live");
    let fresh = "start codex by default_agent, fresh, abandons a run";
    assert_eq!(decided("/track dispatch --fresh", &Facts { live: away(), ..facts() }), fresh);
    let out_of_sight = vec![LiveRun { out_of_sight: true, ..live(Status::Publishing)[0] }];
    assert_eq!(decided("/track cancel", &Facts { live: out_of_sight, ..facts() }), "cancel 1");
}

#[test]
fn only_what_did_not_succeed_is_tried_again() {
    for &outcome in Outcome::ALL {
        let decision = if outcome == Outcome::Succeeded { "refuse last_succeeded" } else { "retry, attempt 2" };
        assert_eq!(decided("/track retry", &Facts { last: last(outcome), ..facts() }), decision, "{outcome}");
    }
}

// B20
#[test]
fn a_follow_up_is_tried_again_where_one_could_begin() {
    let failed = |kind, state| Facts {
        last: Some(LastRun { kind, line: Some((state, Some(Number(8)))), ..last(Outcome::Failed).unwrap() }),
        ..facts()
    };
    for (kind, state, decision) in [
        (Kind::FollowUp, LineState::Open, "retry, attempt 2"),
        (Kind::FollowUp, LineState::Closed, "retry, attempt 2"),
        (Kind::FollowUp, LineState::Merged, "refuse merged"),
        // A task begins a new line where its own is over.
        (Kind::Task, LineState::Merged, "retry, attempt 2"),
        (Kind::Task, LineState::Closed, "retry, attempt 2"),
    ] {
        assert_eq!(decided("/track retry", &failed(kind, state)), decision, "{kind} {state}");
    }
    let merged = failed(Kind::FollowUp, LineState::Merged);
    assert_eq!(
        refusal("/track retry", &merged),
        refusal(
            "/track followup more",
            &Facts { line: Some(LineFacts { state: LineState::Merged, ..line() }), ..facts() }
        )
    );
}

#[test]
fn a_policy_that_cannot_be_followed_starts_nothing() {
    let bad = Facts { policy: policy("agnet: codex"), ..facts() };
    assert_eq!(decided("label track", &bad), "refuse bad_policy");
    insta::assert_snapshot!(refusal("/track dispatch", &bad), @"`.github/track.yml`, line 1, column 1: there is no key `agnet`. Did you mean `agent`?");
}

#[test]
fn refusals_say_what_is_wrong_and_what_to_do() {
    let with = |text: &str| Facts { policy: policy(text), ..facts() };
    insta::assert_snapshot!(refusal("/track dispach", &facts()), @"
    There is no command `dispach`. Did you mean `/track dispatch`?

    Usage: `/track dispatch`, `/track followup`, `/track review`, `/track cancel`, `/track retry`, `/track status`, `/track why`, `/track pause`, `/track resume`, `/track discard`, `/track help`
    ");
    insta::assert_snapshot!(refusal("/track dispatch --agnet x", &facts()), @"
    `dispatch` has no option `--agnet`. Did you mean `--agent`?

    Usage: `/track dispatch [--agent A] [--model M] [--runner R] [--profile P] [--base B] [--fresh] [instructions]`
    ");
    insta::assert_snapshot!(refusal("/track dispatch --base a..b", &facts()), @"
    `a..b` is no value for `--base`: git allows no branch that contains `..` or ends with `.`.

    Usage: `/track dispatch [--agent A] [--model M] [--runner R] [--profile P] [--base B] [--fresh] [instructions]`
    ");
    insta::assert_snapshot!(refusal("label track:nobody", &facts()), @"There is no agent `nobody`. Agents: `codex`, `claude`, `scripted`.");
    insta::assert_snapshot!(refusal("/track dispatch", &with("agent: nobody")), @"There is no agent `nobody`, which `.github/track.yml` names. Agents: `codex`, `claude`, `scripted`.");
    insta::assert_snapshot!(refusal("/track dispatch --profile nobody", &facts()), @"There is no profile `nobody`. Profiles: `careful`.");
    insta::assert_snapshot!(refusal("/track dispatch", &with("profile: nobody")), @"There is no profile `nobody`, which `.github/track.yml` names. Profiles: `careful`.");
    insta::assert_snapshot!(refusal("/track dispatch --runner nowhere", &facts()), @"There is no runner `nowhere`. Runners: `build-1`.");
    insta::assert_snapshot!(refusal("/track dispatch", &Facts { pull: Some(pull(false)), ..facts() }), @"`/track dispatch` works on issues and on pull requests that track opened; this pull request is somebody else's. Open an issue that says what to do, and dispatch there. `/track review` reviews this one.");
    insta::assert_snapshot!(refusal("/track dispatch", &Facts { archived: true, ..facts() }), @"This repository is archived, so nothing can be pushed. Unarchive it first.");
    insta::assert_snapshot!(refusal("/track dispatch", &Facts { open: false, ..facts() }), @"This is closed. Reopen it first, then ask again.");
    insta::assert_snapshot!(refusal("/track dispatch", &Facts { live: live(Status::Running), ..facts() }), @"Run `01ARZ3NDEKTSV4RRFFQ69G5FAV` is still running here. Wait for it, or end it with `/track cancel`.");
    insta::assert_snapshot!(refusal("/track dispatch", &Facts { live: vec![LiveRun { canceling: true, ..live(Status::Running)[0] }], ..facts() }), @"Run `01ARZ3NDEKTSV4RRFFQ69G5FAV` is still running here. It is being canceled; ask again when it is over.");
    insta::assert_snapshot!(refusal("/track dispatch", &Facts { asked_last_hour: 10, ..facts() }), @"You have reached the limit of runs per person and hour (10 of 10, `runs_per_user_hour`). Ask again after 2026-03-20 09:47 UTC.");
    insta::assert_snapshot!(refusal("/track dispatch", &Facts { cost_last_day: 100.5, ..facts() }), @"The runs of the last 24 hours cost $100.50, and $100.00 a day is the limit (`cost_usd_per_day`). Ask again after 2026-03-20 23:40 UTC.");
    insta::assert_snapshot!(refusal("/track dispatch", &Facts { asked_last_hour: 10, asked_again_at: None, ..facts() }), @"You have reached the limit of runs per person and hour (10 of 10, `runs_per_user_hour`). No run starts until it is raised.");
    insta::assert_snapshot!(refusal("/track cancel", &facts()), @"Nothing is live here, so there is nothing to cancel. `/track status` lists the runs.");
    insta::assert_snapshot!(refusal("/track cancel", &Facts { live: live(Status::Publishing), ..facts() }), @"Run `01ARZ3NDEKTSV4RRFFQ69G5FAV` is over and being published, so there is nothing left to cancel.");
    insta::assert_snapshot!(refusal("/track retry", &facts()), @"There is no run to try again here. `/track dispatch` starts the first one.");
    insta::assert_snapshot!(refusal("/track retry", &Facts { last: last(Outcome::Succeeded), ..facts() }), @"The last run succeeded. To have more done, say what: `/track followup <what to change>`.");
}

// T15
#[test]
fn no_refusal_holds_a_live_command() {
    for text in
        ["/track dispach", "/track dispatch --agnet x", "/track stop", "/track", "/track cancel", "/track retry"]
    {
        assert_eq!(command::parse(&refusal(text, &facts())), [], "{text}");
    }
}

// T12, T16
#[test]
fn entitled_is_who_may_write_and_is_who_he_seems() {
    let actor = Account { id: AccountId(7), login: "mona".into() };
    assert_eq!(standing(&actor, true, Some(AccountId(7))), Standing::Entitled);
    assert_eq!(standing(&actor, false, Some(AccountId(7))), Standing::Stranger);
    assert_eq!(standing(&actor, true, Some(AccountId(8))), Standing::Stranger, "the login has another owner now");
    assert_eq!(standing(&actor, true, None), Standing::Stranger);
}

// B20
#[test]
fn a_followup_goes_on_with_the_work_that_is_there() {
    let there = Facts { line: Some(line()), ..facts() };
    let state = |state| Facts { line: Some(LineFacts { state, ..line() }), ..facts() };
    let go_on = "follow_up: start codex by the previous run of this line, goes on with its line: more";
    let claude = Facts {
        line: Some(LineFacts { agent: Some("claude".into()), ..line() }),
        policy: policy("agent: codex"),
        ..facts()
    };
    for (text, facts, decision) in [
        ("/track followup more", &there, go_on),
        ("/track follow-up more", &Facts { pull: Some(pull(true)), ..there.clone() }, go_on),
        ("/track followup more", &state(LineState::Closed), go_on),
        ("/track followup more", &state(LineState::Superseded), go_on),
        ("/track followup more", &state(LineState::Merged), "refuse merged"),
        (
            "/track followup --fresh more",
            &state(LineState::Merged),
            "follow_up: start codex by the previous run of this line, fresh: more",
        ),
        (
            "/track followup more",
            &claude,
            "follow_up: start claude by the previous run of this line, goes on with its line: more",
        ),
        ("/track followup more", &facts(), "refuse nothing_to_follow_up"),
        ("/track followup more", &Facts { pull: Some(pull(false)), ..facts() }, "refuse wrong_place"),
        ("/track followup", &there, "refuse bad_command"),
        ("/track followup more", &Facts { live: live(Status::Running), ..there.clone() }, "keep: more"),
        (
            "/track followup --fresh more",
            &Facts { live: live(Status::Running), ..there.clone() },
            "refuse already_live",
        ),
        ("/track followup more", &Facts { live: live(Status::Running), ..facts() }, "refuse already_live"),
    ] {
        assert_eq!(decided(text, facts), decision, "{text}");
    }
    insta::assert_snapshot!(refusal("/track followup more", &state(LineState::Merged)), @"#8 is merged, so nothing can be added to it. `/track followup --fresh <text>` begins a new line of work that knows what was said.");
    insta::assert_snapshot!(refusal("/track followup more", &facts()), @"There is no work here to go on with. `/track dispatch` starts the first run.");
    insta::assert_snapshot!(refusal("/track followup", &there), @"
    `followup` needs a text that says what to do.

    Usage: `/track followup [--fresh] <text>`
    ");
}

// B30, B31
#[test]
fn a_review_is_pinned_to_the_head_and_has_a_lane_of_its_own() {
    let on = |pull: PullFacts| Facts { pull: Some(pull), ..facts() };
    let reviewed = "review: start codex by default_agent, #8 at 0123456 into main";
    let reviewing = LiveRun { lane: Lane::Review, ..live(Status::Running)[0] };
    for (text, facts, decision) in [
        ("/track review", on(pull(false)), reviewed),
        ("/track review", on(pull(true)), reviewed),
        ("/track review", Facts { live: live(Status::Running), ..on(pull(true)) }, reviewed),
        ("/track review", Facts { live: vec![reviewing], ..on(pull(true)) }, "refuse already_live"),
        ("/track review", Facts { open: false, ..on(pull(true)) }, reviewed),
        (
            "/track review --agent claude look",
            on(pull(false)),
            "review: start claude by the command, #8 at 0123456 into main: look",
        ),
        ("/track review", facts(), "refuse wrong_place"),
        ("/track review", on(PullFacts { open: false, ..pull(false) }), "refuse closed"),
        ("/track review", on(PullFacts { open: false, merged: true, ..pull(false) }), "refuse merged"),
    ] {
        assert_eq!(decided(text, &facts), decision, "{text}");
    }
    insta::assert_snapshot!(refusal("/track review", &facts()), @"`/track review` works on pull requests, and this is an issue. Say it on the pull request that is to be reviewed.");
}

// B37
#[test]
fn a_further_review_keeps_the_settings_of_the_one_before() {
    let prompt = ReviewPrompt { repository: Some("Mind the locks.".into()), profile: Some("Be slow.".into()) };
    let before = |agent: &str| ReviewFacts {
        agent: agent.into(),
        model: Some("opus-1".into()),
        profile: Some("gone".into()),
        prompt: Some(prompt.clone()),
    };
    let with = |before: Option<ReviewFacts>, text: &str| Facts {
        reviewed: before,
        pull: Some(pull(false)),
        policy: policy(text),
        ..facts()
    };
    let pinned = "#8 at 0123456 into main";
    let kept = "told Mind the locks., and Be slow.";
    for (text, facts, decision) in [
        // The first one has what is configured then.
        (
            "/track review",
            with(None, "review_prompt: Be kind."),
            format!("codex by default_agent, {pinned}, told Be kind."),
        ),
        (
            "/track review",
            with(None, "profile: careful"),
            format!("claude by .github/track.yml, {pinned}, and Be careful., model opus, profile careful"),
        ),
        // A further one has what the first one had, whatever is configured by now.
        (
            "/track review",
            with(Some(before("claude")), "agent: codex\nreview_prompt: Be kind."),
            format!("claude by the review before, {pinned}, {kept}, model opus-1, profile gone"),
        ),
        (
            "/track review",
            with(Some(before("claude")), "profile: nobody"),
            format!("claude by the review before, {pinned}, {kept}, model opus-1, profile gone"),
        ),
        (
            "/track review --agent claude --model opus-2 and the tests",
            with(Some(before("claude")), ""),
            format!("claude by the command, {pinned}, {kept}, model opus-2, profile gone: and the tests"),
        ),
        // Whoever names another agent has a new review.
        (
            "/track review --agent scripted",
            with(Some(before("claude")), "review_prompt: Be kind."),
            format!("scripted by the command, {pinned}, told Be kind."),
        ),
        // An agent that is gone is replaced, and what it was told stays.
        (
            "/track review",
            with(Some(before("retired")), "review_prompt: Be kind."),
            format!("codex by default_agent, {pinned}, {kept}, in the place of retired"),
        ),
        (
            "/track review",
            with(Some(ReviewFacts { prompt: None, ..before("claude") }), "review_prompt: Be kind."),
            format!("claude by the review before, {pinned}, told Be kind., model opus-1, profile gone"),
        ),
    ] {
        assert_eq!(decided(text, &facts), format!("review: start {decision}"), "{text}");
    }
    let gone = with(Some(before("claude")), "");
    assert_eq!(decided("/track review --agent retired", &gone), "refuse unknown_agent");
}

#[test]
fn pausing_resuming_and_discarding() {
    let there = Facts { line: Some(line()), last: last(Outcome::Succeeded), ..facts() };
    let both = vec![live(Status::Running)[0], LiveRun { lane: Lane::Review, ..live(Status::Queued)[0] }];
    for (text, facts, decision) in [
        ("/track pause", &there, "pause"),
        ("/track resume", &there, "resume"),
        (
            "/track pause",
            &Facts { line: Some(LineFacts { pull: None, ..line() }), ..facts() },
            "refuse no_pull_request",
        ),
        ("/track resume", &facts(), "refuse no_pull_request"),
        ("/track discard", &there, "discard"),
        ("/track discard", &facts(), "refuse nothing_to_discard"),
        ("/track discard", &Facts { live: live(Status::Running), ..there.clone() }, "refuse already_live"),
        ("/track cancel", &Facts { live: both, ..there.clone() }, "cancel 2"),
    ] {
        assert_eq!(decided(text, facts), decision, "{text}");
    }
}

#[test]
fn money_is_there_again_when_enough_of_what_was_spent_is_a_day_old() {
    let limits = Limits { cost_usd_per_day: 10.0, ..Limits::default() };
    for (costs, until) in [
        (&[(1, 12.0)][..], Some(1)),
        (&[(1, 1.0), (2, 9.0)], Some(1)),
        (&[(1, 1.0), (2, 4.0), (3, 8.0)], Some(2)),
        (&[(1, 5.0), (2, 20.0), (3, 1.0)], Some(2)),
    ] {
        assert_eq!(dearest_until(costs, &limits), until, "{costs:?}");
    }
    assert_eq!(dearest_until(&[(1, 1.0)], &Limits { cost_usd_per_day: 0.0, ..limits }), None);
}
