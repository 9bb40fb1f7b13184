//! GitHub fails, forgets to answer, limits and goes away, and the run ends as if it had not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use track::model::{Millis, Number, Outcome, Status};
use track::sim::{Fault, RequestInfo};

use crate::harness::process::printed;
use crate::harness::{MAINTAINER, REPO, World};

fn status(code: u16, headers: &[(&str, &str)], message: &str) -> Fault {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Fault::Status { code, headers, body: format!(r#"{{"message":"{message}"}}"#) }
}

/// A method and the end of a path and its query, as a filter of requests.
fn is(method: &'static str, end: &'static str) -> impl Fn(&RequestInfo) -> bool + Send + Sync + 'static {
    move |request| request.method == method && format!("{}?{}", request.path, request.query).contains(end)
}

/// One run, one pull request, one comment of each kind, and requests that GitHub knows.
async fn all_is_well(world: &World, issue: Number, what: &str) {
    let runs = world.runs().await;
    assert_eq!(runs.len(), 1, "{what}");
    assert_eq!((runs[0].status, runs[0].outcome), (Status::Done, Some(Outcome::Succeeded)), "{what}: {:?}", runs[0]);
    assert_eq!(world.starts().len(), 1, "{what}");
    let pulls = world.sim.pulls(REPO);
    assert_eq!(pulls.len(), 1, "{what}");
    assert!(world.only_comment(issue).starts_with("✅ **Done**"), "{what}: {}", world.only_comment(issue));
    assert!(world.only_comment(pulls[0].number).starts_with("@mona"), "{what}");
    assert_eq!(world.reactions(issue), ["eyes", "rocket"], "{what}");
    assert!(world.labels(issue).is_empty(), "{what}");
    for request in world.sim.journal() {
        assert!(request.known && !request.path.contains("//"), "{what}: {} {}", request.method, request.path);
    }
}

/// A label on whose way to a pull request the first requests of each kind meet a fault.
async fn survives(kinds: &[(&'static str, &'static str)], times: usize, fault: Fault) {
    let world = World::new().await;
    let issue = world.issue("Say hello", "Please.").await;
    let filters: Vec<_> = kinds.iter().map(|(method, part)| (is(method, part), AtomicUsize::new(0))).collect();
    let met = Arc::new(filters);
    let counted = met.clone();
    world.sim.set_fault(Box::new(move |request| {
        let (_, met) = counted.iter().find(|(is, met)| is(request) && met.load(SeqCst) < times)?;
        met.fetch_add(1, SeqCst);
        Some(fault.clone())
    }));
    world.label(issue, "track").await;
    world.settle_soon().await;
    for ((_, met), (method, part)) in met.iter().zip(kinds) {
        assert_eq!(met.load(SeqCst), times, "{method} …{part} met the fault");
    }
    all_is_well(&world, issue, &format!("{kinds:?}")).await;
}

// F10
#[tokio::test]
async fn two_502_on_each_read_are_outlived() {
    let reads =
        ["/permission", "/issues/1?", "/octo/hello?", "/track.yml", "/events", "/heads/main", "/app?", "/comments"];
    survives(&reads.map(|part| ("GET", part)), 2, status(502, &[], "Bad Gateway")).await;
}

/// Every write of a label's way, and git's.
const WRITES: [(&str, &str); 9] = [
    ("POST", "/issues/1/comments"),
    ("POST", "/issues/2/comments"),
    ("PATCH", "/issues/comments/"),
    ("POST", "/pulls"),
    ("POST", "/access_tokens"),
    ("POST", "/reactions"),
    ("DELETE", "/labels/track"),
    ("POST", "/git-upload-pack"),
    ("POST", "/git-receive-pack"),
];

// F10, F11
#[tokio::test]
async fn two_502_on_each_write_are_outlived_and_double_nothing() {
    survives(&WRITES, 2, status(502, &[], "Bad Gateway")).await;
}

// F10
#[tokio::test]
async fn two_502_where_git_begins_are_outlived() {
    let begins = [("GET", "service=git-upload-pack"), ("GET", "service=git-receive-pack")];
    survives(&begins, 2, status(502, &[], "Bad Gateway")).await;
}

// F11, P4
#[tokio::test]
async fn a_lost_answer_to_each_write_doubles_nothing() {
    survives(&WRITES, 1, Fault::DropAfterHandling).await;
}

/// The first comment takes GitHub a while, its answer is lost, and it is not listed for some time; answers how often one was posted.
async fn lost_comment(lag: Millis) -> usize {
    let world = World::new().await;
    let issue = world.issue("Say hello", "Please.").await;
    let (clock, lost_at) = (world.clock.clone(), std::sync::OnceLock::new());
    world.sim.set_fault(Box::new(move |request| {
        let comments = request.path.ends_with("/issues/1/comments");
        match (request.method.as_str(), lost_at.get()) {
            ("POST", None) if comments => {
                clock.advance(14_000);
                let _ = lost_at.set(clock.now());
                Some(Fault::DropAfterHandling)
            }
            ("GET", Some(at)) if comments && clock.now() < at + lag => {
                Some(Fault::Status { code: 200, headers: Vec::new(), body: "[]".to_owned() })
            }
            _ => None,
        }
    }));
    world.label(issue, "track").await;
    world.settle_soon().await;
    all_is_well(&world, issue, "a list that lags").await;
    let posted =
        |request: &&track::sim::RequestRecord| request.method == "POST" && request.path.ends_with("/issues/1/comments");
    world.sim.journal().iter().filter(posted).count()
}

// F11, P4
#[tokio::test]
async fn a_lost_comment_is_waited_for_while_githubs_list_lags() {
    assert_eq!(lost_comment(30_000).await, 1);
}

// F11, P4
#[tokio::test]
async fn a_lost_comment_that_turns_up_after_it_was_posted_again_is_the_one_that_stays() {
    assert_eq!(lost_comment(50_000).await, 2);
}

// F11
#[tokio::test]
async fn a_lost_reply_is_not_said_twice() {
    let world = World::new().await;
    let issue = world.issue("Say hello", "Please.").await;
    let met = world.fault(1, is("POST", "/issues/1/comments"), Fault::DropAfterHandling);
    world.comment(MAINTAINER, issue, "/track status").await;
    world.settle_soon().await;
    assert_eq!(met.load(SeqCst), 1);
    assert_eq!(world.only_comment(issue), "No runs here yet. `/track dispatch` starts one.");
}

/// A limit is met by one request; nothing more is sent for the installation until its end, and then all is well.
async fn limit_is_obeyed(which: impl Fn(&RequestInfo) -> bool + Send + Sync + 'static, lasts: Millis, fault: Fault) {
    let world = World::new().await;
    let issue = world.issue("Say hello", "Please.").await;
    let met = world.fault(1, which, fault);
    world.label(issue, "track").await;
    world.until("the limit", async || met.load(SeqCst) == 1).await;
    let journal = world.sim.journal();
    let at = journal.iter().find(|request| matches!(request.status, 403 | 429)).unwrap().at;
    // What was on its way when the limit was met is not counted; then everybody waits.
    world
        .until("that everybody waits", async || {
            let context = world.bot().context();
            let mut conn = context.db.read().await.unwrap();
            let delivery = track::db::deliveries::next_due(&mut conn, world.clock.now()).await.unwrap().is_some();
            let run = world.runs().await.first().is_some_and(|run| run.not_before > world.clock.now());
            context.active.is_empty() && (delivery || run)
        })
        .await;
    let forbidden = world.clock.now() + 1..at + lasts;
    assert!(!forbidden.is_empty());
    world.settle_soon().await;
    for request in world.sim.journal() {
        let inside = request.installation.is_some() && forbidden.contains(&request.at);
        assert!(!inside, "{} {} within the limit", request.method, request.path);
    }
    all_is_well(&world, issue, "a limit").await;
}

// F10
#[tokio::test]
async fn nothing_is_sent_within_a_secondary_limit() {
    let fault = status(403, &[("retry-after", "45")], "You have exceeded a secondary rate limit");
    limit_is_obeyed(is("POST", "/comments"), 45_000, fault).await;
}

// F10
#[tokio::test]
async fn nothing_is_sent_within_the_primary_limit() {
    let reset = track::model::Clock::System.now() / 1_000 + 300;
    let headers = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", &reset.to_string())];
    let fault = status(403, &headers, "API rate limit exceeded for installation ID 1.");
    limit_is_obeyed(is("GET", "/permission"), 200_000, fault).await;
}

// T31
#[tokio::test]
async fn a_token_that_expires_in_the_middle_of_a_run_is_made_anew() {
    let world = World::with_github(|github| github.token_life = Duration::from_secs(5), |_| ()).await;
    world.agent(r#"await go; commit hello.txt hello "feat: hello"; answer succeeded "Said hello.""#);
    let issue = world.issue("Say hello", "Please.").await;
    world.label(issue, "track").await;
    world.until_started(1).await;
    world.pass(10 * 60_000);
    world.signal("go");
    // In real time: in passing seconds a token would end during a push.
    world.settle().await;
    all_is_well(&world, issue, "tokens of five seconds").await;
}

// T31
#[tokio::test]
async fn a_token_that_is_refused_is_replaced_once() {
    let world = World::new().await;
    let issue = world.issue("Say hello", "Please.").await;
    let (api, push) = (is("GET", "/permission"), is("GET", "service=git-receive-pack"));
    let (api_met, push_tokens) = (AtomicBool::new(false), AtomicUsize::new(0));
    world.sim.set_fault(Box::new(move |request| {
        if request.path.ends_with("/access_tokens") && request.body["permissions"]["contents"] == "write" {
            push_tokens.fetch_add(1, SeqCst);
        }
        // git asks without a token first, and may ask twice with one.
        let old = push(request) && request.installation.is_some() && push_tokens.load(SeqCst) < 2;
        let first = api(request) && !api_met.swap(true, SeqCst);
        (old || first).then(|| status(401, &[], "Bad credentials"))
    }));
    world.label(issue, "track").await;
    world.settle_soon().await;
    all_is_well(&world, issue, "refused tokens").await;
    let minted = world.sim.journal().iter().filter(|request| request.path.ends_with("/access_tokens")).count();
    assert_eq!(minted, 5, "one each for the API, fetch and push, and two anew");
}

// T11
#[tokio::test]
async fn an_app_that_is_installed_anew_in_the_middle_of_a_run_goes_on() {
    let world = World::new().await;
    world.agent(r#"await go; commit hello.txt hello "feat: hello"; answer succeeded "Said hello.""#);
    let issue = world.issue("Say hello", "Please.").await;
    world.label(issue, "track").await;
    world.until_started(1).await;
    world.until("the status comment", async || !world.said(issue).is_empty()).await;
    world.sim.reinstall("octo");
    world.signal("go");
    world.settle_soon().await;
    all_is_well(&world, issue, "another installation").await;
}

/// An Enterprise server whose certificate is from an authority of its own: TLS in front of the simulator.
async fn enterprise(world: &World) -> String {
    let pem =
        |text: &'static str| CertificateDer::pem_slice_iter(text.as_bytes()).collect::<Result<Vec<_>, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_slice(include_bytes!("tls/localhost.key")).unwrap();
    let config = ServerConfig::builder().with_no_client_auth();
    let config = config.with_single_cert(pem(include_str!("tls/localhost.pem")), key).unwrap();
    let (tls, inner) = (TlsAcceptor::from(Arc::new(config)), world.sim.url().replace("http://", ""));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (tls, inner) = (tls.clone(), inner.clone());
            tokio::spawn(async move {
                // Whoever does not trust the certificate hangs up.
                let Ok(mut stream) = tls.accept(stream).await else { return };
                let mut plain = TcpStream::connect(inner).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut plain).await;
            });
        }
    });
    format!("https://localhost:{port}/api/v3")
}

