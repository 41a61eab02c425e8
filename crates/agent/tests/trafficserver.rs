//! The agent beside a real Traffic Server, set up by the sample configuration.

use std::sync::Arc;
use std::time::Duration;

use catharsis_adapters::purger::edge::EdgePurger;
use catharsis_adapters::purger::trafficserver::TrafficServerPurger;
use catharsis_adapters::purger::{HttpLimits, NodeAddress};
use catharsis_agent::trafficserver::{
    AgentError, Place, RunningTrafficServerAgent, TrafficServerAgent, TrafficServerAgentConfig,
};
use catharsis_core::invalidation::{Invalidation, Seq};
use catharsis_core::keys::Bytewise;
use catharsis_core::ports::Purger;
use catharsis_core::receipt::{Outcome, Refusal};
use catharsis_core::target::{CachePrefix, Encode, Mode, Target};
use catharsis_edge::protocol::{DomainTable, LogId};
use catharsis_testkit::caches::{RealCache, Relay};
use catharsis_testkit::client::{Fetched, Source, get};
use catharsis_testkit::conformance::invalidation;
use catharsis_testkit::origin::Origin;
use tokio_util::sync::CancellationToken;

const HOST: &str = "www.a.test";

fn config(cache: &RealCache) -> TrafficServerAgentConfig {
    let rules = cache.trafficserver_rules();
    TrafficServerAgentConfig {
        loaded: rules.with_file_name("loaded"),
        rules,
        reload: cache.trafficserver_reload(),
        lifetime_max: Duration::from_secs(30 * 86_400),
        rules_max: 100,
    }
}

fn directory(seq: u64, url: &str) -> Invalidation {
    let prefix = CachePrefix::parse(url, Encode::AsSubmitted).expect("a valid directory");
    Invalidation { target: Target::Prefix(prefix).into(), ..invalidation(seq, url) }
}

/// A Traffic Server with its agent, whose worker ends with it.
struct Site {
    origin: Origin,
    cache: RealCache,
    agent: TrafficServerAgent,
    stop: CancellationToken,
}

impl Drop for Site {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Site {
    async fn start() -> Self {
        let origin = Origin::start().await;
        let cache = RealCache::trafficserver(origin.address(), Relay::Allowed).await;
        let stop = CancellationToken::new();
        let agent = TrafficServerAgent::start(config(&cache), stop.clone()).expect("a valid setting");
        Self { origin, cache, agent, stop }
    }

    async fn get(&self, host: &str, path: &str) -> Fetched {
        get(self.cache.traffic, host, path, &[]).await
    }

    async fn source(&self, host: &str, path: &str) -> Source {
        self.get(host, path).await.source()
    }

    async fn keep(&self, urls: &[(&str, &str)]) {
        for (host, path) in urls {
            self.get(host, path).await;
            assert_eq!(self.source(host, path).await, Source::Hit, "{host}{path}");
        }
    }

    async fn purge(&self, place: Place, mode: Mode) {
        self.agent.purge(vec![(place, mode)]).await.expect("it is carried out");
    }

    /// Asks until there is a hit: what is fetched in the second of the purge is fetched once more.
    async fn settles(&self, host: &str, path: &str) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(5);
        while self.source(host, path).await != Source::Hit {
            assert!(tokio::time::Instant::now() < deadline, "{host}{path} is not kept any more");
        }
    }
}

mod whole {
    use super::*;

    #[tokio::test]
    async fn directory_takes_what_lies_below_it_and_nothing_beside_it() {
        let site = Site::start().await;
        let below = ["/img", "/img/", "/img/a", "/img?b", "/img/c/d?e"];
        let beside = ["/img2", "/im", "/IMG/a", "/imgs/a", "/x/img/a"];
        let urls: Vec<_> = below.iter().chain(&beside).map(|path| (HOST, *path)).collect();
        site.keep(&urls).await;
        site.keep(&[("plain.rules.test", "/img/a")]).await;
        site.purge(Place::below(HOST, "/img"), Mode::Delete).await;
        for path in below {
            assert_eq!(site.source(HOST, path).await, Source::Miss, "{path}");
        }
        for path in beside {
            assert_eq!(site.source(HOST, path).await, Source::Hit, "{path}");
        }
        assert_eq!(site.source("plain.rules.test", "/img/a").await, Source::Hit, "another host");
        for path in below {
            site.settles(HOST, path).await;
        }
    }

    #[tokio::test]
    async fn name_of_a_directory_is_no_pattern() {
        let site = Site::start().await;
        site.keep(&[(HOST, "/a.b+c(d)$/x"), (HOST, "/aXb+c(d)$/x"), (HOST, "/%5Bz%5D/x"), (HOST, "/z/x")]).await;
        site.purge(Place::below(HOST, "/a.b+c(d)$/"), Mode::Delete).await;
        site.purge(Place::below(HOST, "/%5Bz%5D/"), Mode::Delete).await;
        assert_eq!(site.source(HOST, "/a.b+c(d)$/x").await, Source::Miss);
        assert_eq!(site.source(HOST, "/aXb+c(d)$/x").await, Source::Hit);
        assert_eq!(site.source(HOST, "/%5Bz%5D/x").await, Source::Miss);
        assert_eq!(site.source(HOST, "/z/x").await, Source::Hit);
    }

