//! The repositories that the bot knows: what they are like, what operators call them, and which rules hold in each (B61).

use askama::Template;
use axum::Form;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::Deserialize;

use super::Admin;
use super::access::Access::{Admin as Admins, SignedIn};
use super::access::Routes;
use super::fault::Fault;
use super::person::Person;
use super::rules::{Rule, rules};
use super::view::{Ago, Frame, page};
use crate::db;
use crate::db::decisions::Decision as Record;
use crate::db::repositories::{Known, Words};
use crate::db::threads::Listed;
use crate::github::app;
use crate::inbox::Trouble;
use crate::inbox::repositories as known;
use crate::model::{Millis, RepositoryId};
use crate::run::plan::{self, PlanError};
use crate::trigger::policy::PATH;

/// Threads that a repository's page lists.
const THREADS: i64 = 50;
/// Names that a repository may have besides its own.
const MOST_ALIASES: usize = 20;
/// Characters of the longest of them.
const ALIAS_LIMIT: usize = 60;
/// Characters of the longest description.
const DESCRIPTION_LIMIT: usize = 2_000;

#[derive(Template)]
#[template(path = "repositories.html")]
struct ListPage {
    frame: Frame,
    repositories: Vec<Known>,
    default_agent: String,
    install_url: Option<String>,
    looked: Option<String>,
}

#[derive(Template)]
#[template(path = "repository.html")]
struct OnePage {
    frame: Frame,
    known: Known,
    rules: Vec<Rule>,
    /// Whether `track.yml` was read since the bot started.
    is_read: bool,
    threads: Vec<Listed>,
    path: &'static str,
    saved: bool,
}

/// How a repository is reached, in words with a colour.
fn state(known: &Known) -> (&'static str, &'static str) {
    match (known.out_of_reach.as_deref(), known.repository.installation, &known.traits) {
        (Some("suspended"), ..) => ("warn", "suspended"),
        (Some(_), ..) => ("bad", "not installed any more"),
        (None, None, _) => ("calm", "not installed"),
        (None, Some(_), Some(traits)) if traits.archived => ("calm", "archived"),
        (None, Some(_), _) => ("good", "installed"),
    }
}

impl ListPage {
    fn state(known: &Known) -> (&'static str, &'static str) {
        state(known)
    }

    fn ago(&self, at: &Millis) -> Ago {
        self.frame.ago(at)
    }
}

impl OnePage {
    fn state(&self) -> (&'static str, &'static str) {
        state(&self.known)
    }

    fn ago(&self, at: &Millis) -> Ago {
        self.frame.ago(at)
    }
}

/// The pages of repositories.
pub(super) fn routes(routes: Routes) -> Routes {
    routes
        .get(SignedIn, "/admin/repositories", list)
        .post(Admins, "/admin/repositories/look", look)
        .get(SignedIn, "/admin/repositories/{repository}", show)
        .post(Admins, "/admin/repositories/{repository}", save)
        .post(Admins, "/admin/repositories/{repository}/read", read)
}

/// What the address says besides.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Told {
    looked: Option<String>,
    saved: Option<String>,
}

