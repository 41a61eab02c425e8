//! The rows: each does its work, its limit's work, and says both.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use catharsis_testkit::caches::{RealCache, Relay};
use catharsis_testkit::client::get;
use catharsis_testkit::origin::Origin;
use serde_json::json;

use super::Row;
use super::load::{Done, Load, send};
use super::machine::{cpu_of_tree, flushes_a_second, resident_mib};
use super::server::{Server, api_config, signed};

const ONE_URL_CALLS: usize = 100_000;
const THOUSAND_URL_CALLS: usize = 2_000;
const PURGES: usize = 100_000;
const HITS: usize = 200_000;
const ACCEPTED: &str = "TaskId";
const REFUSED: &str = "CdnHostNotExists";

/// A load and the processor time that it cost a process and its children.
struct Cost {
    done: Done,
    cpu: Duration,
}

impl Cost {
    fn micros(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.done.count as f64
    }
}

async fn cost(process: u32, load: &Load) -> anyhow::Result<Cost> {
    let before = cpu_of_tree(process);
    let done = send(load).await?;
    Ok(Cost { done, cpu: cpu_of_tree(process).saturating_sub(before) })
}

/// All rows, in order.
///
/// # Errors
/// When a part cannot be started or answers otherwise than it should.
pub(super) async fn all(binary: &Path) -> anyhow::Result<Vec<Row>> {
    // Beside the binary: on the disk that is measured, not on a memory disk.
    let folder = tempfile::tempdir_in(binary.parent().context("the binary is in a folder")?)?;
    let mut rows = Vec::new();
    rows.extend(accept(binary, folder.path()).await?);
    rows.extend(deliver(binary).await?);
    rows.push(idle_latency(binary).await?);
    rows.extend(hits(binary).await?);
    Ok(rows)
}

fn say(text: &str) {
    println!("… {text}");
}

fn requests(api: SocketAddr, urls: usize, host: &str, variants: usize) -> anyhow::Result<Arc<Vec<Vec<u8>>>> {
    let mut requests = Vec::with_capacity(variants);
    for variant in 0..variants {
        // All hosts but the last URL's are the account's: a refusal comes after all the work but the store's.
        let mut list: Vec<String> = (1..urls)
            .map(|number| format!("http://www.bench.test/assets/2026/{variant:04}/{number:06}/picture-large.webp?v=3"))
            .collect();
        list.push(format!("http://{host}/assets/2026/{variant:04}/last/picture-large.webp?v=3"));
        requests.push(signed(api, "PurgeUrlsCache", &json!({ "Urls": list }))?);
    }
    Ok(Arc::new(requests))
}

/// Accepting, beside the same server without its store, and what the store then answers.
async fn accept(binary: &Path, folder: &Path) -> anyhow::Result<Vec<Row>> {
    say("the disk's flush rate");
    let flushes = flushes_a_second(folder)?;
    // Nobody listens there: what is accepted stays open.
    let away = "[[node]]\nname = \"away\"\narea = \"mainland\"\nkind = \"varnish\"\naddress = \"127.0.0.1:1\"\n";
    let server = Server::start(binary, folder, &api_config(folder, away))?;
    let (api, process) = (server.api()?, server.process_id());
    let mut rows = Vec::new();
    for (urls, calls, connections, budget) in
        [(1, ONE_URL_CALLS, 64, "≤ 50 µs CPU"), (1_000, THOUSAND_URL_CALLS, 8, "≤ 0.8 µs CPU a URL")]
    {
        say(&format!("accepting {calls} calls of {urls} URLs, then the same calls refused before the store"));
        let load = |host: &str, expect| -> anyhow::Result<Load> {
            let requests = requests(api, urls, host, 64)?;
            Ok(Load { address: api, connections, depth: 1, requests, total: calls, expect })
        };
        let with = cost(process, &load("www.bench.test", ACCEPTED)?).await?;
        let without = cost(process, &load("nowhere.test", REFUSED)?).await?;
        let each = |cost: &Cost| cost.micros() / urls as f64;
        let unit = if urls == 1 { "a call" } else { "a URL" };
        rows.push(Row {
            work: format!("accept a signed {urls}-URL purge, durable ({connections} connections)"),
            figure: format!(
                "{:.2} µs CPU {unit}; {:.0} calls/s; p50 {:.1} ms, p99 {:.1} ms",
                each(&with),
                with.done.rate(),
                millis(with.done.percentile(50)),
                millis(with.done.percentile(99))
            ),
            budget,
            limit: format!(
                "refused after all but the store: {:.2} µs, {:.0} calls/s; the disk: {flushes:.0} flushes/s",
                each(&without),
                without.done.rate()
            ),
        });
    }
    let stored = ONE_URL_CALLS + THOUSAND_URL_CALLS * 1_000;
    rows.push(page(api, stored).await?);
    rows.push(Row {
        work: format!("memory of the server with {stored} open items"),
        figure: format!("{} MiB resident", resident_mib(process)),
        budget: "≤ 256 MB with 10⁶",
        limit: "-".to_owned(),
    });
    Ok(rows)
}

