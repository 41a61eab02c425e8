//! `cargo xtask bench`: what the service costs, each row beside its limit measured in the same run.
//!
//! What this is: real processes (the release binary, Varnish, nginx) on free loopback ports, a load
//! generator without a client library, and processor time from the operating system. What this is not:
//! a test; nothing here passes or fails.

mod accept;
mod deliver;
mod hits;
mod load;
mod machine;
mod rows;
mod server;
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

/// Measures all rows and prints them; with `write` also into docs/performance.md.
///
/// # Errors
/// When a part cannot be built or started, or an answer is not what it should be.
pub fn run(write: bool) -> anyhow::Result<ExitCode> {
    let repository = crate::repository();
    if cfg!(debug_assertions) {
        // An unoptimised load generator would measure itself: go on in the release build.
        println!("building the release load generator");
        let flag: &[&str] = if write { &["--write"] } else { &[] };
        let status = Command::new("cargo")
            .args(["run", "--quiet", "--release", "--package", "xtask", "--", "bench"])
            .args(flag)
            .current_dir(&repository)
            .status()?;
        return Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    build(&repository)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let machine = machine::describe()?;
    println!("{machine}");
    let rows = runtime.block_on(rows::all(&repository.join("target/release/catharsis")))?;
    let table = table(&rows);
    println!("\n{table}");
    if write {
        let page = repository.join("docs/performance.md");
        let text = std::fs::read_to_string(&page)?;
        std::fs::write(&page, replaced(&text, &format!("{machine}\n\n{table}"))?)?;
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

/// The page with what stands between its two markers replaced.
fn replaced(page: &str, figures: &str) -> anyhow::Result<String> {
    const BEGIN: &str = "<!-- bench: begin -->\n";
    const END: &str = "<!-- bench: end -->";
    let (head, rest) = page.split_once(BEGIN).context("docs/performance.md has no begin marker")?;
    let (_old, tail) = rest.split_once(END).context("docs/performance.md has no end marker")?;
    Ok(format!("{head}{BEGIN}{figures}{END}{tail}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_replace_what_stands_between_the_markers_and_nothing_else() {
        let page = "a\n<!-- bench: begin -->\nold\n<!-- bench: end -->\nb\n";
        let new = replaced(page, "new\n").expect("both markers");
        assert_eq!(new, "a\n<!-- bench: begin -->\nnew\n<!-- bench: end -->\nb\n");
        assert!(replaced("no markers", "new").is_err());
    }
}
