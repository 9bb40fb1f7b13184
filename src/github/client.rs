//! The client: one call at a time, with credential, time limit, size limit and the rate-limit gate.
//!
//! octocrab attaches credentials to relative addresses only (and to `api.github.com`), so nothing but paths below the configured base is ever passed to it;
//! pages and redirects are followed by path and query, and only within the same origin.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use http_body_util::{BodyExt as _, Limited};
use hyper::header::{ACCEPT, CONTENT_TYPE, DATE, LOCATION, USER_AGENT};
use hyper::{HeaderMap, Method, StatusCode, Uri};
use hyper_rustls::HttpsConnectorBuilder;
use hyper_rustls::builderstates::WantsSchemes;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use octocrab::service::middleware::base_uri::BaseUriLayer;
use octocrab::{AuthState, OctoBody, Octocrab, OctocrabBuilder};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::app::BotIdentity;
use super::error::{ApiError, Failure, classify, http_date};
use super::path::link;
use super::token::{Access, AppKey, Tokens};
use super::withhold::withhold;
use crate::config::GitHubConfig;
use crate::model::{Clock, InstallationId, Millis, Repository};

/// Time to reach GitHub.
pub(super) const CONNECT: Duration = Duration::from_secs(5);
/// Time for a whole call, the reply's body included.
pub const LONGEST_CALL: Duration = Duration::from_secs(15);
/// Largest reply that is read (T08). No compression is asked for, so this is the decoded size too.
const REPLY_BYTES: usize = 32 * 1024 * 1024;
/// Redirects followed in one call; a renamed repository needs one.
const REDIRECTS: usize = 3;
/// Pages followed in one listing, a guard against a server that links in a circle.
const PAGES: usize = 100;
/// The path of the one endpoint of GraphQL.
pub(super) const GRAPHQL: &str = "/graphql";
/// The version of the API that track is written for.
const API_VERSION: &str = "2022-11-28";
/// How track names itself; GitHub answers nobody who does not
/// (<https://docs.github.com/en/rest/using-the-rest-api/getting-started-with-the-rest-api#user-agent>).
pub(super) const AGENT: &str = concat!("track/", env!("CARGO_PKG_VERSION"));
/// A smaller difference between GitHub's clock and ours is latency.
const SKEW_NOISE: Millis = 10_000;

