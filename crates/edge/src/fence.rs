//! The exact fence: which copies may still be used after a purge.
//!
//! What this is: the position in the log, and marks that keep the newest position purged of each
//! URL, of each directory and of everything. Each copy carries the [`Stamp`] that was read before its
//! fetch began; a copy whose stamp is older than a mark that names it is refused (`Delete`) or
//! revalidated first (`Expire`). The fence refuses *use*, so it holds for stored copies and fetches
//! under way alike, and a purge of a directory costs the same however much lies below it: whoever
//! looks a copy up looks for the directories of its URL, and only while one of its host is marked.
//!
//! What this is not: storage. Nothing is removed here.
//!
//! Invariants, and why they hold:
//!
//! - *A copy stamped at or after a purge was fetched after it.* The stamp is the position read
//!   before the fetch, and a position exists only once its purge was accepted.
//! - *Marks first, then the position, then the count of changes.* Whoever sees the new count or
//!   position also sees the marks. The reverse would be unsafe twice. A hit notes the count at which
//!   its copy was found good and looks at no marks while the count stays: had the count moved first,
//!   a hit between the two steps would find no mark, note the new count, and use the purged copy for
//!   ever. And a position shown before its marks would be a receipt for a purge that a crash, or
//!   just a slow thread, had not carried out yet.
//! - *Positions of another log do not compare.* Inside, stamps are points on one line: each log gets
//!   a stretch of it that begins beyond all stamps given out before. A change of log marks everything
//!   at that beginning. The first log after a start begins at 0: what was fetched before it has the
//!   stamp 0, older than any purge.
//! - *Marks are bounded.* When they are full the oldest go and the floor rises to their position:
//!   copies below the floor are refused. So forgetting a mark refuses too much, never too little.
//! - *Replays are harmless.* A mark only rises, and newer copies have newer stamps.

use std::collections::{BTreeSet, HashMap};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

use catharsis_core::invalidation::Seq;
use catharsis_core::target::Mode;

pub use crate::key::{HostKey, Names, PrefixKey, RequestUrl, UrlKey};
use crate::protocol::LogId;

/// When a fetch began, as a point on the fence's line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp(u64);

impl Stamp {
    /// Older than every purge.
    pub const OLDEST: Self = Self(0);

    #[cfg(feature = "proxy")]
    pub(crate) const fn to_bits(self) -> u64 {
        self.0
    }

    #[cfg(feature = "proxy")]
    pub(crate) const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The newest point that lies before this one.
    pub(crate) const fn before(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

/// What may be done with a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may be used.
    Keep,
    /// Only after the origin has confirmed it.
    Expire,
    /// Not at all.
    Refuse,
}

/// What a purge names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One URL.
    Url(UrlKey),
    /// All URLs at and below a directory.
    Prefix(PrefixKey),
    /// Everything.
    Everything,
}

/// One purge to mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purge {
    /// Its position in the log.
    pub seq: Seq,
    /// What it names.
    pub scope: Scope,
    /// What may be done with older copies.
    pub mode: Mode,
}

/// The count of changes at which a copy was last found good.
#[derive(Debug)]
pub struct Seen(AtomicU64);

impl Default for Seen {
    fn default() -> Self {
        Self(AtomicU64::new(u64::MAX))
    }
}

/// What [`Fence::apply`] did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The point of each purge, in order: copies with an older stamp are concerned by it.
    pub points: Vec<Stamp>,
    /// When the log was another one than before: all copies older than this are refused.
    pub log_began: Option<Stamp>,
    /// The position reached.
    pub position: Seq,
}

/// The stretch of the fence's line that belongs to one log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    base: u64,
}

impl Line {
    /// The point of a position. One that no line has room for lies beyond all others.
    pub(crate) const fn point(self, seq: Seq) -> Stamp {
        Stamp(self.base.saturating_add(seq.0))
    }

    /// The position of a point; the first for one that lies before the log.
    pub(crate) const fn seq(self, point: Stamp) -> Seq {
        Seq(point.0.saturating_sub(self.base))
    }
}

/// More logs and positions than the line has room for: the edge must be restarted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no room for further positions: restart the edge")]
pub struct Exhausted;

/// Where the fence stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FenceStatus {
    /// The log that it follows; `None` before the first order.
    pub log: Option<LogId>,
    /// The position there.
    pub position: Seq,
    /// URLs and directories marked.
    pub marks: usize,
}

/// See the module.
#[derive(Debug)]
pub struct Fence {
    position: AtomicU64,
    changes: AtomicU64,
    marks: RwLock<Marks>,
    #[cfg(test)]
    blind: bool,
}

