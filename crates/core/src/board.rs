//! Where every node stands, now.
//!
//! What this is: the cursors of all nodes in memory, shared by the workers that move them, by edges
//! that wait for their shield and by whoever derives a status. What this is not: the truth; that is
//! the store. Invariant: the board never shows a cursor that is not durable.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::watch;

use crate::abilities::Abilities;
use crate::area::{Area, PerArea};
use crate::clock::UnixMillis;
use crate::invalidation::Seq;
use crate::ports::{Cursor, Membership};
use crate::proof::Proof;
use crate::receipt::Unreachable;
use crate::topology::{Node, NodeId};

/// One node's standing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Everything up to this was sent to the node once, in this process's lifetime.
    pub applied: Seq,
    /// Everything up to this is settled there, fence included.
    pub settled: Seq,
    /// Whether the cursor says what the node has forgotten.
    pub membership: Membership,
    /// When the last receipt came.
    pub last_receipt: Option<UnixMillis>,
    /// Why it cannot be told now; `None` while it answers.
    pub trouble: Option<Trouble>,
    /// What came of its last proof, and when; `None` when none was tried.
    pub proof: Option<(Proof, UnixMillis)>,
    /// What it can be told; `None` until its worker has begun.
    pub abilities: Option<Abilities>,
}

/// Why a node cannot be told now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What it said, or did not say, last.
    pub why: Unreachable,
    /// Since when.
    pub since: UnixMillis,
    /// Attempts that failed since.
    pub attempts: u32,
}

/// The standing of all nodes.
#[derive(Debug)]
pub struct Board {
    nodes: Vec<Arc<Node>>,
    cells: HashMap<NodeId, watch::Sender<Standing>>,
}

/// How an area's watermark moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatermarkMove {
    /// Before.
    pub from: Seq,
    /// After; the same when another node holds it back.
    pub to: Seq,
}

impl Board {
    /// A board of these nodes at these cursors. A node without a cursor begins before all.
    #[must_use]
    pub fn new(nodes: &[Arc<Node>], cursors: Vec<Cursor>) -> Self {
        let mut known: HashMap<NodeId, Cursor> = cursors.into_iter().map(|c| (c.node.clone(), c)).collect();
        let cells = nodes.iter().map(|node| {
            let cursor = known.remove(&node.id);
            let seq = cursor.as_ref().map_or(Seq::ZERO, |cursor| cursor.seq);
            let standing = Standing {
                applied: seq,
                settled: seq,
                membership: cursor.as_ref().map_or(Membership::Joining, |cursor| cursor.membership),
                last_receipt: cursor.and_then(|cursor| cursor.last_receipt),
                trouble: None,
                proof: None,
                abilities: None,
            };
            (node.id.clone(), watch::Sender::new(standing))
        });
        Self { nodes: nodes.to_vec(), cells: cells.collect() }
    }

    /// The nodes on the board.
    #[must_use]
    pub fn nodes(&self) -> &[Arc<Node>] {
        &self.nodes
    }

    /// A node's standing; `None` for a node that is not on the board.
    #[must_use]
    pub fn standing(&self, node: &NodeId) -> Option<Standing> {
        self.cells.get(node).map(|cell| cell.borrow().clone())
    }

    /// The lowest cursor of an area; beyond all positions where the area has no node, since then
    /// nothing there can serve an old copy.
    #[must_use]
    pub fn watermark(&self, area: Area) -> Seq {
        let members = self.nodes.iter().filter(|node| node.area == area);
        members
            .filter_map(|node| self.cells.get(&node.id))
            .map(|cell| cell.borrow().settled)
            .min()
            .unwrap_or(Seq(u64::MAX))
    }

    /// The lowest cursor of each area.
    #[must_use]
    pub fn watermarks(&self) -> PerArea<Seq> {
        PerArea::from_fn(|area| self.watermark(area))
    }

    /// How far a node behind this shield may go: its cursor, or nothing while its content is
    /// unknown, for an edge could refill from what it has not yet forgotten.
    #[must_use]
    pub fn shield_limit(&self, shield: &NodeId) -> Seq {
        self.cells.get(shield).map_or(Seq::ZERO, |cell| limit(&cell.borrow()))
    }

    /// Waits until the shield's limit is beyond `after`. Level-triggered: what happened before the
    /// call counts, so no move is missed.
    pub async fn shield_beyond(&self, shield: &NodeId, after: Seq) {
        let Some(cell) = self.cells.get(shield) else {
            return std::future::pending().await;
        };
        let mut moves = cell.subscribe();
        // The sender lives in `self`, so waiting cannot fail while this future exists.
        let _moved = moves.wait_for(|standing| limit(standing) > after).await;
    }

    /// A receiver of a node's standing, for whoever shows it as it changes.
    #[must_use]
    pub fn watch(&self, node: &NodeId) -> Option<watch::Receiver<Standing>> {
        self.cells.get(node).map(watch::Sender::subscribe)
    }

    pub(crate) fn applied(&self, node: &NodeId, upto: Seq) {
        self.change(node, |standing| standing.applied = standing.applied.max(upto));
    }

    /// Shows a cursor that the store has kept.
    pub(crate) fn settled(&self, node: &Node, upto: Seq, at: UnixMillis) -> WatermarkMove {
        // Another worker may move its node in between; then both report an overlapping move, which
        // only makes a latency histogram count an item twice.
        let from = self.watermark(node.area);
        self.change(&node.id, |standing| {
            standing.settled = standing.settled.max(upto);
            standing.applied = standing.applied.max(upto);
            standing.last_receipt = Some(at);
        });
        WatermarkMove { from, to: self.watermark(node.area) }
    }

    pub(crate) fn joined(&self, node: &NodeId, cursor: Seq) {
        self.change(node, |standing| {
            standing.membership = Membership::Member;
            standing.settled = standing.settled.max(cursor);
            standing.applied = standing.applied.max(cursor);
        });
    }

    pub(crate) fn troubled(&self, node: &NodeId, why: Unreachable, now: UnixMillis) {
        self.change(node, |standing| {
            let (since, attempts) = standing.trouble.as_ref().map_or((now, 0), |old| (old.since, old.attempts));
            standing.trouble = Some(Trouble { why, since, attempts: attempts.saturating_add(1) });
        });
    }

    pub(crate) fn declared(&self, node: &NodeId, abilities: Abilities) {
        self.change(node, |standing| standing.abilities = Some(abilities));
    }

    pub(crate) fn proved(&self, node: &NodeId, proof: Proof, now: UnixMillis) {
        self.change(node, |standing| standing.proof = Some((proof, now)));
    }

    pub(crate) fn untroubled(&self, node: &NodeId) {
        if let Some(cell) = self.cells.get(node) {
            cell.send_if_modified(|standing| standing.trouble.take().is_some());
        }
    }

    fn change(&self, node: &NodeId, change: impl FnOnce(&mut Standing)) {
        if let Some(cell) = self.cells.get(node) {
            cell.send_modify(change);
        }
    }
}

fn limit(standing: &Standing) -> Seq {
    match standing.membership {
        Membership::Member => standing.settled,
        Membership::Joining => Seq::ZERO,
    }
}
