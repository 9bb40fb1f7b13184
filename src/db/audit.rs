//! The decision records over everything, for whoever asks who did what.

use sqlx::Row as _;
use sqlx::sqlite::SqliteArguments;
use sqlx::{AssertSqlSafe, query_with};

use super::conditions::Conditions;
use super::decisions::{self, Shown};
use super::{Conn, Page, Row, Turn, parsed_or_null};
use crate::model::{Millis, Number, RepoName, RepositoryId, ThreadId};

/// The verdicts that there are.
pub const VERDICTS: [&str; 4] = ["accepted", "ignored", "refused", "noted"];

/// Which decisions are shown: those for which everything that is given holds.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// What the account with this login caused.
    pub actor: Option<String>,
    /// With this verdict.
    pub verdict: Option<String>,
    /// With this reason.
    pub reason: Option<String>,
    /// In this repository.
    pub repository: Option<RepositoryId>,
    /// Made at this time or later.
    pub from: Option<Millis>,
    /// Made before this time.
    pub until: Option<Millis>,
}

/// What decisions are ordered by: when they were made, and their identity.
pub type Key = (Millis, String);

/// A decision with what it belongs to.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// Its identity.
    pub id: String,
    /// The delivery that asked for it, by GitHub's id and by its place in the inbox.
    pub delivery: Option<(String, i64)>,
    /// The repository, where it is known.
    pub repository: Option<RepoName>,
    /// The issue or pull request.
    pub number: Option<Number>,
    /// Its thread, if anything was ever wanted there.
    pub thread: Option<ThreadId>,
    /// The rest.
    pub shown: Shown,
}

impl Recorded {
    /// What the list is ordered by.
    pub fn key(&self) -> Key {
        (self.shown.at, self.id.clone())
    }
}

/// A page of the decisions that a filter lets through.
pub async fn page(conn: &mut Conn, filter: &Filter, turn: Turn<Key>, size: usize) -> sqlx::Result<Page<Recorded>> {
    let (sql, values) = statement(filter, &turn, size)?;
    let rows = query_with(AssertSqlSafe(sql), values).fetch_all(conn).await?;
    Ok(turn.page(rows.iter().map(read).collect::<sqlx::Result<_>>()?, size))
}

/// Verdict and repository are told so that no index that begins with them fits: most decisions may have the same one, and would be sorted.
fn statement(filter: &Filter, turn: &Turn<Key>, size: usize) -> sqlx::Result<(String, SqliteArguments)> {
    let mut all = Conditions::default();
    if let Some(actor) = &filter.actor {
        all.and("lower(actor) = ?").bind(actor.to_lowercase())?;
    }
    if let Some(verdict) = &filter.verdict {
        all.and("coalesce(verdict, '') = ?").bind(verdict.clone())?;
    }
    if let Some(reason) = &filter.reason {
        all.and("reason = ?").bind(reason.clone())?;
    }
    if let Some(repository) = filter.repository {
        all.and("repository_id + 0 = ?").bind(repository.0)?;
    }
    if let Some(from) = filter.from {
        all.and("at >= ?").bind(from)?;
    }
    if let Some(until) = filter.until {
        all.and("at < ?").bind(until)?;
    }
    if let Some((at, id)) = turn.edge() {
        let beyond = if turn.is_upwards() { "(at, id) > (?, ?)" } else { "(at, id) < (?, ?)" };
        all.and(beyond).bind(*at)?.bind(id.clone())?;
    }
    let order = if turn.is_upwards() { "asc" } else { "desc" };
    let (text, values) = all.parts();
    let picked = format!(
        "(select id as picked from decision{text} order by at {order}, id {order} limit {}) as page \
         join decision on decision.id = page.picked",
        size + 1
    );
    let sql = format!("{COLUMNS} from {picked} {BESIDE} order by decision.at {order}, decision.id {order}");
    Ok((sql, values))
}

/// What was decided about some deliveries, by GitHub's ids, in the order in which it was.
pub async fn of_deliveries(conn: &mut Conn, deliveries: &[String]) -> sqlx::Result<Vec<Recorded>> {
    let mut all = Conditions::default();
    all.one_of("decision.delivery_id", deliveries.iter().cloned())?;
    let (text, values) = all.parts();
    let sql = format!("{COLUMNS} from decision {BESIDE}{text} order by decision.id");
    let rows = query_with(AssertSqlSafe(sql), values).fetch_all(conn).await?;
    rows.iter().map(read).collect()
}

const COLUMNS: &str = "select decision.*, delivery.seq, repository.owner, repository.name, thread.id as thread_id";
const BESIDE: &str = "left join delivery on delivery.id = decision.delivery_id \
                      left join repository on repository.id = decision.repository_id \
                      left join thread on thread.repository_id = decision.repository_id and thread.number = decision.number";

fn read(row: &Row) -> sqlx::Result<Recorded> {
    let owner: Option<String> = row.try_get("owner")?;
    let delivery: Option<String> = row.try_get("delivery_id")?;
    Ok(Recorded {
        id: row.try_get("id")?,
        delivery: delivery.zip(row.try_get("seq")?),
        repository: match owner {
            Some(owner) => Some(RepoName { owner, name: row.try_get("name")? }),
            None => None,
        },
        number: row.try_get::<Option<i64>, _>("number")?.map(Number),
        thread: parsed_or_null(row, "thread_id")?,
        shown: decisions::read(row)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_filtered_is_picked_in_order_without_reading_a_row() {
        let given = || Some("x".to_owned());
        for filter in [
            Filter::default(),
            Filter { actor: given(), reason: given(), ..Filter::default() },
            Filter { verdict: given(), repository: Some(RepositoryId(1)), from: Some(1), ..Filter::default() },
        ] {
            for turn in [Turn::Newest, Turn::Older((5, "x".to_owned())), Turn::Newer((5, "x".to_owned()))] {
                let (sql, values) = statement(&filter, &turn, 50).unwrap();
                let plan = crate::db::conditions::plan(sql, values).await;
                assert!(plan.contains("decision USING COVERING INDEX decision_list"), "{filter:?} {turn:?}: {plan}");
            }
        }
    }
}
