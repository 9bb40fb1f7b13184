//! One step of a transcript as HTML, which is made once and shown to everybody who watches.
//!
//! Every text in it is an agent's. A step has the same id whoever renders it, so that a page can replace it when it changes.

use std::fmt::Write as _;

use crate::admin::view::{self, bytes, span};
use crate::agent::transcript::{File, How, Item, Progress, State, Step, Text, What};
use crate::markup::escape;
use crate::model::{Millis, Phase};

/// The id of a step on the page.
pub fn id(turn: i64, number: u32) -> String {
    format!("step-{turn}-{number}")
}

/// A step as an entry of the list of steps.
pub fn render(turn: i64, item: &Item) -> String {
    let mut out = String::new();
    let (kind, body) = body(item);
    let inner = if item.inner { " inner" } else { "" };
    let _ = write!(out, "<li id=\"{}\" class=\"step {kind}{inner}\">", id(turn, item.number));
    match item.at {
        Some(at) => _ = write!(out, "<span class=\"at\" title=\"{}\">{}</span>", exact(at), clock(at)),
        None => out.push_str("<span class=\"at\"></span>"),
    }
    let _ = writeln!(out, "<div>{body}</div></li>");
    out
}

/// The same, to take the place of what is on the page.
pub fn replacing(step: &str) -> String {
    step.replacen("<li ", "<li hx-swap-oob=\"true\" ", 1)
}

fn body(item: &Item) -> (&'static str, String) {
    let mut out = String::new();
    let kind = match &item.what {
        What::Message(text) => {
            let shown = whole(text);
            let _ = write!(out, "{}{}", view::markdown(&shown), hidden(text));
            "message"
        }
        What::Thought(text) => {
            let _ = write!(out, "<p class=\"quiet\">{}</p>{}", escape(&whole(text)), hidden(text));
            "thinking"
        }
        What::Command { command, about, output, exit } => {
            let mut line = format!("<code>{}</code>", escape(&whole(command)));
            if !about.is_empty() {
                let _ = write!(line, " <span class=\"quiet\">{}</span>", escape(about));
            }
            line.push_str(&hidden(command));
            line.push_str(&ending(item, *exit));
            fold(&mut out, &line, output.as_ref().map(output_block));
            "command"
        }
        What::Change { files, more, problem } => {
            for file in files {
                change(&mut out, file, item);
            }
            if *more > 0 {
                let _ = write!(out, "<p>and {more} more files</p>");
            }
            if let Some(problem) = problem {
                let _ = write!(out, "<p class=\"note bad\">{}</p>", escape(&whole(problem)));
            }
            "change"
        }
        What::Tool { title, input, output } => {
            let line = format!("{}{}", escape(title), ending(item, None));
            let mut inside = input.as_ref().map(output_block).unwrap_or_default();
            inside.push_str(&output.as_ref().map(output_block).unwrap_or_default());
            fold(&mut out, &line, Some(inside).filter(|inside| !inside.is_empty()));
            "tool"
        }
        What::Search(query) => {
            let _ = write!(out, "<p>Searches the web for <q>{}</q></p>", escape(query));
            "tool"
        }
        What::Plan(steps) => {
            plan(&mut out, steps);
            "plan"
        }
        What::Trouble { text, times } => {
            let _ = write!(out, "<p class=\"note warn\">{}", escape(&whole(text)));
            if *times > 1 {
                let _ = write!(out, " <span class=\"quiet\">({times} times)</span>");
            }
            let _ = write!(out, "</p>{}", hidden(text));
            "trouble"
        }
        What::Phase(phase) => {
            let _ = write!(out, "<p>{}</p>", phase_words(*phase));
            "aside"
        }
        What::Note(note) => {
            let _ = write!(out, "<p>{}</p>", escape(note));
            "aside"
        }
        What::Plain(text) => {
            out.push_str(&output_block(text));
            "plain"
        }
        What::Answer => {
            out.push_str("<p>Hands in its answer</p>");
            "aside"
        }
    };
    (kind, out)
}

/// What a phase of the preparation is, in words.
pub fn phase_words(phase: Phase) -> &'static str {
    match phase {
        Phase::CheckingRunner => "Looks at the runner",
        Phase::FetchingRepository => "Fetches the repository",
        Phase::PreparingWorkspace => "Prepares the workspace",
        Phase::UploadingPrompt => "Hands over the prompt",
        Phase::Launching => "Starts the agent",
    }
}

