//! The real binary with real caches and real clients.
//!
//! One test program for all of them, since each would link the whole server again. Tests whose name
//! begins with `whole_` want both cores and run alone (see .config/nextest.toml).

mod admin;
mod agents;
mod audit;
mod bad_input;
mod catch_up;
mod chaos;
mod cli;
mod clients;
mod codes;
mod crash;
mod domains;
mod fence;
mod fleet;
mod leases;
mod limits;
mod limits_exact;
mod matrix;
mod moves;
mod oracle;
mod process;
mod proof;
mod push;
mod receipts;
mod recorder;
mod samples;
mod support;
mod tiers;
mod tls;
