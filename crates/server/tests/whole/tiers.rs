//! Two tiers of built-in edges, processes of their own, that serve a domain of the API: who fetches through whom.
//!
//! Each edge that a response came through adds itself to `Cache-Status`, so a client sees the way.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use catharsis_tcapi::cdn::TaskStatus;
use catharsis_testkit::client::get;
use catharsis_testkit::origin::Origin;
use serde_json::{Value, json};

use crate::support::{Client, PATIENCE, Server, Setup};

const HOST: &str = "tiers.a.test";

fn edge() -> Server {
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    Setup::edge_for_domains(free, free).start()
}

/// A shield, an edge behind it, the server that drives both, and the origin of their domain.
struct Stage {
    origin: Origin,
    shield: Server,
    edge: Server,
    server: Server,
    client: Client,
    /// The server's file without its nodes.
    base: Setup,
    asked: u64,
}

fn with_nodes(base: &Setup, shield: &Server, edge: &Server, rotation: &str) -> Setup {
    let node = |it: &Server, more: &str| format!("join = \"empty\"\ntraffic = \"{}\"\n{more}", it.edge.0);
    base.clone()
        .node("shield", "mainland", "edge", shield.edge.1, &node(shield, &format!("tier = \"shield\"\n{rotation}")))
        .node("edge", "mainland", "edge", edge.edge.1, &node(edge, "shield = \"shield\""))
}

impl Stage {
    async fn start() -> Self {
        let (shield, edge) = (edge(), edge());
        let origin = Origin::start().await;
        let base = Setup::new().api_line("local_origins = \"allow\"");
        let server = with_nodes(&base, &shield, &edge, "").start();
        let client = server.client();
        let from = json!({ "Origins": [origin.address().to_string()], "OriginType": "ip" });
        let domain = json!({ "Domain": HOST, "ServiceType": "web", "Area": "mainland", "Origin": from });
        client.call::<Value>("AddCdnDomain", &domain).await.expect("a new domain");
        Self { origin, shield, edge, server, client, base, asked: 0 }
    }

    /// How many edges a page that nobody holds comes through; 0 while it is not served.
    async fn edges_passed(&mut self) -> usize {
        self.asked += 1;
        let page = get(self.edge.edge.0, HOST, &format!("/way/{}", self.asked), &[]).await;
        let status = page.fields.get_all("cache-status").iter().filter_map(|value| value.to_str().ok());
        let passed = status.map(|value| value.matches("catharsis-edge").count()).sum();
        if page.status == 200 { passed } else { 0 }
    }

    async fn until_through(&mut self, edges: usize) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let passed = self.edges_passed().await;
            if passed == edges {
                return;
            }
            assert!(Instant::now() < deadline, "pages come through {passed} edges and never through {edges}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn rotate(&self, rotation: &str) {
        with_nodes(&self.base, &self.shield, &self.edge, rotation).write();
        self.server.signal("HUP");
        self.server.await_event("configuration read again");
    }

    async fn purged(&self, path: &str) {
        let task = self.client.purge(&[&format!("http://{HOST}{path}")]).await;
        self.client.await_status(&task, TaskStatus::Done).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_edge_fetches_through_its_shield_and_from_the_origin_while_that_is_out_of_rotation() {
    let mut stage = Stage::start().await;
    stage.until_through(2).await;
    stage.rotate("rotation = \"drained\"");
    stage.until_through(1).await;
    stage.rotate("");
    stage.until_through(2).await;

    // What both hold goes in both, the shield's first.
    let read = || get(stage.edge.edge.0, HOST, "/page", &[]);
    assert_eq!(read().await.body, "v1");
    stage.origin.set_version("/page", 2);
    stage.purged("/page").await;
    assert_eq!(read().await.body, "v2");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_edge_whose_shield_has_died_fetches_from_the_origin_at_once() {
    let mut stage = Stage::start().await;
    stage.until_through(2).await;
    stage.shield.kill();
    assert_eq!(stage.edges_passed().await, 1);
}
