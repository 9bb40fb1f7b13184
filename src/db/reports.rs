//! Reports: what the bot owes GitHub, and how far GitHub is from it.

use sqlx::Row as _;

use super::repositories::installation_column;
use super::{Conn, Row, json, parsed, parsed_or_null, to_json};
use crate::model::{InstallationId, Millis, Number, Place, Reaction, RepositoryId, RunId, Sha};

/// One report as it is stored.
#[derive(Clone, Debug)]
pub struct Report {
    /// ULID; stands in the marker of comments that belong to no run.
    pub id: ulid::Ulid,
    /// What it is about, unique: `status:<run>`, `reply:<trigger>`, …
    pub key: String,
    /// The repository in which it is owed.
    pub repository: RepositoryId,
    /// The issue or pull request on which it is owed.
    pub number: Number,
    /// The run that it is about.
    pub run: Option<RunId>,
    /// What is owed.
    pub payload: Payload,
    /// Counts the changes of what is owed.
    pub version: i64,
    /// GitHub's id of the comment, once it is known.
    pub remote_id: Option<i64>,
    /// Hash of the text that GitHub shows.
    pub shown: Option<String>,
    /// Without `remote_id`: a create is out whose answer is not known, until then it is only looked for. With it: the comment was posted
    /// after such a doubt, and then a twin of it is looked for.
    pub in_doubt: Option<Millis>,
    /// Attempts since the last success.
    pub tries: i64,
    /// When GitHub was last changed.
    pub shown_at: Option<Millis>,
    /// When it was first owed.
    pub created_at: Millis,
}

/// What is owed: a text that is made when it is sent, a fixed text, or a small act.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Payload {
    /// The one status comment of a run, written from the run's row at the time of sending.
    Status,
    /// An answer to a command.
    Reply {
        /// Markdown without the marker.
        text: String,
    },
    /// The comment on the pull request after a push (B26).
    Final {
        /// Markdown without the marker.
        text: String,
        /// Logins of those whom it mentions, for the record.
        #[serde(default)]
        told: Vec<String>,
    },
    /// A reaction.
    Reaction {
        /// What it is put on.
        place: Place,
        /// Which one.
        content: Reaction,
    },
    /// Taking the trigger label off.
    Unlabel {
        /// The label's name.
        label: String,
    },
    /// A review of the pull request.
    Review {
        /// The commit that was reviewed.
        commit: Sha,
        /// Markdown without the marker.
        text: String,
        /// Comments on lines of the diff.
        notes: Vec<LineNote>,
    },
    /// An answer in the thread of a review comment.
    ThreadReply {
        /// The comment that opened the thread.
        root: i64,
        /// Markdown without the marker.
        text: String,
    },
    /// Closing the thread of a review comment.
    Resolve {
        /// The comment that opened it.
        root: i64,
    },
}

/// A comment on lines of a diff, as it goes with a review.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct LineNote {
    /// The file.
    pub path: String,
    /// The (last) line.
    pub line: u32,
    /// The first line of a range.
    pub start: Option<u32>,
    /// Whether it is about the old version of the file.
    pub left: bool,
    /// Markdown.
    pub body: String,
}

/// What became of a report, for whoever waits for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is still owed.
    Due,
    /// GitHub shows it.
    Settled {
        /// GitHub's id, where it has one.
        remote: Option<i64>,
    },
    /// GitHub will never take it.
    Dead {
        /// GitHub's words.
        error: String,
    },
}

impl Payload {
    /// The word of the kind column.
    pub fn kind(&self) -> &'static str {
        match self {
            Payload::Status => "status",
            Payload::Reply { .. } => "reply",
            Payload::Final { .. } => "final",
            Payload::Reaction { .. } => "reaction",
            Payload::Unlabel { .. } => "unlabel",
            Payload::Review { .. } => "review",
            Payload::ThreadReply { .. } => "thread_reply",
            Payload::Resolve { .. } => "resolve",
        }
    }

    /// Order of sending, lowest first: acknowledgements, then final words and replies, progress last.
    fn urgency(&self) -> i64 {
        match self {
            Payload::Reaction { .. } | Payload::Unlabel { .. } => 0,
            Payload::Final { .. } | Payload::Review { .. } => 1,
            Payload::Reply { .. } | Payload::ThreadReply { .. } | Payload::Resolve { .. } => 2,
            Payload::Status => 3,
        }
    }
}

