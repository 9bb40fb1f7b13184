//! Issues, the issue side of pull requests, their comments, labels and reactions.

use hyper::Method;
use serde::Deserialize;
use serde_json::json;

use super::client::{As, GitHub, Reply, unreadable};
use super::error::ApiError;
use super::path::{encoded, repo_path};
use super::{User, ViaApp, millis, rfc3339, text_or_null};
use crate::model::{Millis, Number, Reaction, Repository};

/// Pages of events that are searched for a label: 5,000 events.
const EVENT_PAGES: usize = 50;

/// An issue, or a pull request seen as one.
#[derive(Clone, Debug, Deserialize)]
pub struct Issue {
    /// Its number.
    pub number: Number,
    /// Its title.
    pub title: String,
    /// Its text, Markdown.
    #[serde(default, deserialize_with = "text_or_null")]
    pub body: String,
    /// `open` or `closed`.
    pub state: String,
    /// Whether only people with write access may comment.
    #[serde(default)]
    pub locked: bool,
    /// Its labels.
    #[serde(default)]
    pub labels: Vec<Label>,
    /// Its author; `None` for a deleted account.
    pub user: Option<User>,
    /// The App through which it was opened.
    #[serde(default)]
    pub performed_via_github_app: Option<ViaApp>,
    /// When it last changed.
    #[serde(deserialize_with = "millis")]
    pub updated_at: Millis,
    /// Its page.
    pub html_url: String,
    #[serde(default)]
    pull_request: Option<serde::de::IgnoredAny>,
}

impl Issue {
    /// Whether it is a pull request.
    pub fn is_pull(&self) -> bool {
        self.pull_request.is_some()
    }

    /// Whether it is open.
    pub fn is_open(&self) -> bool {
        self.state == "open"
    }
}

/// A label.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Label {
    /// Its name.
    pub name: String,
}

/// <https://docs.github.com/en/rest/issues/issues#get-an-issue>
pub async fn get(gh: &GitHub, repo: &Repository, number: Number) -> Result<Issue, ApiError> {
    gh.get(As::Repository(repo), &repo_path(repo, &format!("/issues/{number}"))).await
}

/// Creates an issue. It has no natural identity: after an ambiguous error look for a marker in [`newest`] first.
/// <https://docs.github.com/en/rest/issues/issues#create-an-issue>
pub async fn create(gh: &GitHub, repo: &Repository, title: &str, body: &str) -> Result<Issue, ApiError> {
    let new = json!({ "title": title, "body": body });
    Ok(gh.call(As::Repository(repo), Method::POST, &repo_path(repo, "/issues"), Some(&new)).await?.body)
}

/// The issues, newest first, of those that changed at or after a moment: one page of them.
/// <https://docs.github.com/en/rest/issues/issues#list-repository-issues>
pub async fn newest(gh: &GitHub, repo: &Repository, since: Millis) -> Result<Vec<Issue>, ApiError> {
    let since = encoded(&rfc3339(since));
    let query = format!("/issues?state=all&sort=created&direction=desc&since={since}&per_page=100");
    gh.get(As::Repository(repo), &repo_path(repo, &query)).await
}

/// The event of putting a label on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labeled {
    /// Its id, the identity of a label's trigger.
    pub id: i64,
    /// Who put it on.
    pub actor: Option<User>,
    /// When.
    pub at: Millis,
}

