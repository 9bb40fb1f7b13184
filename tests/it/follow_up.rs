//! The main user reviews the bot's pull request, and the bot goes on by itself.

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use track::config::FollowUp;
use track::model::{Kind, LineState, Number, Outcome, Status};
use track::sim::Fault;

use crate::harness::{MAINTAINER, REPO, STRANGER, World};

pub const WORK: &str = r#"if [ "$TRACK_KIND" = follow_up ]; then
    commit "more-$TRACK_RUN_ID.txt" more "feat: more"
    answer_all fixed "Did as asked."
else
    commit hello.txt hello "feat: say hello"
    answer succeeded "Said hello." "feat: say hello"
fi"#;

/// A pull request of the bot's, and the issue that it is for.
pub async fn opened(world: &World) -> (Number, Number) {
    world.agent(WORK);
    let issue = world.work_on("Say hello", "").await;
    let pull = world.sim.pulls(REPO).remove(0);
    (issue, pull.number)
}

async fn review(world: &World, pull: Number, body: &str, comments: &[(&str, u32, &str)]) -> i64 {
    world.sim.review(REPO, MAINTAINER, pull, "CHANGES_REQUESTED", body, comments).await.expect("a review")
}

/// Bodies of the answers in the thread of a review comment.
fn answers(world: &World, pull: Number, root: i64) -> Vec<String> {
    let reviews = world.sim.reviews(REPO, pull);
    let comments = reviews.iter().flat_map(|review| &review.comments);
    let answers = comments.filter(|comment| comment.in_reply_to == Some(root) && comment.author_is_app);
    answers.map(|comment| world.readable(&comment.body)).collect()
}

fn line_comments(world: &World, pull: Number) -> Vec<i64> {
    let reviews = world.sim.reviews(REPO, pull);
    reviews.iter().flat_map(|review| &review.comments).filter(|c| !c.author_is_app).map(|c| c.id).collect()
}

