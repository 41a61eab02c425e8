//! Which files hold which resource.
//!
//! What this is: files by host and by the canonical form of their request target, as the key rules of
//! their domain have it, in the order of its bytes: nginx keys byte by byte, so several of its keys can
//! be one resource, and all variants of a response have one key. What this is not: the disk.
//!
//! Invariants: what is found for a purge costs what is found, however many files there are: all of one
//! resource stand in one place, however many queries its path was asked with, and a directory is at
//! most three stretches of the order. Each file stands in the place that the rules in use give it: when
//! the rules of a host change, its files are put anew.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Debug;
use std::hash::Hash;
use std::ops::Bound;
use std::sync::Arc;

use catharsis_core::domain::DomainMap;
use catharsis_core::keys::{KeyRules, SchemeRule};
use catharsis_core::target::{HostName, Scheme};
use catharsis_edge::protocol::{DomainRules, KeyHost, KeyPath, WireTarget, WireUrl};

use super::key::{KeyTemplate, ParsedKey};

/// Files in an index, default. A file with a URL of 40 bytes takes about 200 bytes (see
/// docs/performance.md), so they take about 2 GB.
pub const ENTRIES_MAX: usize = 8_000_000;

/// The index is full: what was not taken in would be missed by purges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more than {max} files: raise entries_max, or keep less in the cache")]
pub(super) struct Full {
    max: usize,
}

/// What stands for the host in a key, as it is or as far as the rules let it count.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Site {
    host: HostName,
    port: Option<u16>,
    scheme: Option<Scheme>,
}

/// Where a file's key says it belongs, byte for byte.
#[derive(Clone, Debug)]
struct Entry {
    site: Arc<Site>,
    target: Arc<[u8]>,
}

/// The files of one resource: nearly always one.
#[derive(Debug)]
enum Files<N> {
    One(N),
    Several(Vec<N>),
}

impl<N: Copy + PartialEq> Files<N> {
    fn as_slice(&self) -> &[N] {
        match self {
            Self::One(name) => std::slice::from_ref(name),
            Self::Several(names) => names,
        }
    }

    fn add(&mut self, name: N) {
        match self {
            Self::One(known) => *self = Self::Several(vec![*known, name]),
            Self::Several(names) => names.push(name),
        }
    }
}

type Targets<N> = BTreeMap<Arc<[u8]>, Files<N>>;

/// See the module. `N` is how a file is named.
#[derive(Debug)]
pub(super) struct Index<N> {
    template: KeyTemplate,
    max: usize,
    rules: DomainMap<Arc<KeyRules>>,
    entries: HashMap<N, Entry>,
    /// Files whose key no purge can name: of another template, or of a host that is none.
    foreign: HashSet<N>,
    /// Each site that an entry has, once.
    known: HashSet<Arc<Site>>,
    sites: HashMap<Site, Targets<N>>,
}

impl<N: Copy + Eq + Hash + Debug> Index<N> {
    pub(super) fn new(template: KeyTemplate, max: usize) -> Self {
        Self {
            template,
            max,
            rules: DomainMap::default(),
            entries: HashMap::new(),
            foreign: HashSet::new(),
            known: HashSet::new(),
            sites: HashMap::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len() + self.foreign.len()
    }

    pub(super) fn contains(&self, name: &N) -> bool {
        self.entries.contains_key(name) || self.foreign.contains(name)
    }

    /// All of it, in no order.
    pub(super) fn names(&self) -> impl Iterator<Item = N> + '_ {
        self.entries.keys().chain(&self.foreign).copied()
    }

    /// Takes a file in. A known one stays where it is: nginx names files by their keys.
    pub(super) fn insert(&mut self, name: N, key: &[u8]) -> Result<(), Full> {
        if self.contains(&name) {
            return Ok(());
        }
        if self.len() >= self.max {
            return Err(Full { max: self.max });
        }
        let Some(ParsedKey { scheme, host, port, target }) = self.template.read(key) else {
            self.foreign.insert(name);
            return Ok(());
        };
        let site = Site { host, port, scheme };
        let site = match self.known.get(&site) {
            Some(known) => Arc::clone(known),
            None => {
                let site = Arc::new(site);
                self.known.insert(Arc::clone(&site));
                site
            }
        };
        let entry = Entry { site, target: target.into() };
        self.place(name, &entry);
        self.entries.insert(name, entry);
        Ok(())
    }

    pub(super) fn remove(&mut self, name: &N) {
        if let Some(entry) = self.entries.remove(name) {
            self.displace(name, &entry);
            // The one here and the one in the set.
            if Arc::strong_count(&entry.site) == 2 {
                self.known.remove(&entry.site);
            }
        }
        self.foreign.remove(name);
    }

