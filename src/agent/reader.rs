//! What an agent prints, line by line, as progress and usage. Every line is hostile: it may come from the work as well.

use serde_json::Value;

use super::verdict::{Ending, Failure};
use super::{Agent, Answer, Session, claude, clean, codex, custom};
use crate::model::{Kind, Usage};

/// Characters of the longest progress text.
const PROGRESS_CHARS: usize = 200;

/// Something that the agent does or says: one line without control and hidden characters, at most 200 characters long. It is
/// still an agent's text: mentions and Markdown in it are for the report to defuse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The line.
    pub text: String,
}

/// Reads what one execution of an agent prints, in order. Built anew from the journal's beginning after a restart.
#[derive(Clone, Debug)]
pub struct Reader {
    agent: Agent,
    events: Events,
    earlier: Option<Session>,
}

#[derive(Clone, Debug)]
enum Events {
    Codex(codex::Events),
    // Much larger than the others: it keeps a whole result.
    Claude(Box<claude::Events>),
    Custom(custom::Events),
}

impl Reader {
    /// A reader for `agent`; `earlier` is the session with which it was launched.
    pub fn new(agent: &Agent, earlier: Option<&Session>) -> Self {
        let events = match agent {
            Agent::Codex => Events::Codex(codex::Events::default()),
            Agent::Claude => Events::Claude(Box::default()),
            Agent::Custom { .. } => Events::Custom(custom::Events::default()),
        };
        Self { agent: agent.clone(), events, earlier: earlier.cloned() }
    }

    /// Takes one line of standard output, with or without its line end, and says what is new. Unknown events and lines that
    /// were cut are passed over.
    pub fn feed(&mut self, line: &[u8]) -> Option<Progress> {
        // Into a `Value` first: codex prints objects that have the same key twice.
        let event = serde_json::from_slice::<Value>(line).ok().filter(Value::is_object);
        self.take(line, event.as_ref())
    }

    /// The same where the line has been read as an event already.
    pub(super) fn take(&mut self, line: &[u8], event: Option<&Value>) -> Option<Progress> {
        let text = match &mut self.events {
            Events::Codex(events) => events.event(event?),
            Events::Claude(events) => events.event(event?),
            Events::Custom(events) => events.line(&String::from_utf8_lossy(line), event),
        }?;
        let text = clean::one_line(&relative(&text), PROGRESS_CHARS);
        (!text.is_empty()).then_some(Progress { text })
    }

    /// What this execution has used so far, without what its session had used before. Agents report while they work or only
    /// at their end.
    pub fn usage(&self) -> Usage {
        let earlier = self.earlier.as_ref().map(|session| &session.reported);
        match &self.events {
            Events::Codex(events) => events.usage(earlier),
            Events::Claude(events) => events.usage(earlier),
            Events::Custom(events) => events.usage,
        }
    }

    /// The session with which a later turn or run can go on, once the agent has named it.
    pub fn session(&self) -> Option<Session> {
        let earlier = self.earlier.as_ref().map(|session| session.reported);
        let (id, reported) = match &self.events {
            Events::Codex(events) => (events.thread.as_ref()?, events.reported()),
            Events::Claude(events) => (events.session.as_ref()?, events.reported(earlier.as_ref())),
            Events::Custom(_) => return None,
        };
        // It becomes an argument of the next launch, so nothing but a UUID will do.
        is_uuid(id).then(|| Session { id: id.clone(), reported: reported.or(earlier).unwrap_or_default() })
    }

    /// The model that works, where the agent says so.
    pub fn model(&self) -> Option<&str> {
        match &self.events {
            Events::Claude(events) => events.model.as_deref(),
            Events::Codex(_) | Events::Custom(_) => None,
        }
    }

    /// Whether the agent has said its last word; custom agents do not tell.
    pub fn is_over(&self) -> bool {
        !matches!(self.events, Events::Custom(_)) && self.has_end()
    }

    /// Whether the event that ends an execution has been read.
    pub(super) fn has_end(&self) -> bool {
        match &self.events {
            Events::Codex(events) => events.ended(),
            Events::Claude(events) => events.ended(),
            Events::Custom(_) => true,
        }
    }

    pub(super) fn verdict(&self, kind: Kind, ending: &Ending) -> Result<Answer, Failure> {
        match &self.events {
            Events::Codex(events) => codex::verdict(events, kind, ending),
            Events::Claude(events) => claude::verdict(events, kind, ending),
            Events::Custom(_) => custom::verdict(&self.agent, kind, ending),
        }
    }
}

