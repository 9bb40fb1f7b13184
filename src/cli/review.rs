//! `track review`.

use std::io::Write;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use tokio::time::sleep;

use super::api::{ReviewQueued, ReviewRequest, RunRow};
use super::client::{Client, Connection, connect};
use super::runs::{as_lines, in_full};
use crate::config::Config;
use crate::logging::visible;
use crate::model::Clock;

/// How often a run is looked at that is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// What can be said to it; its help stands in [`super::Command`].
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  track review https://github.com/octo/hello/pull/7
  track review https://github.com/octo/hello/pull/7 --agent claude \"mind the migrations\"
  track review https://github.com/octo/hello/pull/7 --as mona --wait

The pull request is reviewed as it is now, and by the rules of `/track review` in a comment: whoever asks needs write access there.
Where the App is not installed, a public pull request is reviewed all the same; nothing is posted, and --wait prints the review.
Exit codes: 0 queued, with --wait submitted or printed; 1 refused, or no review.
What comes next: `track runs --run` shows what became of it, `/track why` on the pull request why.")]
pub struct ReviewArgs {
    /// The pull request's page
    #[arg(value_name = "URL")]
    url: String,

    /// What the reviewer is to mind
    #[arg(value_name = "INSTRUCTIONS")]
    instructions: Vec<String>,

    /// The agent that reviews
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,

    /// The model to ask the agent for
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,

    /// The runner that it is to run on
    #[arg(long, value_name = "NAME")]
    runner: Option<String>,

    /// GitHub login of who asks [default: the first of TRACK_ADMINS, else of main_user]
    #[arg(long = "as", value_name = "LOGIN")]
    requester: Option<String>,

    /// Wait until the review is there, and print its address, or all of it if it is not posted; Ctrl-C ends the waiting alone
    #[arg(long)]
    wait: bool,
}

/// Asks and prints; `false` if a review that was waited for is not there.
pub async fn run(
    args: ReviewArgs,
    config: &Config,
    (out, err): (&mut (dyn Write + Send), &mut (dyn Write + Send)),
) -> anyhow::Result<bool> {
    let Connection::Socket(client) = connect(&config.home).await? else {
        bail!("no server runs on {}: start `track serve`, then ask again", config.home.display());
    };
    let request = ReviewRequest {
        url: args.url,
        requester: args.requester,
        agent: args.agent,
        model: args.model,
        runner: args.runner,
        instructions: args.instructions.join(" "),
    };
    let queued: ReviewQueued = client.post("/api/v1/reviews", &request).await?;
    if !args.wait {
        write!(out, "{}", told(&queued))?;
        return Ok(true);
    }
    write!(err, "{}", told(&queued))?;
    tokio::select! {
        done = over(&client, &queued.run, err) => {
            let row = done.with_context(|| format!("run {} goes on all the same, and cannot be followed", queued.run))?;
            finish(&row, (out, err))
        }
        _ = tokio::signal::ctrl_c() => {
            writeln!(err, "\nRun {0} goes on. What becomes of it: track runs --run {0}", queued.run)?;
            Ok(false)
        }
    }
}

fn told(queued: &ReviewQueued) -> String {
    let ReviewQueued { run, repository, number, requester, not_posted } = queued;
    let (repository, requester) = (visible(repository), visible(requester));
    let mut told = format!("Run {run} reviews {repository}#{number}, asked for by {requester}.\n");
    if let Some(why) = not_posted {
        told += &format!("It will not be posted: {}\n", visible(why));
    }
    told + &format!("What becomes of it: track runs --run {run}\n")
}

/// The run when it is over; each new status is told.
async fn over(client: &Client, run: &str, err: &mut (dyn Write + Send)) -> anyhow::Result<RunRow> {
    let mut seen = String::new();
    loop {
        let row: RunRow = client.get(&format!("/api/v1/runs/{run}")).await?;
        if row.status == "done" {
            return Ok(row);
        }
        if row.status != seen {
            writeln!(err, "{}", row.status)?;
            seen.clone_from(&row.status);
        }
        sleep(LOOK_EVERY).await;
    }
}

