//! What the log carries.
//!
//! What this is: the order to the caches of one area to forget one target, and its position.

use std::fmt;
use std::sync::Arc;

use crate::clock::UnixMillis;
use crate::target::{Mode, Target};
use crate::task::TaskId;

/// A position in the log of one area. The first invalidation has 1; 0 is "before all".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Seq(pub u64);

impl Seq {
    /// Before the first invalidation.
    pub const ZERO: Self = Self(0);

    /// The position `count` further on.
    #[must_use]
    pub const fn plus(self, count: u64) -> Self {
        Self(self.0 + count)
    }

    /// How many positions lie between `earlier` and this.
    #[must_use]
    pub const fn distance_from(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The order to the caches of one area to forget one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalidation {
    /// Its position in the area's log.
    pub seq: Seq,
    /// The task it belongs to.
    pub task: TaskId,
    /// What to forget. Shared: each worker of the area holds the same target.
    pub target: Arc<Target>,
    /// Whether copies are deleted or marked stale.
    pub mode: Mode,
    /// When its task was accepted.
    pub accepted_at: UnixMillis,
}
