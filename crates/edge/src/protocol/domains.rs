//! The table of domains that an edge serves besides its fixed routes.
//!
//! What this is: a whole table each time, never a change to one, so that a message that was lost
//! costs nothing but time. Each has a generation, so that one that comes late undoes nothing.
//!
//! Invariant: a table that was made or deserialised is within its bounds, names each domain once,
//! and has an origin for each domain that is online.

use std::collections::HashSet;
use std::fmt;
use std::net::IpAddr;

use catharsis_core::target::HostName;
use serde::{Deserialize, Serialize};

use super::{DomainRules, KeyHost, LogId, ProtocolError, SEQ_MAX};

/// Path of the domains call.
pub const DOMAINS_PATH: &str = "/v1/domains";

/// Most domains in a table.
pub const DOMAINS_MAX: usize = 10_000;

/// Most origins of one domain, as in the contract of AddCdnDomain.
pub const ORIGINS_MAX: usize = 64;

/// Highest weight of an origin.
pub const WEIGHT_MAX: u8 = 100;

/// Most bytes of a table: [`DOMAINS_MAX`] domains whose names are of the longest kind, each with
/// nine origins of the longest kind, or with [`ORIGINS_MAX`] of the usual kind.
pub const DOMAINS_BODY_BYTES_MAX: usize = 32 << 20;

/// The host names of a domain.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ServedName {
    /// This host.
    Exact(HostName),
    /// Every host below this one, not the host itself; `*.example.test` on the wire.
    Below(HostName),
}

impl ServedName {
    /// Reads a host name, or `*.` and a host name.
    ///
    /// # Errors
    /// [`ProtocolError::Domain`].
    pub fn parse(text: &str) -> Result<Self, ProtocolError> {
        let host = |text: &str| HostName::parse(text).map_err(|_| ProtocolError::Domain);
        text.strip_prefix("*.").map_or_else(|| host(text).map(Self::Exact), |parent| host(parent).map(Self::Below))
    }
}

impl fmt::Display for ServedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => host.fmt(f),
            Self::Below(parent) => write!(f, "*.{parent}"),
        }
    }
}

impl TryFrom<String> for ServedName {
    type Error = ProtocolError;

    fn try_from(text: String) -> Result<Self, ProtocolError> {
        Self::parse(&text)
    }
}

impl From<ServedName> for String {
    fn from(name: ServedName) -> Self {
        name.to_string()
    }
}

/// Whether requests for a domain are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Serving {
    /// They are.
    Online,
    /// They are answered with 404, whatever is cached.
    Offline,
}

/// How an edge speaks to the origins of a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OriginScheme {
    /// Plain HTTP.
    Http,
    /// TLS, verified with the authorities of the edge's system and the name in the `Host` that the
    /// origin gets, which is sent as SNI too.
    Https,
    /// As the client speaks to the edge: that is plain HTTP, since an edge takes nothing else.
    Follow,
}

/// Where an origin is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum OriginAddress {
    /// At this address.
    Ip(IpAddr),
    /// At the address of this host, looked up again every 30 seconds.
    Host(HostName),
}

impl OriginAddress {
    /// Reads an IP address or a host name.
    ///
    /// # Errors
    /// [`ProtocolError::Origin`].
    pub fn parse(text: &str) -> Result<Self, ProtocolError> {
        match text.parse() {
            Ok(ip) => Ok(Self::Ip(ip)),
            Err(_) => HostName::parse(text).map(Self::Host).map_err(|_| ProtocolError::Origin),
        }
    }
}

impl fmt::Display for OriginAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(ip) => ip.fmt(f),
            Self::Host(host) => host.fmt(f),
        }
    }
}

impl TryFrom<String> for OriginAddress {
    type Error = ProtocolError;

    fn try_from(text: String) -> Result<Self, ProtocolError> {
        Self::parse(&text)
    }
}

impl From<OriginAddress> for String {
    fn from(address: OriginAddress) -> Self {
        address.to_string()
    }
}

/// One origin of a domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawOrigin")]
pub struct OriginServer {
    address: OriginAddress,
    port: u16,
    weight: u8,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawOrigin {
    address: OriginAddress,
    port: u16,
    weight: u8,
}

impl TryFrom<RawOrigin> for OriginServer {
    type Error = ProtocolError;

