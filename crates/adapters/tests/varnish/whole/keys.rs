//! The sample rules for keys, and who chooses a key.

use catharsis_core::keys::{KeyRules, ParamNames, PathCase, PortRule, QueryOrder, QueryRule, SchemeRule};
use catharsis_core::target::{CacheUrl, HostName};

use super::super::*;

/// Rules of the hosts in docs/caches/varnish-keys.vcl.
fn rules_of(host: &HostName) -> Arc<KeyRules> {
    let names = |list: &[&str]| ParamNames::new(list.iter().copied()).expect("names");
    let tracking = || QueryRule::DropNamed(names(&["utm_source", "sid"]));
    let rules = KeyRules::default();
    Arc::new(match host.as_str() {
        "drop.rules.test" => KeyRules { query: QueryRule::Drop, ..rules },
        "only.rules.test" => KeyRules { query: QueryRule::KeepOnly(names(&["id", "v"])), ..rules },
        "without.rules.test" => KeyRules { query: tracking(), ..rules },
        "sorted.rules.test" => KeyRules { order: QueryOrder::Sorted, ..rules },
        "folded.rules.test" => KeyRules { case: PathCase::Insensitive, ..rules },
        "scheme.rules.test" => KeyRules { scheme: SchemeRule::Separate, ..rules },
        "port.rules.test" => KeyRules { port: PortRule::Shared, ..rules },
        "all.rules.test" => KeyRules {
            query: tracking(),
            order: QueryOrder::Sorted,
            case: PathCase::Insensitive,
            port: PortRule::Shared,
            ..rules
        },
        _ => rules,
    })
}

/// Spellings that are one resource by some rule and two by another.
const TARGETS: [&str; 35] = [
    "/p",
    "/P",
    "/p?",
    "/p?&",
    "/p?id=1",
    "/p?id=1&",
    "/p?&&id=1",
    "/p?id=2",
    "/p?ID=1",
    "/p?id",
    "/p?idx=1",
    "/p?id=1&id=1",
    "/p?v=2&id=1",
    "/p?id=1&v=2",
    "/p?id=1&utm_source=x&v=2",
    "/P?v=2&sid=&id=1",
    "/p?sid",
    "/p?sid=1&sid=2",
    "/p?sidx=1",
    "/p?utm_source=a?b",
    "/p?b&a=1&a",
    "/p?a&a=1&b",
    "/p?a=%C3&a=%c3",
    "/p?a=é&a=z",
    "/p?a=z&a=é",
    "/p?x=1=2",
    "/P/%C3",
    "/p/%c3",
    "/p/é",
    "/p?a=1?b=2",
    "/p?b=2?a=1",
    "/p?a=1&a=10",
    "/p?a=10&a=1",
    "/p?ab&a&aa",
    "/p?a&aa&ab",
];

/// Cold; one spelling is fetched: the other is a hit exactly if it is the same resource. Both are kept and
/// the first is purged: the other is gone exactly if it is among what that purge names.
async fn check_pair(cache: &RealCache, purger: &VarnishPurger, host: &str, (one, two): (&str, &str)) {
    let rules = rules_of(&HostName::parse(host.split(':').next().unwrap_or_default()).expect("a host"));
    let key = |target: &str| rules.target(target).into_owned();
    let expect = |same: bool| if same { Source::Hit } else { Source::Miss };
    assert_eq!(purger.everything(Seq(1)).await, Outcome::Applied);
    get(cache.traffic, host, one, &[]).await;
    assert_eq!(source(cache, host, two).await, expect(key(one) == key(two)), "{host}: is {one} {two}?");
    let purge = [invalidation(1, &format!("http://{host}{one}"))];
    assert!(had_a_copy(&purger.apply(&purge).await), "{host}: {one}");
    let url = CacheUrl::parse(&format!("http://{host}{one}"), Encode::AsSubmitted).expect("a URL");
    let purged = rules.forms(&url).targets.iter().any(|form| key(form) == key(two));
    assert_eq!(source(cache, host, two).await, expect(!purged), "{host}: {one} is purged, is {two} kept?");
}

