//! An edge that the file moves to another shield, which is behind it, with routes of its own to both.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use catharsis_tcapi::cdn::TaskStatus;
use catharsis_testkit::client::get;
use catharsis_testkit::origin::Origin;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::leases::Wire;
use crate::support::{PATIENCE, Setup, free_address};

const HOST: &str = "inland.a.test";

/// Where the edge's own route leads: to one shield, and then to another.
struct Switch {
    address: SocketAddr,
    to: watch::Sender<SocketAddr>,
}

impl Switch {
    async fn to(first: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let to = watch::Sender::new(first);
        let now = to.subscribe();
        tokio::spawn(async move {
            while let Ok((mut from, _)) = listener.accept().await {
                let mut now = now.clone();
                tokio::spawn(async move {
                    let to = *now.borrow_and_update();
                    let mut stream = TcpStream::connect(to).await?;
                    tokio::select! {
                        ended = tokio::io::copy_bidirectional(&mut from, &mut stream) => ended.map(drop),
                        _switched = now.changed() => Ok(()),
                    }
                });
            }
        });
        Self { address, to }
    }
}

/// How the file changes.
#[derive(Clone, Copy, Debug)]
enum While {
    Running,
    Down,
}

async fn page(edge: SocketAddr, path: &str) -> String {
    get(edge, HOST, path, &[]).await.body
}

async fn moves(how: While) {
    let origin = Origin::start().await;
    // All are waited for however long they are away: nothing is done before the second shield is reached again.
    let cache =
        |upstream| Setup::edge_only(free_address(), free_address(), upstream).edge_line("lease = \"none\"").start();
    let (first, second) = (cache(origin.address()), cache(origin.address()));
    let switch = Switch::to(first.edge.0).await;
    let edge = cache(switch.address);
    let wire = Wire::to(second.edge.1).await;
    // A server that is ended waits for the attempt that it is in, which gets no answer where the wire is cut.
    let base = Setup::new().section("[relay]\nretry_max = \"200ms\"\nbatch_timeout = \"1s\"\n");
    let behind = |shield: &str| {
        let shields = "tier = \"shield\"\nlease = \"none\"\n";
        base.clone()
            .node("first", "mainland", "edge", first.edge.1, shields)
            .node("second", "mainland", "edge", wire.address, shields)
            .node("edge", "mainland", "edge", edge.edge.1, &format!("shield = {shield:?}\nlease = \"none\"\n"))
    };
    let mut server = behind("first").start();
    let client = server.client();
    let warm = client.purge(&[&format!("http://{HOST}/warm")]).await;
    client.await_status(&warm, TaskStatus::Done).await;

    // The second shield holds old copies, and does not hear that they are purged. The edge does.
    for path in ["/before", "/after"] {
        assert_eq!(page(second.edge.0, path).await, "v1");
        origin.set_version(path, 2);
    }
    wire.cut();
    let task = client.purge(&[&format!("http://{HOST}/before"), &format!("http://{HOST}/after")]).await;
    let deadline = Instant::now() + PATIENCE;
    while client.receipts(&task).await.nodes.iter().any(|it| it.node == "edge" && it.pending > 0) {
        assert!(Instant::now() < deadline, "the edge is never told");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    switch.to.send_replace(second.edge.0);
    assert_eq!(page(edge.edge.0, "/before").await, "v1", "as old as the second shield's");
    match how {
        While::Running => {
            behind("second").write();
            server.signal("HUP");
            server.await_event("configuration read again");
        }
        While::Down => {
            assert!(server.terminate().await.success());
            server = behind("second").start();
        }
    }
    let client = server.client();
    client.await_state("edge", "ok").await;
    assert_eq!(page(edge.edge.0, "/after").await, "v1", "as old as the second shield's");
    wire.mend();
    client.await_status(&task, TaskStatus::Done).await;
    for path in ["/before", "/after"] {
        assert_eq!(page(edge.edge.0, path).await, "v2", "{path}: done means gone");
    }
    drop(server);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_edge_that_moves_to_a_shield_that_is_behind_serves_nothing_old_after_done() {
    moves(While::Running).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_edge_that_moves_while_the_server_is_down_serves_nothing_old_after_done() {
    moves(While::Down).await;
}
