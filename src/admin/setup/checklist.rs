//! What is left to do from a fresh App to the first pull request, read from the tables.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, RawQuery, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::Deserialize;

use super::look::{self, Known, look};
use crate::admin::Admin;
use crate::admin::fault::Fault;
use crate::admin::live::{self, Part};
use crate::admin::person::Person;
use crate::admin::view::{Ago, Badge, Frame, page};
use crate::context::Context;
use crate::db;
use crate::model::{AccountId, Millis, Repository, RunId};
use crate::trigger::allow::served;

/// Repositories that are listed; the rest is counted.
const LISTED: usize = 12;
/// GitHub is not asked again within this time because somebody loads the page.
const LOOKED_FOR: Millis = 10_000;

/// All that the list depends on.
#[derive(Clone, Debug, Default)]
struct Facts {
    known: Known,
    installed: Vec<Repository>,
    allow: Option<Vec<String>>,
    runners: Vec<String>,
    run: Option<(RunId, Badge)>,
    label: String,
    github: String,
}

/// A repository in the list.
#[derive(Debug, PartialEq, Eq)]
struct Listed {
    name: String,
    /// Why it is not served.
    not_served: Option<String>,
}

#[derive(Template)]
#[template(path = "setup_list.html")]
struct List {
    facts: Facts,
    repositories: Vec<Listed>,
    now: Millis,
}

impl List {
    fn new(facts: Facts, now: Millis) -> Self {
        let repositories = facts.installed.iter().map(|repository| listed(&facts, repository)).collect();
        Self { facts, repositories, now }
    }

    fn install_url(&self) -> Option<String> {
        let Facts { known, github, .. } = &self.facts;
        (!known.slug.is_empty()).then(|| format!("{github}/apps/{}/installations/new", known.slug))
    }

    fn shown(&self) -> &[Listed] {
        &self.repositories[..self.repositories.len().min(LISTED)]
    }

    fn more(&self) -> usize {
        self.repositories.len().saturating_sub(LISTED)
    }

    /// A repository in which a first issue makes sense.
    fn first_served(&self) -> Option<&str> {
        self.repositories.iter().find(|listed| listed.not_served.is_none()).map(|listed| listed.name.as_str())
    }

    fn ago(&self) -> Ago {
        Ago::new(self.facts.known.looked_at, self.now)
    }

    /// How many of the five steps are done.
    fn done(&self) -> usize {
        let Facts { installed, runners, run, .. } = &self.facts;
        let steps = [true, !installed.is_empty(), self.first_served().is_some(), !runners.is_empty(), run.is_some()];
        steps.into_iter().filter(|done| *done).count()
    }
}

fn listed(facts: &Facts, repository: &Repository) -> Listed {
    // Of the owner the table knows the login alone, which is enough to show: decisions compare ids.
    let is_ours = repository.name.owner.eq_ignore_ascii_case(&facts.known.owner);
    let (ours, theirs) = (AccountId(1), AccountId(2));
    let verdict = served(facts.allow.as_deref(), &repository.name, if is_ours { ours } else { theirs }, ours);
    Listed { name: repository.name.to_string(), not_served: verdict.err() }
}

async fn facts(context: &Context) -> Result<Facts, Fault> {
    let mut conn = context.db.read().await?;
    let run = match db::runs::newest(&mut conn).await? {
        Some(id) => {
            let run = db::runs::get(&mut conn, id).await?;
            Some((id, Badge { status: run.status, outcome: run.outcome }))
        }
        None => None,
    };
    Ok(Facts {
        known: look::known(&mut conn).await?,
        installed: db::repositories::installed(&mut conn).await?,
        allow: context.config.allow.clone(),
        runners: context.runners.all().iter().map(|machine| machine.config().name.clone()).collect(),
        run,
        label: context.config.label.clone(),
        github: context.app.server_url.clone(),
    })
}

async fn list(context: &Context) -> Result<List, Fault> {
    Ok(List::new(facts(context).await?, context.clock.now()))
}

async fn parts(context: &Context) -> Result<Vec<Part>, Fault> {
    Ok(vec![Part::new("list", list(context).await?.render()?)])
}

#[derive(Template)]
#[template(path = "setup_checklist.html")]
struct ChecklistPage {
    frame: Frame,
    list: List,
    live: String,
}

#[derive(Deserialize)]
pub(in crate::admin) struct Asked {
    /// GitHub adds it when somebody comes from installing the App.
    installation_id: Option<String>,
    v: Option<String>,
}

/// `GET /admin/setup`.
pub(in crate::admin) async fn show(
    State(admin): State<Admin>,
    person: Person,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    let context = admin.context();
    let list = list(context).await?;
    // The page does not wait for GitHub: what it says comes by the stream.
    let is_new = list.facts.installed.is_empty() || asked.installation_id.is_some();
    if is_new && context.clock.now() - list.facts.known.looked_at > LOOKED_FOR {
        let context = context.clone();
        tokio::spawn(async move {
            if let Err(error) = look(&context).await {
                tracing::error!("what GitHub says of the App cannot be kept: {error:#}");
            }
        });
    }
    let version = live::version(&[Part::new("list", list.render()?)]);
    let frame = Frame::new(&admin, Some(&person), "Setting up", "");
    Ok(page(&ChecklistPage { frame, list, live: format!("/admin/setup/live?v={version}") }))
}

