//! The REST endpoints and that of GraphQL, in one table; what they answer is in a file for each resource.
//! <https://docs.github.com/en/rest>

mod app;
mod checks;
mod graphql;
mod issues;
mod people;
mod pulls;
mod repos;
mod reviews;

use std::collections::HashMap;

use axum::extract::Query;
use axum::http::header;
use axum::http::request::Parts;
use serde_json::{Value, json};

use super::Inner;
use super::app_auth::{Access, Caller, Need, allows, in_scope};
use super::changes::{Missing, Target};
use super::world::{Actor, Gone, World};

/// An answer on its way out.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub status: u16,
    pub content_type: &'static str,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// An answer, or a refusal.
pub(super) type Answer = Result<Reply, Reply>;

impl Reply {
    /// An answer in JSON.
    pub fn json(status: u16, value: &Value) -> Self {
        Self::raw(status, "application/json; charset=utf-8", value.to_string())
    }

    /// An answer of any other kind.
    pub fn raw(status: u16, content_type: &'static str, body: impl Into<Vec<u8>>) -> Self {
        Self { status, content_type, headers: Vec::new(), body: body.into() }
    }

    /// An answer without a body.
    pub fn empty(status: u16) -> Self {
        Self::raw(status, "", "")
    }

    /// The same with more headers.
    pub fn with_headers(mut self, headers: impl IntoIterator<Item = (String, String)>) -> Self {
        self.headers.extend(headers);
        self
    }
}

/// What GitHub says when it refuses.
pub(super) fn refusal(status: u16, message: &str) -> Reply {
    let value = json!({
        "message": message,
        "documentation_url": "https://docs.github.com/rest",
        "status": status.to_string(),
    });
    Reply::json(status, &value)
}

/// What GitHub says to values that it cannot take.
fn invalid(errors: &[Value]) -> Reply {
    let value = json!({
        "message": "Validation Failed",
        "errors": errors,
        "documentation_url": "https://docs.github.com/rest",
        "status": "422",
    });
    Reply::json(422, &value)
}

/// Also for what exists but is none of the caller's business.
fn not_found() -> Reply {
    refusal(404, "Not Found")
}

/// A request being answered.
struct Call<'a> {
    inner: &'a Inner,
    caller: &'a Caller,
    accept: &'a str,
    query: HashMap<String, String>,
    body: &'a Value,
    /// The URL without its query, for links to further pages.
    url: String,
}

/// GitHub answers nobody who does not say what they are.
/// <https://docs.github.com/en/rest/using-the-rest-api/getting-started-with-the-rest-api#user-agent>
pub(super) fn admit(parts: &Parts) -> Result<(), Reply> {
    let rules = "Request forbidden by administrative rules. Please make sure your request has a User-Agent header.";
    parts.headers.get(header::USER_AGENT).map(|_| ()).ok_or_else(|| refusal(403, rules))
}

/// Answers an API request; also says whether there is such an endpoint.
pub(super) async fn handle(
    inner: &Inner,
    parts: &Parts,
    path: &str,
    caller: Result<Caller, Reply>,
    body: Value,
) -> (Reply, bool) {
    let caller = match caller {
        Ok(caller) => caller,
        Err(refusal) => return (refusal, true),
    };
    if let Some(moved) = moved(inner, parts, path) {
        return (moved, true);
    }
    let call = Call {
        inner,
        caller: &caller,
        accept: parts.headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default(),
        query: Query::try_from_uri(&parts.uri).map(|Query(query)| query).unwrap_or_default(),
        body: &body,
        url: format!("{}{path}", inner.world().api()),
    };
    let segments: Vec<String> = path.split('/').filter(|part| !part.is_empty()).map(decode).collect();
    let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
    match route(&call, parts.method.as_str(), &segments).await {
        Some(Ok(reply) | Err(reply)) => (reply, true),
        None => (not_found(), false),
    }
}

/// The redirect from the old name of a repository.
/// <https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api#follow-redirects>
fn moved(inner: &Inner, parts: &Parts, path: &str) -> Option<Reply> {
    let mut segments = path.strip_prefix("/repos/")?.splitn(3, '/');
    let (owner, name, rest) = (segments.next()?, segments.next()?, segments.next());
    let world = inner.world();
    let id = world.moved(&format!("{}/{}", decode(owner), decode(name)))?.id;
    let rest = rest.map_or_else(String::new, |rest| format!("/{rest}"));
    let query = parts.uri.query().map_or_else(String::new, |query| format!("?{query}"));
    let location = format!("{}/repositories/{id}{rest}{query}", world.api());
    let status = if parts.method == "GET" { 301 } else { 307 };
    Some(refusal(status, "Moved Permanently").with_headers([("location".to_owned(), location)]))
}

