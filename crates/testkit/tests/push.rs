//! The prefetch on paused time, with scripted nodes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use catharsis_core::area::{Area, AreaSet};
use catharsis_core::error::PurgeError;
use catharsis_core::plan::Caller;
use catharsis_core::ports::Clock;
use catharsis_core::push::ports::{Fetched, Fetcher, PushFilter, PushRow, PushStore};
use catharsis_core::push::service::PushService;
use catharsis_core::push::status::PushStatus;
use catharsis_core::push::worker::{PushWorker, Pusher};
use catharsis_core::push::{Layer, Playlist, PushFields, PushUrls, UserAgent};
use catharsis_core::receipt::Reason;
use catharsis_core::retry::RetryPolicy;
use catharsis_core::target::Encode;
use catharsis_core::topology::{BoundedFence, Fence, Node, NodeId};
use catharsis_testkit::fake_cache::Act;
use catharsis_testkit::fake_fetcher::{Answer, FakeFetcher};
use catharsis_testkit::plans::{ACCOUNT, OTHER, behind, node, shield};
use catharsis_testkit::sim::{Server, World};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

const MAINLAND: AreaSet = AreaSet::One(Area::Mainland);
const LANES: usize = 4;
const DEADLINE: Duration = Duration::from_secs(600);

/// A server with its prefetch.
struct Pushing {
    service: PushService,
    fetchers: HashMap<NodeId, FakeFetcher>,
    stop: CancellationToken,
    workers: Vec<JoinHandle<()>>,
}

fn start(world: &World, server: &Server) -> Pushing {
    let clock: Arc<dyn Clock> = Arc::new(world.clock.clone());
    let pushes: Arc<dyn PushStore> = Arc::new(world.store.clone());
    let pusher = Pusher {
        store: Arc::clone(&pushes),
        clock: Arc::clone(&clock),
        board: Arc::clone(&server.board),
        purges: Arc::clone(&server.service),
        retry: RetryPolicy::default(),
        lanes: LANES,
        deadline: DEADLINE,
    };
    let stop = CancellationToken::new();
    let mut fetchers = HashMap::new();
    let mut workers = Vec::new();
    for node in &world.nodes {
        let fetcher = FakeFetcher::default();
        fetchers.insert(node.id.clone(), fetcher.clone());
        let fetcher: Arc<dyn Fetcher> = Arc::new(fetcher);
        let worker = PushWorker::new(pusher.clone(), Arc::clone(node), fetcher, stop.clone());
        workers.push(tokio::spawn(worker.run()));
    }
    let board = Arc::clone(&server.board);
    let service = PushService::new(Arc::clone(&server.service), pushes, clock, board, DEADLINE);
    Pushing { service, fetchers, stop, workers }
}

fn request(paths: &[&str]) -> PushUrls {
    PushUrls {
        urls: paths.iter().map(|path| format!("http://a.test{path}").into()).collect(),
        areas: MAINLAND,
        layer: Layer::All,
        user_agent: UserAgent::default(),
        fields: PushFields::default(),
        playlist: Playlist::AsIs,
        encode: Encode::AsSubmitted,
        claim: None,
    }
}

impl Pushing {
    async fn push(&self, request: PushUrls) {
        self.service.push_urls(&Caller::root(ACCOUNT), request).await.expect("valid and within the quota");
    }

    fn at(&self, node: &Node) -> &FakeFetcher {
        self.fetchers.get(&node.id).expect("a node of this world")
    }

    async fn rows(&self) -> Vec<PushRow> {
        self.service.history(PushFilter::of(ACCOUNT), 0, 1_000).await.expect("memory never fails").rows
    }

    /// The rows, once nothing is open any more.
    async fn ended(&self) -> Vec<PushRow> {
        let start = Instant::now();
        loop {
            let rows = self.rows().await;
            if rows.iter().all(|row| row.percent == 100) {
                return rows;
            }
            assert!(start.elapsed() < 2 * DEADLINE, "it does not end: {rows:?}");
            // Simulated: it only lets the clock go on.
            sleep(Duration::from_millis(500)).await;
        }
    }

