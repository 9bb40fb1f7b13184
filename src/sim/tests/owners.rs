//! What owners do with repositories, issues and the installation.

use super::*;

#[tokio::test]
async fn the_app_loses_what_is_taken_from_it() {
    let world = World::new().await;
    world.sim.add_repository("octo/other", &[("a", "a")]).await.unwrap();
    let token = world.token(json!({})).await;
    let status = async |repo: &str| world.call("GET", &format!("/repos/{repo}"), &token, json!({})).await.unwrap().0;
    world.sim.remove_from_installation(REPO).await.unwrap();
    assert_eq!((status(REPO).await, status("octo/other").await), (404, 200));
    world.sim.open_issue(REPO, "octo", ("unheard", ""), &[]).await.unwrap();
    world.sim.add_to_installation(REPO).await.unwrap();
    assert_eq!(status(REPO).await, 200);
    world.sim.suspend("octo").await;
    assert_eq!(status(REPO).await, 403);
    world.sim.open_issue(REPO, "octo", ("unheard", ""), &[]).await.unwrap();
    world.sim.unsuspend("octo").await;
    world.sim.set_archived("octo/other", true).unwrap();
    world.sim.rename("octo/other", "another").unwrap();
    world.sim.delete_repository("octo/another").await.unwrap();
    assert_eq!(status("octo/another").await, 404);
    world.sim.uninstall("octo");
    assert_eq!(status(REPO).await, 401);
    assert_eq!(
        world.events().await,
        [
            "installation_repositories.removed",
            "installation_repositories.added",
            "installation.suspend",
            "installation.unsuspend",
            "repository.archived",
            "repository.renamed",
            "repository.deleted",
            "installation.deleted",
        ]
    );
    let received = world.received.lock().unwrap();
    let payload = |at: usize| serde_json::from_slice::<Value>(&received[at].1).unwrap();
    assert_eq!(payload(0)["repositories_removed"][0]["full_name"], REPO);
    assert!(payload(2)["installation"]["suspended_at"].is_string());
    assert_eq!(payload(5)["changes"]["repository"]["name"]["from"], "other");
    assert_eq!(payload(7)["repositories"][0]["full_name"], REPO);
}

#[tokio::test]
async fn an_issue_is_locked_moved_or_gone() {
    let world = World::new().await;
    world.sim.add_repository("octo/other", &[("a", "a")]).await.unwrap();
    let token = world.token(json!({})).await;
    let mut numbers = Vec::new();
    for title in ["locked", "moved", "gone"] {
        numbers.push(world.sim.open_issue(REPO, "octo", (title, ""), &[]).await.unwrap());
    }
    let path = |at: usize| format!("/repos/{REPO}/issues/{}", numbers[at]);
    world.sim.lock_issue(REPO, "octo", numbers[0]).await.unwrap();
    let comments = format!("{}/comments", path(0));
    assert_eq!(world.call("POST", &comments, &token, json!({ "body": "hi" })).await.unwrap().0, 403);
    let moved = world.sim.transfer_issue(REPO, "octo", numbers[1], "octo/other").await.unwrap();
    let (status, headers, _) = world.call_in_full("GET", &path(1), &token, json!({})).await.unwrap();
    assert_eq!(status, 301);
    let (_, found) = world.call("GET", headers["location"].to_str().unwrap(), &token, json!({})).await.unwrap();
    assert_eq!((found["title"].as_str(), &found["number"]), (Some("moved"), &json!(moved)));
    world.sim.delete_issue(REPO, "octo", numbers[2]).await.unwrap();
    assert_eq!(world.call("GET", &path(2), &token, json!({})).await.unwrap().0, 410);
    let next = world.sim.open_issue(REPO, "octo", ("next", ""), &[]).await.unwrap();
    assert_eq!(next.0, 4);
    let told = world.events().await;
    assert_eq!(told[3..7], ["issues.locked", "issues.transferred", "issues.opened", "issues.deleted"]);
}
