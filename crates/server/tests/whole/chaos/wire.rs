//! The connection between a relay and a node, which a test can break.
//!
//! What this is: a TCP proxy with a state: whole, slow, stalled or cut; and a memory of what was sent lately, so
//! that it can be sent once more, late and on another connection: a delivery that is duplicated and out of order.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// Bytes that are kept of what a connection sent first: whole requests, as far as they go.
const KEPT_BYTES: usize = 16 << 10;
/// How long the answer to what is sent once more is read.
const REPEATED_READ: Duration = Duration::from_millis(500);

/// How the connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    Whole,
    Slow(Duration),
    Stalled,
    Cut,
}

/// See the module. Ends when dropped.
#[derive(Debug)]
pub(super) struct Wire {
    /// Where the relay connects.
    pub(super) address: SocketAddr,
    node: SocketAddr,
    line: watch::Sender<Line>,
    kept: Arc<Mutex<Vec<u8>>>,
    proxy: JoinHandle<()>,
}

impl Wire {
    pub(super) async fn to(node: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let line = watch::Sender::new(Line::Whole);
        let kept = Arc::new(Mutex::new(Vec::new()));
        let proxy = tokio::spawn(proxy(listener, node, line.subscribe(), Arc::clone(&kept)));
        Self { address, node, line, kept, proxy }
    }

    pub(super) fn set(&self, line: Line) {
        self.line.send_replace(line);
    }

    /// Sends once more what the relay sent on its newest connection but one, or on its newest.
    pub(super) async fn repeat(&self) {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // A node that is away now misses a repetition: nothing that anybody waits for.
        let Ok(mut stream) = TcpStream::connect(self.node).await else { return };
        if stream.write_all(&kept).await.is_ok() {
            let mut answer = [0; 4_096];
            let reading = async { while stream.read(&mut answer).await.is_ok_and(|read| read > 0) {} };
            // Ended by the time: a kept connection has no end.
            let _ended = tokio::time::timeout(REPEATED_READ, reading).await;
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.proxy.abort();
    }
}

async fn proxy(listener: TcpListener, node: SocketAddr, line: watch::Receiver<Line>, kept: Arc<Mutex<Vec<u8>>>) {
    // Dropped with this worker.
    let mut connections = JoinSet::new();
    while let Ok((relay, _)) = listener.accept().await {
        if *line.borrow() != Line::Cut {
            connections.spawn(connection(relay, node, line.clone(), Arc::clone(&kept)));
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(relay: TcpStream, node: SocketAddr, mut line: watch::Receiver<Line>, kept: Arc<Mutex<Vec<u8>>>) {
    let Ok(node) = TcpStream::connect(node).await else { return };
    let ((from_relay, to_relay), (from_node, to_node)) = (relay.into_split(), node.into_split());
    let orders = pass(from_relay, to_node, line.clone(), Some(kept));
    let answers = pass(from_node, to_relay, line.clone(), None);
    // Whichever ends first, the other is dropped and both sides see the end: a cut may come between an
    // order and its answer, which is the point.
    tokio::select! {
        () = orders => {}
        () = answers => {}
        _gone = line.wait_for(|line| *line == Line::Cut) => {}
    }
}

async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut line: watch::Receiver<Line>,
    kept: Option<Arc<Mutex<Vec<u8>>>>,
) {
    let mut bytes = vec![0; 16 << 10];
    let mut first = Vec::new();
    while let Ok(read) = from.read(&mut bytes).await {
        if read == 0 {
            return;
        }
        if let Some(kept) = kept.as_ref().filter(|_| first.len() + read <= KEPT_BYTES) {
            first.extend_from_slice(&bytes[..read]);
            kept.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&first);
        }
        let now = *line.borrow();
        match now {
            Line::Whole | Line::Cut => {}
            Line::Slow(late) => tokio::time::sleep(late).await,
            // The sender is gone when the test is over.
            Line::Stalled => drop(line.wait_for(|line| *line != Line::Stalled).await),
        }
        if to.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}
