//! The agent as a whole, started and stopped.
//!
//! What this is: a control listener and a worker that keeps the index. What this is not: a process of
//! its own; `catharsis serve` and `catharsis agent` make one of it.
//!
//! Invariants: orders are refused, and so come again, until the directory has been walked and the key
//! rules of the domains have come: a purge by an index that knows less could miss copies. No order
//! waits for the walk.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use catharsis_core::invalidation::Seq;
use catharsis_edge::control::{self, Control, OpenControl, Orders, Refused, Secret};
use catharsis_edge::protocol::{
    DomainRules, DomainTable, DomainsResponse, InvalidationsRequest, InvalidationsResponse, LogId, StatusResponse,
    WireSeq,
};
use http::StatusCode;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::net::TcpListener;
use tokio::task::{JoinSet, spawn_blocking};
use tokio_util::sync::CancellationToken;

use super::follow::{FollowError, Follower};
use super::index::ENTRIES_MAX;
use super::key::KeyTemplate;
use super::layout::Levels;
use super::orders;

/// How long after a failure the directory is opened again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// How long the worker waits for the kernel before it looks whether it is to stop.
const LOOK_EVERY: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

/// An agent.
#[derive(Clone, Debug)]
pub struct NginxAgentConfig {
    /// Its name in log lines.
    pub name: String,
    /// Where relays connect. Port 0 takes a free one.
    pub control: SocketAddr,
    /// Bearer token that relays must show. May be absent only while `control` is a loopback address.
    pub token: Option<Secret>,
    /// The directory of `proxy_cache_path`.
    pub cache_dir: PathBuf,
    /// Its `levels`.
    pub levels: Levels,
    /// The text of `proxy_cache_key`.
    pub key: KeyTemplate,
    /// Files in the index. Default [`ENTRIES_MAX`]; with more, purges fail by name.
    pub entries_max: usize,
}

impl NginxAgentConfig {
    /// An agent with the defaults and without a token.
    #[must_use]
    pub fn new(name: &str, control: SocketAddr, cache_dir: PathBuf, levels: Levels, key: KeyTemplate) -> Self {
        Self { name: name.to_owned(), control, token: None, cache_dir, levels, key, entries_max: ENTRIES_MAX }
    }
}

/// Why an agent could not be started.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// Anyone could purge.
    #[error(transparent)]
    Control(#[from] OpenControl),
    /// The socket cannot be had.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
}

/// See [`NginxAgent::start`].
#[derive(Debug)]
pub struct NginxAgent;

/// An agent that runs. It stops when this is dropped; [`RunningAgent::stop`] also waits for it.
#[derive(Debug)]
pub struct RunningAgent {
    address: SocketAddr,
    stop: CancellationToken,
    workers: JoinSet<()>,
}

impl NginxAgent {
    /// Starts an agent on the runtime of the caller, which must have several threads. Its listener
    /// accepts when this returns; a directory that is not there yet is waited for.
    ///
    /// # Errors
    /// [`AgentError`]: nothing is left behind.
    pub async fn start(config: NginxAgentConfig) -> Result<RunningAgent, AgentError> {
        control::check(config.control, config.token.as_ref())?;
        let fail = |source| AgentError::Listen { address: config.control, source };
        let listener = TcpListener::bind(config.control).await.map_err(fail)?;
        let address = listener.local_addr().map_err(fail)?;
        tracing::info!(agent = config.name, %address, cache_dir = %config.cache_dir.display(), "agent started");
        let (stop, mut workers) = (CancellationToken::new(), JoinSet::new());
        let token = config.token.clone();
        let shared = Arc::new(Shared { config, state: Mutex::default() });
        let control = Control::new(NginxOrders(Arc::clone(&shared)), token);
        workers.spawn(Arc::new(control).serve(listener, stop.clone()));
        workers.spawn(keep(shared, stop.clone()));
        Ok(RunningAgent { address, stop, workers })
    }
}

impl RunningAgent {
    /// Where relays connect.
    #[must_use]
    pub const fn control_addr(&self) -> SocketAddr {
        self.address
    }

    /// Stops: orders under way are finished.
    pub async fn stop(mut self) {
        self.stop.cancel();
        while self.workers.join_next().await.is_some() {}
    }
}

