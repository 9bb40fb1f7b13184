//! What a failed call means, so that the caller can decide between giving up, waiting and looking whether it was carried out after all.

use hyper::{HeaderMap, StatusCode};
use serde::Deserialize;

use crate::model::{Clock, Millis};

/// Upper bounds of the wait before attempt 1, 2, …; the last one holds from there on. A wait is drawn from the whole range (full jitter),
/// and no bound exceeds a minute because state must converge within a minute after GitHub comes back (P6).
const BACKOFF: &[Millis] = &[1_000, 2_000, 4_000, 8_000, 15_000, 30_000, 60_000];

/// How long to wait where GitHub says "secondary rate limit" without saying how long: at least a minute
/// (<https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api>).
const UNSTATED_LIMIT: Millis = 60_000;

/// The least wait while GitHub does not accept the App at all; it bans who insists
/// (<https://docs.github.com/en/rest/authentication/authenticating-to-the-rest-api#failed-login-limit>).
const UNAUTHORIZED: Millis = 30_000;

/// A reply that cannot be read may come from a proxy in between, so it is asked for again, but not for ever.
const UNREADABLE_ATTEMPTS: u32 = 3;

/// An App that is suspended or being installed anew may be back soon; one that was taken away is not, so it is not asked for for ever.
const INSTALLATION_ATTEMPTS: u32 = 12;

/// The longest wait that a header can ask for; a larger value is a mistake or malice.
const LONGEST_WAIT_SECONDS: i64 = 7 * 24 * 3600;

/// Longest part of GitHub's message that is kept.
const MESSAGE_BYTES: usize = 2_000;

/// Why a call failed. Messages name the call by method and path and never hold a credential.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// 404 or 410: it does not exist, or the App may not see it.
    #[error("{call}: not found ({message})")]
    NotFound {
        /// Method and path.
        call: String,
        /// GitHub's words.
        message: String,
    },
    /// Another 4xx: GitHub understood and says no. Repeating the same call gives the same answer.
    #[error("{call}: GitHub refuses with {status}: {message}")]
    Refused {
        /// Method and path.
        call: String,
        /// The HTTP status.
        status: u16,
        /// GitHub's message followed by those of its single errors.
        message: String,
    },
    /// 401, also with a new token: the App's key, its id or the clock is wrong.
    #[error(
        "{call}: GitHub does not accept the App's credentials ({message}); check GITHUB_APP_ID, the private key and this machine's clock"
    )]
    Unauthorized {
        /// Method and path.
        call: String,
        /// GitHub's words.
        message: String,
    },
    /// The installation gives no token: the App was taken away or suspended, or may not reach the repository. Nothing was asked and nothing
    /// answered about the repository or what is in it.
    #[error(
        "{call}: the App's installation gives no token ({message}); see that the App is installed there and not suspended"
    )]
    NoInstallation {
        /// Method and path of what would have made the token.
        call: String,
        /// GitHub's words.
        message: String,
    },
    /// A primary or secondary rate limit. Until then the client sends nothing more for this installation.
    #[error("{call}: rate limited ({message})")]
    RateLimited {
        /// Method and path.
        call: String,
        /// The first moment at which a call is allowed again.
        until: Millis,
        /// GitHub's words.
        message: String,
    },
    /// 5xx, a timeout, or no connection.
    #[error("{call}: GitHub is not available: {message}")]
    Unavailable {
        /// Method and path.
        call: String,
        /// What happened.
        message: String,
        /// Whether it was a write that may have been carried out: look before repeating it.
        ambiguous: bool,
        /// Whether an answer came, by its status no good one.
        answered: bool,
        /// The earliest moment at which GitHub wants to be asked again, where it says so.
        not_before: Option<Millis>,
    },
    /// A success whose content is not what GitHub documents, or is too large.
    #[error("{call}: the reply cannot be used: {message}")]
    Unreadable {
        /// Method and path.
        call: String,
        /// What is wrong with it.
        message: String,
        /// Whether it was a write, which then has been carried out.
        ambiguous: bool,
    },
}

impl ApiError {
    /// When the call may be made again, given the number of attempts already made (1 after the first); `None`: repeating cannot help.
    ///
    /// Never earlier than `Retry-After` or `x-ratelimit-reset` say (F10).
    pub fn retry_at(&self, attempts: u32, now: Millis) -> Option<Millis> {
        let backoff = now + jitter(attempts);
        match self {
            Self::NotFound { .. } | Self::Refused { .. } => None,
            Self::NoInstallation { .. } => (attempts < INSTALLATION_ATTEMPTS).then_some(backoff),
            // Says nothing about the call: it is made once the operator has put key or clock right.
            Self::Unauthorized { .. } => Some(now + UNAUTHORIZED + jitter(attempts)),
            // A second limit in a row means that others wait for the same moment too.
            Self::RateLimited { until, .. } => Some(until.max(&now) + jitter(attempts)),
            Self::Unavailable { not_before, .. } => Some(backoff.max(not_before.unwrap_or(backoff))),
            Self::Unreadable { .. } => (attempts < UNREADABLE_ATTEMPTS).then_some(backoff),
        }
    }

