//! A run of the oracle: pages change and are purged, clients read, the judge watches.
//!
//! What this is: for each directory of the site one driver, which changes some of its pages, purges them
//! by the API and follows the task until `done`, and some readers at each node. Each driver knows its
//! pages alone, so it never changes a page between the sending and the acceptance of its purge (see
//! [`super::history`]).
//!
//! What this is not: exact in its timing. What is drawn comes from the seed; when a cache does what is its own.

use std::fmt;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rand::RngExt;
use rand::rngs::SmallRng;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::history::{Claim, Reading, Version, Violation};
use super::origin::{Manners, OracleOrigin, Site};
use super::page::{PageId, Pages};
use super::readers::{Client, Manner, Seen, Told};
use super::response::chance;

/// Violations that are told in full; the others are counted.
const VIOLATIONS_TOLD: usize = 20;
/// Readers of each directory at each node: while one waits for a fetch, the other joins it.
const READERS: u64 = 2;
/// The longest pause of a reader between two reads.
const READ_GAP_MAX: Duration = Duration::from_millis(500);
/// Between two looks at a task.
const LOOK: Duration = Duration::from_millis(50);
/// Between two looks at a task that takes long.
const LOOK_MAX: Duration = Duration::from_millis(500);

/// Parts of the source of chance: the origin's are counted by page from 1.
const DRIVERS: u64 = 1 << 32;
const CLIENTS: u64 = 2 << 32;

/// What a run is like.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What all chance comes from.
    pub seed: u64,
    /// How many purges are sent; with [`u64::MAX`] as many as there are until the run is stopped.
    pub purges: u64,
    /// The site.
    pub pages: Pages,
    /// The origin.
    pub manners: Manners,
    /// The host of all pages.
    pub host: String,
    /// How many tasks of one driver may be open at the same time, at least 1.
    pub open_max: usize,
    /// Whether directories are purged too: one purge in ten.
    pub directories: Directories,
    /// The soonest that a purge can be done: earlier nobody asks.
    pub done_not_before: Duration,
    /// How long a task may take from its acknowledgement, faults included; then it is lost.
    pub patience: Duration,
}

/// Whether the caches can forget directories.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Directories {
    /// They can.
    Purged,
    /// They cannot.
    Spared,
}

/// What is to be purged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// These URLs.
    Urls(Vec<String>),
    /// All below this URL, which ends in `/`, is to be deleted.
    Deleted(String),
    /// All below this URL is to be revalidated.
    Flushed(String),
}

/// The API as a publisher uses it.
#[async_trait]
pub trait Purges: fmt::Debug + Send + Sync + 'static {
    /// Sends a purge, and returns the task when it was acknowledged.
    ///
    /// # Errors
    /// [`NoAnswer`]: then it may have been accepted or not.
    async fn purge(&self, wish: &Wish) -> Result<String, NoAnswer>;

    /// Whether a task is shown `done`.
    ///
    /// # Errors
    /// [`NoAnswer`].
    async fn is_done(&self, task: &str) -> Result<bool, NoAnswer>;

    /// Why a task is not done, for the report of a lost one.
    async fn why_not(&self, task: &str) -> String;
}

/// There was no answer, or one that says nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoAnswer(pub String);

