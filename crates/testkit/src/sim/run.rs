//! One simulation: an installation with contents, on a bad day, judged by what clients read.
//!
//! What this is: the real service, board, relay and edge fence between simulated caches in two tiers, clients that read
//! through every node all the time, and steps and faults that a seed draws. The same seed plays the same, to the last
//! read. What this is not: threads; all runs on one, on paused time, so what two threads could do to each other is not found
//! here.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use catharsis_core::area::Area;
use catharsis_core::duty::Duty;
use catharsis_core::ports::{Hop, Lessor, Log, Membership, Purger, Store};
use catharsis_core::relay::{Observer, RelayEvent};
use catharsis_core::status::ItemStatus;
use catharsis_core::task::TaskKind;
use catharsis_core::topology::{Fence, Node, NodeId};
use catharsis_edge::protocol::LogId;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::cache::SimCache;
use super::faults::Troubles;
use super::judge::{Judge, Judgement};
use super::network::{ShakyLog, Way};
use super::pages::{Page, Pages};
use super::steps::some_page;
use super::topologies;
use super::trace::{Event, Telling, Trace, named};
use super::{Chance, Server, World, Wrap};
use crate::mem_store::MemStore;
use crate::watched::{Faults, Watch};

/// Steps of one simulation.
const STEPS: usize = 70;
/// Clients at each node.
const READERS: usize = 2;
/// An order or a grant comes again no later than that.
const LATE: Duration = Duration::from_secs(41);
/// How long all that is left to do may take once nothing goes wrong any more.
const PATIENCE: Duration = Duration::from_secs(900);

const FAULTS: Faults = Faults { store_before: 5, store_after: 5, twice: 10, slow: 2 };

/// What came of one simulation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Played {
    /// What was promised and is not so.
    pub broken: Vec<String>,
    /// Invalidations settled, counted at each node.
    pub node_purges: u64,
    /// Reads that were answered.
    pub reads: u64,
    /// Those of them that something shown `done` was held against.
    pub judged: u64,
    /// Of all that happened, when, where, and in which order.
    pub digest: u64,
}

/// What is wrong on purpose, so that whoever must find it can be seen to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    /// Nothing.
    Nothing,
    /// A cache that says it purged and did not.
    Liar,
    /// A client who draws its breaks from elsewhere than the seed.
    Dice,
}

/// Plays a seed in a runtime of its own.
///
/// # Panics
/// When a worker does.
#[must_use]
pub fn play(seed: u64, planted: Planted) -> Played {
    play_telling(seed, planted, Telling::Quiet)
}

/// As [`play`], and tells what happens.
///
/// # Panics
/// When a worker does.
#[must_use]
pub fn play_telling(seed: u64, planted: Planted, telling: Telling) -> Played {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime without input and output");
    runtime.block_on(async { Play::new(seed, planted, telling).await.run().await })
}

/// A simulation under way.
pub(super) struct Play {
    pub(super) chance: Chance,
    pub(super) pages: Arc<Pages>,
    pub(super) judge: Arc<Judge>,
    pub(super) troubles: Troubles,
    pub(super) all: Vec<Node>,
    pub(super) world: World,
    /// None while it is down.
    server: Option<Server>,
    between: Between,
}

/// What stands between the workers and the world.
#[derive(Clone, Debug)]
struct Between {
    watch: Watch,
    troubles: Troubles,
    caches: Arc<BTreeMap<NodeId, Arc<SimCache>>>,
    /// The length of the leases of those that are granted some.
    leases: Arc<BTreeMap<NodeId, Duration>>,
    /// Which of the logs there were, by their number.
    logs: u64,
    witness: Arc<Witness>,
    trace: Arc<Trace>,
    planted: Planted,
}

/// Hears of what the relay does.
#[derive(Debug)]
struct Witness {
    /// Invalidations settled, counted at each node.
    settled: AtomicU64,
    trace: Arc<Trace>,
}

impl Observer for Witness {
    fn observe(&self, node: &Node, event: &RelayEvent<'_>) {
        let (name, upto) = named(event);
        self.trace.note(&Event::Relays(&node.id, name, upto));
        if let RelayEvent::Settled { batch, .. } = event {
            self.settled.fetch_add(batch.len() as u64, Ordering::Relaxed);
        }
    }
}

impl Wrap for Between {
    fn store(&self, world: &World) -> Arc<dyn Store> {
        self.watch.unchecked_store(world)
    }

    fn purger(&self, world: &World, node: &Arc<Node>) -> Arc<dyn Purger> {
        let way = self.way(world, &node.id, node.area);
        match self.planted {
            Planted::Liar if node.id.as_str() == "m1" => Arc::new(crate::fake_cache::FakeCache::default()),
            Planted::Liar | Planted::Dice | Planted::Nothing => Arc::new(way),
        }
    }

