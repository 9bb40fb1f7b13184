//! What somebody wants, as data: the kinds differ in a field, not in a type hierarchy.

use serde::{Deserialize, Serialize};

use super::ids::{AccountId, InstallationId, Number, RepositoryId, Sha};
use super::state::words;
use std::fmt;
use std::str::FromStr;

use super::state::UnknownWord;

words!(
    /// What sort of work an ask is.
    Kind {
        /// Work on an issue.
        Task => "task",
        /// Go on with a line of work.
        FollowUp => "follow_up",
        /// Review a pull request.
        Review => "review",
    }
);

words!(
    /// At most one live run per thread and lane.
    Lane {
        /// Tasks and follow-ups.
        Work => "work",
        /// Reviews, which run beside work.
        Review => "review",
    }
);

impl Kind {
    /// The lane in which runs of this kind queue.
    pub fn lane(self) -> Lane {
        match self {
            Kind::Task | Kind::FollowUp => Lane::Work,
            Kind::Review => Lane::Review,
        }
    }
}

/// A person or app on GitHub. Compared by id, addressed by login.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// GitHub's id.
    pub id: AccountId,
    /// The login at the time it was seen.
    pub login: String,
}

/// Where on GitHub something was said or done; reactions to it go there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "on", content = "id")]
pub enum Place {
    /// The issue or pull request itself: its opening text, or a label on it.
    Issue,
    /// A comment on an issue or in a pull request's conversation, by GitHub's id.
    Comment(i64),
    /// A pull-request review; GitHub has no reactions on these.
    Review(i64),
    /// A comment on a line of a pull request's diff.
    ReviewComment(i64),
    /// Nowhere: it was asked for on the bot's own machine.
    Nowhere,
}

impl Place {
    /// Whether reactions can be put there: GitHub has none on reviews.
    pub fn takes_reactions(self) -> bool {
        !matches!(self, Self::Review(_) | Self::Nowhere)
    }
}

words!(
    /// The reactions that track uses, by GitHub's words for them.
    Reaction {
        /// 👀: seen and decided.
        Eyes => "eyes",
        /// 🚀: done.
        Rocket => "rocket",
        /// 😕: refused or failed.
        Confused => "confused",
    }
);

/// One ask: what is wanted of the agent, with the words as they were at the trigger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// Task, follow-up or review.
    pub kind: Kind,
    /// Title of the issue or pull request at the trigger.
    pub title: String,
    /// Its text at the trigger.
    pub body: String,
    /// Login of who wrote it; empty for a deleted account.
    pub author: String,
    /// Free text after the command; empty for a label.
    pub instructions: String,
    /// Branch to start from, where the request names one.
    pub base: Option<String>,
    /// Whether to leave the open line of work alone and begin a new one.
    pub fresh: bool,
    /// Who asked.
    pub requester: Account,
    /// The pull request to review, and the commit to which the review is pinned; reviews only.
    #[serde(default)]
    pub pin: Option<Pin>,
    /// Where on GitHub the run's status is told, if not on the thread's own issue or pull request.
    #[serde(default)]
    pub told_on: Option<Number>,
    /// Whether nothing of it goes to GitHub: a review where the App is not installed (B36).
    #[serde(default)]
    pub unposted: bool,
}

/// What a review holds on to, whatever changes later: the pull request as it was when it was asked for (B31), and how it is done (B37).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// The pull request.
    pub pull: Number,
    /// Its head.
    pub head: Sha,
    /// The branch where it leads.
    pub base: String,
    /// What its reviewers are told every time; `None` for a review from before this was kept.
    #[serde(default)]
    pub prompt: Option<ReviewPrompt>,
    /// The agent of the review before, where it is not configured any more and another one does it.
    #[serde(default)]
    pub replaces: Option<String>,
}

/// The instructions that a review was created with; its re-reviews keep them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReviewPrompt {
    /// Those of the repository, `review_prompt` of `.github/track.yml`.
    pub repository: Option<String>,
    /// Those of the profile.
    pub profile: Option<String>,
}

/// `owner/name` of a repository, valid by GitHub's rules and therefore safe in a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RepoName {
    /// The account that owns it.
    pub owner: String,
    /// Its name.
    pub name: String,
}

/// Text that is no `owner/name`.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a repository name: expected owner/name of letters, digits, '.', '_' and '-'")]
pub struct NotARepoName(String);

impl FromStr for RepoName {
    type Err = NotARepoName;

    fn from_str(text: &str) -> Result<Self, NotARepoName> {
        let valid = |part: &str| {
            (1..=100).contains(&part.len())
                && part != "."
                && part != ".."
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        };
        match text.split_once('/') {
            Some((owner, name)) if valid(owner) && valid(name) => {
                Ok(Self { owner: owner.to_owned(), name: name.to_owned() })
            }
            _ => Err(NotARepoName(text.to_owned())),
        }
    }
}

impl fmt::Display for RepoName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.name)
    }
}

/// A repository as the latest delivery showed it: the id is its identity, the rest attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository {
    /// GitHub's id.
    pub id: RepositoryId,
    /// The installation through which the bot reaches it; `None` where the App is not installed and only what everybody may read is read.
    pub installation: Option<InstallationId>,
    /// Owner and name.
    pub name: RepoName,
}
