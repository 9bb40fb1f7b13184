//! The App itself: who it is, where it is installed, and which webhooks GitHub sent it.

use std::collections::BTreeMap;

use hyper::Method;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::client::{As, GitHub, Reply, unreadable};
use super::error::ApiError;
use super::path::{encoded, link, query_value};
use super::repos::RepositoryInfo;
use super::{User, millis};
use crate::model::{Account, InstallationId, Millis, RepoName, Repository, RepositoryId};

/// The App as GitHub knows it.
#[derive(Clone, Debug, Deserialize)]
pub struct App {
    /// Its id, by which "our own" is decided.
    pub id: u64,
    /// The slug of its address; its bot account is `<slug>[bot]`.
    pub slug: String,
    /// Its name.
    pub name: String,
    /// The person or organization that owns it.
    pub owner: User,
}

/// As whom the bot writes and commits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BotIdentity {
    /// The App's id.
    pub app_id: u64,
    /// The App's slug.
    pub slug: String,
    /// The App's owner, whose repositories are served where `allow` is unset.
    pub owner: Account,
    /// The account `<slug>[bot]`.
    pub account: Account,
    /// Author and committer of commits.
    pub git_name: String,
    /// `<id>+<slug>[bot]@users.noreply.<host>`, which GitHub links to the account.
    pub git_email: String,
}

/// The App of the configured key. <https://docs.github.com/en/rest/apps/apps#get-the-authenticated-app>
pub async fn me(gh: &GitHub) -> Result<App, ApiError> {
    gh.get(As::App, "/app").await
}

/// Who the bot is; asked once and then remembered.
///
/// The bot's account can be read by an installation only (`GET /users/…` does not take the App's own token); without one it is read as public data,
/// which GitHub allows 60 times an hour and an Enterprise server in private mode not at all. So pass a repository as soon as one is known.
pub async fn identity(gh: &GitHub, via: Option<&Repository>) -> Result<BotIdentity, ApiError> {
    let find = || async {
        let app = me(gh).await?;
        let login = format!("{}[bot]", app.slug);
        let account: Account =
            gh.get(via.map_or(As::Nobody, As::Repository), &format!("/users/{}", encoded(&login))).await?;
        Ok(BotIdentity {
            app_id: app.id,
            git_name: login.clone(),
            git_email: format!("{}+{login}@users.noreply.{}", account.id, gh.0.server_host),
            slug: app.slug,
            owner: app.owner.account,
            account,
        })
    };
    gh.0.identity.get_or_try_init(find).await.cloned()
}

/// Who the bot is, if that was asked for before.
pub fn known(gh: &GitHub) -> Option<BotIdentity> {
    gh.0.identity.get().cloned()
}

/// The installation through which the App reaches a repository; not found where it is not installed.
/// <https://docs.github.com/en/rest/apps/apps#get-a-repository-installation-for-the-authenticated-app>
pub async fn repository_installation(gh: &GitHub, name: &RepoName) -> Result<InstallationId, ApiError> {
    #[derive(Deserialize)]
    struct Installation {
        id: InstallationId,
    }

    let path = format!("/repos/{}/{}/installation", encoded(&name.owner), encoded(&name.name));
    Ok(gh.get::<Installation>(As::App, &path).await?.id)
}

/// A repository, and who owns it.
#[derive(Clone, Debug)]
pub struct Found {
    /// The repository.
    pub repository: Repository,
    /// Its owner.
    pub owner: Account,
}

