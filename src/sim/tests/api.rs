//! What the App asks and does, and what people see of it.

use super::*;

#[tokio::test]
async fn only_a_right_and_fresh_json_web_token_is_the_app() {
    let world = World::new().await;
    let now = Clock::System.now() / 1000;
    let cases = [
        ("right", jwt(|_| {}), 200),
        ("a number as issuer", jwt(|claims| claims["iss"] = json!(4242)), 200),
        ("another App", jwt(|claims| claims["iss"] = json!("4243")), 401),
        ("expired", jwt(|claims| claims["exp"] = json!(now - 1)), 401),
        ("from the future", jwt(|claims| claims["iat"] = json!(now + 60)), 401),
        ("too long", jwt(|claims| claims["exp"] = json!(now + 700)), 401),
        ("no times", jwt(|claims| *claims = json!({ "iss": "4242" })), 401),
        ("changed", jwt(|_| {}).replace("Bearer e", "Bearer f"), 401),
        ("another signature", format!("{}AAAA", jwt(|_| {}).rsplit_once('.').unwrap().0.to_owned() + "."), 401),
        ("none", String::new(), 401),
        ("an unknown token", "token ghs_0".to_owned(), 401),
    ];
    for (name, auth, expected) in cases {
        let (status, value) = world.call("GET", "/app", &auth, json!({})).await.unwrap();
        assert_eq!(status, expected, "{name}: {value}");
        assert!(status == 200 || value["message"].is_string(), "{name}");
    }
}

#[tokio::test]
async fn a_token_reaches_only_what_it_was_made_for() {
    let world = World::new().await;
    let other = world.sim.add_repository("octo/other", &[("a", "a")]).await.unwrap();
    world.sim.add_repository("stranger/theirs", &[("a", "a")]).await.unwrap();
    let number = world.sim.open_issue(REPO, "octo", ("t", "b"), &[]).await.unwrap();

    let wide = world.token(json!({})).await;
    let narrow = world.token(json!({ "repositories": ["hello"], "permissions": { "contents": "read" } })).await;
    let comments = format!("/repos/{REPO}/issues/{number}/comments");
    for (auth, method, path, expected) in [
        (&wide, "GET", "/repos/octo/hello", 200),
        (&wide, "GET", "/repos/octo/other", 200),
        (&wide, "GET", "/repos/stranger/theirs", 404),
        (&narrow, "GET", "/repos/OCTO/Hello", 200),
        (&narrow, "GET", "/repos/octo/other", 404),
        (&narrow, "GET", "/repos/octo/hello/contents/README.md", 200),
        (&narrow, "GET", "/repos/octo/hello/contents/none", 404),
        (&narrow, "POST", &comments, 403),
        (&wide, "POST", &comments, 201),
        (&wide, "GET", "/user", 403),
        (&wide, "GET", "/app", 401),
        (&jwt(|_| {}), "GET", "/repos/octo/hello", 403),
        (&String::new(), "GET", "/repos/octo/hello", 404),
    ] {
        let (status, value) = world.call(method, path, auth, json!({ "body": "hi" })).await.unwrap();
        assert_eq!(status, expected, "{method} {path}: {value}");
    }

    let ids = world.token(json!({ "repository_ids": [other.0] })).await.replace("token", "Bearer");
    assert_eq!(world.call("GET", "/repos/octo/other", &ids, json!({})).await.unwrap().0, 200);
    assert_eq!(world.call("GET", "/repos/octo/hello", &ids, json!({})).await.unwrap().0, 404);
    assert_eq!(world.call("DELETE", "/installation/token", &ids, json!({})).await.unwrap().0, 204);
    assert_eq!(world.call("GET", "/repos/octo/other", &ids, json!({})).await.unwrap().0, 401);
}

#[tokio::test]
async fn a_token_ends_after_its_life() {
    let clock = Clock::shifted();
    let world = World::with(|options| options.clock = clock.clone()).await;
    let token = world.token(json!({})).await;
    assert_eq!(world.call("GET", "/repos/octo/hello", &token, json!({})).await.unwrap().0, 200);
    clock.advance(3_600_000);
    assert_eq!(world.call("GET", "/repos/octo/hello", &token, json!({})).await.unwrap().0, 401);
}

