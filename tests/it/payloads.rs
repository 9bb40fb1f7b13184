//! Every example payload that GitHub's own library ships is read without an error, and as what it is.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::value::RawValue;
use track::event::{self, Event, Place};

const VERSION: &str = "7.6.1";

#[derive(Deserialize)]
struct Examples {
    name: String,
    examples: Vec<Box<RawValue>>,
}

fn corpus() -> Vec<Examples> {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".cache")))
        .expect("HOME or XDG_CACHE_HOME is set");
    let path = cache.join("track-tests/webhooks-examples").join(VERSION).join("index.json");
    let text = std::fs::read(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; run scripts/fetch-webhook-examples.sh", path.display()));
    serde_json::from_slice(&text).expect("the corpus is a list of examples")
}

fn kind(event: &Event) -> &'static str {
    match event {
        Event::Labeled(_) => "labeled",
        Event::Unlabeled(_) => "unlabeled",
        Event::Said(said) => match said.place {
            Place::Comment { .. } => "said in a comment",
            Place::IssueText { .. } => "said by opening an issue",
            Place::PullText { .. } => "said by opening a pull request",
            Place::Review { .. } => "said in a review",
            Place::ReviewComment { .. } => "said in a review comment",
        },
        Event::Life(_) => "life",
        Event::Installation(_) => "installation",
        Event::Repository(_) => "repository",
        Event::Ignored { .. } => "ignored",
    }
}

#[test]
fn every_example_is_read_as_what_it_is() {
    let mut counts = BTreeMap::<_, usize>::new();
    for Examples { name, examples } in corpus() {
        for example in examples {
            let envelope = event::parse(&name, example.get().as_bytes()).unwrap_or_else(|error| {
                panic!("{name}: {error}\n{example}");
            });
            *counts.entry(kind(&envelope.event)).or_default() += 1;
        }
    }
    let expected = BTreeMap::from([
        ("labeled", 4),
        ("unlabeled", 4),
        ("said in a comment", 5),
        ("said by opening an issue", 3),
        ("said by opening a pull request", 4),
        ("said in a review", 3),
        ("said in a review comment", 3),
        ("life", 7),
        ("installation", 9),
        ("repository", 3),
        ("ignored", 284),
    ]);
    assert_eq!(counts, expected);
}

// T04
#[test]
fn no_example_is_an_event_under_another_name() {
    const NAMES: &[&str] = &[
        "issues",
        "issue_comment",
        "pull_request",
        "pull_request_review",
        "pull_request_review_comment",
        "installation",
    ];
    for Examples { name, examples } in corpus() {
        for example in examples {
            for other in NAMES.iter().filter(|other| **other != name) {
                if let Ok(envelope) = event::parse(other, example.get().as_bytes()) {
                    assert_eq!(kind(&envelope.event), "ignored", "{name} as {other}: {example}");
                }
            }
        }
    }
}
