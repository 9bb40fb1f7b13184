//! What a thread's page offers: the facts as the tables have them, without asking GitHub, so that a page is there at once.
//!
//! Whether an issue or a pull request is still open, and who may write, is asked when somebody clicks.

use super::Trouble;
use super::apply::Scene;
use super::known::{Said, gather};
use crate::context::Context;
use crate::db;
use crate::db::lines::Line;
use crate::db::runs::Run;
use crate::db::threads::Thread;
use crate::model::{Account, LineState, Status};
use crate::trigger::decide::{Facts, PullFacts};
use crate::trigger::offers::{Offer, Place, offers};

/// Runs of a thread that are looked at.
const HISTORY: i64 = 1_000;

/// What this person is offered on a thread.
pub async fn offered(context: &Context, thread: &Thread, actor: &Account) -> Result<Vec<Offer>, Trouble> {
    let mut conn = context.db.read().await?;
    let line = match db::lines::open_of(&mut conn, thread.id).await? {
        Some(open) => Some(open),
        None => db::lines::newest_of(&mut conn, thread.id).await?,
    };
    let runs = db::runs::of_thread(&mut conn, thread.id, HISTORY).await?;
    let known = db::repositories::known(&mut conn, thread.repository).await?;
    let traits = known.and_then(|known| known.traits);
    let closed = db::tasks::of_thread(&mut conn, thread.id).await?.is_some_and(|task| task.closed_at.is_some());
    let said = Said {
        open: !closed,
        archived: traits.as_ref().is_some_and(|traits| traits.archived),
        // One that is too old to be known is asked for when somebody clicks.
        policy: Ok(context.policies.since(thread.repository, 0).unwrap_or_default()),
        pull: theirs(thread, &runs),
    };
    let pull = said.pull.clone().or_else(|| line.as_ref().and_then(ours));
    let paused = line.as_ref().is_some_and(|line| line.paused);
    let scene = Scene { thread: Some(*thread), line, on_ours: false, subject: thread.number };
    let facts = gather(&mut conn, context, &scene, (actor, said), context.clock.now()).await?;
    // A further review keeps the settings of the one before.
    let reviewed = match &pull {
        Some(pull) => db::runs::newest_review(&mut conn, thread.id, pull.number).await?.map(super::known::review_facts),
        None => None,
    };
    let facts = Facts { reviewed, ..facts };
    let live: Vec<_> = runs
        .iter()
        .filter(|run| run.status != Status::Done)
        .map(|run| (run.id, run.agent.clone(), run.runner.clone()))
        .collect();
    Ok(offers(&Place {
        facts: &facts,
        pull,
        live: &live,
        default_branch: traits.as_ref().map(|traits| traits.default_branch.as_str()),
        paused,
        kept: runs.len() - live.len(),
    }))
}

/// The thread itself, where it is somebody's pull request that was reviewed.
fn theirs(thread: &Thread, runs: &[Run]) -> Option<PullFacts> {
    let pin = runs.iter().filter_map(|run| run.ask.pin.as_ref()).find(|pin| pin.pull == thread.number)?;
    Some(PullFacts {
        number: pin.pull,
        ours: false,
        open: true,
        merged: false,
        head: pin.head.clone(),
        base: pin.base.clone(),
    })
}

/// The pull request of a line of ours, once there is one.
fn ours(line: &Line) -> Option<PullFacts> {
    Some(PullFacts {
        number: line.pull?,
        ours: true,
        open: matches!(line.state, LineState::Open | LineState::Superseded),
        merged: line.state == LineState::Merged,
        head: line.head.clone()?,
        base: line.base_branch.clone()?,
    })
}
