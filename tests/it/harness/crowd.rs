//! A database as it is after months: thousands of runs with everything around them, the same at every call, so that pages can be measured and looked at.
//!
//! Rows are written as plain SQL, a statement for hundreds of them; what columns beside the JSON are for, the bot derives by itself
//! when it opens the database.

mod rows;

use anyhow::Result;
use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use track::config::Limits;
use track::db::Db;
use track::db::deliveries::{NewDelivery, Source, insert_all};
use track::model::{
    Account, AccountId, Ask, Feedback, InstallationId, Kind, LineComment, LineId, Millis, Number, Pin, RepoName,
    Repository, RepositoryId, RunId, ThreadId, Usage,
};
use ulid::Ulid;

use rows::{Dice, Rows};

const MINUTE: Millis = 60_000;
const DAY: Millis = 24 * 60 * MINUTE;
/// Rows in one statement.
const BATCH: usize = 500;
const PEOPLE: [&str; 15] = [
    "mona", "octocat", "hubot", "ada", "grace", "linus", "margaret", "dennis", "barbara", "ken", "radia", "edsger",
    "frances", "donald", "jean",
];
const RUNNERS: [&str; 6] = ["build-1", "build-2", "build-3", "gpu-1", "lab-1", "lab-2"];
const HOSTILE: &str = "<script>alert('title')</script><img src=x onerror=alert(1)> \"quoted\" & 'more' {{7*7}}";
const IGNORED: [(&str, &str, &str); 4] = [
    ("no_command", "issue_comment", "the comment has no command"),
    ("bot", "issue_comment", "the bot wrote it itself"),
    ("other_label", "issues", "the label is not one of track's"),
    ("not_used", "push", "push events start nothing"),
];

/// How large a crowd is.
#[derive(Clone, Copy, Debug)]
pub struct Crowd {
    /// Where the made-up values begin.
    pub seed: u64,
    /// Runs, on so many threads in so many repositories.
    pub runs: usize,
    pub threads: usize,
    pub repositories: usize,
    /// Deliveries for each run of which nothing comes, beside the one that asks for it.
    pub idle_deliveries: usize,
    /// The newest of so many threads are live; a bot that works would take these up.
    pub live: usize,
    /// The days over which all of it is spread, up to now.
    pub days: i64,
}

impl Default for Crowd {
    fn default() -> Self {
        Self { seed: 1, runs: 10_000, threads: 2_000, repositories: 20, idle_deliveries: 2, live: 24, days: 120 }
    }
}

impl Crowd {
    /// One that is made in a moment.
    pub fn small() -> Self {
        Self { runs: 300, threads: 60, repositories: 5, days: 100, ..Self::default() }
    }

    /// Fills an open database with it; the newest of it happened just before `now`.
    pub async fn fill(self, db: &Db, now: Millis) -> Result<()> {
        let mut rows = Rows::default();
        let mut dice = Dice(self.seed);
        let mut threads = self.threads(&mut rows, &mut dice, now);
        for n in 0..self.runs {
            self.run(n, &mut threads, &mut rows, &mut dice, now)?;
        }
        rows.write(db).await
    }

    fn repository(n: usize) -> (RepositoryId, RepoName) {
        let names = ["parser", "website", "api", "mobile", "infra", "docs", "search", "billing", "auth", "tools"];
        let name = format!("{}{}", names[n % names.len()], if n < names.len() { "" } else { "-next" });
        (RepositoryId(700_000 + n as i64), RepoName { owner: "octo".to_owned(), name })
    }

    fn threads(&self, rows: &mut Rows, dice: &mut Dice, now: Millis) -> Vec<Thread> {
        for n in 0..self.repositories {
            let (id, name) = Self::repository(n);
            rows.repositories.push(Repository { id, installation: Some(InstallationId(42)), name });
        }
        let make = |n: usize| {
            let (repository, _) = Self::repository(dice.below(self.repositories));
            let number = Number(1 + n as i64);
            let at = now - self.days * DAY * (self.threads - n) as i64 / self.threads as i64;
            let id = ThreadId(dice.ulid(at));
            rows.threads.push(json!([id, repository, number, at]));
            let title = if n % 97 == 3 { HOSTILE.to_owned() } else { dice.title() };
            let text = dice.words(40, 220);
            Thread { id, repository, number, title, text, line: None, runs: 0 }
        };
        (0..self.threads).map(make).collect()
    }

