//! What the purge of a directory costs on built-in edges that hold more or less.
//!
//! What this is: edges of 10,000, 100,000 and 1,000,000 copies, of which 1,000 lie below one directory; that is purged
//! over the control protocol, and each copy below it is asked for again. Printed: the time until the purge is
//! answered, and the processor time of the whole process meanwhile. What this is not: the load of clients.
//!
//!     cargo run --release -p catharsis-edge --features proxy --example edge_prefix
#![expect(clippy::unwrap_used, reason = "whoever runs this sees why it ended")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use catharsis_edge::config::{HostPattern, Route, Upstream};
use catharsis_edge::{Edge, EdgeConfig};

const MATCHING: usize = 1_000;
const ROUNDS: u64 = 7;
/// Requests that are written before their answers are read; the proxy library takes no more.
const AHEAD: usize = 1;

fn path_of(at: usize) -> String {
    match at {
        0..MATCHING => format!("/match/{:02}/object-{at}.html", at % 37),
        _ if at.is_multiple_of(10) => format!("/page?id={at}&session=0123456789"),
        _ => format!("/other/{:03}/object-{at}.html", at % 997),
    }
}

/// An origin that answers each request with a page that may be kept.
fn origin() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let (mut stream, mut line) = (stream, String::new());
                while reader.read_line(&mut line).is_ok_and(|length| length > 0) {
                    let ends = line == "\r\n";
                    line.clear();
                    if ends
                        && stream
                            .write_all(b"HTTP/1.1 200 OK\r\nCache-Control: max-age=3600\r\nContent-Length: 1\r\n\r\nx")
                            .is_err()
                    {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// Asks for pages in a row; how many were hits.
fn ask(edge: SocketAddr, pages: std::ops::Range<usize>) -> usize {
    let mut stream = TcpStream::connect(edge).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut hits = 0;
    for first in pages.clone().step_by(AHEAD) {
        let some = first..(first + AHEAD).min(pages.end);
        let requests: String =
            some.clone().map(|at| format!("GET {} HTTP/1.1\r\nHost: www.a.test\r\n\r\n", path_of(at))).collect();
        stream.write_all(requests.as_bytes()).unwrap();
        for _answer in some {
            hits += usize::from(answer(&mut reader));
        }
    }
    hits
}

/// Reads one answer; whether it is a hit.
fn answer(reader: &mut BufReader<TcpStream>) -> bool {
    let (mut hit, mut length, mut line) = (false, 0, String::new());
    loop {
        line.clear();
        assert!(reader.read_line(&mut line).unwrap() > 0, "the edge closed");
        let lower = line.to_ascii_lowercase();
        if line == "\r\n" {
            break;
        }
        hit |= lower.starts_with("x-cache: hit");
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    reader.read_exact(&mut vec![0; length]).unwrap();
    hit
}

/// Purges the directory; how long that took.
fn purge(control: SocketAddr, seq: u64) -> Duration {
    let target = r#"{"prefix":{"host":"www.a.test","paths":["/match/"]}}"#;
    let body = format!(
        r#"{{"log":"bench","upto":{seq},"invalidations":[{{"seq":{seq},"mode":"delete","target":{target}}}]}}"#
    );
    let mut stream = TcpStream::connect(control).unwrap();
    let request = format!(
        "POST /v1/invalidations HTTP/1.1\r\nHost: edge\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let began = Instant::now();
    stream.write_all(request.as_bytes()).unwrap();
    let mut status = String::new();
    BufReader::new(stream).read_line(&mut status).unwrap();
    let took = began.elapsed();
    assert!(status.contains(" 200 "), "{status}");
    took
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

fn middle(mut times: Vec<Duration>) -> u128 {
    times.sort_unstable();
    times[times.len() / 2].as_micros()
}

fn measure(copies: usize) {
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    let routes = vec![Route { hosts: HostPattern::Any, upstream: Upstream::Address(origin()) }];
    let mut config = EdgeConfig::new("bench", free, free, routes);
    config.memory_bytes = 4 << 30;
    let edge = Edge::start(&config).unwrap();
    ask(edge.traffic_addr(), 0..copies);
    let (mut wall, mut work) = (Vec::new(), Vec::new());
    for seq in 1..=ROUNDS {
        assert_eq!(ask(edge.traffic_addr(), 0..MATCHING), MATCHING, "all are kept");
        let spent = cpu();
        wall.push(purge(edge.control_addr(), seq));
        work.push(cpu().saturating_sub(spent));
        assert_eq!(ask(edge.traffic_addr(), 0..MATCHING), 0, "all are gone");
    }
    println!("| {copies} | {} \u{b5}s | {} \u{b5}s |", middle(wall), middle(work));
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(edge.stop());
}

fn main() {
    println!("| copies | purge of {MATCHING}, time | the same, processor |");
    println!("|---|---|---|");
    for copies in [10_000, 100_000, 1_000_000] {
        measure(copies);
    }
}
