//! The board: what is at work, what waits for people, and what is done.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use askama::Template;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use serde::{Deserialize, Serialize};

use super::Admin;
use super::fault::Fault;
use super::health;
use super::lists;
use super::live::{self, Part};
use super::person::{Person, Scope};
use super::view::{Ago, Badge, Elapsed, Frame, Safe, filters, page};
use crate::context::Context;
use crate::db;
use crate::db::board::{Card, Column, Filter, Work};
use crate::doctor::Alert;
use crate::model::{LineState, Millis, Outcome, RepoName, Repository, RunId, Status};
use crate::queue;

/// Cards in a column; the rest is counted.
const PER_COLUMN: i64 = 25;
/// Boards that are kept until something changes.
const MOST_KEPT: usize = 32;

/// What the address says that the board shows.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Asked {
    repo: String,
    agent: String,
    q: String,
    #[serde(skip_serializing)]
    v: Option<String>,
}

impl Asked {
    fn filter(&self, scope: &Scope) -> Result<Filter, Fault> {
        let given = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
        let repository = given(&self.repo).map(|repo| repo.parse::<RepoName>()).transpose();
        Ok(Filter {
            visible: match scope {
                Scope::All => None,
                Scope::Only(ids) => {
                    let mut ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
                    ids.sort_unstable();
                    Some(ids)
                }
            },
            repository: repository.map_err(|error| Fault::refused(format!("The filter \"repository\": {error}.")))?,
            agent: given(&self.agent),
            words: given(&self.q),
            per_column: PER_COLUMN,
        })
    }

    fn is_filtered(&self) -> bool {
        [&self.repo, &self.agent, &self.q].iter().any(|text| !text.trim().is_empty())
    }
}

#[derive(Template)]
#[template(path = "board.html")]
struct BoardPage {
    frame: Frame,
    asked: Asked,
    repositories: Vec<Repository>,
    agents: Vec<String>,
    columns: Safe,
    /// Address of the stream.
    live: String,
}

/// The part that changes.
#[derive(Template)]
#[template(path = "board_columns.html")]
struct Columns {
    /// What needs an operator, for those who can do something about it.
    alerts: Vec<Alert>,
    columns: Vec<Shown>,
    is_filtered: bool,
    now: Millis,
    label: String,
    github: String,
}

struct Shown {
    id: &'static str,
    title: &'static str,
    empty: &'static str,
    cards: Vec<Card>,
    count: i64,
    /// Places in the queue, for cards of runs that wait.
    queue: Arc<Vec<RunId>>,
}

impl Shown {
    fn more(&self) -> i64 {
        self.count - self.cards.len() as i64
    }

    fn place(&self, work: &Work) -> Option<usize> {
        self.queue.iter().position(|run| *run == work.run).map(|at| at + 1)
    }
}

impl Columns {
    fn badge(work: &Work) -> Badge {
        Badge { status: work.status, outcome: work.outcome }
    }

    fn needs_you(card: &Card) -> Option<&'static str> {
        wants(card)
    }

    fn ago(&self, at: &Millis) -> Ago {
        Ago::new(*at, self.now)
    }

    fn elapsed(&self, since: &Millis) -> Elapsed {
        Elapsed { since: *since, now: self.now }
    }

    fn is_everything_empty(&self) -> bool {
        self.columns.iter().all(|column| column.count == 0)
    }
}

/// Why a card wants a person, if it does.
fn wants(card: &Card) -> Option<&'static str> {
    let work = card.work.as_ref()?;
    match (card.column, work.status, work.outcome) {
        _ if work.unreachable_since.is_some() && work.status != Status::Done => Some("its runner does not answer"),
        (Column::Done, ..) | (_, Status::Queued | Status::Preparing | Status::Running | Status::Publishing, _) => None,
        (_, _, Some(Outcome::Blocked)) => Some("the agent is blocked"),
        (_, _, Some(Outcome::Failed)) => Some("the run failed"),
        (_, _, Some(Outcome::TimedOut)) => Some("the run took too long"),
        (_, _, Some(Outcome::Lost)) => Some("the run is lost"),
        _ if work.asks => Some("the agent asks you something"),
        (Column::Review, ..) if matches!(card.pull, Some((_, LineState::Open))) => Some("review the pull request"),
        _ => None,
    }
}

