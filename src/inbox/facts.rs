//! What GitHub says at the time of a decision, asked all at once: the decision stands on the path from a label to a working agent.

use crate::context::Context;
use crate::db;
use crate::db::repositories::Traits;
use crate::db::tasks::Task;
use crate::github::issues::{self, Issue, Label, Labeled};
use crate::github::pulls::{self, PullRequest};
use crate::github::{ApiError, permission};
use crate::model::{Account, LineState, Millis, Number, Repository};
use crate::run::plan::{self, PlanError};
use crate::trigger::decide::{Standing, standing};
use crate::trigger::policy::Policy;

use super::Trouble;
use super::screen::Asked;

/// How long what GitHub said of an issue or pull request is not asked for again: a review that comes is acted on right away.
const MOMENT: Millis = 5_000;

/// What GitHub says.
pub struct GitHubFacts {
    /// Whether the issue or pull request is open now.
    pub open: bool,
    /// Whether the repository is archived now.
    pub archived: bool,
    /// Title and text as they are now.
    pub title: String,
    /// See `title`.
    pub body: String,
    /// Who wrote it; nobody for a deleted account.
    pub author: Option<String>,
    /// `.github/track.yml`, or what is wrong with it.
    pub policy: Result<Policy, String>,
    /// Whether the trigger label is on; false where no label is meant.
    pub label_is_on: bool,
    /// The newest `labeled` event of the trigger label as far as GitHub lists it, while the label is on.
    pub labeled_event: Option<Labeled>,
    /// The pull request that it is about.
    pub pull: Option<PullRequest>,
    /// What the repository is like now.
    pub traits: Traits,
}

/// What an issue, a pull request or a private task says, and whether it is open.
pub struct Words {
    /// Whether it can be worked on.
    pub open: bool,
    /// Its title.
    pub title: String,
    /// Its text.
    pub body: String,
    /// Who wrote it; nobody for a deleted account.
    pub author: Option<String>,
    labels: Vec<Label>,
}

impl From<Issue> for Words {
    fn from(issue: Issue) -> Self {
        Self {
            open: issue.is_open(),
            title: issue.title,
            body: issue.body,
            author: issue.user.map(|user| user.account.login),
            labels: issue.labels,
        }
    }
}

/// Whether the actor may ask, by GitHub's answer for that account alone. An error is no answer.
pub async fn entitled(context: &Context, repository: &Repository, actor: &Account) -> Result<bool, ApiError> {
    if repository.installation.is_none() {
        // GitHub tells nobody's rights there. The operator asked by hand, and nothing of it goes to GitHub.
        return Ok(true);
    }
    let found = permission::of_login(&context.github, repository, &actor.login).await?;
    Ok(standing(actor, found.role.may_write(), found.user) == Standing::Entitled)
}

/// Asks GitHub for everything that the decision needs, and whether the actor is entitled to one. `pull` is the pull request that it is about:
/// the one on which it was said, else that of the open line.
pub async fn gather(
    context: &Context,
    repository: &Repository,
    asked: &Asked,
    (subject, pull): (Number, Option<Number>),
) -> Result<Option<GitHubFacts>, Trouble> {
    let (entitled, issue, about, policy, labeled, pull) = tokio::join!(
        entitled(context, repository, &asked.actor),
        words_of(context, repository, subject),
        plan::about(context, repository),
        plan::policy(context, repository),
        labeled_event(context, repository, asked),
        async {
            match pull {
                Some(number) => pull_of(context, repository, number).await,
                None => Ok(None),
            }
        },
    );
    if !entitled? {
        return Ok(None);
    }
    let (issue, about) = (issue?, about?);
    let policy = match policy {
        Ok(policy) => Ok(policy),
        Err(PlanError::Unusable(_, mistake)) => Err(mistake),
        Err(PlanError::GitHub(error)) => return Err(error.into()),
        Err(PlanError::Other(error)) => return Err(error.into()),
    };
    let still_on =
        asked.label.as_ref().is_none_or(|label| issue.labels.iter().any(|on| on.name.eq_ignore_ascii_case(label)));
    let labeled_event = match (&asked.label, still_on) {
        (Some(_), true) => labeled?,
        _ => None,
    };
    Ok(Some(GitHubFacts {
        open: issue.open,
        archived: about.archived,
        author: issue.author,
        title: issue.title,
        body: issue.body,
        policy,
        label_is_on: asked.label.is_some() && still_on,
        labeled_event,
        pull: pull?,
        traits: super::repositories::traits(&about),
    }))
}

