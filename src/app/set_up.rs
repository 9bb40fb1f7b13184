//! Serving without an App: the pages that set one up, and the step from there to the bot, on the same socket and in the same process.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Result;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::Running;
use super::base::{Base, Ready};
use super::front::Front;
use crate::admin::setup::{self, Begin, Setup};
use crate::admin::sign_in;
use crate::cli::Reload;
use crate::config::Config;
use crate::context::Context;
use crate::model::Clock;
use crate::webhook::Store;
use crate::webhook::health::{self, HealthState};

/// A process that serves the pages of setting up.
pub struct SettingUp {
    base: Base,
    front: Front,
    token: String,
    asked: mpsc::Receiver<Begin>,
    store: Store,
    writer: JoinHandle<()>,
    socket: Option<(JoinHandle<()>, CancellationToken)>,
    stop: CancellationToken,
}

/// Serves the pages of setting up; they are reached when this returns.
///
/// # Errors
/// Everything that makes serving impossible, as a sentence that says what to do.
pub async fn set_up(config: Config, clock: Clock) -> Result<SettingUp> {
    let base = Base::open(config, clock.clone()).await?;
    let stop = CancellationToken::new();
    let stops = stop.clone().drop_guard();
    let socket = base.serve_for_commands()?;
    let metrics = health::collect_metrics()?;
    let (store, writer) = Store::spawn(base.db.clone(), clock.clone(), Arc::default());
    let (pages, token, asked) = Setup::new(base.config.clone(), clock);
    let health = health::router(HealthState::new(store.clone(), stop.clone(), metrics));
    // The pages tell where they are reached, which is known once the socket is.
    let front = Front::open(base.config.listen, health.clone()).await?;
    front.show(setup::router(&pages, front.address()).merge(health));
    stops.disarm();
    Ok(SettingUp { base, front, token, asked, store, writer, socket: Some(socket), stop })
}

impl SettingUp {
    /// Where HTTP is served.
    pub fn address(&self) -> SocketAddr {
        self.front.address()
    }

    /// The links by which one browser sets up: the address that people know, and this machine's own.
    pub fn links(&self) -> Vec<String> {
        let here = format!("http://127.0.0.1:{}", self.address().port());
        let known = self.base.config.public_url.clone();
        known.into_iter().chain([here]).map(|base| format!("{base}/setup?token={}", self.token)).collect()
    }

    /// Tells whoever started the program where to go on.
    pub fn announce(&self) {
        let links = self.links();
        info!(
            "no GitHub App is configured: this bot is being set up on http://{}, by the link on the terminal",
            self.address()
        );
        println!(
            "track has no GitHub App yet. Open this link to set it up; it works in the browser that opens it first:\n"
        );
        for link in links {
            println!("  {link}");
        }
        println!(
            "\nIf the browser is on another machine: ssh -L {0}:127.0.0.1:{0} <this machine>",
            self.address().port()
        );
    }

    /// Waits until an App is in place, and begins; `None` if `ended` came first.
    pub async fn finish(mut self, reload: &Reload, ended: impl Future<Output = ()>) -> Result<Option<Running>> {
        tokio::pin!(ended);
        loop {
            let Begin { reply } = tokio::select! {
                asked = self.asked.recv() => match asked {
                    Some(asked) => asked,
                    None => break,
                },
                () = &mut ended => break,
            };
            match self.ready(reload).await {
                Ok(ready) => {
                    let context = ready.context.clone();
                    let _ = context.address.set(self.front.address());
                    self.front.show(ready.router.clone());
                    self.store.stop();
                    let _ = self.writer.await;
                    let running = ready.run(self.base, self.front);
                    // The browser may have gone away meanwhile; the bot runs all the same.
                    let _ = reply.send(Ok(way_in(&context).await));
                    return Ok(Some(running));
                }
                Err(why) => {
                    error!("the bot cannot begin with the App that is stored: {why:#}");
                    let _ = reply.send(Err(format!("{why:#}")));
                    if self.socket.is_none() {
                        self.socket = Some(self.base.serve_for_commands()?);
                    }
                }
            }
        }
        self.close().await;
        Ok(None)
    }

    async fn ready(&mut self, reload: &Reload) -> Result<Ready> {
        let read = reload()?;
        read.app()?;
        // What else may have changed in files since the start is for the next start, as ever.
        let mut config = Config::clone(&self.base.config);
        (config.github, config.sign_in) = (read.github, read.sign_in);
        (config.public_url, config.admins) = (read.public_url, read.admins);
        config.secret_files = read.secret_files;
        self.base.config = Arc::new(config);
        if let Some((socket, stop)) = self.socket.take() {
            stop.cancel();
            let _ = socket.await;
        }
        self.base.ready()
    }

    async fn close(self) {
        self.stop.cancel();
        if let Some((socket, stop)) = self.socket {
            stop.cancel();
            let _ = socket.await;
        }
        self.front.closed().await;
        self.store.stop();
        let _ = self.writer.await;
        self.base.close().await;
        info!("stopped; nothing was set up");
    }
}

/// The path by which the browser that set up goes on as the admin that it named.
async fn way_in(context: &Context) -> String {
    const NEXT: &str = "/admin/setup";
    match sign_in::link(context, None, Some(NEXT)).await {
        Ok(link) => path_of(&link.url).to_owned(),
        Err(error) => {
            warn!("the browser that set up is not signed in at once: {error:#}");
            NEXT.to_owned()
        }
    }
}

fn path_of(url: &str) -> &str {
    let after = url.find("://").map_or(0, |at| at + 3);
    url[after..].find('/').map_or("/admin", |at| &url[after + at..])
}
