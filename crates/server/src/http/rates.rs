//! How often each account may call each action.
//!
//! What this is: a token bucket for each account and action, in whole numbers, so that it is exact: in
//! any span of `t` seconds at most `rate + rate · t` calls pass, and no call is refused while a whole
//! token is there. What this is not: governor, whose buckets live in memory only. These outlive the
//! process: a bucket is written to a small file before the call goes on. That is the page cache, not the
//! disk: it holds against a killed process, and after a machine that died a full bucket is due anyway,
//! since one second fills it. Two processes share the wall clock only: where somebody sets that clock and
//! restarts the process within a second, the buckets take the step for time that passed.
//!
//! Invariant: a call is counted after its signature, so that a stranger cannot use up a customer's rate.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::num::NonZeroU32;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use catharsis_core::ports::Clock;
use catharsis_core::task::AccountId;
use catharsis_tcapi::cdn::Action;
use tracing::error;

/// One token, in the unit of levels: a rate of `r` a second adds `r` units each nanosecond.
const TOKEN: u64 = 1_000_000_000;

/// Bytes of a bucket in the file: account, action, time, level, a sum over them, and nothing. A kill can
/// end a write between two pages and leave half a bucket behind, so none lies across them.
const SLOT: usize = 64;

/// Bytes of a slot that mean something.
const WRITTEN: usize = 40;

const _: () = assert!(4_096 % SLOT == 0 && WRITTEN <= SLOT);

/// Buckets in the file: beyond all accounts times actions that anyone has.
const SLOTS_MAX: u64 = 1 << 20;

/// See the module.
pub(super) struct Rates {
    clock: Arc<dyn Clock>,
    /// Wall time at tick zero, nanoseconds: what is written is wall time, what is counted is ticks.
    epoch: u64,
    buckets: Mutex<Buckets>,
}

impl std::fmt::Debug for Rates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rates").finish_non_exhaustive()
    }
}

struct Buckets {
    file: File,
    next_slot: u64,
    all: HashMap<(AccountId, Action), Bucket>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bucket {
    slot: u64,
    /// Wall time of the last call that passed, nanoseconds, as the monotonic clock sees it.
    at: u64,
    /// What was left then.
    level: u64,
}

/// A call that is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooOften {
    /// The limit.
    pub(super) per_second: NonZeroU32,
    /// When the next call is free.
    pub(super) wait: Duration,
}

impl Rates {
    /// The buckets in a file, which is made when absent.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub(super) fn open(path: &Path, clock: Arc<dyn Clock>) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let epoch = epoch(&*clock);
        let buckets = Buckets::load(file)?;
        Ok(Self { clock, epoch, buckets: Mutex::new(buckets) })
    }

    /// Counts a call, or refuses it.
    ///
    /// # Errors
    /// [`TooOften`]; then nothing was counted.
    pub(super) fn check(&self, account: AccountId, action: Action, per_second: NonZeroU32) -> Result<(), TooOften> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        // Read under the lock: a bucket's times then never run backwards.
        let now = self.epoch.saturating_add(nanos(self.clock.tick().0));
        buckets.check((account, action), per_second, now)
    }
}

impl Buckets {
    fn load(file: File) -> io::Result<Self> {
        let bytes = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX).min(SLOT << 20);
        let mut content = vec![0; bytes / SLOT * SLOT];
        file.read_exact_at(&mut content, 0)?;
        let mut all = HashMap::new();
        for (slot, bytes) in (0u64..).zip(content.chunks_exact(SLOT)) {
            // One that is damaged counts as full, which is what a machine that died leaves behind.
            if let Some((key, at, level)) = decode(bytes) {
                all.insert(key, Bucket { slot, at, level });
            }
        }
        Ok(Self { next_slot: (content.len() / SLOT) as u64, file, all })
    }

    fn check(&mut self, key: (AccountId, Action), per_second: NonZeroU32, now: u64) -> Result<(), TooOften> {
        let rate = u64::from(per_second.get());
        let full = rate.saturating_mul(TOKEN);
        let fresh = || Bucket { slot: self.next_slot, at: now, level: full };
        let known = self.all.get(&key).copied().unwrap_or_else(fresh);
        // A wall clock that was set back across a restart: no time has passed, and time goes on from here.
        let elapsed = now.saturating_sub(known.at);
        let level = known.level.saturating_add(elapsed.saturating_mul(rate)).min(full);
        let Some(left) = level.checked_sub(TOKEN) else {
            let wait = Duration::from_nanos((TOKEN - level).div_ceil(rate));
            if now < known.at {
                self.all.insert(key, Bucket { at: now, ..known });
            }
            return Err(TooOften { per_second, wait });
        };
        let bucket = Bucket { slot: known.slot, at: now, level: left };
        if bucket.slot < SLOTS_MAX
            && let Err(error) = self.file.write_all_at(&encode(key, bucket), bucket.slot * SLOT as u64)
        {
            // The limit holds all the same, except across a restart within the next second.
            error!(%error, "a rate could not be written to its file");
        }
        self.next_slot = self.next_slot.max(bucket.slot + 1);
        self.all.insert(key, bucket);
        Ok(())
    }
}

/// Wall time at tick zero. Not from [`Clock::wall`], whose milliseconds would let the buckets of one process
/// differ from those of the next by some hundredths of a call. Of a few readings the one that was
/// interrupted least: the wall clock is read between two ticks.
fn epoch(clock: &dyn Clock) -> u64 {
    const READINGS: usize = 16;
    let readings = std::iter::repeat_with(|| {
        let before = clock.tick().0;
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let width = clock.tick().0.saturating_sub(before);
        (width, nanos(wall).saturating_sub(nanos(before + width / 2)))
    });
    readings.take(READINGS).min().map_or(0, |(_width, epoch)| epoch)
}

