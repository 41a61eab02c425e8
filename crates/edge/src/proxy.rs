//! The proxy: what happens to a client's request.
//!
//! What this is: our answers to the questions that the proxy library asks on the way of a request:
//! which URL is it, may it be cached, who is the upstream, what does the client see.
//!
//! What this is not: the fence. `storage` and `lock` keep it, whatever is answered here.
//!
//! Invariant: what a request is cached under is what its upstream is asked for: one `Host` (or the
//! one that stands for it in its domain's configuration), the target byte for byte, and nothing else
//! that a client may choose (no body, no upgrade).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use catharsis_core::target::Scheme;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HOST, TRANSFER_ENCODING, UPGRADE, VIA};
use http::{HeaderValue, Method};
use pingora_cache::key::HashBinary;
use pingora_cache::{CacheKey, CacheMeta, CacheOptionOverrides, CachePhase, RespCacheable};
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::{Error, ErrorSource, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::{ProxyHttp, Session};

use crate::config::EdgeConfig;
use crate::fence::RequestUrl;
use crate::flights::{Departure, FlightId, Flights};
use crate::freshness::{self, Rules};
use crate::key::Hasher;
use crate::lease::Trust;
use crate::lock::FencedLock;
use crate::protocol::KeyHost;
use crate::routes::{Entry, Routes};
use crate::rules::HostRules;
use crate::site::{Attempts, Next, Site, Way};
use crate::storage::Store;
use crate::ticket::Ticket;

/// How this cache calls itself in `Cache-Status` (RFC 9211) and `Via`.
const CACHE_NAME: &str = "catharsis-edge";

/// The field that people look for first.
const X_CACHE: &str = "x-cache";

/// See the module.
pub(crate) struct EdgeProxy {
    store: &'static Store,
    lock: &'static FencedLock,
    keys: Keys,
    routes: Arc<Routes>,
    flights: Option<Arc<Flights>>,
    rules: Rules,
    connect_timeout: Duration,
    read_timeout: Duration,
    fetch_timeout: Duration,
}

/// How requests get their keys.
pub(crate) struct Keys {
    pub(crate) rules: Arc<HostRules>,
    pub(crate) hasher: Hasher,
}

/// What is known about a request.
#[derive(Debug, Default)]
pub(crate) struct RequestContext {
    url: Option<Arc<RequestUrl>>,
    site: Option<Arc<Site>>,
    /// At an origin hop.
    flight: Option<FlightId>,
    /// Since the fetch began.
    attempts: Option<Attempts>,
    fetch_began: Option<Instant>,
}

impl EdgeProxy {
    pub(crate) fn new(
        config: &EdgeConfig,
        routes: Arc<Routes>,
        store: &'static Store,
        lock: &'static FencedLock,
        keys: Keys,
    ) -> Self {
        Self {
            store,
            lock,
            keys,
            routes,
            flights: None,
            rules: Rules { default_ttl: config.default_ttl, object_bytes_max: config.object_bytes_max },
            connect_timeout: config.connect_timeout,
            read_timeout: config.read_timeout,
            fetch_timeout: config.fetch_timeout,
        }
    }

    /// The same for an origin hop.
    pub(crate) fn with_flights(self, flights: Option<Arc<Flights>>) -> Self {
        Self { flights, ..self }
    }
}

/// Why a request is answered by the edge itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rejection {
    /// A cache method: purges come over the control listener only.
    Method,
    /// No, or more than one, or an unusable `Host`, or one that contradicts the target.
    Host,
    /// A host that no route is for.
    Unrouted,
    /// A domain that is not served now.
    Offline,
}

impl Rejection {
    const fn status(self) -> u16 {
        match self {
            Self::Method => 405,
            Self::Host => 400,
            Self::Unrouted => 421,
            Self::Offline => 404,
        }
    }

    const fn body(self) -> &'static str {
        match self {
            Self::Method | Self::Host | Self::Unrouted => "",
            Self::Offline => "this domain is not served at present\n",
        }
    }

    fn response(self) -> Result<ResponseHeader> {
        let mut response = ResponseHeader::build(self.status(), Some(4))?;
        response.insert_header(CONTENT_LENGTH, self.body().len())?;
        match self {
            Self::Method => response.insert_header(ALLOW, "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")?,
            Self::Offline => {
                response.insert_header(CONTENT_TYPE, "text/plain; charset=utf-8")?;
                // Else a cache below may keep a 404 for as long as it likes (RFC 9110 section 15.1).
                response.insert_header(CACHE_CONTROL, "no-store")?;
            }
            Self::Host | Self::Unrouted => {}
        }
        Ok(response)
    }
}

