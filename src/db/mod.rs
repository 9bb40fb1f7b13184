//! Storage: one file per table, free functions with the executor first, and nothing that decides.
//!
//! SQL is text that SQLite and PostgreSQL both understand (`$1` parameters, integer milliseconds, JSON as text). On SQLite one
//! connection writes and a few read; write transactions begin IMMEDIATE, because an upgrade from reading to writing cannot wait.

pub mod answered;
pub mod audit;
pub mod board;
pub mod cleanups;
mod conditions;
pub mod decisions;
pub mod deliveries;
pub mod delivery_list;
pub mod drains;
pub mod lines;
mod packed;
mod paging;
pub mod reports;
pub mod repositories;
pub mod run_list;
pub mod run_words;
pub mod runners;
pub mod runs;
pub mod settings;
pub mod sign_ins;
pub mod snapshots;
pub mod submissions;
pub mod tasks;
pub mod threads;
pub mod triggers;
pub mod usage;

use std::borrow::Cow;
use std::ops::{Deref, DerefMut};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow,
    SqliteSynchronous,
};
use sqlx::{Sqlite, Transaction};
use tokio::sync::watch;

pub use paging::{Page, Turn};

/// The connection that every query function takes first.
pub type Conn = SqliteConnection;
/// A row of either table.
pub type Row = SqliteRow;

/// How long a statement waits for another process that holds the database; under GitHub's ten seconds, so that the webhook can still answer.
const BUSY_TIMEOUT: Duration = Duration::from_secs(7);
const READERS: u32 = 4;
/// Most webhook bodies fill two pages of this size instead of four of the usual one, which halves the calls that write them.
const PAGE_BYTES: u32 = 8192;
/// Pages in the log after which the writer itself writes it back (64 MiB): only if [`Db::checkpoint`] could not keep up.
const LOG_PAGES: &str = "8000";

const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "init", include_str!("../../migrations/0001_init.sql")),
    (2, "follow_ups", include_str!("../../migrations/0002_follow_ups.sql")),
    (3, "reviews_by_url", include_str!("../../migrations/0003_reviews_by_url.sql")),
    (4, "snapshots", include_str!("../../migrations/0004_snapshots.sql")),
    (5, "decisions", include_str!("../../migrations/0005_decisions.sql")),
    (6, "line_continues", include_str!("../../migrations/0006_line_continues.sql")),
    (7, "sign_ins", include_str!("../../migrations/0007_sign_ins.sql")),
    (8, "lists", include_str!("../../migrations/0008_lists.sql")),
    (9, "drains", include_str!("../../migrations/0009_drains.sql")),
    (10, "tasks", include_str!("../../migrations/0010_tasks.sql")),
];

/// The open database: one writer, a few readers.
#[derive(Clone, Debug)]
pub struct Db {
    writer: SqlitePool,
    readers: SqlitePool,
    /// Writes the log back, which must not keep the writer waiting.
    keeper: SqlitePool,
    /// Counts the commits.
    commits: Arc<watch::Sender<u64>>,
}

/// A writing transaction; dropped without a commit, it leaves nothing behind.
#[derive(Debug)]
pub struct Tx {
    inner: Transaction<'static, Sqlite>,
    commits: Arc<watch::Sender<u64>>,
}

impl Tx {
    /// Makes everything durable and tells whoever watches that something changed.
    pub async fn commit(self) -> sqlx::Result<()> {
        self.inner.commit().await?;
        self.commits.send_modify(|count| *count += 1);
        Ok(())
    }
}

impl Deref for Tx {
    type Target = Conn;

    fn deref(&self) -> &Conn {
        &self.inner
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut Conn {
        &mut self.inner
    }
}

impl Db {
    /// Opens the database at `url` (`sqlite://path`), makes it if there is none, and brings its schema up to date.
    pub async fn open(url: &str) -> Result<Self> {
        let options = SqliteConnectOptions::from_str(url)
            .with_context(|| format!("DATABASE_URL {url:?} is not a database address"))?
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // FULL syncs at each commit; with NORMAL a power loss would take acknowledged deliveries away.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            .page_size(PAGE_BYTES)
            .pragma("wal_autocheckpoint", LOG_PAGES)
            // An insert of many rows keeps a journal of its own, which else goes through a temporary file.
            .pragma("temp_store", "memory");
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .min_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .connect_with(options.clone())
            .await
            .with_context(|| format!("the database {url} cannot be opened"))?;
        let migrations = MIGRATIONS
            .iter()
            .map(|(version, name, sql)| {
                Migration::new(
                    *version,
                    Cow::Borrowed(*name),
                    MigrationType::Simple,
                    sqlx::SqlStr::from_static(sql),
                    false,
                )
            })
            .collect();
        Migrator::with_migrations(migrations)
            .run(&writer)
            .await
            .with_context(|| format!("the schema of {url} cannot be brought up to date"))?;
        let keeper = SqlitePoolOptions::new()
            .max_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .test_before_acquire(false)
            .connect_lazy_with(options.clone());
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .test_before_acquire(false)
            .connect_with(options.read_only(true).create_if_missing(false))
            .await?;
        let db = Self { writer, readers, keeper, commits: Arc::new(watch::Sender::new(0)) };
        db.catch_up().await.with_context(|| format!("what an earlier version left in {url} cannot be counted"))?;
        Ok(db)
    }

