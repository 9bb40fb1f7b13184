//! A model's provider on loopback for the real `codex` and `claude`: OpenAI's Responses API and Anthropic's Messages API, as
//! far as the two programs use them.
//!
//! What it answers is a list of [`Step`]s. Lines of the prompt win over the list given at the start, so that an issue's text
//! can direct a real agent:
//!
//! ```text
//! FAKE: shell printf hi > HELLO.md && git add -A && git commit -qm "feat: hello"
//! FAKE: say thinking aloud
//! FAKE: sleep 2
//! FAKE: status 529
//! FAKE: answer {"status": "blocked", …}
//! ```
//!
//! Which step is due follows from the request alone (how many tool results come after the last prompt), so that repeated
//! requests and resumed sessions need no state here. Only refusals are counted: each is given once.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// One answer of the model.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Calls the agent's shell tool.
    Shell(String),
    /// Says something and ends the turn.
    Say(String),
    /// Gives the structured answer and ends the turn; `"replies": "all"` in it becomes one reply for each review comment of the prompt.
    Answer(Value),
    /// Waits before the next step.
    Sleep(Duration),
    /// Refuses with this HTTP status, once.
    Status(u16),
}

/// The running server; it ends when this is dropped.
pub struct FakeModel {
    /// `http://127.0.0.1:<port>`: Anthropic's base URL; OpenAI's has `/v1` behind it.
    pub url: String,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

struct Shared {
    steps: Vec<Step>,
    key: String,
    refused: Mutex<HashSet<(String, usize)>>,
    seen: Mutex<Vec<String>>,
}

impl FakeModel {
    /// Starts a server that wants `key` and plays `steps` where the prompt has none.
    pub async fn start(key: &str, steps: Vec<Step>) -> Self {
        let shared = Arc::new(Shared { steps, key: key.to_owned(), refused: Mutex::default(), seen: Mutex::default() });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port on loopback");
        let url = format!("http://{}", listener.local_addr().expect("a bound address"));
        let router = Router::new().fallback(serve).with_state(shared.clone());
        let server = tokio::spawn(async move { axum::serve(listener, router).await.expect("the listener works") });
        Self { url, shared, server }
    }

    /// Method and path of each request so far.
    pub fn seen(&self) -> Vec<String> {
        self.shared.seen.lock().expect("nobody panics while holding it").clone()
    }

    /// The settings with which codex talks to this server and to nobody else: content of `$CODEX_HOME/config.toml`. The key is
    /// in the environment variable `FAKE_MODEL_KEY`.
    pub fn codex_config(&self) -> String {
        format!(
            "model = \"gpt-6-sol\"\nmodel_provider = \"fake\"\n\n[model_providers.fake]\nname = \"fake\"\nbase_url = \"{}/v1\"\n\
             wire_api = \"responses\"\nenv_key = \"FAKE_MODEL_KEY\"\nrequest_max_retries = 1\nstream_max_retries = 1\n",
            self.url
        )
    }

