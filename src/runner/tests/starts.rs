//! Preparing and launching: what arrives, what is refused, and that one turn is one agent.

use super::*;
use crate::model::Phase;

// B05, B08, B12: the whole way of one run.
#[tokio::test]
async fn a_run_from_push_to_answer() {
    for sandbox in BOTH {
        let lab = Lab::new(sandbox).await;
        let start = lab.agent(
            r#"read line; echo "prompt: $line"; git log --format=%s; git branch --show-current; echo oops >&2
               echo '{"status":"succeeded"}' >"$2/answer.json"; echo last"#,
        );
        lab.give(&start).await;
        let mut phases = Vec::new();
        let started = lab.machine.start(&start, &mut |phase| phases.push(phase)).await.unwrap();
        assert!(!started.again);
        let expected = [Phase::CheckingRunner, Phase::PreparingWorkspace, Phase::UploadingPrompt, Phase::Launching];
        assert_eq!(phases, expected);
        let turn = lab.end(&start).await;
        let State::Ended(exit) = &turn.state else { panic!("{turn:?}") };
        assert_eq!((exit.code, exit.signal, exit.reason, exit.left), (0, None, ExitReason::Exited, 0));
        assert_eq!(exit.started_at, started.at);
        assert!(exit.finished_at >= exit.started_at && turn.now >= exit.finished_at);
        assert_eq!(frames(&turn.journal, "o"), ["prompt: do it", "feat: first", "track/issue-1-abcdefgh", "last"]);
        assert_eq!(frames(&turn.journal, "p"), ["preparing_workspace", "uploading_prompt", "launching"]);
        assert_eq!(turn.answer.unwrap().bytes, b"{\"status\":\"succeeded\"}\n");
        assert_eq!(turn.last.unwrap().bytes, b"last");
        assert_eq!(turn.stderr.unwrap().bytes, b"oops\n");
        assert!(!turn.more && !turn.canceled);
        lab.assert_quiet().await;
    }
}

// F01, F16: whoever repeats a start gets the same agent.
#[tokio::test]
async fn starts_at_the_same_time_make_one_agent() {
    for sandbox in BOTH {
        let lab = Lab::new(sandbox).await;
        let start = lab.agent("echo run >>executions; read -r go <\"$1/prompt.md\"; sleep 0.3");
        lab.give(&start).await;
        let launch = async || lab.machine.start(&start, &mut |_| ()).await.unwrap().again;
        let (a, b, c) = tokio::join!(launch(), launch(), launch());
        assert_eq!([a, b, c].iter().filter(|again| !**again).count(), 1);
        lab.end(&start).await;
        assert!(lab.machine.start(&start, &mut |_| ()).await.unwrap().again, "a late repetition");
        assert_eq!(std::fs::read_to_string(lab.work(&start).join("executions")).unwrap(), "run\n");
        lab.assert_quiet().await;
    }
}

// A start that is killed anywhere is repeated, and makes one agent.
#[tokio::test]
async fn a_start_killed_anywhere_can_be_repeated() {
    let lab = Lab::new(Sandbox::Bubblewrap).await;
    let seen = lab.agent("true");
    lab.run(&seen).await;
    for milliseconds in [5, 15, 25, 35, 45, 55, 65, 80, 100] {
        let start = lab.agent("echo run >>executions; true");
        lab.give(&start).await;
        let id = start.run.to_string();
        let machine = lab.machine.clone();
        let copy = start.clone();
        let first = tokio::spawn(async move { machine.start(&copy, &mut |_| ()).await.map(|_| ()) });
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
        for pid in processes_with(&format!("start {id}")) {
            let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).output();
        }
        let _ = first.await.unwrap();
        lab.machine.start(&start, &mut |_| ()).await.unwrap();
        lab.end(&start).await;
        assert_eq!(std::fs::read_to_string(lab.work(&start).join("executions")).unwrap(), "run\n");
    }
    lab.assert_quiet().await;
}