    /// A connection for reading.
    pub async fn read(&self) -> Result<sqlx::pool::PoolConnection<Sqlite>> {
        Ok(self.readers.acquire().await?)
    }

    /// The one writing transaction; others wait for it. Nothing but SQL may happen before its commit.
    pub async fn begin(&self) -> Result<Tx> {
        let inner = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        Ok(Tx { inner, commits: self.commits.clone() })
    }

    /// Changes with each commit: pages that are being looked at are made anew then.
    pub fn commits(&self) -> watch::Receiver<u64> {
        self.commits.subscribe()
    }

    /// Derives what runs lack that an earlier version queued; without any of them it only reads two indexes.
    pub async fn catch_up(&self) -> Result<()> {
        let mut tx = self.begin().await?;
        runs::count_usage(&mut tx).await?;
        run_words::fill(&mut tx).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Copies what was committed from the log into the database file, beside the writer and without stopping it.
    pub async fn checkpoint(&self) -> Result<()> {
        sqlx::query("pragma wal_checkpoint(passive)").execute(&self.keeper).await?;
        Ok(())
    }

    /// Writes everything back and closes the files.
    pub async fn close(&self) {
        self.readers.close().await;
        self.keeper.close().await;
        self.writer.close().await;
    }
}

/// Whether an error says that a row with the same unique key is there already.
pub fn is_unique_violation(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|e| e.is_unique_violation())
}

/// Reads a column that holds one of our words or ids; an unknown one is a damaged row, never guessed.
fn parsed<T>(row: &Row, column: &str) -> sqlx::Result<T>
where
    T: FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    use sqlx::Row as _;
    row.try_get::<String, _>(column)?
        .parse()
        .map_err(|source| sqlx::Error::ColumnDecode { index: column.to_owned(), source: Box::new(source) })
}

/// Like [`parsed`] for a column that may be null.
fn parsed_or_null<T>(row: &Row, column: &str) -> sqlx::Result<Option<T>>
where
    T: FromStr,
    T::Err: std::error::Error + Send + Sync + 'static,
{
    use sqlx::Row as _;
    row.try_get::<Option<String>, _>(column)?
        .map(|text| text.parse())
        .transpose()
        .map_err(|source| sqlx::Error::ColumnDecode { index: column.to_owned(), source: Box::new(source) })
}

/// Reads a column that holds JSON.
fn json<T: serde::de::DeserializeOwned>(row: &Row, column: &str) -> sqlx::Result<T> {
    use sqlx::Row as _;
    serde_json::from_str(&row.try_get::<String, _>(column)?)
        .map_err(|source| sqlx::Error::ColumnDecode { index: column.to_owned(), source: Box::new(source) })
}

/// Like [`json`] for a column that may be null.
fn json_or_null<T: serde::de::DeserializeOwned>(row: &Row, column: &str) -> sqlx::Result<Option<T>> {
    use sqlx::Row as _;
    row.try_get::<Option<String>, _>(column)?
        .map(|text| serde_json::from_str(&text))
        .transpose()
        .map_err(|source| sqlx::Error::ColumnDecode { index: column.to_owned(), source: Box::new(source) })
}

/// The pattern of `like … escape '\\'` for texts with these words in them, in lower case.
fn contains(words: &str) -> String {
    let mut pattern = String::from("%");
    for c in words.to_lowercase().chars() {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern.push('%');
    pattern
}

/// JSON text of a value of ours.
fn to_json(value: &impl serde::Serialize) -> sqlx::Result<String> {
    serde_json::to_string(value).map_err(|source| sqlx::Error::Encode(Box::new(source)))
}
