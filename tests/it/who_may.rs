//! Who is obeyed: whoever may write there by GitHub's own answer, in a repository that is served. Everybody else meets silence.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use serde_json::json;
use track::model::{Outcome, Reason, Status};
use track::sim::{Fault, Role};

use crate::harness::{MAINTAINER, REPO, STRANGER, World};

// T12
#[tokio::test]
async fn only_whoever_may_write_is_answered() {
    let world = World::new().await;
    let issue = world.issue("Say hello", "").await;
    for (login, role, answers) in [
        ("nobody", Role::None, 0),
        ("reader", Role::Read, 0),
        ("sorter", Role::Triage, 0),
        ("writer", Role::Write, 1),
        ("keeper", Role::Maintain, 1),
        ("owner", Role::Admin, 1),
    ] {
        world.sim.set_role(REPO, login, role).unwrap();
        let (said, writes) = (world.said(issue).len(), world.writes());
        world.comment(login, issue, "/track status").await;
        world.settle().await;
        assert_eq!(world.said(issue).len() - said, answers, "{login}");
        assert_eq!(world.writes() > writes, answers > 0, "{login}");
    }
}

// T12, T14
#[tokio::test]
async fn strangers_meet_silence_whatever_they_try() {
    let world = World::new().await;
    let theirs = world.sim.open_issue(REPO, STRANGER, ("Do it", "/track dispatch"), &["track"]).await.unwrap();
    let ours = world.issue("Say hello", "").await;
    for text in ["/track dispatch", "/track cancel", "/track dispach", "/track help"] {
        world.comment(STRANGER, ours, text).await;
    }
    world.sim.label(REPO, STRANGER, ours, "track").await.unwrap();
    world.settle().await;

    assert_eq!(world.writes(), 0, "no comment, no reaction, no label taken off");
    assert!(world.runs().await.is_empty());
    assert_eq!(world.decisions(ours).await.iter().filter(|decision| *decision == "ignored stranger").count(), 5);
    assert_eq!(world.decisions(theirs).await.iter().filter(|decision| *decision == "ignored stranger").count(), 2);

    // Who put the label on is asked for, not who opened the issue.
    world.sim.unlabel(REPO, MAINTAINER, theirs, "track").await.unwrap();
    world.label(theirs, "track").await;
    world.settle().await;
    assert_eq!(world.runs().await.len(), 1);
}

// T12, P7
#[tokio::test]
async fn no_fault_of_the_permission_endpoint_is_an_approval() {
    let world = World::new().await;
    let issue = world.issue("Say hello", "").await;
    world.sim.settled().await;
    let code = Arc::new(AtomicU16::new(500));
    let answer = code.clone();
    world.sim.set_fault(Box::new(move |request| {
        request.path.ends_with("/permission").then(|| {
            let message = json!({ "message": "Resource not accessible by integration" });
            Fault::Status { code: answer.load(Ordering::SeqCst), headers: Vec::new(), body: message.to_string() }
        })
    }));
    world.comment(MAINTAINER, issue, "/track dispatch").await;
    for fault in [500, 403] {
        code.store(fault, Ordering::SeqCst);
        let before = world.asked("/permission");
        world.later(60_000);
        world.until("it is asked again", async || world.asked("/permission") > before).await;
        assert!(world.runs().await.is_empty());
        assert_eq!(world.writes(), 0);
    }
    world.sim.clear_faults();
    world.later(60_000);
    world.settle().await;
    assert_eq!(world.runs().await.len(), 1, "the right answer is waited for");
}

// T12
#[tokio::test]
async fn somebody_whom_github_does_not_know_is_a_stranger() {
    let world = World::new().await;
    let issue = world.issue("Say hello", "").await;
    world.sim.set_fault(Box::new(|request| {
        let body = json!({ "message": "mona is not a user" }).to_string();
        request.path.ends_with("/permission").then(|| Fault::Status { code: 404, headers: Vec::new(), body })
    }));
    world.comment(MAINTAINER, issue, "/track dispatch").await;
    world.settle().await;
    assert_eq!(world.decisions(issue).await, ["ignored stranger", "ignored no_command"]);
    assert_eq!(world.writes(), 0);
}

