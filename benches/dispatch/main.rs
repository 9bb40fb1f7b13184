//! How long it takes from a webhook to a working agent, and from the agent's end to a known outcome, with the whole program.
//!
//! `cargo bench --bench dispatch -- [ssh|review|local|ten|exit|idle|pages] [dispatches]`; benches/README.md tells what the figures mean. The bot runs in this
//! process, GitHub is the simulator, the machine is a real sshd with OpenSSH's default limits, and the agent's first and last acts
//! are to note the time.

#[path = "../../tests/it/harness/mod.rs"]
mod harness;
mod idle;
mod pages;
#[path = "../../tests/it/sshd.rs"]
mod sshd;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use futures_util::future::try_join_all;
use track::config::{AgentConfig, Config};
use track::db;
use track::model::{Millis, Number, RunId, Status};

use harness::{MAINTAINER, World};

/// A repository of 300 files.
const REPO: &str = "octo/bench";
const FILES: usize = 300;
/// Dispatches measured, after [`WARM_UP`] that are not.
const DISPATCHES: usize = 30;
const WARM_UP: usize = 2;
/// A hundredth of fewer requests would be none.
const PAGE_VIEWS: usize = 200;
/// Time in which the bot may write to GitHub what one dispatch owes.
const RATION: Millis = 10_000;
/// The machine's account may be another one than ours, and its agents write here.
const AGENT: &str = r#"
    started=$EPOCHREALTIME
    if [[ $TRACK_KIND == task && -e $TRACK_TEST_LOG/commit ]]; then echo x >x.txt; git add x.txt; git commit -qm 'feat: x'; fi
    echo "$started" >"$TRACK_TEST_LOG/started-$TRACK_RUN_ID"
    printf '{"status":"succeeded","summary":"Nothing to do.","pull_request_title":null,"pull_request_body":null,"notes":null,"replies":[]}' >"$TRACK_RESULT_FILE"
    [[ ! -e $TRACK_TEST_LOG/hold ]] || while [[ ! -e $TRACK_TEST_LOG/go ]]; do sleep 0.05; done
    echo "$EPOCHREALTIME" >"$TRACK_TEST_LOG/ended-$TRACK_RUN_ID"
"#;

fn main() -> Result<()> {
    if std::env::var_os("RUST_LOG").is_some() {
        tracing_subscriber::fmt().with_env_filter(tracing_subscriber::EnvFilter::from_default_env()).init();
    }
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let (counts, modes): (Vec<String>, Vec<String>) = args.into_iter().partition(|arg| arg.parse::<usize>().is_ok());
    let count = counts.first().map_or(Ok(DISPATCHES), |count| count.parse())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    for mode in if modes.is_empty() {
        ["ssh", "review", "local", "ten", "exit", "idle", "pages"].map(str::to_owned).to_vec()
    } else {
        modes
    } {
        match mode.as_str() {
            "ssh" => runtime.block_on(over_ssh(count))?,
            "review" => runtime.block_on(reviews(count))?,
            "local" => runtime.block_on(local(count))?,
            "ten" => runtime.block_on(ten())?,
            "exit" => runtime.block_on(exits(count))?,
            "idle" => runtime.block_on(idle::measure())?,
            "pages" => runtime.block_on(pages::measure(count.max(PAGE_VIEWS)))?,
            other => bail!("{other:?} is no mode: ssh, review, local, ten, exit, idle, pages"),
        }
        println!();
    }
    Ok(())
}

