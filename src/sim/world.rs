//! The state of the simulated GitHub: accounts, repositories, issues and what hangs on them. Plain data and look-ups;
//! `changes` has what happens to it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;

use chrono::{DateTime, SecondsFormat};
use jsonwebtoken::DecodingKey;
use tokio::sync::{mpsc, watch};

use crate::model::{Clock, Millis};

use super::AppSettings;
use super::acts::Role;
use super::git::{Branches, Difference};
use super::teams::Membership;
use super::web::Web;
use super::webhooks::{DeliveryRecord, Outgoing};

/// A person, organization or bot.
#[derive(Clone, Debug)]
pub(super) struct Account {
    pub id: i64,
    pub login: String,
    /// GitHub's word: `User`, `Organization` or `Bot`.
    pub kind: &'static str,
}

/// The App on one owner's repositories, all of them but those that were taken out.
#[derive(Clone, Debug)]
pub(super) struct Installation {
    pub id: i64,
    pub account: i64,
    pub created_at: Millis,
    /// The repositories that the owner took out.
    pub excluded: BTreeSet<i64>,
    pub suspended_at: Option<Millis>,
}

/// An installation token and what it opens.
#[derive(Clone, Debug)]
pub(super) struct Token {
    pub installation: i64,
    pub permissions: BTreeMap<String, String>,
    /// The repositories it is narrowed to; all of the installation's if none.
    pub repositories: Option<Vec<i64>>,
    pub expires_at: Millis,
}

/// A repository; its commits are in the bare one at `folder`.
#[derive(Clone, Debug)]
pub(super) struct Repository {
    pub id: i64,
    pub owner: i64,
    pub name: String,
    pub full_name: String,
    /// What it was called before; GitHub redirects from there.
    pub earlier_names: Vec<String>,
    pub folder: PathBuf,
    pub default_branch: String,
    pub archived: bool,
    /// Whether everybody may read it, without a token.
    pub public: bool,
    /// Its owner turned issues off.
    pub issues_off: bool,
    pub created_at: Millis,
    pub roles: HashMap<i64, Role>,
    pub labels: BTreeMap<String, Label>,
    /// The branches as they were after the last push that was noticed.
    pub branches: Branches,
    pub issues: BTreeMap<i64, Issue>,
    /// What became of the numbers that are no more.
    pub gone: BTreeMap<i64, Gone>,
    pub checks: Vec<CheckRun>,
    /// The repository that this is a fork of.
    pub fork_of: Option<i64>,
}

/// Why there is no issue of a number any more.
#[derive(Clone, Copy, Debug)]
pub(super) enum Gone {
    Deleted,
    /// To a repository, and its number there.
    Transferred(i64, i64),
}

/// The newest run of a check on a commit; it is over.
#[derive(Clone, Debug)]
pub(super) struct CheckRun {
    pub id: i64,
    pub sha: String,
    pub name: String,
    /// GitHub's word, e.g. `failure`.
    pub conclusion: String,
    pub summary: String,
    pub at: Millis,
}

/// A label of a repository.
#[derive(Clone, Debug)]
pub(super) struct Label {
    pub id: i64,
    pub color: String,
    pub description: Option<String>,
}

/// Who did something: an account, and whether through the App.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Actor {
    pub account: i64,
    pub app: bool,
}

/// An issue, or with `pull` a pull request.
#[derive(Clone, Debug)]
pub(super) struct Issue {
    pub id: i64,
    pub number: i64,
    pub title: String,
    pub body: String,
    pub author: Actor,
    pub open: bool,
    pub state_reason: Option<&'static str>,
    pub locked: bool,
    pub labels: Vec<String>,
    pub comments: Vec<IssueComment>,
    pub reactions: Vec<IssueReaction>,
    pub events: Vec<IssueEvent>,
    pub created_at: Millis,
    pub updated_at: Millis,
    pub closed_at: Option<Millis>,
    pub pull: Option<Pull>,
}

/// What a pull request has beyond an issue.
#[derive(Clone, Debug)]
pub(super) struct Pull {
    pub id: i64,
    /// Whose branch it brings.
    pub head_owner: i64,
    /// Where that branch is: this repository, a fork, or nowhere any more.
    pub head_repository: Option<i64>,
    pub head_ref: String,
    pub head_sha: String,
    pub base_ref: String,
    pub base_sha: String,
    pub draft: bool,
    pub merged_at: Option<Millis>,
    pub merge_commit: Option<String>,
    pub difference: Difference,
    /// Heads that it had before.
    pub earlier_heads: Vec<String>,
    pub reviews: Vec<Review>,
    /// The comments on lines of all reviews, in the order they were made.
    pub comments: Vec<ReviewComment>,
    /// The threads that are resolved, by their first comments.
    pub resolved: BTreeSet<i64>,
}

