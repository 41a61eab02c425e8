//! Whether this edge may use its copies unasked.
//!
//! What this is: the edge's half of a lease, a point of its own clock until which the relay lets it trust what it
//! holds. What this is not: a judgement of any one copy; that is the fence's. While no lease is held, `storage` has
//! each copy confirmed by the upstream before it is used, joins no fetch under way, and `lock` lets nobody wait for
//! one: those may have begun before a purge of which this edge has not heard.
//!
//! Invariants, and why they hold:
//!
//! - *No trust beyond what was granted.* A grant names a point of this clock in this run, so one that comes late says
//!   nothing new, and one that was meant for an earlier run, whose clock may have been another, is refused. The clock
//!   goes on while the machine is suspended (`CLOCK_BOOTTIME`), and nobody sets it.
//! - *A lease is of the log that the fence follows.* A relay of one log knows nothing of the leases of another, so
//!   whatever comes in the name of another log, a lease call or an order, ends the lease before it is answered, and a
//!   grant in the name of a log that the fence does not follow is not taken.
//! - *It is looked at before anything is looked up.* A request that found the lease in force and a copy good uses
//!   that copy, even if the lease ends under its hands: it came before the end, hence before anything was shown done
//!   in trust of the end. One that waited for another's fetch looks again, at the lease too.
//!
//! What is fetched or confirmed meanwhile is kept with the position known before, as ever. That position is old: the
//! edge has not been told newer ones. So a copy confirmed (304) after a purge that this edge has not heard of carries
//! a stamp older than that purge, and is refused once its mark comes: one fetch too many, never one too few. A copy
//! that an origin confirmed before such a purge is refused for the same reason, and that is needed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
#[cfg(feature = "proxy")]
use std::time::Duration;

use catharsis_core::lease::{NodeMillis, Run};
use catharsis_core::limits::LEASE_MAX;
#[cfg(feature = "proxy")]
use rustix::time::{ClockId, clock_gettime};

use crate::fence::Fence;
use crate::protocol::LogId;

/// Whether an edge needs a lease to use its copies unasked: see `catharsis_core::lease`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lease {
    /// It uses them whenever the fence lets it; cut off from its relay, for as long as that lasts.
    None,
    /// Without a lease it has each copy confirmed by the upstream before it uses it.
    Required,
}

/// Whether copies may be used unasked, as a request found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// They may.
    Held,
    /// Each has to be confirmed first.
    Out,
}

/// See the module.
#[derive(Debug)]
pub struct Leases {
    mode: Lease,
    run: Run,
    fence: Arc<Fence>,
    /// The lease ends at this point of the clock; 0 when none was granted.
    ends: AtomicU64,
    /// In whose name it was granted. Held while `ends` changes, so that an end is not undone by a grant that was
    /// checked before.
    log: Mutex<Option<LogId>>,
}

/// How a lease stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseStatus {
    /// Which run.
    pub run: Run,
    /// Its clock.
    pub clock: NodeMillis,
    /// The end of the lease in force.
    pub until: Option<NodeMillis>,
}

impl Leases {
    /// None is held at first. `run` tells this run of the edge from others: random.
    #[must_use]
    pub const fn new(mode: Lease, run: Run, fence: Arc<Fence>) -> Self {
        Self { mode, run, fence, ends: AtomicU64::new(0), log: Mutex::new(None) }
    }

    /// Whether it needs any.
    #[must_use]
    pub const fn mode(&self) -> Lease {
        self.mode
    }

    /// Whether copies may be used unasked now. Costs one atomic load and a look at the clock.
    #[cfg(feature = "proxy")]
    pub(crate) fn trust(&self) -> Trust {
        match self.mode {
            Lease::None => Trust::Held,
            Lease::Required => self.trust_at(clock()),
        }
    }

    /// The same at a point of the clock that was read before: read the other way round, a lease that was ended in
    /// between would count for as long as this thread was held up.
    #[must_use]
    pub fn trust_at(&self, now: NodeMillis) -> Trust {
        match self.mode {
            Lease::None => Trust::Held,
            Lease::Required if now.0 < self.ends.load(Ordering::Acquire) => Trust::Held,
            Lease::Required => Trust::Out,
        }
    }

    /// Takes a call in the name of `log` and what it grants.
    #[cfg(feature = "proxy")]
    pub(crate) fn call(&self, log: &LogId, grant: Option<(Run, NodeMillis)>) -> LeaseStatus {
        self.call_at(clock(), log, grant)
    }

