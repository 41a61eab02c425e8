//! What is decided about an answer, and what an item's status is derived from (pure).
//!
//! Invariant: a status is derived from fetches and the clock whenever it is asked for, and never stored.

use std::time::Duration;

use super::FetchEnd;
use super::ports::Fetched;
use crate::clock::UnixMillis;
use crate::limits::PUSH_ATTEMPTS_MAX;
use crate::receipt::Reason;

/// What to do about one answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The fetch has ended.
    End(FetchEnd),
    /// It is tried again.
    Again(Reason),
}

/// Decides about the answer to the `attempt`-th attempt (from 1).
///
/// 502, 503 and 504 are what caches say when the origin does not answer them, so these are tried again
/// and then failed; an origin that says so itself looks the same from here.
#[must_use]
pub fn judge(fetched: &Fetched, attempt: u32) -> Verdict {
    let again = |why: Reason| {
        if attempt < PUSH_ATTEMPTS_MAX { Verdict::Again(why) } else { Verdict::End(FetchEnd::Failed { why }) }
    };
    match fetched {
        Fetched::Complete { status, bytes, .. } => Verdict::End(FetchEnd::Complete { status: *status, bytes: *bytes }),
        Fetched::Status(status @ 502..=504) => {
            again(Reason::new(&format!("the node answered {status}: it got no answer from the origin")))
        }
        Fetched::Status(status) => Verdict::End(FetchEnd::Invalid { status: *status }),
        Fetched::Failed(why) => again(why.clone()),
        Fetched::Impossible(why) => Verdict::End(FetchEnd::Failed { why: why.clone() }),
    }
}

/// The status of an item, as the contract names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PushStatus {
    /// A node has not ended it yet.
    Process,
    /// Every node fetched it.
    Done,
    /// A node could not fetch it in time, or an area has no node that could.
    Fail,
    /// The origin answered some node with 4xx or 5xx, and none failed otherwise.
    Invalid,
}

/// One moment's view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PushView {
    /// Now.
    pub now: UnixMillis,
    /// How long a task may take before what is open is shown as failed.
    pub deadline: Duration,
}

/// What became of an item's fetches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Areas of the item in which no node was to fetch it.
    pub without_node: u32,
    /// Fetches that have not ended.
    pub open: u32,
    /// Fetches that completed.
    pub complete: u32,
    /// Fetches that the origin answered with 4xx or 5xx.
    pub invalid: u32,
    /// Fetches that failed.
    pub failed: u32,
}

impl Tally {
    /// Counts one ended fetch.
    pub const fn count(&mut self, end: &FetchEnd) {
        match end {
            FetchEnd::Complete { .. } => self.complete += 1,
            FetchEnd::Invalid { .. } => self.invalid += 1,
            FetchEnd::Failed { .. } => self.failed += 1,
        }
    }

    /// The item's status.
    #[must_use]
    pub fn status(&self, accepted_at: UnixMillis, view: &PushView) -> PushStatus {
        if self.open > 0 {
            let overdue = accepted_at.until(view.now) > view.deadline;
            return if overdue { PushStatus::Fail } else { PushStatus::Process };
        }
        match (self.failed + self.without_node, self.invalid) {
            (0, 0) => PushStatus::Done,
            (0, _) => PushStatus::Invalid,
            (_, _) => PushStatus::Fail,
        }
    }

    /// Ended fetches of all expected, 0 to 100; an area without a node counts as one that has ended.
    #[must_use]
    pub fn percent(&self) -> u8 {
        let ended = u64::from(self.without_node) + u64::from(self.complete + self.invalid + self.failed);
        let percent = (ended * 100).checked_div(ended + u64::from(self.open));
        percent.and_then(|percent| u8::try_from(percent).ok()).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn status(tally: Tally, age_seconds: u64) -> PushStatus {
        let view = PushView { now: UnixMillis(age_seconds * 1_000), deadline: Duration::from_secs(600) };
        tally.status(UnixMillis(0), &view)
    }

    #[test]
    fn item_is_done_only_when_every_node_fetched_it() {
        let all = Tally { complete: 2, ..Tally::default() };
        assert_eq!(status(all, 1), PushStatus::Done);
        assert_eq!(status(Tally { open: 1, ..all }, 1), PushStatus::Process);
        assert_eq!(status(Tally { open: 1, failed: 1, ..all }, 1), PushStatus::Process);
        assert_eq!(status(Tally { open: 1, ..all }, 601), PushStatus::Fail);
        assert_eq!(status(Tally { invalid: 1, ..all }, 1), PushStatus::Invalid);
        assert_eq!(status(Tally { invalid: 1, failed: 1, ..all }, 1), PushStatus::Fail);
        assert_eq!(status(Tally { without_node: 1, ..all }, 1), PushStatus::Fail);
        assert_eq!(status(Tally { without_node: 1, ..Tally::default() }, 1), PushStatus::Fail);
    }

    #[test]
    fn silent_origin_is_asked_three_times_and_a_missing_page_once() {
        let why = |verdict| match verdict {
            Verdict::End(end) => format!("{end:?}"),
            Verdict::Again(_) => "again".to_owned(),
        };
        for status in [502, 503, 504] {
            assert_eq!(why(judge(&Fetched::Status(status), 2)), "again");
            assert!(why(judge(&Fetched::Status(status), 3)).starts_with("Failed"));
        }
        for status in [400, 404, 429, 500, 599] {
            assert_eq!(judge(&Fetched::Status(status), 1), Verdict::End(FetchEnd::Invalid { status }));
        }
        let broken = Fetched::Failed(Reason::new("the body broke off"));
        assert_eq!(why(judge(&broken, 2)), "again");
        assert!(why(judge(&broken, 3)).starts_with("Failed"));
        let never = Fetched::Impossible(Reason::new("no address"));
        assert!(why(judge(&never, 1)).starts_with("Failed"));
    }

    proptest! {
        #[test]
        fn percent_is_whole_exactly_when_nothing_is_open(without_node in 0u32..3, open in 0u32..5, complete in 0u32..5, failed in 0u32..5) {
            let tally = Tally { without_node, open, complete, failed, invalid: 0 };
            prop_assert!(tally.percent() <= 100);
            if without_node + open + complete + failed > 0 {
                prop_assert_eq!(tally.percent() == 100, open == 0);
            }
        }
    }
}
