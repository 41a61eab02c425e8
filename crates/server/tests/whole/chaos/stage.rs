//! What a schedule breaks: the server, the caches and the connections between them, all real.
//!
//! What this is: how each fault is made and undone. The disk is "full" by `RLIMIT_FSIZE`: the server's files may not
//! grow and each write of the store fails with an error of the system (EFBIG), as it does with ENOSPC on a full disk.

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use catharsis_testkit::caches::{RealCache, Relay};
use catharsis_testkit::oracle::readers::Seen;
use tokio::time::{Instant, sleep, sleep_until};

use super::clock::Clock;
use super::followed::Followed;
use super::schedule::{Cast, Clocked, Fault, Lane, Who};
use super::wire::{Line, Wire};
use crate::support::{Server, Setup, free_address};

/// How long another program waits for the store's lock before it has it.
const LOCK_WAIT: Duration = Duration::from_secs(10);
/// Tries again soon, so that a schedule is short.
const IMPATIENT: &str = "[relay]\nretry_first = \"50ms\"\nretry_max = \"300ms\"\nconnect_timeout = \"500ms\"\n\
    answer_timeout = \"1s\"\nbatch_timeout = \"5s\"\n";
/// So short that leases end during faults, and a server that was started again does not wait long for those of the one before.
const LEASE: &str = "lease = \"2s\"\n";

/// One node, and the relay's connection to it.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) who: Who,
    pub(super) wire: Arc<Wire>,
    traffic: SocketAddr,
    process: Process,
}

/// What runs there.
#[derive(Debug)]
enum Process {
    /// A built-in edge, and how it is started again.
    Edge(Option<Server>, Setup),
    Cache(RealCache),
}

impl Node {
    /// The node as clients see it.
    pub(super) fn seen(&self) -> Seen {
        Seen { name: self.who.name().to_owned(), traffic: self.traffic }
    }

    fn crash(&mut self) {
        match &mut self.process {
            Process::Edge(server, _) => drop(server.take()),
            Process::Cache(cache) => cache.crash(),
        }
    }

    async fn restart(&mut self) {
        match &mut self.process {
            Process::Edge(server, setup) => *server = Some(started(setup.clone(), Setup::start).await),
            Process::Cache(cache) => cache.restart().await,
        }
    }

    fn signal(&self, name: &str) {
        match &self.process {
            Process::Edge(server, _) => server.iter().for_each(|server| server.signal(name)),
            Process::Cache(cache) => cache.signal(name),
        }
    }
}

/// Starts a process without holding up the runtime, in which the origin and the readers live.
async fn started(setup: Setup, start: fn(&Setup) -> Server) -> Server {
    tokio::task::spawn_blocking(move || start(&setup)).await.expect("it starts")
}

async fn edge(who: Who, upstream: SocketAddr, clock: &Arc<Clock>) -> Node {
    let (traffic, control) = (free_address(), free_address());
    let setup = Setup::edge_only(traffic, control, upstream).clock(clock);
    let server = started(setup.clone(), Setup::start).await;
    Node { who, wire: Wire::to(control).await.into(), traffic, process: Process::Edge(Some(server), setup) }
}

async fn cache(who: Who, cache: RealCache) -> Node {
    Node { who, wire: Wire::to(cache.purge).await.into(), traffic: cache.traffic, process: Process::Cache(cache) }
}

/// Clocks that can be turned.
#[derive(Clone, Debug)]
pub(super) struct Clocks {
    pub(super) server: Arc<Clock>,
    shield: Arc<Clock>,
    edge: Arc<Clock>,
}

impl Clocks {
    /// All of them right.
    pub(super) fn right() -> Self {
        let [server, shield, edge] = [(); 3].map(|()| Arc::new(Clock::right()));
        Self { server, shield, edge }
    }
}

/// Starts the nodes, and says how the server is to be started.
pub(super) async fn nodes(cast: Cast, origin: SocketAddr, fence: &str, clocks: &Clocks) -> (Vec<Node>, Setup) {
    let shield = edge(Who::Shield, origin, &clocks.shield).await;
    let behind = edge(Who::Edge, shield.traffic, &clocks.edge).await;
    let mut nodes = vec![shield, behind];
    if cast == Cast::Everybody {
        nodes.push(cache(Who::Varnish, RealCache::varnish(origin, Relay::Allowed).await).await);
        nodes.push(cache(Who::Nginx, RealCache::nginx(origin, Relay::Allowed).await).await);
    }
    let mut setup = Setup::new().section(IMPATIENT).clock(&clocks.server);
    for Node { who, wire, .. } in &nodes {
        let (kind, lines) = match who {
            Who::Shield => ("edge", format!("tier = \"shield\"\n{LEASE}")),
            Who::Edge => ("edge", format!("shield = \"shield\"\n{LEASE}")),
            Who::Varnish => ("varnish", format!("{fence}\n")),
            // Empty when it joins; what survives a crash is known to its cursor.
            Who::Nginx => ("nginx", format!("{fence}\njoin = \"empty\"\n")),
        };
        setup = setup.node(who.name(), "mainland", kind, wire.address, &lines);
    }
    (nodes, setup)
}

/// Starts the server.
pub(super) async fn server(setup: &Setup) -> Server {
    started(setup.clone(), Setup::start_for_a_full_disk).await
}

