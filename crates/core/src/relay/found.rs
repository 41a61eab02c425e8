//! What passes before the last have removed.
//!
//! What this is: where a fence repeats a purge, the first pass removes the copies and the last one, whose outcomes the
//! receipt tells, finds none. So what was removed before is remembered until then, and told in the receipt. What this is
//! not: kept. A worker that starts again begins with no memory, and tells what its own passes have found.
//!
//! Invariant: bounded ([`FOUND_RUNS_MAX`] runs of neighbours with the same outcome, of all passes together); what does
//! not fit is not remembered, and nothing that was remembered is told of another position.

use std::collections::VecDeque;

use crate::invalidation::Seq;
use crate::limits::FOUND_RUNS_MAX;
use crate::receipt::Settled;

/// See the module.
pub(super) struct Found {
    /// Of each pass but the last: runs in the order of the log, without overlap, for a pass never goes back.
    passes: Vec<VecDeque<Run>>,
    /// Of all of them.
    runs: usize,
}

/// Neighbours in the log from which copies were removed, with the same outcome.
struct Run {
    /// They begin behind this position.
    after: Seq,
    upto: Seq,
    outcome: Settled,
}

impl Found {
    /// For as many passes as end with this one.
    pub(super) fn new(last_pass: usize) -> Self {
        Self { passes: std::iter::repeat_with(VecDeque::new).take(last_pass).collect(), runs: 0 }
    }

    /// Takes the outcomes of a pass behind a position. After the last pass they come back with what the passes before
    /// it have removed.
    pub(super) fn pass(&mut self, pass: usize, after: Seq, outcomes: Vec<Settled>) -> Vec<Settled> {
        if pass < self.passes.len() {
            self.note(pass, after, &outcomes);
            return outcomes;
        }
        self.complete(after, outcomes)
    }

    fn note(&mut self, pass: usize, mut after: Seq, outcomes: &[Settled]) {
        for equal in outcomes.chunk_by(|one, next| one == next) {
            let upto = after.plus(equal.len() as u64);
            match &equal[0] {
                outcome @ (Settled::Applied | Settled::AppliedTo(_)) => {
                    self.add(pass, Run { after, upto, outcome: outcome.clone() });
                }
                Settled::Absent | Settled::Refused(_) => {}
            }
            after = upto;
        }
    }

    fn add(&mut self, pass: usize, run: Run) {
        let runs = &mut self.passes[pass];
        match runs.back_mut() {
            Some(last) if last.upto == run.after && last.outcome == run.outcome => last.upto = run.upto,
            Some(_) | None if self.runs < FOUND_RUNS_MAX => {
                runs.push_back(run);
                self.runs += 1;
            }
            Some(_) | None => {}
        }
    }

    fn complete(&mut self, after: Seq, mut outcomes: Vec<Settled>) -> Vec<Settled> {
        let upto = after.plus(outcomes.len() as u64);
        for runs in &mut self.passes {
            while let Some(run) = runs.front()
                && run.after < upto
            {
                for seq in run.after.max(after).0..run.upto.min(upto).0 {
                    // The outcome at a place is that of the position behind it. A batch's length fits.
                    let place = usize::try_from(seq - after.0).unwrap_or(usize::MAX);
                    if let Some(outcome) = outcomes.get_mut(place) {
                        *outcome = std::mem::replace(outcome, Settled::Absent).after(&run.outcome);
                    }
                }
                // The rest of this run is behind what the last pass has come to.
                if run.upto > upto {
                    break;
                }
                runs.pop_front();
                self.runs -= 1;
            }
        }
        outcomes
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use proptest::prelude::*;

    use super::*;
    use crate::receipt::Refusal;

    fn to(copies: u32) -> Settled {
        Settled::AppliedTo(NonZeroU32::new(copies).expect("not none"))
    }

    #[test]
    fn receipt_tells_what_the_first_pass_removed_though_the_last_found_nothing() {
        let mut found = Found::new(2);
        found.pass(0, Seq(10), vec![to(2), Settled::Absent, Settled::Applied]);
        found.pass(1, Seq(10), vec![Settled::Absent, to(1), Settled::Absent]);
        found.pass(0, Seq(13), vec![to(3)]);
        assert_eq!(found.pass(2, Seq(10), vec![Settled::Absent, Settled::Absent]), [to(2), to(1)]);
        assert_eq!(found.pass(2, Seq(12), vec![Settled::Absent]), [Settled::Applied]);
        assert_eq!(found.pass(2, Seq(13), vec![to(1)]), [to(3)], "the most of one pass, not the sum");
        assert_eq!(found.runs, 0);
    }

    #[test]
    fn what_is_refused_at_last_is_refused() {
        let mut found = Found::new(1);
        found.pass(0, Seq(0), vec![to(1)]);
        let refused = Settled::Refused(Refusal::Unanswered { attempts: 10 });
        assert_eq!(found.pass(1, Seq(0), vec![refused.clone()]), [refused]);
    }

    #[test]
    fn only_pass_tells_what_it_found() {
        let mut found = Found::new(0);
        assert_eq!(found.pass(0, Seq(4), vec![to(1), Settled::Absent]), [to(1), Settled::Absent]);
    }

    #[test]
    fn memory_is_bounded_and_what_does_not_fit_is_told_by_the_last_pass_alone() {
        let mut found = Found::new(1);
        let many = u32::try_from(FOUND_RUNS_MAX).expect("small") + 5;
        // Neighbours differ, so each is a run of its own.
        found.pass(0, Seq(0), (1..=many).map(to).collect());
        assert_eq!(found.runs, FOUND_RUNS_MAX);
        let told = found.pass(1, Seq(0), vec![Settled::Absent; FOUND_RUNS_MAX + 5]);
        assert_eq!(told[..FOUND_RUNS_MAX], (1..=many - 5).map(to).collect::<Vec<_>>());
        assert_eq!(told[FOUND_RUNS_MAX..], vec![Settled::Absent; 5]);
        assert_eq!(found.runs, 0, "there is room again");
    }

    proptest! {
        /// Against a table of all that was ever told.
        #[test]
        fn each_position_is_told_the_most_that_a_pass_removed_there(
            steps in proptest::collection::vec((0usize..3, proptest::collection::vec(0u32..3, 1..6)), 1..60)
        ) {
            let mut found = Found::new(2);
            let mut cursors = [0u64; 3];
            let mut most = std::collections::HashMap::<u64, u32>::new();
            for (pass, copies) in steps {
                let after = cursors[pass];
                let allowed = pass.checked_sub(1).map_or(u64::MAX, |before| cursors[before]);
                let room = usize::try_from(allowed - after).unwrap_or(usize::MAX).min(copies.len());
                let outcome = |copies: &u32| if *copies == 0 { Settled::Absent } else { to(*copies) };
                let told = found.pass(pass, Seq(after), copies[..room].iter().map(outcome).collect());
                for (seq, copies) in (after..).zip(&copies[..room]) {
                    let most = most.entry(seq).or_default();
                    *most = (*most).max(*copies);
                }
                if pass == 2 {
                    let expect: Vec<Settled> = (after..).take(room).map(|seq| outcome(&most[&seq])).collect();
                    prop_assert_eq!(told, expect);
                }
                cursors[pass] += room as u64;
            }
        }
    }
}
