//! How far a node has come, pass by pass (pure).
//!
//! A bounded fence sends each purge several times. Rather than remember every purge until its last
//! repetition, the relay gives each pass a cursor of its own over the log and re-reads it: pass `k`
//! may go as far as pass 0 had come `passes[k]` ago. So the state of a worker is a few cursors and
//! a short list of marks, whatever the load. What the last pass has carried out becomes the node's
//! cursor once its receipt is kept, which is none of this module's business: a pass waits for the one
//! before it to be carried out, never for a receipt.
//!
//! Behind an origin hop ([`Schedule::Landed`]) there are two passes, and the second goes as far as the hop says that
//! whatever the purges overtook has landed, at whatever time.
//!
//! Invariant: the cursors never rise along the passes (`cursors[0] >= cursors[1] >= ...`), and none
//! goes back.

use std::collections::VecDeque;
use std::time::Duration;

use crate::clock::Tick;
use crate::invalidation::Seq;
use crate::limits::FENCE_MARKS;
use crate::topology::Schedule;

/// The cursors of one node's passes.
#[derive(Clone, Debug)]
pub struct Progress {
    /// When each pass is due after the first. Behind a hop all at once, as far as time goes.
    passes: Vec<Duration>,
    /// How far a pass after the first may go besides, by what has landed; `None` where there is no hop.
    landed: Option<Seq>,
    /// How far each pass has come.
    cursors: Vec<Seq>,
    /// When pass 0 had come how far, oldest first.
    marks: VecDeque<Mark>,
    /// Marks closer than this are merged, so that there are at most [`FENCE_MARKS`] and a few.
    granularity: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Mark {
    upto: Seq,
    /// When the first position it covers was applied; merging ends one granularity later.
    first: Tick,
    /// When the last one was: passes count from here.
    last: Tick,
}

/// What a worker can do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// Carry out what lies behind `after` up to `upto`, in this pass.
    Apply(Span),
    /// Nothing before this point in time; `None`: not before the log or the shield moves.
    Wait(Option<Tick>),
}

/// A run of the log for one pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Which pass, from 0.
    pub pass: usize,
    /// The pass's cursor.
    pub after: Seq,
    /// How far it may go now.
    pub upto: Seq,
}

impl Span {
    /// What of this span comes next, at most `max` positions, behind what is `under_way` of it; `None` when that is
    /// nothing, or when what is under way is not where the span begins: that has to end first.
    #[must_use]
    pub fn part_behind(self, under_way: Option<Self>, max: u64) -> Option<Self> {
        let after = match under_way {
            None => self.after,
            Some(it) if (it.pass, it.after) == (self.pass, self.after) => it.upto,
            Some(_) => return None,
        };
        let upto = self.upto.min(after.plus(max));
        (after < upto).then_some(Self { after, upto, ..self })
    }
}

impl Progress {
    /// A node that has settled everything up to `cursor`. Repeats that were due when the last
    /// worker ended are lost with it, so every pass begins at the settled cursor again.
    #[must_use]
    pub fn new(cursor: Seq, schedule: Schedule) -> Self {
        let (passes, landed) = match schedule {
            Schedule::Timed(passes) => (passes, None),
            Schedule::Landed => (vec![Duration::ZERO; 2], Some(cursor)),
        };
        let granularity = match landed {
            None => passes.last().copied().unwrap_or_default() / FENCE_MARKS,
            Some(_) => LANDING_GRANULARITY,
        };
        Self { cursors: vec![cursor; passes.len()], passes, landed, marks: VecDeque::new(), granularity }
    }

    /// Notes that what the purges up to `upto` overtook has landed, as far as the first pass had come when the hop
    /// was asked.
    pub fn landed(&mut self, upto: Seq) {
        self.landed = self.landed.map(|landed| landed.max(upto));
    }

    /// How long the fence has made a pass up to `upto` wait, that is carried out at `now`.
    #[must_use]
    pub fn waited(&self, upto: Seq, now: Tick) -> Duration {
        let mark = self.marks.iter().find(|mark| mark.upto >= upto);
        mark.map_or(Duration::ZERO, |mark| now.since(mark.first))
    }

    /// The last pass: its progress becomes the node's cursor.
    #[must_use]
    pub const fn last_pass(&self) -> usize {
        self.passes.len() - 1
    }