/// A review of a pull request.
#[derive(Clone, Debug)]
pub(super) struct Review {
    pub id: i64,
    pub author: Actor,
    /// GitHub's word, e.g. `COMMENTED`.
    pub state: &'static str,
    pub body: String,
    pub commit: String,
    /// None while it is pending.
    pub submitted_at: Option<Millis>,
}

/// A comment on lines, part of a review.
#[derive(Clone, Debug)]
pub(super) struct ReviewComment {
    pub id: i64,
    pub review: i64,
    pub author: Actor,
    /// Where and what, as it was made.
    pub remark: Remark,
    /// Where its line is in the present head; none if that changed it.
    pub line: Option<u32>,
    /// The commit that it is shown on.
    pub commit: String,
    pub original_commit: String,
    pub created_at: Millis,
    pub updated_at: Millis,
    pub reactions: Vec<IssueReaction>,
}

/// What is said about lines.
#[derive(Clone, Debug)]
pub(super) struct Remark {
    pub path: String,
    pub body: String,
    pub line: u32,
    /// `LEFT`, the old version, or `RIGHT`, the new one.
    pub side: &'static str,
    /// The first of several lines, and the version it is counted in.
    pub start: Option<(u32, &'static str)>,
    /// The first comment of the thread, if this is a reply.
    pub in_reply_to: Option<i64>,
    /// The diff down to the line.
    pub hunk: String,
    /// The line's place in the file's diff.
    pub position: u32,
}

/// A comment in the conversation of an issue or pull request.
#[derive(Clone, Debug)]
pub(super) struct IssueComment {
    pub id: i64,
    pub author: Actor,
    pub body: String,
    pub edits: u32,
    pub created_at: Millis,
    pub updated_at: Millis,
    pub reactions: Vec<IssueReaction>,
}

/// A reaction on an issue or a comment.
#[derive(Clone, Debug)]
pub(super) struct IssueReaction {
    pub id: i64,
    pub account: i64,
    /// GitHub's word, e.g. `eyes`.
    pub content: String,
    pub created_at: Millis,
}

/// An entry of the issue-events API.
#[derive(Clone, Debug)]
pub(super) struct IssueEvent {
    pub id: i64,
    pub actor: Actor,
    /// GitHub's word, e.g. `labeled`.
    pub event: &'static str,
    pub label: Option<String>,
    pub created_at: Millis,
}

/// Everything there is.
pub(super) struct World {
    pub server: String,
    pub clock: Clock,
    pub app: AppSettings,
    /// What the App's JSON Web Tokens are verified with.
    pub key: DecodingKey,
    /// The account `<slug>[bot]`.
    pub bot: i64,
    /// The account that the App belongs to.
    pub app_owner: i64,
    pub accounts: BTreeMap<i64, Account>,
    pub installations: BTreeMap<i64, Installation>,
    pub repositories: BTreeMap<i64, Repository>,
    pub tokens: HashMap<String, Token>,
    /// Teams by their organization and slug.
    pub teams: BTreeMap<(i64, String), BTreeMap<i64, Membership>>,
    /// What was begun on pages for people.
    pub web: Web,
    /// Oldest first.
    pub deliveries: Vec<DeliveryRecord>,
    pub queue: mpsc::UnboundedSender<Outgoing>,
    pub pending: watch::Sender<usize>,
    pub requests: u64,
    last_id: i64,
}

impl World {
    /// A GitHub with the App and its bot, and nobody else.
    pub fn new(
        server: String,
        clock: Clock,
        (app, key): (AppSettings, DecodingKey),
        (queue, pending): (mpsc::UnboundedSender<Outgoing>, watch::Sender<usize>),
    ) -> Self {
        let (bot_login, owner) = (format!("{}[bot]", app.slug), app.owner.clone());
        let mut world = Self {
            server,
            clock,
            app,
            key,
            bot: 0,
            app_owner: 0,
            accounts: BTreeMap::new(),
            installations: BTreeMap::new(),
            repositories: BTreeMap::new(),
            tokens: HashMap::new(),
            teams: BTreeMap::new(),
            web: Web::default(),
            deliveries: Vec::new(),
            queue,
            pending,
            requests: 0,
            last_id: 10_000,
        };
        world.bot = world.add_account(&bot_login, "Bot");
        world.app_owner = world.add_account(&owner, "User");
        world
    }

