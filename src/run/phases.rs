//! How long each part of a run took, from the times in its row and the phases in its journal. Pure.

use crate::db::runs::Run;
use crate::model::{Millis, Phase, Status};

/// A part of a run's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Waits for a slot.
    Queued,
    /// The workspace is made and the agent launched.
    Preparing,
    /// The agent works.
    Working,
    /// The result is pushed and reported.
    Publishing,
}

/// A part with its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Which.
    pub stage: Stage,
    /// When it began, by the bot's clock.
    pub from: Millis,
    /// When it ended; `None`: it goes on.
    pub until: Option<Millis>,
    /// What is known of its parts, in order.
    pub parts: Vec<(Phase, Millis)>,
}

impl Span {
    /// How long it took, up to `now` if it goes on.
    pub fn took(&self, now: Millis) -> Millis {
        (self.until.unwrap_or(now) - self.from).max(0)
    }
}

/// The times of a run's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// Where it is.
    pub status: Status,
    /// When it was asked for.
    pub queued_at: Millis,
    /// When a slot was taken.
    pub prepared_at: Option<Millis>,
    /// When the agent started.
    pub started_at: Option<Millis>,
    /// When the agent ended, or the run was given up.
    pub ended_at: Option<Millis>,
    /// When everything was over.
    pub done_at: Option<Millis>,
}

impl From<&Run> for Times {
    fn from(run: &Run) -> Self {
        let &Run { status, queued_at, prepared_at, started_at, ended_at, done_at, .. } = run;
        Self { status, queued_at, prepared_at, started_at, ended_at, done_at }
    }
}

/// The parts of a run so far; `phases` are those of its journal, with the runner's times.
pub fn spans(run: &Times, phases: &[(Millis, Phase)]) -> Vec<Span> {
    let over = run.ended_at.or(run.done_at);
    // Back in the queue after a runner that was not there: the earlier preparation is no part of it any more.
    if run.status == Status::Queued {
        return vec![Span { stage: Stage::Queued, from: run.queued_at, until: None, parts: Vec::new() }];
    }
    // A run that ends before it began to prepare or to work skips the rest; times of another clock must not make it run backwards.
    let stages = [
        (Stage::Queued, Some(run.queued_at), run.prepared_at.or(over)),
        (Stage::Preparing, run.prepared_at, run.started_at.or(over)),
        (Stage::Working, run.started_at, run.ended_at),
        (Stage::Publishing, over, run.done_at),
    ];
    let mut spans = Vec::new();
    let mut earliest = run.queued_at;
    for (stage, from, until) in stages {
        let Some(from) = from else { continue };
        let from = from.max(earliest);
        let until = until.map(|until| until.max(from));
        earliest = until.unwrap_or(from);
        let parts = match stage {
            Stage::Preparing => parts(phases, until.map(|until| until - from)),
            _ => Vec::new(),
        };
        spans.push(Span { stage, from, until, parts });
    }
    spans
}

/// How long the phases of a preparation took: the journal begins with the workspace, and what is before it is the rest of the whole.
fn parts(phases: &[(Millis, Phase)], whole: Option<Millis>) -> Vec<(Phase, Millis)> {
    let Some(whole) = whole else { return Vec::new() };
    let mut parts: Vec<(Phase, Millis)> = Vec::new();
    for pair in phases.windows(2) {
        parts.push((pair[0].1, (pair[1].0 - pair[0].0).max(0)));
    }
    let known: Millis = parts.iter().map(|(_, took)| took).sum();
    if parts.is_empty() || known > whole {
        return Vec::new();
    }
    parts.insert(0, (Phase::FetchingRepository, whole - known));
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(spans: &[Span]) -> String {
        let span = |s: &Span| {
            let parts: Vec<String> = s.parts.iter().map(|(phase, took)| format!("{phase} {took}")).collect();
            format!("{:?} {} {:?} [{}]", s.stage, s.from, s.until.map(|_| s.took(0)), parts.join(", "))
        };
        spans.iter().map(span).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_life_in_parts() {
        use Phase::*;
        let queued = Times {
            status: Status::Queued,
            queued_at: 1_000,
            prepared_at: None,
            started_at: None,
            ended_at: None,
            done_at: None,
        };
        let done = Times {
            status: Status::Done,
            prepared_at: Some(2_000),
            started_at: Some(5_000),
            ended_at: Some(65_000),
            done_at: Some(66_500),
            ..queued
        };
        let journal = [(9_000_000, PreparingWorkspace), (9_000_700, UploadingPrompt), (9_000_900, Launching)];
        insta::assert_snapshot!(told(&spans(&done, &journal)), @"
        Queued 1000 Some(1000) []
        Preparing 2000 Some(3000) [fetching_repository 2100, preparing_workspace 700, uploading_prompt 200]
        Working 5000 Some(60000) []
        Publishing 65000 Some(1500) []
        ");
        // At work, canceled in the queue, given up while it was prepared, put back into the queue.
        let working = Times { status: Status::Running, ended_at: None, done_at: None, ..done };
        insta::assert_snapshot!(told(&spans(&working, &[])), @"
        Queued 1000 Some(1000) []
        Preparing 2000 Some(3000) []
        Working 5000 None []
        ");
        let canceled = Times { status: Status::Done, ended_at: Some(1_500), done_at: Some(1_600), ..queued };
        insta::assert_snapshot!(told(&spans(&canceled, &[])), @"
        Queued 1000 Some(500) []
        Publishing 1500 Some(100) []
        ");
        let given_up = Times { started_at: None, ended_at: Some(4_000), done_at: Some(4_100), ..done };
        insta::assert_snapshot!(told(&spans(&given_up, &journal[..1])), @"
        Queued 1000 Some(1000) []
        Preparing 2000 Some(2000) []
        Publishing 4000 Some(100) []
        ");
        let back = Times { status: Status::Queued, ..working };
        insta::assert_snapshot!(told(&spans(&back, &journal)), @"Queued 1000 None []");
        // The runner's clock was wrong, and its phases took longer than all of it.
        let early = Times { started_at: Some(1_900), ..done };
        let long = [(0, PreparingWorkspace), (9_000, UploadingPrompt)];
        insta::assert_snapshot!(told(&spans(&early, &long)), @"
        Queued 1000 Some(1000) []
        Preparing 2000 Some(0) []
        Working 2000 Some(63000) []
        Publishing 65000 Some(1500) []
        ");
    }
}