    /// How far the first pass has come.
    #[must_use]
    pub fn applied(&self) -> Seq {
        self.cursors[0]
    }

    /// What to do next, when the log (and the shield above) allow positions up to `limit`.
    ///
    /// Later passes go first: they are finite work that earlier passes caused, and the node's
    /// cursor waits for them.
    #[must_use]
    pub fn ready(&self, limit: Seq, now: Tick) -> Ready {
        let mut wake: Option<Tick> = None;
        for pass in (1..self.passes.len()).rev() {
            let after = self.cursors[pass];
            match self.due(pass, now) {
                Some(upto) if upto > after => return Ready::Apply(Span { pass, after, upto }),
                _ => wake = earlier(wake, self.next_due(pass)),
            }
        }
        if limit > self.cursors[0] {
            return Ready::Apply(Span { pass: 0, after: self.cursors[0], upto: limit });
        }
        Ready::Wait(wake)
    }

    /// Notes that a pass has come to `upto`, at `now`.
    pub fn record(&mut self, pass: usize, upto: Seq, now: Tick) {
        self.cursors[pass] = self.cursors[pass].max(upto);
        if pass == 0 && self.passes.len() > 1 {
            self.mark(upto, now);
        }
        if pass == self.last_pass() {
            let settled = self.cursors[pass];
            while self.marks.front().is_some_and(|mark| mark.upto <= settled) {
                self.marks.pop_front();
            }
        }
    }

    fn mark(&mut self, upto: Seq, now: Tick) {
        let full = self.marks.len() > 2 * FENCE_MARKS as usize;
        match self.marks.back_mut() {
            // Merging moves the newest mark's time forward: later than needed is always safe.
            Some(mark) if now.since(mark.first) < self.granularity || full => {
                mark.upto = upto;
                mark.last = now;
            }
            _ => self.marks.push_back(Mark { upto, first: now, last: now }),
        }
    }

    /// How far a pass may go: what the pass before it has carried out, and what pass 0 had carried
    /// out long enough ago.
    fn due(&self, pass: usize, now: Tick) -> Option<Seq> {
        let old_enough = |mark: &&Mark| mark.last.after(self.passes[pass]) <= now;
        let old = match self.landed {
            None => self.marks.iter().take_while(old_enough).last()?.upto,
            Some(landed) => landed,
        };
        Some(old.min(self.cursors[pass - 1]))
    }

    /// When a pass is due next by time; never where it goes by what has landed.
    fn next_due(&self, pass: usize) -> Option<Tick> {
        if self.landed.is_some() {
            return None;
        }
        let beyond = |mark: &&Mark| mark.upto > self.cursors[pass];
        self.marks.iter().find(beyond).map(|mark| mark.last.after(self.passes[pass]))
    }
}

/// Marks closer than this are merged behind a hop, where they only tell how long a fence took. Their number is not
/// bounded by time there, so [`Progress::record`] bounds it.
const LANDING_GRANULARITY: Duration = Duration::from_millis(10);

