//! Whatever happens in whatever order, every review by a main user ends in exactly one follow-up or in one stated reason (B22 to B25).

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use sqlx::Row as _;

use crate::harness::{MAINTAINER, REPO, World};

/// Something that happens.
#[derive(Clone, Copy, Debug)]
enum Act {
    /// A review with a text, comments on lines, both, or a lone comment.
    Review {
        text: bool,
        comments: usize,
    },
    /// Somebody asks in so many words.
    Followup,
    /// Automatic follow-ups off and on again.
    Pause,
    Resume,
    Cancel,
    /// Agents may finish, or have to wait.
    Open,
    Close,
    /// The bot stops and starts again.
    Restart,
    /// A minute passes.
    Minute,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let one = prop_oneof![
        4 => (any::<bool>(), 0..3usize).prop_map(|(text, comments)| Act::Review { text, comments }),
        1 => Just(Act::Followup),
        1 => Just(Act::Pause),
        1 => Just(Act::Resume),
        1 => Just(Act::Cancel),
        1 => Just(Act::Open),
        1 => Just(Act::Close),
        1 => Just(Act::Restart),
        2 => Just(Act::Minute),
    ];
    prop::collection::vec(one, 4..12)
}

#[test]
fn every_review_is_answered_by_one_follow_up_or_one_reason() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    let mut runner =
        TestRunner::new(Config { cases: 6, max_shrink_iters: 20, failure_persistence: None, ..Config::default() });
    runner
        .run(&acts(), |acts| {
            let wrong = runtime.block_on(play(&acts));
            prop_assert!(wrong.is_empty(), "{acts:?}\n{wrong:#?}");
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
}

/// Plays the acts and lets everything settle; answers the reviews that ended otherwise than they should.
async fn play(acts: &[Act]) -> Vec<String> {
    let mut world = World::with(|config| {
        config.limits.followups_per_day = 3;
        config.limits.runs_per_user_hour = 1000;
    })
    .await;
    world.agent(r#"commit hello.txt hello "feat: say hello"; answer succeeded "Said hello." "feat: say hello""#);
    world.work_on("Say hello", "").await;
    let pull = world.sim.pulls(REPO)[0].number;
    world.agent(r#"await open; commit "f-$TRACK_RUN_ID" x "feat: x"; answer_all answered "Did.""#);
    world.signal("open");
    let mut reviews = Vec::new();
    for act in acts {
        match act {
            Act::Review { text: false, comments: 0 } => {
                world.sim.line_comment(REPO, MAINTAINER, pull, "hello.txt", 1, "Lone.").await.expect("a comment");
            }
            Act::Review { text, comments } => {
                let lines: Vec<_> = (0..*comments).map(|_| ("hello.txt", 1, "Here.")).collect();
                let text = if *text { "Do more." } else { "" };
                let review = world.sim.review(REPO, MAINTAINER, pull, "COMMENTED", text, &lines).await;
                reviews.push(review.expect("a review"));
            }
            Act::Followup => drop(world.comment(MAINTAINER, pull, "/track followup more").await),
            Act::Pause => drop(world.comment(MAINTAINER, pull, "/track pause").await),
            Act::Resume => drop(world.comment(MAINTAINER, pull, "/track resume").await),
            Act::Cancel => drop(world.comment(MAINTAINER, pull, "/track cancel").await),
            Act::Open => world.signal("open"),
            Act::Close => world.unsignal("open"),
            Act::Restart => {
                world.stop().await;
                world.start().await;
            }
            Act::Minute => world.pass(60_000),
        }
        world.sim.settled().await;
    }
    world.signal("open");
    world.comment(MAINTAINER, pull, "/track resume").await;
    world.settle_soon().await;
    world.pass(60_000);
    world.settle_soon().await;
    endings(&world, &reviews).await
}

async fn endings(world: &World, reviews: &[i64]) -> Vec<String> {
    let mut conn = world.db().read().await.expect("the database");
    let rows = sqlx::query(
        "select trigger.key, trigger.waiting, (trigger.run_id is not null) as run, (select count(*) from decision \
         where decision.trigger_key = trigger.key and decision.verdict in ('refused', 'ignored') and decision.reason <> 'repeated') as reasons \
         from trigger where trigger.key like 'review:%'",
    )
    .fetch_all(&mut *conn)
    .await
    .expect("triggers");
    let mut wrong = Vec::new();
    for row in &rows {
        let key: String = row.get("key");
        let (waiting, run, reasons): (i64, i64, i64) = (row.get("waiting"), row.get("run"), row.get("reasons"));
        if waiting != 0 || run + reasons.min(1) != 1 || reasons > 1 {
            wrong.push(format!("{key}: waiting {waiting}, run {run}, reasons {reasons}"));
        }
    }
    for review in reviews {
        let key = format!("review:{review}");
        if !rows.iter().any(|row| row.get::<String, _>("key") == key) {
            wrong.push(format!("{key}: never kept"));
        }
    }
    wrong
}
