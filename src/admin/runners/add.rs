//! Adding a runner: a form, then for each machine on the way and the runner itself its host key to compare, then the checks.
//!
//! What was typed and confirmed so far travels in the pages' forms, so nothing is kept of what is never finished.

use askama::Template;
use axum::extract::{Form, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};

use super::super::Admin;
use super::super::fault::Fault;
use super::super::person::Person;
use super::super::view::{Frame, page};
use super::form::{RunnerForm, same_fingerprint};
use super::{ADD, one, record};
use crate::config::{Mistake, RunnerConfig, Transport, is_host_key};
use crate::fleet::{Fleet, Refused};
use crate::runner::hostkeys::HostKey;
use crate::runner::keys;

/// The form for a new runner, or for one that is there.
#[derive(Template)]
#[template(path = "runner_form.html")]
pub(super) struct FormPage {
    pub frame: Frame,
    pub action: String,
    pub form: RunnerForm,
    /// What was wrong with what was typed.
    pub wrong: Vec<Wrong>,
    pub agents: Vec<String>,
    pub default_agent: String,
    /// The runner that is changed; `None` for a new one.
    pub known: Option<RunnerConfig>,
    /// What keeps a runner that is there from being moved.
    pub stays: Option<String>,
}

impl FormPage {
    /// Whether there is a way over SSH to be described.
    fn is_ssh(&self) -> bool {
        self.known.as_ref().is_none_or(|known| known.transport == Transport::Ssh)
    }
}

/// A mistake, as a page says it.
pub(super) struct Wrong {
    pub problem: String,
    pub remedy: String,
}

impl From<Mistake> for Wrong {
    fn from(mistake: Mistake) -> Self {
        Self { problem: format!("{} {}", mistake.setting, mistake.problem), remedy: mistake.remedy }
    }
}

impl From<String> for Wrong {
    fn from(problem: String) -> Self {
        Self { problem, remedy: String::new() }
    }
}

