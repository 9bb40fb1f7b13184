//! Tasks that people write on the page: as an issue, or private, with nothing on GitHub but a branch and a pull request.

use track::inbox::by_hand::{NotDone, Request, perform};
use track::inbox::repositories;
use track::inbox::tasks::{Made, NewTask, new_task, set_open};
use track::model::{Kind, Outcome, Status, uuid};
use track::sim::Fault;
use track::trigger::command::{Command, Dispatch, Followup};

use crate::by_hand::account;
use crate::harness::{MAINTAINER, REPO, STRANGER, World};

async fn task(world: &World, login: &str, as_issue: bool) -> NewTask {
    NewTask {
        key: uuid(rand::random(), 4),
        repository: world.repository_id().await,
        title: " Say\n hello ".to_owned(),
        body: "In **every** language.\n\n/track dispatch".to_owned(),
        actor: account(world, login).await,
        is_operator: false,
        as_issue,
        dispatch: Some(Dispatch::default()),
    }
}

async fn make(world: &World, task: &NewTask) -> Result<Made, String> {
    new_task(world.bot().context(), task).await.map_err(|why| world.readable(&why.told()))
}

/// A bot that knows its repository.
async fn world() -> World {
    let world = World::new().await;
    assert_eq!(repositories::look(world.bot().context()).await.expect("GitHub answers"), 1);
    // The harness reads the repository's id off a webhook.
    world.issue("Something else", "").await;
    world.settle().await;
    world
}

