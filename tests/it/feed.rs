//! Many people watch a run, and one reader serves them all.

use std::sync::Arc;

use futures_util::TryStreamExt as _;
use futures_util::future::join_all;
use track::agent::transcript::{Item, What};
use track::model::{Outcome, Status};
use track::run::feed::{self, Feeds, Now, Watcher};
use track::run::snapshot;

use crate::harness::World;

/// What an item says, so that it can be looked for.
fn render(turn: i64, item: &Item) -> String {
    let said = match &item.what {
        What::Message(text) | What::Plain(text) => text.head.clone(),
        What::Phase(phase) => phase.to_string(),
        other => format!("{other:?}"),
    };
    format!("{turn}.{} {said}", item.number)
}

fn html(now: &Now) -> Vec<String> {
    now.items.iter().map(|item| item.html.to_string()).collect()
}

/// Takes news until an item says this; answers everything that was new.
async fn until(watcher: &mut Watcher, said: &str) -> Vec<String> {
    let mut seen = Vec::new();
    while !seen.iter().any(|html: &String| html.ends_with(said)) {
        let news = watcher.next().await.unwrap_or_else(|| panic!("{said:?} did not come, only {seen:?}"));
        seen.extend(news.fresh.iter().map(|item| item.html.to_string()));
    }
    seen
}

#[tokio::test]
async fn two_hundred_watch_and_one_reads() {
    let world = World::new().await;
    world.agent(
        r#"say "one"; await second; say "two"; echo plain; await third; say "three"; answer succeeded "Nothing to do.""#,
    );
    let issue = world.issue("Say hello", "").await;
    world.label(issue, "track").await;
    let run = world.until_status(Status::Running).await.id;
    let feeds = Feeds::new(world.bot().context().clone(), render);

    let first = feeds.watch(run, None).await.unwrap();
    let mut watchers = vec![first];
    for _ in 1..200 {
        watchers.push(feeds.watch(run, None).await.unwrap());
    }
    join_all(watchers.iter_mut().map(|watcher| until(watcher, "one"))).await;
    world.signal("second");
    let seen = join_all(watchers.iter_mut().map(|watcher| until(watcher, "plain"))).await;
    for seen in &seen {
        assert!(seen.iter().all(|html| html.ends_with("two") || html.ends_with("plain")), "{seen:?}");
    }
    assert_eq!(world.bot().context().wake.watched.readers(run), 1);

    // What is shown lies in memory once.
    let mut nows = Vec::new();
    for watcher in &mut watchers {
        nows.push(watcher.now().await.unwrap());
    }
    let one = nows[0].items.last().unwrap().html.clone();
    assert!(nows.iter().all(|now| Arc::ptr_eq(&now.items.last().unwrap().html, &one)));

    // Who comes back gets what was missed, and nothing twice.
    let mark = nows[0].mark;
    drop(watchers.split_off(1));
    world.signal("third");
    until(&mut watchers[0], "three").await;
    let mut back = feeds.watch(run, Some(mark.to_string().parse().unwrap())).await.unwrap();
    assert_eq!(until(&mut back, "three").await.len(), 1);
    assert_eq!(world.bot().context().wake.watched.readers(run), 1);

    // All of them come to an end with the run, and the last state says so.
    world.settle().await;
    let mut last = None;
    while let Some(news) = back.next().await {
        last = news.state.or(last);
    }
    assert_eq!(last.unwrap().run.outcome, Some(Outcome::Succeeded));
    while watchers[0].next().await.is_some() {}

    // The reader ended with those who watched; another one reads the same, with the same marks.
    drop((watchers, back, nows));
    let mut later = feeds.watch(run, None).await.unwrap();
    let now = later.now().await.unwrap();
    assert!(now.over && now.earlier == 0);
    assert_eq!(html(&now).last().map(String::as_str), Some("1.7 three"));
    let mut again = feeds.watch(run, Some(mark)).await.unwrap();
    assert_eq!(until(&mut again, "three").await, ["1.7 three"]);

    // The same from the files, a part at a time, and as they are.
    let context = world.bot().context();
    let row = world.runs().await.remove(0);
    let part = feed::part(context, &row, 3, 2).await.unwrap();
    let said: Vec<String> = part.items.iter().map(|(turn, item)| render(*turn, item)).collect();
    assert_eq!((said, part.total), (vec!["1.4 one".to_owned(), "1.5 two".to_owned()], 7));
    let raw: Vec<u8> = feed::raw(context, run).try_collect::<Vec<_>>().await.unwrap().concat();
    assert_eq!(raw, std::fs::read(world.home().join("journals").join(run.to_string())).unwrap());

    let given = snapshot::given(world.home(), &row, 1 << 20).await.unwrap();
    assert_eq!((given.len(), given[0].prompt.trim_end(), given[0].cut), (1, world.prompt(run).as_str(), 0));
    let cut = snapshot::given(world.home(), &row, 100).await.unwrap();
    assert_eq!(cut[0].prompt.len() as u64 + cut[0].cut, given[0].prompt.len() as u64);
}

#[tokio::test]
async fn a_watched_run_is_told_from_the_queue_to_its_end() {
    let mut world = World::with(|config| config.runners[0].slots = 1).await;
    world.agent(r#"say "busy"; await free; answer succeeded "Done.""#);
    let blocking = world.issue("First", "").await;
    world.label(blocking, "track").await;
    world.until_status(Status::Running).await;
    let issue = world.issue("Second", "").await;
    world.label(issue, "track").await;
    let queued = world.until_status(Status::Queued).await.id;
    let feeds = Feeds::new(world.bot().context().clone(), render);
    let mut watcher = feeds.watch(queued, None).await.unwrap();
    let now = watcher.now().await.unwrap();
    assert_eq!((now.state.run.status, now.items.len(), now.over), (Status::Queued, 0, false));
    world.signal("free");
    let mut statuses = Vec::new();
    while let Some(news) = watcher.next().await {
        if let Some(state) = news.state
            && statuses.last() != Some(&state.run.status)
        {
            statuses.push(state.run.status);
        }
    }
    assert_eq!(statuses.last(), Some(&Status::Done), "{statuses:?}");
    assert!(statuses.is_sorted(), "{statuses:?}");

    // A stop of the bot ends whoever watches, at once.
    world.settle().await;
    world.unsignal("free");
    let third = world.issue("Third", "").await;
    world.label(third, "track").await;
    let running = world.until_status(Status::Running).await.id;
    let feeds = Feeds::new(world.bot().context().clone(), render);
    let mut watcher = feeds.watch(running, None).await.unwrap();
    until(&mut watcher, "busy").await;
    let watching = tokio::spawn(async move { while watcher.next().await.is_some() {} });
    world.stop().await;
    watching.await.unwrap();
    world.signal("free");
    world.start().await;
    world.settle().await;
}
