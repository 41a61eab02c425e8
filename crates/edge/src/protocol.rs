//! The control protocol between a relay and an edge: JSON over HTTP/1.1, version 1.
//!
//! What this is: the types on the wire, their bounds, and their conversions from and to the nouns
//! of `catharsis-core`. `POST /v1/invalidations` takes an [`InvalidationsRequest`] and answers an
//! [`InvalidationsResponse`] once the marks are set; `GET /v1/status` answers a [`StatusResponse`].
//! A refused request is answered with 4xx and an [`ErrorResponse`].
//!
//! What this is not: a transport. There is no HTTP here.
//!
//! Invariant: a value that was deserialised is within its bounds. Unknown fields are refused, so
//! that an order which an older edge would carry out only in part fails instead; a change of
//! meaning gets a new version in the path.

use std::fmt;

use catharsis_core::invalidation::{Invalidation, Seq};
use catharsis_core::limits::URL_BYTES_MAX;
use catharsis_core::receipt::Outcome;
use catharsis_core::target::{HostName, Mode, Target};
use serde::{Deserialize, Serialize};

/// Path of the invalidation call.
pub const INVALIDATIONS_PATH: &str = "/v1/invalidations";

/// Path of the status call.
pub const STATUS_PATH: &str = "/v1/status";

/// Most invalidations in one request: eight relay batches.
pub const INVALIDATIONS_MAX: usize = 4_096;

/// Most bytes of a request body. A relay batch of 512 URLs of the longest kind, each in two
/// spellings, is below 9 MB.
pub const BODY_BYTES_MAX: usize = 16 << 20;

/// Bytes of a log id.
pub const LOG_ID_BYTES_MAX: usize = 64;

/// Spellings of one URL: percent-encoded, and raw.
pub const PATHS_MAX: usize = 2;

/// The highest position: larger integers are not exact in every JSON reader (RFC 8259 section 6).
pub const SEQ_MAX: u64 = (1 << 53) - 1;

/// Why a text or number is not acceptable on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// A log id that is empty, too long, or not of letters, digits, `-`, `_`, `.` and `:`.
    #[error("a log id is 1 to {LOG_ID_BYTES_MAX} letters, digits, '-', '_', '.' or ':'")]
    LogId,
    /// A host that is no host name with an optional port.
    #[error("the host is not a host name with an optional port")]
    Host,
    /// A path that could not stand in a request line.
    #[error("a path begins with '/', holds no blank or control character and is at most {URL_BYTES_MAX} bytes")]
    Path,
    /// No path, or more than [`PATHS_MAX`].
    #[error("a URL has 1 to {PATHS_MAX} paths")]
    Paths,
    /// A directory with a query.
    #[error("a directory has no query")]
    Query,
    /// A position above [`SEQ_MAX`].
    #[error("a position is at most {SEQ_MAX}")]
    Seq,
    /// More than [`INVALIDATIONS_MAX`] invalidations.
    #[error("a request holds at most {INVALIDATIONS_MAX} invalidations")]
    TooMany,
    /// An invalidation whose position is 0 or beyond `upto`.
    #[error("each position is from 1 to upto")]
    BeyondUpto,
}

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

/// One URL in all its spellings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, try_from = "RawUrl")]
pub struct WireUrl {
    host: KeyHost,
    paths: Vec<KeyPath>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawUrl {
    host: KeyHost,
    paths: Vec<KeyPath>,
}

impl TryFrom<RawUrl> for WireUrl {
    type Error = ProtocolError;

    fn try_from(raw: RawUrl) -> Result<Self, ProtocolError> {
        Self::new(raw.host, raw.paths)
    }
}

impl WireUrl {
    /// A URL with 1 to [`PATHS_MAX`] spellings of its path.
    ///
    /// # Errors
    /// [`ProtocolError::Paths`].
    pub fn new(host: KeyHost, paths: Vec<KeyPath>) -> Result<Self, ProtocolError> {
        if (1..=PATHS_MAX).contains(&paths.len()) { Ok(Self { host, paths }) } else { Err(ProtocolError::Paths) }
    }

    /// The host.
    #[must_use]
    pub const fn host(&self) -> &KeyHost {
        &self.host
    }

    /// The spellings of its path and query.
    #[must_use]
    pub fn paths(&self) -> &[KeyPath] {
        &self.paths
    }
}

/// One directory in all its spellings; on the wire it looks like a URL without a query.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "WireUrl", into = "WireUrl")]
pub struct WirePrefix(WireUrl);

impl WirePrefix {
    /// A directory with 1 to [`PATHS_MAX`] spellings. It covers what
    /// `catharsis_core::target::CachePrefix` says.
    ///
    /// # Errors
    /// [`ProtocolError::Paths`], [`ProtocolError::Query`].
    pub fn new(host: KeyHost, paths: Vec<KeyPath>) -> Result<Self, ProtocolError> {
        WireUrl::new(host, paths)?.try_into()
    }

