//! Mutations of the rules that keep the promise, each of which the simulation must find.
//!
//! What this is: a list of changes of the production sources, and a run: a copy of the workspace, one change, a build, and
//! simulations until one breaks a promise, within a budget of node-purges. What this is not: a tool that invents
//! mutations. Each text occurs once in its file, which a test checks, so the list cannot rot.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, bail};

mod list;

pub use list::MUTATIONS;

/// Node-purges within which a mutation must be found.
const BUDGET: &str = "100000";

/// One change of one file.
#[derive(Debug, Clone, Copy)]
pub struct Mutation {
    /// For the table.
    pub name: &'static str,
    /// Path from the repository's root.
    pub file: &'static str,
    /// What is there, once.
    pub text: &'static str,
    /// What takes its place.
    pub instead: &'static str,
}

impl Mutation {
    /// The file's text with the change.
    ///
    /// # Errors
    /// When the text does not occur exactly once.
    pub fn apply(&self, source: &str) -> anyhow::Result<String> {
        match source.matches(self.text).count() {
            1 => Ok(source.replacen(self.text, self.instead, 1)),
            count => bail!("{}: its text occurs {count} times in {}", self.name, self.file),
        }
    }
}

/// Runs all mutations whose name contains `only`, and prints what became of each.
///
/// # Errors
/// When a copy cannot be made or does not build.
pub fn run(only: &str) -> anyhow::Result<ExitCode> {
    let root = crate::repository();
    let copy = root.join("target/mutants");
    let mut survivors = 0;
    println!("| Mutation | File | Found |\n|---|---|---|");
    for mutation in MUTATIONS.iter().filter(|it| it.name.contains(only)) {
        copy_sources(&root, &copy)?;
        let path = copy.join(mutation.file);
        let source = std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        std::fs::write(&path, mutation.apply(&source)?)?;
        let found = simulate(&copy)?;
        survivors += usize::from(found.is_none());
        println!("| {} | `{}` | {} |", mutation.name, mutation.file, found.as_deref().unwrap_or("**no**"));
    }
    println!("mutants: {survivors} not found");
    Ok(if survivors == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Copies what a build needs. Its target folder stays, so that only what changed is built again.
fn copy_sources(root: &Path, copy: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(copy)?;
    let from: Vec<PathBuf> =
        ["crates", "xtask", "Cargo.toml", "Cargo.lock", "rust-toolchain.toml"].iter().map(|it| root.join(it)).collect();
    // `cp -u` keeps times of what is the same; what a mutation changed is newer than its source, so it goes first.
    for mutation in MUTATIONS {
        let _ = std::fs::remove_file(copy.join(mutation.file));
    }
    let copied = Command::new("cp").arg("-ru").args(from).arg(copy).status()?;
    if copied.success() { Ok(()) } else { bail!("copying failed") }
}

/// Builds and simulates; what was found after how many node-purges, with its seed.
fn simulate(copy: &Path) -> anyhow::Result<Option<String>> {
    let cargo = |word: &str| {
        let mut command = Command::new("cargo");
        command.current_dir(copy).args([word, "--quiet", "--package", "catharsis-testkit", "--example", "simulate"]);
        command.env("CARGO_TARGET_DIR", copy.join("target"));
        command
    };
    if !cargo("build").status()?.success() {
        bail!("a mutation does not build, which finds nothing");
    }
    let output = cargo("run").args(["--", "--seeds", "1000000", "--first", "--purges", BUDGET]).output()?;
    if output.status.success() {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let mut lines = text.lines().skip_while(|line| !line.starts_with("BROKEN"));
    Ok(Some(match lines.next() {
        Some(line) => line.trim_start_matches("BROKEN ").to_owned(),
        None => "a worker panicked".to_owned(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mutation_names_a_text_that_occurs_once() {
        assert!(MUTATIONS.len() >= 12);
        for mutation in MUTATIONS {
            let source = std::fs::read_to_string(crate::repository().join(mutation.file)).expect("its file is there");
            assert_ne!(mutation.apply(&source).expect("its text occurs once"), source);
        }
    }
}
