//! Where a node listens, and how long to wait for it.

use std::fmt;
use std::time::Duration;

/// Where a node takes purges: a host name or IP address, and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NodeAddress {
    host: Box<str>,
    port: u16,
}

/// Why a text is no address of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an address is HOST:PORT, for example 10.0.0.7:80, [fd00::7]:80 or cache-1.internal:80")]
pub struct InvalidAddress;

impl NodeAddress {
    /// Parses `host:port`; an IPv6 address stands in brackets.
    ///
    /// # Errors
    /// [`InvalidAddress`] when either part is missing or holds what it should not.
    pub fn parse(text: &str) -> Result<Self, InvalidAddress> {
        let (host, port) = text.rsplit_once(':').ok_or(InvalidAddress)?;
        let port = port.parse().ok().filter(|port| *port != 0);
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = match bracketed {
            Some(inner) if inner.parse::<std::net::Ipv6Addr>().is_ok() => inner,
            Some(_) => return Err(InvalidAddress),
            None => host,
        };
        let named = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        if bracketed.is_none() && (host.is_empty() || !host.bytes().all(named)) {
            return Err(InvalidAddress);
        }
        Ok(Self { host: host.into(), port: port.ok_or(InvalidAddress)? })
    }

    /// The two parts, as a connection is made to them.
    pub(crate) fn pair(&self) -> (&str, u16) {
        (&self.host, self.port)
    }
}

impl From<std::net::SocketAddr> for NodeAddress {
    fn from(address: std::net::SocketAddr) -> Self {
        Self { host: address.ip().to_string().into(), port: address.port() }
    }
}

impl fmt::Display for NodeAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// How long to wait for a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpLimits {
    /// For a connection. Default 2 s: a SYN may be lost and sent again after one second.
    pub connect: Duration,
    /// For each answer after the one before it. Default 5 s: Traffic Server was seen to hold an
    /// answer for 1 s, Varnish without `hash_ignore_busy` as long as a fetch takes.
    pub answer: Duration,
    /// For a whole batch. Default 30 s, so that a node that answers ever so slowly cannot hold its
    /// worker for longer. The turns of Varnish's bans, two a second, are waited for within it.
    pub batch: Duration,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self { connect: Duration::from_secs(2), answer: Duration::from_secs(5), batch: Duration::from_secs(30) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_is_a_host_and_a_port_and_nothing_else() {
        for good in ["10.0.0.7:80", "[fd00::7]:8080", "cache-1.internal:80"] {
            let parsed = NodeAddress::parse(good).expect(good);
            assert_eq!(parsed.to_string(), good);
        }
        for bad in ["", "cache", "cache:0", "cache:70000", ":80", "[cache]:80", "fd00::7:80", "a b:80", "a/b:80"] {
            assert_eq!(NodeAddress::parse(bad), Err(InvalidAddress), "{bad}");
        }
    }
}
