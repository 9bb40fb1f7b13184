//! What an agent is told besides its task: what was asked and said before, what it has to answer, and whether it goes on in its session.

use anyhow::Result;
use futures_util::future::join_all;

use super::feedback;
use super::mains;
use super::plan::PlanError;
use super::trouble::Trouble;
use crate::agent::{Agent, Comment, Request};
use crate::context::Context;
use crate::db;
use crate::db::lines::Line;
use crate::db::runs::Run;
use crate::github::{ApiError, issues, permission};
use crate::model::{Ask, Feedback, Kind, Millis, Number, Outcome, Place, Repository, Session};
use crate::trigger::policy::Policy;

/// Comments of a conversation that are considered for the prompt, newest kept.
const REMARKS_LIMIT: usize = 50;
const SECOND: Millis = 1_000;
/// Questions to GitHub at a time.
const ASKED_AT_ONCE: usize = 8;
/// Runs of a line among which the one to go on from is looked for.
const RUNS_LOOKED_AT: i64 = 10;

/// What a run acts on and where it goes on, decided once.
#[derive(Clone, Debug, Default)]
pub struct Brief {
    /// Reviews and comments to act on.
    pub feedback: Feedback,
    /// The session with which the agent goes on.
    pub resumed: Option<Session>,
    /// How the session began, for people.
    pub note: Option<String>,
}

/// Gathers the brief of a run, or repeats what was gathered before.
pub async fn gather(
    context: &Context,
    repository: &Repository,
    (run, line): (&Run, Option<&Line>),
    agent: &Agent,
    policy: &Policy,
) -> Result<Brief, PlanError> {
    if let (Some(feedback), true) = (&run.feedback, run.fence > 0) {
        let (resumed, note) = (run.resumed.clone(), run.session_note.clone());
        return Ok(Brief { feedback: feedback.clone(), resumed, note });
    }
    let Some(line) = line else { return Ok(Brief::default()) };
    let earlier: Vec<Run> = db::runs::of_line(&mut *context.db.read().await?, line.id, RUNS_LOOKED_AT)
        .await?
        .into_iter()
        .filter(|earlier| earlier.id != run.id && earlier.fence > 0)
        .collect();
    let acts_on_feedback = run.kind == Kind::FollowUp || asked_in_review(context, run).await?;
    let feedback = match (&run.feedback, line.pull.filter(|_| acts_on_feedback)) {
        (Some(gathered), _) => gathered.clone(),
        (None, Some(pull)) => open_feedback(context, repository, run, (line, pull), (&earlier, policy)).await?,
        (None, None) => Feedback::default(),
    };
    let (resumed, note) = match run.kind {
        Kind::FollowUp => session(run, agent, &earlier),
        Kind::Task | Kind::Review => (None, None),
    };
    Ok(Brief { feedback, resumed, note })
}

/// A dispatch that stands in a review is one run with what the review says (B01).
async fn asked_in_review(context: &Context, run: &Run) -> Result<bool, PlanError> {
    let triggers = db::triggers::of_run(&mut *context.db.read().await?, run.id).await?;
    Ok(triggers.iter().any(|trigger| matches!(trigger.place, Place::Review(_))))
}

async fn open_feedback(
    context: &Context,
    repository: &Repository,
    run: &Run,
    (line, pull): (&Line, Number),
    (earlier, policy): (&[Run], &Policy),
) -> Result<Feedback, PlanError> {
    let mains = mains::main_users(context, repository, Some(policy), Some(line.id)).await.map_err(plan_error)?;
    if run.automatic {
        // A retry of an automatic follow-up: what it was given may have been answered meanwhile.
        let (feedback, _) = feedback::by_main_users(context, repository, pull, &mains).await.map_err(plan_error)?;
        return Ok(feedback);
    }
    // What a run that failed was given is still to be dealt with.
    let last = earlier.iter().find(|earlier| earlier.outcome == Some(Outcome::Succeeded));
    let since = last.map_or(0, |last| last.queued_at);
    let put_off = db::triggers::put_off(&mut *context.db.read().await?, repository.id, pull).await?;
    feedback::for_request(context, repository, pull, (run, &mains, since), &put_off).await.map_err(plan_error)
}

fn plan_error(trouble: Trouble) -> PlanError {
    match trouble {
        Trouble::GitHub(error) => PlanError::GitHub(error),
        other => PlanError::Other(other.into()),
    }
}

