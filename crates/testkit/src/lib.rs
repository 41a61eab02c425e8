//! Test-only: in-memory ports, conformance suites, a simulated installation, real caches.
//!
//! What this is: what the tests of several crates share. What this is not: linked into anything
//! that runs outside of tests; a broken promise here is a panic, which fails the test.

pub mod caches;
pub mod client;
pub mod conformance;
pub mod corpus;
pub mod fake_cache;
pub mod fake_fetcher;
pub mod mem_log;
mod mem_push;
pub mod mem_store;
pub mod oracle;
pub mod origin;
pub mod plans;
pub mod sim;
pub mod watched;
