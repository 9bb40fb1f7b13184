//! What the end of an agent means: its answer, or a failure that says what to do next (B11, B12).
//!
//! Fields decide before exit codes do, and an answer is only taken from the agent's own place for it, never guessed.

use super::{Agent, Answer, Reader, clean};
use crate::model::{Kind, Reason};

/// How the process ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exit {
    /// Its exit code, if it ended by itself.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
}

/// All that is left of an execution besides its lines.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ending<'a> {
    /// How the process ended.
    pub exit: Exit,
    /// Content of [`ANSWER_FILE`](super::ANSWER_FILE), if it is there.
    pub answer_file: Option<&'a [u8]>,
    /// The last line of standard output in full; in the journal a long one is cut.
    pub last_line: Option<&'a [u8]>,
    /// The end of its standard error.
    pub stderr_tail: &'a str,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Which kind of failure.
    pub reason: Reason,
    /// What the agent said or did; what to do about it is [`remedy`]'s to say.
    pub detail: String,
    /// The session with which it should have gone on is gone: a launch without one can succeed.
    pub session_lost: bool,
}

/// What an execution of an agent came to. Runs that were canceled or ran out of time end before this is asked.
pub fn verdict(kind: Kind, reader: &Reader, ending: &Ending) -> Result<Answer, Failure> {
    if let (Some(line), false) = (ending.last_line, reader.has_end()) {
        let mut whole = reader.clone();
        whole.feed(line);
        return whole.verdict(kind, ending);
    }
    reader.verdict(kind, ending)
}

/// One sentence that says what to do after a failure of `agent`.
pub fn remedy(reason: Reason, agent: &Agent) -> String {
    let name = agent.name();
    match reason {
        Reason::AgentLogin => match agent {
            Agent::Codex => "Log codex in on the runner (`codex login`) and list `~/.codex` under the runner's `read_write`, or export its API key in the runner's `prelude`; then `/track retry`.".to_owned(),
            Agent::Claude => "Log claude in on the runner (`claude setup-token`) and export `CLAUDE_CODE_OAUTH_TOKEN` or `ANTHROPIC_API_KEY` in the runner's `prelude`; then `/track retry`.".to_owned(),
            Agent::Custom { .. } => format!("Check the login of `{name}` on the runner; then `/track retry`."),
        },
        Reason::AgentRateLimited => {
            "Wait until the provider's limit is over and say `/track retry`, or choose another agent with `/track dispatch --agent`.".to_owned()
        }
        Reason::AgentApi => {
            "Check that the runner reaches the model's provider (`network`, proxy, base URL, model name); then `/track retry`.".to_owned()
        }
        Reason::AgentLimit => "Split the task into smaller ones, or raise the limit; then `/track retry`.".to_owned(),
        Reason::NoAnswer => match agent {
            Agent::Custom { .. } => {
                format!("Let `{name}` write its answer to `$TRACK_RESULT_FILE`, as JSON that matches `$TRACK_SCHEMA_FILE`; then `/track retry`.")
            }
            _ => "Say `/track retry`; if it happens again, choose another model.".to_owned(),
        },
        Reason::BadAnswer => match agent {
            Agent::Custom { .. } => {
                format!("Let `{name}` write JSON that matches `$TRACK_SCHEMA_FILE`: every property, no others; then `/track retry`.")
            }
            _ => "Say `/track retry`; if it happens again, choose another model.".to_owned(),
        },
        Reason::RunnerSetup => {
            format!("`track runner check` says what is missing; make `{name}` available through the runner's `prelude` and `read_only`.")
        }
        Reason::WallClock => "Split the task, or raise `limits.wall_minutes`; then `/track retry`.".to_owned(),
        Reason::Silence => "Look at the end of the run's log (`track runs --log` shows it on the bot's machine); a longer `limits.silence_minutes` may help; then `/track retry`.".to_owned(),
        Reason::AgentBlocked => "Answer what the agent asks: `/track followup <answer>`.".to_owned(),
        Reason::AgentFailed => "Read what the agent says; `/track dispatch` with a hint of yours may get it further, `/track retry` tries the same again.".to_owned(),
        Reason::AgentCrashed | Reason::Internal => "Look at the run's log (`track runs --log` shows it on the bot's machine), then say `/track retry`.".to_owned(),
        Reason::Canceled => "`/track retry` runs it again.".to_owned(),
        Reason::SupervisorDied => {
            "Look on the runner for a reboot, or for a process that was killed for lack of memory; then `/track retry`.".to_owned()
        }
        Reason::RunForgotten => "Look whether somebody reset the runner or its folder; then `/track retry`.".to_owned(),
        Reason::RunnerUnreachable => {
            "Bring the runner back (`track runner check` says what is wrong), or choose another one with `/track dispatch --runner`.".to_owned()
        }
        Reason::HostKeyChanged => {
            "If the machine was set up anew, give the runner its new host key: change `host_key` in `track.toml`, or remove the runner and add it again; then `/track retry`. If it was not, somebody may be in between.".to_owned()
        }
        Reason::RunnerDisk => "Make room on the runner's disk; then `/track retry`.".to_owned(),
        Reason::CommitGone => "`/track review` reviews the pull request as it is now.".to_owned(),
        Reason::WorkspaceTaken => "Move away what stands there on the runner; then `/track retry`.".to_owned(),
        Reason::RepositoryUnusable => "Put that right; then `/track retry`, or `/track dispatch` with other options.".to_owned(),
        Reason::PermissionLost => "Somebody with write access can say `/track retry`.".to_owned(),
        Reason::NotDescendant => format!("`/track retry` starts `{name}` again from the commits it was given; the prompt forbids to amend or rebase them."),
        Reason::ResultRefused => "Say `/track dispatch` with what has to be done differently, or let a person make this change.".to_owned(),
        Reason::BranchMoved => "What was pushed there stays. `/track retry` does the work again on top of it.".to_owned(),
        Reason::PullRequestClosed => "`/track followup <text>` opens it again and goes on from this work; `/track dispatch --fresh` begins anew.".to_owned(),
        Reason::PullRequestMerged => "`/track followup --fresh <text>` begins a new line of work that knows what was said.".to_owned(),
        Reason::PushRefused => "Put right what stands above: the App must be allowed to push `track/*`. Then `/track retry`.".to_owned(),
        Reason::PullRequestRefused => "The branch is pushed: open the pull request by hand, or put right what GitHub says above and say `/track retry`.".to_owned(),
        Reason::Changes | Reason::NoChanges => "`/track followup <what to change>` has more done.".to_owned(),
        Reason::Reviewed => "`/track review` reviews what came since.".to_owned(),
    }
}

