//! The real clock.
//!
//! What this is: the machine's wall clock, tokio's monotonic clock and the system's randomness as
//! the engine's port. Invariant: ticks never go back, whatever happens to the wall clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use catharsis_core::clock::{Tick, UnixMillis};
use catharsis_core::ports::Clock;
use tokio::time::Instant;

/// The longest sleep handed to the timer at once: tokio cannot represent every [`Tick`].
const SLEEP_MAX: Duration = Duration::from_secs(86_400);

/// The machine's clocks.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock whose ticks begin now.
    #[must_use]
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Clock for SystemClock {
    fn wall(&self) -> UnixMillis {
        // A clock set before 1970 reads as 1970: everything is then "just accepted", never "late".
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        UnixMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    fn tick(&self) -> Tick {
        Tick(self.start.elapsed())
    }

    async fn sleep_until(&self, until: Tick) {
        loop {
            let left = until.since(self.tick());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(SLEEP_MAX)).await;
        }
    }

    fn random(&self) -> u64 {
        rand::random()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn sleep_ends_at_its_tick_and_not_before() {
        let clock = SystemClock::new();
        let until = clock.tick().after(Duration::from_secs(200_000));
        clock.sleep_until(until).await;
        assert!(clock.tick() >= until);
        assert!(clock.tick().since(until) < Duration::from_secs(1));
    }
}
