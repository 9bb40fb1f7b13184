//! What a run is found by: its number, title, branch and summary, folded to lower case once, so that a search reads neither the wide rows nor
//! the databases' different ideas of case.

use serde_json::Value;
use sqlx::Row as _;

use super::Conn;
use crate::model::{Number, RunId};

/// Characters of a title and of a summary that are searched.
const LONGEST: usize = 1_000;

/// Notes the words of a run as its row has them now.
pub async fn refresh(conn: &mut Conn, run: RunId) -> sqlx::Result<()> {
    note(conn, &run.to_string()).await
}

/// Notes the words of runs that an earlier version queued.
pub(super) async fn fill(conn: &mut Conn) -> sqlx::Result<()> {
    let missing: Vec<String> = sqlx::query_scalar(
        "select id from run where not exists (select 1 from run_words where run_words.run_id = run.id)",
    )
    .fetch_all(&mut *conn)
    .await?;
    for run in missing {
        note(&mut *conn, &run).await?;
    }
    Ok(())
}

async fn note(conn: &mut Conn, run: &str) -> sqlx::Result<()> {
    let row = sqlx::query(
        "select run.ask, run.answer, thread.number, line.branch from run join thread on thread.id = run.thread_id \
         left join line on line.id = run.line_id where run.id = $1",
    )
    .bind(run)
    .fetch_one(&mut *conn)
    .await?;
    // A damaged row is told to whoever reads it; here it is only not found by what it lost.
    let said = |json: Option<String>, field: &str| -> String {
        let value: Option<Value> = json.and_then(|json| serde_json::from_str(&json).ok());
        value.and_then(|value| value[field].as_str().map(str::to_owned)).unwrap_or_default()
    };
    let branch: Option<String> = row.try_get("branch")?;
    let words = words(
        Number(row.try_get("number")?),
        &said(row.try_get("ask")?, "title"),
        branch.as_deref().unwrap_or_default(),
        &said(row.try_get("answer")?, "summary"),
    );
    sqlx::query(
        "insert into run_words (run_id, words) values ($1, $2) on conflict (run_id) do update set words = excluded.words",
    )
    .bind(run)
    .bind(words)
    .execute(conn)
    .await?;
    Ok(())
}

fn words(number: Number, title: &str, branch: &str, summary: &str) -> String {
    let short = |text: &str| text.chars().take(LONGEST).collect::<String>();
    format!("{} {}\n{branch}\n{}", number.named(), short(title), short(summary)).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_people_look_for_is_there_in_lower_case() {
        assert_eq!(
            words(Number(7), "Die Größe ÄNDERN", "track/issue-7-q69g5fav", "Done: Σ is new."),
            "#7 die größe ändern\ntrack/issue-7-q69g5fav\ndone: σ is new."
        );
        assert!(words(Number(7), &"t".repeat(9_000), "b", &"s".repeat(9_000)).len() < 2_100);
    }
}