fn encode((account, action): (AccountId, Action), bucket: Bucket) -> [u8; SLOT] {
    let mut bytes = [0; SLOT];
    let words = [account.0, action_word(action), bucket.at, bucket.level];
    for (place, word) in bytes[..WRITTEN].chunks_exact_mut(8).zip(words.into_iter().chain([sum(words)])) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    bytes
}

fn decode(bytes: &[u8]) -> Option<((AccountId, Action), u64, u64)> {
    let mut words = [0u64; 5];
    for (word, place) in words.iter_mut().zip(bytes.chunks_exact(8)) {
        *word = u64::from_le_bytes(place.try_into().ok()?);
    }
    let [account, action, at, level, found] = words;
    let action = Action::ALL.into_iter().find(|it| action_word(*it) == action)?;
    (found == sum([account, action_word(action), at, level])).then_some(((AccountId(account), action), at, level))
}

/// A number for an action that stays when others are added: FNV-1a of its name.
fn action_word(action: Action) -> u64 {
    action
        .as_str()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

/// Tells a whole slot from a torn or foreign one; no defence against an enemy.
fn sum(words: [u64; 4]) -> u64 {
    words
        .into_iter()
        .fold(0x9e37_79b9_7f4a_7c15, |sum, word| (sum ^ word).rotate_left(23).wrapping_mul(0xff51_afd7_ed55_8ccd))
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use catharsis_adapters::clock::SystemClock;

    use super::*;

    const KEY: (AccountId, Action) = (AccountId(1), Action::PurgeUrlsCache);
    const SECOND: u64 = 1_000_000_000;

    fn buckets(path: &Path) -> Buckets {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        Buckets::load(file.expect("a writable folder")).expect("readable")
    }

    fn rate(per_second: u32) -> NonZeroU32 {
        NonZeroU32::new(per_second).expect("above zero")
    }

    #[test]
    fn bucket_gives_its_rate_at_once_and_then_one_each_interval_to_the_nanosecond() {
        let folder = tempfile::tempdir().expect("a folder");
        // 7 does not divide a second: a token is free after 142,857,142.86 ns.
        for per_second in [1, 7, 20, 1_000] {
            let mut buckets = buckets(&folder.path().join(per_second.to_string()));
            let mut at = |now| buckets.check(KEY, rate(per_second), 100 * SECOND + now);
            for _ in 0..per_second {
                assert_eq!(at(0), Ok(()));
            }
            for n in 1..=u64::from(per_second) * 3 {
                let free = (n * SECOND).div_ceil(u64::from(per_second));
                let wait = at(free - 1).expect_err("a nanosecond too early").wait;
                assert_eq!(wait, Duration::from_nanos(1), "{per_second} {n}");
                assert_eq!(at(free), Ok(()), "{per_second} {n}");
            }
        }
    }

    #[test]
    fn accounts_and_actions_do_not_share_a_bucket() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut buckets = buckets(&folder.path().join("r"));
        assert_eq!(buckets.check(KEY, rate(1), SECOND), Ok(()));
        assert!(buckets.check(KEY, rate(1), SECOND).is_err());
        assert_eq!(buckets.check((AccountId(2), KEY.1), rate(1), SECOND), Ok(()));
        assert_eq!(buckets.check((KEY.0, Action::DescribePurgeTasks), rate(1), SECOND), Ok(()));
    }

    #[test]
    fn restart_forgets_no_call_and_gives_back_only_the_time_that_passed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("r");
        let mut first = buckets(&path);
        let other = (AccountId(9), Action::DescribePurgeTasks);
        for _ in 0..20 {
            assert_eq!(first.check(KEY, rate(20), 5 * SECOND), Ok(()));
            assert_eq!(first.check(other, rate(20), 5 * SECOND), Ok(()));
        }
        drop(first);
        let mut second = buckets(&path);
        assert!(second.check(KEY, rate(20), 5 * SECOND).is_err());
        let tenth = 5 * SECOND + SECOND / 10;
        assert_eq!([(); 3].map(|()| second.check(KEY, rate(20), tenth).is_ok()), [true, true, false]);
        drop(second);
        let mut set_back = buckets(&path);
        assert!(set_back.check(KEY, rate(20), SECOND).is_err(), "a clock set back gives nothing");
        assert_eq!(set_back.check(KEY, rate(20), 2 * SECOND), Ok(()), "and takes nothing either");
    }

    #[test]
    fn processes_agree_on_the_time_to_a_thousandth_of_a_call() {
        let folder = tempfile::tempdir().expect("a folder");
        let wall = || nanos(SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970"));
        // Each with ticks of its own, opened at any moment within a millisecond.
        for _ in 0..50 {
            let clock = Arc::new(SystemClock::new());
            let rates = Rates::open(&folder.path().join("r"), Arc::clone(&clock) as Arc<dyn Clock>).expect("opened");
            let (before, now, after) = (wall(), rates.epoch + nanos(clock.tick().0), wall());
            assert!(before < now + 50_000 && now < after + 50_000, "{before} {now} {after}");
        }
    }

    #[test]
    fn damaged_slot_counts_as_full() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("r");
        assert_eq!(buckets(&path).check(KEY, rate(1), SECOND), Ok(()));
        let mut bytes = std::fs::read(&path).expect("written");
        bytes[20] ^= 1;
        bytes.extend([1; 13]);
        std::fs::write(&path, bytes).expect("writable");
        assert_eq!(buckets(&path).check(KEY, rate(1), SECOND), Ok(()));
    }
}
