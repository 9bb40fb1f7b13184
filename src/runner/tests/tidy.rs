//! What lies on a machine: counted, and removed once nothing needs it.

use super::*;

/// Makes a folder that is two days old.
fn old(path: &Path) {
    std::fs::create_dir_all(path).unwrap();
    let done = Command::new("touch").args(["-d", "2 days ago"]).arg(path).status().unwrap();
    assert!(done.success());
}

impl Lab {
    /// Cleans when every run is known.
    async fn clean(&self, threads: &[ThreadId], repositories: &[RepositoryId]) -> Result<Removed, RunnerError> {
        self.machine.clean(threads, repositories, Some(RunId::new())).await
    }
}

// B43: what a kept thread has stays, and all else goes.
#[tokio::test]
async fn cleaning_keeps_what_is_named() {
    for sandbox in BOTH {
        let lab = Lab::new(sandbox).await;
        let kept = lab.agent("mkdir target; touch target/kept");
        lab.run(&kept).await;
        let mut gone = lab.agent("mkdir deep; chmod 0 deep; chmod a-w .");
        gone.repository = RepositoryId(12);
        lab.run(&gone).await;
        let removed = lab.clean(&[kept.thread], &[kept.repository]).await.unwrap();
        assert_eq!(removed, Removed { runs: 1, workspaces: 1, repositories: 1 });
        assert!(lab.turn_dir(&kept).exists() && lab.work(&kept).join("target/kept").exists());
        assert_eq!(lab.status(&gone).await.state, State::Unknown);
        assert!(!lab.work(&gone).parent().unwrap().parent().unwrap().exists());
        let nothing = Removed { runs: 0, workspaces: 0, repositories: 0 };
        assert_eq!(lab.clean(&[kept.thread], &[kept.repository]).await.unwrap(), nothing);
    }
}

#[tokio::test]
async fn a_live_run_that_no_thread_needs_is_ended() {
    for sandbox in BOTH {
        let lab = Lab::new(sandbox).await;
        let (kept, gone) = (lab.agent("sleep 1000"), lab.agent("sleep 1000 & sleep 1000"));
        lab.start(&kept).await;
        lab.start(&gone).await;
        let removed = lab.clean(&[kept.thread], &[REPOSITORY]).await.unwrap();
        assert_eq!(removed, Removed { runs: 1, workspaces: 1, repositories: 0 });
        assert!(processes_with(&gone.run.to_string()).is_empty());
        assert!(matches!(lab.status(&kept).await.state, State::Running { .. }));
        lab.machine.cancel(kept.run, 1).await.unwrap();
        lab.assert_quiet().await;
    }
}

// The request for it may come to the machine after a run that was queued later.
#[tokio::test]
async fn a_run_that_came_after_the_lists_is_left_alone() {
    let lab = Lab::new(Sandbox::None).await;
    let earlier = lab.agent("true");
    lab.run(&earlier).await;
    let over = lab.agent("true");
    lab.run(&over).await;
    let newest = over.run;
    let mut later = Start { thread: earlier.thread, ..lab.agent("sleep 1000") };
    later.repository = RepositoryId(12);
    lab.start(&later).await;
    let removed = lab.machine.clean(&[], &[], Some(newest)).await.unwrap();
    assert_eq!(removed, Removed { runs: 1, workspaces: 1, repositories: 0 });
    assert!(matches!(lab.status(&later).await.state, State::Running { .. }));
    assert!(lab.work(&later).exists() && lab.turn_dir(&earlier).exists());
    let nothing = Removed { runs: 0, workspaces: 0, repositories: 0 };
    assert_eq!(lab.machine.clean(&[], &[], None).await.unwrap(), nothing);
    assert_eq!(lab.clean(&[], &[]).await.unwrap(), Removed { runs: 2, workspaces: 1, repositories: 2 });
    lab.assert_quiet().await;
}

// A start that the lists do not know of yet is not disturbed.
#[tokio::test]
async fn a_start_at_work_is_left_alone() {
    let lab = Lab::new(Sandbox::None).await;
    let first = lab.agent("true");
    lab.run(&first).await;
    let lane = lab.work(&first).parent().unwrap().to_owned();
    let lock = std::fs::File::open(lane.join("prepare.lock")).unwrap();
    lock.lock().unwrap();
    let nothing = Removed { runs: 0, workspaces: 0, repositories: 0 };
    assert_eq!(lab.clean(&[], &[REPOSITORY]).await.unwrap(), nothing);
    drop(lock);
    assert_eq!(lab.clean(&[], &[REPOSITORY]).await.unwrap(), Removed { runs: 1, workspaces: 1, ..nothing });
}

// B41, B43
#[tokio::test]
async fn what_is_being_prepared_is_not_removed() {
    let lab = Lab::new(Sandbox::None).await;
    let first = lab.agent("true");
    lab.run(&first).await;
    let lane = lab.work(&first).parent().unwrap().to_owned();
    let lock = std::fs::File::open(lane.join("prepare.lock")).unwrap();
    lock.lock().unwrap();
    for refused in [lab.machine.discard(first.thread).await, lab.machine.reset().await] {
        assert!(matches!(&refused, Err(RunnerError::Busy(text)) if text == "a start is at work"), "{refused:?}");
    }
    assert!(lab.turn_dir(&first).exists() && lab.work(&first).exists());
    drop(lock);
    let removed = lab.machine.discard(first.thread).await.unwrap();
    assert_eq!(removed, Removed { runs: 1, workspaces: 1, repositories: 0 });
    assert!(std::fs::read_dir(lab.base().join("threads")).unwrap().next().is_none());
}

