//! A thread: what was asked for, what the agents answered, its branches and pull requests, and the buttons by which more is asked for.

use std::sync::Arc;

use askama::Template;
use axum::Form;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::Admin;
use super::access::Access::{Admin as Admins, SignedIn};
use super::access::Routes;
use super::fault::Fault;
use super::live;
use super::person::Person;
use super::thread_view::{self, View};
use super::view::{Frame, filters, page};
use crate::context::Context;
use crate::db;
use crate::db::threads::Thread;
use crate::inbox::by_hand::{self, Done, NotDone, Request};
use crate::inbox::{Trouble, tasks};
use crate::model::{RunId, ThreadId, uuid};
use crate::trigger::command::{Command, Dispatch, Followup, Review};
use crate::trigger::offers::Action;

/// What the form on a thread's page holds; each button takes what it needs.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ActForm {
    key: String,
    text: String,
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
    v: Option<String>,
    done: Option<String>,
    run: Option<String>,
}

#[derive(Template)]
#[template(path = "thread.html")]
struct ThreadPage {
    frame: Frame,
    view: View,
    parts: thread_view::Rendered,
    /// A key for what is asked for from this page.
    key: String,
    live: String,
    /// What was just done.
    done: Option<&'static str>,
    run: Option<RunId>,
    agents: Vec<String>,
    runners: Vec<String>,
    profiles: Vec<String>,
}

#[derive(Template)]
#[template(path = "thread_confirm.html")]
struct ConfirmPage {
    frame: Frame,
    thread: ThreadId,
    title: String,
    action: &'static str,
    question: &'static str,
    button: &'static str,
    lost: Vec<String>,
    key: String,
}

/// What is asked before it is done.
struct Question {
    action: &'static str,
    question: &'static str,
    button: &'static str,
}

const QUESTIONS: &[Question] = &[
    Question { action: "discard", question: "Discard the history of this thread?", button: "Discard" },
    Question { action: "close", question: "Close this task?", button: "Close the task" },
];

/// What a page says after something was done, by the word in its address.
const DONE: &[(&str, &str)] = &[
    ("dispatch", "Asked for: the run is queued."),
    ("fresh", "Asked for: the run is queued, on a new branch."),
    ("followup", "Asked for: the agent goes on, now or when the live run is over."),
    ("review", "Asked for: the review is queued."),
    ("cancel", "Cancel was asked for."),
    ("retry", "Asked for: it is attempted again."),
    ("pause", "Reviews start no follow-ups here from now on."),
    ("resume", "Reviews start follow-ups again."),
    ("discard", "The history is discarded."),
    ("close", "The task is closed."),
    ("reopen", "The task is open again."),
    ("new", "The task is made."),
];

/// The pages of threads.
pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .get(SignedIn, "/admin/threads/{thread}", show)
        .get(SignedIn, "/admin/threads/{thread}/live", live)
        .get(Admins, "/admin/threads/{thread}/{action}", confirm)
        .post(Admins, "/admin/threads/{thread}/{action}", act)
        .post(SignedIn, "/admin/threads/{thread}/cancel/{run}", cancel)
}

/// The thread of an address, if this person may see it.
async fn find(admin: &Admin, person: &Person, thread: &str) -> Result<Thread, Fault> {
    let id: ThreadId = thread.parse().map_err(|_| Fault::not_found("thread"))?;
    let thread = match db::threads::get(&mut *admin.context().db.read().await?, id).await {
        Err(sqlx::Error::RowNotFound) => return Err(Fault::not_found("thread")),
        thread => thread?,
    };
    person.must_see(thread.repository, "thread")?;
    Ok(thread)
}

