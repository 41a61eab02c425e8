//! A simulated cache at work: it answers requests, fetches, is killed and starts again.
//!
//! What this is: time. A fetch takes some: until its origin is asked, until the head comes, until the body ends; mostly
//! short, sometimes seconds, sometimes almost as long as the cache lets a fetch take. It goes through the shield where
//! there is one, whose copies and fetches are used like a client's. What this is not: the rules of use (`holds`).

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use catharsis_core::abilities::Abilities;
use catharsis_core::invalidation::{Invalidation, Seq};
use catharsis_core::lease::Grant;
use catharsis_core::ports::Trusts;
use catharsis_core::receipt::Outcome;
use catharsis_edge::flights::{Departure, Flights};
use catharsis_edge::protocol::LogId;
use tokio::time::{Instant, sleep, timeout_at};

use super::Chance;
use super::connections::{Asked, Connections};
use super::holds::{Brought, Fetch, Found, Holds, Now, Phase};
use super::pages::{Page, Pages, Version};

/// How often a request that waits for others looks again before it gives up, as a client would.
const LOOKS_MAX: usize = 6;

/// See the module.
pub(super) struct SimCache {
    pages: Arc<Pages>,
    chance: Chance,
    /// No fetch takes as long: it is given up before.
    fetch_max: Duration,
    state: Mutex<State>,
}

struct State {
    holds: Box<dyn Holds>,
    /// Through which it fetches; none from the origin.
    upstream: Option<Arc<SimCache>>,
    life: Life,
    /// Rises with each start: what belongs to an earlier life is gone.
    lives: u64,
    /// To its origin hop, if that is what it fetches through.
    connections: Option<Connections>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Up,
    Down,
}

impl std::fmt::Debug for SimCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimCache").finish_non_exhaustive()
    }
}

/// The moments of one fetch.
struct Pace {
    to_ask: Duration,
    to_head: Duration,
    to_end: Duration,
}

impl SimCache {
    /// A cache that fetches from the origin and follows these rules.
    pub(super) fn new(holds: Box<dyn Holds>, fetch_max: Duration, pages: Arc<Pages>, chance: Chance) -> Arc<Self> {
        let state = Mutex::new(State { holds, upstream: None, life: Life::Up, lives: 0, connections: None });
        Arc::new(Self { pages, chance, fetch_max, state })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Now<'_> {
        Now { at: Instant::now(), chance: &self.chance }
    }

    /// Fetches through this one from now on, with all that it holds.
    pub(super) fn fetch_through(&self, upstream: Option<Arc<Self>>) {
        let mut state = self.state();
        let is_same = match (&state.upstream, &upstream) {
            (None, None) => true,
            (Some(old), Some(new)) => Arc::ptr_eq(old, new),
            (Some(_), None) | (None, Some(_)) => false,
        };
        if !is_same {
            state.upstream = upstream;
        }
    }

    /// What it can be told.
    pub(super) fn abilities(&self) -> Abilities {
        self.state().holds.abilities()
    }

    /// Is killed. Its fetches bring nothing any more.
    pub(super) fn kill(&self) {
        let mut state = self.state();
        state.life = Life::Down;
        state.restart();
    }

    /// Starts again.
    pub(super) fn start(&self) {
        self.state().life = Life::Up;
    }

    pub(super) fn is_up(&self) -> bool {
        self.state().life == Life::Up
    }

    /// How many invalidations it carries out in one go.
    pub(super) fn at_once(&self) -> usize {
        self.state().holds.at_once()
    }

    /// Carries out a part of an order; `None` while it is down.
    pub(super) fn apply(&self, log: &LogId, part: &[Invalidation]) -> Option<Vec<Outcome>> {
        let mut state = self.state();
        (state.life == Life::Up).then(|| state.holds.apply(log, part))
    }

