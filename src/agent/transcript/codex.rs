//! Codex tells of items, each with an id, when they start, change and are complete.

use serde_json::Value;

use super::super::codex::{is_answer, unwrapped};
use super::{
    Act, ENTRIES, File, How, INPUT, MESSAGE, Progress, State, Step, THOUGHT, Text, What, content, input, name, output,
    patch, trouble,
};

pub(super) fn acts(event: &Value) -> Vec<Act> {
    let kind = event["type"].as_str().unwrap_or_default();
    let said = |message: &Value| message.as_str().map(trouble).map(Act::done);
    let act = match kind {
        "item.started" | "item.updated" => item(&event["item"], false),
        "item.completed" => item(&event["item"], true),
        "turn.failed" => said(&event["error"]["message"]),
        "error" => said(&event["message"]),
        _ => None,
    };
    act.into_iter().collect()
}

fn item(item: &Value, completed: bool) -> Option<Act> {
    let text = |key: &str| item[key].as_str();
    let what = match text("type")? {
        "agent_message" if is_answer(text("text")?) => What::Answer,
        "agent_message" => What::Message(Text::begin(text("text")?, MESSAGE)),
        "reasoning" => What::Thought(Text::begin(&text("text")?.replace("**", ""), THOUGHT)),
        "command_execution" => What::Command {
            command: Text::begin(unwrapped(text("command")?), INPUT),
            about: String::new(),
            output: output(text("aggregated_output").unwrap_or_default()),
            exit: item["exit_code"].as_i64(),
        },
        "file_change" => change(item["changes"].as_array()?),
        "mcp_tool_call" => What::Tool {
            title: name(&format!("Calls {}.{}", text("server")?, text("tool")?)),
            input: input(&item["arguments"]),
            output: match item["error"]["message"].as_str() {
                Some(error) => output(error),
                None => output(&content(&item["result"]["content"])),
            },
        },
        "web_search" => What::Search(name(text("query")?)),
        "todo_list" => return Some(Act::Plan(steps(item["items"].as_array()?))),
        "error" => trouble(text("message")?),
        _ => return None,
    };
    let failed = matches!(text("status"), Some("failed" | "declined"));
    let state = match completed {
        false => State::Working,
        true if failed => State::Failed,
        true => State::Done,
    };
    // An error is whole at once, and may share its id with something else.
    let key = text("id").filter(|_| !matches!(what, What::Trouble { .. })).map(name);
    Some(Act::Put { key, what, state, inner: false })
}

fn change(changes: &[Value]) -> What {
    let mut used = 0;
    let file = |change: &Value| {
        // A word, or an object with the word as its `type`.
        let kind = &change["kind"];
        let how = match kind.as_str().or(kind["type"].as_str()) {
            Some("add") => How::Added,
            Some("delete") => How::Removed,
            _ => How::Changed,
        };
        let diff =
            [&change["diff"], &change["unified_diff"], &kind["unified_diff"]].into_iter().find_map(Value::as_str);
        let patch = diff.and_then(|diff| patch(diff, &mut used));
        Some(File { path: name(change["path"].as_str()?), how, patch })
    };
    let files: Vec<File> = changes.iter().take(ENTRIES).filter_map(file).collect();
    What::Change { files, more: changes.len().saturating_sub(ENTRIES), problem: None }
}

fn steps(items: &[Value]) -> Vec<Step> {
    let step = |item: &Value| {
        let state = if item["completed"] == true { Progress::Done } else { Progress::Open };
        Some(Step { text: name(item["text"].as_str()?), state })
    };
    items.iter().take(ENTRIES).filter_map(step).collect()
}
