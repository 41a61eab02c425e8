//! The kinds of caches that purges are delivered to. A further one is one more entry of [`KINDS`].
//!
//! What this is: how each is started, how the relay is told of it, and how a bare load generator asks it for the
//! same purges. Not what is made of the figures.

use std::any::Any;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;

use catharsis_testkit::caches::{RealCache, Relay};
use catharsis_testkit::origin::Origin;
use serde_json::json;

use super::rows::folder_beside;
use super::server::Server;

/// The domain whose URLs are purged.
pub(super) const HOST: &str = "www.bench.test";

/// A kind of cache.
pub(super) struct Kind {
    /// As people call it.
    pub name: &'static str,
    /// The keys of such a node in the configuration, but for its name, area and address.
    pub node: &'static str,
    /// Starts one. The binary is that of this project.
    pub start: for<'a> fn(&'a Path) -> Starting<'a>,
    /// Purges in a backlog, and in a round of the bare load generator: some seconds' worth.
    pub purges: usize,
    /// How the bare load generator asks it.
    pub bare: Bare,
}

/// How a bare load generator asks a kind of cache.
pub(super) struct Bare {
    /// Connections, and requests under way on each, that are tried; what counts is the best of them. The first
    /// is what the relay itself does.
    pub shapes: &'static [(usize, usize)],
    /// Purges in one request.
    pub purges: usize,
    /// Requests that make up one purge, where it takes several.
    pub requests: usize,
    /// The request with this number, from 0, in this run.
    pub request: fn(run: usize, number: usize) -> Vec<u8>,
    /// What every answer holds.
    pub expect: &'static str,
}

/// A cache that starts.
pub(super) type Starting<'a> = Pin<Box<dyn Future<Output = anyhow::Result<Running>> + 'a>>;

/// A cache that runs. Ends when dropped.
pub(super) struct Running {
    /// Where it takes purges.
    pub purge: SocketAddr,
    /// Its process, whose children may do the work.
    pub process: u32,
    _held: Box<dyn Any>,
}

/// All kinds, in the order of the rows.
pub(super) const KINDS: &[Kind] = &[
    Kind {
        name: "Varnish",
        node: "kind = \"varnish\"\nfence = { kind = \"none\" }",
        start: |_| Box::pin(real(async |origin| RealCache::varnish(origin, Relay::Allowed).await)),
        purges: 200_000,
        bare: Bare {
            shapes: &[(4, 64), (4, 16), (8, 64)],
            purges: 1,
            requests: 1,
            request: purge,
            expect: "HTTP/1.1 404",
        },
    },
    Kind {
        name: "nginx with the purge module",
        node: "kind = \"nginx\"\njoin = \"empty\"\nfence = { kind = \"none\" }",
        start: |_| Box::pin(real(async |origin| RealCache::nginx(origin, Relay::Allowed).await)),
        purges: 200_000,
        bare: Bare {
            shapes: &[(4, 64), (4, 16), (16, 1)],
            purges: 1,
            requests: 1,
            request: purge,
            expect: "HTTP/1.1 404",
        },
    },
    Kind {
        name: "Traffic Server",
        node: "kind = \"trafficserver\"\njoin = \"empty\"\nfence = { kind = \"none\" }",
        start: |_| Box::pin(real(traffic_server)),
        purges: 200_000,
        bare: Bare {
            shapes: &[(4, 64), (4, 16), (16, 16)],
            purges: 1,
            requests: 1,
            request: purge,
            expect: "404 Not Found\r\n",
        },
    },
    Kind {
        name: "Squid",
        node: "kind = \"squid\"\njoin = \"empty\"\nfence = { kind = \"none\" }",
        start: |_| Box::pin(real(async |origin| RealCache::squid(origin, Relay::Allowed).await)),
        purges: 60_000,
        bare: Bare {
            shapes: &[(4, 64), (4, 16), (16, 1)],
            purges: 1,
            requests: 2,
            request: both_ports,
            expect: " 404 ",
        },
    },
    Kind {
        name: "agent of an nginx",
        node: "kind = \"nginx-agent\"\nfence = { kind = \"none\" }",
        start: |binary| Box::pin(nginx_agent(binary)),
        purges: 200_000,
        bare: Bare { shapes: &[(1, 1), (1, 2)], purges: ORDER, requests: 1, request: order, expect: "outcomes" },
    },
    Kind {
        name: "agent of a Squid",
        node: "kind = \"squid-agent\"",
        start: |binary| Box::pin(squid_agent(binary)),
        purges: 200_000,
        bare: Bare { shapes: &[(1, 1), (1, 2)], purges: ORDER, requests: 1, request: order, expect: "outcomes" },
    },
    Kind {
        name: "built-in edge",
        node: "kind = \"edge\"",
        start: |binary| Box::pin(edge(binary)),
        purges: 200_000,
        bare: Bare { shapes: &[(1, 1), (1, 2)], purges: ORDER, requests: 1, request: order, expect: "outcomes" },
    },
];

