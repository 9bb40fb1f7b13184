//! Changing a runner: its form, and the host key of a new address.

use axum::extract::{Form, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};

use super::super::Admin;
use super::super::fault::Fault;
use super::super::person::Person;
use super::super::view::{Frame, page};
use super::add::{FormPage, Next, Wrong, confirm};
use super::form::RunnerForm;
use super::{one, record};
use crate::config::{RunnerConfig, Transport};
use crate::fleet::{Fleet, Refused, RunnerChange, in_use};

/// `GET /admin/runners/{name}/edit`.
pub(super) async fn show(
    State(admin): State<Admin>,
    person: Person,
    Path(name): Path<String>,
) -> Result<Response, Fault> {
    if Fleet::of(admin.context()).is_from_file(&name) {
        return Ok(one::elsewhere(&name));
    }
    let known = known(&admin, &name)?;
    let form = RunnerForm::of(&known);
    Ok(page(&edit_form(&admin, &person, known, form, Vec::new()).await?))
}

/// A runner that can be changed here.
fn known(admin: &Admin, name: &str) -> Result<RunnerConfig, Fault> {
    let fleet = Fleet::of(admin.context());
    let known = fleet.config_of(name)?;
    fleet.changed(&known, &RunnerChange::default())?;
    Ok(known)
}

async fn edit_form(
    admin: &Admin,
    person: &Person,
    known: RunnerConfig,
    form: RunnerForm,
    wrong: Vec<Wrong>,
) -> Result<FormPage, Fault> {
    let context = admin.context();
    Ok(FormPage {
        frame: Frame::new(admin, Some(person), format!("Edit {}", known.name), "Runners"),
        action: format!("/admin/runners/{}/edit", known.name),
        form,
        wrong,
        agents: context.config.agent_names().map(str::to_owned).collect(),
        default_agent: context.config.default_agent.clone(),
        stays: in_use(&context.db, &known.name).await?,
        known: Some(known),
    })
}

/// `POST /admin/runners/{name}/edit`: the host key of a new address first, then the runner is changed.
pub(super) async fn step(
    State(admin): State<Admin>,
    person: Person,
    Path(name): Path<String>,
    Form(form): Form<RunnerForm>,
) -> Result<Response, Fault> {
    let known = known(&admin, &name)?;
    let fleet = Fleet::of(admin.context());
    let again = async |form: RunnerForm, wrong: Vec<Wrong>| -> Result<Response, Fault> {
        let status = if wrong.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
        let form = edit_form(&admin, &person, known.clone(), form.unconfirmed(), wrong).await?;
        Ok((status, page(&form)).into_response())
    };
    let mut change = match form.change(&known) {
        Ok(change) => change,
        Err(wrong) => return again(form, wrong.into_iter().map(Wrong::from).collect()).await,
    };
    let is_elsewhere = change.host.is_some() || change.port.is_some() || change.proxy_jump.is_some();
    if known.transport == Transport::Ssh && is_elsewhere {
        // Before anybody is asked to compare keys of a place that it cannot move to.
        if let Some(why) = in_use(&admin.context().db, &name).await? {
            return again(form, vec![why.into()]).await;
        }
        let action = format!("/admin/runners/{name}/edit");
        let form_of_place = RunnerForm { name: name.clone(), transport: "ssh".to_owned(), ..form.clone() };
        let typed = match form_of_place.runner() {
            Ok(typed) => typed,
            Err(wrong) => return again(form, wrong.into_iter().map(Wrong::from).collect()).await,
        };
        if let Err(mistakes) = fleet.config.check_runner(&typed) {
            return again(form, mistakes.0.into_iter().map(Wrong::from).collect()).await;
        }
        let whole = match confirm(&admin, &person, &action, form_of_place, &typed).await? {
            Ok(Next::Ask(page)) => return Ok(page),
            Ok(Next::Whole(whole)) => whole,
            Err(wrong) => return again(form, wrong).await,
        };
        change.host_key = whole.host_key;
        change.jump_host_keys = Some(whole.jump_host_keys);
    }
    match fleet.edit(&name, &change).await {
        Ok(_) => {}
        Err(refused @ (Refused::Wrong(_) | Refused::Conflict(_))) => {
            return again(form, vec![refused.to_string().into()]).await;
        }
        Err(refused) => return Err(refused.into()),
    }
    record(admin.context(), &person, ("runner_changed", "changed"), &name).await?;
    one::begin_check(admin.context(), &name).await;
    Ok(one::led(&name, "changed", None))
}
