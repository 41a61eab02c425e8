//! Clients that read through nodes all the time.
//!
//! What this is: one client with a kept connection, and what it learns of the version that a node
//! serves: by a plain GET, a conditional one, a range or a HEAD. What this is not: a judge. A node that
//! does not answer, or answers something that is no page, tells nothing; that is no violation.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ETAG, HOST, IF_NONE_MATCH, RANGE};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rand::RngExt;
use rand::rngs::SmallRng;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::history::Version;
use super::page::{PageId, RECORD_BYTES, RECORDS, VARIANT, Versions, etag, of_etag};

/// How long a read may take: beyond what any node waits for its origin here.
const READ_MAX: Duration = Duration::from_secs(20);

/// A node as its clients see it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its name, for the report.
    pub name: String,
    /// Where clients connect.
    pub traffic: SocketAddr,
}

/// How a page is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    Plain,
    /// With the validator of this version.
    Conditional(Version),
    /// These records, the last included.
    Range(usize, usize),
    Head,
}

impl Manner {
    /// Mostly plain. `known` is a version that the client has.
    pub(super) fn draw(known: Option<Version>, random: &mut SmallRng) -> Self {
        match (random.random_range(0..100u8), known) {
            (60..75, Some(known)) => Self::Conditional(known),
            (75..90, _) => {
                let first = random.random_range(0..RECORDS);
                Self::Range(first, random.random_range(first..RECORDS))
            }
            (90.., _) => Self::Head,
            (_, _) => Self::Plain,
        }
    }
}

/// What a read told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// Versions of the page.
    Versions(Versions),
    /// An answer that is no page: a failure, or one without a body.
    Nothing,
    /// No answer.
    Silence,
}

/// One client of one node.
#[derive(Debug)]
pub(super) struct Client {
    address: SocketAddr,
    host: String,
    connection: Option<SendRequest<Empty<Bytes>>>,
}

impl Client {
    pub(super) fn new(node: &Seen, host: &str) -> Self {
        Self { address: node.traffic, host: host.to_owned(), connection: None }
    }

    /// Reads a page. A connection that failed is opened anew the next time.
    pub(super) async fn read(&mut self, page: PageId, manner: Manner, variant: &str) -> Told {
        match timeout(READ_MAX, self.exchange(page, manner, variant)).await {
            Ok(Some(told)) => told,
            Ok(None) | Err(_) => {
                self.connection = None;
                Told::Silence
            }
        }
    }

    async fn exchange(&mut self, page: PageId, manner: Manner, variant: &str) -> Option<Told> {
        let mut sender = match self.connection.take() {
            Some(sender) if !sender.is_closed() => sender,
            Some(_) | None => connect(self.address).await?,
        };
        sender.ready().await.ok()?;
        let answer = sender.send_request(request(page, manner, variant, &self.host)).await.ok()?;
        let (head, body) = answer.into_parts();
        let (body, ending) = read_to_its_end(body).await;
        if matches!(ending, BodyEnding::Whole) {
            self.connection = Some(sender);
        }
        Some(told(page, manner, head.status, &head.headers, &body))
    }
}

async fn connect(address: SocketAddr) -> Option<SendRequest<Empty<Bytes>>> {
    let stream = TcpStream::connect(address).await.ok()?;
    stream.set_nodelay(true).ok()?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await.ok()?;
    // Ends with its sender.
    tokio::spawn(connection);
    Some(sender)
}

fn request(page: PageId, manner: Manner, variant: &str, host: &str) -> Request<Empty<Bytes>> {
    let method = if manner == Manner::Head { Method::HEAD } else { Method::GET };
    let mut request = Request::builder().method(method).uri(page.path()).header(HOST, host).header(VARIANT, variant);
    match manner {
        Manner::Plain | Manner::Head => {}
        Manner::Conditional(known) => request = request.header(IF_NONE_MATCH, etag(known)),
        Manner::Range(first, last) => {
            let (first, last) = (first * RECORD_BYTES, (last + 1) * RECORD_BYTES - 1);
            request = request.header(RANGE, format!("bytes={first}-{last}"));
        }
    }
    request.body(Empty::new()).expect("fields made of numbers are valid")
}

enum BodyEnding {
    Whole,
    Early,
}

/// What came of a body: a part of it tells its version too.
async fn read_to_its_end(mut body: Incoming) -> (Vec<u8>, BodyEnding) {
    let mut read = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return (read, BodyEnding::Early) };
        if let Some(data) = frame.data_ref() {
            read.extend_from_slice(data);
        }
        if read.len() > 2 * RECORDS * RECORD_BYTES {
            return (read, BodyEnding::Early);
        }
    }
    (read, BodyEnding::Whole)
}

fn told(page: PageId, manner: Manner, status: StatusCode, fields: &HeaderMap, body: &[u8]) -> Told {
    let validator = || fields.get(ETAG).and_then(|value| value.to_str().ok()).and_then(of_etag);
    let one = |version| Told::Versions(Versions { oldest: version, newest: version });
    match (status, manner) {
        // Without a validator of its own it confirms what was asked about (RFC 9110, section 15.4.5).
        (StatusCode::NOT_MODIFIED, Manner::Conditional(known)) => one(validator().unwrap_or(known)),
        (StatusCode::OK, Manner::Head) => validator().map_or(Told::Nothing, one),
        (StatusCode::OK | StatusCode::PARTIAL_CONTENT, _) => page.versions(body).map_or(Told::Nothing, Told::Versions),
        (_, _) => Told::Nothing,
    }
}
