//! `cargo xtask bench`: what the service costs, each row beside its limit measured in the same run.
//!
//! What this is: real processes (the release binary, Varnish, nginx) on free loopback ports, a load
//! generator without a client library, and processor time from the operating system. What this is not:
//! a test; nothing here passes or fails.

mod accept;
mod deliver;
mod hits;
mod kinds;
mod latency;
mod load;
mod machine;
mod rows;
mod server;
mod tiers;
mod user;

use std::process::{Command, ExitCode};

use anyhow::{Context, bail};

pub use machine::cpu_of_tree;

/// One measured row.
#[derive(Debug)]
pub struct Row {
    /// What was done.
    pub work: String,
    /// What it took.
    pub figure: String,
    /// The budget of the design.
    pub budget: &'static str,
    /// The limit beside it.
    pub limit: String,
}

/// What can be measured by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// Accepting purges, and the history.
    Accept,
    /// Delivering a backlog to each kind of cache.
    Delivery,
    /// From acceptance to the first purge at an idle node.
    Latency,
    /// Hits on the built-in edge.
    Hits,
}

impl Part {
    /// As it is named on the command line and in the page's markers.
    const fn name(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Delivery => "delivery",
            Self::Latency => "latency",
            Self::Hits => "hits",
        }
    }
}

/// What becomes of the figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figures {
    /// They are shown.
    Shown,
    /// They are shown and written into docs/performance.md.
    Written,
}

/// Measures these parts and prints their rows; figures that are to be written go into the part's own block of
/// docs/performance.md, as soon as the part is done.
///
/// # Errors
/// When something cannot be built or started, or an answer is not what it should be.
pub fn run(parts: &[Part], figures: Figures) -> anyhow::Result<ExitCode> {
    let repository = crate::repository();
    if cfg!(debug_assertions) {
        // An unoptimised load generator would measure itself: go on in the release build.
        println!("building the release load generator");
        let status = Command::new("cargo")
            .args(["run", "--quiet", "--release", "--package", "xtask", "--", "bench"])
            .args(parts.iter().map(|part| part.name()))
            .args((figures == Figures::Written).then_some("--write"))
            .current_dir(&repository)
            .status()?;
        return Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    build(&repository)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    for part in parts {
        let machine = machine::describe()?;
        println!("{machine}");
        let rows = runtime.block_on(rows::of(*part, &repository.join("target/release/catharsis")))?;
        let table = table(&rows);
        println!("\n{table}");
        if figures == Figures::Written {
            let page = repository.join("docs/performance.md");
            let text = std::fs::read_to_string(&page)?;
            std::fs::write(&page, replaced(&text, *part, &format!("{machine}\n\n{table}"))?)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs the example `bans` of the adapters: seconds, directories a minute, objects.
///
/// # Errors
/// When it cannot be built or started.
pub fn bans(arguments: [u64; 3]) -> anyhow::Result<ExitCode> {
    let status = Command::new("cargo")
        .args(["run", "--quiet", "--release", "--package", "catharsis-adapters", "--example", "bans", "--"])
        .args(arguments.map(|argument| argument.to_string()))
        .current_dir(crate::repository())
        .status()
        .context("cargo cannot be started")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn build(repository: &std::path::Path) -> anyhow::Result<()> {
    println!("building the release binary");
    let built = Command::new("cargo")
        .args(["build", "--quiet", "--release", "--package", "catharsis-server"])
        .current_dir(repository)
        .status()
        .context("cargo cannot be started")?;
    if built.success() { Ok(()) } else { bail!("the release binary was not built") }
}

fn table(rows: &[Row]) -> String {
    let mut text = "| Work | Measured | Budget | Beside it, in the same run |\n|---|---|---|---|\n".to_owned();
    for row in rows {
        text.push_str(&format!("| {} | {} | {} | {} |\n", row.work, row.figure, row.budget, row.limit));
    }
    text
}

/// The page with what stands between the two markers of a part replaced.
fn replaced(page: &str, part: Part, figures: &str) -> anyhow::Result<String> {
    let [begin, end] = ["begin", "end"].map(|side| format!("<!-- bench {}: {side} -->", part.name()));
    let missing = |marker: &str| format!("docs/performance.md has no {marker}");
    let (head, rest) = page.split_once(&begin).with_context(|| missing(&begin))?;
    let (_old, tail) = rest.split_once(&end).with_context(|| missing(&end))?;
    Ok(format!("{head}{begin}\n{figures}{end}{tail}"))
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    #[test]
    fn figures_replace_what_stands_between_the_markers_and_nothing_else() {
        let page = "a\n<!-- bench hits: begin -->\nold\n<!-- bench hits: end -->\nb\n";
        let new = replaced(page, Part::Hits, "new\n").expect("both markers");
        assert_eq!(new, "a\n<!-- bench hits: begin -->\nnew\n<!-- bench hits: end -->\nb\n");
        assert!(replaced(page, Part::Accept, "new").is_err());
    }

    #[test]
    fn each_part_has_its_block_on_the_page_and_its_name_on_the_command_line() {
        let page = std::fs::read_to_string(crate::repository().join("docs/performance.md")).expect("a page");
        for part in Part::value_variants() {
            assert!(replaced(&page, *part, "").is_ok(), "{part:?}");
            assert_eq!(Part::from_str(part.name(), false), Ok(*part));
        }
    }
}
