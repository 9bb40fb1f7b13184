//! What people ask for without saying it on GitHub: on the page, or on the bot's own machine.
//!
//! What a delivery would have told is asked of GitHub; from there on it is a command like any other, through the same decision. Nothing
//! is posted about it but what the run itself reports: whoever asked reads the answer where they asked.

use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::cause::Cause;
use super::screen::{Asked, Origin};
use super::{Trouble, apply, facts};
use crate::context::Context;
use crate::db;
use crate::db::decisions::{About, Decision as Record, Shown};
use crate::db::deliveries::{NewDelivery, Packed, Source};
use crate::event::{IssueText, Sender};
use crate::github::{User, app, issues};
use crate::model::{Account, AccountId, Number, Place, Repository, RepositoryId, RunId};
use crate::run::plan;
use crate::trigger::command::{self, Command};
use crate::trigger::decide::{Decision, Wish, cancel};

/// A command of somebody who is signed in.
#[derive(Clone, Debug)]
pub struct Request {
    /// A UUID that the form carries: sent twice, it is one request.
    pub key: String,
    /// The repository.
    pub repository: RepositoryId,
    /// The issue, pull request or private task.
    pub number: Number,
    /// Who asks; their right to is asked of GitHub.
    pub actor: Account,
    /// Whether they run this server, who alone may ask where the App is not installed.
    pub is_operator: bool,
    /// What they want.
    pub command: Command,
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// The run that it queued, or the first that it ends.
    pub run: Option<RunId>,
    /// What was done, a sentence.
    pub told: String,
}

/// Why nothing came of a request.
#[derive(Debug)]
pub enum NotDone {
    /// It never will, as it was asked for.
    Refused {
        /// A word that names the rule.
        reason: String,
        /// A sentence for whoever asked, Markdown.
        why: String,
    },
    /// It may if it is asked for again.
    Trouble(Trouble),
}

impl<E: Into<Trouble>> From<E> for NotDone {
    fn from(error: E) -> Self {
        Self::Trouble(error.into())
    }
}

impl NotDone {
    pub(super) fn refused(reason: &str, why: impl Into<String>) -> Self {
        Self::Refused { reason: reason.to_owned(), why: why.into() }
    }

    /// What people read.
    pub fn told(&self) -> String {
        match self {
            Self::Refused { why, .. } => why.clone(),
            Self::Trouble(Trouble::GitHub(error)) => format!("{error}; nothing was done, ask again"),
            Self::Trouble(Trouble::Other(_)) => {
                "Something broke here, and nothing was done; the log says what.".to_owned()
            }
        }
    }
}

/// Carries a request out, or says why not.
pub async fn perform(context: &Context, request: &Request) -> Result<Done, NotDone> {
    let Request { key, number, actor, command, .. } = request;
    let key = trigger_key(key)?;
    command::check(command).map_err(|why| NotDone::refused("bad_command", why))?;
    let repository = stored(context, request.repository).await?;
    if repository.installation.is_none() {
        if !request.is_operator {
            let why = format!(
                "The App is not installed on {}, so only those who run this server may ask there.",
                repository.name
            );
            return Err(NotDone::refused("not_installed", why));
        }
        // What is to be pushed has to be pushed by the App.
        if !matches!(command, Command::Review(_) | Command::Cancel | Command::Discard) {
            let link = context.install_url(&app::me(&context.github).await?.slug);
            let why = format!(
                "The App is not installed on {}, so nothing can be pushed there. Install it: {link}",
                repository.name
            );
            return Err(NotDone::refused("not_installed", why));
        }
    }
    let owner = plan::recent_about(context, &repository).await?.owner.account.id;
    let told = json!({
        "repository": repository.id, "number": number, "actor": actor, "command": told(command),
    });
    carry_out(context, (&repository, owner), (&key, told), (*number, actor, command)).await
}

/// The key of the trigger that a form's UUID makes.
pub(super) fn trigger_key(uuid: &str) -> Result<String, NotDone> {
    let part = |part: &str, len: usize| {
        part.len() == len && part.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
    };
    let parts: Vec<&str> = uuid.split('-').collect();
    let valid = parts.len() == 5 && parts.iter().zip([8, 4, 4, 4, 12]).all(|(text, len)| part(text, len));
    if valid {
        return Ok(format!("page:{uuid}"));
    }
    Err(NotDone::refused("bad_key", "The form has no valid key: load the page again, then send it once more."))
}