/// The table of endpoints.
async fn route(call: &Call<'_>, method: &str, path: &[&str]) -> Option<Answer> {
    if let ["repos", owner, name, rest @ ..] = path {
        let full_name = format!("{owner}/{name}");
        return repository_route(call, method, &full_name, rest).await;
    }
    if let ["repositories", id, rest @ ..] = path {
        let id: i64 = id.parse().ok()?;
        let full_name = call.inner.world().repositories.get(&id)?.full_name.clone();
        return repository_route(call, method, &full_name, rest).await;
    }
    Some(match (method, path) {
        ("POST", ["graphql"]) => graphql::answer(call),
        ("GET", ["meta"]) => Ok(Reply::json(200, &json!({ "verifiable_password_authentication": false }))),
        ("GET", ["rate_limit"]) => Ok(app::rate_limit()),
        ("GET", ["app"]) => app::get(call),
        ("GET", ["app", "installations"]) => app::installations(call),
        ("GET", ["app", "installations", id]) => app::installation(call, id),
        ("POST", ["app", "installations", id, "access_tokens"]) => app::create_token(call, id),
        ("GET", ["app", "hook", "config"]) => app::hook_config(call),
        ("PATCH", ["app", "hook", "config"]) => app::set_hook_config(call),
        ("GET", ["app", "hook", "deliveries"]) => app::deliveries(call),
        ("GET", ["app", "hook", "deliveries", id]) => app::delivery(call, id),
        ("POST", ["app", "hook", "deliveries", id, "attempts"]) => app::redeliver(call, id),
        ("DELETE", ["installation", "token"]) => app::revoke(call),
        ("GET", ["installation", "repositories"]) => app::repositories(call),
        ("GET", ["users", login]) => app::user(call, login),
        ("GET", ["user"]) => people::user(call),
        ("DELETE", ["applications", client, "token"]) => people::revoke(call, client),
        ("POST", ["app-manifests", code, "conversions"]) => app::convert(call, code),
        ("GET", ["orgs", org, "teams", team, "memberships", login]) => people::membership(call, org, team, login),
        _ => return None,
    })
}

