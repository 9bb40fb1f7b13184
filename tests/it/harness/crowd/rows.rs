//! The rows of a crowd on their way to the database, and the dice that its texts are thrown with.

use super::*;

/// Rows that wait to be written.
#[derive(Default)]
pub(super) struct Rows {
    pub repositories: Vec<Repository>,
    pub threads: Vec<Value>,
    pub lines: Vec<Value>,
    pub runs: Vec<Value>,
    pub live: usize,
    deliveries: Vec<NewDelivery>,
    lanes: Vec<Value>,
    decisions: Vec<Value>,
}

impl Rows {
    /// A delivery that was handled a moment after it came.
    pub fn delivery(
        &mut self,
        id: &str,
        (event, action): (&str, &str),
        thread: &Thread,
        (login, at): (&str, Millis),
        dice: &mut Dice,
    ) {
        let about = json!({
            "id": 3_000_000_000_u64 + thread.number.0 as u64, "number": thread.number, "title": thread.title,
            "user": account(login), "state": "open", "body": thread.text, "labels": [{ "id": 1, "name": "track" }],
        });
        // Most are of the usual size, and some carry a long text.
        let text = if dice.below(40) == 0 { dice.words(2_000, 2_400) } else { dice.words(60, 300) };
        let mut body = json!({
            "issue": about, "label": { "id": 1, "name": "track" },
            "comment": { "id": at, "body": text, "user": account(login) },
            "repository": { "id": thread.repository, "full_name": format!("octo/{}", thread.repository), "owner": account("octo") },
            "sender": account(login), "installation": { "id": 42 },
        });
        if !action.is_empty() {
            body["action"] = action.into();
        }
        let body = Bytes::from(body.to_string());
        let source = if dice.below(50) == 0 { Source::Sweep } else { Source::Webhook };
        let sha256 = hex::encode(Sha256::digest(&body));
        let (id, event) = (id.to_owned(), event.to_owned());
        self.lanes.push(json!([id, format!("{}/{}", thread.repository, thread.number), at + 300]));
        self.deliveries.push(NewDelivery { id, event, body: body.into(), sha256, source, received_at: at });
    }

    /// A decision about a run.
    pub fn decide(
        &mut self,
        dice: &mut Dice,
        (delivery, repository, number, run): (&str, RepositoryId, Number, &RunId),
        (actor, verdict, reason): (Option<&str>, &str, &str),
        detail: &str,
        at: Millis,
    ) {
        // What the bot notes by itself belongs to no delivery.
        let delivery = actor.map(|_| delivery);
        let id = dice.ulid(at);
        self.decisions.push(json!([id, delivery, repository, number, run, actor, verdict, reason, detail, at]));
    }

    /// A decision of which nothing came.
    pub fn decide_alone(
        &mut self,
        dice: &mut Dice,
        (delivery, thread): (&str, &Thread),
        (actor, verdict, reason): (&str, &str, &str),
        detail: &str,
        at: Millis,
    ) {
        let (id, run) = (dice.ulid(at), Value::Null);
        let Thread { repository, number, .. } = thread;
        self.decisions.push(json!([id, delivery, repository, number, run, actor, verdict, reason, detail, at]));
    }

    /// Writes everything, in the order in which rows point at each other.
    pub async fn write(self, db: &Db) -> Result<()> {
        let mut tx = db.begin().await?;
        for repository in &self.repositories {
            track::db::repositories::upsert(&mut tx, repository, 1).await?;
        }
        insert(&mut tx, "thread (id, repository_id, number, created_at)", &self.threads).await?;
        let line = "line (id, thread_id, repository_id, branch, state, base_branch, pull_number, head_sha, created_at)";
        insert(&mut tx, line, &self.lines).await?;
        let run = "run (id, thread_id, line_id, repository_id, lane, kind, ask, requester_id, requester_login, agent, chosen_by, \
                   runner, status, outcome, reason, detail, queued_at, prepared_at, started_at, ended_at, done_at, allowed_at, \
                   limits, base_branch, given_sha, result_sha, pull_number, progress, usage, answer, feedback, automatic, discarded)";
        insert(&mut tx, run, &self.runs).await?;
        // As they came: deliveries are numbered in that order.
        let mut deliveries = self.deliveries;
        deliveries.sort_by(|a, b| (a.received_at, &a.id).cmp(&(b.received_at, &b.id)));
        for batch in deliveries.chunks(BATCH) {
            insert_all(&mut tx, batch).await?;
        }
        for batch in self.lanes.chunks(BATCH) {
            let sql = "update delivery set lane = value ->> 1, handled_at = value ->> 2, status = 'handled' \
                       from json_each($1) where delivery.id = value ->> 0";
            sqlx::query(sql).bind(serde_json::to_string(batch)?).execute(&mut *tx).await?;
        }
        let decision = "decision (id, delivery_id, repository_id, number, run_id, actor, verdict, reason, detail, at)";
        insert(&mut tx, decision, &self.decisions).await?;
        tx.commit().await?;
        db.catch_up().await?;
        Ok(())
    }
}