async fn over_ssh(count: usize) -> Result<()> {
    println!(
        "| webhook → agent started | p50 | p95 | longest | logins per dispatch |\n| --- | --- | --- | --- | --- |"
    );
    for rtt in [0, 40] {
        let mut world = World::over_ssh_with(bench).await;
        prepare(&world).await?;
        let proxy = match rtt {
            0 => None,
            rtt => {
                world.stop().await;
                let proxy = world.sshd.as_ref().context("an sshd")?.delay_proxy(Duration::from_millis(rtt)).await;
                world.config.runners[0].port = Some(proxy.port);
                world.start().await;
                Some(proxy)
            }
        };
        let logins = |world: &World| world.sshd.as_ref().map_or(0, sshd::Sshd::count_logins);
        dispatches(&world, WARM_UP).await?;
        let before = logins(&world);
        let times = dispatches(&world, count).await?;
        let each = (logins(&world) - before) as f64 / count as f64;
        println!(
            "| ssh, {rtt} ms round trip | {} | {each:.2} |",
            row(&times.iter().map(|time| time.start).collect::<Vec<_>>())
        );
        world.stop().await;
        drop(proxy);
    }
    Ok(())
}

async fn reviews(count: usize) -> Result<()> {
    println!(
        "| review with a body → agent started | p50 | p95 | longest | requests |\n| --- | --- | --- | --- | --- |"
    );
    let mut world = World::over_ssh_with(bench).await;
    prepare(&world).await?;
    world.signal("commit");
    dispatches(&world, 1).await?;
    let pull = world.sim.pulls(REPO).first().context("a pull request")?.number;
    let (mut times, mut requests) = (Vec::new(), Vec::new());
    for n in 0..WARM_UP + count {
        world.clock.advance(RATION);
        let before = world.sim.journal().len();
        let sent = now();
        world.sim.review(REPO, MAINTAINER, pull, "COMMENTED", "Please do nothing again.", &[]).await?;
        let (run, _) = outcome_known(&world).await?;
        world.settle().await;
        if n >= WARM_UP {
            times.push(epoch(&world.trace(&format!("started-{run}")).context("the agent noted the time")?)? - sent);
            requests =
                world.sim.journal()[before..].iter().map(|made| format!("{} {}", made.method, made.path)).collect();
        }
    }
    println!("| ssh | {} | {} |", row(&times), requests.len());
    for request in requests {
        println!("  {request}");
    }
    world.stop().await;
    Ok(())
}

async fn local(count: usize) -> Result<()> {
    println!("| webhook → agent started | p50 | p95 | longest |\n| --- | --- | --- | --- |");
    let mut world = World::with(bench).await;
    prepare(&world).await?;
    dispatches(&world, WARM_UP).await?;
    let times = dispatches(&world, count).await?;
    println!("| local runner | {} |", row(&times.iter().map(|time| time.start).collect::<Vec<_>>()));
    world.stop().await;
    Ok(())
}

async fn exits(count: usize) -> Result<()> {
    println!("| agent's last act → outcome in the database | p50 | p95 | longest |\n| --- | --- | --- | --- |");
    let mut world = World::over_ssh_with(bench).await;
    prepare(&world).await?;
    dispatches(&world, WARM_UP).await?;
    let times = dispatches(&world, count).await?;
    println!("| ssh | {} |", row(&times.iter().map(|time| time.known).collect::<Vec<_>>()));
    world.stop().await;
    Ok(())
}

async fn ten() -> Result<()> {
    println!(
        "| ten at once, round | succeeded | all started after | all done after | logins, the first one included |\n| --- | --- | --- | --- | --- |"
    );
    for round in 1..=3 {
        let mut world = World::over_ssh_with(bench).await;
        prepare(&world).await?;
        dispatches(&world, 1).await?;
        world.signal("hold");
        let issues = try_join_all((0..10).map(|_| open_issue(&world))).await?;
        world.settle().await;
        let began = now();
        try_join_all(issues.iter().map(|issue| world.sim.label(REPO, MAINTAINER, *issue, "track"))).await?;
        world.until("ten agents started", async || started(&world).len() == 11).await;
        let last = started(&world).into_iter().max().context("agents started")?;
        world.signal("go");
        world.until("ten runs done", async || world.runs().await.iter().all(|run| run.status == Status::Done)).await;
        let done = now() - began;
        let runs = world.runs().await;
        let succeeded =
            runs.iter().take(10).filter(|run| run.outcome == Some(track::model::Outcome::Succeeded)).count();
        let logins = world.sshd.as_ref().map_or(0, sshd::Sshd::count_logins);
        println!("| {round} | {succeeded} | {} ms | {} ms | {logins} |", (last - began).as_millis(), done.as_millis());
        world.stop().await;
    }
    Ok(())
}