/// What came of a run.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// Purges that were acknowledged.
    pub accepted: u64,
    /// Purges whose answer did not come, or was a refusal.
    pub unanswered: u64,
    /// The first such answer.
    pub no_answer: Option<String>,
    /// Of the accepted ones, those sent while the origin was answering for one of their pages.
    pub overtaking: u64,
    /// Those that were shown done.
    pub done: u64,
    /// Tasks that were acknowledged and not done in time.
    pub lost: Vec<String>,
    /// Answers that told a version.
    pub reads: u64,
    /// Those whose page had been shown done before, which could have been violations.
    pub judged: u64,
    /// Bodies of two versions.
    pub mixed: u64,
    /// Requests at the origin, and of these confirmed by 304, failed on purpose, cut off for lateness.
    pub origin: [u64; 4],
    /// The first violations, each with its node and how it was read.
    pub violations: Vec<String>,
    /// How many there were.
    pub violated: u64,
    /// How long it took.
    pub took: Duration,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, accepted, unanswered, overtaking, done, lost, reads, judged, mixed, violated, took, .. } =
            self;
        let [requests, confirmed, failed, late] = self.origin;
        write!(
            f,
            "{accepted} purges ({overtaking} during a fetch, {unanswered} unanswered), {done} done, {} lost; {reads} reads, \
             {judged} after done, {violated} violations, {mixed} mixed bodies; origin: {requests} requests, {confirmed} \
             confirmed, {failed} failed on purpose, {late} cut for lateness; {:.0} s, seed {seed}",
            lost.len(),
            took.as_secs_f64()
        )?;
        if let Some(why) = &self.no_answer {
            write!(f, "\n  no answer: {why}")?;
        }
        for what in self.violations.iter().chain(lost) {
            write!(f, "\n  {what}")?;
        }
        Ok(())
    }
}

/// An oracle whose origin runs.
#[derive(Debug)]
pub struct Oracle {
    settings: Settings,
    origin: OracleOrigin,
}

/// What the workers of a run share.
#[derive(Debug)]
struct Run {
    settings: Settings,
    site: Arc<Site>,
    nodes: Vec<Seen>,
    api: Arc<dyn Purges>,
    sent: AtomicU64,
    report: Mutex<Report>,
    /// For each directory the page that is about to be purged, which readers like best.
    focus: Vec<AtomicU8>,
    /// No further purges.
    stop: CancellationToken,
    /// No further reads.
    end: CancellationToken,
}

impl Oracle {
    /// Starts the origin.
    pub async fn start(settings: Settings) -> Self {
        let origin = OracleOrigin::start(settings.pages, settings.manners, settings.seed).await;
        Self { settings, origin }
    }

    /// Where caches are to fetch from.
    #[must_use]
    pub const fn origin(&self) -> std::net::SocketAddr {
        self.origin.address()
    }

    /// Purges and reads until all purges are sent or `stop`, and then until each acknowledged task is done or lost.
    ///
    /// # Panics
    /// When a worker panics.
    pub async fn run(&self, nodes: Vec<Seen>, api: Arc<dyn Purges>, stop: CancellationToken) -> Report {
        let settings = self.settings.clone();
        let focus = std::iter::repeat_with(AtomicU8::default).take(usize::from(settings.pages.directories)).collect();
        let report = Mutex::new(Report { seed: settings.seed, ..Report::default() });
        let (site, end) = (Arc::clone(self.origin.site()), CancellationToken::new());
        let run = Arc::new(Run { settings, site, nodes, api, sent: AtomicU64::new(0), report, focus, stop, end });
        let began = Instant::now();
        let (mut drivers, mut readers) = (JoinSet::new(), JoinSet::new());
        for directory in 0..run.settings.pages.directories {
            drivers.spawn(drive(Arc::clone(&run), directory));
            for node in 0..run.nodes.len() as u64 {
                for reader in 0..READERS {
                    readers.spawn(read_on(Arc::clone(&run), directory, node, reader));
                }
            }
        }
        while let Some(driver) = drivers.join_next().await {
            driver.expect("a driver does not panic");
        }
        run.end.cancel();
        while let Some(reader) = readers.join_next().await {
            reader.expect("a reader does not panic");
        }
        let mut report = run.report.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let counts = run.site.counts();
        report.origin =
            [&counts.requests, &counts.confirmed, &counts.failed, &counts.late].map(|it| it.load(Ordering::Relaxed));
        report.took = began.elapsed();
        report
    }
}

