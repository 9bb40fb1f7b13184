//! The inbox: what GitHub told, what was decided about it, and why.

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};

use super::Admin;
use super::access::{Access, Routes};
use super::fault::Fault;
use super::lists::{self, Ways, given, word};
use super::person::Person;
use super::runs::plain;
use super::view::{Frame, filters, page, short_run};
use crate::db::Turn;
use crate::db::audit::{self, Recorded, VERDICTS};
use crate::db::deliveries::Source;
use crate::db::delivery_list::{self, Body, Filter, Listed, State as Handling};
use crate::event::{Glance, glance};
use crate::logging::visible;
use crate::model::{Millis, Number, Repository};

const PATH: &str = "/admin/deliveries";
/// Characters of a payload that the page shows; all of it can be downloaded.
const SHOWN: usize = 64 * 1024;
/// Larger payloads are shown as they came: reading one takes several times its size.
const READ: usize = 1024 * 1024;
/// Events that somebody looks for: those that the App subscribes to and that mean something.
const EVENTS: [&str; 8] = [
    "installation",
    "installation_repositories",
    "issue_comment",
    "issues",
    "pull_request",
    "pull_request_review",
    "pull_request_review_comment",
    "repository",
];
const SOURCES: [(Source, &str, &str); 3] = [
    (Source::Webhook, "webhook", "webhook"),
    (Source::Sweep, "sweep", "fetched by the sweep"),
    (Source::ByHand, "by_hand", "asked for by hand"),
];

/// What the address says that the list shows.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
struct Asked {
    repo: String,
    event: String,
    state: String,
    source: String,
    verdict: String,
    from: String,
    until: String,
    #[serde(skip_serializing)]
    older: String,
    #[serde(skip_serializing)]
    newer: String,
}

impl Asked {
    fn filter(&self, seen: &[Repository]) -> Result<Filter, Fault> {
        let source = |word: &str| SOURCES.iter().find(|(_, name, _)| *name == word).map(|(source, ..)| *source);
        let verdict = |word: &str| VERDICTS.contains(&word).then(|| word.to_owned());
        Ok(Filter {
            event: given(&self.event),
            repository: lists::repository(&self.repo, seen)?,
            state: word(&self.state, "handled", Handling::named)?,
            source: word(&self.source, "came by", source)?,
            verdict: word(&self.verdict, "what came of it", verdict)?,
            from: lists::day(&self.from, "from")?,
            until: lists::end_of_day(&self.until, "until")?,
        })
    }

    fn is_filtered(&self) -> bool {
        !lists::query(self).is_empty()
    }
}

/// A delivery with what was decided about it.
struct Row {
    delivery: Listed,
    glance: Glance,
    decisions: Vec<Recorded>,
    repository: Option<String>,
}

impl Row {
    /// The event, and what exactly happened.
    fn what(&self) -> String {
        match self.glance.action.as_deref().filter(|action| !action.is_empty()) {
            Some(action) => format!("{}.{action}", self.delivery.event),
            None => self.delivery.event.clone(),
        }
    }

    fn number(&self) -> Option<Number> {
        self.delivery.about.1.or(self.glance.number.map(Number))
    }

    fn came_by(&self) -> &'static str {
        SOURCES.iter().find(|(source, ..)| *source == self.delivery.source).map_or("", |(.., told)| told)
    }

    /// Whether it is tried again, and not before a time that is still to come.
    fn waits_until(&self, now: &Millis) -> bool {
        self.delivery.state == Handling::New && self.delivery.not_before > *now
    }

    fn is_damaged(&self) -> bool {
        self.delivery.body == Body::Damaged
    }
}

#[derive(Template)]
#[template(path = "deliveries.html")]
struct DeliveriesPage {
    frame: Frame,
    /// Address of its stream.
    live: Option<String>,
    asked: Asked,
    repositories: Vec<Repository>,
    rows: Vec<Row>,
    ways: Ways,
    waiting: i64,
    failing: i64,
}

impl DeliveriesPage {
    fn events() -> [&'static str; 8] {
        EVENTS
    }

    fn verdicts() -> [&'static str; 4] {
        VERDICTS
    }

