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
use catharsis_core::audit::{Accepts, Outside, Seen, Varies};
use catharsis_core::clock::UnixMillis;
use catharsis_core::ports::Clock;
use catharsis_core::receipt::Reason;
use catharsis_core::target::CacheUrl;
use http::header::{ACCEPT_ENCODING, AGE, DATE, ETAG, HOST, HeaderName, LAST_MODIFIED, USER_AGENT, VARY};
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

/// Bytes of an entity tag that is compared.
const TAG_BYTES_MAX: usize = 256;

/// Looks through one node, or at an origin.
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

    async fn attempt(&self, url: &CacheUrl, accepts: Accepts<'_>) -> Result<Seen, String> {
        let stream =
            TcpStream::connect(self.address.pair()).await.map_err(|error| format!("no connection: {error}"))?;
        let (mut sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        let mut request = Request::get(url.encoded_path().as_ref())
            .header(HOST, url.host_header().as_ref())
            .header(USER_AGENT, "catharsis-audit");
        if let Accepts::These(codings) = accepts {
            request = request.header(ACCEPT_ENCODING, codings.as_str());
        }
        let request = request.body(Empty::<Bytes>::new()).map_err(|error| error.to_string())?;
        let exchange = async {
            let asked = self.clock.wall();
            let answer = sender.send_request(request).await.map_err(|error| error.to_string())?;
            let answered = self.clock.wall();
            let (head, body) = answer.into_parts();
            let seen = Seen {
                status: head.status.as_u16(),
                age: age(&head.headers),
                date: date(&head.headers, DATE),
                modified: date(&head.headers, LAST_MODIFIED),
                tag: tag(&head.headers),
                varies: varies(&head.headers),
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
    async fn look(&self, url: &CacheUrl, accepts: Accepts<'_>) -> Result<Seen, Reason> {
        match timeout(WITHIN, self.attempt(url, accepts)).await {
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

/// The moment that a field names (RFC 9110 section 5.6.7).
fn date(fields: &HeaderMap, name: HeaderName) -> Option<UnixMillis> {
    let date = httpdate::parse_http_date(fields.get(name)?.to_str().ok()?).ok()?;
    let since = date.duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(since.as_millis()).ok().map(UnixMillis)
}

/// The tag of a version, weak or not: a cache that compresses marks what it keeps as weak (RFC 9110 section 8.8.3).
fn tag(fields: &HeaderMap) -> Option<Box<str>> {
    let tag = fields.get(ETAG)?.to_str().ok()?.trim();
    let tag = tag.strip_prefix("W/").unwrap_or(tag);
    (!tag.is_empty() && tag.len() <= TAG_BYTES_MAX).then(|| tag.into())
}

/// Whether one of the names in `Vary` is `Accept-Encoding`, or is all (RFC 9110 section 12.5.5).
fn varies(fields: &HeaderMap) -> Varies {
    let mut names = fields.get_all(VARY).iter().filter_map(|it| it.to_str().ok()).flat_map(|it| it.split(','));
    let by_coding =
        names.any(|name| ["*", ACCEPT_ENCODING.as_str()].iter().any(|it| name.trim().eq_ignore_ascii_case(it)));
    if by_coding { Varies::ByCoding } else { Varies::No }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn age_and_date_are_read_as_the_standard_writes_them() {
        let read = |name: HeaderName, value: &'static str| {
            let mut fields = HeaderMap::new();
            fields.insert(name, http::HeaderValue::from_static(value));
            (age(&fields), date(&fields, DATE).map(|at| at.0))
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

    #[test]
    fn version_and_variants_are_read_as_the_standard_writes_them() {
        let fields = |name: HeaderName, value: &'static str| {
            let mut fields = HeaderMap::new();
            fields.append(VARY, http::HeaderValue::from_static("Accept-Language"));
            fields.append(name, http::HeaderValue::from_static(value));
            fields
        };
        for (text, expect) in [("\"a\"", Some("\"a\"")), ("W/\"a\"", Some("\"a\"")), ("", None)] {
            assert_eq!(tag(&fields(ETAG, text)).as_deref(), expect, "{text}");
        }
        for (text, expect) in [
            ("Accept-Encoding", Varies::ByCoding),
            ("Cookie , accept-encoding", Varies::ByCoding),
            ("*", Varies::ByCoding),
            ("X-Accept-Encoding", Varies::No),
            ("", Varies::No),
        ] {
            assert_eq!(varies(&fields(VARY, text)), expect, "{text}");
        }
    }
}
