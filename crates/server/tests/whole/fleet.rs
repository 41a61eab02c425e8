//! Nodes that come, are drained, return and go while purges flow, by changes of the file and SIGHUP.

use std::collections::HashSet;
use std::net::SocketAddr;

use catharsis_tcapi::cdn::{DescribePurgeTasksRequest, DescribePurgeTasksResponse, TaskFilter, TaskStatus};
use catharsis_testkit::caches::{RealCache, Relay};
use catharsis_testkit::client::get;
use catharsis_testkit::origin::Origin;
use tokio_util::sync::CancellationToken;

use crate::recorder::Recorder;
use crate::support::{Client, Server, Setup, free_address};

const HOST: &str = "inland.a.test";
/// A second is longer than any fetch of this origin.
const FENCE: &str = "fence = { kind = \"bounded\", fetch_max = \"1s\", repeats = [] }";
const DRAINED: &str = "rotation = \"drained\"\n";
const IMPATIENT: &str = "[relay]\nretry_max = \"200ms\"\n";

/// Purges that go on while a test does something else, and what is shown of them.
struct Flow {
    stop: CancellationToken,
    worker: tokio::task::JoinHandle<Vec<String>>,
}

impl Flow {
    fn start(client: Client) -> Self {
        let stop = CancellationToken::new();
        let worker = tokio::spawn(flow(client, stop.clone()));
        Self { stop, worker }
    }

    /// Ends it, and waits until everything that it purged is done.
    async fn end(self, client: &Client) {
        self.stop.cancel();
        let tasks = self.worker.await.expect("nothing that was done was undone");
        assert!(tasks.len() > 20, "it flowed: {}", tasks.len());
        for task in tasks {
            client.await_status(&task, TaskStatus::Done).await;
        }
    }
}

async fn flow(client: Client, stop: CancellationToken) -> Vec<String> {
    let (mut tasks, mut done) = (Vec::new(), HashSet::new());
    while !stop.is_cancelled() {
        tasks.push(client.purge(&[&format!("http://{HOST}/flow/{}", tasks.len() % 7)]).await);
        // The newest 200 tasks are those that may still change.
        for task in tasks.iter().rev().take(200).step_by(9) {
            let request = DescribePurgeTasksRequest::of(TaskFilter::Task(task.as_str().into(), None));
            let page: DescribePurgeTasksResponse =
                client.call("DescribePurgeTasks", &request).await.expect("the task is known");
            match page.purge_logs[0].status {
                TaskStatus::Done => drop(done.insert(task.clone())),
                status @ (TaskStatus::Process | TaskStatus::Fail) => {
                    assert!(!done.contains(task), "{task} was done and is {status:?}")
                }
            }
        }
    }
    tasks
}

/// A page as a cache answers it.
async fn page(cache: SocketAddr, path: &str) -> String {
    get(cache, HOST, path, &[]).await.body
}

/// The cache holds the first version, and the origin has the second.
async fn hold_old(cache: SocketAddr, origin: &Origin, path: &str) {
    page(cache, path).await;
    origin.set_version(path, 2);
    assert_eq!(page(cache, path).await, "v1", "{path}");
}

/// Takes over a changed file and waits until the server has.
fn reload(server: &Server, setup: &Setup) -> u64 {
    setup.write();
    server.signal("HUP");
    server.await_event("configuration read again")["differences"].as_u64().expect("a number")
}

