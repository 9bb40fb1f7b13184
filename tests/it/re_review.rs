//! A further review of a pull request knows the ones before, and is made as they were.

use track::config::AgentConfig;
use track::db::runs::Run;
use track::model::{Number, Outcome};
use track::sim::Fault;

use crate::harness::{MAINTAINER, REPO, STRANGER, World};
use crate::review::{REVIEW, ours, reviewed, somebodys};

async fn newest(world: &World) -> Run {
    let run = world.runs().await.remove(0);
    assert_eq!(run.outcome, Some(Outcome::Succeeded), "{:?} {:?}", run.reason, run.detail);
    run
}

/// A pull request by somebody who may not write, and two people who may.
async fn outsiders(world: &World) -> Number {
    for login in ["lisa", "max"] {
        world.sim.add_user(login);
    }
    world.sim.set_role(REPO, "max", track::sim::Role::Write).expect("a role");
    world.sim.commit_file(REPO, "main", "long.txt", "one\ntwo\n").await.expect("a commit");
    world.sim.commit_file(REPO, "theirs", "long.txt", "one\nthree\n").await.expect("a commit");
    world.sim.open_pull(REPO, "lisa", ("theirs", "main"), ("Change it", "")).await.expect("a pull request")
}

const FINDING: &str = r#"review "One thing." "$(finding long.txt 2 'Off by one')""#;

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

// B31, B35
#[tokio::test]
async fn findings_that_github_did_not_take_as_a_review_are_known_to_the_next() {
    let world = World::new().await;
    let pull = somebodys(&world).await;
    world.agent(REVIEW);
    let refused =
        Fault::Status { code: 422, headers: Vec::new(), body: r#"{"message":"Unprocessable Entity"}"#.into() };
    world.fault(usize::MAX, |request| request.method == "POST" && request.path.ends_with("/reviews"), refused);
    reviewed(&world, pull, "/track review").await;
    world.sim.clear_faults();
    let first = newest(&world).await;
    assert_eq!((first.review_id, ours(&world, pull).len()), (None, 0));
    assert!(first.detail.expect("it is said").contains("GitHub did not take the review"));
    let comments = world.sim.comments(REPO, pull);
    let findings = comments.iter().find(|comment| comment.body.contains("Off by one")).expect("the findings");
    reviewed(&world, pull, "/track review").await;
    let prompt = world.prompt(newest(&world).await.id);
    let address = format!("/pull/{pull}#issuecomment-{}", findings.id);
    assert!(prompt.contains("Off by one") && prompt.contains(&address), "{prompt}");
    let told = world.decisions(pull).await;
    assert!(
        ["noted not_posted", "noted commented", "noted reviewed"].iter().all(|&one| told.contains(&one.to_owned())),
        "{told:?}"
    );
}

// B35
#[tokio::test]
async fn the_author_and_the_main_users_are_heard_and_nobody_else() {
    for (mains, heard, unheard) in [
        // Nobody is named: who asked for the earlier review is its main user.
        (&[][..], &["lisa", MAINTAINER][..], &["max", STRANGER][..]),
        (&["max"], &["lisa", "max"], &[MAINTAINER, STRANGER]),
    ] {
        let world =
            World::with(|config| config.main_user = mains.iter().map(|&login| login.to_owned()).collect()).await;
        let pull = outsiders(&world).await;
        world.agent(FINDING);
        reviewed(&world, pull, "/track review").await;
        let finding = ours(&world, pull)[0].comments[0].id;
        for who in ["lisa", MAINTAINER, "max", STRANGER] {
            let text = format!("So says {who}.");
            world.sim.reply_in_thread(REPO, who, pull, finding, &text).await.expect("a reply");
        }
        world.settle_soon().await;
        world.comment("max", pull, "/track review").await;
        world.settle_soon().await;
        let prompt = world.prompt(newest(&world).await.id);
        for (who, is_heard) in heard.iter().map(|who| (who, true)).chain(unheard.iter().map(|who| (who, false))) {
            assert_eq!(prompt.contains(&format!("So says {who}.")), is_heard, "{who} with {mains:?} in {prompt}");
        }
    }
}
