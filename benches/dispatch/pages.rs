//! How soon pages are there, over HTTP and signed in, with ten thousand runs on two thousand threads in the database.

use std::time::Instant;

use anyhow::Result;
use track::db;
use track::model::Clock;

use crate::harness::crowd::Crowd;
use crate::harness::page::Browser;
use crate::harness::{MAINTAINER, World};

/// Requests of each page before the measured ones.
const WARM_UP: usize = 5;

/// Opens every page so many times, one request after the other, and prints what it took.
pub async fn measure(times: usize) -> Result<()> {
    let mut world = World::new().await;
    // Before the crowd is there, of whose repositories this GitHub knows nothing.
    let mut browser = world.signed_in(MAINTAINER).await;
    let crowd = Crowd { live: 0, ..Crowd::default() };
    let began = Instant::now();
    crowd.fill(&world.db(), Clock::System.now()).await?;
    println!("{} runs on {} threads, made in {:.1} s", crowd.runs, crowd.threads, began.elapsed().as_secs_f64());
    println!("| page | p50 | p99 | longest | bytes |\n| --- | --- | --- | --- | --- |");
    for (name, path) in pages(&world).await? {
        row(&mut browser, (&name, &path), times).await?;
    }
    world.stop().await;
    Ok(())
}

/// Names and addresses: each page as it opens, and where it has most to do.
async fn pages(world: &World) -> Result<Vec<(String, String)>> {
    let mut conn = world.db().read().await?;
    let (filter, newest) = (db::run_list::Filter::default(), db::Turn::Newest);
    let runs = db::run_list::page(&mut conn, &filter, newest, 9_000).await?.rows;
    let (middle, deep) = (&runs[100], &runs[runs.len() - 1]);
    let pages = [
        ("Board", "/admin".to_owned()),
        ("Board, words", "/admin?q=parser".to_owned()),
        ("Runs", "/admin/runs".to_owned()),
        ("Runs, 9,000 further down", format!("/admin/runs?older={}-{}", deep.queued_at, deep.id)),
        ("Runs, of one repository, failed", "/admin/runs?repo=octo%2Fparser&state=failed".to_owned()),
        ("Runs, two words", "/admin/runs?q=parser+newline".to_owned()),
        ("Runs, words that none has", "/admin/runs?q=zebra".to_owned()),
        ("Run", format!("/admin/runs/{}", middle.id)),
        ("Thread", format!("/admin/threads/{}", middle.thread)),
        ("Usage, 30 days", "/admin/usage".to_owned()),
        ("Usage, 90 days", "/admin/usage?days=90".to_owned()),
        ("Deliveries", "/admin/deliveries".to_owned()),
        ("Deliveries, refused", "/admin/deliveries?verdict=refused".to_owned()),
        ("Deliveries, that none is", "/admin/deliveries?event=nothing".to_owned()),
        ("Delivery", "/admin/deliveries/15000".to_owned()),
        ("Audit", "/admin/audit".to_owned()),
        ("Audit, of nobody", "/admin/audit?actor=nobody".to_owned()),
        ("Repositories", "/admin/repositories".to_owned()),
        ("Runners", "/admin/runners".to_owned()),
        ("Settings", "/admin/settings".to_owned()),
        ("Health", "/admin/health".to_owned()),
        ("New task", "/admin/new".to_owned()),
    ];
    Ok(pages.map(|(name, path)| (name.to_owned(), path)).to_vec())
}

async fn row(browser: &mut Browser, (name, path): (&str, &str), times: usize) -> Result<()> {
    let mut took = Vec::with_capacity(times);
    let mut bytes = 0;
    for n in 0..WARM_UP + times {
        let began = Instant::now();
        let answer = browser.get(path).await;
        let time = began.elapsed();
        if !answer.status.is_success() {
            println!("| {name} | answers {} | | | |", answer.status);
            return Ok(());
        }
        bytes = answer.text.len();
        if n >= WARM_UP {
            took.push(time);
        }
    }
    took.sort();
    let at = |share: f64| took[((share * took.len() as f64).ceil() as usize).max(1) - 1].as_secs_f64() * 1e3;
    println!("| {name} | {:.1} ms | {:.1} ms | {:.1} ms | {bytes} |", at(0.5), at(0.99), at(1.0));
    Ok(())
}
