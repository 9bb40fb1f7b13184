//! Whatever happens in whatever order, nothing that a main user says in a review is lost and nothing is answered twice (B22 to B25).

use std::collections::HashMap;

use futures_util::future::join_all;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use sqlx::Row as _;
use track::db::runs::Run;
use track::model::{Feedback, LineState, Number, Outcome, RunId};
use track::sim::PullSnapshot;

use crate::harness::{MAINTAINER, REPO, World};

/// Something that happens.
#[derive(Clone, Copy, Debug)]
enum Act {
    /// A review with a text, comments on lines, both, or a lone comment.
    Review {
        text: bool,
        comments: usize,
    },
    /// The same with a command in it.
    Asking,
    /// Somebody asks in so many words.
    Followup,
    Fresh,
    Dispatch,
    Retry,
    /// Automatic follow-ups off and on again.
    Pause,
    Resume,
    Cancel,
    /// What becomes of the pull request.
    Merge,
    Shut,
    Reopen,
    /// Agents may finish, or have to wait.
    Open,
    Close,
    /// From now on they fail, or do as they are told.
    Fail,
    Work,
    /// The bot stops and starts again.
    Restart,
    /// Time passes.
    Minute,
    Hour,
}

const REVIEWS: &[Act] = &[
    Act::Review { text: false, comments: 0 },
    Act::Review { text: true, comments: 0 },
    Act::Review { text: true, comments: 1 },
    Act::Review { text: false, comments: 2 },
];
const OTHERS: &[Act] = &[
    Act::Asking,
    Act::Followup,
    Act::Fresh,
    Act::Dispatch,
    Act::Retry,
    Act::Pause,
    Act::Resume,
    Act::Cancel,
    Act::Merge,
    Act::Shut,
    Act::Reopen,
    Act::Open,
    Act::Close,
    Act::Fail,
    Act::Work,
    Act::Restart,
    Act::Minute,
    Act::Hour,
];

const LONE: Act = Act::Review { text: false, comments: 0 };
const BOTH: Act = Act::Review { text: true, comments: 1 };
/// What is played every time: feedback waits while something takes its ground away.
const ALWAYS: &[&[Act]] = &[
    &[LONE, Act::Fresh],
    &[Act::Close, Act::Dispatch, BOTH, Act::Merge, Act::Open],
    &[Act::Fail, Act::Asking, Act::Shut, Act::Retry, Act::Work, Act::Reopen, LONE],
];

/// Reviews among a few sorts of other acts, which meet more often than all of them would.
fn acts() -> impl Strategy<Value = Vec<Act>> {
    prop::sample::subsequence(OTHERS, 2..6).prop_flat_map(|others| {
        let one = prop_oneof![2 => prop::sample::select(REVIEWS), 3 => prop::sample::select(others)];
        prop::collection::vec(one, 4..12)
    })
}

