//! What the origin hop of a node says.
//!
//! What this is: the conversation with the hop, beside the one with the node, and the two ends of what they tell
//! each other. What this is not: the hop, which alone knows what is under way (`catharsis-edge`, `flights`).
//!
//! Invariant: the hop is asked about positions only that it has settled itself. The first pass goes no further than
//! the cursor of the node's shield, which is the hop, and it is asked no further than the first pass has come. So
//! whatever it says has landed was overtaken by a mark that it has set.
//!
//! A hop that was started anew knows of nothing under way. That is right: with it ended its connections, and what
//! a cache had not received whole by then it does not keep.

use tokio::sync::watch;

use super::{Stopped, Worker};
use crate::invalidation::Seq;
use crate::receipt::{Reason, Unreachable};

/// The worker's end: what it wants to know, and what is known.
pub(super) struct Landing {
    asked: watch::Sender<Seq>,
    landed: watch::Receiver<Seq>,
}

/// The hop's end.
pub(super) struct Landings {
    asked: watch::Receiver<Seq>,
    landed: watch::Sender<Seq>,
}

/// Both ends for a node that has settled everything up to a cursor.
pub(super) fn landings(cursor: Seq) -> (Landing, Landings) {
    let (asking, asked) = watch::channel(cursor);
    let (telling, landed) = watch::channel(cursor);
    (Landing { asked: asking, landed }, Landings { asked, landed: telling })
}

impl Landing {
    /// Wants to know of all positions up to this.
    pub(super) fn ask(&self, upto: Seq) {
        self.asked.send_if_modified(|asked| std::mem::replace(asked, upto.max(*asked)) < upto);
    }

    /// How far everything has landed.
    pub(super) fn landed(&mut self) -> Seq {
        *self.landed.borrow_and_update()
    }

    /// Waits until more has landed than was last looked at; for ever where there is no hop.
    pub(super) async fn moved(&mut self) {
        if self.landed.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Worker {
    /// Asks the hop whenever the worker wants to know more, until the worker ends. A failure is the node's trouble,
    /// since its receipts wait for it.
    pub(super) async fn follow_hop(&self, mut landings: Landings) {
        let Some(hop) = &self.hop else { return };
        let mut attempt = 0;
        // Ends with the worker's end. Nothing is lost with a question that is dropped then.
        while let Ok(asked) = landings.asked.wait_for(|asked| *asked > *landings.landed.borrow()).await.map(|it| *it) {
            let landed = *landings.landed.borrow();
            // An answer that is there is taken: the next question ends with the worker.
            let answer = tokio::select! {
                biased;
                answer = hop.landed(landed, asked) => answer,
                () = self.stop.cancelled() => return,
            };
            match answer {
                Ok(now) => {
                    if attempt > 0 {
                        self.relay.board.untroubled(&self.node.id);
                    }
                    attempt = 0;
                    landings.landed.send_if_modified(|landed| std::mem::replace(landed, now.max(*landed)) < now);
                }
                Err(why) => {
                    attempt += 1;
                    self.unreachable(of_the_hop(&why), attempt);
                    if self.pause(attempt).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

impl Worker {
    /// Waits until whatever the purges up to a position overtook has landed, for a node that joins there. Its shield
    /// has settled that position.
    pub(super) async fn all_landed(&self, upto: Seq) -> Result<(), Stopped> {
        let (mut landing, landings) = landings(Seq::ZERO);
        landing.ask(upto);
        let landed = async {
            while landing.landed() < upto {
                landing.moved().await;
            }
        };
        // Dropped with what it asks, when all has landed: nothing waits for the answer.
        // A worker that is to stop goes no further, whatever has landed.
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(Stopped),
            () = landed => Ok(()),
            () = async {
                self.follow_hop(landings).await;
                std::future::pending().await
            } => Ok(()),
        }
    }
}

/// The same trouble, which is not the node's own.
fn of_the_hop(why: &Unreachable) -> Unreachable {
    Unreachable::Reported(Reason::new(&format!("its origin hop: {why}")))
}
