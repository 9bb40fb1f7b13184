//! What people say to the bot, and what it answers.

use track::config::AgentConfig;
use track::model::{Millis, Outcome, Status};
use track::sim::Role;

use crate::harness::{MAINTAINER, REPO, World};

/// After it the budget for writes is full again.
const MINUTE: Millis = 60_000;

const COMMIT: &str =
    r#"commit "$TRACK_RUN_ID.txt" hello "feat: say hello"; answer succeeded "Said hello." "feat: say hello""#;

// B01, B13
#[tokio::test]
async fn a_command_starts_a_run_with_its_words() {
    let world = World::new().await;
    let issue = world.issue("Say hello", "Please add hello.txt.").await;
    let comment = world.comment(MAINTAINER, issue, "Good idea!\n\n/track dispatch in *French*,\nand briefly").await;
    world.settle().await;

    assert_eq!(world.reactions_on(issue, comment), ["eyes", "rocket"]);
    assert!(world.reactions(issue).is_empty(), "the acknowledgement stands where the words do");
    let runs = world.runs().await;
    assert_eq!((runs.len(), runs[0].outcome), (1, Some(Outcome::Succeeded)));
    assert_eq!(runs[0].ask.instructions, "in *French*,\nand briefly");
    assert!(world.prompt(runs[0].id).contains("in *French*,\nand briefly"));
}

// B01, T04
#[tokio::test]
async fn an_issue_that_is_opened_with_label_and_command_has_one_run_at_a_time() {
    let world = World::new().await;
    let labelled = world.sim.open_issue(REPO, MAINTAINER, ("One", "Do it."), &["track"]).await.unwrap();
    let spoken = world.issue("Two", "Do it.\n\n/track dispatch --agent scripted").await;
    world.settle().await;

    let mut numbers = Vec::new();
    for run in world.runs().await {
        assert_eq!(run.outcome, Some(Outcome::Succeeded));
        numbers.push(run.ask.title);
    }
    numbers.sort();
    assert_eq!(numbers, ["One", "Two"]);
    assert!(world.labels(labelled).is_empty());
    assert_eq!(world.reactions(spoken), ["eyes", "rocket"]);
}

// B14
#[tokio::test]
async fn a_label_may_name_the_agent() {
    let world = World::with(|config| {
        let other: AgentConfig = config.agents["scripted"].clone();
        config.agents.insert("other".to_owned(), other);
    })
    .await;
    let issue = world.issue("Say hello", "").await;
    world.label(issue, "track:nobody").await;
    world.settle().await;
    assert!(world.labels(issue).is_empty(), "a label that is refused is taken off, too");
    assert_eq!(world.reactions(issue), ["confused"]);
    insta::assert_snapshot!(world.only_comment(issue), @"There is no agent `nobody`. Agents: `codex`, `claude`, `other`, `scripted`.");

    world.label(issue, "track:other").await;
    world.settle().await;
    let runs = world.runs().await;
    assert_eq!((runs.len(), runs[0].agent.as_str(), runs[0].chosen_by.as_str()), (1, "other", "the label"));
}

// T18
#[tokio::test]
async fn quoted_hidden_and_mentioned_commands_are_not_obeyed() {
    let world = World::new().await;
    let issue = world.issue("Say hello", "> /track dispatch\n\n```\n/track dispatch\n```").await;
    for text in [
        "> /track dispatch",
        "`/track dispatch`",
        "please /track dispatch",
        "<!--\n/track dispatch\n-->",
        "    /track dispatch",
        "[/track dispatch](https://example.com)",
        "/\u{200b}track dispatch",
        "/track\u{2010}dispatch",
    ] {
        world.comment(MAINTAINER, issue, text).await;
    }
    world.settle().await;
    assert!(world.runs().await.is_empty());
    assert_eq!(world.writes(), 0);
    let decisions = world.decisions(issue).await;
    assert!(decisions.iter().all(|decision| decision == "ignored no_command"), "{decisions:?}");
    assert_eq!(decisions.len(), 9);
}

