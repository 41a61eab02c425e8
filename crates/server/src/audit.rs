//! The auditor: looks from outside, by samples, whether what was shown done is gone.
//!
//! What this is: one worker. Every so often it picks one of the positions that were done since the last time and one
//! node of their area with a `traffic` address, asks that node for the URL as a client would, soon and again after some
//! minutes, keeps what it saw with the task, and reports each violation. What this is not: the judgement
//! (`catharsis_core::audit`), or part of a task's status.
//!
//! Only what was deleted is looked at: what was marked stale may be served once the origin has confirmed it. Of a
//! directory a URL below it is, which was purged before it; where none is known, that is kept instead of what was seen. Where an
//! answer varies by content coding, its variants are looked at too, and the gravest word counts. Looks that wait are in this memory only: a restart forgets them, and what
//! was seen before it stays.
//!
//! Invariants: bounded looks under way ([`AT_ONCE_MAX`]) and waiting ([`WAITING_MAX`]); only nodes that count are judged.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use catharsis_core::area::{Area, PerArea};
use catharsis_core::audit::{
    Accepts, Audit, Codings, Dated, Outside, Tolerance, Varies, Verdict, judge, pick, replaced,
};
use catharsis_core::board::Board;
use catharsis_core::clock::{Tick, UnixMillis};
use catharsis_core::duty::Duty;
use catharsis_core::error::StoreError;
use catharsis_core::invalidation::{Invalidation, Seq};
use catharsis_core::ports::{Clock, Log, Membership, Store};
use catharsis_core::receipt::{Reason, Receipt, Settled};
use catharsis_core::target::{CachePrefix, CacheUrl, HostName, Mode, Target};
use catharsis_core::task::TaskId;
use catharsis_core::topology::{Node, NodeId};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::config::AuditSection;
use crate::events::Events;

/// Looks under way at once: each holds a socket for up to ten seconds.
const AT_ONCE_MAX: usize = 16;
/// Looks that wait, repetitions included: the shortest `every` would bring more than can be made. A new item is left out
/// when they are so many.
const WAITING_MAX: usize = 4_096;
/// Positions before a directory's among which URLs below it are looked for: one reading of the log.
const LOOK_BACK: u64 = 2_048;
/// Characters of a path that are told with a verdict, which has room for two hundred.
const PATH_SHOWN: usize = 80;

/// How nodes are looked at, by name. The fleet says which there are.
#[derive(Default)]
pub(crate) struct Outsides(Mutex<HashMap<NodeId, Arc<dyn Outside>>>);

impl Outsides {
    fn table(&self) -> MutexGuard<'_, HashMap<NodeId, Arc<dyn Outside>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on a node is looked at like this; `None`: not at all.
    pub(crate) fn place(&self, node: &NodeId, outside: Option<Arc<dyn Outside>>) {
        match outside {
            Some(outside) => self.table().insert(node.clone(), outside),
            None => self.table().remove(node),
        };
    }

    fn of(&self, node: &NodeId) -> Option<Arc<dyn Outside>> {
        self.table().get(node).cloned()
    }
}

/// What the auditor works with.
#[derive(Clone)]
pub(crate) struct Auditing {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) log: Arc<dyn Log>,
    pub(crate) board: Arc<Board>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) outsides: Arc<Outsides>,
    /// How the origins of some hosts are asked which version they serve.
    pub(crate) origins: Arc<HashMap<HostName, Arc<dyn Outside>>>,
    pub(crate) events: Arc<Events>,
}

/// How a look is made and judged.
struct Manner {
    tolerance: Tolerance,
    /// What else is taken where an answer varies by coding.
    codings: Vec<Codings>,
}

/// One item at one node.
#[derive(Clone)]
struct Sample {
    node: Arc<Node>,
    seq: Seq,
    task: TaskId,
    url: CacheUrl,
    named: Named,
    accepted_at: UnixMillis,
}

/// What a sample's URL is to the item.
#[derive(Clone, Copy)]
enum Named {
    /// The item itself.
    ByItself,
    /// One below the directory that the item is.
    ByDirectory,
}

/// What is at a position, for an auditor.
enum Picked {
    /// Something to look at.
    Sample(Sample),
    /// A directory below which no URL is known.
    Unknown,
    /// Nothing of which anything can be said.
    Nothing,
}

/// The worker.
pub(crate) struct Auditor {
    parts: Auditing,
    every: Duration,
    /// From when an item was picked.
    waits: Vec<Duration>,
    manner: Arc<Manner>,
    /// By when they are due; the number tells those of one moment apart.
    waiting: BTreeMap<(Tick, u64), Sample>,
    numbered: u64,
    /// Positions up to this are not picked any more.
    passed: PerArea<Seq>,
    looks: JoinSet<()>,
}

impl Auditor {
    /// An auditor of what is done from now on.
    pub(crate) fn new(parts: Auditing, section: &AuditSection) -> Self {
        let passed = parts.board.watermarks();
        Self {
            parts,
            every: section.every.0,
            waits: section.waits(),
            manner: Arc::new(Manner {
                tolerance: Tolerance { rounding: section.rounding.0, clock_skew: section.clock_skew.0 },
                codings: section.codings(),
            }),
            waiting: BTreeMap::new(),
            numbered: 0,
            passed,
            looks: JoinSet::new(),
        }
    }

