//! Reviews of pull requests, and the comments on lines that belong to them.

use hyper::Method;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::client::{As, GitHub};
use super::error::ApiError;
use super::path::{encoded, repo_path};
use super::{User, ViaApp, millis, rfc3339, text_or_null};
use crate::model::{Millis, Number, Repository, Sha};

/// A review.
#[derive(Clone, Debug, Deserialize)]
pub struct Review {
    /// Its id.
    pub id: i64,
    /// Its author; `None` for a deleted account.
    pub user: Option<User>,
    /// Its text, Markdown; empty where there are only comments on lines.
    #[serde(default, deserialize_with = "text_or_null")]
    pub body: String,
    /// `APPROVED`, `CHANGES_REQUESTED`, `COMMENTED`, `DISMISSED` or `PENDING`.
    pub state: String,
    /// The commit that was reviewed; `None` where it is gone.
    #[serde(default)]
    pub commit_id: Option<Sha>,
    /// When it was submitted; `None` while it is pending.
    #[serde(default, deserialize_with = "super::millis_or_null")]
    pub submitted_at: Option<Millis>,
    /// Its place on the page.
    pub html_url: String,
    /// The App through which it was written, where GitHub says it.
    #[serde(default)]
    pub performed_via_github_app: Option<ViaApp>,
}

/// A comment on lines of a pull request.
#[derive(Clone, Debug, Deserialize)]
pub struct ReviewComment {
    /// Its id.
    pub id: i64,
    /// The review that it belongs to; each reply in a thread has a review of its own.
    #[serde(default)]
    pub pull_request_review_id: Option<i64>,
    /// The first comment of the thread, where this is a reply.
    #[serde(default)]
    pub in_reply_to_id: Option<i64>,
    /// The file.
    pub path: String,
    /// The (last) line in the present version; `None` where it is outdated or is about the whole file.
    #[serde(default)]
    pub line: Option<u32>,
    /// The (last) line when it was written.
    #[serde(default)]
    pub original_line: Option<u32>,
    /// The first of several lines.
    #[serde(default)]
    pub start_line: Option<u32>,
    /// `LEFT`, the old version, or `RIGHT`, the new one.
    #[serde(default)]
    pub side: Option<String>,
    /// The part of the diff above it, its line last.
    #[serde(default, deserialize_with = "text_or_null")]
    pub diff_hunk: String,
    /// Its text, Markdown.
    #[serde(default, deserialize_with = "text_or_null")]
    pub body: String,
    /// Its author; `None` for a deleted account.
    pub user: Option<User>,
    /// When it was written.
    #[serde(deserialize_with = "millis")]
    pub created_at: Millis,
    /// When it last changed.
    #[serde(deserialize_with = "millis")]
    pub updated_at: Millis,
    /// The commit that it is shown on.
    #[serde(default)]
    pub commit_id: Option<Sha>,
    /// Its place on the page.
    pub html_url: String,
}

/// All reviews, oldest first. <https://docs.github.com/en/rest/pulls/reviews#list-reviews-for-a-pull-request>
pub async fn list(gh: &GitHub, repo: &Repository, pull: Number) -> Result<Vec<Review>, ApiError> {
    gh.pages(As::Repository(repo), &repo_path(repo, &format!("/pulls/{pull}/reviews?per_page=100"))).await
}

/// <https://docs.github.com/en/rest/pulls/reviews#get-a-review-for-a-pull-request>
pub async fn get(gh: &GitHub, repo: &Repository, pull: Number, id: i64) -> Result<Review, ApiError> {
    gh.get(As::Repository(repo), &repo_path(repo, &format!("/pulls/{pull}/reviews/{id}"))).await
}

/// The comments on lines, those that changed at or after a moment where one is given, oldest first.
/// <https://docs.github.com/en/rest/pulls/comments#list-review-comments-on-a-pull-request>
pub async fn comments(
    gh: &GitHub,
    repo: &Repository,
    pull: Number,
    since: Option<Millis>,
) -> Result<Vec<ReviewComment>, ApiError> {
    let since = since.map_or_else(String::new, |since| format!("since={}&", encoded(&rfc3339(since))));
    gh.pages(As::Repository(repo), &repo_path(repo, &format!("/pulls/{pull}/comments?{since}per_page=100"))).await
}

/// The comments of one review. GitHub leaves out their `line`, `start_line` and `side` here: [`comments`] has them.
/// <https://docs.github.com/en/rest/pulls/reviews#list-comments-for-a-pull-request-review>
pub async fn comments_of(
    gh: &GitHub,
    repo: &Repository,
    pull: Number,
    review: i64,
) -> Result<Vec<ReviewComment>, ApiError> {
    let path = repo_path(repo, &format!("/pulls/{pull}/reviews/{review}/comments?per_page=100"));
    gh.pages(As::Repository(repo), &path).await
}

