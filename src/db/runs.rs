//! Runs. Every move is a compare-and-set on the status, so a run cannot leave its table of moves whoever writes.

use sqlx::Row as _;

use super::{Conn, Row, json, json_or_null, parsed, parsed_or_null, run_words, to_json};
use crate::config::Limits;
use crate::model::{
    AccountId, Ask, Feedback, Kind, Lane, LineId, Millis, Number, Outcome, Phase, Reason, RepoName, RepositoryId,
    RunId, Session, Sha, Status, ThreadId, Usage,
};

/// A run as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Its identity.
    pub id: RunId,
    /// The thread that it works on.
    pub thread: ThreadId,
    /// Its line of work; none for a review.
    pub line: Option<LineId>,
    /// The thread's repository.
    pub repository: RepositoryId,
    /// Work or review.
    pub lane: Lane,
    /// Task, follow-up or review.
    pub kind: Kind,
    /// What is wanted.
    pub ask: Ask,
    /// The run of which this is another attempt.
    pub retry_of: Option<RunId>,
    /// 1 for the first attempt.
    pub attempt: i64,
    /// The agent's name.
    pub agent: String,
    /// What chose the agent: `command`, `label`, …
    pub chosen_by: String,
    /// The model to ask for.
    pub model: Option<String>,
    /// The profile that chose agent and model.
    pub profile: Option<String>,
    /// The runner that the request names.
    pub wanted_runner: Option<String>,
    /// The runner that has it; kept once a slot was taken, because the agent may be there.
    pub runner: Option<String>,
    /// Where it is.
    pub status: Status,
    /// What a preparing run is doing.
    pub phase: Option<Phase>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// Why it ended so.
    pub reason: Option<Reason>,
    /// The particulars of the reason.
    pub detail: Option<String>,
    /// The start of the bot that works on it.
    pub fence: i64,
    /// Not to be touched before this time.
    pub not_before: Millis,
    /// Attempts of the present step, waits for GitHub included.
    pub tries: i64,
    /// Of those, the ones that failed for a reason of the runner's or the bot's own.
    pub failures: i64,
    /// Since when the runner does not answer.
    pub unreachable_since: Option<Millis>,
    /// When somebody asked to cancel it.
    pub cancel_at: Option<Millis>,
    /// Who did.
    pub cancel_by: Option<String>,
    /// When it was asked for.
    pub queued_at: Millis,
    /// When a slot was taken.
    pub prepared_at: Option<Millis>,
    /// When the agent started, by the bot's clock.
    pub started_at: Option<Millis>,
    /// When the agent ended, by the runner's clock corrected by the measured difference.
    pub ended_at: Option<Millis>,
    /// When everything was over.
    pub done_at: Option<Millis>,
    /// When the requester's right to ask was last confirmed.
    pub allowed_at: Millis,
    /// Server and repository together, as they were at the decision.
    pub limits: Limits,
    /// The branch from which it started.
    pub base_branch: Option<String>,
    /// The commit that the agent was given.
    pub given: Option<Sha>,
    /// Where the line's branch was on GitHub when it started; `None`: it did not exist.
    pub lease: Option<Sha>,
    /// What the agent was not given.
    pub left_out: LeftOut,
    /// The commit that came back.
    pub result: Option<Sha>,
    /// The commit that GitHub has.
    pub pushed: Option<Sha>,
    /// The pull request.
    pub pull: Option<Number>,
    /// The agent's session.
    pub session: Option<Session>,
    /// Which execution of the agent it is.
    pub turn: i64,
    /// How much of the journal is on the bot's disk, in bytes.
    pub journal_offset: i64,
    /// The agent's latest words.
    pub progress: Option<String>,
    /// What it consumed so far.
    pub usage: Option<Usage>,
    /// The agent's answer as validated JSON.
    pub answer: Option<serde_json::Value>,
    /// What came back: commits, files, leftovers.
    pub work: Option<Work>,
    /// Processes left after the end, where they were counted.
    pub left_processes: Option<i64>,
    /// It is over, and its runner was never told or its result never seen.
    pub unsettled: bool,
    /// A review started it, not a person's command.
    pub automatic: bool,
    /// Reviews and comments that it acts on; `None` before they were gathered.
    pub feedback: Option<Feedback>,
    /// The session of an earlier run with which its agent goes on.
    pub resumed: Option<Session>,
    /// How its session began, where people may have expected otherwise.
    pub session_note: Option<String>,
    /// Why a further turn is needed.
    pub again: Option<Again>,
    /// What the turns before this one used.
    pub usage_before: Option<Usage>,
    /// GitHub's id of the review that it submitted.
    pub review_id: Option<i64>,
    /// Its page.
    pub review_url: Option<String>,
}

