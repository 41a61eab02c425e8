//! Where requests lead.
//!
//! What this is: the fixed routes of the configuration and the table of domains that the control
//! listener took last, and the choice among them by the host of a request. What decides, in this
//! order: a domain of that name, a fixed route for that name, the domain `*.` with the longest name
//! above it, such a fixed route, the fixed route for any host.
//!
//! What this is not: the fence. A domain that goes and comes back finds its old copies, unless they
//! were purged meanwhile; they are not forgotten when its origins change either.
//!
//! Invariants:
//! - A request sees one table, whole: it looks up its site once and keeps it.
//! - *A shield is fetched through only by a table of the log that the fence follows*, else its origins are asked. Positions of
//!   that log are told as far as the shields of its tables have come; those of the tables of another may be behind: an edge
//!   that moves to another shield follows another log from then on, and may hear of it before it gets the table.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use crate::config::{HostPattern, Route, Upstream};
use crate::protocol::{
    DomainTable, KeyHost, LocalOrigins, LogId, OriginAddress, OriginScheme, OriginServer, ServedDomain, ServedName,
    Serving,
};
use crate::site::{Origin, Passable, Shield, Site, Way};

/// See the module.
#[derive(Debug)]
pub(crate) struct Routes {
    fixed: Table,
    /// For the origins of domains.
    local: LocalOrigins,
    served: ArcSwap<Served>,
    /// The log that the fence follows. Held while a table is compared with the known one and put in its place.
    follows: Mutex<Option<LogId>>,
}

/// A table of domains that was taken.
#[derive(Debug, Default)]
struct Served {
    known: Option<(LogId, u64)>,
    table: Table,
    /// Whether its shields may be fetched through.
    passable: Passable,
}

#[derive(Debug, Default)]
struct Table {
    /// By host in key form, which is also the form of a host name.
    exact: HashMap<Box<str>, Entry>,
    /// By the name above the hosts.
    below: HashMap<Box<str>, Entry>,
    any: Option<Entry>,
}

/// What a host leads to.
#[derive(Clone, Debug)]
pub(crate) enum Entry {
    /// Its origins.
    Online(Arc<Site>),
    /// Nothing for now.
    Offline,
}

/// The table is older than the one in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("generation {known} is in use already")]
pub(crate) struct Outdated {
    known: u64,
}

impl Routes {
    /// The fixed routes, and no domain yet.
    pub(crate) fn new(fixed: &[Route], local: LocalOrigins) -> Self {
        let mut table = Table::default();
        for route in fixed {
            // Written by whoever runs this edge, often to what runs beside it.
            let origin = Origin::new(route.upstream.clone(), 1, LocalOrigins::Allow);
            let entry = Entry::Online(Arc::new(Site::new(vec![origin], None, Way::Plain)));
            match &route.hosts {
                HostPattern::Exact(host) => {
                    table.exact.insert(host.as_str().into(), entry);
                }
                HostPattern::Below(parent) => {
                    table.below.insert(parent.as_str().into(), entry);
                }
                HostPattern::Any => table.any = Some(entry),
            }
        }
        Self { fixed: table, local, served: ArcSwap::default(), follows: Mutex::new(None) }
    }

    /// What a host leads to; `None` when nothing is known of it.
    pub(crate) fn of(&self, host: &KeyHost) -> Option<Entry> {
        let name = host.name();
        let served = &self.served.load().table;
        let exact = || served.exact.get(name).or_else(|| self.fixed.exact.get(name));
        let below = || served.below(name).or_else(|| self.fixed.below(name));
        exact().or_else(below).or(self.fixed.any.as_ref()).cloned()
    }

    /// Puts a table in the place of the last one. One of another log always takes it: its
    /// generations do not compare.
    ///
    /// # Errors
    /// [`Outdated`]: a table of the same log and a higher generation stays in use.
    pub(crate) fn serve(&self, table: &DomainTable) -> Result<(), Outdated> {
        let (mut next, passable) = (Table::default(), Passable::default());
        for domain in table.domains() {
            let entry = entry(domain, self.local, &passable);
            match &domain.name {
                ServedName::Exact(host) => next.exact.insert(host.as_str().into(), entry),
                ServedName::Below(parent) => next.below.insert(parent.as_str().into(), entry),
            };
        }
        let follows = self.follows.lock().unwrap_or_else(PoisonError::into_inner);
        passable.set(follows.as_ref().is_none_or(|it| it == table.log()));
        let next = Served { known: Some((table.log().clone(), table.generation())), table: next, passable };
        if let Some((log, known)) = &self.served.load().known
            && log == table.log()
            && *known > table.generation()
        {
            return Err(Outdated { known: *known });
        }
        self.served.store(Arc::new(next));
        Ok(())
    }