    /// The host.
    #[must_use]
    pub const fn host(&self) -> &KeyHost {
        self.0.host()
    }

    /// Its spellings.
    #[must_use]
    pub fn paths(&self) -> &[KeyPath] {
        self.0.paths()
    }
}

impl TryFrom<WireUrl> for WirePrefix {
    type Error = ProtocolError;

    fn try_from(url: WireUrl) -> Result<Self, ProtocolError> {
        if url.paths.iter().any(|it| it.as_str().contains('?')) { Err(ProtocolError::Query) } else { Ok(Self(url)) }
    }
}

impl From<WirePrefix> for WireUrl {
    fn from(prefix: WirePrefix) -> Self {
        prefix.0
    }
}

/// What to forget.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum WireTarget {
    /// One URL with all its variants.
    Url(WireUrl),
    /// All URLs at and below a directory.
    Prefix(WirePrefix),
    /// All that the edge holds.
    Everything,
}

/// How a removed copy may still be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WireMode {
    /// Not at all.
    Delete,
    /// After the origin has confirmed it.
    Expire,
}

/// One invalidation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WireInvalidation {
    /// Its position in the log.
    pub seq: WireSeq,
    /// How removed copies may still be used.
    pub mode: WireMode,
    /// What to forget.
    pub target: WireTarget,
}

impl TryFrom<&Invalidation> for WireInvalidation {
    type Error = ProtocolError;

    fn try_from(invalidation: &Invalidation) -> Result<Self, ProtocolError> {
        let target = match &*invalidation.target {
            Target::Everything => WireTarget::Everything,
            Target::Prefix(prefix) => {
                let host = KeyHost::parse(&prefix.host_header())?;
                let paths: Result<_, _> = prefix.request_targets().iter().map(KeyPath::new).collect();
                WireTarget::Prefix(WirePrefix::new(host, paths?)?)
            }
            Target::Url(url) => {
                let host = KeyHost::parse(&url.host_header())?;
                let paths: Result<_, _> = url.request_targets().iter().map(KeyPath::new).collect();
                WireTarget::Url(WireUrl::new(host, paths?)?)
            }
        };
        let mode = match invalidation.mode {
            Mode::Delete => WireMode::Delete,
            Mode::Expire => WireMode::Expire,
        };
        Ok(Self { seq: invalidation.seq.try_into()?, mode, target })
    }
}

/// Body of `POST /v1/invalidations`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawRequest")]
pub struct InvalidationsRequest {
    log: LogId,
    upto: WireSeq,
    invalidations: Vec<WireInvalidation>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRequest {
    log: LogId,
    upto: WireSeq,
    invalidations: Vec<WireInvalidation>,
}

impl TryFrom<RawRequest> for InvalidationsRequest {
    type Error = ProtocolError;

    fn try_from(raw: RawRequest) -> Result<Self, ProtocolError> {
        Self::new(raw.log, raw.upto, raw.invalidations)
    }
}

impl InvalidationsRequest {
    /// An order. `upto` is the position that the edge has reached once it is carried out; the
    /// invalidations are those up to it that the edge has not acknowledged yet.
    ///
    /// # Errors
    /// [`ProtocolError::TooMany`], [`ProtocolError::BeyondUpto`].
    pub fn new(log: LogId, upto: WireSeq, invalidations: Vec<WireInvalidation>) -> Result<Self, ProtocolError> {
        if invalidations.len() > INVALIDATIONS_MAX {
            return Err(ProtocolError::TooMany);
        }
        if invalidations.iter().any(|it| it.seq.0 == 0 || it.seq > upto) {
            return Err(ProtocolError::BeyondUpto);
        }
        Ok(Self { log, upto, invalidations })
    }

    /// The order that carries out a batch of the log: `upto` is its highest position.
    ///
    /// # Errors
    /// [`ProtocolError`] when the batch does not fit the protocol's bounds.
    pub fn of_batch(log: LogId, batch: &[Invalidation]) -> Result<Self, ProtocolError> {
        let highest = batch.iter().map(|it| it.seq).max().unwrap_or(Seq::ZERO);
        let wire: Result<Vec<_>, _> = batch.iter().map(WireInvalidation::try_from).collect();
        Self::new(log, highest.try_into()?, wire?)
    }

    /// The order to forget everything whose fetch began before position `upto`.
    ///
    /// # Errors
    /// [`ProtocolError::Seq`] when the position is above [`SEQ_MAX`].
    pub fn everything(log: LogId, upto: Seq) -> Result<Self, ProtocolError> {
        // Position 0 is "before all": what an edge fetched before its first order counts as 0 too,
        // so the mark must stand at 1 to cover it.
        let seq = WireSeq::try_from(upto.max(Seq(1)))?;
        let everything = WireInvalidation { seq, mode: WireMode::Delete, target: WireTarget::Everything };
        Self::new(log, seq, vec![everything])
    }

