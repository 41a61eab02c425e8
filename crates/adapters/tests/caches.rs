//! The purgers against real caches, set up by the sample configurations.

use std::sync::Arc;

use catharsis_adapters::purger::nginx::NginxPurger;
use catharsis_adapters::purger::varnish::VarnishPurger;
use catharsis_adapters::purger::{HttpLimits, NodeAddress};
use catharsis_core::invalidation::{Invalidation, Seq};
use catharsis_core::keys::Bytewise;
use catharsis_core::ports::Purger;
use catharsis_core::receipt::{Outcome, Refusal, Unreachable};
use catharsis_testkit::caches::{RealCache, Relay};
use catharsis_testkit::client::{Source, get};
use catharsis_testkit::conformance::{assert_purges, invalidation};
use catharsis_testkit::origin::Origin;

const HOST: &str = "www.a.test";

fn varnish_purger(cache: &RealCache) -> VarnishPurger {
    VarnishPurger::new(NodeAddress::from(cache.purge), HttpLimits::default(), Arc::new(Bytewise::default()))
}

fn nginx_purger(cache: &RealCache) -> NginxPurger {
    NginxPurger::new(NodeAddress::from(cache.purge), HttpLimits::default(), Arc::new(Bytewise::default()))
}

async fn source(cache: &RealCache, path: &str) -> Source {
    get(cache.traffic, HOST, path, &[]).await.source()
}

/// A batch of paths at `HOST`, positions from 1.
fn batch<'a>(paths: impl IntoIterator<Item = &'a str>) -> Vec<Invalidation> {
    let one = |(path, seq): (&str, u64)| invalidation(seq, &format!("http://{HOST}{path}"));
    paths.into_iter().zip(1..).map(one).collect()
}

/// A longer path than the cache's parser takes, but a URL that the planner lets pass.
fn is_refused(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Refused(Refusal::Malformed { status: 400 | 414 }))
}

mod whole {
    use super::*;

    #[tokio::test]
    async fn varnish_purges_what_clients_stored() {
        let origin = Origin::start().await;
        let cache = RealCache::varnish(origin.address(), Relay::Allowed).await;
        let purger = varnish_purger(&cache);
        for path in ["/", "/a?b=c", "/%7Ea", "/~a", "/a//b", "/%c3%a9", "/'\""] {
            let url = format!("http://{HOST}{path}");
            assert_purges(&purger, &url, || get(cache.traffic, HOST, path, &[])).await;
        }
        assert!(purger.answers().await);
    }

    #[tokio::test]
    async fn nginx_purges_what_clients_stored() {
        let origin = Origin::start().await;
        let cache = RealCache::nginx(origin.address(), Relay::Allowed).await;
        let purger = nginx_purger(&cache);
        for path in ["/", "/a?b=c", "/%7Ea", "/~a", "/a//b", "/%c3%a9", "/'\""] {
            let url = format!("http://{HOST}{path}");
            assert_purges(&purger, &url, || get(cache.traffic, HOST, path, &[])).await;
        }
        assert!(purger.answers().await);
    }

    #[tokio::test]
    async fn varnish_forgets_every_variant_and_both_schemes() {
        let origin = Origin::start().await;
        origin.set_vary("/v", "x-variant");
        let cache = RealCache::varnish(origin.address(), Relay::Allowed).await;
        let address = cache.traffic;
        let fetch = async |variant| get(address, HOST, "/v", &[("x-variant", variant)]).await;
        for variant in ["a", "b", "c"] {
            fetch(variant).await;
            assert_eq!(fetch(variant).await.source(), Source::Hit);
        }
        let purge = [invalidation(1, &format!("https://{HOST}:443/v"))];
        assert_eq!(varnish_purger(&cache).apply(&purge).await, [Outcome::counted(3)]);
        for variant in ["a", "b", "c"] {
            assert_eq!(fetch(variant).await.source(), Source::Miss, "{variant}");
        }
    }

