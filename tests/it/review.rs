//! `/track review`: one careful review of any pull request, submitted by the bot.

use std::sync::atomic::Ordering;

use track::model::{Kind, Number, Outcome, Reason};
use track::sim::Fault;

use crate::harness::{MAINTAINER, REPO, STRANGER, World};

/// A pull request of a person's, with a file of thirty lines changed in the middle.
pub async fn somebodys(world: &World) -> Number {
    let lines = |middle: &str| {
        (1..=30).map(|n| if n == 15 { format!("{middle}\n") } else { format!("line {n}\n") }).collect::<String>()
    };
    world.sim.commit_file(REPO, "main", "long.txt", &lines("line 15")).await.expect("a commit");
    world.sim.commit_file(REPO, "theirs", "long.txt", &lines("changed")).await.expect("a commit");
    world
        .sim
        .open_pull(REPO, MAINTAINER, ("theirs", "main"), ("Change it", "As discussed."))
        .await
        .expect("a pull request")
}

pub const REVIEW: &str = r#"git diff --stat "$(git merge-base HEAD HEAD~1)" >/dev/null
echo built >build.txt
review "One thing matters." "$(finding long.txt 15 'Off by one' 'right')" "$(finding long.txt 3 'Elsewhere')""#;

pub async fn reviewed(world: &World, pull: Number, command: &str) {
    world.comment(MAINTAINER, pull, command).await;
    world.settle_soon().await;
}

pub fn ours(world: &World, pull: Number) -> Vec<track::sim::ReviewSnapshot> {
    world.sim.reviews(REPO, pull).into_iter().filter(|review| review.author_is_app).collect()
}

