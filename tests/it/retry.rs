//! A run is attempted again: because a person says so, or once by itself when its supervisor certainly died.

use std::path::{Path, PathBuf};
use std::process::Command;

use track::model::{Kind, Outcome, Status};

use crate::harness::{MAINTAINER, REPO, World};

/// Commits and succeeds at the second start; what the first one does is given.
fn second_succeeds(first: &str) -> String {
    format!(
        "if [ $(wc -l <$TRACK_TEST_LOG/starts) -ge 2 ]; then commit hello.txt hello 'feat: say hello'; \
         answer succeeded 'Said hello.'; else {first}; fi"
    )
}

// P2
#[tokio::test]
async fn a_failed_run_is_attempted_again_on_the_same_branch() {
    let world = World::new().await;
    world.agent(&second_succeeds("echo 'no such model' >&2; exit 3"));
    let issue = world.issue("Say hello", "").await;
    world.label(issue, "track").await;
    world.settle().await;
    insta::assert_snapshot!(world.only_comment(issue), @"
    ❌ **Failed**: the agent ended with an error before it answered.

    ```text
    scripted ended with exit code 3:
    no such model
    ```

    **Next:** Look at the run's log (`track runs --log` shows it on the bot's machine), then say `/track retry`.

    | Agent | Runner | Took |
    | --- | --- | --- |
    | `scripted` | `local-1` | TIME |

    <sub>run `RUN` · asked by mona · branch `track/issue-1-LINE`</sub>
    ");
    let command = world.comment(MAINTAINER, issue, "/track retry").await;
    world.settle().await;

    insta::assert_snapshot!(world.said(issue)[1], @"
    ✅ **Done**: #2 at [`SHA`](https://github.test/octo/hello/commit/SHA).

    Said hello.

    | Agent | Runner | Took | Changes |
    | --- | --- | --- | --- |
    | `scripted` | `local-1` | TIME | 1 commit, 1 file (+1 −0) |

    <sub>run `RUN` · attempt 2 · asked by mona · branch `track/issue-1-LINE`</sub>
    ");
    assert_eq!(world.reactions_on(issue, command), ["eyes", "rocket"]);
    let runs = world.runs().await;
    assert_eq!((runs[0].retry_of, runs[0].attempt, runs[0].line), (Some(runs[1].id), 2, runs[1].line));
    assert_eq!(world.starts(), [runs[1].id.to_string(), runs[0].id.to_string()]);
    assert_eq!(world.sim.pulls(REPO).len(), 1);

    world.comment(MAINTAINER, issue, "/track retry").await;
    world.settle().await;
    insta::assert_snapshot!(world.said(issue)[2], @"The last run succeeded. To have more done, say what: `/track followup <what to change>`.");
    assert_eq!(world.runs().await.len(), 2);
}

// B20
#[tokio::test]
async fn a_failed_follow_up_is_attempted_again_as_one_would_begin_now() {
    let world = World::new().await;
    world.work_on("Say hello", "").await;
    let pull = world.sim.pulls(REPO).remove(0);
    // Whatever becomes of the pull request says nothing of the issue.
    world.sim.edit_issue(REPO, MAINTAINER, pull.number, ("feat: hello", "A part of it.")).await.expect("edited");
    world.agent("answer failed 'No.'");
    world.comment(MAINTAINER, pull.number, "/track followup more").await;
    world.settle_soon().await;
    world.sim.close(REPO, MAINTAINER, pull.number).await.expect("closed");
    world.settle_soon().await;
    world.comment(MAINTAINER, pull.number, "/track retry").await;
    world.settle_soon().await;
    let again = r#"commit more.txt more "feat: more"; answer succeeded "Did." "feat: more""#;
    world.agent(again);
    world.comment(MAINTAINER, pull.number, "/track retry").await;
    world.settle_soon().await;
    let run = world.runs().await.remove(0);
    assert_eq!((run.kind, run.attempt, run.outcome), (Kind::FollowUp, 3, Some(Outcome::Succeeded)), "{:?}", run.detail);
    let pulls = world.sim.pulls(REPO);
    assert_eq!((pulls.len(), pulls[0].state), (1, "open"), "it is opened again");

    world.agent("answer failed 'No.'");
    world.comment(MAINTAINER, pull.number, "/track followup and more").await;
    world.settle_soon().await;
    world.sim.merge_pull(REPO, MAINTAINER, pull.number).await.expect("merged");
    world.settle_soon().await;
    let before = world.runs().await.len();
    world.comment(MAINTAINER, pull.number, "/track retry").await;
    world.settle_soon().await;
    let said = world.said(pull.number).pop().expect("an answer");
    insta::assert_snapshot!(said, @"#2 is merged, so nothing can be added to it. `/track followup --fresh <text>` begins a new line of work that knows what was said.");
    assert_eq!(world.runs().await.len(), before);
}

/// Kills the supervisor of a run, as a reboot of the runner would.
fn kill_supervisor(below: &Path, run: &str) {
    let mut folders = vec![below.to_owned()];
    let started: PathBuf = loop {
        let folder = folders.pop().expect("the run is there");
        if folder.ends_with(format!("runs/{run}")) {
            break folder.join("1/started");
        }
        folders.extend(std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()));
    };
    let text = std::fs::read_to_string(started).expect("it started");
    let pid = text.split_whitespace().nth(2).expect("a process id");
    assert!(Command::new("kill").args(["-KILL", pid]).status().expect("kill runs").success());
}

