//! The board: every thread in its column, as runs and lines of work say.

use sqlx::Row as _;

use super::{Conn, Row, json, parsed, parsed_or_null};
use crate::model::{Ask, LineState, Millis, Number, Outcome, RepoName, RunId, Status, ThreadId};

/// Where a thread stands (B50).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Column {
    /// Nothing is at work, and there is no open pull request.
    Backlog,
    /// Somebody took it; nobody can yet.
    Claimed,
    /// A run is live.
    InProgress,
    /// Its pull request waits for people.
    Review,
    /// Merged, closed or reviewed.
    Done,
}

impl Column {
    /// All, in the order of the board.
    pub const ALL: [Self; 5] = [Self::Backlog, Self::Claimed, Self::InProgress, Self::Review, Self::Done];

    /// As it stands in the query.
    fn of(stage: i64) -> Self {
        match stage {
            0 => Self::Backlog,
            2 => Self::InProgress,
            3 => Self::Review,
            _ => Self::Done,
        }
    }
}

/// A thread on the board.
#[derive(Clone, Debug)]
pub struct Card {
    /// The thread.
    pub thread: ThreadId,
    /// Where it stands.
    pub column: Column,
    /// How many threads stand there, this one among them.
    pub of: i64,
    /// Its repository.
    pub repository: RepoName,
    /// Its number there.
    pub number: Number,
    /// What was asked for, in a line.
    pub title: String,
    /// When something was last asked for.
    pub moved_at: Millis,
    /// The run that says most of it: the live one, else the newest. `None`: a private task that nobody has started.
    pub work: Option<Work>,
    /// Its pull request, and how its line is.
    pub pull: Option<(Number, LineState)>,
    /// US dollars of all its runs, where agents say.
    pub cost_usd: Option<f64>,
}

/// What a card says of a run.
#[derive(Clone, Debug)]
pub struct Work {
    /// The run.
    pub run: RunId,
    /// The agent.
    pub agent: String,
    /// The runner that has it.
    pub runner: Option<String>,
    /// Where it is.
    pub status: Status,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// When the agent started.
    pub started_at: Option<Millis>,
    /// When it was over.
    pub done_at: Option<Millis>,
    /// Since when its runner does not answer.
    pub unreachable_since: Option<Millis>,
    /// Whether its agent left a question to a person.
    pub asks: bool,
}

/// Which threads the board shows.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Of these repositories, as JSON `[1,2]`; `None`: of all.
    pub visible: Option<Vec<i64>>,
    /// Of this repository.
    pub repository: Option<RepoName>,
    /// Worked on by this agent.
    pub agent: Option<String>,
    /// With this in what was asked for, in lower case.
    pub words: Option<String>,
    /// At most so many in a column.
    pub per_column: i64,
}