    /// Runs follow each other, and those of a thread are near to each other.
    fn thread_of(&self, n: usize, dice: &mut Dice) -> usize {
        let each = self.runs.div_ceil(self.threads);
        // Every thread has its first run in its place; the others wander a little.
        if n.is_multiple_of(each) { n / each } else { (n / each).saturating_sub(dice.below(12)) }.min(self.threads - 1)
    }

    fn run(&self, n: usize, threads: &mut [Thread], rows: &mut Rows, dice: &mut Dice, now: Millis) -> Result<()> {
        let thread = &mut threads[self.thread_of(n, dice)];
        // The newest of some threads are live, each the first of its thread, so that no lane has two.
        let live = thread.runs == 0 && n * 100 >= self.runs * 90 && rows.live < self.live;
        let kind = match (thread.runs, dice.below(100)) {
            _ if live => Kind::Task,
            (0, 0..15) | (_, 0..20) => Kind::Review,
            (0, _) | (_, 20..40) => Kind::Task,
            _ if thread.line.is_none() => Kind::Task,
            _ => Kind::FollowUp,
        };
        thread.runs += 1;
        let queued_at = now - 2 * MINUTE - self.days * DAY * (self.runs - n) as i64 / self.runs as i64;
        let queued_at = if live { now - 20 * MINUTE + rows.live as i64 * MINUTE / 2 } else { queued_at };
        let id = RunId(dice.ulid(queued_at));
        let pull = Number(10_000 + thread.number.0);
        let line = (kind != Kind::Review).then(|| thread.line(rows, dice, queued_at, n * 100 < self.runs * 90));
        let person = dice.below(PEOPLE.len()) * dice.below(PEOPLE.len()) / PEOPLE.len();
        let requester = Account { id: AccountId(9_000 + person as i64), login: PEOPLE[person].to_owned() };
        let agent = ["codex", "codex", "codex", "codex", "codex", "claude", "claude", "claude", "claude", "scripted"]
            [dice.below(10)];
        let ending = Ending::of(dice.below(100), kind);
        let ask = Ask {
            kind,
            title: thread.title.clone(),
            body: thread.text.clone(),
            author: PEOPLE[dice.below(PEOPLE.len())].to_owned(),
            instructions: if kind == Kind::Task { String::new() } else { dice.words(5, 30) },
            base: None,
            fresh: false,
            requester: requester.clone(),
            pin: (kind == Kind::Review).then(|| Pin {
                pull,
                head: dice.sha().parse().expect("a commit id"),
                base: "main".to_owned(),
                prompt: None,
                replaces: None,
            }),
            told_on: None,
            unposted: false,
        };
        let waited = dice.below(90) as i64 * 1_000;
        let worked = (60 + dice.below(1_800)) as i64 * 1_000;
        let (prepared, started) = (queued_at + waited, queued_at + waited + 3_000);
        let ended = started + worked;
        let usage = (agent != "scripted").then(|| dice.usage(agent == "claude"));
        let feedback = (kind == Kind::FollowUp).then(|| dice.feedback(pull, queued_at));
        let answer = answer(kind, ending.status, &dice.words(30, 120), &thread.title);
        let status = ["running", "running", "preparing", "queued", "queued", "running"][rows.live % 6];
        let runner = RUNNERS[dice.below(RUNNERS.len())];
        let reached = |wanted: &str| !live || status == wanted || (wanted == "preparing" && status == "running");
        let over = |value: Value| if live { Value::Null } else { value };
        let done = ended + 4_000;
        let delivered = format!("{:08x}-0000-4000-8000-{n:012x}", dice.next() as u32);
        rows.delivery(&delivered, ("issues", "labeled"), thread, (&requester.login, queued_at - 400), dice);
        let about = (delivered.as_str(), thread.repository, thread.number, &id);
        rows.decide(
            dice,
            about,
            (Some(&requester.login), "accepted", "queued"),
            "a run is queued for an agent",
            queued_at,
        );
        rows.decide(dice, about, (None, "noted", "assigned"), &format!("{runner} has a free slot"), prepared);
        rows.decide(dice, about, (None, "noted", "notified"), "the requester was told that it began", started);
        if !live {
            rows.decide(dice, about, (None, "noted", ending.reason), ending.detail, ended);
            rows.decide(dice, about, (None, "noted", "notified"), "the requester was told how it ended", done);
        }
        for idle in 0..self.idle_deliveries {
            let refused = dice.below(60) == 0;
            let (reason, event, detail) = IGNORED[dice.below(IGNORED.len())];
            let at = queued_at - 30_000 - idle as i64 * 45_000;
            let login = PEOPLE[dice.below(PEOPLE.len())];
            let delivered = format!("{:08x}-{idle:04x}-4000-8000-{n:012x}", dice.next() as u32);
            rows.delivery(&delivered, (event, if event == "push" { "" } else { "created" }), thread, (login, at), dice);
            let (verdict, reason, detail) = match refused {
                true => ("refused", "already_live", "A run is still running here. Wait for it, or cancel it first."),
                false => ("ignored", reason, detail),
            };
            rows.decide_alone(dice, (delivered.as_str(), &*thread), (login, verdict, reason), detail, at + 300);
        }
        rows.live += usize::from(live);
        rows.runs.push(json!([
            id,
            thread.id,
            line,
            thread.repository,
            kind.lane().as_str(),
            kind.as_str(),
            serde_json::to_string(&ask)?,
            requester.id,
            requester.login,
            agent,
            "default",
            (reached("preparing") || reached("running")).then_some(runner),
            if live { status } else { "done" },
            over(json!(ending.outcome)),
            over(json!(ending.reason)),
            over(json!(ending.detail)),
            queued_at,
            reached("preparing").then_some(prepared),
            reached("running").then_some(started),
            over(json!(ended)),
            over(json!(done)),
            queued_at,
            serde_json::to_string(&Limits::default())?,
            "main",
            dice.sha(),
            over(json!(dice.sha())),
            over(json!((ending.outcome == "succeeded" && kind != Kind::Review).then_some(pull))),
            dice.words(6, 14),
            usage.filter(|_| reached("running")).map(|usage| serde_json::to_string(&usage)).transpose()?,
            over(json!(answer.to_string())),
            feedback.map(|feedback| serde_json::to_string(&feedback)).transpose()?,
            i64::from(kind == Kind::FollowUp),
            i64::from(!live && n % 211 == 5),
        ]));
        Ok(())
    }
}

