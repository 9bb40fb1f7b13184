use super::*;
use crate::config::Limits;
use crate::db::decisions::{About, Shown};
use crate::db::runs::{LeftOut, Work};
use crate::model::{Account, AccountId, Ask, Kind, Lane, LineId, RepositoryId, RunId, ThreadId};

/// 2026-01-02 03:04:05 UTC.
const T: Millis = 1_767_323_045_000;

/// A queued run.
fn run() -> Run {
    let id: RunId = "01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap();
    Run {
        id,
        thread: ThreadId::new(),
        line: Some(LineId::new()),
        repository: RepositoryId(1),
        lane: Lane::Work,
        kind: Kind::Task,
        ask: Ask {
            kind: Kind::Task,
            title: "Say hello".into(),
            body: String::new(),
            author: "mona".into(),
            instructions: String::new(),
            base: None,
            fresh: false,
            requester: Account { id: AccountId(7), login: "mona".into() },
            pin: None,
            told_on: None,
            unposted: false,
        },
        retry_of: None,
        attempt: 1,
        agent: "codex".into(),
        chosen_by: "default_agent".into(),
        model: None,
        profile: None,
        wanted_runner: None,
        runner: None,
        status: Status::Queued,
        phase: None,
        outcome: None,
        reason: None,
        detail: None,
        fence: 0,
        not_before: 0,
        tries: 0,
        failures: 0,
        unreachable_since: None,
        cancel_at: None,
        cancel_by: None,
        queued_at: T,
        prepared_at: None,
        started_at: None,
        ended_at: None,
        done_at: None,
        allowed_at: T,
        limits: Limits::default(),
        base_branch: None,
        given: None,
        lease: None,
        left_out: LeftOut::default(),
        result: None,
        pushed: None,
        pull: None,
        session: None,
        turn: 1,
        journal_offset: 0,
        progress: None,
        usage: None,
        answer: None,
        work: None,
        left_processes: None,
        unsettled: false,
        automatic: false,
        feedback: None,
        resumed: None,
        session_note: None,
        again: None,
        usage_before: None,
        review_id: None,
        review_url: None,
    }
}

fn preparing() -> Run {
    Run { status: Status::Preparing, runner: Some("build-1".into()), prepared_at: Some(T), ..run() }
}

fn running() -> Run {
    Run { status: Status::Running, started_at: Some(T), ..preparing() }
}

fn done(outcome: Outcome, reason: Reason) -> Run {
    Run {
        status: Status::Done,
        outcome: Some(outcome),
        reason: Some(reason),
        ended_at: Some(T + 252_000),
        given: Some("1".repeat(40).parse().unwrap()),
        ..running()
    }
}

fn facts() -> StatusFacts {
    StatusFacts {
        branch: Some("track/issue-1-q69g5fav".into()),
        repository_url: "https://github.test/octo/hello".into(),
        ..StatusFacts::default()
    }
}

