//! Issues and the conversation of pull requests: comments, labels, events, reactions.
//! <https://docs.github.com/en/rest/issues>

use chrono::DateTime;
use serde_json::{Value, json};

use crate::sim::app_auth::Access::{self, Read, Write};
use crate::sim::changes::{NewIssue, REACTIONS, Target};
use crate::sim::json;
use crate::sim::world::{Issue, Repository, World};

use super::repos::known;
use super::{Answer, Call, Reply, bot, invalid, not_found, refusal};

/// Pull requests too, newest first, `state` open unless asked otherwise, `labels` all of them.
pub(super) fn list(call: &Call<'_>, repo: &str) -> Answer {
    let world = call.inner.world();
    let id = call.repository(&world, repo, &[("issues", Read), ("pull_requests", Read)])?;
    let of = known(&world, id)?;
    let state = call.query.get("state").map_or("open", String::as_str);
    let labels: Vec<&str> = call.query.get("labels").map(|labels| labels.split(',').collect()).unwrap_or_default();
    let since = since(call)?;
    let issues = of.issues.values().rev().filter(|issue| {
        issue.updated_at / 1000 >= since
            && (state == "all" || state == json::state(issue))
            && labels.iter().all(|label| issue.labels.iter().any(|on_it| on_it.eq_ignore_ascii_case(label)))
    });
    Ok(call.page(issues.map(|issue| json::issue(&world, of, issue)).collect()))
}

pub(super) fn create(call: &Call<'_>, repo: &str) -> Answer {
    let mut world = call.inner.world();
    let id = call.repository(&world, repo, &[("issues", Write)])?;
    if known(&world, id)?.issues_off {
        return Err(refusal(410, "Issues has been disabled in this repository."));
    }
    let title = call.required("Issue", "title")?;
    let list = call.body.get("labels").and_then(Value::as_array);
    let labels: Vec<&str> = list.into_iter().flatten().filter_map(Value::as_str).collect();
    let actor = bot(&world);
    let new = NewIssue { title, body: call.text("body").unwrap_or_default(), labels: &labels };
    let number = world.open_issue(id, actor, new)?;
    let issue = world.issue(id, number).ok_or_else(not_found)?;
    Ok(Reply::json(201, &json::issue(&world, known(&world, id)?, issue)))
}

pub(super) fn get(call: &Call<'_>, repo: &str, number: &str) -> Answer {
    let world = call.inner.world();
    let (of, issue) = find(call, &world, (repo, number))?;
    Ok(Reply::json(200, &json::issue(&world, of, issue)))
}

pub(super) fn edit(call: &Call<'_>, repo: &str, number: &str) -> Answer {
    let mut world = call.inner.world();
    let (id, number) = call.issue(&world, repo, number, Write)?;
    let actor = bot(&world);
    world.edit_issue(id, actor, number, (call.text("title"), call.text("body")))?;
    if let Some(state) = call.text("state") {
        world.set_open(id, actor, number, state == "open")?;
    }
    let issue = world.issue(id, number).ok_or_else(not_found)?;
    Ok(Reply::json(200, &json::issue(&world, known(&world, id)?, issue)))
}

/// Oldest first; `since` is compared with the time of the last change, as GitHub does.
pub(super) fn comments(call: &Call<'_>, repo: &str, number: &str) -> Answer {
    let world = call.inner.world();
    let (of, issue) = find(call, &world, (repo, number))?;
    let since = since(call)?;
    let since = issue.comments.iter().filter(|comment| comment.updated_at / 1000 >= since);
    Ok(call.page(since.map(|comment| json::comment(&world, of, issue, comment)).collect()))
}

/// The `since` of a listing, in whole seconds because that is what the caller was told.
pub(super) fn since(call: &Call<'_>) -> Result<i64, Reply> {
    let Some(since) = call.query.get("since") else { return Ok(i64::MIN) };
    let wrong = |_| invalid(&[json!({ "resource": "IssueComment", "field": "since", "code": "invalid" })]);
    Ok(DateTime::parse_from_rfc3339(since).map_err(wrong)?.timestamp())
}

