//! The proxy: what happens to a client's request.
//!
//! What this is: our answers to the questions that the proxy library asks on the way of a request:
//! which URL is it, may it be cached, who is the upstream, what does the client see.
//!
//! What this is not: the fence. `storage` and `lock` keep it, whatever is answered here.
//!
//! Invariant: what a request is cached under is what its upstream is asked for: one `Host`, the
//! target byte for byte, and nothing else that a client may choose (no body, no upgrade).

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use catharsis_core::target::HostName;
use http::header::{ALLOW, CONTENT_LENGTH, HOST, TRANSFER_ENCODING, UPGRADE, VIA};
use http::{HeaderValue, Method};
use pingora_cache::key::HashBinary;
use pingora_cache::{CacheKey, CacheMeta, CacheOptionOverrides, CachePhase, RespCacheable};
use pingora_core::upstreams::peer::HttpPeer;
use pingora_core::{Error, ErrorSource, ErrorType, Result};
use pingora_http::{RequestHeader, ResponseHeader};
use pingora_proxy::{ProxyHttp, Session};

use crate::config::{EdgeConfig, HostPattern, Upstream};
use crate::fence::RequestUrl;
use crate::freshness::{self, Rules};
use crate::key::Hasher;
use crate::lock::FencedLock;
use crate::protocol::KeyHost;
use crate::storage::Store;
use crate::ticket::Ticket;

/// How long a looked-up upstream address is used.
const RESOLVED_FOR: Duration = Duration::from_secs(30);

/// How this cache calls itself in `Cache-Status` (RFC 9211) and `Via`.
const CACHE_NAME: &str = "catharsis-edge";

/// The field that people look for first.
const X_CACHE: &str = "x-cache";

/// See the module.
pub(crate) struct EdgeProxy {
    store: &'static Store,
    lock: &'static FencedLock,
    hasher: Hasher,
    routes: Routes,
    rules: Rules,
    connect_timeout: Duration,
    read_timeout: Duration,
    fetch_timeout: Duration,
}

/// What is known about a request.
#[derive(Debug, Default)]
pub(crate) struct RequestContext {
    url: Option<Arc<RequestUrl>>,
    origin: Option<Arc<Origin>>,
    fetch_began: Option<Instant>,
}

