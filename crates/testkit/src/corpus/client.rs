//! Clients that ask a cache for many URLs over kept connections.
//!
//! What this is: a few lanes, each with a connection of its own, that work through lists of requests; what
//! comes back is the number of each answer, or why there is none.
//!
//! Invariant: the requests of one list are sent one after another, in its order.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::origin::SERIAL;

/// The range that is asked for.
pub(super) const RANGE: &str = "bytes=0-1";

/// Connections at a time.
const LANES: usize = 8;

/// A request.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) method: Method,
    pub(super) host: String,
    pub(super) target: String,
    pub(super) fields: Vec<(&'static str, &'static str)>,
}

/// The number of an answer, or why there is none.
pub(super) type Told = Result<u64, String>;

/// Sends lists of requests; the answers come in the same lists.
pub(super) async fn ask_all(cache: SocketAddr, lists: Vec<Vec<Ask>>) -> Vec<Vec<Told>> {
    let count = lists.len();
    let mut shares: Vec<Vec<(usize, Vec<Ask>)>> = (0..LANES.min(count)).map(|_| Vec::new()).collect();
    for (at, list) in lists.into_iter().enumerate() {
        shares[at % LANES].push((at, list));
    }
    let mut lanes = JoinSet::new();
    for share in shares {
        lanes.spawn(lane(cache, share));
    }
    let mut told: Vec<Vec<Told>> = vec![Vec::new(); count];
    while let Some(lane) = lanes.join_next().await {
        for (at, answers) in lane.expect("a lane does not panic") {
            told[at] = answers;
        }
    }
    told
}

async fn lane(cache: SocketAddr, share: Vec<(usize, Vec<Ask>)>) -> Vec<(usize, Vec<Told>)> {
    let mut connection = None;
    let mut told = Vec::with_capacity(share.len());
    for (at, list) in share {
        let mut answers = Vec::with_capacity(list.len());
        for ask in &list {
            answers.push(told_over(&mut connection, cache, ask).await);
        }
        told.push((at, answers));
    }
    told
}

type Connection = Option<SendRequest<Empty<Bytes>>>;

/// Asks over the kept connection; once more over a fresh one when the cache had closed it.
async fn told_over(connection: &mut Connection, cache: SocketAddr, ask: &Ask) -> Told {
    if let Some(mut kept) = connection.take()
        && kept.ready().await.is_ok()
        && let Ok(told) = exchange(kept, connection, ask).await
    {
        return told;
    }
    let stream = TcpStream::connect(cache).await.map_err(|error| error.to_string())?;
    stream.set_nodelay(true).map_err(|error| error.to_string())?;
    let (sender, driver) = handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    // Ends when the sender is dropped or the cache closes.
    tokio::spawn(driver);
    exchange(sender, connection, ask).await.unwrap_or_else(|error| Err(error.to_string()))
}

async fn exchange(
    mut sender: SendRequest<Empty<Bytes>>,
    connection: &mut Connection,
    ask: &Ask,
) -> Result<Told, hyper::Error> {
    let mut request = Request::builder().method(&ask.method).uri(&ask.target).header(header::HOST, &ask.host);
    for (name, value) in &ask.fields {
        request = request.header(*name, *value);
    }
    let Ok(request) = request.body(Empty::new()) else {
        return Ok(Err("no client can ask for it".to_owned()));
    };
    let answer = sender.send_request(request).await?;
    let (head, body) = answer.into_parts();
    body.collect().await?;
    *connection = Some(sender);
    let serial = head.headers.get(SERIAL).and_then(|value| value.to_str().ok()).and_then(|value| value.parse().ok());
    Ok(match serial {
        Some(serial) if head.status.is_success() => Ok(serial),
        Some(_) | None => Err(head.status.as_u16().to_string()),
    })
}