/// How something that takes time stands: at work, exit code, how long it took.
fn ending(item: &Item, exit: Option<i64>) -> String {
    let mut out = String::new();
    match (item.state, exit) {
        (State::Working, _) => out.push_str(" <span class=\"badge live\">at work</span>"),
        (State::Unknown, _) => out.push_str(" <span class=\"badge\">end unknown</span>"),
        (_, Some(code)) if code != 0 => {
            let _ = write!(out, " <span class=\"badge bad\">exit {code}</span>");
        }
        (State::Failed, _) => out.push_str(" <span class=\"badge bad\">failed</span>"),
        (State::Done, _) => {}
    }
    if let Some(took) = item.took.filter(|took| *took >= 1_000) {
        let _ = write!(out, " <span class=\"quiet\">{}</span>", span(took));
    }
    out
}

/// A line with something that can be unfolded, if there is something.
fn fold(out: &mut String, line: &str, inside: Option<String>) {
    match inside {
        Some(inside) => {
            let _ = write!(out, "<details><summary>{line}</summary>{inside}</details>");
        }
        None => {
            let _ = write!(out, "<p>{line}</p>");
        }
    }
}

fn change(out: &mut String, file: &File, item: &Item) {
    let verb = match file.how {
        How::Added => "Adds",
        How::Changed => "Edits",
        How::Removed => "Removes",
    };
    let line = format!("{verb} <code>{}</code>{}", escape(&file.path), ending(item, None));
    fold(out, &line, file.patch.as_ref().map(patch));
}

/// Lines of a change, marked by their first character as well as by colour.
fn patch(text: &Text) -> String {
    let mut out = String::from("<div class=\"diff\"><pre tabindex=\"0\">");
    for line in whole(text).lines() {
        let class = match line.as_bytes().first() {
            Some(b'+') => " class=\"add\"",
            Some(b'-') => " class=\"del\"",
            Some(b'@') => " class=\"at\"",
            _ => "",
        };
        let _ = write!(out, "<span{class}>{}</span>", escape(line));
    }
    let _ = write!(out, "</pre></div>{}", hidden(text));
    out
}

fn output_block(text: &Text) -> String {
    format!("<pre tabindex=\"0\">{}</pre>{}", escape(&whole(text)), hidden(text))
}

fn plan(out: &mut String, steps: &[Step]) {
    out.push_str("<ul class=\"plan\">");
    for step in steps {
        let (mark, word) = match step.state {
            Progress::Open => ("☐", "to do"),
            Progress::Begun => ("◐", "at work"),
            Progress::Done => ("☑", "done"),
        };
        let _ = write!(
            out,
            "<li><span aria-hidden=\"true\">{mark}</span> <span class=\"unseen\">{word}: </span>{}</li>",
            escape(&step.text)
        );
    }
    out.push_str("</ul>");
}

/// All that is kept of a text, with a line that says what is missing.
fn whole(text: &Text) -> String {
    match text.cut {
        0 => text.head.clone(),
        cut => format!("{}\n… {} left out, the raw journal has it …\n{}", text.head, bytes(cut as u64), text.tail),
    }
}

/// Says that something was taken out which nobody would have seen.
fn hidden(text: &Text) -> String {
    match text.hidden {
        0 => String::new(),
        1 => " <span class=\"badge\">1 hidden character removed</span>".to_owned(),
        n => format!(" <span class=\"badge\">{n} hidden characters removed</span>"),
    }
}

/// The time of day of a moment, UTC.
fn clock(at: Millis) -> String {
    let seconds = at.div_euclid(1_000);
    format!("{:02}:{:02}:{:02}", seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60)
}