    #[tokio::test]
    async fn raw_and_encoded_spelling_are_both_purged() {
        let origin = Origin::start().await;
        let varnish = RealCache::varnish(origin.address(), Relay::Allowed).await;
        let nginx = RealCache::nginx(origin.address(), Relay::Allowed).await;
        let purge = batch(["/é"]);
        // Varnish counts, the purge module does not.
        for (cache, purger, gone) in [
            (&varnish, &varnish_purger(&varnish) as &dyn Purger, Outcome::counted(1)),
            (&nginx, &nginx_purger(&nginx), Outcome::Applied),
        ] {
            source(cache, "/%C3%A9").await;
            assert_eq!(source(cache, "/%C3%A9").await, Source::Hit);
            assert_eq!(purger.apply(&purge).await, [gone]);
            assert_eq!(source(cache, "/%C3%A9").await, Source::Miss);
        }
    }

    #[tokio::test]
    async fn varnish_forgets_everything_at_once() {
        let origin = Origin::start().await;
        let cache = RealCache::varnish(origin.address(), Relay::Allowed).await;
        for path in ["/1", "/2"] {
            source(&cache, path).await;
            assert_eq!(source(&cache, path).await, Source::Hit);
        }
        let purger = varnish_purger(&cache);
        assert_eq!(purger.everything(Seq(9)).await, Outcome::Applied);
        for path in ["/1", "/2"] {
            assert_eq!(source(&cache, path).await, Source::Miss);
        }
    }

    #[tokio::test]
    async fn nginx_says_that_it_cannot_forget_everything() {
        let origin = Origin::start().await;
        let cache = RealCache::nginx(origin.address(), Relay::Allowed).await;
        let refused = Outcome::Refused(Refusal::Unsupported);
        assert_eq!(nginx_purger(&cache).everything(Seq(9)).await, refused);
    }

    #[tokio::test]
    async fn one_bad_url_in_a_pipeline_costs_no_other_its_purge() {
        let origin = Origin::start().await;
        let nginx = RealCache::nginx(origin.address(), Relay::Allowed).await;
        // nginx knows no %00; a URL may hold it.
        for path in ["/1", "/3"] {
            source(&nginx, path).await;
        }
        let outcomes = nginx_purger(&nginx).apply(&batch(["/1", "/%00", "/3"])).await;
        assert_eq!(outcomes[0], Outcome::Applied);
        assert!(is_refused(&outcomes[1]), "{outcomes:?}");
        assert_eq!(outcomes[2], Outcome::Applied);
        assert_eq!(source(&nginx, "/3").await, Source::Miss);
    }

    #[tokio::test]
    async fn longest_url_between_others_is_carried_out() {
        let origin = Origin::start().await;
        let varnish = RealCache::varnish(origin.address(), Relay::Allowed).await;
        let nginx = RealCache::nginx(origin.address(), Relay::Allowed).await;
        let long = format!("/{}", "x".repeat(7_970));
        source(&varnish, &long).await;
        assert_eq!(source(&varnish, &long).await, Source::Hit);
        let purge = batch(["/1", &long, "/3"]);
        let outcomes = varnish_purger(&varnish).apply(&purge).await;
        assert_eq!(outcomes, [Outcome::Absent, Outcome::counted(1), Outcome::Absent]);
        assert_eq!(source(&varnish, &long).await, Source::Miss);
        // nginx keeps no response whose key does not fit into `proxy_buffer_size`, and says so.
        let absent = vec![Outcome::Absent; 3];
        assert_eq!(nginx_purger(&nginx).apply(&purge).await, absent);
    }

    #[tokio::test]
    async fn thousand_purges_in_a_pipeline_are_answered_in_their_places() {
        let origin = Origin::start().await;
        let varnish = RealCache::varnish(origin.address(), Relay::Allowed).await;
        let nginx = RealCache::nginx(origin.address(), Relay::Allowed).await;
        let paths: Vec<String> = (0..1_000).map(|it| format!("/{it}")).collect();
        for (cache, purger, gone) in [
            (&varnish, &varnish_purger(&varnish) as &dyn Purger, Outcome::counted(1)),
            (&nginx, &nginx_purger(&nginx), Outcome::Applied),
        ] {
            for path in paths.iter().step_by(7) {
                source(cache, path).await;
            }
            let outcomes = purger.apply(&batch(paths.iter().map(String::as_str))).await;
            for (place, outcome) in outcomes.iter().enumerate() {
                let expect = if place % 7 == 0 { &gone } else { &Outcome::Absent };
                assert_eq!(outcome, expect, "/{place}");
            }
        }
    }

