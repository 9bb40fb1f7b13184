//! What pages are made of besides themselves: one stylesheet, htmx with its extension for streams, and a little script of ours.
//!
//! They are packed once, and have their contents' hash in their address, so that browsers keep them for good and still get new ones.

use std::io::Write as _;
use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, VARY};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest as _, Sha256};

const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// A file as it is sent.
pub struct Asset {
    /// Its address.
    pub url: String,
    name: String,
    kind: &'static str,
    plain: &'static [u8],
    packed: Vec<u8>,
}

impl Asset {
    fn new(stem: &str, extension: &str, kind: &'static str, plain: &'static [u8]) -> Self {
        let hash = hex::encode(&Sha256::digest(plain)[..6]);
        let name = format!("{stem}.{hash}.{extension}");
        Self { url: format!("/admin/assets/{name}"), name, kind, plain, packed: pack(plain, Compression::best()) }
    }
}

/// All of them.
pub struct Assets {
    /// The stylesheet.
    pub style: Asset,
    /// htmx 2, from npm as it is there.
    pub htmx: Asset,
    /// Its extension for server-sent events.
    pub sse: Asset,
    /// Keys, times, and following a log.
    pub script: Asset,
    /// The icon.
    pub icon: Asset,
}

/// The files, packed at first use.
pub static ASSETS: LazyLock<Assets> = LazyLock::new(|| Assets {
    style: Asset::new("track", "css", CSS, include_bytes!("assets/track.css")),
    htmx: Asset::new("htmx", "js", SCRIPT, include_bytes!("assets/htmx-2.0.11.min.js")),
    sse: Asset::new("sse", "js", SCRIPT, include_bytes!("assets/htmx-ext-sse-2.2.4.min.js")),
    script: Asset::new("track", "js", SCRIPT, include_bytes!("assets/track.js")),
    icon: Asset::new("icon", "svg", SVG, include_bytes!("assets/icon.svg")),
});

/// Bytes as gzip (RFC 1952).
pub fn pack(plain: &[u8], level: Compression) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::with_capacity(plain.len() / 3), level);
    // Writing into memory does not fail.
    let _ = packed.write_all(plain);
    packed.finish().unwrap_or_default()
}

/// Whether the client reads gzip.
pub fn takes_gzip(headers: &HeaderMap) -> bool {
    let takes = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    takes.split(',').any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        parts.next() == Some("gzip") && !parts.any(|part| part.replace(' ', "") == "q=0")
    })
}

/// `GET /admin/assets/{name}`.
pub async fn get(Path(name): Path<String>, headers: HeaderMap) -> Response {
    let Assets { style, htmx, sse, script, icon } = &*ASSETS;
    let Some(asset) = [style, htmx, sse, script, icon].into_iter().find(|asset| asset.name == name) else {
        return (StatusCode::NOT_FOUND, "There is no such file.\n").into_response();
    };
    let mut answer = HeaderMap::new();
    answer.insert(CONTENT_TYPE, HeaderValue::from_static(asset.kind));
    answer.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    answer.insert(VARY, HeaderValue::from_static("accept-encoding"));
    if takes_gzip(&headers) {
        answer.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        (answer, asset.packed.as_slice()).into_response()
    } else {
        (answer, asset.plain).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_takes_gzip() {
        for (value, takes) in [
            ("gzip", true),
            ("br, gzip;q=0.5", true),
            ("gzip; q=0", false),
            ("br", false),
            ("", false),
            ("xgzip", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(value));
            assert_eq!(takes_gzip(&headers), takes, "{value}");
        }
    }
}
