//! Who looks at a page, and what they may see.

use std::collections::HashSet;
use std::sync::Arc;

use super::csrf;
use super::fault::Fault;
use crate::db::sign_ins::SignedIn;
use crate::model::{Account, RepositoryId, Role};

/// Which repositories a person sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All.
    All,
    /// Those in which they may write.
    Only(Arc<HashSet<RepositoryId>>),
}

/// Somebody who is signed in.
#[derive(Clone, Debug)]
pub struct Person {
    signed_in: SignedIn,
    scope: Scope,
    csrf: csrf::Key,
}

impl Person {
    pub(super) fn new(signed_in: SignedIn, scope: Scope, secret: &str) -> Self {
        Self { signed_in, scope, csrf: csrf::key(secret) }
    }

    /// The row.
    pub fn signed_in(&self) -> &SignedIn {
        &self.signed_in
    }

    /// Whether they may do everything.
    pub fn is_admin(&self) -> bool {
        self.signed_in.role == Role::Admin
    }

    /// What they may see.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Whether they may see what is in a repository.
    pub fn sees(&self, repository: RepositoryId) -> bool {
        match &self.scope {
            Scope::All => true,
            Scope::Only(ids) => ids.contains(&repository),
        }
    }

    /// Refuses what they may not see as if it were not there.
    pub fn must_see(&self, repository: RepositoryId, what: &str) -> Result<(), Fault> {
        if self.sees(repository) { Ok(()) } else { Err(Fault::not_found(what)) }
    }

    /// Who it is on GitHub.
    pub fn account(&self) -> Option<&Account> {
        self.signed_in.account.as_ref()
    }

    /// In whose name something is asked for.
    ///
    /// # Errors
    /// Where they came by a link that names nobody.
    pub fn actor(&self) -> Result<&Account, Fault> {
        self.account().ok_or_else(|| {
            Fault::refused(
                "You came by a link that names nobody, so nothing can be asked for in your name. Sign out, and on the bot's machine run `track login-link --as LOGIN`.",
            )
        })
    }

    /// What the tokens of their pages are made from.
    pub(super) fn csrf(&self) -> &csrf::Key {
        &self.csrf
    }

    /// A token for the forms of one page.
    pub fn token(&self) -> String {
        csrf::token(&self.csrf)
    }

    /// What parts of a page that several people look at depend on: those of one key see the same.
    pub fn view_key(&self) -> String {
        match &self.scope {
            Scope::All => "all".to_owned(),
            Scope::Only(_) => format!("only {}", self.signed_in.id),
        }
    }
}