async fn kill_when_running(world: &World, nth: usize) {
    world.until_started(nth).await;
    let run = world.until_status(Status::Running).await;
    kill_supervisor(Path::new(&world.config.runners[0].root), &run.id.to_string());
}

// Automatic retry only on certain death, once.
#[tokio::test]
async fn a_run_that_died_is_attempted_again_by_itself() {
    let world = World::new().await;
    world.agent(&second_succeeds("await never"));
    let issue = world.issue("Say hello", "").await;
    world.label(issue, "track").await;
    kill_when_running(&world, 1).await;
    world.settle().await;

    let told = world.decisions(issue).await;
    let of_the_end: Vec<_> = told.iter().rev().skip_while(|one| *one != "noted failed").take(2).collect();
    assert_eq!(of_the_end, ["noted failed", "noted queued"]);
    insta::assert_snapshot!(world.said(issue)[0], @"
    ❌ **Failed**: the runner was restarted or the run was killed there.

    ```text
    the supervisor on the runner is gone and left no result
    ```

    **Next:** It is attempted again as run `RUN`.

    | Agent | Runner | Took |
    | --- | --- | --- |
    | `scripted` | `local-1` | TIME |

    <sub>run `RUN` · asked by mona · branch `track/issue-1-LINE`</sub>
    ");
    insta::assert_snapshot!(world.said(issue)[1], @"
    ✅ **Done**: #2 at [`SHA`](https://github.test/octo/hello/commit/SHA).

    Said hello.

    | Agent | Runner | Took | Changes |
    | --- | --- | --- | --- |
    | `scripted` | `local-1` | TIME | 1 commit, 1 file (+1 −0) |

    <sub>run `RUN` · attempt 2 · asked by mona · branch `track/issue-1-LINE`</sub>
    ");
    assert_eq!(world.reactions(issue), ["eyes", "rocket"], "what was asked for is done");
    assert_eq!(world.sim.pulls(REPO).len(), 1);
}

#[tokio::test]
async fn a_run_that_dies_twice_is_given_up() {
    let world = World::new().await;
    world.agent("await never");
    let issue = world.issue("Say hello", "").await;
    world.label(issue, "track").await;
    kill_when_running(&world, 1).await;
    kill_when_running(&world, 2).await;
    world.settle().await;

    assert_eq!((world.starts().len(), world.runs().await.len()), (2, 2));
    insta::assert_snapshot!(world.said(issue)[1], @"
    ❌ **Failed**: the runner was restarted or the run was killed there.

    ```text
    the supervisor on the runner is gone and left no result
    ```

    **Next:** Look on the runner for a reboot, or for a process that was killed for lack of memory; then `/track retry`.

    | Agent | Runner | Took |
    | --- | --- | --- |
    | `scripted` | `local-1` | TIME |

    <sub>run `RUN` · attempt 2 · asked by mona · branch `track/issue-1-LINE`</sub>
    ");
    assert_eq!(world.reactions(issue), ["eyes", "confused"]);
}
