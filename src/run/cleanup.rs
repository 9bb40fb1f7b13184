//! Removes the files of threads that are over from the runners that answer (B40, B41). Those of a closed issue are brought to the bot
//! before (B81), so that nothing is lost when a workspace goes.

use std::collections::HashSet;

use anyhow::Result;
use tracing::{info, warn};

use super::publish::may_pass;
use super::snapshot;
use super::trouble::Trouble;
use crate::context::Context;
use crate::db;
use crate::db::cleanups::Cleanup;
use crate::db::decisions::{About, Decision};
use crate::model::Millis;
use crate::runner::{Machine, RunnerError};

/// The wait after the first attempt that failed; it doubles up to the longest.
const FIRST_WAIT: Millis = 30_000;
const LONGEST_WAIT: Millis = 3_600_000;
/// Attempts, over a quarter of an hour, after which files go unkept that cannot be read: what a runner that works says of a workspace
/// stays true, but its machine may be short of something for a moment.
const KEEP_ATTEMPTS: i64 = 6;
/// How long files are waited with that could still be kept. Somebody can put it right in this time, and a runner must not fill up for good.
const KEEP_WITHIN: Millis = 24 * 3_600_000;

/// One look at everything that is to go.
pub async fn clean_up(context: &Context) -> Result<()> {
    let due = db::cleanups::due(&mut *context.db.read().await?, context.clock.now()).await?;
    let mut away = HashSet::new();
    for cleanup in due {
        let Some(machine) = context.runners.get(&cleanup.runner) else { continue };
        if away.contains(&cleanup.runner) || context.runners.out_of_service(&cleanup.runner).is_some() {
            continue;
        }
        match remove(context, &cleanup, &machine).await {
            Ok(()) => {}
            Err(error @ Trouble::Runner(RunnerError::Host(_))) => {
                info!("the files of thread {} stay on {} for now: {error}", cleanup.thread, cleanup.runner);
                away.insert(cleanup.runner.clone());
            }
            // The machine answers, so others of its threads are not kept waiting for this one.
            Err(error) => put_off(context, &cleanup, &error.to_string()).await?,
        }
    }
    Ok(())
}

async fn remove(context: &Context, cleanup: &Cleanup, machine: &Machine) -> Result<(), Trouble> {
    let kept = if cleanup.keep { Some(keep(context, cleanup, machine).await?) } else { None };
    // That may have taken minutes, in which the thread may have been taken up again.
    let still = db::cleanups::due(&mut *context.db.read().await?, context.clock.now()).await?;
    if !still.iter().any(|other| (&other.runner, other.thread) == (&cleanup.runner, cleanup.thread)) {
        return Ok(());
    }
    let removed = machine.discard(cleanup.thread).await?;
    let mut tx = context.db.begin().await?;
    db::cleanups::done(&mut tx, cleanup).await?;
    let thread = db::threads::get(&mut tx, cleanup.thread).await?;
    let mut detail = format!(
        "removed from runner {}: {} run folders, {} workspaces",
        cleanup.runner, removed.runs, removed.workspaces
    );
    if let Some(kept) = kept {
        detail = format!("{detail}; {kept}");
    }
    let about = About { runner: Some(cleanup.runner.clone()), ..About::default() };
    let record = Decision { about, ..Decision::noted(&thread, "cleaned_up", detail) };
    db::decisions::insert(&mut tx, &record, context.clock.now()).await?;
    tx.commit().await?;
    Ok(())
}

/// Brings to the bot what is only there, and says what that was, or why it is given up.
async fn keep(context: &Context, cleanup: &Cleanup, machine: &Machine) -> Result<String, Trouble> {
    match snapshot::take(context, machine, cleanup.thread).await {
        Ok(taken) => {
            context.wake.reports.notify_one();
            Ok(snapshot::told(&taken))
        }
        Err(error) if is_hopeless(cleanup, &error, context.clock.now()) => {
            warn!("what is left of thread {} on {} is not kept: {error}", cleanup.thread, cleanup.runner);
            Ok(format!("what was left there could not be kept: {error}"))
        }
        Err(error) => Err(error),
    }
}

