//! Deliveries: the inbox that is on disk before GitHub is answered.

use sqlx::Row as _;

pub use super::packed::Packed;
use super::packed::unpack;
use super::{Conn, Row};
use crate::model::Millis;

/// A delivery about to be stored.
#[derive(Clone, Debug)]
pub struct NewDelivery {
    /// GitHub's id of the delivery; the same for a redelivery.
    pub id: String,
    /// The event's name, as the header says; unsigned, so it is checked against the body's shape later.
    pub event: String,
    /// The exact bytes, packed.
    pub body: Packed,
    /// SHA-256 of the bytes, hexadecimal; checked when they are read again.
    pub sha256: String,
    /// Whether it came to the webhook or was pulled by the sweep.
    pub source: Source,
    /// When it came.
    pub received_at: Millis,
}

/// How a delivery reached us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// GitHub sent it.
    Webhook,
    /// We fetched it from GitHub's log.
    Sweep,
    /// GitHub did not: somebody asked on the bot's own machine.
    ByHand,
}

/// The oldest new delivery of a lane.
#[derive(Clone, Debug)]
pub struct Head {
    /// Order of arrival.
    pub seq: i64,
    /// Its lane.
    pub lane: String,
    /// Attempts in a row in which the bot broke or died.
    pub broken: i64,
}

/// A delivery that waits to be handled.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Order of arrival.
    pub seq: i64,
    /// GitHub's id.
    pub id: String,
    /// The event's name.
    pub event: String,
    /// The exact bytes.
    pub body: Vec<u8>,
    /// SHA-256 of the bytes as they were stored.
    pub sha256: String,
    /// When it came.
    pub received_at: Millis,
    /// Earlier attempts to handle it.
    pub tries: i64,
    /// Attempts in a row in which the bot broke or died.
    pub broken: i64,
}

/// Stores a group of deliveries; those whose id is there already are left alone. Returns how many were new.
///
/// The group travels as one list and one blob of all bodies, so that it is one short statement whatever its size: with a row of
/// parameters for each delivery, every size would be a text of its own to prepare, and a group of several texts a trip of its own
/// to the database's thread for each.
pub async fn insert_all(conn: &mut Conn, deliveries: &[NewDelivery]) -> sqlx::Result<u64> {
    if deliveries.is_empty() {
        return Ok(0);
    }
    let mut bodies = Vec::with_capacity(deliveries.iter().map(|delivery| delivery.body.stored_len()).sum());
    let list: Vec<_> = deliveries
        .iter()
        .map(|delivery| {
            // SQL counts from one.
            let start = bodies.len() + 1;
            bodies.extend_from_slice(&delivery.body.bytes);
            let source = match delivery.source {
                // What was asked for by hand has a column of its own.
                Source::Webhook | Source::ByHand => "webhook",
                Source::Sweep => "sweep",
            };
            let NewDelivery { id, event, body, sha256, received_at, .. } = delivery;
            (id, event, start, body.stored_len(), sha256, source, received_at, body.coding.as_str())
        })
        .collect();
    // `where true` tells SQLite's parser that `on` does not belong to a join.
    let stored = sqlx::query(
        "insert into delivery (id, event, body, sha256, source, received_at, coding) \
         select value ->> 0, value ->> 1, substr($2, value ->> 2, value ->> 3), value ->> 4, value ->> 5, value ->> 6, value ->> 7 \
         from json_each($1) where true on conflict (id) do nothing",
    )
    .bind(super::to_json(&list)?)
    .bind(bodies)
    .execute(conn)
    .await?;
    Ok(stored.rows_affected())
}

/// Stores what was asked for on the bot's own machine; answers its number.
pub async fn insert_by_hand(conn: &mut Conn, request: &NewDelivery) -> sqlx::Result<i64> {
    insert_all(&mut *conn, std::slice::from_ref(request)).await?;
    sqlx::query_scalar("update delivery set by_hand = 1 where id = $1 and status = 'new' returning seq")
        .bind(&request.id)
        .fetch_one(conn)
        .await
}