/// Answers in the thread of a comment, which must be its first: GitHub takes no replies to replies.
/// <https://docs.github.com/en/rest/pulls/comments#create-a-reply-for-a-review-comment>
pub async fn reply(
    gh: &GitHub,
    repo: &Repository,
    pull: Number,
    comment: i64,
    body: &str,
) -> Result<ReviewComment, ApiError> {
    let path = repo_path(repo, &format!("/pulls/{pull}/comments/{comment}/replies"));
    Ok(gh.call(As::Repository(repo), Method::POST, &path, Some(&json!({ "body": body }))).await?.body)
}

/// Rewrites a comment. <https://docs.github.com/en/rest/pulls/comments#update-a-review-comment-for-a-pull-request>
pub async fn update_comment(gh: &GitHub, repo: &Repository, id: i64, body: &str) -> Result<ReviewComment, ApiError> {
    let path = repo_path(repo, &format!("/pulls/comments/{id}"));
    Ok(gh.call(As::Repository(repo), Method::PATCH, &path, Some(&json!({ "body": body }))).await?.body)
}

/// Removes a comment; that it is gone is fine. <https://docs.github.com/en/rest/pulls/comments#delete-a-review-comment-for-a-pull-request>
pub async fn delete_comment(gh: &GitHub, repo: &Repository, id: i64) -> Result<(), ApiError> {
    let path = repo_path(repo, &format!("/pulls/comments/{id}"));
    match gh.call::<serde::de::IgnoredAny>(As::Repository(repo), Method::DELETE, &path, None::<&()>).await {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}

/// Which version of a file a line is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Side {
    /// The old version.
    Left,
    /// The new version.
    Right,
}

/// A comment on lines, to be submitted with a review.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NewComment {
    /// The file.
    pub path: String,
    /// Its text, Markdown.
    pub body: String,
    /// The line, or the last of several; it must be part of the diff.
    pub line: u32,
    /// The version that `line` is counted in.
    pub side: Side,
    /// The first of several lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_line: Option<u32>,
    /// The version that `start_line` is counted in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_side: Option<Side>,
}

/// A review to be submitted.
#[derive(Clone, Copy, Debug)]
pub struct NewReview<'a> {
    /// The commit that was reviewed.
    pub commit_id: &'a Sha,
    /// Its text, Markdown.
    pub body: &'a str,
    /// Its comments on lines.
    pub comments: &'a [NewComment],
}

