//! The agent beside a real nginx without any purge module, told as a relay tells it.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use catharsis_adapters::purger::edge::EdgePurger;
use catharsis_adapters::purger::{HttpLimits, NodeAddress};
use catharsis_agent::nginx::{ABILITIES, NginxAgent, NginxAgentConfig, RunningAgent};
use catharsis_core::invalidation::{Invalidation, Seq};
use catharsis_core::ports::Purger;
use catharsis_core::receipt::{Outcome, Unreachable};
use catharsis_core::target::{CachePrefix, Encode, Mode, Target};
use catharsis_edge::protocol::{DomainRules, DomainTable, LogId, ServedName, WireRules};
use catharsis_testkit::caches::RealCache;
use catharsis_testkit::client::{Source, get};
use catharsis_testkit::conformance::{assert_purges, invalidation};
use catharsis_testkit::origin::Origin;

const HOST: &str = "www.a.test";
const LOG: &str = "test-log";
const WITHIN: Duration = Duration::from_secs(20);

/// An nginx with its origin and its agent.
struct Beside {
    origin: Origin,
    cache: RealCache,
    purger: EdgePurger,
    agent: Option<RunningAgent>,
}

async fn agent(cache_dir: PathBuf, key: &str) -> (RunningAgent, EdgePurger) {
    let control = "127.0.0.1:0".parse().unwrap();
    let config = NginxAgentConfig::new("test", control, cache_dir, "1:2".parse().unwrap(), key.parse().unwrap());
    let agent = NginxAgent::start(config).await.unwrap();
    let address = NodeAddress::from(agent.control_addr());
    let purger = EdgePurger::new(address, HttpLimits::default(), LOG, None).unwrap().for_agent(ABILITIES);
    (agent, purger)
}

/// Tells the key rules of `HOST`, and waits until orders are carried out.
async fn ready(purger: &EdgePurger, generation: u64, rules: &str) {
    let rules = WireRules::try_from(rules.to_owned()).unwrap();
    let rules = vec![DomainRules { name: ServedName::parse(HOST).unwrap(), rules }];
    let table = DomainTable::new(LogId::new(LOG).unwrap(), generation, Vec::new()).unwrap();
    assert_eq!(purger.serve_domains(&table.with_rules(rules).unwrap()).await, Ok(generation));
    let nothing = [invalidation(1, &format!("http://{HOST}/never-kept"))];
    let deadline = Instant::now() + WITHIN;
    while purger.apply(&nothing).await != [Outcome::Absent] {
        assert!(Instant::now() < deadline, "the agent does not get ready");
        tokio::task::yield_now().await;
    }
}

impl Beside {
    async fn start(rules: &str) -> Self {
        Self::start_with(rules, "$host$request_uri").await
    }

    async fn start_with(rules: &str, key: &str) -> Self {
        let origin = Origin::start().await;
        let of_sample = "proxy_cache_key $catharsis_scheme://$host$catharsis_port$request_uri;";
        let edit = |text: String| text.replace(of_sample, &format!("proxy_cache_key {key};"));
        let cache = RealCache::nginx_stock_edited(origin.address(), edit).await;
        let (agent, purger) = agent(cache.cache_dir(), key).await;
        ready(&purger, 1, rules).await;
        Self { origin, cache, purger, agent: Some(agent) }
    }

    async fn source(&self, path: &str) -> Source {
        self.source_of(HOST, path, "").await
    }

    async fn source_of(&self, host: &str, path: &str, variant: &str) -> Source {
        get(self.cache.traffic, host, path, &[("x-variant", variant)]).await.source()
    }

    /// Has these kept.
    async fn keep(&self, paths: &[&str]) {
        for path in paths {
            self.keep_variant(HOST, path, "").await;
        }
    }

