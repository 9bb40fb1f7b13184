//! The main users of a line of work: whose reviews start follow-ups, and who is told when there is something to look at.

use anyhow::Result;
use tracing::warn;

use super::trouble::Trouble;
use crate::context::Context;
use crate::db;
use crate::github::users;
use crate::model::{Account, AccountId, LineId, Repository};
use crate::trigger::policy::Policy;

/// The server's main users, else the repository's, else who asked for the line's newest run, if it is about a line.
pub async fn main_users(
    context: &Context,
    repository: &Repository,
    policy: Option<&Policy>,
    line: Option<LineId>,
) -> Result<Vec<Account>, Trouble> {
    let named = match (&context.config.main_user[..], policy) {
        ([], Some(policy)) => &policy.main_users,
        _ => &context.config.main_user,
    };
    if let (true, Some(line)) = (named.is_empty(), line) {
        let runs = db::runs::of_line(&mut *context.db.read().await?, line, 1).await?;
        return Ok(runs.into_iter().map(|run| run.ask.requester).collect());
    }
    let mut mains = Vec::with_capacity(named.len());
    for login in named {
        match account(context, repository, login).await? {
            Some(main) => mains.push(main),
            None => warn!("GitHub knows no account {login}, which is named as a main user"),
        }
    }
    Ok(mains)
}

/// Whether the server or the repository names main users at all; where nobody does, whoever asked for a run is its main user.
pub fn are_named(context: &Context, policy: &Policy) -> bool {
    !context.config.main_user.is_empty() || !policy.main_users.is_empty()
}

/// The account behind a login that the operator names, asked of GitHub once and kept: a login that changes hands later means nobody else (T16).
pub async fn account(context: &Context, via: &Repository, login: &str) -> Result<Option<Account>, Trouble> {
    let key = format!("account:{}", login.to_ascii_lowercase());
    let stored = db::settings::get(&mut *context.db.read().await?, &key).await?;
    if let Some(id) = stored.and_then(|id| id.parse().ok()) {
        return Ok(Some(Account { id: AccountId(id), login: login.to_owned() }));
    }
    let Some(found) = users::get(&context.github, via, login).await? else { return Ok(None) };
    let mut tx = context.db.begin().await?;
    db::settings::set(&mut tx, &key, &found.id.to_string()).await?;
    tx.commit().await?;
    Ok(Some(found))
}
