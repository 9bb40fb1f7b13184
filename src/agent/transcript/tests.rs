//! What the real programs print, as people see it; and what hostile ones can do.

use proptest::prelude::*;

use super::*;

fn custom() -> Agent {
    Agent::Custom { name: "scripted".into(), command: Vec::new() }
}

/// A journal of lines, a second apart.
fn journal(lines: &str) -> String {
    let lines = lines.trim().lines().enumerate();
    lines.map(|(n, line)| format!("{}\to\t{}\n", 1_000 * (n + 1), line.trim())).collect()
}

/// The items as they are in the end.
fn read(agent: &Agent, journal: &[u8]) -> Vec<Item> {
    let mut transcript = Transcript::new(agent, None);
    let mut items = BTreeMap::new();
    transcript.feed(journal, |item| _ = items.insert(item.number, item.clone()));
    transcript.end(|item| _ = items.insert(item.number, item.clone()));
    assert_eq!(transcript.count() as usize, items.len());
    items.into_values().collect()
}

fn told(items: &[Item]) -> String {
    let mut out = String::new();
    let text = |text: &Text| match text.cut {
        0 => text.head.clone(),
        cut => format!("{}[{cut} cut]{}", text.head, text.tail),
    };
    let maybe = |t: &Option<Text>| t.as_ref().map(|t| format!(" → {:?}", text(t))).unwrap_or_default();
    for item in items {
        let mark = match item.state {
            State::Working => "…",
            State::Done => "✓",
            State::Failed => "✗",
            State::Unknown => "?",
        };
        let took = item.took.map(|took| format!(" ({took} ms)")).unwrap_or_default();
        let what = match &item.what {
            What::Message(t) => format!("says {:?}", text(t)),
            What::Thought(t) => format!("thinks {:?}", text(t)),
            What::Command { command, about, output, exit } => {
                format!("$ {} [{about}] {exit:?}{}", text(command), maybe(output))
            }
            What::Change { files, more, problem } => {
                let files = files.iter().map(|f| format!("{:?} {}{}", f.how, f.path, maybe(&f.patch)));
                format!("{} +{more}{}", files.collect::<Vec<_>>().join(", "), maybe(problem))
            }
            What::Tool { title, input, output } => format!("{title}{}{}", maybe(input), maybe(output)),
            What::Search(query) => format!("searches {query}"),
            What::Plan(steps) => {
                steps.iter().map(|s| format!("[{:?}] {}", s.state, s.text)).collect::<Vec<_>>().join(", ")
            }
            What::Trouble { text: t, times } => format!("trouble {:?} ×{times}", text(t)),
            What::Phase(phase) => format!("phase {phase}"),
            What::Note(note) => format!("note {note}"),
            What::Plain(t) => format!("plain {:?}", text(t)),
            What::Answer => "answer".to_owned(),
        };
        let inner = if item.inner { "  " } else { "" };
        out.push_str(&format!("{} {inner}{mark} {what}{took}\n", item.number));
    }
    out
}

