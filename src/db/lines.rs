//! Lines of work: a branch, later its pull request.

use std::fmt;
use std::str::FromStr;

use sqlx::Row as _;

use super::{Conn, Row, parsed, parsed_or_null};
use crate::model::{LineId, Millis, Number, RepositoryId, Sha, ThreadId};

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
}

/// Where a line is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineState {
    /// The next dispatch goes on with it.
    Open,
    /// A fresh dispatch opened another one.
    Superseded,
    /// Its pull request was merged.
    Merged,
    /// Its pull request was closed.
    Closed,
}

impl LineState {
    const WORDS: [(LineState, &'static str); 4] = [
        (LineState::Open, "open"),
        (LineState::Superseded, "superseded"),
        (LineState::Merged, "merged"),
        (LineState::Closed, "closed"),
    ];
}

impl fmt::Display for LineState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = Self::WORDS.iter().find(|(state, _)| state == self).map_or("", |(_, word)| word);
        f.write_str(word)
    }
}

/// A stored state that this version does not know.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no state of a line")]
pub struct UnknownLineState(String);

impl FromStr for LineState {
    type Err = UnknownLineState;

    fn from_str(text: &str) -> Result<Self, UnknownLineState> {
        let found = Self::WORDS.iter().find(|(_, word)| *word == text);
        found.map(|(state, _)| *state).ok_or_else(|| UnknownLineState(text.to_owned()))
    }
}

const COLUMNS: &str =
    "select id, thread_id, repository_id, branch, base_branch, pull_number, head_sha, state from line";

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
    Ok(Line { id, thread, repository, branch, base_branch: None, pull: None, head: None, state: LineState::Open })
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
    })
}
