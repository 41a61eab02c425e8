//! The courier with real receivers over HTTP.
//!
//! The wall clock is set forward by hand where a repetition must become due; what has to happen is waited
//! for at the receiver or at the store, never for a time.

use std::convert::Infallible;
use std::net::SocketAddr;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use catharsis_adapters::store::sqlite::{SqliteOptions, SqliteStore};
use catharsis_core::account::Limits;
use catharsis_core::area::Area;
use catharsis_core::clock::{Tick, UnixMillis};
use catharsis_core::domain::Directory;
use catharsis_core::limits::FAIL_AFTER;
use catharsis_core::notice::Undelivered;
use catharsis_core::plan::{Caller, Plan, Purge};
use catharsis_core::ports::Log;
use catharsis_core::receipt::{Outcome, Refusal, Unreachable};
use catharsis_core::target::{Encode, Mode};
use catharsis_core::task::{TaskId, TaskKind};
use catharsis_registry::Defaults;
use catharsis_registry::change::AccountPatch;
use catharsis_registry::vault::Vault;
use catharsis_testkit::fake_cache::Act;
use catharsis_testkit::plans::{self, ACCOUNT};
use catharsis_testkit::sim::{Server, SimClock, World};
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::pki_types::PrivateKeyDer;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::config::Span;

/// What must happen does so within this time, or the test fails.
const PATIENCE: Duration = Duration::from_secs(20);

async fn within<T>(what: &str, happens: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, happens).await.unwrap_or_else(|_| panic!("{what} does not happen"))
}

/// A message as it came.
#[derive(Debug)]
struct Received {
    headers: HeaderMap,
    body: Bytes,
}

impl Received {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).expect("a header in ASCII")
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    /// Checks the signature as a receiver does that knows nothing of ours: HMAC (RFC 2104) by hand.
    fn is_signed_with(&self, secret: &str) -> bool {
        let key = STANDARD.decode(secret.strip_prefix("whsec_").expect("a secret")).expect("base64");
        let mut block = [0; 64];
        block[..key.len()].copy_from_slice(&key);
        let signed = [
            self.header("webhook-id").as_bytes(),
            b".",
            self.header("webhook-timestamp").as_bytes(),
            b".",
            &self.body[..],
        ];
        let inner = Sha256::digest([&block.map(|byte| byte ^ 0x36)[..], &signed.concat()].concat());
        let outer = Sha256::digest([&block.map(|byte| byte ^ 0x5c)[..], &inner[..]].concat());
        self.header("webhook-signature") == format!("v1,{}", STANDARD.encode(outer))
    }
}

