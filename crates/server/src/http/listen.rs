//! Listening for HTTP.
//!
//! What this is: the accept loop that every door of the server shares: bounded connections, a time
//! limit on headers, HTTP/1.1 and HTTP/2 without TLS, and an end that first lets running requests
//! finish. What this is not: knowledge of any request.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

/// Request headers, bytes: a GET of the documented 32 KB and a long `Authorization` fit twice.
const HEADER_BYTES_MAX: usize = 96 * 1024;

/// Requests under way on one HTTP/2 connection.
const STREAMS_MAX: u32 = 128;

/// Whatever answers requests.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request. Called concurrently; may be dropped when the client goes away.
    fn handle(&self, request: Request<Incoming>) -> impl Future<Output = Response<Full<Bytes>>> + Send;
}

/// A listening door.
#[derive(Debug)]
pub struct Door {
    listener: TcpListener,
    limits: DoorLimits,
}

/// The bounds of a door.
#[derive(Clone, Copy, Debug)]
pub struct DoorLimits {
    /// Connections at once.
    pub connections_max: usize,
    /// Time to send a request's headers; also how long an idle connection is kept.
    pub header_timeout: Duration,
    /// Time for running requests to end after the door is told to stop.
    pub drain_timeout: Duration,
}

impl Door {
    /// Opens a door.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn open(address: SocketAddr, limits: DoorLimits) -> std::io::Result<Self> {
        Ok(Self { listener: TcpListener::bind(address).await?, limits })
    }

    /// The address it listens on; tells the port when 0 was asked for.
    ///
    /// # Errors
    /// When the system cannot tell.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers until told to stop, then lets running requests end.
    pub async fn serve(self, handler: Arc<impl Handler>, stop: CancellationToken) {
        let graceful = GracefulShutdown::new();
        let room = Arc::new(Semaphore::new(self.limits.connections_max));
        loop {
            // Taking the permit before accepting leaves surplus connections in the system's queue.
            // If `stop` wins, the permit or the half-accepted connection is dropped: nothing was
            // read from it yet.
            let next = async {
                let permit = Arc::clone(&room).acquire_owned().await;
                (permit, self.listener.accept().await)
            };
            let (permit, accepted) = tokio::select! {
                () = stop.cancelled() => break,
                next = next => next,
            };
            match accepted {
                Ok((stream, _peer)) => {
                    let connection = self.connection(stream, Arc::clone(&handler), &graceful);
                    tokio::spawn(async move {
                        connection.await;
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
        drop(self.listener);
        if tokio::time::timeout(self.limits.drain_timeout, graceful.shutdown()).await.is_err() {
            warn!("requests were still running when the time to drain was over");
        }
    }

    fn connection<H: Handler>(
        &self,
        stream: TcpStream,
        handler: Arc<H>,
        graceful: &GracefulShutdown,
    ) -> impl Future<Output = ()> + Send + 'static + use<H> {
        // Answers are small and complete: waiting to merge them would only delay them.
        let nodelay = stream.set_nodelay(true);
        let service = service_fn(move |request| {
            let handler = Arc::clone(&handler);
            async move { Ok::<_, Infallible>(handler.handle(request).await) }
        });
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.header_timeout)
            .max_buf_size(HEADER_BYTES_MAX)
            .pipeline_flush(true)
            // A client that has said everything and closes its half still wants the answer.
            .half_close(true);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS_MAX)
            .keep_alive_interval(self.limits.header_timeout)
            .max_header_list_size(96 * 1024);
        let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned();
        let watched = graceful.watch(connection);
        async move {
            if let Err(error) = nodelay {
                debug!(%error, "the connection ended at once");
            }
            // What is not HTTP is answered 400 by the HTTP layer itself and ends here.
            if let Err(error) = watched.await {
                debug!(%error, "a connection ended with an error");
            }
        }
    }
}
