//! The built-in caching reverse proxy with exact purges.
//!
//! What this is: [`Edge::start`] runs one cache in front of origins, told by a relay over the
//! control protocol ([`protocol`]) what to forget and which domains to serve. Several can run in one
//! process.
//!
//! What this is not: a TLS terminator, a disk cache, or a reader of configuration files. What it
//! holds is in memory and gone when it stops.
//!
//! Invariant: once the control listener has answered an invalidation, no request that starts
//! afterwards gets a copy whose fetch from the origin began before it ([`fence`]).
//!
//! Without the feature `proxy` only [`protocol`] is compiled, for those who speak to an edge; with the
//! feature `control` also its listener ([`control`]), for agents, which are told in the same words; with the
//! feature `fence` also the fence, flights and leases, for simulations.

pub mod protocol;

#[cfg(feature = "control")]
mod accept;
#[cfg(feature = "proxy")]
pub mod config;
#[cfg(feature = "control")]
pub mod control;
#[cfg(feature = "proxy")]
mod departing;
#[cfg(feature = "proxy")]
mod edge;
#[cfg(feature = "fence")]
pub mod fence;
#[cfg(feature = "proxy")]
mod fill;
#[cfg(feature = "fence")]
pub mod flights;
#[cfg(feature = "proxy")]
mod freshness;
#[cfg(feature = "proxy")]
mod held;
#[cfg(feature = "fence")]
#[cfg_attr(not(feature = "proxy"), expect(dead_code, reason = "key rules and storage are the proxy's"))]
mod key;
#[cfg(feature = "fence")]
pub mod lease;
#[cfg(feature = "proxy")]
mod lock;
#[cfg(feature = "proxy")]
mod orders;
#[cfg(all(test, feature = "proxy"))]
mod planted_fault;
#[cfg(feature = "proxy")]
mod proxy;
#[cfg(feature = "proxy")]
mod rid;
#[cfg(feature = "proxy")]
mod routes;
#[cfg(feature = "proxy")]
mod rules;
#[cfg(feature = "control")]
mod secret;
#[cfg(feature = "proxy")]
mod site;
#[cfg(feature = "proxy")]
mod storage;
#[cfg(feature = "proxy")]
mod ticket;

#[cfg(feature = "proxy")]
pub use config::EdgeConfig;
#[cfg(feature = "proxy")]
pub use edge::{Edge, EdgeError, RunningEdge};
