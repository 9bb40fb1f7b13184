//! Health: what doctor knows, what is missing first, and how much waits.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::Deserialize;

use super::Admin;
use super::access::{Access, Routes};
use super::fault::Fault;
use super::live::{self, Part};
use super::person::Person;
use super::said::{List, Said};
use super::view::{Ago, Elapsed, Frame, Safe, filters, page};
use crate::context::Context;
use crate::doctor::{self, Alert, Facts, Group, Machinery, Mark, judge};
use crate::fleet::Fleet;
use crate::model::Millis;

pub(super) fn routes(routes: Routes) -> Routes {
    routes.get(Access::Admin, "/admin/health", show).get(Access::Admin, "/admin/health/live", watch).post(
        Access::Admin,
        "/admin/health/check",
        check,
    )
}

/// What needs an operator now; no page is slow for it.
pub(super) async fn alerts(admin: &Admin) -> Result<Vec<Alert>, Fault> {
    Ok(doctor::alerts(&Fleet::of(admin.context()).parts()).await?)
}

#[derive(Template)]
#[template(path = "health.html")]
struct HealthPage {
    frame: Frame,
    counts: Safe,
    findings: Safe,
    live: String,
}

#[derive(Template)]
#[template(path = "health_counts.html")]
struct Counts {
    now: Millis,
    machinery: Machinery,
    live_runs: usize,
    home: String,
}

impl Counts {
    fn ago(&self, at: &Millis) -> Ago {
        Ago::new(*at, self.now)
    }

    fn uptime(&self) -> Elapsed {
        Elapsed { since: self.machinery.started_at, now: self.now }
    }
}

#[derive(Template)]
#[template(path = "health_findings.html")]
struct Findings {
    now: Millis,
    looked_at: Option<Millis>,
    is_looking: bool,
    /// What is missing, and what could be better, by what it is about.
    open: Vec<About>,
    /// What is as it should be.
    fine: Vec<About>,
    missing: usize,
}

/// Lines about one thing.
struct About {
    title: &'static str,
    list: Safe,
    count: usize,
}

impl Findings {
    fn new(facts: &Facts, is_looking: bool) -> Result<Self, Fault> {
        let findings = judge(facts);
        let about = |fine: bool| -> Result<Vec<About>, Fault> {
            let mut all = Vec::new();
            for group in Group::ALL {
                let of_group = findings.iter().filter(|finding| finding.group == group);
                let mut lines: Vec<Said> =
                    of_group.map(Said::finding).filter(|said| (said.mark == Mark::Fine) == fine).collect();
                lines.sort_by_key(|said| said.mark);
                if !lines.is_empty() {
                    let list = Safe(List { lines: &lines, links: true }.render()?);
                    all.push(About { title: group.title(), list, count: lines.len() });
                }
            }
            Ok(all)
        };
        Ok(Self {
            now: facts.now,
            looked_at: facts.around.as_ref().map(|around| around.at),
            is_looking,
            open: about(false)?,
            fine: about(true)?,
            missing: findings.iter().filter(|finding| finding.mark() == Mark::Miss).count(),
        })
    }

    fn ago(&self, at: &Millis) -> Ago {
        Ago::new(*at, self.now)
    }
}

async fn parts(context: &Context) -> Result<Vec<Part>, Fault> {
    let fleet = Fleet::of(context);
    let facts = doctor::facts(&fleet.parts(), &context.config).await;
    let machinery = match &facts.server {
        Some(Ok(server)) => server.machinery.clone(),
        Some(Err(_)) | None => Machinery::default(),
    };
    let counts = Counts {
        now: facts.now,
        machinery,
        live_runs: context.active.len(),
        home: context.config.home.display().to_string(),
    };
    let findings = Findings::new(&facts, context.kept.is_looking_around())?;
    Ok(vec![Part::new("counts", counts.render()?), Part::new("findings", findings.render()?)])
}

async fn show(State(admin): State<Admin>, person: Person) -> Result<Response, Fault> {
    let parts = parts(admin.context()).await?;
    let live = format!("/admin/health/live?v={}", live::version(&parts));
    let [counts, findings] = [0, 1].map(|at| Safe(parts[at].html.to_string()));
    let frame = Frame::new(&admin, Some(&person), "Health", "Health");
    Ok(page(&HealthPage { frame, counts, findings, live }))
}

/// What a stream is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Shown {
    /// What the page shows already.
    pub v: Option<String>,
}

async fn watch(State(admin): State<Admin>, headers: HeaderMap, Query(shown): Query<Shown>) -> Result<Response, Fault> {
    let context = admin.context().clone();
    let make: live::Make = Arc::new(move || {
        let context = context.clone();
        Box::pin(async move { parts(&context).await })
    });
    live::stream(&admin, "health".to_owned(), &headers, shown.v.as_deref(), make).await
}

/// Looks at everything again, while the page already shows that it does.
async fn check(State(admin): State<Admin>) -> Response {
    let context = admin.context().clone();
    let mut changed = context.kept.subscribe();
    let looking = tokio::spawn({
        let context = context.clone();
        async move {
            let fleet = Fleet::of(&context);
            doctor::refresh(&fleet.parts(), Some(&context.github)).await;
        }
    });
    // Until it has begun, so that the page that is asked for next says so.
    tokio::select! {
        _ = changed.changed() => {}
        _ = looking => {}
    }
    Redirect::to("/admin/health").into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_known_yet_says_so() {
        let facts = Facts {
            config: Ok(Arc::new(crate::config::Config::defaults("/data".into()))),
            now: 0,
            around: None,
            server: None,
        };
        let html = Findings::new(&facts, true).unwrap().render().unwrap();
        assert!(html.contains("Looking") && html.contains("GITHUB_APP_ID"), "{html}");
    }
}