async fn purged(client: &Client, path: &str) -> catharsis_tcapi::cdn::DescribePurgeReceiptsResponse {
    let task = client.purge(&[&format!("http://{HOST}{path}")]).await;
    client.await_status(&task, TaskStatus::Done).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_nodes_come_drain_return_and_go_while_purges_flow() {
    let origin = Origin::start().await;
    let varnish = || RealCache::varnish(origin.address(), Relay::Allowed);
    let (a, b, c) = (varnish().await, varnish().await, varnish().await);
    let base = Setup::new().section(IMPATIENT).node("a", "mainland", "varnish", a.purge, FENCE);
    let with_b = |setup: Setup, at: SocketAddr, more: &str| {
        setup.node("b", "mainland", "varnish", at, &format!("{FENCE}\n{more}"))
    };
    let with_c = |setup: Setup| setup.node("c", "mainland", "varnish", c.purge, FENCE);
    let server = with_b(base.clone(), b.purge, "").start();
    let client = server.client();
    let flow = Flow::start(client.clone());

    // Added with an old copy, of whose purge it was never told: it must forget everything before it counts.
    hold_old(c.traffic, &origin, "/old").await;
    purged(&client, "/old").await;
    assert_eq!(page(c.traffic, "/old").await, "v1", "nobody has told it yet");
    assert_eq!(reload(&server, &with_c(with_b(base.clone(), b.purge, ""))), 1);
    let receipts = purged(&client, "/after").await;
    assert_eq!(receipts.nodes.len(), 3, "{receipts:?}");
    assert_eq!(page(c.traffic, "/old").await, "v2");
    client.await_state("c", "ok").await;

    // Drained and gone: nobody waits for it.
    assert_eq!(reload(&server, &with_c(with_b(base.clone(), b.purge, DRAINED))), 1);
    assert_eq!(client.node("b").await.map(|node| node.rotation).as_deref(), Some("drained"));
    client.await_state("b", "drained").await;
    drop(b);
    let b = varnish().await;
    hold_old(b.traffic, &origin, "/while").await;
    purged(&client, "/while").await;
    client.await_state("b", "unreachable").await;
    assert_eq!(page(b.traffic, "/while").await, "v1");

    // Returned, elsewhere and with what it held meanwhile.
    assert_eq!(reload(&server, &with_c(with_b(base.clone(), b.purge, ""))), 1);
    purged(&client, "/after").await;
    assert_eq!(page(b.traffic, "/while").await, "v2", "what is done from now on is done there too");
    client.await_state("b", "ok").await;

    // Taken out: it is told nothing, and of unknown content when it comes again.
    hold_old(c.traffic, &origin, "/gone").await;
    assert_eq!(reload(&server, &with_b(base.clone(), b.purge, "")), 1);
    assert_eq!(purged(&client, "/gone").await.nodes.len(), 2);
    assert_eq!((client.node("c").await, page(c.traffic, "/gone").await), (None, "v1".to_owned()));
    assert_eq!(reload(&server, &with_c(with_b(base, b.purge, ""))), 1);
    purged(&client, "/after").await;
    assert_eq!(page(c.traffic, "/gone").await, "v2", "it served nothing old once it counted");
    client.await_state("c", "ok").await;
    flow.end(&client).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_file_changes_nothing_and_other_sections_wait_for_a_restart() {
    let (one, two) = (Recorder::start().await, Recorder::start().await);
    let none = "fence = { kind = \"none\" }";
    let base = Setup::new().node("one", "mainland", "varnish", one.address, none);
    let server = base.start();
    let client = server.client();

    let broken = base.clone().node("two", "nowhere", "varnish", two.address, none);
    let shieldless = base.clone().node("two", "mainland", "varnish", two.address, "shield = \"three\"");
    for wrong in [broken, shieldless, base.clone().section("[[node]\n")] {
        wrong.write();
        server.signal("HUP");
        let event = server.await_event("configuration not taken over");
        assert!(event["problem"].as_str().is_some_and(|problem| !problem.is_empty()), "{event}");
        assert!(client.node("two").await.is_none());
        assert_eq!(purged(&client, "/").await.nodes.len(), 1);
    }

    let fitting = base.node("two", "overseas", "varnish", two.address, none).section("[push]\ndeadline = \"5m\"\n");
    fitting.write();
    server.signal("HUP");
    assert_eq!(server.await_event("node added")["node"], "two");
    assert_eq!(server.await_event("takes effect after a restart")["section"], "push");
    assert_eq!(server.await_event("configuration read again")["differences"], 1);
    assert_eq!(client.node("two").await.map(|node| node.area).as_deref(), Some("overseas"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node_that_was_away_from_the_file_over_a_restart_is_of_unknown_content() {
    let origin = Origin::start().await;
    let (traffic, control) = (free_address(), free_address());
    // It is to hold old copies while no relay knows it.
    let _edge = Setup::edge_only(traffic, control, origin.address()).edge_line("lease = \"none\"").start();
    let other = Recorder::start().await;
    let base = Setup::new().node("other", "mainland", "varnish", other.address, "fence = { kind = \"none\" }");
    let with_edge = base.clone().node("edge", "mainland", "edge", control, "");
    let server = with_edge.start();
    purged(&server.client(), "/first").await;
    assert!(server.terminate().await.success());

    hold_old(traffic, &origin, "/p").await;
    let server = base.start();
    purged(&server.client(), "/p").await;
    assert_eq!(page(traffic, "/p").await, "v1");
    assert!(server.terminate().await.success());

    let server = with_edge.start();
    let client = server.client();
    purged(&client, "/next").await;
    assert_eq!(page(traffic, "/p").await, "v2");
    client.await_state("edge", "ok").await;
}
