//! The status of items, derived (pure).
//!
//! What this is: the one place that says when an item is `done`. What this is not: stored; a
//! status is computed from cursors, refusals and the clock whenever it is asked for.

use std::time::Duration;

use crate::area::{Area, PerArea};
use crate::clock::UnixMillis;
use crate::invalidation::Seq;

/// The status of an item, as the contract names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ItemStatus {
    /// Not yet settled on every node.
    Process,
    /// Every node of its areas has settled it, and none refused it.
    Done,
    /// A node refused it, or did not settle it in time. A late success turns the second into
    /// [`ItemStatus::Done`].
    Fail,
}

/// What statuses are derived from: one moment's view of the installation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatusView {
    /// The lowest cursor among the nodes of each area.
    pub watermark: PerArea<Seq>,
    /// Now.
    pub now: UnixMillis,
    /// How long an item may stay unsettled before it is shown as failed.
    pub fail_after: Duration,
}

impl StatusView {
    /// The status of one item, from its position in the log of each of its areas.
    #[must_use]
    pub fn item(
        &self,
        positions: impl IntoIterator<Item = (Area, Seq)>,
        accepted_at: UnixMillis,
        refusals: Refusals,
    ) -> ItemStatus {
        if refusals == Refusals::Some {
            return ItemStatus::Fail;
        }
        if positions.into_iter().all(|(area, seq)| seq <= *self.watermark.get(area)) {
            ItemStatus::Done
        } else if accepted_at.until(self.now) > self.fail_after {
            ItemStatus::Fail
        } else {
            ItemStatus::Process
        }
    }
}

/// Whether a node refused the item for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusals {
    /// No node did.
    None,
    /// At least one did.
    Some,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(positions: &[(Area, u64)], age_seconds: u64, refusals: Refusals, expect: ItemStatus) {
        let view = StatusView {
            watermark: PerArea { mainland: Seq(10), overseas: Seq(20) },
            now: UnixMillis(age_seconds * 1_000),
            fail_after: Duration::from_secs(600),
        };
        let positions = positions.iter().map(|(area, seq)| (*area, Seq(*seq)));
        assert_eq!(view.item(positions, UnixMillis(0), refusals), expect);
    }

    #[test]
    fn item_is_done_only_when_every_area_has_settled_it() {
        use Area::{Mainland, Overseas};
        check(&[(Mainland, 10)], 1, Refusals::None, ItemStatus::Done);
        check(&[(Mainland, 11)], 1, Refusals::None, ItemStatus::Process);
        check(&[(Mainland, 10), (Overseas, 21)], 1, Refusals::None, ItemStatus::Process);
        check(&[(Mainland, 10), (Overseas, 20)], 1, Refusals::None, ItemStatus::Done);
    }

    #[test]
    fn late_success_turns_fail_into_done() {
        check(&[(Area::Mainland, 11)], 601, Refusals::None, ItemStatus::Fail);
        check(&[(Area::Mainland, 10)], 601, Refusals::None, ItemStatus::Done);
    }

    #[test]
    fn refused_item_is_never_done() {
        check(&[(Area::Mainland, 1)], 1, Refusals::Some, ItemStatus::Fail);
    }
}
