//! Accepting connections within a bound: the loop that both listeners of an edge share.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Pause after a failed accept: out of file descriptors, trying at once again only burns.
const PAUSE: Duration = Duration::from_millis(50);

/// Serves each connection, at most `max` at a time, until `stop`; then returns with the listener closed,
/// while the connections go on in `connections`.
pub(crate) async fn each<F>(
    listener: TcpListener,
    max: usize,
    stop: &CancellationToken,
    connections: &TaskTracker,
    serve: impl Fn(TcpStream, SocketAddr) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(max));
    loop {
        // Stopping may drop a place or a connection not yet accepted: whoever it was tries again, or
        // elsewhere. Taking the place first leaves surplus connections in the kernel's queue.
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = async {
                let place = Arc::clone(&places).acquire_owned().await;
                (place, listener.accept().await)
            } => accepted,
        };
        let (Ok(place), Ok((stream, client))) = accepted else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let served = serve(stream, client);
        connections.spawn(async move {
            served.await;
            drop(place);
        });
    }
}