/// Inserts rows into the columns that `into` names.
async fn insert(conn: &mut track::db::Conn, into: &str, rows: &[Value]) -> Result<()> {
    let columns: Vec<String> = (0..=into.matches(',').count()).map(|n| format!("value ->> {n}")).collect();
    let sql = format!("insert into {into} select {} from json_each($1)", columns.join(", "));
    for batch in rows.chunks(BATCH) {
        let rows = serde_json::to_string(batch)?;
        sqlx::query(sqlx::AssertSqlSafe(sql.clone())).bind(rows).execute(&mut *conn).await?;
    }
    Ok(())
}

fn account(login: &str) -> Value {
    let urls: serde_json::Map<String, Value> = ["followers", "gists", "orgs", "repos", "events", "starred"]
        .map(|what| (format!("{what}_url"), format!("https://api.github.com/users/{login}/{what}").into()))
        .into_iter()
        .collect();
    json!({ "login": login, "id": 9_000 + login.len(), "type": "User", "urls": urls })
}

/// Numbers that look thrown and are the same each time (a linear congruence by Knuth).
pub(super) struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 24
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    pub fn ulid(&mut self, at: Millis) -> Ulid {
        Ulid::from_parts(at as u64, u128::from(self.next()) << 40 | u128::from(self.next()))
    }

    pub fn sha(&mut self) -> String {
        format!("{:040x}", u128::from(self.next()) << 80 | u128::from(self.next()) << 40 | u128::from(self.next()))
    }

    /// Prose of at least and less than so many words.
    pub fn words(&mut self, least: usize, most: usize) -> String {
        const WORDS: [&str; 32] = [
            "parser",
            "loses",
            "the",
            "last",
            "line",
            "when",
            "input",
            "ends",
            "without",
            "a",
            "newline",
            "error",
            "is",
            "thrown",
            "at",
            "version",
            "two",
            "of",
            "reproduce",
            "by",
            "calling",
            "it",
            "from",
            "cache",
            "request",
            "fails",
            "after",
            "login",
            "table",
            "index",
            "should",
            "not",
        ];
        let count = least + self.below(most - least);
        (0..count).map(|_| WORDS[self.below(WORDS.len())]).collect::<Vec<_>>().join(" ")
    }

    pub fn title(&mut self) -> String {
        const VERBS: [&str; 8] = ["Fix", "Add", "Remove", "Speed up", "Document", "Rename", "Test", "Split"];
        let verb = VERBS[self.below(VERBS.len())];
        format!("{verb} {}", self.words(3, 9))
    }

    pub fn usage(&mut self, priced: bool) -> Usage {
        let input_tokens = 20_000 + self.below(900_000) as u64;
        let output_tokens = 500 + self.below(30_000) as u64;
        let cached_tokens = input_tokens * (50 + self.below(45) as u64) / 100;
        let fresh = (input_tokens - cached_tokens) as f64;
        let cost = fresh * 3e-6 + cached_tokens as f64 * 3e-7 + output_tokens as f64 * 15e-6;
        Usage { input_tokens, cached_tokens, output_tokens, cost_usd: priced.then_some(cost) }
    }

    pub fn feedback(&mut self, pull: Number, at: Millis) -> Feedback {
        let comment = |dice: &mut Self| {
            let id = dice.next() as i64 >> 8;
            LineComment {
                id,
                root: id,
                at: at - MINUTE,
                author: Account { id: AccountId(9_000), login: PEOPLE[0].to_owned() },
                path: format!("src/{}.rs", dice.words(1, 2)),
                line: Some(1 + dice.below(300) as u32),
                left: false,
                diff_hunk: format!("@@ -1,3 +1,4 @@\n {}\n+{}", dice.words(5, 9), dice.words(5, 9)),
                text: dice.words(8, 40),
            }
        };
        let comments = vec![comment(self), comment(self)];
        Feedback { pull: Some(pull), reviews: Vec::new(), comments }
    }
}
