//! From the log to the nodes.
//!
//! What this is: one [`Worker`] a node. It reads the log behind its cursor, tells the node, waits
//! for the fence and moves the cursor. What this is not: a queue; what is left undone stays in the
//! log, so a slow or absent node costs nothing but its own backlog.
//!
//! Invariants: an edge never passes its shield's cursor; a cursor moves only after the store has
//! kept the receipt; every invalidation that the cursor passes has a named outcome.
//!
//! While the node is told one batch, the next is read and told behind it ([`BATCHES_AT_ONCE`]), and the receipt of the
//! one before is kept, so that the node waits neither for the disk nor for an order to be written. So a worker goes
//! by two positions. What was *carried out* ([`Progress`]) says what to send next and when to repeat it; it is in this
//! memory only, and may be ahead of what is *settled*, the cursor in the store and on the board. Whatever promises
//! anything goes by the settled one: the state of a task, an edge behind its shield, a worker that starts again.
//! Batches are carried out and receipts kept in the order of the log, whichever the node answered first, so no cursor
//! has a gap. With one receipt being kept and [`RECEIPTS_WAITING`] behind it, no further batch is begun. What was
//! carried out and not settled when a worker ends is sent again, with all passes of the fence, which does no harm.

mod above;
mod deliver;
mod found;
mod hop;
mod joining;
mod refusing;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::stream::{FuturesOrdered, StreamExt};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::board::{Board, WatermarkMove};
use crate::clock::{Tick, UnixMillis};
use crate::error::StoreError;
use crate::invalidation::{Invalidation, Seq};
use crate::limits::{BATCHES_AT_ONCE, RECEIPTS_WAITING, RELAY_BATCH};
use crate::ports::{Clock, Hop, Log, Membership, Purger, Store};
use crate::progress::{Progress, Ready, Span};
use crate::proof::{Prober, Proof};
use crate::receipt::{Receipt, Refusal, Unreachable};
use crate::retry::RetryPolicy;
use crate::topology::{Node, Schedule};
use deliver::{Told, Untold};
use found::Found;
use hop::Landing;

/// What happened at a node, for logs and metrics.
#[derive(Debug)]
pub enum RelayEvent<'a> {
    /// The first pass carried out a batch.
    Applied {
        /// What was carried out.
        batch: &'a [Invalidation],
        /// When.
        at: UnixMillis,
    },
    /// A receipt was kept.
    Settled {
        /// What it covers.
        batch: &'a [Invalidation],
        /// The receipt.
        receipt: &'a Receipt,
        /// How the area's watermark moved.
        watermark: WatermarkMove,
    },
    /// An attempt failed; another follows.
    Unreachable {
        /// Why.
        why: &'a Unreachable,
        /// Failures in a row.
        attempt: u32,
    },
    /// The node has to forget everything before it can be relied on, and cannot be told to.
    CannotForget {
        /// Why.
        why: &'a Refusal,
        /// How often it was told in a row.
        attempt: u32,
    },
    /// A proof was tried: see [`crate::proof`].
    Proof {
        /// What came of it.
        proof: &'a Proof,
        /// How often it was tried in a row.
        attempt: u32,
    },
    /// Its lease has ended unrenewed: nobody waits for it until it has returned.
    Lapsed,
    /// It counts, and is granted leases, again.
    Resumed,
    /// The node uses its copies as it likes, though it is to need leases: it is waited for however long it is away.
    TrustsAlways,
    /// The store or the log failed; the same step is tried again.
    StoreFailed {
        /// How.
        error: String,
    },
}

/// Hears what happens at the nodes.
pub trait Observer: Send + Sync {
    /// Called on the worker's own thread of control: must not block.
    fn observe(&self, node: &Node, event: &RelayEvent<'_>);
}

/// Whatever the workers of an installation share.
#[derive(Clone)]
pub struct Relay {
    /// The log they read.
    pub log: Arc<dyn Log>,
    /// Where receipts are kept.
    pub store: Arc<dyn Store>,
    /// Time and chance.
    pub clock: Arc<dyn Clock>,
    /// Where every node stands.
    pub board: Arc<Board>,
    /// Who hears of it.
    pub observer: Arc<dyn Observer>,
    /// When failed attempts are repeated.
    pub retry: RetryPolicy,
}

impl std::fmt::Debug for Relay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Relay").field("board", &self.board).field("retry", &self.retry).finish_non_exhaustive()
    }
}

