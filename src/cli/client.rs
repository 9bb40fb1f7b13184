//! How subcommands reach the instance that holds the database: HTTP over its unix socket.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::Program;
use super::api::Refusal;
use crate::config::Config;

/// Removing large workspaces from a runner may take ten minutes; nothing else takes as long.
const PATIENCE: Duration = Duration::from_secs(11 * 60);

/// More than any list that is asked for.
const MAX_ANSWER: usize = 32 * 1024 * 1024;

/// What is found at `$TRACK_HOME/track.sock`.
pub enum Connection {
    /// Somebody answers.
    Socket(Client),
    /// No server runs.
    NoServer,
}

/// Talks to one instance, with one connection per request.
pub struct Client {
    socket: PathBuf,
    /// Keeps an instance in this process alive, where no server runs.
    _instance: Option<Box<dyn Send>>,
}

/// Looks whether a server runs on `home`.
pub async fn connect(home: &Path) -> anyhow::Result<Connection> {
    let socket = home.join("track.sock");
    match UnixStream::connect(&socket).await {
        Ok(_) => Ok(Connection::Socket(Client { socket, _instance: None })),
        // A socket that nobody listens on is left behind by a server that was killed.
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
            Ok(Connection::NoServer)
        }
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            bail!("{} belongs to another account: run this as the account that runs `track serve`", socket.display())
        }
        Err(error) => Err(error).with_context(|| format!("cannot reach the server on {}", socket.display())),
    }
}

/// A client of the running server, or of an instance in this process where none runs.
pub async fn reach(config: &Config, program: &dyn Program) -> anyhow::Result<Client> {
    if let Connection::Socket(client) = connect(&config.home).await? {
        return Ok(client);
    }
    let instance = program.instance(config.clone()).await?;
    Ok(Client { socket: config.home.join("track.sock"), _instance: Some(instance) })
}

impl Client {
    /// Asks for `path` and reads the answer.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        read(&self.send(Method::GET, path, Bytes::new()).await?)
    }

    /// Sends `body` to `path` and reads the answer.
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> anyhow::Result<T> {
        read(&self.send(Method::POST, path, serde_json::to_vec(body)?.into()).await?)
    }

    /// Sends `body` to `path`, where nothing is answered.
    pub async fn order(&self, path: &str, body: &impl Serialize) -> anyhow::Result<()> {
        self.send(Method::POST, path, serde_json::to_vec(body)?.into()).await.map(drop)
    }

    /// Deletes `path`.
    pub async fn delete(&self, path: &str) -> anyhow::Result<()> {
        self.send(Method::DELETE, path, Bytes::new()).await.map(drop)
    }

    async fn send(&self, method: Method, path: &str, body: Bytes) -> anyhow::Result<Bytes> {
        let exchange = async {
            let stream = UnixStream::connect(&self.socket).await?;
            let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
            let connection = tokio::spawn(connection);
            let request = Request::builder()
                .method(method)
                .uri(path)
                .header(HOST, "track")
                .header(CONTENT_TYPE, "application/json")
                .body(Full::new(body))?;
            let response = sender.send_request(request).await?;
            let status = response.status();
            let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
            let body = body.map_err(|error| anyhow::anyhow!("the answer broke off: {error}"))?.to_bytes();
            connection.abort();
            anyhow::Ok((status, body))
        };
        let (status, body) = timeout(PATIENCE, exchange)
            .await
            .map_err(|_| anyhow::anyhow!("the server did not answer within {} s", PATIENCE.as_secs()))?
            .with_context(|| format!("the server on {} could not be asked", self.socket.display()))?;
        if status.is_success() {
            return Ok(body);
        }
        match serde_json::from_slice::<Refusal>(&body) {
            Ok(refusal) => bail!("{}", crate::logging::visible(&refusal.error)),
            Err(_) => bail!("the server answered {status} to {path}"),
        }
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> anyhow::Result<T> {
    serde_json::from_slice(body)
        .context("the server's answer is not what this version expects: are both the same version?")
}

#[cfg(test)]
mod tests {
    use axum::extract::RawQuery;
    use axum::http::StatusCode;
    use axum::routing::{get, post};
    use axum::{Json, Router};
    use serde_json::{Value, json};
    use tokio::net::UnixListener;

    use super::*;

    /// A server on `home`'s socket that knows one path of each sort.
    fn serve(home: &Path) {
        let routes = Router::new()
            .route("/list", get(async |RawQuery(query)| Json(json!([query]))))
            .route("/echo", post(async |Json(body): Json<Value>| Json(body)))
            .route(
                "/no",
                get(async || (StatusCode::CONFLICT, Json(json!({"error": "build-1 has live runs\u{1b}[2J"})))),
            )
            .route("/odd", get(async || (StatusCode::BAD_GATEWAY, "<html>")));
        let listener = UnixListener::bind(home.join("track.sock")).unwrap();
        tokio::spawn(async move { axum::serve(listener, routes).await });
    }

    async fn client(home: &Path) -> Client {
        match connect(home).await.unwrap() {
            Connection::Socket(client) => client,
            Connection::NoServer => panic!("no server"),
        }
    }

    #[tokio::test]
    async fn requests_go_over_the_socket() {
        let home = tempfile::tempdir().unwrap();
        serve(home.path());
        let client = client(home.path()).await;
        assert_eq!(client.get::<Value>("/list?limit=3").await.unwrap(), json!(["limit=3"]));
        assert_eq!(client.post::<Value>("/echo", &json!({"a": 1})).await.unwrap(), json!({"a": 1}));
    }

    #[tokio::test]
    async fn a_refusal_is_the_servers_own_sentence() {
        let home = tempfile::tempdir().unwrap();
        serve(home.path());
        let client = client(home.path()).await;
        // T26
        assert_eq!(client.get::<Value>("/no").await.unwrap_err().to_string(), "build-1 has live runs\\u{1b}[2J");
        assert_eq!(
            client.get::<Value>("/odd").await.unwrap_err().to_string(),
            "the server answered 502 Bad Gateway to /odd"
        );
        assert!(client.get::<i32>("/list").await.unwrap_err().to_string().contains("same version"));
    }

    #[tokio::test]
    async fn no_socket_and_a_dead_one_mean_no_server() {
        let home = tempfile::tempdir().unwrap();
        assert!(matches!(connect(home.path()).await.unwrap(), Connection::NoServer));
        drop(UnixListener::bind(home.path().join("track.sock")).unwrap());
        assert!(matches!(connect(home.path()).await.unwrap(), Connection::NoServer));
    }
}
