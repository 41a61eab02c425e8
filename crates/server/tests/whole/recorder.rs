//! A node that remembers what it was told.
//!
//! What this is: it answers PURGE like Varnish with the sample VCL, at once, and keeps every URL. It
//! stands in for a cache where a test asks what was delivered, not what a cache makes of it.

use std::collections::HashSet;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::ext::ReasonPhrase;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// The node. Ends when dropped.
#[derive(Debug)]
pub(crate) struct Recorder {
    pub(crate) address: SocketAddr,
    told: Arc<Mutex<HashSet<String>>>,
    server: JoinHandle<()>,
}

impl Recorder {
    /// Starts it on a free port.
    pub(crate) async fn start() -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// Starts it at an address.
    pub(crate) async fn start_at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let told = Arc::new(Mutex::new(HashSet::new()));
        let server = tokio::spawn(serve(listener, Arc::clone(&told)));
        Self { address, told, server }
    }

    /// Those of the URLs (host and path) that it was never told.
    pub(crate) fn missing<'a>(&self, urls: impl IntoIterator<Item = &'a String>) -> Vec<&'a String> {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        urls.into_iter().filter(|url| !told.contains(*url)).collect()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn serve(listener: TcpListener, told: Arc<Mutex<HashSet<String>>>) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let told = Arc::clone(&told);
        let service = service_fn(move |request| {
            let answer = purge(&told, &request);
            async move { Ok::<_, Infallible>(answer) }
        });
        connections.spawn(async move {
            // The server under test is killed again and again: its connections end as they may.
            let _ended =
                http1::Builder::new().pipeline_flush(true).serve_connection(TokioIo::new(stream), service).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

fn purge(told: &Mutex<HashSet<String>>, request: &Request<Incoming>) -> Response<Empty<Bytes>> {
    let mut response = Response::new(Empty::new());
    if request.method().as_str() != "PURGE" {
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        return response;
    }
    let host = request.headers().get("host").and_then(|host| host.to_str().ok()).unwrap_or_default();
    let path = request.uri().path_and_query().map_or("", |path| path.as_str());
    told.lock().unwrap_or_else(PoisonError::into_inner).insert(format!("{host}{path}"));
    response.extensions_mut().insert(ReasonPhrase::from_static(b"Purged 1"));
    response.headers_mut().insert("x-varnish", http::HeaderValue::from_static("1"));
    response
}
