//! The sample origin of the quickstart: one page whose text tells its version.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;

use crate::http::Handler;

/// The page.
pub(super) const PAGE: &str = "/hello.html";

/// Where a POST publishes a new version.
pub(super) const PUBLISH: &str = "/publish";

/// An origin that serves [`PAGE`] for an hour's caching, and counts up when it is told to publish.
#[derive(Debug)]
pub(super) struct SampleOrigin {
    version: AtomicU64,
}

impl SampleOrigin {
    /// An origin at version 1.
    #[must_use]
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { version: AtomicU64::new(1) })
    }

    /// Publishes the next version.
    pub(super) fn publish(&self) -> u64 {
        self.version.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// The text of a version.
    #[must_use]
    pub(super) fn text(version: u64) -> String {
        format!("Hello, this is version {version}.\n")
    }
}

impl Handler for SampleOrigin {
    async fn handle(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (status, body) = match (request.method(), request.uri().path()) {
            (&Method::POST, PUBLISH) => (StatusCode::OK, format!("version {} is published\n", self.publish())),
            (&Method::GET | &Method::HEAD, PAGE) => (StatusCode::OK, Self::text(self.version.load(Ordering::SeqCst))),
            _ => (StatusCode::NOT_FOUND, format!("only GET {PAGE} and POST {PUBLISH}\n")),
        };
        let mut response = Response::new(Full::new(body.into()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        let caching = if status == StatusCode::OK { "public, max-age=3600" } else { "no-store" };
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(caching));
        response
    }
}
