//! From a delivery to what comes of it: deliveries of one repository and number are handled one at a time and in order.
//!
//! Words come from the delivery, state comes from GitHub at the time of the decision. Triggers, decision records, runs and reports
//! are written in one transaction with "delivery handled", so a crash repeats all of it or nothing.

mod apply;
mod facts;
pub mod feedback;
mod screen;
pub mod sweep;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;
use tracing::{Instrument as _, error, info_span, warn};

use crate::context::Context;
use crate::db;
use crate::db::deliveries::Delivery;
use crate::event;
use crate::github::ApiError;
use crate::model::Millis;

/// Deliveries handled at once, each of another lane.
const AT_ONCE: usize = 16;
/// Longest time between two looks at the table.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Rows put into lanes at a time.
const BATCH: i64 = 500;
/// Attempts after which a delivery that breaks the bot is set aside.
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
    let lanes = Arc::new(Lanes::default());
    let permits = Arc::new(Semaphore::new(AT_ONCE));
    while !context.stop.is_cancelled() {
        if let Err(error) = look(&context, &lanes, &permits).await {
            error!("the inbox could not be looked at: {error:#}");
        }
        let pause = match next_look(&context).await {
            Ok(pause) => pause,
            Err(_) => LOOK_EVERY,
        };
        tokio::select! {
            () = context.stop.cancelled() => return,
            () = context.wake.inbox.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

#[derive(Default)]
struct Lanes(Mutex<HashSet<String>>);

impl Lanes {
    fn claim(&self, lane: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(lane.to_owned())
    }

    fn release(&self, lane: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(lane);
    }
}

async fn look(context: &Arc<Context>, lanes: &Arc<Lanes>, permits: &Arc<Semaphore>) -> Result<()> {
    sort_into_lanes(context).await?;
    let heads = db::deliveries::heads(&mut *context.db.read().await?, context.clock.now(), BATCH).await?;
    for (lane, delivery) in heads {
        if !lanes.claim(&lane) {
            continue;
        }
        let (context, lanes, permits) = (context.clone(), lanes.clone(), permits.clone());
        let span = info_span!("delivery", delivery = %delivery.id, lane = %lane);
        tokio::spawn(
            async move {
                // The semaphore is never closed.
                let _permit = permits.acquire_owned().await;
                let inner = tokio::spawn(handle(context.clone(), delivery.clone()).in_current_span());
                if let Err(panic) = inner.await {
                    let trouble = Trouble::Other(anyhow::anyhow!("handling panicked: {panic}"));
                    put_off(&context, &delivery, &trouble).await;
                }
                lanes.release(&lane);
                context.wake.inbox.notify_one();
            }
            .instrument(span),
        );
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
        let mut tx = context.db.begin().await?;
        for delivery in &unsorted {
            let lane = match event::lane_of(&delivery.event, &delivery.body) {
                Some((repository, Some(number))) => format!("{repository}/{number}"),
                Some((repository, None)) => repository.to_string(),
                None => NO_LANE.to_owned(),
            };
            db::deliveries::set_lane(&mut tx, delivery.seq, &lane).await?;
        }
        tx.commit().await?;
    }
}

async fn handle(context: Arc<Context>, delivery: Delivery) {
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
    warn!("delivery {} is set aside: {why}", delivery.id);
    let now = context.clock.now();
    let record = db::decisions::Decision {
        delivery: Some(delivery.id.clone()),
        repository: None,
        number: None,
        trigger: None,
        run: None,
        actor: None,
        verdict: "ignored",
        reason: reason.to_owned(),
        detail: why.to_owned(),
    };
    let mut tx = context.db.begin().await?;
    db::deliveries::quarantine(&mut tx, delivery.seq, why, now).await?;
    db::decisions::insert(&mut tx, &record, now).await?;
    tx.commit().await?;
    Ok(())
}

async fn put_off(context: &Context, delivery: &Delivery, trouble: &Trouble) {
    let now = context.clock.now();
    let written = match trouble {
        Trouble::Other(error) if delivery.tries + 1 >= POISON_ATTEMPTS => {
            set_aside(context, delivery, "broken", &format!("{error:#}")).await
        }
        Trouble::Other(error) => {
            error!("delivery {} could not be handled: {error:#}", delivery.id);
            later(context, delivery, retry_time(delivery.tries, now), &format!("{error:#}")).await
        }
        Trouble::GitHub(error) => {
            let at = error.retry_at(u32::try_from(delivery.tries + 1).unwrap_or(u32::MAX), now);
            if at.is_none() && delivery.tries + 1 >= REFUSED_ATTEMPTS {
                set_aside(context, delivery, "github_refuses", &error.to_string()).await
            } else {
                warn!("delivery {} waits for GitHub: {error}", delivery.id);
                later(context, delivery, at.unwrap_or_else(|| retry_time(delivery.tries, now)), &error.to_string())
                    .await
            }
        }
    };
    if let Err(error) = written {
        error!("delivery {} could not be put off: {error:#}", delivery.id);
        tokio::time::sleep(RETRY[0]).await;
    }
}

async fn later(context: &Context, delivery: &Delivery, at: Millis, why: &str) -> Result<()> {
    let mut tx = context.db.begin().await?;
    db::deliveries::retry_at(&mut tx, delivery.seq, at, why).await?;
    tx.commit().await?;
    Ok(())
}

fn retry_time(tries: i64, now: Millis) -> Millis {
    let index = usize::try_from(tries).unwrap_or(usize::MAX).min(RETRY.len() - 1);
    now + RETRY[index].as_millis() as Millis
}