    /// The environment with which both agents talk to this server.
    pub fn env(&self) -> Vec<(String, String)> {
        [
            ("FAKE_MODEL_KEY", self.shared.key.as_str()),
            ("ANTHROPIC_API_KEY", self.shared.key.as_str()),
            ("ANTHROPIC_BASE_URL", self.url.as_str()),
            ("CLAUDE_CODE_MAX_RETRIES", "1"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
    }
}

impl Drop for FakeModel {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let path = uri.path();
    shared.seen.lock().expect("nobody panics while holding it").push(format!("{method} {path}"));
    if method != Method::POST {
        let status = if path == "/" || path.ends_with("/models") { StatusCode::OK } else { StatusCode::NOT_FOUND };
        return (status, axum::Json(json!({"object": "list", "data": [], "models": []}))).into_response();
    }
    let Ok(request) = serde_json::from_slice::<Value>(&body) else { return refusal(400, "no JSON") };
    if path.ends_with("/count_tokens") {
        return axum::Json(json!({"input_tokens": 1000})).into_response();
    }
    let openai = path.ends_with("/responses");
    if !openai && !path.ends_with("/messages") {
        return refusal(404, "unknown path");
    }
    if given_key(&headers) != Some(&shared.key) {
        return refusal(401, "wrong key");
    }
    let (prompt, results) = if openai { openai::position(&request) } else { anthropic::position(&request) };
    let scripted = steps_of(&prompt);
    let mut steps = if scripted.is_empty() { shared.steps.clone() } else { scripted };
    steps.iter_mut().for_each(|step| fill_replies(step, &prompt));
    match due(&shared, &prompt, &steps, results).await {
        Ok(step) if openai => events(&openai::reply(&request, step)),
        Ok(step) => events(&anthropic::reply(&request, step)),
        Err(status) => refusal(status, "scripted refusal"),
    }
}

fn given_key(headers: &HeaderMap) -> Option<&str> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    text("x-api-key").or_else(|| text("authorization")?.strip_prefix("Bearer "))
}

/// The step after `results` tool calls have been answered, with the waits and refusals that lie before it.
async fn due<'a>(shared: &Shared, prompt: &str, steps: &'a [Step], results: usize) -> Result<Option<&'a Step>, u16> {
    let mut answered = 0;
    for (at, step) in steps.iter().enumerate() {
        match step {
            Step::Sleep(time) if answered == results => tokio::time::sleep(*time).await,
            Step::Status(status) if answered == results => {
                if shared.refused.lock().expect("nobody panics while holding it").insert((prompt.to_owned(), at)) {
                    return Err(*status);
                }
            }
            Step::Sleep(_) | Step::Status(_) => {}
            step if answered == results => return Ok(Some(step)),
            _ => answered += 1,
        }
    }
    Ok(None)
}

fn fill_replies(step: &mut Step, prompt: &str) {
    let Step::Answer(answer) = step else { return };
    if answer["replies"] != "all" {
        return;
    }
    let ids =
        prompt.split("source=\"review comment ").skip(1).filter_map(|rest| rest.split(' ').next()?.parse::<i64>().ok());
    let reply = |id| json!({ "comment_id": id, "disposition": "answered", "body": "Yes." });
    answer["replies"] = ids.map(reply).collect();
}

/// The steps that lines of a prompt ask for.
fn steps_of(prompt: &str) -> Vec<Step> {
    let step = |line: &str| {
        let (verb, rest) = line.trim().strip_prefix("FAKE: ")?.split_once(' ')?;
        match verb {
            "shell" => Some(Step::Shell(rest.to_owned())),
            "say" => Some(Step::Say(rest.to_owned())),
            "sleep" => rest.parse().ok().map(Duration::from_secs_f64).map(Step::Sleep),
            "status" => rest.parse().ok().map(Step::Status),
            "answer" => serde_json::from_str(rest).ok().map(Step::Answer),
            _ => None,
        }
    };
    prompt.lines().filter_map(step).collect()
}

/// The smallest sensible instance of a schema of ours: first words of enums, empty lists.
fn instance(schema: &Value) -> Value {
    if let Some(word) = schema["enum"].get(0) {
        return word.clone();
    }
    match schema["type"].as_str().or_else(|| schema["type"][0].as_str()) {
        Some("object") => {
            let properties = schema["properties"].as_object().into_iter().flatten();
            properties.map(|(name, of)| (name.clone(), instance(of))).collect()
        }
        Some("array") => json!([]),
        Some("integer" | "number") => json!(1),
        Some("boolean") => json!(true),
        _ => json!("feat: fake text"),
    }
}

fn refusal(status: u16, message: &str) -> Response {
    let kind = match status {
        400 => "invalid_request_error",
        401 => "authentication_error",
        429 => "rate_limit_error",
        529 => "overloaded_error",
        _ => "api_error",
    };
    let body = json!({"type": "error", "error": {"type": kind, "message": message}});
    let status = StatusCode::from_u16(status).expect("a status of a script");
    (status, [(header::RETRY_AFTER, "1")], axum::Json(body)).into_response()
}

/// Server-sent events; each is named after its `type`.
fn events(events: &[Value]) -> Response {
    let text: String = events
        .iter()
        .map(|event| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap_or_default()))
        .collect();
    ([(header::CONTENT_TYPE, "text/event-stream")], text).into_response()
}

