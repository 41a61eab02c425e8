//! The admin API's door: who may come in, how much may be said, and what the log is told.
//!
//! Invariants: the credential is checked before anything else of a request is looked at; what was let
//! in runs to its end, whether its caller waits or not, since a change that is kept but not read anew
//! would leave a disabled key working.

use std::net::IpAddr;
use std::time::Duration;

use axum::body::Body;
use axum::response::IntoResponse;
use bytes::Bytes;
use catharsis_tcapi::envelope::RequestId;
use http::header::{ALLOW, CACHE_CONTROL, HeaderName, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use tracing::{debug, error, info, warn};

use super::answer::{Change, json};
use super::credential::Credential;
use super::error::{Code, Refusal};
use crate::http::{Handler, Peer};

/// Bytes of a request's body: a policy of the longest kind, written in escapes, fits.
pub(super) const BODY_BYTES_MAX: usize = 64 * 1024;

/// Time to send a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Time after which a caller is told that the end is not known.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Characters of a path in the log.
const LOGGED_PATH_MAX: usize = 200;

/// See the module.
#[derive(Debug)]
pub(super) struct AdminDoor {
    router: axum::Router,
    credential: Credential,
}

impl AdminDoor {
    pub(super) const fn new(router: axum::Router, credential: Credential) -> Self {
        Self { router, credential }
    }

    /// Lets a request in, with its whole body.
    async fn admit(&self, parts: Parts, body: Incoming) -> Result<Request<Body>, Refusal> {
        if !self.credential.is_in(&parts.headers) {
            let message = "Send the operator's credential: `Authorization: Bearer …`.";
            return Err(Refusal::new(Code::Unauthorized, message));
        }
        let whole = tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, BODY_BYTES_MAX).collect()).await;
        let incomplete = || Refusal::new(Code::RequestTimeout, "The body did not arrive whole and in time.");
        match whole {
            Ok(Ok(body)) => Ok(Request::from_parts(parts, Body::from(body.to_bytes()))),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                let message = format!("The body is larger than {BODY_BYTES_MAX} bytes.");
                Err(Refusal::new(Code::RequestTooLarge, message))
            }
            Ok(Err(_)) | Err(_) => Err(incomplete()),
        }
    }
}

impl Handler for AdminDoor {
    async fn handle(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let seen = Seen::of(&request);
        let id = seen.id;
        let (parts, body) = request.into_parts();
        let request = match self.admit(parts, body).await {
            Ok(request) => request,
            Err(refusal) => return seen.ended(refusal.into_response()).await,
        };
        let router = TowerToHyperService::new(self.router.clone());
        // Ends by itself: a request waits for nothing but the store.
        let running = tokio::spawn(async move {
            let response = match router.call(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            };
            seen.ended(response).await
        });
        match tokio::time::timeout(ANSWER_TIMEOUT, running).await {
            Ok(Ok(response)) => response,
            Ok(Err(broken)) => {
                error!(request_id = %id, error = %broken, "an admin request broke off");
                let message = "The server failed, and its log says where. Look before you try again.";
                render(id, Refusal::new(Code::InternalError, message).into_response()).await
            }
            Err(_) => {
                warn!(request_id = %id, "an admin request takes long: its caller was told that its end is not known");
                let message = "It is not known yet whether it was carried out: look before you try again.";
                render(id, Refusal::new(Code::Unavailable, message).into_response()).await
            }
        }
    }
}

/// What is known of a request from its beginning, for the log.
#[derive(Debug)]
struct Seen {
    id: RequestId,
    method: Method,
    path: String,
    peer: Option<IpAddr>,
}

impl Seen {
    fn of(request: &Request<Incoming>) -> Self {
        let path = request.uri().path().chars().take(LOGGED_PATH_MAX).collect();
        let peer = request.extensions().get::<Peer>().map(|peer| peer.0.ip());
        Self { id: RequestId::random(), method: request.method().clone(), path, peer }
    }

