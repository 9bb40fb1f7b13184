//! What the workers share: the parts that `app` built, and the signals by which one wakes another.
//!
//! Signals only shorten waiting. Whatever they announce is in the tables before, so a lost one costs a few seconds, never work.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::agent;
use crate::config::{Config, GitHubConfig};
use crate::db::Db;
use crate::db::runs::Run;
use crate::doctor::Kept;
use crate::git::Mirrors;
use crate::github::app::{self, BotIdentity};
use crate::github::issues::Issue;
use crate::github::pulls::PullRequest;
use crate::github::repos::RepositoryInfo;
use crate::github::{ApiError, GitHub};
use crate::model::{
    Clock, Kind, LineState, MarkerKey, Millis, Number, Reason, RepoName, Repository, RepositoryId, RunId,
};
use crate::runner::pool::Pool;
use crate::trigger::policy::Policy;

/// Everything that a worker needs.
pub struct Context {
    /// The operator's decisions.
    pub config: Arc<Config>,
    /// How the App is known to GitHub.
    pub app: GitHubConfig,
    /// The tables.
    pub db: Db,
    /// GitHub.
    pub github: GitHub,
    /// The bot's own bare copies of repositories.
    pub mirrors: Mirrors,
    /// The machines.
    pub runners: Arc<Pool>,
    /// The time.
    pub clock: Clock,
    /// The key of comment markers.
    pub marker: MarkerKey,
    /// This start of the bot; runners refuse an earlier one.
    pub epoch: i64,
    /// When that was.
    pub started_at: Millis,
    /// What was found last of what may be missing.
    pub kept: Arc<Kept>,
    /// Wakes the workers.
    pub wake: Wake,
    /// Runs that a task of this process works on.
    pub active: Active,
    /// What repositories are like, as GitHub said lately.
    pub about: Recent<RepositoryId, RepositoryInfo>,
    /// The policies of repositories, as GitHub said lately.
    pub policies: Recent<RepositoryId, Policy>,
    /// What issues were like a moment ago.
    pub issues: Recent<(RepositoryId, Number), Issue>,
    /// What pull requests were like a moment ago.
    pub pulls: Recent<(RepositoryId, Number), PullRequest>,
    /// Held by whoever has GitHub create an issue: one at a time.
    pub creating: tokio::sync::Mutex<()>,
    /// Where HTTP is served, once it is.
    pub address: OnceLock<SocketAddr>,
    /// Ends the workers.
    pub stop: CancellationToken,
}

/// One bell per worker.
#[derive(Default)]
pub struct Wake {
    /// A delivery was stored.
    pub inbox: Arc<Notify>,
    /// A run was queued, freed its slot, or is to be looked at.
    pub runs: Arc<Notify>,
    /// A report is owed.
    pub reports: Notify,
    /// Files are to be removed from a runner.
    pub tidy: Arc<Notify>,
    /// Feedback waits, or what it waited for is over.
    pub feedback: Notify,
    /// The journal of a run grew that somebody watches.
    pub watched: Arc<Watched>,
}

/// The bells of those who watch journals.
#[derive(Default)]
pub struct Watched(Mutex<HashMap<RunId, Weak<Notify>>>);

impl Watched {
    /// The bell that rings when the journal of a run grows, as long as somebody holds it.
    pub fn bell(&self, run: RunId) -> Arc<Notify> {
        let mut bells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bell) = bells.get(&run).and_then(Weak::upgrade) {
            return bell;
        }
        bells.retain(|_, bell| bell.strong_count() > 0);
        let bell = Arc::new(Notify::new());
        bells.insert(run, Arc::downgrade(&bell));
        bell
    }

    /// How many hold the bell of a run: each reads its journal for all who watch there.
    pub fn readers(&self, run: RunId) -> usize {
        let bells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        bells.get(&run).map_or(0, Weak::strong_count)
    }

    /// The journal of a run has grown.
    pub fn ring(&self, run: RunId) {
        let bells = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bell) = bells.get(&run).and_then(Weak::upgrade) {
            bell.notify_one();
        }
    }
}

impl Context {
    /// Who the bot is: asked of GitHub once, through a repository's token.
    pub async fn bot(&self, via: &Repository) -> Result<BotIdentity, ApiError> {
        app::identity(&self.github, Some(via)).await
    }

    /// `https://github.com/owner/name` of a repository.
    pub fn repository_url(&self, name: &RepoName) -> String {
        format!("{}/{name}", self.app.server_url)
    }

    /// Where people install the App of this slug.
    pub fn install_url(&self, slug: &str) -> String {
        format!("{}/apps/{slug}/installations/new", self.app.server_url)
    }

    /// Where the bot's git finds a repository.
    pub fn remote(&self, repository: &Repository) -> String {
        format!("{}.git", self.repository_url(&repository.name))
    }

    /// What to do about the ending of a run, whose line is in this state. A follow-up that ended with its pull request is not tried again (B20).
    pub fn remedy(&self, run: &Run, line: Option<LineState>) -> Option<String> {
        let agent = agent::resolve(&run.agent, &self.config.agents)?;
        let reason = match (run.reason?, run.kind, line) {
            (Reason::Canceled, Kind::FollowUp, Some(LineState::Merged)) => Reason::PullRequestMerged,
            (Reason::Canceled, Kind::FollowUp, Some(LineState::Closed)) => Reason::PullRequestClosed,
            (reason, ..) => reason,
        };
        Some(agent::remedy(reason, &agent))
    }

    /// Address of a run's page, where the operator says how people reach it.
    pub fn run_url(&self, run: RunId) -> Option<String> {
        self.config.public_url.as_ref().map(|url| format!("{url}/admin/runs/{run}"))
    }
}

/// Which runs have a task, and how to reach it.
#[derive(Default)]
pub struct Active(Mutex<HashMap<RunId, Arc<Notify>>>);

impl Active {
    /// Claims a run for one task of this process; `None` if another has it.
    pub fn claim(self: &Active, run: RunId) -> Option<Arc<Notify>> {
        let mut runs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if runs.contains_key(&run) {
            return None;
        }
        let bell = Arc::new(Notify::new());
        runs.insert(run, bell.clone());
        Some(bell)
    }

    /// Gives a run back.
    pub fn release(&self, run: RunId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&run);
    }

    /// Tells the task of a run to look at its row again; false if it has none.
    pub fn ring(&self, run: RunId) -> bool {
        let runs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        runs.get(&run).map(|bell| bell.notify_one()).is_some()
    }

    /// How many runs have a task.
    pub fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether no run has a task.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Things that are remembered at most; the rest is asked for again.
const REMEMBERED: usize = 1_000;

/// What was learned of things on GitHub, and when: a run that starts right after its decision need not ask the same again.
pub struct Recent<K, T>(Mutex<HashMap<K, (Millis, T)>>);

impl<K, T> Default for Recent<K, T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash, T: Clone> Recent<K, T> {
    /// Remembers what was learned at a time.
    pub fn learned(&self, of: K, at: Millis, what: &T) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(of, (at, what.clone()));
    }

    /// What was learned at this time or later.
    pub fn since(&self, of: K, time: Millis) -> Option<T> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&of).filter(|(at, _)| *at >= time).map(|(_, what)| what.clone())
    }
}
