//! One API call, from bytes to bytes.
//!
//! What this is: the walk of a request: body, `Call`, identity, rate, action, envelope. Every answer
//! has HTTP status 200, a fresh `RequestId` and the exact content type that the SDKs compare.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;

use catharsis_core::ports::Clock;
use catharsis_core::service::PurgeService;
use catharsis_tcapi::call::{Call, Language};
use catharsis_tcapi::cdn::Action;
use catharsis_tcapi::code::WireError;
use catharsis_tcapi::envelope::{self, RequestId};
use catharsis_tcapi::request::RequestParts;
use catharsis_tcapi::tc3::UnsignedPayload;

use super::actions;
use super::auth::{Keyring, Rates};
use super::body::BodyBudget;
use super::listen::Handler;
use crate::config::{ApiSection, LimitsSection};
use crate::events::{CallEnded, Events};

/// The API.
pub struct Api {
    service: Arc<PurgeService>,
    clock: Arc<dyn Clock>,
    keyring: Keyring,
    rates: Rates,
    bodies: BodyBudget,
    unsigned: UnsignedPayload,
    events: Arc<Events>,
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api").field("service", &self.service).finish_non_exhaustive()
    }
}

/// What is known of a call when it ends, for the log.
#[derive(Debug, Default)]
struct Seen {
    action: Option<Action>,
    account: Option<u64>,
    trace_id: Option<HeaderValue>,
    /// Of the answer's texts; found before the request is understood, since that may fail.
    language: Language,
}

impl Api {
    /// The API before a service.
    #[must_use]
    pub fn new(
        service: Arc<PurgeService>,
        clock: Arc<dyn Clock>,
        keyring: Keyring,
        events: Arc<Events>,
        api: &ApiSection,
        limits: &LimitsSection,
    ) -> Self {
        let per_second = NonZeroU32::new(limits.requests_per_second).unwrap_or(NonZeroU32::MIN);
        let unsigned = if api.unsigned_payload { UnsignedPayload::Accept } else { UnsignedPayload::Refuse };
        Self {
            service,
            clock,
            keyring,
            rates: Rates::new(per_second),
            bodies: BodyBudget::new(api.body_memory.as_usize(), api.body_timeout.0),
            unsigned,
            events,
        }
    }

    async fn answer(&self, id: RequestId, request: Request<Incoming>, seen: &mut Seen) -> Result<Bytes, WireError> {
        let (parts, body) = request.into_parts();
        seen.language = Language::of_headers(&parts.headers);
        let held = self.bodies.read(&parts, body).await?;
        let request = RequestParts::of(&parts, &held.bytes);
        seen.language = Language::of_parts(&request);
        let call = Call::parse(&request)?;
        seen.trace_id = call.trace_id().and_then(|id| HeaderValue::from_str(id).ok());
        let action = Action::of(&call)?;
        seen.action = Some(action);
        let (caller, verified) = self.keyring.authenticate(&call, self.clock.wall(), self.unsigned)?;
        seen.account = Some(caller.account.0);
        self.rates.check(&caller, action)?;
        actions::run(&self.service, &self.events, &caller, action, verified.params()?, id).await
    }
}

impl Handler for Api {
    async fn handle(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let id = RequestId::random();
        let started = self.clock.tick();
        let mut seen = Seen::default();
        let result = self.answer(id, request, &mut seen).await;
        self.events.call_ended(&CallEnded {
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
