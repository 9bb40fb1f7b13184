//! Review threads, which only GraphQL knows. <https://docs.github.com/en/graphql/reference/mutations#resolvereviewthread>

use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::client::{As, GRAPHQL, GitHub, Reply, unreadable};
use super::error::{ApiError, Failure, classify};
use crate::model::{Number, Repository};

/// Pages that are searched for a thread: 5,000 threads.
const PAGES: usize = 50;

/// One page of threads, each with its first comment, by which the REST API names it.
const FIND: &str = "\
query($owner: String!, $name: String!, $pull: Int!, $after: String) {
  repository(owner: $owner, name: $name) {
    pullRequest(number: $pull) {
      reviewThreads(first: 100, after: $after) {
        pageInfo { hasNextPage endCursor }
        nodes { id isResolved viewerCanResolve comments(first: 1) { nodes { fullDatabaseId } } }
      }
    }
  }
}";

const RESOLVE: &str = "\
mutation($thread: ID!) {
  resolveReviewThread(input: { threadId: $thread }) { thread { isResolved } }
}";

/// Resolves the thread that begins with a comment; `true` where it is resolved, now or already, and `false` where there is none or the App may not.
///
/// It looks before it writes, so that it may be repeated after any error.
pub async fn resolve(gh: &GitHub, repo: &Repository, pull: Number, comment: i64) -> Result<bool, ApiError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Resolved {
        resolve_review_thread: Option<Payload>,
    }
    #[derive(Deserialize)]
    struct Payload {
        thread: Option<State>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct State {
        is_resolved: bool,
    }

    let Some(thread) = find(gh, repo, pull, comment).await? else { return Ok(false) };
    if thread.is_resolved || !thread.viewer_can_resolve {
        return Ok(thread.is_resolved);
    }
    let done: Resolved = query(gh, repo, RESOLVE, json!({ "thread": thread.id })).await?;
    Ok(done.resolve_review_thread.and_then(|done| done.thread).is_some_and(|thread| thread.is_resolved))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Thread {
    id: String,
    is_resolved: bool,
    viewer_can_resolve: bool,
    comments: Nodes<Comment>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Comment {
    full_database_id: Option<BigInt>,
}

/// A number of 64 bits, which GraphQL writes as text.
#[derive(Deserialize, PartialEq, Eq)]
#[serde(untagged)]
enum BigInt {
    Number(i64),
    Text(String),
}

#[derive(Deserialize)]
struct Nodes<T> {
    nodes: Vec<T>,
}

async fn find(gh: &GitHub, repo: &Repository, pull: Number, comment: i64) -> Result<Option<Thread>, ApiError> {
    #[derive(Deserialize)]
    struct Found {
        repository: Option<InRepository>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct InRepository {
        pull_request: Option<InPull>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct InPull {
        review_threads: Page,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Page {
        page_info: PageInfo,
        nodes: Vec<Thread>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct PageInfo {
        has_next_page: bool,
        end_cursor: Option<String>,
    }

    let wanted = [BigInt::Number(comment), BigInt::Text(comment.to_string())];
    let mut after = None;
    for _ in 0..PAGES {
        let (owner, name) = (&repo.name.owner, &repo.name.name);
        let variables = json!({ "owner": owner, "name": name, "pull": pull, "after": after });
        let found: Found = query(gh, repo, FIND, variables).await?;
        let Some(pull) = found.repository.and_then(|found| found.pull_request) else { return Ok(None) };
        let Page { page_info, nodes } = pull.review_threads;
        let first =
            |thread: &Thread| thread.comments.nodes.first()?.full_database_id.as_ref().map(|id| wanted.contains(id));
        if let Some(thread) = nodes.into_iter().find(|thread| first(thread) == Some(true)) {
            return Ok(Some(thread));
        }
        if !page_info.has_next_page {
            return Ok(None);
        }
        after = page_info.end_cursor;
    }
    Err(unreadable("POST", GRAPHQL, false, format!("more than {PAGES} pages of threads")))
}

/// One call of GraphQL, which reports failures in the body of a success
/// (<https://docs.github.com/en/graphql/overview/rate-limits-and-query-limits-for-the-graphql-api>).
async fn query<T: DeserializeOwned>(
    gh: &GitHub,
    repo: &Repository,
    query: &str,
    variables: Value,
) -> Result<T, ApiError> {
    #[derive(Deserialize)]
    struct Outcome {
        #[serde(default)]
        data: Value,
        #[serde(default)]
        errors: Vec<Problem>,
    }
    #[derive(Deserialize)]
    struct Problem {
        #[serde(default)]
        r#type: Option<String>,
        message: String,
    }

    let body = json!({ "query": query, "variables": variables });
    let reply: Reply<Outcome> = gh.call(As::Threads(repo), Method::POST, GRAPHQL, Some(&body)).await?;
    let Some(problem) = reply.body.errors.into_iter().next() else {
        return serde_json::from_value(reply.body.data)
            .map_err(|error| unreadable("POST", GRAPHQL, true, error.to_string()));
    };
    // What REST would have answered. The limit is GraphQL's own, so it does not hold back other calls.
    let status = match problem.r#type.as_deref() {
        Some("RATE_LIMITED" | "RATE_LIMIT") => StatusCode::TOO_MANY_REQUESTS,
        Some("NOT_FOUND") => StatusCode::NOT_FOUND,
        Some("FORBIDDEN" | "INSUFFICIENT_SCOPES") => StatusCode::FORBIDDEN,
        Some(_) => StatusCode::UNPROCESSABLE_ENTITY,
        // GitHub names no type where it ran out of time or failed.
        None => StatusCode::BAD_GATEWAY,
    };
    let body = json!({ "message": problem.message }).to_string();
    let failure = Failure {
        call: format!("POST {GRAPHQL}"),
        write: true,
        status,
        headers: &reply.headers,
        body: body.as_bytes(),
        skew: gh.skew(),
    };
    Err(classify(failure, &gh.0.clock))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Fake, respond};
    use super::*;

    fn page(threads: &[Value], next: Option<&str>) -> Value {
        let info = json!({ "hasNextPage": next.is_some(), "endCursor": next });
        let threads = json!({ "pageInfo": info, "nodes": threads });
        json!({ "data": { "repository": { "pullRequest": { "reviewThreads": threads } } } })
    }

    fn thread(comment: Value, resolved: bool, may: bool) -> Value {
        let comments = json!({ "nodes": [{ "fullDatabaseId": comment }] });
        json!({ "id": format!("PRRT_{comment}"), "isResolved": resolved, "viewerCanResolve": may, "comments": comments })
    }

    #[tokio::test]
    async fn a_thread_is_found_by_its_first_comment_and_resolved_once() {
        let fake = Fake::start("/api/v3", |request| match &request.body["variables"] {
            of if of["after"] == "more" => respond(
                200,
                page(
                    &[
                        thread(json!("4000000003"), false, true),
                        thread(json!(4), true, false),
                        thread(json!(5), false, false),
                    ],
                    None,
                ),
            ),
            of if of["thread"] == "PRRT_\"4000000003\"" => {
                respond(200, json!({ "data": { "resolveReviewThread": { "thread": { "isResolved": true } } } }))
            }
            of => {
                // As on GitHub Enterprise Server, where it is /api/graphql.
                assert_eq!(request.path, "outside of the base");
                assert_eq!(of, &json!({ "owner": "octo", "name": "hello", "pull": 9, "after": null }));
                respond(200, page(&[thread(json!("1"), false, true)], Some("more")))
            }
        });
        let fake = fake.await;
        let (gh, repo) = (fake.client(), fake.repo());
        for (comment, resolved, calls) in [(4_000_000_003, true, 3), (4, true, 2), (5, false, 2), (6, false, 2)] {
            let before = fake.seen().len();
            assert_eq!(resolve(&gh, &repo, Number(9), comment).await.unwrap(), resolved, "{comment}");
            let seen = fake.seen();
            let asked = seen[before..].iter().filter(|request| request.body["query"].is_string());
            assert_eq!(asked.count(), calls, "{comment}");
        }
        assert_eq!(
            fake.seen()[0].body["permissions"],
            json!({ "contents": "write", "metadata": "read", "pull_requests": "write" })
        );
    }

    #[tokio::test]
    async fn a_failure_in_a_success_is_a_failure() {
        let fake = Fake::start("", |request| {
            let pull = request.body["variables"]["pull"].as_i64().unwrap_or_default();
            let (kind, message) = match pull {
                1 => (json!("RATE_LIMITED"), "API rate limit exceeded for installation ID 3."),
                2 => (json!("FORBIDDEN"), "Resource not accessible by integration"),
                3 => (json!("NOT_FOUND"), "Could not resolve to a Repository with the name 'octo/hello'."),
                4 => (Value::Null, "Something went wrong while executing your query."),
                _ => return respond(200, json!({ "data": { "repository": null } })),
            };
            respond(200, json!({ "data": { "repository": null }, "errors": [{ "type": kind, "message": message }] }))
                .header("x-ratelimit-remaining", if pull == 1 { "0" } else { "4000" })
                .header("x-ratelimit-reset", "4000000000")
        })
        .await;
        let (gh, repo) = (fake.client(), fake.repo());
        let fails = async |pull| resolve(&gh, &repo, Number(pull), 5).await.unwrap_err();
        let now = gh.0.clock.now();
        assert!(matches!(fails(1).await, ApiError::RateLimited { until, .. } if until > now + 600_000));
        insta::assert_snapshot!(fails(3).await, @"POST /graphql: not found (Could not resolve to a Repository with the name 'octo/hello'.)");
        insta::assert_snapshot!(fails(4).await, @"POST /graphql: GitHub is not available: Something went wrong while executing your query.");
        assert_eq!(fails(2).await.refused_with(), Some(403));
        assert!(!resolve(&gh, &repo, Number(5), 5).await.unwrap());
    }
}
