//! The built-in edge, over its control protocol (`catharsis_edge::protocol`), and agents, which speak it
//! too.
//!
//! What this is: a batch, or a table of domains, as one JSON request over a kept HTTP/1.1
//! connection, authorised by a bearer token. What this is not: a fence; an edge that has answered
//! refuses by itself whatever it began to fetch before, and for a cache with an agent the relay
//! repeats.
//!
//! Invariant: an answer that does not speak of each invalidation sent is no answer.

mod hop;
mod lease;

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use catharsis_core::abilities::{Abilities, Ability};
use catharsis_core::clock::UnixMillis;
use catharsis_core::invalidation::{Invalidation, Seq};
use catharsis_core::limits::RELAY_BATCH;
use catharsis_core::ports::Purger;
use catharsis_core::receipt::{Outcome, Reason, Refusal, Unreachable};
use catharsis_core::retry::Liveness;
use catharsis_core::target::{CacheUrl, Mode, Target};
use catharsis_core::task::TaskId;
use catharsis_edge::protocol::{
    BODY_BYTES_MAX, DOMAINS_PATH, DomainTable, DomainsResponse, INVALIDATIONS_WITH_COPIES, InvalidationsRequest,
    InvalidationsResponse, LogId, ProtocolError, STATUS_PATH, StatusResponse, WireInvalidation, WireSeq,
};
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};

use super::address::{HttpLimits, NodeAddress};
pub use hop::EdgeHop;

/// Bytes of one order, at most: what an edge takes, less its log and position.
const ORDER_BYTES_MAX: usize = BODY_BYTES_MAX - 1_024;
/// The log of probe objects at an agent. No store calls its own so: those have random names.
const PROBES: &str = "probes";
/// Bytes of an answer: an outcome takes about ten.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Tells one edge, or one agent.
#[derive(Debug)]
pub struct EdgePurger {
    address: NodeAddress,
    limits: HttpLimits,
    log: LogId,
    abilities: Abilities,
    /// The log in whose name an agent is told of probe objects: it knows a purge again by its log and position, and
    /// otherwise does not ask for either. Absent for an edge, whose fence they are.
    probes: Option<LogId>,
    /// Marked as sensitive: it is not shown by `Debug`. Absent for an edge that asks for none.
    token: Option<HeaderValue>,
    host: HeaderValue,
    /// Whose order it is, in the order in which they are written. Those of two batches may alternate, and one that is
    /// sent again comes late: an edge takes positions in any order.
    turn: Semaphore,
    /// The kept connection, taken out while it is used; the lock is never held while waiting.
    idle: Mutex<Option<SendRequest<Full<Bytes>>>>,
}

/// An order as it goes over the wire.
struct Order {
    body: Bytes,
    /// Invalidations in it.
    count: usize,
    upto: Seq,
}

impl Order {
    fn write(order: Result<InvalidationsRequest, ProtocolError>) -> Result<Self, Unreachable> {
        let order = order.map_err(|error| odd(&error.to_string()))?;
        let body = serde_json::to_vec(&order).map_err(|error| odd(&error.to_string()))?;
        Ok(Self { body: Bytes::from(body), count: order.invalidations().len(), upto: order.upto() })
    }

    /// The outcome of each of its invalidations.
    fn read(&self, answer: &[u8]) -> Result<Vec<Outcome>, Unreachable> {
        let answer: InvalidationsResponse = serde_json::from_slice(answer).map_err(|error| odd(&error.to_string()))?;
        if answer.outcomes.len() != self.count {
            return Err(odd("the number of outcomes is not that of the invalidations"));
        }
        if answer.position.seq() < self.upto {
            return Err(odd("the edge's position is behind the order"));
        }
        Ok(answer.outcomes.into_iter().map(Outcome::from).collect())
    }
}

/// A part of a batch on its way.
struct Written {
    /// What is known of each invalidation without asking; `None` for those in the order.
    known: Vec<Option<Outcome>>,
    order: Result<Order, Unreachable>,
}

impl Written {
    /// The outcomes, in order, from what was answered.
    fn read(self, answer: Result<Bytes, Unreachable>) -> Vec<Outcome> {
        let answered = self.order.and_then(|order| order.read(&answer?));
        let mut answered = answered.map(Vec::into_iter);
        let mut next = || match &mut answered {
            Ok(told) => told.next().unwrap_or_else(|| Outcome::Unreachable(odd("an outcome is missing"))),
            Err(why) => Outcome::Unreachable(why.clone()),
        };
        self.known.into_iter().map(|known| known.unwrap_or_else(&mut next)).collect()
    }
}

/// Why an edge's purger cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EdgePurgerError {
    /// The token is empty or holds what no header field can.
    #[error("a control token is a text of printable ASCII characters")]
    Token,
    /// The log's name does not fit the protocol.
    #[error("the name of the log does not fit the control protocol")]
    Log,
}

