//! Runs as a list shows them: picked through a narrow index, so that only the rows of one page are read.

use serde::Deserialize;
use sqlx::Row as _;
use sqlx::sqlite::SqliteArguments;
use sqlx::{AssertSqlSafe, query_with};

use super::conditions::{Conditions, anywhere};
use super::{Conn, Page, Row, Turn, json, json_or_null, parsed, parsed_or_null};
use crate::model::{
    AccountId, Kind, Millis, Number, Outcome, Phase, Reason, RepoName, RepositoryId, RunId, Status, ThreadId, Usage,
};

/// Words of a search that may stand apart from each other; what follows them is one phrase.
const TERMS: usize = 4;

/// Which runs a list shows: those for which everything that is given holds.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Of these repositories only, which are all that the reader may see; `None`: of all.
    pub within: Option<Vec<RepositoryId>>,
    /// Of this repository.
    pub repository: Option<RepositoryId>,
    /// By this agent.
    pub agent: Option<String>,
    /// On this runner.
    pub runner: Option<String>,
    /// Asked for by the account with this login.
    pub requester: Option<String>,
    /// Task, follow-up or review.
    pub kind: Option<Kind>,
    /// Where it is, or how it ended.
    pub state: Option<State>,
    /// With these words in number, title, branch or summary.
    pub words: Option<String>,
    /// Asked for at this time or later.
    pub from: Option<Millis>,
    /// Asked for before this time.
    pub until: Option<Millis>,
    /// Asked for by this account.
    pub requester_id: Option<AccountId>,
    /// Also those whose history was discarded.
    pub discarded: bool,
}

/// Where a run is and how it ended, as one thing to choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Not over.
    Live,
    /// At this point of its life.
    At(Status),
    /// Over, and ended so.
    Ended(Outcome),
}

impl State {
    /// Every state that people choose from.
    pub fn all() -> impl Iterator<Item = Self> {
        let at = Status::ALL.iter().copied().filter(|status| status.is_live()).map(Self::At);
        std::iter::once(Self::Live).chain(at).chain(Outcome::ALL.iter().copied().map(Self::Ended))
    }

    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::At(status) => status.as_str(),
            Self::Ended(outcome) => outcome.as_str(),
        }
    }

    /// The state of a word.
    pub fn named(word: &str) -> Option<Self> {
        Self::all().find(|state| state.as_str() == word)
    }
}

/// What runs are ordered by: when they were asked for, and their identity.
pub type Key = (Millis, RunId);

/// A run as a list shows it.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Its identity.
    pub id: RunId,
    /// The thread that it works on.
    pub thread: ThreadId,
    /// The thread's repository.
    pub repository: RepoName,
    /// The thread's number there.
    pub number: Number,
    /// Task, follow-up or review.
    pub kind: Kind,
    /// Title of the issue or pull request when it was asked for.
    pub title: String,
    /// The agent's name.
    pub agent: String,
    /// The model that was asked for.
    pub model: Option<String>,
    /// The runner that has it.
    pub runner: Option<String>,
    /// Login of who asked.
    pub requester: String,
    /// A review started it, not a person's command.
    pub automatic: bool,
    /// 1 for the first attempt.
    pub attempt: i64,
    /// Where it is.
    pub status: Status,
    /// What a preparing run is doing.
    pub phase: Option<Phase>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// Why it ended so.
    pub reason: Option<Reason>,
    /// When it was asked for.
    pub queued_at: Millis,
    /// When the agent started.
    pub started_at: Option<Millis>,
    /// When the agent ended.
    pub ended_at: Option<Millis>,
    /// When everything was over.
    pub done_at: Option<Millis>,
    /// The branch of its line of work.
    pub branch: Option<String>,
    /// Its pull request: the one that it brought, or that of its line.
    pub pull: Option<Number>,
    /// Page of the review that it submitted.
    pub review_url: Option<String>,
    /// What it consumed.
    pub usage: Option<Usage>,
}

impl Listed {
    /// What the list is ordered by.
    pub fn key(&self) -> Key {
        (self.queued_at, self.id)
    }
}

/// A page of the runs that a filter lets through.
pub async fn page(conn: &mut Conn, filter: &Filter, turn: Turn<Key>, size: usize) -> sqlx::Result<Page<Listed>> {
    let (sql, values) = statement(filter, &turn, size)?;
    let rows = query_with(AssertSqlSafe(sql), values).fetch_all(conn).await?;
    Ok(turn.page(rows.iter().map(read).collect::<sqlx::Result<_>>()?, size))
}

fn statement(filter: &Filter, turn: &Turn<Key>, size: usize) -> sqlx::Result<(String, SqliteArguments)> {
    let mut conditions = conditions(filter)?;
    if let Some((at, id)) = turn.edge() {
        let beyond = if turn.is_upwards() { "(queued_at, id) > (?, ?)" } else { "(queued_at, id) < (?, ?)" };
        conditions.and(beyond).bind(*at)?.bind(id.to_string())?;
    }
    let order = if turn.is_upwards() { "asc" } else { "desc" };
    let (text, values) = conditions.parts();
    let sql = format!(
        "select run.id, run.thread_id, run.kind, run.ask, run.agent, run.model, run.runner, run.requester_login, run.automatic, \
         run.attempt, run.status, run.phase, run.outcome, run.reason, run.queued_at, run.started_at, run.ended_at, run.done_at, \
         run.pull_number, run.review_url, run.usage, thread.number, repository.owner, repository.name, line.branch, \
         line.pull_number as line_pull \
         from (select id as picked from run{text} order by queued_at {order}, id {order} limit {}) as page \
         join run on run.id = page.picked join thread on thread.id = run.thread_id \
         join repository on repository.id = run.repository_id left join line on line.id = run.line_id \
         order by run.queued_at {order}, run.id {order}",
        size + 1
    );
    Ok((sql, values))
}

