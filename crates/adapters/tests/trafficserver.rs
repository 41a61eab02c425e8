//! The purger of Traffic Server against the real one, set up by the sample configuration.

use std::sync::Arc;

use catharsis_adapters::purger::trafficserver::TrafficServerPurger;
use catharsis_adapters::purger::{HttpLimits, NodeAddress};
use catharsis_core::keys::{
    Bytewise, KeyRules, ParamNames, PathCase, PortRule, QueryOrder, QueryRule, RulesOf, SchemeRule,
};
use catharsis_core::ports::Purger;
use catharsis_core::receipt::{Outcome, Refusal, Unreachable};
use catharsis_core::target::HostName;
use catharsis_testkit::caches::{RealCache, Relay};
use catharsis_testkit::client::{Source, get};
use catharsis_testkit::conformance::{assert_purges, invalidation};
use catharsis_testkit::origin::Origin;

const HOST: &str = "www.a.test";

fn purger_with(cache: &RealCache, rules: Arc<dyn RulesOf>) -> TrafficServerPurger {
    TrafficServerPurger::new(NodeAddress::from(cache.purge), HttpLimits::default(), rules)
}

fn purger(cache: &RealCache) -> TrafficServerPurger {
    purger_with(cache, Arc::new(Bytewise::default()))
}

async fn apply(purger: &dyn Purger, url: &str) -> Outcome {
    let mut outcomes = purger.apply(&[invalidation(1, url)]).await;
    assert_eq!(outcomes.len(), 1);
    outcomes.remove(0)
}

/// The rules of the sample's hosts, as `catharsis.lua` has them.
fn sample_rules(host: &HostName) -> Arc<KeyRules> {
    let names = |names: &[&str]| ParamNames::new(names.iter().copied()).expect("valid names");
    let without = QueryRule::DropNamed(names(&["utm_source", "sid"]));
    let rules = KeyRules::default();
    Arc::new(match host.as_str() {
        "drop.rules.test" => KeyRules { query: QueryRule::Drop, ..rules },
        "only.rules.test" => KeyRules { query: QueryRule::KeepOnly(names(&["id", "v"])), ..rules },
        "without.rules.test" => KeyRules { query: without, ..rules },
        "sorted.rules.test" => KeyRules { order: QueryOrder::Sorted, ..rules },
        "folded.rules.test" => KeyRules { case: PathCase::Insensitive, ..rules },
        "scheme.rules.test" => KeyRules { scheme: SchemeRule::Separate, ..rules },
        "port.rules.test" => KeyRules { port: PortRule::Shared, ..rules },
        "all.rules.test" => KeyRules {
            query: without,
            order: QueryOrder::Sorted,
            case: PathCase::Insensitive,
            port: PortRule::Shared,
            ..rules
        },
        _ => rules,
    })
}

/// A host of the sample, and two URLs that are one resource there or are not.
struct Pair {
    host: &'static str,
    one: &'static str,
    other: &'static str,
    expect: Source,
}

const fn same(host: &'static str, one: &'static str, other: &'static str) -> Pair {
    Pair { host, one, other, expect: Source::Hit }
}

const fn different(host: &'static str, one: &'static str, other: &'static str) -> Pair {
    Pair { host, one, other, expect: Source::Miss }
}

const PAIRS: &[Pair] = &[
    different("plain.rules.test", "/a?b=1", "/a"),
    different("plain.rules.test", "/b?x&y", "/b?y&x"),
    different("plain.rules.test", "/C", "/c"),
    different("plain.rules.test", "/%7Ed", "/~d"),
    different("plain.rules.test", "/e//f", "/e/f"),
    different("plain.rules.test", "/h;i", "/h"),
    same("drop.rules.test", "/a?b=1", "/a"),
    same("drop.rules.test", "/b?x", "/b?y&z"),
    different("drop.rules.test", "/C", "/c"),
    same("only.rules.test", "/a?id=1&x=2&v=3", "/a?id=1&v=3"),
    same("only.rules.test", "/b?x", "/b"),
    same("only.rules.test", "/c?id", "/c?&id&"),
    different("only.rules.test", "/d?id=1&v=2", "/d?v=2&id=1"),
    different("only.rules.test", "/e?id=1", "/e?id=1&id=1"),
    different("only.rules.test", "/f?ID=1", "/f?id=1"),
    same("without.rules.test", "/a?utm_source=z&b&sid", "/a?b"),
    different("without.rules.test", "/b?utm_sourc=z", "/b"),
    same("sorted.rules.test", "/a?b&a=2&a=10", "/a?a=10&b&a=2"),
    same("sorted.rules.test", "/b?&", "/b"),
    different("sorted.rules.test", "/c?a&a", "/c?a"),
    same("folded.rules.test", "/A/x%C3?q", "/a/X%c3?q"),
    different("folded.rules.test", "/b?Q", "/b?q"),
    same("all.rules.test", "/A?b&sid=3&a", "/a?a&b"),
    different("all.rules.test", "/b?A", "/b?a"),
];

mod whole {
    use super::*;

