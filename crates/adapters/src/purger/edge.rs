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
use catharsis_core::ports::Purger;
use catharsis_core::receipt::{Outcome, Reason, Refusal, Unreachable};
use catharsis_core::retry::Liveness;
use catharsis_core::target::{CacheUrl, Mode, Target};
use catharsis_core::task::TaskId;
use catharsis_edge::protocol::{
    DOMAINS_PATH, DomainTable, DomainsResponse, INVALIDATIONS_PATH, InvalidationsRequest, InvalidationsResponse, LogId,
    STATUS_PATH, StatusResponse, WireInvalidation, WireSeq,
};
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use super::address::{HttpLimits, NodeAddress};
pub use hop::EdgeHop;

/// Invalidations of one request. The relay sends no more at once anyway (`RELAY_BATCH`).
const REQUEST_MAX: usize = 512;
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
    fn write(order: &InvalidationsRequest) -> Result<Self, Unreachable> {
        let body = serde_json::to_vec(order).map_err(|error| odd(&error.to_string()))?;
        Ok(Self { body: Bytes::from(body), count: order.invalidations().len(), upto: order.upto() })
    }
}

/// A part of a batch on its way.
struct Written {
    /// What is known of each invalidation without asking; `None` for those in the order.
    known: Vec<Option<Outcome>>,
    order: Result<Order, Unreachable>,
}

impl Written {
    fn in_order(self, answer: Result<Vec<Outcome>, Unreachable>) -> Vec<Outcome> {
        let mut answered = answer.map(Vec::into_iter);
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

    /// Writes an order for a part of a batch.
    fn write(&self, log: &LogId, part: &[Invalidation]) -> Written {
        let mut known: Vec<Option<Outcome>> = vec![None; part.len()];
        let mut sent = Vec::with_capacity(part.len());
        let mut upto = Seq::ZERO;
        for (invalidation, outcome) in part.iter().zip(&mut known) {
            upto = upto.max(invalidation.seq);
            match WireInvalidation::try_from(invalidation) {
                Ok(wire) => sent.push(wire),
                // What the protocol cannot carry no edge will ever do; the others go on without it.
                Err(_) => *outcome = Some(Outcome::Refused(Refusal::Unsupported)),
            }
        }
        let upto = WireSeq::try_from(upto);
        let order = upto.and_then(|upto| InvalidationsRequest::new(log.clone(), upto, sent));
        Written { known, order: order.map_err(|error| odd(&error.to_string())).and_then(|order| Order::write(&order)) }
    }

    async fn apply_part(&self, log: &LogId, part: &[Invalidation]) -> Vec<Outcome> {
        let written = self.write(log, part);
        let answer = self.send(&written.order).await;
        written.in_order(answer)
    }

    /// Sends an order, if there is one, and returns an outcome for each of its invalidations.
    async fn send(&self, order: &Result<Order, Unreachable>) -> Result<Vec<Outcome>, Unreachable> {
        let Order { body, count, upto } = order.as_ref().map_err(Clone::clone)?;
        let bytes = self.exchange(Method::POST, INVALIDATIONS_PATH, body.clone()).await?;
        let answer: InvalidationsResponse = serde_json::from_slice(&bytes).map_err(|error| odd(&error.to_string()))?;
        if answer.outcomes.len() != *count {
            return Err(odd("the number of outcomes is not that of the invalidations"));
        }
        if answer.position.seq() < *upto {
            return Err(odd("the edge's position is behind the order"));
        }
        Ok(answer.outcomes.into_iter().map(Outcome::from).collect())
    }

    /// One request and the body of its answer, when that is 200.
    async fn exchange(&self, method: Method, path: &'static str, body: Bytes) -> Result<Bytes, Unreachable> {
        let deadline = Instant::now() + self.limits.batch;
        let kept = self.idle.lock().unwrap_or_else(PoisonError::into_inner).take().filter(|sender| sender.is_ready());
        if let Some(sender) = kept {
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
        let mut parts = batch.chunks(REQUEST_MAX).map(|part| self.write(&self.log, part));
        let mut next = parts.next();
        while let Some(written) = next.take() {
            // The next order is written while the edge carries out this one, which is asked for first.
            let answer;
            (answer, next) = tokio::join!(self.send(&written.order), async { parts.next() });
            outcomes.extend(written.in_order(answer));
        }
        outcomes
    }

    async fn everything(&self, upto: Seq) -> Outcome {
        let order = InvalidationsRequest::everything(self.log.clone(), upto);
        let order = order.map_err(|error| odd(&error.to_string())).and_then(|order| Order::write(&order));
        match self.send(&order).await.map(|outcomes| outcomes.into_iter().next()) {
            Ok(Some(outcome)) => outcome,
            Ok(None) => Outcome::Unreachable(odd("an outcome is missing")),
            Err(why) => Outcome::Unreachable(why),
        }
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
        let outcome = self.apply_part(self.probes.as_ref()?, &[purge]).await.pop();
        Some(outcome.unwrap_or(Outcome::Unreachable(Unreachable::Closed)))
    }

    async fn answers(&self) -> bool {
        let status = self.exchange(Method::GET, STATUS_PATH, Bytes::new()).await;
        status.err().is_none_or(|why| why.liveness() == Liveness::Answers)
    }
}
