//! The intake as GitHub and others meet it: over TCP, with nothing but bytes.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use bytes::Bytes;
use futures_util::future::join_all;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use sha2::{Digest as _, Sha256};
use sqlx::Row as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use track::db::Db;
use track::db::deliveries::{self, NewDelivery, Source};
use track::http::{self, Limits};
use track::model::Clock;
use track::webhook::health::{self, HealthState};
use track::webhook::{self, BODY_CAP, IntakeState, NotStored, Store, StoreLimits};

const SECRET: &str = "a secret of sixteen bytes or more";
/// Longer than anything may take here; only a hang gets there.
const PATIENCE: Duration = Duration::from_secs(20);

struct Intake {
    address: SocketAddr,
    db: Db,
    store: Store,
    wake: Arc<Notify>,
    stop: CancellationToken,
    serving: JoinHandle<()>,
    writer: JoinHandle<()>,
    client: Client<HttpConnector, Full<Bytes>>,
    _home: tempfile::TempDir,
}

impl Intake {
    async fn start() -> Self {
        Self::with(Limits::default(), StoreLimits::default()).await
    }

    async fn with(limits: Limits, store_limits: StoreLimits) -> Self {
        let home = tempfile::tempdir().unwrap();
        let db = Db::open(&url(&home)).await.unwrap();
        let wake = Arc::new(Notify::new());
        let (store, writer) = Store::spawn_with(db.clone(), Clock::System, wake.clone(), store_limits);
        let stop = CancellationToken::new();
        let health = HealthState::new(store.clone(), stop.clone(), health::collect_metrics().unwrap());
        let router = webhook::router(IntakeState::new(&SECRET.into(), store.clone())).merge(health::router(health));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(http::serve(listener, router, limits, stop.clone()));
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { address, db, store, wake, stop, serving, writer, client, _home: home }
    }

    fn url(&self) -> String {
        url(&self._home)
    }

    /// Sends a body with these headers and no others; returns status and text.
    async fn post(&self, body: impl Into<Bytes>, headers: &[(&str, &str)]) -> (StatusCode, String) {
        let mut request = hyper::Request::post(format!("http://{}/webhooks/github", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = self.client.request(request.body(Full::new(body.into())).unwrap()).await.unwrap();
        let status = response.status();
        let text = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(text.to_vec()).unwrap())
    }

    /// Sends a body as GitHub does.
    async fn deliver(&self, id: &str, body: impl Into<Bytes>) -> StatusCode {
        let body = body.into();
        let signature = sign(&body);
        self.post(body, &named(id, &signature)).await.0
    }

    async fn get(&self, path: &str) -> (StatusCode, String) {
        let response = self.client.get(format!("http://{}{path}", self.address).parse().unwrap()).await.unwrap();
        let status = response.status();
        let text = response.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(text.to_vec()).unwrap())
    }

    async fn stored(&self) -> Vec<String> {
        stored(&self.db).await
    }

    /// Opens a connection and writes `bytes` on it.
    async fn raw(&self, bytes: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream
    }
}

async fn stored(db: &Db) -> Vec<String> {
    let mut conn = db.read().await.unwrap();
    let rows = sqlx::query("select id from delivery order by seq").fetch_all(&mut *conn).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

fn url(home: &tempfile::TempDir) -> String {
    format!("sqlite://{}", home.path().join("track.db").display())
}

fn digits(body: &[u8]) -> String {
    let mut mac: Hmac<Sha256> = Hmac::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(body);
    hex::encode(mac.finalize().into_bytes())
}

fn sign(body: &[u8]) -> String {
    format!("sha256={}", digits(body))
}

fn named<'a>(id: &'a str, signature: &'a str) -> [(&'static str, &'a str); 4] {
    [
        ("content-type", "application/json"),
        ("x-github-event", "issues"),
        ("x-github-delivery", id),
        ("x-hub-signature-256", signature),
    ]
}

