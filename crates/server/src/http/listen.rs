//! Listening for HTTP.
//!
//! What this is: the accept loop that every door of the server shares, in the clear and with TLS: bounded
//! connections, HTTP/1.1 and HTTP/2 within bounds, and an end that first lets running requests finish.
//! What this is not: knowledge of any request.
//!
//! Invariant: a connection counts from the moment it is accepted, its handshake included, until it is gone.

use std::convert::Infallible;
use std::future::{Future, pending};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONNECTION;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use super::connection::{Patience, Watch, WatchedStream, drive};
use super::tls::{ALPN_H2, Tls};

/// HTTP/2 streams that the peer has reset and that still wait to be looked at. Beyond it the connection
/// ends: a flood of resets costs its sender nothing else (CVE-2023-44487).
const PENDING_RESETS_MAX: usize = 20;

/// HTTP/2 streams that were reset for the peer's own errors, such as broken frames, on one connection.
const ERROR_RESETS_MAX: usize = 128;

/// Whatever answers requests.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request. Called concurrently; may be dropped when the client goes away. The request's
    /// extensions hold the [`Peer`].
    fn handle(&self, request: Request<Incoming>) -> impl Future<Output = Response<Full<Bytes>>> + Send;
}

/// The other end of the connection on which a request came, as the socket has it: never what a header
/// claims. An IPv4 address that arrived on an IPv6 socket is an IPv4 address here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

impl Peer {
    fn new(address: SocketAddr) -> Self {
        Self(SocketAddr::new(address.ip().to_canonical(), address.port()))
    }
}

/// A listening door: in the clear, with TLS, or both.
#[derive(Debug)]
pub struct Door {
    plain: Option<TcpListener>,
    tls: Option<TlsListener>,
    limits: DoorLimits,
}

#[derive(Debug)]
struct TlsListener {
    listener: TcpListener,
    tls: Arc<Tls>,
}

/// The bounds of a door.
#[derive(Clone, Copy, Debug)]
pub struct DoorLimits {
    /// Connections at once; more wait in the system's queue.
    pub connections_max: usize,
    /// Bytes of a request's line and headers.
    pub header_bytes: u32,
    /// Time for a TLS handshake.
    pub handshake_timeout: Duration,
    /// Time to send a request's headers, and to begin the first request.
    pub header_timeout: Duration,
    /// How long a connection without a request is kept after its first.
    pub idle_timeout: Duration,
    /// Time to take an answer.
    pub write_timeout: Duration,
    /// Requests on one connection, one after the other or not.
    pub requests_per_connection: u32,
    /// Requests at once on one HTTP/2 connection.
    pub streams_per_connection: u32,
    /// Time for running requests to end after the door is told to stop.
    pub drain_timeout: Duration,
}

impl DoorLimits {
    /// The defaults of `[api]`.
    pub const USUAL: Self = Self {
        connections_max: 4_096,
        // A GET of the documented 32 KB and a long `Authorization` fit twice.
        header_bytes: 96 * 1024,
        handshake_timeout: Duration::from_secs(10),
        header_timeout: Duration::from_secs(10),
        // Clients that keep connections expect about a minute.
        idle_timeout: Duration::from_secs(60),
        // The SDKs give up after 60 s.
        write_timeout: Duration::from_secs(60),
        requests_per_connection: 10_000,
        streams_per_connection: 128,
        drain_timeout: Duration::from_secs(10),
    };
}

/// How a connection's protocol is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    /// By its first bytes.
    Seen,
    /// HTTP/1.1, by the handshake, or for want of a word in it.
    Http1,
    /// HTTP/2, by the handshake.
    Http2,
}

/// What every connection of a door shares.
struct Room<H> {
    handler: Arc<H>,
    limits: DoorLimits,
    /// Cancelled when no further request is wanted.
    stop: CancellationToken,
}

