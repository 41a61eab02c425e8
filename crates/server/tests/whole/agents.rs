//! The agents of the real binary, beside real caches: purges through the API, seen by clients.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use catharsis_tcapi::cdn::{CacheNode, FlushType, PurgePathCacheRequest, PurgePathCacheResponse, TaskStatus};
use catharsis_testkit::caches::{RealCache, Relay};
use catharsis_testkit::client::{Source, get};
use catharsis_testkit::origin::Origin;

use crate::support::{Client, PATIENCE, Setup, free_address};

const HOST: &str = "www.a.test";
const PROGRAM: &str = env!("CARGO_BIN_EXE_catharsis");
const RETRY: &str = "[relay]\nretry_first = \"20ms\"\nretry_max = \"50ms\"";

/// `catharsis agent`. Killed when dropped.
struct AgentProcess(Child);

impl AgentProcess {
    fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(PROGRAM);
        command.arg("agent").args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().expect("the binary was built"))
    }
}

impl Drop for AgentProcess {
    fn drop(&mut self) {
        // Gone already when it did not start.
        let _killed = self.0.kill();
        let _ended = self.0.wait();
    }
}

/// A Squid that is named by `catharsis store-id`.
async fn squid(origin: SocketAddr, helper: SocketAddr) -> RealCache {
    RealCache::squid_with_command(origin, Relay::Elsewhere, (Path::new(PROGRAM), "store-id --agent"), helper).await
}

fn squid_section(folder: &Path, control: SocketAddr, helper: SocketAddr) -> String {
    let journal = folder.join("journal");
    format!(
        "[[agent]]\nname = \"squid\"\nkind = \"squid\"\ncontrol = \"{control}\"\nhelper = \"{helper}\"\njournal = {journal:?}"
    )
}

fn nginx_section(cache: &RealCache, control: SocketAddr) -> String {
    let cache_dir = cache.cache_dir();
    format!(
        "[[agent]]\nname = \"nginx\"\nkind = \"nginx\"\ncontrol = \"{control}\"\ncache_dir = {cache_dir:?}\n\
         key = \"$scheme://$http_host$request_uri\""
    )
}

async fn source(cache: SocketAddr, path: &str) -> Source {
    get(cache, HOST, path, &[]).await.source()
}

