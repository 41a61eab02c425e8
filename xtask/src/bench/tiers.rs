//! From acceptance to `done`: through two tiers of built-in edges, and behind an origin hop while old pages are on
//! their way.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use catharsis_testkit::caches::{RealCache, Relay};
use catharsis_testkit::client::get;
use catharsis_testkit::origin::Origin;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::Row;
use super::kinds::HOST;
use super::latency::{DONE, bucket};
use super::load::{Load, send};
use super::rows::{ACCEPTED, ROUNDS, folder_beside, median, metrics, purges, say};
use super::server::{Server, api_config, root};

/// Calls of a round on idle tiers, one each 10 ms.
const IDLE_CALLS: usize = 500;
/// Purges of a round behind the hop.
const PURGES_IN_FLIGHT: usize = 20;
/// How long the origin takes for the second half of a page.
const SECOND_HALF: Duration = Duration::from_millis(300);
/// How long a purge may take to be done.
const DONE_WITHIN: Duration = Duration::from_secs(30);

fn free() -> anyhow::Result<SocketAddr> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// A built-in edge in a process of its own: where clients connect, and where the relay does.
struct Edge {
    traffic: SocketAddr,
    control: SocketAddr,
    _held: (Server, tempfile::TempDir),
}

impl Edge {
    fn start(binary: &Path, upstream: SocketAddr, more: &str) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let (traffic, control) = (free()?, free()?);
        let config = format!(
            "[ops]\nlisten = \"127.0.0.1:0\"\n[log]\nformat = \"json\"\n[[edge]]\nname = \"edge\"\nlisten = \"{traffic}\"\n\
             control = \"{control}\"\n{more}\n[[edge.route]]\nhost = \"*\"\nupstream = \"{upstream}\"\n"
        );
        let server = Server::start(binary, folder.path(), &config)?;
        Ok(Self { traffic, control, _held: (server, folder) })
    }
}

fn shield(edge: &Edge) -> String {
    format!(
        "[[node]]\nname = \"above\"\narea = \"mainland\"\nkind = \"edge\"\ntier = \"shield\"\naddress = \"{}\"\n",
        edge.control
    )
}

/// Acceptance to done through a shield and an edge, with no fetch under way.
pub(super) async fn two_tiers(binary: &Path) -> anyhow::Result<Row> {
    let origin = Origin::start().await;
    let above = Edge::start(binary, origin.address(), "")?;
    let below = Edge::start(binary, above.traffic, "")?;
    let mut bounds = Vec::new();
    for round in 1..=ROUNDS {
        say(&format!("round {round} of {ROUNDS}: acceptance to done through two tiers, {IDLE_CALLS} calls, 100/s"));
        let folder = folder_beside(binary)?;
        let edge = format!(
            "[[node]]\nname = \"below\"\narea = \"mainland\"\nkind = \"edge\"\nshield = \"above\"\naddress = \"{}\"\n",
            below.control
        );
        let config = api_config(folder.path(), &(shield(&above) + &edge));
        let server = Server::start(binary, folder.path(), &config)?;
        let load = one_call(server.api()?, 64)?;
        let mut ticks = tokio::time::interval(Duration::from_millis(10));
        for _ in 0..IDLE_CALLS {
            ticks.tick().await;
            send(&load).await?;
        }
        until_done(server.ops).await?;
        let page = metrics(server.ops).await;
        bounds.push([0.5, 0.99].map(|share| bucket(&page, DONE, share).unwrap_or(f64::NAN)));
    }
    let bound = |place: usize| 1e3 * median(bounds.iter().map(|bounds| bounds[place]));
    Ok(Row {
        work: "accept → done through a shield and an edge, no fetch under way, 100 calls/s".to_owned(),
        figure: format!("p50 ≤ {:.1} ms, p99 ≤ {:.1} ms (bounds of histogram buckets)", bound(0), bound(1)),
        budget: "p99 ≤ 100 ms",
        limit: "-".to_owned(),
    })
}

