//! `cargo xtask oracle`: runs of the oracle that are longer than those of the tests.
//!
//! What this is: the tests `whole_oracle_…` of the server, run with other numbers. They say what they do,
//! and end with one line a set-up.

use std::process::{Command, ExitCode};

use catharsis_testkit::oracle::SetUp;
use clap::Args;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

/// What to run.
#[derive(Clone, Debug, Args)]
pub struct OracleRun {
    /// Which caches; all when nothing is named.
    #[arg(long = "setup", value_name = "NAME", value_parser = set_up())]
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

/// A set-up by its name.
fn set_up() -> impl TypedValueParser<Value = SetUp> {
    let names = SetUp::all().map(|set_up| PossibleValue::new(set_up.name()));
    PossibleValuesParser::new(names).map(|name| {
        let named = SetUp::all().find(|set_up| set_up.name() == name);
        named.expect("the parser takes no other name")
    })
}

impl OracleRun {
    /// Runs it.
    ///
    /// # Errors
    /// When cargo cannot be started.
    pub fn start(&self) -> anyhow::Result<ExitCode> {
        let all: Vec<SetUp> = SetUp::all().collect();
        let set_ups = if self.set_ups.is_empty() { &all } else { &self.set_ups };
        let [fenced, unfenced] = [0, 1];
        let which = if self.no_fence { unfenced } else { fenced };
        let tests = set_ups.iter().map(|set_up| set_up.tests()[which].clone());
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

/// Cargo is content with a test that is not there.
#[test]
fn each_set_up_of_the_oracle_has_its_two_tests() {
    let tests = include_str!("../../crates/server/tests/whole/oracle.rs");
    for test in SetUp::all().flat_map(SetUp::tests) {
        let name = test.strip_prefix("oracle::").expect("they are of that module");
        assert!(tests.contains(&format!("async fn {name}()")), "{name}");
    }
}
