//! Lists and sums over a database as it is after months.

use std::collections::HashSet;

use track::db::delivery_list::{Body, Listed as Delivery};
use track::db::run_list::{Filter, Listed, State};
use track::db::runs::Run;
use track::db::{Conn, Db, Page, Turn, audit, delivery_list, run_list, runs, usage};
use track::model::{Clock, Kind, Millis, Outcome, RepositoryId};

use crate::harness::crowd::Crowd;

const NOW: Millis = 1_790_000_000_000;

async fn crowded() -> (Db, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let db = Db::open(&format!("sqlite://{}", folder.path().join("track.db").display())).await.unwrap();
    Crowd::small().fill(&db, NOW).await.unwrap();
    (db, folder)
}

/// Makes a large one to look at: `TRACK_CROWD=/tmp/crowd.db cargo nextest run --run-ignored only -E 'test(a_crowd_to_look_at)'`.
#[tokio::test]
#[ignore = "makes a database for people"]
async fn a_crowd_to_look_at() {
    let path = std::env::var("TRACK_CROWD").expect("TRACK_CROWD names the file");
    let db = Db::open(&format!("sqlite://{path}")).await.unwrap();
    Crowd::default().fill(&db, Clock::System.now()).await.unwrap();
    db.close().await;
}

/// Every run, newest first, from its whole row.
async fn all(conn: &mut Conn) -> Vec<Run> {
    runs::filtered(conn, &runs::Filter { repo: None, number: None, limit: 10_000 }).await.unwrap()
}

#[tokio::test]
async fn the_crowd_is_the_same_each_time_and_every_row_can_be_read() {
    let ((one, _folder), (other, _other_folder)) = (crowded().await, crowded().await);
    let runs = all(&mut one.read().await.unwrap()).await;
    let again = all(&mut other.read().await.unwrap()).await;
    assert_eq!(format!("{runs:?}"), format!("{again:?}"));
    assert!(runs.len() > 290, "{}", runs.len());
    assert!(runs.iter().filter(|run| run.status.is_live()).count() > 3);
}

/// All pages, one after the other, and back again from the last one.
async fn walk<T, K, F>(mut page: F, key: impl Fn(&T) -> K) -> Vec<K>
where
    K: PartialEq + Clone + std::fmt::Debug,
    F: AsyncFnMut(Turn<K>) -> Page<T>,
{
    let mut keys = Vec::new();
    let mut turn = Turn::Newest;
    loop {
        let Page { rows, newer, older } = page(turn).await;
        assert_eq!(newer, !keys.is_empty());
        keys.extend(rows.iter().map(&key));
        match keys.last() {
            Some(last) if older => turn = Turn::Older(last.clone()),
            _ => break,
        }
    }
    let mut back: Vec<K> = keys.last().cloned().into_iter().collect();
    while let Some(first) = back.first().cloned() {
        let Page { rows, newer, .. } = page(Turn::Newer(first)).await;
        back.splice(0..0, rows.iter().map(&key));
        if !newer {
            break;
        }
    }
    assert_eq!(back, keys, "both ways show the same");
    keys
}

#[tokio::test]
async fn a_list_of_runs_shows_what_its_filter_says_page_by_page() {
    let (db, _folder) = crowded().await;
    let mut conn = db.read().await.unwrap();
    let runs = all(&mut conn).await;
    let two: Vec<RepositoryId> = vec![RepositoryId(700_000), RepositoryId(700_003)];
    let some = &runs[40];
    type Case<'a> = (Filter, Box<dyn Fn(&Run) -> bool + 'a>);
    let filters: Vec<Case<'_>> = vec![
        (Filter::default(), Box::new(|_| true)),
        (Filter { within: Some(vec![]), ..Filter::default() }, Box::new(|_| false)),
        (
            Filter { within: Some(two.clone()), agent: Some("codex".to_owned()), ..Filter::default() },
            Box::new(|run| two.contains(&run.repository) && run.agent == "codex"),
        ),
        (
            Filter { within: Some(two.clone()), repository: Some(RepositoryId(700_001)), ..Filter::default() },
            Box::new(|_| false),
        ),
        (
            Filter { runner: Some("build-1".to_owned()), kind: Some(Kind::Review), ..Filter::default() },
            Box::new(|run| run.runner.as_deref() == Some("build-1") && run.kind == Kind::Review),
        ),
        (
            Filter { requester: Some("MONA".to_owned()), ..Filter::default() },
            Box::new(|run| run.ask.requester.login == "mona"),
        ),
        (Filter { state: Some(State::Live), ..Filter::default() }, Box::new(|run| run.status.is_live())),
        (
            Filter { state: Some(State::Ended(Outcome::Failed)), ..Filter::default() },
            Box::new(|run| run.outcome == Some(Outcome::Failed)),
        ),
        (
            Filter { from: Some(some.queued_at), until: Some(runs[10].queued_at), ..Filter::default() },
            Box::new(|run| (some.queued_at..runs[10].queued_at).contains(&run.queued_at)),
        ),
        (
            Filter { words: Some("<SCRIPT>  alert('TITLE')".to_owned()), ..Filter::default() },
            Box::new(|run| run.ask.title.contains("<script>")),
        ),
        (Filter { words: Some("100%_of".to_owned()), ..Filter::default() }, Box::new(|_| false)),
    ];
    for (filter, wanted) in filters {
        let page = async |turn| run_list::page(&mut conn, &filter, turn, 7).await.unwrap();
        let shown: Vec<_> = walk(page, Listed::key).await;
        let wanted: Vec<_> = runs.iter().filter(|run| wanted(run)).map(|run| (run.queued_at, run.id)).collect();
        assert_eq!(shown, wanted, "{filter:?}");
    }
    let of_one = async |words: String| {
        let filter = Filter { words: Some(words), ..Filter::default() };
        run_list::page(&mut db.read().await.unwrap(), &filter, Turn::Newest, 100).await.unwrap().rows
    };
    let with_branch = run_list::page(&mut conn, &Filter::default(), Turn::Newest, 100).await.unwrap().rows;
    let with_branch = with_branch.iter().find(|run| run.branch.is_some()).unwrap();
    let found = of_one(with_branch.branch.clone().unwrap()).await;
    assert!(
        found.iter().any(|run| run.id == with_branch.id) && found.iter().all(|run| run.thread == with_branch.thread)
    );
    assert!(of_one(format!("#{} ", with_branch.number)).await.iter().any(|run| run.id == with_branch.id));
}

