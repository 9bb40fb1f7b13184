//! Codex: its command line, its events, and what its endings mean. Checked with codex 0.169.

use serde_json::Value;

use super::launch::{ANSWER_FILE, SCHEMA_FILE};
use super::reader::{since, usage_fields};
use super::verdict::{self, Ending, Failure};
use super::{Agent, Answer, Session, answer, clean};
use crate::model::{Kind, Reason, Usage};

pub(super) fn command(model: Option<&str>, session: Option<&Session>) -> Vec<String> {
    // `--search` (web search) exists before `exec` only; -C and the rest must come before `resume`.
    let mut command = ["codex", "--search", "exec", "--dangerously-bypass-approvals-and-sandbox", "-C", "{work}"]
        .map(str::to_owned)
        .to_vec();
    command.extend(["--json", "--output-schema"].map(str::to_owned));
    command.extend([format!("{{in}}/{SCHEMA_FILE}"), "-o".to_owned(), format!("{{out}}/{ANSWER_FILE}")]);
    let settings = [
        "check_for_update_on_startup=false",
        // Both talk to other hosts than the model's, and cost seconds where there is no network.
        "analytics.enabled=false",
        "features.plugins=false",
        // Otherwise an unreachable model is waited for without end, printing all the while.
        "features.unbounded_connection_retries=false",
    ];
    command.extend(settings.into_iter().flat_map(|setting| ["-c".to_owned(), setting.to_owned()]));
    command.extend(model.map(|model| format!("--model={model}")));
    if let Some(session) = session {
        command.extend(["resume".to_owned(), session.id.clone()]);
    }
    command.push("-".to_owned());
    command
}

/// What codex has printed so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Events {
    pub(super) thread: Option<String>,
    /// Totals of the whole thread.
    reported: Option<Usage>,
    end: Option<End>,
    last_error: Option<String>,
}

#[derive(Clone, Debug, PartialEq)]
enum End {
    Completed,
    Failed(String),
}

impl Events {
    pub(super) fn event(&mut self, event: &Value) -> Option<String> {
        match event["type"].as_str()? {
            "thread.started" => {
                self.thread = event["thread_id"].as_str().map(str::to_owned);
                None
            }
            "turn.completed" => {
                let usage = &event["usage"];
                self.reported = Some(usage_fields(usage, ["input_tokens", "cached_input_tokens", "output_tokens", ""]));
                self.end = Some(End::Completed);
                None
            }
            "turn.failed" => {
                let message = event["error"]["message"].as_str().unwrap_or("it does not say why").to_owned();
                self.end = Some(End::Failed(message.clone()));
                Some(message)
            }
            // Also printed for retries that later succeed.
            "error" => {
                self.last_error = event["message"].as_str().map(str::to_owned);
                self.last_error.clone()
            }
            "item.started" | "item.updated" => item(&event["item"], false),
            "item.completed" => item(&event["item"], true),
            _ => None,
        }
    }

    pub(super) fn reported(&self) -> Option<Usage> {
        self.reported
    }

    pub(super) fn usage(&self, earlier: Option<&Usage>) -> Usage {
        self.reported.map(|reported| since(&reported, earlier)).unwrap_or_default()
    }

    pub(super) fn ended(&self) -> bool {
        self.end.is_some()
    }
}

/// What an item says about the work, each thing once: commands when they start, the rest when it is complete.
fn item(item: &Value, completed: bool) -> Option<String> {
    let text = |key: &str| item[key].as_str().map(str::to_owned);
    match (item["type"].as_str()?, completed) {
        ("command_execution", false) => Some(format!("$ {}", unwrapped(item["command"].as_str()?))),
        ("file_change", true) => {
            let paths = item["changes"].as_array()?.iter().filter_map(|change| change["path"].as_str());
            Some(format!("Edits {}", paths.collect::<Vec<_>>().join(", ")))
        }
        ("mcp_tool_call", false) => Some(format!("Calls {}.{}", item["server"].as_str()?, item["tool"].as_str()?)),
        ("web_search", true) => Some(format!("Searches the web: {}", item["query"].as_str()?)),
        ("agent_message", true) => text("text").filter(|text| !is_answer(text)),
        ("reasoning", true) => text("text").map(|text| text.replace("**", "")),
        ("error", true) => text("message"),
        _ => None,
    }
}

/// The last message is the answer itself, which nobody wants to read as progress.
pub(super) fn is_answer(text: &str) -> bool {
    serde_json::from_str::<Value>(text).is_ok_and(|value| value.is_object())
}

