//! Fetching a URL through a node.
//!
//! What this is: the port `Fetcher` over HTTP/1.1: one connection a fetch, to the node's configured
//! traffic address. What this is not: an HTTP client of the caller's: a URL only ever fills the request
//! target and the `Host` field, and never names an address to connect to; redirects are not followed.
//!
//! Invariant: `Complete` means that the body was read to its end, as its framing says.

mod playlist;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use catharsis_core::push::Playlist;
use catharsis_core::push::ports::{Fetch, Fetched, Fetcher};
use catharsis_core::receipt::Reason;
use http::header::{CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderName, HeaderValue, Request};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::purger::NodeAddress;

/// Bytes of a playlist that are looked at; a longer one is fetched like any file, and not expanded.
const PLAYLIST_BYTES_MAX: usize = 1 << 20;
/// Most bytes of an answer's head, as caches themselves allow.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// How long to wait for a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchLimits {
    /// For a connection. Default 2 s, as for purges.
    pub connect: Duration,
    /// For a whole fetch. Default 5 min, the contract's usual time to effect.
    pub total: Duration,
}

impl Default for FetchLimits {
    fn default() -> Self {
        Self { connect: Duration::from_secs(2), total: Duration::from_secs(300) }
    }
}

/// Fetches through one node.
#[derive(Clone, Debug)]
pub struct HttpFetcher {
    address: NodeAddress,
    limits: FetchLimits,
}

impl HttpFetcher {
    /// Fetches through the node whose clients connect to this address.
    #[must_use]
    pub const fn new(address: NodeAddress, limits: FetchLimits) -> Self {
        Self { address, limits }
    }

    async fn attempt(&self, fetch: &Fetch) -> Result<Fetched, String> {
        let Some(request) = request(fetch) else {
            return Ok(Fetched::Impossible(Reason::new("the URL or a header field cannot be sent")));
        };
        let stream = timeout(self.limits.connect, TcpStream::connect(self.address.pair()))
            .await
            .map_err(|_| "no connection in time".to_owned())?
            .map_err(|error| format!("no connection: {error}"))?;
        let http1 = http1::Builder::new().max_buf_size(HEAD_BYTES_MAX).handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = http1.map_err(|error| broken("no answer", &error))?;
        let exchange = async {
            let answer = sender.send_request(request).await.map_err(|error| broken("no answer", &error))?;
            read(fetch, answer).await
        };
        tokio::pin!(connection);
        tokio::pin!(exchange);
        // The connection must be driven for the exchange to go on. Once it has ended, the exchange has all
        // that will ever come. Both end with this future when it is dropped.
        tokio::select! {
            answer = &mut exchange => answer,
            _ended = &mut connection => exchange.await,
        }
    }
}

#[async_trait]
impl Fetcher for HttpFetcher {
    async fn fetch(&self, fetch: &Fetch) -> Fetched {
        match timeout(self.limits.total, self.attempt(fetch)).await {
            Ok(Ok(fetched)) => fetched,
            Ok(Err(why)) => Fetched::Failed(Reason::new(&why)),
            Err(_) => Fetched::Failed(Reason::new(&format!("not whole within {} s", self.limits.total.as_secs()))),
        }
    }
}

/// A node of which nobody has said where its clients connect.
#[derive(Clone, Copy, Debug)]
pub struct NoTraffic;

#[async_trait]
impl Fetcher for NoTraffic {
    async fn fetch(&self, _fetch: &Fetch) -> Fetched {
        Fetched::Impossible(Reason::new("its [[node]] section has no `traffic` address"))
    }
}

/// The request of a fetch; `None` when it cannot be written down, which parsing has ruled out.
fn request(fetch: &Fetch) -> Option<Request<Empty<Bytes>>> {
    let target = fetch.url.encoded_path();
    let mut request = Request::get(target.as_ref())
        .header(HOST, fetch.url.host_header().as_ref())
        .header(USER_AGENT, fetch.how.user_agent.as_str());
    for field in fetch.how.fields.iter() {
        let name = HeaderName::from_bytes(field.name().as_bytes()).ok()?;
        request = request.header(name, HeaderValue::from_str(field.value()).ok()?);
    }
    request.body(Empty::new()).ok()
}

async fn read(fetch: &Fetch, answer: http::Response<Incoming>) -> Result<Fetched, String> {
    let (head, mut body) = answer.into_parts();
    let status = head.status.as_u16();
    if !(200..400).contains(&status) {
        // What the origin says is already known; the rest of its answer is of no use.
        return Ok(Fetched::Status(status));
    }
    let content_type = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let expand = match fetch.playlist {
        Playlist::AsIs => false,
        Playlist::Expand => head.status.is_success() && playlist::is_one(&fetch.url, content_type),
    };
    let (mut bytes, mut kept) = (0u64, Vec::new());
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| broken("the body broke off", &error))?;
        let Some(data) = frame.data_ref() else { continue };
        bytes = bytes.saturating_add(data.len() as u64);
        if expand && bytes <= PLAYLIST_BYTES_MAX as u64 {
            kept.extend_from_slice(data);
        }
    }
    let whole = expand && bytes <= PLAYLIST_BYTES_MAX as u64;
    let links = if whole { playlist::links(&fetch.url, &kept) } else { Vec::new() };
    Ok(Fetched::Complete { status, bytes, links })
}

/// An error of hyper with its cause, which says more.
fn broken(what: &str, error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{what}: {error}: {source}"),
        None => format!("{what}: {error}"),
    }
}