/// The table of endpoints below a repository.
async fn repository_route(call: &Call<'_>, method: &str, repo: &str, path: &[&str]) -> Option<Answer> {
    let comment = |id: &str| id.parse().map(Target::Comment).map_err(|_| not_found());
    let line = |id: &str| id.parse().map(Target::ReviewComment).map_err(|_| not_found());
    let issue = |number: &str| number.parse().map(Target::Issue).map_err(|_| not_found());
    Some(match (method, path) {
        ("GET", []) => repos::get(call, repo),
        ("GET", ["installation"]) => app::repository_installation(call, repo),
        ("GET", ["contents", path @ ..]) => repos::contents(call, repo, &path.join("/")).await,
        ("GET", ["branches", name @ ..]) => repos::branch(call, repo, &name.join("/")).await,
        ("GET", ["git", "ref", "heads", name @ ..]) => repos::git_ref(call, repo, &name.join("/")),
        ("GET", ["git", "matching-refs", "heads", prefix @ ..]) => repos::matching_refs(call, repo, &prefix.join("/")),
        ("GET", ["commits", name @ .., "check-runs"]) => checks::runs(call, repo, &name.join("/")).await,
        ("GET", ["commits", name @ ..]) => repos::commit(call, repo, &name.join("/")).await,
        ("GET", ["compare", range @ ..]) => repos::compare(call, repo, &range.join("/")).await,
        ("GET", ["collaborators", login, "permission"]) => repos::permission(call, repo, login),
        ("POST", ["labels"]) => repos::create_label(call, repo),
        ("GET", ["labels", name]) => repos::get_label(call, repo, name),

        ("GET", ["issues", "comments", id]) => issues::get_comment(call, repo, id),
        ("PATCH", ["issues", "comments", id]) => issues::edit_comment(call, repo, id),
        ("DELETE", ["issues", "comments", id]) => issues::delete_comment(call, repo, id),
        ("GET", ["issues", "comments", id, "reactions"]) => {
            comment(id).and_then(|target| issues::reactions(call, repo, target))
        }
        ("POST", ["issues", "comments", id, "reactions"]) => {
            comment(id).and_then(|target| issues::react(call, repo, target))
        }
        ("DELETE", ["issues", "comments", id, "reactions", reaction]) => {
            comment(id).and_then(|target| issues::unreact(call, repo, target, reaction))
        }
        ("GET", ["issues"]) => issues::list(call, repo),
        ("POST", ["issues"]) => issues::create(call, repo),
        ("GET", ["issues", number]) => issues::get(call, repo, number),
        ("PATCH", ["issues", number]) => issues::edit(call, repo, number),
        ("GET", ["issues", number, "comments"]) => issues::comments(call, repo, number),
        ("POST", ["issues", number, "comments"]) => issues::create_comment(call, repo, number),
        ("GET", ["issues", number, "events"]) => issues::events(call, repo, number),
        ("GET", ["issues", number, "timeline"]) => issues::timeline(call, repo, number),
        ("GET", ["issues", number, "labels"]) => issues::labels(call, repo, number),
        ("POST", ["issues", number, "labels"]) => issues::add_labels(call, repo, number),
        ("DELETE", ["issues", number, "labels", name]) => issues::remove_label(call, repo, number, name),
        ("GET", ["issues", number, "reactions"]) => {
            issue(number).and_then(|target| issues::reactions(call, repo, target))
        }
        ("POST", ["issues", number, "reactions"]) => issue(number).and_then(|target| issues::react(call, repo, target)),
        ("DELETE", ["issues", number, "reactions", reaction]) => {
            issue(number).and_then(|target| issues::unreact(call, repo, target, reaction))
        }

        ("GET", ["pulls", "comments", id]) => reviews::get_comment(call, repo, id),
        ("PATCH", ["pulls", "comments", id]) => reviews::edit_comment(call, repo, id),
        ("DELETE", ["pulls", "comments", id]) => reviews::delete_comment(call, repo, id),
        ("GET", ["pulls", "comments", id, "reactions"]) => {
            line(id).and_then(|target| issues::reactions(call, repo, target))
        }
        ("POST", ["pulls", "comments", id, "reactions"]) => {
            line(id).and_then(|target| issues::react(call, repo, target))
        }
        ("DELETE", ["pulls", "comments", id, "reactions", reaction]) => {
            line(id).and_then(|target| issues::unreact(call, repo, target, reaction))
        }
        ("GET", ["pulls", number, "reviews"]) => reviews::list(call, repo, number),
        ("POST", ["pulls", number, "reviews"]) => reviews::create(call, repo, number).await,
        ("GET", ["pulls", number, "reviews", id]) => reviews::get(call, repo, number, id),
        ("GET", ["pulls", number, "reviews", id, "comments"]) => reviews::comments_of(call, repo, number, id),
        ("GET", ["pulls", number, "comments"]) => reviews::comments(call, repo, number),
        ("POST", ["pulls", number, "comments", id, "replies"]) => reviews::reply(call, repo, number, id),
        ("GET", ["pulls"]) => pulls::list(call, repo),
        ("POST", ["pulls"]) => pulls::create(call, repo).await,
        ("GET", ["pulls", number]) => pulls::get(call, repo, number).await,
        ("PATCH", ["pulls", number]) => pulls::edit(call, repo, number),
        ("GET", ["pulls", number, "commits"]) => pulls::commits(call, repo, number).await,
        ("GET", ["pulls", number, "files"]) => pulls::files(call, repo, number).await,
        _ => return None,
    })
}