/// Done at a Varnish behind an origin hop, counted from the end of the old page that was on its way.
pub(super) async fn behind_a_hop(binary: &Path) -> anyhow::Result<Row> {
    let halves = Halves::start().await?;
    let hop = Edge::start(binary, halves.address, "hop = true")?;
    let varnish = RealCache::varnish(hop.traffic, Relay::Allowed).await;
    let folder = folder_beside(binary)?;
    let cache = format!(
        "[[node]]\nname = \"one\"\narea = \"mainland\"\nkind = \"varnish\"\nshield = \"above\"\naddress = \"{}\"\n\
         fence = {{ kind = \"hop\" }}\n",
        varnish.purge
    );
    let config = api_config(folder.path(), &(shield(&hop) + &cache));
    let server = Server::start(binary, folder.path(), &config)?;
    let load = one_call(server.api()?, 1)?;
    let mut late = Vec::new();
    for round in 1..=ROUNDS {
        say(&format!(
            "round {round} of {ROUNDS}: done behind an origin hop, {PURGES_IN_FLIGHT} purges with a page on its way"
        ));
        for _ in 0..PURGES_IN_FLIGHT {
            let before = halves.ends().len();
            let old = tokio::spawn(get(varnish.traffic, HOST, PAGE, &[]));
            halves.begun(before + 1).await?;
            send(&load).await?;
            until_done(server.ops).await?;
            let done = Instant::now();
            old.await?;
            let end = halves.ends().get(before).copied().context("the origin has ended the page")?;
            if done < end {
                bail!("done before the old page had ended");
            }
            late.push(done - end);
        }
    }
    late.sort_unstable();
    let at = |percent: usize| 1e3 * late[(late.len() * percent / 100).min(late.len() - 1)].as_secs_f64();
    Ok(Row {
        work: format!(
            "the end of the old page at its origin → done, a Varnish behind an origin hop ({} purges)",
            late.len()
        ),
        figure: format!("p50 {:.1} ms, p99 {:.1} ms, looked at each 2 ms", at(50), at(99)),
        budget: "≤ the longest remaining fetch + 50 ms",
        limit: format!("the second half of the page takes {} ms", SECOND_HALF.as_millis()),
    })
}

fn one_call(address: SocketAddr, variants: usize) -> anyhow::Result<Load> {
    let requests = purges(address, &root(), 1, HOST, variants)?;
    Ok(Load { address, connections: 1, depth: 1, requests, total: 1, expect: ACCEPTED })
}

/// Waits until no node has anything left.
async fn until_done(ops: SocketAddr) -> anyhow::Result<()> {
    let deadline = Instant::now() + DONE_WITHIN;
    loop {
        let page = metrics(ops).await;
        let mut backlogs = page.lines().filter(|line| line.starts_with("catharsis_node_backlog{"));
        if backlogs.all(|line| line.ends_with(" 0")) {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("a purge is not done");
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// The page that [`purges`] purges with one variant.
const PAGE: &str = "/assets/2026/0000/last/picture-large.webp?v=3";

/// An origin that sends half of a page, and the rest later.
struct Halves {
    address: SocketAddr,
    begun: Arc<tokio::sync::watch::Sender<usize>>,
    ends: Arc<Mutex<Vec<Instant>>>,
    server: tokio::task::JoinHandle<()>,
}

impl Halves {
    async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let begun = Arc::new(tokio::sync::watch::Sender::new(0));
        let ends = Arc::new(Mutex::new(Vec::new()));
        let (beginning, ending) = (Arc::clone(&begun), Arc::clone(&ends));
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(half_and_half(stream, Arc::clone(&beginning), Arc::clone(&ending)));
            }
        });
        Ok(Self { address, begun, ends, server })
    }

    fn ends(&self) -> Vec<Instant> {
        self.ends.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    async fn begun(&self, count: usize) -> anyhow::Result<()> {
        let mut begun = self.begun.subscribe();
        tokio::time::timeout(DONE_WITHIN, begun.wait_for(|begun| *begun >= count)).await??;
        // The first half is on its way through the hop meanwhile; what was not sent yet would not be waited for.
        tokio::time::sleep(SECOND_HALF / 3).await;
        Ok(())
    }
}

impl Drop for Halves {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn half_and_half(
    mut stream: TcpStream,
    begun: Arc<tokio::sync::watch::Sender<usize>>,
    ends: Arc<Mutex<Vec<Instant>>>,
) -> std::io::Result<()> {
    let mut request = [0; 4_096];
    while stream.read(&mut request).await? > 0 {
        let half = "x".repeat(512);
        let head = "HTTP/1.1 200 OK\r\ncache-control: public, max-age=600\r\ncontent-length: 1024\r\n\r\n";
        stream.write_all(format!("{head}{half}").as_bytes()).await?;
        begun.send_modify(|begun| *begun += 1);
        tokio::time::sleep(SECOND_HALF).await;
        stream.write_all(half.as_bytes()).await?;
        ends.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(Instant::now());
    }
    Ok(())
}
