//! People sign in with the App, and teams say who they are.

use base64::Engine as _;
use sha2::{Digest as _, Sha256};

use super::*;

const CALLBACK: &str = "http://127.0.0.1:7777/admin/sign-in/callback";
const AUTHORIZE: &str = "/login/oauth/authorize";
const VERIFIER: &str = "a verifier of at least forty-three characters, as RFC 7636 wants";

fn challenge() -> String {
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER))
}

fn query(more: &[(&str, &str)]) -> String {
    let app = AppSettings::new(SECRET.into());
    let challenge = challenge();
    let fields = [
        ("client_id", app.client_id.as_str()),
        ("redirect_uri", CALLBACK),
        ("state", "s t&te"),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ];
    let kept = fields.into_iter().filter(|(name, _)| more.iter().all(|(other, _)| other != name));
    web::urlencoded(&kept.chain(more.iter().copied().filter(|(_, value)| !value.is_empty())).collect::<Vec<_>>())
}

/// Authorizes as somebody; gives the code.
async fn code(world: &World, login: &str) -> String {
    let (status, headers, _) = world.form(&format!("{AUTHORIZE}?{}", query(&[("login", login)])), &[]).await;
    assert_eq!(status, 302);
    let (place, field) = led(&headers);
    assert_eq!((place.as_str(), field("state").as_deref()), (CALLBACK, Some("s t&te")));
    field("code").unwrap()
}

/// Exchanges a code, with some fields changed or left out.
async fn exchange(world: &World, code: &str, change: &[(&str, &str)]) -> Value {
    let app = AppSettings::new(SECRET.into());
    let fields = [
        ("client_id", app.client_id.as_str()),
        ("client_secret", "the simulated App's client secret"),
        ("code", code),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ];
    let changed = |(name, value)| (name, change.iter().find(|(of, _)| *of == name).map_or(value, |(_, other)| *other));
    let fields: Vec<(&str, &str)> = fields.map(changed).into_iter().filter(|(_, value)| !value.is_empty()).collect();
    let request =
        Request::post(format!("{}/login/oauth/access_token", world.sim.url())).header("accept", "application/json");
    let (status, _, text) = world.browse(request, web::urlencoded(&fields)).await;
    assert_eq!(status, 200);
    serde_json::from_str(&text).unwrap()
}

#[tokio::test]
async fn a_person_signs_in_and_out() {
    let world = World::new().await;
    world.sim.add_user("mona");
    let (status, headers, page) = world.page(&format!("{AUTHORIZE}?{}", query(&[("login", "mona")]))).await;
    assert_eq!(status, 200);
    assert!(page.contains("Authorize track") && page.contains("<option selected>mona"), "{page}");
    let policy = headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("form-action 'self' http://127.0.0.1:7777;"), "{policy}");

    let granted = exchange(&world, &code(&world, "mona").await, &[]).await;
    let token = granted["access_token"].as_str().unwrap();
    assert!(token.starts_with("ghu_") && granted["token_type"] == "bearer", "{granted}");
    let auth = format!("Bearer {token}");
    let (status, user) = world.call("GET", "/user", &auth, json!({})).await.unwrap();
    assert_eq!((status, user["login"].as_str()), (200, Some("mona")));
    let (status, _) = world.call("GET", &format!("/repos/{REPO}"), &auth, json!({})).await.unwrap();
    assert_eq!(status, 403);

    let renewed = world
        .browse(
            Request::post(format!("{}/login/oauth/access_token", world.sim.url())),
            web::urlencoded(&[
                ("client_id", &world.sim.app().client_id),
                ("client_secret", "the simulated App's client secret"),
                ("grant_type", "refresh_token"),
                ("refresh_token", granted["refresh_token"].as_str().unwrap()),
            ]),
        )
        .await;
    assert!(renewed.2.starts_with("access_token=ghu_") || renewed.2.contains("&access_token=ghu_"), "{}", renewed.2);

    let app = world.sim.app();
    let basic = |secret: &str| {
        let pair = format!("{}:{secret}", app.client_id);
        format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair))
    };
    let right = basic("the simulated App's client secret");
    let path = format!("/applications/{}/token", app.client_id);
    for (auth, token, expected) in [
        (basic("wrong"), token, 401),
        (String::new(), token, 401),
        (right.clone(), "ghu_unknown", 422),
        (right.clone(), token, 204),
        (right, token, 422),
    ] {
        let answer = world.call("DELETE", &path, &auth, json!({ "access_token": token })).await.unwrap();
        assert_eq!(answer.0, expected, "{}", answer.1);
    }
    assert_eq!(world.call("GET", "/user", &auth, json!({})).await.unwrap().0, 401);
}

