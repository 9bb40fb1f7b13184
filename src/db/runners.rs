//! Runners that were added by `track runner add` or on the page; those of `track.toml` are not stored.

use super::{Conn, json, to_json};
use crate::config::RunnerConfig;
use crate::model::Millis;

/// Every stored runner, by name.
pub async fn all(conn: &mut Conn) -> sqlx::Result<Vec<RunnerConfig>> {
    let rows = sqlx::query("select config from runner order by name").fetch_all(conn).await?;
    rows.iter().map(|row| json(row, "config")).collect()
}

/// Stores a new runner; a unique violation says that the name is taken.
pub async fn add(conn: &mut Conn, config: &RunnerConfig, now: Millis) -> sqlx::Result<()> {
    sqlx::query("insert into runner (name, config, added_at) values ($1, $2, $3)")
        .bind(&config.name)
        .bind(to_json(config)?)
        .bind(now)
        .execute(conn)
        .await?;
    Ok(())
}

/// Forgets a runner; false if there is none of that name.
pub async fn remove(conn: &mut Conn, name: &str) -> sqlx::Result<bool> {
    let done = sqlx::query("delete from runner where name = $1").bind(name).execute(conn).await?;
    Ok(done.rows_affected() == 1)
}
