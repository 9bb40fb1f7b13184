//! What nothing needs any more goes, and what something needs stays.

use std::fs;
use std::path::PathBuf;

use sqlx::Row as _;
use track::db;
use track::model::{Number, Outcome, Status};
use track::run::tidy;

use crate::harness::{MAINTAINER, REPO, World, process::printed};

const DAY: i64 = 24 * 3_600_000;

/// Everything of this bot on its runner.
fn base(world: &World) -> PathBuf {
    let root = fs::read_dir(&world.config.runners[0].root).expect("the root");
    root.flatten().next().expect("one instance").path()
}

/// How many run folders, threads and repositories lie on the runner.
fn lying_there(world: &World) -> [usize; 3] {
    ["runs", "threads", "repos"]
        .map(|folder| fs::read_dir(base(world).join(folder)).map_or(0, |all| all.flatten().count()))
}

/// An issue whose work is done, and the number of its pull request.
async fn finished(world: &World, title: &str) -> (Number, Number) {
    let issue = world.work_on(title, "").await;
    world.settle().await;
    (issue, world.runs().await[0].pull.expect("a pull request"))
}

// B42
#[tokio::test]
async fn cleaning_keeps_what_is_open_or_at_work() {
    let mut world = World::new().await;
    finished(&world, "Goes on").await;
    let (_, over) = finished(&world, "Is over").await;
    world.sim.close(REPO, MAINTAINER, over).await.expect("closed");
    world.settle().await;
    world.agent("await go; answer succeeded 'Nothing to do.'");
    let at_work = world.issue("Is at work", "").await;
    world.label(at_work, "track").await;
    world.until_started(3).await;
    assert_eq!(lying_there(&world), [3, 3, 1]);

    world.serve().await;
    let cleaned = world.run_track(&["runner", "clean", "local-1"]).await;
    assert!(cleaned.status.success(), "{:?}", printed(&cleaned));
    insta::assert_snapshot!(printed(&cleaned).0, @"local-1: removed 1 run folder, 1 workspace and 0 repositories");
    assert_eq!(lying_there(&world), [2, 2, 1]);
    let unknown = world.run_track(&["runner", "clean", "build-9"]).await;
    assert_eq!(unknown.status.code(), Some(1), "{:?}", printed(&unknown));
    assert!(printed(&unknown).0.contains("there is no runner build-9"), "{:?}", printed(&unknown));
    world.signal("go");
    world.settle().await;
    assert!(world.only_comment(at_work).contains("Nothing to do."), "{}", world.only_comment(at_work));

    // Without a server, too.
    world.end(rustix::process::Signal::TERM).await;
    let again = world.run_track(&["runner", "clean", "--all"]).await;
    insta::assert_snapshot!(printed(&again).0, @"local-1: removed 0 run folders, 0 workspaces and 0 repositories");
}

// B42, B41
#[tokio::test]
async fn each_night_the_bot_tidies_up() {
    let world = World::new().await;
    let (issue, pull) = finished(&world, "Say hello").await;
    let run = world.runs().await.remove(0);
    let journal = world.home().join("journals").join(run.id.to_string());
    let repository = run.repository;
    let mirror = world.home().join("mirrors").join(format!("{repository}.git"));
    let look = async || tidy::look(world.bot().context()).await.expect("a look");
    assert!(!look().await, "a new instance waits for its first night");
    world.sim.close(REPO, MAINTAINER, pull).await.expect("closed");
    world.settle().await;

    world.clock.advance(DAY);
    // The bot's own look may have come first.
    look().await;
    world.until("its files are gone", async || lying_there(&world) == [0, 0, 0]).await;
    assert!(!look().await, "once a night");
    assert!(journal.exists() && mirror.exists(), "the history is needed");

    world.comment(MAINTAINER, issue, "/track discard").await;
    world.settle().await;
    world.sim.uninstall("octo");
    world.clock.advance(31 * DAY);
    look().await;
    world.until("all of it is gone", async || !mirror.exists() && !journal.exists()).await;

    // What GitHub sends again after a month is known all the same.
    let (id, body) = world.sent("issues").await;
    let stored = async || {
        let mut conn = world.db().read().await.expect("the database");
        let row = sqlx::query("select length(body), status, length(sha256) from delivery where id = $1");
        let row = row.bind(&id).fetch_one(&mut *conn).await.expect("it is there");
        (row.get::<i64, _>(0), row.get::<String, _>(1), row.get::<i64, _>(2))
    };
    world.until("its body is gone", async || stored().await.0 == 0).await;
    assert_eq!(world.post(&id, "issues", &body).await, 202);
    assert_eq!(stored().await, (0, "handled".to_owned(), 64));
    let mut conn = world.db().read().await.expect("the database");
    assert_eq!(db::deliveries::backlog(&mut conn).await.expect("deliveries").0, 0);
    assert!(world.runs().await.iter().all(|run| run.status == Status::Done));
}

