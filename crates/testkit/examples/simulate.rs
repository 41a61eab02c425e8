//! Simulations, as many as are wanted: `just sim --seeds 1000`, or one: `just sim --seed 17`.
//!
//! What this is: seeds played one after the other ([`catharsis_testkit::sim::run`]); each that breaks a promise prints it,
//! with the line that plays it again. `--purges N` ends it after so many node-purges, `--first` at the first broken
//! promise; `--trace` prints all that happens. What this is not: a judge; that is in the simulation.

use std::process::ExitCode;
use std::time::Instant;

use catharsis_testkit::sim::Telling;
use catharsis_testkit::sim::run::{Planted, play_telling};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |name: &str| -> Option<u64> {
        let at = words.iter().position(|word| word == name)?;
        words.get(at + 1)?.parse().ok()
    };
    let seeds = match number("--seed") {
        Some(seed) => seed..seed + 1,
        None => number("--from").unwrap_or(0)..number("--from").unwrap_or(0) + number("--seeds").unwrap_or(100),
    };
    let enough = number("--purges").unwrap_or(u64::MAX);
    let is_first_enough = words.iter().any(|word| word == "--first");
    let is_told = words.iter().any(|word| word == "--trace");
    let telling = if is_told { Telling::Aloud } else { Telling::Quiet };
    let began = Instant::now();
    let (mut purges, mut reads, mut judged, mut failed) = (0, 0, 0, 0);
    let mut played_seeds = 0;
    for seed in seeds {
        let played = play_telling(seed, Planted::Nothing, telling);
        played_seeds += 1;
        purges += played.node_purges;
        reads += played.reads;
        judged += played.judged;
        if !played.broken.is_empty() {
            failed += 1;
            println!("BROKEN after {purges} node-purges: just sim --seed {seed}");
            for what in played.broken.iter().take(5) {
                println!("    {what}");
            }
        }
        if played_seeds % 1_000 == 0 {
            println!("{played_seeds} seeds, {purges} node-purges, {failed} broken, {:.0?}", began.elapsed());
        }
        if purges >= enough || (is_first_enough && failed > 0) {
            break;
        }
    }
    println!(
        "{played_seeds} seeds, {purges} node-purges, {reads} reads, {judged} of them judged, {failed} broken, {:.1?}",
        began.elapsed()
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