    /// Whether this was a write that may have been, or was, carried out.
    pub fn is_ambiguous(&self) -> bool {
        matches!(self, Self::Unavailable { ambiguous: true, .. } | Self::Unreadable { ambiguous: true, .. })
    }

    /// Whether GitHub has no such thing, or hides it.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// The HTTP status of a refusal.
    pub fn refused_with(&self) -> Option<u16> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }
}

/// A reply with a status other than 2xx.
pub(super) struct Failure<'a> {
    /// Method and path.
    pub call: String,
    /// Whether the method changes something.
    pub write: bool,
    pub status: StatusCode,
    pub headers: &'a HeaderMap,
    pub body: &'a [u8],
    /// How far GitHub's clock is ahead of ours.
    pub skew: Millis,
}

/// Sorts a failure by what the caller can do about it.
pub(super) fn classify(failure: Failure<'_>, clock: &Clock) -> ApiError {
    let Failure { call, write, status, headers, body, skew } = failure;
    let message = message_of(status, body);
    let now = clock.now();
    if let Some(until) = limited_until(status, headers, &message, now, skew) {
        return ApiError::RateLimited { call, until, message };
    }
    match status.as_u16() {
        401 => ApiError::Unauthorized { call, message },
        404 | 410 => ApiError::NotFound { call, message },
        408 | 500.. => {
            let not_before = retry_after(headers, now);
            ApiError::Unavailable { call, message, ambiguous: write, answered: true, not_before }
        }
        status => ApiError::Refused { call, status, message },
    }
}

/// The end of a rate limit, where the reply speaks of one, in the order of precedence that GitHub documents
/// (<https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api#exceeding-the-rate-limit>).
fn limited_until(status: StatusCode, headers: &HeaderMap, message: &str, now: Millis, skew: Millis) -> Option<Millis> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<i64>().ok();
    let used_up = number("x-ratelimit-remaining") == Some(0);
    let said = message.to_ascii_lowercase();
    let secondary = said.contains("secondary rate limit") || said.contains("abuse detection");
    let limited = match status.as_u16() {
        429 => true,
        403 => headers.contains_key("retry-after") || used_up || secondary,
        _ => false,
    };
    if !limited {
        return None;
    }
    if let Some(at) = retry_after(headers, now) {
        return Some(at);
    }
    if used_up && let Some(reset) = number("x-ratelimit-reset") {
        // The reset is by GitHub's clock; a second more because it is given in whole seconds.
        let at = reset.saturating_mul(1_000).saturating_sub(skew).saturating_add(1_000);
        return Some(at.clamp(now, now + LONGEST_WAIT_SECONDS * 1_000));
    }
    Some(now + UNSTATED_LIMIT)
}

/// `Retry-After` as seconds or as an HTTP date (RFC 9110 §10.2.3).
fn retry_after(headers: &HeaderMap, now: Millis) -> Option<Millis> {
    let text = headers.get("retry-after")?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<i64>() {
        return Some(now + seconds.clamp(0, LONGEST_WAIT_SECONDS) * 1_000);
    }
    let at = http_date(text)?;
    Some(at.clamp(now, now + LONGEST_WAIT_SECONDS * 1_000))
}

/// An HTTP date (RFC 9110 §5.6.7) as milliseconds since the Unix epoch.
pub(super) fn http_date(text: &str) -> Option<Millis> {
    chrono::DateTime::parse_from_rfc2822(text).ok().map(|time| time.timestamp_millis())
}

/// A random wait for the given number of attempts already made.
fn jitter(attempts: u32) -> Millis {
    let at = (attempts.max(1) as usize - 1).min(BACKOFF.len() - 1);
    rand::random_range(0..=BACKOFF[at])
}

