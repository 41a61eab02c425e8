//! The admin API: operators manage accounts, users, keys, policies, domains, quotas and webhooks.
//!
//! What this is: JSON over HTTP on a listener of its own, behind one operator credential, with its
//! description at `GET /openapi.json`. What this is not: the rules of a change; those are the registry's.
//!
//! Invariants: nothing is answered without the credential; a secret stands in the answer that made it
//! and nowhere else; every change is logged with who, what, which and its request id; a change that was
//! begun is carried to its end, whether its caller waits or not.

mod answer;
mod credential;
mod door;
mod error;
mod extract;
mod routes;
mod words;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context;
use catharsis_core::ports::{Clock, Store};
use catharsis_core::service::PurgeService;
use catharsis_registry::Registry;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::CheckedAdmin;
use crate::http::{DRAIN_TIMEOUT, Door, DoorLimits};
use crate::receipts::Notary;
use credential::Credential;
use door::AdminDoor;

/// Bounds of the door: a few people and their scripts.
const LIMITS: DoorLimits = DoorLimits { connections_max: 64, drain_timeout: DRAIN_TIMEOUT, ..DoorLimits::USUAL };

/// What the admin API works on.
#[derive(Clone)]
pub struct Admin {
    /// What is managed.
    pub registry: Arc<Registry>,
    /// Where used quotas and undelivered notices are read.
    pub store: Arc<dyn Store>,
    /// Tells what became of tasks.
    pub service: Arc<PurgeService>,
    /// Says and signs it.
    pub notary: Arc<Notary>,
    /// Now.
    pub clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Admin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admin").field("registry", &self.registry).finish_non_exhaustive()
    }
}

/// Opens the admin API's listener, if the file asks for one, and answers among the `doors` until `stop`.
/// Returns where it listens.
///
/// # Errors
/// When the address cannot be bound.
pub async fn start(
    config: Option<&CheckedAdmin>,
    admin: Admin,
    doors: &mut JoinSet<()>,
    stop: CancellationToken,
) -> anyhow::Result<Option<SocketAddr>> {
    let Some(config) = config else { return Ok(None) };
    let listen = config.listen;
    let door = match &config.tls {
        None => Door::open(listen, LIMITS).await,
        Some(tls) => Door::open_tls(listen, Arc::clone(tls), LIMITS).await,
    };
    let door = door.with_context(|| format!("[admin] cannot listen on {listen}"))?;
    let address = door.address()?;
    let handler = AdminDoor::new(routes::router(admin), Credential::new(config.credential.expose()));
    door.announce("admin")?;
    doors.spawn(door.serve(Arc::new(handler), stop));
    Ok(Some(address))
}
