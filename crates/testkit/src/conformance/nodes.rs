//! Rules for nodes: cursors and receipts.

use std::collections::HashSet;
use std::sync::Arc;

use catharsis_core::area::Area;
use catharsis_core::clock::UnixMillis;
use catharsis_core::duty::Duty;
use catharsis_core::invalidation::Seq;
use catharsis_core::ports::Membership;
use catharsis_core::receipt::{Receipt, Settled};
use catharsis_core::topology::{Node, Rotation};

use super::{Fixture, MAINLAND, Pair, cursor, receipt, submit};
use crate::plans::{behind, name, node, node as node_of, plan, shield as shield_of};

/// Where a node begins is decided once.
///
/// # Panics
/// When it is not.
pub async fn new_node_begins_at_the_head_and_must_join_unless_the_log_is_empty(fixture: &mut dyn Fixture) {
    let pair = fixture.open().await;
    let (early, late) = (node("early"), node("late"));
    assert_eq!(cursor(&pair, &early).await, (Seq(0), Membership::Member));
    submit(&pair, plan(1, &["http://a.test/1"], MAINLAND)).await;
    assert_eq!(cursor(&pair, &late).await, (Seq(1), Membership::Joining));
    submit(&pair, plan(2, &["http://a.test/2"], MAINLAND)).await;
    assert_eq!(cursor(&pair, &early).await, (Seq(0), Membership::Member));
    assert_eq!(cursor(&pair, &late).await, (Seq(1), Membership::Joining));
    let elsewhere = Node { area: Area::Overseas, ..late };
    assert_eq!(cursor(&pair, &elsewhere).await, (Seq(0), Membership::Member));
}

/// What is not yet done waits for a new node too, and what is done stays done.
///
/// # Panics
/// When it does not.
pub async fn new_node_begins_where_the_slowest_of_its_area_is(fixture: &mut dyn Fixture) {
    let pair = fixture.open().await;
    let (fast, slow) = (node("fast"), node("slow"));
    for one in [&fast, &slow] {
        cursor(&pair, one).await;
    }
    submit(&pair, plan(1, &["http://a.test/1", "http://a.test/2", "http://a.test/3"], MAINLAND)).await;
    pair.store.advance(receipt(&fast, 0, vec![Settled::Applied; 3])).await.expect("writable");
    pair.store.advance(receipt(&slow, 0, vec![Settled::Applied; 2])).await.expect("writable");

    let all = [fast, node("new"), slow].map(Arc::new);
    let cursors = pair.store.cursors(&all).await.expect("readable");
    assert_eq!((cursors[1].seq, cursors[1].membership), (Seq(2), Membership::Joining));
}

/// Joining moves a cursor forward only.
///
/// # Panics
/// When it does not.
pub async fn node_that_has_forgotten_everything_is_a_member(fixture: &mut dyn Fixture) {
    let pair = fixture.open().await;
    let late = node("late");
    for id in 1..=3 {
        submit(&pair, plan(id, &["http://a.test/1"], MAINLAND)).await;
    }
    assert_eq!(cursor(&pair, &late).await, (Seq(3), Membership::Joining));
    for upto in [2, 5, 4] {
        let joined = pair.store.joined(&late.id, late.area, Seq(upto)).await;
        joined.expect("writable");
    }
    assert_eq!(cursor(&pair, &late).await, (Seq(5), Membership::Member));
}

fn drained(node: &Node) -> Node {
    Node { rotation: Rotation::Drained, ..node.clone() }
}

async fn duty(pair: &Pair, node: &Node) -> Duty {
    let cursors = pair.store.cursors(&[Arc::new(node.clone())]).await.expect("readable");
    cursors[0].duty
}

