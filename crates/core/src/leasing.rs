//! Whoever grants a node its leases, and lets it go when they have ended.
//!
//! What this is: a worker for each node that needs leases. It asks the node for its clock and renews its lease, three
//! times in the length of one; once the node cannot be told and its lease has certainly ended it lapses: the task
//! need not wait for it. Once it can be told again it returns, like a drained node does, and gets its next lease
//! when it counts. What this is not: what a lease is ([`crate::lease`]), or what tells the node of purges; that is
//! its relay worker.
//!
//! Invariants:
//! - *The store knows first*, of each step: the length of a lease before the first is granted, a lapse before the
//!   board stops to wait for the node, and that it counts before the board counts it. So whatever was shown `done`
//!   stays so over a crash.
//! - *A node is granted a lease only while it counts*: then it has settled whatever is shown `done`.
//! - *A node lapses only when no lease is in force there* ([`Terms::has_ended`]), and only if it is known to need one.
//!   Should the edge at its address be configured to need none, the relay hears of it with the next call; an edge
//!   that is changed so while it is cut off is not protected from itself.
//! - *These steps follow each other in one worker.* Were a return kept by another one, its write could come behind a
//!   lapse.
//!
//! A node in trouble gets no renewal, even if it answers this worker: so a task waits at most a lease for it, counted
//! from when it was first not reached.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::board::Standing;
use crate::clock::Tick;
use crate::duty::Duty;
use crate::invalidation::Seq;
use crate::lease::{Run, Terms};
use crate::limits::LEASE_PROMPTLY;
use crate::ports::{Lessor, Membership, Trusts};
use crate::receipt::Unreachable;
use crate::relay::{Relay, RelayEvent};
use crate::topology::Node;

/// Grants and renews a node's leases of this length until it is stopped or the node is taken out.
pub async fn lease(relay: Relay, node: Arc<Node>, lessor: Arc<dyn Lessor>, length: Duration, stop: CancellationToken) {
    let now = relay.clock.tick();
    let Some(standing) = relay.board.standing(&node.id) else { return };
    let keeper = Keeper {
        // With nothing known, of leases of this length that a keeper may have granted which nobody remembers.
        terms: Terms::new(length, Some(standing.lease.unwrap_or(length)), now),
        relay,
        node,
        lessor,
        length,
        silent_since: None,
        next: now,
        behind: None,
        granted: None,
        told: Told::Nothing,
    };
    if standing.duty == Duty::Lapsed {
        // Whoever watches this process has not heard of it.
        keeper.observe(&RelayEvent::Lapsed);
    }
    // What is dropped with the stop is a call, whose grant was counted before it was sent, or a write that the next
    // start finds done or repeats.
    tokio::select! {
        biased;
        () = stop.cancelled() => {}
        () = keeper.run() => {}
    }
}

struct Keeper {
    relay: Relay,
    node: Arc<Node>,
    lessor: Arc<dyn Lessor>,
    length: Duration,
    terms: Terms,
    /// Since when it cannot be reached, by this worker or by the relay's.
    silent_since: Option<Tick>,
    /// When it is to be called again.
    next: Tick,
    /// Up to where a lapsed node must come before it returns: the head when it was first reached again. So it does
    /// not hold the watermark while it catches up with what came in its absence.
    behind: Option<Seq>,
    /// The run that the last call granted a lease, if it did.
    granted: Option<Run>,
    told: Told,
}

/// What the observer was told last of the node's ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Nothing,
    TrustsAlways,
}

/// What is to be done about a node now (pure: see [`Keeper::step`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Lapse,
    Recall,
    Count,
    Wait,
}

/// What the store is to keep.
#[derive(Clone, Copy, Debug)]
enum Note {
    Leases(Option<Duration>),
    Lapsed,
    Counts,
}

impl Keeper {
    /// Ends when the node is taken out.
    async fn run(mut self) {
        while let Some(mut moves) = self.relay.board.watch(&self.node.id) {
            let Some(standing) = self.relay.board.standing(&self.node.id) else { return };
            if self.relay.clock.tick() >= self.next {
                self.call(&standing).await;
            }
            let Some(standing) = self.relay.board.standing(&self.node.id) else { return };
            match self.step(&standing, self.relay.clock.tick()) {
                Step::Lapse => self.lapse().await,
                Step::Recall => self.relay.board.recall(&self.node),
                Step::Count => self.count().await,
                Step::Wait => {
                    let until = self.wake();
                    // A node that counts and answers is looked at when it is called; all others whenever they move.
                    // What moved between the look above and here is seen: the receiver is older.
                    let moved = async {
                        if may_be_granted(&standing) && self.silent_since.is_none() {
                            std::future::pending().await
                        } else {
                            moves.changed().await
                        }
                    };
                    // Either way it looks again; the time goes first, for a node may move all the while.
                    tokio::select! {
                        biased;
                        () = self.relay.clock.sleep_until(until) => {}
                        gone = moved => if gone.is_err() { return },
                    }
                    if self.is_due_a_grant() {
                        self.next = self.next.min(self.relay.clock.tick());
                    }
                }
            }
        }
    }

