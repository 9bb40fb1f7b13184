//! The pages of setting up, and the door before them.

use std::net::SocketAddr;

use askama::Template;
use axum::extract::{Form, Query, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use serde::Deserialize;

use super::flow::{Setup, Trouble};
use super::gate::Admitted;
use super::manual::{self, Field};
use super::wish::{self, Problem, Wish};
use crate::admin::assets::{self, ASSETS};
use crate::admin::headers::{self, Headers};
use crate::admin::view::{Frame, page};
use crate::admin::{cookie, host, is_origin_of, is_own_origin, is_this_machine, packed};

/// Which browser sets up.
const BROWSER: &str = "__Host-track-setup";
/// How long it may take: a day of interruptions.
const BROWSER_FOR: i64 = 24 * 3600;

const CLOSED: &str =
    "This bot is being set up. Use the link on the terminal (or in the log) of the machine on which it runs.";

/// All that is served while there is no App.
pub fn router(setup: &Setup, address: SocketAddr) -> Router {
    let inside = Router::new()
        .route("/setup", get(show))
        .route("/setup/app", post(wished))
        .route("/setup/created", get(created))
        .route("/setup/again", post(again))
        .route("/setup/manual", get(by_hand).post(entered))
        .layer(middleware::from_fn_with_state(setup.clone(), guard))
        .layer(Extension(address))
        .with_state(setup.clone());
    let server = setup.config().server_url.clone().unwrap_or_else(|| wish::GITHUB.to_owned());
    let https = setup.config().public_url.as_ref().is_some_and(|url| url.starts_with("https://"));
    let lost = {
        let setup = setup.clone();
        async move || closed(&setup, StatusCode::SERVICE_UNAVAILABLE, CLOSED)
    };
    inside
        .route("/admin/assets/{name}", get(assets::get))
        .route("/webhooks/github", post(async || not_yet()))
        .fallback(lost)
        .layer(middleware::from_fn(packed::pages))
        .layer(middleware::from_fn_with_state(Headers::new(&server, https), headers::add))
}

/// GitHub keeps what it could not deliver, and the first sweep finds it.
fn not_yet() -> Response {
    let told = "no GitHub App is configured yet: this bot is being set up\n";
    (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "60")], told).into_response()
}

/// Lets in the browser that used the link, and changes from its own pages alone.
async fn guard(State(setup): State<Setup>, request: Request, next: Next) -> Response {
    #[derive(Default, Deserialize)]
    struct Token {
        token: Option<String>,
    }
    let headers = request.headers();
    // Over plain HTTP from elsewhere the browser would not keep the cookie, and the link would be used up.
    if !base(&setup, headers).starts_with("https://") && !host(headers).is_some_and(is_this_machine) {
        let told = "Setting up handles secrets, so it takes an encrypted address or this machine's own: open the link with http://127.0.0.1 on the machine itself, through `ssh -L 3000:127.0.0.1:3000`, or by https through a proxy or tunnel.";
        return closed(&setup, StatusCode::FORBIDDEN, told);
    }
    let token = Query::<Token>::try_from_uri(request.uri()).ok().and_then(|Query(query)| query.token);
    let kept = cookie::get(headers, BROWSER);
    match setup.gate().admit(token.as_deref(), kept.as_deref()) {
        Admitted::Yes if token.is_some() => Redirect::to("/setup").into_response(),
        Admitted::Yes => {
            let change = request.method() != Method::GET && request.method() != Method::HEAD;
            if change && !is_own_origin(headers, setup.config().public_url.as_deref()) {
                let told =
                    "This request does not come from a page of this bot. Load the page again, and repeat what you did.";
                return closed(&setup, StatusCode::FORBIDDEN, told);
            }
            next.run(request).await
        }
        // The token is not left in the address, where it would be seen and remembered.
        Admitted::With(keeps) => {
            let mut answer = Redirect::to("/setup").into_response();
            cookie::set(answer.headers_mut(), BROWSER, &keeps, BROWSER_FOR);
            answer
        }
        Admitted::Used => {
            let told = "This link was used in another browser. If that was not you, stop the bot at once; start it again for a new link.";
            closed(&setup, StatusCode::FORBIDDEN, told)
        }
        Admitted::No => closed(&setup, StatusCode::FORBIDDEN, CLOSED),
    }
}

