//! Lines of work: a branch, later its pull request.

use sqlx::Row as _;

use super::{Conn, Row, parsed, parsed_or_null};
use crate::model::{LineId, LineState, Millis, Number, RepositoryId, Sha, ThreadId};

/// One line of work of a thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its identity.
    pub id: LineId,
    /// The thread whose work it is.
    pub thread: ThreadId,
    /// The repository of its branch.
    pub repository: RepositoryId,
    /// Its branch, unique in the repository and stored before the first push.
    pub branch: String,
    /// The branch that it goes into, once a run has chosen one.
    pub base_branch: Option<String>,
    /// Number of its pull request; a cache, the branch is the identity.
    pub pull: Option<Number>,
    /// The head that we last pushed.
    pub head: Option<Sha>,
    /// Whether work goes on here.
    pub state: LineState,
    /// When feedback on its pull request is to be acted on.
    pub follow_up_at: Option<Millis>,
    /// Whether somebody turned automatic follow-ups off here.
    pub paused: bool,
    /// The pull request that was merged while the agent worked whose commits came here.
    pub continues: Option<Number>,
}

const COLUMNS: &str = "select id, thread_id, repository_id, branch, base_branch, pull_number, head_sha, state, follow_up_at, paused, continues from line";

/// The line with this identity.
pub async fn get(conn: &mut Conn, id: LineId) -> sqlx::Result<Line> {
    let row = sqlx::query(sqlx::AssertSqlSafe(format!("{COLUMNS} where id = $1")))
        .bind(id.to_string())
        .fetch_one(conn)
        .await?;
    read(&row)
}

/// The line with which a dispatch on this thread goes on.
pub async fn open_of(conn: &mut Conn, thread: ThreadId) -> sqlx::Result<Option<Line>> {
    let row = sqlx::query(sqlx::AssertSqlSafe(format!("{COLUMNS} where thread_id = $1 and state = 'open'")))
        .bind(thread.to_string())
        .fetch_optional(conn)
        .await?;
    row.map(|row| read(&row)).transpose()
}

/// The line whose pull request has this number.
pub async fn by_pull(conn: &mut Conn, repository: RepositoryId, number: Number) -> sqlx::Result<Option<Line>> {
    let row = sqlx::query(sqlx::AssertSqlSafe(format!("{COLUMNS} where repository_id = $1 and pull_number = $2")))
        .bind(repository.0)
        .bind(number.0)
        .fetch_optional(conn)
        .await?;
    row.map(|row| read(&row)).transpose()
}

/// The line that has this branch.
pub async fn by_branch(conn: &mut Conn, repository: RepositoryId, branch: &str) -> sqlx::Result<Option<Line>> {
    let row = sqlx::query(sqlx::AssertSqlSafe(format!("{COLUMNS} where repository_id = $1 and branch = $2")))
        .bind(repository.0)
        .bind(branch)
        .fetch_optional(conn)
        .await?;
    row.map(|row| read(&row)).transpose()
}

/// Records the pull request that somebody opened for a line's branch.
pub async fn set_pull(conn: &mut Conn, id: LineId, base_branch: &str, pull: Number) -> sqlx::Result<()> {
    sqlx::query("update line set base_branch = $2, pull_number = $3 where id = $1")
        .bind(id.to_string())
        .bind(base_branch)
        .bind(pull.0)
        .execute(conn)
        .await?;
    Ok(())
}

/// Opens a new line on a thread; one that was open is superseded.
pub async fn open(
    conn: &mut Conn,
    thread: ThreadId,
    repository: RepositoryId,
    number: Number,
    now: Millis,
) -> sqlx::Result<Line> {
    sqlx::query("update line set state = 'superseded' where thread_id = $1 and state = 'open'")
        .bind(thread.to_string())
        .execute(&mut *conn)
        .await?;
    let id = LineId::new();
    let branch = id.branch(number);
    sqlx::query(
        "insert into line (id, thread_id, repository_id, branch, state, created_at) values ($1, $2, $3, $4, 'open', $5)",
    )
    .bind(id.to_string())
    .bind(thread.to_string())
    .bind(repository.0)
    .bind(&branch)
    .bind(now)
    .execute(conn)
    .await?;
    Ok(Line {
        id,
        thread,
        repository,
        branch,
        base_branch: None,
        pull: None,
        head: None,
        state: LineState::Open,
        follow_up_at: None,
        paused: false,
        continues: None,
    })
}

/// Notes the merged pull request after which a line goes on.
pub async fn set_continues(conn: &mut Conn, id: LineId, pull: Number) -> sqlx::Result<()> {
    sqlx::query("update line set continues = $2 where id = $1").bind(id.to_string()).bind(pull.0).execute(conn).await?;
    Ok(())
}

/// Goes on with a line: another one that was open is superseded.
pub async fn reopen(conn: &mut Conn, line: &Line) -> sqlx::Result<()> {
    sqlx::query("update line set state = 'superseded' where thread_id = $1 and state = 'open' and id <> $2")
        .bind(line.thread.to_string())
        .bind(line.id.to_string())
        .execute(&mut *conn)
        .await?;
    set_state(conn, line.id, LineState::Open).await?;
    Ok(())
}

