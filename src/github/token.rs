//! The App's credentials: its own signed token, and installation tokens narrowed to one repository and few permissions.
//!
//! octocrab could make both, but not narrow permissions, not correct its clock by GitHub's, and not mint once for many callers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use futures_util::future::BoxFuture;
use hyper::{Method, StatusCode};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::app;
use super::client::{As, Caller, GitHub, Request};
use super::error::ApiError;
use crate::model::{InstallationId, Millis, Repository, RepositoryId};

/// A token is used this long at most, though GitHub's live an hour: a run's push must not meet the end of one (T31).
const LONGEST_USE: Millis = 45 * 60 * 1_000;
/// A token that ends sooner than this is not handed out from the cache; one that lives shorter than twice as long is used for half its life.
const MARGIN: Millis = 60_000;

/// The App's id and key.
pub(super) struct AppKey {
    pub app_id: u64,
    key: EncodingKey,
}

/// Claims of the App's own token
/// (<https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-json-web-token-jwt-for-a-github-app>).
#[derive(Serialize)]
struct Claims {
    iss: u64,
    iat: i64,
    exp: i64,
}

impl AppKey {
    /// Reads the key and signs once with it, so that a bad key is found at start.
    pub fn new(app_id: u64, pem: &SecretString) -> anyhow::Result<Self> {
        const REMEDY: &str = "the App's private key is not usable: it must be the RSA key in PEM that GitHub gave (-----BEGIN RSA PRIVATE KEY-----); \
            set GITHUB_APP_PRIVATE_KEY or GITHUB_APP_PRIVATE_KEY_PATH";
        let key = EncodingKey::from_rsa_pem(pem.expose_secret().as_bytes()).context(REMEDY)?;
        let key = Self { app_id, key };
        key.sign(0).context(REMEDY)?;
        Ok(key)
    }

    /// The App's token at GitHub's time `now`: issued a minute ago and good for nine, within the ten that GitHub allows.
    fn sign(&self, now: Millis) -> Result<SecretString, jsonwebtoken::errors::Error> {
        let now = now / 1_000;
        let claims = Claims { iss: self.app_id, iat: now - 60, exp: now + 540 };
        jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, &self.key).map(SecretString::from)
    }
}

/// What a token may do in its one repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Access {
    /// Calls of the API: comments, reactions, labels and pull requests; files are only read.
    Api,
    /// `git fetch`.
    GitRead,
    /// `git push`.
    GitWrite,
    /// Check runs, for which the App need not have been granted anything: a token of its own, so that no other call fails with it.
    Checks,
    /// Resolving review threads: GitHub wants `contents: write` for it, though it touches no file
    /// (<https://github.com/orgs/community/discussions/44650>).
    Threads,
    /// Who is in a team, where the page's allow-list names teams: the only thing for which the App need be granted it.
    Members,
}

impl Access {
    /// The permissions asked for. `workflows` is never among them, so GitHub itself refuses a push that touches one.
    fn permissions(self) -> serde_json::Value {
        match self {
            Self::Api => json!({ "contents": "read", "issues": "write", "metadata": "read", "pull_requests": "write" }),
            Self::GitRead => json!({ "contents": "read" }),
            Self::GitWrite => json!({ "contents": "write" }),
            Self::Checks => json!({ "checks": "read", "metadata": "read" }),
            Self::Threads => json!({ "contents": "write", "metadata": "read", "pull_requests": "write" }),
            Self::Members => json!({ "members": "read", "metadata": "read" }),
        }
    }
}

/// Which token is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Scope {
    installation: InstallationId,
    repository: RepositoryId,
    access: Access,
}

struct Token {
    secret: SecretString,
    /// By our clock.
    until: Millis,
}

/// Each token has a lock of its own, held while it is made: callers that come meanwhile wait for the same one.
type Slot = Arc<tokio::sync::Mutex<Option<Token>>>;

/// The tokens that are in use.
#[derive(Default)]
pub(super) struct Tokens {
    slots: Mutex<HashMap<Scope, Slot>>,
    /// Through which installation a repository is reached by now, by the one through which it was.
    moved: Mutex<HashMap<(RepositoryId, InstallationId), InstallationId>>,
}

impl Tokens {
    fn slot(&self, scope: Scope) -> Slot {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner).entry(scope).or_default().clone()
    }

    /// What a token for a repository is for; `None` where the App is not installed, so that there is none.
    fn scope(&self, repo: &Repository, access: Access) -> Option<Scope> {
        let known = repo.installation?;
        let moved = self.moved.lock().unwrap_or_else(PoisonError::into_inner);
        let installation = moved.get(&(repo.id, known)).copied().unwrap_or(known);
        Some(Scope { installation, repository: repo.id, access })
    }

    fn moved(&self, repository: RepositoryId, (from, to): (InstallationId, InstallationId)) {
        self.moved.lock().unwrap_or_else(PoisonError::into_inner).insert((repository, from), to);
    }
}

impl GitHub {
    /// A token for git and nothing else, for this repository and no other: `contents: write` or `contents: read`. `None` where the App is
    /// not installed: git then reads what everybody may.
    ///
    /// It is kept for at most 45 minutes; [`GitHub::forget_git_token`] after git was refused with it makes the next call mint a new one.
    ///
    /// # Errors
    /// Also while a rate limit holds: git's requests count as the installation's (F10).
    pub async fn git_token(&self, repo: &Repository, write: bool) -> Result<Option<SecretString>, ApiError> {
        self.check_limit(Caller::of(repo), || if write { "git push" } else { "git fetch" }.to_owned())?;
        Ok(self.token(repo, git_access(write)).await?.map(|(_, token)| token))
    }