/// `ls` of `/bin/bash -lc 'ls'`.
pub(super) fn unwrapped(command: &str) -> &str {
    let Some((shell, rest)) = command.split_once(" -lc ") else { return command };
    if shell.contains(' ') {
        return command;
    }
    let rest = rest.trim();
    let quoted = ['\'', '"'].into_iter().find_map(|quote| rest.strip_prefix(quote)?.strip_suffix(quote));
    quoted.unwrap_or(rest)
}

pub(super) fn verdict(events: &Events, kind: Kind, ending: &Ending) -> Result<Answer, Failure> {
    match &events.end {
        Some(End::Completed) => match ending.answer_file.filter(|file| !file.trim_ascii().is_empty()) {
            // Codex writes whatever the model said last, matching the schema or not.
            Some(file) => answer::parse(kind, file).map_err(|error| verdict::bad_answer(&error)),
            None => Err(Failure::new(Reason::NoAnswer, "its last message was empty".to_owned())),
        },
        Some(End::Failed(message)) => Err(failed(message)),
        None => Err(unfinished(events, ending)),
    }
}

fn failed(message: &str) -> Failure {
    Failure::new(reason(message), clean::one_line(message, 400))
}

/// It ended without the end of a turn.
fn unfinished(events: &Events, ending: &Ending) -> Failure {
    let agent = &Agent::Codex;
    let stderr = ending.stderr_tail;
    if stderr.contains("no rollout found for thread id") {
        return Failure { session_lost: true, ..verdict::crashed(agent, ending) };
    }
    if let Some(failure) = verdict::setup(agent, ending) {
        return failure;
    }
    // Killed while it was waiting for the model, for example.
    let text = events.last_error.as_deref().unwrap_or_default();
    match reason(text) {
        Reason::AgentCrashed => verdict::crashed(agent, ending),
        reason => Failure::new(reason, clean::one_line(text, 400)),
    }
}

/// What a message of codex means; there is nothing but its words to go by.
fn reason(message: &str) -> Reason {
    let message = message.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| message.contains(word));
    if says(&["missing environment variable", "401", "403 forbidden", "unauthorized", "not logged in", "log in again"])
        || says(&["refresh token", "invalid_api_key", "incorrect api key"])
    {
        Reason::AgentLogin
    } else if says(&[
        "429",
        "529",
        "too many requests",
        "rate limit",
        "usage limit",
        "quota",
        "overloaded",
        "at capacity",
    ]) {
        Reason::AgentRateLimited
    } else if says(&["context window", "context_length_exceeded"]) {
        Reason::AgentLimit
    } else if says(&[
        "unexpected status",
        "last status",
        "stream",
        "connection",
        "reconnecting",
        "network",
        "timed out",
    ]) || says(&["error sending request", "server error", "invalid_request_error"])
    {
        Reason::AgentApi
    } else {
        Reason::AgentCrashed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_codex_become_reasons() {
        let table = [
            ("Missing environment variable: `FAKE_LLM_KEY`.", Reason::AgentLogin),
            ("unexpected status 401 Unauthorized: {\"error\":{\"message\":\"bad key\"}}", Reason::AgentLogin),
            ("exceeded retry limit, last status: 429 Too Many Requests", Reason::AgentRateLimited),
            ("You've hit your usage limit. Try again at 7:41 PM.", Reason::AgentRateLimited),
            ("exceeded retry limit, last status: 529 <unknown status code>", Reason::AgentRateLimited),
            ("exceeded retry limit, last status: 500 Internal Server Error", Reason::AgentApi),
            (
                "stream disconnected before completion: error sending request for url (http://127.0.0.1:1/v1/responses)",
                Reason::AgentApi,
            ),
            ("Codex ran out of room in the model's context window.", Reason::AgentLimit),
            ("thread 'main' panicked", Reason::AgentCrashed),
            ("", Reason::AgentCrashed),
        ];
        for (message, expected) in table {
            assert_eq!(reason(message), expected, "{message}");
        }
    }

    #[test]
    fn commands_are_shown_without_their_shell() {
        assert_eq!(unwrapped("/bin/bash -lc 'ls; false'"), "ls; false");
        assert_eq!(unwrapped("/bin/bash -lc \"echo 'a'\""), "echo 'a'");
        assert_eq!(unwrapped("bash -lc ls"), "ls");
        assert_eq!(unwrapped("ssh -x host -lc 'ls'"), "ssh -x host -lc 'ls'");
    }
}
