//! What an agent left becomes a branch and a pull request, or is kept; every ending passes here, so every ending is reported.

use anyhow::{Context as _, Result};
use tracing::{info, warn};

use super::destination::{self, Destination, Left};
use super::finalize::finalize;
use super::plan::{self, PlanError};
use super::step::{Next, canceled, failed, github_wait, lost};
use super::trouble::Trouble;
use super::{ground, review};
use crate::agent::Answer;
use crate::context::Context;
use crate::db;
use crate::db::lines::Line;
use crate::db::runs::{Ending, Run, Work};
use crate::db::snapshots::Snapshot;
use crate::git::checks::{self, DiffStat};
use crate::git::paths::{self, PathPolicy};
use crate::git::rebase::{Rebased, conflicts, rebase};
use crate::git::{self, Fetch, GitError, LineBranch, Push, PushOutcome, Remote};
use crate::github::{ApiError, pulls};
use crate::model::{Kept, Kind, LineState, Number, Outcome, Reason, Repository, Sha};
use crate::report::{text, wording};
use crate::runner::{HostError, Identity, RunnerError};

/// Attempts to fetch what a run left that did not succeed, before it is reported without.
const KEEP_ATTEMPTS: i64 = 3;
/// Characters of the longest title that GitHub takes.
const TITLE_LIMIT: usize = 256;

/// Publishes what a run left. Each part looks first whether it is done already, so that a crash repeats nothing visible.
pub async fn step(context: &Context, run: &Run) -> Result<Next> {
    let repository = super::repository_of(&mut *context.db.read().await?, run).await?;
    if run.kind == Kind::Review {
        return review::publish(context, run, &repository).await;
    }
    let succeeded = run.outcome == Some(Outcome::Succeeded);
    if succeeded && run.cancel_at.is_some() && run.result.is_none() {
        // Asked for while its result could not be had: it is not waited for any longer, and looked after when the runner is back.
        return finalize(context, run, Some(canceled())).await;
    }
    let collected = match (&run.result, &run.given) {
        (Some(result), Some(_)) => Some(result.clone()),
        (None, Some(given)) if run.fence > 0 => match collect(context, run, &repository, given).await {
            Ok(result) => Some(result),
            Err(error) => return not_collected(context, run, error).await,
        },
        _ => None,
    };
    let (true, Some(result), Some(given)) = (succeeded, collected, &run.given) else {
        return finalize(context, run, None).await;
    };
    if result == *given && !ground::holds_unpublished(context, run).await? {
        let ending = Ending { outcome: Outcome::Succeeded, reason: Reason::NoChanges, detail: String::new() };
        return finalize(context, run, Some(ending)).await;
    }
    match deliver(context, run, &repository, given, &result).await {
        Ok(()) => finalize(context, run, None).await,
        Err(Undelivered::Refused(ending)) => finalize(context, run, Some(ending)).await,
        Err(Undelivered::Trouble(Trouble::GitHub(error))) => match github_wait(&error, run, context.clock.now()) {
            Some(next) => Ok(next),
            None => {
                let ending = super::refused_by_github(context, &repository, (Reason::PushRefused, error)).await;
                finalize(context, run, Some(ending)).await
            }
        },
        Err(Undelivered::Trouble(error)) => Err(error.into()),
    }
}

/// Why a result is not on GitHub.
enum Undelivered {
    /// It will never be, for this reason.
    Refused(Ending),
    /// Something did not work this time.
    Trouble(Trouble),
}

impl<E: Into<Trouble>> From<E> for Undelivered {
    fn from(error: E) -> Self {
        Self::Trouble(error.into())
    }
}