/// The host key of a machine, to be compared.
#[derive(Template)]
#[template(path = "runner_key.html")]
struct KeyPage {
    frame: Frame,
    action: String,
    form: RunnerForm,
    fields: Vec<(&'static str, String)>,
    /// The machine that shows it.
    machine: RunnerConfig,
    /// Whether that is the runner itself and not one on the way.
    is_last: bool,
    fingerprint: String,
    key: String,
    /// The word for the key's type in the name of its file there.
    kind: &'static str,
    public_key: String,
    wrong: Option<String>,
}

/// Where a form leads on.
pub(super) enum Next {
    /// A page that is to be answered first.
    Ask(Response),
    /// Every key is confirmed.
    Whole(Box<RunnerConfig>),
}

/// `GET /admin/runners/+add`.
pub(super) async fn show(State(admin): State<Admin>, person: Person) -> Response {
    page(&new_form(&admin, &person, RunnerForm::new(), Vec::new()))
}

fn new_form(admin: &Admin, person: &Person, form: RunnerForm, wrong: Vec<Wrong>) -> FormPage {
    let config = &admin.context().config;
    FormPage {
        frame: Frame::new(admin, Some(person), "Add a runner", "Runners"),
        action: ADD.to_owned(),
        form,
        wrong,
        agents: config.agent_names().map(str::to_owned).collect(),
        default_agent: config.default_agent.clone(),
        known: None,
        stays: None,
    }
}

/// `POST /admin/runners/+add`: the next page, or the runner is added.
pub(super) async fn step(
    State(admin): State<Admin>,
    person: Person,
    Form(form): Form<RunnerForm>,
) -> Result<Response, Fault> {
    let context = admin.context();
    let fleet = Fleet::of(context);
    let again = |form: RunnerForm, wrong: Vec<Wrong>| {
        let status = if wrong.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
        (status, page(&new_form(&admin, &person, form, wrong))).into_response()
    };
    let runner = match form.runner() {
        Ok(runner) => runner,
        Err(wrong) => return Ok(again(form, wrong.into_iter().map(Wrong::from).collect())),
    };
    if let Err(wrong) = checked(&fleet, &runner) {
        return Ok(again(form, wrong));
    }
    let runner = match confirm(&admin, &person, ADD, form.clone(), &runner).await? {
        Ok(Next::Ask(page)) => return Ok(page),
        Ok(Next::Whole(runner)) => *runner,
        Err(wrong) => return Ok(again(form.unconfirmed(), wrong)),
    };
    let name = runner.name.clone();
    let was_there = match fleet.add(runner).await {
        Ok(was_there) => was_there,
        Err(refused @ (Refused::Wrong(_) | Refused::Conflict(_))) => {
            return Ok(again(form.unconfirmed(), vec![refused.to_string().into()]));
        }
        Err(refused) => return Err(refused.into()),
    };
    let what = if was_there { ("runner_pinned", "host key pinned anew") } else { ("runner_added", "added") };
    record(context, &person, what, &name).await?;
    one::begin_check(context, &name).await;
    Ok(one::led(&name, if was_there { "pinned" } else { "added" }, None))
}

/// All that is wrong with a runner as it was described, as far as can be told without asking it.
fn checked(fleet: &Fleet, runner: &RunnerConfig) -> Result<(), Vec<Wrong>> {
    fleet
        .config
        .check_runner(runner)
        .map_err(|mistakes| mistakes.0.into_iter().map(Wrong::from).collect::<Vec<_>>())?;
    fleet.check_new(runner).map_err(|refused| vec![refused.to_string().into()])
}

/// Takes over the key that was confirmed, if this form did so, and asks for the next one; `Err`: back to the form, with the reason.
pub(super) async fn confirm(
    admin: &Admin,
    person: &Person,
    action: &str,
    mut form: RunnerForm,
    runner: &RunnerConfig,
) -> Result<Result<Next, Vec<Wrong>>, Fault> {
    let fleet = Fleet::of(admin.context());
    if !form.back.is_empty() {
        return Ok(Err(Vec::new()));
    }
    if !form.offered.is_empty() {
        let Ok(offered) = form.offered.parse::<HostKey>() else {
            return Err(Fault::refused("The host key of this form is damaged. Begin anew with Add a runner."));
        };
        let (printed, shown) = (form.printed.trim().to_owned(), offered.fingerprint());
        if !printed.is_empty() && !same_fingerprint(&printed, &shown) {
            let told = format!(
                "What the machine prints is not the fingerprint of the key that it shows here, which is {shown}. Either another file was \
                 looked at there, or somebody stands in between: nothing is pinned."
            );
            let Some(machine) = form.next_machine(runner) else { return Ok(Err(vec![told.into()])) };
            let page = key_page(admin, person, (action, form), machine, (&offered, Some(told))).await?;
            return Ok(Ok(Next::Ask((StatusCode::UNPROCESSABLE_ENTITY, page).into_response())));
        }
        form.confirm();
    }
    let runner = match form.runner() {
        Ok(runner) => runner,
        Err(wrong) => return Ok(Err(wrong.into_iter().map(Wrong::from).collect())),
    };
    let Some(machine) = form.next_machine(&runner) else { return Ok(Ok(Next::Whole(Box::new(runner)))) };
    let host = machine.host.clone().unwrap_or_default();
    let behind = (!machine.proxy_jump.is_empty()).then_some(&machine);
    let shown = fleet.host_keys(&host, machine.port.unwrap_or(22), behind).await;
    let keys = match shown {
        Ok(keys) => keys,
        Err(refused) => return Ok(Err(vec![Wrong {
            problem: refused.to_string(),
            remedy: "Check host, port and the machines on the way, and that sshd runs there. A machine behind others is asked through them: the bot's public key must be installed on those first.".to_owned(),
        }])),
    };
    let Some(key) = keys.into_iter().find(|key| is_host_key(&key.to_string())) else {
        return Ok(Err(vec![format!("{host} showed no host key that can be pinned").into()]));
    };
    Ok(Ok(Next::Ask(key_page(admin, person, (action, form), machine, (&key, None)).await?)))
}

async fn key_page(
    admin: &Admin,
    person: &Person,
    (action, mut form): (&str, RunnerForm),
    machine: RunnerConfig,
    (key, wrong): (&HostKey, Option<String>),
) -> Result<Response, Fault> {
    form.offered = key.to_string();
    form.printed = String::new();
    let public_key = keys::own(&admin.context().config.home).await?.public;
    let title = format!("Compare the host key of {}", machine.host.as_deref().unwrap_or_default());
    Ok(page(&KeyPage {
        frame: Frame::new(admin, Some(person), title, "Runners"),
        action: action.to_owned(),
        fields: form.fields(),
        is_last: form.is_at_the_end(),
        fingerprint: key.fingerprint(),
        key: key.to_string(),
        kind: match key.algorithm() {
            "ssh-ed25519" => "ed25519",
            "ssh-rsa" => "rsa",
            _ => "ecdsa",
        },
        public_key,
        machine,
        wrong,
        form,
    }))
}
