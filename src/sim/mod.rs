//! A GitHub that is real on the wire and lives in memory and one folder: what `track demo` and the tests talk to.
//!
//! Everything that track uses of GitHub is here with GitHub's own paths, JSON and refusals: REST below
//! `<url>/api/v3` (as on GitHub Enterprise Server), git over smart HTTP at `<url>/<owner>/<name>.git`, signed webhooks
//! with a deliveries log, and pages on which people look and act: issues and pull requests, signing in with the App, creating it from
//! a manifest, installing it. Tests act through [`Sim`]; track acts through HTTP.
//!
//! It is stricter than GitHub in one thing: repositories count as public for people (a stranger may comment and has
//! the `read` permission), but no request reads one without a token whose scope holds it.
//!
//! `app-key.pem` beside this file is a key pair made for the simulator. It is public knowledge and opens nothing else.

mod acts;
mod app_auth;
mod app_keys;
mod changes;
mod diff;
mod forks;
mod forms;
mod git;
mod git_http;
mod install;
mod json;
mod look;
mod manifest;
mod oauth;
mod owners;
mod pages;
mod pushes;
mod rest;
mod reviews;
mod serve;
mod teams;
mod web;
mod webhooks;
mod world;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use anyhow::Context as _;
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::model::Clock;

pub use acts::Role;
pub use look::{Comment, IssueSnapshot, PullSnapshot, Reaction};
pub use reviews::{ReviewCommentSnapshot, ReviewSnapshot};
pub use serve::{Fault, RequestInfo, RequestRecord};
pub use webhooks::DeliveryRecord;

use serve::FaultHook;
use world::World;

/// The private half of the simulator-only key pair, for the App that talks to the simulator.
pub const APP_PRIVATE_KEY_PEM: &str = include_str!("app-key.pem");
/// The public half of the simulator-only key pair.
pub const APP_PUBLIC_KEY_PEM: &str = include_str!("app-key.pub.pem");

/// The GitHub App that the simulated GitHub knows.
#[derive(Clone, Debug)]
pub struct AppSettings {
    /// The App's id, the `iss` of its JSON Web Tokens.
    pub id: u64,
    /// The App's slug; its bot is `<slug>[bot]`.
    pub slug: String,
    /// The App's name, as people read it.
    pub name: String,
    /// The login of the account that the App belongs to.
    pub owner: String,
    /// What the App's JSON Web Tokens are verified with (PEM, RSA).
    pub public_key_pem: String,
    /// What webhooks are signed with.
    pub webhook_secret: SecretString,
    /// Where webhooks go; without one the App's webhook is off and events leave no trace.
    pub webhook_url: Option<String>,
    /// What installations grant, e.g. `contents` to `write`.
    pub permissions: BTreeMap<String, String>,
    /// What the App is told of besides its installations.
    pub events: Vec<String>,
    /// The public half of what the App signs people in with.
    pub client_id: String,
    /// The secret half of it.
    pub client_secret: SecretString,
    /// Where people come back to who signed in; the first unless the request names another of them. One on the loopback interface
    /// without a port stands for every port there.
    pub callback_urls: Vec<String>,
    /// Where people come back to who installed the App.
    pub setup_url: Option<String>,
    /// Whether others than its owner may install it.
    pub public: bool,
}

impl AppSettings {
    /// An App `track` (id 4242) of the user `octo`, with the simulator's key pair and the permissions that track asks for.
    pub fn new(webhook_secret: SecretString) -> Self {
        let permissions = [
            ("checks", "write"),
            ("contents", "write"),
            ("issues", "write"),
            ("members", "read"),
            ("metadata", "read"),
            ("pull_requests", "write"),
        ];
        Self {
            id: 4242,
            slug: "track".to_owned(),
            name: "track".to_owned(),
            owner: "octo".to_owned(),
            public_key_pem: APP_PUBLIC_KEY_PEM.to_owned(),
            webhook_secret,
            webhook_url: None,
            permissions: permissions.map(|(name, level)| (name.to_owned(), level.to_owned())).into(),
            events: changes::EVENTS.map(str::to_owned).into(),
            client_id: "Iv1.0000000000004242".to_owned(),
            client_secret: "the simulated App's client secret".into(),
            callback_urls: vec!["http://127.0.0.1/admin/sign-in/callback".to_owned()],
            setup_url: None,
            public: true,
        }
    }
}

/// How a simulator is started.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the bare repositories are kept, as `<owner>/<name>.git`; made if it is not there.
    pub folder: PathBuf,
    /// The App.
    pub app: AppSettings,
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where "now" comes from.
    pub clock: Clock,
    /// How long an installation token lives; an hour on GitHub.
    pub token_life: Duration,
}

