//! The pages in a real browser: Debian's Chromium, driven by the scenarios in `tests/browser`, on the harness's world.
//!
//! A scenario fails for what it looks for and does not find, and for everything that must not happen on any page: an error on the
//! console, something that the page's policy refused, a request to elsewhere, a dialog, what axe-core finds, a page that is too wide.
//! Pictures of every page are left in `target/screenshots`.

mod demo;
mod pages;
mod setup;
mod simulator;
mod vendored;

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::Command;

/// A line that a scenario prints.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case", untagged)]
enum Line {
    /// It wants something to be done or told, and waits for the answer.
    Ask { ask: String, about: Value },
    /// It measured something.
    Tell { tell: String },
}

/// Plays `tests/browser/<name>.mjs` to its end. `input` is what it starts with; `origins` in it are the only servers that its pages
/// may load from. `answer` does what the scenario asks for meanwhile.
pub async fn play(name: &str, input: Value, mut answer: impl AsyncFnMut(&str, Value) -> Value) {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut node = Command::new("node")
        .arg(here.join("tests/browser").join(name).with_extension("mjs"))
        .env("TRACK_SCENARIO", input.to_string())
        .env("TRACK_BROWSER", browser())
        .env("TRACK_BROWSER_MODULES", modules())
        .env("TRACK_SCREENSHOTS", screenshots())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("node runs: scripts/test.sh installs it");
    let mut stdin = node.stdin.take().expect("piped");
    let mut lines = BufReader::new(node.stdout.take().expect("piped")).lines();
    let mut stderr = node.stderr.take().expect("piped");
    let said = tokio::spawn(async move {
        let mut said = String::new();
        let _ = stderr.read_to_string(&mut said).await;
        said
    });
    while let Some(line) = lines.next_line().await.expect("what the scenario prints is text") {
        match serde_json::from_str(&line) {
            Ok(Line::Ask { ask, about }) => {
                let answered = format!("{}\n", answer(&ask, about).await);
                // It may be gone already; then its last words say why.
                let _ = stdin.write_all(answered.as_bytes()).await;
            }
            Ok(Line::Tell { tell }) => println!("{name}: {tell}"),
            Err(error) => panic!("{name} printed what is no message ({error}): {line}"),
        }
    }
    let status = node.wait().await.expect("node ends");
    let said = said.await.expect("its last words");
    assert!(status.success(), "{said}");
}

/// For scenarios that need nobody but the pages.
pub async fn nobody(what: &str, _: Value) -> Value {
    panic!("the scenario asks for {what:?}, which this test does not know")
}

/// Where the pictures go.
fn screenshots() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("screenshots")
}

/// Debian's Chromium; elsewhere it has the other name.
fn browser() -> PathBuf {
    let path = std::env::var_os("PATH").expect("PATH is set");
    let found = std::env::split_paths(&path)
        .flat_map(|folder| ["chromium", "chromium-browser"].map(|name| folder.join(name)))
        .find(|program| program.is_file());
    found.expect("Chromium is missing: run `apt-get install chromium`, or scripts/test.sh, which does")
}

/// Where `scripts/install-browser.sh` has put what drives it.
fn modules() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".cache")))
        .expect("HOME or XDG_CACHE_HOME is set");
    let lock = hex::encode(Sha256::digest(include_bytes!("../../browser/package-lock.json")));
    let folder = cache.join("track-tests/browser").join(&lock[..16]);
    assert!(folder.join("installed").exists(), "{} is missing: run scripts/install-browser.sh", folder.display());
    folder
}

#[tokio::test]
async fn the_driver_notices_what_must_not_happen() {
    play("notices", serde_json::json!({ "origins": ["http://bad.test"] }), nobody).await;
}
