//! `track review <url>`: a review that the operator asks for on the bot's own machine.

use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use track::model::{Kind, Number, Outcome};

use crate::harness::process::printed;
use crate::harness::{MAINTAINER, REPO, STRANGER, World};

const REVIEW: &str = r#"review "One thing matters." "$(finding hello.txt 1 'Off by one' 'right')""#;

async fn world() -> World {
    let world = World::with(|config| config.admins = vec![MAINTAINER.to_owned()]).await;
    world.agent(REVIEW);
    world
}

/// A pull request of a person's.
async fn somebodys(world: &World) -> Number {
    world.sim.commit_file(REPO, "theirs", "hello.txt", "hello\n").await.expect("a commit");
    let words = ("Say hello", "As discussed.");
    world.sim.open_pull(REPO, MAINTAINER, ("theirs", "main"), words).await.expect("a pull request")
}

fn page(world: &World, pull: Number) -> String {
    format!("{}/{REPO}/pull/{pull}", world.sim.url())
}

/// What `track review` says where it refuses.
async fn refused(world: &World, words: &[&str]) -> String {
    let output = world.run_track(&[&["review"], words].concat()).await;
    let (out, err) = printed(&output);
    assert_eq!((output.status.code(), out.as_str()), (Some(1), ""), "{err}");
    err.replace(&world.sim.url(), "https://github.test")
}

