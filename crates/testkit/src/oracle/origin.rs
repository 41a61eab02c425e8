//! The origin of an oracle's site: alone it knows the versions.
//!
//! What this is: a real HTTP/1.1 server that takes up to some seconds for a response, in length or in
//! chunks, confirms what is current (304), sends ranges, fails, falls silent and cuts bodies off, as its
//! [`Manners`] and a seed say. What this is not: an origin whose pages a test holds in its hand; that is
//! [`crate::origin`].
//!
//! Invariants:
//!
//! - The version is read when the request has come, under the lock under which versions change.
//! - No response lasts longer than [`Manners::slowest`] and [`LATE`]: on a machine too busy for that it is
//!   cut off. So whoever configures a fence by the slowest fetch is not deceived by the test itself.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, ETAG, IF_NONE_MATCH, RANGE, VARY};
use http::{HeaderMap, Method, Request, StatusCode};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

use super::history::{History, Version};
use super::page::{PageId, Pages, VARIANT, etag, of_etag};
pub use super::response::Manners;
use super::response::{Ending, Framing, Response, chance};

/// What a response may be late beyond its manners before it is cut off: scheduling on a busy machine.
pub const LATE: Duration = Duration::from_millis(300);

/// Pieces of a body that is sent slowly.
const PIECES: u32 = 8;

/// The site: its history, and what goes on at its origin.
#[derive(Debug)]
pub struct Site {
    history: Mutex<History>,
    began: Instant,
    asked: Vec<AtomicU64>,
    open: Vec<AtomicU32>,
    counts: Counts,
}

/// Responses so far.
#[derive(Debug, Default)]
pub struct Counts {
    /// Requests.
    pub requests: AtomicU64,
    /// Answered by 304.
    pub confirmed: AtomicU64,
    /// Failures of any kind, on purpose.
    pub failed: AtomicU64,
    /// Cut off since they were late.
    pub late: AtomicU64,
}

impl Site {
    fn new(pages: Pages) -> Self {
        Self {
            history: Mutex::new(History::new(pages)),
            began: Instant::now(),
            asked: std::iter::repeat_with(AtomicU64::default).take(pages.count()).collect(),
            open: std::iter::repeat_with(AtomicU32::default).take(pages.count()).collect(),
            counts: Counts::default(),
        }
    }

    /// The history, locked. Never held across an await.
    pub fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Time since the start.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// Responses so far.
    #[must_use]
    pub const fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Whether a response of this page is under way.
    #[must_use]
    pub fn is_fetching(&self, pages: Pages, page: PageId) -> bool {
        self.open[pages.index(page)].load(Ordering::Relaxed) > 0
    }
}

/// A running origin. Ends when dropped.
#[derive(Debug)]
pub struct OracleOrigin {
    address: SocketAddr,
    site: Arc<Site>,
    server: JoinHandle<()>,
}

impl OracleOrigin {
    /// Starts an origin on a free port of the loopback address.
    ///
    /// # Panics
    /// When no port can be had.
    pub async fn start(pages: Pages, manners: Manners, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let site = Arc::new(Site::new(pages));
        let door = Door { site: Arc::clone(&site), pages, manners, seed };
        Self { address, site, server: tokio::spawn(serve(listener, door)) }
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its site.
    #[must_use]
    pub const fn site(&self) -> &Arc<Site> {
        &self.site
    }
}

impl Drop for OracleOrigin {
    fn drop(&mut self) {
        self.server.abort();
    }
}

#[derive(Clone, Debug)]
struct Door {
    site: Arc<Site>,
    pages: Pages,
    manners: Manners,
    seed: u64,
}

async fn serve(listener: TcpListener, door: Door) {
    // Dropped with this worker, so that no connection outlives the origin.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(connection(stream, door.clone()));
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(stream: TcpStream, door: Door) {
    let service = service_fn(move |request| answer(door.clone(), request));
    // Ends when the client goes, and when a response is cut off on purpose.
    let _ended = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// A response that ends before its end, on purpose.
#[derive(Debug)]
struct Cut;

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("cut off")
    }
}

impl std::error::Error for Cut {}

/// Counts a response as under way.
#[derive(Debug)]
struct Open(Arc<Site>, usize);

impl Open {
    fn new(site: &Arc<Site>, index: usize) -> Self {
        site.open[index].fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(site), index)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open[self.1].fetch_sub(1, Ordering::Relaxed);
    }
}