/// The worker of one node.
pub struct Worker {
    relay: Relay,
    node: Arc<Node>,
    purger: Arc<dyn Purger>,
    prober: Option<Arc<dyn Prober>>,
    hop: Option<Arc<dyn Hop>>,
    /// Set when the node was away: whoever comes back may have another configuration.
    was_away: AtomicBool,
    stop: CancellationToken,
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker").field("node", &self.node.id).finish_non_exhaustive()
    }
}

/// The worker was told to stop.
struct Stopped;

/// A receipt that the store has yet to keep.
struct Due {
    /// What it covers.
    batch: Vec<Invalidation>,
    receipt: Receipt,
}

impl Worker {
    /// A worker that ends soon after `stop`: it finishes the attempt it is in, whose length the
    /// purger bounds, and leaves the rest to the next start.
    #[must_use]
    pub const fn new(relay: Relay, node: Arc<Node>, purger: Arc<dyn Purger>, stop: CancellationToken) -> Self {
        Self { relay, node, purger, prober: None, hop: None, was_away: AtomicBool::new(false), stop }
    }

    /// The same worker, which lets the node prove that it purges: before anything else, and whenever it was
    /// away.
    #[must_use]
    pub fn with_prober(self, prober: Arc<dyn Prober>) -> Self {
        Self { prober: Some(prober), ..self }
    }

    /// The same worker, whose node fetches through this origin hop. A node of [`Fence::Hop`] without one settles
    /// nothing.
    #[must_use]
    pub fn with_hop(self, hop: Arc<dyn Hop>) -> Self {
        Self { hop: Some(hop), ..self }
    }

    /// Works until it is stopped.
    pub async fn run(self) {
        // Stopping is the only way out: every failure of the world is waited for.
        let Err(Stopped) = self.follow().await;
    }

    async fn follow(&self) -> Result<std::convert::Infallible, Stopped> {
        self.relay.board.declared(&self.node.id, self.purger.abilities());
        self.prove().await?;
        let standing = self.relay.board.standing(&self.node.id);
        let (mut cursor, membership) =
            standing.map_or((Seq::ZERO, Membership::Joining), |standing| (standing.settled, standing.membership));
        if membership == Membership::Joining {
            self.join(cursor).await?;
        }
        loop {
            // Returns only when the log no longer holds what follows the cursor.
            self.follow_from(cursor).await?;
            cursor = self.relay.log.head(self.node.area);
            self.join(cursor).await?;
        }
    }

    /// Follows the log from a cursor until it turns out to be truncated there. Then, as when the worker is told
    /// to stop, every receipt that waits is handed to the store before this returns.
    async fn follow_from(&self, cursor: Seq) -> Result<(), Stopped> {
        let (receipts, waiting) = mpsc::channel(RECEIPTS_WAITING);
        let (landing, landings) = hop::landings(cursor);
        // Each ends once the first has, or the keeper was told to stop: it drops its ends of the channels, and the
        // others see it.
        let (carried_out, kept, ()) =
            tokio::join!(self.carry_out_from(cursor, receipts, landing), self.keep(waiting), self.follow_hop(landings));
        carried_out.and(kept)
    }

    /// Carries out pass after pass behind a cursor, until the log turns out to be truncated there.
    async fn carry_out_from(
        &self,
        cursor: Seq,
        receipts: mpsc::Sender<Due>,
        mut landing: Landing,
    ) -> Result<(), Stopped> {
        let mut progress = Progress::new(cursor, self.node.fence.schedule());
        let mut found = Found::new(progress.last_pass());
        let mut telling = FuturesOrdered::new();
        let mut under_way: Option<Span> = None;
        loop {
            if self.stop.is_cancelled() {
                return Err(Stopped);
            }
            if under_way.is_none() && self.was_away.swap(false, Ordering::Relaxed) {
                self.prove().await?;
            }
            progress.landed(landing.landed());
            let ready = progress.ready(self.limit(), self.relay.clock.tick());
            if let Ready::Apply(span) = ready
                && telling.len() < BATCHES_AT_ONCE
                // One that was away proves itself first, as soon as it has answered what it was told.
                && !self.was_away.load(Ordering::Relaxed)
                && let Some(part) = span.part_behind(under_way, RELAY_BATCH as u64)
            {
                telling.push_back(self.tell(part));
                under_way = Some(Span { upto: part.upto, ..under_way.unwrap_or(part) });
                continue;
            }
            match (telling.next().await, ready) {
                (Some(Ok(told)), _) => {
                    let Span { pass, after, upto } = told.part;
                    let told = Told { outcomes: found.pass(pass, after, told.outcomes), ..told };
                    under_way = under_way.map(|all| Span { after: upto, ..all }).filter(|rest| rest.after < rest.upto);
                    if let Some(due) = self.passed(&progress, told) {
                        // Only a keeper that was told to stop has gone away. What is under way rests meanwhile.
                        receipts.send(due).await.map_err(|_| Stopped)?;
                    }
                    progress.record(pass, upto, self.relay.clock.tick());
                    landing.ask(progress.applied());
                }
                (Some(Err(Untold::Stopped)), _) => return Err(Stopped),
                (Some(Err(Untold::Truncated)), _) => return Ok(()),
                (None, Ready::Wait(until)) => self.wait(progress.applied(), until, &mut landing).await?,
                // It is away, and proves itself first.
                (None, Ready::Apply(_)) => {}
            }
        }
    }

