//! One task writes all deliveries, because a synced commit costs the same for one as for sixty.
//!
//! Whoever brings a delivery waits for the commit that contains it. While one commit is synced the next group gathers by itself, so
//! nothing is ever held back to make a group larger.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use sqlx::Acquire as _;
use tokio::sync::{Notify, OwnedSemaphorePermit, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::Verified;
use crate::db::deliveries::{self, NewDelivery, Source};
use crate::db::{Db, settings};
use crate::model::Clock;

/// Bytes of bodies after which the database's log is written back.
const WRITE_BACK: usize = 4 * 1024 * 1024;

/// What the store may hold and how long its callers wait.
#[derive(Clone, Copy, Debug)]
pub struct StoreLimits {
    /// Deliveries that wait for their group; with more, callers are refused.
    pub queue: usize,
    /// Deliveries in one commit.
    pub group_rows: usize,
    /// Bytes of bodies after which a group is closed.
    pub group_bytes: usize,
    /// How long a caller waits for its commit: under GitHub's ten seconds.
    pub commit: Duration,
}

impl Default for StoreLimits {
    fn default() -> Self {
        Self { queue: 4096, group_rows: 256, group_bytes: 8 * 1024 * 1024, commit: Duration::from_secs(8) }
    }
}

/// Why a delivery may not be acknowledged. It may be stored nevertheless, which does no harm: its id is known when it comes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotStored {
    /// Too many wait already.
    #[error("too many deliveries wait to be stored")]
    Full,
    /// The commit was not done in time.
    #[error("the database did not commit in time")]
    Late,
    /// The database refused; its reason is in the log.
    #[error("the database could not store the delivery")]
    Failed,
    /// The bot is stopping.
    #[error("the bot is stopping")]
    Stopping,
}

/// The way to the writing task; clones lead to the same one.
#[derive(Clone, Debug)]
pub struct Store {
    queue: mpsc::Sender<Entry>,
    stop: CancellationToken,
    clock: Clock,
    commit: Duration,
}

#[derive(Debug)]
struct Entry {
    what: What,
    done: oneshot::Sender<Result<(), NotStored>>,
    /// Memory counts as used until the delivery is written, even if its sender went away.
    held: Option<OwnedSemaphorePermit>,
}

#[derive(Debug)]
enum What {
    Delivery(NewDelivery),
    /// A row that is only written to see whether writing works.
    Probe,
}

impl Store {
    /// Starts the writing task. `wake` is notified after each commit that brought something new.
    ///
    /// The task ends, with everything committed that was let in, after [`Store::stop`] or when the last handle is gone.
    pub fn spawn(db: Db, clock: Clock, wake: Arc<Notify>) -> (Self, JoinHandle<()>) {
        Self::spawn_with(db, clock, wake, StoreLimits::default())
    }

    /// [`Store::spawn`] with limits other than the usual ones.
    pub fn spawn_with(db: Db, clock: Clock, wake: Arc<Notify>, limits: StoreLimits) -> (Self, JoinHandle<()>) {
        let (queue, entries) = mpsc::channel(limits.queue);
        let stop = CancellationToken::new();
        let store = Self { queue, stop: stop.clone(), clock: clock.clone(), commit: limits.commit };
        let log_grew = Arc::new(Notify::new());
        let _write_back = AbortOnDropHandle::new(tokio::spawn(write_back(db.clone(), log_grew.clone())));
        let writer = Writer { db, clock, wake, limits, log_grew, grown: 0, _write_back };
        (store, tokio::spawn(writer.run(entries, stop)))
    }

    /// Stores a delivery and returns once it is on disk. One whose id is there already is left alone, and is as good as stored.
    pub async fn put(&self, delivery: NewDelivery) -> Result<(), NotStored> {
        self.send(What::Delivery(delivery), None).await
    }

    /// [`Store::put`] for what the webhook verified.
    pub(super) async fn put_verified(&self, delivery: Verified) -> Result<(), NotStored> {
        let Verified { delivery_id, event, body, sha256, held } = delivery;
        let received_at = self.clock.now();
        let delivery =
            NewDelivery { id: delivery_id, event, body: body.into(), sha256, source: Source::Webhook, received_at };
        self.send(What::Delivery(delivery), held).await
    }

    /// Commits a row that means nothing, to see whether the whole way to the disk works.
    pub async fn probe(&self) -> Result<(), NotStored> {
        self.send(What::Probe, None).await
    }