/// What is the same in all measurements: an agent that notes the time, and room for ten at once.
fn bench(config: &mut Config) {
    let command = ["bash", "-c", AGENT].map(str::to_owned).to_vec();
    config.agents.insert("scripted".to_owned(), AgentConfig { command });
    config.limits.runs_per_repository = 16;
    config.limits.runs_per_user_hour = 1000;
    config.limits.followups_per_day = 1000;
    config.runners[0].slots = 10;
}

async fn prepare(world: &World) -> Result<()> {
    let files: Vec<(String, String)> = (0..FILES)
        .map(|n| (format!("src/part-{}/file-{n}.txt", n % 20), format!("line of file {n}\n").repeat(40)))
        .collect();
    let files: Vec<(&str, &str)> = files.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
    world.sim.add_repository(REPO, &files).await?;
    world.sim.set_role(REPO, MAINTAINER, track::sim::Role::Maintain)
}

async fn open_issue(world: &World) -> Result<Number> {
    world.sim.open_issue(REPO, MAINTAINER, ("Measure", "Please do nothing."), &[]).await
}

/// Times of one dispatch.
struct Times {
    /// From before the webhook was sent to the agent's first act.
    start: Duration,
    /// From the agent's last act to when its outcome could be read from the database.
    known: Duration,
}

async fn dispatches(world: &World, count: usize) -> Result<Vec<Times>> {
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        // Writes to GitHub are rationed by the second; none of them is on the measured path.
        world.clock.advance(RATION);
        let issue = open_issue(world).await?;
        world.settle().await;
        let sent = now();
        world.sim.label(REPO, MAINTAINER, issue, "track").await?;
        let (run, known) = outcome_known(world).await?;
        let noted = |what: &str| world.trace(&format!("{what}-{run}")).context("the agent noted the time");
        times.push(Times {
            start: epoch(&noted("started")?)? - sent,
            known: known.saturating_sub(epoch(&noted("ended")?)?),
        });
        world.settle().await;
    }
    Ok(times)
}

/// The newest run once it has an outcome, and when that was.
async fn outcome_known(world: &World) -> Result<(RunId, Duration)> {
    let mut tick = tokio::time::interval(Duration::from_millis(2));
    let mut conn = world.bot().context().db.read().await?;
    // A label that was put on is a run within moments; until then there is none that is live.
    let mut live = None;
    loop {
        tick.tick().await;
        live = match live {
            None => db::runs::live(&mut conn).await?.first().map(|run| run.id),
            Some(id) => {
                let run = db::runs::get(&mut conn, id).await?;
                if matches!(run.status, Status::Publishing | Status::Done) {
                    return Ok((id, now()));
                }
                Some(id)
            }
        };
    }
}

/// When agents started.
fn started(world: &World) -> Vec<Duration> {
    world.traces("started-").iter().filter_map(|text| epoch(text).ok()).collect()
}

/// Bash's EPOCHREALTIME.
fn epoch(text: &str) -> Result<Duration> {
    let (seconds, micros) = text.trim().split_once('.').context("a time")?;
    Ok(Duration::new(seconds.parse()?, micros.parse::<u32>()? * 1000))
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// p50, p95 and the longest, as cells of a table.
fn row(times: &[Duration]) -> String {
    let mut sorted = times.to_vec();
    sorted.sort();
    let at = |share: f64| sorted[((share * sorted.len() as f64).ceil() as usize).max(1) - 1].as_millis();
    format!("{} ms | {} ms | {} ms", at(0.5), at(0.95), at(1.0))
}
