//! What a run needs before it starts: the commit to begin from, and everything that the agent is told.
//!
//! This is one of the three places that look at the kind of an ask.

use anyhow::{Context as _, Result};
use futures_util::future::join_all;

use super::trouble::Trouble;
use crate::agent::{self, Comment, Launch, PromptInput, Request};
use crate::context::Context;
use crate::db;
use crate::db::lines::Line;
use crate::db::runs::{Ground, LeftOut, Run};
use crate::git::checks::TreeNotes;
use crate::git::{self, checks};
use crate::github::repos::{self, RepositoryInfo};
use crate::github::{ApiError, app::BotIdentity, issues, permission, pulls};
use crate::model::{Ask, Kind, Millis, Number, Reason, Repository, Sha};
use crate::runner::{Machine, Start};
use crate::trigger::decide::PERMISSION_TRUSTED;
use crate::trigger::policy::{self, Policy};

/// Comments of a conversation that are considered for the prompt, newest kept.
const REMARKS_LIMIT: usize = 50;
/// Questions to GitHub at a time.
const ASKED_AT_ONCE: usize = 8;
/// Where the commit-msg hook lies among the run's files.
const HOOK: &str = "hooks/commit-msg";

/// A plan that can be carried out.
pub struct Plan {
    /// What the agent begins with.
    pub ground: Ground,
    /// What the runner is told.
    pub start: Start,
}

/// Why there is no plan.
#[derive(Debug)]
pub enum PlanError {
    /// GitHub said no, or nothing.
    GitHub(ApiError),
    /// The repository or the request cannot be worked on as it is.
    Unusable(Reason, String),
    /// Something broke in the bot.
    Other(anyhow::Error),
}

impl From<ApiError> for PlanError {
    fn from(error: ApiError) -> Self {
        Self::GitHub(error)
    }
}

impl From<anyhow::Error> for PlanError {
    fn from(error: anyhow::Error) -> Self {
        Self::Other(error)
    }
}

impl From<git::GitError> for PlanError {
    fn from(error: git::GitError) -> Self {
        Self::Other(error.into())
    }
}

impl From<sqlx::Error> for PlanError {
    fn from(error: sqlx::Error) -> Self {
        Self::Other(error.into())
    }
}

