//! A thread's page, as an admin, a viewer and a stranger see it while agents work.

use hyper::StatusCode;
use track::db;
use track::db::sign_ins::SignedIn;
use track::inbox::repositories;
use track::model::{Account, Kind, Number, Outcome, Role, Status, ThreadId, Via};

use crate::harness::page::{Answer, Browser, words};
use crate::harness::{MAINTAINER, REPO, STRANGER, World};

const WORK: &str = r#"await go; commit "$TRACK_RUN_ID.txt" hello "feat: say hello"; answer succeeded "Said <b>hello</b>." "feat: say hello""#;

/// A browser in which a viewer is signed in.
pub async fn viewer(world: &World, login: &str) -> Browser {
    let mut browser = world.browser();
    let secret = format!("{:0>64}", hex::encode(login));
    let now = world.clock.now();
    let signed_in = SignedIn {
        id: hex::encode(<sha2::Sha256 as sha2::Digest>::digest(&secret)),
        via: Via::Link,
        account: Some(Account { id: world.sim.add_user(login), login: login.to_owned() }),
        role: Role::Viewer,
        created_at: now,
        checked_at: now,
        expires_at: now + 3_600_000,
    };
    let mut tx = world.db().begin().await.expect("the database");
    db::sign_ins::insert(&mut tx, &signed_in).await.expect("a row");
    tx.commit().await.expect("a row");
    browser.cookies.insert("__Host-track".into(), secret);
    browser
}

async fn thread(world: &World, number: Number) -> ThreadId {
    let repository = world.repository_id().await;
    let mut conn = world.db().read().await.expect("the database");
    db::threads::find(&mut conn, repository, number).await.expect("a row").expect("a thread").id
}

fn address(page: &Answer) -> String {
    page.between("sse-connect=\"", "\"").expect("a stream").replace("&#38;", "&").replace("&amp;", "&")
}

/// What a button would do, by its word, and whether it can be pressed.
fn button(page: &str, action: &str) -> String {
    let at = page.find(&format!("aria-describedby=\"would-{action}\"")).expect("the button");
    let off = page[at..].split('>').next().unwrap_or_default().contains("disabled");
    let told = page[at..].split("</li>").next().unwrap_or_default();
    let told = told.split_once('>').map(|(_, rest)| words(rest)).unwrap_or_default();
    format!("{} {told}", if off { "-" } else { "+" })
}