    #[tokio::test]
    async fn trafficserver_purges_what_clients_stored() {
        let origin = Origin::start().await;
        let cache = RealCache::trafficserver(origin.address(), Relay::Allowed).await;
        let purger = purger(&cache);
        for path in ["/", "/a?b=c", "/%7Ea", "/~a", "/a//b", "//b", "/%c3%a9", "/'\"", "/a;b/c;d?e;f", "/%zz"] {
            let url = format!("http://{HOST}{path}");
            assert_purges(&purger, &url, || get(cache.traffic, HOST, path, &[])).await;
        }
        assert!(purger.answers().await);
    }

    #[tokio::test]
    async fn trafficserver_forgets_every_variant_and_both_schemes() {
        let origin = Origin::start().await;
        origin.set_vary("/v", "x-variant");
        let cache = RealCache::trafficserver(origin.address(), Relay::Allowed).await;
        // More than the five that it would keep by default.
        let variants = ["a", "b", "c", "d", "e", "f", "g", "h"];
        let fetch = async |variant| get(cache.traffic, HOST, "/v", &[("x-variant", variant)]).await;
        for variant in variants {
            assert_eq!(fetch(variant).await.source(), Source::Miss, "{variant}");
        }
        for variant in variants {
            assert_eq!(fetch(variant).await.source(), Source::Hit, "{variant}");
        }
        assert_eq!(apply(&purger(&cache), &format!("https://{HOST}:443/v")).await, Outcome::Applied);
        for variant in variants {
            assert_eq!(fetch(variant).await.source(), Source::Miss, "{variant}");
        }
    }

    #[tokio::test]
    async fn host_is_one_in_any_spelling_and_a_raw_path_costs_the_encoded_one_nothing() {
        let origin = Origin::start().await;
        let cache = RealCache::trafficserver(origin.address(), Relay::Allowed).await;
        let purger = purger(&cache);
        for host in ["WWW.A.test", "www.a.test.", "www.a.test:80", "www.a.test:443"] {
            assert_eq!(get(cache.traffic, host, "/%C3%A9", &[]).await.source(), Source::Miss, "{host}");
            assert_eq!(get(cache.traffic, HOST, "/%C3%A9", &[]).await.source(), Source::Hit, "{host}");
            // The raw spelling is refused with 400, which must not hide what was done for the other.
            assert_eq!(apply(&purger, &format!("http://{HOST}/é")).await, Outcome::Applied, "{host}");
        }
        assert_eq!(apply(&purger, &format!("http://{HOST}/é")).await, Outcome::Absent);
    }

    #[tokio::test]
    async fn trafficserver_keeps_the_key_rules_of_its_hosts_for_clients_and_purges() {
        let origin = Origin::start().await;
        let cache = RealCache::trafficserver(origin.address(), Relay::Allowed).await;
        let purger = purger_with(&cache, Arc::new(sample_rules));
        for Pair { host, one, other, expect } in PAIRS {
            let told = format!("{host}: {one} and {other}");
            let first = get(cache.traffic, host, one, &[]).await;
            assert_eq!(first.source(), Source::Miss, "{told}");
            assert_eq!(origin.requests(one), 1, "{told}: the origin gets what the client sent");
            assert_eq!(get(cache.traffic, host, other, &[]).await.source(), *expect, "{told}");
            assert_eq!(apply(&purger, &format!("http://{host}{other}")).await, Outcome::Applied, "{told}");
            let left = if *expect == Source::Hit { Source::Miss } else { Source::Hit };
            assert_eq!(get(cache.traffic, host, one, &[]).await.source(), left, "{told}: purged with the other");
            // The next pair of this path begins anew.
            apply(&purger, &format!("http://{host}{one}")).await;
            origin.forget(one);
            origin.forget(other);
        }
    }

    #[tokio::test]
    async fn schemes_are_two_resources_and_ports_one_where_the_rules_say_so() {
        let origin = Origin::start().await;
        let cache = RealCache::trafficserver(origin.address(), Relay::Allowed).await;
        let purger = purger_with(&cache, Arc::new(sample_rules));
        let host = "scheme.rules.test";
        let fetch = async |scheme| get(cache.traffic, host, "/s", &[("x-forwarded-proto", scheme)]).await.source();
        for scheme in ["http", "https"] {
            assert_eq!(fetch(scheme).await, Source::Miss, "{scheme}");
            assert_eq!(fetch(scheme).await, Source::Hit, "{scheme}");
        }
        assert_eq!(apply(&purger, "http://scheme.rules.test/s").await, Outcome::Applied);
        assert_eq!(fetch("https").await, Source::Hit, "only http was purged");
        assert_eq!(fetch("http").await, Source::Miss);
        assert_eq!(apply(&purger, "https://scheme.rules.test/s").await, Outcome::Applied);
        assert_eq!(get(cache.traffic, host, "/s", &[]).await.source(), Source::Hit, "no field means http");
        assert_eq!(fetch("https").await, Source::Miss);

        let host = "port.rules.test";
        assert_eq!(get(cache.traffic, "port.rules.test:8080", "/p", &[]).await.source(), Source::Miss);
        assert_eq!(get(cache.traffic, host, "/p", &[]).await.source(), Source::Hit);
        assert_eq!(apply(&purger, "https://port.rules.test:8443/p").await, Outcome::Applied);
        assert_eq!(get(cache.traffic, "port.rules.test:8080", "/p", &[]).await.source(), Source::Miss);
    }

