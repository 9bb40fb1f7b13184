//! The inbox as people look at it: what waits, what was handled, and one delivery with its payload.
//!
//! What waits has an index of its own, which is short. What was handled or set aside is picked through another one that intake never
//! writes to; so a page is made of the two.

use sha2::{Digest as _, Sha256};
use sqlx::Row as _;
use sqlx::{AssertSqlSafe, query_with};

use super::conditions::Conditions;
use super::deliveries::Source;
use super::packed::unpack;
use super::{Conn, Page, Row, Turn};
use crate::model::{Millis, Number, RepositoryId};

/// Bytes of stored bodies that a list reads, to tell who did what.
const GLANCED: i64 = 64 * 1024;

/// Which deliveries are shown: those for which everything that is given holds.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Of this event.
    pub event: Option<String>,
    /// Of this repository.
    pub repository: Option<RepositoryId>,
    /// In this state of handling.
    pub state: Option<State>,
    /// That came so.
    pub source: Option<Source>,
    /// Of which this came: a verdict of its decisions.
    pub verdict: Option<String>,
    /// That came at this time or later.
    pub from: Option<Millis>,
    /// That came before this time.
    pub until: Option<Millis>,
}

/// How far a delivery was handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It waits, or waits again.
    New,
    /// What came of it is written.
    Handled,
    /// It could not be handled and was set aside.
    Quarantined,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::New, Self::Handled, Self::Quarantined];

    /// The word under which it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Handled => "handled",
            Self::Quarantined => "quarantined",
        }
    }

    /// The state of a word.
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// What deliveries are ordered by: when they came, and their place in the inbox.
pub type Key = (Millis, i64);

/// A delivery as it is shown.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Its place in the inbox.
    pub seq: i64,
    /// GitHub's id.
    pub id: String,
    /// The event's name.
    pub event: String,
    /// How it came.
    pub source: Source,
    /// When it came.
    pub received_at: Millis,
    /// How far it was handled.
    pub state: State,
    /// The repository, and the issue or pull request; unknown until it is first looked at.
    pub about: (Option<RepositoryId>, Option<Number>),
    /// Attempts that failed.
    pub tries: i64,
    /// Not handled before this time.
    pub not_before: Millis,
    /// Why the newest attempt failed, or why it was set aside.
    pub error: Option<String>,
    /// When it was handled or set aside.
    pub handled_at: Option<Millis>,
    /// The checksum of its body.
    pub sha256: String,
    /// Its body, compared with the checksum.
    pub body: Body,
}

impl Listed {
    /// What the list is ordered by.
    pub fn key(&self) -> Key {
        (self.received_at, self.seq)
    }
}

/// The body of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// As it came.
    Whole(Vec<u8>),
    /// It was handled long ago, and its body is not kept any more.
    Forgotten,
    /// What is stored is not what came.
    Damaged,
    /// Too large to be read for a list.
    Large,
}

/// A page of the deliveries that a filter lets through.
pub async fn page(conn: &mut Conn, filter: &Filter, turn: Turn<Key>, size: usize) -> sqlx::Result<Page<Listed>> {
    let mut rows = Vec::new();
    if matches!(filter.state, None | Some(State::New)) {
        rows.extend(picked(&mut *conn, filter, ("status = 'new'", "status = ?", State::New), turn, size).await?);
    }
    match filter.state {
        Some(State::New) => {}
        Some(state) => rows.extend(picked(conn, filter, ("status <> 'new'", "status = ?", state), turn, size).await?),
        None => {
            let settled = ("status <> 'new'", "status <> ?", State::New);
            rows.extend(picked(conn, filter, settled, turn, size).await?);
        }
    }
    rows.sort_by_key(Listed::key);
    if !turn.is_upwards() {
        rows.reverse();
    }
    Ok(turn.page(rows, size))
}

/// The delivery at a place of the inbox, with its whole body.
pub async fn get(conn: &mut Conn, seq: i64) -> sqlx::Result<Option<Listed>> {
    let row = sqlx::query("select *, 1 as whole from delivery where seq = $1").bind(seq).fetch_optional(conn).await?;
    row.map(|row| read(&row)).transpose()
}

/// How many deliveries wait, and how many of them for another attempt.
pub async fn waiting(conn: &mut Conn) -> sqlx::Result<(i64, i64)> {
    let row = sqlx::query("select count(*) as waiting, count(error) as failing from delivery where status = 'new'")
        .fetch_one(conn)
        .await?;
    Ok((row.try_get("waiting")?, row.try_get("failing")?))
}

