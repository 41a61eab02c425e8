//! Acceleration domains and who owns them.
//!
//! What this is: the table that says, for a host, whose it is, in which areas it is served and
//! whether it may be purged now, with the accounts. An immutable snapshot; a change makes a new one.
//!
//! Invariant: the most specific name wins (an exact name before a wildcard, a longer wildcard
//! before a shorter), as on the vendor's product.

use std::collections::HashMap;
use std::sync::Arc;

use crate::account::Account;
use crate::area::AreaSet;
use crate::keys::KeyRules;
use crate::target::{HostName, InvalidUrl};
use crate::task::AccountId;

/// The name of an acceleration domain: one host, or all hosts below one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum DomainName {
    /// One host.
    Exact(HostName),
    /// `*.` and this suffix: every host below it, at any depth.
    Below(HostName),
}

impl DomainName {
    /// The host name, without the `*.`.
    #[must_use]
    pub const fn host(&self) -> &HostName {
        match self {
            Self::Exact(host) | Self::Below(host) => host,
        }
    }

    /// Parses `www.example.test` or `*.example.test`.
    ///
    /// # Errors
    /// As [`HostName::parse`].
    pub fn parse(text: &str) -> Result<Self, InvalidUrl> {
        match text.strip_prefix("*.") {
            Some(suffix) => HostName::parse(suffix).map(Self::Below),
            None => HostName::parse(text).map(Self::Exact),
        }
    }
}

impl std::fmt::Display for DomainName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exact(host) => host.fmt(f),
            Self::Below(host) => write!(f, "*.{host}"),
        }
    }
}

/// Where a domain stands; an operator can set each, its owner starts and stops it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DomainStatus {
    /// Served; may be purged.
    Online,
    /// Stopped by its owner; a purge is refused.
    Offline,
    /// A change is on its way to the edges; may be purged, since old copies may still be served.
    Processing,
    /// Held by an operator: neither its owner nor a purge may touch it.
    Locked,
    /// Refused by an operator.
    Rejected,
    /// About to be offline.
    Closing,
}

impl DomainStatus {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Online, Self::Offline, Self::Processing, Self::Locked, Self::Rejected, Self::Closing];

    /// The contract's name of the status; `locked` is ours.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Online => "online",
            Self::Offline => "offline",
            Self::Processing => "processing",
            Self::Locked => "locked",
            Self::Rejected => "rejected",
            Self::Closing => "closing",
        }
    }

    /// The status with this name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

/// An acceleration domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain {
    /// Its name.
    pub name: DomainName,
    /// The account that connected it.
    pub owner: AccountId,
    /// Where it is served.
    pub areas: AreaSet,
    /// Whether it is served.
    pub status: DomainStatus,
    /// What its caches take for the same resource.
    pub keys: Arc<KeyRules>,
}

/// What is known of some domains, found by the host that one of them serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainMap<T> {
    exact: HashMap<HostName, T>,
    below: HashMap<HostName, T>,
}

impl<T> Default for DomainMap<T> {
    fn default() -> Self {
        Self { exact: HashMap::new(), below: HashMap::new() }
    }
}

impl<T> DomainMap<T> {
    /// Notes something of a domain; returns what was noted of it before.
    pub fn insert(&mut self, name: &DomainName, it: T) -> Option<T> {
        match name {
            DomainName::Exact(host) => self.exact.insert(host.clone(), it),
            DomainName::Below(host) => self.below.insert(host.clone(), it),
        }
    }

    /// What is known of the domain that serves a host, which is given in the form of [`HostName`]: the most
    /// specific one.
    #[must_use]
    pub fn of(&self, host: &str) -> Option<&T> {
        self.all_of(host).next()
    }

