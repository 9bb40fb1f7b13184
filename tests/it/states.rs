//! Whatever anybody tries, a run moves as its table of moves says and its outcome stays what it was.

use proptest::prelude::*;
use track::config::Limits;
use track::db::runs::{Ending, NewRun, Run};
use track::db::{self, Db, runs};
use track::model::{
    Account, AccountId, Ask, InstallationId, Kind, Number, Outcome, Reason, Repository, RepositoryId, RunId, Status,
};

/// What somebody tries with a run.
#[derive(Clone, Debug)]
enum Attempt {
    Advance(Status, Status),
    Assign,
    End(Status, Outcome),
    Correct(Outcome),
    Cancel,
}

fn attempts() -> impl Strategy<Value = Vec<Attempt>> {
    let status = || prop::sample::select(Status::ALL);
    let outcome = || prop::sample::select(Outcome::ALL);
    let one = prop_oneof![
        4 => (status(), status()).prop_map(|(from, to)| Attempt::Advance(from, to)),
        2 => Just(Attempt::Assign),
        2 => (status(), outcome()).prop_map(|(from, outcome)| Attempt::End(from, outcome)),
        1 => outcome().prop_map(Attempt::Correct),
        1 => Just(Attempt::Cancel),
    ];
    prop::collection::vec(one, 1..60)
}

#[test]
fn no_sequence_of_writes_leaves_the_table_of_moves() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("track.db").display());
    let db = runtime.block_on(Db::open(&url)).unwrap();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig { cases: 150, ..ProptestConfig::default() });
    let number = std::cell::Cell::new(0);
    runner
        .run(&attempts(), |attempts| {
            number.set(number.get() + 1);
            runtime.block_on(play(&db, Number(number.get()), &attempts));
            Ok(())
        })
        .unwrap();
}

/// Plays attempts against one run and compares it after each with what the table of moves allows.
async fn play(db: &Db, number: Number, attempts: &[Attempt]) {
    let mut tx = db.begin().await.unwrap();
    let id = queued(&mut tx, number).await;
    let mut expected = (Status::Queued, None);
    for (at, attempt) in (1..).zip(attempts) {
        let (status, outcome) = expected;
        let moved = |from: Status, to: Status| from == status && from.can_become(to);
        let (ours, theirs) = match attempt {
            Attempt::Advance(from, to) => {
                // The schema itself lets nothing be over without an outcome (P5).
                let reported = *to != Status::Done || outcome.is_some();
                let next = (moved(*from, *to) && reported).then_some((*to, outcome));
                let written = runs::advance(&mut tx, id, *from, *to, at).await;
                assert!(written.is_ok() || !reported, "{written:?}");
                (next, written.unwrap_or(false))
            }
            Attempt::Assign => {
                let next = moved(Status::Queued, Status::Preparing).then_some((Status::Preparing, outcome));
                (next, runs::assign(&mut tx, id, "build-1", at).await.unwrap())
            }
            Attempt::End(from, ending) => {
                let next = moved(*from, Status::Publishing).then_some((Status::Publishing, Some(*ending)));
                (next, runs::end(&mut tx, id, *from, &with(*ending), at).await.unwrap())
            }
            Attempt::Correct(ending) => {
                runs::set_ending(&mut tx, id, &with(*ending)).await.unwrap();
                let corrects = status == Status::Publishing;
                (corrects.then_some((status, Some(*ending))), corrects)
            }
            Attempt::Cancel => {
                runs::request_cancel(&mut tx, id, "mona", at).await.unwrap();
                (None, false)
            }
        };
        assert_eq!(ours.is_some(), theirs, "{attempt:?} in {status}");
        expected = ours.unwrap_or(expected);
        let run = runs::get(&mut tx, id).await.unwrap();
        assert_eq!((run.status, run.outcome), expected, "after {attempt:?}");
        consistent(&run);
    }
    // What is not over goes on holding its lane.
    let (status, _) = expected;
    let thread = runs::get(&mut tx, id).await.unwrap().thread;
    let live = runs::live_of(&mut tx, thread, Kind::Task.lane()).await.unwrap();
    assert_eq!(live.is_some(), status.is_live());
    tx.commit().await.unwrap();
}

/// Times are there exactly where the run was.
fn consistent(run: &Run) {
    assert_eq!(run.done_at.is_some(), run.status == Status::Done);
    assert!(run.started_at.is_none() || run.prepared_at.is_some());
    assert!(run.status != Status::Running || run.started_at.is_some());
    assert!(!matches!(run.status, Status::Publishing | Status::Done) || run.ended_at.is_some());
    assert!(run.phase.is_none());
}

fn with(outcome: Outcome) -> Ending {
    Ending { outcome, reason: Reason::Internal, detail: String::new() }
}

async fn queued(conn: &mut db::Conn, number: Number) -> RunId {
    let repository =
        Repository { id: RepositoryId(1), installation: Some(InstallationId(1)), name: "octo/hello".parse().unwrap() };
    db::repositories::upsert(&mut *conn, &repository, 0).await.unwrap();
    let thread = db::threads::ensure(&mut *conn, repository.id, number, 0).await.unwrap();
    let run = NewRun {
        id: RunId::new(),
        thread: thread.id,
        line: None,
        repository: repository.id,
        ask: Ask {
            kind: Kind::Task,
            title: String::new(),
            body: String::new(),
            author: String::new(),
            instructions: String::new(),
            base: None,
            fresh: false,
            requester: Account { id: AccountId(7), login: "mona".into() },
            pin: None,
            told_on: None,
            unposted: false,
        },
        retry_of: None,
        agent: "codex".into(),
        chosen_by: "default_agent".into(),
        model: None,
        profile: None,
        wanted_runner: None,
        limits: Limits::default(),
        allowed_at: 0,
        automatic: false,
    };
    runs::insert(conn, &run, 0).await.unwrap();
    run.id
}