/// Commits leftovers in the sandbox and brings the result into the bot's mirror, under a ref of the run's own.
pub async fn collect(context: &Context, run: &Run, repository: &Repository, given: &Sha) -> Result<Sha, Trouble> {
    let name = run.runner.as_deref().unwrap_or_default();
    let Some(machine) = context.runners.get(name) else {
        let gone = HostError::Unreachable(format!("runner {name} is not configured any more"));
        return Err(RunnerError::Host(gone).into());
    };
    let fence = context.epoch.unsigned_abs();
    let bot = context.bot(repository).await?;
    let identity = Identity { name: bot.git_name.clone(), email: bot.git_email.clone() };
    let finished = machine.finish(run.id, fence, &title(run), &identity).await?;
    let mut work = Work { leftovers: finished.leftovers, ..Work::default() };
    if finished.head != *given {
        let endpoint = machine.git_upload(run.id, fence).await?;
        let mirror = context.mirrors.open(run.repository).await?;
        mirror.fetch_result(&super::endpoint(&endpoint), finished.head.as_str(), run.id).await?;
        // What does not continue the given commits cannot be compared with them; it is refused with that reason later.
        if checks::is_ancestor(&mirror, given, &finished.head).await? {
            let commits = checks::count_commits(&mirror, given, &finished.head).await?;
            let DiffStat { files, insertions, deletions } = checks::diff_stat(&mirror, given, &finished.head).await?;
            work = Work { commits, files, insertions, deletions, ..work };
        }
    }
    let mut tx = context.db.begin().await?;
    db::runs::set_result(&mut tx, run.id, &finished.head, &work).await?;
    if finished.head != *given {
        let kept = Snapshot { run: run.id, kept: Kept::Result, sha: finished.head.clone() };
        db::snapshots::put(&mut tx, &kept, context.clock.now()).await?;
    }
    db::runs::set_unreachable(&mut tx, run.id, None).await?;
    tx.commit().await?;
    Ok(finished.head)
}

/// A finished result is waited for as long as a run may be out of sight (P3); what another ending left is kept if the runner answers soon.
async fn not_collected(context: &Context, run: &Run, error: Trouble) -> Result<Next> {
    let succeeded = run.outcome == Some(Outcome::Succeeded);
    let few = run.failures < KEEP_ATTEMPTS;
    match &error {
        Trouble::GitHub(error) if succeeded || few => {
            if let Some(wait) = github_wait(error, run, context.clock.now()) {
                return Ok(wait);
            }
        }
        _ if succeeded && may_pass(&error) => return out_of_sight(context, run, &error).await,
        // What a runner that works says of a workspace stays true.
        Trouble::Runner(error) if !error.is_transient() => {}
        _ if few => return Ok(Next::failed(&error)),
        _ => {}
    }
    warn!("what run {} left cannot be fetched: {error}", run.id);
    let ending = failed(Reason::ResultRefused, format!("what the agent left cannot be fetched: {error}"));
    finalize(context, run, succeeded.then_some(ending)).await
}

/// Whether trouble says nothing about the result, so that it may still be had: a machine that is away, refuses the login for a moment, or is full.
pub fn may_pass(error: &Trouble) -> bool {
    use RunnerError::{Busy, Disk, Fenced, Host};
    matches!(
        error,
        Trouble::Runner(Host(_) | Fenced(_) | Busy(_) | Disk(_))
            | Trouble::Git(GitError::Unreachable { .. } | GitError::TimedOut { .. })
    )
}

async fn out_of_sight(context: &Context, run: &Run, error: &Trouble) -> Result<Next> {
    if let Trouble::Runner(RunnerError::Host(changed @ HostError::HostKey(_))) = error {
        context.runners.quarantine(run.runner.as_deref().unwrap_or_default(), &changed.to_string());
    }
    let now = context.clock.now();
    let since = run.unreachable_since.unwrap_or(now);
    if now - since >= run.lost_after() {
        let what = format!("the agent had succeeded, and what it left could not be fetched ({error})");
        return finalize(context, run, Some(lost(run, &what))).await;
    }
    let mut tx = context.db.begin().await?;
    db::runs::set_unreachable(&mut tx, run.id, Some(since)).await?;
    db::reports::touch_status(&mut tx, run.id, now).await?;
    tx.commit().await?;
    context.wake.reports.notify_one();
    Ok(Next::later(error))
}

