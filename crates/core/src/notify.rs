//! What becomes of a notice after an attempt to deliver it (pure).
//!
//! What this is: [`decide`], from an endpoint's answer to what the store is told, and the schedule that
//! it follows. What this is not: the message or its way; nor a clock.
//!
//! Invariant: only a confirmation forgets a notice; every other end is named.

use std::time::Duration;

use crate::clock::UnixMillis;
use crate::notice::{Notice, Told};
use crate::receipt::Reason;

/// Delays after the first, second, … failed attempt; the last one repeats. Each is lengthened by up to
/// a quarter, by chance, so that what failed together does not come back together.
pub const DELAYS: [Duration; 8] = [
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(2 * 60),
    Duration::from_secs(10 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(2 * 3_600),
    Duration::from_secs(6 * 3_600),
    Duration::from_secs(12 * 3_600),
];

/// How long it is tried, default: nine attempts, the last one about 21 hours after the first.
pub const GIVE_UP_AFTER: Duration = Duration::from_secs(24 * 3_600);

/// The longest wait that an endpoint may ask for, and the longest rest of one that does not answer.
pub const REST_MAX: Duration = Duration::from_secs(10 * 60);

/// Attempts at most, however long it is tried: about a month.
pub const ATTEMPTS_MAX: u32 = 64;

/// What an endpoint answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// HTTP 2xx: it has the message.
    Confirmed,
    /// HTTP 410: it wants none of these.
    Gone,
    /// Any other answer.
    Failed {
        /// The HTTP status.
        status: u16,
        /// How its text begins.
        said: Reason,
        /// How long it asks to wait (`Retry-After`).
        wait: Option<Duration>,
    },
    /// No answer.
    Silent(Reason),
}

impl Answer {
    /// Whether it is the endpoint as a whole that cannot take messages now, rather than this message
    /// that it does not take: no answer, or 429, 502, 503, 504.
    #[must_use]
    pub const fn is_of_all(&self) -> bool {
        match self {
            Self::Confirmed | Self::Gone => false,
            Self::Failed { status, .. } => matches!(status, 429 | 502 | 503 | 504),
            Self::Silent(_) => true,
        }
    }

    const fn wait(&self) -> Duration {
        match self {
            Self::Failed { wait: Some(wait), .. } => *wait,
            Self::Confirmed | Self::Gone | Self::Failed { wait: None, .. } | Self::Silent(_) => Duration::ZERO,
        }
    }
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Confirmed => f.write_str("confirmed"),
            Self::Gone => f.write_str("the endpoint answered 410: it wants no more messages"),
            Self::Failed { status, said, .. } if said.as_str().is_empty() => {
                write!(f, "the endpoint answered {status}")
            }
            Self::Failed { status, said, .. } => write!(f, "the endpoint answered {status}: {}", said.as_str()),
            Self::Silent(reason) => write!(f, "no answer: {}", reason.as_str()),
        }
    }
}

/// What a decision depends on besides the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Now.
    pub now: UnixMillis,
    /// 64 random bits.
    pub random: u64,
    /// How long it is tried, counted in delays from the first attempt.
    pub give_up_after: Duration,
}

/// What the store is told after an attempt.
#[must_use]
pub fn decide(notice: &Notice, answer: &Answer, moment: Moment) -> Told {
    match answer {
        Answer::Confirmed => Told::Confirmed,
        Answer::Gone => Told::GaveUp { why: answer.to_string().into() },
        Answer::Failed { .. } | Answer::Silent(_) => {
            again(notice, answer.to_string(), answer.wait().min(REST_MAX), moment)
        }
    }
}

/// What the store is told about a notice that is due while its endpoint rests for `rest` more: the
/// attempt that made it rest counts for this one too. Without that, all messages to a dead endpoint
/// would stay due, in front of those to others.
#[must_use]
pub fn decide_resting(notice: &Notice, why: &str, rest: Duration, moment: Moment) -> Told {
    again(notice, format!("not sent, since another message had {why}"), rest, moment)
}

fn again(notice: &Notice, why: String, at_least: Duration, moment: Moment) -> Told {
    let failed = notice.attempts.saturating_add(1);
    if failed >= attempts_max(moment.give_up_after) {
        return Told::GaveUp { why: format!("given up after {failed} attempts: {why}").into() };
    }
    let delay = delay(failed);
    let spread = u64::try_from((delay / 4).as_millis()).unwrap_or(u64::MAX).max(1);
    let wait = delay.max(at_least) + Duration::from_millis(moment.random % spread);
    let wait = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    Told::Again { at: UnixMillis(moment.now.0.saturating_add(wait)), why: why.into() }
}

/// The shortest delay after the `failed`-th failure, from 1.
fn delay(failed: u32) -> Duration {
    let place = usize::try_from(failed.saturating_sub(1)).unwrap_or(usize::MAX);
    DELAYS[place.min(DELAYS.len() - 1)]
}

