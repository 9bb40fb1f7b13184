//! Every run, with filters that stand in the address.

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use serde::{Deserialize, Serialize};

use super::Admin;
use super::access::{Access, Routes};
use super::fault::Fault;
use super::lists::{self, Ways, given, word};
use super::person::Person;
use super::view::{Badge, Elapsed, Frame, filters, number, page, short_run};
use crate::db::Turn;
use crate::db::run_list::{self, Filter, Listed, State as RunState};
use crate::model::{Kind, Millis, Repository, Usage};

const PATH: &str = "/admin/runs";

/// What the address says that the list shows.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Asked {
    q: String,
    repo: String,
    agent: String,
    runner: String,
    who: String,
    kind: String,
    state: String,
    from: String,
    until: String,
    #[serde(skip_serializing)]
    older: String,
    #[serde(skip_serializing)]
    newer: String,
}

impl Asked {
    fn filter(&self, person: &Person, seen: &[Repository]) -> Result<Filter, Fault> {
        Ok(Filter {
            within: lists::within(person),
            repository: lists::repository(&self.repo, seen)?,
            agent: given(&self.agent),
            runner: given(&self.runner),
            requester: given(&self.who),
            kind: word(&self.kind, "kind", |kind| kind.parse().ok())?,
            state: word(&self.state, "state", RunState::named)?,
            words: given(&self.q),
            from: lists::day(&self.from, "from")?,
            until: lists::end_of_day(&self.until, "until")?,
            ..Filter::default()
        })
    }

    fn is_filtered(&self) -> bool {
        !lists::query(self).is_empty()
    }
}

#[derive(Template)]
#[template(path = "runs.html")]
struct RunsPage {
    frame: Frame,
    /// Address of its stream.
    live: Option<String>,
    asked: Asked,
    repositories: Vec<Repository>,
    agents: Vec<String>,
    runners: Vec<String>,
    runs: Vec<Listed>,
    ways: Ways,
    label: String,
}

impl RunsPage {
    fn badge(run: &Listed) -> Badge {
        Badge { status: run.status, outcome: run.outcome }
    }

    fn kinds() -> &'static [Kind] {
        Kind::ALL
    }

    fn states() -> impl Iterator<Item = RunState> {
        RunState::all()
    }

    /// How long the agent worked, if it has ended.
    fn took(run: &Listed) -> Option<Millis> {
        Some(run.ended_at? - run.started_at?)
    }

    /// Since when it works.
    fn works(&self, run: &Listed) -> Option<Elapsed> {
        let since = run.started_at.filter(|_| run.ended_at.is_none() && run.status.is_live())?;
        Some(Elapsed { since, now: self.frame.now })
    }
}

/// A word of ours without the underscore that it is stored with.
pub(super) fn plain(word: &str) -> String {
    word.replace('_', " ")
}

/// What a run consumed, in a few characters.
fn tokens(usage: &Usage) -> String {
    format!("{} in, {} out", short(usage.input_tokens), short(usage.output_tokens))
}

/// A number of tokens, as exact as a list needs it: `941`, `12 k`, `3.4 M`, `1 053 M`.
pub(super) fn short(tokens: u64) -> String {
    match tokens {
        0..10_000 => number(tokens),
        10_000..1_000_000 => format!("{} k", tokens / 1_000),
        1_000_000..1_000_000_000 => format!("{:.1} M", tokens as f64 / 1e6),
        _ => format!("{} M", number(tokens / 1_000_000)),
    }
}

fn cost(run: &Listed) -> Option<f64> {
    run.usage?.cost_usd
}

/// The page of a run's review, as long as it is one of GitHub's.
fn review_link<'a>(run: &'a Listed, github: &str) -> Option<&'a str> {
    run.review_url.as_deref().filter(|url| url.strip_prefix(github).is_some_and(|path| path.starts_with('/')))
}

pub(super) fn routes(routes: Routes) -> Routes {
    routes.get(Access::SignedIn, PATH, show).get(Access::SignedIn, "/admin/runs/live", lists::watch(PATH, show))
}

/// `GET /admin/runs`.
async fn show(State(admin): State<Admin>, person: Person, Query(asked): Query<Asked>) -> Result<Response, Fault> {
    let turn = lists::turn(&asked.older, &asked.newer)?;
    // Older pages do not change.
    let live = (turn == Turn::Newest).then(|| lists::address(&admin, PATH, &asked));
    let context = admin.context();
    let mut conn = context.db.read().await?;
    let repositories = lists::seen(&mut conn, &person).await?;
    let filter = asked.filter(&person, &repositories)?;
    let found = run_list::page(&mut conn, &filter, turn, lists::ROWS).await?;
    drop(conn);
    let ways = Ways::of(PATH, &asked, &found, Listed::key);
    Ok(page(&RunsPage {
        frame: Frame::new(&admin, Some(&person), "Runs", "Runs"),
        live,
        asked,
        repositories,
        agents: context.config.agent_names().map(str::to_owned).collect(),
        runners: context.runners.all().iter().map(|machine| machine.config().name.clone()).collect(),
        runs: found.rows,
        ways,
        label: context.config.label.clone(),
    }))
}
