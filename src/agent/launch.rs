//! What the runner executes for a turn, as data.

use super::{Agent, Session, answer, claude, codex, custom};
use crate::model::{Kind, RunId};

/// The prompt's file in the turn's `in`; the caller writes it.
pub const PROMPT_FILE: &str = "prompt.md";
/// The schema's file in the turn's `in`; part of [`Launch::files`].
pub const SCHEMA_FILE: &str = "schema.json";
/// The file in the turn's `out` in which codex and custom agents leave their answer.
pub const ANSWER_FILE: &str = "answer.json";

/// A program to start in the workspace.
///
/// In [`command`](Launch::command) and [`env`](Launch::env) the runner replaces `{in}`, `{out}` and `{work}` by absolute paths
/// of the turn's folders and of the workspace. Nothing that people wrote is in there but the name of the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launch {
    /// Program and arguments, executed without a shell, with the workspace as working directory.
    pub command: Vec<String>,
    /// The file of `in` that is its standard input.
    pub stdin_file: Option<String>,
    /// Environment that is added to what the runner's prelude exports.
    pub env: Vec<(String, String)>,
    /// Files to be written to `in`, besides the prompt.
    pub files: Vec<(String, Vec<u8>)>,
}

/// What an agent is to be started for.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// The sort of work.
    pub kind: Kind,
    /// The run.
    pub run: RunId,
    /// The model to ask for.
    pub model: Option<&'a str>,
    /// The session to go on with, where the agent can.
    pub session: Option<&'a Session>,
    /// US dollars that the run may cost, for agents that can keep to it themselves.
    pub cost_usd: f64,
}

/// How `agent` is started.
pub fn launch(agent: &Agent, order: &Order<'_>) -> Launch {
    let Order { kind, run, model, session, .. } = *order;
    let (command, env) = match agent {
        Agent::Codex => (codex::command(model, session), Vec::new()),
        Agent::Claude => (claude::command(order), claude::env()),
        Agent::Custom { command, .. } => (command.clone(), custom::env(kind, run, model)),
    };
    Launch {
        command,
        stdin_file: Some(PROMPT_FILE.to_owned()),
        env,
        files: vec![(SCHEMA_FILE.to_owned(), answer::schema(kind).as_bytes().to_vec())],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Usage;

    fn run() -> RunId {
        "01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap()
    }

    fn order(kind: Kind) -> Order<'static> {
        Order { kind, run: run(), model: None, session: None, cost_usd: 20.0 }
    }

    /// The command line as one reads it, the schema's text left out.
    fn line(launch: &Launch) -> String {
        let words =
            launch.command.iter().map(|word| if word.starts_with('{') && word.len() > 40 { "SCHEMA" } else { word });
        words.collect::<Vec<_>>().join(" ")
    }

    fn session() -> Session {
        let reported = Usage { cost_usd: Some(1.5), ..Usage::default() };
        Session { id: "01a1fb64-aa49-7fd2-b6e9-261265bc45e7".into(), reported }
    }

    #[test]
    fn codex_anew_and_resumed() {
        // B15
        let anew = launch(&Agent::Codex, &Order { model: Some("gpt-6-sol"), ..order(Kind::Task) });
        insta::assert_snapshot!(line(&anew), @"codex --search exec --dangerously-bypass-approvals-and-sandbox -C {work} --json --output-schema {in}/schema.json -o {out}/answer.json -c check_for_update_on_startup=false -c analytics.enabled=false -c features.plugins=false -c features.unbounded_connection_retries=false --model=gpt-6-sol -");
        let resumed = launch(&Agent::Codex, &Order { session: Some(&session()), ..order(Kind::FollowUp) });
        insta::assert_snapshot!(line(&resumed), @"codex --search exec --dangerously-bypass-approvals-and-sandbox -C {work} --json --output-schema {in}/schema.json -o {out}/answer.json -c check_for_update_on_startup=false -c analytics.enabled=false -c features.plugins=false -c features.unbounded_connection_retries=false resume 01a1fb64-aa49-7fd2-b6e9-261265bc45e7 -");
        assert_eq!(anew.stdin_file.as_deref(), Some("prompt.md"));
        assert_eq!(anew.files, [("schema.json".to_owned(), answer::schema(Kind::Task).as_bytes().to_vec())]);
    }

    #[test]
    fn claude_anew_and_resumed() {
        // B15
        let anew = launch(&Agent::Claude, &Order { model: Some("opus"), ..order(Kind::Review) });
        insta::assert_snapshot!(line(&anew), @"claude -p --dangerously-skip-permissions --output-format stream-json --verbose --json-schema SCHEMA --max-budget-usd=20.00 --model=opus --session-id 01563e3a-b5d3-7676-8c61-efb99302bd5b");
        assert!(anew.command.contains(&answer::schema(Kind::Review).to_owned()));
        let resumed = launch(&Agent::Claude, &Order { session: Some(&session()), ..order(Kind::FollowUp) });
        insta::assert_snapshot!(line(&resumed), @"claude -p --dangerously-skip-permissions --output-format stream-json --verbose --json-schema SCHEMA --max-budget-usd=21.50 --resume 01a1fb64-aa49-7fd2-b6e9-261265bc45e7");
        insta::assert_snapshot!(format!("{:?}", resumed.env), @r#"[("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"), ("DISABLE_AUTOUPDATER", "1")]"#);
    }

    #[test]
    fn a_custom_agent_finds_everything_in_its_environment() {
        let agent = Agent::Custom { name: "scripted".into(), command: vec!["bash".into(), "/opt/a b.sh".into()] };
        let launch = launch(&agent, &Order { model: Some("m"), session: Some(&session()), ..order(Kind::FollowUp) });
        assert_eq!(launch.command, ["bash", "/opt/a b.sh"]);
        let env: Vec<String> = launch.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        insta::assert_snapshot!(env.join("\n"), @"
        TRACK_RUN_ID=01ARZ3NDEKTSV4RRFFQ69G5FAV
        TRACK_KIND=follow_up
        TRACK_PROMPT_FILE={in}/prompt.md
        TRACK_SCHEMA_FILE={in}/schema.json
        TRACK_RESULT_FILE={out}/answer.json
        TRACK_MODEL=m
        ");
    }

    #[test]
    fn a_model_is_never_an_option_of_its_own() {
        // T22
        for agent in [Agent::Codex, Agent::Claude] {
            let command = launch(&agent, &Order { model: Some("--help; $(touch x)"), ..order(Kind::Task) }).command;
            assert!(command.contains(&"--model=--help; $(touch x)".to_owned()), "{command:?}");
        }
    }
}
