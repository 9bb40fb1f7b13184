//! `track runs`; with `--thread` also the timeline of what was decided there.

use std::io::Write;
use std::str::FromStr;

use anyhow::{Context as _, bail};
use clap::Args;

use super::Program;
use super::api::{DecisionRow, KeptCommit, RunRow};
use super::client::reach;
use super::log;
use super::table::{short, table};
use crate::config::Config;
use crate::logging::visible;
use crate::model::{Clock, Millis, Number, RepoName, RunId, read_place};

/// What can be said to it; its help stands in [`super::Command`].
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  track runs                                     the last 20
  track runs --thread octo/hello#7               all that happened there, in full
  track runs --run 01ARZ3NDEKTSV4RRFFQ69G5FAV    one run in full; with --markdown, its review as it can be pasted
  track runs --log 01ARZ3NDEKTSV4RRFFQ69G5FAV    what the agent of a run printed
  track runs --json | jq '.[].pull_request'      for scripts

What comes next: `/track why` on the issue explains a decision, as the timeline of --thread does.")]
pub struct RunsArgs {
    /// Only this repository
    #[arg(long, value_name = "OWNER/NAME")]
    repo: Option<RepoName>,

    /// Only this issue or pull request, `octo/hello#7` or its number alone: each run in full, and what was decided there
    #[arg(long)]
    thread: Option<ThreadName>,

    /// Only this run, in full
    #[arg(long, value_name = "RUN", conflicts_with_all = ["repo", "thread", "limit"])]
    run: Option<RunId>,

    /// Print the review of that run as Markdown, every finding in it
    #[arg(long, requires = "run", conflicts_with = "json")]
    markdown: bool,

    /// Print what the agent of this run printed so far, with the times (UTC) at which it did
    #[arg(long, value_name = "RUN", conflicts_with_all = ["repo", "thread", "limit", "json", "run"])]
    log: Option<RunId>,

    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// An issue or pull request as people name it.
#[derive(Clone, Debug)]
struct ThreadName {
    repo: Option<RepoName>,
    number: i64,
}

impl FromStr for ThreadName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (repo, Number(number)) = read_place(text)?;
        Ok(Self { repo, number })
    }
}

/// Asks and prints.
pub async fn run(
    args: &RunsArgs,
    config: &Config,
    program: &dyn Program,
    out: &mut (dyn Write + Send),
) -> anyhow::Result<()> {
    if let Some(run) = args.log {
        return log::print(&config.home, run, out);
    }
    if args.repo.is_some() && args.thread.as_ref().is_some_and(|thread| thread.repo.is_some()) {
        bail!("--thread names the repository already: leave --repo out");
    }
    let client = reach(config, program).await?;
    let rows: Vec<RunRow> = match args.run {
        Some(run) => vec![client.get(&format!("/api/v1/runs/{run}")).await?],
        None => client.get(&path(args, &format!("runs?limit={}", args.limit))).await?,
    };
    let now = Clock::System.now();
    if args.markdown {
        let markdown = rows.first().and_then(|row| row.markdown.as_deref());
        let markdown = markdown.context("that run has no review: it is no review, or it has not come to one")?;
        write!(out, "{}", as_lines(markdown))?;
    } else if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&rows)?)?;
    } else if args.thread.is_some() {
        let decisions: Vec<DecisionRow> = client.get(&path(args, &format!("decisions?limit={TIMELINE}"))).await?;
        write!(out, "{}{}", in_full(&rows, now), timeline(&decisions, now))?;
    } else {
        write!(out, "{}", if args.run.is_some() { in_full(&rows, now) } else { render(&rows, now) })?;
    }
    Ok(())
}

/// The address of a list of what the arguments name.
fn path(args: &RunsArgs, list: &str) -> String {
    let mut path = format!("/api/v1/{list}");
    let thread = args.thread.as_ref();
    if let Some(repo) = args.repo.as_ref().or(thread.and_then(|thread| thread.repo.as_ref())) {
        // Valid names need no escape in a query, see RFC 3986, section 3.4.
        path += &format!("&repo={repo}");
    }
    if let Some(thread) = thread {
        path += &format!("&thread={}", thread.number);
    }
    path
}