    fn states() -> [(Handling, &'static str); 3] {
        Handling::ALL.map(|state| (state, handling(&state)))
    }

    fn sources() -> [(Source, &'static str, &'static str); 3] {
        SOURCES
    }
}

#[derive(Template)]
#[template(path = "delivery.html")]
struct DeliveryPage {
    frame: Frame,
    row: Row,
    payload: Payload,
}

/// The payload as the page shows it.
enum Payload {
    /// So much of it, with the size of all of it.
    Text { shown: String, is_all: bool, bytes: u64 },
    /// Why there is nothing to show.
    Missing(&'static str),
}

/// How far a delivery is, in words.
fn handling(state: &Handling) -> &'static str {
    match state {
        Handling::New => "waiting",
        Handling::Handled => "handled",
        Handling::Quarantined => "set aside",
    }
}

/// The colour of a verdict.
pub(super) fn colour(verdict: &str) -> &'static str {
    match verdict {
        "accepted" => "good",
        "refused" => "bad",
        "noted" => "live",
        _ => "calm",
    }
}

pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .get(Access::Admin, PATH, show)
        .get(Access::Admin, "/admin/deliveries/live", lists::watch(PATH, show))
        .get(Access::Admin, "/admin/deliveries/{delivery}", one)
        .get(Access::Admin, "/admin/deliveries/{delivery}/payload", payload)
}

/// `GET /admin/deliveries`.
async fn show(State(admin): State<Admin>, person: Person, Query(asked): Query<Asked>) -> Result<Response, Fault> {
    let turn = lists::turn(&asked.older, &asked.newer)?;
    // Older pages do not change.
    let live = (turn == Turn::Newest).then(|| lists::address(&admin, PATH, &asked));
    let mut conn = admin.context().db.read().await?;
    let repositories = lists::seen(&mut conn, &person).await?;
    let filter = asked.filter(&repositories)?;
    let found = delivery_list::page(&mut conn, &filter, turn, lists::ROWS).await?;
    let ids: Vec<String> = found.rows.iter().map(|delivery| delivery.id.clone()).collect();
    let decisions = audit::of_deliveries(&mut conn, &ids).await?;
    let (waiting, failing) = delivery_list::waiting(&mut conn).await?;
    drop(conn);
    let ways = Ways::of(PATH, &asked, &found, Listed::key);
    let rows = rows(found.rows, decisions, &repositories);
    let frame = Frame::new(&admin, Some(&person), "Deliveries", "Deliveries");
    Ok(page(&DeliveriesPage { frame, live, asked, repositories, rows, ways, waiting, failing }))
}

/// `GET /admin/deliveries/{delivery}`, by its place in the inbox or by GitHub's id.
async fn one(State(admin): State<Admin>, person: Person, Path(delivery): Path<String>) -> Result<Response, Fault> {
    let mut conn = admin.context().db.read().await?;
    let found = find(&mut conn, &delivery).await?;
    let repositories = lists::seen(&mut conn, &person).await?;
    let decisions = audit::of_deliveries(&mut conn, std::slice::from_ref(&found.id)).await?;
    drop(conn);
    let payload = shown(&found.body);
    let mut rows = rows(vec![found], decisions, &repositories);
    let row = rows.pop().ok_or_else(|| Fault::not_found("delivery"))?;
    let frame = Frame::new(&admin, Some(&person), format!("Delivery {}", row.what()), "Deliveries");
    Ok(page(&DeliveryPage { frame, row, payload }))
}

/// `GET /admin/deliveries/{delivery}/payload`: the bytes as they came.
async fn payload(State(admin): State<Admin>, Path(delivery): Path<String>) -> Result<Response, Fault> {
    let mut conn = admin.context().db.read().await?;
    let found = find(&mut conn, &delivery).await?;
    drop(conn);
    let Body::Whole(body) = found.body else { return Err(Fault::refused(missing(&found.body))) };
    let name = format!("attachment; filename=\"delivery-{}.json\"", found.seq);
    let headers = [(CONTENT_TYPE, "application/json".to_owned()), (CONTENT_DISPOSITION, name)];
    Ok((headers, body).into_response())
}

