//! What there is to see, for tests and the demo: snapshots, taken at the moment of asking.

use crate::model::Number;

use super::changes::find;
use super::world::{Issue, IssueReaction, Repository, World};
use super::{RequestRecord, Sim, git, json};

/// A comment as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comment {
    /// GitHub's id of it.
    pub id: i64,
    /// Who wrote it.
    pub author_login: String,
    /// Whether the App wrote it.
    pub author_is_app: bool,
    /// What it says.
    pub body: String,
    /// How often it was edited.
    pub edits: u32,
    /// What was put on it.
    pub reactions: Vec<Reaction>,
}

/// A reaction as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reaction {
    /// GitHub's id of it.
    pub id: i64,
    /// Whose it is.
    pub login: String,
    /// GitHub's word, e.g. `eyes`.
    pub content: String,
}

/// An issue as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssueSnapshot {
    /// Its number.
    pub number: Number,
    /// Its title.
    pub title: String,
    /// Its opening text.
    pub body: String,
    /// Who opened it.
    pub author: String,
    /// `open` or `closed`.
    pub state: &'static str,
    /// The labels on it, in the order they came.
    pub labels: Vec<String>,
    /// What was put on its opening text.
    pub reactions: Vec<Reaction>,
    /// Its page.
    pub html_url: String,
}

/// A pull request as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullSnapshot {
    /// Its number.
    pub number: Number,
    /// Its title.
    pub title: String,
    /// Its description.
    pub body: String,
    /// The branch it brings.
    pub head_ref: String,
    /// The commit at its tip.
    pub head_sha: String,
    /// The branch it goes into.
    pub base_ref: String,
    /// `open` or `closed`.
    pub state: &'static str,
    /// Whether it was merged.
    pub merged: bool,
    /// Whether it is a draft.
    pub draft: bool,
    /// Who opened it.
    pub author: String,
    /// Its page.
    pub html_url: String,
}

impl Sim {
    /// The comments of an issue or pull request, oldest first; none if there is no such thing.
    pub fn comments(&self, repository: &str, number: Number) -> Vec<Comment> {
        let world = self.inner.world();
        let issue = find(&world, repository).ok().and_then(|of| of.issues.get(&number.0));
        let comments = issue.map(|issue| issue.comments.as_slice()).unwrap_or_default();
        let comments = comments.iter().map(|comment| Comment {
            id: comment.id,
            author_login: world.login(comment.author.account).to_owned(),
            author_is_app: comment.author.app,
            body: comment.body.clone(),
            edits: comment.edits,
            reactions: reactions(&world, &comment.reactions),
        });
        comments.collect()
    }

    /// An issue or pull request.
    pub fn issue(&self, repository: &str, number: Number) -> Option<IssueSnapshot> {
        let world = self.inner.world();
        let of = find(&world, repository).ok()?;
        Some(snapshot(&world, of, of.issues.get(&number.0)?))
    }

    /// Every issue that is no pull request.
    pub fn issues(&self, repository: &str) -> Vec<IssueSnapshot> {
        let world = self.inner.world();
        let Ok(of) = find(&world, repository) else { return Vec::new() };
        let issues = of.issues.values().filter(|issue| issue.pull.is_none());
        issues.map(|issue| snapshot(&world, of, issue)).collect()
    }

    /// Every pull request.
    pub fn pulls(&self, repository: &str) -> Vec<PullSnapshot> {
        let world = self.inner.world();
        let Ok(of) = find(&world, repository) else { return Vec::new() };
        let pulls = of.issues.values().filter_map(|issue| {
            let pull = issue.pull.as_ref()?;
            Some(PullSnapshot {
                number: Number(issue.number),
                title: issue.title.clone(),
                body: issue.body.clone(),
                head_ref: pull.head_ref.clone(),
                head_sha: pull.head_sha.clone(),
                base_ref: pull.base_ref.clone(),
                state: json::state(issue),
                merged: pull.merged_at.is_some(),
                draft: pull.draft,
                author: world.login(issue.author.account).to_owned(),
                html_url: json::html_url(&world, of, issue),
            })
        });
        pulls.collect()
    }

    /// Every installation token that was made and not revoked, expired ones too.
    pub fn tokens(&self) -> Vec<String> {
        self.inner.world().tokens.keys().cloned().collect()
    }

    /// Where a repository lies, for tests that give it a hook.
    pub fn folder(&self, repository: &str) -> Option<std::path::PathBuf> {
        Some(find(&self.inner.world(), repository).ok()?.folder.clone())
    }

    /// The text of a file at the tip of a branch.
    pub async fn file_at(&self, repository: &str, branch: &str, path: &str) -> Option<String> {
        let folder = find(&self.inner.world(), repository).ok()?.folder.clone();
        let content = git::file(&folder, &format!("refs/heads/{branch}"), path).await?;
        String::from_utf8(content).ok()
    }

    /// The branches with their tips, by name; none if the repository is unknown.
    pub async fn branches(&self, repository: &str) -> Vec<(String, String)> {
        let folder = find(&self.inner.world(), repository).ok().map(|of| of.folder.clone());
        let Some(folder) = folder else { return Vec::new() };
        git::branches(&folder).await.unwrap_or_default().into_iter().collect()
    }

    /// Every API and git request so far, in the order they were answered.
    pub fn journal(&self) -> Vec<RequestRecord> {
        self.inner.journal.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}

fn snapshot(world: &World, of: &Repository, issue: &Issue) -> IssueSnapshot {
    IssueSnapshot {
        number: Number(issue.number),
        title: issue.title.clone(),
        body: issue.body.clone(),
        author: world.login(issue.author.account).to_owned(),
        state: json::state(issue),
        labels: issue.labels.clone(),
        reactions: reactions(world, &issue.reactions),
        html_url: json::html_url(world, of, issue),
    }
}

fn reactions(world: &World, of: &[IssueReaction]) -> Vec<Reaction> {
    let reactions = of.iter().map(|reaction| Reaction {
        id: reaction.id,
        login: world.login(reaction.account).to_owned(),
        content: reaction.content.clone(),
    });
    reactions.collect()
}
