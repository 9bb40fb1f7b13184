//! The agent's answer: one JSON schema per sort of work, and the same as types that refuse everything else (B12).
//!
//! The schemas stay within what OpenAI's strict mode accepts (every property required, nullable where empty, no others;
//! <https://platform.openai.com/docs/guides/structured-outputs>). Agents do not all enforce them, so the types do.

use serde::{Deserialize, Deserializer, Serialize};

use super::clean::one_line;
use crate::model::Kind;

/// Bytes of the longest answer that is read; GitHub takes 65,536 characters of a comment, so this is plenty.
pub const MAX_ANSWER: usize = 1 << 20;

/// What an agent says about its work, checked against the schema of its kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Answer {
    /// Of a task or follow-up.
    Work(WorkAnswer),
    /// Of a review.
    Review(ReviewAnswer),
}

/// The answer to a task or follow-up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkAnswer {
    /// How it went, in the agent's own judgement.
    pub status: AnswerStatus,
    /// Markdown for the people on the issue.
    pub summary: String,
    /// Title of the pull request, if there is something to publish.
    #[serde(deserialize_with = "filled")]
    pub pull_request_title: Option<String>,
    /// Its description.
    #[serde(deserialize_with = "filled")]
    pub pull_request_body: Option<String>,
    /// What the next person should know.
    #[serde(deserialize_with = "filled")]
    pub notes: Option<String>,
    /// One per review comment that the prompt listed.
    pub replies: Vec<Reply>,
}

/// The answer to a review.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReviewAnswer {
    /// How it went; a review without findings has succeeded.
    pub status: AnswerStatus,
    /// The conclusion in a sentence or two.
    pub summary: String,
    /// The review's own text.
    pub body: String,
    /// Concrete problems, the most severe first.
    pub findings: Vec<Finding>,
    /// What the requester should know besides.
    #[serde(deserialize_with = "filled")]
    pub notes: Option<String>,
}

/// The agent's judgement of its own work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerStatus {
    /// Done.
    Succeeded,
    /// Tried, does not work.
    Failed,
    /// Cannot go on without a decision or something that is missing.
    Blocked,
}

/// The answer to one review comment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reply {
    /// GitHub's id of the comment. It may be one that the prompt never listed: check before use.
    pub comment_id: i64,
    /// What became of it.
    pub disposition: Disposition,
    /// The reply for its thread.
    pub body: String,
}

/// What became of a review comment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Disposition {
    /// Changed as asked.
    Fixed,
    /// A question, answered without a change.
    Answered,
    /// Not done, with the reason.
    Declined,
    /// Its author has to decide.
    NeedsYou,
}

/// One problem that a review found. Path and lines are the agent's claim: they may lie outside the diff.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// The file, relative to the repository's root.
    pub path: String,
    /// The (last) line; `None` for the whole file.
    #[serde(deserialize_with = "nullable")]
    pub line: Option<u32>,
    /// The first line of a range.
    #[serde(deserialize_with = "nullable")]
    pub start_line: Option<u32>,
    /// Old or new version.
    pub side: Side,
    /// How bad it is.
    pub severity: Severity,
    /// The problem in one line.
    pub title: String,
    /// What goes wrong and how to put it right.
    pub body: String,
    /// Text that replaces the lines; empty deletes them.
    #[serde(deserialize_with = "nullable")]
    pub suggestion: Option<String>,
}

/// Which version of a file a line belongs to, in GitHub's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Side {
    /// The old one.
    Left,
    /// The new one.
    Right,
}

/// How bad a finding is, worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Wrong results, lost data, a security hole.
    High,
    /// Breaks in some cases.
    Medium,
    /// Worth knowing.
    Low,
}

impl Answer {
    /// An answer as it was stored after it had been checked.
    pub fn stored(kind: Kind, value: serde_json::Value) -> Option<Self> {
        match kind {
            Kind::Task | Kind::FollowUp => serde_json::from_value(value).map(Answer::Work).ok(),
            Kind::Review => serde_json::from_value(value).map(Answer::Review).ok(),
        }
    }

    /// How it went, in the agent's own judgement.
    pub fn status(&self) -> AnswerStatus {
        match self {
            Answer::Work(answer) => answer.status,
            Answer::Review(answer) => answer.status,
        }
    }

    /// What the agent says in short.
    pub fn summary(&self) -> &str {
        match self {
            Answer::Work(answer) => &answer.summary,
            Answer::Review(answer) => &answer.summary,
        }
    }
}

/// The JSON schema of answers to `kind`, as text.
pub fn schema(kind: Kind) -> &'static str {
    match kind {
        Kind::Task | Kind::FollowUp => include_str!("schema/work.json"),
        Kind::Review => include_str!("schema/review.json"),
    }
}

/// Reads an answer to `kind`. The error says what is wrong and where, for the person who reads the report.
pub fn parse(kind: Kind, bytes: &[u8]) -> Result<Answer, String> {
    if bytes.len() > MAX_ANSWER {
        return Err(format!("it is {} bytes long, at most {MAX_ANSWER} are read", bytes.len()));
    }
    match bytes.trim_ascii_start().first() {
        Some(b'{') => {}
        None => return Err("it is empty".to_owned()),
        Some(_) => {
            let begin = String::from_utf8_lossy(&bytes[..bytes.len().min(400)]);
            return Err(format!("it is no JSON object, it begins with \"{}\"", one_line(&begin, 80)));
        }
    }
    let read = match kind {
        Kind::Task | Kind::FollowUp => serde_json::from_slice(bytes).map(Answer::Work),
        Kind::Review => serde_json::from_slice(bytes).map(Answer::Review),
    };
    read.map_err(|error| error.to_string())
}

