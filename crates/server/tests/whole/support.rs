//! The real binary, run by tests.
//!
//! What this is: a configuration builder and a process that is started on free ports, found by its own
//! log lines, called like any client does, and stopped or killed by its own process id.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use bytes::Bytes;
use catharsis_tcapi::auth::{SecretId, SecretKey};
use catharsis_tcapi::cdn::{
    CacheNode, DescribeCacheNodesRequest, DescribeCacheNodesResponse, DescribePurgeReceiptsRequest,
    DescribePurgeReceiptsResponse, PurgeUrlsCacheRequest, PurgeUrlsCacheResponse, TaskStatus, VERSION,
};
use catharsis_tcapi::client::{Credentials, Moment, SignForm, Signer};
use catharsis_tcapi::envelope::{self, AnswerError};
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::net::TcpStream;

use crate::chaos::Clock;

/// The keys of the test account.
pub(crate) const SECRET_ID: &str = "AKIDtestaccount0000000000000000000001";
/// See [`SECRET_ID`].
pub(crate) const SECRET_KEY: &str = "Gu5t9xGARNpq86cd98joQYCN3EXAMPLE";
/// How long anything may take before a test gives up: far beyond what it needs on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A configuration file in the making.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    folder: std::sync::Arc<tempfile::TempDir>,
    text: String,
    clock: Option<std::sync::Arc<Clock>>,
}

impl Setup {
    /// API, store and operator's door on free ports; one account with `www.a.test` (global),
    /// `inland.a.test` (mainland), `abroad.a.test` (overseas), `off.a.test` (offline), and another
    /// account with `other.test`.
    pub(crate) fn new() -> Self {
        Self::with_limits("urls_per_day = 100000000\npaths_per_day = 100000000\nrequests_per_second = 1000000\n")
    }

    /// No API: one built-in edge whose requests all go to one upstream, and the operator's door.
    pub(crate) fn edge_only(traffic: SocketAddr, control: SocketAddr, upstream: SocketAddr) -> Self {
        let folder = std::sync::Arc::new(tempfile::tempdir().expect("a temporary folder"));
        let text = format!(
            "[ops]\nlisten = \"127.0.0.1:0\"\n[log]\nformat = \"json\"\n[[edge]]\nname = \"edge\"\n\
             listen = \"{traffic}\"\ncontrol = \"{control}\"\n[[edge.route]]\nhost = \"*\"\nupstream = \"{upstream}\"\n"
        );
        Self { folder, text, clock: None }
    }

    /// No API: one built-in edge that serves only the domains that it is told, from origins of this machine too.
    pub(crate) fn edge_for_domains(traffic: SocketAddr, control: SocketAddr) -> Self {
        let folder = std::sync::Arc::new(tempfile::tempdir().expect("a temporary folder"));
        let text = format!(
            "[ops]\nlisten = \"127.0.0.1:0\"\n[log]\nformat = \"json\"\n[[edge]]\nname = \"edge\"\n\
             listen = \"{traffic}\"\ncontrol = \"{control}\"\nlocal_origins = \"allow\"\n"
        );
        Self { folder, text, clock: None }
    }

    /// The same as [`Self::new`] with these `[limits]`.
    pub(crate) fn with_limits(limits: &str) -> Self {
        let folder = std::sync::Arc::new(tempfile::tempdir().expect("a temporary folder"));
        let store = folder.path().join("catharsis.db");
        let text = format!(
            r#"
[api]
listen = "127.0.0.1:0"
[ops]
listen = "127.0.0.1:0"
[store]
path = {store:?}
[log]
format = "json"
filter = "info"
[audit]
mode = "off"
[limits]
{limits}
[[account]]
uin = 1
[[account.key]]
secret_id = "{SECRET_ID}"
secret_key = "{SECRET_KEY}"
[[account.domain]]
name = "www.a.test"
[[account.domain]]
name = "inland.a.test"
area = "mainland"
[[account.domain]]
name = "abroad.a.test"
area = "overseas"
[[account.domain]]
name = "off.a.test"
status = "offline"
[[account]]
uin = 2
[[account.domain]]
name = "other.test"
"#
        );
        Self { folder, text, clock: None }
    }

    /// Adds a line to `[api]`.
    pub(crate) fn api_line(mut self, line: &str) -> Self {
        self.text = self.text.replacen("[api]\n", &format!("[api]\n{line}\n"), 1);
        self
    }

