//! Pages that change while somebody looks: one stream of server-sent events per page.
//!
//! A page is made of named parts. Whoever watches the same page with the same rights shares one topic: after a commit its parts are made
//! anew once, and each watcher is sent those that are not what it has. What it has stands in the id of the event, so a browser that comes
//! back with `Last-Event-ID` misses nothing and gets nothing twice
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html>).

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::convert::Infallible;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::body::to_bytes;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::future::BoxFuture;
use futures_util::stream::{self, Stream, StreamExt as _};
use tokio::sync::watch;

use super::Admin;
use super::fault::Fault;

/// Commits come in bursts: so long is waited for the rest of one.
const SETTLE: Duration = Duration::from_millis(40);
/// A page that is slow to make is made less often: it takes at most this part of the time.
const SHARE: u32 = 5;
/// A stream ends after so long and the browser comes back, so that nobody keeps looking who may not any more.
const LONGEST: Duration = Duration::from_secs(15 * 60);
/// So often a quiet stream says that it is alive: proxies cut those that do not.
const ALIVE_EVERY: Duration = Duration::from_secs(15);

/// A part of a page, as it replaces the inner HTML of the element with `sse-swap="<name>"`.
#[derive(Clone, Debug)]
pub struct Part {
    /// Its name.
    pub name: &'static str,
    /// Its HTML.
    pub html: Arc<str>,
    hash: u32,
}

impl Part {
    /// A part of what a template makes.
    pub fn new(name: &'static str, html: String) -> Self {
        let mut hasher = DefaultHasher::new();
        for piece in lasting(&html) {
            piece.hash(&mut hasher);
        }
        // Half of it: it tells versions of one part from each other, nothing more.
        let hash = (hasher.finish() >> 32) as u32;
        Self { name, html: html.into(), hash }
    }
}

/// HTML without the words that say how long ago something was: they change with every look, and the page's script keeps them right.
fn lasting(html: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(html);
    std::iter::from_fn(move || {
        let text = rest?;
        let begins = ["<time ", "<span class=\"elapsed\""].iter().filter_map(|tag| text.find(tag)).min();
        let Some(words) = begins.and_then(|at| Some(at + text[at..].find('>')? + 1)) else {
            rest = None;
            return Some(text);
        };
        let end = text[words..].find("</").map_or(text.len(), |at| words + at);
        rest = Some(&text[end..]);
        Some(&text[..words])
    })
}

/// What a page was sent: the id of its newest event, and `v` in the address of the stream of a page just made.
pub fn version(parts: &[Part]) -> String {
    parts.iter().map(|part| format!("{:08x}", part.hash)).collect::<Vec<_>>().join(".")
}

type Parts = Arc<Vec<Part>>;
/// Makes the parts of a page.
pub type Make = Arc<dyn Fn() -> BoxFuture<'static, Result<Vec<Part>, Fault>> + Send + Sync>;

/// The topics that somebody watches.
#[derive(Default)]
pub struct Hub(Mutex<HashMap<String, watch::Sender<Parts>>>);

impl Hub {
    fn topics(&self) -> MutexGuard<'_, HashMap<String, watch::Sender<Parts>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Between these a page says what of it changes, where it is not made of parts.
const MARKS: (&str, &str) = ("<!--live-->", "<!--/live-->");
/// Stands for the version of whatever is there when a stream begins.
const NOW: &str = "now";

/// What a handler comes to.
pub type Answer = BoxFuture<'static, Result<Response, Fault>>;
/// Makes a whole page once more.
pub type Again = Arc<dyn Fn() -> Answer + Send + Sync>;

/// The stream of a page that is not made of parts: what stands between its marks is the part `list`. `commits` is how many there had
/// been when the page was made.
pub async fn of_page(
    admin: &Admin,
    key: String,
    headers: &HeaderMap,
    commits: Option<u64>,
    again: Again,
) -> Result<Response, Fault> {
    let make: Make = Arc::new(move || {
        let again = again.clone();
        Box::pin(async move {
            let page = to_bytes(again().await?.into_body(), usize::MAX).await.map_err(anyhow::Error::from)?;
            let page = String::from_utf8_lossy(&page);
            let marked = page.split(MARKS.0).nth(1).and_then(|rest| rest.split(MARKS.1).next());
            Ok(vec![Part::new("list", marked.unwrap_or_default().to_owned())])
        })
    });
    let is_new = commits == Some(*admin.context().db.commits().borrow());
    stream(admin, key, headers, is_new.then_some(NOW), make).await
}

/// The stream of a page: `key` names the page and what of it depends on who looks ([`super::person::Person::view_key`]).
pub async fn stream(
    admin: &Admin,
    key: String,
    headers: &HeaderMap,
    shown: Option<&str>,
    make: Make,
) -> Result<Response, Fault> {
    let watched = admin.hub().topics().get(&key).map(watch::Sender::subscribe);
    let watching = match watched {
        Some(watching) => watching,
        None => {
            // Before anything is made, so that no commit is missed between.
            let commits = admin.context().db.commits();
            let found = admin.context().kept.subscribe();
            let first = Arc::new(make().await?);
            let (topic, watching) = match admin.hub().topics().entry(key.clone()) {
                Entry::Occupied(there) => (None, there.get().subscribe()),
                Entry::Vacant(place) => {
                    let (sender, watching) = watch::channel(first);
                    place.insert(sender.clone());
                    (Some(sender), watching)
                }
            };
            if let Some(topic) = topic {
                tokio::spawn(keep(admin.clone(), key, topic, (commits, found), make));
            }
            watching
        }
    };
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()).or(shown);
    let has: Vec<u32> = if last == Some(NOW) {
        watching.borrow().iter().map(|part| part.hash).collect()
    } else {
        last.unwrap_or_default().split('.').map(|hash| u32::from_str_radix(hash, 16).unwrap_or(0)).collect()
    };
    Ok(events(admin, changes(watching, has)))
}