/// Decisions that are asked for with a thread.
const TIMELINE: u32 = 100;
const NO_RUNS: &str = "no runs yet: put the label `track` on an issue, or comment `/track dispatch`\n";

fn render(rows: &[RunRow], now: Millis) -> String {
    if rows.is_empty() {
        return NO_RUNS.to_owned();
    }
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let took = row.started_at.map(|from| length(row.finished_at.unwrap_or(now) - from));
            let shown =
                row.pull_request.as_ref().or(row.review_url.as_ref()).or(row.summary.as_ref()).or(row.reason.as_ref());
            vec![
                format!("{} ago", length(now - row.queued_at)),
                Number(row.number).named_in(&row.repository),
                row.kind.clone(),
                row.outcome.clone().unwrap_or_else(|| row.status.clone()),
                row.agent.clone(),
                row.runner.clone().unwrap_or_else(|| "-".to_owned()),
                took.unwrap_or_else(|| "-".to_owned()),
                row.cost_usd.map_or_else(|| "-".to_owned(), |cost| format!("${cost:.2}")),
                row.id.clone(),
                short(shown.map_or("", |text| text), 80),
            ]
        })
        .collect();
    table(&["asked", "thread", "kind", "state", "agent", "runner", "took", "cost", "run", "result"], &cells)
}

/// Markdown of somebody else's, to be copied: its lines and tabs stay.
pub(super) fn as_lines(text: &str) -> String {
    let shown = |line: &str| line.split('\t').map(visible).collect::<Vec<_>>().join("\t");
    text.lines().map(|line| format!("{}\n", shown(line))).collect()
}

/// Every run with all that is known of it.
pub(super) fn in_full(rows: &[RunRow], now: Millis) -> String {
    if rows.is_empty() {
        return NO_RUNS.to_owned();
    }
    rows.iter().map(|row| one_in_full(row, now)).collect::<Vec<_>>().join("\n")
}

fn one_in_full(row: &RunRow, now: Millis) -> String {
    let failed = row.outcome.as_deref().is_some_and(|outcome| outcome != "succeeded");
    let error = row.reason.as_ref().filter(|_| failed).map(|reason| match &row.detail {
        Some(detail) => format!("{reason}: {detail}"),
        None => reason.clone(),
    });
    let mut times = format!("asked {} ago by {}", length(now - row.queued_at), row.requester);
    if let Some(from) = row.started_at {
        times += &format!(
            ", {} {}",
            if row.finished_at.is_some() { "took" } else { "at work for" },
            length(row.finished_at.unwrap_or(now) - from)
        );
    }
    let agent = match &row.runner {
        Some(runner) => format!("{} on {runner}", row.agent),
        None => row.agent.clone(),
    };
    let about = [
        ("times", Some(times)),
        ("agent", Some(agent)),
        ("cost", row.cost_usd.map(|cost| format!("${cost:.2}"))),
        ("branch", row.branch.clone()),
        ("pull request", row.pull_request.clone()),
        ("review", row.review_url.clone()),
        ("not posted", row.not_posted.clone()),
        ("summary", row.summary.clone()),
        ("notes", row.notes.clone()),
        ("error", error),
        ("kept", (!row.kept.is_empty()).then(|| row.kept.iter().map(place_of).collect::<Vec<_>>().join("\n"))),
    ];
    let state = row.outcome.as_ref().unwrap_or(&row.status);
    let place = Number(row.number).named_in(&visible(&row.repository));
    let mut out = format!("{}  {place}  {}: {state}\n", row.id, row.kind);
    for (word, text) in about {
        let mut word = word;
        for line in text.iter().flat_map(|text| text.lines()) {
            out += format!("  {word:<12}  {}", visible(line)).trim_end();
            out += "\n";
            word = "";
        }
    }
    out
}

/// Where a commit is that the bot keeps.
fn place_of(kept: &KeptCommit) -> String {
    format!("{} at {} in {}", kept.reference, kept.sha, kept.mirror)
}

