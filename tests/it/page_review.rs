//! Reviews that are asked for on the page, by the address of a pull request (B30, B36).

use hyper::StatusCode;

use crate::harness::page::words;
use crate::harness::{MAINTAINER, REPO, World};

const REVIEW: &str = r#"review "One thing matters." "$(finding hello.txt 1 'Off by <one>' 'right')""#;

#[tokio::test]
async fn a_pull_request_is_reviewed_by_its_address() {
    let world = World::new().await;
    world.agent(REVIEW);
    world.sim.commit_file(REPO, "theirs", "hello.txt", "hello\n").await.unwrap();
    let pull = world.sim.open_pull(REPO, MAINTAINER, ("theirs", "main"), ("Say hello", "")).await.unwrap();
    let mut page = world.signed_in(MAINTAINER).await;
    let url = format!("{}/{REPO}/pull/{pull}", world.sim.url());

    let wrong = page
        .submit("/admin/review", "/admin/review", &[("url", "https://example.org/x"), ("instructions", "mind <it>")])
        .await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        wrong.text.contains("role=\"alert\"") && wrong.text.contains("mind &#60;it&#62;"),
        "what was typed is still there"
    );

    let asked =
        page.submit("/admin/review", "/admin/review", &[("url", &url), ("instructions", "mind the numbers")]).await;
    assert_eq!(asked.status, StatusCode::SEE_OTHER, "{}", words(&asked.text));
    world.settle().await;
    let shown = page.get(asked.location()).await;
    let told = words(&shown.text);
    assert!(told.contains("One thing matters.") && told.contains("Off by &#60;one&#62;"), "{told}");
    assert!(!told.contains("Not posted"), "{told}");
    assert_eq!(world.sim.reviews(REPO, pull).len(), 1);
}

// B36
#[tokio::test]
async fn one_where_the_app_is_not_installed_is_shown_and_not_posted() {
    let world = World::new().await;
    world.agent(REVIEW);
    world.sim.add_user("zoe");
    world.sim.add_repository("zoe/open", &[("README.md", "# open\n")]).await.unwrap();
    world.sim.make_public("zoe/open").unwrap();
    world.sim.uninstall("zoe");
    world.sim.commit_file("zoe/open", "theirs", "hello.txt", "hello\n").await.unwrap();
    let pull = world.sim.open_pull("zoe/open", "zoe", ("theirs", "main"), ("Say hello", "")).await.unwrap();
    let mut page = world.signed_in(MAINTAINER).await;
    let url = format!("{}/zoe/open/pull/{pull}", world.sim.url());
    let asked = page.submit("/admin/review", "/admin/review", &[("url", &url)]).await;
    assert_eq!(asked.status, StatusCode::SEE_OTHER, "{}", words(&asked.text));
    world.settle().await;
    let shown = page.get(asked.location()).await;
    let told = words(&shown.text);
    assert!(told.contains("Not posted") && told.contains("The review as Markdown Copy"), "{told}");
    let install = format!("{}/apps/track/installations/new", world.sim.url());
    assert!(shown.text.contains(&install), "the link to install the App is there");
    assert!(world.sim.reviews("zoe/open", pull).is_empty());
}
