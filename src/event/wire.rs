//! GitHub's webhook payloads as far as track reads them.
//!
//! The structs are tolerant: unknown fields are skipped, and a section is looked into only when an event needs it. The fields are those
//! of <https://docs.github.com/en/webhooks/webhook-events-and-payloads>.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::Malformed;

/// Arrays and objects may be nested this deep; GitHub's own payloads stay below 10.
const MAX_DEPTH: usize = 64;

/// The top level of a payload, its sections still unread.
#[derive(Deserialize)]
pub(super) struct Body<'a> {
    #[serde(borrow, default)]
    pub action: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub number: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub issue: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub pull_request: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub comment: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub review: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub thread: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub discussion: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub label: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub changes: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub repository: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub sender: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub installation: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub repositories: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub repositories_added: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub repositories_removed: Option<&'a RawValue>,
}

impl<'a> Body<'a> {
    /// Reads the top level, which has to be one JSON object of bounded depth.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        if bytes.iter().find(|b| !b.is_ascii_whitespace()) != Some(&b'{') {
            return Err(Malformed::new("the body", "is no JSON object"));
        }
        if too_deep(bytes) {
            return Err(Malformed::new("the body", format!("is nested deeper than {MAX_DEPTH} levels")));
        }
        serde_json::from_slice(bytes).map_err(|error| Malformed::new("the body", error))
    }

    /// The section of this name, where it is there and not null.
    pub fn get(&self, section: &str) -> Option<&'a RawValue> {
        match section {
            "number" => self.number,
            "issue" => self.issue,
            "pull_request" => self.pull_request,
            "comment" => self.comment,
            "review" => self.review,
            "thread" => self.thread,
            "discussion" => self.discussion,
            "label" => self.label,
            "changes" => self.changes,
            "repository" => self.repository,
            "sender" => self.sender,
            "installation" => self.installation,
            "repositories" => self.repositories,
            "repositories_added" => self.repositories_added,
            "repositories_removed" => self.repositories_removed,
            _ => None,
        }
    }

    /// The action, or the empty word for events that have none.
    pub fn action(&self) -> Result<String, Malformed> {
        let Some(raw) = self.action else { return Ok(String::new()) };
        let action: Text = serde_json::from_str(raw.get()).map_err(|error| Malformed::new("`action`", error))?;
        Ok(action.0)
    }

    /// An object that may be absent.
    pub fn optional<T: DeserializeOwned>(&self, section: &'static str) -> Result<Option<T>, Malformed> {
        let Some(raw) = self.get(section) else { return Ok(None) };
        // serde reads a list as the fields of a struct in order, which GitHub never sends.
        if !raw.get().starts_with('{') {
            return Err(Malformed::new(format!("`{section}`"), "is no object"));
        }
        serde_json::from_str(raw.get()).map(Some).map_err(|error| Malformed::new(format!("`{section}`"), error))
    }

    /// A section that is a list; empty where it is absent.
    pub fn list<T: DeserializeOwned>(&self, section: &'static str) -> Result<Vec<T>, Malformed> {
        let Some(raw) = self.get(section) else { return Ok(Vec::new()) };
        serde_json::from_str(raw.get()).map_err(|error| Malformed::new(format!("`{section}`"), error))
    }

    /// An object that the event is about.
    pub fn section<T: DeserializeOwned>(&self, section: &'static str) -> Result<T, Malformed> {
        self.optional(section)?.ok_or_else(|| Malformed::new(format!("`{section}`"), "is missing"))
    }
}

/// Whether brackets nest too deeply. serde_json bounds only what it reads into values, and skips the rest at any depth.
fn too_deep(bytes: &[u8]) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in bytes {
        match (in_string, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (true, b'"') => in_string = false,
            (true, _) => {}
            (false, b'"') => in_string = true,
            (false, b'[' | b'{') => depth += 1,
            (false, b']' | b'}') => depth = depth.saturating_sub(1),
            (false, _) => {}
        }
        if depth > MAX_DEPTH {
            return true;
        }
    }
    false
}

