//! Nothing is lost and nothing old is served, whatever breaks: the whole binary with real caches, killed, frozen, cut off,
//! with its store locked or its disk full and its clocks turned, by seeded schedules, while the oracle purges and reads.
//!
//! A schedule lasts about six seconds and then all is whole again; every task that was acknowledged must then become done, and
//! no read ever may violate what was done. `just chaos --seeds A..B` runs others (docs/testing.md).

mod clock;
mod followed;
mod schedule;
mod stage;
mod turned;
mod wire;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use catharsis_core::limits::FAIL_AFTER;
use catharsis_tcapi::cdn::TaskStatus;
use catharsis_testkit::caches::{RealCache, Relay};
use catharsis_testkit::client::{Source, get};
use catharsis_testkit::oracle::Pages;
use catharsis_testkit::oracle::origin::Manners;
use catharsis_testkit::oracle::run::{Directories, Oracle, Report, Settings};
use catharsis_testkit::origin::Origin;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::oracle::{HOST, asked};
use crate::support::Setup;
pub(crate) use clock::Clock;
use followed::Followed;
use schedule::{Cast, Who};
use stage::Clocks;
use wire::Line;

/// The schedules of the tests.
const SEEDS: Range<u64> = 0..20;
/// Schedules at the same time.
const AT_ONCE: usize = 3;
/// How long faults are made.
const LENGTH: Duration = Duration::from_secs(6);
/// Tasks of a publisher that may be open at once: one that waits for a node that is away holds up no other.
const OPEN_MAX: usize = 12;
/// The slowest fetch.
const SLOWEST: Duration = Duration::from_millis(600);
/// Above the slowest fetch, its lateness (0.3 s), and a cache that stands still meanwhile (0.8 s), with room for a busy machine.
const BOUNDED: &str = "fence = { kind = \"bounded\", fetch_max = \"3s\", repeats = [\"500ms\"] }";
/// The planted fault.
const NONE: &str = "fence = { kind = \"none\" }";
/// After it, with everything whole again, a task is lost.
const PATIENCE: Duration = Duration::from_secs(60);

fn settings(seed: u64, patience: Duration) -> Settings {
    let (directories, how_many) = match Cast::of(seed) {
        Cast::Edges => (Directories::Purged, 12),
        // Twice the nodes to read at: a schedule is to leave the machine time for its faults.
        Cast::Everybody => (Directories::Spared, 8),
    };
    Settings {
        seed,
        purges: u64::MAX,
        pages: Pages { directories: how_many, each: 4 },
        manners: Manners { slowest: SLOWEST, at_once: 20, failing: 5, fresh_max: 3 },
        host: HOST.to_owned(),
        open_max: OPEN_MAX,
        directories,
        done_not_before: Duration::ZERO,
        patience,
    }
}

/// What came of a schedule.
#[derive(Debug)]
struct Came {
    report: Report,
    failed_early: Vec<String>,
    took: Duration,
}

/// One schedule.
async fn disturbed(seed: u64, fence: &str) -> Came {
    let began = Instant::now();
    let oracle = Oracle::start(settings(seed, PATIENCE)).await;
    let clocks = Clocks::right();
    let (mut nodes, setup) = stage::nodes(Cast::of(seed), oracle.origin(), fence, &clocks).await;
    let server = stage::server(&setup).await;
    let api = Arc::new(Followed::new(server.client(), &clocks.server, FAIL_AFTER));
    let seen = nodes.iter().map(stage::Node::seen).collect();
    let wires: Vec<_> = nodes.iter().map(|node| (node.who, Arc::clone(&node.wire))).collect();
    let [of_server, of_nodes, of_wires, of_clocks] = schedule::draw(seed, LENGTH);
    let stop = CancellationToken::new();
    let started = began.elapsed();
    let faults = async {
        let (server, (), (), ()) = tokio::join!(
            stage::break_server(of_server, server, setup.clone(), &api),
            stage::break_nodes(of_nodes, &mut nodes),
            stage::break_wires(of_wires, &wires),
            stage::turn_clocks(of_clocks, &clocks),
        );
        stop.cancel();
        (server, began.elapsed())
    };
    let (report, (server, whole)) = tokio::join!(oracle.run(seen, Arc::clone(&api) as _, stop.clone()), faults);
    drop(server);
    let took = began.elapsed();
    println!(
        "chaos seed {seed}: {report}; {:.1} s: {:.1} to start, {:.1} of faults, {:.1} until all was done",
        took.as_secs_f64(),
        started.as_secs_f64(),
        (whole - started).as_secs_f64(),
        (took - whole).as_secs_f64(),
    );
    Came { report, failed_early: api.failed_early(), took }
}

