//! Random runs of relay, board and service, with faults; the promises are watched (`watched`).
//!
//! A failing seed prints itself. `CATHARSIS_SEED=n` runs that one alone.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use catharsis_core::area::{Area, AreaSet};
use catharsis_core::duty::Duty;
use catharsis_core::invalidation::Seq;
use catharsis_core::ports::Store;
use catharsis_core::receipt::{Outcome, Unreachable};
use catharsis_core::status::ItemStatus;
use catharsis_core::topology::{BoundedFence, Fence, Node, Rotation, Tier};
use catharsis_testkit::fake_cache::{Act, Effect, Told};
use catharsis_testkit::plans::{behind, node, plan, shield};
use catharsis_testkit::sim::{Chance, Server, World};
use catharsis_testkit::watched::{Faults, Watch};
use tokio::time::sleep;

const SEEDS: u64 = 200;
const STEPS: u64 = 40;

fn fenced(node: Node) -> Node {
    let seconds = Duration::from_secs;
    let fence = BoundedFence::new(vec![seconds(2)], seconds(30)).expect("it rises");
    Node { fence: Fence::Bounded(fence), ..node }
}

fn nodes() -> Vec<Node> {
    vec![
        fenced(shield("s1")),
        behind("e1", "s1"),
        fenced(behind("e2", "s1")),
        shield("s2"),
        behind("e3", "s2"),
        node("alone"),
    ]
}

/// A cache on a bad day: slow, unreachable with or without having done it, silent for one URL.
fn bad_day(chance: Chance) -> impl FnMut(Told<'_>) -> Act + Send {
    move |_| {
        let delay = match chance.below(20) {
            0 => Duration::from_secs(chance.below(20)),
            1..5 => Duration::from_millis(chance.below(500)),
            _ => Duration::ZERO,
        };
        let lost = |effect| Act {
            delay,
            effect,
            outcome: Outcome::Unreachable(match chance.below(3) {
                0 => Unreachable::Closed,
                1 => Unreachable::Timeout,
                _ => Unreachable::Failed { status: 503 },
            }),
        };
        match chance.below(100) {
            0..8 => lost(Effect::Done),
            8..16 => lost(Effect::NotDone),
            16..50 => Act { delay, effect: Effect::Done, outcome: Outcome::Absent },
            _ => Act::applied().after(delay),
        }
    }
}

/// What one run found: the promises broken, and whether everything was settled.
struct Found {
    broken: Vec<String>,
    statuses: Vec<ItemStatus>,
    behind: Vec<String>,
}

async fn run(seed: u64, watch_of: impl FnOnce(Chance) -> Watch, spoil: impl Fn(&World)) -> Found {
    let chance = Chance::new(seed);
    let mut world = World::new(nodes(), seed);
    let watch = watch_of(chance.clone());
    for node in &world.nodes {
        world.cache(&node.id).follow(bad_day(chance.clone()));
    }
    spoil(&world);
    if chance.percent(40) {
        // Then every node is new to a log that holds something, and must join.
        let old = plan(0, &["http://a.test/0", "http://a.test/1"], AreaSet::Global);
        world.store.submit(old).await.expect("memory never fails");
        watch.accepted(&world);
    }
    let mut server = world.start_with(&watch).await;
    let mut shown = Shown::default();
    for _ in 0..STEPS {
        step(&mut world, &mut server, &watch, &chance).await;
        watch.look(&world, &server.board);
        shown.look(&watch, &server).await;
    }
    // All return, so that all must settle in the end.
    world.change(&mut server, nodes(), &watch).await;
    for node in &world.nodes {
        world.cache(&node.id).up();
    }
    spoil(&world);
    sleep(Duration::from_secs(600)).await;
    shown.look(&watch, &server).await;
    let head = catharsis_core::ports::Log::head(&world.log, Area::Mainland);
    let behind = world
        .nodes
        .iter()
        .filter_map(|node| {
            let standing = server.board.standing(&node.id)?;
            (standing.settled < head || standing.duty != Duty::Counts)
                .then(|| format!("{}: {standing:?}, head {head}", node.id))
        })
        .collect();
    let statuses = server.history().await.rows.iter().map(|row| row.status).collect();
    server.stop().await;
    Found { broken: watch.broken(), statuses, behind }
}

/// What was shown so far: it never goes back, and holds at every node that counts.
#[derive(Default)]
struct Shown {
    watermark: Seq,
    done: HashSet<String>,
}

