//! Settings: what the bot runs by, where each value is changed, and who is signed in.

use askama::Template;
use axum::extract::{Form, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::Deserialize;

use super::Admin;
use super::access::{Access, Routes};
use super::fault::Fault;
use super::person::Person;
use super::view::{Frame, money, page, span};
use crate::config::{Config, FollowUp};
use crate::context::Context;
use crate::db;
use crate::db::decisions::Decision;
use crate::db::sign_ins::SignedIn;
use crate::model::Via;

pub(super) fn routes(routes: Routes) -> Routes {
    routes.get(Access::Admin, "/admin/settings", show).post(Access::Admin, "/admin/settings/sign-out", end)
}

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Setting {
    /// As it is written where it is set.
    name: &'static str,
    /// What it is, for people; never a secret.
    value: String,
    /// What it does.
    about: &'static str,
}

impl Setting {
    fn new(name: &'static str, value: impl Into<String>, about: &'static str) -> Self {
        Self { name, value: value.into(), about }
    }
}

/// Settings that are changed in one place.
struct Group {
    title: &'static str,
    place: &'static str,
    settings: Vec<Setting>,
}

#[derive(Template)]
#[template(path = "settings.html")]
struct SettingsPage {
    frame: Frame,
    groups: Vec<Group>,
    agents: Vec<(String, String)>,
    profiles: Vec<(String, String)>,
    signed_in: Vec<SignedIn>,
    /// Which of them looks at the page.
    me: String,
}

/// Names with commas between, or what stands for none.
fn list(names: &[String], none: &str) -> String {
    if names.is_empty() { none.to_owned() } else { names.join(", ") }
}

fn given(is: bool) -> &'static str {
    if is { "set" } else { "not set" }
}

fn groups(context: &Context) -> Vec<Group> {
    let Config { limits, .. } = &*context.config;
    let config = &*context.config;
    let app = &context.app;
    let environment = vec![
        Setting::new("GITHUB_APP_ID", app.app_id.to_string(), "the App as which the bot acts"),
        Setting::new("GITHUB_APP_PRIVATE_KEY", "set, not shown", "its key"),
        Setting::new("GITHUB_WEBHOOK_SECRET", "set, not shown", "under which GitHub signs webhooks"),
        Setting::new("GITHUB_API_URL", &app.api_url, "where GitHub's API is"),
        Setting::new("GITHUB_SERVER_URL", &app.server_url, "where GitHub's pages are"),
        Setting::new(
            "GITHUB_APP_CLIENT_ID",
            given(config.sign_in.is_some()),
            "signing in through GitHub; without it the page is for the bot's own machine",
        ),
        Setting::new(
            "TRACK_PUBLIC_URL",
            config.public_url.clone().unwrap_or_else(|| "not set".to_owned()),
            "how people reach this page; comments link to it",
        ),
        Setting::new(
            "TRACK_ADMINS",
            list(&config.admins, "nobody: then it is the App's owner, if that is a person"),
            "who may do everything here",
        ),
        Setting::new(
            "TRACK_LISTEN",
            context.address.get().unwrap_or(&config.listen).to_string(),
            "where HTTP is served",
        ),
        Setting::new("TRACK_HOME", config.home.display().to_string(), "database, keys, mirrors, journals"),
    ];
    let allow =
        config.allow.as_ref().map_or_else(|| "those of the App's owner".to_owned(), |allow| list(allow, "none"));
    let work = vec![
        Setting::new("allow", allow, "repositories that are served"),
        Setting::new(
            "main_user",
            list(&config.main_user, "the repository's, else who asked for the run"),
            "whose reviews start follow-ups",
        ),
        Setting::new(
            "follow_up",
            if config.follow_up == FollowUp::Auto { "auto" } else { "off" },
            "whether they do so by themselves",
        ),
        Setting::new("default_agent", &config.default_agent, "the agent where nothing else chooses one"),
        Setting::new("label", &config.label, "the label that starts work"),
    ];
    let millis = |time: std::time::Duration| span(time.as_millis() as i64);
    let bounds = vec![
        Setting::new("runs", limits.runs.to_string(), "at once, over all runners"),
        Setting::new("runs_per_repository", limits.runs_per_repository.to_string(), "at once in one repository"),
        Setting::new("wall_minutes", millis(limits.wall), "for one agent"),
        Setting::new("silence_minutes", millis(limits.silence), "without a line of output"),
        Setting::new("quiet_seconds", millis(limits.quiet), "that lone review comments wait for each other"),
        Setting::new("followups_per_day", limits.followups_per_day.to_string(), "automatic ones, on one pull request"),
        Setting::new("runs_per_user_hour", limits.runs_per_user_hour.to_string(), "that one person may ask for"),
        Setting::new("lost_after_hours", limits.lost_after_hours.to_string(), "without a sign of the runner"),
        Setting::new("cost_usd_per_run", money(limits.cost_usd_per_run), "for one run"),
        Setting::new("cost_usd_per_day", money(limits.cost_usd_per_day), "for all runs of a day"),
    ];
    vec![
        Group { title: "Installation", place: "the environment or .env", settings: environment },
        Group { title: "Work", place: "track.toml", settings: work },
        Group {
            title: "Limits",
            place: "[limits] of track.toml; .github/track.yml of a repository may lower them",
            settings: bounds,
        },
    ]
}

async fn show(State(admin): State<Admin>, person: Person) -> Result<Response, Fault> {
    let context = admin.context();
    let signed_in = db::sign_ins::all(&mut *context.db.read().await?, context.clock.now()).await?;
    let custom = context.config.agents.iter().map(|(name, agent)| (name.clone(), agent.command.join(" ")));
    let built_in = crate::config::BUILT_IN_AGENTS.iter().map(|name| ((*name).to_owned(), "built in".to_owned()));
    let profiles = context.config.profiles.iter().map(|(name, profile)| {
        let model = profile.model.as_ref().map(|model| format!(", model {model}")).unwrap_or_default();
        (name.clone(), format!("{}{model}", profile.agent))
    });
    Ok(page(&SettingsPage {
        frame: Frame::new(&admin, Some(&person), "Settings", "Settings"),
        groups: groups(context),
        agents: built_in.chain(custom).collect(),
        profiles: profiles.collect(),
        signed_in,
        me: person.signed_in().id.clone(),
    }))
}

#[derive(Deserialize)]
struct End {
    /// The stored half of a sign-in, which opens nothing.
    id: String,
}

/// Ends somebody's sign-in.
async fn end(State(admin): State<Admin>, person: Person, Form(form): Form<End>) -> Result<Response, Fault> {
    let context = admin.context();
    let now = context.clock.now();
    let mut tx = context.db.begin().await?;
    let Some(ended) = db::sign_ins::get(&mut tx, &form.id, now).await? else {
        return Err(Fault::refused("They are signed out already."));
    };
    db::sign_ins::remove(&mut tx, &form.id).await?;
    let whom = ended.account.map_or_else(|| "somebody who came by a link".to_owned(), |account| account.login);
    let actor = person.account().map(|account| account.login.as_str());
    let record = Decision::of_bot(actor, "signed_out", format!("{whom} is signed out of the page"));
    db::decisions::insert(&mut tx, &record, now).await?;
    tx.commit().await?;
    Ok(Redirect::to("/admin/settings").into_response())
}
