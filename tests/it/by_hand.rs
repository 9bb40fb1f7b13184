//! Commands of somebody who is signed in, carried out without a word on GitHub but what the run itself reports.

use track::inbox::by_hand::{Done, NotDone, Request, cancel_run, perform};
use track::inbox::offers::offered;
use track::model::{Account, Kind, Number, Outcome, Status, uuid};
use track::trigger::command::{Command, Dispatch, Followup, Review};
use track::trigger::offers::Action;

use crate::harness::{MAINTAINER, REPO, STRANGER, World};

const WORK: &str =
    r#"await go; commit "$TRACK_RUN_ID.txt" hello "feat: say hello"; answer succeeded "Said hello." "feat: say hello""#;

/// An account as the sign-in has it.
pub async fn account(world: &World, login: &str) -> Account {
    Account { id: world.sim.add_user(login), login: login.to_owned() }
}

async fn request(world: &World, login: &str, number: Number, command: Command) -> Request {
    Request {
        key: uuid(rand::random(), 4),
        repository: world.repository_id().await,
        number,
        actor: account(world, login).await,
        is_operator: false,
        command,
    }
}

async fn ask(world: &World, request: &Request) -> Result<Done, String> {
    perform(world.bot().context(), request).await.map_err(|why| world.readable(&why.told()))
}

async fn told(world: &World, login: &str, number: Number, command: Command) -> String {
    let done = ask(world, &request(world, login, number, command).await).await;
    done.map_or_else(|why| format!("no: {why}"), |done| world.readable(&done.told))
}

