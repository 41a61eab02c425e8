//! Leases on paused time: the keepers and workers of real nodes' kinds, over the store in memory and scripted edges.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use catharsis_core::area::{Area, AreaSet};
use catharsis_core::board::{Board, Standing};
use catharsis_core::duty::Duty;
use catharsis_core::invalidation::Seq;
use catharsis_core::lease::{Grant, Named, NodeMillis, Run};
use catharsis_core::leasing::lease;
use catharsis_core::ports::{Clock, Lessor, Log, Purger, Store, Trusts};
use catharsis_core::receipt::Unreachable;
use catharsis_core::relay::{Relay, Worker};
use catharsis_core::retry::RetryPolicy;
use catharsis_core::topology::Node;
use catharsis_testkit::fake_cache::Act;
use catharsis_testkit::plans::{behind, node, plan, shield};
use catharsis_testkit::sim::{Silence, World};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

const LENGTH: Duration = Duration::from_secs(10);
const MAINLAND: AreaSet = AreaSet::One(Area::Mainland);
const HOUR: Duration = Duration::from_secs(3_600);

/// The lease of a scripted edge, which keeps to it.
struct Edge {
    started: Instant,
    state: Mutex<EdgeState>,
}

struct EdgeState {
    way: Way,
    ends: NodeMillis,
    /// What its relay's worker had settled when it was granted a lease, and when.
    grants: Vec<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Answers,
    /// Calls are lost.
    CutOff,
    NeedsNoLease,
}

impl Edge {
    fn new() -> Arc<Self> {
        let state = EdgeState { way: Way::Answers, ends: NodeMillis(0), grants: Vec::new() };
        Arc::new(Self { started: Instant::now(), state: Mutex::new(state) })
    }

    fn state(&self) -> MutexGuard<'_, EdgeState> {
        self.state.lock().expect("no panic")
    }

    fn go(&self, way: Way) {
        self.state().way = way;
    }

    fn clock(&self) -> NodeMillis {
        NodeMillis(u64::try_from(self.started.elapsed().as_millis()).expect("a test is short"))
    }

    fn trusts_its_copies(&self) -> bool {
        let state = self.state();
        state.way == Way::NeedsNoLease || self.clock() < state.ends
    }

    fn grants_since(&self, since: Instant) -> usize {
        self.state().grants.iter().filter(|at| **at >= since).count()
    }
}

#[async_trait]
impl Lessor for Edge {
    async fn call(&self, grant: Option<Grant>) -> Result<Trusts, Unreachable> {
        let way = self.state().way;
        match way {
            Way::CutOff => std::future::pending().await,
            Way::NeedsNoLease => Ok(Trusts::Always),
            Way::Answers => {
                let clock = self.clock();
                let mut state = self.state();
                if let Some(grant) = grant.filter(|it| it.run == Run(7)) {
                    state.ends = state.ends.max(grant.until);
                    state.grants.push(Instant::now());
                }
                let until = Some(state.ends).filter(|ends| *ends > clock);
                drop(state);
                Ok(Trusts::Leased(Named { run: Run(7), clock, until }))
            }
        }
    }
}

/// One process: a board, workers of all nodes, keepers of those that are leased.
struct Server {
    board: Arc<Board>,
    stop: CancellationToken,
}

static TASKS: AtomicU64 = AtomicU64::new(1);

