//! How turns end: by themselves, by a limit, by a cancellation, by death; and that nothing survives.

use super::*;

// B10, T36: canceled at any time, with children that left the session.
#[tokio::test]
async fn a_cancellation_ends_everything() {
    for sandbox in BOTH {
        let lab = Lab::new(sandbox).await;
        let hidden = format!("exec -a {} sleep 1000", lab.home.path().display());
        let start = lab.agent(&format!(
            "setsid sleep 1000 & (setsid env -i bash -c '{hidden}' &) ; echo ready; trap '' TERM; sleep 1000"
        ));
        lab.start(&start).await;
        let mut attach = lab.machine.attach(start.run, 1, 1, 0).await.unwrap();
        let mut journal = Vec::new();
        while !String::from_utf8_lossy(&journal).contains("\tready\n") {
            journal.extend(attach.next().await.unwrap().unwrap());
        }
        assert!(matches!(lab.status(&start).await.state, State::Running { .. }));
        let canceled = lab.machine.cancel(start.run, 1).await.unwrap();
        assert_eq!(canceled, Canceled { left: 0, proven: sandbox == Sandbox::Bubblewrap });
        while let Some(bytes) = attach.next().await {
            bytes.unwrap();
        }
        let turn = lab.status(&start).await;
        let State::Ended(exit) = &turn.state else { panic!("{turn:?}") };
        assert_eq!((exit.reason, turn.canceled), (ExitReason::Canceled, true));
        assert_eq!(lab.machine.cancel(start.run, 1).await.unwrap().left, 0, "again");
        assert!(matches!(lab.machine.start(&start, &mut |_| ()).await, Err(RunnerError::Canceled)));
        lab.assert_quiet().await;
    }
}

// B10: canceled while preparing, or before anything reached the runner.
#[tokio::test]
async fn what_is_canceled_before_its_start_never_starts() {
    let lab = Lab::new(Sandbox::Bubblewrap).await;
    let start = lab.agent("touch ran");
    assert_eq!(lab.machine.cancel(start.run, 1).await.unwrap(), Canceled { left: 0, proven: true });
    lab.give(&start).await;
    assert!(matches!(lab.machine.start(&start, &mut |_| ()).await, Err(RunnerError::Canceled)));
    assert_eq!(lab.status(&start).await.state, State::Unknown);
    assert!(lab.status(&start).await.canceled);

    for _ in 0..10 {
        let start = lab.agent("echo ready; sleep 1000");
        lab.give(&start).await;
        let mut ignore = |_| ();
        let (started, canceled) =
            tokio::join!(lab.machine.start(&start, &mut ignore), lab.machine.cancel(start.run, 1));
        assert_eq!(canceled.unwrap().left, 0);
        match started {
            Err(RunnerError::Canceled) => (),
            Ok(_) => assert!(matches!(lab.status(&start).await.state, State::Ended(_))),
            Err(other) => panic!("{other:?}"),
        }
    }
    lab.assert_quiet().await;
}

// F08: limits hold without the bot.
#[tokio::test]
async fn time_and_silence_are_limited() {
    for sandbox in BOTH {
        let lab = Lab::new(sandbox).await;
        let mut start = lab.agent("trap '' TERM; while :; do echo x; sleep 0.05; done");
        start.wall = Duration::from_millis(400);
        let (exit, turn) = lab.run(&start).await;
        assert_eq!((exit.reason, exit.signal), (ExitReason::WallClock, Some(9)));
        assert!(exit.finished_at - exit.started_at < 2_000, "{exit:?}");
        assert!(frames(&turn.journal, "o").len() > 3);

        let mut start = lab.agent("echo x; printf partial; setsid sleep 1000");
        start.silence = Duration::from_secs(2);
        let (exit, turn) = lab.run(&start).await;
        assert_eq!(exit.reason, ExitReason::Silence);
        assert!(exit.finished_at - exit.started_at < 3_500, "{exit:?}");
        assert_eq!(frames(&turn.journal, "o")[0], "x");
        lab.assert_quiet().await;
    }
}

// The certain kind of death.
#[tokio::test]
async fn a_killed_supervisor_is_a_death_and_takes_the_agent_along() {
    for sandbox in BOTH {
        let lab = Lab::new(sandbox).await;
        let start = lab.agent("echo ready; exec sleep 1000");
        lab.start(&start).await;
        let started = std::fs::read_to_string(lab.turn_dir(&start).join("started")).unwrap();
        let pid = started.split_whitespace().nth(2).unwrap();
        let mut attach = lab.machine.attach(start.run, 1, 1, 0).await.unwrap();
        let mut journal = Vec::new();
        while !String::from_utf8_lossy(&journal).contains("\tready\n") {
            journal.extend(attach.next().await.unwrap().unwrap());
        }
        assert!(Command::new("kill").args(["-KILL", pid]).status().unwrap().success());
        while let Some(bytes) = attach.next().await {
            bytes.unwrap();
        }
        let turn = lab.status(&start).await;
        assert!(matches!(turn.state, State::Died { .. }), "{turn:?}");
        assert_eq!(lab.machine.cancel(start.run, 1).await.unwrap().left, 0);
        let again = lab.machine.start(&start, &mut |_| ()).await;
        assert!(matches!(again, Err(RunnerError::Canceled)), "{again:?}");
        lab.assert_quiet().await;
    }
}