/// An id or number of GitHub's, which are all positive.
#[derive(Clone, Copy, Deserialize)]
#[serde(try_from = "i64")]
pub(super) struct Id(pub i64);

impl TryFrom<i64> for Id {
    type Error = &'static str;

    fn try_from(id: i64) -> Result<Self, Self::Error> {
        if id > 0 { Ok(Self(id)) } else { Err("an id of GitHub's is a positive number") }
    }
}

/// Text without NUL, which GitHub never sends and which not every database can hold.
#[derive(Clone, Default, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Text(pub String);

impl TryFrom<String> for Text {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        if text.contains('\0') { Err("text contains NUL") } else { Ok(Self(text)) }
    }
}

#[derive(Deserialize)]
pub(super) struct User {
    pub id: Id,
    pub login: Text,
    #[serde(rename = "type", default)]
    pub kind: Option<Text>,
}

#[derive(Deserialize)]
pub(super) struct Repository {
    pub id: Id,
    pub name: Text,
    pub owner: User,
    #[serde(default)]
    pub default_branch: Option<Text>,
    #[serde(default)]
    pub archived: bool,
    #[serde(default)]
    pub private: bool,
}

/// A repository as installation events list it.
#[derive(Deserialize)]
pub(super) struct ListedRepository {
    pub id: Id,
    pub full_name: Text,
}

#[derive(Deserialize)]
pub(super) struct Installation {
    pub id: Id,
    #[serde(default)]
    pub account: Option<User>,
}

/// An issue, or a pull request: what track reads of them has the same names.
#[derive(Deserialize)]
pub(super) struct Issue {
    pub id: Id,
    pub number: Id,
    #[serde(default)]
    pub title: Text,
    #[serde(default)]
    pub body: Option<Text>,
    #[serde(default)]
    pub user: Option<User>,
    #[serde(default)]
    pub state: Option<Text>,
    #[serde(default)]
    pub html_url: Text,
    /// There only on an issue that is a pull request.
    #[serde(default)]
    pub pull_request: Option<serde::de::IgnoredAny>,
    /// There only on a pull request.
    #[serde(default)]
    pub merged: Option<bool>,
    #[serde(default)]
    pub updated_at: Option<Text>,
    /// There only on a pull request.
    #[serde(default)]
    pub head: Option<Head>,
    #[serde(default)]
    pub performed_via_github_app: Option<App>,
}

/// What a pull request brings.
#[derive(Deserialize)]
pub(super) struct Head {
    #[serde(default)]
    pub r#ref: Text,
}

#[derive(Deserialize)]
pub(super) struct App {
    pub id: Id,
}

/// A comment, a review comment or a review.
#[derive(Deserialize)]
pub(super) struct Comment {
    pub id: Id,
    #[serde(default)]
    pub body: Option<Text>,
    #[serde(default)]
    pub user: Option<User>,
    #[serde(default)]
    pub state: Option<Text>,
    #[serde(default)]
    pub html_url: Text,
    #[serde(default)]
    pub performed_via_github_app: Option<App>,
}

#[derive(Deserialize)]
pub(super) struct Label {
    pub name: Text,
}

/// What an `opened` event says about where an issue came from.
#[derive(Deserialize)]
pub(super) struct Changes {
    #[serde(default)]
    pub old_issue: Option<serde::de::IgnoredAny>,
}

/// Just enough to put a delivery into its lane.
#[derive(Deserialize)]
pub(super) struct Lane {
    pub repository: Numbered,
    #[serde(default)]
    pub issue: Option<Numbered>,
    #[serde(default)]
    pub pull_request: Option<Numbered>,
}

#[derive(Deserialize)]
pub(super) struct Numbered {
    pub id: Id,
    #[serde(default)]
    pub number: Option<Id>,
}