/// Whom a call speaks as.
#[derive(Clone, Copy, Debug)]
pub enum As<'a> {
    /// The App itself, by a signed token of its own.
    App,
    /// The App's installation, by a token narrowed to this repository; nobody, where it is not installed.
    Repository(&'a Repository),
    /// The same, by a token that reads check runs and nothing else.
    Checks(&'a Repository),
    /// The same, by a token that may resolve review threads.
    Threads(&'a Repository),
    /// The same, by a token that reads who is in the organization's teams.
    Members(&'a Repository),
    /// An installation as a whole, by a token that was made for the occasion.
    With(InstallationId, &'a SecretString),
    /// Nobody: public data only.
    Nobody,
}

impl As<'_> {
    /// Whose calls it counts among.
    fn caller(&self) -> Caller {
        match self {
            Self::App => Caller::App,
            Self::With(installation, _) => Caller::Installation(*installation),
            Self::Repository(repo) | Self::Checks(repo) | Self::Threads(repo) | Self::Members(repo) => Caller::of(repo),
            Self::Nobody => Caller::Nobody,
        }
    }
}

/// Whose calls GitHub counts together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Caller {
    App,
    Installation(InstallationId),
    /// Everybody at this machine's address, 60 an hour
    /// (<https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api#primary-rate-limit-for-unauthenticated-users>).
    Nobody,
}

impl Caller {
    pub fn of(repo: &Repository) -> Self {
        repo.installation.map_or(Self::Nobody, Self::Installation)
    }
}

/// A successful reply.
#[derive(Debug)]
pub struct Reply<T> {
    /// The status, 2xx.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its content.
    pub body: T,
}

/// The connection to GitHub. Cloning shares connections, tokens and limits.
#[derive(Clone)]
pub struct GitHub(pub(super) Arc<Inner>);

pub(super) struct Inner {
    transport: Octocrab,
    base: Base,
    /// Host of `GITHUB_SERVER_URL`, for addresses of commits.
    pub server_host: String,
    pub clock: Clock,
    pub key: AppKey,
    /// GitHub's clock minus ours, learned from `Date` (T46).
    skew: AtomicI64,
    pub tokens: Tokens,
    /// Until when each may not call.
    limits: Mutex<HashMap<Caller, Millis>>,
    pub identity: tokio::sync::OnceCell<BotIdentity>,
}

impl fmt::Debug for GitHub {
    /// Shows where it leads and as which App; never a key or token (T45).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { base, key, .. } = &*self.0;
        f.debug_struct("GitHub")
            .field("api_url", &base.to_string())
            .field("app_id", &key.app_id)
            .finish_non_exhaustive()
    }
}

impl GitHub {
    /// A client for the configured App; must be called within a tokio runtime, in which octocrab keeps a worker.
    ///
    /// # Errors
    /// When the private key is no RSA key in PEM or an address is no `http(s)` address; the message names the setting.
    pub fn new(config: &GitHubConfig, clock: Clock) -> anyhow::Result<Self> {
        ensure!(tokio::runtime::Handle::try_current().is_ok(), "the GitHub client is made outside of the runtime");
        let base = Base::parse(&config.api_url).context("GITHUB_API_URL")?;
        let server: Uri = config.server_url.parse().context("GITHUB_SERVER_URL")?;
        let server_host = server.host().context("GITHUB_SERVER_URL has no host")?.to_owned();
        let key = AppKey::new(config.app_id, &config.private_key)?;
        let transport = transport(base.origin().parse().context("GITHUB_API_URL")?);
        Ok(Self(Arc::new(Inner {
            transport,
            base,
            server_host,
            clock,
            key,
            skew: AtomicI64::new(0),
            tokens: Tokens::default(),
            limits: Mutex::default(),
            identity: tokio::sync::OnceCell::new(),
        })))
    }

    /// One call. `path` starts with `/` and is relative to the API's base; an empty reply reads as JSON null.
    ///
    /// Nothing is repeated but what GitHub did not accept at all: a call with a token that it no longer knows, once, with a new one.
    pub async fn call<T: DeserializeOwned>(
        &self,
        who: As<'_>,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<Reply<T>, ApiError> {
        let mut request = Request { method, path: path.to_owned(), body: None };
        if let Some(body) = body {
            let text = serde_json::to_string(body).map_err(|error| request.unreadable(error.to_string()))?;
            request.body = Some(match withhold(&text) {
                Cow::Borrowed(_) => text,
                Cow::Owned(fit) => {
                    tracing::warn!(call = request.label(), "what looks like a secret is withheld from GitHub");
                    fit
                }
            });
        }
        let answer = self.exchange(who, &mut request).await?;
        let bytes: &[u8] = if answer.body.is_empty() { b"null" } else { &answer.body };
        let body = serde_json::from_slice(bytes).map_err(|error| request.unreadable(error.to_string()))?;
        Ok(Reply { status: answer.status, headers: answer.headers, body })
    }

    /// A read.
    pub async fn get<T: DeserializeOwned>(&self, who: As<'_>, path: &str) -> Result<T, ApiError> {
        Ok(self.call(who, Method::GET, path, None::<&()>).await?.body)
    }

    /// Every page of a listing, in GitHub's order.
    pub async fn pages<T: DeserializeOwned>(&self, who: As<'_>, path: &str) -> Result<Vec<T>, ApiError> {
        let mut all = Vec::new();
        let mut path = path.to_owned();
        for _ in 0..PAGES {
            let reply: Reply<Vec<T>> = self.call(who, Method::GET, &path, None::<&()>).await?;
            all.extend(reply.body);
            match self.linked(&path, &reply.headers, "next")? {
                Some(next) => path = next,
                None => return Ok(all),
            }
        }
        Err(unreadable("GET", &path, false, format!("more than {PAGES} pages")))
    }

    /// The page that a reply links to, as a path for the next call.
    pub(super) fn linked(&self, path: &str, headers: &HeaderMap, rel: &str) -> Result<Option<String>, ApiError> {
        let Some(target) = link(headers, rel) else { return Ok(None) };
        let foreign = || unreadable("GET", path, false, format!("its {rel} page leads to another server"));
        self.0.base.relative(target).ok_or_else(foreign).map(Some)
    }

    /// The present time by GitHub's clock as far as it is known.
    pub fn github_now(&self) -> Millis {
        self.0.clock.now() + self.skew()
    }

    /// GitHub's clock minus ours.
    pub fn skew(&self) -> Millis {
        self.0.skew.load(Ordering::Relaxed)
    }

    /// Sends a request with its credential, follows redirects, and turns every status but 2xx into an error.
    pub(super) async fn exchange(&self, who: As<'_>, request: &mut Request) -> Result<Answer, ApiError> {
        for _ in 0..=REDIRECTS {
            self.check_limit(who.caller(), || request.label())?;
            let answer = self.authorized(who, request).await?;
            if answer.status.is_success() {
                return Ok(answer);
            }
            if let Some(target) = redirect(&answer) {
                // That of a renamed repository leads to /repositories/<id>/… of the same server (T11, T25).
                request.path = self.0.base.relative(target).ok_or_else(|| {
                    unreadable(request.method.as_str(), &request.path, false, "redirected to another server".to_owned())
                })?;
                continue;
            }
            let failure = Failure {
                call: request.label(),
                write: request.is_write(),
                status: answer.status,
                headers: &answer.headers,
                body: &answer.body,
                skew: self.skew(),
            };
            let error = classify(failure, &self.0.clock);
            if let ApiError::RateLimited { until, .. } = error {
                self.limits().insert(who.caller(), until);
            }
            return Err(error);
        }
        Err(unreadable(request.method.as_str(), &request.path, false, "redirected in a circle".to_owned()))
    }

    /// One request; a credential that is refused is made anew once.
    async fn authorized(&self, who: As<'_>, request: &Request) -> Result<Answer, ApiError> {
        match who {
            As::Nobody => self.send(None, request).await,
            As::With(_, token) => self.send(Some(token), request).await,
            As::App => {
                let used = self.skew();
                let answer = self.send(Some(&self.app_token()?), request).await?;
                if answer.status != StatusCode::UNAUTHORIZED || self.skew() == used {
                    return Ok(answer);
                }
                // The refusal told what GitHub's clock says, and ours was wrong (T46).
                self.send(Some(&self.app_token()?), request).await
            }
            As::Repository(repo) => self.installed(repo, Access::Api, request).await,
            As::Checks(repo) => self.installed(repo, Access::Checks, request).await,
            As::Threads(repo) => self.installed(repo, Access::Threads, request).await,
            As::Members(repo) => self.installed(repo, Access::Members, request).await,
        }
    }

    /// One request with an installation's token.
    async fn installed(&self, repo: &Repository, access: Access, request: &Request) -> Result<Answer, ApiError> {
        let Some((scope, token)) = self.token(repo, access).await? else {
            if request.is_write() {
                let message = "the App is not installed there".to_owned();
                return Err(ApiError::NoInstallation { call: request.label(), message });
            }
            return self.send(None, request).await;
        };
        let answer = self.send(Some(&token), request).await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        self.forget_token(scope, &token).await;
        let token = self.token(repo, access).await?.map(|(_, token)| token);
        self.send(token.as_ref(), request).await
    }

    pub(super) async fn send(&self, token: Option<&SecretString>, request: &Request) -> Result<Answer, ApiError> {
        let failed = |message: String, ambiguous: bool| ApiError::Unavailable {
            call: request.label(),
            message,
            ambiguous: ambiguous && request.is_write(),
            answered: false,
            not_before: None,
        };
        // The whole path, base included: octocrab's own joining takes `/app` for a path below the base `/a`, and GraphQL is not below it.
        let mut builder = hyper::Request::builder()
            .method(request.method.clone())
            .uri(self.0.base.absolute(&request.path))
            .header(USER_AGENT, AGENT)
            .header(ACCEPT, "application/vnd.github+json")
            .header("x-github-api-version", API_VERSION);
        let body = match &request.body {
            Some(text) => {
                builder = builder.header(CONTENT_TYPE, "application/json");
                OctoBody::from(text.clone())
            }
            None => OctoBody::empty(),
        };
        let outgoing = builder.body(body).map_err(|error| request.unreadable(error.to_string()))?;
        let client = match token {
            Some(token) => self.0.transport.user_access_token(token.expose_secret().to_owned()),
            None => Ok(self.0.transport.clone()),
        };
        let client = client.map_err(|error| failed(chain(&error), false))?;

        let began = Instant::now();
        let exchange = async {
            let response =
                client.execute(outgoing).await.map_err(|error| failed(chain(&error), !never_left(&error)))?;
            let (parts, body) = response.into_parts();
            let body = match Limited::new(body, REPLY_BYTES).collect().await {
                Ok(body) => body.to_bytes(),
                Err(error) if error.is::<http_body_util::LengthLimitError>() => {
                    return Err(request.unreadable(format!("larger than {} MiB", REPLY_BYTES / 1024 / 1024)));
                }
                Err(error) => return Err(failed(chain(&*error), true)),
            };
            Ok(Answer { status: parts.status, headers: parts.headers, body })
        };
        let answer = match tokio::time::timeout(LONGEST_CALL, Box::pin(exchange)).await {
            Ok(answer) => answer?,
            Err(_) => return Err(failed(format!("no answer within {} s", LONGEST_CALL.as_secs()), true)),
        };
        tracing::debug!(
            call = request.label(),
            status = answer.status.as_u16(),
            ms = began.elapsed().as_millis() as u64,
            "GitHub answered"
        );
        self.learn_skew(&answer.headers);
        Ok(answer)
    }

    fn learn_skew(&self, headers: &HeaderMap) {
        if let Some(date) = headers.get(DATE).and_then(|value| value.to_str().ok()).and_then(http_date) {
            let skew = date - self.0.clock.now();
            self.0.skew.store(if skew.abs() < SKEW_NOISE { 0 } else { skew }, Ordering::Relaxed);
        }
    }

    /// Calls during a limit are answered here: GitHub may ban an integration that goes on calling (F10).
    pub(super) fn check_limit(&self, caller: Caller, call: impl FnOnce() -> String) -> Result<(), ApiError> {
        match self.limits().get(&caller) {
            Some(&until) if until > self.0.clock.now() => Err(ApiError::RateLimited {
                call: call(),
                until,
                message: "not sent: an earlier call met the limit".to_owned(),
            }),
            _ => Ok(()),
        }
    }

    fn limits(&self) -> std::sync::MutexGuard<'_, HashMap<Caller, Millis>> {
        self.0.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// octocrab over a connection pool of our own. Its default client names itself as the user agent and leaves no place for another name;
/// its retry and redirects would repeat writes, and its tracing would log addresses.
fn transport(base: Uri) -> Octocrab {
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_connect_timeout(Some(CONNECT));
    let https = trusting().https_or_http().enable_http1().wrap_connector(http);
    let client: Client<_, OctoBody> = Client::builder(TokioExecutor::new()).build(https);
    let built = OctocrabBuilder::new_empty()
        .with_service(client)
        .with_layer(&BaseUriLayer::new(base))
        .with_auth(AuthState::None)
        .build();
    match built {
        Ok(transport) => transport,
        Err(never) => match never {},
    }
}

/// Whom to believe to be GitHub: the authorities that this machine trusts, or those in `SSL_CERT_FILE` and `SSL_CERT_DIR`, for an Enterprise
/// server may have its certificate from one that nobody else knows; git and curl read the same. A machine without any gets Mozilla's.
pub(super) fn trusting() -> HttpsConnectorBuilder<WantsSchemes> {
    HttpsConnectorBuilder::new().with_native_roots().unwrap_or_else(|error| {
        tracing::warn!("this machine names no certificate authorities ({error}): Mozilla's are trusted; set SSL_CERT_FILE for others");
        HttpsConnectorBuilder::new().with_webpki_roots()
    })
}

/// What is sent, apart from the credential.
pub(super) struct Request {
    pub method: Method,
    /// Path and query relative to the base.
    pub path: String,
    pub body: Option<String>,
}

impl Request {
    fn is_write(&self) -> bool {
        !matches!(self.method, Method::GET | Method::HEAD)
    }

    /// Method and path without the query, for messages.
    fn label(&self) -> String {
        label(self.method.as_str(), &self.path)
    }

    pub fn unreadable(&self, message: String) -> ApiError {
        unreadable(self.method.as_str(), &self.path, self.is_write(), message)
    }
}

/// What came back, whatever the status.
pub(super) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: bytes::Bytes,
}

fn label(method: &str, path: &str) -> String {
    format!("{method} {}", path.split('?').next().unwrap_or(path))
}

/// An error about a reply's content.
pub(super) fn unreadable(method: &str, path: &str, ambiguous: bool, message: String) -> ApiError {
    ApiError::Unreadable { call: label(method, path), message, ambiguous }
}

/// Where else the same request is to be made. Nothing was carried out, and GitHub wants it "repeated verbatim", writes too
/// (<https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api#follow-redirects>).
fn redirect(answer: &Answer) -> Option<&str> {
    let redirects = matches!(answer.status.as_u16(), 301 | 302 | 307 | 308);
    if redirects { answer.headers.get(LOCATION)?.to_str().ok() } else { None }
}

/// Whether a transport error came before the request could leave: then even a write was not carried out.
fn never_left(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.downcast_ref::<hyper_util::client::legacy::Error>().is_some_and(|error| error.is_connect()) {
            return true;
        }
        next = error.source();
    }
    false
}