    /// Asks the node for its clock, and renews its lease if it may have one.
    async fn call(&mut self, standing: &Standing) {
        let began = self.relay.clock.tick();
        let may = may_be_granted(standing) && standing.lease.is_some_and(|kept| kept >= self.length);
        let grant = if may { self.terms.grant() } else { None };
        self.granted = grant.map(|it| it.run);
        let heard = tokio::select! {
            biased;
            heard = self.lessor.call(grant) => heard,
            // What was granted counts, as if it had arrived.
            () = self.relay.clock.sleep_until(began.after(self.length / 6)) => Err(Unreachable::Timeout),
        };
        let now = self.relay.clock.tick();
        self.next = now.after(self.length / 3);
        match heard {
            Ok(Trusts::Leased(named)) => {
                self.terms.heard(named, now);
                self.told = Told::Nothing;
                self.keep_length(standing, now).await;
                if standing.trouble.is_none() {
                    self.silent_since = None;
                }
                // What it named just now is granted promptly, rather than in a third of a lease.
                if may_be_granted(standing) && grant.is_none_or(|it| it.run != named.run) {
                    self.next = now.after(LEASE_PROMPTLY);
                }
            }
            Ok(Trusts::Always) => {
                if self.told != Told::TrustsAlways {
                    self.told = Told::TrustsAlways;
                    self.observe(&RelayEvent::TrustsAlways);
                }
                if standing.lease.is_some() {
                    self.keep(None).await;
                }
                self.silent_since = None;
            }
            Err(_) => self.silent_since = Some(self.silent_since.unwrap_or(began)),
        }
        if standing.trouble.is_some() {
            self.silent_since = Some(self.silent_since.unwrap_or(began));
        }
        self.show_end(now);
    }

    /// Shows people when the node's lease has ended, by the wall clock of this moment.
    fn show_end(&self, now: Tick) {
        let relay = &self.relay;
        let is_leased = relay.board.standing(&self.node.id).is_some_and(|standing| standing.lease.is_some());
        let left = self.terms.ended_at().since(now);
        relay.board.lease_ends(&self.node.id, is_leased.then(|| relay.clock.wall().after(left)));
    }

    /// Has the store keep how long leases may be from now on. A longer one stays as long as one of it may be in force.
    async fn keep_length(&mut self, standing: &Standing, now: Tick) {
        let keep = match standing.lease {
            None => true,
            Some(kept) if kept < self.length => true,
            Some(kept) => kept > self.length && self.terms.has_ended(now),
        };
        if keep {
            self.keep(Some(self.length)).await;
        }
    }

    fn step(&mut self, standing: &Standing, now: Tick) -> Step {
        let silent = self.silent_since.map(|since| now.since(since));
        match standing.duty {
            Duty::Counts | Duty::Returning
                if standing.lease.is_some()
                    && self.terms.has_ended(now)
                    && silent.is_some_and(|silent| silent >= self.patience()) =>
            {
                Step::Lapse
            }
            Duty::Lapsed if silent.is_none() && standing.trouble.is_none() => {
                let head = self.relay.log.head(self.node.area);
                if standing.settled >= *self.behind.get_or_insert(head) { Step::Recall } else { Step::Wait }
            }
            Duty::Returning if self.relay.board.may_return(&self.node) => Step::Count,
            Duty::Counts | Duty::Returning | Duty::Drained | Duty::Lapsed => Step::Wait,
        }
    }

    /// How long a node is silent before it lapses. Its lease ends later than that if it had one: the last was granted
    /// by a point of its clock that it had named at most a third of a lease before.
    fn patience(&self) -> Duration {
        self.length * 2 / 3
    }

    fn wake(&self) -> Tick {
        match self.silent_since {
            Some(since) => {
                let lapses = self.terms.ended_at().max(since.after(self.patience()));
                // In the past when it has lapsed, or does not need leases.
                if lapses > self.relay.clock.tick() { self.next.min(lapses) } else { self.next }
            }
            None => self.next,
        }
    }

    /// Whether it may have a lease by now, and was granted none when it was called.
    fn is_due_a_grant(&self) -> bool {
        self.silent_since.is_none()
            && self.granted.is_none()
            && self.relay.board.standing(&self.node.id).is_some_and(|it| may_be_granted(&it) && it.lease.is_some())
    }

    async fn lapse(&mut self) {
        self.until_kept(Note::Lapsed).await;
        self.relay.board.lapsed(&self.node.id);
        self.behind = None;
        self.observe(&RelayEvent::Lapsed);
    }

    async fn count(&mut self) {
        self.until_kept(Note::Counts).await;
        self.relay.board.returned(&self.node.id);
        self.next = self.relay.clock.tick();
        self.observe(&RelayEvent::Resumed);
    }

    async fn keep(&self, lease: Option<Duration>) {
        self.until_kept(Note::Leases(lease)).await;
        self.relay.board.leased(&self.node.id, lease);
    }

    async fn until_kept(&self, note: Note) {
        let (relay, node) = (&self.relay, &self.node);
        let mut attempt = 0;
        loop {
            let kept = match note {
                Note::Leases(lease) => relay.store.leased(&node.id, node.area, lease).await,
                Note::Lapsed => relay.store.lapsed(&node.id, node.area).await,
                Note::Counts => relay.store.returned(&node.id, node.area).await,
            };
            let Err(error) = kept else { return };
            attempt += 1;
            self.observe(&RelayEvent::StoreFailed { error: error.to_string() });
            let delay = relay.retry.delay(attempt, relay.clock.random());
            relay.clock.sleep_until(relay.clock.tick().after(delay)).await;
        }
    }

    fn observe(&self, event: &RelayEvent<'_>) {
        self.relay.observer.observe(&self.node, event);
    }
}

/// Whether a node may trust its copies: it has settled what is shown `done`, and is told what comes.
fn may_be_granted(standing: &Standing) -> bool {
    standing.duty == Duty::Counts && standing.membership == Membership::Member && standing.trouble.is_none()
}
