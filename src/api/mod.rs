//! What subcommands ask of the instance that holds the database: JSON over HTTP on `$TRACK_HOME/track.sock`.
//!
//! The socket is readable and writable by the bot's own account alone, which is the whole of its access control.

mod reviews;

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde::Deserialize;

use crate::admin::sign_in;
use crate::agent::BUILT_IN;
use crate::cli::api::{
    Added, Check, DecisionRow, DiscardRequest, Discarded, HostKey, HostKeyQuery, KeptCommit, LoginLink,
    LoginLinkRequest, PublicKey, Refusal, Removed, RunRow, RunnerRow,
};
use crate::config::{Config, RunnerConfig, Transport};
use crate::context::Context;
use crate::db::decisions::Decision;
use crate::db::runs::Run;
use crate::db::{self, Db};
use crate::git::Mirrors;
use crate::model::{Clock, Number, Outcome, RepoName, RunId, Status};
use crate::report::wording;
use crate::run::{discard, tidy};
use crate::runner::pool::Pool;
use crate::runner::{self, AgentProbe, HostError, RunnerError, hostkeys, keys};

/// How long a machine may take to show its host keys.
const KEYSCAN_TIMEOUT: Duration = Duration::from_secs(10);
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
    /// The machines.
    pub runners: Arc<Pool>,
    /// The time.
    pub clock: Clock,
    /// Tells the scheduler that slots changed.
    pub slots_changed: Arc<tokio::sync::Notify>,
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

fn no_runner(name: &str) -> Refused {
    Refused(StatusCode::NOT_FOUND, format!("there is no runner {name}; `track runner list` shows those there are"))
}

impl ApiState {
    /// Whether runs on a runner use an agent without being asked to, or an operator configured it by hand.
    fn is_wanted(&self, agent: &str, runner: &str) -> bool {
        let of_runner = self.runners.get(runner).and_then(|machine| machine.config().agent.clone());
        of_runner.as_deref().unwrap_or(&self.config.default_agent) == agent || self.config.agents.contains_key(agent)
    }

    fn is_from_file(&self, name: &str) -> bool {
        self.config.runners.iter().any(|runner| runner.name == name)
    }

    /// Address of GitHub's pages.
    fn server_url(&self) -> &str {
        self.config.github.as_ref().map_or("https://github.com", |github| &github.server_url)
    }
}

async fn runners(State(state): State<ApiState>) -> Result<Json<Vec<RunnerRow>>, Refused> {
    let live = db::runs::live(&mut *state.db.read().await?).await?;
    let mut rows = Vec::new();
    for machine in state.runners.all() {
        let config = machine.config();
        let on_it = |run: &&Run| run.runner.as_deref() == Some(&config.name) && run.status != Status::Queued;
        let key = match config.transport {
            Transport::Ssh => state.runners.key_of(config).await.ok(),
            Transport::Local => None,
        };
        rows.push(RunnerRow {
            from_file: state.is_from_file(&config.name),
            live: live.iter().filter(on_it).count() as u32,
            state: service(&state.runners, &config.name),
            key_fingerprint: key.and_then(|key| fingerprint(&key.public)),
            host_key_fingerprint: config.host_key.as_deref().and_then(fingerprint),
            config: config.shown(),
        });
    }
    Ok(Json(rows))
}

/// Whether a machine works, in a few words.
fn service(pool: &Pool, name: &str) -> String {
    match pool.out_of_service(name) {
        Some(why) => format!("out of service: {why}"),
        None if pool.refuses_login(name) => "refuses the login".to_owned(),
        None if pool.is_silent(name) => "does not answer".to_owned(),
        None => "ready".to_owned(),
    }
}

/// Keys of people and of machines have one form.
fn fingerprint(key: &str) -> Option<String> {
    Some(key.parse::<hostkeys::HostKey>().ok()?.fingerprint())
}

