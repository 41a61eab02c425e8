//! Tests of the fence: every interleaving of a fetch and a purge, and chance against a naive model.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::sync::LazyLock;

use proptest::prelude::*;

use catharsis_core::target::prefix_covers;

use super::*;
use crate::key::{Hasher, KeySite, Keyed};

static HASHER: LazyLock<Hasher> = LazyLock::new(Hasher::default);
static HOST: LazyLock<KeySite> = LazyLock::new(|| KeySite::shared("a.test"));
static A: LazyLock<RequestUrl> = LazyLock::new(|| url("/dir/a"));
static B: LazyLock<RequestUrl> = LazyLock::new(|| url("/b"));

fn url(path: &str) -> RequestUrl {
    HASHER.request(HOST.clone(), path.as_bytes(), Keyed(0), Keyed(0))
}

fn one(path: &str) -> Scope {
    Scope::Url(HASHER.url(&HOST, path.as_bytes()))
}

fn below(path: &str) -> Scope {
    Scope::Prefix(HASHER.prefix(&HOST, path.as_bytes()))
}

fn fence(max: usize) -> Fence {
    Fence::new(NonZeroUsize::new(max).unwrap())
}

fn log(name: &str) -> LogId {
    LogId::new(name).unwrap()
}

fn purge(fence: &Fence, log_name: &str, seq: u64, scope: Scope, mode: Mode) -> Applied {
    let purge = Purge { seq: Seq(seq), scope, mode };
    fence.apply(&log(log_name), Seq(seq), &[purge]).unwrap()
}

fn verdict(fence: &Fence, url: &RequestUrl, stamp: Stamp) -> Verdict {
    fence.verdict(url, stamp, &Seen::default())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    FetchBegins,
    Purge,
    FetchEnds,
    Request,
}

/// All orders in which a fetch begins before it ends.
fn interleavings() -> Vec<[Step; 4]> {
    use Step::{FetchBegins, FetchEnds, Purge, Request};
    let steps = [FetchBegins, Purge, FetchEnds, Request];
    let mut all = Vec::new();
    for a in steps {
        for b in steps {
            for c in steps {
                for d in steps {
                    let order = [a, b, c, d];
                    let at = |step| order.iter().position(|it| *it == step);
                    if steps.iter().all(|step| at(*step).is_some()) && at(FetchBegins) < at(FetchEnds) {
                        all.push(order);
                    }
                }
            }
        }
    }
    all
}

/// Runs an order; says whether a request got content from before a purge that preceded it.
fn old_content_is_used(fence: &Fence, order: [Step; 4], scope: Scope) -> bool {
    let (mut origin, mut purged) = (1, 0);
    let mut under_way = None;
    let mut stored = None;
    let mut used_old = false;
    for step in order {
        match step {
            Step::FetchBegins => under_way = Some((fence.stamp(), origin)),
            Step::Purge => {
                origin = 2;
                purge(fence, "l", 1, scope, Mode::Delete);
                purged = 2;
            }
            Step::FetchEnds => stored = under_way.take(),
            Step::Request => {
                // A request looks at what is stored and at what is under way.
                for (stamp, content) in [stored, under_way].into_iter().flatten() {
                    if verdict(fence, &A, stamp) == Verdict::Keep && content < purged {
                        used_old = true;
                    }
                }
            }
        }
    }
    used_old
}

#[test]
fn no_interleaving_of_a_fetch_and_a_purge_uses_old_content() {
    let all = interleavings();
    assert_eq!(all.len(), 12);
    for order in all {
        for scope in [one("/dir/a"), below("/dir/"), below("/dir"), below("/"), Scope::Everything] {
            assert!(!old_content_is_used(&fence(10), order, scope), "{order:?} {scope:?}");
        }
    }
}

#[test]
fn interleaving_test_catches_a_blind_fence() {
    for scope in [one("/dir/a"), below("/dir/")] {
        let caught = interleavings()
            .into_iter()
            .filter(|order| old_content_is_used(&Fence::blind(NonZeroUsize::MIN), *order, scope))
            .count();
        // begins, purge, request (two places for the end), and begins, ends, purge, request.
        assert_eq!(caught, 3);
    }
}

