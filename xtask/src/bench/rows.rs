//! The rows: each does its work and its limit's work, several times in turn, and says the medians of both.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use catharsis_testkit::client::get;
use serde_json::json;

use super::load::{Done, Load, send};
use super::machine::cpu_of_tree;
use super::server::{Keys, signed};
use super::{Part, Row, accept, deliver, hits, latency, tiers};

/// Rounds of each row. What is compared is measured in turn, round by round.
pub(super) const ROUNDS: usize = 3;
/// What an accepted call holds.
pub(super) const ACCEPTED: &str = "TaskId";
/// The code of a call with a host that nobody has.
pub(super) const REFUSED: &str = "CdnHostNotExists";

/// A load and the processor time that it cost a process and its children.
pub(super) struct Cost {
    pub(super) done: Done,
    pub(super) cpu: Duration,
}

impl Cost {
    /// Microseconds of processor time for each answer.
    pub(super) fn micros(&self) -> f64 {
        micros_each(self.cpu, self.done.count)
    }
}

pub(super) async fn cost(process: u32, load: &Load) -> anyhow::Result<Cost> {
    let before = cpu_of_tree(process);
    let done = send(load).await?;
    Ok(Cost { done, cpu: cpu_of_tree(process).saturating_sub(before) })
}

/// The rounds of one kind of work.
#[derive(Default)]
pub(super) struct Series(Vec<Cost>);

impl Series {
    pub(super) fn push(&mut self, cost: Cost) {
        self.0.push(cost);
    }

    /// Microseconds of processor time for each answer.
    pub(super) fn micros(&self) -> f64 {
        median(self.0.iter().map(Cost::micros))
    }

    /// Answers a second.
    pub(super) fn rate(&self) -> f64 {
        median(self.0.iter().map(|cost| cost.done.rate()))
    }

    /// `p50 .. ms, p99 .. ms`.
    pub(super) fn latency(&self) -> String {
        let at = |percent| median(self.0.iter().map(|cost| millis(cost.done.percentile(percent))));
        format!("p50 {:.1} ms, p99 {:.1} ms", at(50), at(99))
    }
}

/// The middle one; of an even number the upper of both.
pub(super) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

pub(super) fn micros_each(cpu: Duration, count: usize) -> f64 {
    cpu.as_secs_f64() * 1e6 / count as f64
}

pub(super) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

pub(super) fn say(text: &str) {
    println!("… {text}");
}

/// A folder on the disk that is measured, not on a memory disk.
pub(super) fn folder_beside(binary: &Path) -> anyhow::Result<tempfile::TempDir> {
    Ok(tempfile::tempdir_in(binary.parent().context("the binary is in a folder")?)?)
}

/// The rows of one part, in order.
///
/// # Errors
/// When something cannot be started or answers otherwise than it should.
pub(super) async fn of(part: Part, binary: &Path) -> anyhow::Result<Vec<Row>> {
    match part {
        Part::Accept => accept::rows(binary).await,
        Part::Delivery => deliver::rows(binary).await,
        Part::Latency => {
            Ok(vec![latency::row(binary).await?, tiers::two_tiers(binary).await?, tiers::behind_a_hop(binary).await?])
        }
        Part::Hits => Ok(vec![hits::row(binary).await?]),
    }
}

/// Signed purges of so many URLs each.
pub(super) fn purges(
    api: SocketAddr,
    keys: &Keys,
    urls: usize,
    host: &str,
    variants: usize,
) -> anyhow::Result<Requests> {
    let mut requests = Vec::with_capacity(variants);
    for variant in 0..variants {
        // All hosts but the last URL's are the account's: a refusal comes after all the work but the store's.
        let mut list: Vec<String> = (1..urls)
            .map(|number| format!("http://www.bench.test/assets/2026/{variant:04}/{number:06}/picture-large.webp?v=3"))
            .collect();
        list.push(format!("http://{host}/assets/2026/{variant:04}/last/picture-large.webp?v=3"));
        requests.push(signed(api, keys, "PurgeUrlsCache", &json!({ "Urls": list }))?);
    }
    Ok(Arc::new(requests))
}

/// Requests as they stand on the wire.
pub(super) type Requests = Arc<Vec<Vec<u8>>>;

pub(super) async fn metrics(ops: SocketAddr) -> String {
    get(ops, "ops", "/metrics", &[]).await.body
}

/// Invalidations that the only node has not settled.
pub(super) async fn backlog(ops: SocketAddr) -> anyhow::Result<usize> {
    let page = metrics(ops).await;
    let line = page.lines().find(|line| line.starts_with("catharsis_node_backlog{")).context("a node's backlog")?;
    line.rsplit(' ').next().context("a value")?.parse().context("a number")
}

pub(super) async fn until_settled(ops: SocketAddr) -> anyhow::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let left = backlog(ops).await?;
        if left == 0 {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("the backlog was not delivered: {left} are left");
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_is_the_middle_in_size_not_in_order() {
        assert_eq!(median([9.0, 1.0, 2.0].into_iter()), 2.0);
        assert!(median(std::iter::empty()).is_nan());
    }
}
