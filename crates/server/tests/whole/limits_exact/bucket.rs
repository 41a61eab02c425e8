//! Whether what clients saw fits a bucket of `rate` calls that gets `rate` more each second.
//!
//! What this is: a judge that knows when each call was sent, when its end was seen and how it ended, and
//! nothing of the server. What this is not: a model of a limiter: where between the two moments a call
//! was counted, it leaves open, and decides only what is so for every possible moment.
//!
//! Invariant: an exact limiter is never accused. What is counted below is in parts of a call, a billion
//! to one, so that a rate of `r` gives `r` parts each nanosecond and nothing is rounded.

/// Nanoseconds since the run began.
pub(super) type Moment = u64;

/// One call, in parts.
const CALL: i64 = 1_000_000_000;

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Accepted,
    Refused,
    /// The server was killed: it may have been counted or not.
    Unanswered,
}

/// A call as its client saw it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) sent: Moment,
    pub(super) ended: Moment,
    pub(super) how: Ended,
}

/// What clients of one account and action saw.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) calls: Vec<Call>,
    /// When a killed server was certainly gone: what it counted, it had counted by then.
    pub(super) deaths: Vec<Moment>,
}

/// The judgement.
#[derive(Clone, Debug)]
pub(super) struct Verdict {
    /// The lowest room, in calls, of any span: what it may hold less what it certainly held. Below zero,
    /// more calls passed than may.
    pub(super) room: f64,
    /// The most, in calls, that was certainly left whenever a call was refused. From one on, a call was
    /// refused that was free.
    pub(super) left: f64,
}

impl Verdict {
    pub(super) fn is_exact(&self) -> bool {
        !self.exceeds() && !self.refuses_early()
    }

    pub(super) fn exceeds(&self) -> bool {
        self.room < 0.0
    }

    pub(super) fn refuses_early(&self) -> bool {
        self.left >= 1.0
    }
}

impl Seen {
    pub(super) fn count(&self, how: Ended) -> usize {
        self.calls.iter().filter(|call| call.how == how).count()
    }

    /// Judges it against a rate.
    pub(super) fn judge(&self, rate: u32) -> Verdict {
        let rate = i64::from(rate);
        let calls: Vec<Call> = self.calls.iter().map(|call| self.at_the_latest(*call)).collect();
        let room = room(&calls, rate);
        let uses = Uses::of(&calls, &self.deaths, rate);
        let refused = calls.iter().filter(|call| call.how == Ended::Refused);
        let left = refused.map(|call| uses.left_throughout(call)).max().unwrap_or(0);
        Verdict { room: in_calls(room), left: in_calls(left) }
    }

