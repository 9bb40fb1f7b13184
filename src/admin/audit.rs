//! Who did what: the decision records over everything.

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use serde::{Deserialize, Serialize};

use super::Admin;
use super::access::{Access, Routes};
use super::deliveries::colour;
use super::fault::Fault;
use super::lists::{self, Ways, given, word};
use super::person::Person;
use super::runs::plain;
use super::view::{Frame, filters, page, short_run, short_sha};
use crate::db::Turn;
use crate::db::audit::{self, Filter, Recorded, VERDICTS};
use crate::model::Repository;

const PATH: &str = "/admin/audit";

/// What the address says that the list shows.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
struct Asked {
    actor: String,
    verdict: String,
    reason: String,
    repo: String,
    from: String,
    until: String,
    #[serde(skip_serializing)]
    older: String,
    #[serde(skip_serializing)]
    newer: String,
}

impl Asked {
    fn filter(&self, seen: &[Repository]) -> Result<Filter, Fault> {
        let verdict = |word: &str| VERDICTS.contains(&word).then(|| word.to_owned());
        Ok(Filter {
            actor: given(&self.actor),
            verdict: word(&self.verdict, "verdict", verdict)?,
            // People see reasons without their underscores.
            reason: given(&self.reason).map(|reason| reason.to_lowercase().replace(' ', "_")),
            repository: lists::repository(&self.repo, seen)?,
            from: lists::day(&self.from, "from")?,
            until: lists::end_of_day(&self.until, "until")?,
        })
    }

    fn is_filtered(&self) -> bool {
        !lists::query(self).is_empty()
    }
}

#[derive(Template)]
#[template(path = "audit.html")]
struct AuditPage {
    frame: Frame,
    /// Address of its stream.
    live: Option<String>,
    asked: Asked,
    repositories: Vec<Repository>,
    records: Vec<Recorded>,
    ways: Ways,
}

impl AuditPage {
    fn verdicts() -> [&'static str; 4] {
        VERDICTS
    }
}

pub(super) fn routes(routes: Routes) -> Routes {
    routes.get(Access::Admin, PATH, show).get(Access::Admin, "/admin/audit/live", lists::watch(PATH, show))
}

/// `GET /admin/audit`.
async fn show(State(admin): State<Admin>, person: Person, Query(asked): Query<Asked>) -> Result<Response, Fault> {
    let turn = lists::turn(&asked.older, &asked.newer)?;
    // Older pages do not change.
    let live = (turn == Turn::Newest).then(|| lists::address(&admin, PATH, &asked));
    let mut conn = admin.context().db.read().await?;
    let repositories = lists::seen(&mut conn, &person).await?;
    let filter = asked.filter(&repositories)?;
    let found = audit::page(&mut conn, &filter, turn, lists::ROWS).await?;
    drop(conn);
    let ways = Ways::of(PATH, &asked, &found, Recorded::key);
    let frame = Frame::new(&admin, Some(&person), "Audit", "Audit");
    Ok(page(&AuditPage { frame, live, asked, repositories, records: found.rows, ways }))
}
