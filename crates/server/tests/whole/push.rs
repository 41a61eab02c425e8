//! Prefetches through real caches: what a client asks for next is a hit.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use catharsis_adapters::clock::SystemClock;
use catharsis_adapters::fetch::{FetchLimits, HttpFetcher, NoTraffic};
use catharsis_adapters::purger::edge::EdgePurger;
use catharsis_adapters::purger::nginx::NginxPurger;
use catharsis_adapters::purger::squid::SquidPurger;
use catharsis_adapters::purger::trafficserver::TrafficServerPurger;
use catharsis_adapters::purger::varnish::VarnishPurger;
use catharsis_adapters::purger::{HttpLimits, NodeAddress};
use catharsis_adapters::store::sqlite::{SqliteOptions, SqliteStore};
use catharsis_core::account::Account;
use catharsis_core::area::{Area, AreaSet};
use catharsis_core::board::Board;
use catharsis_core::domain::{Directory, Domain, DomainName, DomainStatus};
use catharsis_core::invalidation::Seq;
use catharsis_core::keys::Bytewise;
use catharsis_core::plan::{Caller, Purge};
use catharsis_core::ports::{Clock, Log, Purger, Store};
use catharsis_core::push::ports::{Fetcher, PushFilter, PushRow, PushStore};
use catharsis_core::push::service::PushService;
use catharsis_core::push::status::PushStatus;
use catharsis_core::push::worker::{PushWorker, Pusher};
use catharsis_core::push::{Layer, Playlist, PushFields, PushUrls, UserAgent};
use catharsis_core::relay::{Relay as Engine, Worker};
use catharsis_core::retry::RetryPolicy;
use catharsis_core::service::PurgeService;
use catharsis_core::target::{Encode, Mode};
use catharsis_core::task::TaskKind;
use catharsis_core::topology::{BoundedFence, Fence, Join, Node, NodeKind, Topology};
use catharsis_edge::config::{HostPattern, Route, Upstream};
use catharsis_edge::{Edge, EdgeConfig, RunningEdge};
use catharsis_testkit::caches::{RealCache, Relay};
use catharsis_testkit::client::{Fetched, get};
use catharsis_testkit::origin::Origin;
use catharsis_testkit::plans::{ACCOUNT, behind, node, shield};
use catharsis_testkit::sim::Silence;
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const HOST: &str = "www.a.test";
/// Against hanging for ever only.
const PATIENCE: Duration = Duration::from_secs(60);

/// A node and where it is.
#[derive(Clone)]
struct Place {
    node: Node,
    purge: SocketAddr,
    traffic: Option<SocketAddr>,
}

impl Place {
    fn of(node: Node, kind: NodeKind, purge: SocketAddr, traffic: SocketAddr) -> Self {
        let repeat = Duration::from_millis(300);
        let fence = match kind {
            NodeKind::Edge | NodeKind::SquidAgent => Fence::Exact,
            NodeKind::Varnish | NodeKind::Nginx | NodeKind::NginxAgent | NodeKind::Squid | NodeKind::TrafficServer => {
                Fence::Bounded(BoundedFence::new(vec![repeat], 5 * repeat).expect("it rises"))
            }
        };
        Self { node: Node { kind, fence, join: Join::Empty, ..node }, purge, traffic: Some(traffic) }
    }

    fn cache(node: Node, kind: NodeKind, cache: &RealCache) -> Self {
        Self::of(node, kind, cache.purge, cache.traffic)
    }

    fn purger(&self, log_id: &str) -> Arc<dyn Purger> {
        let (address, limits) = (NodeAddress::from(self.purge), HttpLimits::default());
        match self.node.kind {
            NodeKind::Varnish => Arc::new(VarnishPurger::new(address, limits, Arc::new(Bytewise::default()))),
            NodeKind::Nginx => Arc::new(NginxPurger::new(address, limits, Arc::new(Bytewise::default()))),
            NodeKind::TrafficServer => {
                Arc::new(TrafficServerPurger::new(address, limits, Arc::new(Bytewise::default())))
            }
            NodeKind::Squid => Arc::new(SquidPurger::new(address, limits, Arc::new(Bytewise::default()))),
            NodeKind::Edge | NodeKind::NginxAgent | NodeKind::SquidAgent => {
                Arc::new(EdgePurger::new(address, limits, log_id, None).expect("a valid name"))
            }
        }
    }

    fn fetcher(&self) -> Arc<dyn Fetcher> {
        match self.traffic {
            Some(traffic) => Arc::new(HttpFetcher::new(NodeAddress::from(traffic), FetchLimits::default())),
            None => Arc::new(NoTraffic),
        }
    }

