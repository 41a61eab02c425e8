//! The control protocol between a relay and an edge or an agent: JSON over HTTP/1.1, version 1.
//!
//! What this is: the types on the wire, their bounds, and their conversions from and to the nouns
//! of `catharsis-core`. `POST /v1/invalidations` takes an [`InvalidationsRequest`] and answers an
//! [`InvalidationsResponse`] once the marks are set, with the numbers of copies if the query is [`COPIES`], which one that
//! knows no query passes over; `PUT /v1/domains` takes a [`DomainTable`] and
//! answers a [`DomainsResponse`] once requests are routed by it; `POST /v1/landed` asks an origin hop what is on its
//! way to caches ([`LandedRequest`]); `POST /v1/lease` takes a [`LeaseRequest`] and answers a [`LeaseResponse`];
//! `GET /v1/status` answers a
//! [`StatusResponse`]. A refused request is answered with 4xx and an [`ErrorResponse`].
//!
//! What this is not: a transport. There is no HTTP here.
//!
//! Invariant: a value that was deserialised is within its bounds. Unknown fields are refused, so
//! that an order which an older edge would carry out only in part fails instead; a change of
//! meaning gets a new version in the path.

mod domains;
mod landed;
mod lease;
mod local;
mod names;
mod rules;

use std::num::NonZeroU32;

use catharsis_core::invalidation::{Invalidation, Seq};
use catharsis_core::limits::URL_BYTES_MAX;
use catharsis_core::receipt::{Outcome, Reason, Refusal, Unreachable};
use catharsis_core::target::{Mode, Scheme, Target};
use serde::{Deserialize, Serialize};

pub use domains::{
    DOMAINS_BODY_BYTES_MAX, DOMAINS_MAX, DOMAINS_PATH, DomainTable, DomainsResponse, ORIGINS_MAX, OriginAddress,
    OriginScheme, OriginServer, ServedDomain, ServedName, Serving, WEIGHT_MAX,
};
pub use landed::{LANDED_BODY_BYTES_MAX, LANDED_PATH, LANDED_WITHIN, LandedRequest, LandedResponse};
pub use lease::{LEASE_PATH, LeaseRequest, LeaseResponse, WireGrant, WireMillis, WireRun, WireTrust};
pub use local::{LocalAddress, LocalOrigins};
pub use names::{KeyHost, KeyPath, LogId, WireReason, WireSeq};
pub use rules::{DomainRules, WireRules, WireScheme};

/// Path of the invalidation call.
pub const INVALIDATIONS_PATH: &str = "/v1/invalidations";

/// The query of the invalidation call of a relay that takes [`WireOutcome::AppliedTo`]. Others would not know what it
/// means, and take the whole answer for none.
pub const COPIES: &str = "copies";

/// The same with its path.
pub const INVALIDATIONS_WITH_COPIES: &str = "/v1/invalidations?copies";

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
    /// A run's name that is not of 16 hexadecimal digits.
    #[error("a run is named by 16 hexadecimal digits")]
    Run,
    /// A point of a clock above [`SEQ_MAX`].
    #[error("a clock shows at most {SEQ_MAX}")]
    Millis,
    /// A domain that is neither a host name nor `*.` and one.
    #[error("a domain is a host name, or *. and a host name")]
    Domain,
    /// More than [`DOMAINS_MAX`] domains.
    #[error("a table holds at most {DOMAINS_MAX} domains")]
    TooManyDomains,
    /// Two entries for one domain.
    #[error("a domain stands in the table twice")]
    DomainTwice,
    /// A generation above [`SEQ_MAX`].
    #[error("a generation is at most {SEQ_MAX}")]
    Generation,
    /// An address that is neither an IP address nor a host name, or port 0.
    #[error("an origin is an IP address or a host name, and a port from 1 to 65535")]
    Origin,
    /// A weight of 0 or above [`WEIGHT_MAX`].
    #[error("a weight is from 1 to {WEIGHT_MAX}")]
    Weight,
    /// Rules that are none.
    #[error("the key rules cannot be read")]
    Rules,
    /// Rules twice for one domain.
    #[error("a domain has key rules twice")]
    RulesTwice,
    /// A domain online without an origin, or one with more than [`ORIGINS_MAX`].
    #[error("a domain has at most {ORIGINS_MAX} origins, and one at least while it is online")]
    Origins,
    /// An invalidation whose position is 0 or beyond `upto`.
    #[error("each position is from 1 to upto")]
    BeyondUpto,
}