    /// Whose positions these are.
    #[must_use]
    pub const fn log(&self) -> &LogId {
        &self.log
    }

    /// The position that the edge reaches.
    #[must_use]
    pub const fn upto(&self) -> Seq {
        self.upto.seq()
    }

    /// What to forget.
    #[must_use]
    pub fn invalidations(&self) -> &[WireInvalidation] {
        &self.invalidations
    }
}

/// What became of one invalidation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WireOutcome {
    /// A copy, or a fetch under way, was there and is no longer used. Of a directory it is not known
    /// whether there was one.
    Applied,
    /// There was none.
    Absent,
}

impl From<WireOutcome> for Outcome {
    fn from(outcome: WireOutcome) -> Self {
        match outcome {
            WireOutcome::Applied => Self::Applied,
            WireOutcome::Absent => Self::Absent,
        }
    }
}

/// Answer to `POST /v1/invalidations`: the marks are set, the fence holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InvalidationsResponse {
    /// The edge's position in the log.
    pub position: WireSeq,
    /// One for each invalidation, in the same order.
    pub outcomes: Vec<WireOutcome>,
}

/// Answer to `GET /v1/status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatusResponse {
    /// The log that it follows; absent until the first order after a start.
    pub log: Option<LogId>,
    /// Its position there.
    pub position: WireSeq,
    /// URLs held, with all their variants.
    pub entries: u64,
    /// Bytes held.
    pub bytes: u64,
    /// Marks held.
    pub marks: u64,
}

/// Body of a refusal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErrorResponse {
    /// Why, for a person.
    pub error: String,
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    fn check(json: &str, expect: Option<&str>) {
        let parsed = serde_json::from_str::<InvalidationsRequest>(json);
        assert_eq!(parsed.ok().map(|it| serde_json::to_string(&it).unwrap()).as_deref(), expect, "{json}");
    }

    #[test]
    fn request_round_trips_with_its_host_in_key_form() {
        check(
            r#"{"log":"a","upto":7,"invalidations":[{"seq":7,"mode":"delete","target":{"url":{"host":"WWW.a.test.:443","paths":["/x","/é"]}}},{"seq":6,"mode":"expire","target":"everything"}]}"#,
            Some(
                r#"{"log":"a","upto":7,"invalidations":[{"seq":7,"mode":"delete","target":{"url":{"host":"www.a.test","paths":["/x","/é"]}}},{"seq":6,"mode":"expire","target":"everything"}]}"#,
            ),
        );
        check(
            r#"{"log":"a","upto":7,"invalidations":[{"seq":7,"mode":"delete","target":{"prefix":{"host":"A.test:80","paths":["/x/"]}}}]}"#,
            Some(
                r#"{"log":"a","upto":7,"invalidations":[{"seq":7,"mode":"delete","target":{"prefix":{"host":"a.test","paths":["/x/"]}}}]}"#,
            ),
        );
        check(r#"{"log":"a","upto":0,"invalidations":[]}"#, Some(r#"{"log":"a","upto":0,"invalidations":[]}"#));
    }

    #[test]
    fn request_outside_the_bounds_is_refused() {
        let one = |seq: &str, target: &str| {
            format!(r#"{{"log":"a","upto":7,"invalidations":[{{"seq":{seq},"mode":"delete","target":{target}}}]}}"#)
        };
        for (seq, target) in [
            ("8", r#""everything""#),
            ("0", r#""everything""#),
            ("7", r#"{"url":{"host":"a.test","paths":[]}}"#),
            ("7", r#"{"url":{"host":"a.test","paths":["/","/","/"]}}"#),
            ("7", r#"{"url":{"host":"a.test","paths":["x"]}}"#),
            ("7", r#"{"url":{"host":"a.test","paths":["/a b"]}}"#),
            ("7", r#"{"url":{"host":"a.test","paths":["/\r\n"]}}"#),
            ("7", r#"{"url":{"host":"a.test:","paths":["/"]}}"#),
            ("7", r#"{"url":{"host":"","paths":["/"]}}"#),
            ("7", r#"{"url":{"host":"a.test","paths":["/"],"more":1}}"#),
            ("7", r#"{"prefix":"/"}"#),
            ("7", r#"{"prefix":{"host":"a.test","paths":["/?"]}}"#),
            ("7", r#"{"prefix":{"host":"a.test","paths":[]}}"#),
            ("7", r#"{"prefix":{"host":"a.test","paths":["/"],"more":1}}"#),
            ("7", r#"{"host":"a.test"}"#),
        ] {
            check(&one(seq, target), None);
        }
        check(r#"{"log":"","upto":0,"invalidations":[]}"#, None);
        check(r#"{"log":"a","upto":9007199254740992,"invalidations":[]}"#, None);
        check(r#"{"log":"a","upto":0,"invalidations":[],"more":1}"#, None);
    }
}
