//! An origin that gives each of its answers a number.
//!
//! What this is: whatever is asked for is there, may be kept for ten minutes, and says by
//! [`SERIAL`] which answer it is; it varies by the field that the request names in [`VARY`], and serves a
//! range as 206. What this is not: a site with pages of its own; see `crate::origin`.
//!
//! Invariant: no number is given twice, so an answer whose number was seen before is a copy.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

/// The field that holds an answer's number.
pub(super) const SERIAL: &str = "x-serial";
/// The field by which a request says by which field its answer varies.
pub(super) const VARY: &str = "x-varies-by";

const BODY: &[u8] = b"0123456789";

/// A running origin. Ends when dropped.
#[derive(Debug)]
pub struct NumberingOrigin {
    address: SocketAddr,
    next: Arc<AtomicU64>,
    server: JoinHandle<()>,
}

impl NumberingOrigin {
    /// Starts an origin on a free port of the loopback address.
    ///
    /// # Panics
    /// When no port can be had.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let next = Arc::new(AtomicU64::new(1));
        let server = tokio::spawn(serve(listener, Arc::clone(&next)));
        Self { address, next, server }
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The number of its next answer.
    pub(super) fn next(&self) -> u64 {
        self.next.load(Ordering::SeqCst)
    }
}

impl Drop for NumberingOrigin {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(listener: TcpListener, next: Arc<AtomicU64>) {
    // Dropped with the listener's worker, so that no connection outlives the origin.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        // Small answers would wait for an acknowledgement; where it cannot be set, they do.
        let _slower = stream.set_nodelay(true);
        let next = Arc::clone(&next);
        connections.spawn(async move {
            let service = service_fn(move |request| answer(next.fetch_add(1, Ordering::SeqCst), request));
            // A cache that goes away ends its connection; that is no failure.
            let _ended = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn answer(serial: u64, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = Response::builder()
        .header(header::CACHE_CONTROL, "public, max-age=600")
        .header(SERIAL, serial)
        .header(header::ACCEPT_RANGES, "bytes");
    if let Some(field) = request.headers().get(VARY) {
        response = response.header(header::VARY, field);
    }
    // The one range that the corpus asks for.
    let body = if request.headers().get(header::RANGE).is_some_and(|it| it == super::client::RANGE) {
        response = response.status(206).header(header::CONTENT_RANGE, format!("bytes 0-1/{}", BODY.len()));
        &BODY[..2]
    } else {
        BODY
    };
    Ok(response.body(Full::new(Bytes::from_static(body))).expect("constant fields are valid"))
}
