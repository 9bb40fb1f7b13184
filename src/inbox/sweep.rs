//! Finds the webhooks that never came: GitHub keeps a log of what it sent and never sends again by itself.
//!
//! Whatever is in the log and not in our inbox is pulled, whatever GitHub thinks became of it: a proxy may have answered for us (F13).
//! Times in the log are GitHub's; so are the ones that say how far it was swept, for our clock may be wrong.
//! Source: docs.github.com, "Handling failed webhook deliveries".

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tracing::{info, warn};

use super::{Trouble, write_aside};
use crate::context::Context;
use crate::db;
use crate::db::deliveries::{NewDelivery, Source};
use crate::github::{ApiError, app};
use crate::model::Millis;

/// Time between two sweeps.
const EVERY: Duration = Duration::from_secs(60);
/// How far behind the last sweep the next one begins: deliveries appear in the log a little late.
const OVERLAP: Millis = 10 * 60_000;
/// What the difference between GitHub's clock and ours may be off by: its answers tell whole seconds.
const ROUNDING: Millis = 2_000;
/// GitHub keeps its log this long at most.
const LOG_KEPT: Millis = 7 * 24 * 3_600_000;
/// Pages read in one sweep; the next one goes on where it stopped.
const PAGES: usize = 50;
/// Deliveries that GitHub may fail to show in one sweep before it is GitHub that fails.
const FAILURES: usize = 10;
const WATERMARK: &str = "swept_until";
const WALK: &str = "sweep_walk";

/// A way through the log, from the newest to what an earlier one saw.
#[derive(Serialize, Deserialize)]
struct Walk {
    /// What was sent before is known.
    since: Millis,
    /// What was sent after is for the next one.
    began: Millis,
    /// Whether something on the way could not be pulled.
    failed: bool,
    /// Where a sweep stopped.
    cursor: Option<String>,
}

