//! Removes what nothing needs any more, from runners and on the bot's side: when somebody asks for it, and each night (B42).

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow};
use futures_util::future::join_all;
use tracing::{error, info, warn};

use super::outdated;
use crate::context::Context;
use crate::db::{self, Db};
use crate::github::app;
use crate::model::Millis;
use crate::runner::{Machine, Removed};

/// Time between two looks at the clock.
const EVERY: Duration = Duration::from_secs(60);
/// The hour of the night, UTC, in which least is asked for.
const NIGHT: Millis = 3 * 3_600_000;
const DAY: Millis = 24 * 3_600_000;
/// How long the body of a handled delivery is kept for people who look into a mishap.
const BODIES_KEPT: Millis = 30 * DAY;
/// How long after the last run the mirror of a repository is kept that GitHub does not show us any more.
const MIRRORS_KEPT: Millis = 30 * DAY;
/// Bodies emptied in one transaction: whoever brings a delivery waits for it.
const BODIES_AT_ONCE: i64 = 500;
const TIDIED_AT: &str = "tidied_at";

/// Works until the bot stops.
pub async fn work(context: Arc<Context>) {
    while !context.stop.is_cancelled() {
        if let Some(Err(error)) = context.stop.run_until_cancelled(look(&context)).await {
            error!("what nobody needs could not be removed: {error:#}");
        }
        tokio::select! {
            () = context.stop.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

/// Tidies everything up if the night has come; answers whether it had.
pub async fn look(context: &Context) -> Result<bool> {
    let now = context.clock.now();
    let last = db::settings::get(&mut *context.db.read().await?, TIDIED_AT).await?;
    let last = last.map(|text| text.parse::<Millis>()).transpose()?;
    let due = last.is_some_and(|last| is_due(last, now));
    // The clock may have been put back; and a new instance has nothing to tidy up.
    if due || last.is_none_or(|last| last > now) {
        // Noted before: what fails tonight is done tomorrow and not again each minute.
        let mut tx = context.db.begin().await?;
        db::settings::set(&mut tx, TIDIED_AT, &now.to_string()).await?;
        tx.commit().await?;
    }
    if due {
        tidy(context, now).await;
    }
    Ok(due)
}

/// Whether a night began between the last time and now.
fn is_due(last: Millis, now: Millis) -> bool {
    last < now - (now - NIGHT).rem_euclid(DAY)
}

async fn tidy(context: &Context, now: Millis) {
    let machines = context.runners.all();
    let in_service = machines.iter().filter(|machine| context.runners.out_of_service(&machine.config().name).is_none());
    join_all(in_service.map(async |machine| match clean(&context.db, machine).await {
        Ok(removed) => info!("runner {} is cleaned: {removed:?}", machine.config().name),
        Err(error) => info!("{error:#}; it is cleaned another night"),
    }))
    .await;
    if let Err(error) = remove_mirrors(context, now - MIRRORS_KEPT).await {
        warn!("mirrors that nobody needs could not be removed: {error:#}");
    }
    if let Err(error) = outdated::remove(context, now).await {
        warn!("what is kept of old and discarded runs could not be removed: {error:#}");
    }
    if let Err(error) = forget_bodies(&context.db, now - BODIES_KEPT).await {
        warn!("bodies of old deliveries could not be removed: {error:#}");
    }
}

/// Removes from a machine what no thread needs, and ends what still runs there for one.
pub async fn clean(db: &Db, machine: &Machine) -> Result<Removed> {
    let name = &machine.config().name;
    // Before it is read what is needed, so that nothing can be asked for while the machine is logged in to.
    machine.warm_up().await.map_err(|error| anyhow!("runner {name} {error}"))?;
    let (needed, newest) = {
        let mut conn = db.read().await?;
        // Before what is needed: a run that is queued in between must not count as one that was known.
        let newest = db::runs::newest(&mut conn).await?;
        (db::threads::needed_on(&mut conn, name).await?, newest)
    };
    let threads: Vec<_> = needed.iter().map(|thread| thread.id).collect();
    let repositories: Vec<_> = needed.iter().map(|thread| thread.repository).collect();
    machine.clean(&threads, &repositories, newest).await.map_err(|error| anyhow!("runner {name} {error}"))
}

/// A mirror spares a long fetch, and a repository that is out of the App's reach may come back, so it goes only when both are long ago.
async fn remove_mirrors(context: &Context, before: Millis) -> Result<()> {
    let at_rest = db::repositories::at_rest_since(&mut *context.db.read().await?, before).await?;
    for repository in at_rest.into_iter().filter(|repository| context.mirrors.has(repository.id)) {
        match app::repository_installation(&context.github, &repository.name).await {
            Err(error) if error.is_not_found() => {
                context.mirrors.remove(repository.id).await?;
                let mut tx = context.db.begin().await?;
                db::snapshots::forget_repository(&mut tx, repository.id).await?;
                tx.commit().await?;
                info!("the mirror of {} is removed: the App is not installed there any more", repository.name);
            }
            Ok(_) | Err(_) => {}
        }
    }
    Ok(())
}

async fn forget_bodies(db: &Db, before: Millis) -> Result<()> {
    let mut last = Some(0);
    while let Some(seq) = last {
        let mut tx = db.begin().await?;
        last = db::deliveries::forget_bodies(&mut tx, before, seq, BODIES_AT_ONCE).await?;
        tx.commit().await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_night_comes_once() {
        let at = |day: i64, hour: i64, minute: i64| day * DAY + hour * 3_600_000 + minute * 60_000;
        for (last, now, due) in [
            (at(5, 12, 0), at(5, 23, 59), false),
            (at(5, 12, 0), at(6, 2, 59), false),
            (at(5, 12, 0), at(6, 3, 0), true),
            (at(5, 2, 59), at(5, 3, 0), true),
            (at(6, 3, 0), at(6, 3, 1), false),
            (at(6, 3, 0), at(7, 3, 0), true),
            // Asleep for days: once.
            (at(5, 12, 0), at(9, 1, 0), true),
            (at(9, 1, 0), at(9, 2, 0), false),
            // The clock was put back.
            (at(9, 1, 0), at(8, 12, 0), false),
        ] {
            assert_eq!(is_due(last, now), due, "{last} {now}");
        }
    }
}