/// `GET /admin/setup/live`.
pub(in crate::admin) async fn live(
    State(admin): State<Admin>,
    headers: HeaderMap,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    let context = admin.context().clone();
    let make: live::Make = Arc::new(move || {
        let context = context.clone();
        Box::pin(async move { parts(&context).await })
    });
    live::stream(&admin, "setup".to_owned(), &headers, asked.v.as_deref(), make).await
}

/// `POST /admin/setup/look`: asks GitHub now.
pub(in crate::admin) async fn look_now(State(admin): State<Admin>) -> Result<Response, Fault> {
    look(admin.context()).await?;
    Ok(Redirect::to("/admin/setup").into_response())
}

/// `GET /setup` of a bot that has its App: where GitHub leads people who installed it.
pub(in crate::admin) async fn onward(RawQuery(query): RawQuery) -> Response {
    let query = query.filter(|query| query.bytes().all(|b| b.is_ascii_graphic())).unwrap_or_default();
    let joint = if query.is_empty() { "" } else { "?" };
    Redirect::to(&format!("/admin/setup{joint}{query}")).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{InstallationId, Outcome, RepositoryId, Status};

    fn repository(name: &str) -> Repository {
        Repository { id: RepositoryId(1), installation: Some(InstallationId(1)), name: name.parse().unwrap() }
    }

    fn facts() -> Facts {
        Facts {
            known: Known { slug: "track-octo".to_owned(), owner: "octo".to_owned(), looked_at: 1_000, trouble: None },
            label: "track".to_owned(),
            github: "https://github.com".to_owned(),
            ..Facts::default()
        }
    }

    /// The text of HTML, with links' addresses.
    fn words(html: &str) -> String {
        let mut text = String::new();
        let mut rest = html;
        while let Some((before, tag)) = rest.split_once('<') {
            text.push_str(before);
            let (tag, after) = tag.split_once('>').unwrap();
            if let Some(href) = tag.strip_prefix("a href=\"").and_then(|tag| tag.split('"').next()) {
                text.push_str(&format!(" [{href}] "));
            }
            text.push(' ');
            rest = after;
        }
        (text + rest).split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_fresh_app_is_to_be_installed() {
        let list = List::new(facts(), 61_000);
        assert_eq!(list.done(), 1);
        insta::assert_snapshot!(words(&list.render().unwrap()), @r#"1 of 5 steps are done. 1. Create the App done [https://github.com/apps/track-octo] track-octo of octo, on https://github.com. 2. Install it to do On GitHub you choose the repositories that it may see: all of them, or some. Install it on GitHub 3. Pick repositories to do Served are the repositories of octo. allow in track.toml names others, or fewer: allow = ["owner/*", "org/repo"] , and the bot is started again. 4. Add a machine for the agents to do Linux with sshd, bash, git and the agents ( codex , claude , or a command of yours), logged in there once. The bot's public key is shown, then everything is checked line by line. Add a machine 5. Run a first issue to do Open an issue that says what is to be done, and put the label track on it; or comment /track dispatch . The bot answers with 👀, and the run appears here."#);
    }

    #[test]
    fn what_is_there_is_ticked_off_and_what_is_not_served_says_why() {
        let facts = Facts {
            installed: vec![repository("octo/hello"), repository("acme/site")],
            runners: vec!["build-1".to_owned()],
            run: Some((
                "01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap(),
                Badge { status: Status::Done, outcome: Some(Outcome::Succeeded) },
            )),
            ..facts()
        };
        let list = List::new(facts, 61_000);
        assert_eq!((list.done(), list.first_served()), (5, Some("octo/hello")));
        insta::assert_snapshot!(words(&list.render().unwrap()), @r#"5 of 5 steps are done. 1. Create the App done [https://github.com/apps/track-octo] track-octo of octo, on https://github.com. 2. Install it done It reaches 2 repositories. Choose others on GitHub 3. Pick repositories done Served are the repositories of octo. allow in track.toml names others, or fewer: allow = ["owner/*", "org/repo"] , and the bot is started again. octo/hello served acme/site not served acme/site does not belong to the App&#39;s owner; `allow` in track.toml can add it 4. Add a machine for the agents done build-1. [/admin/runners] Health and checks 5. Run a first issue done The newest run: [/admin/runs/01ARZ3NDEKTSV4RRFFQ69G5FAV] succeeded . Everything that is at work stands on the [/admin] board ."#);
    }

    // T26
    #[test]
    fn hostile_words_stay_words() {
        let hostile = "<script>alert(1)</script>\"'";
        let known = Known {
            slug: hostile.to_owned(),
            owner: hostile.to_owned(),
            looked_at: 0,
            trouble: Some(hostile.to_owned()),
        };
        let facts = Facts { known, runners: vec![hostile.to_owned()], label: hostile.to_owned(), ..facts() };
        let html = List::new(facts, 0).render().unwrap();
        assert!(!html.contains("<script") && !html.contains("\"'"), "{html}");
    }
}
