//! Finds the webhooks that never came: GitHub keeps a log of what it sent and never sends again by itself.
//!
//! Whatever is in the log and not in our inbox is pulled, whatever GitHub thinks became of it: a proxy may have answered for us (F13).
//! Source: docs.github.com, "Handling failed webhook deliveries".

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use sha2::{Digest as _, Sha256};
use tracing::{info, warn};

use crate::context::Context;
use crate::db;
use crate::db::deliveries::{NewDelivery, Source};
use crate::github::{ApiError, app};
use crate::model::Millis;

/// Time between two sweeps.
const EVERY: Duration = Duration::from_secs(60);
/// How far behind the last sweep the next one begins: deliveries appear in the log a little late.
const OVERLAP: Millis = 10 * 60_000;
/// GitHub keeps its log this long at most.
const LOG_KEPT: Millis = 7 * 24 * 3_600_000;
/// Pages read in one sweep; the rest is found by the next one.
const PAGES: usize = 50;
const WATERMARK: &str = "swept_until";

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
    let now = context.clock.now();
    let stored = db::settings::get(&mut *context.db.read().await?, WATERMARK).await?;
    let Some(since) = stored.map(|text| text.parse::<Millis>()).transpose()? else {
        // What was sent before this instance existed was meant for nobody.
        return set_watermark(context, now).await.map(|()| 0);
    };
    let since = (since - OVERLAP).max(now - LOG_KEPT);
    let mut missing = Vec::new();
    let mut cursor = None;
    for _ in 0..PAGES {
        let page = app::deliveries(&context.github, cursor.as_deref()).await?;
        let old = page.deliveries.iter().any(|delivery| delivery.delivered_at < since);
        for delivery in page.deliveries.into_iter().filter(|delivery| delivery.delivered_at >= since) {
            if db::deliveries::seq_of(&mut *context.db.read().await?, &delivery.guid).await?.is_none() {
                missing.push(delivery);
            }
        }
        cursor = page.next;
        if old || cursor.is_none() {
            break;
        }
    }
    // GitHub lists the newest first; they are taken in the order in which things happened.
    missing.reverse();
    let mut found = 0;
    for delivery in &missing {
        found += pull(context, delivery).await?;
    }
    set_watermark(context, now).await?;
    if found > 0 {
        info!("{found} deliveries were missing and are pulled from GitHub's log");
    }
    Ok(found)
}

async fn pull(context: &Context, listed: &app::DeliverySummary) -> Result<u64> {
    let delivery = match app::delivery(&context.github, listed.id).await {
        Ok(delivery) => delivery,
        Err(error) if error.is_not_found() => return Ok(0),
        // One that GitHub cannot show must not keep the others from us.
        Err(error @ (ApiError::Refused { .. } | ApiError::Unreadable { .. })) => {
            warn!("delivery {} is missing and cannot be pulled: {error}", listed.guid);
            return Ok(0);
        }
        Err(error) => return Err(error.into()),
    };
    let Some(payload) = delivery.request.payload else { return Ok(0) };
    let body = payload.get().as_bytes().to_vec();
    let delivery = NewDelivery {
        id: listed.guid.clone(),
        event: listed.event.clone(),
        sha256: hex::encode(Sha256::digest(&body)),
        body: bytes::Bytes::from(body).into(),
        source: Source::Sweep,
        received_at: context.clock.now(),
    };
    let mut tx = context.db.begin().await?;
    let new = db::deliveries::insert_all(&mut tx, &[delivery]).await?;
    tx.commit().await?;
    Ok(new)
}

async fn set_watermark(context: &Context, now: Millis) -> Result<()> {
    let mut tx = context.db.begin().await?;
    db::settings::set(&mut tx, WATERMARK, &now.to_string()).await?;
    tx.commit().await?;
    Ok(())
}