/// Has these pages kept: what is fetched before the agent answers may not be.
async fn keep(cache: SocketAddr, paths: &[&str]) {
    let deadline = Instant::now() + PATIENCE;
    for path in paths {
        while source(cache, path).await != Source::Hit {
            assert!(Instant::now() < deadline, "{path} is not kept");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Purges a page and a directory by the API, and sees what is gone and what is not.
async fn assert_purges(client: &Client, cache: SocketAddr) {
    // Once this is done the node has joined, which cost all that it held.
    let joined = client.purge(&[&format!("http://{HOST}/first")]).await;
    client.await_status(&joined, TaskStatus::Done).await;
    keep(cache, &["/a", "/b", "/d/x", "/d/y/z", "/d2"]).await;
    let task = client.purge(&[&format!("http://{HOST}/a")]).await;
    let receipts = client.await_status(&task, TaskStatus::Done).await;
    assert_eq!(receipts.nodes.len(), 1);
    let request = PurgePathCacheRequest::of(vec![format!("http://{HOST}/d/").into()], FlushType::Delete);
    let answer = client.call::<PurgePathCacheResponse>("PurgePathCache", &request).await;
    client.await_status(&answer.expect("accepted").task_id, TaskStatus::Done).await;
    for (path, expect) in [
        ("/a", Source::Miss),
        ("/b", Source::Hit),
        ("/d/x", Source::Miss),
        ("/d/y/z", Source::Miss),
        ("/d2", Source::Hit),
    ] {
        assert_eq!(source(cache, path).await, expect, "{path}");
    }
    keep(cache, &["/a", "/d/x"]).await;
}

/// The node, once it is proven. Until nginx's agent has its table of domains it refuses, and is tried again.
async fn proof(client: &Client, name: &str) -> CacheNode {
    client.await_node(name, "proven", |node| node.proof.as_deref() == Some("proven")).await
}

#[tokio::test]
async fn squid_loses_pages_and_directories_by_an_agent_of_its_own_process() {
    let (origin, folder) = (Origin::start().await, tempfile::tempdir().expect("a temporary folder"));
    let (control, helper, token) = (free_address(), free_address(), folder.path().join("token"));
    std::fs::write(&token, "shared-with-the-agent\n").expect("a writable folder");
    let text = |path: &Path| path.to_str().expect("a temporary path is text").to_owned();
    let _agent = AgentProcess::start(&[
        "squid",
        "--journal",
        &text(&folder.path().join("journal")),
        "--helper",
        &helper.to_string(),
        "--control",
        &control.to_string(),
        "--token-file",
        &text(&token),
    ]);
    let squid = squid(origin.address(), helper).await;
    let more = format!("token_file = {token:?}");
    let server = Setup::new().section(RETRY).node("squid", "mainland", "squid-agent", control, &more).start();
    assert_purges(&server.client(), squid.traffic).await;
}

#[tokio::test]
async fn nginx_without_a_module_loses_pages_and_directories_by_an_agent_of_the_server() {
    let (origin, control) = (Origin::start().await, free_address());
    let nginx = RealCache::nginx_stock(origin.address()).await;
    let fence = "fence = { kind = \"none\" }";
    let server = Setup::new()
        .section(RETRY)
        .section(&nginx_section(&nginx, control))
        .node("nginx", "mainland", "nginx-agent", control, fence)
        .start();
    assert_purges(&server.client(), nginx.traffic).await;
    assert!(server.terminate().await.success());
}

#[tokio::test]
async fn trafficserver_loses_pages_and_directories_by_an_agent_of_the_server() {
    let (origin, control) = (Origin::start().await, free_address());
    let cache = RealCache::trafficserver(origin.address(), Relay::Allowed).await;
    let (rules, reload) = (cache.trafficserver_rules(), cache.trafficserver_reload());
    let loaded = rules.with_file_name("loaded");
    let section = format!(
        "[[agent]]\nname = \"ats\"\nkind = \"trafficserver\"\ncontrol = \"{control}\"\nrules = {rules:?}\n\
         loaded = {loaded:?}\nreload = {reload:?}"
    );
    // It joins by forgetting everything, which only the agent can tell it.
    let more = format!("agent = \"{control}\"\nfence = {{ kind = \"none\" }}");
    let server = Setup::new()
        .section(RETRY)
        .section(&section)
        .node("ats", "mainland", "trafficserver", cache.purge, &more)
        .start();
    assert_purges(&server.client(), cache.traffic).await;
}

#[tokio::test]
async fn caches_with_agents_prove_that_they_purge() {
    let (probe, folder) = (free_address(), tempfile::tempdir().expect("a temporary folder"));
    let ([nginx_control, squid_control], helper) = ([free_address(), free_address()], free_address());
    let nginx = RealCache::nginx_stock(probe).await;
    let traffic = |cache: &RealCache| format!("traffic = \"{}\"", cache.traffic);
    let fence = format!("{}\nfence = {{ kind = \"none\" }}", traffic(&nginx));
    let setup = Setup::new()
        .section(RETRY)
        .section(&format!("[probe]\nlisten = \"{probe}\""))
        .section(&nginx_section(&nginx, nginx_control))
        .section(&squid_section(folder.path(), squid_control, helper))
        .node("nginx", "mainland", "nginx-agent", nginx_control, &fence);
    let server = setup.start();
    // A Squid that starts before its origin answers its first request by 502.
    let squid = squid(probe, helper).await;
    setup.clone().node("squid", "overseas", "squid-agent", squid_control, &traffic(&squid)).write();
    server.signal("HUP");
    server.await_event("configuration read again");
    for name in ["nginx", "squid"] {
        let node = proof(&server.client(), name).await;
        assert_eq!(node.state, "ok", "{name}");
    }
}

#[test]
fn section_of_an_agent_holds_what_its_kind_has_and_nothing_of_another() {
    let check = |section: &str| {
        let output = Command::new(PROGRAM)
            .args(["check-config", "--config"])
            .arg(Setup::new().section(section).write())
            .output()
            .expect("the binary was built");
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let squid = "[[agent]]\nname = \"s\"\nkind = \"squid\"\njournal = \"/j\"\n";
    let good = "control = \"127.0.0.1:1\"\nhelper = \"127.0.0.1:2\"\n";
    assert_eq!(check(&format!("{squid}{good}")), (true, String::new()));
    for (lines, problem) in [
        (format!("{good}key = \"$host$request_uri\""), "key"),
        ("control = \"127.0.0.1:1\"\nhelper = \"10.0.0.1:2\"".to_owned(), "helper must be a loopback address"),
        ("control = \"10.0.0.1:1\"\nhelper = \"127.0.0.1:2\"".to_owned(), "control"),
        (format!("{good}marks_max = 0"), "marks_max must be at least 1"),
    ] {
        let (is_valid, told) = check(&format!("{squid}{lines}"));
        assert!(!is_valid && told.contains(problem), "{lines}: {told}");
    }
    let ats = "[[agent]]\nname = \"t\"\nkind = \"trafficserver\"\ncontrol = \"127.0.0.1:1\"\nrules = \"/r\"\nloaded = \"/l\"\n";
    assert_eq!(check(ats), (true, String::new()));
    for (line, problem) in [
        ("journal = \"/j\"", "journal"),
        ("rules_max = 1", "rules_max is from 2"),
        ("lifetime_max = \"5m\"", "lifetime_max is from 10 minutes"),
        ("reload = []", "reload names a program"),
    ] {
        let (is_valid, told) = check(&format!("{ats}{line}"));
        assert!(!is_valid && told.contains(problem), "{line}: {told}");
    }
}
