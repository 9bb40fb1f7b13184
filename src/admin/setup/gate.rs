//! Who may set the bot up: whoever has the link that stands on its terminal, from the browser that used it first.

use std::sync::{Mutex, PoisonError};

use sha2::{Digest as _, Sha256};

use super::super::sign_in::secret;

/// A secret that is compared by what it hashes to, so that neither memory nor time tells of it.
type Hashed = [u8; 32];

/// The one-time link, and the browser that used it.
pub struct Gate {
    token: Hashed,
    browser: Mutex<Option<Hashed>>,
}

/// What somebody at the gate gets.
#[derive(Debug, PartialEq, Eq)]
pub enum Admitted {
    /// This is the browser.
    Yes,
    /// It is from now on, and keeps this.
    With(String),
    /// Another browser used the link.
    Used,
    /// No link, or a wrong one.
    No,
}

impl Gate {
    /// A gate, and the token that opens it.
    pub fn new() -> (Self, String) {
        let token = secret();
        (Self { token: hashed(&token), browser: Mutex::default() }, token)
    }

    /// Lets somebody in who brings a token, what their browser keeps, or both.
    pub fn admit(&self, token: Option<&str>, kept: Option<&str>) -> Admitted {
        let mut browser = self.browser.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(known), Some(kept)) = (&*browser, kept)
            && same(known, &hashed(kept))
        {
            return Admitted::Yes;
        }
        if !token.is_some_and(|token| same(&self.token, &hashed(token))) {
            return Admitted::No;
        }
        if browser.is_some() {
            return Admitted::Used;
        }
        let keeps = secret();
        *browser = Some(hashed(&keeps));
        Admitted::With(keeps)
    }
}

fn hashed(secret: &str) -> Hashed {
    Sha256::digest(secret).into()
}

/// Takes as long for one wrong byte as for all of them.
fn same(a: &Hashed, b: &Hashed) -> bool {
    a.iter().zip(b).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_link_is_good_for_one_browser() {
        let (gate, token) = Gate::new();
        for (wrong, kept) in
            [(None, None), (Some(""), None), (Some("x"), Some("x")), (Some(&token[1..]), None), (None, Some(&*token))]
        {
            assert_eq!(gate.admit(wrong, kept), Admitted::No, "{wrong:?} {kept:?}");
        }
        let Admitted::With(keeps) = gate.admit(Some(&token), None) else { panic!("the first use binds") };
        assert_eq!(gate.admit(None, Some(&keeps)), Admitted::Yes);
        assert_eq!(gate.admit(Some(&token), Some(&keeps)), Admitted::Yes);
        assert_eq!(gate.admit(Some("x"), Some(&keeps)), Admitted::Yes);
        for kept in [None, Some("x"), Some(&*token)] {
            assert_eq!(gate.admit(Some(&token), kept), Admitted::Used);
        }
        assert_eq!(gate.admit(None, Some(&token)), Admitted::No);
    }
}
