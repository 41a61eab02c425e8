//! The prefetch, put together.
//!
//! What this is: the adapters that fetch, chosen as the configuration says. A part of
//! [`crate::assemble`]; the workers are the fleet's.

use std::net::SocketAddr;
use std::sync::Arc;

use catharsis_adapters::fetch::{FetchLimits, HttpFetcher, NoTraffic};
use catharsis_adapters::purger::NodeAddress;
use catharsis_core::push::ports::{Fetcher, PushStore};
use catharsis_core::push::worker::Pusher;

use crate::assemble::Engine;
use crate::config::PushSection;

/// What the workers of all nodes share.
pub(crate) fn pusher(section: &PushSection, engine: &Engine) -> Pusher {
    Pusher {
        store: Arc::clone(&engine.store) as Arc<dyn PushStore>,
        clock: Arc::clone(&engine.relay.clock),
        board: Arc::clone(&engine.relay.board),
        purges: Arc::clone(&engine.service),
        retry: engine.relay.retry,
        lanes: section.fetches_per_node,
        deadline: section.deadline.0,
    }
}

/// How a node's worker fetches.
pub(crate) fn fetcher(section: &PushSection, traffic: Option<SocketAddr>) -> Arc<dyn Fetcher> {
    let limits = FetchLimits { connect: section.connect_timeout.0, total: section.fetch_timeout.0 };
    match traffic {
        Some(traffic) => Arc::new(HttpFetcher::new(NodeAddress::from(traffic), limits)),
        None => Arc::new(NoTraffic),
    }
}
