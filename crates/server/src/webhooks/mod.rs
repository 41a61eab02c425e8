//! Telling endpoints that tasks have ended.
//!
//! What this is: one worker that looks for due notices when the watermark moves and at least every second,
//! sends a bounded number of messages at once, and tells the store what became of each. What this is not:
//! the decision about an attempt (`catharsis_core::notify`), the signature and HTTP
//! (`catharsis_adapters::webhook`), or who may name which endpoint.
//!
//! Invariants: a notice is forgotten only after its endpoint has confirmed it, so what is killed in between
//! is sent again under the same `webhook-id`; connections go only to URLs that an operator has registered.

mod desk;
mod message;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use catharsis_adapters::webhook::{Message, WebhookClient, WebhookLimits};
use catharsis_core::area::PerArea;
use catharsis_core::board::Board;
use catharsis_core::error::StoreError;
use catharsis_core::history::HostScope;
use catharsis_core::invalidation::Seq;
use catharsis_core::notice::{Notice, Told};
use catharsis_core::notify::{Answer, Moment, decide, decide_resting};
use catharsis_core::ports::{Clock, Store};
use catharsis_core::service::PurgeService;
use catharsis_registry::Registry;
use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use crate::config::WebhooksSection;
use desk::{Desk, Verdict};

/// How often due notices are looked for when nothing moves: repetitions become due by time alone.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The shortest time between two looks, so that a busy board costs 50 small queries a second.
const LOOK_GAP: Duration = Duration::from_millis(20);

/// Due notices that are read at first, and at most when those before them wait for busy endpoints.
const PAGE_FIRST: u32 = 256;
const PAGE_MAX: u32 = 16_384;

/// Notices of resting endpoints that are moved at once: they share a commit.
const MOVED_AT_ONCE: usize = 64;

/// How long messages under way may go on after the stop. Others are sent again after the next start.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// What the worker works with.
#[derive(Clone)]
pub struct Webhooks {
    /// Where notices are kept.
    pub store: Arc<dyn Store>,
    /// Tells what became of a task.
    pub service: Arc<PurgeService>,
    /// Shows when a task may have ended.
    pub board: Arc<Board>,
    /// Time and chance.
    pub clock: Arc<dyn Clock>,
    /// Knows the endpoints.
    pub registry: Arc<Registry>,
}

impl std::fmt::Debug for Webhooks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhooks").field("registry", &self.registry).finish_non_exhaustive()
    }
}

/// Starts the worker among `workers`. It ends by the stop token, at most two seconds later.
///
/// # Errors
/// When the section's certificates cannot be used.
pub fn start(
    workers: &mut JoinSet<()>,
    webhooks: Webhooks,
    section: &WebhooksSection,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    workers.spawn(Courier::new(webhooks, section)?.run(stop));
    Ok(())
}

struct Courier {
    parts: Webhooks,
    client: Arc<WebhookClient>,
    give_up_after: Duration,
    desk: Desk,
    flights: JoinSet<Landing>,
    flying: HashMap<Id, Notice>,
}

/// How a flight ended.
#[derive(Debug)]
enum Landing {
    /// The store knows what became of it; the answer is absent when nobody was asked.
    Told(Option<Answer>),
    /// The store does not: it failed, or the task has not ended after all.
    Untold,
}

/// When to look again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Haste {
    /// As soon as something happens.
    Soon,
    /// Not before [`LOOK_EVERY`]: the store is in trouble.
    Later,
}

impl Courier {
    fn new(parts: Webhooks, section: &WebhooksSection) -> anyhow::Result<Self> {
        let limits = WebhookLimits { connect: section.connect_timeout.0, whole: section.timeout.0 };
        let client = WebhookClient::new(limits, section.ca_file.as_deref()).context("[webhooks]")?;
        Ok(Self {
            parts,
            client: Arc::new(client),
            give_up_after: section.give_up_after.0,
            desk: Desk::new(section.at_once),
            flights: JoinSet::new(),
            flying: HashMap::new(),
        })
    }

