//! A simulated installation on tokio's paused time.
//!
//! What this is: the real service, board and relay workers over the store in memory and scripted
//! caches, with a seeded source of chance, so that one seed repeats one run. Below it, caches with contents and who
//! judges what is read from them ([`run`]).

mod built_in;
mod cache;
mod connections;
mod faults;
mod holds;
mod judge;
mod network;
mod pages;
pub mod run;
mod steps;
mod third_party;
mod topologies;
mod trace;
mod words;

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use catharsis_core::account::Account;
use catharsis_core::area::{Area, AreaSet};
use catharsis_core::board::Board;
use catharsis_core::clock::{Tick, UnixMillis};
use catharsis_core::domain::{Directory, Domain, DomainName, DomainStatus};
use catharsis_core::history::{HistoryFilter, HistoryPage, HostScope};
use catharsis_core::invalidation::Seq;
use catharsis_core::leasing::lease;
use catharsis_core::limits::FAIL_AFTER;
use catharsis_core::plan::{Caller, Purge};
use catharsis_core::ports::{Clock, Hop, Lessor, Log, Purger, Store};
use catharsis_core::proof::Prober;
use catharsis_core::relay::{Observer, Relay, RelayEvent, Worker};
use catharsis_core::retry::RetryPolicy;
use catharsis_core::returning::come_back;
use catharsis_core::service::{DirectoryNow, PurgeService};
use catharsis_core::target::{Encode, Mode};
use catharsis_core::task::{TaskId, TaskKind};
use catharsis_core::topology::{Node, NodeId, Topology};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use self::trace::Telling;
use crate::fake_cache::FakeCache;
use crate::mem_log::MemLog;
use crate::mem_store::MemStore;
use crate::plans::{ACCOUNT, OTHER};

/// A seeded source of chance (splitmix64). Clones draw from one stream.
#[derive(Clone, Debug)]
pub struct Chance {
    seed: u64,
    drawn: Arc<AtomicU64>,
}

