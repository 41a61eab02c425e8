//! Receipts that wait for the store, on paused time: what is sent meanwhile, and what is not shown.

use std::time::Duration;

use catharsis_core::invalidation::Seq;
use catharsis_core::limits::{BATCHES_AT_ONCE, RECEIPTS_WAITING, RELAY_BATCH};
use catharsis_core::receipt::Unreachable;
use catharsis_core::topology::{BoundedFence, Fence, Node};
use catharsis_testkit::fake_cache::{Act, Told};
use catharsis_testkit::plans::{behind, node, shield};
use catharsis_testkit::sim::{Chance, Server, World};
use catharsis_testkit::watched::{Faults, SLOW, Watch};
use tokio::time::{Instant, sleep};

const SECOND: Duration = Duration::from_secs(1);

/// Every write takes its time.
fn slow() -> Faults {
    Faults { slow: 100, ..Faults::default() }
}

/// No write is done.
fn failing() -> Faults {
    Faults { store_before: 100, ..Faults::default() }
}

/// One node with a store on which things go wrong.
struct Stage {
    node: Node,
    world: World,
    watch: Watch,
}

impl Stage {
    fn new(node: Node, faults: Faults) -> Self {
        Self { world: World::new(vec![node.clone()], 1), node, watch: Watch::new(faults, Chance::new(1)) }
    }

    async fn start(&self) -> Server {
        self.world.start_with(&self.watch).await
    }

    /// Purges one path; a second later, as simulated time goes, all that can happen at once has happened.
    async fn purge(&self, server: &Server, path: &str) {
        server.purge(&[path]).await;
        self.watch.accepted(&self.world);
        sleep(SECOND).await;
        self.watch.look(&self.world, &server.board);
    }

    /// Purges this many paths, and waits like [`Self::purge`].
    async fn purge_many(&self, server: &Server, count: usize) {
        let paths: Vec<String> = (0..count).map(|number| format!("/{number}")).collect();
        for part in paths.chunks(1_000) {
            server.purge(&part.iter().map(String::as_str).collect::<Vec<_>>()).await;
        }
        self.watch.accepted(&self.world);
        sleep(SECOND).await;
    }

    /// The positions that the node was told, in order.
    fn told(&self) -> Vec<u64> {
        self.world.cache(&self.node.id).told().iter().map(|(seq, _)| seq.0).collect()
    }

    fn kept(&self) -> Seq {
        self.world.store.cursor(&self.node.id, self.node.area).map_or(Seq::ZERO, |cursor| cursor.seq)
    }

    /// Where the receipts begin, in the order in which they were kept.
    fn receipts(&self) -> Vec<u64> {
        self.world.store.all_receipts().iter().map(|receipt| receipt.after.0).collect()
    }

    /// Waits until all is settled, and ends.
    async fn end(self, server: Server) {
        server.settled(&self.node).await;
        self.watch.look(&self.world, &server.board);
        server.stop().await;
        assert!(self.watch.broken().is_empty(), "{:#?}", self.watch.broken());
    }
}

#[tokio::test(start_paused = true)]
async fn next_batch_is_sent_while_a_receipt_is_being_kept() {
    let stage = Stage::new(node("n"), slow());
    let server = stage.start().await;
    stage.purge(&server, "/1").await;
    stage.purge(&server, "/2").await;
    assert_eq!((stage.told(), stage.kept()), (vec![1, 2], Seq::ZERO));
    let standing = server.board.standing(&stage.node.id).expect("on the board");
    assert_eq!((standing.applied, standing.settled), (Seq(2), Seq::ZERO));
    server.settled(&stage.node).await;
    assert_eq!(stage.receipts(), [0, 1]);
    stage.end(server).await;
}

#[tokio::test(start_paused = true)]
async fn node_is_told_no_more_than_the_store_can_soon_settle() {
    let stage = Stage::new(node("n"), failing());
    let server = stage.start().await;
    for path in ["/1", "/2", "/3", "/4", "/5", "/6"] {
        stage.purge(&server, path).await;
    }
    // One is being kept, and the worker has another in its hands.
    assert_eq!(stage.told().len(), RECEIPTS_WAITING + 2);
    stage.watch.spoil(Faults::default());
    server.settled(&stage.node).await;
    assert_eq!(stage.told(), [1, 2, 3, 4, 5, 6]);
    assert!(stage.receipts().is_sorted());
    stage.end(server).await;
}

#[tokio::test(start_paused = true)]
async fn receipt_that_failed_while_the_next_batch_was_out_is_kept_first() {
    let stage = Stage::new(node("n"), failing());
    let server = stage.start().await;
    stage.purge(&server, "/1").await;
    stage.world.cache(&stage.node.id).follow(|_| Act::applied().after(60 * SECOND));
    stage.purge(&server, "/2").await;
    stage.watch.spoil(Faults::default());
    server.settled_upto(&stage.node, Seq(1)).await;
    assert_eq!((stage.told(), stage.receipts()), (vec![1, 2], vec![0]));
    server.settled(&stage.node).await;
    assert_eq!((stage.told(), stage.receipts()), (vec![1, 2], vec![0, 1]));
    stage.end(server).await;
}

#[tokio::test(start_paused = true)]
async fn receipt_is_kept_although_the_next_batch_does_not_arrive() {
    let stage = Stage::new(node("n"), slow());
    let server = stage.start().await;
    stage.purge(&server, "/1").await;
    stage.world.cache(&stage.node.id).down(Unreachable::Timeout);
    stage.purge(&server, "/2").await;
    server.settled_upto(&stage.node, Seq(1)).await;
    stage.world.cache(&stage.node.id).up();
    stage.end(server).await;
}

