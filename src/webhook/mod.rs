//! Intake: a delivery of GitHub's is verified, written to disk, and only then acknowledged. Nothing is done with it here.
//!
//! GitHub waits ten seconds for an answer and never sends a delivery again by itself, so whatever gets a 2xx must survive everything.

pub mod health;
mod refusal;
mod signature;
mod store;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use hmac::{Hmac, KeyInit as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;
use tokio::sync::Semaphore;

pub use refusal::Refusal;
pub use signature::Verified;
pub use store::{NotStored, Store, StoreLimits};

/// GitHub's own cap on a payload, see
/// <https://docs.github.com/en/webhooks/webhook-events-and-payloads#payload-cap>.
pub const BODY_CAP: usize = 25 * 1024 * 1024;
/// Bytes of bodies that all requests together may hold in memory.
pub const BODIES_CAP: usize = 64 * 1024 * 1024;

/// What the intake works with; cheap to clone.
#[derive(Clone)]
pub struct IntakeState(Arc<Inner>);

struct Inner {
    /// Keyed once; each request begins with a copy.
    mac: Hmac<Sha256>,
    bodies: Arc<Semaphore>,
    store: Store,
}

impl IntakeState {
    /// An intake for webhooks signed with `secret`, whose emptiness the configuration refuses.
    pub fn new(secret: &SecretString, store: Store) -> Self {
        let mac = match Hmac::new_from_slice(secret.expose_secret().as_bytes()) {
            Ok(mac) => mac,
            // The error exists for other MACs: HMAC hashes long keys and pads short ones.
            Err(_) => unreachable!("HMAC takes keys of any length"),
        };
        Self(Arc::new(Inner { mac, bodies: Arc::new(Semaphore::new(BODIES_CAP)), store }))
    }
}

/// `POST /webhooks/github`.
pub fn router(state: IntakeState) -> Router {
    Router::new().route("/webhooks/github", post(receive)).with_state(state)
}

async fn receive(State(state): State<IntakeState>, delivery: Verified) -> Result<StatusCode, Refusal> {
    tracing::debug!(delivery = %delivery.delivery_id, event = %delivery.event, bytes = delivery.body.len(), "a delivery came");
    state.0.store.put_verified(delivery).await?;
    Ok(StatusCode::ACCEPTED)
}
