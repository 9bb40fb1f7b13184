//! `/admin`, where the links in comments lead: it has no page yet, and says where to look instead.

pub mod chart;
pub mod csv;
pub mod sums;

use axum::Router;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderName, HeaderValue};
use axum::response::Redirect;
use axum::routing::get;

/// The same for everybody: nothing of the bot's is in it.
const PAGE: &str = "<!doctype html>
<html lang=\"en\">
<meta charset=\"utf-8\">
<meta name=\"viewport\" content=\"width=device-width\">
<title>track</title>
<h1>track works here</h1>
<p>This version has no admin page yet. On the bot's machine, <code>track runs</code> and <code>track doctor</code> show everything;
<code>track runs --log</code> with the id of a run shows what its agent printed.</p>
</html>
";

const HEADERS: [(HeaderName, HeaderValue); 4] = [
    (CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
    (CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (CACHE_CONTROL, HeaderValue::from_static("no-store")),
];

/// `GET /`, `/admin` and everything below it.
pub fn router() -> Router {
    let page = || get(async || (HEADERS, PAGE));
    Router::new()
        .route("/", get(async || Redirect::temporary("/admin")))
        .route("/admin", page())
        .route("/admin/", page())
        .route("/admin/{*path}", page())
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use http_body_util::BodyExt as _;
    use hyper::{Request, StatusCode};
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn links_of_comments_lead_somewhere_and_tell_nothing() {
        for path in ["/admin", "/admin/", "/admin/runs/01ARZ3NDEKTSV4RRFFQ69G5FAV"] {
            let request = Request::get(path).body(Body::empty()).unwrap();
            let answer = router().oneshot(request).await.unwrap();
            assert_eq!(answer.status(), StatusCode::OK, "{path}");
            let policy = answer.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned();
            assert!(policy.starts_with("default-src 'none'"), "{policy}");
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            assert!(body.starts_with(b"<!doctype html>") && body == PAGE, "{path}");
        }
        for (method, path, status) in [("GET", "/", 307), ("POST", "/admin", 405), ("GET", "/administrator", 404)] {
            let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
            assert_eq!(router().oneshot(request).await.unwrap().status().as_u16(), status, "{method} {path}");
        }
    }
}
