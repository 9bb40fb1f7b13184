//! Whose reviews become follow-ups, and when none does.

use track::model::{Kind, Number, Outcome};
use track::sim::Role;

use crate::follow_up::{opened, waiting};
use crate::harness::{MAINTAINER, REPO, World};

async fn says(world: &World, who: &str, pull: Number, text: &str) -> i64 {
    world.sim.review(REPO, who, pull, "CHANGES_REQUESTED", text, &[]).await.expect("a review")
}

async fn may_write(world: &World, login: &str) {
    world.sim.add_user(login);
    world.sim.set_role(REPO, login, Role::Write).expect("a role");
}

/// Reviews start nothing until they are wanted.
async fn paused(world: &World, pull: Number) {
    world.comment(MAINTAINER, pull, "/track pause").await;
    world.settle_soon().await;
}

// B20
#[tokio::test]
async fn a_request_that_names_a_reviewer_brings_only_what_she_said() {
    let world = World::new().await;
    may_write(&world, "alice").await;
    let (_, pull) = opened(&world).await;
    paused(&world, pull).await;
    says(&world, "alice", pull, "Shorter names.").await;
    says(&world, MAINTAINER, pull, "Longer names.").await;
    world.settle_soon().await;
    world.comment(MAINTAINER, pull, "/track followup do what @alice says").await;
    world.settle_soon().await;
    let run = world.runs().await.remove(0);
    assert_eq!((run.kind, run.outcome), (Kind::FollowUp, Some(Outcome::Succeeded)));
    let prompt = world.prompt(run.id);
    assert!(prompt.contains("Shorter names.") && !prompt.contains("Longer names."), "{prompt}");
    assert_eq!(waiting(&world).await, 1, "what the other one said is still open");
}

// B22, B24
#[tokio::test]
async fn reviews_of_two_main_users_become_one_follow_up() {
    let world = World::with(|config| config.main_user = vec![MAINTAINER.to_owned(), "lisa".to_owned()]).await;
    may_write(&world, "lisa").await;
    let (_, pull) = opened(&world).await;
    assert!(world.only_comment(pull).starts_with("@mona @lisa "), "{}", world.only_comment(pull));
    paused(&world, pull).await;
    says(&world, "lisa", pull, "Shorter names.").await;
    says(&world, MAINTAINER, pull, "More tests.").await;
    world.settle_soon().await;
    world.comment(MAINTAINER, pull, "/track resume").await;
    world.until_started(2).await;
    world.settle_soon().await;
    let runs = world.runs().await;
    assert_eq!((runs.len(), runs[0].automatic), (2, true));
    let prompt = world.prompt(runs[0].id);
    assert!(prompt.contains("Shorter names.") && prompt.contains("More tests."), "{prompt}");
}

// B22
#[tokio::test]
async fn a_dismissed_review_starts_nothing() {
    let world = World::new().await;
    let (issue, pull) = opened(&world).await;
    paused(&world, pull).await;
    let review = says(&world, MAINTAINER, pull, "Do it in Fortran.").await;
    world.until("it is kept", async || waiting(&world).await == 1).await;
    world.sim.dismiss_review(REPO, MAINTAINER, pull, review).await.expect("dismissed");
    world.comment(MAINTAINER, pull, "/track resume").await;
    world.until("it waits no more", async || waiting(&world).await == 0).await;
    world.settle_soon().await;
    assert_eq!(world.runs().await.len(), 1);
    assert!(
        world.decisions(issue).await.contains(&"ignored answered".to_owned()),
        "{:?}",
        world.decisions(issue).await
    );
}

// B22
#[tokio::test]
async fn a_repository_may_switch_follow_ups_off() {
    let world = World::new().await;
    let (issue, pull) = opened(&world).await;
    world.sim.commit_file(REPO, "main", ".github/track.yml", "follow_up: off\n").await.expect("a policy");
    world.pass(120_000);
    says(&world, MAINTAINER, pull, "More.").await;
    let record = "ignored follow_up_off".to_owned();
    world.until("it is recorded", async || world.decisions(issue).await.contains(&record)).await;
    world.settle_soon().await;
    assert_eq!(world.runs().await.len(), 1);
    world.comment(MAINTAINER, pull, "/track followup all the same").await;
    world.settle_soon().await;
    assert_eq!(world.runs().await[0].outcome, Some(Outcome::Succeeded));
    let last = world.said(pull).pop().expect("a comment");
    assert!(last.contains("to have more done, comment `/track followup <text>`"), "{last}");
}

// B25
#[tokio::test]
async fn nothing_follows_once_the_issue_is_closed() {
    let world = World::new().await;
    let (issue, pull) = opened(&world).await;
    world.sim.close(REPO, MAINTAINER, issue).await.expect("closed");
    world.settle_soon().await;
    says(&world, MAINTAINER, pull, "More.").await;
    let record = "ignored issue_closed".to_owned();
    world.until("it is recorded", async || world.decisions(issue).await.contains(&record)).await;
    world.settle_soon().await;
    assert_eq!(world.runs().await.len(), 1);
    assert_eq!(world.said(pull).len(), 1, "nobody asked in so many words, so nobody is told");
}
