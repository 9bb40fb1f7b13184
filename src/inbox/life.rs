//! The life of threads and of the installation: what is closed, merged, removed or suspended ends what it was the ground for (B40, T11).
//!
//! Deliveries overtake each other, so what is done goes by what GitHub says now, not by what the delivery says (T05).

use super::Trouble;
use super::apply::ignored;
use super::facts;
use crate::context::Context;
use crate::db::decisions::{About, Decision as Record};
use crate::db::deliveries::Delivery;
use crate::db::lines::Line;
use crate::db::runs::Run;
use crate::db::{self, Conn};
use crate::event::{Envelope, Installation, InstallationChange, LifeChange, RepositoryChange};
use crate::github::{ApiError, app, issues};
use crate::model::{InstallationId, Kind, LineState, Millis, Number, Repository, RepositoryId, RunId, ThreadId};
use crate::run::plan;

/// What a turn comes to, as it is recorded.
struct Effect {
    reason: String,
    detail: String,
    /// Runs whose tasks are to look again.
    rings: Vec<RunId>,
}

/// An issue or pull request took a turn.
pub(super) async fn turn(
    context: &Context,
    (delivery, envelope): (&Delivery, &Envelope),
    repository: &Repository,
    (number, on_pull, change): (Number, bool, LifeChange),
) -> Result<(), Trouble> {
    let mut conn = context.db.read().await?;
    let line = if on_pull { db::lines::by_pull(&mut conn, repository.id, number).await? } else { None };
    let thread = match &line {
        Some(line) => Some(db::threads::get(&mut conn, line.thread).await?),
        None => db::threads::find(&mut conn, repository.id, number).await?,
    };
    drop(conn);
    let Some(thread) = thread else {
        let detail = "nothing was ever asked for there";
        let about = About { pull: on_pull.then_some(number), ..About::default() };
        return ignored(context, (delivery, envelope), (Some(repository), about), ("not_used", detail)).await;
    };
    // Nothing can be asked about what is gone.
    let gone = matches!(change, LifeChange::Deleted | LifeChange::Transferred);
    let pull = match (&line, on_pull, gone) {
        (_, true, false) => facts::pull_of(context, repository, number).await?,
        _ => None,
    };
    let open = match (on_pull, gone) {
        (_, true) => false,
        (true, false) => facts::ended(pull.as_ref()).is_none(),
        (false, false) => match issues::get(&context.github, repository, number).await {
            Ok(issue) => issue.is_open(),
            Err(error) if error.is_not_found() => false,
            Err(error) => return Err(error.into()),
        },
    };
    let actor = envelope.sender.as_ref().map(|sender| sender.account.login.clone());
    let by = actor.clone().unwrap_or_else(|| "GitHub".to_owned());
    let now = context.clock.now();
    let mut tx = context.db.begin().await?;
    db::repositories::upsert(&mut tx, repository, delivery.received_at).await?;
    let effect = match &line {
        Some(line) => {
            let ended = facts::ended(pull.as_ref());
            let effect = our_pull(&mut tx, (line, number), (ended, delivery.received_at), (&by, now)).await?;
            match ended {
                Some(LineState::Merged) if thread.number.is_private() => {
                    done(&mut tx, line, effect, (&by, now)).await?
                }
                _ => effect,
            }
        }
        None => subject(&mut tx, thread.id, (number, open, gone), (&by, now)).await?,
    };
    let record = Record {
        delivery: Some(delivery.id.clone()),
        run: effect.rings.first().copied(),
        actor,
        about: line.as_ref().map(About::line).unwrap_or_default(),
        ..Record::noted(&thread, &effect.reason, effect.detail)
    };
    db::decisions::insert(&mut tx, &record, now).await?;
    db::deliveries::handled(&mut tx, delivery.seq, now).await?;
    tx.commit().await?;
    ring(context, &effect.rings);
    Ok(())
}