    /// Works until it is stopped; looks under way are dropped then.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let clock = Arc::clone(&self.parts.clock);
        let mut next = clock.tick().after(self.every);
        loop {
            let due = self.waiting.keys().next().map(|(due, _)| *due);
            let has_room = self.looks.len() < AT_ONCE_MAX;
            // A branch that loses holds nothing: both sleeps are to a fixed point, and a look that ended stays in the set.
            tokio::select! {
                () = stop.cancelled() => return,
                () = clock.sleep_until(next) => {
                    next = clock.tick().after(self.every);
                    if let Err(error) = self.sample().await {
                        warn!(%error, "no item could be picked for an audit; trying another later");
                    }
                }
                () = sleep_until_due(&*clock, due), if has_room => self.begin(),
                Some(ended) = self.looks.join_next() => {
                    if let Err(error) = ended {
                        error!(%error, "a look of the auditor ended early");
                    }
                }
            }
        }
    }

    /// Begins the look that has been due for longest.
    fn begin(&mut self) {
        if let Some((_, sample)) = self.waiting.pop_first() {
            self.looks.spawn(look(self.parts.clone(), sample, Arc::clone(&self.manner)));
        }
    }

    /// Picks one item of each area that has had new ones done, and puts its looks in line.
    async fn sample(&mut self) -> Result<(), StoreError> {
        let done = self.parts.board.watermarks();
        for area in Area::ALL {
            let (after, upto) = (*self.passed.get(area), *done.get(area));
            *self.passed.get_mut(area) = upto.max(after);
            if self.waiting.len() + self.waits.len() > WAITING_MAX {
                continue;
            }
            let Some(seq) = pick(after, upto, self.parts.clock.random()) else { continue };
            let Some(node) = self.node(area) else { continue };
            let sample = match self.parts.sample_at(&node, seq).await? {
                Picked::Sample(sample) => sample,
                Picked::Unknown => {
                    self.parts.not_looked_at(&node, seq).await?;
                    continue;
                }
                Picked::Nothing => continue,
            };
            let now = self.parts.clock.tick();
            for wait in &self.waits {
                self.numbered += 1;
                self.waiting.insert((now.after(*wait), self.numbered), sample.clone());
            }
        }
        Ok(())
    }

    /// One of an area's nodes that count and can be looked at, by chance.
    fn node(&self, area: Area) -> Option<Arc<Node>> {
        let parts = &self.parts;
        let nodes = parts.board.nodes();
        let here: Vec<&Arc<Node>> = nodes.iter().filter(|node| node.area == area && parts.counts(&node.id)).collect();
        let choice = parts.clock.random().checked_rem(here.len() as u64)?;
        here.get(usize::try_from(choice).ok()?).map(|node| Arc::clone(node))
    }
}

async fn sleep_until_due(clock: &dyn Clock, due: Option<Tick>) {
    match due {
        Some(due) => clock.sleep_until(due).await,
        None => std::future::pending().await,
    }
}

impl Auditing {
    /// Whether a node's copies are promised to be gone, and can be looked at.
    fn counts(&self, node: &NodeId) -> bool {
        let standing = self.board.standing(node);
        standing.is_some_and(|it| it.duty == Duty::Counts && it.membership == Membership::Member)
            && self.outsides.of(node).is_some()
    }

    /// What there is to look at for the item at a position.
    async fn sample_at(&self, node: &Arc<Node>, seq: Seq) -> Result<Picked, StoreError> {
        let before = Seq(seq.0.saturating_sub(1));
        // What was pruned in between is no longer promised to anybody.
        let read = self.log.read(node.area, before, 1).await.unwrap_or_default();
        let Some(Invalidation { task, target, mode: Mode::Delete, accepted_at, .. }) = read.into_iter().next() else {
            return Ok(Picked::Nothing);
        };
        let found = match target.as_ref() {
            Target::Url(url) => Some((url.clone(), Named::ByItself)),
            Target::Prefix(directory) => {
                self.url_below(node.area, directory, seq).await.map(|url| (url, Named::ByDirectory))
            }
            Target::Everything => return Ok(Picked::Nothing),
        };
        // A node that refused it has promised nothing: the task has failed.
        let receipts = self.store.receipts(node.area, seq, seq).await?;
        if receipts.iter().any(|receipt| refuses(receipt, seq)) {
            return Ok(Picked::Nothing);
        }
        Ok(found.map_or(Picked::Unknown, |(url, named)| {
            Picked::Sample(Sample { node: Arc::clone(node), seq, task, url, named, accepted_at })
        }))
    }

