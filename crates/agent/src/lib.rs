//! Agents: processes on a cache's machine that purge what the cache cannot purge by itself.
//!
//! What this is: for each kind of cache a module with an agent of its own, told over the control
//! protocol of the built-in edge (`catharsis_edge::protocol`). What this is not: a fence; a fetch under
//! way may bring an old copy back, so the relay repeats what it tells an agent.
//!
//! Invariant: an outcome is a success only when no copy that the purge names was left in place.

pub mod nginx;
pub mod trafficserver;
