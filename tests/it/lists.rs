//! Lists and sums over a database as it is after months.

use track::db::Db;

use crate::harness::crowd::Crowd;

const NOW: i64 = 1_790_000_000_000;

async fn crowded(crowd: Crowd) -> (Db, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let db = Db::open(&format!("sqlite://{}", folder.path().join("track.db").display())).await.unwrap();
    crowd.fill(&db, NOW).await.unwrap();
    (db, folder)
}

/// Makes a large one to look at: `TRACK_CROWD=/tmp/crowd.db cargo nextest run --run-ignored only -E 'test(crowd_to_look_at)'`.
#[tokio::test]
#[ignore = "makes a database for people"]
async fn a_crowd_to_look_at() {
    let path = std::env::var("TRACK_CROWD").expect("TRACK_CROWD names the file");
    let now = track::model::Clock::System.now();
    let db = Db::open(&format!("sqlite://{path}")).await.unwrap();
    Crowd::default().fill(&db, now).await.unwrap();
    db.close().await;
}

#[tokio::test]
async fn the_crowd_is_the_same_each_time_and_every_row_can_be_read() {
    let (one, _folder) = crowded(Crowd::small()).await;
    let (other, _folder) = crowded(Crowd::small()).await;
    let filter = track::db::runs::Filter { repo: None, number: None, limit: 1_000 };
    let runs = track::db::runs::filtered(&mut one.read().await.unwrap(), &filter).await.unwrap();
    let again = track::db::runs::filtered(&mut other.read().await.unwrap(), &filter).await.unwrap();
    assert_eq!(format!("{runs:?}"), format!("{again:?}"));
    assert!(runs.len() > 290, "{}", runs.len());
    assert!(runs.iter().filter(|run| run.status.is_live()).count() > 3);
}
