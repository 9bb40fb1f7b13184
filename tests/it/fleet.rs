//! Runners that are drained and changed while runs go on.

use rustix::process::Signal;
use track::config::{RunnerConfig, Sandbox};
use track::model::{Number, Status};

use crate::harness::{World, process::printed};

async fn labelled(world: &World) -> Number {
    let issue = world.issue("Say hello", "").await;
    world.label(issue, "track").await;
    issue
}

/// What a command said that was carried out.
async fn done(world: &World, words: &[&str]) -> String {
    let output = world.run_track(words).await;
    assert!(output.status.success(), "{words:?}: {:?}", printed(&output));
    printed(&output).0
}

/// Why a command was refused.
async fn refused(world: &World, words: &[&str]) -> String {
    let output = world.run_track(words).await;
    assert_eq!(output.status.code(), Some(1), "{words:?}: {:?}", printed(&output));
    printed(&output).1
}

#[tokio::test]
async fn a_drained_runner_finishes_what_it_has_and_takes_nothing_new() {
    let mut world = World::new().await;
    world.agent("await go; answer succeeded 'Nothing to do.'");
    world.serve().await;
    labelled(&world).await;
    world.until_started(1).await;
    insta::assert_snapshot!(done(&world, &["runner", "drain", "local-1"]).await, @"local-1 takes no new runs. Those on it go on; `track runner undrain local-1` has it take runs again.");
    let second = labelled(&world).await;
    world.until("it waits", async || world.said(second).len() == 1).await;
    assert!(
        world.only_comment(second).contains("every runner is drained; `track runner undrain` has one take runs again"),
        "{}",
        world.only_comment(second)
    );

    // Over a restart, too.
    world.end(Signal::TERM).await;
    world.serve().await;
    assert!(done(&world, &["runner", "list"]).await.contains("ready, drained"));
    world.signal("go");
    world.until("the first is over", async || world.runs().await[1].status == Status::Done).await;
    assert_eq!((world.starts().len(), world.runs().await[0].status), (1, Status::Queued));

    done(&world, &["runner", "undrain", "local-1"]).await;
    world.settle().await;
    assert_eq!(world.starts().len(), 2);
    assert!(refused(&world, &["runner", "drain", "nobody"]).await.contains("there is no runner nobody"));
}

// B44
#[tokio::test]
async fn a_runner_is_changed_in_form_at_any_time_and_in_place_when_nothing_is_live() {
    let mut world = World::new().await;
    let given = world.config.runners.remove(0);
    world.agent("await go; answer succeeded 'Nothing to do.'");
    world.serve().await;
    let RunnerConfig { root, prelude, read_only, read_write, .. } = &given;
    done(
        &world,
        &[
            "runner",
            "add",
            "here",
            "--local",
            "--root",
            root,
            "--prelude",
            prelude,
            "--read-only",
            &read_only[0],
            "--read-write",
            &read_write[0],
        ],
    )
    .await;
    labelled(&world).await;
    let run = world.until_status(Status::Running).await;

    let changed = ["runner", "edit", "here", "--slots", "7", "--agent", "scripted"];
    insta::assert_snapshot!(done(&world, &changed).await, @"here is changed; live runs go on as they were started. Next: track runner check here");
    let moved = ["runner", "edit", "here", "--root", "/srv/elsewhere"];
    let why = refused(&world, &moved).await;
    assert!(why.contains(&format!("has live runs: {}", run.id)), "{why}");
    let wrong = refused(&world, &["runner", "edit", "here", "--agent", "nobody"]).await;
    assert!(wrong.contains("nobody"), "{wrong}");
    assert!(
        refused(&world, &["runner", "edit", "here", "--user", "me"]).await.contains("no meaning for a local runner")
    );
    assert!(done(&world, &["runner", "list"]).await.contains("1/7"));
    world.signal("go");
    world.settle().await;
    assert_eq!(world.runs().await[0].runner.as_deref(), Some("here"));

    done(&world, &moved).await;
    let mut conn = world.db().read().await.expect("the database");
    let stored = track::db::runners::all(&mut conn).await.expect("runners").remove(0);
    assert_eq!((stored.root.as_str(), stored.slots, &stored.prelude), ("/srv/elsewhere", 7, prelude));
    assert_eq!((stored.agent.as_deref(), stored.sandbox), (Some("scripted"), Sandbox::Bubblewrap));

    // What stands in the file is changed there.
    world.config.runners.push(RunnerConfig { name: "filed".to_owned(), ..given });
    world.end(Signal::TERM).await;
    world.serve().await;
    let why = refused(&world, &["runner", "edit", "filed", "--slots", "2"]).await;
    assert!(why.contains("runner filed stands in track.toml: change it there and restart"), "{why}");
}
