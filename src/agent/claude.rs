//! Claude Code: its command line, its events, and what its endings mean. Checked with claude 2.1.329.

use serde_json::Value;

use super::reader::{since, usage_fields};
use super::verdict::{self, Ending, Failure};
use super::{Agent, Answer, Order, answer, clean};
use crate::model::{Kind, Reason, RunId, Usage, uuid};

/// What it says about a session that the runner does not have.
const UNKNOWN_SESSION: &str = "No conversation found with session ID";

pub(super) fn command(order: &Order<'_>) -> Vec<String> {
    let mut command = ["claude", "-p", "--dangerously-skip-permissions", "--output-format", "stream-json", "--verbose"]
        .map(str::to_owned)
        .to_vec();
    // It takes the schema itself, not a path.
    command.extend(["--json-schema".to_owned(), answer::schema(order.kind).to_owned()]);
    // It counts what the session cost before as well.
    let spent = order.session.and_then(|session| session.reported.cost_usd).unwrap_or(0.0);
    command.push(format!("--max-budget-usd={:.2}", spent + order.cost_usd));
    command.extend(order.model.map(|model| format!("--model={model}")));
    command.extend(match order.session {
        Some(session) => ["--resume".to_owned(), session.id.clone()],
        None => ["--session-id".to_owned(), session_id(order.run)],
    });
    command
}

pub(super) fn env() -> Vec<(String, String)> {
    // No other hosts than the model's, and no new version in the middle of a run.
    [("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"), ("DISABLE_AUTOUPDATER", "1")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
}

/// The session of a run's first turn, known before the launch. A ULID has the layout of a UUID of version 7 (RFC 9562): time,
/// then random bits; only version and variant are put in.
fn session_id(run: RunId) -> String {
    uuid(run.0.to_bytes(), 7)
}

/// What claude has printed so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Events {
    pub(super) session: Option<String>,
    pub(super) model: Option<String>,
    /// Usage of finished messages and of the current one, until the result says it exactly.
    finished: Usage,
    current: (String, Usage),
    last_error: Option<String>,
    end: Option<End>,
}

/// The result event.
#[derive(Clone, Debug)]
struct End {
    subtype: String,
    is_error: bool,
    terminal_reason: String,
    api_error_status: Option<u64>,
    text: String,
    structured: Option<Value>,
    /// Tokens of this execution.
    run: Usage,
    /// Tokens per model and cost; over the whole session in newer versions.
    models: Option<Usage>,
    cost_usd: Option<f64>,
}

impl Events {
    pub(super) fn event(&mut self, event: &Value) -> Option<String> {
        match event["type"].as_str()? {
            "system" => self.system(event),
            "assistant" => {
                self.count(&event["message"]);
                let blocks = event["message"]["content"].as_array()?;
                blocks.iter().filter_map(block).next_back()
            }
            "result" => {
                self.end = Some(End::read(event));
                None
            }
            _ => None,
        }
    }

    fn system(&mut self, event: &Value) -> Option<String> {
        match event["subtype"].as_str()? {
            "init" => {
                self.session = event["session_id"].as_str().map(str::to_owned);
                self.model = event["model"].as_str().map(|model| clean::one_line(model, 100));
                None
            }
            "api_retry" => {
                let number = |key: &str| event[key].as_u64().map_or("?".to_owned(), |n| n.to_string());
                let error = event["error"].as_str().unwrap_or("error");
                let text = format!(
                    "The model's provider answers {} ({error}), attempt {} of {}",
                    number("error_status"),
                    number("attempt"),
                    number("max_retries")
                );
                self.last_error = Some(text.clone());
                Some(text)
            }
            "permission_denied" => {
                Some(format!("Permission denied: {}", event["message"].as_str().unwrap_or_default()))
            }
            _ => None,
        }
    }

    /// One message comes as several events, each with the usage so far.
    fn count(&mut self, message: &Value) {
        let id = message["id"].as_str().unwrap_or_default();
        if id != self.current.0 {
            self.finished = sum(&self.finished, &self.current.1);
            self.current.0 = clean::one_line(id, 100);
        }
        self.current.1 = run_usage(&message["usage"]);
    }

