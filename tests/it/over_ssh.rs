//! Runs on a machine behind a real sshd, and what the network does to them.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use track::db;
use track::db::runs::Ending;
use track::model::{Number, Outcome, Reason, Status};

use crate::harness::{MAINTAINER, REPO, World};

const SLOW: &str = "say working; commit first.txt first 'feat: begin'; await go; commit hello.txt hello 'feat: say hello'; answer succeeded 'Said hello.'";

async fn labelled(world: &World) -> Number {
    let issue = world.issue("Say hello", "").await;
    world.label(issue, "track").await;
    issue
}

async fn at_work(world: &World) -> Number {
    world.agent(SLOW);
    let issue = labelled(world).await;
    world.until_started(1).await;
    world.until_status(Status::Running).await;
    // What the agent says is stored a second later; a connection that is cut before takes it along.
    world.until("its words are stored", async || world.runs().await[0].progress.is_some()).await;
    issue
}

async fn until_out_of_sight(world: &World) {
    world.until("the runner is out of sight", async || world.runs().await[0].unreachable_since.is_some()).await;
}

fn logins(world: &World) -> usize {
    world.sshd.as_ref().expect("a machine").count_logins()
}

/// Where below a folder, or in a process of its owner, a token of GitHub's is.
fn tokens_at(home: &Path) -> Vec<String> {
    let holds = |path: &Path| fs::read(path).is_ok_and(|bytes| bytes.windows(4).any(|word| word == b"ghs_"));
    let owner = fs::metadata(home).expect("a home").uid();
    let mut found = Vec::new();
    for process in fs::read_dir("/proc").expect("/proc").flatten().map(|entry| entry.path()) {
        if fs::metadata(&process).is_ok_and(|about| about.uid() == owner) && owner != 0 {
            let files = ["cmdline", "environ"].map(|name| process.join(name));
            found.extend(files.iter().filter(|path| holds(path)).map(|path| path.display().to_string()));
        }
    }
    let mut folders = vec![home.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                Ok(kind) if kind.is_file() && holds(&entry.path()) => found.push(entry.path().display().to_string()),
                _ => {}
            }
        }
    }
    found
}

// B01, T01: and a warm second dispatch logs in nowhere.
#[tokio::test]
async fn a_machine_does_the_work_and_holds_no_token() {
    let world = World::over_ssh().await;
    let first = at_work(&world).await;
    let home = world.sshd.as_ref().expect("a machine").home.clone();
    assert_eq!(tokens_at(&home), Vec::<String>::new());
    world.signal("go");
    world.settle().await;
    assert!(world.only_comment(first).starts_with("✅ **Done**: #2"), "{}", world.only_comment(first));

    let before = logins(&world);
    let second = labelled(&world).await;
    world.settle().await;
    assert!(world.only_comment(second).starts_with("✅ **Done**"), "{}", world.only_comment(second));
    assert_eq!(logins(&world), before);
    assert_eq!(tokens_at(&home), Vec::<String>::new());
}

