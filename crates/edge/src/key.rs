//! What a cached object is called, and the directories above it.
//!
//! What this is: the hash of host, path and query, and the hashes of host and directory, each in the form
//! that the host's key rules give it (`rules`). The scheme is part of them where those rules say so.
//!
//! Invariant: a request and a purge of the same URL meet in one key, and so do a request and a purge
//! of a directory that covers it. Nobody outside can construct two names that meet otherwise: the
//! hash is keyed with chance drawn at the start, and URLs and directories begin it differently.

use std::hash::{BuildHasher, Hash, Hasher as _, RandomState};

use catharsis_core::target::{Scheme, prefix_ends};

use crate::protocol::KeyHost;

/// The name of a URL or of a directory: 128 keyed bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UrlKey(pub(crate) u128);

impl UrlKey {
    pub(crate) const fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    pub(crate) const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }
}

/// The name of a host: 64 keyed bits. It only tells where looking for directories is worthwhile, so
/// two hosts that met would cost time and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HostKey(u64);

/// The name of a directory, and its host's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrefixKey {
    pub(crate) host: HostKey,
    pub(crate) directory: UrlKey,
}

/// A version of the key rules: rises with each change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Keyed(pub(crate) u64);

/// What stands for the host in a key: the host, with its scheme where that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeySite(Box<str>);

impl KeySite {
    /// A host whose schemes share their copies.
    pub(crate) fn shared(host: &str) -> Self {
        Self(host.into())
    }

    /// A host of one scheme. No host looks like it.
    pub(crate) fn of_scheme(scheme: Scheme, host: &str) -> Self {
        Self(format!("{}://{host}", scheme.as_str()).into())
    }
}

impl From<&KeyHost> for KeySite {
    fn from(host: &KeyHost) -> Self {
        Self::shared(host.as_str())
    }
}

/// A URL that is asked for: its key, and what the keys of the directories above it are made from.
///
/// Those are worked out only when a directory of the host is marked.
#[derive(Debug)]
pub struct RequestUrl {
    key: UrlKey,
    site: KeySite,
    path: Box<[u8]>,
    hasher: Hasher,
    keyed: Keyed,
    rules_since: Keyed,
}

impl RequestUrl {
    /// Its key.
    #[must_use]
    pub const fn key(&self) -> UrlKey {
        self.key
    }

    /// The key of its host.
    #[must_use]
    pub fn host(&self) -> HostKey {
        self.hasher.host(&self.site)
    }

    /// The keys of all directories that cover it, in time linear in its length.
    pub fn directories(&self) -> impl Iterator<Item = UrlKey> {
        self.hasher.directories(&self.site, &self.path)
    }

    /// Whether it lies below a directory.
    #[must_use]
    pub(crate) fn is_below(&self, prefix: PrefixKey) -> bool {
        self.host() == prefix.host && self.directories().any(|it| it == prefix.directory)
    }

    /// By which version of the rules it got its key.
    #[must_use]
    pub(crate) const fn keyed(&self) -> Keyed {
        self.keyed
    }

    /// Whether what was kept under its key by that version of the rules is what it names: since then the
    /// rules of its host have not changed.
    #[must_use]
    pub(crate) fn is_keyed_like(&self, keyed: Keyed) -> bool {
        self.rules_since <= keyed
    }
}

/// Two independently keyed SipHashes make up a key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hasher {
    high: RandomState,
    low: RandomState,
}

/// What the hash of a directory begins with: no host does.
const DIRECTORY: u8 = b'/';

impl Hasher {
    /// A URL: host, path and query in the form by which they are kept.
    pub(crate) fn request(&self, site: KeySite, path: &[u8], keyed: Keyed, rules_since: Keyed) -> RequestUrl {
        RequestUrl { key: self.url(&site, path), site, path: path.into(), hasher: self.clone(), keyed, rules_since }
    }

