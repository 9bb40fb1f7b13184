//! What people read on GitHub: short, scannable, with the next step. Pure functions, tested by snapshots.
//!
//! Nobody but the requester and the main user is ever mentioned, and words of agents pass [`super::text`] first.

use std::fmt::Write as _;

use super::text::{code, quoted, quoted_line};
use crate::agent::{Answer, Disposition, Reply};
use crate::db::runs::{LeftOut, Run};
use crate::model::{Millis, Number, Outcome, Phase, Reason, RepoName, RunId, Sha, Status, Usage, date_time};

/// Bytes of an agent's summary that a comment shows.
const SUMMARY_LIMIT: usize = 6_000;
/// Bytes of an error that a comment shows.
const DETAIL_LIMIT: usize = 2_000;
/// Paths named in a list before the rest is counted.
const PATHS_SHOWN: usize = 10;

/// What a status comment needs beside the run's row.
#[derive(Clone, Debug, Default)]
pub struct StatusFacts {
    /// Place in the queue, 1 for the next one.
    pub position: Option<usize>,
    /// Why it waits, where that is not just its turn.
    pub waits_for: Option<String>,
    /// The line's branch.
    pub branch: Option<String>,
    /// `https://…` address of the run's page, where there is one.
    pub run_url: Option<String>,
    /// `https://…/owner/name`.
    pub repository_url: String,
    /// Why the runner is out of service, if it is.
    pub out_of_service: Option<String>,
    /// The next attempt, where there is one.
    pub next_attempt: Option<RunId>,
    /// What to do about a failure.
    pub remedy: Option<String>,
    /// The agent's answer: summary and notes.
    pub summary: Option<String>,
    /// The agent's own remarks.
    pub notes: Option<String>,
}

/// The status comment of a run, as it is now.
pub fn status(run: &Run, facts: &StatusFacts) -> String {
    let mut out = String::new();
    let _ = match run.status {
        Status::Queued => queued(&mut out, run, facts),
        Status::Preparing => preparing(&mut out, run, facts),
        Status::Running => running(&mut out, run, facts),
        Status::Publishing => publishing(&mut out, run),
        Status::Done => done(&mut out, run, facts),
    };
    footer(&mut out, run, facts);
    out.trim_end().to_owned()
}

fn queued(out: &mut String, run: &Run, facts: &StatusFacts) -> std::fmt::Result {
    write!(out, "⏳ **Queued** for {}", code(&run.agent))?;
    if let Some(position) = facts.position {
        write!(out, ", number {position} in the queue")?;
    }
    writeln!(out, ".")?;
    replaces(out, run)?;
    if let Some(why) = &facts.waits_for {
        writeln!(out, "\nWaiting: {}", quoted_line(why, DETAIL_LIMIT))?;
    }
    Ok(())
}

fn preparing(out: &mut String, run: &Run, facts: &StatusFacts) -> std::fmt::Result {
    let doing = match run.phase {
        None | Some(Phase::CheckingRunner) => "checking the runner",
        Some(Phase::FetchingRepository) => "fetching the repository",
        Some(Phase::PreparingWorkspace) => "preparing the workspace",
        Some(Phase::UploadingPrompt) => "uploading the prompt",
        Some(Phase::Launching) => "launching the agent",
    };
    writeln!(out, "🔧 **Preparing** {}: {doing}.", on_runner(run))?;
    troubles(out, run, facts)
}

fn running(out: &mut String, run: &Run, facts: &StatusFacts) -> std::fmt::Result {
    write!(out, "🏃 **Running** {}", on_runner(run))?;
    if let Some(at) = run.started_at {
        write!(out, " since {}", clock_time(at))?;
    }
    writeln!(out, ".")?;
    if let Some(progress) = &run.progress {
        writeln!(out, "\n> {}", quoted_line(progress, 400))?;
    }
    session(out, run)?;
    troubles(out, run, facts)
}

fn troubles(out: &mut String, run: &Run, facts: &StatusFacts) -> std::fmt::Result {
    if let Some(why) = &facts.out_of_service {
        writeln!(out, "\n⚠️ The runner is out of service: it {}.", quoted_line(why, DETAIL_LIMIT))?;
    } else if let Some(since) = run.unreachable_since {
        let meanwhile = match run.status {
            Status::Running => "The agent goes on there; this is picked up where it was when the runner is back.",
            _ => "It is tried again until the runner is back.",
        };
        writeln!(out, "\n⚠️ The runner has not answered since {}. {meanwhile}", clock_time(since))?;
    }
    if run.cancel_at.is_some() {
        let when =
            if run.unreachable_since.is_some() { "is carried out when the runner is back" } else { "is under way" };
        writeln!(out, "\n🛑 Cancel was asked for{} and {when}.", by(run))?;
    }
    Ok(())
}

