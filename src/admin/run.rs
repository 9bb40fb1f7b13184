//! The page of a run: what its agent does, live, what it was given, what it answered and changed, and what went wrong.

mod change;
mod diff;
mod given;
mod live;
mod result;
mod state;
mod steps;

use std::sync::Arc;

use askama::Template;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::Deserialize;

use super::Admin;
use super::access::{Access, Routes};
use super::fault::Fault;
use super::person::Person;
use super::view::{Frame, Safe, filters, page, short_run};
use crate::context::Context;
use crate::db;
use crate::db::lines::Line;
use crate::db::runs::Run;
use crate::db::threads::Thread;
use crate::inbox::by_hand;
use crate::model::{Kind, Repository, RunId, uuid};
use crate::run::feed::{self, Feeds, Now};
use crate::run::snapshot;
use crate::trigger::command::Command;

use given::GivenView;
use result::ResultView;
use state::{ActionView, StateView};

/// Steps that a page shows; links lead to the others.
const STEPS: usize = 200;
/// Bytes of a prompt that are shown on the page.
const PROMPT: u64 = 16 * 1024;

pub(super) fn routes(routes: Routes) -> Routes {
    use Access::SignedIn;
    routes
        .get(SignedIn, "/admin/runs/{run}", show)
        .get(SignedIn, "/admin/runs/{run}/live", live::stream)
        .get(SignedIn, "/admin/runs/{run}/change", change::show)
        .get(SignedIn, "/admin/runs/{run}/prompt", prompt)
        .get(SignedIn, "/admin/runs/{run}/journal", journal)
        .post(SignedIn, "/admin/runs/{run}/cancel", cancel)
        .post(SignedIn, "/admin/runs/{run}/retry", retry)
}

/// The runs that somebody watches, with their steps as HTML.
pub(super) fn feeds(context: Arc<Context>) -> Feeds {
    Feeds::new(context, steps::render)
}

/// A run with what stands around it and does not change while somebody looks.
struct Scene {
    run: Run,
    thread: Thread,
    repository: Repository,
    line: Option<Line>,
    /// Whether this person may end it and run it again.
    may_act: bool,
}

impl Scene {
    async fn load(admin: &Admin, person: &Person, run: &str) -> Result<Self, Fault> {
        let unknown = || Fault::not_found("run");
        let id: RunId = run.parse().map_err(|_| unknown())?;
        let mut conn = admin.context().db.read().await?;
        let run = match db::runs::get(&mut conn, id).await {
            Err(sqlx::Error::RowNotFound) => return Err(unknown()),
            run => run?,
        };
        person.must_see(run.repository, "run")?;
        let thread = db::threads::get(&mut conn, run.thread).await?;
        let repository = db::repositories::get(&mut conn, run.repository).await?.ok_or_else(unknown)?;
        let line = match run.line {
            Some(line) => Some(db::lines::get(&mut conn, line).await?),
            None => None,
        };
        let own = person.account().is_some_and(|account| account.id == run.ask.requester.id);
        Ok(Self { may_act: person.is_admin() || own, run, thread, repository, line })
    }

    /// The heading of its page.
    fn title(&self) -> String {
        let kind = match self.run.kind {
            Kind::Task => "Task",
            Kind::FollowUp => "Follow-up",
            Kind::Review => "Review",
        };
        format!("{kind}: {}", self.run.ask.title)
    }

    /// `https://github.com/owner/name`.
    fn github(&self, context: &Context) -> String {
        context.repository_url(&self.repository.name)
    }
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Asked {
    /// The first step to show, from 0; the newest ones if it is not given.
    from: Option<usize>,
}

#[derive(Template)]
#[template(path = "run.html")]
struct RunPage {
    frame: Frame,
    scene: Scene,
    /// In place of a link to the issue of a private task.
    issue_url: Option<String>,
    state: StateView,
    action: ActionView,
    result: ResultView,
    given: GivenView,
    steps: Steps,
    /// A key for each form, so that one sent twice is one request.
    key: String,
}

impl RunPage {
    fn short(run: &RunId) -> String {
        short_run(run)
    }
}

/// The steps that a page shows.
struct Steps {
    html: Safe,
    /// The first that is shown, from 0.
    from: usize,
    /// How many are shown.
    shown: usize,
    total: usize,
    /// Address of the stream; none where the page does not change.
    live: Option<String>,
}

impl Steps {
    fn of(run: RunId, now: &Now) -> Self {
        let newest = &now.items[now.items.len().saturating_sub(STEPS)..];
        let total = now.earlier + now.items.len();
        Self {
            html: Safe(newest.iter().map(|step| &*step.html).collect()),
            from: total - newest.len(),
            shown: newest.len(),
            total,
            live: (!now.over).then(|| format!("/admin/runs/{run}/live?after={}", now.mark)),
        }
    }

    async fn part(context: &Context, run: &Run, from: usize) -> Result<Self, Fault> {
        let part = feed::part(context, run, from, STEPS).await?;
        let html = part.items.iter().map(|(turn, item)| steps::render(*turn, item)).collect();
        Ok(Self { html: Safe(html), from, shown: part.items.len(), total: part.total, live: None })
    }

