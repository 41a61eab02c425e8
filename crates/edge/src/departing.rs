//! The end of a cache's connection to an origin hop.
//!
//! What this is: a second descriptor of the connection's socket, which outlives the proxy's: when the proxy is through
//! with it, the hop's direction ends, and the cache's end is waited for. It comes after the cache has read
//! everything, so what was on its way has landed then (`flights`).
//!
//! Invariant: a connection whose socket cannot be had twice is not served, for nobody would know what is on its way.

use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::flights::{ConnectionId, Flights};

/// How long a cache may take to close a connection at whose end it is. One that does not is hung, or gone without a
/// word; what it had not read by then it is taken not to keep.
const CLOSES_WITHIN: Duration = Duration::from_secs(30);

/// See the module.
pub(crate) struct Departing {
    flights: Arc<Flights>,
    id: ConnectionId,
    socket: std::net::TcpStream,
}

impl Departing {
    /// # Errors
    /// When there are no more file descriptors.
    pub(crate) fn new(flights: &Arc<Flights>, stream: &TcpStream, peer: SocketAddr) -> std::io::Result<Self> {
        let another = || std::io::Result::Ok(std::net::TcpStream::from(stream.as_fd().try_clone_to_owned()?));
        let (socket, ending) = (another()?, another()?);
        Ok(Self { flights: Arc::clone(flights), id: flights.connected(peer, ending), socket })
    }

    /// Waits until the cache has seen the end.
    pub(crate) async fn land(self) {
        let Self { flights, id, socket } = self;
        // At its end already when the cache has closed.
        let _ = socket.shutdown(std::net::Shutdown::Write);
        let ended = async {
            let mut stream = TcpStream::from_std(socket)?;
            let mut rest = [0; 1_024];
            while stream.read(&mut rest).await? > 0 {}
            std::io::Result::Ok(())
        };
        match tokio::time::timeout(CLOSES_WITHIN, ended).await {
            // Reset or closed: nothing more will be read from it.
            Ok(Ok(()) | Err(_)) => {}
            Err(_) => tracing::warn!(?id, "a cache does not close a connection that has ended"),
        }
        flights.ended(id);
    }
}