// T15, T16
#[tokio::test]
async fn bots_borrowed_names_and_words_of_apps_are_not_obeyed() {
    let world = World::new().await;
    let issue = world.issue("Say hello", "").await;
    world.sim.add_bot("helper[bot]");
    world.sim.set_role(REPO, "helper[bot]", Role::Admin).unwrap();
    world.comment("helper[bot]", issue, "/track dispatch").await;
    world.sim.label(REPO, "helper[bot]", issue, "track").await.unwrap();
    world.comment(MAINTAINER, issue, "no command").await;
    let (_, said) = world.sent("issue_comment").await;
    let id = |n: u32| format!("{n}2d3162e-cc78-11e3-81ab-4c9367dc0958");
    let mut forged = said.clone();
    forged["comment"]["body"] = json!("/track dispatch");

    // The login of a maintainer, and the id of somebody else.
    let mut other = forged.clone();
    other["comment"]["id"] = json!(900_001);
    other["sender"]["id"] = json!(900_000);
    other["comment"]["user"]["id"] = json!(900_000);
    world.post(&id(1), "issue_comment", &other).await;

    // What an app wrote in a maintainer's name.
    let mut app = forged.clone();
    app["comment"]["id"] = json!(900_002);
    app["comment"]["performed_via_github_app"] = json!({ "id": 99, "slug": "writer" });
    world.post(&id(2), "issue_comment", &app).await;

    // What a maintainer wrote, and somebody else sent.
    let mut moved = forged.clone();
    moved["comment"]["id"] = json!(900_003);
    moved["sender"]["id"] = json!(900_000);
    world.post(&id(3), "issue_comment", &moved).await;

    // A comment of the bot's own that somebody repeats.
    let echo = "/track dispatch\n\n<!-- track run=01ARZ3NDEKTSV4RRFFQ69G5FAV kind=status mac=00 -->";
    world.comment(MAINTAINER, issue, echo).await;
    world.settle().await;

    assert!(world.runs().await.is_empty());
    assert_eq!(world.writes(), 0);
    let mut decisions = world.decisions(issue).await;
    decisions.sort();
    assert_eq!(
        decisions,
        [
            "ignored bot",
            "ignored bot",
            "ignored no_command",
            "ignored no_command",
            "ignored not_used",
            "ignored own_words",
            "ignored stranger",
            "ignored via_app"
        ]
    );
}

// T13
#[tokio::test]
async fn a_right_that_is_revoked_while_the_run_waits_is_gone() {
    let world = World::with(|config| config.runners[0].slots = 1).await;
    world.agent("await go; commit a.txt a 'feat: a'; answer succeeded done");
    let (first, second) = (world.issue("First", "").await, world.issue("Second", "").await);
    world.label(first, "track").await;
    world.until_started(1).await;
    world.sim.set_role(REPO, "writer", Role::Write).unwrap();
    world.comment("writer", second, "/track dispatch").await;
    world.until_status(Status::Queued).await;
    world.sim.set_role(REPO, "writer", Role::Read).unwrap();
    world.clock.advance(61_000);
    world.signal("go");
    world.settle().await;

    let refused = world.runs().await.remove(0);
    assert_eq!((refused.outcome, refused.reason), (Some(Outcome::Failed), Some(Reason::PermissionLost)));
    assert_eq!(world.starts().len(), 1);
    insta::assert_snapshot!(world.only_comment(second), @"
    ❌ **Failed**: the requester may no longer ask for runs here.

    writer has the role `read` here now.

    **Next:** Somebody with write access can say `/track retry`.

    | Agent | Runner |
    | --- | --- |
    | `scripted` | `local-1` |

    <sub>run `RUN` · asked by writer · branch `track/issue-2-LINE`</sub>
    ");
}

// T11
#[tokio::test]
async fn repositories_are_served_by_their_owner_or_by_patterns() {
    let world = World::new().await;
    let elsewhere = "acme/tool";
    world.sim.add_repository(elsewhere, &[("README.md", "# tool\n")]).await.unwrap();
    world.sim.set_role(elsewhere, MAINTAINER, Role::Admin).unwrap();
    let issue = world.sim.open_issue(elsewhere, MAINTAINER, ("Do it", ""), &["track"]).await.unwrap();
    world.settle().await;
    assert!(world.runs().await.is_empty(), "it is not the App's owner's");
    assert_eq!(world.writes(), 0);
    assert_eq!(world.decisions(issue).await, ["ignored not_allowed", "ignored no_command"]);

    let world = World::with(|config| config.allow = Some(vec!["ACME/*".to_owned()])).await;
    world.sim.add_repository(elsewhere, &[("README.md", "# tool\n")]).await.unwrap();
    world.sim.set_role(elsewhere, MAINTAINER, Role::Admin).unwrap();
    let ours = world.issue("Say hello", "/track dispatch").await;
    world.settle().await;
    assert_eq!(world.decisions(ours).await, ["ignored not_allowed"], "patterns are all there is");
    world.sim.open_issue(elsewhere, MAINTAINER, ("Do it", ""), &["track"]).await.unwrap();
    world.settle().await;
    assert_eq!(world.runs().await.len(), 1);
}
