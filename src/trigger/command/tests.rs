use proptest::prelude::*;

use super::corpus::{INERT, LIVE};
use super::*;

fn one(text: &str) -> Result<Command, Mistake> {
    let mut all = parse(text);
    assert_eq!(all.len(), 1, "{text:?}: {all:?}");
    all.remove(0)
}

fn dispatched(text: &str) -> Dispatch {
    match one(text) {
        Ok(Command::Dispatch(dispatch)) => dispatch,
        other => panic!("{text:?}: {other:?}"),
    }
}

/// A mistake as one line.
fn told(text: &str) -> String {
    let Mistake { what, nearest, usage } = one(text).unwrap_err();
    format!("{what} | {} | {usage}", nearest.unwrap_or_default())
}

// T18
#[test]
fn a_command_counts_in_plain_paragraph_text_and_nowhere_else() {
    assert_eq!((LIVE.len(), INERT.len()), (60, 60));
    for text in LIVE {
        assert_eq!(parse(text), [Ok(Command::Cancel)], "{text:?}");
    }
    for text in INERT {
        assert_eq!(parse(text), [], "{text:?}");
    }
}

#[test]
fn every_example_is_the_command_that_it_explains() {
    let variant = |command: &Command| format!("{command:?}").to_lowercase();
    for spec in COMMANDS {
        let command = one(spec.example).unwrap();
        assert!(variant(&command).starts_with(spec.verb), "{}", spec.example);
        assert_eq!(one(&format!("/track {}", spec.verb)).is_ok(), spec.text.is_none_or(|text| !text.needed));
        for alias in spec.aliases {
            assert_eq!(one(&spec.example.replacen(spec.verb, alias, 1)), one(spec.example));
        }
    }
}

