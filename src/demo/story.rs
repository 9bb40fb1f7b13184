//! What happens in the demo, told as it happens, and whether it came true.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use tokio::time::sleep;

use super::{PERSON, REPOSITORY};
use crate::model::Number;
use crate::sim::Sim;

/// How long the story may take on a slow machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often GitHub's side is looked at for something to tell.
const LOOK_EVERY: Duration = Duration::from_millis(40);

const TITLE: &str = "Greet in French, too";
const TEXT: &str = "`greetings.txt` has English, German and Spanish. Please add French.";

/// Plays the story to its end.
///
/// # Errors
/// The first thing that did not come true.
pub async fn tell(sim: &Sim) -> Result<()> {
    let mut teller = Teller { began: Instant::now() };
    let page = |path: String| format!("{}/{REPOSITORY}/{path}", sim.url());

    let issue = sim.open_issue(REPOSITORY, PERSON, (TITLE, TEXT), &[]).await?;
    teller.say(PERSON, &format!("opens issue #{issue}: {TITLE}"));
    teller.more(&page(format!("issues/{issue}")));
    sim.label(REPOSITORY, PERSON, issue, "track").await?;
    teller.say(PERSON, "puts the label `track` on it");

    let pull = teller.follow(sim, issue).await?;
    teller.more(&page(format!("pull/{pull}")));
    check(sim, issue, pull).await?;
    teller.say("done", &format!("the label is off again, the work is on pull request #{pull}, the issue says so"));
    if let Some(text) = sim.file_at(REPOSITORY, &branch_of(sim, pull)?, "greetings.txt").await {
        teller.more("greetings.txt on the branch:");
        for line in text.lines() {
            teller.more(&format!("  {line}"));
        }
    }
    Ok(())
}

struct Teller {
    began: Instant,
}

impl Teller {
    fn say(&self, who: &str, what: &str) {
        println!("{:>5.1} s  {who:<6} {what}", self.began.elapsed().as_secs_f32());
    }

    fn more(&self, what: &str) {
        println!("                {what}");
    }

    /// Tells what the bot does on the issue until its comment is final and the pull request is there.
    async fn follow(&mut self, sim: &Sim, issue: Number) -> Result<Number> {
        let mut seen = false;
        let mut told = String::new();
        let mut pull = None;
        while self.began.elapsed() < PATIENCE {
            let shown = sim.issue(REPOSITORY, issue).context("the issue is gone")?;
            if !seen && shown.reactions.iter().any(|reaction| reaction.content == "eyes") {
                self.say("track", "has seen it (👀)");
                seen = true;
            }
            let comment = sim.comments(REPOSITORY, issue).into_iter().find(|comment| comment.author_is_app);
            let headline = comment.as_ref().map(|comment| headline(&comment.body)).unwrap_or_default();
            if !headline.is_empty() && headline != told {
                self.say("track", &headline);
                told.clone_from(&headline);
            }
            if pull.is_none()
                && let Some(opened) = sim.pulls(REPOSITORY).first()
            {
                self.say("track", &format!("opens pull request #{}: {}", opened.number, opened.title));
                pull = Some(opened.number);
            }
            if let (Some(pull), true) = (pull, told.contains("Done")) {
                return Ok(pull);
            }
            if told.contains("Failed") || told.contains("Blocked") || told.contains("Timed out") {
                bail!("the run did not succeed: {}", comment.map(|comment| comment.body).unwrap_or_default());
            }
            sleep(LOOK_EVERY).await;
        }
        bail!("the story did not come to its end within {} s", PATIENCE.as_secs())
    }
}

async fn check(sim: &Sim, issue: Number, pull: Number) -> Result<()> {
    let settled = || async {
        let shown = sim.issue(REPOSITORY, issue)?;
        let rocket = shown.reactions.iter().any(|reaction| reaction.content == "rocket");
        let mentioned =
            sim.comments(REPOSITORY, pull).iter().any(|comment| comment.body.contains(&format!("@{PERSON}")));
        (rocket && mentioned && shown.labels.is_empty()).then_some(())
    };
    let began = Instant::now();
    while settled().await.is_none() {
        ensure!(began.elapsed() < PATIENCE, "the label is still on, or the last comment or reaction did not come");
        sleep(LOOK_EVERY).await;
    }
    let opened =
        sim.pulls(REPOSITORY).into_iter().find(|opened| opened.number == pull).context("the pull request is gone")?;
    ensure!(opened.body.contains(&format!("Closes #{issue}")), "the pull request does not close the issue");
    let text = sim.file_at(REPOSITORY, &opened.head_ref, "greetings.txt").await.unwrap_or_default();
    ensure!(text.contains("Bonjour"), "the work is not on the branch");
    Ok(())
}

fn branch_of(sim: &Sim, pull: Number) -> Result<String> {
    let found = sim.pulls(REPOSITORY).into_iter().find(|opened| opened.number == pull);
    Ok(found.context("the pull request is gone")?.head_ref)
}

/// The first line of a comment, and the agent's words if it quotes some, without Markdown.
fn headline(body: &str) -> String {
    let mut lines = body.lines();
    let first = lines.next().unwrap_or_default().replace("**", "").replace('`', "");
    match lines.find_map(|line| line.strip_prefix("> ")) {
        Some(quoted) => format!("{first} “{quoted}”"),
        None => first,
    }
}