/// The repository of a name, where only its name is known: GitHub tells it with a token for it, which is given back.
pub async fn repository_named(gh: &GitHub, installation: InstallationId, name: &RepoName) -> Result<Found, ApiError> {
    #[derive(Deserialize)]
    struct Minted {
        token: String,
        repositories: Vec<Named>,
    }
    #[derive(Deserialize)]
    struct Named {
        id: RepositoryId,
        full_name: String,
        owner: User,
    }

    let narrowed = json!({ "repositories": [name.name], "permissions": { "metadata": "read" } });
    let minted: Minted = gh.new_token(installation, &narrowed, "token and repository").await?;
    let revoked = gh.give_back(&minted.token.into()).await;
    tracing::debug!(?revoked, "the token by which {name} was found is given back");
    let found = minted.repositories.into_iter().next();
    let Some((found, name)) = found.and_then(|found| found.full_name.parse().ok().map(|name| (found, name))) else {
        let message = "it names no repository".to_owned();
        return Err(unreadable("POST", &format!("/app/installations/{installation}/access_tokens"), true, message));
    };
    let repository = Repository { id: found.id, installation: Some(installation), name };
    Ok(Found { repository, owner: found.owner.account })
}

/// The repository of a name where the App is not installed, as everybody sees it; not found where not everybody may.
/// <https://docs.github.com/en/rest/repos/repos#get-a-repository>
pub async fn public_repository(gh: &GitHub, name: &RepoName) -> Result<Found, ApiError> {
    let path = format!("/repos/{}/{}", encoded(&name.owner), encoded(&name.name));
    let found: RepositoryInfo = gh.get(As::Nobody, &path).await?;
    let name = found.name().unwrap_or_else(|| name.clone());
    Ok(Found { repository: Repository { id: found.id, installation: None, name }, owner: found.owner.account })
}

/// Where the App is installed. <https://docs.github.com/en/rest/apps/apps#list-installations-for-the-authenticated-app>
pub async fn installations(gh: &GitHub) -> Result<Vec<InstallationId>, ApiError> {
    #[derive(Deserialize)]
    struct Installation {
        id: InstallationId,
    }

    let all: Vec<Installation> = gh.pages(As::App, "/app/installations?per_page=100").await?;
    Ok(all.into_iter().map(|installation| installation.id).collect())
}

/// The repositories that an installation reaches, by a token that reads metadata and nothing else and is given back.
/// <https://docs.github.com/en/rest/apps/installations#list-repositories-accessible-to-the-app-installation>
pub async fn repositories_of(gh: &GitHub, installation: InstallationId) -> Result<Vec<RepositoryInfo>, ApiError> {
    #[derive(Deserialize)]
    struct Minted {
        token: String,
    }

    let narrowed = json!({ "permissions": { "metadata": "read" } });
    let Minted { token } = gh.new_token(installation, &narrowed, "token").await?;
    let token = SecretString::from(token);
    let listed = listed(gh, As::With(installation, &token)).await;
    let revoked = gh.give_back(&token).await;
    tracing::debug!(?revoked, "the token by which repositories were listed is given back");
    listed
}

async fn listed(gh: &GitHub, who: As<'_>) -> Result<Vec<RepositoryInfo>, ApiError> {
    /// More pages than any installation has that a team works with: 10,000 repositories.
    const PAGES: usize = 100;
    #[derive(Deserialize)]
    struct Page {
        repositories: Vec<RepositoryInfo>,
    }

    let mut all = Vec::new();
    let mut path = "/installation/repositories?per_page=100".to_owned();
    for _ in 0..PAGES {
        let reply: Reply<Page> = gh.call(who, Method::GET, &path, None::<&()>).await?;
        all.extend(reply.body.repositories);
        match gh.linked(&path, &reply.headers, "next")? {
            Some(next) => path = next,
            None => return Ok(all),
        }
    }
    Err(unreadable("GET", &path, false, format!("more than {PAGES} pages")))
}

/// Whether an installation is suspended now; not found where it is removed.
/// <https://docs.github.com/en/rest/apps/apps#get-an-installation-for-the-authenticated-app>
pub async fn is_suspended(gh: &GitHub, installation: InstallationId) -> Result<bool, ApiError> {
    #[derive(Deserialize)]
    struct Installation {
        suspended_at: Option<String>,
    }

    Ok(gh.get::<Installation>(As::App, &format!("/app/installations/{installation}")).await?.suspended_at.is_some())
}

