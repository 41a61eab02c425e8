//! What may be stored, for how long, and for which requests.
//!
//! What this is: the rules of RFC 9111 that the proxy library leaves to its user: `no-store`,
//! `private`, `Authorization`, cookies, `Age`, `Vary`, and what has no explicit lifetime.
//!
//! What this is not: the parser of `Cache-Control`, nor the handling of `stale-while-revalidate`,
//! `stale-if-error` and `must-revalidate`, which are the library's.
//!
//! Invariant: without explicit freshness nothing is stored, unless a default lifetime is configured.

use std::time::{Duration, SystemTime};

use http::header::{AGE, AUTHORIZATION, CACHE_CONTROL, CONTENT_LENGTH, EXPIRES, SET_COOKIE, VARY};
use http::{HeaderMap, StatusCode};
use pingora_cache::cache_control::CacheControl;
use pingora_cache::key::HashBinary;
use pingora_cache::{CacheMeta, CacheMetaDefaults, NoCacheReason, RespCacheable, VarianceBuilder, filters};
use pingora_http::{RequestHeader, ResponseHeader};

/// No lifetime, and no use of stale copies, that the origin did not allow.
const NOTHING_BY_DEFAULT: CacheMetaDefaults = CacheMetaDefaults::new(|_| None, 0, 0);

/// Statuses that are stored. Those that RFC 9110 section 15.1 calls heuristically cacheable, without
/// 206 (only whole objects are kept) and 501, and the redirects 302, 303 and 307.
const STORABLE: [u16; 14] = [200, 203, 204, 300, 301, 302, 303, 307, 308, 404, 405, 410, 414, 451];

/// What an operator can set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) default_ttl: Option<Duration>,
    pub(crate) object_bytes_max: usize,
}

/// Whether a response may be stored, and until when it is fresh.
pub(crate) fn decide(request: &RequestHeader, response: &ResponseHeader, rules: Rules) -> RespCacheable {
    if let Some(why) = forbidden(response, rules.object_bytes_max) {
        return RespCacheable::Uncacheable(NoCacheReason::Custom(why));
    }
    let control = CacheControl::from_resp_headers(response);
    let authorized = request.headers.contains_key(AUTHORIZATION);
    let decided = filters::resp_cacheable(control.as_ref(), response.clone(), authorized, &NOTHING_BY_DEFAULT);
    match decided {
        RespCacheable::Cacheable(meta) => RespCacheable::Cacheable(aged(meta)),
        RespCacheable::Uncacheable(why) => match rules.default_ttl {
            Some(ttl) if says_nothing(response) && !authorized => {
                let now = SystemTime::now();
                let meta = CacheMeta::new(now + ttl, now, 0, 0, response.clone());
                RespCacheable::Cacheable(aged(meta))
            }
            Some(_) | None => RespCacheable::Uncacheable(why),
        },
    }
}

/// Why a response is never stored.
fn forbidden(response: &ResponseHeader, object_bytes_max: usize) -> Option<&'static str> {
    if !STORABLE.contains(&response.status.as_u16()) {
        return Some("status");
    }
    // RFC 9111 section 7.3 leaves cookies to the cache; one client's session must not become all
    // clients' session because an origin forgot to say `private`.
    if response.headers.contains_key(SET_COOKIE) {
        return Some("set-cookie");
    }
    if varies_by_everything(&response.headers) {
        return Some("vary");
    }
    // What the origin announces as too large passes through; what turns out too large is cut off
    // the cache while it streams (see `fill`).
    let length = response.headers.get(CONTENT_LENGTH).and_then(|it| it.to_str().ok());
    let length = length.and_then(|it| it.parse::<u64>().ok());
    if length.is_some_and(|it| it > object_bytes_max as u64) {
        return Some("too-large");
    }
    None
}

fn says_nothing(response: &ResponseHeader) -> bool {
    let headers = &response.headers;
    !headers.contains_key(CACHE_CONTROL)
        && !headers.contains_key(EXPIRES)
        && response.status != StatusCode::FOUND
        && response.status != StatusCode::SEE_OTHER
        && response.status != StatusCode::TEMPORARY_REDIRECT
}

/// Counts the age that a response already has (RFC 9111 section 4.2.3): behind a shield it has
/// been in a cache before.
fn aged(mut meta: CacheMeta) -> CacheMeta {
    let age = meta.headers().get(AGE).and_then(|it| it.to_str().ok());
    let Some(seconds) = age.and_then(|it| it.trim().parse::<u32>().ok()) else {
        return meta;
    };
    let age = Duration::from_secs(seconds.into());
    if let (Some(until), Some(since)) = (meta.fresh_until().checked_sub(age), SystemTime::now().checked_sub(age)) {
        meta.expire_at(until);
        meta.set_epoch_override(since);
    }
    meta
}

fn vary_names(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let values = headers.get_all(VARY).iter().filter_map(|it| it.to_str().ok());
    values.flat_map(|it| it.split(',')).map(str::trim).filter(|it| !it.is_empty())
}

