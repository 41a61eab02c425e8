//! Tests of the fence: every interleaving of a fetch and a purge, and chance against a naive model.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use proptest::prelude::*;

use super::*;

const A: UrlKey = UrlKey(1);
const B: UrlKey = UrlKey(2);

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

fn verdict(fence: &Fence, url: UrlKey, stamp: Stamp) -> Verdict {
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
fn old_content_is_used(fence: &Fence, order: [Step; 4]) -> bool {
    let (mut origin, mut purged) = (1, 0);
    let mut under_way = None;
    let mut stored = None;
    let mut used_old = false;
    for step in order {
        match step {
            Step::FetchBegins => under_way = Some((fence.stamp(), origin)),
            Step::Purge => {
                origin = 2;
                purge(fence, "l", 1, Scope::Url(A), Mode::Delete);
                purged = 2;
            }
            Step::FetchEnds => stored = under_way.take(),
            Step::Request => {
                // A request looks at what is stored and at what is under way.
                for (stamp, content) in [stored, under_way].into_iter().flatten() {
                    if verdict(fence, A, stamp) == Verdict::Keep && content < purged {
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
        assert!(!old_content_is_used(&fence(10), order), "{order:?}");
    }
}

#[test]
fn interleaving_test_catches_a_blind_fence() {
    let caught = interleavings()
        .into_iter()
        .filter(|order| old_content_is_used(&Fence::blind(NonZeroUsize::MIN), *order))
        .count();
    // begins, purge, request (two places for the end), and begins, ends, purge, request.
    assert_eq!(caught, 3);
}

#[test]
fn delete_refuses_expire_revalidates_and_neither_touches_other_urls() {
    let fence = fence(10);
    let old = fence.stamp();
    purge(&fence, "l", 1, Scope::Url(A), Mode::Expire);
    assert_eq!(verdict(&fence, A, old), Verdict::Expire);
    purge(&fence, "l", 2, Scope::Url(A), Mode::Delete);
    purge(&fence, "l", 3, Scope::Url(A), Mode::Expire);
    assert_eq!(verdict(&fence, A, old), Verdict::Refuse);
    assert_eq!(verdict(&fence, A, fence.stamp()), Verdict::Keep);
    assert_eq!(verdict(&fence, B, old), Verdict::Keep);
    purge(&fence, "l", 4, Scope::Everything, Mode::Delete);
    assert_eq!(verdict(&fence, B, old), Verdict::Refuse);
    assert_eq!(fence.status().marks, 0, "marks that everything implies are dropped");
}

#[test]
fn replay_touches_no_newer_copy() {
    let fence = fence(10);
    purge(&fence, "l", 5, Scope::Url(A), Mode::Delete);
    let newer = fence.stamp();
    for seq in [5, 3] {
        let applied = purge(&fence, "l", seq, Scope::Url(A), Mode::Delete);
        assert_eq!(applied.position, Seq(5));
        assert_eq!(verdict(&fence, A, newer), Verdict::Keep);
    }
}

#[test]
fn another_log_refuses_all_that_is_held_or_under_way_whatever_its_positions() {
    let fence = fence(10);
    purge(&fence, "old", 900, Scope::Url(B), Mode::Delete);
    let held = fence.stamp();
    let applied = fence.apply(&log("new"), Seq(3), &[]).unwrap();
    assert!(applied.log_began.is_some());
    assert_eq!(applied.position, Seq(3));
    assert_eq!(verdict(&fence, A, held), Verdict::Refuse);
    let newer = fence.stamp();
    assert_eq!(verdict(&fence, A, newer), Verdict::Keep);
    purge(&fence, "new", 4, Scope::Url(A), Mode::Delete);
    assert_eq!(verdict(&fence, A, newer), Verdict::Refuse);
}

#[test]
fn first_log_keeps_what_it_does_not_name() {
    let fence = fence(10);
    let held = fence.stamp();
    let applied = purge(&fence, "l", 500, Scope::Url(A), Mode::Delete);
    assert_eq!(applied.log_began, None);
    assert_eq!(verdict(&fence, A, held), Verdict::Refuse);
    assert_eq!(verdict(&fence, B, held), Verdict::Keep);
}

#[test]
fn full_marks_refuse_too_much_never_too_little() {
    let fence = fence(2);
    let held = fence.stamp();
    for seq in 1..=3 {
        purge(&fence, "l", seq, Scope::Url(UrlKey(u128::from(seq))), Mode::Delete);
    }
    assert_eq!(fence.status().marks, 2);
    assert_eq!(verdict(&fence, UrlKey(1), held), Verdict::Refuse);
    assert_eq!(verdict(&fence, UrlKey(9), held), Verdict::Refuse, "below the floor");
    assert_eq!(verdict(&fence, UrlKey(9), Stamp(1)), Verdict::Keep);
}

#[test]
fn copy_found_good_is_found_purged_afterwards() {
    let fence = fence(10);
    let (stamp, seen) = (fence.stamp(), Seen::default());
    assert_eq!(fence.verdict(A, stamp, &seen), Verdict::Keep);
    purge(&fence, "l", 1, Scope::Url(B), Mode::Delete);
    assert_eq!(fence.verdict(A, stamp, &seen), Verdict::Keep);
    purge(&fence, "l", 2, Scope::Url(A), Mode::Delete);
    assert_eq!(fence.verdict(A, stamp, &seen), Verdict::Refuse);
}

#[test]
fn order_that_does_not_fit_the_line_changes_nothing() {
    let fence = fence(10);
    purge(&fence, "l", 1, Scope::Url(A), Mode::Delete);
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
                purge(&fence, "l", seq, Scope::Url(B), Mode::Delete);
            }
            purge(&fence, "l", 2_001, Scope::Url(A), Mode::Delete);
            // Acknowledged: from here on no look may pass, whatever the other thread noted.
            assert_eq!(fence.verdict(A, stamp, &seen), Verdict::Refuse);
        });
        scope.spawn(|| while fence.verdict(A, stamp, &seen) == Verdict::Keep {});
    });
    assert_eq!(fence.verdict(A, stamp, &seen), Verdict::Refuse);
}

