//! What the bot owes to people, and how it shows it: once, in place, and not too often.

use std::sync::atomic::Ordering::SeqCst;

use track::model::{Outcome, Status};
use track::sim::Fault;

use crate::harness::{MAINTAINER, REPO, World};

const WAITS: &str = r#"say "working"; await go; commit a.txt a "feat: a"; answer succeeded "Did.""#;

async fn dead(world: &World) -> Vec<String> {
    let mut conn = world.bot().context().db.read().await.unwrap();
    let rows: Vec<(String,)> = sqlx::query_as("select kind from report where state = 'dead' order by kind")
        .fetch_all(&mut *conn)
        .await
        .unwrap();
    rows.into_iter().map(|row| row.0).collect()
}

#[tokio::test]
async fn a_comment_that_somebody_deleted_comes_back_with_the_result_only() {
    let world = World::new().await;
    world.agent(
        r#"say "working"; await more; say "nearly there"; await go; commit a.txt a "feat: a"; answer succeeded "Did.""#,
    );
    let issue = world.issue("Say hello", "").await;
    world.label(issue, "track").await;
    world.until("the status comment", async || !world.said(issue).is_empty()).await;
    world.until_status(Status::Running).await;
    let comment = world.sim.comments(REPO, issue).remove(0).id;
    world.sim.delete_comment(REPO, MAINTAINER, comment).await.unwrap();
    world.signal("more");
    world
        .until("that progress is given up", async || {
            world.pass(30_000);
            dead(&world).await == ["status"]
        })
        .await;
    assert!(world.said(issue).is_empty());
    world.signal("go");
    world.settle_soon().await;
    assert!(world.only_comment(issue).starts_with("✅ **Done**"));
    assert!(dead(&world).await.is_empty());
}

