//! The workspace: what a run finds there, what it may leave, and how the bot gets it.

use super::*;

// B12a
#[tokio::test]
async fn the_work_is_head_and_leftovers_are_committed() {
    for sandbox in BOTH {
        let lab = Lab::new(sandbox).await;
        let mut start = lab.agent(
            "git config user.name a; git config user.email a@b; git checkout -q -b renamed; echo 1 >one; git add one; \
             git commit -q -m 'feat: one'; echo 2 >'two\nlines'; mkdir -p target; echo x >target/built; rm README.md",
        );
        let hook = b"#!/bin/sh\nprintf '\\nRequested-by: octocat\\n' >>\"$1\"\n";
        start.files.push(("hooks/commit-msg".to_owned(), hook.to_vec()));
        lab.run(&start).await;
        let finished = lab.finish(&start).await;
        assert_eq!(finished.branch.as_deref(), Some("renamed"));
        assert_eq!(finished.leftovers, ["README.md", "two\nlines"]);

        let from = lab.machine.git_upload(start.run, 1).await.unwrap();
        let refspec = format!("{}:refs/track/runs/{}", finished.head, start.run);
        git(&lab.mirror, &["fetch", "-q", &format!("--upload-pack={}", from.pack_program), &from.url, &refspec]);
        let log = git(
            &lab.mirror,
            &["log", "--format=%an <%ae> %s %(trailers:key=Requested-by,separator=%x2C)", finished.head.as_str()],
        );
        insta::allow_duplicates! {
            insta::assert_snapshot!(log, @r"
            track[bot] <1+track[bot]@example.org> feat: what was left Requested-by: octocat
            a <a@b> feat: one 
            bot <bot@example.org> feat: first 
            ");
        }
        let again = lab.finish(&start).await;
        assert_eq!((again.head, again.leftovers.len()), (finished.head, 0));
        lab.assert_quiet().await;
    }
}

// B12a
#[tokio::test]
async fn a_detached_head_is_the_work_too() {
    let lab = Lab::new(Sandbox::Bubblewrap).await;
    let start = lab.agent("git checkout -q --detach; git -c user.name=a -c user.email=a@b commit -q --allow-empty -m x; git rev-parse HEAD");
    let (_, turn) = lab.run(&start).await;
    let finished = lab.finish(&start).await;
    assert_eq!([finished.head.to_string()], *frames(&turn.journal, "o"));
    assert_eq!((finished.branch, finished.leftovers.len()), (None, 0));
}

// T33: nothing that one run plants is executed by us, in the next run or while the work is taken.
#[tokio::test]
async fn planted_hooks_and_config_do_not_run() {
    for sandbox in BOTH {
        let lab = Lab::new(sandbox).await;
        let canary = lab.home.path().join("canary");
        let first = lab.agent(&format!(
            r#"printf '#!/bin/sh\ntouch {0} out-of-hook\n' >evil; chmod +x evil
               for hook in post-checkout pre-commit post-index-change reference-transaction commit-msg; do cp evil .git/hooks/$hook; done
               mkdir -p .git/hooks; for hook in post-checkout pre-commit post-index-change reference-transaction; do cp evil .git/hooks/$hook; done
               git config core.fsmonitor "$PWD/evil"; git config core.sshCommand "$PWD/evil"; git config core.hooksPath .git/hooks
               git config uploadpack.packObjectsHook "$PWD/evil"; echo /etc >>.git/objects/info/alternates
               mkdir -p target; echo kept >target/kept; echo untracked >untracked; echo changed >README.md"#,
            canary.display()
        ));
        lab.run(&first).await;
        let _ = std::fs::remove_file(&canary);
        let from = lab.machine.git_upload(first.run, 1).await.unwrap();
        git(&lab.mirror, &["fetch", "-q", &format!("--upload-pack={}", from.pack_program), &from.url, "HEAD"]);
        assert!(!canary.exists(), "while fetching");

        let mut second = lab.agent("cat target/kept README.md; ls; git status --porcelain; git config --get-regexp '^core' | sort; ls -A .git/hooks 2>/dev/null");
        second.thread = first.thread;
        second.fresh = false;
        let (_, turn) = lab.run(&second).await;
        assert!(!canary.exists(), "while preparing");
        let lines = frames(&turn.journal, "o");
        let expected = [
            "kept",
            "hello",
            "README.md",
            "target",
            "core.bare false",
            "core.filemode true",
            "core.logallrefupdates true",
            "core.repositoryformatversion 0",
        ];
        assert_eq!(lines, expected);

        let mut third = lab.agent("ls -A");
        third.thread = first.thread;
        let (_, turn) = lab.run(&third).await;
        assert_eq!(frames(&turn.journal, "o"), [".git", ".gitignore", "README.md"], "a fresh one starts from nothing");
        lab.assert_quiet().await;
    }
}

// T33, T34: a filter runs while the work is committed, and its words are not taken for ours.
#[tokio::test]
async fn a_planted_filter_cannot_forge_the_answer() {
    let lab = Lab::new(Sandbox::Bubblewrap).await;
    let start = lab.agent(
        r#"printf '#!/bin/bash\nfor out in /proc/[0-9]*/fd/[12]; do printf "error fenced forged\n" >"$out"; done 2>/dev/null; cat\n' >.git/filter
           chmod +x .git/filter; git config filter.x.clean "$PWD/.git/filter"; git config filter.x.required true
           echo '* filter=x' >.git/info/attributes; echo left >left"#,
    );
    lab.run(&start).await;
    assert_eq!(lab.finish(&start).await.leftovers, ["left"]);
}

// B12a
#[tokio::test]
async fn a_history_of_its_own_is_the_work_too() {
    let lab = Lab::new(Sandbox::Bubblewrap).await;
    let start = lab.agent("git checkout -q --orphan new; git rm -qrf .; echo 1 >one");
    lab.run(&start).await;
    let finished = lab.finish(&start).await;
    assert_eq!((finished.branch.as_deref(), finished.leftovers), (Some("new"), vec!["one".to_owned()]));
}

// A follow-up keeps the times of files that did not change, so that builds in ignored folders stay valid.
#[tokio::test]
async fn unchanged_files_keep_their_times() {
    let lab = Lab::new(Sandbox::Bubblewrap).await;
    let first = lab.agent("touch -d '2020-01-01 UTC' README.md; stat -c %Y README.md");
    let (_, before) = lab.run(&first).await;
    let mut second = lab.agent("stat -c %Y README.md");
    (second.thread, second.fresh) = (first.thread, false);
    let (_, after) = lab.run(&second).await;
    assert_eq!(frames(&before.journal, "o"), frames(&after.journal, "o"));
}

// B07: what an agent did to its workspace does not end the lane.
#[tokio::test]
async fn a_workspace_made_read_only_can_be_used_again() {
    for sandbox in BOTH {
        let lab = Lab::new(sandbox).await;
        let first =
            lab.agent("mkdir -p src target; echo kept >target/kept; echo >src/more; chmod -R a-w .; chmod 0 src");
        lab.run(&first).await;
        let mut second = lab.agent("ls; echo x >README.md && cat target/kept");
        (second.thread, second.fresh) = (first.thread, false);
        let (_, turn) = lab.run(&second).await;
        assert_eq!(frames(&turn.journal, "o"), ["README.md", "target", "kept"]);
    }
}

// B07: git gives up on paths this long, so the workspace is made anew.
#[tokio::test]
async fn a_workspace_that_git_cannot_clean_is_replaced() {
    let lab = Lab::new(Sandbox::Bubblewrap).await;
    let first =
        lab.agent("name=$(printf 'd%.0s' {1..100}); for i in {1..60}; do mkdir $name; cd -P ./$name; done; echo deep");
    let (_, turn) = lab.run(&first).await;
    assert_eq!(frames(&turn.journal, "o"), ["deep"]);
    let mut second = lab.agent("ls");
    (second.thread, second.fresh) = (first.thread, false);
    let (_, turn) = lab.run(&second).await;
    assert_eq!(frames(&turn.journal, "o"), ["README.md"]);
}

#[tokio::test]
async fn a_lane_holds_one_agent() {
    let lab = Lab::new(Sandbox::None).await;
    let first = lab.agent("sleep 1000");
    lab.start(&first).await;
    let mut second = lab.agent("true");
    second.thread = first.thread;
    lab.give(&second).await;
    let busy = lab.machine.start(&second, &mut |_| ()).await.unwrap_err();
    assert!(matches!(busy, RunnerError::Busy(_)), "{busy:?}");
    second.lane = Lane::Review;
    lab.run(&second).await;
    lab.machine.cancel(first.run, 1).await.unwrap();
    lab.assert_quiet().await;
}