/// An error and its causes in one line. octocrab's own text repeats its cause and adds a backtrace, so that each part is told once.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let part = error.to_string();
        let part = part.lines().next().unwrap_or_default();
        if !text.contains(part) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(part);
        }
        next = error.source();
    }
    text
}

/// The API's base address, taken apart.
struct Base {
    /// `https` or `http`.
    scheme: String,
    /// Host and port as configured.
    authority: String,
    /// Path without a trailing slash; empty on github.com, `/api/v3` on GitHub Enterprise Server.
    path: String,
}

impl Base {
    fn parse(text: &str) -> anyhow::Result<Self> {
        let uri: Uri =
            text.parse().with_context(|| format!("{text:?} is no address; set it like https://api.github.com"))?;
        let (Some(scheme @ ("https" | "http")), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            bail!("{text:?} is no http(s) address; set it like https://api.github.com");
        };
        ensure!(
            !authority.as_str().contains('@'),
            "it holds a user name, which is not supported: the App signs in with its key"
        );
        ensure!(uri.query().is_none(), "{text:?} has a query; set it like https://api.github.com");
        Ok(Self {
            scheme: scheme.to_owned(),
            authority: authority.as_str().to_ascii_lowercase(),
            path: uri.path().trim_end_matches('/').to_owned(),
        })
    }

