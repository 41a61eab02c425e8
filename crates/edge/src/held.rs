//! What is held of a URL: its copies, and its fetches under way.
//!
//! What this is: the values that `storage` keeps, and the handlers through which the proxy reads
//! them.
//!
//! Invariant: a value never changes. Who writes puts a new one; who reads keeps what it found.

use std::any::Any;
use std::ops::Range;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;
use bytes::Bytes;
use pingora_cache::key::HashBinary;
use pingora_cache::storage::{HandleHit, HitHandler, Storage};
use pingora_cache::trace::SpanHandle;
use pingora_cache::{CacheKey, CacheMeta};
use pingora_core::{Error, ErrorType, Result};
use pingora_http::ResponseHeader;
use quick_cache::Weighter;

use crate::fence::{RequestUrl, Seen, Stamp, UrlKey};
use crate::fill::{Fill, Reader};
use crate::key::Keyed;

/// Memory counted for a copy besides its body, names and values.
const COPY_OVERHEAD: u64 = 512;

/// Status line and header of a copy, and until when it is fresh.
#[derive(Debug)]
pub(crate) struct Head {
    header: ResponseHeader,
    pub(crate) fresh_until: SystemTime,
    /// Since when the family of variants exists that this copy belongs to: the proxy uses no variant
    /// that is older than the first one's.
    family_since: SystemTime,
    /// From when its age counts.
    confirmed: SystemTime,
    while_revalidate_s: u32,
    if_error_s: u32,
    variance: Option<HashBinary>,
}

impl Fetch {
    /// Reads along from the beginning, when that is still there.
    pub(crate) fn join(&self) -> Option<(CacheMeta, HitHandler)> {
        let reader = self.body.join()?;
        Some((self.head.to_meta(), Box::new(FillHit { reader })))
    }
}

impl Head {
    pub(crate) fn of(meta: &CacheMeta) -> Self {
        Self {
            header: meta.response_header_copy(),
            fresh_until: meta.fresh_until(),
            family_since: meta.provenance(),
            confirmed: meta.epoch(),
            while_revalidate_s: meta.stale_while_revalidate_sec(),
            if_error_s: meta.stale_if_error_sec(),
            variance: meta.variance(),
        }
    }

    pub(crate) fn to_meta(&self) -> CacheMeta {
        let mut meta = CacheMeta::new(
            self.fresh_until,
            self.family_since,
            self.while_revalidate_s,
            self.if_error_s,
            self.header.clone(),
        );
        meta.set_epoch_override(self.confirmed);
        if let Some(variance) = self.variance {
            meta.set_variance(variance);
        }
        meta
    }

    fn weight(&self) -> u64 {
        let fields = self.header.headers.iter();
        let bytes: usize = fields.map(|(name, value)| name.as_str().len() + value.len() + 32).sum();
        bytes as u64 + COPY_OVERHEAD
    }
}

/// A complete response.
#[derive(Debug)]
pub(crate) struct Copy {
    pub(crate) id: u64,
    /// `None` for the first variant stored, from which the proxy learns what the URL varies by.
    pub(crate) slot: Option<HashBinary>,
    pub(crate) head: Head,
    pub(crate) body: Bytes,
    pub(crate) keyed: Keyed,
    pub(crate) stamp: Stamp,
    pub(crate) seen: Seen,
}

impl Copy {
    fn weight(&self) -> u64 {
        self.head.weight() + self.body.len() as u64
    }
}

/// All copies of a URL. Never changed in place: writers put a new one.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) copies: Vec<Arc<Copy>>,
    weight: u64,
}

impl Entry {
    pub(crate) fn new(copies: Vec<Arc<Copy>>) -> Self {
        let weight = copies.iter().map(|it| it.weight()).sum();
        Self { copies, weight }
    }

    /// How many of its copies are older than `point`.
    pub(crate) fn older_than(&self, point: Stamp) -> usize {
        self.copies.iter().filter(|it| it.stamp < point).count()
    }

    pub(crate) fn copy(&self, slot: Option<HashBinary>) -> Option<&Arc<Copy>> {
        self.copies.iter().find(|it| it.slot == slot)
    }
}

#[derive(Clone, Debug)]
pub(crate) struct ByBytes;

impl Weighter<UrlKey, Arc<Entry>> for ByBytes {
    fn weight(&self, _url: &UrlKey, entry: &Arc<Entry>) -> u64 {
        entry.weight
    }
}

/// A fetch under way.
#[derive(Debug)]
pub(crate) struct Fetch {
    pub(crate) id: u64,
    pub(crate) url: Arc<RequestUrl>,
    pub(crate) slot: Option<HashBinary>,
    pub(crate) head: Head,
    pub(crate) stamp: Stamp,
    pub(crate) seen: Seen,
    pub(crate) body: Arc<Fill>,
}

/// Reads a complete copy.
pub(crate) struct StoredHit {
    copy: Arc<Copy>,
    rest: Range<usize>,
}

impl StoredHit {
    pub(crate) fn boxed(copy: &Arc<Copy>) -> HitHandler {
        Box::new(Self { copy: Arc::clone(copy), rest: 0..copy.body.len() })
    }
}

#[async_trait]
impl HandleHit for StoredHit {
    async fn read_body(&mut self) -> Result<Option<Bytes>> {
        let rest = std::mem::replace(&mut self.rest, 0..0);
        Ok((!rest.is_empty()).then(|| self.copy.body.slice(rest)))
    }

    async fn finish(
        self: Box<Self>,
        _storage: &'static (dyn Storage + Sync),
        _key: &CacheKey,
        _trace: &SpanHandle,
    ) -> Result<()> {
        Ok(())
    }

    fn can_seek(&self) -> bool {
        true
    }

    fn seek(&mut self, start: usize, end: Option<usize>) -> Result<()> {
        let length = self.copy.body.len();
        if start >= length {
            let why = "a range that begins beyond the end";
            return Err(Error::explain(ErrorType::InternalError, why));
        }
        let end = end.unwrap_or(length).min(length);
        self.rest = start..end.max(start);
        Ok(())
    }

    fn as_any(&self) -> &(dyn Any + Send + Sync) {
        self
    }

    fn as_any_mut(&mut self) -> &mut (dyn Any + Send + Sync) {
        self
    }
}

/// Reads along with a fetch under way.
struct FillHit {
    reader: Reader,
}

#[async_trait]
impl HandleHit for FillHit {
    async fn read_body(&mut self) -> Result<Option<Bytes>> {
        let next = self.reader.next().await;
        next.map_err(|why| Error::because(ErrorType::ReadError, "reading along", why))
    }

    async fn finish(
        self: Box<Self>,
        _storage: &'static (dyn Storage + Sync),
        _key: &CacheKey,
        _trace: &SpanHandle,
    ) -> Result<()> {
        Ok(())
    }

    fn should_count_access(&self) -> bool {
        false
    }

    fn as_any(&self) -> &(dyn Any + Send + Sync) {
        self
    }

    fn as_any_mut(&mut self) -> &mut (dyn Any + Send + Sync) {
        self
    }
}
