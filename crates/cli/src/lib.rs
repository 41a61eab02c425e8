//! The command line: a client of the public API.
//!
//! What this is: `purge`, `tasks`, `quota`, `nodes` and `receipts`. Each signs like any other client,
//! so the first three work against Tencent's own endpoint too; the last two are Catharsis's own.
//! What this is not: a way around the API; it knows nothing that another client could not.
//!
//! Invariant: results go to standard output, progress and complaints to standard error, and the exit
//! status tells a script what happened ([`Ended`]).

mod client;
mod ended;
mod purge;
mod settings;
mod show;
mod table;
mod urls;

use std::process::ExitCode;

pub use ended::Ended;
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

/// Carries out a command; whatever goes wrong is said on standard error.
pub async fn run(command: Command) -> ExitCode {
    let result = match command {
        Command::Purge(it) => purge::run(it).await,
        Command::Tasks(it) => show::tasks(it).await,
        Command::Quota(it) => show::quota(it).await,
        Command::Nodes(it) => show::nodes(it).await,
        Command::Receipts(it) => show::receipts(it).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(ended) => {
            eprintln!("catharsis: {ended}");
            ended.into()
        }
    }
}