#[test]
fn nothing_that_is_said_in_a_review_is_lost_or_answered_twice() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    for (acts, wrong) in ALWAYS.iter().zip(runtime.block_on(join_all(ALWAYS.iter().map(|acts| play(acts))))) {
        assert!(wrong.is_empty(), "{acts:?}\n{wrong:#?}");
    }
    // More are played where somebody looks for a mistake: PROPTEST_CASES=100.
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { Config::default().cases } else { 2 };
    let mut runner =
        TestRunner::new(Config { cases, max_shrink_iters: 20, failure_persistence: None, ..Config::default() });
    runner
        .run(&acts(), |acts| {
            let wrong = runtime.block_on(play(&acts));
            prop_assert!(wrong.is_empty(), "{acts:?}\n{wrong:#?}");
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{failure}"));
}

const HOUR: i64 = 3_600_000;
const WORK: &str = r#"await open
commit "f-$TRACK_RUN_ID" x "feat: x"
if [ "$TRACK_KIND" = task ]; then answer succeeded "Did." "feat: x"; else answer_all answered "Did."; fi"#;
const FAIL: &str = "await open; answer failed 'No.'";

/// The pull request that people look at: the newest.
fn pull(world: &World) -> PullSnapshot {
    world.sim.pulls(REPO).pop().expect("one was opened at first")
}

/// Plays the acts and lets everything settle; answers what is otherwise than it should be.
async fn play(acts: &[Act]) -> Vec<String> {
    let mut world = World::with(|config| {
        config.limits.followups_per_day = 3;
        config.limits.runs_per_user_hour = 4;
    })
    .await;
    world.agent(r#"commit hello.txt hello "feat: say hello"; answer succeeded "Said hello." "feat: say hello""#);
    let issue = world.work_on("Say hello", "").await;
    world.agent(WORK);
    world.signal("open");
    for (n, act) in acts.iter().enumerate() {
        happen(&mut world, issue, *act, n).await;
        world.sim.settled().await;
    }
    world.agent(WORK);
    world.signal("open");
    world.comment(MAINTAINER, pull(&world).number, "/track resume").await;
    settle(&world).await;
    let mut wrong = promises(&world).await;
    let (last, open) = (pull(&world), world.sim.issue(REPO, issue).expect("the issue").state == "open");
    if last.state == "open" && open {
        world.comment(MAINTAINER, last.number, "/track followup what is left").await;
        settle(&world).await;
        wrong.extend(promises(&world).await);
        let answered = answered(&world).await;
        let left = said(&world, last.number).into_iter().filter(|said| !answered.contains_key(&said.key()));
        wrong.extend(left.map(|said| format!("{said:?} was in no follow-up, and the last one should have carried it")));
    }
    wrong
}

async fn settle(world: &World) {
    world.settle_soon().await;
    world.pass(60_000);
    world.settle_soon().await;
    // What a limit put off has room again.
    world.pass(HOUR);
    world.settle_soon().await;
}

async fn happen(world: &mut World, issue: Number, act: Act, n: usize) {
    let PullSnapshot { number, state, .. } = pull(world);
    let is_open = state == "open";
    let review = async |text: &str, comments: usize| {
        let words: Vec<String> = (0..comments).map(|comment| format!("Comment-{n}-{comment}.")).collect();
        let lines: Vec<_> = words.iter().map(|words| ("hello.txt", 1, words.as_str())).collect();
        world.sim.review(REPO, MAINTAINER, number, "COMMENTED", text, &lines).await.expect("a review");
    };
    match act {
        Act::Review { text: false, comments: 0 } => {
            let words = format!("Lone-{n}.");
            world.sim.line_comment(REPO, MAINTAINER, number, "hello.txt", 1, &words).await.expect("a comment");
        }
        Act::Review { text, comments } => {
            review(&if text { format!("Text-{n}.") } else { String::new() }, comments).await
        }
        Act::Asking => review(&format!("Text-{n}.\n\n/track followup and this"), 1).await,
        Act::Followup => drop(world.comment(MAINTAINER, number, "/track followup more").await),
        Act::Fresh => drop(world.comment(MAINTAINER, issue, "/track followup --fresh more").await),
        Act::Dispatch => drop(world.comment(MAINTAINER, issue, "/track dispatch more").await),
        Act::Retry => drop(world.comment(MAINTAINER, issue, "/track retry").await),
        Act::Pause => drop(world.comment(MAINTAINER, number, "/track pause").await),
        Act::Resume => drop(world.comment(MAINTAINER, number, "/track resume").await),
        Act::Cancel => drop(world.comment(MAINTAINER, number, "/track cancel").await),
        Act::Merge if is_open => {
            // Else the issue would be closed with it, and nothing could be asked for any more.
            world.sim.edit_issue(REPO, MAINTAINER, number, ("feat: x", "A part of it.")).await.expect("edited");
            world.sim.merge_pull(REPO, MAINTAINER, number).await.expect("merged");
        }
        Act::Shut if is_open => world.sim.close(REPO, MAINTAINER, number).await.expect("closed"),
        Act::Reopen if !is_open => drop(world.sim.reopen(REPO, MAINTAINER, number).await),
        Act::Merge | Act::Shut | Act::Reopen => {}
        Act::Open => world.signal("open"),
        Act::Close => world.unsignal("open"),
        Act::Fail => world.agent(FAIL),
        Act::Work => world.agent(WORK),
        Act::Restart => {
            world.stop().await;
            world.start().await;
        }
        Act::Minute => world.pass(60_000),
        Act::Hour => world.pass(HOUR),
    }
}

/// A piece of feedback, as GitHub has it.
#[derive(Clone, Debug)]
struct Piece {
    /// `review` or `comment`, and its id.
    kind: &'static str,
    id: i64,
    /// The review in which it came.
    review: i64,
    words: String,
}

impl Piece {
    fn key(&self) -> (String, i64) {
        (self.kind.to_owned(), self.id)
    }
}

/// Everything that a main user said on a pull request.
fn said(world: &World, pull: Number) -> Vec<Piece> {
    let mut said = Vec::new();
    for review in world.sim.reviews(REPO, pull).iter().filter(|review| !review.author_is_app) {
        let words = review.body.lines().next().unwrap_or_default().to_owned();
        if !words.is_empty() {
            said.push(Piece { kind: "review", id: review.id, review: review.id, words });
        }
        for comment in review.comments.iter().filter(|comment| !comment.author_is_app) {
            said.push(Piece { kind: "comment", id: comment.id, review: review.id, words: comment.body.clone() });
        }
    }
    said
}

/// Which run has answered which piece of feedback.
async fn answered(world: &World) -> HashMap<(String, i64), RunId> {
    let mut conn = world.db().read().await.expect("the database");
    let rows = sqlx::query("select kind, remote_id, run_id from answered").fetch_all(&mut *conn).await.expect("rows");
    let run = |row: &sqlx::sqlite::SqliteRow| row.get::<String, _>("run_id").parse().expect("a run");
    rows.iter().map(|row| ((row.get("kind"), row.get("remote_id")), run(row))).collect()
}

/// What is otherwise than promised while nothing is left to do.
async fn promises(world: &World) -> Vec<String> {
    let mut wrong = triggers(world).await;
    let runs: HashMap<RunId, Run> = world.runs().await.into_iter().map(|run| (run.id, run)).collect();
    let answered = answered(world).await;
    let succeeded = |run: &&Run| run.outcome == Some(Outcome::Succeeded);
    let carries = |run: &Run, piece: &Piece| {
        let Feedback { reviews, comments, .. } = run.feedback.clone().unwrap_or_default();
        let mut ids: Vec<_> = reviews.iter().map(|review| ("review", review.id)).collect();
        ids.extend(comments.iter().map(|comment| ("comment", comment.id)));
        ids.contains(&(piece.kind, piece.id))
    };
    let pulls = world.sim.pulls(REPO);
    for piece in pulls.iter().flat_map(|pull| said(world, pull.number)) {
        let finished: Vec<&Run> = runs.values().filter(succeeded).filter(|run| carries(run, &piece)).collect();
        match answered.get(&piece.key()) {
            Some(run) => {
                if finished.iter().map(|run| run.id).collect::<Vec<_>>() != [*run] {
                    wrong.push(format!("{piece:?} was answered by {run} and carried by {finished:?}"));
                }
                if !world.prompt(*run).contains(&piece.words) {
                    wrong.push(format!("{piece:?} was answered by {run} and is not in its prompt"));
                }
            }
            None if !finished.is_empty() => {
                wrong.push(format!("{piece:?} was carried by {finished:?} and not answered"))
            }
            None => wrong.extend(still_open(world, &piece, &runs).await),
        }
        let words = format!("About {}.", piece.id);
        let threads =
            pulls.iter().flat_map(|pull| world.sim.reviews(REPO, pull.number)).flat_map(|review| review.comments);
        let replies = threads.filter(|comment| comment.author_is_app && comment.body.contains(&words)).count();
        let expected = usize::from(piece.kind == "comment" && answered.contains_key(&piece.key()));
        if replies != expected {
            wrong.push(format!("{piece:?} has {replies} replies, not {expected}"));
        }
    }
    for run in runs.values().filter(|run| run.outcome.is_none() || run.reason.is_none()) {
        wrong.push(format!("{} has no stated reason", run.id));
    }
    wrong.extend(lines(world, &runs).await);
    wrong.extend(comments(world));
    wrong
}

/// What is not answered has a reason: that of the run that took it up, or the stated one why none did.
async fn still_open(world: &World, piece: &Piece, runs: &HashMap<RunId, Run>) -> Option<String> {
    let mut conn = world.db().read().await.expect("the database");
    let row = sqlx::query(
        "select run_id, waiting, (select count(*) from decision where decision.trigger_key = trigger.key \
         and decision.verdict in ('refused', 'ignored') and decision.reason <> 'repeated') as reasons from trigger where key = $1",
    )
    .bind(format!("review:{}", piece.review))
    .fetch_optional(&mut *conn)
    .await
    .expect("a trigger");
    let Some(row) = row else { return Some(format!("{piece:?} was never kept")) };
    let run = row.get::<Option<String>, _>("run_id").map(|run| run.parse().expect("a run"));
    let (waiting, reasons): (i64, i64) = (row.get("waiting"), row.get("reasons"));
    match run.and_then(|run: RunId| runs.get(&run)) {
        Some(run) if run.outcome == Some(Outcome::Succeeded) => {
            Some(format!("{piece:?} was taken up by {}, which succeeded without it", run.id))
        }
        Some(_) => None,
        None if waiting == 0 && reasons > 0 => None,
        None => Some(format!("{piece:?} is open without a reason: waiting {waiting}, reasons {reasons}")),
    }
}

/// Whatever was asked for has become one run, or has one reason.
async fn triggers(world: &World) -> Vec<String> {
    let mut conn = world.db().read().await.expect("the database");
    let rows = sqlx::query(
        "select trigger.key, trigger.verb, trigger.waiting, (trigger.run_id is not null) as run, \
         (select count(*) from decision where decision.trigger_key = trigger.key and decision.verdict in ('refused', 'ignored') \
         and decision.reason not in ('repeated', 'user_limit')) as reasons, \
         (select count(*) from decision where decision.trigger_key = trigger.key and decision.reason = 'user_limit') as limited \
         from trigger where verb in ('feedback', 'followup', 'dispatch', 'retry')",
    )
    .fetch_all(&mut *conn)
    .await
    .expect("triggers");
    let mut wrong = Vec::new();
    for row in &rows {
        let (key, verb): (String, String) = (row.get("key"), row.get("verb"));
        let [waiting, run, reasons, limited] =
            ["waiting", "run", "reasons", "limited"].map(|name| row.get::<i64, _>(name));
        // What a limit refused in a review was kept, and came to another end later.
        let ended = run + reasons == 1 || (run + reasons == 0 && limited == 1);
        if waiting != 0 || !ended {
            wrong.push(format!("{verb} {key}: waiting {waiting}, run {run}, reasons {reasons}"));
        }
    }
    wrong
}

/// A line is open as long as its pull request is; where both are, somebody may have begun another one, or a run that was to open it again failed.
async fn lines(world: &World, runs: &HashMap<RunId, Run>) -> Vec<String> {
    let mut conn = world.db().read().await.expect("the database");
    let mut lines = HashMap::new();
    for run in runs.values() {
        if let Some(id) = run.line {
            let line = track::db::lines::get(&mut conn, id).await.expect("a line");
            let newest = lines.entry(id).or_insert((line, run));
            if newest.1.id < run.id {
                newest.1 = run;
            }
        }
    }
    let pulls = world.sim.pulls(REPO);
    let any_open = lines.values().any(|(line, _)| line.state == LineState::Open);
    let mut wrong = Vec::new();
    for (line, newest) in lines.values() {
        let pull = pulls.iter().find(|pull| Some(pull.number) == line.pull);
        let fits = match (line.state, pull) {
            (LineState::Merged, Some(pull)) => pull.merged,
            (LineState::Closed, Some(pull)) => !pull.merged && (pull.state == "closed" || any_open),
            (LineState::Open, Some(pull)) => pull.state == "open" || newest.outcome != Some(Outcome::Succeeded),
            (LineState::Superseded, _) | (LineState::Open, None) => true,
            (_, None) => false,
        };
        if !fits {
            wrong.push(format!(
                "{} is {} with {:?}",
                line.branch,
                line.state,
                pull.map(|pull| (pull.state, pull.merged))
            ));
        }
    }
    wrong
}

/// Nothing is said twice: each comment of the bot's has a marker of its own (P4).
fn comments(world: &World) -> Vec<String> {
    let mut seen = HashMap::new();
    let numbers = (1..20).map(Number).flat_map(|number| world.sim.comments(REPO, number));
    for comment in numbers.filter(|comment| comment.author_is_app) {
        let marker = comment.body.lines().last().unwrap_or_default().to_owned();
        *seen.entry(marker).or_insert(0) += 1;
    }
    seen.into_iter()
        .filter(|(_, times)| *times > 1)
        .map(|(marker, _)| format!("said more than once: {marker}"))
        .collect()
}
