//! What a load balancer, a supervisor and a monitoring system ask.
//!
//! Readiness is a real write, all the way to the disk: a full disk or a stuck writer shows before GitHub notices.
//! A dead runner is no reason to turn webhooks away, so nothing here looks at runners.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context as _, Result};
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Store;

/// How long the write may take.
const PROBE_TIME: Duration = Duration::from_secs(2);
/// How long an answer holds: the path is public, and each probe is a sync of the disk.
const PROBE_AGE: Duration = Duration::from_secs(1);
/// Sizes of commits, in deliveries.
const GROUP_SIZES: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

/// What the health paths look at.
#[derive(Clone)]
pub struct HealthState {
    store: Store,
    draining: CancellationToken,
    metrics: PrometheusHandle,
    /// Held while probing, so that many askers cause one write.
    last: Arc<Mutex<Option<(Instant, bool)>>>,
}

impl HealthState {
    /// `draining` is the token that stops the bot.
    pub fn new(store: Store, draining: CancellationToken, metrics: PrometheusHandle) -> Self {
        Self { store, draining, metrics, last: Arc::default() }
    }

    async fn writes(&self) -> bool {
        let mut last = self.last.lock().await;
        if let Some((at, works)) = *last
            && at.elapsed() < PROBE_AGE
        {
            return works;
        }
        let works = matches!(tokio::time::timeout(PROBE_TIME, self.store.probe()).await, Ok(Ok(())));
        *last = Some((Instant::now(), works));
        works
    }
}

/// `GET /healthz`, `/readyz` and `/metrics`.
pub fn router(state: HealthState) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(render))
        .with_state(state)
}

/// Collects metrics of this process from now on; called again, it returns the same handle.
///
/// # Errors
/// If something else in the process collects metrics already.
pub fn collect_metrics() -> Result<PrometheusHandle> {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    if let Some(handle) = HANDLE.get() {
        return Ok(handle.clone());
    }
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Full("track_delivery_group_size".to_owned()), GROUP_SIZES)?
        .install_recorder()
        .context("metrics are collected by something else")?;
    metrics::describe_counter!("track_deliveries_total", "Requests to the webhook, by what became of them");
    metrics::describe_histogram!("track_delivery_group_size", "Deliveries written by one synced commit");
    Ok(HANDLE.get_or_init(|| handle).clone())
}

async fn ready(State(state): State<HealthState>) -> (StatusCode, &'static str) {
    if state.draining.is_cancelled() {
        (StatusCode::SERVICE_UNAVAILABLE, "stopping\n")
    } else if state.writes().await {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the database cannot be written\n")
    }
}

async fn render(State(state): State<HealthState>) -> Response {
    state.metrics.run_upkeep();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], state.metrics.render()).into_response()
}