// F09: what still runs after the agent does not hold the result back.
#[tokio::test]
async fn a_child_that_holds_the_output_is_ended() {
    for sandbox in BOTH {
        let lab = Lab::new(sandbox).await;
        let start = lab.agent("(setsid sleep 1000 &); sleep 1000 & echo done; exit 7");
        let (exit, turn) = lab.run(&start).await;
        assert_eq!((exit.code, exit.reason, exit.left), (7, ExitReason::Exited, 0));
        assert!(exit.finished_at - exit.started_at < 1_500, "{exit:?}");
        assert_eq!(frames(&turn.journal, "o"), ["done"]);
        lab.assert_quiet().await;
    }
}

// F08: a line without an end neither fills memory nor hides what follows.
#[tokio::test]
async fn long_lines_are_cut() {
    let lab = Lab::new(Sandbox::Bubblewrap).await;
    let start = lab.agent(
        "head -c 300000 /dev/zero | tr '\\0' a; echo; head -c 2500000 /dev/zero | tr '\\0' b; echo; echo after; \
         head -c 500000 /dev/zero | tr '\\0' c; echo",
    );
    let (_, turn) = lab.run(&start).await;
    let lines = frames(&turn.journal, "o");
    let shape: Vec<_> = lines.iter().map(|line| (line.len(), &line[..1])).collect();
    assert_eq!(shape, [(262_144, "a"), (262_144, "b"), (5, "a"), (262_144, "c")]);
    assert_eq!(frames(&turn.journal, "t").len(), 4, "{:?}", frames(&turn.journal, "t"));
    assert_eq!(turn.last.unwrap().size, 500_000);
}

