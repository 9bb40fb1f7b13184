//! Webhooks as GitHub sends them: signed, one after the other in the order of what happened, ten seconds each, tried
//! once, and kept in a log from which they can be sent again.
//! <https://docs.github.com/en/webhooks/webhook-events-and-payloads#delivery-headers>

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, StatusCode};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use secrecy::ExposeSecret as _;
use serde_json::Value;
use sha2::Sha256;
use tokio::sync::mpsc;

use crate::model::Millis;

use super::changes::find;
use super::world::Actor;
use super::{Inner, Sim};

/// How long GitHub waits for an answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The id of the App's one webhook.
const HOOK_ID: u64 = 777;

/// A webhook on its way out.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    pub guid: String,
    pub event: String,
    pub action: Option<String>,
    pub installation: Option<i64>,
    pub repository: Option<i64>,
    pub payload: Bytes,
    pub redelivery: bool,
    pub url: String,
}

/// A webhook that was sent, as the deliveries log keeps it.
#[derive(Clone, Debug)]
pub struct DeliveryRecord {
    /// The id of this attempt.
    pub id: i64,
    /// The delivery id, the same for every attempt (`X-GitHub-Delivery`).
    pub guid: String,
    /// E.g. `issues`.
    pub event: String,
    /// E.g. `labeled`.
    pub action: Option<String>,
    /// What the receiver answered; 502 if it could not be reached and 504 if it took too long.
    pub status_code: u16,
    /// GitHub's words for that, `OK` for any 2xx.
    pub status: String,
    /// Whether somebody asked for this attempt.
    pub redelivery: bool,
    /// When it was sent.
    pub delivered_at: Millis,
    /// How long the receiver took, in seconds.
    pub duration: f64,
    /// The installation it was about.
    pub installation: Option<i64>,
    /// The repository it was about.
    pub repository: Option<i64>,
    /// The headers that were sent.
    pub headers: Vec<(String, String)>,
    /// The exact bytes that were sent.
    pub payload: Bytes,
    /// The URL they were sent to.
    pub url: String,
}

impl Sim {
    /// Queues a webhook with a payload of the caller's own about a repository, whatever the event; `repository`,
    /// `installation` and `sender` are filled in. Gives the delivery id.
    ///
    /// # Errors
    /// An unknown repository or login.
    pub fn deliver(&self, repository: &str, sender: &str, event: &str, payload: Value) -> anyhow::Result<String> {
        let mut world = self.inner.world();
        let id = find(&world, repository)?.id;
        let account = world.account_of(sender).with_context(|| format!("the simulator has no account {sender}"))?.id;
        Ok(world.emit_any(id, event, Actor { account, app: false }, payload))
    }

    /// Sends a delivery again under the same delivery id.
    ///
    /// # Errors
    /// A delivery id that is not in the log.
    pub async fn redeliver(&self, guid: &str) -> anyhow::Result<()> {
        let world = self.inner.world();
        let record = world.deliveries.iter().rev().find(|record| record.guid == guid);
        let record = record.with_context(|| format!("the deliveries log has no delivery {guid}"))?;
        world.enqueue(again(record, world.app.webhook_url.as_deref()));
        Ok(())
    }

    /// Waits until every webhook that was queued has been delivered or given up.
    pub async fn settled(&self) {
        let mut pending = self.inner.pending.subscribe();
        // The sender lives as long as this handle, so waiting cannot fail.
        let _ = pending.wait_for(|pending| *pending == 0).await;
    }

    /// The deliveries log, oldest first.
    pub fn deliveries(&self) -> Vec<DeliveryRecord> {
        self.inner.world().deliveries.clone()
    }
}

/// The same delivery once more, to where webhooks go now.
pub(super) fn again(record: &DeliveryRecord, url: Option<&str>) -> Outgoing {
    Outgoing {
        guid: record.guid.clone(),
        event: record.event.clone(),
        action: record.action.clone(),
        installation: record.installation,
        repository: record.repository,
        payload: record.payload.clone(),
        redelivery: true,
        url: url.unwrap_or(&record.url).to_owned(),
    }
}

