//! What a purge rid the edge of.
//!
//! What this is: a count of copies, and whether there was anything beside them: fetches under way, which are no copies
//! yet. What this is not: part of the fence, which holds whatever was there.
//!
//! Invariant: a copy is counted once, by the purge that took it away or found it to be marked stale.

use crate::protocol::{Beside, WireOutcome};

/// See the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rid {
    pub(crate) copies: u64,
    pub(crate) beside: Beside,
}

impl Rid {
    /// There was nothing.
    pub(crate) const NOTHING: Self = Self { copies: 0, beside: Beside::Nothing };
    /// There may have been something; nothing was counted.
    pub(crate) const UNCOUNTED: Self = Self { copies: 0, beside: Beside::Something };

    /// So many copies.
    pub(crate) const fn copies(copies: usize) -> Self {
        Self { copies: copies as u64, beside: Beside::Nothing }
    }

    /// Both.
    pub(crate) fn and(self, other: Self) -> Self {
        let beside = match (self.beside, other.beside) {
            (Beside::Nothing, Beside::Nothing) => Beside::Nothing,
            (Beside::Something, _) | (_, Beside::Something) => Beside::Something,
        };
        Self { copies: self.copies + other.copies, beside }
    }

    pub(crate) fn outcome(self) -> WireOutcome {
        WireOutcome::of(self.copies, self.beside)
    }
}
