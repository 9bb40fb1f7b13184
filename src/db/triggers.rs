//! Triggers: things that somebody wants. The unique key is what makes one trigger one run (P2).

use std::collections::HashSet;

use sqlx::Row as _;

use super::{Conn, Row, json, parsed_or_null, to_json};
use crate::model::{Account, AccountId, LineId, Millis, Number, Place, RepositoryId, RunId, ThreadId};

/// One trigger as it is stored.
#[derive(Clone, Debug)]
pub struct Trigger {
    /// `comment:<id>:<n>`, `issue:<id>:<n>`, `label:<event id>`, …
    pub key: String,
    /// The delivery in which it was found.
    pub delivery: String,
    /// The repository of the issue or pull request.
    pub repository: RepositoryId,
    /// The number of the issue or pull request on which it was said.
    pub number: Number,
    /// Its thread, where there is one.
    pub thread: Option<ThreadId>,
    /// What reactions to it are put on.
    pub place: Place,
    /// The command's verb, or `label`.
    pub verb: String,
    /// Who wants it.
    pub actor: Account,
    /// The run that consumes it.
    pub run: Option<RunId>,
    /// What a follow-up that waits is to do, in a person's words; `None` for reviews.
    pub request: Option<String>,
    /// When it was decided about.
    pub created_at: Millis,
}

/// Stores a trigger; false if its key is there already, which makes the request a repetition.
pub async fn insert(conn: &mut Conn, trigger: &Trigger) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "insert into trigger (key, delivery_id, repository_id, number, thread_id, place, verb, actor_id, actor_login, run_id, request, created_at) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) on conflict (key) do nothing",
    )
    .bind(&trigger.key)
    .bind(&trigger.delivery)
    .bind(trigger.repository.0)
    .bind(trigger.number.0)
    .bind(trigger.thread.map(|id| id.to_string()))
    .bind(to_json(&trigger.place)?)
    .bind(&trigger.verb)
    .bind(trigger.actor.id.0)
    .bind(&trigger.actor.login)
    .bind(trigger.run.map(|id| id.to_string()))
    .bind(&trigger.request)
    .bind(trigger.created_at)
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Has a trigger wait for the follow-up of a line.
pub async fn set_waiting(conn: &mut Conn, key: &str, line: LineId) -> sqlx::Result<()> {
    sqlx::query("update trigger set waiting = 1, line_id = $2 where key = $1")
        .bind(key)
        .bind(line.to_string())
        .execute(conn)
        .await?;
    Ok(())
}

/// The triggers that wait for a line's follow-up, in the order in which they came.
pub async fn waiting_for(conn: &mut Conn, line: LineId) -> sqlx::Result<Vec<Trigger>> {
    let rows = sqlx::query("select * from trigger where line_id = $1 and waiting = 1 order by created_at, key")
        .bind(line.to_string())
        .fetch_all(conn)
        .await?;
    rows.iter().map(read).collect()
}

/// Who asked for work in a review of this pull request that no run took up, so that what they said is still to be dealt with.
pub async fn put_off(conn: &mut Conn, repository: RepositoryId, pull: Number) -> sqlx::Result<HashSet<AccountId>> {
    let rows = sqlx::query(
        "select distinct actor_id from trigger where repository_id = $1 and number = $2 and run_id is null \
         and verb in ('dispatch', 'followup') and key like 'review:%'",
    )
    .bind(repository.0)
    .bind(pull.0)
    .fetch_all(conn)
    .await?;
    rows.iter().map(|row| row.try_get(0).map(AccountId)).collect()
}

/// Ends the waiting of these triggers: a run consumes them, or a reason was given why none does. Feedback that came since goes on waiting.
pub async fn settle_waiting(
    conn: &mut Conn,
    line: LineId,
    triggers: &[Trigger],
    run: Option<RunId>,
    now: Millis,
) -> sqlx::Result<()> {
    for trigger in triggers {
        sqlx::query("update trigger set waiting = 0, run_id = $2 where key = $1 and waiting = 1")
            .bind(&trigger.key)
            .bind(run.map(|id| id.to_string()))
            .execute(&mut *conn)
            .await?;
    }
    let others = !waiting_for(&mut *conn, line).await?.is_empty();
    super::lines::set_follow_up_at(conn, line, others.then_some(now)).await
}

/// Whether a trigger with this key was seen before.
pub async fn exists(conn: &mut Conn, key: &str) -> sqlx::Result<bool> {
    Ok(sqlx::query("select 1 from trigger where key = $1").bind(key).fetch_optional(conn).await?.is_some())
}

/// The triggers that a run consumes, in the order in which they came.
pub async fn of_run(conn: &mut Conn, run: RunId) -> sqlx::Result<Vec<Trigger>> {
    let rows = sqlx::query("select * from trigger where run_id = $1 order by created_at, key")
        .bind(run.to_string())
        .fetch_all(conn)
        .await?;
    rows.iter().map(read).collect()
}

/// When the words that a run is about reached the bot: what was written or changed later was not meant.
pub async fn asked_at(conn: &mut Conn, run: RunId) -> sqlx::Result<Option<Millis>> {
    sqlx::query(
        "select max(delivery.received_at) from trigger join delivery on delivery.id = trigger.delivery_id where trigger.run_id = $1",
    )
    .bind(run.to_string())
    .fetch_one(conn)
    .await?
    .try_get(0)
}

/// Gives what one run was to answer for to the next attempt of it.
pub async fn hand_over(conn: &mut Conn, from: RunId, to: RunId) -> sqlx::Result<()> {
    sqlx::query("update trigger set run_id = $2 where run_id = $1")
        .bind(from.to_string())
        .bind(to.to_string())
        .execute(conn)
        .await?;
    Ok(())
}

fn read(row: &Row) -> sqlx::Result<Trigger> {
    Ok(Trigger {
        key: row.try_get("key")?,
        delivery: row.try_get("delivery_id")?,
        repository: RepositoryId(row.try_get("repository_id")?),
        number: Number(row.try_get("number")?),
        thread: parsed_or_null(row, "thread_id")?,
        place: json(row, "place")?,
        verb: row.try_get("verb")?,
        actor: Account { id: AccountId(row.try_get("actor_id")?), login: row.try_get("actor_login")? },
        run: parsed_or_null(row, "run_id")?,
        request: row.try_get("request")?,
        created_at: row.try_get("created_at")?,
    })
}
