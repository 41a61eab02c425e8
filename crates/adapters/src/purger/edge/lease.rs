//! Leases of the built-in edge, over its control protocol.
//!
//! What this is: one lease call. What this is not: a decision about who gets a lease
//! (`catharsis_core::leasing`). Invariant: an edge that does not know the call needs no leases, and is never taken
//! for one that does.

use async_trait::async_trait;
use bytes::Bytes;
use catharsis_core::lease::{Grant, Named};
use catharsis_core::ports::{Lessor, Trusts};
use catharsis_core::receipt::Unreachable;
use catharsis_edge::protocol::{
    LEASE_PATH, LeaseRequest, LeaseResponse, ProtocolError, WireGrant, WireMillis, WireRun, WireTrust,
};
use http::Method;

use super::{EdgePurger, odd};

#[async_trait]
impl Lessor for EdgePurger {
    async fn call(&self, grant: Option<Grant>) -> Result<Trusts, Unreachable> {
        let grant = grant.map(wire).transpose().map_err(|error| odd(&error.to_string()))?;
        let call = LeaseRequest { log: self.log.clone(), grant };
        let body = serde_json::to_vec(&call).map_err(|error| odd(&error.to_string()))?;
        match self.exchange(Method::POST, LEASE_PATH, Bytes::from(body)).await {
            Ok(bytes) => {
                let answer: LeaseResponse = serde_json::from_slice(&bytes).map_err(|error| odd(&error.to_string()))?;
                Ok(match answer.trusts {
                    WireTrust::Always => Trusts::Always,
                    WireTrust::Leased => Trusts::Leased(Named {
                        run: answer.run.run(),
                        clock: answer.clock.millis(),
                        until: answer.until.map(WireMillis::millis),
                    }),
                })
            }
            // From before there were leases.
            Err(Unreachable::Denied { status: 404 | 405 }) => Ok(Trusts::Always),
            Err(why) => Err(why),
        }
    }
}

fn wire(grant: Grant) -> Result<WireGrant, ProtocolError> {
    Ok(WireGrant { run: WireRun::new(grant.run), until: grant.until.try_into()? })
}
