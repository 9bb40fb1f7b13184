//! What an address of one of GitHub's pages names.

use crate::model::{Number, RepoName};

/// The repository and number of the pull request or issue whose page on `server` has this address; what stands behind the number does not matter.
///
/// # Errors
/// A sentence that says what the address lacks.
pub fn read_address(text: &str, server: &str) -> Result<(RepoName, Number), String> {
    let text = text.trim();
    let Some(path) = below(text, server) else {
        return Err(format!("{text:?} is no address on {server}, the GitHub of this server (GITHUB_SERVER_URL)"));
    };
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let parts: Vec<&str> = path.split('/').collect();
    let named = match parts[..] {
        [owner, name, "pull" | "issues", number, ..] => format!("{owner}/{name}").parse().ok().zip(positive(number)),
        _ => None,
    };
    named.ok_or_else(|| {
        format!("{text:?} is the address of no pull request: such an address is like {server}/octo/hello/pull/7")
    })
}

/// What stands behind the server in an address; browsers do not show the scheme, so it may be missing.
fn below<'a>(text: &'a str, server: &str) -> Option<&'a str> {
    let server = without_scheme(server).trim_end_matches('/');
    let (host, rest) = without_scheme(text).split_at_checked(server.len())?;
    rest.strip_prefix('/').filter(|_| host.eq_ignore_ascii_case(server))
}

fn without_scheme(address: &str) -> &str {
    address.strip_prefix("https://").or_else(|| address.strip_prefix("http://")).unwrap_or(address)
}

fn positive(digits: &str) -> Option<Number> {
    let plain = digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse().ok().filter(|number| plain && *number > 0).map(Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    // B30
    #[test]
    fn an_address_names_a_pull_request_of_this_server() {
        for (server, text, named) in [
            ("https://github.com", "https://github.com/octo/hello/pull/7", Some("octo/hello#7")),
            ("https://github.com", " https://GitHub.com/Octo/Hello.rs/pull/7/files#diff-1 ", Some("Octo/Hello.rs#7")),
            ("https://github.com", "github.com/octo/hello/pull/7?w=1", Some("octo/hello#7")),
            ("https://github.com/", "https://github.com/octo/hello/issues/7", Some("octo/hello#7")),
            ("http://127.0.0.1:3001", "http://127.0.0.1:3001/octo/hello/pull/7", Some("octo/hello#7")),
            ("http://127.0.0.1:3001", "http://127.0.0.1:3002/octo/hello/pull/7", None),
            ("https://github.com", "https://github.com.evil.example/octo/hello/pull/7", None),
            ("https://github.com", "https://github.com@evil.example/octo/hello/pull/7", None),
            ("https://github.com", "https://evil.example/github.com/octo/hello/pull/7", None),
            ("https://ghe.example", "https://github.com/octo/hello/pull/7", None),
            ("https://github.com", "https://github.com/octo/hello/pull/0", None),
            ("https://github.com", "https://github.com/octo/hello/pull/+7", None),
            ("https://github.com", "https://github.com/octo/../pull/7", None),
            ("https://github.com", "https://github.com/octo/hello", None),
            ("https://github.com", "https://github.com/octo/hello/commit/7", None),
            ("https://github.com", "octo/hello#7", None),
            ("https://github.com", "", None),
        ] {
            let read = read_address(text, server).ok().map(|(name, number)| format!("{name}#{number}"));
            assert_eq!(read.as_deref(), named, "{text} on {server}");
        }
        let told = ["https://github.test/octo/hello", "https://evil.example/octo/hello/pull/7"]
            .map(|text| read_address(text, "https://github.test").unwrap_err());
        insta::assert_snapshot!(told.join("\n"), @r#"
        "https://github.test/octo/hello" is the address of no pull request: such an address is like https://github.test/octo/hello/pull/7
        "https://evil.example/octo/hello/pull/7" is no address on https://github.test, the GitHub of this server (GITHUB_SERVER_URL)
        "#);
    }
}
