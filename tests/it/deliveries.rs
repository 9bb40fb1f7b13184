//! What GitHub may send twice, late, in the wrong order or under the wrong name, and what anybody may replay.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;
use track::db::deliveries;
use track::sim::Fault;

use crate::harness::{MAINTAINER, REPO, World};

// T04, P2
#[tokio::test]
async fn a_delivery_that_comes_again_starts_nothing_again() {
    let world = World::new().await;
    let issue = world.issue("Say hello", "").await;
    world.comment(MAINTAINER, issue, "/track dispatch").await;
    let (id, body) = world.sent("issue_comment").await;
    for _ in 0..2 {
        world.sim.redeliver(&id).await.unwrap();
    }
    // The same words under new names are the same comment.
    for n in 0..3 {
        assert_eq!(world.post(&format!("{n}2d3162e-cc78-11e3-81ab-4c9367dc0958"), "issue_comment", &body).await, 202);
    }
    world.settle().await;

    assert_eq!(world.runs().await.len(), 1);
    assert_eq!(world.starts().len(), 1);
    assert_eq!(world.said(issue).len(), 1);
    let decisions = world.decisions(issue).await;
    assert_eq!(decisions.iter().filter(|decision| *decision == "ignored repeated").count(), 3, "{decisions:?}");
    assert_eq!(decisions.iter().filter(|decision| *decision == "accepted queued").count(), 1, "{decisions:?}");
}

// T04
#[tokio::test]
async fn a_body_under_another_event_name_is_set_aside() {
    let world = World::new().await;
    world.sim.set_webhook_url(None);
    let issue = world.issue("Say hello", "").await;
    let bot = format!("http://{}/webhooks/github", world.bot().address());
    world.sim.set_webhook_url(Some(&bot));
    world.comment(MAINTAINER, issue, "/track why").await;
    let (_, mut body) = world.sent("issue_comment").await;
    world.settle().await;
    body["comment"]["id"] = json!(987_654);
    body["comment"]["body"] = json!("/track dispatch");
    for (n, event) in
        ["issues", "pull_request", "pull_request_review", "pull_request_review_comment"].iter().enumerate()
    {
        assert_eq!(world.post(&format!("{n}2d3162e-cc78-11e3-81ab-4c9367dc0958"), event, &body).await, 202, "{event}");
    }
    world.settle().await;

    assert!(world.runs().await.is_empty());
    // The bot is in good health behind them.
    world.comment(MAINTAINER, issue, "/track dispatch").await;
    world.settle().await;
    assert_eq!(world.runs().await.len(), 1);
}

// T05
#[tokio::test]
async fn a_label_that_is_gone_when_its_turn_comes_starts_nothing() {
    let world = World::new().await;
    let issue = world.issue("Say hello", "").await;
    world.sim.settled().await;
    world.sim.set_fault(Box::new(|request| {
        let asks = request.path.ends_with("/permission");
        asks.then(|| Fault::Status { code: 502, headers: Vec::new(), body: String::new() })
    }));
    world.label(issue, "track").await;
    world.until("the bot asks who that was", async || world.asked("/permission") > 0).await;
    world.sim.unlabel(REPO, MAINTAINER, issue, "track").await.unwrap();
    world.sim.clear_faults();
    world.settle().await;

    assert!(world.runs().await.is_empty());
    assert!(world.said(issue).is_empty());
    assert!(world.decisions(issue).await.contains(&"ignored label_gone".to_owned()));

    // Put on again, it asks again.
    world.label(issue, "track").await;
    world.settle().await;
    assert_eq!(world.runs().await.len(), 1);
    assert!(world.labels(issue).is_empty());
}

