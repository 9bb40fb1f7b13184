//! How the client behaves on the wire: credentials, limits, repetition, secrets.

use std::sync::Mutex;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hyper::Method;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use super::testing::{Fake, config, respond};
use super::*;
use crate::model::{Clock, Number, Repository};

const TOKENS: &str = "/app/installations/3/access_tokens";

fn claims(request: &testing::Seen) -> Value {
    let header = request.header("authorization");
    let part = header.strip_prefix("Bearer ").unwrap().split('.').nth(1).unwrap();
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

#[tokio::test]
async fn every_call_says_who_asks_and_for_which_version() {
    let fake = Fake::start("/api/v3", |request| match request.path.as_str() {
        "/app" => respond(200, json!({})),
        "/repos/octo/hello" => respond(200, json!({})),
        _ => respond(404, json!({})),
    })
    .await;
    let gh = fake.client();
    gh.get::<Value>(As::App, "/app").await.unwrap();
    gh.get::<Value>(As::Repository(&fake.repo()), "/repos/octo/hello").await.unwrap();
    let seen = fake.seen();
    assert_eq!(
        seen.iter().map(|request| request.path.as_str()).collect::<Vec<_>>(),
        ["/app", TOKENS, "/repos/octo/hello"]
    );
    for request in &seen {
        assert_eq!(request.header("accept"), "application/vnd.github+json");
        assert_eq!(request.header("x-github-api-version"), "2022-11-28");
        let named: Vec<_> = request.headers.get_all("user-agent").iter().collect();
        assert_eq!(named, [concat!("track/", env!("CARGO_PKG_VERSION"))]);
        assert_eq!(request.headers.contains_key("content-type"), request.method == "POST");
    }
    let (iat, exp) = (claims(&seen[0])["iat"].as_i64().unwrap(), claims(&seen[0])["exp"].as_i64().unwrap());
    assert_eq!((exp - iat, claims(&seen[0])["iss"].as_u64()), (600, Some(4242)));
    assert_eq!(seen[2].header("authorization"), "Bearer ghs_secret1");
}

// T31
#[tokio::test]
async fn ten_first_calls_at_once_mint_one_narrowed_token() {
    let fake = Fake::start("", |_| respond(200, json!({}))).await;
    let (gh, repo) = (fake.client(), fake.repo());
    let calls = (0..10).map(|_| gh.get::<Value>(As::Repository(&repo), "/repos/octo/hello"));
    for result in futures_util::future::join_all(calls).await {
        result.unwrap();
    }
    assert_eq!(fake.minted(), 1);
    let mint = &fake.seen()[0];
    assert_eq!(
        mint.body,
        json!({ "repository_ids": [5], "permissions": { "contents": "read", "issues": "write", "metadata": "read", "pull_requests": "write" } })
    );
}

// T31
#[tokio::test]
async fn git_tokens_are_for_contents_of_one_repository_and_are_kept_for_45_minutes() {
    let fake = Fake::start("", |_| respond(404, Value::Null)).await;
    let clock = Clock::shifted();
    let (gh, repo) = (fake.client_at(clock.clone()), fake.repo());
    let read = gh.git_token(&repo, false).await.unwrap().unwrap();
    let write = gh.git_token(&repo, true).await.unwrap().unwrap();
    assert_ne!(read.expose_secret(), write.expose_secret());
    let bodies: Vec<_> = fake.seen().into_iter().map(|request| request.body).collect();
    assert_eq!(bodies[0], json!({ "repository_ids": [5], "permissions": { "contents": "read" } }));
    assert_eq!(bodies[1], json!({ "repository_ids": [5], "permissions": { "contents": "write" } }));

    clock.advance(44 * 60_000);
    assert_eq!(gh.git_token(&repo, true).await.unwrap().unwrap().expose_secret(), write.expose_secret());
    clock.advance(2 * 60_000);
    let third = gh.git_token(&repo, true).await.unwrap().unwrap();
    assert_ne!(third.expose_secret(), write.expose_secret());
    gh.forget_git_token(&repo, true).await;
    assert_ne!(gh.git_token(&repo, true).await.unwrap().unwrap().expose_secret(), third.expose_secret());
    assert_eq!(fake.minted(), 4);
}

// T31
#[tokio::test]
async fn a_refused_token_is_minted_anew_once_and_never_in_a_loop() {
    let fake = Fake::start("", |request| match (request.path.as_str(), request.header("authorization").as_str()) {
        ("/once", "Bearer ghs_secret1") | ("/never", _) => respond(401, json!({ "message": "Bad credentials" })),
        _ => respond(201, json!({})),
    })
    .await;
    let (gh, repo) = (fake.client(), fake.repo());
    let body = json!({ "body": "kept" });
    gh.call::<Value>(As::Repository(&repo), Method::POST, "/once", Some(&body)).await.unwrap();
    assert_eq!((fake.minted(), fake.count("POST", "/once")), (2, 2));
    assert_eq!(fake.seen().last().unwrap().body, body);

    let error = gh.get::<Value>(As::Repository(&repo), "/never").await.unwrap_err();
    assert_eq!((fake.minted(), fake.count("GET", "/never")), (3, 2));
    insta::assert_snapshot!(error, @"GET /never: GitHub does not accept the App's credentials (Bad credentials); check GITHUB_APP_ID, the private key and this machine's clock");
    assert!(error.retry_at(1, 0) >= Some(30_000), "not at once again: GitHub bans who insists");
}

// T30
#[tokio::test]
async fn git_tokens_are_given_back_and_made_anew_when_they_are_wanted_again() {
    let fake = Fake::start("", |_| respond(204, Value::Null)).await;
    let (gh, repo) = (fake.client(), fake.repo());
    gh.revoke_git_tokens(&repo).await;
    assert!(fake.seen().is_empty());
    let read = gh.git_token(&repo, false).await.unwrap().unwrap();
    let write = gh.git_token(&repo, true).await.unwrap().unwrap();
    gh.get::<Value>(As::Repository(&repo), "/x").await.unwrap();
    gh.revoke_git_tokens(&repo).await;
    let ended = fake.seen().into_iter().filter(|request| request.method == "DELETE");
    let ended: Vec<_> = ended.map(|request| (request.path.clone(), request.header("authorization"))).collect();
    let end_of =
        |token: &secrecy::SecretString| ("/installation/token".to_owned(), format!("Bearer {}", token.expose_secret()));
    assert_eq!(ended, [end_of(&read), end_of(&write)]);
    assert_ne!(gh.git_token(&repo, false).await.unwrap().unwrap().expose_secret(), read.expose_secret());
    gh.get::<Value>(As::Repository(&repo), "/x").await.unwrap();
    assert_eq!(fake.minted(), 4, "the API's own token stays");
}

// T11
#[tokio::test]
async fn a_repository_is_found_again_behind_another_installation() {
    let gone =
        |request: &testing::Seen| (request.path == TOKENS).then(|| respond(404, json!({ "message": "Not Found" })));
    let fake = Fake::start_with("", gone, |request| match request.path.as_str() {
        "/repos/octo/hello/installation" => respond(200, json!({ "id": 9 })),
        _ => respond(200, json!({})),
    })
    .await;
    let (gh, repo) = (fake.client(), fake.repo());
    for _ in 0..2 {
        gh.get::<Value>(As::Repository(&repo), "/repos/octo/hello").await.unwrap();
        gh.git_token(&repo, true).await.unwrap();
    }
    assert_eq!(fake.count("POST", TOKENS), 1, "the old one is not asked again");
    assert_eq!(fake.count("POST", "/app/installations/9/access_tokens"), 2);
    assert_eq!(fake.count("GET", "/repos/octo/hello/installation"), 1);
}

// T11, T12
#[tokio::test]
async fn an_installation_that_gives_no_token_says_nothing_about_people_and_files() {
    for (code, message) in [(404, "Not Found"), (403, "This installation has been suspended"), (422, "not accessible")]
    {
        let none = move |_: &testing::Seen| Some(respond(code, json!({ "message": message })));
        let fake = Fake::start_with("", none, |request| match request.path.as_str() {
            "/repos/octo/hello/installation" => respond(200, json!({ "id": 3 })),
            _ => panic!("without a token"),
        })
        .await;
        let (gh, repo) = (fake.client(), fake.repo());
        let error = permission::of_login(&gh, &repo, "mona").await.unwrap_err();
        assert!(matches!(error, ApiError::NoInstallation { .. }) && !error.is_not_found(), "{error:?}");
        assert!(error.retry_at(1, 0).is_some() && error.retry_at(12, 0).is_none());
        assert!(matches!(gh.git_token(&repo, false).await, Err(ApiError::NoInstallation { .. })));
    }
}

// T46
#[tokio::test]
async fn a_wrong_clock_is_corrected_by_githubs() {
    // A clock that is five minutes slow still makes a token that has four minutes to live.
    for (ahead, calls) in [(0, 2), (5 * 60, 2), (-5 * 60, 3), (24 * 3600, 3)] {
        let fake = Fake::start("", move |request| {
            let now = chrono::Utc::now() + chrono::TimeDelta::seconds(ahead);
            let (iat, exp) = (claims(request)["iat"].as_i64().unwrap(), claims(request)["exp"].as_i64().unwrap());
            let good = iat <= now.timestamp() && exp > now.timestamp() && exp <= now.timestamp() + 600;
            let date = now.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
            respond(
                if good { 200 } else { 401 },
                json!({ "message": "'Expiration time' claim ('exp') is too far in the future" }),
            )
            .header("date", &date)
        })
        .await;
        let gh = fake.client();
        gh.get::<Value>(As::App, "/app").await.unwrap();
        gh.get::<Value>(As::App, "/app").await.unwrap();
        assert_eq!(fake.seen().len(), calls, "{ahead} s ahead");
    }
}

// F10
#[tokio::test]
async fn during_a_limit_nothing_is_sent() {
    let fake = Fake::start("", |request| match request.path.as_str() {
        "/free" => respond(200, json!({})),
        _ => respond(403, json!({ "message": "You have exceeded a secondary rate limit" })).header("retry-after", "30"),
    })
    .await;
    let clock = Clock::shifted();
    let (gh, repo) = (fake.client_at(clock.clone()), fake.repo());
    let first = gh.get::<Value>(As::Repository(&repo), "/limited").await.unwrap_err();
    let ApiError::RateLimited { until, .. } = first else { panic!("{first:?}") };
    assert!((29_000..=30_000).contains(&(until - clock.now())));
    let sent = fake.seen().len();
    let second = gh.get::<Value>(As::Repository(&repo), "/free").await.unwrap_err();
    assert!(matches!(second, ApiError::RateLimited { until: same, .. } if same == until));
    assert_eq!(fake.seen().len(), sent);
    gh.get::<Value>(As::App, "/free").await.unwrap();
    clock.advance(31_000);
    gh.get::<Value>(As::Repository(&repo), "/free").await.unwrap();
}

// F10, F11: one POST answered 502 must reach the server once.
#[tokio::test]
async fn a_write_is_never_repeated_and_its_lost_answer_is_ambiguous() {
    let fake = Fake::start("", |_| respond(502, Value::Null)).await;
    let (gh, repo) = (fake.client(), fake.repo());
    let error = issues::create_comment(&gh, &repo, Number(7), "hi").await.unwrap_err();
    assert!(error.is_ambiguous(), "{error:?}");
    assert_eq!(fake.count("POST", "/repos/octo/hello/issues/7/comments"), 1);
    assert!(!issues::get(&gh, &repo, Number(7)).await.unwrap_err().is_ambiguous());
}

#[tokio::test]
async fn no_connection_is_no_ambiguous_write() {
    // A port that was free a moment ago refuses.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let gh = GitHub::new(&config(&url), Clock::System).unwrap();
    let error = gh.call::<Value>(As::App, Method::POST, "/x", Some(&json!({}))).await.unwrap_err();
    assert!(matches!(error, ApiError::Unavailable { ambiguous: false, .. }), "{error:?}");
}

// F11
#[tokio::test]
async fn a_connection_that_breaks_after_the_request_is_an_ambiguous_write() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let requests = std::sync::Arc::new(Mutex::new(0));
    let counted = requests.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut bytes = [0; 4096];
            if tokio::io::AsyncReadExt::read(&mut stream, &mut bytes).await.unwrap() > 0 {
                *counted.lock().unwrap() += 1;
            }
        }
    });
    let gh = GitHub::new(&config(&url), Clock::System).unwrap();
    let error = gh.call::<Value>(As::App, Method::POST, "/x", Some(&json!({}))).await.unwrap_err();
    assert!(matches!(error, ApiError::Unavailable { ambiguous: true, .. }), "{error:?}");
    assert_eq!(*requests.lock().unwrap(), 1);
}