impl Failure {
    pub(super) fn new(reason: Reason, detail: String) -> Self {
        Self { reason, detail, session_lost: false }
    }
}

impl Exit {
    /// Whether it ended by itself with code 0.
    pub fn succeeded(self) -> bool {
        self.code == Some(0) && self.signal.is_none()
    }

    fn says(self) -> String {
        match (self.code, self.signal) {
            // How a shell or bubblewrap passes on a signal.
            (_, Some(9)) | (Some(137), None) => "was killed (signal 9, often for lack of memory)".to_owned(),
            (_, Some(signal)) => format!("was ended by signal {signal}"),
            (Some(code), None) => format!("ended with exit code {code}"),
            (None, None) => "ended in an unknown way".to_owned(),
        }
    }
}

pub(super) fn bad_answer(error: &str) -> Failure {
    Failure::new(Reason::BadAnswer, clean::one_line(error, 400))
}

pub(super) fn crashed(agent: &Agent, ending: &Ending) -> Failure {
    let mut detail = format!("{} {}", agent.name(), ending.exit.says());
    let said = last_lines(ending.stderr_tail);
    if !said.is_empty() {
        detail = format!("{detail}:\n{said}");
    }
    Failure::new(Reason::AgentCrashed, detail)
}

/// Endings that mean that the runner is not set up for the agent.
pub(super) fn setup(agent: &Agent, ending: &Ending) -> Option<Failure> {
    let stderr = ending.stderr_tail;
    let name = agent.name();
    let said = tail(stderr, 300);
    let detail = if stderr.contains("bwrap: execvp") || ending.exit.code == Some(127) {
        format!("the program of `{name}` was not found on the runner: {said}")
    } else if ending.exit.code == Some(126) {
        format!("the program of `{name}` cannot be executed on the runner: {said}")
    } else if stderr.lines().any(|line| line.starts_with("bwrap: ")) {
        format!("the sandbox could not be made: {said}")
    } else if agent.resumes() && ["unexpected argument", "unknown option"].iter().any(|words| stderr.contains(words)) {
        format!("this version of `{name}` does not know an option, update it: {said}")
    } else {
        return None;
    };
    Some(Failure::new(Reason::RunnerSetup, detail))
}

