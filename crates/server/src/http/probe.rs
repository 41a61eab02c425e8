//! The origin of probe objects.
//!
//! What this is: a listener that caches fetch from, so that a node can prove that it purges
//! (`core/proof.rs`): each request gets another body, which may be kept for a minute. What this is not:
//! protected; it gives away random numbers and nothing else.

use bytes::Bytes;
use catharsis_adapters::probe::PROBE_PATH;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;

use super::listen::Handler;

/// Long enough for three requests in a row, short enough that nobody's cache fills with them.
const KEPT: &str = "public, max-age=60";

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct ProbeOrigin;

impl Handler for ProbeOrigin {
    async fn handle(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let asked = request.uri().path().starts_with(PROBE_PATH);
        if !asked || !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response = Response::new(Full::new(Bytes::from_static(b"only probe objects are here\n")));
            *response.status_mut() = StatusCode::NOT_FOUND;
            return response;
        }
        let mut response = Response::new(Full::new(Bytes::from(format!("{:032x}", rand::random::<u128>()))));
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(KEPT));
        response
    }
}
