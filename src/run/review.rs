//! What is particular about reviews: the earlier ones that a re-review knows, and the one that is submitted (B31 to B35).

use anyhow::{Context as _, Result};

use super::mains;
use super::plan::PlanError;
use super::step::{Next, github_wait};
use super::trouble::Trouble;
use crate::agent::{self, Answer, ReviewAnswer};
use crate::context::Context;
use crate::db;
use crate::db::decisions::{About, Decision};
use crate::db::reports::{NewReport, Outcome as Sent, Payload};
use crate::db::runs::{Ending, Run};
use crate::git::hunks::{Hunks, hunks};
use crate::github::reviews;
use crate::github::{ApiError, pulls};
use crate::model::{AccountId, Millis, Number, Outcome, Pin, Reason, Repository, Sha};
use crate::report::review::{Placed, Scene, place};
use crate::report::wording;
use crate::trigger::policy::Policy;

use super::finalize::finalize;

/// Runs of a thread among which earlier reviews are looked for.
const RUNS_LOOKED_AT: i64 = 50;

/// The bot's earlier reviews of a pull request, each finding with what the main users and the pull request's author replied (B35). Findings
/// that GitHub did not take as a review are there too.
pub async fn earlier(
    context: &Context,
    repository: &Repository,
    (run, pin): (&Run, &Pin),
    policy: &Policy,
) -> Result<Vec<agent::Review>, PlanError> {
    let mut runs = db::runs::of_thread(&mut *context.db.read().await?, run.thread, RUNS_LOOKED_AT).await?;
    runs.retain(|earlier| earlier.ask.pin.as_ref().is_some_and(|of| of.pull == pin.pull));
    let mut told = Vec::new();
    for earlier in runs.iter().filter(|earlier| earlier.review_id.is_none()) {
        told.extend(not_taken(context, repository, earlier).await?);
    }
    if runs.iter().any(|earlier| earlier.review_id.is_some()) {
        told.extend(submitted(context, repository, pin, (&runs, policy)).await?);
    }
    told.sort_by_key(|review| review.at);
    Ok(told)
}

/// The reviews that GitHub has.
async fn submitted(
    context: &Context,
    repository: &Repository,
    pin: &Pin,
    (runs, policy): (&[Run], &Policy),
) -> Result<Vec<agent::Review>, PlanError> {
    let mains = mains::main_users(context, repository, Some(policy), None).await.map_err(|trouble| match trouble {
        Trouble::GitHub(error) => PlanError::GitHub(error),
        other => PlanError::Other(other.into()),
    })?;
    let unnamed = !mains::are_named(context, policy);
    let (listed, comments, author) = tokio::join!(
        reviews::list(&context.github, repository, pin.pull),
        reviews::comments(&context.github, repository, pin.pull, None),
        author_of(context, repository, pin.pull),
    );
    let (listed, comments, author) = (listed?, comments?, author?);
    let may_reply = |of: &Run, who: AccountId| {
        Some(who) == author || mains.iter().any(|main| main.id == who) || (unnamed && of.ask.requester.id == who)
    };
    let told = listed.into_iter().filter_map(|review| {
        let of = runs.iter().find(|of| of.review_id == Some(review.id))?;
        let commit = review.commit_id.as_ref().map_or("an unknown commit", Sha::as_str);
        let mut text = format!("Review {} of {commit}: {}\n\n{}\n", review.id, review.html_url, review.body);
        for finding in comments.iter().filter(|comment| comment.pull_request_review_id == Some(review.id)) {
            let line = finding.line.or(finding.original_line).map_or_else(String::new, |line| format!(":{line}"));
            text += &format!("\nFinding on {}{line}:\n{}\n", finding.path, finding.body);
            for reply in comments.iter().filter(|reply| reply.in_reply_to_id == Some(finding.id)) {
                if let Some(who) = reply.user.as_ref().map(|user| &user.account).filter(|who| may_reply(of, who.id)) {
                    text += &format!("\nReply by @{}:\n{}\n", who.login, reply.body);
                }
            }
        }
        Some(agent::Review {
            at: review.submitted_at.unwrap_or(0),
            author: review.user.map(|user| user.account.login).unwrap_or_default(),
            state: review.state.to_ascii_lowercase(),
            text,
        })
    });
    Ok(told.collect())
}