#[test]
fn delete_refuses_expire_revalidates_and_neither_touches_other_urls() {
    let fence = fence(10);
    let old = fence.stamp();
    purge(&fence, "l", 1, one("/dir/a"), Mode::Expire);
    assert_eq!(verdict(&fence, &A, old), Verdict::Expire);
    purge(&fence, "l", 2, one("/dir/a"), Mode::Delete);
    purge(&fence, "l", 3, one("/dir/a"), Mode::Expire);
    assert_eq!(verdict(&fence, &A, old), Verdict::Refuse);
    assert_eq!(verdict(&fence, &A, fence.stamp()), Verdict::Keep);
    assert_eq!(verdict(&fence, &B, old), Verdict::Keep);
    purge(&fence, "l", 4, Scope::Everything, Mode::Delete);
    assert_eq!(verdict(&fence, &B, old), Verdict::Refuse);
    assert_eq!(fence.status().marks, 0, "marks that everything implies are dropped");
}

#[test]
fn purge_of_a_directory_names_what_lies_below_it_on_its_host() {
    let fence = fence(10);
    let old = fence.stamp();
    purge(&fence, "l", 1, below("/img"), Mode::Expire);
    purge(&fence, "l", 2, below("/img/new/"), Mode::Delete);
    for (path, expect) in [
        ("/img", Verdict::Expire),
        ("/img?q", Verdict::Expire),
        ("/img/x", Verdict::Expire),
        ("/img/new", Verdict::Expire),
        ("/img/new/x?q", Verdict::Refuse),
        ("/img2/x", Verdict::Keep),
        ("/IMG/x", Verdict::Keep),
        ("/?/img/new/x", Verdict::Keep),
    ] {
        assert_eq!(verdict(&fence, &url(path), old), expect, "{path}");
        assert_eq!(verdict(&fence, &url(path), fence.stamp()), Verdict::Keep, "{path}");
    }
    let elsewhere = HASHER.request(KeySite::shared("b.test"), b"/img/new/x", Keyed(0), Keyed(0));
    assert_eq!(verdict(&fence, &elsewhere, old), Verdict::Keep);
    assert_eq!(fence.newest(&url("/img/new/x")), Stamp(2));
    assert_eq!(fence.newest(&url("/img2")), Stamp::OLDEST);
}

#[test]
fn directories_that_are_forgotten_leave_nothing_behind() {
    let fence = fence(2);
    let held = fence.stamp();
    purge(&fence, "l", 1, below("/img/"), Mode::Delete);
    purge(&fence, "l", 2, below("/js/"), Mode::Delete);
    purge(&fence, "l", 3, one("/b"), Mode::Delete);
    assert_eq!(verdict(&fence, &url("/img/x"), held), Verdict::Refuse, "below the floor");
    let later = Stamp(1);
    assert_eq!(verdict(&fence, &url("/img/x"), later), Verdict::Keep);
    assert_eq!(verdict(&fence, &url("/js/x"), later), Verdict::Refuse);
    purge(&fence, "l", 4, Scope::Everything, Mode::Delete);
    let marks = fence.read();
    assert!(marks.named.is_empty() && marks.directories.is_empty() && marks.hosts.is_empty(), "{marks:?}");
}

#[test]
fn replay_touches_no_newer_copy() {
    let fence = fence(10);
    purge(&fence, "l", 5, one("/dir/a"), Mode::Delete);
    let newer = fence.stamp();
    for seq in [5, 3] {
        let applied = purge(&fence, "l", seq, one("/dir/a"), Mode::Delete);
        assert_eq!(applied.position, Seq(5));
        assert_eq!(verdict(&fence, &A, newer), Verdict::Keep);
    }
}

