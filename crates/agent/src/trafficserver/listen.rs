//! The agent with its control listener.
//!
//! What this is: what a process starts and stops. What this is not: how an order is carried out
//! (`agent`).
//!
//! Invariant: it listens on a loopback address or asks for a token.

use std::net::SocketAddr;
use std::sync::Arc;

use catharsis_edge::control::{self, Control, Secret};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::agent::{AgentError, TrafficServerAgent, TrafficServerAgentConfig};

/// An agent that runs. It stops when this is dropped; [`RunningTrafficServerAgent::stop`] also waits for it.
#[derive(Debug)]
pub struct RunningTrafficServerAgent {
    address: SocketAddr,
    stop: CancellationToken,
    listener: JoinHandle<()>,
}

impl RunningTrafficServerAgent {
    /// Starts an agent on the runtime of the caller, which must have several threads. `control` is where relays connect
    /// (port 0 takes a free one), `token` what they must show; it may be absent only on a loopback address.
    ///
    /// # Errors
    /// [`AgentError`]: nothing is left behind.
    pub async fn start(
        config: TrafficServerAgentConfig,
        control: SocketAddr,
        token: Option<Secret>,
    ) -> Result<Self, AgentError> {
        control::check(control, token.as_ref())?;
        let fail = |error| AgentError::Listen { address: control, error };
        let listener = TcpListener::bind(control).await.map_err(fail)?;
        let address = listener.local_addr().map_err(fail)?;
        let rules = config.rules.clone();
        let stop = CancellationToken::new();
        let agent = TrafficServerAgent::start(config, stop.clone())?;
        tracing::info!(%address, rules = %rules.display(), "agent started");
        let listener = tokio::spawn(Arc::new(Control::new(agent, token)).serve(listener, stop.clone()));
        Ok(Self { address, stop, listener })
    }

    /// Where relays connect.
    #[must_use]
    pub const fn control_addr(&self) -> SocketAddr {
        self.address
    }

    /// Stops. An order under way is answered as failed, and comes again.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if let Err(error) = (&mut self.listener).await {
            tracing::error!(%error, "the control listener died");
        }
    }
}

impl Drop for RunningTrafficServerAgent {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
