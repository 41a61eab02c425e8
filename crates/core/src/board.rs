//! Where every node stands, now.
//!
//! What this is: the cursors of all nodes in memory, shared by the workers that move them, by edges
//! that wait for their shield and by whoever derives a status. What this is not: the truth; that is
//! the store. Invariants: the board never shows a cursor that is not durable, nor a watermark below one
//! that it has shown; which nodes are on it may change at any time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::abilities::Abilities;
use crate::area::{Area, PerArea};
use crate::clock::UnixMillis;
use crate::duty::{Duty, Watermark};
use crate::invalidation::Seq;
use crate::level::Level;
use crate::ports::{Cursor, Log, Membership};
use crate::proof::Proof;
use crate::receipt::Unreachable;
use crate::standing::{first_standing, go_on, has_reached, known, limit};
use crate::topology::{Node, NodeId};

pub use crate::standing::{Standing, Trouble};

/// The standing of all nodes.
pub struct Board {
    log: Arc<dyn Log>,
    /// One lock for all that the watermarks follow from, so that what is shown and who counts fit together.
    /// Never held across an await.
    roster: Mutex<Roster>,
    moves: watch::Sender<u64>,
}

impl std::fmt::Debug for Board {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Board").field("roster", &self.roster).finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Roster {
    nodes: Arc<[Arc<Node>]>,
    /// Shared with those who wait.
    cells: HashMap<NodeId, Arc<Level<Standing>>>,
    watermarks: PerArea<Watermark>,
}

/// Keeps the watermarks where they are until it is dropped.
#[derive(Debug)]
pub struct Hold {
    board: Arc<Board>,
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut roster = self.board.roster();
        for area in Area::ALL {
            roster.watermarks.get_mut(area).let_go();
        }
        drop(roster);
        self.board.moved();
    }
}

/// How an area's watermark moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatermarkMove {
    /// Before.
    pub from: Seq,
    /// After; the same when another node holds it back.
    pub to: Seq,
}

impl Roster {
    fn members(&self, area: Area) -> impl Iterator<Item = (Duty, Seq)> {
        let there = self.nodes.iter().filter(move |node| node.area == area);
        let standing = |cell: &Arc<Level<Standing>>| {
            let standing = cell.borrow();
            (standing.duty, standing.settled)
        };
        there.filter_map(|node| self.cells.get(&node.id)).map(standing)
    }

    /// The standing of a node that comes on the board, or comes anew.
    fn newcomer(&self, node: &Node, cursor: Option<Cursor>, head: Seq) -> Standing {
        let mut standing = first_standing(node, cursor, head);
        // Cannot be, since the watermark was held; were it, the node would have to catch up first.
        if standing.duty == Duty::Counts && !self.watermarks.get(node.area).is_reached_by(standing.settled) {
            standing.duty = Duty::Returning;
        }
        standing
    }

    fn look(&mut self, area: Area, head: Seq) -> Seq {
        let mut watermark = *self.watermarks.get(area);
        let shown = watermark.look(self.members(area), head);
        *self.watermarks.get_mut(area) = watermark;
        shown
    }
}

impl Board {
    /// A board of these nodes at these cursors. A node without a cursor begins before all. An area where nobody
    /// counts is done up to the head of this log.
    #[must_use]
    pub fn new(nodes: &[Arc<Node>], cursors: Vec<Cursor>, log: Arc<dyn Log>) -> Self {
        let mut known: HashMap<NodeId, Cursor> = cursors.into_iter().map(|c| (c.node.clone(), c)).collect();
        let cells = nodes.iter().map(|node| {
            let standing = first_standing(node, known.remove(&node.id), log.head(node.area));
            (node.id.clone(), Arc::new(Level::new(standing)))
        });
        let cells = cells.collect();
        let mut roster = Roster { nodes: nodes.into(), cells, watermarks: PerArea::default() };
        roster.watermarks = PerArea::from_fn(|area| Watermark::at_start(roster.members(area), log.head(area)));
        Self { log, roster: Mutex::new(roster), moves: watch::Sender::new(0) }
    }

    fn roster(&self) -> MutexGuard<'_, Roster> {
        self.roster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn moved(&self) {
        self.moves.send_modify(|moves| *moves = moves.wrapping_add(1));
    }

    /// The nodes on the board at this moment.
    #[must_use]
    pub fn nodes(&self) -> Arc<[Arc<Node>]> {
        Arc::clone(&self.roster().nodes)
    }

    /// A node's standing; `None` for a node that is not on the board.
    #[must_use]
    pub fn standing(&self, node: &NodeId) -> Option<Standing> {
        self.roster().cells.get(node).map(|cell| cell.borrow().clone())
    }

    /// How far an area is done: the lowest cursor of the nodes that count, or the log's head where nobody does,
    /// since then nothing there can serve an old copy. It never goes back (`crate::duty`).
    #[must_use]
    pub fn watermark(&self, area: Area) -> Seq {
        self.roster().look(area, self.log.head(area))
    }

