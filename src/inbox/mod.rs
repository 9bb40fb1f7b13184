//! From a delivery to what comes of it: deliveries of one repository and number are handled one at a time and in order.
//!
//! Words come from the delivery, state comes from GitHub at the time of the decision. Triggers, decision records, runs and reports
//! are written in one transaction with "delivery handled", so a crash repeats all of it or nothing.

mod act;
mod apply;
pub mod by_hand;
pub mod by_url;
mod cause;
mod facts;
pub mod feedback;
mod known;
mod life;
pub mod offers;
mod ours;
pub mod repositories;
mod screen;
pub mod sweep;
pub mod tasks;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;
use tracing::{Instrument as _, error, info_span, warn};

use crate::context::Context;
use crate::db::deliveries::Delivery;
use crate::db::{self, Conn};
use crate::event;
use crate::github::ApiError;
use crate::model::{Millis, RepositoryId};

/// Deliveries handled at once, each of another lane.
const AT_ONCE: u32 = 16;
/// Longest time between two looks at the table.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Rows put into lanes at a time.
const BATCH: i64 = 500;
/// Heads of lanes looked at in one go: those at work and as many as could begin.
const HEADS: i64 = 2 * AT_ONCE as i64;
/// Attempts after which a delivery that breaks the bot, or kills it, is set aside.
const POISON_ATTEMPTS: i64 = 3;
/// Attempts after which a delivery is set aside whose question GitHub refuses to answer (the App was taken away, the issue is gone).
const REFUSED_ATTEMPTS: i64 = 5;
/// Waits between attempts, by their number; the last one is repeated.
const RETRY: &[Duration] = &[
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(15),
    Duration::from_secs(60),
    Duration::from_secs(300),
];
/// The lane of deliveries that belong to no repository.
const NO_LANE: &str = "-";

/// Why a delivery could not be handled now.
#[derive(Debug)]
pub enum Trouble {
    /// GitHub did not answer what the decision needs: a refusal that is retried, never an approval.
    GitHub(ApiError),
    /// Something broke in the bot.
    Other(anyhow::Error),
}

impl From<ApiError> for Trouble {
    fn from(error: ApiError) -> Self {
        Self::GitHub(error)
    }
}

impl From<anyhow::Error> for Trouble {
    fn from(error: anyhow::Error) -> Self {
        Self::Other(error)
    }
}

impl From<sqlx::Error> for Trouble {
    fn from(error: sqlx::Error) -> Self {
        Self::Other(error.into())
    }
}