// B30, B31, B32, B34
#[tokio::test]
async fn a_review_stands_on_the_lines_of_the_diff_and_the_rest_in_its_body() {
    let world = World::new().await;
    let pull = somebodys(&world).await;
    world.agent(REVIEW);
    reviewed(&world, pull, "/track review mind the numbers").await;

    let run = world.runs().await.remove(0);
    assert_eq!((run.kind, run.outcome), (Kind::Review, Some(Outcome::Succeeded)), "{:?} {:?}", run.reason, run.detail);
    let reviews = ours(&world, pull);
    assert_eq!(reviews.len(), 1);
    let review = &reviews[0];
    assert_eq!((review.state, Some(review.id)), ("COMMENTED", run.review_id));
    assert_eq!(review.commit, world.sim.pulls(REPO)[0].head_sha);
    insta::assert_snapshot!(world.readable(&review.body), @"
    @mona requested me to review this PR.

    One thing matters.

    **Beside the comments on lines:**

    - **🔴 High: Elsewhere** [`long.txt:3`](https://github.test/octo/hello/blob/SHA/long.txt#L3): It goes wrong.

    <sub>run `RUN` by `scripted` at `SHA`</sub>
    ");
    assert_eq!(review.comments.len(), 1);
    insta::assert_snapshot!(format!("{}:{} {}\n{}", review.comments[0].path, review.comments[0].line, review.comments[0].side, review.comments[0].body), @"
    long.txt:15 RIGHT
    **🔴 High: Off by one**

    It goes wrong.

    ```suggestion
    right
    ```
    ");
    insta::assert_snapshot!(world.only_comment(pull).replace(&review.id.to_string(), "ID"), @"
    ✅ **Reviewed** #1 at `SHA`: [the review](https://github.test/octo/hello/pull/1#pullrequestreview-ID).

    Looked at it.

    | Agent | Runner | Took |
    | --- | --- | --- |
    | `scripted` | `local-1` | TIME |

    <sub>run `RUN` · asked by mona</sub>
    ");
    let prompt = world.prompt(run.id);
    for text in ["mind the numbers", "As discussed.", "git diff "] {
        assert!(prompt.contains(text), "{text} in {prompt}");
    }
    // Nothing is taken back from a reviewer.
    assert_eq!(run.result, None);
}

#[tokio::test]
async fn what_cannot_be_reviewed_is_refused_with_the_reason() {
    let world = World::new().await;
    let issue = world.issue("An issue", "").await;
    world.comment(MAINTAINER, issue, "/track review").await;
    let pull = somebodys(&world).await;
    world.comment(STRANGER, pull, "/track review").await;
    world.settle_soon().await;
    assert!(world.only_comment(issue).contains("works on pull requests"), "{}", world.only_comment(issue));
    assert_eq!(world.said(pull), Vec::<String>::new());
    world.sim.close(REPO, MAINTAINER, pull).await.expect("closed");
    reviewed(&world, pull, "/track review").await;
    assert!(world.only_comment(pull).contains("Reopen it first"), "{}", world.only_comment(pull));

    let world = World::new().await;
    let pull = somebodys(&world).await;
    world.sim.merge_pull(REPO, MAINTAINER, pull).await.expect("a merge");
    reviewed(&world, pull, "/track review").await;
    insta::assert_snapshot!(world.only_comment(pull), @"This pull request is merged, so there is nothing left to review.");
    assert_eq!(world.runs().await.len(), 0);
}

// B30
#[tokio::test]
async fn a_draft_is_reviewed_like_any_other_pull_request() {
    let world = World::new().await;
    let pull = somebodys(&world).await;
    world.sim.set_draft(REPO, MAINTAINER, pull, true).await.expect("a draft");
    world.agent(REVIEW);
    reviewed(&world, pull, "/track review").await;
    assert_eq!(ours(&world, pull).len(), 1);
    assert!(world.sim.pulls(REPO)[0].draft, "it stays one");
}

// B31
#[tokio::test]
async fn a_review_stays_on_its_commit_when_the_pull_request_moves() {
    let world = World::new().await;
    let pull = somebodys(&world).await;
    let before = world.sim.pulls(REPO)[0].head_sha.clone();
    world.agent(&format!("git rev-parse HEAD >\"$TRACK_TEST_LOG/head\"; await go\n{REVIEW}"));
    world.comment(MAINTAINER, pull, "/track review").await;
    world.until_started(1).await;
    let parent = world.git_at_github(&["rev-parse", "main"]);
    world.sim.force_push(REPO, MAINTAINER, "theirs", &parent).await.expect("a push");
    world.signal("go");
    world.settle_soon().await;
    assert_eq!(world.trace("head").expect("a commit").trim(), before);
    let run = world.runs().await.remove(0);
    assert_eq!(run.outcome, Some(Outcome::Succeeded));
    let reviews = ours(&world, pull);
    assert_eq!((reviews.len(), reviews[0].commit.as_str()), (1, before.as_str()));
    let body = &reviews[0].body;
    assert!(body.contains("the pull request is at") && body.contains(&parent[..7]), "{body}");
}

// B31
#[tokio::test]
async fn a_commit_that_cannot_be_had_fails_the_run_and_names_both() {
    let world = World::new().await;
    let pull = somebodys(&world).await;
    let pinned = world.sim.pulls(REPO)[0].head_sha.clone();
    let away = Fault::Status { code: 503, headers: Vec::new(), body: String::new() };
    let met = world.fault(usize::MAX, |request| request.path.ends_with("/info/refs"), away);
    world.comment(MAINTAINER, pull, "/track review").await;
    world.until("git asks for the commit", async || met.load(Ordering::SeqCst) > 0).await;
    let main = world.git_at_github(&["rev-parse", "main"]);
    world.sim.force_push(REPO, MAINTAINER, "theirs", &main).await.expect("a push");
    // GitHub forgets what no branch and no pull request holds, some day.
    world.git_at_github(&["reflog", "expire", "--expire=now", "--all"]);
    world.git_at_github(&["prune", "--expire=now"]);
    world.sim.clear_faults();
    world.settle_soon().await;
    let run = world.runs().await.remove(0);
    assert_eq!((run.outcome, run.reason), (Some(Outcome::Failed), Some(Reason::CommitGone)), "{:?}", run.detail);
    let detail = run.detail.expect("the reason");
    assert!(detail.contains(&pinned) && detail.contains(&main), "{detail}");
    insta::assert_snapshot!(world.only_comment(pull), @"
    ❌ **Failed**: the commit that was to be reviewed cannot be had any more.

    ```text
    the review is pinned to SHA, which cannot be had; the pull request is at SHA
    ```

    **Next:** `/track review` reviews the pull request as it is now.

    | Agent | Runner |
    | --- | --- |
    | `scripted` | `local-1` |

    <sub>run `RUN` · asked by mona</sub>
    ");
    assert_eq!((ours(&world, pull).len(), world.starts().len()), (0, 0));
}

#[tokio::test]
async fn what_github_refuses_on_lines_stands_in_the_body() {
    let world = World::new().await;
    let pull = somebodys(&world).await;
    world.agent(REVIEW);
    let refused =
        Fault::Status { code: 422, headers: Vec::new(), body: r#"{"message":"Unprocessable Entity"}"#.into() };
    let met = world.fault(1, |request| request.method == "POST" && request.path.ends_with("/reviews"), refused);
    reviewed(&world, pull, "/track review").await;
    assert_eq!(met.load(Ordering::SeqCst), 1);
    let reviews = ours(&world, pull);
    assert_eq!((reviews.len(), reviews[0].comments.len()), (1, 0));
    assert!(reviews[0].body.contains("Off by one"), "{}", reviews[0].body);
}

// F11
#[tokio::test]
async fn a_review_whose_answer_was_lost_is_found_and_not_submitted_twice() {
    let world = World::new().await;
    let pull = somebodys(&world).await;
    world.agent(REVIEW);
    world.fault(1, |request| request.method == "POST" && request.path.ends_with("/reviews"), Fault::DropAfterHandling);
    reviewed(&world, pull, "/track review").await;
    assert_eq!(ours(&world, pull).len(), 1);
    assert_eq!(world.runs().await[0].review_id, Some(ours(&world, pull)[0].id));
}

// B35
#[tokio::test]
async fn a_second_review_knows_the_first_and_what_was_said_to_it() {
    let world = World::new().await;
    let pull = somebodys(&world).await;
    world.agent(REVIEW);
    reviewed(&world, pull, "/track review").await;
    let finding = ours(&world, pull)[0].comments[0].id;
    world.sim.reply_in_thread(REPO, MAINTAINER, pull, finding, "That is meant so.").await.expect("a reply");
    world.sim.reply_in_thread(REPO, STRANGER, pull, finding, "Me too!").await.expect("a reply");
    world.settle_soon().await;
    let head = world.sim.push_to(REPO, MAINTAINER, "theirs", "more.txt", "more\n").await.expect("a push");
    reviewed(&world, pull, "/track review").await;
    let run = world.runs().await.remove(0);
    assert_eq!(run.ask.pin.as_ref().map(|pin| pin.head.to_string()), Some(head));
    let prompt = world.prompt(run.id);
    assert!(
        prompt.contains("Off by one") && prompt.contains("That is meant so.") && !prompt.contains("Me too!"),
        "{prompt}"
    );
    assert_eq!(ours(&world, pull).len(), 2);
}

// B38
#[tokio::test]
async fn the_bots_own_pull_request_is_reviewed_beside_its_work() {
    let world = World::new().await;
    world.agent(
        r#"if [ "$TRACK_KIND" = review ]; then review "See." "$(finding hello.txt 1 'Too short')"
        elif [ "$TRACK_KIND" = follow_up ]; then commit more.txt more "feat: more"; answer_all fixed "Did."
        else commit hello.txt hello "feat: hello"; answer succeeded "Did." "feat: hello"; fi"#,
    );
    let issue = world.work_on("Say hello", "").await;
    let pull = world.sim.pulls(REPO)[0].number;
    reviewed(&world, pull, "/track review").await;
    world.pass(120_000);
    world.settle_soon().await;
    assert_eq!(world.runs().await.len(), 2, "its findings start nothing");
    reviewed(&world, pull, "/track followup do what the review says").await;
    let run = world.runs().await.remove(0);
    assert!(world.prompt(run.id).contains("Too short"));
    assert_eq!((run.kind, run.outcome), (Kind::FollowUp, Some(Outcome::Succeeded)));
    assert_eq!(world.said(issue).len(), 1);
}

// T19
#[tokio::test]
async fn a_pull_request_from_a_fork_is_read_and_nothing_is_pushed() {
    let world = World::new().await;
    world.sim.add_user("forker");
    let pull = world
        .sim
        .fork_pull(REPO, "forker", &[("theirs.txt", "theirs\n")], ("From a fork", ""))
        .await
        .expect("a pull request");
    world.agent(r#"cat theirs.txt >"$TRACK_TEST_LOG/theirs"; commit evil.txt evil "feat: evil"; review "Fine.""#);
    reviewed(&world, pull, "/track review").await;
    assert_eq!(world.trace("theirs").as_deref(), Some("theirs\n"));
    assert_eq!(ours(&world, pull).len(), 1);
    let pushed = world.sim.journal().iter().filter(|request| request.path.ends_with("git-receive-pack")).count();
    assert_eq!(pushed, 0);
}

#[tokio::test]
async fn a_review_that_is_blocked_submits_nothing() {
    let world = World::new().await;
    let pull = somebodys(&world).await;
    world.agent(r#"review x; sed -i 's/"succeeded"/"blocked"/' "$TRACK_RESULT_FILE""#);
    reviewed(&world, pull, "/track review").await;
    assert_eq!(ours(&world, pull).len(), 0);
    assert!(world.only_comment(pull).starts_with("🚧 **Blocked**"), "{}", world.only_comment(pull));
}

#[tokio::test]
async fn a_restart_in_any_state_submits_one_review() {
    let mut world = World::new().await;
    let pull = somebodys(&world).await;
    world.agent(&format!("await go\n{REVIEW}"));
    world.comment(MAINTAINER, pull, "/track review").await;
    world.until_started(1).await;
    world.stop().await;
    world.start().await;
    let refused = Fault::Status { code: 502, headers: Vec::new(), body: String::new() };
    let met = world.fault(1, |request| request.method == "POST" && request.path.ends_with("/reviews"), refused);
    world.signal("go");
    world.until("the failed attempt", async || met.load(Ordering::SeqCst) == 1).await;
    world.stop().await;
    world.start().await;
    world.settle_soon().await;
    let run = world.runs().await.remove(0);
    assert_eq!((run.outcome, world.starts().len()), (Some(Outcome::Succeeded), 1));
    let reviews = ours(&world, pull);
    assert_eq!((reviews.len(), Some(reviews[0].id)), (1, run.review_id));
}
