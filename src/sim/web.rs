//! The web side: pages for people and the forms on them. Nothing on the pages runs and nothing is loaded; everything that anybody said
//! is escaped.

use std::collections::HashMap;
use std::sync::Arc;

use axum::http::header::{CONTENT_SECURITY_POLICY, HOST, LOCATION, ORIGIN};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{Html, IntoResponse as _, Response};

use super::oauth::{Code, Grant};
use super::rest::{decode, encode};
use super::world::World;
use super::{Inner, Sim, forms, install, manifest, oauth, pages};
use crate::markup::escape;

/// What was begun on pages and goes on elsewhere.
#[derive(Default)]
pub(super) struct Web {
    /// Who presses the buttons, unless the page says otherwise.
    pub signed_in: Option<i64>,
    /// Codes that are to be exchanged for tokens of people.
    pub codes: HashMap<String, Code>,
    /// People's tokens.
    pub tokens: HashMap<String, Grant>,
    /// What renews them.
    pub refresh_tokens: HashMap<String, Grant>,
    /// Apps that were created and not yet handed out.
    pub conversions: HashMap<String, manifest::Conversion>,
}

impl Web {
    /// Ends what people began with the App.
    pub fn forget_app(&mut self) {
        let signed_in = self.signed_in;
        *self = Self { signed_in, ..Self::default() };
    }

    /// Ends a person's token; false if there is none.
    pub fn revoke(&mut self, token: &str) -> bool {
        self.tokens.remove(token).is_some()
    }
}

impl Sim {
    /// Lets this person press the buttons of pages that do not ask who does; the account is made if it is not there.
    pub fn sign_in_as(&self, login: &str) {
        let mut world = self.inner.world();
        world.web.signed_in = Some(world.add_account(login, "User"));
    }
}

impl World {
    /// The people, by login.
    pub fn people(&self) -> Vec<&str> {
        let people = self.accounts.values().filter(|account| account.kind == "User");
        let mut logins: Vec<&str> = people.map(|account| account.login.as_str()).collect();
        logins.sort_unstable();
        logins
    }

    /// Who acts on a page: the person it names, else who is signed in, else the first there is.
    pub fn acting(&self, named: Option<&str>) -> Option<i64> {
        match named {
            Some(login) => self.account_of(login).filter(|account| account.kind == "User").map(|account| account.id),
            None => {
                self.web.signed_in.or_else(|| self.people().first().and_then(|login| Some(self.account_of(login)?.id)))
            }
        }
    }
}

/// The fields of a form, of a query, or of both.
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    /// What the body says comes before what the query says.
    pub fn of(parts: &Parts, body: &[u8]) -> Self {
        let query = parts.uri.query().unwrap_or_default();
        Self([String::from_utf8_lossy(body).as_ref(), query].into_iter().flat_map(pairs).collect())
    }

    /// The value of a field, if it is there and not blank.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next().filter(|value| !value.trim().is_empty())
    }

    /// Every value of a field.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(of, _)| of == name).map(|(_, value)| value.as_str())
    }
}

/// <https://url.spec.whatwg.org/#urlencoded-parsing>
fn pairs(encoded: &str) -> Vec<(String, String)> {
    let plain = |text: &str| decode(&text.replace('+', " "));
    let pairs = encoded.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (plain(name), plain(value)))
        .collect()
}

/// Fields as they are written into a query or a body.
pub(super) fn urlencoded(fields: &[(&str, &str)]) -> String {
    fields.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect::<Vec<_>>().join("&")
}

/// Answers a request for a page, or of a form.
pub(super) async fn answer(inner: &Arc<Inner>, parts: &Parts, body: &[u8]) -> Response {
    let path: Vec<String> = parts.uri.path().split('/').filter(|part| !part.is_empty()).map(decode).collect();
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let fields = Fields::of(parts, body);
    let answered = if parts.method == Method::POST {
        posted(inner, parts, &path, &fields).await
    } else {
        match path.as_slice() {
            ["login", "oauth", "authorize"] => Some(oauth::ask(&inner.world(), &fields)),
            ["apps", slug] => install::about(&inner.world(), slug),
            ["apps", slug, "installations", "new"] => install::ask(&inner.world(), slug, &fields),
            path => pages::find(inner, path, &fields).await.map(|page| shown(StatusCode::OK, page, &[])),
        }
    };
    answered.unwrap_or_else(|| told(StatusCode::NOT_FOUND, "Not found", "There is nothing of that address."))
}

