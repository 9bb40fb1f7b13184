//! Runners: how each is doing, and all that can be done with them.

mod add;
mod edit;
mod form;
mod leave;
mod one;

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::Admin;
use super::access::{Access, Routes};
use super::fault::Fault;
use super::health::Shown;
use super::live::{self, Part};
use super::person::Person;
use super::view::{Ago, Frame, Safe, filters, page};
use crate::config::{Config, Network, Sandbox, Transport};
use crate::context::Context;
use crate::db;
use crate::db::decisions::Decision;
use crate::doctor::{self, Look, RunnerRow};
use crate::fleet::{self, Fleet};
use crate::model::Millis;
use crate::runner::Login;

/// Where runners are added: no runner can have such a name.
const ADD: &str = "/admin/runners/+add";

pub(super) fn routes(routes: Routes) -> Routes {
    use Access::Admin;
    routes
        .get(Admin, "/admin/runners", show)
        .get(Admin, "/admin/runners/+all/live", watch)
        .get(Admin, ADD, add::show)
        .post(Admin, ADD, add::step)
        .get(Admin, "/admin/runners/{name}", one::show)
        .get(Admin, "/admin/runners/{name}/live", one::watch)
        .post(Admin, "/admin/runners/{name}/check", one::check)
        .post(Admin, "/admin/runners/{name}/clean", one::clean)
        .post(Admin, "/admin/runners/{name}/drain", one::drain)
        .post(Admin, "/admin/runners/{name}/undrain", one::undrain)
        .get(Admin, "/admin/runners/{name}/edit", edit::show)
        .post(Admin, "/admin/runners/{name}/edit", edit::step)
        .get(Admin, "/admin/runners/{name}/reset", leave::show_reset)
        .post(Admin, "/admin/runners/{name}/reset", leave::reset)
        .get(Admin, "/admin/runners/{name}/remove", leave::show_remove)
        .post(Admin, "/admin/runners/{name}/remove", leave::remove)
}

impl From<fleet::Refused> for Fault {
    /// Only admins get here, and what a machine says of itself is what they need.
    fn from(refused: fleet::Refused) -> Self {
        let told = refused.to_string();
        match refused {
            fleet::Refused::Unknown(_) => Self::not_found("runner"),
            fleet::Refused::Conflict(_) => Self::new(StatusCode::CONFLICT, told),
            fleet::Refused::Wrong(_) | fleet::Refused::Failed(_) => Self::refused(told),
        }
    }
}

#[derive(Template)]
#[template(path = "runners.html")]
struct RunnersPage {
    frame: Frame,
    add: &'static str,
    list: Safe,
    live: String,
}

#[derive(Template)]
#[template(path = "runners_list.html")]
struct List {
    add: &'static str,
    runners: Vec<Shape>,
    now: Millis,
}

/// A runner as pages show it.
struct Shape {
    row: RunnerRow,
    is_looking: bool,
    default_agent: String,
}

impl Shape {
    fn new(row: RunnerRow, config: &Config, kept: &doctor::Kept) -> Self {
        let is_looking = kept.underway(&row.config.name).is_some();
        Self { is_looking, default_agent: config.default_agent.clone(), row }
    }

    fn name(&self) -> &str {
        &self.row.config.name
    }

    /// Where it is: `agent@10.0.0.5:22`.
    fn place(&self) -> String {
        match (&self.row.config.user, &self.row.config.host) {
            (Some(user), Some(host)) => format!("{user}@{host}:{}", self.row.config.port.unwrap_or(22)),
            _ => "this machine".to_owned(),
        }
    }

    fn is_ssh(&self) -> bool {
        self.row.config.transport == Transport::Ssh
    }

