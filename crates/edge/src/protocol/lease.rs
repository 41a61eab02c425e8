//! Leases on the wire: until when an edge may use its copies unasked.
//!
//! What this is: the types of `POST /v1/lease`. What this is not: a decision about who gets one; that is the
//! relay's (`catharsis_core::lease`).
//!
//! Invariant: a grant names a point of the edge's *own* clock, in the run in which the edge told it. So it says the
//! same however long it is under way, twice or never: no clock is compared with another machine's.

use std::fmt;

use catharsis_core::lease::{NodeMillis, Run};
use serde::{Deserialize, Serialize};

use super::{LogId, ProtocolError, SEQ_MAX, WireSeq};

/// Path of the lease call.
pub const LEASE_PATH: &str = "/v1/lease";

/// The name of one run of an edge: 16 hexadecimal digits, since a number of 64 bits is not exact in every JSON
/// reader (RFC 8259 section 6).
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WireRun(Run);

impl WireRun {
    /// Of a run.
    #[must_use]
    pub const fn new(run: Run) -> Self {
        Self(run)
    }

    /// The run.
    #[must_use]
    pub const fn run(self) -> Run {
        self.0
    }
}

impl fmt::Debug for WireRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0.0)
    }
}

impl TryFrom<String> for WireRun {
    type Error = ProtocolError;

    fn try_from(text: String) -> Result<Self, ProtocolError> {
        let hex = text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let run = u64::from_str_radix(&text, 16).ok().filter(|_| hex);
        run.map(|run| Self(Run(run))).ok_or(ProtocolError::Run)
    }
}

impl From<WireRun> for String {
    fn from(run: WireRun) -> Self {
        format!("{run:?}")
    }
}

/// A point of an edge's clock in milliseconds, at most [`SEQ_MAX`] (285,000 years).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct WireMillis(u64);

impl WireMillis {
    /// The point.
    #[must_use]
    pub const fn millis(self) -> NodeMillis {
        NodeMillis(self.0)
    }
}

impl TryFrom<NodeMillis> for WireMillis {
    type Error = ProtocolError;

    fn try_from(millis: NodeMillis) -> Result<Self, ProtocolError> {
        millis.0.try_into()
    }
}

impl TryFrom<u64> for WireMillis {
    type Error = ProtocolError;

    fn try_from(millis: u64) -> Result<Self, ProtocolError> {
        if millis > SEQ_MAX { Err(ProtocolError::Millis) } else { Ok(Self(millis)) }
    }
}

impl From<WireMillis> for u64 {
    fn from(millis: WireMillis) -> Self {
        millis.0
    }
}

/// What a relay grants; without one it only asks what time it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WireGrant {
    /// The run that may trust its copies; any other refuses.
    pub run: WireRun,
    /// Until this point of that run's clock.
    pub until: WireMillis,
}

/// Asks an edge for its clock, and may grant a lease.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeaseRequest {
    /// The log whose positions the relay tells. A lease holds for that log only: one that was granted in the name of
    /// another ends at once.
    pub log: LogId,
    /// What is granted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<WireGrant>,
}

/// When an edge uses its copies without asking the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WireTrust {
    /// Always: it needs no lease, and nobody may rely on the end of one.
    Always,
    /// While it holds a lease.
    Leased,
}

/// How an edge stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeaseResponse {
    /// This run.
    pub run: WireRun,
    /// Its clock, read after the request had arrived.
    pub clock: WireMillis,
    /// Its position in the log that it follows.
    pub position: WireSeq,
    /// When it uses its copies unasked.
    pub trusts: WireTrust,
    /// The end of the lease that it holds, whoever granted it; absent when it holds none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<WireMillis>,
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    #[test]
    fn lease_is_read_as_it_was_written_and_nothing_else_is() {
        let grant = WireGrant { run: WireRun::new(Run(0xabc)), until: WireMillis(7) };
        let request = LeaseRequest { log: LogId::new("l").unwrap(), grant: Some(grant) };
        let text = serde_json::to_string(&request).unwrap();
        assert_eq!(text, r#"{"log":"l","grant":{"run":"0000000000000abc","until":7}}"#);
        assert_eq!(serde_json::from_str::<LeaseRequest>(&text).unwrap(), request);
        for wrong in [
            r#"{"log":"l","until":7}"#,
            r#"{"log":"l","grant":{"run":"abc","until":7}}"#,
            r#"{"log":"l","grant":{"run":"0000000000000ABC","until":7}}"#,
            r#"{"log":"l","grant":{"run":"+000000000000abc","until":7}}"#,
            r#"{"log":"l","grant":{"run":"0000000000000abc","until":9007199254740992}}"#,
        ] {
            assert!(serde_json::from_str::<LeaseRequest>(wrong).is_err(), "{wrong}");
        }
    }
}
