//! An edge, started and stopped.
//!
//! What this is: the two listeners, a runtime of their own in a thread of their own, and the way
//! down. The proxy library's own server is not used: it cannot tell which port it got, it takes the
//! process's signals, and it ends the process.
//!
//! Invariants: [`Edge::start`] returns once both sockets listen. An edge stops within its grace and
//! half a second, whatever its clients and origins do; the process goes on.

use std::hash::{BuildHasher, RandomState};
use std::net::{SocketAddr, TcpListener as StdListener};
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use catharsis_core::lease::Run;
use pingora_core::apps::ServerApp;
use pingora_core::protocols::l4::stream::Stream;
use pingora_core::protocols::{GetSocketDigest, SocketDigest};
use pingora_core::server::configuration::ServerConf;
use pingora_proxy::{HttpProxy, http_proxy};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::accept;
use crate::config::{Below, ConfigError, EdgeConfig};
use crate::control::Control;
use crate::departing::Departing;
use crate::fence::Fence;
use crate::flights::Flights;
use crate::key::Hasher;
use crate::lease::{Leases, Trust};
use crate::lock::FencedLock;
use crate::orders::EdgeOrders;
use crate::protocol::ORIGINS_MAX;
use crate::proxy::{EdgeProxy, Keys};
use crate::routes::Routes;
use crate::rules::HostRules;
use crate::storage::Store;

/// Time that the runtime gets to drop what did not end within the grace.
const DROP_WITHIN: Duration = Duration::from_millis(300);

/// How often it is looked at whether a lease has come: each costs a look at the clock.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Why an edge could not be started.
#[derive(Debug, thiserror::Error)]
pub enum EdgeError {
    /// The configuration contradicts itself.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A socket cannot be had.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// No thread or runtime.
    #[error("cannot start the edge's threads: {0}")]
    Threads(std::io::Error),
}

/// See [`Edge::start`].
#[derive(Debug)]
pub struct Edge;

impl Edge {
    /// Starts an edge. Both listeners accept when this returns. May be called from anywhere, also
    /// from a thread of another runtime, and several times in a process.
    ///
    /// The proxy library wants its storage to live for ever, so the empty shell of one (a few
    /// hundred KB with the default memory) stays behind each edge that stops.
    ///
    /// # Errors
    /// [`EdgeError`]: nothing is left behind.
    pub fn start(config: &EdgeConfig) -> Result<RunningEdge, EdgeError> {
        Self::start_with(config, Fence::new(config.marks_max))
    }

    pub(crate) fn start_with(config: &EdgeConfig, fence: Fence) -> Result<RunningEdge, EdgeError> {
        config.check()?;
        let (traffic, traffic_addr) = listen(config.listen)?;
        let (control, control_addr) = listen(config.control)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(config.threads.get())
            .thread_name(format!("edge-{}", config.name))
            .enable_all()
            .build()
            .map_err(EdgeError::Threads)?;

        let stop = CancellationToken::new();
        let (ended, done) = oneshot::channel();
        let parts = Parts::new(config, fence);
        let leases = Arc::clone(&parts.leases);
        let stopping = stop.clone();
        std::thread::Builder::new()
            .name(format!("edge-{}", config.name))
            .spawn(move || {
                parts.run(runtime, traffic, control, stopping);
                // Nobody waits when the handle was dropped.
                let _ = ended.send(());
            })
            .map_err(EdgeError::Threads)?;
        tracing::info!(edge = config.name, %traffic_addr, %control_addr, "edge started");
        Ok(RunningEdge { traffic_addr, control_addr, leases, stop, done })
    }
}

fn listen(address: SocketAddr) -> Result<(StdListener, SocketAddr), EdgeError> {
    let fail = |source| EdgeError::Listen { address, source };
    let listener = StdListener::bind(address).map_err(fail)?;
    listener.set_nonblocking(true).map_err(fail)?;
    let actual = listener.local_addr().map_err(fail)?;
    Ok((listener, actual))
}

/// An edge that runs. It stops when this is dropped; [`RunningEdge::stop`] also waits for it.
#[derive(Debug)]
pub struct RunningEdge {
    traffic_addr: SocketAddr,
    control_addr: SocketAddr,
    leases: Arc<Leases>,
    stop: CancellationToken,
    done: oneshot::Receiver<()>,
}

impl RunningEdge {
    /// Where clients connect.
    #[must_use]
    pub const fn traffic_addr(&self) -> SocketAddr {
        self.traffic_addr
    }