// B30, B34
#[tokio::test]
async fn a_review_is_asked_for_by_address_and_waited_for() {
    let world = world().await;
    let pull = somebodys(&world).await;
    let output = world.run_track(&["review", &page(&world, pull), "--wait", "mind", "the numbers"]).await;
    let (out, err) = printed(&output);
    assert_eq!(output.status.code(), Some(0), "{err}");
    world.settle_soon().await;

    let run = world.runs().await.remove(0);
    assert_eq!((run.kind, run.outcome), (Kind::Review, Some(Outcome::Succeeded)));
    assert_eq!(Some(out.trim_end().to_owned()), run.review_url);
    assert!(err.starts_with(&format!("Run {} reviews octo/hello#{pull}, asked for by mona.\n", run.id)), "{err}");
    let reviews = world.sim.reviews(REPO, pull);
    assert_eq!(reviews.iter().map(|review| Some(review.id)).collect::<Vec<_>>(), [run.review_id]);
    assert!(reviews[0].body.starts_with("@mona requested me to review this PR.\n"), "{}", reviews[0].body);
    for text in ["mind the numbers", "As discussed."] {
        assert!(world.prompt(run.id).contains(text), "{text}");
    }
    // As after a command in a comment: one comment tells how it stands, and the reason is kept. Nothing is there to react to.
    assert!(world.only_comment(pull).starts_with("✅ **Reviewed**"), "{}", world.only_comment(pull));
    assert!(world.decisions(pull).await.contains(&"accepted queued".to_owned()), "{:?}", world.decisions(pull).await);
    assert_eq!(world.reactions(pull), Vec::<String>::new());

    let shown = printed(&world.run_track(&["runs", "--run", &run.id.to_string()]).await).0;
    assert!(shown.contains(&format!("  review        {}\n", out.trim_end())), "{shown}");
    let markdown = printed(&world.run_track(&["runs", "--run", &run.id.to_string(), "--markdown"]).await).0;
    insta::assert_snapshot!(world.readable(&markdown), @"
    @mona requested me to review this PR.

    One thing matters.

    **Findings:**

    - **🔴 High: Off by one** [`hello.txt:1`](https://github.test/octo/hello/blob/SHA/hello.txt#L1): It goes wrong.

    <sub>run `RUN` by `scripted` at `SHA`</sub>
    ");
}

// B30
#[tokio::test]
async fn what_cannot_be_reviewed_is_refused_with_the_reason() {
    let world = world().await;
    let issue = world.issue("An issue", "").await;
    let pull = somebodys(&world).await;
    let url = page(&world, pull);
    let mut told = String::new();
    for words in [
        &["https://evil.example/octo/hello/pull/7"][..],
        &[&format!("{}/{REPO}", world.sim.url())],
        &[&format!("{}/{REPO}/issues/{issue}", world.sim.url())],
        &[&page(&world, Number(99))],
        &[&url, "--as", STRANGER],
        &[&url, "--as", "nobody-at-all"],
        &[&url, "--agent", "cladue"],
        &[&url, "--model=a b"],
    ] {
        told += &refused(&world, words).await;
    }
    world.sim.close(REPO, MAINTAINER, pull).await.expect("closed");
    told += &refused(&world, &[&url]).await;
    insta::assert_snapshot!(told, @r#"
    track: "https://evil.example/octo/hello/pull/7" is no address on https://github.test, the GitHub of this server (GITHUB_SERVER_URL)
    track: "https://github.test/octo/hello" is the address of no pull request: such an address is like https://github.test/octo/hello/pull/7
    track: `/track review` works on pull requests, and this is an issue. Say it on the pull request that is to be reviewed.
    track: there is no #99 in octo/hello
    track: eve may not write in octo/hello, so nothing is started for them there; --as names somebody who may
    track: GitHub knows no account nobody-at-all: --as names who asks
    track: There is no agent `cladue`. Agents: `codex`, `claude`, `scripted`.
    track: "a b" cannot be the model: a model is up to 128 letters, digits and `._-:/@[]`, a letter or digit first
    track: This pull request is closed. Reopen it first, then ask again.
    "#);
    world.settle_soon().await;
    assert_eq!((world.starts().len(), world.writes()), (0, 0));
}

#[tokio::test]
async fn somebody_asks_or_nothing_is_reviewed() {
    let mut world = World::new().await;
    world.agent(REVIEW);
    let url = page(&world, somebodys(&world).await);
    insta::assert_snapshot!(refused(&world, &[&url]).await, @"track: nobody is named who asks for the review: say --as LOGIN, or set TRACK_ADMINS, or main_user in track.toml");
    world.stop().await;
    let told = refused(&world, &[&url]).await.replace(&world.home().display().to_string(), "HOME");
    insta::assert_snapshot!(told, @"track: no server runs on HOME: start `track serve`, then ask again");
    world.config.main_user = vec![MAINTAINER.to_owned()];
    world.start().await;
    let asked = world.run_track(&["review", &url]).await;
    assert_eq!(asked.status.code(), Some(0), "{:?}", printed(&asked));
    world.settle_soon().await;
    assert_eq!(world.runs().await[0].ask.requester.login, MAINTAINER);
}

// P2, B40
#[tokio::test]
async fn whoever_stops_waiting_leaves_the_review_alone() {
    let world = world().await;
    world.agent(&format!("await go\n{REVIEW}"));
    let pull = somebodys(&world).await;
    let mut track = tokio::process::Command::from(world.track(&["review", &page(&world, pull), "--wait"]));
    let child = track.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("track runs");
    world.until_started(1).await;
    let again = refused(&world, &[&page(&world, pull)]).await;
    assert!(again.contains("is still running here. Wait for it"), "{again}");
    let pid = child.id().and_then(|id| Pid::from_raw(id as i32)).expect("it runs");
    kill_process(pid, Signal::INT).expect("a signal");
    let output = child.wait_with_output().await.expect("it ended");
    let run = world.runs().await.remove(0);
    let (out, err) = printed(&output);
    assert_eq!((output.status.code(), out.as_str()), (Some(1), ""));
    assert!(err.ends_with(&format!("\nRun {0} goes on. What becomes of it: track runs --run {0}\n", run.id)), "{err}");
    world.signal("go");
    world.settle_soon().await;
    assert_eq!(world.sim.reviews(REPO, pull).len(), 1);
}
