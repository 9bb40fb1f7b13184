//! The token by which a change shows that it comes from a page that the bot made for this person (T44).
//!
//! It is made from the secret in the person's cookie, and written differently each time, because pages are sent packed: what is the same
//! on every page could be guessed from the length of packed pages (the BREACH attack).

use sha2::{Digest as _, Sha256};

const BYTES: usize = 16;

/// What the tokens of one sign-in are made from.
pub type Key = [u8; BYTES];

/// The key of the sign-in whose cookie holds this secret.
pub fn key(secret: &str) -> Key {
    let digest = Sha256::new().chain_update(b"csrf ").chain_update(secret).finalize();
    let mut key = [0; BYTES];
    key.copy_from_slice(&digest[..BYTES]);
    key
}

/// A token for one page.
pub fn token(key: &Key) -> String {
    let pad: Key = rand::random();
    let masked: Vec<u8> = key.iter().zip(pad).map(|(key, pad)| key ^ pad).collect();
    hex::encode(pad) + &hex::encode(masked)
}

/// Whether a token was made with this key.
pub fn is_of(key: &Key, token: &str) -> bool {
    let mut bytes = [0; 2 * BYTES];
    if hex::decode_to_slice(token, &mut bytes).is_err() {
        return false;
    }
    let (pad, masked) = bytes.split_at(BYTES);
    // All bytes are looked at, whichever is wrong.
    let difference =
        pad.iter().zip(masked).zip(key).fold(0, |found, ((pad, masked), key)| found | (pad ^ masked ^ key));
    difference == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_of_one_sign_in_and_never_the_same_twice() {
        let (mine, other) = (key("mine"), key("other"));
        let (one, two) = (token(&mine), token(&mine));
        assert_ne!(one, two);
        assert!(is_of(&mine, &one) && is_of(&mine, &two));
        assert!(!is_of(&other, &one));
        for wrong in ["", "00", &one[1..], &format!("{one}00"), &one.replace(&one[..2], "zz")] {
            assert!(!is_of(&mine, wrong), "{wrong}");
        }
    }
}
