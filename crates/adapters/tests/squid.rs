//! Squid's purger against a real Squid, set up by the sample configuration.

use std::sync::Arc;

use catharsis_adapters::purger::squid::SquidPurger;
use catharsis_adapters::purger::{HttpLimits, NodeAddress};
use catharsis_core::invalidation::{Invalidation, Seq};
use catharsis_core::keys::{Bytewise, RulesOf};
use catharsis_core::ports::Purger;
use catharsis_core::receipt::{Outcome, Refusal, Unreachable};
use catharsis_testkit::caches::{RealCache, Relay};
use catharsis_testkit::client::{Source, get, head};
use catharsis_testkit::conformance::{assert_purges, invalidation};
use catharsis_testkit::origin::Origin;

const HOST: &str = "www.a.test";

fn rules() -> Arc<dyn RulesOf> {
    Arc::new(Bytewise::default())
}

fn by_http(cache: &RealCache) -> SquidPurger {
    SquidPurger::new(NodeAddress::from(cache.purge), HttpLimits::default(), rules())
}

fn by_htcp(cache: &RealCache) -> SquidPurger {
    let htcp = NodeAddress::from(cache.htcp.expect("a Squid has an HTCP port"));
    by_http(cache).with_htcp(htcp, HttpLimits::default(), rules())
}

async fn source(cache: &RealCache, path: &str) -> Source {
    get(cache.traffic, HOST, path, &[]).await.source()
}

/// A batch of paths at `HOST`, positions from 1.
fn batch<'a>(paths: impl IntoIterator<Item = &'a str>) -> Vec<Invalidation> {
    let one = |(path, seq): (&str, u64)| invalidation(seq, &format!("http://{HOST}{path}"));
    paths.into_iter().zip(1..).map(one).collect()
}

mod whole {
    use super::*;

    #[tokio::test]
    async fn squid_purges_what_clients_stored() {
        let origin = Origin::start().await;
        let cache = RealCache::squid(origin.address(), Relay::Allowed).await;
        for purger in [by_http(&cache), by_htcp(&cache)] {
            for path in ["/", "/a?b=c", "/%7Ea", "/~a", "/a//b", "/%c3%a9", "/'\""] {
                let url = format!("http://{HOST}{path}");
                assert_purges(&purger, &url, || get(cache.traffic, HOST, path, &[])).await;
            }
            assert!(purger.answers().await);
        }
    }

    #[tokio::test]
    async fn squid_purges_what_came_by_head_and_what_came_by_get() {
        let origin = Origin::start().await;
        let cache = RealCache::squid(origin.address(), Relay::Allowed).await;
        let by_head = async |path| head(cache.traffic, HOST, path).await.source();
        for purger in [by_http(&cache), by_htcp(&cache)] {
            // Kept apart: a GET is not served from what came by HEAD.
            assert_eq!([by_head("/both").await, by_head("/both").await], [Source::Miss, Source::Hit]);
            assert_eq!(source(&cache, "/both").await, Source::Miss);
            assert_eq!(source(&cache, "/both").await, Source::Hit);
            assert_eq!([by_head("/alone").await, by_head("/alone").await], [Source::Miss, Source::Hit]);
            source(&cache, "/get").await;
            let outcomes = purger.apply(&batch(["/both", "/alone", "/get"])).await;
            assert_eq!(outcomes, [Outcome::Applied, Outcome::Applied, Outcome::Applied]);
            for path in ["/both", "/alone", "/get"] {
                assert_eq!(by_head(path).await, Source::Miss, "{path}");
                assert_eq!(source(&cache, path).await, Source::Miss, "{path}");
            }
            purger.apply(&batch(["/both", "/alone", "/get"])).await;
        }
    }

    #[tokio::test]
    async fn squid_answers_a_long_pipeline_in_order() {
        let origin = Origin::start().await;
        let cache = RealCache::squid(origin.address(), Relay::Allowed).await;
        let paths: Vec<String> = (0..200).map(|it| format!("/{it}")).collect();
        for purger in [by_http(&cache), by_htcp(&cache)] {
            for path in paths.iter().step_by(7) {
                source(&cache, path).await;
            }
            let outcomes = purger.apply(&batch(paths.iter().map(String::as_str))).await;
            for (place, outcome) in outcomes.iter().enumerate() {
                let expect = if place % 7 == 0 { Outcome::Applied } else { Outcome::Absent };
                assert_eq!(*outcome, expect, "/{place}");
            }
        }
    }

    #[tokio::test]
    async fn squid_does_not_keep_what_varies() {
        let origin = Origin::start().await;
        origin.set_vary("/v", "x-variant");
        let cache = RealCache::squid(origin.address(), Relay::Allowed).await;
        for variant in ["a", "a", "b"] {
            let fetched = get(cache.traffic, HOST, "/v", &[("x-variant", variant)]).await;
            assert_eq!(fetched.source(), Source::Miss, "{variant}");
        }
    }

    #[tokio::test]
    async fn squid_denies_a_relay_from_elsewhere_and_keeps_its_copy() {
        let origin = Origin::start().await;
        let cache = RealCache::squid(origin.address(), Relay::Elsewhere).await;
        source(&cache, "/1").await;
        let denied = Outcome::Unreachable(Unreachable::Denied { status: 403 });
        assert_eq!(by_http(&cache).apply(&batch(["/1", "/2"])).await, [denied.clone(), denied]);
        // HTCP says nothing to whom it denies.
        let silent = Outcome::Unreachable(Unreachable::Timeout);
        assert_eq!(by_htcp(&cache).apply(&batch(["/1", "/2"])).await, [silent.clone(), silent]);
        assert_eq!(source(&cache, "/1").await, Source::Hit);
    }

    #[tokio::test]
    async fn squid_without_purge_rules_and_whoever_is_no_squid_are_never_a_success() {
        let origin = Origin::start().await;
        let without = |configuration: String| {
            let left = configuration.lines().filter(|line| !line.contains("purge") && !line.contains("!usual"));
            left.collect::<Vec<_>>().join("\n")
        };
        let cache = RealCache::squid_edited(origin.address(), Relay::Allowed, without).await;
        source(&cache, "/1").await;
        let denied = Outcome::Unreachable(Unreachable::Denied { status: 403 });
        assert_eq!(by_http(&cache).apply(&batch(["/1"])).await, [denied]);
        assert_eq!(source(&cache, "/1").await, Source::Hit);

        let purger = SquidPurger::new(NodeAddress::from(origin.address()), HttpLimits::default(), rules());
        let outcomes = purger.apply(&batch(["/1"])).await;
        assert!(matches!(outcomes[0], Outcome::Unreachable(Unreachable::Protocol(_))), "{outcomes:?}");
    }

    #[tokio::test]
    async fn squid_says_that_it_cannot_forget_everything() {
        let origin = Origin::start().await;
        let cache = RealCache::squid(origin.address(), Relay::Allowed).await;
        assert_eq!(by_htcp(&cache).everything(Seq(9)).await, Outcome::Refused(Refusal::Unsupported));
    }

    #[tokio::test]
    async fn dead_squid_is_unreachable() {
        let origin = Origin::start().await;
        let cache = RealCache::squid(origin.address(), Relay::Allowed).await;
        let purger = by_htcp(&cache);
        assert_eq!(purger.apply(&batch(["/1"])).await, [Outcome::Absent]);
        drop(cache);
        assert!(!purger.answers().await);
        for outcome in purger.apply(&batch(["/1", "/2"])).await {
            assert!(matches!(outcome, Outcome::Unreachable(Unreachable::Connect(_))), "{outcome:?}");
        }
    }
}
