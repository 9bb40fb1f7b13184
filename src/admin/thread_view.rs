//! What a thread's page shows, gathered from the tables, and its parts that change while somebody looks.

use askama::Template;

use super::fault::Fault;
use super::live::Part;
use super::person::Person;
use super::view::{Ago, Badge, Elapsed, Safe, filters, short_run, span};
use crate::agent::Answer;
use crate::context::Context;
use crate::db;
use crate::db::decisions::Shown;
use crate::db::lines::Line;
use crate::db::runs::Run;
use crate::db::tasks::Task;
use crate::db::threads::Thread;
use crate::inbox::Trouble;
use crate::inbox::offers::offered;
use crate::model::{LineState, Millis, Number, Outcome, RunId, Status};
use crate::report::wording;
use crate::trigger::offers::{Action, Offer};

/// Runs of a thread that its page tells of.
const RUNS: i64 = 30;
const MINUTE: Millis = 60_000;
/// Decisions that its page lists.
const DECISIONS: i64 = 100;

/// A thread as somebody sees it.
pub(super) struct View {
    pub thread: Thread,
    pub title: String,
    /// `owner/name`.
    pub repository: String,
    /// Address of GitHub's pages.
    pub github: String,
    /// The words of a private task.
    pub task: Option<Task>,
    /// Newest first.
    pub runs: Vec<Told>,
    /// Oldest first.
    pub lines: Vec<Line>,
    /// Newest first.
    pub decisions: Vec<Shown>,
    /// What this person can ask for; nothing for a viewer.
    pub offers: Vec<Offer>,
    /// Live runs that this person may end without being an admin.
    pub mine: Vec<RunId>,
    pub is_admin: bool,
    /// Whether something can be asked for in this person's name.
    pub has_name: bool,
    /// The whole minute in which it is: parts that say the same are the same, and the page's script keeps times right.
    pub now: Millis,
}

/// A run with what people read of it.
pub(super) struct Told {
    pub run: Run,
    pub summary: Option<String>,
    pub notes: Option<String>,
    /// Why it did not succeed.
    pub error: Option<String>,
    /// What to do about it.
    pub remedy: Option<String>,
    pub given: Vec<Given>,
}

