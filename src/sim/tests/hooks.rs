//! What the App is told.

use super::*;

#[tokio::test]
async fn a_webhook_arrives_signed_and_in_order() {
    use hmac::{Hmac, KeyInit as _, Mac as _};
    let world = World::new().await;
    let number = world.sim.open_issue(REPO, "octo", ("It is broken", "Please"), &["track", "bug"]).await.unwrap();
    let comment = world.sim.comment(REPO, "octo", number, "/track dispatch").await.unwrap();
    world.sim.edit_comment(REPO, "octo", comment, "never mind").await.unwrap();
    assert_eq!(
        world.events().await,
        ["issues.opened", "issues.labeled", "issues.labeled", "issue_comment.created", "issue_comment.edited"]
    );
    let received = world.received.lock().unwrap();
    for (headers, body) in received.iter() {
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
        mac.update(body);
        let signature = headers["x-hub-signature-256"].to_str().unwrap().strip_prefix("sha256=").unwrap();
        mac.verify_slice(&hex::decode(signature).unwrap()).unwrap();
    }
    let labeled: Value = serde_json::from_slice(&received[1].1).unwrap();
    assert_eq!(labeled["label"]["name"], "track");
    assert_eq!(labeled["repository"]["full_name"], REPO);
    assert_eq!(labeled["sender"]["login"], "octo");
    assert!(labeled["installation"]["id"].is_i64());
}

#[tokio::test]
async fn a_redelivery_keeps_its_id_and_the_log_shows_both() {
    let world = World::new().await;
    world.sim.open_issue(REPO, "octo", ("t", "b"), &[]).await.unwrap();
    world.sim.settled().await;
    let guid = world.sim.deliveries()[0].guid.clone();
    world.sim.redeliver(&guid).await.unwrap();
    assert_eq!(world.events().await, ["issues.opened", "issues.opened"]);

    let jwt = jwt(|_| {});
    let path = "/app/hook/deliveries?per_page=1";
    let (status, headers, newest) = world.call_in_full("GET", path, &jwt, json!({})).await.unwrap();
    assert_eq!((status, newest[0]["redelivery"].as_bool()), (200, Some(true)));
    let link = headers["link"].to_str().unwrap();
    let next = link.strip_prefix('<').unwrap().split('>').next().unwrap();
    let (_, headers, older) = world.call_in_full("GET", next, &jwt, json!({})).await.unwrap();
    assert_eq!((older[0]["guid"].as_str(), older[0]["redelivery"].as_bool()), (Some(&*guid), Some(false)));
    assert!(!headers.contains_key("link"));

    let id = &older[0]["id"];
    let (_, full) = world.call("GET", &format!("/app/hook/deliveries/{id}"), &jwt, json!({})).await.unwrap();
    assert_eq!(full["request"]["payload"]["issue"]["title"], "t");
    assert_eq!(full["request"]["headers"]["X-GitHub-Delivery"], *guid);
    let attempts = format!("/app/hook/deliveries/{id}/attempts");
    assert_eq!(world.call("POST", &attempts, &jwt, json!({})).await.unwrap().0, 202);
    assert_eq!(world.events().await.len(), 3);
}

#[tokio::test]
async fn a_webhook_that_nobody_takes_stays_in_the_log() {
    let world = World::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    world.sim.set_webhook_url(Some(&format!("http://{}/", listener.local_addr().unwrap())));
    drop(listener);
    world.sim.open_issue(REPO, "octo", ("t", "b"), &[]).await.unwrap();
    world.sim.settled().await;
    assert_eq!(world.sim.deliveries()[0].status_code, 502);
    world.sim.set_webhook_url(None);
    world.sim.open_issue(REPO, "octo", ("t", "b"), &[]).await.unwrap();
    world.sim.settled().await;
    assert_eq!(world.sim.deliveries().len(), 1);
}