impl Door {
    /// Opens a door in the clear.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn open(address: SocketAddr, limits: DoorLimits) -> std::io::Result<Self> {
        Ok(Self { plain: Some(TcpListener::bind(address).await?), tls: None, limits })
    }

    /// Opens a door with TLS.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn open_tls(address: SocketAddr, tls: Arc<Tls>, limits: DoorLimits) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        Ok(Self { plain: None, tls: Some(TlsListener { listener, tls }), limits })
    }

    /// Listens on an address with TLS too, within the same limits.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn and_tls(self, address: SocketAddr, tls: Arc<Tls>) -> std::io::Result<Self> {
        Ok(Self { plain: self.plain, ..Self::open_tls(address, tls, self.limits).await? })
    }

    /// Where it listens; tells the port when 0 was asked for. In the clear, if it does that.
    ///
    /// # Errors
    /// When the system cannot tell.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        let listener = self.plain.as_ref().or(self.tls.as_ref().map(|tls| &tls.listener));
        listener.ok_or_else(|| std::io::Error::other("a door without a listener"))?.local_addr()
    }

    /// Logs where it listens.
    ///
    /// # Errors
    /// When the system cannot tell.
    pub fn announce(&self, door: &str) -> std::io::Result<()> {
        if let Some(plain) = &self.plain {
            info!(door, address = %plain.local_addr()?, "listening");
        }
        if let Some(TlsListener { listener, .. }) = &self.tls {
            info!(door, address = %listener.local_addr()?, "listening with TLS");
        }
        Ok(())
    }

    /// Answers until told to stop, then lets running requests end.
    pub async fn serve(self, handler: Arc<impl Handler>, stop: CancellationToken) {
        let connections = TaskTracker::new();
        // Cancelled when the time to drain is over.
        let over = CancellationToken::new();
        if let Some(TlsListener { tls, .. }) = &self.tls {
            connections.spawn(Arc::clone(tls).follow_files(stop.clone()));
        }
        let permits = Arc::new(Semaphore::new(self.limits.connections_max));
        let room = Arc::new(Room { handler, limits: self.limits, stop: stop.clone() });
        loop {
            // Taking the permit before accepting leaves surplus connections in the system's queue.
            // If `stop` wins, the permit or the half-accepted connection is dropped: nothing was
            // read from it yet.
            let next = async {
                let permit = Arc::clone(&permits).acquire_owned().await;
                (permit, self.accept().await)
            };
            let (permit, accepted) = tokio::select! {
                () = stop.cancelled() => break,
                next = next => next,
            };
            match accepted {
                Ok((stream, peer, acceptor)) => {
                    let (room, over) = (Arc::clone(&room), over.clone());
                    connections.spawn(async move {
                        // When the time to drain is over, what still runs is dropped.
                        tokio::select! {
                            () = over.cancelled() => {}
                            () = room.connection(stream, Peer::new(peer), acceptor) => {}
                        }
                        drop(permit);
                    });
                }
                // Out of file descriptors and the like: give the system a moment instead of spinning.
                Err(error) => {
                    warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
        let drain_timeout = self.limits.drain_timeout;
        drop(self);
        connections.close();
        if tokio::time::timeout(drain_timeout, connections.wait()).await.is_err() {
            warn!("requests were still running when the time to drain was over");
            over.cancel();
        }
    }

    /// The next connection, and what its handshake needs if there is one.
    async fn accept(&self) -> std::io::Result<(TcpStream, SocketAddr, Option<TlsAcceptor>)> {
        // Accepting loses nothing when it is dropped, so the listener that did not win has lost nothing.
        tokio::select! {
            accepted = accept_on(self.plain.as_ref()) => accepted.map(|(stream, peer)| (stream, peer, None)),
            accepted = accept_on(self.tls.as_ref().map(|tls| &tls.listener)) => {
                let acceptor = self.tls.as_ref().map(|tls| tls.tls.acceptor());
                accepted.map(|(stream, peer)| (stream, peer, acceptor))
            }
        }
    }
}

async fn accept_on(listener: Option<&TcpListener>) -> std::io::Result<(TcpStream, SocketAddr)> {
    match listener {
        Some(listener) => listener.accept().await,
        None => pending().await,
    }
}

impl<H: Handler> Room<H> {
    async fn connection(&self, stream: TcpStream, peer: Peer, acceptor: Option<TlsAcceptor>) {
        // Answers are small and complete: waiting to merge them would only delay them.
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%error, "the connection ended at once");
        }
        let Some(acceptor) = acceptor else { return self.http(stream, peer, Protocol::Seen).await };
        let handshake = tokio::time::timeout(self.limits.handshake_timeout, acceptor.accept(stream));
        // A handshake has promised nothing: a stop may cut it short.
        let handshake = tokio::select! {
            () = self.stop.cancelled() => return,
            handshake = handshake => handshake,
        };
        match handshake {
            Ok(Ok(stream)) => {
                let is_h2 = stream.get_ref().1.alpn_protocol() == Some(ALPN_H2);
                let protocol = if is_h2 { Protocol::Http2 } else { Protocol::Http1 };
                self.http(stream, peer, protocol).await;
            }
            // What is not TLS got an alert from the TLS layer itself.
            Ok(Err(error)) => debug!(%error, "a handshake failed"),
            Err(_) => debug!("a handshake took too long"),
        }
    }

    async fn http<S>(&self, stream: S, peer: Peer, protocol: Protocol)
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let watch = Watch::new(Patience {
            header: self.limits.header_timeout,
            idle: self.limits.idle_timeout,
            write: self.limits.write_timeout,
            requests: self.limits.requests_per_connection,
        });
        let handler = Arc::clone(&self.handler);
        let (begun, header_bytes) = (watch.clone(), self.limits.header_bytes as usize);
        let service = service_fn(move |mut request: Request<Incoming>| {
            let exchange = begun.begin(request.version());
            let handler = Arc::clone(&handler);
            request.extensions_mut().insert(peer);
            async move {
                let mut response = if head_bytes(&request) > header_bytes {
                    refused(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)
                } else {
                    handler.handle(request).await
                };
                if exchange.is_last() {
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, Infallible>(exchange.answered(response))
            }
        });
        let builder = self.builder(protocol);
        let connection = builder.serve_connection(TokioIo::new(WatchedStream::new(stream, watch.clone())), service);
        // What is not HTTP is answered 400 by the HTTP layer itself and ends here.
        if let Err(error) = drive(connection, &watch, &self.stop).await {
            debug!(%error, "a connection ended with an error");
        }
    }

    fn builder(&self, protocol: Protocol) -> auto::Builder<TokioExecutor> {
        let limits = &self.limits;
        let mut builder = match protocol {
            Protocol::Seen => auto::Builder::new(TokioExecutor::new()),
            Protocol::Http1 => auto::Builder::new(TokioExecutor::new()).http1_only(),
            Protocol::Http2 => auto::Builder::new(TokioExecutor::new()).http2_only(),
        };
        builder
            .http1()
            .timer(TokioTimer::new())
            // The watch does it: it tells an idle connection from one that sends slowly.
            .header_read_timeout(None)
            // Looked at between reads only: headers of up to twice as much may pass it, and are refused by
            // their exact size later.
            .max_buf_size(limits.header_bytes as usize)
            // A client that has said everything and closes its half still wants the answer.
            .half_close(true);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits.streams_per_connection)
            .max_header_list_size(limits.header_bytes)
            .max_pending_accept_reset_streams(PENDING_RESETS_MAX)
            .max_local_error_reset_streams(ERROR_RESETS_MAX)
            // A peer that is gone without a word is noticed while an answer is worked on.
            .keep_alive_interval(limits.header_timeout)
            .keep_alive_timeout(limits.header_timeout);
        builder
    }
}

