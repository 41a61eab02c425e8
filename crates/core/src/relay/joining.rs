//! What comes before a node follows the log: it proves that it purges, and one of unknown content forgets
//! everything.
//!
//! Invariant: nothing is told to a node that failed its proof, and a cursor means nothing before its node has
//! joined.

use std::sync::atomic::Ordering;

use super::{RelayEvent, Stopped, Worker};
use crate::clock::Tick;
use crate::invalidation::Seq;
use crate::proof::{Proof, prove};
use crate::receipt::{Outcome, Unreachable};
use crate::topology::{Fence, Schedule};

impl Worker {
    /// Lets the node prove that it purges, until it does or it turns out that it cannot be tried.
    pub(super) async fn prove(&self) -> Result<(), Stopped> {
        let Some(prober) = &self.prober else { return Ok(()) };
        let mut attempt = 0;
        loop {
            attempt += 1;
            let object = prober.object(self.relay.clock.random());
            let proof = prove(&*self.purger, &**prober, &object).await;
            self.observe(&RelayEvent::Proof { proof: &proof, attempt });
            self.relay.board.proved(&self.node.id, proof.clone(), self.relay.clock.wall());
            match proof {
                Proof::Proven => {
                    self.relay.board.untroubled(&self.node.id);
                    return Ok(());
                }
                // Whether it can be told is found out by telling it.
                Proof::Untried(_) => return Ok(()),
                Proof::Failed(failed) => self.unreachable(Unreachable::Unproven(failed), attempt),
                Proof::Unreachable(why) => self.unreachable(why, attempt),
            }
            // What failed here is tried again here, not once more at the next turn.
            self.was_away.store(false, Ordering::Relaxed);
            self.pause(attempt).await?;
        }
    }

    /// Brings a node of unknown content to a state that its cursor describes. Everything is sent
    /// on the fence's own schedule: a fetch under way could bring an old copy back here as well.
    pub(super) async fn join(&self, cursor: Seq) -> Result<(), Stopped> {
        self.shield_has_joined(cursor).await?;
        self.forget_by_schedule(cursor).await?;
        let mut attempt = 0;
        while let Err(error) = self.relay.store.joined(&self.node.id, self.node.area, cursor).await {
            self.give_way(&error, &mut attempt).await?;
        }
        self.relay.board.joined(&self.node.id, cursor);
        Ok(())
    }

    /// Has the node forget everything, as often as its fence asks for. Its shield has settled that position.
    pub(super) async fn forget_by_schedule(&self, upto: Seq) -> Result<(), Stopped> {
        match self.node.fence.schedule() {
            Schedule::Timed(passes) => {
                let mut first = None;
                for pass in passes {
                    if let Some(first) = first {
                        self.sleep_until(Tick::after(first, pass)).await?;
                    }
                    self.forget_everything(upto).await?;
                    // From the end of the first pass, however long it took: a fetch may have begun just before that.
                    first = first.or(Some(self.relay.clock.tick()));
                }
            }
            Schedule::Landed => {
                self.forget_everything(upto).await?;
                self.all_landed(upto).await?;
                self.forget_everything(upto).await?;
            }
        }
        Ok(())
    }

    /// Waits until the shield has settled `cursor` itself: from a shield that has not forgotten yet
    /// this node would refill with what it is about to forget.
    async fn shield_has_joined(&self, cursor: Seq) -> Result<(), Stopped> {
        let (Some(shield), Some(before)) = (&self.node.shield, cursor.0.checked_sub(1)) else {
            return Ok(());
        };
        let board = &self.relay.board;
        let joined = async {
            match self.node.fence {
                Fence::Hop => board.hop_beyond(shield, Seq(before)).await,
                Fence::Exact | Fence::Bounded(_) | Fence::None => board.shield_beyond(shield, Seq(before)).await,
            }
        };
        // A worker that is to stop does not begin to forget.
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(Stopped),
            () = joined => Ok(()),
        }
    }

    async fn forget_everything(&self, cursor: Seq) -> Result<(), Stopped> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            match self.purger.everything(cursor).await {
                Outcome::Applied | Outcome::AppliedTo(_) | Outcome::Absent => {
                    self.relay.board.untroubled(&self.node.id);
                    return Ok(());
                }
                Outcome::Refused(why) => self.observe(&RelayEvent::CannotForget { why: &why, attempt }),
                Outcome::Unreachable(why) => self.unreachable(why, attempt),
            }
            self.pause(attempt).await?;
        }
    }
}
