//! What an operator does with runners, the same from the command line and the page: adding, changing, draining, emptying and removing them.

mod change;

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use tokio::sync::Notify;

pub use change::RunnerChange;

use crate::config::{Config, RunnerConfig, Transport};
use crate::context::Context;
use crate::db::runs::Run;
use crate::db::{self, Db};
use crate::doctor::{Kept, Look, Parts, look};
use crate::model::{Clock, Millis, Status};
use crate::run::tidy;
use crate::runner::Removed;
use crate::runner::hostkeys::{self, HostKey};
use crate::runner::pool::Pool;

/// How long a machine may take to show its host keys.
const KEYSCAN_TIMEOUT: Duration = Duration::from_secs(10);

/// The runners and all that is kept of them.
#[derive(Clone)]
pub struct Fleet {
    /// The operator's decisions.
    pub config: Arc<Config>,
    /// The tables.
    pub db: Db,
    /// The machines.
    pub runners: Arc<Pool>,
    /// The time.
    pub clock: Clock,
    /// When the bot started; 0 for a subcommand that answers itself.
    pub started_at: Millis,
    /// What was found on them last.
    pub kept: Arc<Kept>,
    /// Tells the scheduler that slots changed.
    pub slots_changed: Arc<Notify>,
}

/// Why something is not done, as a sentence for people.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// There is no such runner.
    #[error("there is no runner {0}; `track runner list` shows those there are")]
    Unknown(String),
    /// Something is wrong with what was asked for.
    #[error("{0}")]
    Wrong(String),
    /// It cannot be done now, or here.
    #[error("{0}")]
    Conflict(String),
    /// It was tried and failed.
    #[error("{0:#}")]
    Failed(#[from] anyhow::Error),
}

impl From<sqlx::Error> for Refused {
    fn from(error: sqlx::Error) -> Self {
        Self::Failed(error.into())
    }
}

impl Fleet {
    /// Those of a running bot.
    pub fn of(context: &Context) -> Self {
        Self {
            config: context.config.clone(),
            db: context.db.clone(),
            runners: context.runners.clone(),
            clock: context.clock.clone(),
            started_at: context.started_at,
            kept: context.kept.clone(),
            slots_changed: context.wake.runs.clone(),
        }
    }

