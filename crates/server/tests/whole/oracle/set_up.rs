//! How each set-up of the oracle is started, with its fence and without.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use catharsis_testkit::caches::{RealCache, Relay};
use catharsis_testkit::oracle::readers::Seen;
use catharsis_testkit::oracle::run::{Directories, Purges};
use catharsis_testkit::oracle::{Cache, SetUp};

use super::Publisher;
use super::deaf::Deaf;
use crate::support::{Server, Setup, free_address};

/// Above the slowest fetch (3 s), its lateness (0.3 s), and what a busy machine needs to take its end in.
pub(super) const FETCH_MAX: Duration = Duration::from_millis(4_500);

/// Whether fences are what the set-up says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fences {
    /// They are.
    On,
    /// A third-party cache has `fence = none`, and the edge before it is no hop; a built-in edge, or the shield before
    /// it, is told nothing at all.
    Off,
}

impl Fences {
    fn lines(self) -> String {
        match self {
            Self::On => {
                format!(
                    "fence = {{ kind = \"bounded\", fetch_max = \"{}ms\", repeats = [\"1s\"] }}\n",
                    FETCH_MAX.as_millis()
                )
            }
            Self::Off => "fence = { kind = \"none\" }\n".to_owned(),
        }
    }

    /// Of the hop itself: without it, it lets what a purge overtook go as it is.
    const fn hop_key(self) -> &'static str {
        match self {
            Self::On => "hop = true",
            Self::Off => "hop = false",
        }
    }

    /// Of a cache behind a hop.
    const fn hop_line(self) -> &'static str {
        match self {
            Self::On => "fence = { kind = \"hop\" }\n",
            Self::Off => "fence = { kind = \"none\" }\n",
        }
    }
}

/// Everything that runs. Ends when dropped.
#[derive(Debug)]
pub(super) struct Stage {
    seen: Vec<Seen>,
    server: Server,
    _edges: Vec<Server>,
    _caches: Vec<RealCache>,
    _deaf: Option<Deaf>,
}

impl Stage {
    /// The nodes as clients see them.
    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.clone()
    }

    /// The API.
    pub(super) fn publisher(&self) -> Arc<dyn Purges> {
        Arc::new(Publisher(self.server.client()))
    }
}

/// A node whose clients connect here.
fn seen(name: &str, traffic: SocketAddr) -> Seen {
    Seen { name: name.to_owned(), traffic }
}

/// A built-in edge in a process of its own, and its two addresses.
fn edge(upstream: SocketAddr, line: &str) -> (Server, SocketAddr, SocketAddr) {
    let (traffic, control) = (free_address(), free_address());
    (Setup::edge_only(traffic, control, upstream).edge_line(line).start(), traffic, control)
}

/// Without an agent only Varnish can forget directories.
pub(super) const fn directories(set_up: SetUp) -> Directories {
    match set_up {
        SetUp::Edge | SetUp::EdgeBehindShield | SetUp::Bounded(Cache::Varnish) | SetUp::Hop(Cache::Varnish) => {
            Directories::Purged
        }
        SetUp::Bounded(Cache::Nginx | Cache::Squid | Cache::TrafficServer)
        | SetUp::Hop(Cache::Nginx | Cache::Squid | Cache::TrafficServer) => Directories::Spared,
    }
}

/// The longest lifetime of a page, seconds. By the sample configuration Traffic Server counts a copy's age from when its fetch began: one that
/// took three seconds has to be fresh for longer to be served at all.
pub(super) const fn fresh_max(set_up: SetUp) -> u8 {
    match set_up {
        SetUp::Bounded(Cache::TrafficServer) | SetUp::Hop(Cache::TrafficServer) => 20,
        SetUp::Edge
        | SetUp::EdgeBehindShield
        | SetUp::Bounded(Cache::Varnish | Cache::Nginx | Cache::Squid)
        | SetUp::Hop(Cache::Varnish | Cache::Nginx | Cache::Squid) => 3,
    }
}

