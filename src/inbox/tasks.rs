//! New tasks that people write on the page (B63): as an issue, or private, with nothing on GitHub but a branch and a pull request.
//!
//! A form that is sent in twice makes one task. Private ones are made in one transaction with the form's key; before an issue is created
//! the key is stored, and afterwards the issue is looked for by its marker before a second one is.

use anyhow::Context as _;
use sha2::{Digest as _, Sha256};
use tracing::info;
use ulid::Ulid;

use super::by_hand::{self, NotDone, Request, stored};
use super::{apply, facts};
use crate::context::Context;
use crate::db;
use crate::db::decisions::Decision as Record;
use crate::db::submissions::Submission;
use crate::db::tasks::Words;
use crate::github::{ApiError, issues};
use crate::model::{Account, Millis, Number, RepoName, Repository, RepositoryId, RunId, ThreadId};
use crate::report::wording;
use crate::run::plan;
use crate::trigger::command::{Command, Dispatch};

/// Characters of the longest title that GitHub takes.
const TITLE_LIMIT: usize = 256;
/// Characters of the longest text; GitHub takes 65,536, and what the bot adds needs some.
const BODY_LIMIT: usize = 60_000;
/// How long an issue is only looked for whose creation was not answered: GitHub's lists may lag behind its writes.
const LOOK_FOR_LOST: Millis = 50_000;
/// Issues from before this much earlier cannot be it; clocks differ a little.
const CLOCK_DIFFERENCE: Millis = 120_000;
/// The kind in the marker of an issue that the bot created.
const MARKER: &str = "task";

/// A task that somebody wrote.
#[derive(Clone, Debug)]
pub struct NewTask {
    /// A UUID that the form carries.
    pub key: String,
    /// Where it is to be done.
    pub repository: RepositoryId,
    /// What is wanted, in a line.
    pub title: String,
    /// All that is to be said about it, Markdown.
    pub body: String,
    /// Who wrote it; their right to is asked of GitHub.
    pub actor: Account,
    /// Whether they run this server.
    pub is_operator: bool,
    /// As an issue, which everybody sees who sees the repository; else private.
    pub as_issue: bool,
    /// How work on it is to start, if it is to start at once.
    pub dispatch: Option<Dispatch>,
}

/// A task that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// The repository.
    pub repository: RepoName,
    /// Its number there.
    pub number: Number,
    /// Its thread, once there is one: an issue has none before something is asked of track.
    pub thread: Option<ThreadId>,
    /// The issue's page.
    pub issue_url: Option<String>,
    /// The run that works on it.
    pub run: Option<RunId>,
    /// Why none does, though one was asked for.
    pub not_started: Option<String>,
}

/// Makes a task, or says why not.
pub async fn new_task(context: &Context, task: &NewTask) -> Result<Made, NotDone> {
    let key = by_hand::trigger_key(&task.key)?;
    let title = check(task)?;
    let repository = stored(context, task.repository).await?;
    if repository.installation.is_none() {
        let why = format!("The App is not installed on {}, so nothing can be pushed there.", repository.name);
        return Err(NotDone::refused("not_installed", why));
    }
    if let Some(dispatch) = &task.dispatch {
        crate::trigger::command::check(&Command::Dispatch(dispatch.clone()))
            .map_err(|why| NotDone::refused("bad_command", why))?;
    }
    if !facts::entitled(context, &repository, &task.actor).await? {
        let why =
            format!("GitHub says that you may not write in {}, so no task is made for you there.", repository.name);
        return Err(NotDone::refused("stranger", why));
    }
    let owner = plan::recent_about(context, &repository).await?.owner.account.id;
    apply::served(context, &repository, owner)
        .await?
        .map_err(|why| NotDone::refused("not_allowed", by_hand::sentence(&why)))?;
    // Whoever clicks twice is served one after the other; GitHub asks for no more than one new thing at a time, too.
    let turn = context.creating.lock().await;
    let sent = Sent { key: &key, sha256: sha256(task), title: &title };
    let number = match &db::submissions::get(&mut *context.db.read().await?, &key).await? {
        Some(earlier) if earlier.sha256 != sent.sha256 => {
            let why = "This form was sent in before with something else in it. Load the page again, then send what you want now.";
            return Err(NotDone::refused("other_request", why));
        }
        Some(Submission { number: Some(number), .. }) => *number,
        earlier if task.as_issue => create_issue(context, &repository, task, &sent, earlier.as_ref()).await?,
        _ => create_private(context, &repository, task, &sent).await?,
    };
    drop(turn);

    let mut run = None;
    let mut not_started = None;
    if let Some(dispatch) = &task.dispatch {
        let request = Request {
            key: task.key.clone(),
            repository: repository.id,
            number,
            actor: task.actor.clone(),
            is_operator: task.is_operator,
            command: Command::Dispatch(dispatch.clone()),
        };
        match by_hand::perform(context, &request).await {
            Ok(done) => run = done.run,
            // The task is there, and is not made again because work on it does not start.
            Err(why) => not_started = Some(why.told()),
        }
    }
    let thread =
        db::threads::find(&mut *context.db.read().await?, repository.id, number).await?.map(|thread| thread.id);
    let issue_url =
        (!number.is_private()).then(|| format!("{}/issues/{number}", context.repository_url(&repository.name)));
    Ok(Made { repository: repository.name, number, thread, issue_url, run, not_started })
}