/// The cards, column by column, the newest first.
pub async fn cards(conn: &mut Conn, filter: &Filter) -> sqlx::Result<Vec<Card>> {
    // A line of work says where a thread stands once its runs are over; one without a line was only reviewed. All runs are gone through once,
    // in an index: asked for each thread, the same takes twice as long.
    let rows = sqlx::query(
        "with stood as ( \
           select thread.id, thread.number, thread.repository_id, task.title, moved.moved_at, \
             case \
               when moved.live = 1 then 2 \
               when task.closed_at is not null then 4 \
               when moved.live is null then 0 \
               when line.id is null then 4 \
               when line.state = 'open' and line.pull_number is not null then 3 \
               when line.state in ('merged', 'closed') then 4 \
               else 0 end as stage, \
             line.pull_number, line.state as line_state \
           from (select thread_id, max(queued_at) as moved_at, max(case when status <> 'done' then 1 else 0 end) as live \
             from run where discarded = 0 group by thread_id \
             union all select thread_id, created_at, null from task \
             where not exists (select 1 from run where run.thread_id = task.thread_id and run.discarded = 0)) as moved \
           join thread on thread.id = moved.thread_id left join task on task.thread_id = thread.id \
           left join line on line.id = (select id from line newest where newest.thread_id = thread.id \
             order by newest.created_at desc, newest.id desc limit 1) \
           where ($1 is null or thread.repository_id in (select value from json_each($1))) \
           and ($2 is null or thread.repository_id in (select id from repository where lower(owner) = lower($2) and lower(name) = lower($3))) \
           and ($4 is null or exists (select 1 from run where run.thread_id = thread.id and run.discarded = 0 and run.agent = $4)) \
           and ($5 is null or exists (select 1 from run where run.thread_id = thread.id and run.discarded = 0 and lower(run.ask) like $5 escape '\\') \
             or lower(task.title) like $5 escape '\\') \
         ), ranked as ( \
           select stood.*, count(*) over (partition by stage) as held, \
             row_number() over (partition by stage order by moved_at desc, id desc) as place \
           from stood \
         ) \
         select ranked.id as thread_id, ranked.number, ranked.stage, ranked.held, ranked.pull_number as line_pull, ranked.line_state, \
           ranked.title, ranked.moved_at, repository.owner, repository.name, run.id, run.ask, run.agent, run.runner, run.status, run.outcome, \
           run.started_at, run.done_at, run.unreachable_since, run.answer \
         from ranked join repository on repository.id = ranked.repository_id \
         left join run on run.id = (select id from run said where said.thread_id = ranked.id and said.discarded = 0 \
           order by case when said.status = 'done' then 1 else 0 end, said.queued_at desc, said.id desc limit 1) \
         where ranked.place <= $6 order by ranked.stage, ranked.place",
    )
    .bind(filter.visible.as_ref().map(|ids| format!("{ids:?}")))
    .bind(filter.repository.as_ref().map(|repo| repo.owner.clone()))
    .bind(filter.repository.as_ref().map(|repo| repo.name.clone()))
    .bind(&filter.agent)
    .bind(filter.words.as_deref().map(super::contains))
    .bind(filter.per_column)
    .fetch_all(&mut *conn)
    .await?;
    let mut cards: Vec<Card> = rows.iter().map(read).collect::<sqlx::Result<_>>()?;
    let threads: Vec<String> = cards.iter().map(|card| card.thread.to_string()).collect();
    let spent = sqlx::query(
        "select thread_id, usage from run where usage is not null and discarded = 0 and thread_id in (select value from json_each($1))",
    )
    .bind(super::to_json(&threads)?)
    .fetch_all(conn)
    .await?;
    let mut costs = std::collections::HashMap::<ThreadId, f64>::new();
    for row in &spent {
        if let Some(cost) = json::<crate::model::Usage>(row, "usage")?.cost_usd {
            *costs.entry(parsed(row, "thread_id")?).or_default() += cost;
        }
    }
    for card in &mut cards {
        card.cost_usd = costs.get(&card.thread).copied();
    }
    Ok(cards)
}

fn read(row: &Row) -> sqlx::Result<Card> {
    let line: Option<LineState> = parsed_or_null(row, "line_state")?;
    let pull: Option<i64> = row.try_get("line_pull")?;
    let work = row.try_get::<Option<String>, _>("id")?.map(|_| work(row)).transpose()?;
    Ok(Card {
        thread: parsed(row, "thread_id")?,
        column: Column::of(row.try_get("stage")?),
        of: row.try_get("held")?,
        repository: RepoName { owner: row.try_get("owner")?, name: row.try_get("name")? },
        number: Number(row.try_get("number")?),
        title: match work {
            Some(_) => json::<Ask>(row, "ask")?.title,
            None => row.try_get("title")?,
        },
        moved_at: row.try_get("moved_at")?,
        work,
        pull: pull.map(Number).zip(line),
        cost_usd: None,
    })
}

fn work(row: &Row) -> sqlx::Result<Work> {
    let answer: Option<String> = row.try_get("answer")?;
    Ok(Work {
        run: parsed(row, "id")?,
        agent: row.try_get("agent")?,
        runner: row.try_get("runner")?,
        status: parsed(row, "status")?,
        outcome: parsed_or_null(row, "outcome")?,
        started_at: row.try_get("started_at")?,
        done_at: row.try_get("done_at")?,
        unreachable_since: row.try_get("unreachable_since")?,
        asks: answer.is_some_and(|answer| answer.contains("\"needs_you\"")),
    })
}
