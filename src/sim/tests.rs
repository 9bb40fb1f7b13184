//! The simulator as its users meet it: over HTTP and with the real git.

mod acting;
mod api;
mod clones;
mod created;
mod hooks;
mod owners;
mod reviews;
mod signing_in;

use std::path::Path;
use std::process::Output;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::http::HeaderMap;
use axum::routing::post;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;

const REPO: &str = "octo/hello";
const SECRET: &str = "a secret of more than 16 bytes";

/// A simulator with a person, a repository and a receiver of webhooks.
struct World {
    sim: Sim,
    folder: TempDir,
    received: Arc<Mutex<Vec<(HeaderMap, Bytes)>>>,
}

impl World {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut Options)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut options = Options::new(folder.path().join("github"), AppSettings::new(SECRET.into()));
        change(&mut options);
        let sim = Sim::start(options).await.unwrap();
        sim.add_user("octo");
        sim.add_repository(REPO, &[("README.md", "hello\n"), ("src/a.txt", "a\n")]).await.unwrap();

        let received = Arc::new(Mutex::new(Vec::new()));
        let seen = received.clone();
        let receiver = axum::Router::new().route(
            "/hook",
            post(async move |headers: HeaderMap, body: Bytes| {
                seen.lock().unwrap().push((headers, body));
                hyper::StatusCode::ACCEPTED
            }),
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        sim.set_webhook_url(Some(&format!("http://{}/hook", listener.local_addr().unwrap())));
        tokio::spawn(async { axum::serve(listener, receiver).await.unwrap() });
        Self { sim, folder, received }
    }

    /// What was received so far, as `event.action`.
    async fn events(&self) -> Vec<String> {
        self.sim.settled().await;
        let text = |(headers, body): &(HeaderMap, Bytes)| {
            let payload: Value = serde_json::from_slice(body).unwrap();
            let event = headers["x-github-event"].to_str().unwrap();
            payload["action"].as_str().map_or(event.to_owned(), |action| format!("{event}.{action}"))
        };
        self.received.lock().unwrap().iter().map(text).collect()
    }

    async fn call(&self, method: &str, path: &str, auth: &str, body: Value) -> Result<(u16, Value), String> {
        let (status, _, value) = self.call_in_full(method, path, auth, body).await?;
        Ok((status, value))
    }

    async fn call_in_full(
        &self,
        method: &str,
        path: &str,
        auth: &str,
        body: Value,
    ) -> Result<(u16, HeaderMap, Value), String> {
        let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
        let uri = if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", self.sim.api_url()) };
        let mut request = Request::builder().method(method).uri(uri).header("user-agent", "test");
        if !auth.is_empty() {
            request = request.header("authorization", auth);
        }
        let response = client.request(request.body(Full::new(body.to_string().into())).unwrap()).await;
        let response = response.map_err(|error| error.to_string())?;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
        Ok((parts.status.as_u16(), parts.headers, serde_json::from_slice(&body).unwrap_or(Value::Null)))
    }

    /// Asks for a page: status, headers, text.
    async fn page(&self, path: &str) -> (u16, HeaderMap, String) {
        self.browse(Request::get(format!("{}{path}", self.sim.url())), String::new()).await
    }

    /// Sends a form.
    async fn form(&self, path: &str, fields: &[(&str, &str)]) -> (u16, HeaderMap, String) {
        let request = Request::post(format!("{}{path}", self.sim.url()))
            .header("content-type", "application/x-www-form-urlencoded");
        self.browse(request, web::urlencoded(fields)).await
    }

    async fn browse(&self, request: hyper::http::request::Builder, body: String) -> (u16, HeaderMap, String) {
        let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
        let (parts, body) = client.request(request.body(Full::new(body.into())).unwrap()).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (parts.status.as_u16(), parts.headers, String::from_utf8(body.to_vec()).unwrap())
    }

    /// The `Authorization` of a new installation token for [`REPO`].
    async fn token(&self, narrowing: Value) -> String {
        let jwt = jwt(|_| {});
        let (status, installation) =
            self.call("GET", &format!("/repos/{REPO}/installation"), &jwt, json!({})).await.unwrap();
        assert_eq!(status, 200, "{installation}");
        let path = format!("/app/installations/{}/access_tokens", installation["id"]);
        let (status, token) = self.call("POST", &path, &jwt, narrowing).await.unwrap();
        assert_eq!(status, 201, "{token}");
        format!("token {}", token["token"].as_str().unwrap())
    }

    /// Runs git against the simulator as somebody with that token.
    async fn git(&self, folder: &Path, token: &str, args: &[&str]) -> Output {
        use base64::Engine as _;
        let secret = token.trim_start_matches("token ");
        let basic = base64::engine::general_purpose::STANDARD.encode(format!("x-access-token:{secret}"));
        let mut command = git::command(folder);
        command
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_CONFIG_COUNT", "1")
            .env("GIT_CONFIG_KEY_0", "http.extraHeader")
            .env(
                "GIT_CONFIG_VALUE_0",
                if token.is_empty() { String::new() } else { format!("Authorization: Basic {basic}") },
            )
            .args(["-c", "user.name=t", "-c", "user.email=t@localhost"])
            .args(args);
        git::output(&mut command, b"").await.unwrap()
    }

    fn remote(&self) -> String {
        format!("{}/{REPO}.git", self.sim.url())
    }
}

/// The `Authorization` of the App, with claims as they should be unless changed.
fn jwt(change: impl FnOnce(&mut Value)) -> String {
    let now = Clock::System.now() / 1000;
    let mut claims = json!({ "iss": "4242", "iat": now - 60, "exp": now + 500 });
    change(&mut claims);
    let key = jsonwebtoken::EncodingKey::from_rsa_pem(APP_PRIVATE_KEY_PEM.as_bytes()).unwrap();
    let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::RS256);
    format!("Bearer {}", jsonwebtoken::encode(&header, &claims, &key).unwrap())
}

/// The value of a field.
type Fields = Box<dyn Fn(&str) -> Option<String>>;

/// Where an answer leads, and a field of the query there.
fn led(headers: &HeaderMap) -> (String, Fields) {
    let location = headers["location"].to_str().unwrap().to_owned();
    let (place, query) = location.split_once('?').unwrap_or((&location, ""));
    let (parts, ()) = Request::get(format!("/?{query}")).body(()).unwrap().into_parts();
    let fields = web::Fields::of(&parts, b"");
    (place.to_owned(), Box::new(move |name| fields.get(name).map(str::to_owned)))
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
