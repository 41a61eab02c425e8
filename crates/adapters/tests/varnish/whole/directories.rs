//! Directories and hosts: what a ban removes, and nothing else.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::super::*;
use crate::raw::{self, AnyOrigin};

async fn keep_raw(cache: &RealCache, host: &str, path: &str) {
    raw::source(cache.traffic, host, path).await;
    assert_eq!(raw::source(cache.traffic, host, path).await, Source::Hit, "{host}{path} is kept");
}

/// A purge removes the first list, which is kept before, and leaves the second.
async fn check(cache: &RealCache, purges: &[Invalidation], gone: &[(&str, &str)], kept: &[(&str, &str)]) {
    for (host, path) in gone.iter().chain(kept) {
        keep_raw(cache, host, path).await;
    }
    let outcomes = purger(cache).apply(purges).await;
    assert!(outcomes.chunks(1).all(had_a_copy), "{outcomes:?}");
    for (host, path) in kept {
        assert_eq!(raw::source(cache.traffic, host, path).await, Source::Hit, "{host}{path} stays");
    }
    for (host, path) in gone {
        assert_eq!(raw::source(cache.traffic, host, path).await, Source::Miss, "{host}{path} is gone");
    }
}

#[tokio::test]
async fn varnish_forgets_a_directory_and_nothing_beside_it() {
    let origin = AnyOrigin::start().await;
    let cache = RealCache::varnish(origin.address, Relay::Allowed).await;
    let at = |path: &'static str| (HOST, path);
    let closed = ["/img", "/img/", "/img/a/b?c", "/img?q=/"].map(at);
    let beside = ["/img2", "/im", "/IMG/x", "/img-x/y", "/imgx?/img/", "/", "/x/img/"].map(at);
    check(&cache, &[directory("http://www.a.test/img")], &closed, &beside).await;
    check(
        &cache,
        &[directory("https://WWW.a.test/sub/")],
        &["/sub/", "/sub/x", "/sub/?q"].map(at),
        &["/sub", "/sub?q"].map(at),
    )
    .await;
    let marks = ["/a.b/(c|d)[e]{1}+*x/f", "/a.b/(c|d)[e]{1}+*x?$^\\"].map(at);
    let unmarked = ["/aXb/(c|d)[e]{1}+*x/f", "/a.b/c", "/a.b/(c|d)[e]{1}x/f"].map(at);
    check(&cache, &[directory("http://www.a.test/a.b/(c|d)[e]{1}+*x")], &marks, &unmarked).await;
    let quoted = ["/q\"u'o<t>e\\d/x", "/q\"u'o<t>e\\d"].map(at);
    check(&cache, &[directory("http://www.a.test/q\"u'o<t>e\\d")], &quoted, &["/q", "/qu'o<t>e\\d/x"].map(at)).await;
    check(&cache, &[directory("http://www.a.test/%7Ea%2F/")], &[at("/%7Ea%2F/x")], &["/~a%2F/x", "/%7ea%2F/x"].map(at))
        .await;
}

#[tokio::test]
async fn varnish_forgets_what_was_stored_with_raw_characters() {
    let origin = AnyOrigin::start().await;
    let cache = RealCache::varnish(origin.address, Relay::Allowed).await;
    let stored = [(HOST, "/é/中"), (HOST, "/%C3%A9/%E4%B8%AD"), (HOST, "/é?x")];
    check(&cache, &[directory("http://www.a.test/é")], &stored, &[(HOST, "/è/中"), (HOST, "/%c3%a9/x")]).await;
}

#[tokio::test]
async fn varnish_forgets_a_host_and_no_other() {
    let origin = AnyOrigin::start().await;
    let cache = RealCache::varnish(origin.address, Relay::Allowed).await;
    let kept = [
        ("a.test", "/x"),
        ("xwww.a.test", "/x"),
        ("www.a.test.b.test", "/"),
        ("wwwxa.test", "/"),
        ("www.a.test:8080", "/x"),
    ];
    let gone = [
        (HOST, "/"),
        (HOST, "/x?y"),
        ("WWW.A.test:80", "/host-is-normalised"),
        ("www.a.test.", "/dot"),
        ("www.a.test.:443", "/dot-and-port"),
    ];
    check(&cache, &[directory("http://www.a.test")], &gone, &kept).await;
    check(
        &cache,
        &[directory("http://www.a.test:8080/")],
        &[("www.a.test:8080", "/y"), ("www.a.test.:8080", "/dot")],
        &[(HOST, "/y")],
    )
    .await;
    check(&cache, &[directory("http://www.a.test:443/")], &[(HOST, "/z")], &[("www.a.test:8080", "/z")]).await;
}

#[tokio::test]
async fn order_of_urls_and_directories_in_a_batch_makes_no_difference() {
    let origin = AnyOrigin::start().await;
    let cache = RealCache::varnish(origin.address, Relay::Allowed).await;
    let one = |path: &str| format!("http://{HOST}{path}");
    let mut batch = vec![
        expire(&one("/d/x")),
        directory(&one("/d")),
        invalidation(1, &one("/other")),
        directory("http://b.test/"),
        expire(&one("/e/x")),
    ];
    let gone = [(HOST, "/d/x"), (HOST, "/d/y"), (HOST, "/other"), ("b.test", "/d"), (HOST, "/e/x")];
    for _ in 0..batch.len() {
        check(&cache, &batch, &gone, &[(HOST, "/e/y"), ("c.test", "/d/x")]).await;
        batch.rotate_left(1);
    }
}

