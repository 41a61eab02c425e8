//! When to try again, and when to give up (pure).

use std::time::Duration;

use crate::limits::{RETRY_FIRST, RETRY_MAX, UNANSWERED_ATTEMPTS_MAX};
use crate::receipt::{Outcome, Refusal, Settled, Unreachable};

/// Delays between attempts: doubling from `first` to `max`, each drawn from its upper half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Upper bound of the first delay.
    pub first: Duration,
    /// Upper bound of every delay.
    pub max: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { first: RETRY_FIRST, max: RETRY_MAX }
    }
}

impl RetryPolicy {
    /// The delay after the `attempt`-th failure (from 1). `random` spreads it over its upper half,
    /// so that workers that lost one node do not return to it in step.
    #[must_use]
    pub fn delay(&self, attempt: u32, random: u64) -> Duration {
        let doublings = attempt.saturating_sub(1).min(20);
        let bound = self.first.saturating_mul(1 << doublings).min(self.max);
        let half = bound / 2;
        let spread = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX).max(1);
        half + Duration::from_nanos(random % spread)
    }
}

/// Whether the node answered anything else meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Liveness {
    /// It answered another invalidation or a probe.
    Answers,
    /// Nothing is known to have been answered.
    Silent,
}

/// What to do about one outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is settled.
    Settle(Settled),
    /// It must be tried again.
    Retry(Unreachable),
}

/// Whether an outcome may be the invalidation's own fault: the connection ended or fell silent at it. A node that answers
/// "denied" or "failed" is waited for, however long, since skipping would lose the purge.
#[must_use]
pub const fn is_unanswered(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Unreachable(Unreachable::Closed | Unreachable::Timeout | Unreachable::Protocol(_)))
}

/// Decides about one outcome. `withheld` attempts left this invalidation unanswered while the node answered something
/// else, this one included; attempts at which it was silent to all are none of these.
#[must_use]
pub fn decide(outcome: Outcome, withheld: u32) -> Decision {
    match outcome {
        Outcome::Applied => Decision::Settle(Settled::Applied),
        Outcome::AppliedTo(copies) => Decision::Settle(Settled::AppliedTo(copies)),
        Outcome::Absent => Decision::Settle(Settled::Absent),
        Outcome::Refused(why) => Decision::Settle(Settled::Refused(why)),
        outcome if is_unanswered(&outcome) && withheld >= UNANSWERED_ATTEMPTS_MAX => {
            Decision::Settle(Settled::Refused(Refusal::Unanswered { attempts: withheld }))
        }
        Outcome::Unreachable(why) => Decision::Retry(why),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn delay_stays_within_its_bounds(attempt in 1u32..200, random in any::<u64>()) {
            let policy = RetryPolicy::default();
            let delay = policy.delay(attempt, random);
            prop_assert!(delay >= policy.first / 2 && delay <= policy.max);
        }
    }

    #[test]
    fn delay_grows_until_its_maximum() {
        let policy = RetryPolicy { first: Duration::from_millis(100), max: Duration::from_secs(1) };
        let delays: Vec<_> = (1..6).map(|attempt| policy.delay(attempt, 0).as_millis()).collect();
        assert_eq!(delays, [50, 100, 200, 400, 500]);
    }

    #[test]
    fn one_poisonous_url_is_given_up_only_when_the_node_answers_others() {
        let closed = || Outcome::Unreachable(Unreachable::Closed);
        let last = UNANSWERED_ATTEMPTS_MAX;
        assert_eq!(decide(closed(), last - 1), Decision::Retry(Unreachable::Closed));
        let given_up = Decision::Settle(Settled::Refused(Refusal::Unanswered { attempts: last }));
        assert_eq!(decide(closed(), last), given_up);
    }

    #[test]
    fn node_that_denies_the_relay_never_loses_a_purge() {
        let denied = Unreachable::Denied { status: 403 };
        let outcome = Outcome::Unreachable(denied.clone());
        assert_eq!(decide(outcome, 10_000), Decision::Retry(denied));
    }
}
