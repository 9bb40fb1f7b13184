//! Puts a run into the queue: the run, the line that it works on, the comment and the reactions that are owed, in the caller's transaction.

use anyhow::Result;

use crate::config::Limits;
use crate::db::lines::Line;
use crate::db::reports::{NewReport, Payload};
use crate::db::runs::{NewRun, Run};
use crate::db::threads::Thread;
use crate::db::{self, Conn};
use crate::model::{Account, Ask, Kind, LineId, Millis, RunId};

/// What is to be queued.
#[derive(Clone, Debug)]
pub struct NewWork {
    /// The thread that it works on.
    pub thread: Thread,
    /// What is wanted.
    pub ask: Ask,
    /// The run of which this is another attempt, and the number of the attempt.
    pub retry_of: Option<(RunId, i64)>,
    /// The line of the run that is attempted again.
    pub line: Option<LineId>,
    /// The agent's name.
    pub agent: String,
    /// What chose the agent.
    pub chosen_by: String,
    /// The model to ask for.
    pub model: Option<String>,
    /// The profile that chose agent and model.
    pub profile: Option<String>,
    /// The runner that the request names.
    pub runner: Option<String>,
    /// What it may take and cost.
    pub limits: Limits,
    /// When the requester's right to ask was confirmed.
    pub allowed_at: Millis,
    /// Whether a review starts it, not a person's command.
    pub automatic: bool,
}

impl NewWork {
    /// Another attempt of a run, asked for by `requester` whose right to was confirmed at `allowed_at`; on the same line if that is still open.
    /// A follow-up goes on with its line in any case, and opens the pull request again (B20).
    pub async fn again(conn: &mut Conn, run: &Run, requester: Account, allowed_at: Millis) -> Result<Self> {
        let open = db::lines::open_of(&mut *conn, run.thread).await?;
        Ok(Self {
            thread: db::threads::get(conn, run.thread).await?,
            ask: Ask { requester, ..run.ask.clone() },
            retry_of: Some((run.id, run.attempt + 1)),
            line: run.line.filter(|id| run.kind == Kind::FollowUp || open.is_some_and(|line| line.id == *id)),
            agent: run.agent.clone(),
            chosen_by: run.chosen_by.clone(),
            model: run.model.clone(),
            profile: run.profile.clone(),
            runner: run.wanted_runner.clone(),
            limits: run.limits.clone(),
            allowed_at,
            automatic: false,
        })
    }
}

/// Queues a run and owes its status comment. `None`: the lane has a live run, as the schema says.
pub async fn start(conn: &mut Conn, work: &NewWork, now: Millis) -> Result<Option<RunId>> {
    if db::runs::live_of(&mut *conn, work.thread.id, work.ask.kind.lane()).await?.is_some() {
        return Ok(None);
    }
    let line = match (work.ask.kind, work.line) {
        // A review takes nothing back, so it belongs to no line.
        (Kind::Review, _) => None,
        (_, Some(id)) => {
            let line = db::lines::get(&mut *conn, id).await?;
            db::lines::reopen(&mut *conn, &line).await?;
            Some(id)
        }
        (_, None) => Some(line_for(&mut *conn, work, now).await?.id),
    };
    // Whatever was to be tidied away is in use again.
    db::cleanups::withdraw(&mut *conn, work.thread.id).await?;
    let run = NewRun {
        id: RunId::new(),
        thread: work.thread.id,
        line,
        repository: work.thread.repository,
        ask: work.ask.clone(),
        retry_of: work.retry_of,
        agent: work.agent.clone(),
        chosen_by: work.chosen_by.clone(),
        model: work.model.clone(),
        profile: work.profile.clone(),
        wanted_runner: work.runner.clone(),
        limits: work.limits.clone(),
        allowed_at: work.allowed_at,
        automatic: work.automatic,
    };
    match db::runs::insert(&mut *conn, &run, now).await {
        Err(error) if db::is_unique_violation(&error) => return Ok(None),
        other => other?,
    }
    if work.ask.unposted {
        return Ok(Some(run.id));
    }
    let mut number = work.ask.told_on.unwrap_or(work.thread.number);
    // Of a private task people read on its pull request, once there is one.
    if let (true, Some(line)) = (number.is_private(), line) {
        number = db::lines::get(&mut *conn, line).await?.pull.unwrap_or(number);
    }
    let status = NewReport {
        key: format!("status:{}", run.id),
        repository: work.thread.repository,
        number,
        run: Some(run.id),
        payload: Payload::Status,
    };
    db::reports::owe(conn, &status, now).await?;
    Ok(Some(run.id))
}

/// A dispatch with an open line goes on with it; `--fresh`, or no open line, opens one.
async fn line_for(conn: &mut Conn, work: &NewWork, now: Millis) -> Result<Line> {
    if !work.ask.fresh
        && let Some(line) = db::lines::open_of(&mut *conn, work.thread.id).await?
    {
        return Ok(line);
    }
    Ok(db::lines::open(conn, work.thread.id, work.thread.repository, work.thread.number, now).await?)
}
