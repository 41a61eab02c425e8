//! Which requests an edge takes for the same resource.
//!
//! What this is: the key rules of the domains, as the control listener took them last, and the keys
//! that requests and purges get by them.
//!
//! Invariants: a request and a purge of what its host's rules call the same resource meet in one key. What
//! was kept by other rules is used no more: the old rules could have kept one resource's copy under what
//! is now the key of another, and a purge meanwhile would not have met it. So each change of the rules has
//! a version; a request knows by which one it was keyed ([`Keyed`]) and since which one its host's rules
//! are what they are; both come from one table, so no change falls in between.

use std::collections::HashSet;
use std::sync::Arc;

use arc_swap::ArcSwap;
use catharsis_core::domain::{DomainMap, DomainName};
use catharsis_core::keys::{KeyRules, SchemeRule};
use catharsis_core::target::Scheme;

use crate::key::{Hasher, KeySite, Keyed, PrefixKey, RequestUrl, UrlKey};
use crate::protocol::{DOMAINS_MAX, DomainRules, KeyHost, WirePrefix, WireUrl};

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct HostRules(ArcSwap<Table>);

#[derive(Debug, Default)]
struct Table {
    version: Keyed,
    listed: Vec<DomainRules>,
    by_host: DomainMap<Arc<KeyRules>>,
    /// When the rules of a name last changed; also of those that are not listed any more.
    changed: DomainMap<Keyed>,
    /// When those of any other name did.
    others: Keyed,
}

/// Names whose last change is remembered one by one; beyond it all domains count as changed, which costs
/// copies.
const CHANGED_MAX: usize = 2 * DOMAINS_MAX;

impl Table {
    /// Since when the rules of a host are what they are.
    fn since(&self, host: &str) -> Keyed {
        self.changed.all_of(host).copied().fold(self.others, Keyed::max)
    }
}

impl HostRules {
    /// Puts rules in the place of the last ones, and counts the names whose rules are not what they were.
    /// For one caller at a time.
    pub(crate) fn replace(&self, listed: &[DomainRules]) -> usize {
        let known = self.0.load();
        let before: HashSet<&DomainRules> = known.listed.iter().collect();
        let after: HashSet<&DomainRules> = listed.iter().collect();
        let names: HashSet<DomainName> = before.symmetric_difference(&after).map(|it| it.name.clone().into()).collect();
        if names.is_empty() {
            return 0;
        }
        let version = Keyed(known.version.0 + 1);
        let count = names.len();
        let (mut changed, mut others) = (known.changed.clone(), known.others);
        for name in &names {
            changed.insert(name, version);
        }
        if changed.len() > CHANGED_MAX {
            (changed, others) = (DomainMap::default(), version);
        }
        let by_host = DomainRules::by_host(listed);
        self.0.store(Arc::new(Table { version, listed: listed.to_vec(), by_host, changed, others }));
        count
    }

    /// What a request asks for.
    pub(crate) fn request(&self, hasher: &Hasher, host: &KeyHost, scheme: Scheme, path: &[u8]) -> RequestUrl {
        let table = self.0.load();
        let (keyed, since) = (table.version, table.since(host.name()));
        match table.by_host.of(host.name()) {
            None => hasher.request(host.into(), path, keyed, since),
            Some(rules) => {
                let site = site(rules, host, Some(scheme)).swap_remove(0);
                hasher.request(site, &rules.target_of_bytes(path), keyed, since)
            }
        }
    }

    /// The keys of what a purge of a URL names.
    pub(crate) fn url(&self, hasher: &Hasher, url: &WireUrl) -> Vec<UrlKey> {
        let table = self.0.load();
        let rules = table.by_host.of(url.host().name()).map_or_else(Default::default, Arc::clone);
        let sites = site(&rules, url.host(), url.scheme());
        let key = |site: &KeySite, path: &str| hasher.url(site, rules.target(path).as_bytes());
        let keys = |site: &KeySite| url.paths().iter().map(|it| key(site, it.as_str())).collect::<Vec<_>>();
        sites.iter().flat_map(keys).collect()
    }

    /// The keys of what a purge of a directory names.
    pub(crate) fn prefix(&self, hasher: &Hasher, prefix: &WirePrefix) -> Vec<PrefixKey> {
        let table = self.0.load();
        let rules = table.by_host.of(prefix.host().name()).map_or_else(Default::default, Arc::clone);
        let sites = site(&rules, prefix.host(), prefix.scheme());
        let key = |site: &KeySite, path: &str| hasher.prefix(site, rules.directory(path).as_bytes());
        let keys = |site: &KeySite| prefix.paths().iter().map(|it| key(site, it.as_str())).collect::<Vec<_>>();
        sites.iter().flat_map(keys).collect()
    }
}

