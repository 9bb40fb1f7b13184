//! One runner: how it is doing, what was found there line by line, and what can be done with it.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::Deserialize;

use super::super::Admin;
use super::super::fault::Fault;
use super::super::health::Shown;
use super::super::live::{self, Part};
use super::super::person::Person;
use super::super::said::{List, Said};
use super::super::view::{Ago, Frame, Safe, filters, page};
use super::{Shape, record};
use crate::context::Context;
use crate::db;
use crate::doctor::{self, Check};
use crate::fleet::Fleet;
use crate::model::{Millis, RunId, Status};
use crate::runner::{Login, Removed, Renewal, keys};

#[derive(Template)]
#[template(path = "runner.html")]
struct RunnerPage {
    frame: Frame,
    runner: Shape,
    /// The line for `authorized_keys`, where the bot logs in with its own key.
    public_key: Option<String>,
    state: Safe,
    checks: Safe,
    live: String,
    done: Option<String>,
}

#[derive(Template)]
#[template(path = "runner_state.html")]
struct Present {
    runner: Shape,
    live_runs: Vec<RunId>,
    agents: Vec<AgentLine>,
    now: Millis,
}

/// An agent that was seen there.
struct AgentLine {
    name: String,
    version: String,
    login: &'static str,
    until: Option<Millis>,
    is_out: bool,
}

impl Present {
    fn ago(&self, at: &Millis) -> Ago {
        Ago::new(*at, self.now)
    }
}

#[derive(Template)]
#[template(path = "runner_checks.html")]
struct Checks {
    /// What came so far, while somebody looks.
    underway: bool,
    looked_at: Option<Millis>,
    missing: usize,
    lines: Safe,
    is_empty: bool,
    now: Millis,
}

impl Checks {
    fn ago(&self, at: &Millis) -> Ago {
        Ago::new(*at, self.now)
    }
}

/// What a page that was led to says first.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Done {
    done: String,
    runs: u32,
    workspaces: u32,
    repositories: u32,
}

impl Done {
    fn told(&self, name: &str) -> Option<String> {
        let Self { runs, workspaces, repositories, .. } = self;
        let count = |n: &u32, one: &str, many: &str| format!("{n} {}", if *n == 1 { one } else { many });
        let removed = format!(
            "removed {}, {} and {}",
            count(runs, "run folder", "run folders"),
            count(workspaces, "workspace", "workspaces"),
            count(repositories, "repository", "repositories")
        );
        Some(match self.done.as_str() {
            "added" => format!("{name} is added. The checks below say what it still lacks."),
            "changed" => format!("{name} is changed. Live runs go on as they were started."),
            "pinned" => format!("{name} was there already: its host key is pinned anew, and nothing else has changed."),
            "cleaned" => format!("{name} is cleaned: {removed}."),
            "reset" => format!("{name} is reset: {removed}."),
            "drained" => format!("{name} takes no new runs. Those on it go on."),
            "undrained" => format!("{name} takes runs again."),
            _ => return None,
        })
    }
}

fn agent_lines(shape: &Shape) -> Vec<AgentLine> {
    let seen = shape.row.look.iter().flat_map(|look| &look.agents);
    seen.map(|agent| {
        let (login, until) = match agent.login {
            None => ("not asked for", None),
            Some(Login::None) => ("not logged in", None),
            Some(Login::Key) => ("by a key", None),
            Some(Login::Provider) => ("by its own settings", None),
            Some(Login::Account { renewal: Renewal::Renews, .. }) => ("by an account, renews itself", None),
            Some(Login::Account { until, renewal: Renewal::Stuck }) => {
                ("by an account that cannot renew itself", until)
            }
            Some(Login::Account { until, renewal: Renewal::Ends }) => ("by an account", until),
        };
        let (name, version) = (agent.name.clone(), agent.version.clone());
        AgentLine { name, version, login, until, is_out: agent.login == Some(Login::None) }
    })
    .collect()
}

async fn shape(context: &Context, name: &str) -> Result<Shape, Fault> {
    let fleet = Fleet::of(context);
    let rows = doctor::rows(&fleet.parts()).await?;
    let row = rows.into_iter().find(|row| row.config.name == name).ok_or_else(|| Fault::not_found("runner"))?;
    Ok(Shape::new(row, &context.config, &context.kept))
}

async fn parts(context: &Context, name: &str) -> Result<Vec<Part>, Fault> {
    let shape = shape(context, name).await?;
    let live = db::runs::live(&mut *context.db.read().await?).await?;
    let on_it = |run: &&db::runs::Run| run.runner.as_deref() == Some(name) && run.status != Status::Queued;
    let now = context.clock.now();
    let looked = shape.row.look.clone();
    let agents = agent_lines(&shape);
    let live_runs = live.iter().filter(on_it).map(|run| run.id).collect();
    let state = Present { runner: shape, live_runs, agents, now };
    let underway = context.kept.underway(name);
    let found: &[Check] = match (&underway, &looked) {
        (Some(lines), _) => lines,
        (None, Some(look)) => &look.checks,
        (None, None) => &[],
    };
    let mut lines: Vec<Said> = found.iter().map(Said::of).collect();
    if underway.is_none() {
        lines.sort_by_key(|said| said.mark);
    }
    let checks = Checks {
        underway: underway.is_some(),
        looked_at: looked.as_ref().map(|look| look.at),
        missing: found.iter().filter(|check| !check.ok).count(),
        is_empty: lines.is_empty(),
        lines: Safe(List { lines: &lines, links: false }.render()?),
        now,
    };
    Ok(vec![Part::new("state", state.render()?), Part::new("checks", checks.render()?)])
}