async fn labeled_event(context: &Context, repository: &Repository, asked: &Asked) -> Result<Option<Labeled>, ApiError> {
    match &asked.label {
        Some(label) => issues::newest_labeled(&context.github, repository, asked.number, label).await,
        None => Ok(None),
    }
}

/// A pull request as it is now; `None` where there is none of that number. What it is like is remembered for a moment.
pub async fn pull_of(
    context: &Context,
    repository: &Repository,
    number: Number,
) -> Result<Option<PullRequest>, ApiError> {
    let asked = context.clock.now();
    match pulls::get(&context.github, repository, number).await {
        Ok(pull) => {
            context.pulls.learned((repository.id, number), asked, &pull);
            Ok(Some(pull))
        }
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// A pull request as it was a moment ago, when the review came that is acted on now.
pub async fn recent_pull(
    context: &Context,
    repository: &Repository,
    number: Number,
) -> Result<Option<PullRequest>, ApiError> {
    match context.pulls.since((repository.id, number), context.clock.now() - MOMENT) {
        Some(pull) => Ok(Some(pull)),
        None => pull_of(context, repository, number).await,
    }
}

/// The same for what the thread itself says.
pub async fn recent_words(context: &Context, repository: &Repository, number: Number) -> Result<Words, Trouble> {
    match context.issues.since((repository.id, number), context.clock.now() - MOMENT) {
        Some(issue) => Ok(issue.into()),
        None => words_of(context, repository, number).await,
    }
}

/// What a thread says now: GitHub is asked of issues and pull requests, and knows nothing of a private task.
async fn words_of(context: &Context, repository: &Repository, number: Number) -> Result<Words, Trouble> {
    if !number.is_private() {
        return Ok(issue_of(context, repository, number).await?.into());
    }
    let task = task_of(context, repository, number).await?;
    let task = task.ok_or_else(|| anyhow::anyhow!("{} of {} is not stored", number.named(), repository.name))?;
    Ok(Words {
        open: task.closed_at.is_none(),
        title: task.words.title,
        body: task.words.body,
        author: Some(task.words.author.login),
        labels: Vec::new(),
    })
}

/// The private task of a number.
pub async fn task_of(context: &Context, repository: &Repository, number: Number) -> Result<Option<Task>, Trouble> {
    let mut conn = context.db.read().await?;
    let Some(thread) = db::threads::find(&mut conn, repository.id, number).await? else { return Ok(None) };
    Ok(db::tasks::of_thread(&mut conn, thread.id).await?)
}

async fn issue_of(context: &Context, repository: &Repository, number: Number) -> Result<Issue, ApiError> {
    let asked = context.clock.now();
    let issue = issues::get(&context.github, repository, number).await?;
    context.issues.learned((repository.id, number), asked, &issue);
    Ok(issue)
}

/// How the pull request of a line ended, if it did: a merged or closed one is not gone on with.
pub fn ended(pull: Option<&PullRequest>) -> Option<LineState> {
    match pull {
        Some(pull) if pull.is_open() => None,
        Some(pull) if pull.is_merged() => Some(LineState::Merged),
        _ => Some(LineState::Closed),
    }
}

/// How long something is waited for that GitHub told of and does not list yet.
pub const LISTED_WITHIN: Millis = 60_000;

/// GitHub's lists may lag behind its webhooks.
pub fn not_listed_yet(number: Number) -> ApiError {
    ApiError::Unavailable {
        call: format!("lists of #{number}"),
        message: "what it told of is not listed yet".to_owned(),
        ambiguous: false,
        answered: false,
        not_before: None,
    }
}
