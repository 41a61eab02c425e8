//! Probe objects, fetched through a node.
//!
//! What this is: the port `Prober` over HTTP/1.1, one connection a fetch, to the node's configured traffic
//! address. What this is not: the origin of those objects; that is the server's own listener, to which the
//! caches route one host name.
//!
//! Invariant: only an answer of 200 with a whole, short body counts.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use catharsis_core::proof::Prober;
use catharsis_core::receipt::Reason;
use catharsis_core::target::{CacheUrl, Encode, HostName};
use http::header::{HOST, USER_AGENT};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::purger::NodeAddress;

/// Where probe objects live at their host.
pub const PROBE_PATH: &str = "/.catharsis/probe/";
/// Bytes of a probe object: the origin sends 32.
const BODY_BYTES_MAX: usize = 1 << 10;
/// Time for one fetch. A cache that has no copy asks this server, so it is a matter of two round trips.
const WITHIN: Duration = Duration::from_secs(5);

/// Fetches probe objects through one node.
#[derive(Clone, Debug)]
pub struct HttpProber {
    address: NodeAddress,
    host: HostName,
}

impl HttpProber {
    /// Fetches through the node whose clients connect to this address; `host` is the name that the node
    /// routes to the origin of probe objects.
    #[must_use]
    pub const fn new(address: NodeAddress, host: HostName) -> Self {
        Self { address, host }
    }

    async fn attempt(&self, url: &CacheUrl) -> Result<Box<str>, String> {
        let stream =
            TcpStream::connect(self.address.pair()).await.map_err(|error| format!("no connection: {error}"))?;
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        let request = Request::get(url.encoded_path().as_ref())
            .header(HOST, url.host_header().as_ref())
            .header(USER_AGENT, "catharsis-probe")
            .body(Empty::<Bytes>::new())
            .map_err(|error| error.to_string())?;
        let exchange = async {
            let answer = sender.send_request(request).await.map_err(|error| error.to_string())?;
            let status = answer.status();
            if status != StatusCode::OK {
                return Err(format!(
                    "it answered {} for host {}: is that routed to [probe] listen?",
                    status.as_u16(),
                    self.host
                ));
            }
            let body =
                Limited::new(answer.into_body(), BODY_BYTES_MAX).collect().await.map_err(|error| error.to_string())?;
            Ok(String::from_utf8_lossy(&body.to_bytes()).into_owned().into_boxed_str())
        };
        tokio::pin!(connection);
        tokio::pin!(exchange);
        // The connection must be driven for the exchange to go on; both end with this future.
        tokio::select! {
            body = &mut exchange => body,
            _ended = &mut connection => exchange.await,
        }
    }
}

#[async_trait]
impl Prober for HttpProber {
    fn object(&self, random: u64) -> CacheUrl {
        let url = format!("http://{}{PROBE_PATH}{random:016x}", self.host);
        CacheUrl::parse(&url, Encode::AsSubmitted).expect("a host name and hex digits make a URL")
    }

    async fn fetch(&self, url: &CacheUrl) -> Result<Box<str>, Reason> {
        match timeout(WITHIN, self.attempt(url)).await {
            Ok(body) => body.map_err(|why| Reason::new(&why)),
            Err(_) => Err(Reason::new("no answer in time")),
        }
    }
}