    async fn run(mut self, stop: CancellationToken) {
        let mut moves = self.parts.board.moves();
        loop {
            let looked = self.parts.board.watermarks();
            // A look that is cut short has told the store or not; both may be repeated.
            let haste = tokio::select! {
                () = stop.cancelled() => break,
                haste = self.look() => haste,
            };
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.wait(looked, &mut moves, haste) => {}
            }
        }
        let grace = self.parts.clock.tick().after(STOP_GRACE);
        let clock = Arc::clone(&self.parts.clock);
        // What does not land in time is dropped with the set, and sent again after the next start.
        tokio::select! {
            () = clock.sleep_until(grace) => {}
            () = async { while self.land().await.is_some() {} } => {}
        }
    }

    /// Sends what is due, as far as there is room.
    async fn look(&mut self) -> Haste {
        match self.try_look().await {
            Ok(()) => Haste::Soon,
            Err(error) => {
                error!(%error, "notices cannot be looked for; trying again");
                Haste::Later
            }
        }
    }

    async fn try_look(&mut self) -> Result<(), StoreError> {
        let snapshot = self.parts.registry.snapshot();
        self.desk.sweep(|account, name| snapshot.webhooks.contains_key(&(account, name.to_owned())));
        let mut page = PAGE_FIRST;
        while self.desk.has_room() {
            let due = self.parts.store.notices_due(self.parts.service.view(), page).await?;
            let is_last = due.len() < page as usize || page >= PAGE_MAX;
            let now = self.parts.clock.tick();
            let mut moved = Vec::new();
            for notice in due {
                match self.desk.admit(&notice, now) {
                    Verdict::Send => self.take_off(notice),
                    Verdict::Wait => {}
                    Verdict::Rests { left, why } => {
                        let told = decide_resting(&notice, &why, left, self.moment());
                        moved.push((notice, told));
                    }
                }
            }
            self.tell(moved).await?;
            if is_last {
                break;
            }
            page = page.saturating_mul(4).min(PAGE_MAX);
        }
        Ok(())
    }

    fn moment(&self) -> Moment {
        let clock = &self.parts.clock;
        Moment { now: clock.wall(), random: clock.random(), give_up_after: self.give_up_after }
    }

    fn take_off(&mut self, notice: Notice) {
        let flight = Flight {
            parts: self.parts.clone(),
            client: Arc::clone(&self.client),
            notice: notice.clone(),
            give_up_after: self.give_up_after,
        };
        let handle = self.flights.spawn(flight.fly());
        self.flying.insert(handle.id(), notice);
    }

    /// Tells the store about many notices.
    async fn tell(&self, all: Vec<(Notice, Told)>) -> Result<(), StoreError> {
        let mut all = all.into_iter();
        let mut telling: JoinSet<Result<(), StoreError>> = JoinSet::new();
        loop {
            while telling.len() < MOVED_AT_ONCE {
                let Some((notice, told)) = all.next() else { break };
                note(&notice, &told);
                let store = Arc::clone(&self.parts.store);
                telling.spawn(async move { store.told(&notice, told).await });
            }
            match telling.join_next().await {
                None => return Ok(()),
                Some(Ok(done)) => done?,
                // It stays due, and is moved with the next look.
                Some(Err(error)) => error!(%error, "a notice could not be moved"),
            }
        }
    }

    /// Waits until another look may find something.
    async fn wait(&mut self, looked: PerArea<Seq>, moves: &mut watch::Receiver<u64>, haste: Haste) {
        let clock = Arc::clone(&self.parts.clock);
        let now = clock.tick();
        let mut haste = haste;
        loop {
            tokio::select! {
                () = clock.sleep_until(now.after(LOOK_EVERY)) => return,
                Some(landed) = self.land() => match landed {
                    Haste::Soon if haste == Haste::Soon => break,
                    Haste::Soon | Haste::Later => haste = Haste::Later,
                },
                Ok(()) = moves.changed(), if haste == Haste::Soon => {
                    if self.parts.board.watermarks() != looked {
                        break;
                    }
                }
            }
        }
        clock.sleep_until(now.after(LOOK_GAP)).await;
    }

    /// Waits for the end of a flight; `None` when none is under way.
    async fn land(&mut self) -> Option<Haste> {
        let joined = self.flights.join_next_with_id().await?;
        let (id, landing) = match joined {
            Ok((id, landing)) => (id, landing),
            Err(error) => (error.id(), lost(&error)),
        };
        let (answer, haste) = match landing {
            Landing::Told(answer) => (answer, Haste::Soon),
            Landing::Untold => (None, Haste::Later),
        };
        if let Some(notice) = self.flying.remove(&id) {
            self.desk.landed(&notice, answer.as_ref(), self.parts.clock.tick());
        }
        Some(haste)
    }
}