#[tokio::test]
async fn a_code_is_good_once_for_the_right_client_and_not_for_long() {
    let clock = Clock::shifted();
    let world = World::with(|options| options.clock = clock.clone()).await;
    for (change, error) in [
        (("client_secret", "wrong"), "incorrect_client_credentials"),
        (("client_id", "Iv1.other"), "incorrect_client_credentials"),
        (("code", "wrong"), "bad_verification_code"),
        (("code_verifier", "wrong"), "bad_verification_code"),
        (("code_verifier", ""), "bad_verification_code"),
        (("redirect_uri", "http://127.0.0.1:7777/"), "redirect_uri_mismatch"),
    ] {
        let refused = exchange(&world, &code(&world, "octo").await, &[change]).await;
        assert_eq!(refused["error"], error, "{change:?}: {refused}");
        assert!(refused["error_uri"].as_str().unwrap().ends_with(&error.replace('_', "-")));
    }
    let used = code(&world, "octo").await;
    assert!(exchange(&world, &used, &[]).await["access_token"].is_string());
    assert_eq!(exchange(&world, &used, &[]).await["error"], "bad_verification_code");
    let late = code(&world, "octo").await;
    clock.advance(600_000);
    assert_eq!(exchange(&world, &late, &[]).await["error"], "bad_verification_code");
}

#[tokio::test]
async fn an_authorization_leads_to_the_registered_callback_alone() {
    let world = World::new().await;
    world.sim.set_callback_url("https://track.example.org/admin/callback");
    let ask = async |more: &[(&str, &str)]| world.page(&format!("{AUTHORIZE}?{}", query(more))).await;
    for elsewhere in ["https://evil.example/admin/callback", "https://track.example.org/admin/callback/x", CALLBACK] {
        let (status, headers, _) = ask(&[("redirect_uri", elsewhere)]).await;
        let (place, field) = led(&headers);
        assert_eq!((status, place.as_str()), (302, "https://track.example.org/admin/callback"), "{elsewhere}");
        assert_eq!(field("error").as_deref(), Some("redirect_uri_mismatch"));
    }
    world.sim.set_callback_url(CALLBACK);
    assert_eq!(ask(&[("client_id", "Iv1.other")]).await.0, 404);
    assert_eq!(ask(&[("code_challenge_method", "plain")]).await.0, 422);
    assert_eq!(ask(&[("redirect_uri", "")]).await.0, 200);

    let path = format!("{AUTHORIZE}?{}", query(&[]));
    let (_, headers, _) = world.form(&path, &[("decision", "cancel"), ("login", "octo")]).await;
    let (place, field) = led(&headers);
    assert_eq!((place.as_str(), field("error").as_deref()), (CALLBACK, Some("access_denied")));
    assert_eq!(field("code"), None);
    assert_eq!(world.form(&path, &[("login", "nobody")]).await.0, 422);
    let foreign = Request::post(format!("{}{path}", world.sim.url())).header("origin", "https://evil.example");
    assert_eq!(world.browse(foreign, "login=octo".to_owned()).await.0, 403);
}

#[tokio::test]
async fn a_team_has_the_members_it_was_given() {
    let world = World::new().await;
    world.sim.add_organization("acme");
    world.sim.add_repository("acme/site", &[("a", "a")]).await.unwrap();
    world.sim.add_to_team("acme", "Crew", &["mona", "lisa"]).unwrap();
    world.sim.invite_to_team("acme", "crew", &["newcomer"]).unwrap();
    world.sim.remove_from_team("acme", "crew", &["lisa"]).unwrap();
    assert!(world.sim.add_to_team("octo", "crew", &["mona"]).is_err());
    let jwt = jwt(|_| {});
    let (_, on) = world.call("GET", "/repos/acme/site/installation", &jwt, json!({})).await.unwrap();
    let mint = async |narrowing: Value| {
        let path = format!("/app/installations/{}/access_tokens", on["id"]);
        let (status, token) = world.call("POST", &path, &jwt, narrowing).await.unwrap();
        assert_eq!(status, 201, "{token}");
        format!("token {}", token["token"].as_str().unwrap())
    };
    let members = mint(json!({ "permissions": { "members": "read" } })).await;
    let contents = mint(json!({ "permissions": { "contents": "read" } })).await;
    let elsewhere = world.token(json!({})).await;
    for (auth, path, expected) in [
        (&members, "acme/teams/crew/memberships/mona", (200, Some("active"))),
        (&members, "acme/teams/crew/memberships/newcomer", (200, Some("pending"))),
        (&members, "acme/teams/crew/memberships/lisa", (404, None)),
        (&members, "acme/teams/crew/memberships/nobody", (404, None)),
        (&members, "acme/teams/other/memberships/mona", (404, None)),
        (&members, "nowhere/teams/crew/memberships/mona", (404, None)),
        (&contents, "acme/teams/crew/memberships/mona", (403, None)),
        (&elsewhere, "acme/teams/crew/memberships/mona", (403, None)),
        (&jwt, "acme/teams/crew/memberships/mona", (401, None)),
    ] {
        let (status, value) = world.call("GET", &format!("/orgs/{path}"), auth, json!({})).await.unwrap();
        assert_eq!((status, value["state"].as_str()), expected, "{path}: {value}");
    }
}
