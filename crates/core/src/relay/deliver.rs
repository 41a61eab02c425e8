//! Telling a node a part of the log, once.
//!
//! What this is: the part is read, what says the same is merged, and the node is told until each invalidation has a
//! named outcome. What this is not: the order of parts and passes, nor any cursor.
//!
//! Invariant: a part that was told has one outcome for each of its positions, in their order.

use super::{Stopped, Worker};
use crate::batch::{Coalesced, coalesce};
use crate::error::LogError;
use crate::invalidation::Invalidation;
use crate::progress::Span;
use crate::receipt::{Outcome, Settled, Unreachable};
use crate::retry::{Decision, decide, is_unanswered};
use crate::topology::{NodeKind, Tier};

/// A part of the log that a node was told.
pub(super) struct Told {
    /// Which part, in which pass.
    pub part: Span,
    /// What it holds: one for each position.
    pub batch: Vec<Invalidation>,
    /// What became of each.
    pub outcomes: Vec<Settled>,
    /// How often the node was asked.
    pub attempts: u32,
}

/// Why a part was not told.
pub(super) enum Untold {
    /// The worker was told to stop.
    Stopped,
    /// The log no longer holds it.
    Truncated,
}

impl From<Stopped> for Untold {
    fn from(Stopped: Stopped) -> Self {
        Self::Stopped
    }
}

impl Worker {
    /// Tells the node a part of the log, however long that takes. Parts may be told at once: the purger keeps the
    /// node from more than it bears.
    pub(super) async fn tell(&self, part: Span) -> Result<Told, Untold> {
        let batch = self.read(part).await?;
        let (outcomes, attempts) = self.deliver(&batch).await?;
        Ok(Told { part, batch, outcomes, attempts })
    }

    /// Reads a part, all of it.
    async fn read(&self, part: Span) -> Result<Vec<Invalidation>, Untold> {
        let mut batch = Vec::new();
        let mut attempt = 0;
        loop {
            let after = part.after.plus(batch.len() as u64);
            let missing = usize::try_from(part.upto.distance_from(after)).unwrap_or(usize::MAX);
            if missing == 0 {
                return Ok(batch);
            }
            match self.relay.log.read(self.node.area, after, missing).await {
                Ok(more) if !more.is_empty() => {
                    batch.extend(more);
                    continue;
                }
                Ok(_) => self.store_failed(&format!("nothing follows {after} below the head")),
                Err(LogError::Truncated { .. }) => return Err(Untold::Truncated),
                Err(error) => self.store_failed(&error.to_string()),
            }
            attempt += 1;
            self.pause(attempt).await?;
        }
    }

    /// What of a batch is sent. A shield that is a built-in edge may be the origin hop of caches, and says up to which
    /// position all has landed that purges overtook: one that a later one stood for would be taken for landed before it.
    fn merged(&self, batch: &[Invalidation]) -> Coalesced {
        match (self.node.kind, self.node.tier) {
            (NodeKind::Edge, Tier::Shield) => Coalesced::each(batch),
            (_, Tier::Shield | Tier::Edge) => coalesce(batch),
        }
    }

    /// Tells the node until every invalidation of the batch is settled there. Counts the attempts.
    async fn deliver(&self, batch: &[Invalidation]) -> Result<(Vec<Settled>, u32), Stopped> {
        let merged = self.merged(batch);
        let (mut outcomes, mut attempts) = self.deliver_merged(batch, &merged).await?;
        // A node that cannot forget a directory still can the URLs for which it stood.
        let alone = lost_with_a_directory(batch, &merged, &outcomes);
        if !alone.is_empty() {
            let urls: Vec<Invalidation> = alone.iter().map(|at| batch[*at].clone()).collect();
            let (of_urls, more) = self.deliver_merged(&urls, &coalesce(&urls)).await?;
            for (at, outcome) in alone.into_iter().zip(of_urls) {
                outcomes[at] = outcome;
            }
            attempts = attempts.max(more);
        }
        Ok((outcomes, attempts))
    }

    async fn deliver_merged(&self, batch: &[Invalidation], merged: &Coalesced) -> Result<(Vec<Settled>, u32), Stopped> {
        let mut settled: Vec<Option<Settled>> = vec![None; merged.distinct.len()];
        let mut withheld = vec![0; merged.distinct.len()];
        let mut attempt = 0;
        loop {
            attempt += 1;
            let open: Vec<usize> = (0..settled.len()).filter(|place| settled[*place].is_none()).collect();
            let sent: Vec<Invalidation> = open.iter().map(|place| batch[merged.distinct[*place]].clone()).collect();
            let outcomes = self.purger.apply(&sent).await;
            debug_assert_eq!(outcomes.len(), sent.len(), "one outcome for each invalidation");
            let trouble = self.take_outcomes(&open, outcomes, &mut withheld, &mut settled).await;
            match (trouble, complete(&settled)) {
                (None, Some(all)) => {
                    self.relay.board.untroubled(&self.node.id);
                    return Ok((spread(batch, merged, &all), attempt));
                }
                (trouble, _) => {
                    self.unreachable(trouble.unwrap_or(Unreachable::Closed), attempt);
                    self.pause(attempt).await?;
                }
            }
        }
    }

    /// Settles what can be settled and returns the last reason why something cannot. Counts in `withheld` what was
    /// unanswered while something else was answered: a node that is just coming back must not lose what it was silent to
    /// while it was away.
    async fn take_outcomes(
        &self,
        open: &[usize],
        outcomes: Vec<Outcome>,
        withheld: &mut [u32],
        settled: &mut [Option<Settled>],
    ) -> Option<Unreachable> {
        let answers = outcomes.iter().any(|outcome| !matches!(outcome, Outcome::Unreachable(_)))
            || outcomes.iter().any(is_unanswered) && self.purger.answers().await;
        let mut trouble = None;
        for (place, outcome) in open.iter().zip(outcomes) {
            withheld[*place] += u32::from(answers && is_unanswered(&outcome));
            match decide(outcome, withheld[*place]) {
                Decision::Settle(done) => settled[*place] = Some(done),
                Decision::Retry(why) => trouble = Some(why),
            }
        }
        trouble
    }
}

fn complete(settled: &[Option<Settled>]) -> Option<Vec<Settled>> {
    settled.iter().cloned().collect()
}

/// Positions in the batch of what was refused only in the name of a directory.
fn lost_with_a_directory(batch: &[Invalidation], merged: &Coalesced, outcomes: &[Settled]) -> Vec<usize> {
    let is_lost = |at: &usize| {
        let representative = merged.distinct[merged.stands_for[*at]];
        batch[representative].target != batch[*at].target && matches!(outcomes[*at], Settled::Refused(_))
    };
    (0..batch.len()).filter(is_lost).collect()
}

/// One outcome for each invalidation of the batch, from those of its representatives. The count of a directory is not
/// that of a URL for which it stood.
fn spread(batch: &[Invalidation], merged: &Coalesced, outcomes: &[Settled]) -> Vec<Settled> {
    let of = |(one, place): (&Invalidation, &usize)| {
        let outcome = outcomes[*place].clone();
        let is_a_part = batch[merged.distinct[*place]].target != one.target;
        if is_a_part { outcome.of_a_part() } else { outcome }
    };
    batch.iter().zip(&merged.stands_for).map(of).collect()
}