/// Why an agent is asked once more within a run.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Again {
    /// Its answer lacked something: it goes on in the same session.
    Missing(String),
    /// The runner no longer has the session: it begins anew with everything that was said.
    SessionLost,
}

impl Run {
    /// How long its runner may be out of sight before it is lost.
    pub fn lost_after(&self) -> Millis {
        i64::from(self.limits.lost_after_hours) * 3_600_000
    }
}

/// What came back from the workspace, as it is reported.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Work {
    /// Commits between what was given and the result.
    pub commits: u64,
    /// Files changed.
    pub files: u64,
    /// Lines added.
    pub insertions: u64,
    /// Lines removed.
    pub deletions: u64,
    /// Paths that the agent left uncommitted and the bot committed (B12a).
    pub leftovers: Vec<String>,
    /// Paths in which the pushed head conflicts with the base branch.
    #[serde(default)]
    pub conflicts: Vec<String>,
}

/// A run about to be queued.
#[derive(Clone, Debug)]
pub struct NewRun {
    /// Its identity.
    pub id: RunId,
    /// The thread that it works on.
    pub thread: ThreadId,
    /// Its line of work; none for a review.
    pub line: Option<LineId>,
    /// The thread's repository.
    pub repository: RepositoryId,
    /// What is wanted.
    pub ask: Ask,
    /// The run of which this is another attempt, and the number of the attempt.
    pub retry_of: Option<(RunId, i64)>,
    /// The agent's name.
    pub agent: String,
    /// What chose the agent.
    pub chosen_by: String,
    /// The model to ask for.
    pub model: Option<String>,
    /// The profile that chose agent and model.
    pub profile: Option<String>,
    /// The runner that the request names.
    pub wanted_runner: Option<String>,
    /// What it may take and cost.
    pub limits: Limits,
    /// When the requester's right to ask was confirmed.
    pub allowed_at: Millis,
    /// Whether a review starts it, not a person's command.
    pub automatic: bool,
}

/// Queues a run; a unique violation says that the lane has a live one.
pub async fn insert(conn: &mut Conn, run: &NewRun, now: Millis) -> sqlx::Result<()> {
    sqlx::query(
        "insert into run (id, thread_id, line_id, repository_id, lane, kind, ask, requester_id, requester_login, retry_of, attempt, \
         agent, chosen_by, model, profile, wanted_runner, limits, queued_at, allowed_at, automatic) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)",
    )
    .bind(run.id.to_string())
    .bind(run.thread.to_string())
    .bind(run.line.map(|id| id.to_string()))
    .bind(run.repository.0)
    .bind(run.ask.kind.lane().as_str())
    .bind(run.ask.kind.as_str())
    .bind(to_json(&run.ask)?)
    .bind(run.ask.requester.id.0)
    .bind(&run.ask.requester.login)
    .bind(run.retry_of.map(|(id, _)| id.to_string()))
    .bind(run.retry_of.map_or(1, |(_, attempt)| attempt))
    .bind(&run.agent)
    .bind(&run.chosen_by)
    .bind(&run.model)
    .bind(&run.profile)
    .bind(&run.wanted_runner)
    .bind(to_json(&run.limits)?)
    .bind(now)
    .bind(run.allowed_at)
    .bind(i64::from(run.automatic))
    .execute(&mut *conn)
    .await?;
    run_words::refresh(conn, run.id).await
}