pub(super) fn create_comment(call: &Call<'_>, repo: &str, number: &str) -> Answer {
    let mut world = call.inner.world();
    let (id, number) = call.issue(&world, repo, number, Write)?;
    if world.issue(id, number).is_some_and(|issue| issue.locked) {
        return Err(refusal(403, "Unable to create comment because issue is locked."));
    }
    let body = comment_body(call)?;
    let actor = bot(&world);
    let comment = world.comment(id, actor, number, body)?;
    comment_reply(&world, id, comment, 201)
}

pub(super) fn get_comment(call: &Call<'_>, repo: &str, comment: &str) -> Answer {
    let world = call.inner.world();
    let (id, comment) = find_comment(call, &world, (repo, comment), Read)?;
    comment_reply(&world, id, comment, 200)
}

pub(super) fn edit_comment(call: &Call<'_>, repo: &str, comment: &str) -> Answer {
    let mut world = call.inner.world();
    let (id, comment) = find_comment(call, &world, (repo, comment), Write)?;
    let body = comment_body(call)?;
    let actor = bot(&world);
    world.edit_comment(id, actor, comment, body)?;
    comment_reply(&world, id, comment, 200)
}

pub(super) fn delete_comment(call: &Call<'_>, repo: &str, comment: &str) -> Answer {
    let mut world = call.inner.world();
    let (id, comment) = find_comment(call, &world, (repo, comment), Write)?;
    let actor = bot(&world);
    world.delete_comment(id, actor, comment)?;
    Ok(Reply::empty(204))
}

pub(super) fn events(call: &Call<'_>, repo: &str, number: &str) -> Answer {
    let world = call.inner.world();
    let (of, issue) = find(call, &world, (repo, number))?;
    Ok(call.page(issue.events.iter().map(|event| json::event(&world, of, event)).collect()))
}

/// Events and comments together, in the order of their times.
pub(super) fn timeline(call: &Call<'_>, repo: &str, number: &str) -> Answer {
    let world = call.inner.world();
    let (of, issue) = find(call, &world, (repo, number))?;
    let events = issue.events.iter().map(|event| (event.created_at, json::event(&world, of, event)));
    let comments = issue.comments.iter().map(|comment| {
        let mut value = json::comment(&world, of, issue, comment);
        value["event"] = json!("commented");
        value["actor"] = json::account(&world, comment.author.account);
        (comment.created_at, value)
    });
    let mut all: Vec<(i64, Value)> = events.chain(comments).collect();
    all.sort_by_key(|(at, _)| *at);
    Ok(call.page(all.into_iter().map(|(_, value)| value).collect()))
}

pub(super) fn labels(call: &Call<'_>, repo: &str, number: &str) -> Answer {
    let world = call.inner.world();
    let (of, issue) = find(call, &world, (repo, number))?;
    Ok(call.page(json::labels(&world, of, issue)))
}

pub(super) fn add_labels(call: &Call<'_>, repo: &str, number: &str) -> Answer {
    let mut world = call.inner.world();
    let (id, number) = call.issue(&world, repo, number, Write)?;
    let list = call.body.get("labels").unwrap_or(call.body).as_array().cloned().unwrap_or_default();
    let actor = bot(&world);
    for label in &list {
        let name = label.as_str().or_else(|| label.get("name").and_then(Value::as_str));
        let name =
            name.ok_or_else(|| invalid(&[json!({ "resource": "Label", "field": "name", "code": "invalid" })]))?;
        world.label(id, actor, number, name)?;
    }
    let (of, issue) = (known(&world, id)?, world.issue(id, number).ok_or_else(not_found)?);
    Ok(Reply::json(200, &json::labels(&world, of, issue).into()))
}

pub(super) fn remove_label(call: &Call<'_>, repo: &str, number: &str, label: &str) -> Answer {
    let mut world = call.inner.world();
    let (id, number) = call.issue(&world, repo, number, Write)?;
    let actor = bot(&world);
    world.unlabel(id, actor, number, label).map_err(|_| refusal(404, "Label does not exist"))?;
    let (of, issue) = (known(&world, id)?, world.issue(id, number).ok_or_else(not_found)?);
    Ok(Reply::json(200, &json::labels(&world, of, issue).into()))
}