    /// Logs how a request ended, and makes its answer.
    async fn ended(self, response: axum::response::Response) -> Response<Full<Bytes>> {
        let Self { id, method, path, peer } = &self;
        let peer = peer.map(tracing::field::display);
        if let Some(Change { what, object }) = response.extensions().get::<Change>() {
            info!(request_id = %id, who = "operator", peer, what, %object, "the operator changed something");
        }
        match response.extensions().get::<Refusal>() {
            None => debug!(request_id = %id, %method, path, "an admin request was answered"),
            Some(Refusal { code, internal: Some(internal), .. }) => {
                error!(request_id = %id, %method, path, ?code, error = internal, "an admin request failed");
            }
            Some(Refusal { code: Code::Unauthorized, .. }) => {
                warn!(request_id = %id, peer, %method, path, "an admin request without the operator's credential was refused");
            }
            Some(Refusal { code, .. }) => {
                info!(request_id = %id, who = "operator", peer, %method, path, ?code, "an admin request was refused");
            }
        }
        render(*id, response).await
    }
}

/// The answer as it is sent.
async fn render(id: RequestId, mut response: axum::response::Response) -> Response<Full<Bytes>> {
    if let Some(refusal) = response.extensions_mut().remove::<Refusal>() {
        let mut told = json(response.status(), &refusal.body(id));
        // A wrong method's answer says which are right.
        if let Some(methods) = response.headers_mut().remove(ALLOW) {
            told.headers_mut().insert(ALLOW, methods);
        }
        if refusal.code == Code::Unauthorized {
            told.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response = told;
    }
    let headers = response.headers_mut();
    // Answers may hold a secret.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(text) = HeaderValue::from_str(&id.to_string()) {
        headers.insert(HeaderName::from_static("x-request-id"), text);
    }
    let (parts, body) = response.into_parts();
    // Bodies are made in memory, whole: collecting one cannot fail.
    let bytes = body.collect().await.map(|whole| whole.to_bytes()).unwrap_or_default();
    Response::from_parts(parts, Full::new(bytes))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hyper_util::rt::{TokioExecutor, TokioIo};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;
    use tokio::sync::Notify;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::http::{Door, DoorLimits};

    const PATIENCE: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn request_that_was_let_in_is_carried_out_even_if_its_caller_leaves() {
        let [entered, gate, done] = [(); 3].map(|()| Arc::new(Notify::new()));
        let (inside, hold, finished) = (Arc::clone(&entered), Arc::clone(&gate), Arc::clone(&done));
        let work = move || async move {
            inside.notify_one();
            hold.notified().await;
            finished.notify_one();
        };
        let router = axum::Router::new().route("/", axum::routing::post(work));
        let handler = AdminDoor::new(router, Credential::new("0123456789abcdef"));
        // Of one connection at a time, the second is answered only once the first is gone.
        let limits = DoorLimits { connections_max: 1, ..DoorLimits::USUAL };
        let door = Door::open(([127, 0, 0, 1], 0).into(), limits).await.expect("a free port");
        let address = door.address().expect("bound");
        tokio::spawn(door.serve(Arc::new(handler), CancellationToken::new()));

        // HTTP/2: on HTTP/1 a caller that is gone is noticed only when it is answered.
        let stream = TcpStream::connect(address).await.expect("the door is open");
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
        let (mut leaver, connection) = handshake.expect("HTTP/2");
        let connection = tokio::spawn(connection);
        let request = Request::post("http://a/").header("authorization", "Bearer 0123456789abcdef");
        let request = request.body(Full::<Bytes>::default()).expect("a request");
        let asked = tokio::spawn(async move { leaver.send_request(request).await });
        tokio::time::timeout(PATIENCE, entered.notified()).await.expect("the request is let in");
        asked.abort();
        connection.abort();
        let mut next = TcpStream::connect(address).await.expect("the door is open");
        next.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("it reads");
        let mut start = [0; 12];
        tokio::time::timeout(PATIENCE, next.read_exact(&mut start))
            .await
            .expect("the first is gone")
            .expect("an answer");
        assert_eq!(&start, b"HTTP/1.1 401");

        gate.notify_one();
        tokio::time::timeout(PATIENCE, done.notified()).await.expect("it is carried out");
    }
}
