//! What Squid starts as its `store_id_program`, alone: `catharsis-store-id HOST:PORT` of the agent.
//!
//! What this is: `catharsis store-id` for the tests of this crate, which get no path of another crate's program. What
//! this is not: what is installed.

use anyhow::Context;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let agent = arguments.next().context("usage: catharsis-store-id HOST:PORT")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ran = runtime.block_on(catharsis_storeid::forward::run(&agent));
    // Standard input may still be read by a thread of its own, which nobody waits for.
    runtime.shutdown_background();
    ran
}
