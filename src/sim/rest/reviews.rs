//! Reviews and comments on lines. <https://docs.github.com/en/rest/pulls/reviews>

use serde_json::{Value, json};

use crate::sim::app_auth::Access::{self, Read, Write};
use crate::sim::reviews::{Misplaced, NewReview, place};
use crate::sim::world::{Issue, Pull, Remark, Repository, Review, ReviewComment, World};
use crate::sim::{git, json};

use super::issues::{comment_body, since};
use super::pulls::{find, reach};
use super::repos::known;
use super::{Answer, Call, Reply, bot, broken, invalid, not_found};

/// Oldest first.
pub(super) fn list(call: &Call<'_>, repo: &str, number: &str) -> Answer {
    let world = call.inner.world();
    let (of, issue, pull) = pull(call, &world, (repo, number), Read)?;
    Ok(call.page(pull.reviews.iter().map(|review| json::review(&world, of, issue, review)).collect()))
}

pub(super) fn get(call: &Call<'_>, repo: &str, number: &str, id: &str) -> Answer {
    let world = call.inner.world();
    let (of, issue, pull) = pull(call, &world, (repo, number), Read)?;
    Ok(Reply::json(200, &json::review(&world, of, issue, review(pull, id)?)))
}

/// Takes a review whole, or nothing of it.
pub(super) async fn create(call: &Call<'_>, repo: &str, number: &str) -> Answer {
    {
        let world = call.inner.world();
        call.repository(&world, repo, &[("pull_requests", Write)])?;
    }
    let (place_of, number, (base, head)) = reach(call, repo, number)?;
    let state = match call.text("event") {
        None => "PENDING",
        Some("COMMENT") => "COMMENTED",
        Some("APPROVE") => "APPROVED",
        Some("REQUEST_CHANGES") => "CHANGES_REQUESTED",
        Some(_) => {
            return Err(unprocessable("Variable $event of type PullRequestReviewEvent was provided invalid value"));
        }
    };
    let commit = call.text("commit_id").unwrap_or(&head).to_owned();
    let (own, had) = {
        let world = call.inner.world();
        let (_, issue, pull) = find(&world, place_of.id, number)?;
        (issue.author == bot(&world), commit == head || pull.earlier_heads.contains(&commit))
    };
    let ancestor = ["merge-base", "--is-ancestor", &commit, &head];
    if !had && git::run(&place_of.folder, &ancestor, b"").await.is_err() {
        return Err(unprocessable("The commit_id is not part of the pull request"));
    }
    match state {
        "APPROVED" if own => return Err(unprocessable("Can not approve your own pull request")),
        "CHANGES_REQUESTED" if own => return Err(unprocessable("Can not request changes on your own pull request")),
        _ => {}
    }
    let list = call.body.get("comments").and_then(Value::as_array).cloned().unwrap_or_default();
    let body = call.text("body").unwrap_or_default().to_owned();
    if body.trim().is_empty() && (list.is_empty() || state == "CHANGES_REQUESTED") && state != "APPROVED" {
        return Err(unprocessable("Body can't be blank"));
    }
    let remarks = list.iter().map(remark).collect::<Result<Vec<Remark>, Reply>>()?;
    let remarks = place(&place_of.folder, (&base, &commit), remarks).await.map_err(|error| match error {
        Misplaced::Rule(rule) => unprocessable(rule),
        Misplaced::Broken(error) => broken(error),
    })?;
    let mut world = call.inner.world();
    let actor = bot(&world);
    let id = world.review(place_of.id, actor, number, NewReview { state, body, commit, remarks })?;
    let (of, issue, pull) = find(&world, place_of.id, number)?;
    Ok(Reply::json(200, &json::review(&world, of, issue, review(pull, &id.to_string())?)))
}

/// Here GitHub leaves the lines out.
pub(super) fn comments_of(call: &Call<'_>, repo: &str, number: &str, id: &str) -> Answer {
    let world = call.inner.world();
    let (of, issue, pull) = pull(call, &world, (repo, number), Read)?;
    let id = review(pull, id)?.id;
    let comments = pull.comments.iter().filter(|comment| comment.review == id);
    let without_lines = comments.map(|comment| {
        let mut value = json::review_comment(&world, of, issue, comment);
        if let Value::Object(fields) = &mut value {
            let lines =
                ["line", "original_line", "start_line", "original_start_line", "side", "start_side", "subject_type"];
            fields.retain(|name, _| !lines.contains(&name.as_str()));
        }
        value
    });
    Ok(call.page(without_lines.collect()))
}

/// Oldest first; those of pending reviews are not there.
pub(super) fn comments(call: &Call<'_>, repo: &str, number: &str) -> Answer {
    let world = call.inner.world();
    let (of, issue, pull) = pull(call, &world, (repo, number), Read)?;
    let since = since(call)?;
    let pending = |id: i64| pull.reviews.iter().any(|review| review.id == id && review.submitted_at.is_none());
    let shown = |comment: &&ReviewComment| comment.updated_at / 1000 >= since && !pending(comment.review);
    let comments = pull.comments.iter().filter(shown);
    Ok(call.page(comments.map(|comment| json::review_comment(&world, of, issue, comment)).collect()))
}