/// Usage by the names that an agent gives to input, cached input, output and cost; what is missing or absurd is nothing.
pub(super) fn usage_fields(from: &Value, [input, cached, output, cost]: [&str; 4]) -> Usage {
    let tokens = |key: &str| from[key].as_u64().unwrap_or(0);
    Usage {
        input_tokens: tokens(input),
        cached_tokens: tokens(cached),
        output_tokens: tokens(output),
        cost_usd: from[cost].as_f64().filter(|cost| cost.is_finite() && *cost >= 0.0),
    }
}

/// What came on top of `earlier`; totals that are smaller than the earlier ones have been counted anew.
pub(super) fn since(total: &Usage, earlier: Option<&Usage>) -> Usage {
    let Some(earlier) = earlier else { return *total };
    let cost = total.cost_usd.unwrap_or(0.0) - earlier.cost_usd.unwrap_or(0.0);
    if total.input_tokens < earlier.input_tokens || total.output_tokens < earlier.output_tokens || cost < 0.0 {
        return *total;
    }
    Usage {
        input_tokens: total.input_tokens - earlier.input_tokens,
        cached_tokens: total.cached_tokens.saturating_sub(earlier.cached_tokens),
        output_tokens: total.output_tokens - earlier.output_tokens,
        cost_usd: total.cost_usd.map(|_| cost),
    }
}

/// Paths within the workspace as they are in the repository: where the runner keeps workspaces is nobody's business.
pub(super) fn relative(text: &str) -> String {
    const MARKS: [&str; 2] = ["/work/work", "/review/work"];
    let mut shown = String::new();
    let mut done = 0;
    // Where each mark comes next: looked for again only when it was passed, because hostile text may be full of the other one.
    let mut next = MARKS.map(|mark| text.find(mark));
    while let Some((at, mark)) = next.into_iter().zip(MARKS).filter_map(|(at, mark)| Some((at?, mark))).min() {
        let begin = text[done..at]
            .rfind(|c: char| c.is_whitespace() || "'\"`=:,;()".contains(c))
            .map_or(done, |found| done + found + text[done + found..].chars().next().map_or(1, char::len_utf8));
        let end = at + mark.len();
        let after = &text[end..];
        shown.push_str(&text[done..begin]);
        done = end;
        match after.strip_prefix('/') {
            Some(after) if !after.is_empty() && !after.starts_with(char::is_whitespace) => done += 1,
            Some(_) => {
                shown.push('.');
                done += 1;
            }
            // Another folder whose name only begins like a workspace's.
            None if after.starts_with(|c: char| c.is_alphanumeric() || "._-".contains(c)) => {
                shown.push_str(&text[begin..end]);
            }
            None => shown.push('.'),
        }
        for (next, mark) in next.iter_mut().zip(MARKS) {
            if next.is_some_and(|at| at < done) {
                *next = text[done..].find(mark).map(|at| done + at);
            }
        }
    }
    shown.push_str(&text[done..]);
    shown
}

