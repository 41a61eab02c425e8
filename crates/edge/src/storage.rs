//! What the edge holds, in memory.
//!
//! What this is: the storage behind the proxy's cache. All copies of a URL (its `Vary` variants) are
//! one entry, so that they are evicted and purged together; fetches under way stand beside them, so
//! that other requests can read along.
//!
//! What this is not: the judge of what is fresh. But no copy and no fetch under way leaves it that
//! the fence refuses: the check is here, not in the callers.
//!
//! Invariants:
//! - The stamp of a request is read before each lookup, and a copy gets the stamp of the request that
//!   fetched or confirmed it.
//! - A fetch that ends after a newer copy was stored, or that the fence refuses by then, stores
//!   nothing; its own client gets its body all the same.
//! - Without a lease (`lease`) no copy leaves it unconfirmed, and no fetch under way that is not the request's own.
//! - A confirmation (304) changes only the very copy that was looked up.
//!
//! A purge of a directory removes nothing: its copies are refused from then on, and leave when they
//! are replaced or evicted as the least used. Until then they take memory from what is still used. A URL
//! passed through because its body was too large stays so for its time, in which nothing of it is cached.
//!
//! Writers of one URL take turns at its shard's lock; readers do not take it while they hit.

use std::any::Any;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use pingora_cache::key::{CacheHashKey, HashBinary};
use pingora_cache::storage::{
    HandleMiss, HitHandler, MissFinishType, MissHandler, PurgeOutcome, PurgeTarget, PurgeType, Storage,
};
use pingora_cache::trace::SpanHandle;
use pingora_cache::{CacheKey, CacheMeta};
use pingora_core::{Error, ErrorType, Result};
use quick_cache::sync::Cache;
use quick_cache::{DefaultHashBuilder, OptionsBuilder};

use crate::fence::{Fence, RequestUrl, Seen, Stamp, UrlKey, Verdict};
use crate::fill::{Fill, Size};
use crate::held::{ByBytes, Copy, Entry, Fetch, Head, StoredHit};
use crate::lease::{Leases, Trust};
use crate::rid::Rid;
use crate::ticket::Ticket;

/// Copies of one URL at most. A URL that varies more keeps the newest ones.
const VARIANTS_MAX: usize = 64;

/// How long a URL whose body outgrew the limit is passed through without another try.
const OVERSIZE_FOR: Duration = Duration::from_secs(600);

/// URLs remembered as too large.
const OVERSIZE_MAX: usize = 10_000;

const SHARDS: usize = 64;

type Shard = HashMap<UrlKey, Vec<Arc<Fetch>>>;

/// See the module.
pub(crate) struct Store {
    fence: Arc<Fence>,
    leases: Arc<Leases>,
    cache: Cache<UrlKey, Arc<Entry>, ByBytes>,
    /// Fetches that new requests may join. The lock of a shard also orders the writers of `cache`.
    fetches: [Mutex<Shard>; SHARDS],
    oversize: Cache<UrlKey, Instant>,
    next_id: AtomicU64,
    object_bytes_max: usize,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("urls", &self.cache.len()).finish_non_exhaustive()
    }
}

impl Store {
    /// A store of at most `memory_bytes`. An entry larger than a shard of the cache is not kept, so
    /// there are as many shards as hold at least two of the largest objects each.
    pub(crate) fn new((fence, leases): (Arc<Fence>, Arc<Leases>), memory_bytes: u64, object_bytes_max: usize) -> Self {
        let shards = (memory_bytes / (2 * object_bytes_max as u64)).clamp(1, 64);
        // Rounded down to a power of two, as the cache would otherwise round up.
        let shards = 1_usize << shards.ilog2();
        let items = usize::try_from(memory_bytes / 32_768).unwrap_or(usize::MAX);
        let options = OptionsBuilder::new()
            .shards(shards)
            .estimated_items_capacity(items.clamp(256, 1 << 20))
            .weight_capacity(memory_bytes)
            .build()
            .expect("items and weight are set, which is all that the builder asks for");
        Self {
            fence,
            leases,
            cache: Cache::with_options(
                options,
                ByBytes,
                DefaultHashBuilder::default(),
                quick_cache::sync::DefaultLifecycle::default(),
            ),
            fetches: std::array::from_fn(|_| Mutex::default()),
            oversize: Cache::new(OVERSIZE_MAX),
            next_id: AtomicU64::new(1),
            object_bytes_max,
        }
    }

