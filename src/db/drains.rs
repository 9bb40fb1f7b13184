//! Runners that get no new runs.

use sqlx::Row as _;

use super::Conn;
use crate::model::Millis;

/// The drained runners with the time since when, by name.
pub async fn all(conn: &mut Conn) -> sqlx::Result<Vec<(String, Millis)>> {
    let rows = sqlx::query("select runner, since from drain order by runner").fetch_all(conn).await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// Drains a runner; one that is drained already is left as it is.
pub async fn add(conn: &mut Conn, runner: &str, now: Millis) -> sqlx::Result<()> {
    sqlx::query("insert into drain (runner, since) values ($1, $2) on conflict (runner) do nothing")
        .bind(runner)
        .bind(now)
        .execute(conn)
        .await?;
    Ok(())
}

/// Lets a runner take runs again; false if it was not drained.
pub async fn remove(conn: &mut Conn, runner: &str) -> sqlx::Result<bool> {
    let done = sqlx::query("delete from drain where runner = $1").bind(runner).execute(conn).await?;
    Ok(done.rows_affected() == 1)
}
