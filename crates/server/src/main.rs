//! The `catharsis` command: the daemon's roles and the client's commands in one binary.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::info;

use catharsis_server::config::{Config, LogSection};
use catharsis_server::reload::Written;
use catharsis_server::{agents, assemble, logging, quickstart, reload};

/// Removes URLs from every HTTP cache that you run, in the region that you name, and proves it.
#[derive(Debug, Parser)]
#[command(name = "catharsis", version, about, long_about = None, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service from a configuration file, until SIGTERM or Ctrl-C; SIGHUP takes over its nodes again.
    Serve {
        /// The TOML file; see docs/samples.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Check a configuration file and print what would be in force.
    CheckConfig {
        /// The TOML file.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Purge a cache that cannot purge by itself, from beside it, until SIGTERM or Ctrl-C.
    #[command(subcommand)]
    Agent(agents::Command),
    /// Ask the agent beside a Squid for names: what its `store_id_program` starts. Reads no configuration.
    StoreId(agents::StoreIdOptions),
    /// See a URL leave real caches in both areas: API, relay, origin and two edges on this machine.
    Quickstart(quickstart::Options),
    #[command(flatten)]
    Client(Box<catharsis_cli::Command>),
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(status) => status,
        Err(error) => {
            eprintln!("catharsis: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Serve { config } => many_threads()?.block_on(serve(config)),
        Command::CheckConfig { config } => {
            let (config, _checked) = Config::load(&config)?;
            print!("{}", toml::to_string_pretty(&config).context("the configuration cannot be shown")?);
            Ok(ExitCode::SUCCESS)
        }
        Command::Agent(command) => many_threads()?.block_on(async {
            logging::start(&LogSection::default())?;
            agents::run(command, stop_on_signal()?).await
        }),
        Command::StoreId(options) => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let ran = runtime.block_on(catharsis_storeid::forward::run(&options.agent.to_string()));
            // Standard input may still be read by a thread of its own, which nobody waits for.
            runtime.shutdown_background();
            ran.map(|()| ExitCode::SUCCESS)
        }
        Command::Quickstart(options) => {
            many_threads()?.block_on(async { quickstart::run(options, stop_on_signal()?).await })
        }
        Command::Client(command) => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            Ok(runtime.block_on(catharsis_cli::run(*command)))
        }
    }
}

fn many_threads() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

async fn serve(path: PathBuf) -> anyhow::Result<ExitCode> {
    let (config, checked) = Config::load(&path)?;
    logging::start(&config.log)?;
    let stop = stop_on_signal()?;
    // From here on SIGHUP does not end the process; one that comes before it is ready is looked at then.
    let mut hangup = signal(SignalKind::hangup())?;
    let started = Written::read(&path);
    let mut running = assemble::start(&config, checked).await?;
    info!("catharsis is ready");
    loop {
        // Signals that come during a reload are one when it has ended.
        tokio::select! {
            () = stop.cancelled() => break,
            _ = hangup.recv() => reload::reload(&path, &mut running, &started).await,
        }
    }
    info!("stopping: running calls may end, the rest stays in the log");
    running.stop().await;
    info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// A token that is cancelled by SIGTERM or Ctrl-C.
fn stop_on_signal() -> std::io::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let cancel = stop.clone();
    tokio::spawn(async move {
        // Whichever comes first; the other keeps being swallowed, since the drain is bounded anyway.
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        cancel.cancel();
    });
    Ok(stop)
}
