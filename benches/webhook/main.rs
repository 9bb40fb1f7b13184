//! How many signed deliveries a second are acknowledged, and how soon, against Probot under the same load.
//!
//! `cargo bench --bench webhook`; benches/README.md tells how to set the peer up and what the figures mean. Both servers run as
//! processes of their own, one after the other in each round, and this process is the client of both.

mod load;
mod payload;
mod servers;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use load::{Figures, Target};
use servers::Server;

/// Shared by client and servers.
const SECRET: &str = "a webhook secret of the benchmark";
const CONNECTIONS: usize = 64;
const OPEN_LOOP_RATE: u32 = 500;

struct Plan {
    rounds: usize,
    closed: Duration,
    open: Duration,
    probot: Option<PathBuf>,
}

fn main() -> Result<()> {
    // Beside the build, because a temporary folder may be in memory, where syncing costs nothing.
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR"));
    if servers::is_child() {
        return servers::serve_track(scratch);
    }
    let plan = plan(scratch)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(compare(&plan, scratch))
}

/// `-- [--rounds N] [--closed SECONDS] [--open SECONDS] [--without-probot]`
fn plan(scratch: &Path) -> Result<Plan> {
    let mut plan = Plan { rounds: 3, closed: Duration::from_secs(10), open: Duration::from_secs(20), probot: None };
    let mut with_probot = true;
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut number = || -> Result<u64> {
            args.next().and_then(|text| text.parse().ok()).with_context(|| format!("{arg} needs a number"))
        };
        match arg.as_str() {
            "--rounds" => plan.rounds = usize::try_from(number()?)?,
            "--closed" => plan.closed = Duration::from_secs(number()?),
            "--open" => plan.open = Duration::from_secs(number()?),
            "--without-probot" => with_probot = false,
            // Cargo adds --bench; anything else that it passes does not concern us.
            _ => {}
        }
    }
    if with_probot {
        let folder = std::env::var_os("TRACK_BENCH_PROBOT").map_or_else(|| scratch.join("probot"), PathBuf::from);
        ensure!(
            folder.join("node_modules/probot").is_dir(),
            "Probot is not in {}: run benches/webhook/setup.sh, or add `-- --without-probot`",
            folder.display()
        );
        plan.probot = Some(folder);
    }
    Ok(plan)
}

async fn compare(plan: &Plan, scratch: &Path) -> Result<()> {
    let bodies = payload::signed(SECRET, 16);
    println!("{} bodies of {} bytes, {CONNECTIONS} connections", bodies.len(), bodies[0].bytes.len());
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 1..=plan.rounds {
        let server = Server::track(scratch)?;
        let target = Target { port: server.port, path: "/webhooks/github", bodies: &bodies };
        let figures = round_of(plan, &server, &target).await?;
        let stored = server.stop()?.context("the server did not say what it stored")?;
        ensure!(stored == figures.acknowledged, "{} acknowledged, but {stored} stored", figures.acknowledged);
        println!("round {round}  track   {figures}");
        ours.push(figures);
        if let Some(folder) = &plan.probot {
            let server = Server::probot(folder, SECRET)?;
            let target = Target { port: server.port, path: "/api/github/webhooks", bodies: &bodies };
            let figures = round_of(plan, &server, &target).await?;
            server.stop()?;
            println!("round {round}  probot  {figures}");
            theirs.push(figures);
        }
    }
    println!("median   track   {}", Figures::median(&ours));
    if !theirs.is_empty() {
        println!("median   probot  {}", Figures::median(&theirs));
    }
    Ok(())
}

async fn round_of(plan: &Plan, server: &Server, target: &Target<'_>) -> Result<Figures> {
    let warm = load::closed_loop(target, CONNECTIONS, Duration::from_secs(1)).await?;
    let before = server.cpu()?;
    let closed = load::closed_loop(target, CONNECTIONS, plan.closed).await?;
    let cpu = server.cpu()?.saturating_sub(before) / u32::try_from(closed.len().max(1))?;
    let open = load::open_loop(target, CONNECTIONS, OPEN_LOOP_RATE, plan.open).await?;
    Ok(Figures {
        acknowledged: (warm.len() + closed.len() + open.len()) as u64,
        rate: closed.len() as f64 / plan.closed.as_secs_f64(),
        cpu,
        closed_p99: load::quantile(&closed, 0.99),
        open: [0.5, 0.99, 1.0].map(|q| load::quantile(&open, q)),
    })
}
