//! What the work comes to (B71): runs, success, time to a pull request, tokens and cost by day, repository, agent and user.

mod charts;
mod download;

use std::collections::HashMap;

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use serde::{Deserialize, Serialize};

use super::Admin;
use super::access::{Access, Routes};
use super::fault::Fault;
use super::lists::{self, given};
use super::person::Person;
use super::runs::short;
use super::sums::{self, DAY, Sums};
use super::view::{Frame, filters, money, number, page, span};
use crate::db::{self, Conn, usage::Filter, usage::Spent};
use crate::model::{AccountId, Millis, Repository};

const PATH: &str = "/admin/usage";
/// Periods to choose from, in days; the second one is shown unless another one is chosen.
const PERIODS: [i64; 3] = [7, 30, 90];
/// The longest period that the page shows day by day.
const LONGEST: i64 = 400;

/// What the address says that is counted.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Asked {
    days: String,
    from: String,
    until: String,
    repo: String,
    agent: String,
    who: String,
    /// What a table for spreadsheets has a line for.
    #[serde(skip_serializing)]
    by: String,
}

/// What sums are grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Day,
    Repository,
    Agent,
    User,
}

impl By {
    const ALL: [Self; 4] = [Self::Day, Self::Repository, Self::Agent, Self::User];

    fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Repository => "repository",
            Self::Agent => "agent",
            Self::User => "user",
        }
    }

    fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|by| by.as_str() == word)
    }
}

impl Asked {
    /// From the beginning of a day to the end of one.
    fn period(&self, now: Millis) -> Result<(Millis, Millis), Fault> {
        let days = lists::word(&self.days, "days", |days| days.parse().ok().filter(|days| PERIODS.contains(days)))?;
        let tomorrow = (now.div_euclid(DAY) + 1) * DAY;
        let until = lists::end_of_day(&self.until, "until")?.unwrap_or(tomorrow);
        let from = lists::day(&self.from, "from")?.unwrap_or(until - days.unwrap_or(PERIODS[1]) * DAY);
        if from >= until {
            return Err(Fault::refused(
                "The period ends before it begins. Choose a day \"until\" that is not before \"from\".",
            ));
        }
        if until - from > LONGEST * DAY {
            return Err(Fault::refused(format!(
                "A period has at most {LONGEST} days. Choose days that are nearer to each other."
            )));
        }
        Ok((from, until))
    }

    fn filter(&self, person: &Person, seen: &[Repository], now: Millis) -> Result<Filter, Fault> {
        // What others cost is for admins: a viewer is shown their own runs, and none who came by a link that names nobody.
        let requester = match (person.is_admin(), person.account()) {
            (true, _) => None,
            (false, Some(account)) => Some(account.id),
            (false, None) => Some(AccountId(0)),
        };
        Ok(Filter {
            period: self.period(now)?,
            within: lists::within(person),
            repository: lists::repository(&self.repo, seen)?,
            agent: given(&self.agent),
            login: given(&self.who).filter(|_| person.is_admin()),
            requester,
        })
    }

    fn is_filtered(&self) -> bool {
        [&self.repo, &self.agent, &self.who].iter().any(|text| given(text).is_some())
    }

    /// The address with another choice.
    fn with(&self, change: impl FnOnce(&mut Self)) -> String {
        let mut other = self.clone();
        change(&mut other);
        lists::query(&other)
    }
}

/// Sums that have something in common, by the name of that.
struct Table {
    by: By,
    title: &'static str,
    rows: Vec<Row>,
}

impl Table {
    /// The head of its first column.
    fn head(&self) -> &'static str {
        match self.by {
            By::Day => "Day",
            By::Repository => "Repository",
            By::Agent => "Agent",
            By::User => "User",
        }
    }
}

struct Row {
    name: String,
    /// Where the same is shown of this one alone.
    only: Option<String>,
    sums: Sums,
}

#[derive(Template)]
#[template(path = "usage.html")]
struct UsagePage {
    frame: Frame,
    /// Address of its stream.
    live: String,
    asked: Asked,
    period: (Millis, Millis),
    repositories: Vec<Repository>,
    agents: Vec<String>,
    all: Sums,
    charts: Vec<charts::Picture>,
    tables: Vec<Table>,
}

