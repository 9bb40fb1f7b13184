//! How threads end, and what ends with them.

use sqlx::Row as _;
use track::model::{LineState, Number, Outcome, Reason, Status};

use crate::harness::{MAINTAINER, REPO, STRANGER, World};

const SLOW: &str = r#"say working; await go; commit "f-$TRACK_RUN_ID" x "feat: x"; answer_all answered "Did." ; [ "$TRACK_KIND" != task ] || answer succeeded "Did." "feat: x""#;

async fn at_work(world: &World) -> Number {
    world.agent(SLOW);
    let issue = world.issue("Say hello", "").await;
    world.label(issue, "track").await;
    world.until_status(Status::Running).await;
    issue
}

async fn only_run(world: &World) -> track::db::runs::Run {
    let mut runs = world.runs().await;
    assert_eq!(runs.len(), 1);
    runs.remove(0)
}

/// What the newest decision about an issue says.
async fn decided(world: &World, number: Number) -> String {
    let repository = world.runs().await[0].repository;
    let mut conn = world.db().read().await.expect("the database");
    let newest = track::db::decisions::newest(&mut conn, repository, number, 20).await.expect("decisions");
    newest.iter().map(|decision| decision.reason.as_str()).collect::<Vec<_>>().join(" ")
}

/// What is recorded of an issue or pull request, by the way or not, newest first.
async fn recorded(world: &World, number: Number) -> String {
    let repository = world.runs().await[0].repository;
    let mut conn = world.db().read().await.expect("the database");
    let newest = track::db::decisions::newest(&mut conn, repository, number, 50).await.expect("decisions");
    newest.iter().map(|decision| format!("{}\n", decision.detail)).collect()
}

/// What `/track why` answers there.
async fn why(world: &World, number: Number) -> String {
    world.comment(MAINTAINER, number, "/track why").await;
    world.settle_soon().await;
    world.said(number).pop().expect("an answer")
}

// B40
#[tokio::test]
async fn closing_the_issue_ends_its_run_and_removes_its_files() {
    let world = World::new().await;
    let issue = at_work(&world).await;
    world.sim.close(REPO, MAINTAINER, issue).await.expect("closed");
    world.settle_soon().await;
    let run = only_run(&world).await;
    assert_eq!((run.outcome, run.left_processes), (Some(Outcome::Canceled), Some(0)));
    assert!(world.only_comment(issue).starts_with("🛑 **Canceled** by mona; 0 processes left."));
    let workspace = world.runner_root().join("threads").join(run.thread.to_string());
    world.until("its files are gone", async || !workspace.exists()).await;
    world.until("it is recorded", async || decided(&world, issue).await.contains("cleaned_up")).await;
    world.comment(MAINTAINER, issue, "/track dispatch").await;
    world.settle_soon().await;
    assert!(world.said(issue)[1].contains("Reopen it first"), "{:?}", world.said(issue));
}

/// A folder of the only run's thread on the local runner.
async fn thread_folder(world: &World) -> std::path::PathBuf {
    world.runner_root().join("threads").join(only_run(world).await.thread.to_string())
}

const DRAFTS: &str = r#"commit done.txt done "feat: done"; echo draft >draft.txt; mkdir ignored; echo x >ignored/x; say working; await go; answer blocked "Why?""#;

