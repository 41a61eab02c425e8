//! How fast bans follow each other.
//!
//! What this is: a token bucket in virtual time. Bans wait in no queue: while a batch of directories
//! waits for its turn, more of them gather in the log and become one ban. What this is not: a limit to
//! how many directories are purged.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Bans that may go at once after a pause.
const BURST: u32 = 3;
/// Time between bans after that. Varnish's lurker works off a ban that is a second old (with
/// `ban_lurker_age=1`), so the list stays short whatever the number of directories (measured with 1,000 a
/// minute, each sent four times: 3 bans as a rule, 6 at most).
const INTERVAL: Duration = Duration::from_millis(500);

/// When the next ban may go.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// When the bucket is full again; `None` before the first ban. The lock is held to look only.
    full: Mutex<Option<Instant>>,
}

impl Pace {
    /// Takes the next turn and says when it is; `None`, and nothing taken, when that is after `latest`.
    pub(super) fn turn(&self, now: Instant, latest: Instant) -> Option<Instant> {
        let mut full = self.full.lock().unwrap_or_else(PoisonError::into_inner);
        let filled = full.unwrap_or(now).max(now);
        let at = filled.checked_sub(INTERVAL * (BURST - 1)).map_or(now, |at| at.max(now));
        if at > latest {
            return None;
        }
        *full = Some(filled + INTERVAL);
        Some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bans_go_at_once_and_the_others_two_a_second() {
        let (pace, start) = (Pace::default(), Instant::now());
        let latest = start + Duration::from_secs(60);
        let waits: Vec<u128> =
            (0..6).filter_map(|_| pace.turn(start, latest)).map(|at| (at - start).as_millis()).collect();
        assert_eq!(waits, [0, 0, 0, 500, 1_000, 1_500]);
        let later = start + Duration::from_secs(20);
        assert_eq!(pace.turn(later, latest), Some(later), "the bucket has filled again");
    }

    #[test]
    fn turn_that_comes_too_late_is_not_taken() {
        let (pace, now) = (Pace::default(), Instant::now());
        assert_eq!((0..9).filter_map(|_| pace.turn(now, now)).count(), 3);
        let at = now + INTERVAL;
        assert_eq!(pace.turn(now, at), Some(at));
    }
}