/// Everything that the other end sends until it closes.
async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // A reset after the answer is a way to close as well.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("the connection stays open");
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test]
async fn a_delivery_is_stored_as_it_came_and_wakes_the_inbox() {
    let intake = Intake::start().await;
    let body = Bytes::from_static(b"{ \"action\": \"labeled\",\n \"nul\": \"\\u0000\" }\n\xff");
    assert_eq!(intake.deliver("72d3162e-cc78-11e3-81ab-4c9367dc0958", body.clone()).await, StatusCode::ACCEPTED);
    timeout(PATIENCE, intake.wake.notified()).await.unwrap();
    let mut conn = intake.db.read().await.unwrap();
    let rows = deliveries::without_lane(&mut conn, 10).await.unwrap();
    assert_eq!(rows.len(), 1);
    let row = deliveries::get_new(&mut conn, rows[0], i64::MAX).await.unwrap().unwrap();
    assert_eq!(row.id, "72d3162e-cc78-11e3-81ab-4c9367dc0958");
    assert_eq!(row.event, "issues");
    assert_eq!(row.body, body);
    assert_eq!(row.sha256, hex::encode(Sha256::digest(&body)));
}

// T01, T03
#[tokio::test]
async fn every_signature_but_the_right_one_gets_the_same_401() {
    const S: &str = "x-hub-signature-256";
    let intake = Intake::start().await;
    let body = r#"{"action":"labeled"}"#;
    let good = sign(body.as_bytes());
    let hex = digits(body.as_bytes());
    let other = format!("sha256={}", digits(b"another body"));
    let mut flipped = good.clone();
    flipped.replace_range(7..8, if &good[7..8] == "0" { "1" } else { "0" });
    let variants: Vec<Vec<(&str, String)>> = vec![
        vec![],
        vec![(S, String::new())],
        vec![(S, "sha256=".into())],
        vec![(S, other.clone())],
        vec![(S, flipped)],
        vec![(S, good[..good.len() - 1].into())],
        vec![(S, good[..good.len() - 2].into())],
        vec![(S, good[..39].into())],
        vec![(S, format!("{good}0"))],
        vec![(S, format!("{good}00"))],
        vec![(S, format!("SHA256={hex}"))],
        vec![(S, format!("Sha256={hex}"))],
        vec![(S, format!("sha256={}", hex.to_uppercase()))],
        vec![(S, format!("sha256:{hex}"))],
        vec![(S, format!("sha256= {hex}"))],
        vec![(S, format!("sha256={hex},sha256={hex}"))],
        vec![(S, format!("sha512={hex}"))],
        vec![(S, format!("sha1={}", &hex[..40]))],
        vec![(S, hex.clone())],
        vec![(S, format!("sha256={}", "0".repeat(64)))],
        vec![(S, format!("sha256={}", "g".repeat(64)))],
        vec![(S, format!("0x{hex}"))],
        vec![("x-hub-signature", good.clone())],
        vec![("x-hub-signature", format!("sha1={}", &hex[..40]))],
        vec![(S, good.clone()), (S, good.clone())],
        vec![(S, good.clone()), (S, other.clone())],
        vec![(S, other), (S, good.clone())],
    ];
    for signature in &variants {
        let mut headers = vec![
            ("content-type", "application/json"),
            ("x-github-event", "issues"),
            ("x-github-delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958"),
        ];
        headers.extend(signature.iter().map(|(name, value)| (*name, value.as_str())));
        let answer = intake.post(body, &headers).await;
        assert_eq!(answer, (StatusCode::UNAUTHORIZED, "the signature is missing or wrong\n".into()), "{signature:?}");
    }
    assert_eq!(intake.stored().await, Vec::<String>::new());
    assert_eq!(intake.deliver("a", body).await, StatusCode::ACCEPTED, "the right one is still right");
}