/// The lines of a thread, oldest first.
pub async fn of_thread(conn: &mut Conn, thread: ThreadId) -> sqlx::Result<Vec<Line>> {
    let sql = format!("{COLUMNS} where thread_id = $1 order by created_at, id");
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(thread.to_string()).fetch_all(conn).await?;
    rows.iter().map(read).collect()
}

/// The newest line of a thread, whatever became of it.
pub async fn newest_of(conn: &mut Conn, thread: ThreadId) -> sqlx::Result<Option<Line>> {
    let row = sqlx::query(sqlx::AssertSqlSafe(format!("{COLUMNS} where thread_id = $1 order by id desc limit 1")))
        .bind(thread.to_string())
        .fetch_optional(conn)
        .await?;
    row.map(|row| read(&row)).transpose()
}

/// Says when feedback on a line's pull request is to be acted on; `None`: there is none that waits.
pub async fn set_follow_up_at(conn: &mut Conn, id: LineId, at: Option<Millis>) -> sqlx::Result<()> {
    sqlx::query("update line set follow_up_at = $2 where id = $1").bind(id.to_string()).bind(at).execute(conn).await?;
    Ok(())
}

/// Turns automatic follow-ups on a line off or on.
pub async fn set_paused(conn: &mut Conn, id: LineId, paused: bool) -> sqlx::Result<()> {
    sqlx::query("update line set paused = $2 where id = $1")
        .bind(id.to_string())
        .bind(i64::from(paused))
        .execute(conn)
        .await?;
    Ok(())
}

/// Feedback on open lines that are paused waits, unless a person asks for a follow-up in so many words.
const ACTED_UPON: &str = "(paused = 0 or state <> 'open' or exists (select 1 from trigger where trigger.line_id = line.id \
                          and trigger.waiting = 1 and trigger.request is not null))";

/// Lines with feedback whose time has come and whose threads have no live work; while one works, feedback waits (B24).
pub async fn with_feedback(conn: &mut Conn, now: Millis) -> sqlx::Result<Vec<Line>> {
    let sql = format!(
        "{COLUMNS} where follow_up_at <= $1 and {ACTED_UPON} and not exists (select 1 from run where run.thread_id = line.thread_id \
         and run.lane = 'work' and run.status <> 'done') order by follow_up_at, id"
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(now).fetch_all(conn).await?;
    rows.iter().map(read).collect()
}

/// When the next feedback that waits for a quiet time is due.
pub async fn next_feedback(conn: &mut Conn, now: Millis) -> sqlx::Result<Option<Millis>> {
    let sql = format!("select min(follow_up_at) from line where follow_up_at > $1 and {ACTED_UPON}");
    sqlx::query(sqlx::AssertSqlSafe(sql)).bind(now).fetch_one(conn).await?.try_get(0)
}

/// The heads that were pushed to open lines of a repository.
pub async fn open_heads(conn: &mut Conn, repository: RepositoryId) -> sqlx::Result<Vec<(LineId, Sha)>> {
    let rows = sqlx::query("select * from line where repository_id = $1 and state = 'open' and head_sha is not null")
        .bind(repository.0)
        .fetch_all(conn)
        .await?;
    rows.iter().map(|row| Ok((parsed(row, "id")?, parsed(row, "head_sha")?))).collect()
}

/// Records what became of a line: base branch, pushed head, pull request.
pub async fn set_published(
    conn: &mut Conn,
    id: LineId,
    base_branch: &str,
    head: &Sha,
    pull: Option<Number>,
) -> sqlx::Result<()> {
    sqlx::query(
        "update line set base_branch = $2, head_sha = $3, pull_number = coalesce($4, pull_number) where id = $1",
    )
    .bind(id.to_string())
    .bind(base_branch)
    .bind(head.as_str())
    .bind(pull.map(|n| n.0))
    .execute(conn)
    .await?;
    Ok(())
}

/// Ends a line whose pull request was merged or closed, or opens it again; true if the state changed.
pub async fn set_state(conn: &mut Conn, id: LineId, state: LineState) -> sqlx::Result<bool> {
    let done = sqlx::query("update line set state = $2 where id = $1 and state <> $2")
        .bind(id.to_string())
        .bind(state.to_string())
        .execute(conn)
        .await?;
    Ok(done.rows_affected() == 1)
}

fn read(row: &Row) -> sqlx::Result<Line> {
    Ok(Line {
        id: parsed(row, "id")?,
        thread: parsed(row, "thread_id")?,
        repository: RepositoryId(row.try_get("repository_id")?),
        branch: row.try_get("branch")?,
        base_branch: row.try_get("base_branch")?,
        pull: row.try_get::<Option<i64>, _>("pull_number")?.map(Number),
        head: parsed_or_null(row, "head_sha")?,
        state: parsed(row, "state")?,
        follow_up_at: row.try_get("follow_up_at")?,
        paused: row.try_get::<i64, _>("paused")? == 1,
        continues: row.try_get::<Option<i64>, _>("continues")?.map(Number),
    })
}