    /// Puts rules in the place of the last ones.
    pub(super) fn replace_rules(&mut self, listed: &[DomainRules]) {
        let rules = DomainRules::by_host(listed);
        let of = |map: &DomainMap<Arc<KeyRules>>, site: &Site| map.of(site.host.as_str()).cloned().unwrap_or_default();
        let differs = |site: &Site| of(&self.rules, site) != of(&rules, site);
        let changed: HashSet<Arc<Site>> = self.known.iter().filter(|site| differs(site)).cloned().collect();
        let moved = |(_, entry): &(&N, &Entry)| changed.contains(&entry.site);
        let moved: Vec<(N, Entry)> = match changed.is_empty() {
            true => Vec::new(),
            false => self.entries.iter().filter(moved).map(|(name, entry)| (*name, entry.clone())).collect(),
        };
        for (name, entry) in &moved {
            self.displace(name, entry);
        }
        self.rules = rules;
        for (name, entry) in &moved {
            self.place(*name, entry);
        }
    }

    /// The scheme of a URL, where the rules let it count.
    pub(super) fn counted_scheme(&self, url: &WireUrl) -> Option<Scheme> {
        url.scheme().filter(|_| self.rules_of(url.host().name()).scheme == SchemeRule::Separate)
    }

    /// The files that a purge names.
    pub(super) fn find(&self, target: &WireTarget) -> Vec<N> {
        match target {
            WireTarget::Everything => self.names().collect(),
            WireTarget::Url(url) => {
                let rules = self.rules_of(url.host().name());
                self.find_in(&rules, url.host(), url.scheme(), url.paths(), |targets, path, found| {
                    found.extend(targets.get(rules.target(path).as_bytes()).into_iter().flat_map(Files::as_slice));
                })
            }
            WireTarget::Prefix(prefix) => {
                let rules = self.rules_of(prefix.host().name());
                self.find_in(&rules, prefix.host(), prefix.scheme(), prefix.paths(), |targets, path, found| {
                    below(targets, rules.directory(path).as_bytes(), found);
                })
            }
        }
    }

    fn find_in(
        &self,
        rules: &KeyRules,
        host: &KeyHost,
        scheme: Option<Scheme>,
        paths: &[KeyPath],
        look: impl Fn(&Targets<N>, &str, &mut Vec<N>),
    ) -> Vec<N> {
        let Ok(name) = HostName::parse(host.name()) else { return Vec::new() };
        let schemes = match (scheme, self.template.has_scheme() && rules.scheme == SchemeRule::Separate) {
            (_, false) => vec![None],
            (Some(scheme), true) => vec![Some(scheme)],
            (None, true) => vec![Some(Scheme::Http), Some(Scheme::Https)],
        };
        let mut found = Vec::new();
        for scheme in schemes {
            let port = if self.template.has_port() { rules.port(host.port()) } else { None };
            let Some(targets) = self.sites.get(&Site { host: name.clone(), port, scheme }) else { continue };
            paths.iter().for_each(|path| look(targets, path.as_str(), &mut found));
        }
        found
    }

    fn rules_of(&self, host: &str) -> Arc<KeyRules> {
        self.rules.of(host).cloned().unwrap_or_default()
    }

    /// Where a file stands by the rules in use.
    fn place_of(&self, entry: &Entry) -> (Site, Arc<[u8]>) {
        let Site { host, port, scheme } = &*entry.site;
        let rules = self.rules_of(host.as_str());
        let scheme = if rules.scheme == SchemeRule::Separate { *scheme } else { None };
        let site = Site { host: host.clone(), port: rules.port(*port), scheme };
        let target = match rules.target_of_bytes(&entry.target) {
            Cow::Borrowed(same) if same.len() == entry.target.len() => Arc::clone(&entry.target),
            Cow::Borrowed(part) => part.into(),
            Cow::Owned(other) => other.into(),
        };
        (site, target)
    }

    fn place(&mut self, name: N, entry: &Entry) {
        let (site, target) = self.place_of(entry);
        let targets = self.sites.entry(site).or_default();
        targets.entry(target).and_modify(|files| files.add(name)).or_insert(Files::One(name));
    }

    fn displace(&mut self, name: &N, entry: &Entry) {
        let (site, target) = self.place_of(entry);
        let Some(targets) = self.sites.get_mut(&site) else { return };
        let emptied = match targets.get_mut(&target) {
            None => false,
            Some(Files::One(_)) => true,
            Some(Files::Several(names)) => {
                names.retain(|it| it != name);
                names.is_empty()
            }
        };
        if emptied {
            targets.remove(&target);
        }
        if targets.is_empty() {
            self.sites.remove(&site);
        }
    }
}

/// What lies at and below a directory, as `catharsis_core::target::prefix_covers` says.
fn below<N: Copy + PartialEq>(targets: &Targets<N>, directory: &[u8], found: &mut Vec<N>) {
    let mut stretch = |begin: &[u8]| {
        let from = (Bound::Included(begin), Bound::Unbounded);
        let within = targets.range::<[u8], _>(from).take_while(|(target, _)| target.starts_with(begin));
        found.extend(within.flat_map(|(_, files)| files.as_slice()));
    };
    if directory.ends_with(b"/") {
        return stretch(directory);
    }
    stretch(&[directory, b"/"].concat());
    stretch(&[directory, b"?"].concat());
    found.extend(targets.get(directory).into_iter().flat_map(Files::as_slice));
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;