    fn hop(&self, world: &World, node: &Arc<Node>) -> Option<Arc<dyn Hop>> {
        let hop = node.shield.as_ref().filter(|_| node.fence == Fence::Hop)?;
        Some(Arc::new(self.way(world, hop, node.area)))
    }

    fn lessor(&self, world: &World, node: &Arc<Node>) -> Option<(Arc<dyn Lessor>, Duration)> {
        let length = self.leases.get(&node.id)?;
        Some((Arc::new(self.way(world, &node.id, node.area)), *length))
    }

    fn log(&self, world: &World) -> Arc<dyn Log> {
        Arc::new(ShakyLog { log: world.log.clone(), troubles: self.troubles.clone() })
    }

    fn observer(&self) -> Arc<dyn Observer> {
        Arc::clone(&self.witness) as Arc<dyn Observer>
    }
}

impl Between {
    /// The way to a node.
    fn way(&self, world: &World, node: &NodeId, area: Area) -> Way {
        Way {
            node: node.clone(),
            cache: Arc::clone(self.caches.get(node).expect("a node of this simulation")),
            log: log_id(self.logs, world, node, area),
            troubles: self.troubles.clone(),
            trace: Arc::clone(&self.trace),
        }
    }
}

/// By what name a node is told the log: that of the store, and of its stay.
fn log_id(number: u64, world: &World, node: &NodeId, area: Area) -> LogId {
    let stay = world.store.cursor(node, area).and_then(|cursor| cursor.stay);
    LogId::new(&format!("log-{number}.{}", stay.map_or(0, |stay| stay.0))).expect("a valid name")
}

impl Play {
    async fn new(seed: u64, planted: Planted, telling: Telling) -> Self {
        let chance = Chance::new(seed.wrapping_mul(0x9e37_79b9));
        let pages = Arc::new(Pages::default());
        let troubles = Troubles::new(chance.clone());
        let drawn = topologies::all(&chance);
        let cache = |(node, kind): &(Node, topologies::Kind)| {
            let cache =
                SimCache::new(kind.holds(&pages), kind.fetch_max(), Arc::clone(&pages), chance.apart(node.id.as_str()));
            (node.id.clone(), cache)
        };
        let caches = Arc::new(drawn.iter().map(cache).collect::<BTreeMap<_, _>>());
        let leases = drawn.iter().filter_map(|(node, kind)| Some((node.id.clone(), kind.lease()?)));
        let leases = Arc::new(leases.collect());
        let all: Vec<Node> = drawn.into_iter().map(|(node, _)| node).collect();
        let world = World::new(all.clone(), seed);
        let trace = Arc::new(Trace::new(telling));
        let between = Between {
            watch: Watch::new(FAULTS, chance.clone()),
            troubles: troubles.clone(),
            caches,
            leases,
            logs: 0,
            witness: Arc::new(Witness { settled: AtomicU64::new(0), trace: Arc::clone(&trace) }),
            trace,
            planted,
        };
        let judge = Arc::new(Judge::default());
        if chance.percent(50) {
            // Then every node is new to a log that holds something, and must join.
            let old = crate::plans::plan(0, &["http://a.test/p0"], catharsis_core::area::AreaSet::Global);
            world.store.submit(old).await.expect("memory never fails");
        }
        let server = world.start_with(&between).await;
        judge.watch(&server.board, &server.service);
        let server = Some(server);
        let play = Self { chance, pages, judge, troubles, all, world, server, between };
        play.wire(&play.all);
        play
    }

    async fn run(mut self) -> Played {
        let stop = CancellationToken::new();
        self.send_clients(&stop);
        for _ in 0..STEPS {
            self.step().await;
            self.judge.look().await;
            self.between.watch.look(&self.world, &self.server().board);
            self.judge.look_back().await;
            if self.judge.is_broken() {
                break;
            }
        }
        if !self.judge.is_broken() {
            self.end_well().await;
        }
        stop.cancel();
        let Judgement { mut broken, reads, judged } = self.judge.judgement();
        broken.extend(self.between.watch.broken());
        let node_purges = self.between.witness.settled.load(Ordering::Relaxed);
        Played { broken, node_purges, reads, judged, digest: self.between.trace.digest() }
    }

    /// Notes what happens next.
    pub(super) fn note(&self, drawn: u64) {
        self.between.trace.note(&Event::Steps(drawn));
    }

    pub(super) fn cache(&self, node: &NodeId) -> Arc<SimCache> {
        Arc::clone(self.between.caches.get(node).expect("a node of this simulation"))
    }

    /// Clients read through every cache, whether it is a node now or not.
    fn send_clients(&self, stop: &CancellationToken) {
        for (node, cache) in self.between.caches.iter() {
            for number in 0..READERS {
                tokio::spawn(self.client(node, cache, number).read_on(stop.clone()));
            }
        }
    }

