//! Signing people in with the App: the page on which they authorize it, and the exchange of what that gives for a token.
//! <https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-user-access-token-for-a-github-app>

use std::sync::Arc;

use axum::http::request::Parts;
use axum::http::{StatusCode, Uri, header};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::model::Millis;

use super::rest::Reply;
use super::web::{Fields, hidden, person_field, redirect, shown, told, urlencoded};
use super::world::World;
use super::{AppSettings, Inner, Sim, pages};
use crate::markup::escape;

/// Where codes are exchanged for tokens.
pub(super) const EXCHANGE: &str = "/login/oauth/access_token";

const CODE_LIFE: Millis = 10 * 60_000;
const TOKEN_LIFE: Millis = 8 * 3_600_000;
const REFRESH_LIFE: Millis = 184 * 24 * 3_600_000;

/// A code on its way to the App.
pub(super) struct Code {
    account: i64,
    redirect_uri: String,
    /// What the verifier has to hash to.
    challenge: Option<String>,
    expires_at: Millis,
}

/// What a token opens, and until when.
#[derive(Clone)]
pub(super) struct Grant {
    account: i64,
    expires_at: Millis,
}

impl Sim {
    /// Every token of a person that was made and not revoked, expired ones too.
    pub fn user_tokens(&self) -> Vec<String> {
        self.inner.world().web.tokens.keys().cloned().collect()
    }
}

/// Whether somebody knows the App's client secret.
pub(super) fn is_client(world: &World, id: &str, secret: &str) -> bool {
    id == world.app.client_id && secret == world.app.client_secret.expose_secret()
}

/// Whose token it is, while it lasts.
pub(super) fn person(world: &World, token: &str) -> Option<i64> {
    world.web.tokens.get(token).filter(|grant| grant.expires_at > world.now()).map(|grant| grant.account)
}

/// The page on which somebody authorizes the App.
pub(super) fn ask(world: &World, fields: &Fields) -> Response {
    let callback = match admitted(world, fields) {
        Ok(callback) => callback,
        Err(refused) => return *refused,
    };
    let name = escape(&world.app.name);
    let names = ["client_id", "redirect_uri", "state", "code_challenge", "code_challenge_method"];
    let carried = hidden(&names.map(|name| (name, fields.get(name))));
    let body = format!(
        "<h1>Authorize {name}</h1><div class=box><header><b>{name}</b> by {}</header><div>\
         <p>It wants to verify who you are on this GitHub, and to act on your behalf.</p>\
         <form method=post action=/login/oauth/authorize>{carried}<p>{}</p>\
         <p><button name=decision value=authorize>Authorize {name}</button> <button name=decision value=cancel>Cancel</button></p>\
         </form><p class=quiet>Authorizing leads to {}</p></div></div>",
        escape(&world.app.owner),
        person_field(world, fields.get("login")),
        escape(&callback),
    );
    shown(StatusCode::OK, pages::page(&format!("Authorize {}", world.app.name), &body), &[&callback])
}

/// The button was pressed. A program may leave out `decision`, as one that was signed in before and authorized then.
pub(super) fn decide(inner: &Arc<Inner>, fields: &Fields) -> Response {
    let mut world = inner.world();
    let callback = match admitted(&world, fields) {
        Ok(callback) => callback,
        Err(refused) => return *refused,
    };
    let state = fields.get("state").map(|state| ("state", state));
    if fields.get("decision") == Some("cancel") {
        let refused =
            [("error", "access_denied"), ("error_description", "The user has denied your application access.")];
        return redirect(&callback, &refused.into_iter().chain(state).collect::<Vec<_>>());
    }
    let Some(account) = world.acting(fields.get("login")) else {
        return told(StatusCode::UNPROCESSABLE_ENTITY, "Nobody", "There is no such person on this GitHub.");
    };
    let code = hex::encode(rand::random::<[u8; 10]>());
    let new = Code {
        account,
        redirect_uri: callback.clone(),
        challenge: fields.get("code_challenge").map(str::to_owned),
        expires_at: world.now() + CODE_LIFE,
    };
    world.web.codes.insert(code.clone(), new);
    redirect(&callback, &[("code", code.as_str())].into_iter().chain(state).collect::<Vec<_>>())
}

/// Where an authorization leads, if it may be asked for like this.
fn admitted(world: &World, fields: &Fields) -> Result<String, Box<Response>> {
    if fields.get("client_id") != Some(&world.app.client_id) {
        return Err(told(StatusCode::NOT_FOUND, "Not found", "No App has this client id.").into());
    }
    let Some(callback) = callback(&world.app, fields.get("redirect_uri")) else {
        let description = "The redirect_uri MUST match the registered callback URL for this application.";
        let state = fields.get("state").map(|state| ("state", state));
        let refused = [("error", "redirect_uri_mismatch"), ("error_description", description)];
        let refused: Vec<(&str, &str)> = refused.into_iter().chain(state).collect();
        return Err(Box::new(match world.app.callback_urls.first() {
            Some(registered) => redirect(registered, &refused),
            None => told(StatusCode::UNPROCESSABLE_ENTITY, "No callback URL", description),
        }));
    };
    if fields.get("code_challenge").is_some() && fields.get("code_challenge_method") != Some("S256") {
        let sentence = "The code_challenge_method must be S256.";
        return Err(told(StatusCode::UNPROCESSABLE_ENTITY, "No such method", sentence).into());
    }
    Ok(callback)
}

