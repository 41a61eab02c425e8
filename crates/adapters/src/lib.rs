//! Whatever touches a disk or a socket: stores, logs, purgers, the clock.
//!
//! What this is: the implementations of the engine's ports. What this is not: a place for
//! decisions about purges; those are in `catharsis-core`, which knows nothing of this crate.
//!
//! Invariant: whatever comes from a disk or a socket is parsed into the engine's types here, and
//! whatever cannot be parsed becomes a named error, never a panic.

pub mod audit;
pub mod clock;
mod codec;
pub mod fetch;
pub mod log;
pub mod probe;
pub mod purger;
pub mod store;
pub mod webhook;
