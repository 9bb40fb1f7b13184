//! Which agent works, and what a label says about it.

use super::names::check_name;

/// Everybody who may have chosen an agent, in the order in which they are asked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Choices<'a> {
    /// `--agent` of the command.
    pub command: Option<&'a str>,
    /// The agent of a label `track:<agent>`.
    pub label: Option<&'a str>,
    /// The agent of the line's previous run.
    pub line: Option<&'a str>,
    /// `agent` of `.github/track.yml`.
    pub policy: Option<&'a str>,
    /// The runner's own default.
    pub runner: Option<&'a str>,
    /// `default_agent` of the server.
    pub default: &'a str,
}

/// Who chose the agent, for the decision record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChosenBy {
    /// The command.
    Command,
    /// The label.
    Label,
    /// The line's previous run.
    Line,
    /// The review before.
    Review,
    /// The repository's policy.
    Policy,
    /// The runner.
    Runner,
    /// The server's default.
    Default,
}

impl ChosenBy {
    /// The chooser in the words of a record.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Command => "the command",
            Self::Label => "the label",
            Self::Line => "the previous run of this line",
            Self::Review => "the review before",
            Self::Policy => ".github/track.yml",
            Self::Runner => "the runner's configuration",
            Self::Default => "default_agent",
        }
    }
}

/// The agent by the first who chose one.
pub fn choose_agent<'a>(choices: &Choices<'a>) -> (&'a str, ChosenBy) {
    [
        (choices.command, ChosenBy::Command),
        (choices.label, ChosenBy::Label),
        (choices.line, ChosenBy::Line),
        (choices.policy, ChosenBy::Policy),
        (choices.runner, ChosenBy::Runner),
    ]
    .into_iter()
    .find_map(|(agent, by)| agent.map(|agent| (agent, by)))
    .unwrap_or((choices.default, ChosenBy::Default))
}

/// A label that starts work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TriggerLabel {
    /// The agent or profile that it names; their names differ, so that one word is enough.
    pub selects: Option<String>,
}

/// Reads `track`, `track:<agent>` and `track:<profile>`, where `configured` is the server's word for `track`. GitHub's labels differ by more
/// than case, so case does not matter here.
pub fn read_label(label: &str, configured: &str) -> Option<TriggerLabel> {
    if label.eq_ignore_ascii_case(configured) {
        return Some(TriggerLabel { selects: None });
    }
    let (word, rest) = label.split_at_checked(configured.len())?;
    let name = rest.strip_prefix(':')?.trim();
    let named = word.eq_ignore_ascii_case(configured) && check_name(name).is_ok();
    named.then(|| TriggerLabel { selects: Some(name.to_owned()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    // B14
    #[test]
    fn the_first_who_chose_decides() {
        let mut choices = Choices {
            command: Some("a"),
            label: Some("b"),
            line: Some("c"),
            policy: Some("d"),
            runner: Some("e"),
            default: "f",
        };
        assert_eq!(choose_agent(&choices), ("a", ChosenBy::Command));
        choices.command = None;
        assert_eq!(choose_agent(&choices), ("b", ChosenBy::Label));
        choices.label = None;
        assert_eq!(choose_agent(&choices), ("c", ChosenBy::Line));
        choices.line = None;
        assert_eq!(choose_agent(&choices), ("d", ChosenBy::Policy));
        choices.policy = None;
        assert_eq!(choose_agent(&choices), ("e", ChosenBy::Runner));
        choices.runner = None;
        assert_eq!(choose_agent(&choices), ("f", ChosenBy::Default));
    }

    #[test]
    fn a_label_starts_work_and_may_choose_who_does_it() {
        let plain = Some(None);
        let named = |name: &'static str| Some(Some(name));
        for (label, configured, read) in [
            ("track", "track", plain),
            ("Track", "track", plain),
            ("bot: go", "bot: go", plain),
            ("track:codex", "track", named("codex")),
            ("TRACK:codex", "track", named("codex")),
            ("track: careful", "track", named("careful")),
            ("bot: go:codex", "bot: go", named("codex")),
            ("track:", "track", None),
            ("track:a b", "track", None),
            ("track:$(id)", "track", None),
            ("tracked", "track", None),
            ("track codex", "track", None),
            ("trac", "track", None),
            ("bug", "track", None),
            ("träck", "tra", None),
        ] {
            let got = read_label(label, configured).map(|label| label.selects);
            assert_eq!(got.as_ref().map(|selects| selects.as_deref()), read, "{label}");
        }
    }
}
