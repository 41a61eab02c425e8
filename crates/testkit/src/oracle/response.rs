//! How the origin answers one request: drawn from a seed.
//!
//! What this is: a pure choice. Which response a request gets depends on the seed, the page and how
//! often the page was asked for, so a seed gives each page the same sequence again.

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

/// What the origin is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manners {
    /// The longest that it takes for a response, head and body.
    pub slowest: Duration,
    /// Of 100 responses, so many are as fast as can be.
    pub at_once: u8,
    /// Of 100 responses, so many fail: a status of 5xx, a body that is cut off, or silence.
    pub failing: u8,
    /// The longest `max-age`, seconds; the shortest is 1.
    pub fresh_max: u8,
}

/// How one response goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Response {
    /// From the request to the head.
    pub(super) head_after: Duration,
    /// From the head to the end of the body.
    pub(super) body_over: Duration,
    pub(super) framing: Framing,
    pub(super) ending: Ending,
    /// `max-age`, `stale-while-revalidate` and `stale-if-error`, seconds.
    pub(super) lifetimes: [u8; 3],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Length,
    Chunked,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Whole,
    /// In the midst of the body.
    CutOff,
    /// The connection is closed instead of a head.
    Silence,
    /// With this status.
    Failure(u16),
}

/// The source of chance of one part of a run: the same for the same seed, part and number.
pub(super) fn chance(seed: u64, part: u64, number: u64) -> SmallRng {
    // Odd constants, so that neighbours do not share a sequence; SmallRng mixes what it is seeded with.
    let mixed = seed ^ part.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ number.wrapping_mul(0xC2B2_AE3D_27D4_EB4F);
    SmallRng::seed_from_u64(mixed)
}

impl Response {
    pub(super) fn draw(manners: Manners, random: &mut SmallRng) -> Self {
        let of_hundred = |random: &mut SmallRng| random.random_range(0..100u8);
        let slowest = if of_hundred(random) < manners.at_once { Duration::ZERO } else { manners.slowest };
        let total = slowest.mul_f64(random.random_range(0.0..1.0));
        // All before the head, which is what fences fear most; all in the body; or a part of each.
        let head = match of_hundred(random) {
            0..50 => 1.0,
            50..70 => 0.0,
            _ => random.random_range(0.0..1.0),
        };
        let head_after = total.mul_f64(head);
        let framing = if random.random() { Framing::Length } else { Framing::Chunked };
        let ending = if of_hundred(random) >= manners.failing {
            Ending::Whole
        } else {
            match of_hundred(random) {
                0..40 => Ending::CutOff,
                40..60 => Ending::Silence,
                60..80 => Ending::Failure(500),
                _ => Ending::Failure(503),
            }
        };
        let lifetimes =
            [random.random_range(1..=manners.fresh_max), random.random_range(0..6), random.random_range(0..6)];
        Self { head_after, body_over: total.saturating_sub(head_after), framing, ending, lifetimes }
    }

    pub(super) fn cache_control(&self) -> String {
        let [fresh, revalidating, failing] = self.lifetimes;
        format!("public, max-age={fresh}, stale-while-revalidate={revalidating}, stale-if-error={failing}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANNERS: Manners = Manners { slowest: Duration::from_secs(3), at_once: 20, failing: 10, fresh_max: 3 };

    fn drawn(seed: u64) -> Vec<Response> {
        (0..2_000).map(|number| Response::draw(MANNERS, &mut chance(seed, 1, number))).collect()
    }

    #[test]
    fn oracle_origin_answers_alike_for_the_same_seed() {
        assert_eq!(drawn(7), drawn(7));
        assert_ne!(drawn(7), drawn(8));
    }

    #[test]
    fn oracle_origin_does_all_that_it_can_and_is_never_slower_than_told() {
        let drawn = drawn(7);
        assert!(drawn.iter().all(|it| it.head_after + it.body_over <= MANNERS.slowest));
        let some = |what: &dyn Fn(&Response) -> bool| drawn.iter().filter(|it| what(it)).count() >= 10;
        assert!(some(&|it| it.head_after > Duration::from_secs(2)));
        assert!(some(&|it| it.body_over > Duration::from_secs(2)));
        for ending in [Ending::CutOff, Ending::Silence, Ending::Failure(500), Ending::Failure(503)] {
            assert!(some(&|it| it.ending == ending), "{ending:?}");
        }
        assert!(some(&|it| it.framing == Framing::Chunked) && some(&|it| it.framing == Framing::Length));
    }
}