// B01
#[tokio::test]
async fn a_wrong_command_gets_one_reply_that_helps() {
    let world = World::new().await;
    let issue = world.issue("Say hello", "").await;
    let comment = world.comment(MAINTAINER, issue, "/track dispach now").await;
    world.settle().await;
    assert_eq!(world.reactions_on(issue, comment), ["confused"]);
    insta::assert_snapshot!(world.only_comment(issue), @"
    There is no command `dispach`. Did you mean `/track dispatch`?

    Usage: `/track dispatch`, `/track followup`, `/track review`, `/track cancel`, `/track retry`, `/track status`, `/track why`, `/track pause`, `/track resume`, `/track discard`, `/track help`
    ");

    world.comment(MAINTAINER, issue, "/track dispatch --agnet scripted").await;
    world.settle().await;
    insta::assert_snapshot!(world.said(issue)[1], @"
    `dispatch` has no option `--agnet`. Did you mean `--agent`?

    Usage: `/track dispatch [--agent A] [--model M] [--runner R] [--profile P] [--base B] [--fresh] [instructions]`
    ");
    world.comment(MAINTAINER, issue, "/track cancel").await;
    world.settle().await;
    insta::assert_snapshot!(world.said(issue)[2], @"Nothing is live here, so there is nothing to cancel. `/track status` lists the runs.");
    assert_eq!(world.said(issue).len(), 3);
    assert!(world.runs().await.is_empty());
}

// B02, B10, B16, B27
#[tokio::test]
async fn two_commands_in_one_comment_run_in_order_and_questions_are_answered() {
    let world = World::new().await;
    world.agent(&format!("say working; await go; {COMMIT}"));
    let issue = world.issue("Say hello", "").await;
    world.comment(MAINTAINER, issue, "/track dispatch be nice\n\n/track status\n/track dispatch").await;
    world.until_started(1).await;
    world.until("the others are answered", async || world.said(issue).len() >= 3).await;
    let told = world.said(issue);
    let table = told.iter().find(|text| text.starts_with("| Run")).expect("an answer");
    insta::assert_snapshot!(table, @"
    | Run | Status | Agent | Asked | Took | PR |
    | --- | --- | --- | --- | --- | --- |
    | `RUN` | queued | `scripted` | TIME by mona | – | – |
    ");

    let run = world.until_status(Status::Running).await.id;
    world.comment(MAINTAINER, issue, "/track dispatch").await;
    world.until("the refusal is told", async || world.said(issue).len() >= 4).await;
    let comments = world.sim.comments(REPO, issue);
    let refusal = &comments.last().expect("a comment").body;
    assert!(refusal.contains(&run.to_string()), "it names the run: {refusal}");
    insta::assert_snapshot!(world.readable(refusal), @"Run `RUN` is still running here. Wait for it, or end it with `/track cancel`.");

    world.signal("go");
    world.settle().await;
    assert_eq!(world.starts().len(), 1);
    world.comment(MAINTAINER, issue, "/track why").await;
    world.settle().await;
    insta::assert_snapshot!(world.said(issue).last().unwrap(), @"
    | When | Who | Verdict | Why | About |
    | --- | --- | --- | --- | --- |
    | TIME | – | noted (`notified`) | mona was told on #2 of SHA | #2 at `SHA`, `local-1` |
    | TIME | – | noted (`succeeded`) | run RUN is done: changes were made | #2 at `SHA`, `local-1` |
    | TIME | mona | refused (`already_live`) | Run `RUN` is still running here. Wait for it, or end it with `/track cancel`. | `track/issue-1-LINE` |
    | TIME | – | noted (`assigned`) | run RUN is on runner local-1 | `track/issue-1-LINE`, `local-1` |
    | TIME | mona | refused (`already_live`) | Run `RUN` is still queued here. Wait for it, or end it with `/track cancel`. | `track/issue-1-LINE` |
    | TIME | mona | accepted (`answered`) | status was answered | `track/issue-1-LINE` |
    | TIME | mona | accepted (`queued`) | run RUN is queued for scripted | `track/issue-1-LINE` |
    ");
}

#[tokio::test]
async fn help_and_questions_are_answered_where_nothing_was_done_yet() {
    let world = World::new().await;
    let issue = world.issue("Say hello", "").await;
    world.comment(MAINTAINER, issue, "/track status\n/track why\n/track help").await;
    world.settle().await;
    let said = world.said(issue);
    assert_eq!(said.len(), 3, "{said:#?}");
    insta::assert_snapshot!(said[0], @"No runs here yet. `/track dispatch` starts one.");
    insta::assert_snapshot!(said[1], @"
    | When | Who | Verdict | Why | About |
    | --- | --- | --- | --- | --- |
    | TIME | mona | accepted (`answered`) | status was answered | – |
    ");
    assert!(said[2].contains("`/track dispatch [--agent A]"));
}

// B04
#[tokio::test]
async fn where_nothing_can_be_done_the_refusal_says_why() {
    let world = World::new().await;
    world.sim.commit_file(REPO, "topic", "topic.txt", "topic\n").await.unwrap();
    let pull = world.sim.open_pull(REPO, MAINTAINER, ("topic", "main"), ("A topic", "")).await.unwrap();
    let closed = world.issue("Done", "").await;
    world.sim.close(REPO, MAINTAINER, closed).await.unwrap();
    world.comment(MAINTAINER, pull, "/track dispatch").await;
    world.label(closed, "track").await;
    world.settle().await;
    insta::assert_snapshot!(world.only_comment(pull), @"`/track dispatch` works on issues and on pull requests that track opened; this pull request is somebody else's. Open an issue that says what to do, and dispatch there. `/track review` reviews this one.");
    insta::assert_snapshot!(world.only_comment(closed), @"This is closed. Reopen it first, then ask again.");

    let open = world.issue("Open", "").await;
    world.sim.settled().await;
    world.sim.set_archived(REPO, true).unwrap();
    world.comment(MAINTAINER, open, "/track dispatch").await;
    world.settle().await;
    assert_eq!(world.decisions(open).await[0], "refused archived");
    assert!(world.runs().await.is_empty());
}

// B04, B06
#[tokio::test]
async fn what_the_repository_lacks_is_said() {
    let world = World::new().await;
    let issue = world.issue("Say hello", "").await;
    world.comment(MAINTAINER, issue, "/track dispatch --base nowhere").await;
    world.settle().await;
    insta::assert_snapshot!(world.only_comment(issue), @"
    ❌ **Failed**: there is no branch `nowhere`: name another with `--base`, or in `.github/track.yml`.

    **Next:** Put that right; then `/track retry`, or `/track dispatch` with other options.

    | Agent | Runner |
    | --- | --- |
    | `scripted` | `local-1` |

    <sub>run `RUN` · asked by mona · branch `track/issue-1-LINE`</sub>
    ");

    let empty = "octo/empty";
    world.sim.add_repository(empty, &[]).await.unwrap();
    world.sim.set_role(empty, MAINTAINER, Role::Write).unwrap();
    let first = world.sim.open_issue(empty, MAINTAINER, ("Begin", ""), &["track"]).await.unwrap();
    world.settle().await;
    let comments = world.sim.comments(empty, first);
    assert_eq!(comments.len(), 1);
    insta::assert_snapshot!(world.readable(&comments[0].body), @"
    ❌ **Failed**: the repository is empty: push a first commit, then ask again.

    **Next:** Put that right; then `/track retry`, or `/track dispatch` with other options.

    | Agent | Runner |
    | --- | --- |
    | `scripted` | `local-1` |

    <sub>run `RUN` · asked by mona · branch `track/issue-1-LINE`</sub>
    ");
    assert!(world.starts().is_empty());
}

#[tokio::test]
async fn the_policy_of_the_repository_holds() {
    let world = World::with(|config| {
        let other: AgentConfig = config.agents["scripted"].clone();
        config.agents.insert("other".to_owned(), other);
    })
    .await;
    world.sim.commit_file(REPO, "main", ".github/track.yml", "agnet: other\n").await.unwrap();
    let issue = world.issue("Say hello", "").await;
    world.label(issue, "track").await;
    world.settle().await;
    insta::assert_snapshot!(world.only_comment(issue), @"`.github/track.yml`, line 1, column 1: there is no key `agnet`. Did you mean `agent`?");
    assert!(world.runs().await.is_empty());
    world.later(MINUTE);

    let good = "agent: other\nbase_branch: develop\ninstructions: Keep it short.\nlimits:\n  wall_minutes: 5\n";
    world.sim.commit_file(REPO, "main", ".github/track.yml", good).await.unwrap();
    world.sim.commit_file(REPO, "develop", "develop.txt", "develop\n").await.unwrap();
    world.label(issue, "track").await;
    world.settle().await;
    let run = world.runs().await.remove(0);
    assert_eq!((run.agent.as_str(), run.outcome), ("other", Some(Outcome::Succeeded)));
    assert!(world.prompt(run.id).contains("Keep it short."));
    assert_eq!(world.sim.pulls(REPO)[0].base_ref, "develop");
}

#[tokio::test]
async fn nobody_has_more_runs_an_hour_than_the_limit() {
    let world = World::with(|config| config.limits.runs_per_user_hour = 1).await;
    let (first, second) = (world.issue("One", "").await, world.issue("Two", "").await);
    world.label(first, "track").await;
    world.settle().await;
    world.label(second, "track").await;
    world.settle().await;
    assert_eq!(world.runs().await.len(), 1);
    insta::assert_snapshot!(world.only_comment(second), @"You have reached the limit of runs per person and hour (1 of 1, `runs_per_user_hour`). Ask again after TIME.");

    world.later(60 * MINUTE);
    world.label(second, "track").await;
    world.settle().await;
    assert_eq!(world.runs().await.len(), 2);
}

// B03, B06
#[tokio::test]
async fn a_dispatch_goes_on_with_the_open_line_or_opens_a_fresh_one() {
    let world = World::new().await;
    world.agent(COMMIT);
    let issue = world.issue("Say hello", "").await;
    world.label(issue, "track").await;
    world.settle().await;
    world.later(MINUTE);
    let first = world.sim.pulls(REPO).remove(0);

    // On the pull request it is the same as on the issue.
    world.comment(MAINTAINER, first.number, "/track dispatch once more").await;
    world.settle().await;
    world.later(MINUTE);
    let pulls = world.sim.pulls(REPO);
    assert_eq!(pulls.len(), 1);
    assert_ne!(pulls[0].head_sha, first.head_sha);
    assert_eq!(world.runs().await[0].given.as_ref().map(|sha| sha.as_str().to_owned()), Some(first.head_sha.clone()));

    world.comment(MAINTAINER, issue, "/track dispatch --fresh").await;
    world.settle().await;
    world.later(MINUTE);
    let pulls = world.sim.pulls(REPO);
    assert_eq!(pulls.len(), 2);
    let fresh = pulls.iter().find(|pull| pull.number != first.number).expect("another pull request");
    assert_ne!(fresh.head_ref, first.head_ref);
    let runs = world.runs().await;
    assert_eq!(
        world.sim.file_at(REPO, &fresh.head_ref, &format!("{}.txt", runs[2].id)).await,
        None,
        "nothing leaks in"
    );
}

// B03
#[tokio::test]
async fn a_pull_request_that_is_over_is_not_gone_on_with() {
    let world = World::new().await;
    world.agent(COMMIT);
    let issue = world.issue("Say hello", "").await;
    world.label(issue, "track").await;
    world.settle().await;
    world.later(MINUTE);
    let merged = world.sim.pulls(REPO).remove(0);
    world.sim.merge_pull(REPO, MAINTAINER, merged.number).await.unwrap();
    world.sim.reopen(REPO, MAINTAINER, issue).await.unwrap();
    world.label(issue, "track").await;
    world.settle().await;
    world.later(MINUTE);
    let closed = newest(&world);
    assert_ne!(closed.head_ref, merged.head_ref);

    // A pull request that was closed and opened again is the open one.
    world.sim.close(REPO, MAINTAINER, closed.number).await.unwrap();
    world.sim.reopen(REPO, MAINTAINER, closed.number).await.unwrap();
    world.settle().await;
    world.comment(MAINTAINER, issue, "/track dispatch").await;
    world.settle().await;
    world.later(MINUTE);
    assert_eq!(world.sim.pulls(REPO).len(), 2);

    world.sim.close(REPO, MAINTAINER, closed.number).await.unwrap();
    world.comment(MAINTAINER, issue, "/track dispatch").await;
    world.settle().await;
    world.later(MINUTE);
    let third = newest(&world);
    assert_eq!(world.sim.pulls(REPO).len(), 3);
    assert_ne!(third.head_ref, closed.head_ref);
}

fn newest(world: &World) -> track::sim::PullSnapshot {
    world.sim.pulls(REPO).into_iter().max_by_key(|pull| pull.number.0).expect("a pull request")
}
