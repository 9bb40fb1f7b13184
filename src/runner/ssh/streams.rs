//! The streams of a remote program, made to behave as a [`Process`] promises.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

use crate::runner::{HostError, Process};

use super::master::Master;
use super::pool::Channel;

type Child = openssh::Child<std::sync::Arc<openssh::Session>>;

/// Makes a [`Process`] of a remote program; the channel is given back when its exit code is known, or when the process is dropped.
pub(super) fn process(mut child: Child, channel: Channel<Master>) -> Result<Process, HostError> {
    let streams = (child.stdin().take(), child.stdout().take(), child.stderr().take());
    let (Some(stdin), Some(stdout), Some(stderr)) = streams else {
        return Err(HostError::Setup("the ssh library gave a program without its three streams".to_owned()));
    };
    let (stdout, stdout_done) = Watched::boxed(stdout);
    let (stderr, stderr_done) = Watched::boxed(stderr);
    let wait = async move {
        // Asking for the exit code closes the channel, and what ssh still holds of the output would be lost with it.
        let _ = tokio::join!(stdout_done, stderr_done);
        let ended = child.wait().await;
        let lost = |why: String| Err(HostError::Unreachable(why));
        let result = match ended {
            Ok(status) => match status.code() {
                Some(code) => Ok(code),
                None => lost("the program ended without an exit code".to_owned()),
            },
            // The crate makes an error of 127, whoever returned it.
            Err(openssh::Error::Remote(e)) if e.kind() == io::ErrorKind::NotFound => Ok(127),
            // A signal on the machine looks the same as a lost connection. Only a code is proof of an ending.
            Err(openssh::Error::RemoteProcessTerminated) => match channel.connection().session().check().await {
                Ok(()) => lost("the program was ended by a signal".to_owned()),
                Err(_) => lost(channel.connection().last_words()),
            },
            Err(_) => lost(channel.connection().last_words()),
        };
        drop(channel);
        result
    };
    Ok(Process { stdin: Box::pin(Closing(Some(stdin))), stdout, stderr, wait: Box::pin(wait) })
}

/// A pipe that shutting down closes; tokio's own pipes end when they are dropped only.
struct Closing<W>(Option<W>);

impl<W: AsyncWrite + Unpin> Closing<W> {
    fn open(&mut self) -> io::Result<Pin<&mut W>> {
        self.0.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::BrokenPipe.into())
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for Closing<W> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.open()?.poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Some(pipe) => Pin::new(pipe).poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0 = None;
        Poll::Ready(Ok(()))
    }
}

/// A stream that tells when it has been read to its end, failed, or was dropped.
struct Watched<R> {
    inner: R,
    reading: Option<oneshot::Sender<()>>,
}

impl<R: AsyncRead + Send + Unpin + 'static> Watched<R> {
    fn boxed(inner: R) -> (Pin<Box<dyn AsyncRead + Send>>, oneshot::Receiver<()>) {
        let (reading, done) = oneshot::channel();
        (Box::pin(Self { inner, reading: Some(reading) }), done)
    }
}

impl<R: AsyncRead + Unpin> AsyncRead for Watched<R> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.remaining();
        let polled = Pin::new(&mut self.inner).poll_read(cx, buffer);
        let ended = match &polled {
            Poll::Ready(Ok(())) => before > 0 && buffer.remaining() == before,
            Poll::Ready(Err(_)) => true,
            Poll::Pending => false,
        };
        if ended {
            self.reading = None;
        }
        polled
    }
}