    /// URLs held.
    pub(crate) fn entries(&self) -> u64 {
        self.cache.len() as u64
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> u64 {
        self.cache.weight()
    }

    /// Whether the body of this URL lately outgrew what is kept.
    pub(crate) fn is_oversize(&self, url: UrlKey) -> bool {
        self.oversize.peek(&url).is_some_and(|since| since.elapsed() < OVERSIZE_FOR)
    }

    /// Removes all copies of a URL older than `point`; says what there was of them, and of fetches.
    pub(crate) fn remove(&self, url: UrlKey, point: Stamp) -> Rid {
        let mut shard = self.shard(url);
        let fetching = detach(&mut shard, url, point);
        self.oversize.remove(&url);
        let Some(entry) = self.cache.peek(&url) else {
            return fetching;
        };
        let keep: Vec<_> = entry.copies.iter().filter(|it| it.stamp >= point).cloned().collect();
        let removed = entry.copies.len() - keep.len();
        if removed > 0 {
            self.put(url, keep);
        }
        fetching.and(Rid::copies(removed))
    }

    /// Lets no new request join fetches older than `point`; says what there was of them, and of
    /// copies. Those stay: the fence has them confirmed before they are used.
    pub(crate) fn outdate(&self, url: UrlKey, point: Stamp) -> Rid {
        let mut shard = self.shard(url);
        let fetching = detach(&mut shard, url, point);
        let held = self.cache.peek(&url);
        fetching.and(held.map_or(Rid::NOTHING, |it| Rid::copies(it.older_than(point))))
    }

    /// Removes all copies older than `point`; says what there was of them, and of fetches.
    pub(crate) fn remove_everything(&self, point: Stamp) -> Rid {
        let mut rid = self.detach_everything(point);
        self.oversize.clear();
        let mut old = Vec::new();
        // Collected first: a writer takes its shard's lock before the cache's, so must this.
        self.cache.iter().for_each(|(url, entry)| {
            if entry.older_than(point) > 0 {
                old.push(url);
            }
        });
        for url in old {
            rid = rid.and(self.remove(url, point));
        }
        rid
    }

    /// [`Store::outdate`] for all URLs.
    pub(crate) fn outdate_everything(&self, point: Stamp) -> Rid {
        let fetching = self.detach_everything(point);
        fetching.and(Rid::copies(self.cache.iter().map(|(_, it)| it.older_than(point)).sum()))
    }

    /// Gives the memory back when the edge has stopped.
    pub(crate) fn clear(&self) {
        for shard in &self.fetches {
            shard.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
        self.cache.clear();
        self.oversize.clear();
    }

    fn detach_everything(&self, point: Stamp) -> Rid {
        let mut rid = Rid::NOTHING;
        for shard in &self.fetches {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.retain(|_, fetches| {
                let before = fetches.len();
                fetches.retain(|it| it.stamp >= point);
                if fetches.len() < before {
                    rid = Rid::UNCOUNTED;
                }
                !fetches.is_empty()
            });
        }
        rid
    }

    // What a shard holds is a list of what may be joined: whole after each step.
    fn shard(&self, url: UrlKey) -> MutexGuard<'_, Shard> {
        let at = usize::from(url.to_bytes()[15]) % SHARDS;
        self.fetches[at].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// To be called with the URL's shard locked.
    fn put(&self, url: UrlKey, copies: Vec<Arc<Copy>>) {
        if copies.is_empty() {
            self.cache.remove(&url);
        } else {
            self.cache.insert(url, Arc::new(Entry::new(copies)));
        }
    }

    fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    fn look_up(&self, key: &CacheKey) -> Result<Option<(CacheMeta, HitHandler)>> {
        let ticket = Ticket::expect(key)?;
        // Before anything is looked at, see `Fence::stamp`. A request that waited for another one
        // and looks again gets a new stamp: it has not begun to fetch yet.
        ticket.set_stamp(self.fence.stamp());
        ticket.set_copy(0);
        let trust = self.leases.trust();
        ticket.set_trust(trust);
        let url = ticket.url();
        let slot = key.get_variance_key().copied();
        let entry = self.cache.get(&url.key());
        let copy = entry.as_ref().and_then(|it| it.copy(slot));
        let copy = copy.filter(|it| url.is_keyed_like(it.keyed));
        let verdict = copy.map_or(Verdict::Refuse, |it| self.fence.verdict(url, it.stamp, &it.seen));
        let verdict = match (verdict, trust) {
            (Verdict::Keep, Trust::Out) => Verdict::Expire,
            (Verdict::Keep | Verdict::Expire | Verdict::Refuse, _) => verdict,
        };
        if let Some(copy) = copy
            && verdict == Verdict::Keep
            && copy.head.fresh_until >= SystemTime::now()
        {
            ticket.set_copy(copy.id);
            return Ok(Some((copy.head.to_meta(), StoredHit::boxed(copy))));
        }
        if trust == Trust::Held
            && let Some(hit) = self.join(url, slot)
        {
            return Ok(Some(hit));
        }
        let Some(copy) = copy else {
            return Ok(None);
        };
        let mut meta = copy.head.to_meta();
        match verdict {
            Verdict::Refuse => return Ok(None),
            Verdict::Keep => {}
            Verdict::Expire => {
                meta.expire_at(SystemTime::UNIX_EPOCH);
                // Not even for a moment, nor when the origin fails: the purge is acknowledged, or may have been
                // taken for done by whoever waited for the lease to end.
                meta.disable_serve_stale();
            }
        }
        ticket.set_copy(copy.id);
        Ok(Some((meta, StoredHit::boxed(copy))))
    }

    /// Reads along with a fetch under way, when there is one that the fence lets pass.
    fn join(&self, url: &RequestUrl, slot: Option<HashBinary>) -> Option<(CacheMeta, HitHandler)> {
        let shard = self.shard(url.key());
        let fetches = shard.get(&url.key())?.iter().rev();
        let mut usable = fetches.filter(|it| {
            it.slot == slot
                && url.is_keyed_like(it.url.keyed())
                && self.fence.verdict(url, it.stamp, &it.seen) == Verdict::Keep
        });
        usable.find_map(|it| it.join())
    }

    fn begin(&'static self, key: &CacheKey, meta: &CacheMeta) -> Result<MissHandler> {
        let ticket = Ticket::expect(key)?;
        let fetch = Arc::new(Fetch {
            id: self.next_id(),
            url: Arc::clone(ticket.url()),
            slot: key.get_variance_key().copied(),
            head: Head::of(meta),
            stamp: ticket.stamp(),
            seen: Seen::default(),
            body: Arc::new(Fill::new(self.object_bytes_max)),
        });
        *ticket.fill() = Some(Arc::clone(&fetch));
        let url = fetch.url.key();
        let mut shard = self.shard(url);
        shard.entry(url).or_default().push(Arc::clone(&fetch));
        drop(shard);
        let tag = fetch.id.to_be_bytes();
        Ok(Box::new(StoringFetch { store: self, fetch, tag }))
    }

    /// Stores a fetch that has ended well, unless the fence refuses it by now or a newer copy is
    /// there. The shard is locked meanwhile, so a purge either comes first and is seen by the
    /// fence, or comes after and finds the copy.
    fn commit(&self, fetch: &Fetch, body: Bytes) {
        let url = fetch.url.key();
        let mut shard = self.shard(url);
        leave(&mut shard, fetch);
        if self.fence.verdict(&fetch.url, fetch.stamp, &fetch.seen) == Verdict::Refuse {
            return;
        }
        let entry = self.cache.peek(&url);
        let mut copies = entry.map(|it| it.copies.clone()).unwrap_or_default();
        if copies.iter().any(|it| it.slot == fetch.slot && it.stamp > fetch.stamp) {
            return;
        }
        copies.retain(|it| it.slot != fetch.slot);
        if copies.len() >= VARIANTS_MAX
            && let Some(oldest) = copies.iter().position(|it| it.slot.is_some())
        {
            copies.remove(oldest);
        }
        copies.push(Arc::new(Copy {
            id: fetch.id,
            slot: fetch.slot,
            head: Head::of(&fetch.head.to_meta()),
            body,
            keyed: fetch.url.keyed(),
            stamp: fetch.stamp,
            seen: Seen::default(),
        }));
        self.put(url, copies);
    }

    fn confirm(&self, key: &CacheKey, meta: &CacheMeta) -> Result<bool> {
        let ticket = Ticket::expect(key)?;
        let (url, stamp) = (ticket.url().key(), ticket.stamp());
        let id = ticket.copy();
        let _order = self.shard(url);
        let Some(entry) = self.cache.peek(&url) else {
            return Ok(false);
        };
        let confirmed = |copy: &Arc<Copy>| {
            if copy.id == id && copy.stamp <= stamp {
                Arc::new(Copy {
                    id,
                    slot: copy.slot,
                    head: Head::of(meta),
                    body: copy.body.clone(),
                    keyed: copy.keyed,
                    stamp,
                    seen: Seen::default(),
                })
            } else {
                Arc::clone(copy)
            }
        };
        if !entry.copies.iter().any(|copy| copy.id == id) {
            return Ok(false);
        }
        self.put(url, entry.copies.iter().map(confirmed).collect());
        Ok(true)
    }
}

fn detach(shard: &mut Shard, url: UrlKey, point: Stamp) -> Rid {
    let Some(fetches) = shard.get_mut(&url) else {
        return Rid::NOTHING;
    };
    let before = fetches.len();
    fetches.retain(|it| it.stamp >= point);
    let rid = if fetches.len() < before { Rid::UNCOUNTED } else { Rid::NOTHING };
    if fetches.is_empty() {
        shard.remove(&url);
    }
    rid
}

fn leave(shard: &mut Shard, fetch: &Fetch) {
    let url = fetch.url.key();
    if let Some(fetches) = shard.get_mut(&url) {
        fetches.retain(|it| it.id != fetch.id);
        if fetches.is_empty() {
            shard.remove(&url);
        }
    }
}

#[async_trait]
impl Storage for Store {
    async fn lookup(&'static self, key: &CacheKey, _trace: &SpanHandle) -> Result<Option<(CacheMeta, HitHandler)>> {
        self.look_up(key)
    }

    async fn lookup_streaming_write(
        &'static self,
        key: &CacheKey,
        _tag: Option<&[u8]>,
        _trace: &SpanHandle,
    ) -> Result<Option<(CacheMeta, HitHandler)>> {
        // The request's own fetch, whatever was purged meanwhile: it is found by the ticket, not by
        // the URL, so a purge cannot take it away from the client that waits for it.
        let fill = Ticket::expect(key)?.fill();
        Ok(fill.as_ref().and_then(|it| it.join()))
    }

    async fn get_miss_handler(
        &'static self,
        key: &CacheKey,
        meta: &CacheMeta,
        _trace: &SpanHandle,
    ) -> Result<MissHandler> {
        self.begin(key, meta)
    }

    async fn purge(
        &'static self,
        target: PurgeTarget<'_>,
        _purge_type: PurgeType,
        _trace: &SpanHandle,
    ) -> Result<PurgeOutcome> {
        // Not how the relay purges (that is `control`): only the proxy's own housekeeping.
        let url = UrlKey::from_bytes(target.key().primary_bin());
        let shard = self.shard(url);
        let found = self.cache.remove(&url).is_some();
        drop(shard);
        Ok(if found { PurgeOutcome::Purged(None) } else { PurgeOutcome::NotFound })
    }

    async fn update_meta(&'static self, key: &CacheKey, meta: &CacheMeta, _trace: &SpanHandle) -> Result<bool> {
        self.confirm(key, meta)
    }

    fn support_streaming_partial_write(&self) -> bool {
        true
    }

    fn as_any(&self) -> &(dyn Any + Send + Sync + 'static) {
        self
    }
}

/// Writes a fetch.
struct StoringFetch {
    store: &'static Store,
    fetch: Arc<Fetch>,
    tag: [u8; 8],
}

#[async_trait]
impl HandleMiss for StoringFetch {
    async fn write_body(&mut self, data: Bytes, _eof: bool) -> Result<()> {
        match self.fetch.body.push(data) {
            Ok(Size::Kept) => Ok(()),
            Ok(Size::Outgrown) => {
                // Nobody joins it any more, and the next requests pass through uncached.
                leave(&mut self.store.shard(self.fetch.url.key()), &self.fetch);
                self.store.oversize.insert(self.fetch.url.key(), Instant::now());
                Ok(())
            }
            Err(why) => Err(Error::because(ErrorType::WriteError, "storing", why)),
        }
    }

    async fn finish(self: Box<Self>) -> Result<MissFinishType> {
        let body = self.fetch.body.complete();
        let size = body.as_ref().map_or(0, Bytes::len);
        if let Some(body) = body {
            self.store.commit(&self.fetch, body);
        }
        Ok(MissFinishType::Created(size))
    }

    fn streaming_write_tag(&self) -> Option<&[u8]> {
        Some(&self.tag)
    }
}

impl Drop for StoringFetch {
    fn drop(&mut self) {
        // After `finish` both change nothing.
        self.fetch.body.fail();
        leave(&mut self.store.shard(self.fetch.url.key()), &self.fetch);
    }
}