impl Options {
    /// A simulator on a free port of the loopback interface, with GitHub's own times.
    pub fn new(folder: impl Into<PathBuf>, app: AppSettings) -> Self {
        Self {
            folder: folder.into(),
            app,
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            clock: Clock::System,
            token_life: Duration::from_secs(3600),
        }
    }
}

/// A running simulator. Clones are handles to the same one; it stops when the last is dropped, or by [`Sim::stop`].
#[derive(Clone)]
pub struct Sim {
    inner: Arc<Inner>,
    tasks: Arc<Mutex<Vec<JoinHandle<()>>>>,
    /// What keeps the simulator running; handles that its own listener makes for one request do not.
    _alive: Option<Arc<DropGuard>>,
}

/// What the listener, the webhook task and the handles share.
struct Inner {
    folder: PathBuf,
    token_life: Duration,
    world: Mutex<World>,
    journal: Mutex<Vec<RequestRecord>>,
    fault: Mutex<Option<Arc<FaultHook>>>,
    /// One change of branches at a time, so that each is compared with the state it was made on.
    pushes: tokio::sync::Mutex<()>,
    /// Webhooks that are queued or on their way.
    pending: watch::Sender<usize>,
    stopped: CancellationToken,
}

impl Inner {
    /// The state. A panic elsewhere does not make it unreadable: tests want to see what there is.
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Sim {
    /// The App's settings as they are now.
    pub fn app(&self) -> AppSettings {
        self.inner.world().app.clone()
    }

    /// Binds the address and starts to serve.
    ///
    /// # Errors
    /// A folder that cannot be made, an address that cannot be bound, a public key that is none.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        tokio::fs::create_dir_all(&options.folder)
            .await
            .with_context(|| format!("cannot make the simulator's folder {}", options.folder.display()))?;
        let key = app_keys::verifying(&options.app.public_key_pem)?;
        let listener = TcpListener::bind(options.listen)
            .await
            .with_context(|| format!("the simulator cannot listen on {}", options.listen))?;
        let server = format!("http://{}", listener.local_addr()?);

        let (queue, queued) = mpsc::unbounded_channel();
        let pending = watch::Sender::new(0);
        let stopped = CancellationToken::new();
        let inner = Arc::new(Inner {
            folder: options.folder,
            token_life: options.token_life,
            world: Mutex::new(World::new(server, options.clock, (options.app, key), (queue, pending.clone()))),
            journal: Mutex::default(),
            fault: Mutex::default(),
            pushes: tokio::sync::Mutex::default(),
            pending,
            stopped: stopped.clone(),
        });
        let tasks =
            vec![tokio::spawn(serve::run(inner.clone(), listener)), tokio::spawn(webhooks::run(inner.clone(), queued))];
        Ok(Self { inner, tasks: Arc::new(Mutex::new(tasks)), _alive: Some(Arc::new(stopped.drop_guard())) })
    }

    /// The server's URL, `http://127.0.0.1:<port>`: pages, and git below it (`GITHUB_SERVER_URL`).
    pub fn url(&self) -> String {
        self.inner.world().server.clone()
    }

    /// The URL that REST paths are appended to (`GITHUB_API_URL`).
    pub fn api_url(&self) -> String {
        self.inner.world().api()
    }

    /// Ends the listener and the deliveries; open connections are cut. The folder stays.
    pub async fn stop(&self) {
        self.inner.stopped.cancel();
        let tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        for task in tasks {
            // A task that panicked has said so already; there is nothing left of it to stop.
            let _ = task.await;
        }
    }

    /// Sends webhooks there from now on; `None` turns them off.
    pub fn set_webhook_url(&self, url: Option<&str>) {
        self.inner.world().app.webhook_url = url.map(str::to_owned);
    }

    /// Sends people who signed in there from now on, and nowhere else.
    pub fn set_callback_url(&self, url: &str) {
        self.inner.world().app.callback_urls = vec![url.to_owned()];
    }

    /// Sends people who installed the App there from now on.
    pub fn set_setup_url(&self, url: Option<&str>) {
        self.inner.world().app.setup_url = url.map(str::to_owned);
    }

    /// A handle for one request, which does not keep the simulator running.
    fn within(inner: &Arc<Inner>) -> Self {
        Self { inner: inner.clone(), tasks: Arc::default(), _alive: None }
    }

    /// Asks `hook` about every API and git request before it is handled; it replaces the hook before.
    pub fn set_fault(&self, hook: Box<FaultHook>) {
        *self.inner.fault.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(hook.into());
    }

    /// Faults end.
    pub fn clear_faults(&self) {
        *self.inner.fault.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = None;
    }
}

#[cfg(test)]
mod tests;
