//! Who is asking: the App by a JSON Web Token, an installation or a person by a token, the App's client by its secret, or nobody.
//! <https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-json-web-token-jwt-for-a-github-app>

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use jsonwebtoken::{Algorithm, Validation};
use serde::Deserialize;
use serde_json::Value;

use super::rest::{Reply, refusal};
use super::world::{Repository, Token, World};
use super::{Inner, oauth};

/// A JSON Web Token may live this long, in seconds. GitHub's own example is issued a minute ago for ten minutes from
/// now, so that minute is allowed on top.
const LONGEST_LIFE: i64 = 600;

/// Clocks of the App and of GitHub may differ by this much, in seconds.
const SKEW: i64 = 5;

/// What a suspended installation hears.
pub(super) const SUSPENDED: &str = "This installation has been suspended";

/// Whoever sent a request.
#[derive(Clone, Debug)]
pub(super) enum Caller {
    /// No credential at all.
    Nobody,
    /// The App itself.
    App,
    /// The App's installation, with one of its tokens.
    Installation(String, Token),
    /// A person, through the App: their account.
    Person(i64),
    /// Whoever has the App's client id and secret.
    Client,
}

/// What a request needs: the name of a permission, and whether it writes.
pub(super) type Need = (&'static str, Access);

/// Reading or writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
}

#[derive(Deserialize)]
struct Claims {
    iss: Value,
    iat: f64,
    exp: f64,
}

/// Finds out who sent an API request.
///
/// # Errors
/// A credential that is wrong or expired: GitHub's refusal.
pub(super) fn identify(inner: &Inner, headers: &HeaderMap) -> Result<Caller, Reply> {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(Caller::Nobody) };
    let value = value.to_str().unwrap_or_default();
    let (scheme, credential) = value.split_once(' ').unwrap_or(("", value));
    if scheme.eq_ignore_ascii_case("basic") {
        let (id, secret) = basic(credential);
        let right = oauth::is_client(&inner.world(), &id, &secret);
        return if right { Ok(Caller::Client) } else { Err(refusal(401, "Bad credentials")) };
    }
    if !scheme.eq_ignore_ascii_case("bearer") && !scheme.eq_ignore_ascii_case("token") {
        return Err(refusal(401, "Bad credentials"));
    }
    match credential.split('.').count() {
        3 => app(inner, credential).map(|()| Caller::App),
        _ if credential.starts_with("ghu_") => {
            let person = oauth::person(&inner.world(), credential);
            person.map(Caller::Person).ok_or_else(|| refusal(401, "Bad credentials"))
        }
        _ => installation(&inner.world(), credential),
    }
}

/// Finds out who sent a git request: Basic authentication, the token as the password.
pub(super) fn identify_git(inner: &Inner, headers: &HeaderMap) -> Result<Caller, Reply> {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(Caller::Nobody) };
    let encoded = value.to_str().unwrap_or_default().strip_prefix("Basic ").unwrap_or_default();
    let (_, password) = basic(encoded);
    installation(&inner.world(), &password)
}

/// Name and password of Basic authentication; empty where there are none.
fn basic(encoded: &str) -> (String, String) {
    let decoded = base64::engine::general_purpose::STANDARD.decode(encoded).unwrap_or_default();
    let decoded = String::from_utf8_lossy(&decoded);
    decoded.split_once(':').map(|(name, password)| (name.to_owned(), password.to_owned())).unwrap_or_default()
}

/// Whether a token reaches a repository.
pub(super) fn in_scope(world: &World, token: &Token, repository: &Repository) -> bool {
    let installed = world.installed(repository).is_some_and(|on| on.id == token.installation);
    installed && token.repositories.as_ref().is_none_or(|ids| ids.contains(&repository.id))
}

/// Whether a token has a permission.
pub(super) fn allows(token: &Token, (permission, access): Need) -> bool {
    let granted = token.permissions.get(permission).map_or(0, |level| rank(level));
    granted >= if access == Access::Write { 2 } else { 1 }
}

/// How far a level reaches.
pub(super) fn rank(level: &str) -> u8 {
    match level {
        "read" => 1,
        "write" => 2,
        "admin" => 3,
        _ => 0,
    }
}

fn installation(world: &World, credential: &str) -> Result<Caller, Reply> {
    let token = world.tokens.get(credential).filter(|token| token.expires_at > world.now());
    let token = token.ok_or_else(|| refusal(401, "Bad credentials"))?;
    if world.installations.get(&token.installation).is_some_and(|of| of.suspended_at.is_some()) {
        return Err(refusal(403, SUSPENDED));
    }
    Ok(Caller::Installation(credential.to_owned(), token.clone()))
}

fn app(inner: &Inner, jwt: &str) -> Result<(), Reply> {
    // The times are checked below against the simulator's own clock.
    let mut validation = Validation::new(Algorithm::RS256);
    validation.validate_exp = false;
    validation.required_spec_claims.clear();
    let claims = jsonwebtoken::decode::<Claims>(jwt, &inner.world().key, &validation)
        .map_err(|_| refusal(401, "A JSON web token could not be decoded"))?
        .claims;
    let world = inner.world();
    let now = world.now() / 1000;
    let (issued, expires) = (claims.iat as i64, claims.exp as i64);
    let id = world.app.id.to_string();
    let issuer = claims.iss.as_str().map_or_else(|| claims.iss.to_string(), str::to_owned);
    let wrong = if issuer != id {
        "'Issuer' claim ('iss') must be the id of the App"
    } else if issued > now + SKEW {
        "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued"
    } else if expires <= now {
        "'Expiration time' claim ('exp') must be a numeric value representing the future time at which the assertion expires"
    } else if expires > now + LONGEST_LIFE + SKEW || expires > issued + LONGEST_LIFE + 60 {
        "'Expiration time' claim ('exp') is too far in the future"
    } else {
        return Ok(());
    };
    Err(refusal(401, wrong))
}