/// Delivers what is queued until the simulator stops.
pub(super) async fn run(inner: Arc<Inner>, mut queued: mpsc::UnboundedReceiver<Outgoing>) {
    let client = Client::builder(TokioExecutor::new()).build_http();
    loop {
        let outgoing = tokio::select! {
            biased;
            () = inner.stopped.cancelled() => return,
            outgoing = queued.recv() => outgoing,
        };
        let Some(outgoing) = outgoing else { return };
        tokio::select! {
            biased;
            () = inner.stopped.cancelled() => return,
            () = send(&inner, &client, outgoing) => {}
        }
        inner.pending.send_modify(|pending| *pending -= 1);
    }
}

/// A random delivery id in the form of a UUID.
pub(super) fn new_guid() -> String {
    let hex = hex::encode(rand::random::<[u8; 16]>());
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// `sha256=<hex>`, the HMAC-SHA256 of the exact bytes.
/// <https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries>
fn signature(secret: &str, payload: &[u8]) -> anyhow::Result<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).context("the webhook secret is no HMAC key")?;
    mac.update(payload);
    Ok(format!("sha256={}", hex::encode(mac.finalize().into_bytes())))
}

async fn send(inner: &Inner, client: &Client<HttpConnector, Full<Bytes>>, outgoing: Outgoing) {
    let (secret, app, delivered_at) = {
        let world = inner.world();
        (world.app.webhook_secret.clone(), world.app.id, world.now())
    };
    let headers = [
        ("Accept", "*/*".to_owned()),
        ("Content-Type", "application/json".to_owned()),
        ("User-Agent", "GitHub-Hookshot/simulator".to_owned()),
        ("X-GitHub-Delivery", outgoing.guid.clone()),
        ("X-GitHub-Event", outgoing.event.clone()),
        ("X-GitHub-Hook-ID", HOOK_ID.to_string()),
        ("X-GitHub-Hook-Installation-Target-ID", app.to_string()),
        ("X-GitHub-Hook-Installation-Target-Type", "integration".to_owned()),
        ("X-Hub-Signature-256", signature(secret.expose_secret(), &outgoing.payload).unwrap_or_default()),
    ];
    let began = Instant::now();
    let answer = tokio::time::timeout(TIMEOUT, post(client, &outgoing, &headers)).await;
    let (status_code, status) = match answer {
        Ok(Ok(code)) if code.is_success() => (code.as_u16(), "OK".to_owned()),
        Ok(Ok(code)) => (code.as_u16(), format!("Invalid HTTP Response: {}", code.as_u16())),
        Ok(Err(error)) => {
            tracing::debug!(guid = %outgoing.guid, "webhook {} was not delivered: {error:#}", outgoing.guid);
            (502, "failed to connect to host".to_owned())
        }
        Err(_) => (504, "timed out".to_owned()),
    };
    let mut world = inner.world();
    let id = world.next_id();
    world.deliveries.push(DeliveryRecord {
        id,
        guid: outgoing.guid,
        event: outgoing.event,
        action: outgoing.action,
        status_code,
        status,
        redelivery: outgoing.redelivery,
        delivered_at,
        duration: began.elapsed().as_secs_f64(),
        installation: outgoing.installation,
        repository: outgoing.repository,
        headers: headers.map(|(name, value)| (name.to_owned(), value)).into(),
        payload: outgoing.payload,
        url: outgoing.url,
    });
}

async fn post(
    client: &Client<HttpConnector, Full<Bytes>>,
    outgoing: &Outgoing,
    headers: &[(&str, String)],
) -> anyhow::Result<StatusCode> {
    let mut request = Request::post(&outgoing.url);
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    let response = client.request(request.body(Full::new(outgoing.payload.clone()))?).await?;
    let status = response.status();
    // The connection can be used again only once the answer has been read.
    response.into_body().collect().await?;
    Ok(status)
}
