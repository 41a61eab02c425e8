//! Nodes prove that they purge, and one that does not is never taken for one that did.
//!
//! The caches fetch probe objects from the server under test itself, as the samples say.

use std::net::SocketAddr;

use catharsis_tcapi::cdn::{CacheNode, TaskStatus};
use catharsis_testkit::caches::{RealCache, Relay};

use crate::support::{Client, Server, Setup, free_address};

/// A server with one node, whose cache fetches from the server's origin of probe objects.
fn server(cache: &RealCache, kind: &str, probe: SocketAddr) -> Server {
    let more = format!("traffic = \"{}\"\njoin = \"empty\"\nfence = {{ kind = \"none\" }}", cache.traffic);
    let retry = "[relay]\nretry_first = \"20ms\"\nretry_max = \"50ms\"";
    let probe = format!("[probe]\nlisten = \"{probe}\"");
    Setup::new().section(retry).section(&probe).node("one", "mainland", kind, cache.purge, &more).start()
}

/// The node, once something has come of its proof.
async fn proof(client: &Client) -> CacheNode {
    client.await_node("one", "tried", |node| node.proof.is_some()).await
}

/// Fails unless the node's purges are never settled, for this reason.
async fn assert_never_done(server: &Server, reason: &str) {
    let client = server.client();
    let node = proof(&client).await;
    let text = node.proof.expect("something came of it");
    assert!(text.contains(reason), "{text}");
    assert_eq!(node.state, "unreachable");
    let task = client.purge(&["http://inland.a.test/x"]).await;
    // Two more tries: had it been let go on after one, the purge would be settled by then.
    for _ in 0..2 {
        server.await_event("the node does not purge: nothing is settled there; trying again");
    }
    let receipts = client.receipts(&task).await;
    assert_eq!(receipts.status, TaskStatus::Process);
    assert!(receipts.nodes[0].trouble.as_ref().is_some_and(|it| it.contains(reason)), "{receipts:?}");
}

#[tokio::test]
async fn varnish_and_nginx_prove_that_they_purge() {
    let probe = free_address();
    let varnish = RealCache::varnish(probe, Relay::Allowed).await;
    let nginx = RealCache::nginx(probe, Relay::Allowed).await;
    for (cache, kind) in [(&varnish, "varnish"), (&nginx, "nginx")] {
        let server = server(cache, kind, probe);
        let client = server.client();
        let node = proof(&client).await;
        assert_eq!((node.proof.as_deref(), node.state.as_str()), (Some("proven"), "ok"), "{kind}");
        assert_eq!((node.abilities["tag"].as_str(), node.abilities["url"].is_empty()), ("none", false));
        let task = client.purge(&["http://inland.a.test/x"]).await;
        client.await_status(&task, TaskStatus::Done).await;
        let (_, metrics) = server.ops("/metrics").await;
        assert!(metrics.contains("catharsis_node_proven{node=\"one\",area=\"mainland\"} 1"), "{metrics}");
    }
}

#[tokio::test]
async fn cache_that_says_purged_and_serves_the_old_copy_on_is_never_done() {
    let probe = free_address();
    let lying = format!(
        "vcl 4.1; backend origin {{ .host = \"{}\"; .port = \"{}\"; }}
         sub vcl_recv {{ if (req.method == \"PURGE\") {{ return (synth(200, \"Purged 1\")); }} }}",
        probe.ip(),
        probe.port()
    );
    let cache = RealCache::varnish_with(&lying).await;
    assert_never_done(&server(&cache, "varnish", probe), "serves the old copy on").await;
}

#[tokio::test]
async fn cache_that_purges_under_another_key_is_never_done() {
    let probe = free_address();
    let other_key = |configuration: String| {
        let key = "proxy_cache_purge catharsis $";
        assert!(configuration.contains(key));
        configuration.replace(key, "proxy_cache_purge catharsis http://$")
    };
    let cache = RealCache::nginx_edited(probe, Relay::Allowed, other_key).await;
    assert_never_done(&server(&cache, "nginx", probe), "under another key").await;
}

#[tokio::test]
async fn node_whose_traffic_cannot_be_tried_is_told_all_the_same() {
    let (probe, nobody) = (free_address(), free_address());
    // It fetches from where nobody listens, so there is no probe object.
    let cache = RealCache::varnish(nobody, Relay::Allowed).await;
    let server = server(&cache, "varnish", probe);
    let client = server.client();
    let node = proof(&client).await;
    let text = node.proof.expect("something came of it");
    assert!(text.contains("cannot be fetched") && text.contains("503"), "{text}");
    let task = client.purge(&["http://inland.a.test/x"]).await;
    client.await_status(&task, TaskStatus::Done).await;
}
