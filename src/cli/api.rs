//! What subcommands and a running instance say to each other: JSON over HTTP on `$TRACK_HOME/track.sock`.
//!
//! | request | answer |
//! | --- | --- |
//! | `GET /api/v1/runners` | list of [`RunnerRow`] |
//! | `POST /api/v1/runners` with a `RunnerConfig` | [`Added`] |
//! | `DELETE /api/v1/runners/{name}` | nothing |
//! | `POST /api/v1/runners/{name}/check` | list of [`Check`] |
//! | `POST /api/v1/runners/{name}/clean` | [`Removed`] |
//! | `POST /api/v1/runners/{name}/reset` | [`Removed`] |
//! | `POST /api/v1/runners/{name}/edit` with a [`RunnerChange`] | the `RunnerConfig`, without its prelude |
//! | `POST /api/v1/runners/{name}/drain`, `…/undrain` | nothing |
//! | `GET /api/v1/doctor` | [`ServerFacts`], after a look at every runner |
//! | `POST /api/v1/hostkey` with a [`HostKeyQuery`] | list of [`HostKey`] |
//! | `GET /api/v1/key` | [`PublicKey`] |
//! | `POST /api/v1/discard` with a [`DiscardRequest`] | [`Discarded`] |
//! | `GET /api/v1/runs?repo=&thread=&limit=` | list of [`RunRow`], newest first |
//! | `GET /api/v1/runs/{run}` | [`RunRow`], with its Markdown |
//! | `POST /api/v1/reviews` with a [`ReviewRequest`] | [`ReviewQueued`] |
//! | `GET /api/v1/decisions?repo=&thread=&limit=` | list of [`DecisionRow`], newest first |
//!
//! A refusal is any other status with a [`Refusal`].

use serde::{Deserialize, Serialize};

use crate::config::RunnerConfig;
pub use crate::doctor::{Check, RunnerRow, ServerFacts};
pub use crate::fleet::RunnerChange;
use crate::model::{Millis, Number, RepoName};
pub use crate::runner::Removed;

/// What adding a runner did.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Added {
    /// It was there already: its host key is pinned anew, and nothing else has changed.
    pub again: bool,
}

/// Which machine's host keys are wanted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HostKeyQuery {
    /// Host name or address.
    pub host: String,
    /// Port of sshd.
    pub port: u16,
    /// The runner that it is, with the machines on the way to it and their keys; unset: nothing is on the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behind: Option<RunnerConfig>,
}

/// One host key that a machine shows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct HostKey {
    /// `ssh-ed25519 AAAA…`, as it is pinned.
    pub key: String,
    /// `SHA256:…`, as `ssh-keygen -lf` prints it.
    pub fingerprint: String,
}

/// The public half of the bot's own key pair.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PublicKey {
    /// One line for `authorized_keys`.
    pub public_key: String,
}

/// Whose history is to be forgotten.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DiscardRequest {
    /// The repository.
    pub repository: RepoName,
    /// The issue, or a pull request.
    pub number: Number,
}

/// What was forgotten.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Discarded {
    /// Runs that are listed no longer.
    pub runs: u64,
    /// Runners from which files go as soon as they answer.
    pub runners: u64,
}

/// A pull request that is to be reviewed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReviewRequest {
    /// Its page.
    pub url: String,
    /// Login of who asks; `None`: the first whom the configuration names.
    pub requester: Option<String>,
    /// The agent that reviews.
    pub agent: Option<String>,
    /// The model to ask the agent for.
    pub model: Option<String>,
    /// The runner that it is to run on.
    pub runner: Option<String>,
    /// What the reviewer is to mind.
    pub instructions: String,
}

/// A review that is queued.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReviewQueued {
    /// Its run.
    pub run: String,
    /// `owner/name`.
    pub repository: String,
    /// Number of the pull request.
    pub number: i64,
    /// Login of who asked.
    pub requester: String,
    /// Why the review will not be posted, if it will not.
    #[serde(default)]
    pub not_posted: Option<String>,
}

/// One run in a list.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RunRow {
    /// The run's id.
    pub id: String,
    /// `owner/name`.
    pub repository: String,
    /// Number of the issue or pull request.
    pub number: i64,
    /// task, follow_up or review.
    pub kind: String,
    /// queued, preparing, running, publishing or done.
    pub status: String,
    /// How it ended.
    pub outcome: Option<String>,
    /// Why it ended so, in a word.
    pub reason: Option<String>,
    /// The particulars of the reason.
    pub detail: Option<String>,
    /// The agent.
    pub agent: String,
    /// The runner, once one is chosen.
    pub runner: Option<String>,
    /// Login of who asked.
    pub requester: String,
    /// The branch, where there is one.
    pub branch: Option<String>,
    /// Address of the pull request, where there is one.
    pub pull_request: Option<String>,
    /// Address of the review, once GitHub has confirmed it.
    pub review_url: Option<String>,
    /// Why the review is not posted, where it is not.
    pub not_posted: Option<String>,
    /// The whole review as Markdown; where one run is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub markdown: Option<String>,
    /// The agent's summary.
    pub summary: Option<String>,
    /// What else the agent says.
    pub notes: Option<String>,
    /// When it was asked for.
    pub queued_at: Millis,
    /// When the agent started.
    pub started_at: Option<Millis>,
    /// When it ended.
    pub finished_at: Option<Millis>,
    /// US dollars, where the agent says.
    pub cost_usd: Option<f64>,
    /// Commits that the bot keeps of it.
    #[serde(default)]
    pub kept: Vec<KeptCommit>,
}

/// A commit in the bot's mirror of a repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptCommit {
    /// `refs/track/…`.
    pub reference: String,
    /// Its hash.
    pub sha: String,
    /// The mirror's folder.
    pub mirror: String,
}

/// One line of a thread's timeline.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DecisionRow {
    /// `owner/name`.
    pub repository: String,
    /// Number of the issue or pull request.
    pub number: i64,
    /// When it was decided.
    pub at: Millis,
    /// Login of who acted, such as the reviewer; nobody where the bot decided by itself.
    pub actor: Option<String>,
    /// accepted, ignored, refused, or noted: something happened to a run or thread.
    pub verdict: String,
    /// A word that names the rule or what happened.
    pub reason: String,
    /// A sentence for people.
    pub detail: String,
    /// The run's id.
    pub run: Option<String>,
    /// The runner.
    pub runner: Option<String>,
    /// The branch.
    pub branch: Option<String>,
    /// Number of the pull request.
    pub pull_request: Option<i64>,
    /// Its head then.
    pub head: Option<String>,
    /// What the actor's review decides: commented, approved, changes_requested or other.
    pub review_state: Option<String>,
}

/// Who wants a link to sign in by.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct LoginLinkRequest {
    /// As whom; `None`: the first whom the configuration names, else the App's owner.
    pub login: Option<String>,
}

/// A link that signs in once.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LoginLink {
    /// The whole address.
    pub url: String,
    /// Login of whom it signs in; `None`: nobody by name.
    pub login: Option<String>,
}

/// Why a request was refused.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Refusal {
    /// A sentence for people.
    pub error: String,
}
