//! Delivering to one Varnish: a backlog beside a bare load generator on the same Varnish, and single purges
//! while it is idle.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::bail;
use catharsis_testkit::caches::{RealCache, Relay};
use catharsis_testkit::origin::Origin;

use super::Row;
use super::load::{Load, send};
use super::machine::{cpu_of, cpu_of_tree};
use super::rows::{
    ACCEPTED, ROUNDS, backlog as backlog_of, folder_beside, median, metrics, micros_each, purges, say, until_settled,
};
use super::server::{Server, api_config, root};

/// Purges in a backlog.
const PURGES: usize = 200_000;
/// Connections of the bare load generator, and requests under way on each.
const BARE: (usize, usize) = (4, 64);
/// Calls of a round on an idle node, one each 10 ms.
const IDLE_CALLS: usize = 500;

fn node(folder: &Path, address: &str) -> String {
    let text = format!(
        "[[node]]\nname = \"one\"\narea = \"mainland\"\nkind = \"varnish\"\naddress = \"{address}\"\nfence = {{ kind = \"none\" }}\n"
    );
    api_config(folder, &text)
}

/// One round.
struct Round {
    /// Microseconds of processor time for each purge: of the relay, of Varnish under the relay, and of the
    /// bare load generator without Varnish.
    relay: f64,
    cache: f64,
    bare: f64,
    /// Purges a second.
    rate: f64,
    bare_rate: f64,
}

pub(super) async fn backlog(binary: &Path) -> anyhow::Result<Row> {
    let origin = Origin::start().await;
    let varnish = RealCache::varnish(origin.address(), Relay::Allowed).await;
    let mut rounds = Vec::new();
    for round in 1..=ROUNDS {
        say(&format!(
            "round {round} of {ROUNDS}: {PURGES} purges to one Varnish, and the same by a bare load generator"
        ));
        rounds.push(one_backlog(binary, &varnish).await?);
    }
    let of = |field: fn(&Round) -> f64| median(rounds.iter().map(field));
    Ok(Row {
        work: format!("deliver one purge to one Varnish ({PURGES} in a backlog, pipelined, receipts durable)"),
        figure: format!(
            "relay {:.1} µs CPU, Varnish {:.1} µs; {:.0}/s, {:.0} % of the bare rate",
            of(|round| round.relay),
            of(|round| round.cache),
            of(|round| round.rate),
            of(|round| 100.0 * round.rate / round.bare_rate)
        ),
        budget: "relay ≤ 6 µs CPU; ≥ 90 % of the bare rate",
        limit: format!(
            "bare load generator, {} connections, {} under way on each: {:.1} µs CPU, {:.0}/s",
            BARE.0,
            BARE.1,
            of(|round| round.bare),
            of(|round| round.bare_rate)
        ),
    })
}

async fn one_backlog(binary: &Path, varnish: &RealCache) -> anyhow::Result<Round> {
    let folder = folder_beside(binary)?;
    let server = Server::start(binary, folder.path(), &node(folder.path(), "127.0.0.1:1"))?;
    let address = server.api()?;
    let total = PURGES / 1_000;
    let requests = purges(address, &root(), 1_000, "www.bench.test", total)?;
    send(&Load { address, connections: 4, depth: 1, requests, total, expect: ACCEPTED }).await?;
    drop(server);

    let server = Server::start(binary, folder.path(), &node(folder.path(), &varnish.purge.to_string()))?;
    // The server has started and delivers already: what counts is from the first look to the last receipt.
    let left = backlog_of(server.ops).await?;
    let started = Instant::now();
    let cpu = || [server.process_id(), varnish.process_id()].map(cpu_of_tree);
    let before = cpu();
    if left < PURGES / 2 {
        bail!("half of the backlog was delivered before it could be looked at");
    }
    until_settled(server.ops).await?;
    let took = started.elapsed();
    let after = cpu();
    let [relay, cache] = [0, 1].map(|process| micros_each(after[process].saturating_sub(before[process]), left));
    drop(server);

    let (bare, bare_rate) = bare(varnish.purge).await?;
    Ok(Round { relay, cache, bare, rate: left as f64 / took.as_secs_f64(), bare_rate })
}

/// The same number of purges by the load generator: its own processor time for each, and its rate.
async fn bare(address: SocketAddr) -> anyhow::Result<(f64, f64)> {
    let purge = |number| format!("PURGE /bare/{number} HTTP/1.1\r\nHost: www.bench.test\r\n\r\n").into_bytes();
    let requests = Arc::new((0..PURGES).map(purge).collect());
    let (connections, depth) = BARE;
    let load = Load { address, connections, depth, requests, total: PURGES, expect: "HTTP/1.1 404" };
    let before = cpu_of(std::process::id());
    let done = send(&load).await?;
    let cpu = cpu_of(std::process::id()).saturating_sub(before);
    Ok((micros_each(cpu, done.count), done.rate()))
}

/// Acceptance to the first purge at an idle node, a hundred calls a second.
pub(super) async fn idle_latency(binary: &Path) -> anyhow::Result<Row> {
    let origin = Origin::start().await;
    let varnish = RealCache::varnish(origin.address(), Relay::Allowed).await;
    let mut bounds = Vec::new();
    for round in 1..=ROUNDS {
        say(&format!("round {round} of {ROUNDS}: acceptance to applied on an idle node, {IDLE_CALLS} calls, 100/s"));
        let folder = folder_beside(binary)?;
        let server = Server::start(binary, folder.path(), &node(folder.path(), &varnish.purge.to_string()))?;
        let address = server.api()?;
        let requests = purges(address, &root(), 1, "www.bench.test", 64)?;
        let load = Load { address, connections: 1, depth: 1, requests, total: 1, expect: ACCEPTED };
        let mut ticks = tokio::time::interval(Duration::from_millis(10));
        for _ in 0..IDLE_CALLS {
            ticks.tick().await;
            send(&load).await?;
        }
        until_settled(server.ops).await?;
        let page = metrics(server.ops).await;
        bounds.push([0.5, 0.99].map(|share| bucket(&page, share).unwrap_or(f64::NAN)));
    }
    let bound = |place: usize| 1e3 * median(bounds.iter().map(|bounds| bounds[place]));
    Ok(Row {
        work: "accept → applied on an idle local Varnish, 100 calls/s".to_owned(),
        figure: format!("p50 ≤ {:.1} ms, p99 ≤ {:.1} ms (bounds of histogram buckets)", bound(0), bound(1)),
        budget: "p50 ≤ 3 ms, p99 ≤ 15 ms",
        limit: "-".to_owned(),
    })
}

/// The upper bound of the bucket in which this share of the purges lies, seconds.
fn bucket(page: &str, share: f64) -> Option<f64> {
    let counts: Vec<(f64, f64)> = page
        .lines()
        .filter_map(|line| line.strip_prefix("catharsis_purge_applied_seconds_bucket{le=\""))
        .filter_map(|rest| rest.split_once("\"} "))
        .filter_map(|(bound, count)| Some((bound.parse().unwrap_or(f64::INFINITY), count.parse().ok()?)))
        .collect();
    let total = counts.last()?.1;
    counts.into_iter().find(|(_, count)| *count >= total * share).map(|(bound, _)| bound)
}