    /// Takes note of the log that the fence is about to follow: to be called before its position moves, so that whoever
    /// reads that position fetches through no shield of another log.
    pub(crate) fn follow(&self, log: &LogId) {
        let mut follows = self.follows.lock().unwrap_or_else(PoisonError::into_inner);
        if follows.as_ref() != Some(log) {
            *follows = Some(log.clone());
            let served = self.served.load();
            served.passable.set(served.known.as_ref().is_some_and(|(known, _)| known == log));
        }
    }

    /// The generation of the table in use.
    pub(crate) fn generation(&self) -> Option<u64> {
        self.served.load().known.as_ref().map(|(_, generation)| *generation)
    }
}

impl Table {
    /// The entry with the longest name above this one.
    fn below(&self, name: &str) -> Option<&Entry> {
        if self.below.is_empty() {
            return None;
        }
        let mut rest = name;
        while let Some((_, parent)) = rest.split_once('.') {
            if let Some(found) = self.below.get(parent) {
                return Some(found);
            }
            rest = parent;
        }
        None
    }
}

fn entry(domain: &ServedDomain, local: LocalOrigins, passable: &Passable) -> Entry {
    match domain.state {
        Serving::Offline => Entry::Offline,
        Serving::Online => {
            let way = match domain.scheme {
                // A client of this edge speaks plain HTTP, so following it means the same.
                OriginScheme::Http | OriginScheme::Follow => Way::Plain,
                OriginScheme::Https => Way::Tls,
            };
            let origins = domain.origins.iter().map(|it| origin(it, local)).collect();
            // The server's own word, about one of its nodes, which may be beside this one.
            let shield = domain.shield.as_ref().map(|it| origin(it, LocalOrigins::Allow));
            let shield = shield.map(|server| Shield { server, passable: passable.clone() });
            Entry::Online(Arc::new(Site::new(origins, domain.host_header.clone(), way).behind(shield)))
        }
    }
}

