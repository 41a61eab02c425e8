//! The HTTP engine for caches that are purged by a request of their own protocol.
//!
//! What this is: a few kept connections to one address, over which requests are pipelined: written
//! while answers are read, at most [`DEPTH`] ahead. What this is not: a web client. It follows no
//! redirect, knows no proxy and sends no body.
//!
//! Invariants: an answer belongs to the request at the same place in line, so a connection on which
//! anything was odd is never used again; one request that a cache cannot bear costs that cache a
//! connection, never the other requests their purge; however many batches come at once, there are no more
//! than [`CONNECTIONS`] connections, and a later batch gets those that an earlier one leaves.

use std::borrow::Cow;
use std::num::NonZeroU32;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Buf, BytesMut};
use catharsis_core::invalidation::Invalidation;
use catharsis_core::keys::{KeyForms, RulesOf};
use catharsis_core::receipt::{Outcome, Reason, Refusal, Unreachable};
use catharsis_core::retry::Liveness;
use catharsis_core::target::{Mode, Scheme, Target};
use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};

use super::address::{HttpLimits, NodeAddress};
use super::answer::{Answer, Front, Keep, NotHttp, Stream, parse};

/// Connections to one node. More gain nothing (measured: 4 with 64 requests ahead fill a Varnish, and 16 cost it a
/// tenth more a purge).
const CONNECTIONS: usize = 4;
/// Requests of a batch that are worth a connection of their own.
const SHARE_MIN: usize = 16;
/// Requests sent ahead of the answers. 1,000 was fine with every cache; 64 fills the line and
/// leaves less to send again when a cache closes.
const DEPTH: usize = 64;
/// As soon as so many of them are answered, the next are sent: few writes, and a cache whose thread never runs out of
/// requests, so that it need not wait and wake (measured with Varnish: 8 cost it less a purge than 32 and than 2).
const REFILL: usize = 8;
/// Requests in a row that may each cost a fresh connection without any answer; then the node is
/// taken for dead and the rest is not tried.
const UNANSWERED_IN_A_ROW: usize = 3;
/// Size of a connection's read buffer, bytes: some eighty short answers.
const READ_BUFFER: usize = 16 << 10;

/// What a request asks for, so that its answer can be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// To forget one URL.
    Url,
    /// To mark one URL stale.
    Stale,
    /// To forget directories.
    Directories,
    /// To forget everything.
    Everything,
}

/// Requests, ready to be written.
#[derive(Debug, Default)]
pub(super) struct Requests {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    asked: Vec<Asked>,
}

impl Requests {
    /// Adds `PURGE` of a request target at a host, with these further header lines.
    pub(super) fn purge(&mut self, target: &str, host: &str, fields: &str, asked: Asked) {
        for part in ["PURGE ", target, " HTTP/1.1\r\nHost: ", host, "\r\n", fields, "\r\n"] {
            self.bytes.extend_from_slice(part.as_bytes());
        }
        self.ends.push(self.bytes.len());
        self.asked.push(asked);
    }

    /// Adds `PURGE` of each form of a URL, with these further header lines. The scheme is named where it
    /// is part of the key, in the field by which caches usually learn it.
    pub(super) fn purge_forms(&mut self, forms: &KeyForms<'_>, fields: &str, asked: Asked) {
        let scheme = match forms.scheme {
            None => "",
            Some(Scheme::Http) => "X-Forwarded-Proto: http\r\n",
            Some(Scheme::Https) => "X-Forwarded-Proto: https\r\n",
        };
        // The common purge has no such line at all.
        let fields = if fields.is_empty() { Cow::Borrowed(scheme) } else { Cow::Owned(format!("{scheme}{fields}")) };
        for (host, target) in forms.iter() {
            self.purge(target, host, &fields, asked);
        }
    }

    fn begin(&self, index: usize) -> usize {
        index.checked_sub(1).map_or(0, |before| self.ends[before])
    }
}

/// One kind of cache: how it is asked for everything, and what its answers mean.
pub(super) trait Dialect: Send + Sync {
    /// The header field by which it marks its own answers.
    const MARK: &'static str;

    /// Adds the requests to forget one URL.
    fn url(&self, requests: &mut Requests, forms: &KeyForms<'_>, _mode: Mode) {
        requests.purge_forms(forms, "", Asked::Url);
    }

