//! `cargo xtask oracle`: runs of the oracle that are longer than those of the tests.
//!
//! What this is: the tests `whole_oracle_…` of the server, run with other numbers. They say what they do,
//! and end with one line a set-up.

use std::process::{Command, ExitCode};

use clap::{Args, ValueEnum};

/// What to run.
#[derive(Clone, Debug, Args)]
pub struct OracleRun {
    /// Which caches; all when nothing is named.
    #[arg(long = "setup", value_name = "NAME")]
    set_ups: Vec<SetUp>,
    /// How many purges at each.
    #[arg(long, default_value_t = 10_000)]
    purges: u64,
    /// What chance comes from; each run tells its own.
    #[arg(long)]
    seed: Option<u64>,
    /// The same with the fence switched off: it must show violations.
    #[arg(long)]
    no_fence: bool,
    /// How many set-ups run at the same time.
    #[arg(long, default_value_t = 1)]
    at_once: u8,
    /// With a server and edges built for release.
    #[arg(long)]
    release: bool,
}

/// The set-ups of crates/server/tests/whole/oracle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum SetUp {
    /// The built-in edge.
    Edge,
    /// The built-in edge behind another one as its shield.
    EdgeBehindShield,
    /// Varnish with a bounded fence.
    VarnishBounded,
    /// nginx with a bounded fence.
    NginxBounded,
    /// Varnish behind an origin hop.
    VarnishHop,
    /// nginx behind an origin hop.
    NginxHop,
}

impl SetUp {
    /// The test with its fence, and the one without.
    const fn tests(self) -> [&'static str; 2] {
        match self {
            Self::Edge => ["sees_nothing_old_at_the_edge", "catches_an_edge_that_is_told_nothing"],
            Self::EdgeBehindShield => {
                ["sees_nothing_old_at_an_edge_behind_a_shield", "catches_a_shield_that_is_told_nothing"]
            }
            Self::VarnishBounded => {
                ["sees_nothing_old_at_varnish_with_a_bounded_fence", "catches_varnish_without_a_fence"]
            }
            Self::NginxBounded => ["sees_nothing_old_at_nginx_with_a_bounded_fence", "catches_nginx_without_a_fence"],
            Self::VarnishHop => {
                ["sees_nothing_old_at_varnish_with_a_hop", "catches_varnish_behind_a_hop_without_its_fence"]
            }
            Self::NginxHop => ["sees_nothing_old_at_nginx_with_a_hop", "catches_nginx_behind_a_hop_without_its_fence"],
        }
    }
}

impl OracleRun {
    /// Runs it.
    ///
    /// # Errors
    /// When cargo cannot be started.
    pub fn start(&self) -> anyhow::Result<ExitCode> {
        let set_ups = if self.set_ups.is_empty() { SetUp::value_variants() } else { &self.set_ups };
        let [fenced, unfenced] = [0, 1];
        let which = if self.no_fence { unfenced } else { fenced };
        let tests = set_ups.iter().map(|set_up| format!("oracle::whole_oracle_{}", set_up.tests()[which]));
        let mut command = Command::new("cargo");
        command.args(["test", "--quiet", "--package", "catharsis-server", "--test", "whole"]);
        if self.release {
            command.arg("--release");
        }
        command.args(["--", "--nocapture", "--exact", "--test-threads", &self.at_once.to_string()]).args(tests);
        command.env("CATHARSIS_ORACLE_PURGES", self.purges.to_string()).current_dir(crate::repository());
        if let Some(seed) = self.seed {
            command.env("CATHARSIS_ORACLE_SEED", seed.to_string());
        }
        let ended = command.status()?;
        Ok(if ended.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