/// What the App may do, and where.
#[derive(Clone, Debug, Deserialize)]
pub struct Grants {
    /// The App's slug.
    pub slug: String,
    /// Permission to level: `contents` to `write`.
    #[serde(default)]
    pub permissions: BTreeMap<String, String>,
    /// The events it subscribes to.
    #[serde(default)]
    pub events: Vec<String>,
    /// How many accounts it is installed on.
    #[serde(skip)]
    pub installations: usize,
}

/// What the App may do. <https://docs.github.com/en/rest/apps/apps#get-the-authenticated-app>
pub async fn grants(gh: &GitHub) -> Result<Grants, ApiError> {
    let found: Grants = gh.get(As::App, "/app").await?;
    let installations: Vec<serde::de::IgnoredAny> = gh.pages(As::App, "/app/installations?per_page=100").await?;
    Ok(Grants { installations: installations.len(), ..found })
}

/// Where the App's webhooks go.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Hook {
    /// The address; unset where none was given.
    #[serde(default)]
    pub url: Option<String>,
    /// `json` or `form`.
    #[serde(default)]
    pub content_type: Option<String>,
    /// `"1"` where GitHub does not look at the certificate; it has been a number, too.
    #[serde(default)]
    insecure_ssl: serde_json::Value,
}

impl Hook {
    /// Whether GitHub sends webhooks to whoever answers at the address.
    pub fn is_unverified(&self) -> bool {
        self.insecure_ssl == "1" || self.insecure_ssl == 1
    }
}

