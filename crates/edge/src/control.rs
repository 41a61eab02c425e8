//! The control listener: how whoever keeps copies is told what to forget and which domains there are.
//!
//! What this is: the server side of [`crate::protocol`] for anyone who carries out [`Orders`]: the
//! built-in edge, and agents beside other caches. It accepts within a bound, authorises, reads within
//! a bound and a time, and answers. What this is not: a decision about what is forgotten.
//!
//! Invariant: an order is answered only after [`Orders::carry_out`] has ended, so the answer is a
//! receipt.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::block_in_place;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::accept;
use crate::protocol::{
    BODY_BYTES_MAX, COPIES, DOMAINS_BODY_BYTES_MAX, DOMAINS_PATH, DomainTable, DomainsResponse, ErrorResponse,
    INVALIDATIONS_PATH, InvalidationsRequest, InvalidationsResponse, LANDED_BODY_BYTES_MAX, LANDED_PATH, LEASE_PATH,
    LandedRequest, LandedResponse, LeaseRequest, LeaseResponse, STATUS_PATH, StatusResponse,
};

pub use crate::secret::Secret;

/// Relays that speak at a time. Each body is bounded, so this bounds the memory too.
const CONNECTIONS_MAX: usize = 64;

/// Bytes of a lease call: a few short fields.
const LEASE_BODY_BYTES_MAX: usize = 1_024;

/// Time for a request's header and for its body.
const READ_WITHIN: Duration = Duration::from_secs(10);

/// What a control listener is told to do.
#[async_trait]
pub trait Orders: Send + Sync + 'static {
    /// Carries out an order. An outcome for each invalidation, in the same order; whoever answers
    /// serves none of the copies that it names as gone.
    ///
    /// # Errors
    /// [`Refused`]: nothing of the order counts as carried out.
    async fn carry_out(&self, order: InvalidationsRequest) -> Result<InvalidationsResponse, Refused>;

    /// Takes a whole table of domains in place of the one before.
    ///
    /// # Errors
    /// [`Refused`]; with 409 for a table of the same log that is older than the one in use.
    async fn serve_domains(&self, table: DomainTable) -> Result<DomainsResponse, Refused>;

    /// Takes a lease, or only tells the clock by which one may be granted. Default: there are none here, for whoever
    /// does not look at each use of a copy.
    ///
    /// # Errors
    /// [`Refused`]; 404 where there are none.
    async fn lease(&self, _call: LeaseRequest) -> Result<LeaseResponse, Refused> {
        Err(Refused::because(StatusCode::NOT_FOUND, "there are no leases here"))
    }

    /// Tells how things stand.
    ///
    /// # Errors
    /// [`Refused`].
    async fn status(&self) -> Result<StatusResponse, Refused>;

    /// Tells of what is on its way to caches; only an origin hop can.
    ///
    /// # Errors
    /// [`Refused`].
    async fn landed(&self, _request: LandedRequest) -> Result<LandedResponse, Refused> {
        Err(Refused::because(StatusCode::NOT_FOUND, "this is no origin hop"))
    }
}

/// Why a request is not carried out: an HTTP status, and a text for a person.
///
/// What is refused with 5xx, 401 or 403 is asked again by the relay, for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused(pub StatusCode, pub String);

/// Why a control listener may not be opened as configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenControl {
    /// Control without a token on an address that others can reach.
    #[error("the control listener needs a token unless it is on a loopback address")]
    NoToken,
    /// An empty token.
    #[error("the control token is empty")]
    EmptyToken,
}

/// The rule for every control listener: on a loopback address, or with a token.
///
/// # Errors
/// [`OpenControl`].
pub fn check(control: SocketAddr, token: Option<&Secret>) -> Result<(), OpenControl> {
    match token {
        None if control.ip().is_loopback() => Ok(()),
        None => Err(OpenControl::NoToken),
        Some(token) if token.is_empty() => Err(OpenControl::EmptyToken),
        Some(_) => Ok(()),
    }
}

/// See the module.
#[derive(Debug)]
pub struct Control<O> {
    orders: O,
    token: Option<Secret>,
}

type Reply = Response<Full<Bytes>>;

impl Refused {
    fn because(status: StatusCode, why: &str) -> Self {
        Self(status, why.to_owned())
    }
}

impl<O: Orders> Control<O> {
    /// A listener's other half: who carries out orders, and the bearer token that must be shown. See
    /// [`check`] for when there may be none.
    pub const fn new(orders: O, token: Option<Secret>) -> Self {
        Self { orders, token }
    }