// F08, T37: a full journal takes only what tells the costs, and that not without end.
#[tokio::test]
async fn a_full_journal_stays_full() {
    let lab = Lab::new(Sandbox::Bubblewrap).await;
    let start = lab.agent(
        r#"long=$(printf %5000s); for i in {1..30}; do echo "$long"; done
           echo '{"usage":1}'; echo "{\"usage\":2,\"x\":\"$long\"}"; echo plain; for i in {1..500}; do echo '{"usage":3}'; done"#,
    );
    lab.give(&start).await;
    lab.change_script("JOURNAL_FULL=67108864", "JOURNAL_FULL=100000");
    lab.change_script("JOURNAL_MOST=71303168", "JOURNAL_MOST=104000");
    lab.machine.start(&start, &mut |_| ()).await.unwrap();
    let turn = lab.end(&start).await;
    let lines = frames(&turn.journal, "o");
    let (long, short): (Vec<_>, Vec<_>) = lines.iter().partition(|line| line.starts_with(' '));
    assert_eq!((long.len(), short[0].as_str()), (20, r#"{"usage":1}"#));
    assert!(short[1..].iter().all(|line| *line == r#"{"usage":3}"#), "{short:?}");
    assert!((102_000..106_000).contains(&turn.journal.len()), "{}", turn.journal.len());
    assert_eq!(turn.last.unwrap().bytes, br#"{"usage":3}"#);
}

// F05: resuming at any offset gives the same bytes.
#[tokio::test]
async fn a_journal_is_read_from_any_offset() {
    let lab = Lab::new(Sandbox::Bubblewrap).await;
    let start = lab
        .agent("for i in {1..400}; do printf 'line %d \\001\\377 \\t x\\n' $i; done; read -t 0.2 <> <(:); seq 50000");
    lab.start(&start).await;
    let mut collected = Vec::new();
    // The connection is dropped again and again.
    for _ in 0..4 {
        let mut attach = lab.machine.attach(start.run, 1, 1, collected.len() as u64).await.unwrap();
        if let Some(bytes) = attach.next().await {
            collected.extend(bytes.unwrap());
        }
    }
    let mut attach = lab.machine.attach(start.run, 1, 1, collected.len() as u64).await.unwrap();
    while let Some(bytes) = attach.next().await {
        collected.extend(bytes.unwrap());
    }
    loop {
        let turn = lab.machine.status(start.run, 1, 1, collected.len() as u64).await.unwrap();
        collected.extend(&turn.journal);
        if !turn.more {
            assert!(matches!(turn.state, State::Ended(_)));
            break;
        }
    }
    let whole = std::fs::read(lab.turn_dir(&start).join("sup/journal")).unwrap();
    assert!(whole.len() > 1_048_576, "more than one status can carry");
    assert!(collected == whole);
    assert_eq!(frames(&whole, "o").len(), 50_400);
    lab.assert_quiet().await;
}

// T35: the answer is read only if it is a file.
#[tokio::test]
async fn an_answer_that_is_no_file_is_none() {
    for make in ["ln -s /etc/passwd \"$2/answer.json\"", "mkfifo \"$2/answer.json\"", "mkdir \"$2/answer.json\""] {
        let lab = Lab::new(Sandbox::Bubblewrap).await;
        let (_, turn) = lab.run(&lab.agent(make)).await;
        assert_eq!(turn.answer, None, "{make}");
    }
    let lab = Lab::new(Sandbox::Bubblewrap).await;
    let (_, turn) = lab.run(&lab.agent("head -c 5000000 /dev/zero >\"$2/answer.json\"")).await;
    let answer = turn.answer.unwrap();
    assert_eq!((answer.bytes.len(), answer.size), (1_048_576, 5_000_000));
}

// B41, B43
#[tokio::test]
async fn what_lives_is_not_removed() {
    let lab = Lab::new(Sandbox::Bubblewrap).await;
    let start = lab.agent("sleep 1000");
    lab.start(&start).await;
    assert!(matches!(lab.machine.discard(start.thread).await, Err(RunnerError::Busy(_))));
    let busy = lab.machine.reset().await.unwrap_err();
    assert!(matches!(&busy, RunnerError::Busy(text) if text.contains(&start.run.to_string())), "{busy:?}");
    lab.machine.cancel(start.run, 1).await.unwrap();
    assert_eq!(lab.machine.discard(start.thread).await.unwrap(), Removed { runs: 1, workspaces: 1, repositories: 0 });
    assert_eq!(lab.status(&start).await.state, State::Unknown);
    assert_eq!(lab.machine.reset().await.unwrap(), Removed { runs: 0, workspaces: 0, repositories: 1 });
    assert!(!lab.base().exists());
    lab.run(&lab.agent("true")).await;
}

// B10: once the agent is gone, its number may be that of another session, which is left alone.
#[tokio::test]
async fn a_cancellation_ends_no_stranger() {
    let lab = Lab::new(Sandbox::None).await;
    let start = lab.agent("true");
    lab.run(&start).await;
    let mut stranger = Command::new("setsid").args(["sleep", "1000"]).spawn().unwrap();
    let file = lab.turn_dir(&start).join("sup/agent");
    let line = std::fs::read_to_string(&file).unwrap();
    let born = line.trim_end().rsplit(' ').next().unwrap();
    std::fs::write(&file, format!("{} 63 {born}\n", stranger.id())).unwrap();
    assert_eq!(lab.machine.cancel(start.run, 1).await.unwrap().left, 0);
    // The supervisor died, and has left no word of it.
    std::fs::remove_file(lab.turn_dir(&start).join("exit.json")).unwrap();
    assert_eq!(lab.machine.cancel(start.run, 1).await.unwrap().left, 0);
    assert_eq!(stranger.try_wait().unwrap(), None);
    stranger.kill().unwrap();
    stranger.wait().unwrap();
}

// T36: a process hides behind no name.
#[tokio::test]
async fn a_name_with_a_newline_hides_nothing() {
    let lab = Lab::new(Sandbox::None).await;
    let hides = r#"cp "$(type -P sleep)" $'a\nb'; env -i setsid ./$'a\nb' 1000 >/dev/null 2>&1 & until [[ -e go ]]; do sleep 0.01; done"#;
    let start = lab.agent(hides);
    lab.start(&start).await;
    let hidden = || processes_with("./a\nb 1000");
    until("it runs", || !hidden().is_empty()).await;
    lab.machine.cancel(start.run, 1).await.unwrap();
    assert_eq!(hidden(), Vec::<u32>::new());
}

// F07: a full disk is a stated ending, not a death.
#[tokio::test]
async fn a_full_disk_does_not_swallow_the_ending() {
    let lab = Lab::new(Sandbox::None).await;
    let start = lab.agent("until [[ -e go ]]; do sleep 0.01; done; echo lost; exit 3");
    lab.start(&start).await;
    let last = lab.turn_dir(&start).join("sup/last");
    std::fs::remove_file(&last).unwrap();
    std::os::unix::fs::symlink("/dev/full", last).unwrap();
    std::fs::write(lab.work(&start).join("go"), "").unwrap();
    let turn = lab.end(&start).await;
    let State::Ended(exit) = &turn.state else { panic!("{turn:?}") };
    assert_eq!((exit.code, exit.reason, exit.disk_full), (3, ExitReason::Exited, true));
    lab.assert_quiet().await;
}

// F07: where not even a file can be made any more, the last word stands in files that were made before the agent.
#[tokio::test]
async fn the_ending_needs_no_new_file() {
    use std::os::unix::fs::MetadataExt;
    let lab = Lab::new(Sandbox::None).await;
    let start = lab.agent("until [[ -e go ]]; do sleep 0.01; done; echo bye");
    lab.start(&start).await;
    let file = |name: &str| std::fs::metadata(lab.turn_dir(&start).join(name)).unwrap();
    let before = [file(".exit.json"), file("sup/last")].map(|file| file.ino());
    assert!(file(".exit.json").len() > 256);
    std::fs::write(lab.work(&start).join("go"), "").unwrap();
    let turn = lab.end(&start).await;
    assert!(matches!(turn.state, State::Ended(_)), "{turn:?}");
    assert_eq!(turn.last.unwrap().bytes, b"bye");
    assert_eq!([file("exit.json"), file("sup/last")].map(|file| file.ino()), before);
}