async fn add_runner(State(state): State<ApiState>, Json(runner): Json<RunnerConfig>) -> Result<Json<Added>, Refused> {
    if let Err(mistakes) = state.config.check_runner(&runner) {
        return Err(Refused(StatusCode::UNPROCESSABLE_ENTITY, mistakes.to_string()));
    }
    let name = runner.name.clone();
    if state.is_from_file(&name) {
        let why = format!("runner {name} stands in track.toml: change it there and restart");
        return Err(Refused(StatusCode::CONFLICT, why));
    }
    let known = state.runners.get(&name).map(|machine| machine.config().clone());
    let runner = match &known {
        Some(known) => match pinned_anew(known, &runner) {
            Some(pinned) => pinned,
            None => return Err(is_there(&state, &name).await?),
        },
        None => runner,
    };
    store_runner(&state, &name, Some(&runner)).await?;
    if let Err(error) = state.runners.add(runner).await {
        store_runner(&state, &name, known.as_ref()).await?;
        return Err(Refused(StatusCode::UNPROCESSABLE_ENTITY, format!("{error:#}")));
    }
    state.slots_changed.notify_one();
    Ok(Json(Added { again: known.is_some() }))
}

/// That another runner has this name; with what keeps it from being removed first.
async fn is_there(state: &ApiState, name: &str) -> anyhow::Result<Refused> {
    let in_use = in_use(&state.db, name).await?.map(|why| format!(". But {why}")).unwrap_or_default();
    let why = format!(
        "there is a runner {name} already. With its host, user, port and root, its host key is pinned anew; \
         for all else, `track runner remove` forgets it{in_use}"
    );
    Ok(Refused(StatusCode::CONFLICT, why))
}

/// A known machine with the host key that it is given now, so that one which was set up anew is reached again while its runs live.
fn pinned_anew(known: &RunnerConfig, given: &RunnerConfig) -> Option<RunnerConfig> {
    let place = |runner: &RunnerConfig| {
        (
            runner.transport,
            runner.host.clone(),
            runner.user.clone(),
            runner.port.unwrap_or(22),
            runner.root.clone(),
            runner.proxy_jump.clone(),
        )
    };
    let is_pinned = given.transport == Transport::Ssh && given.host_key.is_some();
    (is_pinned && place(known) == place(given)).then(|| RunnerConfig {
        host_key: given.host_key.clone(),
        jump_host_keys: given.jump_host_keys.clone(),
        known_hosts_path: None,
        ..known.clone()
    })
}

/// Stores a runner in the place of what was stored by its name.
async fn store_runner(state: &ApiState, name: &str, runner: Option<&RunnerConfig>) -> Result<(), Refused> {
    let mut tx = state.db.begin().await?;
    db::runners::remove(&mut tx, name).await?;
    if let Some(runner) = runner {
        db::runners::add(&mut tx, runner, state.clock.now()).await?;
    }
    tx.commit().await?;
    Ok(())
}

async fn remove_runner(State(state): State<ApiState>, Path(name): Path<String>) -> Result<StatusCode, Refused> {
    if state.is_from_file(&name) {
        let why = format!("runner {name} stands in track.toml: take it out there and restart");
        return Err(Refused(StatusCode::CONFLICT, why));
    }
    refuse_in_use(&state, &name).await?;
    let mut tx = state.db.begin().await?;
    let removed = db::runners::remove(&mut tx, &name).await?;
    tx.commit().await?;
    if !removed {
        return Err(no_runner(&name));
    }
    state.runners.remove(&name).await;
    Ok(StatusCode::NO_CONTENT)
}

async fn check_runner(State(state): State<ApiState>, Path(name): Path<String>) -> Result<Json<Vec<Check>>, Refused> {
    let machine = state.runners.get(&name).ok_or_else(|| no_runner(&name))?;
    // Nobody needs every agent that track knows; those that are configured, or chosen where nobody chooses, must be there.
    let chosen = [Some(&state.config.default_agent), machine.config().agent.as_ref()];
    let profiles = state.config.profiles.values().map(|profile| &profile.agent);
    let used: Vec<&String> = chosen.into_iter().flatten().chain(profiles).collect();
    let built_in = BUILT_IN.iter().filter(|name| used.iter().any(|used| *used == *name));
    let built_in = built_in.map(|name| AgentProbe { name: (*name).to_owned(), program: (*name).to_owned() });
    let custom =
        state.config.agents.iter().filter_map(|(name, agent)| {
            Some(AgentProbe { name: name.clone(), program: agent.command.first()?.clone() })
        });
    let probes: Vec<AgentProbe> = built_in.chain(custom).collect();
    let checks = match machine.check(&probes).await {
        Ok(checks) => {
            state.runners.answered(&name);
            // Runs may wait for just this.
            state.slots_changed.notify_one();
            checks.into_iter().map(|check| told(check, |agent| state.is_wanted(agent, &name))).collect()
        }
        Err(error) => {
            match error {
                RunnerError::Host(HostError::Unreachable(_)) => state.runners.no_answer(&name, state.clock.now()),
                RunnerError::Host(HostError::Login(_)) => state.runners.refused_login(&name, state.clock.now()),
                _ => {}
            }
            let remedy = way_in(&state.runners, machine.config(), &error).await;
            vec![Check { what: "connection".to_owned(), ok: false, found: error.to_string(), remedy }]
        }
    };
    Ok(Json(checks))
}