    /// Keeps receipts in the order in which they come, until no more can.
    async fn keep(&self, mut waiting: mpsc::Receiver<Due>) -> Result<(), Stopped> {
        while let Some(due) = waiting.recv().await {
            self.settle(due).await?;
        }
        Ok(())
    }

    /// Waits for whatever lets the node go beyond `applied`, for a pass that becomes due, or for
    /// the end. Both the log and the board are level-triggered, so nothing is missed between the
    /// look in [`Self::limit`] and here; a branch that loses holds no state.
    async fn wait(&self, applied: Seq, until: Option<Tick>, landing: &mut Landing) -> Result<(), Stopped> {
        let more = async {
            self.relay.log.wait(self.node.area, applied).await;
            self.above_is_beyond(applied).await;
        };
        let due = async {
            match until {
                Some(until) => self.relay.clock.sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        // In this order: who waits looks at everything again, so none of them is starved.
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(Stopped),
            () = more => Ok(()),
            () = due => Ok(()),
            () = landing.moved() => Ok(()),
        }
    }

    /// Shows what a pass over one batch has brought; after the last pass a receipt is due.
    fn passed(&self, progress: &Progress, told: Told) -> Option<Due> {
        let Told { part: Span { pass, after, upto }, batch, outcomes, attempts } = told;
        let at = self.relay.clock.wall();
        if pass == 0 {
            self.relay.board.applied(&self.node.id, upto);
            self.observe(&RelayEvent::Applied { batch: &batch, at });
        }
        let receipt = || Receipt {
            node: self.node.id.clone(),
            area: self.node.area,
            after,
            outcomes,
            fence: self.node.fence.strength(),
            waited: match self.node.fence.schedule() {
                Schedule::Timed(passes) => passes.last().copied().unwrap_or_default(),
                Schedule::Landed => progress.waited(upto, self.relay.clock.tick()),
            },
            attempts,
            at,
        };
        (pass == progress.last_pass()).then(|| Due { receipt: receipt(), batch })
    }

    /// Keeps a receipt, however long the store takes, and only then shows the cursor.
    async fn settle(&self, due: Due) -> Result<(), Stopped> {
        let (Due { batch, receipt }, held) = self.answer_for(due).await?;
        let mut attempt = 0;
        while let Err(error) = self.relay.store.advance(receipt.clone()).await {
            self.give_way(&error, &mut attempt).await?;
        }
        drop(held);
        let watermark = self.relay.board.settled(&self.node, receipt.cursor(), receipt.at);
        self.observe(&RelayEvent::Settled { batch: &batch, receipt: &receipt, watermark });
        Ok(())
    }

    fn unreachable(&self, why: Unreachable, attempt: u32) {
        if matches!(why, Unreachable::Connect(_)) {
            self.was_away.store(true, Ordering::Relaxed);
        }
        self.observe(&RelayEvent::Unreachable { why: &why, attempt });
        self.relay.board.troubled(&self.node.id, why, self.relay.clock.wall());
    }

    async fn give_way(&self, error: &StoreError, attempt: &mut u32) -> Result<(), Stopped> {
        self.store_failed(&error.to_string());
        *attempt += 1;
        self.pause(*attempt).await
    }

    fn store_failed(&self, error: &str) {
        self.observe(&RelayEvent::StoreFailed { error: error.to_owned() });
    }

    fn observe(&self, event: &RelayEvent<'_>) {
        self.relay.observer.observe(&self.node, event);
    }

    async fn pause(&self, attempt: u32) -> Result<(), Stopped> {
        let delay = self.relay.retry.delay(attempt, self.relay.clock.random());
        self.sleep_until(self.relay.clock.tick().after(delay)).await
    }

    /// Sleeps, unless the worker is stopped meanwhile.
    async fn sleep_until(&self, until: Tick) -> Result<(), Stopped> {
        // A worker that is to stop does not begin another attempt.
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(Stopped),
            () = self.relay.clock.sleep_until(until) => Ok(()),
        }
    }
}
