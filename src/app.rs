//! Builds every part and stops it gracefully: the one file that knows all.

mod base;
mod front;
mod set_up;

use std::collections::VecDeque;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use futures_util::future::BoxFuture;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use base::{Base, Ready};
use front::Front;
pub use set_up::{SettingUp, set_up};

use crate::admin;
use crate::cli::Reload;
use crate::config::Config;
use crate::context::Context;
use crate::db;
use crate::doctor;
use crate::fleet::Fleet;
use crate::github::{self, ApiError};
use crate::inbox;
use crate::model::Clock;
use crate::report;
use crate::run;
use crate::runner::Machine;

/// How long workers may take to come to a point where they can stop; GitHub and the service manager wait ten seconds.
const STOP_WITHIN: Duration = Duration::from_secs(6);
/// Connections to runners are made at the start and the script is brought there, so that the first run needs neither.
const WARM_UP_WITHIN: Duration = Duration::from_secs(30);

/// Time between two looks at what may be missing.
const LOOK_EVERY: Duration = Duration::from_secs(15 * 60);

/// Time before a worker that died is started again.
const WORKER_PAUSE: Duration = Duration::from_secs(1);
/// A worker that dies so often within [`DEATHS_WITHIN`] is beyond help here: the service manager starts the process anew.
const DEATHS: usize = 5;
const DEATHS_WITHIN: Duration = Duration::from_secs(60);

/// A running bot.
pub struct Running {
    front: Front,
    ready: Ready,
    /// A worker cannot be kept alive.
    broken: CancellationToken,
    workers: Vec<JoinHandle<()>>,
    base: Base,
}

/// Starts the bot; it serves when this returns.
///
/// # Errors
/// Everything that makes serving impossible, as a sentence that says what to do.
pub async fn start(config: Config, clock: Clock) -> Result<Running> {
    config.app()?;
    let base = Base::open(config, clock).await?;
    let ready = base.ready()?;
    let stops = ready.stop.clone().drop_guard();
    let front = Front::open(base.config.listen, ready.router.clone()).await?;
    stops.disarm();
    Ok(ready.run(base, front))
}

impl Ready {
    /// Lets the workers work, behind a front that answers with this one's router.
    fn run(self, base: Base, front: Front) -> Running {
        // One start has one address.
        let _ = self.context.address.set(front.address());
        let broken = CancellationToken::new();
        let worker = |name, task: fn(Arc<Context>) -> BoxFuture<'static, ()>| {
            let context = self.context.clone();
            tokio::spawn(supervise(name, WORKER_PAUSE, broken.clone(), move || task(context.clone())))
        };
        let workers = vec![
            worker("inbox", |context| Box::pin(inbox::work(context))),
            worker("feedback", |context| Box::pin(inbox::feedback::work(context))),
            worker("sweep", |context| Box::pin(inbox::sweep::work(context))),
            worker("runs", |context| Box::pin(run::worker::work(context))),
            worker("reconcile", |context| Box::pin(run::reconcile::work(context))),
            worker("tidy", |context| Box::pin(run::tidy::work(context))),
            worker("reports", |context| Box::pin(report::worker::work(context))),
        ];
        for machine in self.context.runners.all() {
            tokio::spawn(warm_up(machine));
        }
        let address = front.address();
        info!("track {} serves on http://{address}, start number {}", env!("CARGO_PKG_VERSION"), base.epoch);
        Running { front, ready: self, broken, workers, base }
    }
}

impl Running {
    /// Where HTTP is served.
    pub fn address(&self) -> SocketAddr {
        self.front.address()
    }

    /// What the workers share.
    pub fn context(&self) -> &Arc<Context> {
        &self.ready.context
    }

    /// Stops intake at once, finishes commits, leaves agents running.
    pub async fn stop(self) {
        let Self { front, ready, workers, base, .. } = self;
        ready.stop.cancel();
        front.close();
        let finish = async {
            front.closed().await;
            let _ = ready.socket.await;
            ready.store.stop();
            let _ = ready.writer.await;
            for worker in workers {
                let _ = worker.await;
            }
            while !ready.context.active.is_empty() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        if tokio::time::timeout(STOP_WITHIN, finish).await.is_err() {
            warn!("something did not stop in time; the next start takes it up from the tables");
        }
        base.close().await;
        info!("stopped; agents that were at work go on");
    }
}

/// `track serve`: runs until SIGTERM or Ctrl-C. Without an App it serves the pages that set one up, and begins when that is done;
/// `reload` reads the configuration anew.
pub async fn serve(config: Config, reload: &Reload) -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let running = if config.github.is_some() {
        start(config, Clock::System).await?
    } else {
        let setting_up = set_up(config, Clock::System).await?;
        setting_up.announce();
        let ended = async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        let Some(running) = setting_up.finish(reload, ended).await? else { return Ok(()) };
        running
    };
    tokio::spawn(introduce(running.context().clone()));
    tokio::spawn(keep_watch(running.context().clone()));
    let broken = tokio::select! {
        _ = terminate.recv() => false,
        _ = interrupt.recv() => false,
        () = running.broken.cancelled() => true,
    };
    running.stop().await;
    ensure!(
        !broken,
        "a part of track died {DEATHS} times within a minute; the log says of what. It goes on at the next start"
    );
    Ok(())
}