/// The newest event that put a label on an issue; webhooks do not carry its id. Label names are compared without regard to ASCII case, as GitHub does.
/// <https://docs.github.com/en/rest/issues/events#list-issue-events>
pub async fn newest_labeled(
    gh: &GitHub,
    repo: &Repository,
    number: Number,
    label: &str,
) -> Result<Option<Labeled>, ApiError> {
    #[derive(Deserialize)]
    struct Event {
        id: i64,
        event: String,
        actor: Option<User>,
        label: Option<Label>,
        #[serde(deserialize_with = "millis")]
        created_at: Millis,
    }

    // Events come oldest first: from the last page backwards.
    let mut path = repo_path(repo, &format!("/issues/{number}/events?per_page=100"));
    let mut reply: Reply<Vec<Event>> = gh.call(As::Repository(repo), Method::GET, &path, None::<&()>).await?;
    if let Some(last) = gh.linked(&path, &reply.headers, "last")? {
        path = last;
        reply = gh.call(As::Repository(repo), Method::GET, &path, None::<&()>).await?;
    }
    for _ in 0..EVENT_PAGES {
        let previous = gh.linked(&path, &reply.headers, "prev")?;
        let found = reply.body.into_iter().rev().find(|event| {
            event.event == "labeled" && event.label.as_ref().is_some_and(|put| put.name.eq_ignore_ascii_case(label))
        });
        match (found, previous) {
            (Some(event), _) => return Ok(Some(Labeled { id: event.id, actor: event.actor, at: event.created_at })),
            (None, None) => return Ok(None),
            (None, Some(previous)) => path = previous,
        }
        reply = gh.call(As::Repository(repo), Method::GET, &path, None::<&()>).await?;
    }
    Err(unreadable("GET", &path, false, format!("more than {EVENT_PAGES} pages of events")))
}

/// Takes a label off; that it is not there is fine. <https://docs.github.com/en/rest/issues/labels#remove-a-label-from-an-issue>
pub async fn remove_label(gh: &GitHub, repo: &Repository, number: Number, label: &str) -> Result<(), ApiError> {
    let path = repo_path(repo, &format!("/issues/{number}/labels/{}", encoded(label)));
    gone_is_fine(delete(gh, repo, &path).await)
}

/// A comment on an issue or on the conversation of a pull request.
#[derive(Clone, Debug, Deserialize)]
pub struct Comment {
    /// Its id.
    pub id: i64,
    /// Its text, Markdown.
    #[serde(default, deserialize_with = "text_or_null")]
    pub body: String,
    /// Its author; `None` for a deleted account.
    pub user: Option<User>,
    /// The App through which it was written; ours is known by this id.
    #[serde(default)]
    pub performed_via_github_app: Option<ViaApp>,
    /// When it was written.
    #[serde(deserialize_with = "millis")]
    pub created_at: Millis,
    /// When it last changed.
    #[serde(deserialize_with = "millis")]
    pub updated_at: Millis,
    /// Its place on the page.
    pub html_url: String,
}

/// Writes a comment. The one write of GitHub's that has no natural identity: after an ambiguous error look for the marker first.
/// <https://docs.github.com/en/rest/issues/comments#create-an-issue-comment>
pub async fn create_comment(gh: &GitHub, repo: &Repository, number: Number, body: &str) -> Result<Comment, ApiError> {
    let path = repo_path(repo, &format!("/issues/{number}/comments"));
    Ok(gh.call(As::Repository(repo), Method::POST, &path, Some(&json!({ "body": body }))).await?.body)
}

/// Rewrites a comment. <https://docs.github.com/en/rest/issues/comments#update-an-issue-comment>
pub async fn update_comment(gh: &GitHub, repo: &Repository, id: i64, body: &str) -> Result<Comment, ApiError> {
    let path = repo_path(repo, &format!("/issues/comments/{id}"));
    Ok(gh.call(As::Repository(repo), Method::PATCH, &path, Some(&json!({ "body": body }))).await?.body)
}

/// <https://docs.github.com/en/rest/issues/comments#get-an-issue-comment>
pub async fn get_comment(gh: &GitHub, repo: &Repository, id: i64) -> Result<Comment, ApiError> {
    gh.get(As::Repository(repo), &repo_path(repo, &format!("/issues/comments/{id}"))).await
}

/// Removes a comment; that it is not there is fine. <https://docs.github.com/en/rest/issues/comments#delete-an-issue-comment>
pub async fn delete_comment(gh: &GitHub, repo: &Repository, id: i64) -> Result<(), ApiError> {
    gone_is_fine(delete(gh, repo, &repo_path(repo, &format!("/issues/comments/{id}"))).await)
}

