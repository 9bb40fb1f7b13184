//! The board, as somebody sees it who looks while agents work.

use crate::harness::page::words;
use crate::harness::{MAINTAINER, World};

// B50
#[tokio::test]
async fn an_issue_wanders_over_the_board_while_somebody_looks() {
    let world = World::new().await;
    let mut page = world.signed_in(MAINTAINER).await;
    let empty = page.get("/admin").await;
    assert!(words(&empty.text).contains("Put the label track on an issue"), "{}", words(&empty.text));
    let live = empty.between("sse-connect=\"", "\"").unwrap().replace("&amp;", "&").replace("&#38;", "&");
    let mut stream = page.stream(&live, None).await;

    world.agent(
        r#"await go; commit hello.txt hello "feat: say hello"; answer succeeded "Said hello." "feat: say hello""#,
    );
    let issue = world.issue("Say <b>hello</b>", "Please.").await;
    world.label(issue, "track").await;
    let mut seen;
    loop {
        let event = stream.next().await.expect("the stream goes on");
        assert_eq!(event.event, "columns");
        seen = event;
        if words(&seen.data).contains("In progress 1") {
            break;
        }
    }
    assert!(seen.data.contains("Say &#60;b&#62;hello"), "{}", seen.data);
    world.signal("go");
    world.settle().await;
    loop {
        let event = stream.next().await.expect("the stream goes on");
        if words(&event.data).contains("Review 1") {
            seen = event;
            break;
        }
    }
    let told = words(&seen.data);
    assert!(told.contains("Needs you review the pull request succeeded scripted on"), "{told}");

    // Whoever comes back with what they have is sent nothing until something changes.
    let mut again = page.stream("/admin/live", Some(&seen.id)).await;
    let other = world.issue("Another", "").await;
    world.label(other, "track").await;
    let next = again.next().await.expect("the stream goes on");
    assert!(next.data.contains("Another"), "{}", next.data);
}