#[test]
fn codex_works() {
    let lines = r#"
        {"type":"thread.started","thread_id":"01a1fb64-aa49-7fd2-b6e9-261265bc45e7"}
        {"type":"turn.started"}
        {"type":"item.completed","item":{"id":"item_0","type":"reasoning","text":"**Thinking about it**"}}
        {"type":"item.completed","item":{"id":"item_1","type":"agent_message","text":"Planning."}}
        {"type":"item.started","item":{"id":"item_2","type":"command_execution","command":"/bin/bash -lc 'ls; false'","aggregated_output":"","exit_code":null,"status":"in_progress"}}
        {"type":"item.started","item":{"id":"item_9","type":"todo_list","items":[{"text":"Look","completed":true},{"text":"Write","completed":false}]}}
        {"type":"item.completed","item":{"id":"item_2","type":"command_execution","command":"/bin/bash -lc 'ls; false'","aggregated_output":"A.md\n","exit_code":1,"status":"failed"}}
        {"type":"item.started","item":{"id":"item_3","type":"file_change","changes":[{"path":"/r/threads/01A/work/work/A.md","kind":"add"}],"status":"in_progress"}}
        {"type":"item.completed","item":{"id":"item_3","type":"file_change","changes":[{"path":"/r/threads/01A/work/work/A.md","kind":"add"},{"path":"/r/threads/01A/work/work/b/C.md","kind":{"type":"update","unified_diff":"@@ -1 +1 @@\n-a\n+b\n"}}],"status":"completed"}}
        {"type":"item.completed","item":{"id":"item_4","type":"mcp_tool_call","server":"t","tool":"ping","arguments":{"x":"1"},"result":{"content":[{"type":"text","text":"pong"}],"structured_content":null},"error":null,"status":"completed"}}
        {"type":"item.completed","item":{"id":"item_5","type":"web_search","id":"ws_1","query":"rust","action":{"type":"search","query":"rust"}}}
        {"type":"item.updated","item":{"id":"item_9","type":"todo_list","items":[{"text":"Look","completed":true},{"text":"Write","completed":true}]}}
        {"type":"item.completed","item":{"id":"item_0","type":"error","message":"Model metadata for `x` not found."}}
        {"type":"error","message":"Reconnecting... 1/2 (unexpected status 500)"}
        {"type":"error","message":"Reconnecting... 2/2 (unexpected status 500)"}
        {"type":"item.started","item":{"id":"item_6","type":"command_execution","command":"sleep 600","aggregated_output":"","exit_code":null,"status":"in_progress"}}
        {"type":"item.completed","item":{"id":"item_7","type":"agent_message","text":"{\"status\":\"succeeded\"}"}}
        {"type":"something.new","payload":[1,2,3]}
        {"type":"turn.failed","error":{"message":"exceeded retry limit"}}
    "#;
    insta::assert_snapshot!(told(&read(&Agent::Codex, journal(lines).as_bytes())), @r#"
    1 ✓ thinks "Thinking about it"
    2 ✓ says "Planning."
    3 ✗ $ ls; false [] Some(1) → "A.md" (2000 ms)
    4 ✓ [Done] Look, [Done] Write
    5 ✓ Added A.md, Changed b/C.md → "@@ -1 +1 @@\n-a\n+b" +0 (1000 ms)
    6 ✓ Calls t.ping → "{\"x\":\"1\"}" → "pong"
    7 ✓ searches rust
    8 ✓ trouble "Reconnecting... 2/2 (unexpected status 500)" ×3
    9 ? $ sleep 600 [] None
    10 ✓ answer
    11 ✓ trouble "exceeded retry limit" ×1
    "#);
}

#[test]
fn claude_works() {
    let lines = r##"
        {"type":"system","subtype":"init","session_id":"01a1fb64-aa49-7fd2-b6e9-261265bc45e7","model":"claude-opus-5-5"}
        {"type":"assistant","message":{"id":"msg_1","content":[{"type":"thinking","thinking":"hm"}]}}
        {"type":"assistant","message":{"id":"msg_1","content":[{"type":"text","text":"I will *write*\nthe file."},{"type":"tool_use","id":"t1","name":"Bash","input":{"command":"make test","description":"Run the tests"}}]}}
        {"type":"assistant","message":{"id":"msg_1","content":[{"type":"tool_use","id":"t0","name":"Read","input":{"file_path":"/r/threads/01A/work/work/README.md"}}]}}
        {"type":"user","message":{"role":"user","content":[{"tool_use_id":"t1","type":"tool_result","content":"Exit code 2\nno rule","is_error":true}]}}
        {"type":"user","message":{"role":"user","content":[{"tool_use_id":"t0","type":"tool_result","content":[{"type":"text","text":"# hello"},{"type":"image"}]}]}}
        {"type":"system","subtype":"api_retry","attempt":1,"max_retries":10,"retry_delay_ms":1155,"error_status":529,"error":"overloaded"}
        {"type":"assistant","message":{"content":[{"type":"tool_use","id":"t2","name":"Edit","input":{"file_path":"/r/threads/01A/work/work/src/lib.rs","old_string":"a\nb","new_string":"c"}}]}}
        {"type":"user","message":{"content":[{"tool_use_id":"t2","type":"tool_result","content":"ok"}]},"tool_use_result":{"structuredPatch":[{"oldStart":3,"oldLines":2,"newStart":3,"newLines":1,"lines":["-a","-b","+c"]}]}}
        {"type":"assistant","message":{"content":[{"type":"tool_use","id":"t3","name":"Write","input":{"file_path":"x","content":"one\ntwo"}}]}}
        {"type":"user","message":{"content":[{"tool_use_id":"t3","type":"tool_result","content":"File has not been read yet","is_error":true}]}}
        {"type":"assistant","message":{"content":[{"type":"tool_use","id":"t4","name":"TodoWrite","input":{"todos":[{"content":"Look","status":"in_progress","activeForm":"Looking"}]}}]}}
        {"type":"assistant","message":{"content":[{"type":"tool_use","id":"t5","name":"Task","input":{"description":"Find the bug","prompt":"Look into it."}}]}}
        {"type":"assistant","parent_tool_use_id":"t5","message":{"content":[{"type":"tool_use","id":"t6","name":"Grep","input":{"pattern":"fn main"}}]}}
        {"type":"assistant","message":{"content":[{"type":"tool_use","id":"t7","name":"TodoWrite","input":{"todos":[{"content":"Look","status":"completed","activeForm":"Looking"},{"content":"Fix","status":"pending","activeForm":"Fixing"}]}}]}}
        {"type":"assistant","message":{"content":[{"type":"tool_use","id":"t8","name":"mcp__db__query","input":{"sql":"select 1"}}]}}
        {"type":"system","subtype":"permission_denied","tool_name":"Bash","message":"This needs approval"}
        {"type":"assistant","message":{"content":[{"type":"tool_use","id":"t9","name":"StructuredOutput","input":{}}]}}
        {"type":"result","subtype":"success","is_error":true,"api_error_status":529,"result":"API Error: overloaded"}
    "##;
    insta::assert_snapshot!(told(&read(&Agent::Claude, journal(lines).as_bytes())), @r##"
    1 ✓ note Works with claude-opus-5-5
    2 ✓ thinks "hm"
    3 ✓ says "I will *write*\nthe file."
    4 ✗ $ make test [Run the tests] Some(2) → "Exit code 2\nno rule" (2000 ms)
    5 ✓ Reads README.md → "# hello\n[image]" (2000 ms)
    6 ✓ trouble "The model's provider answers 529 (overloaded), attempt 1 of 10" ×1
    7 ✓ Changed src/lib.rs → "@@ -3,2 +3,1 @@\n-a\n-b\n+c" +0 (1000 ms)
    8 ✗ Changed x → "+one\n+two" +0 → "File has not been read yet" (1000 ms)
    9 ✓ [Done] Look, [Open] Fix
    10 ? Find the bug → "Look into it."
    11   ? Searches for fn main
    12 ? Calls mcp__db__query → "{\"sql\":\"select 1\"}"
    13 ✓ trouble "Permission denied: This needs approval" ×1
    14 ✓ answer
    15 ✓ trouble "API Error: overloaded" ×1
    "##);
}

#[test]
fn any_program_works() {
    let mut lines = "900\tp\tpreparing_workspace\n950\tp\tlaunching\n".to_owned();
    lines.push_str(&journal(
        r#"
        Starting up
          in two lines
        {"type":"progress","text":"Half \u001b[1mway\u202e"}
        {"type":"usage","input_tokens":10,"output_tokens":2,"cost_usd":0.5}
        {"type":"other"}
        [1, 2]
        "#,
    ));
    lines.push_str("9000\tt\tcut a line of 300000 bytes or more\n9001\tx\todd\nno frame\n");
    insta::assert_snapshot!(told(&read(&custom(), lines.as_bytes())), @r#"
    1 ✓ phase preparing_workspace
    2 ✓ phase launching
    3 ✓ plain "Starting up\nin two lines"
    4 ✓ says "Half way"
    5 ✓ plain "{\"type\":\"other\"}\n[1, 2]"
    6 ✓ note cut a line of 300000 bytes or more
    7 ✓ plain "odd\nno frame"
    "#);
}

#[test]
fn what_changes_is_told_when_it_changes() {
    let lines = journal(
        r#"
        {"type":"item.started","item":{"id":"item_2","type":"command_execution","command":"make","aggregated_output":"","exit_code":null,"status":"in_progress"}}
        {"type":"item.completed","item":{"id":"item_3","type":"agent_message","text":"Meanwhile."}}
        {"type":"item.completed","item":{"id":"item_2","type":"command_execution","command":"make","aggregated_output":"ok","exit_code":0,"status":"completed"}}
        "#,
    );
    let ends: Vec<u64> = lines.match_indices('\n').map(|(at, _)| at as u64 + 1).collect();
    let mut transcript = Transcript::new(&Agent::Codex, None);
    let mut seen = Vec::new();
    for line in lines.split_inclusive('\n') {
        transcript.feed(line.as_bytes(), |item| seen.push((item.number, item.state, item.begun, item.changed)));
    }
    let begun = ends[0];
    assert_eq!(
        seen,
        [(1, State::Working, begun, begun), (2, State::Done, ends[1], ends[1]), (1, State::Done, begun, ends[2]),]
    );
    transcript.end(|item| panic!("{item:?} was over"));
    assert_eq!(transcript.read(), ends[2]);
}

#[test]
fn the_end_of_what_printed_too_much_is_seen() {
    let start = r#"{"type":"assistant","message":{"content":[{"type":"tool_use","id":"toolu_1","name":"Bash","input":{"command":"yes"}}]}}"#;
    let end = r#"{"type":"user","message":{"content":[{"tool_use_id":"toolu_1","type":"tool_result","content":"yyyyy"#;
    let other = r#"{"type":"user","message":{"content":[{"tool_use_id":"toolu_2"#;
    let items = read(&Agent::Claude, journal(&format!("{start}\n{end}\n{other}")).as_bytes());
    insta::assert_snapshot!(told(&items), @r#"
    1 ? $ yes [] None → "[99 cut]" (1000 ms)
    2 ✓ note A line of 60 bytes cannot be read: it is in the raw journal
    "#);
}

// T39
#[test]
fn an_item_and_what_is_open_are_bounded() {
    let many = "x".repeat(100_000);
    let event = |item: Value| serde_json::json!({"type": "item.completed", "item": item});
    let message = event(serde_json::json!({"id": "1", "type": "agent_message", "text": many}));
    let file =
        |n| serde_json::json!({"path": format!("{n}/{}", &many[..1_000]), "kind": "add", "diff": &many[..1_000]});
    let files: Vec<Value> = (0..1_000).map(file).collect();
    let change = event(serde_json::json!({"id": "2", "type": "file_change", "changes": files}));
    let output =
        event(serde_json::json!({"id": "3", "type": "command_execution", "command": many, "aggregated_output": many}));
    for (event, most) in
        [(message, MESSAGE), (change, PATCH + ENTRIES * 4 * NAME), (output, INPUT + OUTPUT.0 + OUTPUT.1)]
    {
        let items = read(&Agent::Codex, journal(&event.to_string()).as_bytes());
        let [item] = items.as_slice() else { panic!("{} items", items.len()) };
        let len = |text: &Option<Text>| text.as_ref().map_or(0, Text::len);
        let size = match &item.what {
            What::Message(text) => text.len(),
            What::Command { command, output, .. } => command.len() + len(output),
            What::Change { files, more, .. } => {
                assert_eq!(files.len() + more, 1_000);
                files.iter().map(|file| file.path.len() + len(&file.patch)).sum()
            }
            other => panic!("{other:?}"),
        };
        assert!(size <= most, "{size} > {most}");
    }

    let mut transcript = Transcript::new(&Agent::Codex, None);
    let mut unknown = 0;
    for n in 0..10_000 {
        let start = format!(
            r#"{{"type":"item.started","item":{{"id":"item_{n}","type":"command_execution","command":"sleep"}}}}"#
        );
        transcript.feed(journal(&start).as_bytes(), |item| unknown += usize::from(item.state == State::Unknown));
        assert!(transcript.open.len() <= OPEN && transcript.kept.len() <= OPEN + 2);
    }
    assert_eq!(unknown, 10_000 - OPEN);
    let lines = "plain\n".repeat(100_000);
    let items = read(&custom(), journal(&lines).as_bytes());
    assert!(items.iter().all(|item| matches!(&item.what, What::Plain(text) if text.len() <= PLAIN)));
    assert_eq!(items.len(), 100_000_usize.div_ceil(PLAIN.div_ceil("plain\n".len())));
}

proptest! {
    /// Numbers, marks and content do not depend on where the stream was cut, whoever wrote it.
    #[test]
    fn nothing_an_agent_prints_is_too_much(
        lines in prop::collection::vec(hostile_line(), 0..12),
        which in 0..3_usize,
        cut in any::<prop::sample::Index>(),
    ) {
        let agent = [Agent::Codex, Agent::Claude, custom()][which].clone();
        let bytes: Vec<u8> = lines.concat();
        let whole = read(&agent, &bytes);
        let mut transcript = Transcript::new(&agent, None);
        let mut items = BTreeMap::new();
        let at = cut.index(bytes.len() + 1);
        for part in [&bytes[..at], &bytes[at..]] {
            transcript.feed(part, |item| _ = items.insert(item.number, item.clone()));
        }
        transcript.end(|item| _ = items.insert(item.number, item.clone()));
        prop_assert_eq!(items.into_values().collect::<Vec<_>>(), whole);
    }
}

/// A frame with an event that looks like an agent's, or with anything at all.
fn hostile_line() -> impl Strategy<Value = Vec<u8>> {
    let word = prop::sample::select(vec![
        "type",
        "item.started",
        "item.completed",
        "item.updated",
        "item",
        "id",
        "item_1",
        "command_execution",
        "command",
        "aggregated_output",
        "exit_code",
        "status",
        "failed",
        "file_change",
        "changes",
        "path",
        "kind",
        "add",
        "todo_list",
        "items",
        "text",
        "completed",
        "agent_message",
        "assistant",
        "user",
        "message",
        "content",
        "tool_use",
        "tool_result",
        "tool_use_id",
        "name",
        "Bash",
        "Edit",
        "TodoWrite",
        "input",
        "todos",
        "is_error",
        "error",
        "result",
        "usage",
        "progress",
        "tool_use_result",
        "structuredPatch",
        "lines",
        "\u{1b}]8;;x",
        "\u{202e}\u{200b}",
        "ä\u{0}",
    ])
    .prop_map(str::to_owned);
    let leaf = prop_oneof![
        word.clone().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
        ".{0,20}".prop_map(Value::from),
        Just(Value::Null),
    ];
    let value = leaf.prop_recursive(4, 32, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((word.clone(), inner), 0..6)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    });
    prop_oneof![
        4 => value.prop_map(|value| format!("1700000000000\to\t{value}\n").into_bytes()),
        1 => "[0-9]{0,20}\t[opt]\t.{0,30}\n".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..40),
    ]
}
