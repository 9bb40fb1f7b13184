//! Reviews and comments on lines. <https://docs.github.com/en/rest/pulls/reviews>

use serde_json::{Value, json};

use super::{account, association, html_url, repository_url, rollup};
use crate::sim::world::{Issue, Repository, Review, ReviewComment, World, stamp};

/// A review. Unlike issue comments it does not say through which App it was written.
pub(in crate::sim) fn review(world: &World, repository: &Repository, issue: &Issue, review: &Review) -> Value {
    let html = format!("{}#pullrequestreview-{}", html_url(world, repository, issue), review.id);
    let pull = pull_url(world, repository, issue);
    let mut value = json!({
        "id": review.id,
        "node_id": format!("PRR_{}", review.id),
        "user": account(world, review.author.account),
        "body": review.body,
        "state": review.state,
        "html_url": html,
        "pull_request_url": pull,
        "author_association": association(world, repository, review.author),
        "_links": { "html": { "href": html }, "pull_request": { "href": pull } },
        "commit_id": review.commit,
    });
    // A pending review has no such field at all.
    if let Some(at) = review.submitted_at {
        value["submitted_at"] = json!(stamp(at));
    }
    value
}

/// A comment on lines.
pub(in crate::sim) fn review_comment(
    world: &World,
    repository: &Repository,
    issue: &Issue,
    comment: &ReviewComment,
) -> Value {
    let url = format!("{}/pulls/comments/{}", repository_url(world, repository), comment.id);
    let html = format!("{}#discussion_r{}", html_url(world, repository, issue), comment.id);
    let pull = pull_url(world, repository, issue);
    let remark = &comment.remark;
    // As far from the line as it was when both were chosen.
    let shift = comment.line.map(|line| i64::from(line) - i64::from(remark.line));
    let mut value = json!({
        "url": url,
        "pull_request_review_id": comment.review,
        "id": comment.id,
        "node_id": format!("PRRC_{}", comment.id),
        "diff_hunk": remark.hunk,
        "path": remark.path,
        "commit_id": comment.commit,
        "original_commit_id": comment.original_commit,
        "user": account(world, comment.author.account),
        "body": remark.body,
        "created_at": stamp(comment.created_at),
        "updated_at": stamp(comment.updated_at),
        "html_url": html,
        "pull_request_url": pull,
        "author_association": association(world, repository, comment.author),
        "_links": { "self": { "href": url }, "html": { "href": html }, "pull_request": { "href": pull } },
        "reactions": rollup(&format!("{url}/reactions"), &comment.reactions),
        "start_line": remark.start.and_then(|(start, _)| Some(i64::from(start) + shift?)),
        "original_start_line": remark.start.map(|(start, _)| start),
        "start_side": remark.start.map(|(_, side)| side),
        "line": comment.line,
        "original_line": remark.line,
        "side": remark.side,
        "original_position": remark.position,
        "position": comment.line.map(|_| remark.position),
        "subject_type": "line",
    });
    // Only a reply has this field.
    if let Some(root) = remark.in_reply_to {
        value["in_reply_to_id"] = json!(root);
    }
    value
}

fn pull_url(world: &World, repository: &Repository, issue: &Issue) -> String {
    format!("{}/pulls/{}", repository_url(world, repository), issue.number)
}