fn origin(server: &OriginServer, local: LocalOrigins) -> Origin {
    let upstream = match server.address() {
        OriginAddress::Ip(ip) => Upstream::Address(SocketAddr::new(*ip, server.port())),
        OriginAddress::Host(host) => Upstream::Name(host.as_str().into(), server.port()),
    };
    Origin::new(upstream, server.weight(), local)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use catharsis_core::target::HostName;

    use super::*;
    fn fixed(routes: &[(HostPattern, u16)]) -> Routes {
        let at = |port: u16| Upstream::Address(SocketAddr::from(([127, 0, 0, 1], port)));
        let route = |(hosts, port): &(HostPattern, u16)| Route { hosts: hosts.clone(), upstream: at(*port) };
        Routes::new(&routes.iter().map(route).collect::<Vec<_>>(), LocalOrigins::Allow)
    }

    fn name(text: &str) -> HostName {
        HostName::parse(text).unwrap()
    }

    fn domain(name: &str, port: u16) -> ServedDomain {
        let address = OriginAddress::parse("127.0.0.1").unwrap();
        ServedDomain {
            name: ServedName::parse(name).unwrap(),
            state: Serving::Online,
            origins: vec![OriginServer::new(address, port, 1).unwrap()],
            host_header: None,
            scheme: OriginScheme::Http,
            shield: None,
        }
    }

    fn log(name: &str) -> LogId {
        LogId::new(name).unwrap()
    }

    fn table(log: &str, generation: u64, domains: Vec<ServedDomain>) -> DomainTable {
        DomainTable::new(self::log(log), generation, domains).unwrap()
    }

    /// The port of the origin; 0 when it is offline or not known.
    fn port(routes: &Routes, host: &str) -> u16 {
        match routes.of(&KeyHost::parse(host).unwrap()) {
            Some(Entry::Online(site)) => match site.upstreams().next().unwrap() {
                Upstream::Address(address) => address.port(),
                Upstream::Name(_, port) => *port,
            },
            Some(Entry::Offline) | None => 0,
        }
    }

    #[test]
    fn most_exact_route_wins() {
        let routes = fixed(&[
            (HostPattern::Any, 1),
            (HostPattern::Below(name("a.test")), 2),
            (HostPattern::Below(name("b.a.test")), 3),
            (HostPattern::Exact(name("x.a.test")), 4),
        ]);
        for (host, expect) in [("x.a.test", 4), ("y.a.test:8080", 2), ("c.b.a.test", 3), ("a.test", 1), ("ya.test", 1)]
        {
            assert_eq!(port(&routes, host), expect, "{host}");
        }
    }

    #[test]
    fn domain_goes_before_a_fixed_route_that_is_no_more_exact() {
        let routes = fixed(&[
            (HostPattern::Any, 1),
            (HostPattern::Below(name("a.test")), 2),
            (HostPattern::Exact(name("x.a.test")), 3),
            (HostPattern::Exact(name("fixed.a.test")), 4),
        ]);
        let offline = ServedDomain { state: Serving::Offline, ..domain("off.a.test", 14) };
        let domains = vec![domain("*.a.test", 11), domain("x.a.test", 12), domain("*.b.a.test", 13), offline];
        routes.serve(&table("l", 1, domains)).unwrap();
        for (host, expect) in [
            ("x.a.test", 12),
            ("fixed.a.test", 4),
            ("y.a.test", 11),
            ("y.b.a.test", 13),
            ("off.a.test", 0),
            ("a.test", 1),
            ("other.test", 1),
        ] {
            assert_eq!(port(&routes, host), expect, "{host}");
        }
        routes.serve(&table("l", 2, Vec::new())).unwrap();
        assert_eq!(port(&routes, "x.a.test"), 3);
        assert_eq!(port(&routes, "off.a.test"), 2);
    }

    #[test]
    fn shield_of_a_table_of_another_log_than_the_fence_follows_is_not_fetched_through() {
        let routes = fixed(&[]);
        let shield = OriginServer::new(OriginAddress::parse("127.0.0.1").unwrap(), 9, 1).unwrap();
        let domains = || vec![ServedDomain { shield: Some(shield.clone()), ..domain("a.test", 5) }];
        let check = |expect: bool, when: &str| match routes.of(&KeyHost::parse("a.test").unwrap()) {
            Some(Entry::Online(site)) => assert_eq!(site.begins_at_its_shield(), expect, "{when}"),
            Some(Entry::Offline) | None => panic!("it is served"),
        };
        routes.serve(&table("l", 1, domains())).unwrap();
        check(true, "before the first order");
        routes.follow(&log("l"));
        check(true, "its own log");
        routes.follow(&log("m"));
        check(false, "it was told another log");
        routes.serve(&table("l", 1, domains())).unwrap();
        check(false, "a table that came late");
        routes.serve(&table("m", 1, domains())).unwrap();
        check(true, "the table of that log");
        routes.serve(&table("n", 1, domains())).unwrap();
        check(false, "a table that is there before the first order");
        routes.follow(&log("n"));
        check(true, "that order");
    }

    #[test]
    fn late_table_undoes_nothing_but_another_logs_begins_anew() {
        let routes = fixed(&[]);
        assert_eq!(routes.generation(), None);
        assert_eq!(routes.serve(&table("l", 5, vec![domain("a.test", 5)])), Ok(()));
        assert_eq!(routes.serve(&table("l", 4, Vec::new())), Err(Outdated { known: 5 }));
        assert_eq!((routes.generation(), port(&routes, "a.test")), (Some(5), 5));
        assert_eq!(routes.serve(&table("l", 5, vec![domain("a.test", 6)])), Ok(()), "repeated");
        assert_eq!(routes.serve(&table("m", 1, vec![domain("a.test", 7)])), Ok(()));
        assert_eq!((routes.generation(), port(&routes, "a.test")), (Some(1), 7));
    }
}