#[tokio::test]
async fn what_was_discarded_is_listed_no_longer_and_still_counted() {
    let (db, _folder) = crowded().await;
    let mut conn = db.read().await.unwrap();
    let listed = run_list::page(&mut conn, &Filter::default(), Turn::Newest, 10_000).await.unwrap().rows.len();
    let filter = usage::Filter { period: (0, Millis::MAX), ..usage::Filter::default() };
    let counted = usage::spent(&mut conn, &filter).await.unwrap().len();
    assert_eq!((counted, counted > listed), (Crowd::small().runs, true));
}

// B71
#[tokio::test]
async fn what_is_counted_is_what_the_rows_say() {
    let (db, _folder) = crowded().await;
    let mut conn = db.read().await.unwrap();
    let runs = all(&mut conn).await;
    let repository = runs[3].repository;
    let period = (NOW - 40 * 24 * 3_600_000, NOW);
    let filter = usage::Filter {
        period,
        within: Some(vec![repository, RepositoryId(1)]),
        repository: Some(repository),
        agent: Some("claude".to_owned()),
        ..usage::Filter::default()
    };
    let spent = usage::spent(&mut conn, &filter).await.unwrap();
    let wanted: Vec<&Run> = runs
        .iter()
        .filter(|run| run.repository == repository && run.agent == "claude")
        .filter(|run| (period.0..period.1).contains(&run.queued_at))
        .collect();
    assert!(wanted.len() > 3);
    assert_eq!(spent.len(), wanted.len());
    for run in wanted {
        let same = spent.iter().find(|spent| spent.queued_at == run.queued_at).unwrap();
        let said = run.usage.unwrap_or_default();
        assert_eq!((same.tokens_in, same.tokens_out), (said.input_tokens as i64, said.output_tokens as i64));
        assert_eq!(same.cost, said.cost_micro());
        assert_eq!((same.outcome, same.requester), (run.outcome, run.ask.requester.id));
        assert_eq!(same.agent_time, run.ended_at.zip(run.started_at).map(|(end, start)| end - start));
        let brought = run.kind == Kind::Task && run.outcome == Some(Outcome::Succeeded) && run.pull.is_some();
        assert_eq!(same.to_pull, run.done_at.filter(|_| brought).map(|done| done - run.queued_at));
    }
    let mine = usage::Filter { requester: Some(runs[0].ask.requester.id), login: None, agent: None, ..filter };
    let mine = usage::spent(&mut conn, &mine).await.unwrap();
    assert!(mine.iter().all(|spent| spent.requester == runs[0].ask.requester.id));
    let login = usage::logins(&mut conn, &[runs[0].ask.requester.id]).await.unwrap();
    assert_eq!(login, [(runs[0].ask.requester.id, runs[0].ask.requester.login.clone())]);
}