/// A pull request of ours: the next dispatch goes by its state, and follow-ups end with it. A task is the issue's and goes on.
async fn our_pull(
    tx: &mut Conn,
    (line, number): (&Line, Number),
    (ended, told_at): (Option<LineState>, Millis),
    (by, now): (&str, Millis),
) -> Result<Effect, Trouble> {
    let effect = |reason: LineState, detail: String, rings| Effect { reason: reason.to_string(), detail, rings };
    let open = db::lines::open_of(&mut *tx, line.thread).await?;
    match (line.state, ended) {
        (state, Some(ended)) => {
            if matches!(state, LineState::Open | LineState::Superseded) {
                db::lines::set_state(&mut *tx, line.id, ended).await?;
            }
            // Whoever asked since knew of the end, and the line's state may be known already from what was said meanwhile.
            let ends = |run: &Run| run.kind == Kind::FollowUp && run.line == Some(line.id) && run.queued_at <= told_at;
            let rings = cancel(tx, line.thread, ends, (by, now)).await?;
            let mut detail = format!("pull request #{number} is {ended}; the next dispatch opens a new line");
            if !rings.is_empty() {
                detail = format!("{detail}, and {} ended", count(rings.len()));
            }
            Ok(effect(ended, detail, rings))
        }
        // A line that was opened since is the one to go on with.
        (LineState::Merged | LineState::Closed, None) if open.is_none() => {
            db::lines::set_state(tx, line.id, LineState::Open).await?;
            let detail = format!("pull request #{number} is open again; the next dispatch goes on with it");
            Ok(effect(LineState::Open, detail, Vec::new()))
        }
        (state, None) => Ok(effect(state, format!("pull request #{number} stays as it was for track"), Vec::new())),
    }
}

/// A private task is done with its pull request, as GitHub closes an issue with the pull request that says so; unless work goes on elsewhere.
async fn done(tx: &mut Conn, line: &Line, effect: Effect, (by, now): (&str, Millis)) -> Result<Effect, Trouble> {
    let goes_on = db::lines::open_of(&mut *tx, line.thread).await?.is_some_and(|open| open.id != line.id);
    if goes_on || !db::tasks::set_closed(&mut *tx, line.thread, Some(now)).await? {
        return Ok(effect);
    }
    let (detail, rings) = close(tx, line.thread, (by, now)).await?;
    Ok(Effect {
        reason: effect.reason,
        detail: format!("{}. {detail}", effect.detail),
        rings: effect.rings.into_iter().chain(rings).collect(),
    })
}

/// Ends what is live on a thread that is over, and removes its workspaces (B40).
pub(super) async fn close(
    tx: &mut Conn,
    thread: ThreadId,
    (by, now): (&str, Millis),
) -> Result<(String, Vec<RunId>), Trouble> {
    let number = db::threads::get(&mut *tx, thread).await?.number;
    let rings = cancel(&mut *tx, thread, |_| true, (by, now)).await?;
    db::cleanups::ask(tx, thread, true, now).await?;
    let detail =
        format!("{} is closed: {} ended, and its files on runners are removed", number.named(), count(rings.len()));
    Ok((detail, rings))
}

/// The issue or pull request of a thread itself: closing it ends what is live there and removes its workspaces (B40).
async fn subject(
    tx: &mut Conn,
    thread: ThreadId,
    (number, open, gone): (Number, bool, bool),
    (by, now): (&str, Millis),
) -> Result<Effect, Trouble> {
    if open {
        db::cleanups::withdraw(tx, thread).await?;
        let detail = format!("#{number} is open; it can be asked for again");
        return Ok(Effect { reason: "open".to_owned(), detail, rings: Vec::new() });
    }
    let rings = cancel(&mut *tx, thread, |_| true, (by, now)).await?;
    db::cleanups::ask(&mut *tx, thread, true, now).await?;
    if gone && let Some(line) = db::lines::open_of(&mut *tx, thread).await? {
        db::lines::set_state(tx, line.id, LineState::Closed).await?;
    }
    let what = if gone { "gone" } else { "closed" };
    let detail = format!("#{number} is {what}: {} ended, and its files on runners are removed", count(rings.len()));
    Ok(Effect { reason: what.to_owned(), detail, rings })
}