/// Plans a run: asks GitHub for heads, brings the mirror up to date, writes prompt and command line.
pub async fn plan(context: &Context, run: &Run) -> Result<Plan, PlanError> {
    let mut conn = context.db.read().await?;
    let repository = db::repositories::get(&mut conn, run.repository).await?.context("a run's repository is stored")?;
    let thread = db::threads::get(&mut conn, run.thread).await?;
    let line = db::lines::get(&mut conn, run.line.context("work belongs to a line")?).await?;
    let earlier = earlier_requests(&db::runs::of_thread(&mut conn, run.thread, 20).await?, run);
    let asked_at = db::triggers::asked_at(&mut conn, run.id).await?.unwrap_or(run.queued_at);
    drop(conn);

    // What the runner may have begun from already stays: a branch that moved since must not change what the work is measured by.
    let begun = run.base_branch.clone().zip(run.given.clone()).filter(|_| run.fence > 0);
    let ground = async {
        if let Some((base_branch, given)) = begun {
            let mirror = context.mirrors.open(repository.id).await?;
            let notes = checks::tree_notes(&mirror, &given).await?.unwrap_or_default();
            let ground = Ground { base_branch, given, lease: run.lease.clone(), left_out: LeftOut::default() };
            return Ok((ground, notes));
        }
        let default = recent_about(context, &repository).await?.default_branch;
        let base_branch = base_branch(context, &repository, run, &line).await?.unwrap_or_else(|| default.clone());
        starting_point(context, &repository, &line, (base_branch, &default)).await
    };
    let (ground, policy, remarks, bot) = tokio::join!(
        ground,
        recent_policy(context, &repository),
        remarks(context, &repository, thread.number, asked_at),
        context.bot(&repository),
    );
    let ((mut ground, notes), policy) = (ground?, policy?);
    let bot = bot?;
    let agent = agent::resolve(&run.agent, &context.config.agents).ok_or_else(|| {
        PlanError::Unusable(Reason::RunnerSetup, format!("agent {} is not configured any more", run.agent))
    })?;
    let input = PromptInput {
        kind: run.kind,
        nonce: nonce(),
        repository: repository.name.clone(),
        number: thread.number,
        base_branch: ground.base_branch.clone(),
        branch: line.branch.clone(),
        head: None,
        diff_base: None,
        pull_request: line.pull.map(|number| agent::PullRequest {
            number,
            url: format!("{}/pull/{number}", context.repository_url(&repository.name)),
        }),
        author: run.ask.author.clone(),
        title: run.ask.title.clone(),
        body: run.ask.body.clone(),
        changed: earlier.last().is_some_and(|(_, ask)| ask.title != run.ask.title || ask.body != run.ask.body),
        requester: run.ask.requester.login.clone(),
        instructions: run.ask.instructions.clone(),
        earlier: earlier.into_iter().map(|(at, ask)| request(at, ask)).collect(),
        profile_instructions: profile_instructions(context, run),
        repository_instructions: policy.instructions.clone(),
        conversation: remarks?,
        reviews: Vec::new(),
        review_comments: Vec::new(),
        lfs: notes.lfs,
        submodules: notes.submodules,
    };
    let prompt = agent::render(&agent, &input).context("the prompt cannot be written")?;
    ground.left_out = LeftOut { lfs: notes.lfs, submodules: notes.submodules, hidden_characters: prompt.removed };
    let order = agent::Order {
        kind: run.kind,
        run: run.id,
        model: run.model.as_deref(),
        session: None,
        cost_usd: run.limits.cost_usd_per_run,
    };
    let launch = agent::launch(&agent, &order);
    let Launch { command, stdin_file, mut env, mut files } = launch;
    files.push((agent::PROMPT_FILE.into(), prompt.text.into_bytes()));
    files.push((HOOK.into(), commit_hook(run, &bot).into_bytes()));
    env.extend(git_environment(&bot));
    Ok(Plan {
        start: Start {
            run: run.id,
            fence: context.epoch.unsigned_abs(),
            turn: u32::try_from(run.turn).unwrap_or(1),
            thread: run.thread,
            lane: run.lane,
            repository: run.repository,
            commit: ground.given.clone(),
            branch: line.branch,
            // A line without a pushed head begins here, so nothing of an earlier line may leak in.
            fresh: line.head.is_none(),
            files,
            command,
            stdin_file,
            env,
            wall: run.limits.wall,
            silence: run.limits.silence,
        },
        ground,
    })
}

/// Brings a commit from the bot's mirror to the runner's bare repository.
pub async fn give(context: &Context, run: &Run, machine: &Machine, commit: &Sha) -> Result<(), Trouble> {
    let endpoint = machine.git_receive(run.repository, run.id, context.epoch.unsigned_abs()).await?;
    let mirror = context.mirrors.open(run.repository).await?;
    mirror.push_given(&super::endpoint(&endpoint), commit, &format!("refs/track/given/{}", run.id)).await?;
    Ok(())
}

/// What the repository is like now.
pub async fn about(context: &Context, repository: &Repository) -> Result<RepositoryInfo, ApiError> {
    let asked = context.clock.now();
    let about = repos::get(&context.github, repository).await?;
    context.about.learned(repository.id, asked, &about);
    Ok(about)
}

/// What the repository is like, or was when the run was decided upon a moment ago.
async fn recent_about(context: &Context, repository: &Repository) -> Result<RepositoryInfo, ApiError> {
    match context.about.since(repository.id, context.clock.now() - PERMISSION_TRUSTED) {
        Some(about) => Ok(about),
        None => about(context, repository).await,
    }
}