/// `GET /admin/threads/{thread}`.
pub(super) async fn show(
    State(admin): State<Admin>,
    person: Person,
    Path(thread): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    let thread = find(&admin, &person, &thread).await?;
    let context = admin.context();
    let view = thread_view::gather(context, &thread, &person).await?;
    let parts = view.render()?;
    let version = live::version(&parts.parts());
    let done = asked.done.and_then(|word| DONE.iter().find(|(known, _)| *known == word).map(|(_, told)| *told));
    let config = &context.config;
    Ok(page(&ThreadPage {
        frame: Frame::new(&admin, Some(&person), view.title.clone(), "Board"),
        key: uuid(rand::random(), 4),
        live: format!("/admin/threads/{}/live?v={version}", thread.id),
        done,
        run: asked.run.and_then(|run| run.parse().ok()),
        agents: config.agent_names().map(str::to_owned).collect(),
        runners: context.runners.defaults().into_iter().map(|(name, _)| name).collect(),
        profiles: config.profiles.keys().cloned().collect(),
        view,
        parts,
    }))
}

/// `GET /admin/threads/{thread}/live`. What somebody is offered depends on who it is, so people do not share a topic; their windows do.
pub(super) async fn live(
    State(admin): State<Admin>,
    person: Person,
    headers: HeaderMap,
    Path(thread): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    let thread = find(&admin, &person, &thread).await?;
    let key = format!("thread {} {}", thread.id, person.signed_in().id);
    let context = admin.context().clone();
    let make: live::Make = Arc::new(move || {
        let (context, person): (Arc<Context>, Person) = (context.clone(), person.clone());
        Box::pin(async move { Ok(thread_view::gather(&context, &thread, &person).await?.render()?.parts()) })
    });
    live::stream(&admin, key, &headers, asked.v.as_deref(), make).await
}

/// `GET /admin/threads/{thread}/{action}`: what is lost, before it is.
pub(super) async fn confirm(
    State(admin): State<Admin>,
    person: Person,
    Path((thread, action)): Path<(String, String)>,
) -> Result<Response, Fault> {
    let thread = find(&admin, &person, &thread).await?;
    let asked = QUESTIONS.iter().find(|question| question.action == action).ok_or_else(|| Fault::not_found("page"))?;
    let view = thread_view::gather(admin.context(), &thread, &person).await?;
    let lost = match asked.action {
        "close" => view.lost_by_closing(),
        _ => view.lost_by_discarding(),
    };
    Ok(page(&ConfirmPage {
        frame: Frame::new(&admin, Some(&person), asked.question, "Board"),
        thread: thread.id,
        title: view.title,
        action: asked.action,
        question: asked.question,
        button: asked.button,
        lost,
        key: uuid(rand::random(), 4),
    }))
}

/// `POST /admin/threads/{thread}/{action}`.
pub(super) async fn act(
    State(admin): State<Admin>,
    person: Person,
    Path((thread, action)): Path<(String, String)>,
    Form(form): Form<ActForm>,
) -> Result<Response, Fault> {
    let thread = find(&admin, &person, &thread).await?;
    let context = admin.context();
    let actor = person.actor()?;
    if let "close" | "reopen" = action.as_str() {
        tasks::set_open(context, thread.id, actor, action == "reopen").await.map_err(not_done)?;
        return Ok(back(&thread, &action, None));
    }
    let known = Action::ALL.iter().find(|known| known.as_str() == action).ok_or_else(|| Fault::not_found("action"))?;
    let number = match known {
        // A review is about the pull request, and so is what reviews start.
        Action::Review => thread_view::pull_of(context, &thread).await?.unwrap_or(thread.number),
        _ => thread.number,
    };
    let request = Request {
        key: key(&form, &action),
        repository: thread.repository,
        number,
        actor: actor.clone(),
        is_operator: person.is_admin(),
        command: command(*known, &form),
    };
    let Done { run, .. } = by_hand::perform(context, &request).await.map_err(not_done)?;
    Ok(back(&thread, &action, run))
}

