//! The time from acceptance to the first purge at an idle Varnish.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use catharsis_testkit::caches::{RealCache, Relay};
use catharsis_testkit::origin::Origin;

use super::Row;
use super::kinds::HOST;
use super::load::{Load, send};
use super::rows::{ACCEPTED, ROUNDS, folder_beside, median, metrics, purges, say, until_settled};
use super::server::{Server, api_config, root};

/// Calls of a round on an idle node, one each 10 ms.
const IDLE_CALLS: usize = 500;

fn config(folder: &Path, varnish: SocketAddr) -> String {
    let text = format!(
        "[[node]]\nname = \"one\"\narea = \"mainland\"\nkind = \"varnish\"\naddress = \"{varnish}\"\nfence = {{ kind = \"none\" }}\n"
    );
    api_config(folder, &text)
}

/// Acceptance to the first purge at an idle node, a hundred calls a second.
pub(super) async fn row(binary: &Path) -> anyhow::Result<Row> {
    let origin = Origin::start().await;
    let varnish = RealCache::varnish(origin.address(), Relay::Allowed).await;
    let mut bounds = Vec::new();
    for round in 1..=ROUNDS {
        say(&format!("round {round} of {ROUNDS}: acceptance to applied on an idle node, {IDLE_CALLS} calls, 100/s"));
        let folder = folder_beside(binary)?;
        let server = Server::start(binary, folder.path(), &config(folder.path(), varnish.purge))?;
        let address = server.api()?;
        let requests = purges(address, &root(), 1, HOST, 64)?;
        let load = Load { address, connections: 1, depth: 1, requests, total: 1, expect: ACCEPTED };
        let mut ticks = tokio::time::interval(Duration::from_millis(10));
        for _ in 0..IDLE_CALLS {
            ticks.tick().await;
            send(&load).await?;
        }
        until_settled(server.ops).await?;
        let page = metrics(server.ops).await;
        bounds.push([0.5, 0.99].map(|share| bucket(&page, APPLIED, share).unwrap_or(f64::NAN)));
    }
    let bound = |place: usize| 1e3 * median(bounds.iter().map(|bounds| bounds[place]));
    Ok(Row {
        work: "accept → applied on an idle local Varnish, 100 calls/s".to_owned(),
        figure: format!("p50 ≤ {:.1} ms, p99 ≤ {:.1} ms (bounds of histogram buckets)", bound(0), bound(1)),
        budget: "p50 ≤ 3 ms, p99 ≤ 15 ms",
        limit: "-".to_owned(),
    })
}

/// The histogram of first purges, and that of last receipts.
const APPLIED: &str = "catharsis_purge_applied_seconds_bucket{le=\"";
pub(super) const DONE: &str = "catharsis_purge_done_seconds_bucket{le=\"";

/// The upper bound of the bucket in which this share of the purges lies, seconds.
pub(super) fn bucket(page: &str, histogram: &str, share: f64) -> Option<f64> {
    let counts: Vec<(f64, f64)> = page
        .lines()
        .filter_map(|line| line.strip_prefix(histogram))
        .filter_map(|rest| rest.split_once("\"} "))
        .filter_map(|(bound, count)| Some((bound.parse().unwrap_or(f64::INFINITY), count.parse().ok()?)))
        .collect();
    let total = counts.last()?.1;
    counts.into_iter().find(|(_, count)| *count >= total * share).map(|(bound, _)| bound)
}