impl Server {
    async fn start(world: &World, edges: &[(&Node, &Arc<Edge>)]) -> Self {
        let cursors = world.store.cursors(&world.nodes).await.expect("memory never fails");
        let log: Arc<dyn Log> = Arc::new(world.log.clone());
        let board = Arc::new(Board::new(&world.nodes, cursors, Arc::clone(&log)));
        let retry = RetryPolicy { first: Duration::from_millis(50), max: Duration::from_millis(200) };
        let relay = Relay {
            log,
            store: Arc::new(world.store.clone()),
            clock: Arc::new(world.clock.clone()),
            board: Arc::clone(&board),
            observer: Arc::new(Silence),
            retry,
        };
        let stop = CancellationToken::new();
        for node in &world.nodes {
            let cache: Arc<dyn Purger> = world.cache(&node.id);
            tokio::spawn(Worker::new(relay.clone(), Arc::clone(node), cache, stop.clone()).run());
            if let Some((_, edge)) = edges.iter().find(|(it, _)| it.id == node.id) {
                let lessor: Arc<dyn Lessor> = Arc::clone(*edge) as _;
                tokio::spawn(lease(relay.clone(), Arc::clone(node), lessor, LENGTH, stop.clone()));
            }
        }
        Self { board, stop }
    }

    fn done(&self) -> Seq {
        self.board.watermark(Area::Mainland)
    }

    fn standing(&self, node: &Node) -> Standing {
        self.board.standing(&node.id).expect("a node on the board")
    }

    fn duty(&self, node: &Node) -> Duty {
        self.standing(node).duty
    }

    /// How long until this holds.
    async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) -> Duration {
        let began = Instant::now();
        let waiting = async {
            while !holds(self) {
                sleep(Duration::from_millis(10)).await;
            }
        };
        assert!(timeout(HOUR, waiting).await.is_ok(), "waited in vain: {what}");
        began.elapsed()
    }

    fn crash(self) {
        self.stop.cancel();
    }
}

async fn purge(world: &World, path: &str) -> Seq {
    let id = TASKS.fetch_add(1, Ordering::Relaxed);
    let url = format!("http://a.test{path}");
    world.store.submit(plan(id, &[&url], MAINLAND)).await.expect("memory never fails");
    world.log.head(Area::Mainland)
}

fn cut_off(world: &World, node: &Node, edge: &Edge) {
    world.cache(&node.id).down(Unreachable::Timeout);
    edge.go(Way::CutOff);
}

fn reconnect(world: &World, node: &Node, edge: &Edge) {
    world.cache(&node.id).up();
    edge.go(Way::Answers);
}

#[tokio::test(start_paused = true)]
async fn task_waits_at_most_about_a_lease_for_an_edge_that_is_cut_off_and_never_less() {
    // At various distances from the last renewal.
    for after in 0..20 {
        let (n, other, edge) = (node("n"), node("other"), Edge::new());
        let world = World::new(vec![n.clone(), other.clone()], after);
        let server = Server::start(&world, &[(&n, &edge)]).await;
        sleep(Duration::from_secs(60) + Duration::from_millis(173 * after)).await;
        assert!(edge.trusts_its_copies(), "it is renewed as long as it answers");
        cut_off(&world, &n, &edge);
        let first = purge(&world, "/1").await;
        let done = |server: &Server| {
            assert!(server.done() < first || !edge.trusts_its_copies(), "done while it may serve the old copy");
            server.done() >= first
        };
        let waited = server.until("the end of the lease", done).await;
        assert!(waited < LENGTH * 12 / 10, "{waited:?}");
        assert_eq!(server.duty(&n), Duty::Lapsed);
        let second = purge(&world, "/2").await;
        let waited = server.until("the other node", |it| it.done() >= second).await;
        assert!(waited < Duration::from_secs(1), "nobody waits for it any more: {waited:?}");
        server.crash();
    }
}