    /// What is known of every domain that a host belongs to, the most specific first.
    pub fn all_of<'m, 'h>(&'m self, host: &'h str) -> impl Iterator<Item = &'m T> + use<'m, 'h, T> {
        let parents = (!self.below.is_empty()).then(|| host.match_indices('.').map(|(dot, _)| &host[dot + 1..]));
        let below = parents.into_iter().flatten().filter_map(|parent| self.below.get(parent));
        self.exact.get(host).into_iter().chain(below)
    }

    /// How many domains something is known of.
    #[must_use]
    pub fn len(&self) -> usize {
        self.exact.len() + self.below.len()
    }

    /// Whether nothing is known of any.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All of it, in no order.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.exact.values().chain(self.below.values())
    }
}

/// Accounts with their limits, and domains with their owners: one consistent snapshot.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    accounts: HashMap<AccountId, Account>,
    domains: DomainMap<Domain>,
}

/// Why a directory cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DirectoryError {
    /// Two domains have one name.
    #[error("domain {0} is listed twice")]
    Twice(DomainName),
    /// A domain belongs to an account that is not listed.
    #[error("domain {0} belongs to account {1}, which does not exist")]
    NoOwner(DomainName, AccountId),
}

impl Directory {
    /// Builds a snapshot.
    ///
    /// # Errors
    /// When a domain is listed twice or its owner is not among the accounts.
    pub fn new(
        accounts: impl IntoIterator<Item = (AccountId, Account)>,
        domains: impl IntoIterator<Item = Domain>,
    ) -> Result<Self, DirectoryError> {
        let mut built = Self { accounts: accounts.into_iter().collect(), ..Self::default() };
        for domain in domains {
            if !built.accounts.contains_key(&domain.owner) {
                return Err(DirectoryError::NoOwner(domain.name, domain.owner));
            }
            let name = domain.name.clone();
            if built.domains.insert(&name, domain).is_some() {
                return Err(DirectoryError::Twice(name));
            }
        }
        Ok(built)
    }

    /// An account; `None` for an unknown one.
    #[must_use]
    pub fn account(&self, account: AccountId) -> Option<&Account> {
        self.accounts.get(&account)
    }

    /// The domains of an account, in no order.
    pub fn domains_of(&self, account: AccountId) -> impl Iterator<Item = &Domain> {
        self.domains.values().filter(move |domain| domain.owner == account)
    }

    /// What the caches of the domain that serves a host take for the same resource; the default rules for
    /// a host of no domain.
    #[must_use]
    pub fn keys(&self, host: &HostName) -> Arc<KeyRules> {
        self.domain(host).map(|domain| Arc::clone(&domain.keys)).unwrap_or_default()
    }

    /// The domain that serves a host: the most specific one.
    #[must_use]
    pub fn domain(&self, host: &HostName) -> Option<&Domain> {
        self.domains.of(host.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domain(name: &str, owner: u64) -> Domain {
        Domain {
            name: DomainName::parse(name).expect("a valid name in a test"),
            owner: AccountId(owner),
            areas: AreaSet::Global,
            status: DomainStatus::Online,
            keys: Arc::default(),
        }
    }

    fn owner(directory: &Directory, host: &str) -> Option<u64> {
        let host = HostName::parse(host).expect("a valid host in a test");
        directory.domain(&host).map(|domain| domain.owner.0)
    }

    #[test]
    fn most_specific_domain_wins() {
        let accounts = [1, 2, 3].map(|id| (AccountId(id), Account::default()));
        let domains = [domain("*.a.test", 1), domain("*.img.a.test", 2), domain("x.img.a.test", 3)];
        let directory = Directory::new(accounts, domains).expect("names differ");

        assert_eq!(owner(&directory, "www.a.test"), Some(1));
        assert_eq!(owner(&directory, "deep.below.a.test"), Some(1));
        assert_eq!(owner(&directory, "y.img.a.test"), Some(2));
        assert_eq!(owner(&directory, "x.img.a.test"), Some(3));
        assert_eq!(owner(&directory, "a.test"), None);
        assert_eq!(owner(&directory, "nota.test"), None);
    }

    #[test]
    fn domain_without_an_account_is_refused() {
        let built = Directory::new([], [domain("a.test", 9)]);
        assert!(matches!(built, Err(DirectoryError::NoOwner(_, AccountId(9)))));
    }
}