fn exact(at: Millis) -> String {
    let at = chrono::DateTime::from_timestamp_millis(at).unwrap_or_default();
    at.format("%Y-%m-%d %H:%M:%S UTC, by the runner's clock").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::Agent;
    use crate::agent::transcript::Transcript;

    fn rendered(agent: &Agent, lines: &str) -> String {
        let journal: String = lines
            .trim()
            .lines()
            .enumerate()
            .map(|(n, line)| format!("{}\to\t{}\n", 1_700_000_000_000 + 1_500 * n, line.trim()))
            .collect();
        let mut transcript = Transcript::new(agent, None);
        let mut out = String::new();
        transcript.feed(journal.as_bytes(), |item| out.push_str(&render(1, item)));
        out
    }

    #[test]
    fn steps_of_codex() {
        let lines = r##"
            {"type":"item.completed","item":{"id":"item_1","type":"agent_message","text":"# Plan\nI *will* look."}}
            {"type":"item.started","item":{"id":"item_2","type":"command_execution","command":"/bin/bash -lc 'make test'","aggregated_output":"","exit_code":null,"status":"in_progress"}}
            {"type":"item.completed","item":{"id":"item_2","type":"command_execution","command":"/bin/bash -lc 'make test'","aggregated_output":"ok <b>\n\u001b[31mfailed\u001b[0m","exit_code":2,"status":"failed"}}
            {"type":"item.completed","item":{"id":"item_3","type":"file_change","changes":[{"path":"a.rs","kind":"add","diff":"@@ -0,0 +1 @@\n+x < y"}],"status":"completed"}}
            {"type":"item.started","item":{"id":"item_9","type":"todo_list","items":[{"text":"Look","completed":true},{"text":"Write","completed":false}]}}
            {"type":"item.started","item":{"id":"item_4","type":"command_execution","command":"sleep 9","aggregated_output":"","exit_code":null,"status":"in_progress"}}
            {"type":"error","message":"Reconnecting... 1/2"}
            {"type":"error","message":"Reconnecting... 2/2"}
        "##;
        insta::assert_snapshot!(rendered(&Agent::Codex, lines), @r##"
        <li id="step-1-1" class="step message"><span class="at" title="2023-11-14 22:13:20 UTC, by the runner's clock">22:13:20</span><div><div class="prose"><h3>Plan</h3>
        <p>I <em>will</em> look.</p>
        </div></div></li>
        <li id="step-1-2" class="step command"><span class="at" title="2023-11-14 22:13:21 UTC, by the runner's clock">22:13:21</span><div><details><summary><code>make test</code> <span class="badge bad">exit 2</span> <span class="quiet">1.5 s</span></summary><pre tabindex="0">ok &lt;b&gt;
        failed</pre></details></div></li>
        <li id="step-1-3" class="step change"><span class="at" title="2023-11-14 22:13:24 UTC, by the runner's clock">22:13:24</span><div><details><summary>Adds <code>a.rs</code></summary><div class="diff"><pre tabindex="0"><span class="at">@@ -0,0 +1 @@</span><span class="add">+x &lt; y</span></pre></div></details></div></li>
        <li id="step-1-4" class="step plan"><span class="at" title="2023-11-14 22:13:26 UTC, by the runner's clock">22:13:26</span><div><ul class="plan"><li><span aria-hidden="true">☑</span> <span class="unseen">done: </span>Look</li><li><span aria-hidden="true">☐</span> <span class="unseen">to do: </span>Write</li></ul></div></li>
        <li id="step-1-5" class="step command"><span class="at" title="2023-11-14 22:13:27 UTC, by the runner's clock">22:13:27</span><div><p><code>sleep 9</code> <span class="badge live">at work</span></p></div></li>
        <li id="step-1-6" class="step trouble"><span class="at" title="2023-11-14 22:13:29 UTC, by the runner's clock">22:13:29</span><div><p class="note warn">Reconnecting... 2/2 <span class="quiet">(2 times)</span></p></div></li>
        "##);
    }

    // T26
    #[test]
    fn nothing_that_an_agent_says_becomes_markup() {
        let bad = "\"><img src=x onerror=alert(1)>'\u{202e}";
        let event = |item: serde_json::Value| serde_json::json!({"type": "item.completed", "item": item}).to_string();
        let lines = [
            event(serde_json::json!({"id": bad, "type": "agent_message", "text": bad})),
            event(serde_json::json!({"id": bad, "type": "reasoning", "text": bad})),
            event(
                serde_json::json!({"id": bad, "type": "command_execution", "command": bad, "aggregated_output": bad}),
            ),
            event(serde_json::json!({"type": "file_change", "changes": [{"path": bad, "kind": bad, "diff": bad}]})),
            event(
                serde_json::json!({"type": "mcp_tool_call", "server": bad, "tool": bad, "arguments": {bad: bad}, "error": {"message": bad}}),
            ),
            event(serde_json::json!({"type": "web_search", "query": bad})),
            event(serde_json::json!({"type": "todo_list", "items": [{"text": bad}]})),
            event(serde_json::json!({"type": "error", "message": bad})),
            bad.to_owned(),
        ];
        let html = rendered(&Agent::Codex, &lines.join("\n"));
        assert_eq!(html.matches("<li id=").count(), lines.len());
        assert!(!html.contains("<img") && !html.contains('\u{202e}'), "{html}");
        assert!(html.matches("&lt;img").count() >= lines.len(), "{html}");
    }

    #[test]
    fn a_step_that_changed_takes_the_place_of_itself() {
        let lines = r#"{"type":"item.completed","item":{"id":"1","type":"agent_message","text":"<li x"}}"#;
        let step = rendered(&Agent::Codex, lines);
        assert!(replacing(&step).starts_with("<li hx-swap-oob=\"true\" id=\"step-1-1\" class=\"step message\">"));
        assert_eq!(replacing(&step).matches("hx-swap-oob").count(), 1);
    }
}
