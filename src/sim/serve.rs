//! The listener: takes each request apart, asks the fault hook, has it answered by the API, git or the web side, and keeps
//! the journal. It accepts connections itself because a fault may cut one without an answer.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::model::{InstallationId, Millis};

use super::app_auth::{Caller, identify, identify_git};
use super::rest::Reply;
use super::{Inner, git_http, oauth, rest, web};

/// Where the API is, below the server's URL.
const API: &str = "/api/v3";

/// Where GraphQL is: beside the REST API, though the journal has it below.
const GRAPHQL: (&str, &str) = ("/api/graphql", "/graphql");

/// What a fault hook is.
pub(super) type FaultHook = dyn Fn(&RequestInfo) -> Option<Fault> + Send + Sync;

/// A request as the fault hook sees it, before it is handled.
#[derive(Clone, Debug)]
pub struct RequestInfo {
    /// E.g. `POST`.
    pub method: String,
    /// For the API the path below its URL, e.g. `/repos/octo/hello`; for git the whole path.
    pub path: String,
    /// What follows the question mark.
    pub query: String,
    /// The installation whose token it carries.
    pub installation: Option<InstallationId>,
    /// The JSON of an API request, else null.
    pub body: Value,
}

/// What may go wrong with a request.
#[derive(Clone, Debug)]
pub enum Fault {
    /// It is not carried out; this is the answer.
    Status {
        /// E.g. 502.
        code: u16,
        /// E.g. `retry-after`.
        headers: Vec<(String, String)>,
        /// The whole body.
        body: String,
    },
    /// The connection is cut before anything was done.
    DropBeforeHandling,
    /// It is carried out, and the connection is cut instead of an answer.
    DropAfterHandling,
    /// It is carried out this much later.
    Delay(Duration),
}

/// A request that was made.
#[derive(Clone, Debug)]
pub struct RequestRecord {
    /// When it was answered.
    pub at: Millis,
    /// E.g. `POST`.
    pub method: String,
    /// For the API the path below its URL; for git the whole path.
    pub path: String,
    /// What follows the question mark.
    pub query: String,
    /// The status it was answered with; 0 if it was dropped before anything was done.
    pub status: u16,
    /// Whether the answer was sent.
    pub answered: bool,
    /// Whether the simulator has such an endpoint.
    pub known: bool,
    /// The installation whose token it carried.
    pub installation: Option<InstallationId>,
    /// The JSON of an API request, else null.
    pub body: Value,
}

/// The connection is to be cut without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the simulator dropped the connection")]
struct Dropped;

/// Serves until the simulator stops.
pub(super) async fn run(inner: Arc<Inner>, listener: TcpListener) {
    let mut connections = JoinSet::new();
    loop {
        let stream = tokio::select! {
            () = inner.stopped.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match stream {
            Ok((stream, _)) => {
                connections.spawn(connection(inner.clone(), stream));
            }
            Err(error) => tracing::warn!("the simulator cannot accept a connection: {error}"),
        }
    }
    connections.shutdown().await;
}

async fn connection(inner: Arc<Inner>, stream: TcpStream) {
    // Small answers must not wait for a full packet.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let inner = inner.clone();
        async move { answer(&inner, request).await }
    });
    let served = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    if let Err(error) = Box::pin(served).await {
        tracing::trace!("a connection to the simulator ended: {error}");
    }
}