/// `POST /admin/threads/{thread}/cancel/{run}`: one run, also by a viewer whose run it is.
pub(super) async fn cancel(
    State(admin): State<Admin>,
    person: Person,
    Path((thread, run)): Path<(String, String)>,
) -> Result<Response, Fault> {
    let thread = find(&admin, &person, &thread).await?;
    let unknown = || Fault::not_found("run");
    let run: RunId = run.parse().map_err(|_| unknown())?;
    let row = match db::runs::get(&mut *admin.context().db.read().await?, run).await {
        Err(sqlx::Error::RowNotFound) => return Err(unknown()),
        row => row?,
    };
    let actor = person.actor()?;
    if row.thread != thread.id {
        return Err(unknown());
    }
    if !person.is_admin() && row.ask.requester.id != actor.id {
        return Err(Fault::forbidden("Somebody else asked for this run: they, or an admin of the bot, can end it."));
    }
    by_hand::cancel_run(admin.context(), run, actor).await.map_err(not_done)?;
    Ok(back(&thread, "cancel", None))
}

fn back(thread: &Thread, done: &str, run: Option<RunId>) -> Response {
    let run = run.map_or_else(String::new, |run| format!("&run={run}"));
    Redirect::to(&format!("/admin/threads/{}?done={done}{run}", thread.id)).into_response()
}

/// The key of a request: the page's, the button and what was written. Two clicks are one request, another button is another one.
fn key(form: &ActForm, action: &str) -> String {
    let ActForm { key, text, agent, model, runner, profile, base } = form;
    let told = serde_json::json!([key, action, text, agent, model, runner, profile, base]).to_string();
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&Sha256::digest(told)[..16]);
    uuid(bytes, 8)
}

fn command(action: Action, form: &ActForm) -> Command {
    let given = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    let instructions = form.text.replace("\r\n", "\n").trim().to_owned();
    match action {
        Action::Dispatch | Action::StartFresh => Command::Dispatch(Dispatch {
            agent: given(&form.agent),
            model: given(&form.model),
            runner: given(&form.runner),
            profile: given(&form.profile),
            base: given(&form.base),
            fresh: action == Action::StartFresh,
            instructions,
        }),
        Action::FollowUp => Command::Followup(Followup { fresh: false, instructions }),
        Action::Review => Command::Review(Review {
            agent: given(&form.agent),
            model: given(&form.model),
            runner: given(&form.runner),
            instructions,
        }),
        other => other.command(),
    }
}

/// Why a request was not carried out, for whoever made it.
pub(super) fn not_done(why: NotDone) -> Fault {
    match why {
        NotDone::Refused { reason, why } if reason == "stranger" => Fault::forbidden(why),
        NotDone::Refused { why, .. } => Fault::refused(why),
        NotDone::Trouble(Trouble::GitHub(error)) => Fault::new(
            StatusCode::BAD_GATEWAY,
            format!(
                "GitHub did not answer what has to be asked first: {error}. Nothing was done; try again in a moment."
            ),
        ),
        NotDone::Trouble(Trouble::Other(error)) => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // P2
    #[test]
    fn two_clicks_have_one_key_and_other_wishes_another() {
        let form = ActForm { key: "1".into(), text: "More.".into(), ..ActForm::default() };
        let other = ActForm { text: "Less.".into(), ..form.clone() };
        assert_eq!(key(&form, "followup"), key(&form.clone(), "followup"));
        assert_ne!(key(&form, "followup"), key(&other, "followup"));
        assert_ne!(key(&form, "followup"), key(&form, "dispatch"));
    }

    #[test]
    fn a_button_takes_what_it_needs_of_the_form() {
        let form =
            ActForm { text: " a\r\nb ".into(), agent: " claude ".into(), base: "next".into(), ..ActForm::default() };
        let Command::Dispatch(fresh) = command(Action::StartFresh, &form) else { panic!("a dispatch") };
        assert_eq!((fresh.fresh, fresh.agent.as_deref(), fresh.base.as_deref()), (true, Some("claude"), Some("next")));
        assert_eq!(fresh.instructions, "a\nb");
        assert_eq!(command(Action::Cancel, &form), Command::Cancel);
    }
}
