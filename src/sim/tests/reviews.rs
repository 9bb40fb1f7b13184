//! Reviews, threads, forks and checks, as the App and people meet them.

use super::*;

/// Thirty lines, one changed in the pull request and one added at the end.
async fn pull(world: &World) -> (crate::model::Number, String) {
    let lines = (1..=30).map(|n| if n == 10 { "ten\n".to_owned() } else { format!("{n}\n") }).collect::<String>();
    world.sim.commit_file(REPO, "main", "code.txt", &lines).await.unwrap();
    let changed = lines.replace("ten", "TEN") + "31\n";
    let head = world.sim.commit_file(REPO, "topic", "code.txt", &changed).await.unwrap();
    (world.sim.open_pull(REPO, "octo", ("topic", "main"), ("t", "b")).await.unwrap(), head)
}

#[tokio::test]
async fn a_review_is_taken_whole_or_not_at_all() {
    let world = World::new().await;
    let token = world.token(json!({})).await;
    let (number, head) = pull(&world).await;
    let path = format!("/repos/{REPO}/pulls/{number}/reviews");
    let on = |line: u32, side: &str| json!({ "path": "code.txt", "line": line, "side": side, "body": "why?" });
    let review = |body: &str, comments: Value| json!({ "commit_id": head, "event": "COMMENT", "body": body, "comments": comments });
    let over = |start: u32, line: u32| json!({ "path": "code.txt", "start_line": start, "line": line, "body": "why?" });
    let elsewhere = json!({ "path": "README.md", "line": 1, "body": "why?" });
    let mut unknown = review("hm", json!([]));
    unknown["commit_id"] = json!("0123456789abcdef0123456789abcdef01234567");
    for (new, error) in [
        (
            review("hm", json!([on(10, "RIGHT"), on(20, "RIGHT")])),
            "pull_request_review_thread.line must be part of the diff",
        ),
        (review("hm", json!([on(31, "LEFT")])), "pull_request_review_thread.line must be part of the diff"),
        (review("hm", json!([elsewhere])), "pull_request_review_thread.path must be part of the diff"),
        (
            review("hm", json!([over(10, 31)])),
            "pull_request_review_thread.start_line must be part of the same hunk as the line.",
        ),
        (review("hm", json!([over(11, 10)])), "pull_request_review_thread.start_line must precede the end line."),
        (review(" ", json!([])), "Body can't be blank"),
        (unknown, "The commit_id is not part of the pull request"),
    ] {
        let (status, value) = world.call("POST", &path, &token, new.clone()).await.unwrap();
        assert_eq!((status, &value["errors"]), (422, &json!([error])), "{new}");
    }
    assert!(world.sim.reviews(REPO, number).is_empty());

    let comments = json!([on(10, "LEFT"), on(31, "RIGHT"), over(9, 10)]);
    let (status, made) = world.call("POST", &path, &token, review("hm", comments)).await.unwrap();
    assert_eq!(
        (status, made["state"].as_str(), made["user"]["login"].as_str()),
        (200, Some("COMMENTED"), Some("track[bot]"))
    );
    let seen = world.sim.reviews(REPO, number);
    assert!(seen[0].author_is_app && seen[0].commit == head);
    assert_eq!(
        seen[0].comments.iter().map(|comment| (comment.line, comment.side, comment.start_line)).collect::<Vec<_>>(),
        [(10, "LEFT", None), (31, "RIGHT", None), (10, "RIGHT", Some(9))]
    );
    let (_, listed) =
        world.call("GET", &format!("/repos/{REPO}/pulls/{number}/comments"), &token, json!({})).await.unwrap();
    assert_eq!(listed[0]["diff_hunk"], "@@ -7,7 +7,7 @@\n 7\n 8\n 9\n-ten");
    assert_eq!((&listed[2]["start_line"], &listed[2]["line"]), (&json!(9), &json!(10)));
    let of = format!("{path}/{}/comments", made["id"]);
    let (_, of) = world.call("GET", &of, &token, json!({})).await.unwrap();
    assert_eq!((of.as_array().unwrap().len(), of[0].get("line")), (3, None));

    let reader = world.token(json!({ "permissions": { "pull_requests": "read" } })).await;
    assert_eq!(world.call("POST", &path, &reader, review("hm", json!([]))).await.unwrap().0, 403);
    assert_eq!(world.call("GET", &path, &reader, json!({})).await.unwrap().0, 200);
}

