//! A built-in edge as the origin hop of other caches.
//!
//! What this is: the question what has landed, over a connection of its own, since its answer may take seconds while
//! purges go on. Invariant: an answer beyond what was asked is no answer.

use async_trait::async_trait;
use bytes::Bytes;
use catharsis_core::invalidation::Seq;
use catharsis_core::ports::Hop;
use catharsis_core::receipt::{Reason, Unreachable};
use catharsis_edge::protocol::{LANDED_PATH, LANDED_WITHIN, LandedRequest, LandedResponse, WireSeq};
use http::Method;

use super::{EdgePurger, odd};

/// What an edge answers that keeps no account of what is on its way.
const NOT_A_HOP: Unreachable = Unreachable::Denied { status: 404 };

/// See the module.
#[derive(Debug)]
pub struct EdgeHop(EdgePurger);

impl EdgeHop {
    /// The hop that this purger tells. Its longest answer takes [`LANDED_WITHIN`] more than the purger's.
    #[must_use]
    pub fn new(mut purger: EdgePurger) -> Self {
        purger.limits.batch += LANDED_WITHIN;
        Self(purger)
    }
}

#[async_trait]
impl Hop for EdgeHop {
    async fn landed(&self, known: Seq, upto: Seq) -> Result<Seq, Unreachable> {
        let wire = |seq: Seq| WireSeq::try_from(seq).map_err(|error| odd(&error.to_string()));
        let request = LandedRequest { log: self.0.log.clone(), known: wire(known)?, upto: wire(upto)? };
        let body = serde_json::to_vec(&request).map_err(|error| odd(&error.to_string()))?;
        let told = self.0.exchange(Method::POST, LANDED_PATH, Bytes::from(body)).await;
        let bytes = told.map_err(|why| if why == NOT_A_HOP { no_hop() } else { why })?;
        let answer: LandedResponse = serde_json::from_slice(&bytes).map_err(|error| odd(&error.to_string()))?;
        let landed = answer.landed.seq();
        if landed > upto { Err(odd("it speaks of purges that it was not asked about")) } else { Ok(landed.max(known)) }
    }
}

fn no_hop() -> Unreachable {
    Unreachable::Reported(Reason::new("it is no origin hop: set `hop = true` in its [[edge]]"))
}