/// Invalidations in an order of the bare load generator: as many as the relay puts into one.
const ORDER: usize = 2_048;

async fn real(start: impl AsyncFnOnce(SocketAddr) -> RealCache) -> anyhow::Result<Running> {
    let origin = Origin::start().await;
    let cache = start(origin.address()).await;
    Ok(Running { purge: cache.purge, process: cache.process_id(), _held: Box::new((cache, origin)) })
}

async fn traffic_server(origin: SocketAddr) -> RealCache {
    // It takes purges of hosts that it maps only.
    let mapped =
        |name: &str, text: String| if name == "remap.config" { text.replace("www.a.test", HOST) } else { text };
    RealCache::trafficserver_edited(origin, Relay::Allowed, mapped).await
}

async fn edge(binary: &Path) -> anyhow::Result<Running> {
    let origin = Origin::start().await;
    let folder = tempfile::tempdir()?;
    let (traffic, purge) = (free()?, free()?);
    let config = format!(
        "[ops]\nlisten = \"127.0.0.1:0\"\n[log]\nformat = \"json\"\n[[edge]]\nname = \"edge\"\nlease = \"none\"\nlisten = \"{traffic}\"\n\
         control = \"{purge}\"\n[[edge.route]]\nhost = \"*\"\nupstream = \"{}\"\n",
        origin.address()
    );
    let server = Server::start(binary, folder.path(), &config)?;
    Ok(Running { purge, process: server.process_id(), _held: Box::new((server, folder, origin)) })
}

/// What is measured there is the agent alone, which holds an index of what its nginx keeps: nothing.
async fn nginx_agent(binary: &Path) -> anyhow::Result<Running> {
    let origin = Origin::start().await;
    let cache = RealCache::nginx_stock(origin.address()).await;
    let cache_dir = cache.cache_dir();
    let section = format!("kind = \"nginx\"\ncache_dir = {cache_dir:?}\nkey = \"$scheme://$http_host$request_uri\"");
    agent(binary, &section, Box::new((cache, origin)))
}

/// What is measured there is the agent alone: it names what its Squid keeps, which is not told.
async fn squid_agent(binary: &Path) -> anyhow::Result<Running> {
    let section = format!("kind = \"squid\"\nhelper = \"{}\"\njournal = \"journal\"", free()?);
    agent(binary, &section, Box::new(()))
}

fn agent(binary: &Path, section: &str, cache: Box<dyn Any>) -> anyhow::Result<Running> {
    let folder = folder_beside(binary)?;
    let section = section.replace("\"journal\"", &format!("{:?}", folder.path().join("journal")));
    let purge = free()?;
    let config = format!(
        "[ops]\nlisten = \"127.0.0.1:0\"\n[log]\nformat = \"json\"\n[[agent]]\nname = \"agent\"\n\
         control = \"{purge}\"\n{section}\n"
    );
    let server = Server::start(binary, folder.path(), &config)?;
    Ok(Running { purge, process: server.process_id(), _held: Box::new((server, folder, cache)) })
}

fn free() -> anyhow::Result<SocketAddr> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// As long as what the backlog holds.
fn path(number: usize) -> String {
    format!("/assets/bare/{:04}/{:06}/picture-large.webp?v=3", number / 1_000, number % 1_000)
}

fn purge(_run: usize, number: usize) -> Vec<u8> {
    format!("PURGE {} HTTP/1.1\r\nHost: {HOST}\r\n\r\n", path(number)).into_bytes()
}

/// A purge of a Squid is one request for each port that its clients may name.
fn both_ports(_run: usize, number: usize) -> Vec<u8> {
    let host = if number.is_multiple_of(2) { HOST.to_owned() } else { format!("{HOST}:443") };
    format!("PURGE {} HTTP/1.1\r\nHost: {host}\r\n\r\n", path(number / 2)).into_bytes()
}

fn order(run: usize, number: usize) -> Vec<u8> {
    let one = |number: usize| {
        let url = json!({ "host": HOST, "scheme": "http", "paths": [path(number)] });
        json!({ "seq": number + 1, "mode": "delete", "target": { "url": url } })
    };
    let (first, next) = (number * ORDER, (number + 1) * ORDER);
    // A log of its own for each run: its positions begin anew.
    let log = format!("bench-{run}");
    let body = json!({ "log": log, "upto": next, "invalidations": (first..next).map(one).collect::<Vec<_>>() });
    let body = body.to_string();
    format!(
        "POST /v1/invalidations HTTP/1.1\r\nHost: edge\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}