/// The run with this identity.
pub async fn get(conn: &mut Conn, id: RunId) -> sqlx::Result<Run> {
    let row = sqlx::query("select * from run where id = $1").bind(id.to_string()).fetch_one(conn).await?;
    read(&row)
}

/// The live run of a thread and lane.
pub async fn live_of(conn: &mut Conn, thread: ThreadId, lane: Lane) -> sqlx::Result<Option<Run>> {
    let row = sqlx::query("select * from run where thread_id = $1 and lane = $2 and status <> 'done'")
        .bind(thread.to_string())
        .bind(lane.as_str())
        .fetch_optional(conn)
        .await?;
    row.map(|row| read(&row)).transpose()
}

/// The live runs of a thread, of both lanes.
pub async fn live_of_thread(conn: &mut Conn, thread: ThreadId) -> sqlx::Result<Vec<Run>> {
    let rows = sqlx::query("select * from run where thread_id = $1 and status <> 'done' order by queued_at, id")
        .bind(thread.to_string())
        .fetch_all(conn)
        .await?;
    rows.iter().map(read).collect()
}

/// Every live run, first come first.
pub async fn live(conn: &mut Conn) -> sqlx::Result<Vec<Run>> {
    let rows = sqlx::query("select * from run where status <> 'done' order by queued_at, id").fetch_all(conn).await?;
    rows.iter().map(read).collect()
}

/// The runs of a thread, newest first.
pub async fn of_thread(conn: &mut Conn, thread: ThreadId, limit: i64) -> sqlx::Result<Vec<Run>> {
    let rows = sqlx::query(
        "select * from run where thread_id = $1 and discarded = 0 order by queued_at desc, id desc limit $2",
    )
    .bind(thread.to_string())
    .bind(limit)
    .fetch_all(conn)
    .await?;
    rows.iter().map(read).collect()
}

/// The newest review of a pull request, whatever became of it; those of a thread may be of several.
pub async fn newest_review(conn: &mut Conn, thread: ThreadId, pull: Number) -> sqlx::Result<Option<Run>> {
    const LOOKED_AT: i64 = 50;
    let rows = sqlx::query(
        "select * from run where thread_id = $1 and kind = 'review' and discarded = 0 order by queued_at desc, id desc limit $2",
    )
    .bind(thread.to_string())
    .bind(LOOKED_AT)
    .fetch_all(conn)
    .await?;
    for row in &rows {
        if json::<Ask>(row, "ask")?.pin.is_some_and(|pin| pin.pull == pull) {
            return read(row).map(Some);
        }
    }
    Ok(None)
}

/// The runs of a line, newest first.
pub async fn of_line(conn: &mut Conn, line: LineId, limit: i64) -> sqlx::Result<Vec<Run>> {
    let rows =
        sqlx::query("select * from run where line_id = $1 and discarded = 0 order by queued_at desc, id desc limit $2")
            .bind(line.to_string())
            .bind(limit)
            .fetch_all(conn)
            .await?;
    rows.iter().map(read).collect()
}

/// How many follow-ups reviews have started on a line since a time.
pub async fn automatic_since(conn: &mut Conn, line: LineId, since: Millis) -> sqlx::Result<i64> {
    sqlx::query("select count(*) from run where line_id = $1 and automatic = 1 and queued_at >= $2")
        .bind(line.to_string())
        .bind(since)
        .fetch_one(conn)
        .await?
        .try_get(0)
}

/// Discards the history of a thread: its runs are listed no longer. Answers how many there were.
pub async fn discard(conn: &mut Conn, thread: ThreadId) -> sqlx::Result<u64> {
    let done = sqlx::query("update run set discarded = 1 where thread_id = $1 and status = 'done' and discarded = 0")
        .bind(thread.to_string())
        .execute(conn)
        .await?;
    Ok(done.rows_affected())
}

/// The run with the highest id.
pub async fn newest(conn: &mut Conn) -> sqlx::Result<Option<RunId>> {
    let row = sqlx::query("select id from run order by id desc limit 1").fetch_optional(conn).await?;
    row.map(|row| parsed(&row, "id")).transpose()
}

