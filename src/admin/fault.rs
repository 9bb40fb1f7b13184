//! What a person is told where a page cannot be shown or a wish is not carried out: what was wrong, and what to do.

use std::sync::Arc;

use askama::Template;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::Admin;
use super::person::Person;
use super::view::{Frame, page};

/// Why there is no page.
#[derive(Debug)]
pub struct Fault {
    status: StatusCode,
    told: String,
}

impl Fault {
    /// A refusal in a sentence or two for people.
    pub fn new(status: StatusCode, told: impl Into<String>) -> Self {
        Self { status, told: told.into() }
    }

    /// There is no such thing, or it is not this person's to see: the answer is the same.
    pub fn not_found(what: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, format!("There is no {what} here, or you may not see it."))
    }

    /// Somebody who may not.
    pub fn forbidden(told: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, told)
    }

    /// What was asked for is not possible as it was asked for.
    pub fn refused(told: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, told)
    }

    /// The same once more.
    pub(super) fn again(&self) -> Self {
        Self::new(self.status, self.told.clone())
    }

    /// The sentence.
    pub fn told(&self) -> &str {
        &self.told
    }

    /// The page that says it.
    pub fn page(self, admin: &Admin, person: Option<&Person>) -> Response {
        let title = match self.status {
            StatusCode::NOT_FOUND => "Not found",
            StatusCode::FORBIDDEN => "Not allowed",
            StatusCode::UNAUTHORIZED => "Sign in",
            StatusCode::UNPROCESSABLE_ENTITY | StatusCode::CONFLICT => "Not done",
            _ => "Something is wrong",
        };
        let told = FaultPage { frame: Frame::new(admin, person, title, ""), told: self.told };
        (self.status, page(&told)).into_response()
    }
}

#[derive(Template)]
#[template(path = "fault.html")]
struct FaultPage {
    frame: Frame,
    told: String,
}

/// What a handler answers where it cannot do what was asked; the page around it is made where its person is known.
impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let mut answer = self.status.into_response();
        answer.extensions_mut().insert(Arc::new(self));
        answer
    }
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::RowNotFound => Self::not_found("such page"),
            error => anyhow::Error::from(error).into(),
        }
    }
}

impl From<anyhow::Error> for Fault {
    /// The particulars go to the log alone: they may tell more than a viewer should know.
    fn from(error: anyhow::Error) -> Self {
        tracing::error!("a page cannot be shown: {error:#}");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "The bot could not do this; its log says why. Nothing of it was done by halves. Try again, and look at Health.",
        )
    }
}

impl From<askama::Error> for Fault {
    fn from(error: askama::Error) -> Self {
        anyhow::Error::from(error).into()
    }
}