/// Schedules side by side; what came of each.
async fn disturbed_each(seeds: impl IntoIterator<Item = u64>, fence: &'static str) -> Vec<Came> {
    let at_once = asked("CATHARSIS_CHAOS_AT_ONCE").unwrap_or(AT_ONCE);
    let (mut running, mut all) = (JoinSet::new(), Vec::new());
    for seed in seeds {
        if running.len() == at_once {
            all.extend(running.join_next().await);
        }
        running.spawn(disturbed(seed, fence));
    }
    while let Some(came) = running.join_next().await {
        all.push(came);
    }
    all.into_iter().map(|came| came.expect("no schedule panics")).collect()
}

/// The seeds asked for by `CATHARSIS_CHAOS_SEEDS`, as `A..B`.
fn seeds() -> Range<u64> {
    let Ok(text) = std::env::var("CATHARSIS_CHAOS_SEEDS") else { return SEEDS };
    let range = text.split_once("..").and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
    range.unwrap_or_else(|| panic!("CATHARSIS_CHAOS_SEEDS is no range like 0..300: {text}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_chaos_loses_no_task_and_serves_nothing_old() {
    let all = disturbed_each(seeds(), BOUNDED).await;
    let sum = |of: fn(&Report) -> u64| all.iter().map(|came| of(&came.report)).sum::<u64>();
    let lost: usize = all.iter().map(|came| came.report.lost.len()).sum();
    println!(
        "chaos: {} schedules, {} purges acknowledged, {} unanswered, {} done, {lost} lost, {} reads after done, {} violations; \
         the slowest schedule {:.1} s",
        all.len(),
        sum(|it| it.accepted),
        sum(|it| it.unanswered),
        sum(|it| it.done),
        sum(|it| it.judged),
        sum(|it| it.violated),
        all.iter().map(|came| came.took).max().unwrap_or_default().as_secs_f64(),
    );
    for Came { report, failed_early, .. } in &all {
        assert!(report.violated == 0 && report.lost.is_empty(), "{report}");
        assert_eq!(failed_early, &Vec::<String>::new(), "{report}");
        assert_eq!(report.done, report.accepted, "{report}");
        assert!(report.done > 10 && report.judged > 50, "too little happened: {report}");
    }
    // In a few of them it may be so by chance, when one is run again by hand.
    assert!(sum(|it| it.unanswered) > 0 || all.len() < 5, "the server was never away");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_chaos_catches_caches_without_a_fence() {
    // Even ones: the caches that can be without a fence are of the cast.
    let all = disturbed_each([0, 2, 4], NONE).await;
    assert!(all.iter().any(|came| came.report.violated > 0), "chaos is blind: {all:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_chaos_catches_a_task_that_never_ends() {
    let seed = 0;
    let oracle = Oracle::start(Settings { purges: 5, ..settings(seed, Duration::from_secs(3)) }).await;
    let clocks = Clocks::right();
    let (nodes, setup) = stage::nodes(Cast::of(seed), oracle.origin(), BOUNDED, &clocks).await;
    let server = stage::server(&setup).await;
    let node = nodes.iter().find(|node| node.who == Who::Nginx).expect("it is of the cast");
    // One that holds no lease: nobody waits longer than that for an edge.
    node.wire.set(Line::Cut);
    let api = Arc::new(Followed::new(server.client(), &clocks.server, FAIL_AFTER));
    let seen = nodes.iter().map(stage::Node::seen).collect();
    let report = oracle.run(seen, api, CancellationToken::new()).await;
    assert_eq!((report.accepted, report.done, report.lost.len()), (5, 0, 5), "{report}");
    assert!(report.lost.iter().all(|lost| lost.contains("Process") && lost.contains("nginx")), "it says why: {report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_nginx_that_crashed_keeps_its_copies_and_loses_those_purged_while_it_was_away() {
    let origin = Origin::start().await;
    let mut nginx = RealCache::nginx(origin.address(), Relay::Allowed).await;
    let lines = "fence = { kind = \"bounded\", fetch_max = \"1s\", repeats = [] }\njoin = \"empty\"\n";
    let setup = Setup::new().section("[relay]\nretry_max = \"200ms\"\n");
    let server = setup.node("nginx", "mainland", "nginx", nginx.purge, lines).start();
    let client = server.client();
    for path in ["/kept", "/purged"] {
        assert_eq!(get(nginx.traffic, HOST, path, &[]).await.body, "v1");
        origin.set_version(path, 2);
    }

    nginx.crash();
    nginx.restart().await;
    for path in ["/kept", "/purged"] {
        let copy = get(nginx.traffic, HOST, path, &[]).await;
        assert_eq!((copy.source(), copy.body.as_str()), (Source::Hit, "v1"), "{path}: its files survived");
    }
    nginx.crash();
    let task = client.purge(&[&format!("http://{HOST}/purged")]).await;
    assert_eq!(client.receipts(&task).await.status, TaskStatus::Process, "nobody is there to purge it");
    nginx.restart().await;
    client.await_status(&task, TaskStatus::Done).await;
    assert_eq!(get(nginx.traffic, HOST, "/purged", &[]).await.body, "v2");
    assert_eq!(get(nginx.traffic, HOST, "/kept", &[]).await.body, "v1", "what was not purged is still there");
}