async fn posted(inner: &Arc<Inner>, parts: &Parts, path: &[&str], fields: &Fields) -> Option<Response> {
    // The one form that comes from elsewhere, and it leads to a page on which a button is to be pressed.
    match path {
        ["settings", "apps", "new"] => return Some(manifest::confirm(&inner.world(), None, fields)),
        ["organizations", org, "settings", "apps", "new"] => {
            return Some(manifest::confirm(&inner.world(), Some(org), fields));
        }
        _ => {}
    }
    if !comes_from_here(parts) {
        return Some(told(StatusCode::FORBIDDEN, "Not from here", "This form was sent from another site."));
    }
    match path {
        ["login", "oauth", "authorize"] => Some(oauth::decide(inner, fields)),
        ["settings", "apps"] => Some(manifest::create(inner, None, fields).await),
        ["organizations", org, "settings", "apps"] => Some(manifest::create(inner, Some(org), fields).await),
        ["apps", slug, "installations"] => install::install(inner, slug, fields),
        [owner, name, rest @ ..] => forms::act(inner, &format!("{owner}/{name}"), rest, fields).await,
        _ => None,
    }
}

/// Whether a form was on one of our own pages; programs say nothing of where they come from.
fn comes_from_here(parts: &Parts) -> bool {
    let text = |name| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let Some(origin) = text(ORIGIN) else { return true };
    origin.strip_prefix("http://").is_some_and(|authority| Some(authority) == text(HOST))
}

/// A page whose forms lead here, and by a redirect to nowhere but `onward`.
pub(super) fn shown(status: StatusCode, page: String, onward: &[&str]) -> Response {
    let onward: String = onward.iter().filter_map(|url| origin(url)).map(|origin| format!(" {origin}")).collect();
    let policy =
        format!("default-src 'none'; style-src 'unsafe-inline'; form-action 'self'{onward}; frame-ancestors 'none'");
    (status, [(CONTENT_SECURITY_POLICY, policy)], Html(page)).into_response()
}

/// A page of one sentence.
pub(super) fn told(status: StatusCode, title: &str, sentence: &str) -> Response {
    let body = format!("<h1>{}</h1><p>{}</p>", escape(title), escape(sentence));
    shown(status, pages::page(title, &body), &[])
}

/// Sends a browser on, with fields added to the query.
pub(super) fn redirect(to: &str, fields: &[(&str, &str)]) -> Response {
    let joint = if to.contains('?') { '&' } else { '?' };
    let location = if fields.is_empty() { to.to_owned() } else { format!("{to}{joint}{}", urlencoded(fields)) };
    match axum::http::HeaderValue::try_from(location) {
        Ok(location) => (StatusCode::FOUND, [(LOCATION, location)]).into_response(),
        Err(_) => told(StatusCode::UNPROCESSABLE_ENTITY, "No address", "The address to go back to is none."),
    }
}

/// Scheme, host and port of an address, where nothing in them could end the directive of a policy.
fn origin(url: &str) -> Option<String> {
    let uri: Uri = url.parse().ok()?;
    let authority = uri.authority()?.as_str();
    let plain = authority.chars().all(|c| c.is_ascii_alphanumeric() || ".-:[]".contains(c));
    plain.then(|| Some(format!("{}://{authority}", uri.scheme_str()?)))?
}

/// Where people choose who they are.
pub(super) fn person_field(world: &World, named: Option<&str>) -> String {
    let chosen = world.acting(named).map(|account| world.login(account).to_owned());
    let options = world.people().into_iter().map(|login| {
        let selected = if chosen.as_deref() == Some(login) { " selected" } else { "" };
        format!("<option{selected}>{}</option>", escape(login))
    });
    format!("<label>As <select name=login>{}</select></label>", options.collect::<String>())
}

/// Fields that a form carries on.
pub(super) fn hidden(fields: &[(&str, Option<&str>)]) -> String {
    let there = fields.iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
    there.map(|(name, value)| format!("<input type=hidden name={name} value=\"{}\">", escape(value))).collect()
}