    fn try_from(raw: RawOrigin) -> Result<Self, ProtocolError> {
        Self::new(raw.address, raw.port, raw.weight)
    }
}

impl OriginServer {
    /// An origin that gets `weight` parts of its domain's fetches.
    ///
    /// # Errors
    /// [`ProtocolError::Origin`] for port 0, [`ProtocolError::Weight`] outside 1 to [`WEIGHT_MAX`].
    pub fn new(address: OriginAddress, port: u16, weight: u8) -> Result<Self, ProtocolError> {
        if port == 0 {
            return Err(ProtocolError::Origin);
        }
        if !(1..=WEIGHT_MAX).contains(&weight) {
            return Err(ProtocolError::Weight);
        }
        Ok(Self { address, port, weight })
    }

    /// Where it is.
    #[must_use]
    pub const fn address(&self) -> &OriginAddress {
        &self.address
    }

    /// Its port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Its part of the fetches.
    #[must_use]
    pub const fn weight(&self) -> u8 {
        self.weight
    }
}

/// One domain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServedDomain {
    /// Its host names.
    pub name: ServedName,
    /// Whether it is served.
    pub state: Serving,
    /// Where its content comes from.
    pub origins: Vec<OriginServer>,
    /// The `Host` that the origins get; absent for the client's.
    pub host_header: Option<KeyHost>,
    /// How the origins are spoken to.
    pub scheme: OriginScheme,
    /// The shield that it is fetched through, by plain HTTP; the origins are for when that does not answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shield: Option<OriginServer>,
}

/// Body of `PUT /v1/domains`: all domains that the edge serves from then on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawTable")]
pub struct DomainTable {
    log: LogId,
    generation: u64,
    domains: Vec<ServedDomain>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rules: Vec<DomainRules>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTable {
    log: LogId,
    generation: u64,
    domains: Vec<ServedDomain>,
    #[serde(default)]
    rules: Vec<DomainRules>,
}

impl TryFrom<RawTable> for DomainTable {
    type Error = ProtocolError;

    fn try_from(raw: RawTable) -> Result<Self, ProtocolError> {
        Self::new(raw.log, raw.generation, raw.domains)?.with_rules(raw.rules)
    }
}

impl DomainTable {
    /// A table. Its owner is named by its log; the generations of one owner rise with each change.
    ///
    /// # Errors
    /// [`ProtocolError::Generation`], [`ProtocolError::TooManyDomains`], [`ProtocolError::DomainTwice`],
    /// [`ProtocolError::Origins`].
    pub fn new(log: LogId, generation: u64, domains: Vec<ServedDomain>) -> Result<Self, ProtocolError> {
        if generation > SEQ_MAX {
            return Err(ProtocolError::Generation);
        }
        if domains.len() > DOMAINS_MAX {
            return Err(ProtocolError::TooManyDomains);
        }
        let mut names = HashSet::with_capacity(domains.len());
        if !domains.iter().all(|it| names.insert(&it.name)) {
            return Err(ProtocolError::DomainTwice);
        }
        let is_odd = |it: &ServedDomain| match it.state {
            Serving::Online => !(1..=ORIGINS_MAX).contains(&it.origins.len()),
            Serving::Offline => it.origins.len() > ORIGINS_MAX,
        };
        if domains.iter().any(is_odd) {
            return Err(ProtocolError::Origins);
        }
        Ok(Self { log, generation, domains, rules: Vec::new() })
    }

    /// The same table, with the key rules of the domains: where one has others than the default, of all
    /// of them, since the most specific name counts alone. A domain may have rules and not be served.
    ///
    /// # Errors
    /// [`ProtocolError::TooManyDomains`], [`ProtocolError::RulesTwice`].
    pub fn with_rules(self, rules: Vec<DomainRules>) -> Result<Self, ProtocolError> {
        if rules.len() > DOMAINS_MAX {
            return Err(ProtocolError::TooManyDomains);
        }
        let mut names = HashSet::with_capacity(rules.len());
        if !rules.iter().all(|it| names.insert(&it.name)) {
            return Err(ProtocolError::RulesTwice);
        }
        Ok(Self { rules, ..self })
    }

    /// The key rules of the domains.
    #[must_use]
    pub fn rules(&self) -> &[DomainRules] {
        &self.rules
    }

    /// Whose generations these are.
    #[must_use]
    pub const fn log(&self) -> &LogId {
        &self.log
    }

