//! The one who reads a run's journals, as long as somebody watches.

use std::io::ErrorKind;
use std::sync::{Arc, Weak};
use std::time::Duration;

use anyhow::Result;
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::warn;

use super::super::journal;
use super::store::{Store, Stored};
use super::{CHUNK, Feed, Mark, Render, State};
use crate::agent::transcript::{Item, Transcript};
use crate::agent::{self, Agent};
use crate::context::Context;
use crate::db;
use crate::db::runs::Run;
use crate::model::{Status, Usage};

/// Longest time between two looks at what somebody watches; bells shorten it.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Shortest time between two looks at the row of a run, however much is committed.
const ROW_EVERY: Duration = Duration::from_millis(100);

/// Reads a run's journals and row for a feed.
pub(super) struct Reader {
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
    /// Of a run whose row was read when `commits` had seen everything.
    pub fn new(
        (context, render): (Arc<Context>, Render),
        feed: Weak<Feed>,
        run: Run,
        commits: watch::Receiver<u64>,
    ) -> Self {
        let bell = context.wake.watched.bell(run.id);
        Self { context, render, feed, bell, commits, run, row_read: Instant::now(), used: Usage::default() }
    }

    /// Reads until the run is over.
    pub async fn read(mut self) {
        let agent = agent_of(&self.context, &self.run);
        for turn in 1.. {
            if let Err(error) = self.turn(turn, &agent).await {
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
    async fn turn(&mut self, turn: i64, agent: &Agent) -> Result<()> {
        let path = journal::file(&self.context.config.home, self.run.id, turn);
        let mut file = None;
        let mut transcript = Transcript::new(agent, None);
        let mut chunk = vec![0; CHUNK];
        loop {
            // The row comes first: what was printed before it says that the turn is over is in the file by then.
            let over = turn < self.run.turn || matches!(self.run.status, Status::Publishing | Status::Done);
            if file.is_none() {
                file = match File::open(&path).await {
                    Err(error) if error.kind() == ErrorKind::NotFound => None,
                    opened => Some(opened?),
                };
                if file.is_some() && turn == self.run.turn {
                    // In which session the agent goes on was decided before it was launched, and perhaps after the row was read.
                    self.look().await;
                    let earlier = self.run.resumed.as_ref().filter(|_| turn == self.run.turn);
                    transcript = Transcript::new(agent, earlier);
                }
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
        self.look().await;
    }

    /// Looks at the row.
    async fn look(&mut self) {
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
pub(super) fn agent_of(context: &Context, run: &Run) -> Agent {
    agent::resolve(&run.agent, &context.config.agents)
        .unwrap_or_else(|| Agent::Custom { name: run.agent.clone(), command: Vec::new() })
}
