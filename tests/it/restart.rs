//! The bot is stopped or killed at any moment, started again, and goes on where it was.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use track::model::{Number, Status};

use crate::harness::{REPO, World, process::printed};

/// Works until the test says `go`.
const SLOW: &str =
    "say working; await go; commit $TRACK_RUN_ID.txt hello 'feat: say hello'; answer succeeded 'Said hello.'";

async fn labelled(world: &World, title: &str) -> Number {
    let issue = world.issue(title, "").await;
    world.label(issue, "track").await;
    issue
}

/// One start of one agent per run, one pull request and one final comment per issue.
async fn assert_done_once(world: &World, issues: &[Number]) {
    world.settle().await;
    let mut runs: Vec<String> = world.runs().await.iter().map(|run| run.id.to_string()).collect();
    let mut starts = world.starts();
    runs.sort();
    starts.sort();
    assert_eq!(starts, runs);
    assert_eq!(world.sim.pulls(REPO).len(), issues.len());
    for issue in issues {
        let said = world.only_comment(*issue);
        assert!(said.starts_with("✅ **Done**: #"), "{said}");
    }
    for pull in world.sim.pulls(REPO) {
        assert_eq!(world.said(pull.number).len(), 1);
    }
}

// B08, P6
#[tokio::test]
async fn a_stopped_bot_goes_on_with_its_agents() {
    let mut world = World::new().await;
    world.agent(SLOW);
    let issue = labelled(&world, "One").await;
    world.until_status(Status::Running).await;
    world.until_started(1).await;
    world.stop().await;
    world.signal("go");
    world.start().await;
    assert_done_once(&world, &[issue]).await;
}

// P1: the delivery is on disk before it is acknowledged.
#[tokio::test]
async fn killed_right_after_the_acknowledgement() {
    let mut world = World::new().await;
    world.serve().await;
    world.signal("go");
    let issue = labelled(&world, "One").await;
    world
        .until("the label's webhook was acknowledged", async || {
            world
                .sim
                .deliveries()
                .iter()
                .any(|sent| sent.action.as_deref() == Some("labeled") && sent.status_code == 202)
        })
        .await;
    world.end(Signal::KILL).await;
    world.serve().await;
    assert_done_once(&world, &[issue]).await;
}

// P2, P6
#[tokio::test]
async fn killed_with_one_run_at_work_and_one_in_the_queue() {
    let mut world = World::with(|config| config.runners[0].slots = 1).await;
    world.agent(SLOW);
    world.serve().await;
    let first = labelled(&world, "One").await;
    world.until_status(Status::Running).await;
    world.until_started(1).await;
    let second = labelled(&world, "Two").await;
    world.until("the second is queued", async || world.runs().await.len() == 2).await;
    world.end(Signal::KILL).await;
    world.signal("go");
    world.serve().await;
    assert_done_once(&world, &[first, second]).await;
}

// B05: the launch is in flight, and is asked for once more while the first one may still happen.
#[tokio::test]
async fn killed_while_preparing() {
    let mut world = World::with(|config| {
        config.runners[0].prelude +=
            "\ntouch $TRACK_TEST_LOG/held; until [ -e $TRACK_TEST_LOG/launch ]; do sleep 0.02; done";
    })
    .await;
    world.serve().await;
    let issue = labelled(&world, "One").await;
    world.until("its launch is under way", async || world.trace("held").is_some()).await;
    world.until_status(Status::Preparing).await;
    world.end(Signal::KILL).await;
    // The branch moves meanwhile, which must not change what the agent was given.
    world.sim.commit_file(REPO, "main", "other.txt", "other").await.expect("a commit");
    world.serve().await;
    world.signal("launch");
    assert_done_once(&world, &[issue]).await;
}

// P3, P4
#[tokio::test]
async fn killed_while_publishing() {
    let mut world = World::new().await;
    world.serve().await;
    world.hold_pull_requests();
    let issue = labelled(&world, "One").await;
    world.until("it is pushed", async || world.runs().await.first().is_some_and(|run| run.pushed.is_some())).await;
    world.end(Signal::KILL).await;
    world.sim.clear_faults();
    world.serve().await;
    assert_done_once(&world, &[issue]).await;
}

// B08
#[tokio::test]
async fn sigterm_leaves_agents_running() {
    let mut world = World::new().await;
    world.agent(SLOW);
    world.serve().await;
    let issue = labelled(&world, "One").await;
    world.until_started(1).await;
    world.until_status(Status::Running).await;
    let asked = Instant::now();
    assert!(world.end(Signal::TERM).await.success());
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    world.serve().await;
    world.signal("go");
    assert_done_once(&world, &[issue]).await;
}

#[tokio::test]
async fn a_second_server_on_the_same_state_says_so() {
    let mut world = World::new().await;
    world.serve().await;
    let output = world.run_track(&["serve"]).await;
    assert_eq!(output.status.code(), Some(1));
    let said = printed(&output).1.replace(&world.home().display().to_string(), "HOME");
    insta::assert_snapshot!(said.lines().last().expect("a line"), @"track: another track uses HOME: stop it first, or set TRACK_HOME to another folder");
}
