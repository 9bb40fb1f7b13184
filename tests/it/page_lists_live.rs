//! Lists change while somebody looks at them.

use crate::harness::page::words;
use crate::harness::{MAINTAINER, World};

#[tokio::test]
async fn lists_show_what_has_just_happened() {
    let world = World::new().await;
    world.work_on("The first", "").await;
    let mut browser = world.signed_in(MAINTAINER).await;
    let mut watched = Vec::new();
    for path in ["/admin/runs", "/admin/deliveries", "/admin/audit", "/admin/usage"] {
        let page = browser.get(path).await;
        let live = page.between("sse-connect=\"", "\"").expect("a stream").replace("&#38;", "&");
        watched.push((path, browser.stream(&live, None).await));
    }
    let second = world.issue("The <i>second</i>", "").await;
    world.label(second, "track").await;
    world.settle().await;
    let news = ["The &#60;i&#62;second", "octo/hello #3", "octo/hello #3", "Runs 2"];
    for ((path, mut stream), news) in watched.into_iter().zip(news) {
        loop {
            let event = stream.next().await.expect("the stream goes on");
            assert_eq!(event.event, "list");
            assert!(!event.data.contains("name=\"csrf\""), "{path}");
            if words(&event.data).contains(news) {
                break;
            }
        }
    }
    // Older pages stand still.
    let older = browser.get("/admin/runs?older=1-01ARZ3NDEKTSV4RRFFQ69G5FAV").await;
    assert!(!older.text.contains("sse-connect"), "{}", words(&older.text));
}
