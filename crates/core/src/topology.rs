//! Nodes, and how they stand to each other.
//!
//! What this is: the caches of an installation as the relay sees them: area, tier, kind, fence.
//! What this is not: their addresses or credentials; those stay with the adapter that connects.
//! Invariant: an edge's shield exists, is of the `Shield` tier and in the same area, so that both
//! follow one log and tier order is a comparison of two positions of it.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::area::Area;
use crate::limits::{FENCE_PASSES_MAX, NAME_BYTES_MAX};

/// The name of a cache process, unique in an installation.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(Arc<str>);

impl NodeId {
    /// Takes a name of 1 to 63 lower-case letters, digits, `-`, `_` and `.`; `None` for any other.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (1..=NAME_BYTES_MAX).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_' | b'.'));
        fits.then(|| Self(text.into()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of one stay of a node: random, and another one whenever its cursor begins anew, when it is added or moved to
/// another shield. It is a part of the name by which a node that keeps positions is told the log. So whatever it was told
/// before is of another log to it, which makes it forget everything, whatever position that had, and orders, tables and
/// leases from before that come late are not taken for those of now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stay(pub u64);

/// Where a node stands between clients and origins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tier {
    /// Fetches from origins on behalf of edges.
    Shield,
    /// Answers clients.
    Edge,
}

impl Tier {
    /// The tier's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Shield => "shield",
            Self::Edge => "edge",
        }
    }
}

/// The kind of cache that a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NodeKind {
    /// Varnish Cache 7.1 or newer with the sample VCL.
    Varnish,
    /// nginx with the cache purge module and the sample configuration.
    Nginx,
    /// Apache Traffic Server 9.2 with the sample configuration.
    TrafficServer,
    /// Squid with the sample configuration.
    Squid,
    /// nginx without the module, with an agent beside it.
    NginxAgent,
    /// Squid that asks an agent beside it how to name what it stores.
    SquidAgent,
    /// The built-in edge.
    Edge,
}

impl NodeKind {
    /// The kind's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Varnish => "varnish",
            Self::Nginx => "nginx",
            Self::TrafficServer => "trafficserver",
            Self::Squid => "squid",
            Self::NginxAgent => "nginx-agent",
            Self::SquidAgent => "squid-agent",
            Self::Edge => "edge",
        }
    }
}

/// What is done so that a fetch begun before a purge is not served after it (DESIGN section 6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fence {
    /// The node itself refuses whatever it began to fetch before the purge.
    Exact,
    /// All its fetches pass through its shield, a built-in edge that is an origin hop: the purge is repeated once
    /// whatever it had overtaken on the way from there has landed. See [`crate::ports::Hop`].
    Hop,
    /// The purge is repeated until no fetch begun before it can still end.
    Bounded(BoundedFence),
    /// One purge, and a receipt that rests on nothing more.
    None,
}

impl Fence {
    /// When the purge is sent.
    #[must_use]
    pub fn schedule(&self) -> Schedule {
        match self {
            Self::Exact | Self::None => Schedule::Timed(vec![Duration::ZERO]),
            Self::Bounded(bounded) => Schedule::Timed(bounded.passes()),
            Self::Hop => Schedule::Landed,
        }
    }

    /// The fence's name, as receipts show it.
    #[must_use]
    pub const fn strength(&self) -> FenceStrength {
        match self {
            Self::Exact => FenceStrength::Exact,
            Self::Hop => FenceStrength::Hop,
            Self::Bounded(_) => FenceStrength::Bounded,
            Self::None => FenceStrength::None,
        }
    }
}

/// When a purge is sent to a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// At these times, counted from the end of the first pass; the first is zero.
    Timed(Vec<Duration>),
    /// At once, and again when what it overtook has landed.
    Landed,
}

