//! The relay behind an origin hop, on paused time: when a receipt comes, and what it waits for.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use catharsis_core::area::AreaSet;
use catharsis_core::invalidation::Seq;
use catharsis_core::ports::{Hop, Membership, Store};
use catharsis_core::receipt::{Reason, Unreachable};
use catharsis_core::topology::{Fence, FenceStrength, Node, NodeKind};
use catharsis_testkit::fake_cache::Told;
use catharsis_testkit::plans::{behind, plan, shield};
use catharsis_testkit::sim::{Server, World, Wrap};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

/// A hop whose landings a test decides.
#[derive(Clone)]
struct FakeHop(watch::Sender<Result<Seq, Unreachable>>);

impl FakeHop {
    fn new() -> Self {
        Self(watch::Sender::new(Ok(Seq::ZERO)))
    }

    fn lands(&self, upto: u64) {
        drop(self.0.send_replace(Ok(Seq(upto))));
    }
}

#[async_trait]
impl Hop for FakeHop {
    async fn landed(&self, known: Seq, upto: Seq) -> Result<Seq, Unreachable> {
        let mut state = self.0.subscribe();
        let news = state.wait_for(|state| state.as_ref().map_or(true, |landed| *landed > known));
        match timeout(Duration::from_secs(5), news).await {
            Ok(state) => state.expect("the sender is this one's own").clone().map(|landed| landed.min(upto)),
            Err(_) => Ok(known),
        }
    }
}

impl Wrap for FakeHop {
    fn hop(&self, _world: &World, node: &Arc<Node>) -> Option<Arc<dyn Hop>> {
        (node.fence == Fence::Hop).then(|| Arc::new(self.clone()) as Arc<dyn Hop>)
    }
}

fn nodes() -> (Node, Node) {
    let hop = Node { kind: NodeKind::Edge, ..shield("hop") };
    (hop, Node { fence: Fence::Hop, ..behind("cache", "hop") })
}

fn settled(server: &Server, node: &Node) -> Seq {
    server.board.standing(&node.id).expect("a node on the board").settled
}

/// A response that a purge overtook is on its way until the last position that names it, if a later purge stands for it:
/// then the earlier one would be taken for landed.
#[tokio::test(start_paused = true)]
async fn hop_is_told_of_each_purge_by_itself_and_its_cache_what_says_it_all() {
    let (above, cache) = nodes();
    let world = World::new(vec![above.clone(), cache.clone()], 1);
    let hop = FakeHop::new();
    hop.lands(9);
    let server = world.start_with(&hop).await;
    server.purge(&["/1", "/2", "/1"]).await;
    server.settled(&cache).await;
    let told = |node: &Node| world.cache(&node.id).told().iter().map(|(seq, _)| seq.0).collect::<Vec<_>>();
    assert_eq!(told(&above), [1, 2, 3]);
    assert_eq!(told(&cache), [2, 3, 2, 3], "and once more when all has landed");
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn cache_behind_a_hop_is_told_at_once_and_settles_when_all_has_landed() {
    let (above, cache) = nodes();
    let world = World::new(vec![above, cache.clone()], 1);
    let hop = FakeHop::new();
    let server = world.start_with(&hop).await;
    let start = Instant::now();
    server.purge(&["/1", "/2"]).await;
    sleep(Duration::from_secs(3)).await;
    assert_eq!(world.cache(&cache.id).told().len(), 2, "each is told at once");
    assert_eq!(settled(&server, &cache), Seq::ZERO);

    hop.lands(1);
    server.settled_upto(&cache, Seq(1)).await;
    sleep(Duration::from_secs(60)).await;
    assert_eq!(settled(&server, &cache), Seq(1), "the second is still on its way");
    hop.lands(2);
    server.settled_upto(&cache, Seq(2)).await;
    let told = world.cache(&cache.id).told();
    assert_eq!(told.iter().map(|(seq, _)| seq.0).collect::<Vec<_>>(), [1, 2, 1, 2]);
    let receipts = world.store.receipts(cache.area, Seq(2), Seq(2)).await.expect("memory never fails");
    let receipt = receipts.iter().find(|it| it.node == cache.id).expect("a receipt of the cache");
    assert_eq!(receipt.fence, FenceStrength::Hop);
    assert!(receipt.waited >= Duration::from_secs(63) && receipt.waited <= start.elapsed(), "{receipt:?}");
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn hop_that_cannot_be_asked_is_the_trouble_of_the_cache_and_its_receipt_waits() {
    let (above, cache) = nodes();
    let world = World::new(vec![above, cache.clone()], 1);
    let hop = FakeHop::new();
    drop(hop.0.send_replace(Err(Unreachable::Connect(Reason::new("refused")))));
    let server = world.start_with(&hop).await;
    server.purge(&["/1"]).await;
    sleep(Duration::from_secs(30)).await;
    let standing = server.board.standing(&cache.id).expect("a node on the board");
    assert_eq!(standing.settled, Seq::ZERO);
    let trouble = standing.trouble.expect("it is shown why").why.to_string();
    assert!(trouble.contains("origin hop") && trouble.contains("refused"), "{trouble}");
    hop.lands(1);
    server.settled(&cache).await;
    assert_eq!(server.board.standing(&cache.id).expect("a node on the board").trouble, None);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn cache_of_unknown_content_behind_a_hop_joins_when_all_has_landed() {
    let (above, cache) = nodes();
    let world = World::new(vec![above, cache.clone()], 1);
    let old = plan(0, &["http://a.test/0", "http://a.test/1"], AreaSet::Global);
    world.store.submit(old).await.expect("memory never fails");
    let hop = FakeHop::new();
    let everything = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let count = Arc::clone(&everything);
    world.cache(&cache.id).follow(move |told| {
        if let Told::Everything(_) = told {
            count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
        catharsis_testkit::fake_cache::Act::applied()
    });
    let server = world.start_with(&hop).await;
    sleep(Duration::from_secs(30)).await;
    let standing = server.board.standing(&cache.id).expect("a node on the board");
    assert_eq!(standing.membership, Membership::Joining);
    assert_eq!(everything.load(std::sync::atomic::Ordering::Relaxed), 1);
    hop.lands(2);
    server.settled(&cache).await;
    assert_eq!(everything.load(std::sync::atomic::Ordering::Relaxed), 2, "once more after the last has landed");
    server.stop().await;
}
