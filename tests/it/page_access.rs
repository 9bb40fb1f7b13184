//! Who may use which page: every route that there is, with every sort of visitor (T42 to T44).

use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, ORIGIN};
use hyper::{Method, StatusCode};
use track::admin::access::{Access, Declared};
use track::admin::{self, Admin};
use track::db;
use track::model::{Account, AccountId, Role, Via};

use crate::harness::page::{Browser, words};
use crate::harness::{MAINTAINER, World};

/// Every route, its parameters filled in with what does not exist.
fn routes(world: &World) -> Vec<(Declared, String)> {
    let declared = admin::declared(&Admin::new(world.bot().context().clone()));
    assert!(declared.len() > 5);
    declared
        .into_iter()
        .map(|route| {
            let path: Vec<&str> = route
                .path
                .split('/')
                .map(|part| if part.starts_with('{') { "01ARZ3NDEKTSV4RRFFQ69G5FAV" } else { part })
                .collect();
            let path = path.join("/");
            (route, path)
        })
        .collect()
}

async fn ask(browser: &mut Browser, route: &Declared, path: &str) -> (StatusCode, hyper::HeaderMap) {
    // Answers of streams do not end: their heads are enough.
    let request = browser.request(route.method.clone(), path).header(ORIGIN, browser.base.clone());
    let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    let answer = browser.send(request.body(Full::default()).unwrap()).await;
    (answer.status(), answer.headers().clone())
}

// T42
#[tokio::test]
async fn nobody_gets_past_a_route_without_being_let_in() {
    let world = World::new().await;
    let routes = routes(&world);
    let nobody = world.browser();
    let mut forged = nobody.clone();
    forged.cookies.insert("__Host-track".into(), "ab".repeat(32));
    let mut expired = world.signed_in(MAINTAINER).await;
    world.clock.advance(8 * 24 * 3_600_000);
    let mut signed_out = world.signed_in(MAINTAINER).await;
    let kept = signed_out.cookies.clone();
    assert_eq!(signed_out.submit("/admin", "/admin/sign-out", &[]).await.status, StatusCode::SEE_OTHER);
    signed_out.cookies = kept;
    for (route, path) in &routes {
        for (who, visitor) in [
            ("nobody", &mut nobody.clone()),
            ("forged", &mut forged),
            ("expired", &mut expired),
            ("signed out", &mut signed_out),
        ] {
            let (status, headers) = ask(visitor, route, path).await;
            let expected = route.access == Access::Public;
            assert_eq!(status != StatusCode::UNAUTHORIZED, expected, "{who}: {} {path}: {status}", route.method);
            assert!(headers.contains_key("content-security-policy"), "{who}: {path}");
        }
    }
}

// T42: whoever may write in no repository sees nothing, and what is for admins is for admins.
#[tokio::test]
async fn viewers_do_not_get_what_is_for_admins() {
    let world = World::new().await;
    let mut viewer = world.browser();
    let secret = "cd".repeat(32);
    let now = world.clock.now();
    let signed_in = db::sign_ins::SignedIn {
        id: hex::encode(<sha2::Sha256 as sha2::Digest>::digest(&secret)),
        via: Via::Link,
        account: Some(Account { id: AccountId(77), login: "vera".into() }),
        role: Role::Viewer,
        created_at: now,
        checked_at: now,
        expires_at: now + 60_000,
    };
    let mut tx = world.db().begin().await.unwrap();
    db::sign_ins::insert(&mut tx, &signed_in).await.unwrap();
    tx.commit().await.unwrap();
    viewer.cookies.insert("__Host-track".into(), secret);
    for (route, path) in routes(&world) {
        let (status, _) = ask(&mut viewer, &route, &path).await;
        match route.access {
            Access::Admin => assert_eq!(status, StatusCode::FORBIDDEN, "{path}"),
            // The token is missing.
            Access::SignedIn if route.method == Method::POST => assert_eq!(status, StatusCode::FORBIDDEN, "{path}"),
            Access::SignedIn => assert!(status.is_success() || status == StatusCode::NOT_FOUND, "{path}: {status}"),
            Access::Public => {}
        }
    }
    let board = viewer.get("/admin").await;
    assert!(!words(&board.text).contains("Deliveries"), "the navigation names no page of admins");
}