/// What was decided and what happened, newest first, two lines each: the sentence, and below it what it is about.
fn timeline(rows: &[DecisionRow], now: Millis) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut out = String::from("\ntimeline\n");
    for row in rows {
        let who = row.actor.as_ref().map_or_else(String::new, |actor| format!(" by {}", visible(actor)));
        let when = format!("{} ago", length(now - row.at));
        let detail = visible(&row.detail.split_whitespace().collect::<Vec<_>>().join(" "));
        out += &format!("  {when:<12}  {} {}{who}: {}\n", row.verdict, row.reason, short(&detail, 200));
        let about = [
            ("run", &row.run),
            ("runner", &row.runner),
            ("branch", &row.branch),
            ("pull request", &row.pull_request.map(|pull| format!("#{pull}"))),
            ("head", &row.head.as_ref().map(|head| head.chars().take(7).collect())),
            ("review", &row.review_state),
        ];
        let said: Vec<String> =
            about.iter().filter_map(|(word, value)| Some(format!("{word} {}", visible(value.as_ref()?)))).collect();
        if !said.is_empty() {
            out += &format!("  {:<12}  {}\n", "", said.join(", "));
        }
    }
    out
}

/// A duration in its largest unit that is not 0.
fn length(millis: Millis) -> String {
    let seconds = millis.max(0) / 1000;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_a_table() {
        let now = 10_000_000_000;
        let done = RunRow {
            id: "01ARZ3NDEKTSV4RRFFQ69G5FAV".into(),
            repository: "octo/hello".into(),
            number: 7,
            kind: "task".into(),
            status: "done".into(),
            outcome: Some("succeeded".into()),
            agent: "claude".into(),
            runner: Some("build-1".into()),
            pull_request: Some("https://github.com/octo/hello/pull/8".into()),
            queued_at: now - 3_700_000,
            started_at: Some(now - 3_690_000),
            finished_at: Some(now - 3_450_000),
            cost_usd: Some(0.5),
            ..RunRow::default()
        };
        let queued = RunRow {
            id: "01BX5ZZKBKACTAV9WEVGEMMVRZ".into(),
            repository: "octo/hello".into(),
            number: 12,
            kind: "review".into(),
            status: "queued".into(),
            agent: "codex".into(),
            queued_at: now - 5_000,
            ..RunRow::default()
        };
        insta::assert_snapshot!(render(&[queued, done], now), @"
        asked    thread         kind    state      agent   runner   took   cost   run                         result
        5 s ago  octo/hello#12  review  queued     codex   -        -      -      01BX5ZZKBKACTAV9WEVGEMMVRZ
        1 h ago  octo/hello#7   task    succeeded  claude  build-1  4 min  $0.50  01ARZ3NDEKTSV4RRFFQ69G5FAV  https://github.com/octo/hello/pull/8
        ");
        insta::assert_snapshot!(render(&[], now), @"no runs yet: put the label `track` on an issue, or comment `/track dispatch`");
    }

    #[test]
    fn a_thread_is_told_in_full() {
        let now = 10_000_000_000;
        let failed = RunRow {
            id: "01BX5ZZKBKACTAV9WEVGEMMVRZ".into(),
            repository: "octo/hello".into(),
            number: 7,
            kind: "follow_up".into(),
            status: "done".into(),
            outcome: Some("failed".into()),
            reason: Some("agent_crashed".into()),
            detail: Some("it ended with exit code 1\nno such file\u{1b}[2J".into()),
            agent: "claude".into(),
            runner: Some("build-1".into()),
            requester: "mona".into(),
            branch: Some("track/issue-7-0abc1234".into()),
            kept: vec![KeptCommit {
                reference: "refs/track/runs/01BX5ZZKBKACTAV9WEVGEMMVRZ".into(),
                sha: "18e5a3f1c0ffee00000000000000000000000000".into(),
                mirror: "/var/lib/track/mirrors/7.git".into(),
            }],
            queued_at: now - 3_700_000,
            started_at: Some(now - 3_690_000),
            finished_at: Some(now - 3_450_000),
            ..RunRow::default()
        };
        let running = RunRow {
            id: "01ARZ3NDEKTSV4RRFFQ69G5FAV".into(),
            repository: "octo/hello".into(),
            number: 7,
            kind: "task".into(),
            status: "running".into(),
            agent: "codex".into(),
            runner: Some("build-2".into()),
            requester: "mona".into(),
            pull_request: Some("https://github.com/octo/hello/pull/8".into()),
            summary: Some("Said hello.\n\nTwice.".into()),
            notes: Some("Once would do.".into()),
            cost_usd: Some(0.5),
            queued_at: now - 65_000,
            started_at: Some(now - 64_000),
            ..RunRow::default()
        };
        // T26
        insta::assert_snapshot!(in_full(&[running, failed], now), @r"
        01ARZ3NDEKTSV4RRFFQ69G5FAV  octo/hello#7  task: running
          times         asked 1 min ago by mona, at work for 1 min
          agent         codex on build-2
          cost          $0.50
          pull request  https://github.com/octo/hello/pull/8
          summary       Said hello.

                        Twice.
          notes         Once would do.

        01BX5ZZKBKACTAV9WEVGEMMVRZ  octo/hello#7  follow_up: failed
          times         asked 1 h ago by mona, took 4 min
          agent         claude on build-1
          branch        track/issue-7-0abc1234
          error         agent_crashed: it ended with exit code 1
                        no such file\u{1b}[2J
          kept          refs/track/runs/01BX5ZZKBKACTAV9WEVGEMMVRZ at 18e5a3f1c0ffee00000000000000000000000000 in /var/lib/track/mirrors/7.git
        ");
        assert_eq!(in_full(&[], now), NO_RUNS);
    }

    // B27
    #[test]
    fn a_thread_has_a_timeline() {
        let now = 10_000_000_000;
        let rows = [
            DecisionRow {
                at: now - 5_000,
                verdict: "noted".into(),
                reason: "notified".into(),
                detail: "mona was told on #8 of 0123456".into(),
                run: Some("01ARZ3NDEKTSV4RRFFQ69G5FAV".into()),
                runner: Some("build-1".into()),
                branch: Some("track/issue-7-0abc1234".into()),
                pull_request: Some(8),
                head: Some("0123456789abcdef0123456789abcdef01234567".into()),
                ..DecisionRow::default()
            },
            DecisionRow {
                at: now - 3_700_000,
                actor: Some("lisa".into()),
                verdict: "ignored".into(),
                reason: "not_main_user".into(),
                detail: "only reviews by a main user\u{1b}[2J start follow-ups".into(),
                review_state: Some("commented".into()),
                ..DecisionRow::default()
            },
            DecisionRow { at: now, verdict: "noted".into(), reason: "closed".into(), ..DecisionRow::default() },
        ];
        insta::assert_snapshot!(timeline(&rows, now), @r"
        timeline
          5 s ago       noted notified: mona was told on #8 of 0123456
                        run 01ARZ3NDEKTSV4RRFFQ69G5FAV, runner build-1, branch track/issue-7-0abc1234, pull request #8, head 0123456
          1 h ago       ignored not_main_user by lisa: only reviews by a main user\u{1b}[2J start follow-ups
                        review commented
          0 s ago       noted closed:
        ");
        assert_eq!(timeline(&[], now), "");
    }

    #[test]
    fn the_question_says_what_was_typed() {
        for (repo, thread, asked) in [
            (Some("octo/hello.rs"), Some("7"), "&repo=octo/hello.rs&thread=7"),
            (None, Some("octo/hello.rs#7"), "&repo=octo/hello.rs&thread=7"),
            (None, Some("#7"), "&thread=7"),
            (None, None, ""),
        ] {
            let repo = repo.map(|repo| repo.parse().unwrap());
            let thread = thread.map(|thread| thread.parse().unwrap());
            let args = RunsArgs { repo, thread, run: None, markdown: false, log: None, limit: 5, json: false };
            assert_eq!(path(&args, "runs?limit=5"), format!("/api/v1/runs?limit=5{asked}"));
        }
        for wrong in ["", "0", "-1", "x", "octo/hello", "octo/hello#", "octo#7", "octo/hello#7#8"] {
            assert!(wrong.parse::<ThreadName>().is_err(), "{wrong}");
        }
    }
}
