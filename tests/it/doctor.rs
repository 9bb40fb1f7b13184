//! What doctor says of a bot that serves, typed on its machine.

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::{World, process::printed};

/// Everything that doctor says, and whether nothing is missing.
async fn doctor(world: &World) -> (bool, Vec<Value>) {
    let output = world.run_track(&["doctor", "--json"]).await;
    let (out, err) = printed(&output);
    let findings = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{err}"));
    (output.status.code() == Some(0), findings)
}

/// Whether one finding is fine, and what it says.
fn finding(findings: &[Value], what: &str) -> (bool, String) {
    let found = findings.iter().find(|finding| finding["what"] == what);
    let found = found.unwrap_or_else(|| panic!("{what} is not said: {findings:#?}"));
    let text = |key: &str| found[key].as_str().expect("text").to_owned();
    (found["ok"] == true, format!("{} -> {}", text("found"), text("remedy")).trim_end_matches(" -> ").to_owned())
}

#[tokio::test]
async fn a_doctor_asks_github_and_the_running_bot() {
    let mut world = World::new().await;
    world.work_on("Say hello", "").await;
    world.serve().await;
    let (whole, findings) = doctor(&world).await;
    assert!(whole, "{findings:#?}");
    let (ok, address) = finding(&findings, "webhook");
    assert!(ok && address.ends_with("/webhooks/github"), "{address}");
    assert_eq!(finding(&findings, "clock"), (true, "agrees with GitHub's".to_owned()));
    let (ok, newest) = finding(&findings, "deliveries");
    assert!(ok && newest.ends_with("just now) was taken"), "{newest}");
    let (ok, arrival) = finding(&findings, "arrival");
    assert!(ok && arrival.starts_with("the last came just now; "), "{arrival}");
    assert!(finding(&findings, "local-1: sandbox").0 && finding(&findings, "local-1: agent scripted").0);
    assert!(finding(&findings, "sign-in").1.contains("track login-link"), "{findings:#?}");

    // GitHub's clock is known to half a second: what is sent next is later than what came by more than that.
    let came = world.sim.deliveries().iter().map(|delivery| delivery.delivered_at).max().expect("deliveries");
    world.until("a second later", async || world.clock.now() > came + 1_000).await;
    // Webhooks lead nowhere: GitHub says so, and what happens is found by asking.
    world.sim.set_webhook_url(Some("http://127.0.0.1:9/webhooks/github"));
    world.issue("Say hello once more", "").await;
    world.sim.settled().await;
    world.end(Signal::TERM).await;
    world.serve().await;
    let arrives = async || {
        let (whole, findings) = doctor(&world).await;
        assert!(!whole, "{findings:#?}");
        let (ok, newest) = finding(&findings, "deliveries");
        assert!(!ok && newest.contains("see that the webhook's address reaches this server"), "{newest}");
        finding(&findings, "arrival")
    };
    world.until("the sweep found it", async || !arrives().await.0).await;
    let (_, arrival) = arrives().await;
    assert!(arrival.starts_with("1 in 24 hours only came by asking GitHub"), "{arrival}");
    world.sim.set_webhook_url(None);
    let (_, findings) = doctor(&world).await;
    assert!(!finding(&findings, "webhook").0, "{findings:#?}");
}

// The runner's own lines, its logins, and the round trip, over a real sshd.
#[tokio::test]
async fn a_doctor_looks_at_runners_over_ssh() {
    let mut world = World::over_ssh_with(|config| config.runners[0].agent = Some("claude".to_owned())).await;
    let sshd = world.sshd.as_ref().expect("a machine");
    let (user, port) = (sshd.user.clone(), sshd.port);
    let bin = world.shared().join("bin");
    std::fs::create_dir_all(&bin).expect("a folder");
    let program = bin.join("claude");
    std::fs::write(&program, "#!/bin/sh\necho '2.1.0 (Claude Code)'\n").expect("a program");
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("chmod");
    let prelude = format!("{}; export PATH=\"{}:$PATH\"", world.config.runners[0].prelude, bin.display());
    world.config.runners[0].prelude = prelude;
    world.serve().await;
    let (whole, findings) = doctor(&world).await;
    assert!(!whole, "claude is not logged in: {findings:#?}");
    assert_eq!(finding(&findings, "ssh-1: agent claude"), (true, "2.1.0 (Claude Code)".to_owned()));
    let (ok, login) = finding(&findings, "ssh-1: login claude");
    assert!(!ok && login.contains(&format!("ssh -t -p {port} {user}@127.0.0.1 claude")), "{login}");
    let rows: Value =
        serde_json::from_str(&printed(&world.run_track(&["runner", "list", "--json"]).await).0).expect("JSON");
    let look = &rows[0]["look"];
    assert!(look["round_trip"].as_u64().is_some_and(|micros| micros > 0), "{look}");
    assert!(look["free"].as_u64().is_some_and(|bytes| bytes > 0), "{look}");
    assert_eq!(look["agents"][1]["name"], "scripted", "{look}");
}
