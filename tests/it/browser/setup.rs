//! Setting up in a browser: `track serve` in an empty folder, and GitHub's pages.

use std::process::Stdio;

use serde_json::json;
use tempfile::tempdir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use track::sim::{AppSettings, Options, Sim};

use super::{nobody, play};

/// Owns the App and the repository.
const PERSON: &str = "octo";

#[tokio::test]
async fn from_an_empty_folder_to_an_installed_app() {
    let folder = tempdir().unwrap();
    let app = AppSettings::new("a secret of tests, long".into());
    let sim = Sim::start(Options::new(folder.path().join("github"), app)).await.unwrap();
    sim.add_repository("octo/hello", &[("README.md", "# hello\n")]).await.unwrap();
    let mut serve = Command::new(env!("CARGO_BIN_EXE_track"));
    serve.arg("serve").current_dir(folder.path()).env_clear();
    for name in ["PATH", "HOME"] {
        serve.env(name, std::env::var_os(name).unwrap());
    }
    serve.env("TRACK_HOME", folder.path().join("home")).env("TRACK_LISTEN", "127.0.0.1:0");
    let mut bot = serve.stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true).spawn().unwrap();
    let mut lines = BufReader::new(bot.stdout.take().unwrap()).lines();
    let link = loop {
        let line = lines.next_line().await.unwrap().expect("a link before it ends");
        if let Some(link) = line.split_whitespace().find(|word| word.contains("/setup?token=")) {
            break link.to_owned();
        }
    };
    let origin = link.split('/').take(3).collect::<Vec<_>>().join("/");
    let input = json!({ "origins": [origin, sim.url()], "link": link, "github": sim.url(), "person": PERSON });
    play("setup", input, nobody).await;
    let app = std::fs::read_to_string(folder.path().join("home/app.env")).unwrap();
    // Not the whole of it in the message: it holds secrets.
    assert!(
        app.contains(&format!("GITHUB_APP_ID='{}'", sim.app().id)),
        "the App that was made is not the one that is stored"
    );
    sim.stop().await;
}
