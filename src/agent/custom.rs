//! Any command as an agent: prompt on standard input, paths in its environment, answer in a file.

use serde_json::Value;

use super::launch::{ANSWER_FILE, PROMPT_FILE, SCHEMA_FILE};
use super::reader::usage_fields;
use super::verdict::{self, Ending, Failure};
use super::{Agent, Answer, AnswerStatus, answer};
use crate::model::{Kind, Reason, RunId, Usage};

pub(super) fn env(kind: Kind, run: RunId, model: Option<&str>) -> Vec<(String, String)> {
    let mut env = vec![
        ("TRACK_RUN_ID".to_owned(), run.to_string()),
        ("TRACK_KIND".to_owned(), kind.to_string()),
        ("TRACK_PROMPT_FILE".to_owned(), format!("{{in}}/{PROMPT_FILE}")),
        ("TRACK_SCHEMA_FILE".to_owned(), format!("{{in}}/{SCHEMA_FILE}")),
        ("TRACK_RESULT_FILE".to_owned(), format!("{{out}}/{ANSWER_FILE}")),
    ];
    env.extend(model.map(|model| ("TRACK_MODEL".to_owned(), model.to_owned())));
    env
}

/// What a custom agent has printed so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Events {
    /// The totals of its last usage line.
    pub(super) usage: Usage,
}

impl Events {
    /// Lines that are no event of ours are plain text, JSON or not.
    pub(super) fn line(&mut self, line: &str, event: Option<&Value>) -> Option<String> {
        match event.and_then(|event| Some((event, event.get("type")?.as_str()?))) {
            Some((event, "progress")) => Some(event["text"].as_str()?.to_owned()),
            Some((event, "usage")) => {
                self.usage = usage_fields(event, ["input_tokens", "cached_tokens", "output_tokens", "cost_usd"]);
                None
            }
            _ => Some(line.to_owned()),
        }
    }
}

pub(super) fn verdict(agent: &Agent, kind: Kind, ending: &Ending) -> Result<Answer, Failure> {
    let read = ending.answer_file.filter(|file| !file.trim_ascii().is_empty()).map(|file| answer::parse(kind, file));
    if ending.exit.succeeded() {
        return match read {
            Some(read) => read.map_err(|error| verdict::bad_answer(&error)),
            None => Err(Failure::new(Reason::NoAnswer, "it ended without writing $TRACK_RESULT_FILE".to_owned())),
        };
    }
    // An agent that explains its failure in its answer may also say so with its exit code; one that claims success may not.
    if let Some(Ok(answer)) = read
        && answer.status() != AnswerStatus::Succeeded
    {
        return Ok(answer);
    }
    Err(verdict::setup(agent, ending).unwrap_or_else(|| verdict::crashed(agent, ending)))
}
