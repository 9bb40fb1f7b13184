//! An App is created from a manifest and installed.

use super::*;

fn manifest(change: impl FnOnce(&mut Value)) -> String {
    let mut manifest = json!({
        "name": "track of octo",
        "url": "https://track.example.org",
        "hook_attributes": { "url": "https://track.example.org/webhooks/github", "active": true },
        "redirect_url": "http://127.0.0.1:7777/setup/created",
        "callback_urls": ["http://127.0.0.1:7777/admin/callback"],
        "setup_url": "http://127.0.0.1:7777/setup/installed",
        "public": false,
        "default_permissions": { "contents": "write", "issues": "write" },
        "default_events": ["issues"],
    });
    change(&mut manifest);
    manifest.to_string()
}

/// Presses the button; gives the code.
async fn create(world: &World, place: &str, name: &str) -> String {
    let fields = [("manifest", manifest(|_| {})), ("state", "s1".to_owned()), ("name", name.to_owned())];
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let (status, headers, page) = world.form(place, &[&fields[..], &[("login", "octo")]].concat()).await;
    assert_eq!(status, 302, "{page}");
    let (place, field) = led(&headers);
    assert_eq!((place.as_str(), field("state").as_deref()), ("http://127.0.0.1:7777/setup/created", Some("s1")));
    field("code").unwrap()
}

async fn convert(world: &World, code: &str) -> (u16, Value) {
    world.call("POST", &format!("/app-manifests/{code}/conversions"), "", json!({})).await.unwrap()
}

