//! What became of one task, item by item at each node (pure).
//!
//! What this is: receipts cover runs of a log; here they are laid over the positions of one task. What this is not:
//! kept; it is worked out of the stored receipts and the board whenever somebody asks.
//!
//! Invariant: each item that concerns a node stands in exactly one of the node's runs.

use std::sync::Arc;
use std::time::Duration;

use crate::audit::{Audit, Verdict};
use crate::board::Standing;
use crate::clock::UnixMillis;
use crate::duty::Duty;
use crate::history::TaskRecord;
use crate::invalidation::Seq;
use crate::ports::Membership;
use crate::receipt::{Reason, Receipt, Refusal, Settled};
use crate::status::{ItemStatus, Refusals};
use crate::task::Task;
use crate::topology::{FenceStrength, Node};

/// What became of a task, node by node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskReceipts {
    /// The task.
    pub task: Task,
    /// Its status as a whole: `Fail` if any item failed, else `Process` if any is not done.
    pub status: ItemStatus,
    /// Each node of its areas.
    pub nodes: Vec<NodeReceipts>,
}

/// What became of a task at one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeReceipts {
    /// The node.
    pub node: Arc<Node>,
    /// Where it stands now.
    pub standing: Standing,
    /// Items of the task that concern it.
    pub items: u32,
    /// Items whose copies it removed.
    pub applied: u32,
    /// Items of which it held no copy.
    pub absent: u32,
    /// Items from before it came: see [`ItemOutcome::Before`].
    pub before: u32,
    /// Items that it will never carry out, with their URLs and reasons.
    pub refused: Vec<(Box<str>, Refusal)>,
    /// The outcome of each item that concerns it, in runs of equal ones.
    pub outcomes: Vec<OutcomeRun>,
    /// When the last of the settled items was settled.
    pub at: Option<UnixMillis>,
    /// What its receipts rest on.
    pub fence: FenceStrength,
    /// Longest wait of the fence among them.
    pub waited: Duration,
    /// Most attempts among them.
    pub attempts: u32,
    /// What was seen from outside of its items after they were done there, in the order of time.
    pub audits: Vec<ItemAudit>,
}

/// What an auditor saw of one item at one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemAudit {
    /// The item, counted from 0 in the order submitted.
    pub item: u32,
    /// When.
    pub at: UnixMillis,
    /// What it says of the promise.
    pub verdict: Verdict,
    /// What that rests on.
    pub why: Reason,
}

/// Items that follow each other in their task and have the same outcome at a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutcomeRun {
    /// The first of them, counted from 0 in the order submitted.
    pub first: u32,
    /// The last of them.
    pub last: u32,
    /// What became of them.
    pub outcome: ItemOutcome,
}

/// What became of one item at one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ItemOutcome {
    /// A receipt says.
    Settled(Settled),
    /// There is no receipt and none will come: the node came later and held nothing from before when it began to count,
    /// because it had forgotten everything or was vouched to be empty.
    Before,
    /// Not settled yet.
    Pending,
}

impl TaskReceipts {
    /// When the last node that `done` waits for had settled it; `None` unless it is done.
    #[must_use]
    pub fn done_at(&self) -> Option<UnixMillis> {
        match self.status {
            ItemStatus::Process | ItemStatus::Fail => None,
            ItemStatus::Done => {
                let counts = self.nodes.iter().filter(|node| node.standing.duty == Duty::Counts);
                Some(counts.filter_map(|node| node.at).max().unwrap_or(self.task.accepted_at))
            }
        }
    }
}

impl NodeReceipts {
    /// Items that are not settled there yet.
    #[must_use]
    pub fn pending(&self) -> u32 {
        let refused = u32::try_from(self.refused.len()).unwrap_or(u32::MAX);
        self.items.saturating_sub(self.applied + self.absent + self.before + refused)
    }

