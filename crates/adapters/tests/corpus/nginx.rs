//! nginx with the purge module.

use std::time::Duration;

use catharsis_adapters::purger::nginx::NginxPurger;
use catharsis_adapters::purger::{HttpLimits, NodeAddress};
use catharsis_testkit::caches::{RealCache, Relay};
use catharsis_testkit::corpus::NumberingOrigin;
use catharsis_testkit::corpus::run::{Excuse, Instead, UnderTest};

use crate::{Started, rules};

const EXCUSES: &[Excuse] = &[Excuse {
    instead: Instead::NotKept,
    of: |pair| pair.variants.is_some(),
    why: "the sample keeps no response with a Vary field: the module would remove one variant only",
}];

/// Starts it with the key rules of the sample.
pub(crate) async fn with_purge_module(origin: &NumberingOrigin) -> Started {
    started(RealCache::nginx_keys(origin.address(), Relay::Allowed).await)
}

/// Starts it with the sample that has no key rules.
pub(crate) async fn by_default(origin: &NumberingOrigin) -> Started {
    started(RealCache::nginx(origin.address(), Relay::Allowed).await)
}

fn started(nginx: RealCache) -> Started {
    let purger = NginxPurger::new(NodeAddress::from(nginx.purge), HttpLimits::default(), rules());
    let cache = UnderTest {
        name: "nginx, purge module",
        traffic: nginx.traffic,
        purger: Box::new(purger),
        excuses: EXCUSES,
        settles: Duration::ZERO,
    };
    Started::new(cache, nginx)
}
