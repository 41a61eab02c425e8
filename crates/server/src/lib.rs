//! The daemon.
//!
//! What this is: the place where everything is put together: the configuration file, the HTTP doors,
//! the roles (API with relay, built-in edges), and `quickstart`, which shows the main job on real
//! traffic. What this is not: purge logic; that is `catharsis-core`.
//!
//! Invariant: only [`assemble`] names concrete adapters.

pub mod admin;
pub mod agents;
pub mod assemble;
mod audit;
pub mod config;
pub mod domains;
mod edges;
pub mod events;
mod fleet;
pub mod http;
pub mod logging;
mod pushes;
pub mod quickstart;
pub mod receipts;
pub mod reload;
pub mod webhooks;
