//! Serving HTTP: limits that slow or greedy clients run into, and a stop that finishes what was begun.
//!
//! `axum::serve` knows neither time limits for heads and bodies nor a cap on connections, so the few lines around hyper are ours.
//! Requests are limited in time, answers are not: a live page may stay open for hours.

mod peers;
mod watch;

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::ConnectInfo;
use hyper::Request;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, Sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use peers::Peers;
use watch::{AnswerBody, Verdict, Watch, WatchedIo};

/// The longest head, and the most that is read ahead of a handler.
const READ_BUFFER: usize = 64 * 1024;
/// How long to wait after a failed accept; out of file descriptors is the usual reason, and it passes as connections close.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a client may take: time, connections.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From the first byte of a head, or from the connection's beginning, to the end of the head.
    pub head: Duration,
    /// From the end of the head to the end of the request's body.
    pub body: Duration,
    /// Between two requests of a connection, and how long a client may stop reading an answer.
    pub idle: Duration,
    /// Open connections; further ones wait in the listener's backlog.
    pub connections: usize,
    /// Open connections of one address (IPv6: of one /64); further ones are closed at once.
    pub connections_per_address: usize,
    /// How long running requests may take to finish after a stop.
    pub finish: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(5),
            body: Duration::from_secs(10),
            idle: Duration::from_secs(30),
            connections: 2000,
            // A proxy in front is one address, so this must be more than what one honest client takes.
            connections_per_address: 1500,
            finish: Duration::from_secs(8),
        }
    }
}

/// A socket that connections come from.
pub trait Listener: Send + 'static {
    /// A connection.
    type Io: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The next connection, and the address of its other end where it has one.
    fn next(&self) -> impl Future<Output = io::Result<(Self::Io, Option<SocketAddr>)>> + Send;
}

impl Listener for TcpListener {
    type Io = TcpStream;

    async fn next(&self) -> io::Result<(TcpStream, Option<SocketAddr>)> {
        let (stream, peer) = self.accept().await?;
        stream.set_nodelay(true)?;
        Ok((stream, Some(peer)))
    }
}

impl Listener for UnixListener {
    type Io = UnixStream;

    async fn next(&self) -> io::Result<(UnixStream, Option<SocketAddr>)> {
        Ok((self.accept().await?.0, None))
    }
}

/// The request's body did not arrive within [`Limits::body`].
#[derive(Debug, thiserror::Error)]
#[error("the body did not arrive in time")]
pub struct BodyTooSlow;

/// Serves `router` until `stop`, then closes the listener at once, lets running requests finish within [`Limits::finish`], and returns.
///
/// Handlers find the client's address as `ConnectInfo<SocketAddr>` on TCP. A body that is late fails with [`BodyTooSlow`].
pub async fn serve(listener: impl Listener, router: Router, limits: Limits, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(limits.connections));
    let peers = Peers::new(limits.connections_per_address);
    let connections = TaskTracker::new();
    let cut = CancellationToken::new();
    loop {
        let next = async {
            // Taking the place first leaves those beyond the cap in the kernel's queue, where they wait instead of failing.
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.next().await)
        };
        let (place, accepted) = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            next = next => next,
        };
        let (io, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Some(guest) = peers.enter(peer) else {
            tracing::debug!(?peer, "too many connections of one address");
            continue;
        };
        let connection = Connection { peer, router: router.clone(), limits, stop: stop.clone(), cut: cut.clone() };
        connections.spawn(async move {
            connection.run(io).await;
            drop((place, guest));
        });
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(limits.finish, connections.wait()).await.is_err() {
        tracing::warn!(open = connections.len(), "connections are cut that did not finish in time");
        cut.cancel();
        connections.wait().await;
    }
}

struct Connection {
    peer: Option<SocketAddr>,
    router: Router,
    limits: Limits,
    stop: CancellationToken,
    cut: CancellationToken,
}

impl Connection {
    async fn run(self, io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let watch = Watch::new();
        let service = service_fn(|request: Request<Incoming>| {
            watch.request_began();
            let answer = self.router.clone().oneshot(self.prepare(request));
            let watch = watch.clone();
            async move {
                answer.await.map(|answer| answer.map(|body| AnswerBody::new(body, watch))) as Result<_, Infallible>
            }
        });
        let mut http = http1::Builder::new();
        // Hyper's own timer counts the idle time as part of reading the next head, hence the watch.
        http.timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(READ_BUFFER);
        let mut serving = pin!(http.serve_connection(TokioIo::new(WatchedIo::new(io, watch.clone())), service));
        let mut look = pin!(tokio::time::sleep(self.limits.head));
        let mut stopping = false;
        loop {
            tokio::select! {
                served = serving.as_mut() => {
                    if let Err(error) = served {
                        tracing::debug!(peer = ?self.peer, %error, "a connection ended early");
                    }
                    return;
                }
                () = self.stop.cancelled(), if !stopping => {
                    stopping = true;
                    serving.as_mut().graceful_shutdown();
                }
                () = self.cut.cancelled() => return,
                () = look.as_mut() => match watch.verdict(Instant::now(), &self.limits) {
                    Verdict::LookAgain(at) => look.as_mut().reset(at),
                    Verdict::Close => {
                        tracing::debug!(peer = ?self.peer, "a slow or idle connection is closed");
                        return;
                    }
                },
            }
        }
    }

    fn prepare(&self, request: Request<Incoming>) -> Request<Body> {
        let mut request = request.map(|body| Body::new(TimedBody::new(body, self.limits.body)));
        if let Some(peer) = self.peer {
            request.extensions_mut().insert(ConnectInfo(peer));
        }
        request
    }
}

/// A request's body with a deadline for the whole of it.
struct TimedBody {
    body: Incoming,
    deadline: Instant,
    /// Made when the body is first waited for; most are there already.
    timer: Option<Pin<Box<Sleep>>>,
}

impl TimedBody {
    fn new(body: Incoming, limit: Duration) -> Self {
        Self { body, deadline: Instant::now() + limit, timer: None }
    }
}

impl HttpBody for TimedBody {
    type Data = Bytes;
    type Error = axum::BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::BoxError>>> {
        let this = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            // A client that always has a byte ready would never let the timer be looked at.
            let late = frame.is_some() && Instant::now() > this.deadline;
            return Poll::Ready(if late {
                Some(Err(BodyTooSlow.into()))
            } else {
                frame.map(|frame| frame.map_err(Into::into))
            });
        }
        let timer = this.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(this.deadline)));
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Some(Err(BodyTooSlow.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