#[tokio::test]
async fn a_lost_answer_was_carried_out_and_a_dropped_request_was_not() {
    let world = World::new().await;
    let number = world.sim.open_issue(REPO, "octo", ("t", "b"), &[]).await.unwrap();
    let token = world.token(json!({})).await;
    let comments = format!("/repos/{REPO}/issues/{number}/comments");
    let count = Arc::new(AtomicUsize::new(0));
    world.sim.set_fault(Box::new({
        let count = count.clone();
        move |request: &RequestInfo| {
            if request.method != "POST" {
                return None;
            }
            match count.fetch_add(1, Ordering::SeqCst) {
                0 => Some(Fault::DropBeforeHandling),
                1 => Some(Fault::DropAfterHandling),
                2 => Some(Fault::Status {
                    code: 429,
                    headers: vec![("retry-after".to_owned(), "7".to_owned())],
                    body: "{}".to_owned(),
                }),
                _ => None,
            }
        }
    }));
    let send = || world.call_in_full("POST", &comments, &token, json!({ "body": "hi" }));
    assert!(send().await.is_err());
    assert_eq!(world.sim.comments(REPO, number).len(), 0);
    assert!(send().await.is_err());
    assert_eq!(world.sim.comments(REPO, number).len(), 1);
    let (status, headers, _) = send().await.unwrap();
    assert_eq!((status, headers["retry-after"].to_str().unwrap()), (429, "7"));
    assert_eq!(send().await.unwrap().0, 201);
    let posts = world.sim.journal().into_iter().filter(|record| record.path == comments);
    let posts: Vec<(u16, bool)> = posts.map(|record| (record.status, record.answered)).collect();
    assert_eq!(posts, [(0, false), (201, false), (429, true), (201, true)]);
}

#[tokio::test]
async fn the_bot_reacts_relabels_and_is_told_of_it() {
    let world = World::new().await;
    let token = world.token(json!({})).await;
    let number = world.sim.open_issue(REPO, "octo", ("t", "b"), &["track"]).await.unwrap();
    let issue = format!("/repos/{REPO}/issues/{number}");
    let send = async |method: &str, path: &str, body: Value| world.call(method, path, &token, body).await.unwrap();

    let (_, events) = send("GET", &format!("{issue}/events"), json!({})).await;
    assert_eq!((&events[0]["event"], &events[0]["label"]["name"]), (&json!("labeled"), &json!("track")));
    assert_eq!(send("DELETE", &format!("{issue}/labels/track"), json!({})).await, (200, json!([])));
    assert_eq!(send("DELETE", &format!("{issue}/labels/track"), json!({})).await.0, 404);

    let reactions = format!("{issue}/reactions");
    assert_eq!(send("POST", &reactions, json!({ "content": "eyes" })).await.0, 201);
    let (status, same) = send("POST", &reactions, json!({ "content": "eyes" })).await;
    assert_eq!(status, 200);
    assert_eq!(send("POST", &reactions, json!({ "content": "tada" })).await.0, 422);
    assert_eq!(send("DELETE", &format!("{reactions}/{}", same["id"]), json!({})).await.0, 204);
    assert_eq!(send("GET", &reactions, json!({})).await, (200, json!([])));

    let (_, comment) = send("POST", &format!("{issue}/comments"), json!({ "body": "one" })).await;
    let path = format!("/repos/{REPO}/issues/comments/{}", comment["id"]);
    assert_eq!(send("PATCH", &path, json!({ "body": "two" })).await.1["body"], "two");
    let said = world.sim.comments(REPO, number);
    assert_eq!((said[0].body.as_str(), said[0].edits, said[0].author_is_app), ("two", 1, true));
    assert_eq!(comment["performed_via_github_app"]["id"], 4242);
    assert_eq!(comment["user"]["type"], "Bot");

    assert_eq!(send("GET", &format!("/repos/{REPO}/nonsense"), json!({})).await.0, 404);
    let unknown = world.sim.journal().into_iter().filter(|record| !record.known).count();
    assert_eq!(unknown, 1);
    assert_eq!(
        world.events().await,
        ["issues.opened", "issues.labeled", "issues.unlabeled", "issue_comment.created", "issue_comment.edited"]
    );
}

#[tokio::test]
async fn the_permission_endpoint_tells_roles() {
    let world = World::new().await;
    let token = world.token(json!({})).await;
    for (login, role) in [("t", Role::Triage), ("w", Role::Write), ("m", Role::Maintain), ("n", Role::None)] {
        world.sim.set_role(REPO, login, role).unwrap();
    }
    world.sim.add_user("stranger");
    for (login, permission, role) in [
        ("octo", "admin", "admin"),
        ("m", "write", "maintain"),
        ("w", "write", "write"),
        ("t", "read", "triage"),
        ("n", "none", "none"),
        ("stranger", "read", "read"),
    ] {
        let path = format!("/repos/{REPO}/collaborators/{login}/permission");
        let (_, value) = world.call("GET", &path, &token, json!({})).await.unwrap();
        let got = (value["permission"].as_str(), value["role_name"].as_str(), value["user"]["login"].as_str());
        assert_eq!(got, (Some(permission), Some(role), Some(login)));
    }
    let path = format!("/repos/{REPO}/collaborators/nobody/permission");
    assert_eq!(world.call("GET", &path, &token, json!({})).await.unwrap().0, 404);
}

