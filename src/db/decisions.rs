//! Decision records: why something happened, or did not (`/track why`).

use sqlx::Row as _;

use super::threads::Thread;
use super::{Conn, Row, parsed_or_null};
use crate::model::{Millis, Number, RepositoryId, RunId};

/// One decision.
#[derive(Clone, Debug)]
pub struct Decision {
    /// The delivery that asked for it, unless the bot decided by itself.
    pub delivery: Option<String>,
    /// The repository, where the delivery names one.
    pub repository: Option<RepositoryId>,
    /// The issue or pull request.
    pub number: Option<Number>,
    /// The trigger that it is about.
    pub trigger: Option<String>,
    /// The run that it is about.
    pub run: Option<RunId>,
    /// Login of whoever acted.
    pub actor: Option<String>,
    /// `accepted`, `ignored`, `refused` or `noted`.
    pub verdict: &'static str,
    /// A word that names the rule.
    pub reason: String,
    /// A sentence for people.
    pub detail: String,
}

impl Decision {
    /// What the bot did for a thread by itself.
    pub fn noted(thread: &Thread, reason: &str, detail: String) -> Self {
        Self {
            delivery: None,
            repository: Some(thread.repository),
            number: Some(thread.number),
            trigger: None,
            run: None,
            actor: None,
            verdict: "noted",
            reason: reason.to_owned(),
            detail,
        }
    }
}

/// A decision as it is shown.
#[derive(Clone, Debug)]
pub struct Shown {
    /// When it was made.
    pub at: Millis,
    /// Login of whoever acted.
    pub actor: Option<String>,
    /// `accepted`, `ignored`, `refused` or `noted`.
    pub verdict: String,
    /// A word that names the rule.
    pub reason: String,
    /// A sentence for people.
    pub detail: String,
}

/// Appends a decision; nothing changes one later.
pub async fn insert(conn: &mut Conn, decision: &Decision, now: Millis) -> sqlx::Result<()> {
    sqlx::query(
        "insert into decision (id, delivery_id, repository_id, number, trigger_key, run_id, actor, verdict, reason, detail, at) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(crate::model::new_ulid().to_string())
    .bind(&decision.delivery)
    .bind(decision.repository.map(|id| id.0))
    .bind(decision.number.map(|n| n.0))
    .bind(&decision.trigger)
    .bind(decision.run.map(|id| id.to_string()))
    .bind(&decision.actor)
    .bind(decision.verdict)
    .bind(&decision.reason)
    .bind(&decision.detail)
    .bind(now)
    .execute(conn)
    .await?;
    Ok(())
}

/// The newest decisions about an issue or pull request, newest first.
pub async fn newest(conn: &mut Conn, repository: RepositoryId, number: Number, limit: i64) -> sqlx::Result<Vec<Shown>> {
    let rows = sqlx::query(
        "select at, actor, verdict, reason, detail from decision where repository_id = $1 and number = $2 order by at desc, id desc limit $3",
    )
    .bind(repository.0)
    .bind(number.0)
    .bind(limit)
    .fetch_all(conn)
    .await?;
    rows.iter().map(read).collect()
}

/// What was decided about a delivery.
#[derive(Clone, Debug)]
pub struct Decided {
    /// The decision.
    pub shown: Shown,
    /// The run that came of it.
    pub run: Option<RunId>,
}

/// The first decision about a delivery.
pub async fn of_delivery(conn: &mut Conn, delivery: &str) -> sqlx::Result<Option<Decided>> {
    let row = sqlx::query(
        "select at, actor, verdict, reason, detail, run_id from decision where delivery_id = $1 order by id limit 1",
    )
    .bind(delivery)
    .fetch_optional(conn)
    .await?;
    row.map(|row| Ok(Decided { shown: read(&row)?, run: parsed_or_null(&row, "run_id")? })).transpose()
}

/// Reasons for which a delivery is ignored that asked for nothing.
const NOTHING_ASKED: &str = "('not_used', 'no_subject', 'no_command', 'other_label', 'bot')";

/// The newest decisions about what somebody asked for, newest first: what was said by the way is left out.
pub async fn newest_asked(
    conn: &mut Conn,
    repository: RepositoryId,
    number: Number,
    limit: i64,
) -> sqlx::Result<Vec<Shown>> {
    let sql = format!(
        "select at, actor, verdict, reason, detail from decision where repository_id = $1 and number = $2 \
         and not (verdict = 'ignored' and reason in {NOTHING_ASKED}) order by at desc, id desc limit $3"
    );
    let rows =
        sqlx::query(sqlx::AssertSqlSafe(sql)).bind(repository.0).bind(number.0).bind(limit).fetch_all(conn).await?;
    rows.iter().map(read).collect()
}

fn read(row: &Row) -> sqlx::Result<Shown> {
    Ok(Shown {
        at: row.try_get("at")?,
        actor: row.try_get("actor")?,
        verdict: row.try_get("verdict")?,
        reason: row.try_get("reason")?,
        detail: row.try_get("detail")?,
    })
}