impl EdgePurger {
    const OF_AN_EDGE: Abilities = Abilities {
        url: Ability::DeleteOrExpire,
        prefix: Ability::DeleteOrExpire,
        host: Ability::DeleteOrExpire,
        everything: Ability::DeleteOrExpire,
        tag: Ability::Missing,
    };

    /// A purger of the edge whose control listener is at this address. `log` names the log whose
    /// positions it is told. Connects when first used.
    ///
    /// # Errors
    /// [`EdgePurgerError`] when the token or the log's name cannot be sent.
    pub fn new(
        address: NodeAddress,
        limits: HttpLimits,
        log: &str,
        token: Option<&str>,
    ) -> Result<Self, EdgePurgerError> {
        let token = token.map(bearer).transpose()?;
        Ok(Self {
            // An address holds nothing that a header field cannot.
            host: HeaderValue::from_str(&address.to_string()).unwrap_or(HeaderValue::from_static("edge")),
            address,
            limits,
            log: LogId::new(log).map_err(|_| EdgePurgerError::Log)?,
            token,
            abilities: Self::OF_AN_EDGE,
            probes: None,
            turn: Semaphore::new(1),
            idle: Mutex::new(None),
        })
    }

    /// The same for an agent, whose cache can do this.
    #[must_use]
    pub fn for_agent(self, abilities: Abilities) -> Self {
        Self { abilities, probes: LogId::new(PROBES).ok(), ..self }
    }

    /// Has the edge serve these domains, all of them and no others. Repeated, it changes nothing.
    /// Returns the generation that the edge then serves.
    ///
    /// # Errors
    /// [`Unreachable`]; with the status 409 when the edge serves a table of the same log and a higher
    /// generation, and with 400 or 413 when it is an older one to which the table makes no sense.
    pub async fn serve_domains(&self, table: &DomainTable) -> Result<u64, Unreachable> {
        let body = serde_json::to_vec(table).map_err(|error| odd(&error.to_string()))?;
        let bytes = self.exchange(Method::PUT, DOMAINS_PATH, Bytes::from(body)).await?;
        let answer: DomainsResponse = serde_json::from_slice(&bytes).map_err(|error| odd(&error.to_string()))?;
        Ok(answer.generation)
    }

    /// The generation of the domains that the edge serves; `None` when it has had none since it
    /// started.
    ///
    /// # Errors
    /// [`Unreachable`].
    pub async fn domains_generation(&self) -> Result<Option<u64>, Unreachable> {
        let bytes = self.exchange(Method::GET, STATUS_PATH, Bytes::new()).await?;
        let status: StatusResponse = serde_json::from_slice(&bytes).map_err(|error| odd(&error.to_string()))?;
        Ok(status.domains)
    }

    /// Writes an order for the front of a batch, for all of it where that fits: between two orders the edge waits.
    /// Leaves the rest; `None` when nothing was left.
    fn write(&self, log: &LogId, rest: &mut &[Invalidation]) -> Option<Written> {
        let (mut known, mut sent) = (Vec::with_capacity(rest.len()), Vec::with_capacity(rest.len()));
        let (mut upto, mut room) = (Seq::ZERO, ORDER_BYTES_MAX);
        for invalidation in rest.iter().take(RELAY_BATCH) {
            match WireInvalidation::try_from(invalidation) {
                Ok(wire) => {
                    // One alone always fits.
                    let Some(left) = room.checked_sub(wire.json_bytes_max()) else { break };
                    room = left;
                    sent.push(wire);
                    known.push(None);
                }
                // What the protocol cannot carry no edge will ever do; the others go on without it.
                Err(_) => known.push(Some(Outcome::Refused(Refusal::Unsupported))),
            }
            upto = upto.max(invalidation.seq);
        }
        *rest = rest.get(known.len()..).unwrap_or_default();
        let order = WireSeq::try_from(upto).and_then(|upto| InvalidationsRequest::new(log.clone(), upto, sent));
        (!known.is_empty()).then(|| Written { known, order: Order::write(order) })
    }

    /// Sends what was written, when it is its turn, and returns an outcome for each of its invalidations.
    async fn tell(&self, written: Written) -> Vec<Outcome> {
        let answer = match &written.order {
            Ok(order) => {
                let _turn = self.turn.acquire().await.expect("nobody closes it");
                self.exchange(Method::POST, INVALIDATIONS_WITH_COPIES, order.body.clone()).await
            }
            Err(why) => Err(why.clone()),
        };
        // Whoever's turn it is now sends before this answer is read.
        tokio::task::yield_now().await;
        written.read(answer)
    }

