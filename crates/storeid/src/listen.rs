//! The agent with its two listeners.
//!
//! What this is: what a process starts and stops: where the relay orders, and where Squid's helper asks. What
//! this is not: what either is answered (`agent`).
//!
//! Invariants: the control listener is on a loopback address or asks for a token; the helper's, which asks for
//! none, is on a loopback address.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use catharsis_core::abilities::{Abilities, Ability};
use catharsis_edge::control::{self, Control, OpenControl, Secret};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::agent::{OpenAgent, SquidAgent};

/// What this agent does for its cache. Asked to mark copies stale it deletes them: what has a new name cannot be
/// confirmed by the origin.
pub const ABILITIES: Abilities = Abilities {
    url: Ability::Delete,
    prefix: Ability::Delete,
    host: Ability::Delete,
    everything: Ability::Delete,
    tag: Ability::Missing,
};

/// Default of the URLs and directories that are remembered one by one: 150 MB where all are.
pub const MARKS_MAX: NonZeroUsize = match NonZeroUsize::new(1_000_000) {
    Some(max) => max,
    None => NonZeroUsize::MIN,
};

/// How an agent is set up.
#[derive(Clone, Debug)]
pub struct SquidAgentConfig {
    /// Its name in log lines.
    pub name: String,
    /// The file of its journal. Made where it is absent; then whatever Squid holds is found no more.
    pub journal: PathBuf,
    /// Purged URLs and directories that are remembered one by one, each some 150 bytes of memory. Beyond it the
    /// oldest are remembered together, which costs copies. Default [`MARKS_MAX`].
    pub marks_max: NonZeroUsize,
    /// Where Squid's helper connects: a loopback address. Port 0 takes a free one.
    pub helper: SocketAddr,
    /// Where relays connect. Port 0 takes a free one.
    pub control: SocketAddr,
    /// Bearer token that relays must show. May be absent only while `control` is a loopback address.
    pub token: Option<Secret>,
}

/// Why an agent does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartAgent {
    /// Its journal.
    #[error(transparent)]
    Open(#[from] OpenAgent),
    /// Anyone could purge.
    #[error(transparent)]
    Control(#[from] OpenControl),
    /// Anyone could ask for names, and use up the places of Squid's helper.
    #[error("{0} is not a loopback address: Squid's helper runs on this machine")]
    Helper(SocketAddr),
    /// A socket cannot be had.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// Why not.
        error: std::io::Error,
    },
}

/// An agent that runs. It stops when this is dropped; [`RunningSquidAgent::stop`] also waits for it.
#[derive(Debug)]
pub struct RunningSquidAgent {
    control: SocketAddr,
    helper: SocketAddr,
    stop: CancellationToken,
    workers: JoinSet<()>,
}

impl RunningSquidAgent {
    /// Starts an agent on the runtime of the caller, which must have several threads. Both listeners accept when
    /// this returns.
    ///
    /// # Errors
    /// [`StartAgent`]: nothing is left behind.
    pub async fn start(config: SquidAgentConfig) -> Result<Self, StartAgent> {
        let SquidAgentConfig { name, journal, marks_max, helper, control, token } = config;
        control::check(control, token.as_ref())?;
        if !helper.ip().is_loopback() {
            return Err(StartAgent::Helper(helper));
        }
        let (orders, control) = listen(control).await?;
        let (names, helper) = listen(helper).await?;
        let agent = SquidAgent::open(&journal, marks_max)?;
        tracing::info!(agent = name, address = %control, %helper, journal = %journal.display(), "agent started");
        let (stop, mut workers) = (CancellationToken::new(), JoinSet::new());
        workers.spawn(Arc::new(Control::new(agent.clone(), token)).serve(orders, stop.clone()));
        let stopping = stop.clone();
        workers.spawn(async move { agent.serve_helpers(names, stopping).await });
        Ok(Self { control, helper, stop, workers })
    }

    /// Where relays connect.
    #[must_use]
    pub const fn control_addr(&self) -> SocketAddr {
        self.control
    }

    /// Where Squid's helper connects.
    #[must_use]
    pub const fn helper_addr(&self) -> SocketAddr {
        self.helper
    }

    /// Stops: orders under way are finished. Squid's helper goes on without names, so nothing is a hit.
    pub async fn stop(mut self) {
        self.stop.cancel();
        while let Some(ended) = self.workers.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a listener died");
            }
        }
    }
}

impl Drop for RunningSquidAgent {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartAgent> {
    let failed = |error| StartAgent::Listen { address, error };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}