/// Says how it ended: on `out` nothing but the address of the review, or the review itself where it is not posted, to be copied or piped.
fn finish(row: &RunRow, (out, err): (&mut (dyn Write + Send), &mut (dyn Write + Send))) -> anyhow::Result<bool> {
    write!(err, "{}", in_full(std::slice::from_ref(row), Clock::System.now()))?;
    let succeeded = row.outcome.as_deref() == Some("succeeded");
    match (&row.review_url, &row.not_posted, &row.markdown) {
        (Some(url), _, _) if succeeded => writeln!(out, "{}", visible(url))?,
        (None, Some(_), Some(markdown)) if succeeded => {
            writeln!(err, "\nNot posted. To be copied:\n")?;
            write!(out, "{}", as_lines(markdown))?;
        }
        _ => {
            writeln!(err, "No review was submitted.")?;
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finished(row: &RunRow) -> (bool, String, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let good = finish(row, (&mut out, &mut err)).unwrap();
        (good, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    }

    #[test]
    fn a_queued_review_says_where_to_look() {
        let queued = ReviewQueued {
            run: "01ARZ3NDEKTSV4RRFFQ69G5FAV".into(),
            repository: "octo/hello".into(),
            number: 7,
            requester: "mona".into(),
            not_posted: None,
        };
        insta::assert_snapshot!(told(&queued), @"
        Run 01ARZ3NDEKTSV4RRFFQ69G5FAV reviews octo/hello#7, asked for by mona.
        What becomes of it: track runs --run 01ARZ3NDEKTSV4RRFFQ69G5FAV
        ");
        let not_posted = Some("the App is not installed on octo/hello; install it: LINK".to_owned());
        insta::assert_snapshot!(told(&ReviewQueued { not_posted, ..queued }), @"
        Run 01ARZ3NDEKTSV4RRFFQ69G5FAV reviews octo/hello#7, asked for by mona.
        It will not be posted: the App is not installed on octo/hello; install it: LINK
        What becomes of it: track runs --run 01ARZ3NDEKTSV4RRFFQ69G5FAV
        ");
    }

    // B34
    #[test]
    fn only_a_review_that_is_there_is_a_success() {
        let now = Clock::System.now();
        let submitted = RunRow {
            id: "01ARZ3NDEKTSV4RRFFQ69G5FAV".into(),
            repository: "octo/hello".into(),
            number: 7,
            kind: "review".into(),
            status: "done".into(),
            outcome: Some("succeeded".into()),
            reason: Some("reviewed".into()),
            agent: "claude".into(),
            runner: Some("build-1".into()),
            requester: "mona".into(),
            summary: Some("One thing matters.".into()),
            review_url: Some("https://github.com/octo/hello/pull/7#pullrequestreview-1".into()),
            queued_at: now - 3_700_000,
            started_at: Some(now - 3_690_000),
            finished_at: Some(now - 3_450_000),
            ..RunRow::default()
        };
        let (good, out, err) = finished(&submitted);
        assert!(good);
        assert_eq!(out, "https://github.com/octo/hello/pull/7#pullrequestreview-1\n");
        insta::assert_snapshot!(err, @"
        01ARZ3NDEKTSV4RRFFQ69G5FAV  octo/hello#7  review: succeeded
          times         asked 1 h ago by mona, took 4 min
          agent         claude on build-1
          review        https://github.com/octo/hello/pull/7#pullrequestreview-1
          summary       One thing matters.
        ");

        // B36, T26
        let unposted = RunRow {
            review_url: None,
            not_posted: Some("the App is not installed on octo/hello; install it: LINK".into()),
            markdown: Some("@mona requested me to review this PR.\n\n\tOne thing\u{1b}[2J matters.".into()),
            ..submitted.clone()
        };
        let (good, out, err) = finished(&unposted);
        assert_eq!(
            (good, out.as_str()),
            (true, "@mona requested me to review this PR.\n\n\tOne thing\\u{1b}[2J matters.\n")
        );
        insta::assert_snapshot!(err, @"
        01ARZ3NDEKTSV4RRFFQ69G5FAV  octo/hello#7  review: succeeded
          times         asked 1 h ago by mona, took 4 min
          agent         claude on build-1
          not posted    the App is not installed on octo/hello; install it: LINK
          summary       One thing matters.

        Not posted. To be copied:
        ");

        let in_a_comment = RunRow { review_url: None, ..submitted.clone() };
        let blocked =
            RunRow { outcome: Some("blocked".into()), reason: Some("agent_blocked".into()), ..in_a_comment.clone() };
        for row in [in_a_comment, blocked] {
            let (good, out, err) = finished(&row);
            assert_eq!((good, out.as_str()), (false, ""));
            assert!(err.ends_with("No review was submitted.\n"), "{err}");
        }
    }
}
