//! One edge in front of one origin, for trying out and for measuring:
//! `cargo run --release --example edge -- 127.0.0.1:8080 127.0.0.1:8081 127.0.0.1:9000 1`
//! (clients, control, origin, threads). It runs until it is killed.

use std::error::Error;

use catharsis_edge::config::{HostPattern, Route, Upstream};
use catharsis_edge::{Edge, EdgeConfig};

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let mut word = |what: &str| words.next().ok_or_else(|| format!("missing: {what}"));
    let listen = word("clients' address")?.parse()?;
    let control = word("control address")?.parse()?;
    let route = Route { hosts: HostPattern::Any, upstream: Upstream::Address(word("origin's address")?.parse()?) };
    let mut config = EdgeConfig::new("example", listen, control, vec![route]);
    config.threads = word("threads")?.parse()?;
    let _edge = Edge::start(&config)?;
    loop {
        std::thread::park();
    }
}
