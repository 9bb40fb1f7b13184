//! What can be asked for in a comment.
//!
//! A command lives here and nowhere else: its variant, its line in [`COMMANDS`] with usage and example, and its tests. Help is made from the
//! same table.

mod grammar;
mod lines;

use crate::trigger::names::{Rule, check_branch, check_model, check_name};
use grammar::Given;

/// More commands than this in one text are nobody's honest wish; the rest is not obeyed.
const MAX_COMMANDS: usize = 16;

/// GitHub stores texts of up to 65,536 characters; what is longer was not written there.
const MAX_TEXT: usize = 4 * 65_536;

/// One wish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Start a run.
    Dispatch(Dispatch),
    /// Go on with what is there.
    Followup(Followup),
    /// Review a pull request.
    Review(Review),
    /// End the live run.
    Cancel,
    /// Run the last ask again.
    Retry,
    /// Say how things are.
    Status,
    /// Explain the latest decisions.
    Why,
    /// Turn automatic follow-ups off.
    Pause,
    /// Turn them on again.
    Resume,
    /// Forget the history.
    Discard,
    /// Say what can be asked for.
    Help,
}

/// What is to be done to what is there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Followup {
    /// Whether to leave an open line of work alone.
    pub fresh: bool,
    /// The free text after the command, never empty: raw Markdown, all of it.
    pub instructions: String,
}

/// How to review; what is `None` is chosen by others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Review {
    /// Name of the agent.
    pub agent: Option<String>,
    /// The model to ask the agent for.
    pub model: Option<String>,
    /// Name of the runner.
    pub runner: Option<String>,
    /// The free text after the command: raw Markdown, all of it.
    pub instructions: String,
}

/// What an option is called, what was given for it, and its rule.
type Named<'a> = (&'a str, &'a Option<String>, Rule);

/// Whether a command that did not come through the grammar is such as it lets through; else what is wrong.
pub fn check(command: &Command) -> Result<(), String> {
    let (named, text): (&[Named<'_>], &str) = match command {
        Command::Dispatch(Dispatch { agent, model, runner, profile, base, instructions, .. }) => (
            &[
                ("agent", agent, check_name),
                ("model", model, check_model),
                ("runner", runner, check_name),
                ("profile", profile, check_name),
                ("base branch", base, check_branch),
            ],
            instructions,
        ),
        Command::Review(Review { agent, model, runner, instructions }) => (
            &[("agent", agent, check_name), ("model", model, check_model), ("runner", runner, check_name)],
            instructions,
        ),
        Command::Followup(Followup { instructions, .. }) if instructions.trim().is_empty() => {
            return Err("a follow-up says what is to be done: its text is empty".to_owned());
        }
        Command::Followup(Followup { instructions, .. }) => (&[], instructions),
        _ => (&[], ""),
    };
    for (what, name, rule) in named {
        if let Some(name) = name {
            rule(name).map_err(|why| format!("{name:?} cannot be the {what}: {why}"))?;
        }
    }
    if text.len() > MAX_TEXT {
        return Err(format!("the instructions are longer than {MAX_TEXT} bytes"));
    }
    if text.contains('\0') {
        return Err("the text contains a NUL character, which no agent could read".to_owned());
    }
    Ok(())
}

/// How to start a run; what is `None` is chosen by others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dispatch {
    /// Name of the agent.
    pub agent: Option<String>,
    /// The model to ask the agent for.
    pub model: Option<String>,
    /// Name of the runner.
    pub runner: Option<String>,
    /// Name of the profile.
    pub profile: Option<String>,
    /// Branch to start from, valid by git's rules.
    pub base: Option<String>,
    /// Whether to leave an open line of work alone.
    pub fresh: bool,
    /// The free text after the command: raw Markdown, all of it.
    pub instructions: String,
}

/// A line that begins like a command and is none, in words for a reply. All three are safe to show in a comment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// What is wrong.
    pub what: String,
    /// What was probably meant.
    pub nearest: Option<String>,
    /// How it is written right: the usage line, or the list of commands.
    pub usage: String,
}