    #[tokio::test]
    async fn host_and_everything_are_purged_one_right_after_the_other() {
        let site = Site::start().await;
        let (here, there) = ((HOST, "/a"), ("plain.rules.test", "/a"));
        site.keep(&[here, there]).await;
        // Within one second, in which the plugin would pass over the second change by itself.
        site.purge(Place::below(HOST, "/"), Mode::Delete).await;
        assert_eq!(site.source(here.0, here.1).await, Source::Miss);
        assert_eq!(site.source(there.0, there.1).await, Source::Hit);
        site.purge(Place::Everything, Mode::Delete).await;
        assert_eq!(site.source(there.0, there.1).await, Source::Miss);
    }

    #[tokio::test]
    async fn copy_stored_in_the_second_of_the_purge_does_not_outlive_it() {
        let site = Site::start().await;
        let place = || Place::below(HOST, "/s");
        for version in 1..=20 {
            site.origin.set_version("/s/x", version);
            site.purge(place(), Mode::Delete).await;
            assert_eq!(site.get(HOST, "/s/x").await.body, format!("v{version}"));
        }
    }

    #[tokio::test]
    async fn fetch_under_way_is_taken_in_whenever_the_origin_dates_its_answer() {
        let site = Site::start().await;
        site.origin.hold("/d/slow");
        let traffic = site.cache.traffic;
        let fetch = tokio::spawn(async move { get(traffic, HOST, "/d/slow", &[]).await });
        site.origin.requested("/d/slow", 1).await;
        site.origin.set_version("/d/slow", 2);
        site.purge(Place::below(HOST, "/d/"), Mode::Delete).await;
        // The origin dates what it sends when it sends it: in a later second than that of the purge.
        site.origin.slow("/d/clock", Duration::from_millis(1_100));
        site.get(HOST, "/d/clock").await;
        site.origin.release("/d/slow");
        assert_eq!(fetch.await.expect("it is answered").body, "v1");
        assert_eq!(site.get(HOST, "/d/slow").await.body, "v2");
    }

    #[tokio::test]
    async fn expired_directory_is_confirmed_by_the_origin_and_a_deleted_one_fetched() {
        let site = Site::start().await;
        site.origin.set_validated("/e/x");
        site.keep(&[(HOST, "/e/x")]).await;
        site.purge(Place::below(HOST, "/e/"), Mode::Expire).await;
        assert_eq!(site.get(HOST, "/e/x").await.body, "v1");
        assert_eq!(site.origin.confirmed("/e/x"), 1);
        site.settles(HOST, "/e/x").await;
        let confirmed = site.origin.confirmed("/e/x");
        site.purge(Place::below(HOST, "/e/x/"), Mode::Delete).await;
        site.purge(Place::below(HOST, "/e/x"), Mode::Delete).await;
        assert_eq!(site.source(HOST, "/e/x").await, Source::Miss);
        assert_eq!(site.origin.confirmed("/e/x"), confirmed, "the rule that marks stale was learnt first");
    }

    #[tokio::test]
    async fn hosts_with_key_rules_are_purged_below_the_canonical_directory() {
        let site = Site::start().await;
        site.keep(&[("folded.rules.test", "/Img/A?q"), ("all.rules.test", "/Img/A?b&a")]).await;
        let secure = [("x-forwarded-proto", "https")];
        for _ in 0..2 {
            get(site.cache.traffic, "scheme.rules.test", "/img/a", &secure).await;
        }
        site.keep(&[("scheme.rules.test", "/img/a")]).await;
        site.purge(Place::below("folded.rules.test", "/img/"), Mode::Delete).await;
        site.purge(Place::below("all.rules.test", "/img"), Mode::Delete).await;
        site.purge(Place::below("scheme.rules.test:443", "/img"), Mode::Delete).await;
        assert_eq!(site.source("folded.rules.test", "/iMG/a?q").await, Source::Miss);
        assert_eq!(site.source("all.rules.test:81", "/img/a?a&b&sid=1").await, Source::Miss);
        assert_eq!(site.source("scheme.rules.test", "/img/a").await, Source::Hit, "http");
        let fetched = get(site.cache.traffic, "scheme.rules.test", "/img/a", &secure).await;
        assert_eq!(fetched.source(), Source::Miss, "https");
    }

    #[tokio::test]
    async fn many_orders_at_once_are_widened_beyond_the_cap_and_all_in_force() {
        let site = Site::start().await;
        let paths: Vec<String> = (0..300).map(|it| format!("/m/{}/{it}/x", it % 7)).collect();
        for path in &paths {
            site.get(HOST, path).await;
        }
        site.keep(&[(HOST, "/other")]).await;
        let places = paths.iter().map(|path| (Place::below(HOST, path.trim_end_matches('x')), Mode::Delete));
        let in_use = site.agent.purge(places.collect()).await.expect("it is carried out");
        assert!(in_use <= 100, "{in_use}");
        for path in &paths {
            assert_eq!(site.source(HOST, path).await, Source::Miss, "{path}");
        }
        assert_eq!(site.source(HOST, "/other").await, Source::Hit);
    }

