//! Who may be on the page, and as what: whom `TRACK_ADMINS` names, and viewers, who may write in a repository that the bot serves (T42).
//!
//! People are compared by GitHub's id. A login of the configuration means the account that had it when it first signed in (T16).

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::StatusCode;
use futures_util::StreamExt as _;
use futures_util::stream;

use super::Admin;
use super::fault::Fault;
use super::person::Scope;
use crate::db;
use crate::db::sign_ins::SignedIn;
use crate::github::app;
use crate::github::{permission, teams};
use crate::model::{Account, AccountId, Millis, RepositoryId, Role};

/// Questions to GitHub at a time.
const AT_ONCE: usize = 8;
/// What GitHub said of a person's rights holds so long.
const HOLDS: Millis = 15 * 60_000;
/// And so long where it could not say it of all repositories.
const HOLDS_IN_TROUBLE: Millis = 60_000;

/// What was learned of viewers' rights.
#[derive(Default)]
pub(super) struct Rights(Mutex<HashMap<AccountId, Learned>>);

#[derive(Clone)]
struct Learned {
    until: Millis,
    /// Where they may write.
    ids: Arc<HashSet<RepositoryId>>,
    /// Of some repositories GitHub did not say it.
    in_part: bool,
}

/// A stored account that a login of the configuration means.
fn key(login: &str) -> String {
    format!("account:{}", login.to_ascii_lowercase())
}

/// Whether the configuration still lets somebody be what they are, as far as that is known without asking.
pub(super) fn may_still_be(admin: &Admin, account: &Account, role: Role) -> bool {
    let admins = &admin.context().config.admins;
    match role {
        Role::Viewer => true,
        // Of an App whose owner is the admin, and of teams, GitHub is asked in time.
        Role::Admin => {
            admins.is_empty()
                || admins.iter().any(|named| named.contains('/'))
                || admins.iter().any(|named| named.eq_ignore_ascii_case(&account.login))
        }
    }
}

/// What somebody may do here; `None`: nothing.
///
/// # Errors
/// Where GitHub has to be asked and does not answer: that is no yes.
pub(super) async fn role_of(admin: &Admin, account: &Account) -> Result<Option<Role>, Fault> {
    if is_admin(admin, account).await? {
        return Ok(Some(Role::Admin));
    }
    let learned = repositories_of(admin, account).await?;
    if learned.ids.is_empty() && learned.in_part {
        return Err(unanswered("it does not say where they may write"));
    }
    Ok((!learned.ids.is_empty()).then_some(Role::Viewer))
}

async fn is_admin(admin: &Admin, account: &Account) -> Result<bool, Fault> {
    let context = admin.context();
    let named = &context.config.admins;
    if named.is_empty() {
        let owner = app::me(&context.github).await.map_err(unanswered)?.owner;
        return Ok(owner.kind == "User" && owner.account.id == account.id);
    }
    if let Some(login) = named.iter().find(|named| named.eq_ignore_ascii_case(&account.login)) {
        let key = key(login);
        let mut tx = context.db.begin().await?;
        let meant = db::settings::get(&mut tx, &key).await?;
        if meant.is_none() {
            db::settings::set(&mut tx, &key, &account.id.to_string()).await?;
        }
        tx.commit().await?;
        if meant.is_none_or(|meant| meant == account.id.to_string()) {
            return Ok(true);
        }
        tracing::warn!("{login} of TRACK_ADMINS is another account by now than it was: it is not let in");
    }
    let all_teams: Vec<(&str, &str)> = named.iter().filter_map(|named| named.split_once('/')).collect();
    for (org, team) in all_teams {
        let via = db::repositories::of_owner(&mut *context.db.read().await?, org).await?;
        let Some(via) = via else {
            tracing::warn!("TRACK_ADMINS names the team {org}/{team}, and the App serves no repository of {org}");
            continue;
        };
        if teams::has_member(&context.github, &via, (org, team), &account.login).await.map_err(unanswered)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Which repositories somebody sees.
pub(super) async fn scope_of(admin: &Admin, signed_in: &SignedIn) -> Result<Scope, Fault> {
    match (signed_in.role, &signed_in.account) {
        (Role::Admin, _) => Ok(Scope::All),
        (Role::Viewer, Some(account)) => Ok(Scope::Only(repositories_of(admin, account).await?.ids)),
        (Role::Viewer, None) => Ok(Scope::Only(Arc::default())),
    }
}

/// The repositories in which somebody may write, by GitHub's answer of the last quarter of an hour. One of which GitHub does not say it is none.
async fn repositories_of(admin: &Admin, account: &Account) -> Result<Learned, Fault> {
    let context = admin.context();
    let now = context.clock.now();
    let known = admin.rights().0.lock().unwrap_or_else(PoisonError::into_inner).get(&account.id).cloned();
    if let Some(known) = known.filter(|known| known.until > now) {
        return Ok(known);
    }
    let all = db::repositories::installed(&mut *context.db.read().await?).await?;
    let asking: Vec<_> = all
        .into_iter()
        .map(|repository| {
            let (github, login) = (context.github.clone(), account.login.clone());
            async move { (repository.id, permission::of_login(&github, &repository, &login).await) }
        })
        .collect();
    let answers: Vec<_> = stream::iter(asking).buffer_unordered(AT_ONCE).collect().await;
    let mut in_part = false;
    let mut ids = HashSet::new();
    for (id, answer) in answers {
        match answer {
            Ok(of) if of.role.may_write() && of.user == Some(account.id) => _ = ids.insert(id),
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(%error, "GitHub does not say what {} may do in {id}", account.login);
                in_part = true;
            }
        }
    }
    let until = now + if in_part { HOLDS_IN_TROUBLE } else { HOLDS };
    let learned = Learned { until, ids: Arc::new(ids), in_part };
    let mut rights = admin.rights().0.lock().unwrap_or_else(PoisonError::into_inner);
    rights.retain(|_, learned| learned.until > now);
    if !learned.ids.is_empty() || !in_part {
        rights.insert(account.id, learned.clone());
    }
    Ok(learned)
}

fn unanswered(error: impl std::fmt::Display) -> Fault {
    tracing::warn!("GitHub cannot say who may be on the page: {error}");
    Fault::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "GitHub has to confirm who you are, and does not answer. Try again in a minute; `track doctor` on the bot's machine says more.",
    )
}