/// The newest purge of one target, by mode: a `Delete` must not be softened by a later `Expire`.
#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    delete: Stamp,
    expire: Stamp,
}

impl Mark {
    fn raise(&mut self, point: Stamp, mode: Mode) {
        let newest = match mode {
            Mode::Delete => &mut self.delete,
            Mode::Expire => &mut self.expire,
        };
        *newest = point.max(*newest);
    }

    fn newest(self) -> Stamp {
        self.delete.max(self.expire)
    }

    fn or(self, other: Self) -> Self {
        Self { delete: self.delete.max(other.delete), expire: self.expire.max(other.expire) }
    }
}

#[derive(Debug)]
struct Marks {
    log: Option<LogId>,
    /// Where the log's position 0 lies on the line.
    base: u64,
    everything: Mark,
    floor: Stamp,
    /// Of URLs and of directories, whose keys never meet.
    named: HashMap<UrlKey, Mark>,
    /// Which of them are directories, and of which host.
    directories: HashMap<UrlKey, HostKey>,
    /// How many directories of a host are marked; a host without is not here.
    hosts: HashMap<HostKey, usize>,
    /// The same marks by [`Mark::newest`]: the first is the next to go.
    by_age: BTreeSet<(Stamp, UrlKey)>,
    max: usize,
}

impl Fence {
    /// A fence that keeps at most `marks_max` URLs and directories marked, each about 80 bytes; a
    /// directory takes some 60 more.
    #[must_use]
    pub fn new(marks_max: NonZeroUsize) -> Self {
        Self {
            position: AtomicU64::new(0),
            changes: AtomicU64::new(0),
            marks: RwLock::new(Marks {
                log: None,
                base: 0,
                everything: Mark::default(),
                floor: Stamp::OLDEST,
                named: HashMap::new(),
                directories: HashMap::new(),
                hosts: HashMap::new(),
                by_age: BTreeSet::new(),
                max: marks_max.get(),
            }),
            #[cfg(test)]
            blind: false,
        }
    }

    /// A fence that lets everything pass: the planted fault which the in-flight tests must catch.
    #[cfg(test)]
    pub(crate) fn blind(marks_max: NonZeroUsize) -> Self {
        Self { blind: true, ..Self::new(marks_max) }
    }

    /// The stamp for a fetch that begins now. To be read before the cache is looked up: a copy that
    /// the fetch may confirm (304) was then in use no earlier than its stamp says.
    #[must_use]
    pub fn stamp(&self) -> Stamp {
        Stamp(self.position.load(Ordering::Acquire))
    }

    /// What may be done with a copy of `url` stamped `stamp`. While nothing at all was purged since
    /// `seen` it costs one atomic load.
    pub fn verdict(&self, url: &RequestUrl, stamp: Stamp, seen: &Seen) -> Verdict {
        #[cfg(test)]
        if self.blind {
            return Verdict::Keep;
        }
        // Read before the marks: if they change in between, `seen` gets the old count, and the next
        // hit looks again.
        let changes = self.changes.load(Ordering::Acquire);
        if seen.0.load(Ordering::Relaxed) == changes {
            return Verdict::Keep;
        }
        let verdict = self.read().verdict(url, stamp);
        if verdict == Verdict::Keep {
            // Two hits may store different counts; the older one only costs another look.
            seen.0.store(changes, Ordering::Relaxed);
        }
        verdict
    }

    /// The newest purge that names `url` or a directory above it: a fetch with an older stamp is not
    /// worth waiting for.
    #[must_use]
    pub fn newest(&self, url: &RequestUrl) -> Stamp {
        #[cfg(test)]
        if self.blind {
            return Stamp::OLDEST;
        }
        self.read().newest(url)
    }

    /// Sets the marks of `purges`, then advances to `upto`. Afterwards the fence holds.
    ///
    /// # Errors
    /// [`Exhausted`]: nothing was changed.
    pub fn apply(&self, log: &LogId, upto: Seq, purges: &[Purge]) -> Result<Applied, Exhausted> {
        let mut marks = self.marks.write().unwrap_or_else(PoisonError::into_inner);
        let known = marks.log.as_ref().is_none_or(|known| known == log);
        let position = self.position.load(Ordering::Relaxed);
        let base = if known { marks.base } else { position.checked_add(1).ok_or(Exhausted)? };
        let highest = purges.iter().map(|it| it.seq).fold(upto, Seq::max);
        base.checked_add(highest.0).ok_or(Exhausted)?;
        let point = |seq: Seq| Stamp(base + seq.0);

        marks.base = base;
        marks.log = Some(log.clone());
        let log_began = (!known).then_some(Stamp(base));
        if let Some(began) = log_began {
            marks.mark(Scope::Everything, began, Mode::Delete);
        }
        let mut points = Vec::with_capacity(purges.len());
        for purge in purges {
            points.push(point(purge.seq));
            marks.mark(purge.scope, point(purge.seq), purge.mode);
        }
        let position = position.max(point(upto).0);
        // Still under the lock, so that two orders cannot move the position backwards; and in this
        // order, see the module.
        self.position.store(position, Ordering::Release);
        self.changes.fetch_add(1, Ordering::Release);
        Ok(Applied { points, log_began, position: Seq(position - base) })
    }

