//! What `/track help` answers, made from the table of commands so that it lists exactly what exists.

use super::command::COMMANDS;

/// The help as Markdown. Every command in it stands in code, so that no bot that reads it obeys it.
pub fn markdown(label: &str) -> String {
    let label: String = label.chars().filter(|c| !c.is_control() && *c != '`').collect();
    let mut text = String::from(
        "A command stands at the start of a line, outside quotes, lists and code. One comment can hold several.\n\n\
         | command | what it does |\n| --- | --- |\n",
    );
    for spec in COMMANDS {
        text += &format!("| `{}` | {} |\n", spec.usage(), spec.about);
    }
    for spec in COMMANDS.iter().filter(|spec| !spec.options.is_empty()) {
        text += &format!("\nOptions of `{}`:\n\n", spec.verb);
        for option in spec.options {
            let placeholder = option.value.map(|(placeholder, _)| format!(" {placeholder}")).unwrap_or_default();
            text += &format!("- `--{}{placeholder}`: {}\n", option.name, option.about);
        }
        text += &format!("\nFor example: `{}`\n", spec.example);
    }
    text += &format!(
        "\nThe label `{label}` starts work as well; `{label}:<agent>` or `{label}:<profile>` chooses who does it.\n"
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trigger::command;

    #[test]
    fn help_lists_every_command_with_its_usage() {
        insta::assert_snapshot!(markdown("track"), @"
        A command stands at the start of a line, outside quotes, lists and code. One comment can hold several.

        | command | what it does |
        | --- | --- |
        | `/track dispatch [--agent A] [--model M] [--runner R] [--profile P] [--base B] [--fresh] [instructions]` | Starts work on this issue; with an open pull request, goes on with it. |
        | `/track followup [--fresh] <text>` | Goes on with the work that is there: the same branch and pull request, the same agent. |
        | `/track review [--agent A] [--model M] [--runner R] [instructions]` | Reviews this pull request as it is now, and submits one review with comments. |
        | `/track cancel` | Ends what is live here, wherever it is. |
        | `/track retry` | Runs the last request once more. |
        | `/track status` | Says what runs here, and how the last runs ended. |
        | `/track why` | Explains what was decided about the latest requests here. |
        | `/track pause` | Stops reviews of the bot's pull request from starting follow-ups. |
        | `/track resume` | Lets reviews start follow-ups again. |
        | `/track discard` | Forgets the runs that are over, and removes their files from the runners. |
        | `/track help` | Shows this list. |

        Options of `dispatch`:

        - `--agent A`: the agent that works
        - `--model M`: the model that it uses
        - `--runner R`: the machine on which it works
        - `--profile P`: a named set of agent, model and instructions
        - `--base B`: the branch to start from
        - `--fresh`: begin a new line of work beside the open one

        For example: `/track dispatch --agent claude keep the public API as it is`

        Options of `followup`:

        - `--fresh`: begin a new line of work, knowing what was said

        For example: `/track followup use the existing helper instead`

        Options of `review`:

        - `--agent A`: the agent that reviews
        - `--model M`: the model that it uses
        - `--runner R`: the machine on which it works

        For example: `/track review --agent codex look at the locking`

        The label `track` starts work as well; `track:<agent>` or `track:<profile>` chooses who does it.
        ");
    }

    // T15
    #[test]
    fn help_holds_no_live_command() {
        assert_eq!(command::parse(&markdown("track")), []);
        assert_eq!(command::parse(&markdown("x`\n\n/track cancel\n\n`")), []);
    }
}