fn publishing(out: &mut String, run: &Run) -> std::fmt::Result {
    writeln!(out, "📦 **Publishing** what {} left.", code(&run.agent))
}

fn done(out: &mut String, run: &Run, facts: &StatusFacts) -> std::fmt::Result {
    headline(out, run, facts)?;
    if let Some(summary) = facts.summary.as_deref().filter(|text| !text.trim().is_empty()) {
        writeln!(out, "\n{}", quoted(summary, SUMMARY_LIMIT))?;
    }
    if let Some(notes) = facts.notes.as_deref().filter(|text| !text.trim().is_empty()) {
        writeln!(out, "\n**Notes:** {}", quoted(notes, SUMMARY_LIMIT))?;
    }
    if let Some(detail) = run.detail.as_deref().filter(|text| !text.trim().is_empty()) {
        match run.outcome {
            _ if run.reason == Some(Reason::RepositoryUnusable) => {}
            _ if own_words(run) => writeln!(out, "\n{}.", quoted_line(detail, DETAIL_LIMIT))?,
            _ => writeln!(out, "\n{}", fenced(detail))?,
        }
    }
    if let Some(next) = &facts.next_attempt {
        writeln!(out, "\n**Next:** It is attempted again as run {}.", code(&next.to_string()))?;
    } else if let Some(remedy) = &facts.remedy {
        writeln!(out, "\n**Next:** {remedy}")?;
    }
    kept(out, run)?;
    conflicting(out, run)?;
    left_out(out, run)?;
    session(out, run)?;
    dispositions(out, run)?;
    table(out, run)
}

fn conflicting(out: &mut String, run: &Run) -> std::fmt::Result {
    let Some(work) = run.work.as_ref().filter(|work| !work.conflicts.is_empty()) else { return Ok(()) };
    let paths: Vec<String> = work.conflicts.iter().take(PATHS_SHOWN).map(|path| code(path)).collect();
    let base = run.base_branch.as_deref().unwrap_or("the base branch");
    writeln!(out, "\n⚠️ It conflicts with {} in {}.", code(base), paths.join(", "))
}

/// That another agent reviews than before, though nobody asked for one.
fn replaces(out: &mut String, run: &Run) -> std::fmt::Result {
    match run.ask.pin.as_ref().and_then(|pin| pin.replaces.as_deref()) {
        Some(gone) => writeln!(
            out,
            "\n{}, which reviewed this before, is not configured any more, so {} does it.",
            code(gone),
            code(&run.agent)
        ),
        None => Ok(()),
    }
}

/// How the agent's session began, where people may have expected otherwise.
fn session(out: &mut String, run: &Run) -> std::fmt::Result {
    replaces(out, run)?;
    match &run.session_note {
        Some(note) => writeln!(out, "\n{note}"),
        None => Ok(()),
    }
}

/// What became of each review comment, in the order in which they were written.
fn dispositions(out: &mut String, run: &Run) -> std::fmt::Result {
    let Some(feedback) = run.feedback.as_ref().filter(|feedback| !feedback.comments.is_empty()) else { return Ok(()) };
    let Some(Answer::Work(answer)) = run.answer.clone().and_then(|answer| Answer::stored(run.kind, answer)) else {
        return Ok(());
    };
    let commit = run.pushed.as_ref().map_or_else(|| "–".to_owned(), |sha| code(sha.short()));
    writeln!(out, "\n| Comment | Disposition | Commit |\n| --- | --- | --- |")?;
    for comment in &feedback.comments {
        let disposition =
            answer.replies.iter().find(|reply| reply.comment_id == comment.id).map(|reply| reply.disposition);
        let place = match comment.line {
            Some(line) => format!("{}:{line}", comment.path),
            None => comment.path.clone(),
        };
        let commit = if disposition == Some(Disposition::Fixed) { commit.as_str() } else { "–" };
        writeln!(
            out,
            "| {} by {} | {} | {commit} |",
            code(&place).replace('|', "\\|"),
            quoted_line(&comment.author.login, 60),
            disposition.map_or("open", disposition_word),
        )?;
    }
    Ok(())
}

