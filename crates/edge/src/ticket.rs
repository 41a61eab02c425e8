//! What one request found and will store.
//!
//! What this is: the stamp of a request, the copy that it looked up and the fetch that it began. It
//! travels in the extensions of the request's cache key, through which alone the proxy library
//! speaks to storage and lock.
//!
//! Invariant: a ticket belongs to one request, whose steps follow each other.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pingora_cache::CacheKey;
use pingora_core::{Error, ErrorType, Result};

use crate::fence::{RequestUrl, Stamp};
use crate::held::Fetch;
use crate::lease::Trust;

/// What one request found and will store: it travels in the extensions of the request's cache key.
#[derive(Clone, Debug)]
pub(crate) struct Ticket(Arc<TicketState>);

#[derive(Debug)]
struct TicketState {
    url: Arc<RequestUrl>,
    stamp: AtomicU64,
    /// Whether the lease was out when it was looked up.
    untrusted: AtomicBool,
    /// The copy that was looked up; 0 when there was none.
    copy: AtomicU64,
    fill: Mutex<Option<Arc<Fetch>>>,
}

impl Ticket {
    fn new(url: Arc<RequestUrl>) -> Self {
        Self(Arc::new(TicketState {
            url,
            stamp: AtomicU64::new(Stamp::OLDEST.to_bits()),
            untrusted: AtomicBool::new(false),
            copy: AtomicU64::new(0),
            fill: Mutex::new(None),
        }))
    }

    /// The cache key of a request for `url`.
    pub(crate) fn cache_key(url: Arc<RequestUrl>) -> CacheKey {
        let mut key = CacheKey::new(Vec::new(), "");
        key.set_primary_bin_override(url.key().to_bytes());
        key.extensions.insert(Self::new(url));
        key
    }

    /// [`Ticket::of`], where there must be one.
    ///
    /// # Errors
    /// When the key was made elsewhere.
    pub(crate) fn expect(key: &CacheKey) -> Result<&Self> {
        Self::of(key).ok_or_else(|| Error::explain(ErrorType::InternalError, "a cache key without its ticket"))
    }

    /// The ticket of a key that [`Ticket::cache_key`] made.
    pub(crate) fn of(key: &CacheKey) -> Option<&Self> {
        key.extensions.get::<Self>()
    }

    pub(crate) fn url(&self) -> &Arc<RequestUrl> {
        &self.0.url
    }

    pub(crate) fn stamp(&self) -> Stamp {
        // One request is one task: the order of its own steps is enough.
        Stamp::from_bits(self.0.stamp.load(Ordering::Relaxed))
    }

    pub(crate) fn set_stamp(&self, stamp: Stamp) {
        self.0.stamp.store(stamp.to_bits(), Ordering::Relaxed);
    }

    /// Whether copies could be used unasked when this request looked up last.
    pub(crate) fn trust(&self) -> Trust {
        if self.0.untrusted.load(Ordering::Relaxed) { Trust::Out } else { Trust::Held }
    }

    pub(crate) fn set_trust(&self, trust: Trust) {
        self.0.untrusted.store(trust == Trust::Out, Ordering::Relaxed);
    }

    /// The copy that was looked up; 0 when there was none.
    pub(crate) fn copy(&self) -> u64 {
        self.0.copy.load(Ordering::Relaxed)
    }

    pub(crate) fn set_copy(&self, id: u64) {
        self.0.copy.store(id, Ordering::Relaxed);
    }

    /// The fetch that the request began.
    pub(crate) fn fill(&self) -> MutexGuard<'_, Option<Arc<Fetch>>> {
        self.0.fill.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
