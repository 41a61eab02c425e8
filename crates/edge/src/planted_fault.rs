//! The in-flight test, run against an edge whose fence lets everything pass: it must show old
//! content there. So the test would notice a fence that does not work.

use std::net::SocketAddr;

use crate::config::{EdgeConfig, HostPattern, MARKS_MAX, Route, Upstream};
use crate::edge::{Edge, RunningEdge};
use crate::fence::Fence;

#[path = "../tests/support/mod.rs"]
#[expect(dead_code, unreachable_pub, reason = "shared with the tests of the whole edge, which use all of it")]
mod support;

use support::{Door, Origin, Overtaking, content_after_a_fetch_that_a_purge_overtook};

fn edge(origin: &Origin, fence: Fence) -> (RunningEdge, Door) {
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    let route = Route { hosts: HostPattern::Any, upstream: Upstream::Address(origin.addr) };
    let edge = Edge::start_with(&EdgeConfig::new("t", free, free, vec![route]), fence);
    let edge = edge.expect("it starts");
    let door = Door { traffic: edge.traffic_addr(), control: edge.control_addr() };
    (edge, door)
}

#[tokio::test]
async fn in_flight_test_catches_a_blind_fence() {
    for purge in [Overtaking::Url, Overtaking::Directory] {
        let origin = Origin::start().await;
        let (_edge, door) = edge(&origin, Fence::blind(MARKS_MAX));
        assert_eq!(content_after_a_fetch_that_a_purge_overtook(door, &origin, purge).await, "v1", "{purge:?}");
    }
}

#[tokio::test]
async fn in_flight_test_passes_with_the_fence() {
    for purge in [Overtaking::Url, Overtaking::Directory] {
        let origin = Origin::start().await;
        let (_edge, door) = edge(&origin, Fence::new(MARKS_MAX));
        assert_eq!(content_after_a_fetch_that_a_purge_overtook(door, &origin, purge).await, "v2", "{purge:?}");
    }
}