#[tokio::test(start_paused = true)]
async fn worker_that_stops_settles_what_it_has_carried_out() {
    let stage = Stage::new(node("n"), slow());
    let server = stage.start().await;
    stage.purge(&server, "/1").await;
    stage.purge(&server, "/2").await;
    server.stop().await;
    assert_eq!(stage.kept(), Seq(2));
    let server = stage.start().await;
    stage.purge(&server, "/3").await;
    server.settled(&stage.node).await;
    assert_eq!(stage.told(), [1, 2, 3], "nothing is sent again");
    stage.end(server).await;
}

#[tokio::test(start_paused = true)]
async fn worker_that_stops_without_a_store_leaves_all_of_it_to_the_next() {
    let stage = Stage::new(node("n"), failing());
    let server = stage.start().await;
    stage.purge(&server, "/1").await;
    stage.purge(&server, "/2").await;
    server.stop().await;
    assert_eq!(stage.kept(), Seq::ZERO);
    stage.watch.spoil(Faults::default());
    let server = stage.start().await;
    server.settled(&stage.node).await;
    assert_eq!(stage.told(), [1, 2, 1, 2]);
    stage.end(server).await;
}

#[tokio::test(start_paused = true)]
async fn crash_sends_again_what_was_not_kept() {
    let stage = Stage::new(node("n"), slow());
    let server = stage.start().await;
    stage.purge(&server, "/1").await;
    sleep(SLOW).await;
    stage.purge(&server, "/2").await;
    stage.purge(&server, "/3").await;
    server.crash().await;
    assert_eq!(stage.kept(), Seq(1));
    let server = stage.start().await;
    server.settled(&stage.node).await;
    assert_eq!(stage.told(), [1, 2, 3, 2, 3]);
    stage.end(server).await;
}

#[tokio::test(start_paused = true)]
async fn repeats_of_a_fence_go_on_while_a_receipt_is_being_kept() {
    let fence = BoundedFence::new(vec![2 * SECOND], 5 * SECOND).expect("it rises");
    let stage = Stage::new(Node { fence: Fence::Bounded(fence), ..node("n") }, slow());
    let server = stage.start().await;
    let start = Instant::now();
    stage.purge(&server, "/1").await;
    sleep(5 * SECOND).await;
    stage.purge(&server, "/2").await;
    server.settled_upto(&stage.node, Seq(1)).await;
    let told = stage.world.cache(&stage.node.id).told();
    let told: Vec<_> = told.iter().map(|(seq, at)| (seq.0, at.duration_since(start).as_secs())).collect();
    assert_eq!(told, [(1, 0), (1, 2), (1, 5), (2, 6), (2, 8), (2, 11)]);
    assert_eq!(start.elapsed().as_secs(), 15, "five for the fence, ten for the store");
    stage.end(server).await;
}

#[tokio::test(start_paused = true)]
async fn edge_waits_for_what_its_shield_has_kept() {
    let (s, e) = (shield("s"), behind("e", "s"));
    let world = World::new(vec![s.clone(), e.clone()], 1);
    let watch = Watch::new(slow(), Chance::new(1));
    let server = world.start_with(&watch).await;
    for path in ["/1", "/2"] {
        server.purge(&[path]).await;
        watch.accepted(&world);
        sleep(SECOND).await;
    }
    assert_eq!((world.cache(&s.id).told().len(), world.cache(&e.id).told().len()), (2, 0));
    server.settled(&e).await;
    server.stop().await;
    assert!(watch.broken().is_empty(), "{:#?}", watch.broken());
}

#[tokio::test(start_paused = true)]
async fn backlog_of_many_batches_is_carried_out_once_and_settled_in_order() {
    let stage = Stage::new(node("n"), Faults { slow: 5, twice: 20, store_after: 20, ..Faults::default() });
    let server = stage.start().await;
    stage.world.cache(&stage.node.id).down(Unreachable::Timeout);
    let count = 4 * RELAY_BATCH + 100;
    stage.purge_many(&server, count).await;
    stage.world.cache(&stage.node.id).up();
    server.settled(&stage.node).await;
    let mut forgotten: Vec<u64> = stage.world.cache(&stage.node.id).forgotten().iter().map(|it| it.seq.0).collect();
    forgotten.sort_unstable();
    assert!(forgotten.iter().copied().eq(1..=count as u64), "each once: {} of {count}", forgotten.len());
    assert!(stage.receipts().is_sorted(), "{:?}", stage.receipts());
    stage.end(server).await;
}

#[tokio::test(start_paused = true)]
async fn next_batch_is_told_while_the_node_works_at_one_and_settled_behind_it() {
    let stage = Stage::new(node("n"), Faults::default());
    let server = stage.start().await;
    let first = RELAY_BATCH as u64;
    // What a batch begins with takes the node long; of the second batch, not as long as of the first.
    stage.world.cache(&stage.node.id).follow(move |told| match told {
        Told::Invalidation(one) if one.seq.0 == 1 => Act::applied().after(20 * SECOND),
        Told::Invalidation(one) if one.seq.0 % first == 1 => Act::applied().after(10 * SECOND),
        Told::Invalidation(_) | Told::Everything(_) => Act::applied(),
    });
    stage.purge_many(&server, 3 * RELAY_BATCH).await;
    assert_eq!(stage.told(), [1, 1 + first], "{BATCHES_AT_ONCE} batches at once");
    sleep(12 * SECOND).await;
    assert_eq!((stage.told().len(), stage.kept()), (1 + RELAY_BATCH, Seq::ZERO), "the second waits for the first");
    server.settled(&stage.node).await;
    assert_eq!(stage.receipts(), [0, first, 2 * first]);
    stage.end(server).await;
}
