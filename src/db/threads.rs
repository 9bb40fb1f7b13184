//! Threads: issues, and pull requests that track did not open.

use sqlx::Row as _;

use super::{Conn, Row, json_or_null, parsed};
use crate::model::{Ask, Millis, Number, RepositoryId, ThreadId};

/// One thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thread {
    /// Its identity.
    pub id: ThreadId,
    /// The repository in which it is.
    pub repository: RepositoryId,
    /// Its number there.
    pub number: Number,
}

/// The thread of an issue or pull request, if anything was ever wanted there.
pub async fn find(conn: &mut Conn, repository: RepositoryId, number: Number) -> sqlx::Result<Option<Thread>> {
    let row = sqlx::query("select id, repository_id, number from thread where repository_id = $1 and number = $2")
        .bind(repository.0)
        .bind(number.0)
        .fetch_optional(conn)
        .await?;
    row.map(|row| read(&row)).transpose()
}

/// The thread with this identity.
pub async fn get(conn: &mut Conn, id: ThreadId) -> sqlx::Result<Thread> {
    let row = sqlx::query("select id, repository_id, number from thread where id = $1")
        .bind(id.to_string())
        .fetch_one(conn)
        .await?;
    read(&row)
}

/// The thread of an issue or pull request, made if there is none yet.
pub async fn ensure(conn: &mut Conn, repository: RepositoryId, number: Number, now: Millis) -> sqlx::Result<Thread> {
    if let Some(thread) = find(&mut *conn, repository, number).await? {
        return Ok(thread);
    }
    let thread = Thread { id: ThreadId::new(), repository, number };
    sqlx::query("insert into thread (id, repository_id, number, created_at) values ($1, $2, $3, $4)")
        .bind(thread.id.to_string())
        .bind(repository.0)
        .bind(number.0)
        .bind(now)
        .execute(conn)
        .await?;
    Ok(thread)
}

/// A thread in a list.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The thread.
    pub thread: Thread,
    /// What it is about, as far as anybody asked for something there or wrote it here.
    pub title: Option<String>,
    /// Runs that are kept of it.
    pub runs: i64,
    /// When something was last asked for there.
    pub moved_at: Millis,
    /// Whether it is a private task that is over.
    pub is_closed: bool,
}

impl Listed {
    /// What it is called.
    pub fn title(&self) -> String {
        self.title.clone().unwrap_or_else(|| self.thread.number.named())
    }
}

/// The threads of a repository, those on which something was asked for last before the others.
pub async fn listed(conn: &mut Conn, repository: RepositoryId, limit: i64) -> sqlx::Result<Vec<Listed>> {
    let rows = sqlx::query(
        "select thread.id, thread.repository_id, thread.number, task.title, task.closed_at, \
         (select count(*) from run where run.thread_id = thread.id and run.discarded = 0) as runs, \
         thread.moved_at, (select ask from run where run.thread_id = thread.id order by queued_at desc, id desc limit 1) as ask \
         from (select id, repository_id, number, \
         coalesce((select max(queued_at) from run where run.thread_id = thread.id), created_at) as moved_at \
         from thread where repository_id = $1 order by moved_at desc, id desc limit $2) as thread \
         left join task on task.thread_id = thread.id order by thread.moved_at desc, thread.id desc",
    )
    .bind(repository.0)
    .bind(limit)
    .fetch_all(conn)
    .await?;
    rows.iter()
        .map(|row| {
            let asked = json_or_null::<Ask>(row, "ask")?.map(|ask| ask.title);
            Ok(Listed {
                thread: read(row)?,
                title: row.try_get::<Option<String>, _>("title")?.or(asked),
                runs: row.try_get("runs")?,
                moved_at: row.try_get("moved_at")?,
                is_closed: row.try_get::<Option<i64>, _>("closed_at")?.is_some(),
            })
        })
        .collect()
}

/// The threads whose files a runner keeps: those with a run that is live or still to be looked after, those with an open line unless
/// their files there are to go (B42), and those whose files are to be brought to the bot before they go (B81).
pub async fn needed_on(conn: &mut Conn, runner: &str) -> sqlx::Result<Vec<Thread>> {
    let rows = sqlx::query(
        "select id, repository_id, number from thread \
         where exists (select 1 from run where run.thread_id = thread.id and (run.status <> 'done' or run.unsettled = 1)) \
         or (exists (select 1 from line where line.thread_id = thread.id and line.state = 'open') \
         and not exists (select 1 from cleanup where cleanup.thread_id = thread.id and cleanup.runner = $1)) \
         or exists (select 1 from cleanup where cleanup.thread_id = thread.id and cleanup.runner = $1 and cleanup.keep = 1)",
    )
    .bind(runner)
    .fetch_all(conn)
    .await?;
    rows.iter().map(read).collect()
}

fn read(row: &Row) -> sqlx::Result<Thread> {
    Ok(Thread {
        id: parsed(row, "id")?,
        repository: RepositoryId(row.try_get("repository_id")?),
        number: Number(row.try_get("number")?),
    })
}