#[tokio::test]
async fn long_lists_come_in_pages() {
    let world = World::new().await;
    let token = world.token(json!({})).await;
    let number = world.sim.open_issue(REPO, "octo", ("t", "b"), &[]).await.unwrap();
    for n in 0..5 {
        world.sim.comment(REPO, "octo", number, &n.to_string()).await.unwrap();
    }
    let mut next = Some(format!("/repos/{REPO}/issues/{number}/comments?per_page=2"));
    let mut bodies = Vec::new();
    while let Some(path) = next {
        let (_, headers, page) = world.call_in_full("GET", &path, &token, json!({})).await.unwrap();
        bodies.extend(page.as_array().unwrap().iter().map(|comment| comment["body"].as_str().unwrap().to_owned()));
        let links = headers["link"].to_str().unwrap().to_owned();
        let link = links.split(", ").find(|link| link.ends_with("rel=\"next\""));
        next = link.map(|link| link[1..link.find('>').unwrap()].to_owned());
    }
    assert_eq!(bodies, ["0", "1", "2", "3", "4"]);
}

#[tokio::test]
async fn octocrab_understands_the_simulator() {
    let world = World::new().await;
    let number = world.sim.open_issue(REPO, "octo", ("t", "b"), &["bug"]).await.unwrap();
    world.sim.commit_file(REPO, "topic", "x", "x").await.unwrap();
    let key = jsonwebtoken::EncodingKey::from_rsa_pem(APP_PRIVATE_KEY_PEM.as_bytes()).unwrap();
    let app = octocrab::Octocrab::builder().base_uri(world.sim.api_url()).unwrap().app(4242.into(), key).build();
    let app = app.unwrap();
    assert_eq!(app.current().app().await.unwrap().slug.as_deref(), Some("track"));
    let installation = app.apps().get_repository_installation("octo", "hello").await.unwrap();
    let (hub, _) = app.installation_and_token(installation.id).await.unwrap();

    let issues = hub.issues("octo", "hello");
    let issue = issues.get(number.0 as u64).await.unwrap();
    assert_eq!(issue.labels[0].name, "bug");
    let comment = issues.create_comment(issue.number, "hi").await.unwrap();
    assert_eq!(issues.get_comment(comment.id).await.unwrap().body.as_deref(), Some("hi"));
    assert_eq!(issues.list_comments(issue.number).send().await.unwrap().items.len(), 1);
    let pulls = hub.pulls("octo", "hello");
    let pull = pulls.create("Topic", "topic", "main").body("b").send().await.unwrap();
    assert_eq!(pulls.get(pull.number).await.unwrap().head.ref_field, "topic");
    assert_eq!(hub.repos("octo", "hello").get().await.unwrap().default_branch.as_deref(), Some("main"));
    let file = hub.repos("octo", "hello").get_content().path("README.md").send().await.unwrap();
    assert_eq!(file.items[0].decoded_content().as_deref(), Some("hello\n"));
}

#[tokio::test]
async fn the_pages_show_text_as_text() {
    let world = World::new().await;
    let hostile = "</title><script>alert(1)</script>";
    let number = world.sim.open_issue(REPO, "octo", (hostile, hostile), &[hostile]).await.unwrap();
    world.sim.commit_file(REPO, "topic", "x", hostile).await.unwrap();
    let pull = world.sim.open_pull(REPO, "octo", ("topic", "main"), (hostile, hostile)).await.unwrap();
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    for path in ["/", "/octo/hello", &format!("/{REPO}/issues/{number}"), &format!("/{REPO}/pull/{pull}")] {
        let uri = format!("{}{path}", world.sim.url()).parse().unwrap();
        let response = client.get(uri).await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        let page = response.into_body().collect().await.unwrap().to_bytes();
        let page = String::from_utf8_lossy(&page).into_owned();
        assert!(!page.contains("<script") && page.contains("&lt;script&gt;"), "{path}: {page}");
    }
}

#[tokio::test]
async fn an_empty_repository_has_no_branches_and_stopping_frees_the_port() {
    let world = World::new().await;
    world.sim.add_repository("octo/empty", &[]).await.unwrap();
    assert!(world.sim.branches("octo/empty").await.is_empty());
    let address = world.sim.url().trim_start_matches("http://").to_owned();
    world.sim.stop().await;
    TcpListener::bind(address).await.unwrap();
}

