//! What is on its way from an origin hop: `POST /v1/landed` takes a [`LandedRequest`] and answers a
//! [`LandedResponse`], as soon as there is news or after [`LANDED_WITHIN`].

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{LogId, WireSeq};

/// Where an origin hop is asked what has landed.
pub const LANDED_PATH: &str = "/v1/landed";

/// Bytes of such a request.
pub const LANDED_BODY_BYTES_MAX: usize = 1_024;

/// How long a hop lets the relay wait for news: then it answers what was known, so that a connection that died
/// meanwhile is noticed.
pub const LANDED_WITHIN: Duration = Duration::from_secs(5);

/// Asks how far whatever the purges of a log overtook has landed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LandedRequest {
    /// The log that the positions belong to.
    pub log: LogId,
    /// What is known already.
    pub known: WireSeq,
    /// Up to which position it is to be told. The hop was told these purges before.
    pub upto: WireSeq,
}

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LandedResponse {
    /// What the purges up to here overtook has landed.
    pub landed: WireSeq,
}