/// A repository that the bot knows.
pub(super) async fn stored(context: &Context, id: RepositoryId) -> Result<Repository, NotDone> {
    let found = db::repositories::get(&mut *context.db.read().await?, id).await?;
    found.ok_or_else(|| {
        NotDone::refused("unknown_repository", "There is no such repository here. Is the App installed on it?")
    })
}

/// Decides about a command in a repository of this owner, under a key that makes it one request however often it comes.
pub(super) async fn carry_out(
    context: &Context,
    (repository, owner): (&Repository, AccountId),
    (key, told): (&str, Value),
    (number, actor, command): (Number, &Account, &Command),
) -> Result<Done, NotDone> {
    let request = delivery(context, key, command, &told);
    if let Some(earlier) = earlier(context, &request).await? {
        return earlier;
    }
    let (on_pull, issue) = subject(context, repository, number).await?;
    let asked = Asked {
        number,
        on_pull,
        actor: actor.clone(),
        place: Place::Nowhere,
        origin: Origin::ByHand(key.to_owned()),
        label: None,
        wishes: vec![Wish::Command(command.clone())],
        review: None,
        issue,
    };
    let done = apply::ask(context, Cause::ByHand(&request), (repository, owner), &asked).await;
    // Somebody who clicked twice may have been served by the other request, and then this one could not be stored.
    match earlier(context, &request).await? {
        Some(earlier) => earlier,
        None => {
            done?;
            Err(anyhow::anyhow!("a request leaves a decision").into())
        }
    }
}

/// What came of the request of this key, if it came before.
async fn earlier(context: &Context, request: &NewDelivery) -> Result<Option<Result<Done, NotDone>>, NotDone> {
    let mut conn = context.db.read().await?;
    let Some(sha256) = db::deliveries::sha256_of(&mut conn, &request.id).await? else { return Ok(None) };
    if sha256 != request.sha256 {
        let why =
            "This form was sent in before with something else in it. Load the page again, then send what you want now.";
        return Err(NotDone::refused("other_request", why));
    }
    let decided = db::decisions::of_delivery(&mut conn, &request.id).await?;
    Ok(decided.map(|decided| answer(&decided)))
}

/// A decision as whoever asked reads it.
fn answer(decided: &Shown) -> Result<Done, NotDone> {
    let why = match (decided.verdict.as_str(), decided.reason.as_str()) {
        ("accepted", "canceled") => {
            let runs = decided.detail.trim_start_matches("to end: ");
            return Ok(Done { run: decided.run, told: format!("Cancel was asked for: {runs}.") });
        }
        ("accepted", _) => return Ok(Done { run: decided.run, told: sentence(&decided.detail) }),
        (_, "stranger") => "GitHub says that you may not write here, so nothing is started for you.".to_owned(),
        _ => sentence(&decided.detail),
    };
    Err(NotDone::Refused { reason: decided.reason.clone(), why })
}

/// With a capital and an end.
pub(super) fn sentence(text: &str) -> String {
    let mut rest = text.trim().chars();
    let first: String = rest.next().into_iter().flat_map(char::to_uppercase).collect();
    let end = if text.trim().ends_with(['.', '?', '!', '`']) { "" } else { "." };
    format!("{first}{}{end}", rest.as_str())
}

