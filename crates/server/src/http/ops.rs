//! The operator's view: `/healthz`, `/readyz`, `/metrics`, `/receipts-key.pem`.
//!
//! What this is: plain answers for a load balancer and for Prometheus. What this is not: protected;
//! it listens on an address of its own, which the configuration keeps private.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio_util::sync::CancellationToken;

use catharsis_core::ports::{Clock, Log};
use catharsis_core::service::{NodeReport, PurgeService};

use super::listen::Handler;
use crate::events::{Events, NodeLag};
use crate::receipts::Notary;

/// The service behind the view, in a process that has one.
#[derive(Clone)]
pub struct OpsService {
    /// What is asked whether it works.
    pub service: Arc<PurgeService>,
    /// Where the age of what is not settled is read.
    pub log: Arc<dyn Log>,
    /// Whose public key is shown.
    pub notary: Arc<Notary>,
    /// Now.
    pub clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for OpsService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpsService").field("service", &self.service).finish_non_exhaustive()
    }
}

/// The operator's view.
pub struct Ops {
    events: Arc<Events>,
    /// Absent in a process that runs edges only.
    service: Option<OpsService>,
    /// Cancelled once the process stops: from then on it is not ready.
    stopping: CancellationToken,
}

impl std::fmt::Debug for Ops {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ops").finish_non_exhaustive()
    }
}

impl Ops {
    /// The view of a process.
    #[must_use]
    pub const fn new(events: Arc<Events>, service: Option<OpsService>, stopping: CancellationToken) -> Self {
        Self { events, service, stopping }
    }

    async fn ready(&self) -> Result<(), String> {
        if self.stopping.is_cancelled() {
            return Err("stopping".to_owned());
        }
        match &self.service {
            None => Ok(()),
            Some(ops) => ops.service.ready().await.map_err(|error| error.to_string()),
        }
    }

    async fn metrics(&self) -> String {
        if let Some(ops) = &self.service {
            for report in ops.service.nodes() {
                self.events.node_lag(&report.node, node_lag(ops, &report).await);
                let left = report.standing.lease_ends.map(|end| ops.clock.wall().until(end));
                self.events.node_lease(&report.node, left);
            }
        }
        self.events.metrics()
    }
}

/// The backlog of a node, and the age of its oldest invalidation.
async fn node_lag(ops: &OpsService, report: &NodeReport) -> NodeLag {
    let settled = report.standing.settled;
    let backlog = report.head.distance_from(settled);
    if backlog == 0 {
        return NodeLag { backlog, lag: Duration::ZERO };
    }
    // An unreadable log hides the age, not the backlog; the store's failure has its own metric.
    let oldest = ops.log.read(report.node.area, settled, 1).await.ok().and_then(|batch| batch.into_iter().next());
    let lag = oldest.map_or(Duration::ZERO, |one| one.accepted_at.until(ops.clock.wall()));
    NodeLag { backlog, lag }
}

impl Handler for Ops {
    async fn handle(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "GET only\n");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        match request.uri().path() {
            "/healthz" => plain(StatusCode::OK, "ok\n"),
            "/readyz" => match self.ready().await {
                Ok(()) => plain(StatusCode::OK, "ready\n"),
                Err(why) => plain(StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")),
            },
            "/metrics" => {
                let mut response = plain(StatusCode::OK, self.metrics().await);
                response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(OPENMETRICS));
                response
            }
            "/receipts-key.pem" => match &self.service {
                Some(ops) => plain(StatusCode::OK, ops.notary.public_pem()),
                None => plain(StatusCode::NOT_FOUND, "no receipts are signed here\n"),
            },
            _ => plain(StatusCode::NOT_FOUND, "try /healthz, /readyz, /metrics or /receipts-key.pem\n"),
        }
    }
}

fn plain(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
