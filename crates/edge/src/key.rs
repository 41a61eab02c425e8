//! What a cached object is called.
//!
//! What this is: the hash of host, path and query. The scheme is no part of it.
//!
//! Invariant: a request and a purge of the same URL meet in one key, and nobody outside can
//! construct two URLs that do: the hash is keyed with chance drawn at the start.

use std::hash::{BuildHasher, RandomState};

use crate::protocol::KeyHost;

/// A URL: 128 keyed bits.
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

/// Two independently keyed SipHashes make up a key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hasher {
    high: RandomState,
    low: RandomState,
}

impl Hasher {
    /// The key of a URL: host in key form, path and query byte for byte.
    pub(crate) fn url(&self, host: &KeyHost, path: &[u8]) -> UrlKey {
        // Both parts hash with their length or an end mark, so their border is part of the hash.
        let url = (host.as_str(), path);
        UrlKey((u128::from(self.high.hash_one(url)) << 64) | u128::from(self.low.hash_one(url)))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    #[test]
    fn key_ignores_case_and_default_ports_of_the_host_and_nothing_of_the_path() {
        let hasher = Hasher::default();
        let key = |host: &str, path: &str| hasher.url(&KeyHost::parse(host).unwrap(), path.as_bytes());
        let base = key("a.test", "/x?b=1");
        for same in ["A.Test", "a.test.", "a.test:80", "a.test:443"] {
            assert_eq!(key(same, "/x?b=1"), base, "{same}");
        }
        assert_ne!(key("a.test:8080", "/x?b=1"), base);
        for other in ["/x?b=2", "/X?b=1", "/x?b=1&", "/%78?b=1", "//x?b=1"] {
            assert_ne!(key("a.test", other), base, "{other}");
        }
    }
}