/// The host that a request is for (RFC 9112 section 3.2).
fn host_of(request: &RequestHeader) -> Result<KeyHost, Rejection> {
    let mut hosts = request.headers.get_all(HOST).iter();
    let field = match (hosts.next(), hosts.next()) {
        (Some(host), None) => {
            let text = host.to_str().map_err(|_| Rejection::Host)?;
            Some(KeyHost::parse(text).map_err(|_| Rejection::Host)?)
        }
        (Some(_), Some(_)) => return Err(Rejection::Host),
        (None, _) => None,
    };
    let authority = match request.uri.authority() {
        Some(it) => Some(KeyHost::parse(it.as_str()).map_err(|_| Rejection::Host)?),
        None => None,
    };
    // A target in absolute form wins over `Host`, but the upstream gets `Host`: were they allowed to
    // differ, one site's answer could be cached as another's.
    match (field, authority) {
        (Some(field), Some(authority)) if field != authority => Err(Rejection::Host),
        (Some(field), _) => Ok(field),
        (None, _) => Err(Rejection::Host),
    }
}

/// The scheme that the client used, by the word of the TLS terminator before the edge, which takes nothing
/// but plain HTTP itself. It counts only where a domain's key rules say so.
fn scheme_of(request: &RequestHeader) -> Scheme {
    let told = request.headers.get("x-forwarded-proto").map(HeaderValue::as_bytes);
    if told.is_some_and(|it| it.eq_ignore_ascii_case(b"https")) { Scheme::Https } else { Scheme::Http }
}

/// Whether the cache may answer at all. A body or an upgrade is no part of the key.
fn is_cacheable(request: &RequestHeader) -> bool {
    let headers = &request.headers;
    let has_body =
        headers.contains_key(TRANSFER_ENCODING) || headers.get(CONTENT_LENGTH).is_some_and(|it| it.as_bytes() != b"0");
    (request.method == Method::GET || request.method == Method::HEAD) && !has_body && !headers.contains_key(UPGRADE)
}

fn is_cache_method(method: &Method) -> bool {
    ["PURGE", "BAN", "BANURL", "REFRESH"].iter().any(|it| method.as_str().eq_ignore_ascii_case(it))
}

impl EdgeProxy {
    fn admit(
        &self,
        request: &RequestHeader,
        peer: Option<SocketAddr>,
        ctx: &mut RequestContext,
    ) -> Result<(), Rejection> {
        if is_cache_method(&request.method) {
            return Err(Rejection::Method);
        }
        let host = host_of(request)?;
        match self.routes.of(&host) {
            Some(Entry::Online(site)) => ctx.site = Some(site),
            Some(Entry::Offline) => return Err(Rejection::Offline),
            None => return Err(Rejection::Unrouted),
        }
        let url = || {
            let Keys { rules, hasher } = &self.keys;
            Arc::new(rules.request(hasher, &host, scheme_of(request), request.raw_path()))
        };
        if is_cacheable(request) {
            ctx.url = Some(url());
        }
        // Whatever a cache may keep, even if this edge does not.
        if let (Some(flights), Some(peer)) = (&self.flights, peer)
            && (request.method == Method::GET || request.method == Method::HEAD)
        {
            ctx.flight = flights.asked(peer, &ctx.url.clone().unwrap_or_else(url));
        }
        Ok(())
    }

    /// The connection that a request came over; `None` for one that the proxy itself makes in the background.
    fn peer(session: &Session) -> Option<SocketAddr> {
        if session.is_subrequest() { None } else { session.client_addr()?.as_inet().copied() }
    }
}

#[async_trait]
impl ProxyHttp for EdgeProxy {
    type CTX = RequestContext;

    fn new_ctx(&self) -> RequestContext {
        RequestContext::default()
    }

    async fn request_filter(&self, session: &mut Session, ctx: &mut RequestContext) -> Result<bool> {
        let peer = Self::peer(session);
        if let (Some(flights), Some(peer)) = (&self.flights, peer) {
            flights.landed_by_the_next(peer);
        }
        let Err(why) = self.admit(session.req_header(), peer, ctx) else {
            return Ok(false);
        };
        // A body that was not read would be taken for the next request.
        session.set_keepalive(None);
        let body = if session.req_header().method == Method::HEAD { "" } else { why.body() };
        session.write_response_header(Box::new(why.response()?), body.is_empty()).await?;
        if !body.is_empty() {
            session.write_response_body(Some(Bytes::from_static(body.as_bytes())), true).await?;
        }
        Ok(true)
    }

    fn request_cache_filter(&self, session: &mut Session, ctx: &mut RequestContext) -> Result<()> {
        if ctx.url.as_ref().is_some_and(|url| !self.store.is_oversize(url.key())) {
            let mut limits = CacheOptionOverrides::default();
            limits.wait_timeout = Some(self.fetch_timeout);
            session.cache.enable(self.store, None, None, Some(self.lock), Some(limits));
        }
        Ok(())
    }