    /// Adds a line to the first `[[edge]]`.
    pub(crate) fn edge_line(mut self, line: &str) -> Self {
        self.text = self.text.replacen("[[edge]]\n", &format!("[[edge]]\n{line}\n"), 1);
        self
    }

    /// Takes the address for plain HTTP out of `[api]`.
    pub(crate) fn without_plain_http(mut self) -> Self {
        self.text = self.text.replacen("[api]\nlisten = \"127.0.0.1:0\"\n", "[api]\n", 1);
        self
    }

    /// The auditor on, with the shortest tolerances: the first look comes after 3 s.
    pub(crate) fn audited(mut self, repeats: &str) -> Self {
        let on = format!("[audit]\nevery = \"20ms\"\nrounding = \"1s\"\nclock_skew = \"0s\"\nrepeats = {repeats}\n");
        self.text = self.text.replacen("[audit]\nmode = \"off\"\n", &on, 1);
        self
    }

    /// Adds a section, in TOML.
    pub(crate) fn section(mut self, toml: &str) -> Self {
        self.text.push_str(toml);
        self.text.push('\n');
        self
    }

    /// Adds a node with these further lines.
    pub(crate) fn node(self, name: &str, area: &str, kind: &str, address: SocketAddr, more: &str) -> Self {
        self.section(&format!(
            "[[node]]\nname = {name:?}\narea = {area:?}\nkind = {kind:?}\naddress = \"{address}\"\n{more}"
        ))
    }

    /// The server's wall clock is this one.
    pub(crate) fn clock(mut self, clock: &std::sync::Arc<Clock>) -> Self {
        self.clock = Some(std::sync::Arc::clone(clock));
        self
    }

    /// Writes the file and starts the server.
    pub(crate) fn start(&self) -> Server {
        self.start_by(Command::new(env!("CARGO_BIN_EXE_catharsis")))
    }

    fn start_by(&self, mut command: Command) -> Server {
        if let Some(clock) = &self.clock {
            clock.lend(&mut command);
        }
        let mut server = Server::start_by(command, &self.write());
        server.folder = Some(std::sync::Arc::clone(&self.folder));
        server.clock.clone_from(&self.clock);
        server
    }

    /// As [`Self::start`], for a server that gets an error and no signal when its files may not grow (`RLIMIT_FSIZE`), as
    /// when the disk is full.
    pub(crate) fn start_for_a_full_disk(&self) -> Server {
        let mut command = Command::new("sh");
        // What is ignored stays ignored over exec.
        command.args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_catharsis")]);
        self.start_by(command)
    }

    /// Where the store is.
    pub(crate) fn store(&self) -> PathBuf {
        self.folder.path().join("catharsis.db")
    }

    /// Writes the file.
    pub(crate) fn write(&self) -> PathBuf {
        let path = self.folder.path().join("catharsis.toml");
        std::fs::write(&path, &self.text).expect("a writable folder");
        path
    }
}

/// A running server. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub api: SocketAddr,
    pub ops: SocketAddr,
    /// The API with TLS, if the configuration asks for it.
    pub tls: SocketAddr,
    /// The built-in edge, if the configuration has one: where clients connect, and where relays do.
    pub edge: (SocketAddr, SocketAddr),
    lines: Receiver<String>,
    /// The store's folder lives as long as the server.
    folder: Option<std::sync::Arc<tempfile::TempDir>>,
    clock: Option<std::sync::Arc<Clock>>,
}

impl Server {
    /// Starts the binary and waits until it says that it is ready.
    pub(crate) fn start(config: &Path) -> Self {
        Self::start_by(Command::new(env!("CARGO_BIN_EXE_catharsis")), config)
    }

