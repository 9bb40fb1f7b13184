//! Claude Code tells of blocks of messages; a tool's result comes later, in a message of the user's, with the tool's id.

use serde_json::Value;

use super::{
    Act, ENTRIES, End, File, How, INPUT, MESSAGE, Progress, State, Step, THOUGHT, Text, What, content, input, name,
    output, patch, trouble,
};

pub(super) fn acts(event: &Value) -> Vec<Act> {
    let inner = event["parent_tool_use_id"].is_string();
    let blocks = || event["message"]["content"].as_array().into_iter().flatten().take(ENTRIES);
    match event["type"].as_str() {
        Some("system") => system(event).into_iter().collect(),
        Some("assistant") => blocks().filter_map(|block| said(block, inner)).collect(),
        Some("user") => blocks().filter_map(|block| result(block, &event["tool_use_result"])).collect(),
        Some("result") if event["is_error"] == true => {
            let errors: Vec<_> = event["errors"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let text = if errors.is_empty() {
                event["result"].as_str().unwrap_or_default().to_owned()
            } else {
                errors.join("\n")
            };
            (!text.is_empty()).then(|| Act::done(trouble(&text))).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

fn system(event: &Value) -> Option<Act> {
    let number = |key: &str| event[key].as_u64().map_or("?".to_owned(), |n| n.to_string());
    let what = match event["subtype"].as_str()? {
        "init" => What::Note(format!("Works with {}", name(event["model"].as_str()?))),
        "api_retry" => trouble(&format!(
            "The model's provider answers {} ({}), attempt {} of {}",
            number("error_status"),
            event["error"].as_str().unwrap_or("error"),
            number("attempt"),
            number("max_retries")
        )),
        "permission_denied" => {
            trouble(&format!("Permission denied: {}", event["message"].as_str().unwrap_or_default()))
        }
        _ => return None,
    };
    Some(Act::done(what))
}

fn said(block: &Value, inner: bool) -> Option<Act> {
    let done = |what| Some(Act::Put { key: None, what, state: State::Done, inner });
    let text = |key: &str| block[key].as_str().filter(|text| !text.trim().is_empty());
    match block["type"].as_str()? {
        "text" => done(What::Message(Text::begin(text("text")?, MESSAGE))),
        "thinking" => done(What::Thought(Text::begin(text("thinking")?, THOUGHT))),
        "tool_use" => match tool(text("name")?, &block["input"]) {
            Some(What::Plan(steps)) => Some(Act::Plan(steps)),
            Some(What::Answer) => done(What::Answer),
            what => Some(Act::Put { key: text("id").map(name), what: what?, state: State::Working, inner }),
        },
        _ => None,
    }
}

fn tool(tool: &str, given: &Value) -> Option<What> {
    let of = |key: &str| given[key].as_str();
    let titled =
        |verb: &str, what: &str| What::Tool { title: name(&format!("{verb} {what}")), input: None, output: None };
    Some(match tool {
        "Bash" => What::Command {
            command: Text::begin(of("command")?, INPUT),
            about: name(of("description").unwrap_or_default()),
            output: None,
            exit: None,
        },
        "Edit" | "MultiEdit" | "Write" | "NotebookEdit" => {
            change(tool, of("file_path").or(of("notebook_path"))?, given)
        }
        "TodoWrite" => What::Plan(steps(given["todos"].as_array()?)),
        "StructuredOutput" => What::Answer,
        "WebSearch" => What::Search(name(of("query")?)),
        "WebFetch" => titled("Reads", of("url")?),
        "Read" => titled("Reads", of("file_path")?),
        "Grep" | "Glob" => titled("Searches for", of("pattern")?),
        "Task" | "Agent" => What::Tool {
            title: name(of("description").unwrap_or("Starts another agent")),
            input: of("prompt").map(|prompt| Text::begin(prompt, INPUT)),
            output: None,
        },
        other => What::Tool { title: name(&format!("Calls {other}")), input: input(given), output: None },
    })
}

/// What an edit is going to do, until its result tells where it did it.
fn change(tool: &str, path: &str, given: &Value) -> What {
    let lines = |mark: char, text: &Value| -> String {
        text.as_str().unwrap_or_default().lines().map(|line| format!("{mark}{line}\n")).collect()
    };
    let one = |edit: &Value| lines('-', &edit["old_string"]) + &lines('+', &edit["new_string"]);
    let text = match tool {
        "Write" => lines('+', &given["content"]),
        "NotebookEdit" => lines('+', &given["new_source"]),
        "MultiEdit" => given["edits"].as_array().into_iter().flatten().take(ENTRIES).map(one).collect(),
        _ => one(given),
    };
    let file = File { path: name(path), how: How::Changed, patch: patch(&text, &mut 0) };
    What::Change { files: vec![file], more: 0, problem: None }
}

fn result(block: &Value, told: &Value) -> Option<Act> {
    if block["type"] != "tool_result" {
        return None;
    }
    let text = content(&block["content"]);
    let failed = block["is_error"] == true;
    let code = exit_code(&text);
    let end = End {
        output: output(&text),
        exit: code.or((!failed).then_some(0)),
        state: if failed { State::Failed } else { State::Done },
        patch: real_patch(told),
    };
    Some(Act::Finish { key: name(block["tool_use_id"].as_str()?), end })
}

/// `Exit code 2` in front of what a failed command printed.
fn exit_code(text: &str) -> Option<i64> {
    let text = text.strip_prefix("Error: ").unwrap_or(text);
    let rest = text.strip_prefix("Exit code ")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// The hunks that an edit's result tells of.
fn real_patch(told: &Value) -> Option<Text> {
    let mut text = String::new();
    for hunk in told["structuredPatch"].as_array()?.iter().take(ENTRIES) {
        let number = |key: &str| hunk[key].as_u64().unwrap_or(0);
        text.push_str(&format!(
            "@@ -{},{} +{},{} @@\n",
            number("oldStart"),
            number("oldLines"),
            number("newStart"),
            number("newLines")
        ));
        for line in hunk["lines"].as_array()?.iter().filter_map(Value::as_str) {
            text.push_str(line);
            text.push('\n');
        }
    }
    patch(&text, &mut 0)
}

fn steps(todos: &[Value]) -> Vec<Step> {
    let step = |todo: &Value| {
        let state = match todo["status"].as_str() {
            Some("completed") => Progress::Done,
            Some("in_progress") => Progress::Begun,
            _ => Progress::Open,
        };
        Some(Step { text: name(todo["content"].as_str()?), state })
    };
    todos.iter().take(ENTRIES).filter_map(step).collect()
}