/// The last lines of standard error, as they were: that is where programs say what went wrong.
fn last_lines(text: &str) -> String {
    const LINES: usize = 12;
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let last =
        lines[lines.len().saturating_sub(LINES)..].iter().map(|line| clean::visible(&cut(&uncolored(line), 200)));
    last.collect::<Vec<_>>().join("\n")
}

/// Without the control sequences with which programs color what they say (ECMA-48, 5.4).
fn uncolored(text: &str) -> String {
    let mut parts = text.split("\u{1b}[");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| ('@'..='~').contains(&c)).map_or(part.len(), |end| end + 1);
        plain.push_str(&part[end..]);
    }
    plain
}

fn cut(text: &str, longest: usize) -> String {
    match text.char_indices().nth(longest) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// The end of a longer text in one line.
fn tail(text: &str, longest: usize) -> String {
    let count = text.chars().count();
    let end: String = text.chars().skip(count.saturating_sub(longest)).collect();
    let end = clean::one_line(&end, longest);
    if count > longest { format!("…{end}") } else { end }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::AnswerStatus;

    const ANSWER: &str = r#"{"status":"succeeded","summary":"done","pull_request_title":"feat: x","pull_request_body":"b","notes":null,"replies":[]}"#;
    const BLOCKED: &str = r#"{"status":"blocked","summary":"which one?","pull_request_title":null,"pull_request_body":null,"notes":null,"replies":[]}"#;
    const COMPLETED: &str = r#"{"type":"turn.completed","usage":{"input_tokens":1}}"#;

    fn code(code: i32) -> Exit {
        Exit { code: Some(code), signal: None }
    }

    fn signal(signal: i32) -> Exit {
        Exit { code: None, signal: Some(signal) }
    }

    /// What an ending comes to, as one reads it: the answer's status, or reason and detail.
    fn says(agent: &Agent, line: &str, ending: Ending) -> String {
        let mut reader = Reader::new(agent, None);
        reader.feed(line.as_bytes());
        match verdict(Kind::Task, &reader, &ending) {
            Ok(answer) => format!("{:?}: {}", answer.status(), answer.summary()),
            Err(failure) => {
                let lost = if failure.session_lost { " [session lost]" } else { "" };
                format!("{}: {}{lost}", failure.reason, failure.detail)
            }
        }
    }

    fn custom() -> Agent {
        Agent::Custom { name: "scripted".into(), command: vec!["scripted".into()] }
    }

    #[test]
    fn endings_of_codex() {
        // B11, B12
        let failed = |text: &str| serde_json::json!({"type": "turn.failed", "error": {"message": text}}).to_string();
        let file = |bytes: &'static str| Some(bytes.as_bytes());
        let error_item =
            r#"{"type":"item.completed","item":{"type":"error","message":"Model metadata for `x` not found."}}"#;
        let table = [
            says(&Agent::Codex, COMPLETED, Ending { exit: code(0), answer_file: file(ANSWER), ..Ending::default() }),
            says(
                &Agent::Codex,
                COMPLETED,
                Ending { exit: code(0), answer_file: file("not json at all"), ..Ending::default() },
            ),
            says(&Agent::Codex, COMPLETED, Ending { exit: code(0), answer_file: file(""), ..Ending::default() }),
            says(&Agent::Codex, COMPLETED, Ending { exit: code(0), ..Ending::default() }),
            // The journal's copy of the last line was cut.
            says(
                &Agent::Codex,
                error_item,
                Ending { exit: code(0), answer_file: file(BLOCKED), last_line: file(COMPLETED), stderr_tail: "" },
            ),
            says(
                &Agent::Codex,
                &failed("exceeded retry limit, last status: 429 Too Many Requests"),
                Ending { exit: code(1), answer_file: file(""), ..Ending::default() },
            ),
            says(
                &Agent::Codex,
                &failed("Missing environment variable: `FAKE_LLM_KEY`."),
                Ending { exit: code(1), ..Ending::default() },
            ),
            says(
                &Agent::Codex,
                &failed("unexpected status 401 Unauthorized: no"),
                Ending { exit: code(1), ..Ending::default() },
            ),
            says(
                &Agent::Codex,
                "",
                Ending {
                    exit: code(1),
                    stderr_tail: "Error: thread/resume failed: no rollout found for thread id 01a",
                    ..Ending::default()
                },
            ),
            says(
                &Agent::Codex,
                "",
                Ending {
                    exit: code(2),
                    stderr_tail: "error: unexpected argument '--output-schema' found",
                    ..Ending::default()
                },
            ),
            says(
                &Agent::Codex,
                "",
                Ending { exit: code(127), stderr_tail: "bash: codex: command not found", ..Ending::default() },
            ),
            says(
                &Agent::Codex,
                "",
                Ending {
                    exit: code(1),
                    stderr_tail: "bwrap: execvp codex: No such file or directory",
                    ..Ending::default()
                },
            ),
            says(
                &Agent::Codex,
                "",
                Ending {
                    exit: code(1),
                    stderr_tail: "bwrap: Creating new namespace failed: Operation not permitted",
                    ..Ending::default()
                },
            ),
            says(
                &Agent::Codex,
                r#"{"type":"error","message":"Reconnecting... 4/5 (connection refused)"}"#,
                Ending { exit: signal(15), ..Ending::default() },
            ),
            says(&Agent::Codex, "", Ending { exit: code(137), ..Ending::default() }),
        ];
        insta::assert_snapshot!(table.join("\n"), @r#"
        Succeeded: done
        bad_answer: it is no JSON object, it begins with "not json at all"
        no_answer: its last message was empty
        no_answer: its last message was empty
        Blocked: which one?
        agent_rate_limited: exceeded retry limit, last status: 429 Too Many Requests
        agent_login: Missing environment variable: `FAKE_LLM_KEY`.
        agent_login: unexpected status 401 Unauthorized: no
        agent_crashed: codex ended with exit code 1:
        Error: thread/resume failed: no rollout found for thread id 01a [session lost]
        runner_setup: this version of `codex` does not know an option, update it: error: unexpected argument '--output-schema' found
        runner_setup: the program of `codex` was not found on the runner: bash: codex: command not found
        runner_setup: the program of `codex` was not found on the runner: bwrap: execvp codex: No such file or directory
        runner_setup: the sandbox could not be made: bwrap: Creating new namespace failed: Operation not permitted
        agent_api: Reconnecting... 4/5 (connection refused)
        agent_crashed: codex was killed (signal 9, often for lack of memory)
        "#);
    }

    #[test]
    fn endings_of_claude() {
        // B11, B12
        let result = |subtype: &str, is_error: bool, terminal: &str, more: &str| {
            format!(
                r#"{{"type":"result","subtype":"{subtype}","is_error":{is_error},"terminal_reason":"{terminal}"{more}}}"#
            )
        };
        let api = |status: &str, text: &str| {
            result("success", true, "api_error", &format!(r#","api_error_status":{status},"result":"{text}""#))
        };
        let claude = |line: &str, exit: Exit| says(&Agent::Claude, line, Ending { exit, ..Ending::default() });
        let stderr = |text| says(&Agent::Claude, "", Ending { exit: code(1), stderr_tail: text, ..Ending::default() });
        let ok = result("success", false, "completed", &format!(r#","structured_output":{ANSWER}"#));
        let table = [
            claude(&ok, code(0)),
            says(&Agent::Claude, "cut", Ending { exit: code(0), last_line: Some(ok.as_bytes()), ..Ending::default() }),
            claude(&result("success", false, "completed", r#","structured_output":{"status":"succeeded"}"#), code(0)),
            claude(&result("success", false, "completed", r#","result":"I am done.""#), code(0)),
            claude(
                &result(
                    "error_max_structured_output_retries",
                    true,
                    "structured_output_retry_exhausted",
                    r#","errors":["summary: required"]"#,
                ),
                code(1),
            ),
            claude(&api("400", "API Error: 400 model not found"), code(1)),
            claude(&api("401", "API Error: 401 bad key"), code(1)),
            claude(&api("429", "API Error: 429"), code(1)),
            claude(&api("500", "API Error: 500"), code(1)),
            claude(&api("529", "API Error: 529 overloaded"), code(1)),
            claude(&api("null", "API Error: Connection refused"), code(1)),
            claude(&api("null", "Not logged in · Please run /login"), code(1)),
            claude(&api("400", "Your credit balance is too low"), code(1)),
            claude(&result("error_max_turns", true, "max_turns", ""), code(1)),
            claude(&result("error_max_budget_usd", true, "budget_exhausted", ""), code(1)),
            claude(&result("error_during_execution", true, "aborted_tools", ""), code(0)),
            claude(
                &result(
                    "error_during_execution",
                    true,
                    "",
                    r#","errors":["No conversation found with session ID: 01a1fb64"]"#,
                ),
                code(1),
            ),
            claude("", code(143)),
            claude("", signal(9)),
            stderr("--dangerously-skip-permissions cannot be used with root/sudo privileges for security reasons"),
            stderr("No conversation found with session ID: 01a1fb64"),
            stderr("Error: Session ID 01a1fb64 is already in use."),
            stderr("error: unknown option '--json-schema'"),
        ];
        insta::assert_snapshot!(table.join("\n"), @r#"
        Succeeded: done
        Succeeded: done
        bad_answer: missing field `summary` at line 1 column 22
        no_answer: it ended without the structured answer; it said: I am done.
        bad_answer: summary: required
        agent_api: API Error: 400 model not found
        agent_login: API Error: 401 bad key
        agent_rate_limited: API Error: 429
        agent_api: API Error: 500
        agent_rate_limited: API Error: 529 overloaded
        agent_api: API Error: Connection refused
        agent_login: Not logged in · Please run /login
        agent_rate_limited: Your credit balance is too low
        agent_limit: it reached its limit of turns
        agent_limit: it reached its budget
        agent_crashed: it was interrupted (aborted_tools)
        agent_crashed: No conversation found with session ID: 01a1fb64 [session lost]
        agent_crashed: claude ended with exit code 143
        agent_crashed: claude was killed (signal 9, often for lack of memory)
        runner_setup: claude refuses to work without permission prompts as root: set `sandbox = "bubblewrap"` for the runner, or let it log in as an unprivileged user
        agent_crashed: claude ended with exit code 1:
        No conversation found with session ID: 01a1fb64 [session lost]
        agent_crashed: claude ended with exit code 1:
        Error: Session ID 01a1fb64 is already in use.
        runner_setup: this version of `claude` does not know an option, update it: error: unknown option '--json-schema'
        "#);
    }

    #[test]
    fn endings_of_custom_agents() {
        // B11, B12
        let custom = |exit, file: Option<&'static str>, stderr_tail| {
            says(
                &custom(),
                "working",
                Ending { exit, answer_file: file.map(str::as_bytes), last_line: None, stderr_tail },
            )
        };
        let table = [
            custom(code(0), Some(ANSWER), ""),
            custom(code(0), None, ""),
            custom(code(0), Some(" \n"), ""),
            custom(code(0), Some("{\"status\":\"succeeded\"}"), ""),
            // It breaks after it claimed success: not believed. It explains why it breaks: believed.
            custom(code(3), Some(ANSWER), "line 1\nboom"),
            custom(code(3), Some(BLOCKED), "boom"),
            custom(code(127), None, "env: nonsense: No such file or directory"),
            custom(code(126), None, "Permission denied"),
            custom(signal(15), None, ""),
        ];
        insta::assert_snapshot!(table.join("\n"), @"
        Succeeded: done
        no_answer: it ended without writing $TRACK_RESULT_FILE
        no_answer: it ended without writing $TRACK_RESULT_FILE
        bad_answer: missing field `summary` at line 1 column 22
        agent_crashed: scripted ended with exit code 3:
        line 1
        boom
        Blocked: which one?
        runner_setup: the program of `scripted` was not found on the runner: env: nonsense: No such file or directory
        runner_setup: the program of `scripted` cannot be executed on the runner: Permission denied
        agent_crashed: scripted was ended by signal 15
        ");
    }

    #[test]
    fn a_review_is_not_read_as_work() {
        let mut reader = Reader::new(&Agent::Codex, None);
        reader.feed(COMPLETED.as_bytes());
        let ending = Ending { exit: code(0), answer_file: Some(ANSWER.as_bytes()), ..Ending::default() };
        assert_eq!(verdict(Kind::Review, &reader, &ending).map_err(|failure| failure.reason), Err(Reason::BadAnswer));
        assert_eq!(verdict(Kind::FollowUp, &reader, &ending).unwrap().status(), AnswerStatus::Succeeded);
    }

    #[test]
    fn every_failure_of_an_agent_has_a_next_step() {
        // B11
        use Reason::*;
        let reasons =
            [AgentLogin, AgentRateLimited, AgentApi, AgentLimit, NoAnswer, BadAnswer, RunnerSetup, AgentCrashed];
        let mut said = String::new();
        for reason in reasons {
            for agent in [Agent::Codex, Agent::Claude, custom()] {
                said.push_str(&format!("{reason} {}: {}\n", agent.name(), remedy(reason, &agent)));
            }
        }
        insta::assert_snapshot!(said, @"
        agent_login codex: Log codex in on the runner (`codex login`) and list `~/.codex` under the runner's `read_write`, or export its API key in the runner's `prelude`; then `/track retry`.
        agent_login claude: Log claude in on the runner (`claude setup-token`) and export `CLAUDE_CODE_OAUTH_TOKEN` or `ANTHROPIC_API_KEY` in the runner's `prelude`; then `/track retry`.
        agent_login scripted: Check the login of `scripted` on the runner; then `/track retry`.
        agent_rate_limited codex: Wait until the provider's limit is over and say `/track retry`, or choose another agent with `/track dispatch --agent`.
        agent_rate_limited claude: Wait until the provider's limit is over and say `/track retry`, or choose another agent with `/track dispatch --agent`.
        agent_rate_limited scripted: Wait until the provider's limit is over and say `/track retry`, or choose another agent with `/track dispatch --agent`.
        agent_api codex: Check that the runner reaches the model's provider (`network`, proxy, base URL, model name); then `/track retry`.
        agent_api claude: Check that the runner reaches the model's provider (`network`, proxy, base URL, model name); then `/track retry`.
        agent_api scripted: Check that the runner reaches the model's provider (`network`, proxy, base URL, model name); then `/track retry`.
        agent_limit codex: Split the task into smaller ones, or raise the limit; then `/track retry`.
        agent_limit claude: Split the task into smaller ones, or raise the limit; then `/track retry`.
        agent_limit scripted: Split the task into smaller ones, or raise the limit; then `/track retry`.
        no_answer codex: Say `/track retry`; if it happens again, choose another model.
        no_answer claude: Say `/track retry`; if it happens again, choose another model.
        no_answer scripted: Let `scripted` write its answer to `$TRACK_RESULT_FILE`, as JSON that matches `$TRACK_SCHEMA_FILE`; then `/track retry`.
        bad_answer codex: Say `/track retry`; if it happens again, choose another model.
        bad_answer claude: Say `/track retry`; if it happens again, choose another model.
        bad_answer scripted: Let `scripted` write JSON that matches `$TRACK_SCHEMA_FILE`: every property, no others; then `/track retry`.
        runner_setup codex: `track runner check` says what is missing; make `codex` available through the runner's `prelude` and `read_only`.
        runner_setup claude: `track runner check` says what is missing; make `claude` available through the runner's `prelude` and `read_only`.
        runner_setup scripted: `track runner check` says what is missing; make `scripted` available through the runner's `prelude` and `read_only`.
        agent_crashed codex: Look at the run's log (`track runs --log` shows it on the bot's machine), then say `/track retry`.
        agent_crashed claude: Look at the run's log (`track runs --log` shows it on the bot's machine), then say `/track retry`.
        agent_crashed scripted: Look at the run's log (`track runs --log` shows it on the bot's machine), then say `/track retry`.
        ");
    }

    #[test]
    fn root_is_told_what_to_change() {
        let reader = Reader::new(&Agent::Claude, None);
        let stderr_tail =
            "--dangerously-skip-permissions cannot be used with root/sudo privileges for security reasons";
        let failure =
            verdict(Kind::Task, &reader, &Ending { exit: code(1), stderr_tail, ..Ending::default() }).unwrap_err();
        insta::assert_snapshot!(failure.detail, @r#"claude refuses to work without permission prompts as root: set `sandbox = "bubblewrap"` for the runner, or let it log in as an unprivileged user"#);
    }
}
