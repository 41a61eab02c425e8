//! nginx without any purge module, with the agent beside it.

use std::time::{Duration, Instant};

use catharsis_adapters::purger::edge::EdgePurger;
use catharsis_adapters::purger::{HttpLimits, NodeAddress};
use catharsis_agent::nginx::{ABILITIES, NginxAgent, NginxAgentConfig};
use catharsis_core::ports::Purger;
use catharsis_core::receipt::Outcome;
use catharsis_testkit::caches::RealCache;
use catharsis_testkit::conformance::invalidation;
use catharsis_testkit::corpus::NumberingOrigin;
use catharsis_testkit::corpus::run::UnderTest;

use crate::{Started, table};

const LOG: &str = "corpus";
const READY_MAX: Duration = Duration::from_secs(20);

/// Starts both, and waits until orders are carried out.
pub(crate) async fn start(origin: &NumberingOrigin) -> Started {
    let nginx = RealCache::nginx_stock(origin.address()).await;
    let control = "127.0.0.1:0".parse().expect("an address");
    let levels = "1:2".parse().expect("the levels of the sample");
    let key = "$scheme://$http_host$request_uri".parse().expect("a key");
    let config = NginxAgentConfig::new("corpus", control, nginx.cache_dir(), levels, key);
    let agent = NginxAgent::start(config).await.expect("the agent starts");
    let address = NodeAddress::from(agent.control_addr());
    let purger = EdgePurger::new(address, HttpLimits::default(), LOG, None).expect("valid").for_agent(ABILITIES);
    assert_eq!(purger.serve_domains(&table(LOG)).await, Ok(1));
    let nothing = [invalidation(1, "http://plain.rules.test/never-kept")];
    let deadline = Instant::now() + READY_MAX;
    while purger.apply(&nothing).await != [Outcome::Absent] {
        assert!(Instant::now() < deadline, "the agent does not get ready");
        tokio::task::yield_now().await;
    }
    let cache = UnderTest {
        name: "nginx, agent",
        traffic: nginx.traffic,
        purger: Box::new(purger),
        excuses: &[],
        settles: Duration::ZERO,
    };
    Started::new(cache, (nginx, agent))
}
