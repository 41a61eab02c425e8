//! Domains on their way to the built-in edges, and to agents, which follow their key rules.
//!
//! What this is: a worker for each edge that keeps its table of domains equal to the registry's, and the
//! knowledge of how far each edge has come. What this is not: the edge, or a decision about domains.
//!
//! Invariant: whole tables with rising generations, so that a lost or late message costs time only; an
//! edge that forgot its table (a restart) is noticed within [`LOOK_EVERY`] and told again. An edge that
//! does not answer holds nobody up: it serves nothing of what it was not told.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use catharsis_core::area::Area;
use catharsis_core::board::Board;
use catharsis_core::domain::DomainStatus;
use catharsis_core::duty::Duty;
use catharsis_core::keys::KeyRules;
use catharsis_core::ports::Membership;
use catharsis_core::receipt::Unreachable;
use catharsis_core::topology::{Node, NodeId, NodeKind};
use catharsis_edge::protocol::{
    DomainRules, KeyHost, OriginAddress, OriginScheme, OriginServer, ServedDomain, ServedName, Serving, WireRules,
};
use catharsis_registry::Registry;
use catharsis_registry::record::OriginRecord;
use catharsis_registry::snapshot::{DomainEntry, Snapshot};
use catharsis_tcapi::cdn;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::reload::Placed;

/// How often an edge is asked which table it has.
pub const LOOK_EVERY: Duration = Duration::from_secs(2);

/// How long after a failure an edge is told again.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

/// The weight of a server that has no other beside it.
const WEIGHT_OF_ALL: u8 = 1;

/// One edge, as this worker speaks to it.
#[async_trait]
pub trait DomainSink: Send + Sync {
    /// Hands over a whole table; returns the generation that the edge then has.
    async fn serve(&self, generation: u64, table: Contents) -> Result<u64, Unreachable>;

    /// The generation that the edge has; `None` when it has no table of this server.
    async fn generation(&self) -> Result<Option<u64>, Unreachable>;
}

/// What an edge's table holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// The domains that it serves.
    pub domains: Vec<ServedDomain>,
    /// The key rules of all domains, when one has others than the default: the most specific name counts.
    pub rules: Vec<DomainRules>,
}

/// How far each edge has come.
#[derive(Debug, Default)]
pub struct Distribution {
    edges: Mutex<HashMap<NodeId, Progress>>,
}

#[derive(Clone, Copy, Debug)]
struct Progress {
    area: Area,
    /// The newest generation whose domains the edge serves.
    told: u64,
    reach: Reach,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    Answers,
    Silent,
}

impl Distribution {
    /// All edges and agents among these nodes, none of which was told anything yet.
    #[must_use]
    pub(crate) fn of(nodes: &[Placed]) -> Self {
        let edges = nodes.iter().filter(|it| is_told(it)).map(|it| &it.node);
        let start = |node: &Arc<Node>| Progress { area: node.area, told: 0, reach: Reach::Answers };
        Self { edges: Mutex::new(edges.map(|node| (node.id.clone(), start(node))).collect()) }
    }

    /// Goes on with the edges among these nodes: what those that stay were told is still known, and those that
    /// left hold nobody up.
    pub(crate) fn follow(&self, nodes: &[Placed]) {
        let mut next = Self::of(nodes).edges.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut edges = self.edges.lock().unwrap_or_else(PoisonError::into_inner);
        for (id, progress) in &mut next {
            if let Some(known) = edges.get(id).filter(|known| known.area == progress.area) {
                *progress = *known;
            }
        }
        *edges = next;
    }

    /// Whether an edge that answers does not serve a domain's last change yet.
    #[must_use]
    pub fn is_pending(&self, domain: &DomainEntry) -> bool {
        let edges = self.edges.lock().unwrap_or_else(PoisonError::into_inner);
        let behind = |it: &Progress| it.reach == Reach::Answers && it.told < domain.record.changed_in;
        edges.values().any(|it| domain.areas.contains(it.area) && behind(it))
    }

    fn note(&self, node: &NodeId, change: impl FnOnce(&mut Progress)) {
        let mut edges = self.edges.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(progress) = edges.get_mut(node) {
            change(progress);
        }
    }
}

/// Whether a node is told of domains.
fn is_told(placed: &Placed) -> bool {
    match placed.node.kind {
        NodeKind::Edge | NodeKind::NginxAgent | NodeKind::SquidAgent => true,
        NodeKind::TrafficServer => placed.reach.agent.is_some(),
        NodeKind::Varnish | NodeKind::Nginx | NodeKind::Squid => false,
    }
}

/// The shield that a built-in edge may fetch its domains through: a built-in edge too, which is told the same table.
#[derive(Clone, Debug)]
pub struct Above {
    /// Its name.
    pub shield: NodeId,
    /// Where its clients connect.
    pub traffic: SocketAddr,
    /// Where it stands.
    pub board: Arc<Board>,
}

impl Above {
    /// The address, while an edge may fetch through it: it is in rotation, its content is known, and it is not behind
    /// the edge. From one that is behind, the edge would fetch what it has settled itself and keep it. Once it goes
    /// through the shield it cannot overtake it any more: the relay holds it back.
    fn through(&self, edge: &NodeId) -> Option<SocketAddr> {
        let [shield, edge] = [&self.shield, edge].map(|id| self.board.standing(id));
        let (shield, edge) = (shield?, edge?);
        let may = shield.membership == Membership::Member
            && shield.duty == Duty::Counts
            && shield.settled >= edge.applied.max(edge.settled);
        may.then_some(self.traffic)
    }
}