    pub(super) fn reported(&self, earlier: Option<&Usage>) -> Option<Usage> {
        let end = self.end.as_ref()?;
        let before = earlier.copied().unwrap_or_default();
        let models = end.models.unwrap_or_default();
        Some(if earlier.is_none() || end.is_cumulative(&before) {
            Usage { cost_usd: end.cost_usd, ..models }
        } else {
            sum(&before, &Usage { cost_usd: end.cost_usd, ..models })
        })
    }

    /// Tokens are those of this run in every version; the cost is the session's since some version between 2.1.197 and
    /// 2.1.329.
    pub(super) fn usage(&self, earlier: Option<&Usage>) -> Usage {
        let Some(end) = &self.end else { return sum(&self.finished, &self.current.1) };
        let cost_usd = match earlier {
            Some(before) if end.is_cumulative(before) => {
                since(&Usage { cost_usd: end.cost_usd, ..end.models.unwrap_or_default() }, earlier).cost_usd
            }
            _ => end.cost_usd,
        };
        Usage { cost_usd, ..end.run }
    }

    pub(super) fn ended(&self) -> bool {
        self.end.is_some()
    }
}

impl End {
    fn read(event: &Value) -> Self {
        let text = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
        let errors = event["errors"].as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>();
        let models = event["modelUsage"].as_object().map(|models| {
            models.values().fold(Usage::default(), |total, model| {
                let one = usage_fields(model, ["inputTokens", "cacheReadInputTokens", "outputTokens", ""]);
                let cached = one.cached_tokens.saturating_add(model["cacheCreationInputTokens"].as_u64().unwrap_or(0));
                sum(&total, &Usage { input_tokens: one.input_tokens.saturating_add(cached), ..one })
            })
        });
        Self {
            subtype: text("subtype"),
            is_error: event["is_error"].as_bool().unwrap_or(true),
            terminal_reason: text("terminal_reason"),
            api_error_status: event["api_error_status"].as_u64(),
            text: if errors.is_empty() { text("result") } else { errors.join("; ") },
            structured: event.get("structured_output").filter(|value| !value.is_null()).cloned(),
            run: run_usage(&event["usage"]),
            models,
            cost_usd: event["total_cost_usd"].as_f64().filter(|cost| cost.is_finite() && *cost >= 0.0),
        }
    }

    /// Whether the totals hold the session's earlier ones: then they are at least those plus this run's.
    fn is_cumulative(&self, before: &Usage) -> bool {
        self.models.is_some_and(|models| {
            let least = sum(before, &self.run);
            models.input_tokens >= least.input_tokens && models.output_tokens >= least.output_tokens
        })
    }
}

/// The provider's own fields, where cached tokens are counted apart.
fn run_usage(usage: &Value) -> Usage {
    let one = usage_fields(usage, ["input_tokens", "cache_read_input_tokens", "output_tokens", ""]);
    let written = usage["cache_creation_input_tokens"].as_u64().unwrap_or(0);
    let input_tokens = one.input_tokens.saturating_add(one.cached_tokens).saturating_add(written);
    Usage { input_tokens, ..one }
}

fn sum(a: &Usage, b: &Usage) -> Usage {
    Usage {
        input_tokens: a.input_tokens.saturating_add(b.input_tokens),
        cached_tokens: a.cached_tokens.saturating_add(b.cached_tokens),
        output_tokens: a.output_tokens.saturating_add(b.output_tokens),
        cost_usd: match (a.cost_usd, b.cost_usd) {
            (None, None) => None,
            (a, b) => Some(a.unwrap_or(0.0) + b.unwrap_or(0.0)),
        },
    }
}

