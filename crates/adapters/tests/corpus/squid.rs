//! Squid by itself, which knows no key rules.

use std::time::Duration;

use catharsis_adapters::purger::squid::SquidPurger;
use catharsis_adapters::purger::{HttpLimits, NodeAddress};
use catharsis_testkit::caches::{RealCache, Relay};
use catharsis_testkit::corpus::run::{Excuse, Instead, UnderTest};
use catharsis_testkit::corpus::{By, NumberingOrigin};

use crate::{Started, rules};

const EXCUSES: &[Excuse] = &[
    Excuse {
        instead: Instead::NotRun,
        of: |pair| !matches!(pair.rule, "plain" | "other"),
        why: "by itself it knows no key rules: only the default ones are run",
    },
    Excuse {
        instead: Instead::NotKept,
        of: |pair| pair.variants.is_some(),
        why: "the sample keeps no response with a Vary field: PURGE would remove one variant only",
    },
    Excuse { instead: Instead::NotKept, of: |pair| pair.by == By::Range, why: "it keeps no part of an answer (206)" },
];

/// Starts it; purged by PURGE.
pub(crate) async fn by_http(origin: &NumberingOrigin) -> Started {
    let squid = RealCache::squid(origin.address(), Relay::Allowed).await;
    let purger = purger(&squid);
    started(squid, purger)
}

/// Starts it; purged by HTCP CLR.
pub(crate) async fn by_htcp(origin: &NumberingOrigin) -> Started {
    let squid = RealCache::squid(origin.address(), Relay::Allowed).await;
    let htcp = NodeAddress::from(squid.htcp.expect("a Squid has an HTCP port"));
    let purger = purger(&squid).with_htcp(htcp, HttpLimits::default(), rules());
    started(squid, purger)
}

fn purger(squid: &RealCache) -> SquidPurger {
    SquidPurger::new(NodeAddress::from(squid.purge), HttpLimits::default(), rules())
}

fn started(squid: RealCache, purger: SquidPurger) -> Started {
    let cache = UnderTest {
        name: "Squid",
        traffic: squid.traffic,
        purger: Box::new(purger),
        excuses: EXCUSES,
        settles: Duration::ZERO,
    };
    Started::new(cache, squid)
}
