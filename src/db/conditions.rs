//! The conditions of a list, which differ with what people filter by: texts of ours with numbered parameters, and the values beside them.
//!
//! A condition that does not apply is left out instead of being made true by a null, so that the planner sees what it can use an index for.

use sqlx::sqlite::SqliteArguments;
use sqlx::{Arguments as _, Encode, Sqlite, Type};

/// What stands after `where`, and its values.
#[derive(Clone, Debug, Default)]
pub(super) struct Conditions {
    text: String,
    values: SqliteArguments,
}

impl Conditions {
    /// Adds a condition, whose `?` stand for the values that [`Conditions::bind`] gives next.
    pub fn and(&mut self, condition: &'static str) -> &mut Self {
        self.text += if self.text.is_empty() { " where " } else { " and " };
        let mut next = self.values.len();
        for (n, part) in condition.split('?').enumerate() {
            if n > 0 {
                next += 1;
                self.text += &format!("${next}");
            }
            self.text += part;
        }
        self
    }

    /// The value of the next `?`.
    pub fn bind<'v, T: Encode<'v, Sqlite> + Type<Sqlite>>(&mut self, value: T) -> sqlx::Result<&mut Self> {
        self.values.add(value).map_err(sqlx::Error::Encode)?;
        Ok(self)
    }

    /// Adds that a column is one of some values; none of them lets nothing through.
    pub fn one_of<'v, T>(&mut self, column: &'static str, among: impl IntoIterator<Item = T>) -> sqlx::Result<&mut Self>
    where
        T: Encode<'v, Sqlite> + Type<Sqlite>,
    {
        let first = self.values.len() + 1;
        for value in among {
            self.bind(value)?;
        }
        let numbers: Vec<String> = (first..=self.values.len()).map(|n| format!("${n}")).collect();
        self.text += if self.text.is_empty() { " where " } else { " and " };
        self.text += &match numbers.len() {
            // An empty list is no SQL that both databases know.
            0 => "1 = 0".to_owned(),
            _ => format!("{column} in ({})", numbers.join(", ")),
        };
        Ok(self)
    }

    /// The conditions as SQL, and their values.
    pub fn parts(self) -> (String, SqliteArguments) {
        (self.text, self.values)
    }
}

/// A pattern for `like … escape '\'` that finds a text anywhere.
pub(super) fn anywhere(text: &str) -> String {
    /// SQLite refuses patterns that are too long, and nobody types one.
    const LONGEST: usize = 200;
    let mut pattern = String::from("%");
    for c in text.chars().take(LONGEST) {
        if matches!(c, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern + "%"
}

/// How the database means to carry a statement out.
#[cfg(test)]
pub(super) async fn plan(sql: String, values: SqliteArguments) -> String {
    use sqlx::Row as _;
    let folder = tempfile::tempdir().unwrap();
    let db = super::Db::open(&format!("sqlite://{}", folder.path().join("track.db").display())).await.unwrap();
    let sql = sqlx::AssertSqlSafe(format!("explain query plan {sql}"));
    let steps = sqlx::query_with(sql, values).fetch_all(&mut *db.read().await.unwrap()).await.unwrap();
    steps.iter().map(|step| step.get::<String, _>("detail")).collect::<Vec<_>>().join(" | ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_numbered_over_all_conditions() {
        let mut conditions = Conditions::default();
        conditions.and("agent = ?").bind("codex").unwrap();
        conditions.one_of("repository_id", [1_i64, 2]).unwrap();
        conditions.and("(queued_at, id) < (?, ?)").bind(5_i64).unwrap().bind("x").unwrap();
        conditions.one_of("runner", Vec::<String>::new()).unwrap();
        let (sql, values) = conditions.parts();
        assert_eq!(sql, " where agent = $1 and repository_id in ($2, $3) and (queued_at, id) < ($4, $5) and 1 = 0");
        assert_eq!(values.len(), 5);
    }

    #[test]
    fn a_pattern_means_its_text_and_nothing_more() {
        assert_eq!(anywhere(r"50%_a\b"), r"%50\%\_a\\b%");
        assert_eq!(anywhere(&"x".repeat(9_000)).len(), 202);
    }
}