#[tokio::test]
async fn people_review_and_the_app_is_told_in_order() {
    let world = World::new().await;
    world.sim.add_user("ann");
    let (number, _) = pull(&world).await;
    let on = [("code.txt", 10, "why?"), ("code.txt", 31, "and this?")];
    let review = world.sim.review(REPO, "ann", number, "CHANGES_REQUESTED", "Please", &on).await.unwrap();
    let root = world.sim.line_comment(REPO, "ann", number, "code.txt", 31, "oh").await.unwrap();
    let reply = world.sim.reply_in_thread(REPO, "octo", number, root, "yes").await.unwrap();
    world.sim.dismiss_review(REPO, "octo", number, review).await.unwrap();
    assert!(world.sim.line_comment(REPO, "ann", number, "code.txt", 20, "oh").await.is_err());
    let told = world.events().await;
    assert_eq!(
        told[3..],
        [
            "pull_request_review.submitted",
            "pull_request_review_comment.created",
            "pull_request_review_comment.created",
            "pull_request_review.submitted",
            "pull_request_review_comment.created",
            "pull_request_review.submitted",
            "pull_request_review_comment.created",
            "pull_request_review.dismissed",
        ]
    );
    let received = world.received.lock().unwrap();
    let payload = |at: usize| serde_json::from_slice::<Value>(&received[3 + at].1).unwrap();
    assert_eq!(
        (&payload(0)["review"]["state"], &payload(0)["review"]["body"]),
        (&json!("changes_requested"), &json!("Please"))
    );
    assert!(payload(0)["pull_request"].get("mergeable").is_none());
    assert_eq!((&payload(3)["review"]["state"], &payload(3)["review"]["body"]), (&json!("commented"), &Value::Null));
    assert_eq!((&payload(6)["comment"]["id"], &payload(6)["comment"]["in_reply_to_id"]), (&json!(reply), &json!(root)));
    assert_eq!(payload(7)["review"]["state"], "dismissed");
}

#[tokio::test]
async fn only_the_first_comment_of_a_thread_is_replied_to_and_pages_hold_them() {
    let world = World::new().await;
    let token = world.token(json!({})).await;
    let (number, _) = pull(&world).await;
    let root = world.sim.line_comment(REPO, "octo", number, "code.txt", 10, "<script>").await.unwrap();
    let pulls = format!("/repos/{REPO}/pulls");
    let replies = |id: &Value| format!("{pulls}/{number}/comments/{id}/replies");
    let send =
        async |method: &str, path: &str, body: Value| world.call_in_full(method, path, &token, body).await.unwrap();
    let (status, _, reply) = send("POST", &replies(&json!(root)), json!({ "body": "done" })).await;
    assert_eq!((status, &reply["in_reply_to_id"]), (201, &json!(root)));
    assert_eq!(send("POST", &replies(&reply["id"]), json!({ "body": "more" })).await.0, 422);
    assert_eq!(send("POST", &replies(&json!(1)), json!({ "body": "more" })).await.0, 404);

    let comment = format!("{pulls}/comments/{}", reply["id"]);
    assert_eq!(send("PATCH", &comment, json!({ "body": "done!" })).await.2["body"], "done!");
    assert_eq!(send("POST", &format!("{comment}/reactions"), json!({ "content": "eyes" })).await.0, 201);
    let (_, headers, page) = send("GET", &format!("{pulls}/{number}/comments?per_page=1"), json!({})).await;
    assert_eq!(page.as_array().unwrap().len(), 1);
    assert!(headers["link"].to_str().unwrap().contains("page=2>; rel=\"next\""));
    let (_, _, reviews) = send("GET", &format!("{pulls}/{number}/reviews"), json!({})).await;
    assert_eq!(reviews.as_array().unwrap().len(), 2);

    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let page = client.get(format!("{}/{REPO}/pull/{number}", world.sim.url()).parse().unwrap()).await.unwrap();
    let page = String::from_utf8_lossy(&page.into_body().collect().await.unwrap().to_bytes()).into_owned();
    assert!(page.contains("code.txt:10") && page.contains("done!") && !page.contains("<script"), "{page}");
}

