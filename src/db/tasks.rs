//! Private tasks: the words of threads that have no issue (B63).
//!
//! A thread is known by repository and number. A private one counts downwards from -1, so that it never meets an issue of GitHub's.

use sqlx::Row as _;

use super::threads::Thread;
use super::{Conn, Row, parsed};
use crate::model::{Account, AccountId, Millis, Number, RepositoryId, ThreadId};

/// A private task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Its thread.
    pub thread: ThreadId,
    /// Its words, of which the first line stands for all.
    pub words: Words,
    /// When it was written.
    pub created_at: Millis,
    /// When it was done or given up; `None`: it can be worked on.
    pub closed_at: Option<Millis>,
}

/// What somebody wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words {
    /// What is wanted, in a line.
    pub title: String,
    /// All that is to be said about it, Markdown.
    pub body: String,
    /// Who wrote it.
    pub author: Account,
}

/// Makes a task with a thread and a number of its own.
pub async fn create(conn: &mut Conn, repository: RepositoryId, words: &Words, now: Millis) -> sqlx::Result<Thread> {
    let lowest: i64 = sqlx::query_scalar("select coalesce(min(number), 0) from thread where repository_id = $1")
        .bind(repository.0)
        .fetch_one(&mut *conn)
        .await?;
    let thread = super::threads::ensure(&mut *conn, repository, Number(lowest.min(0) - 1), now).await?;
    sqlx::query(
        "insert into task (thread_id, title, body, author_id, author_login, created_at) values ($1, $2, $3, $4, $5, $6)",
    )
    .bind(thread.id.to_string())
    .bind(&words.title)
    .bind(&words.body)
    .bind(words.author.id.0)
    .bind(&words.author.login)
    .bind(now)
    .execute(conn)
    .await?;
    Ok(thread)
}

/// The task of a thread, if it is a private one.
pub async fn of_thread(conn: &mut Conn, thread: ThreadId) -> sqlx::Result<Option<Task>> {
    let row =
        sqlx::query("select * from task where thread_id = $1").bind(thread.to_string()).fetch_optional(conn).await?;
    row.map(|row| read(&row)).transpose()
}

/// Says since when a task is over; `None`: it is not. True if that is news.
pub async fn set_closed(conn: &mut Conn, thread: ThreadId, at: Option<Millis>) -> sqlx::Result<bool> {
    let done =
        sqlx::query("update task set closed_at = $2 where thread_id = $1 and (closed_at is null) <> ($2 is null)")
            .bind(thread.to_string())
            .bind(at)
            .execute(conn)
            .await?;
    Ok(done.rows_affected() == 1)
}

fn read(row: &Row) -> sqlx::Result<Task> {
    Ok(Task {
        thread: parsed(row, "thread_id")?,
        words: Words {
            title: row.try_get("title")?,
            body: row.try_get("body")?,
            author: Account { id: AccountId(row.try_get("author_id")?), login: row.try_get("author_login")? },
        },
        created_at: row.try_get("created_at")?,
        closed_at: row.try_get("closed_at")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::Db;
    use crate::model::Repository;

    // B63
    #[tokio::test]
    async fn tasks_are_numbered_by_repository_and_meet_no_issue() {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(&format!("sqlite://{}", folder.path().join("track.db").display())).await.unwrap();
        let mut tx = db.begin().await.unwrap();
        let words = Words {
            title: "Say hello".into(),
            body: "In every language.".into(),
            author: Account { id: AccountId(1), login: "mona".into() },
        };
        for id in [5, 6] {
            let name = format!("octo/r{id}").parse().unwrap();
            let repository = Repository { id: RepositoryId(id), installation: None, name };
            crate::db::repositories::upsert(&mut tx, &repository, 1).await.unwrap();
        }
        crate::db::threads::ensure(&mut tx, RepositoryId(5), Number(7), 1).await.unwrap();
        let mut named = Vec::new();
        for id in [5, 5, 6] {
            named.push(create(&mut tx, RepositoryId(id), &words, 2).await.unwrap().number.named());
        }
        assert_eq!(named, ["task 1", "task 2", "task 1"]);
        let thread = crate::db::threads::find(&mut tx, RepositoryId(5), Number(-2)).await.unwrap().unwrap();
        assert_eq!(of_thread(&mut tx, thread.id).await.unwrap().unwrap().words, words);
        let mut news = Vec::new();
        for at in [Some(3), Some(4), None, None] {
            news.push(set_closed(&mut tx, thread.id, at).await.unwrap());
        }
        assert_eq!(news, [true, false, true, false]);
    }
}