/// Works until the bot stops.
pub async fn work(context: Arc<Context>) {
    let mut worker = Worker::default();
    while !context.stop.is_cancelled() {
        if let Err(error) = worker.look(&context).await {
            error!("the inbox could not be looked at: {error:#}");
        }
        let pause = match next_look(&context).await {
            Ok(pause) => pause,
            Err(_) => LOOK_EVERY,
        };
        tokio::select! {
            () = context.stop.cancelled() => {}
            () = context.wake.inbox.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
    // What is at work comes to its end if there is time; the semaphore is never closed.
    let _ = worker.permits.acquire_many(AT_ONCE).await;
}

struct Worker {
    lanes: Arc<Lanes>,
    permits: Arc<Semaphore>,
    /// The newest delivery of the process before this one, once it was looked up.
    inherited: Option<i64>,
}

impl Default for Worker {
    fn default() -> Self {
        Self { lanes: Arc::default(), permits: Arc::new(Semaphore::new(AT_ONCE as usize)), inherited: None }
    }
}

#[derive(Default)]
struct Lanes(Mutex<HashSet<String>>);

impl Lanes {
    fn holds(&self, lane: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(lane)
    }

    fn claim(&self, lane: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(lane.to_owned());
    }

    fn release(&self, lane: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(lane);
    }
}

impl Worker {
    async fn look(&mut self, context: &Arc<Context>) -> Result<()> {
        let inherited = match self.inherited {
            Some(newest) => newest,
            None => *self.inherited.insert(db::deliveries::newest(&mut *context.db.read().await?).await?),
        };
        sort_into_lanes(context).await?;
        let heads = db::deliveries::heads(&mut *context.db.read().await?, context.clock.now(), HEADS).await?;
        for head in heads {
            // One that a process may have died of is handled alone, so that it takes no other with it again.
            let suspect = head.seq <= inherited && head.broken > 0;
            let permits = if suspect { AT_ONCE } else { 1 };
            if self.lanes.holds(&head.lane) {
                continue;
            }
            // Whoever ends has us look again.
            let Ok(permit) = self.permits.clone().try_acquire_many_owned(permits) else { return Ok(()) };
            self.lanes.claim(&head.lane);
            let (context, lanes) = (context.clone(), self.lanes.clone());
            tokio::spawn(async move {
                let seq = head.seq;
                if let Err(error) = handle_head(&context, seq, seq <= inherited).await {
                    error!("delivery number {seq} could not be read: {error:#}");
                    tokio::time::sleep(RETRY[0]).await;
                }
                lanes.release(&head.lane);
                drop(permit);
                context.wake.inbox.notify_one();
            });
        }
        Ok(())
    }
}

/// Handles a delivery unless that happened since it was seen. What an earlier process left is noted before: that process may have died of it.
async fn handle_head(context: &Arc<Context>, seq: i64, inherited: bool) -> Result<()> {
    let delivery = db::deliveries::get_new(&mut *context.db.read().await?, seq, context.clock.now()).await?;
    let Some(delivery) = delivery else { return Ok(()) };
    if inherited {
        // The attempt in which it came was not noted.
        if delivery.broken + 1 >= POISON_ATTEMPTS {
            return set_aside(context, &delivery, "broken", "track died each time that it was handled").await;
        }
        let mut tx = context.db.begin().await?;
        db::deliveries::begin(&mut tx, seq).await?;
        tx.commit().await?;
    }
    let span = info_span!("delivery", delivery = %delivery.id);
    let delivery = Arc::new(delivery);
    let inner = tokio::spawn(handle(context.clone(), delivery.clone()).instrument(span.clone()));
    if let Err(panic) = inner.await {
        let trouble = Trouble::Other(anyhow::anyhow!("handling panicked: {panic}"));
        put_off(context, &delivery, &trouble).instrument(span).await;
    }
    Ok(())
}

async fn next_look(context: &Context) -> Result<Duration> {
    let now = context.clock.now();
    let next = db::deliveries::next_due(&mut *context.db.read().await?, now).await?;
    Ok(next.map_or(LOOK_EVERY, |at| Duration::from_millis((at - now).unsigned_abs()).min(LOOK_EVERY)))
}

/// Gives each new delivery its lane. The body is trusted to be GitHub's; its event name is not signed and is checked when it is handled.
async fn sort_into_lanes(context: &Context) -> Result<()> {
    loop {
        let unsorted = db::deliveries::without_lane(&mut *context.db.read().await?, BATCH).await?;
        if unsorted.is_empty() {
            return Ok(());
        }
        let mut lanes = Vec::new();
        for seq in unsorted {
            // One body at a time: each may be 25 MiB.
            let delivery = db::deliveries::get_new(&mut *context.db.read().await?, seq, Millis::MAX).await?;
            let Some(delivery) = delivery else { continue };
            let lane = match event::lane_of(&delivery.event, &delivery.body) {
                Some((repository, Some(number))) => format!("{repository}/{number}"),
                Some((repository, None)) => repository.to_string(),
                None => NO_LANE.to_owned(),
            };
            lanes.push((seq, lane));
        }
        let mut tx = context.db.begin().await?;
        for (seq, lane) in lanes {
            db::deliveries::set_lane(&mut tx, seq, &lane).await?;
        }
        tx.commit().await?;
    }
}

async fn handle(context: Arc<Context>, delivery: Arc<Delivery>) {
    let outcome = match check(&delivery) {
        Ok(envelope) => decide_and_apply(&context, &delivery, &envelope).await,
        Err(damage) => set_aside(&context, &delivery, "malformed", &damage).await.map_err(Trouble::Other),
    };
    if let Err(trouble) = outcome {
        put_off(&context, &delivery, &trouble).await;
    }
}

/// A delivery whose bytes changed on disk, or whose body is not what its event name says, is never acted upon.
fn check(delivery: &Delivery) -> Result<event::Envelope, String> {
    if hex::encode(Sha256::digest(&delivery.body)) != delivery.sha256 {
        return Err("the stored body is not what was received: the database is damaged".to_owned());
    }
    event::parse(&delivery.event, &delivery.body).map_err(|malformed| malformed.to_string())
}

async fn decide_and_apply(context: &Context, delivery: &Delivery, envelope: &event::Envelope) -> Result<(), Trouble> {
    let screened = screen::screen(envelope, &context.config.label);
    apply::apply(context, delivery, envelope, screened).await
}

async fn set_aside(context: &Context, delivery: &Delivery, reason: &str, why: &str) -> Result<()> {
    let now = context.clock.now();
    let mut tx = context.db.begin().await?;
    write_aside(&mut tx, (delivery.seq, &delivery.id), None, (reason, why), now).await?;
    tx.commit().await?;
    Ok(())
}

/// Sets a delivery aside and says why, for those who ask.
async fn write_aside(
    tx: &mut Conn,
    (seq, id): (i64, &str),
    repository: Option<RepositoryId>,
    (reason, why): (&str, &str),
    now: Millis,
) -> Result<()> {
    warn!("delivery {id} is set aside: {why}");
    let record = db::decisions::Decision {
        delivery: Some(id.to_owned()),
        repository,
        number: None,
        trigger: None,
        run: None,
        actor: None,
        verdict: "ignored",
        reason: reason.to_owned(),
        detail: why.to_owned(),
        about: db::decisions::About::default(),
    };
    db::deliveries::quarantine(&mut *tx, seq, why, now).await?;
    db::decisions::insert(tx, &record, now).await?;
    Ok(())
}

async fn put_off(context: &Context, delivery: &Delivery, trouble: &Trouble) {
    let now = context.clock.now();
    let written = match trouble {
        Trouble::Other(error) if delivery.broken + 1 >= POISON_ATTEMPTS => {
            set_aside(context, delivery, "broken", &format!("{error:#}")).await
        }
        Trouble::Other(error) => {
            error!("delivery {} could not be handled: {error:#}", delivery.id);
            later(context, delivery, (retry_time(delivery.tries, now), delivery.broken + 1), &format!("{error:#}"))
                .await
        }
        Trouble::GitHub(error) => {
            let at = error.retry_at(u32::try_from(delivery.tries + 1).unwrap_or(u32::MAX), now);
            if at.is_none() && delivery.tries + 1 >= REFUSED_ATTEMPTS {
                set_aside(context, delivery, "github_refuses", &error.to_string()).await
            } else {
                warn!("delivery {} waits for GitHub: {error}", delivery.id);
                let at = at.unwrap_or_else(|| retry_time(delivery.tries, now));
                later(context, delivery, (at, 0), &error.to_string()).await
            }
        }
    };
    if let Err(error) = written {
        error!("delivery {} could not be put off: {error:#}", delivery.id);
        tokio::time::sleep(RETRY[0]).await;
    }
}

async fn later(context: &Context, delivery: &Delivery, (at, broken): (Millis, i64), why: &str) -> Result<()> {
    let mut tx = context.db.begin().await?;
    db::deliveries::retry_at(&mut tx, delivery.seq, at, broken, why).await?;
    tx.commit().await?;
    Ok(())
}

fn retry_time(tries: i64, now: Millis) -> Millis {
    let index = usize::try_from(tries).unwrap_or(usize::MAX).min(RETRY.len() - 1);
    now + RETRY[index].as_millis() as Millis
}
