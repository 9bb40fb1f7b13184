//! Asking for a review by the address of a pull request, wherever it is (B30, B36).

use askama::Template;
use axum::Form;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::Deserialize;

use super::Admin;
use super::access::Access::Admin as Admins;
use super::access::Routes;
use super::fault::Fault;
use super::person::Person;
use super::threads::not_done;
use super::view::{Frame, page};
use crate::inbox::by_hand::NotDone;
use crate::inbox::by_url::{self, NotQueued, Wanted};
use crate::trigger::command::Review;

/// The form as it comes; it is shown again with what was wrong.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct ReviewForm {
    url: String,
    instructions: String,
    agent: String,
    model: String,
    runner: String,
}

#[derive(Template)]
#[template(path = "review.html")]
struct FormPage {
    frame: Frame,
    form: ReviewForm,
    wrong: Option<String>,
    agents: Vec<String>,
    runners: Vec<String>,
}

pub(super) fn routes(routes: Routes) -> Routes {
    routes.get(Admins, "/admin/review", show).post(Admins, "/admin/review", ask)
}

fn form_page(admin: &Admin, person: &Person, form: ReviewForm, wrong: Option<String>) -> FormPage {
    let context = admin.context();
    FormPage {
        frame: Frame::new(admin, Some(person), "Review a pull request", ""),
        form,
        wrong,
        agents: context.config.agent_names().map(str::to_owned).collect(),
        runners: context.runners.defaults().into_iter().map(|(name, _)| name).collect(),
    }
}

/// `GET /admin/review`.
async fn show(State(admin): State<Admin>, person: Person) -> Response {
    page(&form_page(&admin, &person, ReviewForm::default(), None))
}

/// `POST /admin/review`.
async fn ask(State(admin): State<Admin>, person: Person, Form(form): Form<ReviewForm>) -> Result<Response, Fault> {
    let given = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    let wanted = Wanted {
        url: form.url.trim().to_owned(),
        requester: Some(person.actor()?.login.clone()),
        review: Review {
            agent: given(&form.agent),
            model: given(&form.model),
            runner: given(&form.runner),
            instructions: form.instructions.replace("\r\n", "\n"),
        },
    };
    match by_url::review(admin.context(), &wanted).await {
        Ok(queued) => Ok(Redirect::to(&format!("/admin/runs/{}", queued.run)).into_response()),
        Err(NotQueued::Refused(why)) => {
            let shown = page(&form_page(&admin, &person, form, Some(why)));
            Ok((StatusCode::UNPROCESSABLE_ENTITY, shown).into_response())
        }
        Err(NotQueued::Trouble(trouble)) => Err(not_done(NotDone::Trouble(trouble))),
    }
}
