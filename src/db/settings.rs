//! Small facts about this instance that must survive a restart.

use anyhow::Context as _;
use sqlx::Row as _;

use super::Conn;
use crate::model::Millis;

/// The value under `key`.
pub async fn get(conn: &mut Conn, key: &str) -> sqlx::Result<Option<String>> {
    let row = sqlx::query("select value from setting where key = $1").bind(key).fetch_optional(conn).await?;
    row.map(|row| row.try_get(0)).transpose()
}

/// Sets the value under `key`.
pub async fn set(conn: &mut Conn, key: &str, value: &str) -> sqlx::Result<()> {
    sqlx::query(
        "insert into setting (key, value) values ($1, $2) on conflict (key) do update set value = excluded.value",
    )
    .bind(key)
    .bind(value)
    .execute(conn)
    .await?;
    Ok(())
}

/// The random name below which this instance keeps everything on its runners; made with the database.
pub async fn instance(conn: &mut Conn) -> sqlx::Result<String> {
    if let Some(instance) = get(conn, "instance").await? {
        return Ok(instance);
    }
    let instance = ulid::Ulid::new().to_string().to_lowercase();
    set(conn, "instance", &instance).await?;
    Ok(instance)
}

/// Notes that this instance began, unless it began before.
pub async fn begin(conn: &mut Conn, now: Millis) -> sqlx::Result<()> {
    match get(conn, "began_at").await? {
        Some(_) => Ok(()),
        None => set(conn, "began_at", &now.to_string()).await,
    }
}

/// When this instance began, by its own clock.
pub async fn began_at(conn: &mut Conn) -> anyhow::Result<Millis> {
    let began = get(conn, "began_at").await?.context("the instance never began")?;
    Ok(began.parse()?)
}

/// Counts the starts of the bot; the number fences off what an earlier start may still be doing.
pub async fn next_epoch(conn: &mut Conn) -> anyhow::Result<u64> {
    let epoch = get(conn, "epoch").await?.map(|text| text.parse::<u64>()).transpose()?.unwrap_or(0) + 1;
    set(conn, "epoch", &epoch.to_string()).await?;
    Ok(epoch)
}