    /// Forgets everything; `None` while it is down.
    pub(super) fn everything(&self, log: &LogId, upto: Seq) -> Option<Outcome> {
        let mut state = self.state();
        (state.life == Life::Up).then(|| state.holds.everything(log, upto))
    }

    /// Takes a lease call; `None` while it is down.
    pub(super) fn lease(&self, log: &LogId, grant: Option<Grant>) -> Option<Trusts> {
        let mut state = self.state();
        (state.life == Life::Up).then(|| state.holds.lease(log, grant, Instant::now()))
    }

    /// What is on its way from it, and in which of its lives; `None` while it is down, or where it keeps no account.
    pub(super) fn flights(&self) -> Option<(Arc<Flights>, u64)> {
        let state = self.state();
        let flights = state.holds.flights().filter(|_| state.life == Life::Up);
        flights.map(|flights| (flights, state.lives))
    }

    /// Whether it still is in that life.
    pub(super) fn lives_in(&self, life: u64) -> bool {
        self.state().lives == life
    }

    /// Answers a request; `None` where it cannot.
    pub(super) fn read(self: Arc<Self>, page: Page) -> Pin<Box<dyn Future<Output = Option<Version>> + Send>> {
        Box::pin(async move {
            for _ in 0..LOOKS_MAX {
                let found = {
                    let mut state = self.state();
                    if state.life == Life::Down {
                        return None;
                    }
                    state.holds.look_up(page, &self.now())
                };
                // Nothing else runs between the look and what follows from it: only awaits give way.
                match found {
                    Found::Hit(version) => return Some(version),
                    Found::Stale(version, ticket) => {
                        let fetch = self.state().holds.begin(page, ticket);
                        self.spawn(&fetch);
                        return Some(version);
                    }
                    Found::Wait(fetch) => fetch.answered().await,
                    Found::Join(fetch) => match fetch.ended().await {
                        Phase::Ended(version) => return version,
                        // It was for whoever asked only.
                        Phase::Asked | Phase::Streaming | Phase::Private(_) => {}
                    },
                    Found::Nothing(ticket) => {
                        let fetch = self.state().holds.begin(page, ticket);
                        self.spawn(&fetch);
                        return match fetch.ended().await {
                            Phase::Ended(version) => version,
                            Phase::Private(version) => Some(version),
                            Phase::Asked | Phase::Streaming => None,
                        };
                    }
                }
            }
            None
        })
    }

    /// A fetch goes on when the client that caused it is gone.
    fn spawn(self: &Arc<Self>, fetch: &Arc<Fetch>) {
        let (cache, fetch) = (Arc::clone(self), Arc::clone(fetch));
        let lives = self.state().lives;
        tokio::spawn(async move {
            let until = Instant::now() + longest(&cache);
            let brought = timeout_at(until, cache.bring(&fetch, until)).await;
            let (brought, asked) = brought.unwrap_or((Brought::Failure, None));
            let mut state = cache.state();
            let brought = if state.lives == lives { brought } else { Brought::Failure };
            if state.lives == lives {
                state.holds.end(&fetch, brought, &cache.now());
            }
            drop(state);
            if let Some(asked) = asked {
                asked.kept();
            }
            let version = match (brought, fetch.ticket.condition) {
                (Brought::Page(version) | Brought::Private(version), _) => Some(version),
                (Brought::Same, Some(condition)) => Some(condition.version),
                (Brought::Same, None) | (Brought::Failure, _) => None,
            };
            fetch.comes_to(Phase::Ended(version));
        });
    }

    /// What a fetch brings, and what it came over, where that is an origin hop: to be let go once it is kept.
    async fn bring(&self, fetch: &Fetch, until: Instant) -> (Brought, Option<Asked>) {
        let pace = pace(&self.chance.apart(fetch.id), until);
        sleep(pace.to_ask).await;
        let upstream = self.state().upstream.clone();
        let version = match upstream {
            None => Some(self.pages.version(fetch.page)),
            Some(shield) => match shield.flights() {
                Some(hop) => return self.bring_over(&shield, hop, fetch, &pace).await,
                None => shield.read(fetch.page).await,
            },
        };
        let Some(version) = version else { return (Brought::Failure, None) };
        sleep(pace.to_head).await;
        if fetch.ticket.condition.is_some_and(|it| it.version == version) {
            return (Brought::Same, None);
        }
        fetch.comes_to(Phase::Streaming);
        sleep(pace.to_end).await;
        (Brought::Page(version), None)
    }