fn is_uuid(text: &str) -> bool {
    let dashes = [8, 13, 18, 23];
    text.len() == 36
        && text.bytes().enumerate().all(|(at, b)| if dashes.contains(&at) { b == b'-' } else { b.is_ascii_hexdigit() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "01a1fb64-aa49-7fd2-b6e9-261265bc45e7";

    fn read(agent: &Agent, earlier: Option<&Session>, lines: &[String]) -> (Reader, Vec<String>) {
        let mut reader = Reader::new(agent, earlier);
        let said = lines.iter().filter_map(|line| reader.feed(line.as_bytes())).map(|progress| progress.text).collect();
        (reader, said)
    }

    fn lines(text: &str) -> Vec<String> {
        text.trim().lines().map(|line| line.trim().to_owned()).collect()
    }

    fn custom() -> Agent {
        Agent::Custom { name: "scripted".into(), command: vec!["scripted".into()] }
    }

    fn codex_turn(input: u64, output: u64) -> Vec<String> {
        vec![
            format!(r#"{{"type":"thread.started","thread_id":"{ID}"}}"#),
            format!(
                r#"{{"type":"turn.completed","usage":{{"input_tokens":{input},"cached_input_tokens":400,"cache_write_input_tokens":0,"output_tokens":{output},"reasoning_output_tokens":20}}}}"#
            ),
        ]
    }

    /// The end of a run of claude that used 2600 tokens, with models' totals of `runs` such runs.
    fn claude_result(runs: u64, cost: f64) -> Vec<String> {
        let model = serde_json::json!({
            "inputTokens": 2000 * runs, "outputTokens": 100 * runs, "cacheReadInputTokens": 400 * runs,
            "cacheCreationInputTokens": 200 * runs, "costUSD": cost,
        });
        vec![
            format!(r#"{{"type":"system","subtype":"init","session_id":"{ID}","model":"claude-opus-5-5"}}"#),
            serde_json::json!({
                "type": "result", "subtype": "success", "is_error": false, "total_cost_usd": cost,
                "usage": {"input_tokens": 2000, "cache_creation_input_tokens": 200, "cache_read_input_tokens": 400, "output_tokens": 100},
                "modelUsage": {"claude-opus-5-5": model},
            })
            .to_string(),
        ]
    }

    #[test]
    fn codex_events_as_progress() {
        let (reader, said) = read(
            &Agent::Codex,
            None,
            &lines(
                r#"
            {"type":"thread.started","thread_id":"01a1fb64-aa49-7fd2-b6e9-261265bc45e7"}
            {"type":"turn.started"}
            {"type":"item.completed","item":{"id":"item_0","type":"reasoning","text":"**Thinking about it**"}}
            {"type":"item.completed","item":{"id":"item_1","type":"agent_message","text":"Planning."}}
            {"type":"item.started","item":{"id":"item_2","type":"command_execution","command":"/bin/bash -lc 'ls; false'","aggregated_output":"","exit_code":null,"status":"in_progress"}}
            {"type":"item.completed","item":{"id":"item_2","type":"command_execution","command":"/bin/bash -lc 'ls; false'","aggregated_output":"A.md\n","exit_code":1,"status":"failed"}}
            {"type":"item.started","item":{"id":"item_3","type":"file_change","changes":[{"path":"/r/threads/01A/work/work/A.md","kind":"add"}],"status":"in_progress"}}
            {"type":"item.completed","item":{"id":"item_3","type":"file_change","changes":[{"path":"/r/threads/01A/work/work/A.md","kind":"add"},{"path":"/r/threads/01A/work/work/b/C.md","kind":"add"}],"status":"completed"}}
            {"type":"item.started","item":{"id":"item_4","type":"mcp_tool_call","server":"t","tool":"ping","arguments":{"x":"1"},"result":null,"error":null,"status":"in_progress"}}
            {"type":"item.completed","item":{"id":"item_5","type":"web_search","id":"ws_1","query":"rust","action":{"type":"search","query":"rust"}}}
            {"type":"item.completed","item":{"id":"item_6","type":"error","message":"Model metadata for `x` not found."}}
            {"type":"error","message":"Reconnecting... 1/1 (unexpected status 500)"}
            {"type":"item.completed","item":{"id":"item_7","type":"agent_message","text":"{\"status\":\"succeeded\"}"}}
            {"type":"item.updated","item":{"id":"item_8","type":"todo_list","items":[]}}
            {"type":"something.new","payload":[1,2,3]}
            {"type":"turn.completed","usage":{"input_tokens":2000,"cached_input_tokens":400,"cache_write_input_tokens":0,"output_tokens":100,"reasoning_output_tokens":20}}
            "#,
            ),
        );
        insta::assert_snapshot!(said.join("\n"), @"
        Thinking about it
        Planning.
        $ ls; false
        Edits A.md, b/C.md
        Calls t.ping
        Searches the web: rust
        Model metadata for `x` not found.
        Reconnecting... 1/1 (unexpected status 500)
        ");
        let usage = Usage { input_tokens: 2000, cached_tokens: 400, output_tokens: 100, cost_usd: None };
        assert_eq!(reader.usage(), usage);
        assert_eq!(reader.session(), Some(Session { id: ID.into(), reported: usage }));
    }

    #[test]
    fn claude_events_as_progress() {
        let (mut reader, said) = read(
            &Agent::Claude,
            None,
            &lines(
                r#"
            {"type":"system","subtype":"init","cwd":"/w","session_id":"01a1fb64-aa49-7fd2-b6e9-261265bc45e7","tools":[],"model":"claude-opus-5-5","claude_code_version":"2.1.329"}
            {"type":"assistant","message":{"id":"msg_1","content":[{"type":"thinking","thinking":"hm"}],"usage":{"input_tokens":1000,"cache_creation_input_tokens":100,"cache_read_input_tokens":200,"output_tokens":1}}}
            {"type":"assistant","message":{"id":"msg_1","content":[{"type":"text","text":"I will write\nthe file."}],"usage":{"input_tokens":1000,"cache_creation_input_tokens":100,"cache_read_input_tokens":200,"output_tokens":1}}}
            {"type":"assistant","message":{"id":"msg_1","content":[{"type":"tool_use","id":"t1","name":"Bash","input":{"command":"git status","description":"d"}}],"usage":{"input_tokens":1000,"cache_creation_input_tokens":100,"cache_read_input_tokens":200,"output_tokens":1}}}
            {"type":"user","message":{"role":"user","content":[{"tool_use_id":"t1","type":"tool_result","content":"clean","is_error":false}]}}
            {"type":"system","subtype":"api_retry","attempt":1,"max_retries":10,"retry_delay_ms":1155,"error_status":529,"error":"overloaded"}
            {"type":"assistant","message":{"id":"msg_2","content":[{"type":"tool_use","id":"t2","name":"Edit","input":{"file_path":"/r/threads/01A/work/work/src/lib.rs"}}],"usage":{"input_tokens":10,"cache_read_input_tokens":1300,"output_tokens":1}}}
            {"type":"system","subtype":"permission_denied","tool_name":"Bash","message":"This needs approval"}
            {"type":"assistant","message":{"id":"msg_3","content":[{"type":"tool_use","id":"t3","name":"StructuredOutput","input":{}}],"usage":{}}}
            "#,
            ),
        );
        insta::assert_snapshot!(said.join("\n"), @"
        I will write the file.
        $ git status
        The model's provider answers 529 (overloaded), attempt 1 of 10
        Edits src/lib.rs
        Permission denied: This needs approval
        ");
        assert_eq!(reader.model(), Some("claude-opus-5-5"));
        // Until the result says it, each message counts once.
        assert_eq!(reader.usage(), Usage { input_tokens: 2610, cached_tokens: 1500, output_tokens: 2, cost_usd: None });
        for line in claude_result(1, 0.01108) {
            assert_eq!(reader.feed(line.as_bytes()), None);
        }
        let usage = Usage { input_tokens: 2600, cached_tokens: 400, output_tokens: 100, cost_usd: Some(0.01108) };
        assert_eq!(reader.usage(), usage);
        assert_eq!(reader.session(), Some(Session { id: ID.into(), reported: usage }));
    }

    #[test]
    fn a_run_is_charged_what_it_added_to_its_session() {
        let (mut session, mut total) = (None, 0);
        for reported in [2000, 4000, 6000] {
            let (reader, _) = read(&Agent::Codex, session.as_ref(), &codex_turn(reported, reported / 20));
            assert_eq!((reader.usage().input_tokens, reader.usage().output_tokens), (2000, 100));
            total += reader.usage().input_tokens;
            session = reader.session();
        }
        assert_eq!(total, 6000);

        // Newer versions of claude add cost and models up over the session, older ones do not; 0.01 a run in both.
        for (version, runs, cost) in [("2.1.329", 2, 0.02), ("2.1.197", 1, 0.01)] {
            let (first, _) = read(&Agent::Claude, None, &claude_result(1, 0.01));
            let session = first.session();
            let (next, _) = read(&Agent::Claude, session.as_ref(), &claude_result(runs, cost));
            let usage = next.usage();
            assert_eq!((usage.input_tokens, usage.output_tokens, usage.cost_usd), (2600, 100, Some(0.01)), "{version}");
            let session = next.session();
            assert_eq!(session.map(|session| session.reported.cost_usd), Some(Some(0.02)), "{version}");
        }
    }

    #[test]
    fn a_failed_run_leaves_the_session_as_it_was() {
        let reported = Usage { input_tokens: 5, ..Usage::default() };
        let before = Session { id: ID.into(), reported };
        let started = vec![format!(r#"{{"type":"thread.started","thread_id":"{ID}"}}"#)];
        let (reader, _) = read(&Agent::Codex, Some(&before), &started);
        assert_eq!(reader.session(), Some(before));
        assert_eq!(reader.usage(), Usage::default());
    }

    #[test]
    fn custom_agents_speak_as_they_like() {
        let (reader, said) = read(
            &custom(),
            None,
            &lines(
                r#"
            Starting up
            {"type":"progress","text":"Half \u001b[1mway\u202e"}
            {"type":"usage","input_tokens":10,"output_tokens":2,"cost_usd":0.5}
            {"type":"usage","input_tokens":30,"output_tokens":4,"cost_usd":0.75}
            {"type":"other"}
            [1, 2]
            "#,
            ),
        );
        insta::assert_snapshot!(said.join("\n"), @r#"
        Starting up
        Half [1mway
        {"type":"other"}
        [1, 2]
        "#);
        // The last line has the totals.
        assert_eq!(
            reader.usage(),
            Usage { input_tokens: 30, cached_tokens: 0, output_tokens: 4, cost_usd: Some(0.75) }
        );
        assert_eq!(reader.session(), None);
    }

    #[test]
    fn a_session_id_is_a_uuid_or_nothing() {
        // T22
        for id in
            ["--config=x", "", "01a1fb64-aa49-7fd2-b6e9-261265bc45e7 --last", "01a1fb64aa497fd2b6e9261265bc45e70000"]
        {
            let line = serde_json::json!({"type": "thread.started", "thread_id": id}).to_string();
            assert_eq!(read(&Agent::Codex, None, &[line]).0.session(), None, "{id}");
        }
    }

    #[test]
    fn paths_are_those_of_the_repository() {
        let table = [
            ("Edits /home/a/track/x/threads/01A/work/work/src/lib.rs", "Edits src/lib.rs"),
            ("$ cd /x/threads/01A/review/work && ls /x/threads/01A/review/work/", "$ cd . && ls ."),
            ("$ cat '/x/work/work/a b' /etc/passwd", "$ cat 'a b' /etc/passwd"),
            ("$ ls /srv/work/workers/a", "$ ls /srv/work/workers/a"),
            ("é=/x/work/work", "é=."),
        ];
        for (text, shown) in table {
            assert_eq!(relative(text), shown);
        }
    }

    proptest! {
        #[test]
        fn hostile_lines_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in ".{0,100}") {
            for agent in [Agent::Codex, Agent::Claude, custom()] {
                let mut reader = Reader::new(&agent, None);
                for line in [&bytes[..], text.as_bytes()] {
                    if let Some(progress) = reader.feed(line) {
                        prop_assert!(progress.text.chars().count() <= PROGRESS_CHARS);
                        prop_assert!(!progress.text.chars().any(char::is_control));
                    }
                }
            }
        }

        #[test]
        fn known_events_with_anything_in_them_never_panic(
            kind in "(thread.started|turn.completed|turn.failed|item.started|item.completed|system|assistant|result|usage|progress)",
            subtype in "(init|api_retry|permission_denied|success|error_during_execution)",
            key in "(item|usage|message|error|thread_id|session_id|modelUsage|structured_output|total_cost_usd|text)",
            value in prop_oneof![
                Just("null".to_owned()), Just("[]".to_owned()), Just("{}".to_owned()), Just("-1".to_owned()),
                Just("18446744073709551615".to_owned()), Just("1e308".to_owned()), Just("[[{}]]".to_owned()),
                Just(r#"{"type":"command_execution","command":7}"#.to_owned()),
                Just(r#"{"id":"x","content":[null,{"type":"tool_use","name":"Bash"}],"usage":{"input_tokens":18446744073709551615}}"#.to_owned()),
                Just(r#"{"m":{"inputTokens":18446744073709551615,"cacheReadInputTokens":18446744073709551615,"cacheCreationInputTokens":18446744073709551615}}"#.to_owned()),
            ],
        ) {
            let line = format!(r#"{{"type":"{kind}","subtype":"{subtype}","{key}":{value}}}"#);
            let before = Session { id: ID.into(), reported: Usage { input_tokens: u64::MAX, output_tokens: 1, ..Usage::default() } };
            for agent in [Agent::Codex, Agent::Claude, custom()] {
                for earlier in [None, Some(&before)] {
                    let (reader, _) = read(&agent, earlier, &[line.clone(), line.clone()]);
                    let _ = (reader.usage(), reader.session());
                    let _ = super::super::verdict(Kind::Task, &reader, &Ending::default());
                }
            }
        }
    }
}
