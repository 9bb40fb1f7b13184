//! What a run does, for everybody who watches it: one reader of its journal however many they are, and each item rendered once.
//!
//! Nothing is sent to watchers: each keeps a mark of what it has seen and takes from the common store what is newer. So a slow one
//! holds no memory, and one that comes back with its mark gets exactly what it missed. A mark is a place in the journal, which
//! stays what it is when the reader ends and another one begins.

mod files;
mod store;

use std::collections::HashMap;
use std::fmt;
use std::io::ErrorKind;
use std::str::FromStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use anyhow::Result;
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::warn;

use super::journal;
use crate::agent::transcript::{Item, Transcript};
use crate::agent::{self, Agent};
use crate::context::Context;
use crate::db;
use crate::db::runs::Run;
use crate::model::{RunId, Status, Usage};

pub use files::{Part, has_journal, part, phases, raw};
use store::Store;
pub use store::{News, Now, Stored};

/// Longest time between two looks at what somebody watches; bells shorten it.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Shortest time between two looks at the row of a run, however much is committed.
const ROW_EVERY: Duration = Duration::from_millis(100);
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
        let id = run.id;
        let usage = run.usage.unwrap_or_default();
        let feed = Arc::new(Feed {
            store: Mutex::new(Store::new(State { run: run.clone(), usage })),
            news: watch::Sender::new(0),
            _reader: stop.clone().drop_guard(),
        });
        let reader = Reader {
            bell: self.context.wake.watched.bell(id),
            context: self.context.clone(),
            render: self.render,
            feed: Arc::downgrade(&feed),
            commits,
            run,
            row_read: Instant::now(),
            used: Usage::default(),
        };
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

/// Reads a run's journals and row for a feed.
struct Reader {
    context: Arc<Context>,
    render: Render,
    feed: Weak<Feed>,
    bell: Arc<Notify>,
    commits: watch::Receiver<u64>,
    run: Run,
    row_read: Instant,
    /// By the journal of the present turn.
    used: Usage,
}

impl Reader {
    async fn read(mut self) {
        let agent = agent_of(&self.context, &self.run);
        for turn in 1.. {
            let earlier = self.run.resumed.clone().filter(|_| turn == self.run.turn);
            let mut transcript = Transcript::new(&agent, earlier.as_ref());
            if let Err(error) = self.turn(turn, &mut transcript).await {
                warn!("the journal of run {} cannot be shown: {error:#}", self.run.id);
                return self.change(Store::end);
            }
            if turn >= self.run.turn {
                break;
            }
        }
        // Nothing more is printed, but the result is still on its way.
        while self.run.status != Status::Done {
            self.wait().await;
        }
        self.change(Store::end);
    }

    /// Follows one turn to its end.
    async fn turn(&mut self, turn: i64, transcript: &mut Transcript) -> Result<()> {
        let path = journal::file(&self.context.config.home, self.run.id, turn);
        let mut file = None;
        let mut chunk = vec![0; CHUNK];
        loop {
            // The row comes first: what was printed before it says that the turn is over is in the file by then.
            let over = turn < self.run.turn || matches!(self.run.status, Status::Publishing | Status::Done);
            if file.is_none() {
                file = match File::open(&path).await {
                    Err(error) if error.kind() == ErrorKind::NotFound => None,
                    opened => Some(opened?),
                };
            }
            // After a crash of the bot a file may be cut back and written again: the same bytes, so what was read stays read.
            while let Some(file) = &mut file {
                let n = file.read(&mut chunk).await?;
                if n == 0 {
                    break;
                }
                self.take(turn, |each| transcript.feed(&chunk[..n], each));
            }
            if over {
                self.take(turn, |each| transcript.end(each));
            }
            if turn == self.run.turn {
                self.used = transcript.usage();
                self.tell();
            }
            // Of a run that is done the end says it, so that nobody waits for more of it.
            if !over || turn >= self.run.turn && self.run.status != Status::Done {
                self.ready();
            }
            if over {
                return Ok(());
            }
            self.wait().await;
        }
    }

    fn ready(&self) {
        if self.feed.upgrade().is_some_and(|feed| !feed.store().is_ready()) {
            self.change(Store::ready);
        }
    }

    /// Renders what the transcript hands out, before anybody is held up.
    fn take(&self, turn: i64, feed: impl FnOnce(&mut dyn FnMut(&Item))) {
        let mut items = Vec::new();
        let render = self.render;
        feed(&mut |item| {
            let mark = |at| Mark { turn, at };
            let html = Arc::from(render(turn, item));
            items.push(Stored {
                turn,
                number: item.number,
                begun: mark(item.begun),
                changed: mark(item.changed),
                html,
            });
        });
        if !items.is_empty() {
            self.change(|store| store.put(items));
        }
    }

    /// Waits until there may be more in the journal or in the row, and looks at the row if it is that.
    async fn wait(&mut self) {
        tokio::select! {
            () = self.bell.notified() => return,
            changed = self.commits.changed() => {
                // Commits come in bursts, and hardly any is about this run.
                let next = self.row_read + ROW_EVERY;
                tokio::select! {
                    () = sleep_until(next) => {}
                    () = self.bell.notified() => {
                        self.commits.mark_changed();
                        return;
                    }
                }
                if changed.is_err() {
                    sleep(LOOK_EVERY).await;
                }
            }
            () = sleep(LOOK_EVERY) => {}
        }
        self.commits.mark_unchanged();
        self.row_read = Instant::now();
        match self.row().await {
            Ok(run) => {
                if run.turn != self.run.turn {
                    self.used = Usage::default();
                }
                self.run = run;
            }
            Err(error) => return warn!("run {} cannot be looked at: {error:#}", self.run.id),
        }
        self.tell();
    }

    /// Tells what the run is like, if it is not what was told last.
    fn tell(&self) {
        let before = self.run.usage_before.unwrap_or_default();
        let used = (self.used != Usage::default()).then(|| before.plus(&self.used));
        self.change_state(State { run: self.run.clone(), usage: used.or(self.run.usage).unwrap_or_default() });
    }

    async fn row(&self) -> Result<Run> {
        Ok(db::runs::get(&mut *self.context.db.read().await?, self.run.id).await?)
    }

    fn change_state(&self, state: State) {
        let Some(feed) = self.feed.upgrade() else { return };
        let same = {
            let store = feed.store();
            // How far the journal was stored is nothing that anybody sees.
            let run = Run { journal_offset: store.state().run.journal_offset, ..state.run.clone() };
            State { run, usage: state.usage } == *store.state()
        };
        if !same {
            feed.change(|store| store.set_state(state));
        }
    }

    fn change(&self, how: impl FnOnce(&mut Store)) {
        if let Some(feed) = self.feed.upgrade() {
            feed.change(how);
        }
    }
}

/// Taken out of the configuration meanwhile, an agent is read like any program.
fn agent_of(context: &Context, run: &Run) -> Agent {
    agent::resolve(&run.agent, &context.config.agents)
        .unwrap_or_else(|| Agent::Custom { name: run.agent.clone(), command: Vec::new() })
}