    /// Scheme, host and port.
    fn origin(&self) -> String {
        format!("{}://{}", self.scheme, self.authority)
    }

    /// The whole path of a call. GraphQL is beside the REST API of GitHub Enterprise Server, `/api/graphql` by `/api/v3`
    /// (<https://docs.github.com/en/enterprise-server@latest/graphql/guides/forming-calls-with-graphql#the-graphql-endpoint>).
    fn absolute(&self, path: &str) -> String {
        let base = if path == GRAPHQL { self.path.strip_suffix("/v3").unwrap_or(&self.path) } else { &self.path };
        format!("{base}{path}")
    }

    /// Path and query below the base of an address on the same origin (or of an absolute path); `None` for any other.
    fn relative(&self, target: &str) -> Option<String> {
        let uri: Uri = target.parse().ok()?;
        let port = |scheme: &str| if scheme == "https" { ":443" } else { ":80" };
        let without_default =
            |scheme: &str, authority: &str| authority.strip_suffix(port(scheme)).unwrap_or(authority).to_owned();
        if let Some(authority) = uri.authority() {
            let scheme = uri.scheme_str()?;
            let theirs = without_default(scheme, &authority.as_str().to_ascii_lowercase());
            if scheme != self.scheme || theirs != without_default(&self.scheme, &self.authority) {
                return None;
            }
        }
        let below = uri.path_and_query()?.as_str().strip_prefix(&self.path)?;
        below.starts_with('/').then(|| below.to_owned())
    }
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin(), self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn graphql_is_beside_the_rest_api() {
        for (base, path) in [
            ("https://api.github.com", "/graphql"),
            ("https://api.acme.ghe.com/", "/graphql"),
            ("https://ghe.example/api/v3", "/api/graphql"),
            ("https://ghe.example/api/v3/", "/api/graphql"),
        ] {
            assert_eq!(Base::parse(base).unwrap().absolute(GRAPHQL), path, "{base}");
        }
        assert_eq!(Base::parse("https://ghe.example/api/v3").unwrap().absolute("/app"), "/api/v3/app");
    }

    #[test]
    fn only_the_same_origin_below_the_base_is_followed() {
        // T25
        let base = Base::parse("https://ghe.example/api/v3").unwrap();
        for (target, path) in [
            ("https://ghe.example/api/v3/x?page=2", Some("/x?page=2")),
            ("https://GHE.example:443/api/v3/x", Some("/x")),
            ("/api/v3/repositories/1/x", Some("/repositories/1/x")),
            ("http://ghe.example/api/v3/x", None),
            ("https://evil.example/api/v3/x", None),
            ("https://ghe.example.evil/api/v3/x", None),
            ("https://ghe.example:8443/api/v3/x", None),
            ("https://u@ghe.example/api/v3/x", None),
            ("https://ghe.example/api/v30/x", None),
            ("https://ghe.example/x", None),
        ] {
            assert_eq!(base.relative(target).as_deref(), path, "{target}");
        }
        for bad in ["", "api.github.com", "ftp://x", "https://u:p@x", "https://x/?q"] {
            assert!(Base::parse(bad).is_err(), "{bad}");
        }
    }
}