/// The comments that changed at or after a moment, oldest first. <https://docs.github.com/en/rest/issues/comments#list-issue-comments>
pub async fn comments_since(
    gh: &GitHub,
    repo: &Repository,
    number: Number,
    since: Millis,
) -> Result<Vec<Comment>, ApiError> {
    let since = encoded(&rfc3339(since));
    gh.pages(As::Repository(repo), &repo_path(repo, &format!("/issues/{number}/comments?since={since}&per_page=100")))
        .await
}

/// What a reaction is put on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReactionTo {
    /// The opening text of an issue or pull request.
    Issue(Number),
    /// A comment, by its id.
    Comment(i64),
    /// A comment on lines of a pull request, by its id.
    ReviewComment(i64),
}

/// Puts a reaction on and gives its id, also where it is there already. <https://docs.github.com/en/rest/reactions/reactions>
pub async fn react(gh: &GitHub, repo: &Repository, to: ReactionTo, reaction: Reaction) -> Result<i64, ApiError> {
    #[derive(Deserialize)]
    struct Made {
        id: i64,
    }

    let body = json!({ "content": reaction.as_str() });
    let made: Reply<Made> = gh.call(As::Repository(repo), Method::POST, &reactions(repo, to), Some(&body)).await?;
    Ok(made.body.id)
}

/// Takes a reaction off; that it is not there is fine.
pub async fn remove_reaction(gh: &GitHub, repo: &Repository, to: ReactionTo, id: i64) -> Result<(), ApiError> {
    gone_is_fine(delete(gh, repo, &format!("{}/{id}", reactions(repo, to))).await)
}

fn reactions(repo: &Repository, to: ReactionTo) -> String {
    match to {
        ReactionTo::Issue(number) => repo_path(repo, &format!("/issues/{number}/reactions")),
        ReactionTo::Comment(id) => repo_path(repo, &format!("/issues/comments/{id}/reactions")),
        ReactionTo::ReviewComment(id) => repo_path(repo, &format!("/pulls/comments/{id}/reactions")),
    }
}

async fn delete(gh: &GitHub, repo: &Repository, path: &str) -> Result<(), ApiError> {
    gh.call::<serde::de::IgnoredAny>(As::Repository(repo), Method::DELETE, path, None::<&()>).await.map(drop)
}

