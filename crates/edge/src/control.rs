//! The control listener: how this edge is told what to forget and which domains to serve.
//!
//! What this is: the server side of [`crate::protocol`].
//!
//! Invariant: an order is answered only after its marks are set, so the answer is a receipt. The
//! marks are set before anything is removed: a copy that is stored in between is refused.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use catharsis_core::target::Mode;
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
use crate::config::Secret;
use crate::fence::{Fence, Purge, Scope};
use crate::key::Hasher;
use crate::protocol::{
    BODY_BYTES_MAX, DOMAINS_BODY_BYTES_MAX, DOMAINS_PATH, DomainTable, DomainsResponse, ErrorResponse,
    INVALIDATIONS_PATH, InvalidationsRequest, InvalidationsResponse, STATUS_PATH, StatusResponse, WireMode,
    WireOutcome, WireSeq, WireTarget,
};
use crate::routes::Routes;
use crate::rules::HostRules;
use crate::storage::Store;

/// Relays that speak at a time. Each body is bounded, so this bounds the memory too.
const CONNECTIONS_MAX: usize = 64;

/// Time for a request's header and for its body.
const READ_WITHIN: Duration = Duration::from_secs(10);

/// See the module.
pub(crate) struct Control {
    pub(crate) fence: Arc<Fence>,
    pub(crate) store: &'static Store,
    pub(crate) routes: Arc<Routes>,
    pub(crate) rules: Arc<HostRules>,
    pub(crate) hasher: Hasher,
    pub(crate) token: Option<Secret>,
    /// Held while a table takes the place of the last one.
    pub(crate) changing: Mutex<()>,
}

type Reply = Response<Full<Bytes>>;

/// A request that is not carried out.
struct Refused(StatusCode, String);

impl Refused {
    fn new(status: StatusCode, why: &str) -> Self {
        Self(status, why.to_owned())
    }
}

