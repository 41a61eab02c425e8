//! Measures what purging directories costs a real Varnish: the length of its ban list, and its hits meanwhile.
//!
//! `cargo xtask bench bans [--seconds 300]`, or `cargo run -p catharsis-adapters --example bans -- SECONDS PER_MINUTE OBJECTS`.
//! The relay's own worker reads a log in memory and drives the purger through a bounded fence (each directory
//! at 0, 2, 10 and 60 s). What it prints is measured in one run: the hits before, then those while
//! directories are purged. It fails when a directory was not forgotten.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use catharsis_adapters::clock::SystemClock;
use catharsis_adapters::purger::varnish::VarnishPurger;
use catharsis_adapters::purger::{HttpLimits, NodeAddress};
use catharsis_core::abilities::Abilities;
use catharsis_core::area::{Area, AreaSet};
use catharsis_core::board::Board;
use catharsis_core::invalidation::{Invalidation, Seq};
use catharsis_core::keys::Bytewise;
use catharsis_core::ports::{Log, Purger, Store};
use catharsis_core::receipt::Outcome;
use catharsis_core::relay::{Observer, Relay as Engine, RelayEvent, Worker};
use catharsis_core::retry::RetryPolicy;
use catharsis_core::task::TaskKind;
use catharsis_core::topology::{BoundedFence, Fence, Node};
use catharsis_testkit::caches::{RealCache, Relay};
use catharsis_testkit::client::{Source, get};
use catharsis_testkit::mem_store::MemStore;
use catharsis_testkit::origin::Origin;
use catharsis_testkit::plans::{node, plan};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

const HOST: &str = "www.bench.test";
/// Passes of the fence after the first, seconds.
const REPEATS: [u64; 3] = [2, 10, 60];
/// One directory in so many holds an object that must be gone in the end.
const CHECKED: usize = 50;

/// What the hits of a time took.
struct Hits(Vec<Duration>);

impl std::fmt::Display for Hits {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let at = |part: usize| self.0.get(self.0.len() * part / 1_000).or(self.0.last()).copied().unwrap_or_default();
        write!(f, "{} hits, p50 {:?}, p99 {:?}, p99.9 {:?}", self.0.len(), at(500), at(990), at(999))
    }
}

/// Counts the bans that are sent.
struct Counted {
    purger: VarnishPurger,
    batches: AtomicUsize,
    directories: AtomicUsize,
}

#[async_trait::async_trait]
impl Purger for Counted {
    fn abilities(&self) -> Abilities {
        self.purger.abilities()
    }
    async fn apply(&self, batch: &[Invalidation]) -> Vec<Outcome> {
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.directories.fetch_add(batch.len(), Ordering::Relaxed);
        self.purger.apply(batch).await
    }
    async fn everything(&self, upto: Seq) -> Outcome {
        self.purger.everything(upto).await
    }
    async fn answers(&self) -> bool {
        self.purger.answers().await
    }
}

struct Shown;

impl Observer for Shown {
    fn observe(&self, _node: &Node, event: &RelayEvent<'_>) {
        if let RelayEvent::Unreachable { why, attempt } = event {
            println!("attempt {attempt}: {why}");
        }
    }
}

#[tokio::main]
async fn main() {
    let number = |at: usize, default: u64| std::env::args().nth(at).map_or(default, |it| it.parse().expect("a number"));
    let (time, per_minute, objects) = (Duration::from_secs(number(1, 300)), number(2, 1_000), number(3, 20_000));
    let origin = Origin::start().await;
    let vcl = RealCache::varnish_vcl(origin.address(), Relay::Allowed);
    let options = ["-p", "ban_lurker_age=1", "-p", "ban_lurker_sleep=0.01"];
    let cache = Arc::new(RealCache::varnish_started(&vcl, &options).await);
    // Hit in turn with the other, and never purged: what else the machine does, it does to both.
    let control = RealCache::varnish_started(&vcl, &options).await;
    for cache in [&cache, &control] {
        fill(cache, objects).await;
    }
    println!("{objects} objects; {per_minute} directories a minute for {time:?}, each sent 4 times (0, 2, 10, 60 s)");
    let quiet = hits([&cache, &control], objects, time.min(Duration::from_secs(30))).await;

    let purger = Arc::new(Counted {
        purger: VarnishPurger::new(
            NodeAddress::from(cache.purge),
            HttpLimits::default(),
            Arc::new(Bytewise::default()),
        ),
        batches: AtomicUsize::new(0),
        directories: AtomicUsize::new(0),
    });
    let node = Arc::new(varnish());
    let (store, engine) = engine(&node).await;
    let stop = CancellationToken::new();
    let worker = Worker::new(engine, Arc::clone(&node), Arc::clone(&purger) as Arc<dyn Purger>, stop.clone());
    let worker = tokio::spawn(worker.run());
    let ended = Arc::new(AtomicBool::new(false));
    let bans = tokio::spawn(sample(cache.varnish_directory(), Arc::clone(&ended)));
    let submitted = tokio::spawn(submit(store.clone(), Arc::clone(&cache), time, per_minute));
    let busy = hits([&cache, &control], objects, time).await;
    let count = submitted.await.expect("no panic");
    // The last pass of the last directory, and a margin for its turn.
    let settled = async {
        while store.cursor(&node.id, Area::Mainland).is_none_or(|cursor| cursor.seq.0 < count as u64) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(REPEATS[2] + 60), settled).await.expect("all are settled");
    ended.store(true, Ordering::Relaxed);
    let mut bans = bans.await.expect("no panic");
    for directory in (0..count).step_by(CHECKED) {
        let path = format!("/directory/{directory}/object");
        assert_eq!(get(cache.traffic, HOST, &path, &[]).await.source(), Source::Miss, "{path} is gone");
    }
    stop.cancel();
    worker.await.expect("no panic");
    bans.sort_unstable();
    let (sent, batches) = (purger.directories.load(Ordering::Relaxed), purger.batches.load(Ordering::Relaxed));
    println!(
        "{count} directories, {sent} with their repeats, in {batches} bans: {:.1} in each",
        sent as f64 / batches as f64
    );
    println!(
        "MAIN.bans, {} samples: median {}, p99 {}, most {}",
        bans.len(),
        bans[bans.len() / 2],
        bans[bans.len() * 99 / 100],
        bans[bans.len() - 1]
    );
    for (when, [purged, control]) in [("before", quiet), ("during", busy)] {
        println!("{when}: {purged}; on a Varnish that is not purged, in turn with it: {control}");
    }
}