/// Where the browser of these headers sees the bot.
fn base(setup: &Setup, headers: &HeaderMap) -> String {
    let plain = |host: &&str| host.bytes().all(|b| b.is_ascii_alphanumeric() || b".-:[]".contains(&b));
    let host = host(headers).filter(plain).unwrap_or("127.0.0.1");
    // A proxy may ask for us by another name than it was asked by.
    let asked = headers.get("x-forwarded-host").and_then(|value| value.to_str().ok());
    if let Some(url) = &setup.config().public_url
        && asked
            .into_iter()
            .chain([host])
            .any(|host| ["http", "https"].iter().any(|scheme| is_origin_of(url, &format!("{scheme}://{host}"))))
    {
        return url.clone();
    }
    // A proxy that takes TLS off says so; whoever else says it deceives themselves alone.
    let scheme = headers.get("x-forwarded-proto").and_then(|value| value.to_str().ok());
    format!("{}://{host}", if scheme == Some("https") { "https" } else { "http" })
}

fn frame(setup: &Setup, title: &str) -> Frame {
    Frame {
        title: title.to_owned(),
        section: "",
        csrf: String::new(),
        signed_in: false,
        is_admin: false,
        login: None,
        now: setup.now(),
        github: setup.config().server_url.clone().unwrap_or_else(|| wish::GITHUB.to_owned()),
        assets: &ASSETS,
    }
}

#[derive(Template)]
#[template(path = "setup_app.html")]
struct AppPage {
    frame: Frame,
    step: u8,
    form: wish::Form,
    problems: Vec<Problem>,
    server_is_fixed: bool,
    listen: SocketAddr,
}

impl AppPage {
    fn problem(&self, field: &str) -> Option<&str> {
        problem(&self.problems, field)
    }

    /// Whether something that is rarely needed is to be seen.
    fn more(&self) -> bool {
        self.server_is_fixed
            || !self.form.name.is_empty()
            || self.form.server != wish::GITHUB
            || self.problem("name").or(self.problem("server")).is_some()
    }
}

fn problem<'a>(problems: &'a [Problem], field: &str) -> Option<&'a str> {
    problems.iter().find(|problem| problem.field == field).map(|problem| problem.text.as_str())
}

#[derive(Deserialize)]
struct Show {
    /// Begins again, whatever is on its way.
    fresh: Option<String>,
}

/// `GET /setup`.
async fn show(
    State(setup): State<Setup>,
    Extension(listen): Extension<SocketAddr>,
    Query(query): Query<Show>,
    headers: HeaderMap,
) -> Response {
    if setup.is_on_the_way() && query.fresh.is_none() {
        let told = "An App was created, and is not in place yet.".to_owned();
        return trouble(&setup, Trouble { told, again: true }, StatusCode::OK);
    }
    let config = setup.config();
    let server = config.server_url.clone().unwrap_or_else(|| wish::GITHUB.to_owned());
    let form = match setup.wish() {
        Some(wish) => wish.form(),
        None => wish::Form {
            public_url: config.public_url.clone().unwrap_or_else(|| base(&setup, &headers)),
            admins: config.admins.join(", "),
            server,
            ..wish::Form::default()
        },
    };
    app_page(&setup, listen, form, Vec::new())
}

fn app_page(setup: &Setup, listen: SocketAddr, form: wish::Form, problems: Vec<Problem>) -> Response {
    let status = if problems.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let shown = AppPage {
        frame: frame(setup, "Set up track"),
        step: 1,
        form,
        problems,
        server_is_fixed: setup.config().server_url.is_some(),
        listen,
    };
    (status, page(&shown)).into_response()
}

#[derive(Template)]
#[template(path = "setup_go.html")]
struct GoPage {
    frame: Frame,
    step: u8,
    wish: Wish,
    action: String,
    manifest: String,
}

/// `POST /setup/app`: the answers are checked, and the manifest is shown with the button that takes it to GitHub.
async fn wished(
    State(setup): State<Setup>,
    Extension(listen): Extension<SocketAddr>,
    headers: HeaderMap,
    Form(mut form): Form<wish::Form>,
) -> Response {
    if let Some(fixed) = &setup.config().server_url {
        form.server.clone_from(fixed);
    }
    let wish = match form.check() {
        Ok(wish) => wish,
        Err(problems) => return app_page(&setup, listen, form, problems),
    };
    // An App that could not be kept must not be asked for.
    if let Err(error) = crate::config::app_env::can_store(&setup.config().home) {
        return trouble(&setup, Trouble { told: error.to_string(), again: false }, StatusCode::CONFLICT);
    }
    let manifest = match wish.manifest(&base(&setup, &headers)) {
        Ok(manifest) => manifest,
        Err(error) => {
            tracing::error!("the App's manifest cannot be made: {error:#}");
            let told = "The App's manifest cannot be made; the bot's log says why.".to_owned();
            return trouble(&setup, Trouble { told, again: false }, StatusCode::INTERNAL_SERVER_ERROR);
        }
    };
    let state = setup.begin(wish.clone());
    let leads_to = Headers::new(&wish.server_url, false);
    let shown =
        GoPage { frame: frame(&setup, "Confirm it on GitHub"), step: 2, action: wish.action(&state), wish, manifest };
    let mut answer = page(&shown);
    // The button may lead to this GitHub, and to no other.
    leads_to.put(answer.headers_mut());
    answer
}