    /// Waits until it uses its copies unasked: at once where it needs no lease, else when its relay has granted one. A
    /// client that comes before that has each copy confirmed, or fetched again.
    pub async fn trusts(&self) {
        while self.leases.trust() != Trust::Held {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Where relays connect.
    #[must_use]
    pub const fn control_addr(&self) -> SocketAddr {
        self.control_addr
    }

    /// Stops: no new connections, requests under way get the configured grace. Returns when its
    /// threads have ended and its memory is free.
    pub async fn stop(mut self) {
        self.stop.cancel();
        // An error means that the thread is gone already: nothing to wait for.
        let _ = (&mut self.done).await;
    }
}

impl Drop for RunningEdge {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

struct Parts {
    flights: Option<Arc<Flights>>,
    store: &'static Store,
    proxy: Arc<HttpProxy<EdgeProxy>>,
    control: Arc<Control<EdgeOrders>>,
    leases: Arc<Leases>,
    connections_max: usize,
    grace: Duration,
}

impl Parts {
    fn new(config: &EdgeConfig, fence: Fence) -> Self {
        let fence = Arc::new(fence);
        // For ever, see `Edge::start`; emptied when the edge stops.
        let rules = Arc::new(HostRules::default());
        let leases = Arc::new(Leases::new(config.lease, run_name(), Arc::clone(&fence)));
        let guard = || (Arc::clone(&fence), Arc::clone(&leases));
        let store: &'static Store =
            Box::leak(Box::new(Store::new(guard(), config.memory_bytes, config.object_bytes_max)));
        let lock: &'static FencedLock = Box::leak(Box::new(FencedLock::new(guard(), config.fetch_timeout)));
        let hasher = Hasher::default();
        let routes = Arc::new(Routes::new(&config.routes, config.local_origins));
        // Each origin once, and a connection of each that had died in the pool.
        let conf = Arc::new(ServerConf { max_retries: 2 * ORIGINS_MAX, ..ServerConf::default() });
        let keys = Keys { rules: Arc::clone(&rules), hasher: hasher.clone() };
        let flights = match config.below {
            Below::Clients => None,
            Below::Caches => Some(Arc::new(Flights::new(Arc::clone(&fence)))),
        };
        let proxy = EdgeProxy::new(config, Arc::clone(&routes), store, lock, keys).with_flights(flights.clone());
        let proxy = http_proxy(&conf, proxy);
        let orders = EdgeOrders {
            fence,
            leases: Arc::clone(&leases),
            store,
            routes,
            rules,
            hasher,
            flights: flights.clone(),
            changing: Mutex::new(()),
        };
        Self {
            flights,
            store,
            proxy: Arc::new(proxy),
            control: Arc::new(Control::new(orders, config.control_token.clone())),
            leases,
            connections_max: config.connections_max.get(),
            grace: config.stop_grace,
        }
    }

    fn run(self, runtime: Runtime, traffic: StdListener, control: StdListener, stop: CancellationToken) {
        let ended = runtime.block_on(async {
            let traffic = TcpListener::from_std(traffic)?;
            let control = TcpListener::from_std(control)?;
            let orders = tokio::spawn(Arc::clone(&self.control).serve(control, stop.clone()));
            self.serve(traffic, stop).await;
            // Orders last: what is still served until then must be purgeable.
            let _ = tokio::time::timeout(DROP_WITHIN, orders).await;
            Ok::<(), std::io::Error>(())
        });
        if let Err(why) = ended {
            tracing::error!(%why, "the edge's sockets cannot be used");
        }
        runtime.shutdown_timeout(DROP_WITHIN);
        self.store.clear();
    }

    async fn serve(&self, listener: TcpListener, stop: CancellationToken) {
        let (stopping, shutdown) = watch::channel(false);
        let connections = TaskTracker::new();
        let serve = |stream, client| {
            let proxy = Arc::clone(&self.proxy);
            let shutdown = shutdown.clone();
            let departing = self.flights.as_ref().map(|flights| Departing::new(flights, &stream, client)).transpose();
            async move {
                let departing = match departing {
                    Ok(departing) => departing,
                    Err(error) => return tracing::warn!(%error, %client, "a cache's connection cannot be served"),
                };
                proxy.process_new(Box::new(prepare(stream, client)), &shutdown).await;
                if let Some(departing) = departing {
                    departing.land().await;
                }
            }
        };
        accept::each(listener, self.connections_max, &stop, &connections, serve).await;
        // Nobody listens when there is no connection.
        let _ = stopping.send(true);
        self.proxy.cleanup().await;
        connections.close();
        let ended = tokio::time::timeout(self.grace, connections.wait()).await;
        if ended.is_err() {
            tracing::warn!(connections = connections.len(), "requests are cut off: the grace is over");
        }
    }
}

/// Another for each run, also of one machine: drawn like the keys of the standard library's hash tables.
fn run_name() -> Run {
    Run(RandomState::new().hash_one(std::process::id()))
}

fn prepare(stream: TcpStream, client: SocketAddr) -> Stream {
    // Without it each response's last segment would wait for the client; on failure it only does.
    let _ = stream.set_nodelay(true);
    let digest = SocketDigest::from_raw_fd(stream.as_raw_fd());
    // Just made, so nothing is set yet.
    let _ = digest.peer_addr.set(Some(client.into()));
    let mut stream = Stream::from(stream);
    stream.set_socket_digest(digest);
    stream
}