#[tokio::test(start_paused = true)]
async fn lapsed_edge_catches_up_before_it_counts_and_counts_before_it_trusts() {
    let (n, edge) = (node("n"), Edge::new());
    let world = World::new(vec![n.clone()], 1);
    let server = Server::start(&world, &[(&n, &edge)]).await;
    sleep(LENGTH).await;
    cut_off(&world, &n, &edge);
    let mut last = Seq::ZERO;
    for at in 0..30 {
        last = purge(&world, &format!("/{at}")).await;
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!((server.duty(&n), server.done()), (Duty::Lapsed, last), "nobody counts");

    let back = Instant::now();
    reconnect(&world, &n, &edge);
    world.cache(&n.id).follow(|_| Act::applied().after(Duration::from_millis(300)));
    let waits = |server: &Server| {
        let (standing, granted) = (server.standing(&n), edge.grants_since(back));
        assert!(granted == 0 || (standing.settled >= last && standing.duty == Duty::Counts), "{standing:?}");
        assert!(server.done() >= last, "what was done stays done");
        granted > 0
    };
    server.until("a lease", waits).await;
    assert_eq!(server.duty(&n), Duty::Counts);
    let next = purge(&world, "/next").await;
    assert!(server.done() < next, "it is waited for again");
    server.until("its receipt", |it| it.done() >= next).await;
    server.crash();
}

#[tokio::test(start_paused = true)]
async fn edge_that_answers_but_cannot_be_told_of_purges_is_not_renewed() {
    let (n, edge) = (node("n"), Edge::new());
    let world = World::new(vec![n.clone()], 1);
    let server = Server::start(&world, &[(&n, &edge)]).await;
    sleep(LENGTH).await;
    world.cache(&n.id).down(Unreachable::Timeout);
    let first = purge(&world, "/1").await;
    let waited = server.until("the end of its lease", |it| it.done() >= first).await;
    assert!(waited < LENGTH * 12 / 10, "{waited:?}");
    assert!(!edge.trusts_its_copies());
    server.crash();
}

#[tokio::test(start_paused = true)]
async fn edge_that_needs_no_lease_is_waited_for_however_long_it_is_away() {
    let (n, edge) = (node("n"), Edge::new());
    let world = World::new(vec![n.clone()], 1);
    let server = Server::start(&world, &[(&n, &edge)]).await;
    sleep(LENGTH).await;
    assert_eq!(server.standing(&n).lease, Some(LENGTH));
    edge.go(Way::NeedsNoLease);
    sleep(LENGTH).await;
    assert_eq!(server.standing(&n).lease, None, "configured anew, and the relay heard of it");
    world.cache(&n.id).down(Unreachable::Timeout);
    let first = purge(&world, "/1").await;
    sleep(HOUR).await;
    assert_eq!((server.duty(&n), server.done() < first), (Duty::Counts, true));
    server.crash();

    // Nor is one of which nothing was heard since the start.
    let edge = Edge::new();
    edge.go(Way::CutOff);
    let server = Server::start(&world, &[(&n, &edge)]).await;
    sleep(HOUR).await;
    assert_eq!((server.duty(&n), server.done() < first), (Duty::Counts, true));
    server.crash();
}

#[tokio::test(start_paused = true)]
async fn restarted_server_waits_for_the_leases_of_the_one_before_and_undoes_nothing() {
    let (n, edge) = (node("n"), Edge::new());
    let world = World::new(vec![n.clone()], 1);
    let server = Server::start(&world, &[(&n, &edge)]).await;
    sleep(LENGTH).await;
    cut_off(&world, &n, &edge);
    let first = purge(&world, "/1").await;
    server.crash();

    let server = Server::start(&world, &[(&n, &edge)]).await;
    let done = |server: &Server| {
        assert!(server.done() < first || !edge.trusts_its_copies(), "done while it may serve the old copy");
        server.done() >= first
    };
    let waited = server.until("the end of the lease", done).await;
    assert!(waited >= LENGTH, "it may have been granted a moment before the start: {waited:?}");
    server.crash();

    let server = Server::start(&world, &[(&n, &edge)]).await;
    assert_eq!((server.duty(&n), server.done()), (Duty::Lapsed, first), "what was done stays done");
    let second = purge(&world, "/2").await;
    assert_eq!(server.done(), second);
    reconnect(&world, &n, &edge);
    server.until("its return", |it| it.duty(&n) == Duty::Counts && edge.trusts_its_copies()).await;
    assert!(server.standing(&n).settled >= second);
    server.crash();
}

#[tokio::test(start_paused = true)]
async fn edges_pass_a_lapsed_shield_and_it_trusts_nothing_before_it_has_settled_what_they_passed() {
    let (s, e, holds) = (shield("s"), behind("e", "s"), node("holds"));
    let world = World::new(vec![s.clone(), e.clone(), holds.clone()], 1);
    let (of_s, of_e) = (Edge::new(), Edge::new());
    let server = Server::start(&world, &[(&s, &of_s), (&e, &of_e)]).await;
    sleep(LENGTH).await;
    // What is shown done stays behind what the edge has settled.
    world.cache(&holds.id).down(Unreachable::Timeout);
    cut_off(&world, &s, &of_s);
    purge(&world, "/1").await;
    let second = purge(&world, "/2").await;
    let passed = |server: &Server| {
        let edge = server.standing(&e).settled;
        assert!(edge == Seq::ZERO || !of_s.trusts_its_copies(), "it fetches through a shield that trusts old copies");
        edge >= second
    };
    let waited = server.until("the edge behind it", passed).await;
    assert!(waited < LENGTH * 12 / 10, "{waited:?}");
    assert!(of_e.trusts_its_copies(), "which is reached, and not cut off with its shield");

    let back = Instant::now();
    reconnect(&world, &s, &of_s);
    world.cache(&s.id).follow(|_| Act::applied().after(Duration::from_secs(5)));
    // The edge passes it with these too, while it catches up.
    let mut passed = second;
    while server.duty(&s) == Duty::Lapsed {
        assert!(back.elapsed() < HOUR, "it returns");
        sleep(Duration::from_millis(300)).await;
        passed = passed.max(server.standing(&e).settled);
        purge(&world, "/more").await;
    }
    let last = passed;
    assert!(server.duty(&s) == Duty::Returning && server.standing(&s).settled < last, "{:?}", server.standing(&s));
    // From now on the edge waits for it again.
    let next = purge(&world, "/4").await;
    let granted = |server: &Server| {
        let (shield, edge) = (server.standing(&s).settled, server.standing(&e).settled);
        assert!(edge <= last || edge <= shield, "{edge} has passed {shield}");
        assert!(of_s.grants_since(back) == 0 || shield >= last, "an old copy comes by it to an edge that has {edge}");
        of_s.grants_since(back) > 0
    };
    server.until("a lease of the shield", granted).await;
    server.until("the next purge", |it| it.standing(&e).settled >= next).await;
    server.crash();
}

#[tokio::test(start_paused = true)]
async fn end_of_a_lease_is_shown_and_never_before_the_edge_has_lost_it() {
    let (n, edge) = (node("n"), Edge::new());
    let world = World::new(vec![n.clone()], 1);
    let server = Server::start(&world, &[(&n, &edge)]).await;
    let left = |server: &Server| {
        let end = server.standing(&n).lease_ends.expect("it needs leases");
        world.clock.wall().until(end)
    };
    sleep(LENGTH).await;
    for _ in 0..50 {
        sleep(Duration::from_millis(370)).await;
        let left = left(&server);
        // Counted from a clock that the edge named up to a third of a lease before, and renewed a third later.
        assert!(left > LENGTH * 3 / 10 && left < LENGTH * 12 / 10, "it is renewed in time: {left:?}");
    }
    cut_off(&world, &n, &edge);
    purge(&world, "/1").await;
    server.until("the end", |it| it.duty(&n) == Duty::Lapsed).await;
    assert!(left(&server).is_zero() && !edge.trusts_its_copies());
    // A clock that is set shows another time, of the same moment.
    reconnect(&world, &n, &edge);
    world.clock.jump(-100_000);
    server.until("a lease", |it| it.duty(&n) == Duty::Counts && edge.trusts_its_copies()).await;
    sleep(LENGTH).await;
    assert!(left(&server) < LENGTH * 12 / 10);
    edge.go(Way::NeedsNoLease);
    sleep(LENGTH).await;
    assert_eq!(server.standing(&n).lease_ends, None, "it has none to lose");
    server.crash();
}