/// Whether a node counts outlives the process.
///
/// # Panics
/// When it does not.
pub async fn drained_node_does_not_count_until_it_has_returned(fixture: &mut dyn Fixture) {
    let pair = fixture.open().await;
    let (node, new) = (node("n"), drained(&node("new")));
    assert_eq!(duty(&pair, &node).await, Duty::Counts);
    assert_eq!(duty(&pair, &drained(&node)).await, Duty::Drained);
    assert_eq!(duty(&pair, &new).await, Duty::Drained);
    submit(&pair, plan(1, &["http://a.test/1"], MAINLAND)).await;
    pair.store.advance(receipt(&node, 0, vec![Settled::Applied])).await.expect("writable");

    drop(pair);
    let pair = fixture.reopen().await;
    assert_eq!(cursor(&pair, &node).await, (Seq(1), Membership::Member), "it is told all the same");
    assert_eq!(duty(&pair, &node).await, Duty::Returning);
    assert_eq!(duty(&pair, &node).await, Duty::Returning, "asking changes nothing");
    for _ in 0..2 {
        pair.store.returned(&node.id, node.area).await.expect("writable");
    }
    drop(pair);
    let pair = fixture.reopen().await;
    assert_eq!(duty(&pair, &node).await, Duty::Counts);
    assert_eq!(duty(&pair, &new).await, Duty::Drained);
}

/// Whether a node's lease has ended, and how long its leases are, outlives the process; that it was taken out ends both.
///
/// # Panics
/// When it does not.
pub async fn node_whose_lease_has_ended_does_not_count_until_it_has_returned(fixture: &mut dyn Fixture) {
    let pair = fixture.open().await;
    let (node, length) = (node("n"), Some(std::time::Duration::from_secs(10)));
    assert_eq!(duty(&pair, &node).await, Duty::Counts);
    submit(&pair, plan(1, &["http://a.test/1"], MAINLAND)).await;
    pair.store.advance(receipt(&node, 0, vec![Settled::Applied])).await.expect("writable");
    for _ in 0..2 {
        pair.store.leased(&node.id, node.area, length).await.expect("writable");
        pair.store.lapsed(&node.id, node.area).await.expect("writable");
    }
    drop(pair);
    let pair = fixture.reopen().await;
    let cursors = pair.store.cursors(&[Arc::new(node.clone())]).await.expect("readable");
    assert_eq!((cursors[0].duty, cursors[0].lease), (Duty::Lapsed, length));
    assert_eq!(cursor(&pair, &node).await, (Seq(1), Membership::Member));
    pair.store.returned(&node.id, node.area).await.expect("writable");
    pair.store.leased(&node.id, node.area, None).await.expect("writable");
    let cursors = pair.store.cursors(&[Arc::new(node.clone())]).await.expect("readable");
    assert_eq!((cursors[0].duty, cursors[0].lease), (Duty::Counts, None));

    pair.store.leased(&node.id, node.area, length).await.expect("writable");
    pair.store.lapsed(&node.id, node.area).await.expect("writable");
    pair.store.forget_others(&[]).await.expect("writable");
    // Nothing that comes late brings it back.
    pair.store.lapsed(&node.id, node.area).await.expect("writable");
    let cursors = pair.store.cursors(&[Arc::new(node)]).await.expect("readable");
    assert_eq!((cursors[0].duty, cursors[0].lease), (Duty::Counts, None), "it is new, and nothing is known of it");
}

/// A drained node that is far behind must not bring a new one below what is done.
///
/// # Panics
/// When it does.
pub async fn new_node_begins_at_those_that_count_only(fixture: &mut dyn Fixture) {
    let pair = fixture.open().await;
    let (fast, slow) = (node("fast"), node("slow"));
    for one in [&fast, &slow] {
        cursor(&pair, one).await;
    }
    submit(&pair, plan(1, &["http://a.test/1", "http://a.test/2", "http://a.test/3"], MAINLAND)).await;
    pair.store.advance(receipt(&fast, 0, vec![Settled::Applied; 2])).await.expect("writable");
    // Kept before, as a server does: what is drained in the same step as the new one comes still counts for it.
    pair.store.cursors(&[Arc::new(drained(&slow))]).await.expect("writable");
    let all = [fast.clone(), drained(&slow), node("new")].map(Arc::new);
    let cursors = pair.store.cursors(&all).await.expect("readable");
    assert_eq!((cursors[2].seq, cursors[2].duty), (Seq(2), Duty::Counts));

    let all = [drained(&fast), drained(&slow)].map(Arc::new);
    pair.store.cursors(&all).await.expect("writable");
    let all = [drained(&fast), drained(&slow), node("alone")].map(Arc::new);
    let cursors = pair.store.cursors(&all).await.expect("readable");
    assert_eq!(cursors[2].seq, Seq(3), "with nobody that counts it begins at the head");
}

