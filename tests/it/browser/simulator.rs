//! The simulator's own pages, which people who watch the demo look at.

use serde_json::json;

use super::{nobody, play};
use crate::harness::{MAINTAINER, REPO, World};
use crate::titles::hostile_titles;

#[tokio::test]
async fn a_story_on_the_simulated_pages() {
    let world = World::new().await;
    let issue = world.work_on("Say <b>hello</b>", "Please `hello.txt` with **hello** in it.").await;
    let pull = world.sim.pulls(REPO).remove(0);
    let words = [("hello.txt", 1, "Why not `hi`?")];
    world.sim.review(REPO, MAINTAINER, pull.number, "COMMENTED", "", &words).await.expect("a review");
    world.settle().await;
    let input = json!({
        "origins": [world.sim.url()],
        "pages": {
            "index": world.sim.url(),
            "repository": format!("{}/{REPO}", world.sim.url()),
            "issue": format!("{}/{REPO}/issues/{issue}", world.sim.url()),
            "pull": format!("{}/{REPO}/pull/{}", world.sim.url(), pull.number),
            "commit": format!("{}/{REPO}/commit/{}", world.sim.url(), pull.head_sha),
        },
        "says": {
            "index": "Say <b>hello</b>",
            "repository": "Say <b>hello</b>",
            "issue": "Said hello.",
            "pull": "Why not hi?",
            "commit": "feat: say hello",
        },
    });
    play("simulator", input, nobody).await;
}

// T24
#[tokio::test]
async fn hostile_titles_on_the_simulated_pages_are_text() {
    let world = World::new().await;
    world.sim.set_webhook_url(None);
    let titles = hostile_titles();
    for title in &titles {
        world.issue(title, title).await;
    }
    let page = |number: usize| format!("{}/{REPO}/issues/{number}", world.sim.url());
    let mut pages = vec![json!({ "url": format!("{}/{REPO}", world.sim.url()), "titles": titles })];
    // Of the single pages a few will do: they come out of the same function.
    pages.extend(
        titles.iter().enumerate().step_by(25).map(|(at, title)| json!({ "url": page(at + 1), "titles": [title] })),
    );
    play("hostile", json!({ "origins": [world.sim.url()], "pages": pages }), nobody).await;
}