#[tokio::test]
async fn an_app_is_created_handed_out_once_and_installed() {
    let world = World::new().await;
    let before = world.token(json!({})).await;
    world.sim.add_repository("octo/other", &[("a", "a")]).await.unwrap();
    let place = "/settings/apps/new?state=s1";
    let (status, headers, page) = world.form(place, &[("manifest", &manifest(|_| {}))]).await;
    assert_eq!(status, 200, "{page}");
    assert!(page.contains("value=\"track of octo\"") && page.contains("value=\"s1\""), "{page}");
    assert!(headers["content-security-policy"].to_str().unwrap().contains("'self' http://127.0.0.1:7777;"));

    let code = create(&world, "/settings/apps", "track of octo").await;
    let (status, app) = convert(&world, &code).await;
    assert_eq!((status, app["slug"].as_str()), (201, Some("track-of-octo")), "{app}");
    assert_eq!((app["owner"]["login"].as_str(), app["name"].as_str()), (Some("octo"), Some("track of octo")));
    assert_eq!(app["permissions"], json!({ "contents": "write", "issues": "write", "metadata": "read" }));
    assert_eq!(app["events"], json!(["issues"]));
    assert!(app["webhook_secret"].as_str().unwrap().len() >= 16 && app["client_secret"].is_string());
    assert_eq!(convert(&world, &code).await.0, 404);

    // The new key opens, the old one does not, and the old App's token is worth nothing.
    let key = jsonwebtoken::EncodingKey::from_rsa_pem(app["pem"].as_str().unwrap().as_bytes()).unwrap();
    let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::RS256);
    let now = Clock::System.now() / 1000;
    let claims = json!({ "iss": app["id"].to_string(), "iat": now - 60, "exp": now + 500 });
    let signed = format!("Bearer {}", jsonwebtoken::encode(&header, &claims, &key).unwrap());
    let (status, me) = world.call("GET", "/app", &signed, json!({})).await.unwrap();
    assert_eq!((status, &me["id"], &me["client_id"]), (200, &app["id"], &app["client_id"]));
    assert_eq!(world.call("GET", "/app", &jwt(|_| {}), json!({})).await.unwrap().0, 401);
    assert_eq!(world.call("GET", &format!("/repos/{REPO}"), &before, json!({})).await.unwrap().0, 401);

    // One that is not public can be installed by its owner alone.
    world.sim.add_organization("acme");
    let (_, headers, page) = world.page("/apps/track-of-octo/installations/new").await;
    assert!(page.contains("octo/hello") && page.contains("Install on octo") && !page.contains("acme"), "{page}");
    assert!(headers["content-security-policy"].to_str().unwrap().contains("'self' http://127.0.0.1:7777;"));
    let receiver = world.sim.app().webhook_url;
    assert_eq!(receiver.as_deref(), Some("https://track.example.org/webhooks/github"));
    let installing = "/apps/track-of-octo/installations";
    let only = [("account", "octo"), ("selection", "selected")];
    assert_eq!(world.form(installing, &only).await.0, 422);
    assert_eq!(world.form(installing, &[("account", "acme"), ("selection", "all")]).await.0, 404);
    let (status, headers, _) = world.form(installing, &[&only[..], &[("repository", REPO)]].concat()).await;
    let (place, field) = led(&headers);
    assert_eq!((status, place.as_str()), (302, "http://127.0.0.1:7777/setup/installed"));
    assert_eq!(field("setup_action").as_deref(), Some("install"));

    let id = field("installation_id").unwrap();
    let tokens = format!("/app/installations/{id}/access_tokens");
    let (_, token) = world.call("POST", &tokens, &signed, json!({})).await.unwrap();
    let token = format!("token {}", token["token"].as_str().unwrap());
    let (_, reached) = world.call("GET", "/installation/repositories", &token, json!({})).await.unwrap();
    assert_eq!(
        (reached["total_count"].as_i64(), reached["repositories"][0]["full_name"].as_str()),
        (Some(1), Some(REPO))
    );
    assert_eq!(world.form(installing, &[("account", "octo"), ("selection", "all")]).await.0, 200);
    world.sim.settled().await;
    let sent: Vec<(String, Option<String>)> =
        world.sim.deliveries().iter().map(|sent| (sent.event.clone(), sent.action.clone())).collect();
    let sent: Vec<(&str, Option<&str>)> =
        sent.iter().map(|(event, action)| (event.as_str(), action.as_deref())).collect();
    assert_eq!(sent, [("installation", Some("created")), ("installation_repositories", Some("added"))]);
    let payload: Value = serde_json::from_slice(&world.sim.deliveries()[0].payload).unwrap();
    assert_eq!(payload["repositories"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn an_organization_gets_an_app_and_a_code_ends() {
    let clock = Clock::shifted();
    let world = World::with(|options| options.clock = clock.clone()).await;
    world.sim.add_organization("acme");
    let place = "/organizations/acme/settings/apps";
    let (_, _, page) = world.form(&format!("{place}/new?state=s1"), &[("manifest", &manifest(|_| {}))]).await;
    assert!(page.contains("Create GitHub App for acme"), "{page}");
    assert_eq!(world.form("/organizations/octo/settings/apps/new", &[("manifest", &manifest(|_| {}))]).await.0, 404);
    let code = create(&world, place, "track-of-acme").await;
    clock.advance(3_600_000);
    assert_eq!(convert(&world, &code).await.0, 404);
    let code = create(&world, place, "track-of-acme-2").await;
    assert_eq!(convert(&world, &code).await.1["owner"]["login"], "acme");
}

#[tokio::test]
async fn what_github_would_not_take_is_refused_with_its_words() {
    let world = World::new().await;
    world.sim.add_user("mona");
    let ask = async |manifest: &str| world.form("/settings/apps/new", &[("manifest", manifest)]).await;
    let hook = |value: Value| manifest(|of| of["hook_attributes"] = value);
    for (manifest, words) in [
        ("nonsense".to_owned(), "does not appear to be a valid GitHub App manifest"),
        (manifest(|of| drop(of.as_object_mut().unwrap().remove("url"))), "Error &quot;url&quot; wasn&#39;t supplied."),
        (hook(json!({ "active": false })), "Error &quot;url&quot; wasn&#39;t supplied."),
        (hook(json!(null)), "Hook url cannot be blank"),
        (manifest(|of| of["default_events"] = json!(["parties"])), "Default events unsupported: parties"),
        (manifest(|of| of["setup_url"] = json!("javascript:alert(1)")), "must be a valid URL"),
    ] {
        let (status, _, page) = ask(&manifest).await;
        assert_eq!(status, 422, "{page}");
        assert!(page.contains(words), "{words}: {page}");
    }
    let create = async |name: &str, origin: &str| {
        let fields = [("manifest", manifest(|_| {})), ("name", name.to_owned()), ("login", "octo".to_owned())];
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let request = Request::post(format!("{}/settings/apps", world.sim.url())).header("origin", origin);
        world.browse(request, web::urlencoded(&fields)).await
    };
    for name in ["track", "Track", "mona"] {
        let (status, _, page) = create(name, &world.sim.url()).await;
        assert!(status == 422 && page.contains("Name is already taken"), "{name}: {page}");
    }
    assert_eq!(create("another", "https://evil.example").await.0, 403);
    assert_eq!(world.sim.app().slug, "track");
}
