//! A GitHub of a few lines for the tests of this module: it records what it is asked and answers as the test says.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::{Value, json};

use super::GitHub;
use crate::config::GitHubConfig;
use crate::model::{Clock, InstallationId, Repository, RepositoryId};

/// One request as it arrived, with the base path taken off.
#[derive(Clone, Debug)]
pub struct Seen {
    pub origin: String,
    pub method: String,
    pub path: String,
    pub query: String,
    pub headers: HeaderMap,
    pub body: Value,
}

impl Seen {
    pub fn header(&self, name: &str) -> String {
        let values: Vec<_> = self.headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect();
        values.join(", ")
    }
}

/// An answer in the making.
pub struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

pub fn respond(status: u16, body: Value) -> Answer {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    Answer { status, headers: Vec::new(), body }
}

impl Answer {
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

#[derive(Default)]
struct State {
    seen: Mutex<Vec<Seen>>,
    minted: AtomicUsize,
}

/// The running server; installation tokens are minted by it, everything else is the test's.
pub struct Fake {
    pub api_url: String,
    state: Arc<State>,
}

impl Fake {
    pub async fn start(base: &'static str, answer: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> Self {
        Self::start_with(base, |_| None, answer).await
    }

    /// A server on which `mint` may answer requests for tokens itself.
    pub async fn start_with(
        base: &'static str,
        mint: impl Fn(&Seen) -> Option<Answer> + Send + Sync + 'static,
        answer: impl Fn(&Seen) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let state = Arc::new(State::default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let api_url = format!("{origin}{base}");
        let (shared, answer) = (state.clone(), Arc::new((mint, answer)));
        let handler = move |request: Request| {
            let (state, answer, origin) = (shared.clone(), answer.clone(), origin.clone());
            async move {
                let (parts, body) = request.into_parts();
                let bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap();
                let seen = Seen {
                    origin,
                    method: parts.method.to_string(),
                    path: parts.uri.path().strip_prefix(base).unwrap_or("outside of the base").to_owned(),
                    query: parts.uri.query().unwrap_or_default().to_owned(),
                    headers: parts.headers,
                    body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
                };
                state.seen.lock().unwrap().push(seen.clone());
                let mints = seen.path.starts_with("/app/installations/") && seen.path.ends_with("/access_tokens");
                let reply = match answer.0(&seen) {
                    _ if !mints => answer.1(&seen),
                    Some(reply) => reply,
                    None => {
                        // Slow enough that callers at once really meet.
                        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                        let n = state.minted.fetch_add(1, Ordering::SeqCst) + 1;
                        let ends = chrono::Utc::now() + chrono::TimeDelta::hours(1);
                        respond(201, json!({ "token": format!("ghs_secret{n}"), "expires_at": ends.to_rfc3339() }))
                    }
                };
                let mut response = Response::builder().status(reply.status);
                for (name, value) in reply.headers {
                    response = response.header(name, value);
                }
                response.body(Body::from(reply.body)).unwrap()
            }
        };
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback(handler)).await.unwrap() });
        Self { api_url, state }
    }

    pub fn client(&self) -> GitHub {
        self.client_at(Clock::System)
    }

    pub fn client_at(&self, clock: Clock) -> GitHub {
        GitHub::new(&config(&self.api_url), clock).unwrap()
    }

    pub fn repo(&self) -> Repository {
        Repository { id: RepositoryId(5), installation: Some(InstallationId(3)), name: "octo/hello".parse().unwrap() }
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().unwrap().clone()
    }

    pub fn count(&self, method: &str, path: &str) -> usize {
        self.seen().iter().filter(|request| request.method == method && request.path == path).count()
    }

    pub fn minted(&self) -> usize {
        self.state.minted.load(Ordering::SeqCst)
    }
}

pub fn config(api_url: &str) -> GitHubConfig {
    GitHubConfig {
        app_id: 4242,
        private_key: include_str!("test-app-key.pem").to_owned().into(),
        webhook_secret: "a webhook secret for tests".to_owned().into(),
        api_url: api_url.to_owned(),
        server_url: "https://github.example".to_owned(),
    }
}