    #[tokio::test]
    async fn agent_that_starts_again_keeps_its_rules_and_takes_no_foreign_file() {
        let site = Site::start().await;
        site.purge(Place::below(HOST, "/a"), Mode::Delete).await;
        site.stop.cancel();
        let read = || std::fs::read_to_string(site.cache.trafficserver_rules()).expect("the rule file");
        let before = read();
        let stop = CancellationToken::new();
        let agent = TrafficServerAgent::start(config(&site.cache), stop.clone()).expect("its own file");
        agent.purge(vec![(Place::below(HOST, "/b"), Mode::Expire)]).await.expect("it is carried out");
        let line = before.lines().last().expect("a rule");
        assert!(read().contains(line), "{line}");
        stop.cancel();
        std::fs::write(site.cache.trafficserver_rules(), "^http:// 2000000000\n").expect("writable");
        let foreign = TrafficServerAgent::start(config(&site.cache), CancellationToken::new());
        assert!(matches!(foreign, Err(AgentError::Foreign { .. })));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn one_batch_purges_urls_by_purge_and_directories_by_the_agent() {
        let origin = Origin::start().await;
        let cache = RealCache::trafficserver(origin.address(), Relay::Allowed).await;
        let control = "127.0.0.1:0".parse().expect("an address");
        let agent = RunningTrafficServerAgent::start(config(&cache), control, None).await.expect("it starts");
        let limits = HttpLimits::default();
        let told =
            || EdgePurger::new(NodeAddress::from(agent.control_addr()), limits, "log", None).expect("a valid name");
        let purger = TrafficServerPurger::new(cache.purge.into(), limits, Arc::new(Bytewise::default()));
        let alone = [invalidation(1, "http://www.a.test/u"), directory(2, "http://www.a.test/d/")];
        let refused = Outcome::Refused(Refusal::Unsupported);
        assert_eq!(purger.apply(&alone).await, [Outcome::Absent, refused.clone()], "without the agent");
        assert_eq!(purger.everything(Seq(2)).await, refused);

        let table = DomainTable::new(LogId::new("log").expect("a name"), 1, Vec::new()).expect("it fits");
        let purger = purger.with_agent(told());
        let early = purger.apply(&alone).await;
        assert!(matches!(early[..], [Outcome::Absent, Outcome::Unreachable(_)]), "without key rules: {early:?}");
        assert_eq!(told().serve_domains(&table).await, Ok(1));
        let fetch = async |path: &str| get(cache.traffic, HOST, path, &[]).await.source();
        for path in ["/u", "/d/x", "/e/x", "/f"] {
            fetch(path).await;
            assert_eq!(fetch(path).await, Source::Hit, "{path}");
        }
        let batch = [
            directory(3, "http://www.a.test/d/"),
            invalidation(4, "http://www.a.test/u"),
            invalidation(5, "http://www.a.test/never"),
            directory(6, "https://www.a.test/e"),
        ];
        let outcomes = [Outcome::Applied, Outcome::Applied, Outcome::Absent, Outcome::Applied];
        assert_eq!(purger.apply(&batch).await, outcomes);
        for path in ["/u", "/d/x", "/e/x"] {
            assert_eq!(fetch(path).await, Source::Miss, "{path}");
        }
        assert_eq!(fetch("/f").await, Source::Hit);
        assert_eq!(purger.everything(Seq(6)).await, Outcome::Applied);
        assert_eq!(fetch("/f").await, Source::Miss);
        assert!(purger.answers().await);
        agent.stop().await;
        let outcomes = purger.apply(&batch).await;
        assert!(matches!(outcomes[0], Outcome::Unreachable(_)), "{outcomes:?}");
        assert!(matches!(outcomes[1], Outcome::Applied | Outcome::Absent), "URLs go on: {outcomes:?}");
    }

    #[tokio::test]
    async fn order_that_trafficserver_did_not_take_up_is_no_success() {
        let site = Site::start().await;
        let failing = |edit: fn(&mut TrafficServerAgentConfig)| {
            let mut config = config(&site.cache);
            edit(&mut config);
            TrafficServerAgent::start(config, site.stop.clone()).expect("a valid setting")
        };
        let order = || vec![(Place::below(HOST, "/a"), Mode::Delete)];
        let none = failing(|config| config.reload = vec!["/nonexistent/traffic_ctl".to_owned()]);
        none.purge(order()).await.expect_err("there is no such program");
        let fails = failing(|config| config.reload = vec!["false".to_owned()]);
        fails.purge(order()).await.expect_err("it fails");
        let hangs = failing(|config| config.reload = vec!["sleep".to_owned(), "60".to_owned()]);
        hangs.purge(order()).await.expect_err("it does not end");
        let deaf = failing(|config| config.loaded = config.rules.with_file_name("of-another"));
        deaf.purge(order()).await.expect_err("it does not say that it loaded anything");
        site.agent.purge(order()).await.expect("it is carried out");
    }
}