/// Where the App is installed changed: what it reaches is known from then on; without it nothing can be published, so what is live there ends.
pub(super) async fn installation(
    context: &Context,
    delivery: &Delivery,
    envelope: &Envelope,
    installation: &Installation,
) -> Result<(), Trouble> {
    let lost = match installation.change {
        InstallationChange::Deleted => still_lost(context, reached_by(context, installation.id).await?).await?,
        InstallationChange::Suspended => match app::is_suspended(&context.github, installation.id).await {
            Ok(true) => reached_by(context, installation.id).await?,
            Ok(false) => Vec::new(),
            Err(error) if error.is_not_found() => {
                still_lost(context, reached_by(context, installation.id).await?).await?
            }
            Err(error) => return Err(error.into()),
        },
        InstallationChange::Removed => {
            still_lost(context, installation.repositories.iter().map(|(id, _)| *id).collect()).await?
        }
        InstallationChange::Created | InstallationChange::Unsuspended | InstallationChange::Added => Vec::new(),
    };
    let word = match installation.change {
        InstallationChange::Created => "installed",
        InstallationChange::Deleted => "uninstalled",
        InstallationChange::Suspended => "suspended",
        InstallationChange::Unsuspended => "unsuspended",
        InstallationChange::Added => "repositories_added",
        InstallationChange::Removed => "repositories_removed",
    };
    let what = format!("the App on {}: {word}", installation.account.login);
    let mut tx = context.db.begin().await?;
    register(&mut tx, installation, (word, delivery.received_at)).await?;
    let rings = end_all(&mut tx, context, (delivery, envelope), &lost, (word, &what)).await?;
    tx.commit().await?;
    forget_tokens(context, &lost).await?;
    ring(context, &rings);
    Ok(())
}

/// Repositories register themselves (B61), and it is noted why one cannot be reached any more.
async fn register(tx: &mut Conn, installation: &Installation, (word, at): (&str, Millis)) -> Result<(), Trouble> {
    let id = installation.id;
    let listed = installation.repositories.iter();
    match installation.change {
        InstallationChange::Created | InstallationChange::Added => {
            for (repository, name) in listed {
                let repository = Repository { id: *repository, installation: Some(id), name: name.clone() };
                db::repositories::upsert(&mut *tx, &repository, at).await?;
            }
        }
        InstallationChange::Removed => {
            for (repository, _) in listed {
                db::repositories::set_out_of_reach(&mut *tx, *repository, Some("removed"), at).await?;
            }
        }
        InstallationChange::Deleted | InstallationChange::Suspended | InstallationChange::Unsuspended => {
            let why = (installation.change != InstallationChange::Unsuspended).then_some(word);
            for repository in db::repositories::of_installation(&mut *tx, id).await? {
                db::repositories::set_out_of_reach(&mut *tx, repository.id, why, at).await?;
            }
        }
    }
    Ok(())
}

/// A repository was archived, deleted or moved away: while nothing can be published there, nothing is worked on for it.
pub(super) async fn repository(
    context: &Context,
    delivery: &Delivery,
    envelope: &Envelope,
    (repository, change): (&Repository, RepositoryChange),
) -> Result<(), Trouble> {
    let is_lost = match plan::about(context, repository).await {
        Ok(about) => about.archived,
        // GitHub gives no token for what is gone or somebody else's.
        Err(ApiError::NotFound { .. } | ApiError::NoInstallation { .. }) => true,
        Err(error) => return Err(error.into()),
    };
    let word = match change {
        RepositoryChange::Archived => "repository_archived",
        RepositoryChange::Deleted => "repository_deleted",
        RepositoryChange::Transferred => "repository_transferred",
    };
    let lost = if is_lost { vec![repository.id] } else { Vec::new() };
    let what = format!("the repository {}: {word}", repository.name);
    let mut tx = context.db.begin().await?;
    db::repositories::upsert(&mut tx, repository, delivery.received_at).await?;
    let rings = end_all(&mut tx, context, (delivery, envelope), &lost, (word, &what)).await?;
    tx.commit().await?;
    forget_tokens(context, &lost).await?;
    ring(context, &rings);
    Ok(())
}