async fn page(api: SocketAddr, stored: usize) -> anyhow::Result<Row> {
    say("pages of the history");
    let parameters = json!({ "StartTime": "2020-01-01 00:00:00", "Offset": 20, "Limit": 20 });
    let request = signed(api, "DescribePurgeTasks", &parameters)?;
    let load = Load {
        address: api,
        connections: 1,
        depth: 1,
        requests: Arc::new(vec![request]),
        total: 200,
        expect: "TotalCount",
    };
    let done = send(&load).await?;
    Ok(Row {
        work: format!("DescribePurgeTasks, {stored} URLs stored, 20 rows from the 20th and the total"),
        figure: format!("p50 {:.1} ms, p99 {:.1} ms", millis(done.percentile(50)), millis(done.percentile(99))),
        budget: "p99 ≤ 50 ms with 10 M",
        limit: "-".to_owned(),
    })
}

/// Delivering a backlog to one Varnish, beside a bare load generator on the same Varnish.
async fn deliver(binary: &Path) -> anyhow::Result<Vec<Row>> {
    say(&format!("delivering {PURGES} purges to one Varnish, and the same by a bare load generator"));
    let folder = tempfile::tempdir_in(binary.parent().context("the binary is in a folder")?)?;
    let node = |address: &str| {
        let text = format!(
            "[[node]]\nname = \"one\"\narea = \"mainland\"\nkind = \"varnish\"\naddress = \"{address}\"\nfence = {{ kind = \"none\" }}\n"
        );
        api_config(folder.path(), &text)
    };
    let server = Server::start(binary, folder.path(), &node("127.0.0.1:1"))?;
    let api = server.api()?;
    let batches = PURGES / 1_000;
    let requests = requests(api, 1_000, "www.bench.test", batches)?;
    send(&Load { address: api, connections: 4, depth: 1, requests, total: batches, expect: ACCEPTED }).await?;
    drop(server);

    let origin = Origin::start().await;
    let varnish = RealCache::varnish(origin.address(), Relay::Allowed).await;
    let started = Instant::now();
    let server = Server::start(binary, folder.path(), &node(&varnish.purge.to_string()))?;
    let cpu_at_start = cpu_of_tree(server.process_id());
    let varnish_before = cpu_of_tree(varnish.process_id());
    until_settled(server.ops).await?;
    let took = started.elapsed();
    let relay = (cpu_of_tree(server.process_id()) - cpu_at_start).as_secs_f64() * 1e6 / PURGES as f64;
    let cache = (cpu_of_tree(varnish.process_id()) - varnish_before).as_secs_f64() * 1e6 / PURGES as f64;
    drop(server);

    let purge = |number| format!("PURGE /bare/{number} HTTP/1.1\r\nHost: www.bench.test\r\n\r\n").into_bytes();
    let requests = Arc::new((0..PURGES).map(purge).collect());
    let load =
        Load { address: varnish.purge, connections: 4, depth: 64, requests, total: PURGES, expect: "HTTP/1.1 404" };
    let bare = cost(std::process::id(), &load).await?;
    let rate = PURGES as f64 / took.as_secs_f64();
    Ok(vec![Row {
        work: format!("deliver one purge to one Varnish ({PURGES} in a backlog, pipelined, receipts durable)"),
        figure: format!(
            "relay {relay:.1} µs CPU, Varnish {cache:.1} µs; {rate:.0}/s, {:.0} % of the bare rate",
            100.0 * rate / bare.done.rate()
        ),
        budget: "relay ≤ 6 µs CPU; ≥ 90 % of the bare rate",
        limit: format!(
            "bare load generator, 4 connections × 64: {:.1} µs CPU, {:.0}/s",
            bare.micros(),
            bare.done.rate()
        ),
    }])
}

