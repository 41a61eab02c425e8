//! A hit on the built-in edge, beside Varnish and nginx with the same object.

use std::path::Path;
use std::sync::Arc;

use catharsis_testkit::caches::{RealCache, Relay};
use catharsis_testkit::client::get;
use catharsis_testkit::origin::Origin;

use super::Row;
use super::load::Load;
use super::rows::{ROUNDS, Series, cost, say};
use super::server::Server;

/// Hits of a round on each.
const HITS: usize = 100_000;

pub(super) async fn row(binary: &Path) -> anyhow::Result<Row> {
    let folder = tempfile::tempdir()?;
    let origin = Origin::start().await;
    origin.set_padding("/hit", 1_022);
    let free = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let config = format!(
        "[ops]\nlisten = \"127.0.0.1:0\"\n[log]\nformat = \"json\"\n[[edge]]\nname = \"edge\"\nlease = \"none\"\nlisten = \"{free}\"\n\
         control = \"127.0.0.1:0\"\n[[edge.route]]\nhost = \"*\"\nupstream = \"{}\"\n",
        origin.address()
    );
    let edge = Server::start(binary, folder.path(), &config)?;
    let varnish = RealCache::varnish(origin.address(), Relay::Allowed).await;
    // By default it closes a connection after a thousand requests, which is not what is measured here.
    let kept = |configuration: String| configuration.replacen("http {", "http {\nkeepalive_requests 100000000;", 1);
    let nginx = RealCache::nginx_edited(origin.address(), Relay::Allowed, kept).await;
    let mut caches = [
        (free, edge.process_id(), Series::default()),
        (varnish.traffic, varnish.process_id(), Series::default()),
        (nginx.traffic, nginx.process_id(), Series::default()),
    ];
    for round in 1..=ROUNDS {
        say(&format!("round {round} of {ROUNDS}: {HITS} hits of 1 KB on the edge, on Varnish and on nginx"));
        for (address, process, series) in &mut caches {
            let requests = Arc::new(vec![b"GET /hit HTTP/1.1\r\nHost: www.bench.test\r\n\r\n".to_vec()]);
            let load = Load { address: *address, connections: 32, depth: 1, requests, total: HITS, expect: "v1" };
            get(*address, "www.bench.test", "/hit", &[]).await;
            series.push(cost(*process, &load).await?);
        }
    }
    let [edge, varnish, nginx] =
        caches.map(|(_, _, series)| format!("{:.1} µs CPU, {:.0}/s", series.micros(), series.rate()));
    Ok(Row {
        work: "hit on the built-in edge, 1 KB, 32 connections".to_owned(),
        figure: edge,
        budget: "≤ 22 µs CPU",
        limit: format!("Varnish {varnish}; nginx {nginx}"),
    })
}
