//! An agent alone, to measure it: `agent JOURNAL HOST:PORT`. It takes no orders.

use std::num::NonZeroUsize;
use std::path::Path;

use anyhow::Context;
use catharsis_storeid::SquidAgent;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (journal, address) = arguments.next().zip(arguments.next()).context("usage: agent JOURNAL HOST:PORT")?;
    let agent = SquidAgent::open(Path::new(&journal), NonZeroUsize::MAX)?;
    agent.serve_helpers(TcpListener::bind(address).await?, CancellationToken::new()).await;
    Ok(())
}
