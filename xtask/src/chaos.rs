//! `cargo xtask chaos`: more schedules of faults than the tests run.
//!
//! What this is: the test `whole_chaos_loses_no_task_and_serves_nothing_old` of the server, run with other seeds.

use std::process::{Command, ExitCode};

use clap::Args;

/// What to run.
#[derive(Clone, Debug, Args)]
pub struct ChaosRun {
    /// Seeds, as `A..B`: B is left out.
    #[arg(long, default_value = "0..300")]
    seeds: String,
    /// Schedules at the same time.
    #[arg(long, default_value_t = 3)]
    at_once: u8,
}

impl ChaosRun {
    /// Runs it.
    ///
    /// # Errors
    /// When cargo cannot be started.
    pub fn start(&self) -> anyhow::Result<ExitCode> {
        let mut command = Command::new("cargo");
        command.args([
            "test",
            "--quiet",
            "--package",
            "catharsis-server",
            "--test",
            "whole",
            "--",
            "--nocapture",
            "--exact",
        ]);
        command.arg("chaos::whole_chaos_loses_no_task_and_serves_nothing_old").current_dir(crate::repository());
        command.env("CATHARSIS_CHAOS_SEEDS", &self.seeds).env("CATHARSIS_CHAOS_AT_ONCE", self.at_once.to_string());
        let ended = command.status()?;
        Ok(if ended.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