fn earlier(one: Option<Tick>, other: Option<Tick>) -> Option<Tick> {
    match (one, other) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn at(seconds: u64) -> Tick {
        Tick(Duration::from_secs(seconds))
    }

    fn bounded() -> Progress {
        Progress::new(Seq(10), Schedule::Timed([0, 2, 60].map(Duration::from_secs).to_vec()))
    }

    #[test]
    fn purge_is_repeated_on_schedule_and_settled_after_the_last_pass() {
        let mut progress = bounded();
        assert_eq!(progress.ready(Seq(12), at(0)), Ready::Apply(Span { pass: 0, after: Seq(10), upto: Seq(12) }));
        progress.record(0, Seq(12), at(1));
        assert_eq!(progress.ready(Seq(12), at(1)), Ready::Wait(Some(at(3))));
        assert_eq!(progress.ready(Seq(12), at(3)), Ready::Apply(Span { pass: 1, after: Seq(10), upto: Seq(12) }));
        progress.record(1, Seq(12), at(4));
        assert_eq!(progress.ready(Seq(12), at(60)), Ready::Wait(Some(at(61))));
        assert_eq!(progress.ready(Seq(12), at(61)), Ready::Apply(Span { pass: 2, after: Seq(10), upto: Seq(12) }));
        progress.record(2, Seq(12), at(61));
        assert_eq!(progress.ready(Seq(12), at(900)), Ready::Wait(None));
    }

    #[test]
    fn exact_fence_settles_with_its_only_pass() {
        let mut progress = Progress::new(Seq(0), Schedule::Timed(vec![Duration::ZERO]));
        assert_eq!(progress.last_pass(), 0);
        progress.record(0, Seq(5), at(1));
        assert_eq!(progress.ready(Seq(5), at(9)), Ready::Wait(None));
    }

    #[test]
    fn purge_behind_a_hop_is_repeated_when_what_it_overtook_has_landed_and_not_before() {
        let mut progress = Progress::new(Seq(10), Schedule::Landed);
        assert_eq!(progress.ready(Seq(14), at(0)), Ready::Apply(Span { pass: 0, after: Seq(10), upto: Seq(14) }));
        progress.record(0, Seq(14), at(0));
        assert_eq!(progress.ready(Seq(14), at(900)), Ready::Wait(None), "no time is long enough");
        progress.landed(Seq(12));
        assert_eq!(progress.ready(Seq(14), at(900)), Ready::Apply(Span { pass: 1, after: Seq(10), upto: Seq(12) }));
        progress.record(1, Seq(12), at(900));
        progress.landed(Seq(14));
        assert_eq!(progress.ready(Seq(15), at(901)), Ready::Apply(Span { pass: 1, after: Seq(12), upto: Seq(14) }));
        assert_eq!(progress.waited(Seq(14), at(901)), Duration::from_secs(901));
        progress.record(1, Seq(14), at(901));
        assert_eq!(progress.ready(Seq(15), at(901)), Ready::Apply(Span { pass: 0, after: Seq(14), upto: Seq(15) }));
    }

    #[test]
    fn steady_load_cannot_postpone_a_repeat_for_ever() {
        let mut progress = bounded();
        for step in 0..10_000u64 {
            let now = Tick(Duration::from_millis(step * 10));
            progress.record(0, Seq(11 + step), now);
            assert!(progress.marks.len() <= 600, "marks are bounded");
            if let Ready::Apply(span) = progress.ready(Seq(11 + step), now) {
                progress.record(span.pass, span.upto, now);
            }
        }
        assert!(progress.cursors[2] > Seq(3_000), "the last pass follows about a minute behind");
    }

    #[test]
    fn part_follows_what_is_under_way_of_the_same_pass_and_waits_for_any_other() {
        let span = |pass, after, upto| Span { pass, after: Seq(after), upto: Seq(upto) };
        let part = |under_way| span(0, 10, 15).part_behind(under_way, 3);
        assert_eq!(part(None), Some(span(0, 10, 13)));
        assert_eq!(part(Some(span(0, 10, 13))), Some(span(0, 13, 15)));
        assert_eq!(part(Some(span(0, 10, 15))), None, "all of it is under way");
        assert_eq!(part(Some(span(0, 10, 16))), None, "what may be told has become less");
        assert_eq!(part(Some(span(1, 10, 13))), None, "another pass");
        assert_eq!(part(Some(span(0, 9, 13))), None, "not where the span begins");
    }

    proptest! {
        #[test]
        fn no_pass_runs_early_or_ahead(steps in proptest::collection::vec((0u64..40, 0u64..5), 1..80)) {
            let passes: Vec<Duration> = [0, 3, 7, 20].map(Duration::from_secs).to_vec();
            let mut progress = Progress::new(Seq(0), Schedule::Timed(passes.clone()));
            let mut applied_at: Vec<u64> = Vec::new();
            let (mut now, mut head) = (0, 0);
            for (wait, arrivals) in steps {
                now += wait;
                head += arrivals;
                while let Ready::Apply(span) = progress.ready(Seq(head), at(now)) {
                    for seq in span.after.0..span.upto.0 {
                        if span.pass == 0 {
                            applied_at.push(now);
                        } else {
                            let since = now - applied_at[usize::try_from(seq).expect("small")];
                            prop_assert!(Duration::from_secs(since) >= passes[span.pass]);
                        }
                    }
                    progress.record(span.pass, span.upto, at(now));
                    prop_assert!(progress.cursors.windows(2).all(|pair| pair[0] >= pair[1]));
                }
            }
        }
    }
}
