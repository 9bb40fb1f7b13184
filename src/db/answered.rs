//! Feedback that a finished run has dealt with; what is not here is still open (B23).

use std::collections::HashSet;

use sqlx::Row as _;

use super::Conn;
use crate::model::{Millis, RepositoryId, RunId};

/// What feedback is, as far as its ids are sequences of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum What {
    /// A review as a whole: its own text.
    Review,
    /// A comment on lines of the change.
    Comment,
}

impl What {
    fn as_str(self) -> &'static str {
        match self {
            Self::Review => "review",
            Self::Comment => "comment",
        }
    }
}

/// Notes that a run has dealt with a piece of feedback; one that was dealt with before stays as it is.
pub async fn insert(
    conn: &mut Conn,
    repository: RepositoryId,
    (what, remote): (What, i64),
    run: RunId,
    disposition: &str,
    now: Millis,
) -> sqlx::Result<()> {
    sqlx::query(
        "insert into answered (repository_id, kind, remote_id, run_id, disposition, at) values ($1, $2, $3, $4, $5, $6) \
         on conflict (repository_id, kind, remote_id) do nothing",
    )
    .bind(repository.0)
    .bind(what.as_str())
    .bind(remote)
    .bind(run.to_string())
    .bind(disposition)
    .bind(now)
    .execute(conn)
    .await?;
    Ok(())
}

/// What was dealt with in the runs of a line's repository, by GitHub's ids.
pub async fn of_repository(conn: &mut Conn, repository: RepositoryId) -> sqlx::Result<HashSet<(What, i64)>> {
    let rows = sqlx::query("select kind, remote_id from answered where repository_id = $1")
        .bind(repository.0)
        .fetch_all(conn)
        .await?;
    rows.iter()
        .map(|row| {
            let what = if row.try_get::<String, _>("kind")? == "review" { What::Review } else { What::Comment };
            Ok((what, row.try_get("remote_id")?))
        })
        .collect()
}
