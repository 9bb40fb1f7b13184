//! The signature as an extractor: bytes that were not verified have no type that anything else could use.
//!
//! The rules are GitHub's, <https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries>, kept strictly: one header,
//! `sha256=` and 64 lower-case digits. GitHub signs the body alone, so the names in the other headers prove nothing.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use bytes::BytesMut;
use hmac::Mac as _;
use http_body_util::BodyExt as _;
use sha2::{Digest as _, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{BODY_CAP, IntakeState, Refusal};
use crate::http::BodyTooSlow;

const SIGNATURE: &str = "x-hub-signature-256";
const DELIVERY: &str = "x-github-delivery";
const EVENT: &str = "x-github-event";
const NAME_CAP: usize = 100;
/// The most memory that is reserved because of what a header promises.
const FIRST_RESERVE: usize = 256 * 1024;
/// How much of a refused body is still read, and for how long: a sender that only reads answers after writing would otherwise see a
/// reset connection instead of the reason.
const DISCARD_CAP: usize = 32 * 1024 * 1024;
const DISCARD_TIME: Duration = Duration::from_secs(2);

/// A request whose body was signed with the webhook secret.
#[derive(Debug)]
pub struct Verified {
    /// GitHub's id of the delivery.
    pub delivery_id: String,
    /// The event's name; not signed.
    pub event: String,
    /// The exact bytes that were signed.
    pub body: Bytes,
    /// SHA-256 of the bytes, hexadecimal.
    pub(super) sha256: String,
    /// The body's share of [`super::BODIES_CAP`].
    pub(super) held: Option<OwnedSemaphorePermit>,
}

impl FromRequest<IntakeState> for Verified {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &IntakeState) -> Result<Self, Refusal> {
        let (head, body) = request.into_parts();
        if let Err(refusal) = acceptable(&head.headers, &body) {
            discard(body);
            return Err(refusal);
        }
        let mut mac = state.0.mac.clone();
        let mut sha256 = Sha256::new();
        // Hashing each piece as it comes is what keeps 25 MiB from blocking a worker thread for long.
        let (body, held) = read(body, &state.0.bodies, |piece| {
            mac.update(piece);
            sha256.update(piece);
        })
        .await?;
        // An unusable header takes the same path as a wrong signature, over the same bytes, so that neither time nor text differ.
        let claimed = claimed_signature(&head.headers);
        let right = mac.verify_slice(&claimed.unwrap_or_default()).is_ok();
        if !(right & claimed.is_some()) {
            return Err(Refusal::Unauthorized);
        }
        let delivery_id = name(&head.headers, DELIVERY).ok_or(Refusal::Unnamed)?;
        let event = name(&head.headers, EVENT).ok_or(Refusal::Unnamed)?;
        if body.is_empty() {
            return Err(Refusal::Empty);
        }
        Ok(Self { delivery_id, event, body, sha256: hex::encode(sha256.finalize()), held })
    }
}

/// What can be said before the body is read.
fn acceptable(headers: &HeaderMap, body: &Body) -> Result<(), Refusal> {
    let is_json = only(headers, header::CONTENT_TYPE.as_str())
        .and_then(|value| value.split(';').next())
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"));
    let is_plain = headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .all(|value| value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"identity"));
    if !is_json || !is_plain {
        return Err(Refusal::Unsupported);
    }
    if body.size_hint().lower() > BODY_CAP as u64 {
        return Err(Refusal::TooLarge);
    }
    Ok(())
}

