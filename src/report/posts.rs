//! The things that the bot posts and finds again by their markers: comments in a conversation, answers in the threads of review comments,
//! and reviews. What differs between them is where they are on GitHub; how they are kept from being there twice is the worker's.

use crate::context::Context;
use crate::db::reports::{LineNote, Payload, Report};
use crate::github::reviews::{self, NewComment, NewReview, Side};
use crate::github::{ApiError, User, issues};
use crate::model::{Millis, Repository};

/// Something posted, as far as it is found again.
pub(super) struct Post {
    /// GitHub's id.
    pub id: i64,
    /// Its text.
    pub body: String,
    /// Its author.
    pub user: Option<User>,
}

/// Posts a report with this text.
pub(super) async fn create(
    context: &Context,
    report: &Report,
    repository: &Repository,
    body: &str,
) -> Result<Post, ApiError> {
    let github = &context.github;
    match &report.payload {
        Payload::ThreadReply { root, .. } => {
            reviews::reply(github, repository, report.number, *root, body).await.map(of_line_comment)
        }
        Payload::Review { commit, notes, .. } => {
            let comments: Vec<NewComment> = notes.iter().map(new_comment).collect();
            let new = NewReview { commit_id: commit, body, comments: &comments };
            reviews::submit(github, repository, report.number, &new).await.map(of_review)
        }
        _ => issues::create_comment(github, repository, report.number, body).await.map(of_comment),
    }
}

/// Rewrites what was posted. A submitted review is not rewritten: it says what was found at the time.
pub(super) async fn update(
    context: &Context,
    report: &Report,
    repository: &Repository,
    (id, body): (i64, &str),
) -> Result<(), ApiError> {
    let github = &context.github;
    match &report.payload {
        Payload::ThreadReply { .. } => reviews::update_comment(github, repository, id, body).await.map(drop),
        Payload::Review { .. } => Ok(()),
        _ => issues::update_comment(github, repository, id, body).await.map(drop),
    }
}

/// What stands where the report would be posted, since a time where GitHub can tell.
pub(super) async fn list(
    context: &Context,
    report: &Report,
    repository: &Repository,
    since: Millis,
) -> Result<Vec<Post>, ApiError> {
    let github = &context.github;
    Ok(match &report.payload {
        Payload::ThreadReply { .. } => reviews::comments(github, repository, report.number, Some(since))
            .await?
            .into_iter()
            .map(of_line_comment)
            .collect(),
        Payload::Review { .. } => {
            reviews::list(github, repository, report.number).await?.into_iter().map(of_review).collect()
        }
        _ => {
            let comments = issues::comments_since(github, repository, report.number, since).await?;
            comments.into_iter().map(of_comment).collect()
        }
    })
}

/// Removes a twin. GitHub lets nobody remove a submitted review, so that one stays.
pub(super) async fn delete(
    context: &Context,
    report: &Report,
    repository: &Repository,
    id: i64,
) -> Result<(), ApiError> {
    let github = &context.github;
    match &report.payload {
        Payload::ThreadReply { .. } => reviews::delete_comment(github, repository, id).await,
        Payload::Review { .. } => Ok(()),
        _ => issues::delete_comment(github, repository, id).await,
    }
}

fn new_comment(note: &LineNote) -> NewComment {
    let side = if note.left { Side::Left } else { Side::Right };
    NewComment {
        path: note.path.clone(),
        body: note.body.clone(),
        line: note.line,
        side,
        start_line: note.start,
        start_side: note.start.map(|_| side),
    }
}

fn of_comment(comment: issues::Comment) -> Post {
    Post { id: comment.id, body: comment.body, user: comment.user }
}

fn of_line_comment(comment: reviews::ReviewComment) -> Post {
    Post { id: comment.id, body: comment.body, user: comment.user }
}

fn of_review(review: reviews::Review) -> Post {
    Post { id: review.id, body: review.body, user: review.user }
}
