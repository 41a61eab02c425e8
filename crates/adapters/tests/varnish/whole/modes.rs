//! Marking stale instead of removing.

use super::super::*;

#[tokio::test]
async fn varnish_expires_a_copy_and_serves_it_again_only_when_the_origin_confirms_it() {
    let origin = Origin::start().await;
    let cache = RealCache::varnish(origin.address(), Relay::Allowed).await;
    let purger = purger(&cache);
    let url = |path: &str| [expire(&format!("http://{HOST}{path}"))];
    for path in ["/same", "/changed"] {
        origin.set_validated(path);
        keep(&cache, HOST, path, &[]).await;
        assert_eq!(purger.apply(&url(path)).await, [Outcome::counted(1)]);
    }
    // Confirmed: the copy is used, after the origin was asked.
    let confirmed = get(cache.traffic, HOST, "/same", &[]).await;
    assert_eq!((confirmed.source(), confirmed.body.as_str()), (Source::Miss, "v1"));
    assert_eq!((origin.requests("/same"), origin.confirmed("/same")), (2, 1));
    assert_eq!(source(&cache, HOST, "/same").await, Source::Hit, "and is fresh again");
    // Changed: the first answer is the new one already.
    origin.set_version("/changed", 2);
    assert_eq!(get(cache.traffic, HOST, "/changed", &[]).await.body, "v2");
    assert_eq!(origin.confirmed("/changed"), 0);
    // An origin that fails is no leave to use the old copy.
    assert_eq!(purger.apply(&url("/changed")).await, [Outcome::counted(1)]);
    origin.set_version("/changed", 3);
    origin.set_status("/changed", 503);
    assert_eq!(get(cache.traffic, HOST, "/changed", &[]).await.status, 503);
    assert_eq!(purger.apply(&url("/never-kept")).await, [Outcome::Absent]);
    // What was marked stale can be deleted: the origin is then not even asked whether it is the same.
    keep(&cache, HOST, "/same", &[]).await;
    assert_eq!(purger.apply(&url("/same")).await, [Outcome::counted(1)]);
    assert_eq!(purger.apply(&[invalidation(2, &format!("http://{HOST}/same"))]).await, [Outcome::counted(1)]);
    assert_eq!(source(&cache, HOST, "/same").await, Source::Miss);
    assert_eq!((origin.requests("/same"), origin.confirmed("/same")), (3, 1));
}

#[tokio::test]
async fn varnish_expires_every_variant() {
    let origin = Origin::start().await;
    origin.set_vary("/v", "x-variant");
    let cache = RealCache::varnish(origin.address(), Relay::Allowed).await;
    for variant in ["a", "b"] {
        keep(&cache, HOST, "/v", &[("x-variant", variant)]).await;
    }
    assert_eq!(purger(&cache).apply(&[expire(&format!("https://{HOST}/v"))]).await, [Outcome::counted(2)]);
    for variant in ["a", "b"] {
        let answer = get(cache.traffic, HOST, "/v", &[("x-variant", variant)]).await;
        assert_eq!(answer.source(), Source::Miss, "{variant}");
    }
}