impl UsagePage {
    /// The periods with their addresses, and which one is shown.
    fn periods(&self) -> Vec<(i64, String, bool)> {
        let shown = |days: i64| (self.period.1 - self.period.0) == days * DAY && given(&self.asked.until).is_none();
        let address = |days: i64| {
            self.asked.with(|asked| {
                (asked.days, asked.from, asked.until) = (days.to_string(), String::new(), String::new());
            })
        };
        PERIODS.map(|days| (days, address(days), shown(days))).to_vec()
    }

    fn query(&self) -> String {
        lists::query(&self.asked)
    }
}

/// The heads of every table, behind the one of what it is grouped by.
const HEADS: [&str; 13] = [
    "Runs",
    "Succeeded",
    "Failed",
    "Blocked",
    "Canceled",
    "Success",
    "Agents' time",
    "To PR, half",
    "To PR, 9 of 10",
    "Tokens in",
    "Of those cached",
    "Tokens out",
    "Cost",
];

/// Sums as the cells below [`HEADS`].
fn cells(sums: &Sums) -> [String; 13] {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "–".to_owned());
    [
        number(sums.runs),
        number(sums.succeeded),
        number(sums.failed),
        number(sums.blocked),
        number(sums.canceled),
        or_dash(sums.success_rate().as_ref().map(percent)),
        if sums.agent_time == 0 { "–".to_owned() } else { span(sums.agent_time) },
        or_dash(sums.to_pull_median().map(span)),
        or_dash(sums.to_pull_p90().map(span)),
        or_dash(sums.has_tokens().then(|| tokens(&sums.tokens_in))),
        or_dash(sums.has_tokens().then(|| tokens(&sums.tokens_cached))),
        or_dash(sums.has_tokens().then(|| tokens(&sums.tokens_out))),
        or_dash(sums.cost().as_ref().map(price)),
    ]
}

fn percent(share: &f64) -> String {
    format!("{:.0} %", share * 100.0)
}

fn tokens(tokens: &i64) -> String {
    short(u64::try_from(*tokens).unwrap_or(0))
}

fn count(n: &u64) -> String {
    number(*n)
}

/// Millionths of a US dollar as people read them.
fn price(micro: &i64) -> String {
    money(dollars(*micro))
}

fn first_day(from: &Millis) -> String {
    lists::date(*from)
}

/// The last day of a period that ends before a time.
fn last_day(until: &Millis) -> String {
    lists::date(until - DAY)
}

fn dollars(micro: i64) -> f64 {
    micro as f64 / 1e6
}

pub(super) fn routes(routes: Routes) -> Routes {
    routes.get(Access::SignedIn, PATH, show).get(Access::SignedIn, "/admin/usage/live", lists::watch(PATH, show)).get(
        Access::SignedIn,
        "/admin/usage.csv",
        download::csv,
    )
}

/// `GET /admin/usage`.
async fn show(State(admin): State<Admin>, person: Person, Query(asked): Query<Asked>) -> Result<Response, Fault> {
    let live = lists::address(&admin, PATH, &asked);
    let context = admin.context();
    let mut conn = context.db.read().await?;
    let repositories = lists::seen(&mut conn, &person).await?;
    let filter = asked.filter(&person, &repositories, context.clock.now())?;
    let spent = db::usage::spent(&mut conn, &filter).await?;
    let logins = logins(&mut conn, &spent).await?;
    drop(conn);
    let days = sums::by_day(&spent, filter.period);
    let kinds = By::ALL.into_iter().filter(|by| person.is_admin() || *by != By::User);
    let mut tables: Vec<Table> = kinds.map(|by| table(by, &asked, &spent, &repositories, (&logins, &days))).collect();
    for table in tables.iter_mut().filter(|table| table.by == By::Day) {
        // What somebody looks for is near the top, and days without a run can be seen in the charts.
        table.rows.retain(|row| row.sums.runs > 0);
        table.rows.reverse();
    }
    Ok(page(&UsagePage {
        frame: Frame::new(&admin, Some(&person), "Usage", "Usage"),
        live,
        period: filter.period,
        repositories,
        agents: context.config.agent_names().map(str::to_owned).collect(),
        all: Sums::of(&spent),
        charts: charts::all(&days),
        tables,
        asked,
    }))
}

