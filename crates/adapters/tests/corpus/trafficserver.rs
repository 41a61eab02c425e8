//! Traffic Server, with the key rules of the sample, and its agent, which takes the directories.

use std::time::Duration;

use catharsis_adapters::purger::edge::EdgePurger;
use catharsis_adapters::purger::trafficserver::TrafficServerPurger;
use catharsis_adapters::purger::{HttpLimits, NodeAddress};
use catharsis_agent::trafficserver::{RULES_MAX_DEFAULT, RunningTrafficServerAgent, TrafficServerAgentConfig};
use catharsis_core::target::{HostName, Scheme};
use catharsis_testkit::caches::{RealCache, Relay};
use catharsis_testkit::corpus::run::{Excuse, Instead, UnderTest};
use catharsis_testkit::corpus::{By, NumberingOrigin, Scope};

use crate::{Started, rules, table};

const LOG: &str = "corpus";
/// `guaranteed_max_lifetime` of the sample.
const LIFETIME_MAX: Duration = Duration::from_secs(30 * 86_400);
/// A rule takes in what is fetched in the second in which it is loaded. The rest is for a busy machine.
const SETTLES: Duration = Duration::from_secs(5);

const EXCUSES: &[Excuse] = &[
    Excuse {
        instead: Instead::NotKept,
        of: |pair| !pair.fetched.target.is_ascii(),
        why: "it answers 400 to a target that is not ASCII",
    },
    Excuse { instead: Instead::NotKept, of: |pair| pair.by == By::Head, why: "it keeps no answer to a HEAD" },
    Excuse { instead: Instead::NotKept, of: |pair| pair.by == By::Range, why: "it keeps no part of an answer (206)" },
    Excuse {
        instead: Instead::NotKept,
        of: |pair| !is_mapped(&pair.fetched.host),
        why: "the sample maps no host but its own: a client gets 404",
    },
    Excuse {
        instead: Instead::Refused,
        of: |pair| pair.scope == Scope::Url && pair.purged.split('/').nth(2).is_some_and(|host| !is_mapped(host)),
        why: "the sample maps no host but its own, and the purger says so",
    },
    Excuse {
        instead: Instead::Shared,
        of: |pair| pair.fetched.target.ends_with('?') || pair.purged.ends_with('?'),
        why: "it drops a bare ? before any plugin sees it",
    },
    Excuse {
        instead: Instead::Shared,
        of: |pair| pair.fetched.target.starts_with("//") || pair.purged.contains("//lead"),
        why: "it drops a second slash at the beginning of a path before any plugin sees it",
    },
    Excuse {
        instead: Instead::Shared,
        of: |pair| pair.rule == "scheme" && pair.fetched.scheme == Scheme::Https,
        why: "where schemes are separate, the sample keeps the https copies of all ports together",
    },
];

/// Whether the sample has a map for a host, written with its port.
fn is_mapped(host: &str) -> bool {
    let (name, port) = host.split_once(':').unwrap_or((host, "80"));
    let name = HostName::parse(name).expect("a host of the corpus is one");
    let below = name.as_str().strip_suffix(".rules.test");
    let by_name = below.is_some_and(|below| below.bytes().all(|byte| byte.is_ascii_lowercase()));
    by_name && matches!(port, "80" | "443" | "8080" | "8081" | "8443")
}

/// Starts both, and hands over the rules.
pub(crate) async fn start(origin: &NumberingOrigin) -> Started {
    let server = RealCache::trafficserver(origin.address(), Relay::Allowed).await;
    let file = server.trafficserver_rules();
    let config = TrafficServerAgentConfig {
        loaded: file.with_file_name("loaded"),
        rules: file,
        reload: server.trafficserver_reload(),
        lifetime_max: LIFETIME_MAX,
        rules_max: RULES_MAX_DEFAULT,
    };
    let control = "127.0.0.1:0".parse().expect("an address");
    let agent = RunningTrafficServerAgent::start(config, control, None).await.expect("the agent starts");
    let limits = HttpLimits::default();
    let told = EdgePurger::new(NodeAddress::from(agent.control_addr()), limits, LOG, None).expect("valid");
    assert_eq!(told.serve_domains(&table(LOG)).await, Ok(1));
    let purger = TrafficServerPurger::new(NodeAddress::from(server.purge), limits, rules()).with_agent(told);
    let cache = UnderTest {
        name: "Traffic Server, agent",
        traffic: server.traffic,
        purger: Box::new(purger),
        excuses: EXCUSES,
        settles: SETTLES,
    };
    Started::new(cache, (server, agent))
}