    /// The key of a URL.
    pub(crate) fn url(&self, site: &KeySite, path: &[u8]) -> UrlKey {
        // Both parts hash with their length or an end mark, so their border is part of the hash.
        let url = (&*site.0, path);
        UrlKey((u128::from(self.high.hash_one(url)) << 64) | u128::from(self.low.hash_one(url)))
    }

    /// The key of a directory.
    pub(crate) fn prefix(&self, site: &KeySite, path: &[u8]) -> PrefixKey {
        // The longest directory that covers it is the path itself.
        let directory = self.directories(site, path).last().unwrap_or_else(|| self.url(site, path));
        PrefixKey { host: self.host(site), directory }
    }

    fn host(&self, site: &KeySite) -> HostKey {
        HostKey(self.high.hash_one(&*site.0))
    }

    fn directories(&self, site: &KeySite, path: &[u8]) -> impl Iterator<Item = UrlKey> {
        let [mut high, mut low] = [&self.high, &self.low].map(|it| {
            let mut state = it.build_hasher();
            state.write_u8(DIRECTORY);
            site.0.hash(&mut state);
            state
        });
        let mut done = 0;
        prefix_ends(path).map(move |end| {
            // A path is hashed in the same pieces wherever it ends, so a directory gets the same
            // key below whatever URL.
            for state in [&mut high, &mut low] {
                state.write(&path[done..end]);
            }
            done = end;
            UrlKey((u128::from(high.finish()) << 64) | u128::from(low.finish()))
        })
    }
}

/// The names that URLs and directories have at one edge, of hosts without key rules.
#[derive(Clone, Debug, Default)]
pub struct Names(Hasher);

impl Names {
    /// A URL that is asked for; `path` with its query.
    #[must_use]
    pub fn request(&self, host: &KeyHost, path: &str) -> RequestUrl {
        self.0.request(host.into(), path.as_bytes(), Keyed::default(), Keyed::default())
    }

    /// What a purge of a URL names; `path` with its query.
    #[must_use]
    pub fn url(&self, host: &KeyHost, path: &str) -> UrlKey {
        self.0.url(&host.into(), path.as_bytes())
    }

    /// What a purge of a directory names.
    #[must_use]
    pub fn prefix(&self, host: &KeyHost, path: &str) -> PrefixKey {
        self.0.prefix(&host.into(), path.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use catharsis_core::target::prefix_covers;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn key_ignores_case_and_default_ports_of_the_host_and_nothing_of_the_path() {
        let hasher = Hasher::default();
        let key = |host: &str, path: &str| hasher.url(&(&KeyHost::parse(host).unwrap()).into(), path.as_bytes());
        let base = key("a.test", "/x?b=1");
        for same in ["A.Test", "a.test.", "a.test:80", "a.test:443"] {
            assert_eq!(key(same, "/x?b=1"), base, "{same}");
        }
        assert_ne!(key("a.test:8080", "/x?b=1"), base);
        for other in ["/x?b=2", "/X?b=1", "/x?b=1&", "/%78?b=1", "//x?b=1"] {
            assert_ne!(key("a.test", other), base, "{other}");
        }
    }

    proptest! {
        #[test]
        fn url_meets_the_directories_that_cover_it_and_no_others(
            (host, prefix) in ("[ab]", "(/[ab]{0,2}){1,3}"),
            (other, target) in ("[ab]", "(/[ab]{0,2}){1,4}(\\?[ab/]{0,3})?"),
        ) {
            let hasher = Hasher::default();
            let prefix_key = hasher.prefix(&KeySite::shared(&host), prefix.as_bytes());
            let url = hasher.request(KeySite::shared(&other), target.as_bytes(), Keyed(0), Keyed(0));
            let covers = host == other && prefix_covers(&prefix, &target);
            prop_assert_eq!(url.directories().any(|it| it == prefix_key.directory), covers);
            prop_assert!(!url.directories().any(|it| it == url.key()), "a directory is no URL");
            prop_assert_eq!(prefix_key.host == url.host(), host == other);
        }
    }
}