    fn cache_key_callback(&self, _: &Session, ctx: &mut RequestContext) -> Result<CacheKey> {
        let url = ctx
            .url
            .clone()
            .ok_or_else(|| Error::explain(ErrorType::InternalError, "the cache is on for a request without a URL"))?;
        Ok(Ticket::cache_key(url))
    }

    fn response_cache_filter(
        &self,
        session: &Session,
        response: &ResponseHeader,
        _ctx: &mut RequestContext,
    ) -> Result<RespCacheable> {
        Ok(freshness::decide(session.req_header(), response, self.rules))
    }

    fn cache_vary_filter(
        &self,
        meta: &CacheMeta,
        _ctx: &mut RequestContext,
        request: &RequestHeader,
    ) -> Option<HashBinary> {
        freshness::variance(meta.headers(), &request.headers)
    }

    async fn upstream_peer(&self, session: &mut Session, ctx: &mut RequestContext) -> Result<Box<HttpPeer>> {
        ctx.fetch_began.get_or_insert_with(Instant::now);
        let Some(site) = &ctx.site else {
            return Err(Error::explain(ErrorType::InternalError, "a request without a route reached its fetch"));
        };
        let attempts = ctx.attempts.get_or_insert_with(|| site.attempts());
        let address = site.address(attempts, self.connect_timeout).await?;
        let mut peer = match site.way(attempts) {
            Way::Plain => HttpPeer::new(address, false, String::new()),
            // Never empty, which would mean that nothing is verified.
            Way::Tls => HttpPeer::new(address, true, server_name(site.host(attempts), session.req_header())?),
        };
        peer.options.connection_timeout = Some(self.connect_timeout);
        peer.options.total_connection_timeout = Some(self.connect_timeout);
        peer.options.read_timeout = Some(self.read_timeout);
        peer.options.write_timeout = Some(self.read_timeout);
        // Below the idle limits of common origins (nginx: 75 s; Node.js: 5 s), of which the
        // shortest matters: a connection that dies just as it is used costs a retry.
        peer.options.idle_timeout = Some(Duration::from_secs(4));
        Ok(Box::new(peer))
    }

    /// Nothing was sent yet, so another origin may get any request, even one with a body.
    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        ctx: &mut RequestContext,
        mut error: Box<Error>,
    ) -> Box<Error> {
        if let (Some(site), Some(attempts)) = (&ctx.site, &mut ctx.attempts) {
            error.set_retry(site.next(attempts) == Next::Another);
        }
        error
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        upstream: &mut RequestHeader,
        ctx: &mut RequestContext,
    ) -> Result<()> {
        if let (Some(site), Some(attempts)) = (&ctx.site, &ctx.attempts)
            && let Some(host) = site.host(attempts)
        {
            upstream.insert_header(HOST, host.as_str())?;
        }
        upstream.append_header(VIA, "1.1 catharsis-edge")?;
        if let Some(client) = session.client_addr().and_then(|it| it.as_inet()) {
            upstream.append_header("x-forwarded-for", client.ip().to_string())?;
        }
        Ok(())
    }

    fn upstream_response_body_filter(
        &self,
        _session: &mut Session,
        _body: &mut Option<Bytes>,
        _end: bool,
        ctx: &mut RequestContext,
    ) -> Result<Option<Duration>> {
        if ctx.fetch_began.is_some_and(|it| it.elapsed() > self.fetch_timeout) {
            let late = Error::explain(ErrorType::ReadTimedout, "the fetch as a whole takes too long");
            return Err(late.into_up());
        }
        Ok(None)
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut RequestContext,
    ) -> Result<()> {
        if let (Some(flights), Some(flight)) = (&self.flights, ctx.flight)
            && !response.status.is_informational()
            && flights.departs(flight) == Departure::Overtaken
        {
            make_uncacheable(response)?;
        }
        let (status, x_cache) = cache_status(session);
        response.append_header("cache-status", status)?;
        response.insert_header(X_CACHE, x_cache)?;
        Ok(())
    }

    async fn logging(&self, _session: &mut Session, _error: Option<&Error>, ctx: &mut RequestContext) {
        if let (Some(flights), Some(flight)) = (&self.flights, ctx.flight) {
            flights.sent(flight);
        }
    }

    fn should_serve_stale(&self, _session: &mut Session, _ctx: &mut RequestContext, error: Option<&Error>) -> bool {
        // Without an error: while the copy is revalidated in the background. Whether the origin
        // allows either is decided by the copy's own windows (RFC 5861).
        error.is_none_or(|it| it.esource() == &ErrorSource::Upstream)
    }
}

