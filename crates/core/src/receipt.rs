//! What nodes report.
//!
//! What this is: the outcome of one invalidation at one node, and the receipt that settles a run
//! of them. Invariant: a receipt holds a named outcome for each invalidation it covers.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::area::Area;
use crate::clock::UnixMillis;
use crate::invalidation::Seq;
use crate::limits::REASON_BYTES_MAX;
use crate::proof::{Failed, Proof};
use crate::retry::Liveness;
use crate::topology::{FenceStrength, NodeId};

/// What became of one invalidation at one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A copy was there and is gone; how many there were is not told.
    Applied,
    /// So many copies were there and are gone: the variants of a URL, or all below a directory.
    AppliedTo(NonZeroU32),
    /// There was no copy.
    Absent,
    /// The node will never carry it out.
    Refused(Refusal),
    /// The node did not carry it out now; it may later.
    Unreachable(Unreachable),
}

impl Outcome {
    /// That of a node which counted copies that were there and are gone.
    #[must_use]
    pub fn counted(copies: u32) -> Self {
        NonZeroU32::new(copies).map_or(Self::Absent, Self::AppliedTo)
    }
}

/// Why a node will never carry out an invalidation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It answered that the request is not acceptable: HTTP 400, 414 and the like.
    Malformed {
        /// The HTTP status.
        status: u16,
    },
    /// This kind of cache cannot do what was asked.
    Unsupported,
    /// It left this one unanswered again and again while it answered others.
    Unanswered {
        /// Attempts made.
        attempts: u32,
    },
    /// It serves nothing of this host: its configuration does not name it.
    Unmapped,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Malformed { status } => {
                write!(f, "the node answered {status}: it cannot parse this URL")
            }
            Self::Unsupported => f.write_str("this kind of cache cannot do it"),
            Self::Unanswered { attempts } => {
                write!(f, "the node left it unanswered {attempts} times while it answered others")
            }
            Self::Unmapped => f.write_str("the node has no map for this host: it serves nothing of it"),
        }
    }
}

/// Why a node could not be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreachable {
    /// No connection.
    Connect(Reason),
    /// No answer in time.
    Timeout,
    /// The connection ended before the answer.
    Closed,
    /// It does not let the relay purge (HTTP 401, 403, 405, 501): its configuration must be
    /// mended, and until then the purge waits, for skipping it would lose it.
    Denied {
        /// The HTTP status.
        status: u16,
    },
    /// It answered with a failure of its own.
    Failed {
        /// The HTTP status.
        status: u16,
    },
    /// Its agent answered that it could not do it, and why: a file that cannot be removed.
    Reported(Reason),
    /// What it answered is not the protocol.
    Protocol(Reason),
    /// It failed its proof: what it says about purges is not so.
    Unproven(Failed),
    /// It answers, but can take no more of this kind now: the purge waits until it can.
    Busy(Reason),
}

impl Unreachable {
    /// Whether the node spoke at all.
    #[must_use]
    pub const fn liveness(&self) -> Liveness {
        match self {
            Self::Connect(_) | Self::Timeout | Self::Closed => Liveness::Silent,
            Self::Denied { .. }
            | Self::Failed { .. }
            | Self::Reported(_)
            | Self::Protocol(_)
            | Self::Unproven(_)
            | Self::Busy(_) => Liveness::Answers,
        }
    }
}

impl std::fmt::Display for Unreachable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Connect(reason) => write!(f, "no connection: {}", reason.as_str()),
            Self::Timeout => f.write_str("no answer in time"),
            Self::Closed => f.write_str("the connection was closed before the answer"),
            Self::Denied { status } => {
                write!(f, "the node answered {status}: let the relay's address purge there")
            }
            Self::Failed { status } => write!(f, "the node failed with {status}"),
            Self::Reported(reason) => write!(f, "the node could not do it: {}", reason.as_str()),
            Self::Protocol(reason) => write!(f, "not the expected protocol: {}", reason.as_str()),
            Self::Unproven(failed) => write!(f, "its proof {}", Proof::Failed(*failed)),
            Self::Busy(reason) => write!(f, "the node can take no more now: {}", reason.as_str()),
        }
    }
}

/// A short text from outside, made harmless: printable, at most [`REASON_BYTES_MAX`] bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason(Box<str>);

impl Reason {
    /// Takes a text; control characters become blanks and what is too long is cut off.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let mut kept = String::new();
        for c in text.chars().map(|c| if c.is_control() { ' ' } else { c }) {
            if kept.len() + c.len_utf8() > REASON_BYTES_MAX {
                break;
            }
            kept.push(c);
        }
        Self(kept.into())
    }

    /// The text.
    #[must_use]
    pub const fn as_str(&self) -> &str {
        &self.0
    }
}

/// An outcome that ends the work at one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// A copy was there and is gone; how many there were is not told.
    Applied,
    /// So many copies were there and are gone, by the node's own count.
    AppliedTo(NonZeroU32),
    /// There was no copy.
    Absent,
    /// The node will never carry it out: the item fails, by name.
    Refused(Refusal),
}

impl Settled {
    /// How many copies there were; `None` where there was none or the node does not tell.
    #[must_use]
    pub const fn copies(&self) -> Option<NonZeroU32> {
        match self {
            Self::AppliedTo(copies) => Some(*copies),
            Self::Applied | Self::Absent | Self::Refused(_) => None,
        }
    }

    /// The same of something that this order named only as a part of more: that a copy was there may be so, how many
    /// is not known of the part.
    #[must_use]
    pub fn of_a_part(self) -> Self {
        match self {
            Self::AppliedTo(_) => Self::Applied,
            Self::Applied | Self::Absent | Self::Refused(_) => self,
        }
    }

    /// What two tries of one order come to that are both part of the same settling, `self` being the later one. What
    /// one of them removed was removed; the more of the two, not their sum, for the later one may have met again what
    /// the earlier one had only marked stale.
    #[must_use]
    pub fn after(self, earlier: &Self) -> Self {
        match (self, earlier) {
            (Self::AppliedTo(one), Self::AppliedTo(other)) => Self::AppliedTo(one.max(*other)),
            (Self::Applied | Self::Absent, Self::AppliedTo(copies)) => Self::AppliedTo(*copies),
            (Self::Absent, Self::Applied) => Self::Applied,
            // Refused at last is refused, whatever was done before.
            (later @ (Self::Applied | Self::AppliedTo(_) | Self::Absent | Self::Refused(_)), _) => later,
        }
    }
}

/// A node's report that a run of invalidations is settled there, fence included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Who reports.
    pub node: NodeId,
    /// Whose log it follows.
    pub area: Area,
    /// The cursor before: the first invalidation covered is the next one.
    pub after: Seq,
    /// One for each invalidation covered, in order: the last pass's, with what the passes before it removed. The new
    /// cursor is `after` plus their number.
    pub outcomes: Vec<Settled>,
    /// What the receipt rests on.
    pub fence: FenceStrength,
    /// How long the fence made the receipt wait after the first purge.
    pub waited: Duration,
    /// Attempts that the last pass needed; 1 when nothing went wrong.
    pub attempts: u32,
    /// When the node had settled them.
    pub at: UnixMillis,
}

impl Receipt {
    /// The node's cursor once this receipt is kept.
    #[must_use]
    pub const fn cursor(&self) -> Seq {
        self.after.plus(self.outcomes.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reason_is_short_and_printable() {
        let reason = Reason::new(&format!("a\r\nb{}", "é".repeat(REASON_BYTES_MAX)));
        assert!(reason.as_str().starts_with("a  b"));
        assert!(reason.as_str().len() <= REASON_BYTES_MAX);
    }
}
