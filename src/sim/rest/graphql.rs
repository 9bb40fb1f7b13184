//! GraphQL as far as anybody asks it here: the threads of a pull request, and resolving one. Two queries are understood,
//! word for word; every other is an error. <https://docs.github.com/en/graphql/reference>

use serde_json::{Value, json};

use crate::sim::app_auth::Access::{Read, Write};
use crate::sim::app_auth::{Caller, allows};
use crate::sim::world::{Pull, ReviewComment, World};

use super::{Answer, Call, Reply, refusal};

/// The threads of a pull request, each with its first comment.
const THREADS: &str = "
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

const RESOLVE: &str = "
mutation($thread: ID!) {
  resolveReviewThread(input: { threadId: $thread }) { thread { isResolved } }
}";

/// Threads on a page.
const PAGE: usize = 100;

/// A refusal within a success: its type and message.
type Problem = (&'static str, String);

pub(super) fn answer(call: &Call<'_>) -> Answer {
    if !matches!(call.caller, Caller::Installation(..)) {
        return Err(refusal(401, "This endpoint requires you to be authenticated."));
    }
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let query = words(call.text("query").unwrap_or_default());
    let outcome = if query == words(THREADS) {
        threads(call)
    } else if query == words(RESOLVE) {
        resolve(call)
    } else {
        Err(("undefinedField", "The simulator does not understand this query".to_owned()))
    };
    let value = match outcome {
        Ok(data) => json!({ "data": data }),
        Err((kind, message)) => json!({ "data": null, "errors": [{ "type": kind, "message": message }] }),
    };
    Ok(Reply::json(200, &value))
}

fn threads(call: &Call<'_>) -> Result<Value, Problem> {
    let variable = |name: &str| call.body["variables"][name].as_str().unwrap_or_default();
    let world = call.inner.world();
    let full_name = format!("{}/{}", variable("owner"), variable("name"));
    let unknown = |_| ("NOT_FOUND", format!("Could not resolve to a Repository with the name '{full_name}'."));
    let id = call.repository(&world, &full_name, &[("pull_requests", Read)]).map_err(unknown)?;
    let number = call.body["variables"]["pull"].as_i64().unwrap_or_default();
    let pull = world.issue(id, number).and_then(|issue| issue.pull.as_ref());
    let unknown = || ("NOT_FOUND", format!("Could not resolve to a PullRequest with the number of {number}."));
    let pull = pull.ok_or_else(unknown)?;
    let may = call.repository(&world, &full_name, &[("pull_requests", Write)]).is_ok();
    let after: usize = variable("after").parse().unwrap_or_default();
    let roots = pull.comments.iter().filter(|comment| comment.remark.in_reply_to.is_none());
    let thread = |root: &ReviewComment| {
        json!({
            "id": format!("PRRT_{}", root.id),
            "isResolved": pull.resolved.contains(&root.id),
            "viewerCanResolve": may && !pull.resolved.contains(&root.id),
            "comments": { "nodes": [{ "fullDatabaseId": root.id.to_string() }] },
        })
    };
    let nodes: Vec<Value> = roots.clone().skip(after).take(PAGE).map(thread).collect();
    let end = after + nodes.len();
    let info = json!({ "hasNextPage": end < roots.count(), "endCursor": end.to_string() });
    let threads = json!({ "pageInfo": info, "nodes": nodes });
    Ok(json!({ "repository": { "pullRequest": { "reviewThreads": threads } } }))
}

fn resolve(call: &Call<'_>) -> Result<Value, Problem> {
    let thread = call.body["variables"]["thread"].as_str().unwrap_or_default();
    let unknown = || ("NOT_FOUND", format!("Could not resolve to a node with the global id of '{thread}'"));
    let root = thread.strip_prefix("PRRT_").and_then(|id| id.parse().ok()).ok_or_else(unknown)?;
    let mut world = call.inner.world();
    let full_name = repository_of(&world, root).ok_or_else(unknown)?;
    let forbidden = || ("FORBIDDEN", "Resource not accessible by integration".to_owned());
    let id = call.repository(&world, &full_name, &[("pull_requests", Write)]).map_err(|_| forbidden())?;
    // Nothing says why, but GitHub wants this too: https://github.com/orgs/community/discussions/44650
    if !matches!(call.caller, Caller::Installation(_, token) if allows(token, ("contents", Write))) {
        return Err(forbidden());
    }
    let pulls = world.repositories.get_mut(&id).into_iter().flat_map(|of| of.issues.values_mut());
    for pull in pulls.filter_map(|issue| issue.pull.as_mut()) {
        if begins_thread(pull, root) {
            pull.resolved.insert(root);
        }
    }
    Ok(json!({ "resolveReviewThread": { "thread": { "isResolved": true } } }))
}

fn begins_thread(pull: &Pull, id: i64) -> bool {
    pull.comments.iter().any(|comment| comment.id == id && comment.remark.in_reply_to.is_none())
}

fn repository_of(world: &World, root: i64) -> Option<String> {
    let has = |pull: &Pull| begins_thread(pull, root);
    let mut all = world.repositories.values();
    let of = all.find(|of| of.issues.values().any(|issue| issue.pull.as_ref().is_some_and(has)))?;
    Some(of.full_name.clone())
}
