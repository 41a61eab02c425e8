//! Where a node's cursor begins (pure).
//!
//! What this is: the cursor of a node that has none yet, and of one that fetches through another shield than before. What
//! this is not: whoever keeps it; that is the store, in the same step.
//!
//! Invariant: no node that counts begins below what is shown done, nor beyond what it and its shield have settled.
//!
//! *An edge that moves to another shield* can be ahead of it. Through it, it then fetches copies that are older than
//! purges that it has acknowledged, and nobody would tell it those again. So its cursor goes back to where the slowest is
//! that counts, which its shield has reached if that counts, and it is of unknown content: it forgets everything once its
//! shield has come there, and is told again what follows. A node that keeps positions knows those, and takes a copy that it
//! fetched meanwhile for a newer one; so it gets another [`Stay`], by which nothing is known to it. It counts as it did
//! before, and what is not done yet waits for it.

use crate::duty::Duty;
use crate::invalidation::Seq;
use crate::ports::{Cursor, Membership};
use crate::topology::{Join, Node, Stay};

/// The cursor that a node has from now on. `kept` is the one that it had, `others` those of its area, its own too or not,
/// and `stay` has never been given before.
#[must_use]
pub fn cursor_now<'a>(
    node: &Node,
    kept: Option<&Cursor>,
    others: impl Iterator<Item = &'a Cursor>,
    head: Seq,
    stay: Stay,
) -> Cursor {
    match kept {
        None => first_cursor(node, others, head, stay),
        Some(kept) if kept.shield == node.shield => Cursor { duty: kept.duty.wanted(node.rotation), ..kept.clone() },
        Some(kept) => moved_cursor(node, kept, first_cursor(node, others, head, stay)),
    }
}

/// It begins where the slowest of the others that count is: what is done stays done, and what is not yet settled there
/// waits for the new node too, for until it has forgotten everything it may serve any old copy. With
/// nobody before it that counts, it begins at the head; with nothing ever logged there is nothing to forget.
///
/// A node vouched to be empty is a member at once, unless it fetches through a shield that has not come that far, or whose
/// own content is not known: from that it fills itself with old copies as soon as it serves.
fn first_cursor<'a>(node: &Node, others: impl Iterator<Item = &'a Cursor>, head: Seq, stay: Stay) -> Cursor {
    let others: Vec<&Cursor> = others.collect();
    let counting = others.iter().filter(|cursor| cursor.duty == Duty::Counts);
    let seq = counting.map(|cursor| cursor.seq).min().unwrap_or(head);
    let has_come = |it: &Cursor| it.membership == Membership::Member && it.seq >= seq;
    let is_young = node.shield.as_ref().is_none_or(|id| others.iter().any(|it| it.node == *id && has_come(it)));
    let vouched = node.join == Join::Empty && is_young;
    let membership = if head == Seq::ZERO || vouched { Membership::Member } else { Membership::Joining };
    Cursor {
        node: node.id.clone(),
        seq,
        membership,
        duty: Duty::of_new(node.rotation),
        last_receipt: None,
        lease: None,
        shield: node.shield.clone(),
        stay: Some(stay),
    }
}

fn moved_cursor(node: &Node, kept: &Cursor, first: Cursor) -> Cursor {
    let membership = match kept.membership {
        Membership::Joining => Membership::Joining,
        Membership::Member => first.membership,
    };
    Cursor {
        seq: kept.seq.min(first.seq),
        membership,
        duty: kept.duty.wanted(node.rotation),
        last_receipt: kept.last_receipt,
        // It may still hold one; its end is counted from what it says itself.
        lease: kept.lease,
        ..first
    }
}

#[cfg(test)]
#[path = "beginning_tests.rs"]
mod tests;
