//! The last step of every run: its outcome, and all that is owed for it, in one transaction.

use anyhow::{Context as _, Result};
use tracing::{info, warn};

use super::publish::answer;
use super::start::{NewWork, start};
use super::step::Next;
use super::{mains, plan};
use crate::agent::{Answer, Disposition};
use crate::config::FollowUp;
use crate::context::Context;
use crate::db::answered::What;
use crate::db::decisions::Decision;
use crate::db::reports::{NewReport, Payload};
use crate::db::runs::{Ending, Run};
use crate::db::{self, Conn};
use crate::model::{Kind, LineState, Millis, Outcome, Reaction, Reason, Status};
use crate::report::wording;

/// Writes the ending and everything that is owed for it, in one transaction with the last move.
pub async fn finalize(context: &Context, run: &Run, ending: Option<Ending>) -> Result<Next> {
    let now = context.clock.now();
    if let Some(ending) = &ending {
        let mut tx = context.db.begin().await?;
        db::runs::set_ending(&mut tx, run.id, ending).await?;
        tx.commit().await?;
    }
    let (mains, automatic) = told(context, run).await?;
    let mut tx = context.db.begin().await?;
    let run = db::runs::get(&mut tx, run.id).await?;
    let thread = db::threads::get(&mut tx, run.thread).await?;
    if !db::runs::advance(&mut tx, run.id, Status::Publishing, Status::Done, now).await? {
        return Ok(Next::Again);
    }
    let never_told = run.cancel_at.is_some() && run.left_processes.is_none();
    let never_seen = run.outcome == Some(Outcome::Lost) || never_told;
    if run.fence > 0 && run.result.is_none() && never_seen {
        db::runs::set_unsettled(&mut tx, run.id, true).await?;
    }
    db::reports::hurry_status(&mut tx, run.id).await?;
    let outcome = run.outcome.map_or("failed", |outcome| outcome.as_str());
    let detail = format!("run {} is done: {}", run.id, wording::reason_text(run.reason.unwrap_or(Reason::Internal)));
    db::decisions::insert(&mut tx, &Decision::of_run(&thread, run.id, outcome, detail), now).await?;
    let good = run.outcome == Some(Outcome::Succeeded);
    attempt_again(&mut tx, &run, now).await?;
    if good {
        answer_feedback(&mut tx, &run, now).await?;
    }
    for trigger in db::triggers::of_run(&mut tx, run.id).await? {
        if trigger.place.takes_reactions() {
            let content = if good { Reaction::Rocket } else { Reaction::Confused };
            let reaction = NewReport {
                key: format!("reaction:{}:done", trigger.key),
                repository: run.repository,
                number: trigger.number,
                run: Some(run.id),
                payload: Payload::Reaction { place: trigger.place, content },
            };
            db::reports::owe(&mut tx, &reaction, now).await?;
        }
    }
    if let (true, Some(pull), Some(sha)) = (good, run.pull, &run.pushed) {
        let last = NewReport {
            // Once per head, whichever run or start of the bot comes first.
            key: format!("final:{}:{pull}:{sha}", run.repository),
            repository: run.repository,
            number: pull,
            run: Some(run.id),
            payload: Payload::Final { text: wording::pushed(&mains, &run, thread.number, automatic), told: mains },
        };
        db::reports::owe(&mut tx, &last, now).await?;
    }
    tx.commit().await?;
    metrics::counter!("track_runs_total", "outcome" => outcome).increment(1);
    revoke_tokens(context, &run).await?;
    context.wake.reports.notify_one();
    context.wake.runs.notify_one();
    context.wake.feedback.notify_one();
    context.wake.tidy.notify_one();
    Ok(Next::Again)
}

/// Tokens with which git reached the repository are given back as soon as no run needs them (T30).
async fn revoke_tokens(context: &Context, run: &Run) -> Result<()> {
    let mut conn = context.db.read().await?;
    let live = db::runs::live(&mut conn).await?;
    let repository = db::repositories::get(&mut conn, run.repository).await?;
    drop(conn);
    if let (Some(repository), false) = (repository, live.iter().any(|other| other.repository == run.repository)) {
        let github = context.github.clone();
        tokio::spawn(async move { github.revoke_git_tokens(&repository).await });
    }
    Ok(())
}