    /// Lays the receipts of an area over the positions that a task has there: what a node said of each.
    #[must_use]
    pub(crate) fn new(
        node: Arc<Node>,
        standing: Standing,
        record: &TaskRecord,
        positions: &[(Seq, usize)],
        receipts: &[Receipt],
    ) -> Self {
        let fence = node.fence.strength();
        let mut report = Self {
            node,
            standing,
            items: count(positions.len()),
            applied: 0,
            absent: 0,
            before: 0,
            refused: Vec::new(),
            outcomes: Vec::new(),
            at: None,
            fence,
            waited: Duration::ZERO,
            attempts: 0,
            audits: Vec::new(),
        };
        // A node that was taken out and came back may have settled a position twice: what it said last counts.
        let mut outcomes: Vec<Option<&Settled>> = vec![None; positions.len()];
        for receipt in receipts.iter().filter(|receipt| receipt.node == report.node.id) {
            let mut concerns = false;
            for (outcome, (seq, _)) in outcomes.iter_mut().zip(positions) {
                if let Some(settled) = outcome_at(receipt, *seq) {
                    (*outcome, concerns) = (Some(settled), true);
                }
            }
            if concerns {
                report.at = report.at.max(Some(receipt.at));
                report.fence = receipt.fence;
                report.waited = report.waited.max(receipt.waited);
                report.attempts = report.attempts.max(receipt.attempts);
            }
        }
        for (outcome, (seq, item)) in outcomes.into_iter().zip(positions) {
            let outcome = match outcome {
                Some(settled) => ItemOutcome::Settled(settled.clone()),
                None => report.without_receipt(*seq),
            };
            report.add(record, *item, outcome);
        }
        report
    }

    /// The same with what auditors saw there.
    #[must_use]
    pub(crate) fn with_audits(mut self, positions: &[(Seq, usize)], audits: &[Audit]) -> Self {
        for audit in audits.iter().filter(|audit| audit.node == self.node.id) {
            if let Ok(place) = positions.binary_search_by_key(&audit.seq, |(seq, _)| *seq) {
                let Audit { at, verdict, why, .. } = audit.clone();
                self.audits.push(ItemAudit { item: count(positions[place].1), at, verdict, why });
            }
        }
        self
    }

    fn without_receipt(&self, seq: Seq) -> ItemOutcome {
        match self.standing.membership {
            Membership::Member if seq <= self.standing.settled => ItemOutcome::Before,
            Membership::Member | Membership::Joining => ItemOutcome::Pending,
        }
    }

    fn add(&mut self, record: &TaskRecord, item: usize, outcome: ItemOutcome) {
        match &outcome {
            ItemOutcome::Settled(Settled::Applied | Settled::AppliedTo(_)) => self.applied += 1,
            ItemOutcome::Settled(Settled::Absent) => self.absent += 1,
            ItemOutcome::Settled(Settled::Refused(why)) => {
                self.refused.push((record.task.items[item].url.clone(), why.clone()));
            }
            ItemOutcome::Before => self.before += 1,
            ItemOutcome::Pending => {}
        }
        let item = count(item);
        match self.outcomes.last_mut() {
            Some(run) if run.last + 1 == item && run.outcome == outcome => run.last = item,
            Some(_) | None => self.outcomes.push(OutcomeRun { first: item, last: item, outcome }),
        }
    }
}

/// Whether any of these receipts refuses one of the positions.
pub(crate) fn refusals(receipts: &[Receipt], positions: &[(Seq, usize)]) -> Refusals {
    let refuses = |receipt: &Receipt| {
        let outcomes = positions.iter().filter_map(|(seq, _)| outcome_at(receipt, *seq));
        outcomes.into_iter().any(|it| matches!(it, Settled::Refused(_)))
    };
    if receipts.iter().any(refuses) { Refusals::Some } else { Refusals::None }
}

fn outcome_at(receipt: &Receipt, seq: Seq) -> Option<&Settled> {
    let place = seq.0.checked_sub(receipt.after.0 + 1)?;
    receipt.outcomes.get(usize::try_from(place).ok()?)
}