    /// Takes nothing new; the task ends after it has committed what waits.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    async fn send(&self, what: What, held: Option<OwnedSemaphorePermit>) -> Result<(), NotStored> {
        if self.stop.is_cancelled() {
            return Err(NotStored::Stopping);
        }
        let (done, committed) = oneshot::channel();
        self.queue.try_send(Entry { what, done, held }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => NotStored::Full,
            mpsc::error::TrySendError::Closed(_) => NotStored::Stopping,
        })?;
        match tokio::time::timeout(self.commit, committed).await {
            Ok(Ok(result)) => result,
            // The task died with the entry in its hands.
            Ok(Err(_)) => Err(NotStored::Failed),
            Err(_) => Err(NotStored::Late),
        }
    }
}

struct Writer {
    db: Db,
    clock: Clock,
    wake: Arc<Notify>,
    limits: StoreLimits,
    log_grew: Arc<Notify>,
    /// Bytes since the log was last written back.
    grown: usize,
    _write_back: AbortOnDropHandle<()>,
}

impl Writer {
    async fn run(mut self, mut entries: mpsc::Receiver<Entry>, stop: CancellationToken) {
        loop {
            let first = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                first = entries.recv() => first,
            };
            let Some(first) = first else { return };
            let group = self.gather(first, &mut entries);
            self.write(group).await;
        }
        entries.close();
        while let Some(first) = entries.recv().await {
            let group = self.gather(first, &mut entries);
            self.write(group).await;
        }
    }

    /// What waits already, up to the limits of a group.
    fn gather(&self, first: Entry, entries: &mut mpsc::Receiver<Entry>) -> Group {
        let mut group = Group::default();
        let mut bytes = 0;
        let mut next = Some(first);
        while let Some(entry) = next {
            match entry.what {
                What::Delivery(delivery) => {
                    bytes += delivery.body.stored_len();
                    group.deliveries.push(delivery);
                }
                What::Probe => group.probe = true,
            }
            group.waiting.push((entry.done, entry.held));
            let full = group.waiting.len() >= self.limits.group_rows || bytes >= self.limits.group_bytes;
            next = if full { None } else { entries.try_recv().ok() };
        }
        group
    }

    async fn write(&mut self, group: Group) {
        let rows = group.deliveries.len() as u64;
        let result = match self.commit(&group).await {
            Ok(new) => {
                if rows > 0 {
                    metrics::histogram!("track_delivery_group_size").record(rows as f64);
                    metrics::counter!("track_deliveries_total", "result" => "stored").increment(new);
                    metrics::counter!("track_deliveries_total", "result" => "duplicate").increment(rows - new);
                }
                self.grown += group.deliveries.iter().map(|delivery| delivery.body.stored_len()).sum::<usize>();
                if self.grown >= WRITE_BACK {
                    self.grown = 0;
                    self.log_grew.notify_one();
                }
                if new > 0 {
                    self.wake.notify_one();
                }
                Ok(())
            }
            Err(error) => {
                tracing::error!(deliveries = rows, error = format!("{error:#}"), "deliveries could not be stored");
                Err(NotStored::Failed)
            }
        };
        for (done, _held) in group.waiting {
            // Nobody listens any more where the sender hung up.
            let _ = done.send(result);
        }
    }

    /// Writes a group with one synced commit; returns how many deliveries were new.
    async fn commit(&self, group: &Group) -> Result<u64> {
        let mut transaction = self.db.begin().await?;
        let conn = transaction.acquire().await?;
        let new = deliveries::insert_all(conn, &group.deliveries).await?;
        if group.probe {
            settings::set(conn, "probed_at", &self.clock.now().to_string()).await?;
        }
        transaction.commit().await?;
        Ok(new)
    }
}

/// Writes the log back beside the writer, which would otherwise stop for it within some commit that somebody waits for.
async fn write_back(db: Db, log_grew: Arc<Notify>) {
    loop {
        log_grew.notified().await;
        if let Err(error) = db.checkpoint().await {
            // The writer does it itself when the log is long enough.
            tracing::warn!(error = format!("{error:#}"), "the database's log could not be written back");
        }
    }
}

/// A caller that waits for its commit, and the memory that its delivery holds until then.
type Waiting = (oneshot::Sender<Result<(), NotStored>>, Option<OwnedSemaphorePermit>);

#[derive(Default)]
struct Group {
    deliveries: Vec<NewDelivery>,
    probe: bool,
    waiting: Vec<Waiting>,
}