impl Chance {
    /// The stream of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed, drawn: Arc::new(AtomicU64::new(seed)) }
    }

    /// A stream of its own for whatever this names, the same one each time. What draws from its own stream does not
    /// depend on who else woke at the same moment, in an order that is not ours.
    #[must_use]
    pub fn apart(&self, named: impl Hash) -> Self {
        let mut hasher = DefaultHasher::new();
        (self.seed, named).hash(&mut hasher);
        Self::new(hasher.finish())
    }

    /// The next 64 bits.
    #[must_use]
    pub fn bits(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut bits = self.drawn.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number below `bound`.
    #[must_use]
    pub fn below(&self, bound: u64) -> u64 {
        self.bits() % bound.max(1)
    }

    /// True so many times of a hundred.
    #[must_use]
    pub fn percent(&self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// The simulated clock: tokio's, with a wall clock that can be set.
#[derive(Clone, Debug)]
pub struct SimClock {
    start: Instant,
    skew_millis: Arc<AtomicI64>,
    chance: Chance,
}

impl SimClock {
    /// A clock that begins now, with chance of this seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { start: Instant::now(), skew_millis: Arc::default(), chance: Chance::new(seed) }
    }

    /// The same clock, with chance of its own for whoever this names.
    #[must_use]
    pub fn apart(&self, named: impl Hash) -> Self {
        Self { chance: self.chance.apart(named), ..self.clone() }
    }

    /// Sets the wall clock forward or back. Ticks go on as before.
    pub fn jump(&self, millis: i64) {
        self.skew_millis.fetch_add(millis, Ordering::Relaxed);
    }
}

#[async_trait]
impl Clock for SimClock {
    fn wall(&self) -> UnixMillis {
        let passed = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let skew = self.skew_millis.load(Ordering::Relaxed);
        UnixMillis((1_700_000_000_000 + passed).saturating_add_signed(skew))
    }

    fn tick(&self) -> Tick {
        Tick(self.start.elapsed())
    }

    async fn sleep_until(&self, until: Tick) {
        tokio::time::sleep_until(self.start + until.0).await;
    }

    fn random(&self) -> u64 {
        self.chance.bits()
    }
}

/// Hears nothing.
#[derive(Clone, Copy, Debug)]
pub struct Silence;

impl Observer for Silence {
    fn observe(&self, _node: &Node, _event: &RelayEvent<'_>) {}
}

/// What the workers see of the store and the caches: itself, or something that watches or breaks it.
pub trait Wrap {
    /// The store as the workers see it.
    fn store(&self, world: &World) -> Arc<dyn Store> {
        Arc::new(world.store.clone())
    }
    /// A node's cache as its worker sees it.
    fn purger(&self, world: &World, node: &Arc<Node>) -> Arc<dyn Purger> {
        world.cache(&node.id)
    }
    /// What the origin hop of a node says; none has one.
    fn hop(&self, _world: &World, _node: &Arc<Node>) -> Option<Arc<dyn Hop>> {
        None
    }
    /// How a node is granted leases of that length; none is.
    fn lessor(&self, _world: &World, _node: &Arc<Node>) -> Option<(Arc<dyn Lessor>, Duration)> {
        None
    }
    /// The log as the workers see it.
    fn log(&self, world: &World) -> Arc<dyn Log> {
        Arc::new(world.log.clone())
    }
    /// Who hears of what happens at the nodes.
    fn observer(&self) -> Arc<dyn Observer> {
        Arc::new(Silence)
    }
    /// How a node proves that it purges; none does.
    fn prober(&self, _world: &World, _node: &Arc<Node>) -> Option<Arc<dyn Prober>> {
        None
    }
}

/// Nothing in between.
#[derive(Clone, Copy, Debug)]
pub struct Bare;

impl Wrap for Bare {}

/// A simulated installation: what survives a crash of its server.
#[derive(Debug)]
pub struct World {
    /// The store.
    pub store: MemStore,
    /// Its log.
    pub log: MemLog,
    /// The clock.
    pub clock: SimClock,
    /// The nodes.
    pub nodes: Vec<Arc<Node>>,
    caches: HashMap<NodeId, Arc<FakeCache>>,
}

impl World {
    /// An installation of these nodes with caches that do what they are told.
    ///
    /// # Panics
    /// When the nodes are no topology.
    #[must_use]
    pub fn new(nodes: Vec<Node>, seed: u64) -> Self {
        let topology = Topology::new(nodes).expect("a test's nodes are a topology");
        let (store, log) = MemStore::new();
        let caches = topology.nodes().iter().map(|node| (node.id.clone(), Arc::new(FakeCache::default()))).collect();
        Self { store, log, clock: SimClock::new(seed), nodes: topology.nodes().to_vec(), caches }
    }

    /// A node's cache.
    ///
    /// # Panics
    /// When there is no such node.
    #[must_use]
    pub fn cache(&self, node: &NodeId) -> Arc<FakeCache> {
        Arc::clone(self.caches.get(node).expect("a node of this world"))
    }

    /// Starts a server with a worker for each node.
    pub async fn start(&self) -> Server {
        self.start_with(&Bare).await
    }

    /// As [`Self::start`], with something between the workers and the world.
    ///
    /// # Panics
    /// When the store in memory fails, which it never does.
    pub async fn start_with(&self, wrap: &dyn Wrap) -> Server {
        let forgotten = self.store.forget_others(&self.nodes).await;
        forgotten.expect("memory never fails");
        let cursors = self.store.cursors(&self.nodes).await.expect("memory never fails");
        let board = Arc::new(Board::new(&self.nodes, cursors, Arc::new(self.log.clone())));
        let relay = Relay {
            log: wrap.log(self),
            store: wrap.store(self),
            clock: Arc::new(self.clock.clone()),
            board: Arc::clone(&board),
            observer: wrap.observer(),
            retry: RetryPolicy::default(),
        };
        let service = Arc::new(PurgeService::new(
            Arc::new(self.store.clone()),
            Arc::new(self.log.clone()),
            Arc::new(self.clock.clone()),
            Arc::clone(&board),
            directory_now(),
            FAIL_AFTER,
        ));
        let mut server = Server { board, service, log: self.log.clone(), relay, crews: BTreeMap::new() };
        for node in &self.nodes {
            server.man(self, node, wrap);
        }
        server
    }

    /// Brings the installation and its running server to these nodes, as a changed configuration file would.
    ///
    /// # Panics
    /// When the nodes are no topology.
    pub async fn change(&mut self, server: &mut Server, nodes: Vec<Node>, wrap: &dyn Wrap) {
        let next = Topology::new(nodes).expect("a test's nodes are a topology").nodes().to_vec();
        for node in &next {
            self.caches.entry(node.id.clone()).or_default();
        }
        let left: Vec<NodeId> = self.nodes.iter().map(|node| node.id.clone()).collect();
        let left: Vec<NodeId> = left.into_iter().filter(|id| !next.iter().any(|node| node.id == *id)).collect();
        // All workers: the smallest thing that is surely right; the server stops only those that it must.
        server.leave().await;
        let held = server.board.hold();
        let stay: Vec<_> = next.iter().filter(|node| self.nodes.iter().any(|old| old.id == node.id)).cloned().collect();
        self.store.forget_others(&stay).await.expect("memory never fails");
        server.board.take_out(&left);
        let cursors = self.store.cursors(&next).await.expect("memory never fails");
        server.board.bring(&held, &next, cursors);
        drop(held);
        self.nodes = next;
        // Its watch knows the nodes by their names.
        server.relay.store = wrap.store(self);
        for node in &self.nodes {
            server.man(self, node, wrap);
        }
    }
}

fn directory_now() -> DirectoryNow {
    let fixed = Arc::new(directory());
    Arc::new(move || Arc::clone(&fixed))
}

/// `a.test` of [`ACCOUNT`], with quotas that never end, and `b.test` of [`OTHER`]; both are served in
/// both areas.
fn directory() -> Directory {
    let mut account = Account::default();
    let endless = catharsis_core::area::PerArea::from_fn(|_| u32::MAX / 2);
    account.limits.per_day.url = endless;
    account.limits.per_day.path = endless;
    let domain = |name: &str, owner| Domain {
        name: DomainName::parse(name).expect("a valid name"),
        owner,
        areas: AreaSet::Global,
        status: DomainStatus::Online,
        keys: Arc::default(),
    };
    let accounts = [(ACCOUNT, account), (OTHER, Account::default())];
    let domains = [domain("a.test", ACCOUNT), domain("b.test", OTHER)];
    Directory::new(accounts, domains).expect("a valid directory")
}

/// The history of [`ACCOUNT`], or of one task of it, newest first, from a row on.
async fn history_of(service: &PurgeService, task: Option<TaskId>, offset: u64) -> HistoryPage {
    let filter = HistoryFilter {
        account: ACCOUNT,
        hosts: HostScope::All,
        task,
        kind: None,
        from: None,
        to: None,
        keyword: None,
        areas: None,
        status: None,
    };
    let page = service.history(filter, offset, 1_000).await;
    page.expect("memory never fails")
}

/// A running server: what a crash ends.
#[derive(Debug)]
pub struct Server {
    /// Where the nodes stand.
    pub board: Arc<Board>,
    /// The service.
    pub service: Arc<PurgeService>,
    log: MemLog,
    relay: Relay,
    crews: BTreeMap<NodeId, Crew>,
}

/// The workers of one node.
#[derive(Debug)]
struct Crew {
    stop: CancellationToken,
    workers: Vec<JoinHandle<()>>,
}

impl Server {
    /// Starts the workers of a node.
    fn man(&mut self, world: &World, node: &Arc<Node>, wrap: &dyn Wrap) {
        let stop = CancellationToken::new();
        // A server that starts again draws something else.
        let clock = world.clock.apart((node.id.as_str(), world.clock.tick().0));
        let relay = Relay { clock: Arc::new(clock), ..self.relay.clone() };
        let mut worker = Worker::new(relay.clone(), Arc::clone(node), wrap.purger(world, node), stop.clone());
        if let Some(prober) = wrap.prober(world, node) {
            worker = worker.with_prober(prober);
        }
        if let Some(hop) = wrap.hop(world, node) {
            worker = worker.with_hop(hop);
        }
        let back = match wrap.lessor(world, node) {
            Some((lessor, length)) => tokio::spawn(lease(relay, Arc::clone(node), lessor, length, stop.clone())),
            None => tokio::spawn(come_back(relay, Arc::clone(node), stop.clone())),
        };
        let workers = vec![tokio::spawn(worker.run()), back];
        self.crews.insert(node.id.clone(), Crew { stop, workers });
    }

    /// Tells all workers to stop and waits for them.
    async fn leave(&mut self) {
        for crew in self.crews.values() {
            crew.stop.cancel();
        }
        for (_, crew) in std::mem::take(&mut self.crews) {
            for worker in crew.workers {
                worker.await.expect("a worker never panics");
            }
        }
    }

    /// Purges these paths of `http://a.test` in the mainland, where the nodes of a test mostly are.
    ///
    /// # Panics
    /// When the service refuses.
    pub async fn purge(&self, paths: &[&str]) -> TaskId {
        let request = Purge {
            kind: TaskKind::Url,
            mode: Mode::Delete,
            items: paths.iter().map(|path| format!("http://a.test{path}").into()).collect(),
            area: Some(Area::Mainland),
            encode: Encode::AsSubmitted,
            claim: None,
            notify: Vec::new(),
        };
        let accepted = self.service.purge(&Caller::root(ACCOUNT), request).await;
        accepted.expect("a valid purge is accepted")
    }

    /// The history of [`ACCOUNT`], newest first.
    ///
    /// # Panics
    /// When the store fails.
    pub async fn history(&self) -> HistoryPage {
        history_of(&self.service, None, 0).await
    }

    /// Waits until a node has settled everything that is in the log now.
    ///
    /// # Panics
    /// When that takes more than a (simulated) day.
    pub async fn settled(&self, node: &Node) {
        let head = self.log.head(node.area);
        self.settled_upto(node, head).await;
    }

    /// Waits until a node has settled everything up to a position, and is a member.
    ///
    /// # Panics
    /// When that takes more than a (simulated) day.
    pub async fn settled_upto(&self, node: &Node, upto: Seq) {
        let mut standing = self.board.watch(&node.id).expect("a node on the board");
        let reached = standing.wait_for(|standing| {
            standing.settled >= upto && standing.membership == catharsis_core::ports::Membership::Member
        });
        let waited = tokio::time::timeout(Duration::from_secs(86_400), reached).await;
        assert!(
            waited.is_ok_and(|moved| moved.is_ok()),
            "{} does not settle {upto}: {:?}",
            node.id,
            self.board.standing(&node.id)
        );
    }

    /// Tells the workers to stop and waits for them.
    ///
    /// # Panics
    /// When a worker panicked.
    pub async fn stop(mut self) {
        self.leave().await;
    }

    /// Ends the workers where they are.
    pub async fn crash(self) {
        let workers: Vec<_> = self.crews.into_values().flat_map(|crew| crew.workers).collect();
        for worker in &workers {
            worker.abort();
        }
        for worker in workers {
            let ended = worker.await;
            assert!(ended.is_ok() || ended.is_err_and(|error| error.is_cancelled()));
        }
    }
}
