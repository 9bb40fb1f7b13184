//! What a run does, for everybody who watches it: one reader of its journal however many they are, and each item rendered once.
//!
//! Nothing is sent to watchers: each keeps a mark of what it has seen and takes from the common store what is newer. So a slow one
//! holds no memory, and one that comes back with its mark gets exactly what it missed. A mark is a place in the journal, which
//! stays what it is when the reader ends and another one begins.

mod files;
mod reader;
mod store;

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use anyhow::Result;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::agent::transcript::Item;
use crate::context::Context;
use crate::db;
use crate::db::runs::Run;
use crate::model::{RunId, Usage};
use reader::Reader;
use store::Store;

pub use files::{Part, has_journal, part, phases, raw};
pub use store::{News, Now, Stored};

/// How long a reader waits for a page to come back for the stream.
const LINGER: Duration = Duration::from_secs(10);
/// Bytes of a journal that are read at a time.
const CHUNK: usize = 256 * 1024;

/// A place in the journals of a run: the turn, and the byte at which a frame ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// Which execution of the agent.
    pub turn: i64,
    /// The offset in its journal.
    pub at: u64,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.turn, self.at)
    }
}

/// Text that is no mark.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no place in a journal: expected <turn>:<byte>")]
pub struct NotAMark(String);

impl FromStr for Mark {
    type Err = NotAMark;

    fn from_str(text: &str) -> Result<Self, NotAMark> {
        let read = || {
            let (turn, at) = text.split_once(':')?;
            Some(Self { turn: turn.parse().ok()?, at: at.parse().ok()? })
        };
        read().ok_or_else(|| NotAMark(text.chars().take(100).collect()))
    }
}

/// How an item looks; called once for each of its changes.
pub type Render = fn(turn: i64, item: &Item) -> String;

/// The row of a run that is watched, and what its agent has used by now.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// The row.
    pub run: Run,
    /// Usage by the journal, which is ahead of the row.
    pub usage: Usage,
}

/// The runs that somebody watches.
pub struct Feeds {
    context: Arc<Context>,
    render: Render,
    watched: Mutex<HashMap<RunId, Weak<Feed>>>,
}

/// One run that somebody watches.
struct Feed {
    store: Mutex<Store>,
    news: watch::Sender<u64>,
    _reader: DropGuard,
}

impl Feed {
    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is known, and tells those who wait.
    fn change(&self, how: impl FnOnce(&mut Store)) {
        how(&mut self.store());
        self.news.send_modify(|version| *version += 1);
    }
}

impl Feeds {
    /// Nobody watches yet.
    pub fn new(context: Arc<Context>, render: Render) -> Self {
        Self { context, render, watched: Mutex::default() }
    }

    /// Watches a run, from `after` on or from the oldest item that is kept.
    ///
    /// # Errors
    /// The database cannot be read, or has no such run.
    pub async fn watch(&self, run: RunId, after: Option<Mark>) -> Result<Watcher> {
        // Before the row is read, so that no change of it is missed.
        let commits = self.context.db.commits();
        let row = db::runs::get(&mut *self.context.db.read().await?, run).await?;
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let feed = watched.get(&run).and_then(Weak::upgrade).unwrap_or_else(|| {
            watched.retain(|_, feed| feed.strong_count() > 0);
            let feed = self.begin(row, commits);
            watched.insert(run, Arc::downgrade(&feed));
            feed
        });
        let news = feed.news.subscribe();
        Ok(Watcher { feed, news, mark: after.unwrap_or_default(), state: 0, stop: self.context.stop.clone() })
    }

    /// Keeps the reader of somebody at work who looked just now and may come back in a moment.
    pub fn linger(&self, watcher: Watcher) {
        let stop = self.context.stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = sleep(LINGER) => {}
            }
            drop(watcher);
        });
    }

    fn begin(&self, run: Run, commits: watch::Receiver<u64>) -> Arc<Feed> {
        let stop = CancellationToken::new();
        let usage = run.usage.unwrap_or_default();
        let feed = Arc::new(Feed {
            store: Mutex::new(Store::new(State { run: run.clone(), usage })),
            news: watch::Sender::new(0),
            _reader: stop.clone().drop_guard(),
        });
        let parts = (self.context.clone(), self.render);
        let reader = Reader::new(parts, Arc::downgrade(&feed), run, commits);
        let everything = self.context.stop.clone();
        tokio::spawn(async move {
            tokio::select! {
                biased;
                () = everything.cancelled() => {}
                () = stop.cancelled() => {}
                () = reader.read() => {}
            }
        });
        feed
    }
}

/// Somebody who watches a run. The reader ends with the last of them.
pub struct Watcher {
    feed: Arc<Feed>,
    news: watch::Receiver<u64>,
    mark: Mark,
    /// The version of the state that was seen.
    state: u64,
    stop: CancellationToken,
}

impl Watcher {
    /// Waits for what is newer than what was seen, and takes it. `None`: the run is over and everything was seen, or the bot stops.
    pub async fn next(&mut self) -> Option<News> {
        loop {
            self.news.borrow_and_update();
            {
                let store = self.feed.store();
                if let Some(news) = store.since(&mut self.mark, &mut self.state) {
                    return Some(news);
                }
                if store.is_over() {
                    return None;
                }
            }
            self.wait().await?;
        }
    }

    /// Everything that is kept, once the journal was read up to its present end; goes on from there.
    pub async fn now(&mut self) -> Option<Now> {
        loop {
            self.news.borrow_and_update();
            {
                let store = self.feed.store();
                if store.is_ready() {
                    return Some(store.now(&mut self.mark, &mut self.state));
                }
            }
            self.wait().await?;
        }
    }

    async fn wait(&mut self) -> Option<()> {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => None,
            changed = self.news.changed() => changed.ok(),
        }
    }
}