/// Something that a run had to deal with.
pub(super) struct Given {
    pub author: String,
    /// A review's state, or the place of a comment.
    pub about: String,
    pub text: String,
    /// What became of it, and the agent's words.
    pub answer: Option<(&'static str, String)>,
}

/// The number of the pull request that would be reviewed.
pub(super) async fn pull_of(context: &Context, thread: &Thread) -> Result<Option<Number>, Fault> {
    let mut conn = context.db.read().await?;
    let open = db::lines::open_of(&mut conn, thread.id).await?;
    let line = match open {
        Some(line) => Some(line),
        None => db::lines::newest_of(&mut conn, thread.id).await?,
    };
    Ok(line.and_then(|line| line.pull))
}

/// Gathers what a person sees of a thread.
pub(super) async fn gather(context: &Context, thread: &Thread, person: &Person) -> Result<View, Fault> {
    let mut conn = context.db.read().await?;
    let repository = db::repositories::get(&mut conn, thread.repository).await?;
    let task = db::tasks::of_thread(&mut conn, thread.id).await?;
    let lines = db::lines::of_thread(&mut conn, thread.id).await?;
    let runs = db::runs::of_thread(&mut conn, thread.id, RUNS).await?;
    let decisions = db::decisions::newest(&mut conn, thread.repository, thread.number, DECISIONS).await?;
    drop(conn);
    let offers = match person.account() {
        Some(actor) if person.is_admin() => offered(context, thread, actor).await.map_err(trouble)?,
        _ => Vec::new(),
    };
    let account = person.account().map(|account| account.id);
    let live = runs.iter().filter(|run| run.status != Status::Done && run.cancel_at.is_none());
    let mine = live.filter(|run| Some(run.ask.requester.id) == account).map(|run| run.id).collect();
    let title = match (&task, runs.first()) {
        (Some(task), _) => task.words.title.clone(),
        (None, Some(run)) => run.ask.title.clone(),
        (None, None) => thread.number.named(),
    };
    let told = runs.into_iter().map(|run| {
        let line = run.line.and_then(|id| lines.iter().find(|line| line.id == id)).map(|line| line.state);
        told(context, run, line)
    });
    Ok(View {
        thread: *thread,
        title: if title.trim().is_empty() { thread.number.named() } else { title },
        repository: repository.map(|repository| repository.name.to_string()).unwrap_or_default(),
        github: context.app.server_url.clone(),
        task,
        runs: told.collect(),
        lines,
        decisions,
        offers,
        mine,
        is_admin: person.is_admin(),
        has_name: person.account().is_some(),
        now: context.clock.now() / MINUTE * MINUTE,
    })
}

fn trouble(trouble: Trouble) -> Fault {
    match trouble {
        Trouble::Other(error) => error.into(),
        Trouble::GitHub(error) => anyhow::Error::from(error).into(),
    }
}

fn told(context: &Context, run: Run, line: Option<LineState>) -> Told {
    let said =
        |what: &str| run.answer.as_ref()?.get(what)?.as_str().filter(|text| !text.trim().is_empty()).map(str::to_owned);
    let failed = run.status == Status::Done && run.outcome != Some(Outcome::Succeeded);
    let error = failed.then(|| {
        let reason = run.reason.map_or("something broke in the bot itself", wording::reason_text);
        match run.detail.as_deref().map(str::trim).filter(|detail| !detail.is_empty()) {
            Some(detail) => format!("{reason}: {detail}"),
            None => reason.to_owned(),
        }
    });
    Told {
        summary: said("summary"),
        notes: said("notes"),
        remedy: if failed { context.remedy(&run, line) } else { None },
        error,
        given: given(&run),
        run,
    }
}

/// The feedback that a run was given, each with what its agent answered.
fn given(run: &Run) -> Vec<Given> {
    let Some(feedback) = &run.feedback else { return Vec::new() };
    let answer = run.answer.clone().and_then(|answer| Answer::stored(run.kind, answer));
    let replies = match &answer {
        Some(Answer::Work(work)) => &work.replies[..],
        _ => &[],
    };
    let reviews = feedback.reviews.iter().filter(|review| !review.text.trim().is_empty()).map(|review| Given {
        author: review.author.login.clone(),
        about: format!("review ({})", review.state.replace('_', " ")),
        text: review.text.clone(),
        answer: None,
    });
    let comments = feedback.comments.iter().map(|comment| Given {
        author: comment.author.login.clone(),
        about: match comment.line {
            Some(line) => format!("{}:{line}", comment.path),
            None => comment.path.clone(),
        },
        text: comment.text.clone(),
        answer: replies
            .iter()
            .find(|reply| reply.comment_id == comment.id)
            .map(|reply| (wording::disposition_word(reply.disposition), reply.body.clone())),
    });
    reviews.chain(comments).collect()
}

#[derive(Template)]
#[template(path = "thread_state.html")]
struct StatePart<'a> {
    view: &'a View,
}

#[derive(Template)]
#[template(path = "thread_actions.html")]
struct ActionsPart<'a> {
    view: &'a View,
}

#[derive(Template)]
#[template(path = "thread_talk.html")]
struct TalkPart<'a> {
    view: &'a View,
}

#[derive(Template)]
#[template(path = "thread_timeline.html")]
struct TimelinePart<'a> {
    view: &'a View,
}

/// The parts that change, as HTML.
pub(super) struct Rendered {
    pub state: String,
    pub actions: String,
    pub talk: String,
    pub timeline: String,
}

impl Rendered {
    /// The same as they are sent.
    pub fn parts(&self) -> Vec<Part> {
        [("state", &self.state), ("actions", &self.actions), ("talk", &self.talk), ("timeline", &self.timeline)]
            .into_iter()
            .map(|(name, html)| Part::new(name, html.clone()))
            .collect()
    }
}

impl View {
    /// Renders the parts that change.
    pub fn render(&self) -> Result<Rendered, Fault> {
        Ok(Rendered {
            state: StatePart { view: self }.render()?,
            actions: ActionsPart { view: self }.render()?,
            talk: TalkPart { view: self }.render()?,
            timeline: TimelinePart { view: self }.render()?,
        })
    }

    pub fn ago(&self, at: &Millis) -> Ago {
        Ago::new(*at, self.now.max(*at))
    }

    pub fn elapsed(&self, since: &Millis) -> Elapsed {
        Elapsed { since: *since, now: self.now.max(*since) }
    }

