//! Which nodes `done` waits for, and the watermark that follows from it (pure).
//!
//! What this is: the one place that decides whether a node counts, and how far its area is done. What this is
//! not: the board, which asks under its lock, or the store, which remembers who counts.
//!
//! Invariants: a watermark that was shown never goes back, whatever nodes come, go, are drained or return; no
//! node that counts is below it. So what was shown done stays done, and holds at every node that counts.
//!
//! A node that returns stops the watermark until it has reached it. Would the watermark run on meanwhile, a node
//! with a longer fence than the others would never reach it under a steady flow of purges; and what is accepted
//! from now on is done only when that node has it too. Where nobody counts, nobody serves a client from an
//! unconfirmed copy, and the area is done up to the log's head: a number, not "everything", since the first node that returns or is added must
//! know what was shown.

use crate::invalidation::Seq;
use crate::topology::Rotation;

/// Whether a node's cursor is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Duty {
    /// Its cursor counts.
    Counts,
    /// It is to count again and stops the watermark, but has not reached it.
    Returning,
    /// It is told every purge, and nobody waits for it.
    Drained,
    /// Its lease has ended unrenewed, so it uses no copy unasked, and nobody waits for it: see [`crate::lease`].
    Lapsed,
}

impl Duty {
    /// What a node has to do that had this to do before, now that its operator wants that.
    #[must_use]
    pub const fn wanted(self, rotation: Rotation) -> Self {
        match (rotation, self) {
            (Rotation::Drained, _) => Self::Drained,
            (Rotation::In, Self::Counts) => Self::Counts,
            // What it had settled when it stopped counting may be below what is shown by now.
            (Rotation::In, Self::Returning | Self::Drained) => Self::Returning,
            // It returns when it can be told again, not when its operator says so.
            (Rotation::In, Self::Lapsed) => Self::Lapsed,
        }
    }

    /// What it has to do once its lease has certainly ended. A drained node stays one: nobody waits for it anyway.
    #[must_use]
    pub const fn lapsed(self) -> Self {
        match self {
            Self::Counts | Self::Returning | Self::Lapsed => Self::Lapsed,
            Self::Drained => Self::Drained,
        }
    }

    /// What it has to do now that it can be told again.
    #[must_use]
    pub const fn recalled(self) -> Self {
        match self {
            Self::Lapsed => Self::Returning,
            Self::Counts | Self::Returning | Self::Drained => self,
        }
    }

    /// What comes of it when a node with this to do refuses a position for good, while an area is shown done that far.
    #[must_use]
    pub fn refusing(self, seq: Seq, shown: Seq) -> Refusing {
        match self {
            Self::Counts => Refusing::Fails,
            Self::Returning if seq > shown => Refusing::Fails,
            Self::Returning | Self::Drained | Self::Lapsed => Refusing::Forgets,
        }
    }

    /// What a node has to do that nobody knew before.
    #[must_use]
    pub const fn of_new(rotation: Rotation) -> Self {
        match rotation {
            Rotation::In => Self::Counts,
            Rotation::Drained => Self::Drained,
        }
    }
}

/// What comes of a node's refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusing {
    /// The item waits for this node, so it fails, by the node's name.
    Fails,
    /// Nobody waits for the node there: the item may be done, and stays so. The node has to forget everything instead,
    /// else it would hold old copies when it counts again.
    Forgets,
}

/// How far an area is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Watermark {
    shown: Seq,
    holds: u32,
}

impl Watermark {
    /// The watermark of a process that starts with these nodes: what they have to do and their cursors. All that
    /// counted when the last process ended count now too, so it is not below what that one showed.
    pub fn at_start(members: impl Iterator<Item = (Duty, Seq)>, head: Seq) -> Self {
        let counting = members.filter(|(duty, _)| *duty == Duty::Counts).map(|(_, settled)| settled);
        Self { shown: counting.min().unwrap_or(head), holds: 0 }
    }

    /// The watermark among these nodes, which is shown from now on.
    pub fn look(&mut self, members: impl Iterator<Item = (Duty, Seq)>, head: Seq) -> Seq {
        if self.holds > 0 {
            return self.shown;
        }
        let mut lowest: Option<Seq> = None;
        for (duty, settled) in members {
            match duty {
                Duty::Counts => lowest = Some(lowest.map_or(settled, |lowest| lowest.min(settled))),
                Duty::Returning => return self.shown,
                Duty::Drained | Duty::Lapsed => {}
            }
        }
        self.shown = self.shown.max(lowest.unwrap_or(head));
        self.shown
    }

    /// What was shown last.
    #[must_use]
    pub const fn shown(&self) -> Seq {
        self.shown
    }

    /// Whether a node at this cursor may count.
    #[must_use]
    pub fn is_reached_by(&self, settled: Seq) -> bool {
        settled >= self.shown
    }

    /// Stops the watermark until it is let go as often.
    pub const fn hold(&mut self) {
        self.holds = self.holds.saturating_add(1);
    }

    /// Undoes one [`Self::hold`].
    pub const fn let_go(&mut self) {
        self.holds = self.holds.saturating_sub(1);
    }
}

#[cfg(test)]
#[path = "duty_tests.rs"]
mod tests;