/// Checks what came back, pushes exactly one ref, opens or adopts the pull request.
async fn deliver(
    context: &Context,
    run: &Run,
    repository: &Repository,
    given: &Sha,
    result: &Sha,
) -> Result<(), Undelivered> {
    let line_id = run.line.context("work belongs to a line")?;
    let mut line = db::lines::get(&mut *context.db.read().await?, line_id).await?;
    let base = run.base_branch.clone().context("a base branch was chosen before the agent started")?;
    let head = match &run.pushed {
        Some(pushed) => pushed.clone(),
        None => {
            check(context, repository, &base, given, result).await?;
            match destination::find(context, repository, run, &line).await? {
                Destination::Line => {}
                Destination::Reopened(pull) => destination::reopen(context, repository, pull).await?,
                Destination::AnotherLine(pull) => {
                    line = destination::another_line(context, run, &line, Left::Merged(pull)).await?;
                }
                Destination::Nowhere(state, reason) => {
                    let mut tx = context.db.begin().await?;
                    db::lines::set_state(&mut tx, line.id, state).await?;
                    tx.commit().await?;
                    return Err(Undelivered::Refused(failed(reason, "")));
                }
            }
            let pushed = match line.continues.filter(|_| line.head.is_none()) {
                Some(merged) => {
                    let (from, tip) = on_top_of_base(context, repository, (&base, merged), (given, result)).await?;
                    bring(context, run, repository, (&mut line, &base), (None, &from, &tip)).await?
                }
                None => {
                    let lease = run.lease.as_ref();
                    bring(context, run, repository, (&mut line, &base), (lease, given, result)).await?
                }
            };
            let mut tx = context.db.begin().await?;
            db::runs::set_pushed(&mut tx, run.id, &pushed, None).await?;
            db::lines::set_published(&mut tx, line.id, &base, &pushed, None).await?;
            tx.commit().await?;
            info!("run {} pushed {} to {}", run.id, pushed.short(), line.branch);
            name_conflicts(context, run, &base, &pushed).await;
            pushed
        }
    };
    if run.pull.is_none() {
        // A new one where GitHub did not open the closed one again says what it continues.
        let pull = open_pull(context, run, repository, (&line, &base), &head).await?;
        let mut tx = context.db.begin().await?;
        let stored = db::lines::get(&mut tx, line.id).await?;
        if matches!(stored.state, LineState::Merged | LineState::Closed) && stored.pull != Some(pull) {
            // The one before ended in the moment of the push.
            db::lines::reopen(&mut tx, &stored).await?;
        }
        db::runs::set_pushed(&mut tx, run.id, &head, Some(pull)).await?;
        db::lines::set_published(&mut tx, line.id, &base, &head, Some(pull)).await?;
        tx.commit().await?;
    }
    Ok(())
}

/// Says in which paths the pushed head conflicts with the base branch; that helps people and is not needed.
async fn name_conflicts(context: &Context, run: &Run, base: &str, head: &Sha) {
    let find = async {
        let mirror = context.mirrors.open(run.repository).await?;
        let Some(base) = mirror.branch(base).await? else { return Ok(()) };
        let conflicts = conflicts(&mirror, &base, head).await?;
        let mut tx = context.db.begin().await?;
        let stored = db::runs::get(&mut tx, run.id).await?;
        if let (Some(work), Some(result), false) = (stored.work, &stored.result, conflicts.is_empty()) {
            db::runs::set_result(&mut tx, run.id, result, &Work { conflicts, ..work }).await?;
            tx.commit().await?;
        }
        anyhow::Ok(())
    };
    if let Err(error) = find.await {
        info!("whether {} conflicts with {base} cannot be told: {error:#}", head.short());
    }
}

/// Pushes the result. Where somebody else has moved the branch, the agent's commits go on top of theirs, once; where it is gone with its
/// pull request, they begin a new line.
async fn bring(
    context: &Context,
    run: &Run,
    repository: &Repository,
    (line, base): (&mut Line, &str),
    (lease, given, result): (Option<&Sha>, &Sha, &Sha),
) -> Result<Sha, Undelivered> {
    let Some(actual) = push(context, repository, (line, base), (lease, result)).await? else {
        return Ok(result.clone());
    };
    let moved = |actual: &str, why: &str| {
        let detail = format!(
            "{} is at {actual} on GitHub, and the agent's result {result} does not know that{why}",
            line.branch
        );
        Undelivered::Refused(failed(Reason::BranchMoved, detail))
    };
    let Some(actual) = actual else {
        *line = destination::another_line(context, run, line, Left::Gone).await?;
        return match push(context, repository, (line, base), (None, result)).await? {
            None => Ok(result.clone()),
            Some(_) => Err(super::remote_unavailable("the new branch is there already".to_owned()).into()),
        };
    };
    let mirror = context.mirrors.open(repository.id).await?;
    super::fetch(context, repository, &mirror, Fetch::Heads).await?;
    if !mirror.has(&actual).await? {
        return Err(super::remote_unavailable(format!("GitHub does not hand {actual} out yet")).into());
    }
    // What an earlier run left unpublished and this one began from is part of the work.
    match rebase(&mirror, (lease.unwrap_or(given), result), &actual).await? {
        Rebased::At(tip) => {
            check(context, repository, base, &actual, &tip).await?;
            match push(context, repository, (line, base), (Some(&actual), &tip)).await? {
                None => {
                    info!("run {} went on top of {}", run.id, actual.short());
                    Ok(tip)
                }
                Some(by_now) => Err(moved(by_now.as_ref().unwrap_or(&actual).as_str(), ", and it moves on")),
            }
        }
        Rebased::Conflict { paths } => Err(moved(actual.as_str(), &format!("; both changed {}", paths.join(", ")))),
    }
}

