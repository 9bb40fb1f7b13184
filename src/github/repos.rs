//! A repository, its branches and single files of it.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hyper::Method;
use serde::Deserialize;

use super::User;
use super::client::{As, GitHub, unreadable};
use super::error::ApiError;
use super::path::{encoded, encoded_path, repo_path};
use crate::model::{RepoName, Repository, RepositoryId, Sha};

/// Largest file that is read through the API: configuration, not code.
const FILE_BYTES: usize = 256 * 1024;

/// What track wants to know of a repository.
#[derive(Clone, Debug, Deserialize)]
pub struct RepositoryInfo {
    /// Its id.
    pub id: RepositoryId,
    /// Its present `owner/name`, which may have changed since the last delivery.
    pub full_name: String,
    /// Its owner.
    pub owner: User,
    /// The branch that work starts from unless told otherwise.
    pub default_branch: String,
    /// Read-only by its owner's wish.
    #[serde(default)]
    pub archived: bool,
    /// Switched off by GitHub.
    #[serde(default)]
    pub disabled: bool,
    /// Only visible to some.
    #[serde(default)]
    pub private: bool,
    /// Whether it is a fork.
    #[serde(default)]
    pub fork: bool,
    /// Whether issues are on.
    #[serde(default)]
    pub has_issues: bool,
    /// Kilobytes, as GitHub counts.
    #[serde(default)]
    pub size: u64,
    /// What the App's installation may do there.
    #[serde(default)]
    pub permissions: Option<Permissions>,
}

/// What the caller may do, in GitHub's coarse terms.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub struct Permissions {
    /// Read.
    #[serde(default)]
    pub pull: bool,
    /// Write.
    #[serde(default)]
    pub push: bool,
    /// Administer.
    #[serde(default)]
    pub admin: bool,
}

impl RepositoryInfo {
    /// Its present name in our terms; `None` where GitHub's text is no `owner/name`.
    pub fn name(&self) -> Option<RepoName> {
        self.full_name.parse().ok()
    }
}

/// The repository. A renamed one is found under its old name. <https://docs.github.com/en/rest/repos/repos#get-a-repository>
pub async fn get(gh: &GitHub, repo: &Repository) -> Result<RepositoryInfo, ApiError> {
    gh.get(As::Repository(repo), &repo_path(repo, "")).await
}

/// Where a branch is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BranchHead {
    /// At this commit.
    At(Sha),
    /// There is no such branch.
    Missing,
    /// The repository has no commit at all.
    EmptyRepository,
}

/// The newest commit of a branch. <https://docs.github.com/en/rest/git/refs#get-a-reference>
pub async fn branch_head(gh: &GitHub, repo: &Repository, branch: &str) -> Result<BranchHead, ApiError> {
    #[derive(Deserialize)]
    struct Reference {
        r#ref: String,
        object: Object,
    }
    #[derive(Deserialize)]
    struct Object {
        sha: Sha,
    }

    // git itself forbids the names that have no such path.
    let Some(name) = encoded_path(branch) else { return Ok(BranchHead::Missing) };
    let path = repo_path(repo, &format!("/git/ref/heads/{name}"));
    match gh.get::<Reference>(As::Repository(repo), &path).await {
        Ok(found) if found.r#ref == format!("refs/heads/{branch}") => Ok(BranchHead::At(found.object.sha)),
        Ok(_) => Ok(BranchHead::Missing),
        Err(error) if error.is_not_found() => Ok(BranchHead::Missing),
        Err(error) if error.refused_with() == Some(409) => Ok(BranchHead::EmptyRepository),
        Err(error) => Err(error),
    }
}

/// A text file of the repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its content.
    pub text: String,
    /// Its blob id.
    pub sha: Sha,
}

