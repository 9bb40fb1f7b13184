//! What is asked for beyond a limit: it is refused for now, and nothing that was said is lost.

use track::model::{Kind, Number, Outcome};
use track::sim::Role;

use crate::follow_up::WORK;
use crate::harness::{MAINTAINER, REPO, World};

const HOUR: i64 = 3_600_000;

/// The bot's pull request, opened by a run that used up what its requester may ask for in an hour.
async fn opened(world: &World, agent: &str) -> Number {
    world.agent(agent);
    world.work_on("Say hello", "").await;
    world.sim.pulls(REPO).remove(0).number
}

async fn review(world: &World, who: &str, pull: Number, body: &str) {
    world.sim.review(REPO, who, pull, "COMMENTED", body, &[("hello.txt", 1, "Here.")]).await.expect("a review");
    world.settle_soon().await;
}

// B23
#[tokio::test]
async fn a_review_whose_command_is_refused_by_a_limit_waits_until_there_is_room() {
    let world = World::with(|config| config.limits.runs_per_user_hour = 1).await;
    let pull = opened(&world, WORK).await;
    review(&world, MAINTAINER, pull, "Louder.\n\n/track followup with a test").await;
    insta::assert_snapshot!(world.said(pull)[1], @"You have reached the limit of runs per person and hour (1 of 1, `runs_per_user_hour`). Ask again after TIME. What else this review says is kept for the next follow-up.");
    world.pass(30 * 60_000);
    world.settle_soon().await;
    assert_eq!(world.runs().await.len(), 1, "there is no room yet");
    world.pass(HOUR / 2);
    world.until_started(2).await;
    world.settle_soon().await;
    let run = world.runs().await.remove(0);
    assert_eq!((run.kind, run.automatic, run.outcome), (Kind::FollowUp, true, Some(Outcome::Succeeded)));
    let prompt = world.prompt(run.id);
    assert!(prompt.contains("Louder.") && prompt.contains("Here."), "{prompt}");
    world.pass(2 * HOUR);
    world.settle_soon().await;
    assert_eq!(world.runs().await.len(), 2, "it is answered");
}

// B23
#[tokio::test]
async fn the_next_follow_up_carries_what_was_put_off_whoever_asks() {
    let world = World::with(|config| {
        config.limits.runs_per_user_hour = 1;
        config.main_user = vec![MAINTAINER.to_owned()];
    })
    .await;
    for who in ["lisa", "otto"] {
        world.sim.add_user(who);
        world.sim.set_role(REPO, who, Role::Write).expect("a role");
    }
    let pull = opened(&world, WORK).await;
    let other = world.issue("Something else", "").await;
    world.comment("lisa", other, "/track dispatch").await;
    world.settle_soon().await;
    review(&world, "lisa", pull, "Softer.\n\n/track followup and shorter").await;
    // A follow-up that no word of hers belongs into, for she is no main user, ends well in between.
    review(&world, MAINTAINER, pull, "Louder.").await;
    assert!(!world.prompt(world.runs().await[0].id).contains("Softer."));
    world.comment("otto", pull, "/track followup what is left").await;
    world.settle_soon().await;
    let run = world.runs().await.remove(0);
    assert_eq!((run.automatic, run.outcome), (false, Some(Outcome::Succeeded)));
    let prompt = world.prompt(run.id);
    assert!(prompt.contains("Softer.") && !prompt.contains("Louder."), "{prompt}");
    world.pass(2 * HOUR);
    world.settle_soon().await;
    assert_eq!(world.runs().await[0].id, run.id, "only reviews of main users start follow-ups");
}

// B24
#[tokio::test]
async fn reviews_wait_while_the_money_of_the_day_is_spent() {
    let world = World::with(|config| config.limits.cost_usd_per_day = 1.0).await;
    let spend = r#"echo '{"type":"usage","input_tokens":1,"output_tokens":1,"cost_usd":0.75}'"#;
    let pull = opened(&world, &format!("{spend}\n{WORK}")).await;
    review(&world, MAINTAINER, pull, "Louder.").await;
    assert_eq!(world.runs().await.len(), 2);
    for n in 0..2 {
        review(&world, MAINTAINER, pull, &format!("And again {n}.")).await;
    }
    let told: Vec<_> = world.said(pull).into_iter().filter(|text| text.contains("the limit")).collect();
    assert_eq!(told.len(), 1, "{told:?}");
    insta::assert_snapshot!(told[0], @"The runs of the last 24 hours cost $1.50, and $1.00 a day is the limit (`cost_usd_per_day`). What was said waits, and becomes a follow-up after TIME.");
    review(&world, MAINTAINER, pull, "Now.\n\n/track followup and soon").await;
    assert_eq!(world.runs().await.len(), 2);
    world.pass(24 * HOUR);
    world.until_started(3).await;
    world.settle_soon().await;
    let run = world.runs().await.remove(0);
    assert_eq!((world.runs().await.len(), run.outcome), (3, Some(Outcome::Succeeded)));
    let prompt = world.prompt(run.id);
    assert!(["And again 0.", "And again 1.", "Now."].iter().all(|said| prompt.contains(said)), "{prompt}");
}
