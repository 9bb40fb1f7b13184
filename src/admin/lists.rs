//! What the lists have in common: filters that stand in the address, and pages that begin behind a row.

use std::str::FromStr;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde::{Deserialize, Serialize};

use super::Admin;
use super::fault::Fault;
use super::live;
use super::person::{Person, Scope};
use super::sums::DAY;
use crate::db::{self, Conn, Turn};
use crate::model::{Millis, Repository, RepositoryId};

/// Rows of a page.
pub const ROWS: usize = 50;

/// A filter's text, if there is any.
pub fn given(text: &str) -> Option<String> {
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

/// One of the words of a filter.
pub fn word<T>(text: &str, filter: &str, read: impl Fn(&str) -> Option<T>) -> Result<Option<T>, Fault> {
    let read = |text: String| {
        read(&text).ok_or_else(|| {
            Fault::refused(format!("The filter \"{filter}\" does not know {text:?}. Choose one of its list."))
        })
    };
    given(text).map(read).transpose()
}

/// The beginning of a day, as a date field sends it.
pub fn day(text: &str, filter: &str) -> Result<Option<Millis>, Fault> {
    word(text, filter, |text| {
        let date = chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
        Some(date.and_time(chrono::NaiveTime::MIN).and_utc().timestamp_millis())
    })
    .map_err(|_| {
        Fault::refused(format!("The filter \"{filter}\" is a date like 2026-03-31, and {:?} is none.", text.trim()))
    })
}

/// The end of a day, which is the beginning of the next one.
pub fn end_of_day(text: &str, filter: &str) -> Result<Option<Millis>, Fault> {
    Ok(day(text, filter)?.map(|day| day.saturating_add(DAY)))
}

/// A day as a date field takes it.
pub fn date(at: Millis) -> String {
    chrono::DateTime::from_timestamp_millis(at).map(|time| time.format("%Y-%m-%d").to_string()).unwrap_or_default()
}

/// The repositories that a person sees, by name.
pub async fn seen(conn: &mut Conn, person: &Person) -> Result<Vec<Repository>, Fault> {
    let all = db::repositories::all(conn).await?;
    Ok(all.into_iter().filter(|repository| person.sees(repository.id)).collect())
}

/// The repository that a filter names; one that the person may not see is none.
pub fn repository(text: &str, seen: &[Repository]) -> Result<Option<RepositoryId>, Fault> {
    word(text, "repository", |name| {
        seen.iter().find(|repository| repository.name.to_string().eq_ignore_ascii_case(name)).map(|found| found.id)
    })
}

/// The repositories to which a person's lists are held.
pub fn within(person: &Person) -> Option<Vec<RepositoryId>> {
    match person.scope() {
        Scope::All => None,
        Scope::Only(ids) => {
            let mut ids: Vec<RepositoryId> = ids.iter().copied().collect();
            ids.sort();
            Some(ids)
        }
    }
}

/// Which page of a list an address asks for: `<milliseconds>-<id>` of the row behind or before which it stands.
pub fn turn<K: FromStr>(older: &str, newer: &str) -> Result<Turn<(Millis, K)>, Fault> {
    let edge = |text: &str| {
        word(text, "page", |text| {
            let (at, id) = text.split_once('-')?;
            Some((at.parse().ok()?, id.parse().ok()?))
        })
        .map_err(|_| Fault::refused("The address names a row that no list has. Open the list anew."))
    };
    Ok(match (edge(older)?, edge(newer)?) {
        (Some(edge), _) => Turn::Older(edge),
        (None, Some(edge)) => Turn::Newer(edge),
        (None, None) => Turn::Newest,
    })
}

/// The ways from a page to the pages beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ways {
    /// To the first page, where this is another one.
    pub newest: Option<String>,
    /// To the rows before.
    pub newer: Option<String>,
    /// To the rows after.
    pub older: Option<String>,
}

impl Ways {
    /// From a page of the list at `path`, filtered by `asked`; `key` is what a row is ordered by.
    pub fn of<T, K: std::fmt::Display>(
        path: &str,
        asked: &impl Serialize,
        page: &db::Page<T>,
        key: impl Fn(&T) -> (Millis, K),
    ) -> Self {
        let query = query(asked);
        let to = |side: &str, row: Option<&T>| {
            let (at, id) = key(row?);
            let and = if query.is_empty() { "" } else { "&" };
            Some(format!("{path}?{query}{and}{side}={at}-{id}"))
        };
        let first = || if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
        Self {
            newest: page.newer.then(first),
            newer: page.newer.then(|| to("newer", page.rows.first())).flatten(),
            older: page.older.then(|| to("older", page.rows.last())).flatten(),
        }
    }
}

