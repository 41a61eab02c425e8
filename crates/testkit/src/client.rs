//! A client that asks a cache for one URL.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// What a cache answered.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The status.
    pub status: StatusCode,
    /// The header fields.
    pub fields: HeaderMap,
    /// The body, as text.
    pub body: String,
}

impl Fetched {
    /// Where the answer came from, by the `X-Cache` field of the sample configurations.
    ///
    /// # Panics
    /// When the field is absent or unknown.
    #[must_use]
    pub fn source(&self) -> Source {
        let field = self.fields.get("x-cache").map(|value| value.as_bytes());
        // Squid names itself behind it: `HIT from squid`.
        match field.and_then(|value| value.split(|byte| *byte == b' ').next()) {
            Some(b"HIT") => Source::Hit,
            Some(b"MISS") => Source::Miss,
            _ => panic!("an unknown X-Cache field: {field:?} ({self:?})"),
        }
    }
}

/// Where an answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// From the cache.
    Hit,
    /// From the origin.
    Miss,
}

/// Asks for `http://host/path` at an address, with further header fields.
///
/// # Panics
/// When there is no whole answer.
pub async fn get(address: SocketAddr, host: &str, path: &str, fields: &[(&'static str, &str)]) -> Fetched {
    ask(Method::GET, address, host, path, fields).await
}

/// As [`get`], by HEAD.
///
/// # Panics
/// When there is no whole answer.
pub async fn head(address: SocketAddr, host: &str, path: &str) -> Fetched {
    ask(Method::HEAD, address, host, path, &[]).await
}

async fn ask(method: Method, address: SocketAddr, host: &str, path: &str, fields: &[(&'static str, &str)]) -> Fetched {
    let stream = TcpStream::connect(address).await.expect("the cache listens");
    let (mut sender, connection) = handshake(TokioIo::new(stream)).await.expect("HTTP/1.1");
    let connection = tokio::spawn(connection);
    let mut request = Request::builder().method(method).uri(path).header("host", host);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let request = request.body(Empty::<Bytes>::new()).expect("a valid request");
    let answer = sender.send_request(request).await.expect("an answer");
    let (head, body) = answer.into_parts();
    let body = body.collect().await.expect("a whole body").to_bytes();
    drop(sender);
    connection.abort();
    Fetched { status: head.status, fields: head.headers, body: String::from_utf8_lossy(&body).into_owned() }
}