fn block(block: &Value) -> Option<String> {
    match block["type"].as_str()? {
        "text" => block["text"].as_str().map(str::to_owned),
        "tool_use" => {
            let input = &block["input"];
            let of = |key: &str| input[key].as_str();
            match block["name"].as_str()? {
                "Bash" => of("command").map(|command| format!("$ {command}")),
                "Edit" | "MultiEdit" | "Write" => of("file_path").map(|path| format!("Edits {path}")),
                "NotebookEdit" => of("notebook_path").map(|path| format!("Edits {path}")),
                "Read" => of("file_path").map(|path| format!("Reads {path}")),
                "Grep" | "Glob" => of("pattern").map(|pattern| format!("Searches for {pattern}")),
                "WebSearch" => of("query").map(|query| format!("Searches the web: {query}")),
                "WebFetch" => of("url").map(|url| format!("Reads {url}")),
                "Task" | "Agent" => of("description").map(str::to_owned),
                // The answer itself.
                "StructuredOutput" => None,
                other => Some(format!("Calls {other}")),
            }
        }
        _ => None,
    }
}

pub(super) fn verdict(events: &Events, kind: Kind, ending: &Ending) -> Result<Answer, Failure> {
    let Some(end) = &events.end else { return Err(unfinished(events, ending)) };
    let text = clean::one_line(&end.text, 400);
    let fail = |reason, detail: &str| Err(Failure::new(reason, detail.to_owned()));
    // The exit code says little: 0 after an interruption, and `success` is the subtype of refused requests too.
    match (end.subtype.as_str(), end.terminal_reason.as_str()) {
        _ if !end.is_error => match &end.structured {
            Some(value) => {
                answer::parse(kind, value.to_string().as_bytes()).map_err(|error| verdict::bad_answer(&error))
            }
            None => fail(Reason::NoAnswer, &format!("it ended without the structured answer; it said: {text}")),
        },
        ("error_max_structured_output_retries", _) => Err(verdict::bad_answer(&text)),
        ("error_max_turns", _) => fail(Reason::AgentLimit, "it reached its limit of turns"),
        ("error_max_budget_usd", _) => fail(Reason::AgentLimit, "it reached its budget"),
        (_, "api_error") => fail(api_reason(end.api_error_status, &end.text), &text),
        // The same result event as for an interruption, but it never began.
        ("error_during_execution", _) if end.text.contains(UNKNOWN_SESSION) => {
            Err(Failure { session_lost: true, ..Failure::new(Reason::AgentCrashed, text) })
        }
        ("error_during_execution", reason) => {
            fail(Reason::AgentCrashed, clean::one_line(&format!("it was interrupted ({reason}) {text}"), 400).as_str())
        }
        (subtype, _) => fail(Reason::AgentCrashed, &clean::one_line(&format!("it ended with {subtype}: {text}"), 400)),
    }
}

/// It ended without a result event.
fn unfinished(events: &Events, ending: &Ending) -> Failure {
    let agent = &Agent::Claude;
    let stderr = ending.stderr_tail;
    if stderr.contains("cannot be used with root/sudo privileges") {
        let detail = "claude refuses to work without permission prompts as root: set `sandbox = \"bubblewrap\"` for the runner, or let it log in as an unprivileged user";
        return Failure::new(Reason::RunnerSetup, detail.to_owned());
    }
    if stderr.contains(UNKNOWN_SESSION) {
        return Failure { session_lost: true, ..verdict::crashed(agent, ending) };
    }
    let waiting = events.last_error.clone().filter(|_| ending.exit.signal.is_some());
    verdict::setup(agent, ending)
        .or_else(|| waiting.map(|error| Failure::new(Reason::AgentApi, error)))
        .unwrap_or_else(|| verdict::crashed(agent, ending))
}

fn api_reason(status: Option<u64>, text: &str) -> Reason {
    let text = text.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    match status {
        Some(401 | 403) => Reason::AgentLogin,
        Some(402 | 429 | 529) => Reason::AgentRateLimited,
        _ if says(&["/login", "invalid api key", "not logged in", "authentication"]) => Reason::AgentLogin,
        _ if says(&["credit balance", "usage limit", "rate limit", "overloaded"]) => Reason::AgentRateLimited,
        _ if says(&["prompt is too long"]) => Reason::AgentLimit,
        _ => Reason::AgentApi,
    }
}