#[test]
fn another_log_refuses_all_that_is_held_or_under_way_whatever_its_positions() {
    let fence = fence(10);
    purge(&fence, "old", 900, one("/b"), Mode::Delete);
    let held = fence.stamp();
    let applied = fence.apply(&log("new"), Seq(3), &[]).unwrap();
    assert!(applied.log_began.is_some());
    assert_eq!(applied.position, Seq(3));
    assert_eq!(verdict(&fence, &A, held), Verdict::Refuse);
    let newer = fence.stamp();
    assert_eq!(verdict(&fence, &A, newer), Verdict::Keep);
    purge(&fence, "new", 4, one("/dir/a"), Mode::Delete);
    assert_eq!(verdict(&fence, &A, newer), Verdict::Refuse);
}

#[test]
fn first_log_keeps_what_it_does_not_name() {
    let fence = fence(10);
    let held = fence.stamp();
    let applied = purge(&fence, "l", 500, one("/dir/a"), Mode::Delete);
    assert_eq!(applied.log_began, None);
    assert_eq!(verdict(&fence, &A, held), Verdict::Refuse);
    assert_eq!(verdict(&fence, &B, held), Verdict::Keep);
}

#[test]
fn full_marks_refuse_too_much_never_too_little() {
    let fence = fence(2);
    let held = fence.stamp();
    for seq in 1..=3 {
        purge(&fence, "l", seq, one(&format!("/{seq}")), Mode::Delete);
    }
    assert_eq!(fence.status().marks, 2);
    assert_eq!(verdict(&fence, &url("/1"), held), Verdict::Refuse);
    assert_eq!(verdict(&fence, &url("/9"), held), Verdict::Refuse, "below the floor");
    assert_eq!(verdict(&fence, &url("/9"), Stamp(1)), Verdict::Keep);
}

#[test]
fn copy_found_good_is_found_purged_afterwards() {
    let fence = fence(10);
    let (stamp, seen) = (fence.stamp(), Seen::default());
    assert_eq!(fence.verdict(&A, stamp, &seen), Verdict::Keep);
    purge(&fence, "l", 1, one("/b"), Mode::Delete);
    assert_eq!(fence.verdict(&A, stamp, &seen), Verdict::Keep);
    purge(&fence, "l", 2, one("/dir/a"), Mode::Delete);
    assert_eq!(fence.verdict(&A, stamp, &seen), Verdict::Refuse);
}

#[test]
fn order_that_does_not_fit_the_line_changes_nothing() {
    let fence = fence(10);
    purge(&fence, "l", 1, one("/dir/a"), Mode::Delete);
    fence.apply(&log("l"), Seq(u64::MAX - 1), &[]).unwrap();
    let before = fence.status();
    assert_eq!(fence.apply(&log("m"), Seq(5), &[]), Err(Exhausted));
    assert_eq!(fence.status(), before);
}

#[test]
fn threads_that_apply_and_look_never_use_a_purged_copy() {
    let fence = fence(1_000);
    let stamp = fence.stamp();
    let seen = Seen::default();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for seq in 1..=2_000 {
                purge(&fence, "l", seq, one("/b"), Mode::Delete);
            }
            purge(&fence, "l", 2_001, one("/dir/a"), Mode::Delete);
            // Acknowledged: from here on no look may pass, whatever the other thread noted.
            assert_eq!(fence.verdict(&A, stamp, &seen), Verdict::Refuse);
        });
        scope.spawn(|| while fence.verdict(&A, stamp, &seen) == Verdict::Keep {});
    });
    assert_eq!(fence.verdict(&A, stamp, &seen), Verdict::Refuse);
}

const URLS: [&str; 5] = ["/dir/a", "/dir/b?q", "/dir", "/dir2/a", "/"];
const DIRECTORIES: [&str; 4] = ["/dir", "/dir/", "/", "/dir2/a"];

