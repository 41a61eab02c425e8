//! A real HTTP origin whose pages a test can change, count and hold back.
//!
//! What this is: for each path (with its query) a version, which is the body; a gate before the
//! answer's head; the number of requests that came. The version is read when a request comes, not
//! when it is answered: a held answer is the old page, as with a slow origin.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A running origin. Ends when dropped.
#[derive(Debug)]
pub struct Origin {
    address: SocketAddr,
    pages: Arc<Pages>,
    server: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Pages {
    by_path: Mutex<HashMap<String, Page>>,
}

#[derive(Debug)]
struct Page {
    version: u64,
    status: u16,
    text: Option<String>,
    vary: Option<&'static str>,
    modified: Option<SystemTime>,
    validated: bool,
    confirmed: u64,
    padding: usize,
    gate: watch::Sender<Gate>,
    requests: watch::Sender<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gate {
    Open,
    Closed,
    /// Opens by itself, this long after a request came.
    Slow(Duration),
}

impl Default for Page {
    fn default() -> Self {
        Self {
            version: 1,
            status: 200,
            text: None,
            vary: None,
            modified: None,
            validated: false,
            confirmed: 0,
            padding: 0,
            gate: watch::Sender::new(Gate::Open),
            requests: watch::Sender::new(0),
        }
    }
}

impl Pages {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Page>> {
        self.by_path.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, path: &str, act: impl FnOnce(&mut Page) -> T) -> T {
        act(self.lock().entry(path.to_owned()).or_default())
    }
}

impl Origin {
    /// Starts an origin on a free port of the loopback address.
    ///
    /// # Panics
    /// When no port can be had.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let pages = Arc::new(Pages::default());
        let server = tokio::spawn(serve(listener, Arc::clone(&pages)));
        Self { address, pages, server }
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes a page: requests that come from now on get this version. The first is 1.
    pub fn set_version(&self, path: &str, version: u64) {
        self.pages.with(path, |page| page.version = version);
    }

    /// Answers a page with this status.
    pub fn set_status(&self, path: &str, status: u16) {
        self.pages.with(path, |page| page.status = status);
    }

    /// Answers a page with this text, whatever its version.
    pub fn set_text(&self, path: &str, text: &str) {
        self.pages.with(path, |page| page.text = Some(text.to_owned()));
    }

    /// Makes a page vary by a header field, whose value is then part of the body.
    pub fn set_vary(&self, path: &str, field: &'static str) {
        self.pages.with(path, |page| page.vary = Some(field));
    }

    /// Says of a page when it was modified. Like the version it is read when a request comes.
    pub fn set_modified(&self, path: &str, at: SystemTime) {
        self.pages.with(path, |page| page.modified = Some(at));
    }

    /// Gives a page an `ETag`, its text, and answers 304 to whoever has it already (RFC 9110, section 13.1.2).
    pub fn set_validated(&self, path: &str) {
        self.pages.with(path, |page| page.validated = true);
    }

    /// Answers of a page so far that were 304.
    #[must_use]
    pub fn confirmed(&self, path: &str) -> u64 {
        self.pages.with(path, |page| page.confirmed)
    }

    /// Makes a page's body so many bytes longer.
    pub fn set_padding(&self, path: &str, bytes: usize) {
        self.pages.with(path, |page| page.padding = bytes);
    }

    /// Holds back the answers of a page until [`Self::release`].
    pub fn hold(&self, path: &str) {
        self.pages.with(path, |page| page.gate.send_replace(Gate::Closed));
    }

    /// Answers a page this long after each request.
    pub fn slow(&self, path: &str, delay: Duration) {
        let slow = Gate::Slow(delay);
        self.pages.with(path, |page| page.gate.send_replace(slow));
    }

    /// Lets the answers of a page go.
    pub fn release(&self, path: &str) {
        self.pages.with(path, |page| page.gate.send_replace(Gate::Open));
    }

    /// Requests for a page so far.
    #[must_use]
    pub fn requests(&self, path: &str) -> u64 {
        self.pages.with(path, |page| *page.requests.borrow())
    }

    /// Makes a page what it was before anybody asked for it or changed it.
    pub fn forget(&self, path: &str) {
        self.pages.lock().remove(path);
    }

    /// Waits until so many requests for a page have come.
    ///
    /// # Panics
    /// When they do not come within ten seconds.
    pub async fn requested(&self, path: &str, count: u64) {
        let mut requests = self.pages.with(path, |page| page.requests.subscribe());
        let come = requests.wait_for(|come| *come >= count);
        let come = tokio::time::timeout(Duration::from_secs(10), come).await;
        assert!(come.is_ok(), "{count} requests for {path} do not come");
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(listener: TcpListener, pages: Arc<Pages>) {
    // Dropped with the listener's worker, so that no connection outlives the origin.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(connection(stream, Arc::clone(&pages)));
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(stream: TcpStream, pages: Arc<Pages>) {
    let service = service_fn(move |request| answer(Arc::clone(&pages), request));
    // A client that goes away ends its connection; that is no failure of a test.
    let _ended = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(pages: Arc<Pages>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let known = request.headers().get("if-none-match").and_then(|value| value.to_str().ok());
    let (status, text, etag, modified, vary, padding, mut gate) = pages.with(path, |page| {
        page.requests.send_modify(|requests| *requests += 1);
        let text = page.text.clone().unwrap_or_else(|| format!("v{}", page.version));
        let etag = page.validated.then(|| format!("\"{text}\""));
        let confirmed = etag.is_some() && etag.as_deref() == known;
        page.confirmed += u64::from(confirmed);
        let status = if confirmed { 304 } else { page.status };
        (status, text, etag, page.modified, page.vary, page.padding, page.gate.subscribe())
    });
    let now = *gate.borrow();
    match now {
        Gate::Open => {}
        // A gate whose sender is gone belongs to an origin that has ended.
        Gate::Closed => drop(gate.wait_for(|gate| *gate != Gate::Closed).await),
        Gate::Slow(delay) => tokio::time::sleep(delay).await,
    }
    let mut body = text;
    let mut response = Response::builder().status(status).header("cache-control", "public, max-age=600");
    if let Some(etag) = etag {
        response = response.header("etag", etag);
    }
    if let Some(modified) = modified {
        response = response.header("last-modified", httpdate::fmt_http_date(modified));
    }
    if status == 304 {
        return Ok(response.body(Full::default()).expect("a text of a test is a valid field"));
    }
    if let Some(field) = vary {
        let value = request.headers().get(field);
        body.push(' ');
        body.push_str(value.and_then(|value| value.to_str().ok()).unwrap_or("-"));
        response = response.header("vary", field);
    }
    body.push_str(&"x".repeat(padding));
    let response = response.body(Full::new(Bytes::from(body)));
    Ok(response.expect("constant fields are valid"))
}