// B81
#[tokio::test]
async fn what_is_kept_of_runs_goes_after_a_month_unless_open_work_needs_it() {
    let world = World::new().await;
    let (_, over) = finished(&world, "Is over").await;
    finished(&world, "Goes on").await;
    let [goes_on, is_over] = [0, 1].map(async |at| world.runs().await.remove(at).id);
    let (goes_on, is_over) = (goes_on.await, is_over.await);
    world.sim.close(REPO, MAINTAINER, over).await.expect("closed");
    world.settle().await;
    let home = world.home().to_owned();
    let kept = async |run: track::model::RunId| {
        let name = run.to_string();
        let refs = world.git_at_bot(&["for-each-ref", "--format=%(refname)", "refs/track/"]).await;
        let files = ["journals", "snapshots"].map(|folder| home.join(folder).join(&name).exists());
        (refs.contains(&name), files[0], files[1])
    };
    let look = async || tidy::look(world.bot().context()).await.expect("a look");
    look().await;
    world.clock.advance(29 * DAY);
    look().await;
    assert_eq!(kept(is_over).await, (true, true, true));
    world.clock.advance(2 * DAY);
    // The bot's own look may have come first.
    look().await;
    world.until("the old one is gone", async || kept(is_over).await == (false, false, false)).await;
    assert_eq!(kept(goes_on).await, (true, true, true));
    let mut conn = world.db().read().await.expect("the database");
    assert_eq!(db::snapshots::of_run(&mut conn, is_over).await.expect("snapshots"), []);
}

#[tokio::test]
async fn the_mirror_of_a_repository_that_is_gone_goes_a_month_after_its_last_run() {
    let world = World::new().await;
    finished(&world, "Say hello").await;
    let run = world.runs().await.remove(0);
    let mirror = world.home().join("mirrors").join(format!("{}.git", run.repository));
    let look = async || tidy::look(world.bot().context()).await.expect("a look");
    look().await;
    world.clock.advance(31 * DAY);
    look().await;
    assert!(mirror.exists(), "the App reaches the repository");
    finished(&world, "Say more").await;
    world.sim.delete_repository(REPO).await.expect("deleted");
    world.clock.advance(29 * DAY);
    look().await;
    assert!(mirror.exists(), "it may come back");
    world.clock.advance(2 * DAY);
    look().await;
    world.until("it is gone", async || !mirror.exists()).await;
    assert_eq!(world.runs().await.len(), 2, "the history stays");
}

// B43
#[tokio::test]
async fn a_reset_leaves_nothing_and_waits_for_what_is_not_over() {
    let mut world = World::new().await;
    world.agent("await go; answer succeeded 'Nothing to do.'");
    let issue = world.issue("Say hello", "").await;
    world.label(issue, "track").await;
    let run = world.until_status(Status::Running).await;
    world.serve().await;
    let reset = async |world: &World| printed(&world.run_track(&["runner", "reset", "local-1", "--yes"]).await);
    let said = reset(&world).await.1.replace(&run.id.to_string(), "RUN");
    insta::assert_snapshot!(said, @"track: runner local-1 has live runs: RUN. Cancel them or wait for them first");
    world.signal("go");
    world.settle().await;

    world.end(rustix::process::Signal::TERM).await;
    let mut tx = world.db().begin().await.expect("the database");
    db::runs::set_unsettled(&mut tx, run.id, true).await.expect("a change");
    tx.commit().await.expect("a commit");
    let said = reset(&world).await.1.replace(&run.id.to_string(), "RUN");
    insta::assert_snapshot!(said, @"track: runner local-1 may still have the results of RUN: they are kept as soon as it answers while `track serve` runs");
    let mut tx = world.db().begin().await.expect("the database");
    db::runs::set_unsettled(&mut tx, run.id, false).await.expect("a change");
    tx.commit().await.expect("a commit");

    let typed = printed(&world.run_track(&["runner", "reset", "local-1"]).await);
    insta::assert_snapshot!(typed.1, @"track: not reset: nobody is here to confirm it; --yes does it unasked");
    assert_eq!(lying_there(&world), [1, 1, 1]);
    insta::assert_snapshot!(reset(&world).await.0, @"local-1: removed 1 run folder, 1 workspace and 1 repository");
    let root = fs::read_dir(&world.config.runners[0].root).expect("the root");
    assert_eq!(root.count(), 0);

    // It is used as before.
    world.serve().await;
    world.comment(MAINTAINER, issue, "/track dispatch").await;
    world.settle().await;
    assert_eq!(world.runs().await[0].outcome, Some(Outcome::Succeeded));
}
