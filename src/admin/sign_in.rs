//! Signing in: through GitHub by the App's own client, or by a link from the bot's own terminal (T42, T43).
//!
//! A browser holds a random secret; the table has its hash. The secret changes with each sign-in, so that one that somebody planted
//! before is worth nothing after (T44). The right to be here is confirmed anew every quarter of an hour.

use askama::Template;
use axum::extract::{Form, Query, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::fault::Fault;
use super::person::Person;
use super::view::{Frame, page};
use super::{Admin, admit, cookie};
use crate::context::Context;
use crate::db;
use crate::db::decisions::Decision;
use crate::db::sign_ins::{SignIn, SignedIn};
use crate::github::app;
use crate::github::oauth::{self, NotKnown};
use crate::model::{Account, Millis, RepoName, Repository, RepositoryId, Role, Via};
use crate::run::mains;

const MINUTE: Millis = 60_000;
/// How long somebody stays signed in.
const STAYS: Millis = 7 * 24 * 60 * MINUTE;
/// After so long the right to be here is confirmed again.
const CONFIRMED_FOR: Millis = 15 * MINUTE;
/// How long signing in may take at GitHub.
const BEGAN_FOR: Millis = 10 * MINUTE;
/// How long a link is good.
pub const LINK_FOR: Millis = 10 * MINUTE;

/// What a page of ours begins with; nothing else is gone back to.
const OURS: &str = "/admin";

/// A secret that nobody guesses, in hex.
pub(super) fn secret() -> String {
    hex::encode(rand::random::<[u8; 32]>())
}

/// What is stored of a secret.
pub(super) fn hashed(secret: &str) -> String {
    hex::encode(Sha256::digest(secret))
}

/// A path of ours, or the beginning: never another site's address (T43).
fn own_path(next: Option<&str>) -> &str {
    let is_ours = |next: &&str| {
        let rest = next.strip_prefix(OURS);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']))
            && next.len() <= 500
            && next.bytes().all(|b| b.is_ascii_graphic() && b != b'\\' && b != b'"')
            && !next.starts_with("/admin/sign-")
            && !next.ends_with("/live")
    };
    next.filter(is_ours).unwrap_or(OURS)
}

/// The person behind a cookie; `None` where it opens nothing, or not any more.
///
/// # Errors
/// Where GitHub has to confirm them and cannot be asked: that is no yes.
pub(super) async fn person(admin: &Admin, secret: &str) -> Result<Option<Person>, Fault> {
    let context = admin.context();
    let now = context.clock.now();
    let id = hashed(secret);
    let found = db::sign_ins::get(&mut *context.db.read().await?, &id, now).await?;
    let Some(mut signed_in) = found else { return Ok(None) };
    if let (Via::GitHub, Some(account)) = (signed_in.via, signed_in.account.clone()) {
        let is_due = now - signed_in.checked_at > CONFIRMED_FOR;
        // Whom the configuration names is looked up without asking anybody, so an admin who is left out is none at once.
        if is_due || !admit::may_still_be(admin, &account, signed_in.role) {
            let role = admit::role_of(admin, &account).await?;
            let mut tx = context.db.begin().await?;
            match role {
                Some(role) => {
                    db::sign_ins::set_checked(&mut tx, &id, role, now).await?;
                    signed_in.role = role;
                }
                None => _ = db::sign_ins::remove(&mut tx, &id).await?,
            }
            tx.commit().await?;
            if role.is_none() {
                return Ok(None);
            }
        }
    }
    let scope = admit::scope_of(admin, &signed_in).await?;
    Ok(Some(Person::new(signed_in, scope, secret)))
}

/// Signs a browser in: the cookie of before is worth nothing any more.
pub(super) async fn admit_browser(
    admin: &Admin,
    headers: &HeaderMap,
    (via, role): (Via, Role),
    account: Option<Account>,
    next: Option<&str>,
) -> Result<Response, Fault> {
    let context = admin.context();
    let now = context.clock.now();
    let fresh = secret();
    let signed_in =
        SignedIn { id: hashed(&fresh), via, account, role, created_at: now, checked_at: now, expires_at: now + STAYS };
    let mut tx = context.db.begin().await?;
    if let Some(before) = cookie::get(headers, cookie::SIGNED_IN) {
        db::sign_ins::remove(&mut tx, &hashed(&before)).await?;
    }
    db::sign_ins::insert(&mut tx, &signed_in).await?;
    let login = signed_in.account.as_ref().map(|account| account.login.as_str());
    let way = if via == Via::Link { "by a link from the bot's terminal" } else { "through GitHub" };
    let record = Decision::of_bot(login, "signed_in", format!("signed in to the page as {role}, {way}"));
    db::decisions::insert(&mut tx, &record, now).await?;
    tx.commit().await?;
    let mut answer = Redirect::to(own_path(next)).into_response();
    cookie::set(answer.headers_mut(), cookie::SIGNED_IN, &fresh, STAYS / 1_000);
    cookie::set(answer.headers_mut(), cookie::BEGAN, "", 0);
    Ok(answer)
}

/// What somebody sees who is not signed in.
#[derive(Template)]
#[template(path = "sign_in.html")]
struct Wall {
    frame: Frame,
    /// Whether GitHub signs people in here.
    by_github: bool,
    next: String,
    told: Option<String>,
}

/// The page in the place of one that wants somebody signed in, which is gone to afterwards.
pub(super) fn wall(admin: &Admin, uri: &Uri) -> Response {
    let next = uri.path_and_query().map(|path| path.as_str());
    wall_saying(admin, next, None, StatusCode::UNAUTHORIZED)
}

fn wall_saying(admin: &Admin, next: Option<&str>, told: Option<String>, status: StatusCode) -> Response {
    let wall = Wall {
        frame: Frame::new(admin, None, "Sign in", ""),
        by_github: admin.context().config.sign_in.is_some(),
        next: own_path(next).to_owned(),
        told,
    };
    (status, page(&wall)).into_response()
}

#[derive(Deserialize)]
pub(super) struct Next {
    next: Option<String>,
}

/// `GET /admin/sign-in`.
pub(super) async fn show(State(admin): State<Admin>, Query(query): Query<Next>) -> Response {
    wall_saying(&admin, query.next.as_deref(), None, StatusCode::OK)
}

/// `POST /admin/sign-in`: on to GitHub.
pub(super) async fn begin(
    State(admin): State<Admin>,
    headers: HeaderMap,
    Form(form): Form<Next>,
) -> Result<Response, Fault> {
    let context = admin.context();
    let Some(client) = &context.config.sign_in else {
        return Err(Fault::refused(
            "Signing in through GitHub is not set up here: on the bot's machine, `track login-link` prints a link.",
        ));
    };
    let (state, browser, verifier) = (secret(), secret(), secret());
    let now = context.clock.now();
    let sign_in = SignIn {
        id: hashed(&state),
        via: Via::GitHub,
        browser: Some(hashed(&browser)),
        verifier: Some(verifier.clone()),
        next: Some(own_path(form.next.as_deref()).to_owned()),
        account: None,
        expires_at: now + BEGAN_FOR,
    };
    let mut tx = context.db.begin().await?;
    db::sign_ins::begin(&mut tx, &sign_in, now).await?;
    tx.commit().await?;
    let url = oauth::authorize_url(
        &context.app,
        client,
        &callback_url(&admin, &headers),
        &state,
        &oauth::challenge(&verifier),
    );
    let mut answer = Redirect::to(&url).into_response();
    cookie::set(answer.headers_mut(), cookie::BEGAN, &browser, BEGAN_FOR / 1_000);
    Ok(answer)
}

/// Where GitHub sends people back to: the one address that the App's settings name.
fn callback_url(admin: &Admin, headers: &HeaderMap) -> String {
    format!("{}/admin/sign-in/callback", admin.base_url(headers))
}

#[derive(Deserialize)]
pub(super) struct Callback {
    code: Option<String>,
    state: Option<String>,
    error: Option<String>,
    error_description: Option<String>,
}

/// `GET /admin/sign-in/callback`: back from GitHub.
pub(super) async fn callback(
    State(admin): State<Admin>,
    headers: HeaderMap,
    Query(query): Query<Callback>,
) -> Result<Response, Fault> {
    let context = admin.context();
    let again = |told: String, status| Ok(wall_saying(&admin, None, Some(told), status));
    let Some(client) = &context.config.sign_in else { return Err(Fault::not_found("page")) };
    let now = context.clock.now();
    let begun = match query.state.as_deref() {
        Some(state) => {
            let mut tx = context.db.begin().await?;
            let begun = db::sign_ins::take(&mut tx, &hashed(state), Via::GitHub, now).await?;
            tx.commit().await?;
            begun
        }
        None => None,
    };
    let browser = cookie::get(&headers, cookie::BEGAN).map(|secret| hashed(&secret));
    let Some(begun) = begun.filter(|begun| begun.browser.is_some() && begun.browser == browser) else {
        let told = "This sign-in was not begun in this browser, was used before, or took longer than ten minutes. Begin again.";
        return again(told.to_owned(), StatusCode::FORBIDDEN);
    };
    let code = match (query.code, query.error) {
        (Some(code), None) => code,
        (_, error) => {
            let why = query.error_description.or(error).unwrap_or_else(|| "it gives no code".to_owned());
            return again(format!("GitHub did not sign you in: {why}."), StatusCode::FORBIDDEN);
        }
    };
    let verifier = begun.verifier.unwrap_or_default();
    let callback = callback_url(&admin, &headers);
    let account = match oauth::identify(&context.app, client, (&code, &verifier, &callback)).await {
        Ok(account) => account,
        Err(error @ NotKnown::Refused(_)) => return again(format!("{error}. Begin again."), StatusCode::FORBIDDEN),
        Err(error @ NotKnown::Unavailable(_)) => return again(format!("{error}. Try again."), StatusCode::BAD_GATEWAY),
    };
    match admit::role_of(&admin, &account).await? {
        Some(role) => admit_browser(&admin, &headers, (Via::GitHub, role), Some(account), begun.next.as_deref()).await,
        None => {
            let told = format!(
                "{} is no admin here, and may write in none of the repositories that this bot serves. TRACK_ADMINS names the admins; whoever may write in a repository sees its threads.",
                account.login
            );
            again(told, StatusCode::FORBIDDEN)
        }
    }
}

#[derive(Deserialize)]
pub(super) struct LinkToken {
    token: String,
}

/// `GET /admin/sign-in/link`: the link from the terminal.
pub(super) async fn by_link(
    State(admin): State<Admin>,
    headers: HeaderMap,
    Query(query): Query<LinkToken>,
) -> Result<Response, Fault> {
    let context = admin.context();
    let mut tx = context.db.begin().await?;
    let link = db::sign_ins::take(&mut tx, &hashed(&query.token), Via::Link, context.clock.now()).await?;
    tx.commit().await?;
    let Some(link) = link else {
        let told = "This link was used before, or is older than ten minutes. `track login-link` prints a new one.";
        return Ok(wall_saying(&admin, None, Some(told.to_owned()), StatusCode::FORBIDDEN));
    };
    admit_browser(&admin, &headers, (Via::Link, Role::Admin), link.account, link.next.as_deref()).await
}

/// A link that signs an admin in once, and whom.
#[derive(Clone, Debug)]
pub struct Link {
    /// The whole address.
    pub url: String,
    /// Login of whom it signs in; `None`: nobody by name, because nobody is named or GitHub does not know them.
    pub login: Option<String>,
}

/// Makes a link for whoever sits at the bot's own machine: as this login, else the first whom the configuration names, else the App's owner.
pub async fn link(context: &Context, login: Option<&str>, next: Option<&str>) -> anyhow::Result<Link> {
    let account = account(context, login).await?;
    let token = secret();
    let now = context.clock.now();
    let sign_in = SignIn {
        id: hashed(&token),
        via: Via::Link,
        browser: None,
        verifier: None,
        next: next.map(str::to_owned),
        account: account.clone(),
        expires_at: now + LINK_FOR,
    };
    let mut tx = context.db.begin().await?;
    db::sign_ins::begin(&mut tx, &sign_in, now).await?;
    tx.commit().await?;
    let config = &context.config;
    let base = match (&config.sign_in, &config.public_url) {
        (Some(_), Some(url)) => url.clone(),
        // Without signing in through GitHub the page is for this machine alone.
        _ => format!("http://127.0.0.1:{}", context.address.get().unwrap_or(&config.listen).port()),
    };
    Ok(Link { url: format!("{base}/admin/sign-in/link?token={token}"), login: account.map(|account| account.login) })
}

async fn account(context: &Context, login: Option<&str>) -> anyhow::Result<Option<Account>> {
    let config = &context.config;
    let named = config.admins.iter().filter(|named| !named.contains('/')).chain(&config.main_user).next();
    let Some(login) = login.or(named.map(String::as_str)) else {
        return Ok(match app::me(&context.github).await {
            Ok(app) => (app.owner.kind == "User").then_some(app.owner.account),
            Err(error) => {
                tracing::warn!("GitHub does not say who owns the App, so the link names nobody: {error}");
                None
            }
        });
    };
    let login = login.trim_start_matches('@');
    let any = db::repositories::installed(&mut *context.db.read().await?).await?.into_iter().next();
    // Where the App is installed nowhere, or not any more, GitHub tells it to everybody.
    let nobody = Repository {
        id: RepositoryId(0),
        installation: None,
        name: RepoName { owner: login.to_owned(), name: String::new() },
    };
    let found = match any {
        Some(via) => match mains::account(context, &via, login).await {
            Err(_) => mains::account(context, &nobody, login).await,
            found => found,
        },
        None => mains::account(context, &nobody, login).await,
    };
    match found {
        Ok(Some(account)) => Ok(Some(account)),
        Ok(None) => anyhow::bail!("GitHub knows no account {login}"),
        Err(error) => Err(anyhow::Error::from(error).context(format!("GitHub does not say who {login} is"))),
    }
}

/// `POST /admin/sign-out`.
pub(super) async fn sign_out(State(admin): State<Admin>, person: Person) -> Result<Response, Fault> {
    let mut tx = admin.context().db.begin().await?;
    db::sign_ins::remove(&mut tx, &person.signed_in().id).await?;
    tx.commit().await?;
    let mut answer = Redirect::to("/admin/sign-in").into_response();
    cookie::set(answer.headers_mut(), cookie::SIGNED_IN, "", 0);
    // Whatever a browser kept of the pages goes too.
    answer.headers_mut().insert("clear-site-data", header::HeaderValue::from_static("\"cache\", \"storage\""));
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    // T43
    #[test]
    fn only_paths_of_ours_are_gone_back_to() {
        for ours in ["/admin", "/admin/", "/admin?x=1", "/admin/runs/01ARZ", "/admin/runs?repo=o/h&status=failed"] {
            assert_eq!(own_path(Some(ours)), ours);
        }
        for other in [
            "",
            "/",
            "//evil.example",
            "https://evil.example/admin",
            "/admin\\evil",
            "/administrator",
            "/adminx",
            "/admin/\r\nx: y",
            "/admin/sign-out",
            "/admin/sign-in/link?token=x",
            "javascript:alert(1)",
            "/admin/\"x",
            "/admin/runs/x/live",
            "\\\\evil",
        ] {
            assert_eq!(own_path(Some(other)), OURS, "{other}");
        }
        assert_eq!(own_path(Some(&format!("/admin/{}", "x".repeat(600)))), OURS);
    }
}
