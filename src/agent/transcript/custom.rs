//! Any other program prints progress and usage as JSON lines, and everything else as it likes.

use serde_json::Value;

use super::{Act, MESSAGE, Text, What, plain};

pub(super) fn acts(line: &str, event: Option<&Value>) -> Vec<Act> {
    match event.and_then(|event| Some((event, event["type"].as_str()?))) {
        Some((event, "progress")) if event["text"].is_string() => {
            let text = event["text"].as_str().unwrap_or_default();
            vec![Act::done(What::Message(Text::begin(text, MESSAGE)))]
        }
        Some((_, "usage")) => Vec::new(),
        _ => vec![plain(line)],
    }
}