/// A report about to be owed.
#[derive(Clone, Debug)]
pub struct NewReport {
    /// What it is about, unique.
    pub key: String,
    /// The repository in which it is owed.
    pub repository: RepositoryId,
    /// The issue or pull request on which it is owed.
    pub number: Number,
    /// The run that it is about.
    pub run: Option<RunId>,
    /// What is owed.
    pub payload: Payload,
}

/// Owes a report; one with the same key stays as it is. Nothing is owed on a private task, of which GitHub knows nothing (B63).
pub async fn owe(conn: &mut Conn, report: &NewReport, now: Millis) -> sqlx::Result<()> {
    if report.number.is_private() {
        return Ok(());
    }
    sqlx::query(
        "insert into report (id, key, kind, repository_id, number, run_id, payload, urgency, created_at) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict (key) do nothing",
    )
    .bind(crate::model::new_ulid().to_string())
    .bind(&report.key)
    .bind(report.payload.kind())
    .bind(report.repository.0)
    .bind(report.number.0)
    .bind(report.run.map(|id| id.to_string()))
    .bind(to_json(&report.payload)?)
    .bind(report.payload.urgency())
    .bind(now)
    .execute(conn)
    .await?;
    Ok(())
}

/// What became of the report with this key; `None` if there is none. One that has an id is there, even while a twin is looked for.
pub async fn outcome(conn: &mut Conn, key: &str) -> sqlx::Result<Option<Outcome>> {
    let row =
        sqlx::query("select state, remote_id, error from report where key = $1").bind(key).fetch_optional(conn).await?;
    let Some(row) = row else { return Ok(None) };
    let remote: Option<i64> = row.try_get("remote_id")?;
    Ok(Some(match row.try_get::<String, _>("state")?.as_str() {
        "dead" => Outcome::Dead { error: row.try_get::<Option<String>, _>("error")?.unwrap_or_default() },
        "settled" => Outcome::Settled { remote },
        _ if remote.is_some() => Outcome::Settled { remote },
        _ => Outcome::Due,
    }))
}

/// Says that the run behind a status comment changed; not before a time, unless the comment is due earlier already.
pub async fn touch_status(conn: &mut Conn, run: RunId, not_before: Millis) -> sqlx::Result<()> {
    sqlx::query(
        "update report set not_before = case when state = 'due' and not_before < $2 then not_before else $2 end, \
         state = 'due', version = version + 1 where run_id = $1 and kind = 'status' and state <> 'dead'",
    )
    .bind(run.to_string())
    .bind(not_before)
    .execute(conn)
    .await?;
    Ok(())
}

/// Says that a run came to its end: its status comment goes before replies, at once. So does one that was given up: GitHub refused, or
/// somebody deleted, what was said on the way, and a result is worth another attempt.
pub async fn hurry_status(conn: &mut Conn, run: RunId) -> sqlx::Result<()> {
    sqlx::query(
        "update report set not_before = 0, urgency = 1, state = 'due', tries = 0, version = version + 1 \
         where run_id = $1 and kind = 'status'",
    )
    .bind(run.to_string())
    .execute(conn)
    .await?;
    Ok(())
}

/// Reports whose time has come, most urgent first, but for those of some installations.
pub async fn due(
    conn: &mut Conn,
    now: Millis,
    but: &[Option<InstallationId>],
    limit: i64,
) -> sqlx::Result<Vec<Report>> {
    let rows = sqlx::query(
        "select * from report where state = 'due' and not_before <= $1 and repository_id not in \
         (select id from repository where installation_id in (select value from json_each($3))) \
         order by urgency, created_at, id limit $2",
    )
    .bind(now)
    .bind(limit)
    .bind(to_json(&but.iter().map(|id| installation_column(*id)).collect::<Vec<_>>())?)
    .fetch_all(conn)
    .await?;
    rows.iter().map(read).collect()
}

/// When the next report that waits is due.
pub async fn next_due(conn: &mut Conn, now: Millis) -> sqlx::Result<Option<Millis>> {
    sqlx::query("select min(not_before) from report where state = 'due' and not_before > $1")
        .bind(now)
        .fetch_one(conn)
        .await?
        .try_get(0)
}

/// How many reports are owed.
pub async fn owed(conn: &mut Conn) -> sqlx::Result<i64> {
    sqlx::query("select count(*) from report where state = 'due'").fetch_one(conn).await?.try_get(0)
}

/// How many reports are owed, and since when the oldest of them.
pub async fn backlog(conn: &mut Conn) -> sqlx::Result<(i64, Option<Millis>)> {
    let row = sqlx::query("select count(*) as owed, min(created_at) as oldest from report where state = 'due'")
        .fetch_one(conn)
        .await?;
    Ok((row.try_get("owed")?, row.try_get("oldest")?))
}