/// The run that attempts another one again; the first of them if there are several.
pub async fn next_attempt(conn: &mut Conn, run: &Run) -> sqlx::Result<Option<RunId>> {
    let row = sqlx::query("select id from run where thread_id = $1 and retry_of = $2 order by queued_at, id limit 1")
        .bind(run.thread.to_string())
        .bind(run.id.to_string())
        .fetch_optional(conn)
        .await?;
    row.map(|row| parsed(&row, "id")).transpose()
}

/// Which runs a list shows.
#[derive(Clone, Debug)]
pub struct Filter {
    /// Of this repository only.
    pub repo: Option<RepoName>,
    /// Of this issue or pull request only.
    pub number: Option<Number>,
    /// At most so many.
    pub limit: i64,
}

/// The runs that a filter lets through, newest first.
pub async fn filtered(conn: &mut Conn, filter: &Filter) -> sqlx::Result<Vec<Run>> {
    let rows = sqlx::query(
        "select run.* from run join thread on thread.id = run.thread_id join repository on repository.id = run.repository_id \
         where ($1 is null or (lower(repository.owner) = lower($1) and lower(repository.name) = lower($2))) \
         and ($3 is null or thread.number = $3) and run.discarded = 0 order by run.queued_at desc, run.id desc limit $4",
    )
    .bind(filter.repo.as_ref().map(|repo| repo.owner.clone()))
    .bind(filter.repo.as_ref().map(|repo| repo.name.clone()))
    .bind(filter.number.map(|number| number.0))
    .bind(filter.limit)
    .fetch_all(conn)
    .await?;
    rows.iter().map(read).collect()
}

/// How many runs an account asked for since a time.
pub async fn asked_since(conn: &mut Conn, requester: AccountId, since: Millis) -> sqlx::Result<i64> {
    sqlx::query("select count(*) from run where requester_id = $1 and queued_at >= $2")
        .bind(requester.0)
        .bind(since)
        .fetch_one(conn)
        .await?
        .try_get(0)
}

/// When the `n`-th newest run since a time that an account asked for was queued: until then the account had asked for fewer.
pub async fn nth_asked_since(
    conn: &mut Conn,
    requester: AccountId,
    (n, since): (u32, Millis),
) -> sqlx::Result<Option<Millis>> {
    let sql = "select queued_at from run where requester_id = $1 and queued_at >= $2 order by queued_at desc limit 1 offset $3";
    let row = sqlx::query(sql)
        .bind(requester.0)
        .bind(since)
        .bind(i64::from(n.saturating_sub(1)))
        .fetch_optional(conn)
        .await?;
    row.map(|row| row.try_get(0)).transpose()
}

/// What each of the runs queued since a time reports as its cost, in US dollars, oldest first.
pub async fn costs_since(conn: &mut Conn, since: Millis) -> sqlx::Result<Vec<(Millis, f64)>> {
    let rows =
        sqlx::query("select queued_at, usage from run where queued_at >= $1 and usage is not null order by queued_at")
            .bind(since)
            .fetch_all(conn)
            .await?;
    rows.iter()
        .map(|row| Ok((row.try_get("queued_at")?, json::<Usage>(row, "usage")?.cost_usd.unwrap_or(0.0))))
        .collect()
}