// T11, T25
#[tokio::test]
async fn a_renamed_repository_is_followed_and_another_server_is_not() {
    let fake = Fake::start("/api/v3", |request| match request.path.as_str() {
        "/repos/octo/hello" => {
            respond(301, json!({})).header("location", &format!("{}/api/v3/repositories/5", request.origin))
        }
        "/repositories/5" => respond(200, json!({ "auth": request.header("authorization") })),
        "/circle" => respond(302, json!({})).header("location", "/api/v3/circle"),
        _ => respond(307, json!({})).header("location", "http://localhost:1/steal"),
    })
    .await;
    let (gh, repo) = (fake.client(), fake.repo());
    let found: Value = gh.get(As::Repository(&repo), "/repos/octo/hello").await.unwrap();
    assert_eq!(found["auth"], "Bearer ghs_secret1");
    for path in ["/circle", "/elsewhere"] {
        let error = gh.get::<Value>(As::Repository(&repo), path).await.unwrap_err();
        assert!(matches!(error, ApiError::Unreadable { .. }), "{path}: {error:?}");
    }
}

// T08
#[tokio::test]
async fn a_reply_over_the_cap_is_not_read() {
    let fake = Fake::start("", |_| respond(200, Value::String("x".repeat(33 * 1024 * 1024)))).await;
    let error = fake.client().get::<Value>(As::App, "/x").await.unwrap_err();
    insta::assert_snapshot!(error, @"GET /x: the reply cannot be used: larger than 32 MiB");
}