    /// How far each area is done.
    #[must_use]
    pub fn watermarks(&self) -> PerArea<Seq> {
        PerArea::from_fn(|area| self.watermark(area))
    }

    /// How far a node behind this shield may go: its cursor, whether it counts or not, or nothing while its
    /// content is unknown, for an edge could refill from what it has not yet forgotten.
    ///
    /// Behind a lapsed shield it may go as far as the log. Whatever that one answers from now on, it has asked the
    /// origin for after it was asked itself, so a node that has been told a purge, and fetches then, gets nothing
    /// older. Before the shield may trust its copies again it must have settled all that others can have passed
    /// meanwhile ([`Standing::owes`]); else it would hand them an old copy that they have been told to forget.
    #[must_use]
    pub fn shield_limit(&self, shield: &NodeId) -> Seq {
        self.roster().cells.get(shield).map_or(Seq::ZERO, |cell| limit(&cell.borrow()))
    }

    /// The same for a node whose fence rests on this shield as its origin hop: never beyond its cursor. What is on
    /// its way from there is known of purges only that the hop has been told.
    #[must_use]
    pub fn hop_limit(&self, hop: &NodeId) -> Seq {
        self.roster().cells.get(hop).map_or(Seq::ZERO, |cell| known(&cell.borrow()))
    }

    /// As [`Self::shield_beyond`], for [`Self::hop_limit`].
    pub async fn hop_beyond(&self, hop: &NodeId, after: Seq) {
        self.reaches(hop, |standing| known(standing) > after).await;
    }

    /// Waits until the shield's limit is beyond `after`. Level-triggered: what happened before the
    /// call counts, so no move is missed. Never ends for a shield that is not, or no longer, on the board.
    pub async fn shield_beyond(&self, shield: &NodeId, after: Seq) {
        self.reaches(shield, |standing| limit(standing) > after).await;
    }

    async fn reaches(&self, node: &NodeId, is_reached: impl Fn(&Standing) -> bool) {
        let cell = self.roster().cells.get(node).cloned();
        match cell {
            Some(cell) => cell.wait_for(|standing| is_reached(standing).then_some(())).await,
            None => std::future::pending().await,
        }
    }

    /// A receiver of a node's standing, for whoever shows it as it changes. It ends when the node is taken out.
    #[must_use]
    pub fn watch(&self, node: &NodeId) -> Option<watch::Receiver<Standing>> {
        self.roster().cells.get(node).map(|cell| cell.subscribe())
    }

    /// Changes whenever a node's standing does, and whenever nodes come or go.
    #[must_use]
    pub fn moves(&self) -> watch::Receiver<u64> {
        self.moves.subscribe()
    }

    /// Keeps the watermarks where they are while nodes come and go: a new node's first cursor, which is that of
    /// the slowest, is then not below what is shown when it comes on the board.
    #[must_use]
    pub fn hold(self: &Arc<Self>) -> Hold {
        let mut roster = self.roster();
        for area in Area::ALL {
            // What was done up to now is done; from here it stands.
            roster.look(area, self.log.head(area));
            roster.watermarks.get_mut(area).hold();
        }
        drop(roster);
        Hold { board: Arc::clone(self) }
    }

    /// Takes nodes off the board. Their workers must have ended, and the store must have forgotten them.
    pub fn take_out(&self, gone: &[NodeId]) {
        let mut roster = self.roster();
        roster.nodes = roster.nodes.iter().filter(|node| !gone.contains(&node.id)).cloned().collect();
        roster.cells.retain(|node, _| !gone.contains(node));
        drop(roster);
        self.moved();
    }

    /// Brings the board to these nodes: new ones, and those whose cursor began anew, come at their cursors, those that
    /// stay keep their standing as far as the store is not ahead of it, and each gets to do what its operator wants now.
    /// None may be missing that is on the board.
    ///
    /// One step for whoever reads: before it the old nodes hold, behind it the new ones, and the watermark that
    /// was shown last is the same.
    pub fn bring(&self, _held: &Hold, nodes: &[Arc<Node>], cursors: Vec<Cursor>) {
        let mut known: HashMap<NodeId, Cursor> = cursors.into_iter().map(|c| (c.node.clone(), c)).collect();
        let mut roster = self.roster();
        for node in nodes {
            let (cursor, head) = (known.remove(&node.id), self.log.head(node.area));
            let stays = |now: &Standing| cursor.as_ref().is_none_or(|cursor| cursor.stay == now.stay);
            let now = roster.cells.get(&node.id).map(|cell| cell.borrow().clone()).filter(stays);
            let standing = match now {
                Some(now) => go_on(now, node, cursor, head),
                None => roster.newcomer(node, cursor, head),
            };
            match roster.cells.get(&node.id) {
                // Whoever waits for it goes on to wait.
                Some(cell) => cell.send_modify(|it| *it = standing),
                None => drop(roster.cells.insert(node.id.clone(), Arc::new(Level::new(standing)))),
            }
        }
        roster.nodes = nodes.into();
        drop(roster);
        self.moved();
    }