#[derive(Clone, Copy, Debug)]
enum Names {
    Url(&'static str),
    Below(&'static str),
    Everything,
}

impl Names {
    fn scope(self) -> Scope {
        match self {
            Self::Url(path) => one(path),
            Self::Below(path) => below(path),
            Self::Everything => Scope::Everything,
        }
    }

    fn concerns(self, url: &str) -> bool {
        match self {
            Self::Url(path) => path == url,
            Self::Below(path) => prefix_covers(path, url),
            Self::Everything => true,
        }
    }
}

#[derive(Clone, Debug)]
enum Op {
    Fetch,
    Purge(u8, Names, Mode),
    Replay(u8, Names, Mode),
    ChangeLog,
}

fn op() -> impl Strategy<Value = Op> {
    let mode = || prop_oneof![Just(Mode::Delete), Just(Mode::Expire)];
    let names = || {
        prop_oneof![
            5 => prop::sample::select(&URLS[..]).prop_map(Names::Url),
            4 => prop::sample::select(&DIRECTORIES[..]).prop_map(Names::Below),
            1 => Just(Names::Everything),
        ]
    };
    prop_oneof![
        4 => Just(Op::Fetch),
        4 => (0..3u8, names(), mode()).prop_map(|(gap, names, mode)| Op::Purge(gap, names, mode)),
        2 => (0..20u8, names(), mode()).prop_map(|(back, names, mode)| Op::Replay(back, names, mode)),
        1 => Just(Op::ChangeLog),
    ]
}

/// The fence without any cleverness: all purges for ever, all compared.
#[derive(Default)]
struct Model {
    log: u64,
    position: u64,
    purges: Vec<(u64, u64, Names, Mode)>,
}

impl Model {
    fn verdict(&self, url: &str, (log, position): (u64, u64)) -> Verdict {
        if log < self.log {
            return Verdict::Refuse;
        }
        let concerned = |wanted: Mode| {
            self.purges
                .iter()
                .any(|(at, seq, named, mode)| *at == log && *seq > position && *mode == wanted && named.concerns(url))
        };
        if concerned(Mode::Delete) {
            Verdict::Refuse
        } else if concerned(Mode::Expire) {
            Verdict::Expire
        } else {
            Verdict::Keep
        }
    }
}

fn strictness(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Keep => 0,
        Verdict::Expire => 1,
        Verdict::Refuse => 2,
    }
}

proptest! {
    #[test]
    fn fence_agrees_with_a_naive_model(ops in prop::collection::vec(op(), 1..60), max in prop_oneof![Just(1_usize), Just(2), Just(100)]) {
        let fence = fence(max);
        let mut model = Model::default();
        let mut copies = Vec::new();
        for op in ops {
            match op {
                Op::Fetch => {
                    let begun = (model.log, model.position);
                    copies.extend(URLS.map(|path| (path, url(path), fence.stamp(), begun, Seen::default())));
                }
                Op::Purge(gap, names, mode) => {
                    model.position += 1 + u64::from(gap);
                    purge(&fence, &format!("l{}", model.log), model.position, names.scope(), mode);
                    model.purges.push((model.log, model.position, names, mode));
                }
                Op::Replay(back, names, mode) => {
                    let seq = model.position.saturating_sub(back.into());
                    if seq == 0 { continue; }
                    purge(&fence, &format!("l{}", model.log), seq, names.scope(), mode);
                    model.purges.push((model.log, seq, names, mode));
                }
                Op::ChangeLog => {
                    model.log += 1;
                    model.position = 0;
                    let changed = fence.apply(&log(&format!("l{}", model.log)), Seq::ZERO, &[]).unwrap();
                    if changed.log_began.is_none() {
                        // The very first log is adopted: nothing was comparable before it.
                        model.log = 1;
                        for (_, _, _, begun, _) in &mut copies { *begun = (1, 0); }
                    }
                }
            }
            for (path, url, stamp, begun, seen) in &copies {
                let expect = model.verdict(path, *begun);
                let got = fence.verdict(url, *stamp, seen);
                if max == 100 {
                    prop_assert_eq!(got, expect);
                } else {
                    prop_assert!(strictness(got) >= strictness(expect));
                }
            }
        }
    }
}