#[tokio::test]
async fn a_thread_is_resolved_by_who_may() {
    let world = World::new().await;
    let (number, _) = pull(&world).await;
    let root = world.sim.line_comment(REPO, "octo", number, "code.txt", 10, "why?").await.unwrap();
    let url = format!("{}/api/graphql", world.sim.url());
    let threads = json!({
        "query": "query($owner: String!, $name: String!, $pull: Int!, $after: String) { repository(owner: $owner, name: $name) { pullRequest(number: $pull) { reviewThreads(first: 100, after: $after) { pageInfo { hasNextPage endCursor } nodes { id isResolved viewerCanResolve comments(first: 1) { nodes { fullDatabaseId } } } } } } }",
        "variables": { "owner": "octo", "name": "hello", "pull": number, "after": null },
    });
    let resolve = json!({
        "query": "mutation($thread: ID!) { resolveReviewThread(input: { threadId: $thread }) { thread { isResolved } } }",
        "variables": { "thread": format!("PRRT_{root}") },
    });
    let narrow = world.token(json!({ "permissions": { "contents": "read", "pull_requests": "write" } })).await;
    let wide = world.token(json!({})).await;
    let ask = async |token: &str, body: &Value| world.call("POST", &url, token, body.clone()).await.unwrap().1;
    let found = ask(&narrow, &threads).await;
    let thread = &found["data"]["repository"]["pullRequest"]["reviewThreads"]["nodes"][0];
    assert_eq!(thread["comments"]["nodes"][0]["fullDatabaseId"], json!(root.to_string()));
    assert_eq!((&thread["isResolved"], &thread["viewerCanResolve"]), (&json!(false), &json!(true)));
    assert_eq!(ask(&narrow, &resolve).await["errors"][0]["type"], "FORBIDDEN");
    assert!(!world.sim.thread_resolved(REPO, number, root));
    assert_eq!(ask(&wide, &resolve).await["data"]["resolveReviewThread"]["thread"]["isResolved"], true);
    assert!(world.sim.thread_resolved(REPO, number, root));
    assert!(ask(&wide, &json!({ "query": "{ viewer { login } }" })).await["errors"][0]["message"].is_string());
    assert_eq!(world.call("POST", "/graphql", &wide, threads).await.unwrap().0, 404);
}

#[tokio::test]
async fn a_comment_moves_with_its_line_and_is_outdated_when_that_changes() {
    let world = World::new().await;
    let token = world.token(json!({})).await;
    let (number, _) = pull(&world).await;
    let root = world.sim.line_comment(REPO, "octo", number, "code.txt", 31, "why?").await.unwrap();
    let line = async || {
        let path = format!("/repos/{REPO}/pulls/comments/{root}");
        world.call("GET", &path, &token, json!({})).await.unwrap().1["line"].clone()
    };
    let text = world.sim.file_at(REPO, "topic", "code.txt").await.unwrap();
    let first = world.sim.push_to(REPO, "octo", "topic", "code.txt", &format!("0\n{text}")).await.unwrap();
    assert_eq!(line().await, 32);
    world.sim.push_to(REPO, "octo", "topic", "code.txt", "nothing\n").await.unwrap();
    assert_eq!(line().await, Value::Null);
    world.sim.force_push(REPO, "octo", "topic", &first).await.unwrap();
    assert_eq!(world.sim.pulls(REPO)[0].head_sha, first);
    assert!(world.events().await.ends_with(&["push".to_owned(), "pull_request.synchronize".to_owned()]));
}