/// `GET /admin/runners/{name}`.
pub(super) async fn show(
    State(admin): State<Admin>,
    person: Person,
    Path(name): Path<String>,
    Query(done): Query<Done>,
) -> Result<Response, Fault> {
    let context = admin.context();
    let runner = shape(context, &name).await?;
    let parts = parts(context, &name).await?;
    let live = format!("/admin/runners/{name}/live?v={}", live::version(&parts));
    let public_key = match runner.is_ssh() && runner.row.config.key_path.is_none() {
        true => keys::own(&context.config.home).await.ok().map(|key| key.public),
        false => None,
    };
    let [state, checks] = [0, 1].map(|at| Safe(parts[at].html.to_string()));
    let frame = Frame::new(&admin, Some(&person), &name, "Runners");
    let done = done.told(&name);
    Ok(page(&RunnerPage { frame, runner, public_key, state, checks, live, done }))
}

/// `GET /admin/runners/{name}/live`.
pub(super) async fn watch(
    State(admin): State<Admin>,
    Path(name): Path<String>,
    headers: HeaderMap,
    Query(shown): Query<Shown>,
) -> Result<Response, Fault> {
    let context = admin.context().clone();
    let key = format!("runner {name}");
    let make: live::Make = Arc::new(move || {
        let (context, name) = (context.clone(), name.clone());
        Box::pin(async move { parts(&context, &name).await })
    });
    live::stream(&admin, key, &headers, shown.v.as_deref(), make).await
}

/// Begins to look at a runner; its page shows the lines as they come.
pub(super) async fn begin_check(context: &Arc<Context>, name: &str) {
    let mut changed = context.kept.subscribe();
    let looking = tokio::spawn({
        let (fleet, name) = (Fleet::of(context), name.to_owned());
        async move {
            if let Err(error) = fleet.check(&name).await {
                tracing::warn!("{error}");
            }
        }
    });
    // Until it has begun, so that the page that is asked for next says so.
    tokio::select! {
        _ = changed.changed() => {}
        _ = looking => {}
    }
}

/// `POST /admin/runners/{name}/check`.
pub(super) async fn check(State(admin): State<Admin>, Path(name): Path<String>) -> Result<Response, Fault> {
    Fleet::of(admin.context()).config_of(&name)?;
    begin_check(admin.context(), &name).await;
    Ok(Redirect::to(&format!("/admin/runners/{name}#checks")).into_response())
}

/// `POST /admin/runners/{name}/clean`.
pub(super) async fn clean(
    State(admin): State<Admin>,
    person: Person,
    Path(name): Path<String>,
) -> Result<Response, Fault> {
    let removed = Fleet::of(admin.context()).clean(&name).await?;
    record(admin.context(), &person, ("runner_cleaned", "cleaned"), &name).await?;
    Ok(led(&name, "cleaned", Some(removed)))
}

/// `POST /admin/runners/{name}/drain`.
pub(super) async fn drain(
    State(admin): State<Admin>,
    person: Person,
    Path(name): Path<String>,
) -> Result<Response, Fault> {
    Fleet::of(admin.context()).drain(&name).await?;
    record(admin.context(), &person, ("runner_drained", "drained"), &name).await?;
    Ok(led(&name, "drained", None))
}

/// `POST /admin/runners/{name}/undrain`.
pub(super) async fn undrain(
    State(admin): State<Admin>,
    person: Person,
    Path(name): Path<String>,
) -> Result<Response, Fault> {
    Fleet::of(admin.context()).undrain(&name).await?;
    record(admin.context(), &person, ("runner_undrained", "undrained"), &name).await?;
    Ok(led(&name, "undrained", None))
}

/// Back to a runner's page, which says what was done.
pub(super) fn led(name: &str, done: &str, removed: Option<Removed>) -> Response {
    let counts = removed.map_or_else(String::new, |Removed { runs, workspaces, repositories, .. }| {
        format!("&runs={runs}&workspaces={workspaces}&repositories={repositories}")
    });
    Redirect::to(&format!("/admin/runners/{name}?done={done}{counts}")).into_response()
}

/// To the page that says that a runner of `track.toml` is changed there.
pub(super) fn elsewhere(name: &str) -> Response {
    // The name as the file has it, which is one that an address can hold; the page answers for all others.
    let known = crate::config::is_name(name);
    Redirect::to(&if known { format!("/admin/runners/{name}") } else { "/admin/runners".to_owned() }).into_response()
}