fn count(items: usize) -> u32 {
    u32::try_from(items).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::area::{Area, AreaSet, PerArea};
    use crate::target::{Encode, Mode};
    use crate::task::{AccountId, Item, TaskId, TaskKind};
    use crate::topology::{Fence, Join, NodeId, NodeKind, Rotation, Tier};

    fn node() -> Arc<Node> {
        Arc::new(Node {
            id: NodeId::parse("n").expect("a name"),
            pop: "here".into(),
            area: Area::Mainland,
            tier: Tier::Edge,
            shield: None,
            kind: NodeKind::Varnish,
            fence: Fence::None,
            join: Join::Empty,
            rotation: Rotation::In,
        })
    }

    /// Items 0 and 2 to 5 are purged in the mainland, at 11 to 15.
    fn record() -> TaskRecord {
        let item = |number: usize| {
            let area = if number == 1 { Area::Overseas } else { Area::Mainland };
            Item { url: format!("http://a.test/{number}").into(), areas: AreaSet::One(area) }
        };
        let task = Task {
            id: TaskId::new(UnixMillis(5), 1),
            account: AccountId(1),
            kind: TaskKind::Url,
            mode: Mode::Delete,
            encode: Encode::AsSubmitted,
            accepted_at: UnixMillis(5),
            items: (0..6).map(item).collect(),
        };
        TaskRecord { task, first: PerArea { mainland: Some(Seq(11)), overseas: Some(Seq(1)) } }
    }

    fn receipt(after: u64, outcomes: Vec<Settled>) -> Receipt {
        Receipt {
            node: node().id.clone(),
            area: Area::Mainland,
            after: Seq(after),
            outcomes,
            fence: FenceStrength::None,
            waited: Duration::ZERO,
            attempts: 2,
            at: UnixMillis(after),
        }
    }

    fn standing(settled: u64, membership: Membership) -> Standing {
        Standing {
            applied: Seq(settled),
            settled: Seq(settled),
            membership,
            duty: Duty::Counts,
            last_receipt: None,
            trouble: None,
            proof: None,
            abilities: None,
            lease: None,
            lease_ends: None,
            owes: Seq::ZERO,
            stay: None,
        }
    }

    fn outcomes(
        settled: u64,
        membership: Membership,
        receipts: &[Receipt],
    ) -> (NodeReceipts, Vec<(u32, u32, ItemOutcome)>) {
        let record = record();
        let positions: Vec<(Seq, usize)> = record.positions(Area::Mainland).collect();
        let report = NodeReceipts::new(node(), standing(settled, membership), &record, &positions, receipts);
        let runs = report.outcomes.iter().map(|run| (run.first, run.last, run.outcome.clone())).collect();
        (report, runs)
    }

    #[test]
    fn receipts_are_laid_over_the_items_that_concern_a_node() {
        let refused = Settled::Refused(Refusal::Unsupported);
        let first = receipt(9, vec![Settled::Absent, Settled::Applied, Settled::Applied]);
        let second = receipt(12, vec![Settled::Applied, refused.clone()]);
        let (report, runs) = outcomes(14, Membership::Member, &[first, second]);
        let settled = ItemOutcome::Settled;
        // Item 1 concerns the other area, so it separates what is alike.
        let expect = [
            (0, 0, settled(Settled::Applied)),
            (2, 3, settled(Settled::Applied)),
            (4, 4, settled(refused)),
            (5, 5, ItemOutcome::Pending),
        ];
        assert_eq!(runs, expect);
        assert_eq!((report.applied, report.absent, report.before, report.pending()), (3, 0, 0, 1));
        assert_eq!((report.attempts, report.at), (2, Some(UnixMillis(12))));
    }

    #[test]
    fn node_that_came_later_has_no_receipt_and_nothing_pending() {
        let (report, runs) = outcomes(13, Membership::Member, &[]);
        assert_eq!(runs, [(0, 0, ItemOutcome::Before), (2, 3, ItemOutcome::Before), (4, 5, ItemOutcome::Pending)]);
        assert_eq!((report.before, report.pending(), report.attempts), (3, 2, 0));
        let (joining, _) = outcomes(13, Membership::Joining, &[]);
        assert_eq!((joining.before, joining.pending()), (0, 5));
    }
}
