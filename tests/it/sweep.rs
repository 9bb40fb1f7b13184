//! Webhooks that never came, came twice, or came from somebody else.

use std::time::Duration;

use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use track::inbox::sweep::sweep;
use track::sim::Fault;

use crate::harness::World;

/// Nobody listens there.
const NOWHERE: &str = "http://127.0.0.1:9/webhooks/github";

impl World {
    fn here(&self) -> String {
        format!("http://{}/webhooks/github", self.bot().address())
    }

    /// Sweeps until something is found: the first sweep of a bot only notes the time.
    async fn sweep(&self, found: u64) {
        let mut sum = 0;
        self.until("a sweep that finds", async || {
            sum += sweep(self.bot().context()).await.unwrap();
            sum >= found
        })
        .await;
        assert_eq!(sum, found);
    }
}

// F13, P6
#[tokio::test]
async fn a_delivery_that_never_came_is_found_by_the_next_sweep_and_counts_once() {
    let world = World::new().await;
    let issue = world.issue("Say hello", "Please.").await;
    world.settle().await;
    world.sim.set_webhook_url(Some(NOWHERE));
    world.label(issue, "track").await;
    world.sim.settled().await;
    world.sim.set_webhook_url(Some(&world.here()));
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
    world.sim.set_webhook_url(Some(NOWHERE));
    world.label(first, "track").await;
    world.label(second, "track").await;
    world.sim.settled().await;
    world.sim.set_webhook_url(Some(&world.here()));
    let lost: Vec<_> = world.sim.deliveries().into_iter().filter(|lost| lost.status_code == 502).collect();
    let shown = format!("/app/hook/deliveries/{}", lost[0].id);
    let broken = Fault::Status { code: 422, headers: Vec::new(), body: r#"{"message":"no"}"#.to_owned() };
    world.fault(usize::MAX, move |request| request.path == shown, broken);
    world.sweep(1).await;
    world.settle().await;
    assert_eq!((world.said(first).len(), world.said(second).len()), (0, 1));
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