// B02, B10, B20, B41
#[tokio::test]
async fn an_admin_asks_for_things_on_the_page() {
    let world = World::new().await;
    world.agent(WORK);
    let issue = world.issue("Say <script>hello</script>", "Please add hello.txt.").await;
    world.label(issue, "track").await;
    world.until_status(Status::Running).await;
    let mut page = world.signed_in(MAINTAINER).await;
    let path = format!("/admin/threads/{}", thread(&world, issue).await);
    let shown = page.get(&path).await;
    assert_eq!(shown.status, StatusCode::OK);
    assert!(!shown.text.contains("<script>hello"), "a title is text");
    let buttons = ["dispatch", "followup", "cancel"].map(|action| world.readable(&button(&shown.text, action)));
    insta::assert_snapshot!(buttons.join("\n"), @"
    - Dispatch Run RUN is still running here. Wait for it, or end it with /track cancel .
    + Follow up Is kept until the live run is over, and then becomes a follow-up with what you write.
    + Cancel Ends run RUN of scripted on local-1 . What it has committed is kept.
    ");

    // Live: what changes comes by itself, and a part of the page holds nothing of one browser.
    let mut stream = page.stream(&address(&shown), None).await;
    let key = shown.between("name=\"key\" value=\"", "\"").expect("a key").to_owned();
    let token = shown.csrf();
    let fields = [("csrf", token.as_str()), ("key", key.as_str()), ("text", "And in <i>French</i>.")];
    let kept = page.post(&format!("{path}/followup"), &fields).await;
    assert_eq!((kept.status, kept.location()), (StatusCode::SEE_OTHER, format!("{path}?done=followup").as_str()));
    loop {
        let event = stream.next().await.expect("the stream goes on");
        assert!(!event.data.contains(&token[..16]) && !event.data.contains("name=\"csrf\""), "{}", event.data);
        if event.event == "timeline" && words(&event.data).contains("accepted kept by mona") {
            break;
        }
    }
    // A second click is no second wish.
    assert_eq!(page.post(&format!("{path}/followup"), &fields).await.status, StatusCode::SEE_OTHER);
    world.signal("go");
    world.settle().await;
    let runs = world.runs().await;
    assert_eq!(runs.iter().map(|run| run.kind).collect::<Vec<_>>(), [Kind::FollowUp, Kind::Task]);

    let done = page.get(&path).await;
    assert!(
        done.text.contains("Said &lt;b&gt;hello&lt;/b&gt;.") || done.text.contains("Said &#60;b&#62;hello"),
        "{}",
        done.text
    );
    let told = words(&done.text);
    for text in [
        "mona asked for work",
        "mona asked for a follow-up",
        "Pull request #2 open",
        "noted notified",
        "more that asked for nothing",
        "succeeded",
    ] {
        assert!(told.contains(text), "{text} in {told}");
    }
    for action in ["pause", "resume", "review"] {
        let answer = page.submit(&path, &format!("{path}/{action}"), &[("key", &key)]).await;
        assert_eq!(answer.status, StatusCode::SEE_OTHER, "{action}: {}", words(&answer.text));
    }
    world.settle().await;
    assert_eq!(world.runs().await[0].kind, Kind::Review);

    // What cannot be done is refused with the reason, and what cannot be taken back is asked before.
    let refused = page.submit(&path, &format!("{path}/cancel"), &[("key", &key)]).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(words(&refused.text).contains("Nothing is live here"), "{}", words(&refused.text));
    let empty = page.submit(&path, &format!("{path}/followup"), &[("key", &key), ("text", " ")]).await;
    assert!(words(&empty.text).contains("its text is empty"), "{}", words(&empty.text));
    let asked = page.get(&format!("{path}/discard")).await;
    assert!(words(&asked.text).contains("3 runs: what was asked"), "{}", words(&asked.text));
    let discarded = page.submit(&format!("{path}/discard"), &format!("{path}/discard"), &[("key", &key)]).await;
    assert_eq!(discarded.status, StatusCode::SEE_OTHER);
    assert!(words(&page.get(&path).await.text).contains("Nothing has been asked for yet"));
    for odd in ["/admin/threads/nothing", &format!("{path}/explode"), "/admin/threads/01ARZ3NDEKTSV4RRFFQ69G5FAV"] {
        assert_eq!(page.get(odd).await.status, StatusCode::NOT_FOUND, "{odd}");
    }
}

// T42
#[tokio::test]
async fn a_viewer_sees_their_repositories_and_ends_their_own_runs_only() {
    let world = World::new().await;
    world.agent(WORK);
    world.sim.set_role(REPO, "vera", track::sim::Role::Write).expect("a role");
    let issue = world.issue("Say hello", "Please add hello.txt.").await;
    world.label(issue, "track").await;
    world.until_status(Status::Running).await;
    let path = format!("/admin/threads/{}", thread(&world, issue).await);
    let run = world.runs().await.remove(0).id;

    let mut stranger = viewer(&world, STRANGER).await;
    for hidden in [path.clone(), format!("{path}/live")] {
        assert_eq!(stranger.get(&hidden).await.status, StatusCode::NOT_FOUND, "{hidden}");
    }
    let mut vera = viewer(&world, "vera").await;
    let shown = vera.get(&path).await;
    assert_eq!(shown.status, StatusCode::OK);
    let told = words(&shown.text);
    assert!(told.contains("Admins of the bot ask for things here") && !told.contains("Cancel your run"), "{told}");
    let refused = vera.submit(&path, &format!("{path}/dispatch"), &[("key", "1")]).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let refused = vera.submit(&path, &format!("{path}/cancel/{run}"), &[]).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert!(words(&refused.text).contains("Somebody else asked for this run"), "{}", words(&refused.text));

    let mut mona = viewer(&world, MAINTAINER).await;
    let shown = mona.get(&path).await;
    assert!(words(&shown.text).contains("Cancel your run"), "{}", words(&shown.text));
    let done = mona.submit(&path, &format!("{path}/cancel/{run}"), &[]).await;
    assert_eq!((done.status, done.location()), (StatusCode::SEE_OTHER, format!("{path}?done=cancel").as_str()));
    world.settle().await;
    assert_eq!(world.runs().await[0].outcome, Some(Outcome::Canceled));
}

// B63
#[tokio::test]
async fn a_task_is_written_on_the_page() {
    let world = World::new().await;
    repositories::look(world.bot().context()).await.expect("GitHub answers");
    let mut page = world.signed_in(MAINTAINER).await;
    let form = page.get("/admin/new").await;
    assert!(words(&form.text).contains("octo/hello (main)"), "{}", words(&form.text));
    let repository = form.between("<option value=\"", "\"").expect("the repository").to_owned();
    let key = form.between("name=\"key\" value=\"", "\"").expect("a key").to_owned();
    let token = form.csrf();
    let long = "x".repeat(300);
    let wrong = [
        ("csrf", token.as_str()),
        ("key", &key),
        ("repository", &repository),
        ("title", &long),
        ("body", "A <b>text</b>."),
    ];
    let wrong = page.post("/admin/new", &wrong).await;
    assert_eq!(wrong.status, StatusCode::UNPROCESSABLE_ENTITY);
    let told = words(&wrong.text);
    assert!(told.contains("The title is longer than 256 characters") && wrong.text.contains(&long), "{told}");
    assert!(
        wrong.text.contains("A &lt;b&gt;text&lt;/b&gt;.") || wrong.text.contains("A &#60;b&#62;text"),
        "what was typed is there again"
    );
    let elsewhere = [("csrf", token.as_str()), ("key", &key), ("repository", "77"), ("title", "Say hello")];
    assert!(words(&page.post("/admin/new", &elsewhere).await.text).contains("Choose a repository"));

    let right = [
        ("csrf", token.as_str()),
        ("key", &key),
        ("repository", &repository),
        ("title", "Say hello"),
        ("body", "In every language."),
        ("kind", "private"),
        ("dispatch", "yes"),
    ];
    let made = page.post("/admin/new", &right).await;
    assert_eq!(made.status, StatusCode::SEE_OTHER, "{}", words(&made.text));
    assert_eq!(page.post("/admin/new", &right).await.location(), made.location(), "a second click makes nothing");
    world.settle().await;
    assert_eq!(world.runs().await.iter().map(|run| run.outcome).collect::<Vec<_>>(), [Some(Outcome::Succeeded)]);
    let thread = page.get(made.location()).await;
    let told = words(&thread.text);
    for text in [
        "The task is made. Watch the run",
        "task 1, private",
        "mona wrote this task",
        "In every language.",
        "Close the task",
    ] {
        assert!(told.contains(text), "{text} in {told}");
    }
    let path = made.location().split('?').next().expect("a path").to_owned();
    let closing = page.get(&format!("{path}/close")).await;
    assert!(words(&closing.text).contains("Close this task?"), "{}", words(&closing.text));
    assert_eq!(
        page.submit(&format!("{path}/close"), &format!("{path}/close"), &[]).await.status,
        StatusCode::SEE_OTHER
    );
    let board = words(&page.get("/admin").await.text);
    assert!(board.contains("Done 1"), "{board}");
    let closed = words(&page.get(&path).await.text);
    assert!(closed.contains("Open the task again") && closed.contains("This is closed. Reopen it first"), "{closed}");
    assert_eq!(page.submit(&path, &format!("{path}/reopen"), &[]).await.status, StatusCode::SEE_OTHER);
    assert!(words(&page.get(&path).await.text).contains("Close the task"));

    // One that is to wait is on the board, too, and is found by its words.
    let new = page.get("/admin/new").await;
    let (token, key) =
        (new.between("name=\"csrf\" value=\"", "\"").unwrap(), new.between("name=\"key\" value=\"", "\"").unwrap());
    let later =
        [("csrf", token), ("key", key), ("repository", &repository), ("title", "Say goodbye"), ("kind", "private")];
    assert_eq!(page.post("/admin/new", &later).await.status, StatusCode::SEE_OTHER);
    let board = words(&page.get("/admin?q=goodBYE").await.text);
    let card = "Backlog 1 Say goodbye octo/hello · private not started just now Claimed 0";
    assert!(board.contains(card), "{board}");
    assert!(!words(&page.get("/admin?q=hello").await.text).contains("Say goodbye"));
}