/// What to do about a machine that cannot be worked with.
async fn way_in(pool: &Pool, config: &RunnerConfig, error: &RunnerError) -> String {
    if let (RunnerError::Host(HostError::Login(_)), Ok(key)) = (error, pool.key_of(config).await) {
        let user = config.user.as_deref().unwrap_or_default();
        return format!("put this line into ~/.ssh/authorized_keys of {user} there:\n{}", key.public);
    }
    "check host, user, key and host key of the runner; `track runner list` shows them".to_owned()
}

/// An agent that nothing asks for by default is no miss.
fn told(check: runner::Check, is_wanted: impl Fn(&str) -> bool) -> Check {
    let idle = check.what.strip_prefix("agent ").is_some_and(|agent| !is_wanted(agent));
    if !check.ok && idle {
        let found = "not found; needed only if runs here are to use it".to_owned();
        return Check { what: check.what, ok: true, found, remedy: String::new() };
    }
    Check { what: check.what, ok: check.ok, found: check.found, remedy: check.remedy.unwrap_or_default() }
}

async fn clean_runner(State(state): State<ApiState>, Path(name): Path<String>) -> Result<Json<Removed>, Refused> {
    let machine = state.runners.get(&name).ok_or_else(|| no_runner(&name))?;
    Ok(Json(tidy::clean(&state.db, &machine).await?))
}

async fn reset_runner(State(state): State<ApiState>, Path(name): Path<String>) -> Result<Json<Removed>, Refused> {
    let machine = state.runners.get(&name).ok_or_else(|| no_runner(&name))?;
    refuse_in_use(&state, &name).await?;
    let removed = machine.reset().await.map_err(|error| anyhow!("runner {name} {error}"))?;
    let mut tx = state.db.begin().await?;
    db::cleanups::forget(&mut tx, &name).await?;
    tx.commit().await?;
    Ok(Json(removed))
}

/// Refuses, naming them, while runs are on a runner or on their way to it, and while it may have results of runs that are over.
async fn refuse_in_use(state: &ApiState, name: &str) -> Result<(), Refused> {
    match in_use(&state.db, name).await? {
        Some(why) => Err(Refused(StatusCode::CONFLICT, why)),
        None => Ok(()),
    }
}

/// What keeps a runner from being removed, emptied or moved.
pub(crate) async fn in_use(db: &Db, name: &str) -> anyhow::Result<Option<String>> {
    let (mut live, mut unsettled) = {
        let mut conn = db.read().await?;
        (db::runs::live(&mut conn).await?, db::runs::unsettled(&mut conn).await?)
    };
    live.retain(|run| run.runner.as_deref() == Some(name) && run.status != Status::Queued);
    unsettled.retain(|run| run.runner.as_deref() == Some(name));
    Ok(if !live.is_empty() {
        Some(format!("runner {name} has live runs: {}. Cancel them or wait for them first", ids(&live)))
    } else if !unsettled.is_empty() {
        Some(format!(
            "runner {name} may still have the results of {}: they are kept as soon as it answers while `track serve` runs",
            ids(&unsettled)
        ))
    } else {
        None
    })
}

fn ids<'a>(runs: impl IntoIterator<Item = &'a Run>) -> String {
    let ids: Vec<String> = runs.into_iter().map(|run| run.id.to_string()).collect();
    ids.join(", ")
}

async fn host_key(
    State(state): State<ApiState>,
    Json(query): Json<HostKeyQuery>,
) -> Result<Json<Vec<HostKey>>, Refused> {
    let keys = match &query.behind {
        Some(runner) => {
            if let Err(mistakes) = runner.validate() {
                return Err(Refused(StatusCode::UNPROCESSABLE_ENTITY, mistakes.to_string()));
            }
            vec![state.runners.host_key_behind(runner).await?]
        }
        None => hostkeys::fetch(&query.host, query.port, KEYSCAN_TIMEOUT).await?,
    };
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
    let place = format!("{}#{}", asked.repository, asked.number);
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