/// Reads a body to its end, shows each piece to `see`, and holds its size against the budget of all bodies.
async fn read(
    mut body: Body,
    budget: &Arc<Semaphore>,
    mut see: impl FnMut(&[u8]),
) -> Result<(Bytes, Option<OwnedSemaphorePermit>), Refusal> {
    let mut whole = Bytes::new();
    let mut more = BytesMut::new();
    let mut held: Option<OwnedSemaphorePermit> = None;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| if is_too_slow(&error) { Refusal::TooSlow } else { Refusal::Broken })?;
        let Ok(piece) = frame.into_data() else { continue };
        let length = whole.len() + more.len() + piece.len();
        let share = u32::try_from(piece.len()).ok().and_then(|n| Arc::clone(budget).try_acquire_many_owned(n).ok());
        let refusal = match share {
            _ if length > BODY_CAP => Some(Refusal::TooLarge),
            None => Some(Refusal::Busy),
            Some(share) => {
                match &mut held {
                    Some(held) => held.merge(share),
                    None => held = Some(share),
                }
                None
            }
        };
        if let Some(refusal) = refusal {
            discard(body);
            return Err(refusal);
        }
        see(&piece);
        // Most bodies are one piece, which is kept as it is.
        if whole.is_empty() && more.is_empty() {
            whole = piece;
            continue;
        }
        if more.is_empty() {
            let expected = length + usize::try_from(body.size_hint().lower()).unwrap_or(0);
            more.reserve(expected.min(FIRST_RESERVE));
            more.extend_from_slice(&std::mem::take(&mut whole));
        }
        more.extend_from_slice(&piece);
    }
    Ok((if more.is_empty() { whole } else { more.freeze() }, held))
}

/// The signature that a request claims, if it is written exactly as GitHub writes it.
fn claimed_signature(headers: &HeaderMap) -> Option<[u8; 32]> {
    let digits = only(headers, SIGNATURE)?.strip_prefix("sha256=")?;
    if digits.bytes().any(|b| b.is_ascii_uppercase()) {
        return None;
    }
    let mut signature = [0; 32];
    hex::decode_to_slice(digits, &mut signature).ok()?;
    Some(signature)
}

/// A header that names something: there once, and short, and of letters, digits, `-` and `_` only.
fn name(headers: &HeaderMap, header: &str) -> Option<String> {
    let value = only(headers, header)?;
    let plain = value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    (plain && (1..=NAME_CAP).contains(&value.len())).then(|| value.to_owned())
}

/// The value of a header that is there exactly once.
fn only<'a>(headers: &'a HeaderMap, header: &str) -> Option<&'a str> {
    let mut values = headers.get_all(header).iter();
    let value = values.next()?;
    if values.next().is_some() {
        return None;
    }
    value.to_str().ok()
}

fn is_too_slow(error: &axum::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<BodyTooSlow>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Lets the rest of a refused body arrive without keeping any of it.
fn discard(mut body: Body) {
    tokio::spawn(tokio::time::timeout(DISCARD_TIME, async move {
        let mut seen = 0;
        while let Some(Ok(frame)) = body.frame().await {
            seen += frame.data_ref().map_or(0, Bytes::len);
            if seen > DISCARD_CAP {
                break;
            }
        }
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn only_json_that_is_not_encoded_is_acceptable() {
        let cases: &[(&[(&'static str, &str)], bool)] = &[
            (&[("content-type", "application/json")], true),
            (&[("content-type", "Application/JSON; charset=utf-8")], true),
            (&[("content-type", "application/json"), ("content-encoding", "identity")], true),
            (&[], false),
            (&[("content-type", "application/x-www-form-urlencoded")], false),
            (&[("content-type", "application/jsonp")], false),
            (&[("content-type", "text/json")], false),
            (&[("content-type", "application/json"), ("content-type", "application/json")], false),
            (&[("content-type", "application/json"), ("content-encoding", "gzip")], false),
            (&[("content-type", "application/json"), ("content-encoding", "identity, gzip")], false),
            (&[("content-type", "application/json"), ("content-encoding", "")], false),
        ];
        for (pairs, fine) in cases {
            assert_eq!(acceptable(&headers(pairs), &Body::empty()).is_ok(), *fine, "{pairs:?}");
        }
    }

    #[test]
    fn names_are_short_and_plain() {
        let long = "a".repeat(NAME_CAP + 1);
        for (value, fine) in [
            ("72d3162e-cc78-11e3-81ab-4c9367dc0958", true),
            ("pull_request", true),
            ("", false),
            ("a b", false),
            ("../x", false),
            ("<b>", false),
            (&long, false),
        ] {
            assert_eq!(name(&headers(&[(DELIVERY, value)]), DELIVERY).is_some(), fine, "{value:?}");
        }
        assert_eq!(name(&headers(&[(EVENT, "push"), (EVENT, "push")]), EVENT), None);
    }
}
