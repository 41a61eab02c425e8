//! Squid with the agent, which names what it stores by the key rules.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use catharsis_adapters::purger::edge::EdgePurger;
use catharsis_adapters::purger::{HttpLimits, NodeAddress};
use catharsis_core::abilities::{Abilities, Ability};
use catharsis_edge::control::Control;
use catharsis_storeid::SquidAgent;
use catharsis_testkit::caches::{RealCache, Relay};
use catharsis_testkit::corpus::run::{Excuse, Instead, UnderTest};
use catharsis_testkit::corpus::{By, NumberingOrigin};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{Started, table};

const LOG: &str = "corpus";
const MARKS_MAX: NonZeroUsize = NonZeroUsize::new(10_000).expect("more than none");
const ANY: &str = "127.0.0.1:0";

/// What the agent does for its cache. What has a new name cannot be confirmed, so nothing is marked stale.
const ABILITIES: Abilities = Abilities {
    url: Ability::Delete,
    prefix: Ability::Delete,
    host: Ability::Delete,
    everything: Ability::Delete,
    tag: Ability::Missing,
};

const EXCUSES: &[Excuse] = &[Excuse {
    instead: Instead::NotKept,
    of: |pair| pair.by == By::Range,
    why: "it keeps no part of an answer (206)",
}];

/// Starts both, and hands over the rules.
pub(crate) async fn start(origin: &NumberingOrigin) -> Started {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let agent = SquidAgent::open(&folder.path().join("journal"), MARKS_MAX).expect("a new journal");
    let [names, control] = [TcpListener::bind(ANY).await, TcpListener::bind(ANY).await];
    let (names, control) = (names.expect("a free port"), control.expect("a free port"));
    let address = |of: &TcpListener| of.local_addr().expect("a bound socket has an address");
    let (asked, told) = (address(&names), NodeAddress::from(address(&control)));
    let stop = CancellationToken::new();
    let (naming, stopping) = (agent.clone(), stop.clone());
    tokio::spawn(async move { naming.serve_helpers(names, stopping).await });
    tokio::spawn(Arc::new(Control::new(agent, None)).serve(control, stop.clone()));
    let purger = EdgePurger::new(told, HttpLimits::default(), LOG, None).expect("valid").for_agent(ABILITIES);
    assert_eq!(purger.serve_domains(&table(LOG)).await, Ok(1));
    // The purges go to the agent, so Squid itself need not take any.
    let squid = RealCache::squid_with_agent(origin.address(), Relay::Elsewhere, &program(), asked).await;
    let cache = UnderTest {
        name: "Squid, agent",
        traffic: squid.traffic,
        purger: Box::new(purger),
        excuses: EXCUSES,
        settles: Duration::ZERO,
    };
    Started::new(cache, (squid, folder, stop.drop_guard()))
}

/// What Squid starts. It is a program of another package: Cargo lays it beside the directory of the tests
/// whenever it builds the tests of the whole workspace, but not when it builds those of this package only.
fn program() -> PathBuf {
    let test = std::env::current_exe().expect("a running program has a path");
    let built = test.parent().and_then(std::path::Path::parent).expect("tests are built two levels down");
    let program = built.join(format!("catharsis-store-id{}", std::env::consts::EXE_SUFFIX));
    assert!(program.is_file(), "{} is missing: cargo build -p catharsis-storeid", program.display());
    program
}