// T22: what people wrote arrives byte for byte and is never executed.
#[tokio::test]
async fn metacharacters_arrive_as_they_are() {
    for sandbox in BOTH {
        let lab = Lab::new(sandbox).await;
        let canary = lab.home.path().join("canary");
        let payload = format!(
            "$(touch {0})`touch {0}`;touch {0}\n'\"&|>{0} \\ {{work}} {{in}}/x \u{3000}\u{1}é",
            canary.display()
        );
        let mut start = lab.agent(
            r#"cat >"$2/answer.json"; printf %s "$TEXT" >>"$2/answer.json"; printf '%s' "$7" >>"$2/answer.json"; git branch --show-current"#,
        );
        let branch = "track/$(touch${IFS}x);'\"&|`id`-{work}";
        start.branch = branch.to_owned();
        start.files = vec![("prompt.md".to_owned(), payload.clone().into_bytes())];
        start.env.push(("TEXT".to_owned(), payload.clone()));
        let word = payload.replace("{in}", "in").replace("{work}", "work");
        start.command.extend(["4", "5", "6", &word].map(str::to_owned));
        let (_, turn) = lab.run(&start).await;
        assert_eq!(String::from_utf8(turn.answer.unwrap().bytes).unwrap(), format!("{payload}{payload}{word}"));
        assert_eq!(frames(&turn.journal, "o"), [branch]);
        assert!(!canary.exists());
        for bad in ["-x", "a b", "a..b", "a\nb", "x.lock", ""] {
            let mut start = lab.agent("true");
            start.branch = bad.to_owned();
            lab.give(&start).await;
            assert!(lab.machine.start(&start, &mut |_| ()).await.is_err(), "{bad:?}");
        }
        lab.assert_quiet().await;
    }
}