/// Asks for the end of one run: whoever asked for it may, and whoever may write there.
pub async fn cancel_run(context: &Context, run: RunId, actor: &Account) -> Result<Done, NotDone> {
    let unknown = || NotDone::refused("unknown_run", format!("There is no run {run}."));
    let (row, thread) = {
        let mut conn = context.db.read().await?;
        let row = match db::runs::get(&mut conn, run).await {
            Err(sqlx::Error::RowNotFound) => return Err(unknown()),
            row => row?,
        };
        let thread = db::threads::get(&mut conn, row.thread).await?;
        (row, thread)
    };
    if row.ask.requester.id != actor.id {
        let repository = stored(context, row.repository).await?;
        // Where the App is not installed GitHub tells nobody's rights, and who asked is the only one with a claim.
        if repository.installation.is_none() || !facts::entitled(context, &repository, actor).await? {
            let why = "You did not ask for this run, and GitHub says that you may not write here, so it goes on.";
            return Err(NotDone::refused("stranger", why));
        }
    }
    let now = context.clock.now();
    let mut tx = context.db.begin().await?;
    let row = db::runs::get(&mut tx, run).await?;
    let live: Vec<_> =
        (row.outcome.is_none() || row.done_at.is_none()).then(|| super::known::live_run(&row)).into_iter().collect();
    if let Decision::Refuse { reason, .. } = cancel(&live) {
        let why = match reason {
            "too_late" => format!("Run {run} is over and being published, so there is nothing left to cancel."),
            _ => format!("Run {run} is over already."),
        };
        return Err(NotDone::refused(reason, why));
    }
    if db::runs::request_cancel(&mut tx, run, &actor.login, now).await? {
        db::reports::touch_status(&mut tx, run, now).await?;
        let record = Record {
            verdict: "accepted",
            actor: Some(actor.login.clone()),
            about: About::default(),
            ..Record::of_run(&thread, run, "canceled", format!("to end: {run}"))
        };
        db::decisions::insert(&mut tx, &record, now).await?;
    }
    tx.commit().await?;
    context.active.ring(run);
    context.wake.runs.notify_one();
    context.wake.reports.notify_one();
    Ok(Done { run: Some(run), told: format!("Cancel was asked for: {run}.") })
}

/// Whether a number is a pull request's, and its words as they are now.
async fn subject(context: &Context, repository: &Repository, number: Number) -> Result<(bool, IssueText), NotDone> {
    let nothing = || NotDone::refused("not_found", format!("there is no {} in {}", number.named(), repository.name));
    if number.is_private() {
        let task = facts::task_of(context, repository, number).await?.ok_or_else(nothing)?;
        let issue = IssueText {
            state_open: task.closed_at.is_none(),
            title: task.words.title,
            body: task.words.body,
            author: Some(Sender { account: task.words.author, is_bot: false }),
            updated_at: Some(task.created_at),
            head_branch: None,
            html_url: String::new(),
        };
        return Ok((false, issue));
    }
    if let Some(pull) = facts::pull_of(context, repository, number).await? {
        let issue = IssueText {
            state_open: pull.is_open(),
            title: pull.title,
            body: pull.body,
            author: pull.user.map(sender),
            updated_at: Some(pull.updated_at),
            head_branch: Some(pull.head.r#ref),
            html_url: pull.html_url,
        };
        return Ok((true, issue));
    }
    match issues::get(&context.github, repository, number).await {
        Ok(issue) => {
            let issue = IssueText {
                state_open: issue.is_open(),
                title: issue.title,
                body: issue.body,
                author: issue.user.map(sender),
                updated_at: Some(issue.updated_at),
                head_branch: None,
                html_url: issue.html_url,
            };
            Ok((false, issue))
        }
        Err(error) if error.is_not_found() => Err(nothing()),
        Err(error) => Err(error.into()),
    }
}

fn sender(user: User) -> Sender {
    Sender { is_bot: user.kind == "Bot", account: user.account }
}

/// The request as it lies among the deliveries.
fn delivery(context: &Context, key: &str, command: &Command, told: &Value) -> NewDelivery {
    let body = Bytes::from(told.to_string());
    NewDelivery {
        id: key.to_owned(),
        event: Wish::Command(command.clone()).verb().to_owned(),
        sha256: hex::encode(Sha256::digest(&body)),
        body: Packed::from(body),
        source: Source::ByHand,
        received_at: context.clock.now(),
    }
}

/// A command as it is stored.
fn told(command: &Command) -> Value {
    let verb = Wish::Command(command.clone()).verb();
    match command {
        Command::Dispatch(dispatch) => json!({
            "verb": verb, "agent": dispatch.agent, "model": dispatch.model, "runner": dispatch.runner,
            "profile": dispatch.profile, "base": dispatch.base, "fresh": dispatch.fresh, "instructions": dispatch.instructions,
        }),
        Command::Followup(followup) => {
            json!({ "verb": verb, "fresh": followup.fresh, "instructions": followup.instructions })
        }
        Command::Review(review) => json!({
            "verb": verb, "agent": review.agent, "model": review.model, "runner": review.runner, "instructions": review.instructions,
        }),
        _ => json!({ "verb": verb }),
    }
}
