//! A node on its way back to counting.
//!
//! What this is: a worker for each node that returns. It waits until the node has reached the watermark, has the
//! store keep that it counts, and only then lets the board count it. What this is not: what catches up; that is
//! the node's relay worker.
//!
//! Invariant: the store knows first. Killed in between, the node counts after the restart, at a cursor that is not
//! below what was shown, since the watermark has stood still. The other way round, others could pass it after a
//! restart that does not know that it counts, while it serves clients.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::relay::{Relay, RelayEvent};
use crate::topology::Node;

/// Waits until a returning node may count and lets it; ends at once for a node that does not return. Stopped, it
/// leaves the rest to the next start.
pub async fn come_back(relay: Relay, node: Arc<Node>, stop: CancellationToken) {
    // What is dropped with the stop is at most a write that may be repeated, or that the next start finds done.
    tokio::select! {
        biased;
        () = stop.cancelled() => {}
        () = return_one(&relay, &node) => {}
    }
}

async fn return_one(relay: &Relay, node: &Arc<Node>) {
    relay.board.lease_ends(&node.id, None);
    // Without leases nobody else lets it return, and it may use its copies as soon as its operator wants that.
    relay.board.recall(node);
    if !relay.board.has_returned(&node.id).await {
        return;
    }
    let mut attempt = 0;
    while let Err(error) = relay.store.returned(&node.id, node.area).await {
        attempt += 1;
        relay.observer.observe(node, &RelayEvent::StoreFailed { error: error.to_string() });
        let delay = relay.retry.delay(attempt, relay.clock.random());
        relay.clock.sleep_until(relay.clock.tick().after(delay)).await;
    }
    relay.board.returned(&node.id);
}
