//! Pull requests.

use hyper::Method;
use serde::{Deserialize, Serialize};

use super::client::{As, GitHub};
use super::error::ApiError;
use super::path::{encoded, repo_path};
use super::{User, millis, text_or_null};
use crate::model::{Millis, Number, Repository, RepositoryId, Sha};

/// A pull request.
#[derive(Clone, Debug, Deserialize)]
pub struct PullRequest {
    /// Its number.
    pub number: Number,
    /// Its title.
    pub title: String,
    /// Its text, Markdown.
    #[serde(default, deserialize_with = "text_or_null")]
    pub body: String,
    /// `open` or `closed`.
    pub state: String,
    /// Whether it is not ready for review.
    #[serde(default)]
    pub draft: bool,
    /// When it was merged; a listing has this and no `merged`.
    #[serde(default)]
    pub merged_at: Option<String>,
    /// When it was last closed or merged, while it is not open.
    #[serde(default, deserialize_with = "super::millis_or_null")]
    pub closed_at: Option<Millis>,
    /// What it brings.
    pub head: Side,
    /// Where it leads.
    pub base: Side,
    /// Its author; `None` for a deleted account.
    pub user: Option<User>,
    /// When it last changed.
    #[serde(deserialize_with = "millis")]
    pub updated_at: Millis,
    /// Its page.
    pub html_url: String,
}

impl PullRequest {
    /// Whether it is open.
    pub fn is_open(&self) -> bool {
        self.state == "open"
    }

    /// Whether it was merged.
    pub fn is_merged(&self) -> bool {
        self.merged_at.is_some()
    }

    /// Whether its branch is in this repository, not in a fork (or a fork that is gone).
    pub fn is_from(&self, repository: RepositoryId) -> bool {
        self.head.repo.as_ref().is_some_and(|repo| repo.id == repository)
    }
}

/// One side of a pull request.
#[derive(Clone, Debug, Deserialize)]
pub struct Side {
    /// The branch.
    pub r#ref: String,
    /// Its commit.
    pub sha: Sha,
    /// The branch's repository; `None` where it was deleted.
    pub repo: Option<SideRepository>,
}

/// The repository of one side.
#[derive(Clone, Debug, Deserialize)]
pub struct SideRepository {
    /// Its id.
    pub id: RepositoryId,
    /// Its `owner/name`.
    pub full_name: String,
}

/// <https://docs.github.com/en/rest/pulls/pulls#get-a-pull-request>
pub async fn get(gh: &GitHub, repo: &Repository, number: Number) -> Result<PullRequest, ApiError> {
    gh.get(As::Repository(repo), &repo_path(repo, &format!("/pulls/{number}"))).await
}

/// The pull requests, open or closed, of a branch of this repository, newest first.
/// <https://docs.github.com/en/rest/pulls/pulls#list-pull-requests>
pub async fn find_by_head(gh: &GitHub, repo: &Repository, branch: &str) -> Result<Vec<PullRequest>, ApiError> {
    let head = encoded(&format!("{}:{branch}", repo.name.owner));
    let path = repo_path(repo, &format!("/pulls?head={head}&state=all&per_page=100"));
    let mut found: Vec<PullRequest> = gh.pages(As::Repository(repo), &path).await?;
    // GitHub ignores a `head` that it cannot read and then lists everything.
    found.retain(|pull| pull.head.r#ref == branch && pull.is_from(repo.id));
    Ok(found)
}

/// A pull request to be opened from a branch of the same repository.
#[derive(Clone, Debug, Serialize)]
pub struct NewPull<'a> {
    /// Its title.
    pub title: &'a str,
    /// Its text.
    pub body: &'a str,
    /// The branch that it brings.
    pub head: &'a str,
    /// The branch where it leads.
    pub base: &'a str,
    /// Whether it is opened as a draft.
    pub draft: bool,
}

/// What opening came to.
#[derive(Clone, Debug)]
pub enum Created {
    /// It is new.
    New(Box<PullRequest>),
    /// One from this branch to this base is open already: find it by its head and adopt it.
    Exists,
}

