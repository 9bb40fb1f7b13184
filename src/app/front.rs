//! The one listening socket. What answers on it can be exchanged while it serves, so that nobody is refused when setting up is over and
//! the bot begins.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};

use anyhow::{Context as _, Result};
use axum::Router;
use axum::extract::Request;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::http::{self, Limits};

/// A socket that is listened on.
pub(super) struct Front {
    address: SocketAddr,
    shown: Arc<RwLock<Router>>,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

impl Front {
    /// Binds the address and answers with `router`.
    pub async fn open(listen: SocketAddr, router: Router) -> Result<Self> {
        let listener =
            TcpListener::bind(listen).await.with_context(|| format!("TRACK_LISTEN: {listen} cannot be listened on"))?;
        let address = listener.local_addr()?;
        let shown = Arc::new(RwLock::new(router));
        let current = shown.clone();
        let whatever_is_shown = Router::new().fallback(move |request: Request| {
            let router = current.read().unwrap_or_else(PoisonError::into_inner).clone();
            router.oneshot(request)
        });
        let stop = CancellationToken::new();
        let serving = tokio::spawn(http::serve(listener, whatever_is_shown, Limits::default(), stop.clone()));
        Ok(Self { address, shown, stop, serving })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers with `router` from the next request on, also on connections that are open.
    pub fn show(&self, router: Router) {
        *self.shown.write().unwrap_or_else(PoisonError::into_inner) = router;
    }

    /// Takes no connections any more; [`Front::closed`] waits for those there are.
    pub fn close(&self) {
        self.stop.cancel();
    }

    /// Waits until every answer was sent, or cut.
    pub async fn closed(self) {
        self.stop.cancel();
        let _ = self.serving.await;
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::*;

    async fn ask(stream: &mut TcpStream) -> String {
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"!") {
            answer.push(stream.read_u8().await.unwrap());
        }
        String::from_utf8(answer).unwrap()
    }

    #[tokio::test]
    async fn what_answers_is_exchanged_on_an_open_connection() {
        let saying = |text: &'static str| Router::new().route("/", get(async move || text));
        let front = Front::open(([127, 0, 0, 1], 0).into(), saying("being set up!")).await.unwrap();
        let mut stream = TcpStream::connect(front.address()).await.unwrap();
        assert!(ask(&mut stream).await.ends_with("being set up!"));
        front.show(saying("at work!"));
        assert!(ask(&mut stream).await.ends_with("at work!"));
        assert!(ask(&mut TcpStream::connect(front.address()).await.unwrap()).await.ends_with("at work!"));
        let address = front.address();
        front.closed().await;
        assert!(TcpStream::connect(address).await.is_err());
    }
}
