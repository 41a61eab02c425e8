//! The nodes of a simulation, and what an operator wants of them next.
//!
//! What this is: a mainland of two tiers and an overseas of one, of kinds that the seed draws. A third kind of cache is
//! named here: in [`Kind`], which says what its nodes promise and what they hold.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use catharsis_core::area::Area;
use catharsis_core::duty::Duty;
use catharsis_core::ports::Membership;
use catharsis_core::topology::{BoundedFence, Fence, Node, NodeKind, Rotation, Tier};

use super::built_in::BuiltIn;
use super::holds::Holds;
use super::pages::Pages;
use super::third_party::{Coalescing, Directories, Habits, Medium, ThirdParty};
use super::{Chance, Server};
use crate::plans::{behind, node, shield};

/// The longest fetch of a node whose fence does not depend on it.
const UNBOUNDED: Duration = Duration::from_secs(40);

/// What a node is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// The built-in edge, which keeps at most so many marks.
    BuiltIn { marks_max: NonZeroUsize },
    /// Another one, fenced by the relay for this long.
    ThirdParty { habits: Habits, fetch_max: Duration },
}

impl Kind {
    fn draw(chance: &Chance) -> Self {
        if chance.percent(50) {
            let marks_max = if chance.percent(50) { 4 } else { 1_000 };
            return Self::BuiltIn { marks_max: NonZeroUsize::new(marks_max).expect("above zero") };
        }
        let habits = Habits {
            medium: if chance.percent(50) { Medium::Disk } else { Medium::Memory },
            coalescing: if chance.percent(50) { Coalescing::Any } else { Coalescing::SinceThePurge },
            directories: if chance.percent(15) { Directories::Unknown } else { Directories::Known },
        };
        Self::ThirdParty { habits, fetch_max: Duration::from_secs(3 + chance.below(6)) }
    }

    /// The longest fetch of a cache of this kind.
    pub(super) const fn fetch_max(self) -> Duration {
        match self {
            Self::BuiltIn { .. } => UNBOUNDED,
            Self::ThirdParty { fetch_max, .. } => fetch_max,
        }
    }

    /// What such a cache holds at first: nothing.
    pub(super) fn holds(self, pages: &Arc<Pages>) -> Box<dyn Holds> {
        match self {
            Self::BuiltIn { marks_max } => Box::new(BuiltIn::new(Arc::clone(pages), marks_max)),
            Self::ThirdParty { habits, .. } => Box::new(ThirdParty::new(Arc::clone(pages), habits)),
        }
    }

    fn fenced(self, node: Node) -> Node {
        match self {
            Self::BuiltIn { .. } => Node { kind: NodeKind::Edge, fence: Fence::Exact, ..node },
            Self::ThirdParty { habits, fetch_max } => {
                let kind = match habits.directories {
                    Directories::Known => NodeKind::Varnish,
                    Directories::Unknown => NodeKind::Nginx,
                };
                let fence = BoundedFence::new(vec![fetch_max / 3], fetch_max).expect("it rises");
                Node { kind, fence: Fence::Bounded(fence), ..node }
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
    let drawn = nodes.into_iter().map(|node| {
        let kind = Kind::draw(chance);
        (kind.fenced(node), kind)
    });
    drawn.collect()
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
            _ if node.kind == NodeKind::Nginx => shields.push(node.clone()),
            0 => {}
            1 => shields.push(Node { rotation: Rotation::Drained, ..node.clone() }),
            _ => shields.push(Node { rotation: Rotation::In, ..node.clone() }),
        }
    }
    let mut next = Vec::new();
    for node in all.iter().filter(|node| node.tier == Tier::Edge) {
        let old = now.iter().find(|old| old.id == node.id);
        let rotation = match chance.below(7) {
            _ if node.kind == NodeKind::Nginx => Rotation::In,
            0 => continue,
            1 | 2 => Rotation::Drained,
            _ => Rotation::In,
        };
        let ready = |it: &&Node| it.rotation == Rotation::In && is_ok(it);
        let another = shields.iter().filter(ready).map(|it| &it.id).nth(usize::from(chance.percent(50)));
        let stays = old.map_or(node.shield.as_ref(), |old| old.shield.as_ref());
        let stays = stays.filter(|id| shields.iter().any(|it| it.id == **id));
        let is_behind = node.shield.is_some();
        let shield = if is_behind && chance.percent(20) { another } else { stays };
        next.push(Node { rotation, shield: shield.cloned(), ..node.clone() });
    }
    shields.into_iter().chain(next).collect()
}
