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
}

/// Asks for the removal of a thread's files from every runner on which a run of it has been; answers from how many,
/// those included from which it was asked for before and is not done.
pub async fn ask(conn: &mut Conn, thread: ThreadId, now: Millis) -> sqlx::Result<u64> {
    let done = sqlx::query(
        "insert into cleanup (runner, thread_id, asked_at) select distinct runner, thread_id, $2 from run \
         where thread_id = $1 and runner is not null on conflict (runner, thread_id) \
         do update set asked_at = cleanup.asked_at",
    )
    .bind(thread.to_string())
    .bind(now)
    .execute(conn)
    .await?;
    Ok(done.rows_affected())
}

/// What is to go and can: threads with a live run keep their files until it is over.
pub async fn due(conn: &mut Conn) -> sqlx::Result<Vec<Cleanup>> {
    let rows = sqlx::query(
        "select runner, thread_id from cleanup where not exists (select 1 from run where run.thread_id = cleanup.thread_id \
         and (run.status <> 'done' or run.unsettled = 1)) order by asked_at, runner",
    )
    .fetch_all(conn)
    .await?;
    rows.iter().map(|row| Ok(Cleanup { runner: row.try_get("runner")?, thread: parsed(row, "thread_id")? })).collect()
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
