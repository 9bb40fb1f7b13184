//! Between an agent's commit and a pull request: what others did meanwhile, and what GitHub says to it.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use track::model::{Kind, LineState, Number, Outcome, Reason};
use track::sim::{Fault, PullSnapshot};

use crate::harness::{MAINTAINER, REPO, World};

const WAITS: &str = r#"await go; commit "file-$TRACK_RUN_ID.txt" x "feat: x"; answer succeeded "Did.""#;

/// An issue whose agent is at work and waits for `go`.
async fn at_work(world: &World) -> Number {
    world.agent(WAITS);
    let issue = world.issue("Say hello", "").await;
    world.label(issue, "track").await;
    world.until_started(1).await;
    issue
}

async fn only_pull(world: &World, repository: &str) -> PullSnapshot {
    let mut pulls = world.sim.pulls(repository);
    assert_eq!(pulls.len(), 1);
    pulls.remove(0)
}

/// The bot's mirror holds what the last run left.
async fn is_kept(world: &World) -> bool {
    let run = world.runs().await.remove(0);
    let mirror = world.bot().context().mirrors.open(run.repository).await.unwrap();
    run.result.is_some() && mirror.result(run.id).await.unwrap() == run.result
}

#[tokio::test]
async fn a_second_dispatch_goes_on_with_the_pull_request_that_is_there() {
    let world = World::new().await;
    let issue = at_work(&world).await;
    world.signal("go");
    world.settle().await;
    let first = only_pull(&world, REPO).await;
    world.comment(MAINTAINER, issue, "/track dispatch more").await;
    world.settle().await;
    let second = only_pull(&world, REPO).await;
    assert_eq!(first.number, second.number);
    assert_ne!(first.head_sha, second.head_sha);
}

// F11
#[tokio::test]
async fn a_pull_request_that_somebody_opened_for_the_branch_is_adopted() {
    let world = World::new().await;
    let issue = at_work(&world).await;
    let refused = Fault::Status { code: 502, headers: Vec::new(), body: String::new() };
    let met = world.fault(1, |request| request.method == "POST" && request.path.ends_with("/pulls"), refused);
    world.signal("go");
    world.until("the failed attempt", async || met.load(std::sync::atomic::Ordering::SeqCst) == 1).await;
    let branches = world.sim.branches(REPO).await;
    let branch = branches.iter().find(|(name, _)| name.starts_with("track/")).unwrap().0.clone();
    // The person may be a moment later than the bot; then there is no second one either.
    let _ = world.sim.open_pull(REPO, MAINTAINER, (&branch, "main"), ("Mine", "")).await;
    world.settle_soon().await;
    let pull = world.sim.pulls(REPO).remove(0);
    assert!(world.only_comment(issue).contains(&format!("#{}", pull.number)));
    assert_eq!(world.runs().await[0].outcome, Some(Outcome::Succeeded));
}

