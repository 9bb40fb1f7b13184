//! Health on the page, and what of it the board says.

use hyper::StatusCode;

use crate::harness::page::words;
use crate::harness::{MAINTAINER, World};

#[tokio::test]
async fn health_says_what_is_missing_and_looks_when_asked() {
    let world = World::new().await;
    world.work_on("Say hello", "").await;
    let mut browser = world.signed_in(MAINTAINER).await;
    let before = words(&browser.get("/admin/health").await.text);
    assert!(before.contains("Nobody has looked at this machine and GitHub yet"), "{before}");
    assert!(before.contains("Deliveries waiting 0") && before.contains("Reports owed to GitHub 0"), "{before}");

    let page = browser.get("/admin/health").await;
    let live = page.between("sse-connect=\"", "\"").expect("a stream").replace("&#38;", "&");
    let mut stream = browser.stream(&live, None).await;
    let asked = browser.submit("/admin/health", "/admin/health/check", &[]).await;
    assert_eq!((asked.status, asked.location()), (StatusCode::SEE_OTHER, "/admin/health"));
    let healthy = loop {
        let event = stream.next().await.expect("the stream goes on");
        let told = words(&event.data);
        if event.event == "findings" && told.contains("Looked at this machine") {
            break told;
        }
    };
    assert!(healthy.contains("Nothing is missing."), "{healthy}");
    for part in [
        "ok webhook",
        "was taken",
        "ok clock agrees with GitHub&#39;s",
        "ok local-1: sandbox",
        "note sign-in not set up",
    ] {
        assert!(healthy.contains(part), "{part}: {healthy}");
    }

    world.sim.set_webhook_url(None);
    browser.submit("/admin/health", "/admin/health/check", &[]).await;
    let broken = loop {
        let event = stream.next().await.expect("the stream goes on");
        let told = words(&event.data);
        if event.event == "findings" && told.contains("missing webhook") {
            break told;
        }
    };
    assert!(broken.contains("1 thing is missing.") && broken.contains("the App has none"), "{broken}");
}

#[tokio::test]
async fn the_board_says_what_needs_an_operator() {
    let world = World::new().await;
    let mut browser = world.signed_in(MAINTAINER).await;
    assert!(!browser.get("/admin").await.text.contains("note bad"));
    let context = world.bot().context();
    context.runners.no_answer("local-1", context.clock.now());
    let board = browser.get("/admin").await.text;
    assert!(words(&board).contains("Runner local-1 does not answer."), "{}", words(&board));
    assert!(board.contains("href=\"/admin/runners/local-1\""), "{board}");
    let list = words(&browser.get("/admin/runners").await.text);
    assert!(list.contains("local-1 does not answer"), "{list}");
}
