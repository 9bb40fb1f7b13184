//! What looks like a secret does not leave for GitHub, in whatever text it stands (T29): agents print their environment, and people read comments.
//!
//! It is looked for in the JSON of a request, the one place that every comment, review, title and description passes. Secrets that
//! somebody cut to pieces or encoded are not found here; that they are few is the runner's business, which holds none of GitHub's.

use std::borrow::Cow;

/// Stands for a secret. No longer than the shortest, so that a text which fits goes on fitting.
const WITHHELD: &str = "[secret withheld]";
const PEM_BEGINS: &str = "-----BEGIN ";
const PEM_OF_KEY: &str = "PRIVATE KEY-----";
/// The longest name of a kind of key: `ENCRYPTED `, with room.
const PEM_KIND: usize = 24;

/// A kind of token: how it begins, and how many of its characters follow at least.
struct Form {
    prefix: &'static str,
    least: usize,
    belongs: fn(u8) -> bool,
}

const FORMS: &[Form] = &[
    // <https://docs.github.com/en/authentication/keeping-your-account-and-data-secure/about-authentication-to-github#githubs-token-formats>
    Form { prefix: "ghp_", least: 36, belongs: of_github },
    Form { prefix: "gho_", least: 36, belongs: of_github },
    Form { prefix: "ghu_", least: 36, belongs: of_github },
    Form { prefix: "ghs_", least: 36, belongs: of_github },
    Form { prefix: "ghr_", least: 36, belongs: of_github },
    Form { prefix: "github_pat_", least: 36, belongs: of_word },
    // Model providers: `sk-ant-…`, `sk-proj-…`, `sk-…`.
    Form { prefix: "sk-", least: 32, belongs: of_word },
    // <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-unique-ids>
    Form { prefix: "AKIA", least: 16, belongs: of_capitals },
    Form { prefix: "ASIA", least: 16, belongs: of_capitals },
    Form { prefix: "AIza", least: 35, belongs: of_word },
    Form { prefix: "glpat-", least: 20, belongs: of_word },
    Form { prefix: "npm_", least: 36, belongs: of_word },
    Form { prefix: "xoxb-", least: 20, belongs: of_word },
    Form { prefix: "xoxp-", least: 20, belongs: of_word },
];

fn of_github(byte: u8) -> bool {
    of_word(byte) || byte == b'.'
}

fn of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

fn of_capitals(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit()
}

/// The JSON text without what looks like a secret, which stays valid JSON.
pub fn withhold(json: &str) -> Cow<'_, str> {
    let mut kept = String::new();
    let mut copied = 0;
    let mut at = 0;
    while at < json.len() {
        match secret_at(json, at) {
            Some(end) => {
                kept.push_str(&json[copied..at]);
                kept.push_str(WITHHELD);
                (at, copied) = (end, end);
            }
            None => at += 1,
        }
    }
    if copied == 0 {
        return Cow::Borrowed(json);
    }
    kept.push_str(&json[copied..]);
    Cow::Owned(kept)
}

/// Where the secret ends that begins there.
fn secret_at(json: &str, at: usize) -> Option<usize> {
    let rest = json.as_bytes().get(at..)?;
    match rest.first()? {
        b'-' => key_at(json, at),
        b'g' | b's' | b'A' | b'n' | b'x' if begins_a_word(json.as_bytes(), at) => {
            let form = FORMS.iter().find(|form| rest.starts_with(form.prefix.as_bytes()))?;
            let tail = rest[form.prefix.len()..].iter().take_while(|byte| (form.belongs)(**byte));
            let long = tail.clone().count() >= form.least;
            // Words with hyphens between have no digits.
            (long && tail.clone().any(u8::is_ascii_digit)).then(|| at + form.prefix.len() + tail.count())
        }
        _ => None,
    }
}

/// A letter or digit before it makes it a part of a longer word, but for the letter of an escape such as `\n`.
fn begins_a_word(json: &[u8], at: usize) -> bool {
    let before = |back: usize| at.checked_sub(back).map(|at| json[at]);
    match before(1) {
        Some(byte) if byte.is_ascii_alphanumeric() => before(2) == Some(b'\\'),
        _ => true,
    }
}

/// A private key in PEM (RFC 7468), to its last line or to the end of the JSON string that holds it.
fn key_at(json: &str, at: usize) -> Option<usize> {
    let kind = json[at..].strip_prefix(PEM_BEGINS)?;
    let begin = kind.find(PEM_OF_KEY).filter(|length| *length <= PEM_KIND)?;
    let body = &kind[begin + PEM_OF_KEY.len()..];
    let string = &body[..end_of_string(body)];
    let end = string.find("-----END ").and_then(|end| Some(end + string[end..].find(PEM_OF_KEY)? + PEM_OF_KEY.len()));
    let length = end.unwrap_or(string.len());
    Some(json.len() - body.len() + length)
}

/// Where the string ends in which this text stands.
fn end_of_string(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn sent(text: &str) -> String {
        let json = json!({ "body": text, "after": 1 }).to_string();
        let value: Value = serde_json::from_str(&withhold(&json)).unwrap();
        assert_eq!(value["after"], 1);
        value["body"].as_str().unwrap().to_owned()
    }

    #[test]
    fn what_looks_like_a_secret_is_withheld() {
        let tail = "0123456789abcdefghijABCDEFGHIJ012345";
        let key = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nIBAA\n-----END RSA PRIVATE KEY-----";
        for (text, shown) in [
            (format!("token ghp_{tail}."), "token [secret withheld]"),
            (format!("ghs_{tail}\nnext"), "[secret withheld]\nnext"),
            (format!("line\nghs_{tail}"), "line\n[secret withheld]"),
            (format!("github_pat_{tail}, gho_{tail}"), "[secret withheld], [secret withheld]"),
            (format!("KEY=\"sk-ant-api03-{tail}\""), "KEY=\"[secret withheld]\""),
            ("AKIAIOSFODNN7EXAMPLE is one".to_owned(), "[secret withheld] is one"),
            (format!("before\n{key}\nafter"), "before\n[secret withheld]\nafter"),
            ("-----BEGIN PRIVATE KEY-----\nMIIE \"cut".to_owned(), "[secret withheld]"),
            (format!("twice {key}{key}"), "twice [secret withheld][secret withheld]"),
        ] {
            assert_eq!(sent(&text), shown, "{text}");
        }
    }

    #[test]
    fn other_words_stay() {
        for text in [
            "task-0123456789abcdefghijABCDEFGHIJ0123456789",
            "sk-a-class-name-of-some-style-sheet-with-hyphens",
            "ghp_short",
            "nghp_0123456789abcdefghijABCDEFGHIJ0123456789",
            "-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----",
            "-----BEGIN PUBLIC KEY-----",
            "6ab15b3c0ffee00000000000000000000000beef",
            "a list:\n- one\n- two",
            "AKIA",
        ] {
            assert_eq!(sent(text), text);
        }
    }

    proptest! {
        #[test]
        fn json_stays_json(text in r#"(-----BEGIN PRIVATE KEY-----|-----END PRIVATE KEY-----|ghs_[a-z0-9]{30,40}|["\\\nné-]|.){0,12}"#) {
            sent(&text);
        }
    }
}
