//! The built-in edge.

use catharsis_adapters::purger::edge::EdgePurger;
use catharsis_adapters::purger::{HttpLimits, NodeAddress};
use catharsis_core::keys::KeyRules;
use catharsis_edge::config::{HostPattern, Route, Upstream};
use catharsis_edge::protocol::{DomainRules, DomainTable, LogId, ServedName, WireRules};
use catharsis_edge::{Edge, EdgeConfig};
use catharsis_testkit::corpus::run::UnderTest;
use catharsis_testkit::corpus::{HOSTS, NumberingOrigin};

use crate::Started;

const LOG: &str = "corpus";

/// Starts it and gives it its rules.
pub(crate) async fn start(origin: &NumberingOrigin) -> Started {
    let any = "127.0.0.1:0".parse().expect("an address");
    let route = Route { hosts: HostPattern::Any, upstream: Upstream::Address(origin.address()) };
    let edge = Edge::start(&EdgeConfig::new("corpus", any, any, vec![route])).expect("free ports");
    let control = NodeAddress::from(edge.control_addr());
    let purger = EdgePurger::new(control, HttpLimits::default(), LOG, None).expect("valid");

    let rules = HOSTS.map(|(name, rules)| DomainRules {
        name: ServedName::parse(&format!("{name}.rules.test")).expect("a host name"),
        rules: WireRules::from(KeyRules::parse(rules).expect("rules")),
    });
    let table = DomainTable::new(LogId::new(LOG).expect("valid"), 1, Vec::new()).expect("valid");
    let table = table.with_rules(rules.into()).expect("valid");
    assert_eq!(purger.serve_domains(&table).await, Ok(1));

    let cache =
        UnderTest { name: "built-in edge", traffic: edge.traffic_addr(), purger: Box::new(purger), excuses: &[] };
    Started::new(cache, edge)
}
