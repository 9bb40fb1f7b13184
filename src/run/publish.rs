//! What an agent left becomes a branch and a pull request, or is kept; every ending passes here, so every ending is reported.

use anyhow::{Context as _, Result};
use tracing::{info, warn};

use super::plan::{self, PlanError};
use super::start::{NewWork, start};
use super::step::{Next, canceled, failed, github_wait, lost};
use super::trouble::Trouble;
use super::{mains, review};
use crate::agent::{Answer, Disposition};
use crate::config::FollowUp;
use crate::context::Context;
use crate::db::answered::What;
use crate::db::lines::Line;
use crate::db::reports::{NewReport, Payload};
use crate::db::runs::{Ending, Run, Work};
use crate::db::{self, Conn};
use crate::git::checks::{self, DiffStat};
use crate::git::paths::{self, PathPolicy};
use crate::git::rebase::{Rebased, conflicts, rebase};
use crate::git::{self, Fetch, GitError, LineBranch, Push, PushOutcome, Remote};
use crate::github::{ApiError, pulls};
use crate::model::{Kind, Millis, Number, Outcome, Place, Reaction, Reason, Repository, Sha, Status};
use crate::report::{text, wording};
use crate::runner::{HostError, Identity, RunnerError};

/// Attempts to fetch what a run left that did not succeed, before it is reported without.
const KEEP_ATTEMPTS: i64 = 3;
/// Characters of the longest title that GitHub takes.
const TITLE_LIMIT: usize = 256;

