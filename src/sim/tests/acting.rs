//! People act on the pages.

use super::*;
use crate::model::Number;

const HOSTILE: &str = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>";

#[tokio::test]
async fn an_issue_is_opened_commented_labelled_and_closed() {
    let world = World::new().await;
    world.sim.add_user("mona");
    world.sim.set_role(REPO, "mona", Role::Triage).unwrap();
    world.sim.add_user("stranger");
    let opening = [("login", "mona"), ("title", "It is <b>broken</b>"), ("body", "Please\r\nmend"), ("label", "")];
    let (status, headers, page) = world.form(&format!("/{REPO}/issues"), &opening).await;
    assert_eq!(status, 302, "{page}");
    assert_eq!(led(&headers).0, format!("/{REPO}/issues/1"));
    let issue = format!("/{REPO}/issues/1");
    let send = async |act: &str, fields: &[(&str, &str)]| world.form(&format!("{issue}/{act}"), fields).await.0;
    assert_eq!(send("comments", &[("login", "stranger"), ("body", HOSTILE)]).await, 302);
    assert_eq!(send("labels", &[("login", "mona"), ("label", "track")]).await, 302);
    for (act, fields) in [
        ("labels", [("login", "stranger"), ("label", "track")]),
        ("close", [("login", "stranger"), ("label", "")]),
        ("comments", [("login", "nobody"), ("body", "hi")]),
        ("comments", [("login", "mona"), ("body", "  ")]),
        ("merge", [("login", "octo"), ("body", "")]),
    ] {
        assert_eq!(send(act, &fields).await, 422, "{act} {fields:?}");
    }
    assert_eq!(send("explode", &[("login", "octo")]).await, 404);
    assert_eq!(send("close", &[("login", "mona")]).await, 302);
    assert_eq!(send("reopen", &[("login", "mona")]).await, 302);
    assert_eq!(
        world.events().await,
        ["issues.opened", "issue_comment.created", "issues.labeled", "issues.closed", "issues.reopened"]
    );
    assert_eq!(world.sim.issue(REPO, Number(1)).unwrap().labels, ["track"]);
    assert_eq!(world.sim.comments(REPO, Number(1))[0].author_login, "stranger");

    let (status, headers, page) = world.page(&format!("{issue}?as=mona")).await;
    assert_eq!(status, 200);
    assert!(page.contains("<option selected>mona") && page.contains("Put the label on"), "{page}");
    assert!(!page.contains("<script") && !page.contains("<img") && !page.contains("<b>broken"), "{page}");
    let policy = headers["content-security-policy"].to_str().unwrap();
    assert_eq!(policy, "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'");
    let foreign = Request::post(format!("{}{issue}/close", world.sim.url())).header("origin", "https://evil.example");
    assert_eq!(world.browse(foreign, "login=octo".to_owned()).await.0, 403);
    assert_eq!(world.sim.issue(REPO, Number(1)).unwrap().state, "open");
}

#[tokio::test]
async fn a_pull_request_is_reviewed_and_merged() {
    let world = World::new().await;
    world.sim.push_to(REPO, "octo", "change", "src/a.txt", "a\nb\n").await.unwrap();
    let number = world.sim.open_pull(REPO, "octo", ("change", "main"), ("Change", "")).await.unwrap();
    let pull = format!("/{REPO}/pull/{number}");
    let (_, _, page) = world.page(&pull).await;
    assert!(page.contains("Submit the review") && page.contains("Merge"), "{page}");
    let send = async |act: &str, fields: &[(&str, &str)]| world.form(&format!("{pull}/{act}"), fields).await;
    let review = |verdict, line| {
        [
            ("login", "octo"),
            ("verdict", verdict),
            ("path", "src/a.txt"),
            ("line", line),
            ("remark", "why b?"),
            ("body", "Hm"),
        ]
    };
    let (status, headers, page) = send("reviews", &review("CHANGES_REQUESTED", "2")).await;
    assert_eq!(status, 302, "{page}");
    assert_eq!(led(&headers).0, pull);
    for (fields, words) in [
        (review("COMMENTED", "77"), "must be part of the diff"),
        (review("COMMENTED", "two"), "is no number of a line"),
        (review("COMMENTED", ""), "needs file, line and text"),
        (review("SHRUGGED", "2"), "is no state of a review"),
    ] {
        let (status, _, page) = send("reviews", &fields).await;
        assert!(status == 422 && page.contains(words), "{words}: {page}");
    }
    assert_eq!(send("reviews", &[("login", "octo"), ("verdict", "COMMENTED")]).await.0, 422);
    assert_eq!(send("merge", &[("login", "octo")]).await.0, 302);
    assert!(world.sim.pulls(REPO)[0].merged);
    assert_eq!(send("merge", &[("login", "octo")]).await.0, 422);
    let (_, _, page) = world.page(&pull).await;
    assert!(page.contains("requested changes") && page.contains("why b?") && !page.contains("Reopen"), "{page}");
    let told = world.events().await;
    assert!(
        told.contains(&"pull_request_review.submitted".to_owned()) && told.contains(&"pull_request.closed".to_owned())
    );
}
