//! What GitHub says at the time of a decision, asked all at once: the decision stands on the path from a label to a working agent.

use crate::context::Context;
use crate::db::lines::LineState;
use crate::github::{ApiError, issues, permission, pulls};
use crate::model::{Account, Number, Repository};
use crate::run::plan::{self, PlanError};
use crate::trigger::decide::{Standing, standing};
use crate::trigger::policy::Policy;

use super::Trouble;
use super::screen::Asked;

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
    /// Id of the newest `labeled` event of the trigger label; `None` where no label is meant or it was taken off again.
    pub labeled_event: Option<i64>,
}

/// Whether the actor may ask, by GitHub's answer for that account alone. An error is no answer.
pub async fn entitled(context: &Context, repository: &Repository, actor: &Account) -> Result<bool, ApiError> {
    let found = permission::of_login(&context.github, repository, &actor.login).await?;
    Ok(standing(actor, found.role.may_write(), found.user) == Standing::Entitled)
}

/// Asks GitHub for everything that the decision needs, and whether the actor is entitled to one.
pub async fn gather(
    context: &Context,
    repository: &Repository,
    asked: &Asked,
    subject: Number,
) -> Result<Option<GitHubFacts>, Trouble> {
    let (entitled, issue, about, policy, labeled) = tokio::join!(
        entitled(context, repository, &asked.actor),
        issues::get(&context.github, repository, subject),
        plan::about(context, repository),
        plan::policy(context, repository),
        labeled_event(context, repository, asked),
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
        (Some(_), true) => Some(labeled?.ok_or_else(|| not_listed_yet(asked.number))?),
        _ => None,
    };
    Ok(Some(GitHubFacts {
        open: issue.is_open(),
        archived: about.archived,
        author: issue.user.map(|user| user.account.login),
        title: issue.title,
        body: issue.body,
        policy,
        labeled_event,
    }))
}

async fn labeled_event(context: &Context, repository: &Repository, asked: &Asked) -> Result<Option<i64>, ApiError> {
    match &asked.label {
        Some(label) => {
            Ok(issues::newest_labeled(&context.github, repository, asked.number, label).await?.map(|event| event.id))
        }
        None => Ok(None),
    }
}

/// How the pull request of an open line ended, if it did: a merged or closed one is not gone on with.
pub async fn pull_state(
    context: &Context,
    repository: &Repository,
    pull: Number,
) -> Result<Option<LineState>, ApiError> {
    match pulls::get(&context.github, repository, pull).await {
        Ok(pull) if pull.is_open() => Ok(None),
        Ok(pull) if pull.is_merged() => Ok(Some(LineState::Merged)),
        Ok(_) => Ok(Some(LineState::Closed)),
        Err(error) if error.is_not_found() => Ok(Some(LineState::Closed)),
        Err(error) => Err(error),
    }
}

/// GitHub's lists may lag behind its webhooks.
fn not_listed_yet(number: Number) -> ApiError {
    ApiError::Unavailable {
        call: format!("events of #{number}"),
        message: "the labeled event is not listed yet".to_owned(),
        ambiguous: false,
        answered: false,
        not_before: None,
    }
}
