//! One API call, from bytes to bytes.
//!
//! What this is: the walk of a request: body, `Call`, identity, rate, action, envelope. Every answer
//! has HTTP status 200, a fresh `RequestId` and the exact content type that the SDKs compare.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;

use catharsis_core::ports::Clock;
use catharsis_core::push::service::PushService;
use catharsis_core::service::PurgeService;
use catharsis_registry::Registry;
use catharsis_tcapi::call::{Call, Language};
use catharsis_tcapi::cdn::Action;
use catharsis_tcapi::code::{ErrorCode, WireError};
use catharsis_tcapi::envelope::{self, RequestId};
use catharsis_tcapi::request::RequestParts;
use catharsis_tcapi::tc3::UnsignedPayload;

use super::access::{self, Surroundings};
use super::actions::{self, Checked, Parts};
use super::body::BodyBudget;
use super::listen::{Handler, Peer};
use super::rates::{Rates, TooOften};
use crate::config::ApiSection;
use crate::domains::Distribution;
use crate::events::{CallEnded, Events};
use crate::receipts::Notary;

/// The API.
pub struct Api {
    parts: Parts,
    clock: Arc<dyn Clock>,
    rates: Rates,
    bodies: BodyBudget,
    unsigned: UnsignedPayload,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api").field("service", &self.parts.service).finish_non_exhaustive()
    }
}

/// What the API stands before.
#[derive(Debug)]
pub struct Backend {
    /// The purge service.
    pub service: Arc<PurgeService>,
    /// The prefetch service.
    pub pushes: Arc<PushService>,
    /// Accounts, keys, policies, domains.
    pub registry: Arc<Registry>,
    /// How far each edge knows the domains.
    pub distribution: Arc<Distribution>,
    /// Signs receipts.
    pub notary: Arc<Notary>,
    /// Who hears of calls.
    pub events: Arc<Events>,
}

/// What is known of a call when it ends, for the log and for the answer.
#[derive(Debug, Default)]
struct Seen {
    action: Option<Action>,
    account: Option<u64>,
    trace_id: Option<HeaderValue>,
    language: Language,
}

impl Api {
    /// The API before a service. `rates` is the file that keeps the rates of calls over a restart.
    ///
    /// # Errors
    /// When that file cannot be used.
    pub fn new(backend: Backend, clock: Arc<dyn Clock>, api: &ApiSection, rates: &Path) -> std::io::Result<Self> {
        let unsigned = if api.unsigned_payload { UnsignedPayload::Accept } else { UnsignedPayload::Refuse };
        let Backend { service, pushes, registry, distribution, notary, events } = backend;
        Ok(Self {
            parts: Parts {
                service,
                pushes,
                registry,
                distribution,
                events,
                notary,
                clock: Arc::clone(&clock),
                local_origins: api.local_origins,
            },
            rates: Rates::open(rates, Arc::clone(&clock))?,
            clock,
            bodies: BodyBudget::new(api.body_memory.as_usize(), api.body_timeout.0),
            unsigned,
        })
    }

    async fn answer(&self, id: RequestId, request: Request<Incoming>, seen: &mut Seen) -> Result<Bytes, WireError> {
        let (parts, body) = request.into_parts();
        seen.language = Language::of_headers(&parts.headers);
        let held = self.bodies.read(&parts, body).await?;
        let received = RequestParts::of(&parts, &held.bytes);
        seen.language = Language::of_parts(&received);
        let call = Call::parse(&received)?;
        seen.trace_id = call.trace_id().and_then(|id| HeaderValue::from_str(id).ok());
        let action = Action::of(&call)?;
        seen.action = Some(action);
        let around = Surroundings {
            now: self.clock.wall(),
            ip: parts.extensions.get::<Peer>().map(|peer| peer.0.ip()),
            unsigned: self.unsigned,
        };
        // One snapshot for the whole call: who signs, what is permitted and what it may touch fit together.
        let snapshot = self.parts.registry.snapshot();
        let (identity, verified) = access::authenticate(&snapshot, &call, around)?;
        seen.account = Some(identity.account.0);
        let caller = identity.authorize(&snapshot, action)?;
        self.rates
            .check(identity.account, action, identity.per_second)
            .map_err(|refused| too_often(action, refused))?;
        let params = verified.params()?;
        actions::run(&self.parts, &Checked { action, caller, snapshot, id }, params).await
    }
}

/// The one code that clients wait and retry on, with the documented text.
fn too_often(action: Action, refused: TooOften) -> WireError {
    let TooOften { per_second, wait } = refused;
    let (over, action) = (per_second.get().saturating_add(1), action.as_str());
    let millis = wait.as_millis().max(1);
    WireError::new(
        ErrorCode::RequestLimitExceeded,
        format!(
            "Your current request times equals to `{over}` in a second, which exceeds the frequency limit `{per_second}` for a \
             second. Please reduce the frequency of calls. The next call of {action} is free in {millis} ms."
        ),
    )
    .with_chinese(format!(
        "您当前每秒请求 `{over}` 次，超过了每秒 `{per_second}` 次的频率上限，请降低调用频率。{millis} 毫秒后可再次调用 {action}。"
    ))
}

impl Handler for Api {
    async fn handle(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let id = RequestId::random();
        let started = self.clock.tick();
        let mut seen = Seen::default();
        let result = self.answer(id, request, &mut seen).await;
        self.parts.events.call_ended(&CallEnded {
            request_id: id,
            action: seen.action,
            account: seen.account,
            error: result.as_ref().err(),
            took: self.clock.tick().since(started),
        });
        let body = result.unwrap_or_else(|error| envelope::error(id, &error, seen.language));
        let mut response = Response::new(Full::new(body));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(envelope::CONTENT_TYPE));
        if let Some(trace_id) = seen.trace_id {
            // One SDK reads its trace id back from the answer.
            response.headers_mut().insert(HeaderName::from_static("x-tc-traceid"), trace_id);
        }
        response
    }
}

/// How long running calls may take to end once the server stops. Clients give up after 60 s.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