// T44
#[tokio::test]
async fn changes_come_from_pages_of_ours_only() {
    let world = World::new().await;
    let mut admin = world.signed_in(MAINTAINER).await;
    let token = admin.get("/admin").await.csrf();
    let other = world.signed_in(MAINTAINER).await.get("/admin").await.csrf();
    let own = admin.base.clone();
    for (route, path) in routes(&world).iter().filter(|(route, _)| route.method == Method::POST) {
        let foreign = [
            (Some("https://evil.example"), None, Some(&token)),
            (Some("null"), None, Some(&token)),
            (None, None, Some(&token)),
            (Some(own.as_str()), Some("cross-site"), Some(&token)),
            (Some(own.as_str()), Some("same-site"), Some(&token)),
            (Some(own.as_str()), None, None),
            (Some(own.as_str()), None, Some(&other)),
        ];
        for (origin, site, token) in foreign {
            if route.access == Access::Public && origin == Some(own.as_str()) && site.is_none() {
                continue;
            }
            let mut request =
                admin.request(Method::POST, path).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
            if let Some(origin) = origin {
                request = request.header(ORIGIN, origin);
            }
            if let Some(site) = site {
                request = request.header("sec-fetch-site", site);
            }
            let form = token.map(|token| format!("csrf={token}")).unwrap_or_default();
            let answer = admin.send(request.body(Full::from(form)).unwrap()).await;
            assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{path} {origin:?} {site:?}");
        }
    }
    assert_eq!(admin.get("/admin").await.status, StatusCode::OK, "nothing of it signed anybody out");
}

// T44
#[tokio::test]
async fn every_answer_says_what_the_browser_may_do() {
    let world = World::new().await;
    let mut admin = world.signed_in(MAINTAINER).await;
    let mut nobody = world.browser();
    for path in [
        "/admin",
        "/admin/nowhere",
        "/nowhere",
        "/admin/assets/x.css",
        "/admin/sign-in",
        "/admin/sign-in/callback",
        "/",
    ] {
        for visitor in [&mut admin, &mut nobody] {
            let answer = visitor.get(path).await;
            let of = |name: &str| {
                answer.headers.get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
            };
            let policy = of("content-security-policy");
            assert!(policy.starts_with("default-src 'self'; ") && !policy.contains("unsafe"), "{path}: {policy}");
            assert!(policy.contains("frame-ancestors 'none'"), "{path}");
            assert_eq!(of("x-content-type-options"), "nosniff", "{path}");
            assert_eq!(of("x-frame-options"), "DENY", "{path}");
            assert_eq!(of("cache-control"), "no-store", "{path}");
            assert!(
                !answer.text.contains("style=") && !answer.text.contains("<style") && !answer.text.contains("onclick"),
                "{path}"
            );
        }
    }
}

// T42
#[tokio::test]
async fn without_sign_in_through_github_the_page_is_for_this_machine() {
    let world = World::new().await;
    let mut admin = world.signed_in(MAINTAINER).await;
    for (name, value) in
        [("host", "track.example.org"), ("x-forwarded-for", "10.0.0.9"), ("host", "127.0.0.1.evil.example:80")]
    {
        let mut request = admin.request(Method::GET, "/admin").body(Full::default()).unwrap();
        request.headers_mut().insert(name, value.parse().unwrap());
        let answer = admin.send(request).await;
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{name}: {value}");
    }
    assert_eq!(admin.get("/admin").await.status, StatusCode::OK);
}

// T44
#[tokio::test]
async fn a_link_works_once_and_signs_in_anew() {
    let world = World::new().await;
    let link = admin::sign_in::link(world.bot().context(), Some(MAINTAINER), Some("/admin/runs")).await.unwrap();
    let mut browser = world.browser();
    browser.cookies.insert("__Host-track".into(), "planted".into());
    let first = browser.get(&link.url).await;
    assert_eq!(first.location(), "/admin/runs");
    assert_ne!(browser.cookies["__Host-track"], "planted");
    let cookie = first.headers["set-cookie"].to_str().unwrap();
    assert!(cookie.contains("; Path=/; Secure; HttpOnly; SameSite=Lax; "), "{cookie}");
    let again = world.browser().get(&link.url).await;
    assert_eq!(again.status, StatusCode::FORBIDDEN);
    assert!(words(&again.text).contains("This link was used before, or is older than ten minutes."));
    let late = admin::sign_in::link(world.bot().context(), None, None).await.unwrap();
    world.clock.advance(11 * 60_000);
    assert_eq!(world.browser().get(&late.url).await.status, StatusCode::FORBIDDEN);
}