impl Run {
    fn note(&self, what: impl FnOnce(&mut Report)) {
        what(&mut self.report.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn begin(&self, page: PageId) -> Reading {
        let now = self.site.now();
        self.site.history().begin(page, now)
    }

    /// Judges what a read told; the newest version in it.
    fn judge(&self, node: &Seen, reading: &Reading, manner: Manner, told: Told) -> Option<Version> {
        let Told::Versions(versions) = told else { return None };
        let verdict = self.site.history().judge(reading, versions.oldest);
        self.note(|report| {
            report.reads += 1;
            report.judged += u64::from(reading.after_done());
            report.mixed += u64::from(versions.oldest != versions.newest);
            if let Err(violation) = verdict {
                report.violated += 1;
                if report.violations.len() < VIOLATIONS_TOLD {
                    report.violations.push(tell(node, manner, &violation));
                }
            }
        });
        Some(versions.newest)
    }
}

fn tell(node: &Seen, manner: Manner, violation: &Violation) -> String {
    format!("VIOLATION at node {} ({manner:?}): {violation}", node.name)
}

/// One driver: until there is nothing more to send.
async fn drive(run: Arc<Run>, directory: u16) {
    let mut random = chance(run.settings.seed, DRIVERS, directory.into());
    // Each follows a task; they end by themselves within the patience.
    let mut open = JoinSet::new();
    while !run.stop.is_cancelled() && run.sent.fetch_add(1, Ordering::Relaxed) < run.settings.purges {
        let first = random.random_range(0..run.settings.pages.each);
        run.focus[usize::from(directory)].store(first, Ordering::Relaxed);
        // The moment among the fetches is what a run varies.
        let pause = run.settings.manners.slowest.mul_f64(random.random_range(0.0..1.0));
        // Stopped meanwhile: no further purge.
        if timeout(pause, run.stop.cancelled()).await.is_ok() {
            break;
        }
        if let Some(sent) = send(&run, directory, first, &mut random).await {
            open.spawn(see_done(Arc::clone(&run), sent));
        }
        if open.len() >= run.settings.open_max {
            joined(open.join_next().await);
        }
    }
    while let Some(followed) = open.join_next().await {
        joined(Some(followed));
    }
}

fn joined(followed: Option<Result<(), tokio::task::JoinError>>) {
    followed.into_iter().for_each(|it| it.expect("who follows a task does not panic"));
}

/// A purge that was acknowledged.
#[derive(Debug)]
struct Sent {
    task: Arc<str>,
    pages: Vec<PageId>,
    wish: Wish,
    claim: Claim,
}

/// Changes pages and purges them; `None` when that was not acknowledged.
async fn send(run: &Arc<Run>, directory: u16, first: u8, random: &mut SmallRng) -> Option<Sent> {
    let (pages, wish) = wish(&run.settings, directory, first, random);
    let overtaking = pages.iter().any(|page| run.site.is_fetching(run.settings.pages, *page));
    let claim = {
        // One lock, so that nothing changes in between; dropped before the purge is sent.
        let (now, mut history) = (run.site.now(), run.site.history());
        pages.iter().for_each(|page| history.change(*page, now));
        history.claim(&pages)
    };
    let task = match run.api.purge(&wish).await {
        Ok(task) => task,
        Err(NoAnswer(why)) => {
            run.note(|report| {
                report.unanswered += 1;
                report.no_answer.get_or_insert(why);
            });
            return None;
        }
    };
    let task: Arc<str> = task.into();
    run.note(|report| {
        report.accepted += 1;
        report.overtaking += u64::from(overtaking);
    });
    Some(Sent { task, pages, wish, claim })
}

/// Follows a task until it is done or lost, and looks at what clients get then.
async fn see_done(run: Arc<Run>, Sent { task, pages, wish, claim }: Sent) {
    if !follow(&run, &task).await {
        let why = run.api.why_not(&task).await;
        run.note(|report| report.lost.push(format!("LOST task {task}: {wish:?}: {why}")));
        return;
    }
    let now = run.site.now();
    run.site.history().shown_done(&task, &claim, now);
    let done = {
        let mut done = 0;
        run.note(|report| {
            report.done += 1;
            done = report.done;
        });
        done
    };
    if done % 500 == 0 {
        println!("{done} done after {:.0} s", now.as_secs_f64());
    }
    look_everywhere(&run, &pages).await;
}

/// One page; three of ten times some pages; one of ten times the directory, where that is possible.
fn wish(settings: &Settings, directory: u16, first: u8, random: &mut SmallRng) -> (Vec<PageId>, Wish) {
    let url = |path: &str| format!("http://{}{path}", settings.host);
    let all: Vec<PageId> = settings.pages.of(directory).collect();
    let chosen = random.random_range(0..10);
    if chosen == 0 && settings.directories == Directories::Purged {
        let below = url(&PageId { directory, page: first }.directory_path());
        let wish = if random.random() { Wish::Deleted(below) } else { Wish::Flushed(below) };
        return (all, wish);
    }
    let many = if chosen <= 3 { random.random_range(1..=all.len()) } else { 1 };
    let pages: Vec<PageId> = all.iter().cycle().skip(first.into()).take(many).copied().collect();
    let urls = pages.iter().map(|page| url(&page.path())).collect();
    (pages, Wish::Urls(urls))
}

/// Whether a task became done in time.
async fn follow(run: &Run, task: &str) -> bool {
    let deadline = Instant::now() + run.settings.patience;
    sleep(run.settings.done_not_before).await;
    let mut wait = LOOK / 5;
    while Instant::now() < deadline {
        if run.api.is_done(task).await == Ok(true) {
            return true;
        }
        // Only how late `done` is noticed depends on it.
        sleep(wait).await;
        wait = (wait * 2).min(if wait < LOOK { LOOK } else { LOOK_MAX });
    }
    false
}

/// A look at each purged page through each node, right after `done`.
async fn look_everywhere(run: &Arc<Run>, pages: &[PageId]) {
    let mut looks = JoinSet::new();
    for node in 0..run.nodes.len() {
        for page in pages.iter().copied() {
            let run = Arc::clone(run);
            looks.spawn(async move {
                let node = &run.nodes[node];
                let reading = run.begin(page);
                let told = Client::new(node, &run.settings.host).read(page, Manner::Plain, "a").await;
                run.judge(node, &reading, Manner::Plain, told);
            });
        }
    }
    while let Some(look) = looks.join_next().await {
        look.expect("a look does not panic");
    }
}

/// One reader: reads pages of a directory through a node until the run ends.
async fn read_on(run: Arc<Run>, directory: u16, node: u64, reader: u64) {
    let number = (u64::from(directory) * run.nodes.len() as u64 + node) * READERS + reader;
    let mut random = chance(run.settings.seed, CLIENTS, number);
    let node = &run.nodes[usize::try_from(node).expect("it came from an index")];
    let mut client = Client::new(node, &run.settings.host);
    let mut known = vec![None; usize::from(run.settings.pages.each)];
    loop {
        let gap = READ_GAP_MAX.mul_f64(random.random_range(0.0..1.0));
        // The end comes only when every task is done or lost: nothing is missed by not reading on.
        if timeout(gap, run.end.cancelled()).await.is_ok() {
            return;
        }
        let page = if random.random_range(0..10) < 8 {
            run.focus[usize::from(directory)].load(Ordering::Relaxed)
        } else {
            random.random_range(0..run.settings.pages.each)
        };
        let manner = Manner::draw(known[usize::from(page)], &mut random);
        let variant = if random.random() { "a" } else { "b" };
        let id = PageId { directory, page };
        let reading = run.begin(id);
        // Who still waits for an answer at the end would wait for as long as a node may hold it back: nobody asks what it is.
        tokio::select! {
            told = client.read(id, manner, variant) => {
                if let Some(newest) = run.judge(node, &reading, manner, told) {
                    known[usize::from(page)] = Some(newest);
                }
            }
            () = run.end.cancelled() => return,
        }
    }
}
