//! What people said about a change, as an agent is given it and as it is answered.

use serde::{Deserialize, Serialize};

use super::ask::Account;
use super::clock::Millis;
use super::ids::Number;

/// Reviews and comments that a run is to act on, with the words as they were when it was planned.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Feedback {
    /// The pull request on which it was said.
    pub pull: Option<Number>,
    /// Reviews that say something themselves, oldest first.
    pub reviews: Vec<ReviewWords>,
    /// Comments on lines, oldest first; each is answered once.
    pub comments: Vec<LineComment>,
}

/// What a review says itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReviewWords {
    /// GitHub's id of the review.
    pub id: i64,
    /// When it was submitted.
    pub at: Millis,
    /// Who wrote it.
    pub author: Account,
    /// GitHub's word in lower case: `commented`, `changes_requested`, …
    pub state: String,
    /// The text; may be empty.
    pub text: String,
}

/// A comment on lines of a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineComment {
    /// GitHub's id of the comment.
    pub id: i64,
    /// The comment that opened the thread in which it stands; replies go there.
    pub root: i64,
    /// When it was written.
    pub at: Millis,
    /// Who wrote it.
    pub author: Account,
    /// The file.
    pub path: String,
    /// The line, if it still has one.
    pub line: Option<u32>,
    /// Whether it is about the old version of the file.
    pub left: bool,
    /// The piece of the diff above it.
    pub diff_hunk: String,
    /// The text.
    pub text: String,
}

impl Feedback {
    /// Whether there is nothing to act on.
    pub fn is_empty(&self) -> bool {
        self.reviews.is_empty() && self.comments.is_empty()
    }
}