/// The answer in the thread of a review comment.
pub fn thread_reply(reply: &Reply, pushed: Option<&Sha>) -> String {
    let word = disposition_word(reply.disposition);
    let at = match (reply.disposition, pushed) {
        (Disposition::Fixed, Some(sha)) => format!(" in {}", code(sha.short())),
        _ => String::new(),
    };
    let text = quoted(&reply.body, SUMMARY_LIMIT);
    let mut first = word.chars();
    let word: String = first.next().into_iter().flat_map(char::to_uppercase).chain(first).collect();
    format!("**{word}**{at}. {text}").trim_end().to_owned()
}

/// What became of a review comment, in a word.
pub fn disposition_word(disposition: Disposition) -> &'static str {
    match disposition {
        Disposition::Fixed => "fixed",
        Disposition::Answered => "answered",
        Disposition::Declined => "declined",
        Disposition::NeedsYou => "needs you",
    }
}

fn left_out(out: &mut String, run: &Run) -> std::fmt::Result {
    let LeftOut { lfs, submodules, hidden_characters } = run.left_out;
    let told: Vec<String> = [
        lfs.then(|| "the contents of files in Git LFS".to_owned()),
        submodules.then(|| "submodules".to_owned()),
        (hidden_characters > 0).then(|| plural(hidden_characters as u64, "hidden character") + " of the texts"),
    ]
    .into_iter()
    .flatten()
    .collect();
    if !told.is_empty() {
        writeln!(out, "\nThe agent was not given: {}.", told.join(", "))?;
    }
    Ok(())
}

/// How a run ended, in one line of Markdown.
pub fn ended(run: &Run, facts: &StatusFacts) -> String {
    let mut out = String::new();
    // Writing into a string does not fail.
    let _ = headline(&mut out, run, facts);
    out.trim_end().to_owned()
}

fn headline(out: &mut String, run: &Run, facts: &StatusFacts) -> std::fmt::Result {
    let reason = run.reason.unwrap_or(Reason::Internal);
    match run.outcome.unwrap_or(Outcome::Failed) {
        Outcome::Succeeded if reason == Reason::NoChanges => {
            writeln!(out, "✅ **Done without changes**: {} changed nothing.", code(&run.agent))
        }
        Outcome::Succeeded if reason == Reason::Reviewed => {
            write!(out, "✅ **Reviewed**")?;
            if let Some(pin) = &run.ask.pin {
                write!(out, " #{} at {}", pin.pull, code(pin.head.short()))?;
            }
            match &run.review_url {
                Some(url) => writeln!(out, ": [the review]({url})."),
                None => writeln!(out, "."),
            }
        }
        Outcome::Succeeded => {
            write!(out, "✅ **Done**")?;
            if let Some(pull) = run.pull {
                write!(out, ": #{pull}")?;
            }
            if let Some(sha) = &run.pushed {
                write!(out, " at [{}]({}/commit/{sha})", code(sha.short()), facts.repository_url)?;
            }
            writeln!(out, ".")
        }
        Outcome::Blocked => writeln!(out, "🚧 **Blocked**: {} cannot go on by itself.", code(&run.agent)),
        Outcome::Canceled => {
            write!(out, "🛑 **Canceled**{}", by(run))?;
            match run.left_processes {
                Some(1) => writeln!(out, "; 1 process left."),
                Some(left) => writeln!(out, "; {left} processes left."),
                None if run.started_at.is_some() => {
                    writeln!(out, "; the runner did not answer, so the agent there is ended when it is back.")
                }
                None => writeln!(out, " before the agent started."),
            }
        }
        Outcome::TimedOut => writeln!(out, "⌛ **Timed out**: {}.", reason_text(reason)),
        Outcome::Lost => writeln!(out, "❓ **Lost**: {}.", reason_text(reason)),
        Outcome::Failed => match run.detail.as_deref().filter(|_| reason == Reason::RepositoryUnusable) {
            Some(what) => writeln!(out, "❌ **Failed**: {}.", quoted_line(what, DETAIL_LIMIT).trim_end_matches('.')),
            None => writeln!(out, "❌ **Failed**: {}.", reason_text(reason)),
        },
    }
}

