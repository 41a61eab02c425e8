//! A built-in edge that is cut off from its relay, as processes of their own with a wire between them.

use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime};

use catharsis_tcapi::cdn::{CacheNode, TaskStatus};
use catharsis_testkit::client::{Fetched, Source, get};
use catharsis_testkit::origin::Origin;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::support::{Client, PATIENCE, Setup, free_address};

const HOST: &str = "inland.a.test";
const LEASE: Duration = Duration::from_secs(2);
/// A server that is ended waits for the attempt that it is in, which gets no answer where the wire is cut.
const IMPATIENT: &str = "[relay]\nretry_max = \"200ms\"\nbatch_timeout = \"1s\"\n";

/// A wire from the relay to the edge's control listener, which can be cut and mended. Cut, what was under way is
/// lost without a word, and nothing answers: as when a cable is pulled.
pub(crate) struct Wire {
    pub address: SocketAddr,
    whole: watch::Sender<bool>,
}

impl Wire {
    pub(crate) async fn to(control: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let whole = watch::Sender::new(true);
        let state = whole.subscribe();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(carry(stream, control, state.clone()));
            }
        });
        Self { address, whole }
    }

    pub(crate) fn cut(&self) {
        self.whole.send_replace(false);
    }

    pub(crate) fn mend(&self) {
        self.whole.send_replace(true);
    }
}

async fn carry(mut from: TcpStream, control: SocketAddr, mut whole: watch::Receiver<bool>) {
    let carrying = async {
        let mut to = TcpStream::connect(control).await?;
        tokio::io::copy_bidirectional(&mut from, &mut to).await
    };
    tokio::select! {
        _ended = carrying => return,
        _cut = whole.wait_for(|whole| !*whole) => {}
    }
    // Open and silent until the wire is mended; what was sent meanwhile is lost with the connection.
    let _mended = whole.wait_for(|whole| *whole).await;
}

async fn page(edge: SocketAddr, path: &str) -> Fetched {
    get(edge, HOST, path, &[]).await
}

fn cache_status(page: &Fetched) -> &str {
    page.fields.get("cache-status").expect("the edge tells").to_str().expect("text")
}

/// Asks until the edge answers from its cache.
async fn await_hit(edge: SocketAddr, path: &str) -> Fetched {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let page = page(edge, path).await;
        if page.source() == Source::Hit {
            return page;
        }
        assert!(Instant::now() < deadline, "{path} is never answered from the cache: {page:?}");
    }
}

async fn state(client: &Client) -> String {
    client.node("edge").await.expect("it is listed").state
}

/// Waits until what is left of the edge's lease is as wanted; `None` where it has none to lose.
async fn await_lease(client: &Client, what: &str, is_wanted: impl Fn(Option<Duration>) -> bool) {
    let left = |edge: &CacheNode| {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
        edge.lease_end_ms.map(|end| Duration::from_millis(end).saturating_sub(now))
    };
    client.await_node("edge", what, |edge| is_wanted(left(edge))).await;
}

