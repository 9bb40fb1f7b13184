//! Paths of the API, made of segments that cannot change their meaning, and the pages that GitHub links to.

use std::fmt::Write as _;

use hyper::HeaderMap;

use crate::model::Repository;

/// One path segment or query value, percent-encoded but for RFC 3986's unreserved characters.
pub(super) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte as char);
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// A path of several segments, each encoded by itself; `None` where a segment is empty, `.` or `..`, which a server could resolve to another resource.
pub(super) fn encoded_path(path: &str) -> Option<String> {
    let plain = |segment: &str| !matches!(segment, "" | "." | "..");
    path.split('/').all(plain).then(|| path.split('/').map(encoded).collect::<Vec<_>>().join("/"))
}

/// `/repos/<owner>/<name><rest>`.
pub(super) fn repo_path(repo: &Repository, rest: &str) -> String {
    format!("/repos/{}/{}{rest}", encoded(&repo.name.owner), encoded(&repo.name.name))
}

/// The target of `rel` in a `Link` header (RFC 8288), as written there.
pub(super) fn link<'h>(headers: &'h HeaderMap, rel: &str) -> Option<&'h str> {
    let header = headers.get("link")?.to_str().ok()?;
    header.split(",").find_map(|part| {
        let (target, parameters) = part.trim().strip_prefix('<')?.split_once('>')?;
        let wanted = |parameter: &str| {
            parameter
                .trim()
                .strip_prefix("rel=")
                .is_some_and(|value| value.trim_matches('"').split_whitespace().any(|word| word == rel))
        };
        parameters.split(';').any(wanted).then_some(target)
    })
}

/// The value of a query parameter in an address, as written there.
pub(super) fn query_value<'a>(address: &'a str, name: &str) -> Option<&'a str> {
    let (_, query) = address.split_once('?')?;
    query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_cannot_leave_its_place() {
        // T22, T24
        for (text, path) in [
            ("track", "track"),
            ("track:claude", "track%3Aclaude"),
            ("a/b?c#d", "a%2Fb%3Fc%23d"),
            ("x[bot]", "x%5Bbot%5D"),
            ("ä $(id)", "%C3%A4%20%24%28id%29"),
        ] {
            assert_eq!(encoded(text), path);
        }
        assert_eq!(encoded_path(".github/track.yml").as_deref(), Some(".github/track.yml"));
        for bad in ["a/../b", "..", "a//b", "/a", "a/", "./a", ""] {
            assert_eq!(encoded_path(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_linked_page_is_found_by_its_relation() {
        let mut headers = HeaderMap::new();
        let text = r#"<https://h/api/v3/x?page=1>; rel="prev", <https://h/api/v3/x?page=3&cursor=v1_9>; rel="next", <https://h/api/v3/x?page=9>; rel="last""#;
        headers.insert("link", text.parse().unwrap());
        assert_eq!(link(&headers, "next"), Some("https://h/api/v3/x?page=3&cursor=v1_9"));
        assert_eq!(link(&headers, "last"), Some("https://h/api/v3/x?page=9"));
        assert_eq!(link(&headers, "first"), None);
        assert_eq!(query_value("https://h/x?page=3&cursor=v1_9", "cursor"), Some("v1_9"));
    }
}