#[tokio::test]
async fn the_inbox_shows_what_waits_among_what_was_handled() {
    let (db, _folder) = crowded().await;
    let mut tx = db.begin().await.unwrap();
    sqlx::query("update delivery set status = 'new', error = 'GitHub is away', tries = 2 where seq % 50 = 0")
        .execute(&mut *tx)
        .await
        .unwrap();
    sqlx::query("update delivery set status = 'quarantined' where seq % 50 = 1").execute(&mut *tx).await.unwrap();
    sqlx::query("update delivery set body = x'', coding = 'plain' where seq = 10").execute(&mut *tx).await.unwrap();
    sqlx::query("update delivery set sha256 = 'x' where seq = 11").execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    let mut conn = db.read().await.unwrap();
    type Wanted = fn(&Delivery) -> bool;
    let filter = delivery_list::Filter::default;
    let everything = delivery_list::page(&mut conn, &filter(), Turn::Newest, 10_000).await.unwrap().rows;
    assert_eq!(everything.len(), 900);
    let filters: [(delivery_list::Filter, Wanted); 6] = [
        (filter(), |_| true),
        (delivery_list::Filter { event: Some("push".to_owned()), ..filter() }, |delivery| delivery.event == "push"),
        (delivery_list::Filter { repository: Some(RepositoryId(700_001)), ..filter() }, |delivery| {
            delivery.about.0 == Some(RepositoryId(700_001))
        }),
        (delivery_list::Filter { state: Some(delivery_list::State::New), ..filter() }, |delivery| {
            delivery.state == delivery_list::State::New
        }),
        (delivery_list::Filter { state: Some(delivery_list::State::Quarantined), ..filter() }, |delivery| {
            delivery.state == delivery_list::State::Quarantined
        }),
        (delivery_list::Filter { source: Some(track::db::deliveries::Source::Sweep), ..filter() }, |delivery| {
            delivery.source == track::db::deliveries::Source::Sweep
        }),
    ];
    for (filter, wanted) in filters {
        let page = async |turn| delivery_list::page(&mut conn, &filter, turn, 37).await.unwrap();
        let shown = walk(page, Delivery::key).await;
        let wanted: Vec<_> = everything.iter().filter(|delivery| wanted(delivery)).map(Delivery::key).collect();
        assert!(!wanted.is_empty());
        assert_eq!(shown, wanted, "{filter:?}");
    }
    for verdict in audit::VERDICTS {
        let filter = delivery_list::Filter { verdict: Some(verdict.to_owned()), ..filter() };
        let shown = delivery_list::page(&mut conn, &filter, Turn::Newest, 1_000).await.unwrap().rows;
        let ids: Vec<String> = shown.iter().map(|delivery| delivery.id.clone()).collect();
        let decisions = audit::of_deliveries(&mut conn, &ids).await.unwrap();
        let so: HashSet<&str> = decisions
            .iter()
            .filter(|decision| decision.shown.verdict == verdict)
            .filter_map(|decision| decision.delivery.as_ref().map(|(id, _)| id.as_str()))
            .collect();
        assert_eq!((so.len(), shown.is_empty()), (ids.len(), verdict == "noted"), "{verdict}");
    }
    let body = async |seq| delivery_list::get(&mut db.read().await.unwrap(), seq).await.unwrap().unwrap().body;
    assert_eq!((body(10).await, body(11).await), (Body::Forgotten, Body::Damaged));
    assert!(matches!(body(12).await, Body::Whole(body) if body.starts_with(b"{")));
    assert_eq!(delivery_list::waiting(&mut conn).await.unwrap(), (18, 18));
}

#[tokio::test]
async fn the_audit_goes_through_every_decision() {
    let (db, _folder) = crowded().await;
    let mut conn = db.read().await.unwrap();
    let everything = audit::page(&mut conn, &audit::Filter::default(), Turn::Newest, 10_000).await.unwrap().rows;
    assert!(everything.len() > 2_000);
    let some = audit::Filter::default;
    type Case = (audit::Filter, fn(&audit::Recorded) -> bool);
    let filters: [Case; 4] = [
        (some(), |_| true),
        (audit::Filter { verdict: Some("refused".to_owned()), ..some() }, |one| one.shown.verdict == "refused"),
        (audit::Filter { actor: Some("Mona".to_owned()), reason: Some("queued".to_owned()), ..some() }, |one| {
            one.shown.actor.as_deref() == Some("mona") && one.shown.reason == "queued"
        }),
        (
            audit::Filter { repository: Some(RepositoryId(700_002)), until: Some(NOW - 1_000_000_000), ..some() },
            |one| one.repository.as_ref().is_some_and(|name| name.name == "api") && one.shown.at < NOW - 1_000_000_000,
        ),
    ];
    for (filter, wanted) in filters {
        let page = async |turn| audit::page(&mut conn, &filter, turn, 61).await.unwrap();
        let shown = walk(page, audit::Recorded::key).await;
        let wanted: Vec<_> = everything.iter().filter(|one| wanted(one)).map(audit::Recorded::key).collect();
        assert!(!wanted.is_empty());
        assert_eq!(shown, wanted, "{filter:?}");
    }
    assert!(everything.iter().all(|one| one.thread.is_some() && one.repository.is_some()));
}
