//! The page of a run: while its agent works, when it is over, and for those who may see less.

use std::time::Duration;

use hyper::StatusCode;
use track::db;
use track::model::{Account, AccountId, Outcome, Role, RunId, Status, Via};

use crate::harness::page::{Answer, Browser, Event, Stream, words};
use crate::harness::{MAINTAINER, REPO, World};
use crate::{follow_up, review};

/// Longer than it may take to stop while somebody watches; the server itself would cut a stream after eight seconds.
const QUICK: Duration = Duration::from_secs(5);

fn page(run: RunId) -> String {
    format!("/admin/runs/{run}")
}

/// The address of the stream that a page opens.
fn live(page: &Answer) -> String {
    page.between("sse-connect=\"", "\"").expect("a page that changes").replace("&#38;", "&").replace("&amp;", "&")
}

/// Reads on until a part says something.
async fn until(stream: &mut Stream, part: &str, said: &str) -> Event {
    loop {
        let event = stream.next().await.unwrap_or_else(|| panic!("the stream ended before {part} said {said:?}"));
        if event.event == part && event.data.contains(said) {
            return event;
        }
    }
}

/// A run whose agent has said something.
async fn at_work(world: &World, said: &str) -> RunId {
    let issue = world.issue("Say <b>hello</b>", "").await;
    world.label(issue, "track").await;
    let run = world.until_status(Status::Running).await.id;
    let journal = world.home().join("journals").join(run.to_string());
    world
        .until("the agent has said something", async || {
            std::fs::read_to_string(&journal).is_ok_and(|text| text.contains(said))
        })
        .await;
    run
}

/// Somebody who signed in through GitHub and is no admin.
async fn viewer(world: &World, login: &str, id: AccountId) -> Browser {
    let mut viewer = world.browser();
    let secret = hex::encode(format!("{login:_<32}"));
    let now = world.clock.now();
    let signed_in = db::sign_ins::SignedIn {
        id: hex::encode(<sha2::Sha256 as sha2::Digest>::digest(&secret)),
        via: Via::Link,
        account: Some(Account { id, login: login.into() }),
        role: Role::Viewer,
        created_at: now,
        checked_at: now,
        expires_at: now + 3_600_000,
    };
    let mut tx = world.db().begin().await.unwrap();
    db::sign_ins::insert(&mut tx, &signed_in).await.unwrap();
    tx.commit().await.unwrap();
    viewer.cookies.insert("__Host-track".into(), secret);
    viewer
}

