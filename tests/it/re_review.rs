//! A further review of a pull request knows the ones before, and is made as they were.

use track::config::AgentConfig;
use track::db::runs::Run;
use track::model::Outcome;

use crate::harness::{REPO, World};
use crate::review::{REVIEW, ours, reviewed, somebodys};

async fn newest(world: &World) -> Run {
    let run = world.runs().await.remove(0);
    assert_eq!(run.outcome, Some(Outcome::Succeeded), "{:?} {:?}", run.reason, run.detail);
    run
}

// B37
#[tokio::test]
async fn a_further_review_keeps_agent_and_instructions_whatever_is_configured_since() {
    let mut world = World::with(|config| {
        let scripted: AgentConfig = config.agents["scripted"].clone();
        config.agents.insert("retired".to_owned(), scripted);
    })
    .await;
    let policy = async |world: &World, text: &str| {
        world.sim.commit_file(REPO, "main", ".github/track.yml", text).await.expect("a policy");
    };
    policy(&world, "review_prompt: Mind the locks.\n").await;
    let pull = somebodys(&world).await;
    world.agent(REVIEW);
    reviewed(&world, pull, "/track review --agent retired --model m-1").await;
    assert!(world.prompt(newest(&world).await.id).contains("Mind the locks."));

    policy(&world, "review_prompt: Be kind.\nprofile: nobody\n").await;
    world.pass(120_000);
    reviewed(&world, pull, "/track review").await;
    let second = newest(&world).await;
    assert_eq!((second.agent.as_str(), second.model.as_deref()), ("retired", Some("m-1")));
    let prompt = world.prompt(second.id);
    assert!(prompt.contains("Mind the locks.") && !prompt.contains("Be kind."), "{prompt}");

    world.stop().await;
    world.config.agents.remove("retired");
    world.start().await;
    policy(&world, "review_prompt: Be kind.\n").await;
    world.pass(120_000);
    reviewed(&world, pull, "/track review").await;
    let third = newest(&world).await;
    assert_eq!((third.agent.as_str(), third.model.as_deref()), ("scripted", None));
    assert!(world.prompt(third.id).contains("Mind the locks."));
    let told = world.said(pull).pop().expect("a comment");
    assert!(
        told.contains("`retired`, which reviewed this before, is not configured any more, so `scripted` does it."),
        "{told}"
    );
    assert_eq!(ours(&world, pull).len(), 3);
}
