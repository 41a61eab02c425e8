//! Between the relay and the simulated caches.
//!
//! What this is: a purger whose orders get lost before or after they are carried out, come late, come twice and out of
//! order, and go on when the worker that sent them has ended; and a log that gives way and fails. What this is not: the
//! adapters; they have tests with real caches.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use catharsis_core::abilities::Abilities;
use catharsis_core::area::Area;
use catharsis_core::error::{LogError, StoreError};
use catharsis_core::invalidation::{Invalidation, Seq};
use catharsis_core::ports::{Log, Purger};
use catharsis_core::receipt::{Outcome, Reason, Unreachable};
use catharsis_core::topology::NodeId;
use catharsis_edge::protocol::LogId;
use tokio::time::sleep;

use super::cache::SimCache;
use super::faults::{Troubles, give_way};
use super::trace::{Event, Trace};
use crate::mem_log::MemLog;

/// What a node is told.
#[derive(Clone, Debug)]
enum Order {
    Batch(Arc<[Invalidation]>),
    Everything(Seq),
}

/// The way to one node.
#[derive(Clone, Debug)]
pub(super) struct Way {
    pub(super) node: NodeId,
    pub(super) cache: Arc<SimCache>,
    pub(super) log: LogId,
    pub(super) troubles: Troubles,
    pub(super) trace: Arc<Trace>,
}

impl Way {
    /// Sends an order: an outcome for each invalidation.
    async fn send(&self, order: Order) -> Vec<Outcome> {
        let way = self.clone();
        // On its own: a worker that is ended does not call an order back that is on its way.
        let sent = tokio::spawn(async move { way.deliver(order).await });
        sent.await.expect("a delivery neither panics nor is called back")
    }

    async fn deliver(&self, order: Order) -> Vec<Outcome> {
        let troubles = &self.troubles;
        let chance = troubles.chance((self.node.as_str(), order.first()));
        let weather = troubles.weather();
        give_way(&chance).await;
        if chance.percent(weather.again) {
            // Just behind the next one, or when all have forgotten it.
            let within = if chance.percent(70) { 5_000 } else { 40_000 };
            self.again_later(&order, Duration::from_millis(chance.below(within)));
        }
        if troubles.is_cut_off(&self.node) || !self.cache.is_up() {
            return order.unreachable(&Unreachable::Connect(Reason::new("nobody there")));
        }
        if chance.percent(weather.lost) {
            sleep(Duration::from_millis(chance.below(2_000))).await;
            return order.unreachable(&Unreachable::Timeout);
        }
        if chance.percent(weather.slow) {
            sleep(Duration::from_millis(chance.below(3_000))).await;
        }
        let outcomes = self.carry_out(&order).await;
        give_way(&chance).await;
        if chance.percent(weather.unanswered) {
            return order.unreachable(&Unreachable::Closed);
        }
        outcomes
    }

    /// The same once more, later; nobody waits for the answer.
    fn again_later(&self, order: &Order, after: Duration) {
        let (way, order) = (self.clone(), order.clone());
        tokio::spawn(async move {
            sleep(after).await;
            way.carry_out(&order).await;
        });
    }

    async fn carry_out(&self, order: &Order) -> Vec<Outcome> {
        let gone = || Outcome::Unreachable(Unreachable::Closed);
        self.trace.note(&Event::Hears(&self.node, "order", order.first()));
        let batch = match order {
            Order::Everything(upto) => return vec![self.cache.everything(&self.log, *upto).unwrap_or_else(gone)],
            Order::Batch(batch) => batch,
        };
        let weather = self.troubles.weather();
        let chance = self.troubles.chance((self.node.as_str(), order.first(), "carry out"));
        let mut outcomes = Vec::with_capacity(batch.len());
        for part in batch.chunks(self.cache.at_once()) {
            // It may be killed in the midst of a batch, and fail at one of it.
            if part.len() < batch.len() && weather.lost > 0 {
                match chance.below(100) {
                    0..2 => sleep(Duration::from_millis(chance.below(100))).await,
                    2 => {
                        outcomes.extend(part.iter().map(|_| Outcome::Unreachable(Unreachable::Failed { status: 503 })));
                        continue;
                    }
                    _ => {}
                }
            }
            match self.cache.apply(&self.log, part) {
                Some(done) => outcomes.extend(done),
                None => outcomes.extend(part.iter().map(|_| gone())),
            }
        }
        outcomes
    }
}

impl Order {
    fn first(&self) -> Option<u64> {
        match self {
            Self::Batch(batch) => batch.first().map(|it| it.seq.0),
            Self::Everything(_) => None,
        }
    }

    fn unreachable(&self, why: &Unreachable) -> Vec<Outcome> {
        let count = match self {
            Self::Batch(batch) => batch.len(),
            Self::Everything(_) => 1,
        };
        vec![Outcome::Unreachable(why.clone()); count]
    }
}

#[async_trait]
impl Purger for Way {
    fn abilities(&self) -> Abilities {
        self.cache.abilities()
    }

    async fn apply(&self, batch: &[Invalidation]) -> Vec<Outcome> {
        self.send(Order::Batch(batch.into())).await
    }

    async fn everything(&self, upto: Seq) -> Outcome {
        let mut outcomes = self.send(Order::Everything(upto)).await;
        outcomes.pop().unwrap_or(Outcome::Unreachable(Unreachable::Closed))
    }

    async fn answers(&self) -> bool {
        self.cache.is_up() && !self.troubles.is_cut_off(&self.node)
    }
}

/// A log that gives way, and fails by chance.
pub(super) struct ShakyLog {
    pub(super) log: MemLog,
    pub(super) troubles: Troubles,
}

#[async_trait]
impl Log for ShakyLog {
    fn head(&self, area: Area) -> Seq {
        self.log.head(area)
    }

    async fn wait(&self, area: Area, after: Seq) -> Seq {
        self.log.wait(area, after).await
    }

    async fn read(&self, area: Area, after: Seq, max: usize) -> Result<Vec<Invalidation>, LogError> {
        let chance = self.troubles.chance((area, after.0, max));
        give_way(&chance).await;
        let weather = self.troubles.weather();
        if weather.lost > 0 && chance.percent(2) {
            return Err(StoreError::Io("the log fails".to_owned()).into());
        }
        // It may give less than it could.
        let max = if chance.percent(10) { max.min(1 + usize::from(chance.percent(50))) } else { max };
        self.log.read(area, after, max).await
    }
}