/// What stands for the host in a key: two where the scheme counts and none is named.
fn site(rules: &KeyRules, host: &KeyHost, scheme: Option<Scheme>) -> Vec<KeySite> {
    let name = match rules.port(host.port()) {
        Some(_) => host.as_str(),
        None => host.name(),
    };
    match (rules.scheme, scheme) {
        (SchemeRule::Shared, _) => vec![KeySite::shared(name)],
        (SchemeRule::Separate, Some(scheme)) => vec![KeySite::of_scheme(scheme, name)],
        (SchemeRule::Separate, None) => [Scheme::Http, Scheme::Https].map(|it| KeySite::of_scheme(it, name)).into(),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;
    use crate::protocol::{KeyPath, ServedName, WireRules};

    fn domain(name: &str, rules: &str) -> DomainRules {
        let rules = WireRules::from(KeyRules::parse(rules).unwrap());
        DomainRules { name: ServedName::parse(name).unwrap(), rules }
    }

    fn host(text: &str) -> KeyHost {
        KeyHost::parse(text).unwrap()
    }

    fn wire(at: &str, scheme: Option<Scheme>, path: &str) -> WireUrl {
        WireUrl::new(host(at), scheme, vec![KeyPath::new(path).unwrap()]).unwrap()
    }

    #[test]
    fn request_and_purge_of_one_resource_meet_in_one_key() {
        let hasher = Hasher::default();
        let rules = HostRules::default();
        rules.replace(&[
            domain("*.a.test", "query=drop case=folded port=shared"),
            domain("s.a.test", "scheme=separate"),
        ]);
        let key = |at: &str, scheme, path: &str| rules.request(&hasher, &host(at), scheme, path.as_bytes()).key();
        let purge = |at: &str, scheme, path: &str| rules.url(&hasher, &wire(at, scheme, path));
        assert_eq!(purge("x.a.test:8080", None, "/A?q"), [key("x.a.test", Scheme::Https, "/a?z")]);
        assert_ne!(purge("x.a.test", None, "/b"), [key("x.a.test", Scheme::Http, "/a")]);
        // The most exact name counts alone.
        let (http, https) = (key("s.a.test", Scheme::Http, "/A?q"), key("s.a.test", Scheme::Https, "/A?q"));
        assert_ne!(http, https);
        assert_eq!(purge("s.a.test", Some(Scheme::Http), "/A?q"), [http]);
        assert_eq!(purge("s.a.test", None, "/A?q"), [http, https]);
        assert_ne!(key("s.a.test", Scheme::Http, "/a?q"), http);
        // Bytes that are no text are folded all the same.
        let odd = |path: &[u8]| rules.request(&hasher, &host("x.a.test"), Scheme::Http, path).key();
        assert_eq!(odd(b"/A\xff?1"), odd(b"/a\xff?2"));
        assert_ne!(odd(b"/A\xff"), odd(b"/A\xfe"));
    }

    #[test]
    fn copy_that_was_kept_by_other_rules_is_used_no_more() {
        let hasher = Hasher::default();
        let rules = HostRules::default();
        let url = |at: &str| rules.request(&hasher, &host(at), Scheme::Http, b"/");
        let (a, b) = (domain("a.test", "query=drop"), domain("*.b.test", "port=shared"));
        let first = url("a.test").keyed();
        assert_eq!(rules.replace(&[]), 0);
        assert!(url("a.test").is_keyed_like(first));

        assert_eq!(rules.replace(&[a.clone(), b.clone()]), 2);
        assert!(!url("a.test").is_keyed_like(first) && !url("x.b.test:8080").is_keyed_like(first));
        assert!(url("c.test").is_keyed_like(first), "nothing changed for it");
        let second = url("a.test").keyed();
        assert_eq!(rules.replace(&[b.clone(), a.clone()]), 0, "only their order changed");
        assert!(url("a.test").is_keyed_like(second));

        assert_eq!(rules.replace(&[domain("a.test", "order=sorted"), b]), 1);
        assert!(!url("a.test").is_keyed_like(second));
        assert!(url("x.b.test").is_keyed_like(second));
        // What comes back is not what was kept before: purges meanwhile did not meet it.
        assert_eq!(rules.replace(&[a]), 2);
        assert!(!url("a.test").is_keyed_like(second) && !url("x.b.test").is_keyed_like(second));
    }
}