fn gone_is_fine(result: Result<(), ApiError>) -> Result<(), ApiError> {
    match result {
        Err(error) if error.is_not_found() => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Fake, respond};
    use super::*;

    fn event(id: i64, name: &str, label: &str) -> serde_json::Value {
        json!({ "id": id, "event": name, "label": { "name": label }, "actor": { "id": id, "login": "octo" }, "created_at": "2026-11-21T09:00:00Z" })
    }

    #[tokio::test]
    async fn the_newest_labeled_event_is_found_from_the_last_page_backwards() {
        let fake = Fake::start("/api/v3", |request| {
            let at = |page: u32| {
                format!("{}/api/v3/repositories/5/issues/7/events?per_page=100&page={page}", request.origin)
            };
            match (request.path.as_str(), request.query.as_str()) {
                ("/repos/octo/hello/issues/7/events", _) => respond(200, json!([event(1, "labeled", "track")]))
                    .header("link", &format!("<{}>; rel=\"next\", <{}>; rel=\"last\"", at(2), at(3))),
                (_, "per_page=100&page=3") => {
                    respond(200, json!([event(5, "unlabeled", "track"), event(6, "labeled", "other")]))
                        .header("link", &format!("<{}>; rel=\"first\", <{}>; rel=\"prev\"", at(1), at(2)))
                }
                (_, "per_page=100&page=2") => respond(
                    200,
                    json!([
                        event(3, "labeled", "track"),
                        event(4, "labeled", "Track"),
                        json!({ "id": 9, "event": "closed", "actor": null, "created_at": "2026-11-21T09:00:00Z" })
                    ]),
                ),
                _ => respond(404, json!({})),
            }
        })
        .await;
        let (gh, repo) = (fake.client(), fake.repo());
        let newest = newest_labeled(&gh, &repo, Number(7), "track").await.unwrap().unwrap();
        assert_eq!((newest.id, newest.actor.unwrap().account.login.as_str()), (4, "octo"));
    }

    #[tokio::test]
    async fn comments_of_all_pages_are_listed_under_an_enterprise_base_path() {
        let comment = |id: i64| json!({ "id": id, "body": null, "user": null, "created_at": "2026-11-21T09:00:00Z", "updated_at": "2026-11-21T09:00:00Z", "html_url": "u" });
        let fake = Fake::start("/api/v3", move |request| {
            assert!(request.header("authorization").starts_with("Bearer "), "every page carries the token");
            let next = format!(
                "<{}/api/v3{}?since=2026-11-21T08%3A59%3A00Z&per_page=100&page=2>; rel=\"next\"",
                request.origin, request.path
            );
            match request.query.as_str() {
                "since=2026-11-21T08%3A59%3A00Z&per_page=100" => {
                    respond(200, json!([comment(1), comment(2)])).header("link", &next)
                }
                "since=2026-11-21T08%3A59%3A00Z&per_page=100&page=2" => respond(200, json!([comment(3)])),
                _ => respond(404, json!({})),
            }
        })
        .await;
        let (gh, repo) = (fake.client(), fake.repo());
        let since = chrono::DateTime::parse_from_rfc3339("2026-11-21T08:59:00Z").unwrap().timestamp_millis();
        let comments = comments_since(&gh, &repo, Number(7), since).await.unwrap();
        assert_eq!(comments.iter().map(|comment| comment.id).collect::<Vec<_>>(), [1, 2, 3]);
    }

    #[tokio::test]
    async fn writes_say_what_is_meant_and_a_missing_label_is_fine() {
        let comment = json!({ "id": 11, "body": "hi", "user": { "id": 9, "login": "t[bot]", "type": "Bot" }, "performed_via_github_app": { "id": 4242 }, "created_at": "2026-11-21T09:00:00Z", "updated_at": "2026-11-21T09:00:00Z", "html_url": "u" });
        let fake = Fake::start("", move |request| match (request.method.as_str(), request.path.as_str()) {
            ("POST", "/repos/octo/hello/issues/7/comments") => respond(201, comment.clone()),
            ("PATCH", "/repos/octo/hello/issues/comments/11") => respond(200, comment.clone()),
            ("POST", "/repos/octo/hello/pulls/comments/3/reactions") => respond(200, json!({ "id": 77 })),
            ("DELETE", "/repos/octo/hello/issues/7/reactions/77") => respond(204, serde_json::Value::Null),
            _ => respond(404, json!({ "message": "Label does not exist" })),
        })
        .await;
        let (gh, repo) = (fake.client(), fake.repo());
        let made = create_comment(&gh, &repo, Number(7), "hi").await.unwrap();
        assert_eq!(made.performed_via_github_app, Some(ViaApp { id: 4242 }));
        update_comment(&gh, &repo, 11, "ho").await.unwrap();
        assert_eq!(react(&gh, &repo, ReactionTo::ReviewComment(3), Reaction::Eyes).await.unwrap(), 77);
        remove_reaction(&gh, &repo, ReactionTo::Issue(Number(7)), 77).await.unwrap();
        remove_label(&gh, &repo, Number(7), "track:claude").await.unwrap();
        let sent: Vec<_> = fake.seen().into_iter().filter(|request| !request.path.starts_with("/app")).collect();
        assert_eq!(sent[0].body, json!({ "body": "hi" }));
        assert_eq!(sent[2].body, json!({ "content": "eyes" }));
        assert_eq!(sent[4].path, "/repos/octo/hello/issues/7/labels/track%3Aclaude");
    }
}
