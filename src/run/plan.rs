//! What a run needs before it starts: the commit to begin from, and everything that the agent is told.
//!
//! This is one of the three places that look at the kind of an ask.

use anyhow::{Context as _, Result};

use super::attachments;
use super::brief::{self, Brief};
use super::ground::{self, Found};
use super::review;
use super::trouble::Trouble;
use crate::agent::{self, Launch, PromptInput};
use crate::context::Context;
use crate::db;
use crate::db::runs::{Again, Ground, LeftOut, Run};
use crate::git;
use crate::github::repos::{self, RepositoryInfo};
use crate::github::{ApiError, app::BotIdentity};
use crate::model::{Kind, LineComment, Reason, Repository, ReviewWords, Sha, without_marker};
use crate::runner::{Machine, Start};
use crate::trigger::decide::PERMISSION_TRUSTED;
use crate::trigger::policy::{self, Policy};

/// Runs of a thread whose requests are told to the agent.
const HISTORY: i64 = 20;
/// Where files beside the prompt lie among the run's files.
pub(super) const CONTEXT: &str = "context";
/// Where the commit-msg hook lies among the run's files.
const HOOK: &str = "hooks/commit-msg";

/// A plan that can be carried out.
pub struct Plan {
    /// What the agent begins with.
    pub ground: Ground,
    /// What it acts on and where it goes on.
    pub brief: Brief,
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
    let repository = super::repository_of(&mut conn, run).await?;
    let thread = db::threads::get(&mut conn, run.thread).await?;
    let line = match run.line {
        Some(line) => Some(db::lines::get(&mut conn, line).await?),
        None => None,
    };
    let history = db::runs::of_thread(&mut conn, run.thread, HISTORY).await?;
    let asked_at = db::triggers::asked_at(&mut conn, run.id).await?.unwrap_or(run.queued_at);
    drop(conn);
    let agent = agent::resolve(&run.agent, &context.config.agents).ok_or_else(|| {
        PlanError::Unusable(Reason::RunnerSetup, format!("agent {} is not configured any more", run.agent))
    })?;
    // The issue or pull request whose words are the ask.
    let subject = run.ask.pin.as_ref().map_or(thread.number, |pin| pin.pull);
    // People talk about a private task on its pull request, once there is one.
    let talk = if subject.is_private() { line.as_ref().and_then(|line| line.pull) } else { Some(subject) };