impl Shown {
    async fn look(&mut self, watch: &Watch, server: &Server) {
        let watermark = server.board.watermark(Area::Mainland);
        if watermark < self.watermark {
            watch.breaks(format!("the watermark went from {} back to {watermark}", self.watermark));
        }
        self.watermark = watermark;
        for node in server.board.nodes().iter().filter(|node| node.area == Area::Mainland) {
            let standing = server.board.standing(&node.id);
            if standing.is_some_and(|it| it.duty == Duty::Counts && it.settled < watermark) {
                watch.breaks(format!("{} counts below the watermark {watermark}", node.id));
            }
        }
        for row in server.history().await.rows {
            let key = format!("{} {}", row.task, row.url);
            match row.status {
                ItemStatus::Done => drop(self.done.insert(key)),
                ItemStatus::Process | ItemStatus::Fail if self.done.contains(&key) => {
                    watch.breaks(format!("{key} was done and is {:?}", row.status));
                }
                ItemStatus::Process | ItemStatus::Fail => {}
            }
        }
    }
}

/// The nodes as an operator could want them next: each in rotation, drained or away, shields never away.
fn other_nodes(chance: &Chance) -> Vec<Node> {
    let mut next = Vec::new();
    for node in nodes() {
        match chance.below(6) {
            0 if node.tier == Tier::Edge => {}
            1 | 2 => next.push(Node { rotation: Rotation::Drained, ..node }),
            _ => next.push(node),
        }
    }
    next
}

async fn step(world: &mut World, server: &mut Server, watch: &Watch, chance: &Chance) {
    match chance.below(11) {
        0..5 => {
            let count = 1 + chance.below(4);
            let paths: Vec<String> = (0..count).map(|_| format!("/{}", chance.below(12))).collect();
            let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
            server.purge(&paths).await;
            watch.accepted(world);
        }
        5 | 6 => sleep(Duration::from_millis(chance.below(2_000))).await,
        7 => sleep(Duration::from_secs(chance.below(40))).await,
        8 => {
            let back = chance.percent(50);
            let by = i64::try_from(chance.below(100_000)).expect("small");
            world.clock.jump(if back { -by } else { by });
        }
        9 => world.change(server, other_nodes(chance), watch).await,
        _ => {
            let next = world.start_with(watch);
            // The old server ends before the next one acts, as one machine's would.
            let old = std::mem::replace(server, next.await);
            old.crash().await;
        }
    }
}

fn watch_with(faults: Faults) -> impl FnOnce(Chance) -> Watch {
    move |chance| Watch::new(faults, chance)
}

const FAULTS: Faults = Faults { store_before: 5, store_after: 5, twice: 10, slow: 10 };

fn seeds() -> Vec<u64> {
    match std::env::var("CATHARSIS_SEED") {
        Ok(seed) => vec![seed.parse().expect("CATHARSIS_SEED is a number")],
        Err(_) => (0..SEEDS).collect(),
    }
}

#[tokio::test(start_paused = true)]
async fn every_promise_holds_whatever_fails() {
    for seed in seeds() {
        let found = run(seed, watch_with(FAULTS), |_| {}).await;
        assert!(found.broken.is_empty(), "seed {seed}: {:#?}", found.broken);
        assert!(found.behind.is_empty(), "seed {seed}: {:#?}", found.behind);
        // The relay may refuse by name only what a node left unanswered ten times.
        let done = found.statuses.iter().filter(|it| **it == ItemStatus::Done).count();
        assert_eq!(done, found.statuses.len(), "seed {seed}: {:?}", found.statuses);
    }
}

/// The watch finds a cache that says "applied" and has done nothing.
#[tokio::test(start_paused = true)]
async fn cache_that_lies_is_caught() {
    let lie = |world: &World| {
        let liar = Arc::clone(&world.nodes[5]);
        world.cache(&liar.id).follow(|_| Act::says(Outcome::Applied));
    };
    let found = run(1, watch_with(FAULTS), lie).await;
    assert!(found.broken.iter().any(|what| what.starts_with("alone reports")));
}

/// The watch finds a fence that is shorter than it says: only the first pass is ever done.
#[tokio::test(start_paused = true)]
async fn fence_that_is_not_kept_is_caught() {
    let once = |world: &World| {
        let fenced = Arc::clone(&world.nodes[0]);
        let mut seen = HashSet::new();
        world.cache(&fenced.id).follow(move |told| match told {
            Told::Invalidation(one) if !seen.insert(one.seq) => Act::says(Outcome::Applied),
            Told::Invalidation(_) | Told::Everything(_) => Act::applied(),
        });
    };
    let found = run(3, watch_with(FAULTS), once).await;
    assert!(found.broken.iter().any(|what| what.starts_with("s1 reports")), "{:?}", found.broken);
}