/// Who opened a pull request, by the number that no renaming changes; what was learned of it at whatever time is true of that.
async fn author_of(context: &Context, repository: &Repository, pull: Number) -> Result<Option<AccountId>, ApiError> {
    let found = match context.pulls.since((repository.id, pull), Millis::MIN) {
        Some(known) => known,
        None => pulls::get(&context.github, repository, pull).await?,
    };
    Ok(found.user.map(|user| user.account.id))
}

/// A review that GitHub does not have: it stands in a comment, or only the operator has seen it.
async fn not_taken(context: &Context, repository: &Repository, run: &Run) -> Result<Option<agent::Review>, PlanError> {
    let answer = run.answer.clone().and_then(|answer| Answer::stored(run.kind, answer));
    let (Some(Outcome::Succeeded), Some(Answer::Review(answer)), Some(pin), Some(at)) =
        (run.outcome, answer, &run.ask.pin, run.done_at)
    else {
        return Ok(None);
    };
    let sent = db::reports::outcome(&mut *context.db.read().await?, &comment_key(run)).await?;
    let whereabouts = match sent {
        Some(Sent::Settled { remote: Some(comment) }) => {
            let pull = format!("{}/pull/{}", context.repository_url(&repository.name), pin.pull);
            format!("which GitHub did not take, so that it stands in a comment: {pull}#issuecomment-{comment}")
        }
        _ if run.ask.unposted => "which was not posted:".to_owned(),
        _ => "which GitHub did not take, so that it stands in a comment".to_owned(),
    };
    let body = place(&answer, None, &scene(context, run, repository, (pin, None)).as_ref()).body;
    Ok(Some(agent::Review {
        at,
        author: context.bot(repository).await?.account.login,
        state: "commented".to_owned(),
        text: format!("Review of {}, {whereabouts}\n\n{body}\n", pin.head),
    }))
}

/// The key of the comment in which findings stand that GitHub did not take as a review.
fn comment_key(run: &Run) -> String {
    format!("review:{}:comment", run.id)
}

/// Submits one review and waits for GitHub's word that it is there (B34). Where GitHub refuses comments on lines, everything goes into the
/// body; where it refuses the commit, into a comment.
pub async fn publish(context: &Context, run: &Run, repository: &Repository) -> Result<Next> {
    let answer = run.answer.clone().and_then(|answer| Answer::stored(run.kind, answer));
    let (Some(Outcome::Succeeded), Some(Answer::Review(answer)), Some(pin)) = (run.outcome, answer, &run.ask.pin)
    else {
        return finalize(context, run, None).await;
    };
    if run.ask.unposted {
        let link = match context.bot(repository).await {
            Ok(bot) => context.install_url(&bot.slug),
            Err(error) => match github_wait(&error, run, context.clock.now()) {
                Some(wait) => return Ok(wait),
                None => return Err(error.into()),
            },
        };
        let detail = wording::not_posted(&repository.name, &link);
        let made = Ending { outcome: Outcome::Succeeded, reason: Reason::Reviewed, detail };
        return finalize(context, run, Some(made)).await;
    }
    for with_notes in [true, false] {
        let key = format!("review:{}{}", run.id, if with_notes { "" } else { ":body" });
        let sent = db::reports::outcome(&mut *context.db.read().await?, &key).await?;
        match sent {
            Some(Sent::Settled { remote }) => {
                let review = remote.context("a review that GitHub confirmed has an id")?;
                let pull = format!("{}/pull/{}", context.repository_url(&repository.name), pin.pull);
                let url = format!("{pull}#pullrequestreview-{review}");
                let now = context.clock.now();
                let mut tx = context.db.begin().await?;
                if run.review_id.is_none() {
                    let thread = db::threads::get(&mut tx, run.thread).await?;
                    let detail = format!("run {} submitted review {review}: {url}", run.id);
                    let about = About { review_state: Some("commented".to_owned()), ..About::default() };
                    let record = Decision { about, ..Decision::of_run(&thread, run.id, "reviewed", detail) };
                    db::decisions::insert(&mut tx, &record, now).await?;
                }
                db::runs::set_review(&mut tx, run.id, review, &url).await?;
                tx.commit().await?;
                return finalize(context, run, None).await;
            }
            Some(Sent::Due) => return Ok(Next::later("the review is not confirmed yet")),
            // Only what is refused as it is may be taken otherwise.
            Some(Sent::Dead { error }) if !with_notes => {
                return in_a_comment(context, run, (&answer, pin), &error).await;
            }
            Some(Sent::Dead { .. }) => {}
            None => {
                let placed = match placed(context, run, repository, (&answer, pin), with_notes).await {
                    Ok(placed) => placed,
                    Err(Trouble::GitHub(error)) => {
                        return match github_wait(&error, run, context.clock.now()) {
                            Some(wait) => Ok(wait),
                            None => in_a_comment(context, run, (&answer, pin), &error.to_string()).await,
                        };
                    }
                    Err(error) => return Err(error.into()),
                };
                let report = NewReport {
                    key,
                    repository: run.repository,
                    number: pin.pull,
                    run: Some(run.id),
                    payload: Payload::Review { commit: pin.head.clone(), text: placed.body, notes: placed.notes },
                };
                let mut tx = context.db.begin().await?;
                db::reports::owe(&mut tx, &report, context.clock.now()).await?;
                tx.commit().await?;
                context.wake.reports.notify_one();
                return Ok(Next::later("the review is submitted"));
            }
        }
    }
    Ok(Next::later("the review is not confirmed yet"))
}

