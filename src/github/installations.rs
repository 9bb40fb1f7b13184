//! Where the App is installed, and what it reaches there.

use hyper::Method;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::json;

use super::User;
use super::client::{Answer, As, GitHub, Request};
use super::error::ApiError;
use crate::model::{Account, InstallationId, RepoName, RepositoryId};

/// Pages of a hundred repositories that are read of one installation; what lies beyond becomes known when something happens there.
const PAGES: u32 = 20;

/// The App on one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// The installation.
    pub id: InstallationId,
    /// The account on which it is.
    pub account: Account,
    /// What it reaches; nothing while it is suspended.
    pub repositories: Vec<(RepositoryId, RepoName)>,
}

/// Every installation of the App with its repositories.
/// <https://docs.github.com/en/rest/apps/apps#list-installations-for-the-authenticated-app>
pub async fn all(gh: &GitHub) -> Result<Vec<Installed>, ApiError> {
    #[derive(Deserialize)]
    struct Row {
        id: InstallationId,
        account: User,
        #[serde(default)]
        suspended_at: Option<String>,
    }

    let rows: Vec<Row> = gh.pages(As::App, "/app/installations?per_page=100").await?;
    let mut all = Vec::new();
    for Row { id, account, suspended_at } in rows {
        let repositories = if suspended_at.is_none() { repositories(gh, id).await? } else { Vec::new() };
        all.push(Installed { id, account: account.account, repositories });
    }
    Ok(all)
}

/// <https://docs.github.com/en/rest/apps/installations#list-repositories-accessible-to-the-app-installation>
async fn repositories(gh: &GitHub, id: InstallationId) -> Result<Vec<(RepositoryId, RepoName)>, ApiError> {
    #[derive(Deserialize)]
    struct Minted {
        token: String,
    }

    let narrowed = json!({ "permissions": { "metadata": "read" } });
    let minted: Minted = gh.new_token(id, &narrowed, "token").await?;
    let token = SecretString::from(minted.token);
    let found = listed(gh, &token).await;
    let revoked = gh.give_back(&token).await;
    tracing::debug!(?revoked, "the token by which an installation's repositories were listed is given back");
    found
}

async fn listed(gh: &GitHub, token: &SecretString) -> Result<Vec<(RepositoryId, RepoName)>, ApiError> {
    #[derive(Deserialize)]
    struct Page {
        total_count: usize,
        repositories: Vec<Row>,
    }
    #[derive(Deserialize)]
    struct Row {
        id: RepositoryId,
        full_name: String,
    }

    let mut all = Vec::new();
    for page in 1..=PAGES {
        let path = format!("/installation/repositories?per_page=100&page={page}");
        let request = Request { method: Method::GET, path, body: None };
        let Answer { status, body, .. } = gh.send(Some(token), &request).await?;
        if !status.is_success() {
            return Err(request.unreadable(format!("GitHub answers {status}")));
        }
        let page: Page = serde_json::from_slice(&body).map_err(|error| request.unreadable(error.to_string()))?;
        let empty = page.repositories.is_empty();
        all.extend(page.repositories.into_iter().filter_map(|row| Some((row.id, row.full_name.parse().ok()?))));
        if empty || all.len() >= page.total_count {
            break;
        }
    }
    Ok(all)
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
    async fn every_installation_is_told_with_its_repositories_and_no_token_is_left() {
        let fake =
            Fake::start("", |request| match (request.method.as_str(), request.path.as_str(), request.query.as_str()) {
                ("GET", "/app/installations", _) => respond(
                    200,
                    json!([
                        { "id": 1, "account": { "id": 5, "login": "octo" }, "suspended_at": null },
                        { "id": 2, "account": { "id": 6, "login": "gone" }, "suspended_at": "2026-11-21T09:00:00Z" },
                    ]),
                ),
                ("GET", "/installation/repositories", "per_page=100&page=1") => {
                    let rows: Vec<_> =
                        (0..100).map(|n| json!({ "id": n, "full_name": format!("octo/r{n}") })).collect();
                    respond(200, json!({ "total_count": 101, "repositories": rows }))
                }
                ("GET", "/installation/repositories", "per_page=100&page=2") => respond(
                    200,
                    json!({ "total_count": 101, "repositories": [{ "id": 100, "full_name": "octo/last" }] }),
                ),
                ("DELETE", "/installation/token", _) => respond(204, json!(null)),
                _ => respond(404, json!({})),
            })
            .await;
        let found = all(&fake.client()).await.unwrap();
        let told: Vec<(&str, usize)> =
            found.iter().map(|on| (on.account.login.as_str(), on.repositories.len())).collect();
        assert_eq!(told, [("octo", 101), ("gone", 0)]);
        assert_eq!(found[0].repositories[100].1.to_string(), "octo/last");
        assert_eq!(fake.count("DELETE", "/installation/token"), 1);
    }

    #[tokio::test]
    async fn a_secret_for_webhooks_reaches_github_as_it_is() {
        let fake = Fake::start("", |_| respond(200, json!({}))).await;
        let secret = SecretString::from("ghp_0123456789abcdefghijklmnopqrstuvwxyz");
        set_webhook_secret(&fake.client(), &secret).await.unwrap();
        assert_eq!(fake.seen().last().unwrap().body["secret"], secret.expose_secret());
    }
}