/// Its cursor is forgotten, what it reported is not.
///
/// # Panics
/// When it is the other way round.
pub async fn node_that_was_taken_out_is_new_when_it_comes_again_and_its_receipts_stay(fixture: &mut dyn Fixture) {
    let pair = fixture.open().await;
    let (stays, goes) = (node("stays"), node("goes"));
    let abroad = Node { area: Area::Overseas, ..goes.clone() };
    for one in [&stays, &goes, &abroad] {
        cursor(&pair, one).await;
    }
    submit(&pair, plan(1, &["http://a.test/1", "http://a.test/2"], MAINLAND)).await;
    let report = receipt(&goes, 0, vec![Settled::Applied; 2]);
    pair.store.advance(report.clone()).await.expect("writable");

    let left = [stays.clone(), abroad.clone()].map(Arc::new);
    for (round, gone) in [vec![goes.id.clone()], Vec::new()].into_iter().enumerate() {
        assert_eq!(pair.store.forget_others(&left).await, Ok(gone), "round {round}");
    }
    drop(pair);
    let pair = fixture.reopen().await;
    assert_eq!(pair.store.receipts(Area::Mainland, Seq(1), Seq(2)).await, Ok(vec![report.clone()]));
    assert_eq!(cursor(&pair, &abroad).await, (Seq(0), Membership::Member), "another area is another node");

    let all = [stays, goes.clone()].map(Arc::new);
    let cursors = pair.store.cursors(&all).await.expect("readable");
    let again = &cursors[1];
    assert_eq!((again.seq, again.membership, again.last_receipt), (Seq(0), Membership::Joining, None));
    assert_eq!(again.duty, Duty::Counts);
    // It settles what it had settled before, and its newest word counts.
    pair.store.joined(&goes.id, goes.area, Seq(0)).await.expect("writable");
    let second = Receipt { at: UnixMillis(report.at.0 + 1), ..receipt(&goes, 0, vec![Settled::Absent; 2]) };
    pair.store.advance(second.clone()).await.expect("writable");
    let kept = pair.store.receipts(Area::Mainland, Seq(1), Seq(2)).await.expect("readable");
    assert_eq!(kept.last(), Some(&second));
}

/// An edge that moves to another shield goes back to it, also when it moves while nothing runs.
///
/// # Panics
/// When it does not.
pub async fn node_that_moves_to_another_shield_begins_anew_and_counts_as_before(fixture: &mut dyn Fixture) {
    let pair = fixture.open().await;
    let all = |shield: &str| [shield_of("s1"), shield_of("s2"), behind("edge", shield)].map(Arc::new);
    let before = pair.store.cursors(&all("s1")).await.expect("readable");
    submit(&pair, plan(1, &["http://a.test/1", "http://a.test/2", "http://a.test/3"], MAINLAND)).await;
    for (node, settled) in [("s1", 3), ("s2", 1), ("edge", 3)] {
        pair.store.advance(receipt(&node_of(node), 0, vec![Settled::Applied; settled])).await.expect("writable");
    }
    let stayed = pair.store.cursors(&all("s1")).await.expect("readable");
    assert_eq!((stayed[2].seq, stayed[2].stay), (Seq(3), before[2].stay));

    drop(pair);
    let pair = fixture.reopen().await;
    for round in 0..2 {
        let moved = pair.store.cursors(&all("s2")).await.expect("readable");
        let edge = &moved[2];
        assert_eq!(
            (edge.seq, edge.membership, edge.duty),
            (Seq(1), Membership::Joining, Duty::Counts),
            "round {round}"
        );
        assert_ne!(edge.stay, before[2].stay, "it is told another log");
        assert_eq!(moved.iter().filter(|it| it.stay == edge.stay).count(), 1, "and no other node is");
        assert_eq!(moved[0].stay, before[0].stay);
    }
    // It settles again what it had settled, and a move of one that is drained does not bring it back.
    pair.store.joined(&name("edge"), Area::Mainland, Seq(1)).await.expect("writable");
    pair.store.advance(receipt(&node_of("edge"), 1, vec![Settled::Applied; 2])).await.expect("writable");
    let mut next = all("s2");
    next[2] = Arc::new(drained(&next[2]));
    pair.store.cursors(&next).await.expect("writable");
    let moved = pair.store.cursors(&all("s1")).await.expect("readable");
    let edge = &moved[2];
    assert_eq!((edge.seq, edge.membership, edge.duty), (Seq(1), Membership::Joining, Duty::Returning));
}