type Logins = HashMap<AccountId, String>;
type Days = [(Millis, Sums)];

async fn logins(conn: &mut Conn, spent: &[Spent]) -> Result<Logins, Fault> {
    let mut accounts: Vec<AccountId> = spent.iter().map(|run| run.requester).collect();
    accounts.sort_unstable();
    accounts.dedup();
    Ok(db::usage::logins(conn, &accounts).await?.into_iter().collect())
}

fn table(
    by: By,
    asked: &Asked,
    spent: &[Spent],
    repositories: &[Repository],
    (logins, days): (&Logins, &Days),
) -> Table {
    let only = |change: &dyn Fn(&mut Asked)| Some(format!("{PATH}?{}", asked.with(change)));
    let mut rows: Vec<Row> = match by {
        By::Day => {
            days.iter().map(|(day, sums)| Row { name: lists::date(*day), only: None, sums: sums.clone() }).collect()
        }
        By::Repository => sums::grouped(spent, |run| run.repository)
            .into_iter()
            .map(|(id, sums)| {
                let known = repositories.iter().find(|repository| repository.id == id);
                let name = known.map_or_else(|| format!("repository {id}"), |known| known.name.to_string());
                let only = known.and_then(|_| only(&|asked| asked.repo.clone_from(&name)));
                Row { only, name, sums }
            })
            .collect(),
        By::Agent => sums::grouped(spent, |run| run.agent.as_str())
            .into_iter()
            .map(|(agent, sums)| Row {
                name: agent.to_owned(),
                only: only(&|asked| agent.clone_into(&mut asked.agent)),
                sums,
            })
            .collect(),
        By::User => sums::grouped(spent, |run| run.requester)
            .into_iter()
            .map(|(id, sums)| {
                let name = logins.get(&id).cloned().unwrap_or_else(|| format!("account {id}"));
                Row { only: only(&|asked| asked.who.clone_from(&name)), name, sums }
            })
            .collect(),
    };
    if by != By::Day {
        // The largest part first.
        rows.sort_by(|a, b| b.sums.runs.cmp(&a.sums.runs).then_with(|| a.name.cmp(&b.name)));
    }
    let title = match by {
        By::Day => "By day",
        By::Repository => "By repository",
        By::Agent => "By agent",
        By::User => "By user",
    };
    Table { by, title, rows }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = 1_790_000_000_000;

    fn period(days: &str, from: &str, until: &str) -> String {
        let asked = Asked { days: days.into(), from: from.into(), until: until.into(), ..Asked::default() };
        match asked.period(NOW) {
            Ok((from, until)) => format!("{} to before {}", lists::date(from), lists::date(until)),
            Err(fault) => fault.told().to_owned(),
        }
    }

    #[test]
    fn a_period_has_whole_days() {
        let told = [
            period("", "", ""),
            period("7", "", ""),
            period("90", "", "2026-01-31"),
            period("", "2026-01-01", "2026-01-01"),
            period("", "2026-01-02", "2026-01-01"),
            period("", "0001-01-01", "9999-01-01"),
            period("8", "", ""),
        ];
        insta::assert_snapshot!(told.join("\n"), @r#"
        2026-08-23 to before 2026-09-22
        2026-09-15 to before 2026-09-22
        2025-11-03 to before 2026-02-01
        2026-01-01 to before 2026-01-02
        The period ends before it begins. Choose a day "until" that is not before "from".
        A period has at most 400 days. Choose days that are nearer to each other.
        The filter "days" does not know "8". Choose one of its list.
        "#);
    }

    #[test]
    fn what_is_not_known_is_a_dash() {
        insta::assert_snapshot!(cells(&Sums::default()).join(" | "), @"0 | 0 | 0 | 0 | 0 | – | – | – | – | – | – | – | –");
    }
}
