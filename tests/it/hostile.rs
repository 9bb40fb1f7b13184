//! Agents and people who try to get out of what they were given: nothing runs, nothing leaves, and the comment says what was refused.

use track::model::{Outcome, Reason};

use crate::harness::{MAINTAINER, REPO, World};

/// What an issue says after an agent made a change that is refused; the change is kept.
async fn refused(script: &str) -> String {
    let world = World::new().await;
    world.agent(&format!(r#"{script}; answer succeeded "Done." "feat: mine""#));
    let issue = world.work_on("Do it", "").await;
    assert!(world.sim.pulls(REPO).is_empty());
    assert_eq!(world.sim.branches(REPO).await.len(), 1, "nothing is pushed");
    let run = world.runs().await.remove(0);
    assert_eq!((run.outcome, run.reason), (Some(Outcome::Failed), Some(Reason::ResultRefused)));
    let kept = world.git_at_bot(&["rev-parse", &format!("refs/track/runs/{}", run.id)]).await;
    assert_eq!(Some(kept), run.result.map(|sha| sha.to_string()), "the result is kept");
    world.only_comment(issue)
}

// T27, T32
#[tokio::test]
async fn files_that_run_or_decide_are_not_pushed() {
    let comment = refused(
        r#"commit .github/workflows/ci.yml "on: push" "ci: mine"; commit CODEOWNERS "* @eve" "chore: owners"
           commit .github/track.yml "agent: codex" "chore: track"; commit ok.txt ok "feat: ok""#,
    )
    .await;
    insta::assert_snapshot!(comment, @"
    ❌ **Failed**: what came back breaks a rule, so it was not pushed.

    Done.

    ```text
    .github/track.yml: .github/track.yml may not be changed
    .github/workflows/ci.yml: .github/workflows/** may not be changed
    CODEOWNERS: CODEOWNERS may not be changed
    ```

    **Next:** Say `/track dispatch` with what has to be done differently, or let a person make this change.

    What it had committed is kept by the bot at `SHA` and was not pushed.

    | Agent | Runner | Took | Changes |
    | --- | --- | --- | --- |
    | `scripted` | `local-1` | TIME | 4 commits, 4 files (+4 −0) |

    <sub>run `RUN` · asked by mona · branch `track/issue-1-LINE`</sub>
    ");
}

// T35
#[tokio::test]
async fn links_that_lead_out_are_not_pushed() {
    let comment = refused(
        r#"ln -s /etc/passwd secrets; ln -s ../../.ssh/id_rsa key; ln -s README.md fine; git add -A; git commit -qm "feat: links""#,
    )
    .await;
    insta::assert_snapshot!(comment, @"
    ❌ **Failed**: what came back breaks a rule, so it was not pushed.

    Done.

    ```text
    key: symbolic links may not lead out of the repository
    secrets: symbolic links may not lead out of the repository
    ```

    **Next:** Say `/track dispatch` with what has to be done differently, or let a person make this change.

    What it had committed is kept by the bot at `SHA` and was not pushed.

    | Agent | Runner | Took | Changes |
    | --- | --- | --- | --- |
    | `scripted` | `local-1` | TIME | 1 commit, 3 files (+3 −0) |

    <sub>run `RUN` · asked by mona · branch `track/issue-1-LINE`</sub>
    ");
}

// T32
#[tokio::test]
async fn a_huge_file_is_not_pushed() {
    let comment = refused(
        r#"head -c 53000000 /dev/urandom >big.bin; git -c core.compression=0 add -A; git commit -qm "feat: big""#,
    )
    .await;
    let comment =
        comment.split(" bytes, and").next().unwrap().trim_end_matches(|c: char| c.is_ascii_digit()).to_owned();
    insta::assert_snapshot!(comment, @"
    ❌ **Failed**: what came back breaks a rule, so it was not pushed.

    Done.

    ```text
    the new objects take SHA
    ");
}

// T33: what run 1 plants runs nowhere but in an agent's own sandbox, which cannot see the bot's home.
#[tokio::test]
async fn hooks_and_settings_for_the_next_run_do_not_run() {
    let world = World::new().await;
    let database = world.home().join("track.db");
    assert!(database.exists());
    let script = format!(
        r#"
        cat >.git/canary <<'EOF'
#!/bin/sh
[ -e {database} ] && echo "$0 $*" >>{escaped}
cat
EOF
        chmod +x .git/canary
        mkdir -p .git/hooks
        for hook in pre-commit post-commit post-checkout post-index-change reference-transaction prepare-commit-msg \
            pre-receive update post-update post-receive fsmonitor-watchman pre-auto-gc pre-push; do
            cp .git/canary .git/hooks/$hook
        done
        here=$PWD/.git/canary
        git config core.hooksPath "$PWD/.git/hooks"
        git config core.fsmonitor "$here"
        git config core.sshCommand "$here"
        git config core.pager "$here"
        git config core.editor "$here"
        git config credential.helper "!$here"
        git config uploadpack.packObjectsHook "$here"
        git config diff.external "$here"
        git config filter.x.clean "$here"
        git config filter.x.smudge "$here"
        git config gpg.program "$here"
        git config url."ext::$here".insteadOf https://
        git config alias.status "!$here"
        git config include.path "$PWD/.git/more"
        echo '* filter=x diff=x' >.git/info/attributes
        echo "$TRACK_TEST_LOG" >.git/objects/info/alternates
        echo more >>planted.txt
        answer succeeded "Done." "feat: plant""#,
        database = database.display(),
        escaped = world.trace_path("escaped").display(),
    );
    world.agent(&script);
    let issue = world.work_on("Do it", "").await;
    assert_eq!(world.trace("escaped"), None);

    world.agent(r#"commit hello.txt hello "feat: say hello"; answer succeeded "Said hello." "feat: say hello""#);
    world.comment(MAINTAINER, issue, "/track dispatch now say hello").await;
    world.settle().await;
    assert_eq!(world.trace("escaped"), None);
    let runs = world.runs().await;
    assert_eq!(runs[0].outcome, Some(Outcome::Succeeded), "{:?}", runs[0].detail);
    let branch = &world.sim.pulls(REPO)[0].head_ref;
    insta::assert_snapshot!(world.git_at_github(&["ls-tree", "-r", "--name-only", branch]), @"
    .gitignore
    README.md
    hello.txt
    ");
}

// T34: an agent that takes its repository away has nothing to publish, and says so in no riddles.
#[tokio::test]
async fn a_workspace_that_is_no_repository_any_more() {
    let world = World::new().await;
    world.agent(r#"rm -rf .git; ln -s / .git; answer succeeded "Done." "feat: mine""#);
    let issue = world.work_on("Do it", "").await;
    insta::assert_snapshot!(world.only_comment(issue), @"
    ❌ **Failed**: what came back breaks a rule, so it was not pushed.

    Done.

    ```text
    what the agent left cannot be fetched: the runner failed: the work could not be read: git ended with 1
    ```

    **Next:** Say `/track dispatch` with what has to be done differently, or let a person make this change.

    | Agent | Runner | Took |
    | --- | --- | --- |
    | `scripted` | `local-1` | TIME |

    <sub>run `RUN` · asked by mona · branch `track/issue-1-LINE`</sub>
    ");
}

// T22
#[tokio::test]
async fn words_of_people_run_nowhere_and_arrive_as_they_are() {
    let world = World::new().await;
    let canary = world.trace_path("canary");
    let touch = format!("touch {}", canary.display());
    let title = format!("$({touch}) `{touch}` '; {touch} #\" | {touch} & ${{IFS}}\u{3000}-x \\ %s *");
    let body = format!("{title}\n-n\n'\"; {touch}\n$({touch})\r\n{{{{ touch }}}} {{% x %}}");
    let base = format!("a$(touch${{IFS}}{})", canary.display()).replace("//", "/");
    world.sim.commit_file(REPO, &base, "base.txt", "").await.expect("a branch");
    world.agent(r#"commit "hello.txt" hello "feat: say hello"; answer succeeded "Said hello.""#);
    let issue = world.issue(&title, &body).await;
    world.comment(MAINTAINER, issue, &format!("/track dispatch --base {base} {title}")).await;
    world.settle().await;

    let run = world.runs().await.remove(0);
    assert_eq!(run.outcome, Some(Outcome::Succeeded), "{:?} {:?}\n{:?}", run.reason, run.detail, world.said(issue));
    let prompt = world.prompt(run.id);
    for text in [&title, &body.replace('\r', ""), &format!("`{base}`")] {
        assert!(prompt.contains(text.as_str()), "{text}\n\n{prompt}");
    }
    let pull = world.sim.pulls(REPO).remove(0);
    assert_eq!((pull.title, pull.base_ref), (title, base));
    assert_eq!(world.trace("canary"), None);
}
