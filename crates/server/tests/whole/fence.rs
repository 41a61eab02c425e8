//! Done means gone, with an origin fetch open across the purge.
//!
//! The origin takes two seconds for the old version. The purge comes in between, and the new version
//! is answered at once. After `done`, nobody may see the old version: neither when the old fetch ends
//! before the first new request, nor when new requests come while it is still open.

use std::net::SocketAddr;
use std::time::Duration;

use catharsis_tcapi::cdn::TaskStatus;
use catharsis_testkit::caches::{RealCache, Relay};
use catharsis_testkit::client::get;
use catharsis_testkit::origin::Origin;

use crate::support::{Client, Server, Setup, free_address};

const HOST: &str = "www.a.test";
const FETCH: Duration = Duration::from_secs(2);
/// Longer than the fetch above, which is the longest that these caches have here.
const BOUNDED: &str = "fence = { kind = \"bounded\", fetch_max = \"4s\", repeats = [\"1s\"] }";

/// Which fetch ends first.
#[derive(Clone, Copy, Debug)]
enum Order {
    /// The old one has ended before anybody asks again.
    OldFirst,
    /// Requests come right after the purge, while the old fetch is open.
    NewFirst,
}

/// A server that drives one cache, and the cache's origin.
struct Stage {
    origin: Origin,
    client: Client,
    traffic: SocketAddr,
    _server: Server,
    _cache: Option<RealCache>,
}

async fn varnish(fence: &str) -> Stage {
    let origin = Origin::start().await;
    let cache = RealCache::varnish(origin.address(), Relay::Allowed).await;
    stage(origin, cache, "varnish", fence)
}

async fn nginx(fence: &str) -> Stage {
    let origin = Origin::start().await;
    let cache = RealCache::nginx(origin.address(), Relay::Allowed).await;
    stage(origin, cache, "nginx", &format!("{fence}\njoin = \"empty\""))
}

fn stage(origin: Origin, cache: RealCache, kind: &str, lines: &str) -> Stage {
    let server = Setup::new().node("one", "mainland", kind, cache.purge, lines).start();
    Stage { origin, client: server.client(), traffic: cache.traffic, _server: server, _cache: Some(cache) }
}

/// The built-in edge, in a process of its own like any other cache.
async fn edge() -> (Stage, Server) {
    let origin = Origin::start().await;
    let (traffic, control) = (free_address(), free_address());
    let edge = Setup::edge_only(traffic, control, origin.address()).start();
    let server = Setup::new().node("one", "mainland", "edge", control, "").start();
    let client = server.client();
    (Stage { origin, client, traffic, _server: server, _cache: None }, edge)
}

/// The lines of a cache behind an origin hop.
const HOP: &str = "fence = { kind = \"hop\" }\nshield = \"hop\"";

/// A cache that fetches through an origin hop, a process of its own, and the server that drives both.
async fn behind_a_hop(kind: &str, more: &str) -> (Stage, Server) {
    let origin = Origin::start().await;
    let (traffic, control) = (free_address(), free_address());
    // The first keys of the section: the route is a section of its own.
    let hop = Setup::edge_only(traffic, control, origin.address()).edge_line("hop = true").start();
    let cache = match kind {
        "varnish" => RealCache::varnish(traffic, Relay::Allowed).await,
        _ => RealCache::nginx(traffic, Relay::Allowed).await,
    };
    let server = Setup::new()
        .node("hop", "mainland", "edge", control, "tier = \"shield\"")
        .node("one", "mainland", kind, cache.purge, &format!("{HOP}\n{more}"))
        .start();
    let client = server.client();
    (Stage { origin, client, traffic: cache.traffic, _server: server, _cache: Some(cache) }, hop)
}

/// Purges a page while its old version is being fetched, and returns the bodies seen after `done`.
async fn purge_across_a_fetch(stage: &Stage, order: Order, path: &'static str) -> Vec<String> {
    let Stage { origin, client, traffic, .. } = stage;
    let traffic = *traffic;
    origin.slow(path, FETCH);
    let old = tokio::spawn(async move { get(traffic, HOST, path, &[]).await });
    origin.requested(path, 1).await;
    origin.set_version(path, 2);
    origin.release(path);
    let task = client.purge(&[&format!("http://{HOST}{path}")]).await;

    if let Order::NewFirst = order {
        let new = get(traffic, HOST, path, &[]).await;
        assert!(["v1", "v2"].contains(&new.body.as_str()), "before done both are allowed: {new:?}");
    }
    let first = old.await.expect("the old client gets its answer");
    assert_eq!(first.body, "v1", "it asked before the purge");
    let receipts = client.await_status(&task, TaskStatus::Done).await;
    assert!(receipts.nodes.iter().all(|node| node.pending == 0), "{receipts:?}");
    let mut seen = Vec::new();
    for _ in 0..5 {
        seen.push(get(traffic, HOST, path, &[]).await.body);
    }
    seen
}