    fn client(&self, node: &NodeId, cache: &Arc<SimCache>, number: usize) -> Client {
        Client {
            node: node.clone(),
            cache: Arc::clone(cache),
            judge: Arc::clone(&self.judge),
            pages: Arc::clone(&self.pages),
            trace: Arc::clone(&self.between.trace),
            chance: match self.between.planted {
                Planted::Dice => Chance::new(RandomState::new().hash_one(number)),
                Planted::Liar | Planted::Nothing => self.chance.apart((node.as_str(), number)),
            },
        }
    }

    /// Has these pages read once through every cache.
    pub(super) fn visit(&self, pages: &[Page]) {
        for (node, cache) in self.between.caches.iter() {
            for page in pages {
                let (client, page) = (self.client(node, cache, READERS), *page);
                tokio::spawn(async move { client.read(page).await });
            }
        }
    }

    /// Has each cache fetch through its shield.
    pub(super) fn wire(&self, nodes: &[Node]) {
        for node in nodes {
            let shield = node.shield.as_ref().map(|shield| self.cache(shield));
            self.cache(&node.id).fetch_through(shield);
        }
    }

    /// The server, which runs between two steps.
    pub(super) const fn server(&self) -> &Server {
        self.server.as_ref().expect("only a step ends it, and starts another one")
    }

    /// Brings the running server to these nodes.
    pub(super) async fn to(&mut self, nodes: Vec<Node>) {
        let server = self.server.as_mut().expect("only a step ends it, and starts another one");
        self.world.change(server, nodes, &self.between).await;
        self.judge.look().await;
    }

    /// Kills the server, and starts it again after a while.
    pub(super) async fn restart(&mut self, down: Duration) {
        self.end_server().await;
        if !down.is_zero() {
            sleep(down).await;
        }
        self.start_server().await;
    }

    /// Kills the server; the next one finds nothing.
    pub(super) async fn start_over(&mut self) {
        self.end_server().await;
        let (store, log) = MemStore::new();
        (self.world.store, self.world.log) = (store, log);
        self.between.logs += 1;
        self.judge.store_was_lost();
        self.start_server().await;
    }

    async fn end_server(&mut self) {
        self.judge.watch_nothing();
        if let Some(server) = self.server.take() {
            server.crash().await;
        }
    }

    async fn start_server(&mut self) {
        let server = self.world.start_with(&self.between).await;
        self.judge.watch(&server.board, &server.service);
        self.server = Some(server);
    }

    async fn end_well(&mut self) {
        self.troubles.clear_up();
        self.between.watch.spoil(Faults::default());
        for cache in self.between.caches.values() {
            cache.start();
        }
        // Whatever comes once more of what was sent before has come, some of it in the name of a log that is gone: what
        // is told now is the last word.
        sleep(LATE).await;
        self.bring(self.all.clone()).await;
        self.purge_a_last_time().await;
        let until = Instant::now() + PATIENCE;
        while let Some(behind) = self.behind() {
            if Instant::now() > until {
                return self.judge.breaks(behind);
            }
            sleep(Duration::from_secs(1)).await;
        }
        // Whatever is still under way ends.
        sleep(Duration::from_secs(30)).await;
        self.judge.look().await;
        let mut open = BTreeMap::new();
        for row in self.judge.look_back().await {
            // A directory fails where a node cannot be told of any; a URL never does.
            if row.status != ItemStatus::Done && (row.kind == TaskKind::Url || row.status == ItemStatus::Process) {
                open.insert(row.url.clone(), row.status);
            }
        }
        if !open.is_empty() {
            self.judge.breaks(format!("in the end these are not done: {open:?}"));
        }
    }

    /// A node that has not settled everything, or does not count.
    fn behind(&self) -> Option<String> {
        let board = &self.server().board;
        let late = |node: &&Arc<Node>| {
            board.standing(&node.id).is_none_or(|it| {
                it.settled < self.world.log.head(node.area)
                    || it.duty != Duty::Counts
                    || it.membership != Membership::Member
            })
        };
        let found = self.world.nodes.iter().find(late)?;
        let heads = Area::ALL.map(|area| self.world.log.head(area));
        Some(format!("{} stays behind {heads:?}: {:?}", found.id, board.standing(&found.id)))
    }
}

/// One who reads through a cache, page after page.
struct Client {
    node: NodeId,
    cache: Arc<SimCache>,
    judge: Arc<Judge>,
    pages: Arc<Pages>,
    trace: Arc<Trace>,
    chance: Chance,
}

impl Client {
    async fn read_on(self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            sleep(Duration::from_micros(self.chance.below(250_000))).await;
            let page = some_page(&self.chance, self.pages.busy());
            self.read(page).await;
        }
    }

    async fn read(&self, page: Page) {
        self.judge.look().await;
        self.trace.note(&Event::Asks(&self.node, page));
        let due = self.judge.begins(&self.node, page);
        let read = Arc::clone(&self.cache).read(page).await;
        self.trace.note(&Event::Reads(&self.node, page, read));
        if let Some(read) = read {
            self.judge.ends(&due, read, self.pages.path(page));
        }
    }
}
