//! Deliveries of the size and shape that GitHub sends for an issue: mostly addresses, and one longer text.

use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Map, Value, json};
use sha2::Sha256;

const BYTES: usize = 15_000;

/// A body and its signature header.
pub struct Signed {
    pub bytes: Bytes,
    pub signature: String,
}

/// Different bodies of the same size, signed.
pub fn signed(secret: &str, count: usize) -> Vec<Signed> {
    (0..count)
        .map(|n| {
            let mut payload = issue_labeled(n);
            let missing = BYTES.saturating_sub(payload.to_string().len());
            payload["issue"]["body"] = words(n, missing).into();
            let bytes = Bytes::from(payload.to_string());
            let mut mac: Hmac<Sha256> = Hmac::new_from_slice(secret.as_bytes())
                .unwrap_or_else(|_| unreachable!("HMAC takes keys of any length"));
            mac.update(&bytes);
            let signature = format!("sha256={}", hex::encode(mac.finalize().into_bytes()));
            Signed { bytes, signature }
        })
        .collect()
}

/// Prose that does not repeat itself as a constant text would, since bodies are stored packed: words of a small vocabulary, in no order.
fn words(seed: usize, bytes: usize) -> String {
    const SYLLABLES: [&str; 32] = [
        "par", "ser", "lo", "ses", "the", "last", "line", "when", "in", "put", "ends", "with", "out", "new", "er",
        "ror", "is", "thrown", "at", "ver", "sion", "two", "point", "four", "re", "pro", "duce", "by", "call", "ing",
        "it", "from",
    ];
    let mut state = seed as u64 + 1;
    let mut text = String::with_capacity(bytes + 8);
    while text.len() < bytes {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text.push_str(SYLLABLES[(state >> 33) as usize % SYLLABLES.len()]);
        if state >> 62 == 0 {
            text.push(' ');
        }
    }
    text.truncate(bytes);
    text
}

fn issue_labeled(n: usize) -> Value {
    json!({
        "action": "labeled",
        "issue": {
            "id": 3_000_000_000_u64 + n as u64,
            "number": n,
            "title": "The parser loses the last line",
            "user": account("octocat"),
            "assignees": [account("hubot"), account("monalisa")],
            "labels": [{ "id": 1, "name": "track", "color": "ededed", "default": false }],
            "state": "open",
            "body": "",
            "urls": addresses("issues", 10),
        },
        "label": { "id": 1, "name": "track", "color": "ededed", "default": false },
        "repository": { "id": 1_296_269, "full_name": "octo-org/hello-world", "owner": account("octo-org"), "urls": addresses("repository", 46) },
        "organization": { "login": "octo-org", "id": 6_811_672, "urls": addresses("orgs", 8) },
        "sender": account("octocat"),
        "installation": { "id": 4_242 },
    })
}

fn account(login: &str) -> Value {
    json!({ "login": login, "id": 583_231, "type": "User", "site_admin": false, "urls": addresses(login, 12) })
}

fn addresses(of: &str, count: usize) -> Value {
    let all = (0..count).map(|n| {
        let key = format!("{of}_{n}_url");
        let address = format!("https://api.github.com/repos/octo-org/hello-world/{of}/{n}{{/sha}}");
        (key, Value::from(address))
    });
    Value::from(all.collect::<Map<_, _>>())
}