async fn purge(client: &Client, path: &str) -> String {
    client.purge(&[&format!("http://{HOST}{path}")]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_edge_that_is_cut_off_keeps_nobody_waiting_beyond_its_lease_and_serves_nothing_old() {
    let origin = Origin::start().await;
    let (traffic, control) = (free_address(), free_address());
    let _edge = Setup::edge_only(traffic, control, origin.address()).start();
    let wire = Wire::to(control).await;
    let setup = Setup::new().section(IMPATIENT).node("edge", "mainland", "edge", wire.address, "lease = \"2s\"\n");
    let server = setup.start();
    let client = server.client();
    client.await_status(&purge(&client, "/first").await, TaskStatus::Done).await;
    for path in ["/p", "/while"] {
        assert_eq!(await_hit(traffic, path).await.body, "v1");
    }

    origin.set_version("/p", 2);
    wire.cut();
    let began = Instant::now();
    let task = purge(&client, "/p").await;
    assert_eq!(page(traffic, "/p").await.body, "v1", "it has not heard of it, and its lease runs");
    client.await_status(&task, TaskStatus::Done).await;
    let waited = began.elapsed();
    let confirmed = page(traffic, "/p").await;
    assert_eq!(confirmed.body, "v2", "done means gone");
    assert!(cache_status(&confirmed).ends_with("; detail=no-lease"), "{}", cache_status(&confirmed));
    assert!(waited < LEASE * 2, "about a lease: {waited:?}");
    assert_eq!(
        server.await_event("lease ended: the node uses no copy unconfirmed, and nobody waits for it")["node"],
        "edge"
    );
    assert_eq!(state(&client).await, "lapsed");

    // Nobody waits for it now, nor after a restart of the relay.
    origin.set_version("/while", 2);
    let second = purge(&client, "/while").await;
    client.await_status(&second, TaskStatus::Done).await;
    assert!(server.terminate().await.success());
    let server = setup.start();
    let client = server.client();
    for task in [&task, &second] {
        assert_eq!(client.receipts(task).await.status, TaskStatus::Done, "what was done stays done");
    }
    assert_eq!(state(&client).await, "lapsed");
    assert_eq!(page(traffic, "/while").await.body, "v2");

    wire.mend();
    client.await_state("edge", "ok").await;
    for path in ["/p", "/while"] {
        assert_eq!(await_hit(traffic, path).await.body, "v2", "{path}");
    }
    assert_eq!(client.receipts(&second).await.nodes[0].pending, 0, "it has caught up");
    wire.cut();
    drop(server);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_lease_is_shown_and_changes_with_the_file_both_ways() {
    let origin = Origin::start().await;
    let (traffic, control) = (free_address(), free_address());
    let _edge = Setup::edge_only(traffic, control, origin.address()).start();
    let wire = Wire::to(control).await;
    let base = Setup::new().section(IMPATIENT);
    let with =
        |lease: &str| base.clone().node("edge", "mainland", "edge", wire.address, &format!("lease = \"{lease}\"\n"));
    let server = with("1s").start();
    let client = server.client();
    let seconds = Duration::from_secs_f64;
    let short = |left: Option<Duration>| left.is_some_and(|left| left > seconds(0.3) && left < seconds(1.5));
    let long = |left: Option<Duration>| left.is_some_and(|left| left > seconds(2.5) && left < seconds(5.0));
    await_lease(&client, "the lease of the start", short).await;
    let (_, metrics) = server.ops("/metrics").await;
    assert!(metrics.contains("catharsis_node_lease_seconds{node=\"edge\",area=\"mainland\"} "), "{metrics}");

    let follow = |lease: &str| {
        with(lease).write();
        server.signal("HUP");
        server.await_event("configuration read again");
    };
    follow("4s");
    await_lease(&client, "a longer one", long).await;
    follow("1s");
    await_lease(&client, "a shorter one, once the longer has ended", short).await;
    assert_eq!(await_hit(traffic, "/p").await.body, "v1");
    follow("none");
    await_lease(&client, "none", |left| left.is_none()).await;
    follow("1s");
    await_lease(&client, "one again", short).await;

    // The one that is in force is the one that counts.
    assert_eq!(await_hit(traffic, "/p").await.body, "v1");
    origin.set_version("/p", 2);
    wire.cut();
    let began = Instant::now();
    let task = purge(&client, "/p").await;
    client.await_status(&task, TaskStatus::Done).await;
    assert!(began.elapsed() < seconds(3.0), "{:?}", began.elapsed());
    assert_eq!(page(traffic, "/p").await.body, "v2");
    await_lease(&client, "it has ended", |left| left == Some(Duration::ZERO)).await;
    drop(server);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_edge_without_leases_is_waited_for_and_serves_its_copies_while_it_is_cut_off() {
    let origin = Origin::start().await;
    let (traffic, control) = (free_address(), free_address());
    let _edge = Setup::edge_only(traffic, control, origin.address()).edge_line("lease = \"none\"").start();
    let wire = Wire::to(control).await;
    let setup = Setup::new().section("[relay]\nfail_after = \"3s\"\nretry_max = \"200ms\"\n").node(
        "edge",
        "mainland",
        "edge",
        wire.address,
        "lease = \"1s\"\n",
    );
    let server = setup.start();
    let client = server.client();
    assert_eq!(await_hit(traffic, "/p").await.body, "v1");
    origin.set_version("/p", 2);
    wire.cut();
    let task = purge(&client, "/p").await;
    let failed = client.await_status(&task, TaskStatus::Fail).await;
    assert_eq!((&*failed.nodes[0].node, failed.nodes[0].pending), ("edge", 1));
    assert_eq!(page(traffic, "/p").await.body, "v1");
    wire.mend();
    client.await_status(&task, TaskStatus::Done).await;
    assert_eq!(page(traffic, "/p").await.body, "v2");
}
