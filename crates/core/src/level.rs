//! A value that many wait for.
//!
//! What this is: a `watch` channel that wakes whoever waits for some value in the order in which they came. `watch`
//! itself draws that order, so a simulation of many waiters would not play the same twice. What this is not: a queue:
//! who waits sees the newest value, and may miss those before it.
//!
//! Invariant: level-triggered. What was so before the call counts, and whatever changes while somebody looks wakes them.

use tokio::sync::{Notify, watch};

/// See the module.
#[derive(Debug)]
pub struct Level<T> {
    value: watch::Sender<T>,
    moved: Notify,
}

impl<T> Level<T> {
    /// A level that stands here.
    #[must_use]
    pub fn new(value: T) -> Self {
        Self { value: watch::Sender::new(value), moved: Notify::new() }
    }

    /// Where it stands. To be dropped before anything is waited for.
    pub fn borrow(&self) -> watch::Ref<'_, T> {
        self.value.borrow()
    }

    /// Changes it.
    pub fn send_modify(&self, change: impl FnOnce(&mut T)) {
        self.value.send_modify(change);
        self.moved.notify_waiters();
    }

    /// Changes it, and wakes those who wait if the change says that it is one.
    pub fn send_if_modified(&self, change: impl FnOnce(&mut T) -> bool) -> bool {
        let changed = self.value.send_if_modified(change);
        if changed {
            self.moved.notify_waiters();
        }
        changed
    }

    /// A receiver that ends with the level. Where several wait with one at once, their order is drawn.
    pub fn subscribe(&self) -> watch::Receiver<T> {
        self.value.subscribe()
    }

    /// Waits until `look` finds what it looks for in it.
    pub async fn wait_for<R>(&self, look: impl Fn(&T) -> Option<R>) -> R {
        loop {
            // Before the look: it hears of whatever changes from here on.
            let moved = self.moved.notified();
            if let Some(found) = look(&self.value.borrow()) {
                return found;
            }
            moved.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex, PoisonError};

    use super::*;

    #[tokio::test]
    async fn those_who_wait_for_a_level_wake_in_the_order_in_which_they_came() {
        for _ in 0..20 {
            let (level, woken) = (Arc::new(Level::new(0)), Arc::new(Mutex::new(Vec::new())));
            let waiters: Vec<_> = (0..20)
                .map(|number| {
                    let (level, woken) = (Arc::clone(&level), Arc::clone(&woken));
                    tokio::spawn(async move {
                        level.wait_for(|it| (*it > 0).then_some(())).await;
                        woken.lock().unwrap_or_else(PoisonError::into_inner).push(number);
                    })
                })
                .collect();
            tokio::task::yield_now().await;
            level.send_modify(|it| *it = 1);
            for waiter in waiters {
                waiter.await.expect("a waiter never panics");
            }
            assert_eq!(*woken.lock().unwrap_or_else(PoisonError::into_inner), (0..20).collect::<Vec<_>>());
        }
    }

    #[tokio::test]
    async fn level_that_was_reached_before_is_waited_for_by_nobody() {
        let level = Level::new(7);
        assert_eq!(level.wait_for(|it| (*it == 7).then_some(8)).await, 8);
        assert!(!level.send_if_modified(|_| false));
    }
}