#[tokio::test]
async fn varnish_matches_directories_as_they_are_defined() {
    let origin = AnyOrigin::start().await;
    let cache = RealCache::varnish(origin.address, Relay::Allowed).await;
    let purger = purger(&cache);
    let mut runner = TestRunner::deterministic();
    let path = prop_oneof!["(/[ab.]{0,2}){1,3}", "(/[a|().\"'\\\\$^+{}<>&;é-]{1,3}a){1,2}/?"];
    for round in 0..12 {
        let mut paths: Vec<String> = (0..6).map(|_| path.new_tree(&mut runner).expect("a path").current()).collect();
        let directories: Vec<CachePrefix> = paths
            .split_off(3)
            .iter()
            .map(|path| CachePrefix::parse(&format!("http://r{round}.test{path}"), Encode::AsSubmitted).expect("valid"))
            .collect();
        let spelled: Vec<String> = directories
            .iter()
            .flat_map(|it| it.request_targets().iter().map(str::to_owned).collect::<Vec<_>>())
            .collect();
        let near = spelled.iter().flat_map(|it| ["", "/", "?", "b", "/b"].map(|end| format!("{it}{end}")));
        paths.extend(near);
        paths.sort_unstable();
        paths.dedup();
        let host = format!("r{round}.test");
        for path in &paths {
            keep_raw(&cache, &host, path).await;
        }
        let batch: Vec<Invalidation> = directories
            .into_iter()
            .map(|it| Invalidation { target: Target::Prefix(it).into(), ..invalidation(1, "http://a.test/") })
            .collect();
        assert!(purger.apply(&batch).await.iter().all(|outcome| *outcome == Outcome::Applied));
        for path in &paths {
            let covered = spelled.iter().any(|prefix| prefix_covers(prefix, path));
            let expect = if covered { Source::Miss } else { Source::Hit };
            assert_eq!(raw::source(cache.traffic, &host, path).await, expect, "{path} {spelled:?}");
        }
    }
}

#[tokio::test]
async fn many_and_long_directories_are_all_forgotten() {
    let origin = AnyOrigin::start().await;
    let cache = RealCache::varnish(origin.address, Relay::Allowed).await;
    let long = |end: &str| format!("/{}/{end}", ".".repeat(3_500));
    let mut paths: Vec<String> = (0..402).map(|it| format!("/directory-{it}/below.it")).collect();
    paths.extend((0..6).map(|it| long(&it.to_string())));
    for path in paths.iter().step_by(3) {
        keep(&cache, HOST, &format!("{path}/x"), &[]).await;
    }
    let batch: Vec<Invalidation> = paths.iter().map(|path| directory(&format!("http://{HOST}{path}"))).collect();
    let outcomes = purger(&cache).apply(&batch).await;
    assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Applied), "{outcomes:?}");
    for path in paths.iter().step_by(3) {
        assert_eq!(source(&cache, HOST, &format!("{path}/x")).await, Source::Miss, "{path}");
    }
}

#[tokio::test]
async fn configuration_without_directories_is_never_a_success() {
    let origin = Origin::start().await;
    let vcl = RealCache::varnish_vcl(origin.address(), Relay::Allowed);
    let known = "if (req.http.X-Catharsis-Scope == \"directories\") {";
    assert!(vcl.contains(known));
    let older = RealCache::varnish_with(&vcl.replace(known, "if (false) {")).await;
    keep(&older, HOST, "/1", &[]).await;
    let batch = [invalidation(1, &format!("http://{HOST}/1")), directory(&format!("http://{HOST}/"))];
    let outcomes = purger(&older).apply(&batch).await;
    assert_eq!(outcomes, [Outcome::counted(1), Outcome::Unreachable(Unreachable::Denied { status: 501 })]);
    let address = origin.address();
    let bare = format!("vcl 4.1; backend default {{ .host = \"{}\"; .port = \"{}\"; }}", address.ip(), address.port());
    let bare = RealCache::varnish_with(&bare).await;
    let outcomes = purger(&bare).apply(&batch[1..]).await;
    assert!(matches!(outcomes[..], [Outcome::Unreachable(Unreachable::Protocol(_))]), "{outcomes:?}");
}

#[tokio::test]
async fn failed_ban_fails_all_that_it_stood_for_and_no_url() {
    let origin = AnyOrigin::start().await;
    let vcl = RealCache::varnish_vcl(origin.address, Relay::Allowed);
    let ban = "std.ban(\"obj.http.X-Catharsis-Key ~ \"";
    assert!(vcl.contains(ban));
    let cache = RealCache::varnish_with(&vcl.replace(ban, "std.ban(\"obj.nothing ~ \"")).await;
    keep_raw(&cache, HOST, "/1").await;
    let one = |path: &str| format!("http://{HOST}{path}");
    let batch = [directory(&one("/a")), invalidation(1, &one("/1")), directory(&one("/b")), directory(&one("/a/b"))];
    let failed = || Outcome::Unreachable(Unreachable::Failed { status: 500 });
    assert_eq!(purger(&cache).apply(&batch).await, [failed(), Outcome::counted(1), failed(), failed()]);
}