impl Control {
    /// Serves until `stop`.
    pub(crate) async fn serve(self: Arc<Self>, listener: TcpListener, stop: CancellationToken) {
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
            Some(_) | None => Err(Refused::new(StatusCode::UNAUTHORIZED, "wrong or no token")),
        }
    }

    async fn dispatch(&self, request: Request<Incoming>) -> Result<Reply, Refused> {
        match (request.method(), request.uri().path()) {
            (&Method::POST, INVALIDATIONS_PATH) => {
                let order = read(request.into_body(), BODY_BYTES_MAX).await?;
                Ok(json(StatusCode::OK, &self.carry_out(&parse(&order)?)?))
            }
            (&Method::PUT, DOMAINS_PATH) => {
                let table = read(request.into_body(), DOMAINS_BODY_BYTES_MAX).await?;
                // Megabytes of JSON: other requests of this thread go on meanwhile.
                Ok(json(StatusCode::OK, &block_in_place(|| self.serve_domains(&parse(&table)?))?))
            }
            (&Method::GET, STATUS_PATH) => Ok(json(StatusCode::OK, &self.status()?)),
            (_, INVALIDATIONS_PATH | DOMAINS_PATH | STATUS_PATH) => {
                Err(Refused::new(StatusCode::METHOD_NOT_ALLOWED, "not this method"))
            }
            _ => Err(Refused::new(StatusCode::NOT_FOUND, "no such call")),
        }
    }

    fn carry_out(&self, order: &InvalidationsRequest) -> Result<InvalidationsResponse, Refused> {
        let mut purges = Vec::with_capacity(order.invalidations().len());
        // How many of `purges` each invalidation became: one a spelling.
        let mut spellings = Vec::with_capacity(order.invalidations().len());
        for it in order.invalidations() {
            let mode = match it.mode {
                WireMode::Delete => Mode::Delete,
                WireMode::Expire => Mode::Expire,
            };
            let scopes = self.scopes(&it.target);
            spellings.push(scopes.len());
            let seq = it.seq.seq();
            purges.extend(scopes.into_iter().map(|scope| Purge { seq, scope, mode }));
        }
        let applied = self.fence.apply(order.log(), order.upto(), &purges);
        let applied = applied.map_err(|it| Refused(StatusCode::INSUFFICIENT_STORAGE, it.to_string()))?;
        // From here on the fence holds; what follows gives the memory back and looks what was there.
        if let Some(began) = applied.log_began {
            tracing::info!(log = %order.log(), "another log: everything held is forgotten");
            block_in_place(|| self.store.remove_everything(began));
        }
        let mut found = purges.iter().zip(&applied.points).map(|(purge, point)| match (purge.scope, purge.mode) {
            (Scope::Url(url), Mode::Delete) => self.store.remove(url, *point),
            (Scope::Url(url), Mode::Expire) => self.store.outdate(url, *point),
            // Nothing is looked for, so that it costs the same whatever is held: see `storage`.
            (Scope::Prefix(_), Mode::Delete | Mode::Expire) => true,
            // Walks all that is held: other requests of this thread go on meanwhile.
            (Scope::Everything, Mode::Delete) => block_in_place(|| self.store.remove_everything(*point)),
            (Scope::Everything, Mode::Expire) => block_in_place(|| self.store.outdate_everything(*point)),
        });
        let outcomes = spellings.into_iter().map(|count| {
            // Not `any`, which would stop at the first spelling found.
            let found = found.by_ref().take(count).fold(false, |any, it| any | it);
            if found { WireOutcome::Applied } else { WireOutcome::Absent }
        });
        Ok(InvalidationsResponse { outcomes: outcomes.collect(), position: wire(applied.position)? })
    }

    fn serve_domains(&self, table: &DomainTable) -> Result<DomainsResponse, Refused> {
        // One table at a time: the rules of a later one must not be undone by those of an earlier one.
        let _one_at_a_time = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        self.routes.serve(table).map_err(|it| Refused(StatusCode::CONFLICT, it.to_string()))?;
        let changed = self.rules.replace(table.rules());
        if changed > 0 {
            tracing::info!(domains = changed, "key rules were changed: what was held of these domains is used no more");
        }
        let generation = table.generation();
        tracing::info!(log = %table.log(), generation, domains = table.domains().len(), "domains are served");
        Ok(DomainsResponse { generation })
    }

    fn scopes(&self, target: &WireTarget) -> Vec<Scope> {
        match target {
            WireTarget::Everything => vec![Scope::Everything],
            WireTarget::Prefix(prefix) => {
                self.rules.prefix(&self.hasher, prefix).into_iter().map(Scope::Prefix).collect()
            }
            WireTarget::Url(url) => self.rules.url(&self.hasher, url).into_iter().map(Scope::Url).collect(),
        }
    }

    fn status(&self) -> Result<StatusResponse, Refused> {
        let status = self.fence.status();
        Ok(StatusResponse {
            log: status.log,
            position: wire(status.position)?,
            entries: self.store.entries(),
            bytes: self.store.bytes(),
            marks: status.marks as u64,
            domains: self.routes.generation(),
        })
    }
}

fn wire(position: catharsis_core::invalidation::Seq) -> Result<WireSeq, Refused> {
    let wire = WireSeq::try_from(position);
    wire.map_err(|it| Refused(StatusCode::INTERNAL_SERVER_ERROR, it.to_string()))
}

async fn read(body: Incoming, bytes_max: usize) -> Result<Bytes, Refused> {
    let reading = Limited::new(body, bytes_max).collect();
    let read = tokio::time::timeout(READ_WITHIN, reading).await;
    let read = read.map_err(|_| Refused::new(StatusCode::REQUEST_TIMEOUT, "the body came too slowly"))?;
    let body = read.map_err(|_| Refused::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large or broken"))?;
    Ok(body.to_bytes())
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