/// A text file at a branch, tag or commit, or on the default branch; `None` where there is none (or something that is no file).
/// <https://docs.github.com/en/rest/repos/contents#get-repository-content>
///
/// # Errors
/// [`ApiError::Unreadable`] also for a file over 256 KiB or one that is not UTF-8.
pub async fn file(gh: &GitHub, repo: &Repository, path: &str, at: Option<&str>) -> Result<Option<File>, ApiError> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Contents {
        Entry {
            r#type: String,
            #[serde(default)]
            content: String,
            #[serde(default)]
            encoding: String,
            size: usize,
            sha: Sha,
        },
        Folder(#[expect(dead_code, reason = "only its shape matters")] Vec<serde::de::IgnoredAny>),
    }

    let Some(name) = encoded_path(path) else { return Ok(None) };
    let reference = at.map_or_else(String::new, |at| format!("?ref={}", encoded(at)));
    let call = repo_path(repo, &format!("/contents/{name}{reference}"));
    let (content, encoding, size, sha) = match gh.get(As::Repository(repo), &call).await {
        Ok(Contents::Entry { r#type, content, encoding, size, sha }) if r#type == "file" => {
            (content, encoding, size, sha)
        }
        Ok(Contents::Entry { .. } | Contents::Folder(_)) => return Ok(None),
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error),
    };
    let bad = |what: &str| unreadable(Method::GET.as_str(), &call, false, format!("{path} {what}"));
    if size > FILE_BYTES || content.len() > FILE_BYTES * 2 {
        return Err(bad(&format!("is larger than {} KiB", FILE_BYTES / 1024)));
    }
    if encoding != "base64" {
        return Err(bad(&format!("comes in the unknown encoding {encoding:?}")));
    }
    // GitHub breaks base64 into lines.
    let packed: String = content.split_ascii_whitespace().collect();
    let bytes = BASE64_STANDARD.decode(packed).map_err(|_| bad("is not valid base64"))?;
    let text = String::from_utf8(bytes).map_err(|_| bad("is not UTF-8 text"))?;
    Ok(Some(File { text, sha }))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Fake, respond};
    use super::*;
    use serde_json::json;

    const SHA: &str = "0123456789abcdef0123456789abcdef01234567";

    #[tokio::test]
    async fn a_branch_is_found_missing_or_impossible() {
        // T22
        let fake = Fake::start("", |request| match request.path.as_str() {
            "/repos/octo/hello/git/ref/heads/main" => {
                respond(200, json!({ "ref": "refs/heads/main", "object": { "sha": SHA } }))
            }
            "/repos/octo/hello/git/ref/heads/a%24%28id%29/b" => {
                respond(200, json!({ "ref": "refs/heads/a$(id)/b", "object": { "sha": SHA } }))
            }
            "/repos/octo/hello/git/ref/heads/empty" => respond(409, json!({ "message": "Git Repository is empty." })),
            _ => respond(404, json!({ "message": "Not Found" })),
        })
        .await;
        let (gh, repo) = (fake.client(), fake.repo());
        let at = BranchHead::At(SHA.parse().unwrap());
        for (branch, head) in [
            ("main", at.clone()),
            ("a$(id)/b", at),
            ("gone", BranchHead::Missing),
            ("../../../user", BranchHead::Missing),
            ("empty", BranchHead::EmptyRepository),
        ] {
            assert_eq!(branch_head(&gh, &repo, branch).await.unwrap(), head, "{branch}");
        }
        assert!(fake.seen().iter().all(|request| !request.path.contains("user")));
    }

    #[tokio::test]
    async fn a_file_is_text_absent_or_said_to_be_unusable() {
        let fake = Fake::start("", |request| match request.path.as_str() {
            "/repos/octo/hello/contents/.github/track.yml" => {
                assert_eq!(request.query, "ref=a%26b");
                respond(
                    200,
                    json!({ "type": "file", "encoding": "base64", "size": 6, "content": "YWdl\nbnQ6\n", "sha": SHA }),
                )
            }
            "/repos/octo/hello/contents/big" => respond(
                200,
                json!({ "type": "file", "encoding": "none", "size": 2_000_000, "content": "", "sha": SHA }),
            ),
            "/repos/octo/hello/contents/latin" => {
                respond(200, json!({ "type": "file", "encoding": "base64", "size": 1, "content": "/w==", "sha": SHA }))
            }
            "/repos/octo/hello/contents/folder" => respond(200, json!([{ "type": "file" }])),
            _ => respond(404, json!({ "message": "Not Found" })),
        })
        .await;
        let (gh, repo) = (fake.client(), fake.repo());
        let found = file(&gh, &repo, ".github/track.yml", Some("a&b")).await.unwrap().unwrap();
        assert_eq!(found.text, "agent:");
        assert_eq!(file(&gh, &repo, "folder", Some("main")).await.unwrap(), None);
        assert_eq!(file(&gh, &repo, "missing", Some("main")).await.unwrap(), None);
        insta::assert_snapshot!(file(&gh, &repo, "big", Some("main")).await.unwrap_err(), @"GET /repos/octo/hello/contents/big: the reply cannot be used: big is larger than 256 KiB");
        insta::assert_snapshot!(file(&gh, &repo, "latin", Some("main")).await.unwrap_err(), @"GET /repos/octo/hello/contents/latin: the reply cannot be used: latin is not UTF-8 text");
    }
}