    fn source(&self) -> &'static str {
        if self.row.from_file { "track.toml" } else { "added here" }
    }

    /// How it is, and the colour of that.
    fn health(&self) -> (&str, &'static str) {
        let missing = self.row.look.as_ref().map_or(0, Look::missing);
        match self.row.state.as_str() {
            "ready" if missing > 0 => ("something is missing", "warn"),
            "ready" if self.row.look.is_none() => ("not looked at yet", "calm"),
            "ready" => ("ready", "good"),
            state if state.starts_with("out of service") => ("out of service", "bad"),
            state => (state, "bad"),
        }
    }

    /// Why it is out of service.
    fn why(&self) -> Option<&str> {
        self.row.state.strip_prefix("out of service: ")
    }

    fn sandbox(&self) -> &'static str {
        match (self.row.config.sandbox, self.row.config.network) {
            (Sandbox::None, _) => "none: agents may do what the account may",
            (Sandbox::Bubblewrap, Network::None) => "bubblewrap, without network",
            (Sandbox::Bubblewrap, Network::Open | Network::Relay) => "bubblewrap",
        }
    }

    fn agent(&self) -> &str {
        self.row.config.agent.as_deref().unwrap_or(&self.default_agent)
    }

    /// The round trip, as people read it.
    fn round_trip(&self) -> Option<String> {
        let micros = self.row.look.as_ref()?.round_trip?;
        Some(if micros < 10_000 {
            format!("{:.1} ms", micros as f64 / 1_000.0)
        } else {
            format!("{} ms", micros / 1_000)
        })
    }

    fn free(&self) -> Option<u64> {
        self.row.look.as_ref()?.free
    }

    fn used(&self) -> Option<u64> {
        self.row.look.as_ref()?.used
    }

    /// The host key, or where it is pinned.
    fn host_key(&self) -> Option<String> {
        let pinned = || Some(format!("as in {}", self.row.config.known_hosts_path.as_ref()?.display()));
        self.row.host_key_fingerprint.clone().or_else(pinned)
    }

    /// Agents that are there, each with its version and whether it is not logged in.
    fn agents(&self) -> Vec<(String, String, bool)> {
        let seen = self.row.look.iter().flat_map(|look| &look.agents);
        seen.map(|agent| (agent.name.clone(), agent.version.clone(), agent.login == Some(Login::None))).collect()
    }
}

impl List {
    fn ago(&self, at: &Millis) -> Ago {
        Ago::new(*at, self.now)
    }
}

async fn parts(context: &Context) -> Result<Vec<Part>, Fault> {
    let fleet = Fleet::of(context);
    let rows = doctor::rows(&fleet.parts()).await?;
    let runners = rows.into_iter().map(|row| Shape::new(row, &context.config, &context.kept)).collect();
    let list = List { add: ADD, runners, now: context.clock.now() };
    Ok(vec![Part::new("runners", list.render()?)])
}

async fn show(State(admin): State<Admin>, person: Person) -> Result<Response, Fault> {
    let parts = parts(admin.context()).await?;
    let live = format!("/admin/runners/+all/live?v={}", live::version(&parts));
    let frame = Frame::new(&admin, Some(&person), "Runners", "Runners");
    Ok(page(&RunnersPage { frame, add: ADD, list: Safe(parts[0].html.to_string()), live }))
}

async fn watch(State(admin): State<Admin>, headers: HeaderMap, Query(shown): Query<Shown>) -> Result<Response, Fault> {
    let context = admin.context().clone();
    let make: live::Make = Arc::new(move || {
        let context = context.clone();
        Box::pin(async move { parts(&context).await })
    });
    live::stream(&admin, "runners".to_owned(), &headers, shown.v.as_deref(), make).await
}

/// Puts on record who did what with a runner.
async fn record(context: &Context, person: &Person, (reason, what): (&str, &str), name: &str) -> Result<(), Fault> {
    let actor = person.account().map(|account| account.login.as_str());
    let mut record = Decision::of_bot(actor, reason, format!("runner {name}: {what} on the page"));
    record.about.runner = Some(name.to_owned());
    let mut tx = context.db.begin().await?;
    db::decisions::insert(&mut tx, &record, context.clock.now()).await?;
    tx.commit().await?;
    Ok(())
}