#[tokio::test]
async fn an_enterprise_server_with_an_authority_of_its_own_is_trusted_when_it_is_named() {
    let mut world = World::new().await;
    world.stop().await;
    let url = enterprise(&world).await;
    let doctor = async |authority: Option<&str>| {
        let mut command = tokio::process::Command::from(world.track(&["doctor"]));
        command.env("GITHUB_API_URL", &url).envs(authority.map(|file| ("SSL_CERT_FILE", file)));
        printed(&command.output().await.unwrap()).0
    };
    let trusted = doctor(Some(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/tls/ca.pem"))).await;
    assert!(trusted.contains("ok    app            track"), "{trusted}");
    let stranger = doctor(None).await;
    assert!(stranger.contains("UnknownIssuer"), "{stranger}");
}

// F12, P3
#[tokio::test]
async fn a_run_that_ends_while_github_is_down_is_published_when_it_is_back() {
    let world = World::new().await;
    world.agent(r#"await go; commit hello.txt hello "feat: hello"; answer succeeded "Said hello.""#);
    let issue = world.issue("Say hello", "Please.").await;
    world.label(issue, "track").await;
    world.until_status(Status::Running).await;
    world.sim.set_fault(Box::new(|_| Some(Fault::DropBeforeHandling)));
    world.signal("go");
    world.until_status(Status::Publishing).await;
    for _ in 0..20 {
        let asked = world.sim.journal().len();
        world.pass(60_000);
        world.until("another attempt", async || world.sim.journal().len() > asked).await;
    }
    assert!(world.sim.pulls(REPO).is_empty());
    world.sim.clear_faults();
    world.settle_soon().await;
    all_is_well(&world, issue, "GitHub is back").await;
}

// P7
#[tokio::test]
async fn a_permission_that_cannot_be_asked_for_starts_nothing() {
    let world = World::new().await;
    let issue = world.issue("Say hello", "Please.").await;
    let met = world.fault(usize::MAX, is("GET", "/permission"), status(500, &[], "Oops"));
    world.label(issue, "track").await;
    world
        .until("ten refusals", async || {
            world.pass(60_000);
            met.load(SeqCst) >= 10
        })
        .await;
    assert!(world.runs().await.is_empty());
    world.sim.set_role(REPO, MAINTAINER, track::sim::Role::Read).unwrap();
    world.sim.clear_faults();
    world.settle_soon().await;
    assert!(world.runs().await.is_empty());
    assert!(world.said(issue).is_empty());
}

#[tokio::test]
async fn an_idle_bot_asks_for_nothing_but_the_log_of_deliveries() {
    let world = World::new().await;
    let issue = world.issue("Say hello", "Please.").await;
    world.label(issue, "track").await;
    world.settle().await;
    let settled = world.sim.journal().len();
    for _ in 0..10 {
        world.pass(60_000);
        track::inbox::sweep::sweep(world.bot().context()).await.unwrap();
    }
    let journal = world.sim.journal();
    let asked: Vec<_> = journal[settled..].iter().map(|request| request.path.as_str()).collect();
    assert_eq!(asked, ["/app/hook/deliveries"; 10]);
}

/// What a label costs in requests. The order within each part differs because they are asked at once.
#[tokio::test]
async fn a_label_takes_these_requests() {
    let world = World::new().await;
    world.agent(r#"await "go$(wc -l <"$TRACK_TEST_LOG/starts")"; commit a.txt "$TRACK_RUN_ID" "feat: a"; answer succeeded "Did.""#);
    // The first one also learns who the bot is and makes tokens.
    let first = world.issue("One", "").await;
    world.signal("go1");
    world.label(first, "track").await;
    world.settle().await;
    let issue = world.issue("Two", "").await;
    let before = world.sim.journal().len();
    world.label(issue, "track").await;
    world.until_status(Status::Running).await;
    world.until("the status", async || !world.said(issue).is_empty() && world.labels(issue).is_empty()).await;
    let started = world.sim.journal().len();
    world.signal("go2");
    world.settle().await;
    let journal = world.sim.journal();
    let list = |from: usize, to: usize| {
        let mut lines: Vec<String> = journal[from..to]
            .iter()
            .filter(|request| request.path != "/app/hook/deliveries" && request.method != "PATCH")
            .map(|request| format!("{} {}", request.method, request.path))
            .collect();
        lines.sort();
        lines.join("\n")
    };
    insta::assert_snapshot!(list(before, started), @"
    DELETE /repos/octo/hello/issues/3/labels/track
    GET /repos/octo/hello
    GET /repos/octo/hello/collaborators/mona/permission
    GET /repos/octo/hello/contents/.github/track.yml
    GET /repos/octo/hello/git/ref/heads/main
    GET /repos/octo/hello/issues/3
    GET /repos/octo/hello/issues/3/comments
    GET /repos/octo/hello/issues/3/events
    POST /repos/octo/hello/issues/3/comments
    POST /repos/octo/hello/issues/3/reactions
    ");
    insta::assert_snapshot!(list(started, journal.len()), @"
    DELETE /installation/token
    DELETE /installation/token
    GET /octo/hello.git/info/refs
    GET /octo/hello.git/info/refs
    GET /octo/hello.git/info/refs
    GET /octo/hello.git/info/refs
    GET /repos/octo/hello/contents/.github/track.yml
    POST /app/installations/10005/access_tokens
    POST /app/installations/10005/access_tokens
    POST /octo/hello.git/git-receive-pack
    POST /octo/hello.git/git-upload-pack
    POST /repos/octo/hello/issues/3/reactions
    POST /repos/octo/hello/issues/4/comments
    POST /repos/octo/hello/pulls
    ");
}
