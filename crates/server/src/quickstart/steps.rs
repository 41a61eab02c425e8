//! The main job, step by step, on real traffic.
//!
//! What this is: fetch, fetch again, publish, purge, receipts, fetch. Each step says what it saw and
//! whether that was what the promise says; nothing is assumed.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::bail;

use catharsis_adapters::clock::SystemClock;
use catharsis_core::clock::Tick;
use catharsis_core::ports::Clock;
use catharsis_tcapi::cdn::{
    DescribePurgeReceiptsRequest, DescribePurgeReceiptsResponse, NodeReceipt, PurgeUrlsCacheRequest,
    PurgeUrlsCacheResponse, TaskStatus,
};
use catharsis_tcapi::client::Signer;

use super::client::{call, fetch};
use super::origin::{PAGE, SampleOrigin};
use super::show::Show;

/// Both edges are idle and on this machine: far more than they need.
const RECEIPT_TIMEOUT: Duration = Duration::from_secs(30);
const RECEIPT_POLL: Duration = Duration::from_millis(20);

/// What the steps work on.
pub(super) struct Scene<'a> {
    /// Where it is told.
    pub show: &'a Show,
    /// The API.
    pub api: SocketAddr,
    /// Signs as the demo account.
    pub signer: &'a Signer,
    /// Each edge: its area and where clients connect.
    pub edges: &'a [(String, SocketAddr)],
    /// The sample origin.
    pub origin: &'a SampleOrigin,
    /// The host whose page is fetched and purged.
    pub host: &'a str,
    /// Time.
    pub clock: SystemClock,
}

impl Scene<'_> {
    /// Plays all steps.
    ///
    /// # Errors
    /// At the first step that did not show what it promises.
    pub(super) async fn play(&self) -> anyhow::Result<()> {
        self.show.step(1, "Fetch the page through both edges: a MISS each, from the origin.");
        self.expect("MISS", 1).await?;
        self.show.step(2, "Fetch it again: a HIT each, from the caches.");
        self.expect("HIT", 1).await?;
        self.show.step(3, "The origin publishes version 2. The caches do not know: still version 1.");
        self.origin.publish();
        self.expect("HIT", 1).await?;
        self.show.step(4, &format!("PurgeUrlsCache http://{}{PAGE}, and a receipt from each node.", self.host));
        self.purge().await?;
        self.show.step(5, "Fetch it once more: a MISS each, with the new content.");
        self.expect("MISS", 2).await
    }

    async fn expect(&self, cache: &str, version: u64) -> anyhow::Result<()> {
        for (area, edge) in self.edges {
            let fetched = fetch(*edge, self.host, PAGE).await?;
            let text = format!("{area}: {} \"{}\"", fetched.cache, fetched.body.trim_end());
            if fetched.cache == cache && fetched.body == SampleOrigin::text(version) {
                self.show.seen(&text);
            } else {
                self.show.unseen(&text);
                bail!("{area}: expected a {cache} of version {version}");
            }
        }
        Ok(())
    }

    async fn purge(&self) -> anyhow::Result<()> {
        let url = format!("http://{}{PAGE}", self.host);
        let request = PurgeUrlsCacheRequest::of(vec![url.into()]);
        let accepted: PurgeUrlsCacheResponse =
            call(self.api, self.signer, &self.clock, "PurgeUrlsCache", &request).await?;
        self.show.seen(&format!("accepted as TaskId {}", accepted.task_id));
        let waiting: Vec<_> = self.edges.iter().map(|(area, _)| (area, self.show.wait(area, "waiting"))).collect();
        let mut told = vec![false; waiting.len()];
        let deadline = self.clock.tick().after(RECEIPT_TIMEOUT);
        loop {
            let receipts = self.receipts(&accepted.task_id).await?;
            for ((area, waiting), told) in waiting.iter().zip(&mut told) {
                let settled = receipts.nodes.iter().find(|node| node.area == **area && node.pending == 0);
                if let (Some(node), false) = (settled, *told) {
                    self.show.arrived(waiting, &receipt_text(node));
                    *told = true;
                }
            }
            match receipts.status {
                TaskStatus::Done if told.iter().all(|told| *told) => {
                    self.show.seen("the task is done: no node serves a copy fetched before it was accepted");
                    return Ok(());
                }
                TaskStatus::Fail => bail!("the task failed: {:?}", receipts.nodes),
                TaskStatus::Done | TaskStatus::Process => self.pause(deadline).await?,
            }
        }
    }

    async fn receipts(&self, task_id: &str) -> anyhow::Result<DescribePurgeReceiptsResponse> {
        let request = DescribePurgeReceiptsRequest::of(task_id);
        call(self.api, self.signer, &self.clock, "DescribePurgeReceipts", &request).await
    }

    /// Waits a little, within the limit of 20 calls a second and with an end.
    async fn pause(&self, deadline: Tick) -> anyhow::Result<()> {
        let now = self.clock.tick();
        if now >= deadline {
            bail!("not every node sent its receipt within {RECEIPT_TIMEOUT:?}");
        }
        self.clock.sleep_until(now.after(RECEIPT_POLL)).await;
        Ok(())
    }
}

fn receipt_text(node: &NodeReceipt) -> String {
    let outcome =
        if node.applied > 0 { "applied (a copy was there and is gone)" } else { "absent (there was no copy)" };
    let took = node.took_ms.unwrap_or_default();
    format!("receipt of {}: {outcome}, {took} ms after acceptance, fence {}", node.node, node.fence)
}
