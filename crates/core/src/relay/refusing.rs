//! What comes of a node's refusals before they are kept.
//!
//! What this is: an item that waits for the node fails, by its name. Where nobody waits for it, because it is drained or has
//! yet to return, the item may be done already, and stays so: the node forgets everything instead, which settles what it
//! refused. One that cannot settles nothing more until it is waited for there, so it does not come to count, and says why.
//!
//! Invariant: nothing that was shown done fails. While it is looked at who is waited for, and until the receipt is kept,
//! the watermark stands still: else the node could be drained in between, and what it is about to fail be done.

use super::{Due, Stopped, Worker};
use crate::board::Hold;
use crate::duty::Refusing;
use crate::receipt::{Receipt, Settled};

impl Worker {
    /// A receipt as it may be kept. The watermark is to be held until it is.
    pub(super) async fn answer_for(&self, due: Due) -> Result<(Due, Option<Hold>), Stopped> {
        if !refuses(&due.receipt) {
            return Ok((due, None));
        }
        loop {
            let held = self.relay.board.hold();
            match self.refusing(&due.receipt) {
                Refusing::Fails => return Ok((due, Some(held))),
                Refusing::Forgets => drop(held),
            }
            tokio::select! {
                forgotten = self.forget_by_schedule(due.receipt.cursor()) => {
                    forgotten?;
                    let receipt = Receipt { at: self.relay.clock.wall(), ..settled_so(due.receipt) };
                    return Ok((Due { receipt, ..due }, None));
                }
                // What was sent meanwhile does no harm.
                () = self.is_waited_for(&due.receipt) => {}
            }
        }
    }

    /// What is to come of the refusals in a receipt: when one is not waited for, the node forgets everything, and with it
    /// all of them.
    fn refusing(&self, receipt: &Receipt) -> Refusing {
        let board = &self.relay.board;
        let Some(standing) = board.standing(&self.node.id) else { return Refusing::Fails };
        let shown = board.watermark(self.node.area);
        let is_forgotten = |(outcome, place): (&Settled, u64)| {
            matches!(outcome, Settled::Refused(_))
                && standing.duty.refusing(receipt.after.plus(place), shown) == Refusing::Forgets
        };
        if receipt.outcomes.iter().zip(1..).any(is_forgotten) { Refusing::Forgets } else { Refusing::Fails }
    }

    /// Waits until the refusals fail after all; for ever where they never do.
    async fn is_waited_for(&self, receipt: &Receipt) {
        // Nothing is missed: the receiver is older than the look. As long as the node returns, the watermark stands.
        while let Some(mut standing) = self.relay.board.watch(&self.node.id) {
            if self.refusing(receipt) == Refusing::Fails {
                return;
            }
            if standing.changed().await.is_err() {
                break;
            }
        }
        std::future::pending().await
    }
}

fn refuses(receipt: &Receipt) -> bool {
    receipt.outcomes.iter().any(|outcome| matches!(outcome, Settled::Refused(_)))
}

/// The same receipt of a node that has forgotten everything since it refused.
fn settled_so(receipt: Receipt) -> Receipt {
    let settled = |outcome| match outcome {
        Settled::Refused(_) => Settled::Applied,
        Settled::Applied | Settled::AppliedTo(_) | Settled::Absent => outcome,
    };
    Receipt { outcomes: receipt.outcomes.into_iter().map(settled).collect(), ..receipt }
}