    #[tokio::test]
    async fn nginx_that_closes_after_a_few_requests_loses_none() {
        let origin = Origin::start().await;
        let few = |configuration: String| {
            let many = "keepalive_requests 100000000;";
            assert!(configuration.contains(many));
            configuration.replace(many, "keepalive_requests 7;")
        };
        let cache = RealCache::nginx_edited(origin.address(), Relay::Allowed, few).await;
        let paths: Vec<String> = (0..300).map(|it| format!("/{it}")).collect();
        for path in &paths[..50] {
            source(&cache, path).await;
        }
        let purger = nginx_purger(&cache);
        let outcomes = purger.apply(&batch(paths.iter().map(String::as_str))).await;
        assert!(outcomes[..50].iter().all(|it| *it == Outcome::Applied), "{outcomes:?}");
        assert!(outcomes[50..].iter().all(|it| *it == Outcome::Absent), "{outcomes:?}");
    }

    #[tokio::test]
    async fn denied_relay_is_told_so_and_nothing_is_purged() {
        let origin = Origin::start().await;
        let varnish = RealCache::varnish(origin.address(), Relay::Elsewhere).await;
        let nginx = RealCache::nginx(origin.address(), Relay::Elsewhere).await;
        for (cache, purger, status) in
            [(&varnish, &varnish_purger(&varnish) as &dyn Purger, 405), (&nginx, &nginx_purger(&nginx), 403)]
        {
            source(cache, "/1").await;
            let denied = Outcome::Unreachable(Unreachable::Denied { status });
            let outcomes = purger.apply(&batch(["/1", "/2"])).await;
            assert_eq!(outcomes, [denied.clone(), denied]);
            assert_eq!(source(cache, "/1").await, Source::Hit);
        }
    }

    #[tokio::test]
    async fn cache_without_purge_rules_is_never_a_success() {
        let origin = Origin::start().await;
        let address = origin.address();
        let bare =
            format!("vcl 4.1; backend default {{ .host = \"{}\"; .port = \"{}\"; }}", address.ip(), address.port());
        let varnish = RealCache::varnish_with(&bare).await;
        let outcomes = varnish_purger(&varnish).apply(&batch(["/1"])).await;
        let odd = |outcome: &Outcome| matches!(outcome, Outcome::Unreachable(Unreachable::Protocol(_)));
        assert!(odd(&outcomes[0]), "{outcomes:?}");
        let everything = varnish_purger(&varnish).everything(Seq(1)).await;
        assert!(odd(&everything), "{everything:?}");

        let forwards = |configuration: String| {
            let purge = "proxy_cache_purge catharsis $host$catharsis_port$request_uri;";
            assert!(configuration.contains(purge));
            configuration.replace(purge, "proxy_pass http://origin;")
        };
        let nginx = RealCache::nginx_edited(address, Relay::Allowed, forwards).await;
        let outcomes = nginx_purger(&nginx).apply(&batch(["/1"])).await;
        assert!(odd(&outcomes[0]), "{outcomes:?}");
    }

    #[tokio::test]
    async fn dead_node_is_unreachable_and_one_that_comes_back_is_reached() {
        let origin = Origin::start().await;
        let cache = RealCache::varnish(origin.address(), Relay::Allowed).await;
        let purger = varnish_purger(&cache);
        assert_eq!(purger.apply(&batch(["/1"])).await, [Outcome::Absent]);
        drop(cache);
        assert!(!purger.answers().await);
        for outcome in purger.apply(&batch(["/1", "/2"])).await {
            assert!(matches!(outcome, Outcome::Unreachable(Unreachable::Connect(_))), "{outcome:?}");
        }
    }
}