// B09, T30: what the prelude exports reaches the agent, the bot's environment does not.
#[tokio::test]
async fn the_agent_gets_the_prelude_and_nothing_of_ours() {
    for sandbox in BOTH {
        let prelude = "echo noise; export KEY='a b\n$c' PATH=\"$PATH:/opt/x\"; HIDDEN=1";
        let lab = Lab::with(sandbox, |config| config.prelude = prelude.to_owned()).await;
        let start = lab.agent(r#"env -0 >"$2/answer.json""#);
        let (_, turn) = lab.run(&start).await;
        let answer = turn.answer.unwrap().bytes;
        let mut all: Vec<&str> = std::str::from_utf8(&answer).unwrap().split_terminator('\0').collect();
        all.sort_unstable();
        assert!(all.contains(&"KEY=a b\n$c") && all.contains(&"TRACK_KIND=task"));
        assert!(all.contains(&format!("TRACK_RUN_ID={}", start.run).as_str()));
        let names: Vec<&str> = all.iter().filter_map(|each| each.split('=').next()).collect();
        let expected = [
            "HOME",
            "KEY",
            "LANG",
            "LOGNAME",
            "PATH",
            "PWD",
            "SHELL",
            "SHLVL",
            "TMPDIR",
            "TRACK_KIND",
            "TRACK_RUN_ID",
            "USER",
            "_",
        ];
        assert_eq!(names, expected);
        assert!(all.iter().any(|each| each.starts_with("PATH=") && each.ends_with(":/opt/x")));
        assert_eq!(std::fs::read(lab.turn_dir(&start).join("sup/env")).unwrap(), b"", "secrets stay on disk");
    }
}

#[tokio::test]
async fn a_prelude_that_ends_the_shell_is_named() {
    let lab = Lab::with(Sandbox::None, |config| config.prelude = "exit 3".to_owned()).await;
    let start = lab.agent("true");
    lab.give(&start).await;
    let error = lab.machine.start(&start, &mut |_| ()).await.unwrap_err();
    insta::assert_snapshot!(error, @"lacks something: the prelude ended the shell: look at this runner's prelude: it must not call exit or fail under bash");
}

// What a prelude leaves running, an agent for keys for instance, holds neither the lane nor the start.
#[tokio::test]
async fn a_prelude_may_leave_something_running() {
    let lab = Lab::with(Sandbox::None, |config| {
        config.prelude = format!("export LAB={}; sleep 1000 & (while sleep 1; do :; done) &", config.root);
    })
    .await;
    let first = lab.agent("true");
    lab.give(&first).await;
    let start = |run: Start| {
        let machine = lab.machine.clone();
        async move { tokio::time::timeout(Duration::from_secs(4), machine.start(&run, &mut |_| ())).await }
    };
    start(first.clone()).await.expect("in time").unwrap();
    lab.end(&first).await;
    let mut second = lab.agent("true");
    second.thread = first.thread;
    lab.give(&second).await;
    start(second.clone()).await.expect("in time").unwrap();
    lab.end(&second).await;
    for pid in processes_with(lab.home.path().to_str().unwrap()) {
        let _ = Command::new("kill").arg(pid.to_string()).output();
    }
}

// T28, T34: inside there is the workspace, the home, and nothing else of ours.
#[tokio::test]
async fn the_sandbox_hides_what_is_ours() {
    let lab = Lab::with(Sandbox::Bubblewrap, |config| {
        config.read_write = vec!["/tmp".to_owned()];
        config.network = crate::config::Network::None;
    })
    .await;
    let start = lab.agent(
        r#"echo "$UID"; cd "$3/../../../.." && find . -mindepth 1 -maxdepth 2 | sort; ls "$1/.."; ls "$2/../sup" 2>&1
           (echo x >"$1/prompt.md") 2>/dev/null || echo in is read-only; touch "$HOME/kept"; cat /proc/net/dev | wc -l"#,
    );
    let (_, turn) = lab.run(&start).await;
    let lines = frames(&turn.journal, "o");
    let text = lines.join("\n").replace(&start.thread.to_string(), "THREAD").replace(&start.run.to_string(), "RUN");
    insta::assert_snapshot!(text.replace(lab.home.path().to_str().unwrap(), "LAB"), @r"
    1000
    ./repos
    ./repos/4711.git
    ./runs
    ./runs/RUN
    ./threads
    ./threads/THREAD
    in
    out
    ls: cannot access 'LAB/root/lab00001/runs/RUN/1/out/../sup': No such file or directory
    in is read-only
    3
    ");
    let kept = lab.base().join(format!("threads/{}/work/home/kept", start.thread));
    assert!(kept.exists(), "the home persists beside the workspace");
}

// T28: on the bot's own machine a bound path may hold the bot's keys, under whatever name.
#[tokio::test]
async fn the_bots_own_files_are_hidden_in_bound_paths() {
    let lab = Lab::with(Sandbox::Bubblewrap, |config| {
        let home = Path::new(&config.root).parent().unwrap();
        for folder in ["srv/bot/keys", "srv/tools"] {
            std::fs::create_dir_all(home.join(folder)).unwrap();
        }
        for file in ["srv/bot/keys/id", "srv/app.pem", "srv/tools/tool"] {
            std::fs::write(home.join(file), "text\n").unwrap();
        }
        std::os::unix::fs::symlink("srv", home.join("link")).unwrap();
        config.read_only = ["link", "srv"].map(|name| home.join(name).to_str().unwrap().to_owned()).to_vec();
        config.read_write = vec![home.join("srv/bot/keys").to_str().unwrap().to_owned()];
    })
    .await;
    let start = lab.agent(
        r#"cd "$3/../../../../../.."; cat {srv,link}/tools/tool {srv,link}/app.pem; ls -A {srv,link}/bot srv/bot/keys"#,
    );
    let hidden = ["srv/bot", "srv/app.pem"].map(|name| lab.home.path().join(name).canonicalize().unwrap());
    lab.give(&start).await;
    let machine = Machine::new(lab.machine.config().clone(), Arc::new(Local), "lab00001".to_owned());
    machine.with_min_free(1).hiding(hidden.to_vec()).start(&start, &mut |_| ()).await.unwrap();
    let turn = lab.end(&start).await;
    assert_eq!(
        frames(&turn.journal, "o"),
        ["text", "text", "link/bot:", "srv/bot:", "keys", "srv/bot/keys:"],
        "{}",
        String::from_utf8_lossy(&turn.stderr.unwrap().bytes)
    );
}

// T28: an account that is root must not hand the kernel's settings to the agent. They are opened here and not written.
#[tokio::test]
async fn the_kernel_cannot_be_set_from_the_sandbox() {
    let lab = Lab::new(Sandbox::Bubblewrap).await;
    let start = lab.agent(
        r#"tried=0; for file in /proc/sys/kernel/core_pattern /proc/sys/vm/* /proc/irq/*/smp_affinity; do
               [[ -f $file ]] || continue; tried=1; (: >>"$file") 2>/dev/null && echo "$file"; done; echo "$tried""#,
    );
    let (_, turn) = lab.run(&start).await;
    assert_eq!(frames(&turn.journal, "o"), ["1"]);
}

// T35: where tools are bound to, an agent may have put something that leads elsewhere, or is in the way of its successor.
#[tokio::test]
async fn what_an_agent_left_in_its_home_does_not_lead_out() {
    let tools = tempfile::tempdir_in(std::env::var("HOME").unwrap()).unwrap();
    let bound = tools.path().join("tools");
    std::fs::create_dir(&bound).unwrap();
    std::fs::write(bound.join("hammer"), "").unwrap();
    let (folder, bound) = (tools.path().display(), bound.display().to_string());
    let lab = Lab::with(Sandbox::Bubblewrap, |config| config.read_only = vec![bound.clone()]).await;
    let outside = lab.home.path().display();
    for plant in [format!("ln -s /oldroot{outside} {folder}"), format!("echo >{folder}")] {
        let first = lab.agent(&format!("mv {folder} \"$HOME/aside\"; {plant}; ls -d {folder}"));
        let (_, turn) = lab.run(&first).await;
        assert_eq!(frames(&turn.journal, "o"), [folder.to_string()]);
        let mut second = lab.agent(&format!("ls {bound}"));
        second.thread = first.thread;
        let (_, turn) = lab.run(&second).await;
        assert_eq!(frames(&turn.journal, "o"), ["hammer"], "{plant}");
    }
    assert!(!lab.home.path().join("tools").exists());
}

#[tokio::test]
async fn what_is_missing_is_said() {
    let lab = Lab::with(Sandbox::Bubblewrap, |config| config.read_only = vec!["~/no-such-folder".to_owned()]).await;
    let start = lab.agent("true");
    let lacking = lab.machine.start(&start, &mut |_| ()).await.unwrap_err();
    assert!(
        matches!(&lacking, RunnerError::Missing { what, .. } if what.ends_with("/no-such-folder does not exist")),
        "{lacking:?}"
    );

    let lab = Lab::new(Sandbox::Bubblewrap).await;
    let mut start = lab.agent("true");
    let lacking = lab.machine.start(&start, &mut |_| ()).await.unwrap_err();
    assert!(matches!(&lacking, RunnerError::NeedCommit(sha) if *sha == start.commit), "{lacking:?}");
    lab.give(&start).await;
    start.commit = "0123456789abcdef0123456789abcdef01234567".parse().unwrap();
    let lacking = lab.machine.start(&start, &mut |_| ()).await.unwrap_err();
    assert!(matches!(&lacking, RunnerError::NeedCommit(sha) if *sha == start.commit), "{lacking:?}");

    let config = lab.machine.config().clone();
    let small = Machine::new(config, Arc::new(Local), "lab00001".to_owned()).with_min_free(u64::MAX >> 1);
    let full = small.start(&start, &mut |_| ()).await.unwrap_err();
    assert!(matches!(full, RunnerError::Disk(_)), "{full:?}");
}

// B04: an old tool is found before a run needs it.
#[tokio::test]
async fn tools_that_are_too_old_are_named() {
    use std::os::unix::fs::PermissionsExt;
    for (tool, script, what, remedy) in [
        ("git", "echo git version 2.30.9", "git version 2.30.9", "install git 2.31 or newer"),
        ("setpriv", "exit 1", "--pdeathsig does not work", "install util-linux 2.33 or newer"),
    ] {
        let lab = Lab::with(Sandbox::None, |config| {
            let tools = Path::new(&config.root).with_file_name("tools");
            std::fs::create_dir(&tools).unwrap();
            std::fs::write(tools.join(tool), format!("#!/bin/sh\n{script}\n")).unwrap();
            std::fs::set_permissions(tools.join(tool), std::fs::Permissions::from_mode(0o755)).unwrap();
            config.prelude = format!("export PATH=\"{}:$PATH\"", tools.display());
        })
        .await;
        let start = lab.agent("true");
        lab.give(&start).await;
        let lacking = lab.machine.start(&start, &mut |_| ()).await.unwrap_err().to_string();
        assert!(lacking.contains(what) && lacking.contains(remedy), "{lacking}");
        let checks = lab.machine.look(&[], &mut |_| ()).await.unwrap().checks;
        let check = checks.iter().find(|check| check.what == tool).unwrap();
        assert_eq!((check.ok, &*check.found, check.remedy.as_deref()), (false, what, Some(remedy)));
    }
}

// B07
#[tokio::test]
async fn a_path_that_is_not_ours_is_left_alone() {
    for sandbox in BOTH {
        let lab = Lab::new(sandbox).await;
        let start = lab.agent("true");
        lab.give(&start).await;
        std::fs::create_dir_all(lab.work(&start)).unwrap();
        std::fs::write(lab.work(&start).join("precious"), "x").unwrap();
        let taken = lab.machine.start(&start, &mut |_| ()).await.unwrap_err();
        assert!(matches!(taken, RunnerError::Taken(_)), "{taken:?}");
        assert!(lab.work(&start).join("precious").exists());
    }
}

// F16
#[tokio::test]
async fn a_lower_fence_is_refused() {
    let lab = Lab::new(Sandbox::None).await;
    let mut start = lab.agent("true");
    start.fence = 5;
    lab.run(&start).await;
    assert!(matches!(lab.machine.status(start.run, 4, 1, 0).await, Err(RunnerError::Fenced(_))));
    assert!(matches!(lab.machine.cancel(start.run, 4).await, Err(RunnerError::Fenced(_))));
    assert!(matches!(lab.machine.attach(start.run, 4, 1, 0).await, Err(RunnerError::Fenced(_))));
    assert!(lab.machine.status(start.run, 6, 1, 0).await.is_ok());
    start.fence = 5;
    assert!(matches!(lab.machine.start(&start, &mut |_| ()).await, Err(RunnerError::Fenced(_))));
}

// Turn 2 asks the agent once more and leaves the workspace as it is.
#[tokio::test]
async fn the_second_turn_finds_the_work_of_the_first() {
    for sandbox in BOTH {
        let lab = Lab::new(sandbox).await;
        let mut start = lab.agent("echo one >file; echo seen >\"$HOME/.track-test-$TRACK_RUN_ID\"");
        lab.run(&start).await;
        start.turn = 2;
        start.command[2] =
            "cat file \"$HOME/.track-test-$TRACK_RUN_ID\"; rm \"$HOME/.track-test-$TRACK_RUN_ID\"".to_owned();
        lab.machine.start(&start, &mut |_| ()).await.unwrap();
        let turn = lab.end(&start).await;
        assert_eq!(frames(&turn.journal, "o"), ["one", "seen"]);
    }
}

#[tokio::test]
async fn a_machine_is_looked_at() {
    for sandbox in BOTH {
        let lab = Lab::new(sandbox).await;
        let probe = |name: &str, program: &str| AgentProbe { name: name.to_owned(), program: program.to_owned() };
        let mut told = Vec::new();
        let agents = [probe("git", "git"), probe("nobody", "no-such-agent")];
        let seen = lab.machine.look(&agents, &mut |check| told.push(check.clone())).await.unwrap();
        let checks = seen.checks;
        assert_eq!(told, checks, "each is told as it comes");
        assert!(seen.free.is_some_and(|free| free > 0) && seen.used.is_some(), "{:?} {:?}", seen.free, seen.used);
        let agents: Vec<_> = seen.agents.iter().map(|agent| (agent.name.as_str(), agent.login)).collect();
        assert_eq!(agents, [("git", None)]);
        assert!(seen.agents[0].version.starts_with("git version"), "{:?}", seen.agents);
        let bad: Vec<&str> = checks.iter().filter(|check| !check.ok).map(|check| check.what.as_str()).collect();
        assert_eq!(bad, ["agent nobody"], "{checks:?}");
        let git = checks.iter().find(|check| check.what == "agent git").unwrap();
        assert!(git.found.starts_with("git version"), "{git:?}");
        lab.assert_quiet().await;
    }
}

// The lock must not be held by anything that the agent leaves behind.
#[tokio::test]
async fn the_agent_inherits_three_streams_and_nothing_else() {
    for sandbox in BOTH {
        let lab = Lab::new(sandbox).await;
        // The glob itself is read through 3.
        let script = "bash -c 'cd /proc/self/fd && echo *'; trap -p; umask";
        let (_, turn) = lab.run(&lab.agent(script)).await;
        assert_eq!(frames(&turn.journal, "o"), ["0 1 2 3", "0077"]);
    }
}

// A run's verbs use the script that it was started with, also after an update of the bot.
#[tokio::test]
async fn an_update_leaves_live_runs_to_their_own_script() {
    let lab = Lab::new(Sandbox::None).await;
    let start = lab.agent("true");
    lab.run(&start).await;
    let old = lab.base().join("bin/runner-00aa.sh");
    std::fs::write(&old, "echo now 1\necho state unknown\necho \"old $*\" >&2\necho end\n").unwrap();
    std::fs::write(lab.base().join(format!("runs/{}/script", start.run)), "runner-00aa.sh\n").unwrap();
    assert_eq!(lab.status(&start).await.now, 1);
    std::fs::remove_file(&old).unwrap();
    assert!(matches!(lab.status(&start).await.state, State::Ended(_)), "gone: the present one does");
}

// How long a warm dispatch takes, to be read by people: cargo nextest run --run-ignored all --no-capture how_fast
#[tokio::test]
#[ignore = "measures, asserts nothing about time"]
async fn how_fast_a_warm_start_is() {
    for sandbox in BOTH {
        let lab = Lab::new(sandbox).await;
        for index in 0..300 {
            std::fs::write(lab.mirror.join(format!("file-{index}")), format!("{index}\n").repeat(100)).unwrap();
        }
        git(&lab.mirror, &["add", "."]);
        git(&lab.mirror, &["commit", "-q", "-m", "feat: files"]);
        for _ in 0..5 {
            let mut start = lab.agent("true");
            start.commit = git(&lab.mirror, &["rev-parse", "HEAD"]).parse().unwrap();
            lab.give(&start).await;
            let began = Instant::now();
            lab.machine.start(&start, &mut |phase| println!("  {:?} {phase}", began.elapsed())).await.unwrap();
            println!("{sandbox:?} start {:?}", began.elapsed());
            let turn = lab.end(&start).await;
            println!("{sandbox:?} end {:?}", began.elapsed());
            assert!(matches!(turn.state, State::Ended(_)));
        }
    }
}
