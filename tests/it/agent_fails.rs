//! Agents that break, give up, hang, or answer with something that is no answer: the comment says what happened and what to do.

use std::time::Duration;

use futures_util::future::join_all;
use track::model::{Outcome, Reason};

use crate::harness::{REPO, World};

/// What the issue says after an agent did this.
async fn told(script: &str) -> (World, String) {
    let world = World::new().await;
    world.agent(script);
    let issue = world.work_on("Say hello", "Please.").await;
    assert_eq!(world.reactions(issue), ["eyes", "confused"]);
    assert!(world.sim.pulls(REPO).is_empty(), "nothing is published");
    assert_eq!(world.git_at_github(&["for-each-ref", "--format=%(refname)"]), "refs/heads/main");
    let comment = world.only_comment(issue);
    (world, comment)
}

// B11
#[tokio::test]
async fn one_that_breaks_is_quoted_with_its_last_words() {
    let (_world, comment) =
        told(r#"echo "warming up" >&2; printf 'cannot open \033[31mconfig.yml\033[0m: ```\n  no such file, @eve\n' >&2; exit 1"#).await;
    insta::assert_snapshot!(comment, @"
    ❌ **Failed**: the agent ended with an error before it answered.

    ```text
    scripted ended with exit code 1:
    warming up
    cannot open config.yml: '''
      no such file, @eve
    ```

    **Next:** Look at the run's log (`track runs --log` shows it on the bot's machine), then say `/track retry`.

    | Agent | Runner | Took |
    | --- | --- | --- |
    | `scripted` | `local-1` | TIME |

    <sub>run `RUN` · asked by mona · branch `track/issue-1-LINE`</sub>
    ");
}

// B12: what it committed is kept, and not pushed.
#[tokio::test]
async fn work_of_one_that_breaks_is_kept() {
    let (world, comment) = told(r#"commit half.txt half "feat: half of it"; echo left >rest.txt; exit 3"#).await;
    insta::assert_snapshot!(comment, @"
    ❌ **Failed**: the agent ended with an error before it answered.

    ```text
    scripted ended with exit code 3
    ```

    **Next:** Look at the run's log (`track runs --log` shows it on the bot's machine), then say `/track retry`.

    What it had committed is kept by the bot at `SHA` and was not pushed.

    | Agent | Runner | Took | Changes |
    | --- | --- | --- | --- |
    | `scripted` | `local-1` | TIME | 2 commits, 2 files (+2 −0) |

    Left uncommitted by the agent and committed by the bot: `rest.txt`.

    <sub>run `RUN` · asked by mona · branch `track/issue-1-LINE`</sub>
    ");
    let run = world.runs().await.remove(0);
    let kept = world.git_at_bot(&["log", "--format=%s", &format!("refs/track/runs/{}", run.id)]).await;
    insta::assert_snapshot!(kept, @"
    Say hello
    feat: half of it
    Start the project
    ");
}

// B11
#[tokio::test]
async fn one_that_says_that_it_failed() {
    let (_world, comment) = told(r#"answer failed "The tests need a database that is not there.""#).await;
    insta::assert_snapshot!(comment, @"
    ❌ **Failed**: the agent says that it failed.

    The tests need a database that is not there.

    **Next:** Read what the agent says; `/track dispatch` with a hint of yours may get it further, `/track retry` tries the same again.

    | Agent | Runner | Took |
    | --- | --- | --- |
    | `scripted` | `local-1` | TIME |

    <sub>run `RUN` · asked by mona · branch `track/issue-1-LINE`</sub>
    ");
}

// B11: it may say so with its exit code, too.
#[tokio::test]
async fn one_that_is_blocked() {
    let (_world, comment) = told(r#"answer blocked "Which of the two greetings is meant?"; exit 2"#).await;
    insta::assert_snapshot!(comment, @"
    🚧 **Blocked**: `scripted` cannot go on by itself.

    Which of the two greetings is meant?

    **Next:** Answer what the agent asks: `/track followup <answer>`.

    | Agent | Runner | Took |
    | --- | --- | --- |
    | `scripted` | `local-1` | TIME |

    <sub>run `RUN` · asked by mona · branch `track/issue-1-LINE`</sub>
    ");
}

// T34: an exit code weighs more than a claim.
#[tokio::test]
async fn one_that_claims_success_and_breaks() {
    let (_world, comment) =
        told(r#"commit a.txt a "feat: a"; answer succeeded "All done." "feat: a"; echo boom >&2; exit 1"#).await;
    insta::assert_snapshot!(comment, @"
    ❌ **Failed**: the agent ended with an error before it answered.

    ```text
    scripted ended with exit code 1:
    boom
    ```

    **Next:** Look at the run's log (`track runs --log` shows it on the bot's machine), then say `/track retry`.

    What it had committed is kept by the bot at `SHA` and was not pushed.

    | Agent | Runner | Took | Changes |
    | --- | --- | --- | --- |
    | `scripted` | `local-1` | TIME | 1 commit, 1 file (+1 −0) |

    <sub>run `RUN` · asked by mona · branch `track/issue-1-LINE`</sub>
    ");
}

/// What the first line and the block of each comment say after these agents, which work side by side.
async fn told_of_each(cases: &[(&str, &str)]) -> String {
    let said = join_all(cases.iter().map(async |(name, script)| {
        let (world, comment) = told(script).await;
        assert_eq!(world.runs().await[0].outcome, Some(Outcome::Failed), "{name}");
        let first = comment.lines().next().unwrap_or_default().to_owned();
        let detail = comment.split("```text\n").nth(1).and_then(|rest| rest.split("\n```").next());
        format!("{name}: {first} {}", detail.unwrap_or_default())
    }));
    said.await.join("\n")
}

// B12, F09
#[tokio::test]
async fn answers_that_do_not_match() {
    let said = told_of_each(&[
        ("prose", r#"echo "I am done, @eve!" >"$TRACK_RESULT_FILE""#),
        ("cut off", r#"answer succeeded "All done." "feat: a"; truncate -s -20 "$TRACK_RESULT_FILE""#),
        ("not UTF-8", r#"printf '{"status":"succeeded","summary":"\377"' >"$TRACK_RESULT_FILE""#),
    ]);
    insta::assert_snapshot!(said.await, @r#"
    prose: ❌ **Failed**: the agent's answer does not match the schema. it is no JSON object, it begins with "I am done, @eve!"
    cut off: ❌ **Failed**: the agent's answer does not match the schema. EOF while parsing a string at line 1 column 106
    not UTF-8: ❌ **Failed**: the agent's answer does not match the schema. invalid unicode code point at line 1 column 34
    "#);
}

// B12, F09, T34, T35
#[tokio::test]
async fn answers_that_are_none() {
    let said = told_of_each(&[
        ("nothing", "true"),
        (
            "5 MB",
            r#"{ printf '{"status":"'; head -c 5000000 /dev/zero | tr '\0' a; printf '"}'; } >"$TRACK_RESULT_FILE""#,
        ),
        ("a link", r#"ln -s /etc/passwd "$TRACK_RESULT_FILE""#),
    ]);
    insta::assert_snapshot!(said.await, @"
    nothing: ❌ **Failed**: the agent left no answer. it ended without writing $TRACK_RESULT_FILE
    5 MB: ❌ **Failed**: the agent's answer does not match the schema. it is SHA bytes long, at most SHA are read
    a link: ❌ **Failed**: the agent left no answer. it ended without writing $TRACK_RESULT_FILE
    ");
}

// F08
#[tokio::test]
async fn one_that_is_silent_is_ended() {
    let world = World::with(|config| config.limits.silence = Duration::from_millis(300)).await;
    world.agent(r#"say "thinking"; trap '' TERM INT HUP; while :; do sleep 0.05; done"#);
    let issue = world.work_on("Say hello", "").await;
    insta::assert_snapshot!(world.only_comment(issue), @"
    ⌛ **Timed out**: the agent printed nothing for too long.

    ```text
    it said last: thinking
    ```

    **Next:** Look at the end of the run's log (`track runs --log` shows it on the bot's machine); a longer `limits.silence_minutes` may help; then `/track retry`.

    | Agent | Runner | Took |
    | --- | --- | --- |
    | `scripted` | `local-1` | TIME |

    <sub>run `RUN` · asked by mona · branch `track/issue-1-LINE`</sub>
    ");
    assert_eq!(world.runs().await[0].reason, Some(Reason::Silence));
}

// F08: what it did until then is kept.
#[tokio::test]
async fn one_that_never_ends_is_ended() {
    let world = World::with(|config| config.limits.wall = Duration::from_millis(1500)).await;
    world.agent(r#"commit a.txt a "feat: a"; trap '' TERM; while :; do say "still at it"; sleep 0.02; done"#);
    let issue = world.work_on("Say hello", "").await;
    insta::assert_snapshot!(world.only_comment(issue), @"
    ⌛ **Timed out**: the time limit was reached.

    ```text
    it said last: still at it
    ```

    **Next:** Split the task, or raise `limits.wall_minutes`; then `/track retry`.

    What it had committed is kept by the bot at `SHA` and was not pushed.

    | Agent | Runner | Took | Changes |
    | --- | --- | --- | --- |
    | `scripted` | `local-1` | TIME | 1 commit, 1 file (+1 −0) |

    <sub>run `RUN` · asked by mona · branch `track/issue-1-LINE`</sub>
    ");
}

// F08
#[tokio::test]
async fn a_flood_of_words_ends_and_fills_no_disk() {
    let world = World::with(|config| config.limits.wall = Duration::from_millis(1500)).await;
    world.agent("yes");
    world.work_on("Say hello", "").await;
    let run = world.runs().await.remove(0);
    assert_eq!(run.reason, Some(Reason::WallClock));
    let journal = std::fs::metadata(world.home().join("journals").join(run.id.to_string())).unwrap().len();
    assert!(journal < 80 << 20, "{journal}");
}

// `cost_usd_per_run`: an agent that says what it costs is ended when that is too much, and what it did is kept.
#[tokio::test]
async fn one_that_costs_too_much_is_ended() {
    let world = World::with(|config| config.limits.cost_usd_per_run = 1.5).await;
    world.agent(
        r#"commit half.txt half "feat: half of it"; echo '{"type":"usage","input_tokens":90000,"output_tokens":4000,"cost_usd":1.75}'; await never"#,
    );
    let issue = world.work_on("Say hello", "").await;
    insta::assert_snapshot!(world.only_comment(issue), @"
    ❌ **Failed**: a limit on turns or cost was reached.

    ```text
    it had cost $1.75 when it was ended, and $1.50 is the limit (`cost_usd_per_run`)
    ```

    **Next:** Split the task into smaller ones, or raise the limit; then `/track retry`.

    What it had committed is kept by the bot at `SHA` and was not pushed.

    | Agent | Runner | Took | Changes | Tokens | Cost |
    | --- | --- | --- | --- | --- | --- |
    | `scripted` | `local-1` | TIME | 1 commit, 1 file (+1 −0) | 90.0k in, 4000 out | $1.75 |

    <sub>run `RUN` · asked by mona · branch `track/issue-1-LINE`</sub>
    ");
    assert_eq!(world.runs().await[0].reason, Some(Reason::AgentLimit));
}