/// The size of a request's line and headers as HTTP/1 writes them.
fn head_bytes(request: &Request<Incoming>) -> usize {
    const BETWEEN: usize = ": \r\n".len();
    let uri = request.uri();
    let uri = uri.authority().map_or(0, |authority| authority.as_str().len())
        + uri.path_and_query().map_or(0, |path| path.as_str().len());
    let headers = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + BETWEEN);
    request.method().as_str().len() + uri + headers.sum::<usize>()
}

fn refused(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::default();
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Empty};

    use super::*;

    /// Tells who called.
    struct WhoCalled;

    impl Handler for WhoCalled {
        async fn handle(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
            let peer = request.extensions().get::<Peer>().map(|peer| peer.0.to_string());
            Response::new(Full::new(peer.unwrap_or_default().into()))
        }
    }

    #[tokio::test]
    async fn peer_is_the_socket_s_and_an_ipv4_address_stays_one() {
        for listen in ["127.0.0.1:0", "[::]:0"] {
            let door = Door::open(listen.parse().expect("an address"), DoorLimits::USUAL).await.expect("a free port");
            let port = door.address().expect("it is bound").port();
            let stop = CancellationToken::new();
            let serving = tokio::spawn(door.serve(Arc::new(WhoCalled), stop.clone()));
            let stream = TcpStream::connect(("127.0.0.1", port)).await.expect("the door is open");
            let ours = stream.local_addr().expect("it is connected").to_string();
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("HTTP/1.1");
            tokio::spawn(connection);
            let request = Request::get("/")
                .header("host", "a")
                .header("x-forwarded-for", "192.0.2.1")
                .header("forwarded", "for=192.0.2.1")
                .body(Empty::<Bytes>::new())
                .expect("a request");
            let answer = sender.send_request(request).await.expect("an answer").into_body().collect().await;
            assert_eq!(answer.expect("a whole answer").to_bytes(), ours.as_bytes(), "{listen}");
            stop.cancel();
            serving.await.expect("it ends with an idle connection open");
        }
    }
}