fn kept(out: &mut String, run: &Run) -> std::fmt::Result {
    match (&run.outcome, &run.result, &run.given) {
        (Some(Outcome::Failed), Some(result), _) if run.pushed.as_ref() == Some(result) => {
            writeln!(
                out,
                "\nWhat it had committed is on the branch at {}, without a pull request.",
                code(result.short())
            )
        }
        (Some(outcome), Some(result), given) if *outcome != Outcome::Succeeded && Some(result) != given.as_ref() => {
            writeln!(out, "\nWhat it had committed is kept by the bot at {} and was not pushed.", code(result.short()))
        }
        _ => Ok(()),
    }
}

fn table(out: &mut String, run: &Run) -> std::fmt::Result {
    let mut cells: Vec<(&str, String)> = vec![("Agent", code(&run.agent))];
    if let Some(runner) = &run.runner {
        cells.push(("Runner", code(runner)));
    }
    if let (Some(from), Some(to)) = (run.started_at, run.ended_at) {
        cells.push(("Took", duration(to - from)));
    }
    if let Some(work) = run.work.as_ref().filter(|work| work.commits > 0) {
        let commits = plural(work.commits, "commit");
        let changes = match work.files {
            // Not counted in time.
            0 => commits,
            files => format!("{commits}, {} (+{} −{})", plural(files, "file"), work.insertions, work.deletions),
        };
        cells.push(("Changes", changes));
    }
    if let Some(usage) = run.usage.as_ref().filter(|usage| **usage != Usage::default()) {
        cells.push(("Tokens", tokens(usage)));
        if let Some(cost) = usage.cost_usd {
            cells.push(("Cost", format!("${cost:.2}")));
        }
    }
    writeln!(out, "\n| {} |", cells.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" | "))?;
    writeln!(out, "|{}", " --- |".repeat(cells.len()))?;
    writeln!(out, "| {} |", cells.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>().join(" | "))?;
    if let Some(work) = run.work.as_ref().filter(|work| !work.leftovers.is_empty()) {
        let named: Vec<String> = work.leftovers.iter().take(PATHS_SHOWN).map(|path| code(path)).collect();
        let more = work.leftovers.len().saturating_sub(PATHS_SHOWN);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        writeln!(out, "\nLeft uncommitted by the agent and committed by the bot: {}{more}.", named.join(", "))?;
    }
    Ok(())
}

fn footer(out: &mut String, run: &Run, facts: &StatusFacts) {
    let mut parts = vec![run_link(run.id, facts.run_url.as_deref())];
    if run.attempt > 1 {
        parts.push(format!("attempt {}", run.attempt));
    }
    parts.push(format!("asked by {}", quoted_line(&run.ask.requester.login, 60)));
    if let Some(branch) = &facts.branch {
        parts.push(format!("branch {}", code(branch)));
    }
    if !matches!(run.status, Status::Publishing | Status::Done) {
        parts.push("`/track cancel` ends it".to_owned());
    }
    let _ = write!(out, "\n<sub>{}</sub>", parts.join(" · "));
}

/// The comment on the pull request after a push: mentions the main user and names the short commit (B26).
///
/// It says how to have more done: by a review where reviews start follow-ups (`automatic`), else by a command.
pub fn pushed(main_users: &[String], run: &Run, thread: Number, automatic: bool) -> String {
    let people: Vec<String> = main_users.iter().map(|login| format!("@{login}")).collect();
    let sha = run.pushed.as_ref().map_or_else(String::new, |sha| code(sha.short()));
    let how = match (automatic, thread.is_private()) {
        (true, _) => {
            "a review that comments or requests changes makes me follow up, and so does `/track followup <text>`"
        }
        (false, false) => "to have more done, comment `/track followup <text>` here or on the issue",
        (false, true) => "to have more done, comment `/track followup <text>` here",
    };
    let thread = thread.named();
    format!("{} {} pushed {sha} for {thread}. Please have a look; {how}.", people.join(" "), code(&run.agent),)
        .trim_start()
        .to_owned()
}

/// A run as it is shown, with a link to its page where there is one.
pub fn run_link(run: RunId, url: Option<&str>) -> String {
    match url {
        Some(url) => format!("[run {run}]({url})"),
        None => format!("run {}", code(&run.to_string())),
    }
}

/// Why a review is not posted, in short.
pub const NOT_INSTALLED: &str = "the App is not installed there";

/// What is said of a review where the App is not installed (B36).
pub fn not_posted(repository: &RepoName, install_url: &str) -> String {
    format!("the App is not installed on {repository}; install it there to have reviews posted: {install_url}")
}

/// What is said where GitHub did not take a review and its findings are in a comment.
pub fn review_refused(error: &str) -> String {
    format!("GitHub did not take the review ({}), so the findings are in a comment", quoted_line(error, DETAIL_LIMIT))
}