/// New deliveries whose lane is not known yet, oldest first.
pub async fn without_lane(conn: &mut Conn, limit: i64) -> sqlx::Result<Vec<i64>> {
    sqlx::query_scalar("select seq from delivery where status = 'new' and lane is null order by seq limit $1")
        .bind(limit)
        .fetch_all(conn)
        .await
}

/// A new delivery with its body, if its time has come.
pub async fn get_new(conn: &mut Conn, seq: i64, now: Millis) -> sqlx::Result<Option<Delivery>> {
    let row = sqlx::query("select * from delivery where seq = $1 and status = 'new' and not_before <= $2")
        .bind(seq)
        .bind(now)
        .fetch_optional(conn)
        .await?;
    row.map(|row| read(&row)).transpose()
}

/// The number of the newest delivery.
pub async fn newest(conn: &mut Conn) -> sqlx::Result<i64> {
    sqlx::query_scalar("select coalesce(max(seq), 0) from delivery").fetch_one(conn).await
}

/// Puts a delivery into its lane.
pub async fn set_lane(conn: &mut Conn, seq: i64, lane: &str) -> sqlx::Result<()> {
    sqlx::query("update delivery set lane = $2 where seq = $1").bind(seq).bind(lane).execute(conn).await?;
    Ok(())
}

/// The oldest new delivery of each lane, if its time has come.
pub async fn heads(conn: &mut Conn, now: Millis, limit: i64) -> sqlx::Result<Vec<Head>> {
    let rows = sqlx::query(
        "select seq, lane, broken from delivery where seq in \
         (select min(seq) from delivery where status = 'new' and lane is not null group by lane) \
         and not_before <= $1 order by seq limit $2",
    )
    .bind(now)
    .bind(limit)
    .fetch_all(conn)
    .await?;
    let head = |row: &Row| Ok(Head { seq: row.try_get(0)?, lane: row.try_get(1)?, broken: row.try_get(2)? });
    rows.iter().map(head).collect()
}

/// Counts an attempt as one in which the bot died, until [`handled`], [`retry_at`] or [`quarantine`] say how it ended.
pub async fn begin(conn: &mut Conn, seq: i64) -> sqlx::Result<()> {
    sqlx::query("update delivery set broken = broken + 1 where seq = $1").bind(seq).execute(conn).await?;
    Ok(())
}

/// Marks a new delivery as handled; part of the transaction that writes what came of it.
///
/// # Errors
/// `RowNotFound` for one that is not new any more: what came of it is written already.
pub async fn handled(conn: &mut Conn, seq: i64, now: Millis) -> sqlx::Result<()> {
    let changed = sqlx::query(
        "update delivery set status = 'handled', handled_at = $2, error = null where seq = $1 and status = 'new'",
    )
    .bind(seq)
    .bind(now)
    .execute(conn)
    .await?;
    one(changed.rows_affected())
}

/// Keeps a new delivery for another attempt not before `not_before`; so many in a row were `broken`.
pub async fn retry_at(conn: &mut Conn, seq: i64, not_before: Millis, broken: i64, error: &str) -> sqlx::Result<()> {
    sqlx::query(
        "update delivery set tries = tries + 1, broken = $4, not_before = $2, error = $3 where seq = $1 and status = 'new'",
    )
    .bind(seq)
    .bind(not_before)
    .bind(error)
    .bind(broken)
    .execute(conn)
    .await?;
    Ok(())
}

/// Sets a new delivery aside that cannot be handled, with the reason; it blocks nobody behind it.
///
/// # Errors
/// As [`handled`].
pub async fn quarantine(conn: &mut Conn, seq: i64, error: &str, now: Millis) -> sqlx::Result<()> {
    let changed = sqlx::query(
        "update delivery set status = 'quarantined', handled_at = $3, error = $2 where seq = $1 and status = 'new'",
    )
    .bind(seq)
    .bind(error)
    .bind(now)
    .execute(conn)
    .await?;
    one(changed.rows_affected())
}

