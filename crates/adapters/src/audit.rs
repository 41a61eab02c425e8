//! Looking at an object through a node.
//!
//! What this is: the port `Outside` over HTTP/1.1: one connection and one plain GET a look, to the node's configured
//! traffic address. What this is not: the judgement, which is pure (`catharsis_core::audit`).
//!
//! Invariant: bounded in time and in bytes; the body is read to its end where it is short, so that a node that fetches for
//! this look is not cut off, and thrown away.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use async_trait::async_trait;
use bytes::Bytes;
use catharsis_core::audit::{Outside, Seen};
use catharsis_core::clock::UnixMillis;
use catharsis_core::ports::Clock;
use catharsis_core::receipt::Reason;
use catharsis_core::target::CacheUrl;
use http::header::{AGE, DATE, HOST, USER_AGENT};
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::purger::NodeAddress;

/// Bytes of a body that are read before the connection is closed.
const BODY_BYTES_MAX: usize = 1 << 20;
/// Time for one look: a node that has no copy asks the origin.
const WITHIN: Duration = Duration::from_secs(10);

/// Looks through one node.
#[derive(Clone)]
pub struct HttpOutside {
    address: NodeAddress,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for HttpOutside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpOutside").field("address", &self.address).finish_non_exhaustive()
    }
}

impl HttpOutside {
    /// Looks through the node whose clients connect to this address.
    #[must_use]
    pub const fn new(address: NodeAddress, clock: Arc<dyn Clock>) -> Self {
        Self { address, clock }
    }

    async fn attempt(&self, url: &CacheUrl) -> Result<Seen, String> {
        let stream =
            TcpStream::connect(self.address.pair()).await.map_err(|error| format!("no connection: {error}"))?;
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        let request = Request::get(url.encoded_path().as_ref())
            .header(HOST, url.host_header().as_ref())
            .header(USER_AGENT, "catharsis-audit")
            .body(Empty::<Bytes>::new())
            .map_err(|error| error.to_string())?;
        let exchange = async {
            let asked = self.clock.wall();
            let answer = sender.send_request(request).await.map_err(|error| error.to_string())?;
            let answered = self.clock.wall();
            let (head, body) = answer.into_parts();
            let seen = Seen {
                status: head.status.as_u16(),
                age: age(&head.headers),
                date: date(&head.headers),
                asked,
                answered,
            };
            // What the head says holds whether the body comes whole or not.
            let _too_long_or_broken = Limited::new(body, BODY_BYTES_MAX).collect().await;
            Ok(seen)
        };
        tokio::pin!(connection);
        tokio::pin!(exchange);
        // The connection must be driven for the exchange to go on; both end with this future.
        tokio::select! {
            seen = &mut exchange => seen,
            _ended = &mut connection => exchange.await,
        }
    }
}

#[async_trait]
impl Outside for HttpOutside {
    async fn look(&self, url: &CacheUrl) -> Result<Seen, Reason> {
        match timeout(WITHIN, self.attempt(url)).await {
            Ok(seen) => seen.map_err(|why| Reason::new(&why)),
            Err(_) => Err(Reason::new("no answer in time")),
        }
    }
}

/// Seconds; of several fields or a list the first value (RFC 9111 section 5.1), and more than a number holds is the most.
fn age(fields: &HeaderMap) -> Option<u64> {
    let value = fields.get(AGE)?.to_str().ok()?;
    let digits = value.split(',').next().unwrap_or_default().trim();
    let fits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    fits.then(|| digits.parse().unwrap_or(u64::MAX))
}

fn date(fields: &HeaderMap) -> Option<UnixMillis> {
    let date = httpdate::parse_http_date(fields.get(DATE)?.to_str().ok()?).ok()?;
    let since = date.duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(since.as_millis()).ok().map(UnixMillis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn age_and_date_are_read_as_the_standard_writes_them() {
        let read = |name: http::HeaderName, value: &'static str| {
            let mut fields = HeaderMap::new();
            fields.insert(name, http::HeaderValue::from_static(value));
            (age(&fields), date(&fields).map(|at| at.0))
        };
        for (text, expect) in [
            ("0", Some(0)),
            ("12", Some(12)),
            ("7, 9", Some(7)),
            ("99999999999999999999999", Some(u64::MAX)),
            ("-1", None),
            ("+1", None),
            ("1.5", None),
            ("", None),
        ] {
            assert_eq!(read(AGE, text).0, expect, "{text}");
        }
        assert_eq!(read(DATE, "Tue, 14 Nov 2023 22:13:20 GMT").1, Some(1_700_000_000_000));
        assert_eq!(read(DATE, "yesterday").1, None);
    }
}
