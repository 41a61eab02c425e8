//! How an edge is set up.
//!
//! What this is: a plain structure with documented defaults. Files, environment and units in text
//! are the server's business.
//!
//! Invariant: what [`EdgeConfig::check`] accepts can be started, as far as that can be told without
//! opening a socket.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use crate::control::{self, OpenControl};
pub use crate::lease::Lease;
use crate::protocol::LocalOrigins;
use catharsis_core::target::HostName;

pub use crate::secret::Secret;

/// Memory for cached objects, default: 256 MiB.
pub const MEMORY_BYTES: u64 = 256 << 20;

/// Largest object that is cached, default: 8 MiB. A cache of 256 MiB then holds at least 32 of them.
pub const OBJECT_BYTES_MAX: usize = 8 << 20;

/// URLs and directories that the fence keeps marked, default. A URL takes about 80 bytes, a directory
/// about 140, so at most 140 MB.
pub const MARKS_MAX: NonZeroUsize = NonZeroUsize::new(1_000_000).expect("not zero");

/// Client connections at a time, default. Each costs a file descriptor and some 20 KB.
pub const CONNECTIONS_MAX: NonZeroUsize = NonZeroUsize::new(10_000).expect("not zero");

/// Which hosts a route is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPattern {
    /// This host.
    Exact(HostName),
    /// Every host below this one (`*.example.test`), not the host itself.
    Below(HostName),
    /// Every host that no other route names.
    Any,
}

/// Who fetches through an edge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Below {
    /// Clients, and built-in edges, which keep their own fence.
    #[default]
    Clients,
    /// Caches of other kinds, for which this edge is the origin hop: it knows what is on its way to them. Each of
    /// their connections costs a second file descriptor.
    Caches,
}

/// Where a route leads: an origin or a shield, by plain HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Upstream {
    /// An address.
    Address(SocketAddr),
    /// A host name and port, looked up again every 30 seconds.
    Name(Box<str>, u16),
}

/// Which upstream serves a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// For these hosts. The most exact pattern wins, whatever the order.
    pub hosts: HostPattern,
    /// This upstream.
    pub upstream: Upstream,
}

/// An edge.
#[derive(Clone, Debug)]
pub struct EdgeConfig {
    /// Its name in log lines and thread names.
    pub name: String,
    /// Where clients connect. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where relays connect. Port 0 takes a free one.
    pub control: SocketAddr,
    /// Bearer token that relays must show. May be absent only while `control` is a loopback address.
    pub control_token: Option<Secret>,
    /// Where each host leads besides the domains that come over the control listener; may be empty. A
    /// request for a host that neither knows is answered with 421.
    pub routes: Vec<Route>,
    /// Whether it uses its copies only while a relay's lease says so. Default [`Lease::None`].
    pub lease: Lease,
    /// Whether the origins of those domains may be on this machine or its link; routes always may. Looked at
    /// when a name is looked up, too. Default: they may not.
    pub local_origins: LocalOrigins,
    /// Who fetches through it. Default: clients.
    pub below: Below,
    /// Memory for cached objects in bytes, headers included. Default [`MEMORY_BYTES`].
    pub memory_bytes: u64,
    /// URLs and directories that the fence keeps marked. Default [`MARKS_MAX`].
    pub marks_max: NonZeroUsize,
    /// Largest body that is cached, in bytes; at most half of the memory. Default
    /// [`OBJECT_BYTES_MAX`]. Larger ones pass through.
    pub object_bytes_max: usize,
    /// How long a cacheable response stays fresh that does not say it itself. Default `None`: such a
    /// response is not stored.
    pub default_ttl: Option<Duration>,
    /// Longest wait for a connection to an upstream. Default 5 s.
    pub connect_timeout: Duration,
    /// Longest pause while an upstream answers. Default 60 s.
    pub read_timeout: Duration,
    /// Longest fetch as a whole, counted until its last piece; also the longest time that other
    /// requests wait for it. Default 300 s.
    pub fetch_timeout: Duration,
    /// Client connections at a time; further ones wait in the kernel. Default [`CONNECTIONS_MAX`].
    pub connections_max: NonZeroUsize,
    /// Threads. Default: one a processor.
    pub threads: NonZeroUsize,
    /// How long requests under way may take when the edge stops. Default 1.5 s.
    pub stop_grace: Duration,
}

/// What is wrong with a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Two routes for the same hosts.
    #[error("two routes are for the same hosts")]
    RouteTwice,
    /// Anyone could purge.
    #[error(transparent)]
    Control(#[from] OpenControl),
    /// The largest object takes more than half of the memory.
    #[error("the largest object is 1 byte to half of the memory")]
    ObjectTooLarge,
}

impl EdgeConfig {
    /// An edge with the defaults.
    #[must_use]
    pub fn new(name: &str, listen: SocketAddr, control: SocketAddr, routes: Vec<Route>) -> Self {
        Self {
            name: name.to_owned(),
            listen,
            control,
            control_token: None,
            routes,
            lease: Lease::None,
            local_origins: LocalOrigins::Refuse,
            below: Below::Clients,
            memory_bytes: MEMORY_BYTES,
            marks_max: MARKS_MAX,
            object_bytes_max: OBJECT_BYTES_MAX,
            default_ttl: None,
            connect_timeout: Duration::from_secs(5),
            read_timeout: Duration::from_secs(60),
            fetch_timeout: Duration::from_secs(300),
            connections_max: CONNECTIONS_MAX,
            threads: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            stop_grace: Duration::from_millis(1_500),
        }
    }

    /// Looks for contradictions.
    ///
    /// # Errors
    /// The first [`ConfigError`] found.
    pub fn check(&self) -> Result<(), ConfigError> {
        let twice = |(at, route): (usize, &Route)| self.routes[..at].iter().any(|it| it.hosts == route.hosts);
        if self.routes.iter().enumerate().any(twice) {
            return Err(ConfigError::RouteTwice);
        }
        control::check(self.control, self.control_token.as_ref())?;
        let object = self.object_bytes_max as u64;
        if object == 0 || object > self.memory_bytes / 2 {
            return Err(ConfigError::ObjectTooLarge);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    fn config() -> EdgeConfig {
        let route = Route { hosts: HostPattern::Any, upstream: Upstream::Address("127.0.0.1:1".parse().unwrap()) };
        let any = "127.0.0.1:0".parse().unwrap();
        EdgeConfig::new("e", any, any, vec![route])
    }

    #[test]
    fn contradictions_are_found() {
        assert_eq!(config().check(), Ok(()));
        type Change = fn(&mut EdgeConfig);
        let cases: [(Change, ConfigError); 4] = [
            (|it| it.routes.push(it.routes[0].clone()), ConfigError::RouteTwice),
            (|it| it.control = "0.0.0.0:1".parse().unwrap(), ConfigError::Control(OpenControl::NoToken)),
            (|it| it.control_token = Some(Secret::new("")), ConfigError::Control(OpenControl::EmptyToken)),
            (|it| it.memory_bytes = 100, ConfigError::ObjectTooLarge),
        ];
        for (change, expect) in cases {
            let mut config = config();
            change(&mut config);
            assert_eq!(config.check(), Err(expect));
        }
    }
}
