//! Cookies: two of them, both out of reach for scripts, for other sites and for other hosts (T44).
//!
//! The prefix `__Host-` has browsers refuse one that is not Secure, has a Domain or another path
//! (<https://datatracker.ietf.org/doc/html/draft-ietf-httpbis-rfc6265bis#section-4.1.3.2>). They take Secure cookies of `http://127.0.0.1`
//! and `http://localhost` too.

use axum::http::{HeaderMap, HeaderValue, header};

/// Who is signed in.
pub const SIGNED_IN: &str = "__Host-track";
/// Which browser began to sign in.
pub const BEGAN: &str = "__Host-track-sign-in";

/// The value of a cookie. Two of one name are none: somebody else planted one.
pub fn get(headers: &HeaderMap, name: &str) -> Option<String> {
    let mut found = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(key, _)| *key == name)
        .map(|(_, value)| value);
    let value = found.next()?;
    found.next().is_none().then(|| value.to_owned())
}

/// Has the browser keep a cookie for so many seconds; 0 takes it away.
pub fn set(headers: &mut HeaderMap, name: &str, value: &str, seconds: i64) {
    let cookie = format!("{name}={value}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={seconds}");
    // Values are hex, and never come from anybody.
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        headers.append(header::SET_COOKIE, cookie);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_cookie_of_a_name_or_none() {
        let of = |lines: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(header::COOKIE, HeaderValue::from_static(line));
            }
            get(&headers, "__Host-track")
        };
        assert_eq!(of(&["a=b; __Host-track=ab; c=d"]).as_deref(), Some("ab"));
        assert_eq!(of(&["a=b", "__Host-track=ab"]).as_deref(), Some("ab"));
        for none in [&["a=b"][..], &[], &["__Host-track"], &["__Host-track=a; __Host-track=b"], &["x__Host-track=a"]] {
            assert_eq!(of(none), None, "{none:?}");
        }
    }
}