    async fn keep_variant(&self, host: &str, path: &str, variant: &str) {
        // A client can have the whole answer before the copy is in place.
        let deadline = Instant::now() + WITHIN;
        while self.source_of(host, path, variant).await != Source::Hit {
            assert!(Instant::now() < deadline, "{path} is not kept");
        }
    }

    async fn purge(&self, mode: Mode, target: &str) -> Outcome {
        let it = Invalidation { mode, ..invalidation(1, target) };
        self.purger.apply(&[it]).await.remove(0)
    }

    async fn purge_directory(&self, mode: Mode, target: &str) -> Outcome {
        let prefix = CachePrefix::parse(target, Encode::AsSubmitted).unwrap();
        let it = Invalidation { mode, target: Target::Prefix(prefix).into(), ..invalidation(1, target) };
        self.purger.apply(&[it]).await.remove(0)
    }

    /// Which of these are served from the cache.
    async fn kept<'a>(&self, paths: &[&'a str]) -> Vec<&'a str> {
        let mut kept = Vec::new();
        for path in paths {
            if self.source(path).await == Source::Hit {
                kept.push(*path);
            }
        }
        kept
    }
}

fn url(path: &str) -> String {
    format!("http://{HOST}{path}")
}

mod whole {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn stock_nginx_purges_what_clients_stored() {
        let it = Beside::start("default").await;
        for path in ["/", "/a?b=c", "/%7Ea", "/~a", "/a//b", "/%c3%a9", "/'\""] {
            // Once kept and purged: `assert_purges` begins with what is not there.
            it.keep(&[path]).await;
            assert_eq!(it.purge(Mode::Delete, &url(path)).await, Outcome::counted(1));
            assert_eq!(it.source(path).await, Source::Miss);
            it.keep(&[path]).await;
            assert_eq!(it.purge(Mode::Delete, &url(path)).await, Outcome::counted(1));
        }
        assert_purges(&it.purger, &url("/x"), || get(it.cache.traffic, HOST, "/x", &[])).await;
        assert!(it.purger.answers().await);
        it.agent.unwrap().stop().await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn variant_does_not_come_back_when_the_main_file_is_made_again() {
        let it = Beside::start("default").await;
        it.origin.set_vary("/v", "x-variant");
        for variant in ["a", "b", "c"] {
            it.keep_variant(HOST, "/v", variant).await;
        }
        assert_eq!(it.purge(Mode::Delete, &url("/v")).await, Outcome::counted(3));
        it.origin.set_version("/v", 2);
        // With the main file alone removed, `c` is a hit from here on.
        it.keep_variant(HOST, "/v", "a").await;
        for variant in ["c", "b"] {
            assert_eq!(it.source_of(HOST, "/v", variant).await, Source::Miss, "{variant}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn each_key_rule_takes_its_raw_keys_and_no_others() {
        let paths = ["/p?a=1", "/p?b=2&a=1", "/p?a=1&b=2", "/p", "/P?a=1", "/p?a=2"];
        for (rules, left) in [
            ("default", vec!["/p?b=2&a=1", "/p?a=1&b=2", "/p", "/P?a=1", "/p?a=2"]),
            ("query=drop", vec!["/P?a=1"]),
            ("query=only:a", vec!["/p", "/P?a=1", "/p?a=2"]),
            ("query=without:b", vec!["/p", "/P?a=1", "/p?a=2"]),
            ("case=folded", vec!["/p?b=2&a=1", "/p?a=1&b=2", "/p", "/p?a=2"]),
        ] {
            let it = Beside::start(rules).await;
            it.keep(&paths).await;
            let gone = u32::try_from(paths.len() - left.len()).unwrap();
            assert_eq!(it.purge(Mode::Delete, &url("/p?a=1")).await, Outcome::counted(gone));
            assert_eq!(it.kept(&paths).await, left, "{rules}");
        }
        let it = Beside::start("order=sorted").await;
        it.keep(&paths).await;
        assert_eq!(it.purge(Mode::Delete, &url("/p?b=2&a=1")).await, Outcome::counted(2));
        assert_eq!(it.kept(&paths).await, ["/p?a=1", "/p", "/P?a=1", "/p?a=2"]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn ports_count_as_the_rules_say_and_rules_may_change() {
        let it = Beside::start_with("default", "$scheme://$http_host$request_uri").await;
        let port = format!("{HOST}:8080");
        it.keep(&["/p"]).await;
        it.keep_variant(&port, "/p", "").await;
        assert_eq!(it.purge(Mode::Delete, &format!("http://{port}/p")).await, Outcome::counted(1));
        assert_eq!(it.source("/p").await, Source::Hit);
        it.keep_variant(&port, "/p", "").await;
        ready(&it.purger, 2, "port=shared scheme=separate").await;
        assert_eq!(it.purge(Mode::Delete, &format!("https://{HOST}/p")).await, Outcome::Absent);
        assert_eq!(it.source("/p").await, Source::Hit);
        assert_eq!(it.purge(Mode::Delete, &url("/p")).await, Outcome::counted(2));
        assert_eq!(it.source("/p").await, Source::Miss);
        assert_eq!(it.source_of(&port, "/p", "").await, Source::Miss);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn directory_host_and_everything_end_where_they_should() {
        let it = Beside::start("default").await;
        let paths = ["/d", "/d/", "/d/x?y", "/d/e/f", "/d?x", "/d2", "/D/x"];
        it.keep(&paths).await;
        it.keep_variant("www.b.test", "/d/x", "").await;
        assert_eq!(it.purge_directory(Mode::Delete, &url("/d/")).await, Outcome::counted(3));
        assert_eq!(it.kept(&paths).await, ["/d", "/d?x", "/d2", "/D/x"]);
        it.keep(&paths).await;
        assert_eq!(it.purge_directory(Mode::Delete, &url("/d")).await, Outcome::counted(5));
        assert_eq!(it.kept(&paths).await, ["/d2", "/D/x"]);
        it.keep(&paths).await;
        assert_eq!(it.purge_directory(Mode::Delete, &url("/")).await, Outcome::counted(7));
        assert!(it.kept(&paths).await.is_empty());
        it.keep(&paths).await;
        assert_eq!(it.source_of("www.b.test", "/d/x", "").await, Source::Hit);
        assert_eq!(it.purger.everything(Seq(9)).await, Outcome::counted(8));
        assert!(it.kept(&paths).await.is_empty());
        assert_eq!(it.source_of("www.b.test", "/d/x", "").await, Source::Miss);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn expired_copy_is_confirmed_by_the_origin_before_it_is_served_again() {
        let it = Beside::start("default").await;
        let state = async |path: &str| {
            let answer = get(it.cache.traffic, HOST, path, &[]).await;
            (answer.fields["x-cache"].to_str().unwrap().to_owned(), answer.body)
        };
        for path in ["/e/1", "/e/2"] {
            it.origin.set_validated(path);
        }
        it.keep(&["/e/1", "/e/2"]).await;
        let (_, first) = state("/e/1").await;
        // Unchanged: the origin is asked, and says so.
        assert_eq!(it.purge(Mode::Expire, &url("/e/1")).await, Outcome::counted(1));
        assert_eq!(state("/e/1").await, ("REVALIDATED".to_owned(), first.clone()));
        assert_eq!(it.origin.confirmed("/e/1"), 1);
        assert_eq!(it.source("/e/1").await, Source::Hit);
        // Changed: the first answer is the new one.
        it.origin.set_version("/e/1", 2);
        it.origin.set_version("/e/2", 2);
        assert_eq!(it.purge_directory(Mode::Expire, &url("/e/")).await, Outcome::counted(2));
        for path in ["/e/1", "/e/2"] {
            let (how, body) = state(path).await;
            assert_eq!(how, "EXPIRED");
            assert_ne!(body, first);
        }
        assert_eq!(it.origin.confirmed("/e/1"), 1);
        // The file was neither removed nor forgotten.
        it.keep(&["/e/1"]).await;
        assert_eq!(it.purge(Mode::Delete, &url("/e/1")).await, Outcome::counted(1));
        assert_eq!(it.source("/e/1").await, Source::Miss);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn restarted_agent_finds_what_was_kept_before_and_asks_for_the_rules_first() {
        let mut it = Beside::start("default").await;
        let paths: Vec<String> = (0..300).map(|at| format!("/r/{at}")).collect();
        let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
        it.keep(&paths[..100]).await;
        it.agent.take().unwrap().stop().await;
        it.keep(&paths[100..200]).await;
        let (agent, purger) = agent(it.cache.cache_dir(), "$host$request_uri").await;
        let refused = purger.apply(&[invalidation(1, &url("/r/1"))]).await;
        assert_eq!(refused, [Outcome::Unreachable(Unreachable::Failed { status: 503 })]);
        // While it walks, more comes.
        tokio::join!(it.keep(&paths[200..]), ready(&purger, 1, "default"));
        let it = Beside { purger, agent: Some(agent), ..it };
        assert_eq!(it.purge_directory(Mode::Delete, &url("/r/")).await, Outcome::counted(300));
        assert!(it.kept(&paths).await.is_empty());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn burst_of_copies_is_purged_whole_at_once() {
        let it = Beside::start("default").await;
        for round in 0..2 {
            let paths: Vec<String> = (0..400).map(|at| format!("/b{round}/{at}")).collect();
            let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
            let (left, right) = paths.split_at(200);
            tokio::join!(it.keep(left), it.keep(right));
            assert_eq!(it.purge_directory(Mode::Delete, &url(&format!("/b{round}"))).await, Outcome::counted(400));
            assert!(it.kept(&paths).await.is_empty(), "round {round}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn file_that_cannot_be_removed_is_a_failure_with_its_reason() {
        let it = Beside::start("default").await;
        it.keep(&["/f", "/g"]).await;
        // A directory where the copy was: nobody can unlink it, not even root.
        let copy = files(&it.cache.cache_dir()).into_iter().find(|path| {
            let text = std::fs::read(path).unwrap();
            text.windows(13).any(|bytes| bytes == b"www.a.test/f\n")
        });
        let copy = copy.unwrap();
        std::fs::remove_file(&copy).unwrap();
        std::fs::create_dir(&copy).unwrap();
        let batch = [invalidation(1, &url("/f")), invalidation(2, &url("/g"))];
        let outcomes = it.purger.apply(&batch).await;
        let Outcome::Unreachable(Unreachable::Reported(why)) = &outcomes[0] else { panic!("{outcomes:?}") };
        assert!(why.as_str().contains("cannot remove"), "{why:?}");
        assert_eq!(outcomes[1], Outcome::counted(1));
        std::fs::remove_dir(&copy).unwrap();
        assert_eq!(it.purge(Mode::Delete, &url("/f")).await, Outcome::Absent);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn fetch_whose_body_is_being_written_is_not_kept() {
        let it = Beside::start("default").await;
        let id = "/temp";
        it.keep(&[id]).await;
        // As nginx leaves it while the body comes; a real one takes a slow body, which the origin has not.
        let copy = files(&it.cache.cache_dir()).remove(0);
        let temp = copy.with_extension("0000000042");
        std::fs::copy(&copy, &temp).unwrap();
        assert_eq!(it.purge_directory(Mode::Expire, &url("/")).await, Outcome::counted(1));
        assert!(!temp.exists() && copy.exists());
        std::fs::write(&temp, b"").unwrap();
        assert_eq!(it.purge(Mode::Delete, &url(id)).await, Outcome::counted(1));
        assert!(!temp.exists() && !copy.exists());
    }
}

fn files(directory: &std::path::Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}