// B22, B23, B26
#[tokio::test]
async fn a_review_becomes_a_follow_up_that_answers_every_comment_once() {
    let world = World::new().await;
    let (issue, pull) = opened(&world).await;
    review(&world, pull, "Two things.", &[("hello.txt", 1, "Say it louder."), ("hello.txt", 1, "And @eve?")]).await;
    world.settle_soon().await;

    let run = world.runs().await.remove(0);
    assert_eq!((run.kind, run.outcome, run.automatic), (Kind::FollowUp, Some(Outcome::Succeeded), true));
    assert_eq!(world.sim.pulls(REPO).len(), 1);
    let prompt = world.prompt(run.id);
    assert!(
        prompt.contains("Two things.") && prompt.contains("Say it louder.") && prompt.contains("+hello"),
        "{prompt}"
    );
    let comments = line_comments(&world, pull);
    assert_eq!(comments.len(), 2);
    for comment in &comments {
        assert_eq!(answers(&world, pull, *comment), [format!("**Fixed** in `SHA`. About {comment}.")]);
        assert!(world.sim.thread_resolved(REPO, pull, *comment));
    }
    insta::assert_snapshot!(world.said(pull).join("\n----\n"), @"
    @mona `scripted` pushed `SHA` for #1. Please have a look; a review that comments or requests changes makes me follow up, and so does `/track followup <text>`.
    ----
    ✅ **Done**: #2 at [`SHA`](https://github.test/octo/hello/commit/SHA).

    Did as asked.

    | Comment | Disposition | Commit |
    | --- | --- | --- |
    | `hello.txt:1` by mona | fixed | `SHA` |
    | `hello.txt:1` by mona | fixed | `SHA` |

    | Agent | Runner | Took | Changes |
    | --- | --- | --- | --- |
    | `scripted` | `local-1` | TIME | 1 commit, 1 file (+1 −0) |

    <sub>run `RUN` · asked by mona · branch `track/issue-1-LINE`</sub>
    ----
    @mona `scripted` pushed `SHA` for #1. Please have a look; a review that comments or requests changes makes me follow up, and so does `/track followup <text>`.
    ");
    assert_eq!(world.said(issue).len(), 1, "the follow-up is told on the pull request");
}

// B24
#[tokio::test]
async fn lone_comments_wait_for_each_other_and_become_one_follow_up() {
    let world = World::new().await;
    let (_, pull) = opened(&world).await;
    let first = world.sim.line_comment(REPO, MAINTAINER, pull, "hello.txt", 1, "Louder.").await.expect("a comment");
    world.sim.settled().await;
    world.until("it is kept", async || waiting(&world).await == 1).await;
    world.pass(30_000);
    world.sim.reply_in_thread(REPO, MAINTAINER, pull, first, "Much louder.").await.expect("a reply");
    world.until("both are kept", async || waiting(&world).await == 2).await;
    world.pass(30_000);
    world.settle().await;
    assert_eq!(world.runs().await.len(), 1, "it is not quiet yet");
    world.pass(20_000);
    world.until_started(2).await;
    world.settle_soon().await;
    let runs = world.runs().await;
    assert_eq!((runs.len(), runs[0].outcome), (2, Some(Outcome::Succeeded)));
    assert_eq!(answers(&world, pull, first).len(), 2, "the comment and the reply to it have one answer each");
}

pub async fn waiting(world: &World) -> usize {
    let mut conn = world.db().read().await.expect("the database");
    let line = track::db::runs::filtered(&mut conn, &track::db::runs::Filter { repo: None, number: None, limit: 1 })
        .await
        .expect("runs")[0]
        .line
        .expect("a line");
    track::db::triggers::waiting_for(&mut conn, line).await.expect("triggers").len()
}

// B24
#[tokio::test]
async fn feedback_during_a_run_waits_and_becomes_one_follow_up() {
    let world = World::new().await;
    let (_, pull) = opened(&world).await;
    world.agent(r#"await go; commit "f-$TRACK_RUN_ID" x "feat: x"; answer_all answered "Did.""#);
    world.comment(MAINTAINER, pull, "/track followup more").await;
    world.until_started(2).await;
    for n in 0..4 {
        review(&world, pull, &format!("Review {n}."), &[]).await;
    }
    world.until("all are kept", async || waiting(&world).await == 4).await;
    world.signal("go");
    world.settle_soon().await;
    let runs = world.runs().await;
    assert_eq!(runs.len(), 3);
    let prompt = world.prompt(runs[0].id);
    assert!((0..4).all(|n| prompt.contains(&format!("Review {n}."))), "{prompt}");
}

// B22
#[tokio::test]
async fn approvals_other_people_and_bots_start_nothing() {
    let world = World::new().await;
    let (_, pull) = opened(&world).await;
    world.sim.add_user("lisa");
    world.sim.set_role(REPO, "lisa", track::sim::Role::Write).expect("a role");
    for (who, state) in [(MAINTAINER, "APPROVED"), (STRANGER, "CHANGES_REQUESTED"), ("lisa", "COMMENTED")] {
        world.sim.review(REPO, who, pull, state, "Do more.", &[("hello.txt", 1, "Here.")]).await.expect("a review");
    }
    world.settle().await;
    world.pass(60_000);
    world.settle().await;
    assert_eq!(world.runs().await.len(), 1);
    world.comment(MAINTAINER, pull, "/track why").await;
    world.settle_soon().await;
    let why = world.said(pull).pop().expect("an answer");
    for reason in ["verdict", "not_main_user", "stranger"] {
        assert!(why.contains(reason), "{why}");
    }
}

// B22, B25
#[tokio::test]
async fn nothing_follows_where_it_is_switched_off_or_over() {
    let world = World::with(|config| config.follow_up = FollowUp::Off).await;
    let (_, pull) = opened(&world).await;
    review(&world, pull, "More.", &[]).await;
    world.settle().await;
    assert_eq!(world.runs().await.len(), 1);
    assert!(
        world.said(pull)[0].contains("to have more done, comment `/track followup <text>`"),
        "{:?}",
        world.said(pull)
    );

    let world = World::new().await;
    let (_, pull) = opened(&world).await;
    world.sim.merge_pull(REPO, MAINTAINER, pull).await.expect("a merge");
    review(&world, pull, "More.", &[]).await;
    world.settle().await;
    assert_eq!(world.runs().await.len(), 1);
}

#[tokio::test]
async fn a_pause_keeps_feedback_until_it_is_over() {
    let world = World::new().await;
    let (_, pull) = opened(&world).await;
    world.comment(MAINTAINER, pull, "/track pause").await;
    world.settle_soon().await;
    review(&world, pull, "More.", &[]).await;
    world.settle_soon().await;
    assert_eq!(world.runs().await.len(), 1);
    world.comment(MAINTAINER, pull, "/track resume").await;
    world.settle_soon().await;
    world.until("the follow-up", async || world.runs().await.len() == 2).await;
    world.settle_soon().await;
    insta::assert_snapshot!(world.said(pull)[1..3].join("\n--\n"), @"
    Reviews of #2 start no follow-ups from now on; `/track followup <text>` still does. `/track resume` turns them on again.
    --
    Reviews of #2 start follow-ups again, and what was said meanwhile is taken up.
    ");
}

#[tokio::test]
async fn after_so_many_rounds_people_are_told_how_to_go_on() {
    let world = World::with(|config| config.limits.followups_per_day = 1).await;
    let (_, pull) = opened(&world).await;
    for n in 0..3 {
        review(&world, pull, &format!("Again {n}."), &[]).await;
        world.settle_soon().await;
    }
    assert_eq!(world.runs().await.len(), 2);
    let told: Vec<_> = world.said(pull).into_iter().filter(|text| text.contains("which is the limit")).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    world.comment(MAINTAINER, pull, "/track followup go on").await;
    world.settle_soon().await;
    let runs = world.runs().await;
    assert_eq!((runs.len(), runs[0].automatic), (3, false));
    assert!(world.prompt(runs[0].id).contains("Again 2."), "what was left open is carried by the next follow-up");
}

// B23
#[tokio::test]
async fn what_a_failed_follow_up_was_given_stays_open() {
    let world = World::new().await;
    let (_, pull) = opened(&world).await;
    world.agent("answer failed 'No.'");
    review(&world, pull, "Fix it.", &[("hello.txt", 1, "Here.")]).await;
    world.settle_soon().await;
    assert_eq!(world.runs().await[0].outcome, Some(Outcome::Failed));
    let comment = line_comments(&world, pull)[0];
    assert_eq!(answers(&world, pull, comment), Vec::<String>::new());
    world.agent(WORK);
    world.comment(MAINTAINER, pull, "/track retry").await;
    world.settle_soon().await;
    assert_eq!(world.runs().await[0].outcome, Some(Outcome::Succeeded));
    assert_eq!(answers(&world, pull, comment).len(), 1);
}

#[tokio::test]
async fn an_answer_without_all_comments_is_asked_for_once_more() {
    let world = World::new().await;
    let (_, pull) = opened(&world).await;
    world.agent(
        r#"echo "$prompt" >"$TRACK_TEST_LOG/turn-$(ls "$TRACK_TEST_LOG" | grep -c turn-)"
        if grep -q 'Your answer lacks something' <<<"$prompt"; then answer_all answered "Both."; else
        answer_all answered "One." "$(listed_comments | head -n 1)"; fi"#,
    );
    review(&world, pull, "", &[("hello.txt", 1, "One."), ("hello.txt", 1, "Two.")]).await;
    world.settle_soon().await;
    let run = world.runs().await.remove(0);
    assert_eq!((run.outcome, run.turn), (Some(Outcome::Succeeded), 2), "{:?} {:?}", run.reason, run.detail);
    for comment in line_comments(&world, pull) {
        assert_eq!(answers(&world, pull, comment).len(), 1);
    }
    world.agent("answer succeeded 'Nothing.'");
    review(&world, pull, "", &[("hello.txt", 1, "Three."), ("hello.txt", 1, "Four.")]).await;
    world.settle_soon().await;
    let run = world.runs().await.remove(0);
    assert_eq!((run.outcome, run.turn), (Some(Outcome::Failed), 2));
    assert!(run.detail.expect("a reason").contains("no entry for review comment"));
}

// B20
#[tokio::test]
async fn somebody_with_write_access_follows_up_on_issue_or_pull_request() {
    let world = World::new().await;
    let (issue, pull) = opened(&world).await;
    world.comment(STRANGER, pull, "/track followup break it").await;
    world.comment(MAINTAINER, issue, "/track follow-up use a constant").await;
    world.settle_soon().await;
    let run = world.runs().await.remove(0);
    assert_eq!((run.kind, run.pull, run.agent.as_str()), (Kind::FollowUp, Some(pull), "scripted"));
    assert!(world.prompt(run.id).contains("use a constant"));
    assert_eq!(world.said(issue).len(), 2);
    world.comment(MAINTAINER, issue, "/track followup").await;
    world.settle_soon().await;
    assert!(world.said(issue)[2].contains("Usage: `/track followup [--fresh] <text>`"), "{:?}", world.said(issue));
    let other = world.issue("Nothing yet", "").await;
    world.comment(MAINTAINER, other, "/track followup more").await;
    world.settle_soon().await;
    insta::assert_snapshot!(world.only_comment(other), @"There is no work here to go on with. `/track dispatch` starts the first run.");
}

// B20
#[tokio::test]
async fn a_closed_pull_request_is_opened_again_and_a_merged_one_refused() {
    let world = World::new().await;
    let (issue, pull) = opened(&world).await;
    world.sim.close(REPO, MAINTAINER, pull).await.expect("closed");
    world.settle_soon().await;
    world.comment(MAINTAINER, pull, "/track followup more").await;
    world.settle_soon().await;
    let pulls = world.sim.pulls(REPO);
    assert_eq!((pulls.len(), pulls[0].state), (1, "open"));
    assert_eq!(world.runs().await[0].outcome, Some(Outcome::Succeeded));

    world.sim.merge_pull(REPO, MAINTAINER, pull).await.expect("a merge");
    world.sim.reopen(REPO, MAINTAINER, issue).await.ok();
    world.settle_soon().await;
    world.comment(MAINTAINER, pull, "/track followup more").await;
    world.settle_soon().await;
    let said = world.said(pull).pop().expect("an answer");
    assert!(said.contains("`/track followup --fresh <text>`"), "{said}");
    world.comment(MAINTAINER, pull, "/track followup --fresh and tests").await;
    world.settle_soon().await;
    let run = world.runs().await.remove(0);
    assert_eq!((run.kind, run.outcome), (Kind::FollowUp, Some(Outcome::Succeeded)));
    assert_eq!(world.sim.pulls(REPO).len(), 2);
}

#[tokio::test]
async fn what_somebody_pushed_meanwhile_stays_below_the_agents_commits() {
    let world = World::new().await;
    let (_, pull) = opened(&world).await;
    world.agent(r#"await go; commit mine.txt mine "feat: mine"; answer_all answered "Did.""#);
    world.comment(MAINTAINER, pull, "/track followup more").await;
    world.until_started(2).await;
    let branch = world.sim.pulls(REPO)[0].head_ref.clone();
    let theirs = world.sim.commit_file(REPO, &branch, "theirs.txt", "theirs\n").await.expect("a commit");
    world.signal("go");
    world.settle_soon().await;
    assert_eq!(world.runs().await[0].outcome, Some(Outcome::Succeeded), "{:?}", world.runs().await[0].detail);
    let log = world.git_at_github(&["log", "--format=%H %s", &branch]);
    assert!(log.contains(&theirs) && log.starts_with(&world.sim.pulls(REPO)[0].head_sha), "{log}");
    assert!(log.lines().next().expect("a commit").ends_with("feat: mine"), "{log}");
}

#[tokio::test]
async fn what_an_earlier_run_left_unpublished_is_gone_on_with() {
    let world = World::new().await;
    let (_, pull) = opened(&world).await;
    world.agent(r#"commit half.txt half "feat: half"; answer blocked "Which half?""#);
    world.comment(MAINTAINER, pull, "/track followup more").await;
    world.settle_soon().await;
    let kept = world.runs().await[0].result.clone().expect("it is kept");
    world.agent(WORK);
    world.comment(MAINTAINER, pull, "/track followup the left one").await;
    world.settle_soon().await;
    let run = world.runs().await.remove(0);
    assert_eq!((run.outcome, run.given.as_ref()), (Some(Outcome::Succeeded), Some(&kept)));
    let note = run.session_note.expect("it is said");
    assert!(note.contains("which an earlier run left unpublished"), "{note}");
    let branch = &world.sim.pulls(REPO)[0].head_ref;
    assert!(world.git_at_github(&["log", "--format=%H", branch]).contains(kept.as_str()));
}

// B01
#[tokio::test]
async fn a_review_that_holds_a_command_is_one_run_with_both() {
    let world = World::new().await;
    let (_, pull) = opened(&world).await;
    review(&world, pull, "Please.\n\n/track followup shorter", &[("hello.txt", 1, "Here.")]).await;
    world.settle_soon().await;
    world.pass(120_000);
    world.settle_soon().await;
    let runs = world.runs().await;
    assert_eq!((runs.len(), runs[0].automatic), (2, false));
    let prompt = world.prompt(runs[0].id);
    assert!(prompt.contains("shorter") && prompt.contains("Here."), "{prompt}");
}

#[tokio::test]
async fn a_restart_in_any_state_loses_no_follow_up() {
    let mut world = World::new().await;
    let (_, pull) = opened(&world).await;
    world.agent(&format!("await go\n{WORK}"));
    world.stop().await;
    review(&world, pull, "Take one.", &[("hello.txt", 1, "Here.")]).await;
    world.start().await;
    world
        .until("it was found", async || {
            let _ = track::inbox::sweep::sweep(world.bot().context()).await;
            world.bot().context().wake.inbox.notify_one();
            world.runs().await.len() == 2
        })
        .await;
    world.until_status(Status::Running).await;
    world.stop().await;
    world.start().await;
    world.signal("go");
    world.settle_soon().await;
    let runs = world.runs().await;
    assert_eq!((runs.len(), runs[0].outcome), (2, Some(Outcome::Succeeded)));
    assert_eq!(world.starts().len(), 2);
    assert_eq!(answers(&world, pull, line_comments(&world, pull)[0]).len(), 1);
    let mut conn = world.db().read().await.expect("the database");
    let line = track::db::lines::by_pull(&mut conn, runs[0].repository, pull).await.expect("lines").expect("a line");
    assert_eq!((line.state, line.follow_up_at), (LineState::Open, None));
}

// B02
#[tokio::test]
async fn a_request_during_a_run_is_kept_and_takes_the_reviews_along() {
    let world = World::new().await;
    let (_, pull) = opened(&world).await;
    world.agent(r#"await go; commit "f-$TRACK_RUN_ID" x "feat: x"; answer_all answered "Did.""#);
    world.comment(MAINTAINER, pull, "/track followup more").await;
    world.until_started(2).await;
    world.comment(MAINTAINER, pull, "/track pause").await;
    world.comment(MAINTAINER, pull, "/track followup with a test").await;
    review(&world, pull, "And louder.\n\n/track followup and a changelog", &[("hello.txt", 1, "Here.")]).await;
    world.until("all are kept", async || waiting(&world).await == 3).await;
    let kept = || world.said(pull).into_iter().find(|text| text.contains("kept"));
    world.until("it is said", async || kept().is_some()).await;
    insta::assert_snapshot!(kept().expect("an answer"), @"Run `RUN` is still running here. This is kept, and becomes a follow-up when it is over.");
    world.signal("go");
    world.settle_soon().await;
    world.until("the follow-up", async || world.runs().await.len() == 3).await;
    world.settle_soon().await;
    let runs = world.runs().await;
    assert_eq!((runs.len(), runs[0].automatic, runs[0].outcome), (3, false, Some(Outcome::Succeeded)));
    assert_eq!(runs[0].ask.instructions, "with a test\n\nand a changelog");
    let prompt = world.prompt(runs[0].id);
    assert!(prompt.contains("And louder.") && prompt.contains("Here."), "{prompt}");
}

// B23: a review that comes while GitHub is asked about the one before is in no prompt yet, and is not taken for answered.
#[tokio::test]
async fn a_review_that_comes_while_another_is_acted_on_gets_a_follow_up_of_its_own() {
    let world = World::new().await;
    let (_, pull) = opened(&world).await;
    let list = format!("/pulls/{pull}/comments");
    let held = world.fault(
        1,
        move |request| request.method == "GET" && request.path.contains(&list),
        Fault::Delay(Duration::from_millis(600)),
    );
    review(&world, pull, "The first.", &[]).await;
    world.until("GitHub is asked", async || held.load(SeqCst) == 1).await;
    review(&world, pull, "The second.", &[]).await;
    world.settle_soon().await;
    world.until("nothing waits", async || waiting(&world).await == 0).await;
    world.settle_soon().await;
    let runs = world.runs().await;
    for words in ["The first.", "The second."] {
        let mut given = 0;
        for run in runs.iter().filter(|run| run.kind == Kind::FollowUp) {
            given += usize::from(world.prompt(run.id).contains(words));
        }
        assert!(given >= 1, "nobody was given {words:?}");
    }
}

// B20
#[tokio::test]
async fn answers_of_earlier_follow_ups_are_no_feedback() {
    let world = World::new().await;
    let (issue, pull) = opened(&world).await;
    review(&world, pull, "", &[("hello.txt", 1, "Louder."), ("hello.txt", 1, "Shorter.")]).await;
    world.settle_soon().await;
    world.agent(r#"answer_all answered "It is so already.""#);
    world.comment(MAINTAINER, issue, "/track followup and is it tested?").await;
    world.settle_soon().await;
    let run = world.runs().await.remove(0);
    assert_eq!(run.feedback.expect("it is looked for").comments, []);
}

// B23
#[tokio::test]
async fn comments_are_answered_on_the_pull_request_wherever_the_follow_up_was_asked_for() {
    let world = World::new().await;
    let (issue, pull) = opened(&world).await;
    world.comment(MAINTAINER, pull, "/track pause").await;
    world.settle_soon().await;
    review(&world, pull, "", &[("hello.txt", 1, "Why?"), ("hello.txt", 1, "How?")]).await;
    world.settle_soon().await;
    world.agent(r#"answer_all answered "Nothing is to be changed.""#);
    world.comment(MAINTAINER, issue, "/track followup answer them").await;
    world.settle_soon().await;
    for comment in line_comments(&world, pull) {
        assert_eq!(answers(&world, pull, comment), [format!("**Answered**. About {comment}.")]);
        assert!(!world.sim.thread_resolved(REPO, pull, comment));
    }
}

#[tokio::test]
async fn a_thread_with_an_open_question_is_not_resolved() {
    let world = World::new().await;
    let (_, pull) = opened(&world).await;
    world.comment(MAINTAINER, pull, "/track pause").await;
    let root = world.sim.line_comment(REPO, MAINTAINER, pull, "hello.txt", 1, "Louder.").await.expect("a comment");
    world.sim.reply_in_thread(REPO, MAINTAINER, pull, root, "Or in Welsh?").await.expect("a reply");
    world.settle_soon().await;
    world.agent(
        r#"commit loud.txt loud "feat: louder"; set -- $(listed_comments)
        printf '{"status":"succeeded","summary":"One.","pull_request_title":null,"pull_request_body":null,"notes":null,"replies":[{"comment_id":%s,"disposition":"fixed","body":"Done."},{"comment_id":%s,"disposition":"needs_you","body":"Which?"}]}' "$1" "$2" >"$TRACK_RESULT_FILE""#,
    );
    world.comment(MAINTAINER, pull, "/track followup both").await;
    world.settle_soon().await;
    assert_eq!(answers(&world, pull, root).len(), 2);
    assert!(!world.sim.thread_resolved(REPO, pull, root));
}

// B22
#[tokio::test]
async fn a_review_that_is_only_a_command_asks_for_no_follow_up() {
    let world = World::new().await;
    let (_, pull) = opened(&world).await;
    review(&world, pull, "/track status", &[]).await;
    world.settle_soon().await;
    world.pass(60_000);
    world.settle_soon().await;
    assert_eq!(world.runs().await.len(), 1);
    assert!(world.decisions(Number(1)).await.iter().any(|record| record.contains("answered")));
}

// B25
#[tokio::test]
async fn feedback_on_what_is_gone_is_settled_with_a_reason() {
    let world = World::new().await;
    let (issue, pull) = opened(&world).await;
    world.sim.line_comment(REPO, MAINTAINER, pull, "hello.txt", 1, "Louder.").await.expect("a comment");
    world.sim.settled().await;
    world.until("it is kept", async || waiting(&world).await == 1).await;
    world.sim.delete_issue(REPO, MAINTAINER, issue).await.expect("deleted");
    world.settle().await;
    world.pass(60_000);
    world.until("it waits no more", async || waiting(&world).await == 0).await;
    assert_eq!(world.runs().await.len(), 1);
    let records = world.decisions(issue).await;
    assert!(records.iter().any(|record| record.contains("refused") && record.contains("unavailable")), "{records:?}");
}

// B20
#[tokio::test]
async fn a_deleted_branch_is_followed_up_from_the_bots_copy() {
    let world = World::new().await;
    let (_, pull) = opened(&world).await;
    let branch = world.sim.pulls(REPO)[0].head_ref.clone();
    world.sim.close(REPO, MAINTAINER, pull).await.expect("closed");
    world.sim.delete_branch(REPO, MAINTAINER, &branch).await.expect("deleted");
    world.settle_soon().await;
    world.comment(MAINTAINER, pull, "/track followup more").await;
    world.settle_soon().await;
    let run = world.runs().await.remove(0);
    assert_eq!(run.outcome, Some(Outcome::Succeeded), "{:?}", run.detail);
    let note = run.session_note.expect("it is said");
    assert!(note.contains("from the bot's copy"), "{note}");
    let log = world.git_at_github(&["log", "--format=%s", &branch]);
    assert!(log.contains("feat: say hello") && log.contains("feat: more"), "{log}");
}

// P3
#[tokio::test]
async fn kept_work_is_published_also_where_nothing_is_left_to_add() {
    let world = World::new().await;
    let (_, pull) = opened(&world).await;
    world.agent(r#"commit half.txt half "feat: half"; answer blocked "Is half enough?""#);
    world.comment(MAINTAINER, pull, "/track followup more").await;
    world.settle_soon().await;
    let kept = world.runs().await[0].result.clone().expect("it is kept");
    world.agent("answer blocked 'Still wondering.'");
    world.comment(MAINTAINER, pull, "/track followup go on").await;
    world.settle_soon().await;
    world.agent("answer succeeded 'Half is enough.'");
    world.comment(MAINTAINER, pull, "/track followup half is enough").await;
    world.settle_soon().await;
    let run = world.runs().await.remove(0);
    assert_eq!((run.outcome, run.pushed.as_ref()), (Some(Outcome::Succeeded), Some(&kept)));
    assert_eq!(world.sim.pulls(REPO)[0].head_sha, kept.as_str());
}