async fn answer(door: Door, request: Request<Incoming>) -> Result<http::Response<Pieces>, Cut> {
    let came = Instant::now();
    let Door { site, pages, manners, seed } = door;
    let page = PageId::parse(request.uri().path());
    let current = page.and_then(|page| site.history().current(page).map(|version| (page, version)));
    let Some((page, version)) = current else {
        let absent = http::Response::builder().status(StatusCode::NOT_FOUND);
        return Ok(absent.header(CACHE_CONTROL, "no-store").body(Pieces::empty()).expect("constant fields are valid"));
    };
    let index = pages.index(page);
    let open = Open::new(&site, index);
    let number = site.asked[index].fetch_add(1, Ordering::Relaxed);
    site.counts.requests.fetch_add(1, Ordering::Relaxed);
    let how = Response::draw(manners, &mut chance(seed, 1 + index as u64, number));

    sleep_until(came + how.head_after).await;
    let cut_at = came + manners.slowest + LATE;
    if Instant::now() > cut_at {
        site.counts.late.fetch_add(1, Ordering::Relaxed);
        return Err(Cut);
    }
    if how.ending != Ending::Whole {
        site.counts.failed.fetch_add(1, Ordering::Relaxed);
    }
    match how.ending {
        Ending::Silence => Err(Cut),
        Ending::Failure(status) => {
            // Not to be kept, and told apart from pages by its body.
            let failure = http::Response::builder().status(status).header(CACHE_CONTROL, "no-store");
            Ok(failure.body(Pieces::empty()).expect("a status of a test is one"))
        }
        Ending::Whole | Ending::CutOff => {
            let (head, body) = head(page, version, &how, request.method(), request.headers());
            if head.status == StatusCode::NOT_MODIFIED {
                site.counts.confirmed.fetch_add(1, Ordering::Relaxed);
            }
            let pieces = send_slowly(body, &how, cut_at, open);
            Ok(response(&head, page, pieces))
        }
    }
}

/// What the head says, beside what it always says.
#[derive(Debug)]
struct Head {
    status: StatusCode,
    etag: String,
    lifetimes: String,
    range: Option<String>,
    length: Option<usize>,
}

/// The head, and what of the body goes with it.
fn head(page: PageId, version: Version, how: &Response, method: &Method, fields: &HeaderMap) -> (Head, Bytes) {
    let field = |name| fields.get(name).and_then(|value| value.to_str().ok());
    let known = field(IF_NONE_MATCH).is_some_and(|list| list.split(',').any(|it| of_etag(it) == Some(version)));
    let body = Bytes::from(page.body(version));
    let whole = body.len();
    let mut head = Head {
        status: StatusCode::OK,
        etag: etag(version),
        lifetimes: how.cache_control(),
        range: None,
        length: (how.framing == Framing::Length).then_some(whole),
    };
    if known {
        head.status = StatusCode::NOT_MODIFIED;
        head.length = None;
        return (head, Bytes::new());
    }
    let Some((first, last)) = field(RANGE).and_then(|range| wanted(range, whole)) else {
        let sent = if method == Method::HEAD { Bytes::new() } else { body };
        return (head, sent);
    };
    head.status = StatusCode::PARTIAL_CONTENT;
    head.range = Some(format!("bytes {first}-{last}/{whole}"));
    head.length = head.length.map(|_| last - first + 1);
    (head, body.slice(first..=last))
}

/// One range of the form `bytes=FIRST-LAST` within the body; anything else is answered by the whole.
fn wanted(range: &str, whole: usize) -> Option<(usize, usize)> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
    (first <= last && last < whole).then_some((first, last))
}

fn response(head: &Head, page: PageId, pieces: Pieces) -> http::Response<Pieces> {
    let mut response = http::Response::builder().status(head.status).header(ETAG, &head.etag);
    response = response.header(CACHE_CONTROL, &head.lifetimes);
    if page.varies() {
        response = response.header(VARY, VARIANT);
    }
    if let Some(range) = &head.range {
        response = response.header(CONTENT_RANGE, range);
    }
    if let Some(length) = head.length {
        response = response.header(CONTENT_LENGTH, length);
    }
    response.body(pieces).expect("fields made of numbers are valid")
}

/// Sends a body in pieces, evenly over its time, and ends it as it is to end.
fn send_slowly(body: Bytes, how: &Response, cut_at: Instant, open: Open) -> Pieces {
    let (sender, receiver) = mpsc::channel(1);
    let Response { body_over, ending, .. } = *how;
    if body.is_empty() {
        return Pieces::empty();
    }
    let began = Instant::now();
    tokio::spawn(async move {
        let each = body.len().div_ceil(PIECES as usize);
        for (number, piece) in (0..).zip(body.chunks(each)) {
            sleep_until(began + body_over * number / PIECES).await;
            let late = Instant::now() > cut_at;
            if late {
                open.0.counts.late.fetch_add(1, Ordering::Relaxed);
            }
            let cut = late || (ending == Ending::CutOff && number == PIECES / 2);
            let piece = if cut { Err(Cut) } else { Ok(body.slice_ref(piece)) };
            // Nobody takes it: the client went away.
            if sender.send(piece).await.is_err() || cut {
                return;
            }
        }
        sleep_until(began + body_over).await;
        if Instant::now() > cut_at {
            open.0.counts.late.fetch_add(1, Ordering::Relaxed);
            let _gone = sender.send(Err(Cut)).await;
        }
    });
    Pieces(Some(receiver))
}

/// A body that comes in pieces.
#[derive(Debug)]
struct Pieces(Option<mpsc::Receiver<Result<Bytes, Cut>>>);

impl Pieces {
    const fn empty() -> Self {
        Self(None)
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match &mut self.0 {
            None => Poll::Ready(None),
            Some(receiver) => receiver.poll_recv(context).map(|piece| piece.map(|piece| piece.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        if self.0.is_none() { SizeHint::with_exact(0) } else { SizeHint::default() }
    }
}
