//! A run that somebody watches: news of the one feed as events of each watcher's stream.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use askama::Template as _;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::response::sse::Event;
use futures_util::stream::{self, Stream};
use serde::Deserialize;

use super::super::Admin;
use super::super::fault::Fault;
use super::super::live;
use super::super::person::Person;
use super::{ActionView, ResultView, Scene, StateView, steps};
use crate::context::Context;
use crate::db::runs::Run;
use crate::model::Status;
use crate::run::feed::{self, Mark, News, Watcher};

/// A run that waits may move up without anything happening to itself: its place is looked at so often.
const PLACE_EVERY: Duration = Duration::from_secs(3);

#[derive(Deserialize)]
pub(super) struct Asked {
    /// What the page showed when it was made.
    after: Option<String>,
}

/// `GET /admin/runs/{run}/live`.
pub(super) async fn stream(
    State(admin): State<Admin>,
    person: Person,
    Path(run): Path<String>,
    headers: HeaderMap,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    let scene = Scene::load(&admin, &person, &run).await?;
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()).or(asked.after.as_deref());
    let after = match last {
        Some(mark) => Some(
            mark.parse::<Mark>()
                .map_err(|error| Fault::refused(format!("Nothing can be shown from there: {error}.")))?,
        ),
        None => None,
    };
    let watcher = admin.feeds().watch(scene.run.id, after).await?;
    Ok(live::events(&admin, events(admin.context().clone(), scene, watcher)))
}

struct Watching {
    context: Arc<Context>,
    scene: Scene,
    watcher: Watcher,
    /// How the run stood last.
    state: Option<Arc<feed::State>>,
    /// What was sent of the parts that are sent whole.
    sent: [u64; 3],
    waiting: VecDeque<Event>,
    over: bool,
}

fn events(context: Arc<Context>, scene: Scene, watcher: Watcher) -> impl Stream<Item = Event> + Send + 'static {
    let watching =
        Watching { context, scene, watcher, state: None, sent: [0; 3], waiting: VecDeque::new(), over: false };
    stream::unfold(watching, async |mut watching| {
        loop {
            if let Some(event) = watching.waiting.pop_front() {
                return Some((event, watching));
            }
            if watching.over {
                return None;
            }
            watching.look().await;
        }
    })
}

impl Watching {
    /// Waits for news and makes events of them.
    async fn look(&mut self) {
        let is_queued = self.state.as_ref().is_some_and(|state| state.run.status == Status::Queued);
        let news = tokio::select! {
            news = self.watcher.next() => news,
            () = tokio::time::sleep(PLACE_EVERY), if is_queued => {
                if let Some(state) = self.state.clone() {
                    self.parts(&state).await;
                }
                return;
            }
        };
        let Some(news) = news else {
            // So that the browser does not come back for more; one that is sent away because the bot stops shall.
            if !self.context.stop.is_cancelled() {
                self.waiting.push_back(Event::default().event("over").data("over"));
            }
            self.over = true;
            return;
        };
        if let Some(state) = &news.state {
            self.parts(state).await;
            self.state = Some(state.clone());
        }
        if !news.fresh.is_empty() || !news.changed.is_empty() {
            let html = html(&news, &self.scene);
            self.waiting.push_back(Event::default().event("steps").id(news.mark.to_string()).data(html));
        }
    }

    /// Sends the parts that are others than before.
    async fn parts(&mut self, state: &feed::State) {
        // Usage ticks often, and nothing that came of the run is another one then.
        let is_same = self.state.as_ref().is_some_and(|before| has_same_result(&before.run, &state.run));
        let made = async {
            // What cannot be done any more is gone before it is said why.
            let mut parts = vec![
                ("action", ActionView::of(&self.scene, &state.run).render()?),
                ("state", StateView::of(&self.context, &self.scene, state).await?.render()?),
            ];
            if !is_same {
                parts.push(("result", ResultView::of(&self.context, &self.scene, &state.run).await?.render()?));
            }
            Ok::<_, Fault>(parts)
        };
        let parts = match made.await {
            Ok(parts) => parts,
            Err(fault) => return tracing::debug!("a run that is watched cannot be shown: {}", fault.told()),
        };
        for ((name, html), sent) in parts.into_iter().zip(&mut self.sent) {
            let mut hasher = DefaultHasher::new();
            html.hash(&mut hasher);
            let hash = hasher.finish();
            if *sent != hash {
                *sent = hash;
                self.waiting.push_back(live::event(name, &html));
            }
        }
    }
}

/// Whether the part of the page that tells what came of a run would be the same.
fn has_same_result(one: &Run, other: &Run) -> bool {
    let of = |run: &Run| (run.status, run.outcome, run.given.clone(), run.result.clone(), run.pushed.clone());
    of(one) == of(other) && one.answer == other.answer && one.work == other.work
}

/// New steps at the end, and changed ones in place of what they were.
fn html(news: &News, scene: &Scene) -> String {
    let mut html = String::new();
    if news.gap {
        html.push_str(&format!(
            "<li class=\"step aside\"><span class=\"at\"></span><div><a href=\"/admin/runs/{}?from=0\">Steps are left out here: show them from the first one</a></div></li>",
            scene.run.id
        ));
    }
    for step in &news.fresh {
        html.push_str(&step.html);
    }
    for step in &news.changed {
        html.push_str(&steps::replacing(&step.html));
    }
    html
}