/// Where the App's webhooks go; `None` where it has none.
/// <https://docs.github.com/en/rest/apps/webhooks#get-a-webhook-configuration-for-an-app>
pub async fn hook(gh: &GitHub) -> Result<Option<Hook>, ApiError> {
    match gh.get(As::App, "/app/hook/config").await {
        Ok(hook) => Ok(Some(hook)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

/// One line of GitHub's log of webhooks.
#[derive(Clone, Debug, Deserialize)]
pub struct DeliverySummary {
    /// The id under which the log keeps this attempt; a redelivery has another one.
    pub id: u64,
    /// The `X-GitHub-Delivery` of it, the same for redeliveries.
    pub guid: String,
    /// When it was sent.
    #[serde(deserialize_with = "millis")]
    pub delivered_at: Millis,
    /// Whether somebody asked GitHub to send it again.
    #[serde(default)]
    pub redelivery: bool,
    /// The name of the event, without its action.
    pub event: String,
    /// The action within the event.
    #[serde(default)]
    pub action: Option<String>,
    /// The status with which we, or something in front of us, answered; 0 where nobody did.
    #[serde(default)]
    pub status_code: u16,
    /// What became of it, in GitHub's words.
    #[serde(default)]
    pub status: String,
    /// The installation that it concerns.
    #[serde(default)]
    pub installation_id: Option<InstallationId>,
    /// The repository that it concerns.
    #[serde(default)]
    pub repository_id: Option<RepositoryId>,
}

/// A part of the log, newest first.
#[derive(Clone, Debug)]
pub struct DeliveryPage {
    /// Its lines.
    pub deliveries: Vec<DeliverySummary>,
    /// What leads to older ones.
    pub next: Option<String>,
}

/// One part of GitHub's log of webhooks, from the newest or from a cursor on.
/// <https://docs.github.com/en/rest/apps/webhooks#list-deliveries-for-an-app-webhook>
pub async fn deliveries(gh: &GitHub, cursor: Option<&str>) -> Result<DeliveryPage, ApiError> {
    let mut path = "/app/hook/deliveries?per_page=100".to_owned();
    if let Some(cursor) = cursor {
        path.push_str("&cursor=");
        path.push_str(cursor);
    }
    let reply: Reply<Vec<DeliverySummary>> = gh.call(As::App, Method::GET, &path, None::<&()>).await?;
    // Only the cursor is taken, as it is written in the link, so the page cannot lead elsewhere.
    let next = link(&reply.headers, "next").and_then(|target| query_value(target, "cursor")).map(str::to_owned);
    Ok(DeliveryPage { deliveries: reply.body, next })
}

/// One webhook with its content.
#[derive(Debug, Deserialize)]
pub struct Delivery {
    /// What the log's line says of it.
    #[serde(flatten)]
    pub summary: DeliverySummary,
    /// What GitHub sent.
    pub request: DeliveryRequest,
}

/// What GitHub sent.
#[derive(Debug)]
pub struct DeliveryRequest {
    /// The payload, as GitHub's JSON: equal in meaning to what was sent, not byte by byte. `None` where GitHub no longer has it.
    pub payload: Option<Box<RawValue>>,
}

impl<'de> Deserialize<'de> for DeliveryRequest {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        // `flatten` above buffers, which RawValue does not survive, so the payload goes through a value.
        #[derive(Deserialize)]
        struct Request {
            #[serde(default)]
            payload: Option<serde_json::Value>,
        }

        let payload = Request::deserialize(from)?.payload;
        let payload = payload.as_ref().map(serde_json::value::to_raw_value).transpose();
        Ok(Self { payload: payload.map_err(serde::de::Error::custom)? })
    }
}

/// A webhook of the log with its payload.
/// <https://docs.github.com/en/rest/apps/webhooks#get-a-delivery-for-an-app-webhook>
pub async fn delivery(gh: &GitHub, id: u64) -> Result<Delivery, ApiError> {
    gh.get(As::App, &format!("/app/hook/deliveries/{id}")).await
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Fake, respond};
    use super::*;

    #[tokio::test]
    async fn the_bot_is_known_by_its_account_and_asked_for_once() {
        let fake = Fake::start("", |request| match request.path.as_str() {
            "/app" => respond(
                200,
                json!({ "id": 7, "slug": "track-x", "name": "Track X", "owner": { "id": 1, "login": "octo" } }),
            ),
            "/users/track-x%5Bbot%5D" => respond(200, json!({ "id": 99, "login": "track-x[bot]", "type": "Bot" })),
            _ => respond(404, json!({ "message": "Not Found" })),
        })
        .await;
        let gh = fake.client();
        let bot = identity(&gh, Some(&fake.repo())).await.unwrap();
        assert_eq!(bot.git_email, "99+track-x[bot]@users.noreply.github.example");
        assert_eq!((bot.git_name.as_str(), bot.account.id.0, bot.owner.login.as_str()), ("track-x[bot]", 99, "octo"));
        identity(&gh, None).await.unwrap();
        assert_eq!(fake.count("GET", "/app"), 1);
    }

    #[tokio::test]
    async fn the_log_is_read_by_cursor_and_the_payload_survives() {
        let line = |id: u64| json!({ "id": id, "guid": "g", "delivered_at": "2026-11-21T09:00:00.25Z", "event": "issues", "action": "opened", "status_code": 0, "installation_id": null, "repository_id": 5 });
        let fake = Fake::start("", move |request| match (request.path.as_str(), request.query.as_str()) {
            ("/app/hook/deliveries", "per_page=100") => respond(200, json!([line(12345678901234567)]))
                .header("link", r#"<http://elsewhere/app/hook/deliveries?per_page=100&cursor=v1_8>; rel="next""#),
            ("/app/hook/deliveries", "per_page=100&cursor=v1_8") => respond(200, json!([line(8)])),
            ("/app/hook/deliveries/8", _) => {
                let mut full = line(8);
                full["request"] =
                    json!({ "headers": {}, "payload": { "action": "opened", "n": 12345678901234567u64 } });
                respond(200, full)
            }
            _ => respond(404, json!({})),
        })
        .await;
        let gh = fake.client();
        let first = deliveries(&gh, None).await.unwrap();
        assert_eq!(first.deliveries[0].id, 12345678901234567);
        assert_eq!(first.deliveries[0].delivered_at % 1_000, 250);
        let second = deliveries(&gh, first.next.as_deref()).await.unwrap();
        assert_eq!((second.deliveries[0].id, second.next), (8, None));
        let full = delivery(&gh, 8).await.unwrap();
        assert_eq!(full.summary.repository_id, Some(RepositoryId(5)));
        assert_eq!(full.request.payload.unwrap().get(), r#"{"action":"opened","n":12345678901234567}"#);
    }
}
