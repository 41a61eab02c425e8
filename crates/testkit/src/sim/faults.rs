//! How often things go wrong, and what a node has to suffer now.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use catharsis_core::topology::NodeId;
use tokio::time::{Instant, sleep};

use super::Chance;

/// The network between relay and nodes, of a hundred orders.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weather {
    /// Lost before they arrive.
    pub(super) lost: u64,
    /// Carried out, and the answer lost.
    pub(super) unanswered: u64,
    /// Arrive once more later, beside or behind newer ones.
    pub(super) again: u64,
    /// Slow.
    pub(super) slow: u64,
}

impl Weather {
    /// What most nodes have most of the time.
    pub(super) const FOUL: Self = Self { lost: 4, unanswered: 5, again: 20, slow: 10 };
    /// Nothing goes wrong.
    pub(super) const FAIR: Self = Self { lost: 0, unanswered: 0, again: 0, slow: 0 };
}

/// Shared by all that the weather reaches.
#[derive(Clone, Debug)]
pub(super) struct Troubles {
    chance: Chance,
    began: Instant,
    weather: Arc<Mutex<Weather>>,
    cut_off: Arc<Mutex<HashSet<NodeId>>>,
}

impl Troubles {
    pub(super) fn new(chance: Chance) -> Self {
        Self { chance, began: Instant::now(), weather: Arc::new(Mutex::new(Weather::FOUL)), cut_off: Arc::default() }
    }

    pub(super) fn weather(&self) -> Weather {
        *self.weather.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on nothing goes wrong.
    pub(super) fn clear_up(&self) {
        *self.weather.lock().unwrap_or_else(PoisonError::into_inner) = Weather::FAIR;
        self.cut_off.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The relay cannot reach a node any more; clients can.
    pub(super) fn cut_off(&self, node: &NodeId) {
        self.cut_off.lock().unwrap_or_else(PoisonError::into_inner).insert(node.clone());
    }

    pub(super) fn reconnect(&self, node: &NodeId) {
        self.cut_off.lock().unwrap_or_else(PoisonError::into_inner).remove(node);
    }

    pub(super) fn is_cut_off(&self, node: &NodeId) -> bool {
        self.cut_off.lock().unwrap_or_else(PoisonError::into_inner).contains(node)
    }

    /// Chance for what happens to somebody now.
    pub(super) fn chance(&self, named: impl Hash) -> Chance {
        self.chance.apart((named, self.began.elapsed()))
    }
}

/// Lets others go first, by chance: the seed is what schedules.
pub(super) async fn give_way(chance: &Chance) {
    match chance.below(10) {
        0..5 => {}
        5..8 => tokio::task::yield_now().await,
        _ => sleep(Duration::from_micros(chance.below(5_000))).await,
    }
}
