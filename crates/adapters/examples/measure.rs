//! Measures the embedded store and the Varnish purger, and prints what they cost.
//!
//! `cargo run --release -p catharsis-adapters --example measure`. Processor time is that of this
//! process, user and system, from the operating system; rates swing on a shared machine.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use catharsis_adapters::purger::varnish::VarnishPurger;
use catharsis_adapters::purger::{HttpLimits, NodeAddress};
use catharsis_adapters::store::sqlite::{SqliteOptions, SqliteStore};
use catharsis_core::area::{Area, AreaSet, PerArea};
use catharsis_core::clock::UnixMillis;
use catharsis_core::history::{HistoryFilter, HistoryQuery, Keyword};
use catharsis_core::invalidation::{Invalidation, Seq};
use catharsis_core::keys::Bytewise;
use catharsis_core::ports::{Log, Purger, Store};
use catharsis_core::status::{ItemStatus, StatusView};
use catharsis_core::target::HostName;
use catharsis_testkit::caches::{RealCache, Relay};
use catharsis_testkit::conformance::invalidation;
use catharsis_testkit::origin::Origin;
use catharsis_testkit::plans::{ACCOUNT, plan};

/// Processor time of this process so far. The kernel counts in hundredths of a second.
fn cpu() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let after_name = stat.rsplit_once(')').expect("a name in brackets").1;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks = |index: usize| fields[index].parse::<u64>().expect("a number");
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}

fn micros(time: Duration, count: u64) -> f64 {
    time.as_secs_f64() * 1e6 / count as f64
}

#[tokio::main]
async fn main() {
    let directory = tempfile::tempdir_in(".").expect("a writable directory");
    for (writers, urls) in [(1, 1), (64, 1), (8, 1_000)] {
        submit(directory.path(), writers, urls, Duration::from_secs(4)).await;
    }
    history(directory.path()).await;
    purge().await;
}

fn urls(count: usize, seed: u64) -> Vec<String> {
    let url = |it| format!("https://www.example.test/assets/images/product-{seed:08}-{it:04}/large-photo.jpg?v=12");
    (0..count).map(url).collect()
}

async fn submit(directory: &std::path::Path, writers: u64, count: usize, time: Duration) {
    let path = directory.join(format!("submit-{writers}-{count}.db"));
    let (store, log) = SqliteStore::open(&path, SqliteOptions::default()).expect("it opens");
    let store = Arc::new(store);
    let done = Arc::new(AtomicU64::new(0));
    let (start, before) = (Instant::now(), cpu());
    let workers: Vec<_> = (0..writers)
        .map(|writer| {
            let (store, done) = (Arc::clone(&store), Arc::clone(&done));
            tokio::spawn(async move {
                let mut slowest = Vec::new();
                let list = urls(count, writer);
                let list: Vec<&str> = list.iter().map(String::as_str).collect();
                for round in 0.. {
                    if start.elapsed() > time {
                        break;
                    }
                    let plan = plan(round * writers + writer, &list, AreaSet::Global);
                    let call = Instant::now();
                    store.submit(plan).await.expect("kept");
                    slowest.push(call.elapsed());
                    done.fetch_add(1, Ordering::Relaxed);
                }
                slowest
            })
        })
        .collect();
    let mut waits = Vec::new();
    for worker in workers {
        waits.extend(worker.await.expect("no panic"));
    }
    let (wall, used) = (start.elapsed(), cpu() - before);
    let tasks = done.load(Ordering::Relaxed);
    waits.sort();
    println!(
        "submit, {writers} writers x {count} URLs: {:.0} tasks/s, {:.1} us CPU a task ({:.3} us a URL), p50 {:?}, p99 {:?}, head {}",
        tasks as f64 / wall.as_secs_f64(),
        micros(used, tasks),
        micros(used, tasks * count as u64),
        waits[waits.len() / 2],
        waits[waits.len() * 99 / 100],
        log.head(Area::Mainland),
    );
    store.close().await;
    let bytes = std::fs::metadata(&path).expect("a file").len();
    println!("  {:.1} bytes a URL on disk", bytes as f64 / (tasks * count as u64) as f64);
}

async fn history(directory: &std::path::Path) {
    const TASKS: u64 = 100_000;
    let path = directory.join("history.db");
    let (store, log) = SqliteStore::open(&path, SqliteOptions::default()).expect("it opens");
    let store = Arc::new(store);
    let workers: Vec<_> = (0..16)
        .map(|worker| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for id in (worker..TASKS).step_by(16) {
                    let list = urls(100, id);
                    let list: Vec<&str> = list.iter().map(String::as_str).collect();
                    store.submit(plan(id, &list, AreaSet::Global)).await.expect("kept");
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.expect("no panic");
    }
    let now = 1_700_000_000_000 + TASKS * 1_000;
    let all = HistoryFilter {
        hosts: catharsis_core::history::HostScope::All,
        account: ACCOUNT,
        task: None,
        kind: None,
        from: Some(UnixMillis(now - 86_400_000)),
        to: None,
        keyword: None,
        areas: None,
        status: None,
    };
    let head = log.head(Area::Mainland);
    let settled = Seq(head.0 - 50_000);
    let query = |filter: &HistoryFilter, offset| HistoryQuery {
        filter: filter.clone(),
        offset,
        limit: 20,
        view: StatusView {
            watermark: PerArea { mainland: settled, overseas: settled },
            now: UnixMillis(now),
            fail_after: Duration::from_secs(600),
        },
    };
    let host = HostName::parse("www.example.test").expect("a host");
    let other = HostName::parse("other.test").expect("a host");
    let keyword = |host| HistoryFilter { keyword: Some(Keyword::Host(host)), ..all.clone() };
    let ever = HistoryFilter { from: None, ..all.clone() };
    for (what, filter, offset) in [
        ("one day", all.clone(), 20),
        ("one day, far in", all.clone(), 5_000_000),
        ("one day, status", HistoryFilter { status: Some(ItemStatus::Process), ..all.clone() }, 20),
        ("one day, its host", keyword(host), 20),
        ("one day, another host", keyword(other), 20),
        ("all 10 M URLs", ever, 20),
    ] {
        let mut waits = Vec::new();
        let mut total = 0;
        for _ in 0..20 {
            let start = Instant::now();
            total = store.history(query(&filter, offset)).await.expect("readable").total;
            waits.push(start.elapsed());
        }
        waits.sort();
        println!("history, {what}: {:?} (slowest of 20 {:?}), total {total}", waits[10], waits[19]);
    }
    store.close().await;
}

async fn purge() {
    let origin = Origin::start().await;
    let cache = RealCache::varnish(origin.address(), Relay::Allowed).await;
    let purger =
        VarnishPurger::new(NodeAddress::from(cache.purge), HttpLimits::default(), Arc::new(Bytewise::default()));
    for size in [1, 512] {
        let batch: Vec<Invalidation> =
            (1..=size).map(|seq| invalidation(seq, &format!("http://www.example.test/assets/{seq}"))).collect();
        let (start, before) = (Instant::now(), cpu());
        let mut sent = 0;
        while start.elapsed() < Duration::from_secs(4) {
            sent += purger.apply(&batch).await.len() as u64;
        }
        println!(
            "purge, Varnish, absent, batches of {size}: {:.0}/s, {:.2} us CPU each",
            sent as f64 / start.elapsed().as_secs_f64(),
            micros(cpu() - before, sent)
        );
    }
}
