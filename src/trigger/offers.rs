//! What can be asked for on a thread as it is, and what each would do: the same rules as [`decide`], put into sentences before anybody asks.

use super::command::{Command, Dispatch, Followup, Review};
use super::decide::{Decision, Facts, PullFacts, Start, Wish, decide};
use crate::model::{LineState, Number, RunId};

/// A thing that a button stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Start work, or go on with what is open.
    Dispatch,
    /// Go on with what somebody says.
    FollowUp,
    /// Review the pull request.
    Review,
    /// End what is live.
    Cancel,
    /// Run the last ask again.
    Retry,
    /// Begin anew beside what is open.
    StartFresh,
    /// Reviews start no follow-ups.
    Pause,
    /// Reviews start follow-ups again.
    Resume,
    /// Forget the history.
    Discard,
}

impl Action {
    /// Every action, in the order of the buttons.
    pub const ALL: &'static [Self] = &[
        Self::Dispatch,
        Self::FollowUp,
        Self::Review,
        Self::Cancel,
        Self::Retry,
        Self::StartFresh,
        Self::Pause,
        Self::Resume,
        Self::Discard,
    ];

    /// The word under which a form asks for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dispatch => "dispatch",
            Self::FollowUp => "followup",
            Self::Review => "review",
            Self::Cancel => "cancel",
            Self::Retry => "retry",
            Self::StartFresh => "fresh",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Discard => "discard",
        }
    }

    /// What stands on the button.
    pub fn label(self) -> &'static str {
        match self {
            Self::Dispatch => "Dispatch",
            Self::FollowUp => "Follow up",
            Self::Review => "Review",
            Self::Cancel => "Cancel",
            Self::Retry => "Retry",
            Self::StartFresh => "Start fresh",
            Self::Pause => "Pause follow-ups",
            Self::Resume => "Resume follow-ups",
            Self::Discard => "Discard history",
        }
    }

    /// The command for which it stands, with nothing chosen.
    pub fn command(self) -> Command {
        match self {
            Self::Dispatch => Command::Dispatch(Dispatch::default()),
            Self::StartFresh => Command::Dispatch(Dispatch { fresh: true, ..Dispatch::default() }),
            Self::FollowUp => Command::Followup(Followup::default()),
            Self::Review => Command::Review(Review::default()),
            Self::Cancel => Command::Cancel,
            Self::Retry => Command::Retry,
            Self::Pause => Command::Pause,
            Self::Resume => Command::Resume,
            Self::Discard => Command::Discard,
        }
    }
}

/// A button as it is offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// Which.
    pub action: Action,
    /// Whether it can be asked for now.
    pub enabled: bool,
    /// What it would do, or why it cannot be asked for: sentences in Markdown with nothing but code spans in it.
    pub sentence: String,
}

/// What a thread is like, beside the facts that decide.
#[derive(Clone, Debug)]
pub struct Place<'a> {
    /// The facts for a wish on the thread itself.
    pub facts: &'a Facts,
    /// The pull request that would be reviewed.
    pub pull: Option<PullFacts>,
    /// Each live run with its agent, and its runner where it has one.
    pub live: &'a [(RunId, String, Option<String>)],
    /// The branch from which work starts where nobody names one, if it is known.
    pub default_branch: Option<&'a str>,
    /// Whether follow-ups are paused.
    pub paused: bool,
    /// Runs whose history is kept.
    pub kept: usize,
}

/// Everything that is offered on a thread. What makes no sense there at all is left out: pausing what is paused, beginning anew
/// beside nothing.
pub fn offers(place: &Place<'_>) -> Vec<Offer> {
    let sensible = |action: &&Action| match action {
        Action::Pause => !place.paused && place.facts.line.is_some(),
        Action::Resume => place.paused,
        Action::StartFresh => place.facts.line.as_ref().is_some_and(|line| line.state == LineState::Open),
        Action::Review => place.pull.is_some(),
        _ => true,
    };
    Action::ALL.iter().filter(sensible).map(|action| offer(*action, place)).collect()
}