#[tokio::test]
async fn a_pull_request_comes_from_a_fork_that_may_vanish() {
    let world = World::new().await;
    let token = world.token(json!({})).await;
    world.sim.add_user("ann");
    let number = world.sim.fork_pull(REPO, "ann", &[("new.txt", "new\n")], ("Mine", "")).await.unwrap();
    let path = format!("/repos/{REPO}/pulls/{number}");
    let get = async || world.call("GET", &path, &token, json!({})).await.unwrap().1;
    let pull = get().await;
    assert_eq!((&pull["head"]["label"], &pull["head"]["repo"]["fork"]), (&json!("ann:patch-1"), &json!(true)));
    assert_eq!((&pull["mergeable"], &pull["merged"]), (&json!(true), &json!(false)));
    assert_eq!(world.call("GET", "/repos/ann/hello", &token, json!({})).await.unwrap().0, 404, "not installed there");

    let moved = world.sim.push_to("ann/hello", "ann", "patch-1", "new.txt", "newer\n").await.unwrap();
    assert_eq!(world.sim.pulls(REPO)[0].head_sha, moved);
    let here = world.folder.path();
    assert!(world.git(here, &token, &["init", "-q", "work"]).await.status.success());
    for what in [&*format!("refs/pull/{number}/head"), &moved] {
        let fetch = world.git(&here.join("work"), &token, &["fetch", "-q", &world.remote(), what]).await;
        assert!(fetch.status.success(), "{what}: {}", said(&fetch));
    }
    world.sim.commit_file(REPO, "main", "new.txt", "mine\n").await.unwrap();
    assert_eq!(get().await["mergeable_state"], "dirty");
    world.sim.delete_repository("ann/hello").await.unwrap();
    assert_eq!(get().await["head"]["repo"], Value::Null);
    assert_eq!(world.events().await, ["pull_request.opened", "pull_request.synchronize", "push"]);
}

#[tokio::test]
async fn what_closed_a_pull_request_decides_whether_it_opens_again() {
    let world = World::new().await;
    let token = world.token(json!({})).await;
    let (number, head) = pull(&world).await;
    let path = format!("/repos/{REPO}/pulls/{number}");
    let set = async |state: &str| world.call("PATCH", &path, &token, json!({ "state": state })).await.unwrap();
    assert_eq!(set("closed").await.1["state"], "closed");
    assert_eq!(set("open").await.1["state"], "open");
    world.sim.set_draft(REPO, "octo", number, true).await.unwrap();
    assert!(world.sim.pulls(REPO)[0].draft);
    world.sim.commit_file(REPO, "other", "o", "o").await.unwrap();
    world.sim.retarget(REPO, "octo", number, "other").await.unwrap();
    world.sim.delete_branch(REPO, "octo", "topic").await.unwrap();
    let (status, refused) = set("open").await;
    assert_eq!(
        (status, refused["errors"][0]["message"].as_str()),
        (422, Some("state cannot be changed. The topic branch has been deleted."))
    );
    world.sim.force_push(REPO, "octo", "topic", &head).await.unwrap();
    assert_eq!(set("open").await.0, 200);
    let told = world.events().await;
    assert_eq!(
        told[3..],
        [
            "pull_request.closed",
            "pull_request.reopened",
            "pull_request.converted_to_draft",
            "push",
            "pull_request.edited",
            "push",
            "pull_request.closed",
            "push",
            "pull_request.reopened",
        ]
    );
    let received = world.received.lock().unwrap();
    let edited: Value = serde_json::from_slice(&received[7].1).unwrap();
    assert_eq!(edited["changes"]["base"]["ref"]["from"], "main");
}

#[tokio::test]
async fn checks_are_told_to_who_may_know() {
    let world = World::new().await;
    let (_, head) = pull(&world).await;
    world.sim.set_check(REPO, &head, "unit", "success", "fine").unwrap();
    world.sim.set_check(REPO, &head, "unit", "failure", "2 failed").unwrap();
    let path = format!("/repos/{REPO}/commits/{head}/check-runs");
    let wide = world.token(json!({})).await;
    let (_, runs) = world.call("GET", &path, &wide, json!({})).await.unwrap();
    let run = &runs["check_runs"][0];
    assert_eq!(
        (&runs["total_count"], &run["conclusion"], &run["output"]["summary"]),
        (&json!(1), &json!("failure"), &json!("2 failed"))
    );
    let narrow = world.token(json!({ "permissions": { "contents": "read" } })).await;
    assert_eq!(world.call("GET", &path, &narrow, json!({})).await.unwrap().0, 403);
}
