//! What subcommands ask of the instance that holds the database: JSON over HTTP on `$TRACK_HOME/track.sock`.
//!
//! The socket is readable and writable by the bot's own account alone, which is the whole of its access control.

mod reviews;

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde::Deserialize;

use crate::admin::sign_in;
use crate::cli::api::{
    Added, Check, DecisionRow, DiscardRequest, Discarded, HostKey, HostKeyQuery, KeptCommit, LoginLink,
    LoginLinkRequest, PublicKey, Refusal, Removed, RunRow, RunnerRow,
};
use crate::config::{Config, RunnerConfig};
use crate::context::Context;
use crate::db::decisions::Decision;
use crate::db::runs::Run;
use crate::db::{self, Db};
use crate::doctor::{self, ServerFacts};
use crate::fleet::{self, Fleet, RunnerChange};
use crate::git::Mirrors;
use crate::model::{Clock, Number, Outcome, RepoName, RunId};
use crate::report::wording;
use crate::run::discard;
use crate::runner::keys;

/// Runs listed where no limit is named.
const DEFAULT_LIMIT: i64 = 20;
const MOST_RUNS: i64 = 1000;
/// The same for decisions, of which a run has a handful.
const DEFAULT_DECISIONS: i64 = 100;

/// What the interface works with.
#[derive(Clone)]
pub struct ApiState {
    /// The operator's decisions.
    pub config: Arc<Config>,
    /// The tables.
    pub db: Db,
    /// The time.
    pub clock: Clock,
    /// The machines.
    pub fleet: Fleet,
    /// What the workers share; none work where a subcommand answers itself.
    pub context: Option<Arc<Context>>,
    /// Tells whoever removes files from runners that there are some.
    pub files_to_go: Arc<tokio::sync::Notify>,
}

/// The routes.
pub fn router(state: ApiState) -> Router {
    Router::new()
        .route("/api/v1/runners", get(runners).post(add_runner))
        .route("/api/v1/runners/{name}", delete(remove_runner))
        .route("/api/v1/runners/{name}/check", post(check_runner))
        .route("/api/v1/runners/{name}/clean", post(clean_runner))
        .route("/api/v1/runners/{name}/reset", post(reset_runner))
        .route("/api/v1/runners/{name}/edit", post(edit_runner))
        .route("/api/v1/runners/{name}/drain", post(drain_runner))
        .route("/api/v1/runners/{name}/undrain", post(undrain_runner))
        .route("/api/v1/doctor", get(doctor))
        .route("/api/v1/hostkey", post(host_key))
        .route("/api/v1/key", get(public_key))
        .route("/api/v1/runs", get(runs))
        .route("/api/v1/runs/{run}", get(one_run))
        .route("/api/v1/reviews", post(reviews::ask))
        .route("/api/v1/decisions", get(decisions))
        .route("/api/v1/discard", post(discard_thread))
        .route("/api/v1/login-link", post(login_link))
        .with_state(state)
}

/// A refusal with its status and a sentence for people.
struct Refused(StatusCode, String);

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (self.0, Json(Refusal { error: self.1 })).into_response()
    }
}

impl From<anyhow::Error> for Refused {
    fn from(error: anyhow::Error) -> Self {
        Self(StatusCode::INTERNAL_SERVER_ERROR, format!("{error:#}"))
    }
}