/// Attempts until it is given up: the delays between them do not exceed the span. So a server that was
/// down for long, which no schedule foresees, still makes all of them.
#[must_use]
pub fn attempts_max(give_up_after: Duration) -> u32 {
    let mut attempts = 1;
    let mut left = give_up_after;
    while attempts < ATTEMPTS_MAX {
        let Some(rest) = left.checked_sub(delay(attempts)) else { break };
        left = rest;
        attempts += 1;
    }
    attempts
}

/// How long an endpoint rests after so many failures in a row that are [`Answer::is_of_all`].
#[must_use]
pub fn rest(failures: u32, answer: &Answer) -> Duration {
    delay(failures).max(answer.wait()).min(REST_MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::task::{AccountId, TaskId};

    fn notice(attempts: u32) -> Notice {
        let task = TaskId::new(UnixMillis(0), 1);
        Notice { task, account: AccountId(1), endpoint: "ops".into(), attempts }
    }

    fn moment(random: u64) -> Moment {
        Moment { now: UnixMillis(1_000_000), random, give_up_after: GIVE_UP_AFTER }
    }

    fn failed(status: u16, wait: Option<Duration>) -> Answer {
        Answer::Failed { status, said: Reason::new(""), wait }
    }

    /// Seconds until the next attempt; `None` when there is none.
    fn next(attempts: u32, answer: &Answer) -> Option<u64> {
        match decide(&notice(attempts), answer, moment(0)) {
            Told::Again { at, .. } => Some((at.0 - 1_000_000) / 1_000),
            Told::GaveUp { .. } => None,
            Told::Confirmed => panic!("nobody confirmed"),
        }
    }

    #[test]
    fn failures_are_repeated_later_and_later_and_given_up_after_a_day() {
        let delays: Vec<Option<u64>> = (0..10).map(|attempts| next(attempts, &failed(500, None))).collect();
        let expected = [5, 30, 120, 600, 1_800, 7_200, 21_600, 43_200].map(Some);
        assert_eq!(delays[..8], expected);
        assert_eq!(delays[8..], [None, None]);
    }

    #[test]
    fn span_tells_the_number_of_attempts() {
        for (seconds, attempts) in [(0, 1), (4, 1), (5, 2), (34, 2), (35, 3), (24 * 3_600, 9), (72 * 3_600, 13)] {
            assert_eq!(attempts_max(Duration::from_secs(seconds)), attempts, "{seconds} s");
        }
    }

    #[test]
    fn only_a_confirmation_forgets_and_gone_is_the_end() {
        assert_eq!(decide(&notice(0), &Answer::Confirmed, moment(0)), Told::Confirmed);
        assert!(matches!(decide(&notice(0), &Answer::Gone, moment(0)), Told::GaveUp { .. }));
        for status in [100, 301, 307, 400, 404, 409, 429, 500, 503] {
            assert_eq!(next(0, &failed(status, None)), Some(5), "{status}");
        }
    }

    #[test]
    fn endpoint_may_ask_for_a_longer_wait_but_not_for_days() {
        let asks = |seconds| failed(503, Some(Duration::from_secs(seconds)));
        assert_eq!(next(0, &asks(60)), Some(60));
        assert_eq!(next(0, &asks(1)), Some(5));
        assert_eq!(next(0, &asks(1_000_000)), Some(600));
        assert_eq!(rest(1, &asks(60)), Duration::from_secs(60));
        assert_eq!(rest(1, &asks(1_000_000)), REST_MAX);
        assert_eq!(rest(100, &Answer::Silent(Reason::new(""))), REST_MAX);
    }

    #[test]
    fn notice_of_a_resting_endpoint_waits_for_the_end_of_the_rest() {
        let told = decide_resting(&notice(0), "no answer", Duration::from_secs(100), moment(0));
        let Told::Again { at, why } = told else { panic!("it is tried again") };
        assert_eq!(at, UnixMillis(1_100_000));
        assert!(why.contains("no answer"));
        let told = decide_resting(&notice(8), "no answer", Duration::ZERO, moment(0));
        assert!(matches!(told, Told::GaveUp { .. }), "a dead endpoint's notices end too");
    }

    proptest! {
        #[test]
        fn chance_lengthens_a_delay_by_a_quarter_at_most(attempts in 0u32..8, random in any::<u64>()) {
            let Told::Again { at, .. } = decide(&notice(attempts), &failed(500, None), moment(random)) else {
                panic!("it is tried again");
            };
            let (waited, delay) = (at.0 - 1_000_000, u64::try_from(delay(attempts + 1).as_millis()).expect("short"));
            prop_assert!((delay..delay + delay / 4).contains(&waited));
        }
    }
}
