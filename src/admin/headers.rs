//! What every answer says to the browser, whatever it is (T44): nothing runs or loads but what is ours, nobody frames it, nothing is kept.

use axum::extract::{Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;

/// The headers, made once.
#[derive(Clone)]
pub struct Headers(HeaderMap);

impl Headers {
    /// `github` is the address of GitHub's pages, to which forms may lead; `https`: whether people reach the pages by TLS.
    pub fn new(github: &str, https: bool) -> Self {
        let policy = format!(
            "default-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self' {github}"
        );
        let fixed = [
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (X_FRAME_OPTIONS, "DENY"),
            // Not `no-referrer`: with it browsers leave the origin out of forms.
            (REFERRER_POLICY, "same-origin"),
            (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
            (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
            (
                HeaderName::from_static("permissions-policy"),
                "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
            ),
            (CACHE_CONTROL, "no-store"),
        ];
        let mut headers: HeaderMap =
            fixed.into_iter().map(|(name, value)| (name, HeaderValue::from_static(value))).collect();
        // An address that is no header value is no address either, and the configuration refuses it.
        let policy = HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"));
        headers.insert(CONTENT_SECURITY_POLICY, policy);
        if https {
            headers.insert(STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
        }
        Self(headers)
    }

    /// Puts them on an answer; what it says itself stands.
    pub fn put(&self, answer: &mut HeaderMap) {
        for (name, value) in &self.0 {
            answer.entry(name).or_insert_with(|| value.clone());
        }
    }
}

/// Puts the headers on an answer; what it says itself of keeping it stands.
pub async fn add(State(headers): State<Headers>, request: Request, next: Next) -> Response {
    let mut answer = next.run(request).await;
    headers.put(answer.headers_mut());
    answer
}
