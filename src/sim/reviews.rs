//! Reviews, the comments on lines that belong to them, and threads: what happens to them, and what people do and see.
//! <https://docs.github.com/en/pull-requests/collaborating-with-pull-requests/reviewing-changes-in-pull-requests>

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use crate::model::Number;

use super::changes::{Missing, find};
use super::diff::{self, Hunk};
use super::world::{Actor, Issue, Pull, Remark, Repository, Review, ReviewComment, World};
use super::{Sim, json};

/// A review that is about to be made.
pub(super) struct NewReview {
    /// GitHub's word; a `PENDING` one is seen by its author only.
    pub state: &'static str,
    pub body: String,
    pub commit: String,
    pub remarks: Vec<Remark>,
}

/// Why comments on lines are refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum Misplaced {
    /// In GitHub's words.
    #[error("{0}")]
    Rule(&'static str),
    #[error(transparent)]
    Broken(#[from] anyhow::Error),
}

impl Remark {
    /// A comment on one line, yet to be found in the diff by [`place`].
    pub fn new(path: &str, line: u32, side: &'static str, body: &str) -> Self {
        Self {
            path: path.to_owned(),
            body: body.to_owned(),
            line,
            side,
            start: None,
            in_reply_to: None,
            hunk: String::new(),
            position: 0,
        }
    }
}

/// Finds the lines of comments in the diff that a commit brings to a base.
pub(super) async fn place(
    folder: &Path,
    (base, commit): (&str, &str),
    remarks: Vec<Remark>,
) -> Result<Vec<Remark>, Misplaced> {
    let mut placed = Vec::new();
    for mut remark in remarks {
        let hunks: Vec<Hunk> = diff::hunks(folder, &[&format!("{base}...{commit}")], &remark.path).await?;
        if hunks.is_empty() {
            return Err(Misplaced::Rule("pull_request_review_thread.path must be part of the diff"));
        }
        let outside = Misplaced::Rule("pull_request_review_thread.line must be part of the diff");
        let spot = diff::find(&hunks, remark.line, remark.side).ok_or(outside)?;
        if let Some((line, side)) = remark.start {
            let start = diff::find(&hunks, line, side).filter(|start| start.hunk == spot.hunk).ok_or(
                Misplaced::Rule("pull_request_review_thread.start_line must be part of the same hunk as the line."),
            )?;
            if !start.is_above(spot) {
                return Err(Misplaced::Rule("pull_request_review_thread.start_line must precede the end line."));
            }
        }
        (remark.hunk, remark.position) = diff::shown(&hunks, spot);
        placed.push(remark);
    }
    Ok(placed)
}

/// The lines of a pull request's comments in another head, by the ids of the comments.
pub(super) async fn carried(folder: &Path, pull: &Pull, head: &str) -> Vec<(i64, Option<u32>)> {
    let mut lines = Vec::new();
    for ReviewComment { id, line, commit, remark, .. } in &pull.comments {
        // The old version stays as it is.
        if let (Some(line), "RIGHT") = (line, remark.side) {
            lines.push((*id, diff::carried(folder, (commit, head), &remark.path, *line).await));
        }
    }
    lines
}

impl World {
    /// Makes a review with its comments; gives its id. GitHub tells of the review first.
    pub fn review(&mut self, repository: i64, actor: Actor, number: i64, new: NewReview) -> Result<i64, Missing> {
        let (now, id) = (self.now(), self.next_id());
        let pending = new.state == "PENDING";
        let comments: Vec<ReviewComment> = new
            .remarks
            .into_iter()
            .map(|remark| ReviewComment {
                id: self.next_id(),
                review: id,
                author: actor,
                line: Some(remark.line),
                remark,
                commit: new.commit.clone(),
                original_commit: new.commit.clone(),
                created_at: now,
                updated_at: now,
                reactions: Vec::new(),
            })
            .collect();
        let ids: Vec<i64> = comments.iter().map(|comment| comment.id).collect();
        let issue = self.issue_mut(repository, number).ok_or(Missing("issue"))?;
        let pull = issue.pull.as_mut().ok_or(Missing("pull request"))?;
        pull.comments.extend(comments);
        pull.reviews.push(Review {
            id,
            author: actor,
            state: new.state,
            body: new.body,
            commit: new.commit,
            submitted_at: (!pending).then_some(now),
        });
        issue.updated_at = now;
        if pending {
            return Ok(id);
        }
        self.review_event((repository, number, id), actor, "submitted")?;
        for comment in ids {
            self.review_comment_event((repository, comment), actor, ("created", json!({})))?;
        }
        Ok(id)
    }

    /// Answers in the thread of a comment, by a review of its own; gives the answer's id.
    pub fn reply(
        &mut self,
        repository: i64,
        actor: Actor,
        (number, root): (i64, i64),
        body: &str,
    ) -> Result<i64, Missing> {
        let pull =
            self.issue(repository, number).and_then(|issue| issue.pull.as_ref()).ok_or(Missing("pull request"))?;
        let root = pull.comments.iter().find(|comment| comment.id == root).ok_or(Missing("comment"))?;
        let remark = Remark { body: body.to_owned(), in_reply_to: Some(root.id), ..root.remark.clone() };
        let new =
            NewReview { state: "COMMENTED", body: String::new(), commit: pull.head_sha.clone(), remarks: vec![remark] };
        let review = self.review(repository, actor, number, new)?;
        self.comment_of(repository, number, review)
    }

    /// The first comment of a review.
    fn comment_of(&self, repository: i64, number: i64, review: i64) -> Result<i64, Missing> {
        let pull = self.issue(repository, number).and_then(|issue| issue.pull.as_ref());
        let mut comments = pull.iter().flat_map(|pull| &pull.comments);
        comments.find(|comment| comment.review == review).map(|comment| comment.id).ok_or(Missing("comment"))
    }

    /// Takes a review's weight away.
    pub fn dismiss(&mut self, repository: i64, actor: Actor, number: i64, id: i64) -> Result<(), Missing> {
        let pull = self.issue_mut(repository, number).and_then(|issue| issue.pull.as_mut());
        let mut reviews = pull.into_iter().flat_map(|pull| &mut pull.reviews);
        reviews.find(|review| review.id == id).ok_or(Missing("review"))?.state = "DISMISSED";
        self.review_event((repository, number, id), actor, "dismissed")
    }

    /// Changes what a comment on lines says.
    pub fn edit_review_comment(&mut self, repository: i64, actor: Actor, id: i64, body: &str) -> Result<(), Missing> {
        let now = self.now();
        let comment = self.review_comment_mut(repository, id)?;
        let from = std::mem::replace(&mut comment.remark.body, body.to_owned());
        comment.updated_at = now;
        let changes = json!({ "changes": { "body": { "from": from } } });
        self.review_comment_event((repository, id), actor, ("edited", changes))
    }

    /// Takes a comment on lines away.
    pub fn delete_review_comment(&mut self, repository: i64, actor: Actor, id: i64) -> Result<(), Missing> {
        self.review_comment_event((repository, id), actor, ("deleted", json!({})))?;
        let of = self.repositories.get_mut(&repository).ok_or(Missing("repository"))?;
        for pull in of.issues.values_mut().filter_map(|issue| issue.pull.as_mut()) {
            pull.comments.retain(|comment| comment.id != id);
        }
        Ok(())
    }

    pub fn review_comment_mut(&mut self, repository: i64, id: i64) -> Result<&mut ReviewComment, Missing> {
        let of = self.repositories.get_mut(&repository).ok_or(Missing("repository"))?;
        let pulls = of.issues.values_mut().filter_map(|issue| issue.pull.as_mut());
        pulls.flat_map(|pull| &mut pull.comments).find(|comment| comment.id == id).ok_or(Missing("comment"))
    }

    fn review_event(
        &mut self,
        (repository, number, id): (i64, i64, i64),
        actor: Actor,
        action: &str,
    ) -> Result<(), Missing> {
        let of = self.repositories.get(&repository).ok_or(Missing("repository"))?;
        let issue = of.issues.get(&number).ok_or(Missing("issue"))?;
        let pull = issue.pull.as_ref().ok_or(Missing("pull request"))?;
        let review = pull.reviews.iter().find(|review| review.id == id).ok_or(Missing("review"))?;
        let mut value = json::review(self, of, issue, review);
        // Webhooks write the state small, and null for a body that was left empty.
        value["state"] = json!(review.state.to_ascii_lowercase());
        if review.body.is_empty() {
            value["body"] = Value::Null;
        }
        let pull = json::simple_pull(self, of, issue, pull);
        let payload = json!({ "action": action, "review": value, "pull_request": pull });
        self.emit(repository, "pull_request_review", actor, payload);
        Ok(())
    }

    fn review_comment_event(
        &mut self,
        (repository, id): (i64, i64),
        actor: Actor,
        (action, more): (&str, Value),
    ) -> Result<(), Missing> {
        let of = self.repositories.get(&repository).ok_or(Missing("repository"))?;
        let (issue, pull, comment) = of.find_review_comment(id).ok_or(Missing("comment"))?;
        let mut payload = json!({
            "action": action,
            "comment": json::review_comment(self, of, issue, comment),
            "pull_request": json::simple_pull(self, of, issue, pull),
        });
        json::extend(&mut payload, more);
        self.emit(repository, "pull_request_review_comment", actor, payload);
        Ok(())
    }
}

impl Repository {
    /// A comment on lines, with its pull request.
    pub fn find_review_comment(&self, id: i64) -> Option<(&Issue, &Pull, &ReviewComment)> {
        self.issues.values().find_map(|issue| {
            let pull = issue.pull.as_ref()?;
            Some((issue, pull, pull.comments.iter().find(|comment| comment.id == id)?))
        })
    }
}

/// People review.
impl Sim {
    /// Submits a review of the present head in the state `COMMENTED`, `CHANGES_REQUESTED` or `APPROVED` with comments on
    /// lines of the new version (path, line, text); gives its id. `pull_request_review.submitted`, then
    /// `pull_request_review_comment.created` for each comment.
    ///
    /// # Errors
    /// Anything that is not there; another state; a line that is not part of the diff.
    pub async fn review(
        &self,
        repository: &str,
        who: &str,
        pull: Number,
        state: &str,
        body: &str,
        comments: &[(&str, u32, &str)],
    ) -> anyhow::Result<i64> {
        let known = ["COMMENTED", "CHANGES_REQUESTED", "APPROVED"].into_iter().find(|known| *known == state);
        let Some(state) = known else { bail!("{state} is no state of a review") };
        let (folder, base, commit) = self.ends(repository, pull)?;
        let remarks = comments.iter().map(|(path, line, text)| Remark::new(path, *line, "RIGHT", text)).collect();
        let remarks = place(&folder, (&base, &commit), remarks).await?;
        let new = NewReview { state, body: body.to_owned(), commit, remarks };
        self.act(repository, who, |world, id, actor| Ok(world.review(id, actor, pull.0, new)?))
    }

    /// A lone comment on a line of the new version; gives the comment's id. GitHub makes a review of it, without a text.
    ///
    /// # Errors
    /// As [`Sim::review`].
    pub async fn line_comment(
        &self,
        repository: &str,
        who: &str,
        pull: Number,
        path: &str,
        line: u32,
        text: &str,
    ) -> anyhow::Result<i64> {
        let review = self.review(repository, who, pull, "COMMENTED", "", &[(path, line, text)]).await?;
        self.act(repository, who, |world, id, _| Ok(world.comment_of(id, pull.0, review)?))
    }

    /// Answers in the thread of a comment, its first; gives the answer's id. GitHub makes a review of it too.
    ///
    /// # Errors
    /// Anything that is not there.
    pub async fn reply_in_thread(
        &self,
        repository: &str,
        who: &str,
        pull: Number,
        root: i64,
        text: &str,
    ) -> anyhow::Result<i64> {
        self.act(repository, who, |world, id, actor| Ok(world.reply(id, actor, (pull.0, root), text)?))
    }

    /// Dismisses a review.
    ///
    /// # Errors
    /// Anything that is not there.
    pub async fn dismiss_review(&self, repository: &str, who: &str, pull: Number, review: i64) -> anyhow::Result<()> {
        self.act(repository, who, |world, id, actor| Ok(world.dismiss(id, actor, pull.0, review)?))
    }

    /// Changes what a comment on lines says.
    ///
    /// # Errors
    /// Anything that is not there.
    pub async fn edit_review_comment(
        &self,
        repository: &str,
        who: &str,
        comment: i64,
        text: &str,
    ) -> anyhow::Result<()> {
        self.act(repository, who, |world, id, actor| Ok(world.edit_review_comment(id, actor, comment, text)?))
    }

    /// Takes a comment on lines away.
    ///
    /// # Errors
    /// Anything that is not there.
    pub async fn delete_review_comment(&self, repository: &str, who: &str, comment: i64) -> anyhow::Result<()> {
        self.act(repository, who, |world, id, actor| Ok(world.delete_review_comment(id, actor, comment)?))
    }

    /// The folder, and the commits of base and head.
    fn ends(&self, repository: &str, pull: Number) -> anyhow::Result<(PathBuf, String, String)> {
        let world = self.inner.world();
        let of = find(&world, repository)?;
        let issue = of.issues.get(&pull.0).and_then(|issue| issue.pull.as_ref());
        let pull = issue.with_context(|| format!("{repository} has no pull request {pull}"))?;
        Ok((of.folder.clone(), pull.base_sha.clone(), pull.head_sha.clone()))
    }
}

/// A review as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReviewSnapshot {
    /// GitHub's id of it.
    pub id: i64,
    /// Who made it.
    pub author: String,
    /// Whether that was the App.
    pub author_is_app: bool,
    /// GitHub's word, e.g. `COMMENTED`.
    pub state: &'static str,
    /// What it says.
    pub body: String,
    /// The commit that was reviewed.
    pub commit: String,
    /// Its comments on lines.
    pub comments: Vec<ReviewCommentSnapshot>,
}

