//! How one node stands (pure).
//!
//! What this is: what is known of a node now, how that begins, goes on when its section changes, and what follows from
//! it for the nodes behind it. What this is not: shared; that is the board's.

use std::time::Duration;

use crate::abilities::Abilities;
use crate::clock::UnixMillis;
use crate::duty::{Duty, Watermark};
use crate::invalidation::Seq;
use crate::ports::{Cursor, Membership};
use crate::proof::Proof;
use crate::receipt::Unreachable;
use crate::topology::{Node, Stay};

/// One node's standing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Everything up to this was sent to the node once, in this process's lifetime.
    pub applied: Seq,
    /// Everything up to this is settled there, fence included.
    pub settled: Seq,
    /// Whether the cursor says what the node has forgotten.
    pub membership: Membership,
    /// Whether `done` waits for it.
    pub duty: Duty,
    /// When the last receipt came.
    pub last_receipt: Option<UnixMillis>,
    /// Why it cannot be told now; `None` while it answers.
    pub trouble: Option<Trouble>,
    /// What came of its last proof, and when; `None` when none was tried.
    pub proof: Option<(Proof, UnixMillis)>,
    /// What it can be told; `None` until its worker has begun.
    pub abilities: Option<Abilities>,
    /// The longest lease that it may have been granted; `None` when it is not known to need one.
    pub lease: Option<Duration>,
    /// By then that has certainly ended, unless it is renewed; `None` when nobody grants it any.
    pub lease_ends: Option<UnixMillis>,
    /// Before it counts again it must have settled this too: what nodes behind it may have passed meanwhile.
    pub owes: Seq,
    /// By which it is told positions, if it keeps them.
    pub stay: Option<Stay>,
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

pub(crate) fn first_standing(node: &Node, cursor: Option<Cursor>, head: Seq) -> Standing {
    let seq = cursor.as_ref().map_or(Seq::ZERO, |cursor| cursor.seq);
    let duty = cursor.as_ref().map_or_else(|| Duty::of_new(node.rotation), |cursor| cursor.duty);
    Standing {
        applied: seq,
        settled: seq,
        membership: cursor.as_ref().map_or(Membership::Joining, |cursor| cursor.membership),
        duty,
        last_receipt: cursor.as_ref().and_then(|cursor| cursor.last_receipt),
        trouble: None,
        proof: None,
        abilities: None,
        lease: cursor.as_ref().and_then(|cursor| cursor.lease),
        lease_ends: None,
        owes: owed_by(duty, head),
        stay: cursor.and_then(|cursor| cursor.stay),
    }
}

/// What a node owes that did not count in a process before this one: what others passed there is not known, but it
/// was in the log.
const fn owed_by(duty: Duty, head: Seq) -> Seq {
    match duty {
        Duty::Counts => Seq::ZERO,
        Duty::Returning | Duty::Drained | Duty::Lapsed => head,
    }
}

/// What the store knows is newer where a worker was stopped after the store had kept its receipt and before the
/// board had shown it. Its successor must begin there: a receipt that began earlier and went further would be taken
/// for one that was kept before.
///
/// The same holds for a lease that had ended: whoever noted that has granted none since.
pub(crate) fn go_on(mut standing: Standing, node: &Node, cursor: Option<Cursor>, head: Seq) -> Standing {
    let is_lapsed = |cursor: &Cursor| cursor.duty == Duty::Lapsed;
    if standing.duty == Duty::Lapsed || cursor.as_ref().is_some_and(is_lapsed) {
        standing.owes = standing.owes.max(head);
    }
    standing.duty = match cursor.as_ref() {
        // Of one that returns it is not kept that it does.
        Some(cursor) if is_lapsed(cursor) && standing.duty == Duty::Counts => Duty::Lapsed,
        Some(_) | None => standing.duty.wanted(node.rotation),
    };
    if let Some(cursor) = cursor {
        standing.lease = cursor.lease;
        standing.settled = standing.settled.max(cursor.seq);
        standing.applied = standing.applied.max(cursor.seq);
        standing.last_receipt = standing.last_receipt.max(cursor.last_receipt);
        if cursor.membership == Membership::Member {
            standing.membership = Membership::Member;
        }
    }
    standing
}

pub(crate) fn has_reached(standing: &Standing, watermark: Watermark) -> bool {
    standing.membership == Membership::Member
        && watermark.is_reached_by(standing.settled)
        && standing.settled >= standing.owes
}

pub(crate) fn limit(standing: &Standing) -> Seq {
    match standing.duty {
        Duty::Lapsed => Seq(u64::MAX),
        Duty::Counts | Duty::Returning | Duty::Drained => known(standing),
    }
}

/// How far a node's content is known.
pub(crate) fn known(standing: &Standing) -> Seq {
    match standing.membership {
        Membership::Member => standing.settled,
        Membership::Joining => Seq::ZERO,
    }
}
