//! Done means gone, watched by the oracle: real caches, real fetches of up to three seconds, purges in between.
//!
//! Each set-up is a row of [`SetUp`]. The tests send some hundred purges each; `just oracle` sends as many as
//! asked for (docs/testing.md). Beside each set-up the same run with its fence off must show violations.

mod deaf;
mod publisher;
mod set_up;

use std::time::Duration;

use catharsis_testkit::oracle::origin::Manners;
use catharsis_testkit::oracle::run::{Oracle, Report, Settings};
use catharsis_testkit::oracle::{Cache, Pages, SetUp};
use tokio_util::sync::CancellationToken;

pub(crate) use publisher::Publisher;
use set_up::Fences;

/// The host whose pages are purged.
pub(crate) const HOST: &str = "www.a.test";

/// How many purges a test sends; `CATHARSIS_ORACLE_PURGES` says otherwise.
const PURGES: u64 = 200;
/// Without a fence fewer show enough.
const PURGES_WITHOUT_FENCE: u64 = 100;
/// Most drivers at once, each with a directory and readers of its own.
const DRIVERS_MAX: u64 = 120;
/// The slowest fetch.
const SLOWEST: Duration = Duration::from_secs(3);
/// A task that is not done after this long is lost: nothing fails here.
const PATIENCE: Duration = Duration::from_secs(60);

/// A number from the environment, for runs by hand.
pub(crate) fn asked<T: std::str::FromStr>(name: &str) -> Option<T> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

async fn run(set_up: SetUp, fences: Fences) -> Report {
    let seed = asked("CATHARSIS_ORACLE_SEED").unwrap_or_else(rand::random);
    let purges = asked("CATHARSIS_ORACLE_PURGES").unwrap_or(match fences {
        Fences::On => PURGES,
        Fences::Off => PURGES_WITHOUT_FENCE,
    });
    // Two purges each, or more where there are many.
    let directories = u16::try_from(purges.div_ceil(2).min(DRIVERS_MAX)).expect("a small number");
    let settings = Settings {
        seed,
        purges,
        pages: Pages { directories, each: 4 },
        manners: Manners { slowest: SLOWEST, at_once: 20, failing: 5, fresh_max: set_up::fresh_max(set_up) },
        host: HOST.to_owned(),
        open_max: 1,
        directories: set_up::directories(set_up),
        done_not_before: set_up::done_not_before(set_up, fences),
        patience: PATIENCE,
    };
    println!("{} {fences:?}: seed {seed}", set_up.name());
    let oracle = Oracle::start(settings).await;
    let stage = set_up::start(set_up, oracle.origin(), fences).await;
    let report = oracle.run(stage.seen(), stage.publisher(), CancellationToken::new()).await;
    println!("{} {fences:?}: {report}", set_up.name());
    report
}

async fn serves_nothing_old(set_up: SetUp) {
    let report = run(set_up, Fences::On).await;
    assert_eq!(report.violated, 0, "{report}");
    assert_eq!(report.lost, Vec::<String>::new(), "{report}");
    assert_eq!((report.unanswered, report.done), (0, report.accepted), "{report}");
    // What was watched could have gone wrong.
    assert!(report.overtaking * 4 > report.accepted, "too few purges met a fetch: {report}");
    assert!(report.judged > report.accepted, "too few reads were judged: {report}");
}

async fn is_caught_without_its_fence(set_up: SetUp) {
    let report = run(set_up, Fences::Off).await;
    assert!(report.violated > 0, "the oracle is blind: {report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_oracle_sees_nothing_old_at_the_edge() {
    serves_nothing_old(SetUp::Edge).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_oracle_sees_nothing_old_at_an_edge_behind_a_shield() {
    serves_nothing_old(SetUp::EdgeBehindShield).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_oracle_sees_nothing_old_at_varnish_with_a_bounded_fence() {
    serves_nothing_old(SetUp::Bounded(Cache::Varnish)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_oracle_sees_nothing_old_at_nginx_with_a_bounded_fence() {
    serves_nothing_old(SetUp::Bounded(Cache::Nginx)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_oracle_catches_an_edge_that_is_told_nothing() {
    is_caught_without_its_fence(SetUp::Edge).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_oracle_catches_a_shield_that_is_told_nothing() {
    is_caught_without_its_fence(SetUp::EdgeBehindShield).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_oracle_catches_varnish_without_a_fence() {
    is_caught_without_its_fence(SetUp::Bounded(Cache::Varnish)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_oracle_catches_nginx_without_a_fence() {
    is_caught_without_its_fence(SetUp::Bounded(Cache::Nginx)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_oracle_sees_nothing_old_at_varnish_with_a_hop() {
    serves_nothing_old(SetUp::Hop(Cache::Varnish)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_oracle_sees_nothing_old_at_nginx_with_a_hop() {
    serves_nothing_old(SetUp::Hop(Cache::Nginx)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_oracle_catches_varnish_behind_a_hop_without_its_fence() {
    is_caught_without_its_fence(SetUp::Hop(Cache::Varnish)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_oracle_catches_nginx_behind_a_hop_without_its_fence() {
    is_caught_without_its_fence(SetUp::Hop(Cache::Nginx)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_oracle_sees_nothing_old_at_squid_with_a_bounded_fence() {
    serves_nothing_old(SetUp::Bounded(Cache::Squid)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_oracle_catches_squid_without_a_fence() {
    is_caught_without_its_fence(SetUp::Bounded(Cache::Squid)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_oracle_sees_nothing_old_at_squid_with_a_hop() {
    serves_nothing_old(SetUp::Hop(Cache::Squid)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_oracle_catches_squid_behind_a_hop_without_its_fence() {
    is_caught_without_its_fence(SetUp::Hop(Cache::Squid)).await;
}