/// What `/track discard` answers: how much is forgotten, and on how many runners files are left to remove.
pub fn discarded(runs: u64, runners: u64) -> String {
    let forgotten = format!("The history of {} is discarded.", plural(runs, "run"));
    match runners {
        0 => forgotten,
        _ => format!(
            "{forgotten} Its files on {} are removed as soon as nothing is in the way.",
            plural(runners, "runner")
        ),
    }
}

/// The text of the pull request: the agent's words, what it closes, who asked.
///
/// `continues` is a pull request that was merged, or was closed and cannot be opened again.
pub fn pull_request_body(
    run: &Run,
    agents_words: &str,
    (thread, continues): (Number, Option<Number>),
    run_url: Option<&str>,
) -> String {
    let closes = (!thread.is_private()).then(|| format!("Closes #{thread}."));
    let continues = continues.map(|pull| format!("Continues #{pull}."));
    let about: Vec<String> = [closes, continues].into_iter().flatten().collect();
    let about = if about.is_empty() { String::new() } else { format!("\n\n{}", about.join(" ")) };
    let (link, thread) = (run_link(run.id, run_url), thread.named());
    format!(
        "{}{about}\n\n<sub>{} by {} · asked by {} in {thread}</sub>",
        quoted(agents_words, 40_000),
        link,
        code(&run.agent),
        quoted_line(&run.ask.requester.login, 60),
    )
    .trim_start()
    .to_owned()
}

/// The text of an issue that the bot creates for somebody: their words as they are, who wrote them, and the marker by which it is found again.
pub fn task_body(words: &str, login: &str, marker: &str) -> String {
    format!("{}\n\n<sub>written by {} on track's page</sub>\n\n{marker}", words.trim_end(), quoted_line(login, 60))
        .trim_start()
        .to_owned()
}

/// The list of runs that `/track status` answers with.
pub fn history(runs: &[Run], position: &dyn Fn(&Run) -> Option<usize>) -> String {
    if runs.is_empty() {
        return "No runs here yet. `/track dispatch` starts one.".to_owned();
    }
    let mut out = String::from("| Run | Status | Agent | Asked | Took | PR |\n| --- | --- | --- | --- | --- | --- |\n");
    for run in runs {
        let state = match (run.status, run.outcome) {
            (Status::Done, Some(outcome)) => outcome.to_string().replace('_', " "),
            (Status::Queued, _) => match position(run) {
                Some(n) => format!("queued, number {n}"),
                None => "queued".to_owned(),
            },
            (status, _) => status.to_string(),
        };
        let took = match (run.started_at, run.ended_at) {
            (Some(from), Some(to)) => duration(to - from),
            _ => "–".to_owned(),
        };
        let pull = run.pull.map_or_else(|| "–".to_owned(), |n| format!("#{n}"));
        let _ = writeln!(
            out,
            "| {} | {state} | {} | {} by {} | {took} | {pull} |",
            code(&run.id.to_string()),
            code(&run.agent),
            date_time(run.queued_at),
            quoted_line(&run.ask.requester.login, 60),
        );
    }
    out.trim_end().to_owned()
}

/// The newest decisions, as `/track why` answers.
pub fn why(decisions: &[crate::db::decisions::Shown]) -> String {
    if decisions.is_empty() {
        return "Nothing was decided here yet.".to_owned();
    }
    let mut out = String::from("| When | Who | Verdict | Why | About |\n| --- | --- | --- | --- | --- |\n");
    for decision in decisions {
        let _ = writeln!(
            out,
            "| {} | {} | {} ({}) | {} | {} |",
            date_time(decision.at),
            decision.actor.as_deref().map_or_else(|| "–".to_owned(), |who| quoted_line(who, 60)),
            decision.verdict,
            code(&decision.reason),
            quoted_line(&decision.detail, 300).replace('|', "\\|"),
            about(&decision.about).unwrap_or_else(|| "–".to_owned()),
        );
    }
    out.trim_end().to_owned()
}