/// A bounded fence is not done before its last pass.
pub(super) const fn done_not_before(set_up: SetUp, fences: Fences) -> Duration {
    match (set_up, fences) {
        (SetUp::Bounded(_), Fences::On) => FETCH_MAX,
        (SetUp::Edge | SetUp::EdgeBehindShield | SetUp::Hop(_), _) | (_, Fences::Off) => Duration::ZERO,
    }
}

/// Starts the caches and a server that drives them.
pub(super) async fn start(set_up: SetUp, origin: SocketAddr, fences: Fences) -> Stage {
    match set_up {
        SetUp::Edge => edges(&["edge"], origin, fences).await,
        SetUp::EdgeBehindShield => edges(&["shield", "edge"], origin, fences).await,
        SetUp::Bounded(kind) => third_party(kind, cache(kind, origin).await, &fences.lines()),
        SetUp::Hop(kind) => {
            let (hop, traffic, control) = edge(origin, fences.hop_key());
            behind_a_hop((hop, traffic, control), kind, cache(kind, traffic).await, fences.hop_line())
        }
    }
}

async fn cache(kind: Cache, origin: SocketAddr) -> RealCache {
    match kind {
        Cache::Varnish => RealCache::varnish(origin, Relay::Allowed).await,
        Cache::Nginx => RealCache::nginx(origin, Relay::Allowed).await,
        Cache::Squid => RealCache::squid(origin, Relay::Allowed).await,
        Cache::TrafficServer => RealCache::trafficserver(origin, Relay::Allowed).await,
    }
}

/// What cannot be told to forget everything is vouched to be empty, as it is here.
const fn join_line(kind: Cache) -> &'static str {
    match kind {
        Cache::Varnish => "",
        Cache::Nginx | Cache::Squid | Cache::TrafficServer => "join = \"empty\"\n",
    }
}

fn third_party(kind: Cache, cache: RealCache, fence: &str) -> Stage {
    let lines = format!("{fence}{}", join_line(kind));
    let server = Setup::new().node(kind.name(), "mainland", kind.name(), cache.purge, &lines).start();
    let seen = vec![seen(kind.name(), cache.traffic)];
    Stage { seen, server, _edges: Vec::new(), _caches: vec![cache], _deaf: None }
}

/// A cache behind an edge through which all its fetches go.
fn behind_a_hop(
    (hop, hop_traffic, control): (Server, SocketAddr, SocketAddr),
    kind: Cache,
    cache: RealCache,
    fence: &str,
) -> Stage {
    let lines = format!("shield = \"hop\"\n{fence}{}", join_line(kind));
    let server = Setup::new()
        .node("hop", "mainland", "edge", control, "tier = \"shield\"\n")
        .node(kind.name(), "mainland", kind.name(), cache.purge, &lines)
        .start();
    let seen = vec![seen("hop", hop_traffic), seen(kind.name(), cache.traffic)];
    Stage { seen, server, _edges: vec![hop], _caches: vec![cache], _deaf: None }
}

/// Edges in a row, the one next to the origin first. Without fences that one is told nothing.
async fn edges(names: &[&str], origin: SocketAddr, fences: Fences) -> Stage {
    let deaf = match fences {
        Fences::On => None,
        Fences::Off => Some(Deaf::start().await),
    };
    let (mut setup, mut running, mut clients) = (Setup::new(), Vec::new(), Vec::new());
    let (mut upstream, mut above) = (origin, None::<&str>);
    for &name in names {
        // One that is told nothing would hold no lease either, and keep its copies to itself.
        let lease = if deaf.is_some() { "lease = \"none\"" } else { "" };
        let (process, traffic, control) = edge(upstream, lease);
        let told = deaf.as_ref().filter(|_| above.is_none()).map_or(control, |deaf| deaf.address);
        let mut lines = above.map(|shield| format!("shield = \"{shield}\"\n")).unwrap_or_default();
        if name == "shield" {
            lines.push_str("tier = \"shield\"\n");
        }
        setup = setup.node(name, "mainland", "edge", told, &lines);
        running.push(process);
        clients.push(seen(name, traffic));
        (upstream, above) = (traffic, Some(name));
    }
    Stage { seen: clients, server: setup.start(), _edges: running, _caches: Vec::new(), _deaf: deaf }
}