    fn before(&self) -> i64 {
        i64::try_from(self.from).unwrap_or(i64::MAX)
    }

    fn earlier(&self) -> Option<usize> {
        (self.from > 0).then(|| self.from.saturating_sub(STEPS))
    }

    fn later(&self) -> Option<usize> {
        (self.from + self.shown < self.total && self.shown > 0).then_some(self.from + self.shown)
    }
}

/// `GET /admin/runs/{run}`.
async fn show(
    State(admin): State<Admin>,
    person: Person,
    Path(run): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    let scene = Scene::load(&admin, &person, &run).await?;
    let context = admin.context();
    let stopping = || Fault::refused("The bot is being stopped. Load the page again when it is back.");
    let (steps, state) = match asked.from {
        Some(from) => {
            let state = feed::State { run: scene.run.clone(), usage: scene.run.usage.unwrap_or_default() };
            (Steps::part(context, &scene.run, from).await?, Arc::new(state))
        }
        None => {
            let mut watcher = admin.feeds().watch(scene.run.id, None).await?;
            let now = watcher.now().await.ok_or_else(stopping)?;
            if !now.over {
                // The browser opens the stream in a moment, and finds the reader at work.
                admin.feeds().linger(watcher);
            }
            (Steps::of(scene.run.id, &now), now.state)
        }
    };
    let scene = Scene { run: state.run.clone(), ..scene };
    let github = scene.github(context);
    let frame = Frame::new(&admin, Some(&person), scene.title(), "Runs");
    Ok(page(&RunPage {
        issue_url: (scene.thread.number.0 > 0).then(|| format!("{github}/issues/{}", scene.thread.number)),
        state: StateView::of(context, &scene, &state).await?,
        action: ActionView::of(&scene, &state.run),
        result: ResultView::of(context, &scene, &state.run).await?,
        given: GivenView::of(context, &scene).await?,
        key: uuid(rand::random(), 4),
        frame,
        steps,
        scene,
    }))
}

#[derive(Deserialize)]
struct Turn {
    #[serde(default)]
    turn: Option<i64>,
}

const TEXT: [(HeaderName, HeaderValue); 2] = [
    (header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
];

/// `GET /admin/runs/{run}/prompt`: all that the agent was told in a turn.
async fn prompt(
    State(admin): State<Admin>,
    person: Person,
    Path(run): Path<String>,
    Query(Turn { turn }): Query<Turn>,
) -> Result<Response, Fault> {
    let scene = Scene::load(&admin, &person, &run).await?;
    let given =
        snapshot::given(&admin.context().config.home, &scene.run, u64::MAX).await.map_err(anyhow::Error::from)?;
    let wanted = given.into_iter().find(|given| given.turn == turn.unwrap_or(1));
    let prompt = wanted.ok_or_else(|| Fault::not_found("prompt"))?.prompt;
    Ok((TEXT, prompt).into_response())
}

/// `GET /admin/runs/{run}/journal`: what the agent printed, as it was.
async fn journal(State(admin): State<Admin>, person: Person, Path(run): Path<String>) -> Result<Response, Fault> {
    let scene = Scene::load(&admin, &person, &run).await?;
    let context = admin.context();
    if !feed::has_journal(context, scene.run.id).await {
        return Err(Fault::not_found("journal"));
    }
    let name = format!("attachment; filename=\"track-{}.journal.txt\"", scene.run.id);
    let body = Body::from_stream(feed::raw(context, scene.run.id));
    Ok((TEXT, [(header::CONTENT_DISPOSITION, name)], body).into_response())
}

/// `POST /admin/runs/{run}/cancel`.
async fn cancel(State(admin): State<Admin>, person: Person, Path(run): Path<String>) -> Result<Redirect, Fault> {
    let scene = Scene::load(&admin, &person, &run).await?;
    let done = by_hand::cancel_run(admin.context(), scene.run.id, person.actor()?).await;
    done.map_err(|why| Fault::refused(why.told()))?;
    Ok(Redirect::to(&format!("/admin/runs/{}", scene.run.id)))
}

#[derive(Deserialize)]
struct Again {
    key: String,
}

/// `POST /admin/runs/{run}/retry`.
async fn retry(
    State(admin): State<Admin>,
    person: Person,
    Path(run): Path<String>,
    axum::Form(Again { key }): axum::Form<Again>,
) -> Result<Redirect, Fault> {
    let scene = Scene::load(&admin, &person, &run).await?;
    let request = by_hand::Request {
        key,
        repository: scene.run.repository,
        number: scene.thread.number,
        actor: person.actor()?.clone(),
        is_operator: person.is_admin(),
        command: Command::Retry,
    };
    let done = by_hand::perform(admin.context(), &request).await.map_err(|why| Fault::refused(why.told()))?;
    Ok(Redirect::to(&format!("/admin/runs/{}", done.run.unwrap_or(scene.run.id))))
}
