//! Apache Traffic Server 9.2 with the sample configuration (`docs/caches/trafficserver`).
//!
//! What this is: `PURGE` to the traffic port: `200` when a copy was removed, with all its variants;
//! `404` when there was none; `403` from an address that may not. Directories, hosts and everything, which
//! Traffic Server knows no request for, go to an agent beside it; without one they are refused. What this
//! is not: the agent (`catharsis_agent::trafficserver`).
//!
//! Invariants: an answer that does not carry the mark of the sample's script is never taken for a
//! success. A host without a map in `remap.config` is refused by name, never called absent: this node
//! serves nothing of it now, but what it kept while there was a map would come back with the map.

use std::sync::Arc;

use async_trait::async_trait;
use catharsis_core::abilities::{Abilities, Ability};
use catharsis_core::invalidation::{Invalidation, Seq};
use catharsis_core::keys::RulesOf;
use catharsis_core::ports::Purger;
use catharsis_core::receipt::{Outcome, Reason, Refusal, Unreachable};
use catharsis_core::target::Target;

use super::address::{HttpLimits, NodeAddress};
use super::answer::{Answer, Marked};
use super::edge::EdgePurger;
use super::http::{Asked, Dialect, HttpEngine, Requests, by_status, probe};

/// How Traffic Server names a host without a map; its status is that of an absent copy.
const UNMAPPED: &str = "Not Found on Accelerator";

/// Tells one Traffic Server.
#[derive(Debug)]
pub struct TrafficServerPurger {
    engine: HttpEngine<TrafficServer>,
    agent: Option<EdgePurger>,
}

impl TrafficServerPurger {
    /// A purger of the Traffic Server whose traffic port is at this address. Connects when first used.
    #[must_use]
    pub const fn new(address: NodeAddress, limits: HttpLimits, rules: Arc<dyn RulesOf>) -> Self {
        Self { engine: HttpEngine::new(address, limits, rules, TrafficServer), agent: None }
    }

    /// The same with an agent, which is told of all but URLs.
    #[must_use]
    pub fn with_agent(self, agent: EdgePurger) -> Self {
        Self { agent: Some(agent.for_agent(Self::ABILITIES)), ..self }
    }

    const ABILITIES: Abilities = Abilities {
        url: Ability::Delete,
        prefix: Ability::DeleteOrExpire,
        host: Ability::DeleteOrExpire,
        everything: Ability::DeleteOrExpire,
        tag: Ability::Missing,
    };
}

#[async_trait]
impl Purger for TrafficServerPurger {
    fn abilities(&self) -> Abilities {
        let missing = Ability::Missing;
        match self.agent {
            Some(_) => Self::ABILITIES,
            None => Abilities { prefix: missing, host: missing, everything: missing, ..Self::ABILITIES },
        }
    }

    async fn apply(&self, batch: &[Invalidation]) -> Vec<Outcome> {
        let Some(agent) = &self.agent else { return self.engine.apply(batch).await };
        let is_url = |invalidation: &&Invalidation| matches!(*invalidation.target, Target::Url(_));
        let (urls, others): (Vec<Invalidation>, Vec<Invalidation>) = batch.iter().cloned().partition(|it| is_url(&it));
        let told = async { if others.is_empty() { Vec::new() } else { agent.apply(&others).await } };
        let (urls, others) = tokio::join!(self.engine.apply(&urls), told);
        let (mut urls, mut others) = (urls.into_iter(), others.into_iter());
        let outcome = |it: &Invalidation| if is_url(&it) { urls.next() } else { others.next() };
        let missing = || Outcome::Unreachable(Unreachable::Protocol(Reason::new("an outcome is missing")));
        batch.iter().map(outcome).map(|outcome| outcome.unwrap_or_else(missing)).collect()
    }

    async fn everything(&self, upto: Seq) -> Outcome {
        match &self.agent {
            Some(agent) => agent.everything(upto).await,
            None => Outcome::Refused(Refusal::Unsupported),
        }
    }

    async fn answers(&self) -> bool {
        let agent = async {
            match &self.agent {
                Some(agent) => agent.answers().await,
                None => true,
            }
        };
        let (cache, agent) = tokio::join!(probe(&self.engine), agent);
        cache && agent
    }
}

#[derive(Debug)]
struct TrafficServer;

impl Dialect for TrafficServer {
    const MARK: &'static str = "x-catharsis-purge";

    fn everything(&self, _requests: &mut Requests) {
        // There is no such request.
    }

    fn outcome(&self, _asked: Asked, answer: &Answer<'_>) -> Outcome {
        match (by_status(answer.status), answer.marked) {
            (Outcome::Absent, Marked::Yes) if answer.reason == UNMAPPED => Outcome::Refused(Refusal::Unmapped),
            (Outcome::Applied | Outcome::Absent, Marked::No) => {
                Outcome::Unreachable(Unreachable::Protocol(Reason::new(&format!(
                    "{} {}: without the mark of docs/caches/trafficserver/catharsis.lua; is it loaded?",
                    answer.status, answer.reason
                ))))
            }
            (outcome, Marked::Yes | Marked::No) => outcome,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    fn check(status: u16, reason: &str, marked: Marked, expect: fn(&Outcome) -> bool) {
        let answer = Answer { status, reason, marked, body: Cow::Borrowed(b"") };
        let outcome = TrafficServer.outcome(Asked::Url, &answer);
        assert!(expect(&outcome), "{status} {reason}: {outcome:?}");
    }

    #[test]
    fn only_a_marked_answer_is_a_success_and_an_unmapped_host_is_refused() {
        let odd = |outcome: &Outcome| matches!(outcome, Outcome::Unreachable(Unreachable::Protocol(_)));
        let denied = |outcome: &Outcome| matches!(outcome, Outcome::Unreachable(Unreachable::Denied { status: 403 }));
        let unmapped = |outcome: &Outcome| *outcome == Outcome::Refused(Refusal::Unmapped);
        check(200, "OK", Marked::Yes, |outcome| *outcome == Outcome::Applied);
        check(404, "Not Found", Marked::Yes, |outcome| *outcome == Outcome::Absent);
        check(404, UNMAPPED, Marked::Yes, unmapped);
        check(200, "OK", Marked::No, odd);
        check(204, "No Content", Marked::No, odd);
        check(404, "Not Found", Marked::No, odd);
        check(404, UNMAPPED, Marked::No, odd);
        check(403, "Access Denied", Marked::No, denied);
    }
}