/// The repository's policy from its default branch; one that cannot be read is a refusal, never the absence of rules.
pub async fn policy(context: &Context, repository: &Repository) -> Result<Policy, PlanError> {
    let asked = context.clock.now();
    let policy = match repos::file(&context.github, repository, policy::PATH, None).await? {
        None => Policy::default(),
        Some(file) => policy::parse(file.text.as_bytes(), &context.config.limits)
            .map_err(|mistake| PlanError::Unusable(Reason::RepositoryUnusable, mistake.to_string()))?,
    };
    context.policies.learned(repository.id, asked, &policy);
    Ok(policy)
}

/// The repository's policy, or what it was when the run was decided upon or checked a moment ago.
pub async fn recent_policy(context: &Context, repository: &Repository) -> Result<Policy, PlanError> {
    match context.policies.since(repository.id, context.clock.now() - PERMISSION_TRUSTED) {
        Some(policy) => Ok(policy),
        None => policy(context, repository).await,
    }
}

/// Where the work is meant to go: where the pull request leads now, if there is one, else what the request or the line says.
async fn base_branch(
    context: &Context,
    repository: &Repository,
    run: &Run,
    line: &Line,
) -> Result<Option<String>, ApiError> {
    match line.pull {
        Some(pull) => Ok(Some(pulls::get(&context.github, repository, pull).await?.base.r#ref)),
        None => Ok(run.ask.base.clone().or_else(|| line.base_branch.clone())),
    }
}

/// The commit from which the agent starts, in the mirror: the line's branch on GitHub if it is there, else the base branch.
async fn starting_point(
    context: &Context,
    repository: &Repository,
    line: &Line,
    (base_branch, default_branch): (String, &str),
) -> Result<(Ground, TreeNotes), PlanError> {
    let (branch, base) = tokio::join!(
        async {
            match line.head {
                Some(_) => repos::branch_head(&context.github, repository, &line.branch).await,
                None => Ok(repos::BranchHead::Missing),
            }
        },
        repos::branch_head(&context.github, repository, &base_branch),
    );
    let lease = match branch? {
        repos::BranchHead::At(sha) => Some(sha),
        _ => None,
    };
    let head = match (lease.clone(), base?) {
        (Some(sha), _) | (_, repos::BranchHead::At(sha)) => sha,
        (_, missing) if missing == repos::BranchHead::EmptyRepository || base_branch == default_branch => {
            // A default branch is missing only before the first commit.
            let detail = "the repository is empty: push a first commit, then ask again";
            return Err(PlanError::Unusable(Reason::RepositoryUnusable, detail.into()));
        }
        _ => {
            let detail =
                format!("there is no branch `{base_branch}`: name another with `--base`, or in `{}`", policy::PATH);
            return Err(PlanError::Unusable(Reason::RepositoryUnusable, detail));
        }
    };
    let mirror = context.mirrors.open(repository.id).await?;
    let ground = Ground { base_branch, given: head.clone(), lease, left_out: LeftOut::default() };
    if let Some(notes) = checks::tree_notes(&mirror, &head).await? {
        return Ok((ground, notes));
    }
    super::fetch(context, repository, &mirror).await.map_err(|trouble| match trouble {
        Trouble::GitHub(error) => PlanError::GitHub(error),
        other => PlanError::Other(other.into()),
    })?;
    match checks::tree_notes(&mirror, &head).await? {
        Some(notes) => Ok((ground, notes)),
        None => {
            let message = format!("GitHub says that the branch is at {head} and does not hand that commit out yet");
            Err(PlanError::GitHub(super::remote_unavailable(message)))
        }
    }
}

/// What was asked on this thread before, oldest first, so that the agent sees the whole conversation (B21).
fn earlier_requests(runs: &[Run], run: &Run) -> Vec<(Millis, Ask)> {
    runs.iter()
        .rev()
        .filter(|other| other.id != run.id && other.kind != Kind::Review)
        .map(|other| (other.queued_at, other.ask.clone()))
        .collect()
}

fn request(at: Millis, ask: Ask) -> Request {
    Request { at, requester: ask.requester.login, kind: ask.kind, instructions: ask.instructions }
}

/// Marks where the texts of people begin and end in a prompt; nobody can guess it.
fn nonce() -> String {
    hex::encode(rand::random::<[u8; 8]>())
}

/// The conversation as far as it comes from people with write access and was not changed after the trigger (T17).
async fn remarks(
    context: &Context,
    repository: &Repository,
    number: Number,
    asked_at: Millis,
) -> Result<Vec<Comment>, ApiError> {
    let comments = issues::comments_since(&context.github, repository, number, 0).await?;
    let mut said: Vec<_> = comments
        .into_iter()
        .filter(|comment| comment.performed_via_github_app.is_none() && comment.updated_at <= asked_at)
        .filter_map(|comment| Some((comment.user.clone().filter(|user| user.kind != "Bot")?.account, comment)))
        .collect();
    let surplus = said.len().saturating_sub(REMARKS_LIMIT);
    said.drain(..surplus);
    let mut authors: Vec<_> = said.iter().map(|(author, _)| author.clone()).collect();
    authors.sort_by_key(|author| author.id);
    authors.dedup_by_key(|author| author.id);
    let mut trusted = Vec::new();
    for some in authors.chunks(ASKED_AT_ONCE) {
        let asked = some.iter().map(|author| permission::of_login(&context.github, repository, &author.login));
        for (author, found) in some.iter().zip(join_all(asked).await) {
            match found {
                Ok(found) if found.user == Some(author.id) && found.role.may_write() => trusted.push(author.id),
                Ok(_) => {}
                // Whoever GitHub will not tell of stays out; that is no reason to hold the run up.
                Err(error) if error.retry_at(1, context.clock.now()).is_none() => {}
                Err(error) => return Err(error),
            }
        }
    }
    let remarks = said
        .into_iter()
        .filter(|(author, _)| trusted.contains(&author.id))
        .map(|(author, comment)| Comment { at: comment.created_at, author: author.login, text: comment.body });
    Ok(remarks.collect())
}

fn profile_instructions(context: &Context, run: &Run) -> Option<String> {
    let profile = context.config.profiles.get(run.profile.as_deref()?)?;
    profile.instructions.clone()
}

/// Author and committer are the bot, by environment, so that no configuration of the agent's repository matters; hooks come from
/// a folder outside the agent's reach.
fn git_environment(bot: &BotIdentity) -> Vec<(String, String)> {
    [
        ("GIT_AUTHOR_NAME", bot.git_name.as_str()),
        ("GIT_AUTHOR_EMAIL", &bot.git_email),
        ("GIT_COMMITTER_NAME", &bot.git_name),
        ("GIT_COMMITTER_EMAIL", &bot.git_email),
        ("GIT_CONFIG_COUNT", "1"),
        ("GIT_CONFIG_KEY_0", "core.hooksPath"),
        ("GIT_CONFIG_VALUE_0", "{in}/hooks"),
        ("GIT_TERMINAL_PROMPT", "0"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .to_vec()
}

/// The hook that says in each commit who asked for it. Logins are GitHub's: letters, digits, hyphens and the brackets of apps.
fn commit_hook(run: &Run, bot: &BotIdentity) -> String {
    let requester = &run.ask.requester;
    let login: String =
        requester.login.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '[' | ']')).collect();
    let host = bot.git_email.rsplit_once('@').map_or("users.noreply.github.com", |(_, host)| host);
    let person = format!("{login} <{}+{login}@{host}>", requester.id);
    format!(
        "#!/bin/sh\nexec git interpret-trailers --in-place --if-exists addIfDifferent \\\n  --trailer 'Requested-by: {person}' --trailer 'Co-authored-by: {person}' \"$1\"\n"
    )
}
