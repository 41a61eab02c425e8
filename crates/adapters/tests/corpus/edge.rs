//! The built-in edge.

use std::time::Duration;

use catharsis_adapters::purger::edge::EdgePurger;
use catharsis_adapters::purger::{HttpLimits, NodeAddress};
use catharsis_edge::config::{HostPattern, Route, Upstream};
use catharsis_edge::{Edge, EdgeConfig};
use catharsis_testkit::corpus::NumberingOrigin;
use catharsis_testkit::corpus::run::UnderTest;

use crate::{Started, table};

const LOG: &str = "corpus";

/// Starts it and gives it its rules.
pub(crate) async fn start(origin: &NumberingOrigin) -> Started {
    let any = "127.0.0.1:0".parse().expect("an address");
    let route = Route { hosts: HostPattern::Any, upstream: Upstream::Address(origin.address()) };
    let edge = Edge::start(&EdgeConfig::new("corpus", any, any, vec![route])).expect("free ports");
    let control = NodeAddress::from(edge.control_addr());
    let purger = EdgePurger::new(control, HttpLimits::default(), LOG, None).expect("valid");

    assert_eq!(purger.serve_domains(&table(LOG)).await, Ok(1));

    let cache = UnderTest {
        name: "built-in edge",
        traffic: edge.traffic_addr(),
        purger: Box::new(purger),
        excuses: &[],
        settles: Duration::ZERO,
    };
    Started::new(cache, edge)
}
