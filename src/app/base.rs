//! What every use of `$TRACK_HOME` has, and what a bot works with.

use std::fs::{self, File, TryLockError};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use axum::Router;
use tokio::net::UnixListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::admin::{self, Admin};
use crate::api::{self, ApiState};
use crate::config::{Config, RunnerConfig, merge_runners};
use crate::context::{Active, Context, Recent, Wake};
use crate::db::{self, Db};
use crate::doctor::Kept;
use crate::fleet::{self, Fleet};
use crate::git::Mirrors;
use crate::github::GitHub;
use crate::http::{self, Limits};
use crate::model::{Clock, MarkerKey, Millis};
use crate::runner::pool::Pool;
use crate::webhook::health::{self, HealthState};
use crate::webhook::{self, IntakeState, Store};

/// How long ending the connections to runners may take; what is left of them, the next start removes.
const HANG_UP_WITHIN: Duration = Duration::from_secs(2);

/// What every use of `$TRACK_HOME` has: the lock, the database, the machines and the socket.
pub(super) struct Base {
    pub(super) config: Arc<Config>,
    pub(super) db: Db,
    pub(super) runners: Arc<Pool>,
    pub(super) clock: Clock,
    pub(super) epoch: i64,
    pub(super) started_at: Millis,
    pub(super) kept: Arc<Kept>,
    pub(super) slots_changed: Arc<Notify>,
    pub(super) files_to_go: Arc<Notify>,
    pub(super) socket: PathBuf,
    pub(super) _lock: File,
}

/// All that a bot has before it takes its first webhook.
pub(super) struct Ready {
    pub(super) context: Arc<Context>,
    pub(super) store: Store,
    pub(super) writer: JoinHandle<()>,
    pub(super) socket: JoinHandle<()>,
    pub(super) router: Router,
    pub(super) stop: CancellationToken,
}

impl Base {
    pub(super) async fn open(config: Config, clock: Clock) -> Result<Self> {
        let home = config.home.clone();
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&home)
            .with_context(|| format!("TRACK_HOME: {} cannot be made", home.display()))?;
        let lock = take_lock(&home.join("lock"))?;
        let db = Db::open(&config.database_url).await?;
        let mut tx = db.begin().await?;
        let instance = db::settings::instance(&mut tx).await?;
        // Now rather than with the first sweep, which comes later, or much later if GitHub is down.
        db::settings::begin(&mut tx, clock.now()).await?;
        let epoch = i64::try_from(db::settings::next_epoch(&mut tx).await?)?;
        let stored = db::runners::all(&mut tx).await?;
        let drained = db::drains::all(&mut tx).await?;
        tx.commit().await?;
        let runners = Arc::new(Pool::new(&home, &instance).hiding(&config.secret_files));
        for runner in merge_runners(config.runners.clone(), stored)? {
            let name = runner.name.clone();
            // One that was added by command cannot be moved without being removed first.
            let from_file = config.runners.iter().any(|other| other.name == name);
            if let Some(why) = moved_while_in_use(&db, &runner, from_file).await? {
                error!("runner {name} is left out: {why}");
                continue;
            }
            if let Err(error) = runners.add(runner).await {
                error!("runner {name} cannot be used: {error:#}");
            }
        }
        for (runner, _) in drained {
            runners.set_draining(&runner, true);
        }
        let socket = home.join("track.sock");
        let config = Arc::new(config);
        let started_at = clock.now();
        let (kept, slots_changed, files_to_go) = Default::default();
        Ok(Self {
            config,
            db,
            runners,
            clock,
            epoch,
            started_at,
            kept,
            slots_changed,
            files_to_go,
            socket,
            _lock: lock,
        })
    }

    /// Builds what the bot works with for the configured App, and answers subcommands: before anybody can know that the bot runs, for one
    /// that finds no socket takes it for another program that holds the lock.
    pub(super) fn ready(&self) -> Result<Ready> {
        let (config, db, clock) = (&self.config, &self.db, &self.clock);
        let app = config.app()?.clone();
        let stop = CancellationToken::new();
        let wake = Wake { runs: self.slots_changed.clone(), tidy: self.files_to_go.clone(), ..Wake::default() };
        let context = Arc::new(Context {
            github: GitHub::new(&app, clock.clone())?,
            app: app.clone(),
            mirrors: Mirrors::new(&config.home)?,
            runners: self.runners.clone(),
            marker: MarkerKey::new(marker_key(&config.home.join("marker.key"))?),
            epoch: self.epoch,
            started_at: self.started_at,
            kept: self.kept.clone(),
            active: Active::default(),
            about: Recent::default(),
            policies: Recent::default(),
            issues: Recent::default(),
            pulls: Recent::default(),
            creating: tokio::sync::Mutex::default(),
            address: OnceLock::new(),
            stop: stop.clone(),
            config: config.clone(),
            db: db.clone(),
            clock: clock.clone(),
            wake,
        });
        let metrics = health::collect_metrics()?;
        let socket = self.serve_socket(stop.clone(), Some(context.clone()))?;
        let (store, writer) = Store::spawn(db.clone(), clock.clone(), context.wake.inbox.clone());
        let router = admin::router(&Admin::new(context.clone()))
            .merge(webhook::router(IntakeState::new(&app.webhook_secret, store.clone())))
            .merge(health::router(HealthState::new(store.clone(), stop.clone(), metrics)));
        Ok(Ready { context, store, writer, socket, router, stop })
    }

    /// Answers subcommands while nothing is at work.
    pub(super) fn serve_for_commands(&self) -> Result<(JoinHandle<()>, CancellationToken)> {
        let stop = CancellationToken::new();
        Ok((self.serve_socket(stop.clone(), None)?, stop))
    }

    pub(super) fn serve_socket(
        &self,
        stop: CancellationToken,
        context: Option<Arc<Context>>,
    ) -> Result<JoinHandle<()>> {
        // We hold the lock, so a socket that is there was left behind by a process that was killed.
        match fs::remove_file(&self.socket) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("{} cannot be replaced", self.socket.display()));
            }
            _ => {}
        }
        let listener = UnixListener::bind(&self.socket)
            .with_context(|| format!("{} cannot be listened on", self.socket.display()))?;
        fs::set_permissions(&self.socket, fs::Permissions::from_mode(0o600))?;
        let router = api::router(ApiState {
            config: self.config.clone(),
            db: self.db.clone(),
            clock: self.clock.clone(),
            fleet: Fleet {
                config: self.config.clone(),
                db: self.db.clone(),
                runners: self.runners.clone(),
                clock: self.clock.clone(),
                // A subcommand that answers itself was not started to stay.
                started_at: if context.is_some() { self.started_at } else { 0 },
                kept: self.kept.clone(),
                slots_changed: self.slots_changed.clone(),
            },
            context,
            files_to_go: self.files_to_go.clone(),
        });
        Ok(tokio::spawn(http::serve(listener, router, Limits::default(), stop)))
    }

    pub(super) async fn close(self) {
        if tokio::time::timeout(HANG_UP_WITHIN, self.runners.close()).await.is_err() {
            warn!("a connection to a runner could not be ended in time");
        }
        self.db.close().await;
        let _ = fs::remove_file(&self.socket);
    }
}