// B10, B20, B22, B41
#[tokio::test]
async fn the_whole_story_by_hand() {
    let world = World::new().await;
    world.agent(WORK);
    let issue = world.issue("Say hello", "Please add hello.txt.").await;
    world.settle().await;
    let dispatch = Command::Dispatch(Dispatch { instructions: "In English.".into(), ..Dispatch::default() });
    let mut story = vec![told(&world, MAINTAINER, issue, Command::Retry).await];
    let first = request(&world, MAINTAINER, issue, dispatch.clone()).await;
    let started = ask(&world, &first).await.expect("a run");
    assert_eq!(ask(&world, &first).await, Ok(started.clone()), "a second click starts nothing");
    let followup = Command::Followup(Followup { instructions: "And in French.".into(), ..Followup::default() });
    world.until_status(Status::Running).await;
    story.push(told(&world, MAINTAINER, issue, dispatch).await);
    story.push(told(&world, MAINTAINER, issue, followup.clone()).await);
    world.signal("go");
    world.settle().await;
    let runs = world.runs().await;
    assert_eq!(runs.last().map(|run| run.id), started.run);
    assert!(world.prompt(runs[1].id).contains("In English."));
    let kinds: Vec<_> = runs.iter().map(|run| (run.kind, run.outcome)).collect();
    assert_eq!(kinds, [(Kind::FollowUp, Some(Outcome::Succeeded)), (Kind::Task, Some(Outcome::Succeeded))]);
    // Each run reports as always; nothing else is said, and nothing is there to react to.
    let said = world.said(issue);
    assert!(said.len() == 2 && said.iter().all(|comment| comment.starts_with("✅ **Done**")), "{said:#?}");
    assert_eq!(world.reactions(issue).len(), 0);
    let pull = world.sim.pulls(REPO)[0].number;
    for (number, command) in [
        (pull, Command::Pause),
        (pull, Command::Resume),
        (issue, Command::Cancel),
        (issue, Command::Retry),
        (Number(99), Command::Cancel),
        (issue, Command::Review(Review::default())),
        (issue, Command::Followup(Followup::default())),
        (issue, Command::Discard),
    ] {
        story.push(told(&world, MAINTAINER, number, command).await);
    }
    story.push(told(&world, STRANGER, issue, followup).await);
    insta::assert_snapshot!(story.join("\n"), @"
    no: There is no run to try again here. `/track dispatch` starts the first one.
    no: Run `RUN` is still running here. Wait for it, or end it with `/track cancel`.
    Run `RUN` is still running here. This is kept, and becomes a follow-up when it is over.
    Reviews of #2 start no follow-ups from now on; `/track followup <text>` still does. `/track resume` turns them on again.
    Reviews of #2 start follow-ups again, and what was said meanwhile is taken up.
    no: Nothing is live here, so there is nothing to cancel. `/track status` lists the runs.
    no: The last run succeeded. To have more done, say what: `/track followup <what to change>`.
    no: there is no #99 in octo/hello
    no: `/track review` works on pull requests, and this is an issue. Say it on the pull request that is to be reviewed.
    no: a follow-up says what is to be done: its text is empty
    The history of 2 runs is discarded. Its files on 1 runner are removed as soon as nothing is in the way.
    no: GitHub says that you may not write here, so nothing is started for you.
    ");
    assert_eq!(world.decisions(issue).await[0], "ignored stranger");
}

// P2
#[tokio::test]
async fn two_clicks_at_once_are_one_run_and_another_text_under_the_same_key_is_refused() {
    let world = World::new().await;
    let issue = world.issue("Say hello", "Please add hello.txt.").await;
    world.settle().await;
    let one = request(&world, MAINTAINER, issue, Command::Dispatch(Dispatch::default())).await;
    let (first, second) = tokio::join!(ask(&world, &one), ask(&world, &one));
    let (first, second) = (first.expect("a run"), second.expect("the same run"));
    assert_eq!(first.run, second.run);
    let other = Request { command: Command::Cancel, ..one.clone() };
    let somebody = Request { actor: account(&world, STRANGER).await, ..one.clone() };
    let odd = Request { key: "1 or 1=1".to_owned(), ..one };
    for request in [other, somebody, odd] {
        let why = ask(&world, &request).await.expect_err("refused");
        assert!(why.contains("page again"), "{why}");
    }
    world.settle().await;
    assert_eq!(world.runs().await.len(), 1);
}

// B10
#[tokio::test]
async fn one_run_is_ended_by_whoever_asked_for_it_and_by_nobody_without_a_right_to() {
    let world = World::new().await;
    world.agent("await go");
    let issue = world.issue("Say hello", "Please add hello.txt.").await;
    world.label(issue, "track").await;
    world.until_started(1).await;
    let run = world.runs().await.remove(0).id;
    let stranger = account(&world, STRANGER).await;
    let refused = cancel_run(world.bot().context(), run, &stranger).await;
    assert!(matches!(&refused, Err(NotDone::Refused { reason, .. }) if reason == "stranger"), "{refused:?}");
    // Who may write no longer still ends what they asked for.
    world.sim.set_role(REPO, MAINTAINER, track::sim::Role::Read).expect("the repository");
    let maintainer = account(&world, MAINTAINER).await;
    let done = cancel_run(world.bot().context(), run, &maintainer).await.expect("canceled");
    assert_eq!(done.run, Some(run));
    cancel_run(world.bot().context(), run, &maintainer).await.expect("twice is once");
    world.settle().await;
    assert_eq!(world.runs().await[0].outcome, Some(Outcome::Canceled));
    let over = cancel_run(world.bot().context(), run, &maintainer).await.expect_err("over").told();
    assert_eq!(over, format!("Run {run} is over already."));
    let decisions = world.decisions(issue).await;
    assert_eq!(decisions.iter().filter(|told| *told == "accepted canceled").count(), 1, "{decisions:?}");
}

// B20
#[tokio::test]
async fn what_a_thread_offers_is_what_a_click_would_do() {
    let world = World::new().await;
    world.agent(WORK);
    let issue = world.issue("Say hello", "Please add hello.txt.").await;
    world.label(issue, "track").await;
    world.until_status(Status::Running).await;
    let mut all = offers(&world, issue).await;
    world.signal("go");
    world.settle().await;
    all += &offers(&world, issue).await;
    insta::assert_snapshot!(all, @"
    - Dispatch: Run `RUN` is still running here. Wait for it, or end it with `/track cancel`.
    + Follow up: Is kept until the live run is over, and then becomes a follow-up with what you write.
    + Cancel: Ends run `RUN` of `scripted` on `local-1`. What it has committed is kept.
    - Retry: There is no run to try again here. `/track dispatch` starts the first one.
    - Start fresh: Run `RUN` is still running here. Wait for it, or end it with `/track cancel`.
    - Pause follow-ups: There is no open pull request of track's here, so no review can start a follow-up.
    - Discard history: Run `RUN` is still running here. Wait for it, or end it with `/track cancel`, then discard.

    + Dispatch: `scripted` goes on with #2 and its branch.
    + Follow up: `scripted` goes on with #2: it is told what you write, and what reviewers said that nobody has answered.
    + Review: `scripted` reviews #2 at `SHA` and submits one review with comments.
    - Cancel: Nothing is live here, so there is nothing to cancel. `/track status` lists the runs.
    - Retry: The last run succeeded. To have more done, say what: `/track followup <what to change>`.
    + Start fresh: Starts `scripted` on a new branch from `main`. #2 stays as it is.
    + Pause follow-ups: Reviews of #2 start no follow-ups from now on; `/track followup <text>` still does. `/track resume` turns them on again.
    + Discard history: Forgets the history of 1 run and removes the files from the runners. You are asked before.
    ");
}

async fn offers(world: &World, number: Number) -> String {
    let context = world.bot().context();
    let repository = world.repository_id().await;
    let thread = track::db::threads::find(&mut world.db().read().await.expect("the database"), repository, number)
        .await
        .expect("a row")
        .expect("a thread");
    let offers = offered(context, &thread, &account(world, MAINTAINER).await).await.expect("offers");
    assert!(offers.iter().any(|offer| offer.action == Action::Cancel));
    let lines = offers.iter().map(|offer| {
        let on = if offer.enabled { "+" } else { "-" };
        format!("{on} {}: {}\n", offer.action.label(), world.readable(&offer.sentence))
    });
    lines.collect::<String>() + "\n"
}