/// What was merged is in the base branch by now, in whatever form; the agent's own commits go on top of it. Gives what to push, and from where it begins.
async fn on_top_of_base(
    context: &Context,
    repository: &Repository,
    (base, merged): (&str, Number),
    (given, result): (&Sha, &Sha),
) -> Result<(Sha, Sha), Undelivered> {
    let mirror = context.mirrors.open(repository.id).await?;
    super::fetch(context, repository, &mirror, Fetch::Heads).await?;
    let Some(tip) = mirror.branch(base).await? else { return Ok((given.clone(), result.clone())) };
    match rebase(&mirror, (given, result), &tip).await? {
        Rebased::At(moved) if moved == tip => {
            let detail = format!("`{base}` has all of it since #{merged} was merged");
            let reason = Reason::NoChanges;
            Err(Undelivered::Refused(Ending { outcome: Outcome::Succeeded, reason, detail }))
        }
        Rebased::At(moved) => {
            check(context, repository, base, &tip, &moved).await?;
            Ok((tip, moved))
        }
        // The comment names the conflicts.
        Rebased::Conflict { .. } => Ok((given.clone(), result.clone())),
    }
}

async fn check(
    context: &Context,
    repository: &Repository,
    base: &str,
    given: &Sha,
    result: &Sha,
) -> Result<(), Undelivered> {
    let mirror = context.mirrors.open(repository.id).await?;
    if !checks::is_ancestor(&mirror, given, result).await? {
        let detail = format!(
            "the agent was given {given} and left {result}, which does not contain it; nothing was pushed, the result is kept"
        );
        return Err(Undelivered::Refused(failed(Reason::NotDescendant, detail)));
    }
    // Rules are checked against the base as it is now: it may have moved while the agent worked.
    super::fetch(context, repository, &mirror, Fetch::Heads).await?;
    let against = mirror.branch(base).await?.unwrap_or_else(|| given.clone());
    let policy = match plan::policy(context, repository).await {
        Ok(policy) => policy,
        // Rules that cannot be read are not the absence of rules (P7).
        Err(PlanError::Unusable(_, detail)) => {
            return Err(Undelivered::Refused(failed(Reason::ResultRefused, detail)));
        }
        Err(PlanError::GitHub(error)) => return Err(error.into()),
        Err(PlanError::Other(error)) => return Err(error.into()),
    };
    let changes = checks::changes(&mirror, &against, result).await?;
    // What needs approval is refused as long as nobody can approve.
    let refused = [policy.paths.refused, policy.paths.approval].concat();
    let mut refusals = paths::refused_paths(&changes, &PathPolicy { allowed: Vec::new(), refused });
    refusals.extend(checks::escaping_links(&mirror, &changes).await?);
    let mut problems: Vec<String> =
        refusals.iter().map(|refusal| format!("{}: {}", refusal.path, refusal.rule)).collect();
    let bytes = checks::new_bytes(&mirror, given, result).await?;
    if bytes > checks::PACK_BYTES {
        problems.push(format!("the new objects take {bytes} bytes, and {} is the limit", checks::PACK_BYTES));
    }
    if problems.is_empty() {
        return Ok(());
    }
    Err(Undelivered::Refused(failed(Reason::ResultRefused, problems.join("\n"))))
}

