//! The auditor against real caches: honest ones are found younger, and one that lies is found out.
//!
//! Ages are whole seconds, so these tests let real seconds pass: the age of a copy is what they are about.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use catharsis_tcapi::cdn::{DescribePurgeReceiptsResponse, TaskStatus};
use catharsis_testkit::caches::{RealCache, Relay};
use catharsis_testkit::client::get;
use catharsis_testkit::origin::Origin;

use crate::support::{Client, PATIENCE, Server, Setup, free_address};

const HOST: &str = "inland.a.test";
const PATH: &str = "/audited";
const OLD: Duration = Duration::from_secs(4);

fn server(kind: &str, purge: SocketAddr, traffic: SocketAddr) -> Server {
    let more = format!("traffic = \"{traffic}\"\njoin = \"empty\"\nfence = {{ kind = \"none\" }}");
    let more = if kind == "edge" { format!("traffic = \"{traffic}\"") } else { more };
    Setup::new().audited("[\"8s\"]").node("one", "mainland", kind, purge, &more).start()
}

/// Purges a page of which the cache has held a copy for a while, and returns the receipts once it was audited so often.
async fn audits_of_a_purge(client: &Client, traffic: SocketAddr, count: usize) -> DescribePurgeReceiptsResponse {
    get(traffic, HOST, PATH, &[]).await;
    tokio::time::sleep(OLD).await;
    let task = client.purge(&[&format!("http://{HOST}{PATH}")]).await;
    client.await_status(&task, TaskStatus::Done).await;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let receipts = client.receipts(&task).await;
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
