//! The relay on paused time, with scripted caches.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use catharsis_core::area::{Area, AreaSet};
use catharsis_core::duty::Duty;
use catharsis_core::invalidation::Seq;
use catharsis_core::limits::{FAIL_AFTER, UNANSWERED_ATTEMPTS_MAX};
use catharsis_core::plan::{Caller, Purge};
use catharsis_core::ports::{Membership, Store};
use catharsis_core::proof::{Prober, Proof};
use catharsis_core::receipt::{Outcome, Reason, Refusal, Settled, Unreachable};
use catharsis_core::status::ItemStatus;
use catharsis_core::target::{CacheUrl, Encode, Mode, Target};
use catharsis_core::task::TaskKind;
use catharsis_core::topology::{BoundedFence, Fence, Join, Node, Rotation};
use catharsis_testkit::fake_cache::{Act, Effect, Told};
use catharsis_testkit::plans::{ACCOUNT, behind, node, plan, shield};
use catharsis_testkit::sim::{Bare, Chance, Server, World, Wrap};
use catharsis_testkit::watched::{Faults, SLOW, Watch};
use tokio::time::{Instant, sleep};

const MAINLAND: AreaSet = AreaSet::One(Area::Mainland);
/// Longer than the waits between all attempts together.
const DAY: Duration = Duration::from_secs(86_400);

fn path_of(told: Told<'_>) -> String {
    match told {
        Told::Invalidation(one) => match one.target.as_ref() {
            Target::Url(url) => url.encoded_path().into_owned(),
            Target::Prefix(prefix) => prefix.encoded_path().into_owned(),
            Target::Everything => "*".to_owned(),
        },
        Told::Everything(_) => "*".to_owned(),
    }
}

fn settled(server: &Server, node: &Node) -> Seq {
    let standing = server.board.standing(&node.id);
    standing.expect("a node on the board").settled
}

async fn statuses(server: &Server) -> Vec<ItemStatus> {
    let page = server.history().await;
    page.rows.into_iter().map(|row| row.status).collect()
}

