//! The same as tables for spreadsheets: sums with a line each, or every run with a line of its own.

use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;

use super::super::csv::record;
use super::{Asked, By, DAY, Fault, dollars, lists, logins, table};
use crate::admin::Admin;
use crate::admin::person::Person;
use crate::admin::sums::{self, Sums};
use crate::db::run_list::{self, Listed};
use crate::db::{self, Db, Turn, usage::Filter};
use crate::model::Millis;

/// Runs that are read at once: the rest waits until these are sent.
const AT_ONCE: usize = 500;

const SUM_HEADS: [&str; 14] = [
    "runs",
    "live",
    "succeeded",
    "failed",
    "blocked",
    "canceled",
    "success_rate",
    "agent_seconds",
    "to_pull_median_seconds",
    "to_pull_p90_seconds",
    "tokens_in",
    "tokens_cached",
    "tokens_out",
    "cost_usd",
];

const RUN_HEADS: [&str; 22] = [
    "run",
    "asked_at",
    "repository",
    "number",
    "kind",
    "title",
    "asked_by",
    "automatic",
    "agent",
    "model",
    "runner",
    "attempt",
    "status",
    "outcome",
    "reason",
    "agent_seconds",
    "tokens_in",
    "tokens_cached",
    "tokens_out",
    "cost_usd",
    "pull_request",
    "branch",
];

/// `GET /admin/usage.csv`.
pub(super) async fn csv(
    State(admin): State<Admin>,
    person: Person,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    let context = admin.context();
    let by = match asked.by.as_str() {
        "" | "run" => None,
        word if By::named(word) == Some(By::User) && !person.is_admin() => {
            return Err(Fault::forbidden("What others consumed is for admins of the bot; TRACK_ADMINS names them."));
        }
        word => lists::word(word, "by", By::named)?,
    };
    let mut conn = context.db.read().await?;
    let repositories = lists::seen(&mut conn, &person).await?;
    let filter = asked.filter(&person, &repositories, context.clock.now())?;
    let name = format!(
        "track-usage-by-{}-{}-to-{}.csv",
        by.map_or("run", By::as_str),
        lists::date(filter.period.0),
        lists::date(filter.period.1 - DAY)
    );
    let body = match by {
        None => {
            drop(conn);
            every_run(context.db.clone(), filter)
        }
        Some(by) => {
            let spent = db::usage::spent(&mut conn, &filter).await?;
            let logins = logins(&mut conn, &spent).await?;
            drop(conn);
            let days = sums::by_day(&spent, filter.period);
            let mut out = String::new();
            record(&mut out, [by.as_str()].into_iter().chain(SUM_HEADS));
            for row in table(by, &asked, &spent, &repositories, (&logins, &days)).rows {
                record(&mut out, [row.name].into_iter().chain(sum_cells(&row.sums)));
            }
            Body::from(out)
        }
    };
    let headers = [
        (CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()),
        (CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")),
    ];
    Ok((headers, body).into_response())
}

/// Every run that is counted, newest first, read as it is sent.
fn every_run(db: Db, counted: Filter) -> Body {
    let filter = run_list::Filter {
        within: counted.within,
        repository: counted.repository,
        agent: counted.agent,
        requester: counted.login,
        requester_id: counted.requester,
        from: Some(counted.period.0),
        until: Some(counted.period.1),
        discarded: true,
        ..run_list::Filter::default()
    };
    let mut heads = String::new();
    record(&mut heads, RUN_HEADS);
    let begin = (db, filter, Some(Turn::Newest), heads);
    Body::from_stream(stream::try_unfold(begin, async |(db, filter, turn, mut out)| {
        let Some(turn) = turn else { return Ok::<_, anyhow::Error>(None) };
        let found = run_list::page(&mut *db.read().await?, &filter, turn, AT_ONCE).await?;
        for run in &found.rows {
            record(&mut out, run_cells(run));
        }
        let next = found.rows.last().filter(|_| found.older).map(|last| Turn::Older(last.key()));
        Ok(Some((Bytes::from(out), (db, filter, next, String::new()))))
    }))
}

fn sum_cells(sums: &Sums) -> [String; 14] {
    let or_empty = |value: Option<String>| value.unwrap_or_default();
    [
        sums.runs.to_string(),
        sums.live.to_string(),
        sums.succeeded.to_string(),
        sums.failed.to_string(),
        sums.blocked.to_string(),
        sums.canceled.to_string(),
        or_empty(sums.success_rate().map(|rate| format!("{rate:.4}"))),
        seconds(sums.agent_time),
        or_empty(sums.to_pull_median().map(seconds)),
        or_empty(sums.to_pull_p90().map(seconds)),
        sums.tokens_in.to_string(),
        sums.tokens_cached.to_string(),
        sums.tokens_out.to_string(),
        or_empty(sums.cost().map(|cost| format!("{:.6}", dollars(cost)))),
    ]
}

fn run_cells(run: &Listed) -> [String; 22] {
    let or_empty = |value: Option<String>| value.unwrap_or_default();
    let usage =
        |value: fn(&crate::model::Usage) -> u64| or_empty(run.usage.as_ref().map(|usage| value(usage).to_string()));
    [
        run.id.to_string(),
        exact(run.queued_at),
        run.repository.to_string(),
        run.number.to_string(),
        run.kind.to_string(),
        run.title.clone(),
        run.requester.clone(),
        run.automatic.to_string(),
        run.agent.clone(),
        or_empty(run.model.clone()),
        or_empty(run.runner.clone()),
        run.attempt.to_string(),
        run.status.to_string(),
        or_empty(run.outcome.map(|outcome| outcome.to_string())),
        or_empty(run.reason.map(|reason| reason.to_string())),
        or_empty(run.ended_at.zip(run.started_at).map(|(end, start)| seconds((end - start).max(0)))),
        usage(|usage| usage.input_tokens),
        usage(|usage| usage.cached_tokens),
        usage(|usage| usage.output_tokens),
        or_empty(run.usage.and_then(|usage| usage.cost_usd).map(|cost| format!("{cost:.6}"))),
        or_empty(run.pull.map(|pull| pull.to_string())),
        or_empty(run.branch.clone()),
    ]
}

fn seconds(time: Millis) -> String {
    format!("{:.1}", time as f64 / 1_000.0)
}

/// A time as spreadsheets read it.
fn exact(at: Millis) -> String {
    chrono::DateTime::from_timestamp_millis(at)
        .map(|time| time.format("%Y-%m-%dT%H:%M:%SZ").to_string())
        .unwrap_or_default()
}
