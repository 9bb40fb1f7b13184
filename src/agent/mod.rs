//! Coding agents: how each is started, what it prints, and where it leaves its answer.
//!
//! Which agent it is, is data ([`Agent`]); what differs between them lies in one file each (`codex`, `claude`, `custom`), so
//! that a changed flag or event is a change in one place. Everything here is pure: the runner executes a [`Launch`], the
//! lines that come back are fed to a [`Reader`], and [`verdict`] makes an answer or a failure of the end.

mod answer;
mod claude;
mod clean;
mod codex;
mod custom;
mod frames;
mod launch;
mod prompt;
mod reader;
pub mod transcript;
mod verdict;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::config::AgentConfig;
use crate::model::Session;

pub use answer::{
    Answer, AnswerStatus, Disposition, Finding, MAX_ANSWER, Reply, ReviewAnswer, Severity, Side, WorkAnswer, schema,
};
pub use clean::{clean_text, one_line, visible};
pub use frames::{Frame, Frames};
pub use launch::{ANSWER_FILE, Launch, Order, PROMPT_FILE, SCHEMA_FILE, launch};
pub use prompt::{Comment, Prompt, PromptInput, PullRequest, Request, Review, ReviewComment, render, render_again};
pub use reader::{Progress, Reader};
pub use verdict::{Ending, Exit, Failure, remedy, verdict};

/// Names that no configured agent can take: they mean the adapters of this module.
pub const BUILT_IN: [&str; 2] = ["codex", "claude"];

/// A program that does the work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Agent {
    /// OpenAI's Codex CLI.
    Codex,
    /// Anthropic's Claude Code.
    Claude,
    /// A command of the configuration.
    Custom {
        /// Its name there.
        name: String,
        /// Program and arguments.
        command: Vec<String>,
    },
}

impl Agent {
    /// The name under which people ask for it.
    pub fn name(&self) -> &str {
        match self {
            Agent::Codex => "codex",
            Agent::Claude => "claude",
            Agent::Custom { name, .. } => name,
        }
    }

    /// Whether a later run can go on in the session of an earlier one.
    pub fn resumes(&self) -> bool {
        !matches!(self, Agent::Custom { .. })
    }
}

/// The agent called `name`: a built-in one, else one of the configuration.
pub fn resolve(name: &str, agents: &BTreeMap<String, AgentConfig>) -> Option<Agent> {
    match name {
        "codex" => Some(Agent::Codex),
        "claude" => Some(Agent::Claude),
        _ => agents.get(name).map(|agent| Agent::Custom { name: name.to_owned(), command: agent.command.clone() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn built_in_names_cannot_be_taken() {
        // B14
        let command = vec!["bash".to_owned()];
        let agents =
            ["codex", "scripted"].map(|name| (name.to_owned(), AgentConfig { command: command.clone() })).into();
        assert_eq!(resolve("codex", &agents), Some(Agent::Codex));
        assert_eq!(resolve("claude", &agents), Some(Agent::Claude));
        assert_eq!(resolve("scripted", &agents), Some(Agent::Custom { name: "scripted".into(), command }));
        assert_eq!(resolve("Codex", &agents), None);
    }
}
