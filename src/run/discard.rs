//! Forgets the history of a thread when somebody asks for it, on GitHub or on the command line (B41).

use crate::db::{self, Conn};
use crate::model::{LineState, Millis, RunId, Status, ThreadId};

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Discarded {
    /// Nothing: this run is live there.
    Live(RunId, Status),
    /// So many runs are listed no longer, and their files go from so many runners as soon as those answer.
    Done {
        /// Runs.
        runs: u64,
        /// Runners.
        runners: u64,
    },
}

/// Forgets the runs of a thread, all of which must be over.
pub async fn discard(tx: &mut Conn, thread: ThreadId, now: Millis) -> sqlx::Result<Discarded> {
    if let Some(live) = db::runs::live_of_thread(&mut *tx, thread).await?.first() {
        return Ok(Discarded::Live(live.id, live.status));
    }
    let runs = db::runs::discard(&mut *tx, thread).await?;
    let runners = db::cleanups::ask(&mut *tx, thread, false, now).await?;
    if let Some(line) = db::lines::open_of(&mut *tx, thread).await?.filter(|line| line.pull.is_none()) {
        // Without a pull request nothing of it is left to go on with.
        db::lines::set_state(tx, line.id, LineState::Superseded).await?;
    }
    Ok(Discarded::Done { runs, runners })
}