fn varies_by_everything(headers: &HeaderMap) -> bool {
    vary_names(headers).any(|it| it == "*") || headers.get_all(VARY).iter().any(|it| it.to_str().is_err())
}

/// Which variant of a response that varies a request asks for (RFC 9111 section 4.1): the fields that
/// `Vary` names, byte for byte, repeated ones joined.
pub(crate) fn variance(response: &HeaderMap, request: &HeaderMap) -> Option<HashBinary> {
    let mut variance = VarianceBuilder::new();
    for name in vary_names(response) {
        let name = name.to_ascii_lowercase();
        let mut value = Vec::new();
        for (at, part) in request.get_all(name.as_str()).iter().enumerate() {
            if at > 0 {
                value.push(b',');
            }
            value.extend_from_slice(part.as_bytes());
        }
        variance.add_owned_name_value(name, value);
    }
    variance.finalize()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;

    const RULES: Rules = Rules { default_ttl: None, object_bytes_max: 1_000 };

    fn response(status: u16, fields: &[(&'static str, &str)]) -> ResponseHeader {
        let mut header = ResponseHeader::build(status, None).unwrap();
        for (name, value) in fields {
            header.append_header(*name, *value).unwrap();
        }
        header
    }

    fn request(fields: &[(&'static str, &str)]) -> RequestHeader {
        let mut header = RequestHeader::build("GET", b"/", None).unwrap();
        for (name, value) in fields {
            header.append_header(*name, *value).unwrap();
        }
        header
    }

    fn lifetime(
        rules: Rules,
        status: u16,
        asked: &[(&'static str, &str)],
        fields: &[(&'static str, &str)],
    ) -> Option<u64> {
        match decide(&request(asked), &response(status, fields), rules) {
            RespCacheable::Cacheable(meta) => Some(
                meta.fresh_until()
                    .duration_since(SystemTime::now())
                    .map_or(0, |it| it.as_secs() + u64::from(it.subsec_millis() >= 500)),
            ),
            RespCacheable::Uncacheable(_) => None,
        }
    }

    #[test]
    fn only_what_the_origin_lets_all_share_is_stored() {
        let check = |fields: &[(&'static str, &str)], expect: Option<u64>| {
            assert_eq!(lifetime(RULES, 200, &[], fields), expect, "{fields:?}");
        };
        let fresh = ("cache-control", "max-age=60");
        check(&[fresh], Some(60));
        check(&[("cache-control", "max-age=60, s-maxage=10")], Some(10));
        check(&[fresh, ("age", "20")], Some(40));
        check(&[fresh, ("age", "90")], Some(0));
        check(&[("cache-control", "no-store, max-age=60")], None);
        check(&[("cache-control", "private, max-age=60")], None);
        check(&[("cache-control", "no-cache, max-age=60")], Some(0));
        check(&[fresh, ("set-cookie", "a=b")], None);
        check(&[fresh, ("vary", "accept, *")], None);
        check(&[fresh, ("content-length", "1001")], None);
        check(&[fresh, ("content-length", "1000")], Some(60));
        check(&[], None);
        check(&[("last-modified", "Mon, 01 Jan 2024 00:00:00 GMT")], None);
    }

    #[test]
    fn status_and_authorization_limit_what_is_stored() {
        let fresh = [("cache-control", "max-age=60")];
        for (status, expect) in [(404, Some(60)), (301, Some(60)), (206, None), (500, None), (503, None)] {
            assert_eq!(lifetime(RULES, status, &[], &fresh), expect, "{status}");
        }
        let authorized = [("authorization", "Basic eA==")];
        assert_eq!(lifetime(RULES, 200, &authorized, &fresh), None);
        let shared = [("cache-control", "public, max-age=60")];
        assert_eq!(lifetime(RULES, 200, &authorized, &shared), Some(60));
    }

    #[test]
    fn default_lifetime_is_for_responses_that_say_nothing() {
        let rules = Rules { default_ttl: Some(Duration::from_secs(30)), ..RULES };
        assert_eq!(lifetime(rules, 200, &[], &[]), Some(30));
        assert_eq!(lifetime(rules, 302, &[], &[]), None);
        assert_eq!(lifetime(rules, 200, &[], &[("cache-control", "no-store")]), None);
        assert_eq!(lifetime(rules, 200, &[], &[("set-cookie", "a=b")]), None);
        assert_eq!(lifetime(rules, 200, &[("authorization", "x")], &[]), None);
    }

    #[test]
    fn variants_differ_by_the_named_fields_only() {
        let varies = response(200, &[("vary", "Accept-Encoding"), ("vary", "accept")]);
        let key = |fields: &[(&'static str, &str)]| variance(&varies.headers, &request(fields).headers);
        let base = key(&[("accept", "a")]);
        assert!(base.is_some());
        assert_eq!(key(&[("accept", "a"), ("x", "y")]), base);
        assert_ne!(key(&[("accept", "b")]), base);
        assert_ne!(key(&[("accept", "a"), ("accept-encoding", "")]), key(&[("accept-encoding", "a")]));
        assert_eq!(variance(&response(200, &[]).headers, &request(&[]).headers), None);
    }
}