    /// Starts it by a command that becomes the binary.
    fn start_by(mut command: Command, config: &Path) -> Self {
        let mut child = command
            .args(["serve", "--config"])
            .arg(config)
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary was built");
        let stderr = child.stderr.take().expect("it is piped");
        // Bounded: when nobody reads, the newest lines are dropped, never the server held up.
        let (sender, lines) = sync_channel(10_000);
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let _full_or_gone = sender.try_send(line);
            }
        });
        let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut server = Self {
            child,
            api: unknown,
            ops: unknown,
            tls: unknown,
            edge: (unknown, unknown),
            lines,
            folder: None,
            clock: None,
        };
        server.await_ready();
        server
    }

    fn await_ready(&mut self) {
        let mut seen = Vec::new();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("the server did not become ready: {seen:#?}");
            };
            let event: Value = serde_json::from_str(&line).unwrap_or_default();
            let field = |name: &str| event[name].as_str().and_then(|text| text.parse().ok());
            let address = || field("address");
            match (event["message"].as_str(), event["door"].as_str()) {
                (Some("catharsis is ready"), _) => return,
                (Some("listening"), Some("api")) => self.api = address().expect("an address"),
                (Some("edge started"), _) => {
                    self.edge = field("traffic_addr").zip(field("control_addr")).expect("two addresses");
                }
                (Some("listening with TLS"), Some("api")) => self.tls = address().expect("an address"),
                (Some("listening"), Some("ops")) => self.ops = address().expect("an address"),
                _ => {}
            }
            seen.push(line);
        }
    }

    /// Waits until the server logs this message, and returns the event.
    pub(crate) fn await_event(&self, message: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let line = self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now()));
            let line = line.unwrap_or_else(|_| panic!("the server does not log {message:?}"));
            let event: Value = serde_json::from_str(&line).unwrap_or_default();
            if event["message"] == message {
                return event;
            }
        }
    }

    /// Its process.
    pub(crate) fn process_id(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL, at once.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("our own child");
        self.child.wait().expect("our own child");
        self.swept();
    }

    /// Once only: later another process may have its number.
    fn swept(&mut self) {
        if self.clock.take().is_some() {
            Clock::swept(self.child.id());
        }
    }

    /// Sends a signal (`TERM`, `HUP`, `STOP`, `CONT`) to this process.
    pub(crate) fn signal(&self, name: &str) {
        let asked = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status();
        assert!(asked.is_ok_and(|status| status.success()), "our own child can be asked");
    }

    /// SIGTERM, and the exit status.
    pub(crate) async fn terminate(mut self) -> std::process::ExitStatus {
        self.signal("TERM");
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("our own child") {
                return status;
            }
            assert!(Instant::now() < deadline, "it did not end after SIGTERM");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// A client of the API.
    pub(crate) fn client(&self) -> Client {
        Client::new(self.api)
    }

    /// A page of the operator's door: status and body.
    pub(crate) async fn ops(&self, path: &str) -> (u16, String) {
        let request = Request::get(path).header("host", "ops").body(Full::default()).expect("a valid request");
        let answer = Connection::open(self.ops).await.expect("the door is open").send(request).await;
        let (status, body) = answer.expect("an answer");
        (status, String::from_utf8_lossy(&body).into_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Gone already after `kill` or `terminate`.
        let _killed = self.child.kill();
        let _ended = self.child.wait();
        self.swept();
    }
}

/// An address of the loopback interface that was free a moment ago.
pub(crate) fn free_address() -> SocketAddr {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    socket.local_addr().expect("a bound socket has an address")
}

/// A kept connection.
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
}

impl Connection {
    /// Connects.
    pub(crate) async fn open(to: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { sender })
    }

    /// Sends a request and reads the whole answer.
    pub(crate) async fn send(&mut self, request: Request<Full<Bytes>>) -> anyhow::Result<(u16, Bytes)> {
        let answer = self.sender.send_request(request).await?;
        let status = answer.status().as_u16();
        Ok((status, answer.into_body().collect().await?.to_bytes()))
    }
}

/// A client that signs as the test account.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    api: SocketAddr,
    signer: Signer,
    /// By how many seconds its clock is off.
    turned: i64,
}

impl Client {
    pub(crate) fn new(api: SocketAddr) -> Self {
        let signer = signer(api, SignForm::Tc3Post);
        Self { api, signer, turned: 0 }
    }

    /// One whose clock is off by so many seconds.
    pub(crate) fn turned(&self, seconds: i64) -> Self {
        Self { turned: seconds, ..self.clone() }
    }

    /// A signed request.
    pub(crate) fn sign(&self, action: &str, parameters: &impl Serialize) -> Request<Full<Bytes>> {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        let unix = i64::try_from(now.as_secs()).expect("before 292 billion") + self.turned;
        let at = Moment { unix, nonce: 1 };
        self.signer.sign(action, VERSION, parameters, at).expect("parameters of a test").map(Full::new)
    }

    /// Calls an action: the answer's fields, the API's error code, or that there was no answer.
    pub(crate) async fn call<T: DeserializeOwned>(&self, action: &str, parameters: &impl Serialize) -> Answer<T> {
        self.exchange(self.sign(action, parameters)).await
    }

    /// Calls an action with any bytes as its body: the signature of this form does not cover it.
    pub(crate) async fn call_with_body<T: DeserializeOwned>(&self, action: &str, body: Bytes) -> Answer<T> {
        let mut unsigned = self.clone();
        unsigned.signer = signer(self.api, SignForm::Tc3PostUnsigned);
        self.exchange(unsigned.sign(action, &serde_json::json!({})).map(|_| Full::new(body))).await
    }

