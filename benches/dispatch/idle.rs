//! Memory of the release binary while nothing is to be done, and its size.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use secrecy::ExposeSecret as _;
use track::sim::{APP_PRIVATE_KEY_PEM, AppSettings, Options, Role, Sim};

const PATIENCE: Duration = Duration::from_secs(30);
/// Allocators give memory back after a while.
const REST: Duration = Duration::from_secs(2);

/// Starts `track serve` with a local runner against the simulator, lets it do one run, and prints its memory before and after.
pub async fn measure() -> Result<()> {
    // Built by cargo together with the bench, in its profile.
    let binary = Path::new(env!("CARGO_BIN_EXE_track"));
    let folder = tempfile::tempdir()?;
    let sim = Sim::start(Options::new(folder.path().join("github"), AppSettings::new("a secret of the bench".into())))
        .await?;
    sim.add_user("mona");
    sim.add_repository("octo/hello", &[("README.md", "# hello\n")]).await?;
    sim.set_role("octo/hello", "mona", Role::Maintain)?;
    let issue = sim.open_issue("octo/hello", "mona", ("Say hello", "Please."), &[]).await?;
    let mut server = serve(binary, folder.path(), &sim)?;
    let size = fs::metadata(binary)?.len();
    println!("| release binary | memory after start | after one run |\n| --- | --- | --- |");
    tokio::time::sleep(REST).await;
    let before = resident(&server.child)?;
    sim.set_webhook_url(Some(&format!("http://127.0.0.1:{}/webhooks/github", server.port)));
    sim.label("octo/hello", "mona", issue, "track").await?;
    let done = async {
        while !sim.issue("octo/hello", issue).is_some_and(|issue| issue.reactions.iter().any(|r| r.content == "rocket"))
        {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, done).await.context("the run did not succeed")?;
    tokio::time::sleep(REST).await;
    let after = resident(&server.child)?;
    println!("| {:.1} MB | {:.1} MB | {:.1} MB |", size as f64 / 1e6, before, after);
    ensure!(server.child.try_wait()?.is_none(), "the server ended");
    Ok(())
}

struct Server {
    child: Child,
    port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn serve(binary: &Path, folder: &Path, sim: &Sim) -> Result<Server> {
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let home: PathBuf = folder.join("home");
    let agent = r#"printf '{"status":"succeeded","summary":"Hello.","pull_request_title":"Hello","pull_request_body":null,"notes":null,"replies":[]}' >"$TRACK_RESULT_FILE""#;
    let config = folder.join("track.toml");
    fs::write(
        &config,
        format!(
            "default_agent = \"scripted\"\n[[runners]]\nname = \"local-1\"\ntransport = \"local\"\nroot = \"{}\"\n[agents.scripted]\ncommand = [\"bash\", \"-c\", '''{agent}''']\n",
            folder.join("runner").display()
        ),
    )?;
    let child = Command::new(binary)
        .arg("serve")
        .current_dir(folder)
        .env("GITHUB_APP_ID", sim.app().id.to_string())
        .env("GITHUB_APP_PRIVATE_KEY", APP_PRIVATE_KEY_PEM)
        .env("GITHUB_WEBHOOK_SECRET", sim.app().webhook_secret.expose_secret())
        .env("GITHUB_API_URL", sim.api_url())
        .env("GITHUB_SERVER_URL", sim.url())
        .env("TRACK_HOME", &home)
        .env("TRACK_CONFIG", &config)
        .env("TRACK_LISTEN", format!("127.0.0.1:{port}"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    Ok(Server { child, port })
}

/// Resident memory in megabytes (proc_pid_status(5)).
fn resident(child: &Child) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
    let kib: f64 = line.trim().trim_end_matches(" kB").trim().parse()?;
    Ok(kib * 1024.0 / 1e6)
}
