//! What happens in the demo, told as it happens, and whether it came true.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use tokio::time::sleep;

use super::{COLLEAGUE, PERSON, REPOSITORY};
use crate::model::Number;
use crate::sim::{ReviewSnapshot, Sim};

/// How long each part may take on a slow machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often GitHub's side is looked at for something to tell.
const LOOK_EVERY: Duration = Duration::from_millis(40);

const TITLE: &str = "Greet in French, too";
const TEXT: &str = "`greetings.txt` has English, German and Spanish. Please add French.";

const SECOND_TITLE: &str = "A script that prints one greeting";
const SECOND_TEXT: &str =
    "I want to run `./greet.sh 2` and see the second line of `greetings.txt`, and a hint if I forget the number.";

/// Opens one more issue, for whoever watches to put the label on; gives its page.
///
/// # Errors
/// None that a running simulator gives.
pub async fn leave_an_issue(sim: &Sim) -> Result<String> {
    let issue = sim.open_issue(REPOSITORY, PERSON, (SECOND_TITLE, SECOND_TEXT), &[]).await?;
    Ok(format!("{}/{REPOSITORY}/issues/{issue}", sim.url()))
}

/// Plays the story to its end; `runner` is the folder that the runner works in.
///
/// # Errors
/// The first thing that did not come true.
pub async fn tell(sim: &Sim, runner: &Path) -> Result<()> {
    let teller = Teller { sim, began: Instant::now() };
    let issue = teller.open_issue().await?;
    let pull = teller.work(issue).await?;
    teller.follow_up(issue, pull).await?;
    teller.review_a_colleague().await?;
    teller.merge(issue, pull, runner).await
}

struct Teller<'a> {
    sim: &'a Sim,
    began: Instant,
}