#[tokio::test]
async fn what_an_agent_does_appears_while_somebody_looks() {
    let world = World::new().await;
    world.agent(
        r#"say "One & only"; await second; echo "a plain line"; say "two"; await third; commit hello.txt hello "feat: say hello"; answer succeeded "Said **hello**." "feat: say hello""#,
    );
    let run = at_work(&world, "One").await;
    let mut browser = world.signed_in(MAINTAINER).await;
    let before = browser.get(&page(run)).await;
    let told = words(&before.text);
    assert!(told.contains("Task: Say &#60;b&#62;hello&#60;/b&#62;"), "{told}");
    assert!(told.contains("One &amp; only"), "{told}");
    assert!(told.contains("The agent works.") && told.contains("Cancel this run"), "{told}");

    let mut stream = browser.stream(&live(&before), None).await;
    let state = until(&mut stream, "state", "running").await;
    assert!(!state.data.contains("csrf"), "{}", state.data);
    world.signal("second");
    let mut seen = String::new();
    let last = loop {
        let event = until(&mut stream, "steps", "<li").await;
        seen.push_str(&event.data);
        if seen.contains("two") {
            break event;
        }
    };
    assert!(seen.contains("a plain line") && !seen.contains("One"), "{seen}");

    // A browser that comes back with what it has is sent what it missed.
    let mut back = browser.stream(&format!("{}/live", page(run)), Some(&last.id)).await;
    world.signal("third");
    let change = until(&mut back, "result", "Show the change").await;
    assert!(change.data.contains("Said <strong>hello</strong>"), "{}", change.data);
    until(&mut back, "state", "Pull request #").await;
    until(&mut back, "over", "").await;
    assert!(back.next().await.is_none());
    until(&mut stream, "over", "").await;

    world.settle().await;
    let after = browser.get(&page(run)).await;
    assert!(!after.text.contains("sse-connect"), "nothing more will come");
    assert!(!after.text.contains("Cancel this run") && !after.text.contains("form=\"retry\""));
    let told = words(&after.text);
    for text in [
        "Done",
        "Answer Said hello .",
        "1 commit, 1 file +1 −0",
        "Agent at work",
        "What the agent was given",
        "Title: Say",
    ] {
        assert!(told.contains(text), "{text:?} is missing in {told}");
    }
    let change = browser.get(&format!("{}/change", page(run))).await;
    let told = words(&change.text);
    assert!(told.contains("hello.txt added +1 −0 @@ −0 +1 @@ +hello"), "{told}");
    let journal = browser.get(&format!("{}/journal", page(run))).await;
    assert_eq!(journal.headers["content-type"], "text/plain; charset=utf-8");
    assert_eq!(journal.headers["x-content-type-options"], "nosniff");
    let name = format!("attachment; filename=\"track-{run}.journal.txt\"");
    assert_eq!(journal.headers["content-disposition"].to_str().unwrap(), name);
    assert!(journal.text.contains("\to\ta plain line\n"), "{}", journal.text);
    let prompt = browser.get(&format!("{}/prompt?turn=1", page(run))).await;
    assert_eq!((prompt.status, prompt.text.trim_end()), (StatusCode::OK, world.prompt(run).as_str()));

    // A part of the steps, and what is not there.
    let part = browser.get(&format!("{}?from=4", page(run))).await;
    let told = words(&part.text);
    assert!(told.contains("4 earlier steps") && told.contains("two") && !told.contains("One &amp; only"), "{told}");
    for path in ["/admin/runs/x", "/admin/runs/01ARZ3NDEKTSV4RRFFQ69G5FAV", &format!("{}/prompt?turn=2", page(run))] {
        assert_eq!(browser.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    let bad = browser.get(&format!("{}/live?after=%3Cscript%3E", page(run))).await;
    assert_eq!(bad.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(!bad.text.contains("<script>"), "{}", bad.text);
}

#[tokio::test]
async fn two_hundred_watch_over_http_and_one_reads() {
    let world = World::new().await;
    world.agent(r#"say "one"; await second; say "two"; await never; answer succeeded "Done.""#);
    let run = at_work(&world, "one").await;
    let mut browser = world.signed_in(MAINTAINER).await;
    let address = live(&browser.get(&page(run)).await);
    let mut streams = Vec::new();
    for _ in 0..200 {
        streams.push(browser.stream(&address, None).await);
    }
    for stream in &mut streams {
        until(stream, "state", "running").await;
    }
    assert_eq!(world.bot().context().wake.watched.readers(run), 1);
    world.signal("second");
    for stream in &mut streams {
        let event = until(stream, "steps", "two").await;
        assert!(!event.data.contains("one"), "{}", event.data);
    }
    assert_eq!(world.bot().context().wake.watched.readers(run), 1);

    // Canceled on the page, it is over for everybody.
    let answer = browser.submit(&page(run), &format!("{}/cancel", page(run)), &[]).await;
    assert_eq!((answer.status, answer.location()), (StatusCode::SEE_OTHER, page(run).as_str()), "{}", answer.text);
    until(&mut streams[0], "action", "form=\"retry\"").await;
    for stream in &mut streams {
        until(stream, "over", "").await;
    }
    world.settle().await;
    assert_eq!(world.runs().await[0].outcome, Some(Outcome::Canceled));
    let again = browser.submit(&page(run), &format!("{}/cancel", page(run)), &[]).await;
    assert_eq!(again.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(words(&again.text).contains("is over already"), "{}", words(&again.text));
}

#[tokio::test]
async fn a_stop_does_not_wait_for_those_who_watch() {
    let mut world = World::new().await;
    world.agent(r#"say "one"; await go; answer succeeded "Done.""#);
    let run = at_work(&world, "one").await;
    let mut browser = world.signed_in(MAINTAINER).await;
    let address = live(&browser.get(&page(run)).await);
    let mut stream = browser.stream(&address, None).await;
    until(&mut stream, "state", "running").await;
    tokio::time::timeout(QUICK, world.stop()).await.expect("a quick stop");
    while let Some(event) = stream.next().await {
        assert_ne!(event.event, "over", "the browser shall come back");
    }
    // It does, and gets what it missed.
    world.signal("go");
    world.start().await;
    let mut back = browser.stream(&address, None).await;
    until(&mut back, "over", "").await;
    world.settle().await;
}

// T42
#[tokio::test]
async fn viewers_see_the_runs_of_their_repositories_and_end_their_own() {
    let world = World::new().await;
    let vera = world.sim.add_user("vera");
    world.sim.set_role(REPO, "vera", track::sim::Role::Write).unwrap();
    world.agent(r#"say "one"; await never; answer succeeded "Done.""#);
    let others = at_work(&world, "one").await;
    let mut stranger = viewer(&world, "eve", world.sim.add_user("eve2")).await;
    for path in ["", "/live", "/change", "/journal", "/prompt"] {
        let answer = stranger.get(&format!("{}{path}", page(others))).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert!(!answer.text.contains("hello"), "{path}");
    }
    let mut viewer = viewer(&world, "vera", vera).await;
    let seen = viewer.get(&page(others)).await;
    assert_eq!(seen.status, StatusCode::OK);
    assert!(!seen.text.contains("/cancel") && !seen.text.contains("form=\"cancel\""), "it is not hers");

    let issue = world.issue("Say hi", "").await;
    world.comment("vera", issue, "/track dispatch").await;
    world.until("a second run", async || world.runs().await.len() == 2).await;
    let own = world.runs().await[0].id;
    let answer = viewer.submit(&page(own), &format!("{}/cancel", page(own)), &[]).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER, "{}", words(&answer.text));
    world.until("her run is over", async || world.runs().await[0].status == Status::Done).await;
    assert_eq!(world.runs().await[1].status, Status::Running);
}

// T26
#[tokio::test]
async fn a_failed_run_says_what_to_do_and_is_run_again_on_the_page() {
    let world = World::new().await;
    world.agent(r#"printf '%s\n' '<script>alert(1)</script> [x](javascript:alert(1))' "$(printf 'red \033[31mx\033[0m')"; answer failed 'It <img src=x onerror=alert(1)> does not work.'"#);
    world.work_on("Say \"><script>alert(1)</script>", "").await;
    let run = world.runs().await[0].id;
    let mut browser = world.signed_in(MAINTAINER).await;
    let failed = browser.get(&page(run)).await;
    for bad in ["<script>alert", "<img src=x", "href=\"javascript:", "\u{1b}"] {
        assert!(!failed.text.contains(bad), "{bad}");
    }
    let told = words(&failed.text);
    assert!(told.contains("red x") && told.contains("What to do"), "{told}");

    let key = failed.between("name=\"key\" value=\"", "\"").unwrap().to_owned();
    world.agent(r#"say "again"; answer succeeded "Nothing to do.""#);
    let retry = format!("{}/retry", page(run));
    let first = browser.submit(&page(run), &retry, &[("key", &key)]).await;
    assert_eq!(first.status, StatusCode::SEE_OTHER, "{}", words(&first.text));
    let twice = browser.submit(&page(run), &retry, &[("key", &key)]).await;
    assert_eq!(twice.location(), first.location(), "{}", words(&twice.text));
    world.settle().await;
    let runs = world.runs().await;
    assert_eq!((runs.len(), runs[0].outcome, runs[0].retry_of), (2, Some(Outcome::Succeeded), Some(run)));
    let again = browser.get(first.location()).await;
    assert!(words(&again.text).contains("attempt 2"), "{}", words(&again.text));
}

// B23, B32
#[tokio::test]
async fn what_was_said_is_shown_with_what_became_of_it() {
    let world = World::new().await;
    let (_, pull) = follow_up::opened(&world).await;
    world.agent(
        r#"if grep -q 'Your answer lacks something' <<<"$prompt"; then answer_all answered "Both."; else
        answer_all answered "One." "$(listed_comments | head -n 1)"; fi"#,
    );
    let comments = [("hello.txt", 1, "Why <i>so</i>?"), ("hello.txt", 1, "And this?")];
    world.sim.review(REPO, MAINTAINER, pull, "CHANGES_REQUESTED", "Look again.", &comments).await.unwrap();
    world.settle_soon().await;
    let run = world.runs().await.remove(0);
    assert_eq!((run.outcome, run.turn), (Some(Outcome::Succeeded), 2));
    let mut browser = world.signed_in(MAINTAINER).await;
    let shown = words(&browser.get(&page(run.id)).await.text);
    for text in [
        "Follow-up: Say hello",
        "Feedback to act on mona review, changes requested",
        "Why &lt;i&gt;so&lt;/i&gt;?",
        "Replies to comments answered hello.txt:1 by mona About",
        "Prompt of turn 2",
        "lacks something",
        "the whole prompt as text",
    ] {
        assert!(shown.contains(text), "{text:?} is missing in {shown}");
    }
    let second = browser.get(&format!("{}/prompt?turn=2", page(run.id))).await;
    assert!(second.text.contains("Your answer lacks something"), "{}", second.text);

    world.agent(review::REVIEW);
    let theirs = review::somebodys(&world).await;
    review::reviewed(&world, theirs, "/track review").await;
    let run = world.runs().await.remove(0);
    let shown = words(&browser.get(&page(run.id)).await.text);
    for text in [
        "Review: Change it",
        "Reviewed #",
        "Looked at it.",
        "Findings high Off by one long.txt:15 It goes wrong.",
        "high Elsewhere long.txt:3",
    ] {
        assert!(shown.contains(text), "{text:?} is missing in {shown}");
    }
}
