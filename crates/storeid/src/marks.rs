//! Which purge is the newest that concerns a URL.
//!
//! What this is: marks, by the hash of a URL or of a directory, in memory and pure. What this is not:
//! their place on disk (`journal`), or the names of what is stored (`name`).
//!
//! Invariants: the point of a URL never falls, and rises with each new purge that concerns it. Marks are
//! bounded: when they are full the oldest go and the floor rises to their point, so forgetting a mark
//! costs copies and never brings one back. A purge that is told again changes nothing.

use std::collections::{BTreeSet, HashMap};
use std::num::NonZeroUsize;

use catharsis_core::target::prefix_ends;
use sha2::{Digest, Sha256};

use crate::name::Resource;

/// The name of a URL, of a directory or of a host: 128 bits of SHA-256. Two that met would cost copies and
/// nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(pub u128);

/// What a purge names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One URL.
    Url(Key),
    /// What lies at and below a directory of a host.
    Prefix {
        /// The host.
        host: Key,
        /// The directory.
        directory: Key,
    },
    /// Everything.
    Everything,
}

/// A purge of a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Told {
    /// The log, by the hash of its name.
    pub log: u64,
    /// The position there.
    pub seq: u64,
}

/// A purge at its point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Rises with each purge.
    pub point: u64,
    /// By which it is known when it is told again.
    pub told: Told,
    /// What it names.
    pub scope: Scope,
}

impl Key {
    /// A URL.
    #[must_use]
    pub fn url(resource: &Resource) -> Self {
        Self::of(b'u', &resource.site, &resource.path)
    }

    /// A host.
    #[must_use]
    pub fn host(site: &str) -> Self {
        Self::of(b'h', site, b"")
    }

    fn of(kind: u8, site: &str, path: &[u8]) -> Self {
        let mut hash = Self::begin(kind, site);
        hash.update(path);
        Self::end(hash)
    }

    /// The directories that cover a path, each longer than the one before.
    pub fn directories(site: &str, path: &[u8]) -> impl Iterator<Item = Self> {
        let mut hash = Self::begin(b'd', site);
        let mut done = 0;
        prefix_ends(path).map(move |end| {
            hash.update(&path[done..end]);
            done = end;
            Self::end(hash.clone())
        })
    }

    /// A directory.
    #[must_use]
    pub fn directory(site: &str, path: &str) -> Self {
        // The longest directory that covers it is the path itself.
        let path = path.as_bytes();
        Self::directories(site, path).last().unwrap_or_else(|| Self::of(b'd', site, path))
    }

    fn begin(kind: u8, site: &str) -> Sha256 {
        let mut hash = Sha256::new();
        hash.update([kind]);
        hash.update((site.len() as u64).to_be_bytes());
        hash.update(site);
        hash
    }

    fn end(hash: Sha256) -> Self {
        let bytes = hash.finalize();
        Self(bytes.iter().take(16).fold(0, |key, byte| (key << 8) | u128::from(*byte)))
    }
}

/// See the module.
#[derive(Debug)]
pub struct Marks {
    next: u64,
    everything: (u64, Told),
    floor: u64,
    named: HashMap<Key, (u64, Told)>,
    /// Which of `named` are directories, and of which host.
    directories: HashMap<Key, Key>,
    /// How many directories of a host are marked.
    hosts: HashMap<Key, usize>,
    by_age: BTreeSet<(u64, Key)>,
    max: usize,
}

impl Marks {
    /// No marks yet, and room for so many: each some 150 bytes.
    #[must_use]
    pub fn new(max: NonZeroUsize) -> Self {
        Self {
            next: 1,
            everything: (0, Told::default()),
            floor: 0,
            named: HashMap::new(),
            directories: HashMap::new(),
            hosts: HashMap::new(),
            by_age: BTreeSet::new(),
            max: max.get(),
        }
    }

    /// The point of the next purge.
    #[must_use]
    pub const fn next(&self) -> u64 {
        self.next
    }

    /// How many URLs and directories are marked.
    #[must_use]
    pub fn len(&self) -> usize {
        self.named.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.named.is_empty()
    }

    /// The newest purge that concerns a resource.
    #[must_use]
    pub fn point(&self, resource: &Resource) -> u64 {
        let named = |key: &Key| self.named.get(key).map_or(0, |mark| mark.0);
        let all = self.everything.0.max(self.floor);
        if self.named.is_empty() {
            return all;
        }
        let own = named(&Key::url(resource)).max(all);
        // The directories are worth their hashing only when one of them may be marked.
        if self.hosts.is_empty() || !self.hosts.contains_key(&Key::host(&resource.site)) {
            return own;
        }
        Key::directories(&resource.site, &resource.path).map(|key| named(&key)).fold(own, u64::max)
    }

    /// Whether a purge was told before and is kept already.
    #[must_use]
    pub fn knows(&self, scope: Scope, told: Told) -> bool {
        let known = match scope {
            Scope::Everything => Some(&self.everything),
            Scope::Url(key) | Scope::Prefix { directory: key, .. } => self.named.get(&key),
        };
        let covers = |known: &Told| known.log == told.log && known.seq >= told.seq && known.seq > 0;
        known.is_some_and(|known| covers(&known.1)) || covers(&self.everything.1)
    }