/// Boards as they were after the latest commit: looking again costs nothing until something has changed.
#[derive(Default)]
pub(super) struct Kept(Mutex<HashMap<String, AtCommit>>);

/// Cards, and how many commits there had been.
type AtCommit = (u64, Arc<Vec<Card>>);

impl Kept {
    async fn cards(&self, context: &Context, filter: &Filter) -> Result<Arc<Vec<Card>>, Fault> {
        let key = format!("{filter:?}");
        // Read before the tables are, so that a commit between makes the next look anew.
        let version = *context.db.commits().borrow();
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        if let Some((at, cards)) = kept
            && at == version
        {
            return Ok(cards);
        }
        let cards = Arc::new(db::board::cards(&mut *context.db.read().await?, filter).await?);
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, (at, _)| *at == version);
        if all.len() < MOST_KEPT {
            all.insert(key, (version, cards.clone()));
        }
        Ok(cards)
    }
}

async fn columns(admin: &Admin, asked: &Asked, scope: &Scope) -> Result<Columns, Fault> {
    let context = admin.context();
    let cards = admin.boards().cards(context, &asked.filter(scope)?).await?;
    let queue: Arc<Vec<RunId>> = Arc::new(queue::turns(context).await?.into_iter().map(|(run, _)| run).collect());
    let mut columns: Vec<Shown> = Column::ALL
        .into_iter()
        .map(|column| {
            let (id, title, empty) = match column {
                Column::Backlog => ("backlog", "Backlog", "Nothing waits to be tried again."),
                Column::Claimed => ("claimed", "Claimed", "Nobody has claimed anything."),
                Column::InProgress => ("progress", "In progress", "No agent is at work."),
                Column::Review => ("review", "Review", "No pull request waits for you."),
                Column::Done => ("done", "Done", "Nothing is finished yet."),
            };
            Shown { id, title, empty, cards: Vec::new(), count: 0, queue: queue.clone() }
        })
        .collect();
    for card in &*cards {
        let column = &mut columns[card.column as usize];
        column.count = card.of;
        column.cards.push(card.clone());
    }
    let alerts = match scope {
        Scope::All => health::alerts(admin).await?,
        Scope::Only(_) => Vec::new(),
    };
    Ok(Columns {
        alerts,
        columns,
        is_filtered: asked.is_filtered(),
        now: context.clock.now(),
        label: context.config.label.clone(),
        github: context.app.server_url.clone(),
    })
}

async fn parts(admin: &Admin, asked: &Asked, scope: &Scope) -> Result<Vec<Part>, Fault> {
    Ok(vec![Part::new("columns", columns(admin, asked, scope).await?.render()?)])
}

/// `GET /admin`.
pub(super) async fn show(
    State(admin): State<Admin>,
    person: Person,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    let context = admin.context();
    let parts = parts(&admin, &asked, person.scope()).await?;
    let (repositories, agents) = {
        let mut conn = context.db.read().await?;
        (lists::seen(&mut conn, &person).await?, context.config.agent_names().map(str::to_owned).collect())
    };
    let (version, columns) = (live::version(&parts), Safe(parts[0].html.to_string()));
    let query = serde_urlencoded::to_string(&asked).unwrap_or_default();
    let live = format!("/admin/live?v={version}&{query}");
    let frame = Frame::new(&admin, Some(&person), "Board", "Board");
    Ok(page(&BoardPage { frame, asked, repositories, agents, columns, live }))
}

/// `GET /admin/live`.
pub(super) async fn live(
    State(admin): State<Admin>,
    person: Person,
    headers: HeaderMap,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    let query = serde_urlencoded::to_string(&asked).unwrap_or_default();
    let key = format!("board {} {query}", person.view_key());
    let shown = asked.v.clone();
    let (of, scope) = (admin.clone(), person.scope().clone());
    let make: live::Make = Arc::new(move || {
        let (admin, asked, scope) = (of.clone(), asked.clone(), scope.clone());
        Box::pin(async move { parts(&admin, &asked, &scope).await })
    });
    live::stream(&admin, key, &headers, shown.as_deref(), make).await
}
