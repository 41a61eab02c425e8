//! Varnish Cache 6 or newer with the sample VCL (`docs/caches/varnish.vcl`).
//!
//! What this is: the `PURGE` of that VCL: `200 Purged N` when N variants were removed, `404` when
//! there was none, and with `X-Catharsis-Scope: everything` a ban of all objects, `200 Banned`.
//!
//! Invariant: an answer that this VCL does not give is never taken for a success. Without it
//! Varnish hands an unknown method to the origin, whose 200 or 404 says nothing about the cache:
//! such an answer lacks the reason phrase, and the `X-Varnish` field of what Varnish makes itself.

use std::sync::Arc;

use async_trait::async_trait;
use catharsis_core::abilities::{Abilities, Ability};
use catharsis_core::invalidation::{Invalidation, Seq};
use catharsis_core::keys::RulesOf;
use catharsis_core::ports::Purger;
use catharsis_core::receipt::{Outcome, Reason, Unreachable};

use super::address::{HttpLimits, NodeAddress};
use super::answer::{Answer, Marked};
use super::http::{Asked, Dialect, HttpEngine, Requests, by_status, probe};

/// Tells one Varnish.
#[derive(Debug)]
pub struct VarnishPurger {
    engine: HttpEngine<Varnish>,
}

impl VarnishPurger {
    /// A purger of the Varnish that takes purges at this address. Connects when first used.
    #[must_use]
    pub const fn new(address: NodeAddress, limits: HttpLimits, rules: Arc<dyn RulesOf>) -> Self {
        Self { engine: HttpEngine::new(address, limits, rules, Varnish) }
    }
}

#[async_trait]
impl Purger for VarnishPurger {
    fn abilities(&self) -> Abilities {
        Abilities {
            url: Ability::Delete,
            prefix: Ability::Missing,
            host: Ability::Missing,
            everything: Ability::Delete,
            tag: Ability::Missing,
        }
    }

    async fn apply(&self, batch: &[Invalidation]) -> Vec<Outcome> {
        self.engine.apply(batch).await
    }

    async fn everything(&self, _upto: Seq) -> Outcome {
        let mut requests = Requests::default();
        self.engine.dialect.everything(&mut requests);
        let outcomes = self.engine.send(&requests).await;
        outcomes.into_iter().next().unwrap_or(Outcome::Unreachable(Unreachable::Closed))
    }

    async fn answers(&self) -> bool {
        probe(&self.engine).await
    }
}

#[derive(Debug)]
struct Varnish;

impl Dialect for Varnish {
    const MARK: &'static str = "x-varnish";

    fn everything(&self, requests: &mut Requests) {
        // The host is only there because HTTP/1.1 wants one.
        let scope = "X-Catharsis-Scope: everything\r\n";
        requests.purge("/", "catharsis.invalid", scope, Asked::Everything);
    }

    fn outcome(&self, asked: Asked, answer: &Answer<'_>) -> Outcome {
        let outcome = by_status(answer.status);
        let expected = match (&outcome, asked) {
            (Outcome::Applied, Asked::Url) => answer.reason.starts_with("Purged"),
            (Outcome::Applied, Asked::Everything) => answer.reason.starts_with("Banned"),
            (Outcome::Absent, Asked::Url) => answer.marked == Marked::Yes,
            (Outcome::Absent, Asked::Everything) => false,
            (Outcome::Refused(_) | Outcome::Unreachable(_), _) => true,
        };
        if expected {
            outcome
        } else {
            Outcome::Unreachable(Unreachable::Protocol(Reason::new(&format!(
                "{} {}: not an answer of the purge VCL (docs/caches/varnish.vcl); is it loaded?",
                answer.status, answer.reason
            ))))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    fn check(status: u16, reason: &str, marked: Marked, asked: Asked, expect: fn(&Outcome) -> bool) {
        let answer = Answer { status, reason, marked, body: Cow::Borrowed(b"") };
        let outcome = Varnish.outcome(asked, &answer);
        assert!(expect(&outcome), "{status} {reason} {asked:?}: {outcome:?}");
    }

    #[test]
    fn answer_of_an_origin_is_never_a_success() {
        let applied = |outcome: &Outcome| *outcome == Outcome::Applied;
        let absent = |outcome: &Outcome| *outcome == Outcome::Absent;
        let odd = |outcome: &Outcome| matches!(outcome, Outcome::Unreachable(Unreachable::Protocol(_)));
        check(200, "Purged 2", Marked::Yes, Asked::Url, applied);
        check(200, "OK", Marked::Yes, Asked::Url, odd);
        check(204, "No Content", Marked::No, Asked::Url, odd);
        check(404, "Not Found", Marked::Yes, Asked::Url, absent);
        check(404, "Not Found", Marked::No, Asked::Url, odd);
        check(200, "Banned", Marked::Yes, Asked::Everything, applied);
        check(200, "Purged 1", Marked::Yes, Asked::Everything, odd);
        check(404, "Not Found", Marked::Yes, Asked::Everything, odd);
    }
}
