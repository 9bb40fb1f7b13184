//! Webhooks that never came, came twice, or came from somebody else.

use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::json;
use track::inbox::sweep::sweep;
use track::model::Clock;
use track::sim::{DeliveryRecord, Fault};

use crate::harness::World;

/// Nobody listens there.
const NOWHERE: &str = "http://127.0.0.1:9/webhooks/github";

impl World {
    fn here(&self) -> String {
        format!("http://{}/webhooks/github", self.bot().address())
    }

    /// Sweeps until so many are found: the bot's own sweep may have another look first.
    async fn sweep(&self, found: u64) {
        let mut sum = 0;
        self.until("a sweep that finds", async || {
            sum += sweep(self.bot().context()).await.unwrap();
            sum >= found
        })
        .await;
        assert_eq!(sum, found);
    }

    /// What is sent meanwhile reaches nobody; answers it. The bot's own first sweep is over by then.
    async fn lose(&self, acts: impl AsyncFnOnce()) -> Vec<DeliveryRecord> {
        self.until("the first sweep", async || {
            let mut conn = self.db().read().await.unwrap();
            track::db::settings::get(&mut conn, "swept_until").await.unwrap().is_some()
        })
        .await;
        self.sim.set_webhook_url(Some(NOWHERE));
        acts().await;
        self.sim.settled().await;
        self.sim.set_webhook_url(Some(&self.here()));
        self.sim.deliveries().into_iter().filter(|lost| lost.status_code == 502).collect()
    }
}

/// A line of the log as GitHub shows it.
fn summary(of: &DeliveryRecord) -> serde_json::Value {
    let at = chrono::DateTime::from_timestamp_millis(of.delivered_at).unwrap().to_rfc3339();
    json!({ "id": of.id, "guid": of.guid, "delivered_at": at, "event": of.event, "action": of.action })
}

// F13, P6
#[tokio::test]
async fn a_delivery_that_never_came_is_found_by_the_next_sweep_and_counts_once() {
    let world = World::new().await;
    let issue = world.issue("Say hello", "Please.").await;
    world.settle().await;
    world.lose(async || world.label(issue, "track").await).await;
    world.sweep(1).await;
    world.settle().await;
    assert_eq!(world.runs().await.len(), 1);

    // The same comes late, and again.
    let lost =
        world.sim.deliveries().into_iter().find(|delivery| delivery.action.as_deref() == Some("labeled")).unwrap();
    for _ in 0..2 {
        world.sim.redeliver(&lost.guid).await.unwrap();
    }
    world.settle().await;
    assert_eq!(sweep(world.bot().context()).await.unwrap(), 0);
    assert_eq!(world.runs().await.len(), 1);
    assert_eq!(world.said(issue).len(), 1);
    let last = world.sim.deliveries().pop().unwrap();
    assert_eq!((last.redelivery, last.status_code), (true, 202));
}

// F13: GitHub was down when the bot began, or the bot was stopped before its first sweep was over.
#[tokio::test]
async fn what_is_lost_before_the_first_sweep_is_found_too() {
    let mut world = World::new().await;
    let (earlier, later) = (world.issue("One", "").await, world.issue("Two", "").await);
    world.settle().await;
    world.stop().await;
    let db = track::db::Db::open(&world.config.database_url).await.unwrap();
    let mut tx = db.begin().await.unwrap();
    sqlx::query("delete from setting where key = 'swept_until'").execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    db.close().await;
    // What was sent before there was a bot was meant for nobody.
    world.clock.advance(-3_600_000);
    world.label(earlier, "track").await;
    world.sim.settled().await;
    world.clock.advance(3_600_000);
    world.label(later, "track").await;
    world.sim.settled().await;
    world.start().await;
    world.until("the run", async || !world.runs().await.is_empty()).await;
    world.settle().await;
    assert_eq!((world.said(earlier).len(), world.said(later).len()), (0, 1));
}

// F13
#[tokio::test]
async fn a_proxy_that_answered_for_us_and_a_redelivery_without_signature_lose_nothing() {
    let world = World::new().await;
    let issue = world.issue("Say hello", "Please.").await;
    world.settle().await;
    // Something else on our address says 200.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = format!("http://{}/webhooks/github", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, axum::Router::new().fallback(|| async { "thanks" })).await });
    world.sim.set_webhook_url(Some(&proxy));
    world.label(issue, "track").await;
    world.sim.settled().await;
    world.sim.set_webhook_url(Some(&world.here()));
    let lost = world.sim.deliveries().pop().unwrap();
    assert_eq!((lost.action.as_deref(), lost.status_code), (Some("labeled"), 200));

    let request = hyper::Request::post(world.here())
        .header("content-type", "application/json")
        .header("x-github-event", &lost.event)
        .header("x-github-delivery", &lost.guid)
        .body(Full::new(lost.payload))
        .unwrap();
    let answer = Client::builder(TokioExecutor::new()).build_http().request(request).await.unwrap();
    assert_eq!(answer.status(), 401);
    world.sweep(1).await;
    world.settle().await;
    assert_eq!(world.runs().await.len(), 1);
}

