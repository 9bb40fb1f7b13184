//! `track runs`.

use std::io::Write;

use clap::Args;

use super::Program;
use super::api::RunRow;
use super::client::reach;
use super::table::{short, table};
use crate::config::Config;
use crate::model::{Clock, Millis, RepoName};

/// What can be said to it; its help stands in [`super::Command`].
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  track runs                                     the last 20
  track runs --repo octo/hello --thread 7        all that happened on issue or pull request 7
  track runs --json | jq '.[].pull_request'      for scripts

What comes next: `/track why` on the issue explains a decision.")]
pub struct RunsArgs {
    /// Only this repository
    #[arg(long, value_name = "OWNER/NAME")]
    repo: Option<RepoName>,

    /// Only the issue or pull request of this number
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
    thread: Option<i64>,

    /// At most this many
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Asks and prints.
pub async fn run(
    args: &RunsArgs,
    config: &Config,
    program: &dyn Program,
    out: &mut (dyn Write + Send),
) -> anyhow::Result<()> {
    let rows: Vec<RunRow> = reach(config, program).await?.get(&path(args)).await?;
    if args.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&rows)?)?;
    } else {
        write!(out, "{}", render(&rows, Clock::System.now()))?;
    }
    Ok(())
}

fn path(args: &RunsArgs) -> String {
    let mut path = format!("/api/v1/runs?limit={}", args.limit);
    if let Some(repo) = &args.repo {
        // Valid names need no escape in a query, see RFC 3986, section 3.4.
        path += &format!("&repo={repo}");
    }
    if let Some(thread) = args.thread {
        path += &format!("&thread={thread}");
    }
    path
}

fn render(rows: &[RunRow], now: Millis) -> String {
    if rows.is_empty() {
        return "no runs yet: put the label `track` on an issue, or comment `/track dispatch`\n".to_owned();
    }
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let took = row.started_at.map(|from| length(row.finished_at.unwrap_or(now) - from));
            let shown = row.pull_request.as_ref().or(row.summary.as_ref()).or(row.reason.as_ref());
            vec![
                format!("{} ago", length(now - row.queued_at)),
                format!("{}#{}", row.repository, row.number),
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
    fn the_question_says_what_was_typed() {
        let args = RunsArgs { repo: Some("octo/hello.rs".parse().unwrap()), thread: Some(7), limit: 5, json: false };
        assert_eq!(path(&args), "/api/v1/runs?limit=5&repo=octo/hello.rs&thread=7");
    }
}