pub(super) fn reactions(call: &Call<'_>, repo: &str, target: Target) -> Answer {
    let mut world = call.inner.world();
    let id = reach(call, &world, (repo, target), Read)?;
    let mut list = world.reactions_mut(id, target)?.clone();
    if let Some(content) = call.query.get("content") {
        list.retain(|reaction| reaction.content == *content);
    }
    Ok(call.page(list.iter().map(|reaction| json::reaction(&world, reaction)).collect()))
}

/// 201 for a new reaction, 200 for one that was there.
pub(super) fn react(call: &Call<'_>, repo: &str, target: Target) -> Answer {
    let mut world = call.inner.world();
    let id = reach(call, &world, (repo, target), Write)?;
    let content = call.required("Reaction", "content")?;
    if !REACTIONS.contains(&content) {
        return Err(invalid(&[json!({ "resource": "Reaction", "field": "content", "code": "invalid" })]));
    }
    let actor = bot(&world);
    let (reaction, new) = world.react(id, actor, target, content)?;
    Ok(Reply::json(if new { 201 } else { 200 }, &json::reaction(&world, &reaction)))
}

/// Only one's own reactions can be taken away.
pub(super) fn unreact(call: &Call<'_>, repo: &str, target: Target, reaction: &str) -> Answer {
    let mut world = call.inner.world();
    let id = reach(call, &world, (repo, target), Write)?;
    let reaction: i64 = reaction.parse().map_err(|_| not_found())?;
    let me = world.bot;
    let list = world.reactions_mut(id, target)?;
    let place = list.iter().position(|one| one.id == reaction && one.account == me).ok_or_else(not_found)?;
    list.remove(place);
    Ok(Reply::empty(204))
}

pub(super) fn comment_body<'c>(call: &'c Call<'_>) -> Result<&'c str, Reply> {
    /// Longer comments are refused.
    const LONGEST: usize = 65_536;
    let body = call.required("IssueComment", "body")?;
    if body.chars().count() > LONGEST {
        let message = format!("body is too long (maximum is {LONGEST} characters)");
        return Err(invalid(&[
            json!({ "resource": "IssueComment", "code": "custom", "field": "body", "message": message }),
        ]));
    }
    Ok(body)
}

fn find<'w>(
    call: &Call<'_>,
    world: &'w World,
    (repo, number): (&str, &str),
) -> Result<(&'w Repository, &'w Issue), Reply> {
    let (id, number) = call.issue(world, repo, number, Read)?;
    Ok((known(world, id)?, world.issue(id, number).ok_or_else(not_found)?))
}

fn find_comment(
    call: &Call<'_>,
    world: &World,
    (repo, comment): (&str, &str),
    access: Access,
) -> Result<(i64, i64), Reply> {
    let comment: i64 = comment.parse().map_err(|_| not_found())?;
    Ok((reach(call, world, (repo, Target::Comment(comment)), access)?, comment))
}

/// The repository of an issue or comment that the caller may read or write.
fn reach(call: &Call<'_>, world: &World, (repo, target): (&str, Target), access: Access) -> Result<i64, Reply> {
    let number = match target {
        Target::Issue(number) => number,
        Target::Comment(id) => {
            let found = world.repository(repo).and_then(|of| of.find_comment(id));
            // Whoever may not even see the repository must not learn whether the comment is there.
            found.map_or(0, |(number, _)| number)
        }
        Target::ReviewComment(id) => {
            let found = world.repository(repo).and_then(|of| of.find_review_comment(id));
            found.map_or(0, |(issue, _, _)| issue.number)
        }
    };
    Ok(call.issue(world, repo, &number.to_string(), access)?.0)
}

fn comment_reply(world: &World, repository: i64, comment: i64, status: u16) -> Answer {
    let of = known(world, repository)?;
    let (number, place) = of.find_comment(comment).ok_or_else(not_found)?;
    let issue = of.issues.get(&number).ok_or_else(not_found)?;
    let value = json::comment(world, of, issue, &issue.comments[place]);
    let location = value["url"].as_str().unwrap_or_default().to_owned();
    let headers = (status == 201).then(|| ("location".to_owned(), location));
    Ok(Reply::json(status, &value).with_headers(headers))
}