fn offer(action: Action, place: &Place<'_>) -> Offer {
    let wish = Wish::Command(action.command());
    let decision = match action {
        Action::Review => decide(&wish, &Facts { pull: place.pull.clone(), ..place.facts.clone() }),
        _ => decide(&wish, place.facts),
    };
    let (enabled, sentence) = match decision {
        Decision::Refuse { text, .. } | Decision::NotYet { text, .. } => (false, text),
        Decision::Start(start) => (true, started(action, &start, place)),
        Decision::Retry { of, attempt } => {
            (true, format!("Runs what `{of}` was asked for once more, as attempt {attempt}."))
        }
        Decision::Cancel { runs } => (true, ends(&runs, place)),
        Decision::Keep { .. } => {
            (true, "Is kept until the live run is over, and then becomes a follow-up with what you write.".to_owned())
        }
        Decision::Pause { text, .. } => (true, text),
        Decision::Discard => {
            let runs = if place.kept == 1 { "1 run".to_owned() } else { format!("{} runs", place.kept) };
            (
                true,
                format!("Forgets the history of {runs} and removes the files from the runners. You are asked before."),
            )
        }
        Decision::Answer(_) => (true, "Answers a question.".to_owned()),
    };
    Offer { action, enabled, sentence }
}

fn started(action: Action, start: &Start, place: &Place<'_>) -> String {
    let Start { agent, pin, abandons, .. } = start;
    let line = place.facts.line.as_ref();
    let open = line.filter(|line| line.state == LineState::Open);
    let onto = |pull: Option<Number>| pull.map_or_else(|| "the open branch".to_owned(), |pull| format!("#{pull}"));
    if let Some(pin) = pin {
        return format!(
            "`{agent}` reviews #{} at `{}` and submits one review with comments.",
            pin.pull,
            pin.head.short()
        );
    }
    match (action, open, line) {
        (Action::FollowUp, _, Some(line)) => format!(
            "`{agent}` goes on with {}: it is told what you write, and what reviewers said that nobody has answered.",
            onto(line.pull)
        ),
        (Action::Dispatch, Some(line), _) => format!("`{agent}` goes on with {} and its branch.", onto(line.pull)),
        _ => {
            let base = start.base.as_deref().or(place.default_branch);
            let from = base.map_or_else(|| "the default branch".to_owned(), |base| format!("`{base}`"));
            let left = open.and_then(|line| line.pull);
            let beside = match (left, abandons) {
                (_, Some(run)) => format!(" Run `{run}`, whose runner does not answer, is given up."),
                (Some(pull), None) => format!(" #{pull} stays as it is."),
                (None, None) => String::new(),
            };
            format!("Starts `{agent}` on a new branch from {from}.{beside}")
        }
    }
}