// B40, B81
#[tokio::test]
async fn what_was_at_work_in_a_closed_issue_is_kept() {
    let world = World::new().await;
    world.agent(DRAFTS);
    let issue = world.issue("Say hello", "Loudly.").await;
    world.label(issue, "track").await;
    world.until_status(Status::Running).await;
    let workspace = thread_folder(&world).await;
    world.until("there is a draft", async || workspace.join("work/work/ignored/x").exists()).await;
    world.sim.close(REPO, MAINTAINER, issue).await.expect("closed");
    world.settle_soon().await;
    world.until("its files are gone", async || !workspace.exists()).await;
    world.until("it is recorded", async || decided(&world, issue).await.contains("cleaned_up")).await;
    let run = only_run(&world).await;
    let reference = format!("refs/track/runs/{}", run.id);
    assert_eq!(world.git_at_bot(&["show", &format!("{reference}:draft.txt")]).await, "draft");
    assert_eq!(world.git_at_bot(&["ls-tree", "-r", "--name-only", &reference]).await.lines().count(), 4);
    let recorded = recorded(&world, issue).await;
    let kept = format!("1 workspaces; kept is {reference} at {}\n", run.result.expect("a result"));
    assert!(recorded.contains(&kept), "{recorded}");
    let prompt = world.home().join("snapshots").join(run.id.to_string()).join("prompt.md");
    assert_eq!(std::fs::read_to_string(&prompt).expect("the prompt").trim_end(), world.prompt(run.id));
    let mode = std::os::unix::fs::PermissionsExt::mode(&prompt.metadata().expect("a file").permissions());
    assert_eq!(mode & 0o777, 0o600);
}

// B40, B81
#[tokio::test]
async fn what_was_changed_in_a_workspace_after_its_run_is_kept_beside_the_result() {
    let world = World::new().await;
    let issue = world.work_on("Say hello", "").await;
    let workspace = thread_folder(&world).await;
    std::fs::write(workspace.join("work/work/by-hand.txt"), "by hand").expect("a change");
    let run = only_run(&world).await;
    world.sim.close(REPO, MAINTAINER, issue).await.expect("closed");
    world.settle_soon().await;
    world.until("its files are gone", async || !workspace.exists()).await;
    world.until("it is recorded", async || decided(&world, issue).await.contains("cleaned_up")).await;
    let [result, left] = ["runs", "left"].map(|kept| format!("refs/track/{kept}/{}", run.id));
    assert_eq!(world.git_at_bot(&["diff", "--name-only", &result, &left]).await, "by-hand.txt");
    assert_eq!(world.git_at_bot(&["rev-parse", &result]).await, run.result.expect("a result").as_str());
    let at = world.git_at_bot(&["rev-parse", &left]).await;
    let recorded = recorded(&world, issue).await;
    assert!(recorded.contains(&format!("kept is {left} at {at}, with 1 uncommitted file\n")), "{recorded}");

    let told = world.run_track(&["runs", "--thread", &issue.to_string()]).await;
    let told = crate::harness::process::printed(&told).0;
    let mirror = world.home().join("mirrors").join(format!("{}.git", run.repository));
    assert!(told.contains(&format!("{left} at {at} in {}\n", mirror.display())), "{told}");
    assert!(told.contains(&result), "{told}");
}

