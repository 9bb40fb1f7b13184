//! The real git against the simulator.

use super::*;

#[tokio::test]
async fn git_clones_pushes_and_a_pull_request_follows() {
    let world = World::new().await;
    let token = world.token(json!({})).await;
    let here = world.folder.path();
    let clone = world.git(here, &token, &["clone", "--quiet", &world.remote(), "work"]).await;
    assert!(clone.status.success(), "{}", said(&clone));
    let work = here.join("work");
    let push = async |file: &str| {
        std::fs::write(work.join(file), file).unwrap();
        for args in [&["checkout", "-q", "-B", "topic"][..], &["add", "."], &["commit", "-qm", file]] {
            assert!(world.git(&work, "", args).await.status.success());
        }
        world.git(&work, &token, &["push", "--quiet", "origin", "topic"]).await
    };
    assert!(push("one.txt").await.status.success());
    assert_eq!(world.sim.file_at(REPO, "topic", "one.txt").await.as_deref(), Some("one.txt"));

    let pulls = format!("/repos/{REPO}/pulls");
    let new = json!({ "title": "One", "head": "topic", "base": "main", "body": "" });
    let (status, pull) = world.call("POST", &pulls, &token, new.clone()).await.unwrap();
    assert_eq!((status, pull["user"]["login"].as_str()), (201, Some("track[bot]")));
    let (status, again) = world.call("POST", &pulls, &token, new).await.unwrap();
    assert_eq!(status, 422);
    assert_eq!(again["errors"][0]["message"], "A pull request already exists for octo:topic.");
    let nothing = json!({ "title": "None", "head": "main", "base": "main" });
    let (status, nothing) = world.call("POST", &pulls, &token, nothing).await.unwrap();
    assert_eq!((status, nothing["errors"][0]["message"].as_str()), (422, Some("No commits between main and main")));

    assert!(push("two.txt").await.status.success());
    let (_, listed) = world.call("GET", &format!("{pulls}?head=octo:topic"), &token, json!({})).await.unwrap();
    assert_eq!(listed[0]["head"]["sha"], world.sim.pulls(REPO)[0].head_sha);
    assert_eq!(listed[0]["commits"], 2);
    let head = world.git(&work, &token, &["ls-remote", "origin", "refs/pull/1/head"]).await;
    assert!(String::from_utf8_lossy(&head.stdout).starts_with(&world.sim.pulls(REPO)[0].head_sha));

    world.sim.merge_pull(REPO, "octo", world.sim.pulls(REPO)[0].number).await.unwrap();
    assert_eq!(world.sim.file_at(REPO, "main", "two.txt").await.as_deref(), Some("two.txt"));
    assert!(world.sim.pulls(REPO)[0].merged);
    let events = world.events().await;
    assert_eq!(
        events,
        ["push", "pull_request.opened", "push", "pull_request.synchronize", "pull_request.closed", "push"]
    );
}

#[tokio::test]
async fn git_is_refused_what_the_token_does_not_allow() {
    let world = World::new().await;
    let here = world.folder.path();
    let anonymous = world.git(here, "", &["clone", "--quiet", &world.remote(), "none"]).await;
    assert!(!anonymous.status.success());
    let reader = world.token(json!({ "permissions": { "contents": "read" } })).await;
    let clone = world.git(here, &reader, &["clone", "--quiet", &world.remote(), "work"]).await;
    assert!(clone.status.success(), "{}", said(&clone));
    let work = here.join("work");
    std::fs::create_dir_all(work.join(".github/workflows")).unwrap();
    std::fs::write(work.join(".github/workflows/ci.yml"), "on: push\n").unwrap();
    for args in [&["add", "."][..], &["commit", "-qm", "CI"]] {
        assert!(world.git(&work, "", args).await.status.success());
    }
    let push = world.git(&work, &reader, &["push", "origin", "HEAD:main"]).await;
    assert!(said(&push).contains("403"), "{}", said(&push));
    let writer = world.token(json!({})).await;
    let push = world.git(&work, &writer, &["push", "origin", "HEAD:main"]).await;
    let refusal = "refusing to allow a GitHub App to create or update workflow `.github/workflows/ci.yml`";
    assert!(!push.status.success() && said(&push).contains(refusal), "{}", said(&push));
}

/// A fetch with many branches is a request over 1 KiB, which git compresses.
#[tokio::test]
async fn git_may_compress_its_requests() {
    let world = World::new().await;
    let token = world.token(json!({})).await;
    for n in 0..30 {
        world.sim.commit_file(REPO, &format!("b{n}"), "n", &n.to_string()).await.unwrap();
    }
    let clone = world.git(world.folder.path(), &token, &["clone", "--quiet", "--mirror", &world.remote(), "m"]).await;
    assert!(clone.status.success(), "{}", said(&clone));
    let refs = git::branches(&world.folder.path().join("m")).await.unwrap();
    assert_eq!(refs.len(), 31);
}

#[tokio::test]
async fn a_pull_request_closes_with_its_branch() {
    let world = World::new().await;
    let token = world.token(json!({})).await;
    world.sim.commit_file(REPO, "topic", "x", "x").await.unwrap();
    world.sim.open_pull(REPO, "octo", ("topic", "main"), ("t", "b")).await.unwrap();
    let here = world.folder.path();
    assert!(world.git(here, &token, &["clone", "--quiet", &world.remote(), "work"]).await.status.success());
    let push = world.git(&here.join("work"), &token, &["push", "origin", ":topic"]).await;
    assert!(push.status.success(), "{}", said(&push));
    assert_eq!((world.sim.pulls(REPO)[0].state, world.sim.pulls(REPO)[0].merged), ("closed", false));
    assert_eq!(world.events().await, ["push", "pull_request.opened", "push", "pull_request.closed"]);
}

#[tokio::test]
async fn everybody_reads_what_is_public_and_nobody_writes_there() {
    let world = World::new().await;
    let here = world.folder.path();
    let number = world.sim.open_issue(REPO, "octo", ("t", "b"), &[]).await.unwrap();
    let comments = format!("/repos/{REPO}/issues/{number}/comments");
    let status = async |method: &str, path: &str| world.call(method, path, "", json!({ "body": "x" })).await.unwrap().0;
    assert_eq!(status("GET", &comments).await, 404);
    world.sim.uninstall("octo");
    world.sim.make_public(REPO).unwrap();
    for (method, path, answer) in [
        ("GET", format!("/repos/{REPO}"), 200),
        ("GET", comments.clone(), 200),
        ("POST", comments, 401),
        ("GET", format!("/repos/{REPO}/collaborators/octo/permission"), 401),
        ("GET", "/repos/octo/other".to_owned(), 404),
    ] {
        assert_eq!(status(method, &path).await, answer, "{method} {path}");
    }
    let clone = world.git(here, "", &["clone", "--quiet", &world.remote(), "all"]).await;
    assert!(clone.status.success(), "{}", said(&clone));
    let push = world.git(&here.join("all"), "", &["push", "origin", "HEAD:other"]).await;
    assert!(!push.status.success());
}