fn id(prefix: &str) -> String {
    format!("{prefix}_{}", ulid::Ulid::new().to_string().to_lowercase())
}

/// The text of a message's content, which is a string or a list of blocks.
fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(blocks) => blocks.iter().filter_map(|block| block["text"].as_str()).collect::<Vec<_>>().join("\n"),
        _ => String::new(),
    }
}

/// What codex says: <https://platform.openai.com/docs/api-reference/responses-streaming>.
mod openai {
    use super::*;

    /// The last prompt of a person, and how many tool results follow it.
    pub fn position(request: &Value) -> (String, usize) {
        let (mut prompt, mut results) = (String::new(), 0);
        for item in request["input"].as_array().into_iter().flatten() {
            match item["type"].as_str().unwrap_or("message") {
                "message" if item["role"] == "user" => {
                    let text = text_of(&item["content"]);
                    // Codex puts messages of its own before the prompt: the environment, the repository's AGENTS.md.
                    if !text.trim_start().starts_with('<') && !text.starts_with("# AGENTS.md") {
                        (prompt, results) = (text, 0);
                    }
                }
                kind if kind.ends_with("_call_output") => results += 1,
                _ => {}
            }
        }
        (prompt, results)
    }

    pub fn reply(request: &Value, step: Option<&Step>) -> Vec<Value> {
        let item = match step {
            Some(Step::Shell(command)) => shell(request, command),
            Some(Step::Say(text)) => message(text),
            Some(Step::Answer(answer)) => message(&answer.to_string()),
            _ => match &request["text"]["format"]["schema"] {
                Value::Null => message("Done."),
                schema => message(&instance(schema).to_string()),
            },
        };
        let response = json!({"id": id("resp"), "object": "response", "status": "in_progress", "model": request["model"], "output": []});
        let mut completed = response.clone();
        completed["status"] = json!("completed");
        completed["output"] = json!([item]);
        completed["usage"] = json!({
            "input_tokens": 1000, "input_tokens_details": {"cached_tokens": 200},
            "output_tokens": 50, "output_tokens_details": {"reasoning_tokens": 10}, "total_tokens": 1050,
        });
        vec![
            json!({"type": "response.created", "response": response}),
            json!({"type": "response.output_item.added", "output_index": 0, "item": item}),
            json!({"type": "response.output_item.done", "output_index": 0, "item": item}),
            json!({"type": "response.completed", "response": completed}),
        ]
    }

    fn message(text: &str) -> Value {
        json!({
            "type": "message", "id": id("msg"), "role": "assistant", "status": "completed",
            "content": [{"type": "output_text", "text": text, "annotations": []}],
        })
    }

    /// A call of the shell in the style of the tools that the request offers: older models have a function, newer ones a
    /// tool in a namespace that takes JavaScript.
    fn shell(request: &Value, command: &str) -> Value {
        let input = request["input"].as_array().into_iter().flatten();
        let extra = input.filter(|item| item["type"] == "additional_tools").map(|item| &item["tools"]);
        let tools = [&request["tools"]].into_iter().chain(extra).filter_map(Value::as_array).flatten();
        let mut namespace = None;
        for tool in tools {
            if tool["name"] == "exec_command" {
                let arguments = json!({"cmd": command, "yield_time_ms": 30000}).to_string();
                return json!({"type": "function_call", "id": id("fc"), "call_id": id("call"), "name": "exec_command", "arguments": arguments});
            }
            let within = tool["tools"].as_array().into_iter().flatten();
            if tool["type"] == "namespace" && within.clone().any(|tool| tool["name"] == "exec") {
                namespace = tool["name"].as_str();
            }
        }
        let Some(namespace) = namespace else { return message("no shell tool is offered") };
        let arguments = json!({"cmd": command, "yield_time_ms": 30000});
        let script = format!("text(JSON.stringify(await tools.exec_command({arguments})))");
        json!({"type": "custom_tool_call", "id": id("ctc"), "call_id": id("call"), "namespace": namespace, "name": "exec", "input": script})
    }
}

/// What claude says: <https://docs.claude.com/en/docs/build-with-claude/streaming>.
mod anthropic {
    use super::*;

