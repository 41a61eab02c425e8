//! Merging equal invalidations (pure).
//!
//! What this is: [`coalesce`], which finds the distinct orders in a batch, and the way back from
//! their outcomes to one outcome for each invalidation. Invariant: every invalidation of the batch
//! is represented by one that forgets at least as much.

use std::collections::HashMap;

use crate::invalidation::Invalidation;
use crate::target::{Mode, Target};

/// A batch without repetitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coalesced {
    /// Positions in the batch of the invalidations to send.
    pub distinct: Vec<usize>,
    /// For each invalidation of the batch, its representative: an index into `distinct`.
    pub stands_for: Vec<usize>,
}

/// Merges invalidations of one target. `Delete` stands for `Expire` of the same target too.
#[must_use]
pub fn coalesce(batch: &[Invalidation]) -> Coalesced {
    let mut seen: HashMap<&Target, usize> = HashMap::with_capacity(batch.len());
    let mut built =
        Coalesced { distinct: Vec::with_capacity(batch.len()), stands_for: Vec::with_capacity(batch.len()) };
    for (position, invalidation) in batch.iter().enumerate() {
        let next = built.distinct.len();
        let place = *seen.entry(invalidation.target.as_ref()).or_insert(next);
        if place == next {
            built.distinct.push(position);
        } else if invalidation.mode == Mode::Delete {
            built.distinct[place] = position;
        }
        built.stands_for.push(place);
    }
    built
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::clock::UnixMillis;
    use crate::invalidation::Seq;
    use crate::target::{CacheUrl, Encode};
    use crate::task::TaskId;

    fn invalidation(seq: usize, path: u8, mode: Mode) -> Invalidation {
        let url = CacheUrl::parse(&format!("http://a.test/{path}"), Encode::AsSubmitted).expect("a valid URL");
        Invalidation {
            seq: Seq(seq as u64),
            task: TaskId::new(UnixMillis(0), 0),
            target: Arc::new(Target::Url(url)),
            mode,
            accepted_at: UnixMillis(0),
        }
    }

    proptest! {
        #[test]
        fn every_invalidation_is_represented_by_an_equal_or_stronger_one(
            list in proptest::collection::vec((0u8..6, any::<bool>()), 0..40)
        ) {
            let batch: Vec<_> = list.iter().enumerate()
                .map(|(seq, (path, delete))| invalidation(seq, *path, if *delete { Mode::Delete } else { Mode::Expire }))
                .collect();
            let merged = coalesce(&batch);
            prop_assert_eq!(merged.stands_for.len(), batch.len());
            for (one, place) in batch.iter().zip(&merged.stands_for) {
                let sent = &batch[merged.distinct[*place]];
                prop_assert_eq!(&sent.target, &one.target);
                prop_assert!(sent.mode == Mode::Delete || one.mode == Mode::Expire);
            }
            let mut targets: Vec<_> = merged.distinct.iter().map(|i| batch[*i].target.as_ref()).collect();
            let sent = targets.len();
            targets.dedup();
            prop_assert_eq!(targets.iter().collect::<std::collections::HashSet<_>>().len(), sent);
        }
    }
}
