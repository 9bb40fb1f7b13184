//! How a run stands, in the part of its page that changes most.

use askama::Template;

use super::super::fault::Fault;
use super::super::view::{Badge, Elapsed, Safe, filters, short_run};
use super::{Scene, steps};
use crate::context::Context;
use crate::db;
use crate::db::runs::Run;
use crate::markup;
use crate::model::{Millis, Outcome, RunId, Status, Usage};
use crate::report::text::quoted_line;
use crate::report::wording::{self, StatusFacts};
use crate::report::worker::status_facts;
use crate::run::feed::{self, State};

/// Characters of a reason that are shown.
const SHOWN: usize = 400;

/// What a person may do about a run. The forms stand in the page, for they hold what is the person's own; here are their buttons.
#[derive(Template)]
#[template(path = "run_action.html")]
pub(super) struct ActionView {
    what: What,
}

enum What {
    None,
    Cancel,
    Retry,
}

impl ActionView {
    pub(super) fn of(scene: &Scene, run: &Run) -> Self {
        let what = match (run.status, run.outcome) {
            _ if !scene.may_act => What::None,
            (Status::Done, Some(Outcome::Succeeded)) => What::None,
            (Status::Done, _) => What::Retry,
            _ if run.cancel_at.is_some() => What::None,
            _ => What::Cancel,
        };
        Self { what }
    }
}

/// Nothing in it belongs to one person.
#[derive(Template)]
#[template(path = "run_state.html")]
pub(super) struct StateView {
    badge: Badge,
    agent: String,
    model: Option<String>,
    runner: Option<String>,
    /// Since when the agent works, or how long it did.
    elapsed: Option<Elapsed>,
    took: Option<Millis>,
    usage: Usage,
    /// What it is doing, or how it ended, in a line of ours.
    headline: Safe,
    /// What stands in the way.
    warnings: Vec<Safe>,
    /// The particulars of an ending.
    detail: Option<String>,
    is_bad: bool,
    remedy: Option<Safe>,
    next_attempt: Option<RunId>,
    links: Vec<Link>,
    run: RunId,
    /// Whether what the agent printed can be had as it was.
    pub(super) raw: bool,
}

/// A link to something on GitHub.
pub(super) struct Link {
    href: String,
    text: String,
}

impl StateView {
    pub(super) async fn of(context: &Context, scene: &Scene, state: &State) -> Result<Self, Fault> {
        let run = &state.run;
        // While an agent works, everything is in the row: nobody is asked, however many watch.
        let facts = match run.status {
            Status::Queued | Status::Done => status_facts(context, run).await?,
            _ => StatusFacts {
                repository_url: scene.github(context),
                out_of_service: run.runner.as_deref().and_then(|name| context.runners.out_of_service(name)),
                ..StatusFacts::default()
            },
        };
        let now = context.clock.now();
        let over = run.status == Status::Done;
        let detail = run.detail.clone().filter(|detail| over && !detail.trim().is_empty());
        Ok(Self {
            badge: Badge { status: run.status, outcome: run.outcome },
            agent: run.agent.clone(),
            model: run.model.clone(),
            runner: run.runner.clone(),
            elapsed: run.started_at.filter(|_| run.ended_at.is_none()).map(|since| Elapsed { since, now }),
            took: run.started_at.zip(run.ended_at).map(|(from, to)| to - from),
            usage: state.usage,
            headline: Safe(markup::html(&headline(run, &facts))),
            warnings: warnings(run, &facts),
            detail,
            is_bad: over && run.outcome != Some(Outcome::Succeeded),
            remedy: facts.remedy.as_ref().filter(|_| facts.next_attempt.is_none()).map(|text| Safe(markup::html(text))),
            next_attempt: facts.next_attempt,
            links: links(context, scene, run).await?,
            run: run.id,
            // It goes after a while; one that is being written is there without a look at the disk, however many watch.
            raw: if over { feed::has_journal(context, run.id).await } else { run.started_at.is_some() },
        })
    }

    fn short(run: &RunId) -> String {
        short_run(run)
    }

    fn tokens(&self) -> Option<(i64, i64)> {
        let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let Usage { input_tokens, output_tokens, .. } = self.usage;
        (input_tokens + output_tokens > 0).then(|| (count(input_tokens), count(output_tokens)))
    }
}

fn headline(run: &Run, facts: &StatusFacts) -> String {
    match run.status {
        Status::Queued => match (facts.position, &facts.waits_for) {
            (Some(place), Some(why)) => format!("Waits at place {place} of the queue: {}", quoted_line(why, SHOWN)),
            (Some(place), None) => format!("Waits at place {place} of the queue."),
            (None, _) => "Waits in the queue.".to_owned(),
        },
        Status::Preparing => run.phase.map_or("Looks at the runner", steps::phase_words).to_owned() + ".",
        Status::Running => match run.turn {
            1 => "The agent works.".to_owned(),
            turn => format!("The agent works, asked once more (turn {turn})."),
        },
        Status::Publishing => "The agent is done; its result is being published.".to_owned(),
        Status::Done => wording::ended(run, facts),
    }
}

fn warnings(run: &Run, facts: &StatusFacts) -> Vec<Safe> {
    let mut warnings = Vec::new();
    if run.status != Status::Done {
        if let Some(why) = &facts.out_of_service {
            warnings.push(format!("The runner is out of service: it {}.", quoted_line(why, SHOWN)));
        } else if run.unreachable_since.is_some() {
            warnings.push("The runner does not answer. The agent goes on there, and this is picked up where it was when the runner is back.".to_owned());
        }
        if run.cancel_at.is_some() {
            let by = run.cancel_by.as_deref().unwrap_or("somebody");
            warnings.push(format!("{} asked to end it, which is under way.", quoted_line(by, SHOWN)));
        }
    }
    if let Some(note) = &run.session_note {
        warnings.push(note.clone());
    }
    warnings.iter().map(|text| Safe(markup::html(text))).collect()
}

async fn links(context: &Context, scene: &Scene, run: &Run) -> Result<Vec<Link>, Fault> {
    let github = scene.github(context);
    let mut links = Vec::new();
    let mut link = |text: String, href: String| links.push(Link { href, text });
    if let Some(pull) = run.pull.or_else(|| scene.line.as_ref().and_then(|line| line.pull)) {
        link(format!("Pull request #{pull}"), format!("{github}/pull/{pull}"));
    }
    if let Some(pin) = &run.ask.pin {
        link(format!("Pull request #{}", pin.pull), format!("{github}/pull/{}", pin.pull));
    }
    if let Some(url) = run.review_url.as_ref().filter(|url| url.starts_with(&context.app.server_url)) {
        link("Review".to_owned(), url.clone());
    }
    // Comments stay where they are, so that who watches a working agent need not ask for them again and again.
    if run.status == Status::Done {
        for comment in db::reports::comments_of(&mut *context.db.read().await?, run.id).await? {
            let what = if comment.kind == "final" { "Comment on the pull request" } else { "Status comment" };
            link(what.to_owned(), format!("{github}/issues/{}#issuecomment-{}", comment.number, comment.id));
        }
    }
    Ok(links)
}