/// How much a receipt promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FenceStrength {
    /// No fetch begun before the purge is ever served after the receipt.
    Exact,
    /// The same, as long as the node fetches through its origin hop only and keeps nothing that it must not
    /// (`no-store`).
    Hop,
    /// The same, as long as no fetch takes longer than the node's `fetch_max`.
    Bounded,
    /// A fetch that was under way may have brought the old copy back.
    None,
}

impl FenceStrength {
    /// The name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Hop => "hop",
            Self::Bounded => "bounded",
            Self::None => "none",
        }
    }
}

/// The schedule of a bounded fence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundedFence {
    repeats: Vec<Duration>,
    fetch_max: Duration,
}

/// Why a fence's schedule is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FenceError {
    /// A fence of no length is no fence.
    #[error("fetch_max must be longer than zero")]
    NoFetchMax,
    /// The repeats must rise and end before the last pass.
    #[error("repeats must rise and stay below fetch_max")]
    NotRising,
    /// More passes than the relay keeps cursors for.
    #[error("at most {} repeats are allowed", FENCE_PASSES_MAX - 2)]
    TooMany,
}

impl BoundedFence {
    /// A fence whose last pass is sent `fetch_max` after the first: the longest time that a fetch
    /// by this node can take. `repeats` are passes before that, which only make old copies rarer
    /// in the meantime.
    ///
    /// # Errors
    /// [`FenceError`] when the schedule does not rise strictly from zero to `fetch_max`.
    pub fn new(repeats: Vec<Duration>, fetch_max: Duration) -> Result<Self, FenceError> {
        if fetch_max.is_zero() {
            return Err(FenceError::NoFetchMax);
        }
        if repeats.len() + 2 > FENCE_PASSES_MAX {
            return Err(FenceError::TooMany);
        }
        let built = Self { repeats, fetch_max };
        let rises = built.passes().windows(2).all(|pair| pair[0] < pair[1]);
        if rises { Ok(built) } else { Err(FenceError::NotRising) }
    }

    fn passes(&self) -> Vec<Duration> {
        let mut passes = vec![Duration::ZERO];
        passes.extend(&self.repeats);
        passes.push(self.fetch_max);
        passes
    }
}

/// What a node that joins a log that already holds invalidations is known to contain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Join {
    /// Unknown content: it is told to forget everything first.
    Everything,
    /// The operator vouches that it was empty when it was added.
    Empty,
}

/// Whether clients are sent to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rotation {
    /// They are, so `done` waits for it.
    In,
    /// They are not: it is told every purge, but nobody waits for it.
    Drained,
}

impl Rotation {
    /// The name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::In => "in",
            Self::Drained => "drained",
        }
    }
}

/// One cache process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub id: NodeId,
    /// The place where it runs.
    pub pop: Arc<str>,
    /// The area whose log it follows.
    pub area: Area,
    /// Where it stands.
    pub tier: Tier,
    /// What kind of cache it is.
    pub kind: NodeKind,
    /// The shield through which it fetches; none when it fetches from origins.
    pub shield: Option<NodeId>,
    /// How a purge is kept from being undone by a fetch under way.
    pub fence: Fence,
    /// What it contains when it joins.
    pub join: Join,
    /// Whether clients are sent to it.
    pub rotation: Rotation,
}

/// All nodes of an installation.
#[derive(Clone, Debug, Default)]
pub struct Topology {
    nodes: Vec<Arc<Node>>,
}

/// Why a list of nodes is no topology.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopologyError {
    /// Two nodes have one name.
    #[error("node `{0}` is listed twice")]
    Twice(NodeId),
    /// An edge names a shield that is not listed.
    #[error("node `{node}`: its shield `{shield}` is not listed")]
    NoShield {
        /// The edge.
        node: NodeId,
        /// The name it gives.
        shield: NodeId,
    },
    /// An edge names a node of another tier or area as its shield.
    #[error("node `{node}`: `{shield}` is not a shield of the same area")]
    NotItsShield {
        /// The edge.
        node: NodeId,
        /// The name it gives.
        shield: NodeId,
    },
    /// A shield has a shield.
    #[error("node `{0}`: a shield cannot have a shield")]
    ShieldBehindShield(NodeId),
    /// A node is said to fetch through an origin hop, and has none, or is a built-in edge, whose fence is its own.
    #[error("node `{0}`: the fence `hop` needs a shield that is a built-in edge, and is not for built-in edges")]
    NoHop(NodeId),
}