fn lost(error: &JoinError) -> Landing {
    error!(%error, "a message was lost on its way; it is sent again");
    Landing::Untold
}

/// One message, from its notice to the word about it.
struct Flight {
    parts: Webhooks,
    client: Arc<WebhookClient>,
    notice: Notice,
    give_up_after: Duration,
}

impl Flight {
    async fn fly(self) -> Landing {
        let (told, answer) = match self.attempt().await {
            Ok(Some(ended)) => ended,
            Ok(None) => return Landing::Untold,
            Err(error) => {
                error!(%error, task = %self.notice.task, "what became of a task cannot be read; trying again");
                return Landing::Untold;
            }
        };
        note(&self.notice, &told);
        self.keep(told).await;
        Landing::Told(answer)
    }

    /// `None` when the task has not ended, as may be when the wall clock was set back meanwhile.
    async fn attempt(&self) -> Result<Option<(Told, Option<Answer>)>, StoreError> {
        let Notice { task, account, endpoint, .. } = &self.notice;
        let give_up = |why: &str| Ok(Some((Told::GaveUp { why: why.into() }, None)));
        let snapshot = self.parts.registry.snapshot();
        let Some(webhook) = snapshot.webhooks.get(&(*account, endpoint.to_string())) else {
            return give_up("the endpoint was deleted");
        };
        let service = &self.parts.service;
        let Some(receipts) = service.receipts(*account, &HostScope::All, task).await? else {
            return give_up("the task is no longer kept");
        };
        let Some(body) = message::body(&receipts, service.view().fail_after) else {
            return Ok(None);
        };
        // No full stop, which separates what is signed. Neither part has a `_` in front of this one.
        let id = format!("{task}_{endpoint}");
        let message = Message { url: &webhook.record.url, secret: &webhook.secret, id: &id, body: &body };
        let answer = self.client.deliver(message, self.parts.clock.wall()).await;
        let clock = &self.parts.clock;
        let moment = Moment { now: clock.wall(), random: clock.random(), give_up_after: self.give_up_after };
        Ok(Some((decide(&self.notice, &answer, moment), Some(answer))))
    }

    /// Tells the store, again and again while it may succeed: what it does not know is sent again.
    async fn keep(&self, told: Told) {
        while let Err(error) = self.parts.store.told(&self.notice, told.clone()).await {
            error!(%error, task = %self.notice.task, "what became of a message cannot be kept");
            if !error.retryable() {
                return;
            }
            let clock = &self.parts.clock;
            clock.sleep_until(clock.tick().after(LOOK_EVERY)).await;
        }
    }
}

/// The log line of an attempt. Reasons hold texts of receivers, which `?` escapes once more.
fn note(notice: &Notice, told: &Told) {
    let Notice { task, account, endpoint, attempts } = notice;
    let attempt = attempts.saturating_add(1);
    match told {
        Told::Confirmed => debug!(%task, %account, endpoint, attempt, "an endpoint was told"),
        // The first failure is news, later ones a reminder.
        Told::Again { why, .. } if attempt == 1 => {
            info!(%task, %account, endpoint, ?why, "an endpoint cannot be told; trying again");
        }
        Told::Again { why, .. } => debug!(%task, %account, endpoint, attempt, ?why, "an endpoint cannot be told"),
        Told::GaveUp { why } => warn!(%task, %account, endpoint, ?why, "an endpoint is not told"),
    }
}

#[cfg(test)]
mod tests;