#[tokio::test(start_paused = true)]
async fn edge_never_passes_its_shield() {
    let (s, e) = (shield("s"), behind("e", "s"));
    let world = World::new(vec![s.clone(), e.clone()], 1);
    world.cache(&s.id).follow(|_| Act::applied().after(Duration::from_secs(3)));
    let server = world.start().await;
    for path in ["/1", "/2", "/3"] {
        server.purge(&[path]).await;
        sleep(Duration::from_secs(1)).await;
        assert!(settled(&server, &e) <= settled(&server, &s));
    }
    server.settled(&e).await;
    let shield_did = world.cache(&s.id).forgotten();
    for (seq, at) in world.cache(&e.id).told() {
        let above = shield_did.iter().find(|it| it.seq == seq);
        assert!(above.is_some_and(|it| it.at <= at), "{seq} reached the edge first");
    }
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn slow_node_delays_only_itself() {
    let (slow, quick) = (node("slow"), node("quick"));
    let world = World::new(vec![slow.clone(), quick.clone()], 1);
    world.cache(&slow.id).follow(|_| Act::applied().after(Duration::from_secs(3_600)));
    let server = world.start().await;
    let start = Instant::now();
    for path in ["/1", "/2", "/3"] {
        server.purge(&[path]).await;
        server.settled(&quick).await;
    }
    assert!(start.elapsed() < Duration::from_secs(1));
    assert_eq!(settled(&server, &slow), Seq::ZERO);
    server.settled(&slow).await;
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn node_that_was_away_catches_up() {
    let (away, other) = (node("away"), node("other"));
    let world = World::new(vec![away.clone(), other.clone()], 1);
    world.cache(&away.id).down(Unreachable::Timeout);
    let server = world.start().await;
    for round in 0..40 {
        server.purge(&[&format!("/{round}"), "/same"]).await;
        sleep(Duration::from_secs(60)).await;
    }
    server.settled(&other).await;
    assert_eq!(settled(&server, &away), Seq::ZERO);
    world.cache(&away.id).up();
    server.settled(&away).await;
    let forgotten = world.cache(&away.id).forgotten();
    for round in 0..40 {
        let wanted = format!("/{round}");
        let there = forgotten.iter().any(|it| match it.target.as_ref() {
            Target::Url(url) => url.encoded_path() == wanted,
            Target::Prefix(_) | Target::Everything => false,
        });
        assert!(there, "{wanted} was lost");
    }
    assert!(statuses(&server).await.iter().all(|status| *status == ItemStatus::Done));
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn bounded_fence_repeats_and_settles_last() {
    let seconds = Duration::from_secs;
    let fence = BoundedFence::new(vec![seconds(2), seconds(10)], seconds(45));
    let n = Node { fence: Fence::Bounded(fence.expect("it rises")), ..node("n") };
    let world = World::new(vec![n.clone()], 1);
    let server = world.start().await;
    let start = Instant::now();
    server.purge(&["/1"]).await;
    sleep(seconds(44)).await;
    assert_eq!(statuses(&server).await, [ItemStatus::Process]);
    let standing = server.board.standing(&n.id).expect("on the board");
    assert_eq!((standing.applied, standing.settled), (Seq(1), Seq(0)));
    server.settled(&n).await;
    let times: Vec<u64> = world.cache(&n.id).told().iter().map(|(_, at)| at.duration_since(start).as_secs()).collect();
    assert_eq!(times, [0, 2, 10, 45]);
    assert_eq!(statuses(&server).await, [ItemStatus::Done]);
    let receipts = world.store.all_receipts();
    assert_eq!((receipts.len(), receipts[0].waited), (1, seconds(45)));
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn poisonous_url_is_refused_by_name_and_does_not_stop_the_node() {
    let n = node("n");
    let world = World::new(vec![n.clone()], 1);
    world.cache(&n.id).follow(|told| match path_of(told).as_str() {
        "/poison" => Act::unreachable(Unreachable::Closed),
        "/long" => Act::says(Outcome::Refused(Refusal::Malformed { status: 414 })),
        _ => Act::applied(),
    });
    let server = world.start().await;
    server.purge(&["/1", "/poison", "/long", "/2"]).await;
    server.purge(&["/3"]).await;
    server.settled(&n).await;
    let outcomes: Vec<Settled> = world.store.all_receipts().into_iter().flat_map(|receipt| receipt.outcomes).collect();
    let attempts = UNANSWERED_ATTEMPTS_MAX;
    assert_eq!(
        outcomes,
        [
            Settled::Applied,
            Settled::Refused(Refusal::Unanswered { attempts }),
            Settled::Refused(Refusal::Malformed { status: 414 }),
            Settled::Applied,
            Settled::Applied,
        ]
    );
    use ItemStatus::{Done, Fail};
    assert_eq!(statuses(&server).await, [Done, Done, Fail, Fail, Done]);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn node_that_comes_back_slowly_loses_nothing_that_it_was_silent_to_while_it_was_away() {
    let n = node("n");
    let world = World::new(vec![n.clone()], 1);
    let server = world.start().await;
    world.cache(&n.id).down(Unreachable::Timeout);
    let mut silent = HashMap::from([("/1", UNANSWERED_ATTEMPTS_MAX + 2), ("/2", UNANSWERED_ATTEMPTS_MAX + 3)]);
    // When the first is answered again, the second is not yet.
    world.cache(&n.id).follow(move |told| match silent.get_mut(path_of(told).as_str()) {
        Some(left) if *left > 0 => {
            *left -= 1;
            Act::unreachable(Unreachable::Timeout)
        }
        Some(_) | None => Act::applied(),
    });
    server.purge(&["/1", "/2"]).await;
    server.settled(&n).await;
    assert_eq!(statuses(&server).await, [ItemStatus::Done, ItemStatus::Done]);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn denied_relay_waits_and_loses_nothing() {
    let n = node("n");
    let world = World::new(vec![n.clone()], 1);
    world.cache(&n.id).follow(|_| Act::unreachable(Unreachable::Denied { status: 403 }));
    let server = world.start().await;
    server.purge(&["/1", "/2"]).await;
    sleep(Duration::from_secs(3_600)).await;
    assert_eq!(settled(&server, &n), Seq::ZERO);
    let trouble = server.board.standing(&n.id).and_then(|standing| standing.trouble);
    assert_eq!(trouble.map(|it| it.why), Some(Unreachable::Denied { status: 403 }));
    world.cache(&n.id).up();
    server.settled(&n).await;
    assert_eq!(world.cache(&n.id).forgotten().len(), 2);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn node_that_joins_late_forgets_everything_first() {
    let (late, vouched) = (node("late"), Node { join: Join::Empty, ..node("vouched") });
    let world = World::new(vec![late.clone(), vouched.clone()], 1);
    let old = plan(1, &["http://a.test/old"], MAINLAND);
    world.store.submit(old).await.expect("memory never fails");
    let server = world.start().await;
    server.purge(&["/new"]).await;
    server.settled(&late).await;
    server.settled(&vouched).await;
    let forgotten = |node: &Node| {
        let did = world.cache(&node.id).forgotten();
        let told = did.iter().map(|it| (it.seq.0, *it.target == Target::Everything));
        told.collect::<Vec<_>>()
    };
    assert_eq!(forgotten(&late), [(1, true), (2, false)]);
    assert_eq!(forgotten(&vouched), [(2, false)]);
    let cursor = world.store.cursor(&late.id, late.area).expect("it has one");
    assert_eq!((cursor.seq, cursor.membership), (Seq(2), Membership::Member));
    server.stop().await;
}

/// A fetch may begin just before the first pass takes effect, however late that is.
#[tokio::test(start_paused = true)]
async fn node_that_joins_repeats_everything_counted_from_the_end_of_the_first_pass() {
    let fetch_max = Duration::from_secs(30);
    let fence = BoundedFence::new(Vec::new(), fetch_max).expect("it rises");
    let late = Node { fence: Fence::Bounded(fence), ..node("late") };
    let world = World::new(vec![late.clone()], 1);
    let old = plan(1, &["http://a.test/old"], MAINLAND);
    world.store.submit(old).await.expect("memory never fails");
    let mut slow = Some(Duration::from_secs(20));
    world.cache(&late.id).follow(move |_| Act::applied().after(slow.take().unwrap_or_default()));
    let server = world.start().await;
    server.settled(&late).await;
    let at: Vec<Instant> = world.cache(&late.id).forgotten().iter().map(|it| it.at).collect();
    assert_eq!(at.len(), 2);
    assert!(at[1].duration_since(at[0]) >= fetch_max, "{:?}", at[1].duration_since(at[0]));
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn vouched_edge_behind_a_shield_of_unknown_content_forgets_everything_too() {
    let (s, e) = (shield("s"), Node { join: Join::Empty, ..behind("e", "s") });
    let world = World::new(vec![s.clone(), e.clone()], 1);
    let old = plan(1, &["http://a.test/old"], MAINLAND);
    world.store.submit(old).await.expect("memory never fails");
    let server = world.start().await;
    server.settled(&e).await;
    let told = world.cache(&e.id).forgotten();
    assert_eq!(*told[0].target, Target::Everything, "it could have filled itself with what the shield held");
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn edge_that_joins_forgets_only_after_its_shield_did() {
    let (s, e) = (shield("s"), behind("e", "s"));
    let world = World::new(vec![s.clone(), e.clone()], 1);
    let old = plan(1, &["http://a.test/old"], MAINLAND);
    world.store.submit(old).await.expect("memory never fails");
    world.cache(&s.id).follow(|_| Act::applied().after(Duration::from_secs(3)));
    let server = world.start().await;
    server.settled(&e).await;
    let (above, below) = (world.cache(&s.id).forgotten(), world.cache(&e.id).forgotten());
    assert!(above[0].at <= below[0].at, "the edge could have refilled from its shield");
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn node_beyond_the_log_forgets_everything_and_goes_on() {
    let n = node("n");
    let world = World::new(vec![n.clone()], 1);
    let server = world.start().await;
    server.stop().await;
    for id in 1..=3 {
        let old = plan(id, &["http://a.test/1"], MAINLAND);
        world.store.submit(old).await.expect("memory never fails");
    }
    world.store.prune(catharsis_core::clock::UnixMillis(u64::MAX));
    let server = world.start().await;
    server.settled(&n).await;
    server.purge(&["/new"]).await;
    server.settled(&n).await;
    let did = world.cache(&n.id).forgotten();
    assert_eq!(*did[0].target, Target::Everything);
    assert_eq!(did.last().map(|it| it.seq), Some(Seq(4)));
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn late_success_turns_fail_into_done() {
    let n = node("n");
    let world = World::new(vec![n.clone()], 1);
    world.cache(&n.id).down(Unreachable::Timeout);
    let server = world.start().await;
    server.purge(&["/1"]).await;
    assert_eq!(statuses(&server).await, [ItemStatus::Process]);
    sleep(FAIL_AFTER + Duration::from_secs(1)).await;
    assert_eq!(statuses(&server).await, [ItemStatus::Fail]);
    world.cache(&n.id).up();
    server.settled(&n).await;
    assert_eq!(statuses(&server).await, [ItemStatus::Done]);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn coalesced_invalidations_each_get_an_outcome() {
    let n = node("n");
    let world = World::new(vec![n.clone()], 1);
    world.cache(&n.id).follow(|told| match path_of(told).as_str() {
        "/absent" => Act { effect: Effect::Done, ..Act::says(Outcome::Absent) },
        _ => Act::applied(),
    });
    let server = world.start().await;
    server.purge(&["/1", "/absent", "/1", "/absent", "/1"]).await;
    server.settled(&n).await;
    assert_eq!(world.cache(&n.id).told().len(), 2, "equal ones are sent once");
    use Settled::{Absent, Applied};
    let receipts = world.store.all_receipts();
    assert_eq!(receipts[0].outcomes, [Applied, Absent, Applied, Absent, Applied]);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn receipt_tells_what_the_first_pass_removed_though_the_last_found_nothing() {
    let seconds = Duration::from_secs;
    let fence = BoundedFence::new(vec![seconds(2)], seconds(45)).expect("it rises");
    let n = Node { fence: Fence::Bounded(fence), ..node("n") };
    let world = World::new(vec![n.clone()], 1);
    let mut seen = HashSet::new();
    world.cache(&n.id).follow(move |told| {
        let path = path_of(told);
        let copies = match (path.as_str(), seen.insert(path.clone())) {
            ("/1", true) => 3,
            // An old fetch has ended before the second pass.
            ("/late", false) if seen.insert("again".to_owned()) => 1,
            _ => 0,
        };
        Act { effect: Effect::Done, ..Act::says(Outcome::counted(copies)) }
    });
    let server = world.start().await;
    server.purge(&["/1", "/late", "/never"]).await;
    server.settled(&n).await;
    let to = |copies| NonZeroU32::new(copies).map_or(Settled::Absent, Settled::AppliedTo);
    assert_eq!(world.store.all_receipts()[0].outcomes, [to(3), to(1), Settled::Absent]);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn copies_of_a_directory_are_not_those_of_a_url_for_which_it_stood() {
    let n = node("n");
    let world = World::new(vec![n.clone()], 1);
    world.cache(&n.id).follow(|told| {
        let copies = if path_of(told) == "/d/" { 500 } else { 2 };
        Act { effect: Effect::Done, ..Act::says(Outcome::counted(copies)) }.after(Duration::from_secs(1))
    });
    let server = world.start().await;
    // While the node is busy with the first, the others gather.
    server.purge(&["/first"]).await;
    sleep(Duration::from_millis(500)).await;
    server.purge(&["/d/1", "/e"]).await;
    purge_below(&server, "/d/").await;
    server.settled(&n).await;
    let outcomes: Vec<Settled> = world.store.all_receipts().into_iter().flat_map(|it| it.outcomes).collect();
    let to = |copies| Settled::AppliedTo(NonZeroU32::new(copies).expect("some"));
    assert_eq!(outcomes, [to(2), Settled::Applied, to(2), to(500)]);
    server.stop().await;
}

/// Purges a directory of `http://a.test`.
async fn purge_below(server: &Server, directory: &str) {
    let purge = Purge {
        kind: TaskKind::Path,
        mode: Mode::Delete,
        items: vec![format!("http://a.test{directory}").into()],
        area: Some(Area::Mainland),
        encode: Encode::AsSubmitted,
        claim: None,
        notify: Vec::new(),
    };
    server.service.purge(&Caller::root(ACCOUNT), purge).await.expect("a valid purge is accepted");
}

/// A URL, one beside it and a directory above the first are read at once: which positions is a node
/// told that may refuse directories, and what do its receipts say of the three?
async fn told_of_a_directory(refusal: Option<Refusal>) -> (Vec<u64>, Vec<Settled>) {
    let n = node("n");
    let world = World::new(vec![n.clone()], 1);
    world.cache(&n.id).follow(move |told| match (told, &refusal) {
        (Told::Invalidation(one), Some(why)) if matches!(*one.target, Target::Prefix(_)) => {
            Act::says(Outcome::Refused(why.clone()))
        }
        (Told::Invalidation(_) | Told::Everything(_), _) => Act::applied().after(Duration::from_secs(1)),
    });
    let server = world.start().await;
    // While the node is busy with the first, the others gather.
    server.purge(&["/first"]).await;
    sleep(Duration::from_millis(500)).await;
    server.purge(&["/d/1", "/e"]).await;
    purge_below(&server, "/d/").await;
    server.settled(&n).await;
    let told = world.cache(&n.id).told().iter().map(|(seq, _)| seq.0).collect();
    let receipts = world.store.all_receipts();
    server.stop().await;
    (told, receipts.into_iter().skip(1).flat_map(|it| it.outcomes).collect())
}

#[tokio::test(start_paused = true)]
async fn directory_stands_for_the_urls_below_it_unless_the_node_refuses_it() {
    use Settled::Applied;
    assert_eq!(told_of_a_directory(None).await, (vec![1, 3, 4], vec![Applied; 3]));
    let refused = Settled::Refused(Refusal::Unsupported);
    assert_eq!(
        told_of_a_directory(Some(Refusal::Unsupported)).await,
        (vec![1, 3, 4, 2], vec![Applied, Applied, refused])
    );
}

#[tokio::test(start_paused = true)]
async fn restart_resumes_from_the_cursor() {
    let n = node("n");
    let world = World::new(vec![n.clone()], 1);
    let server = world.start().await;
    server.purge(&["/1", "/2"]).await;
    server.settled(&n).await;
    world.cache(&n.id).follow(|_| Act::applied().after(Duration::from_secs(5)));
    server.purge(&["/3", "/4"]).await;
    sleep(Duration::from_secs(7)).await;
    server.crash().await;
    world.cache(&n.id).up();
    let cursor = world.store.cursor(&n.id, n.area).expect("it has one");
    assert_eq!(cursor.seq, Seq(2), "what was under way is not settled");

    let server = world.start().await;
    server.settled(&n).await;
    let told: Vec<u64> = world.cache(&n.id).told().iter().map(|(seq, _)| seq.0).collect();
    assert_eq!(told, [1, 2, 3, 4, 3, 4]);
    server.stop().await;
}

/// Fetches from a cache that keeps one copy, and counts.
#[derive(Default)]
struct CountingProber {
    tried: AtomicU64,
}

#[async_trait]
impl Prober for CountingProber {
    fn object(&self, random: u64) -> CacheUrl {
        CacheUrl::parse(&format!("http://probe.invalid/{random}"), Encode::AsSubmitted).expect("a valid URL")
    }

    async fn fetch(&self, _url: &CacheUrl) -> Result<Box<str>, Reason> {
        // Miss, hit, and after the purge a miss.
        let before = self.tried.fetch_add(1, Ordering::SeqCst);
        Ok((before + 1).div_euclid(3).to_string().into())
    }
}

/// The world as it is, with a prober.
struct Probed(Arc<CountingProber>);

impl Wrap for Probed {
    fn prober(&self, _world: &World, _node: &Arc<Node>) -> Option<Arc<dyn Prober>> {
        Some(Arc::clone(&self.0) as Arc<dyn Prober>)
    }
}

#[tokio::test(start_paused = true)]
async fn node_proves_itself_at_the_start_and_whenever_it_was_away() {
    let n = node("n");
    let world = World::new(vec![n.clone()], 1);
    let prober = Arc::new(CountingProber::default());
    let server = world.start_with(&Probed(Arc::clone(&prober))).await;
    server.purge(&["/1"]).await;
    server.settled(&n).await;
    assert_eq!(prober.tried.load(Ordering::SeqCst), 3);
    let proof = server.board.standing(&n.id).expect("on the board").proof;
    assert!(matches!(proof, Some((Proof::Proven, _))), "{proof:?}");

    let mut away = 2;
    world.cache(&n.id).follow(move |_| {
        away -= i32::from(away > 0);
        if away > 0 { Act::unreachable(Unreachable::Connect(Reason::new("refused"))) } else { Act::applied() }
    });
    server.purge(&["/2"]).await;
    server.settled(&n).await;
    // The proof follows what was open when it came back.
    server.purge(&["/3"]).await;
    server.settled(&n).await;
    assert_eq!(prober.tried.load(Ordering::SeqCst), 6);
    server.stop().await;
}

fn drained(node: &Node) -> Node {
    Node { rotation: Rotation::Drained, ..node.clone() }
}

fn duty(server: &Server, node: &Node) -> Duty {
    server.board.standing(&node.id).expect("a node on the board").duty
}

#[tokio::test(start_paused = true)]
async fn drained_node_is_told_and_not_waited_for() {
    let (stays, leaves) = (node("stays"), node("leaves"));
    let mut world = World::new(vec![stays.clone(), leaves.clone()], 1);
    let mut server = world.start().await;
    world.cache(&leaves.id).down(Unreachable::Timeout);
    server.purge(&["/1"]).await;
    server.settled(&stays).await;
    assert_eq!(statuses(&server).await, [ItemStatus::Process]);
    world.change(&mut server, vec![stays.clone(), drained(&leaves)], &Bare).await;
    assert_eq!(statuses(&server).await, [ItemStatus::Done]);

    world.cache(&leaves.id).up();
    server.settled(&leaves).await;
    assert_eq!((duty(&server, &leaves), world.store.all_receipts().len()), (Duty::Drained, 2));
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn node_that_returns_undoes_nothing_that_was_done_and_holds_what_comes_then() {
    let (stays, leaves) = (node("stays"), node("leaves"));
    let mut world = World::new(vec![stays.clone(), leaves.clone()], 1);
    let mut server = world.start().await;
    world.change(&mut server, vec![stays.clone(), drained(&leaves)], &Bare).await;
    world.cache(&leaves.id).down(Unreachable::Timeout);
    server.purge(&["/1", "/2"]).await;
    server.settled(&stays).await;

    world.change(&mut server, vec![stays.clone(), leaves.clone()], &Bare).await;
    server.purge(&["/3"]).await;
    server.settled(&stays).await;
    let shown = [ItemStatus::Process, ItemStatus::Done, ItemStatus::Done];
    assert_eq!((statuses(&server).await, duty(&server, &leaves)), (shown.to_vec(), Duty::Returning));

    // Nor does a restart in between, nor a crash.
    server.crash().await;
    let server = world.start().await;
    let (now, first) = (statuses(&server).await, ItemStatus::Done);
    assert_eq!((&now[1..], duty(&server, &leaves)), (&[first, first][..], Duty::Returning));
    world.cache(&leaves.id).up();
    server.settled(&leaves).await;
    counts(&server, &leaves, Duration::from_secs(60)).await;
    assert_eq!(statuses(&server).await, [ItemStatus::Done; 3]);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn edge_never_passes_its_shield_even_if_that_is_drained() {
    let (s, e) = (shield("s"), behind("e", "s"));
    let world = World::new(vec![drained(&s), e.clone()], 1);
    let server = world.start().await;
    world.cache(&s.id).down(Unreachable::Timeout);
    server.purge(&["/1"]).await;
    sleep(Duration::from_secs(60)).await;
    assert_eq!((settled(&server, &e), statuses(&server).await), (Seq::ZERO, vec![ItemStatus::Process]));
    world.cache(&s.id).up();
    server.settled(&e).await;
    assert_eq!(statuses(&server).await, [ItemStatus::Done]);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn area_whose_nodes_are_all_drained_is_done_and_the_first_that_returns_undoes_nothing() {
    let n = node("n");
    let mut world = World::new(vec![n.clone()], 1);
    let mut server = world.start().await;
    world.change(&mut server, vec![drained(&n)], &Bare).await;
    world.cache(&n.id).down(Unreachable::Timeout);
    server.purge(&["/1"]).await;
    assert_eq!(statuses(&server).await, [ItemStatus::Done]);
    world.change(&mut server, vec![n.clone()], &Bare).await;
    server.purge(&["/2"]).await;
    assert_eq!(statuses(&server).await, [ItemStatus::Process, ItemStatus::Done]);
    world.cache(&n.id).up();
    server.settled(&n).await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!((statuses(&server).await, duty(&server, &n)), (vec![ItemStatus::Done; 2], Duty::Counts));
    server.stop().await;
}

/// Its first cursor can be above the watermark that is shown, while that stands still for a node that returns.
#[tokio::test(start_paused = true)]
async fn node_that_is_added_while_another_returns_waits_for_what_the_slowest_that_counts_has_to_settle() {
    let (slowest, returns, new) = (node("slowest"), node("returns"), node("new"));
    // The new one's cache is there already, and cannot be told.
    let mut world = World::new(vec![slowest.clone(), returns.clone(), new.clone()], 1);
    world.cache(&new.id).down(Unreachable::Timeout);
    world.nodes.pop();
    let mut server = world.start().await;
    world.change(&mut server, vec![slowest.clone(), drained(&returns)], &Bare).await;
    world.cache(&returns.id).down(Unreachable::Timeout);
    server.purge(&["/1"]).await;
    server.settled(&slowest).await;
    world.change(&mut server, vec![slowest.clone(), returns.clone()], &Bare).await;
    server.purge(&["/2"]).await;
    server.settled(&slowest).await;
    let shown = server.board.watermark(Area::Mainland);

    let all = vec![slowest.clone(), returns.clone(), new.clone()];
    world.change(&mut server, all, &Bare).await;
    sleep(Duration::from_secs(1)).await;
    let standing = server.board.standing(&new.id).expect("a node on the board");
    assert_eq!((shown, standing.settled), (Seq(1), Seq(2)), "where the slowest is that counts");
    assert_eq!(standing.duty, Duty::Counts);
    world.cache(&returns.id).up();
    server.settled(&returns).await;
    counts(&server, &returns, DAY).await;
    server.purge(&["/3"]).await;
    server.settled(&slowest).await;
    let shown = [ItemStatus::Process, ItemStatus::Done, ItemStatus::Done];
    assert_eq!(statuses(&server).await, shown, "it waits for what comes, and for nothing that all others have");
    world.cache(&new.id).up();
    server.settled(&new).await;
    assert_eq!(statuses(&server).await, [ItemStatus::Done; 3]);
    server.stop().await;
}

/// A node that refuses directories, and forgets everything or not.
fn without_directories(everything: Act) -> impl FnMut(Told<'_>) -> Act {
    move |told| match told {
        Told::Invalidation(one) if matches!(*one.target, Target::Prefix(_)) => {
            Act::says(Outcome::Refused(Refusal::Unsupported))
        }
        Told::Invalidation(_) => Act::applied(),
        Told::Everything(_) => everything.clone(),
    }
}

/// Waits until a node counts.
async fn counts(server: &Server, node: &Node, within: Duration) {
    let mut standing = server.board.watch(&node.id).expect("a node on the board");
    let counts = standing.wait_for(|standing| standing.duty == Duty::Counts);
    tokio::time::timeout(within, counts).await.expect("it counts").expect("it stays");
}

fn has_forgotten_everything(world: &World, node: &Node) -> bool {
    world.cache(&node.id).forgotten().iter().any(|it| *it.target == Target::Everything)
}

#[tokio::test(start_paused = true)]
async fn directory_that_was_done_without_a_node_stays_done_and_the_node_forgets_everything_before_it_counts() {
    // Told while it is drained, or only once it returns.
    for away in [false, true] {
        let n = node("n");
        let mut world = World::new(vec![n.clone()], 1);
        world.cache(&n.id).follow(without_directories(Act::applied()));
        let mut server = world.start().await;
        world.change(&mut server, vec![drained(&n)], &Bare).await;
        if away {
            world.cache(&n.id).down(Unreachable::Timeout);
        }
        purge_below(&server, "/d/").await;
        server.purge(&["/1"]).await;
        sleep(Duration::from_secs(60)).await;
        assert_eq!(statuses(&server).await, [ItemStatus::Done; 2]);
        world.cache(&n.id).follow(without_directories(Act::applied()));
        world.change(&mut server, vec![n.clone()], &Bare).await;
        counts(&server, &n, DAY).await;
        assert!(has_forgotten_everything(&world, &n), "it would serve what was below the directory");
        assert_eq!(statuses(&server).await, [ItemStatus::Done; 2], "done stays done");

        // From now on it is waited for, and its refusal is told.
        purge_below(&server, "/d/").await;
        server.settled(&n).await;
        assert_eq!(statuses(&server).await[0], ItemStatus::Fail);
        server.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn directory_that_is_accepted_while_a_node_returns_that_cannot_do_it_fails_by_its_name() {
    let (n, other) = (node("n"), node("other"));
    let mut world = World::new(vec![n.clone(), other.clone()], 1);
    let mut server = world.start().await;
    world.change(&mut server, vec![drained(&n), other.clone()], &Bare).await;
    world.cache(&n.id).down(Unreachable::Timeout);
    server.purge(&["/1"]).await;
    server.settled(&other).await;
    world.change(&mut server, vec![n.clone(), other.clone()], &Bare).await;
    purge_below(&server, "/d/").await;
    server.settled(&other).await;
    assert_eq!(statuses(&server).await, [ItemStatus::Process, ItemStatus::Done]);
    world.cache(&n.id).follow(without_directories(Act::applied()));
    counts(&server, &n, DAY).await;
    server.settled(&n).await;
    assert_eq!(statuses(&server).await, [ItemStatus::Fail, ItemStatus::Done]);
    server.stop().await;
}

#[tokio::test(start_paused = true)]
async fn node_that_can_neither_do_directories_nor_forget_everything_returns_once_it_was_emptied() {
    let n = node("n");
    let mut world = World::new(vec![n.clone()], 1);
    let cannot = || without_directories(Act::says(Outcome::Refused(Refusal::Unsupported)));
    world.cache(&n.id).follow(cannot());
    let mut server = world.start().await;
    world.change(&mut server, vec![drained(&n)], &Bare).await;
    purge_below(&server, "/d/").await;
    assert_eq!(statuses(&server).await, [ItemStatus::Done]);
    world.change(&mut server, vec![n.clone()], &Bare).await;
    server.purge(&["/1"]).await;
    sleep(Duration::from_secs(3_600)).await;
    assert_eq!(duty(&server, &n), Duty::Returning, "it may hold what was below the directory");
    assert_eq!(statuses(&server).await[1], ItemStatus::Done, "done stays done");

    world.change(&mut server, Vec::new(), &Bare).await;
    world.change(&mut server, vec![Node { join: Join::Empty, ..n.clone() }], &Bare).await;
    assert_eq!((duty(&server, &n), statuses(&server).await), (Duty::Counts, vec![ItemStatus::Done; 2]));
    server.purge(&["/2"]).await;
    server.settled(&n).await;
    assert_eq!(statuses(&server).await, [ItemStatus::Done; 3]);
    server.stop().await;
}

/// The world with a store that takes [`SLOW`] to keep a receipt.
struct SlowToKeep(Watch);

impl Wrap for SlowToKeep {
    fn store(&self, world: &World) -> Arc<dyn Store> {
        self.0.unchecked_store(world)
    }
}

#[tokio::test(start_paused = true)]
async fn refusal_that_is_being_kept_while_its_node_is_drained_undoes_nothing() {
    let (n, other) = (node("n"), node("other"));
    let world = World::new(vec![n.clone(), other.clone()], 1);
    let half = SLOW / 2;
    world.cache(&n.id).follow(move |_| Act::says(Outcome::Refused(Refusal::Unsupported)).after(half));
    let faults = Faults { slow: 100, ..Faults::default() };
    let server = world.start_with(&SlowToKeep(Watch::new(faults, Chance::new(1)))).await;
    purge_below(&server, "/d/").await;
    // The other's receipt is kept at the end of `SLOW`, its own half of that later: it is on its way.
    sleep(half + Duration::from_secs(1)).await;
    let held = server.board.hold();
    let nodes = [drained(&n), other.clone()].map(Arc::new);
    let cursors = world.store.cursors(&nodes).await.expect("memory never fails");
    server.board.bring(&held, &nodes, cursors);
    drop(held);
    let mut was_done = false;
    for _ in 0..100 {
        sleep(half / 25).await;
        let now = statuses(&server).await;
        assert!(now == [ItemStatus::Done] || !was_done, "it was done and is {now:?}");
        was_done = now == [ItemStatus::Done];
    }
    assert_eq!(statuses(&server).await, [ItemStatus::Fail], "it was waited for when it refused");
    server.crash().await;
}

#[tokio::test(start_paused = true)]
async fn node_that_was_taken_out_forgets_everything_before_it_counts_again() {
    let (stays, goes) = (node("stays"), node("goes"));
    let mut world = World::new(vec![stays.clone(), goes.clone()], 1);
    let mut server = world.start().await;
    server.purge(&["/1"]).await;
    for one in [&stays, &goes] {
        server.settled(one).await;
    }
    world.change(&mut server, vec![stays.clone()], &Bare).await;
    assert_eq!(server.board.standing(&goes.id), None);
    server.purge(&["/2"]).await;
    server.settled(&stays).await;
    assert_eq!(statuses(&server).await[0], ItemStatus::Done, "nobody waits for what is gone");

    world.cache(&goes.id).down(Unreachable::Timeout);
    world.change(&mut server, vec![stays.clone(), goes.clone()], &Bare).await;
    server.purge(&["/3"]).await;
    server.settled(&stays).await;
    let shown = [ItemStatus::Process, ItemStatus::Done, ItemStatus::Done];
    assert_eq!(statuses(&server).await, shown, "what was done stays done, and it is waited for");
    world.cache(&goes.id).up();
    server.settled(&goes).await;
    let everything = |it: &catharsis_testkit::fake_cache::Forgotten| matches!(*it.target, Target::Everything);
    let forgotten = world.cache(&goes.id).forgotten();
    assert!(forgotten.iter().any(everything), "{forgotten:?}");
    assert_eq!(statuses(&server).await, [ItemStatus::Done; 3]);
    server.stop().await;
}