    /// The same at a point of the clock that was read before, so that what is named is not later than the answer.
    pub fn call_at(&self, clock: NodeMillis, log: &LogId, grant: Option<(Run, NodeMillis)>) -> LeaseStatus {
        let mut holder = self.holder();
        self.end_unless_of(&mut holder, log);
        let follows = self.fence.status().log;
        if let Some((run, until)) = grant
            && run == self.run
            && follows.is_none_or(|it| it == *log)
        {
            let furthest = clock.after(LEASE_MAX);
            // The later of two in the name of one log: its relay counts on either.
            self.ends.fetch_max(until.min(furthest).0, Ordering::Release);
        }
        let ends = NodeMillis(self.ends.load(Ordering::Acquire));
        drop(holder);
        LeaseStatus { run: self.run, clock, until: (ends > clock).then_some(ends) }
    }

    /// Takes note of an order in the name of `log`: to be called before it is answered.
    pub fn ordered(&self, log: &LogId) {
        let mut holder = self.holder();
        self.end_unless_of(&mut holder, log);
    }

    fn end_unless_of(&self, holder: &mut Option<LogId>, log: &LogId) {
        if holder.as_ref() != Some(log) {
            self.ends.store(0, Ordering::Release);
            *holder = Some(log.clone());
        }
    }

    // A poisoned lock means that a thread died in `end_unless_of`, which ends first and renames then.
    fn holder(&self) -> MutexGuard<'_, Option<LogId>> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// This machine's time since it was booted, suspended or not.
#[cfg(feature = "proxy")]
fn clock() -> NodeMillis {
    let now = clock_gettime(ClockId::Boottime);
    let since = Duration::try_from(now).unwrap_or_default();
    NodeMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

#[cfg(all(test, feature = "proxy"))]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use std::num::NonZeroUsize;

    use catharsis_core::invalidation::Seq;

    use super::*;

    fn leases() -> (Arc<Fence>, Leases) {
        let fence = Arc::new(Fence::new(NonZeroUsize::MIN));
        (Arc::clone(&fence), Leases::new(Lease::Required, Run(7), fence))
    }

    fn log(name: &str) -> LogId {
        LogId::new(name).unwrap()
    }

    /// What an hour from now on is granted.
    fn hour(leases: &Leases) -> (Run, NodeMillis) {
        let status = leases.call(&log("l"), None);
        (status.run, status.clock.after(Duration::from_secs(3_600)))
    }

    #[test]
    fn nothing_is_trusted_before_the_first_grant_and_nothing_beyond_its_end() {
        let (_, leases) = leases();
        assert_eq!(leases.trust(), Trust::Out);
        let status = leases.call(&log("l"), None);
        assert_eq!((leases.trust(), status.until), (Trust::Out, None));
        let past = leases.call(&log("l"), Some((status.run, status.clock)));
        assert_eq!((leases.trust(), past.until), (Trust::Out, None), "a grant that came when it had ended");
        let status = leases.call(&log("l"), Some(hour(&leases)));
        assert_eq!(leases.trust(), Trust::Held);
        assert_eq!(status.until, Some(status.clock.after(LEASE_MAX)), "no lease is longer than that");
        assert_eq!(Leases::new(Lease::None, Run(1), Arc::clone(&leases.fence)).trust(), Trust::Held);
    }

    #[test]
    fn grant_for_another_run_is_refused() {
        let (_, leases) = leases();
        let (Run(run), until) = hour(&leases);
        assert_eq!(leases.call(&log("l"), Some((Run(run + 1), until))).until, None);
        assert_eq!(leases.trust(), Trust::Out);
    }

    #[test]
    fn whatever_comes_in_the_name_of_another_log_ends_the_lease() {
        let (fence, leases) = leases();
        let hour = hour(&leases);
        leases.call(&log("l"), Some(hour));
        assert_eq!(leases.trust(), Trust::Held);
        leases.call(&log("m"), None);
        assert_eq!(leases.trust(), Trust::Out, "a call");
        leases.call(&log("l"), Some(hour));
        leases.ordered(&log("l"));
        assert_eq!(leases.trust(), Trust::Held);
        leases.ordered(&log("m"));
        assert_eq!(leases.trust(), Trust::Out, "an order");
        fence.apply(&log("m"), Seq(1), &[]).unwrap();
        leases.call(&log("l"), Some(hour));
        assert_eq!(leases.trust(), Trust::Out, "the fence follows another log");
        leases.call(&log("m"), Some(hour));
        assert_eq!(leases.trust(), Trust::Held);
    }
}