async fn answer(inner: &Arc<Inner>, request: hyper::Request<Incoming>) -> Result<Response, Dropped> {
    let (parts, body) = request.into_parts();
    // What arrives incomplete was never asked.
    let body = to_bytes(Body::new(body), usize::MAX).await.map_err(|_| Dropped)?;
    let path = parts.uri.path().to_owned();
    let below = path.strip_prefix(API).filter(|path| *path != GRAPHQL.1);
    if let Some(path) = below.or_else(|| (path == GRAPHQL.0).then_some(GRAPHQL.1)) {
        let json = if body.is_empty() { Ok(Value::Null) } else { serde_json::from_slice(&body) };
        let mut caller = rest::admit(&parts).and_then(|()| identify(inner, &parts.headers));
        let json = json.unwrap_or_else(|_| {
            caller = caller.clone().and(Err(rest::refusal(400, "Problems parsing JSON")));
            Value::Null
        });
        return recorded(inner, (&parts, path), (caller, json), async |caller, json| {
            rest::handle(inner, &parts, path, caller, json).await
        })
        .await;
    }
    if git_http::is_git(&path) {
        let caller = identify_git(inner, &parts.headers);
        return recorded(inner, (&parts, &path), (caller, Value::Null), async |caller, _| {
            (git_http::handle(inner, &parts, caller, body).await, true)
        })
        .await;
    }
    if path == oauth::EXCHANGE {
        return recorded(inner, (&parts, &path), (Ok(Caller::Nobody), Value::Null), async |_, _| {
            (oauth::exchange(inner, &parts, &body), true)
        })
        .await;
    }
    Ok(web::answer(inner, &parts, &body).await)
}

/// Answers a request of track's, through the fault hook and into the journal.
async fn recorded(
    inner: &Inner,
    (parts, path): (&Parts, &str),
    (caller, body): (Result<Caller, Reply>, Value),
    handle: impl AsyncFnOnce(Result<Caller, Reply>, Value) -> (Reply, bool),
) -> Result<Response, Dropped> {
    let info = RequestInfo {
        method: parts.method.to_string(),
        path: path.to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        installation: match &caller {
            Ok(Caller::Installation(_, token)) => Some(InstallationId(token.installation)),
            _ => None,
        },
        body: body.clone(),
    };
    let hook = inner.fault.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
    let fault = hook.and_then(|hook| hook(&info));
    let (reply, known) = match &fault {
        Some(Fault::Status { code, headers, body }) => {
            (Reply::raw(*code, "application/json; charset=utf-8", body.clone()).with_headers(headers.clone()), true)
        }
        Some(Fault::DropBeforeHandling) => (Reply::empty(0), true),
        Some(Fault::Delay(by)) => {
            tokio::time::sleep(*by).await;
            handle(caller, body).await
        }
        Some(Fault::DropAfterHandling) | None => handle(caller, body).await,
    };
    let answered = !matches!(fault, Some(Fault::DropBeforeHandling | Fault::DropAfterHandling));
    let at = inner.world().now();
    inner.journal.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(RequestRecord {
        at,
        method: info.method,
        path: info.path,
        query: info.query,
        status: reply.status,
        answered,
        known,
        installation: info.installation,
        body: info.body,
    });
    if answered { Ok(finish(inner, reply)) } else { Err(Dropped) }
}

/// Adds what every answer of GitHub's carries.
fn finish(inner: &Inner, reply: Reply) -> Response {
    /// The hourly limit of an installation with some repositories; the simulator counts but never refuses by itself.
    const LIMIT: u64 = 15_000;
    let (used, now) = {
        let mut world = inner.world();
        world.requests += 1;
        (world.requests % LIMIT, world.now() / 1000)
    };
    let reset = now / 3600 * 3600 + 3600;
    let date = chrono::DateTime::from_timestamp(now, 0).unwrap_or_default();
    let mut response = Response::builder().status(reply.status);
    let given = |name: &str| reply.headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name));
    for (name, value) in [
        ("content-type", reply.content_type.to_owned()),
        ("date", date.format("%a, %d %b %Y %H:%M:%S GMT").to_string()),
        ("x-ratelimit-limit", LIMIT.to_string()),
        ("x-ratelimit-remaining", (LIMIT - used).to_string()),
        ("x-ratelimit-used", used.to_string()),
        ("x-ratelimit-reset", reset.to_string()),
        ("x-ratelimit-resource", "core".to_owned()),
        ("x-github-request-id", hex::encode_upper(rand::random::<[u8; 8]>())),
        ("x-github-media-type", "github.v3; format=json".to_owned()),
    ] {
        // Only an answer without a body has no content type.
        if !value.is_empty() && !given(name) {
            response = response.header(name, value);
        }
    }
    for (name, value) in &reply.headers {
        response = response.header(name, value);
    }
    match response.body(Body::from(Bytes::from(reply.body))) {
        Ok(response) => response,
        // Only a fault hook can name a status or header that does not exist.
        Err(error) => (axum::http::StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