impl Drop for RunningAgent {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[derive(Debug)]
struct Shared {
    config: NginxAgentConfig,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    following: Option<Follower>,
    /// Why there is none, for a person.
    waiting: String,
    table: Option<Table>,
    log: Option<LogId>,
    position: Seq,
}

/// The table of domains that came last.
#[derive(Debug)]
struct Table {
    log: LogId,
    generation: u64,
    rules: Vec<DomainRules>,
}

impl Shared {
    // Held while files are read and removed, so only by threads that may block. A thread that died
    // meanwhile leaves an index that may be wrong: see `state`.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| {
            let mut state = PoisonError::into_inner(poisoned);
            state.following = None;
            self.state.clear_poison();
            state
        })
    }

    /// Opens and walks the directory, and begins to answer.
    fn open(&self) -> Result<Arc<OwnedFd>, FollowError> {
        let NginxAgentConfig { cache_dir, levels, key, entries_max, .. } = &self.config;
        let opened = Follower::open(cache_dir, levels.clone(), key, *entries_max);
        let mut state = self.state();
        let mut follower = opened.inspect_err(|error| state.waiting = error.to_string())?;
        if let Some(table) = &state.table {
            orders::replace_rules(&mut follower, &table.rules);
        }
        let kernel = follower.kernel();
        state.following = Some(follower);
        Ok(kernel)
    }

    /// Takes in what happens until the directory is lost or the agent stops.
    fn follow(&self, kernel: &OwnedFd, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            // An error, such as a signal, is like nothing to read.
            let _ready = poll(&mut [PollFd::new(kernel, PollFlags::IN)], Some(&LOOK_EVERY));
            if !self.catch_up() {
                return;
            }
        }
    }

    /// Takes in what happened; whether the directory is still followed.
    fn catch_up(&self) -> bool {
        let mut state = self.state();
        let Some(follower) = &mut state.following else { return false };
        match follower.catch_up() {
            Ok(()) => true,
            Err(error) => {
                state.lose(&error);
                false
            }
        }
    }

    fn carry_out(&self, order: &InvalidationsRequest) -> Result<InvalidationsResponse, Refused> {
        let later = |why: String| Refused(StatusCode::SERVICE_UNAVAILABLE, why);
        let mut state = self.state();
        if state.table.is_none() {
            return Err(later("the key rules of the domains have not come yet".to_owned()));
        }
        let Some(follower) = &mut state.following else {
            let why = if state.waiting.is_empty() { "the cache directory is being walked" } else { &state.waiting };
            return Err(later(why.to_owned()));
        };
        let outcomes = match orders::carry_out(follower, &self.config.key, order.invalidations()) {
            Ok(outcomes) => outcomes,
            Err(error) => {
                state.lose(&error);
                return Err(later(error.to_string()));
            }
        };
        if state.log.as_ref() != Some(order.log()) {
            (state.log, state.position) = (Some(order.log().clone()), Seq::ZERO);
        }
        state.position = state.position.max(order.upto());
        Ok(InvalidationsResponse { position: wire(state.position)?, outcomes })
    }

    fn take_table(&self, table: &DomainTable) -> Result<DomainsResponse, Refused> {
        let mut state = self.state();
        let (log, generation) = (table.log(), table.generation());
        if let Some(known) = &state.table
            && known.log == *log
            && known.generation > generation
        {
            let why = format!("a table of generation {} is in use", known.generation);
            return Err(Refused(StatusCode::CONFLICT, why));
        }
        if let Some(follower) = &mut state.following {
            orders::replace_rules(follower, table.rules());
        }
        state.table = Some(Table { log: log.clone(), generation, rules: table.rules().to_vec() });
        Ok(DomainsResponse { generation })
    }

    fn status(&self) -> Result<StatusResponse, Refused> {
        let state = self.state();
        Ok(StatusResponse {
            log: state.log.clone(),
            position: wire(state.position)?,
            entries: state.following.as_ref().map_or(0, |follower| follower.stored.len() as u64),
            bytes: 0,
            marks: 0,
            domains: state.table.as_ref().map(|table| table.generation),
        })
    }
}

impl State {
    fn lose(&mut self, error: &FollowError) {
        tracing::error!(%error, "the cache directory cannot be followed; it is opened again");
        self.following = None;
        self.waiting = error.to_string();
    }
}

/// Keeps the index until it is stopped.
async fn keep(shared: Arc<Shared>, stop: CancellationToken) {
    loop {
        let (opening, stopping) = (Arc::clone(&shared), stop.clone());
        let followed = spawn_blocking(move || {
            let kernel = opening.open()?;
            opening.follow(&kernel, &stopping);
            Ok::<(), FollowError>(())
        });
        match followed.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(agent = shared.config.name, %error, "cannot follow the cache directory"),
            Err(error) => tracing::error!(%error, "following the cache directory died"),
        }
        // Nothing is lost by stopping here: the index is made anew at the next start.
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(AGAIN_AFTER) => {}
        }
    }
}

fn wire(position: Seq) -> Result<WireSeq, Refused> {
    WireSeq::try_from(position).map_err(|it| Refused(StatusCode::INTERNAL_SERVER_ERROR, it.to_string()))
}

/// What relays ask for, done in threads that may wait for the disk.
#[derive(Debug)]
struct NginxOrders(Arc<Shared>);

impl NginxOrders {
    async fn blocking<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Shared) -> Result<T, Refused> + Send + 'static,
    ) -> Result<T, Refused> {
        let shared = Arc::clone(&self.0);
        let done = spawn_blocking(move || act(&shared)).await;
        done.unwrap_or_else(|error| Err(Refused(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())))
    }
}

#[async_trait]
impl Orders for NginxOrders {
    async fn carry_out(&self, order: InvalidationsRequest) -> Result<InvalidationsResponse, Refused> {
        self.blocking(move |shared| shared.carry_out(&order)).await
    }

    async fn serve_domains(&self, table: DomainTable) -> Result<DomainsResponse, Refused> {
        self.blocking(move |shared| shared.take_table(&table)).await
    }

    async fn status(&self) -> Result<StatusResponse, Refused> {
        self.blocking(Shared::status).await
    }
}
