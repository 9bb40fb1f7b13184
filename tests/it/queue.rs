//! More is asked for than runners can do at once.

use track::config::{RunnerConfig, Transport};
use track::model::{Number, Status};

use crate::harness::{MAINTAINER, World};

const SLOW: &str = "await go-$(wc -l <$TRACK_TEST_LOG/starts); answer succeeded 'Nothing to do.'";

/// So many issues with the label, each queued or started before the next.
async fn labelled(world: &World, how_many: usize) -> Vec<Number> {
    let mut issues = Vec::new();
    for n in 1..=how_many {
        let issue = world.issue(&format!("Task {n}"), "").await;
        world.label(issue, "track").await;
        world.until("its run is shown", async || world.said(issue).len() == 1).await;
        issues.push(issue);
    }
    issues
}

// B52, B73
#[tokio::test]
async fn with_one_slot_runs_wait_their_turn_and_are_told_their_place() {
    let world = World::with(|config| config.runners[0].slots = 1).await;
    world.agent(SLOW);
    let issues = labelled(&world, 3).await;
    insta::assert_snapshot!(world.only_comment(issues[1]), @"
    ⏳ **Queued** for `scripted`, number 1 in the queue.

    Waiting: every slot is taken

    <sub>run `RUN` · asked by mona · branch `track/issue-2-LINE` · `/track cancel` ends it</sub>
    ");
    assert!(world.only_comment(issues[2]).contains("number 2 in the queue"), "{}", world.only_comment(issues[2]));

    world.until_started(1).await;
    world.signal("go-1");
    world.until_started(2).await;
    // Progress is shown at most every 30 seconds.
    world.clock.advance(60_000);
    world.until("the third moved up", async || world.only_comment(issues[2]).contains("number 1 in the queue")).await;
    world.signal("go-2");
    world.signal("go-3");
    world.settle().await;

    let runs: Vec<String> = world.runs().await.iter().rev().map(|run| run.id.to_string()).collect();
    assert_eq!(world.starts(), runs, "first come, first served");
}

// B73
#[tokio::test]
async fn limits_hold_over_all_runners() {
    for (change, limit) in [(3, "`runs`"), (7, "`runs_per_repository`")] {
        let world = World::with(|config| {
            config.limits.runs = if change == 3 { 1 } else { 16 };
            config.limits.runs_per_repository = if change == 3 { 4 } else { 1 };
        })
        .await;
        world.agent(SLOW);
        let issues = labelled(&world, 2).await;
        let waits = world.only_comment(issues[1]);
        assert!(waits.contains("Waiting: 1 run is live") && waits.contains(limit), "{waits}");
        world.signal("go-1");
        world.signal("go-2");
        world.settle().await;
        assert_eq!(world.starts().len(), 2);
    }
}

// B14, B54
#[tokio::test]
async fn a_runner_can_be_asked_for_by_name() {
    let world = World::with(|config| {
        let second = RunnerConfig { name: "build-2".to_owned(), ..config.runners[0].clone() };
        config.runners.push(second);
    })
    .await;
    let issue = world.issue("Say hello", "").await;
    world.comment(MAINTAINER, issue, "/track dispatch --runner build-3").await;
    world.settle().await;
    insta::assert_snapshot!(world.only_comment(issue), @"There is no runner `build-3`. Runners: `build-2`, `local-1`.");
    assert!(world.runs().await.is_empty());

    world.comment(MAINTAINER, issue, "/track dispatch --runner local-1").await;
    world.settle().await;
    assert_eq!(world.runs().await[0].runner.as_deref(), Some("local-1"));
    assert!(matches!(world.config.runners[1].transport, Transport::Local));
}

// B02
#[tokio::test]
async fn one_issue_has_one_live_run() {
    let world = World::new().await;
    world.agent(SLOW);
    let issue = labelled(&world, 1).await[0];
    world.until_status(Status::Running).await;
    world.comment(MAINTAINER, issue, "/track dispatch").await;
    world.until("it was answered", async || world.said(issue).len() == 2).await;
    insta::assert_snapshot!(world.said(issue)[1], @"Run `RUN` is still running here. Wait for it, or end it with `/track cancel`.");
    world.signal("go-1");
    world.settle().await;
    assert_eq!(world.runs().await.len(), 1);
}
