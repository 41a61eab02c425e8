//! The Varnish purger against the real one: modes, directories, rules for keys, and the list of bans.

use std::sync::Arc;

use catharsis_adapters::purger::varnish::{Management, VarnishPurger};
use catharsis_adapters::purger::{HttpLimits, NodeAddress};
use catharsis_core::abilities::Ability;
use catharsis_core::invalidation::{Invalidation, Seq};
use catharsis_core::keys::{Bytewise, RulesOf};
use catharsis_core::ports::Purger;
use catharsis_core::receipt::{Outcome, Unreachable};
use catharsis_core::target::{CachePrefix, Encode, Mode, Target, prefix_covers};
use catharsis_testkit::caches::{RealCache, Relay, VARNISH_SECRET};
use catharsis_testkit::client::{Source, get};
use catharsis_testkit::conformance::invalidation;
use catharsis_testkit::origin::Origin;

mod raw;

const HOST: &str = "www.a.test";

fn purger(cache: &RealCache) -> VarnishPurger {
    with_rules(cache, Arc::new(Bytewise::default()))
}

fn with_rules(cache: &RealCache, rules: Arc<dyn RulesOf>) -> VarnishPurger {
    VarnishPurger::new(NodeAddress::from(cache.purge), HttpLimits::default(), rules)
}

fn directory(url: &str) -> Invalidation {
    let prefix = CachePrefix::parse(url, Encode::AsSubmitted).expect("a valid directory");
    Invalidation { target: Target::Prefix(prefix).into(), ..invalidation(1, "http://a.test/") }
}

fn expire(url: &str) -> Invalidation {
    Invalidation { mode: Mode::Expire, ..invalidation(1, url) }
}

/// Whether there was a copy, counted or not: Varnish counts an object until its expiry thread has taken it away, so one
/// that was purged a moment ago may be counted once more.
fn had_a_copy(outcomes: &[Outcome]) -> bool {
    matches!(outcomes, [Outcome::Applied | Outcome::AppliedTo(_)])
}

/// Fetches a URL twice, so that it is kept unless something keeps that from happening.
async fn keep(cache: &RealCache, host: &str, path: &str, fields: &[(&'static str, &str)]) {
    get(cache.traffic, host, path, fields).await;
    let again = get(cache.traffic, host, path, fields).await.source();
    assert_eq!(again, Source::Hit, "{host}{path} is kept");
}

async fn source(cache: &RealCache, host: &str, path: &str) -> Source {
    get(cache.traffic, host, path, &[]).await.source()
}

mod whole {
    mod directories;
    mod keys;
    mod list;
    mod modes;
}
