//! The client: plain HTTP/1 connections, driven in a closed loop (as fast as answers come) and in an open one (at a fixed rate).

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::payload::Signed;

/// Where to send what.
pub struct Target<'a> {
    pub port: u16,
    pub path: &'static str,
    pub bodies: &'a [Signed],
}

type Connection = SendRequest<Full<Bytes>>;

impl Target<'_> {
    async fn connect(&self) -> Result<Connection> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(sender)
    }

    /// A delivery with an id of its own.
    fn request(&self) -> Result<Request<Full<Bytes>>> {
        static SENT: AtomicU64 = AtomicU64::new(0);
        let n = SENT.fetch_add(1, Ordering::Relaxed);
        let body = &self.bodies[n as usize % self.bodies.len()];
        let shuffled = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Ok(Request::post(self.path)
            .header("host", "127.0.0.1")
            .header("user-agent", "GitHub-Hookshot/bench")
            .header("content-type", "application/json")
            .header("x-github-event", "issues")
            .header("x-github-delivery", format!("{:08x}-0000-4000-8000-{n:012x}", shuffled >> 32))
            .header("x-hub-signature-256", &body.signature)
            .body(Full::new(body.bytes.clone()))?)
    }
}

/// Sends on each of `connections` as soon as its last answer came; returns how long each answer took.
pub async fn closed_loop(target: &Target<'_>, connections: usize, time: Duration) -> Result<Vec<Duration>> {
    let end = Instant::now() + time;
    let clients = (0..connections).map(|_| async {
        let mut connection = target.connect().await?;
        let mut took = Vec::new();
        while Instant::now() < end {
            let began = Instant::now();
            exchange(&mut connection, target.request()?).await?;
            took.push(began.elapsed());
        }
        anyhow::Ok(took)
    });
    Ok(futures_util::future::try_join_all(clients).await?.concat())
}

/// Sends `rate` a second whatever the answers do; each answer's time counts from when its request was due.
pub async fn open_loop(target: &Target<'_>, connections: usize, rate: u32, time: Duration) -> Result<Vec<Duration>> {
    let (give_back, mut free) = mpsc::unbounded_channel();
    for _ in 0..connections {
        give_back.send(target.connect().await?)?;
    }
    let start = Instant::now();
    let mut sent = Vec::new();
    for n in 0..rate * u32::try_from(time.as_secs())? {
        let due = start + Duration::from_secs(1) * n / rate;
        tokio::time::sleep_until(due).await;
        let Some(mut connection) = free.recv().await else { break };
        let (request, give_back) = (target.request()?, give_back.clone());
        sent.push(tokio::spawn(async move {
            exchange(&mut connection, request).await?;
            let took = due.elapsed();
            give_back.send(connection)?;
            anyhow::Ok(took)
        }));
    }
    let mut took = Vec::with_capacity(sent.len());
    for answer in sent {
        took.push(answer.await??);
    }
    Ok(took)
}

async fn exchange(connection: &mut Connection, request: Request<Full<Bytes>>) -> Result<()> {
    connection.ready().await?;
    let response = connection.send_request(request).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    ensure!(status.is_success(), "answered {status}: {}", String::from_utf8_lossy(&body));
    Ok(())
}

/// What one round gave.
#[derive(Clone, Copy)]
pub struct Figures {
    /// All acknowledged deliveries of the round, the warm-up included.
    pub acknowledged: u64,
    /// Acknowledged a second in the closed loop.
    pub rate: f64,
    /// The server's processor time for each of them.
    pub cpu: Duration,
    pub closed_p99: Duration,
    /// p50, p99 and the longest in the open loop.
    pub open: [Duration; 3],
}

impl Figures {
    /// Each figure's median over the rounds.
    pub fn median(rounds: &[Self]) -> Self {
        let middle = |of: &dyn Fn(&Self) -> Duration| quantile(&rounds.iter().map(of).collect::<Vec<_>>(), 0.5);
        let mut rates: Vec<f64> = rounds.iter().map(|round| round.rate).collect();
        rates.sort_by(f64::total_cmp);
        Self {
            acknowledged: rounds.iter().map(|round| round.acknowledged).sum(),
            rate: rates.get(rates.len() / 2).copied().unwrap_or_default(),
            cpu: middle(&|round| round.cpu),
            closed_p99: middle(&|round| round.closed_p99),
            open: [0, 1, 2].map(|n| middle(&|round| round.open[n])),
        }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        let [p50, p99, max] = self.open.map(ms);
        write!(
            f,
            "closed loop {:6.0}/s ({:3} us CPU each, p99 {:5.1} ms)   open loop p50 {p50:5.2} ms  p99 {p99:5.2} ms  max {max:6.1} ms",
            self.rate,
            self.cpu.as_micros(),
            ms(self.closed_p99)
        )
    }
}

/// The time that a share of `q` of all did not exceed.
pub fn quantile(times: &[Duration], q: f64) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort();
    let rank = (q * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied().unwrap_or_default()
}