/// Moves a run and notes the time; false if it is no longer where the caller saw it, or if the table has no such move.
pub async fn advance(conn: &mut Conn, id: RunId, from: Status, to: Status, at: Millis) -> sqlx::Result<bool> {
    if !from.can_become(to) {
        return Ok(false);
    }
    let done = sqlx::query(
        "update run set status = $3, tries = 0, failures = 0, not_before = 0, phase = null, \
         prepared_at = case when $3 = 'preparing' then $4 else prepared_at end, \
         started_at = case when $3 = 'running' then coalesce(started_at, $4) else started_at end, \
         ended_at = case when $3 = 'publishing' then coalesce(ended_at, $4) else ended_at end, \
         done_at = case when $3 = 'done' then $4 else done_at end \
         where id = $1 and status = $2",
    )
    .bind(id.to_string())
    .bind(from.as_str())
    .bind(to.as_str())
    .bind(at)
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// How a run ended, as it is written with the move to publishing.
#[derive(Clone, Debug)]
pub struct Ending {
    /// How.
    pub outcome: Outcome,
    /// Why.
    pub reason: Reason,
    /// The particulars.
    pub detail: String,
}

/// Ends a run: its outcome is set and it moves to publishing; false if it is no longer where the caller saw it.
pub async fn end(conn: &mut Conn, id: RunId, from: Status, ending: &Ending, at: Millis) -> sqlx::Result<bool> {
    if !advance(&mut *conn, id, from, Status::Publishing, at).await? {
        return Ok(false);
    }
    set_ending(conn, id, ending).await?;
    Ok(true)
}

/// Corrects the outcome while the run is publishing: what came back may be unusable.
pub async fn set_ending(conn: &mut Conn, id: RunId, ending: &Ending) -> sqlx::Result<()> {
    sqlx::query("update run set outcome = $2, reason = $3, detail = $4 where id = $1 and status = 'publishing'")
        .bind(id.to_string())
        .bind(ending.outcome.as_str())
        .bind(ending.reason.as_str())
        .bind(&ending.detail)
        .execute(conn)
        .await?;
    Ok(())
}

/// Gives a queued run a slot on a runner; false if it is no longer queued.
pub async fn assign(conn: &mut Conn, id: RunId, runner: &str, at: Millis) -> sqlx::Result<bool> {
    if !advance(&mut *conn, id, Status::Queued, Status::Preparing, at).await? {
        return Ok(false);
    }
    sqlx::query("update run set runner = $2 where id = $1").bind(id.to_string()).bind(runner).execute(conn).await?;
    Ok(true)
}

/// Takes a run's work over for this start of the bot.
pub async fn set_fence(conn: &mut Conn, id: RunId, fence: i64) -> sqlx::Result<()> {
    sqlx::query("update run set fence = $2 where id = $1 and fence < $2")
        .bind(id.to_string())
        .bind(fence)
        .execute(conn)
        .await?;
    Ok(())
}

/// Frees the runner of a run that never was sent there, also where that was just about to be done.
pub async fn release_runner(conn: &mut Conn, id: RunId) -> sqlx::Result<()> {
    sqlx::query("update run set runner = null, fence = 0 where id = $1 and status = 'queued'")
        .bind(id.to_string())
        .execute(conn)
        .await?;
    Ok(())
}

/// Says what a preparing run is doing.
pub async fn set_phase(conn: &mut Conn, id: RunId, phase: Phase) -> sqlx::Result<()> {
    sqlx::query("update run set phase = $2 where id = $1 and status = 'preparing'")
        .bind(id.to_string())
        .bind(phase.as_str())
        .execute(conn)
        .await?;
    Ok(())
}

/// What an agent was not given of the repository and of people's words; people are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct LeftOut {
    /// Contents of files in Git LFS.
    pub lfs: bool,
    /// Submodules.
    pub submodules: bool,
    /// Characters that nobody sees, in what people wrote (T23).
    pub hidden_characters: usize,
}

/// What an agent begins with.
#[derive(Clone, Debug)]
pub struct Ground {
    /// The branch that the result goes into.
    pub base_branch: String,
    /// The commit that the agent is given.
    pub given: Sha,
    /// Where the line's branch is on GitHub; `None`: it does not exist.
    pub lease: Option<Sha>,
    /// What it is not given.
    pub left_out: LeftOut,
}

/// Records what the agent is given.
pub async fn set_ground(conn: &mut Conn, id: RunId, ground: &Ground) -> sqlx::Result<()> {
    sqlx::query("update run set base_branch = $2, given_sha = $3, lease_sha = $4, left_out = $5 where id = $1")
        .bind(id.to_string())
        .bind(&ground.base_branch)
        .bind(ground.given.as_str())
        .bind(ground.lease.as_ref().map(Sha::as_str))
        .bind(to_json(&ground.left_out)?)
        .execute(conn)
        .await?;
    Ok(())
}

