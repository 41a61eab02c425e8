//! The auditor against real caches: honest ones are found younger, and one that lies is found out.
//!
//! Ages are whole seconds, so these tests let real seconds pass: the age of a copy is what they are about.

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use catharsis_tcapi::cdn::{
    DescribePurgeReceiptsResponse, FlushType, PurgePathCacheRequest, PurgePathCacheResponse, TaskStatus,
};
use catharsis_testkit::caches::{RealCache, Relay};
use catharsis_testkit::client::get;
use catharsis_testkit::origin::Origin;

use crate::support::{Client, PATIENCE, Server, Setup, free_address};

const HOST: &str = "inland.a.test";
const PATH: &str = "/audited";
const OLD: Duration = Duration::from_secs(4);

fn server(kind: &str, purge: SocketAddr, traffic: SocketAddr) -> Server {
    server_with("", kind, purge, traffic)
}

/// With further lines of `[audit]`.
fn server_with(lines: &str, kind: &str, purge: SocketAddr, traffic: SocketAddr) -> Server {
    let more = format!("traffic = \"{traffic}\"\njoin = \"empty\"\nfence = {{ kind = \"none\" }}");
    let more = if kind == "edge" { format!("traffic = \"{traffic}\"") } else { more };
    Setup::new().audited(&format!("[\"8s\"]\n{lines}")).node("one", "mainland", kind, purge, &more).start()
}

/// Purges a page of which the cache has held a copy for a while, and returns the receipts once it was audited so often.
async fn audits_of_a_purge(client: &Client, traffic: SocketAddr, count: usize) -> DescribePurgeReceiptsResponse {
    get(traffic, HOST, PATH, &[]).await;
    tokio::time::sleep(OLD).await;
    let task = client.purge(&[&format!("http://{HOST}{PATH}")]).await;
    client.await_status(&task, TaskStatus::Done).await;
    audits_of(client, &task, count).await
}