/// A Varnish behind the usual bounded fence.
fn varnish() -> Node {
    let [first, second, last] = REPEATS.map(Duration::from_secs);
    let fence = BoundedFence::new(vec![first, second], last).expect("a schedule that rises");
    Node { fence: Fence::Bounded(fence), ..node("varnish") }
}

/// A relay over a log in memory.
async fn engine(node: &Arc<Node>) -> (MemStore, Engine) {
    let (store, log) = MemStore::new();
    let nodes = [Arc::clone(node)];
    let cursors = store.cursors(&nodes).await.expect("memory never fails");
    let log: Arc<dyn Log> = Arc::new(log);
    let engine = Engine {
        log: Arc::clone(&log),
        store: Arc::new(store.clone()),
        clock: Arc::new(SystemClock::new()),
        board: Arc::new(Board::new(&nodes, cursors, log)),
        observer: Arc::new(Shown),
        retry: RetryPolicy::default(),
    };
    (store, engine)
}

async fn fill(cache: &RealCache, objects: u64) {
    let mut stream = TcpStream::connect(cache.traffic).await.expect("it listens");
    for object in 0..objects {
        ask(&mut stream, object).await;
    }
}

/// Asks for one object over a kept connection.
async fn ask(stream: &mut TcpStream, object: u64) {
    let request = format!("GET /kept/{object}/page.html HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\nv1") {
        assert_ne!(stream.read_buf(&mut answer).await.expect("read"), 0, "it closed");
    }
}

/// Hits on each cache in turn, one at a time, spread over the objects.
async fn hits(caches: [&RealCache; 2], objects: u64, time: Duration) -> [Hits; 2] {
    let mut taken = [Vec::new(), Vec::new()];
    let mut streams = Vec::new();
    for cache in caches {
        let stream = TcpStream::connect(cache.traffic).await.expect("it listens");
        stream.set_nodelay(true).expect("a socket");
        streams.push(stream);
    }
    let (start, mut object) = (Instant::now(), 0);
    while start.elapsed() < time {
        for (stream, taken) in streams.iter_mut().zip(&mut taken) {
            let began = Instant::now();
            ask(stream, object).await;
            taken.push(began.elapsed());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        object = (object + 7_919) % objects;
    }
    taken.map(|mut taken| {
        taken.sort_unstable();
        Hits(taken)
    })
}

/// Submits directories evenly, in tasks of one, and returns how many.
async fn submit(store: MemStore, cache: Arc<RealCache>, time: Duration, per_minute: u64) -> usize {
    let pause = Duration::from_secs(60) / u32::try_from(per_minute).expect("a rate");
    let mut every = tokio::time::interval(pause);
    let start = Instant::now();
    for directory in 0.. {
        every.tick().await;
        if start.elapsed() >= time {
            return directory;
        }
        if directory % CHECKED == 0 {
            get(cache.traffic, HOST, &format!("/directory/{directory}/object"), &[]).await;
        }
        let url = format!("http://{HOST}/directory/{directory}/");
        let mut plan = plan(directory as u64, &[&url], AreaSet::One(Area::Mainland));
        plan.task.kind = TaskKind::Path;
        store.submit(plan).await.expect("memory never fails");
    }
    0
}

/// The length of the ban list, five times a second.
async fn sample(directory: impl AsRef<Path> + Send, ended: Arc<AtomicBool>) -> Vec<u64> {
    let mut every = tokio::time::interval(Duration::from_millis(200));
    let mut bans = Vec::new();
    while !ended.load(Ordering::Relaxed) {
        every.tick().await;
        let mut stat = tokio::process::Command::new("varnishstat");
        let shown =
            stat.arg("-n").arg(directory.as_ref()).args(["-1", "-f", "MAIN.bans"]).output().await.expect("varnishstat");
        let text = String::from_utf8(shown.stdout).expect("text");
        bans.push(text.split_whitespace().nth(1).and_then(|it| it.parse().ok()).expect("MAIN.bans"));
    }
    bans
}
