//! From the bytes of a webhook to what happened, in track's own words.
//!
//! "Somebody wrote something" is one event, wherever it was written. What track does not use is [`Event::Ignored`] with a reason, never an
//! error; an error means that the bytes are not what GitHub sends under that event name. Reading is pure and never panics.

mod glance;
mod read;
mod wire;

use std::fmt;

use crate::model::{Account, InstallationId, Millis, Number, RepoName, RepositoryId};

pub use glance::{Glance, glance};
pub use read::{lane_of, parse};

/// A webhook, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    /// The repository in which it happened; always there for [`Event::Labeled`], [`Event::Unlabeled`], [`Event::Said`], [`Event::Life`] and
    /// [`Event::Repository`].
    pub repository: Option<Repository>,
    /// The installation that it was sent for; webhooks of a single repository have none.
    pub installation: Option<InstallationId>,
    /// Who caused it; always there unless the event is ignored.
    pub sender: Option<Sender>,
    /// The issue or pull request that it is about.
    pub number: Option<Number>,
    /// What happened.
    pub event: Event,
}

/// A repository as a delivery describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository {
    /// GitHub's id.
    pub id: RepositoryId,
    /// Owner and name at the time of the delivery.
    pub name: RepoName,
    /// The account that owns it.
    pub owner: Account,
    /// Whether the owner is an organization.
    pub owner_is_organization: bool,
    /// The default branch, where the delivery names it.
    pub default_branch: Option<String>,
    /// Whether it is read-only.
    pub archived: bool,
    /// Whether only its members see it.
    pub private: bool,
}

impl Repository {
    /// The repository in the words of the model, as reached through an installation.
    pub fn through(&self, installation: InstallationId) -> crate::model::Repository {
        crate::model::Repository { id: self.id, installation: Some(installation), name: self.name.clone() }
    }
}

/// Somebody who did something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// Who.
    pub account: Account,
    /// Whether it is an app: its type is `Bot`, or its login ends with `[bot]`, which no person's can.
    pub is_bot: bool,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A label was put on an issue or pull request. The payload has no id of the act; the issue-events API has it.
    Labeled(Labeled),
    /// A label was taken off.
    Unlabeled(Labeled),
    /// Somebody wrote something new.
    Said(Said),
    /// An issue or pull request was closed, reopened or removed.
    Life(Life),
    /// The App was installed or removed, or its repositories changed.
    Installation(Installation),
    /// The repository itself took a turn. The body has little of its own, so it is only a reason to look at what GitHub says now.
    Repository(RepositoryChange),
    /// Nothing that track acts on.
    Ignored {
        /// Why, for the decision record.
        why: String,
    },
}

/// A label put on or taken off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labeled {
    /// Name of the label.
    pub label: String,
    /// Who did it.
    pub by: Sender,
    /// Whether it is a pull request.
    pub on_pull: bool,
    /// The issue or pull request.
    pub issue: IssueText,
}

/// Something new that somebody wrote. The author is the sender: text that one account wrote and another one moved here is ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Where it stands.
    pub place: Place,
    /// Whether that is on a pull request.
    pub on_pull: bool,
    /// Who wrote it.
    pub author: Sender,
    /// The app by which it was written on the author's behalf.
    pub via_app: Option<i64>,
    /// The text as it was written, Markdown.
    pub body: String,
    /// The issue or pull request below which it stands.
    pub issue: IssueText,
    /// Link to what was written.
    pub html_url: String,
}

/// Where something was written, with GitHub's id of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A comment on an issue or in the conversation of a pull request.
    Comment {
        /// Id of the comment.
        id: i64,
    },
    /// The opening text of an issue.
    IssueText {
        /// Id of the issue, not its number.
        id: i64,
    },
    /// The opening text of a pull request.
    PullText {
        /// Id of the pull request, not its number.
        id: i64,
    },
    /// The body of a review.
    Review {
        /// Id of the review.
        id: i64,
        /// What the review decides.
        state: ReviewState,
    },
    /// A comment on a line of a diff.
    ReviewComment {
        /// Id of the comment.
        id: i64,
    },
}

