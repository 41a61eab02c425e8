//! What the purge of a directory costs in caches of different size.
//!
//! What this is: caches of 10,000, 100,000 and 1,000,000 files in nginx's format, written here; in each,
//! 1,000 lie below one directory, and that is purged again and again over the control protocol, as a relay
//! does it. One tenth of the others are queries of a single path. Printed: the walk at the start, the
//! memory of the index, and the time of a purge. What this is not: nginx, which has no part in a purge.
//!
//!     cargo run --release -p catharsis-agent --example prefix [DIRECTORY]
#![expect(clippy::unwrap_used, reason = "whoever runs this sees why it ended")]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use catharsis_adapters::purger::edge::EdgePurger;
use catharsis_adapters::purger::{HttpLimits, NodeAddress};
use catharsis_agent::nginx::{ABILITIES, NginxAgent, NginxAgentConfig};
use catharsis_core::clock::UnixMillis;
use catharsis_core::invalidation::{Invalidation, Seq};
use catharsis_core::ports::Purger;
use catharsis_core::receipt::Outcome;
use catharsis_core::target::{CachePrefix, CacheUrl, Encode, Mode, Target};
use catharsis_core::task::TaskId;
use catharsis_edge::protocol::{DomainTable, LogId};
use md5::{Digest, Md5};

const MATCHING: usize = 1_000;
const ROUNDS: usize = 7;

fn key_of(at: usize) -> String {
    match at {
        0..MATCHING => format!("www.a.test/match/{:02}/object-{at}.html", at % 37),
        _ if at.is_multiple_of(10) => format!("www.a.test/page?id={at}&session=0123456789"),
        _ => format!("www.a.test/other/{:03}/object-{at}.html", at % 997),
    }
}

/// Where nginx keeps a key's file, levels 1:2.
fn place(directory: &Path, key: &str) -> PathBuf {
    let name: String = Md5::digest(key).iter().map(|byte| format!("{byte:02x}")).collect();
    directory.join(&name[31..]).join(&name[29..31]).join(name)
}

/// Writes a file as nginx 1.22 does.
fn store(directory: &Path, key: &str) {
    let path = place(directory, key);
    let below = path.parent().unwrap();
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap();
    let start = u16::try_from(336 + 6 + key.len() + 1).unwrap();
    let mut file = vec![0; 336];
    file[..8].copy_from_slice(&5_u64.to_ne_bytes());
    file[8..16].copy_from_slice(&(now + 3_600).to_ne_bytes());
    file[40..48].copy_from_slice(&now.to_ne_bytes());
    file[54..56].copy_from_slice(&start.to_ne_bytes());
    file[56..58].copy_from_slice(&(start + 19).to_ne_bytes());
    file.extend(format!("\nKEY: {key}\nHTTP/1.1 200 OK\r\n\r\n").into_bytes());
    // Moved into place whole, as nginx does it: a file that is found empty is taken for none of the cache's.
    let temp = path.with_extension("0000000001");
    if std::fs::write(&temp, &file).is_err() {
        std::fs::create_dir_all(below).unwrap();
        std::fs::write(&temp, file).unwrap();
    }
    std::fs::rename(temp, path).unwrap();
}

/// Processor time of all threads of this process so far.
fn cpu() -> Duration {
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    let of = |thread: std::io::Result<std::fs::DirEntry>| -> Option<u64> {
        let text = std::fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse().ok()
    };
    Duration::from_nanos(threads.filter_map(of).sum())
}

/// Resident memory in bytes.
fn memory() -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1_024
}

fn order(target: Target) -> [Invalidation; 1] {
    let task = TaskId::new(UnixMillis(0), 1);
    [Invalidation { seq: Seq(1), task, target: target.into(), mode: Mode::Delete, accepted_at: UnixMillis(0) }]
}

fn middle(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1_000.0
}

async fn measure(around: &Path, files: usize) {
    let directory = tempfile::tempdir_in(around).unwrap();
    (0..files).for_each(|at| store(directory.path(), &key_of(at)));
    let before = memory();
    let began = Instant::now();
    let control = "127.0.0.1:0".parse().unwrap();
    let (levels, key) = ("1:2".parse().unwrap(), "$host$request_uri".parse().unwrap());
    let config = NginxAgentConfig::new("bench", control, directory.path().to_owned(), levels, key);
    let agent = NginxAgent::start(config).await.unwrap();
    let limits = HttpLimits { batch: Duration::from_secs(60), ..HttpLimits::default() };
    let purger = EdgePurger::new(NodeAddress::from(agent.control_addr()), limits, "bench", None).unwrap();
    let purger = purger.for_agent(ABILITIES);
    purger.serve_domains(&DomainTable::new(LogId::new("bench").unwrap(), 1, Vec::new()).unwrap()).await.unwrap();
    let nothing = order(Target::Url(CacheUrl::parse("http://www.a.test/none", Encode::AsSubmitted).unwrap()));
    while purger.apply(&nothing).await != [Outcome::Absent] {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let walk = began.elapsed();
    let bytes = memory().saturating_sub(before);

    let purge = order(Target::Prefix(CachePrefix::parse("http://www.a.test/match/", Encode::AsSubmitted).unwrap()));
    let (mut wall, mut work) = (Vec::new(), Vec::new());
    for _round in 0..ROUNDS {
        (0..MATCHING).for_each(|at| store(directory.path(), &key_of(at)));
        // What was just written is taken in first: that is not the purge.
        assert_eq!(purger.apply(&nothing).await, [Outcome::Absent]);
        let (began, spent) = (Instant::now(), cpu());
        assert_eq!(purger.apply(&purge).await, [Outcome::counted(u32::try_from(MATCHING).unwrap())]);
        wall.push(began.elapsed());
        work.push(cpu().saturating_sub(spent));
        let left = (0..MATCHING).filter(|at| place(directory.path(), &key_of(*at)).exists()).count();
        assert_eq!(left, 0, "files that the purge left");
    }
    assert_eq!(purger.apply(&purge).await, [Outcome::Absent]);
    println!(
        "| {files} | {:.1} s | {} B | {:.1} ms | {:.1} ms |",
        walk.as_secs_f64(),
        bytes / files as u64,
        middle(wall),
        middle(work)
    );
    agent.stop().await;
}

#[tokio::main]
async fn main() {
    let around = std::env::args().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    println!("| files | walk | memory a file | purge of {MATCHING}, time | the same, processor |");
    println!("|---|---|---|---|---|");
    for files in [10_000, 100_000, 1_000_000] {
        measure(&around, files).await;
    }
}
