//! The last line of each comment of ours, by which it is found again before anything is posted twice.
//!
//! A copied or forged marker fails its MAC, and a quoted one is not the last line of a comment by our account.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use ulid::Ulid;

/// Hexadecimal digits of the MAC that the marker shows: 128 bits.
const SHOWN_DIGITS: usize = 32;

/// The key of this instance's markers.
#[derive(Clone)]
pub struct MarkerKey([u8; MarkerKey::BYTES]);

impl std::fmt::Debug for MarkerKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MarkerKey(…)")
    }
}

impl MarkerKey {
    /// Length of a key.
    pub const BYTES: usize = 32;

    /// A key out of its bytes.
    pub fn new(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// The marker of one comment.
    pub fn marker(&self, run: Ulid, kind: &str) -> String {
        let mut mac = match Hmac::<Sha256>::new_from_slice(&self.0) {
            Ok(mac) => mac,
            // The error exists for other MACs: HMAC hashes long keys and pads short ones.
            Err(_) => unreachable!("HMAC takes keys of any length"),
        };
        mac.update(format!("{run} {kind}").as_bytes());
        let mac = hex::encode(mac.finalize().into_bytes());
        format!("<!-- track run={run} kind={kind} mac={} -->", &mac[..SHOWN_DIGITS])
    }

    /// Whether a comment ends with this marker.
    pub fn is_in(&self, body: &str, run: Ulid, kind: &str) -> bool {
        body.trim_end().ends_with(&self.marker(run, kind))
    }
}

/// A text without the marker that ends it: agents are not told of it.
pub fn without_marker(body: &str) -> &str {
    let text = body.trim_end();
    match text.rsplit_once('\n') {
        Some((words, last)) if last.starts_with("<!-- track run=") && last.ends_with(" -->") => words.trim_end(),
        _ => body,
    }
}

/// Whether a text carries something that looks like a marker of ours: such a comment is never obeyed.
pub fn looks_marked(body: &str) -> bool {
    body.contains("<!-- track run=")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_is_found_at_the_end_only_and_under_its_own_key_only() {
        let key = MarkerKey::new([1; MarkerKey::BYTES]);
        let again = key.clone();
        let other = MarkerKey::new([2; MarkerKey::BYTES]);
        let run = Ulid::new();
        let body = format!("Done.\n\n{}\n", key.marker(run, "status"));
        assert!(again.is_in(&body, run, "status"));
        assert!(!again.is_in(&body, run, "final"));
        assert!(!other.is_in(&body, run, "status"));
        assert!(!key.is_in(&format!("> {}\nquoted", body.trim()), run, "status"));
        assert_eq!((without_marker(&body), without_marker("a\nb\n")), ("Done.", "a\nb\n"));
    }
}