/// Works until the bot stops; the first sweep is at once.
pub async fn work(context: Arc<Context>) {
    while !context.stop.is_cancelled() {
        match sweep(&context).await {
            Ok(0) => {}
            Ok(found) => {
                metrics::counter!("track_deliveries_total", "result" => "swept").increment(found);
                context.wake.inbox.notify_one();
            }
            Err(error) => warn!("GitHub's log of deliveries could not be swept: {error:#}"),
        }
        tokio::select! {
            () = context.stop.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

/// One sweep; answers how many deliveries were missing.
pub async fn sweep(context: &Context) -> Result<u64> {
    let (began, stored, walk) = {
        let mut conn = context.db.read().await?;
        let began = db::settings::began_at(&mut conn).await?;
        (began, db::settings::get(&mut conn, WATERMARK).await?, db::settings::get(&mut conn, WALK).await?)
    };
    let stored = stored.map(|text| text.parse::<Millis>()).transpose()?;
    let walk: Option<Walk> = walk.as_deref().map(serde_json::from_str).transpose()?.flatten();
    let mut page = match app::deliveries(&context.github, walk.as_ref().and_then(|walk| walk.cursor.as_deref())).await {
        Ok(page) => page,
        Err(error) => {
            if walk.is_some() && error.retry_at(1, 0).is_none() {
                // It leads nowhere any more: begin again at the newest.
                write(context, None, None).await?;
            }
            return Err(error.into());
        }
    };
    // GitHub's answer tells what time it is there.
    let now = context.github.github_now();
    let mut walk = walk.unwrap_or_else(|| {
        // What was sent before this instance existed was meant for nobody.
        let since = stored.map_or(began + context.github.skew() - ROUNDING, |until| until - OVERLAP);
        Walk { since: since.max(now - LOG_KEPT), began: now, failed: false, cursor: None }
    });
    let mut missing = Vec::new();
    for pages in 1.. {
        let old = page.deliveries.iter().any(|delivery| delivery.delivered_at < walk.since);
        for delivery in page.deliveries.into_iter().filter(|delivery| delivery.delivered_at >= walk.since) {
            if db::deliveries::seq_of(&mut *context.db.read().await?, &delivery.guid).await?.is_none() {
                missing.push(delivery);
            }
        }
        walk.cursor = page.next.filter(|_| !old);
        match &walk.cursor {
            Some(cursor) if pages < PAGES => page = app::deliveries(&context.github, Some(cursor)).await?,
            _ => break,
        }
    }
    // GitHub lists the newest first; they are taken in the order in which things happened.
    missing.reverse();
    let (mut found, mut failures) = (0, 0);
    for delivery in &missing {
        match pull(context, delivery).await {
            Ok(new) => found += new,
            // One that GitHub cannot show must not keep the others from us; it is tried again by the next sweep.
            Err(Trouble::GitHub(error @ ApiError::Unavailable { .. })) if failures < FAILURES => {
                warn!("delivery {} is missing and cannot be pulled: {error}", delivery.guid);
                failures += 1;
            }
            Err(Trouble::GitHub(error)) => return Err(error.into()),
            Err(Trouble::Other(error)) => return Err(error),
        }
    }
    walk.failed |= failures > 0;
    match walk.cursor {
        Some(_) => write(context, Some(&walk), None).await?,
        None => write(context, None, (!walk.failed).then_some(walk.began)).await?,
    }
    if found > 0 {
        info!("{found} deliveries were missing and are pulled from GitHub's log");
    }
    Ok(found)
}

async fn pull(context: &Context, listed: &app::DeliverySummary) -> Result<u64, Trouble> {
    let payload = match app::delivery(&context.github, listed.id).await {
        Ok(delivery) => delivery.request.payload,
        Err(error) if error.is_not_found() => None,
        // One that GitHub cannot show must not keep the others from us.
        Err(error @ (ApiError::Refused { .. } | ApiError::Unreadable { .. })) => {
            warn!("delivery {} is missing and cannot be pulled: {error}", listed.guid);
            return Ok(0);
        }
        Err(error) => return Err(error.into()),
    };
    let now = context.clock.now();
    let body = payload.as_ref().map_or("null", |payload| payload.get());
    let delivery = NewDelivery {
        id: listed.guid.clone(),
        event: listed.event.clone(),
        sha256: hex::encode(Sha256::digest(body)),
        body: Bytes::copy_from_slice(body.as_bytes()).into(),
        source: Source::Sweep,
        // When it would have come: what was said after that is not what it is about.
        received_at: (listed.delivered_at - context.github.skew()).min(now),
    };
    let mut tx = context.db.begin().await?;
    let new = db::deliveries::insert_all(&mut tx, &[delivery]).await?;
    if payload.is_none() && new > 0 {
        let seq = db::deliveries::seq_of(&mut tx, &listed.guid).await?.context("it was stored")?;
        let action = listed.action.as_deref().map(|action| format!(" ({action})")).unwrap_or_default();
        let why = format!(
            "the webhook {}{action} never came, and GitHub does not have its content any more: whoever asked has to ask again",
            listed.event
        );
        write_aside(&mut tx, (seq, &listed.guid), listed.repository_id, ("no_payload", &why), now).await?;
    }
    tx.commit().await.map_err(anyhow::Error::from)?;
    Ok(if payload.is_some() { new } else { 0 })
}

/// Notes where a walk stopped, or that none is on its way, and how far the log was swept if that changed.
async fn write(context: &Context, walk: Option<&Walk>, swept_until: Option<Millis>) -> Result<()> {
    let mut tx = context.db.begin().await?;
    db::settings::set(&mut tx, WALK, &serde_json::to_string(&walk)?).await?;
    if let Some(until) = swept_until {
        db::settings::set(&mut tx, WATERMARK, &until.to_string()).await?;
    }
    tx.commit().await?;
    Ok(())
}