    async fn get(&self, path: &str) -> Fetched {
        get(self.traffic.expect("a node with clients"), HOST, path, &[]).await
    }
}

/// A running installation, without its HTTP doors.
struct Installation {
    store: Arc<SqliteStore>,
    purges: Arc<PurgeService>,
    pushes: PushService,
    stop: CancellationToken,
    workers: JoinSet<()>,
}

fn directory() -> Directory {
    let domain = Domain {
        name: DomainName::parse("*.a.test").expect("a name"),
        owner: ACCOUNT,
        areas: AreaSet::Global,
        status: DomainStatus::Online,
        keys: Arc::default(),
    };
    Directory::new([(ACCOUNT, Account::default())], [domain]).expect("names differ")
}

impl Installation {
    async fn start(folder: &Path, places: &[Place]) -> Self {
        let (store, log) = SqliteStore::open(&folder.join("db"), SqliteOptions::default()).expect("it opens");
        let (store, log): (Arc<SqliteStore>, Arc<dyn Log>) = (Arc::new(store), Arc::new(log));
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let topology = Topology::new(places.iter().map(|place| place.node.clone()).collect()).expect("they fit");
        let cursors = store.cursors(topology.nodes()).await.expect("readable");
        let board = Arc::new(Board::new(topology.nodes(), cursors, Arc::clone(&log)));
        let retry = RetryPolicy { first: Duration::from_millis(20), max: Duration::from_millis(200) };
        let engine = Engine {
            log: Arc::clone(&log),
            store: Arc::clone(&store) as Arc<dyn Store>,
            clock: Arc::clone(&clock),
            board: Arc::clone(&board),
            observer: Arc::new(Silence),
            retry,
        };
        let (as_store, as_pushes) = (Arc::clone(&store) as Arc<dyn Store>, Arc::clone(&store) as Arc<dyn PushStore>);
        let directory = Arc::new(directory());
        let purges = PurgeService::new(
            Arc::clone(&as_store),
            log,
            Arc::clone(&clock),
            Arc::clone(&board),
            Arc::new(move || Arc::clone(&directory)),
            PATIENCE,
        );
        let purges = Arc::new(purges);
        let pusher = Pusher {
            store: Arc::clone(&as_pushes),
            clock: Arc::clone(&clock),
            board: Arc::clone(&board),
            purges: Arc::clone(&purges),
            retry,
            lanes: 8,
            deadline: PATIENCE,
        };
        let (stop, mut workers) = (CancellationToken::new(), JoinSet::new());
        for (node, place) in topology.nodes().iter().zip(places) {
            let purger = place.purger(store.log_id());
            workers.spawn(Worker::new(engine.clone(), Arc::clone(node), purger, stop.clone()).run());
            workers.spawn(PushWorker::new(pusher.clone(), Arc::clone(node), place.fetcher(), stop.clone()).run());
        }
        let pushes = PushService::new(Arc::clone(&purges), as_pushes, clock, board, PATIENCE);
        Self { store, purges, pushes, stop, workers }
    }

    async fn push(&self, request: PushUrls) {
        self.pushes.push_urls(&Caller::root(ACCOUNT), request).await.expect("valid and within the quota");
    }

    async fn purge(&self, path: &str) {
        let request = Purge {
            kind: TaskKind::Url,
            mode: Mode::Delete,
            items: vec![url(path)],
            area: Some(Area::Mainland),
            encode: Encode::AsSubmitted,
            claim: None,
            notify: Vec::new(),
        };
        self.purges.purge(&Caller::root(ACCOUNT), request).await.expect("valid and within the quota");
    }