/// Why a runner whose host, user or root is another one since the last start cannot be used: on the new place its runs would seem
/// to be gone, and be taken for dead (B44).
async fn moved_while_in_use(db: &Db, runner: &RunnerConfig, from_file: bool) -> Result<Option<String>> {
    let key = format!("runner_place:{}", runner.name);
    let place = serde_json::to_string(&(&runner.host, &runner.user, &runner.root))?;
    let before = db::settings::get(&mut *db.read().await?, &key).await?;
    if before.as_ref() == Some(&place) {
        return Ok(None);
    }
    if let (Some(before), true, Some(why)) = (before, from_file, fleet::in_use(db, &runner.name).await?) {
        return Ok(Some(format!(
            "its host, user and root were {before} and are {place} now, but {why}. Put the former values back until then"
        )));
    }
    let mut tx = db.begin().await?;
    db::settings::set(&mut tx, &key, &place).await?;
    tx.commit().await?;
    Ok(None)
}

fn take_lock(path: &Path) -> Result<File> {
    let lock = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("{} cannot be opened", path.display()))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => bail!(
            "another track uses {}: stop it first, or set TRACK_HOME to another folder",
            path.parent().unwrap_or(path).display()
        ),
        Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("{} cannot be locked", path.display())),
    }
}

/// The key of comment markers, made at the first start.
fn marker_key(path: &Path) -> Result<[u8; MarkerKey::BYTES]> {
    if !path.exists() {
        let key: [u8; MarkerKey::BYTES] = rand::random();
        let mut file = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .with_context(|| format!("{} cannot be made", path.display()))?;
        file.write_all(hex::encode(key).as_bytes())?;
        file.sync_all()?;
    }
    let text = fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    let mut key = [0; MarkerKey::BYTES];
    hex::decode_to_slice(text.trim(), &mut key).with_context(|| {
        format!("{} is damaged: remove it, and comments of earlier runs are not edited any more", path.display())
    })?;
    Ok(key)
}