// B40, B81
#[tokio::test]
async fn what_cannot_be_kept_goes_in_the_end_and_the_reason_is_recorded() {
    let world = World::new().await;
    world.agent(r#"rm -rf .git; echo draft >draft.txt; answer blocked "Why?""#);
    let issue = world.work_on("Say hello", "").await;
    let workspace = thread_folder(&world).await;
    world.sim.close(REPO, MAINTAINER, issue).await.expect("closed");
    world.settle_soon().await;
    let look = async || {
        track::run::cleanup::clean_up(world.bot().context()).await.expect("a look");
        // A night does not come before.
        track::run::tidy::clean(&world.db(), &world.bot().context().runners.all()[0]).await.expect("clean");
    };
    let mut looks = 0;
    world
        .until("its files are gone", async || {
            look().await;
            world.clock.advance(3_600_000);
            looks += 1;
            !workspace.exists()
        })
        .await;
    assert!(looks >= 4, "it was removed at look {looks}");
    world.until("it is recorded", async || decided(&world, issue).await.contains("cleaned_up")).await;
    let recorded = recorded(&world, issue).await;
    let why =
        "what was left there could not be kept: the runner failed: the work could not be read: git ended with 1\n";
    assert!(recorded.contains(why), "{recorded}");
}

// B40, B81
#[tokio::test]
async fn what_was_at_work_on_a_runner_that_is_away_is_kept_when_it_is_back() {
    let mut world = World::over_ssh().await;
    world.agent(DRAFTS);
    let issue = world.issue("Say hello", "").await;
    world.label(issue, "track").await;
    world.until_status(Status::Running).await;
    let machine = world.sshd.as_mut().expect("a machine");
    let root = std::fs::read_dir(machine.home.join("track")).expect("the root").flatten().next().expect("one bot's");
    let run = only_run(&world).await;
    let workspace = root.path().join("threads").join(run.thread.to_string());
    world.until("there is a draft", async || workspace.join("work/work/ignored/x").exists()).await;
    world.sshd.as_mut().expect("a machine").stop();
    world.sim.close(REPO, MAINTAINER, issue).await.expect("closed");
    world.until("the cancel is asked for", async || only_run(&world).await.cancel_at.is_some()).await;
    // Nobody waits for it any longer, and its end is still owed to the runner.
    world
        .until("the run is over", async || {
            world.pass(3_600_000);
            only_run(&world).await.status == Status::Done
        })
        .await;
    assert!(only_run(&world).await.result.is_none());
    assert!(workspace.join("work/work/draft.txt").exists());

    world.sshd.as_mut().expect("a machine").start_again();
    world
        .until("its files are gone", async || {
            track::run::reconcile::look(world.bot().context()).await.expect("a look");
            track::run::cleanup::clean_up(world.bot().context()).await.expect("a look");
            world.clock.advance(3_600_000);
            !workspace.exists()
        })
        .await;
    assert_eq!(world.git_at_bot(&["show", &format!("refs/track/runs/{}:draft.txt", run.id)]).await, "draft");
}

// B41
#[tokio::test]
async fn files_that_stay_do_not_keep_those_of_other_threads() {
    let world = World::new().await;
    world.agent(r#"answer blocked "Why?""#);
    let first = world.work_on("Say hello", "").await;
    let second = world.work_on("Say more", "").await;
    let runs = world.runs().await;
    let [of_second, of_first] = [0, 1].map(|at| world.runner_root().join("threads").join(runs[at].thread.to_string()));
    let lock = std::fs::File::open(of_first.join("work/prepare.lock")).expect("the lock of a start");
    lock.lock().expect("it is ours");
    for issue in [first, second] {
        world.sim.close(REPO, MAINTAINER, issue).await.expect("closed");
        world.settle_soon().await;
    }
    world.until("the files of the second are gone", async || !of_second.exists()).await;
    assert!(of_first.join("work/work").exists());
    drop(lock);
    let look = async || track::run::cleanup::clean_up(world.bot().context()).await.expect("a look");
    look().await;
    assert!(of_first.exists(), "the next attempt is half a minute later");
    world.clock.advance(40_000);
    look().await;
    world.until("its files are gone", async || !of_first.exists()).await;
    world.until("it is noted", async || decided(&world, first).await.contains("cleaned_up")).await;
}

#[tokio::test]
async fn an_issue_that_is_opened_again_can_be_asked_for_again() {
    let world = World::new().await;
    let issue = at_work(&world).await;
    world.sim.close(REPO, MAINTAINER, issue).await.expect("closed");
    world.settle_soon().await;
    world.sim.reopen(REPO, MAINTAINER, issue).await.expect("open");
    world.settle_soon().await;
    let told = why(&world, issue).await;
    assert!(told.contains(&format!("#{issue} is open; it can be asked for again")), "{told}");
    assert!(told.contains(&format!("#{issue} is closed: 1 run ended")), "{told}");
    world.signal("go");
    world.comment(MAINTAINER, issue, "/track dispatch").await;
    world.settle_soon().await;
    assert_eq!(world.runs().await[0].outcome, Some(Outcome::Succeeded));
    // What was to be removed is in use again.
    track::run::cleanup::clean_up(world.bot().context()).await.expect("a cleanup");
    let workspace = world.runner_root().join("threads").join(world.runs().await[0].thread.to_string());
    assert!(workspace.exists());
}

#[tokio::test]
async fn an_issue_that_is_deleted_or_moved_away_ends_its_run() {
    for moved in [false, true] {
        let world = World::new().await;
        let issue = at_work(&world).await;
        if moved {
            world.sim.add_repository("octo/other", &[("README.md", "x")]).await.expect("a repository");
            world.sim.transfer_issue(REPO, MAINTAINER, issue, "octo/other").await.expect("moved");
        } else {
            world.sim.delete_issue(REPO, MAINTAINER, issue).await.expect("deleted");
        }
        world
            .until("the run is over", async || {
                world.pass(1_000);
                only_run(&world).await.status == Status::Done
            })
            .await;
        assert_eq!(only_run(&world).await.outcome, Some(Outcome::Canceled), "moved: {moved}");
        assert!(decided(&world, issue).await.contains("gone"));
    }
}

/// What is recorded of the App itself, oldest first: which repositories it reaches, and that it is installed at all.
async fn told_of_the_app(world: &World) -> Vec<(String, String)> {
    let mut conn = world.db().read().await.expect("the database");
    let rows =
        sqlx::query("select reason, detail from decision where number is null and verdict = 'noted' order by id");
    let rows = rows.fetch_all(&mut *conn).await.expect("decisions");
    rows.iter().map(|row| (row.get("reason"), row.get("detail"))).collect()
}

// T11, B27
#[tokio::test]
async fn without_the_app_nothing_goes_on_and_with_it_everybody_can_read_why() {
    for (how, word, again) in [
        ("uninstalled", "uninstalled", "installed"),
        ("suspended", "suspended", "unsuspended"),
        ("removed", "repositories_removed", "repositories_added"),
    ] {
        let world = World::new().await;
        let issue = at_work(&world).await;
        match how {
            "uninstalled" => world.sim.uninstall("octo"),
            "suspended" => world.sim.suspend("octo").await,
            _ => world.sim.remove_from_installation(REPO).await.expect("removed"),
        }
        world
            .until("the run is over", async || {
                world.pass(1_000);
                only_run(&world).await.status == Status::Done
            })
            .await;
        let run = only_run(&world).await;
        assert_eq!(run.outcome, Some(Outcome::Canceled), "{how}");
        assert_eq!(
            told_of_the_app(&world).await,
            [(word.to_owned(), format!("the App on octo: {word}; 1 run ended"))],
            "{how}"
        );
        match how {
            "uninstalled" => world.sim.reinstall("octo"),
            "suspended" => world.sim.unsuspend("octo").await,
            _ => world.sim.add_to_installation(REPO).await.expect("added"),
        }
        world.settle_soon().await;
        let told = told_of_the_app(&world).await;
        let back = (again.to_owned(), format!("the App on octo: {again}; 0 runs ended"));
        assert_eq!(told.last(), Some(&back), "{how}");
        let why = why(&world, issue).await;
        assert!(why.contains(&format!("the App on octo: {word}; run ")), "{how}: {why}");
    }
}

// T05
#[tokio::test]
async fn a_suspension_that_is_over_by_now_ends_nothing() {
    let world = World::new().await;
    world.sim.suspend("octo").await;
    let (_, suspend) = world.sent("installation").await;
    assert_eq!(suspend["action"], "suspend");
    world.sim.unsuspend("octo").await;
    world.settle().await;
    let issue = at_work(&world).await;
    assert_eq!(world.post("a-late-suspension", "installation", &suspend).await, 202);
    world.until("it is handled", async || told_of_the_app(&world).await.len() == 3).await;
    let told = ("suspended".to_owned(), "the App on octo: suspended; 0 runs ended".to_owned());
    assert_eq!(told_of_the_app(&world).await[2], told);
    world.signal("go");
    world.settle_soon().await;
    assert_eq!(only_run(&world).await.outcome, Some(Outcome::Succeeded));
    assert!(!decided(&world, issue).await.contains("suspended"));
}

/// An issue whose work is done, its pull request, and a follow-up at work that somebody asked for or a review started.
async fn following_up(world: &World, commanded: bool) -> (Number, Number) {
    world.agent(r#"commit hello.txt hello "feat: hello"; answer succeeded "Did." "feat: hello""#);
    let issue = world.work_on("Say hello", "").await;
    let pull = world.sim.pulls(REPO)[0].number;
    // Whatever becomes of the pull request says nothing of the issue.
    world.sim.edit_issue(REPO, MAINTAINER, pull, ("feat: hello", "A part of it.")).await.expect("edited");
    world.agent(SLOW);
    if commanded {
        world.comment(MAINTAINER, pull, "/track followup more").await;
    } else {
        world.sim.review(REPO, MAINTAINER, pull, "COMMENTED", "More.", &[]).await.expect("a review");
    }
    world.until_started(2).await;
    (issue, pull)
}

async fn line_state(world: &World, run: &track::db::runs::Run) -> LineState {
    let mut conn = world.db().read().await.expect("the database");
    track::db::lines::get(&mut conn, run.line.expect("a line")).await.expect("it is there").state
}

// B25, B40
#[tokio::test]
async fn merging_or_closing_the_pull_request_ends_follow_ups() {
    for (commanded, merged) in [(true, true), (false, true), (true, false), (false, false)] {
        let world = World::new().await;
        let (issue, pull) = following_up(&world, commanded).await;
        if merged {
            world.sim.merge_pull(REPO, MAINTAINER, pull).await.expect("merged");
        } else {
            world.sim.close(REPO, MAINTAINER, pull).await.expect("closed");
        }
        world.settle_soon().await;
        let run = world.runs().await.remove(0);
        assert_eq!((run.automatic, run.outcome), (!commanded, Some(Outcome::Canceled)), "merged: {merged}");
        let (state, word) = if merged { (LineState::Merged, "merged") } else { (LineState::Closed, "closed") };
        assert_eq!(line_state(&world, &run).await, state);
        let next =
            if merged { "`/track followup --fresh <text>` begins" } else { "`/track followup <text>` opens it again" };
        let said = [world.said(issue), world.said(pull)].concat().join("\n");
        assert!(said.contains("🛑 **Canceled**") && said.contains(&format!("**Next:** {next}")), "{said}");
        let why = why(&world, issue).await;
        let told = format!("pull request #{pull} is {word}; the next dispatch opens a new line, and 1 run ended");
        assert!(why.contains(&told), "{why}");
    }
}

#[tokio::test]
async fn a_pull_request_that_is_opened_again_is_gone_on_with() {
    let world = World::new().await;
    let (issue, pull) = following_up(&world, true).await;
    world.sim.close(REPO, MAINTAINER, pull).await.expect("closed");
    world.settle_soon().await;
    world.sim.reopen(REPO, MAINTAINER, pull).await.expect("open");
    world.settle_soon().await;
    let closed = world.runs().await.remove(0);
    assert_eq!(line_state(&world, &closed).await, LineState::Open);
    let why = why(&world, issue).await;
    assert!(why.contains(&format!("pull request #{pull} is open again; the next dispatch goes on with it")), "{why}");
    world.signal("go");
    world.comment(MAINTAINER, issue, "/track dispatch").await;
    world.settle_soon().await;
    let run = world.runs().await.remove(0);
    assert_eq!((run.outcome, run.line), (Some(Outcome::Succeeded), closed.line), "{:?}", run.detail);
}

#[tokio::test]
async fn a_task_whose_branch_was_merged_and_deleted_meanwhile_begins_a_line_of_its_own() {
    let world = World::new().await;
    world.agent(r#"commit hello.txt hello "feat: hello"; answer succeeded "Did." "feat: hello""#);
    let issue = world.work_on("Say hello", "").await;
    let first = world.sim.pulls(REPO).remove(0);
    world.agent(SLOW);
    world.comment(MAINTAINER, issue, "/track dispatch more").await;
    world.until_started(2).await;
    // Merged without closing the issue, which would end the run.
    world.sim.edit_issue(REPO, MAINTAINER, first.number, ("feat: hello", "A part of it.")).await.expect("edited");
    world.sim.merge_pull(REPO, MAINTAINER, first.number).await.expect("merged");
    world.sim.delete_branch(REPO, MAINTAINER, &first.head_ref).await.expect("deleted");
    world.sim.settled().await;
    world.signal("go");
    world.settle_soon().await;
    let run = world.runs().await.remove(0);
    assert_eq!(run.outcome, Some(Outcome::Succeeded), "{:?} {:?}", run.reason, run.detail);
    let pulls = world.sim.pulls(REPO);
    assert_eq!(pulls.len(), 2);
    assert!(pulls.iter().any(|pull| Some(pull.number) == run.pull && pull.state == "open"));
}

// B41
#[tokio::test]
async fn a_discarded_history_is_gone_from_lists_prompts_and_runners() {
    let world = World::new().await;
    world.agent(r#"answer blocked "Why?""#);
    let issue = world.work_on("Say hello", "").await;
    let run = only_run(&world).await;
    world.comment(MAINTAINER, issue, "/track discard").await;
    world.settle_soon().await;
    insta::assert_snapshot!(world.said(issue)[1], @"The history of 1 run is discarded. Its files on 1 runner are removed as soon as nothing is in the way.");
    assert_eq!(world.runs().await.len(), 0);
    let files = world.runner_root().join("runs").join(run.id.to_string());
    world.until("its files are gone", async || !files.exists()).await;
    world.comment(MAINTAINER, issue, "/track status").await;
    world.settle_soon().await;
    assert!(world.said(issue)[2].starts_with("No runs here yet"), "{:?}", world.said(issue));
}

// B41
#[tokio::test]
async fn files_on_a_runner_that_is_away_go_when_it_is_back() {
    let mut world = World::over_ssh().await;
    world.agent(r#"answer blocked "Why?""#);
    let issue = world.work_on("Say hello", "").await;
    let run = only_run(&world).await;
    let machine = world.sshd.as_mut().expect("a machine");
    let root = std::fs::read_dir(machine.home.join("track")).expect("the root").flatten().next().expect("one bot's");
    let files = root.path().join("threads").join(run.thread.to_string());
    machine.stop();
    world.sim.close(REPO, MAINTAINER, issue).await.expect("closed");
    world.settle_soon().await;
    let clean_up = async |world: &World| track::run::cleanup::clean_up(world.bot().context()).await.expect("a look");
    clean_up(&world).await;
    assert!(files.join("work/work").exists());

    // Asked for a second time, it is still to be done.
    world.comment(MAINTAINER, issue, "/track discard").await;
    world.settle_soon().await;
    insta::assert_snapshot!(world.said(issue)[1], @"The history of 1 run is discarded. Its files on 1 runner are removed as soon as nothing is in the way.");
    assert!(!world.decisions(issue).await.concat().contains("cleaned_up"));

    world.sshd.as_mut().expect("a machine").start_again();
    world
        .until("its files are gone", async || {
            clean_up(&world).await;
            !files.exists()
        })
        .await;
    world.until("it is noted", async || world.decisions(issue).await.concat().contains("cleaned_up")).await;
}

#[tokio::test]
async fn a_cancel_ends_both_lanes() {
    let world = World::new().await;
    world.agent(r#"commit hello.txt hello "feat: hello"; answer succeeded "Did." "feat: hello""#);
    let issue = world.work_on("Say hello", "").await;
    let pull = world.sim.pulls(REPO)[0].number;
    world.agent("say working; await never");
    world.comment(MAINTAINER, pull, "/track followup more\n\n/track review").await;
    world.until_started(3).await;
    world.comment(MAINTAINER, issue, "/track cancel").await;
    world.settle_soon().await;
    let runs = world.runs().await;
    assert_eq!(runs[..2].iter().map(|run| run.outcome).collect::<Vec<_>>(), [Some(Outcome::Canceled); 2]);
    assert!(runs[..2].iter().all(|run| run.left_processes == Some(0)));
}

#[tokio::test]
async fn what_changes_nothing_leaves_a_record() {
    let world = World::new().await;
    world.agent(r#"commit hello.txt hello "feat: hello"; answer succeeded "Did." "feat: hello""#);
    let issue = world.work_on("Say hello", "").await;
    let pull = world.sim.pulls(REPO).remove(0);
    world.sim.lock_issue(REPO, MAINTAINER, issue).await.expect("locked");
    world.sim.set_draft(REPO, MAINTAINER, pull.number, true).await.expect("a draft");
    world.sim.label(REPO, MAINTAINER, issue, "soon").await.expect("a label");
    world.sim.unlabel(REPO, MAINTAINER, issue, "soon").await.expect("it was on");
    world.settle_soon().await;
    assert_eq!(world.runs().await.len(), 1);
    for (number, words) in [
        (issue, "issues.locked starts nothing"),
        (issue, "the label is not the trigger label"),
        (issue, "taking a label off starts nothing"),
        (pull.number, "pull_request.converted_to_draft starts nothing"),
    ] {
        assert!(recorded(&world, number).await.contains(words), "{words}");
    }
}

#[tokio::test]
async fn taking_the_label_off_does_not_end_what_it_began() {
    let world = World::new().await;
    // The bot takes the label off when it has obeyed, so it is put on again for a person to take it off.
    let issue = at_work(&world).await;
    world.until("the label is taken off", async || world.labels(issue).is_empty()).await;
    world.sim.settled().await;
    let before = recorded(&world, issue).await.matches("taking a label off starts nothing").count();
    world.sim.label(REPO, STRANGER, issue, "track").await.expect("a label");
    world.sim.unlabel(REPO, MAINTAINER, issue, "track").await.expect("it was on");
    let off = async || recorded(&world, issue).await.matches("taking a label off starts nothing").count();
    world.until("it is recorded", async || off().await > before).await;
    assert_eq!(only_run(&world).await.status, Status::Running);
    world.signal("go");
    world.settle_soon().await;
    assert_eq!(only_run(&world).await.outcome, Some(Outcome::Succeeded));
}

#[tokio::test]
async fn a_branch_that_is_deleted_closes_its_pull_request() {
    let world = World::new().await;
    let (issue, pull) = following_up(&world, true).await;
    let branch = world.sim.pulls(REPO).remove(0).head_ref;
    world.sim.delete_branch(REPO, MAINTAINER, &branch).await.expect("deleted");
    world.settle_soon().await;
    let run = world.runs().await.remove(0);
    assert_eq!((run.outcome, line_state(&world, &run).await), (Some(Outcome::Canceled), LineState::Closed));
    let why = why(&world, issue).await;
    assert!(why.contains(&format!("pull request #{pull} is closed; the next dispatch opens a new line")), "{why}");
}

#[tokio::test]
async fn a_pull_request_that_leads_elsewhere_by_now_is_gone_on_with_there() {
    let world = World::new().await;
    world.agent(r#"commit hello.txt hello "feat: hello"; answer succeeded "Did." "feat: hello""#);
    world.work_on("Say hello", "").await;
    let pull = world.sim.pulls(REPO)[0].number;
    world.sim.commit_file(REPO, "next", "hello.txt", "something else\n").await.expect("a branch");
    world.sim.retarget(REPO, MAINTAINER, pull, "next").await.expect("another base");
    world.settle_soon().await;
    assert!(recorded(&world, pull).await.contains("edits start nothing"), "{}", recorded(&world, pull).await);
    world.agent(r#"commit more.txt more "feat: more"; answer succeeded "Did more.""#);
    world.comment(MAINTAINER, pull, "/track followup more").await;
    world.settle_soon().await;
    let run = world.runs().await.remove(0);
    assert_eq!((run.outcome, run.base_branch.as_deref()), (Some(Outcome::Succeeded), Some("next")));
    let said = world.said(pull).join("\n");
    assert!(said.contains("⚠️ It conflicts with `next` in `hello.txt`."), "{said}");
}

// T11
#[tokio::test]
async fn a_renamed_repository_is_the_same_and_an_archived_one_takes_nothing() {
    let world = World::new().await;
    world.agent(r#"commit hello.txt hello "feat: hello"; answer succeeded "Did." "feat: hello""#);
    let issue = world.work_on("Say hello", "").await;
    world.sim.rename(REPO, "hi").expect("renamed");
    world.sim.comment("octo/hi", MAINTAINER, issue, "/track followup more").await.expect("a comment");
    world.settle_soon().await;
    let runs = world.runs().await;
    assert_eq!((runs.len(), runs[0].repository), (2, runs[1].repository));
    world.sim.set_archived("octo/hi", true).expect("archived");
    world.sim.comment("octo/hi", MAINTAINER, issue, "/track followup more").await.ok();
    world.settle_soon().await;
    assert_eq!(world.runs().await.len(), 2);
    let told =
        ("repository_archived".to_owned(), "the repository octo/hi: repository_archived; 0 runs ended".to_owned());
    assert_eq!(told_of_the_app(&world).await, [told]);
}

#[tokio::test]
async fn a_repository_that_takes_nothing_any_more_ends_what_is_at_work_for_it() {
    for how in ["archived", "deleted"] {
        let world = World::new().await;
        let issue = at_work(&world).await;
        match how {
            "archived" => world.sim.set_archived(REPO, true).expect("archived"),
            _ => world.sim.delete_repository(REPO).await.expect("deleted"),
        }
        world
            .until("the run is over", async || {
                world.pass(1_000);
                only_run(&world).await.status == Status::Done
            })
            .await;
        let run = only_run(&world).await;
        assert_eq!((run.outcome, run.left_processes), (Some(Outcome::Canceled), Some(0)), "{how}");
        let what = format!("the repository octo/hello: repository_{how}");
        let told = (format!("repository_{how}"), format!("{what}; 1 run ended"));
        assert_eq!(told_of_the_app(&world).await, [told]);
        assert!(recorded(&world, issue).await.contains(&format!("{what}; run {} ended", run.id)), "{how}");
    }
}

// T11: the webhook that tells of it never comes.
#[tokio::test]
async fn a_repository_that_is_gone_is_named_as_the_reason() {
    let world = World::new().await;
    at_work(&world).await;
    world.sim.set_webhook_url(None);
    world.sim.delete_repository(REPO).await.expect("deleted");
    world.signal("go");
    world
        .until("the run is over", async || {
            world.pass(60_000);
            only_run(&world).await.status == Status::Done
        })
        .await;
    let run = only_run(&world).await;
    assert_eq!((run.outcome, run.reason), (Some(Outcome::Failed), Some(Reason::RepositoryUnusable)));
    let detail = run.detail.expect("a reason");
    assert!(detail.starts_with("the repository is gone, or the App has no access to it any more: "), "{detail}");
    assert!(run.result.is_some(), "what the agent left is kept");
}

// T05
#[tokio::test]
async fn a_repository_that_is_in_use_again_keeps_its_runs() {
    let world = World::new().await;
    at_work(&world).await;
    world.sim.set_webhook_url(None);
    world.sim.set_archived(REPO, true).expect("archived");
    world.sim.set_archived(REPO, false).expect("in use again");
    world.sim.set_webhook_url(Some(&format!("http://{}/webhooks/github", world.bot().address())));
    let (_, body) = world.sent("issues").await;
    let late = serde_json::json!({
        "action": "archived",
        "repository": body["repository"],
        "installation": body["installation"],
        "sender": body["sender"],
    });
    assert_eq!(world.post("a-late-archival", "repository", &late).await, 202);
    world.until("it is handled", async || told_of_the_app(&world).await.len() == 1).await;
    world.signal("go");
    world.settle_soon().await;
    assert_eq!(only_run(&world).await.outcome, Some(Outcome::Succeeded));
}