/// What an agent's lines told.
#[derive(Clone, Debug)]
pub struct Learned {
    /// Its latest words.
    pub progress: Option<String>,
    /// What it consumed.
    pub usage: Usage,
    /// The session with which a later run can go on.
    pub session: Option<Session>,
}

/// Stores how far the journal is read, together with what was learned from it.
pub async fn set_progress(conn: &mut Conn, id: RunId, offset: u64, learned: &Learned) -> sqlx::Result<()> {
    sqlx::query(
        "update run set journal_offset = $2, progress = coalesce($3, progress), session = coalesce($4, session), \
         usage = $5, tokens_in = $6, tokens_cached = $7, tokens_out = $8, cost_micro = $9 where id = $1",
    )
    .bind(id.to_string())
    .bind(offset as i64)
    .bind(&learned.progress)
    .bind(learned.session.as_ref().map(to_json).transpose()?)
    .bind(to_json(&learned.usage)?)
    .bind(column(learned.usage.input_tokens))
    .bind(column(learned.usage.cached_tokens))
    .bind(column(learned.usage.output_tokens))
    .bind(learned.usage.cost_micro())
    .execute(conn)
    .await?;
    Ok(())
}

/// A count of tokens as it is stored beside the usage, for sums.
fn column(tokens: u64) -> i64 {
    i64::try_from(tokens).unwrap_or(i64::MAX)
}

/// Fills the columns for sums of runs whose usage an earlier version stored.
pub(super) async fn count_usage(conn: &mut Conn) -> sqlx::Result<()> {
    let rows = sqlx::query("select id, usage from run where usage is not null and tokens_in is null")
        .fetch_all(&mut *conn)
        .await?;
    for row in &rows {
        // A damaged one stays as it is, and is told to whoever reads the run.
        let Ok(usage) = json::<Usage>(row, "usage") else { continue };
        sqlx::query(
            "update run set tokens_in = $2, tokens_cached = $3, tokens_out = $4, cost_micro = $5 where id = $1",
        )
        .bind(row.try_get::<String, _>("id")?)
        .bind(column(usage.input_tokens))
        .bind(column(usage.cached_tokens))
        .bind(column(usage.output_tokens))
        .bind(usage.cost_micro())
        .execute(&mut *conn)
        .await?;
    }
    Ok(())
}

/// Records when the agent had begun, by its runner's clock corrected by the measured difference: durations are the runner's.
pub async fn set_started(conn: &mut Conn, id: RunId, at: Millis) -> sqlx::Result<()> {
    sqlx::query("update run set started_at = $2 where id = $1").bind(id.to_string()).bind(at).execute(conn).await?;
    Ok(())
}

/// Records what a run acts on, where that was gathered before it was queued.
pub async fn set_feedback(conn: &mut Conn, id: RunId, feedback: &Feedback) -> sqlx::Result<()> {
    sqlx::query("update run set feedback = $2 where id = $1")
        .bind(id.to_string())
        .bind(to_json(feedback)?)
        .execute(conn)
        .await?;
    Ok(())
}

/// Records what a run acts on and in which session, once, with the plan.
pub async fn set_brief(
    conn: &mut Conn,
    id: RunId,
    feedback: &Feedback,
    resumed: Option<&Session>,
    note: Option<&str>,
) -> sqlx::Result<()> {
    sqlx::query("update run set feedback = $2, resumed = $3, session_note = $4 where id = $1")
        .bind(id.to_string())
        .bind(to_json(feedback)?)
        .bind(resumed.map(to_json).transpose()?)
        .bind(note)
        .execute(conn)
        .await?;
    Ok(())
}

