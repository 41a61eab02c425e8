//! How many bans a Varnish may hold.
//!
//! What this is: the cap and its alarm. Every object that is older than a ban is compared with it, by
//! the lurker or at its next hit, so a list that grows makes each hit dearer, until the cache is slower than
//! its origin. What this is not: the reason why the list stays short; that is the pace and the lurker.
//!
//! Invariant: where there is a cap, no ban is sent unless the list was seen below it a second ago at most.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use catharsis_core::receipt::{Reason, Unreachable};
use tokio::time::Instant;
use tracing::{info, warn};

use super::management::{Length, LookError, Management};

/// How long a look at the list counts.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Part of the cap from which on the list is worth a warning, per cent.
const HIGH: u64 = 80;

/// Hears how long the list is, whenever it was looked at.
pub type Gauge = Arc<dyn Fn(u64) + Send + Sync>;

/// The cap of one Varnish.
pub(super) struct BanList {
    management: Management,
    max: u64,
    gauge: Gauge,
    /// The lock is held to look only.
    seen: Mutex<Seen>,
}

impl std::fmt::Debug for BanList {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BanList").field("management", &self.management).field("max", &self.max).finish_non_exhaustive()
    }
}

#[derive(Debug, Default)]
struct Seen {
    /// When, and what could then be said about room.
    last: Option<(Instant, Result<(), Unreachable>)>,
    level: Level,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    #[default]
    Short,
    High,
    Full,
}

impl BanList {
    pub(super) fn new(management: Management, max: u64, gauge: Gauge) -> Self {
        Self { management, max, gauge, seen: Mutex::default() }
    }

    /// Whether another ban may be sent.
    pub(super) async fn room(&self) -> Result<(), Unreachable> {
        let fresh = |(at, room): &(Instant, Result<(), Unreachable>)| (at.elapsed() < LOOK_EVERY).then(|| room.clone());
        let known = self.seen.lock().unwrap_or_else(PoisonError::into_inner).last.as_ref().and_then(fresh);
        if let Some(room) = known {
            return room;
        }
        // Another batch may look meanwhile as well, which does no harm.
        let length = self.management.bans().await;
        let room = judge(&length, self.max);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.last = Some((Instant::now(), room.clone()));
        if let Ok(Length::Exactly(bans) | Length::AtLeast(bans)) = length {
            (self.gauge)(bans);
            self.alarm(&mut seen.level, bans);
        }
        room
    }

    /// Warns when a level is reached, once each time.
    fn alarm(&self, level: &mut Level, bans: u64) {
        let (before, max) = (*level, self.max);
        *level = level_of(bans, max);
        let node = &self.management;
        match *level {
            Level::Full if before < Level::Full => {
                warn!(
                    ?node,
                    bans,
                    max,
                    "the ban list is full: directories are not purged until it is shorter; does the ban lurker run?"
                );
            }
            Level::High if before < Level::High => {
                warn!(?node, bans, max, "the ban list is getting long; does the ban lurker run?")
            }
            Level::Short if before > Level::Short => info!(?node, bans, max, "the ban list is short again"),
            Level::Short | Level::High | Level::Full => {}
        }
    }
}

const fn level_of(bans: u64, max: u64) -> Level {
    if bans >= max {
        Level::Full
    } else if bans.saturating_mul(100) >= max.saturating_mul(HIGH) {
        Level::High
    } else {
        Level::Short
    }
}

fn judge(length: &Result<Length, LookError>, max: u64) -> Result<(), Unreachable> {
    let why = match length {
        Ok(Length::Exactly(bans)) if *bans < max => return Ok(()),
        Ok(Length::Exactly(bans)) => {
            format!("its ban list holds {bans} bans, at most {max} are allowed: is the ban lurker running?")
        }
        Ok(Length::AtLeast(bans)) if *bans >= max => {
            format!("its ban list holds {bans} bans or more, at most {max} are allowed: is the ban lurker running?")
        }
        Ok(Length::AtLeast(bans)) => format!(
            "its ban list holds {bans} bans or more, and its management port shows no further: start it with a larger cli_limit"
        ),
        Err(error) => format!("the length of its ban list is not known: {error}"),
    };
    Err(Unreachable::Busy(Reason::new(&why)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_is_high_at_four_fifths_and_full_at_the_cap() {
        let levels = [0, 799, 800, 999, 1_000, u64::MAX].map(|bans| level_of(bans, 1_000));
        assert_eq!(levels, [Level::Short, Level::Short, Level::High, Level::High, Level::Full, Level::Full]);
    }

    #[test]
    fn ban_is_sent_only_where_the_list_is_known_to_have_room() {
        assert_eq!(judge(&Ok(Length::Exactly(999)), 1_000), Ok(()));
        for (length, said) in [
            (Ok(Length::Exactly(1_000)), "holds 1000 bans, at most 1000 are allowed"),
            (Ok(Length::AtLeast(1_001)), "holds 1001 bans or more, at most"),
            (Ok(Length::AtLeast(3)), "cli_limit"),
            (Err(LookError::Secret), "refuses the secret"),
        ] {
            let Err(why) = judge(&length, 1_000) else { panic!("{length:?}") };
            assert!(why.to_string().contains(said), "{why}");
        }
    }
}