#[derive(Clone, Debug)]
enum Op {
    Fetch,
    Purge(u8, Option<u8>, Mode),
    Replay(u8, Option<u8>, Mode),
    ChangeLog,
}

fn op() -> impl Strategy<Value = Op> {
    let mode = || prop_oneof![Just(Mode::Delete), Just(Mode::Expire)];
    let url = || prop::option::weighted(0.9, 0..4u8);
    prop_oneof![
        4 => Just(Op::Fetch),
        4 => (0..3u8, url(), mode()).prop_map(|(gap, url, mode)| Op::Purge(gap, url, mode)),
        2 => (0..20u8, url(), mode()).prop_map(|(back, url, mode)| Op::Replay(back, url, mode)),
        1 => Just(Op::ChangeLog),
    ]
}

/// The fence without any cleverness: all purges for ever, all compared.
#[derive(Default)]
struct Model {
    log: u64,
    position: u64,
    purges: Vec<(u64, u64, Option<u8>, Mode)>,
}

impl Model {
    fn verdict(&self, url: u8, (log, position): (u64, u64)) -> Verdict {
        if log < self.log {
            return Verdict::Refuse;
        }
        let concerned = |wanted: Mode| {
            self.purges.iter().any(|(at, seq, named, mode)| {
                *at == log && *seq > position && *mode == wanted && named.is_none_or(|it| it == url)
            })
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
                    copies.extend((0..4u8).map(|url| (url, fence.stamp(), begun, Seen::default())));
                }
                Op::Purge(gap, url, mode) => {
                    model.position += 1 + u64::from(gap);
                    let scope = url.map_or(Scope::Everything, |it| Scope::Url(UrlKey(it.into())));
                    purge(&fence, &format!("l{}", model.log), model.position, scope, mode);
                    model.purges.push((model.log, model.position, url, mode));
                }
                Op::Replay(back, url, mode) => {
                    let seq = model.position.saturating_sub(back.into());
                    if seq == 0 { continue; }
                    let scope = url.map_or(Scope::Everything, |it| Scope::Url(UrlKey(it.into())));
                    purge(&fence, &format!("l{}", model.log), seq, scope, mode);
                    model.purges.push((model.log, seq, url, mode));
                }
                Op::ChangeLog => {
                    model.log += 1;
                    model.position = 0;
                    let changed = fence.apply(&log(&format!("l{}", model.log)), Seq::ZERO, &[]).unwrap();
                    if changed.log_began.is_none() {
                        // The very first log is adopted: nothing was comparable before it.
                        model.log = 1;
                        for (_, _, begun, _) in &mut copies { *begun = (1, 0); }
                    }
                }
            }
            for (url, stamp, begun, seen) in &copies {
                let expect = model.verdict(*url, *begun);
                let got = fence.verdict(UrlKey((*url).into()), *stamp, seen);
                if max == 100 {
                    prop_assert_eq!(got, expect);
                } else {
                    prop_assert!(strictness(got) >= strictness(expect));
                }
            }
        }
    }
}