// F13
#[tokio::test]
async fn a_delivery_that_github_cannot_show_keeps_no_other_from_us() {
    let world = World::new().await;
    let (first, second) = (world.issue("One", "").await, world.issue("Two", "").await);
    world.settle().await;
    let lost = world.lose(async || {
        world.label(first, "track").await;
        world.label(second, "track").await;
    });
    let lost = lost.await;
    let shown = format!("/app/hook/deliveries/{}", lost[0].id);
    let broken = Fault::Status { code: 422, headers: Vec::new(), body: r#"{"message":"no"}"#.to_owned() };
    world.fault(usize::MAX, move |request| request.path == shown, broken);
    world.sweep(1).await;
    world.settle().await;
    assert_eq!((world.said(first).len(), world.said(second).len()), (0, 1));
}

// F13
#[tokio::test]
async fn a_delivery_that_github_fails_to_show_is_tried_again_and_keeps_no_other_from_us() {
    let world = World::new().await;
    let (first, second) = (world.issue("One", "").await, world.issue("Two", "").await);
    world.settle().await;
    world.sweep(0).await;
    let lost = world.lose(async || {
        world.label(first, "track").await;
        world.label(second, "track").await;
    });
    let lost = lost.await;
    let shown = format!("/app/hook/deliveries/{}", lost[0].id);
    let broken = Fault::Status { code: 502, headers: Vec::new(), body: String::new() };
    world.fault(usize::MAX, move |request| request.path == shown, broken);
    world.sweep(1).await;
    world.settle().await;
    assert_eq!((world.said(first).len(), world.said(second).len()), (0, 1));
    // Longer than one sweep reaches back behind the one before.
    world.pass(30 * 60_000);
    world.sim.clear_faults();
    world.sweep(1).await;
    world.settle().await;
    assert_eq!((world.said(first).len(), world.said(second).len()), (1, 1));
}

// F13
#[tokio::test]
async fn a_delivery_without_content_leaves_a_word_about_it() {
    let world = World::new().await;
    let issue = world.issue("One", "").await;
    world.settle().await;
    world.sweep(0).await;
    let lost = world.lose(async || world.label(issue, "track").await).await;
    let shown = format!("/app/hook/deliveries/{}", lost[0].id);
    let mut body = summary(&lost[0]);
    body["request"] = json!({ "headers": {}, "payload": null });
    let empty = Fault::Status { code: 200, headers: Vec::new(), body: body.to_string() };
    let met = world.fault(usize::MAX, move |request| request.path == shown, empty);
    for _ in 0..2 {
        world.sweep(0).await;
    }
    assert_eq!(met.load(SeqCst), 1);
    world.settle().await;
    let mut conn = world.db().read().await.unwrap();
    let said: Vec<String> = sqlx::query_scalar("select detail from decision where reason = 'no_payload'")
        .fetch_all(&mut *conn)
        .await
        .unwrap();
    assert_eq!(said.len(), 1);
    insta::assert_snapshot!(said[0], @"the webhook issues (labeled) never came, and GitHub does not have its content any more: whoever asked has to ask again");
}

// F13
#[tokio::test]
async fn a_log_longer_than_one_sweep_is_read_to_its_old_end() {
    const PAGES: usize = 60;
    let world = World::new().await;
    let issue = world.issue("One", "").await;
    world.settle().await;
    world.sweep(0).await;
    let lost = world.lose(async || world.label(issue, "track").await).await;
    let oldest = json!([summary(&lost[0])]).to_string();
    let asked: Arc<Mutex<Vec<usize>>> = Arc::default();
    let noted = asked.clone();
    world.sim.set_fault(Box::new(move |request| {
        if request.path != "/app/hook/deliveries" {
            return None;
        }
        let page = request.query.split_once("cursor=v1_").map_or(1, |(_, page)| page.parse().unwrap());
        noted.lock().unwrap().push(page);
        let next = format!("<http://x/app/hook/deliveries?per_page=100&cursor=v1_{}>; rel=\"next\"", page + 1);
        let (headers, body) = match page {
            PAGES => (Vec::new(), oldest.clone()),
            _ => (vec![("link".to_owned(), next)], "[]".to_owned()),
        };
        Some(Fault::Status { code: 200, headers, body })
    }));
    assert_eq!(sweep(world.bot().context()).await.unwrap(), 0);
    assert_eq!(sweep(world.bot().context()).await.unwrap(), 1);
    assert_eq!(*asked.lock().unwrap(), (1..=PAGES).collect::<Vec<_>>());
    world.sim.clear_faults();
    world.settle().await;
    assert_eq!(world.said(issue).len(), 1);
}

// F13, T46
#[tokio::test]
async fn a_clock_that_is_wrong_by_an_hour_loses_nothing() {
    for behind in [-3_600_000, 3_600_000] {
        let slow = |github: &mut track::sim::Options| {
            github.clock = Clock::shifted();
            github.clock.advance(behind);
        };
        let world = World::with_github(slow, |_| ()).await;
        let issue = world.issue("One", "").await;
        world.settle().await;
        world.sweep(0).await;
        world.lose(async || world.label(issue, "track").await).await;
        world.sweep(1).await;
        let mut conn = world.db().read().await.unwrap();
        let came: i64 = sqlx::query_scalar("select received_at from delivery where source = 'sweep'")
            .fetch_one(&mut *conn)
            .await
            .unwrap();
        let ago = world.clock.now() - came;
        assert!((0..60_000).contains(&ago), "{ago} ms ago by our clock");
        world.settle().await;
        assert_eq!(world.said(issue).len(), 1);
    }
}

// F14, P1
#[tokio::test]
async fn a_delivery_is_acknowledged_when_the_busy_database_has_it_and_not_before() {
    let world = World::new().await;
    let issue = world.issue("Say hello", "Please.").await;
    world.settle().await;
    let busy = world.bot().context().db.begin().await.unwrap();
    world.label(issue, "track").await;
    tokio::time::timeout(Duration::from_millis(500), world.sim.settled()).await.expect_err("acknowledged too early");
    drop(busy);
    world.settle().await;
    assert!(world.sim.deliveries().iter().all(|delivery| delivery.status_code == 202));
    assert_eq!(world.runs().await.len(), 1);
}

// F15
#[tokio::test]
async fn a_delivery_whose_bytes_changed_on_disk_is_never_acted_upon() {
    let world = World::new().await;
    let issue = world.issue("Say hello", "Please.").await;
    world.settle().await;
    world.sim.set_fault(Box::new(|_| Some(Fault::DropBeforeHandling)));
    world.comment("mona", issue, "/track dispatch").await;
    world.sim.settled().await;
    // The first attempt has it in memory; the next one reads it again.
    world
        .until("the delivery is put off", async || {
            let mut conn = world.bot().context().db.read().await.unwrap();
            let tries: i64 = sqlx::query_scalar("select tries from delivery where event = 'issue_comment'")
                .fetch_one(&mut *conn)
                .await
                .unwrap();
            tries > 0
        })
        .await;
    let mut tx = world.bot().context().db.begin().await.unwrap();
    // Still valid JSON, and the same length.
    let changed = sqlx::query(
        "update delivery set body = cast(replace(cast(body as text), '/track dispatch', '/track DISPATCH') as blob) where event = 'issue_comment'",
    )
    .execute(&mut *tx)
    .await
    .unwrap();
    assert_eq!(changed.rows_affected(), 1);
    tx.commit().await.unwrap();
    world.sim.clear_faults();
    world.settle_soon().await;
    assert!(world.runs().await.is_empty());
    assert!(world.said(issue).is_empty());
    let mut conn = world.bot().context().db.read().await.unwrap();
    let row: (String, String) = sqlx::query_as("select status, error from delivery where event = 'issue_comment'")
        .fetch_one(&mut *conn)
        .await
        .unwrap();
    assert_eq!(row.0, "quarantined");
    insta::assert_snapshot!(row.1, @"the stored body is not what was received: the database is damaged");
}

// F13: the App was taken away before it could be asked.
#[tokio::test]
async fn a_delivery_that_nobody_can_decide_any_more_is_set_aside() {
    let world = World::new().await;
    let issue = world.issue("Say hello", "Please.").await;
    world.settle().await;
    let met = world.fault(usize::MAX, |_| true, Fault::DropBeforeHandling);
    world.label(issue, "track").await;
    world.until("an attempt", async || met.load(std::sync::atomic::Ordering::SeqCst) > 0).await;
    world.sim.uninstall("octo");
    world.sim.clear_faults();
    world.settle_soon().await;
    assert!(world.runs().await.is_empty());
}
