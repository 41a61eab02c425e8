//! The names in a control message: logs, positions, hosts and paths, each within its bounds.

use std::fmt;

use catharsis_core::invalidation::Seq;
use catharsis_core::limits::URL_BYTES_MAX;
use catharsis_core::receipt::Reason;
use catharsis_core::target::HostName;
use serde::{Deserialize, Serialize};

use super::{LOG_ID_BYTES_MAX, ProtocolError, SEQ_MAX};

/// Which log the positions of a message belong to. Positions of different logs do not compare.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LogId(Box<str>);

impl LogId {
    /// Checks a log id.
    ///
    /// # Errors
    /// [`ProtocolError::LogId`].
    pub fn new(text: &str) -> Result<Self, ProtocolError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':');
        if (1..=LOG_ID_BYTES_MAX).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.into()))
        } else {
            Err(ProtocolError::LogId)
        }
    }

    /// The text.
    #[must_use]
    pub const fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for LogId {
    type Error = ProtocolError;

    fn try_from(text: String) -> Result<Self, ProtocolError> {
        Self::new(&text)
    }
}

impl From<LogId> for String {
    fn from(id: LogId) -> Self {
        id.0.into()
    }
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why an invalidation was not carried out, for a person: printable, at most
/// `catharsis_core::limits::REASON_BYTES_MAX` bytes; what comes longer is cut off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct WireReason(Box<str>);

impl WireReason {
    /// The text.
    #[must_use]
    pub const fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for WireReason {
    fn from(text: String) -> Self {
        Self(Reason::new(&text).as_str().into())
    }
}

impl From<WireReason> for String {
    fn from(reason: WireReason) -> Self {
        reason.0.into()
    }
}

/// A position on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct WireSeq(u64);

impl WireSeq {
    /// The position.
    #[must_use]
    pub const fn seq(self) -> Seq {
        Seq(self.0)
    }
}

impl TryFrom<u64> for WireSeq {
    type Error = ProtocolError;

    fn try_from(number: u64) -> Result<Self, ProtocolError> {
        if number <= SEQ_MAX { Ok(Self(number)) } else { Err(ProtocolError::Seq) }
    }
}

impl TryFrom<Seq> for WireSeq {
    type Error = ProtocolError;

    fn try_from(seq: Seq) -> Result<Self, ProtocolError> {
        Self::try_from(seq.0)
    }
}

impl From<WireSeq> for u64 {
    fn from(seq: WireSeq) -> Self {
        seq.0
    }
}

/// The host of a cache key: lower case, no trailing dot, no port 80 or 443.
///
/// The scheme is no part of the key, so the default ports of both schemes mean "no port": a client
/// that speaks TLS to a terminator before the edge and one that speaks plain HTTP to the edge ask
/// for the same object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyHost(Box<str>);

impl KeyHost {
    /// Reads the value of a `Host` header field (RFC 9110 section 7.2).
    ///
    /// # Errors
    /// [`ProtocolError::Host`].
    pub fn parse(text: &str) -> Result<Self, ProtocolError> {
        let (name, port) = match text.split_once(':') {
            None => (text, None),
            Some((name, port)) => (name, Some(parse_port(port)?)),
        };
        let name = HostName::parse(name).map_err(|_| ProtocolError::Host)?;
        Ok(match port {
            None | Some(80 | 443) => Self(name.as_str().into()),
            Some(port) => Self(format!("{name}:{port}").into_boxed_str()),
        })
    }

    /// The host, with its port when that is not a default one.
    #[must_use]
    pub const fn as_str(&self) -> &str {
        &self.0
    }

    /// Its port, when that is not a default one.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.0.split_once(':').and_then(|(_, port)| port.parse().ok())
    }

    /// The host without its port.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.split(':').next().unwrap_or_default()
    }
}

fn parse_port(text: &str) -> Result<u16, ProtocolError> {
    if text.is_empty() || text.len() > 5 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ProtocolError::Host);
    }
    text.parse().map_err(|_| ProtocolError::Host)
}

impl TryFrom<String> for KeyHost {
    type Error = ProtocolError;

    fn try_from(text: String) -> Result<Self, ProtocolError> {
        Self::parse(&text)
    }
}

impl From<KeyHost> for String {
    fn from(host: KeyHost) -> Self {
        host.0.into()
    }
}

/// Path and query, byte for byte as in a request line.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyPath(Box<str>);

impl KeyPath {
    /// Checks a path.
    ///
    /// # Errors
    /// [`ProtocolError::Path`].
    pub fn new(text: &str) -> Result<Self, ProtocolError> {
        let allowed = |c: char| !c.is_control() && c != ' ';
        if text.starts_with('/') && text.len() <= URL_BYTES_MAX && text.chars().all(allowed) {
            Ok(Self(text.into()))
        } else {
            Err(ProtocolError::Path)
        }
    }

    /// The text.
    #[must_use]
    pub const fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for KeyPath {
    type Error = ProtocolError;

    fn try_from(text: String) -> Result<Self, ProtocolError> {
        Self::new(&text)
    }
}

impl From<KeyPath> for String {
    fn from(path: KeyPath) -> Self {
        path.0.into()
    }
}
