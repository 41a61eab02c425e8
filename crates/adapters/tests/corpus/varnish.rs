//! Varnish, with the key rules of the sample.

use std::time::Duration;

use catharsis_adapters::purger::varnish::VarnishPurger;
use catharsis_adapters::purger::{HttpLimits, NodeAddress};
use catharsis_testkit::caches::{RealCache, Relay};
use catharsis_testkit::corpus::NumberingOrigin;
use catharsis_testkit::corpus::run::UnderTest;

use crate::{Started, rules};

/// Starts it.
pub(crate) async fn start(origin: &NumberingOrigin) -> Started {
    let varnish = RealCache::varnish(origin.address(), Relay::Allowed).await;
    let purger = VarnishPurger::new(NodeAddress::from(varnish.purge), HttpLimits::default(), rules());
    let cache = UnderTest {
        name: "Varnish",
        traffic: varnish.traffic,
        purger: Box::new(purger),
        excuses: &[],
        settles: Duration::ZERO,
    };
    Started::new(cache, varnish)
}
