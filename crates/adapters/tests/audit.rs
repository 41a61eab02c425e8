//! How real caches, set up by the sample configurations, date what they serve: what the auditor's judgement rests on.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use catharsis_adapters::audit::HttpOutside;
use catharsis_adapters::clock::SystemClock;
use catharsis_adapters::purger::NodeAddress;
use catharsis_core::audit::{Accepts, Dated, Outside, Seen, Tolerance, Verdict, judge};
use catharsis_core::clock::UnixMillis;
use catharsis_core::ports::Clock;
use catharsis_core::target::{CacheUrl, Encode};
use catharsis_core::topology::NodeKind;
use catharsis_testkit::caches::{RealCache, Relay};
use catharsis_testkit::origin::Origin;

const TOLERANCE: Tolerance = Tolerance { rounding: Duration::from_secs(2), clock_skew: Duration::ZERO };

/// Looks twice at a page that the cache keeps, and returns when that was fetched and the second look.
async fn look_at_a_copy(traffic: SocketAddr, origin: &Origin) -> (UnixMillis, Seen) {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let outside = HttpOutside::new(NodeAddress::from(traffic), Arc::clone(&clock));
    let url = CacheUrl::parse("http://www.a.test/aged", Encode::AsSubmitted).expect("a valid URL");
    let fetched = clock.wall();
    outside.look(&url, Accepts::Unsaid).await.expect("an answer");
    // Not a wait for anything: the copy's age is what is looked at.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let seen = outside.look(&url, Accepts::Unsaid).await.expect("an answer");
    assert_eq!((seen.status, origin.requests("/aged")), (200, 1), "the second answer is the copy");
    (fetched, seen)
}

fn check(kind: NodeKind, (fetched, seen): (UnixMillis, Seen)) {
    let dated = Dated::of(kind);
    let of = |accepted_at| judge(&seen, accepted_at, dated, TOLERANCE);
    assert_eq!(of(UnixMillis(fetched.0 - 4_000)).0, Verdict::Younger, "{kind:?} {seen:?}");
    assert_eq!(of(seen.asked).0, Verdict::Older, "{kind:?} {seen:?}");
    match dated {
        Dated::ByAge | Dated::ByApparentAge => {
            assert!(seen.age.is_some_and(|age| (4..=7).contains(&age)), "{kind:?} {seen:?}")
        }
        Dated::ByDate => assert_eq!(seen.age, None, "{kind:?}"),
    }
}

mod whole {
    use super::*;

    #[tokio::test]
    async fn varnish_squid_and_trafficserver_date_their_copies_by_age() {
        let origin = Origin::start().await;
        let cache = RealCache::varnish(origin.address(), Relay::Allowed).await;
        check(NodeKind::Varnish, look_at_a_copy(cache.traffic, &origin).await);
        let origin = Origin::start().await;
        let cache = RealCache::squid(origin.address(), Relay::Allowed).await;
        check(NodeKind::Squid, look_at_a_copy(cache.traffic, &origin).await);
        let origin = Origin::start().await;
        let cache = RealCache::trafficserver(origin.address(), Relay::Allowed).await;
        check(NodeKind::TrafficServer, look_at_a_copy(cache.traffic, &origin).await);
    }

    #[tokio::test]
    async fn nginx_dates_its_copies_by_the_date_of_the_origin() {
        let origin = Origin::start().await;
        let cache = RealCache::nginx(origin.address(), Relay::Allowed).await;
        check(NodeKind::Nginx, look_at_a_copy(cache.traffic, &origin).await);
        let origin = Origin::start().await;
        let cache = RealCache::nginx_keys(origin.address(), Relay::Allowed).await;
        check(NodeKind::Nginx, look_at_a_copy(cache.traffic, &origin).await);
        let origin = Origin::start().await;
        let cache = RealCache::nginx_stock(origin.address()).await;
        check(NodeKind::NginxAgent, look_at_a_copy(cache.traffic, &origin).await);
    }

    #[tokio::test]
    async fn nginx_that_keeps_the_date_to_itself_is_not_taken_for_young() {
        let origin = Origin::start().await;
        let edit = |configuration: String| {
            assert!(configuration.contains("proxy_pass_header Date;"));
            configuration.replace("proxy_pass_header Date;", "")
        };
        let cache = RealCache::nginx_edited(origin.address(), Relay::Allowed, edit).await;
        let (fetched, seen) = look_at_a_copy(cache.traffic, &origin).await;
        for accepted_at in [UnixMillis(fetched.0 - 60_000), seen.asked] {
            let (verdict, _) = judge(&seen, accepted_at, Dated::ByDate, TOLERANCE);
            assert_eq!(verdict, Verdict::Untold, "{seen:?}");
        }
    }
}