fn ends(runs: &[RunId], place: &Place<'_>) -> String {
    let named: Vec<String> = runs
        .iter()
        .map(|run| match place.live.iter().find(|(id, ..)| id == run) {
            Some((_, agent, Some(runner))) => format!("run `{run}` of `{agent}` on `{runner}`"),
            Some((_, agent, None)) => format!("run `{run}` of `{agent}`, which waits for a runner"),
            None => format!("run `{run}`"),
        })
        .collect();
    format!("Ends {}. What it has committed is kept.", named.join(" and "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Limits;
    use crate::model::{Kind, Lane, LineId, Outcome, Status};
    use crate::trigger::decide::{LastRun, LineFacts, LiveRun};
    use crate::trigger::policy::Policy;

    fn run() -> RunId {
        "01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap()
    }

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
            agents: vec!["codex".into(), "claude".into()],
            profiles: Vec::new(),
            runners: vec![("build-1".into(), None)],
            default_agent: "codex".into(),
            limits: Limits::default(),
            asked_last_hour: 0,
            asked_again_at: None,
            cost_last_day: 0.0,
            afforded_again_at: None,
        }
    }

    fn line(state: LineState) -> LineFacts {
        LineFacts {
            id: LineId::new(),
            state,
            pull: Some(Number(8)),
            base: Some("main".into()),
            agent: Some("claude".into()),
        }
    }

    fn pull(state: LineState) -> PullFacts {
        PullFacts {
            number: Number(8),
            ours: true,
            open: state == LineState::Open,
            merged: state == LineState::Merged,
            head: "0123456789abcdef0123456789abcdef01234567".parse().unwrap(),
            base: "main".into(),
        }
    }

    fn last(outcome: Outcome, line: &LineFacts) -> LastRun {
        LastRun { id: run(), kind: Kind::Task, outcome, attempt: 1, line: Some((line.state, line.pull)) }
    }

    fn told(what: &str, facts: &Facts, pull: Option<PullFacts>, paused: bool) -> String {
        let names: Vec<_> = facts.live.iter().map(|run| (run.id, "claude".into(), Some("build-1".into()))).collect();
        let place = Place { facts, pull, live: &names, default_branch: Some("main"), paused, kept: 2 };
        let lines = offers(&place).into_iter().map(|offer| {
            format!("{} {}: {}", if offer.enabled { "+" } else { "-" }, offer.action.label(), offer.sentence)
        });
        format!("{what}\n{}\n", lines.collect::<Vec<_>>().join("\n"))
    }

    // B02, B10, B20, B22, B25
    #[test]
    fn every_button_says_what_it_would_do_or_why_it_cannot() {
        let open = line(LineState::Open);
        let merged = line(LineState::Merged);
        let running =
            LiveRun { id: run(), lane: Lane::Work, status: Status::Running, canceling: false, out_of_sight: false };
        let with =
            |line: &LineFacts, outcome| Facts { line: Some(line.clone()), last: Some(last(outcome, line)), ..facts() };
        let mut all = told("nothing yet", &facts(), None, false);
        let at_work = Facts { line: Some(LineFacts { pull: None, ..open.clone() }), live: vec![running], ..facts() };
        all += &told("at work", &at_work, None, false);
        all += &told("open", &with(&open, Outcome::Succeeded), Some(pull(LineState::Open)), true);
        all += &told("merged", &with(&merged, Outcome::Failed), Some(pull(LineState::Merged)), false);
        insta::assert_snapshot!(all, @"
        nothing yet
        + Dispatch: Starts `codex` on a new branch from `main`.
        - Follow up: There is no work here to go on with. `/track dispatch` starts the first run.
        - Cancel: Nothing is live here, so there is nothing to cancel. `/track status` lists the runs.
        - Retry: There is no run to try again here. `/track dispatch` starts the first one.
        - Discard history: No run is kept here, so there is nothing to discard.
        at work
        - Dispatch: Run `01ARZ3NDEKTSV4RRFFQ69G5FAV` is still running here. Wait for it, or end it with `/track cancel`.
        + Follow up: Is kept until the live run is over, and then becomes a follow-up with what you write.
        + Cancel: Ends run `01ARZ3NDEKTSV4RRFFQ69G5FAV` of `claude` on `build-1`. What it has committed is kept.
        - Retry: There is no run to try again here. `/track dispatch` starts the first one.
        - Start fresh: Run `01ARZ3NDEKTSV4RRFFQ69G5FAV` is still running here. Wait for it, or end it with `/track cancel`.
        - Pause follow-ups: There is no open pull request of track's here, so no review can start a follow-up.
        - Discard history: Run `01ARZ3NDEKTSV4RRFFQ69G5FAV` is still running here. Wait for it, or end it with `/track cancel`, then discard.
        open
        + Dispatch: `claude` goes on with #8 and its branch.
        + Follow up: `claude` goes on with #8: it is told what you write, and what reviewers said that nobody has answered.
        + Review: `codex` reviews #8 at `0123456` and submits one review with comments.
        - Cancel: Nothing is live here, so there is nothing to cancel. `/track status` lists the runs.
        - Retry: The last run succeeded. To have more done, say what: `/track followup <what to change>`.
        + Start fresh: Starts `claude` on a new branch from `main`. #8 stays as it is.
        + Resume follow-ups: Reviews of #8 start follow-ups again, and what was said meanwhile is taken up.
        + Discard history: Forgets the history of 2 runs and removes the files from the runners. You are asked before.
        merged
        + Dispatch: Starts `codex` on a new branch from `main`.
        - Follow up: #8 is merged, so nothing can be added to it. `/track followup --fresh <text>` begins a new line of work that knows what was said.
        - Review: This pull request is merged, so there is nothing left to review.
        - Cancel: Nothing is live here, so there is nothing to cancel. `/track status` lists the runs.
        + Retry: Runs what `01ARZ3NDEKTSV4RRFFQ69G5FAV` was asked for once more, as attempt 2.
        - Pause follow-ups: There is no open pull request of track's here, so no review can start a follow-up.
        + Discard history: Forgets the history of 2 runs and removes the files from the runners. You are asked before.
        ");
    }
}