/// Empties the bodies of deliveries that were handled before a time, so many of those that came after `seq`; answers the last of them.
///
/// Id and checksum stay, so that a redelivery is known. Only new deliveries are ever read, so nobody takes an empty body for damage.
pub async fn forget_bodies(conn: &mut Conn, before: Millis, seq: i64, limit: i64) -> sqlx::Result<Option<i64>> {
    let emptied: Vec<i64> = sqlx::query_scalar(
        "update delivery set body = $4, coding = 'plain' where seq in (select seq from delivery \
         where seq > $2 and status = 'handled' and handled_at < $1 and length(body) > 0 order by seq limit $3) returning seq",
    )
    .bind(before)
    .bind(seq)
    .bind(limit)
    .bind(Vec::<u8>::new())
    .fetch_all(conn)
    .await?;
    Ok(emptied.into_iter().max())
}

fn one(changed: u64) -> sqlx::Result<()> {
    if changed == 1 { Ok(()) } else { Err(sqlx::Error::RowNotFound) }
}

/// The number of the delivery with this id of GitHub's, if it is in the inbox, whatever became of it.
pub async fn seq_of(conn: &mut Conn, id: &str) -> sqlx::Result<Option<i64>> {
    sqlx::query_scalar("select seq from delivery where id = $1").bind(id).fetch_optional(conn).await
}

/// The checksum of the delivery with this id, if there is one.
pub async fn sha256_of(conn: &mut Conn, id: &str) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar("select sha256 from delivery where id = $1").bind(id).fetch_optional(conn).await
}

/// How many deliveries wait, and the time at which the oldest of them came.
pub async fn backlog(conn: &mut Conn) -> sqlx::Result<(i64, Option<Millis>)> {
    let row = sqlx::query("select count(*) as waiting, min(received_at) as oldest from delivery where status = 'new'")
        .fetch_one(conn)
        .await?;
    Ok((row.try_get("waiting")?, row.try_get("oldest")?))
}

/// How the newest deliveries reached us.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Ways {
    /// How many GitHub sent to the webhook.
    pub sent: i64,
    /// When the last of those came.
    pub last_sent: Option<Millis>,
    /// How many had to be fetched from GitHub's log.
    pub fetched: i64,
    /// When the last of those should have come.
    pub last_fetched: Option<Millis>,
}

/// How the newest `limit` deliveries reached us; those that came before a time are not counted. From a narrow index, which those that
/// wait to be handled are not in.
pub async fn ways(conn: &mut Conn, since: Millis, limit: i64) -> sqlx::Result<Ways> {
    let row = sqlx::query(
        "select count(case when source = 'webhook' and received_at >= $1 then 1 end) as sent, \
         max(case when source = 'webhook' then received_at end) as last_sent, \
         count(case when source = 'sweep' and received_at >= $1 then 1 end) as fetched, \
         max(case when source = 'sweep' then received_at end) as last_fetched \
         from (select source, received_at from delivery where status <> 'new' and by_hand = 0 order by received_at desc limit $2) as newest",
    )
    .bind(since)
    .bind(limit)
    .fetch_one(conn)
    .await?;
    Ok(Ways {
        sent: row.try_get("sent")?,
        last_sent: row.try_get("last_sent")?,
        fetched: row.try_get("fetched")?,
        last_fetched: row.try_get("last_fetched")?,
    })
}

/// When the earliest delivery that waits for a later attempt is due.
pub async fn next_due(conn: &mut Conn, now: Millis) -> sqlx::Result<Option<Millis>> {
    sqlx::query("select min(not_before) from delivery where status = 'new' and not_before > $1")
        .bind(now)
        .fetch_one(conn)
        .await?
        .try_get(0)
}

fn read(row: &Row) -> sqlx::Result<Delivery> {
    Ok(Delivery {
        seq: row.try_get("seq")?,
        id: row.try_get("id")?,
        event: row.try_get("event")?,
        body: unpack(row.try_get("coding")?, row.try_get("body")?),
        sha256: row.try_get("sha256")?,
        received_at: row.try_get("received_at")?,
        tries: row.try_get("tries")?,
        broken: row.try_get("broken")?,
    })
}