    /// Takes in a purge.
    pub fn mark(&mut self, mark: Mark) {
        self.next = self.next.max(mark.point.saturating_add(1));
        match mark.scope {
            Scope::Everything => {
                self.everything = self.everything.max((mark.point, mark.told));
                while let Some(&(point, key)) = self.by_age.first() {
                    if point > self.everything.0 {
                        break;
                    }
                    self.by_age.pop_first();
                    self.forget(key);
                }
            }
            Scope::Url(key) => self.mark_named(key, mark),
            Scope::Prefix { host, directory } => {
                if self.directories.insert(directory, host).is_none() {
                    *self.hosts.entry(host).or_default() += 1;
                }
                self.mark_named(directory, mark);
            }
        }
    }

    /// Raises the floor: what is older has this point.
    pub fn raise_floor(&mut self, point: u64) {
        self.floor = self.floor.max(point);
        self.next = self.next.max(point.saturating_add(1));
    }

    /// The floor.
    #[must_use]
    pub const fn floor(&self) -> u64 {
        self.floor
    }

    /// All marks, the oldest first.
    pub fn each(&self) -> impl Iterator<Item = Mark> {
        let everything = (self.everything.0 > 0).then_some(Mark {
            point: self.everything.0,
            told: self.everything.1,
            scope: Scope::Everything,
        });
        let named = self.by_age.iter().filter_map(|(point, key)| {
            let told = self.named.get(key)?.1;
            let scope = match self.directories.get(key) {
                Some(host) => Scope::Prefix { host: *host, directory: *key },
                None => Scope::Url(*key),
            };
            Some(Mark { point: *point, told, scope })
        });
        everything.into_iter().chain(named)
    }

    fn mark_named(&mut self, key: Key, mark: Mark) {
        if let Some(before) = self.named.insert(key, (mark.point, mark.told)) {
            self.by_age.remove(&(before.0, key));
        }
        self.by_age.insert((mark.point, key));
        while self.named.len() > self.max {
            // As many as `named`, so there is a first.
            let Some((oldest, key)) = self.by_age.pop_first() else { break };
            self.forget(key);
            self.floor = self.floor.max(oldest);
        }
    }

    /// To be called for a mark that is no longer in `by_age`.
    fn forget(&mut self, key: Key) {
        self.named.remove(&key);
        let Some(host) = self.directories.remove(&key) else { return };
        if let Some(count) = self.hosts.get_mut(&host) {
            *count -= 1;
            if *count == 0 {
                self.hosts.remove(&host);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SITE: &str = "http://a.test";

    fn resource(path: &str) -> Resource {
        Resource { site: SITE.into(), path: path.into() }
    }

    fn at(point: u64, scope: Scope) -> Mark {
        Mark { point, told: Told { log: 1, seq: point }, scope }
    }

    #[test]
    fn purge_concerns_what_it_names_and_nothing_beside() {
        let mut marks = Marks::new(NonZeroUsize::MAX);
        marks.mark(at(1, Scope::Url(Key::url(&resource("/x")))));
        let directory = Key::directory(SITE, "/img");
        marks.mark(at(2, Scope::Prefix { host: Key::host(SITE), directory }));
        for (path, point) in
            [("/x", 1), ("/x?", 0), ("/img", 2), ("/img/a", 2), ("/img?q", 2), ("/img2", 0), ("/", 0), ("/a/img/", 0)]
        {
            assert_eq!(marks.point(&resource(path)), point, "{path}");
        }
        marks.mark(at(3, Scope::Everything));
        assert_eq!((marks.point(&resource("/other")), marks.len()), (3, 0));
    }

    #[test]
    fn forgotten_mark_raises_the_point_and_never_lowers_it() {
        let mut marks = Marks::new(NonZeroUsize::MIN);
        marks.mark(at(1, Scope::Url(Key::url(&resource("/1")))));
        marks.mark(at(2, Scope::Url(Key::url(&resource("/2")))));
        assert_eq!(marks.point(&resource("/1")), 1);
        assert_eq!(marks.point(&resource("/2")), 2);
        assert_eq!(marks.point(&resource("/3")), 1);
        assert_eq!((marks.len(), marks.floor()), (1, 1));
    }

    #[test]
    fn purge_told_again_is_known_and_a_later_one_is_not() {
        let mut marks = Marks::new(NonZeroUsize::MAX);
        let scope = Scope::Url(Key::url(&resource("/x")));
        marks.mark(Mark { point: 1, told: Told { log: 1, seq: 5 }, scope });
        assert!(marks.knows(scope, Told { log: 1, seq: 5 }));
        assert!(!marks.knows(scope, Told { log: 1, seq: 6 }));
        assert!(!marks.knows(scope, Told { log: 2, seq: 5 }));
    }
}
