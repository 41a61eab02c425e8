//! Agents of this process, and `catharsis agent`: one without a configuration file.
//!
//! What this is: what starts and stops an agent of any kind, and the options of an `[[agent]]` section on the
//! command line, checked by the same rules. What this is not: another agent.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use catharsis_agent::nginx::{ENTRIES_MAX, NginxAgent, RunningAgent as RunningNginxAgent};
use catharsis_agent::trafficserver::{RULES_MAX_DEFAULT, RunningTrafficServerAgent};
use catharsis_storeid::{MARKS_MAX, RunningSquidAgent};
use clap::{Args, Subcommand};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::config::{
    AgentSection, CheckedAgent, CheckedTrafficServer, NginxSection, Span, SquidSection, TrafficServerSection,
};

/// Beside what kind of cache.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Beside an nginx without a purge module (docs/caches/nginx-stock.conf).
    Nginx(NginxOptions),
    /// Beside a Squid that asks it for names (docs/caches/squid-agent.conf).
    Squid(SquidOptions),
    /// Beside a Traffic Server (docs/caches/trafficserver): its directories.
    #[command(name = "trafficserver")]
    TrafficServer(TrafficServerOptions),
}

/// Where an agent is told.
#[derive(Debug, Args)]
struct ControlOptions {
    /// Where the relay connects. A token file is required unless this is a loopback address.
    #[arg(long, value_name = "HOST:PORT")]
    control: SocketAddr,
    /// A file that holds the token and nothing else.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
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
    #[command(flatten)]
    told: ControlOptions,
    /// Files in its index; with more, purges fail and say so.
    #[arg(long, value_name = "COUNT", default_value_t = ENTRIES_MAX)]
    entries_max: usize,
}

/// The options of an agent beside a Squid.
#[derive(Debug, Args)]
pub struct SquidOptions {
    /// The file of its journal. Lost, whatever Squid holds is found no more; never put an older copy of it back.
    #[arg(long, value_name = "FILE")]
    journal: PathBuf,
    /// Where what Squid starts (`catharsis store-id`) connects: a loopback address.
    #[arg(long, value_name = "HOST:PORT")]
    helper: SocketAddr,
    #[command(flatten)]
    told: ControlOptions,
    /// Purged URLs and directories remembered one by one; beyond that the oldest are remembered together.
    #[arg(long, value_name = "COUNT", default_value_t = MARKS_MAX.get())]
    marks_max: usize,
}

/// The options of an agent beside a Traffic Server.
#[derive(Debug, Args)]
pub struct TrafficServerOptions {
    /// The rule file that it keeps: --config of the plugin.
    #[arg(long, value_name = "FILE")]
    rules: PathBuf,
    /// Where the plugin writes down what it loaded: its --state-file.
    #[arg(long, value_name = "FILE")]
    loaded: PathBuf,
    /// A word of the command that has the rules loaded, run without a shell; once for each word.
    #[arg(long, value_name = "WORD", allow_hyphen_values = true, default_values_t = TrafficServerSection::reload())]
    reload: Vec<String>,
    #[command(flatten)]
    told: ControlOptions,
    /// guaranteed_max_lifetime of Traffic Server, such as 30d.
    #[arg(long, value_name = "SPAN", value_parser = humantime::parse_duration, default_value = "30d")]
    lifetime_max: Duration,
    /// Rules in use; beyond it directories are merged.
    #[arg(long, value_name = "COUNT", default_value_t = RULES_MAX_DEFAULT)]
    rules_max: usize,
}

/// The options of what Squid starts.
#[derive(Debug, Args)]
pub struct StoreIdOptions {
    /// The agent: its `helper`.
    #[arg(long, value_name = "HOST:PORT")]
    pub agent: SocketAddr,
}

impl Command {
    fn section(self) -> AgentSection {
        match self {
            Self::Nginx(options) => {
                let NginxOptions { cache_dir, levels, key, told: ControlOptions { control, token_file }, entries_max } =
                    options;
                let name = "nginx".to_owned();
                let token = None;
                let it = NginxSection { name, control, token, token_file, cache_dir, levels, key, entries_max };
                AgentSection::Nginx(it)
            }
            Self::Squid(options) => {
                let SquidOptions { journal, helper, told: ControlOptions { control, token_file }, marks_max } = options;
                let (name, token) = ("squid".to_owned(), None);
                AgentSection::Squid(SquidSection { name, control, token, token_file, journal, helper, marks_max })
            }
            Self::TrafficServer(options) => {
                let TrafficServerOptions { rules, loaded, reload, told, lifetime_max, rules_max } = options;
                AgentSection::TrafficServer(TrafficServerSection {
                    name: "trafficserver".to_owned(),
                    control: told.control,
                    token: None,
                    token_file: told.token_file,
                    rules,
                    loaded,
                    reload,
                    lifetime_max: Span(lifetime_max),
                    rules_max,
                })
            }
        }
    }
}

/// Runs an agent until it is stopped.
///
/// # Errors
/// When the options contradict each other or the listener cannot be opened.
pub async fn run(command: Command, stop: CancellationToken) -> anyhow::Result<ExitCode> {
    let config = match command.section().checked() {
        Ok(config) => config,
        Err(problems) => bail!("{}", problems.join("\n")),
    };
    let agent = RunningAgent::start(config).await?;
    info!(control = %agent.control_addr(), "the agent is ready");
    stop.cancelled().await;
    agent.stop().await;
    info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// An agent that runs. It stops when this is dropped; [`RunningAgent::stop`] also waits for it.
#[derive(Debug)]
pub enum RunningAgent {
    /// Beside an nginx.
    Nginx(RunningNginxAgent),
    /// Beside a Squid.
    Squid(RunningSquidAgent),
    /// Beside a Traffic Server.
    TrafficServer(RunningTrafficServerAgent),
}

impl RunningAgent {
    /// Starts an agent. Its listeners accept when this returns.
    ///
    /// # Errors
    /// What the agent says, with its section.
    pub async fn start(agent: CheckedAgent) -> anyhow::Result<Self> {
        let section = format!("[[agent]] {}", agent.name());
        Ok(match agent {
            CheckedAgent::Nginx(config) => Self::Nginx(NginxAgent::start(config).await.context(section)?),
            CheckedAgent::Squid(config) => Self::Squid(RunningSquidAgent::start(config).await.context(section)?),
            CheckedAgent::TrafficServer(CheckedTrafficServer { control, token, config, .. }) => {
                let agent = RunningTrafficServerAgent::start(config, control, token).await;
                Self::TrafficServer(agent.context(section)?)
            }
        })
    }

    /// Where relays connect.
    #[must_use]
    pub const fn control_addr(&self) -> SocketAddr {
        match self {
            Self::Nginx(agent) => agent.control_addr(),
            Self::Squid(agent) => agent.control_addr(),
            Self::TrafficServer(agent) => agent.control_addr(),
        }
    }

    /// Stops: orders under way are finished.
    pub async fn stop(self) {
        match self {
            Self::Nginx(agent) => agent.stop().await,
            Self::Squid(agent) => agent.stop().await,
            Self::TrafficServer(agent) => agent.stop().await,
        }
    }
}
