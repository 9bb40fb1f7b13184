//! The admin page: what the agents are doing, what it costs and what needs a person, as pages made on the server.
//!
//! Everything works without JavaScript but live updates. Who may see what is decided in [`access`] before a handler is reached; pages read
//! the tables and ask nobody else, so that they are fast and GitHub's limits are left to the work.

pub mod access;
mod admit;
mod assets;
mod audit;
mod board;
pub mod chart;
mod cookie;
mod csrf;
pub mod csv;
mod deliveries;
pub mod fault;
mod headers;
pub mod health;
mod lists;
pub mod live;
mod new_task;
mod packed;
pub mod person;
mod repositories;
mod review;
mod rules;
mod run;
mod runners;
mod runs;
mod said;
mod settings;
pub mod setup;
pub mod sign_in;
pub mod sums;
mod thread_view;
mod threads;
mod usage;
pub mod view;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::middleware;
use axum::response::Redirect;
use axum::routing::get;

use crate::context::Context;
use crate::run::feed::Feeds;
use access::{Access, Declared, Routes};
use fault::Fault;
use headers::Headers;
use live::Hub;

/// What pages work with; cheap to clone.
#[derive(Clone)]
pub struct Admin(Arc<Inner>);

struct Inner {
    context: Arc<Context>,
    hub: Hub,
    feeds: Feeds,
    rights: admit::Rights,
    boards: board::Kept,
}

impl Admin {
    /// Pages of a running bot.
    pub fn new(context: Arc<Context>) -> Self {
        let feeds = run::feeds(context.clone());
        let (hub, rights, boards) = Default::default();
        Self(Arc::new(Inner { context, hub, feeds, rights, boards }))
    }

    /// What the workers share.
    pub fn context(&self) -> &Arc<Context> {
        &self.0.context
    }

    /// Who watches what.
    pub fn hub(&self) -> &Hub {
        &self.0.hub
    }

    /// The runs that somebody watches.
    pub fn feeds(&self) -> &Feeds {
        &self.0.feeds
    }

    fn boards(&self) -> &board::Kept {
        &self.0.boards
    }

    fn rights(&self) -> &admit::Rights {
        &self.0.rights
    }

    /// Where the browser of these headers found the page.
    pub(super) fn base_url(&self, headers: &HeaderMap) -> String {
        match &self.context().config.public_url {
            Some(url) => url.clone(),
            None => format!("http://{}", host(headers).unwrap_or("127.0.0.1")),
        }
    }

    /// Whether a change comes from a page of ours (T44).
    fn is_own_origin(&self, headers: &HeaderMap) -> bool {
        is_own_origin(headers, self.context().config.public_url.as_deref())
    }

    /// Where GitHub signs nobody in, the page is for this machine alone, whatever address the bot listens on (T42). The name under which
    /// it is asked for must be this machine's too: another site could have its own name lead here.
    fn doorway(&self, parts: &Parts) -> Result<(), Fault> {
        if self.context().config.sign_in.is_some() {
            return Ok(());
        }
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip().to_canonical());
        let forwarded =
            ["forwarded", "x-forwarded-for", "x-real-ip"].iter().any(|name| parts.headers.contains_key(*name));
        if peer.is_none_or(|peer| !peer.is_loopback())
            || forwarded
            || !host(&parts.headers).is_some_and(is_this_machine)
        {
            return Err(Fault::forbidden(
                "Until signing in through GitHub is set up, this page is for the bot's own machine: http://127.0.0.1 there, or an ssh tunnel to it. GITHUB_APP_CLIENT_ID and GITHUB_APP_CLIENT_SECRET set it up.",
            ));
        }
        Ok(())
    }
}

/// Whether a change comes from a page of ours: browsers say of each form where it stands (T44).
fn is_own_origin(headers: &HeaderMap, public_url: Option<&str>) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if text("sec-fetch-site").is_some_and(|site| site != "same-origin") {
        return false;
    }
    let Some(origin) = text("origin") else { return false };
    let by_host = host(headers)
        .is_some_and(|host| ["http://", "https://"].iter().any(|scheme| origin.strip_prefix(scheme) == Some(host)));
    by_host || public_url.is_some_and(|url| is_origin_of(url, origin))
}

