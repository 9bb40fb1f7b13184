//! The timeline of a thread: everything that was decided and that happened, with what it was about (B27).

use track::db::decisions::Shown;
use track::model::Number;
use track::sim::Fault;

use crate::harness::{MAINTAINER, REPO, STRANGER, World};

const WORK: &str = r#"case "$TRACK_KIND" in
review) review "Fine, but." "$(finding hello.txt 1 'Too short')" ;;
follow_up) commit "more-$TRACK_RUN_ID.txt" more "feat: more"; answer_all fixed "Did as asked." ;;
*) commit hello.txt hello "feat: say hello"; answer succeeded "Said hello." "feat: say hello" ;;
esac"#;

/// Every decision about what somebody asked for, oldest first and with all columns; runs have the number in which they came.
async fn timeline(world: &World, number: Number) -> String {
    let mut runs: Vec<String> = world.runs().await.iter().map(|run| run.id.to_string()).collect();
    runs.reverse();
    let repository = world.repository_id().await;
    let mut conn = world.db().read().await.expect("the database");
    let all = track::db::decisions::newest_asked(&mut conn, repository, number, 100).await.expect("decisions");
    let named = |text: String| {
        runs.iter().enumerate().fold(text, |text, (n, run)| text.replace(run.as_str(), &format!("R{}", n + 1)))
    };
    let line = |Shown { run, actor, verdict, reason, detail, about, .. }: &Shown| {
        let or_none = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let cells = [
            format!("{verdict} {reason}"),
            or_none(actor.clone()),
            or_none(run.map(|run| run.to_string())),
            or_none(about.runner.clone()),
            or_none(about.branch.clone()),
            or_none(about.pull.map(|pull| format!("#{pull}"))),
            or_none(about.head.as_ref().map(|head| head.to_string())),
            or_none(about.review_state.clone()),
            detail.clone(),
        ];
        world.readable(&named(cells.join(" | ")))
    };
    all.iter().rev().map(line).collect::<Vec<_>>().join("\n")
}

// B26, B27, B34
#[tokio::test]
async fn everything_that_is_decided_is_told_with_what_it_is_about() {
    let world = World::new().await;
    world.agent(WORK);
    let issue = world.issue("Say hello", "").await;
    world.comment(MAINTAINER, issue, "/track dispatch --agent nobody").await;
    world.settle_soon().await;
    world.label(issue, "track").await;
    world.settle_soon().await;
    let pull = world.sim.pulls(REPO)[0].number;
    world.sim.review(REPO, STRANGER, pull, "APPROVED", "Nice.", &[]).await.expect("a review");
    world.settle_soon().await;
    let comments = [("hello.txt", 1, "Louder.")];
    world.sim.review(REPO, MAINTAINER, pull, "CHANGES_REQUESTED", "More.", &comments).await.expect("a review");
    world.settle_soon().await;
    world.comment(MAINTAINER, pull, "/track review").await;
    world.settle_soon().await;
    let review = world.runs().await[0].review_id.expect("it is submitted").to_string();
    insta::assert_snapshot!(timeline(&world, issue).await.replace(&review, "ID"), @"
    refused unknown_agent | mona | - | - | - | - | - | - | There is no agent `nobody`. Agents: `codex`, `claude`, `scripted`.
    accepted queued | mona | R1 | - | track/issue-1-LINE | - | - | - | run R1 is queued for scripted
    noted assigned | - | R1 | local-1 | track/issue-1-LINE | - | - | - | run R1 is on runner local-1
    noted succeeded | - | R1 | local-1 | track/issue-1-LINE | #2 | SHA | - | run R1 is done: changes were made
    noted notified | - | R1 | local-1 | track/issue-1-LINE | #2 | SHA | - | mona was told on #2 of SHA
    ignored stranger | eve | - | - | track/issue-1-LINE | #2 | SHA | approved | the actor may not write here
    accepted feedback | mona | - | - | track/issue-1-LINE | #2 | SHA | changes_requested | it becomes a follow-up as soon as nothing is live here
    accepted follow_up | mona | R2 | - | track/issue-1-LINE | #2 | SHA | changes_requested | run R2 follows up on what was said
    noted assigned | - | R2 | local-1 | track/issue-1-LINE | #2 | SHA | - | run R2 is on runner local-1
    noted succeeded | - | R2 | local-1 | track/issue-1-LINE | #2 | SHA | - | run R2 is done: changes were made
    noted notified | - | R2 | local-1 | track/issue-1-LINE | #2 | SHA | - | mona was told on #2 of SHA
    accepted queued | mona | R3 | - | track/issue-1-LINE | #2 | SHA | - | run R3 is queued for scripted
    noted assigned | - | R3 | local-1 | - | #2 | SHA | - | run R3 is on runner local-1
    noted reviewed | - | R3 | local-1 | - | #2 | SHA | commented | run R3 submitted review ID: https://github.test/octo/hello/pull/2#pullrequestreview-ID
    noted succeeded | - | R3 | local-1 | - | #2 | SHA | - | run R3 is done: the review is done
    ");
    world.comment(MAINTAINER, pull, "/track why").await;
    world.settle_soon().await;
    let why = world.said(pull).pop().expect("an answer");
    assert!(why.contains("changes requested"), "{why}");
}

// B26
#[tokio::test]
async fn a_mention_that_github_refuses_is_told_too() {
    let world = World::new().await;
    world.agent(WORK);
    let refused = Fault::Status { code: 403, headers: Vec::new(), body: r#"{"message":"It is locked"}"#.into() };
    world.fault(
        usize::MAX,
        |request| request.method == "POST" && request.path.ends_with("/issues/2/comments"),
        refused,
    );
    let issue = world.work_on("Say hello", "").await;
    world.settle_soon().await;
    let told = timeline(&world, issue).await;
    let last = told.lines().last().expect("a record");
    insta::assert_snapshot!(last, @"noted not_posted | - | R1 | local-1 | track/issue-1-LINE | #2 | SHA | - | the closing comment of run R1 could not be posted on #2: POST /repos/octo/hello/issues/2/comments: GitHub refuses with 403: It is locked");
    assert!(!told.contains("notified"), "{told}");
}
