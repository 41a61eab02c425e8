//! Addresses that are another machine at each machine, or many at once.
//!
//! What this is: the addresses from which nobody on the network can be fetched, yet an edge could fetch
//! from itself, from what else runs on its machine, or from its link (a cloud's metadata service). What
//! this is not: a list of private networks, where many origins are.

use std::fmt;
use std::net::IpAddr;

use catharsis_core::target::HostName;
use serde::{Deserialize, Serialize};

/// Whether a domain's origins may have a [`LocalAddress`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LocalOrigins {
    /// They may not: whoever adds domains is not whoever runs the edges.
    #[default]
    Refuse,
    /// They may.
    Allow,
}

/// What is wrong with an address as that of an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalAddress {
    /// `0.0.0.0/8` (RFC 1122, section 3.2.1.3) and `::`: a system takes them for itself.
    Unspecified,
    /// `127.0.0.0/8`, `::1`, and names that mean them.
    Loopback,
    /// `169.254.0.0/16` and `fe80::/10`.
    LinkLocal,
    /// Multicast and broadcast.
    Multicast,
}

impl LocalAddress {
    /// What an address is; `None` for one of the network. One of IPv4 in IPv6's form is what it is in IPv4's.
    #[must_use]
    pub const fn of(address: IpAddr) -> Option<Self> {
        let (unspecified, link_local, many) = match address.to_canonical() {
            IpAddr::V4(it) => (it.octets()[0] == 0, it.is_link_local(), it.is_multicast() || it.is_broadcast()),
            IpAddr::V6(it) => (it.is_unspecified(), it.is_unicast_link_local(), it.is_multicast()),
        };
        match (unspecified, address.to_canonical().is_loopback(), link_local, many) {
            (true, _, _, _) => Some(Self::Unspecified),
            (_, true, _, _) => Some(Self::Loopback),
            (_, _, true, _) => Some(Self::LinkLocal),
            (_, _, _, true) => Some(Self::Multicast),
            (false, false, false, false) => None,
        }
    }

    /// What a name is wherever it is looked up: `localhost` and what is below it (RFC 6761, section 6.3).
    #[must_use]
    pub fn of_name(name: &HostName) -> Option<Self> {
        name.as_str().rsplit('.').next().filter(|label| *label == "localhost").map(|_| Self::Loopback)
    }
}

impl fmt::Display for LocalAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unspecified => "unspecified",
            Self::Loopback => "loopback",
            Self::LinkLocal => "link-local",
            Self::Multicast => "multicast",
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    #[test]
    fn addresses_of_the_own_machine_are_told_from_those_of_the_network() {
        let of = |text: &str| LocalAddress::of(text.parse().unwrap());
        for (text, expect) in [
            ("0.0.0.0", LocalAddress::Unspecified),
            ("0.1.2.3", LocalAddress::Unspecified),
            ("::", LocalAddress::Unspecified),
            ("::ffff:0.0.0.0", LocalAddress::Unspecified),
            ("127.0.0.1", LocalAddress::Loopback),
            ("127.255.0.9", LocalAddress::Loopback),
            ("::1", LocalAddress::Loopback),
            ("::ffff:127.0.0.1", LocalAddress::Loopback),
            ("169.254.169.254", LocalAddress::LinkLocal),
            ("::ffff:a9fe:a9fe", LocalAddress::LinkLocal),
            ("fe80::1", LocalAddress::LinkLocal),
            ("febf::1", LocalAddress::LinkLocal),
            ("224.0.0.1", LocalAddress::Multicast),
            ("255.255.255.255", LocalAddress::Multicast),
            ("ff02::1", LocalAddress::Multicast),
        ] {
            assert_eq!(of(text), Some(expect), "{text}");
        }
        for text in ["1.0.0.1", "10.0.0.1", "126.255.255.255", "128.0.0.1", "192.168.0.1", "fc00::1", "2001:db8::1"] {
            assert_eq!(of(text), None, "{text}");
        }
    }

    #[test]
    fn localhost_is_the_own_machine_whatever_the_name_server_says() {
        let of = |text: &str| LocalAddress::of_name(&HostName::parse(text).unwrap());
        for text in ["localhost", "LOCALHOST.", "a.b.localhost"] {
            assert_eq!(of(text), Some(LocalAddress::Loopback), "{text}");
        }
        for text in ["localhost.test", "alocalhost", "o.test"] {
            assert_eq!(of(text), None, "{text}");
        }
    }
}
