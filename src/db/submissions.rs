//! Forms that were sent in, so that a second click, or one more after an error, makes nothing twice.

use sqlx::Row as _;

use super::{Conn, Row};
use crate::model::{Millis, Number, RepositoryId};

/// A form that was sent in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    /// The repository that it is about.
    pub repository: RepositoryId,
    /// Of who sent it and what stood in it.
    pub sha256: String,
    /// What was made of it; `None`: GitHub was asked, and its answer is not known.
    pub number: Option<Number>,
    /// When GitHub was asked.
    pub asked_at: Millis,
}

/// What came of a form with this key.
pub async fn get(conn: &mut Conn, key: &str) -> sqlx::Result<Option<Submission>> {
    let row = sqlx::query("select * from submission where key = $1").bind(key).fetch_optional(conn).await?;
    row.map(|row| read(&row)).transpose()
}

/// Stores what is, or is about to be, made of a form; what was stored under its key is replaced.
pub async fn put(conn: &mut Conn, key: &str, submission: &Submission) -> sqlx::Result<()> {
    sqlx::query(
        "insert into submission (key, repository_id, sha256, number, asked_at) values ($1, $2, $3, $4, $5) \
         on conflict (key) do update set number = excluded.number, asked_at = excluded.asked_at",
    )
    .bind(key)
    .bind(submission.repository.0)
    .bind(&submission.sha256)
    .bind(submission.number.map(|number| number.0))
    .bind(submission.asked_at)
    .execute(conn)
    .await?;
    Ok(())
}

/// Forgets a form of which nothing was made.
pub async fn forget(conn: &mut Conn, key: &str) -> sqlx::Result<()> {
    sqlx::query("delete from submission where key = $1 and number is null").bind(key).execute(conn).await?;
    Ok(())
}

fn read(row: &Row) -> sqlx::Result<Submission> {
    Ok(Submission {
        repository: RepositoryId(row.try_get("repository_id")?),
        sha256: row.try_get("sha256")?,
        number: row.try_get::<Option<i64>, _>("number")?.map(Number),
        asked_at: row.try_get("asked_at")?,
    })
}
