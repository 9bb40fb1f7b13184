//! Decision records: why something happened, or did not (`/track why`, `track runs --thread`).
//!
//! A verdict says how a wish fared, and there are four of them, which the schema fixes: what is skipped is `ignored`. What happened to a run
//! afterwards is `noted`, and the reason is the word for it: `queued` where nobody asked, `assigned`, `notified`, `reviewed`, how it ended.

use sqlx::Row as _;

use super::lines::Line;
use super::threads::Thread;
use super::{Conn, Row, json, parsed_or_null, to_json};
use crate::model::{Ask, Millis, Number, RepoName, RepositoryId, RunId, Sha};

/// One decision.
#[derive(Clone, Debug)]
pub struct Decision {
    /// The delivery that asked for it, unless the bot decided by itself.
    pub delivery: Option<String>,
    /// The repository, where the delivery names one.
    pub repository: Option<RepositoryId>,
    /// The issue or pull request.
    pub number: Option<Number>,
    /// The trigger that it is about.
    pub trigger: Option<String>,
    /// The run that it is about.
    pub run: Option<RunId>,
    /// Login of whoever acted.
    pub actor: Option<String>,
    /// `accepted`, `ignored`, `refused` or `noted`.
    pub verdict: &'static str,
    /// A word that names the rule.
    pub reason: String,
    /// A sentence for people.
    pub detail: String,
    /// What it is about. Where it has a run, what the run's row says goes before.
    pub about: About,
}

/// What a decision is about, as far as it was known when it was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// The runner that has the run.
    pub runner: Option<String>,
    /// The branch of the line of work.
    pub branch: Option<String>,
    /// The pull request.
    pub pull: Option<Number>,
    /// Its head: what was pushed last, or what a review is pinned to.
    pub head: Option<Sha>,
    /// What the actor's review decides.
    pub review_state: Option<String>,
}

impl About {
    /// What is known of a line.
    pub fn line(line: &Line) -> Self {
        Self { branch: Some(line.branch.clone()), pull: line.pull, head: line.head.clone(), ..Self::default() }
    }

    /// The same, and where it says nothing what another one says.
    fn or(self, other: Self) -> Self {
        Self {
            runner: self.runner.or(other.runner),
            branch: self.branch.or(other.branch),
            pull: self.pull.or(other.pull),
            head: self.head.or(other.head),
            review_state: self.review_state.or(other.review_state),
        }
    }
}

impl Decision {
    /// What the bot did for a thread by itself.
    pub fn noted(thread: &Thread, reason: &str, detail: String) -> Self {
        Self {
            delivery: None,
            repository: Some(thread.repository),
            number: Some(thread.number),
            trigger: None,
            run: None,
            actor: None,
            verdict: "noted",
            reason: reason.to_owned(),
            detail,
            about: About::default(),
        }
    }

    /// The same about a run.
    pub fn of_run(thread: &Thread, run: RunId, reason: &str, detail: String) -> Self {
        Self { run: Some(run), ..Self::noted(thread, reason, detail) }
    }
}

/// A decision as it is shown.
#[derive(Clone, Debug)]
pub struct Shown {
    /// When it was made.
    pub at: Millis,
    /// The run that it is about.
    pub run: Option<RunId>,
    /// Login of whoever acted.
    pub actor: Option<String>,
    /// `accepted`, `ignored`, `refused` or `noted`.
    pub verdict: String,
    /// A word that names the rule.
    pub reason: String,
    /// A sentence for people.
    pub detail: String,
    /// What it is about.
    pub about: About,
}

/// Appends a decision; nothing changes one later. What was said of a review is said of everything that comes of its delivery.
pub async fn insert(conn: &mut Conn, decision: &Decision, now: Millis) -> sqlx::Result<()> {
    let about = match decision.run {
        Some(run) => of_run(&mut *conn, run).await?.or(decision.about.clone()),
        None => decision.about.clone(),
    };
    sqlx::query(
        "insert into decision (id, delivery_id, repository_id, number, trigger_key, run_id, actor, verdict, reason, detail, at, \
         runner, branch, pull_number, head, review_state) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, coalesce($16, \
         (select review_state from decision where delivery_id = $2 and review_state is not null limit 1)))",
    )
    .bind(crate::model::new_ulid().to_string())
    .bind(&decision.delivery)
    .bind(decision.repository.map(|id| id.0))
    .bind(decision.number.map(|n| n.0))
    .bind(&decision.trigger)
    .bind(decision.run.map(|id| id.to_string()))
    .bind(&decision.actor)
    .bind(decision.verdict)
    .bind(&decision.reason)
    .bind(&decision.detail)
    .bind(now)
    .bind(&about.runner)
    .bind(&about.branch)
    .bind(about.pull.map(|pull| pull.0))
    .bind(about.head.as_ref().map(Sha::as_str))
    .bind(&about.review_state)
    .execute(conn)
    .await?;
    Ok(())
}

