//! Acceleration domains and who owns them.
//!
//! What this is: the table that says, for a host, whose it is, in which areas it is served and
//! whether it may be purged now. An immutable snapshot; a change makes a new one.
//!
//! Invariant: the most specific name wins (an exact name before a wildcard, a longer wildcard
//! before a shorter), as on the vendor's product.

use std::collections::HashMap;

use crate::area::{Area, AreaSet, PerArea};
use crate::limits::{URLS_PER_CALL, URLS_PER_DAY};
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

/// Whether a domain is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DomainStatus {
    /// Served; may be purged.
    Online,
    /// Stopped by its owner; a purge is refused.
    Offline,
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
}

/// How much an account may purge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PurgeLimits {
    /// URLs in one call.
    pub urls_per_call: u32,
    /// URLs a day in each area; the day begins at 00:00 UTC+8.
    pub urls_per_day: PerArea<u32>,
}

impl Default for PurgeLimits {
    fn default() -> Self {
        let day = PerArea::from_fn(|_: Area| URLS_PER_DAY);
        Self { urls_per_call: URLS_PER_CALL, urls_per_day: day }
    }
}

/// Accounts with their limits, and domains with their owners: one consistent snapshot.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    limits: HashMap<AccountId, PurgeLimits>,
    exact: HashMap<HostName, Domain>,
    below: HashMap<HostName, Domain>,
}

/// Why a directory cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DirectoryError {
    /// Two domains have one name.
    #[error("domain {0:?} is listed twice")]
    Twice(DomainName),
    /// A domain belongs to an account that is not listed.
    #[error("domain {0:?} belongs to account {1}, which does not exist")]
    NoOwner(DomainName, AccountId),
}

impl Directory {
    /// Builds a snapshot.
    ///
    /// # Errors
    /// When a domain is listed twice or its owner is not among the accounts.
    pub fn new(
        accounts: impl IntoIterator<Item = (AccountId, PurgeLimits)>,
        domains: impl IntoIterator<Item = Domain>,
    ) -> Result<Self, DirectoryError> {
        let mut built = Self { limits: accounts.into_iter().collect(), ..Self::default() };
        for domain in domains {
            if !built.limits.contains_key(&domain.owner) {
                return Err(DirectoryError::NoOwner(domain.name, domain.owner));
            }
            let (table, host) = match &domain.name {
                DomainName::Exact(host) => (&mut built.exact, host.clone()),
                DomainName::Below(host) => (&mut built.below, host.clone()),
            };
            if let Some(first) = table.insert(host, domain) {
                return Err(DirectoryError::Twice(first.name));
            }
        }
        Ok(built)
    }

    /// The limits of an account; `None` when the service is not activated for it.
    #[must_use]
    pub fn limits(&self, account: AccountId) -> Option<&PurgeLimits> {
        self.limits.get(&account)
    }

    /// The domain that serves a host: the most specific one.
    #[must_use]
    pub fn domain(&self, host: &HostName) -> Option<&Domain> {
        if let Some(domain) = self.exact.get(host) {
            return Some(domain);
        }
        if self.below.is_empty() {
            return None;
        }
        let name = host.as_str();
        name.match_indices('.')
            .filter_map(|(dot, _)| HostName::parse(&name[dot + 1..]).ok())
            .find_map(|suffix| self.below.get(&suffix))
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
        }
    }

    fn owner(directory: &Directory, host: &str) -> Option<u64> {
        let host = HostName::parse(host).expect("a valid host in a test");
        directory.domain(&host).map(|domain| domain.owner.0)
    }

    #[test]
    fn most_specific_domain_wins() {
        let accounts = [1, 2, 3].map(|id| (AccountId(id), PurgeLimits::default()));
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
