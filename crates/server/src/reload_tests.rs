//! What differs between two lists of nodes, and between two files.

use catharsis_testkit::plans::{behind, node, shield};

use super::*;

fn placed(node: Node) -> Placed {
    let address = "127.0.0.1:1".parse().expect("an address");
    Placed {
        node: Arc::new(node),
        reach: CheckedNode {
            address,
            traffic: None,
            token: None,
            agent: None,
            htcp: None,
            management: None,
            lease: None,
        },
        hop: None,
        above: None,
    }
}

fn compare(now: &[Placed], next: &[Placed]) -> Vec<Difference> {
    differences(&now.iter().collect::<Vec<_>>(), next)
}

#[test]
fn node_of_another_kind_is_another_cache_and_the_edges_behind_it_begin_anew() {
    let now = [shield("s"), behind("e", "s"), node("gone")].map(placed);
    let other = Node { kind: NodeKind::Edge, ..shield("s") };
    let next = [other, behind("e", "s"), node("new")].map(placed);
    let found = compare(&now, &next);
    let names: Vec<&str> = found.iter().map(|it| it.node.as_str()).collect();
    assert_eq!(names, ["gone", "s", "e", "new"]);
    assert_eq!(found[1].kind, Kind::Replaced { what: "kind" });
    let what = vec!["its shield is another cache"];
    assert_eq!(found[2].kind, Kind::Changed { what, rotation: None, workers: Workers::New });
    assert_eq!(compare(&next, &next), []);
}

#[test]
fn changed_address_needs_a_new_worker_and_a_changed_rotation_does_not() {
    let now = [node("a"), node("b")].map(placed);
    let mut next = now.clone();
    next[0].reach.address = "127.0.0.1:2".parse().expect("an address");
    next[1] = placed(Node { rotation: Rotation::Drained, ..node("b") });
    let found = compare(&now, &next);
    assert!(found[0].kind.ends_workers() && found[0].kind.starts_workers());
    let what = vec!["rotation"];
    assert_eq!(found[1].kind, Kind::Changed { what, rotation: Some(Rotation::Drained), workers: Workers::Kept });
    assert!(!found[1].kind.ends_workers() && !found[1].kind.starts_workers());
}

#[test]
fn sections_that_a_running_process_does_not_take_over_are_told_by_name() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let read = |text: &str| {
        let path = folder.path().join("file");
        std::fs::write(&path, text).expect("a writable folder");
        Written::read(&path)
    };
    let old = read("[api]\nlisten = 1\n[relay]\nfail_after = 1\n[[node]]\nname = 1\n");
    let new = read("[relay]\nfail_after = 1\n[api]\nlisten = 2\n[ops]\n[[node]]\nname = 2\n");
    assert_eq!(old.left_for_a_restart(&new), ["api", "ops"]);
}
