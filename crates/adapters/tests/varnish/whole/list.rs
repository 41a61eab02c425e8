//! Who may ban, how fast, and how many bans there may be.

use std::sync::atomic::{AtomicU64, Ordering};

use super::super::*;

#[tokio::test]
async fn varnish_refuses_bans_from_another_address() {
    let origin = Origin::start().await;
    let cache = RealCache::varnish(origin.address(), Relay::Elsewhere).await;
    keep(&cache, HOST, "/1", &[]).await;
    let denied = || Outcome::Unreachable(Unreachable::Denied { status: 405 });
    let batch = [directory(&format!("http://{HOST}/")), expire(&format!("http://{HOST}/1"))];
    assert_eq!(purger(&cache).apply(&batch).await, [denied(), denied()]);
    assert_eq!(purger(&cache).everything(Seq(1)).await, denied());
    assert_eq!(source(&cache, HOST, "/1").await, Source::Hit);
}

#[tokio::test]
async fn full_ban_list_stops_directories_and_no_urls() {
    let origin = Origin::start().await;
    let vcl = RealCache::varnish_vcl(origin.address(), Relay::Allowed);
    // The lurker sleeps for good, and an old object holds the bans.
    let cache = RealCache::varnish_started(&vcl, &["-p", "ban_lurker_sleep=0"]).await;
    let seen = Arc::new(AtomicU64::new(0));
    let gauge = Arc::clone(&seen);
    let capped = |secret: &[u8], max| {
        let address = NodeAddress::from(cache.management.expect("Varnish has one"));
        let gauge = Arc::clone(&gauge);
        let gauge = Arc::new(move |bans| gauge.store(bans, Ordering::Relaxed));
        purger(&cache).with_cap(Management::new(address, secret), max, gauge)
    };
    keep(&cache, "old.test", "/", &[]).await;
    let batch = [directory(&format!("http://{HOST}/")), invalidation(1, &format!("http://{HOST}/1"))];
    let roomy = capped(VARNISH_SECRET, 3);
    for bans in 1..=3 {
        keep(&cache, HOST, "/1", &[]).await;
        if bans == 3 {
            break;
        }
        let other = [directory(&format!("http://h{bans}.test/"))];
        assert_eq!(purger(&cache).apply(&other).await, [Outcome::Applied]);
    }
    let outcomes = roomy.apply(&batch).await;
    let Outcome::Unreachable(Unreachable::Busy(why)) = &outcomes[0] else { panic!("{outcomes:?}") };
    assert_eq!(why.as_str(), "its ban list holds 3 bans, at most 3 are allowed: is the ban lurker running?");
    assert_eq!(outcomes[1], Outcome::counted(1));
    assert_eq!(seen.load(Ordering::Relaxed), 3);
    assert_eq!(capped(VARNISH_SECRET, 4).apply(&batch[..1]).await, [Outcome::Applied]);
    let wrong = capped(b"wrong", 4).apply(&batch[..1]).await;
    assert!(
        matches!(&wrong[0], Outcome::Unreachable(Unreachable::Busy(why)) if why.as_str().contains("secret")),
        "{wrong:?}"
    );
}

#[tokio::test]
async fn directories_wait_for_their_turn_no_longer_than_a_batch_may_take() {
    let origin = Origin::start().await;
    let cache = RealCache::varnish(origin.address(), Relay::Allowed).await;
    let limits = HttpLimits { batch: std::time::Duration::from_millis(300), ..HttpLimits::default() };
    let hasty = VarnishPurger::new(NodeAddress::from(cache.purge), limits, Arc::new(Bytewise::default()));
    let one = [directory(&format!("http://{HOST}/d/")), invalidation(1, &format!("http://{HOST}/1"))];
    for _ in 0..3 {
        assert_eq!(hasty.apply(&one).await[0], Outcome::Applied, "at once");
    }
    let outcomes = hasty.apply(&one).await;
    assert!(matches!(outcomes[0], Outcome::Unreachable(Unreachable::Busy(_))), "{outcomes:?}");
    assert_eq!(outcomes[1], Outcome::Absent, "URLs do not wait");
    assert_eq!(hasty.abilities().url, Ability::DeleteOrExpire);
}