#[derive(Deserialize)]
struct Created {
    code: Option<String>,
    state: Option<String>,
}

/// `GET /setup/created`: back from GitHub.
async fn created(State(setup): State<Setup>, Query(query): Query<Created>) -> Response {
    if let (Some(code), Some(state)) = (&query.code, &query.state) {
        // A page that is loaded again brings the same once more; what it brought before is on its way.
        let new = setup.came_back(state, code);
        if !new && !setup.is_on_the_way() {
            let told = "This was not begun in this browser, was used before, or took longer than an hour. Begin again; an App that GitHub created meanwhile can be deleted there, or entered by hand.";
            return trouble(&setup, Trouble { told: told.to_owned(), again: false }, StatusCode::FORBIDDEN);
        }
    }
    go_on(&setup).await
}

/// `POST /setup/again`.
async fn again(State(setup): State<Setup>) -> Response {
    go_on(&setup).await
}

async fn go_on(setup: &Setup) -> Response {
    // On its own: a browser that goes away must not take what GitHub hands out once with it.
    let going = tokio::spawn({
        let setup = setup.clone();
        async move { setup.go_on().await }
    });
    let gone = going.await.unwrap_or_else(|died| {
        tracing::error!("a step of setting up died: {died}");
        let told = "The bot could not do this step; its log says why.".to_owned();
        Err(Trouble { told, again: true })
    });
    match gone {
        Ok(path) => {
            let mut answer = Redirect::to(&path).into_response();
            cookie::set(answer.headers_mut(), BROWSER, "", 0);
            answer
        }
        Err(error) => trouble(setup, error, StatusCode::BAD_GATEWAY),
    }
}

#[derive(Template)]
#[template(path = "setup_manual.html")]
struct ManualPage {
    frame: Frame,
    form: manual::Form,
    fields: &'static [Field],
    problems: Vec<Problem>,
    told: Option<String>,
    home: String,
}

impl ManualPage {
    fn problem(&self, field: &str) -> Option<&str> {
        problem(&self.problems, field)
    }

    fn value(&self, field: &str) -> &str {
        self.form.shown(field)
    }
}

/// `GET /setup/manual`.
async fn by_hand(State(setup): State<Setup>, headers: HeaderMap) -> Response {
    let public_url = setup.config().public_url.clone().unwrap_or_else(|| base(&setup, &headers));
    let form = manual::Form::prefilled(&setup, &public_url);
    manual_page(&setup, form, Vec::new(), None)
}

fn manual_page(setup: &Setup, form: manual::Form, problems: Vec<Problem>, told: Option<String>) -> Response {
    let fine = problems.is_empty() && told.is_none();
    let shown = ManualPage {
        frame: frame(setup, "Enter the App by hand"),
        form,
        fields: manual::FIELDS,
        problems,
        told,
        home: setup.config().home.display().to_string(),
    };
    (if fine { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY }, page(&shown)).into_response()
}

/// `POST /setup/manual`.
async fn entered(State(setup): State<Setup>, Form(form): Form<manual::Form>) -> Response {
    let app = match form.check() {
        Ok(app) => app,
        Err(problems) => return manual_page(&setup, form, problems, None),
    };
    if let Err(told) = manual::confirm(&setup, &app).await {
        return manual_page(&setup, form, Vec::new(), Some(told));
    }
    setup.entered(app);
    go_on(&setup).await
}

#[derive(Template)]
#[template(path = "setup_trouble.html")]
struct TroublePage {
    frame: Frame,
    told: String,
    again: bool,
    /// Whether this is the browser that sets up.
    inside: bool,
}

fn trouble(setup: &Setup, Trouble { told, again }: Trouble, status: StatusCode) -> Response {
    let title = if status == StatusCode::OK { "Nearly done" } else { "Not done yet" };
    (status, page(&TroublePage { frame: frame(setup, title), told, again, inside: true })).into_response()
}

/// For everybody else.
fn closed(setup: &Setup, status: StatusCode, told: &str) -> Response {
    let frame = frame(setup, "Being set up");
    (status, page(&TroublePage { frame, told: told.to_owned(), again: false, inside: false })).into_response()
}