    /// The stretch of the line that belongs to a log; `None` for another log than the fence follows. A fence that
    /// follows none yet takes any for its first.
    pub(crate) fn line_of(&self, log: &LogId) -> Option<Line> {
        let marks = self.read();
        marks.log.as_ref().is_none_or(|known| known == log).then_some(Line { base: marks.base })
    }

    /// Where it stands.
    #[must_use]
    pub fn status(&self) -> FenceStatus {
        let marks = self.read();
        FenceStatus {
            log: marks.log.clone(),
            position: Seq(self.position.load(Ordering::Acquire) - marks.base),
            marks: marks.named.len(),
        }
    }

    // A poisoned lock means that a thread died while it held it. `Marks` only ever rises, so what
    // it set is right and what it did not set was not acknowledged.
    fn read(&self) -> std::sync::RwLockReadGuard<'_, Marks> {
        self.marks.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Marks {
    fn verdict(&self, url: &RequestUrl, stamp: Stamp) -> Verdict {
        let mark = self.of(url);
        if stamp < mark.delete.max(self.floor) {
            Verdict::Refuse
        } else if stamp < mark.expire {
            Verdict::Expire
        } else {
            Verdict::Keep
        }
    }

    fn newest(&self, url: &RequestUrl) -> Stamp {
        self.of(url).newest().max(self.floor)
    }

    /// The newest purges that concern a URL, whatever they named.
    fn of(&self, url: &RequestUrl) -> Mark {
        let named = |key: UrlKey| self.named.get(&key).copied().unwrap_or_default();
        let mark = self.everything.or(named(url.key()));
        // The URL's directories are worth their hashing only when one of them may be marked.
        if self.hosts.is_empty() || !self.hosts.contains_key(&url.host()) {
            return mark;
        }
        url.directories().map(named).fold(mark, Mark::or)
    }

    fn mark(&mut self, scope: Scope, point: Stamp, mode: Mode) {
        match scope {
            Scope::Everything => {
                self.everything.raise(point, mode);
                self.drop_implied();
            }
            // Older than what is refused anyway: it would say nothing, and cost a place.
            Scope::Url(_) | Scope::Prefix(_) if point <= self.implied() => {}
            Scope::Url(url) => self.mark_named(url, point, mode),
            Scope::Prefix(PrefixKey { host, directory }) => {
                if self.directories.insert(directory, host).is_none() {
                    *self.hosts.entry(host).or_default() += 1;
                }
                self.mark_named(directory, point, mode);
            }
        }
    }

    fn mark_named(&mut self, key: UrlKey, point: Stamp, mode: Mode) {
        let mark = self.named.entry(key).or_default();
        let before = mark.newest();
        mark.raise(point, mode);
        let after = mark.newest();
        self.by_age.remove(&(before, key));
        self.by_age.insert((after, key));
        while self.named.len() > self.max {
            // As many as `named`, so there is a first.
            let Some((oldest, key)) = self.by_age.pop_first() else {
                break;
            };
            self.forget(key);
            self.floor = self.floor.max(oldest);
        }
    }

    /// Up to here every copy is refused, whatever its URL.
    fn implied(&self) -> Stamp {
        self.everything.delete.max(self.floor)
    }

    fn drop_implied(&mut self) {
        let implied = self.implied();
        while let Some(&(point, key)) = self.by_age.first() {
            if point > implied {
                break;
            }
            self.by_age.pop_first();
            self.forget(key);
        }
    }

    /// To be called for a mark that is no longer in `by_age`.
    fn forget(&mut self, key: UrlKey) {
        self.named.remove(&key);
        let Some(host) = self.directories.remove(&key) else {
            return;
        };
        if let Some(count) = self.hosts.get_mut(&host) {
            *count -= 1;
            if *count == 0 {
                self.hosts.remove(&host);
            }
        }
    }
}

#[cfg(test)]
#[path = "fence_tests.rs"]
mod tests;
