//! What goes into a decision and what comes out of it: words without rules.

use crate::config::Limits;
use crate::model::{Kind, Lane, LineId, LineState, Millis, Number, Outcome, Pin, ReviewPrompt, RunId, Sha, Status};

use super::choose::ChosenBy;
use super::command::{Command, Mistake};
use super::policy::Policy;

/// One thing that somebody may want, found in a delivery.
#[derive(Clone, Debug, PartialEq)]
pub enum Wish {
    /// The trigger label was put on; `track:<name>` selects an agent or a profile.
    Label {
        /// What stands behind the colon.
        selects: Option<String>,
    },
    /// A command that was understood.
    Command(Command),
    /// A command that was not.
    Mistake(Mistake),
}

impl Wish {
    /// The word under which the trigger is stored.
    pub fn verb(&self) -> &'static str {
        match self {
            Wish::Label { .. } => "label",
            Wish::Command(Command::Dispatch(_)) => "dispatch",
            Wish::Command(Command::Followup(_)) => "followup",
            Wish::Command(Command::Review(_)) => "review",
            Wish::Command(Command::Pause) => "pause",
            Wish::Command(Command::Resume) => "resume",
            Wish::Command(Command::Discard) => "discard",
            Wish::Command(Command::Cancel) => "cancel",
            Wish::Command(Command::Retry) => "retry",
            Wish::Command(Command::Status) => "status",
            Wish::Command(Command::Why) => "why",
            Wish::Command(Command::Help) => "help",
            Wish::Mistake(_) => "mistake",
        }
    }
}

/// A profile of the server's configuration, as far as decisions need it.
#[derive(Clone, Debug)]
pub struct ProfileFacts {
    /// Its name.
    pub name: String,
    /// The agent that it stands for.
    pub agent: String,
    /// The model that it asks for.
    pub model: Option<String>,
    /// Its instructions.
    pub instructions: Option<String>,
}

/// How a pull request was reviewed before.
#[derive(Clone, Debug)]
pub struct ReviewFacts {
    /// The agent.
    pub agent: String,
    /// The model that was asked for.
    pub model: Option<String>,
    /// The profile that chose them.
    pub profile: Option<String>,
    /// What the agent was told; `None`: that was not kept.
    pub prompt: Option<ReviewPrompt>,
}

/// What is known when a wish is decided; words come from the delivery, state from GitHub and the tables.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Whether the issue or pull request is open.
    pub open: bool,
    /// Whether the repository is archived.
    pub archived: bool,
    /// The pull request on which it was said, if it was said on one.
    pub pull: Option<PullFacts>,
    /// The live runs of the thread, at most one a lane.
    pub live: Vec<LiveRun>,
    /// The newest run that is over.
    pub last: Option<LastRun>,
    /// The line that it is about: that of the pull request, else the open one, else the newest.
    pub line: Option<LineFacts>,
    /// The newest review of the pull request on which it was said.
    pub reviewed: Option<ReviewFacts>,
    /// `.github/track.yml`, or what is wrong with it.
    pub policy: Result<Policy, String>,
    /// Names of the agents that exist.
    pub agents: Vec<String>,
    /// Profiles that exist.
    pub profiles: Vec<ProfileFacts>,
    /// Names of the runners that exist, each with its default agent.
    pub runners: Vec<(String, Option<String>)>,
    /// The server's default agent.
    pub default_agent: String,
    /// The limits of server and repository together.
    pub limits: Limits,
    /// Runs that the actor asked for in the last hour.
    pub asked_last_hour: i64,
    /// When the actor will have asked for fewer than the limit; `None` where that never is.
    pub asked_again_at: Option<Millis>,
    /// US dollars spent in the last day.
    pub cost_last_day: f64,
    /// When less than the limit will have been spent in a day; `None` where that never is.
    pub afforded_again_at: Option<Millis>,
}

/// A pull request, as far as decisions depend on it.
#[derive(Clone, Debug)]
pub struct PullFacts {
    /// Its number.
    pub number: Number,
    /// Whether its branch is a line's.
    pub ours: bool,
    /// Whether it is open.
    pub open: bool,
    /// Whether it was merged.
    pub merged: bool,
    /// Its present head.
    pub head: Sha,
    /// The branch where it leads.
    pub base: String,
}