impl From<sqlx::Error> for Refused {
    fn from(error: sqlx::Error) -> Self {
        Self(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    }
}

impl From<fleet::Refused> for Refused {
    fn from(refused: fleet::Refused) -> Self {
        use fleet::Refused::{Conflict, Failed, Unknown, Wrong};
        let status = match &refused {
            Unknown(_) => StatusCode::NOT_FOUND,
            Wrong(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Conflict(_) => StatusCode::CONFLICT,
            Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self(status, refused.to_string())
    }
}

impl ApiState {
    /// Address of GitHub's pages.
    fn server_url(&self) -> &str {
        self.config.github.as_ref().map_or("https://github.com", |github| &github.server_url)
    }
}

async fn runners(State(state): State<ApiState>) -> Result<Json<Vec<RunnerRow>>, Refused> {
    Ok(Json(doctor::rows(&state.fleet.parts()).await?))
}

/// What only the running bot knows of what may be missing, after a look at every runner.
async fn doctor(State(state): State<ApiState>) -> Result<Json<ServerFacts>, Refused> {
    let parts = state.fleet.parts();
    doctor::look_at_all(&parts).await;
    Ok(Json(doctor::server(&parts).await?))
}

async fn add_runner(State(state): State<ApiState>, Json(runner): Json<RunnerConfig>) -> Result<Json<Added>, Refused> {
    Ok(Json(Added { again: state.fleet.add(runner).await? }))
}

async fn remove_runner(State(state): State<ApiState>, Path(name): Path<String>) -> Result<StatusCode, Refused> {
    state.fleet.remove(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn edit_runner(
    State(state): State<ApiState>,
    Path(name): Path<String>,
    Json(change): Json<RunnerChange>,
) -> Result<Json<RunnerConfig>, Refused> {
    Ok(Json(state.fleet.edit(&name, &change).await?.shown()))
}

async fn drain_runner(State(state): State<ApiState>, Path(name): Path<String>) -> Result<StatusCode, Refused> {
    state.fleet.drain(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn undrain_runner(State(state): State<ApiState>, Path(name): Path<String>) -> Result<StatusCode, Refused> {
    state.fleet.undrain(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn check_runner(State(state): State<ApiState>, Path(name): Path<String>) -> Result<Json<Vec<Check>>, Refused> {
    Ok(Json(state.fleet.check(&name).await?.checks))
}

async fn clean_runner(State(state): State<ApiState>, Path(name): Path<String>) -> Result<Json<Removed>, Refused> {
    Ok(Json(state.fleet.clean(&name).await?))
}

async fn reset_runner(State(state): State<ApiState>, Path(name): Path<String>) -> Result<Json<Removed>, Refused> {
    Ok(Json(state.fleet.reset(&name).await?))
}

async fn host_key(
    State(state): State<ApiState>,
    Json(query): Json<HostKeyQuery>,
) -> Result<Json<Vec<HostKey>>, Refused> {
    let keys = state.fleet.host_keys(&query.host, query.port, query.behind.as_ref()).await?;
    Ok(Json(keys.iter().map(|key| HostKey { key: key.to_string(), fingerprint: key.fingerprint() }).collect()))
}

async fn public_key(State(state): State<ApiState>) -> Result<Json<PublicKey>, Refused> {
    Ok(Json(PublicKey { public_key: keys::own(&state.config.home).await?.public }))
}

#[derive(Deserialize)]
struct RunsQuery {
    repo: Option<String>,
    thread: Option<i64>,
    limit: Option<i64>,
}

impl RunsQuery {
    fn repo(&self) -> Result<Option<RepoName>, Refused> {
        let named = self.repo.as_deref().map(str::parse::<RepoName>).transpose();
        named.map_err(|error| Refused(StatusCode::BAD_REQUEST, error.to_string()))
    }
}

/// The timeline of an issue or pull request (B27).
async fn decisions(
    State(state): State<ApiState>,
    Query(query): Query<RunsQuery>,
) -> Result<Json<Vec<DecisionRow>>, Refused> {
    let repo = query.repo()?;
    let Some(number) = query.thread else {
        let why = "`thread` is missing: decisions are listed for one issue or pull request";
        return Err(Refused(StatusCode::BAD_REQUEST, why.to_owned()));
    };
    let limit = query.limit.unwrap_or(DEFAULT_DECISIONS).clamp(1, MOST_RUNS);
    let mut conn = state.db.read().await?;
    let found = db::decisions::timeline(&mut conn, (repo.as_ref(), Number(number)), limit).await?;
    let rows = found.into_iter().map(|(repository, shown)| DecisionRow {
        repository: repository.to_string(),
        number,
        at: shown.at,
        actor: shown.actor,
        verdict: shown.verdict,
        reason: shown.reason,
        detail: shown.detail,
        run: shown.run.map(|run| run.to_string()),
        runner: shown.about.runner,
        branch: shown.about.branch,
        pull_request: shown.about.pull.map(|pull| pull.0),
        head: shown.about.head.map(|head| head.to_string()),
        review_state: shown.about.review_state,
    });
    Ok(Json(rows.collect()))
}

async fn runs(State(state): State<ApiState>, Query(query): Query<RunsQuery>) -> Result<Json<Vec<RunRow>>, Refused> {
    let repo = query.repo()?;
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT).clamp(1, MOST_RUNS);
    let mut conn = state.db.read().await?;
    let filter = db::runs::Filter { repo, number: query.thread.map(Number), limit };
    let mut rows = Vec::new();
    for run in db::runs::filtered(&mut conn, &filter).await? {
        rows.push(row(&state, &mut conn, run).await?);
    }
    Ok(Json(rows))
}

async fn one_run(State(state): State<ApiState>, Path(run): Path<String>) -> Result<Json<RunRow>, Refused> {
    let unknown =
        || Refused(StatusCode::NOT_FOUND, format!("there is no run {run}; `track runs` shows those there are"));
    let id: RunId = run.parse().map_err(|_| unknown())?;
    let mut conn = state.db.read().await?;
    let run = match db::runs::get(&mut conn, id).await {
        Err(sqlx::Error::RowNotFound) => return Err(unknown()),
        run => run?,
    };
    let repository = db::repositories::get(&mut conn, run.repository).await?;
    let markdown = repository.and_then(|repository| reviews::markdown(&state, &run, &repository.name));
    Ok(Json(RunRow { markdown, ..row(&state, &mut conn, run).await? }))
}

/// Forgets the history of an issue or pull request, as `/track discard` does there.
async fn discard_thread(
    State(state): State<ApiState>,
    Json(asked): Json<DiscardRequest>,
) -> Result<Json<Discarded>, Refused> {
    let place = asked.number.named_in(&asked.repository.to_string());
    let nothing =
        || Refused(StatusCode::NOT_FOUND, format!("no run is kept of {place}, so there is nothing to discard"));
    let now = state.clock.now();
    let mut tx = state.db.begin().await?;
    let repository = db::repositories::named(&mut tx, &asked.repository).await?.ok_or_else(nothing)?;
    let thread = match db::lines::by_pull(&mut tx, repository.id, asked.number).await? {
        // What was done on a pull request of the bot's is the issue's.
        Some(line) => db::threads::get(&mut tx, line.thread).await?,
        None => db::threads::find(&mut tx, repository.id, asked.number).await?.ok_or_else(nothing)?,
    };
    let (runs, runners) = match discard::discard(&mut tx, thread.id, now).await? {
        discard::Discarded::Live(run, status) => {
            let why = format!("run {run} is {status} on {place}: wait for it, or end it with `/track cancel` there");
            return Err(Refused(StatusCode::CONFLICT, why));
        }
        discard::Discarded::Done { runs: 0, .. } => return Err(nothing()),
        discard::Discarded::Done { runs, runners } => (runs, runners),
    };
    let detail = format!("{} On the command line of the bot's machine.", wording::discarded(runs, runners));
    db::decisions::insert(&mut tx, &Decision::noted(&thread, "discarded", detail), now).await?;
    tx.commit().await?;
    state.files_to_go.notify_one();
    Ok(Json(Discarded { runs, runners }))
}

/// A link that signs an admin in to the page, for whoever may use this socket.
async fn login_link(
    State(state): State<ApiState>,
    Json(asked): Json<LoginLinkRequest>,
) -> Result<Json<LoginLink>, Refused> {
    let Some(context) = &state.context else {
        let why = "no server runs that could serve the page: start `track serve`, then ask again";
        return Err(Refused(StatusCode::SERVICE_UNAVAILABLE, why.to_owned()));
    };
    let link = sign_in::link(context, asked.login.as_deref(), None).await?;
    Ok(Json(LoginLink { url: link.url, login: link.login }))
}

async fn row(state: &ApiState, conn: &mut db::Conn, run: Run) -> Result<RunRow, Refused> {
    let thread = db::threads::get(&mut *conn, run.thread).await?;
    let repository = db::repositories::get(&mut *conn, run.repository).await?.map(|found| found.name.to_string());
    let branch = match run.line {
        Some(line) => Some(db::lines::get(conn, line).await?.branch),
        None => None,
    };
    let kept = db::snapshots::of_run(&mut *conn, run.id).await?;
    let mirror = Mirrors::folder(&state.config.home, run.repository).display().to_string();
    let kept = kept.into_iter().map(|kept| KeptCommit {
        reference: kept.kept.reference(kept.run),
        sha: kept.sha.to_string(),
        mirror: mirror.clone(),
    });
    let kept = kept.collect();
    let server = state.server_url();
    let said = |what: &str| Some(run.answer.as_ref()?.get(what)?.as_str()?.to_owned());
    Ok(RunRow {
        id: run.id.to_string(),
        number: thread.number.0,
        kind: run.kind.to_string(),
        status: run.status.to_string(),
        outcome: run.outcome.map(|outcome| outcome.to_string()),
        reason: run.reason.map(|reason| reason.to_string()),
        not_posted: run.ask.unposted.then(|| match run.outcome {
            Some(Outcome::Succeeded) => run.detail.clone().unwrap_or_default(),
            _ => wording::NOT_INSTALLED.to_owned(),
        }),
        review_url: run.review_url,
        markdown: None,
        summary: said("summary"),
        notes: said("notes"),
        detail: run.detail.filter(|detail| !detail.is_empty()),
        agent: run.agent,
        runner: run.runner,
        requester: run.ask.requester.login,
        branch,
        pull_request: run.pull.zip(repository.as_ref()).map(|(pull, name)| format!("{server}/{name}/pull/{pull}")),
        queued_at: run.queued_at,
        started_at: run.started_at,
        finished_at: run.ended_at,
        cost_usd: run.usage.and_then(|usage| usage.cost_usd),
        repository: repository.unwrap_or_default(),
        kept,
    })
}