/// What a review decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReviewState {
    /// Remarks without a verdict.
    Commented,
    /// Approval.
    Approved,
    /// Changes are asked for.
    ChangesRequested,
    /// Dismissed, or a state that this version does not know.
    Other,
}

impl ReviewState {
    /// The word under which it is recorded.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Commented => "commented",
            Self::Approved => "approved",
            Self::ChangesRequested => "changes_requested",
            Self::Other => "other",
        }
    }
}

impl Place {
    /// What the review decides, where it is one.
    pub fn review_state(self) -> Option<ReviewState> {
        match self {
            Self::Review { state, .. } => Some(state),
            _ => None,
        }
    }
}

/// An issue or pull request as it was when the event happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssueText {
    /// Its title.
    pub title: String,
    /// Its opening text; empty where there is none.
    pub body: String,
    /// Who opened it; deleted accounts are nobody.
    pub author: Option<Sender>,
    /// Whether it was open.
    pub state_open: bool,
    /// When it had last changed, as far as the delivery says.
    pub updated_at: Option<Millis>,
    /// The branch that a pull request brings, where the delivery describes the pull request itself.
    pub head_branch: Option<String>,
    /// Link to it.
    pub html_url: String,
}

/// A turn in the life of an issue or pull request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Life {
    /// What became of it.
    pub change: LifeChange,
    /// Who did it.
    pub by: Sender,
    /// Whether it is a pull request.
    pub on_pull: bool,
    /// The issue or pull request.
    pub issue: IssueText,
}

/// What became of an issue or pull request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LifeChange {
    /// Closed, for a pull request: without merging.
    Closed,
    /// Merged.
    Merged,
    /// Opened again.
    Reopened,
    /// Deleted.
    Deleted,
    /// Moved to another repository, where it is a new issue.
    Transferred,
}

/// A change of where the App is installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installation {
    /// What changed.
    pub change: InstallationChange,
    /// The installation.
    pub id: InstallationId,
    /// The account on which the App is installed.
    pub account: Account,
    /// The repositories that the change is about; empty for a suspension.
    pub repositories: Vec<(RepositoryId, RepoName)>,
}

/// What changed about an installation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstallationChange {
    /// Installed.
    Created,
    /// Uninstalled.
    Deleted,
    /// Suspended: its tokens no longer work.
    Suspended,
    /// In force again.
    Unsuspended,
    /// Repositories joined.
    Added,
    /// Repositories left.
    Removed,
}

/// What became of a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RepositoryChange {
    /// It is read-only.
    Archived,
    /// It is gone.
    Deleted,
    /// It has another owner.
    Transferred,
}

/// Why a body is not what GitHub sends under that event name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed delivery: {place} {what}")]
pub struct Malformed {
    place: String,
    what: String,
}

impl Malformed {
    fn new(place: impl Into<String>, what: impl fmt::Display) -> Self {
        Self { place: place.into(), what: what.to_string() }
    }
}

/// The unique key of the `n`-th trigger (from 1) found in a text. A review is one trigger whatever it holds, so its first command has the
/// review's own key.
pub fn trigger_key(place: Place, n: usize) -> String {
    match place {
        Place::Comment { id } => format!("comment:{id}:{n}"),
        Place::IssueText { id } => format!("issue:{id}:{n}"),
        // Ids of issues and of pull requests are separate sequences, so that one word for both could collide.
        Place::PullText { id } => format!("pull:{id}:{n}"),
        Place::Review { id, .. } if n <= 1 => format!("review:{id}"),
        Place::Review { id, .. } => format!("review:{id}:{n}"),
        Place::ReviewComment { id } => format!("review_comment:{id}:{n}"),
    }
}

/// The unique key of a label: the id of its newest `labeled` event in the issue-events API.
pub fn label_trigger_key(labeled_event: i64) -> String {
    format!("label:{labeled_event}")
}

#[cfg(test)]
mod tests;
