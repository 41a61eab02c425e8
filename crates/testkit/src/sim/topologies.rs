//! The nodes of a simulation, and what an operator wants of them next.
//!
//! What this is: a mainland of two tiers, with an origin hop and a cache behind it, and an overseas of one tier, of kinds
//! that the seed draws. Another kind of cache is named here: in [`Kind`], which says what its nodes promise and what they
//! hold.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use catharsis_core::area::Area;
use catharsis_core::duty::Duty;
use catharsis_core::ports::Membership;
use catharsis_core::topology::{BoundedFence, Fence, Node, NodeKind, Rotation, Tier};
use catharsis_edge::lease::Lease;

use super::built_in::{Below, Build, BuiltIn};
use super::holds::Holds;
use super::pages::Pages;
use super::third_party::{Coalescing, Directories, Habits, Medium, ThirdParty};
use super::{Chance, Server};
use crate::plans::{behind, node, shield};

/// The longest fetch of a node whose fence does not depend on it.
const UNBOUNDED: Duration = Duration::from_secs(40);
/// Of a cache behind a hop.
const BEHIND_HOP: Duration = Duration::from_secs(6);

/// The origin hop.
const HOP: &str = "h1";

/// What a node is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// The built-in edge, which may be granted leases of this length.
    BuiltIn { build: Build, lease: Option<Duration> },
    /// Another one, fenced by the relay for this long.
    ThirdParty { habits: Habits, fetch_max: Duration },
    /// Another one behind its origin hop.
    BehindHop { habits: Habits },
}

impl Kind {
    fn draw(chance: &Chance) -> Self {
        if chance.percent(50) {
            return Self::draw_built_in(chance, Below::Clients);
        }
        Self::ThirdParty { habits: Self::draw_habits(chance), fetch_max: Duration::from_secs(3 + chance.below(6)) }
    }

    fn draw_built_in(chance: &Chance, below: Below) -> Self {
        let marks_max = if chance.percent(50) { 4 } else { 1_000 };
        // Required is what is granted; one that needs none may be granted some, and says so.
        let (lease, is_granted) = match chance.below(4) {
            0 => (Lease::None, false),
            1 => (Lease::None, true),
            _ => (Lease::Required, true),
        };
        let fast = i64::try_from(chance.below(19)).unwrap_or(0) - 9;
        let marks_max = NonZeroUsize::new(marks_max).expect("above zero");
        // Some longer than other nodes take to be done, so that a task is waited for at most by them.
        let length = Duration::from_millis(1_000 + chance.below(14_000));
        Self::BuiltIn { build: Build { marks_max, lease, below, fast }, lease: is_granted.then_some(length) }
    }

    fn draw_habits(chance: &Chance) -> Habits {
        Habits {
            medium: if chance.percent(50) { Medium::Disk } else { Medium::Memory },
            coalescing: if chance.percent(50) { Coalescing::Any } else { Coalescing::SinceThePurge },
            directories: if chance.percent(15) { Directories::Unknown } else { Directories::Known },
        }
    }

    /// The longest fetch of a cache of this kind.
    pub(super) const fn fetch_max(self) -> Duration {
        match self {
            Self::BuiltIn { .. } => UNBOUNDED,
            // No fence rests on it; the longer it is, the less is done that can be judged.
            Self::BehindHop { .. } => BEHIND_HOP,
            Self::ThirdParty { fetch_max, .. } => fetch_max,
        }
    }

    /// What such a cache holds at first: nothing.
    pub(super) fn holds(self, pages: &Arc<Pages>) -> Box<dyn Holds> {
        match self {
            Self::BuiltIn { build, .. } => Box::new(BuiltIn::new(Arc::clone(pages), build)),
            Self::ThirdParty { habits, .. } | Self::BehindHop { habits } => {
                Box::new(ThirdParty::new(Arc::clone(pages), habits))
            }
        }
    }