async fn metrics(ops: SocketAddr) -> String {
    get(ops, "ops", "/metrics", &[]).await.body
}

async fn until_settled(ops: SocketAddr) -> anyhow::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let page = metrics(ops).await;
        let backlog = page.lines().find(|line| line.starts_with("catharsis_node_backlog{"));
        if backlog.is_some_and(|line| line.ends_with(" 0")) {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("the backlog was not delivered: {backlog:?}");
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Acceptance to the first purge at an idle node, a hundred calls a second.
async fn idle_latency(binary: &Path) -> anyhow::Result<Row> {
    say("acceptance to applied on an idle node, 100/s for 10 s");
    let folder = tempfile::tempdir_in(binary.parent().context("the binary is in a folder")?)?;
    let origin = Origin::start().await;
    let varnish = RealCache::varnish(origin.address(), Relay::Allowed).await;
    let node = format!(
        "[[node]]\nname = \"one\"\narea = \"mainland\"\nkind = \"varnish\"\naddress = \"{}\"\nfence = {{ kind = \"none\" }}\n",
        varnish.purge
    );
    let server = Server::start(binary, folder.path(), &api_config(folder.path(), &node))?;
    let requests = requests(server.api()?, 1, "www.bench.test", 64)?;
    let load = Load { address: server.api()?, connections: 1, depth: 1, requests, total: 1, expect: ACCEPTED };
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    for _ in 0..1_000 {
        ticks.tick().await;
        send(&load).await?;
    }
    until_settled(server.ops).await?;
    let page = metrics(server.ops).await;
    let bound =
        |share: f64| bucket(&page, share).map_or_else(|| "?".to_owned(), |seconds| format!("{:.1}", seconds * 1e3));
    Ok(Row {
        work: "accept → applied on an idle local Varnish, 100 calls/s".to_owned(),
        figure: format!("p50 ≤ {} ms, p99 ≤ {} ms (bounds of histogram buckets)", bound(0.5), bound(0.99)),
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

/// A hit on the built-in edge, beside Varnish and nginx with the same object.
async fn hits(binary: &Path) -> anyhow::Result<Vec<Row>> {
    say(&format!("{HITS} hits of 1 KB on the edge, on Varnish and on nginx"));
    let folder = tempfile::tempdir()?;
    let origin = Origin::start().await;
    origin.set_padding("/hit", 1_022);
    let free = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let config = format!(
        "[ops]\nlisten = \"127.0.0.1:0\"\n[log]\nformat = \"json\"\n[[edge]]\nname = \"edge\"\nlisten = \"{free}\"\n\
         control = \"127.0.0.1:0\"\n[[edge.route]]\nhost = \"*\"\nupstream = \"{}\"\n",
        origin.address()
    );
    let edge = Server::start(binary, folder.path(), &config)?;
    let varnish = RealCache::varnish(origin.address(), Relay::Allowed).await;
    // By default it closes a connection after a thousand requests, which is not what is measured here.
    let kept = |configuration: String| configuration.replacen("http {", "http {\nkeepalive_requests 100000000;", 1);
    let nginx = RealCache::nginx_edited(origin.address(), Relay::Allowed, kept).await;
    let mut figures = Vec::new();
    for (address, process) in
        [(free, edge.process_id()), (varnish.traffic, varnish.process_id()), (nginx.traffic, nginx.process_id())]
    {
        let request = b"GET /hit HTTP/1.1\r\nHost: www.bench.test\r\n\r\n".to_vec();
        let load =
            Load { address, connections: 32, depth: 1, requests: Arc::new(vec![request]), total: HITS, expect: "v1" };
        get(address, "www.bench.test", "/hit", &[]).await;
        let hit = cost(process, &load).await?;
        figures.push(format!("{:.1} µs CPU, {:.0}/s", hit.micros(), hit.done.rate()));
    }
    Ok(vec![Row {
        work: "hit on the built-in edge, 1 KB, 32 connections".to_owned(),
        figure: figures[0].clone(),
        budget: "≤ 22 µs CPU",
        limit: format!("Varnish {}; nginx {}", figures[1], figures[2]),
    }])
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
