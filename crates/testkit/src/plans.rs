//! Short ways to make what the engine takes.

use std::sync::Arc;

use catharsis_core::area::{Area, AreaSet, PerArea};
use catharsis_core::clock::UnixMillis;
use catharsis_core::plan::{Plan, Toll};
use catharsis_core::push::{Expected, How, PushItem, PushPlan, PushTask};
use catharsis_core::quota::{Charge, QuotaDay, QuotaKind};
use catharsis_core::target::{Encode, Mode};
use catharsis_core::task::{AccountId, Item, Task, TaskId, TaskKind};
use catharsis_core::topology::{Fence, Join, Node, NodeId, NodeKind, Rotation, Tier};

/// The account of most tests.
pub const ACCOUNT: AccountId = AccountId(100_001);

/// Another account.
pub const OTHER: AccountId = AccountId(100_002);

/// A plan of `ACCOUNT` for these URLs, all in the same areas, with a quota that never ends.
#[must_use]
pub fn plan(id: u64, urls: &[&str], areas: AreaSet) -> Plan {
    mixed(id, urls.iter().map(|url| (*url, areas)))
}

/// As [`plan`], each URL with its own areas. `id` makes the task's id and its time, in seconds.
#[must_use]
pub fn mixed<'a>(id: u64, items: impl IntoIterator<Item = (&'a str, AreaSet)>) -> Plan {
    let items: Vec<Item> = items.into_iter().map(|(url, areas)| Item { url: url.into(), areas }).collect();
    let accepted_at = UnixMillis(1_700_000_000_000 + id * 1_000);
    let count = |area: Area| items.iter().filter(|item| item.areas.contains(area)).count();
    let charge: Charge = PerArea::from_fn(|area| u32::try_from(count(area)).expect("a test's task is small"));
    Plan {
        toll: Toll {
            kind: QuotaKind::Url,
            day: QuotaDay::of(accepted_at),
            charge,
            quota: PerArea::from_fn(|_| u32::MAX / 2),
        },
        claim: None,
        notify: Vec::new(),
        task: Task {
            id: TaskId::new(accepted_at, id),
            account: ACCOUNT,
            kind: TaskKind::Url,
            mode: Mode::Delete,
            encode: Encode::AsSubmitted,
            accepted_at,
            items,
        },
    }
}

/// A prefetch of `ACCOUNT` of these URLs by these nodes, with a quota that never ends. Nodes of the area of
/// each URL fetch it. `id` as in [`mixed`].
#[must_use]
pub fn push<'a>(id: u64, items: impl IntoIterator<Item = (&'a str, AreaSet)>, nodes: &[Node]) -> PushPlan {
    let items: Vec<PushItem> =
        items.into_iter().map(|(url, areas)| PushItem { url: url.into(), areas, level: 0 }).collect();
    let accepted_at = UnixMillis(1_700_000_000_000 + id * 1_000);
    let count = |area: Area| items.iter().filter(|item| item.areas.contains(area)).count();
    let expect = |node: &Node| Expected { node: node.id.clone(), shield: node.shield.clone() };
    PushPlan {
        toll: Toll {
            kind: QuotaKind::Push,
            day: QuotaDay::of(accepted_at),
            charge: PerArea::from_fn(|area| u32::try_from(count(area)).expect("a test's task is small")),
            quota: PerArea::from_fn(|_| u32::MAX / 2),
        },
        claim: None,
        expected: PerArea::from_fn(|area| nodes.iter().filter(|node| node.area == area).map(expect).collect()),
        task: PushTask {
            id: TaskId::new(accepted_at, 1 << 40 | id),
            account: ACCOUNT,
            accepted_at,
            how: Arc::new(How::default()),
            items,
        },
    }
}

/// A node's name.
///
/// # Panics
/// When it is no valid name.
#[must_use]
pub fn name(text: &str) -> NodeId {
    NodeId::parse(text).expect("a test's node has a valid name")
}

/// A node of the mainland without a shield, with an exact fence, that must forget everything
/// before it joins.
#[must_use]
pub fn node(id: &str) -> Node {
    Node {
        id: name(id),
        pop: "p1".into(),
        area: Area::Mainland,
        tier: Tier::Edge,
        kind: NodeKind::Varnish,
        shield: None,
        fence: Fence::Exact,
        join: Join::Everything,
        rotation: Rotation::In,
    }
}

/// As [`node`], of the tier above.
#[must_use]
pub fn shield(id: &str) -> Node {
    Node { tier: Tier::Shield, ..node(id) }
}

/// As [`node`], fetching through a shield.
#[must_use]
pub fn behind(id: &str, shield: &str) -> Node {
    Node { shield: Some(name(shield)), ..node(id) }
}
