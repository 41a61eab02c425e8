//! Simulations with contents: what clients read through two tiers of caches, while all kinds of things fail.
//!
//! A failing seed prints the line that plays it again. docs/simulation.md says what is simulated.

use catharsis_testkit::sim::run::{Planted, Played, play};

/// Node-purges of each of the parts, which run side by side: 10^5 in all.
const PURGES: u64 = 50_000;

fn check(seed: u64) -> Played {
    let played = play(seed, Planted::Nothing);
    assert!(played.broken.is_empty(), "just sim --seed {seed}\n{:#?}", played.broken);
    played
}

fn check_from(first: u64) {
    let (mut purges, mut judged, mut seed) = (0, 0, first);
    while purges < PURGES {
        let played = check(seed);
        purges += played.node_purges;
        judged += played.judged;
        seed += 1;
    }
    assert!(judged > PURGES / 2, "of what was read, {judged} were judged: the clients are asleep");
}

#[test]
fn no_client_reads_old_content_after_done_whatever_fails_first_part() {
    check_from(0);
}

#[test]
fn no_client_reads_old_content_after_done_whatever_fails_second_part() {
    check_from(1_000_000);
}

#[test]
fn seed_plays_the_same_to_the_last_event() {
    for seed in 0..8 {
        assert_eq!(play(seed, Planted::Nothing), play(seed, Planted::Nothing), "seed {seed}");
    }
}

/// The digest tells two plays apart when a single source of chance is not the seed's.
#[test]
fn chance_that_is_not_the_seeds_is_seen() {
    let first = play(0, Planted::Dice);
    assert!((0..3).any(|_| play(0, Planted::Dice).digest != first.digest));
}

/// The judge finds a cache that says "applied" and has done nothing.
#[test]
fn simulated_cache_that_lies_is_found_by_those_who_read() {
    let found = (0..5).any(|seed| play(seed, Planted::Liar).broken.iter().any(|what| what.starts_with("m1 served")));
    assert!(found);
}
