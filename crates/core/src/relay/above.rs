//! How far a node may go: by the log, and by the node above it.
//!
//! Invariant: what is looked at and what is waited for are the same, so a worker that waits is woken by what lets it go
//! on, and by nothing else. Behind a lapsed shield a node goes on, but never behind a lapsed origin hop, without which
//! nobody knows what is on its way.

use super::Worker;
use crate::invalidation::Seq;
use crate::topology::Fence;

impl Worker {
    /// How far the log and the shield allow this node to go.
    pub(super) fn limit(&self) -> Seq {
        let head = self.relay.log.head(self.node.area);
        match (&self.node.shield, &self.node.fence) {
            (None, _) => head,
            (Some(hop), Fence::Hop) => head.min(self.relay.board.hop_limit(hop)),
            (Some(shield), Fence::Exact | Fence::Bounded(_) | Fence::None) => {
                head.min(self.relay.board.shield_limit(shield))
            }
        }
    }

    /// Waits until the node above lets this one go beyond `applied`; at once where there is none.
    pub(super) async fn above_is_beyond(&self, applied: Seq) {
        match (&self.node.shield, &self.node.fence) {
            (None, _) => {}
            (Some(hop), Fence::Hop) => self.relay.board.hop_beyond(hop, applied).await,
            (Some(shield), Fence::Exact | Fence::Bounded(_) | Fence::None) => {
                self.relay.board.shield_beyond(shield, applied).await;
            }
        }
    }
}