/// Lets a worker work until it ends by itself, and starts it again when it dies: all that it knows is in the tables.
async fn supervise<F>(name: &str, pause: Duration, broken: CancellationToken, work: impl Fn() -> F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut deaths: VecDeque<Instant> = VecDeque::new();
    while let Err(died) = tokio::spawn(work()).await {
        error!("the worker {name} died and is started again: {died}");
        deaths.retain(|at| at.elapsed() < DEATHS_WITHIN);
        deaths.push_back(Instant::now());
        if deaths.len() >= DEATHS {
            error!("the worker {name} died {DEATHS} times within a minute: track ends");
            return broken.cancel();
        }
        tokio::time::sleep(pause).await;
    }
}

/// For subcommands while no server runs: the same lock, database and socket, without workers or webhooks.
pub struct Instance {
    stop: CancellationToken,
    socket: PathBuf,
    _base: Base,
}

impl Instance {
    /// Takes the lock and answers on the socket until it is dropped.
    pub async fn open(config: Config) -> Result<Self> {
        let base = Base::open(config, Clock::System).await?;
        let stop = CancellationToken::new();
        base.serve_socket(stop.clone(), None)?;
        Ok(Self { stop, socket: base.socket.clone(), _base: base })
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.stop.cancel();
        let _ = fs::remove_file(&self.socket);
    }
}

/// Looks at what may be missing as soon as the bot runs and from time to time, so that the page knows without anybody asking.
pub async fn keep_watch(context: Arc<Context>) {
    let fleet = Fleet::of(&context);
    while !context.stop.is_cancelled() {
        let parts = fleet.parts();
        let _ = context.stop.run_until_cancelled(doctor::refresh(&parts, Some(&context.github))).await;
        tokio::select! {
            () = context.stop.cancelled() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// Asks GitHub who the App is, so that a wrong setting is told at the start and not by the first webhook that comes to nothing; and where
/// it is installed, if nothing is known of that.
async fn introduce(context: Arc<Context>) {
    match github::app::me(&context.github).await {
        Ok(app) => info!("GitHub knows the App as {}", app.slug),
        Err(error) => return warn!("{}", stranger(&error, &context.app.api_url)),
    }
    let known = async { Ok(db::repositories::installed(&mut *context.db.read().await?).await?) };
    let looked = match known.await {
        Ok(known) if known.is_empty() => admin::setup::look(&context).await,
        Ok(_) => Ok(()),
        Err(error) => Err(error),
    };
    if let Err(error) = looked {
        warn!("where the App is installed is not known yet: {error:#}");
    }
}

/// What to put right where GitHub does not say who the App is.
fn stranger(error: &ApiError, api_url: &str) -> String {
    let remedy = match error {
        ApiError::Unauthorized { .. } | ApiError::NotFound { .. } => {
            "compare GITHUB_APP_ID with \"App ID\" on the App's settings page, and see that GITHUB_APP_PRIVATE_KEY (or the file that \
             GITHUB_APP_PRIVATE_KEY_PATH names) is a key of that App"
        }
        _ => "see that this machine reaches it, and that GITHUB_API_URL is right",
    };
    format!("GitHub at {api_url} does not say who the App is, so nothing can be done there: {error}. Remedy: {remedy}")
}

async fn warm_up(machine: Arc<Machine>) {
    let name = &machine.config().name;
    match tokio::time::timeout(WARM_UP_WITHIN, machine.warm_up()).await {
        Ok(Ok(_)) => info!("runner {name} answers"),
        Ok(Err(error)) => warn!("runner {name} {error}; its runs wait"),
        Err(_) => warn!("runner {name} does not answer; its runs wait"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use super::*;

    /// How often a worker was started that dies some times, and whether it was given up.
    async fn supervised(dies: usize) -> (usize, bool) {
        let starts = Arc::new(AtomicUsize::new(0));
        let (broken, counted) = (CancellationToken::new(), starts.clone());
        let work = move || {
            let start = counted.fetch_add(1, SeqCst);
            async move { assert!(start >= dies, "dies, as the test wants it") }
        };
        supervise("test", Duration::ZERO, broken.clone(), work).await;
        (starts.load(SeqCst), broken.is_cancelled())
    }

    #[test]
    fn a_bot_that_github_does_not_know_says_which_setting_to_look_at() {
        let call = || "GET /app".to_owned();
        let refused =
            ApiError::Unauthorized { call: call(), message: "A JSON web token could not be decoded".to_owned() };
        let away = ApiError::Unavailable {
            call: call(),
            message: "connection refused".to_owned(),
            ambiguous: false,
            answered: false,
            not_before: None,
        };
        let told = [refused, away].map(|error| stranger(&error, "https://api.github.test"));
        insta::assert_snapshot!(told.join("\n"), @r#"
        GitHub at https://api.github.test does not say who the App is, so nothing can be done there: GET /app: GitHub does not accept the App's credentials (A JSON web token could not be decoded); check GITHUB_APP_ID, the private key and this machine's clock. Remedy: compare GITHUB_APP_ID with "App ID" on the App's settings page, and see that GITHUB_APP_PRIVATE_KEY (or the file that GITHUB_APP_PRIVATE_KEY_PATH names) is a key of that App
        GitHub at https://api.github.test does not say who the App is, so nothing can be done there: GET /app: GitHub is not available: connection refused. Remedy: see that this machine reaches it, and that GITHUB_API_URL is right
        "#);
    }

    #[tokio::test]
    async fn a_worker_that_dies_is_started_again_but_not_for_ever() {
        assert_eq!(supervised(0).await, (1, false));
        assert_eq!(supervised(DEATHS - 1).await, (DEATHS, false));
        assert_eq!(supervised(usize::MAX).await, (DEATHS, true));
    }
}