/// A receiver whose answers come from a list of statuses; 0 stands for none at all.
struct Receiver {
    address: SocketAddr,
    received: mpsc::Receiver<Received>,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Receiver {
    /// Answers with these statuses, one after the other; the last one repeats.
    async fn start(statuses: &'static [u16]) -> Self {
        Self::listen(statuses, None).await
    }

    async fn listen(statuses: &'static [u16], tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (sender, received) = mpsc::channel(1_000);
        let server = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
            while let Ok((stream, _)) = listener.accept().await {
                let (sender, count, tls) = (sender.clone(), Arc::clone(&count), tls.clone());
                let service = service_fn(move |request| {
                    let place = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    receive(request, sender.clone(), statuses[place.min(statuses.len() - 1)])
                });
                connections.spawn(async move {
                    let http = hyper::server::conn::http1::Builder::new();
                    let Some(tls) = tls else {
                        let _ended = http.serve_connection(TokioIo::new(stream), service).await;
                        return;
                    };
                    // A client that does not trust the certificate ends the handshake.
                    let Ok(stream) = tls.accept(stream).await else { return };
                    let _ended = http.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { address, received, server }
    }

    async fn next(&mut self) -> Received {
        within("a message", self.received.recv()).await.expect("the receiver runs")
    }

    fn url(&self) -> String {
        format!("http://{}/told?key=hidden", self.address)
    }
}

async fn receive(
    request: Request<Incoming>,
    sender: mpsc::Sender<Received>,
    status: u16,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.expect("a whole message").to_bytes();
    sender.send(Received { headers: head.headers, body }).await.expect("the test goes on");
    if status == 0 {
        return std::future::pending().await;
    }
    let response = Response::builder().status(status).body(Full::new(Bytes::from_static(b"said so")));
    Ok(response.expect("a valid status"))
}

/// A world with one node, its server, and endpoints.
struct Town {
    world: World,
    server: Server,
    parts: Webhooks,
}

impl Town {
    async fn new() -> Self {
        let world = World::new(vec![plans::node("n1")], 7);
        let server = world.start().await;
        let store: Arc<dyn Store> = Arc::new(world.store.clone());
        let clock: Arc<dyn Clock> = Arc::new(world.clock.clone());
        let log = Arc::new(world.log.clone());
        let board = Arc::clone(&server.board);
        let directory = server.service.directory();
        let newest = Arc::new(move || Arc::clone(&directory));
        let service = PurgeService::new(Arc::clone(&store), log, Arc::clone(&clock), board, newest, FAIL_AFTER);
        let registry = registry(&store, &clock).await;
        let board = Arc::clone(&server.board);
        let parts = Webhooks { store, service: Arc::new(service), board, clock, registry };
        Self { world, server, parts }
    }

    /// Makes an endpoint and returns its secret.
    async fn endpoint(&self, name: &str, url: &str) -> String {
        let made = self.parts.registry.create_webhook(ACCOUNT, name, url).await;
        made.expect("a new endpoint").value.secret
    }

    /// Purges a page and waits until that is settled.
    async fn purge(&self, notify: &[&str]) -> TaskId {
        let id = purge(&self.parts.service, notify).await;
        within("the purge", self.server.settled(&self.world.nodes[0])).await;
        id
    }

    fn courier(&self, section: &WebhooksSection) -> Courier {
        Courier::new(self.parts.clone(), section).expect("no file is read")
    }

    async fn undelivered(&self, endpoint: &str) -> Vec<Undelivered> {
        self.parts.store.undelivered(ACCOUNT, endpoint, 100).await.expect("memory never fails")
    }

    /// Notices that would be due in a year, whatever became of them so far.
    async fn open(&self) -> usize {
        let mut view = self.parts.service.view();
        view.now.0 += 365 * 86_400_000;
        self.parts.store.notices_due(view, 1_000).await.expect("memory never fails").len()
    }
}

async fn registry(store: &Arc<dyn Store>, clock: &Arc<dyn Clock>) -> Arc<Registry> {
    let defaults = Defaults { limits: Limits::default(), requests_per_second: 20 };
    let opened = Registry::open(Arc::clone(store), Arc::clone(clock), Vault::new(&[7; 32]), defaults).await;
    let registry = opened.expect("a readable registry");
    if !registry.snapshot().accounts.contains_key(&ACCOUNT) {
        registry.create_account(Some(ACCOUNT.0), &AccountPatch::default()).await.expect("a new account");
    }
    Arc::new(registry)
}

async fn purge(service: &PurgeService, notify: &[&str]) -> TaskId {
    let request = Purge {
        kind: TaskKind::Url,
        mode: Mode::Delete,
        items: vec!["http://a.test/page".into()],
        area: Some(Area::Mainland),
        encode: Encode::AsSubmitted,
        claim: None,
        notify: notify.iter().map(|name| (*name).into()).collect(),
    };
    service.purge(&Caller::root(ACCOUNT), request).await.expect("a valid purge is accepted")
}

fn section() -> WebhooksSection {
    // No test may pass because an attempt ended by its time.
    WebhooksSection { timeout: Span::seconds(60), ..WebhooksSection::default() }
}

/// Looks once and waits for the end of all that was sent.
async fn round(courier: &mut Courier) {
    assert_eq!(courier.look().await, Haste::Soon);
    within("the end of the messages", async { while courier.land().await.is_some() {} }).await;
}

/// A clock on which the time of the next look never comes, so that only what happens wakes; it tells when
/// somebody waits for that time.
#[derive(Debug)]
struct Standing(SimClock, Arc<Notify>);

#[async_trait]
impl Clock for Standing {
    fn wall(&self) -> UnixMillis {
        self.0.wall()
    }

    fn tick(&self) -> Tick {
        self.0.tick()
    }

    async fn sleep_until(&self, until: Tick) {
        if until.since(self.0.tick()) > LOOK_EVERY / 2 {
            self.1.notify_one();
            std::future::pending::<()>().await;
        }
        self.0.sleep_until(until).await;
    }

    fn random(&self) -> u64 {
        self.0.random()
    }
}

#[tokio::test]
async fn endpoint_is_told_as_soon_as_the_task_is_done() {
    let town = Town::new().await;
    let mut receiver = Receiver::start(&[204]).await;
    let secret = town.endpoint("ops", &receiver.url()).await;
    let (mut workers, stop) = (JoinSet::new(), CancellationToken::new());
    let waits = Arc::new(Notify::new());
    let clock = Arc::new(Standing(town.world.clock.clone(), Arc::clone(&waits)));
    let parts = Webhooks { clock, ..town.parts.clone() };
    start(&mut workers, parts, &section(), stop.clone()).expect("no file is read");
    within("the first look", waits.notified()).await;
    let task = town.purge(&["ops"]).await;
    let message = receiver.next().await;
    assert!(message.is_signed_with(&secret));
    assert!(!message.is_signed_with("whsec_AAAA"), "the check can fail");
    assert_eq!(message.header("webhook-id"), format!("{task}_ops"));
    assert_eq!(message.header("content-type"), "application/json");
    let json = message.json();
    assert_eq!((&json["type"], &json["data"]["TaskId"]), (&"purge.done".into(), &task.as_str().into()));
    assert_eq!(json["data"]["Nodes"][0]["Node"], "n1");
    stop.cancel();
    within("the end of the worker", workers.join_all()).await;
    assert_eq!(town.open().await, 0, "a confirmed notice is forgotten");
}

#[tokio::test]
async fn task_that_fails_by_time_is_told_then_and_not_again_when_it_is_done_after_all() {
    let town = Town::new().await;
    let mut receiver = Receiver::start(&[204]).await;
    town.endpoint("ops", &receiver.url()).await;
    let node = &town.world.nodes[0];
    town.world.cache(&node.id).down(Unreachable::Timeout);
    purge(&town.parts.service, &["ops"]).await;
    let mut standing = town.server.board.watch(&node.id).expect("a node on the board");
    let troubled = standing.wait_for(|standing| standing.trouble.is_some());
    within("trouble", troubled).await.expect("the board lives");
    let mut courier = town.courier(&section());
    round(&mut courier).await;
    assert!(receiver.received.try_recv().is_err(), "it is under way");

    town.world.clock.jump(FAIL_AFTER.as_millis().try_into().expect("minutes"));
    town.world.clock.jump(1);
    round(&mut courier).await;
    let json = receiver.next().await.json();
    assert_eq!((&json["type"], &json["data"]["Status"]), (&"purge.failed".into(), &"fail".into()));
    assert_eq!(json["data"]["Nodes"][0]["Pending"], 1);
    assert_eq!(json["data"]["Nodes"][0]["Trouble"], "no answer in time");

    town.world.cache(&node.id).up();
    within("the purge", town.server.settled(node)).await;
    round(&mut courier).await;
    assert!(receiver.received.try_recv().is_err(), "it was told");
}

#[tokio::test]
async fn certificate_of_an_endpoint_is_verified() {
    let town = Town::new().await;
    let folder = tempfile::tempdir().expect("a folder");
    let ca_file = folder.path().join("ca.pem");
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    std::fs::write(&ca_file, made.cert.pem()).expect("a file");
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|tls| tls.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key));
    let tls = TlsAcceptor::from(Arc::new(tls.expect("they fit")));
    let mut receiver = Receiver::listen(&[200], Some(tls)).await;
    let url = receiver.url().replace("http://", "https://");
    town.endpoint("ops", &url).await;
    town.purge(&["ops"]).await;
    round(&mut town.courier(&section())).await;
    let [refused] = &town.undelivered("ops").await[..] else { panic!("one is listed") };
    assert!(refused.why.contains("certificate"), "{}", refused.why);
    assert!(receiver.received.try_recv().is_err(), "nothing is said to a stranger");

    town.world.clock.jump(7_000);
    round(&mut town.courier(&WebhooksSection { ca_file: Some(ca_file), ..section() })).await;
    assert_eq!(receiver.next().await.json()["type"], "purge.done");
}

#[tokio::test]
async fn failed_task_is_told_once_with_node_and_reason() {
    let town = Town::new().await;
    let mut receiver = Receiver::start(&[204]).await;
    town.endpoint("ops", &receiver.url()).await;
    let refused = Outcome::Refused(Refusal::Malformed { status: 400 });
    town.world.cache(&plans::name("n1")).follow(move |_| Act::says(refused.clone()));
    town.purge(&["ops"]).await;
    round(&mut town.courier(&section())).await;
    let json = receiver.next().await.json();
    assert_eq!(json["type"], "purge.failed");
    assert_eq!(json["data"]["Nodes"][0]["Refused"][0]["Url"], "http://a.test/page");
    assert_eq!(town.open().await, 0);
}

#[tokio::test]
async fn receiver_that_fails_twice_is_told_a_third_time_under_the_same_id() {
    let town = Town::new().await;
    let mut receiver = Receiver::start(&[500, 500, 200]).await;
    let secret = town.endpoint("ops", &receiver.url()).await;
    town.purge(&["ops"]).await;
    let mut courier = town.courier(&section());
    let mut messages = Vec::new();
    for after_seconds in [0, 7, 38] {
        town.world.clock.jump(after_seconds * 1_000);
        round(&mut courier).await;
        messages.push(receiver.next().await);
        // At once again: it is not due.
        round(&mut courier).await;
        assert!(receiver.received.try_recv().is_err(), "repeated too early");
    }
    assert!(messages.iter().all(|message| message.is_signed_with(&secret)));
    let ids: Vec<&str> = messages.iter().map(|message| message.header("webhook-id")).collect();
    assert!(ids.windows(2).all(|pair| pair[0] == pair[1]), "{ids:?}");
    let times: Vec<u64> =
        messages.iter().map(|message| message.header("webhook-timestamp").parse().expect("seconds")).collect();
    assert!(times[0] + 7 <= times[1] && times[1] + 38 <= times[2], "each attempt is signed anew: {times:?}");
    assert_eq!(town.open().await, 0);
}

#[tokio::test]
async fn reason_is_kept_while_it_is_repeated_and_when_it_is_given_up() {
    let town = Town::new().await;
    let mut receiver = Receiver::start(&[500]).await;
    let gone = Receiver::start(&[410]).await;
    town.endpoint("ops", &receiver.url()).await;
    town.endpoint("gone", &gone.url()).await;
    town.purge(&["ops", "gone"]).await;
    // Two attempts: the delay after the second is beyond ten seconds.
    let mut courier = town.courier(&WebhooksSection { give_up_after: Span::seconds(10), ..section() });
    round(&mut courier).await;
    let [repeated] = &town.undelivered("ops").await[..] else { panic!("one is listed") };
    assert_eq!((repeated.notice.attempts, repeated.again.is_some()), (1, true));
    assert_eq!(&*repeated.why, "the endpoint answered 500: said so");
    let [over] = &town.undelivered("gone").await[..] else { panic!("one is listed") };
    assert!(over.again.is_none() && over.why.contains("410"), "{over:?}");
    town.world.clock.jump(7_000);
    round(&mut courier).await;
    let [over] = &town.undelivered("ops").await[..] else { panic!("one is listed") };
    assert_eq!((over.notice.attempts, over.again), (2, None));
    assert_eq!(&*over.why, "given up after 2 attempts: the endpoint answered 500: said so");
    town.world.clock.jump(86_400_000);
    round(&mut courier).await;
    receiver.next().await;
    receiver.next().await;
    assert!(receiver.received.try_recv().is_err(), "what is given up is not sent");
}

#[tokio::test]
async fn deleted_endpoint_is_given_up_by_that_name() {
    let town = Town::new().await;
    let mut receiver = Receiver::start(&[200]).await;
    town.endpoint("ops", &receiver.url()).await;
    town.purge(&["ops"]).await;
    town.parts.registry.delete_webhook(ACCOUNT, "ops").await.expect("it is there");
    round(&mut town.courier(&section())).await;
    let [over] = &town.undelivered("ops").await[..] else { panic!("one is listed") };
    assert_eq!((&*over.why, over.again), ("the endpoint was deleted", None));
    assert!(receiver.received.try_recv().is_err());
}

#[tokio::test]
async fn dead_endpoint_does_not_delay_another() {
    let town = Town::new().await;
    let mute = Receiver::start(&[0]).await;
    let mut receiver = Receiver::start(&[200]).await;
    town.endpoint("mute", &mute.url()).await;
    town.endpoint("ops", &receiver.url()).await;
    // More than a first page of the dead one's stand in front.
    for _ in 0..PAGE_FIRST + 1 {
        purge(&town.parts.service, &["mute"]).await;
    }
    let task = town.purge(&["ops"]).await;
    let mut courier = town.courier(&WebhooksSection { at_once: 3, ..section() });
    assert_eq!(courier.look().await, Haste::Soon);
    assert_eq!(receiver.next().await.json()["data"]["TaskId"], task.as_str());
    assert_eq!(courier.flying.len(), 3, "two to the dead one, one to the other");
}

#[tokio::test]
async fn notices_of_a_dead_endpoint_step_back_behind_its_rest() {
    let town = Town::new().await;
    // A port where nobody listens.
    let url = Receiver::start(&[200]).await.url();
    town.endpoint("dead", &url).await;
    for _ in 0..200 {
        purge(&town.parts.service, &["dead"]).await;
    }
    town.purge(&["dead"]).await;
    let mut courier = town.courier(&section());
    round(&mut courier).await;
    round(&mut courier).await;
    let due = town.parts.store.notices_due(town.parts.service.view(), 1_000).await.expect("memory never fails");
    assert_eq!(due.len(), 0, "none stands before those of others");
    let listed = town.parts.store.undelivered(ACCOUNT, "dead", 1_000).await.expect("memory never fails");
    assert_eq!(listed.len(), 201);
    let moved = listed.iter().filter(|it| it.why.starts_with("not sent, since another message had no answer"));
    assert_eq!(moved.count(), 199);
    assert!(listed.iter().all(|it| it.again.is_some() && !it.why.contains("hidden")));
}

#[tokio::test]
async fn message_whose_confirmation_was_lost_in_a_crash_is_sent_again() {
    let town = Town::new().await;
    let mut receiver = Receiver::start(&[0, 200]).await;
    town.endpoint("ops", &receiver.url()).await;
    town.purge(&["ops"]).await;
    let mut courier = town.courier(&section());
    assert_eq!(courier.look().await, Haste::Soon);
    let first = receiver.next().await;
    // The receiver has it, the store does not know: here the process dies.
    drop(courier);
    round(&mut town.courier(&section())).await;
    let second = receiver.next().await;
    assert_eq!(first.header("webhook-id"), second.header("webhook-id"), "so that it can drop the second");
    assert_eq!(first.body, second.body);
    assert_eq!(town.open().await, 0);
}

#[tokio::test]
async fn message_of_a_task_from_before_a_restart_is_sent() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.db");
    let clock: Arc<dyn Clock> = Arc::new(SimClock::new(7));
    let mut receiver = Receiver::start(&[200]).await;
    let plan = Plan {
        notify: vec!["ops".into()],
        ..plans::plan(0, &["http://a.test/page"], catharsis_core::area::AreaSet::One(Area::Mainland))
    };
    let task = plan.task.id.clone();
    let (store, log) = SqliteStore::open(&path, SqliteOptions::default()).expect("a new store");
    let store = Arc::new(store);
    let port: Arc<dyn Store> = store.clone();
    let made = registry(&port, &clock).await.create_webhook(ACCOUNT, "ops", &receiver.url()).await;
    let secret = made.expect("a new endpoint").value.secret;
    store.submit(plan).await.expect("there is quota");
    store.close().await;
    drop((port, store, log));

    let (store, log) = SqliteStore::open(&path, SqliteOptions::default()).expect("the same store");
    let store: Arc<dyn Store> = Arc::new(store);
    // No node: nothing there can serve an old copy, so the task is done.
    let log: Arc<dyn Log> = Arc::new(log);
    let board = Arc::new(Board::new(&[], Vec::new(), Arc::clone(&log)));
    let shown = Arc::clone(&board);
    let nothing = Arc::new(Arc::<Directory>::default);
    let service = PurgeService::new(Arc::clone(&store), log, Arc::clone(&clock), shown, nothing, FAIL_AFTER);
    let registry = registry(&store, &clock).await;
    let parts = Webhooks { store: Arc::clone(&store), service: Arc::new(service), board, clock, registry };
    let mut courier = Courier::new(parts, &section()).expect("no file is read");
    round(&mut courier).await;
    let message = receiver.next().await;
    assert!(message.is_signed_with(&secret));
    assert_eq!(message.json()["data"]["TaskId"], task.as_str());
    assert_eq!(store.undelivered(ACCOUNT, "ops", 10).await, Ok(Vec::new()));
}