/// One URL in all its spellings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, try_from = "RawUrl")]
pub struct WireUrl {
    host: KeyHost,
    scheme: Option<WireScheme>,
    paths: Vec<KeyPath>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawUrl {
    host: KeyHost,
    #[serde(default)]
    scheme: Option<WireScheme>,
    paths: Vec<KeyPath>,
}

impl TryFrom<RawUrl> for WireUrl {
    type Error = ProtocolError;

    fn try_from(raw: RawUrl) -> Result<Self, ProtocolError> {
        Self::new(raw.host, raw.scheme.map(Scheme::from), raw.paths)
    }
}

impl WireUrl {
    /// A URL with 1 to [`PATHS_MAX`] spellings of its path. Its scheme counts where the rules of its domain say
    /// so; without one, both are named.
    ///
    /// # Errors
    /// [`ProtocolError::Paths`].
    pub fn new(host: KeyHost, scheme: Option<Scheme>, paths: Vec<KeyPath>) -> Result<Self, ProtocolError> {
        if !(1..=PATHS_MAX).contains(&paths.len()) {
            return Err(ProtocolError::Paths);
        }
        Ok(Self { host, scheme: scheme.map(WireScheme::from), paths })
    }

    /// The host.
    #[must_use]
    pub const fn host(&self) -> &KeyHost {
        &self.host
    }