#[tokio::test]
async fn varnish_follows_each_rule_for_keys() {
    let origin = Origin::start().await;
    let cache = RealCache::varnish(origin.address(), Relay::Allowed).await;
    let purger = with_rules(&cache, Arc::new(rules_of));
    let hosts = ["drop", "only", "without", "sorted", "folded", "scheme", "port", "all", "bytewise"];
    for host in hosts.map(|name| format!("{name}.rules.test")).into_iter().chain(["all.rules.test:8080".to_owned()]) {
        for (at, one) in TARGETS.iter().enumerate() {
            for step in 0..4 {
                check_pair(&cache, &purger, &host, (one, TARGETS[(at + step * step * step) % TARGETS.len()])).await;
            }
        }
    }
    // The origin is asked with what the client wrote.
    get(cache.traffic, "all.rules.test", "/Origin?b=1&sid=2&a=1", &[]).await;
    assert_eq!(origin.requests("/Origin?b=1&sid=2&a=1"), 1);
}

#[tokio::test]
async fn varnish_keeps_ports_together_and_schemes_apart_where_a_rule_says_so() {
    let origin = Origin::start().await;
    let cache = RealCache::varnish(origin.address(), Relay::Allowed).await;
    let purger = with_rules(&cache, Arc::new(rules_of));
    for host in ["port.rules.test", "all.rules.test"] {
        for purge in [invalidation(1, &format!("http://{host}:8443/x")), directory(&format!("http://{host}:81/"))] {
            keep(&cache, host, "/x", &[]).await;
            assert_eq!(source(&cache, &format!("{host}:8080"), "/x").await, Source::Hit, "{host}");
            assert!(had_a_copy(&purger.apply(&[purge]).await));
            assert_eq!(source(&cache, host, "/x").await, Source::Miss, "{host}");
        }
    }
    let host = "scheme.rules.test";
    let https = [("x-forwarded-proto", "https")];
    let kept = async |path: &str| {
        let secure = get(cache.traffic, host, path, &https).await.source();
        (source(&cache, host, path).await, secure)
    };
    for purge in [
        invalidation(1, "https://scheme.rules.test/d/x"),
        directory("https://scheme.rules.test/d"),
        expire("https://scheme.rules.test/d/x"),
    ] {
        kept("/d/x").await;
        assert_eq!(kept("/d/x").await, (Source::Hit, Source::Hit));
        assert!(had_a_copy(&purger.apply(&[purge]).await));
        assert_eq!(kept("/d/x").await, (Source::Hit, Source::Miss));
    }
    assert_eq!(purger.apply(&[directory("http://scheme.rules.test/")]).await, [Outcome::Applied]);
    assert_eq!(kept("/d/x").await, (Source::Miss, Source::Hit));
}

#[tokio::test]
async fn directory_reaches_what_a_rule_stored_under_its_canonical_form() {
    let origin = Origin::start().await;
    let cache = RealCache::varnish(origin.address(), Relay::Allowed).await;
    let purger = with_rules(&cache, Arc::new(rules_of));
    for (path, beside) in [("/Img/A.jpg?B=1", "/Imgs/A.jpg"), ("/iMG?x", "/im")] {
        keep(&cache, "folded.rules.test", path, &[]).await;
        keep(&cache, "folded.rules.test", beside, &[]).await;
        assert_eq!(purger.apply(&[directory("http://folded.rules.test/IMG")]).await, [Outcome::Applied]);
        assert_eq!(source(&cache, "folded.rules.test", path).await, Source::Miss);
        assert_eq!(source(&cache, "folded.rules.test", beside).await, Source::Hit);
    }
}

#[tokio::test]
async fn client_never_sees_or_chooses_a_key() {
    let origin = Origin::start().await;
    let cache = RealCache::varnish(origin.address(), Relay::Allowed).await;
    let forged: [(&'static str, &str); 4] = [
        ("x-catharsis-key", "www.a.test/b"),
        ("x-catharsis-target", "/b"),
        ("x-catharsis-scheme", "https://"),
        ("x-catharsis-query", "&b"),
    ];
    let answer = get(cache.traffic, HOST, "/a", &forged).await;
    assert!(answer.fields.keys().all(|name| !name.as_str().starts_with("x-catharsis")), "{:?}", answer.fields);
    assert_eq!(source(&cache, HOST, "/a").await, Source::Hit);
    assert_eq!(source(&cache, HOST, "/b").await, Source::Miss);
    // A host that would run into the path: refused, or anybody could fill another host's keys.
    for host in ["www.a.test/b", "a@b", "[::1]", "a..test", "www.a.test:0"] {
        assert_eq!(get(cache.traffic, host, "/c", &[]).await.status, 400, "{host}");
    }
}