struct Thread {
    id: ThreadId,
    repository: RepositoryId,
    number: Number,
    title: String,
    text: String,
    line: Option<LineId>,
    runs: usize,
}

impl Thread {
    /// The thread's line of work, opened at its first task.
    fn line(&mut self, rows: &mut Rows, dice: &mut Dice, at: Millis, old: bool) -> LineId {
        let Self { id: thread, repository, number, .. } = *self;
        *self.line.get_or_insert_with(|| {
            let id = LineId(dice.ulid(at));
            let state = if !old { "open" } else { ["merged", "merged", "merged", "closed", "open"][dice.below(5)] };
            let pull = 10_000 + number.0;
            rows.lines.push(json!([id, thread, repository, id.branch(number), state, "main", pull, dice.sha(), at]));
            id
        })
    }
}

/// How a run ended.
struct Ending {
    outcome: &'static str,
    reason: &'static str,
    detail: &'static str,
    status: &'static str,
}

impl Ending {
    fn of(chance: usize, kind: Kind) -> Self {
        let (outcome, reason, detail, status) = match chance {
            0..74 if kind == Kind::Review => ("succeeded", "reviewed", "", "succeeded"),
            0..74 => ("succeeded", "changes", "", "succeeded"),
            74..79 => ("succeeded", "no_changes", "", "succeeded"),
            79..86 => ("failed", "agent_failed", "The tests do not build on this machine.", "failed"),
            86..89 => ("failed", "push_refused", "GitHub says: protected branch hook declined", "succeeded"),
            89..93 => ("blocked", "agent_blocked", "It needs a decision about the format.", "blocked"),
            93..96 => ("canceled", "canceled", "mona ended it", "failed"),
            96..98 => ("timed_out", "wall_clock", "120 minutes", "failed"),
            _ => ("lost", "runner_unreachable", "24 hours", "failed"),
        };
        Self { outcome, reason, detail, status }
    }
}

fn answer(kind: Kind, status: &str, summary: &str, title: &str) -> Value {
    match kind {
        Kind::Review => json!({ "status": status, "summary": summary, "body": summary, "findings": [], "notes": null }),
        _ => json!({
            "status": status, "summary": summary, "pull_request_title": title, "pull_request_body": summary,
            "notes": null, "replies": [],
        }),
    }
}