    #[tokio::test]
    async fn denied_relay_is_told_so_and_nothing_is_purged() {
        let origin = Origin::start().await;
        let cache = RealCache::trafficserver(origin.address(), Relay::Elsewhere).await;
        let url = format!("http://{HOST}/1");
        get(cache.traffic, HOST, "/1", &[]).await;
        let denied = Outcome::Unreachable(Unreachable::Denied { status: 403 });
        assert_eq!(apply(&purger(&cache), &url).await, denied);
        assert_eq!(get(cache.traffic, HOST, "/1", &[]).await.source(), Source::Hit);
    }

    #[tokio::test]
    async fn host_without_a_map_is_refused_by_name_and_costs_no_other_its_purge() {
        let origin = Origin::start().await;
        let cache = RealCache::trafficserver(origin.address(), Relay::Allowed).await;
        let purger = purger(&cache);
        get(cache.traffic, HOST, "/1", &[]).await;
        let batch = [invalidation(1, "http://unknown.test/1"), invalidation(2, &format!("http://{HOST}/1"))];
        assert_eq!(purger.apply(&batch).await, [Outcome::Refused(Refusal::Unmapped), Outcome::Applied]);
        assert_eq!(apply(&purger, &format!("http://{HOST}:8080/1")).await, Outcome::Refused(Refusal::Unmapped));
    }

    #[tokio::test]
    async fn answer_of_an_origin_or_of_a_trafficserver_without_the_script_is_never_a_success() {
        let odd = |outcome: &Outcome| matches!(outcome, Outcome::Unreachable(Unreachable::Protocol(_)));
        let origin = Origin::start().await;
        let limits = HttpLimits::default();
        let misled = TrafficServerPurger::new(origin.address().into(), limits, Arc::new(Bytewise::default()));
        let outcome = apply(&misled, &format!("http://{HOST}/1")).await;
        assert!(odd(&outcome), "{outcome:?}");
        let bare = |name: &str, text: String| if name == "plugin.config" { String::new() } else { text };
        let cache = RealCache::trafficserver_edited(origin.address(), Relay::Allowed, bare).await;
        let outcome = apply(&purger(&cache), &format!("http://{HOST}/1")).await;
        assert!(odd(&outcome), "{outcome:?}");
    }

    /// Why the fence is needed: see docs/caches/README.md.
    #[tokio::test]
    async fn purge_during_a_fetch_leaves_the_old_copy_and_the_purge_after_it_does_not() {
        let origin = Origin::start().await;
        let cache = RealCache::trafficserver(origin.address(), Relay::Allowed).await;
        let purger = purger(&cache);
        let url = format!("http://{HOST}/slow");
        origin.hold("/slow");
        let traffic = cache.traffic;
        let fetch = tokio::spawn(async move { get(traffic, HOST, "/slow", &[]).await });
        origin.requested("/slow", 1).await;
        origin.set_version("/slow", 2);
        let began = tokio::time::Instant::now();
        assert_eq!(apply(&purger, &url).await, Outcome::Absent);
        assert!(began.elapsed() < HttpLimits::default().answer / 2, "held, but not for long");
        origin.release("/slow");
        assert_eq!(fetch.await.expect("it is answered").body, "v1");
        let fetched = get(cache.traffic, HOST, "/slow", &[]).await;
        assert_eq!((fetched.source(), fetched.body.as_str()), (Source::Hit, "v1"), "as caches do");
        assert_eq!(apply(&purger, &url).await, Outcome::Applied);
        assert_eq!(get(cache.traffic, HOST, "/slow", &[]).await.body, "v2");
    }

    #[tokio::test]
    async fn thousand_purges_in_a_pipeline_are_answered_in_their_places() {
        let origin = Origin::start().await;
        let cache = RealCache::trafficserver(origin.address(), Relay::Allowed).await;
        let paths: Vec<String> = (0..1_000).map(|it| format!("/{it}")).collect();
        for path in paths.iter().step_by(7) {
            get(cache.traffic, HOST, path, &[]).await;
            assert_eq!(get(cache.traffic, HOST, path, &[]).await.source(), Source::Hit, "{path}");
        }
        let url = |(path, seq): (&String, u64)| invalidation(seq, &format!("http://{HOST}{path}"));
        let batch: Vec<_> = paths.iter().zip(1..).map(url).collect();
        let outcomes = purger(&cache).apply(&batch).await;
        for (place, outcome) in outcomes.iter().enumerate() {
            let expect = if place % 7 == 0 { Outcome::Applied } else { Outcome::Absent };
            assert_eq!(*outcome, expect, "/{place}");
        }
    }
}