    /// Serves until `stop`; then finishes the orders under way. Needs a runtime with several threads.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, stop: CancellationToken) {
        let connections = TaskTracker::new();
        let ending = stop.clone();
        let serve = |stream, _relay| Arc::clone(&self).connection(stream, ending.clone());
        accept::each(listener, CONNECTIONS_MAX, &stop, &connections, serve).await;
        connections.close();
        connections.wait().await;
    }

    async fn connection(self: Arc<Self>, stream: TcpStream, stop: CancellationToken) {
        let service = service_fn(move |request| {
            let control = Arc::clone(&self);
            async move { Ok::<_, Infallible>(control.answer(request).await) }
        });
        let serving = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(READ_WITHIN)
            .serve_connection(TokioIo::new(stream), service);
        tokio::pin!(serving);
        // An order under way is finished and answered before the connection ends.
        let ended = tokio::select! {
            ended = serving.as_mut() => ended,
            () = stop.cancelled() => {
                serving.as_mut().graceful_shutdown();
                serving.await
            }
        };
        if let Err(why) = ended {
            tracing::debug!(%why, "a control connection ended early");
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Reply {
        let answer = match self.authorize(request.headers()) {
            Ok(()) => self.dispatch(request).await,
            Err(refused) => Err(refused),
        };
        answer.unwrap_or_else(|Refused(status, error)| {
            tracing::warn!(status = status.as_u16(), %error, "a control request was refused");
            json(status, &ErrorResponse { error })
        })
    }

    fn authorize(&self, headers: &HeaderMap) -> Result<(), Refused> {
        let Some(token) = &self.token else {
            return Ok(());
        };
        let shown = headers.get(AUTHORIZATION).map(http::HeaderValue::as_bytes);
        match shown.and_then(|it| it.strip_prefix(b"Bearer ")) {
            Some(shown) if token.matches(shown) => Ok(()),
            Some(_) | None => Err(Refused::because(StatusCode::UNAUTHORIZED, "wrong or no token")),
        }
    }

    async fn dispatch(&self, request: Request<Incoming>) -> Result<Reply, Refused> {
        match (request.method(), request.uri().path()) {
            (&Method::POST, INVALIDATIONS_PATH) => {
                let takes_copies = request.uri().query() == Some(COPIES);
                let order = parse(&read(request.into_body(), BODY_BYTES_MAX).await?)?;
                let done = self.orders.carry_out(order).await?;
                Ok(json(StatusCode::OK, &if takes_copies { done } else { done.uncounted() }))
            }
            (&Method::PUT, DOMAINS_PATH) => {
                let table = read(request.into_body(), DOMAINS_BODY_BYTES_MAX).await?;
                // Megabytes of JSON: other requests of this thread go on meanwhile.
                let table = block_in_place(|| parse(&table))?;
                Ok(json(StatusCode::OK, &self.orders.serve_domains(table).await?))
            }
            (&Method::POST, LANDED_PATH) => {
                let request = parse(&read(request.into_body(), LANDED_BODY_BYTES_MAX).await?)?;
                Ok(json(StatusCode::OK, &self.orders.landed(request).await?))
            }
            (&Method::POST, LEASE_PATH) => {
                let call = parse(&read(request.into_body(), LEASE_BODY_BYTES_MAX).await?)?;
                Ok(json(StatusCode::OK, &self.orders.lease(call).await?))
            }
            (&Method::GET, STATUS_PATH) => Ok(json(StatusCode::OK, &self.orders.status().await?)),
            (_, INVALIDATIONS_PATH | DOMAINS_PATH | LANDED_PATH | LEASE_PATH | STATUS_PATH) => {
                Err(Refused::because(StatusCode::METHOD_NOT_ALLOWED, "not this method"))
            }
            _ => Err(Refused::because(StatusCode::NOT_FOUND, "no such call")),
        }
    }
}

async fn read(body: Incoming, bytes_max: usize) -> Result<Bytes, Refused> {
    let reading = Limited::new(body, bytes_max).collect();
    let read = tokio::time::timeout(READ_WITHIN, reading).await;
    let read = read.map_err(|_| Refused::because(StatusCode::REQUEST_TIMEOUT, "the body came too slowly"))?;
    let too_large = |_| Refused::because(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large or broken");
    Ok(read.map_err(too_large)?.to_bytes())
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refused> {
    serde_json::from_slice(body).map_err(|why| Refused(StatusCode::BAD_REQUEST, why.to_string()))
}

fn json<T: Serialize>(status: StatusCode, body: &T) -> Reply {
    let body = serde_json::to_vec(body).expect("wire types have text keys and finite numbers");
    let mut reply = Response::new(Full::new(Bytes::from(body)));
    *reply.status_mut() = status;
    let kind = http::HeaderValue::from_static("application/json");
    reply.headers_mut().insert(CONTENT_TYPE, kind);
    reply
}
