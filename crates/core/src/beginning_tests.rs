//! Cursors as they begin, worked out for small installations.

use std::sync::Arc;

use super::*;
use crate::area::Area;
use crate::topology::{Fence, NodeId, NodeKind, Rotation, Tier};

const HEAD: Seq = Seq(20);

fn name(text: &str) -> NodeId {
    NodeId::parse(text).expect("a valid name")
}

fn edge(shield: Option<&str>) -> Node {
    Node {
        id: name("edge"),
        pop: Arc::from("p"),
        area: Area::Mainland,
        tier: Tier::Edge,
        kind: NodeKind::Edge,
        shield: shield.map(name),
        fence: Fence::Exact,
        join: Join::Everything,
        rotation: Rotation::In,
    }
}

fn cursor(node: &str, seq: u64, duty: Duty, shield: Option<&str>) -> Cursor {
    Cursor {
        node: name(node),
        seq: Seq(seq),
        membership: Membership::Member,
        duty,
        last_receipt: None,
        lease: None,
        shield: shield.map(name),
        stay: Some(Stay(1)),
    }
}

fn now(node: &Node, kept: Option<&Cursor>, others: &[Cursor]) -> (u64, Membership, Duty, Option<Stay>) {
    let now = cursor_now(node, kept, others.iter(), HEAD, Stay(2));
    assert_eq!(now.shield, node.shield);
    (now.seq.0, now.membership, now.duty, now.stay)
}

#[test]
fn edge_that_moves_goes_back_to_its_new_shield_and_is_of_unknown_content() {
    use Duty::{Counts, Drained, Lapsed, Returning};
    use Membership::Joining;
    let check = |at: u64, duty: Duty, others: &[(u64, Duty)], expect: (u64, Duty)| {
        let kept = cursor("edge", at, duty, Some("before"));
        let mut all: Vec<Cursor> =
            others.iter().zip(["s", "other"]).map(|((at, duty), name)| cursor(name, *at, *duty, None)).collect();
        all.push(kept.clone());
        let (seq, membership, duty, stay) = now(&edge(Some("s")), Some(&kept), &all);
        assert_eq!(((seq, duty), membership, stay), (expect, Joining, Some(Stay(2))), "{at} {others:?}");
    };
    check(9, Counts, &[(5, Counts), (7, Counts)], (5, Counts));
    // What it has not settled itself it is told as before.
    check(3, Counts, &[(5, Counts), (7, Counts)], (3, Counts));
    // From a shield that does not count it fetches only once that has come this far.
    check(9, Counts, &[(2, Drained), (7, Counts)], (7, Counts));
    check(9, Counts, &[(2, Lapsed)], (9, Counts));
    check(9, Drained, &[(5, Counts)], (5, Returning));
    check(3, Lapsed, &[(5, Counts)], (3, Lapsed));
}

#[test]
fn edge_that_fetches_from_origins_from_now_on_has_moved_and_one_that_stays_has_not() {
    let others = [cursor("s", 5, Duty::Counts, None)];
    let kept = cursor("edge", 9, Duty::Counts, Some("s"));
    assert_eq!(now(&edge(None), Some(&kept), &others), (5, Membership::Joining, Duty::Counts, Some(Stay(2))));
    assert_eq!(now(&edge(Some("s")), Some(&kept), &others), (9, Membership::Member, Duty::Counts, Some(Stay(1))));
}

#[test]
fn vouched_node_forgets_nothing_unless_its_shield_has_yet_to_come_where_it_begins() {
    let vouched = Node { join: Join::Empty, ..edge(Some("s")) };
    let kept = cursor("edge", 9, Duty::Counts, Some("before"));
    for (shield, expect) in [(7, Membership::Member), (6, Membership::Joining)] {
        let others = [cursor("s", shield, Duty::Drained, None), cursor("other", 7, Duty::Counts, None)];
        for kept in [None, Some(&kept)] {
            let (seq, membership, ..) = now(&vouched, kept, &others);
            assert_eq!((seq, membership), (7, expect), "{kept:?}");
        }
    }
    let unknown = Cursor { membership: Membership::Joining, ..kept };
    let others = [cursor("s", 7, Duty::Counts, None)];
    assert_eq!(now(&vouched, Some(&unknown), &others).1, Membership::Joining, "it never was known");
}
