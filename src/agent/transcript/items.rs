//! What people see of an agent's work, as data.

use super::{End, PLAIN, Text};
use crate::model::{Millis, Phase};

/// One thing that the agent, or who supervises it, did or said.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// Its place in the transcript of its turn, from 1.
    pub number: u32,
    /// Where in the journal the frame ends that began it.
    pub begun: u64,
    /// Where the frame ends that changed it last.
    pub changed: u64,
    /// When it began, by the runner's clock.
    pub at: Option<Millis>,
    /// How long it took, if it is something that takes time and is over.
    pub took: Option<Millis>,
    /// How it stands.
    pub state: State,
    /// Whether an agent that the agent started did it.
    pub inner: bool,
    /// What it is.
    pub what: What,
}

/// How an item stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It may still change.
    Working,
    /// It is over.
    Done,
    /// It is over and did not work.
    Failed,
    /// Its end was never told.
    Unknown,
}

/// What can be seen of an agent's work.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// The agent says something, in Markdown.
    Message(Text),
    /// The agent thinks.
    Thought(Text),
    /// A shell command.
    Command {
        /// The command.
        command: Text,
        /// What it is for, in the agent's words.
        about: String,
        /// What it printed.
        output: Option<Text>,
        /// Its exit code, where that is told.
        exit: Option<i64>,
    },
    /// Files are changed.
    Change {
        /// Which, and how.
        files: Vec<File>,
        /// Files that are not listed.
        more: usize,
        /// Why it did not work.
        problem: Option<Text>,
    },
    /// Another tool is used.
    Tool {
        /// What for: `Reads src/lib.rs`.
        title: String,
        /// What it is given, where the title does not say it.
        input: Option<Text>,
        /// What it answers.
        output: Option<Text>,
    },
    /// The web is searched for this.
    Search(String),
    /// The agent's list of things to do.
    Plan(Vec<Step>),
    /// Something goes wrong, perhaps only for now.
    Trouble {
        /// What.
        text: Text,
        /// How often in a row, the text being the last one.
        times: u32,
    },
    /// The runner enters a phase.
    Phase(Phase),
    /// Something worth knowing that is not the agent's.
    Note(String),
    /// Lines without a form.
    Plain(Text),
    /// The answer was handed in; it is shown in its own place.
    Answer,
}

/// A changed file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Its path in the repository.
    pub path: String,
    /// What happens to it.
    pub how: How,
    /// The change as the agent told it.
    pub patch: Option<Text>,
}

/// What happens to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// It is new.
    Added,
    /// It is another one than before.
    Changed,
    /// It is gone.
    Removed,
}

/// One entry of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What is to be done.
    pub text: String,
    /// Whether the agent is at it, has done it, or neither.
    pub state: Progress,
}

/// How far a step of a plan is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Not begun.
    Open,
    /// At work.
    Begun,
    /// Done.
    Done,
}

impl Item {
    /// Takes more of the same into this item; false if it is something else.
    pub(super) fn take_in(&mut self, what: &What) -> bool {
        match (&mut self.what, what) {
            (What::Plain(text), What::Plain(more)) => text.push_line(more, PLAIN),
            (What::Trouble { text, times }, What::Trouble { text: next, .. }) => {
                text.clone_from(next);
                *times = times.saturating_add(1);
                true
            }
            _ => false,
        }
    }

    pub(super) fn finish(&mut self, end: End) {
        self.state = end.state;
        match &mut self.what {
            What::Command { output, exit, .. } => {
                *output = end.output;
                *exit = end.exit;
            }
            What::Change { files, problem, .. } => {
                if end.state == State::Failed {
                    *problem = end.output;
                } else if let (Some(patch), [file]) = (end.patch, files.as_mut_slice()) {
                    file.patch = Some(patch);
                }
            }
            What::Tool { output, .. } => *output = end.output,
            _ => {}
        }
    }
}