/// A comment on lines as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReviewCommentSnapshot {
    /// GitHub's id of it.
    pub id: i64,
    /// The file.
    pub path: String,
    /// The (last) line as it was commented on.
    pub line: u32,
    /// `LEFT` or `RIGHT`.
    pub side: &'static str,
    /// The first of several lines.
    pub start_line: Option<u32>,
    /// What it says.
    pub body: String,
    /// Who wrote it.
    pub author: String,
    /// Whether that was the App.
    pub author_is_app: bool,
    /// The first comment of the thread, if it is a reply.
    pub in_reply_to: Option<i64>,
}

/// What there is to see.
impl Sim {
    /// The reviews of a pull request, oldest first; none if there is no such thing.
    pub fn reviews(&self, repository: &str, pull: Number) -> Vec<ReviewSnapshot> {
        let world = self.inner.world();
        let Some(pull) = look(&world, repository, pull) else { return Vec::new() };
        let comment = |of: &ReviewComment| ReviewCommentSnapshot {
            id: of.id,
            path: of.remark.path.clone(),
            line: of.remark.line,
            side: of.remark.side,
            start_line: of.remark.start.map(|(line, _)| line),
            body: of.remark.body.clone(),
            author: world.login(of.author.account).to_owned(),
            author_is_app: of.author.app,
            in_reply_to: of.remark.in_reply_to,
        };
        let reviews = pull.reviews.iter().map(|review| ReviewSnapshot {
            id: review.id,
            author: world.login(review.author.account).to_owned(),
            author_is_app: review.author.app,
            state: review.state,
            body: review.body.clone(),
            commit: review.commit.clone(),
            comments: pull.comments.iter().filter(|of| of.review == review.id).map(comment).collect(),
        });
        reviews.collect()
    }

    /// Whether the thread that begins with a comment is resolved.
    pub fn thread_resolved(&self, repository: &str, pull: Number, root: i64) -> bool {
        look(&self.inner.world(), repository, pull).is_some_and(|pull| pull.resolved.contains(&root))
    }
}

fn look<'w>(world: &'w World, repository: &str, pull: Number) -> Option<&'w Pull> {
    find(world, repository).ok()?.issues.get(&pull.0)?.pull.as_ref()
}