async fn find(conn: &mut crate::db::Conn, delivery: &str) -> Result<Listed, Fault> {
    let seq = match delivery.parse::<i64>() {
        Ok(seq) => Some(seq),
        Err(_) => crate::db::deliveries::seq_of(&mut *conn, delivery).await?,
    };
    let found = match seq {
        Some(seq) => delivery_list::get(conn, seq).await?,
        None => None,
    };
    found.ok_or_else(|| Fault::not_found("delivery"))
}

fn rows(deliveries: Vec<Listed>, decisions: Vec<Recorded>, repositories: &[Repository]) -> Vec<Row> {
    let mut rows: Vec<Row> = deliveries
        .into_iter()
        .map(|delivery| {
            let glance = match &delivery.body {
                Body::Whole(body) => glance(body),
                _ => Glance::default(),
            };
            let known = delivery.about.0.and_then(|id| repositories.iter().find(|repository| repository.id == id));
            let repository = known.map(|known| known.name.to_string()).or_else(|| glance.repository.clone());
            Row { delivery, glance, decisions: Vec::new(), repository }
        })
        .collect();
    for decision in decisions {
        let Some((id, _)) = &decision.delivery else { continue };
        if let Some(row) = rows.iter_mut().find(|row| row.delivery.id == *id) {
            row.decisions.push(decision);
        }
    }
    rows
}

/// A payload as people read it: lines, as far as it is JSON, and nothing in it that could move a cursor.
fn shown(body: &Body) -> Payload {
    let Body::Whole(bytes) = body else { return Payload::Missing(missing(body)) };
    let read = (bytes.len() <= READ).then(|| serde_json::from_slice::<serde_json::Value>(bytes).ok()).flatten();
    let (text, is_cut) = match read.and_then(|value| serde_json::to_string_pretty(&value).ok()) {
        Some(pretty) => (pretty, false),
        // A character has four bytes at most.
        None => {
            let most = SHOWN * 4;
            (String::from_utf8_lossy(&bytes[..bytes.len().min(most)]).into_owned(), bytes.len() > most)
        }
    };
    let head: String = text.chars().take(SHOWN).collect();
    let is_all = !is_cut && head.len() == text.len();
    let shown = head.lines().map(visible).collect::<Vec<_>>().join("\n");
    Payload::Text { shown, is_all, bytes: bytes.len() as u64 }
}

fn missing(body: &Body) -> &'static str {
    match body {
        Body::Forgotten => "It was handled more than 30 days ago; payloads are not kept longer than that.",
        Body::Damaged => {
            "What is stored is not what came: the database is damaged there. Nothing is shown, and nothing is done because of it."
        }
        Body::Whole(_) | Body::Large => "It is too large to be shown.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(body: &[u8]) -> (String, bool) {
        match shown(&Body::Whole(body.to_vec())) {
            Payload::Text { shown, is_all, .. } => (shown, is_all),
            Payload::Missing(why) => panic!("{why}"),
        }
    }

    // T26
    #[test]
    fn a_payload_is_shown_in_lines_without_what_nobody_sees() {
        assert_eq!(
            text("{\"b\":[1],\"a\":\"x\u{202e}y\"}".as_bytes()),
            ("{\n  \"a\": \"x\\u{202e}y\",\n  \"b\": [\n    1\n  ]\n}".to_owned(), true)
        );
        assert_eq!(text(b"no JSON\x1b[2J\xff"), ("no JSON\\u{1b}[2J\u{fffd}".to_owned(), true));
    }

    #[test]
    fn of_a_large_payload_the_beginning_is_shown() {
        let long = format!("{{\"a\":\"{}\"}}", "x".repeat(SHOWN));
        let (shown, is_all) = text(long.as_bytes());
        assert_eq!((shown.chars().count(), is_all), (SHOWN, false));
        let huge = "x".repeat(READ + 1);
        assert_eq!((text(huge.as_bytes()).0.len(), text(huge.as_bytes()).1), (SHOWN, false));
        for gone in [Body::Forgotten, Body::Damaged, Body::Large] {
            assert!(matches!(super::shown(&gone), Payload::Missing(why) if why.ends_with('.')));
        }
    }
}