/// Publishes what a run left. Each part looks first whether it is done already, so that a crash repeats nothing visible.
pub async fn step(context: &Context, run: &Run) -> Result<Next> {
    let repository = db::repositories::get(&mut *context.db.read().await?, run.repository)
        .await?
        .context("a run's repository is stored")?;
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
    if result == *given {
        let ending = Ending { outcome: Outcome::Succeeded, reason: Reason::NoChanges, detail: String::new() };
        return finalize(context, run, Some(ending)).await;
    }
    match deliver(context, run, &repository, given, &result).await {
        Ok(()) => finalize(context, run, None).await,
        Err(Undelivered::Refused(ending)) => finalize(context, run, Some(ending)).await,
        Err(Undelivered::Trouble(Trouble::GitHub(error))) => match github_wait(&error, run, context.clock.now()) {
            Some(next) => Ok(next),
            None => finalize(context, run, Some(failed(Reason::PushRefused, error))).await,
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
            reopen(context, run, repository, &line).await?;
            let pushed = bring(context, run, repository, (&mut line, &base), (given, result)).await?;
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
        let pull = open_pull(context, run, repository, &line, &base).await?;
        let mut tx = context.db.begin().await?;
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

/// A follow-up on a pull request that was closed unmerged opens it again, where GitHub allows it: not once the branch has moved (B20).
async fn reopen(context: &Context, run: &Run, repository: &Repository, line: &Line) -> Result<(), Undelivered> {
    let (Kind::FollowUp, Some(number)) = (run.kind, line.pull) else { return Ok(()) };
    let pull = pulls::get(&context.github, repository, number).await?;
    if pull.is_open() || pull.is_merged() {
        return Ok(());
    }
    let open = pulls::PullChange { state: Some("open"), ..pulls::PullChange::default() };
    match pulls::update(&context.github, repository, number, open).await {
        Ok(_) | Err(ApiError::Refused { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Pushes the result. Where somebody else has moved the branch, the agent's commits go on top of theirs, once; where it is gone with its
/// pull request, they begin a new line.
async fn bring(
    context: &Context,
    run: &Run,
    repository: &Repository,
    (line, base): (&mut Line, &str),
    (given, result): (&Sha, &Sha),
) -> Result<Sha, Undelivered> {
    let Some(actual) = push(context, repository, (line, base), (run.lease.as_ref(), result)).await? else {
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
        *line = another_line(context, run, line).await?;
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
    match rebase(&mirror, (given, result), &actual).await? {
        Rebased::At(tip) => {
            check(context, repository, base, &actual, &tip).await?;
            match push(context, repository, (line, base), (Some(&actual), &tip)).await? {
                None => {
                    info!("run {} went on top of {}", run.id, actual.short());
                    Ok(tip)
                }
                Some(_) => Err(moved(actual.as_str(), ", and it moves on")),
            }
        }
        Rebased::Conflict { paths } => Err(moved(actual.as_str(), &format!("; both changed {}", paths.join(", ")))),
    }
}

/// The branch was deleted while the agent worked, as merging does where the repository wants it: the work goes to a line of its own.
async fn another_line(context: &Context, run: &Run, line: &Line) -> Result<Line, Undelivered> {
    let now = context.clock.now();
    let mut tx = context.db.begin().await?;
    let thread = db::threads::get(&mut tx, run.thread).await?;
    let another = db::lines::open(&mut tx, thread.id, thread.repository, thread.number, now).await?;
    db::runs::set_line(&mut tx, run.id, another.id).await?;
    tx.commit().await?;
    info!("the branch {} of run {} is gone, so its work goes to {}", line.branch, run.id, another.branch);
    Ok(another)
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
        match git::push(&mirror, Remote { url: &url, token: Some(&token) }, Push { branch: &branch, new, expected })
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
    line: &Line,
    base: &str,
) -> Result<Number, Undelivered> {
    let find = async || pulls::find_by_head(&context.github, repository, &line.branch).await;
    let mut continues = None;
    // Nobody can have opened one for a branch that was pushed for the first time just now.
    if line.head.is_some() {
        let found = find().await?;
        if let Some(open) = found.iter().find(|pull| pull.is_open()) {
            return Ok(open.number);
        }
        continues = found.iter().find(|pull| !pull.is_merged()).map(|pull| pull.number);
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
    let good = run.outcome == Some(Outcome::Succeeded);
    attempt_again(&mut tx, &run, now).await?;
    if good {
        answer_feedback(&mut tx, &run, now).await?;
    }
    for trigger in db::triggers::of_run(&mut tx, run.id).await? {
        if !matches!(trigger.place, Place::Review(_)) {
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
            payload: Payload::Final { text: wording::pushed(&mains, &run, thread.number, automatic) },
        };
        db::reports::owe(&mut tx, &last, now).await?;
    }
    let outcome = run.outcome.map_or("failed", |outcome| outcome.as_str());
    let record = db::decisions::Decision {
        delivery: None,
        repository: Some(run.repository),
        number: Some(thread.number),
        trigger: None,
        run: Some(run.id),
        actor: None,
        verdict: "noted",
        reason: outcome.into(),
        detail: format!("run {} is done: {}", run.id, wording::reason_text(run.reason.unwrap_or(Reason::Internal))),
    };
    db::decisions::insert(&mut tx, &record, now).await?;
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
    // Nobody asked again, so the right to ask is as old as it was, and is confirmed before the agent starts (T13).
    let work = NewWork::again(&mut *tx, run, run.ask.requester.clone(), run.allowed_at).await?;
    if let Some(next) = start(&mut *tx, &work, now).await? {
        db::triggers::hand_over(tx, run.id, next).await?;
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
    let Some(pull) = run.pull.or(run.ask.told_on) else { return Ok(()) };
    for comment in &feedback.comments {
        let Some(reply) = work.replies.iter().find(|reply| reply.comment_id == comment.id) else { continue };
        let word = wording::disposition_word(reply.disposition);
        db::answered::insert(&mut *tx, run.repository, (What::Comment, comment.id), run.id, word, now).await?;
        let mut owe = async |what: &str, payload| {
            let key = format!("{what}:{}:{}", run.id, comment.id);
            let report = NewReport { key, repository: run.repository, number: pull, run: Some(run.id), payload };
            db::reports::owe(&mut *tx, &report, now).await
        };
        let text = wording::thread_reply(reply, run.pushed.as_ref());
        owe("thread_reply", Payload::ThreadReply { root: comment.root, text }).await?;
        if reply.disposition == Disposition::Fixed {
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

fn answer(run: &Run) -> Option<Answer> {
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