    let (found, policy, remarks, bot) = tokio::join!(
        ground::find(context, &repository, run, line.as_ref()),
        recent_policy(context, &repository),
        async {
            match talk {
                Some(number) => brief::remarks(context, &repository, number, asked_at).await,
                None => Ok(Vec::new()),
            }
        },
        context.bot(&repository),
    );
    let (Found { mut ground, notes, kept: unpublished }, policy, bot) = (found?, policy?, bot?);
    let mut brief = brief::gather(context, &repository, (run, line.as_ref()), &agent, &policy).await?;
    brief.note = joined(brief.note, unpublished);
    let (diff_base, reviews) = match &run.ask.pin {
        Some(pin) => (
            ground::diff_base(context, &repository, pin).await?,
            review::earlier(context, &repository, (run, pin), &policy).await?,
        ),
        None => (None, brief.feedback.reviews.iter().map(review_words).collect()),
    };
    let earlier = brief::earlier_requests(&history, run);
    let pull = run.ask.pin.as_ref().map(|pin| pin.pull).or(line.as_ref().and_then(|line| line.pull));
    let kept = run.ask.pin.as_ref().and_then(|pin| pin.prompt.clone());
    let texts = [run.ask.title.as_str(), without_marker(&run.ask.body), &run.ask.instructions];
    let attachments = attachments::gather(context, &repository, (subject, pull), &ground, &texts).await;
    let input = PromptInput {
        kind: run.kind,
        nonce: nonce(),
        repository: repository.name.clone(),
        number: subject,
        base_branch: ground.base_branch.clone(),
        branch: line.as_ref().map(|line| line.branch.clone()).unwrap_or_default(),
        head: run.ask.pin.as_ref().map(|pin| pin.head.clone()),
        diff_base,
        pull_request: pull.map(|number| agent::PullRequest {
            number,
            url: format!("{}/pull/{number}", context.repository_url(&repository.name)),
        }),
        author: run.ask.author.clone(),
        title: run.ask.title.clone(),
        body: without_marker(&run.ask.body).to_owned(),
        changed: earlier.last().is_some_and(|(_, ask)| ask.title != run.ask.title || ask.body != run.ask.body),
        requester: run.ask.requester.login.clone(),
        instructions: run.ask.instructions.clone(),
        earlier: earlier.into_iter().map(|(at, ask)| brief::request(at, ask)).collect(),
        profile_instructions: match &kept {
            Some(kept) => kept.profile.clone(),
            None => profile_instructions(context, run),
        },
        repository_instructions: match (run.kind, kept) {
            (Kind::Review, Some(kept)) => kept.repository,
            (Kind::Review, None) => policy.review_prompt.clone(),
            (Kind::Task | Kind::FollowUp, _) => policy.instructions.clone(),
        },
        conversation: remarks?,
        reviews,
        review_comments: brief.feedback.comments.iter().map(comment_words).collect(),
        attachments: attachments.iter().map(|file| (file.name.clone(), file.about.clone())).collect(),
        lfs: notes.lfs,
        submodules: notes.submodules,
    };
    let prompt = agent::render(&agent, &input).context("the prompt cannot be written")?;
    ground.left_out = LeftOut { lfs: notes.lfs, submodules: notes.submodules, hidden_characters: prompt.removed };
    let order = agent::Order {
        kind: run.kind,
        run: run.id,
        model: run.model.as_deref(),
        session: brief.resumed.as_ref(),
        cost_usd: run.limits.cost_usd_per_run,
    };
    let Launch { command, stdin_file, mut env, mut files } = agent::launch(&agent, &order);
    let text = match &run.again {
        Some(Again::Missing(missing)) => {
            let again = agent::render_again(missing).context("the prompt cannot be written")?;
            // Whoever cannot go on in a session is told everything anew.
            if brief.resumed.is_some() { again } else { format!("{}\n{again}", prompt.text) }
        }
        Some(Again::SessionLost) | None => prompt.text,
    };
    files.push((agent::PROMPT_FILE.into(), text.into_bytes()));
    files.extend(attachments.into_iter().map(|file| (format!("{CONTEXT}/{}", file.name), file.content.into_bytes())));
    env.push(("TRACK_CONTEXT_DIR".to_owned(), format!("{{in}}/{CONTEXT}")));
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
            branch: line.as_ref().map_or_else(|| format!("track/review-{subject}"), |line| line.branch.clone()),
            // A line without a pushed head begins here, so nothing of an earlier line may leak in; a review's checkout is thrown away.
            fresh: line.as_ref().is_none_or(|line| line.head.is_none() && (run.kind == Kind::Task || run.ask.fresh)),
            files,
            command,
            stdin_file,
            env,
            wall: run.limits.wall,
            silence: run.limits.silence,
        },
        ground,
        brief,
    })
}

fn joined(one: Option<String>, other: Option<String>) -> Option<String> {
    let both: Vec<String> = [one, other].into_iter().flatten().collect();
    (!both.is_empty()).then(|| both.join(" "))
}

fn review_words(review: &ReviewWords) -> agent::Review {
    agent::Review {
        at: review.at,
        author: review.author.login.clone(),
        state: review.state.clone(),
        text: review.text.clone(),
    }
}

fn comment_words(comment: &LineComment) -> agent::ReviewComment {
    agent::ReviewComment {
        id: comment.id,
        at: comment.at,
        author: comment.author.login.clone(),
        path: comment.path.clone(),
        line: comment.line,
        side: if comment.left { agent::Side::Left } else { agent::Side::Right },
        diff_hunk: comment.diff_hunk.clone(),
        text: comment.text.clone(),
    }
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
pub async fn recent_about(context: &Context, repository: &Repository) -> Result<RepositoryInfo, ApiError> {
    match context.about.since(repository.id, context.clock.now() - PERMISSION_TRUSTED) {
        Some(about) => Ok(about),
        None => about(context, repository).await,
    }
}

/// The repository's policy from its default branch; one that cannot be read is a refusal, never the absence of rules. A repository where
/// the App is not installed has nothing to say to this server.
pub async fn policy(context: &Context, repository: &Repository) -> Result<Policy, PlanError> {
    if repository.installation.is_none() {
        return Ok(Policy::default());
    }
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
        Some(policy) if repository.installation.is_some() => Ok(policy),
        _ => policy(context, repository).await,
    }
}

/// Marks where the texts of people begin and end in a prompt; nobody can guess it.
fn nonce() -> String {
    hex::encode(rand::random::<[u8; 8]>())
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
