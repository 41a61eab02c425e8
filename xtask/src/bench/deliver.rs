//! Delivering to one node of each kind: a backlog by the relay, beside a bare load generator on the same cache.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::bail;

use super::Row;
use super::kinds::{Bare, HOST, KINDS, Kind, Running};
use super::load::{Load, send};
use super::machine::{ALL, OF_THE_CACHE, OF_WHO_TELLS, cpu_of, cpu_of_tree, pin};
use super::rows::{ACCEPTED, ROUNDS, backlog, folder_beside, median, micros_each, purges, say, until_settled};
use super::server::{Server, api_config, root};

/// How long a node may take to be told the first purge.
const BEGIN_MAX: Duration = Duration::from_secs(30);

/// The configuration of a server with one node.
pub(super) fn node(folder: &Path, kind: &Kind, address: &str) -> String {
    let text = format!("[[node]]\nname = \"one\"\narea = \"mainland\"\naddress = \"{address}\"\n{}\n", kind.node);
    api_config(folder, &text)
}

/// One way to tell a cache, in one round.
struct Told {
    /// Microseconds of processor time for each purge: of who tells, and of the cache.
    own: f64,
    cache: f64,
    /// Purges a second.
    rate: f64,
}

/// The medians of one way in all rounds.
fn medians(rounds: &[Told]) -> Told {
    let of = |field: fn(&Told) -> f64| median(rounds.iter().map(field));
    Told { own: of(|it| it.own), cache: of(|it| it.cache), rate: of(|it| it.rate) }
}

pub(super) async fn rows(binary: &Path) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for kind in KINDS {
        let row = row(binary, kind).await?;
        say(&row.figure);
        say(&row.limit);
        rows.push(row);
    }
    pin(std::process::id(), ALL)?;
    Ok(rows)
}

async fn row(binary: &Path, kind: &Kind) -> anyhow::Result<Row> {
    let Kind { name, purges, bare, .. } = kind;
    let cache = (kind.start)(binary).await?;
    // The cache is one of this process's children: it comes last.
    pin(std::process::id(), OF_WHO_TELLS)?;
    pin(cache.process, OF_THE_CACHE)?;
    let mut relayed = Vec::new();
    let mut bares: Vec<Vec<Told>> = bare.shapes.iter().map(|_| Vec::new()).collect();
    for round in 1..=ROUNDS {
        say(&format!(
            "round {round} of {ROUNDS}: {purges} purges to one {name}, and the same by a bare load generator"
        ));
        relayed.push(one_backlog(binary, kind, &cache).await?);
        for (place, shape) in bare.shapes.iter().enumerate() {
            bares[place].push(one_bare(kind, &cache, *shape, round * bare.shapes.len() + place).await?);
        }
    }
    let relay = medians(&relayed);
    let all = bare.shapes.iter().zip(&bares).map(|(shape, rounds)| (*shape, medians(rounds)));
    let best = all.max_by(|(_, a), (_, b)| a.rate.total_cmp(&b.rate));
    let Some(((connections, depth), best)) = best else { bail!("{name} has no shape of a bare load generator") };
    Ok(Row {
        work: format!("deliver one purge to one {name} ({purges} in a backlog, receipts durable)"),
        figure: format!(
            "relay {:.1} µs CPU, {name} {:.1} µs; {:.0}/s, {:.0} % of the bare rate",
            relay.own,
            relay.cache,
            relay.rate,
            100.0 * relay.rate / best.rate
        ),
        budget: "relay ≤ 6 µs CPU; ≥ 90 % of the bare rate",
        limit: format!(
            "bare load generator, {}: {:.1} µs CPU, {name} {:.1} µs; {:.0}/s",
            shape_text(bare, connections, depth),
            best.own,
            best.cache,
            best.rate
        ),
    })
}

fn shape_text(bare: &Bare, connections: usize, depth: usize) -> String {
    let of = match (bare.purges, bare.requests) {
        (1, 1) => String::new(),
        (1, several) => format!(" (a purge is {several})"),
        (purges, _) => format!(" of {purges} purges"),
    };
    let tried = bare.shapes.len();
    format!("best of {tried} shapes: connections {connections}, requests{of} under way on each {depth}")
}

async fn one_backlog(binary: &Path, kind: &Kind, cache: &Running) -> anyhow::Result<Told> {
    let folder = folder_beside(binary)?;
    let server = Server::start(binary, folder.path(), &node(folder.path(), kind, "127.0.0.1:1"))?;
    let address = server.api()?;
    let total = kind.purges / 1_000;
    let requests = purges(address, &root(), 1_000, HOST, total)?;
    send(&Load { address, connections: 4, depth: 1, requests, total, expect: ACCEPTED }).await?;
    drop(server);

    let server = Server::start(binary, folder.path(), &node(folder.path(), kind, &cache.purge.to_string()))?;
    pin(server.process_id(), OF_WHO_TELLS)?;
    // The server may look at its node first: what counts is from the first receipt that is seen to the last.
    let left = begun(&server, kind.purges).await?;
    let started = Instant::now();
    let cpu = || [server.process_id(), cache.process].map(cpu_of_tree);
    let before = cpu();
    until_settled(server.ops).await?;
    let took = started.elapsed();
    let after = cpu();
    let [own, cache] = [0, 1].map(|process| micros_each(after[process].saturating_sub(before[process]), left));
    Ok(Told { own, cache, rate: left as f64 / took.as_secs_f64() })
}

/// What is left as soon as the first purges are seen to be settled.
async fn begun(server: &Server, all: usize) -> anyhow::Result<usize> {
    let deadline = Instant::now() + BEGIN_MAX;
    loop {
        let left = backlog(server.ops).await?;
        if left < all / 2 {
            bail!("half of the backlog was delivered before it could be looked at");
        }
        if left < all {
            return Ok(left);
        }
        if Instant::now() > deadline {
            bail!("nothing is delivered");
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// The same number of purges by the load generator. Its requests are made before; it keeps nothing.
async fn one_bare(
    kind: &Kind,
    cache: &Running,
    (connections, depth): (usize, usize),
    run: usize,
) -> anyhow::Result<Told> {
    let Bare { purges, requests: asks, request, expect, .. } = kind.bare;
    let total = kind.purges * asks / purges / connections * connections;
    let requests = Arc::new((0..total).map(|number| request(run, number)).collect());
    let load = Load { address: cache.purge, connections, depth, requests, total, expect };
    let cpu = || [cpu_of(std::process::id()), cpu_of_tree(cache.process)];
    let before = cpu();
    let done = send(&load).await?;
    let after = cpu();
    let count = done.count * purges / asks;
    let [own, cache] = [0, 1].map(|process| micros_each(after[process].saturating_sub(before[process]), count));
    Ok(Told { own, cache, rate: count as f64 / done.took.as_secs_f64() })
}