    async fn stop(self) {
        self.stop.cancel();
        for worker in self.workers {
            worker.await.expect("a worker never panics");
        }
    }
}

fn statuses(rows: &[PushRow]) -> Vec<PushStatus> {
    rows.iter().map(|row| row.status).collect()
}

fn paths(rows: &[PushRow]) -> Vec<&str> {
    rows.iter().map(|row| row.url.strip_prefix("http://a.test").expect("of a.test")).collect()
}

fn links(paths: &[&str]) -> Answer {
    let links = paths.iter().map(|path| format!("http://a.test{path}").into()).collect();
    Answer::Says(Fetched::Complete { status: 200, bytes: 100, links })
}

#[tokio::test(start_paused = true)]
async fn prefetch_waits_for_the_last_repetition_of_earlier_purges_and_no_longer() {
    let seconds = Duration::from_secs;
    let fence = BoundedFence::new(vec![seconds(2)], seconds(45)).expect("it rises");
    let n = Node { fence: Fence::Bounded(fence), ..node("n") };
    let world = World::new(vec![n.clone()], 1);
    let server = world.start().await;
    let pushing = start(&world, &server);
    let begun = Instant::now();
    server.purge(&["/1"]).await;
    pushing.push(request(&["/1"])).await;
    sleep(seconds(10)).await;
    server.purge(&["/2"]).await;
    let rows = pushing.ended().await;
    let fetched = pushing.at(&n).asked_at("http://a.test/1");
    let times: Vec<u64> = fetched.iter().map(|at| at.duration_since(begun).as_secs()).collect();
    assert_eq!(times, [45]);
    assert_eq!(statuses(&rows), [PushStatus::Done]);
    pushing.stop().await;
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn edge_fetches_after_its_shield_and_others_meanwhile() {
    let (s, e, alone) = (shield("s"), behind("e", "s"), node("alone"));
    let world = World::new(vec![e.clone(), s.clone(), alone.clone()], 1);
    let server = world.start().await;
    let pushing = start(&world, &server);
    pushing.at(&s).script("http://a.test/1", [Answer::Hangs]);
    pushing.push(request(&["/1", "/2"])).await;
    pushing.at(&e).asked_times(1).await;
    pushing.at(&alone).asked_times(2).await;
    assert_eq!(pushing.at(&e).asked(), ["http://a.test/2"]);
    sleep(DEADLINE / 2).await;
    assert_eq!(pushing.rows().await[0].percent, 33);
    let rows = pushing.ended().await;
    assert_eq!(statuses(&rows), [PushStatus::Fail, PushStatus::Done]);
    assert_eq!(pushing.at(&e).asked(), ["http://a.test/2"], "past the deadline nothing is begun");
    pushing.stop().await;
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn each_way_to_end_is_told_by_name() {
    let n = node("n");
    let world = World::new(vec![n.clone()], 1);
    let server = world.start().await;
    let pushing = start(&world, &server);
    let broken = || Answer::Says(Fetched::Failed(Reason::new("the body broke off")));
    let says = |status| Answer::Says(Fetched::Status(status));
    let whole = Answer::Says(Fetched::Complete { status: 200, bytes: 1, links: Vec::new() });
    pushing.at(&n).script("http://a.test/late", [broken(), says(503), whole]);
    pushing.at(&n).script("http://a.test/broken", [broken()]);
    pushing.at(&n).script("http://a.test/dead", [says(502)]);
    pushing.at(&n).script("http://a.test/gone", [says(404)]);
    pushing.at(&n).script("http://a.test/never", [Answer::Says(Fetched::Impossible(Reason::new("no address")))]);
    let urls = ["/late", "/broken", "/dead", "/gone", "/never"];
    pushing.push(request(&urls)).await;
    let rows = pushing.ended().await;
    let expect = [PushStatus::Done, PushStatus::Fail, PushStatus::Fail, PushStatus::Invalid, PushStatus::Fail];
    assert_eq!(statuses(&rows), expect);
    let why: Vec<&str> = rows.iter().map(|row| row.why.as_deref().unwrap_or("")).collect();
    assert_eq!(
        (why[0], why[1], why[3], why[4]),
        ("", "n: the body broke off", "n: the origin answered 404", "n: no address")
    );
    assert!(why[2].contains("502"), "{why:?}");
    let asked: Vec<usize> =
        urls.iter().map(|path| pushing.at(&n).asked_at(&format!("http://a.test{path}")).len()).collect();
    assert_eq!(asked, [3, 3, 3, 1, 1]);
    pushing.stop().await;
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn area_without_a_node_is_no_silent_success() {
    let world = World::new(vec![node("n")], 1);
    let server = world.start().await;
    let pushing = start(&world, &server);
    let overseas = AreaSet::One(Area::Overseas);
    pushing.push(PushUrls { areas: overseas, ..request(&["/1"]) }).await;
    pushing.push(PushUrls { areas: AreaSet::Global, ..request(&["/2"]) }).await;
    assert_eq!(statuses(&pushing.ended().await), [PushStatus::Fail, PushStatus::Fail]);
    pushing.stop().await;
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn node_is_asked_for_a_few_urls_at_once_and_a_slow_node_delays_only_itself() {
    let (slow, quick) = (node("slow"), node("quick"));
    let world = World::new(vec![slow.clone(), quick.clone()], 1);
    let server = world.start().await;
    let pushing = start(&world, &server);
    let urls: Vec<String> = (0..10).map(|n| format!("/{n}")).collect();
    for url in &urls {
        pushing.at(&slow).script(&format!("http://a.test{url}"), [Answer::Hangs]);
    }
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    pushing.push(request(&urls)).await;
    pushing.at(&quick).asked_times(10).await;
    sleep(Duration::from_secs(60)).await;
    assert_eq!(pushing.at(&slow).asked().len(), LANES / 2, "half of the lanes are for other accounts");
    assert!(pushing.rows().await.iter().all(|row| row.percent == 50));
    pushing.stop().await;
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn account_whose_origin_hangs_does_not_stop_the_others() {
    let n = node("n");
    let world = World::new(vec![n.clone()], 1);
    let server = world.start().await;
    let pushing = start(&world, &server);
    let urls: Vec<String> = (0..50).map(|n| format!("/{n}")).collect();
    for url in &urls {
        pushing.at(&n).script(&format!("http://a.test{url}"), [Answer::Hangs]);
    }
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    pushing.push(request(&urls)).await;
    pushing.at(&n).asked_times(LANES / 2).await;
    let others = PushUrls { urls: (0..20).map(|n| format!("http://b.test/{n}").into()).collect(), ..request(&[]) };
    pushing.service.push_urls(&Caller::root(OTHER), others).await.expect("valid and within the quota");
    pushing.at(&n).asked_times(LANES / 2 + 20).await;
    sleep(Duration::from_secs(1)).await;
    let done = PushFilter { status: Some(PushStatus::Done), ..PushFilter::of(OTHER) };
    assert_eq!(pushing.service.history(done, 0, 0).await.expect("memory never fails").total, 20);
    pushing.stop().await;
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn restart_in_the_middle_goes_on_where_it_was() {
    let n = node("n");
    let world = World::new(vec![n.clone()], 1);
    let server = world.start().await;
    let pushing = start(&world, &server);
    pushing.at(&n).script("http://a.test/2", [Answer::Hangs]);
    pushing.push(request(&["/1", "/2"])).await;
    pushing.at(&n).asked_times(2).await;
    sleep(Duration::from_secs(1)).await;
    pushing.stop().await;
    server.crash().await;

    let server = world.start().await;
    let pushing = start(&world, &server);
    assert_eq!(statuses(&pushing.ended().await), [PushStatus::Done, PushStatus::Done]);
    assert_eq!(pushing.at(&n).asked(), ["http://a.test/2"]);
    pushing.stop().await;
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn node_that_cannot_settle_earlier_purges_fails_at_the_deadline() {
    let n = node("n");
    let world = World::new(vec![n.clone()], 1);
    world.cache(&n.id).follow(|_| Act::applied().after(2 * DEADLINE));
    let server = world.start().await;
    let pushing = start(&world, &server);
    server.purge(&["/1"]).await;
    pushing.push(request(&["/1"])).await;
    let rows = pushing.ended().await;
    assert_eq!(statuses(&rows), [PushStatus::Fail]);
    assert!(rows[0].why.as_deref().is_some_and(|why| why.contains("earlier purges")), "{rows:?}");
    assert_eq!(pushing.at(&n).asked(), [""; 0]);
    pushing.stop().await;
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn playlists_are_followed_three_levels_deep_and_only_when_asked() {
    let n = node("n");
    let world = World::new(vec![n.clone()], 1);
    let server = world.start().await;
    let pushing = start(&world, &server);
    pushing.at(&n).script("http://a.test/m", [links(&["/v", "/1"])]);
    pushing.at(&n).script("http://a.test/v", [links(&["/m", "/w"])]);
    pushing.at(&n).script("http://a.test/w", [links(&["/x", "/2"])]);
    pushing.push(PushUrls { playlist: Playlist::Expand, ..request(&["/m"]) }).await;
    let rows = pushing.ended().await;
    assert_eq!(paths(&rows), ["/m", "/v", "/1", "/w", "/x", "/2"]);
    assert_eq!(statuses(&rows), [PushStatus::Done; 6]);
    let levels: Vec<Playlist> =
        ["/m", "/v", "/w", "/x"].iter().map(|path| pushing.at(&n).asked_as(&format!("http://a.test{path}"))).collect();
    assert_eq!(levels, [Playlist::Expand, Playlist::Expand, Playlist::Expand, Playlist::AsIs]);
    pushing.stop().await;
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn quota_is_exactly_used_by_what_playlists_name() {
    let n = node("n");
    let world = World::new(vec![n.clone()], 1);
    let server = world.start().await;
    let pushing = start(&world, &server);
    let urls: Vec<String> = (0..500).map(|n| format!("/{n}")).collect();
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    pushing.push(request(&urls)).await;
    pushing.push(request(&urls[..490])).await;
    let many: Vec<String> = (0..30).map(|n| format!("/s{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    pushing.at(&n).script("http://a.test/m", [links(&many)]);
    pushing.push(PushUrls { playlist: Playlist::Expand, ..request(&["/m"]) }).await;
    let start = Instant::now();
    let filter = || PushFilter { status: Some(PushStatus::Done), ..PushFilter::of(ACCOUNT) };
    while pushing.service.history(filter(), 0, 0).await.expect("memory never fails").total < 1_000 {
        assert!(start.elapsed() < DEADLINE, "they do not end");
        sleep(Duration::from_millis(500)).await;
    }
    let used = server.service.quota(ACCOUNT).await.expect("an account").used;
    assert_eq!((used.push.mainland, used.push.overseas, used.url.mainland), (1_000, 0, 0));
    let refused = pushing.service.push_urls(&Caller::root(ACCOUNT), request(&["/more"])).await;
    assert!(matches!(refused, Err(PurgeError::QuotaExceeded(_))), "{refused:?}");
    let refused = pushing.service.rehearse(&Caller::root(ACCOUNT), request(&["/more"])).await;
    assert!(matches!(refused, Err(PurgeError::QuotaExceeded(_))), "{refused:?}");
    pushing.stop().await;
    server.stop().await;
}