/// Pushes a commit to the line's branch if that is where it is expected to be. `Some`: it is elsewhere, or gone.
async fn push(
    context: &Context,
    repository: &Repository,
    (line, base): (&Line, &str),
    (expected, new): (Option<&Sha>, &Sha),
) -> Result<Option<Option<Sha>>, Undelivered> {
    let mirror = context.mirrors.open(repository.id).await?;
    let branch = LineBranch::own(&line.branch, base).map_err(anyhow::Error::from)?;
    let url = context.remote(repository);
    let mut new_token = false;
    loop {
        let token = context.github.git_token(repository, true).await?;
        match git::push(&mirror, Remote { url: &url, token: token.as_ref() }, Push { branch: &branch, new, expected })
            .await
        {
            Ok(PushOutcome::Pushed) => return Ok(None),
            Ok(PushOutcome::Moved { actual }) => return Ok(Some(actual)),
            Ok(PushOutcome::Refused { text }) => {
                return Err(Undelivered::Refused(failed(Reason::PushRefused, text)));
            }
            Err(GitError::Denied { .. }) if !new_token => {
                // The token may have expired or been revoked since it was made; one new one, no loop (T31).
                context.github.forget_git_token(repository, true).await;
                new_token = true;
            }
            Err(GitError::Denied { text, .. }) => {
                let detail = format!(
                    "GitHub refused the App's token for the push; check that the App may write contents. {text}"
                );
                return Err(Undelivered::Refused(failed(Reason::PushRefused, detail)));
            }
            Err(error) => return Err(super::remote_trouble(error).into()),
        }
    }
}

async fn open_pull(
    context: &Context,
    run: &Run,
    repository: &Repository,
    (line, base): (&Line, &str),
    head: &Sha,
) -> Result<Number, Undelivered> {
    let find = async || pulls::find_by_head(&context.github, repository, &line.branch).await;
    let mut continues = line.continues;
    // Nobody can have opened one for a branch that was pushed for the first time just now.
    if line.head.is_some() {
        let found = find().await?;
        if let Some(open) = found.iter().find(|pull| pull.is_open()) {
            return Ok(open.number);
        }
        // Whoever merged it in the moment of the push has merged this.
        if let Some(merged) = found.iter().find(|pull| pull.is_merged() && pull.head.sha == *head) {
            return Ok(merged.number);
        }
        continues = found.first().map(|pull| pull.number).or(continues);
    }
    let thread = db::threads::get(&mut *context.db.read().await?, run.thread).await?;
    let words = answer(run).map(|answer| words_of(&answer)).unwrap_or_default();
    let (title, body) = (
        title(run),
        wording::pull_request_body(run, &words, (thread.number, continues), context.run_url(run.id).as_deref()),
    );
    let new = pulls::NewPull { title: &title, body: &body, head: &line.branch, base, draft: false };
    match pulls::create(&context.github, repository, &new).await {
        Ok(pulls::Created::New(pull)) => Ok(pull.number),
        Ok(pulls::Created::Exists) => match find().await?.into_iter().find(pulls::PullRequest::is_open) {
            Some(pull) => Ok(pull.number),
            // GitHub's lists lag: the next attempt will find it.
            None => Err(super::remote_unavailable("the pull request is not listed yet".to_owned()).into()),
        },
        Err(error @ ApiError::Refused { .. }) => Err(Undelivered::Refused(failed(Reason::PullRequestRefused, error))),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn answer(run: &Run) -> Option<Answer> {
    Answer::stored(run.kind, run.answer.clone()?)
}

/// The pull request's title, which is also the message of a commit of leftovers.
fn title(run: &Run) -> String {
    let from_answer = match answer(run) {
        Some(Answer::Work(work)) => work.pull_request_title,
        _ => None,
    };
    let title = from_answer.filter(|title| !title.trim().is_empty()).unwrap_or_else(|| run.ask.title.clone());
    let title = text::title(&title, TITLE_LIMIT);
    if title.is_empty() { format!("chore: work of run {}", run.id) } else { title }
}

fn words_of(answer: &Answer) -> String {
    match answer {
        Answer::Work(work) => match work.pull_request_body.as_deref().filter(|body| !body.trim().is_empty()) {
            Some(body) => body.to_owned(),
            None => work.summary.clone(),
        },
        Answer::Review(review) => review.summary.clone(),
    }
}