/// A form as it is told from others.
struct Sent<'a> {
    key: &'a str,
    sha256: String,
    title: &'a str,
}

/// The title in one line, if title and text can be had.
fn check(task: &NewTask) -> Result<String, NotDone> {
    let title = task.title.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    let title = title.collect::<Vec<_>>().join(" ");
    if title.is_empty() {
        return Err(NotDone::refused("no_title", "A task needs a title: say in a line what is wanted."));
    }
    if title.chars().count() > TITLE_LIMIT {
        let why = format!("The title is longer than {TITLE_LIMIT} characters: put the rest into the text.");
        return Err(NotDone::refused("long_title", why));
    }
    if task.body.chars().count() > BODY_LIMIT {
        let why = format!(
            "The text is longer than {BODY_LIMIT} characters: shorten it, or put it into a file of the repository."
        );
        return Err(NotDone::refused("long_text", why));
    }
    if task.body.contains('\0') {
        return Err(NotDone::refused("bad_text", "The text contains a NUL character, which no agent could read."));
    }
    Ok(title)
}

fn sha256(task: &NewTask) -> String {
    let told = serde_json::json!([task.repository, task.title, task.body, task.actor.id, task.as_issue]);
    hex::encode(Sha256::digest(told.to_string()))
}

async fn create_private(
    context: &Context,
    repository: &Repository,
    task: &NewTask,
    sent: &Sent<'_>,
) -> Result<Number, NotDone> {
    let now = context.clock.now();
    let words = Words { title: sent.title.to_owned(), body: task.body.clone(), author: task.actor.clone() };
    let mut tx = context.db.begin().await?;
    let thread = db::tasks::create(&mut tx, repository.id, &words, now).await?;
    note(&mut tx, repository, thread.number, &task.actor, now).await?;
    let made = Submission {
        repository: repository.id,
        sha256: sent.sha256.clone(),
        number: Some(thread.number),
        asked_at: now,
    };
    db::submissions::put(&mut tx, sent.key, &made).await?;
    tx.commit().await?;
    info!("{} of {} was made by {}", thread.number.named(), repository.name, task.actor.login);
    Ok(thread.number)
}

async fn create_issue(
    context: &Context,
    repository: &Repository,
    task: &NewTask,
    sent: &Sent<'_>,
    earlier: Option<&Submission>,
) -> Result<Number, NotDone> {
    if !plan::about(context, repository).await?.has_issues {
        let why = format!("Issues are off in {}: make it a private task, or turn them on there.", repository.name);
        return Err(NotDone::refused("no_issues", why));
    }
    let marker = context.marker.marker(marked(&task.key)?, MARKER);
    let found = match earlier {
        Some(earlier) => {
            let since = earlier.asked_at + context.github.skew() - CLOCK_DIFFERENCE;
            let bot = context.bot(repository).await?.account.id;
            let listed = issues::newest(&context.github, repository, since).await?;
            let ours =
                listed.into_iter().filter(|issue| issue.user.as_ref().is_some_and(|user| user.account.id == bot));
            ours.filter(|issue| issue.body.trim_end().ends_with(&marker)).map(|issue| issue.number).min()
        }
        None => None,
    };
    let number = match (found, earlier) {
        (Some(number), _) => number,
        (None, Some(earlier)) if context.clock.now() < earlier.asked_at + LOOK_FOR_LOST => {
            let why = "GitHub was asked for this issue and has not said yet whether it is there. Send the form once more in a minute: it makes no second one.";
            return Err(NotDone::refused("in_doubt", why));
        }
        (None, _) => {
            let body = wording::task_body(&task.body, &task.actor.login, &marker);
            ask_for_issue(context, repository, sent, &body).await?
        }
    };
    let now = context.clock.now();
    let mut tx = context.db.begin().await?;
    let made =
        Submission { repository: repository.id, sha256: sent.sha256.clone(), number: Some(number), asked_at: now };
    db::submissions::put(&mut tx, sent.key, &made).await?;
    note(&mut tx, repository, number, &task.actor, now).await?;
    tx.commit().await?;
    info!("issue {number} of {} was created for {}", repository.name, task.actor.login);
    Ok(number)
}

