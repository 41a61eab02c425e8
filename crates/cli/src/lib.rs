//! The command line: a client of the public API, and of the operator's.
//!
//! What this is: `purge`, `purge-path`, `push`, `tasks`, `push-tasks`, `quota`, `domains`, `nodes` and
//! `receipts`. Each signs like any other client, so all but the last two work against Tencent's own
//! endpoint too; those are Catharsis's own. The commands in [`admin`] call the admin API instead.
//! What this is not: a way around the API; it knows nothing that another client could not.
//!
//! Invariant: results go to standard output, progress and complaints to standard error, and the exit
//! status tells a script what happened ([`Ended`]).

mod admin;
mod client;
mod console;
mod ended;
mod history;
mod list;
mod pages;
mod purge;
mod receipts;
mod settings;
mod show;
mod submit;
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
    Purge(Box<purge::Purge>),
    /// Purge everything below directories.
    PurgePath(Box<purge::PurgePath>),
    /// Fetch URLs into the caches before anybody asks for them.
    Push(Box<purge::Push>),
    /// List what became of purges.
    Tasks(history::Tasks),
    /// List what became of prefetches.
    PushTasks(history::PushTasks),
    /// Say what is left of today's quota; with a verb, manage the quotas of any account.
    Quota(show::Quota),
    /// List the account's domains.
    Domains(show::Domains),
    /// Say where every cache stands: cursor, lag, last receipt, fence. Catharsis only.
    Nodes(show::Nodes),
    /// Say what became of a task at each node, sign it, check what was signed. Catharsis only.
    Receipts(receipts::Receipts),
    /// Manage root accounts, their service state and limits. Operator.
    Account(Box<admin::account::Account>),
    /// Manage the users (sub-accounts) of an account. Operator.
    User(admin::user::User),
    /// Manage and rotate key pairs. Operator.
    Key(admin::key::Key),
    /// Make temporary credentials. Operator.
    Token(admin::key::Token),
    /// Manage CAM policies, and ask why they allow or deny. Operator.
    Policy(Box<admin::policy::Policy>),
    /// Manage domains of any account. Operator.
    Domain(admin::domain::Domain),
    /// Manage webhooks of any account. Operator.
    Webhook(admin::webhook::Webhook),
}

/// What a command that was asked for JSON prints when it failed and has no document of its own.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Failure {
    error: ended::Complaint,
}

impl Command {
    /// Whether a failure is to be printed as a document.
    fn tells_failure_as_json(&self) -> bool {
        match self {
            // Its report has the error beside the tasks.
            Self::Purge(_) | Self::PurgePath(_) | Self::Push(_) => false,
            Self::Tasks(it) => it.query.json,
            Self::PushTasks(it) => it.query.json,
            Self::Domains(it) => it.json,
            Self::Quota(it) => it.prints_json(),
            Self::Nodes(it) => it.json,
            Self::Receipts(it) => it.prints_json(),
            Self::Account(it) => it.operator.json,
            Self::User(it) => it.operator.json,
            Self::Key(it) => it.operator.json,
            Self::Token(it) => it.operator.json,
            Self::Policy(it) => it.operator.json,
            Self::Domain(it) => it.operator.json,
            Self::Webhook(it) => it.operator.json,
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
        Command::Purge(it) => purge::run(*it, console).await,
        Command::PurgePath(it) => purge::run_path(*it, console).await,
        Command::Push(it) => purge::run_push(*it, console).await,
        Command::Tasks(it) => history::tasks(it, console).await,
        Command::PushTasks(it) => history::push_tasks(it, console).await,
        Command::Domains(it) => show::domains(it, console).await,
        Command::Quota(it) => show::quota(it, console).await,
        Command::Nodes(it) => show::nodes(it, console).await,
        Command::Receipts(it) => receipts::run(it, console).await,
        Command::Account(it) => admin::account::run(*it, console).await,
        Command::User(it) => admin::user::run(it, console).await,
        Command::Key(it) => admin::key::run(it, console).await,
        Command::Token(it) => admin::key::run_token(it, console).await,
        Command::Policy(it) => admin::policy::run(*it, console).await,
        Command::Domain(it) => admin::domain::run(it, console).await,
        Command::Webhook(it) => admin::webhook::run(it, console).await,
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
