//! What the relay asks a simulated edge besides orders: leases, and what has landed.
//!
//! What this is: the same way as `network`'s, with the same weather: calls get lost, are slow, go on when whoever sent
//! them has ended, and grants come again much later. What this is not: the rules; those are `catharsis-core`'s and
//! `catharsis-edge`'s own.

use std::time::Duration;

use async_trait::async_trait;
use catharsis_core::invalidation::Seq;
use catharsis_core::lease::Grant;
use catharsis_core::ports::{Hop, Lessor, Trusts};
use catharsis_core::receipt::{Reason, Unreachable};
use catharsis_edge::protocol::LANDED_WITHIN;
use tokio::time::{sleep, timeout};

use super::Chance;
use super::faults::give_way;
use super::network::Way;
use super::trace::Event;

impl Way {
    /// What happens to a call before it arrives.
    async fn reach(&self, chance: &Chance) -> Result<(), Unreachable> {
        let weather = self.troubles.weather();
        give_way(chance).await;
        if self.troubles.is_cut_off(&self.node) || !self.cache.is_up() {
            return Err(Unreachable::Connect(Reason::new("nobody there")));
        }
        if chance.percent(weather.lost) {
            sleep(Duration::from_millis(chance.below(2_000))).await;
            return Err(Unreachable::Timeout);
        }
        if chance.percent(weather.slow) {
            sleep(Duration::from_millis(chance.below(3_000))).await;
        }
        Ok(())
    }

    /// What happens to its answer.
    async fn answer<T>(&self, chance: &Chance, answer: Option<T>) -> Result<T, Unreachable> {
        give_way(chance).await;
        if chance.percent(self.troubles.weather().unanswered) {
            return Err(Unreachable::Closed);
        }
        answer.ok_or(Unreachable::Closed)
    }

    fn hears_of_its_lease(&self, grant: Option<Grant>) -> Option<Trusts> {
        self.trace.note(&Event::Hears(&self.node, "lease", grant.map(|it| it.until.0)));
        self.cache.lease(&self.log, grant)
    }

    fn grant_again_later(&self, grant: Option<Grant>, after: Duration) {
        let way = self.clone();
        tokio::spawn(async move {
            sleep(after).await;
            way.hears_of_its_lease(grant)
        });
    }
}

#[async_trait]
impl Lessor for Way {
    async fn call(&self, grant: Option<Grant>) -> Result<Trusts, Unreachable> {
        let way = self.clone();
        // On its own: whoever gives it up does not call it back.
        let called = tokio::spawn(async move {
            let chance = way.troubles.chance((way.node.as_str(), "lease", grant.map(|it| it.until.0)));
            if chance.percent(way.troubles.weather().again) {
                way.grant_again_later(grant, Duration::from_millis(chance.below(20_000)));
            }
            way.reach(&chance).await?;
            let answer = way.hears_of_its_lease(grant);
            way.answer(&chance, answer).await
        });
        called.await.expect("a call neither panics nor is called back")
    }
}

#[async_trait]
impl Hop for Way {
    async fn landed(&self, known: Seq, upto: Seq) -> Result<Seq, Unreachable> {
        let chance = self.troubles.chance((self.node.as_str(), "landed", upto.0));
        self.reach(&chance).await?;
        let (flights, life) = self.cache.flights().ok_or(Unreachable::Closed)?;
        let landed = timeout(LANDED_WITHIN, flights.landed(&self.log, known, upto)).await;
        let landed = landed.unwrap_or(Some(known)).ok_or(Unreachable::Denied { status: 409 })?;
        self.trace.note(&Event::Hears(&self.node, "landed", Some(landed.0)));
        // Killed meanwhile, it answers nobody.
        let answer = self.cache.lives_in(life).then_some(landed);
        self.answer(&chance, answer).await
    }
}