/// What is asked for as it stands in an address; nothing that is empty.
pub fn query(asked: &impl Serialize) -> String {
    let fields = serde_urlencoded::to_string(asked).unwrap_or_default();
    fields.split('&').filter(|field| !field.ends_with('=')).collect::<Vec<_>>().join("&")
}

/// How many commits there had been when the page was made whose stream is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Since {
    pub(super) c: Option<u64>,
}

/// The handler of a list's stream: its page is made anew by the handler that shows it.
pub(super) fn watch<Q, F, Fut>(
    path: &'static str,
    show: F,
) -> impl Fn(State<Admin>, Person, HeaderMap, Query<Q>, Query<Since>) -> live::Answer + Clone
where
    Q: Serialize + Clone + Send + Sync + 'static,
    F: Fn(State<Admin>, Person, Query<Q>) -> Fut + Copy + Send + Sync + 'static,
    Fut: Future<Output = Result<Response, Fault>> + Send + 'static,
{
    move |State(admin), person, headers, Query(asked), Query(since)| {
        Box::pin(async move {
            let key = format!("{path} {} {}", query(&asked), person.view_key());
            let of = admin.clone();
            let again: live::Again =
                Arc::new(move || Box::pin(show(State(of.clone()), person.clone(), Query(asked.clone()))));
            live::of_page(&admin, key, &headers, since.c, again).await
        })
    }
}

/// Where a list is watched. Asked for before the tables are read: what is committed between comes with the stream.
pub(super) fn address(admin: &Admin, path: &str, asked: &impl Serialize) -> String {
    let commits = *admin.context().db.commits().borrow();
    format!("{path}/live?c={commits}&{}", query(asked))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::Page;

    #[derive(Serialize)]
    struct Asked {
        repo: &'static str,
        q: &'static str,
    }

    #[test]
    fn an_address_says_what_is_shown_and_nothing_more() {
        assert_eq!(query(&Asked { repo: "", q: "" }), "");
        assert_eq!(query(&Asked { repo: "", q: "a&b=c d" }), "q=a%26b%3Dc+d");
        let page = Page { rows: vec![(9, "b"), (5, "a")], newer: true, older: true };
        let ways = Ways::of("/admin/x", &Asked { repo: "octo/hello", q: "" }, &page, |row| *row);
        insta::assert_snapshot!(format!("{ways:#?}"), @r#"
        Ways {
            newest: Some(
                "/admin/x?repo=octo%2Fhello",
            ),
            newer: Some(
                "/admin/x?repo=octo%2Fhello&newer=9-b",
            ),
            older: Some(
                "/admin/x?repo=octo%2Fhello&older=5-a",
            ),
        }
        "#);
        let only = Page { rows: vec![(9, "b")], newer: false, older: false };
        assert_eq!(Ways::of("/admin/x", &Asked { repo: "", q: "" }, &only, |row| *row), Ways::default());
    }

    #[test]
    fn what_nobody_chose_is_told_as_such() {
        assert_eq!(day("", "from").unwrap(), None);
        assert_eq!(day(" 1970-01-02 ", "from").unwrap(), Some(DAY));
        assert_eq!(end_of_day("1970-01-02", "until").unwrap(), Some(2 * DAY));
        assert_eq!(date(DAY), "1970-01-02");
        let told = [
            day("yesterday", "from").unwrap_err().told().to_owned(),
            turn::<i64>("x", "").unwrap_err().told().to_owned(),
            word("<b>", "state", |_| None::<()>).unwrap_err().told().to_owned(),
        ];
        insta::assert_snapshot!(told.join("\n"), @r#"
        The filter "from" is a date like 2026-03-31, and "yesterday" is none.
        The address names a row that no list has. Open the list anew.
        The filter "state" does not know "<b>". Choose one of its list.
        "#);
        assert_eq!(turn::<i64>("7-3", "").unwrap(), Turn::Older((7, 3)));
        assert_eq!(turn::<i64>("", "7-3").unwrap(), Turn::Newer((7, 3)));
    }
}