/// GitHub's message and those of its single errors, or the status where the body is not GitHub's.
fn message_of(status: StatusCode, body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Body {
        message: String,
        #[serde(default)]
        errors: serde_json::Value,
    }

    let Ok(body) = serde_json::from_slice::<Body>(body) else {
        return status.canonical_reason().unwrap_or("no reason given").to_owned();
    };
    let mut message = body.message;
    for error in body.errors.as_array().into_iter().flatten() {
        let text = match error {
            serde_json::Value::String(text) => text.clone(),
            other => match (other["message"].as_str(), other["field"].as_str(), other["code"].as_str()) {
                (Some(text), _, _) => text.to_owned(),
                (None, Some(field), Some(code)) => format!("{field}: {code}"),
                _ => continue,
            },
        };
        message.push_str("; ");
        message.push_str(&text);
    }
    if message.len() > MESSAGE_BYTES {
        let end = (0..=MESSAGE_BYTES).rev().find(|&at| message.is_char_boundary(at)).unwrap_or(0);
        message.truncate(end);
        message.push('…');
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classified(status: u16, write: bool, headers: &[(&'static str, &str)], body: &str) -> ApiError {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        let status = StatusCode::from_u16(status).unwrap();
        let failure =
            Failure { call: "GET /x".to_owned(), write, status, headers: &map, body: body.as_bytes(), skew: 0 };
        classify(failure, &Clock::System)
    }

    #[test]
    fn each_status_means_one_thing() {
        let message = r#"{"message":"m"}"#;
        assert!(matches!(classified(401, false, &[], message), ApiError::Unauthorized { .. }));
        assert!(classified(404, false, &[], message).is_not_found());
        assert!(classified(410, true, &[], message).is_not_found());
        assert_eq!(classified(403, true, &[], message).refused_with(), Some(403));
        assert_eq!(classified(422, true, &[], message).refused_with(), Some(422));
        assert!(!classified(502, false, &[], "<html>").is_ambiguous());
        assert!(classified(502, true, &[], "<html>").is_ambiguous());
        assert!(!classified(403, true, &[], message).is_ambiguous());
    }

    #[test]
    fn a_limit_is_recognized_and_never_undercut() {
        // F10
        let now = Clock::System.now();
        let reset = (now / 1_000 + 600).to_string();
        let secondary = r#"{"message":"You have exceeded a secondary rate limit. Please wait a few minutes."}"#;
        let date = chrono::DateTime::from_timestamp_millis(now + 90_000).unwrap().to_rfc2822();
        type Case<'a> = (&'a str, u16, Vec<(&'static str, &'a str)>, &'a str, Millis);
        let cases: Vec<Case<'_>> = vec![
            ("retry-after in seconds", 403, vec![("retry-after", "17")], "{}", 17_000),
            ("retry-after as a date", 429, vec![("retry-after", &date)], "{}", 89_000),
            ("primary limit", 403, vec![("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", &reset)], "{}", 599_000),
            ("secondary by its text", 403, vec![("x-ratelimit-remaining", "4000")], secondary, 60_000),
            ("429 without a word", 429, vec![], "", 60_000),
        ];
        for (name, status, headers, body, wait) in cases {
            let error = classified(status, true, &headers, body);
            let ApiError::RateLimited { until, .. } = &error else { panic!("{name}: {error:?}") };
            assert!((wait..wait + 5_000).contains(&(until - now)), "{name}: {}", until - now);
            for attempts in 1..12 {
                assert!(error.retry_at(attempts, now).unwrap() >= *until, "{name}");
            }
        }
        assert!(matches!(classified(403, true, &[("x-ratelimit-remaining", "12")], "{}"), ApiError::Refused { .. }));
    }

    #[test]
    fn waits_grow_are_bounded_and_obey_retry_after() {
        let error = classified(503, false, &[("retry-after", "120")], "");
        let now = Clock::System.now();
        assert!(error.retry_at(1, now).unwrap() >= now + 119_000);
        let error = classified(502, false, &[], "");
        for attempts in 0..40 {
            let wait = error.retry_at(attempts, now).unwrap() - now;
            assert!((0..=60_000).contains(&wait));
        }
        assert_eq!(classified(422, true, &[], "{}").retry_at(1, now), None);
        let unreadable = ApiError::Unreadable { call: String::new(), message: String::new(), ambiguous: false };
        assert!(unreadable.retry_at(1, now).is_some());
        assert_eq!(unreadable.retry_at(3, now), None);
    }

    #[test]
    fn the_message_names_the_single_errors() {
        let body = r#"{"message":"Validation Failed","errors":[{"resource":"PullRequest","code":"custom","message":"A pull request already exists for o:b."},{"field":"head","code":"invalid"},"plain"]}"#;
        insta::assert_snapshot!(classified(422, true, &[], body), @"GET /x: GitHub refuses with 422: Validation Failed; A pull request already exists for o:b.; head: invalid; plain");
    }
}