/// Whether files are removed although they could not be kept. A machine that does not answer is waited for without end: nothing can be
/// removed from it either.
fn is_hopeless(cleanup: &Cleanup, error: &Trouble, now: Millis) -> bool {
    match error {
        Trouble::Runner(RunnerError::Host(_)) => false,
        Trouble::Runner(_) | Trouble::Git(_) if !may_pass(error) => cleanup.tries + 1 >= KEEP_ATTEMPTS,
        _ => cleanup.failing_since.is_some_and(|since| now - since >= KEEP_WITHIN),
    }
}

/// Tries again later, and less and less often; each cause is told once.
async fn put_off(context: &Context, cleanup: &Cleanup, error: &str) -> Result<()> {
    let what = format!("threads/{} stays on {} for now", cleanup.thread, cleanup.runner);
    match cleanup.error.as_deref() == Some(error) {
        true => info!("{what}: {error}"),
        false => warn!("{what}: {error}"),
    }
    let now = context.clock.now();
    let mut tx = context.db.begin().await?;
    db::cleanups::put_off(&mut tx, cleanup, error, (now, now + wait_after(cleanup.tries))).await?;
    tx.commit().await?;
    Ok(())
}

/// How long to wait after one more attempt that failed.
fn wait_after(tries: i64) -> Millis {
    FIRST_WAIT.saturating_mul(1 << tries.clamp(0, 20)).min(LONGEST_WAIT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::GitError;
    use crate::model::ThreadId;
    use crate::runner::HostError;

    #[test]
    fn attempts_become_rare() {
        let waits: Vec<Millis> = (0..9).map(|tries| wait_after(tries) / 1000).collect();
        assert_eq!(waits, [30, 60, 120, 240, 480, 960, 1920, 3600, 3600]);
        assert_eq!(wait_after(i64::MAX), LONGEST_WAIT);
    }

    #[test]
    fn what_cannot_be_kept_goes_when_it_is_certain() {
        let failed = |text: &str| RunnerError::Failed(text.to_owned());
        let damaged = || Trouble::Runner(failed("the work could not be read"));
        let unsound = || Trouble::Git(GitError::Broken { what: "x".to_owned(), text: "y".to_owned() });
        let full = || Trouble::Runner(RunnerError::Disk("full".to_owned()));
        let busy = || Trouble::Runner(RunnerError::Busy("the agent still works".to_owned()));
        let away = || Trouble::Runner(HostError::Unreachable("no route".to_owned()).into());
        let broken = || Trouble::Bot(anyhow::anyhow!("the database is locked"));
        let month = 30 * KEEP_WITHIN;
        for (error, tries, failing_for, hopeless) in [
            (damaged(), 0, None, false),
            (damaged(), KEEP_ATTEMPTS - 2, Some(1), false),
            (damaged(), KEEP_ATTEMPTS - 1, Some(1), true),
            (unsound(), KEEP_ATTEMPTS - 1, Some(1), true),
            (full(), 0, None, false),
            (full(), 40, Some(KEEP_WITHIN - 1), false),
            (full(), 40, Some(KEEP_WITHIN), true),
            (busy(), 40, Some(KEEP_WITHIN - 1), false),
            (broken(), 40, Some(KEEP_WITHIN), true),
            (away(), 1000, Some(month), false),
        ] {
            let failing_since = failing_for.map(|time| month - time);
            let (runner, thread) = ("build-1".to_owned(), ThreadId::new());
            let cleanup = Cleanup { runner, thread, keep: true, tries, failing_since, error: None };
            assert_eq!(is_hopeless(&cleanup, &error, month), hopeless, "{error} {tries} {failing_for:?}");
        }
    }
}