/// What is known of a run.
async fn of_run(conn: &mut Conn, run: RunId) -> sqlx::Result<About> {
    let row = sqlx::query(
        "select run.runner, run.ask, run.pull_number, run.pushed_sha, line.branch, line.pull_number as line_pull, line.head_sha \
         from run left join line on line.id = run.line_id where run.id = $1",
    )
    .bind(run.to_string())
    .fetch_one(conn)
    .await?;
    let pin = json::<Ask>(&row, "ask")?.pin;
    let pulls: [Option<i64>; 2] = [row.try_get("pull_number")?, row.try_get("line_pull")?];
    let pinned = pin.as_ref().map(|pin| pin.pull);
    Ok(About {
        runner: row.try_get("runner")?,
        branch: row.try_get("branch")?,
        pull: pulls.into_iter().flatten().next().map(Number).or(pinned),
        head: parsed_or_null(&row, "pushed_sha")?.or(parsed_or_null(&row, "head_sha")?).or(pin.map(|pin| pin.head)),
        review_state: None,
    })
}

/// Whether a thread's timeline says this of a run and its runner already.
pub async fn is_told(
    conn: &mut Conn,
    thread: &Thread,
    run: RunId,
    (reason, runner): (&str, &str),
) -> sqlx::Result<bool> {
    let row = sqlx::query(
        "select 1 from decision where repository_id = $1 and number = $2 and run_id = $3 and reason = $4 and runner = $5 limit 1",
    )
    .bind(thread.repository.0)
    .bind(thread.number.0)
    .bind(run.to_string())
    .bind(reason)
    .bind(runner)
    .fetch_optional(conn)
    .await?;
    Ok(row.is_some())
}

/// The newest decisions about an issue or pull request, newest first.
pub async fn newest(conn: &mut Conn, repository: RepositoryId, number: Number, limit: i64) -> sqlx::Result<Vec<Shown>> {
    let rows = sqlx::query(
        "select * from decision where repository_id = $1 and number = $2 order by at desc, id desc limit $3",
    )
    .bind(repository.0)
    .bind(number.0)
    .bind(limit)
    .fetch_all(conn)
    .await?;
    rows.iter().map(read).collect()
}

/// The same for whoever names no repository, or only its name: each decision with the repository.
pub async fn timeline(
    conn: &mut Conn,
    (repo, number): (Option<&RepoName>, Number),
    limit: i64,
) -> sqlx::Result<Vec<(RepoName, Shown)>> {
    let rows = sqlx::query(
        "select decision.*, repository.owner, repository.name from decision join repository on repository.id = decision.repository_id \
         where decision.repository_id in (select id from repository where $1 is null or (lower(owner) = lower($1) and lower(name) = lower($2))) \
         and decision.number = $3 order by decision.at desc, decision.id desc limit $4",
    )
    .bind(repo.map(|repo| &repo.owner))
    .bind(repo.map(|repo| &repo.name))
    .bind(number.0)
    .bind(limit)
    .fetch_all(conn)
    .await?;
    rows.iter()
        .map(|row| Ok((RepoName { owner: row.try_get("owner")?, name: row.try_get("name")? }, read(row)?)))
        .collect()
}

/// The first decision about a delivery.
pub async fn of_delivery(conn: &mut Conn, delivery: &str) -> sqlx::Result<Option<Shown>> {
    let row = sqlx::query("select * from decision where delivery_id = $1 order by id limit 1")
        .bind(delivery)
        .fetch_optional(conn)
        .await?;
    row.as_ref().map(read).transpose()
}

/// Reasons for which a delivery is ignored that asked for nothing.
const NOTHING_ASKED: [&str; 5] = ["not_used", "no_subject", "no_command", "other_label", "bot"];

impl Shown {
    /// Whether it is about something that somebody asked for, or that happened; else it is about what was said by the way.
    pub fn matters(&self) -> bool {
        self.verdict != "ignored" || !NOTHING_ASKED.contains(&self.reason.as_str())
    }
}

/// The newest decisions about what somebody asked for, newest first: what was said by the way is left out.
pub async fn newest_asked(
    conn: &mut Conn,
    repository: RepositoryId,
    number: Number,
    limit: i64,
) -> sqlx::Result<Vec<Shown>> {
    let rows = sqlx::query(
        "select * from decision where repository_id = $1 and number = $2 and not (verdict = 'ignored' \
         and reason in (select value from json_each($4))) order by at desc, id desc limit $3",
    )
    .bind(repository.0)
    .bind(number.0)
    .bind(limit)
    .bind(to_json(&NOTHING_ASKED)?)
    .fetch_all(conn)
    .await?;
    rows.iter().map(read).collect()
}

pub(super) fn read(row: &Row) -> sqlx::Result<Shown> {
    Ok(Shown {
        at: row.try_get("at")?,
        run: parsed_or_null(row, "run_id")?,
        actor: row.try_get("actor")?,
        verdict: row.try_get("verdict")?,
        reason: row.try_get("reason")?,
        detail: row.try_get("detail")?,
        about: About {
            runner: row.try_get("runner")?,
            branch: row.try_get("branch")?,
            pull: row.try_get::<Option<i64>, _>("pull_number")?.map(Number),
            head: parsed_or_null(row, "head")?,
            review_state: row.try_get("review_state")?,
        },
    })
}