/// Submits a review that neither approves nor blocks. It is taken whole or not at all: one comment outside of the diff refuses it with 422.
/// <https://docs.github.com/en/rest/pulls/reviews#create-a-review-for-a-pull-request>
pub async fn submit(
    gh: &GitHub,
    repo: &Repository,
    pull: Number,
    NewReview { commit_id, body, comments }: &NewReview<'_>,
) -> Result<Review, ApiError> {
    let path = repo_path(repo, &format!("/pulls/{pull}/reviews"));
    // Without an event GitHub would keep the review as pending, which nobody else sees.
    let new = json!({ "commit_id": commit_id, "body": body, "event": "COMMENT", "comments": comments });
    Ok(gh.call(As::Repository(repo), Method::POST, &path, Some(&new)).await?.body)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Fake, respond};
    use super::*;
    use serde_json::Value;

    const SHA: &str = "0123456789abcdef0123456789abcdef01234567";

    fn review(id: i64, state: &str) -> Value {
        json!({ "id": id, "user": { "id": 1, "login": "octo", "type": "User" }, "body": null, "state": state, "commit_id": SHA, "submitted_at": "2026-11-21T09:00:00Z", "html_url": "u" })
    }

    fn comment(id: i64) -> Value {
        json!({ "id": id, "path": "src/a.rs", "diff_hunk": "@@ -1 +1 @@", "body": "why?", "user": null, "created_at": "2026-11-21T09:00:00Z", "updated_at": "2026-11-21T09:00:00Z", "commit_id": SHA, "html_url": "u" })
    }

    #[tokio::test]
    async fn reviews_and_their_comments_are_read_over_all_pages() {
        let fake = Fake::start("/api/v3", |request| {
            let next = format!("<{}/api/v3{}?page=2>; rel=\"next\"", request.origin, request.path);
            match (request.path.as_str(), request.query.as_str()) {
                ("/repos/octo/hello/pulls/9/reviews", "per_page=100") => {
                    respond(200, json!([review(1, "COMMENTED")])).header("link", &next)
                }
                ("/repos/octo/hello/pulls/9/reviews", "page=2") => {
                    let mut pending = review(2, "PENDING");
                    pending["submitted_at"] = Value::Null;
                    pending["commit_id"] = Value::Null;
                    respond(200, json!([pending]))
                }
                ("/repos/octo/hello/pulls/9/reviews/1", "") => respond(200, review(1, "DISMISSED")),
                ("/repos/octo/hello/pulls/9/comments", "since=2026-11-21T09%3A00%3A00Z&per_page=100") => {
                    let mut full = comment(5);
                    let more = json!({ "pull_request_review_id": 1, "in_reply_to_id": 4, "line": 3, "original_line": 2, "start_line": null, "side": "RIGHT" });
                    full.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
                    respond(200, json!([full])).header("link", &next)
                }
                ("/repos/octo/hello/pulls/9/comments", "per_page=100" | "page=2") => respond(200, json!([comment(6)])),
                ("/repos/octo/hello/pulls/9/reviews/1/comments", "per_page=100") => respond(200, json!([comment(5)])).header("link", &next),
                ("/repos/octo/hello/pulls/9/reviews/1/comments", "page=2") => respond(200, json!([])),
                _ => respond(404, json!({})),
            }
        })
        .await;
        let (gh, repo, pull) = (fake.client(), fake.repo(), Number(9));
        let reviews = list(&gh, &repo, pull).await.unwrap();
        assert_eq!((reviews[0].submitted_at, reviews[1].submitted_at), (Some(1_795_251_600_000), None));
        assert_eq!((reviews[0].body.as_str(), &reviews[1].commit_id), ("", &None));
        assert_eq!(get(&gh, &repo, pull, 1).await.unwrap().state, "DISMISSED");
        let found = comments(&gh, &repo, pull, Some(1_795_251_600_250)).await.unwrap();
        assert_eq!(
            found.iter().map(|comment| (comment.id, comment.line)).collect::<Vec<_>>(),
            [(5, Some(3)), (6, None)]
        );
        assert_eq!((found[0].in_reply_to_id, found[0].side.as_deref()), (Some(4), Some("RIGHT")));
        assert_eq!(comments(&gh, &repo, pull, None).await.unwrap().len(), 1);
        assert_eq!(comments_of(&gh, &repo, pull, 1).await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_review_is_submitted_as_a_comment_and_threads_are_answered() {
        let fake = Fake::start("", |request| match (request.method.as_str(), request.path.as_str()) {
            ("POST", "/repos/octo/hello/pulls/9/reviews") if request.body["body"] == "bad" => respond(
                422,
                json!({ "message": "Unprocessable Entity", "errors": ["pull_request_review_thread.line must be part of the diff"] }),
            ),
            ("POST", "/repos/octo/hello/pulls/9/reviews") => respond(200, review(3, "COMMENTED")),
            ("POST", "/repos/octo/hello/pulls/9/comments/5/replies") => respond(201, comment(7)),
            ("PATCH", "/repos/octo/hello/pulls/comments/7") => respond(200, comment(7)),
            _ => respond(404, json!({})),
        })
        .await;
        let (gh, repo, pull, sha) = (fake.client(), fake.repo(), Number(9), SHA.parse().unwrap());
        let on = |line, start_line: Option<u32>| NewComment {
            path: "src/a.rs".to_owned(),
            body: "why?".to_owned(),
            line,
            side: Side::Right,
            start_line,
            start_side: start_line.map(|_| Side::Left),
        };
        let new = NewReview { commit_id: &sha, body: "hm", comments: &[on(3, None), on(9, Some(7))] };
        assert_eq!(submit(&gh, &repo, pull, &new).await.unwrap().id, 3);
        assert_eq!(
            fake.seen().last().unwrap().body,
            json!({ "commit_id": SHA, "body": "hm", "event": "COMMENT", "comments": [
                { "path": "src/a.rs", "body": "why?", "line": 3, "side": "RIGHT" },
                { "path": "src/a.rs", "body": "why?", "line": 9, "side": "RIGHT", "start_line": 7, "start_side": "LEFT" },
            ] })
        );
        let refused = submit(&gh, &repo, pull, &NewReview { body: "bad", ..new }).await.unwrap_err();
        insta::assert_snapshot!(refused, @"POST /repos/octo/hello/pulls/9/reviews: GitHub refuses with 422: Unprocessable Entity; pull_request_review_thread.line must be part of the diff");
        assert_eq!(reply(&gh, &repo, pull, 5, "done").await.unwrap().id, 7);
        assert_eq!(update_comment(&gh, &repo, 7, "really").await.unwrap().id, 7);
        assert_eq!(fake.seen().last().unwrap().body, json!({ "body": "really" }));
    }
}
