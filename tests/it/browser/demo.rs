//! `track demo` as people play with it: the program, what it prints, and a browser.

use std::process::Stdio;

use serde_json::json;
use tempfile::tempdir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use super::{nobody, play};

#[tokio::test]
async fn the_story_on_the_page() {
    let folder = tempdir().unwrap();
    let mut demo = Command::new(env!("CARGO_BIN_EXE_track"))
        .args(["demo", "--folder"])
        .arg(folder.path().join("demo"))
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines();
    let mut printed = String::new();
    // It waits for Ctrl-C after these.
    while !printed.contains("press Ctrl-C") {
        let line = lines.next_line().await.unwrap();
        printed.push_str(&line.unwrap_or_else(|| panic!("the demo ended:\n{printed}")));
        printed.push('\n');
    }
    let links = |with: &str| {
        let found = printed.split_whitespace().rfind(|word| word.starts_with("http://") && word.contains(with));
        found.unwrap_or_else(|| panic!("the demo prints no link with {with}:\n{printed}")).to_owned()
    };
    let (link, issue) = (links("/admin/sign-in/link?token="), links("/issues/"));
    let origins = [&link, &issue].map(|url| url.split('/').take(3).collect::<Vec<_>>().join("/"));
    play("story", json!({ "origins": origins, "link": link, "issue": issue }), nobody).await;

    let pid = demo.id().and_then(|id| rustix::process::Pid::from_raw(id as i32)).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert!(demo.wait().await.unwrap().success());
    assert!(!folder.path().join("demo").exists(), "the demo leaves its folder");
}
