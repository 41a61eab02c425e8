//! A client and an origin without an HTTP library: any byte may stand in a URL, as in the wild.

use std::net::SocketAddr;

use catharsis_testkit::client::Source;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// An origin that answers whatever it is asked with a page that may be kept.
pub(crate) struct AnyOrigin {
    pub(crate) address: SocketAddr,
    server: JoinHandle<()>,
}

impl Drop for AnyOrigin {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl AnyOrigin {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let server = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(answer_all(stream));
            }
        });
        Self { address, server }
    }
}

async fn answer_all(mut stream: TcpStream) {
    let mut buffer = Vec::new();
    while stream.read_buf(&mut buffer).await.unwrap_or(0) > 0 {
        while let Some(end) = buffer.windows(4).position(|it| it == b"\r\n\r\n") {
            buffer.drain(..end + 4);
            let answer = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nContent-Length: 2\r\n\r\nok";
            if stream.write_all(answer).await.is_err() {
                return;
            }
        }
    }
}

/// Asks for a target exactly as it is written here.
pub(crate) async fn source(address: SocketAddr, host: &str, target: &str) -> Source {
    let mut stream = TcpStream::connect(address).await.expect("the cache listens");
    let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.expect("an answer");
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 200 "), "{host}{target}: {answer}");
    match answer.lines().find_map(|line| line.strip_prefix("X-Cache: ")) {
        Some("HIT") => Source::Hit,
        Some("MISS") => Source::Miss,
        other => panic!("{host}{target}: {other:?}"),
    }
}