/// A line of work, as far as decisions depend on it.
#[derive(Clone, Debug)]
pub struct LineFacts {
    /// Its identity.
    pub id: LineId,
    /// Whether work goes on here.
    pub state: LineState,
    /// Its pull request.
    pub pull: Option<Number>,
    /// The branch that it goes into, once a run has chosen one.
    pub base: Option<String>,
    /// The agent of its newest run; `None` where no run is left to go on with.
    pub agent: Option<String>,
}

/// A live run, as far as decisions depend on it.
#[derive(Clone, Copy, Debug)]
pub struct LiveRun {
    /// Its identity.
    pub id: RunId,
    /// Where it queues.
    pub lane: Lane,
    /// Where it is.
    pub status: Status,
    /// Whether somebody has asked for its end already.
    pub canceling: bool,
    /// Whether its runner does not answer.
    pub out_of_sight: bool,
}

/// The newest run that is over, as `retry` and `dispatch` need it.
#[derive(Clone, Debug)]
pub struct LastRun {
    /// Its identity.
    pub id: RunId,
    /// The sort of work.
    pub kind: Kind,
    /// How it ended.
    pub outcome: Outcome,
    /// Its number of attempts so far.
    pub attempt: i64,
    /// What became of its line, and the line's pull request; `None` for a review.
    pub line: Option<(LineState, Option<Number>)>,
}

/// What is done about a wish.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// A run is queued.
    Start(Box<Start>),
    /// The last run is attempted again.
    Retry {
        /// The run to repeat.
        of: RunId,
        /// The number of the new attempt.
        attempt: i64,
    },
    /// Live runs are ended.
    Cancel {
        /// Which.
        runs: Vec<RunId>,
    },
    /// Reviews of a line's pull request start follow-ups no longer, or again.
    Pause {
        /// Which line.
        line: LineId,
        /// No longer.
        paused: bool,
        /// What the actor reads, Markdown.
        text: String,
    },
    /// The history of the thread is forgotten.
    Discard,
    /// The request is kept and becomes a follow-up when the live run is over (B02).
    Keep {
        /// The line that it goes on with.
        line: LineId,
        /// What the agent is asked to do.
        instructions: String,
        /// What the actor reads, Markdown.
        text: String,
    },
    /// Nothing is done because a limit is reached, and the actor is told when it has room again.
    NotYet {
        /// A word that names the limit.
        reason: &'static str,
        /// What the actor reads, Markdown.
        text: String,
        /// When it can be asked for again.
        again_at: Millis,
    },
    /// A question is answered.
    Answer(Question),
    /// Nothing is done, and the actor is told why.
    Refuse {
        /// A word that names the rule.
        reason: &'static str,
        /// What the actor reads, Markdown.
        text: String,
    },
}

/// Questions whose answers need the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// The runs of the thread.
    Status,
    /// The newest decisions.
    Why,
    /// The commands.
    Help,
}

/// A run about to be queued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// What sort of work.
    pub kind: Kind,
    /// The agent's name.
    pub agent: String,
    /// What chose it.
    pub chosen_by: ChosenBy,
    /// The model to ask for.
    pub model: Option<String>,
    /// The profile that chose agent and model.
    pub profile: Option<String>,
    /// The runner that the request names.
    pub runner: Option<String>,
    /// The base branch that the request or the repository names.
    pub base: Option<String>,
    /// Whether to open a new line.
    pub fresh: bool,
    /// The line to go on with, where it is not simply the open one.
    pub line: Option<LineId>,
    /// A run that nobody hears of any more and that is given up for this one (B44).
    pub abandons: Option<RunId>,
    /// What is to be reviewed.
    pub pin: Option<Pin>,
    /// Free text of the request.
    pub instructions: String,
}

/// Whether an account may make track do something: by GitHub's answer for the account itself, never by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Write, maintain or admin on the repository.
    Entitled,
    /// Anybody else: silence, and a decision record.
    Stranger,
}
