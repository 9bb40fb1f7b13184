//! Threads: issues, and pull requests that track did not open.

use sqlx::Row as _;

use super::{Conn, Row, parsed};
use crate::model::{Millis, Number, RepositoryId, ThreadId};

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

fn read(row: &Row) -> sqlx::Result<Thread> {
    Ok(Thread {
        id: parsed(row, "id")?,
        repository: RepositoryId(row.try_get("repository_id")?),
        number: Number(row.try_get("number")?),
    })
}