    /// Which table of its owner this is.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// The domains.
    #[must_use]
    pub fn domains(&self) -> &[ServedDomain] {
        &self.domains
    }
}

/// Answer to `PUT /v1/domains`: every request that begins from now on is routed by the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DomainsResponse {
    /// The generation of the table.
    pub generation: u64,
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    fn check(json: &str, expect: Option<&str>) {
        let parsed = serde_json::from_str::<DomainTable>(json);
        assert_eq!(parsed.ok().map(|it| serde_json::to_string(&it).unwrap()).as_deref(), expect, "{json}");
    }

    fn table(domain: &str) -> String {
        format!(r#"{{"log":"a","generation":3,"domains":[{domain}]}}"#)
    }

    const ORIGIN: &str = r#"{"address":"192.0.2.1","port":80,"weight":1}"#;

    fn domain(name: &str, state: &str, origins: &str) -> String {
        format!(r#"{{"name":"{name}","state":"{state}","origins":[{origins}],"host_header":null,"scheme":"http"}}"#)
    }

    #[test]
    fn table_round_trips_with_its_names_in_key_form() {
        check(
            &table(
                r#"{"name":"*.A.test.","state":"online","origins":[{"address":"O.test","port":8080,"weight":100},{"address":"2001:db8::1","port":443,"weight":1}],"host_header":"O.test:80","scheme":"https"}"#,
            ),
            Some(&table(
                r#"{"name":"*.a.test","state":"online","origins":[{"address":"o.test","port":8080,"weight":100},{"address":"2001:db8::1","port":443,"weight":1}],"host_header":"o.test","scheme":"https"}"#,
            )),
        );
        let keyed = |rules: &str| format!(r#"{{"log":"a","generation":3,"domains":[],"rules":[{rules}]}}"#);
        check(
            &keyed(r#"{"name":"A.test","rules":"port=shared query=drop"}"#),
            Some(&keyed(r#"{"name":"a.test","rules":"query=drop port=shared"}"#)),
        );
        check(&keyed(r#"{"name":"a.test","rules":"query=some"}"#), None);
        let twice = [r#"{"name":"a.test","rules":"default"}"#; 2].join(",");
        check(&keyed(&twice), None);
        let stopped = table(&domain("a.test", "offline", ""));
        check(&stopped, Some(&stopped));
    }

    #[test]
    fn table_outside_the_bounds_is_refused() {
        let well = domain("a.test", "online", ORIGIN);
        check(&table(&well), Some(&table(&well)));
        for bad in [
            domain("a.test", "online", ""),
            domain("a.test", "gone", ORIGIN),
            domain("*", "online", ORIGIN),
            domain("*.*.test", "online", ORIGIN),
            domain("a.*.test", "online", ORIGIN),
            domain("a.test:80", "online", ORIGIN),
            domain("", "online", ORIGIN),
            domain("a.test", "online", &ORIGIN.replace("80", "0")),
            domain("a.test", "online", &ORIGIN.replace("80", "65536")),
            domain("a.test", "online", &ORIGIN.replace("192.0.2.1", "a b")),
            domain("a.test", "online", &ORIGIN.replace("\"weight\":1", "\"weight\":0")),
            domain("a.test", "online", &ORIGIN.replace("\"weight\":1", "\"weight\":101")),
            domain("a.test", "online", &ORIGIN.replace('}', ",\"more\":1}")),
            domain("a.test", "online", &[ORIGIN; ORIGINS_MAX + 1].join(",")),
            domain("a.test", "online", ORIGIN).replace("null", "\"a b\""),
            domain("a.test", "online", ORIGIN).replace("\"http\"", "\"ftp\""),
            domain("a.test", "online", ORIGIN).replace("null", "null,\"more\":1"),
            [well.clone(), domain("A.test.", "offline", "")].join(","),
        ] {
            check(&table(&bad), None);
        }
        check(&table(&well).replace('3', "9007199254740992"), None);
        let name = |at: usize| ServedName::parse(&format!("h{at}.test")).unwrap();
        let domain = |at| ServedDomain {
            name: name(at),
            state: Serving::Offline,
            origins: Vec::new(),
            host_header: None,
            scheme: OriginScheme::Follow,
            shield: None,
        };
        let many = |count: usize| DomainTable::new(LogId::new("a").unwrap(), 1, (0..count).map(domain).collect());
        assert!(many(DOMAINS_MAX).is_ok());
        assert_eq!(many(DOMAINS_MAX + 1).map(|_| ()), Err(ProtocolError::TooManyDomains));
    }
}
