//! nginx with the cache purge module and the sample configuration (`docs/caches/nginx.conf`).
//!
//! What this is: `PURGE` to the purge listener: `200` with the module's page when a copy was
//! removed, `404` when there was none. The module knows no "everything": such a node joins only
//! empty, or by an operator who empties its directory.
//!
//! Invariant: a 200 without the module's page is never taken for a success; without the module
//! nginx hands the request to the origin. (A 404 of an origin cannot be told from one of nginx: a
//! purge listener that has no `proxy_pass`, as in the sample, cannot produce it.)

use std::sync::Arc;

use async_trait::async_trait;
use catharsis_core::abilities::{Abilities, Ability};
use catharsis_core::invalidation::{Invalidation, Seq};
use catharsis_core::keys::RulesOf;
use catharsis_core::ports::Purger;
use catharsis_core::receipt::{Outcome, Reason, Refusal, Unreachable};

use super::address::{HttpLimits, NodeAddress};
use super::answer::Answer;
use super::http::{Asked, Dialect, HttpEngine, Requests, by_status, probe};

/// What stands in the page of a purge that removed something.
const PAGE: &[u8] = b"Successful purge";

/// Tells one nginx.
#[derive(Debug)]
pub struct NginxPurger {
    engine: HttpEngine<Nginx>,
}

impl NginxPurger {
    /// A purger of the nginx whose purge listener is at this address. Connects when first used.
    #[must_use]
    pub const fn new(address: NodeAddress, limits: HttpLimits, rules: Arc<dyn RulesOf>) -> Self {
        Self { engine: HttpEngine::new(address, limits, rules, Nginx) }
    }
}

#[async_trait]
impl Purger for NginxPurger {
    fn abilities(&self) -> Abilities {
        Abilities {
            url: Ability::Delete,
            prefix: Ability::Missing,
            host: Ability::Missing,
            everything: Ability::Missing,
            tag: Ability::Missing,
        }
    }

    async fn apply(&self, batch: &[Invalidation]) -> Vec<Outcome> {
        self.engine.apply(batch).await
    }

    async fn everything(&self, _upto: Seq) -> Outcome {
        Outcome::Refused(Refusal::Unsupported)
    }

    async fn answers(&self) -> bool {
        probe(&self.engine).await
    }
}

#[derive(Debug)]
struct Nginx;

impl Dialect for Nginx {
    const MARK: &'static str = "";

    fn everything(&self, _requests: &mut Requests) {
        // The module has no such request.
    }

    fn outcome(&self, _asked: Asked, answer: &Answer<'_>) -> Outcome {
        let outcome = by_status(answer.status);
        let page = || answer.body.windows(PAGE.len()).any(|part| part == PAGE);
        if outcome == Outcome::Applied && !page() {
            return Outcome::Unreachable(Unreachable::Protocol(Reason::new(&format!(
                "{} without the purge module's page: is this the purge listener (docs/caches/nginx.conf)?",
                answer.status
            ))));
        }
        outcome
    }
}
