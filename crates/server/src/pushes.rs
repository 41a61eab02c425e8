//! The prefetch, put together: a worker for each node.
//!
//! What this is: the adapters that fetch, chosen as the configuration says. A part of
//! [`crate::assemble`], which starts and stops the workers.

use std::collections::HashMap;
use std::sync::Arc;

use catharsis_adapters::fetch::{FetchLimits, HttpFetcher, NoTraffic};
use catharsis_adapters::purger::NodeAddress;
use catharsis_core::push::ports::{Fetcher, PushStore};
use catharsis_core::push::worker::{PushWorker, Pusher};
use catharsis_core::relay::Relay;
use catharsis_core::service::PurgeService;
use catharsis_core::topology::NodeId;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::{CheckedNode, PushSection};

/// Starts a worker for each node of the relay's board.
pub(crate) fn start(
    workers: &mut JoinSet<()>,
    stop: &CancellationToken,
    section: &PushSection,
    (relay, store, purges): (&Relay, Arc<dyn PushStore>, &Arc<PurgeService>),
    reached: &HashMap<NodeId, CheckedNode>,
) {
    let pusher = Pusher {
        store,
        clock: Arc::clone(&relay.clock),
        board: Arc::clone(&relay.board),
        purges: Arc::clone(purges),
        retry: relay.retry,
        lanes: section.fetches_per_node,
        deadline: section.deadline.0,
    };
    for node in relay.board.nodes() {
        let fetcher = fetcher(section, reached.get(&node.id));
        let worker = PushWorker::new(pusher.clone(), Arc::clone(node), fetcher, stop.clone());
        workers.spawn(worker.run());
    }
}

fn fetcher(section: &PushSection, reach: Option<&CheckedNode>) -> Arc<dyn Fetcher> {
    let limits = FetchLimits { connect: section.connect_timeout.0, total: section.fetch_timeout.0 };
    match reach.and_then(|reach| reach.traffic) {
        Some(traffic) => Arc::new(HttpFetcher::new(NodeAddress::from(traffic), limits)),
        None => Arc::new(NoTraffic),
    }
}