    /// Adds the request to forget everything; adds nothing when the kind cannot do that.
    fn everything(&self, requests: &mut Requests);

    /// What an answer means.
    fn outcome(&self, asked: Asked, answer: &Answer<'_>) -> Outcome;
}

/// A kept connection.
#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    buffer: BytesMut,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// Just made.
    Fresh,
    /// Used before: the cache may have closed it meanwhile, which says nothing about the cache.
    Kept,
}

/// How a conversation on one connection ended.
struct Ended {
    /// Requests answered.
    answered: usize,
    how: How,
}

enum How {
    /// All were answered and the connection can be kept.
    Complete,
    /// The next one was not answered.
    Broken(Unreachable),
}

/// The engine for one node.
pub(super) struct HttpEngine<D> {
    address: NodeAddress,
    pub(super) limits: HttpLimits,
    pub(super) rules: Arc<dyn RulesOf>,
    pub(super) dialect: D,
    /// One for each connection that may be used, in the order in which they are asked for.
    turns: Semaphore,
    /// The lock is held to push and pop only.
    idle: Mutex<Vec<Connection>>,
}

impl<D> std::fmt::Debug for HttpEngine<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpEngine")
            .field("address", &self.address)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl<D: Dialect> HttpEngine<D> {
    pub(super) const fn new(address: NodeAddress, limits: HttpLimits, rules: Arc<dyn RulesOf>, dialect: D) -> Self {
        let turns = Semaphore::const_new(CONNECTIONS);
        Self { address, limits, rules, dialect, turns, idle: Mutex::new(Vec::new()) }
    }

    /// Purges a batch: one outcome for each invalidation.
    pub(super) async fn apply(&self, batch: impl IntoIterator<Item = &Invalidation>) -> Vec<Outcome> {
        let mut requests = Requests::default();
        let mut ranges: Vec<Range<usize>> = Vec::new();
        for (index, invalidation) in batch.into_iter().enumerate() {
            if index % DEPTH == DEPTH - 1 {
                // Another batch is being sent meanwhile, whose connections are not to run dry.
                tokio::task::yield_now().await;
            }
            let first = requests.ends.len();
            match invalidation.target.as_ref() {
                Target::Url(url) => {
                    let rules = self.rules.rules_of(url.host());
                    self.dialect.url(&mut requests, &rules.forms(url), invalidation.mode);
                }
                // A kind that cannot leaves the range empty, which `merge` tells as refused.
                Target::Prefix(_) => {}
                Target::Everything => self.dialect.everything(&mut requests),
            }
            ranges.push(first..requests.ends.len());
        }
        let outcomes = self.send(&requests).await;
        ranges.into_iter().map(|range| merge(&outcomes[range])).collect()
    }

    /// Sends requests and returns an outcome for each.
    pub(super) async fn send(&self, requests: &Requests) -> Vec<Outcome> {
        let count = requests.ends.len();
        let share = count.div_ceil(CONNECTIONS).max(SHARE_MIN);
        let lanes = (0..count).step_by(share).map(|first| self.lane(requests, first..(first + share).min(count)));
        join_all(lanes).await.into_iter().flatten().collect()
    }

    /// Works through a part of the requests when it is its turn, one connection after another.
    async fn lane(&self, requests: &Requests, part: Range<usize>) -> Vec<Outcome> {
        let _turn = self.turns.acquire().await.expect("nobody closes it");
        let deadline = Instant::now() + self.limits.batch;
        let mut outcomes = Vec::with_capacity(part.len());
        let mut unanswered = 0;
        let mut kept_allowed = true;
        while outcomes.len() < part.len() {
            let connected = self.connection(kept_allowed, deadline).await;
            let (mut connection, origin) = match connected {
                Ok(connected) => connected,
                Err(why) => {
                    outcomes.resize(part.len(), Outcome::Unreachable(why));
                    break;
                }
            };
            let next = part.start + outcomes.len();
            let ended = self.converse(&mut connection, requests, next..part.end, deadline, &mut outcomes).await;
            let why = match ended.how {
                How::Complete => {
                    self.keep(connection);
                    continue;
                }
                How::Broken(why) => why,
            };
            // From here on only fresh connections tell the cache's state from that of an old one.
            kept_allowed = false;
            if ended.answered > 0 {
                unanswered = 0;
            }
            if outcomes.len() == part.len() || !blames_request(&why, ended.answered, origin) {
                continue;
            }
            outcomes.push(Outcome::Unreachable(why));
            unanswered += 1;
            if unanswered == UNANSWERED_IN_A_ROW || Instant::now() >= deadline {
                outcomes.resize(part.len(), Outcome::Unreachable(not_tried()));
            }
        }
        outcomes
    }

    /// Sends requests over one connection until all are answered or it breaks.
    async fn converse(
        &self,
        connection: &mut Connection,
        requests: &Requests,
        part: Range<usize>,
        deadline: Instant,
        outcomes: &mut Vec<Outcome>,
    ) -> Ended {
        let Connection { stream, buffer } = connection;
        let (mut reader, mut writer) = stream.split();
        let mut sent = requests.begin(part.start);
        let (mut answered, mut window) = (0, 0);
        let mut patience = deadline.min(Instant::now() + self.limits.answer);
        loop {
            if window - answered <= DEPTH - REFILL {
                window = (answered + DEPTH).min(part.len());
            }
            let pending = &requests.bytes[sent..requests.begin(part.start + window)];
            // What is left of the last answers must not make this read a short one.
            buffer.reserve(READ_BUFFER / 2);
            // Both sides are tried together: a cache that stops reading until its answers are taken
            // would otherwise wait for us while we wait for it. The side that loses has done
            // nothing: both `read_buf` and `write` are cancel safe.
            let step = async {
                tokio::select! {
                    read = reader.read_buf(buffer) => read.map(Step::Read),
                    written = writer.write(pending), if !pending.is_empty() => written.map(Step::Written),
                }
            };
            let broken = |answered, why| Ended { answered, how: How::Broken(why) };
            let stream = match timeout_at(patience, step).await {
                Err(_) => return broken(answered, Unreachable::Timeout),
                Ok(Err(_)) => return broken(answered, Unreachable::Closed),
                Ok(Ok(Step::Written(len))) => {
                    sent += len;
                    continue;
                }
                Ok(Ok(Step::Read(0))) => Stream::Ended,
                Ok(Ok(Step::Read(_))) => Stream::Open,
            };
            let taken = self.take(buffer, stream, &requests.asked[part.start + answered..part.end], outcomes);
            answered += taken.answers;
            if taken.answers > 0 {
                patience = deadline.min(Instant::now() + self.limits.answer);
            }
            match taken.then {
                Then::Odd(odd) => {
                    return broken(answered, Unreachable::Protocol(Reason::new(&odd.to_string())));
                }
                Then::Closing => return broken(answered, Unreachable::Closed),
                Then::More if stream == Stream::Ended => {
                    return broken(answered, Unreachable::Closed);
                }
                Then::More if answered == part.len() => {
                    return Ended { answered, how: How::Complete };
                }
                Then::More => {}
            }
        }
    }

    /// Takes whole answers from the front of the buffer.
    fn take(&self, buffer: &mut BytesMut, stream: Stream, asked: &[Asked], outcomes: &mut Vec<Outcome>) -> Taken {
        let mut answers = 0;
        let then = loop {
            if answers == asked.len() || buffer.is_empty() {
                break Then::More;
            }
            match parse(buffer, stream, D::MARK) {
                Err(odd) => break Then::Odd(odd),
                Ok(Front::Part) => break Then::More,
                Ok(Front::Interim(len)) => buffer.advance(len),
                Ok(Front::Whole(answer, len, keep)) => {
                    outcomes.push(self.dialect.outcome(asked[answers], &answer));
                    answers += 1;
                    buffer.advance(len);
                    if keep == Keep::Close {
                        break Then::Closing;
                    }
                }
            }
        };
        Taken { answers, then }
    }

    async fn connection(&self, kept_allowed: bool, deadline: Instant) -> Result<(Connection, Origin), Unreachable> {
        if kept_allowed && let Some(connection) = self.kept() {
            return Ok((connection, Origin::Kept));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let connecting = TcpStream::connect(self.address.pair());
        let failed = |text: &str| Unreachable::Connect(Reason::new(text));
        let stream = timeout(self.limits.connect.min(left), connecting)
            .await
            .map_err(|_| failed("no connection in time"))?
            .map_err(|error| failed(&error.to_string()))?;
        // Without it the last part of a batch waits for an acknowledgement of the one before.
        stream.set_nodelay(true).map_err(|error| failed(&error.to_string()))?;
        let buffer = BytesMut::with_capacity(READ_BUFFER);
        Ok((Connection { stream, buffer }, Origin::Fresh))
    }

    /// An idle connection on which nothing has happened since.
    fn kept(&self) -> Option<Connection> {
        loop {
            let connection = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
            // Bytes or an end mean that the cache has closed it, or says what nobody asked.
            let quiet = connection
                .stream
                .try_read(&mut [0; 1])
                .is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
            if quiet && connection.buffer.is_empty() {
                return Some(connection);
            }
        }
    }

    fn keep(&self, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < CONNECTIONS && connection.buffer.is_empty() {
            idle.push(connection);
        }
    }
}

enum Step {
    Read(usize),
    Written(usize),
}

struct Taken {
    answers: usize,
    then: Then,
}

enum Then {
    More,
    Closing,
    Odd(NotHttp),
}

/// Whether the request at the front is what broke the connection. A silent one is; one that was
/// closed on only when it was the first on a fresh connection, else it gets one of its own.
fn blames_request(why: &Unreachable, answered: usize, origin: Origin) -> bool {
    let is_first = answered == 0 && origin == Origin::Fresh;
    matches!(why, Unreachable::Timeout) || is_first && matches!(why, Unreachable::Closed | Unreachable::Protocol(_))
}

/// `Connect`, since the relay never gives up on what was not even sent.
pub(super) fn not_tried() -> Unreachable {
    Unreachable::Connect(Reason::new("not tried, since the node left those before unanswered"))
}

/// One outcome for the spellings of a URL. What is open must be tried again, so it wins; then a
/// copy that was removed. A spelling that the cache refuses while it takes another can have no
/// copy there either: requests of clients are parsed by the same rules. What was counted is added up, if each
/// spelling that had a copy was counted: each is a key of its own.
pub(super) fn merge(outcomes: &[Outcome]) -> Outcome {
    let rank = |outcome: &Outcome| match outcome {
        Outcome::Unreachable(_) => 3,
        Outcome::Applied | Outcome::AppliedTo(_) => 2,
        Outcome::Absent => 1,
        Outcome::Refused(_) => 0,
    };
    let outcome = outcomes.iter().max_by_key(|outcome| rank(outcome)).cloned();
    match outcome.unwrap_or(Outcome::Refused(Refusal::Unsupported)) {
        Outcome::Applied | Outcome::AppliedTo(_) => sum(outcomes).map_or(Outcome::Applied, Outcome::AppliedTo),
        other @ (Outcome::Absent | Outcome::Refused(_) | Outcome::Unreachable(_)) => other,
    }
}

/// How many copies these were applied to; `None` if one of them does not tell.
fn sum(outcomes: &[Outcome]) -> Option<NonZeroU32> {
    let copies = |sum: u32, outcome: &Outcome| match outcome {
        Outcome::AppliedTo(copies) => Some(sum.saturating_add(copies.get())),
        Outcome::Absent | Outcome::Refused(_) => Some(sum),
        Outcome::Applied | Outcome::Unreachable(_) => None,
    };
    outcomes.iter().try_fold(0, copies).and_then(NonZeroU32::new)
}

/// What a status means when nothing else about the answer contradicts it.
pub(super) fn by_status(status: u16) -> Outcome {
    match status {
        200..=299 => Outcome::Applied,
        404 => Outcome::Absent,
        400 | 414 | 431 => Outcome::Refused(Refusal::Malformed { status }),
        401 | 403 | 405 | 501 => Outcome::Unreachable(Unreachable::Denied { status }),
        _ => Outcome::Unreachable(Unreachable::Failed { status }),
    }
}

/// Whether the node answers a request that cannot harm anything: the purge of a URL at a host that
/// cannot exist (RFC 6761 section 6.4).
pub(super) async fn probe<D: Dialect>(engine: &HttpEngine<D>) -> bool {
    let mut requests = Requests::default();
    requests.purge("/", "catharsis.invalid", "", Asked::Url);
    let outcomes = engine.send(&requests).await;
    outcomes.iter().any(|outcome| match outcome {
        Outcome::Applied | Outcome::AppliedTo(_) | Outcome::Absent | Outcome::Refused(_) => true,
        Outcome::Unreachable(why) => why.liveness() == Liveness::Answers,
    })
}