    /// One of the URLs below a directory that were purged not long before it, by chance.
    async fn url_below(&self, area: Area, directory: &CachePrefix, seq: Seq) -> Option<CacheUrl> {
        let after = Seq(seq.0.saturating_sub(LOOK_BACK + 1));
        let before = usize::try_from(seq.distance_from(after)).unwrap_or_default().saturating_sub(1);
        // What was pruned is no longer known.
        let purged = self.log.read(area, after, before).await.unwrap_or_default();
        let below = |purge: &Invalidation| match purge.target.as_ref() {
            Target::Url(url) => (url.scheme() == directory.scheme() && directory.covers(url)).then(|| url.clone()),
            Target::Prefix(_) | Target::Everything => None,
        };
        let urls: Vec<CacheUrl> = purged.iter().filter_map(below).collect();
        let choice = self.clock.random().checked_rem(urls.len() as u64)?;
        urls.get(usize::try_from(choice).ok()?).cloned()
    }

    /// Keeps that nothing was looked at. It counts as no look.
    async fn not_looked_at(&self, node: &Node, seq: Seq) -> Result<(), StoreError> {
        let why = Reason::new("not looked at: no URL below this directory was purged lately, so none is known");
        let (at, verdict) = (self.clock.wall(), Verdict::Untold);
        self.store.keep_audit(Audit { node: node.id.clone(), area: node.area, seq, at, verdict, why }).await
    }

    /// The gravest of what a URL's copies tell: that of a client which takes no coding, and where that one varies, those
    /// of others.
    async fn see(&self, outside: &dyn Outside, sample: &Sample, manner: &Manner) -> (Verdict, String) {
        let (mut gravest, varies) = self.see_one(outside, sample, manner, Accepts::Unsaid).await;
        let codings = match varies {
            Varies::No => &[],
            Varies::ByCoding => manner.codings.as_slice(),
        };
        for codings in codings {
            let ((verdict, why), _) = self.see_one(outside, sample, manner, Accepts::These(codings)).await;
            if verdict.gravity() > gravest.0.gravity() {
                gravest = (verdict, format!("for {}: {why}", codings.as_str()));
            }
        }
        match sample.named {
            Named::ByItself => gravest,
            Named::ByDirectory => {
                let path: String = sample.url.encoded_path().chars().take(PATH_SHOWN).collect();
                (gravest.0, format!("at {path}: {}", gravest.1))
            }
        }
    }

    /// What one copy tells: its age, or else its version beside the one that the origin serves by now.
    async fn see_one(
        &self,
        outside: &dyn Outside,
        sample: &Sample,
        manner: &Manner,
        accepts: Accepts<'_>,
    ) -> ((Verdict, String), Varies) {
        let seen = match outside.look(&sample.url, accepts).await {
            Ok(seen) => seen,
            Err(why) => return ((Verdict::Untold, why.as_str().to_owned()), Varies::No),
        };
        let word = judge(&seen, sample.accepted_at, Dated::of(sample.node.kind), manner.tolerance);
        let origin = self.origins.get(sample.url.host()).filter(|_| word.0 != Verdict::Older);
        if let Some(origin) = origin
            // Asked after the node, so that what it says was so while the node fetched. One that is away tells nothing.
            && let Ok(now) = origin.look(&sample.url, accepts).await
            && let Some(why) = replaced(&seen, &now, sample.accepted_at, manner.tolerance)
        {
            return ((Verdict::Older, why), seen.varies);
        }
        (word, seen.varies)
    }
}

fn refuses(receipt: &Receipt, seq: Seq) -> bool {
    let place = seq.0.checked_sub(receipt.after.0 + 1).and_then(|place| usize::try_from(place).ok());
    place.is_some_and(|place| matches!(receipt.outcomes.get(place), Some(Settled::Refused(_))))
}

/// One look, from the request to the word about it.
async fn look(parts: Auditing, sample: Sample, manner: Arc<Manner>) {
    let Sample { node, seq, .. } = &sample;
    // It may have been drained or taken out while the look waited.
    let Some(outside) = parts.outsides.of(&node.id).filter(|_| parts.counts(&node.id)) else { return };
    let (verdict, why) = parts.see(&*outside, &sample, &manner).await;
    let (at, why) = (parts.clock.wall(), Reason::new(&why));
    let audit = Audit { node: node.id.clone(), area: node.area, seq: *seq, at, verdict, why };
    parts.events.audited(node, verdict);
    if verdict == Verdict::Older {
        report(&parts, &sample, &audit).await;
    }
    if let Err(error) = parts.store.keep_audit(audit).await {
        error!(%error, node = %sample.node.id, task = %sample.task, "what an audit saw could not be kept");
    }
}

/// The log line of a violation, with the receipt that promised otherwise.
async fn report(parts: &Auditing, sample: &Sample, audit: &Audit) {
    let Sample { node, seq, task, .. } = sample;
    let url = sample.url.to_string();
    // An unreadable receipt must not hide the violation.
    let receipts = parts.store.receipts(node.area, *seq, *seq).await.unwrap_or_default();
    let receipt = receipts.iter().rfind(|receipt| receipt.node == node.id).map_or_else(
        || "none".to_owned(),
        |it| format!("{} {}..{} at {}", node.area, it.after.plus(1), it.cursor(), it.at.0),
    );
    error!(
        node = %node.id, ?url, %task, seq = seq.0, receipt, why = ?audit.why.as_str(),
        "a node serves an older copy than its receipt allows"
    );
}