    /// Drops a git token that the server no longer accepts.
    pub async fn forget_git_token(&self, repo: &Repository, write: bool) {
        if let Some(scope) = self.0.tokens.scope(repo, git_access(write)) {
            *self.0.tokens.slot(scope).lock().await = None;
        }
    }

    /// Ends the git tokens of a repository before their time (T30). Where GitHub does not answer, they end by themselves within the hour.
    pub async fn revoke_git_tokens(&self, repo: &Repository) {
        for access in [Access::GitRead, Access::GitWrite] {
            let Some(scope) = self.0.tokens.scope(repo, access) else { continue };
            let Some(token) = self.0.tokens.slot(scope).lock().await.take() else { continue };
            let revoked = match self.check_limit(Caller::of(repo), || "revoking a token".to_owned()) {
                Ok(()) => self.give_back(&token.secret).await,
                Err(limited) => Err(limited),
            };
            tracing::debug!(?access, ?revoked, "a git token of {} is given back", repo.name);
        }
    }

    /// The App's own token.
    pub(super) fn app_token(&self) -> Result<SecretString, ApiError> {
        self.0.key.sign(self.github_now()).map_err(|error| ApiError::Unauthorized {
            call: "signing as the App".to_owned(),
            message: error.to_string(),
        })
    }

    /// A token for a repository, from the cache or minted once for all who wait, and for what it is good; `None` where the App is not installed.
    ///
    /// Reinstalling the App and transferring a repository change the installation through which it is reached, and the webhook that tells
    /// may be long in coming; so GitHub is asked where the known one gives nothing.
    pub(super) fn token<'a>(
        &'a self,
        repo: &'a Repository,
        access: Access,
    ) -> BoxFuture<'a, Result<Option<(Scope, SecretString)>, ApiError>> {
        // Boxed because minting and asking are calls themselves, and calls need tokens.
        Box::pin(async move {
            let (Some(known), Some(scope)) = (repo.installation, self.0.tokens.scope(repo, access)) else {
                return Ok(None);
            };
            let refused = match self.cached(scope).await {
                Err(error @ ApiError::NoInstallation { .. }) => error,
                result => return Ok(Some((scope, result?))),
            };
            let Ok(installation) = app::repository_installation(self, &repo.name).await else { return Err(refused) };
            if installation == scope.installation {
                return Err(refused);
            }
            let scope = Scope { installation, ..scope };
            let token = self.cached(scope).await?;
            tracing::info!("{} is reached through installation {installation} now", repo.name);
            self.0.tokens.moved(repo.id, (known, installation));
            Ok(Some((scope, token)))
        })
    }

    async fn cached(&self, scope: Scope) -> Result<SecretString, ApiError> {
        let slot = self.0.tokens.slot(scope);
        let mut token = slot.lock().await;
        if let Some(token) = &*token
            && token.until > self.0.clock.now()
        {
            return Ok(token.secret.clone());
        }
        *token = None;
        let minted = self.mint(scope).await?;
        Ok(token.insert(minted).secret.clone())
    }

    /// Drops a token unless another caller has replaced it already.
    pub(super) async fn forget_token(&self, scope: Scope, refused: &SecretString) {
        let slot = self.0.tokens.slot(scope);
        let mut token = slot.lock().await;
        if token.as_ref().is_some_and(|token| token.secret.expose_secret() == refused.expose_secret()) {
            *token = None;
        }
    }

    async fn mint(&self, scope: Scope) -> Result<Token, ApiError> {
        #[derive(Deserialize)]
        struct Minted {
            token: String,
            #[serde(deserialize_with = "super::millis")]
            expires_at: Millis,
        }

        let body = json!({ "repository_ids": [scope.repository], "permissions": scope.access.permissions() });
        let minted = self.new_token(scope.installation, &body, "token and expires_at").await;
        let minted: Minted = minted.map_err(about_installation)?;
        let now = self.0.clock.now();
        let life = minted.expires_at - self.skew() - now;
        Ok(Token { secret: minted.token.into(), until: now + (life - MARGIN.min(life / 2)).min(LONGEST_USE) })
    }

    /// Has GitHub make a token of an installation, narrowed so; answers what it tells with it.
    /// <https://docs.github.com/en/rest/apps/apps#create-an-installation-access-token-for-an-app>
    pub(super) async fn new_token<T: DeserializeOwned>(
        &self,
        installation: InstallationId,
        narrowed: &Value,
        told: &str,
    ) -> Result<T, ApiError> {
        let path = format!("/app/installations/{installation}/access_tokens");
        let mut request = Request { method: Method::POST, path, body: Some(narrowed.to_string()) };
        let answer = self.exchange(As::App, &mut request).await?;
        // The text of the error would quote the reply, which holds the token.
        serde_json::from_slice(&answer.body).map_err(|_| request.unreadable(format!("it holds no {told}")))
    }

    /// Ends a token before its time; answers GitHub's status.
    /// <https://docs.github.com/en/rest/apps/installations#revoke-an-installation-access-token>
    pub(super) async fn give_back(&self, token: &SecretString) -> Result<StatusCode, ApiError> {
        let request = Request { method: Method::DELETE, path: "/installation/token".to_owned(), body: None };
        Ok(self.send(Some(token), &request).await?.status)
    }
}

/// What GitHub says when it gives no token is about the installation, never about what the token was wanted for.
fn about_installation(error: ApiError) -> ApiError {
    match error {
        ApiError::NotFound { call, message } | ApiError::Refused { call, message, .. } => {
            ApiError::NoInstallation { call, message }
        }
        other => other,
    }
}

fn git_access(write: bool) -> Access {
    if write { Access::GitWrite } else { Access::GitRead }
}