/// Asks the agent once more: the next turn begins with an empty journal. False if the run is not in that turn any more.
pub async fn next_turn(conn: &mut Conn, run: &Run, again: &Again, resumed: Option<&Session>) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "update run set turn = turn + 1, again = $3, resumed = $4, usage_before = $5, journal_offset = 0, tries = 0, failures = 0 \
         where id = $1 and turn = $2 and status = 'running'",
    )
    .bind(run.id.to_string())
    .bind(run.turn)
    .bind(to_json(again)?)
    .bind(resumed.map(to_json).transpose()?)
    .bind(run.usage.as_ref().map(to_json).transpose()?)
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Records the review that GitHub confirmed.
pub async fn set_review(conn: &mut Conn, id: RunId, review: i64, url: &str) -> sqlx::Result<()> {
    sqlx::query("update run set review_id = $2, review_url = $3 where id = $1")
        .bind(id.to_string())
        .bind(review)
        .bind(url)
        .execute(conn)
        .await?;
    Ok(())
}

/// Stores the agent's validated answer.
pub async fn set_answer(conn: &mut Conn, id: RunId, answer: &serde_json::Value) -> sqlx::Result<()> {
    sqlx::query("update run set answer = $2 where id = $1")
        .bind(id.to_string())
        .bind(to_json(answer)?)
        .execute(&mut *conn)
        .await?;
    run_words::refresh(conn, id).await
}

/// Stores what came back from the workspace.
pub async fn set_result(conn: &mut Conn, id: RunId, result: &Sha, work: &Work) -> sqlx::Result<()> {
    sqlx::query("update run set result_sha = $2, work = $3 where id = $1")
        .bind(id.to_string())
        .bind(result.as_str())
        .bind(to_json(work)?)
        .execute(conn)
        .await?;
    Ok(())
}

/// Records what GitHub has by now.
pub async fn set_pushed(conn: &mut Conn, id: RunId, pushed: &Sha, pull: Option<Number>) -> sqlx::Result<()> {
    sqlx::query("update run set pushed_sha = $2, pull_number = coalesce($3, pull_number) where id = $1")
        .bind(id.to_string())
        .bind(pushed.as_str())
        .bind(pull.map(|n| n.0))
        .execute(conn)
        .await?;
    Ok(())
}

/// Has a run's work go to another line, whose branch is nowhere yet.
pub async fn set_line(conn: &mut Conn, id: RunId, line: LineId) -> sqlx::Result<()> {
    sqlx::query("update run set line_id = $2, lease_sha = null where id = $1")
        .bind(id.to_string())
        .bind(line.to_string())
        .execute(&mut *conn)
        .await?;
    run_words::refresh(conn, id).await
}

/// Records the processes counted after the end.
pub async fn set_left(conn: &mut Conn, id: RunId, left: i64) -> sqlx::Result<()> {
    sqlx::query("update run set left_processes = $2 where id = $1")
        .bind(id.to_string())
        .bind(left)
        .execute(conn)
        .await?;
    Ok(())
}

/// Records since when the runner does not answer; `None`: it answers.
pub async fn set_unreachable(conn: &mut Conn, id: RunId, since: Option<Millis>) -> sqlx::Result<()> {
    sqlx::query("update run set unreachable_since = $2 where id = $1")
        .bind(id.to_string())
        .bind(since)
        .execute(conn)
        .await?;
    Ok(())
}

/// Tries the present step again, not before a time.
pub async fn retry_step(conn: &mut Conn, id: RunId, not_before: Millis, failed: bool) -> sqlx::Result<()> {
    sqlx::query(
        "update run set tries = tries + 1, failures = failures + $3, not_before = $2 where id = $1 and status <> 'done'",
    )
        .bind(id.to_string())
        .bind(not_before)
        .bind(i64::from(failed))
        .execute(conn)
        .await?;
    Ok(())
}

/// Notes that the run's runner was never told of its end, or that it has looked after it since.
pub async fn set_unsettled(conn: &mut Conn, id: RunId, unsettled: bool) -> sqlx::Result<()> {
    sqlx::query("update run set unsettled = $2 where id = $1")
        .bind(id.to_string())
        .bind(i64::from(unsettled))
        .execute(conn)
        .await?;
    Ok(())
}