    /// The last prompt of a person, and how many tool results follow it.
    pub fn position(request: &Value) -> (String, usize) {
        let (mut prompt, mut results) = (String::new(), 0);
        for message in request["messages"].as_array().into_iter().flatten().filter(|message| message["role"] == "user")
        {
            let blocks = message["content"].as_array();
            let answered =
                blocks.map_or(0, |blocks| blocks.iter().filter(|block| block["type"] == "tool_result").count());
            let own = |text: &str| !text.trim_start().starts_with("<system-reminder>");
            let text = match blocks {
                Some(blocks) => {
                    let texts = blocks.iter().filter_map(|block| block["text"].as_str()).filter(|text| own(text));
                    texts.collect::<Vec<_>>().join("\n")
                }
                None => text_of(&message["content"]),
            };
            if answered > 0 {
                results += answered;
            } else if !text.trim().is_empty() && own(&text) {
                (prompt, results) = (text, 0);
            }
        }
        (prompt, results)
    }

    pub fn reply(request: &Value, step: Option<&Step>) -> Vec<Value> {
        let tool = |name: &str| request["tools"].as_array()?.iter().find(|tool| tool["name"] == name);
        let call =
            |name: &str, input: Value| json!({"type": "tool_use", "id": id("toolu"), "name": name, "input": input});
        let text = |text: &str| json!({"type": "text", "text": text});
        let block = match (step, tool("StructuredOutput")) {
            (Some(Step::Shell(_)), _) if tool("Bash").is_none() => text("no shell tool is offered"),
            (Some(Step::Shell(command)), _) => {
                call("Bash", json!({"command": command, "description": "Scripted command"}))
            }
            (Some(Step::Say(said)), _) => text(said),
            (Some(Step::Answer(answer)), Some(_)) => call("StructuredOutput", answer.clone()),
            (Some(Step::Answer(answer)), None) => text(&answer.to_string()),
            (_, Some(tool)) => call("StructuredOutput", instance(&tool["input_schema"])),
            _ => text("Done."),
        };
        let (start, delta, stop) = if block["type"] == "text" {
            (json!({"type": "text", "text": ""}), json!({"type": "text_delta", "text": block["text"]}), "end_turn")
        } else {
            let mut start = block.clone();
            start["input"] = json!({});
            (start, json!({"type": "input_json_delta", "partial_json": block["input"].to_string()}), "tool_use")
        };
        let usage = |output: u32| json!({"input_tokens": 1000, "cache_creation_input_tokens": 100, "cache_read_input_tokens": 200, "output_tokens": output});
        let message = json!({
            "id": id("msg"), "type": "message", "role": "assistant", "model": request["model"], "content": [],
            "stop_reason": null, "stop_sequence": null, "usage": usage(1),
        });
        vec![
            json!({"type": "message_start", "message": message}),
            json!({"type": "content_block_start", "index": 0, "content_block": start}),
            json!({"type": "content_block_delta", "index": 0, "delta": delta}),
            json!({"type": "content_block_stop", "index": 0}),
            json!({"type": "message_delta", "delta": {"stop_reason": stop, "stop_sequence": null}, "usage": usage(50)}),
            json!({"type": "message_stop"}),
        ]
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::{Output, Stdio};

    use tokio::io::AsyncWriteExt;
    use tokio::process::Command;
    use track::agent::{
        ANSWER_FILE, Agent, Answer, AnswerStatus, Ending, Exit, Failure, Order, PROMPT_FILE, Reader, launch, verdict,
    };
    use track::model::{Kind, Reason, RunId, Session};

    use super::*;

    #[test]
    fn lines_of_a_prompt_are_steps() {
        let prompt =
            "do it\nFAKE: shell echo a b\n FAKE: status 529\nFAKE: answer {\"a\":1}\nFAKE: dance x\nFAKE: sleep 0.5";
        let steps = [
            Step::Shell("echo a b".into()),
            Step::Status(529),
            Step::Answer(json!({"a": 1})),
            Step::Sleep(Duration::from_millis(500)),
        ];
        assert_eq!(steps_of(prompt), steps);
    }

    /// What one execution of a real agent came to.
    struct Played {
        verdict: Result<Answer, Failure>,
        session: Option<Session>,
        progress: Vec<String>,
        reader: Reader,
        output: Output,
    }

    /// The folders of one agent's turns, and the model that it talks to.
    struct Stage {
        folder: tempfile::TempDir,
        model: FakeModel,
    }

    impl Stage {
        async fn new(steps: Vec<Step>) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let model = FakeModel::start("key-of-the-test", steps).await;
            for name in ["in", "out", "work", "home", "home/.codex"] {
                std::fs::create_dir(folder.path().join(name)).unwrap();
            }
            std::fs::write(folder.path().join("home/.codex/config.toml"), model.codex_config()).unwrap();
            let stage = Self { folder, model };
            stage.git(&["init", "-q", "-b", "main"]).await;
            stage.git(&["commit", "-q", "--allow-empty", "-m", "first"]).await;
            stage
        }

        fn path(&self, name: &str) -> std::path::PathBuf {
            self.folder.path().join(name)
        }

        async fn git(&self, arguments: &[&str]) -> String {
            let output = Command::new("git").args(arguments).current_dir(self.path("work")).envs(identity()).output();
            let output = output.await.unwrap();
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stdout).unwrap()
        }