/// A property that must be there and may be null: serde's own `Option` would let it be left out.
fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    Option::deserialize(from)
}

/// The same for text that people read, where blank means nothing too.
fn filled<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Ok(nullable::<D, String>(from)?.filter(|text| !text.trim().is_empty()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// An instance of a schema in which everything is filled, arrays with one item.
    fn sample(schema: &Value) -> Value {
        if let Some(words) = schema["enum"].as_array() {
            return words[0].clone();
        }
        match types(schema)[0].as_str() {
            "object" => properties(schema).map(|(name, of)| (name.clone(), sample(of))).collect::<Value>(),
            "array" => json!([sample(&schema["items"])]),
            "string" => json!("text"),
            "integer" => json!(7),
            other => panic!("the test does not know type {other}"),
        }
    }

    fn types(schema: &Value) -> Vec<String> {
        match &schema["type"] {
            Value::String(one) => vec![one.clone()],
            Value::Array(many) => many.iter().map(|t| t.as_str().unwrap().to_owned()).collect(),
            other => panic!("type {other}"),
        }
    }

    fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
        schema["properties"].as_object().unwrap().iter()
    }

    /// Pointers to every object of a sample, with its schema.
    fn objects<'a>(schema: &'a Value, at: String, found: &mut Vec<(String, &'a Value)>) {
        match types(schema)[0].as_str() {
            "object" => {
                found.push((at.clone(), schema));
                for (name, of) in properties(schema) {
                    objects(of, format!("{at}/{name}"), found);
                }
            }
            "array" => objects(&schema["items"], format!("{at}/0"), found),
            _ => {}
        }
    }

    fn read(kind: Kind, value: &Value) -> Result<Answer, String> {
        parse(kind, value.to_string().as_bytes())
    }

    fn written(answer: &Answer) -> Value {
        match answer {
            Answer::Work(answer) => serde_json::to_value(answer).unwrap(),
            Answer::Review(answer) => serde_json::to_value(answer).unwrap(),
        }
    }

    #[test]
    fn schema_and_types_say_the_same() {
        // B12
        for &kind in Kind::ALL {
            let schema: Value = serde_json::from_str(schema(kind)).unwrap();
            let whole = sample(&schema);
            let answer = read(kind, &whole).unwrap();
            assert_eq!(written(&answer), whole, "{kind}: what is written has the schema's properties and no others");

            let mut found = Vec::new();
            objects(&schema, String::new(), &mut found);
            for (at, of) in found {
                assert_eq!(of["additionalProperties"], json!(false), "{kind} {at}");
                let mut names: Vec<&String> = properties(of).map(|(name, _)| name).collect();
                names.sort_unstable();
                let mut required: Vec<&str> =
                    of["required"].as_array().unwrap().iter().map(|r| r.as_str().unwrap()).collect();
                required.sort_unstable();
                assert_eq!(names, required, "{kind} {at}: every property is required");

                let with = |change: &dyn Fn(&mut serde_json::Map<String, Value>)| {
                    let mut changed = whole.clone();
                    change(changed.pointer_mut(&at).unwrap().as_object_mut().unwrap());
                    read(kind, &changed)
                };
                let error = with(&|object| drop(object.insert("surplus".into(), json!(1)))).unwrap_err();
                assert!(error.contains("unknown field `surplus`"), "{kind} {at}: {error}");
                for (name, property) in properties(of) {
                    let error = with(&|object| drop(object.remove(name))).unwrap_err();
                    assert!(error.contains(&format!("missing field `{name}`")), "{kind} {at}/{name}: {error}");
                    let nullable = types(property).contains(&"null".to_owned());
                    let null = with(&|object| drop(object.insert(name.clone(), Value::Null)));
                    assert_eq!(null.is_ok(), nullable, "{kind} {at}/{name}: null");
                    assert!(with(&|object| drop(object.insert(name.clone(), json!({"a": 1})))).is_err());
                    if let Some(words) = property["enum"].as_array() {
                        for word in words {
                            assert!(with(&|object| drop(object.insert(name.clone(), word.clone()))).is_ok(), "{word}");
                        }
                        assert!(with(&|object| drop(object.insert(name.clone(), json!("other")))).is_err(), "{name}");
                    }
                }
            }
        }
    }

    #[test]
    fn errors_say_what_is_wrong_and_where() {
        let cases: [(&[u8], &str); 5] = [
            (b" ", "it is empty"),
            (b"Done!", "it is no JSON object, it begins with \"Done!\""),
            (b"{\"status\": \"done\"}", "unknown variant `done`, expected one of `succeeded`, `failed`, `blocked`"),
            (b"{\"status\": \"failed\"}", "missing field `summary` at line 1 column 20"),
            (b"\xff\xfe", "it is no JSON object"),
        ];
        for (bytes, says) in cases {
            let error = parse(Kind::Task, bytes).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
        assert!(parse(Kind::Task, &vec![b' '; MAX_ANSWER + 1]).unwrap_err().contains("at most 1048576 are read"));
    }

    #[test]
    fn blank_text_is_no_text() {
        let answer = parse(
            Kind::Task,
            br#"{"status":"succeeded","summary":"s","pull_request_title":" ","pull_request_body":"","notes":null,"replies":[]}"#,
        );
        let Ok(Answer::Work(answer)) = answer else { panic!("{answer:?}") };
        assert_eq!((answer.pull_request_title, answer.pull_request_body, answer.notes), (None, None, None));
    }
}
