//! Who may use which route: decided where the route is named, carried out before its handler is reached.
//!
//! A route cannot be added without a decision, for [`Routes`] takes no other, and a test walks all of them (T42, T44).

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{FromRequestParts, Request, State};
use axum::handler::Handler;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodFilter, on};

use super::fault::Fault;
use super::person::Person;
use super::{Admin, cookie, csrf, sign_in};

/// Largest form. The longest text that people send is a task or a key.
const FORM_BYTES: usize = 1024 * 1024;

/// Who may use a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody: what leads to signing in, and what pages are made of.
    Public,
    /// Admins, and viewers as far as the handler lets them: it answers "not found" for what they may not see.
    SignedIn,
    /// Admins alone.
    Admin,
}

/// A route as it was declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    /// `GET` or `POST`.
    pub method: Method,
    /// As axum reads it, `/admin/runs/{run}`.
    pub path: &'static str,
    /// Who may use it.
    pub access: Access,
}

/// Routes with their decisions.
pub struct Routes {
    admin: Admin,
    router: Router<Admin>,
    declared: Vec<Declared>,
}

impl Routes {
    pub(super) fn new(admin: Admin) -> Self {
        Self { admin, router: Router::new(), declared: Vec::new() }
    }

    /// A page, a part of one, or a stream.
    pub fn get<H, T>(self, access: Access, path: &'static str, handler: H) -> Self
    where
        H: Handler<T, Admin>,
        T: 'static,
    {
        self.add(Method::GET, access, path, handler)
    }

    /// A change. Where somebody must be signed in, it comes from a page of ours and carries the page's token, else it is refused.
    pub fn post<H, T>(self, access: Access, path: &'static str, handler: H) -> Self
    where
        H: Handler<T, Admin>,
        T: 'static,
    {
        self.add(Method::POST, access, path, handler)
    }

    fn add<H, T>(mut self, method: Method, access: Access, path: &'static str, handler: H) -> Self
    where
        H: Handler<T, Admin>,
        T: 'static,
    {
        let filter = if method == Method::POST { MethodFilter::POST } else { MethodFilter::GET };
        let guard = Guard { admin: self.admin.clone(), access };
        let guarded = on(filter, handler).layer(middleware::from_fn_with_state(guard, check));
        self.router = self.router.route(path, guarded);
        self.declared.push(Declared { method, path, access });
        self
    }

    pub(super) fn into_parts(self) -> (Router<Admin>, Vec<Declared>) {
        (self.router, self.declared)
    }
}

#[derive(Clone)]
struct Guard {
    admin: Admin,
    access: Access,
}

async fn check(State(guard): State<Guard>, request: Request, next: Next) -> Response {
    let Guard { admin, access } = guard;
    let (mut parts, body) = request.into_parts();
    let refused = |fault: Fault| fault.page(&admin, None);
    if let Err(fault) = admin.doorway(&parts) {
        return refused(fault);
    }
    let change = parts.method != Method::GET && parts.method != Method::HEAD;
    if change && !admin.is_own_origin(&parts.headers) {
        return refused(Fault::forbidden(
            "This request does not come from a page of this bot. If you reach it by another address than TRACK_PUBLIC_URL says, set that right.",
        ));
    }
    let cookie = cookie::get(&parts.headers, cookie::SIGNED_IN);
    let person = match cookie.as_deref() {
        Some(secret) => match sign_in::person(&admin, secret).await {
            Ok(person) => person,
            Err(fault) if access != Access::Public => return refused(fault),
            Err(_) => None,
        },
        None => None,
    };
    match (access, &person) {
        (Access::Public, _) | (Access::SignedIn, Some(_)) => {}
        (Access::Admin, Some(person)) if person.is_admin() => {}
        (_, Some(person)) => {
            return Fault::forbidden("This page is for admins of the bot; TRACK_ADMINS names them.")
                .page(&admin, Some(person));
        }
        (_, None) => return sign_in::wall(&admin, &parts.uri).into_response(),
    }
    let body = match (change, &person) {
        (true, Some(person)) => {
            let Ok(bytes) = to_bytes(body, FORM_BYTES).await else {
                return Fault::new(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "The form is larger than 1 MiB, or it did not arrive whole.",
                )
                .page(&admin, Some(person));
            };
            if !carries_token(&parts.headers, &bytes, person) {
                return Fault::forbidden(
                    "The page from which this comes is too old. Load it again, and repeat what you did.",
                )
                .page(&admin, Some(person));
            }
            Body::from(bytes)
        }
        _ => body,
    };
    if let Some(person) = &person {
        parts.extensions.insert(person.clone());
    }
    let answer = next.run(Request::from_parts(parts, body)).await;
    match answer.extensions().get::<Arc<Fault>>() {
        Some(fault) => fault.again().page(&admin, person.as_ref()),
        None => answer,
    }
}

/// The token stands in the form, or in a header where htmx sends no form.
fn carries_token(headers: &HeaderMap, body: &Bytes, person: &Person) -> bool {
    if let Some(token) = headers.get("x-csrf-token").and_then(|value| value.to_str().ok()) {
        return csrf::is_of(person.csrf(), token);
    }
    let form = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !form.starts_with("application/x-www-form-urlencoded") {
        return false;
    }
    let fields: Vec<(String, String)> = serde_urlencoded::from_bytes(body).unwrap_or_default();
    fields.iter().any(|(name, token)| name == "csrf" && csrf::is_of(person.csrf(), token))
}

/// Whoever is signed in; only behind [`Access::SignedIn`] and [`Access::Admin`].
impl<S: Send + Sync> FromRequestParts<S> for Person {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, StatusCode> {
        parts.extensions.get::<Person>().cloned().ok_or(StatusCode::UNAUTHORIZED)
    }
}
