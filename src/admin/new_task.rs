//! Writing a task: as an issue that the bot creates, or private, with nothing on GitHub but a branch and a pull request (B63).

use askama::Template;
use axum::Form;
use axum::extract::{Query, State};
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
use crate::context::Context;
use crate::db;
use crate::db::repositories::Known;
use crate::inbox::by_hand::NotDone;
use crate::inbox::repositories;
use crate::inbox::tasks::{Made, NewTask, new_task};
use crate::model::uuid;
use crate::trigger::command::Dispatch;

/// The form as it comes; it is shown again with what was wrong.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct TaskForm {
    key: String,
    repository: String,
    title: String,
    body: String,
    kind: String,
    /// Whether work on it starts at once: `yes`, or nothing.
    dispatch: String,
    agent: String,
    model: String,
    runner: String,
    profile: String,
    base: String,
}

/// What the address says besides.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    repository: String,
}

#[derive(Template)]
#[template(path = "new_task.html")]
struct FormPage {
    frame: Frame,
    form: TaskForm,
    wrong: Option<String>,
    repositories: Vec<Known>,
    agents: Vec<String>,
    runners: Vec<String>,
    profiles: Vec<String>,
}

#[derive(Template)]
#[template(path = "new_task_made.html")]
struct MadePage {
    frame: Frame,
    made: Made,
}

impl FormPage {
    fn is_chosen(&self, known: &Known) -> bool {
        known.repository.id.to_string() == self.form.repository
    }

    fn lacks_issues(known: &Known) -> bool {
        known.traits.as_ref().is_some_and(|traits| !traits.issues)
    }
}

/// The pages of new tasks.
pub(super) fn routes(routes: Routes) -> Routes {
    routes.get(Admins, "/admin/new", show).post(Admins, "/admin/new", make)
}

/// `GET /admin/new`.
pub(super) async fn show(
    State(admin): State<Admin>,
    person: Person,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    let form = TaskForm {
        key: uuid(rand::random(), 4),
        repository: asked.repository,
        kind: "auto".to_owned(),
        dispatch: "yes".to_owned(),
        ..TaskForm::default()
    };
    Ok(page(&form_page(&admin, &person, form, None).await?))
}

async fn form_page(admin: &Admin, person: &Person, form: TaskForm, wrong: Option<String>) -> Result<FormPage, Fault> {
    let context = admin.context();
    let repositories = choices(context, person).await?;
    Ok(FormPage {
        frame: Frame::new(admin, Some(person), "New task", ""),
        form,
        wrong,
        repositories,
        agents: context.config.agent_names().map(str::to_owned).collect(),
        runners: context.runners.defaults().into_iter().map(|(name, _)| name).collect(),
        profiles: context.config.profiles.keys().cloned().collect(),
    })
}

/// The repositories in which something can be done.
async fn choices(context: &Context, person: &Person) -> Result<Vec<Known>, Fault> {
    let mut known = db::repositories::all_known(&mut *context.db.read().await?).await?;
    known.retain(|known| {
        let is_archived = known.traits.as_ref().is_some_and(|traits| traits.archived);
        person.sees(known.repository.id)
            && known.repository.installation.is_some()
            && known.out_of_reach.is_none()
            && !is_archived
    });
    Ok(known)
}

/// `POST /admin/new`.
pub(super) async fn make(
    State(admin): State<Admin>,
    person: Person,
    Form(form): Form<TaskForm>,
) -> Result<Response, Fault> {
    let context = admin.context();
    let actor = person.actor()?;
    let chosen =
        choices(context, &person).await?.into_iter().find(|known| known.repository.id.to_string() == form.repository);
    let Some(chosen) = chosen else {
        let wrong = "Choose a repository on which the App is installed.".to_owned();
        return Ok((StatusCode::UNPROCESSABLE_ENTITY, page(&form_page(&admin, &person, form, Some(wrong)).await?))
            .into_response());
    };
    let chosen = asked_about(context, &form.kind, chosen).await?;
    let task = NewTask {
        key: form.key.clone(),
        repository: chosen.repository.id,
        title: form.title.clone(),
        body: form.body.replace("\r\n", "\n"),
        actor: actor.clone(),
        is_operator: person.is_admin(),
        as_issue: as_issue(&form.kind, &chosen),
        dispatch: dispatch(&form),
    };
    match new_task(context, &task).await {
        Ok(made) => match (made.thread, &made.not_started) {
            (Some(thread), None) => {
                let run = made.run.map_or_else(String::new, |run| format!("&run={run}"));
                Ok(Redirect::to(&format!("/admin/threads/{thread}?done=new{run}")).into_response())
            }
            _ => Ok(page(&MadePage { frame: Frame::new(&admin, Some(&person), "The task is made", ""), made })),
        },
        Err(NotDone::Refused { why, .. }) => {
            Ok((StatusCode::UNPROCESSABLE_ENTITY, page(&form_page(&admin, &person, form, Some(why)).await?))
                .into_response())
        }
        Err(trouble) => Err(not_done(trouble)),
    }
}

/// The same with what GitHub says of it, where that is not known and decides.
async fn asked_about(context: &Context, kind: &str, known: Known) -> Result<Known, Fault> {
    if known.traits.is_some() || kind == "issue" || kind == "private" {
        return Ok(known);
    }
    repositories::refresh(context, &known.repository).await.map_err(|trouble| not_done(trouble.into()))?;
    let again = db::repositories::known(&mut *context.db.read().await?, known.repository.id).await?;
    Ok(again.unwrap_or(known))
}

/// Where nobody chooses, a task is an issue where there are issues.
fn as_issue(kind: &str, known: &Known) -> bool {
    match kind {
        "issue" => true,
        "private" => false,
        _ => !FormPage::lacks_issues(known),
    }
}

fn dispatch(form: &TaskForm) -> Option<Dispatch> {
    let given = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    (form.dispatch == "yes").then(|| Dispatch {
        agent: given(&form.agent),
        model: given(&form.model),
        runner: given(&form.runner),
        profile: given(&form.profile),
        base: given(&form.base),
        fresh: false,
        instructions: String::new(),
    })
}

impl MadePage {
    /// Where the task's thread is, or what stands for it.
    fn back(&self) -> String {
        self.made.thread.map_or_else(|| "/admin".to_owned(), |thread| format!("/admin/threads/{thread}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::repositories::{Traits, Words};
    use crate::model::{Repository, RepositoryId};

    // B63
    #[test]
    fn a_task_is_private_where_issues_are_off_unless_somebody_chooses() {
        let known = |issues: Option<bool>| Known {
            repository: Repository { id: RepositoryId(5), installation: None, name: "octo/hello".parse().unwrap() },
            traits: issues.map(|issues| Traits { default_branch: "main".into(), issues, archived: false }),
            out_of_reach: None,
            words: Words::default(),
            open_threads: 0,
            last_run: None,
        };
        for (kind, issues, issue) in [
            ("auto", Some(true), true),
            ("auto", Some(false), false),
            ("auto", None, true),
            ("", Some(false), false),
            ("private", Some(true), false),
            ("issue", Some(false), true),
        ] {
            assert_eq!(as_issue(kind, &known(issues)), issue, "{kind} {issues:?}");
        }
    }
}