/// Ends what is live in repositories that are out of reach: told once as a whole, and on the thread of each run (B27).
async fn end_all(
    tx: &mut Conn,
    context: &Context,
    (delivery, envelope): (&Delivery, &Envelope),
    lost: &[RepositoryId],
    (word, what): (&str, &str),
) -> Result<Vec<RunId>, Trouble> {
    let actor = envelope.sender.as_ref().map_or("GitHub", |sender| sender.account.login.as_str());
    let now = context.clock.now();
    let mut rings = Vec::new();
    for run in db::runs::live(&mut *tx).await?.iter().filter(|run| lost.contains(&run.repository)) {
        if !db::runs::request_cancel(&mut *tx, run.id, actor, now).await? {
            continue;
        }
        rings.push(run.id);
        let thread = db::threads::get(&mut *tx, run.thread).await?;
        let record = Record {
            delivery: Some(delivery.id.clone()),
            run: Some(run.id),
            actor: Some(actor.to_owned()),
            ..Record::noted(&thread, word, format!("{what}; run {} ended", run.id))
        };
        db::decisions::insert(&mut *tx, &record, now).await?;
    }
    let record = Record {
        delivery: Some(delivery.id.clone()),
        repository: envelope
            .repository
            .as_ref()
            .map(|repository| repository.id)
            .or(lost.first().copied().filter(|_| lost.len() == 1)),
        number: None,
        trigger: None,
        run: rings.first().copied(),
        actor: Some(actor.to_owned()),
        verdict: "noted",
        reason: word.to_owned(),
        detail: format!("{what}; {} ended", count(rings.len())),
        about: About::default(),
    };
    db::decisions::insert(&mut *tx, &record, now).await?;
    db::deliveries::handled(tx, delivery.seq, now).await?;
    Ok(rings)
}

async fn reached_by(context: &Context, installation: InstallationId) -> Result<Vec<RepositoryId>, Trouble> {
    let all = db::repositories::of_installation(&mut *context.db.read().await?, installation).await?;
    Ok(all.into_iter().map(|repository| repository.id).collect())
}

/// Those with live runs that the App does not reach by now: it may be installed anew already.
async fn still_lost(context: &Context, lost: Vec<RepositoryId>) -> Result<Vec<RepositoryId>, Trouble> {
    let live = db::runs::live(&mut *context.db.read().await?).await?;
    let mut still = Vec::new();
    for id in lost.into_iter().filter(|id| live.iter().any(|run| run.repository == *id)) {
        let stored = db::repositories::get(&mut *context.db.read().await?, id).await?;
        let Some(repository) = stored else { continue };
        match app::repository_installation(&context.github, &repository.name).await {
            Ok(_) => {}
            Err(error) if error.is_not_found() => still.push(id),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(still)
}

async fn forget_tokens(context: &Context, repositories: &[RepositoryId]) -> Result<(), Trouble> {
    for id in repositories {
        if let Some(repository) = db::repositories::get(&mut *context.db.read().await?, *id).await? {
            context.github.revoke_git_tokens(&repository).await;
        }
    }
    Ok(())
}

/// Asks for the end of the live runs of a thread, of both lanes, that `which` picks.
async fn cancel(
    tx: &mut Conn,
    thread: ThreadId,
    which: impl Fn(&Run) -> bool,
    (by, now): (&str, Millis),
) -> Result<Vec<RunId>, Trouble> {
    let live = db::runs::live_of_thread(&mut *tx, thread).await?;
    let mut rings = Vec::new();
    for run in live.into_iter().filter(which) {
        if db::runs::request_cancel(&mut *tx, run.id, by, now).await? {
            db::reports::touch_status(&mut *tx, run.id, now).await?;
            rings.push(run.id);
        }
    }
    Ok(rings)
}

pub(super) fn ring(context: &Context, runs: &[RunId]) {
    for run in runs {
        context.active.ring(*run);
    }
    context.wake.runs.notify_one();
    context.wake.reports.notify_one();
    context.wake.feedback.notify_one();
    context.wake.tidy.notify_one();
}

fn count(runs: usize) -> String {
    if runs == 1 { "1 run".to_owned() } else { format!("{runs} runs") }
}