    /// How long the leases are that the relay grants to a node of this kind.
    pub(super) const fn lease(self) -> Option<Duration> {
        match self {
            Self::BuiltIn { lease, .. } => lease,
            Self::ThirdParty { .. } | Self::BehindHop { .. } => None,
        }
    }

    fn fenced(self, node: Node) -> Node {
        let named = |habits: Habits| match habits.directories {
            Directories::Known => NodeKind::Varnish,
            Directories::Unknown => NodeKind::Nginx,
        };
        match self {
            Self::BuiltIn { .. } => Node { kind: NodeKind::Edge, fence: Fence::Exact, ..node },
            Self::BehindHop { habits } => Node { kind: named(habits), fence: Fence::Hop, ..node },
            Self::ThirdParty { habits, fetch_max } => {
                let fence = BoundedFence::new(vec![fetch_max / 3], fetch_max).expect("it rises");
                Node { kind: named(habits), fence: Fence::Bounded(fence), ..node }
            }
        }
    }
}

/// All nodes that there can be, each with its kind.
pub(super) fn all(chance: &Chance) -> Vec<(Node, Kind)> {
    let overseas = |node: Node| Node { area: Area::Overseas, ..node };
    let nodes = [
        shield("s1"),
        shield("s2"),
        behind("e1", "s1"),
        behind("e2", "s1"),
        behind("e3", "s2"),
        node("m1"),
        overseas(node("o1")),
        overseas(node("o2")),
    ];
    let of_any_kind = nodes.into_iter().map(|node| (node, Kind::draw(chance)));
    let mut drawn: Vec<(Node, Kind)> = of_any_kind.collect();
    drawn.push((shield(HOP), Kind::draw_built_in(chance, Below::Caches)));
    drawn.push((behind("c1", HOP), Kind::BehindHop { habits: Kind::draw_habits(chance) }));
    drawn.into_iter().map(|(node, kind)| (kind.fenced(node), kind)).collect()
}

/// The nodes as an operator could want them next. It keeps to docs/operations.md: an edge moves only to a shield that is
/// shown `ok`, and no shield goes whose edges stay behind it. A node that cannot be told of directories stays in rotation: drained, it
/// would refuse later what was done without it.
pub(super) fn next(all: &[Node], now: &[Arc<Node>], server: &Server, chance: &Chance) -> Vec<Node> {
    let is_ok = |node: &Node| {
        let standing = server.board.standing(&node.id);
        standing.is_some_and(|it| it.duty == Duty::Counts && it.membership == Membership::Member)
    };
    let mut shields: Vec<Node> = Vec::new();
    for node in all.iter().filter(|node| node.tier == Tier::Shield) {
        match chance.below(8) {
            0 => {}
            1 => shields.push(Node { rotation: Rotation::Drained, ..node.clone() }),
            _ => shields.push(Node { rotation: Rotation::In, ..node.clone() }),
        }
    }
    let mut next = Vec::new();
    for node in all.iter().filter(|node| node.tier == Tier::Edge) {
        let old = now.iter().find(|old| old.id == node.id);
        let rotation = match chance.below(7) {
            // It fetches through nothing but its hop.
            _ if node.fence == Fence::Hop && !shields.iter().any(|it| Some(&it.id) == node.shield.as_ref()) => continue,
            0 => continue,
            1 | 2 => Rotation::Drained,
            _ => Rotation::In,
        };
        let ready = |it: &&Node| it.id.as_str() != HOP && it.rotation == Rotation::In && is_ok(it);
        let another = shields.iter().filter(ready).map(|it| &it.id).nth(usize::from(chance.percent(50)));
        let stays = old.map_or(node.shield.as_ref(), |old| old.shield.as_ref());
        let stays = stays.filter(|id| shields.iter().any(|it| it.id == **id));
        let is_behind = node.shield.is_some() && node.fence != Fence::Hop;
        let shield = if is_behind && chance.percent(20) { another } else { stays };
        next.push(Node { rotation, shield: shield.cloned(), ..node.clone() });
    }
    shields.into_iter().chain(next).collect()
}
