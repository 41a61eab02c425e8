//! What happened in a simulation, in order.
//!
//! What this is: one number over all that was read, told, settled and drawn, when, where and in which order. Two plays of
//! a seed are the same if theirs are. What this is not: a judge.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, PoisonError};

use catharsis_core::relay::RelayEvent;
use catharsis_core::topology::NodeId;
use tokio::time::Instant;

use super::pages::{Page, Version};

/// Something that happened.
#[derive(Debug, Hash)]
pub(super) enum Event<'a> {
    /// The operator, the world or a customer does something; what, as drawn.
    Steps(u64),
    /// A client begins to read.
    Asks(&'a NodeId, Page),
    /// It has read this, or nothing.
    Reads(&'a NodeId, Page, Option<Version>),
    /// A cache carries something out, or hears something, that begins there.
    Hears(&'a NodeId, &'static str, Option<u64>),
    /// The relay has come so far with it.
    Relays(&'a NodeId, &'static str, u64),
}

/// Whether what happens is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Telling {
    /// It is only counted.
    Quiet,
    /// A line each.
    Aloud,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Trace {
    began: Instant,
    telling: Telling,
    digest: Mutex<u64>,
}

impl Trace {
    pub(super) fn new(telling: Telling) -> Self {
        Self { began: Instant::now(), telling, digest: Mutex::new(0) }
    }

    /// Notes what happens now.
    pub(super) fn note(&self, event: &Event<'_>) {
        let mut digest = self.digest.lock().unwrap_or_else(PoisonError::into_inner);
        let mut hasher = DefaultHasher::new();
        (*digest, self.began.elapsed(), event).hash(&mut hasher);
        *digest = hasher.finish();
        if self.telling == Telling::Aloud {
            println!("{:>10.3?} {event:?}", self.began.elapsed());
        }
    }

    /// Of all that happened so far.
    pub(super) fn digest(&self) -> u64 {
        *self.digest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The name of what a relay worker did, and how far it came.
pub(super) fn named(event: &RelayEvent<'_>) -> (&'static str, u64) {
    match event {
        RelayEvent::Applied { batch, .. } => ("applied", batch.last().map_or(0, |it| it.seq.0)),
        RelayEvent::Settled { receipt, .. } => ("settled", receipt.cursor().0),
        RelayEvent::Unreachable { attempt, .. } => ("unreachable", u64::from(*attempt)),
        RelayEvent::CannotForget { .. } => ("cannot join", 0),
        RelayEvent::Proof { attempt, .. } => ("proof", u64::from(*attempt)),
        RelayEvent::Lapsed => ("lapsed", 0),
        RelayEvent::Resumed => ("resumed", 0),
        RelayEvent::TrustsAlways => ("trusts always", 0),
        RelayEvent::StoreFailed { .. } => ("store failed", 0),
    }
}