/// `GET /admin/repositories`.
pub(super) async fn list(
    State(admin): State<Admin>,
    person: Person,
    Query(told): Query<Told>,
) -> Result<Response, Fault> {
    let context = admin.context();
    let mut repositories = db::repositories::all_known(&mut *context.db.read().await?).await?;
    repositories.retain(|known| person.sees(known.repository.id));
    let looked = told.looked.filter(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    Ok(page(&ListPage {
        frame: Frame::new(&admin, Some(&person), "Repositories", "Repositories"),
        repositories,
        default_agent: context.config.default_agent.clone(),
        install_url: app::known(&context.github).map(|bot| context.install_url(&bot.slug)),
        looked,
    }))
}

/// `POST /admin/repositories/look`: asks GitHub where the App is installed.
pub(super) async fn look(State(admin): State<Admin>, _person: Person) -> Result<Response, Fault> {
    let found = known::look(admin.context()).await.map_err(trouble)?;
    Ok(Redirect::to(&format!("/admin/repositories?looked={found}")).into_response())
}

/// `GET /admin/repositories/{repository}`.
pub(super) async fn show(
    State(admin): State<Admin>,
    person: Person,
    Path(id): Path<String>,
    Query(told): Query<Told>,
) -> Result<Response, Fault> {
    let context = admin.context();
    let known = find(&admin, &person, &id).await?;
    let policy = context.policies.since(known.repository.id, 0);
    let threads = db::threads::listed(&mut *context.db.read().await?, known.repository.id, THREADS).await?;
    Ok(page(&OnePage {
        frame: Frame::new(&admin, Some(&person), known.repository.name.to_string(), "Repositories"),
        rules: rules(&context.config, known.traits.as_ref(), policy.as_ref()),
        is_read: policy.is_some(),
        threads,
        path: PATH,
        saved: told.saved.is_some(),
        known,
    }))
}

/// `POST /admin/repositories/{repository}/read`: reads `track.yml` and what GitHub says of the repository.
pub(super) async fn read(
    State(admin): State<Admin>,
    person: Person,
    Path(id): Path<String>,
) -> Result<Response, Fault> {
    let known = find(&admin, &person, &id).await?;
    known::refresh(admin.context(), &known.repository).await.map_err(trouble)?;
    match plan::policy(admin.context(), &known.repository).await {
        Ok(_) => Ok(Redirect::to(&format!("/admin/repositories/{id}")).into_response()),
        Err(PlanError::Unusable(_, mistake)) => {
            Err(Fault::refused(format!("{mistake} As long as that is so, no run starts there.")))
        }
        Err(PlanError::GitHub(error)) => Err(trouble(error.into())),
        Err(PlanError::Other(error)) => Err(error.into()),
    }
}

/// What operators say of a repository, as the form has it.
#[derive(Debug, Deserialize)]
pub(super) struct WordsForm {
    aliases: String,
    description: String,
}

/// `POST /admin/repositories/{repository}`.
pub(super) async fn save(
    State(admin): State<Admin>,
    person: Person,
    Path(id): Path<String>,
    Form(form): Form<WordsForm>,
) -> Result<Response, Fault> {
    let context = admin.context();
    let known = find(&admin, &person, &id).await?;
    let words = words(&form).map_err(Fault::refused)?;
    let mut tx = context.db.begin().await?;
    for other in
        db::repositories::all_known(&mut tx).await?.iter().filter(|other| other.repository.id != known.repository.id)
    {
        let taken = words.aliases.iter().find(|alias| {
            other.repository.name.name.eq_ignore_ascii_case(alias)
                || other.words.aliases.iter().any(|taken| taken.eq_ignore_ascii_case(alias))
        });
        if let Some(alias) = taken {
            let told =
                format!("{alias} means {} already. A name can stand for one repository only.", other.repository.name);
            return Err(Fault::refused(told));
        }
    }
    db::repositories::set_words(&mut tx, known.repository.id, &words).await?;
    let record = Record {
        delivery: None,
        repository: Some(known.repository.id),
        number: None,
        trigger: None,
        run: None,
        actor: person.account().map(|account| account.login.clone()),
        verdict: "noted",
        reason: "repository_named".to_owned(),
        detail: match &words.aliases[..] {
            [] => format!("{} has no other names", known.repository.name),
            aliases => format!("{} is also called {}", known.repository.name, aliases.join(", ")),
        },
        about: db::decisions::About::default(),
    };
    db::decisions::insert(&mut tx, &record, context.clock.now()).await?;
    tx.commit().await?;
    Ok(Redirect::to(&format!("/admin/repositories/{id}?saved=yes")).into_response())
}

/// Aliases are words that people can type after a command.
fn words(form: &WordsForm) -> Result<Words, String> {
    let mut aliases: Vec<String> = Vec::new();
    for alias in form.aliases.split(|c: char| c == ',' || c.is_whitespace()).filter(|alias| !alias.is_empty()) {
        let valid =
            alias.chars().all(|c| c.is_alphanumeric() || "._-".contains(c)) && alias.chars().count() <= ALIAS_LIMIT;
        if !valid {
            return Err(format!(
                "{alias:?} cannot be another name: up to {ALIAS_LIMIT} letters, digits, '.', '_' and '-'."
            ));
        }
        if !aliases.iter().any(|known| known.eq_ignore_ascii_case(alias)) {
            aliases.push(alias.to_owned());
        }
    }
    if aliases.len() > MOST_ALIASES {
        return Err(format!("These are {} other names, and {MOST_ALIASES} are the most.", aliases.len()));
    }
    let description = form.description.replace("\r\n", "\n").trim().to_owned();
    if description.chars().count() > DESCRIPTION_LIMIT {
        return Err(format!("The description is longer than {DESCRIPTION_LIMIT} characters."));
    }
    Ok(Words { aliases, description })
}

/// The repository of an address, if this person may see it.
async fn find(admin: &Admin, person: &Person, id: &str) -> Result<Known, Fault> {
    let id = RepositoryId(id.parse().map_err(|_| Fault::not_found("repository"))?);
    person.must_see(id, "repository")?;
    let known = db::repositories::known(&mut *admin.context().db.read().await?, id).await?;
    known.ok_or_else(|| Fault::not_found("repository"))
}

/// What people read of trouble with GitHub.
fn trouble(trouble: Trouble) -> Fault {
    match trouble {
        Trouble::GitHub(error) => Fault::new(
            axum::http::StatusCode::BAD_GATEWAY,
            format!("GitHub did not answer what was asked: {error}. Try again in a moment."),
        ),
        Trouble::Other(error) => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // B61
    #[test]
    fn other_names_are_words_and_stand_once() {
        for (typed, read) in [
            ("web, site  Web", Ok("web site")),
            ("", Ok("")),
            ("grüße_1.x", Ok("grüße_1.x")),
            ("<b>", Err("\"<b>\" cannot be another name: up to 60 letters, digits, '.', '_' and '-'.")),
        ] {
            let form = WordsForm { aliases: typed.to_owned(), description: " x\r\ny ".to_owned() };
            let words = words(&form);
            assert!(words.as_ref().map_or(true, |words| words.description == "x\ny"));
            assert_eq!(
                words.map(|words| words.aliases.join(" ")),
                read.map(str::to_owned).map_err(str::to_owned),
                "{typed}"
            );
        }
        let many = (0..21).map(|n| format!("a{n}")).collect::<Vec<_>>().join(",");
        assert!(words(&WordsForm { aliases: many, description: String::new() }).is_err());
        assert!(words(&WordsForm { aliases: String::new(), description: "x".repeat(2_001) }).is_err());
    }
}