/// Says that a create is about to be sent; until its answer is known, nothing is posted again without looking for the marker.
pub async fn set_in_doubt(conn: &mut Conn, id: ulid::Ulid, until: Option<Millis>) -> sqlx::Result<()> {
    sqlx::query("update report set in_doubt = $2 where id = $1").bind(id.to_string()).bind(until).execute(conn).await?;
    Ok(())
}

/// A comment on GitHub that tells of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// `status` or `final`.
    pub kind: String,
    /// The issue or pull request on which it stands.
    pub number: Number,
    /// GitHub's id of it.
    pub id: i64,
}

/// The comments on issues and pull requests that tell of a run, as far as GitHub has them.
pub async fn comments_of(conn: &mut Conn, run: RunId) -> sqlx::Result<Vec<Told>> {
    let rows = sqlx::query(
        "select kind, number, remote_id from report where run_id = $1 and kind in ('status', 'final') and remote_id is not null order by created_at, id",
    )
    .bind(run.to_string())
    .fetch_all(conn)
    .await?;
    rows.iter()
        .map(|row| {
            let number = Number(row.try_get("number")?);
            Ok(Told { kind: row.try_get("kind")?, number, id: row.try_get("remote_id")? })
        })
        .collect()
}

/// GitHub shows what was owed at `report.version`; what changed meanwhile stays due. So does what is to be looked at once more `again`.
pub async fn shown(
    conn: &mut Conn,
    report: &Report,
    remote_id: Option<i64>,
    shown: Option<&str>,
    again: Option<Millis>,
    now: Millis,
) -> sqlx::Result<()> {
    sqlx::query(
        "update report set state = case when version = $5 and $6 is null then 'settled' else 'due' end, \
         not_before = case when version = $5 then coalesce($6, not_before) else not_before end, in_doubt = $6, tries = 0, \
         error = null, remote_id = coalesce($2, remote_id), shown = coalesce($3, shown), shown_at = $4 where id = $1",
    )
    .bind(report.id.to_string())
    .bind(remote_id)
    .bind(shown)
    .bind(now)
    .bind(report.version)
    .bind(again)
    .execute(conn)
    .await?;
    Ok(())
}

/// Which comment is the report's, which GitHub may show with another text than was owed; `None`: there is none any more.
pub async fn set_remote(conn: &mut Conn, id: ulid::Ulid, remote_id: Option<i64>) -> sqlx::Result<()> {
    sqlx::query(
        "update report set shown = case when remote_id = $2 then shown end, remote_id = $2, in_doubt = null where id = $1",
    )
    .bind(id.to_string())
    .bind(remote_id)
    .execute(conn)
    .await?;
    Ok(())
}

/// Tries a report again, not before a time.
pub async fn retry_at(conn: &mut Conn, id: ulid::Ulid, not_before: Millis, error: &str) -> sqlx::Result<()> {
    sqlx::query("update report set state = 'due', tries = tries + 1, not_before = $2, error = $3 where id = $1")
        .bind(id.to_string())
        .bind(not_before)
        .bind(error)
        .execute(conn)
        .await?;
    Ok(())
}

/// Lets a report wait for its time, unless it changed meanwhile and is due earlier.
pub async fn wait_until(conn: &mut Conn, report: &Report, not_before: Millis) -> sqlx::Result<()> {
    sqlx::query("update report set not_before = $2 where id = $1 and version = $3")
        .bind(report.id.to_string())
        .bind(not_before)
        .bind(report.version)
        .execute(conn)
        .await?;
    Ok(())
}

/// Gives a report up that GitHub will never take, with the reason.
pub async fn dead(conn: &mut Conn, id: ulid::Ulid, error: &str) -> sqlx::Result<()> {
    sqlx::query("update report set state = 'dead', error = $2 where id = $1")
        .bind(id.to_string())
        .bind(error)
        .execute(conn)
        .await?;
    Ok(())
}

fn read(row: &Row) -> sqlx::Result<Report> {
    Ok(Report {
        id: parsed(row, "id")?,
        key: row.try_get("key")?,
        repository: RepositoryId(row.try_get("repository_id")?),
        number: Number(row.try_get("number")?),
        run: parsed_or_null(row, "run_id")?,
        payload: json(row, "payload")?,
        version: row.try_get("version")?,
        remote_id: row.try_get("remote_id")?,
        shown: row.try_get("shown")?,
        in_doubt: row.try_get("in_doubt")?,
        tries: row.try_get("tries")?,
        shown_at: row.try_get("shown_at")?,
        created_at: row.try_get("created_at")?,
    })
}
