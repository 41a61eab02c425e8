//! The pairs of the corpus against each real cache: what is the same must be gone, what differs must stay.
//!
//! A cache is a file here that starts it, with its purger and what cannot be shown there.

mod edge;
mod faults;
mod nginx;
mod nginx_stock;
mod squid;
mod squid_agent;
mod trafficserver;
mod varnish;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use catharsis_core::keys::{KeyRules, RulesOf};
use catharsis_core::target::HostName;
use catharsis_edge::protocol::{DomainRules, DomainTable, LogId, ServedName, WireRules};
use catharsis_testkit::corpus::run::{Report, UnderTest, run};
use catharsis_testkit::corpus::{HOSTS, NumberingOrigin, Pair, page, pairs, rules_of};

/// A running cache with whatever must live as long.
struct Started {
    cache: UnderTest,
    _alive: Box<dyn std::any::Any + Send>,
}

impl Started {
    fn new(cache: UnderTest, alive: impl std::any::Any + Send) -> Self {
        Self { cache, _alive: Box::new(alive) }
    }
}

type Starting<'a> = Pin<Box<dyn Future<Output = Started> + Send + 'a>>;

/// The caches, in the order of the table.
const CACHES: [fn(&NumberingOrigin) -> Starting<'_>; 7] = [
    |origin| Box::pin(edge::start(origin)),
    |origin| Box::pin(varnish::start(origin)),
    |origin| Box::pin(nginx::with_purge_module(origin)),
    |origin| Box::pin(nginx_stock::start(origin)),
    |origin| Box::pin(squid::by_http(origin)),
    |origin| Box::pin(squid_agent::start(origin)),
    |origin| Box::pin(trafficserver::start(origin)),
];

/// The rules of the corpus, for a purger.
fn rules() -> Arc<dyn RulesOf> {
    Arc::new(|host: &HostName| -> Arc<KeyRules> { Arc::new(rules_of(host)) })
}

/// The rules of the corpus, for what is told them over the control protocol.
fn table(log: &str) -> DomainTable {
    let rules = HOSTS.map(|(name, rules)| DomainRules {
        name: ServedName::parse(&format!("{name}.rules.test")).expect("a host name"),
        rules: WireRules::from(KeyRules::parse(rules).expect("rules")),
    });
    let table = DomainTable::new(LogId::new(log).expect("valid"), 1, Vec::new()).expect("valid");
    table.with_rules(rules.into()).expect("valid")
}

async fn report(start: fn(&NumberingOrigin) -> Starting<'_>, pairs: &[Pair]) -> Report {
    let origin = NumberingOrigin::start().await;
    let started = start(&origin).await;
    run(&started.cache, &origin, pairs).await
}

mod whole {
    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn each_cache_forgets_what_is_the_same_and_nothing_else() {
        let pairs = pairs();
        let mut reports = Vec::new();
        for start in CACHES {
            let began = std::time::Instant::now();
            let report = report(start, &pairs).await;
            println!("{}: {:?}", report.name, began.elapsed());
            reports.push(report);
        }
        let wrong: Vec<String> = reports.iter().flat_map(|report| report.wrong(&pairs)).collect();
        let rendered = page::render(&pairs, &reports);
        if std::env::var_os("CATHARSIS_WRITE_CORPUS").is_some() {
            std::fs::write(page::path(), &rendered).expect("a writable checkout");
        }
        assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
        let committed = std::fs::read_to_string(page::path()).expect("the page is there");
        assert_eq!(committed, rendered, "docs/caches.md is not what was measured: CATHARSIS_WRITE_CORPUS=1 writes it");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn sample_without_rules_follows_the_default_ones() {
        let by_default: Vec<Pair> = pairs().into_iter().filter(|it| matches!(it.rule, "plain" | "other")).collect();
        let report = report(|origin| Box::pin(nginx::by_default(origin)), &by_default).await;
        assert_eq!(report.wrong(&by_default), Vec::<String>::new());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn squid_forgets_by_htcp_what_it_forgets_by_http() {
        let pairs = pairs();
        let report = report(|origin| Box::pin(squid::by_htcp(origin)), &pairs).await;
        assert_eq!(report.wrong(&pairs), Vec::<String>::new());
    }
}
