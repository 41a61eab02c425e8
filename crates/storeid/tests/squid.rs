//! The agent beside a real Squid, set up by the sample configurations.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use catharsis_core::invalidation::Seq;
use catharsis_core::target::{CachePrefix, CacheUrl, Encode, Mode, Target};
use catharsis_edge::control::Orders;
use catharsis_edge::protocol::{DomainRules, DomainTable, InvalidationsRequest, LogId, WireInvalidation, WireOutcome};
use catharsis_storeid::SquidAgent;
use catharsis_testkit::caches::{RealCache, Relay};
use catharsis_testkit::client::{Source, get};
use catharsis_testkit::conformance::invalidation;
use catharsis_testkit::origin::Origin;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

const HOST: &str = "www.a.test";
const PROGRAM: &str = env!("CARGO_BIN_EXE_catharsis-store-id");

/// An agent that runs, and its end.
struct Running {
    agent: SquidAgent,
    address: SocketAddr,
    stop: CancellationToken,
    served: tokio::task::JoinHandle<()>,
}

impl Running {
    async fn start(journal: &Path, address: Option<SocketAddr>) -> Self {
        Self::with_room(journal, address, 1_000).await
    }

    async fn with_room(journal: &Path, address: Option<SocketAddr>, marks_max: usize) -> Self {
        let agent = SquidAgent::open(journal, NonZeroUsize::new(marks_max).expect("more than none"));
        let agent = agent.expect("a journal");
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = TcpListener::bind(address.unwrap_or(any)).await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let stop = CancellationToken::new();
        let (serving, stopping) = (agent.clone(), stop.clone());
        let served = tokio::spawn(async move { serving.serve_helpers(listener, stopping).await });
        Self { agent, address, stop, served }
    }

    async fn end(self) -> SocketAddr {
        self.stop.cancel();
        self.served.await.expect("it ends");
        self.address
    }

    async fn purge(&self, seq: u64, target: Target) {
        let order = [catharsis_core::invalidation::Invalidation {
            target: target.into(),
            mode: Mode::Delete,
            ..invalidation(seq, "http://any.test/")
        }];
        let wire: Result<Vec<_>, _> = order.iter().map(WireInvalidation::try_from).collect();
        let log = LogId::new("log").expect("a name");
        let upto = Seq(seq).try_into().expect("a small number");
        let order = InvalidationsRequest::new(log, upto, wire.expect("it fits")).expect("it fits");
        let response = self.agent.carry_out(order).await.expect("carried out");
        assert_eq!(response.outcomes, [WireOutcome::Applied]);
    }

    async fn purge_url(&self, seq: u64, url: &str) {
        self.purge(seq, Target::Url(CacheUrl::parse(url, Encode::AsSubmitted).expect("a URL"))).await;
    }

    async fn purge_directory(&self, seq: u64, url: &str) {
        self.purge(seq, Target::Prefix(CachePrefix::parse(url, Encode::AsSubmitted).expect("a directory"))).await;
    }
}

struct Stage {
    origin: Origin,
    folder: TempDir,
    running: Running,
    squid: RealCache,
}

impl Stage {
    async fn set() -> Self {
        let origin = Origin::start().await;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let running = Running::start(&folder.path().join("journal"), None).await;
        let program = Path::new(PROGRAM);
        let squid = RealCache::squid_with_agent(origin.address(), Relay::Elsewhere, program, running.address).await;
        Self { origin, folder, running, squid }
    }

    fn journal(&self) -> PathBuf {
        self.folder.path().join("journal")
    }