/// Opens a pull request. <https://docs.github.com/en/rest/pulls/pulls#create-a-pull-request>
pub async fn create(gh: &GitHub, repo: &Repository, new: &NewPull<'_>) -> Result<Created, ApiError> {
    match gh.call(As::Repository(repo), Method::POST, &repo_path(repo, "/pulls"), Some(new)).await {
        Ok(reply) => Ok(Created::New(reply.body)),
        // There is no code for it, only this sentence.
        Err(ApiError::Refused { status: 422, message, .. }) if message.contains("pull request already exists") => {
            Ok(Created::Exists)
        }
        Err(error) => Err(error),
    }
}

/// What changes on a pull request; what is `None` stays.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct PullChange<'a> {
    /// Another title.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<&'a str>,
    /// Another text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body: Option<&'a str>,
    /// `open` opens it again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<&'a str>,
}

/// Changes a pull request. <https://docs.github.com/en/rest/pulls/pulls#update-a-pull-request>
pub async fn update(
    gh: &GitHub,
    repo: &Repository,
    number: Number,
    change: PullChange<'_>,
) -> Result<PullRequest, ApiError> {
    let path = repo_path(repo, &format!("/pulls/{number}"));
    Ok(gh.call(As::Repository(repo), Method::PATCH, &path, Some(&change)).await?.body)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Fake, respond};
    use super::*;
    use serde_json::{Value, json};

    fn pull(number: i64, branch: &str, repository: i64) -> Value {
        let side = |branch: &str| json!({ "ref": branch, "sha": "0123456789abcdef0123456789abcdef01234567", "repo": { "id": repository, "full_name": "octo/hello" } });
        json!({ "number": number, "title": "t", "body": null, "state": "closed", "merged_at": "2026-11-21T09:00:00Z", "head": side(branch), "base": side("main"), "user": null, "updated_at": "2026-11-21T09:00:00Z", "html_url": "u" })
    }

    #[tokio::test]
    async fn a_pull_request_is_found_by_its_branch_in_this_repository_only() {
        let fake = Fake::start("", |request| {
            assert_eq!(request.query, "head=octo%3Atrack%2Fissue-7-abc&state=all&per_page=100");
            respond(200, json!([pull(9, "track/issue-7-abc", 5), pull(8, "track/issue-7-abc", 6), pull(7, "other", 5)]))
        })
        .await;
        let found = find_by_head(&fake.client(), &fake.repo(), "track/issue-7-abc").await.unwrap();
        assert_eq!(found.iter().map(|pull| pull.number.0).collect::<Vec<_>>(), [9]);
        assert!(found[0].is_merged() && !found[0].is_open());
    }

    #[tokio::test]
    async fn one_that_is_open_already_is_no_error() {
        let fake = Fake::start("", |request| match (request.method.as_str(), request.body["head"].as_str()) {
            ("POST", Some("new")) => respond(201, pull(9, "new", 5)),
            ("POST", Some("old")) => respond(422, json!({ "message": "Validation Failed", "errors": [{ "resource": "PullRequest", "code": "custom", "message": "A pull request already exists for octo:old." }] })),
            ("POST", _) => respond(422, json!({ "message": "Validation Failed", "errors": [{ "message": "No commits between main and same" }] })),
            ("PATCH", _) => {
                assert_eq!(request.body, json!({ "body": "b" }));
                respond(200, pull(9, "new", 5))
            }
            _ => respond(404, json!({})),
        })
        .await;
        let (gh, repo) = (fake.client(), fake.repo());
        let new = |head| NewPull { title: "t", body: "b", head, base: "main", draft: false };
        assert!(
            matches!(create(&gh, &repo, &new("new")).await.unwrap(), Created::New(pull) if pull.number == Number(9))
        );
        assert!(matches!(create(&gh, &repo, &new("old")).await.unwrap(), Created::Exists));
        assert_eq!(create(&gh, &repo, &new("same")).await.unwrap_err().refused_with(), Some(422));
        update(&gh, &repo, Number(9), PullChange { body: Some("b"), ..PullChange::default() }).await.unwrap();
    }
}