    /// One request and the body of its answer, when that is 200.
    async fn exchange(&self, method: Method, path: &'static str, body: Bytes) -> Result<Bytes, Unreachable> {
        let deadline = Instant::now() + self.limits.batch;
        let kept = self.idle.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Its last answer was read whole, so it is ready at once or closed.
        if let Some(mut sender) = kept
            && let Ok(Ok(())) = timeout_at(deadline, sender.ready()).await
        {
            // The edge may have closed it meanwhile: then the order goes out again, which is
            // harmless, on a connection of its own.
            match self.try_exchange(sender, &method, path, body.clone(), deadline).await {
                Err(Unreachable::Closed) => {}
                other => return other,
            }
        }
        let sender = self.connect().await?;
        self.try_exchange(sender, &method, path, body, deadline).await
    }

    async fn try_exchange(
        &self,
        mut sender: SendRequest<Full<Bytes>>,
        method: &Method,
        path: &'static str,
        body: Bytes,
        deadline: Instant,
    ) -> Result<Bytes, Unreachable> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method.clone();
        *request.uri_mut() = http::Uri::from_static(path);
        let fields = request.headers_mut();
        fields.insert(HOST, self.host.clone());
        if let Some(token) = &self.token {
            fields.insert(AUTHORIZATION, token.clone());
        }
        fields.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let answering = async {
            let answer = sender.send_request(request).await.map_err(|_| Unreachable::Closed)?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
            let bytes = body.map_err(|_| Unreachable::Closed)?.to_bytes();
            Ok((status, bytes))
        };
        let (status, bytes) = timeout_at(deadline, answering).await.map_err(|_| Unreachable::Timeout)??;
        *self.idle.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        if status == StatusCode::OK {
            return Ok(bytes);
        }
        // For a person: the engine's outcome has room for the status only.
        let text = Reason::new(&String::from_utf8_lossy(&bytes));
        tracing::warn!(edge = %self.address, status = status.as_u16(), answer = text.as_str(), "an edge or agent refused an order");
        Err(refused(status.as_u16()))
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, Unreachable> {
        let failed = |text: &str| Unreachable::Connect(Reason::new(text));
        let connecting = async {
            let stream = TcpStream::connect(self.address.pair()).await.map_err(|error| failed(&error.to_string()))?;
            stream.set_nodelay(true).map_err(|error| failed(&error.to_string()))?;
            handshake(TokioIo::new(stream)).await.map_err(|error| failed(&error.to_string()))
        };
        let (sender, connection) =
            timeout(self.limits.connect, connecting).await.map_err(|_| failed("no connection in time"))??;
        // Ends by itself as soon as the sender is dropped or the edge closes.
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection to an edge ended");
            }
        });
        Ok(sender)
    }
}

/// The edge refuses whole orders only: nothing of them was carried out, so all of it waits.
const fn refused(status: u16) -> Unreachable {
    match status {
        401 | 403 | 404 | 405 | 501 => Unreachable::Denied { status },
        _ => Unreachable::Failed { status },
    }
}

fn odd(text: &str) -> Unreachable {
    Unreachable::Protocol(Reason::new(text))
}

/// The value of the `Authorization` header (RFC 6750 section 2.1).
fn bearer(token: &str) -> Result<HeaderValue, EdgePurgerError> {
    let visible = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    let value = HeaderValue::from_str(&format!("Bearer {token}")).ok().filter(|_| visible);
    let mut value = value.ok_or(EdgePurgerError::Token)?;
    value.set_sensitive(true);
    Ok(value)
}

#[async_trait]
impl Purger for EdgePurger {
    fn abilities(&self) -> Abilities {
        self.abilities
    }

    async fn apply(&self, batch: &[Invalidation]) -> Vec<Outcome> {
        let mut outcomes = Vec::with_capacity(batch.len());
        let mut rest = batch;
        // Written before it is its turn: while the edge carries out the batch before. One holds all that is usual.
        while let Some(written) = self.write(&self.log, &mut rest) {
            outcomes.extend(self.tell(written).await);
        }
        outcomes
    }

    async fn everything(&self, upto: Seq) -> Outcome {
        let order = Order::write(InvalidationsRequest::everything(self.log.clone(), upto));
        self.tell(Written { known: vec![None], order })
            .await
            .pop()
            .unwrap_or(Outcome::Unreachable(odd("an outcome is missing")))
    }

    async fn purge_probe(&self, url: &CacheUrl) -> Option<Outcome> {
        let purge = Invalidation {
            // No object is purged twice, so one position does for all.
            seq: Seq(1),
            task: TaskId::new(UnixMillis(0), 0),
            target: Target::Url(url.clone()).into(),
            mode: Mode::Delete,
            accepted_at: UnixMillis(0),
        };
        let written = self.write(self.probes.as_ref()?, &mut [purge].as_slice())?;
        self.tell(written).await.pop()
    }

    async fn answers(&self) -> bool {
        let status = self.exchange(Method::GET, STATUS_PATH, Bytes::new()).await;
        status.err().is_none_or(|why| why.liveness() == Liveness::Answers)
    }
}

#[cfg(test)]
#[path = "edge_tests.rs"]
mod tests;
