//! No secret is anywhere but in memory and in the requests that need it.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

use secrecy::ExposeSecret as _;
use track::config::LogFormat;
use track::sim::APP_PRIVATE_KEY_PEM;

use crate::harness::{MAINTAINER, REPO, World};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Every file below a folder with its content; pipes are not read.
fn files(folder: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => files(&entry.path(), found),
            Ok(kind) if kind.is_file() => {
                found.push((entry.path().display().to_string(), fs::read(entry.path()).unwrap_or_default()));
            }
            _ => {}
        }
    }
}

/// Command lines and environments of every process that we may look at.
fn processes() -> Vec<(String, Vec<u8>)> {
    let numbers = fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.path());
    let parts = numbers.flat_map(|process| ["cmdline", "environ"].map(|part| process.join(part)));
    parts.filter_map(|path| Some((path.display().to_string(), fs::read(&path).ok()?))).collect()
}

fn assert_none(secrets: &[String], places: &[(String, Vec<u8>)]) {
    for (place, content) in places {
        for secret in secrets {
            let found = content.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{}… is in {place}", &secret[..8.min(secret.len())]);
        }
    }
}

// T29, T30, T45
#[tokio::test]
async fn no_secret_is_in_files_logs_comments_or_processes() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = track::logging::subscriber("trace", LogFormat::Json, false, move || writer.clone()).unwrap();
    // Another test of the same process may have been first; then the log is its.
    let ours = tracing::subscriber::set_global_default(subscriber).is_ok();

    let world = World::new().await;
    world.agent(r#"say "working"; await go; commit hello.txt hello "feat: hello"; answer succeeded "Said hello.""#);
    let issue = world.issue("Say hello", "Please.").await;
    world.label(issue, "track").await;
    world
        .until("the agent at work", async || {
            assert_none(&world.sim.tokens(), &processes());
            world.starts().len() == 1
        })
        .await;
    world.signal("go");
    let mut secrets = world.sim.tokens();
    world
        .until("the pull request", async || {
            secrets.extend(world.sim.tokens());
            assert_none(&secrets, &processes());
            !world.sim.pulls(REPO).is_empty()
        })
        .await;
    world.comment(MAINTAINER, issue, "/track why").await;
    world.settle().await;

    let key_line = APP_PRIVATE_KEY_PEM.lines().nth(1).unwrap().to_owned();
    secrets.extend(world.sim.tokens());
    secrets.sort();
    secrets.dedup();
    assert!(secrets.len() >= 2, "one for the API, one to fetch");
    assert_eq!(world.sim.tokens().len(), 1, "what git was given is revoked when the run is over (T30)");
    secrets.extend([key_line, world.sim.app().webhook_secret.expose_secret().to_owned()]);
    let mut places = Vec::new();
    files(world.home(), &mut places);
    assert!(places.iter().any(|(path, content)| path.ends_with("track.db") && !content.is_empty()));
    for number in [1, 2] {
        for comment in world.sim.comments(REPO, track::model::Number(number)) {
            places.push((format!("a comment on #{number}"), comment.body.into_bytes()));
        }
    }
    let lines = log.0.lock().unwrap().clone();
    assert!(!ours || String::from_utf8_lossy(&lines).contains("GitHub answered"), "the log was captured");
    places.push(("the log".to_owned(), lines));
    assert_none(&secrets, &places);
}
