//! `track demo`: the whole story on one machine, without an account, a network or sshd.
//!
//! GitHub is the simulator, reached over real HTTP with real signatures and real git; the bot is the one that serves for real;
//! the runner is this machine and the agent a script. Everything lies in one folder, which goes when the demo ends.

mod story;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use secrecy::SecretString;
use tokio::process::Command;

use crate::admin::sign_in;
use crate::app::{self, Running};
use crate::cli::DemoArgs;
use crate::config::{AgentConfig, Config, GitHubConfig, RunnerConfig, Sandbox, Transport};
use crate::model::Clock;
use crate::sim::{APP_PRIVATE_KEY_PEM, AppSettings, Options, Role, Sim};

/// The repository of the story.
const REPOSITORY: &str = "octo/hello";
/// The person of the story.
const PERSON: &str = "mona";
/// Somebody else who works there.
const COLLEAGUE: &str = "lisa";
const AGENT: &str = "scripted";
/// The folder in the demo's in which the runner works.
const RUNNER: &str = "runner";

/// Plays the story; an error if it did not come true.
pub async fn play(args: DemoArgs) -> Result<()> {
    let folder = Folder::make(args.folder.as_deref(), args.keep)?;
    let sandbox = working_sandbox().await;
    println!("track demo: a GitHub of its own, the bot, a runner and a scripted agent. Nothing leaves this machine.\n");
    match sandbox {
        Sandbox::Bubblewrap => println!("  sandbox   bubblewrap: the agent sees its workspace and nothing else"),
        Sandbox::None => println!("  sandbox   none: bubblewrap is not installed or may not make namespaces here"),
    }
    let sim = simulator(&folder.path).await?;
    let played = tokio::select! {
        played = play_with(&args, &folder.path, sandbox, &sim) => played,
        _ = tokio::signal::ctrl_c() => {
            println!("\nInterrupted.");
            Ok(())
        }
    };
    sim.stop().await;
    played
}

async fn play_with(args: &DemoArgs, folder: &Path, sandbox: Sandbox, sim: &Sim) -> Result<()> {
    let running = app::start(config(folder, args.port, sandbox, sim)?, Clock::System).await?;
    sim.set_webhook_url(Some(&format!("http://{}/webhooks/github", running.address())));
    // As `track serve` does, so that the pages of health and runners have something to say.
    tokio::spawn(app::keep_watch(running.context().clone()));
    println!("  GitHub    {} (simulated)", sim.url());
    println!("  bot       http://{}", running.address());
    println!("  folder    {}\n", folder.display());
    let told = tell_and_wait(args, sim, &running, &folder.join(RUNNER)).await;
    end_runs(&running).await;
    running.stop().await;
    told
}

async fn tell_and_wait(args: &DemoArgs, sim: &Sim, running: &Running, runner: &Path) -> Result<()> {
    story::tell(sim, runner).await?;
    if !args.exit {
        let issue = story::leave_an_issue(sim).await?;
        let link = sign_in::link(running.context(), Some(PERSON), None).await?;
        println!("\nThe board, signed in as {PERSON}:\n  {}", link.url);
        println!(
            "  (The link works once; `TRACK_HOME={} track login-link` prints another.)",
            running.context().config.home.display()
        );
        println!("\nOne more issue waits. Put the label `track` on it, and watch the board:\n  {issue}");
        println!("\nThe pages stay up until you press Ctrl-C.");
        std::future::pending::<()>().await;
    }
    Ok(())
}

/// No agent outlives the demo.
async fn end_runs(running: &Running) {
    for machine in running.context().runners.all() {
        if let Ok(mut conn) = running.context().db.read().await
            && let Ok(live) = crate::db::runs::live(&mut conn).await
        {
            for run in live {
                let _ = machine.cancel(run.id, running.context().epoch.unsigned_abs()).await;
            }
        }
    }
}

async fn simulator(folder: &Path) -> Result<Sim> {
    let secret = SecretString::from(hex::encode(rand::random::<[u8; 16]>()));
    let sim = Sim::start(Options::new(folder.join("github"), AppSettings::new(secret))).await?;
    sim.add_user(PERSON);
    sim.add_user(COLLEAGUE);
    let files = [
        ("README.md", "# hello\n\nGreetings in several languages, one a line.\n"),
        ("greetings.txt", "Hello, world!\nHallo, Welt!\nHola, mundo!\n"),
    ];
    sim.add_repository(REPOSITORY, &files).await?;
    sim.set_role(REPOSITORY, PERSON, Role::Maintain)?;
    sim.set_role(REPOSITORY, COLLEAGUE, Role::Write)?;
    Ok(sim)
}

fn config(folder: &Path, port: u16, sandbox: Sandbox, sim: &Sim) -> Result<Config> {
    let tools = folder.join("tools");
    fs::create_dir_all(&tools)?;
    let script = tools.join("agent.sh");
    fs::write(&script, include_str!("agent.sh"))?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    let text = |path: &Path| path.to_str().map(str::to_owned).context("the demo's folder is not valid UTF-8");

    let mut config = Config::defaults(folder.join("home"));
    config.github = Some(GitHubConfig {
        app_id: sim.app().id,
        private_key: APP_PRIVATE_KEY_PEM.into(),
        webhook_secret: sim.app().webhook_secret.clone(),
        api_url: sim.api_url(),
        server_url: sim.url(),
    });
    config.listen = ([127, 0, 0, 1], port).into();
    config.default_agent = AGENT.to_owned();
    config.agents.insert(AGENT.to_owned(), AgentConfig { command: vec!["bash".to_owned(), text(&script)?] });
    let mut runner = RunnerConfig::named("this-machine", Transport::Local);
    runner.root = text(&folder.join(RUNNER))?;
    runner.sandbox = sandbox;
    runner.read_only = vec![text(&tools)?];
    config.runners = vec![runner];
    Ok(config)
}

/// Bubblewrap where it is installed and may make namespaces, which some containers forbid.
async fn working_sandbox() -> Sandbox {
    let probe = Command::new("bwrap")
        .args(["--unshare-user", "--unshare-pid", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "true"])
        .output()
        .await;
    match probe {
        Ok(output) if output.status.success() => Sandbox::Bubblewrap,
        _ => Sandbox::None,
    }
}

/// The demo's folder, removed at the end unless it is to be kept or was there before.
struct Folder {
    path: PathBuf,
    keep: bool,
}

impl Folder {
    fn make(wanted: Option<&Path>, keep: bool) -> Result<Self> {
        let path = match wanted {
            Some(path) => std::path::absolute(path)?,
            None => std::env::temp_dir().join(format!("track-demo-{}", hex::encode(rand::random::<[u8; 4]>()))),
        };
        if path.exists() && fs::read_dir(&path).is_ok_and(|mut entries| entries.next().is_some()) {
            bail!("{} is not empty: name a new or empty folder with --folder", path.display());
        }
        let existed = path.exists();
        fs::create_dir_all(&path).with_context(|| format!("{} cannot be made", path.display()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700))?;
        Ok(Self { path, keep: keep || existed })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.keep {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}