// P3
#[tokio::test]
async fn progress_that_github_refuses_keeps_no_result_from_people() {
    let world = World::new().await;
    world.agent(
        r#"say "working"; await more; say "nearly there"; await go; commit a.txt a "feat: a"; answer succeeded "Did.""#,
    );
    let issue = world.issue("Say hello", "").await;
    world.label(issue, "track").await;
    world.until("the status comment", async || !world.said(issue).is_empty()).await;
    world.until_status(Status::Running).await;
    let refused = Fault::Status { code: 403, headers: Vec::new(), body: r#"{"message":"not now"}"#.to_owned() };
    let met = world.fault(usize::MAX, |request| request.method == "PATCH", refused);
    world.signal("more");
    world
        .until("a refusal", async || {
            world.pass(30_000);
            met.load(SeqCst) > 0
        })
        .await;
    world.sim.clear_faults();
    world.signal("go");
    world.settle_soon().await;
    assert!(world.only_comment(issue).starts_with("✅ **Done**"));
    assert!(dead(&world).await.is_empty());
}

#[tokio::test]
async fn a_locked_issue_takes_no_comment_and_the_run_is_done_all_the_same() {
    let world = World::new().await;
    let issue = world.issue("Say hello", "").await;
    let locked = Fault::Status {
        code: 403,
        headers: Vec::new(),
        body: r#"{"message":"Unable to create comment because issue is locked."}"#.to_owned(),
    };
    world.fault(usize::MAX, |request| request.method == "POST" && request.path.contains("/issues/1/"), locked);
    world.label(issue, "track").await;
    world.settle().await;
    assert_eq!(world.runs().await[0].outcome, Some(Outcome::Succeeded));
    assert_eq!(world.sim.pulls(REPO).len(), 1);
    assert_eq!(dead(&world).await, ["reaction", "reaction", "status"]);
    let tries = world.sim.journal().iter().filter(|request| request.status == 403).count();
    assert_eq!(tries, 4, "each is tried once, and the status once more with the result");
}

// B26
#[tokio::test]
async fn progress_is_edited_in_place_and_at_most_every_thirty_seconds() {
    let world = World::new().await;
    world.agent(
        r#"for n in $(seq 40); do say "step $n"; sleep 0.02; done; await more; say "nearly there"; await go
           commit a.txt a "feat: a"; answer succeeded "Did.""#,
    );
    let issue = world.issue("Say hello", "").await;
    world.label(issue, "track").await;
    world
        .until("the last step", async || {
            world.runs().await.first().is_some_and(|run| run.progress.as_deref() == Some("step 40"))
        })
        .await;
    let edits = world.sim.comments(REPO, issue).iter().map(|comment| comment.edits).sum::<u32>();
    assert!(edits <= 1, "{edits} edits for a second of work");
    world.pass(30_000);
    world.until("the progress", async || world.only_comment(issue).contains("step 40")).await;
    world.signal("more");
    world
        .until("the next progress", async || {
            world.runs().await.first().is_some_and(|run| run.progress.as_deref() == Some("nearly there"))
        })
        .await;
    assert!(!world.only_comment(issue).contains("nearly there"));
    world.pass(30_000);
    world.until("the next progress", async || world.only_comment(issue).contains("nearly there")).await;
    world.signal("go");
    world.settle().await;
    assert!(world.only_comment(issue).starts_with("✅ **Done**"), "the end is shown at once");
    let edits = world.sim.comments(REPO, issue)[0].edits;
    assert!(edits <= 4, "{edits} edits");
}

// P4
#[tokio::test]
async fn the_final_comment_comes_once_per_head() {
    let world = World::new().await;
    let issue = world.issue("Say hello", "").await;
    world.label(issue, "track").await;
    world.settle().await;
    let pull = world.sim.pulls(REPO)[0].number;
    assert_eq!(world.said(pull).len(), 1);

    world.agent(r#"answer succeeded "All is there already.""#);
    world.comment(MAINTAINER, pull, "/track dispatch is it all there?").await;
    world.settle().await;
    assert_eq!(world.runs().await.len(), 2);
    let finals = |world: &World| world.said(pull).iter().filter(|text| text.contains("pushed")).count();
    assert_eq!(finals(&world), 1, "{:#?}", world.said(pull));

    world.agent(r#"commit b.txt b "feat: b"; answer succeeded "Added b.""#);
    world.comment(MAINTAINER, pull, "/track dispatch add b").await;
    world.settle().await;
    assert_eq!(finals(&world), 2, "{:#?}", world.said(pull));
    assert_eq!(world.sim.pulls(REPO).len(), 1);
}

#[tokio::test]
async fn a_command_is_acknowledged_and_its_end_shown_on_the_comment_itself() {
    let world = World::new().await;
    world.agent(WAITS);
    let issue = world.issue("Say hello", "").await;
    let good = world.comment(MAINTAINER, issue, "/track dispatch").await;
    world.until("eyes", async || world.reactions_on(issue, good) == ["eyes"]).await;
    world.signal("go");
    world.settle().await;
    assert_eq!(world.reactions_on(issue, good), ["eyes", "rocket"]);

    world.agent(r#"answer failed "There is no such thing.""#);
    let bad = world.comment(MAINTAINER, issue, "/track dispatch do the impossible").await;
    let wrong = world.comment(MAINTAINER, issue, "/track dispach").await;
    world.settle().await;
    assert_eq!(world.reactions_on(issue, bad), ["eyes", "confused"]);
    assert_eq!(world.reactions_on(issue, wrong), ["confused"]);
}

// F10
#[tokio::test]
async fn many_replies_are_spread_over_time_and_none_is_dropped() {
    const COMMENTS: usize = 20;
    let world = World::new().await;
    let issue = world.issue("Say hello", "").await;
    for _ in 0..COMMENTS {
        world.comment(MAINTAINER, issue, "/track status").await;
    }
    world.sim.settled().await;
    world.settle_soon().await;
    assert_eq!(world.said(issue).len(), COMMENTS);
    let journal = world.sim.journal();
    let writes: Vec<_> = journal
        .iter()
        .filter(|request| request.method == "POST" && request.path.contains("/issues/"))
        .map(|request| request.at)
        .collect();
    assert_eq!(writes.len(), 2 * COMMENTS, "a reaction and a reply each");
    for window in writes.windows(62) {
        assert!(window[61] - window[0] >= 59_000);
    }
    let first_minute = writes.iter().filter(|at| **at < writes[0] + 10_000).count();
    assert!(first_minute <= 22, "{first_minute} in ten seconds");
}

// F10
#[tokio::test]
async fn what_waits_for_the_budget_is_left_alone_until_then() {
    const COMMENTS: usize = 15;
    let world = World::new().await;
    let issue = world.issue("Say hello", "").await;
    for _ in 0..COMMENTS {
        world.comment(MAINTAINER, issue, "/track status").await;
    }
    let count = async |what: &str| {
        let mut conn = world.db().read().await.unwrap();
        let query = sqlx::SqlStr::from_static(match what {
            "all" => "select count(*) from report",
            _ => "select count(*) from report where state = 'due' and not_before > 0",
        });
        sqlx::query_scalar::<_, i64>(query).fetch_one(&mut *conn).await.unwrap()
    };
    world.until("everything is owed", async || count("all").await == 2 * COMMENTS as i64).await;
    world.until("the burst is over", async || world.writes() >= 11).await;
    assert_eq!(count("put off").await, 0);
}