// B63, B22, B40
#[tokio::test]
async fn a_private_task_becomes_a_pull_request_is_followed_up_and_ends_with_the_merge() {
    let world = world().await;
    let written = task(&world, MAINTAINER, false).await;
    let made = make(&world, &written).await.expect("a task");
    assert_eq!(
        (made.number.named().as_str(), made.issue_url.clone(), made.not_started.clone()),
        ("task 1", None, None)
    );
    assert_eq!(make(&world, &written).await.as_ref(), Ok(&made), "a second click makes nothing");
    world.settle().await;

    let run = world.runs().await.remove(0);
    assert_eq!((Some(run.id), run.outcome), (made.run, Some(Outcome::Succeeded)));
    let prompt = world.prompt(run.id);
    for text in
        ["# Task: octo/hello, task 1", "task 1 by @mona", "Title: Say hello", "In **every** language.", "track/task-1-"]
    {
        assert!(prompt.contains(text), "{text} in {prompt}");
    }
    assert_eq!(world.sim.issues(REPO).len(), 1, "the other issue is the only one");
    let pull = world.sim.pulls(REPO).remove(0);
    insta::assert_snapshot!(world.readable(&pull.body), @"
    Said hello.

    <sub>run `RUN` by `scripted` · asked by mona in task 1</sub>
    ");
    insta::assert_snapshot!(world.only_comment(pull.number), @"@mona `scripted` pushed `SHA` for task 1. Please have a look; a review that comments or requests changes makes me follow up, and so does `/track followup <text>`.");

    // What is said on the pull request is the task's.
    world.agent(r#"commit "$TRACK_RUN_ID.txt" more "feat: more"; answer_all fixed "More.""#);
    world.sim.comment(REPO, MAINTAINER, pull.number, "It should greet everybody.").await.expect("a comment");
    world.sim.review(REPO, MAINTAINER, pull.number, "CHANGES_REQUESTED", "More, please.", &[]).await.expect("a review");
    world.settle().await;
    let followed = world.runs().await.remove(0);
    assert_eq!(
        (followed.kind, followed.outcome, followed.thread),
        (Kind::FollowUp, Some(Outcome::Succeeded), run.thread)
    );
    let prompt = world.prompt(followed.id);
    for text in
        ["# Follow-up on octo/hello, task 1", "More, please.", "It should greet everybody.", "In **every** language."]
    {
        assert!(prompt.contains(text), "{text} in {prompt}");
    }
    let said = world.said(pull.number);
    assert!(said.iter().any(|comment| comment.starts_with("✅ **Done**")), "{said:#?}");

    world.sim.merge_pull(REPO, MAINTAINER, pull.number).await.expect("merged");
    world.settle().await;
    let again = Request {
        key: uuid(rand::random(), 4),
        repository: run.repository,
        number: made.number,
        actor: account(&world, MAINTAINER).await,
        is_operator: false,
        command: Command::Dispatch(Dispatch::default()),
    };
    let closed = perform(world.bot().context(), &again).await.expect_err("closed").told();
    assert_eq!(closed, "This is closed. Reopen it first, then ask again.");
    let thread = made.thread.expect("a thread");
    let maintainer = account(&world, MAINTAINER).await;
    let opened = set_open(world.bot().context(), thread, &maintainer, true).await.expect("open");
    assert_eq!(opened, "task 1 is open again");
    let again = Request { key: uuid(rand::random(), 4), ..again };
    perform(world.bot().context(), &again).await.expect("a run on a new branch");
    world.settle().await;
    assert_eq!(world.sim.pulls(REPO).len(), 2);
    let decisions = world.decisions(made.number).await;
    assert!(
        decisions.contains(&"noted merged".to_owned()) && decisions.contains(&"noted open".to_owned()),
        "{decisions:?}"
    );
    let shown = world.run_track(&["runs", "--thread", "octo/hello~1"]).await;
    let (shown, err) = crate::harness::process::printed(&shown);
    assert!(shown.contains("octo/hello~1  task: succeeded") && err.is_empty(), "{shown}{err}");
    // Nothing was ever asked of GitHub about a number that it does not have.
    let odd: Vec<_> = world.sim.journal().into_iter().filter(|request| request.path.contains("/-1")).collect();
    assert!(odd.is_empty(), "{odd:#?}");
}

// B10, B63
#[tokio::test]
async fn a_private_task_is_canceled_closed_and_begun_again() {
    let world = world().await;
    world.agent("await go");
    let made = make(&world, &task(&world, MAINTAINER, false).await).await.expect("a task");
    world.until_started(1).await;
    let actor = account(&world, MAINTAINER).await;
    let repository = world.repository_id().await;
    let request = |command| Request {
        key: uuid(rand::random(), 4),
        repository,
        number: made.number,
        actor: actor.clone(),
        is_operator: false,
        command,
    };
    let done = perform(world.bot().context(), &request(Command::Cancel)).await.expect("canceled");
    assert_eq!(done.run, made.run);
    world.settle().await;
    assert_eq!(world.runs().await[0].outcome, Some(Outcome::Canceled));
    perform(world.bot().context(), &request(Command::Retry)).await.expect("another attempt");
    world.until_started(2).await;
    let thread = made.thread.expect("a thread");
    let closed = set_open(world.bot().context(), thread, &actor, false).await.expect("closed");
    assert_eq!(closed, "task 1 is closed: 1 run ended, and its files on runners are removed");
    world.settle().await;
    assert_eq!(world.runs().await[0].outcome, Some(Outcome::Canceled));
    let followup = Command::Followup(Followup { instructions: "More.".into(), ..Followup::default() });
    let told = perform(world.bot().context(), &request(followup)).await.expect_err("closed").told();
    assert_eq!(told, "This is closed. Reopen it first, then ask again.");
    let stranger = account(&world, STRANGER).await;
    let refused = set_open(world.bot().context(), thread, &stranger, true).await.expect_err("refused");
    assert!(matches!(refused, NotDone::Refused { ref reason, .. } if reason == "stranger"), "{refused:?}");
    assert_eq!(world.writes(), 0, "nothing of it is on GitHub");
}

// B63
#[tokio::test]
async fn a_task_as_an_issue_is_created_once_even_if_githubs_answer_is_lost() {
    let world = world().await;
    let written = task(&world, MAINTAINER, true).await;
    let create = |request: &track::sim::RequestInfo| request.method == "POST" && request.path.ends_with("/issues");
    world.fault(1, create, Fault::DropAfterHandling);
    let lost = make(&world, &written).await.expect_err("no answer");
    assert!(lost.contains("ask again"), "{lost}");
    let made = make(&world, &written).await.expect("the issue is found again");
    assert_eq!(make(&world, &written).await.as_ref().map(|again| again.run), Ok(made.run));
    world.settle().await;
    let issues = world.sim.issues(REPO);
    let ours: Vec<_> = issues.iter().filter(|issue| issue.title == "Say hello").collect();
    assert_eq!(ours.iter().map(|issue| issue.number).collect::<Vec<_>>(), [made.number]);
    insta::assert_snapshot!(world.readable(&ours[0].body), @"
    In **every** language.

    /track dispatch

    <sub>written by mona on track's page</sub>
    ");
    // The command in the text was never obeyed: apps are not.
    let runs = world.runs().await;
    assert_eq!(runs.iter().map(|run| Some(run.id)).collect::<Vec<_>>(), [made.run]);
    let prompt = world.prompt(runs[0].id);
    assert!(prompt.contains("written by mona") && !prompt.contains("mac="), "{prompt}");
    assert!(world.only_comment(made.number).starts_with("✅ **Done**"));
    let pull = world.sim.pulls(REPO).remove(0);
    assert!(pull.body.contains(&format!("Closes #{}.", made.number)), "{}", pull.body);
}

// B63, T13
#[tokio::test]
async fn what_cannot_be_a_task_is_refused_with_the_reason() {
    let world = world().await;
    let mut told = Vec::new();
    let long = "x".repeat(257);
    for (login, as_issue, title, body) in [
        (STRANGER, false, "Say hello", ""),
        (STRANGER, true, "Say hello", ""),
        (MAINTAINER, false, " \n ", ""),
        (MAINTAINER, true, long.as_str(), ""),
        (MAINTAINER, false, "Say hello", "a\0b"),
    ] {
        let written = task(&world, login, as_issue).await;
        let written = NewTask { title: title.to_owned(), body: body.to_owned(), ..written };
        told.push(make(&world, &written).await.expect_err("refused"));
    }
    let sent = task(&world, MAINTAINER, false).await;
    let later = NewTask { dispatch: None, ..sent.clone() };
    let made = make(&world, &later).await.expect("a task that waits");
    assert_eq!((made.run, made.not_started), (None, None));
    told.push(make(&world, &NewTask { title: "Another".into(), ..later }).await.expect_err("the same key"));
    let agent = Dispatch { agent: Some("cladue".into()), ..Dispatch::default() };
    let nobody = NewTask { dispatch: Some(agent), ..task(&world, MAINTAINER, false).await };
    told.push(make(&world, &nobody).await.expect("made all the same").not_started.expect("no such agent"));
    world.sim.set_issues(REPO, false).expect("the repository");
    told.push(make(&world, &task(&world, MAINTAINER, true).await).await.expect_err("no issues"));
    insta::assert_snapshot!(told.join("\n"), @"
    GitHub says that you may not write in octo/hello, so no task is made for you there.
    GitHub says that you may not write in octo/hello, so no task is made for you there.
    A task needs a title: say in a line what is wanted.
    The title is longer than 256 characters: put the rest into the text.
    The text contains a NUL character, which no agent could read.
    This form was sent in before with something else in it. Load the page again, then send what you want now.
    There is no agent `cladue`. Agents: `codex`, `claude`, `scripted`.
    Issues are off in octo/hello: make it a private task, or turn them on there.
    ");
    // What this server does not serve gets neither issue nor run.
    world.sim.add_repository("elsewhere/lib", &[("README.md", "# lib\n")]).await.expect("a repository");
    world.sim.set_role("elsewhere/lib", MAINTAINER, track::sim::Role::Write).expect("a role");
    repositories::look(world.bot().context()).await.expect("GitHub answers");
    let name = "elsewhere/lib".parse().expect("a name");
    let other = track::db::repositories::named(&mut world.db().read().await.expect("the database"), &name).await;
    let other =
        NewTask { repository: other.expect("a row").expect("known").id, ..task(&world, MAINTAINER, true).await };
    let refused = make(&world, &other).await.expect_err("not served");
    assert!(refused.contains("`allow`"), "{refused}");
    let known = track::db::repositories::all_known(&mut world.db().read().await.expect("the database")).await;
    let known = known.expect("rows").pop().expect("octo/hello stands after elsewhere/lib");
    let traits = known.traits.expect("GitHub was asked");
    assert_eq!((traits.default_branch.as_str(), traits.issues, known.open_threads), ("main", false, 2));
    world.settle().await;
    assert_eq!((world.writes(), world.runs().await.iter().filter(|run| run.status != Status::Done).count()), (0, 0));
}
