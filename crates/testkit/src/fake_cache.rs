//! A cache whose behaviour is a script.
//!
//! What this is: a purger that does what a test tells it to (answer, delay, refuse, fail with or
//! without having done it) and remembers what it was told and what it did, with the time.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use catharsis_core::abilities::{Abilities, Ability};
use catharsis_core::invalidation::{Invalidation, Seq};
use catharsis_core::ports::Purger;
use catharsis_core::receipt::{Outcome, Unreachable};
use catharsis_core::target::Target;
use tokio::time::Instant;

/// What a cache is told.
#[derive(Clone, Copy, Debug)]
pub enum Told<'a> {
    /// One invalidation of a batch.
    Invalidation(&'a Invalidation),
    /// To forget everything.
    Everything(Seq),
}

/// What a cache does about it.
#[derive(Clone, Debug)]
pub struct Act {
    /// How long it takes.
    pub delay: Duration,
    /// Whether it really forgets.
    pub effect: Effect,
    /// What it says.
    pub outcome: Outcome,
}

/// Whether a cache really forgets, whatever it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It does.
    Done,
    /// It does not.
    NotDone,
}

impl Act {
    /// It forgets and says so, at once.
    #[must_use]
    pub const fn applied() -> Self {
        Self { delay: Duration::ZERO, effect: Effect::Done, outcome: Outcome::Applied }
    }

    /// It does nothing and says this.
    #[must_use]
    pub const fn says(outcome: Outcome) -> Self {
        Self { delay: Duration::ZERO, effect: Effect::NotDone, outcome }
    }

    /// It cannot be reached.
    #[must_use]
    pub const fn unreachable(why: Unreachable) -> Self {
        Self::says(Outcome::Unreachable(why))
    }

    /// The same, later.
    #[must_use]
    pub fn after(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }
}

/// What decides.
pub type Script = Box<dyn FnMut(Told<'_>) -> Act + Send>;

/// Something that a cache forgot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forgotten {
    /// What.
    pub target: Arc<Target>,
    /// The position it was told with.
    pub seq: Seq,
    /// When.
    pub at: Instant,
}

/// A cache whose behaviour is a script.
pub struct FakeCache {
    state: Mutex<State>,
}

struct State {
    script: Script,
    told: Vec<(Seq, Instant)>,
    forgotten: VecDeque<Forgotten>,
    alive: bool,
}

impl std::fmt::Debug for FakeCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FakeCache").finish_non_exhaustive()
    }
}

impl Default for FakeCache {
    fn default() -> Self {
        Self::new(Box::new(|_| Act::applied()))
    }
}

impl FakeCache {
    /// A cache that follows this script.
    #[must_use]
    pub fn new(script: Script) -> Self {
        Self { state: Mutex::new(State { script, told: Vec::new(), forgotten: VecDeque::new(), alive: true }) }
    }

    /// Follows another script from now on.
    pub fn follow(&self, script: impl FnMut(Told<'_>) -> Act + Send + 'static) {
        self.state().script = Box::new(script);
    }

    /// Answers every attempt with this from now on, and no probe.
    pub fn down(&self, why: Unreachable) {
        self.follow(move |_| Act::unreachable(why.clone()));
        self.state().alive = false;
    }

    /// Does what it is told from now on.
    pub fn up(&self) {
        self.follow(|_| Act::applied());
        self.state().alive = true;
    }

    /// The positions it was told, in the order told, with the time; `everything` as its position.
    #[must_use]
    pub fn told(&self) -> Vec<(Seq, Instant)> {
        self.state().told.clone()
    }

    /// What it forgot, in order. `Target::Everything` stands for all.
    #[must_use]
    pub fn forgotten(&self) -> Vec<Forgotten> {
        self.state().forgotten.iter().cloned().collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn act(&self, told: Told<'_>) -> Outcome {
        let (seq, target) = match told {
            Told::Invalidation(one) => (one.seq, Arc::clone(&one.target)),
            Told::Everything(upto) => (upto, Arc::new(Target::Everything)),
        };
        let act = {
            let mut state = self.state();
            state.told.push((seq, Instant::now()));
            (state.script)(told)
        };
        if !act.delay.is_zero() {
            tokio::time::sleep(act.delay).await;
        }
        if act.effect == Effect::Done {
            let at = Instant::now();
            self.state().forgotten.push_back(Forgotten { target, seq, at });
        }
        act.outcome
    }
}

#[async_trait]
impl Purger for FakeCache {
    fn abilities(&self) -> Abilities {
        let all = Ability::DeleteOrExpire;
        Abilities { url: all, prefix: all, host: all, everything: all, tag: Ability::Missing }
    }

    async fn apply(&self, batch: &[Invalidation]) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(batch.len());
        for invalidation in batch {
            outcomes.push(self.act(Told::Invalidation(invalidation)).await);
        }
        outcomes
    }

    async fn everything(&self, upto: Seq) -> Outcome {
        self.act(Told::Everything(upto)).await
    }

    async fn answers(&self) -> bool {
        self.state().alive
    }
}
