//! Leases: until when a node may use its copies unasked (pure).
//!
//! What this is: the relay's half, what it may grant and when a lease has certainly ended. What this is not: whoever
//! asks the node and lapses it; that is `crate::leasing`, and the node's half is its own.
//!
//! A node that cannot be told of a purge cannot be waited for either, unless it is known to serve nothing old: it
//! trusts its copies only while it holds a lease, and the relay needs to know a time after which it certainly holds
//! none, however long a grant was under way. No clock is compared with another machine's: the node names a point of
//! its own clock, the next grant says "until so much after that point", and the relay counts from when it *received*
//! the name, which was later.
//!
//! Invariant: at [`Terms::has_ended`] no grant of these terms, nor any that the node was seen to hold, is in force
//! there, whatever was lost, late or repeated under way. It rests on clocks that drift apart by at most
//! [`crate::limits::LEASE_DRIFT_PERCENT`], on a node's clock that goes on while its machine is suspended (the
//! relay's need not: it would only end leases later), and on a new [`Run`] whenever that clock began anew.

use std::time::Duration;

use crate::clock::Tick;
use crate::limits::{LEASE_DRIFT_PERCENT, LEASE_SLACK};

/// One run of a node's process, by a random name: its clock is one, and what it was granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Run(pub u64);

/// A point of a node's own clock, in milliseconds since whatever it began with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeMillis(pub u64);

impl NodeMillis {
    /// The point that much later, in whole milliseconds.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
    }

    /// How long after `earlier` this is; zero when it is before.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// What a run may do: use its copies unasked until then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Any other run must refuse it.
    pub run: Run,
    /// A point of that run's clock.
    pub until: NodeMillis,
}

/// What a node said of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named {
    /// Its run.
    pub run: Run,
    /// Its clock, read before it answered.
    pub clock: NodeMillis,
    /// The end of the lease that it holds, whoever granted it.
    pub until: Option<NodeMillis>,
}

/// The leases of one node, as its relay counts them.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    length: Duration,
    named: Option<(Named, Tick)>,
    /// From here on none is in force.
    ended_at: Tick,
}

impl Terms {
    /// Leases of this length. A relay that ended before `now` may have granted some of a `former` length at the
    /// last moment.
    #[must_use]
    pub fn new(length: Duration, former: Option<Duration>, now: Tick) -> Self {
        Self { length, named: None, ended_at: former.map_or(now, |former| now.after(certainly(former))) }
    }

    /// What may be granted now; nothing before the node has named its run and a point of its clock. Counts as
    /// granted from here on, whether it arrives or not.
    pub fn grant(&mut self) -> Option<Grant> {
        let (named, received) = self.named?;
        self.ended_at = self.ended_at.max(received.after(certainly(self.length)));
        Some(Grant { run: named.run, until: named.clock.after(self.length) })
    }

    /// Takes a node's answer, received no later than `now`.
    pub fn heard(&mut self, named: Named, now: Tick) {
        // Not ours where a relay was here before whose grants nobody remembers.
        if let Some(until) = named.until {
            self.ended_at = self.ended_at.max(now.after(certainly(until.since(named.clock))));
        }
        self.named = Some((named, now));
    }

    /// Whether no lease is in force at the node any more.
    #[must_use]
    pub fn has_ended(&self, now: Tick) -> bool {
        now >= self.ended_at
    }

    /// From when on none is.
    #[must_use]
    pub const fn ended_at(&self) -> Tick {
        self.ended_at
    }
}

/// How long a span of a node's clock is at most, by the relay's.
fn certainly(span: Duration) -> Duration {
    span.saturating_add(span * LEASE_DRIFT_PERCENT / 100).saturating_add(LEASE_SLACK)
}

#[cfg(test)]
#[path = "lease_tests.rs"]
mod tests;
