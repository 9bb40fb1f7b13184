//! A person ends a run, wherever it is.

use std::fs;

use track::model::Status;

use crate::harness::{MAINTAINER, REPO, World};

/// Processes that were started for a run, as their environment says.
fn processes_of(run: &str) -> Vec<String> {
    let folders = fs::read_dir("/proc").expect("/proc").flatten();
    let of_run = |environment: Vec<u8>| String::from_utf8_lossy(&environment).contains(run);
    folders
        .filter(|folder| fs::read(folder.path().join("environ")).is_ok_and(of_run))
        .filter_map(|folder| fs::read_to_string(folder.path().join("cmdline")).ok())
        .collect()
}

// B10
#[tokio::test]
async fn a_running_agent_ends_with_all_its_children() {
    let world = World::new().await;
    world.agent("setsid sleep 1000 & (setsid nohup sleep 1000 >/dev/null 2>&1 &) ; trap '' TERM; say working; touch $TRACK_TEST_LOG/ready; await never");
    let issue = world.issue("Say hello", "").await;
    world.label(issue, "track").await;
    world.until("the agent is at work", async || world.trace("ready").is_some()).await;
    let run = world.until_status(Status::Running).await;
    let command = world.comment(MAINTAINER, issue, "/track cancel").await;
    world.settle().await;

    insta::assert_snapshot!(world.only_comment(issue), @"
    🛑 **Canceled** by mona; 0 processes left.

    **Next:** `/track retry` runs it again.

    | Agent | Runner | Took |
    | --- | --- | --- |
    | `scripted` | `local-1` | TIME |

    <sub>run `RUN` · asked by mona · branch `track/issue-1-LINE`</sub>
    ");
    assert_eq!(processes_of(&run.id.to_string()), Vec::<String>::new());
    assert_eq!(world.reactions_on(issue, command), ["eyes"]);
    assert_eq!(world.sim.pulls(REPO), []);
    assert_eq!(world.sim.branches(REPO).await.len(), 1, "nothing was pushed");
}

// B10
#[tokio::test]
async fn a_queued_run_never_starts() {
    let world = World::with(|config| config.runners[0].slots = 1).await;
    world.agent("await go; answer succeeded 'Nothing to do.'");
    let first = world.issue("First", "").await;
    world.label(first, "track").await;
    world.until_started(1).await;
    let second = world.issue("Second", "").await;
    world.label(second, "track").await;
    world.until("the second is queued", async || world.runs().await.len() == 2).await;
    world.comment(MAINTAINER, second, "/track cancel").await;
    world.until("the second is over", async || world.runs().await[0].status == Status::Done).await;
    world.signal("go");
    world.settle().await;

    insta::assert_snapshot!(world.only_comment(second), @"
    🛑 **Canceled** by mona before the agent started.

    **Next:** `/track retry` runs it again.

    | Agent |
    | --- |
    | `scripted` |

    <sub>run `RUN` · asked by mona · branch `track/issue-2-LINE`</sub>
    ");
    assert_eq!(world.starts().len(), 1);
}

// B10: while the launch is in flight.
#[tokio::test]
async fn a_preparing_run_never_launches() {
    let world = World::with(|config| {
        config.runners[0].prelude +=
            "\ntouch $TRACK_TEST_LOG/held; until [ -e $TRACK_TEST_LOG/go ]; do sleep 0.02; done";
    })
    .await;
    let issue = world.issue("Say hello", "").await;
    world.label(issue, "track").await;
    world.until("its launch is under way", async || world.trace("held").is_some()).await;
    world.comment(MAINTAINER, issue, "/track cancel").await;
    world.until("the runner refuses to launch", async || world.runs().await[0].left_processes == Some(0)).await;
    world.signal("go");
    world.settle().await;

    insta::assert_snapshot!(world.only_comment(issue), @"
    🛑 **Canceled** by mona; 0 processes left.

    **Next:** `/track retry` runs it again.

    | Agent | Runner |
    | --- | --- |
    | `scripted` | `local-1` |

    <sub>run `RUN` · asked by mona · branch `track/issue-1-LINE`</sub>
    ");
    assert_eq!(world.starts().len(), 0);
}

// B10
#[tokio::test]
async fn what_is_being_published_cannot_be_canceled() {
    let world = World::new().await;
    world.hold_pull_requests();
    let issue = world.issue("Say hello", "").await;
    world.label(issue, "track").await;
    world.until_status(Status::Publishing).await;
    world.comment(MAINTAINER, issue, "/track cancel").await;
    world.until("it was answered", async || world.said(issue).len() == 2).await;
    world.sim.clear_faults();
    world.settle().await;

    insta::assert_snapshot!(world.said(issue)[1], @"Run `RUN` is over and being published, so there is nothing left to cancel.");
    assert!(world.said(issue)[0].starts_with("✅ **Done**: #2"), "{:?}", world.said(issue));
}

// B10
#[tokio::test]
async fn where_nothing_is_live_there_is_nothing_to_cancel() {
    let world = World::new().await;
    let issue = world.issue("Say hello", "").await;
    let command = world.comment(MAINTAINER, issue, "/track cancel").await;
    world.settle().await;
    insta::assert_snapshot!(world.only_comment(issue), @"Nothing is live here, so there is nothing to cancel. `/track status` lists the runs.");
    assert_eq!(world.reactions_on(issue, command), ["confused"]);
}

// P5: a run that cannot get a slot is not stuck either.
#[tokio::test]
async fn a_run_without_any_runner_says_what_to_do_and_can_be_canceled() {
    let world = World::with(|config| config.runners.clear()).await;
    let issue = world.issue("Say hello", "").await;
    world.label(issue, "track").await;
    world.until("it was said", async || world.said(issue).len() == 1).await;
    insta::assert_snapshot!(world.only_comment(issue), @"
    ⏳ **Queued** for `scripted`, number 1 in the queue.

    Waiting: no runner is configured; `track runner add` adds one

    <sub>run `RUN` · asked by mona · branch `track/issue-1-LINE` · `/track cancel` ends it</sub>
    ");
    world.comment(MAINTAINER, issue, "/track cancel").await;
    world.settle().await;
    insta::assert_snapshot!(world.only_comment(issue), @"
    🛑 **Canceled** by mona before the agent started.

    **Next:** `/track retry` runs it again.

    | Agent |
    | --- |
    | `scripted` |

    <sub>run `RUN` · asked by mona · branch `track/issue-1-LINE`</sub>
    ");
}