/// The name and port under which we were asked.
fn host(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::HOST)?.to_str().ok()
}

fn is_this_machine(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether an origin is that of an address, default ports or not.
fn is_origin_of(url: &str, origin: &str) -> bool {
    let parse = |text: &str| {
        let uri: axum::http::Uri = text.parse().ok()?;
        let scheme = uri.scheme_str()?.to_owned();
        let port = uri.port_u16().unwrap_or(if scheme == "https" { 443 } else { 80 });
        Some((scheme, uri.host()?.to_ascii_lowercase(), port))
    };
    parse(url).is_some_and(|ours| parse(origin) == Some(ours))
}

fn routes(admin: &Admin) -> Routes {
    use Access::{Public, SignedIn};
    let routes = Routes::new(admin.clone())
        .get(Public, "/admin/assets/{name}", assets::get)
        .get(Public, "/admin/sign-in", sign_in::show)
        .post(Public, "/admin/sign-in", sign_in::begin)
        .get(Public, "/admin/sign-in/callback", sign_in::callback)
        .get(Public, "/admin/sign-in/link", sign_in::by_link)
        .post(SignedIn, "/admin/sign-out", sign_in::sign_out)
        .get(SignedIn, "/admin", board::show)
        .get(SignedIn, "/admin/live", board::live);
    let pages: &[fn(Routes) -> Routes] = &[
        audit::routes,
        deliveries::routes,
        health::routes,
        new_task::routes,
        repositories::routes,
        review::routes,
        run::routes,
        runners::routes,
        runs::routes,
        settings::routes,
        setup::routes,
        threads::routes,
        usage::routes,
    ];
    pages.iter().fold(routes, |routes, page| page(routes))
}

/// Every route with its decision, for whoever checks them.
pub fn declared(admin: &Admin) -> Vec<Declared> {
    routes(admin).into_parts().1
}

/// The pages, and an answer to everything that nobody else answers.
pub fn router(admin: &Admin) -> Router {
    let config = &admin.context().config;
    let https = config.public_url.as_ref().is_some_and(|url| url.starts_with("https://"));
    let headers = Headers::new(&admin.context().app.server_url, https);
    let (router, _) = routes(admin).into_parts();
    let lost = {
        let admin = admin.clone();
        async move || Fault::not_found("page").page(&admin, None)
    };
    router
        .with_state(admin.clone())
        .route("/", get(async || Redirect::temporary("/admin")))
        // Where a browser looks that shows a text by itself, such as a prompt.
        .route("/favicon.ico", get(async || Redirect::temporary(&assets::ASSETS.icon.url)))
        .route("/admin/", get(async || Redirect::permanent("/admin")))
        .fallback(lost)
        .layer(middleware::from_fn(packed::pages))
        .layer(middleware::from_fn_with_state(headers, headers::add))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_this_machine() {
        for ours in ["localhost", "localhost:3000", "127.0.0.1:3000", "127.1.2.3", "[::1]:3000", "LOCALHOST:1"] {
            assert!(is_this_machine(ours), "{ours}");
        }
        for other in [
            "track.example.org",
            "localhost.evil.example",
            "10.0.0.5:3000",
            "[::2]:3000",
            "",
            "0.0.0.0:3000",
            "127.0.0.1.nip.io",
        ] {
            assert!(!is_this_machine(other), "{other}");
        }
    }

    #[test]
    fn an_origin_is_of_an_address_with_or_without_its_port() {
        for (url, origin, is) in [
            ("https://track.example.org", "https://track.example.org", true),
            ("https://track.example.org/bot", "https://TRACK.example.org:443", true),
            ("https://track.example.org", "http://track.example.org", false),
            ("https://track.example.org", "https://track.example.org.evil", false),
            ("https://track.example.org:8443", "https://track.example.org", false),
            ("https://track.example.org", "null", false),
        ] {
            assert_eq!(is_origin_of(url, origin), is, "{url} {origin}");
        }
    }
}
