//! `catharsis agent`: an agent without a configuration file.
//!
//! What this is: the options of an `[[agent]]` section on the command line, checked by the same rules.
//! What this is not: another agent.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use catharsis_agent::nginx::{ENTRIES_MAX, NginxAgent};
use clap::{Args, Subcommand};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::config::{AgentKindName, AgentSection};

/// Beside what kind of cache.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Beside an nginx without a purge module (docs/caches/nginx-stock.conf).
    Nginx(NginxOptions),
}

/// The options of an agent beside an nginx.
#[derive(Debug, Args)]
pub struct NginxOptions {
    /// The directory of proxy_cache_path.
    #[arg(long, value_name = "DIR")]
    cache_dir: PathBuf,
    /// Its levels; an empty text where there are none.
    #[arg(long, value_name = "LEVELS", default_value = "1:2")]
    levels: String,
    /// The text of proxy_cache_key, such as '$host$request_uri'.
    #[arg(long, value_name = "KEY")]
    key: String,
    /// Where the relay connects. A token file is required unless this is a loopback address.
    #[arg(long, value_name = "HOST:PORT")]
    control: SocketAddr,
    /// A file that holds the token and nothing else.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Files in its index; with more, purges fail and say so.
    #[arg(long, value_name = "COUNT", default_value_t = ENTRIES_MAX)]
    entries_max: usize,
}

/// Runs an agent until it is stopped.
///
/// # Errors
/// When the options contradict each other or the listener cannot be opened.
pub async fn run(command: Command, stop: CancellationToken) -> anyhow::Result<ExitCode> {
    let Command::Nginx(NginxOptions { cache_dir, levels, key, control, token_file, entries_max }) = command;
    let (name, kind) = ("nginx".to_owned(), AgentKindName::Nginx);
    let section = AgentSection { name, kind, control, token: None, token_file, cache_dir, levels, key, entries_max };
    let config = match section.checked() {
        Ok(config) => config,
        Err(problems) => bail!("{}", problems.join("\n")),
    };
    let agent = NginxAgent::start(config).await?;
    info!(control = %agent.control_addr(), "the agent is ready");
    stop.cancelled().await;
    agent.stop().await;
    info!("stopped");
    Ok(ExitCode::SUCCESS)
}