/// A receipt may come again, and late.
///
/// # Panics
/// When that changes something.
pub async fn receipt_moves_the_cursor_once_however_often_it_comes(fixture: &mut dyn Fixture) {
    let pair = fixture.open().await;
    let node = node("n");
    cursor(&pair, &node).await;
    let urls = ["http://a.test/1", "http://a.test/2", "http://a.test/3"];
    submit(&pair, plan(1, &urls, MAINLAND)).await;
    let first = receipt(&node, 0, vec![Settled::Applied, Settled::Absent]);
    let second = receipt(&node, 2, vec![Settled::Applied]);
    for receipt in [&first, &first, &second, &first, &second] {
        pair.store.advance(receipt.clone()).await.expect("writable");
    }
    assert_eq!(cursor(&pair, &node).await, (Seq(3), Membership::Member));
    let kept = pair.store.receipts(Area::Mainland, Seq(1), Seq(3)).await;
    assert_eq!(kept, Ok(vec![first, second.clone()]));
    let cursors = pair.store.cursors(&[Arc::new(node)]).await.expect("readable");
    assert_eq!(cursors[0].last_receipt, Some(second.at));
}

/// What lies between the cursor and a receipt would never be settled.
///
/// # Panics
/// When it is passed over.
pub async fn receipt_that_leaves_a_gap_is_an_error(fixture: &mut dyn Fixture) {
    let pair = fixture.open().await;
    let node = node("n");
    cursor(&pair, &node).await;
    submit(&pair, plan(1, &["http://a.test/1", "http://a.test/2"], MAINLAND)).await;
    let gap = receipt(&node, 1, vec![Settled::Applied]);
    assert!(pair.store.advance(gap).await.is_err());
    assert_eq!(cursor(&pair, &node).await, (Seq(0), Membership::Member));
    let kept = pair.store.receipts(Area::Mainland, Seq(1), Seq(2)).await;
    assert_eq!(kept, Ok(Vec::new()));
}

/// Receipts of several nodes with other bounds each.
///
/// # Panics
/// When one is missed or one too many is found.
pub async fn receipts_are_found_by_the_positions_they_cover(fixture: &mut dyn Fixture) {
    let pair = fixture.open().await;
    let nodes = [node("a"), node("b"), node("c")];
    for node in &nodes {
        cursor(&pair, node).await;
    }
    let urls: Vec<String> = (0..12).map(|it| format!("http://a.test/{it}")).collect();
    let urls: Vec<&str> = urls.iter().map(String::as_str).collect();
    submit(&pair, plan(1, &urls, MAINLAND)).await;
    let mut all = Vec::new();
    for (node, steps) in nodes.iter().zip([vec![1u64; 12], vec![5, 7], vec![2, 3]]) {
        let mut after = 0;
        for step in steps {
            let outcomes = vec![Settled::Applied; usize::try_from(step).expect("small")];
            let one = receipt(node, after, outcomes);
            pair.store.advance(one.clone()).await.expect("writable");
            all.push(one);
            after += step;
        }
    }
    for first in 1..=12u64 {
        for last in first..=12 {
            let found = pair.store.receipts(Area::Mainland, Seq(first), Seq(last)).await;
            let found: HashSet<(String, Seq)> =
                found.expect("readable").iter().map(|it| (it.node.to_string(), it.after)).collect();
            let expect: HashSet<(String, Seq)> = all
                .iter()
                .filter(|it| it.after.0 < last && it.cursor().0 >= first)
                .map(|it| (it.node.to_string(), it.after))
                .collect();
            assert_eq!(found, expect, "{first} to {last}");
        }
    }
    let elsewhere = pair.store.receipts(Area::Overseas, Seq(1), Seq(12)).await;
    assert_eq!(elsewhere, Ok(Vec::new()));
}