    /// What a look needs.
    pub fn parts(&self) -> Parts<'_> {
        Parts {
            config: &self.config,
            db: &self.db,
            runners: &self.runners,
            clock: &self.clock,
            started_at: self.started_at,
            kept: &self.kept,
        }
    }

    /// Whether a runner stands in `track.toml`, where only an editor changes it.
    pub fn is_from_file(&self, name: &str) -> bool {
        self.config.runners.iter().any(|runner| runner.name.eq_ignore_ascii_case(name))
    }

    /// How a runner is configured.
    pub fn config_of(&self, name: &str) -> Result<RunnerConfig, Refused> {
        let machine = self.runners.get(name).ok_or_else(|| Refused::Unknown(name.to_owned()))?;
        Ok(machine.config().clone())
    }

    /// All that keeps a runner from being added, without adding it.
    pub fn check_new(&self, runner: &RunnerConfig) -> Result<(), Refused> {
        self.config.check_runner(runner).map_err(|mistakes| Refused::Wrong(mistakes.to_string()))?;
        if self.is_from_file(&runner.name) {
            let why = format!("runner {} stands in track.toml: change it there and restart", runner.name);
            return Err(Refused::Conflict(why));
        }
        Ok(())
    }

    /// Adds a runner; one that is there already has its host key pinned anew, and then this is true.
    pub async fn add(&self, runner: RunnerConfig) -> Result<bool, Refused> {
        self.check_new(&runner)?;
        let name = runner.name.clone();
        let known = self.runners.get(&name).map(|machine| machine.config().clone());
        let runner = match &known {
            Some(known) => match pinned_anew(known, &runner) {
                Some(pinned) => pinned,
                None => return Err(self.is_there(&name).await?),
            },
            None => runner,
        };
        self.replace(known.as_ref(), runner, true).await?;
        Ok(known.is_some())
    }

    /// Has a runner take its new form in the table and in the pool, or in neither.
    async fn replace(&self, known: Option<&RunnerConfig>, runner: RunnerConfig, anew: bool) -> Result<(), Refused> {
        let name = runner.name.clone();
        self.store(&name, Some(&runner)).await?;
        // Whoever adds a runner once more wants it logged in to anew, and in service.
        let same_way = !anew && known.is_some_and(|known| change::way(known) == change::way(&runner));
        let taken =
            if same_way && self.runners.revise(runner.clone()) { Ok(()) } else { self.runners.add(runner).await };
        if let Err(error) = taken {
            self.store(&name, known).await?;
            return Err(Refused::Wrong(format!("{error:#}")));
        }
        self.slots_changed.notify_one();
        Ok(())
    }

    /// Stores a runner in the place of what was stored by its name.
    async fn store(&self, name: &str, runner: Option<&RunnerConfig>) -> Result<(), Refused> {
        let mut tx = self.db.begin().await?;
        db::runners::remove(&mut tx, name).await?;
        if let Some(runner) = runner {
            db::runners::add(&mut tx, runner, self.clock.now()).await?;
        }
        tx.commit().await?;
        Ok(())
    }

    /// That another runner has this name; with what keeps it from being removed first.
    async fn is_there(&self, name: &str) -> Result<Refused, Refused> {
        let in_use = in_use(&self.db, name).await?.map(|why| format!(". But {why}")).unwrap_or_default();
        Ok(Refused::Conflict(format!(
            "there is a runner {name} already. With its host, user, port and root, its host key is pinned anew; \
             for all else, `track runner remove` forgets it{in_use}"
        )))
    }

    /// Takes a runner out; its files stay on the machine.
    pub async fn remove(&self, name: &str) -> Result<(), Refused> {
        if self.is_from_file(name) {
            let why = format!("runner {name} stands in track.toml: take it out there and restart");
            return Err(Refused::Conflict(why));
        }
        self.refuse_in_use(name).await?;
        let mut tx = self.db.begin().await?;
        let removed = db::runners::remove(&mut tx, name).await?;
        db::drains::remove(&mut tx, name).await?;
        tx.commit().await?;
        if !removed {
            return Err(Refused::Unknown(name.to_owned()));
        }
        self.runners.remove(name).await;
        self.kept.forget(name);
        Ok(())
    }

    /// Changes what is configured for a runner; what moves it is refused while it is in use (B44).
    pub async fn edit(&self, name: &str, change: &RunnerChange) -> Result<RunnerConfig, Refused> {
        let known = self.config_of(name)?;
        let changed = self.changed(&known, change)?;
        if change::place(&known) != change::place(&changed) {
            self.refuse_in_use(name).await?;
        }
        if changed != known {
            self.replace(Some(&known), changed.clone(), false).await?;
        }
        Ok(changed)
    }

    /// What a runner would be after a change, checked and not carried out.
    pub fn changed(&self, known: &RunnerConfig, change: &RunnerChange) -> Result<RunnerConfig, Refused> {
        if self.is_from_file(&known.name) {
            let why = format!("runner {} stands in track.toml: change it there and restart", known.name);
            return Err(Refused::Conflict(why));
        }
        let changed = change.applied(known);
        self.config.check_runner(&changed).map_err(|mistakes| Refused::Wrong(mistakes.to_string()))?;
        if change::needs_key(known, &changed, change) {
            let why = "the host key of the new address is not known: give it, too, after comparing its fingerprint with the machine's";
            return Err(Refused::Wrong(why.to_owned()));
        }
        Ok(changed)
    }

    /// Has a runner take no new runs; those on it go on. It stays so until [`Fleet::undrain`], also over restarts.
    pub async fn drain(&self, name: &str) -> Result<(), Refused> {
        self.config_of(name)?;
        let mut tx = self.db.begin().await?;
        db::drains::add(&mut tx, name, self.clock.now()).await?;
        tx.commit().await?;
        self.set_draining(name, true);
        Ok(())
    }

    /// Has a runner take new runs again.
    pub async fn undrain(&self, name: &str) -> Result<(), Refused> {
        self.config_of(name)?;
        let mut tx = self.db.begin().await?;
        db::drains::remove(&mut tx, name).await?;
        tx.commit().await?;
        self.set_draining(name, false);
        Ok(())
    }

    fn set_draining(&self, name: &str, draining: bool) {
        self.runners.set_draining(name, draining);
        // Who waits is told the new reason, or gets its slot.
        self.slots_changed.notify_one();
    }

    /// Looks at a runner, line by line; what was found is kept.
    pub async fn check(&self, name: &str) -> Result<Look, Refused> {
        let found = look(&self.parts(), name).await.ok_or_else(|| Refused::Unknown(name.to_owned()))?;
        // Runs may wait for just this.
        self.slots_changed.notify_one();
        Ok(found)
    }

    /// Removes from a runner what nothing needs any more.
    pub async fn clean(&self, name: &str) -> Result<Removed, Refused> {
        let machine = self.runners.get(name).ok_or_else(|| Refused::Unknown(name.to_owned()))?;
        Ok(tidy::clean(&self.db, &machine).await?)
    }

    /// Removes everything of the bot's from a runner (B43).
    pub async fn reset(&self, name: &str) -> Result<Removed, Refused> {
        let machine = self.runners.get(name).ok_or_else(|| Refused::Unknown(name.to_owned()))?;
        self.refuse_in_use(name).await?;
        let removed = machine.reset().await.map_err(|error| anyhow!("runner {name} {error}"))?;
        let mut tx = self.db.begin().await?;
        db::cleanups::forget(&mut tx, name).await?;
        tx.commit().await?;
        Ok(removed)
    }

    /// The host keys that a machine shows, best first; `behind` is the runner with the machines on the way to it and their keys.
    pub async fn host_keys(
        &self,
        host: &str,
        port: u16,
        behind: Option<&RunnerConfig>,
    ) -> Result<Vec<HostKey>, Refused> {
        match behind {
            Some(runner) => {
                runner.validate().map_err(|mistakes| Refused::Wrong(mistakes.to_string()))?;
                Ok(vec![self.runners.host_key_behind(runner).await?])
            }
            None => Ok(hostkeys::fetch(host, port, KEYSCAN_TIMEOUT).await?),
        }
    }

    /// Refuses, naming them, while runs are on a runner or on their way to it, and while it may have results of runs that are over.
    async fn refuse_in_use(&self, name: &str) -> Result<(), Refused> {
        match in_use(&self.db, name).await? {
            Some(why) => Err(Refused::Conflict(why)),
            None => Ok(()),
        }
    }
}

