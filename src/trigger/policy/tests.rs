use proptest::prelude::*;

use super::*;

fn read(text: &str) -> Result<Policy, String> {
    parse(text.as_bytes(), &Limits::default()).map_err(|error| error.to_string())
}

fn told(text: &str) -> String {
    read(text).unwrap_err()
}

#[test]
fn a_policy_chooses_and_narrows() {
    let policy = read(
        r#"
# who works here
agent: claude
model: sonnet[1m]
profile: careful
base_branch: develop
main_users: [octocat, octo-dog]
follow_up: off
instructions: |
  Run `just test`.
review_prompt: Look for races.
limits:
  wall_minutes: 60
  cost_usd_per_run: 2.5
  followups_per_day: 0
paths:
  refused: [".github/**", "*.pem"]
  approval: migrations/**
"#,
    )
    .unwrap();
    let expected = Policy {
        agent: Some("claude".into()),
        model: Some("sonnet[1m]".into()),
        profile: Some("careful".into()),
        base_branch: Some("develop".into()),
        main_users: vec!["octocat".into(), "octo-dog".into()],
        follow_up: Some(FollowUp::Off),
        instructions: Some("Run `just test`.\n".into()),
        review_prompt: Some("Look for races.".into()),
        limits: PolicyLimits {
            wall_minutes: Some(60),
            cost_usd_per_run: Some(2.5),
            followups_per_day: Some(0),
            ..PolicyLimits::default()
        },
        paths: Paths { refused: vec![".github/**".into(), "*.pem".into()], approval: vec!["migrations/**".into()] },
    };
    assert_eq!(policy, expected);
    let server = Limits::default();
    let narrowed = Limits { wall: minutes(60), cost_usd_per_run: 2.5, followups_per_day: 0, ..Limits::default() };
    assert_eq!(effective(&server, &policy), narrowed);
    assert_eq!(effective(&server, &Policy::default()), server);
}

#[test]
fn one_main_user_needs_no_list_and_an_empty_file_says_nothing() {
    assert_eq!(read("main_users: octocat").unwrap().main_users, ["octocat"]);
    assert_eq!(read("follow_up: auto").unwrap().follow_up, Some(FollowUp::Auto));
    for empty in ["", "\n", "# nothing\n\n", "main_users:\n", "limits: {}\n", "{}"] {
        assert_eq!(read(empty), Ok(Policy::default()), "{empty:?}");
    }
}

#[test]
fn a_servers_limit_that_was_lowered_later_still_holds() {
    let policy = read("limits: { runs: 16, cost_usd_per_day: 100 }").unwrap();
    let server = Limits { runs: 2, cost_usd_per_day: 5.0, ..Limits::default() };
    assert_eq!(effective(&server, &policy), server);
}

#[test]
fn every_mistake_says_where_and_how_to_put_it_right() {
    insta::assert_snapshot!(told("agent: codex\nagnet: codex\n"), @"`.github/track.yml`, line 2, column 1: there is no key `agnet`. Did you mean `agent`?");
    insta::assert_snapshot!(told("color: red\n"), @"`.github/track.yml`, line 1, column 1: there is no key `color`. There are `agent`, `model`, `profile`, `base_branch`, `main_users`, `follow_up`, `instructions`, `review_prompt`, `limits`, `paths`.");
    insta::assert_snapshot!(told("limits:\n  wall_minuets: 3\n"), @"`.github/track.yml`, line 2, column 3: there is no key `wall_minuets`. Did you mean `wall_minutes`?");
    insta::assert_snapshot!(told("follow_up: sometimes\n"), @"`.github/track.yml`, line 1, column 12: `sometimes` is not possible here. Write one of `auto`, `off`.");
    insta::assert_snapshot!(told("follow_up: false\n"), @"`.github/track.yml`, line 1, column 12: `false` is not possible here. Write one of `auto`, `off`.");
    insta::assert_snapshot!(told("agent: [codex]\n"), @"`.github/track.yml`, line 1, column 8: one text is needed here, in quotes if it is special.");
    insta::assert_snapshot!(told("agent: a\nagent: b\n"), @"`.github/track.yml`, line 2, column 1: the key `agent` is there twice. Keep one.");
    insta::assert_snapshot!(told("main_users: {a: b}\n"), @"`.github/track.yml`, line 1, column 13: there is a map where one text or a list of texts is needed.");
    insta::assert_snapshot!(told("limits:\n  runs: -1\n"), @"`.github/track.yml`, line 2, column 9: a whole number is needed here.");
    insta::assert_snapshot!(told("agent: codex\n  model: x\n"), @"`.github/track.yml`, line 1, column 8: the value cannot be `codex model`: a name is up to 64 letters, digits, `.`, `_` and `-`, a letter or digit first.");
    insta::assert_snapshot!(told("agent: \"codex\n"), @"`.github/track.yml`, line 2, column 1: this is no YAML: invalid indentation in multiline quoted scalar.");
    insta::assert_snapshot!(told("- agent\n"), @"`.github/track.yml`, line 1, column 1: keys with values are needed here, as in `agent: codex`.");
    insta::assert_snapshot!(told("codex\n"), @"`.github/track.yml`, line 1, column 1: keys with values are needed here, as in `agent: codex`.");
    insta::assert_snapshot!(told("limits:\n  wall_minutes: 500\n"), @"`.github/track.yml`, line 2, column 3: `limits.wall_minutes` is 500, more than the server's 120. A repository can only lower it; the operator can raise the server's.");
    insta::assert_snapshot!(told("limits:\n  cost_usd_per_run: 20.01\n"), @"`.github/track.yml`, line 2, column 3: `limits.cost_usd_per_run` is 20.01, more than the server's 20. A repository can only lower it; the operator can raise the server's.");
    insta::assert_snapshot!(told("limits:\n  runs: 0\n"), @"`.github/track.yml`, line 2, column 3: `limits.runs` is 0. It has to be more than 0; leave it out for the server's 16.");
    insta::assert_snapshot!(told("limits:\n  cost_usd_per_day: .nan\n"), @"`.github/track.yml`, line 2, column 3: `limits.cost_usd_per_day` is NaN. It has to be more than 0; leave it out for the server's 100.");
    insta::assert_snapshot!(told("agent: \"`@octocat` <b>\"\n"), @"`.github/track.yml`, line 1, column 8: the value cannot be `octocat b`: a name is up to 64 letters, digits, `.`, `_` and `-`, a letter or digit first.");
    insta::assert_snapshot!(told("base_branch: \"a..b\"\n"), @"`.github/track.yml`, line 1, column 14: the value cannot be `a..b`: git allows no branch that contains `..` or ends with `.`.");
    insta::assert_snapshot!(told("main_users: \"@octocat\"\n"), @"`.github/track.yml`, line 1, column 13: the value cannot be `octocat`: it is no login of a person on GitHub; write it as in a profile's address, without an at sign.");
    insta::assert_snapshot!(told("paths: {refused: ../x}\n"), @"`.github/track.yml`, line 1, column 18: the value cannot be `../x`: it is no pattern for paths below the repository's root.");
    insta::assert_snapshot!(told("agent: &a codex\nmodel: *a\n"), @"`.github/track.yml`, line 1, column 11: it is nested too deeply, too long, has several documents or uses anchors. Write it plainly.");
}

#[test]
fn a_policy_has_bounds() {
    insta::assert_snapshot!(told(&format!("# {}\n", "x".repeat(MAX_BYTES))), @"`.github/track.yml`: it has 65539 bytes; at most 65536 are read. Shorten it.");
    insta::assert_snapshot!(parse(b"agent: \xff", &Limits::default()).unwrap_err(), @"`.github/track.yml`: it is not UTF-8. Save it as UTF-8.");
    insta::assert_snapshot!(told(&format!("agent: {}{}", "[".repeat(9), "]".repeat(9))), @"`.github/track.yml`, line 1, column 8: one text is needed here, in quotes if it is special.");
    insta::assert_snapshot!(told(&format!("main_users: [{}]", "a,".repeat(201))), @"`.github/track.yml`, line 1, column 13: a list can have 200 items.");
    insta::assert_snapshot!(told("agent: a\n---\nagent: b\n"), @"`.github/track.yml`, line 2, column 1: it is nested too deeply, too long, has several documents or uses anchors. Write it plainly.");
}

proptest! {
    #[test]
    fn no_text_panics(pieces in prop::collection::vec(prop::sample::select(vec![
        "agent", "limits", "runs", "paths", "refused", "main_users", ": ", "\n", "  ", "- ", "[", "]", "{", "}", ",", "&a ", "*a", "!!binary ", "<<: ",
        "|\n", "\"", "'", "1", "-1", "1e999", ".nan", "~", "---\n", "#", "\t", "\0", "é", "\u{feff}",
    ]), 0..40)) {
        let text = pieces.concat();
        if let Ok(policy) = parse(text.as_bytes(), &Limits::default()) {
            let limits = effective(&Limits::default(), &policy);
            prop_assert!(limits.runs <= Limits::default().runs);
        }
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&bytes, &Limits::default());
    }
}