// T17
#[tokio::test]
async fn an_edit_adds_no_command_and_changes_none() {
    let world = World::new().await;
    let issue = world.issue("Say hello", "Please.").await;
    let comment = world.comment(MAINTAINER, issue, "Nice idea.").await;
    world.sim.edit_comment(REPO, MAINTAINER, comment, "/track dispatch").await.unwrap();
    world.sim.edit_issue(REPO, MAINTAINER, issue, ("Say hello", "Please.\n\n/track dispatch")).await.unwrap();
    world.settle().await;
    assert!(world.runs().await.is_empty());

    // The words are those of the delivery, whatever became of them while the bot was asking.
    world.sim.set_fault(Box::new(|request| {
        let asks = request.path.ends_with("/permission");
        asks.then(|| Fault::Status { code: 502, headers: Vec::new(), body: String::new() })
    }));
    let command = world.comment(MAINTAINER, issue, "/track dispatch say it in French").await;
    world.until("the bot asks who that was", async || world.asked("/permission") > 0).await;
    // GitHub's times have whole seconds.
    world.clock.advance(2_000);
    world.sim.edit_comment(REPO, MAINTAINER, command, "/track dispatch say it in Latin").await.unwrap();
    world.sim.clear_faults();
    world.settle().await;
    let prompt = world.prompt(world.runs().await[0].id);
    assert!(prompt.contains("in French") && !prompt.contains("in Latin"), "{prompt}");
}

// F02
#[tokio::test]
async fn a_delivery_that_kills_the_bot_three_times_is_set_aside() {
    let mut world = World::new().await;
    let issue = world.issue("Say hello", "").await;
    world.serve().await;
    // Each time that the bot asks who that was, it is killed.
    let stalls = Fault::Delay(Duration::from_secs(60));
    let met = world.fault(usize::MAX, |request| request.path.ends_with("/permission"), stalls);
    world.comment(MAINTAINER, issue, "/track dispatch").await;
    for death in 1..=3 {
        world.until("the bot asks who that was", async || met.load(SeqCst) == death).await;
        world.end(Signal::KILL).await;
        world.serve().await;
    }
    let status = async || {
        let mut conn = world.db().read().await.unwrap();
        sqlx::query_scalar::<_, String>("select status from delivery where event = 'issue_comment'")
            .fetch_one(&mut *conn)
            .await
            .unwrap()
    };
    world.until("it is set aside", async || status().await == "quarantined").await;
    assert_eq!(met.load(SeqCst), 3);
    world.sim.clear_faults();
    let other = world.issue("Say hello", "").await;
    world.comment(MAINTAINER, other, "/track status").await;
    world.settle().await;
    assert_eq!((world.said(issue).len(), world.said(other).len()), (0, 1));
}

// P2
#[tokio::test]
async fn what_was_handled_is_not_handled_again() {
    let world = World::new().await;
    world.issue("Say hello", "").await;
    world.settle().await;
    let mut tx = world.db().begin().await.unwrap();
    let seq = deliveries::newest(&mut tx).await.unwrap();
    assert!(deliveries::get_new(&mut tx, seq, i64::MAX).await.unwrap().is_none());
    assert!(deliveries::handled(&mut tx, seq, 1).await.is_err());
    assert!(deliveries::quarantine(&mut tx, seq, "late", 1).await.is_err());
    deliveries::retry_at(&mut tx, seq, 1, 0, "late").await.unwrap();
    assert_eq!(deliveries::backlog(&mut tx).await.unwrap().0, 0);
}

#[tokio::test]
async fn waits_for_github_are_no_breakdowns() {
    let world = World::new().await;
    let issue = world.issue("Say hello", "").await;
    world.settle().await;
    let bad = Fault::Status { code: 502, headers: Vec::new(), body: String::new() };
    let met = world.fault(usize::MAX, |request| request.path.ends_with("/permission"), bad);
    world.comment(MAINTAINER, issue, "/track dispatch").await;
    world
        .until("three waits", async || {
            world.pass(60_000);
            met.load(SeqCst) >= 3
        })
        .await;
    let mut tx = world.db().begin().await.unwrap();
    let breaks = r#"create trigger boom before insert on "trigger" begin select raise(abort, 'boom'); end"#;
    sqlx::query(breaks).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    world.sim.clear_faults();
    world
        .until("a breakdown", async || {
            world.pass(60_000);
            let mut conn = world.db().read().await.unwrap();
            let broken: i64 = sqlx::query_scalar("select broken from delivery where event = 'issue_comment'")
                .fetch_one(&mut *conn)
                .await
                .unwrap();
            broken == 1
        })
        .await;
    let mut tx = world.db().begin().await.unwrap();
    sqlx::query("drop trigger boom").execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    world.settle_soon().await;
    assert_eq!(world.runs().await.len(), 1);
}
