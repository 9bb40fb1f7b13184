//! A person shows who they are: the web flow of the App's own client, with PKCE.
//! <https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-user-access-token-for-a-github-app>
//!
//! The person's token is used once, to ask whose it is, and given back: the bot acts as itself, never as a person.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use hyper::{Method, Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::User;
use super::client::{AGENT, CONNECT, trusting};
use crate::config::{GitHubConfig, SignInConfig};
use crate::model::Account;

/// For one exchange.
const PATIENCE: Duration = Duration::from_secs(15);
/// The replies are a few hundred bytes.
const REPLY_BYTES: usize = 256 * 1024;

/// Why nobody is known.
#[derive(Debug, thiserror::Error)]
pub enum NotKnown {
    /// GitHub says no: the code was used before, is too old or another client's.
    #[error("GitHub does not accept the sign-in: {0}")]
    Refused(String),
    /// GitHub cannot be asked.
    #[error("GitHub could not be asked who you are: {0}")]
    Unavailable(String),
}

/// Where a person confirms at GitHub who they are; `challenge` is RFC 7636's, of S256.
pub fn authorize_url(
    github: &GitHubConfig,
    client: &SignInConfig,
    callback: &str,
    state: &str,
    challenge: &str,
) -> String {
    let fields = [
        ("client_id", client.client_id.as_str()),
        ("redirect_uri", callback),
        ("state", state),
        ("code_challenge", challenge),
        ("code_challenge_method", "S256"),
    ];
    let query = serde_urlencoded::to_string(fields).unwrap_or_default();
    format!("{}/login/oauth/authorize?{query}", github.server_url)
}

/// RFC 7636, 4.2.
pub fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier))
}

/// Whose the code is that GitHub gave to a browser.
pub async fn identify(
    github: &GitHubConfig,
    client: &SignInConfig,
    (code, verifier, callback): (&str, &str, &str),
) -> Result<Account, NotKnown> {
    #[derive(Deserialize)]
    struct Granted {
        access_token: Option<String>,
        error: Option<String>,
        error_description: Option<String>,
    }

    let secret = client.client_secret.expose_secret();
    let fields = [
        ("client_id", client.client_id.as_str()),
        ("client_secret", secret),
        ("code", code),
        ("redirect_uri", callback),
        ("code_verifier", verifier),
    ];
    let form = serde_urlencoded::to_string(fields).unwrap_or_default();
    let request = Request::post(format!("{}/login/oauth/access_token", github.server_url))
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(ACCEPT, "application/json");
    let (status, body) = exchange(request, form.into()).await?;
    let granted: Granted = serde_json::from_slice(&body).map_err(|_| {
        NotKnown::Unavailable(format!("its answer ({status}) cannot be read; is GITHUB_SERVER_URL right?"))
    })?;
    let Some(token) = granted.access_token.map(SecretString::from) else {
        let why = [granted.error_description, granted.error].into_iter().flatten().next();
        return Err(NotKnown::Refused(why.unwrap_or_else(|| format!("it answers {status}"))));
    };
    let whose = whose(github, &token).await;
    give_back(github, client, &token).await;
    whose
}

async fn whose(github: &GitHubConfig, token: &SecretString) -> Result<Account, NotKnown> {
    let request = Request::get(format!("{}/user", github.api_url))
        .header(AUTHORIZATION, format!("Bearer {}", token.expose_secret()))
        .header(ACCEPT, "application/vnd.github+json");
    let (status, body) = exchange(request, Bytes::new()).await?;
    if status != StatusCode::OK {
        return Err(NotKnown::Unavailable(format!("it answers {status} to the question who you are")));
    }
    let user: User = serde_json::from_slice(&body)
        .map_err(|_| NotKnown::Unavailable("its answer to the question who you are cannot be read".to_owned()))?;
    Ok(user.account)
}

/// Ends the token: where that fails, it ends by itself within hours, and nobody has it.
/// <https://docs.github.com/en/rest/apps/oauth-applications#delete-an-app-token>
async fn give_back(github: &GitHubConfig, client: &SignInConfig, token: &SecretString) {
    let basic = STANDARD.encode(format!("{}:{}", client.client_id, client.client_secret.expose_secret()));
    let request = Request::builder()
        .method(Method::DELETE)
        .uri(format!("{}/applications/{}/token", github.api_url, client.client_id))
        .header(AUTHORIZATION, format!("Basic {basic}"))
        .header(CONTENT_TYPE, "application/json")
        .header(ACCEPT, "application/vnd.github+json");
    let body = serde_json::json!({ "access_token": token.expose_secret() }).to_string();
    match exchange(request, body.into()).await {
        Ok((status, _)) => tracing::debug!(%status, "a person's token is given back"),
        Err(error) => tracing::debug!(%error, "a person's token could not be given back"),
    }
}

/// A request to GitHub without the App's own credentials.
pub(super) async fn exchange(
    request: hyper::http::request::Builder,
    body: Bytes,
) -> Result<(StatusCode, Bytes), NotKnown> {
    let request = request
        .header(USER_AGENT, AGENT)
        .body(Full::new(body))
        .map_err(|error| NotKnown::Unavailable(error.to_string()))?;
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_connect_timeout(Some(CONNECT));
    let https = trusting().https_or_http().enable_http1().wrap_connector(http);
    let client: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new()).build(https);
    let asking = async {
        let answer = client.request(request).await.map_err(|error| error.to_string())?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), REPLY_BYTES).collect().await.map_err(|error| error.to_string())?;
        Ok((status, body.to_bytes()))
    };
    match tokio::time::timeout(PATIENCE, asking).await {
        Ok(answer) => answer.map_err(NotKnown::Unavailable),
        Err(_) => Err(NotKnown::Unavailable(format!("no answer within {} s", PATIENCE.as_secs()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_challenge_is_that_of_rfc_7636() {
        // Appendix B.
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        assert_eq!(challenge(verifier), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }
}
