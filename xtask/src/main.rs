//! `cargo xtask CHORE`: the door to the project's chores. Each chore is a function of the library, so that tests call it too.

use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use xtask::bench::{Figures, Part};
use xtask::chaos::ChaosRun;
use xtask::oracle::OracleRun;

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "Project chores.")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, Subcommand)]
enum Chore {
    /// Check the rules of STYLE.md that a machine can see.
    Tidy,
    /// Change the rules that keep the promise, one at a time, and see whether the simulation finds it: some minutes.
    Mutants {
        /// Only those whose name contains this.
        #[arg(default_value = "")]
        only: String,
    },
    /// Measure the rows of the performance budget, each beside its limit, on real processes: some minutes after the release build.
    #[command(args_conflicts_with_subcommands = true)]
    Bench {
        /// What to measure; all of it when nothing is named.
        parts: Vec<Part>,
        /// Write the figures into docs/performance.md.
        #[arg(long)]
        write: bool,
        #[command(subcommand)]
        what: Option<Special>,
    },
    /// Purge at random moments of slow fetches and watch what clients get; see docs/testing.md.
    Oracle(OracleRun),
    /// Break everything by seeded schedules while the oracle watches; see docs/testing.md.
    Chaos(ChaosRun),
}

/// What takes too long to be a row of the bench.
#[derive(Debug, Subcommand)]
enum Special {
    /// Purge directories at a real Varnish, and show its ban list and its hits meanwhile.
    Bans {
        /// For how long, seconds.
        #[arg(long, default_value_t = 300)]
        seconds: u64,
        /// How many directories a minute.
        #[arg(long, default_value_t = 1_000)]
        per_minute: u64,
        /// Objects in the cache.
        #[arg(long, default_value_t = 20_000)]
        objects: u64,
    },
}

fn main() -> anyhow::Result<ExitCode> {
    match Arguments::parse().chore {
        Chore::Tidy => tidy(),
        Chore::Mutants { only } => xtask::mutants::run(&only),
        Chore::Bench { what: Some(Special::Bans { seconds, per_minute, objects }), .. } => {
            xtask::bench::bans([seconds, per_minute, objects])
        }
        Chore::Bench { parts, write, what: None } => {
            let parts = if parts.is_empty() { Part::value_variants() } else { &parts };
            xtask::bench::run(parts, if write { Figures::Written } else { Figures::Shown })
        }
        Chore::Oracle(run) => run.start(),
        Chore::Chaos(run) => run.start(),
    }
}

fn tidy() -> anyhow::Result<ExitCode> {
    let findings = xtask::tidy::check(&xtask::tidy::Tree::read(&xtask::repository())?);
    for finding in &findings {
        println!("{finding}");
    }
    println!("tidy: {} findings", findings.len());
    Ok(if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