    async fn exchange<T: DeserializeOwned>(&self, request: Request<Full<Bytes>>) -> Answer<T> {
        let exchange = async {
            let (_status, body) = Connection::open(self.api).await?.send(request).await?;
            anyhow::Ok(body)
        };
        match exchange.await {
            Err(error) => Answer::Silence(error.to_string()),
            Ok(body) => match envelope::parse(&body) {
                Ok(answer) => Answer::Ok(answer.fields),
                Err(AnswerError::Api(error)) => Answer::Refused { code: error.code, message: error.message },
                Err(error @ AnswerError::Foreign { .. }) => panic!("not an answer of the API: {error}"),
            },
        }
    }

    /// Purges URLs and returns the task.
    pub(crate) async fn purge(&self, urls: &[&str]) -> String {
        let answer: Answer<PurgeUrlsCacheResponse> = self.call("PurgeUrlsCache", &purge_urls(urls)).await;
        answer.expect("the purge is accepted").task_id
    }

    /// What became of a task.
    pub(crate) async fn receipts(&self, task_id: &str) -> DescribePurgeReceiptsResponse {
        let request = DescribePurgeReceiptsRequest::of(task_id);
        self.call("DescribePurgeReceipts", &request).await.expect("the task is known")
    }

    /// A node as it is shown, if there is one of that name.
    pub(crate) async fn node(&self, name: &str) -> Option<CacheNode> {
        let answer = self.call("DescribeCacheNodes", &DescribeCacheNodesRequest {}).await;
        let DescribeCacheNodesResponse { nodes } = answer.expect("it has no parameters");
        nodes.into_iter().find(|node| node.node == name)
    }

    /// Waits until a node is shown as wanted, and returns it.
    pub(crate) async fn await_node(&self, name: &str, what: &str, is: impl Fn(&CacheNode) -> bool) -> CacheNode {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.node(name).await {
                Some(node) if is(&node) => return node,
                other => assert!(Instant::now() < deadline, "{name} is never {what}: {other:?}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until a node is shown in this state.
    pub(crate) async fn await_state(&self, name: &str, state: &str) {
        self.await_node(name, state, |node| node.state == state).await;
    }

    /// Waits until a node of a task cannot be told, and returns why.
    pub(crate) async fn await_trouble(&self, task_id: &str, node: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let receipts = self.receipts(task_id).await;
            assert_ne!(receipts.status, TaskStatus::Done, "{receipts:#?}");
            if let Some(trouble) = receipts.nodes.into_iter().find(|it| it.node == node).and_then(|it| it.trouble) {
                return trouble;
            }
            assert!(Instant::now() < deadline, "{node} has no trouble");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until a task has a status.
    pub(crate) async fn await_status(&self, task_id: &str, status: TaskStatus) -> DescribePurgeReceiptsResponse {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let receipts = self.receipts(task_id).await;
            if receipts.status == status {
                return receipts;
            }
            assert!(Instant::now() < deadline, "the task does not become {status:?}: {receipts:#?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn signer(api: SocketAddr, form: SignForm) -> Signer {
    let secret_id = SecretId::parse(SECRET_ID).expect("a valid id");
    let credentials = Credentials { secret_id, secret_key: SecretKey::new(SECRET_KEY), token: None };
    Signer::new(&api.to_string(), credentials, form).expect("a valid host")
}

/// How a call ended.
#[derive(Debug)]
pub(crate) enum Answer<T> {
    Ok(T),
    Refused { code: String, message: String },
    Silence(String),
}

impl<T: std::fmt::Debug> Answer<T> {
    /// The fields.
    pub(crate) fn expect(self, why: &str) -> T {
        match self {
            Self::Ok(fields) => fields,
            Self::Refused { .. } | Self::Silence(_) => panic!("{why}: {self:?}"),
        }
    }

    /// The code of a refusal.
    pub(crate) fn code(self) -> String {
        match self {
            Self::Refused { code, .. } => code,
            Self::Ok(_) | Self::Silence(_) => panic!("a refusal was expected: {self:?}"),
        }
    }
}

/// A request to purge URLs where their domains are served.
pub(crate) fn purge_urls<'a>(urls: &[&'a str]) -> PurgeUrlsCacheRequest<'a> {
    PurgeUrlsCacheRequest::of(urls.iter().map(|url| (*url).into()).collect())
}