/// Those of one index, the one of `part`, that the rest of the filter lets through.
async fn picked(
    conn: &mut Conn,
    filter: &Filter,
    (part, status, state): (&'static str, &'static str, State),
    turn: Turn<Key>,
    size: usize,
) -> sqlx::Result<Vec<Listed>> {
    let mut all = Conditions::default();
    all.and(part);
    all.and(status).bind(state.as_str())?;
    if let Some(event) = &filter.event {
        all.and("event = ?").bind(event.clone())?;
    }
    if let Some(RepositoryId(id)) = filter.repository {
        // A lane is the repository, or the repository, a slash and a number; '0' follows on the slash.
        all.and("(lane = ? or (lane >= ? and lane < ?))");
        all.bind(id.to_string())?.bind(format!("{id}/"))?.bind(format!("{id}0"))?;
    }
    match filter.source {
        None => {}
        Some(Source::ByHand) => {
            all.and("by_hand = 1");
        }
        Some(Source::Webhook) => {
            all.and("source = 'webhook'").and("by_hand = 0");
        }
        Some(Source::Sweep) => {
            all.and("source = 'sweep'");
        }
    }
    if let Some(verdict) = &filter.verdict {
        // Most deliveries are ignored or accepted, so that the next such one is near; others are looked for from their decisions.
        let condition = match verdict.as_str() {
            "ignored" | "accepted" => {
                "exists (select 1 from decision where decision.delivery_id = delivery.id and decision.verdict = ?)"
            }
            _ => "id in (select delivery_id from decision where verdict = ?)",
        };
        all.and(condition).bind(verdict.clone())?;
    }
    if let Some(from) = filter.from {
        all.and("received_at >= ?").bind(from)?;
    }
    if let Some(until) = filter.until {
        all.and("received_at < ?").bind(until)?;
    }
    if let Some((at, seq)) = turn.edge() {
        let beyond = if turn.is_upwards() { "(received_at, seq) > (?, ?)" } else { "(received_at, seq) < (?, ?)" };
        all.and(beyond).bind(*at)?.bind(*seq)?;
    }
    let order = if turn.is_upwards() { "asc" } else { "desc" };
    let (text, values) = all.parts();
    let sql = format!(
        "select seq, id, event, source, by_hand, received_at, status, lane, tries, not_before, error, handled_at, sha256, coding, \
         case when length(body) <= {GLANCED} then body end as body, \
         case when length(body) <= {GLANCED} then 1 else 0 end as whole from delivery \
         where seq in (select seq from delivery{text} order by received_at {order}, seq {order} limit {})",
        size + 1
    );
    let rows = query_with(AssertSqlSafe(sql), values).fetch_all(conn).await?;
    rows.iter().map(read).collect()
}

fn read(row: &Row) -> sqlx::Result<Listed> {
    let word = |column: &str| row.try_get::<String, _>(column);
    let unknown = |column: &str, word: String| sqlx::Error::ColumnDecode {
        index: column.to_owned(),
        source: format!("{word:?} is not known to this version").into(),
    };
    let source = match (word("source")?.as_str(), row.try_get::<i64, _>("by_hand")?) {
        (_, 1) => Source::ByHand,
        ("webhook", _) => Source::Webhook,
        ("sweep", _) => Source::Sweep,
        (other, _) => return Err(unknown("source", other.to_owned())),
    };
    let status = word("status")?;
    let lane: Option<String> = row.try_get("lane")?;
    let sha256 = word("sha256")?;
    let whole = row.try_get::<i64, _>("whole")? == 1;
    let body = match row.try_get::<Option<Vec<u8>>, _>("body")?.filter(|_| whole) {
        None => Body::Large,
        Some(stored) if stored.is_empty() => Body::Forgotten,
        Some(stored) => {
            let body = unpack(row.try_get("coding")?, stored);
            if hex::encode(Sha256::digest(&body)) == sha256 { Body::Whole(body) } else { Body::Damaged }
        }
    };
    Ok(Listed {
        seq: row.try_get("seq")?,
        id: row.try_get("id")?,
        event: row.try_get("event")?,
        source,
        received_at: row.try_get("received_at")?,
        state: State::named(&status).ok_or_else(|| unknown("status", status))?,
        about: about(lane.as_deref().unwrap_or_default()),
        tries: row.try_get("tries")?,
        not_before: row.try_get("not_before")?,
        error: row.try_get("error")?,
        handled_at: row.try_get("handled_at")?,
        sha256,
        body,
    })
}

/// What a lane says of the delivery in it.
fn about(lane: &str) -> (Option<RepositoryId>, Option<Number>) {
    let (repository, number) = lane.split_once('/').unwrap_or((lane, ""));
    (repository.parse().ok().map(RepositoryId), number.parse().ok().map(Number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_tells_what_its_deliveries_are_about() {
        assert_eq!(about("7/42"), (Some(RepositoryId(7)), Some(Number(42))));
        assert_eq!(about("7"), (Some(RepositoryId(7)), None));
        assert_eq!((about("-"), about("")), ((None, None), (None, None)));
    }
}
