//! Who fetches, and who waits for whom.
//!
//! What this is: the proxy's cache lock, which lets one request fetch a URL while the others wait.
//! The stock lock knows only the key, so a request that starts after a purge would wait for a fetch
//! begun before it.
//!
//! Invariant: nobody waits for a fetch that the fence refuses: a lock whose writer's stamp is older
//! than the newest purge of its URL, or of a directory above it, is replaced, and the newcomer fetches; and so is
//! every lock while no lease is held. The old writer keeps its permit and those who were already waiting; when it lets go it removes its own lock only.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::Extensions;
use pingora_cache::CacheKey;
use pingora_cache::key::CacheHashKey;
use pingora_cache::lock::{CacheKeyLock, LockStatus, LockStub, Locked, WritePermit};

use crate::fence::{Fence, RequestUrl, Stamp};
use crate::lease::{Leases, Trust};
use crate::ticket::Ticket;

const SHARDS: usize = 16;

/// Locks in a shard above which those are swept whose writer is gone.
const SWEEP_ABOVE: usize = 1_024;

/// What the writer of a lock is: it travels with the permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Writer {
    id: u64,
    stamp: Stamp,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct FencedLock {
    fence: Arc<Fence>,
    leases: Arc<Leases>,
    shards: [Mutex<HashMap<u128, LockStub>>; SHARDS],
    next_id: AtomicU64,
    /// After this time waiters no longer wait for a writer.
    age_max: Duration,
}

impl FencedLock {
    pub(crate) fn new((fence, leases): (Arc<Fence>, Arc<Leases>), age_max: Duration) -> Self {
        Self { fence, leases, shards: std::array::from_fn(|_| Mutex::default()), next_id: AtomicU64::new(1), age_max }
    }

    // Every change of the table is one step, so a poisoned lock holds a whole table.
    fn shard(&self, hash: u128) -> MutexGuard<'_, HashMap<u128, LockStub>> {
        let at = usize::from(hash.to_be_bytes()[15]) % SHARDS;
        self.shards[at].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Without a lease nothing is: whatever is under way may have begun before a purge that was not heard of. Who
    /// waits already looks up again afterwards, and then at the lease too.
    fn is_worth_waiting(&self, lock: &LockStub, url: &RequestUrl) -> bool {
        let writer = lock.0.extensions().get::<Writer>();
        self.leases.trust() == Trust::Held
            && lock.0.lock_status() == LockStatus::Waiting
            && writer.is_some_and(|it| it.stamp >= self.fence.newest(url))
    }
}

impl CacheKeyLock for FencedLock {
    fn lock(&self, key: &CacheKey, stale_writer: bool) -> Locked {
        // A key that was made elsewhere names no URL: its request waits for nobody, nor anybody for it.
        let ticket = Ticket::of(key);
        let stamp = ticket.map_or(Stamp::OLDEST, Ticket::stamp);
        let hash = u128::from_be_bytes(key.combined_bin());
        let mut shard = self.shard(hash);
        if let Some(lock) = shard.get(&hash)
            && ticket.is_some_and(|it| self.is_worth_waiting(lock, it.url()))
        {
            return Locked::Read(lock.read_lock());
        }
        if shard.len() > SWEEP_ABOVE {
            shard.retain(|_, lock| lock.0.lock_status() == LockStatus::Waiting);
        }
        let mut extensions = Extensions::new();
        extensions.insert(Writer { id: self.next_id.fetch_add(1, Ordering::Relaxed), stamp });
        let (permit, lock) = WritePermit::new(self.age_max, stale_writer, extensions);
        shard.insert(hash, lock);
        Locked::Write(permit)
    }

    fn release(&self, key: &CacheKey, mut permit: WritePermit, reason: LockStatus) {
        let hash = u128::from_be_bytes(key.combined_bin());
        let mut shard = self.shard(hash);
        let mine = permit.extensions().get::<Writer>();
        if shard.get(&hash).is_some_and(|it| it.0.extensions().get::<Writer>() == mine) {
            shard.remove(&hash);
        }
        drop(shard);
        // Those who waited too long have gone on by themselves: what they noted stays.
        let reason = match permit.lock_status() {
            LockStatus::AgeTimeout => LockStatus::AgeTimeout,
            LockStatus::Waiting
            | LockStatus::Done
            | LockStatus::TransientError
            | LockStatus::GiveUp
            | LockStatus::Dangling
            | LockStatus::WaitTimeout => reason,
        };
        permit.unlock(reason);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use std::num::NonZeroUsize;

    use catharsis_core::invalidation::Seq;
    use catharsis_core::lease::Run;
    use catharsis_core::target::Mode;

    use super::*;
    use crate::config::Lease;
    use crate::fence::{Purge, Scope};
    use crate::key::{Hasher, KeySite, Keyed};
    use crate::protocol::LogId;

    fn key(fence: &Fence, hasher: &Hasher) -> CacheKey {
        let url = hasher.request(KeySite::shared("a.test"), b"/dir/x", Keyed(0), Keyed(0));
        let key = Ticket::cache_key(Arc::new(url));
        Ticket::of(&key).unwrap().set_stamp(fence.stamp());
        key
    }

    fn write(locked: Locked) -> WritePermit {
        match locked {
            Locked::Write(permit) => permit,
            Locked::Read(_) => panic!("somebody else fetches"),
        }
    }

    fn nobody_waits_after(purge: impl FnOnce(&Hasher, &KeySite) -> Scope) {
        let hasher = Hasher::default();
        let fence = Arc::new(Fence::new(NonZeroUsize::MIN));
        let leases = Arc::new(Leases::new(Lease::None, Run(1), Arc::clone(&fence)));
        let lock = FencedLock::new((Arc::clone(&fence), leases), Duration::from_secs(60));
        let key = || key(&fence, &hasher);
        let old_key = key();
        let old = write(lock.lock(&old_key, false));
        assert!(!lock.lock(&key(), false).is_write(), "before the purge it is worth waiting");

        let scope = purge(&hasher, &KeySite::shared("a.test"));
        let purge = Purge { seq: Seq(1), scope, mode: Mode::Delete };
        fence.apply(&LogId::new("l").unwrap(), Seq(1), &[purge]).unwrap();
        let new_key = key();
        let new = write(lock.lock(&new_key, false));
        lock.release(&old_key, old, LockStatus::Done);
        assert!(!lock.lock(&key(), false).is_write(), "the new fetch still is");
        lock.release(&new_key, new, LockStatus::Done);
        let next = write(lock.lock(&new_key, false));
        lock.release(&new_key, next, LockStatus::Done);
    }

    #[test]
    fn nobody_waits_for_a_purged_fetch_and_its_end_frees_nobody_elses_lock() {
        nobody_waits_after(|hasher, host| Scope::Url(hasher.url(host, b"/dir/x")));
        nobody_waits_after(|hasher, host| Scope::Prefix(hasher.prefix(host, b"/dir")));
    }
}