async fn never_old_content(stage: &Stage) {
    for (order, path) in [(Order::OldFirst, "/old-first"), (Order::NewFirst, "/new-first")] {
        let seen = purge_across_a_fetch(stage, order, path).await;
        assert_eq!(seen, vec!["v2"; 5], "{order:?}");
    }
}

#[tokio::test]
async fn whole_varnish_serves_no_old_content_after_done() {
    never_old_content(&varnish(BOUNDED).await).await;
}

#[tokio::test]
async fn whole_nginx_serves_no_old_content_after_done() {
    never_old_content(&nginx(BOUNDED).await).await;
}

#[tokio::test]
async fn whole_edge_serves_no_old_content_after_done() {
    let (stage, _edge) = edge().await;
    never_old_content(&stage).await;
}

#[tokio::test]
async fn whole_varnish_behind_a_hop_serves_no_old_content_after_done() {
    let (stage, _hop) = behind_a_hop("varnish", "").await;
    never_old_content(&stage).await;
}

#[tokio::test]
async fn whole_nginx_behind_a_hop_serves_no_old_content_after_done() {
    let (stage, _hop) = behind_a_hop("nginx", "join = \"empty\"").await;
    never_old_content(&stage).await;
}

/// What the hop had not begun to send is kept by nobody, so nobody waits for it.
#[tokio::test]
async fn whole_cache_behind_a_hop_is_done_while_the_old_fetch_is_held() {
    for (kind, more) in [("varnish", ""), ("nginx", "join = \"empty\"")] {
        let (stage, _hop) = behind_a_hop(kind, more).await;
        let path = "/held";
        stage.origin.hold(path);
        let traffic = stage.traffic;
        let old = tokio::spawn(async move { get(traffic, HOST, path, &[]).await });
        stage.origin.requested(path, 1).await;
        let task = stage.client.purge(&[&format!("http://{HOST}{path}")]).await;
        let receipts = stage.client.await_status(&task, TaskStatus::Done).await;
        let one = receipts.nodes.iter().find(|node| node.node == "one").expect("a receipt of the cache");
        assert_eq!(one.fence, "hop", "{kind}");

        stage.origin.set_version(path, 2);
        stage.origin.release(path);
        assert_eq!(old.await.expect("the old client gets its answer").body, "v1", "{kind}");
        for _ in 0..3 {
            assert_eq!(get(traffic, HOST, path, &[]).await.body, "v2", "{kind}");
        }
    }
}

/// A node that names an edge that is no hop waits, and says what to change.
#[tokio::test]
async fn whole_cache_behind_an_edge_that_is_no_hop_is_not_done_and_says_why() {
    let origin = Origin::start().await;
    let (traffic, control) = (free_address(), free_address());
    let edge = Setup::edge_only(traffic, control, origin.address());
    let _edge = edge.start();
    let cache = RealCache::varnish(traffic, Relay::Allowed).await;
    let server = Setup::new()
        .node("hop", "mainland", "edge", control, "tier = \"shield\"")
        .node("one", "mainland", "varnish", cache.purge, HOP)
        .start();
    let client = server.client();
    let task = client.purge(&[&format!("http://{HOST}/x")]).await;
    let trouble = client.await_trouble(&task, "one").await;
    assert!(trouble.contains("hop = true"), "{trouble}");
}

#[tokio::test]
async fn whole_fence_test_sees_old_content_where_there_is_no_fence() {
    let none = "fence = { kind = \"none\" }";
    let varnish = varnish(none).await;
    let seen = purge_across_a_fetch(&varnish, Order::NewFirst, "/no-fence").await;
    assert!(seen.contains(&"v1".to_owned()), "without a fence Varnish brings the old copy back: {seen:?}");
    let nginx = nginx(none).await;
    let seen = purge_across_a_fetch(&nginx, Order::OldFirst, "/no-fence").await;
    assert!(seen.contains(&"v1".to_owned()), "without a fence nginx brings the old copy back: {seen:?}");
}

#[tokio::test]
async fn edge_is_done_without_waiting_for_the_old_fetch() {
    let (stage, _edge) = edge().await;
    let path = "/held";
    stage.origin.hold(path);
    let traffic = stage.traffic;
    let old = tokio::spawn(async move { get(traffic, HOST, path, &[]).await });
    stage.origin.requested(path, 1).await;
    let task = stage.client.purge(&[&format!("http://{HOST}{path}")]).await;
    stage.client.await_status(&task, TaskStatus::Done).await;

    stage.origin.set_version(path, 2);
    stage.origin.release(path);
    assert_eq!(get(traffic, HOST, path, &[]).await.body, "v2");
    assert_eq!(old.await.expect("the old client gets its answer").body, "v1");
    assert_eq!(get(traffic, HOST, path, &[]).await.body, "v2");
}