/// The worker of one edge.
pub struct Publisher {
    /// Which edge.
    pub node: Arc<Node>,
    /// What it may fetch through; `None` when it goes to origins.
    pub above: Option<Above>,
    /// How it is told.
    pub sink: Arc<dyn DomainSink>,
    /// What it is told.
    pub registry: Arc<Registry>,
    /// Where its progress is noted.
    pub distribution: Arc<Distribution>,
}

impl std::fmt::Debug for Publisher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Publisher").field("node", &self.node.id).finish_non_exhaustive()
    }
}

/// The table of the edge, and what it was told of it.
#[derive(Default)]
struct Told {
    /// The registry's generation and the shield that were looked at last: nothing else can change the table.
    seen: Option<(u64, Option<SocketAddr>)>,
    contents: Contents,
    /// The generation by which the edge has this table; `None` until it was told.
    held: Option<u64>,
}

impl Told {
    fn look_at(&mut self, snapshot: &Snapshot, area: Area, through: Option<SocketAddr>) {
        if self.seen == Some((snapshot.generation, through)) {
            return;
        }
        self.seen = Some((snapshot.generation, through));
        let contents = table(snapshot, area, through);
        if self.contents != contents {
            (self.contents, self.held) = (contents, None);
        }
    }
}

impl Publisher {
    /// Keeps the edge's table equal to the registry's until it is stopped.
    pub async fn run(self, stop: CancellationToken) {
        let mut generations = self.registry.generations();
        let mut told = Told::default();
        loop {
            // Marked as seen before the snapshot is taken: what comes in between wakes the next turn.
            generations.mark_unchanged();
            let pause = match self.turn(&mut told).await {
                Ok(()) => LOOK_EVERY,
                Err(why) => {
                    self.silent(&why);
                    AGAIN_AFTER
                }
            };
            // Whichever comes first; none holds a state that is lost when another wins.
            tokio::select! {
                () = stop.cancelled() => return,
                changed = generations.changed() => if changed.is_err() { return },
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    async fn turn(&self, told: &mut Told) -> Result<(), Unreachable> {
        let snapshot = self.registry.snapshot();
        let through = self.above.as_ref().and_then(|above| above.through(&self.node.id));
        told.look_at(&snapshot, self.node.area, through);
        let has = match told.held {
            // A table of its own that is still there need not be sent again.
            Some(held) => self.sink.generation().await? == Some(held),
            None => false,
        };
        if !has {
            let generation = self.sink.serve(snapshot.generation, told.contents.clone()).await?;
            info!(node = %self.node.id, generation, domains = told.contents.domains.len(), "the edge has its table of domains");
            told.held = Some(generation);
        }
        self.distribution.note(&self.node.id, |progress| {
            progress.told = snapshot.generation;
            progress.reach = Reach::Answers;
        });
        Ok(())
    }

    fn silent(&self, why: &Unreachable) {
        self.distribution.note(&self.node.id, |progress| {
            if progress.reach == Reach::Answers {
                warn!(node = %self.node.id, %why, "the edge cannot be told its domains; trying again");
            }
            progress.reach = Reach::Silent;
        });
    }
}

/// What an edge of an area serves: domains with an origin of their own, and a refusal for each that is
/// stopped, even if the edge's own file routes it; through a shield, if there is one for it.
fn table(snapshot: &Snapshot, area: Area, through: Option<SocketAddr>) -> Contents {
    let there = || snapshot.domains.values().filter(|entry| entry.areas.contains(area));
    let rules = |entry: &DomainEntry| DomainRules {
        name: entry.name.clone().into(),
        rules: WireRules::from(KeyRules::clone(&entry.keys)),
    };
    let is_ruled = there().any(|entry| *entry.keys != KeyRules::default());
    Contents {
        domains: there().filter_map(|entry| served(entry, through)).collect(),
        rules: if is_ruled { there().map(rules).collect() } else { Vec::new() },
    }
}

fn served(entry: &DomainEntry, through: Option<SocketAddr>) -> Option<ServedDomain> {
    let through =
        through.and_then(|shield| OriginServer::new(OriginAddress::Ip(shield.ip()), shield.port(), WEIGHT_OF_ALL).ok());
    let name = ServedName::from(entry.name.clone());
    let state = match entry.status {
        DomainStatus::Online | DomainStatus::Processing | DomainStatus::Locked => Serving::Online,
        DomainStatus::Offline | DomainStatus::Rejected | DomainStatus::Closing => Serving::Offline,
    };
    match (state, &entry.record.origin) {
        (Serving::Online, None) => None,
        (Serving::Offline, None) => Some(ServedDomain {
            name,
            state,
            origins: Vec::new(),
            host_header: None,
            scheme: OriginScheme::Http,
            shield: None,
        }),
        (Serving::Online | Serving::Offline, Some(origin)) => Some(ServedDomain {
            name,
            state,
            origins: origin.origins.iter().filter_map(|text| server(text, origin)).collect(),
            host_header: origin.server_name.as_deref().and_then(|name| KeyHost::parse(name).ok()),
            scheme: scheme(origin),
            shield: through,
        }),
    }
}

fn scheme(origin: &OriginRecord) -> OriginScheme {
    match origin.pull_protocol.as_str() {
        "https" => OriginScheme::Https,
        "follow" => OriginScheme::Follow,
        _ => OriginScheme::Http,
    }
}

/// An address as it was accepted.
fn server(text: &str, origin: &OriginRecord) -> Option<OriginServer> {
    let parsed = cdn::OriginAddress::parse(text)?;
    let address = OriginAddress::parse(&parsed.host.to_string()).ok()?;
    let usual = if scheme(origin) == OriginScheme::Https { 443 } else { 80 };
    OriginServer::new(address, parsed.port.map_or(usual, |port| port.get()), parsed.weight.unwrap_or(1)).ok()
}