impl EdgeProxy {
    pub(crate) fn new(config: &EdgeConfig, store: &'static Store, lock: &'static FencedLock, hasher: Hasher) -> Self {
        Self {
            store,
            lock,
            hasher,
            routes: Routes::new(config),
            rules: Rules { default_ttl: config.default_ttl, object_bytes_max: config.object_bytes_max },
            connect_timeout: config.connect_timeout,
            read_timeout: config.read_timeout,
            fetch_timeout: config.fetch_timeout,
        }
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
}

impl Rejection {
    fn response(self) -> Result<ResponseHeader> {
        let status = match self {
            Self::Method => 405,
            Self::Host => 400,
            Self::Unrouted => 421,
        };
        let mut response = ResponseHeader::build(status, Some(2))?;
        response.insert_header(CONTENT_LENGTH, "0")?;
        if self == Self::Method {
            response.insert_header(ALLOW, "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")?;
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
    fn admit(&self, request: &RequestHeader, ctx: &mut RequestContext) -> Result<(), Rejection> {
        if is_cache_method(&request.method) {
            return Err(Rejection::Method);
        }
        let host = host_of(request)?;
        ctx.origin = Some(self.routes.of(&host).ok_or(Rejection::Unrouted)?);
        if is_cacheable(request) {
            ctx.url = Some(Arc::new(self.hasher.request(host, request.raw_path())));
        }
        Ok(())
    }
}

#[async_trait]
impl ProxyHttp for EdgeProxy {
    type CTX = RequestContext;

    fn new_ctx(&self) -> RequestContext {
        RequestContext::default()
    }

    async fn request_filter(&self, session: &mut Session, ctx: &mut RequestContext) -> Result<bool> {
        let Err(why) = self.admit(session.req_header(), ctx) else {
            return Ok(false);
        };
        // A body that was not read would be taken for the next request.
        session.set_keepalive(None);
        session.write_response_header(Box::new(why.response()?), true).await?;
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

    async fn upstream_peer(&self, _session: &mut Session, ctx: &mut RequestContext) -> Result<Box<HttpPeer>> {
        ctx.fetch_began.get_or_insert_with(Instant::now);
        let origin = ctx
            .origin
            .as_ref()
            .ok_or_else(|| Error::explain(ErrorType::InternalError, "a request without a route reached its fetch"))?;
        let address = origin.address(self.connect_timeout).await?;
        let mut peer = HttpPeer::new(address, false, String::new());
        peer.options.connection_timeout = Some(self.connect_timeout);
        peer.options.total_connection_timeout = Some(self.connect_timeout);
        peer.options.read_timeout = Some(self.read_timeout);
        peer.options.write_timeout = Some(self.read_timeout);
        // Below the idle limits of common origins (nginx: 75 s; Node.js: 5 s), of which the
        // shortest matters: a connection that dies just as it is used costs a retry.
        peer.options.idle_timeout = Some(Duration::from_secs(4));
        Ok(Box::new(peer))
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        upstream: &mut RequestHeader,
        _ctx: &mut RequestContext,
    ) -> Result<()> {
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
        _ctx: &mut RequestContext,
    ) -> Result<()> {
        let (status, x_cache) = cache_status(session);
        response.append_header("cache-status", status)?;
        response.insert_header(X_CACHE, x_cache)?;
        Ok(())
    }

    fn should_serve_stale(&self, _session: &mut Session, _ctx: &mut RequestContext, error: Option<&Error>) -> bool {
        // Without an error: while the copy is revalidated in the background. Whether the origin
        // allows either is decided by the copy's own windows (RFC 5861).
        error.is_none_or(|it| it.esource() == &ErrorSource::Upstream)
    }
}

/// `Cache-Status` (RFC 9211) and `X-Cache` of a response.
fn cache_status(session: &Session) -> (HeaderValue, HeaderValue) {
    let hit = HeaderValue::from_static("HIT");
    let miss = HeaderValue::from_static("MISS");
    let fixed = |text: &'static str| (HeaderValue::from_static(text), miss.clone());
    match session.cache.phase() {
        CachePhase::Hit | CachePhase::Stale | CachePhase::StaleUpdating => {
            let until = session.cache.cache_meta().fresh_until();
            let text = format!("{CACHE_NAME}; hit; ttl={}", seconds_until(until));
            (HeaderValue::try_from(text).expect("letters, digits and marks only"), hit)
        }
        CachePhase::Miss => fixed("catharsis-edge; fwd=miss; stored"),
        CachePhase::Expired => fixed("catharsis-edge; fwd=stale; stored"),
        CachePhase::Revalidated => fixed("catharsis-edge; fwd=stale; fwd-status=304; stored"),
        CachePhase::RevalidatedNoCache(_) => fixed("catharsis-edge; fwd=stale; fwd-status=304"),
        CachePhase::Disabled(_) | CachePhase::Uninit | CachePhase::Bypass | CachePhase::CacheKey => {
            let method = &session.req_header().method;
            if method != Method::GET && method != Method::HEAD {
                fixed("catharsis-edge; fwd=method")
            } else if session.cache.maybe_cache_key().is_some() {
                fixed("catharsis-edge; fwd=miss")
            } else {
                fixed("catharsis-edge; fwd=bypass")
            }
        }
    }
}

/// Seconds until then; negative when it has passed.
fn seconds_until(until: SystemTime) -> i64 {
    match until.duration_since(SystemTime::now()) {
        Ok(left) => i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
        Err(past) => i64::try_from(past.duration().as_secs()).map_or(i64::MIN, |it| -it),
    }
}

/// Which origin serves which host.
#[derive(Debug, Default)]
struct Routes {
    /// By host in key form, which is also the form of [`HostName`].
    exact: HashMap<Box<str>, Arc<Origin>>,
    /// Longest first.
    below: Vec<(HostName, Arc<Origin>)>,
    any: Option<Arc<Origin>>,
}

impl Routes {
    fn new(config: &EdgeConfig) -> Self {
        let mut routes = Self::default();
        for route in &config.routes {
            let origin = Arc::new(Origin { upstream: route.upstream.clone(), resolved: Mutex::new(None) });
            match &route.hosts {
                HostPattern::Exact(host) => {
                    routes.exact.insert(host.as_str().into(), origin);
                }
                HostPattern::Below(host) => routes.below.push((host.clone(), origin)),
                HostPattern::Any => routes.any = Some(origin),
            }
        }
        routes.below.sort_by_key(|(host, _)| std::cmp::Reverse(host.as_str().len()));
        routes
    }

    fn of(&self, host: &KeyHost) -> Option<Arc<Origin>> {
        let name = host.name();
        let is_below = |parent: &HostName| {
            let rest = name.strip_suffix(parent.as_str());
            rest.is_some_and(|it| it.ends_with('.'))
        };
        let exact = self.exact.get(name);
        let below = || self.below.iter().find(|(parent, _)| is_below(parent)).map(|(_, it)| it);
        exact.or_else(below).or(self.any.as_ref()).cloned()
    }
}

/// An upstream and where it was last found.
#[derive(Debug)]
struct Origin {
    upstream: Upstream,
    resolved: Mutex<Option<(Instant, SocketAddr)>>,
}

impl Origin {
    async fn address(&self, within: Duration) -> Result<SocketAddr> {
        let (name, port) = match &self.upstream {
            Upstream::Address(address) => return Ok(*address),
            Upstream::Name(name, port) => (name, *port),
        };
        if let Some((at, address)) = *self.resolved()
            && at.elapsed() < RESOLVED_FOR
        {
            return Ok(address);
        }
        // Several requests may look it up at once: they find the same.
        let lookup = tokio::net::lookup_host((&**name, port));
        let found = tokio::time::timeout(within, lookup).await;
        let found = found.map_err(|_| unresolved())?.map_err(|_| unresolved())?.next();
        let address = found.ok_or_else(unresolved)?;
        *self.resolved() = Some((Instant::now(), address));
        Ok(address)
    }

    fn resolved(&self) -> std::sync::MutexGuard<'_, Option<(Instant, SocketAddr)>> {
        self.resolved.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unresolved() -> Box<Error> {
    Error::explain(ErrorType::ConnectError, "the upstream's name has no address").into_up()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;
    use crate::config::Route;

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
    fn most_exact_route_wins() {
        let at = |port: u16| Upstream::Address(SocketAddr::from(([127, 0, 0, 1], port)));
        let name = |text: &str| HostName::parse(text).unwrap();
        let routes = [
            (HostPattern::Any, 1),
            (HostPattern::Below(name("a.test")), 2),
            (HostPattern::Below(name("b.a.test")), 3),
            (HostPattern::Exact(name("x.a.test")), 4),
        ];
        let routes = routes.map(|(hosts, port)| Route { hosts, upstream: at(port) });
        let any = "127.0.0.1:0".parse().unwrap();
        let routes = Routes::new(&EdgeConfig::new("e", any, any, routes.to_vec()));
        for (host, port) in [("x.a.test", 4), ("y.a.test:8080", 2), ("c.b.a.test", 3), ("a.test", 1), ("ya.test", 1)] {
            let origin = routes.of(&KeyHost::parse(host).unwrap()).unwrap();
            assert_eq!(origin.upstream, at(port), "{host}");
        }
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