/// Takes away whatever lets a cache keep a response (RFC 9111 section 5.2.2.5), by the words of each kind of cache:
/// nginx goes by `X-Accel-Expires` first, others by `Surrogate-Control` or `CDN-Cache-Control` (RFC 9213).
fn make_uncacheable(response: &mut ResponseHeader) -> Result<()> {
    for name in ["x-accel-expires", "surrogate-control", "cdn-cache-control", "expires", "age"] {
        response.remove_header(name);
    }
    response.insert_header(CACHE_CONTROL, "private, no-cache, no-store, max-age=0, must-revalidate")
}

/// The name that an origin must prove to have: that in the `Host` which it gets.
fn server_name(host: Option<&KeyHost>, request: &RequestHeader) -> Result<String> {
    if let Some(host) = host {
        return Ok(host.name().to_owned());
    }
    let host = host_of(request);
    let host =
        host.map_err(|_| Error::explain(ErrorType::InternalError, "a request without a host reached its fetch"))?;
    Ok(host.name().to_owned())
}

/// `Cache-Status` (RFC 9211) and `X-Cache` of a response.
fn cache_status(session: &Session) -> (HeaderValue, HeaderValue) {
    let mut x_cache = HeaderValue::from_static("MISS");
    let mut status = match session.cache.phase() {
        CachePhase::Hit | CachePhase::Stale | CachePhase::StaleUpdating => {
            x_cache = HeaderValue::from_static("HIT");
            let until = session.cache.cache_meta().fresh_until();
            format!("{CACHE_NAME}; hit; ttl={}", seconds_until(until))
        }
        CachePhase::Miss => format!("{CACHE_NAME}; fwd=miss; stored"),
        CachePhase::Expired => format!("{CACHE_NAME}; fwd=stale; stored"),
        CachePhase::Revalidated => format!("{CACHE_NAME}; fwd=stale; fwd-status=304; stored"),
        CachePhase::RevalidatedNoCache(_) => format!("{CACHE_NAME}; fwd=stale; fwd-status=304"),
        CachePhase::Disabled(_) | CachePhase::Uninit | CachePhase::Bypass | CachePhase::CacheKey => {
            let method = &session.req_header().method;
            if method != Method::GET && method != Method::HEAD {
                format!("{CACHE_NAME}; fwd=method")
            } else if session.cache.maybe_cache_key().is_some() {
                format!("{CACHE_NAME}; fwd=miss")
            } else {
                format!("{CACHE_NAME}; fwd=bypass")
            }
        }
    };
    let ticket = session.cache.maybe_cache_key().and_then(Ticket::of);
    if ticket.is_some_and(|it| it.trust() == Trust::Out) {
        status.push_str("; detail=no-lease");
    }
    (HeaderValue::try_from(status).expect("letters, digits and marks only"), x_cache)
}

/// Seconds until then; negative when it has passed.
fn seconds_until(until: SystemTime) -> i64 {
    match until.duration_since(SystemTime::now()) {
        Ok(left) => i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
        Err(past) => i64::try_from(past.duration().as_secs()).map_or(i64::MIN, |it| -it),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    fn request(target: &str, hosts: &[&str]) -> RequestHeader {
        let mut request = RequestHeader::build("GET", b"/", None).unwrap();
        request.set_uri(target.parse().unwrap());
        for host in hosts {
            request.append_header("host", *host).unwrap();
        }
        request
    }

    #[test]
    fn request_is_for_one_host_or_refused() {
        let host = |target: &str, hosts: &[&str]| host_of(&request(target, hosts)).map(|it| it.as_str().to_owned());
        assert_eq!(host("/", &["A.test:80"]), Ok("a.test".to_owned()));
        assert_eq!(host("http://a.test/x", &["a.test"]), Ok("a.test".to_owned()));
        assert_eq!(host("http://b.test/x", &["a.test"]), Err(Rejection::Host));
        assert_eq!(host("/", &[]), Err(Rejection::Host));
        assert_eq!(host("/", &["a.test", "a.test"]), Err(Rejection::Host));
        assert_eq!(host("/", &["a.test/x"]), Err(Rejection::Host));
    }

    #[test]
    fn body_or_upgrade_keeps_a_request_away_from_the_cache() {
        let mut plain = request("/", &["a.test"]);
        assert!(is_cacheable(&plain));
        plain.insert_header("content-length", "0").unwrap();
        assert!(is_cacheable(&plain));
        plain.insert_header("content-length", "1").unwrap();
        assert!(!is_cacheable(&plain));
        let mut upgrade = request("/", &["a.test"]);
        upgrade.insert_header("upgrade", "websocket").unwrap();
        assert!(!is_cacheable(&upgrade));
    }
}
