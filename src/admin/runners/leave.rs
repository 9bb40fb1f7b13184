//! Emptying a runner and taking it out: each after a page that names what is lost (B43).

use askama::Template;
use axum::extract::{Form, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::Deserialize;

use super::super::Admin;
use super::super::fault::Fault;
use super::super::person::Person;
use super::super::view::{Frame, page};
use super::{one, record};
use crate::context::Context;
use crate::db;
use crate::fleet::{Fleet, in_use};
use crate::model::ThreadId;

/// Runs of a thread among which those are looked for that were on the runner.
const RUNS_LOOKED_AT: i64 = 20;
/// Threads that are named; the rest is counted.
const NAMED: usize = 50;

#[derive(Template)]
#[template(path = "runner_leave.html")]
struct LeavePage {
    frame: Frame,
    name: String,
    /// Whether it is emptied, and not taken out.
    is_reset: bool,
    /// What keeps it from that.
    kept_by: Option<String>,
    losing: Vec<Losing>,
    more: usize,
    wrong: Option<String>,
}

/// An issue or pull request whose workspace is there.
struct Losing {
    thread: ThreadId,
    place: String,
    /// How its newest run there ended.
    last: String,
    /// That run's commits are not on GitHub; the bot's mirror has them.
    is_unpublished: bool,
    agent: String,
}

/// What is typed to go on.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Confirmed {
    typed: String,
}

/// `GET /admin/runners/{name}/reset`.
pub(super) async fn show_reset(
    State(admin): State<Admin>,
    person: Person,
    Path(name): Path<String>,
) -> Result<Response, Fault> {
    show(&admin, &person, &name, true).await
}

/// `GET /admin/runners/{name}/remove`.
pub(super) async fn show_remove(
    State(admin): State<Admin>,
    person: Person,
    Path(name): Path<String>,
) -> Result<Response, Fault> {
    show(&admin, &person, &name, false).await
}

async fn show(admin: &Admin, person: &Person, name: &str, is_reset: bool) -> Result<Response, Fault> {
    if Fleet::of(admin.context()).is_from_file(name) {
        return Ok(one::elsewhere(name));
    }
    Ok(page(&leave(admin, person, name, is_reset, None).await?))
}

/// `POST /admin/runners/{name}/reset`.
pub(super) async fn reset(
    State(admin): State<Admin>,
    person: Person,
    Path(name): Path<String>,
    Form(confirmed): Form<Confirmed>,
) -> Result<Response, Fault> {
    if confirmed.typed.trim() != name {
        let wrong = Some("That is not its name, so nothing was removed.".to_owned());
        return Ok(page(&leave(&admin, &person, &name, true, wrong).await?));
    }
    changeable(admin.context(), &name)?;
    let removed = Fleet::of(admin.context()).reset(&name).await?;
    record(admin.context(), &person, ("runner_reset", "reset"), &name).await?;
    Ok(one::led(&name, "reset", Some(removed)))
}

/// `POST /admin/runners/{name}/remove`.
pub(super) async fn remove(
    State(admin): State<Admin>,
    person: Person,
    Path(name): Path<String>,
) -> Result<Response, Fault> {
    Fleet::of(admin.context()).remove(&name).await?;
    record(admin.context(), &person, ("runner_removed", "removed"), &name).await?;
    Ok(Redirect::to("/admin/runners").into_response())
}

/// What the operator's file says of a runner is not undone from a browser.
fn changeable(context: &Context, name: &str) -> Result<(), Fault> {
    let fleet = Fleet::of(context);
    fleet.config_of(name)?;
    if fleet.is_from_file(name) {
        let why = format!(
            "Runner {name} stands in track.toml: take it out there and restart, or `track runner reset {name}` on the bot's machine empties it."
        );
        return Err(Fault::new(StatusCode::CONFLICT, why));
    }
    Ok(())
}

async fn leave(
    admin: &Admin,
    person: &Person,
    name: &str,
    is_reset: bool,
    wrong: Option<String>,
) -> Result<LeavePage, Fault> {
    let context = admin.context();
    changeable(context, name)?;
    let mut losing = losing(context, name).await?;
    let more = losing.len().saturating_sub(NAMED);
    losing.truncate(NAMED);
    let title = format!("{} {name}", if is_reset { "Reset" } else { "Remove" });
    Ok(LeavePage {
        frame: Frame::new(admin, Some(person), title, "Runners"),
        name: name.to_owned(),
        is_reset,
        kept_by: in_use(&context.db, name).await?,
        losing,
        more,
        wrong,
    })
}

/// Whose workspaces are on a runner, as far as they may still be wanted.
async fn losing(context: &Context, name: &str) -> Result<Vec<Losing>, Fault> {
    let mut conn = context.db.read().await?;
    let mut all = Vec::new();
    for thread in db::threads::needed_on(&mut conn, name).await? {
        let repository = db::repositories::get(&mut conn, thread.repository).await?;
        let repository = repository.map_or_else(|| thread.repository.to_string(), |found| found.name.to_string());
        let runs = db::runs::of_thread(&mut conn, thread.id, RUNS_LOOKED_AT).await?;
        // Open work elsewhere is not lost here.
        let Some(last) = runs.into_iter().find(|run| run.runner.as_deref() == Some(name)) else { continue };
        all.push(Losing {
            thread: thread.id,
            place: if thread.number.0 > 0 { format!("{repository}#{}", thread.number) } else { repository },
            is_unpublished: last.result.is_some() && last.pushed.is_none(),
            last: last.outcome.map_or(last.status.to_string(), |outcome| outcome.to_string()),
            agent: last.agent,
        });
    }
    Ok(all)
}