/// The runs that are over and still have to be looked after on their runners, oldest first.
pub async fn unsettled(conn: &mut Conn) -> sqlx::Result<Vec<Run>> {
    let rows = sqlx::query("select * from run where unsettled = 1 order by queued_at, id").fetch_all(conn).await?;
    rows.iter().map(read).collect()
}

/// Asks for the end of a live run; false if it is over or was canceled before.
pub async fn request_cancel(conn: &mut Conn, id: RunId, by: &str, now: Millis) -> sqlx::Result<bool> {
    let done = sqlx::query(
        "update run set cancel_at = $3, cancel_by = $2, not_before = 0 where id = $1 and status <> 'done' and cancel_at is null",
    )
    .bind(id.to_string())
    .bind(by)
    .bind(now)
    .execute(conn)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Records that the requester's right was confirmed again.
pub async fn set_allowed(conn: &mut Conn, id: RunId, now: Millis) -> sqlx::Result<()> {
    sqlx::query("update run set allowed_at = $2 where id = $1").bind(id.to_string()).bind(now).execute(conn).await?;
    Ok(())
}

fn read(row: &Row) -> sqlx::Result<Run> {
    Ok(Run {
        id: parsed(row, "id")?,
        thread: parsed(row, "thread_id")?,
        line: parsed_or_null(row, "line_id")?,
        repository: RepositoryId(row.try_get("repository_id")?),
        lane: parsed(row, "lane")?,
        kind: parsed(row, "kind")?,
        ask: json(row, "ask")?,
        retry_of: parsed_or_null(row, "retry_of")?,
        attempt: row.try_get("attempt")?,
        agent: row.try_get("agent")?,
        chosen_by: row.try_get("chosen_by")?,
        model: row.try_get("model")?,
        profile: row.try_get("profile")?,
        wanted_runner: row.try_get("wanted_runner")?,
        runner: row.try_get("runner")?,
        status: parsed(row, "status")?,
        phase: parsed_or_null(row, "phase")?,
        outcome: parsed_or_null(row, "outcome")?,
        reason: parsed_or_null(row, "reason")?,
        detail: row.try_get("detail")?,
        fence: row.try_get("fence")?,
        not_before: row.try_get("not_before")?,
        tries: row.try_get("tries")?,
        failures: row.try_get("failures")?,
        unreachable_since: row.try_get("unreachable_since")?,
        cancel_at: row.try_get("cancel_at")?,
        cancel_by: row.try_get("cancel_by")?,
        queued_at: row.try_get("queued_at")?,
        prepared_at: row.try_get("prepared_at")?,
        started_at: row.try_get("started_at")?,
        ended_at: row.try_get("ended_at")?,
        done_at: row.try_get("done_at")?,
        allowed_at: row.try_get("allowed_at")?,
        limits: json(row, "limits")?,
        base_branch: row.try_get("base_branch")?,
        given: parsed_or_null(row, "given_sha")?,
        lease: parsed_or_null(row, "lease_sha")?,
        left_out: json_or_null(row, "left_out")?.unwrap_or_default(),
        result: parsed_or_null(row, "result_sha")?,
        pushed: parsed_or_null(row, "pushed_sha")?,
        pull: row.try_get::<Option<i64>, _>("pull_number")?.map(Number),
        session: json_or_null(row, "session")?,
        turn: row.try_get("turn")?,
        journal_offset: row.try_get("journal_offset")?,
        progress: row.try_get("progress")?,
        usage: json_or_null(row, "usage")?,
        answer: json_or_null(row, "answer")?,
        work: json_or_null(row, "work")?,
        left_processes: row.try_get("left_processes")?,
        unsettled: row.try_get::<i64, _>("unsettled")? == 1,
        automatic: row.try_get::<i64, _>("automatic")? == 1,
        feedback: json_or_null(row, "feedback")?,
        resumed: json_or_null(row, "resumed")?,
        session_note: row.try_get("session_note")?,
        again: json_or_null(row, "again")?,
        usage_before: json_or_null(row, "usage_before")?,
        review_id: row.try_get("review_id")?,
        review_url: row.try_get("review_url")?,
    })
}