    /// As the built-in edge answers as an origin hop: a flight from before it looks the page up until all is sent.
    async fn bring_over(
        &self,
        hop: &Arc<Self>,
        (flights, life): (Arc<Flights>, u64),
        fetch: &Fetch,
        pace: &Pace,
    ) -> (Brought, Option<Asked>) {
        let url = hop.state().holds.flight_of(fetch.page);
        let asked = url.and_then(|url| self.state().connected(&flights, &self.chance).ask(&url));
        let Some(asked) = asked else { return (Brought::Failure, None) };
        let Some(version) = Arc::clone(hop).read(fetch.page).await else { return (Brought::Failure, Some(asked)) };
        let departure = asked.departs();
        let is_same = fetch.ticket.condition.is_some_and(|it| it.version == version);
        if is_same {
            asked.sent();
        }
        sleep(pace.to_head).await;
        let brought = match departure {
            Departure::Overtaken => {
                fetch.comes_to(Phase::Private(version));
                Brought::Private(version)
            }
            Departure::Free if is_same => Brought::Same,
            Departure::Free => {
                fetch.comes_to(Phase::Streaming);
                Brought::Page(version)
            }
        };
        if !is_same {
            sleep(pace.to_end / 2).await;
            asked.sent();
            // It lies in the cache's socket.
            sleep(pace.to_end / 2).await;
        }
        // What is not whole when its hop dies is not kept.
        if hop.lives_in(life) { (brought, Some(asked)) } else { (Brought::Failure, None) }
    }
}

impl State {
    fn restart(&mut self) {
        self.lives += 1;
        self.holds.restart();
        if let Some(connections) = self.connections.take() {
            connections.end();
        }
    }

    /// Its connections to that run of its hop.
    fn connected(&mut self, flights: &Arc<Flights>, chance: &Chance) -> &mut Connections {
        let known = self.connections.take().filter(|it| it.lead_to(flights));
        self.connections.insert(known.unwrap_or_else(|| Connections::new(Arc::clone(flights), chance.apart("lines"))))
    }
}

fn pace(chance: &Chance, until: Instant) -> Pace {
    let millis = |below: u64| Duration::from_millis(chance.below(below));
    match chance.below(100) {
        0..60 => Pace { to_ask: millis(20), to_head: millis(30), to_end: millis(30) },
        60..85 => Pace { to_ask: millis(300), to_head: millis(700), to_end: millis(700) },
        85..92 => Pace { to_ask: millis(1_000), to_head: millis(1_000), to_end: millis(1_000) },
        // As long as it may: what it asks for at once comes at the last moment.
        92..96 => Pace { to_ask: Duration::ZERO, to_head: millis(50), to_end: at_last(until, millis(60)) },
        96..98 => Pace { to_ask: Duration::ZERO, to_head: at_last(until, millis(60)), to_end: Duration::ZERO },
        // Longer: it is given up.
        _ => Pace { to_ask: millis(50), to_head: millis(50), to_end: Duration::from_secs(600) },
    }
}

/// So long that it is over just before its end.
fn at_last(until: Instant, before: Duration) -> Duration {
    let left = until.duration_since(Instant::now());
    left.saturating_sub(Duration::from_millis(60)).saturating_sub(before)
}

/// A little less than what the operator says that no fetch exceeds.
fn longest(cache: &SimCache) -> Duration {
    cache.fetch_max.saturating_sub(Duration::from_millis(1))
}