#[tokio::test]
async fn a_push_that_github_refuses_is_told_in_its_words_and_kept() {
    let world = World::new().await;
    let issue = at_work(&world).await;
    let hook = world.sim.folder(REPO).unwrap().join("hooks/pre-receive");
    fs::write(hook, "#!/bin/sh\ncat >/dev/null\necho 'error: GH006: Protected branch update failed.' >&2\nexit 1\n")
        .unwrap();
    world.signal("go");
    world.settle().await;
    let run = world.runs().await.remove(0);
    assert_eq!((run.outcome, run.reason), (Some(Outcome::Failed), Some(Reason::PushRefused)));
    assert!(is_kept(&world).await);
    assert!(world.sim.pulls(REPO).is_empty());
    insta::assert_snapshot!(world.only_comment(issue), @"
    ❌ **Failed**: GitHub refused the push.

    Did.

    ```text
    [remote rejected] (pre-receive hook declined)
    error: GH006: Protected branch update failed.
    ```

    **Next:** Put right what stands above: the App must be allowed to push `track/*`. Then `/track retry`.

    What it had committed is kept by the bot at `SHA` and was not pushed.

    | Agent | Runner | Took | Changes |
    | --- | --- | --- | --- |
    | `scripted` | `local-1` | TIME | 1 commit, 1 file (+1 −0) |

    <sub>run `RUN` · asked by mona · branch `track/issue-1-LINE`</sub>
    ");
}

// T32
#[tokio::test]
async fn commits_that_somebody_pushed_meanwhile_are_not_overwritten() {
    let world = World::new().await;
    let issue = at_work(&world).await;
    world.signal("go");
    world.settle().await;
    let branch = only_pull(&world, REPO).await.head_ref;

    world.agent(r#"await again; commit b.txt b "feat: b"; answer succeeded "Added b.""#);
    world.comment(MAINTAINER, issue, "/track dispatch more").await;
    world.until_started(2).await;
    let theirs = world.sim.commit_file(REPO, &branch, "b.txt", "mine\n").await.unwrap();
    world.signal("again");
    world.settle().await;
    let run = world.runs().await.remove(0);
    assert_eq!((run.outcome, run.reason), (Some(Outcome::Failed), Some(Reason::BranchMoved)));
    assert_eq!(only_pull(&world, REPO).await.head_sha, theirs);
    assert!(is_kept(&world).await);
    let detail = run.detail.unwrap();
    assert!(detail.contains(&theirs) && detail.contains(run.result.unwrap().as_str()), "{detail}");
    insta::assert_snapshot!(world.said(issue)[1], @"
    ❌ **Failed**: somebody else pushed to the branch while the agent worked.

    Added b.

    ```text
    track/issue-1-LINE is at SHA on GitHub, and the agent's result SHA does not know that; both changed b.txt
    ```

    **Next:** What was pushed there stays. `/track retry` does the work again on top of it.

    What it had committed is kept by the bot at `SHA` and was not pushed.

    | Agent | Runner | Took | Changes |
    | --- | --- | --- | --- |
    | `scripted` | `local-1` | TIME | 1 commit, 1 file (+1 −0) |

    <sub>run `RUN` · asked by mona · branch `track/issue-1-LINE`</sub>
    ");
}

// T32
#[tokio::test]
async fn a_race_that_is_lost_twice_is_told_with_both_commits() {
    let world = World::new().await;
    let issue = at_work(&world).await;
    world.signal("go");
    world.settle().await;
    let branch = only_pull(&world, REPO).await.head_ref;
    world.agent(r#"await again; commit b.txt b "feat: b"; answer succeeded "Added b.""#);
    world.comment(MAINTAINER, issue, "/track dispatch more").await;
    world.until_started(2).await;

    let on = |parent: &str, message: &str| {
        let who = ["-c", "user.name=mona", "-c", "user.email=mona@example.com"];
        let tree = format!("{branch}^{{tree}}");
        world.git_at_github(&[&who[..], &["commit-tree", &tree, "-p", parent, "-m", message]].concat())
    };
    let first = on(&branch, "theirs");
    let second = on(&first, "theirs again");
    // Somebody is faster than each of the two pushes: the branch moves just before git is told where it is.
    let folder = world.sim.folder(REPO).unwrap();
    let (reference, racers) = (format!("refs/heads/{branch}"), [first.clone(), second.clone()]);
    let (lost, seen) = (AtomicUsize::new(0), AtomicUsize::new(0));
    world.sim.set_fault(Box::new(move |request| {
        let pushes = request.query.contains("git-receive-pack");
        let asks = request.query.contains("git-upload-pack");
        let races = lost.load(SeqCst);
        if asks {
            seen.store(races, SeqCst);
        }
        if pushes && races < 2 && seen.load(SeqCst) == races {
            lost.store(races + 1, SeqCst);
            let moved = std::process::Command::new("git")
                .current_dir(&folder)
                .args(["update-ref", &reference, &racers[races]])
                .status();
            assert!(moved.unwrap().success());
        }
        None
    }));
    world.signal("again");
    world.settle().await;
    let run = world.runs().await.remove(0);
    assert_eq!((run.outcome, run.reason), (Some(Outcome::Failed), Some(Reason::BranchMoved)), "{:?}", run.detail);
    let (detail, result) = (run.detail.unwrap(), run.result.unwrap());
    assert!(detail.contains(&second) && detail.contains(result.as_str()) && detail.contains("it moves on"), "{detail}");
    assert_eq!(world.git_at_github(&["rev-parse", &branch]), second);
    assert!(is_kept(&world).await);
}

#[tokio::test]
async fn commits_that_somebody_pushed_before_are_what_the_next_run_begins_with() {
    let world = World::new().await;
    let issue = at_work(&world).await;
    world.signal("go");
    world.settle().await;
    let branch = only_pull(&world, REPO).await.head_ref;
    let theirs = world.sim.commit_file(REPO, &branch, "theirs.txt", "mine\n").await.unwrap();
    world.comment(MAINTAINER, issue, "/track dispatch more").await;
    world.settle().await;
    let run = world.runs().await.remove(0);
    assert_eq!((run.outcome, run.given.map(String::from)), (Some(Outcome::Succeeded), Some(theirs.clone())));
    let log = world.git_at_github(&["log", "--format=%H", &branch]);
    assert!(log.contains(&theirs), "{log}");
}

/// The branch of a run whose pull request GitHub refused, and the one that a person opened for it by hand.
async fn opened_by_hand(world: &World) -> (String, Number) {
    at_work(world).await;
    let refused = Fault::Status { code: 422, headers: Vec::new(), body: "{}".to_owned() };
    world.fault(usize::MAX, |request| request.method == "POST" && request.path.ends_with("/pulls"), refused);
    world.signal("go");
    world.settle().await;
    world.sim.clear_faults();
    let branches = world.sim.branches(REPO).await;
    let branch = branches.iter().find(|(name, _)| name.starts_with("track/")).unwrap().0.clone();
    let pull = world.sim.open_pull(REPO, MAINTAINER, (&branch, "main"), ("By hand", "")).await.unwrap();
    (branch, pull)
}

#[tokio::test]
async fn a_pull_request_opened_by_hand_for_the_bots_branch_is_the_bots() {
    let world = World::new().await;
    let (_, pull) = opened_by_hand(&world).await;
    world.comment(MAINTAINER, pull, "/track dispatch more").await;
    world.settle().await;
    let run = world.runs().await.remove(0);
    assert_eq!((run.outcome, run.pull), (Some(Outcome::Succeeded), Some(pull)));
    assert_eq!(only_pull(&world, REPO).await.head_sha, String::from(run.pushed.unwrap()));
}

async fn line(world: &World, branch: &str) -> track::db::lines::Line {
    let repository = world.runs().await[0].repository;
    let mut conn = world.db().read().await.unwrap();
    track::db::lines::by_branch(&mut conn, repository, branch).await.unwrap().unwrap()
}

// B25
#[tokio::test]
async fn a_pull_request_opened_by_hand_ends_the_line_when_it_is_merged_or_closed() {
    for merged in [true, false] {
        let world = World::new().await;
        let (branch, pull) = opened_by_hand(&world).await;
        let expected = if merged {
            world.sim.merge_pull(REPO, MAINTAINER, pull).await.unwrap();
            LineState::Merged
        } else {
            world.sim.close(REPO, MAINTAINER, pull).await.unwrap();
            LineState::Closed
        };
        world.settle().await;
        let line = line(&world, &branch).await;
        assert_eq!((line.state, line.pull), (expected, Some(pull)));
    }
}

// B22
#[tokio::test]
async fn a_review_of_a_pull_request_opened_by_hand_becomes_a_follow_up() {
    let world = World::new().await;
    let (branch, pull) = opened_by_hand(&world).await;
    world.sim.review(REPO, MAINTAINER, pull, "COMMENTED", "Louder.", &[]).await.unwrap();
    world.settle_soon().await;
    let run = world.runs().await.remove(0);
    assert_eq!((run.kind, run.automatic, run.pull), (Kind::FollowUp, true, Some(pull)), "{:?}", run.detail);
    assert!(world.prompt(run.id).contains("Louder."));
    assert_eq!(line(&world, &branch).await.pull, Some(pull));
}

// A second pull request from the same branch is somebody's own matter as long as the line's is open.
#[tokio::test]
async fn another_pull_request_of_the_branch_ends_nothing() {
    let world = World::new().await;
    at_work(&world).await;
    world.signal("go");
    world.settle().await;
    let first = only_pull(&world, REPO).await;
    world.sim.commit_file(REPO, "release", "hello.txt", "something else\n").await.unwrap();
    let backport = ("Backport", "");
    let second = world.sim.open_pull(REPO, MAINTAINER, (&first.head_ref, "release"), backport).await.unwrap();
    world.sim.close(REPO, MAINTAINER, second).await.unwrap();
    world.settle().await;
    let line = line(&world, &first.head_ref).await;
    assert_eq!((line.state, line.pull), (LineState::Open, Some(first.number)));
}

#[tokio::test]
async fn a_base_branch_that_moved_meanwhile_is_no_trouble() {
    let world = World::new().await;
    at_work(&world).await;
    world.sim.commit_file(REPO, "main", "meanwhile.txt", "m\n").await.unwrap();
    world.signal("go");
    world.settle().await;
    assert_eq!(world.runs().await[0].outcome, Some(Outcome::Succeeded));
    assert_eq!(only_pull(&world, REPO).await.base_ref, "main");
}

#[tokio::test]
async fn a_pull_request_that_github_refuses_is_told_in_its_words() {
    let world = World::new().await;
    let issue = at_work(&world).await;
    let body =
        r#"{"message":"Validation Failed","errors":[{"resource":"PullRequest","field":"base","code":"invalid"}]}"#;
    let refused = Fault::Status { code: 422, headers: Vec::new(), body: body.to_owned() };
    world.fault(usize::MAX, |request| request.method == "POST" && request.path.ends_with("/pulls"), refused);
    world.signal("go");
    world.settle().await;
    assert_eq!(world.runs().await[0].reason, Some(Reason::PullRequestRefused));
    insta::assert_snapshot!(world.only_comment(issue), @"
    ❌ **Failed**: GitHub refused the pull request.

    Did.

    ```text
    POST /repos/octo/hello/pulls: GitHub refuses with 422: Validation Failed; base: invalid
    ```

    **Next:** The branch is pushed: open the pull request by hand, or put right what GitHub says above and say `/track retry`.

    What it had committed is on the branch at `SHA`, without a pull request.

    | Agent | Runner | Took | Changes |
    | --- | --- | --- | --- |
    | `scripted` | `local-1` | TIME | 1 commit, 1 file (+1 −0) |

    <sub>run `RUN` · asked by mona · branch `track/issue-1-LINE`</sub>
    ");
}

// T11
#[tokio::test]
async fn a_repository_that_was_renamed_meanwhile_is_found_under_its_new_name() {
    let world = World::new().await;
    at_work(&world).await;
    world.sim.rename(REPO, "hi").unwrap();
    world.signal("go");
    world.settle_soon().await;
    assert_eq!(world.runs().await[0].outcome, Some(Outcome::Succeeded), "{:?}", world.runs().await[0]);
    let pull = only_pull(&world, "octo/hi").await;
    assert_eq!(world.sim.comments("octo/hi", pull.number).len(), 1);
}

#[tokio::test]
async fn comments_and_pull_request_lead_to_the_run() {
    let world = World::with(|config| config.public_url = Some("https://track.example".to_owned())).await;
    let issue = world.issue("Say hello", "").await;
    world.label(issue, "track").await;
    world.settle().await;
    let link = format!("https://track.example/admin/runs/{}", world.runs().await[0].id);
    let pull = only_pull(&world, REPO).await;
    for text in [&world.sim.comments(REPO, issue)[0].body, &pull.body] {
        assert!(text.contains(&link), "{text}");
    }
}