        /// Executes what `launch` says under bubblewrap as an ordinary user, with the test's folder writable.
        async fn play(&self, agent: &Agent, prompt: &str, session: Option<&Session>) -> Played {
            let order = Order { kind: Kind::Task, run: RunId::new(), model: None, session, cost_usd: 20.0 };
            let launch = launch(agent, &order);
            let _ = std::fs::remove_file(self.path("out").join(ANSWER_FILE));
            std::fs::write(self.path("in").join(PROMPT_FILE), prompt).unwrap();
            for (name, content) in &launch.files {
                std::fs::write(self.path("in").join(name), content).unwrap();
            }
            let filled = |word: &String| {
                let path = |name: &str| self.path(name).to_str().unwrap().to_owned();
                word.replace("{in}", &path("in")).replace("{out}", &path("out")).replace("{work}", &path("work"))
            };
            let root = self.folder.path();
            let mut command = Command::new("bwrap");
            command.args(["--unshare-user", "--uid", "1000", "--gid", "1000", "--unshare-pid", "--die-with-parent"]);
            command.args(["--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp", "--bind"]);
            command.arg(root).arg(root).arg("--chdir").arg(self.path("work"));
            command.args(launch.command.iter().map(filled));
            command.env_clear().envs(identity()).envs(self.model.env()).envs(launch.env);
            command.env("HOME", self.path("home")).env("PATH", format!("{}:/usr/bin:/bin", agents_path()));
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
            let mut child = command.spawn().unwrap();
            let mut stdin = child.stdin.take().unwrap();
            stdin.write_all(prompt.as_bytes()).await.unwrap();
            drop(stdin);
            let output =
                tokio::time::timeout(Duration::from_secs(120), child.wait_with_output()).await.unwrap().unwrap();

            let mut reader = Reader::new(agent, session);
            let lines = output.stdout.split(|b| *b == b'\n');
            let progress = lines.filter_map(|line| reader.feed(line)).map(|progress| progress.text).collect();
            let stderr = String::from_utf8_lossy(&output.stderr);
            let file = std::fs::read(self.path("out").join(ANSWER_FILE)).ok();
            let ending = Ending {
                exit: Exit { code: output.status.code(), signal: None },
                answer_file: file.as_deref(),
                last_line: None,
                stderr_tail: &stderr,
            };
            let verdict = verdict(Kind::Task, &reader, &ending);
            Played { verdict, session: reader.session(), progress, reader, output }
        }
    }

    fn identity() -> [(&'static str, &'static str); 4] {
        [
            ("GIT_AUTHOR_NAME", "agent"),
            ("GIT_AUTHOR_EMAIL", "agent@example.com"),
            ("GIT_COMMITTER_NAME", "agent"),
            ("GIT_COMMITTER_EMAIL", "agent@example.com"),
        ]
    }

    /// Where `scripts/install-agents.sh` has put the programs.
    fn agents_path() -> String {
        let cache =
            std::env::var("XDG_CACHE_HOME").unwrap_or_else(|_| format!("{}/.cache", std::env::var("HOME").unwrap()));
        let path = format!("{cache}/track-agents/bin");
        assert!(Path::new(&path).is_dir(), "{path} is missing: run scripts/install-agents.sh");
        path
    }

    const COMMIT: &str = "printf hi > HELLO.md && git add -A && git commit -qm 'feat: hello' && git log --oneline -1";

    /// Work, resume, and the ways to fail that need no time, with the real program.
    async fn whole_story(agent: Agent) {
        let answer = json!({
            "status": "succeeded", "summary": "Said hello.", "pull_request_title": "feat: hello",
            "pull_request_body": "Adds a greeting.", "notes": null, "replies": [],
        });
        let stage = Stage::new(vec![Step::Shell(COMMIT.into()), Step::Answer(answer)]).await;
        let first = stage.play(&agent, "# Say hello\n", None).await;
        let got = first.verdict.unwrap_or_else(|failure| panic!("{failure:?}\n{:?}", first.output));
        assert_eq!((got.status(), got.summary()), (AnswerStatus::Succeeded, "Said hello."));
        assert_eq!(stage.git(&["log", "-1", "--format=%s"]).await, "feat: hello\n");
        assert!(first.progress.iter().any(|text| text.starts_with("$ printf hi > HELLO.md")), "{:?}", first.progress);
        let asked = stage.model.seen().iter().filter(|seen| seen.starts_with("POST /v1/")).count();
        assert_eq!(asked, 2, "once for the work, once for the answer: {:?}", stage.model.seen());
        let usage = first.reader.usage();
        assert_eq!(usage.output_tokens, 100, "two calls of 50: {usage:?}");

        let session = first.session.expect("a session to go on with");
        let script = "# Go on\nFAKE: shell printf more >> HELLO.md && git commit -qam 'feat: more'\n";
        let second = stage.play(&agent, script, Some(&session)).await;
        assert!(second.verdict.is_ok(), "{:?}\n{:?}", second.verdict, second.output);
        assert_eq!(second.session.map(|session| session.id), Some(session.id.clone()));
        assert_eq!(stage.git(&["log", "-1", "--format=%s"]).await, "feat: more\n");
        let again = second.reader.usage();
        assert_eq!((again.input_tokens, again.output_tokens), (usage.input_tokens, usage.output_tokens));
        let cents = |cost: Option<f64>| cost.map(|cost| (cost * 1e6).round());
        assert_eq!(cents(again.cost_usd), cents(usage.cost_usd));

        let reason = |played: &Played| played.verdict.as_ref().map(|_| ()).map_err(|failure| failure.reason);
        // Claude insists on its structure by itself; codex writes down whatever was said last.
        if agent == Agent::Codex {
            let said = stage.play(&agent, "FAKE: say I am done.\n", None).await;
            assert_eq!(reason(&said), Err(Reason::BadAnswer), "{:?}", said.verdict);
        }
        let limited = stage.play(&agent, "FAKE: status 429\nFAKE: status 429\nFAKE: status 429\n", None).await;
        assert_eq!(reason(&limited), Err(Reason::AgentRateLimited), "{:?}\n{:?}", limited.verdict, limited.output);
        let unknown = Session { id: "01a1fb64-aa49-7fd2-b6e9-261265bc45e7".into(), ..session };
        let lost = stage.play(&agent, "# Go on\n", Some(&unknown)).await;
        assert!(
            lost.verdict.as_ref().is_err_and(|failure| failure.session_lost),
            "{:?}\n{:?}",
            lost.verdict,
            lost.output
        );
    }

    #[tokio::test]
    #[ignore = "needs the real codex: scripts/install-agents.sh"]
    async fn real_agents_codex_works_resumes_and_fails() {
        whole_story(Agent::Codex).await;
    }

    #[tokio::test]
    #[ignore = "needs the real claude: scripts/install-agents.sh"]
    async fn real_agents_claude_works_resumes_and_fails() {
        whole_story(Agent::Claude).await;
    }
}
