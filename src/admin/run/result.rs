//! What came of a run: the agent's answer, the size of its change, and how long each part took.

use askama::Template;

use super::super::fault::Fault;
use super::super::view::{Safe, filters};
use super::Scene;
use super::given::place;
use crate::agent::{Answer, Disposition, ReviewAnswer, Severity, Side, WorkAnswer};
use crate::context::Context;
use crate::db::runs::{Run, Work};
use crate::markup;
use crate::model::{Millis, Outcome, RunId, Status};
use crate::report::review;
use crate::report::wording::{NOT_INSTALLED, disposition_word};
use crate::run::feed;
use crate::run::phases::{self, Span, Stage, Times};

/// The part of the page that appears when the agent has answered.
#[derive(Template)]
#[template(path = "run_result.html")]
pub(super) struct ResultView {
    run: RunId,
    answer: Option<Answered>,
    work: Option<Work>,
    /// There is a change to look at.
    has_change: bool,
    /// Commits that were not pushed, by their last one.
    kept: Option<String>,
    /// Why a review is not on GitHub, and the review to copy (B36).
    not_posted: Option<(Safe, String)>,
    spans: Vec<Row>,
}

enum Answered {
    Work { summary: Safe, title: Option<String>, body: Option<Safe>, notes: Option<Safe>, replies: Vec<Replied> },
    Review { summary: Safe, body: Safe, notes: Option<Safe>, findings: Vec<Found> },
}

struct Replied {
    about: String,
    word: &'static str,
    class: &'static str,
    body: Safe,
}

struct Found {
    severity: &'static str,
    class: &'static str,
    place: String,
    title: String,
    body: Safe,
    suggestion: Option<String>,
}

/// A part of the run's life, with its share of the whole for a bar.
struct Row {
    name: &'static str,
    took: Millis,
    /// It goes on.
    open: bool,
    /// Where its bar begins and how long it is, in parts of a thousand.
    bar: (i64, i64),
    parts: Vec<(&'static str, Millis)>,
}

impl ResultView {
    pub(super) async fn of(context: &Context, scene: &Scene, run: &Run) -> Result<Self, Fault> {
        let answer = run.answer.clone().and_then(|answer| Answer::stored(run.kind, answer));
        let phases = feed::phases(context, run.id).await.map_err(anyhow::Error::from)?;
        let spans = phases::spans(&Times::from(run), &phases);
        let kept = run.result.as_ref().filter(|result| {
            let failed = run.outcome.is_some_and(|outcome| outcome != Outcome::Succeeded);
            failed && run.pushed.as_ref() != Some(result) && run.given.as_ref() != Some(result)
        });
        Ok(Self {
            run: scene.run.id,
            answer: answer.map(|answer| match answer {
                Answer::Work(answer) => worked(run, answer),
                Answer::Review(answer) => reviewed(answer),
            }),
            work: run.work.clone(),
            has_change: run.given.is_some() && run.result.is_some() && run.given != run.result,
            kept: kept.map(|sha| sha.short().to_owned()),
            not_posted: run.ask.unposted.then(|| not_posted(context, scene, run)).flatten(),
            // Of a run that goes on only what is over is told: the rest would change with every look.
            spans: rows(&spans, run.status == Status::Done),
        })
    }

    fn is_empty(&self) -> bool {
        self.answer.is_none() && self.work.is_none() && self.spans.is_empty()
    }
}

/// Why a review stays here, with the link that changes it, and its text. What is told at the end of the run has both.
fn not_posted(context: &Context, scene: &Scene, run: &Run) -> Option<(Safe, String)> {
    let why = run.detail.as_deref().filter(|_| run.outcome == Some(Outcome::Succeeded)).unwrap_or(NOT_INSTALLED);
    let text = review::markdown(run, &scene.github(context), context.run_url(run.id).as_deref())?;
    Some((markdown(why), text))
}

fn markdown(text: &str) -> Safe {
    Safe(markup::html(text))
}

fn filled(text: Option<&str>) -> Option<Safe> {
    text.filter(|text| !text.trim().is_empty()).map(markdown)
}

fn worked(run: &Run, answer: WorkAnswer) -> Answered {
    let comments = run.feedback.as_ref().map(|feedback| feedback.comments.as_slice()).unwrap_or_default();
    let about = |id: i64| {
        let comment = comments.iter().find(|comment| comment.id == id);
        comment.map_or_else(
            || format!("comment {id}, which it was not given"),
            |comment| format!("{} by {}", place(&comment.path, comment.line), comment.author.login),
        )
    };
    let replies = answer.replies.iter().map(|reply| Replied {
        about: about(reply.comment_id),
        word: disposition_word(reply.disposition),
        class: match reply.disposition {
            Disposition::Fixed => "good",
            Disposition::Answered => "calm",
            Disposition::Declined | Disposition::NeedsYou => "warn",
        },
        body: markdown(&reply.body),
    });
    Answered::Work {
        replies: replies.collect(),
        summary: markdown(&answer.summary),
        body: filled(answer.pull_request_body.as_deref()),
        notes: filled(answer.notes.as_deref()),
        title: answer.pull_request_title,
    }
}

fn reviewed(answer: ReviewAnswer) -> Answered {
    let findings = answer.findings.iter().map(|finding| {
        let (severity, class) = match finding.severity {
            Severity::High => ("high", "bad"),
            Severity::Medium => ("medium", "warn"),
            Severity::Low => ("low", "calm"),
        };
        let lines = match (finding.start_line, finding.line) {
            (Some(start), Some(line)) if start != line => format!("{}:{start}–{line}", finding.path),
            (_, line) => place(&finding.path, line),
        };
        Found {
            severity,
            class,
            place: if finding.side == Side::Left { format!("{lines} (before the change)") } else { lines },
            title: finding.title.clone(),
            body: markdown(&finding.body),
            suggestion: finding.suggestion.clone(),
        }
    });
    Answered::Review {
        findings: findings.collect(),
        summary: markdown(&answer.summary),
        body: markdown(&answer.body),
        notes: filled(answer.notes.as_deref()),
    }
}

fn rows(spans: &[Span], all: bool) -> Vec<Row> {
    let known: Vec<&Span> = spans.iter().filter(|span| all || span.until.is_some()).collect();
    let (Some(first), Some(last)) = (known.first(), known.last()) else { return Vec::new() };
    let begin = first.from;
    let whole = (last.until.unwrap_or(last.from) - begin).max(1);
    let row = |span: &&Span| {
        let name = match span.stage {
            Stage::Queued => "Waiting for a slot",
            Stage::Preparing => "Preparing",
            Stage::Working => "Agent at work",
            Stage::Publishing => "Publishing",
        };
        let took = span.took(span.from);
        let parts = span.parts.iter().map(|(phase, took)| (part_name(*phase), *took));
        Row {
            name,
            took,
            open: span.until.is_none(),
            bar: ((span.from - begin) * 1_000 / whole, (took * 1_000 / whole).max(2)),
            parts: parts.collect(),
        }
    };
    known.iter().map(row).collect()
}

fn part_name(phase: crate::model::Phase) -> &'static str {
    use crate::model::Phase::*;
    match phase {
        CheckingRunner | FetchingRepository => "runner and repository",
        PreparingWorkspace => "workspace",
        UploadingPrompt => "prompt",
        Launching => "start",
    }
}