/// What a decision is about, in a few words: the pull request stands for its branch.
fn about(about: &crate::db::decisions::About) -> Option<String> {
    let place = match (about.pull, &about.branch) {
        (Some(pull), _) => Some(format!("#{pull}")),
        (None, Some(branch)) => Some(code(branch)),
        (None, None) => None,
    };
    let place = match (place, &about.head) {
        (Some(place), Some(head)) => Some(format!("{place} at {}", code(head.short()))),
        (place, _) => place,
    };
    let state = about.review_state.as_ref().map(|state| quoted_line(state, 60).replace('_', " "));
    let said: Vec<String> = [place, state, about.runner.as_deref().map(code)].into_iter().flatten().collect();
    (!said.is_empty()).then(|| said.join(", "))
}

/// What a reason means, as the rest of a sentence.
pub fn reason_text(reason: Reason) -> &'static str {
    match reason {
        Reason::Changes => "changes were made",
        Reason::Reviewed => "the review is done",
        Reason::NoChanges => "nothing was changed",
        Reason::AgentFailed => "the agent says that it failed",
        Reason::AgentBlocked => "the agent cannot go on by itself",
        Reason::AgentCrashed => "the agent ended with an error before it answered",
        Reason::AgentLogin => "the model provider refused the agent's login",
        Reason::AgentRateLimited => "the model provider is overloaded or its quota is used up",
        Reason::AgentApi => "the model provider could not be reached or answered with an error",
        Reason::AgentLimit => "a limit on turns or cost was reached",
        Reason::NoAnswer => "the agent left no answer",
        Reason::BadAnswer => "the agent's answer does not match the schema",
        Reason::WallClock => "the time limit was reached",
        Reason::Silence => "the agent printed nothing for too long",
        Reason::Canceled => "it was canceled",
        Reason::SupervisorDied => "the runner was restarted or the run was killed there",
        Reason::RunForgotten => "the runner knows nothing of the run any more",
        Reason::RunnerUnreachable => "the runner did not answer for too long",
        Reason::HostKeyChanged => "the runner shows another host key than the pinned one, so nothing was sent to it",
        Reason::RunnerSetup => "the runner lacks something that the run needs",
        Reason::RunnerDisk => "the runner's disk is full",
        Reason::CommitGone => "the commit that was to be reviewed cannot be had any more",
        Reason::WorkspaceTaken => "something that is not ours stands where the workspace should go",
        Reason::RepositoryUnusable => "the repository cannot be worked on as it is",
        Reason::PermissionLost => "the requester may no longer ask for runs here",
        Reason::NotDescendant => "what came back does not continue the commits that the agent was given",
        Reason::ResultRefused => "what came back breaks a rule, so it was not pushed",
        Reason::BranchMoved => "somebody else pushed to the branch while the agent worked",
        Reason::PullRequestClosed => "the pull request was closed while the agent worked, so nothing was published",
        Reason::PullRequestMerged => "the pull request was merged while the agent worked, so nothing was added to it",
        Reason::PushRefused => "GitHub refused the push",
        Reason::PullRequestRefused => "GitHub refused the pull request",
        Reason::Internal => "something broke in the bot itself",
    }
}

/// Whether the particulars are a sentence of the bot's and not what a program printed.
fn own_words(run: &Run) -> bool {
    run.outcome == Some(Outcome::Succeeded) || run.reason == Some(Reason::PermissionLost)
}

fn on_runner(run: &Run) -> String {
    match &run.runner {
        Some(runner) => format!("{} on {}", code(&run.agent), code(runner)),
        None => code(&run.agent),
    }
}

fn by(run: &Run) -> String {
    run.cancel_by.as_deref().map_or_else(String::new, |who| format!(" by {}", quoted_line(who, 60)))
}

fn fenced(text: &str) -> String {
    let text = quoted(text, DETAIL_LIMIT).replace("<!-- -->", "").replace("```", "'''");
    format!("```text\n{text}\n```")
}

fn plural(n: u64, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

fn tokens(usage: &Usage) -> String {
    format!("{} in, {} out", thousands(usage.input_tokens), thousands(usage.output_tokens))
}

fn thousands(n: u64) -> String {
    match n {
        0..=9_999 => n.to_string(),
        10_000..=999_999 => format!("{:.1}k", n as f64 / 1e3),
        _ => format!("{:.1}M", n as f64 / 1e6),
    }
}

/// A length of time as people say it.
pub fn duration(ms: Millis) -> String {
    let seconds = ms.max(0) / 1000;
    match seconds {
        0..=59 => format!("{seconds} s"),
        60..=3599 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

fn clock_time(at: Millis) -> String {
    chrono::DateTime::from_timestamp_millis(at).map_or_else(String::new, |time| time.format("%H:%M UTC").to_string())
}

#[cfg(test)]
mod tests;