impl Teller<'_> {
    fn say(&self, who: &str, what: &str) {
        println!("{:>5.1} s  {who:<6} {what}", self.began.elapsed().as_secs_f32());
    }

    fn more(&self, what: &str) {
        println!("                {what}");
    }

    fn page(&self, path: &str) -> String {
        format!("{}/{REPOSITORY}/{path}", self.sim.url())
    }

    async fn open_issue(&self) -> Result<Number> {
        let issue = self.sim.open_issue(REPOSITORY, PERSON, (TITLE, TEXT), &[]).await?;
        self.say(PERSON, &format!("opens issue #{issue}: {TITLE}"));
        self.more(&self.page(&format!("issues/{issue}")));
        self.sim.label(REPOSITORY, PERSON, issue, "track").await?;
        self.say(PERSON, "puts the label `track` on it");
        Ok(issue)
    }

    /// The label becomes a pull request.
    async fn work(&self, issue: Number) -> Result<Number> {
        self.run_told_on(issue).await?;
        let opened = self.sim.pulls(REPOSITORY).into_iter().next().context("there is no pull request")?;
        self.say("track", &format!("has opened pull request #{}: {}", opened.number, opened.title));
        self.more(&self.page(&format!("pull/{}", opened.number)));
        ensure!(opened.body.contains(&format!("Closes #{issue}")), "the pull request does not close the issue");
        self.expect_greeting(&opened.head_ref, "Bonjour, le monde !").await?;
        self.until("the label is off, the reaction and the last comment are there", async || {
            let shown = self.sim.issue(REPOSITORY, issue)?;
            let rocket = shown.reactions.iter().any(|reaction| reaction.content == "rocket");
            let comments = self.sim.comments(REPOSITORY, opened.number);
            let mentioned = comments.iter().any(|comment| comment.body.contains(&format!("@{PERSON}")));
            (rocket && mentioned && shown.labels.is_empty()).then_some(())
        })
        .await?;
        Ok(opened.number)
    }

    /// The main user reviews in GitHub's own interface, and the bot goes on by itself.
    async fn follow_up(&self, issue: Number, pull: Number) -> Result<()> {
        let comments =
            [("greetings.txt", 4, "Can it greet everybody?"), ("greetings.txt", 4, "Is the space before `!` meant?")];
        self.sim.review(REPOSITORY, PERSON, pull, "CHANGES_REQUESTED", "Nearly there.", &comments).await?;
        self.say(PERSON, &format!("reviews #{pull}, asks for a change and comments on two lines"));
        self.run_told_on(pull).await?;
        let answers = self
            .until("both comments are answered", async || {
                let answers: Vec<_> = self
                    .sim
                    .reviews(REPOSITORY, pull)
                    .into_iter()
                    .flat_map(|review| review.comments)
                    .filter(|comment| comment.author_is_app)
                    .collect();
                (answers.len() == comments.len()).then_some(answers)
            })
            .await?;
        for answer in answers {
            self.say("track", &format!("answers: {}", headline(&answer.body)));
        }
        let branch = self.sim.pulls(REPOSITORY).into_iter().find(|opened| opened.number == pull);
        self.expect_greeting(&branch.context("the pull request is gone")?.head_ref, "Bonjour tout le monde !").await?;
        let told = self.sim.comments(REPOSITORY, issue).iter().filter(|comment| comment.author_is_app).count();
        ensure!(told == 1, "the issue has {told} comments of the bot's instead of one");
        Ok(())
    }

    /// Any pull request gets a review when somebody asks.
    async fn review_a_colleague(&self) -> Result<()> {
        let greetings = "Hello, world!\nHallo, Welt!\nHola, mundo!\nCiao, mondo\n";
        self.sim.commit_file(REPOSITORY, "italian", "greetings.txt", greetings).await?;
        let words = ("Greet in Italian", "One more.");
        let pull = self.sim.open_pull(REPOSITORY, COLLEAGUE, ("italian", "main"), words).await?;
        self.say(COLLEAGUE, &format!("opens pull request #{pull}: {}", words.0));
        self.more(&self.page(&format!("pull/{pull}")));
        self.sim.comment(REPOSITORY, PERSON, pull, "/track review").await?;
        self.say(PERSON, "comments `/track review` on it");
        let review: ReviewSnapshot = self
            .until("a review by the bot", async || {
                self.sim.reviews(REPOSITORY, pull).into_iter().find(|review| review.author_is_app)
            })
            .await?;
        self.say("track", &format!("submits a review: {}", review.body.lines().nth(2).unwrap_or_default()));
        let finding = review.comments.first().context("the review has no comment on a line")?;
        self.more(&format!("{}:{} {}", finding.path, finding.line, headline(&finding.body)));
        ensure!(finding.body.contains("```suggestion"), "the finding has no suggestion");
        self.run_told_on(pull).await
    }

    /// Merging ends it all: the issue is closed and the runner is tidy.
    async fn merge(&self, issue: Number, pull: Number, runner: &Path) -> Result<()> {
        self.sim.merge_pull(REPOSITORY, PERSON, pull).await?;
        self.say(PERSON, &format!("merges #{pull}, which closes #{issue}"));
        self.until("the runner is tidy", async || {
            let workspaces: Vec<_> =
                std::fs::read_dir(runner).ok()?.flatten().map(|bot| bot.path().join("threads")).collect();
            let left: usize =
                workspaces.iter().map(|threads| std::fs::read_dir(threads).map_or(0, Iterator::count)).sum();
            // That of the colleague's pull request, which is open still.
            (left <= 1).then_some(())
        })
        .await?;
        self.say("track", "has removed the workspace from the runner");
        let shown = self.sim.issue(REPOSITORY, issue).context("the issue is gone")?;
        ensure!(shown.state == "closed", "the issue is still open");
        self.expect_greeting("main", "Bonjour tout le monde !").await
    }

    /// Tells what the bot says of the newest run on an issue or pull request until it is over.
    async fn run_told_on(&self, number: Number) -> Result<()> {
        let mut told = String::new();
        self.until("a run that is done", async || {
            let comments = self.sim.comments(REPOSITORY, number);
            let status =
                comments.iter().rev().find(|comment| comment.author_is_app && comment.body.contains("kind=status"))?;
            let headline = headline(&status.body);
            if headline != told {
                self.say("track", &headline);
                told.clone_from(&headline);
            }
            ["Done", "Reviewed", "Failed", "Blocked", "Timed out"].iter().any(|end| told.contains(end)).then_some(())
        })
        .await?;
        ensure!(told.contains("Done") || told.contains("Reviewed"), "the run did not succeed: {told}");
        Ok(())
    }

    async fn expect_greeting(&self, branch: &str, greeting: &str) -> Result<()> {
        let text = self.sim.file_at(REPOSITORY, branch, "greetings.txt").await.unwrap_or_default();
        ensure!(text.lines().any(|line| line == greeting), "greetings.txt on {branch} does not say {greeting:?}");
        self.more(&format!("greetings.txt on {branch}: {greeting}"));
        Ok(())
    }

    async fn until<T>(&self, what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> Result<T> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            if let Some(found) = condition().await {
                return Ok(found);
            }
            sleep(LOOK_EVERY).await;
        }
        bail!("this did not come true within {} s: {what}", PATIENCE.as_secs())
    }
}

/// The first line of a comment, and the agent's words if it quotes some, without Markdown; a link is its text.
fn headline(body: &str) -> String {
    let mut lines = body.lines();
    let mut first = lines.next().unwrap_or_default().replace("**", "").replace(['`', '['], "");
    while let Some(link) = first.find("](") {
        let end = first[link..].find(')').map_or(first.len(), |end| link + end + 1);
        first.replace_range(link..end, "");
    }
    match lines.find_map(|line| line.strip_prefix("> ")) {
        Some(quoted) => format!("{first} “{quoted}”"),
        None => first,
    }
}
