//! Everything that keeps a request from becoming a delivery, and what its sender is told.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::store::NotStored;

/// Seconds after which a sender may try again.
const RETRY_AFTER: &str = "10";

/// Why a request was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not JSON, or encoded.
    #[error("webhooks must be sent as application/json without Content-Encoding")]
    Unsupported,
    /// Over [`super::BODY_CAP`].
    #[error("the body is larger than 25 MiB")]
    TooLarge,
    /// The body came too slowly.
    #[error("the body did not arrive in time")]
    TooSlow,
    /// The connection or its framing broke within the body.
    #[error("the body could not be read")]
    Broken,
    /// No signature, more than one, or a wrong one. Which of them it was is nobody's business.
    #[error("the signature is missing or wrong")]
    Unauthorized,
    /// Signed, but not a delivery of GitHub's.
    #[error("X-GitHub-Delivery and X-GitHub-Event must each be there once, as GitHub writes them")]
    Unnamed,
    /// Signed, and nothing.
    #[error("the body is empty, and every delivery of GitHub's is a JSON object")]
    Empty,
    /// No memory, no room in the queue, or no commit in time.
    #[error("the delivery could not be stored now; send it again later")]
    Busy,
}

impl Refusal {
    fn status(self) -> StatusCode {
        match self {
            Self::Unsupported => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::Broken | Self::Unnamed | Self::Empty => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn metric(self) -> &'static str {
        match self {
            Self::Unsupported => "unsupported",
            Self::TooLarge => "too_large",
            Self::TooSlow => "too_slow",
            Self::Broken => "broken",
            Self::Unauthorized => "unauthorized",
            Self::Unnamed => "unnamed",
            Self::Empty => "empty",
            Self::Busy => "busy",
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        metrics::counter!("track_deliveries_total", "result" => self.metric()).increment(1);
        let mut response = (self.status(), format!("{self}\n")).into_response();
        if self == Self::Busy {
            response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static(RETRY_AFTER));
        }
        response
    }
}

impl From<NotStored> for Refusal {
    fn from(_: NotStored) -> Self {
        Self::Busy
    }
}