/// Other indexes have repository or requester first, and would lead the planner to rows that it reads whole: of a bot with one repository that
/// would be all of them. A sum is no column of an index.
fn conditions(filter: &Filter) -> sqlx::Result<Conditions> {
    let mut all = Conditions::default();
    if !filter.discarded {
        all.and("discarded = 0");
    }
    if let Some(within) = &filter.within {
        all.one_of("repository_id + 0", within.iter().map(|id| id.0))?;
    }
    if let Some(repository) = filter.repository {
        all.and("repository_id + 0 = ?").bind(repository.0)?;
    }
    if let Some(agent) = &filter.agent {
        all.and("agent = ?").bind(agent.clone())?;
    }
    if let Some(runner) = &filter.runner {
        all.and("runner = ?").bind(runner.clone())?;
    }
    if let Some(requester) = &filter.requester {
        all.and("lower(requester_login) = ?").bind(requester.to_lowercase())?;
    }
    if let Some(requester) = filter.requester_id {
        all.and("requester_id + 0 = ?").bind(requester.0)?;
    }
    if let Some(kind) = filter.kind {
        all.and("kind = ?").bind(kind.as_str())?;
    }
    match filter.state {
        None => {}
        Some(State::Live) => {
            all.and("status <> 'done'");
        }
        Some(State::At(status)) => {
            all.and("status = ?").bind(status.as_str())?;
        }
        Some(State::Ended(outcome)) => {
            all.and("outcome = ?").bind(outcome.as_str())?;
        }
    }
    for term in filter.words.iter().flat_map(|words| terms(words)) {
        // Not the plain id, or the planner goes through everything that was found instead of through the newest runs.
        all.and("coalesce(id, '') in (select run_id from run_words where words like ? escape '\\')");
        all.bind(anywhere(&term))?;
    }
    if let Some(from) = filter.from {
        all.and("queued_at >= ?").bind(from)?;
    }
    if let Some(until) = filter.until {
        all.and("queued_at < ?").bind(until)?;
    }
    Ok(all)
}

/// What is looked for, folded as the words of runs are.
fn terms(words: &str) -> Vec<String> {
    let words = words.trim().to_lowercase();
    words.splitn(TERMS, char::is_whitespace).map(str::trim).filter(|term| !term.is_empty()).map(str::to_owned).collect()
}

/// The title alone: the rest of an ask may be long.
#[derive(Deserialize)]
struct Titled {
    title: String,
}

fn read(row: &Row) -> sqlx::Result<Listed> {
    let pulls: [Option<i64>; 2] = [row.try_get("pull_number")?, row.try_get("line_pull")?];
    Ok(Listed {
        id: parsed(row, "id")?,
        thread: parsed(row, "thread_id")?,
        repository: RepoName { owner: row.try_get("owner")?, name: row.try_get("name")? },
        number: Number(row.try_get("number")?),
        kind: parsed(row, "kind")?,
        title: json::<Titled>(row, "ask")?.title,
        agent: row.try_get("agent")?,
        model: row.try_get("model")?,
        runner: row.try_get("runner")?,
        requester: row.try_get("requester_login")?,
        automatic: row.try_get::<i64, _>("automatic")? == 1,
        attempt: row.try_get("attempt")?,
        status: parsed(row, "status")?,
        phase: parsed_or_null(row, "phase")?,
        outcome: parsed_or_null(row, "outcome")?,
        reason: parsed_or_null(row, "reason")?,
        queued_at: row.try_get("queued_at")?,
        started_at: row.try_get("started_at")?,
        ended_at: row.try_get("ended_at")?,
        done_at: row.try_get("done_at")?,
        branch: row.try_get("branch")?,
        pull: pulls.into_iter().flatten().next().map(Number),
        review_url: row.try_get("review_url")?,
        usage: json_or_null(row, "usage")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::conditions::plan;

    #[test]
    fn a_search_is_a_few_words_and_then_a_phrase() {
        for (words, expected) in [
            ("", &[] as &[&str]),
            ("  Größe ", &["größe"]),
            ("a  b", &["a", "b"]),
            ("the parser loses the last line", &["the", "parser", "loses", "the last line"]),
        ] {
            assert_eq!(terms(words), expected, "{words:?}");
        }
    }

    #[tokio::test]
    async fn what_is_filtered_is_picked_without_reading_a_row() {
        let edge = (5, RunId::new());
        let given = || Some("x".to_owned());
        let within = Some(vec![RepositoryId(1), RepositoryId(2)]);
        for filter in [
            Filter::default(),
            Filter { within, repository: Some(RepositoryId(1)), agent: given(), ..Filter::default() },
            Filter { runner: given(), requester: given(), requester_id: Some(AccountId(3)), ..Filter::default() },
            Filter { state: Some(State::Ended(Outcome::Lost)), from: Some(1), until: Some(9), ..Filter::default() },
            Filter { words: Some("one two".to_owned()), discarded: true, ..Filter::default() },
        ] {
            for turn in [Turn::Newest, Turn::Older(edge), Turn::Newer(edge)] {
                let (sql, values) = statement(&filter, &turn, 50).unwrap();
                let plan = plan(sql, values).await;
                assert!(plan.contains("run USING COVERING INDEX run_list"), "{filter:?} {turn:?}: {plan}");
            }
        }
    }

    #[test]
    fn every_state_is_found_by_its_word() {
        for state in State::all() {
            assert_eq!(State::named(state.as_str()), Some(state));
        }
        assert_eq!(State::all().count(), 11);
        assert_eq!(State::named("done"), None);
    }
}
