//! What the bot's mirrors keep of runs: which commit, under which name, and since when (B81).

use sqlx::Row as _;

use super::{Conn, Row, parsed, parsed_or_null};
use crate::model::{Kept, Millis, RepositoryId, RunId, Sha};

/// A commit that a mirror keeps of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Whose.
    pub run: RunId,
    /// What of it.
    pub kept: Kept,
    /// The commit.
    pub sha: Sha,
}

/// A run that is over, as far as its age and use say how long its snapshot stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The run.
    pub run: RunId,
    /// Where its commits lie.
    pub repository: RepositoryId,
    /// What its agent began from.
    pub given: Option<Sha>,
    /// When it was over, or something of it was kept last.
    pub since: Millis,
    /// The next run of an open line begins from it, or a live one may have.
    pub needed: bool,
    /// Its history was discarded.
    pub discarded: bool,
}

/// Notes what a mirror keeps; what it kept there before is replaced.
pub async fn put(conn: &mut Conn, snapshot: &Snapshot, now: Millis) -> sqlx::Result<()> {
    sqlx::query(
        "insert into snapshot (run_id, place, sha, taken_at) values ($1, $2, $3, $4) \
         on conflict (run_id, place) do update set sha = excluded.sha, taken_at = excluded.taken_at",
    )
    .bind(snapshot.run.to_string())
    .bind(snapshot.kept.as_str())
    .bind(snapshot.sha.as_str())
    .bind(now)
    .execute(conn)
    .await?;
    Ok(())
}

/// What is kept of a run, its result first.
pub async fn of_run(conn: &mut Conn, run: RunId) -> sqlx::Result<Vec<Snapshot>> {
    let rows = sqlx::query("select * from snapshot where run_id = $1 order by place desc")
        .bind(run.to_string())
        .fetch_all(conn)
        .await?;
    rows.iter().map(read).collect()
}

/// Every run that is over and looked after.
pub async fn held(conn: &mut Conn) -> sqlx::Result<Vec<Held>> {
    let rows = sqlx::query(
        "select run.id, run.repository_id, run.given_sha, run.discarded, coalesce(run.done_at, run.queued_at) as over_at, \
         (select max(taken_at) from snapshot where snapshot.run_id = run.id) as taken_at, \
         case when run.discarded = 0 and exists (select 1 from line where line.id = run.line_id and line.state = 'open') \
         and (exists (select 1 from run live where live.line_id = run.line_id and live.status <> 'done') \
         or run.fence > 0 and not exists (select 1 from run later where later.line_id = run.line_id and later.fence > 0 \
         and later.discarded = 0 and (later.queued_at > run.queued_at or later.queued_at = run.queued_at and later.id > run.id))) \
         then 1 else 0 end as needed \
         from run where run.status = 'done' and run.unsettled = 0",
    )
    .fetch_all(conn)
    .await?;
    rows.iter()
        .map(|row| {
            let taken_at: Option<Millis> = row.try_get("taken_at")?;
            Ok(Held {
                run: parsed(row, "id")?,
                repository: RepositoryId(row.try_get("repository_id")?),
                given: parsed_or_null(row, "given_sha")?,
                since: row.try_get::<Millis, _>("over_at")?.max(taken_at.unwrap_or(0)),
                needed: row.try_get::<i64, _>("needed")? != 0,
                discarded: row.try_get::<i64, _>("discarded")? != 0,
            })
        })
        .collect()
}

/// Every snapshot.
pub async fn all(conn: &mut Conn) -> sqlx::Result<Vec<Snapshot>> {
    let rows = sqlx::query("select * from snapshot").fetch_all(conn).await?;
    rows.iter().map(read).collect()
}

/// Nothing of a run is kept any more.
pub async fn forget(conn: &mut Conn, run: RunId) -> sqlx::Result<()> {
    sqlx::query("delete from snapshot where run_id = $1").bind(run.to_string()).execute(conn).await?;
    Ok(())
}

/// The mirror of a repository is gone.
pub async fn forget_repository(conn: &mut Conn, repository: RepositoryId) -> sqlx::Result<()> {
    sqlx::query("delete from snapshot where run_id in (select id from run where repository_id = $1)")
        .bind(repository.0)
        .execute(conn)
        .await?;
    Ok(())
}

fn read(row: &Row) -> sqlx::Result<Snapshot> {
    Ok(Snapshot { run: parsed(row, "run_id")?, kept: parsed(row, "place")?, sha: parsed(row, "sha")? })
}