/// A run whose supervisor certainly died is attempted again by itself, once; the next attempt answers for what was asked.
async fn attempt_again(tx: &mut Conn, run: &Run, now: Millis) -> Result<()> {
    if run.reason != Some(Reason::SupervisorDied) {
        return Ok(());
    }
    if let Some(earlier) = run.retry_of
        && db::runs::get(&mut *tx, earlier).await?.reason == Some(Reason::SupervisorDied)
    {
        return Ok(());
    }
    // Whoever merged or closed the pull request has ended its follow-ups (B25).
    if let (Kind::FollowUp, Some(line)) = (run.kind, run.line)
        && db::lines::get(&mut *tx, line).await?.state != LineState::Open
    {
        return Ok(());
    }
    // Nobody asked again, so the right to ask is as old as it was, and is confirmed before the agent starts (T13).
    let again = NewWork::again(&mut *tx, run, run.ask.requester.clone(), run.allowed_at).await?;
    let work = NewWork { automatic: run.automatic, ..again };
    if let Some(next) = start(&mut *tx, &work, now).await? {
        db::triggers::hand_over(&mut *tx, run.id, next).await?;
        let detail = format!("run {next} is queued: it attempts again what run {} died of on its runner", run.id);
        db::decisions::insert(tx, &Decision::of_run(&work.thread, next, "queued", detail), now).await?;
        info!("run {} died on its runner and is attempted again as {next}", run.id);
    }
    Ok(())
}

/// Notes what a finished run has dealt with, and owes the answers in their threads (B23).
async fn answer_feedback(tx: &mut Conn, run: &Run, now: Millis) -> Result<()> {
    let (Some(feedback), Some(Answer::Work(work))) = (&run.feedback, answer(run)) else { return Ok(()) };
    for review in &feedback.reviews {
        db::answered::insert(&mut *tx, run.repository, (What::Review, review.id), run.id, "read", now).await?;
    }
    let Some(pull) = feedback.pull.or(run.pull) else { return Ok(()) };
    let reply_to = |id: i64| work.replies.iter().find(|reply| reply.comment_id == id);
    for comment in &feedback.comments {
        let Some(reply) = reply_to(comment.id) else { continue };
        let word = wording::disposition_word(reply.disposition);
        db::answered::insert(&mut *tx, run.repository, (What::Comment, comment.id), run.id, word, now).await?;
        let mut owe = async |what: &str, payload| {
            let key = format!("{what}:{}:{}", run.id, comment.id);
            let report = NewReport { key, repository: run.repository, number: pull, run: Some(run.id), payload };
            db::reports::owe(&mut *tx, &report, now).await
        };
        let text = wording::thread_reply(reply, run.pushed.as_ref());
        owe("thread_reply", Payload::ThreadReply { root: comment.root, text }).await?;
        // A question that is left in a thread keeps it open; the thread is resolved once, with its last comment.
        let mut thread = feedback.comments.iter().filter(|other| other.root == comment.root);
        let fixed = thread.clone().all(|c| reply_to(c.id).is_some_and(|reply| reply.disposition == Disposition::Fixed));
        if fixed && thread.next_back().is_some_and(|last| last.id == comment.id) {
            owe("resolve", Payload::Resolve { root: comment.root }).await?;
        }
    }
    Ok(())
}

/// Who is told that there is something to look at, and whether their reviews start follow-ups.
async fn told(context: &Context, run: &Run) -> Result<(Vec<String>, bool)> {
    let repository = db::repositories::get(&mut *context.db.read().await?, run.repository)
        .await?
        .context("a run's repository is stored")?;
    let Some(line) = run.line else { return Ok((Vec::new(), false)) };
    let policy = plan::recent_policy(context, &repository).await.ok();
    let off = |mode| mode == Some(FollowUp::Off);
    let paused = db::lines::get(&mut *context.db.read().await?, line).await?.paused;
    let automatic =
        !paused && !off(Some(context.config.follow_up)) && !off(policy.as_ref().and_then(|policy| policy.follow_up));
    let mains = match mains::main_users(context, &repository, policy.as_ref(), Some(line)).await {
        Ok(mains) => mains.into_iter().map(|main| main.login).collect(),
        // The run is done all the same, and whoever asked for it is told.
        Err(trouble) => {
            warn!("the main users cannot be asked for: {trouble}");
            vec![run.ask.requester.login.clone()]
        }
    };
    Ok((mains, automatic))
}