/// The commands of a text in order, the wrong ones as mistakes. Only lines of plain paragraph text are looked at.
pub fn parse(text: &str) -> Vec<Result<Command, Mistake>> {
    if text.len() > MAX_TEXT {
        return Vec::new();
    }
    let starts = lines::starts(text);
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    let mut parsed: Vec<_> =
        starts.iter().zip(ends).take(MAX_COMMANDS).map(|(start, end)| grammar::parse(&text[*start..end])).collect();
    if starts.len() > MAX_COMMANDS {
        parsed.push(Err(Mistake {
            what: format!("one comment can hold {MAX_COMMANDS} commands; those after that are left out"),
            nearest: None,
            usage: "`/track help`".to_owned(),
        }));
    }
    parsed
}

/// Whether a text says something besides its commands and what belongs to them.
pub fn says_more(text: &str) -> bool {
    let start = if text.len() > MAX_TEXT { None } else { lines::starts(text).first().copied() };
    !text[..start.unwrap_or(text.len())].trim().is_empty()
}

/// One line of the table of commands.
pub(super) struct Spec {
    /// The word after `/track`.
    pub verb: &'static str,
    /// Other spellings that are obeyed.
    aliases: &'static [&'static str],
    /// Words that people try instead.
    akin: &'static [&'static str],
    /// Its options.
    pub options: &'static [OptionSpec],
    /// What its free text is called, if it has any.
    text: Option<FreeText>,
    /// What it does.
    pub about: &'static str,
    /// A line that somebody could write.
    pub example: &'static str,
    build: fn(Given) -> Command,
}

/// The free text of a command.
#[derive(Clone, Copy)]
struct FreeText {
    /// What it is called in the usage line.
    name: &'static str,
    /// Whether the command says nothing without it.
    needed: bool,
}