    /// A call to a server that was killed was counted before its death, whenever the client noticed.
    fn at_the_latest(&self, call: Call) -> Call {
        let death = self.deaths.iter().copied().filter(|death| *death > call.sent).min();
        Call { ended: death.map_or(call.ended, |death| call.ended.min(death)), ..call }
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn in_calls(parts: i64) -> f64 {
    parts as f64 / CALL as f64
}

fn span(from: Moment, to: Moment) -> i64 {
    i64::try_from(to.saturating_sub(from)).expect("a run lasts minutes")
}

/// The lowest room of any span: `rate + rate · t` less the accepted calls that began and ended in it. The
/// tightest spans begin where a call was sent and end where an answer came.
fn room(calls: &[Call], rate: i64) -> i64 {
    let mut accepted: Vec<&Call> = calls.iter().filter(|call| call.how == Ended::Accepted).collect();
    accepted.sort_by_key(|call| std::cmp::Reverse(call.sent));
    let mut ends: Vec<Moment> = Vec::with_capacity(accepted.len());
    let mut lowest = rate * CALL;
    for call in accepted {
        ends.insert(ends.partition_point(|end| *end < call.ended), call.ended);
        for (held, end) in (1..).zip(&ends) {
            lowest = lowest.min(rate * CALL + rate * span(call.sent, *end) - held * CALL);
        }
    }
    lowest
}

/// The calls that were counted, or may have been.
struct Uses {
    rate: i64,
    /// When they were sent, in order.
    sent: Vec<Moment>,
    /// When they had ended, in order.
    ended: Vec<Moment>,
    floors: Vec<Floor>,
}

/// A moment from which on what is left is reckoned.
struct Floor {
    /// `None`: from the beginning, when the bucket was full.
    from: Option<Moment>,
    /// How many uses had ended by then.
    before: usize,
    /// For each use that ended later the least, up to it, of: the uses that ended before it, less the
    /// refill until it. So the least over many spans is found at once.
    least: Vec<i64>,
}

impl Floor {
    fn new(from: Option<Moment>, ended: &[Moment], rate: i64) -> Self {
        let before = from.map_or(0, |from| ended.partition_point(|end| *end <= from));
        let least = ended[before..].iter().scan(i64::MAX, |least, end| {
            *least = (*least).min(calls(ended.partition_point(|other| other < end)) - rate * span(0, *end));
            Some(*least)
        });
        Self { from, before, least: least.collect() }
    }
}

impl Uses {
    fn of(calls: &[Call], deaths: &[Moment], rate: i64) -> Self {
        let uses = || calls.iter().filter(|call| call.how != Ended::Refused);
        let mut sent: Vec<Moment> = uses().map(|call| call.sent).collect();
        let mut ended: Vec<Moment> = uses().map(|call| call.ended).collect();
        sent.sort_unstable();
        ended.sort_unstable();
        let from = deaths.iter().copied().map(Some).chain([None]);
        let floors = from.map(|from| Floor::new(from, &ended, rate)).collect();
        Self { rate, sent, ended, floors }
    }

    /// What was certainly left at each moment between sending and refusal: it was refused at one of them.
    /// It only grows between moments at which a call may have been counted.
    fn left_throughout(&self, refused: &Call) -> i64 {
        let from = self.sent.partition_point(|sent| *sent < refused.sent);
        let to = self.sent.partition_point(|sent| *sent <= refused.ended);
        let within = self.sent[from..to].iter().copied().chain([refused.sent]);
        within.map(|at| self.left(at)).min().expect("at least one moment")
    }

    /// What was certainly left at a moment, at least.
    ///
    /// What is left is the least, over every earlier moment, of a full bucket then, plus the refill since,
    /// less the uses since. Each call that can have been counted since is taken for counted: those that were
    /// sent by now, but for those that ended before. A second bound holds from any moment on, since a bucket
    /// is never below empty: its refill less the uses since. That one matters after a kill, which leaves many
    /// calls of which nobody knows whether they were counted: if so, before it.
    fn left(&self, at: Moment) -> i64 {
        let full = self.rate * CALL;
        let begun = self.sent.partition_point(|sent| *sent <= at);
        let under_way = begun - self.ended.partition_point(|end| *end < at);
        let over = self.ended.partition_point(|end| *end <= at);
        let left_since = |floor: &Floor| {
            let refilled = full + self.rate * span(0, at) - calls(begun);
            let spans = over.checked_sub(floor.before + 1).map(|last| refilled + floor.least[last]);
            let full_then = spans.unwrap_or(i64::MAX).min(full - calls(under_way));
            let empty_then = floor.from.map(|from| self.rate * span(from, at) - calls(begun - floor.before));
            full_then.min(empty_then.unwrap_or(i64::MAX))
        };
        let floors = self.floors.iter().filter(|floor| floor.from.is_none_or(|from| from <= at));
        floors.map(left_since).max().expect("the beginning is one")
    }
}

fn calls(count: usize) -> i64 {
    i64::try_from(count).expect("far below") * CALL
}

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;
    use std::collections::BinaryHeap;

    use rand::rngs::SmallRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const RATE: u32 = 20;
    const CLIENTS: usize = 64;

    /// A limiter with a fault or without.
    #[derive(Clone, Copy)]
    struct Limiter {
        rate: f64,
        burst: f64,
        /// What must be left for a call to pass.
        price: f64,
        /// What a restart makes of what was left.
        restart: fn(f64) -> f64,
        left: f64,
        at: Moment,
    }

    fn exact() -> Limiter {
        Limiter { rate: 20.0, burst: 20.0, price: 1.0, restart: |left| left, left: 20.0, at: 0 }
    }

    impl Limiter {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
        fn passes(&mut self, now: Moment) -> bool {
            self.left = (self.left + self.rate * (now - self.at) as f64 / 1e9).min(self.burst);
            self.at = now;
            let passes = self.left >= self.price;
            self.left -= if passes { 1.0 } else { 0.0 };
            passes
        }
    }

    /// What 64 clients see that call on and on, for some seconds, with kills.
    fn run(mut limiter: Limiter, seed: u64, seconds: u64, kills: &[Moment]) -> Seen {
        let mut random = SmallRng::seed_from_u64(seed);
        let mut seen = Seen::default();
        let (mut from, mut first) = (0, true);
        for until in kills.iter().copied().chain([seconds * SECOND]) {
            if !first {
                limiter.left = (limiter.restart)(limiter.left);
            }
            first = false;
            // When it is decided, when it was sent.
            let mut under_way = BinaryHeap::new();
            let send = |at: Moment, random: &mut SmallRng, under_way: &mut BinaryHeap<_>| {
                under_way.push(Reverse((at + random.random_range(50_000..4_000_000), at)));
            };
            for _ in 0..CLIENTS {
                send(from + random.random_range(0..1_000_000), &mut random, &mut under_way);
            }
            while let Some(Reverse((decided, sent))) = under_way.pop() {
                if decided > until {
                    seen.calls.push(Call { sent, ended: until, how: Ended::Unanswered });
                    continue;
                }
                let how = if limiter.passes(decided) { Ended::Accepted } else { Ended::Refused };
                let ended = decided + random.random_range(50_000..4_000_000);
                let how = if ended > until { Ended::Unanswered } else { how };
                seen.calls.push(Call { sent, ended: ended.min(until), how });
                if ended <= until {
                    send(ended, &mut random, &mut under_way);
                }
            }
            seen.deaths.push(until);
            // A restart takes 0.3 s.
            from = until + 300_000_000;
        }
        seen
    }

    const KILLS: [Moment; 2] = [SECOND, 2 * SECOND + 700_000_000];

    #[test]
    fn exact_limiter_is_never_accused() {
        for seed in 0..6 {
            for kills in [&[][..], &KILLS] {
                let verdict = run(exact(), seed, 4, kills).judge(RATE);
                assert!(verdict.is_exact(), "{seed} {kills:?}: {verdict:?}");
                // And it is close to both limits, or a small fault would not show.
                assert!(verdict.room < 1.0 && verdict.left > 0.8, "{seed} {kills:?}: {verdict:?}");
            }
        }
    }

    #[test]
    fn limiter_that_admits_one_too_many_is_found() {
        for seed in 0..3 {
            assert!(run(Limiter { burst: 21.0, left: 21.0, ..exact() }, seed, 2, &[]).judge(RATE).exceeds());
            assert!(run(Limiter { rate: 20.4, ..exact() }, seed, 4, &[]).judge(RATE).exceeds());
        }
    }

    #[test]
    fn limiter_that_forgets_at_a_restart_is_found() {
        for seed in 0..3 {
            let forgets = Limiter { restart: |_| 20.0, ..exact() };
            assert!(run(forgets, seed, 3, &KILLS[..1]).judge(RATE).exceeds());
            let gives_three = Limiter { restart: |left| left + 3.0, ..exact() };
            assert!(run(gives_three, seed, 3, &KILLS[..1]).judge(RATE).exceeds());
        }
    }

    #[test]
    fn limiter_that_refuses_a_bit_too_early_is_found() {
        for seed in 0..3 {
            for (what, limiter) in [
                ("a burst of one less", Limiter { burst: 19.0, left: 19.0, ..exact() }),
                ("two per cent slower", Limiter { rate: 19.6, ..exact() }),
                ("7.5 ms late", Limiter { price: 1.15, ..exact() }),
            ] {
                let verdict = run(limiter, seed, 4, &[]).judge(RATE);
                assert!(verdict.refuses_early() && !verdict.exceeds(), "{seed} {what}: {verdict:?}");
            }
            // A debt of seven: the 0.3 s of the restart are not given back, and a bit more.
            let verdict = run(Limiter { restart: |_| -7.0, ..exact() }, seed, 4, &KILLS).judge(RATE);
            assert!(verdict.refuses_early() && !verdict.exceeds(), "{seed}: {verdict:?}");
        }
    }

    #[test]
    fn two_accounts_that_share_a_bucket_are_found() {
        let both = run(exact(), 1, 3, &[]);
        let mut halves = [Seen::default(), Seen::default()];
        for (n, call) in both.calls.into_iter().enumerate() {
            halves[n % 2].calls.push(call);
        }
        assert!(halves.iter().all(|half| half.judge(RATE).refuses_early()));
    }
}