// T02
#[tokio::test]
async fn a_body_with_one_bit_flipped_is_another_body() {
    let intake = Intake::start().await;
    let body: Vec<u8> = br#"{"action":"labeled","issue":{"number":42},"label":{"name":"track"}}"#.repeat(15);
    let signature = sign(&body);
    for n in 0..1000 {
        let mut changed = body.clone();
        let bit = n * 7919 % (body.len() * 8);
        changed[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(intake.post(changed, &named("a", &signature)).await.0, StatusCode::UNAUTHORIZED, "bit {bit}");
    }
    for changed in [[&body[..], b" "].concat(), body[1..].to_vec(), Vec::new()] {
        assert_eq!(intake.post(changed, &named("a", &signature)).await.0, StatusCode::UNAUTHORIZED);
    }
    assert_eq!(intake.stored().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_signed_body_needs_the_names_that_github_gives() {
    let intake = Intake::start().await;
    let long = "a".repeat(101);
    let signature = sign(b"{}");
    for (name, value) in [
        ("x-github-delivery", None),
        ("x-github-delivery", Some("")),
        ("x-github-delivery", Some("a b")),
        ("x-github-delivery", Some("<script>")),
        ("x-github-delivery", Some(&long[..])),
        ("x-github-event", None),
        ("x-github-event", Some("issues;drop")),
        ("x-github-event", Some(&long[..])),
    ] {
        let mut headers = named("a", &signature).to_vec();
        headers.retain(|(header, _)| *header != name);
        headers.extend(value.map(|value| (name, value)));
        assert_eq!(intake.post("{}", &headers).await.0, StatusCode::BAD_REQUEST, "{name}: {value:?}");
    }
    // An empty body is signed as any other, and without the signature nothing is said of it.
    let nothing = sign(b"");
    let told = "the body is empty, and every delivery of GitHub's is a JSON object\n".to_owned();
    assert_eq!(intake.post("", &named("a", &nothing)).await, (StatusCode::BAD_REQUEST, told));
    assert_eq!(intake.post("", &named("a", &signature)).await.0, StatusCode::UNAUTHORIZED);
    let headers = [&named("a", &signature)[..], &[("x-github-delivery", "b")]].concat();
    assert_eq!(intake.post("{}", &headers).await.0, StatusCode::BAD_REQUEST, "two ids");
    assert_eq!(intake.stored().await, Vec::<String>::new());
}

// T08
#[tokio::test]
async fn only_plain_json_is_taken() {
    let intake = Intake::start().await;
    let signature = sign(b"{}");
    for (name, value, status) in [
        ("content-type", "application/x-www-form-urlencoded", StatusCode::UNSUPPORTED_MEDIA_TYPE),
        ("content-type", "text/plain", StatusCode::UNSUPPORTED_MEDIA_TYPE),
        ("content-encoding", "gzip", StatusCode::UNSUPPORTED_MEDIA_TYPE),
        ("content-encoding", "br, identity", StatusCode::UNSUPPORTED_MEDIA_TYPE),
        ("content-encoding", "identity", StatusCode::ACCEPTED),
        ("content-type", "application/json; charset=utf-8", StatusCode::ACCEPTED),
    ] {
        let mut headers = named("a", &signature).to_vec();
        headers.retain(|(header, _)| *header != name);
        headers.push((name, value));
        assert_eq!(intake.post("{}", &headers).await.0, status, "{name}: {value}");
    }
}

// T06
#[tokio::test]
async fn bodies_of_25_mib_are_taken_and_larger_ones_refused() {
    let intake = Intake::start().await;
    assert_eq!(intake.deliver("most", vec![b' '; BODY_CAP]).await, StatusCode::ACCEPTED);
    assert_eq!(intake.deliver("more", vec![b' '; BODY_CAP + 1024 * 1024]).await, StatusCode::PAYLOAD_TOO_LARGE);

    // The header alone is enough to refuse, before anything is sent.
    let head = "POST /webhooks/github HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nconnection: close\r\n";
    let mut stream = intake.raw(format!("{head}content-length: 99999999999\r\n\r\n").as_bytes()).await;
    assert!(rest(&mut stream).await.starts_with("HTTP/1.1 413 "));

    // Without a length the bytes are counted as they come.
    let stream = intake.raw(format!("{head}transfer-encoding: chunked\r\n\r\n").as_bytes()).await;
    let (mut reader, mut writer) = stream.into_split();
    let sending = tokio::spawn(async move {
        let chunk = [b"10000\r\n".as_slice(), &[b' '; 0x10000], b"\r\n"].concat();
        // One chunk more than fits; the end never comes.
        for _ in 0..=BODY_CAP / 0x10000 {
            if writer.write_all(&chunk).await.is_err() {
                break;
            }
        }
        writer
    });
    let mut answer = [0; 12];
    timeout(PATIENCE, reader.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
    sending.await.unwrap();
    assert_eq!(intake.stored().await, ["most"]);
}

// T06
#[tokio::test]
async fn a_chunked_body_is_as_good_as_one_with_a_length() {
    let intake = Intake::start().await;
    let request = format!(
        "POST /webhooks/github HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\ncontent-type: application/json\r\n\
         x-github-event: issues\r\nx-github-delivery: a\r\nx-hub-signature-256: {}\r\n\r\n1\r\n{{\r\n1\r\n}}\r\n0\r\n\r\n",
        sign(b"{}")
    );
    let mut stream = intake.raw(request.as_bytes()).await;
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
    assert_eq!(intake.stored().await, ["a"]);
}

// T04
#[tokio::test]
async fn one_delivery_a_hundred_times_at_once_is_one_row() {
    let intake = Intake::start().await;
    let statuses = join_all((0..100).map(|_| intake.deliver("a", "{}"))).await;
    assert!(statuses.iter().all(|status| *status == StatusCode::ACCEPTED), "{statuses:?}");
    assert_eq!(intake.stored().await, ["a"]);
    let (_, metrics) = intake.get("/metrics").await;
    assert!(metrics.contains("track_deliveries_total{result=\"stored\"} 1\n"), "{metrics}");
    assert!(metrics.contains("track_deliveries_total{result=\"duplicate\"} 99\n"), "{metrics}");
    assert!(metrics.contains("track_delivery_group_size_bucket{le=\"64\"}"), "{metrics}");
}

// F14
#[tokio::test]
async fn nothing_is_acknowledged_while_another_holds_the_database() {
    let limits = StoreLimits { commit: Duration::from_millis(300), queue: 8, ..StoreLimits::default() };
    let intake = Intake::with(Limits::default(), limits).await;
    assert_eq!(intake.deliver("before", "{}").await, StatusCode::ACCEPTED);

    let other = Db::open(&intake.url()).await.unwrap();
    let lock = other.begin().await.unwrap();
    let ids: Vec<String> = (0..20).map(|n| format!("during-{n}")).collect();
    let statuses = join_all(ids.iter().map(|id| intake.deliver(id, "{}"))).await;
    assert!(statuses.iter().all(|status| *status == StatusCode::SERVICE_UNAVAILABLE), "{statuses:?}");
    let signature = sign(b"{}");
    let mut stream = intake
        .raw(
            format!(
                "POST /webhooks/github HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 2\r\ncontent-type: application/json\r\n\
                 x-github-event: issues\r\nx-github-delivery: during\r\nx-hub-signature-256: {signature}\r\n\r\n{{}}"
            )
            .as_bytes(),
        )
        .await;
    assert!(rest(&mut stream).await.to_lowercase().contains("retry-after: 10\r\n"));
    assert_eq!(intake.get("/readyz").await.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(intake.get("/healthz").await.0, StatusCode::OK, "the process itself is well");
    assert_eq!(intake.stored().await, ["before"]);

    drop(lock);
    // The writer may still be asleep in SQLite's wait for the lock.
    let back = async { while intake.deliver("after", "{}").await != StatusCode::ACCEPTED {} };
    timeout(PATIENCE, back).await.unwrap();
    assert!(intake.stored().await.contains(&"after".to_owned()));
}

// T09
#[tokio::test]
async fn slow_and_idle_clients_are_closed_and_others_served() {
    let short = Duration::from_millis(200);
    let limits = Limits { head: short, body: short, idle: short, ..Limits::default() };
    let intake = Intake::with(limits, StoreLimits::default()).await;
    let head = "POST /webhooks/github HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";

    let mut silent = intake.raw(b"").await;
    let mut half_head = intake.raw(head.as_bytes()).await;
    let mut no_body = intake.raw(format!("{head}content-length: 5\r\n\r\n{{").as_bytes()).await;
    let mut idle = intake.raw(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let dripping = intake.raw(format!("{head}content-length: 1000000\r\n\r\n").as_bytes()).await;
    let (mut dripping, mut tap) = dripping.into_split();
    let drip = tokio::spawn(async move {
        let mut tick = tokio::time::interval(Duration::from_millis(10));
        while tap.write_all(b" ").await.is_ok() {
            tick.tick().await;
        }
    });

    assert_eq!(intake.deliver("a", "{}").await, StatusCode::ACCEPTED);
    assert_eq!(rest(&mut silent).await, "");
    assert_eq!(rest(&mut half_head).await, "");
    assert!(rest(&mut no_body).await.starts_with("HTTP/1.1 408 "));
    assert!(rest(&mut idle).await.starts_with("HTTP/1.1 200 OK"), "answered, then closed");
    let mut answer = [0; 12];
    timeout(PATIENCE, dripping.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(&answer, b"HTTP/1.1 408");
    timeout(PATIENCE, drip).await.expect("a dripping client is closed").unwrap();
}

// T09
#[tokio::test]
async fn one_address_cannot_take_all_connections() {
    let limits = Limits { connections_per_address: 2, ..Limits::default() };
    let intake = Intake::with(limits, StoreLimits::default()).await;
    let get = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
    let mut kept = Vec::new();
    for _ in 0..2 {
        let mut stream = intake.raw(get).await;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        kept.push(stream);
    }
    let mut third = TcpStream::connect(intake.address).await.unwrap();
    assert_eq!(rest(&mut third).await, "", "closed without a word");
    kept.clear();
    let back = async {
        while intake.client.get(format!("http://{}/healthz", intake.address).parse().unwrap()).await.is_err() {}
    };
    timeout(PATIENCE, back).await.unwrap();
}

#[tokio::test]
async fn a_stop_finishes_what_was_begun_and_begins_nothing_new() {
    let intake =
        Intake::with(Limits { finish: Duration::from_secs(5), ..Limits::default() }, StoreLimits::default()).await;
    assert_eq!(intake.get("/readyz").await, (StatusCode::OK, "ready\n".into()));
    let mut idle = intake.raw(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let mut answer = [0; 12];
    idle.read_exact(&mut answer).await.unwrap();

    // Its head is there, its body comes after the stop.
    let mut begun = intake
        .raw(
            format!(
                "POST /webhooks/github HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\ncontent-type: application/json\r\nexpect: 100-continue\r\n\
                 x-github-event: issues\r\nx-github-delivery: begun\r\nx-hub-signature-256: {}\r\n\r\n",
                sign(b"{}")
            )
            .as_bytes(),
        )
        .await;
    let mut go_on = [0; 25];
    timeout(PATIENCE, begun.read_exact(&mut go_on)).await.unwrap().unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");

    intake.stop.cancel();
    let asked = Instant::now();
    rest(&mut idle).await;
    let closed = async { while TcpStream::connect(intake.address).await.is_ok() {} };
    timeout(PATIENCE, closed).await.unwrap();
    assert!(asked.elapsed() < Duration::from_secs(1), "the listener closes at once");

    begun.write_all(b"{}").await.unwrap();
    let answer = rest(&mut begun).await;
    assert!(answer.starts_with("HTTP/1.1 202 "), "{answer}");
    timeout(PATIENCE, intake.serving).await.unwrap().unwrap();
    intake.store.stop();
    timeout(PATIENCE, intake.writer).await.unwrap().unwrap();
    let mut conn = intake.db.read().await.unwrap();
    assert!(deliveries::seq_of(&mut conn, "begun").await.unwrap().is_some());
}

#[tokio::test]
async fn a_stop_commits_what_was_let_in() {
    let intake = Intake::start().await;
    let lock = intake.db.begin().await.unwrap();
    let delivery = |n: usize| NewDelivery {
        id: format!("d-{n}"),
        event: "issues".into(),
        body: Bytes::from_static(b"{}").into(),
        sha256: hex::encode(Sha256::digest(b"{}")),
        source: Source::Sweep,
        received_at: 1,
    };
    let mut putting = pin!(join_all((0..50).map(|n| intake.store.put(delivery(n)))));
    tokio::select! {
        biased;
        _ = &mut putting => panic!("stored although nothing can be written"),
        // All fifty are in the queue, or in the hands of the writer, which waits for the lock.
        () = std::future::ready(()) => intake.store.stop(),
    }
    drop(lock);
    assert_eq!(timeout(PATIENCE, putting).await.unwrap(), [Ok(()); 50]);
    timeout(PATIENCE, intake.writer).await.unwrap().unwrap();
    assert_eq!(intake.store.put(delivery(50)).await, Err(NotStored::Stopping));
    assert_eq!(stored(&intake.db).await.len(), 50);
}

#[tokio::test]
async fn a_unix_socket_is_served_the_same_way() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("track.sock");
    let stop = CancellationToken::new();
    let router = axum::Router::new().route("/", axum::routing::get(async || "hello"));
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    let serving = tokio::spawn(http::serve(listener, router, Limits::default(), stop.clone()));
    let mut stream = tokio::net::UnixStream::connect(&path).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("hello"), "{answer}");
    stop.cancel();
    timeout(PATIENCE, serving).await.unwrap().unwrap();
}