/// An option of a command.
pub(super) struct OptionSpec {
    /// Its name, without the dashes.
    pub name: &'static str,
    /// Placeholder and rule of its value; `None` for a switch.
    pub value: Option<(&'static str, Rule)>,
    /// What it does.
    pub about: &'static str,
}

/// Every command there is.
pub(super) const COMMANDS: &[Spec] = &[
    Spec {
        verb: "dispatch",
        aliases: &[],
        akin: &["run", "start", "go", "do", "fix", "implement", "work"],
        options: &[
            OptionSpec { name: "agent", value: Some(("A", check_name)), about: "the agent that works" },
            OptionSpec { name: "model", value: Some(("M", check_model)), about: "the model that it uses" },
            OptionSpec { name: "runner", value: Some(("R", check_name)), about: "the machine on which it works" },
            OptionSpec {
                name: "profile",
                value: Some(("P", check_name)),
                about: "a named set of agent, model and instructions",
            },
            OptionSpec { name: "base", value: Some(("B", check_branch)), about: "the branch to start from" },
            OptionSpec { name: "fresh", value: None, about: "begin a new line of work beside the open one" },
        ],
        text: Some(FreeText { name: "instructions", needed: false }),
        about: "Starts work on this issue; with an open pull request, goes on with it.",
        example: "/track dispatch --agent claude keep the public API as it is",
        build: |mut given| {
            Command::Dispatch(Dispatch {
                agent: given.value("agent"),
                model: given.value("model"),
                runner: given.value("runner"),
                profile: given.value("profile"),
                base: given.value("base"),
                fresh: given.flag("fresh"),
                instructions: given.text,
            })
        },
    },
    Spec {
        verb: "followup",
        aliases: &["follow-up"],
        akin: &["continue", "follow", "more", "change", "address"],
        options: &[OptionSpec { name: "fresh", value: None, about: "begin a new line of work, knowing what was said" }],
        text: Some(FreeText { name: "text", needed: true }),
        about: "Goes on with the work that is there: the same branch and pull request, the same agent.",
        example: "/track followup use the existing helper instead",
        build: |mut given| Command::Followup(Followup { fresh: given.flag("fresh"), instructions: given.text }),
    },
    Spec {
        verb: "review",
        aliases: &[],
        akin: &["inspect", "audit", "check", "lgtm"],
        options: &[
            OptionSpec { name: "agent", value: Some(("A", check_name)), about: "the agent that reviews" },
            OptionSpec { name: "model", value: Some(("M", check_model)), about: "the model that it uses" },
            OptionSpec { name: "runner", value: Some(("R", check_name)), about: "the machine on which it works" },
        ],
        text: Some(FreeText { name: "instructions", needed: false }),
        about: "Reviews this pull request as it is now, and submits one review with comments.",
        example: "/track review --agent codex look at the locking",
        build: |mut given| {
            Command::Review(Review {
                agent: given.value("agent"),
                model: given.value("model"),
                runner: given.value("runner"),
                instructions: given.text,
            })
        },
    },
    Spec {
        verb: "cancel",
        aliases: &[],
        akin: &["stop", "abort", "kill", "end"],
        options: &[],
        text: None,
        about: "Ends what is live here, wherever it is.",
        example: "/track cancel",
        build: |_| Command::Cancel,
    },
    Spec {
        verb: "retry",
        aliases: &[],
        akin: &["again", "rerun", "restart", "redo"],
        options: &[],
        text: None,
        about: "Runs the last request once more.",
        example: "/track retry",
        build: |_| Command::Retry,
    },
    Spec {
        verb: "status",
        aliases: &[],
        akin: &["list", "show", "info", "state"],
        options: &[],
        text: None,
        about: "Says what runs here, and how the last runs ended.",
        example: "/track status",
        build: |_| Command::Status,
    },
    Spec {
        verb: "why",
        aliases: &[],
        akin: &["explain", "log"],
        options: &[],
        text: None,
        about: "Explains what was decided about the latest requests here.",
        example: "/track why",
        build: |_| Command::Why,
    },
    Spec {
        verb: "pause",
        aliases: &[],
        akin: &["hold", "off", "mute"],
        options: &[],
        text: None,
        about: "Stops reviews of the bot's pull request from starting follow-ups.",
        example: "/track pause",
        build: |_| Command::Pause,
    },
    Spec {
        verb: "resume",
        aliases: &[],
        akin: &["unpause", "on", "unmute"],
        options: &[],
        text: None,
        about: "Lets reviews start follow-ups again.",
        example: "/track resume",
        build: |_| Command::Resume,
    },
    Spec {
        verb: "discard",
        aliases: &[],
        akin: &["forget", "delete", "remove", "clean", "clear"],
        options: &[],
        text: None,
        about: "Forgets the runs that are over, and removes their files from the runners.",
        example: "/track discard",
        build: |_| Command::Discard,
    },
    Spec {
        verb: "help",
        aliases: &[],
        akin: &["usage", "commands", "-h", "--help", "?"],
        options: &[],
        text: None,
        about: "Shows this list.",
        example: "/track help",
        build: |_| Command::Help,
    },
];

impl Spec {
    /// The usage line, without code marks.
    pub fn usage(&self) -> String {
        let options = self.options.iter().map(|option| match option.value {
            Some((placeholder, _)) => format!(" [--{} {placeholder}]", option.name),
            None => format!(" [--{}]", option.name),
        });
        let text =
            self.text.map(|FreeText { name, needed }| if needed { format!(" <{name}>") } else { format!(" [{name}]") });
        format!("/track {}{}{}", self.verb, options.collect::<String>(), text.unwrap_or_default())
    }

    fn mistake(&self, what: String, nearest: Option<String>) -> Mistake {
        Mistake { what, nearest, usage: format!("`{}`", self.usage()) }
    }
}

#[cfg(test)]
mod corpus;
#[cfg(test)]
mod tests;
