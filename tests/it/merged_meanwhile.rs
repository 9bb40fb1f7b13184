//! The pull request is merged or closed while an agent works on its branch.

use track::model::{Kind, LineState, Number, Outcome, Reason};
use track::sim::PullSnapshot;

use crate::harness::{MAINTAINER, REPO, World};

const SLOW: &str =
    r#"await go; commit "more-$TRACK_RUN_ID.txt" more "feat: more"; answer succeeded "Did more." "feat: more""#;

/// An issue whose first pull request is there, and a second agent at work on its branch.
async fn at_work(world: &World, command: &str) -> (Number, PullSnapshot) {
    world.agent(r#"commit hello.txt hello "feat: hello"; answer succeeded "Did." "feat: hello""#);
    let issue = world.work_on("Say hello", "").await;
    let pull = world.sim.pulls(REPO).remove(0);
    // Whatever becomes of the pull request says nothing of the issue.
    world.sim.edit_issue(REPO, MAINTAINER, pull.number, ("feat: hello", "A part of it.")).await.expect("edited");
    world.agent(SLOW);
    world.comment(MAINTAINER, issue, command).await;
    world.until_started(2).await;
    (issue, pull)
}

/// The branches of the thread's lines with what became of them, in the order in which they began.
async fn lines(world: &World) -> Vec<(String, LineState)> {
    let runs = world.runs().await;
    let mut conn = world.db().read().await.expect("the database");
    let mut lines = Vec::new();
    for run in runs.iter().rev() {
        let line = track::db::lines::get(&mut conn, run.line.expect("a line")).await.expect("it is there");
        if !lines.contains(&(line.branch.clone(), line.state)) {
            lines.push((line.branch, line.state));
        }
    }
    lines
}

fn log(world: &World, range: &str) -> String {
    world.git_at_github(&["log", "--format=%s", range])
}

// B20
#[tokio::test]
async fn what_a_task_adds_to_a_merged_pull_request_goes_to_one_of_its_own() {
    let world = World::new().await;
    let (issue, first) = at_work(&world, "/track dispatch more").await;
    world.sim.merge_pull(REPO, MAINTAINER, first.number).await.expect("merged");
    world.sim.commit_file(REPO, "main", "meanwhile.txt", "m\n").await.expect("a commit");
    world.sim.settled().await;
    world.signal("go");
    world.settle_soon().await;

    let run = world.runs().await.remove(0);
    let pulls = world.sim.pulls(REPO);
    let second = pulls.iter().find(|pull| pull.number != first.number).expect("a second one");
    assert_eq!((run.outcome, run.pull), (Some(Outcome::Succeeded), Some(second.number)), "{:?}", run.detail);
    assert_eq!(
        lines(&world).await,
        [(first.head_ref.clone(), LineState::Merged), (second.head_ref.clone(), LineState::Open)]
    );
    assert_eq!(
        world.git_at_github(&["rev-parse", &first.head_ref]),
        first.head_sha,
        "nothing is added to what was merged"
    );
    assert_eq!(log(&world, &format!("main..{}", second.head_ref)), "feat: more");
    assert_eq!(log(&world, &format!("{}..main", second.head_ref)), "", "it begins where the base branch is");
    let body = world.sim.issue(REPO, second.number).expect("it is there").body;
    assert!(body.contains(&format!("Closes #{issue}. Continues #{}.", first.number)), "{body}");
    insta::assert_snapshot!(world.said(issue)[1], @"
    ✅ **Done**: #3 at [`SHA`](https://github.test/octo/hello/commit/SHA).

    Did more.

    #2 was merged while the agent worked, so this has a branch and a pull request of its own.

    | Agent | Runner | Took | Changes |
    | --- | --- | --- | --- |
    | `scripted` | `local-1` | TIME | 1 commit, 1 file (+1 −0) |

    <sub>run `RUN` · asked by mona · branch `track/issue-1-LINE`</sub>
    ");
    assert!(world.decisions(issue).await.contains(&"noted another_line".to_owned()));

    world.agent(r#"commit last.txt last "feat: last"; answer succeeded "Did." "feat: last""#);
    world.comment(MAINTAINER, issue, "/track dispatch and the last of it").await;
    world.settle_soon().await;
    assert_eq!(
        (world.sim.pulls(REPO).len(), world.runs().await[0].pull),
        (2, Some(second.number)),
        "it is gone on with"
    );
}

// P6
#[tokio::test]
async fn a_restart_on_the_way_to_the_new_line_opens_one_pull_request() {
    let mut world = World::new().await;
    let (_, first) = at_work(&world, "/track dispatch more").await;
    world.sim.merge_pull(REPO, MAINTAINER, first.number).await.expect("merged");
    world.sim.settled().await;
    world.hold_pull_requests();
    world.signal("go");
    world.until("it is pushed", async || world.runs().await[0].pushed.is_some()).await;
    world.stop().await;
    world.sim.clear_faults();
    world.start().await;
    world.settle_soon().await;
    let run = world.runs().await.remove(0);
    let pulls = world.sim.pulls(REPO);
    assert_eq!((pulls.len(), run.pull), (2, Some(pulls[1].number)));
    assert!(pulls[1].body.contains(&format!("Continues #{}.", first.number)), "{}", pulls[1].body);
    assert_eq!(
        lines(&world).await.iter().map(|(_, state)| *state).collect::<Vec<_>>(),
        [LineState::Merged, LineState::Open]
    );
}

#[tokio::test]
async fn a_task_that_adds_nothing_to_what_was_merged_has_no_pull_request() {
    let world = World::new().await;
    let (_, first) = at_work(&world, "/track dispatch more").await;
    world.sim.merge_pull(REPO, MAINTAINER, first.number).await.expect("merged");
    let path = format!("more-{}.txt", world.runs().await[0].id);
    world.sim.commit_file(REPO, "main", &path, "more\n").await.expect("the same");
    world.sim.settled().await;
    world.signal("go");
    world.settle_soon().await;
    let run = world.runs().await.remove(0);
    assert_eq!((run.outcome, run.reason), (Some(Outcome::Succeeded), Some(Reason::NoChanges)));
    assert_eq!(
        run.detail.as_deref(),
        Some(format!("`main` has all of it since #{} was merged", first.number).as_str())
    );
    assert_eq!(world.sim.pulls(REPO).len(), 1);
}

// B20
#[tokio::test]
async fn what_a_task_adds_to_a_closed_pull_request_is_kept_until_a_person_says_so() {
    let world = World::new().await;
    let (issue, first) = at_work(&world, "/track dispatch more").await;
    world.sim.close(REPO, MAINTAINER, first.number).await.expect("closed");
    world.sim.settled().await;
    world.signal("go");
    world.settle_soon().await;
    let run = world.runs().await.remove(0);
    assert_eq!((run.outcome, run.reason), (Some(Outcome::Failed), Some(Reason::PullRequestClosed)));
    let pulls = world.sim.pulls(REPO);
    assert_eq!((pulls.len(), pulls[0].state, &pulls[0].head_sha), (1, "closed", &first.head_sha));
    assert_eq!(lines(&world).await, [(first.head_ref.clone(), LineState::Closed)]);
    insta::assert_snapshot!(world.said(issue)[1], @"
    ❌ **Failed**: the pull request was closed while the agent worked, so nothing was published.

    Did more.

    **Next:** `/track followup <text>` opens it again and goes on from this work; `/track dispatch --fresh` begins anew.

    What it had committed is kept by the bot at `SHA` and was not pushed.

    | Agent | Runner | Took | Changes |
    | --- | --- | --- | --- |
    | `scripted` | `local-1` | TIME | 1 commit, 1 file (+1 −0) |

    <sub>run `RUN` · asked by mona · branch `track/issue-1-LINE`</sub>
    ");

    world.agent(r#"answer succeeded "It is all there.""#);
    world.comment(MAINTAINER, issue, "/track followup take it as it is").await;
    world.settle_soon().await;
    let again = world.runs().await.remove(0);
    assert_eq!((again.kind, again.outcome), (Kind::FollowUp, Some(Outcome::Succeeded)), "{:?}", again.detail);
    let pulls = world.sim.pulls(REPO);
    assert_eq!((pulls.len(), pulls[0].state), (1, "open"));
    assert_eq!(Some(pulls[0].head_sha.as_str()), run.result.as_ref().map(|sha| sha.as_str()));
}

// B25: the webhook that would end it is still on its way.
#[tokio::test]
async fn a_follow_up_adds_nothing_to_a_merged_or_closed_pull_request() {
    for merged in [true, false] {
        let world = World::new().await;
        let (issue, first) = at_work(&world, "/track followup more").await;
        world.pass(2_000);
        world.sim.set_webhook_url(None);
        let (state, reason) = if merged {
            world.sim.merge_pull(REPO, MAINTAINER, first.number).await.expect("merged");
            (LineState::Merged, Reason::PullRequestMerged)
        } else {
            world.sim.close(REPO, MAINTAINER, first.number).await.expect("closed");
            (LineState::Closed, Reason::PullRequestClosed)
        };
        world.signal("go");
        world.settle_soon().await;
        let run = world.runs().await.remove(0);
        assert_eq!((run.outcome, run.reason), (Some(Outcome::Failed), Some(reason)));
        assert_eq!(lines(&world).await, [(first.head_ref.clone(), state)]);
        assert_eq!(world.git_at_github(&["rev-parse", &first.head_ref]), first.head_sha);
        let said = world.said(issue).remove(1);
        assert!(said.contains("What it had committed is kept by the bot"), "{said}");
    }
}
