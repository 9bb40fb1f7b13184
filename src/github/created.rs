//! An App that somebody created from a manifest of ours: GitHub hands its secrets out once, for a code that it gave to the browser.
//! <https://docs.github.com/en/apps/sharing-github-apps/registering-a-github-app-from-a-manifest>

use std::fmt;

use bytes::Bytes;
use hyper::header::ACCEPT;
use hyper::{Method, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::json;

use super::User;
use super::client::{As, GitHub, Request};
use super::error::ApiError;
use super::oauth::exchange;
use super::path::encoded;
use crate::model::Account;

/// The App, with all that opens it.
#[derive(Clone)]
pub struct Created {
    /// Its id.
    pub id: u64,
    /// The slug of its address.
    pub slug: String,
    /// Its name.
    pub name: String,
    /// Who owns it.
    pub owner: Account,
    /// Its private key, PEM.
    pub private_key: SecretString,
    /// Under which its webhooks are signed; none where GitHub made none.
    pub webhook_secret: Option<SecretString>,
    /// What it signs people in with.
    pub client_id: String,
    /// The secret half of it.
    pub client_secret: SecretString,
}

impl fmt::Debug for Created {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Created").field("id", &self.id).field("slug", &self.slug).finish_non_exhaustive()
    }
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum NotHanded {
    /// The code was used before, is too old, or never was one.
    #[error("GitHub does not hand the App out: {0}")]
    Refused(String),
    /// GitHub cannot be asked; the code may be as good as before.
    #[error("GitHub could not be asked for the App: {0}")]
    Unavailable(String),
}

/// What a code is worth. <https://docs.github.com/en/rest/apps/apps#create-a-github-app-from-a-manifest>
pub async fn convert(api_url: &str, code: &str) -> Result<Created, NotHanded> {
    #[derive(Deserialize)]
    struct Answer {
        id: u64,
        slug: String,
        name: String,
        owner: User,
        pem: String,
        webhook_secret: Option<String>,
        client_id: String,
        client_secret: String,
    }

    let request = hyper::Request::post(format!("{api_url}/app-manifests/{}/conversions", encoded(code)))
        .header(ACCEPT, "application/vnd.github+json");
    let (status, body) =
        exchange(request, Bytes::new()).await.map_err(|error| NotHanded::Unavailable(error.to_string()))?;
    match status {
        StatusCode::CREATED => {}
        StatusCode::NOT_FOUND | StatusCode::UNPROCESSABLE_ENTITY => {
            return Err(NotHanded::Refused(format!(
                "it answers {status}, as to a code that was used before or is older than an hour"
            )));
        }
        status => return Err(NotHanded::Unavailable(format!("it answers {status}"))),
    }
    // The error's own text would quote the reply, which is all secrets.
    let answer: Answer = serde_json::from_slice(&body)
        .map_err(|_| NotHanded::Refused("its answer is not the one that its documentation describes".to_owned()))?;
    Ok(Created {
        id: answer.id,
        slug: answer.slug,
        name: answer.name,
        owner: answer.owner.account,
        private_key: answer.pem.into(),
        webhook_secret: answer.webhook_secret.filter(|secret| !secret.is_empty()).map(Into::into),
        client_id: answer.client_id,
        client_secret: answer.client_secret.into(),
    })
}

/// Has webhooks signed under a secret of ours.
/// <https://docs.github.com/en/rest/apps/webhooks#update-a-webhook-configuration-for-an-app>
pub async fn set_webhook_secret(gh: &GitHub, secret: &SecretString) -> Result<(), ApiError> {
    // Not by `call`, which would withhold it.
    let body = json!({ "secret": secret.expose_secret() }).to_string();
    let mut request = Request { method: Method::PATCH, path: "/app/hook/config".to_owned(), body: Some(body) };
    gh.exchange(As::App, &mut request).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Fake, respond};
    use super::*;

    #[tokio::test]
    async fn a_secret_for_webhooks_reaches_github_as_it_is() {
        let fake = Fake::start("", |_| respond(200, json!({}))).await;
        let secret = SecretString::from("ghp_0123456789abcdefghijklmnopqrstuvwxyz");
        set_webhook_secret(&fake.client(), &secret).await.unwrap();
        assert_eq!(fake.seen().last().unwrap().body["secret"], secret.expose_secret());
    }
}