impl Topology {
    /// Checks a list of nodes.
    ///
    /// # Errors
    /// [`TopologyError`] when names repeat or shields do not fit.
    pub fn new(nodes: Vec<Node>) -> Result<Self, TopologyError> {
        let mut by_id: HashMap<&NodeId, &Node> = HashMap::new();
        for node in &nodes {
            if by_id.insert(&node.id, node).is_some() {
                return Err(TopologyError::Twice(node.id.clone()));
            }
        }
        for node in &nodes {
            let above = node.shield.as_ref().and_then(|shield| by_id.get(shield));
            let is_behind_a_hop = above.is_some_and(|it| it.kind == NodeKind::Edge) && node.kind != NodeKind::Edge;
            if node.fence == Fence::Hop && !is_behind_a_hop {
                return Err(TopologyError::NoHop(node.id.clone()));
            }
            let Some(shield) = &node.shield else { continue };
            if node.tier == Tier::Shield {
                return Err(TopologyError::ShieldBehindShield(node.id.clone()));
            }
            match by_id.get(shield) {
                None => {
                    return Err(TopologyError::NoShield { node: node.id.clone(), shield: shield.clone() });
                }
                Some(above) if above.tier != Tier::Shield || above.area != node.area => {
                    return Err(TopologyError::NotItsShield { node: node.id.clone(), shield: shield.clone() });
                }
                Some(_) => {}
            }
        }
        Ok(Self { nodes: nodes.into_iter().map(Arc::new).collect() })
    }

    /// The nodes, in the order listed.
    #[must_use]
    pub fn nodes(&self) -> &[Arc<Node>] {
        &self.nodes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: &str, tier: Tier, area: Area, shield: Option<&str>) -> Node {
        let name = |text: &str| NodeId::parse(text).expect("a valid name in a test");
        Node {
            id: name(id),
            pop: "p".into(),
            area,
            tier,
            kind: NodeKind::Edge,
            shield: shield.map(name),
            fence: Fence::Exact,
            join: Join::Everything,
            rotation: Rotation::In,
        }
    }

    #[test]
    fn shield_must_exist_above_and_in_the_same_area() {
        let shield = node("s", Tier::Shield, Area::Mainland, None);
        let ok = Topology::new(vec![node("e", Tier::Edge, Area::Mainland, Some("s")), shield.clone()]);
        assert!(ok.is_ok());
        for (wrong, edge) in [
            ("absent", node("e", Tier::Edge, Area::Mainland, Some("x"))),
            ("other area", node("e", Tier::Edge, Area::Overseas, Some("s"))),
            ("itself an edge", node("e", Tier::Edge, Area::Mainland, Some("e"))),
            ("behind a shield", node("e", Tier::Shield, Area::Mainland, Some("s"))),
            ("same name", node("s", Tier::Edge, Area::Mainland, None)),
        ] {
            assert!(Topology::new(vec![edge, shield.clone()]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn bounded_fence_ends_after_the_longest_fetch() {
        let seconds = Duration::from_secs;
        let fence = BoundedFence::new(vec![seconds(2), seconds(10)], seconds(60)).expect("rises");
        assert_eq!(Fence::Bounded(fence).schedule(), Schedule::Timed([0, 2, 10, 60].map(seconds).to_vec()));
        assert_eq!(BoundedFence::new(vec![seconds(70)], seconds(60)), Err(FenceError::NotRising));
        assert_eq!(BoundedFence::new(vec![], Duration::ZERO), Err(FenceError::NoFetchMax));
    }
}