    /// Waits until a returning node has reached the watermark: `false` when it does not return (any more).
    pub(crate) async fn has_returned(&self, node: &NodeId) -> bool {
        let (mut standing, shown) = {
            let roster = self.roster();
            let (Some(cell), Some(known)) = (roster.cells.get(node), roster.nodes.iter().find(|it| it.id == *node))
            else {
                return false;
            };
            // It stands still as long as this node returns.
            (cell.subscribe(), *roster.watermarks.get(known.area))
        };
        let ended = standing.wait_for(|it| it.duty != Duty::Returning || has_reached(it, shown)).await;
        ended.is_ok_and(|it| it.duty == Duty::Returning)
    }

    /// Counts a node again, of which the store knows that it counts, unless it was drained meanwhile.
    pub(crate) fn returned(&self, node: &NodeId) {
        let roster = self.roster();
        let area = roster.nodes.iter().find(|it| it.id == *node).map(|it| it.area);
        if let (Some(area), Some(cell)) = (area, roster.cells.get(node)) {
            let shown = *roster.watermarks.get(area);
            cell.send_if_modified(|standing| {
                let counts = standing.duty == Duty::Returning && has_reached(standing, shown);
                if counts {
                    standing.duty = Duty::Counts;
                }
                counts
            });
        }
        drop(roster);
        self.moved();
    }

    /// Whether a returning node has reached what it must, so that it may count.
    pub(crate) fn may_return(&self, node: &Node) -> bool {
        let roster = self.roster();
        let shown = *roster.watermarks.get(node.area);
        roster.cells.get(&node.id).is_some_and(|cell| {
            let standing = cell.borrow();
            standing.duty == Duty::Returning && has_reached(&standing, shown)
        })
    }

    /// No longer counts a node, of which the store knows that its lease has ended.
    pub(crate) fn lapsed(&self, node: &NodeId) {
        self.change(node, |standing| standing.duty = standing.duty.lapsed());
    }

    /// Lets a lapsed node return, which holds the watermark until it has. The nodes behind it stop where it is: what
    /// they were allowed before lies below the log's head of this moment.
    pub(crate) fn recall(&self, node: &Node) {
        let head = self.log.head(node.area);
        let mut roster = self.roster();
        // What was shown up to now is shown: it must reach that too.
        roster.look(node.area, head);
        if let Some(cell) = roster.cells.get(&node.id) {
            cell.send_if_modified(|standing| {
                let lapsed = standing.duty == Duty::Lapsed;
                if lapsed {
                    standing.duty = standing.duty.recalled();
                    standing.owes = standing.owes.max(head);
                }
                lapsed
            });
        }
        drop(roster);
        self.moved();
    }

    /// Shows what the store knows of a node's leases.
    pub(crate) fn leased(&self, node: &NodeId, lease: Option<Duration>) {
        self.change(node, |standing| standing.lease = lease);
    }

    /// Shows when a node's lease has certainly ended. Nobody waits for that, so nobody is woken.
    pub(crate) fn lease_ends(&self, node: &NodeId, at: Option<UnixMillis>) {
        if let Some(cell) = self.roster().cells.get(node) {
            cell.send_if_modified(|standing| {
                standing.lease_ends = at;
                false
            });
        }
    }

    pub(crate) fn applied(&self, node: &NodeId, upto: Seq) {
        self.change(node, |standing| standing.applied = standing.applied.max(upto));
    }

    /// Shows a cursor that the store has kept.
    pub(crate) fn settled(&self, node: &Node, upto: Seq, at: UnixMillis) -> WatermarkMove {
        let head = self.log.head(node.area);
        let mut roster = self.roster();
        let from = roster.look(node.area, head);
        if let Some(cell) = roster.cells.get(&node.id) {
            cell.send_modify(|standing| {
                standing.settled = standing.settled.max(upto);
                standing.applied = standing.applied.max(upto);
                standing.last_receipt = Some(at);
            });
        }
        let to = roster.look(node.area, head);
        drop(roster);
        self.moved();
        WatermarkMove { from, to }
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
        let roster = self.roster();
        let Some(cell) = roster.cells.get(node) else { return };
        let was_troubled = cell.send_if_modified(|standing| standing.trouble.take().is_some());
        drop(roster);
        if was_troubled {
            self.moved();
        }
    }

    fn change(&self, node: &NodeId, change: impl FnOnce(&mut Standing)) {
        if let Some(cell) = self.roster().cells.get(node) {
            cell.send_modify(change);
        }
        self.moved();
    }
}