impl Call<'_> {
    /// The id of the repository, if the caller may do there what it takes; one of `needs` suffices.
    fn repository(&self, world: &World, full_name: &str, needs: &[Need]) -> Result<i64, Reply> {
        let token = match self.caller {
            Caller::Installation(_, token) => token,
            Caller::App | Caller::Person(_) | Caller::Client => {
                return Err(refusal(403, "Resource not accessible by integration"));
            }
            Caller::Nobody => {
                let public = world.repository(full_name).filter(|of| of.public).ok_or_else(not_found)?;
                let reads = needs.iter().all(|(_, access)| *access == Access::Read);
                return if reads { Ok(public.id) } else { Err(refusal(401, "Requires authentication")) };
            }
        };
        let repository = world.repository(full_name).filter(|of| in_scope(world, token, of)).ok_or_else(not_found)?;
        if !needs.iter().any(|need| allows(token, *need)) {
            return Err(refusal(403, "Resource not accessible by integration"));
        }
        if repository.archived && needs.iter().any(|(_, access)| *access == Access::Write) {
            return Err(refusal(403, "Repository was archived so is read-only."));
        }
        Ok(repository.id)
    }

    /// The repository and number of an issue or pull request, if the caller may do there what it takes. For a pull
    /// request either of two permissions will do, as on GitHub.
    fn issue(&self, world: &World, full_name: &str, number: &str, access: Access) -> Result<(i64, i64), Reply> {
        let number: i64 = number.parse().map_err(|_| not_found())?;
        let is_pull =
            world.repository(full_name).and_then(|of| of.issues.get(&number)).is_some_and(|issue| issue.pull.is_some());
        let needs = [("issues", access), ("pull_requests", access)];
        let repository = self.repository(world, full_name, if is_pull { &needs } else { &needs[..1] })?;
        world.issue(repository, number).ok_or_else(|| gone(world, repository, number))?;
        Ok((repository, number))
    }

    /// Only the App itself may ask.
    fn app_only(&self) -> Result<(), Reply> {
        match self.caller {
            Caller::App => Ok(()),
            _ => Err(refusal(401, "A JSON web token could not be decoded")),
        }
    }

    /// A text of the request's body.
    fn text(&self, field: &str) -> Option<&str> {
        self.body.get(field).and_then(Value::as_str)
    }

    /// A text without which the request makes no sense.
    fn required(&self, resource: &str, field: &str) -> Result<&str, Reply> {
        let missing = || invalid(&[json!({ "resource": resource, "field": field, "code": "missing_field" })]);
        self.text(field).filter(|text| !text.trim().is_empty()).ok_or_else(missing)
    }

    /// The part of a list that the caller asked for, with links to the other parts.
    /// <https://docs.github.com/en/rest/using-the-rest-api/using-pagination-in-the-rest-api>
    fn page(&self, items: Vec<Value>) -> Reply {
        let (slice, headers) = self.slice(items);
        Reply::json(200, &slice.into()).with_headers(headers)
    }

    /// As [`Call::page`], for lists that are not the whole answer.
    fn slice(&self, items: Vec<Value>) -> (Vec<Value>, Option<(String, String)>) {
        let number = |name: &str, unless: usize| {
            self.query.get(name).and_then(|value| value.parse().ok()).filter(|value| *value > 0).unwrap_or(unless)
        };
        let (size, page) = (number("per_page", 30).min(100), number("page", 1));
        let last = items.len().div_ceil(size).max(1);
        let mut links = Vec::new();
        let mut link = |to: usize, rel: &str| {
            let mut query: Vec<String> = self
                .query
                .iter()
                .filter(|(name, _)| name.as_str() != "page")
                .map(|(name, value)| format!("{name}={}", encode(value)))
                .collect();
            query.sort();
            query.push(format!("page={to}"));
            links.push(format!("<{}?{}>; rel=\"{rel}\"", self.url, query.join("&")));
        };
        if page > 1 {
            link(page - 1, "prev");
        }
        if page < last {
            link(page + 1, "next");
            link(last, "last");
        }
        if page > 1 {
            link(1, "first");
        }
        let header = (!links.is_empty()).then(|| ("link".to_owned(), links.join(", ")));
        (items.into_iter().skip((page - 1).saturating_mul(size)).take(size).collect(), header)
    }
}

/// What GitHub says of a number that has no issue, or none any more.
fn gone(world: &World, repository: i64, number: i64) -> Reply {
    match world.repositories.get(&repository).and_then(|of| of.gone.get(&number)) {
        Some(Gone::Deleted) => refusal(410, "This issue was deleted"),
        Some(Gone::Transferred(to, number)) => {
            let location = format!("{}/repositories/{to}/issues/{number}", world.api());
            refusal(301, "Moved Permanently").with_headers([("location".to_owned(), location)])
        }
        None => not_found(),
    }
}

/// The App's bot, which is who acts through an installation token.
fn bot(world: &World) -> Actor {
    Actor { account: world.bot, app: true }
}

/// Something went wrong in the simulator itself.
fn broken(error: anyhow::Error) -> Reply {
    tracing::error!("the simulator failed: {error:#}");
    refusal(500, &format!("the simulator failed: {error:#}"))
}

impl From<Missing> for Reply {
    fn from(_: Missing) -> Self {
        not_found()
    }
}

/// Takes `%xx` out of one part of a path.
pub(super) fn decode(part: &str) -> String {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let [first, tail @ ..] = rest {
        let digit = |at: usize| tail.get(at).and_then(|byte| (*byte as char).to_digit(16));
        match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => {
                bytes.push((high * 16 + low) as u8);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Makes a text fit for a query.
pub(super) fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
