//! The command line: a client of the public API.
//!
//! What this is: `purge`, `tasks`, `quota`, `nodes` and `receipts`. Each signs like any other client,
//! so the first three work against Tencent's own endpoint too; the last two are Catharsis's own.
//! What this is not: a way around the API; it knows nothing that another client could not.
//!
//! Invariant: results go to standard output, progress and complaints to standard error, and the exit
//! status tells a script what happened ([`Ended`]).

mod client;
mod console;
mod ended;
mod list;
mod purge;
mod settings;
mod show;
mod table;
mod transport;
mod visible;

use std::process::ExitCode;

pub use console::Console;
pub use ended::{Ended, Refusal};
use serde::Serialize;
use settings::Connection;

/// What can be asked for.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Command {
    /// Purge URLs, and wait until every node has settled them if asked to.
    Purge(purge::Purge),
    /// List what became of purges.
    Tasks(show::Tasks),
    /// Say what is left of today's quota.
    Quota(show::Quota),
    /// Say where every cache stands: cursor, lag, last receipt, fence. Catharsis only.
    Nodes(show::Nodes),
    /// Say what became of a task at each node. Catharsis only.
    Receipts(show::Receipts),
}

/// What a command that was asked for JSON prints when it failed and has no document of its own.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Failure {
    error: ended::Complaint,
}

impl Command {
    /// Whether a failure is to be printed as a document.
    const fn tells_failure_as_json(&self) -> bool {
        match self {
            // Its report has the error beside the tasks.
            Self::Purge(_) => false,
            Self::Tasks(it) => it.json,
            Self::Quota(it) => it.json,
            Self::Nodes(it) => it.json,
            Self::Receipts(it) => it.json,
        }
    }
}

/// Carries out a command on the process's own outputs; whatever goes wrong is said on standard error.
pub async fn run(command: Command) -> ExitCode {
    match run_on(command, &mut Console::standard()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(ended) => ended.into(),
    }
}

/// Carries out a command on the given outputs.
///
/// # Errors
/// [`Ended`], after it was told.
pub async fn run_on(command: Command, console: &mut Console) -> Result<(), Ended> {
    let json = command.tells_failure_as_json();
    let mut result = match command {
        Command::Purge(it) => purge::run(it, console).await,
        Command::Tasks(it) => show::tasks(it, console).await,
        Command::Quota(it) => show::quota(it, console).await,
        Command::Nodes(it) => show::nodes(it, console).await,
        Command::Receipts(it) => show::receipts(it, console).await,
    };
    if let (true, Err(ended)) = (json, &result) {
        console.json(&Failure { error: ended.complaint() });
    }
    // What happened to the work says more than what happened to the words about it.
    let written = console.finish();
    result = result.and(written);
    if let Err(ended) = &result {
        for (number, line) in ended.lines().iter().enumerate() {
            console.note(&if number == 0 { format!("catharsis: {line}") } else { line.clone() });
        }
    }
    result
}