/// The registered callback that a request means.
fn callback(app: &AppSettings, wanted: Option<&str>) -> Option<String> {
    let Some(wanted) = wanted else { return app.callback_urls.first().cloned() };
    let same = |registered: &&String| registered.as_str() == wanted || same_but_for_the_port(registered, wanted);
    app.callback_urls.iter().any(|registered| same(&registered)).then(|| wanted.to_owned())
}

/// <https://docs.github.com/en/apps/oauth-apps/building-oauth-apps/authorizing-oauth-apps#loopback-urls>
fn same_but_for_the_port(registered: &str, wanted: &str) -> bool {
    let (Ok(registered), Ok(wanted)) = (registered.parse::<Uri>(), wanted.parse::<Uri>()) else { return false };
    let bare = registered.port().is_none() && matches!(registered.host(), Some("127.0.0.1" | "[::1]" | "localhost"));
    let place = |uri: &Uri| (uri.scheme_str().map(str::to_owned), uri.host().map(str::to_owned));
    bare && place(&registered) == place(&wanted) && registered.path_and_query() == wanted.path_and_query()
}

/// Answers with a token, or with an error under the status 200, as GitHub does.
pub(super) fn exchange(inner: &Inner, parts: &Parts, body: &[u8]) -> Reply {
    let header = |name| parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let fields = if header(header::CONTENT_TYPE).starts_with("application/json") {
        let object: serde_json::Map<String, Value> = serde_json::from_slice(body).unwrap_or_default();
        let pairs: Vec<(&str, &str)> =
            object.iter().filter_map(|(name, value)| Some((&**name, value.as_str()?))).collect();
        Fields::of(parts, urlencoded(&pairs).as_bytes())
    } else {
        Fields::of(parts, body)
    };
    let answer = token(&mut inner.world(), &fields).unwrap_or_else(|(error, description)| {
        let troubles =
            "https://docs.github.com/apps/managing-oauth-apps/troubleshooting-oauth-app-access-token-request-errors";
        json!({
            "error": error,
            "error_description": description,
            "error_uri": format!("{troubles}/#{}", error.replace('_', "-")),
        })
    });
    if header(header::ACCEPT).contains("json") {
        return Reply::json(200, &answer);
    }
    let texts = answer
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.as_str(), value.as_str().map_or_else(|| value.to_string(), str::to_owned)));
    let texts: Vec<(&str, String)> = texts.collect();
    let pairs: Vec<(&str, &str)> = texts.iter().map(|(name, value)| (*name, value.as_str())).collect();
    Reply::raw(200, "application/x-www-form-urlencoded; charset=utf-8", urlencoded(&pairs))
}

fn token(world: &mut World, fields: &Fields) -> Result<Value, (&'static str, &'static str)> {
    let given = |name: &str| fields.get(name).unwrap_or_default();
    if !is_client(world, given("client_id"), given("client_secret")) {
        return Err(("incorrect_client_credentials", "The client_id and/or client_secret passed are incorrect."));
    }
    let now = world.now();
    if fields.get("grant_type") == Some("refresh_token") {
        let wrong = ("bad_refresh_token", "The refresh token passed is incorrect or expired.");
        let grant = world.web.refresh_tokens.remove(given("refresh_token")).filter(|grant| grant.expires_at > now);
        return Ok(granted(world, grant.ok_or(wrong)?.account));
    }
    let wrong = ("bad_verification_code", "The code passed is incorrect or expired.");
    // Whatever comes of it, a code is used up.
    let code = world.web.codes.remove(given("code")).filter(|code| code.expires_at > now).ok_or(wrong)?;
    if fields.get("redirect_uri").is_some_and(|uri| uri != code.redirect_uri) {
        let description = "The redirect_uri MUST match the registered callback URL for this application.";
        return Err(("redirect_uri_mismatch", description));
    }
    let hashed = URL_SAFE_NO_PAD.encode(Sha256::digest(given("code_verifier")));
    if code.challenge.is_some_and(|challenge| challenge != hashed) {
        return Err(wrong);
    }
    Ok(granted(world, code.account))
}

fn granted(world: &mut World, account: i64) -> Value {
    let secret = |kind: &str| format!("{kind}_{}", hex::encode(rand::random::<[u8; 18]>()));
    let (token, refresh, now) = (secret("ghu"), secret("ghr"), world.now());
    world.web.tokens.insert(token.clone(), Grant { account, expires_at: now + TOKEN_LIFE });
    world.web.refresh_tokens.insert(refresh.clone(), Grant { account, expires_at: now + REFRESH_LIFE });
    json!({
        "access_token": token,
        "expires_in": TOKEN_LIFE / 1000,
        "refresh_token": refresh,
        "refresh_token_expires_in": REFRESH_LIFE / 1000,
        "token_type": "bearer",
        "scope": "",
    })
}
