//! The built-in edges of this process, from their sections.

#[cfg(feature = "edge")]
use crate::config::EdgeLeaseName;
use crate::config::{EdgeSection, Secret};

#[cfg(feature = "edge")]
pub use catharsis_edge::RunningEdge;

/// Starts an edge.
///
/// # Errors
/// When it cannot listen or its section contradicts itself.
#[cfg(feature = "edge")]
pub(crate) fn start(section: &EdgeSection, token: Option<&Secret>) -> anyhow::Result<RunningEdge> {
    use std::num::NonZeroUsize;

    use anyhow::Context;
    use catharsis_core::domain::DomainName;
    use catharsis_edge::config::{Below, HostPattern, Lease, Route, Upstream};

    let mut routes = Vec::new();
    for route in &section.routes {
        let hosts = match route.host.as_str() {
            "*" => HostPattern::Any,
            name => match DomainName::parse(name)? {
                DomainName::Exact(host) => HostPattern::Exact(host),
                DomainName::Below(host) => HostPattern::Below(host),
            },
        };
        routes.push(Route { hosts, upstream: Upstream::Address(route.upstream) });
    }
    let mut config = catharsis_edge::EdgeConfig::new(&section.name, section.listen, section.control, routes);
    config.control_token = token.map(|secret| catharsis_edge::config::Secret::new(secret.expose()));
    config.below = if section.hop { Below::Caches } else { Below::Clients };
    config.memory_bytes = section.memory.0;
    config.object_bytes_max = section.object_max.as_usize();
    config.marks_max = NonZeroUsize::new(section.marks_max).unwrap_or(NonZeroUsize::MIN);
    config.default_ttl = section.default_ttl.map(|span| span.0);
    config.lease = match section.lease {
        EdgeLeaseName::Required => Lease::Required,
        EdgeLeaseName::None => Lease::None,
    };
    config.local_origins = section.local_origins;
    config.connect_timeout = section.connect_timeout.0;
    config.read_timeout = section.read_timeout.0;
    config.fetch_timeout = section.fetch_timeout.0;
    catharsis_edge::Edge::start(&config).with_context(|| format!("[[edge]] {}", section.name))
}

/// An edge, in a binary without any.
#[cfg(not(feature = "edge"))]
#[derive(Debug)]
pub enum RunningEdge {}

#[cfg(not(feature = "edge"))]
impl RunningEdge {
    /// Where clients connect.
    #[must_use]
    pub const fn traffic_addr(&self) -> std::net::SocketAddr {
        match *self {}
    }

    /// Where relays connect.
    #[must_use]
    pub const fn control_addr(&self) -> std::net::SocketAddr {
        match *self {}
    }

    /// Waits until it uses its copies unasked.
    pub async fn trusts(&self) {
        match *self {}
    }

    /// Stops it.
    pub async fn stop(self) {
        match self {}
    }
}

/// Refuses to start an edge.
///
/// # Errors
/// Always: this binary has none.
#[cfg(not(feature = "edge"))]
pub fn start(section: &EdgeSection, _token: Option<&Secret>) -> anyhow::Result<RunningEdge> {
    anyhow::bail!("[[edge]] {}: this binary was built without the feature `edge`", section.name)
}
