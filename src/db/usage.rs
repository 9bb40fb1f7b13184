//! What runs consumed and how they ended, slim enough that sums over ten thousand of them are made for every view of a page.
//!
//! Sums, rates and medians over four groupings are one pass over the same figures, which SQL would need a sort each for. So the rows are
//! only gathered here, from an index that has all of it, and travel as one text: a row of a result costs more than what is in it.

use sqlx::Row as _;
use sqlx::sqlite::SqliteArguments;
use sqlx::{AssertSqlSafe, query_with};

use super::Conn;
use super::conditions::Conditions;
use crate::model::{AccountId, Millis, Outcome, RepositoryId};

/// Which runs are counted: those for which everything that is given holds. Discarded ones are, for their cost was real.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Asked for at this time or later, and before that one.
    pub period: (Millis, Millis),
    /// Of these repositories only; `None`: of all.
    pub within: Option<Vec<RepositoryId>>,
    /// Of this repository.
    pub repository: Option<RepositoryId>,
    /// By this agent.
    pub agent: Option<String>,
    /// Asked for by the account with this login.
    pub login: Option<String>,
    /// Asked for by this account.
    pub requester: Option<AccountId>,
}

/// What is counted of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spent {
    /// When it was asked for.
    pub queued_at: Millis,
    /// The thread's repository.
    pub repository: RepositoryId,
    /// Who asked.
    pub requester: AccountId,
    /// The agent's name.
    pub agent: String,
    /// How it ended; `None` while it is live.
    pub outcome: Option<Outcome>,
    /// How long its agent worked, if it has ended.
    pub agent_time: Option<Millis>,
    /// From the request to its pull request: of a task that brought one.
    pub to_pull: Option<Millis>,
    /// Tokens read, cached ones included.
    pub tokens_in: i64,
    /// Of those, tokens that came from the provider's cache.
    pub tokens_cached: i64,
    /// Tokens written.
    pub tokens_out: i64,
    /// In millionths of a US dollar; `None` where the agent does not say.
    pub cost: Option<i64>,
}

/// Every run that a filter lets through, in no order.
pub async fn spent(conn: &mut Conn, filter: &Filter) -> sqlx::Result<Vec<Spent>> {
    let (sql, values) = statement(filter)?;
    let row = query_with(AssertSqlSafe(sql), values).fetch_one(conn).await?;
    let rows: Option<String> = row.try_get(0)?;
    rows.iter().flat_map(|rows| rows.split(BETWEEN_ROWS)).map(|row| read(row).ok_or_else(|| damaged(row))).collect()
}

/// Sums stand where other indexes have the column first, as in the list of runs: the rows are wide.
fn statement(filter: &Filter) -> sqlx::Result<(String, SqliteArguments)> {
    let mut all = Conditions::default();
    all.and("queued_at >= ? and queued_at < ?").bind(filter.period.0)?.bind(filter.period.1)?;
    if let Some(within) = &filter.within {
        all.one_of("repository_id + 0", within.iter().map(|id| id.0))?;
    }
    if let Some(repository) = filter.repository {
        all.and("repository_id + 0 = ?").bind(repository.0)?;
    }
    if let Some(agent) = &filter.agent {
        all.and("agent = ?").bind(agent.clone())?;
    }
    if let Some(login) = &filter.login {
        all.and("lower(requester_login) = ?").bind(login.to_lowercase())?;
    }
    if let Some(requester) = filter.requester {
        all.and("requester_id + 0 = ?").bind(requester.0)?;
    }
    let (text, values) = all.parts();
    Ok((format!("select string_agg({ROW}, '{BETWEEN_ROWS}') from run{text}"), values))
}

const BETWEEN_ROWS: char = '\n';
/// The fields of a row, which a null leaves empty. Names of agents are of the operator's making and stand last, whatever is in them.
const ROW: &str = "format('%s,%s,%s,%s,%s,%s,%s,%s,%s,%s,%s', queued_at, repository_id, requester_id, outcome, \
    ended_at - started_at, \
    case when kind = 'task' and outcome = 'succeeded' and pull_number is not null then done_at - queued_at end, \
    tokens_in, tokens_cached, tokens_out, cost_micro, agent)";

fn read(row: &str) -> Option<Spent> {
    fn or_none<T: std::str::FromStr>(field: &str) -> Option<Option<T>> {
        if field.is_empty() { Some(None) } else { field.parse().ok().map(Some) }
    }
    let mut fields = row.splitn(11, ',');
    let mut next = || fields.next();
    Some(Spent {
        queued_at: next()?.parse().ok()?,
        repository: RepositoryId(next()?.parse().ok()?),
        requester: AccountId(next()?.parse().ok()?),
        outcome: or_none(next()?)?,
        agent_time: or_none(next()?)?,
        to_pull: or_none(next()?)?,
        tokens_in: or_none(next()?)?.unwrap_or(0),
        tokens_cached: or_none(next()?)?.unwrap_or(0),
        tokens_out: or_none(next()?)?.unwrap_or(0),
        cost: or_none(next()?)?,
        agent: next()?.to_owned(),
    })
}

/// The login that each of some accounts had when it last asked for a run.
pub async fn logins(conn: &mut Conn, accounts: &[AccountId]) -> sqlx::Result<Vec<(AccountId, String)>> {
    let mut logins = Vec::with_capacity(accounts.len());
    for account in accounts {
        let login = "select requester_login from run where requester_id = $1 order by queued_at desc limit 1";
        let login: Option<String> = sqlx::query_scalar(login).bind(account.0).fetch_optional(&mut *conn).await?;
        logins.extend(login.map(|login| (*account, login)));
    }
    Ok(logins)
}

fn damaged(row: &str) -> sqlx::Error {
    sqlx::Error::ColumnDecode { index: "run".to_owned(), source: format!("{row:?} has not what is counted").into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_counted_is_gathered_without_reading_a_row() {
        let all = Filter { period: (1, 9), ..Filter::default() };
        let some = Filter { agent: Some("codex".to_owned()), repository: Some(RepositoryId(1)), ..all.clone() };
        let mine = Filter { within: Some(vec![RepositoryId(1)]), requester: Some(AccountId(2)), ..all.clone() };
        for filter in [all, some, mine] {
            let (sql, values) = statement(&filter).unwrap();
            let plan = crate::db::conditions::plan(sql, values).await;
            assert!(plan.contains("SEARCH run USING COVERING INDEX run_list (queued_at>? AND queued_at<?)"), "{plan}");
        }
    }

    #[test]
    fn a_row_is_read_as_it_was_written() {
        let row = "5,7,9,succeeded,60000,90000,10,4,3,1250000,codex, the careful one";
        let read_back = read(row).unwrap();
        assert_eq!((read_back.agent.as_str(), read_back.cost), ("codex, the careful one", Some(1_250_000)));
        assert_eq!((read_back.to_pull, read_back.outcome), (Some(90_000), Some(Outcome::Succeeded)));
        let live = read("5,7,9,,,,,,,,claude").unwrap();
        assert_eq!((live.outcome, live.agent_time, live.to_pull, live.cost), (None, None, None, None));
        for bad in ["", "5,7", "5,7,9,won,1,1,1,1,1,,codex", "x,7,9,,,,0,0,0,,codex", "5,7,9,,,,many,0,0,,codex"] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
    }
}