#[test]
fn usage_lines_name_every_option() {
    let usages: Vec<_> = COMMANDS.iter().map(Spec::usage).collect();
    insta::assert_snapshot!(usages.join("\n"), @"
    /track dispatch [--agent A] [--model M] [--runner R] [--profile P] [--base B] [--fresh] [instructions]
    /track followup [--fresh] <text>
    /track review [--agent A] [--model M] [--runner R] [instructions]
    /track cancel
    /track retry
    /track status
    /track why
    /track pause
    /track resume
    /track discard
    /track help
    ");
}

#[test]
fn options_come_first_and_the_rest_is_free_text() {
    let all = Dispatch {
        agent: Some("claude".into()),
        model: Some("sonnet[1m]".into()),
        runner: Some("build-1".into()),
        profile: Some("careful".into()),
        base: Some("feature/x".into()),
        fresh: true,
        instructions: "keep the API".into(),
    };
    for text in [
        "/track dispatch --agent claude --model sonnet[1m] --runner build-1 --profile careful --base feature/x --fresh keep the API",
        "/track dispatch --fresh --agent=claude --model=\"sonnet[1m]\" --runner 'build-1' --profile=careful --base='feature/x'\tkeep the API",
        "/TRACK Dispatch  --AGENT  claude --Model=sonnet[1m] --runner=build-1 --fresh --profile careful --base \"feature/x\" -- keep the API  ",
        "/track dispatch --agent=claude --model=sonnet[1m] --runner=build-1 --profile=careful --base=feature/x --fresh\nkeep the API\n",
    ] {
        assert_eq!(dispatched(text), all, "{text}");
    }
    for (text, instructions) in [
        ("/track dispatch", ""),
        ("/track dispatch fix the --agent option", "fix the --agent option"),
        ("/track dispatch -- --agent is broken", "--agent is broken"),
        ("/track dispatch - a\n- b", "- a\n- b"),
        ("/track dispatch \"quoted\" words", "\"quoted\" words"),
    ] {
        assert_eq!(dispatched(text), Dispatch { instructions: instructions.into(), ..Dispatch::default() }, "{text}");
    }
}

#[test]
fn free_text_is_raw_markdown_up_to_the_next_command() {
    let text = "Hi!\n/track dispatch fix *this*:\nmore\n\n- a\n- b\n\n```sh\n/track cancel\n```\n\n> /track why\n\n/track status\nthanks\n/track dispatch --fresh\n\n    code\n";
    let commands: Vec<_> = parse(text).into_iter().map(Result::unwrap).collect();
    let [Command::Dispatch(first), Command::Status, Command::Dispatch(second)] = commands.as_slice() else {
        panic!("{commands:?}")
    };
    assert_eq!(first.instructions, "fix *this*:\nmore\n\n- a\n- b\n\n```sh\n/track cancel\n```\n\n> /track why");
    assert_eq!(second.instructions, "    code");
}

#[test]
fn several_commands_run_in_order_and_a_wrong_one_stops_nobody() {
    let all = parse("/track cancel\n/track dipatch now\n/track status");
    assert_eq!((&all[0], &all[2]), (&Ok(Command::Cancel), &Ok(Command::Status)));
    assert_eq!(all[1].as_ref().unwrap_err().nearest.as_deref(), Some("/track dispatch"));
    let many = parse(&"/track status\n".repeat(1000));
    assert_eq!(many.len(), MAX_COMMANDS + 1);
    assert_eq!(
        many[MAX_COMMANDS].as_ref().unwrap_err().what,
        "one comment can hold 16 commands; those after that are left out"
    );
    assert_eq!(parse(&format!("/track status {}", "x".repeat(MAX_TEXT))), []);
}

#[test]
fn mistakes_say_what_was_wrong_and_how_it_is_written() {
    insta::assert_snapshot!(told("/track"), @"`/track` alone says nothing to do |  | `/track dispatch`, `/track followup`, `/track review`, `/track cancel`, `/track retry`, `/track status`, `/track why`, `/track pause`, `/track resume`, `/track discard`, `/track help`");
    insta::assert_snapshot!(told("/track stop it"), @"there is no command `stop` | /track cancel | `/track dispatch`, `/track followup`, `/track review`, `/track cancel`, `/track retry`, `/track status`, `/track why`, `/track pause`, `/track resume`, `/track discard`, `/track help`");
    insta::assert_snapshot!(told("/track launch do more"), @"there is no command `launch` |  | `/track dispatch`, `/track followup`, `/track review`, `/track cancel`, `/track retry`, `/track status`, `/track why`, `/track pause`, `/track resume`, `/track discard`, `/track help`");
    let usage =
        " | `/track dispatch [--agent A] [--model M] [--runner R] [--profile P] [--base B] [--fresh] [instructions]`";
    for (text, expected) in [
        ("/track dispatch --agnet claude", "`dispatch` has no option `--agnet` | --agent"),
        ("/track dispatch --yolo", "`dispatch` has no option `--yolo` | "),
        ("/track dispatch --`@octocat`", "`dispatch` has no option like that | "),
        ("/track dispatch --agent", "`--agent` needs a value | "),
        ("/track dispatch --agent=", "`--agent` needs a value | "),
        ("/track dispatch --agent --fresh", "`--agent` needs a value | "),
        ("/track dispatch --agent \"\"", "`--agent` needs a value | "),
        ("/track dispatch --agent \"claude", "the value of `--agent` begins with \" and never ends | "),
        ("/track dispatch --agent a --agent b", "`--agent` is there twice | "),
        ("/track dispatch --fresh=yes", "`--fresh` takes no value | "),
        ("/track dispatch \u{2014}agent claude", "options begin with two plain dashes | --agent"),
        ("/track dispatch -agent claude", "options begin with two plain dashes | --agent"),
        (
            "/track dispatch --agent $(id)",
            "that is no value for `--agent`: a name is up to 64 letters, digits, `.`, `_` and `-`, a letter or digit first | ",
        ),
        (
            "/track dispatch --base=a..b",
            "`a..b` is no value for `--base`: git allows no branch that contains `..` or ends with `.` | ",
        ),
    ] {
        assert_eq!(told(text), format!("{expected}{usage}"), "{text}");
    }
    insta::assert_snapshot!(told("/track cancel --force"), @"`cancel` has no option `--force` |  | `/track cancel`");
}

/// Lines from which inert text is made; none can end the block that it is put into.
fn lines() -> impl Strategy<Value = Vec<String>> {
    let line = prop_oneof![
        Just("/track cancel".to_owned()),
        Just("/track dispatch --agent x".to_owned()),
        "[ a-zA-Z0-9/*_\\[\\]()#.!-]{0,20}",
        Just(String::new()),
    ];
    prop::collection::vec(line.prop_filter("ends a comment", |line| !line.contains("--")), 1..8)
}

// T18
proptest! {
    #[test]
    fn no_text_panics(text in "\\PC{0,200}") {
        parse(&text);
    }

    #[test]
    fn no_heap_of_marks_panics(pieces in prop::collection::vec(prop::sample::select(vec![
        "/track ", "dispatch", "cancel", " --agent", "=", "\"", "'", "x", " ", "\t", "\n", "\r\n", "\r", "> ", "- ", "    ", "```\n", "`", "*",
        "~~", "[", "](", ")", "<!--", "-->", "<details>", "</details>", "<", ">", "|", "---\n", "\\", "&#47;", "\0", "é", "\u{200b}", "🚀",
    ]), 0..60)) {
        let text = pieces.concat();
        for command in parse(&text).into_iter().flatten() {
            if let Command::Dispatch(dispatch) = command {
                prop_assert!(text.contains(&dispatch.instructions));
                prop_assert!(dispatch.agent.is_none_or(|agent| check_name(&agent).is_ok()));
            }
        }
    }

    #[test]
    fn quoted_fenced_indented_and_hidden_text_is_inert(lines in lines()) {
        let quoted: String = lines.iter().map(|line| format!("> {line}\n")).collect();
        prop_assert_eq!(parse(&quoted), []);
        let fenced = format!("~~~\n{}\n~~~\n", lines.join("\n"));
        prop_assert_eq!(parse(&fenced), []);
        let indented: String = lines.iter().map(|line| format!("    {line}\n")).collect();
        prop_assert_eq!(parse(&indented), []);
        let hidden = format!("<!--\n{}\n-->\n", lines.join("\n"));
        prop_assert_eq!(parse(&hidden), []);
        let folded = format!("<details>\n\n{}\n\n</details>\n", lines.join("\n"));
        prop_assert_eq!(parse(&folded), []);
        // And none of them reaches beyond its end.
        for inert in [quoted, fenced, indented, hidden, folded] {
            prop_assert_eq!(parse(&format!("{inert}\n/track why\n")), [Ok(Command::Why)]);
        }
    }
}

// T07: the worst that was found for each construct, at the largest size; none may take more than linear time.
#[test]
fn heaps_of_marks_are_read_in_no_time() {
    let pieces = [
        "[",
        "![",
        "[a](",
        "<",
        "<!--",
        "<a>",
        "<a></q>",
        "</q>",
        "<a></a>",
        "<details>\n\n",
        "`",
        "*a_ ",
        "**a*",
        "~~a ",
        "> ",
        "- ",
        "|a|\n",
        "[^a]: x\n",
        "[a]: b\n",
        "/track \n",
        "/track dispatch --agent \"",
    ];
    for piece in pieces {
        let began = std::time::Instant::now();
        parse(&piece.repeat(MAX_TEXT / piece.len()));
        assert!(began.elapsed().as_secs() < 5, "{piece:?} took {:?}", began.elapsed());
    }
}