/// Creates the issue, with the form's key stored before.
async fn ask_for_issue(
    context: &Context,
    repository: &Repository,
    sent: &Sent<'_>,
    body: &str,
) -> Result<Number, NotDone> {
    let asked = Submission {
        repository: repository.id,
        sha256: sent.sha256.clone(),
        number: None,
        asked_at: context.clock.now(),
    };
    let mut tx = context.db.begin().await?;
    db::submissions::put(&mut tx, sent.key, &asked).await?;
    tx.commit().await?;
    match issues::create(&context.github, repository, sent.title, body).await {
        Ok(issue) => Ok(issue.number),
        Err(error) => {
            if !error.is_ambiguous() {
                let mut tx = context.db.begin().await?;
                db::submissions::forget(&mut tx, sent.key).await?;
                tx.commit().await?;
            }
            Err(match error {
                ApiError::Refused { message, .. } => {
                    NotDone::refused("github_refuses", format!("GitHub does not take the issue: {message}"))
                }
                error => error.into(),
            })
        }
    }
}

/// The sixteen bytes of a form's UUID, as a marker has them.
fn marked(uuid: &str) -> Result<Ulid, NotDone> {
    let bits = u128::from_str_radix(&uuid.replace('-', ""), 16).context("a checked UUID")?;
    Ok(Ulid(bits))
}

async fn note(
    tx: &mut db::Conn,
    repository: &Repository,
    number: Number,
    actor: &Account,
    now: Millis,
) -> sqlx::Result<()> {
    let what = if number.is_private() { number.named() } else { format!("issue {}", number.named()) };
    let record = Record {
        delivery: None,
        repository: Some(repository.id),
        number: Some(number),
        trigger: None,
        run: None,
        actor: Some(actor.login.clone()),
        verdict: "accepted",
        reason: "task_made".to_owned(),
        detail: format!("{what} was made on the page"),
        about: db::decisions::About::default(),
    };
    db::decisions::insert(tx, &record, now).await
}

/// Closes a private task, which ends what is live on it and removes its files from the runners as closing an issue does, or opens it again.
pub async fn set_open(context: &Context, thread: ThreadId, actor: &Account, open: bool) -> Result<String, NotDone> {
    let (row, task) = {
        let mut conn = context.db.read().await?;
        (db::threads::get(&mut conn, thread).await?, db::tasks::of_thread(&mut conn, thread).await?)
    };
    if task.is_none() {
        let why = "This is an issue or a pull request: close or reopen it on GitHub.";
        return Err(NotDone::refused("not_private", why));
    }
    let repository = stored(context, row.repository).await?;
    if repository.installation.is_none() || !facts::entitled(context, &repository, actor).await? {
        let why = format!("GitHub says that you may not write in {}, so the task stays as it is.", repository.name);
        return Err(NotDone::refused("stranger", why));
    }
    let now = context.clock.now();
    let mut tx = context.db.begin().await?;
    let (detail, rings) = if open {
        db::cleanups::withdraw(&mut tx, thread).await?;
        (format!("{} is open again", row.number.named()), Vec::new())
    } else {
        super::life::close(&mut tx, thread, (&actor.login, now)).await?
    };
    let news = db::tasks::set_closed(&mut tx, thread, (!open).then_some(now)).await?;
    if news {
        let reason = if open { "open" } else { "closed" };
        let record = Record { actor: Some(actor.login.clone()), ..Record::noted(&row, reason, detail.clone()) };
        db::decisions::insert(&mut tx, &record, now).await?;
    }
    tx.commit().await?;
    super::life::ring(context, &rings);
    Ok(if news { detail } else { format!("{} is so already", row.number.named()) })
}