// T45
#[tokio::test]
async fn neither_debug_nor_errors_show_a_secret() {
    let mint = |request: &testing::Seen| {
        let write = request.body["permissions"]["contents"] == "write";
        write.then(|| respond(201, json!({ "token": "ghs_leaky", "expires_at": 5 })))
    };
    let fake = Fake::start_with("", mint, |_| respond(200, json!("ok"))).await;
    let (gh, repo) = (fake.client(), fake.repo());
    gh.get::<Value>(As::Repository(&repo), "/x").await.unwrap();
    let shown = format!("{gh:?}");
    assert!(
        shown.starts_with("GitHub { api_url: \"http://127.0.0.1:") && shown.ends_with("app_id: 4242, .. }"),
        "{shown}"
    );
    let error = gh.git_token(&repo, true).await.unwrap_err();
    assert!(!format!("{error:?} {error}").contains("ghs_"), "{error:?}");
}

#[tokio::test]
async fn a_bad_key_or_address_is_found_at_the_start() {
    let mut bad_key = config("https://api.github.com");
    bad_key.private_key = "-----BEGIN RSA PRIVATE KEY-----\nQUJD\n-----END RSA PRIVATE KEY-----\n".to_owned().into();
    let error = GitHub::new(&bad_key, Clock::System).unwrap_err();
    insta::assert_snapshot!(error, @"the App's private key is not usable: it must be the RSA key in PEM that GitHub gave (-----BEGIN RSA PRIVATE KEY-----); set GITHUB_APP_PRIVATE_KEY or GITHUB_APP_PRIVATE_KEY_PATH");
    let error = GitHub::new(&config("api.github.com"), Clock::System).unwrap_err();
    insta::assert_snapshot!(format!("{error:#}"), @r#"GITHUB_API_URL: "api.github.com" is no http(s) address; set it like https://api.github.com"#);
}

// B36
#[tokio::test]
async fn where_the_app_is_not_installed_nobody_speaks_and_only_reads() {
    let fake = Fake::start("", |request| match (request.path.as_str(), request.header("authorization").as_str()) {
        ("/full", _) => respond(429, json!({ "message": "API rate limit exceeded" })).header("retry-after", "60"),
        (_, "") => respond(200, json!({})),
        _ => respond(201, json!({})),
    })
    .await;
    let gh = fake.client();
    let foreign = Repository { installation: None, ..fake.repo() };
    gh.get::<Value>(As::Repository(&foreign), "/x").await.unwrap();
    gh.get::<Value>(As::Checks(&foreign), "/x").await.unwrap();
    assert!(fake.seen().iter().all(|request| request.header("authorization").is_empty()));
    assert!(gh.git_token(&foreign, false).await.unwrap().is_none());
    gh.forget_git_token(&foreign, false).await;
    gh.revoke_git_tokens(&foreign).await;

    let body = json!({ "body": "never said" });
    let error = gh.call::<Value>(As::Repository(&foreign), Method::POST, "/x", Some(&body)).await.unwrap_err();
    insta::assert_snapshot!(error, @"POST /x: the App's installation gives no token (the App is not installed there); see that the App is installed there and not suspended");
    assert_eq!((fake.minted(), fake.count("POST", "/x")), (0, 0));

    // F10: the few calls that nobody has are nobody's alone.
    gh.get::<Value>(As::Repository(&foreign), "/full").await.unwrap_err();
    let limited = gh.get::<Value>(As::Nobody, "/x").await.unwrap_err();
    assert!(matches!(limited, ApiError::RateLimited { .. }), "{limited}");
    gh.get::<Value>(As::App, "/x").await.unwrap();
    gh.get::<Value>(As::Repository(&fake.repo()), "/x").await.unwrap();
}