    /// Puts another App in the place of the one there is: nothing of that one goes on but what it said.
    pub fn replace_app(&mut self, app: AppSettings, key: DecodingKey) {
        self.bot = self.add_account(&format!("{}[bot]", app.slug), "Bot");
        self.app_owner = self.add_account(&app.owner, "User");
        self.installations.clear();
        self.tokens.clear();
        self.web.forget_app();
        (self.app, self.key) = (app, key);
    }

    /// The URL that REST paths are appended to.
    pub fn api(&self) -> String {
        format!("{}/api/v3", self.server)
    }

    /// An id that nothing else has, of whatever kind, so that mixed-up ids are noticed.
    pub fn next_id(&mut self) -> i64 {
        self.last_id += 1;
        self.last_id
    }

    /// The account of that login, made if there is none.
    pub fn add_account(&mut self, login: &str, kind: &'static str) -> i64 {
        if let Some(account) = self.account_of(login) {
            return account.id;
        }
        let id = self.next_id();
        self.accounts.insert(id, Account { id, login: login.to_owned(), kind });
        id
    }

    /// The account of that login; logins are compared without case, as GitHub does.
    pub fn account_of(&self, login: &str) -> Option<&Account> {
        self.accounts.values().find(|account| account.login.eq_ignore_ascii_case(login))
    }

    /// The login of an account, `ghost` if it is gone.
    pub fn login(&self, account: i64) -> &str {
        self.accounts.get(&account).map_or("ghost", |account| &account.login)
    }

    /// The repository `owner/name`, without case.
    pub fn repository(&self, full_name: &str) -> Option<&Repository> {
        self.repositories.values().find(|repository| repository.full_name.eq_ignore_ascii_case(full_name))
    }

    /// The repository that was called so once, if no other took the name.
    pub fn moved(&self, full_name: &str) -> Option<&Repository> {
        let once =
            |repository: &&Repository| repository.earlier_names.iter().any(|name| name.eq_ignore_ascii_case(full_name));
        self.repository(full_name).is_none().then(|| self.repositories.values().find(once))?
    }

    /// The App's installation on an account's repositories.
    pub fn installation_on(&self, account: i64) -> Option<&Installation> {
        self.installations.values().find(|installation| installation.account == account)
    }

    /// The App's installation, if it reaches a repository.
    pub fn installed(&self, repository: &Repository) -> Option<&Installation> {
        self.installation_on(repository.owner).filter(|installation| !installation.excluded.contains(&repository.id))
    }

    /// Installs the App on an account's repositories, all of them; nothing happens if it is there.
    pub fn install(&mut self, account: i64) {
        if self.installation_on(account).is_none() {
            let (id, created_at) = (self.next_id(), self.now());
            let new = Installation { id, account, created_at, excluded: BTreeSet::new(), suspended_at: None };
            self.installations.insert(id, new);
        }
    }

    /// Takes the App away from an account; its tokens end.
    pub fn uninstall(&mut self, account: i64) {
        self.installations.retain(|_, installation| installation.account != account);
        let left = &self.installations;
        self.tokens.retain(|_, token| left.contains_key(&token.installation));
    }

    /// An issue or pull request, to be changed.
    pub fn issue_mut(&mut self, repository: i64, number: i64) -> Option<&mut Issue> {
        self.repositories.get_mut(&repository)?.issues.get_mut(&number)
    }

    /// An issue or pull request.
    pub fn issue(&self, repository: i64, number: i64) -> Option<&Issue> {
        self.repositories.get(&repository)?.issues.get(&number)
    }

    /// What a person may do in a repository; whoever was given nothing reads, as in a public one.
    pub fn role(&self, repository: &Repository, account: i64) -> Role {
        if account == repository.owner {
            return Role::Admin;
        }
        repository.roles.get(&account).copied().unwrap_or(Role::Read)
    }

    /// The present time.
    pub fn now(&self) -> Millis {
        self.clock.now()
    }
}

impl Repository {
    /// Where a comment is: the number of its issue and its place there.
    pub fn find_comment(&self, id: i64) -> Option<(i64, usize)> {
        self.issues.values().find_map(|issue| {
            let place = issue.comments.iter().position(|comment| comment.id == id)?;
            Some((issue.number, place))
        })
    }
}

/// A time as GitHub writes it: RFC 3339, UTC, whole seconds.
pub(super) fn stamp(at: Millis) -> String {
    DateTime::from_timestamp_millis(at).unwrap_or_default().to_rfc3339_opts(SecondsFormat::Secs, true)
}