async fn placed(
    context: &Context,
    run: &Run,
    repository: &Repository,
    (answer, pin): (&ReviewAnswer, &Pin),
    with_notes: bool,
) -> Result<Placed, Trouble> {
    let now = pulls::get(&context.github, repository, pin.pull).await?.head.sha;
    let shown: Option<Hunks> = match with_notes {
        true => {
            let mirror = context.mirrors.open(repository.id).await?;
            match mirror.branch(&pin.base).await? {
                Some(base) => Some(hunks(&mirror, &base, &pin.head).await?),
                None => None,
            }
        }
        false => None,
    };
    Ok(place(
        answer,
        shown.as_ref(),
        &scene(context, run, repository, (pin, Some(&now).filter(|now| **now != pin.head))).as_ref(),
    ))
}

/// The findings as a comment, with GitHub's reason.
async fn in_a_comment(context: &Context, run: &Run, (answer, pin): (&ReviewAnswer, &Pin), error: &str) -> Result<Next> {
    let repository = db::repositories::get(&mut *context.db.read().await?, run.repository)
        .await?
        .context("a run's repository is stored")?;
    let text = place(answer, None, &scene(context, run, &repository, (pin, None)).as_ref()).body;
    let report = NewReport {
        key: comment_key(run),
        repository: run.repository,
        number: pin.pull,
        run: Some(run.id),
        payload: Payload::Final { text, told: Vec::new() },
    };
    let mut tx = context.db.begin().await?;
    db::reports::owe(&mut tx, &report, context.clock.now()).await?;
    tx.commit().await?;
    let detail = wording::review_refused(error);
    finalize(context, run, Some(Ending { outcome: Outcome::Succeeded, reason: Reason::Reviewed, detail })).await
}

struct OwnedScene<'a> {
    run: &'a Run,
    pin: &'a Pin,
    moved_to: Option<&'a Sha>,
    repository_url: String,
    shown: String,
}

impl OwnedScene<'_> {
    fn as_ref(&self) -> Scene<'_> {
        Scene {
            requester: &self.run.ask.requester.login,
            head: &self.pin.head,
            moved_to: self.moved_to,
            repository_url: &self.repository_url,
            agent: &self.run.agent,
            run: &self.shown,
        }
    }
}

fn scene<'a>(
    context: &Context,
    run: &'a Run,
    repository: &Repository,
    (pin, moved_to): (&'a Pin, Option<&'a Sha>),
) -> OwnedScene<'a> {
    let shown = wording::run_link(run.id, context.run_url(run.id).as_deref());
    OwnedScene { run, pin, moved_to, repository_url: context.repository_url(&repository.name), shown }
}