    /// The scheme; `None` for both.
    #[must_use]
    pub fn scheme(&self) -> Option<Scheme> {
        self.scheme.map(Scheme::from)
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
    pub fn new(host: KeyHost, scheme: Option<Scheme>, paths: Vec<KeyPath>) -> Result<Self, ProtocolError> {
        WireUrl::new(host, scheme, paths)?.try_into()
    }

    /// The host.
    #[must_use]
    pub const fn host(&self) -> &KeyHost {
        self.0.host()
    }

    /// The scheme; `None` for both.
    #[must_use]
    pub fn scheme(&self) -> Option<Scheme> {
        self.0.scheme()
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

impl WireInvalidation {
    /// Bytes that it takes in JSON, at most, with the comma behind it: a character takes two where it is escaped, and
    /// the names of the fields, the position and the mode together less than 200.
    #[must_use]
    pub fn json_bytes_max(&self) -> usize {
        let (host, paths) = match &self.target {
            WireTarget::Everything => return 200,
            WireTarget::Prefix(prefix) => (prefix.host(), prefix.paths()),
            WireTarget::Url(url) => (url.host(), url.paths()),
        };
        let quoted = |path: &KeyPath| 2 * path.as_str().len() + 3;
        200 + host.as_str().len() + paths.iter().map(quoted).sum::<usize>()
    }
}

impl TryFrom<&Invalidation> for WireInvalidation {
    type Error = ProtocolError;

    fn try_from(invalidation: &Invalidation) -> Result<Self, ProtocolError> {
        let target = match &*invalidation.target {
            Target::Everything => WireTarget::Everything,
            Target::Prefix(prefix) => {
                let host = KeyHost::parse(&prefix.host_header())?;
                let paths: Result<_, _> = prefix.request_targets().iter().map(KeyPath::new).collect();
                WireTarget::Prefix(WirePrefix::new(host, Some(prefix.scheme()), paths?)?)
            }
            Target::Url(url) => {
                let host = KeyHost::parse(&url.host_header())?;
                let paths: Result<_, _> = url.request_targets().iter().map(KeyPath::new).collect();
                WireTarget::Url(WireUrl::new(host, Some(url.scheme()), paths?)?)
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
        if invalidations.iter().any(|it| it.seq.seq() == Seq::ZERO || it.seq > upto) {
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WireOutcome {
    /// A copy, or a fetch under way, was there and is no longer used. Of a directory it is not known
    /// whether there was one.
    Applied,
    /// The same of so many copies. Only told to whom it was asked by ([`COPIES`]).
    AppliedTo(NonZeroU32),
    /// There was none.
    Absent,
    /// This kind of cache cannot do it, now or later. Of an agent only: an edge can do all.
    Unsupported,
    /// It was not carried out, or in part only; it is to be sent again. Of an agent only: an edge
    /// refuses whole orders.
    Failed(WireReason),
}

impl WireOutcome {
    /// The outcome where there were so many copies, and beside them, perhaps, fetches under way.
    #[must_use]
    pub fn of(copies: u64, beside: Beside) -> Self {
        // More than the number holds is as many as it holds.
        match (NonZeroU32::new(u32::try_from(copies).unwrap_or(u32::MAX)), beside) {
            (Some(copies), _) => Self::AppliedTo(copies),
            (None, Beside::Something) => Self::Applied,
            (None, Beside::Nothing) => Self::Absent,
        }
    }

    /// The same for a relay that takes no numbers.
    #[must_use]
    pub fn uncounted(self) -> Self {
        match self {
            Self::AppliedTo(_) => Self::Applied,
            Self::Applied | Self::Absent | Self::Unsupported | Self::Failed(_) => self,
        }
    }
}

/// What there was beside copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beside {
    /// Nothing.
    Nothing,
    /// Something that is not counted.
    Something,
}

impl From<WireOutcome> for Outcome {
    fn from(outcome: WireOutcome) -> Self {
        match outcome {
            WireOutcome::Applied => Self::Applied,
            WireOutcome::AppliedTo(copies) => Self::AppliedTo(copies),
            WireOutcome::Absent => Self::Absent,
            WireOutcome::Unsupported => Self::Refused(Refusal::Unsupported),
            WireOutcome::Failed(why) => Self::Unreachable(Unreachable::Reported(Reason::new(why.as_str()))),
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

impl InvalidationsResponse {
    /// The same for a relay that takes no numbers.
    #[must_use]
    pub fn uncounted(self) -> Self {
        Self { outcomes: self.outcomes.into_iter().map(WireOutcome::uncounted).collect(), ..self }
    }
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
    /// Generation of its table of domains; absent until the first one after a start.
    pub domains: Option<u64>,
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
            r#"{"log":"a","upto":7,"invalidations":[{"seq":7,"mode":"delete","target":{"url":{"host":"WWW.a.test.:443","scheme":"https","paths":["/x","/é"]}}},{"seq":6,"mode":"expire","target":"everything"}]}"#,
            Some(
                r#"{"log":"a","upto":7,"invalidations":[{"seq":7,"mode":"delete","target":{"url":{"host":"www.a.test","scheme":"https","paths":["/x","/é"]}}},{"seq":6,"mode":"expire","target":"everything"}]}"#,
            ),
        );
        check(
            r#"{"log":"a","upto":7,"invalidations":[{"seq":7,"mode":"delete","target":{"prefix":{"host":"A.test:80","paths":["/x/"]}}}]}"#,
            Some(
                r#"{"log":"a","upto":7,"invalidations":[{"seq":7,"mode":"delete","target":{"prefix":{"host":"a.test","scheme":null,"paths":["/x/"]}}}]}"#,
            ),
        );
        check(r#"{"log":"a","upto":0,"invalidations":[]}"#, Some(r#"{"log":"a","upto":0,"invalidations":[]}"#));
    }

    #[test]
    fn relay_that_takes_no_numbers_is_told_none() {
        assert_eq!(INVALIDATIONS_WITH_COPIES, format!("{INVALIDATIONS_PATH}?{COPIES}"));
        let outcomes = vec![WireOutcome::of(3, Beside::Nothing), WireOutcome::of(0, Beside::Nothing)];
        let answer = InvalidationsResponse { position: WireSeq::try_from(7).unwrap(), outcomes };
        let told = |answer: &InvalidationsResponse| serde_json::to_string(answer).unwrap();
        assert_eq!(told(&answer), r#"{"position":7,"outcomes":[{"applied_to":3},"absent"]}"#);
        assert_eq!(told(&answer.uncounted()), r#"{"position":7,"outcomes":["applied","absent"]}"#);
    }

    #[test]
    fn failure_of_an_agent_keeps_its_reason_and_is_harmless() {
        let told = r#"["applied",{"applied_to":2},"absent","unsupported",{"failed":"a\r\nb"}]"#;
        let outcomes: Vec<WireOutcome> = serde_json::from_str(told).unwrap();
        let why = Reason::new("a  b");
        let expect = [
            Outcome::Applied,
            Outcome::counted(2),
            Outcome::Absent,
            Outcome::Refused(Refusal::Unsupported),
            Outcome::Unreachable(Unreachable::Reported(why)),
        ];
        assert_eq!(outcomes.into_iter().map(Outcome::from).collect::<Vec<_>>(), expect);
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
