//! What a list tells of a delivery without reading it as an event: nothing is done because of it, so nothing has to be there.

use serde::Deserialize;

/// Who did what where, as far as the body says it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Glance {
    /// `labeled`, `created`, …
    pub action: Option<String>,
    /// Login of who caused it.
    pub sender: Option<String>,
    /// The repository's full name at that time.
    pub repository: Option<String>,
    /// The issue or pull request.
    pub number: Option<i64>,
}

#[derive(Deserialize)]
struct Body {
    #[serde(default, deserialize_with = "lenient")]
    action: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    sender: Option<Sender>,
    #[serde(default, deserialize_with = "lenient")]
    repository: Option<Repository>,
    #[serde(default, deserialize_with = "lenient")]
    issue: Option<About>,
    #[serde(default, deserialize_with = "lenient")]
    pull_request: Option<About>,
}

#[derive(Deserialize)]
struct Sender {
    login: String,
}

#[derive(Deserialize)]
struct Repository {
    full_name: String,
}

#[derive(Deserialize)]
struct About {
    number: i64,
}

/// Looks at a body; one that cannot be read tells nothing.
pub fn glance(body: &[u8]) -> Glance {
    let Ok(body) = serde_json::from_slice::<Body>(body) else { return Glance::default() };
    Glance {
        action: body.action,
        sender: body.sender.map(|sender| sender.login),
        repository: body.repository.map(|repository| repository.full_name),
        number: body.issue.or(body.pull_request).map(|about| about.number),
    }
}

/// A value of another shape counts as missing.
fn lenient<'de, D, T>(from: D) -> Result<Option<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: serde::de::DeserializeOwned,
{
    let raw = Box::<serde_json::value::RawValue>::deserialize(from)?;
    Ok(serde_json::from_str(raw.get()).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_told_and_what_is_not_is_missing() {
        let told = |body: &str| {
            let Glance { action, sender, repository, number } = glance(body.as_bytes());
            format!("{action:?} {sender:?} {repository:?} {number:?}")
        };
        let labeled = include_str!("samples/issues.labeled.json");
        insta::assert_snapshot!(
            [
                told(labeled),
                told(r#"{"action":5,"sender":{"id":1},"pull_request":{"number":7},"repository":null}"#),
                told("[]"),
                told("{"),
            ].join("\n"),
            @r#"
        Some("labeled") Some("Codertocat") Some("Codertocat/Hello-World") Some(1)
        None None None Some(7)
        None None None None
        None None None None
        "#);
    }
}