/// The session of the work that is followed up, if the agent and its machine are the same; else why a new one begins.
fn session(run: &Run, agent: &Agent, earlier: &[Run]) -> (Option<Session>, Option<String>) {
    let anew = |why: &str| {
        (None, Some(format!("The agent begins a new session ({why}) and was given the whole conversation.")))
    };
    if !agent.resumes() {
        return (None, None);
    }
    let Some(last) = earlier.iter().find(|earlier| earlier.session.is_some()) else {
        return anew("no earlier one was kept");
    };
    if last.agent != run.agent {
        return anew("the work was another agent's");
    }
    if last.runner != run.runner {
        return anew("the earlier one is on another runner");
    }
    (last.session.clone(), Some("The agent goes on in its earlier session.".to_owned()))
}

/// What was asked on this thread before, oldest first, so that the agent sees the whole conversation (B21).
pub fn earlier_requests(runs: &[Run], run: &Run) -> Vec<(Millis, Ask)> {
    runs.iter()
        .rev()
        .filter(|other| other.id != run.id && other.kind != Kind::Review)
        .map(|other| (other.queued_at, other.ask.clone()))
        .collect()
}

/// An earlier request as the prompt tells it.
pub fn request(at: Millis, ask: Ask) -> Request {
    Request { at, requester: ask.requester.login, kind: ask.kind, instructions: ask.instructions }
}

/// Whether a comment is as it was when something was asked. GitHub tells times in whole seconds, so the second of an edit has to be over.
fn as_it_was((created, updated): (Millis, Millis), asked_at: Millis) -> bool {
    if updated == created { created <= asked_at } else { updated + SECOND <= asked_at }
}

/// The conversation as far as it comes from people with write access and was not changed after the trigger (T17).
pub async fn remarks(
    context: &Context,
    repository: &Repository,
    number: Number,
    asked_at: Millis,
) -> Result<Vec<Comment>, ApiError> {
    if repository.installation.is_none() {
        // GitHub tells nobody's rights there.
        return Ok(Vec::new());
    }
    let comments = issues::comments_since(&context.github, repository, number, 0).await?;
    // The times of comments are by GitHub's clock.
    let asked_at = asked_at + context.github.skew();
    let mut said: Vec<_> = comments
        .into_iter()
        .filter(|comment| comment.performed_via_github_app.is_none())
        .filter(|comment| as_it_was((comment.created_at, comment.updated_at), asked_at))
        .filter_map(|comment| Some((comment.user.clone().filter(|user| user.kind != "Bot")?.account, comment)))
        .collect();
    let surplus = said.len().saturating_sub(REMARKS_LIMIT);
    said.drain(..surplus);
    let mut authors: Vec<_> = said.iter().map(|(author, _)| author.clone()).collect();
    authors.sort_by_key(|author| author.id);
    authors.dedup_by_key(|author| author.id);
    let mut trusted = Vec::new();
    for some in authors.chunks(ASKED_AT_ONCE) {
        let asked = some.iter().map(|author| permission::of_login(&context.github, repository, &author.login));
        for (author, found) in some.iter().zip(join_all(asked).await) {
            match found {
                Ok(found) if found.user == Some(author.id) && found.role.may_write() => trusted.push(author.id),
                Ok(_) => {}
                // Whoever GitHub will not tell of stays out; that is no reason to hold the run up.
                Err(error) if error.retry_at(1, context.clock.now()).is_none() => {}
                Err(error) => return Err(error),
            }
        }
    }
    let remarks = said
        .into_iter()
        .filter(|(author, _)| trusted.contains(&author.id))
        .map(|(author, comment)| Comment { at: comment.created_at, author: author.login, text: comment.body });
    Ok(remarks.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    // T17
    #[test]
    fn a_comment_counts_unless_it_may_have_been_changed_after_the_request() {
        let asked_at = 60_500;
        for (created, updated, counts) in [
            (50_000, 50_000, true),
            // Written in the second of the request, and not changed as far as anybody can tell.
            (60_000, 60_000, true),
            (61_000, 61_000, false),
            (50_000, 59_000, true),
            // Changed in the second of the request, which may have been afterwards.
            (50_000, 60_000, false),
            (50_000, 61_000, false),
        ] {
            assert_eq!(as_it_was((created, updated), asked_at), counts, "{created} {updated}");
        }
    }
}
