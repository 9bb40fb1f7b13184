//! Reviews that the operator asks for on the bot's own machine, by the address of a pull request (B30).
//!
//! What a delivery would have told is asked of GitHub; from there on it is a `/track review` like any other, through the same decision.
//! Where the App is not installed, what everybody may read is reviewed, and nothing of it goes to GitHub (B36).

use serde_json::json;

use super::Trouble;
use super::by_hand::{Done, NotDone, carry_out};
use crate::config::Config;
use crate::context::Context;
use crate::github::ApiError;
use crate::github::app::{self, Found};
use crate::model::{Account, Number, RepoName, Repository, RunId, uuid};
use crate::report::wording;
use crate::run::mains;
use crate::run::trouble::Trouble as RunTrouble;
use crate::trigger::address::read_address;
use crate::trigger::command::{Command, Review, check};

/// A review that is asked for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The pull request's page.
    pub url: String,
    /// Login of who asks; `None`: the first whom the configuration names.
    pub requester: Option<String>,
    /// How to review.
    pub review: Review,
}

/// A review that is queued.
#[derive(Clone, Debug)]
pub struct Queued {
    /// Its run.
    pub run: RunId,
    /// Where the pull request is.
    pub repository: RepoName,
    /// See `repository`.
    pub number: Number,
    /// Login of who asked.
    pub requester: String,
    /// Why the review will not be posted, if it will not.
    pub not_posted: Option<String>,
}

/// Why no review is queued.
#[derive(Debug)]
pub enum NotQueued {
    /// It never will be, as it was asked for.
    Refused(String),
    /// It may be if it is asked for again.
    Trouble(Trouble),
}

impl<E: Into<Trouble>> From<E> for NotQueued {
    fn from(error: E) -> Self {
        Self::Trouble(error.into())
    }
}

/// Queues a review, or says why not.
pub async fn review(context: &Context, wanted: &Wanted) -> Result<Queued, NotQueued> {
    let (name, number) = read_address(&wanted.url, &context.app.server_url).map_err(NotQueued::Refused)?;
    let command = Command::Review(wanted.review.clone());
    check(&command).map_err(NotQueued::Refused)?;
    let login = requester(&context.config, wanted.requester.as_deref()).map_err(NotQueued::Refused)?;
    let (found, not_posted) = find(context, &name).await?;
    let Found { repository, owner } = found;
    let actor = account(context, &repository, login).await?;

    let key = format!("page:{}", uuid(rand::random(), 4));
    let Review { agent, model, runner, instructions } = &wanted.review;
    let told = json!({
        "url": wanted.url, "requester": wanted.requester,
        "agent": agent, "model": model, "runner": runner, "instructions": instructions,
    });
    let done = carry_out(context, (&repository, owner.id), (&key, told), (number, &actor, &command)).await;
    match done {
        Ok(Done { run: Some(run), .. }) => {
            Ok(Queued { run, repository: repository.name, number, requester: actor.login, not_posted })
        }
        Ok(Done { told, .. }) => Err(NotQueued::Refused(told)),
        Err(NotDone::Refused { reason, .. }) if reason == "stranger" => Err(NotQueued::Refused(format!(
            "{} may not write in {name}, so nothing is started for them there; --as names somebody who may",
            actor.login
        ))),
        Err(NotDone::Refused { why, .. }) => Err(NotQueued::Refused(why)),
        Err(NotDone::Trouble(trouble)) => Err(NotQueued::Trouble(trouble)),
    }
}

/// Login of who asks: the one that is given, else the first whom the configuration names.
fn requester<'a>(config: &'a Config, given: Option<&'a str>) -> Result<&'a str, String> {
    let people = config.admins.iter().filter(|named| !named.contains('/'));
    let named = given.or_else(|| people.chain(&config.main_user).map(String::as_str).next());
    named.map(|login| login.trim_start_matches('@')).filter(|login| !login.is_empty()).ok_or_else(|| {
        "nobody is named who asks for the review: say --as LOGIN, or set TRACK_ADMINS, or main_user in track.toml"
            .to_owned()
    })
}

/// The repository of a name, and why nothing can be posted there, if nothing can.
async fn find(context: &Context, name: &RepoName) -> Result<(Found, Option<String>), NotQueued> {
    match app::repository_installation(&context.github, name).await {
        Ok(installation) => match app::repository_named(&context.github, installation, name).await {
            Ok(found) => Ok((found, None)),
            // GitHub leads an old name to the installation, and makes no token for it.
            Err(ApiError::Refused { .. }) => Err(NotQueued::Refused(format!(
                "the App has no access to a repository that is called {name} now: was it renamed, or is it left out of the installation?"
            ))),
            Err(error) => Err(error.into()),
        },
        Err(error) if error.is_not_found() => {
            let link = context.install_url(&app::me(&context.github).await?.slug);
            match app::public_repository(&context.github, name).await {
                Ok(found) => {
                    let why = wording::not_posted(&found.repository.name, &link);
                    Ok((found, Some(why)))
                }
                // An Enterprise server in private mode lets nobody in who does not sign in.
                Err(error) if error.is_not_found() || matches!(error, ApiError::Unauthorized { .. }) => {
                    Err(NotQueued::Refused(format!(
                        "{name} is private, or not there: GitHub says the same of both. If it is there, install the App on it: {link}"
                    )))
                }
                Err(error) => Err(error.into()),
            }
        }
        Err(error) => Err(error.into()),
    }
}

async fn account(context: &Context, via: &Repository, login: &str) -> Result<Account, NotQueued> {
    match mains::account(context, via, login).await {
        Ok(Some(account)) => Ok(account),
        Ok(None) => Err(NotQueued::Refused(format!("GitHub knows no account {login}: --as names who asks"))),
        Err(RunTrouble::GitHub(error)) => Err(error.into()),
        Err(other) => Err(anyhow::Error::from(other).into()),
    }
}