    pub fn badge(run: &Run) -> Badge {
        Badge { status: run.status, outcome: run.outcome }
    }

    pub fn short(run: &RunId) -> String {
        short_run(run)
    }

    /// The run that is live, else the newest.
    pub fn current(&self) -> Option<&Told> {
        self.runs.iter().find(|told| told.run.status != Status::Done).or(self.runs.first())
    }

    pub fn live(&self) -> impl Iterator<Item = &Told> {
        self.runs.iter().filter(|told| told.run.status != Status::Done)
    }

    pub fn is_closed(&self) -> bool {
        self.task.as_ref().is_some_and(|task| task.closed_at.is_some())
    }

    /// US dollars of the runs that are told of, where agents say.
    pub fn cost(&self) -> Option<f64> {
        let costs = self.runs.iter().filter_map(|told| told.run.usage.as_ref()?.cost_usd);
        costs.fold(None, |sum, cost| Some(sum.unwrap_or(0.0) + cost))
    }

    /// The agent's latest words while it works.
    pub fn progress(run: &Run) -> Option<&str> {
        run.progress.as_deref().filter(|_| run.status != Status::Done && run.ended_at.is_none())
    }

    pub fn took(run: &Run) -> Option<String> {
        Some(span(run.ended_at? - run.started_at?))
    }

    /// What somebody wanted, in a few words where they used none.
    pub fn wish(run: &Run) -> &'static str {
        use crate::model::Kind::{FollowUp, Review, Task};
        match (run.kind, run.automatic) {
            (FollowUp, true) => "by a review",
            (Task, _) => "asked for work",
            (FollowUp, false) => "asked for a follow-up",
            (Review, _) => "asked for a review",
        }
    }

    pub fn pull_url(&self, pull: &Number) -> String {
        format!("{}/{}/pull/{pull}", self.github, self.repository)
    }

    /// What was asked for and what happened; what was said by the way stands apart.
    pub fn happened(&self) -> impl Iterator<Item = &Shown> {
        self.decisions.iter().filter(|decision| decision.matters())
    }

    pub fn by_the_way(&self) -> usize {
        self.decisions.len() - self.happened().count()
    }

    pub fn line_class(line: &Line) -> &'static str {
        match line.state {
            LineState::Open => "live",
            LineState::Merged => "good",
            LineState::Closed | LineState::Superseded => "calm",
        }
    }

    /// The sentence of an offer.
    pub fn sentence(offer: &Offer) -> Safe {
        spans(&offer.sentence)
    }

    /// Whether an offer is asked for on a page of its own.
    pub fn is_asked_before(offer: &Offer) -> bool {
        offer.action == Action::Discard
    }

    pub fn lost_by_discarding(&self) -> Vec<String> {
        let over = self.runs.iter().filter(|told| told.run.status == Status::Done).count();
        let mut lost = vec![
            format!("{}: what was asked, answered and printed is shown no more.", plural(over, "run")),
            "Sessions of agents: the next run begins without what was said before.".to_owned(),
        ];
        lost.extend(self.workspaces());
        lost.push("Branches, pull requests and comments on GitHub stay.".to_owned());
        lost
    }

    pub fn lost_by_closing(&self) -> Vec<String> {
        let live: Vec<String> = self.live().map(|told| told.run.id.to_string()).collect();
        let mut lost = Vec::new();
        if !live.is_empty() {
            lost.push(format!("Ended: run {}. What it has committed is kept.", live.join(", ")));
        }
        lost.extend(self.workspaces());
        lost.push(
            "Branches and pull requests on GitHub stay, and so does the history here. The task can be opened again."
                .to_owned(),
        );
        lost
    }

    fn workspaces(&self) -> Option<String> {
        let mut runners: Vec<&str> = self.runs.iter().filter_map(|told| told.run.runner.as_deref()).collect();
        runners.sort_unstable();
        runners.dedup();
        (!runners.is_empty()).then(|| format!("Its files on {}: workspace, caches, logs.", runners.join(", ")))
    }
}

fn plural(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

/// A sentence in which backticks are the only marks.
fn spans(text: &str) -> Safe {
    let mut out = String::new();
    for (at, piece) in text.split('`').enumerate() {
        let escaped = crate::markup::escape(piece);
        if at % 2 == 1 { out.push_str(&format!("<code>{escaped}</code>")) } else { out.push_str(&escaped) }
    }
    Safe(out)
}