/// Breaks the server and its store; returns it whole.
pub(super) async fn break_server(lane: Lane, mut server: Server, setup: Setup, api: &Followed) -> Server {
    let began = Instant::now();
    for (at, fault) in lane {
        sleep_until(began + at).await;
        match fault {
            Fault::ServerCrash(lasts) => {
                server.kill();
                sleep(lasts).await;
                server = self::server(&setup).await;
                api.follow(&server);
            }
            Fault::ServerRestart => {
                let ended = server.terminate().await;
                assert!(ended.success(), "it ends well: {ended}");
                server = self::server(&setup).await;
                api.follow(&server);
            }
            Fault::ServerFrozen(lasts) => {
                server.signal("STOP");
                sleep(lasts).await;
                server.signal("CONT");
            }
            Fault::StoreLocked(lasts) => lock(&setup, lasts).await,
            Fault::DiskFull(lasts) => {
                limit_files(&server, "1024");
                sleep(lasts).await;
                limit_files(&server, "unlimited");
            }
            Fault::NodeCrash(..)
            | Fault::NodeFrozen(..)
            | Fault::Cut(..)
            | Fault::Stalled(..)
            | Fault::Slow(..)
            | Fault::Repeated(_)
            | Fault::ClockTurned(..) => unreachable!("not a fault of the server: {fault:?}"),
        }
    }
    server
}

/// Holds the store's write lock for a while, as a backup or a curious operator may.
async fn lock(setup: &Setup, lasts: Duration) {
    let path = setup.store();
    let locked = tokio::task::spawn_blocking(move || {
        let other = rusqlite::Connection::open(path)?;
        other.busy_timeout(LOCK_WAIT)?;
        other.execute_batch("BEGIN IMMEDIATE")?;
        Ok::<_, rusqlite::Error>(other)
    });
    let locked = locked.await.expect("it does not panic").expect("the lock is had in time");
    sleep(lasts).await;
    // Closing gives the lock back.
    tokio::task::spawn_blocking(move || drop(locked)).await.expect("it does not panic");
}

/// How large the files of a server may grow: a soft limit, so that it can be lifted again by anybody.
fn limit_files(server: &Server, bytes: &str) {
    let limit = format!("--fsize={bytes}:unlimited");
    let limited = Command::new("prlimit").args(["--pid", &server.process_id().to_string(), &limit]).status();
    assert!(limited.is_ok_and(|status| status.success()), "our own child can be limited");
}

/// Breaks nodes; returns them whole.
pub(super) async fn break_nodes(lane: Lane, nodes: &mut [Node]) {
    let began = Instant::now();
    for (at, fault) in lane {
        sleep_until(began + at).await;
        match fault {
            Fault::NodeCrash(who, lasts) => {
                let node = nodes.iter_mut().find(|node| node.who == who).expect("it is of the cast");
                node.crash();
                sleep(lasts).await;
                node.restart().await;
            }
            Fault::NodeFrozen(who, lasts) => {
                // Exclusive, since a process's log has one reader.
                let node = nodes.iter_mut().find(|node| node.who == who).expect("it is of the cast");
                node.signal("STOP");
                sleep(lasts).await;
                node.signal("CONT");
            }
            Fault::ServerCrash(_)
            | Fault::ServerRestart
            | Fault::ServerFrozen(_)
            | Fault::StoreLocked(_)
            | Fault::DiskFull(_)
            | Fault::Cut(..)
            | Fault::Stalled(..)
            | Fault::Slow(..)
            | Fault::Repeated(_)
            | Fault::ClockTurned(..) => unreachable!("not a fault of a node: {fault:?}"),
        }
    }
}

/// Breaks connections between the relay and nodes, and mends them.
pub(super) async fn break_wires(lane: Lane, wires: &[(Who, Arc<Wire>)]) {
    let began = Instant::now();
    for (at, fault) in lane {
        sleep_until(began + at).await;
        let wire = |who| wires.iter().find(|(it, _)| *it == who).map(|(_, wire)| wire).expect("it is of the cast");
        let (who, line) = match fault {
            Fault::Cut(who, _) => (who, Line::Cut),
            Fault::Stalled(who, _) => (who, Line::Stalled),
            Fault::Slow(who, late) => (who, Line::Slow(late)),
            Fault::Repeated(who) => {
                wire(who).repeat().await;
                continue;
            }
            Fault::ServerCrash(_)
            | Fault::ServerRestart
            | Fault::ServerFrozen(_)
            | Fault::StoreLocked(_)
            | Fault::DiskFull(_)
            | Fault::NodeCrash(..)
            | Fault::NodeFrozen(..)
            | Fault::ClockTurned(..) => unreachable!("not a fault of a connection: {fault:?}"),
        };
        wire(who).set(line);
        sleep(fault.lasts()).await;
        wire(who).set(Line::Whole);
    }
}

/// Turns clocks, and turns them back.
pub(super) async fn turn_clocks(lane: Lane, clocks: &Clocks) {
    let began = Instant::now();
    for (at, fault) in lane {
        sleep_until(began + at).await;
        let Fault::ClockTurned(whose, seconds, lasts) = fault else {
            unreachable!("not a fault of a clock: {fault:?}");
        };
        let clock = match whose {
            Clocked::Server => &clocks.server,
            Clocked::Shield => &clocks.shield,
            Clocked::Edge => &clocks.edge,
        };
        clock.turn(seconds);
        sleep(lasts).await;
        clock.turn(0);
    }
}