#[tokio::test]
async fn what_a_decision_needs_can_be_read() {
    let world = World::new().await;
    let token = world.token(json!({})).await;
    let get = async |path: &str| world.call("GET", path, &token, json!({})).await.unwrap();
    let sha = world.sim.commit_file(REPO, "track/issue-1", "x/ä.txt", "x").await.unwrap();

    let (_, bot) = get("/users/track%5Bbot%5D").await;
    assert_eq!((bot["login"].as_str(), bot["type"].as_str()), (Some("track[bot]"), Some("Bot")));
    for path in ["branches/track/issue-1", "commits/track%2Fissue-1"] {
        let (status, value) = get(&format!("/repos/{REPO}/{path}")).await;
        let found = value["sha"].as_str().or(value["commit"]["sha"].as_str());
        assert_eq!((status, found), (200, Some(&*sha)), "{path}: {value}");
    }
    let (_, reference) = get(&format!("/repos/{REPO}/git/ref/heads/track/issue-1")).await;
    assert_eq!(reference["object"]["sha"], *sha);
    let (_, references) = get(&format!("/repos/{REPO}/git/matching-refs/heads/track/")).await;
    assert_eq!(references.as_array().map(Vec::len), Some(1));
    let (_, compared) = get(&format!("/repos/{REPO}/compare/main...track/issue-1")).await;
    assert_eq!((&compared["status"], &compared["ahead_by"]), (&json!("ahead"), &json!(1)));
    assert_eq!(compared["files"][0]["filename"], "x/ä.txt");
    let (_, file) = get(&format!("/repos/{REPO}/contents/x/%C3%A4.txt?ref=track/issue-1")).await;
    assert_eq!(file["content"], "eA==\n");
    assert_eq!(get(&format!("/repos/{REPO}/branches/none")).await.0, 404);
}

#[tokio::test]
async fn renaming_and_reinstalling_keep_the_repository() {
    let world = World::new().await;
    let old = world.token(json!({})).await;
    let (_, before) = world.call("GET", "/repos/octo/hello", &old, json!({})).await.unwrap();
    world.sim.rename(REPO, "hallo").unwrap();
    assert_eq!(world.call("GET", "/repos/octo/hello", &old, json!({})).await.unwrap().0, 301);
    let (_, moved) = world.call("GET", &format!("/repositories/{}", before["id"]), &old, json!({})).await.unwrap();
    assert_eq!(moved["full_name"], "octo/hallo");
    let (_, after) = world.call("GET", "/repos/octo/hallo", &old, json!({})).await.unwrap();
    assert_eq!((&before["id"], after["full_name"].as_str()), (&after["id"], Some("octo/hallo")));

    let path = "/repos/octo/hallo/installation";
    let installation = async || world.call("GET", path, &jwt(|_| {}), json!({})).await.unwrap();
    let (_, first) = installation().await;
    world.sim.reinstall("octo");
    assert_ne!(installation().await.1["id"], first["id"]);
    assert_eq!(world.call("GET", "/repos/octo/hallo", &old, json!({})).await.unwrap().0, 401);
    world.sim.uninstall("octo");
    assert_eq!(installation().await.0, 404);
}

#[tokio::test]
async fn a_request_that_is_no_request_is_refused() {
    let world = World::new().await;
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let uri = format!("{}/meta", world.sim.api_url());
    let send = async |agent: bool, body: &'static str| {
        let mut request = Request::get(&uri);
        if agent {
            request = request.header("user-agent", "test");
        }
        client.request(request.body(Full::new(body.into())).unwrap()).await.unwrap().status().as_u16()
    };
    assert_eq!((send(false, "").await, send(true, "{").await, send(true, "{}").await), (403, 400, 200));
}

#[tokio::test]
async fn issues_are_listed_by_state_and_label() {
    let world = World::new().await;
    let token = world.token(json!({})).await;
    let issues = format!("/repos/{REPO}/issues");
    let new = json!({ "title": "Two", "labels": ["Bug", "track"] });
    let first = world.sim.open_issue(REPO, "octo", ("One", ""), &["bug"]).await.unwrap();
    assert_eq!(world.call("POST", &issues, &token, new).await.unwrap().0, 201);
    world.sim.close(REPO, "octo", first).await.unwrap();
    for (query, expected) in [
        ("", vec!["Two"]),
        ("?state=all&labels=bug", vec!["Two", "One"]),
        ("?state=closed", vec!["One"]),
        ("?labels=bug,none", vec![]),
    ] {
        let (_, listed) = world.call("GET", &format!("{issues}{query}"), &token, json!({})).await.unwrap();
        let titles = listed.as_array().unwrap().iter().map(|issue| issue["title"].as_str().unwrap());
        assert_eq!(titles.collect::<Vec<_>>(), expected, "{query}");
    }
}