#[test]
fn a_queued_run_says_its_position_and_what_it_waits_for() {
    insta::assert_snapshot!(status(&run(), &facts()), @"
    ⏳ **Queued** for `codex`.

    <sub>run `01ARZ3NDEKTSV4RRFFQ69G5FAV` · asked by mona · branch `track/issue-1-q69g5fav` · `/track cancel` ends it</sub>
    ");
    let second = StatusFacts {
        position: Some(2),
        waits_for: Some("every slot of build-1 is taken (4 of 4)".into()),
        run_url: Some("https://track.test/admin/runs/1".into()),
        ..facts()
    };
    insta::assert_snapshot!(status(&Run { attempt: 2, ..run() }, &second), @"
    ⏳ **Queued** for `codex`, number 2 in the queue.

    Waiting: every slot of build-1 is taken (4 of 4)

    <sub>[run 01ARZ3NDEKTSV4RRFFQ69G5FAV](https://track.test/admin/runs/1) · attempt 2 · asked by mona · branch `track/issue-1-q69g5fav` · `/track cancel` ends it</sub>
    ");
}

// B05
#[test]
fn a_preparing_run_says_its_phase() {
    let line = |phase| status(&Run { phase, ..preparing() }, &facts()).lines().next().unwrap().to_owned();
    let lines: Vec<String> = [None].into_iter().chain(Phase::ALL.iter().copied().map(Some)).map(line).collect();
    insta::assert_snapshot!(lines.join("\n"), @"
    🔧 **Preparing** `codex` on `build-1`: checking the runner.
    🔧 **Preparing** `codex` on `build-1`: checking the runner.
    🔧 **Preparing** `codex` on `build-1`: fetching the repository.
    🔧 **Preparing** `codex` on `build-1`: preparing the workspace.
    🔧 **Preparing** `codex` on `build-1`: uploading the prompt.
    🔧 **Preparing** `codex` on `build-1`: launching the agent.
    ");
}

#[test]
fn a_running_run_says_the_agents_latest_words() {
    insta::assert_snapshot!(status(&running(), &facts()), @"
    🏃 **Running** `codex` on `build-1` since 03:04 UTC.

    <sub>run `01ARZ3NDEKTSV4RRFFQ69G5FAV` · asked by mona · branch `track/issue-1-q69g5fav` · `/track cancel` ends it</sub>
    ");
    let busy = Run { progress: Some("reading `src/lib.rs`\nthen @octocat <!-- x -->".into()), ..running() };
    insta::assert_snapshot!(status(&busy, &facts()), @"
    🏃 **Running** `codex` on `build-1` since 03:04 UTC.

    > reading `src/lib.rs` then @<!-- -->octocat

    <sub>run `01ARZ3NDEKTSV4RRFFQ69G5FAV` · asked by mona · branch `track/issue-1-q69g5fav` · `/track cancel` ends it</sub>
    ");
    let away = Run { unreachable_since: Some(T + 60_000), ..running() };
    insta::assert_snapshot!(status(&away, &facts()), @"
    🏃 **Running** `codex` on `build-1` since 03:04 UTC.

    ⚠️ The runner has not answered since 03:05 UTC. The agent goes on there; this is picked up where it was when the runner is back.

    <sub>run `01ARZ3NDEKTSV4RRFFQ69G5FAV` · asked by mona · branch `track/issue-1-q69g5fav` · `/track cancel` ends it</sub>
    ");
    let ending = Run { cancel_at: Some(T), cancel_by: Some("mona".into()), ..running() };
    insta::assert_snapshot!(status(&ending, &facts()), @"
    🏃 **Running** `codex` on `build-1` since 03:04 UTC.

    🛑 Cancel was asked for by mona and is under way.

    <sub>run `01ARZ3NDEKTSV4RRFFQ69G5FAV` · asked by mona · branch `track/issue-1-q69g5fav` · `/track cancel` ends it</sub>
    ");
    insta::assert_snapshot!(status(&Run { status: Status::Publishing, ..running() }, &facts()), @"
    📦 **Publishing** what `codex` left.

    <sub>run `01ARZ3NDEKTSV4RRFFQ69G5FAV` · asked by mona · branch `track/issue-1-q69g5fav`</sub>
    ");
}

// B11, B12a
#[test]
fn success_says_what_there_is_now() {
    let work = Work {
        commits: 2,
        files: 3,
        insertions: 40,
        deletions: 1,
        leftovers: vec!["notes.txt".into()],
        conflicts: Vec::new(),
    };
    let usage = Usage { input_tokens: 1_234_567, cached_tokens: 0, output_tokens: 45_678, cost_usd: Some(0.123) };
    let full = Run {
        pull: Some(Number(2)),
        pushed: Some("abcdef1234567890abcdef1234567890abcdef12".parse().unwrap()),
        work: Some(work),
        usage: Some(usage),
        ..done(Outcome::Succeeded, Reason::Changes)
    };
    let told = StatusFacts { summary: Some("Said hello.".into()), notes: Some("No tests yet.".into()), ..facts() };
    insta::assert_snapshot!(status(&full, &told), @"
    ✅ **Done**: #2 at [`abcdef1`](https://github.test/octo/hello/commit/abcdef1234567890abcdef1234567890abcdef12).

    Said hello.

    **Notes:** No tests yet.

    | Agent | Runner | Took | Changes | Tokens | Cost |
    | --- | --- | --- | --- | --- | --- |
    | `codex` | `build-1` | 4 min 12 s | 2 commits, 3 files (+40 −1) | 1.2M in, 45.7k out | $0.12 |

    Left uncommitted by the agent and committed by the bot: `notes.txt`.

    <sub>run `01ARZ3NDEKTSV4RRFFQ69G5FAV` · asked by mona · branch `track/issue-1-q69g5fav`</sub>
    ");
    let idle = StatusFacts { summary: Some("It says hello already.".into()), ..facts() };
    insta::assert_snapshot!(status(&done(Outcome::Succeeded, Reason::NoChanges), &idle), @"
    ✅ **Done without changes**: `codex` changed nothing.

    It says hello already.

    | Agent | Runner | Took |
    | --- | --- | --- |
    | `codex` | `build-1` | 4 min 12 s |

    <sub>run `01ARZ3NDEKTSV4RRFFQ69G5FAV` · asked by mona · branch `track/issue-1-q69g5fav`</sub>
    ");
}

// B10
#[test]
fn a_canceled_run_says_who_did_it_and_what_is_left() {
    let canceled = |run: Run| Run { cancel_by: Some("mona".into()), ..run };
    let ended = || done(Outcome::Canceled, Reason::Canceled);
    let line = |run: &Run| status(run, &facts()).lines().next().unwrap().to_owned();
    let lines = [
        line(&canceled(Run { left_processes: Some(0), ..ended() })),
        line(&canceled(Run { left_processes: Some(1), ..ended() })),
        line(&canceled(Run { left_processes: Some(2), ..ended() })),
        line(&canceled(ended())),
        line(&canceled(Run { started_at: None, ..ended() })),
    ];
    insta::assert_snapshot!(lines.join("\n"), @"
    🛑 **Canceled** by mona; 0 processes left.
    🛑 **Canceled** by mona; 1 process left.
    🛑 **Canceled** by mona; 2 processes left.
    🛑 **Canceled** by mona; the runner did not answer, so the agent there is ended when it is back.
    🛑 **Canceled** by mona before the agent started.
    ");
    let kept = Run { result: Some("2".repeat(40).parse().unwrap()), left_processes: Some(0), ..canceled(ended()) };
    insta::assert_snapshot!(status(&kept, &facts()), @"
    🛑 **Canceled** by mona; 0 processes left.

    What it had committed is kept by the bot at `2222222` and was not pushed.

    | Agent | Runner | Took |
    | --- | --- | --- |
    | `codex` | `build-1` | 4 min 12 s |

    <sub>run `01ARZ3NDEKTSV4RRFFQ69G5FAV` · asked by mona · branch `track/issue-1-q69g5fav`</sub>
    ");
}

// P5
#[test]
fn every_reason_has_its_sentence_and_its_next_step() {
    let agent = crate::agent::resolve("codex", &std::collections::BTreeMap::new()).unwrap();
    let mut told = String::new();
    for &reason in Reason::ALL {
        let outcome = match reason {
            Reason::Changes | Reason::NoChanges | Reason::Canceled => continue,
            Reason::AgentBlocked => Outcome::Blocked,
            Reason::WallClock | Reason::Silence => Outcome::TimedOut,
            Reason::SupervisorDied | Reason::RunnerUnreachable => Outcome::Lost,
            _ => Outcome::Failed,
        };
        let told_facts = StatusFacts { remedy: Some(crate::agent::remedy(reason, &agent)), ..facts() };
        let text = status(&done(outcome, reason), &told_facts);
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with(['|', '<']));
        told += &lines.collect::<Vec<_>>().join("\n");
        told += "\n\n";
    }
    insta::assert_snapshot!(told, @"
    ❌ **Failed**: the review is done.
    **Next:** `/track review` reviews what came since.

    ❌ **Failed**: the agent says that it failed.
    **Next:** Read what the agent says; `/track dispatch` with a hint of yours may get it further, `/track retry` tries the same again.

    🚧 **Blocked**: `codex` cannot go on by itself.
    **Next:** Answer what the agent asks: `/track followup <answer>`.

    ❌ **Failed**: the agent ended with an error before it answered.
    **Next:** Look at the run's log (`track runs --log` shows it on the bot's machine), then say `/track retry`.

    ❌ **Failed**: the model provider refused the agent's login.
    **Next:** Log codex in on the runner (`codex login`) and list `~/.codex` under the runner's `read_write`, or export its API key in the runner's `prelude`; then `/track retry`.

    ❌ **Failed**: the model provider is overloaded or its quota is used up.
    **Next:** Wait until the provider's limit is over and say `/track retry`, or choose another agent with `/track dispatch --agent`.

    ❌ **Failed**: the model provider could not be reached or answered with an error.
    **Next:** Check that the runner reaches the model's provider (`network`, proxy, base URL, model name); then `/track retry`.

    ❌ **Failed**: a limit on turns or cost was reached.
    **Next:** Split the task into smaller ones, or raise the limit; then `/track retry`.

    ❌ **Failed**: the agent left no answer.
    **Next:** Say `/track retry`; if it happens again, choose another model.

    ❌ **Failed**: the agent's answer does not match the schema.
    **Next:** Say `/track retry`; if it happens again, choose another model.

    ⌛ **Timed out**: the time limit was reached.
    **Next:** Split the task, or raise `limits.wall_minutes`; then `/track retry`.

    ⌛ **Timed out**: the agent printed nothing for too long.
    **Next:** Look at the end of the run's log (`track runs --log` shows it on the bot's machine); a longer `limits.silence_minutes` may help; then `/track retry`.

    ❓ **Lost**: the runner was restarted or the run was killed there.
    **Next:** Look on the runner for a reboot, or for a process that was killed for lack of memory; then `/track retry`.

    ❌ **Failed**: the runner knows nothing of the run any more.
    **Next:** Look whether somebody reset the runner or its folder; then `/track retry`.

    ❓ **Lost**: the runner did not answer for too long.
    **Next:** Bring the runner back (`track runner check` says what is wrong), or choose another one with `/track dispatch --runner`.

    ❌ **Failed**: the runner shows another host key than the pinned one, so nothing was sent to it.
    **Next:** If the machine was set up anew, give the runner its new host key: change `host_key` in `track.toml`, or remove the runner and add it again; then `/track retry`. If it was not, somebody may be in between.

    ❌ **Failed**: the runner lacks something that the run needs.
    **Next:** `track runner check` says what is missing; make `codex` available through the runner's `prelude` and `read_only`.

    ❌ **Failed**: the runner's disk is full.
    **Next:** Make room on the runner's disk; then `/track retry`.

    ❌ **Failed**: something that is not ours stands where the workspace should go.
    **Next:** Move away what stands there on the runner; then `/track retry`.

    ❌ **Failed**: the commit that was to be reviewed cannot be had any more.
    **Next:** `/track review` reviews the pull request as it is now.

    ❌ **Failed**: the repository cannot be worked on as it is.
    **Next:** Put that right; then `/track retry`, or `/track dispatch` with other options.

    ❌ **Failed**: the requester may no longer ask for runs here.
    **Next:** Somebody with write access can say `/track retry`.

    ❌ **Failed**: what came back does not continue the commits that the agent was given.
    **Next:** `/track retry` starts `codex` again from the commits it was given; the prompt forbids to amend or rebase them.

    ❌ **Failed**: what came back breaks a rule, so it was not pushed.
    **Next:** Say `/track dispatch` with what has to be done differently, or let a person make this change.

    ❌ **Failed**: somebody else pushed to the branch while the agent worked.
    **Next:** What was pushed there stays. `/track retry` does the work again on top of it.

    ❌ **Failed**: the pull request was closed while the agent worked, so nothing was published.
    **Next:** `/track followup <text>` opens it again and goes on from this work; `/track dispatch --fresh` begins anew.

    ❌ **Failed**: the pull request was merged while the agent worked, so nothing was added to it.
    **Next:** `/track followup --fresh <text>` begins a new line of work that knows what was said.

    ❌ **Failed**: GitHub refused the push.
    **Next:** Put right what stands above: the App must be allowed to push `track/*`. Then `/track retry`.

    ❌ **Failed**: GitHub refused the pull request.
    **Next:** The branch is pushed: open the pull request by hand, or put right what GitHub says above and say `/track retry`.

    ❌ **Failed**: something broke in the bot itself.
    **Next:** Look at the run's log (`track runs --log` shows it on the bot's machine), then say `/track retry`.
    ");
}

#[test]
fn a_failed_run_shows_what_the_agent_printed_as_text() {
    let failed = Run {
        detail: Some("panic: ``` @octocat\n<!-- track run=1 -->at line 3".into()),
        ..done(Outcome::Failed, Reason::AgentCrashed)
    };
    let told = StatusFacts { remedy: Some("Look.".into()), ..facts() };
    insta::assert_snapshot!(status(&failed, &told), @"
    ❌ **Failed**: the agent ended with an error before it answered.

    ```text
    panic: ''' @octocat
    at line 3
    ```

    **Next:** Look.

    | Agent | Runner | Took |
    | --- | --- | --- |
    | `codex` | `build-1` | 4 min 12 s |

    <sub>run `01ARZ3NDEKTSV4RRFFQ69G5FAV` · asked by mona · branch `track/issue-1-q69g5fav`</sub>
    ");
}

// B26
#[test]
fn a_push_mentions_the_main_users_and_nobody_else() {
    let pushed = Run { pushed: Some("abcdef1234567890abcdef1234567890abcdef12".parse().unwrap()), ..running() };
    insta::assert_snapshot!(super::pushed(&["mona".into(), "lisa".into()], &pushed, Number(1), true), @"@mona @lisa `codex` pushed `abcdef1` for #1. Please have a look; a review that comments or requests changes makes me follow up, and so does `/track followup <text>`.");
    insta::assert_snapshot!(super::pushed(&[], &pushed, Number(1), false), @"`codex` pushed `abcdef1` for #1. Please have a look; to have more done, comment `/track followup <text>` here or on the issue.");
    insta::assert_snapshot!(pull_request_body(&pushed, "Said hello to @octocat.", (Number(1), None), Some("https://track.test/admin/runs/1")), @"
    Said hello to @<!-- -->octocat.

    Closes #1.

    <sub>[run 01ARZ3NDEKTSV4RRFFQ69G5FAV](https://track.test/admin/runs/1) by `codex` · asked by mona in #1</sub>
    ");
}

// B16
#[test]
fn history_lists_runs_newest_first() {
    insta::assert_snapshot!(history(&[], &|_| None), @"No runs here yet. `/track dispatch` starts one.");
    let failed = done(Outcome::TimedOut, Reason::Silence);
    let good = Run { pull: Some(Number(2)), ..done(Outcome::Succeeded, Reason::Changes) };
    insta::assert_snapshot!(history(&[run(), running(), failed, good], &|_| Some(2)), @"
    | Run | Status | Agent | Asked | Took | PR |
    | --- | --- | --- | --- | --- | --- |
    | `01ARZ3NDEKTSV4RRFFQ69G5FAV` | queued, number 2 | `codex` | 2026-01-02 03:04 UTC by mona | – | – |
    | `01ARZ3NDEKTSV4RRFFQ69G5FAV` | running | `codex` | 2026-01-02 03:04 UTC by mona | – | – |
    | `01ARZ3NDEKTSV4RRFFQ69G5FAV` | timed out | `codex` | 2026-01-02 03:04 UTC by mona | 4 min 12 s | – |
    | `01ARZ3NDEKTSV4RRFFQ69G5FAV` | succeeded | `codex` | 2026-01-02 03:04 UTC by mona | 4 min 12 s | #2 |
    ");
}

// B27
#[test]
fn why_lists_decisions() {
    insta::assert_snapshot!(why(&[]), @"Nothing was decided here yet.");
    let decision = |verdict: &str, reason: &str, actor: Option<&str>, detail: &str| Shown {
        at: T,
        run: None,
        about: About::default(),
        actor: actor.map(str::to_owned),
        verdict: verdict.into(),
        reason: reason.into(),
        detail: detail.into(),
    };
    let all = [
        decision("refused", "bad_command", Some("mona"), "There is no command `a`.\n\nUsage: `a | b`"),
        decision("ignored", "stranger", Some("eve"), "the actor may not write here"),
        decision("noted", "merged", None, "pull request #2 is merged; the next dispatch opens a new line"),
        Shown {
            about: About {
                runner: Some("build-1".into()),
                branch: Some("track/issue-1-0abc1234".into()),
                pull: Some(Number(2)),
                head: Some("0123456789abcdef0123456789abcdef01234567".parse().unwrap()),
                review_state: Some("changes_requested".into()),
            },
            ..decision("accepted", "follow_up", Some("mona"), "run R follows up on what was said")
        },
        Shown {
            about: About { branch: Some("track/issue-1-0abc1234".into()), ..About::default() },
            ..decision("accepted", "queued", Some("mona"), "run R is queued for codex")
        },
    ];
    insta::assert_snapshot!(why(&all), @r"
    | When | Who | Verdict | Why | About |
    | --- | --- | --- | --- | --- |
    | 2026-01-02 03:04 UTC | mona | refused (`bad_command`) | There is no command `a`. Usage: `a \| b` | – |
    | 2026-01-02 03:04 UTC | eve | ignored (`stranger`) | the actor may not write here | – |
    | 2026-01-02 03:04 UTC | – | noted (`merged`) | pull request #2 is merged; the next dispatch opens a new line | – |
    | 2026-01-02 03:04 UTC | mona | accepted (`follow_up`) | run R follows up on what was said | #2 at `0123456`, changes requested, `build-1` |
    | 2026-01-02 03:04 UTC | mona | accepted (`queued`) | run R is queued for codex | `track/issue-1-0abc1234` |
    ");
}

// T15
#[test]
fn no_text_holds_a_live_command() {
    let texts = [
        status(&run(), &facts()),
        status(&running(), &facts()),
        history(&[], &|_| None),
        super::pushed(&["mona".into()], &running(), Number(1), true),
    ];
    for text in texts {
        assert_eq!(crate::trigger::command::parse(&text), [], "{text}");
    }
}

#[test]
fn lengths_of_time_are_said_as_people_say_them() {
    for (ms, said) in [
        (-5, "0 s"),
        (59_999, "59 s"),
        (60_000, "1 min 0 s"),
        (252_000, "4 min 12 s"),
        (3_600_000, "1 h 0 min"),
        (90_000_000, "25 h 0 min"),
    ] {
        assert_eq!(duration(ms), said);
    }
}

// T23
#[test]
fn what_the_agent_was_not_given_is_said() {
    let left_out = LeftOut { lfs: true, submodules: true, hidden_characters: 3 };
    let told = status(&Run { left_out, ..done(Outcome::Succeeded, Reason::NoChanges) }, &StatusFacts::default());
    insta::assert_snapshot!(told.lines().find(|line| line.contains("not given")).unwrap(), @"The agent was not given: the contents of files in Git LFS, submodules, 3 hidden characters of the texts.");
}
