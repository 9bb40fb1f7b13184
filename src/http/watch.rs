//! Knows what a connection is doing and since when, so that a slow head, an idle client and a stalled reader each have their own limit.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::Limits;

/// What one connection is doing; shared by its socket, its answers and its timer.
#[derive(Clone)]
pub struct Watch(Arc<Mutex<State>>);

struct State {
    doing: Doing,
    /// Since when the client has not taken what we wrote.
    stalled: Option<Instant>,
}

enum Doing {
    /// A head is being read since then.
    Head(Instant),
    /// A request is being handled or its answer written.
    Request,
    /// Nothing since then.
    Idle(Instant),
}

/// What the timer shall do.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All is well; look again then.
    LookAgain(Instant),
    /// A limit has passed.
    Close,
}

impl Watch {
    /// A connection that has just begun, which means that a head is awaited.
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(State { doing: Doing::Head(Instant::now()), stalled: None })))
    }

    /// A head has been read.
    pub fn request_began(&self) {
        self.state().doing = Doing::Request;
    }

    /// Whether a limit has passed at `now`.
    pub fn verdict(&self, now: Instant, limits: &Limits) -> Verdict {
        let state = self.state();
        let stall = state.stalled.map(|since| since + limits.idle);
        let own = match state.doing {
            Doing::Head(since) => Some(since + limits.head),
            Doing::Request => None,
            Doing::Idle(since) => Some(since + limits.idle),
        };
        // What begins after this look can end no earlier than one head's time from now.
        let soonest = now + limits.head.min(limits.idle);
        match stall.into_iter().chain(own).min() {
            Some(deadline) if deadline <= now => Verdict::Close,
            Some(deadline) => Verdict::LookAgain(deadline.min(soonest)),
            None => Verdict::LookAgain(soonest),
        }
    }

    fn bytes_came(&self) {
        let mut state = self.state();
        if matches!(state.doing, Doing::Idle(_)) {
            state.doing = Doing::Head(Instant::now());
        }
    }

    fn answered(&self) {
        self.state().doing = Doing::Idle(Instant::now());
    }

    fn wrote<T>(&self, result: &Poll<T>) {
        let mut state = self.state();
        match result {
            Poll::Ready(_) => state.stalled = None,
            Poll::Pending => _ = state.stalled.get_or_insert_with(Instant::now),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A socket that tells its watch what happens on it.
pub struct WatchedIo<I> {
    io: I,
    watch: Watch,
}

impl<I> WatchedIo<I> {
    /// `io`, watched.
    pub fn new(io: I, watch: Watch) -> Self {
        Self { io, watch }
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for WatchedIo<I> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = Pin::new(&mut self.io).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.watch.bytes_came();
        }
        result
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for WatchedIo<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.io).poll_write(cx, buf);
        self.watch.wrote(&result);
        result
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.watch.wrote(&result);
        result
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// An answer's body that tells the watch when it is over, whether it was sent or given up.
pub struct AnswerBody {
    body: Body,
    watch: Watch,
}

impl AnswerBody {
    /// `body`, watched.
    pub fn new(body: Body, watch: Watch) -> Self {
        Self { body, watch }
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        self.watch.answered();
    }
}

impl HttpBody for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn limits() -> Limits {
        Limits { head: Duration::from_secs(5), idle: Duration::from_secs(30), ..Limits::default() }
    }

    #[test]
    fn each_thing_has_its_own_limit() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let watch = Watch::new();
        watch.state().doing = Doing::Head(start);
        assert_eq!(watch.verdict(after(4), &limits()), Verdict::LookAgain(after(5)));
        assert_eq!(watch.verdict(after(5), &limits()), Verdict::Close);

        watch.request_began();
        assert_eq!(watch.verdict(after(3600), &limits()), Verdict::LookAgain(after(3605)), "answers may be long");
        watch.wrote(&Poll::<()>::Pending);
        watch.state().stalled = Some(start);
        assert_eq!(watch.verdict(after(31), &limits()), Verdict::Close, "but they must be read");
        watch.wrote(&Poll::Ready(()));

        watch.state().doing = Doing::Idle(start);
        assert_eq!(watch.verdict(after(6), &limits()), Verdict::LookAgain(after(11)));
        assert_eq!(watch.verdict(after(29), &limits()), Verdict::LookAgain(after(30)));
        assert_eq!(watch.verdict(after(30), &limits()), Verdict::Close);
        watch.bytes_came();
        assert!(matches!(watch.state().doing, Doing::Head(_)), "the next head begins with its first byte");
    }
}