/// What keeps a runner from being removed, emptied or moved.
pub async fn in_use(db: &Db, name: &str) -> anyhow::Result<Option<String>> {
    let (mut live, mut unsettled) = {
        let mut conn = db.read().await?;
        (db::runs::live(&mut conn).await?, db::runs::unsettled(&mut conn).await?)
    };
    live.retain(|run| run.runner.as_deref() == Some(name) && run.status != Status::Queued);
    unsettled.retain(|run| run.runner.as_deref() == Some(name));
    Ok(if !live.is_empty() {
        Some(format!("runner {name} has live runs: {}. Cancel them or wait for them first", ids(&live)))
    } else if !unsettled.is_empty() {
        Some(format!(
            "runner {name} may still have the results of {}: they are kept as soon as it answers while `track serve` runs",
            ids(&unsettled)
        ))
    } else {
        None
    })
}

fn ids<'a>(runs: impl IntoIterator<Item = &'a Run>) -> String {
    let ids: Vec<String> = runs.into_iter().map(|run| run.id.to_string()).collect();
    ids.join(", ")
}

/// A known machine with the host key that it is given now, so that one which was set up anew is reached again while its runs live.
fn pinned_anew(known: &RunnerConfig, given: &RunnerConfig) -> Option<RunnerConfig> {
    let is_pinned = given.transport == Transport::Ssh && given.host_key.is_some();
    let same = change::place(known) == change::place(given) && known.transport == given.transport;
    (is_pinned && same).then(|| RunnerConfig {
        host_key: given.host_key.clone(),
        jump_host_keys: given.jump_host_keys.clone(),
        known_hosts_path: None,
        ..known.clone()
    })
}