// B08, P6: cut, then down for a while.
#[tokio::test]
async fn a_run_outlives_its_connection() {
    let mut world = World::over_ssh().await;
    let issue = at_work(&world).await;
    let before = logins(&world);
    world.sshd.as_ref().expect("a machine").cut_connections();
    world.until("it is seen again", async || logins(&world) > before).await;
    world.until("it is in sight", async || world.runs().await[0].unreachable_since.is_none()).await;

    world.sshd.as_mut().expect("a machine").stop();
    until_out_of_sight(&world).await;
    world.clock.advance(60_000);
    world.until("it is said", async || world.only_comment(issue).contains("has not answered")).await;
    insta::assert_snapshot!(world.only_comment(issue).replace(char::is_numeric, "0"), @"
    🏃 **Running** `scripted` on `ssh-0` since 00:00 UTC.

    > working

    ⚠️ The runner has not answered since 00:00 UTC. The agent goes on there; this is picked up where it was when the runner is back.

    <sub>run `RUN` · asked by mona · branch `track/issue-0-LINE` · `/track cancel` ends it</sub>
    ");
    world.sshd.as_mut().expect("a machine").start_again();
    world.until("it is in sight", async || world.runs().await[0].unreachable_since.is_none()).await;
    world.signal("go");
    world.settle().await;

    assert!(world.only_comment(issue).starts_with("✅ **Done**: #2"), "{}", world.only_comment(issue));
    assert_eq!(world.starts().len(), 1);
}

// T38
#[tokio::test]
async fn a_changed_host_key_is_refused_before_a_run() {
    let mut world = World::over_ssh().await;
    world.until("the bot is logged in", async || logins(&world) == 1).await;
    world.sshd.as_mut().expect("a machine").restart_with_new_host_key();
    let issue = labelled(&world).await;
    world.settle().await;
    let shown = world.only_comment(issue);
    let cut = |text: &str| text.split("SHA256:").next().unwrap_or_default().to_owned();
    insta::assert_snapshot!(cut(&shown), @"
    ❌ **Failed**: the runner shows another host key than the pinned one, so nothing was sent to it.

    ```text
    shows a host key that is not the pinned one: Host key verification failed. It shows
    ");

    let next = labelled(&world).await;
    world.until("it waits", async || world.said(next).len() == 1).await;
    insta::assert_snapshot!(world.only_comment(next), @"
    ⏳ **Queued** for `scripted`, number 1 in the queue.

    Waiting: its runner is out of service; `track runner check` says why

    <sub>run `RUN` · asked by mona · branch `track/issue-2-LINE` · `/track cancel` ends it</sub>
    ");
    assert_eq!((logins(&world), world.starts().len()), (1, 0));
}

// T38
#[tokio::test]
async fn a_changed_host_key_is_refused_during_a_run() {
    let mut world = World::over_ssh().await;
    let issue = at_work(&world).await;
    let before = logins(&world);
    // At first it is only away.
    world.sshd.as_mut().expect("a machine").stop();
    until_out_of_sight(&world).await;
    world.pass(60_000);
    world.until("it is said", async || world.only_comment(issue).contains("has not answered")).await;
    world.sshd.as_mut().expect("a machine").restart_with_new_host_key();
    let pool = world.bot().context().runners.clone();
    world.until("its key was seen", async || pool.out_of_service("ssh-1").is_some()).await;
    world.pass(60_000);
    world.until("it is said", async || world.only_comment(issue).contains("out of service")).await;
    let shown = world.only_comment(issue);
    insta::assert_snapshot!(shown.lines().find(|line| line.contains("⚠️")).and_then(|line| line.split("SHA256:").next()).expect("a line"), @"⚠️ The runner is out of service: it shows a host key that is not the pinned one: Host key verification failed. It shows");
    assert_eq!(logins(&world), before, "nothing was sent there");
    world.signal("go");
}

// F01: sshd's default limits.
#[tokio::test]
async fn ten_dispatches_at_once_share_the_connections() {
    let world = World::over_ssh_with(|config| {
        config.runners[0].slots = 10;
        config.limits.runs_per_repository = 10;
    })
    .await;
    let mut issues = Vec::new();
    for n in 0..10 {
        issues.push(world.issue(&format!("Task {n}"), "").await);
    }
    futures_util::future::join_all(issues.iter().map(|issue| world.label(*issue, "track"))).await;
    // What the bot writes on GitHub is limited to one a second.
    world
        .until("ten pull requests", async || {
            world.clock.advance(200);
            world.sim.pulls(REPO).len() == 10
        })
        .await;
    assert_eq!(world.starts().len(), 10);
    assert!(logins(&world) <= 2, "{} logins", logins(&world));
}

// B10: recorded at once, carried out when the runner is back.
#[tokio::test]
async fn a_cancel_waits_for_a_runner_that_is_away() {
    let mut world = World::over_ssh().await;
    let issue = at_work(&world).await;
    world.sshd.as_mut().expect("a machine").stop();
    until_out_of_sight(&world).await;
    world.comment(MAINTAINER, issue, "/track cancel").await;
    world.clock.advance(60_000);
    world.until("it is said", async || world.only_comment(issue).contains("Cancel was asked for")).await;
    let shown = world.only_comment(issue);
    insta::assert_snapshot!(shown.lines().find(|line| line.contains("Cancel")).expect("a line"), @"🛑 Cancel was asked for by mona and is carried out when the runner is back.");
    // The agent finishes before the runner is back: its work is kept, and not published.
    world.signal("go");
    world.sshd.as_mut().expect("a machine").start_again();
    world.settle().await;
    assert!(
        world.only_comment(issue).starts_with("🛑 **Canceled** by mona; 0 processes left."),
        "{}",
        world.only_comment(issue)
    );
    assert_eq!(world.sim.pulls(REPO), []);
}

// P5
#[tokio::test]
async fn a_run_whose_runner_never_comes_back_is_lost() {
    let mut world = World::over_ssh().await;
    let issue = at_work(&world).await;
    world.sshd.as_mut().expect("a machine").stop();
    until_out_of_sight(&world).await;
    world.clock.advance(25 * 3_600_000);
    world.settle().await;
    insta::assert_snapshot!(world.only_comment(issue), @"
    ❓ **Lost**: the runner did not answer for too long.

    ```text
    no answer for 24 hours
    ```

    **Next:** Bring the runner back (`track runner check` says what is wrong), or choose another one with `/track dispatch --runner`.

    | Agent | Runner | Took |
    | --- | --- | --- |
    | `scripted` | `ssh-1` | TIME |

    <sub>run `RUN` · asked by mona · branch `track/issue-1-LINE`</sub>
    ");
    // B44: back after all, the machine is relieved of the agent, and what it had committed is kept and not published.
    world.sshd.as_mut().expect("a machine").start_again();
    world
        .until("the machine is looked after", async || {
            track::run::reconcile::look(world.bot().context()).await.expect("a look");
            !world.runs().await[0].unsettled
        })
        .await;
    world.clock.advance(60_000);
    world.settle().await;
    let run = world.runs().await.remove(0);
    assert_eq!((run.outcome, run.left_processes), (Some(Outcome::Lost), Some(0)));
    let shown = world.only_comment(issue);
    assert!(shown.contains("What it had committed is kept by the bot at `SHA` and was not pushed."), "{shown}");
    assert_eq!(world.sim.pulls(REPO), []);
}

// B44
#[tokio::test]
async fn a_run_waits_for_the_key_that_somebody_still_has_to_install() {
    let world = World::over_ssh_with(|config| config.runners[0].key_path = None).await;
    let issue = world.issue("Say hello", "").await;
    world.label(issue, "track").await;
    let shown = async || {
        world.pass(1_000);
        world.said(issue).pop().unwrap_or_default()
    };
    world.until("it is said", async || shown().await.contains("Waiting: runner")).await;
    insta::assert_snapshot!(world.only_comment(issue), @"
    ⏳ **Queued** for `scripted`, number 1 in the queue.

    Waiting: runner ssh-1 refuses the bot's login: put the line that `track runner check ssh-1` prints into `authorized_keys` there; it is asked again shortly

    <sub>run `RUN` · asked by mona · branch `track/issue-1-LINE` · `/track cancel` ends it</sub>
    ");
    let key = std::fs::read_to_string(world.home().join("keys/runner_ed25519.pub")).expect("the bot's key");
    world.sshd.as_ref().expect("a machine").authorize(key.trim());
    world.settle_soon().await;
    assert!(world.only_comment(issue).starts_with("✅ **Done**: #2"), "{}", world.only_comment(issue));
    assert_eq!(world.runs().await[0].unreachable_since, None);
}

// B44
#[tokio::test]
async fn a_key_that_nobody_installs_is_not_waited_for_without_end() {
    let world = World::over_ssh_with(|config| config.runners[0].key_path = None).await;
    let issue = world.issue("Say hello", "").await;
    world.label(issue, "track").await;
    world
        .until("it is out of sight", async || world.runs().await.iter().any(|run| run.unreachable_since.is_some()))
        .await;
    world
        .until("it is over", async || {
            world.pass(3_600_000);
            world.runs().await[0].status == Status::Done
        })
        .await;
    let run = world.runs().await.remove(0);
    assert_eq!((run.outcome, run.reason), (Some(Outcome::Failed), Some(Reason::RunnerSetup)));
    let detail = run.detail.expect("a detail");
    assert!(detail.contains("refuses the login") && detail.ends_with("for 24 hours"), "{detail}");
}

// P3, P5
#[tokio::test]
async fn a_finished_result_is_waited_for_until_somebody_cancels() {
    let mut world = World::over_ssh().await;
    let issue = at_work(&world).await;
    let run = world.runs().await.remove(0);
    world.sshd.as_mut().expect("a machine").stop();
    until_out_of_sight(&world).await;
    // As if the bot had been killed between the agent's end and the collection of its work.
    let ending = Ending { outcome: Outcome::Succeeded, reason: Reason::Changes, detail: String::new() };
    let mut tx = world.bot().context().db.begin().await.expect("the database");
    assert!(db::runs::end(&mut tx, run.id, run.status, &ending, world.clock.now()).await.expect("an end"));
    db::runs::set_unreachable(&mut tx, run.id, None).await.expect("a change");
    tx.commit().await.expect("a commit");
    world.stop().await;
    world.start().await;
    until_out_of_sight(&world).await;
    world.comment(MAINTAINER, issue, "/track cancel").await;
    world.clock.advance(60_000);
    world.until("it is over", async || world.runs().await[0].status == Status::Done).await;
    assert_eq!(world.runs().await[0].outcome, Some(Outcome::Canceled));
    world.clock.advance(60_000);
    world.settle().await;
    insta::assert_snapshot!(world.said(issue)[0].lines().next().expect("a line"), @"🛑 **Canceled** by mona; the runner did not answer, so the agent there is ended when it is back.");
    world.signal("go");
}

// B08
#[tokio::test]
async fn a_restart_finds_the_agent_again_over_ssh() {
    let mut world = World::over_ssh().await;
    let issue = at_work(&world).await;
    world.stop().await;
    world.start().await;
    world.signal("go");
    world.settle().await;
    assert!(world.only_comment(issue).starts_with("✅ **Done**: #2"), "{}", world.only_comment(issue));
    assert_eq!(world.starts().len(), 1);
}

// B44
#[tokio::test]
async fn whoever_begins_anew_does_not_wait_for_a_runner_that_is_away() {
    let mut world = World::over_ssh().await;
    let issue = at_work(&world).await;
    world.sshd.as_mut().expect("a machine").stop();
    until_out_of_sight(&world).await;
    world.comment(MAINTAINER, issue, "/track dispatch").await;
    world.until("it is refused", async || world.said(issue).len() == 2).await;
    assert!(world.said(issue)[1].contains("give it up with `/track dispatch --fresh`"), "{:?}", world.said(issue));
    world.comment(MAINTAINER, issue, "/track dispatch --fresh").await;
    world.until("another run", async || world.runs().await.len() == 2).await;
    let first = world.runs().await.pop().expect("the first run");
    assert_eq!((first.status, first.outcome, first.unsettled), (Status::Done, Some(Outcome::Lost), true));
    assert!(world.decisions(issue).await.contains(&"noted lost".to_owned()), "{:?}", world.decisions(issue).await);
    world.until("it is said", async || world.said(issue)[0].contains("**Lost**")).await;
    insta::assert_snapshot!(world.said(issue)[0], @"
    ❓ **Lost**: the runner did not answer for too long.

    ```text
    mona began anew without it; its agent may still be working on runner ssh-1 until that answers
    ```

    **Next:** Bring the runner back (`track runner check` says what is wrong), or choose another one with `/track dispatch --runner`.

    | Agent | Runner | Took |
    | --- | --- | --- |
    | `scripted` | `ssh-1` | TIME |

    <sub>run `RUN` · asked by mona · branch `track/issue-1-LINE`</sub>
    ");
    world.sshd.as_mut().expect("a machine").start_again();
    world
        .until("the first agent is ended", async || {
            world.pass(30_000);
            track::run::reconcile::look(world.bot().context()).await.expect("a look");
            world.runs().await.iter().all(|run| !run.unsettled)
        })
        .await;
    world
        .until("the second agent", async || {
            world.pass(30_000);
            world.starts().len() == 2
        })
        .await;
    world.signal("go");
    world.settle_soon().await;
    let runs = world.runs().await;
    assert_eq!((runs[0].outcome, runs[1].outcome), (Some(Outcome::Succeeded), Some(Outcome::Lost)));
    assert_eq!(world.sim.pulls(REPO).len(), 1);
}

// B44
#[tokio::test]
async fn a_runner_is_not_moved_under_its_runs() {
    let mut world = World::over_ssh().await;
    let issue = at_work(&world).await;
    world.stop().await;
    let root = std::mem::replace(&mut world.config.runners[0].root, "~/elsewhere".to_owned());
    world.start().await;
    assert!(world.bot().context().runners.get("ssh-1").is_none());
    until_out_of_sight(&world).await;
    world.stop().await;
    world.config.runners[0].root = root;
    world.start().await;
    world.signal("go");
    world.settle_soon().await;
    assert!(world.only_comment(issue).starts_with("✅ **Done**: #2"), "{}", world.only_comment(issue));
    world.stop().await;
    world.config.runners[0].root = "~/elsewhere".to_owned();
    world.start().await;
    assert!(world.bot().context().runners.get("ssh-1").is_some(), "nothing is there any more that could be lost");
}
