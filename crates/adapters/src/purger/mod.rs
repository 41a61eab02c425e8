//! Purgers: how each kind of cache is told.
//!
//! What this is: a file for each kind of cache, and what they share: the address of a node, the
//! limits of talking to it, the HTTP engine ([`http`]) and the parser of its answers. What this is
//! not: a place where it is decided whether and when to repeat; that is the relay.
//!
//! Invariant: a request is made of nothing but a parsed URL's request targets and host header.

mod address;
mod answer;
pub mod edge;
mod http;
pub mod nginx;
pub mod squid;
pub mod trafficserver;
pub mod varnish;

pub use self::address::{HttpLimits, InvalidAddress, NodeAddress};