/// The receipts of a task once it was audited so often.
async fn audits_of(client: &Client, task: &str, count: usize) -> DescribePurgeReceiptsResponse {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let receipts = client.receipts(task).await;
        if receipts.nodes[0].audits.len() >= count {
            return receipts;
        }
        assert!(Instant::now() < deadline, "it is not audited: {receipts:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn assert_younger(server: &Server, traffic: SocketAddr, verdicts: &[&str]) {
    let receipts = audits_of_a_purge(&server.client(), traffic, verdicts.len()).await;
    let seen: Vec<&str> = receipts.nodes[0].audits.iter().map(|audit| audit.verdict.as_str()).collect();
    assert_eq!(seen, verdicts, "{receipts:?}");
    assert_eq!(receipts.nodes[0].audits[0].url, format!("http://{HOST}{PATH}"));
    let (_, metrics) = server.ops("/metrics").await;
    let younger = "catharsis_audits_total{node=\"one\",area=\"mainland\",verdict=\"younger\"}";
    assert!(metrics.contains(younger) && !metrics.contains("verdict=\"older\""), "{metrics}");
    let nines = metrics.lines().find_map(|line| line.strip_prefix("catharsis_consistency_nines "));
    // One or two looks without a fault: as if the next one had one.
    assert!(nines.is_some_and(|nines| (0.3..0.5).contains(&nines.parse().expect("a number"))), "{metrics}");
}

#[tokio::test]
async fn whole_honest_varnish_is_audited_as_younger() {
    let origin = Origin::start().await;
    let cache = RealCache::varnish(origin.address(), Relay::Allowed).await;
    let server = server("varnish", cache.purge, cache.traffic);
    assert_younger(&server, cache.traffic, &["younger", "younger"]).await;
}

#[tokio::test]
async fn whole_honest_nginx_is_audited_as_younger_once_its_copy_has_an_age() {
    let origin = Origin::start().await;
    let cache = RealCache::nginx(origin.address(), Relay::Allowed).await;
    let server = server("nginx", cache.purge, cache.traffic);
    // The first look fetches, and a Date of now tells nothing.
    assert_younger(&server, cache.traffic, &["untold", "younger"]).await;
}

#[tokio::test]
async fn whole_honest_edge_is_audited_without_a_copy_and_then_as_younger() {
    let origin = Origin::start().await;
    let (traffic, control) = (free_address(), free_address());
    let _edge = Setup::edge_only(traffic, control, origin.address()).start();
    let server = server("edge", control, traffic);
    assert_younger(&server, traffic, &["nocopy", "younger"]).await;
}

#[tokio::test]
async fn whole_node_that_says_purged_and_keeps_its_copy_is_reported_with_url_and_receipt() {
    let origin = Origin::start().await;
    let lying = format!(
        "vcl 4.1; backend origin {{ .host = \"{}\"; .port = \"{}\"; }}
         sub vcl_recv {{ if (req.method == \"PURGE\") {{ return (synth(200, \"Purged 1\")); }} }}",
        origin.address().ip(),
        origin.address().port()
    );
    let cache = RealCache::varnish_with(&lying).await;
    let server = server("varnish", cache.purge, cache.traffic);
    let receipts = audits_of_a_purge(&server.client(), cache.traffic, 1).await;
    assert_eq!(receipts.status, TaskStatus::Done, "the receipt promised it");
    let audit = &receipts.nodes[0].audits[0];
    assert_eq!((audit.verdict.as_str(), audit.url.as_str()), ("older", "http://inland.a.test/audited"));
    assert!(audit.reason.contains("Age"), "{audit:?}");

    let event = server.await_event("a node serves an older copy than its receipt allows");
    let field = |name: &str| event[name].to_string();
    assert!(field("node").contains("one") && field("url").contains("inland.a.test/audited"), "{event}");
    assert!(field("task").contains(&receipts.task_id) && field("receipt").contains("mainland 1..1"), "{event}");
    let (_, metrics) = server.ops("/metrics").await;
    let older = "catharsis_audits_total{node=\"one\",area=\"mainland\",verdict=\"older\"} ";
    assert!(metrics.contains(older) && metrics.contains("catharsis_consistency_nines 0"), "{metrics}");
}

/// The verdict and the reason of the first look after a fetch that began before a change and its purge has ended, at a cache
/// without a fence.
async fn audit_of_a_fetch_across_a_purge(asks_origin: bool) -> (String, String) {
    let origin = Origin::start().await;
    let ago = |seconds| SystemTime::now() - Duration::from_secs(seconds);
    origin.set_modified(PATH, ago(3_600));
    let cache = RealCache::varnish(origin.address(), Relay::Allowed).await;
    let origins = format!("origins = {{ \"{HOST}\" = \"{}\" }}", origin.address());
    let server = server_with(if asks_origin { &origins } else { "" }, "varnish", cache.purge, cache.traffic);
    origin.hold(PATH);
    let traffic = cache.traffic;
    let fetching = tokio::spawn(async move { get(traffic, HOST, PATH, &[]).await.body });
    origin.requested(PATH, 1).await;
    // The content changes, and is purged half a minute later.
    origin.set_version(PATH, 2);
    origin.set_modified(PATH, ago(30));
    let client = server.client();
    let task = client.purge(&[&format!("http://{HOST}{PATH}")]).await;
    client.await_status(&task, TaskStatus::Done).await;
    // By its age, in whole seconds, the copy is then clearly younger.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    origin.release(PATH);
    assert_eq!(fetching.await.expect("an answer"), "v1");
    assert_eq!(get(traffic, HOST, PATH, &[]).await.body, "v1", "the purge is undone");
    let audit = audits_of(&client, &task, 2).await.nodes[0].audits[1].clone();
    (audit.verdict, audit.reason)
}

#[tokio::test]
async fn whole_fetch_that_crossed_a_purge_looks_young_and_is_found_by_the_version_of_its_origin() {
    let (verdict, why) = audit_of_a_fetch_across_a_purge(false).await;
    assert_eq!(verdict, "younger", "its age alone hides it: {why}");
    let (verdict, why) = audit_of_a_fetch_across_a_purge(true).await;
    assert_eq!(verdict, "older", "{why}");
    assert!(why.starts_with("Last-Modified") && why.ends_with("an older version"), "{why}");
}

#[tokio::test]
async fn whole_honest_varnish_whose_origin_is_asked_is_audited_as_younger() {
    let origin = Origin::start().await;
    let cache = RealCache::varnish(origin.address(), Relay::Allowed).await;
    origin.set_modified(PATH, SystemTime::now() - Duration::from_secs(3_600));
    let origins = format!("origins = {{ \"{HOST}\" = \"{}\" }}", origin.address());
    let server = server_with(&origins, "varnish", cache.purge, cache.traffic);
    get(cache.traffic, HOST, PATH, &[]).await;
    origin.set_modified(PATH, SystemTime::now() - Duration::from_secs(30));
    assert_younger(&server, cache.traffic, &["younger", "younger"]).await;
    assert!(origin.requests(PATH) >= 4, "the origin was asked beside the cache's two fetches");
}

#[tokio::test]
async fn whole_node_that_forgets_one_variant_only_is_found_out_by_the_others() {
    let origin = Origin::start().await;
    origin.set_vary(PATH, "accept-encoding");
    let plain_only = format!(
        "vcl 4.1; backend origin {{ .host = \"{}\"; .port = \"{}\"; }}
         sub vcl_recv {{ if (req.method == \"PURGE\") {{ return (purge); }} return (hash); }}
         sub vcl_hash {{ hash_data(req.url); hash_data(req.http.Accept-Encoding); return (lookup); }}",
        origin.address().ip(),
        origin.address().port()
    );
    let cache = RealCache::varnish_with(&plain_only).await;
    let server = server("varnish", cache.purge, cache.traffic);
    get(cache.traffic, HOST, PATH, &[("accept-encoding", "gzip")]).await;
    let receipts = audits_of_a_purge(&server.client(), cache.traffic, 1).await;
    let audit = &receipts.nodes[0].audits[0];
    assert_eq!(audit.verdict, "older", "{audit:?}");
    assert!(audit.reason.starts_with("for gzip: Age"), "{audit:?}");
}

#[tokio::test]
async fn whole_directory_is_audited_at_a_url_below_it_or_is_said_not_to_be() {
    let origin = Origin::start().await;
    let lies_of_directories = format!(
        "vcl 4.1; backend origin {{ .host = \"{}\"; .port = \"{}\"; }}
         sub vcl_recv {{
             if (req.http.X-Catharsis-Scope) {{ return (synth(200, \"Banned directories\")); }}
             if (req.method == \"PURGE\") {{ return (purge); }}
         }}",
        origin.address().ip(),
        origin.address().port()
    );
    let cache = RealCache::varnish_with(&lies_of_directories).await;
    let server = server("varnish", cache.purge, cache.traffic);
    let client = server.client();
    let purge_below = async |directory: &str| {
        let request = PurgePathCacheRequest::of(vec![format!("http://{HOST}{directory}").into()], FlushType::Delete);
        let answer = client.call::<PurgePathCacheResponse>("PurgePathCache", &request).await;
        let task = answer.expect("the purge is accepted").task_id;
        client.await_status(&task, TaskStatus::Done).await;
        task
    };
    // Nobody has purged a URL there.
    let receipts = audits_of(&client, &purge_below("/other/").await, 1).await;
    let audit = &receipts.nodes[0].audits[0];
    assert_eq!((audit.verdict.as_str(), audit.url.as_str()), ("untold", "http://inland.a.test/other/"));
    assert!(audit.reason.contains("not looked at"), "{audit:?}");

    let url = client.purge(&[&format!("http://{HOST}/d/1")]).await;
    client.await_status(&url, TaskStatus::Done).await;
    get(cache.traffic, HOST, "/d/1", &[]).await;
    tokio::time::sleep(OLD).await;
    let receipts = audits_of(&client, &purge_below("/d/").await, 1).await;
    let audit = &receipts.nodes[0].audits[0];
    assert_eq!((audit.verdict.as_str(), audit.url.as_str()), ("older", "http://inland.a.test/d/"));
    assert!(audit.reason.starts_with("at /d/1: Age"), "{audit:?}");
}