    /// The rows, once no fetch is open.
    async fn ended(&self) -> Vec<PushRow> {
        let look = async {
            loop {
                let page = self.pushes.history(PushFilter::of(ACCOUNT), 0, 1_000).await.expect("readable");
                if page.rows.iter().all(|row| row.percent == 100) {
                    return page.rows;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, look).await.expect("it ends")
    }

    /// Waits until every node has settled the purges up to there, repetitions included.
    async fn purged(&self, upto: Seq) {
        let look = async {
            while self.purges.view().watermark.mainland < upto {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, look).await.expect("it settles");
    }

    async fn stop(mut self) {
        self.stop.cancel();
        while let Some(ended) = self.workers.join_next().await {
            ended.expect("a worker never panics");
        }
        self.store.close().await;
    }
}

fn url(path: &str) -> Box<str> {
    format!("http://{HOST}{path}").into()
}

fn request(paths: &[&str]) -> PushUrls {
    PushUrls {
        urls: paths.iter().map(|path| url(path)).collect(),
        areas: AreaSet::One(Area::Mainland),
        layer: Layer::All,
        user_agent: UserAgent::default(),
        fields: PushFields::default(),
        playlist: Playlist::AsIs,
        encode: Encode::AsSubmitted,
        claim: None,
    }
}

fn statuses(rows: &[PushRow]) -> Vec<PushStatus> {
    rows.iter().map(|row| row.status).collect()
}

/// A built-in edge that asks this upstream.
fn edge(upstream: SocketAddr) -> RunningEdge {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let route = Route { hosts: HostPattern::Any, upstream: Upstream::Address(upstream) };
    Edge::start(&EdgeConfig::new("edge", any, any, vec![route])).expect("it starts")
}

/// The three kinds of caches, each in front of the origin.
struct Caches {
    places: Vec<Place>,
    edge: RunningEdge,
    _real: [RealCache; 2],
}

async fn caches(origin: &Origin) -> Caches {
    let varnish = RealCache::varnish(origin.address(), Relay::Allowed).await;
    let nginx = RealCache::nginx(origin.address(), Relay::Allowed).await;
    let edge = edge(origin.address());
    let places = vec![
        Place::of(node("edge"), NodeKind::Edge, edge.control_addr(), edge.traffic_addr()),
        Place::cache(node("varnish"), NodeKind::Varnish, &varnish),
        Place::cache(node("nginx"), NodeKind::Nginx, &nginx),
    ];
    Caches { places, edge, _real: [varnish, nginx] }
}

/// Each of them answers this, and none asks the origin for it.
async fn assert_hits(places: &[Place], origin: &Origin, path: &str, body: &str) {
    let before = origin.requests(path);
    for place in places {
        let answer = place.get(path).await;
        assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, body), "{path} at {}", place.node.id);
        assert_eq!(origin.requests(path), before, "{path} is no hit at {}", place.node.id);
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a writable temporary directory")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_prefetch_makes_the_next_request_a_hit_at_every_kind_of_cache() {
    let origin = Origin::start().await;
    let caches = caches(&origin).await;
    let folder = folder();
    let installation = Installation::start(folder.path(), &caches.places).await;
    origin.set_padding("/large", 3 << 20);
    let paths = ["/1", "/2?a=b", "/%7Ea", "/large"];
    installation.push(request(&paths)).await;
    assert_eq!(statuses(&installation.ended().await), [PushStatus::Done; 4]);
    for path in paths {
        assert_eq!(origin.requests(path), 3, "each cache fetched {path} once");
    }
    for path in &paths[..3] {
        assert_hits(&caches.places, &origin, path, "v1").await;
    }
    assert_hits(&caches.places, &origin, "/large", &format!("v1{}", "x".repeat(3 << 20))).await;
    installation.stop().await;
    caches.edge.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_purge_and_then_prefetch_ends_with_the_new_version_a_hit() {
    let origin = Origin::start().await;
    let caches = caches(&origin).await;
    let folder = folder();
    let installation = Installation::start(folder.path(), &caches.places).await;
    for place in &caches.places {
        assert_eq!(place.get("/1").await.body, "v1");
    }
    origin.set_version("/1", 2);
    installation.purge("/1").await;
    installation.push(request(&["/1"])).await;
    assert_eq!(statuses(&installation.ended().await), [PushStatus::Done]);
    installation.purged(Seq(1)).await;
    assert_hits(&caches.places, &origin, "/1", "v2").await;
    installation.stop().await;
    caches.edge.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_edges_fill_from_their_shield_and_the_middle_layer_only_it() {
    let origin = Origin::start().await;
    let varnish = RealCache::varnish(origin.address(), Relay::Allowed).await;
    let nginx = RealCache::nginx(varnish.traffic, Relay::Allowed).await;
    let edge = edge(varnish.traffic);
    let places = [
        Place::of(behind("e", "s"), NodeKind::Edge, edge.control_addr(), edge.traffic_addr()),
        Place::cache(behind("n", "s"), NodeKind::Nginx, &nginx),
        Place::cache(shield("s"), NodeKind::Varnish, &varnish),
    ];
    let folder = folder();
    let installation = Installation::start(folder.path(), &places).await;
    installation.push(request(&["/all"])).await;
    installation.push(PushUrls { layer: Layer::Shields, ..request(&["/middle"]) }).await;
    assert_eq!(statuses(&installation.ended().await), [PushStatus::Done; 2]);
    assert_eq!((origin.requests("/all"), origin.requests("/middle")), (1, 1));
    assert_hits(&places, &origin, "/all", "v1").await;
    assert_hits(&places[2..], &origin, "/middle", "v1").await;
    // Without the shield an edge can answer only what it holds itself.
    drop(varnish);
    assert_eq!(places[0].get("/all").await.body, "v1");
    assert_ne!(places[0].get("/middle").await.status.as_u16(), 200, "the edge was not to fetch it");
    installation.stop().await;
    edge.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_dead_origin_fails_a_missing_page_is_invalid_and_a_node_without_clients_says_so() {
    let origin = Origin::start().await;
    let dead = Origin::start().await;
    let caches = caches(&origin).await;
    let lost = RealCache::varnish(dead.address(), Relay::Allowed).await;
    let lost_nginx = RealCache::nginx(dead.address(), Relay::Allowed).await;
    let lost_edge = edge(dead.address());
    drop(dead);
    origin.set_status("/gone", 404);
    let overseas = |id: &str| Node { area: Area::Overseas, ..node(id) };
    let mut places = caches.places.clone();
    places.extend([
        Place::cache(overseas("lost-varnish"), NodeKind::Varnish, &lost),
        Place::cache(overseas("lost-nginx"), NodeKind::Nginx, &lost_nginx),
        Place::of(overseas("lost-edge"), NodeKind::Edge, lost_edge.control_addr(), lost_edge.traffic_addr()),
    ]);
    let folder_1 = folder();
    let installation = Installation::start(folder_1.path(), &places).await;
    installation.push(request(&["/gone"])).await;
    installation.push(PushUrls { areas: AreaSet::One(Area::Overseas), ..request(&["/x"]) }).await;
    let rows = installation.ended().await;
    let invalid = rows.iter().find(|row| row.url.ends_with("/gone")).expect("it is listed");
    assert_eq!((invalid.status, invalid.why.as_deref()), (PushStatus::Invalid, Some("edge: the origin answered 404")));
    let failed = rows.iter().find(|row| row.url.ends_with("/x")).expect("it is listed");
    assert_eq!(failed.status, PushStatus::Fail);
    assert!(failed.why.as_deref().is_some_and(|why| why.contains("no answer from the origin")), "{failed:?}");
    installation.stop().await;

    let mut mute = caches.places[1].clone();
    mute.traffic = None;
    let folder_2 = folder();
    let installation = Installation::start(folder_2.path(), &[mute]).await;
    installation.push(request(&["/1"])).await;
    let rows = installation.ended().await;
    assert_eq!(rows[0].status, PushStatus::Fail);
    assert!(rows[0].why.as_deref().is_some_and(|why| why.contains("no `traffic` address")), "{rows:?}");
    installation.stop().await;
    caches.edge.stop().await;
    lost_edge.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_restart_in_the_middle_goes_on() {
    let origin = Origin::start().await;
    let caches = caches(&origin).await;
    let folder = folder();
    origin.hold("/slow");
    let installation = Installation::start(folder.path(), &caches.places).await;
    installation.push(request(&["/1", "/slow"])).await;
    origin.requested("/slow", 3).await;
    installation.stop().await;

    origin.release("/slow");
    let installation = Installation::start(folder.path(), &caches.places).await;
    assert_eq!(statuses(&installation.ended().await), [PushStatus::Done; 2]);
    for path in ["/1", "/slow"] {
        assert_hits(&caches.places, &origin, path, "v1").await;
    }
    installation.stop().await;
    caches.edge.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_playlist_of_two_levels_is_fetched_down_to_its_segments() {
    let origin = Origin::start().await;
    let caches = caches(&origin).await;
    let folder = folder();
    let installation = Installation::start(folder.path(), &caches.places).await;
    origin.set_text("/f/m.m3u8", "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlow/l.m3u8\n");
    origin.set_text("/f/low/l.m3u8", "#EXTM3U\n#EXTINF:6,\n1.ts\n#EXTINF:6,\n../2.ts\nhttp://other.test/3.ts\n");
    installation.push(PushUrls { playlist: Playlist::Expand, ..request(&["/f/m.m3u8"]) }).await;
    let rows = installation.ended().await;
    let urls: Vec<&str> = rows.iter().map(|row| &*row.url).collect();
    let expect = ["/f/m.m3u8", "/f/low/l.m3u8", "/f/low/1.ts", "/f/2.ts"].map(|path| String::from(url(path)));
    assert_eq!(urls, expect);
    assert_eq!(statuses(&rows), [PushStatus::Done; 4]);
    for path in ["/f/low/1.ts", "/f/2.ts"] {
        assert_hits(&caches.places, &origin, path, "v1").await;
    }
    let used = installation.purges.quota(ACCOUNT).await.expect("an account").used;
    assert_eq!((used.push.mainland, used.push.overseas), (4, 0));
    installation.stop().await;
    caches.edge.stop().await;
}
