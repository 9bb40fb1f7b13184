//! Threads whose files are to be removed from runners, as soon as those answer (B41).

use sqlx::Row as _;

use super::{Conn, parsed};
use crate::model::{Millis, ThreadId};

/// Files of one thread on one runner that are to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cleanup {
    /// The runner's name.
    pub runner: String,
    /// Whose files.
    pub thread: ThreadId,
    /// What lies there is brought to the bot first (B81).
    pub keep: bool,
    /// Attempts that failed, the runner answering.
    pub tries: i64,
    /// When the first of them did.
    pub failing_since: Option<Millis>,
    /// Why the last one did.
    pub error: Option<String>,
}

/// Asks for the removal of a thread's files from every runner on which a run of it has been; answers from how many,
/// those included from which it was asked for before and is not done. Whoever asks last says whether they are kept.
pub async fn ask(conn: &mut Conn, thread: ThreadId, keep: bool, now: Millis) -> sqlx::Result<u64> {
    let done = sqlx::query(
        "insert into cleanup (runner, thread_id, asked_at, keep) select distinct runner, thread_id, $2, $3 from run \
         where thread_id = $1 and runner is not null on conflict (runner, thread_id) \
         do update set keep = excluded.keep, not_before = 0",
    )
    .bind(thread.to_string())
    .bind(now)
    .bind(i64::from(keep))
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// What is to go and can: threads with a live run keep their files until it is over.
pub async fn due(conn: &mut Conn, now: Millis) -> sqlx::Result<Vec<Cleanup>> {
    let rows = sqlx::query(
        "select * from cleanup where not_before <= $1 and not exists (select 1 from run where run.thread_id = cleanup.thread_id \
         and (run.status <> 'done' or run.unsettled = 1)) order by asked_at, runner",
    )
    .bind(now)
    .fetch_all(conn)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Cleanup {
                runner: row.try_get("runner")?,
                thread: parsed(row, "thread_id")?,
                keep: row.try_get::<i64, _>("keep")? != 0,
                tries: row.try_get("tries")?,
                failing_since: row.try_get("failing_since")?,
                error: row.try_get("error")?,
            })
        })
        .collect()
}

/// Notes that the files could not be removed, and when the next attempt is.
pub async fn put_off(
    conn: &mut Conn,
    cleanup: &Cleanup,
    error: &str,
    (now, not_before): (Millis, Millis),
) -> sqlx::Result<()> {
    sqlx::query(
        "update cleanup set tries = tries + 1, failing_since = coalesce(failing_since, $3), not_before = $4, error = $5 \
         where runner = $1 and thread_id = $2",
    )
    .bind(&cleanup.runner)
    .bind(cleanup.thread.to_string())
    .bind(now)
    .bind(not_before)
    .bind(error)
    .execute(conn)
    .await?;
    Ok(())
}

/// Takes back what was asked for: the thread is worked on again.
pub async fn withdraw(conn: &mut Conn, thread: ThreadId) -> sqlx::Result<()> {
    sqlx::query("delete from cleanup where thread_id = $1").bind(thread.to_string()).execute(conn).await?;
    Ok(())
}

/// Everything on a runner is gone.
pub async fn forget(conn: &mut Conn, runner: &str) -> sqlx::Result<()> {
    sqlx::query("delete from cleanup where runner = $1").bind(runner).execute(conn).await?;
    Ok(())
}

/// The files are gone.
pub async fn done(conn: &mut Conn, cleanup: &Cleanup) -> sqlx::Result<()> {
    sqlx::query("delete from cleanup where runner = $1 and thread_id = $2")
        .bind(&cleanup.runner)
        .bind(cleanup.thread.to_string())
        .execute(conn)
        .await?;
    Ok(())
}