/// Only the first comment of a thread is replied to.
pub(super) fn reply(call: &Call<'_>, repo: &str, number: &str, id: &str) -> Answer {
    let mut world = call.inner.world();
    let (of, issue, pull) = pull(call, &world, (repo, number), Write)?;
    let (repository, number) = (of.id, issue.number);
    let root = pull.comments.iter().find(|comment| comment.id.to_string() == id).ok_or_else(not_found)?;
    if root.remark.in_reply_to.is_some() {
        let message = "Replies to replies are not supported";
        let field = "pull_request_review_thread.in_reply_to";
        return Err(invalid(&[
            json!({ "resource": "PullRequestReviewComment", "code": "custom", "field": field, "message": message }),
        ]));
    }
    let root = root.id;
    let body = comment_body(call)?;
    let actor = bot(&world);
    let id = world.reply(repository, actor, (number, root), body)?;
    comment_reply(&world, repository, id, 201)
}

pub(super) fn get_comment(call: &Call<'_>, repo: &str, id: &str) -> Answer {
    let world = call.inner.world();
    let (repository, id) = comment(call, &world, (repo, id), Read)?;
    comment_reply(&world, repository, id, 200)
}

/// An App may change what others wrote, as somebody with write access may.
pub(super) fn edit_comment(call: &Call<'_>, repo: &str, id: &str) -> Answer {
    let mut world = call.inner.world();
    let (repository, id) = comment(call, &world, (repo, id), Write)?;
    let body = comment_body(call)?;
    let actor = bot(&world);
    world.edit_review_comment(repository, actor, id, body)?;
    comment_reply(&world, repository, id, 200)
}

pub(super) fn delete_comment(call: &Call<'_>, repo: &str, id: &str) -> Answer {
    let mut world = call.inner.world();
    let (repository, id) = comment(call, &world, (repo, id), Write)?;
    let actor = bot(&world);
    world.delete_review_comment(repository, actor, id)?;
    Ok(Reply::empty(204))
}

/// What GitHub says where its GraphQL half refuses.
fn unprocessable(error: &str) -> Reply {
    let value = json!({
        "message": "Unprocessable Entity",
        "errors": [error],
        "documentation_url": "https://docs.github.com/rest",
        "status": "422",
    });
    Reply::json(422, &value)
}

/// A comment of a review that is asked for.
fn remark(value: &Value) -> Result<Remark, Reply> {
    let text = |field: &str| value.get(field).and_then(Value::as_str).filter(|text| !text.trim().is_empty());
    let line = |field: &str| value.get(field).and_then(Value::as_u64).and_then(|line| u32::try_from(line).ok());
    let side = |field: &str, unless: &'static str| match text(field) {
        Some("LEFT") => "LEFT",
        Some("RIGHT") => "RIGHT",
        _ => unless,
    };
    let missing = |field: &str| unprocessable(&format!("{field} was not provided"));
    let path = text("path").ok_or_else(|| missing("path"))?;
    let body = text("body").ok_or_else(|| unprocessable("Body can't be blank"))?;
    let at = line("line").ok_or_else(|| unprocessable("pull_request_review_thread.line must be part of the diff"))?;
    let mut remark = Remark::new(path, at, side("side", "RIGHT"), body);
    remark.start = line("start_line").map(|start| (start, side("start_side", remark.side)));
    Ok(remark)
}

fn pull<'w>(
    call: &Call<'_>,
    world: &'w World,
    (repo, number): (&str, &str),
    access: Access,
) -> Result<(&'w Repository, &'w Issue, &'w Pull), Reply> {
    let id = call.repository(world, repo, &[("pull_requests", access)])?;
    find(world, id, number.parse().map_err(|_| not_found())?)
}

fn review<'w>(pull: &'w Pull, id: &str) -> Result<&'w Review, Reply> {
    pull.reviews.iter().find(|review| review.id.to_string() == id).ok_or_else(not_found)
}

/// The repository of a comment that the caller may read or write.
fn comment(call: &Call<'_>, world: &World, (repo, comment): (&str, &str), access: Access) -> Result<(i64, i64), Reply> {
    let id = call.repository(world, repo, &[("pull_requests", access)])?;
    let comment = comment.parse().map_err(|_| not_found())?;
    known(world, id)?.find_review_comment(comment).ok_or_else(not_found)?;
    Ok((id, comment))
}

fn comment_reply(world: &World, repository: i64, comment: i64, status: u16) -> Answer {
    let of = known(world, repository)?;
    let (issue, _, comment) = of.find_review_comment(comment).ok_or_else(not_found)?;
    Ok(Reply::json(status, &json::review_comment(world, of, issue, comment)))
}