// The lock that a start waited for may belong to a folder that is gone by then.
#[tokio::test]
async fn a_start_that_waited_for_a_removed_workspace_begins_again() {
    let lab = Lab::new(Sandbox::None).await;
    let first = lab.agent("true");
    lab.run(&first).await;
    let lane = lab.work(&first).parent().unwrap().to_owned();
    let lock = std::fs::File::open(lane.join("prepare.lock")).unwrap();
    lock.lock().unwrap();
    let next = Start { thread: first.thread, ..lab.agent("true") };
    lab.give(&next).await;
    let waits = format!(":{} ", std::os::unix::fs::MetadataExt::ino(&lock.metadata().unwrap()));
    let (machine, waiting) = (lab.machine.clone(), next.clone());
    let answer = tokio::spawn(async move { machine.start(&waiting, &mut |_| ()).await });
    until("the start waits", || {
        let locks = std::fs::read_to_string("/proc/locks").unwrap();
        locks.lines().any(|line| line.contains("-> FLOCK") && line.contains(&waits))
    })
    .await;
    let thread = lane.parent().unwrap();
    std::fs::rename(thread, thread.with_file_name(".gone-a")).unwrap();
    drop(lock);
    let refused = answer.await.unwrap();
    assert!(matches!(&refused, Err(RunnerError::Busy(text)) if text.contains("removed")), "{refused:?}");
    lab.run(&next).await;
    assert!(lab.work(&next).exists());
}

// What could not be removed is not forgotten with its name.
#[tokio::test]
async fn a_removal_that_was_cut_is_ended_by_the_next() {
    let lab = Lab::new(Sandbox::None).await;
    let first = lab.agent("true");
    lab.run(&first).await;
    let threads = lab.base().join("threads");
    let thread = threads.join(first.thread.to_string());
    let left =
        [format!(".gone-{}-1", first.thread), format!(".gone-{}-1", ThreadId::new())].map(|name| threads.join(name));
    std::fs::rename(thread, &left[0]).unwrap();
    std::fs::create_dir(&left[1]).unwrap();
    let removed = lab.machine.discard(first.thread).await.unwrap();
    assert_eq!(removed, Removed { runs: 1, workspaces: 1, repositories: 0 });
    assert!(!left[0].exists() && left[1].exists());
    lab.clean(&[], &[REPOSITORY]).await.unwrap();
    assert!(!left[1].exists());
}

#[tokio::test]
async fn leftovers_and_scripts_that_nobody_uses_go() {
    let lab = Lab::new(Sandbox::None).await;
    let kept = lab.agent("true");
    lab.run(&kept).await;
    let base = lab.base();
    let lane = lab.work(&kept).parent().unwrap().to_owned();
    let leftovers =
        [base.join("runs/.stage-a"), lane.join(".trash-a"), base.join("repos/.new-a"), base.join("bin/.new-a")];
    leftovers.iter().for_each(|path| old(path));
    let (used, unused) = (base.join("bin/runner-0a.sh"), base.join("bin/runner-0b.sh"));
    std::fs::write(&used, "").unwrap();
    std::fs::write(&unused, "").unwrap();
    let of_an_update = base.join("runs").join(RunId::new().to_string());
    std::fs::create_dir(&of_an_update).unwrap();
    std::fs::write(of_an_update.join("script"), "runner-0a.sh\n").unwrap();
    std::fs::write(of_an_update.join("thread"), format!("{}\n", kept.thread)).unwrap();
    let (young, unstarted) = (base.join("runs/.stage-b"), base.join("runs").join(RunId::new().to_string()));
    std::fs::create_dir_all(&young).unwrap();
    old(&unstarted);
    let removed = lab.clean(&[kept.thread], &[REPOSITORY]).await.unwrap();
    assert_eq!(removed, Removed { runs: 1, workspaces: 0, repositories: 0 });
    for gone in leftovers.iter().chain([&unused, &unstarted]) {
        assert!(!gone.exists(), "{}", gone.display());
    }
    assert!(used.exists() && young.exists());
    assert!(matches!(lab.status(&kept).await.state, State::Ended(_)));
}

// A request that was cut would remove what its missing half keeps.
#[tokio::test]
async fn half_a_request_removes_nothing() {
    let lab = Lab::new(Sandbox::None).await;
    let kept = lab.agent("true");
    lab.run(&kept).await;
    let script = std::fs::read_dir(lab.base().join("bin")).unwrap().next().unwrap().unwrap().path();
    for request in ["", "keep=01ARZ3NDEKTSV4RRFFQ69G5FAV\0", "keep=../x\0\0", "kept=1\0\0", "newest=1\0\0"] {
        let output = Command::new("bash")
            .args(["-c", "printf %b \"$2\" | bash \"$1\" clean", "bash"])
            .arg(&script)
            .arg(request.replace('\0', "\\0"))
            .output()
            .unwrap();
        assert!(output.stdout.starts_with(b"error protocol"), "{request:?}: {output:?}");
    }
    assert!(lab.turn_dir(&kept).exists());
}

#[tokio::test]
async fn what_lies_there_is_counted() {
    let lab = Lab::new(Sandbox::None).await;
    lab.run(&lab.agent("head -c 3000000 /dev/zero >zeros")).await;
    let usage = lab.machine.usage().await.unwrap();
    assert!(usage.used.unwrap() > 3_000_000 && usage.free > 0, "{usage:?}");
    let checks = lab.machine.look(&[], &mut |_| ()).await.unwrap().checks;
    let disk = checks.iter().find(|check| check.what == "disk").unwrap();
    assert!(disk.found.contains(" MiB free, ") && disk.found.contains(" MiB taken below /"), "{disk:?}");
}