    async fn source_at(&self, host: &str, path: &str, fields: &[(&'static str, &str)]) -> Source {
        get(self.squid.traffic, host, path, fields).await.source()
    }

    async fn source(&self, path: &str) -> Source {
        self.source_at(HOST, path, &[]).await
    }

    /// Fetches it, and sees that it is kept.
    async fn keep(&self, path: &str) {
        self.source(path).await;
        assert_eq!(self.source(path).await, Source::Hit, "{path}");
    }
}

mod whole {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn purge_through_the_agent_takes_what_it_names_and_nothing_beside() {
        let stage = Stage::set().await;
        let paths = ["/", "/a?b=c", "/%7Ea", "/~a", "/a//b", "/%c3%a9", "/'\"", "/d/x", "/d", "/d2", "/d?q"];
        for path in paths {
            stage.keep(path).await;
        }
        for (seq, path) in (1..).zip(&paths[..7]) {
            stage.running.purge_url(seq, &format!("http://{HOST}{path}")).await;
            assert_eq!(stage.source(path).await, Source::Miss, "{path}");
            assert_eq!(stage.source(path).await, Source::Hit, "{path}");
        }
        stage.running.purge_directory(20, &format!("https://{HOST}/d")).await;
        for (path, expect) in [
            ("/d/x", Source::Miss),
            ("/d", Source::Miss),
            ("/d?q", Source::Miss),
            ("/d2", Source::Hit),
            ("/", Source::Hit),
        ] {
            assert_eq!(stage.source(path).await, expect, "{path}");
        }
        stage.source_at("b.test", "/", &[]).await;
        stage.running.purge_directory(21, &format!("http://{HOST}/")).await;
        assert_eq!(stage.source("/d2").await, Source::Miss);
        assert_eq!(stage.source_at("b.test", "/", &[]).await, Source::Hit);
        stage.running.purge(22, Target::Everything).await;
        assert_eq!(stage.source_at("b.test", "/", &[]).await, Source::Miss);
        // What the origin is asked for is what the client asked for.
        assert_eq!(stage.origin.requests("/d?q"), 2);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn variants_are_kept_and_go_all_at_once() {
        let stage = Stage::set().await;
        stage.origin.set_vary("/v", "x-variant");
        let variants = ["a", "b", "c"];
        for round in [1, 2] {
            for variant in variants {
                let fields = [("x-variant", variant)];
                assert_eq!(stage.source_at(HOST, "/v", &fields).await, Source::Miss, "{variant}");
                assert_eq!(stage.source_at(HOST, "/v", &fields).await, Source::Hit, "{variant}");
            }
            for variant in variants {
                assert_eq!(stage.source_at(HOST, "/v", &[("x-variant", variant)]).await, Source::Hit, "{variant}");
            }
            stage.running.purge_url(round, &format!("http://{HOST}/v")).await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn fetch_begun_before_a_purge_is_never_served_after_it() {
        let stage = Stage::set().await;
        stage.origin.hold("/slow");
        let traffic = stage.squid.traffic;
        let old = tokio::spawn(async move { get(traffic, HOST, "/slow", &[]).await });
        wait_for(|| stage.origin.requests("/slow") == 1).await;
        stage.origin.set_version("/slow", 2);
        stage.running.purge_url(1, &format!("http://{HOST}/slow")).await;
        stage.origin.release("/slow");
        let old = old.await.expect("an answer").body;
        let fresh = get(traffic, HOST, "/slow", &[]).await;
        assert_eq!(fresh.source(), Source::Miss);
        assert_ne!(fresh.body, old);
        let kept = get(traffic, HOST, "/slow", &[]).await;
        assert_eq!((kept.source(), kept.body), (Source::Hit, fresh.body));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn restarts_of_squid_and_agent_bring_nothing_back() {
        let mut stage = Stage::set().await;
        for path in ["/kept", "/gone"] {
            stage.keep(path).await;
        }
        stage.running.purge_url(1, &format!("http://{HOST}/gone")).await;
        stage.squid.restart_squid().await;
        assert_eq!(stage.source("/kept").await, Source::Hit);
        assert_eq!(stage.source("/gone").await, Source::Miss);

        let journal = stage.journal();
        stage.running.purge_url(2, &format!("http://{HOST}/gone")).await;
        let address = stage.running.end().await;
        // Nobody names anything now: nothing is kept, nothing is served from the cache.
        for _again in 0..2 {
            assert_eq!(get(stage.squid.traffic, HOST, "/kept", &[]).await.source(), Source::Miss);
        }
        stage.running = Running::start(&journal, Some(address)).await;
        wait_for_async(async || stage.source("/kept").await == Source::Hit).await;
        assert_eq!(stage.source("/gone").await, Source::Miss);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn squid_that_asked_for_nothing_for_a_while_still_gets_names() {
        let stage = Stage::set().await;
        stage.keep("/a").await;
        // What is tested is this time itself: more than the program that Squid starts waits for an answer.
        tokio::time::sleep(std::time::Duration::from_millis(1_200)).await;
        assert_eq!(stage.source("/a").await, Source::Hit);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn damaged_journal_makes_everything_old_unreachable() {
        let mut stage = Stage::set().await;
        stage.keep("/old").await;
        let journal = stage.journal();
        let address = stage.running.end().await;
        let mut text = std::fs::read(&journal).expect("readable");
        text[5] ^= 1;
        std::fs::write(&journal, text).expect("writable");
        stage.running = Running::start(&journal, Some(address)).await;
        let fetched = stage.origin.requests("/old");
        wait_for_async(async || stage.source("/old").await == Source::Hit).await;
        assert!(stage.origin.requests("/old") > fetched, "the old copy was served");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn confirmed_copies_and_ranges_go_on_working() {
        let stage = Stage::set().await;
        stage.origin.set_validated("/e");
        stage.keep("/e").await;
        let confirm = [("cache-control", "max-age=0")];
        stage.source_at(HOST, "/e", &confirm).await;
        assert_eq!(stage.origin.confirmed("/e"), 1);
        let part = get(stage.squid.traffic, HOST, "/e", &[("range", "bytes=0-0")]).await;
        assert_eq!((part.status.as_u16(), part.body.len(), part.source()), (206, 1, Source::Hit));
        stage.running.purge_url(1, &format!("http://{HOST}/e")).await;
        assert_eq!(stage.source("/e").await, Source::Miss);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn key_rules_decide_what_is_one_copy_and_one_purge() {
        let stage = Stage::set().await;
        let rules: Vec<DomainRules> = [
            ("drop.rules.test", "query=drop"),
            ("only.rules.test", "query=only:id,v"),
            ("without.rules.test", "query=without:utm_source,sid"),
            ("sorted.rules.test", "order=sorted"),
            ("folded.rules.test", "case=folded"),
            ("scheme.rules.test", "scheme=separate"),
            ("port.rules.test", "port=shared"),
        ]
        .into_iter()
        .map(|(name, rules)| {
            let json = format!(r#"{{"name":"{name}","rules":"{rules}"}}"#);
            serde_json::from_str(&json).unwrap_or_else(|error| panic!("{json}: {error}"))
        })
        .collect();
        let table = DomainTable::new(LogId::new("log").expect("a name"), 1, Vec::new()).expect("it fits");
        stage.running.agent.serve_domains(table.with_rules(rules).expect("it fits")).await.expect("taken");
        for (seq, host, one, same, other) in [
            (1, "drop.rules.test", "/p?a=1", "/p?b", "/q"),
            (2, "only.rules.test", "/p?x=1&id=2", "/p?id=2", "/p?id=3"),
            (3, "without.rules.test", "/p?sid=1&a=2", "/p?a=2", "/p?a=3"),
            (4, "sorted.rules.test", "/p?b&a", "/p?a&b", "/p?a"),
            (5, "folded.rules.test", "/P", "/p", "/q"),
        ] {
            for path in [one, other] {
                stage.source_at(host, path, &[]).await;
            }
            assert_eq!(stage.source_at(host, same, &[]).await, Source::Hit, "{host}");
            stage.running.purge_url(seq, &format!("http://{host}{same}")).await;
            assert_eq!(stage.source_at(host, one, &[]).await, Source::Miss, "{host}");
            assert_eq!(stage.source_at(host, other, &[]).await, Source::Hit, "{host}");
        }
        let (http, https) = (&[("x-forwarded-proto", "http")], &[("x-forwarded-proto", "https")]);
        for fields in [http, https] {
            assert_eq!(stage.source_at("scheme.rules.test", "/s", fields).await, Source::Miss);
        }
        stage.running.purge_url(6, "https://scheme.rules.test/s").await;
        assert_eq!(stage.source_at("scheme.rules.test", "/s", http).await, Source::Hit);
        assert_eq!(stage.source_at("scheme.rules.test", "/s", https).await, Source::Miss);

        stage.source_at("port.rules.test", "/", &[]).await;
        assert_eq!(stage.source_at("port.rules.test:8080", "/", &[]).await, Source::Hit);
        stage.running.purge_url(7, "http://port.rules.test:81/").await;
        assert_eq!(stage.source_at("port.rules.test", "/", &[]).await, Source::Miss);
    }
}

async fn wait_for(mut done: impl FnMut() -> bool) {
    wait_for_async(async || done()).await;
}

async fn wait_for_async(mut done: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(30);
    while !done().await {
        assert!(tokio::time::Instant::now() < deadline, "it does not come");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}