/// Makes the parts anew after each commit, and after each thing that was found on a machine, until nobody watches any more.
async fn keep(
    admin: Admin,
    key: String,
    topic: watch::Sender<Parts>,
    (mut commits, mut found): (watch::Receiver<u64>, watch::Receiver<u64>),
    make: Make,
) {
    let stop = admin.context().stop.clone();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            () = topic.closed() => {
                let mut topics = admin.hub().topics();
                // Somebody may have come just now.
                if topic.receiver_count() == 0 {
                    topics.remove(&key);
                    return;
                }
                continue;
            }
            changed = commits.changed() => if changed.is_err() { break },
            changed = found.changed() => if changed.is_err() { break },
        }
        tokio::time::sleep(SETTLE).await;
        commits.mark_unchanged();
        found.mark_unchanged();
        let began = Instant::now();
        match make().await {
            Ok(parts) => {
                topic.send_if_modified(|shown| {
                    let is_new = version(shown) != version(&parts);
                    if is_new {
                        *shown = Arc::new(parts);
                    }
                    is_new
                });
            }
            Err(fault) => tracing::debug!("a page that is watched cannot be made: {}", fault.told()),
        }
        tokio::time::sleep(began.elapsed() * SHARE).await;
    }
    admin.hub().topics().remove(&key);
}

/// What somebody who has these versions does not have yet, part by part.
fn changes(watching: watch::Receiver<Parts>, has: Vec<u32>) -> impl Stream<Item = Event> {
    stream::unfold((watching, has), async |(mut watching, mut has)| {
        loop {
            let parts = watching.borrow_and_update().clone();
            has.resize(parts.len(), 0);
            let new = parts.iter().zip(&has).position(|(part, has)| part.hash != *has);
            if let Some(at) = new {
                let part = &parts[at];
                has[at] = part.hash;
                let id: Vec<String> = has.iter().map(|hash| format!("{hash:08x}")).collect();
                let event = event(part.name, &part.html).id(id.join("."));
                // There may be more new parts, so the next look is at the same state.
                watching.mark_changed();
                return Some((event, (watching, has)));
            }
            if watching.changed().await.is_err() {
                return None;
            }
        }
    })
}

/// The event that puts a part in its place. An event without data is dispatched to nobody, so an empty part is a comment.
pub fn event(name: &str, html: &str) -> Event {
    Event::default().event(name).data(if html.is_empty() { "<!-- nothing -->" } else { html })
}

/// Sends events until they end, the bot stops, or the browser has to come back.
pub fn events(admin: &Admin, events: impl Stream<Item = Event> + Send + 'static) -> Response {
    let stop = admin.context().stop.clone();
    let over = async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(LONGEST) => {}
        }
    };
    // A browser comes back a second after a stream has ended.
    let first = stream::iter([Event::default().retry(Duration::from_secs(1)).comment("watching")]);
    let all = first.chain(events).take_until(Box::pin(over)).map(Ok::<_, Infallible>);
    let mut answer = Sse::new(all).keep_alive(KeepAlive::new().interval(ALIVE_EVERY)).into_response();
    // nginx would collect events otherwise.
    answer.headers_mut().insert("x-accel-buffering", axum::http::HeaderValue::from_static("no"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_alone_makes_nothing_new() {
        let part = |html: &str| version(&[Part::new("x", html.to_owned())]);
        let seen = |ago: &str, since: &str, word: &str| {
            format!(
                "<p>{word} <time datetime=\"1\" title=\"1\">{ago}</time>, <span class=\"elapsed\" data-since=\"1\">{since}</span></p>"
            )
        };
        let first = part(&seen("just now", "1 s", "queued"));
        assert_eq!(first, part(&seen("3 min ago", "3 min 1 s", "queued")));
        assert_ne!(first, part(&seen("just now", "1 s", "running")));
        assert_ne!(first, part(&seen("just now", "1 s", "queued").replace("title=\"1\"", "title=\"2\"")));
        assert_ne!(part("<time "), part("<time x"));
    }
}
